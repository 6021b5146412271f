"""The rows of the table as C: ``rows.h``, from which the machine is built.

``python -m microbp.native`` writes it anew after a change of the table. The file is kept beside the
machine, so that building needs a C compiler and nothing else; a test compares it with what is printed here,
and a machine that was built from other rows is not used.

What is printed is one text for two readings. The words in capitals are macros that the machine defines twice:
once for single numbers, once for rows of samples.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from microbp.expr import AGGREGATES, CONSTANTS, FUNCTIONS, Expression
from microbp.rules import TABLE, Rule

__all__ = ["FILE", "digest", "may_fail", "printed"]

FILE = Path(__file__).with_name("rows.h")
_HEAD = """\
/* Printed from microbp/rules.py by microbp/native/rows.py: change the table, not this file.

   A(p) is the argument at place p, E(p) that of the element the loop is at, Y the value; GIVE states a value,
   PASS what a local derivative passes on to the argument at a place;
   REST_AGAIN adds up what the value added up. */
"""
_SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Eq: "==", ast.NotEq: "!=", ast.And: "AND", ast.Or: "OR",
}  # fmt: skip
_NAMED = {"inf": "INFINITY", "nan": "NAN"}
#: These are defined for all numbers; ``math`` refuses some to the others.
_EVERYWHERE = {"abs", "atan", "tanh", "erf", "erfc", "sigmoid", *AGGREGATES}


def printed() -> str:
    """The text of ``rows.h``.

    >>> "GIVE(exp_(A(0)))" in printed()
    True
    """
    rows = "".join(
        f" \\\n    ROW({rule.name}, {len(rule.args) - len(rule.over)}, {len(rule.over)}, {may_fail(rule):d})"
        for rule in TABLE
    )
    parts = [_HEAD, f'#define TABLE_DIGEST "{digest()}"\n']
    parts.append("/* Each row: its name, single arguments, lists, whether it may be undefined. */")
    parts.append(f"#define ROWS(ROW){rows}\n")
    parts += ["#ifdef VALUE\n", _functions(), *map(_row, TABLE), "#endif\n"]
    return "\n".join(parts)


def digest() -> str:
    """What stands for all that the machine has of the table.

    >>> len(digest())
    16
    """
    return _digest(TABLE)


@cache
def _digest(table: tuple[Rule, ...]) -> str:
    texts = [(rule.name, rule.args, rule.over, str(rule.y), *map(str, rule.d)) for rule in table]
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:16]


def may_fail(rule: Rule) -> bool:
    """Whether its value is undefined somewhere; conditions in the table's own rows are against that.

    >>> from microbp.rules import RULES
    >>> [may_fail(RULES[name]) for name in ("div", "log", "mul", "sigmoid")]
    [True, True, False, False]
    """
    parts = [*ast.walk(rule.y.tree)]
    if rule in TABLE and any(isinstance(each, ast.IfExp) for each in parts):
        return False
    refusing = [
        each.right if isinstance(each, ast.BinOp) else each
        for each in parts
        if (isinstance(each, ast.BinOp) and isinstance(each.op, ast.Div))
        or (isinstance(each, ast.Call) and ast.unparse(each.func) not in _EVERYWHERE)
    ]
    words = {each.id for part in refusing for each in ast.walk(part) if isinstance(each, ast.Name)}
    return bool(words - CONSTANTS.keys() - FUNCTIONS.keys())


def _functions() -> str:
    """The functions of C, where the machine has none of its own; CHECKED notes what ``math`` refuses."""
    lines = ["/* The library's functions, for those that the machine does not define itself. */"]
    for name in sorted(FUNCTIONS.keys() - {"pow", "sigmoid", "dpow"}):
        own = "fabs" if name == "abs" else name
        plain = f"#define {name}_ {own}"
        if name not in _EVERYWHERE:
            plain = f"#ifdef CHECKED\n#define {name}_(x) CHECKED({own}, x)\n#else\n{plain}\n#endif"
        lines.append(f"#ifndef {name}_\n{plain}\n#endif")
    return "\n".join([*lines, ""])


def _row(rule: Rule) -> str:
    # Lists come first, the first of them at place 0, the second at place len.
    lists = len(rule.over)
    assert rule.args[:lists] == rule.over, f"{rule.name}: the machine takes lists before single arguments"
    starts = ["0", "len", *(f"{n} * len" for n in range(2, lists + 1))] if lists else []
    single = range(len(rule.args) - lists)
    starts = [*starts[:lists], *(f"{starts[lists]} + {n}" if lists else str(n) for n in single)]
    place = dict(zip(rule.args, starts, strict=True))
    lines = [f"/* {rule} = {rule.y} */", f"VALUE({rule.name}) {{"]
    lines += [*_statements(rule, place, rule.y, "GIVE"), "}"]
    calls = [each for each in ast.walk(rule.y.tree) if isinstance(each, ast.Call)]
    kept = next((ast.unparse(each.args[0]) for each in calls if ast.unparse(each.func) == "rest"), "")
    for number, (arg, d) in enumerate(zip(rule.args, rule.d, strict=True)):
        passes = _statements(rule, place, d, f"PASS{'_EACH' * (arg in rule.over)}", place[arg], again=kept)
        lines += [f"SLOPE({rule.name}, {number}) {{", *passes, "}"]
    # All slopes, in the order of a backward pass; TAKES asks whether the argument takes a gradient.
    lines.append(f"SLOPES({rule.name}) {{")
    lines += [f"    TAKES({rule.name}, {n})" for n in range(len(rule.args) - 1, -1, -1)]
    return "\n".join([*lines, "}", ""])


def _statements(
    rule: Rule, place: dict[str, str], expression: Expression, word: str, *where: str, again: str = ""
) -> Iterator[str]:
    """The aggregates of an expression, each computed once, and then what is done with it."""
    writer = _Writer(rule, place, again)
    tree = expression.tree
    called = any(isinstance(each, ast.Call) for each in ast.walk(tree))
    if isinstance(tree, ast.IfExp) and called and not rule.over:  # all samples of a row may go the same way
        parts = ", ".join(writer.text(each) for each in (tree.test, tree.body, tree.orelse))
        yield f"    {word}_IF({', '.join([*where, parts])})"
        return
    writer.text(tree)  # finds the aggregates; what the last of them has kept is used from now on
    result = writer.text(tree)
    yield from writer.before
    yield f"    {word}({', '.join([*where, result])})"


class _Writer:
    """Writes expressions of a row as C; ``before`` is what has to be computed first."""

    def __init__(self, rule: Rule, place: dict[str, str], again: str) -> None:
        #: ``again`` is what the ``rest`` of the value was of, whose numbers rows of samples still have.
        self.rule, self.place, self.again = rule, place, again
        self.before: list[str] = []
        self._known: dict[str, str] = {}
        #: The text whose numbers the last ``rest`` has kept, one for each element.
        self._kept = ""

    def text(self, node: ast.expr) -> str:
        if self._kept and ast.unparse(node) == self._kept:
            return "KEPT"
        match node:
            case ast.Constant(value=float(number)):
                return repr(number)
            case ast.Name(id="y"):
                return "Y"
            case ast.Name(id=name) if name in self.place:
                return f"{'E' if name in self.rule.over else 'A'}({self.place[name]})"
            case ast.Name(id=name):
                return _NAMED.get(name, repr(CONSTANTS[name]))
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return f"div_({self.text(left)}, {self.text(right)})"
            case ast.BinOp(left=left, op=op, right=right):
                return f"({self.text(left)} {_SIGNS[type(op)]} {self.text(right)})"
            case ast.UnaryOp(operand=operand):
                return f"(-{self.text(operand)})"
            case ast.Compare(left=left, ops=[sign], comparators=[right]):
                return f"({self.text(left)} {_SIGNS[type(sign)]} {self.text(right)})"
            case ast.BoolOp(op=joint, values=values):
                return f"({f' {_SIGNS[type(joint)]} '.join(map(self.text, values))})"
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return f"({self.text(test)} ? {self.text(body)} : {self.text(orelse)})"
            case ast.Call(func=ast.Name(id=name), args=args) if name in AGGREGATES:
                return self._aggregate(name, args[0], ast.unparse(node))
            case ast.Call(func=ast.Name(id=name), args=args):
                return f"{name}_({', '.join(map(self.text, args))})"
        raise AssertionError(f"unchecked expression {ast.unparse(node)}")

    def _aggregate(self, name: str, inner: ast.expr, whole: str) -> str:
        if whole not in self._known:
            text = self.text(inner)
            number = len(self._known)
            self._known[whole] = f"T({number})"
            if name == "rest":
                self._kept = ast.unparse(inner)
            again = "_AGAIN" * (name == "rest" and self._kept == self.again)
            self.before.append(f"    {name.upper()}{again}({number}, {text})")
        return self._known[whole]
