r"""The matrix form as LaTeX: the statements of the generated source as formulas, a row for each sample.

``delta1`` is \delta^{(1)}, ``dW1`` is \partial J/\partial W^{(1)}, the derivative of the sum J of the
samples' costs, and a product entry by entry is \odot. A slice of an array has its places as an index.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from microbp.notation import ATOM, POWER, PRODUCT, Term, _Latex, latex_name
from microbp.replay.code import text
from microbp.replay.forms import Matrix
from microbp.replay.function_graph import Captured
from microbp.replay.groups import THETA
from microbp.replay.matrix import MANY, Plan
from microbp.replay.passes import Statement

__all__ = ["formulas", "matrices", "whole_vector"]

#: What NumPy and the source's own functions are called in the rule language, or in LaTeX.
_WORDS = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "power": "pow", "d_tanh": r"\tanh'",
    "d_sigmoid": r"\sigma'",
}  # fmt: skip


def matrices(captured: Captured) -> Matrix:
    """The matrix form of a graph; ValueError for one so irregular that there is none."""
    plan = Plan(captured)
    if not plan.has_matrices:
        raise ValueError(
            f"explain: there are no matrices in these {len(captured.graph):,} scalars, or more than "
            f"{MANY:,}, which are no formula; take a part of the graph"
        )
    return Matrix(captured, plan)


def whole_vector(form: Matrix) -> list[str]:
    """A line that says of which arrays the vector is made that the source uses beside them, if it does."""
    arrays = [_symbol(each.name).text for each in form.plan.used.values()]
    vector = rf"{_symbol(form.plan.arrays[THETA].name).text} &= \left[{' | '.join(arrays)}\right]"
    return [vector] * bool(form.writer.theta_used and arrays)


def formulas(statement: Statement) -> Iterator[str]:
    """The formula of a statement; none of one that is only about Python."""
    target, value, writer = statement.target, statement.value, _Matrices({})
    if target is None or statement.indent:
        return
    if isinstance(target, ast.Name) and target.id == "costs":
        shown = value.value if isinstance(value, ast.Subscript) else value
        yield rf"J &= \textstyle\sum {writer.left(shown, PRODUCT)}"
        return
    sign = "&=" if statement.sign == "=" else r"&\mathrel{+}="
    yield f"{writer.write(target).text} {sign} {writer.write(value).text}"


def _symbol(name: str) -> Term:
    r"""``W1`` as W^{(1)}, ``dW1`` and ``d_h1`` as derivatives of J, ``delta1`` as \delta^{(1)}."""
    if derivative := re.fullmatch(r"d_?(?!elta)([A-Za-z]\w*)", name):
        return Term(rf"\frac{{\partial J}}{{\partial {_symbol(derivative[1]).text}}}", POWER)
    stem, number = re.fullmatch(r"(.*?)_?(\d[\d_]*)?", name).groups()  # type: ignore[union-attr]
    shown = latex_name(stem.rstrip("_"))
    if len(stem) > 1 and shown != f"\\{stem}":  # no Greek letter
        shown = rf"\mathrm{{{stem.rstrip('_')}}}".replace("_", r"\_")
    return Term(f"{shown}^{{({number.replace('_', ',')})}}", POWER) if number else Term(shown, ATOM)


class _Matrices(_Latex):
    """The rule language in LaTeX, with matrices, their parts, and sums over them."""

    def write(self, node: ast.expr) -> Term:
        match node:
            case ast.Name(id="np.inf" | "np.nan" as name):
                return Term(r"\infty" if name == "np.inf" else r"\mathrm{nan}", ATOM)
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                return Term(rf"{self.left(left, PRODUCT)}\,{self.right(right, POWER)}", PRODUCT)
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
                joint = ast.And() if isinstance(op, ast.BitAnd) else ast.Or()
                return super().write(ast.BoolOp(joint, [left, right]))
            case ast.Attribute(value=inner) | ast.Call(func=ast.Attribute(value=inner, attr="transpose")):
                return self.transposed(inner)
            case ast.Call(func=ast.Attribute(value=inner, attr="sum" | "max" as name), keywords=over):
                samples = any(each.arg == "axis" and text(each.value) == "0" for each in over)
                sign = r"\textstyle\sum" if name == "sum" else r"\max"
                return Term(rf"{sign}{'_{s}' * samples} {self.left(inner, PRODUCT)}", PRODUCT)
            case ast.Call(func=ast.Attribute(value=inner)):  # reshape
                return self.write(inner)
            case ast.Subscript(value=inner, slice=where):
                return self.indexed(inner, where)
        return super().write(node)

    def name(self, name: str) -> Term:
        return _symbol(name)

    def product(self, left: ast.expr, right: ast.expr) -> Term:
        numbers = any(isinstance(each, ast.Constant) or text(each) == "n" for each in (left, right))
        sides = []
        for each in (left, right):
            matrices = isinstance(each, ast.BinOp) and isinstance(each.op, ast.MatMult)
            sides.append(self.left(each, POWER if matrices else PRODUCT))
        return Term((r"\," if numbers else r" \odot ").join(sides), PRODUCT)

    def call(self, name: str, args: list[ast.expr]) -> Term:
        word = _WORDS.get(name.removeprefix("np."), name.removeprefix("np."))
        match word, args:
            case "broadcast_to", [inner, *_]:
                return self.write(inner)
            case "zeros", _:
                return Term("0", ATOM)
            case "where", [test, body, orelse]:
                return self.conditional(ast.IfExp(test, body, orelse))
            case "square", [base]:
                return super().call("pow", [base, ast.Constant(2.0)])
            case "shift", [a, top]:  # what it is of finite numbers
                return self.write(ast.BinOp(top, ast.Sub(), a))
            case "times", [a, b]:
                return self.product(a, b)
            case "einsum", [ast.Constant(value=str() as axes), a, b]:
                given, out = axes.split("->")
                over = "".join(sorted({*given} - {*out, ","})).replace("n", "s")
                return Term(rf"\textstyle\sum_{{{over}}} {self.product(a, b).text}", PRODUCT)
            case "vdot", _:
                both = ", ".join(self.write(each).text for each in args)
                return Term(rf"\left\langle {both} \right\rangle", ATOM)
            case "concatenate", [ast.List(elts=parts)]:
                return Term(rf"\left[{' | '.join(self.write(each).text for each in parts)}\right]", ATOM)
        if word.startswith("\\"):  # the second argument is the value, from which the derivative is computed
            return Term(f"{word}{self.parentheses(self.write(args[0]).text)}", ATOM)
        return super().call(word, args)

    def transposed(self, matrix: ast.expr) -> Term:
        r"""W^{(1)\top}: one superscript has both."""
        shown = self.write(matrix)
        if isinstance(matrix, ast.Name) and shown.text.endswith(")}"):
            return Term(rf"{shown.text[:-1]}\top}}", POWER)
        return Term(rf"{self.enclosed(shown, ATOM)}^{{\top}}", POWER)

    def indexed(self, inner: ast.expr, where: ast.expr) -> Term:
        """An array with the places that are taken of it; the axis of the samples is not shown."""
        parts = where.elts if isinstance(where, ast.Tuple) else [where]
        found = [text(each) for each in parts if text(each) not in (":", "None", "...", "Ellipsis")]
        shown = self.write(inner)
        if not found:
            return shown
        places = ", ".join(_symbol(each).text if each.isidentifier() else each for each in found)
        if not isinstance(inner, ast.Name):
            return Term(rf"\left({shown.text}\right)_{{{places}}}", ATOM)
        if shown.text.startswith(r"\frac"):  # the derivative by that place
            return Term(f"{shown.text[:-1]}_{{{places}}}}}", POWER)
        return Term(f"{shown.text}_{{{places}}}", shown.level)
