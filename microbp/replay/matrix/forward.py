"""The forward pass: one line for each group."""

from __future__ import annotations

from microbp.replay.matrix.build import Tree, add, is_number, number, parsed, sub, text
from microbp.replay.matrix.groups import Group
from microbp.replay.matrix.operands import numbers
from microbp.replay.matrix.products import block_value
from microbp.replay.matrix.rows import Shaped, rule_value
from microbp.replay.matrix.writer import TERMS, Writer
from microbp.replay.suspicion import may_be_undefined

__all__ = ["forward"]


def forward(writer: Writer, groups: list[Group]) -> None:
    """Write the lines that compute all groups."""
    for group in groups:
        start = len(writer.lines)
        tree, batch, full = _sum(writer, group) if group.rule is None else rule_value(writer, group)
        m = len(group.members)
        if group.varies and not batch:
            tree = parsed(f"np.full((n, {m}), {text(tree)})")
        elif not full and m > 1:
            form = "np.repeat({0}, {1}, axis=1)" if group.varies else "np.full({1}, {0})"
            tree = parsed(form.format(text(tree), m))
        writer.assign(group.array.name, tree, group.comment)
        if group.rule is not None and may_be_undefined(group.rule):
            writer.watched += range(start, len(writer.lines))


def _sum(writer: Writer, group: Group) -> Shaped:
    """The blocks, and then the constant."""
    total: Tree | None = None
    full = False
    for count, block in enumerate(group.blocks, start=1):
        tree, entries = block_value(writer, block)
        if total is not None and count % TERMS == 0:
            total = writer.assign(group.array.name, total)
        total = tree if total is None else add(total, tree)
        full = full or entries
    constant, entries = numbers(writer, group.constants)
    assert total is not None
    value = is_number(constant)
    if value == 0.0:
        return Shaped(total, group.varies, full)
    if value is not None and value < 0.0:
        return Shaped(sub(total, number(-value)), group.varies, full)
    tree = add(total, constant) if value is None else add(constant, total)
    return Shaped(tree, group.varies, full or entries)
