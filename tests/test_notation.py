"""What people read means what the expression says: both forms are read back and evaluated.

The readers below know how people read, nothing of how the forms are made.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_once

from microbp.expr import FUNCTIONS, REAL, Expression, parse
from microbp.notation import (
    at,
    latex,
    latex_name,
    latex_number,
    plain_name,
    plain_number,
    symbol,
    text,
)
from microbp.rules import RULES, TABLE, Rule

ROWS = [(rule, each) for rule in TABLE for each in (rule.y, *rule.d)]


# ------------------------------------------------------------------------------------- the readers
def python_of(written: str) -> str:
    """Plain text as Python; Σ and max run over all elements."""
    written = re.sub(r"max\((?=[^()]*[ᵢⱼₖ])", "largest(", written)
    for ours, pythons in {
        "·": "*", "−": "-", "≤": "<=", "≥": ">=", " = ": " == ", "≠": "!=", "π": "pi", "∞": "inf", "^": "**",
        "Σ(": "total(", "σ(": "sigmoid(", "ᵢ": "_i", "ⱼ": "_j", "ₖ": "_k",
        **{each: f"**{power}" for power, each in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    }.items():  # fmt: skip
        written = written.replace(ours, pythons)
    return written


def read(written: str, scope: dict[str, Any], elements: list[dict[str, float]] = []) -> Any:  # noqa: B006
    """The number that a plain text stands for."""
    return _value(ast.parse(python_of(written), mode="eval").body, scope, elements)


def _value(node: ast.expr, scope: dict[str, Any], elements: list[dict[str, float]]) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="total" | "largest" | "rest" as name), args=[inner]):
            index = "ijk"[scope["depth"]]
            runs = []
            for each in elements:
                bound = {f"{arg}_{index}": number for arg, number in each.items()}
                runs.append(_value(inner, {**scope, **bound, "depth": scope["depth"] + 1}, elements))
            return REAL.functions[name](runs)
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name].real(*(_value(each, scope, elements) for each in args))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, scope, elements) else orelse, scope, elements)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _value(left, scope, elements), _value(right, scope, elements)
            signs = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
            if isinstance(op, ast.Pow):
                return a * a if b == 2.0 else math.pow(a, b)
            return eval(f"a {signs[type(op)]} b", {"a": a, "b": b})
        case ast.BoolOp(op=op, values=values):
            return (all if isinstance(op, ast.And) else any)(
                _value(each, scope, elements) for each in values
            )
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            a, b = _value(left, scope, elements), _value(right, scope, elements)
            signs = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
            return eval(f"a {signs[type(op)]} b", {"a": a, "b": b})
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, scope, elements)
        case ast.Constant(value=number):
            return float(number)
        case ast.Name(id=name):
            return {"pi": math.pi, "inf": math.inf, "nan": math.nan, **scope}[name]
    raise AssertionError(f"the text holds {ast.unparse(node)!r}")


TOKEN = re.compile(
    r"\s*(\\begin\{cases\}|\\end\{cases\}|\\\\|\\text\{[^{}]*\}|\\operatorname\{\w+\}|\\mathrm\{nan\}|\\[A-Za-z]+|"
    r"\\[,{}$%#&_]|\d+\.?\d*|[A-Za-z]+(?:_\w|_\{[\w,]*\})?|[-+=<>^{}()|&_~])"
)


class LatexReader:
    """LaTeX read as people read it, and evaluated; a recursive descent over its tokens."""

    def __init__(self, written: str, scope: dict[str, Any], elements: list[dict[str, float]]) -> None:
        self.tokens, place = [], 0
        while place < len(written):
            match = TOKEN.match(written, place)
            assert match, f"no LaTeX token at {written[place:]!r}"
            self.tokens.append(match[1])
            place = match.end()
        self.place, self.scope, self.elements = 0, scope, elements
        self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        assert wanted is None or token == wanted, f"{wanted} expected, {token} found in {self.tokens}"
        self.place += 1
        return token

    def condition(self) -> bool:
        made = self.conjunction()
        while self.peek() == r"\text{ or }":
            self.take()
            made = self.conjunction() or made
        return made

    def conjunction(self) -> bool:
        made = self.comparison()
        while self.peek() == r"\text{ and }":
            self.take()
            made = self.comparison() and made
        return made

    def comparison(self) -> bool:
        left, sign = self.sum(), self.take()
        right = self.sum()
        compare = {
            "<": float.__lt__, ">": float.__gt__, r"\le": float.__le__, r"\ge": float.__ge__,
            "=": float.__eq__, r"\ne": float.__ne__,
        }  # fmt: skip
        return bool(compare[sign](left, right))

    def sum(self) -> float:
        minus = self.peek() == "-"
        if minus:
            self.take()
        made = self.product()
        made = -made if minus else made
        while self.peek() in ("+", "-"):
            made = made + self.product() if self.take() == "+" else made - self.product()
        return made

    def product(self) -> float:
        made = self.power()
        while self.peek() in (r"\,", r"\cdot"):
            self.take()
            made *= self.power()
        return made

    def power(self) -> float:
        made = self.atom()
        if self.peek() == "^":
            self.take()
            made = math.pow(made, self.braced())
        return made

    def braced(self) -> float:
        self.take("{")
        made = self.sum()
        self.take("}")
        return made

    def parenthesised(self) -> float:
        tall = self.peek() == r"\left"
        if tall:
            self.take()
        self.take("(")
        made = self.sum()
        if tall:
            self.take(r"\right")
        self.take(")")
        return made

    def runs(self, one: Any) -> list[float]:
        """What ``one`` gives for each element; the tokens are read again each time."""
        index, start, outer = self.take(), self.place, self.scope
        made = []
        for each in self.elements:
            self.place = start
            self.scope = outer | {f"{arg}_{index}": number for arg, number in each.items()}
            made.append(one())
        self.scope = outer
        return made

    def cases(self) -> float:
        made = None
        while True:
            number = self.sum()
            self.take("&")
            holds = self.take() == r"\text{otherwise}" or self.condition()
            if made is None and holds:
                made = number
            if self.take() == r"\end{cases}":
                assert made is not None
                return made

    def atom(self) -> float:
        token = self.peek()
        if token in ("(", r"\left") and self.tokens[self.place + 1] != "|":
            return self.parenthesised()
        self.take()
        functions = {r"\ln": math.log, r"\arcsin": math.asin, r"\arccos": math.acos, r"\arctan": math.atan}
        match token:
            case r"\left":
                self.take("|")
                made = abs(self.sum())
                self.take(r"\right")
                self.take("|")
                return made
            case r"\frac":
                return self.braced() / self.braced()
            case r"\sqrt":
                return math.sqrt(self.braced())
            case "e" if self.peek() == "^":
                self.take()
                return math.exp(self.braced())
            case r"\begin{cases}":
                return self.cases()
            case r"\sum":
                self.take("_")
                return REAL.functions["total"](self.runs(self.product))
            case r"\max":
                self.take("_")
                return max(self.runs(self.parenthesised))
            case r"\operatorname{rest}":
                self.take("_")
                return REAL.functions["rest"](self.runs(self.parenthesised))
            case r"\sigma":
                return FUNCTIONS["sigmoid"].real(self.parenthesised())
            case r"\infty":
                return math.inf
            case r"\pi":
                return math.pi
            case r"\mathrm{nan}":
                return math.nan
            case _ if token in functions:
                return functions[token](self.parenthesised())
            case _ if token.startswith(r"\operatorname{"):
                return FUNCTIONS[token[14:-1]].real(self.parenthesised())
            case _ if token.startswith("\\"):
                return FUNCTIONS[token[1:]].real(self.parenthesised())
            case _ if token[0].isdigit():
                return float(token)
        return self.scope[token]  # type: ignore[no-any-return]


def read_latex(written: str, scope: dict[str, Any], elements: list[dict[str, float]] = []) -> float:  # noqa: B006
    reader = LatexReader(written, scope, elements)
    made = reader.sum()
    assert not reader.peek(), f"{reader.tokens[reader.place:]} is left of {written}"
    return made


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


# ------------------------------------------------------------------------------- the table's rows
def numbers_of(rule: Rule, seed: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Numbers within a box where the rule is smooth, its output, and three elements."""
    box = dict(zip(rule.args, rule.smooth[seed % len(rule.smooth)], strict=True))
    shares = [0.31, 0.78, 0.55, 0.12]
    elements = [
        {
            arg: box[arg][0] + shares[(i + 2 * k) % 4] * (box[arg][1] - box[arg][0])
            for k, arg in enumerate(rule.over)
        }
        for i in range(3)
    ]
    single = {arg: low + shares[seed % 4] * (high - low) for arg, (low, high) in box.items()}
    scope = single | (elements[seed % 3] if rule.over else {})
    return {**scope, "y": rule.y.evaluate(scope, REAL, elements)}, elements


@at_once(ROWS)
def test_each_expression_of_the_table_reads_back_to_the_last_bit(rule, expression):
    for seed in range(4):
        scope, elements = numbers_of(rule, seed)
        expected = expression.evaluate(scope, REAL, elements)
        names = {arg: f"n_{arg}" for arg in scope}
        named = {f"n_{arg}": x for arg, x in scope.items()} | {"y": scope["y"], "depth": 0}
        assert same(read(text(expression, names, rule.over), named, elements), expected), scope


@at_once(ROWS)
def test_each_expression_of_the_table_reads_back_from_latex(rule, expression):
    for seed in range(4):
        scope, elements = numbers_of(rule, seed)
        expected = expression.evaluate(scope, REAL, elements)
        numbers = {arg: x for arg, x in scope.items() if abs(x) > 1e-3}
        for written, rel in (({}, 1e-15), (numbers, 1e-14)):
            found = read_latex(latex(expression, written, rule.over), scope, elements)
            assert found == pytest.approx(expected, rel=rel), scope


def test_what_is_multiplied_by_itself_is_a_square():
    slope = parse("1.0 - tanh(a - 1.0) * tanh(a - 1.0)", ["a"], "tanh")
    assert text(slope, {"a": "w"}) == "1 − tanh(w − 1)²"
    assert latex(slope, {"a": "w"}) == r"1-\tanh(w-1)^{2}"
    assert text(parse("tanh(a) * tanh(b)", ["a", "b"], "f"), {}) == "tanh(a)·tanh(b)"


def test_a_planted_wrong_parenthesis_is_caught():
    y = RULES["sigmoid"].d[0]
    right = text(y, {})
    wrong = right.replace("y·(1 − y)", "y·1 − y")
    assert wrong != right
    scope = {"a": 0.3, "y": 0.57, "depth": 0}
    assert read(right, scope) == y.evaluate(scope)
    assert read(wrong, scope) != y.evaluate(scope)
    tex = latex(y, {}).replace(r"y\,(1-y)", r"y\,1-y")
    assert read_latex(tex, scope) != pytest.approx(y.evaluate(scope))


# --------------------------------------------------------------------------- arbitrary expressions
def expressions() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["a", "b", "y", "1.0", "0.5", "2.0", "pi", "1e-05"])

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        conditions = st.builds(
            "({} {} {})".format, inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner
        )
        words = st.sampled_from(["and", "or"])
        joined = conditions | st.builds("({} {} {})".format, conditions, words, conditions)
        exponents = st.sampled_from(["2.0", "3.0", "b - 1.0", "-1.0", "0.5", "b"])
        return (
            st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner)
            | st.builds("(-{})".format, inner)
            | st.builds("pow({}, {})".format, inner, exponents)
            | st.builds("{}({})".format, st.sampled_from(sorted(FUNCTIONS.keys() - {"pow", "dpow"})), inner)
            | st.builds("({} if {} else {})".format, inner, joined, inner)
        )  # fmt: skip

    return st.recursive(leaves, grown, max_leaves=12)


def outcome(expression: Expression, scope: dict[str, float]) -> float | None:
    try:
        return float(expression.evaluate(scope))
    except (ArithmeticError, ValueError):
        return None


SCOPE = {"a": 0.71, "b": -1.3, "y": 2.6}


@given(expressions())
def test_any_text_reads_back_to_the_last_bit(source):
    expression = parse(source, ["a", "b", "y"], "row")
    expected = outcome(expression, SCOPE)
    written = text(expression, {"a": "h1", "b": "net_o1"})
    scope = {"h1": SCOPE["a"], "net_o1": SCOPE["b"], "y": SCOPE["y"], "depth": 0}
    numbers = text(expression, {"a": "0.71", "b": "-1.3", "y": 2.6})
    if expected is None:
        with pytest.raises((ArithmeticError, ValueError)):
            read(written, scope)
    else:
        # a² reads as a·a, which may differ from pow(a, 2) in the last bit
        exact = "pow" not in source
        assert same(read(written, scope), expected) or (
            not exact and read(written, scope) == pytest.approx(expected, rel=1e-9, abs=1e-9)
        )
        assert same(read(numbers, scope), read(written, scope))


@given(expressions())
def test_any_latex_reads_back(source):
    expression = parse(source, ["a", "b", "y"], "row")
    expected = outcome(expression, SCOPE)
    if expected is None:
        return
    try:
        made = read_latex(latex(expression, {}), SCOPE)
    except (ArithmeticError, ValueError):
        assert "if" in source  # the reader computes the branches not taken, too
        return
    assert made == pytest.approx(expected, rel=1e-6, abs=1e-6, nan_ok=True)


@given(expressions())
def test_what_is_left_at_given_numbers_has_the_same_value(source):
    expression = parse(source, ["a", "b", "y"], "row")
    left = at(expression, SCOPE, literals=["b"])
    expected = outcome(expression, SCOPE)
    if expected is not None:
        assert same(left.evaluate(SCOPE), expected)
        assert "b" not in left.names
    assert " if " not in str(left) or expected is None


# --------------------------------------------------------------------------------- names and numbers
@pytest.mark.parametrize(
    ("x", "digits", "plain", "tex"),
    [
        (1.0, None, "1", "1"),
        (-0.5, None, "−0.5", "-0.5"),
        (0.1 + 0.2, 4, "0.3", "0.3"),
        (-1.25e-12, None, "−1.25e-12", r"-1.25\cdot 10^{-12}"),
        (1e22, None, "1e+22", "10^{22}"),
        (math.inf, None, "∞", r"\infty"),
        (-math.inf, 3, "−∞", r"-\infty"),
        (math.nan, None, "nan", r"\mathrm{nan}"),
    ],
)
def test_numbers(x, digits, plain, tex):
    assert (plain_number(x, digits), latex_number(x, digits)) == (plain, tex)


@pytest.mark.parametrize(
    ("name", "plain", "tex"),
    [
        ("w5", "w5", "w_5"),
        ("w12", "w12", "w_{12}"),
        ("net_o1", "net_o1", "net_{o1}"),
        ("theta", "theta", r"\theta"),
        ("theta1", "theta1", r"\theta_1"),
        ("δ_h1", "δ_h1", r"\delta_{h1}"),
        ("W[0,1]", "W[0,1]", "W_{0,1}"),
        ("v12#2", "v12#2", r"v12\#2"),
        ("layers.0.w.1", "layers.0.w.1", "layers.0.w.1"),
        ("params['W1'][0,2]", "params['W1'][0,2]", r"params[\prime W1\prime][0,2]"),
        ("J(W)", "J(W)", "J(W)"),
        ("学习率", "学习率", r"\text{学习率}"),
        ("误差_o1", "误差_o1", r"\text{误差}_{o1}"),
        ("a - b", "“a - b”", r"a~\text{-}~b"),
        ("2", "“2”", "2"),
        ("inf", "“inf”", "inf"),
        ("x\n", "“x\\n”", r"x\text{?}"),
        ("$$\\input{x}$$", "“$$\\input{x}$$”", r"\text{＄}\text{＄}\backslash input\{x\}\text{＄}\text{＄}"),
        ("<script>", "“<script>”", "{<}script{>}"),
        ("\\", "“\\”", r"\backslash"),
        ("W[0][1]", "W[0][1]", "W_{0,1}"),
        ("w1[0,2]", "w1[0,2]", "w_{0,2}^{(1)}"),
        ("z2[0]#3", "z2[0]#3", r"z_0^{(2)\#3}"),
        ("x_1[0]", "x_1[0]", r"x\_1[0]"),
    ],
)
def test_names(name, plain, tex):
    assert (plain_name(name), latex_name(name)) == (plain, tex)


@given(st.text(min_size=1) | st.text("ab_1{}\\$%#&^~<>`'\"*@-− 权α", min_size=1))
def test_a_hostile_name_is_only_a_name(name):
    tex, plain = latex_name(name), plain_name(name)
    known = re.compile(
        r"\\text\{[^{}\\$%#&_^~`]*\}|\\[{}$%#&_]|\{[<>]\}|\\(alpha|theta|backslash|wedge|sim|backprime|prime|ast)"
        r"(?![A-Za-z])"
    )
    rest = known.sub("", tex)
    rest = re.sub(r"\^\{\(\d*\)\d*\}$", "", rest)
    rest = re.sub(r"_\{([^{}]*)\}$|_([^{}]|$)", r"\1\2", rest)
    assert not set(rest) & set("\\{}$%#&^_`<>\n"), tex
    assert plain.isprintable()
    assert plain == name or (plain[0], plain[-1]) == ("“", "”")


def test_a_name_with_a_superscript_is_put_in_parentheses_before_a_power():
    square = parse("1.0 - y * y", ["y"], "tanh")
    assert latex(square, {"y": "h1[0]"}) == "1-(h_0^{(1)})^{2}"
    assert latex(square, {"y": "h_1"}) == "1-h_1^{2}"
    assert text(square, {"y": "x²"}) == "1 − (x²)²"
    assert latex(square, {"y": "x²"}) == r"1-(x\text{²})^{2}"
    assert text(parse("pow(a, b)", "ab", "pow"), {"a": "x²", "b": "k"}) == "(x²)^k"
    assert [text(square, {"y": each}) for each in ("xⁿ", "x′")] == ["1 − (xⁿ)²", "1 − x′²"]
    assert latex(square, {"y": "xᵀ"}) == r"1-(x\text{ᵀ})^{2}"


def test_the_name_of_an_element_stands_outside_sums_only():
    share = parse("exp(x) / total(exp(x))", "x", "softmax", many=True)
    assert text(share, {"x": "z3"}) == "exp(z3)/Σ(exp(xᵢ))"
    assert latex(share, {"x": "z3"}) == r"\frac{e^{z_3}}{\sum_i e^{x_i}}"
    mixed = parse("total(x * b)", ["x", "b"], "row", many=True)
    assert text(mixed, {"x": "z3", "b": "b2"}, over="x") == "Σ(xᵢ·b2)"


def test_of_max_remains_at_given_numbers_the_share():
    slope = RULES["max"].d[0]
    elements = [{"x": 1.0}, {"x": 3.0}, {"x": 3.0}]
    assert str(at(slope, {"x": 3.0, "y": 3.0}, elements=elements)) == "0.5"
    assert str(at(slope, {"x": 1.0, "y": 3.0}, elements=elements)) == "0.0"


@at_once(TABLE)
def test_every_operation_has_a_symbol(rule):
    signs = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "pow": "^", "neg": "−", "sum": "Σ", "dot": "Σ"}
    others = {"sigmoid": "σ", "abs": "|·|", "sqrt": "√", "minimum": "min", "maximum": "max"}
    assert symbol(rule) == symbol(rule.name) == (signs | others).get(rule.name, rule.name)
