r"""The matrix form as LaTeX: the statements of the generated source as formulas, a row for each sample.

``delta1`` is \delta^{(1)}, ``dW1`` is \partial J/\partial W^{(1)}, the derivative of the sum J of the
samples' costs, and a product entry by entry is \odot. A slice of an array has its places as an index.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from microbp.notation.names import latex_digits, latex_name
from microbp.replay.code import add, mul, neg, text
from microbp.replay.function_graph import Captured
from microbp.replay.groups import THETA
from microbp.replay.matrix import MANY, Plan
from microbp.replay.passes import Generated, Statement

__all__ = ["formulas", "latex", "matrices", "whole_vector"]

_FUNCTIONS = (
    {"arctan": r"\arctan", "arcsin": r"\arcsin", "arccos": r"\arccos"}
    | {each: f"\\{each}" for each in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")}
    | {"maximum": r"\max", "minimum": r"\min", "d_tanh": r"\tanh'", "d_sigmoid": r"\sigma'"}
)
_COMPARE = {ast.Lt: "<", ast.LtE: r"\le", ast.Gt: ">", ast.GtE: r"\ge", ast.Eq: "=", ast.NotEq: r"\ne"}
#: How strongly a formula holds together: a sum, a product, a factor, what a superscript can be put to.
_SUM, _PRODUCT, _FACTOR, _ATOM = range(4)
Formula = tuple[str, int]
#: Calls by what they are of their arguments.
_CALLS = {
    "np.sqrt": (r"\sqrt{{{0}}}", _ATOM),
    "np.abs": (r"\left|{0}\right|", _ATOM),
    "np.vdot": (r"\left\langle {0}, {1} \right\rangle", _ATOM),
    "np.where": (r"\begin{{cases}} {1} & {0} \\ {2} & \text{{else}} \end{{cases}}", _FACTOR),
    "np.zeros": ("0", _ATOM),
}


def latex(captured: Captured) -> str:
    r"""The forward and the backward pass of a batch as an ``aligned`` environment, a line for each array.

    >>> from microbp import MLP, Value
    >>> from microbp.replay.function_graph import capture
    >>> net, x = MLP(2, [3, 1], activation="tanh", seed=0), [Value(0.5), Value(1.0)]
    >>> print(latex(capture(net(x), x, net.parameters())))
    \begin{aligned}
    z^{(1)} &= x\,W^{(1)\top} + b^{(1)} \\
    h^{(1)} &= \tanh\left(z^{(1)}\right) \\
    z^{(2)} &= h^{(1)}\,W^{(2)\top} + b^{(2)} \\
    J &= \textstyle\sum z^{(2)} \\
    \delta^{(1)} &= W^{(2)}_{0} \odot \tanh'\left(z^{(1)}\right) \\
    \frac{\partial J}{\partial W^{(1)}} &= \delta^{(1)\top}\,x \\
    \frac{\partial J}{\partial b^{(1)}} &= \textstyle\sum_{s} \delta^{(1)} \\
    \frac{\partial J}{\partial W^{(2)}} &= \textstyle\sum_{s} h^{(1)} \\
    \frac{\partial J}{\partial b^{(2)}} &= n
    \end{aligned}

    A sum over s runs over the samples. Raises ValueError for a graph so irregular that its form is a table.
    """
    made = matrices(captured)
    lines = [*whole_vector(made), *(line for each in made.both.statements for line in formulas(each))]
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def matrices(captured: Captured) -> Generated:
    """The matrix form of a graph; ValueError for one so irregular that there is none."""
    plan = Plan(captured)
    if not plan.has_matrices:
        raise ValueError(
            f"latex: there are no matrices in these {len(captured.graph):,} scalars, or more than {MANY:,}, "
            "which are no formula; take a part of the graph"
        )
    return Generated(plan)


def whole_vector(made: Generated) -> list[str]:
    """A line that says of which arrays the vector is made that the source uses beside them, if it does."""
    if not made.both.theta_used or not made.arrays:
        return []
    parts = " | ".join(_symbol(each.name)[0] for each in made.arrays)
    return [rf"{_symbol(made.plan.arrays[THETA].name)[0]} &= \left[{parts}\right]"]


def formulas(statement: Statement) -> Iterator[str]:
    """The formula of a statement; none of one that is only about Python."""
    target, value = statement.target, statement.value
    if target is None or value is None or statement.indent:
        return
    match target:
        case ast.Name(id="costs"):
            shown = value.value if isinstance(value, ast.Subscript) else value
            yield rf"J &= \textstyle\sum {_within(shown, _PRODUCT)}"
            return
        case ast.Subscript(value=whole, slice=ast.Constant(value=index)) if index is ...:
            target = whole
    sign = r"&\mathrel{+}=" if statement.sign in ("+=", "at") else "&="
    yield f"{_formula(target)[0]} {sign} {_formula(value)[0]}"


def _symbol(name: str) -> Formula:
    r"""``W1`` as W^{(1)}, ``dW1`` and ``d_h1`` as derivatives of J, ``delta1`` as \delta^{(1)}."""
    derivative = re.fullmatch(r"d_?(?!elta)([A-Za-z]\w*)", name)
    if derivative:
        return rf"\frac{{\partial J}}{{\partial {_symbol(derivative[1])[0]}}}", _FACTOR
    found = re.fullmatch(r"(.*?\D)_?(\d[\d_]*)?", name)
    stem, number = (found[1], found[2]) if found else (name, None)
    plain = stem.rstrip("_")
    shown = latex_name(plain)
    if len(plain) > 1 and shown != f"\\{plain}":  # no Greek letter
        shown = rf"\mathrm{{{plain}}}".replace("_", r"\_")
    return (f"{shown}^{{({number.replace('_', ',')})}}", _FACTOR) if number else (shown, _ATOM)


def _within(node: ast.expr, strength: int) -> str:
    """The formula as a part of another; in parentheses where it holds together less than that."""
    source, own = _formula(node)
    return source if own >= strength else rf"\left({source}\right)"


def _raised(base: ast.expr, power: str) -> Formula:
    """With a superscript, of which a formula can have but one."""
    return f"{_within(base, _ATOM)}^{{{power}}}", _FACTOR


def _formula(node: ast.expr) -> Formula:
    match node:
        case ast.Constant(value=value):
            number = f"{value:g}" if isinstance(value, float) else str(value)
            return latex_digits(number), _FACTOR if "e" in number else _ATOM
        case ast.Name(id="np.inf" | "np.nan" as name):
            return (r"\infty" if name == "np.inf" else r"\mathrm{nan}"), _ATOM
        case ast.Name(id=name):
            return _symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{_within(operand, _PRODUCT)}", _SUM
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            sign = "+" if isinstance(op, ast.Add) else "-"
            return f"{_within(left, _SUM)} {sign} {_within(right, _PRODUCT)}", _SUM
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            return rf"{_within(left, _PRODUCT)}\,{_within(right, _FACTOR)}", _PRODUCT
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            sign, sides = r" \odot ", []
            for each in (left, right):
                if isinstance(each, ast.Constant) or (isinstance(each, ast.Name) and each.id == "n"):
                    sign = r"\,"
                matrices = isinstance(each, ast.BinOp) and isinstance(each.op, ast.MatMult)
                sides.append(_within(each, _ATOM if matrices else _PRODUCT))
            return sign.join(sides), _PRODUCT
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return rf"\frac{{{_formula(left)[0]}}}{{{_formula(right)[0]}}}", _FACTOR
        case ast.Attribute(value=inner, attr="T"):
            return _transposed(inner)
        case ast.Subscript(value=inner, slice=where):
            return _indexed(inner, where)
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
            word = "and" if isinstance(op, ast.BitAnd) else "or"
            return rf"{_formula(left)[0]} \text{{ {word} }} {_formula(right)[0]}", _SUM
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return f"{_formula(left)[0]} {_COMPARE[type(op)]} {_formula(right)[0]}", _SUM
        case ast.Call(func=func, args=args, keywords=keywords):
            return _call(func, args, keywords)
    return rf"\texttt{{{text(node)}}}".replace("_", r"\_"), _FACTOR


def _transposed(matrix: ast.expr) -> Formula:
    r"""W^{(1)\top}: one superscript has both."""
    source, _ = _formula(matrix)
    if isinstance(matrix, ast.Name) and source.endswith(")}"):
        return rf"{source[:-1]}\top}}", _FACTOR
    return _raised(matrix, r"\top")


def _indexed(inner: ast.expr, where: ast.expr) -> Formula:
    """An array with the places that are taken of it; the axis of the samples is not shown."""
    parts = where.elts if isinstance(where, ast.Tuple) else [where]
    shown = [text(each) for each in parts if text(each) not in (":", "None", "...")]
    source, strength = _formula(inner)
    if not shown:
        return source, strength
    places = ", ".join(_symbol(each)[0] if each.isidentifier() else each for each in shown)
    if not isinstance(inner, ast.Name):
        return rf"\left({source}\right)_{{{places}}}", _ATOM
    if source.startswith(r"\frac"):  # the derivative by that place
        return f"{source[:-1]}_{{{places}}}}}", _FACTOR
    return f"{source}_{{{places}}}", strength


def _call(func: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> Formula:
    match func:
        case ast.Attribute(value=inner, attr="sum" | "max" as name) if not args:
            over = any(each.arg == "axis" and text(each.value) == "0" for each in keywords)
            sign = r"\textstyle\sum" if name == "sum" else r"\max"
            return f"{sign}{'_{s}' if over else ''} {_within(inner, _PRODUCT)}", _PRODUCT
        case ast.Attribute(value=inner, attr="reshape" | "copy"):
            return _formula(inner)
        case ast.Attribute(value=inner, attr="swapaxes"):
            return _transposed(inner)
    word = text(func)
    match word, args:
        case "np.repeat" | "np.broadcast_to", [inner, *_]:
            return _formula(inner)
        case "np.concatenate", [ast.List(elts=parts)]:
            return rf"\left[{' | '.join(_formula(each)[0] for each in parts)}\right]", _ATOM
        case "np.square", [base]:
            return _raised(base, "2")
        case "np.power", [base, power]:
            return _raised(base, _formula(power)[0])
        case "shift", [a, top]:  # what it is of finite numbers
            return _formula(add(top, neg(a)))
        case "times", _:
            return _formula(mul(*args))
        case "d_tanh" | "d_sigmoid", [a, _]:  # the second is the value, from which the derivative is computed
            args = [a]
    shown = [_formula(each)[0] for each in args]
    if word in _CALLS:
        pattern, strength = _CALLS[word]
        return pattern.format(*shown), strength
    word = word.removeprefix("np.")
    function = _FUNCTIONS.get(word) or rf"\operatorname{{{word}}}".replace("_", r"\_")
    return rf"{function}\left({', '.join(shown)}\right)", _ATOM
