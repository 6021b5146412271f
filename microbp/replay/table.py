"""The form for graphs without much structure: one array of all values, and a table of what is computed.

A chain of a million operations has no matrices in it, and a million lines would be too much for Python's
compiler. Here the source is a loop over a table: each row of it applies one rule to all values of one depth.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from microbp.replay.dependence import COMPUTED, dependence
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import counted
from microbp.replay.matrix import Generated
from microbp.replay.numpy_rules import array_tree, helpers, reduction
from microbp.replay.parameter_arrays import ParameterArray
from microbp.replay.trees import Tree, index, name, text
from microbp.replay.undefined import may_be_undefined
from microbp.rules import Rule

__all__ = ["tabled"]

_LOOPS = """\
def operands(v, rule, count, length, at):
    # For each argument an array (count, n) for n samples; of a rule over lists, (count, length or 1, n).
    found = []
    for many in RULES[rule].many:
        size = count * length if many else count
        places = index[at : at + size]
        at += size
        found.append(v[places.reshape(count, -1)] if RULES[rule].deep else v[places])
    return found


def values(x, theta):
    # v[i] is one value for all samples: inputs, parameters, constants, then what is computed from them.
    v = np.empty((SIZE, len(x)))
    v[:INPUTS] = x.T
    v[INPUTS:CONSTANTS] = theta[:, None]
    v[CONSTANTS:FIRST] = constants[:, None]
    for rule, start, count, length, at, _ in steps.tolist():
        y = RULES[rule].value(*operands(v, rule, count, length, at))
        v[start : start + count] = y[:, 0] if RULES[rule].deep else y
    return v


def value(x, theta):
    return values(x, theta)[outputs].T


def value_and_grad(x, theta, dtheta, wrt_x=False):
    v = values(x, theta)
    d = np.zeros_like(v)
    np.add.at(d, outputs, 1.0)
    for rule, start, count, length, at, wanted in steps[::-1].tolist():
        y, upstream = v[start : start + count], d[start : start + count]
        if RULES[rule].deep:
            y, upstream = y[:, None], upstream[:, None]
        given = operands(v, rule, count, length, at)
        for number, many in enumerate(RULES[rule].many):
            size = count * length if many else count
            if wanted >> number & 1:
                passed = upstream * RULES[rule].slopes[number](*given, y)
                if size == 1:
                    d[index[at]] += passed.ravel()
                else:
                    shape = (count, length if many else 1, len(x))
                    passed = np.broadcast_to(passed, shape) if RULES[rule].deep else passed
                    np.add.at(d, index[at : at + size], passed.reshape(size, -1))
            at += size
    dtheta[...] = d[INPUTS:CONSTANTS].sum(axis=1)
    return v[outputs].sum(axis=0), d[:INPUTS].T.copy() if wrt_x else None
"""


def tabled(captured: Captured) -> Generated:
    """The loop and its table, for any graph; it is made in one pass over the nodes."""
    record = captured.graph
    flags = dependence(captured).flags.tolist()
    inputs, params = len(captured.inputs), len(captured.params)
    row = {place: n for n, place in enumerate(captured.inputs) if place is not None}
    row.update((place, inputs + n) for n, place in enumerate(captured.params) if place is not None)
    known: dict[str, int] = {}

    def constant(value: float) -> int:
        return known.setdefault(value.hex(), inputs + params + len(known))

    op, begin, args = record.op.tolist(), record.first.tolist(), record.args.tolist()
    data, literals = record.data.tolist(), record.consts.tolist()
    level: dict[int, int] = {}
    alike: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for position, rule in enumerate(op):
        if not flags[position]:
            row[position] = constant(data[position])
        if rule < 0 or not flags[position] & COMPUTED:
            continue
        operands = args[begin[position] : begin[position + 1]]
        depth = 1
        for each in operands:
            if each < 0:
                constant(literals[-1 - each])
            else:
                depth = max(depth, 1 + level.get(each, 0))
        level[position] = depth
        over = len(record.rules[rule].over)
        length = (len(operands) - len(record.rules[rule].args) + over) // over if over else 1
        alike[depth, rule, length].append(position)
    first = start = inputs + params + len(known)
    #: Which of the first rows a gradient goes to.
    takes = [True] * inputs + list(captured.trained) + [False] * len(known)
    steps: list[tuple[int, ...]] = []
    places: list[int] = []
    for (_, rule, length), members in sorted(alike.items()):
        at, wanted, shape = len(places), 0, record.rules[rule]
        entries = [shape.split(args[begin[each] : begin[each + 1]]) for each in members]
        for number_, arg in enumerate(shape.args):
            for entry in entries:
                for each in entry[number_] if arg in shape.over else (entry[number_],):
                    found = row[each] if each >= 0 else constant(literals[-1 - each])
                    places.append(found)
                    if found >= first or takes[found]:
                        wanted |= 1 << number_
        steps.append((rule, start, len(members), length, at, wanted))
        for offset, position in enumerate(members):
            row[position] = start + offset
        start += len(members)
    tables = {
        "steps": np.array(steps, dtype=np.int64).reshape(-1, 6),
        "index": np.array(places, dtype=np.int64),
        "constants": np.array([float.fromhex(each) for each in known]),
        "outputs": np.array([row[each] for each in captured.outputs], dtype=np.int64),
    }
    return _source(captured, record.rules, (start, inputs, inputs + params, first), tables)


def _source(
    captured: Captured, rules: tuple[Rule, ...], sizes: tuple[int, ...], tables: dict[str, np.ndarray]
) -> Generated:
    functions, words, lines = _functions(rules)
    extra = helpers(words)
    head = ["import math", "from types import SimpleNamespace", "", "import numpy as np", ""]
    if any("FUNCTIONS[" in each for each in extra):
        head[3:3] = ["from microbp.expr import FUNCTIONS"]
    head += [f"SIZE, INPUTS, CONSTANTS, FIRST = {', '.join(map(str, sizes))}", ""]
    for helper in extra:
        head += ["", *helper.splitlines(), ""]
    source = "\n".join([*head, *functions, "", "", _LOOPS])
    arrays = (ParameterArray("theta", np.arange(len(captured.params))),)
    count = len(tables["steps"])
    told = f"{counted(len(captured.graph), 'scalar')} became a table of {counted(count, 'array operation')}"
    watched = frozenset(len(head) + line for line in lines)
    return Generated(source, arrays, "", tables, told, watched, count)


def _functions(rules: Iterable[Rule]) -> tuple[list[str], set[str], list[int]]:
    """The rules as functions of arrays: value, local derivatives, which arguments run over lists.

    Also the words in them, and the lines that compute what the eager engine may refuse.
    """
    lines, words, watched = ["RULES = ["], set[str](), []
    for rule in rules:
        head = ", ".join(f"a{n}" for n in range(len(rule.args)))
        value, *slopes = (_tree(rule, place) for place in (None, *range(len(rule.args))))
        for tree in (value, *slopes):
            words |= {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
        told = ", ".join(f"lambda {head}, y: {text(tree)}" for tree in slopes)
        lines += [
            f"    SimpleNamespace(  # {rule}",
            f"        many={[arg in rule.over for arg in rule.args]}, deep={bool(rule.over)},",
            f"        value=lambda {head}: {text(value)},",
            f"        slopes=[{told}],",
            "    ),",
        ]
        if may_be_undefined(rule):
            watched.append(len(lines) - 2)
    return [*lines, "]"], words, watched


def _tree(rule: Rule, place: int | None) -> Tree:
    scope = {arg: name(f"a{n}") for n, arg in enumerate(rule.args)}

    def aggregate(function: str, elements: Tree) -> Tree:
        length = index(name(f"a{rule.args.index(rule.over[0])}.shape"), 1)
        return reduction(function, elements, length, axis=1, keep=True)

    return array_tree(rule, place, {**scope, "y": name("y")}, aggregate)
