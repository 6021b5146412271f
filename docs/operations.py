"""Write docs/operations.md, the table of operations, from the rows: python docs/operations.py."""

from __future__ import annotations

from pathlib import Path

from microbp import Value, functions
from microbp.rules import TABLE, Corner, Interval, Rule

#: The order in which people look for operations; a row that is in no group is an error.
GROUPS = {
    "Arithmetic": "add sub mul div neg pow abs sqrt",
    "Exponentials and logarithms": "exp expm1 log log1p",
    "Trigonometric and hyperbolic functions": "sin cos tan asin acos atan sinh cosh tanh",
    "Activations": "sigmoid relu leaky_relu elu softplus silu gelu erf erfc",
    "Choices": "minimum maximum clip select",
    "Many arguments": "sum dot max logsumexp cross_entropy",
}
#: How operators are written.
SIGNS = {"add": "a + b", "sub": "a - b", "mul": "a * b", "div": "a / b", "neg": "-a", "pow": "a ** b"}

HEAD = """\
# Operations

Written by `python docs/operations.py` from the rows of `microbp/rules.py`; do not edit it by hand.

In the texts `y` is the operation's own output. Where an argument is written `x…`, it runs over a
list: `total(e)` adds `e` over all elements, `largest(e)` is the largest, and the derivative is that
for one element. *Checked for* gives the intervals in which the derivatives are compared with the
complex-step derivative of the value, at hundreds of points, to 1e-12; `check_rule("tanh")` shows it.
*Conventions* says what holds where the derivative jumps or is infinite, and behind a condition what
follows when it is differentiated again (`grad(..., create_graph=True)`): after a subgradient or a limit 0,
after an infinite derivative what the formula gives in the arithmetic of IEEE 754. After a nan comes a nan.

A derivative is written as people know it; *computed as* is the text that keeps its digits, never
overflows and lets a NaN out.

`softmax(x)` and `log_softmax(x)` are composed of `logsumexp`, `sub` and `exp`. An operation of your
own is one more row: `microbp.define`.
"""


def page() -> str:
    """The whole document."""
    rows = {rule.name: rule for rule in TABLE}
    grouped = [name for names in GROUPS.values() for name in names.split()]
    if sorted(grouped) != sorted(rows):
        raise SystemExit(f"in one place only, table or GROUPS: {sorted({*grouped} ^ {*rows})}")
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"\n## {title}\n\n")
        parts.append("| operation | call | value | local derivatives | checked for | conventions |\n")
        parts.append("|---|---|---|---|---|---|\n")
        parts += [line(rows[name]) for name in names.split()]
    return "".join(parts)


def line(rule: Rule) -> str:
    """The line of one operation."""
    derivatives = [
        f"∂y/∂{arg} = `{shown}`" + (f"<br>computed as `{d}`" if str(d) != str(shown) else "")
        for arg, shown, d in zip(rule.args, rule.shown, rule.d, strict=True)
    ]
    cells = (
        f"**{rule.name}**<br>{rule.doc}",
        "<br>".join(f"`{call}`" for call in calls(rule)),
        f"`{rule.y}`",
        "<br>".join(derivatives),
        "<br>".join(where(rule, box) for box in rule.smooth),
        "<br>".join(filter(None, [rule.corner, *map(next_ones, rule.corners)])),
    )
    return f"| {' | '.join(cells)} |\n"


def next_ones(at: Corner) -> str:
    """What follows at a corner when the derivative is differentiated again."""
    if at.then:
        return f"`{at.where}`: {at.reason}; then as of {', '.join(f'`{each}`' for each in at.then)}."
    return f"`{at.where}`: {at.reason}; then {'as of the formula' if at.reason == 'infinite' else 0}."


def calls(rule: Rule) -> list[str]:
    """How the operation is called: as an operator, as a method, as a function."""
    found = [SIGNS[rule.name]] if rule.name in SIGNS else []
    if rule.name in functions.__all__:
        found.append(repr(getattr(functions, rule.name)))
    if callable(getattr(Value, rule.name, None)):
        found.append(f"a.{rule.name}()")
    return found


def where(rule: Rule, box: tuple[Interval, ...]) -> str:
    """The words for one box: ``-3 to 3``, ``a: -3 to 3, b: 0.25 to 4``."""
    intervals = [f"{low:g} to {high:g}" for low, high in box]
    if len(rule.args) == 1:
        return intervals[0]
    return ", ".join(f"{arg}: {interval}" for arg, interval in zip(rule.args, intervals, strict=True))


if __name__ == "__main__":
    target = Path(__file__).with_suffix(".md")
    target.write_text(page(), encoding="utf-8")
    print(f"{len(TABLE)} operations in {target.name}")
