"""Expressions of the rule language, names and numbers as people write them: as plain text, and as LaTeX.

The text reads back: with ``·`` for ``*``, ``−`` for ``-`` and so on turned again into Python, it gives
the same number to the last bit. Parentheses stand where that, or a reader, needs them.
"""

from __future__ import annotations

import ast
import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from microbp.expr import AGGREGATES, CONSTANTS, REAL, Expression
from microbp.rules import Rule
from microbp.text import cut, shown

__all__ = [
    "ATOM", "SUM", "Term", "at", "formula", "latex", "latex_name", "latex_number", "plain_name",
    "plain_number", "symbol", "text",
]  # fmt: skip


# ------------------------------------------------------------------------------- names and numbers
class Math(NamedTuple):
    """A formula, or a sentence, as plain text and as LaTeX or Markdown."""

    text: str
    latex: str

    def __str__(self) -> str:
        return self.text


#: What stands for what is left out.
DOTS = Math("…", r"\dots")


def spelled(given: str | float, digits: int | None = None) -> Math:
    """A name, or a number of so many digits, in both forms. Names are data, never markup."""
    if isinstance(given, str):
        return Math(plain_name(given), latex_name(given))
    return Math(plain_number(given, digits, padded=True), latex_number(given, digits, padded=True))


def plain_number(x: float, digits: int | None = None, *, padded: bool = False, sign: bool = False) -> str:
    """A number as text, with ``digits`` significant digits or all; a real minus sign.

    ``padded`` keeps zeros at the end, and so says that the number was rounded: one with fewer digits is
    exact, and 0 has no sign. ``sign`` shows a plus, too.

    >>> plain_number(-0.74136507), plain_number(-0.74136507, 4), plain_number(2.0), plain_number(1e-7)
    ('−0.74136507', '−0.7414', '2', '1e-07')
    >>> [plain_number(x, 9, padded=True) for x in (0.5, 1 / 3, -0.1 * 3, -0.0)]
    ['0.5', '0.333333333', '−0.300000000', '0']
    """
    if math.isnan(x) or math.isinf(x):
        written = "nan" if math.isnan(x) else "∞" if x > 0 else "-∞"
    elif digits is None:
        written = repr(float(x)).removesuffix(".0")
    elif type(digits) is bool or digits < 1:
        raise ValueError(f"digits={digits!r}: a number is written with 1 or more")
    else:
        written = f"{x:.{digits}g}"
        if padded and x == 0.0:
            written = "0"
        elif padded and float(written) != x:
            mantissa, e, exponent = f"{x:#.{digits}g}".partition("e")
            written = mantissa.removesuffix(".") + e + exponent
    if written[0] == "-":
        return f"−{written[1:]}"
    return f"+{written}" if sign and x > 0.0 else written


def latex_number(x: float, digits: int | None = None, *, padded: bool = False) -> str:
    r"""A number as LaTeX; powers of ten are written out.

    >>> print(latex_number(-0.5), latex_number(1.5e-7), latex_number(1e10 / 3, 4))
    -0.5 1.5\cdot 10^{-7} 3.333\cdot 10^{9}
    """
    return latex_digits(plain_number(x, digits, padded=padded))


def latex_digits(written: str) -> str:
    """A number as plain text, turned into LaTeX."""
    if written.endswith(("nan", "∞")):
        return written.replace("nan", r"\mathrm{nan}").replace("∞", r"\infty").replace("−", "-")
    mantissa, _, exponent = written.replace("−", "-").partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return {"1": power, "-1": f"-{power}"}.get(mantissa, rf"{mantissa}\cdot {power}")


NUMBER = re.compile(r"[-−]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-−]?(inf|∞)|nan")
_ONE_WORD = re.compile(r"[^\W\d][\w.#′]*(\[[\w., '\"]*\])*([.#′][\w.#′]*)*(\([\w, ]*\))?")


def plain_name(name: str) -> str:
    """A name as it stands in a text; in quotes where it could be taken for something else.

    >>> plain_name("layers.0.w[1]"), plain_name("a - b"), plain_name("2")
    ('layers.0.w[1]', '“a - b”', '“2”')
    """
    name = cut(name)
    if _ONE_WORD.fullmatch(name) and name not in ("nan", "inf", "if", "else", "and", "or"):
        return name
    shown = (each if each.isprintable() else repr(each)[1:-1] for each in name)
    return f"“{''.join(shown).translate({ord('“'): '‘', ord('”'): '’'})}”"


_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma",
    "Υ": "Upsilon", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SPECIAL = {
    "\\": r"\backslash ", "{": r"\{", "}": r"\}", "$": r"\text{＄}", "%": r"\%", "#": r"\#", "&": r"\&",
    "_": r"\_", "^": r"\wedge ", "~": r"\sim ", "<": "{<}", ">": "{>}", "`": r"\backprime ", "'": r"\prime ",
    "′": r"\prime ", "-": r"\text{-}", "−": r"\text{-}", "*": r"\ast ", '"': r"\text{''}", "@": r"\text{＠}",
    " ": "~",
}  # fmt: skip


def latex_name(name: str) -> str:
    r"""A name as LaTeX for math mode; whatever it holds, it stays a name.

    A number at its end, what follows an underscore, and indices become its subscript; a number before
    indices is that of a layer.

    >>> print(*map(latex_name, ["w5", "net_o1", "theta", "W[0][1]", "E", "δ_1", "layers.0.w.1", "w1[0,2]"]))
    w_5 net_{o1} \theta W_{0,1} E \delta_1 layers.0.w.1 w_{0,2}^{(1)}
    >>> print(*map(latex_name, ["权重1", "a_b_c", "}$<b>"]))
    \text{权重}_1 a_{b\_c} \}\text{＄}{<}b{>}
    """
    name = cut(name)
    stem, layer, subscript = name, "", ""
    if match := re.fullmatch(r"([^\W\d_]+)(\d+)((?:\[[\w,]+\])+)(#\d+)?", name):
        stem, layer, subscript = match[1], f"({match[2]}){match[4] or ''}", match[3]
    elif match := re.fullmatch(r"([^\W\d_]+)(?:(\d+)|_(\w+)|((?:\[[\w,]+\])+))", name):
        stem, subscript = (each for each in match.groups() if each is not None)
    written = _latex_letters(stem)
    if not subscript:
        return written
    inner = _latex_letters(subscript.replace("][", ",").strip("[]"))
    written += f"_{inner}" if len(inner) == 1 else f"_{{{inner}}}"
    return f"{written}^{{{_latex_letters(layer)}}}" if layer else written


@lru_cache(maxsize=4096)  # the names of a net are made of few words
def _latex_letters(word: str) -> str:
    if word in _GREEK.values():
        return rf"\{word}"
    written = []
    for part in re.findall(r"[\x00-\x7f′−]|[^\x00-\x7f′−]+", word):
        if part in _SPECIAL:
            written.append(_SPECIAL[part])
        elif part.isascii():
            written.append(part if part.isprintable() else r"\text{?}")
        elif part in _GREEK:
            written.append(rf"\{_GREEK[part]} ")
        else:
            shown = "".join(each if each.isprintable() else "?" for each in part)
            written.append(rf"\text{{{shown}}}")
    joined = "".join(written)
    return re.sub(r"(\\[A-Za-z]+) (?![A-Za-z])", r"\1", joined).rstrip(" ")


# ----------------------------------------------------------------------------------------- expressions
class Term(NamedTuple):
    """A written expression and how tightly it holds together: what needs parentheses, and where."""

    text: str
    level: int


#: The levels of a :class:`Term`, from what is always put in parentheses to what never is.
CONDITIONAL, OR, AND, COMPARISON, SUM, PRODUCT, POWER, ATOM = range(8)

#: What stands for an argument: a name or a number as text, a number, or an expression already written.
Name = str | float | Term


def _raised(base: str) -> bool:
    """Whether it ends with a raised sign of a name, as x² and xⁿ do."""
    return unicodedata.decomposition(base.removesuffix("}")[-1]).startswith("<super>")


class Writer:
    """Writes plain text, and knows where parentheses are needed; LaTeX has other signs for the same."""

    minus, pi = "−", "π"
    operators: Mapping[type[ast.AST], str] = {
        ast.Lt: " < ", ast.LtE: " ≤ ", ast.Gt: " > ", ast.GtE: " ≥ ", ast.Eq: " = ", ast.NotEq: " ≠ ",
        ast.Add: " + ", ast.Sub: " − ", ast.And: " and ", ast.Or: " or ",
    }  # fmt: skip

    def __init__(
        self, names: Mapping[str, Name], over: Collection[str] | None = None, digits: int | None = None
    ) -> None:
        self.names, self.over, self.digits = names, over, digits
        #: How many aggregates the writer is inside of.
        self.depth = 0

    def write(self, node: ast.expr) -> Term:
        """The expression ``node``."""
        match node:
            case ast.Constant(value=int() | float() as number):
                return self.number(float(number))
            case ast.Name(id=name):
                return self.name(name)
            case ast.UnaryOp(operand=operand):
                return Term(f"{self.minus}{self.right(operand, PRODUCT)}", PRODUCT)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                sign = self.operators[type(op)]
                return Term(f"{self.left(left, SUM)}{sign}{self.right(right, PRODUCT)}", SUM)
            case ast.BinOp(left=ast.Name() | ast.Call() as left, op=ast.Mult(), right=right) if (
                ast.dump(left) == ast.dump(right)
            ):
                return self.call("pow", [left, ast.Constant(2.0)])
            case ast.BinOp(left=ast.UnaryOp(operand=left), op=ast.Mult(), right=right):
                return self.write(ast.UnaryOp(ast.USub(), ast.BinOp(left, ast.Mult(), right)))
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.product(left, right)
            case ast.BinOp(left=left, right=right):
                return self.quotient(left, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                sign = self.operators[type(op)]
                return Term(f"{self.left(left, SUM)}{sign}{self.left(right, SUM)}", COMPARISON)
            case ast.BoolOp(op=op, values=values):
                level = AND if isinstance(op, ast.And) else OR
                sign = self.operators[type(op)]
                return Term(sign.join(self.left(each, level + 1) for each in values), level)
            case ast.IfExp():
                return self.conditional(node)
            case ast.Call(func=ast.Name(id=name), args=args):
                if name not in AGGREGATES:
                    return self.call(name, args)
                self.depth += 1
                written = self.aggregate(name, args[0])
                self.depth -= 1
                return written
        raise AssertionError(f"unchecked expression {ast.unparse(node)!r}")

    def name(self, name: str) -> Term:
        """An argument, an element of a list, or a constant."""
        inside = name not in CONSTANTS and (name != "y" if self.over is None else name in self.over)
        if self.depth and inside:
            return self.element(name)
        given = self.names.get(name)
        if given is None:
            return self.number(CONSTANTS[name]) if name in CONSTANTS else self.word(name)
        if isinstance(given, Term):
            return given
        if isinstance(given, str) and not NUMBER.fullmatch(given):
            return self.word(given)
        if isinstance(given, str):
            return self.written(given.replace("-", "−").replace("inf", "∞").replace("e−", "e-"))
        return self.number(float(given))

    def left(self, node: ast.expr, level: int) -> str:
        """An operand that may begin with a minus sign."""
        return self.enclosed(self.write(node), level)

    def right(self, node: ast.expr, level: int) -> str:
        """An operand behind a sign: it may not begin with a minus sign."""
        term = self.write(node)
        return self.enclosed(term, ATOM + 1 if term.text.startswith(self.minus) else level)

    def enclosed(self, term: Term, level: int) -> str:
        """A term as it stands where ``level`` is needed."""
        return term.text if term.level >= level else self.parentheses(term.text)

    def parentheses(self, inner: str) -> str:
        """A text in parentheses."""
        return f"({inner})"

    def word(self, name: str) -> Term:
        """A name."""
        return Term(plain_name(name), ATOM)

    def written(self, digits: str) -> Term:
        """A number given as text, with the digits that it has."""
        return Term(digits, PRODUCT if digits.startswith("−") else ATOM)

    def number(self, x: float) -> Term:
        """A number, with the digits that are asked for; those that are left out are told by zeros."""
        if x == math.pi:
            return Term(self.pi, ATOM)
        return self.written(plain_number(x, self.digits, padded=self.digits is not None))

    def element(self, name: str) -> Term:
        """An argument inside of Σ or max, with its index."""
        return Term(name + "ᵢⱼₖ"[min(self.depth, 3) - 1], ATOM)

    def product(self, left: ast.expr, right: ast.expr) -> Term:
        """Left times right."""
        return Term(f"{self.first(left)}·{self.right(right, POWER)}", PRODUCT)

    def quotient(self, left: ast.expr, right: ast.expr) -> Term:
        """Left divided by right."""
        return Term(f"{self.first(left)}/{self.right(right, POWER)}", PRODUCT)

    def first(self, node: ast.expr) -> str:
        """The first of two factors. A quotient stands in parentheses: a/b·c could be read as a/(b·c)."""
        inner = node.operand if isinstance(node, ast.UnaryOp) else node
        quotient = isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Div)
        return self.left(node, ATOM if quotient else PRODUCT)

    def conditional(self, node: ast.IfExp) -> Term:
        """One number or another, by a condition."""
        body, test = self.left(node.body, OR), self.left(node.test, OR)
        return Term(f"{body} if {test} else {self.left(node.orelse, CONDITIONAL)}", CONDITIONAL)

    def call(self, name: str, args: list[ast.expr]) -> Term:
        """A function of the language."""
        if name == "pow":
            base, exponent = self.left(args[0], ATOM), self.write(args[1])
            base = self.parentheses(base) if _raised(base) else base
            if len(exponent.text) == 1 and exponent.text.isdecimal():
                return Term(base + "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(exponent.text)], POWER)
            return Term(f"{base}^{self.enclosed(exponent, ATOM)}", POWER)
        inner = ", ".join(self.write(each).text for each in args)
        return Term(f"{'σ' if name == 'sigmoid' else name}({inner})", ATOM)

    def aggregate(self, name: str, inner: ast.expr) -> Term:
        """Σ or max over all elements."""
        sign = {"total": "Σ", "largest": "max"}.get(name, name)
        return Term(f"{sign}({self.write(inner).text})", ATOM)


# ------------------------------------------------------------------------------------------ plain text
def text(
    expression: Expression, names: Mapping[str, Name], over: Collection[str] | None = None,
    digits: int | None = None,
) -> str:  # fmt: skip
    """The expression as plain text, each argument by its entry in ``names``, else by its own name.

    An entry that is a number, or the text of one, is written as a number; a name that is not one word
    stands in quotes. ``over`` holds the arguments that run over lists: inside Σ and max they keep their
    own names, with an index, while outside their entry is the element in question. Unless given, every
    argument inside Σ and max is one of them. Numbers have ``digits`` significant digits, or all.

    >>> from microbp.expr import parse
    >>> sigmoid = parse("y * (1.0 - y)", ["a", "y"], "sigmoid")
    >>> text(sigmoid, {"y": "h1"}), text(sigmoid, {"y": "-0.5"})
    ('h1·(1 − h1)', '−0.5·(1 − (−0.5))')
    >>> text(parse("b * pow(a, b - 1.0)", "ab", "pow"), {"a": "x", "b": 3.0})
    '3·x^(3 − 1)'
    >>> text(parse("x / total(pow(x, 2.0))", "x", "share", many=True), {"x": "z3"})
    'z3/Σ(xᵢ²)'
    """
    return Writer(names, over, digits).write(expression.tree).text


# ----------------------------------------------------------------------------------------------- LaTeX
def latex(
    expression: Expression, names: Mapping[str, Name], over: Collection[str] | None = None,
    digits: int | None = None,
) -> str:  # fmt: skip
    r"""The expression as LaTeX for math mode, with the names as in :func:`text`.

    >>> from microbp.expr import parse
    >>> print(latex(parse("y * (1.0 - y)", ["a", "y"], "sigmoid"), {"y": "h1"}))
    h_1\,(1-h_1)
    >>> print(latex(parse("0.0 if a <= 0.0 else 1.0", "a", "relu"), {"a": "net_o1"}))
    \begin{cases}0 & \text{if } net_{o1}\le 0\\1 & \text{otherwise}\end{cases}
    """
    return _Latex(names, over, digits).write(expression.tree).text


_FUNCTIONS = {name: f"\\{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "max")} | {
    "log": r"\ln", "asin": r"\arcsin", "acos": r"\arccos", "atan": r"\arctan", "sigmoid": r"\sigma",
    "minimum": r"\min", "maximum": r"\max",
}  # fmt: skip


class _Latex(Writer):
    minus, pi = "-", r"\pi"
    operators: Mapping[type[ast.AST], str] = {
        ast.Lt: " < ", ast.LtE: r"\le ", ast.Gt: " > ", ast.GtE: r"\ge ", ast.Eq: "=", ast.NotEq: r"\ne ",
        ast.Add: "+", ast.Sub: "-", ast.And: r"\text{ and }", ast.Or: r"\text{ or }",
    }  # fmt: skip

    def parentheses(self, inner: str) -> str:
        tall = re.search(r"\\(frac|begin|sum)", inner)
        return rf"\left({inner}\right)" if tall else f"({inner})"

    def word(self, name: str) -> Term:
        return Term(latex_name(name), ATOM)

    def written(self, digits: str) -> Term:
        made = latex_digits(digits)
        return Term(made, PRODUCT if made.startswith("-") or "^" in made else ATOM)

    def element(self, name: str) -> Term:
        written = latex_name(name)
        index = "ijk"[min(self.depth, 3) - 1]
        return Term(f"{written if len(written) == 1 else f'{{{written}}}'}_{index}", ATOM)

    def product(self, left: ast.expr, right: ast.expr) -> Term:
        first, second = self.left(left, PRODUCT), self.right(right, POWER)
        sign = r"\cdot " if second[0].isdigit() else r"\,"
        return Term(f"{first}{sign}{second}", PRODUCT)

    def quotient(self, left: ast.expr, right: ast.expr) -> Term:
        above, below = self.write(left), self.write(right).text
        sign = "-" if above.level == PRODUCT and above.text.startswith("-") else ""
        return Term(rf"{sign}\frac{{{above.text.removeprefix(sign)}}}{{{below}}}", PRODUCT if sign else POWER)

    def conditional(self, node: ast.IfExp) -> Term:
        rows: list[str] = []
        rest: ast.expr = node
        while isinstance(rest, ast.IfExp):
            rows.append(rf"{self.write(rest.body).text} & \text{{if }} {self.write(rest.test).text}")
            rest = rest.orelse
        rows.append(rf"{self.write(rest).text} & \text{{otherwise}}")
        return Term("".join((r"\begin{cases}", r"\\".join(rows), r"\end{cases}")), CONDITIONAL)

    def call(self, name: str, args: list[ast.expr]) -> Term:
        inner = self.write(args[0]).text
        match name:
            case "pow":
                base = self.left(args[0], ATOM)
                if _raised(base) or re.search(r"\^\{[^{}]*\}$", base):
                    base = self.parentheses(base)
                return Term(f"{base}^{{{self.write(args[1]).text}}}", POWER)
            case "exp":
                return Term(f"e^{{{inner}}}", POWER)
            case "expm1":
                return Term(f"e^{{{inner}}}-1", SUM)
            case "log1p":
                return Term(rf"\ln{self.parentheses(f'1+{self.right(args[0], PRODUCT)}')}", ATOM)
            case "sqrt":
                return Term(rf"\sqrt{{{inner}}}", ATOM)
            case "abs":
                return Term(rf"\left|{inner}\right|", ATOM)
        inner = ",".join(self.write(each).text for each in args)
        function = _FUNCTIONS.get(name, rf"\operatorname{{{name}}}".replace("_", r"\_"))
        return Term(f"{function}{self.parentheses(inner)}", ATOM)

    def aggregate(self, name: str, inner: ast.expr) -> Term:
        index = "ijk"[min(self.depth, 3) - 1]
        if name == "total":
            return Term(rf"\sum_{index} {self.left(inner, PRODUCT)}", SUM)
        sign = r"\max" if name == "largest" else rf"\operatorname{{{name}}}"
        return Term(f"{sign}_{index}{self.parentheses(self.write(inner).text)}", ATOM)


# ------------------------------------------------------------------------------------------- operations
_SYMBOLS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "pow": "^", "neg": "−", "abs": "|·|", "sqrt": "√",
    "sigmoid": "σ", "sum": "Σ", "dot": "Σ", "minimum": "min", "maximum": "max",
}  # fmt: skip


def symbol(rule: Rule | str) -> str:
    """The sign of an operation, its name where it has none.

    >>> symbol("mul"), symbol("sigmoid"), symbol("tanh"), symbol("dot")
    ('×', 'σ', 'tanh', 'Σ')
    """
    name = rule if isinstance(rule, str) else rule.name
    return _SYMBOLS.get(name, name)


#: Operations that are read from their row; those of many operands are sums, all others are written as a call.
_WRITTEN_OUT = {"add", "sub", "mul", "div", "neg", "pow"}


def formula(rule: Rule, operands: Sequence[str | float], most: int = 6, longest: int = 80) -> str:
    """How a node is computed, with the names of its operands; of very many, or long ones, the first.

    >>> from microbp.rules import RULES
    >>> formula(RULES["mul"], ["w", "x"]), formula(RULES["pow"], ["v1", 2.0])
    ('w·x', 'v1²')
    >>> formula(RULES["sigmoid"], ["z"])
    'σ(z)'
    >>> formula(RULES["dot"], ["w", "u", "x", 0.5, "b"]), formula(RULES["sum"], [*"abc"], most=2)
    ('w·x + u·0.5 + b', 'a + b + … (3 terms)')
    """
    names = [plain_name(each) if isinstance(each, str) else plain_number(each) for each in operands]
    if rule.name in _WRITTEN_OUT:
        return text(rule.y, dict(zip(rule.args, operands, strict=True)))
    pieces, sign, counted = names, ", ", "in all"
    if rule.name in ("sum", "dot"):
        sign, counted = " + ", "terms"
    if rule.name == "dot":
        weights, inputs, bias = rule.split(names)
        pieces = [f"{w}·{x}" for w, x in zip(weights, inputs, strict=True)]
        pieces += [] if operands[-1] == 0.0 else [bias]
    shown = pieces[:most]
    while len(shown) > 1 and len(sign.join(shown)) > longest:
        shown.pop()
    more = [f"… ({len(pieces)} {counted})"] if len(shown) < len(pieces) else []
    inner = sign.join([*shown, *more])
    name = symbol(rule) if symbol(rule)[0].isalpha() else rule.name
    return inner if counted == "terms" else f"{name}({inner})"


# --------------------------------------------------------------------------------------------------- branches
def at(
    expression: Expression,
    numbers: Mapping[str, float],
    literals: Collection[str] = (),
    elements: Sequence[Mapping[str, float]] = (),
) -> Expression:
    """What is left of the expression at these ``numbers``: of each conditional the branch taken.

    ``literals`` are the names to be replaced by their numbers; arithmetic between literals is done.
    ``elements`` are the numbers over which ``total`` and ``largest`` run.

    >>> from microbp.expr import parse
    >>> slope = parse("0.0 if a <= 0.0 else 1.0 if a > 0.0 else a", "a", "relu")
    >>> str(at(slope, {"a": 2.5}))
    '1.0'
    >>> power = parse("b * pow(a, b - 1.0) if a != 0.0 or b >= 1.0 else inf", "ab", "pow")
    >>> str(at(power, {"a": 0.7, "b": 2.0}, literals=["b"]))
    '2.0 * a'
    """
    if missing := [*filter(lambda each: each not in numbers, literals)]:
        raise ValueError(f"at(): of the literal {shown(missing[0])} no number is given")
    if not literals and not elements and " if " not in expression.text:
        return _everywhere(expression)
    return _reduced(expression, numbers, literals, elements)


@lru_cache(maxsize=1024)
def _everywhere(expression: Expression) -> Expression:
    """What is left of one that is the same at all numbers."""
    return _reduced(expression, dict.fromkeys(expression.names, math.nan), (), ())


def _reduced(
    expression: Expression,
    numbers: Mapping[str, float],
    literals: Collection[str],
    elements: Sequence[Mapping[str, float]],
) -> Expression:
    tree = _At(numbers, literals, elements).visit(ast.parse(expression.text, mode="eval").body)
    names = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    return Expression(ast.unparse(tree), frozenset(names & {*numbers, *CONSTANTS}), tree)


class _At(ast.NodeTransformer):
    def __init__(
        self, numbers: Mapping[str, float], literals: Collection[str], elements: Sequence[Mapping[str, float]]
    ) -> None:
        self.numbers, self.literals, self.elements = numbers, literals, elements

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(self.numbers[node.id])) if node.id in self.literals else node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        whole = Expression(ast.unparse(node.test), frozenset(), node.test)
        try:
            test = whole.evaluate(self.numbers, REAL, self.elements)
        except (KeyError, ArithmeticError, ValueError):
            return self.generic_visit(node)
        return self.visit(node.body if test else node.orelse)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        made = ast.UnaryOp(node.op, self.visit(node.operand))
        return _computed(made) if isinstance(made.operand, ast.Constant) else made

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        left, right = self.visit(node.left), self.visit(node.right)
        both = ast.BinOp(left, node.op, right)
        match left, node.op, right:
            case ast.Constant(), _, ast.Constant():
                return _computed(both)
            case ast.Constant(value=1.0), ast.Mult(), _:
                return right  # type: ignore[no-any-return]
            case _, ast.Mult() | ast.Div(), ast.Constant(value=1.0):
                return left  # type: ignore[no-any-return]
        return both

    def visit_Call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in AGGREGATES:
            return self._aggregate(node, name)
        args = [self.visit(each) for each in node.args]
        if name == "pow" and isinstance(args[1], ast.Constant) and args[1].value == 1.0:
            return args[0]  # type: ignore[no-any-return]
        return ast.Call(node.func, args, [])

    def _aggregate(self, node: ast.Call, name: str) -> ast.expr:
        """A sum in which every element is a literal, as when the largest are counted, is a literal."""
        runs = []
        for each in self.elements:
            inner = _At({**self.numbers, **each}, self.literals, self.elements)
            runs.append(inner.visit(ast.parse(ast.unparse(node.args[0]), mode="eval").body))
        if runs and all(isinstance(each, ast.Constant) for each in runs):
            return ast.Constant(REAL.functions[name]([each.value for each in runs]))
        return node


def _computed(node: ast.expr) -> ast.expr:
    try:
        return ast.Constant(Expression("", frozenset(), node).evaluate({}))
    except ArithmeticError:
        return node
