"""The rule language: what it accepts, what it refuses in which words, and what it computes."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import at_once

from microbp.errors import RuleError
from microbp.expr import AGGREGATES, COMPLEX, CONSTANTS, FUNCTIONS, REAL, largest, over, parse, total

WORDS = ", ".join(FUNCTIONS)
KINDS = (
    "the rule language has numbers, names, + - * /, comparisons of two sides, and, or, "
    "'a if c else b' and calls of known functions"
)


# ------------------------------------------------------------------------------------- refusals
REFUSED = [
    # text, what is said after "rule f: 'text' "
    ("1.0 - z", "uses 'z', which is not in scope: a, b, y, inf, nan, pi"),
    ("e", "uses 'e', which is not in scope: a, b, y, inf, nan, pi"),
    ("__name__", "uses '__name__', which is not in scope: a, b, y, inf, nan, pi"),
    ("a ** 2.0", "uses 'a ** 2.0'; the operators are + - * / (and pow)"),
    ("a // b", "uses 'a // b'; the operators are + - * / (and pow)"),
    ("a % b", "uses 'a % b'; the operators are + - * / (and pow)"),
    ("a @ b", "uses 'a @ b'; the operators are + - * / (and pow)"),
    ("a << b", "uses 'a << b'; the operators are + - * / (and pow)"),
    ("a & b", "uses 'a & b'; the operators are + - * / (and pow)"),
    ("+a", f"uses '+a'; {KINDS}"),
    ("~a", f"uses '~a'; {KINDS}"),
    ("not a", f"uses 'not a'; {KINDS}"),
    ("'a'", "holds 'a'; only numbers are constants here"),
    ("b'a'", "holds b'a'; only numbers are constants here"),
    ("True", "holds True; only numbers are constants here"),
    ("None", "holds None; only numbers are constants here"),
    ("1j * a", "holds 1j; only numbers are constants here"),
    ("...", "holds Ellipsis; only numbers are constants here"),
    ("a > 0.0", "uses 'a > 0.0' as a number; write '1.0 if a > 0.0 else 0.0'"),
    ("a * (a > 0.0)", "uses 'a > 0.0' as a number; write '1.0 if a > 0.0 else 0.0'"),
    ("a or b", "uses 'a or b' as a number; write '1.0 if a or b else 0.0'"),
    ("exp(a < b)", "uses 'a < b' as a number; write '1.0 if a < b else 0.0'"),
    ("a if b else 0.0", "uses 'b' as a condition; compare it with a number"),
    ("a if a > b or b else 0.0", "uses 'b' as a condition; compare it with a number"),
    ("a if exp(a) else 0.0", "uses 'exp(a)' as a condition; compare it with a number"),
    ("a if 0.0 < a < b else b", f"uses '0.0 < a < b'; {KINDS}"),
    ("a if a is b else b", f"uses 'a is b'; {KINDS}"),
    ("a if a in b else b", f"uses 'a in b'; {KINDS}"),
    ("gamma(a)", f"calls 'gamma'; the functions are {WORDS}"),
    ("eval(a)", f"calls 'eval'; the functions are {WORDS}"),
    ("total(a)", f"calls 'total'; the functions are {WORDS}"),
    ("largest(a)", f"calls 'largest'; the functions are {WORDS}"),
    ("a * 1e999", "holds a number beyond the largest float, 1.8e308; write inf"),
    ("exp()", "calls exp with 0 arguments; it takes 1"),
    ("exp(a, b)", "calls exp with 2 arguments; it takes 1"),
    ("pow(a)", "calls pow with 1 arguments; it takes 2"),
    ("pow(a, exp=b)", f"uses 'pow(a, exp=b)'; {KINDS}"),
    ("exp(*a)", f"uses '*a'; {KINDS}"),
    ("math.exp(a)", f"uses 'math.exp(a)'; {KINDS}"),
    ("a.real", f"uses 'a.real'; {KINDS}"),
    ("a[0]", f"uses 'a[0]'; {KINDS}"),
    ("a[0:b]", f"uses 'a[0:b]'; {KINDS}"),
    ("(a, b)", f"uses '(a, b)'; {KINDS}"),
    ("[a]", f"uses '[a]'; {KINDS}"),
    ("{a}", f"uses '{{a}}'; {KINDS}"),
    ("{a: b}", f"uses '{{a: b}}'; {KINDS}"),
    ("lambda b: a", f"uses 'lambda b: a'; {KINDS}"),
    ("(b := a)", f"uses '(b := a)'; {KINDS}"),
    ("[b for b in a]", f"uses '[b for b in a]'; {KINDS}"),
    ("{b for b in a}", f"uses '{{b for b in a}}'; {KINDS}"),
    ("{b: b for b in a}", f"uses '{{b: b for b in a}}'; {KINDS}"),
    ("(b for b in a)", f"uses '(b for b in a)'; {KINDS}"),
    ("(await a)", f"uses 'await a'; {KINDS}"),
    ("(yield a)", f"uses '(yield a)'; {KINDS}"),
    ("(yield from a)", f"uses '(yield from a)'; {KINDS}"),
    ("f'{a}'", f"""uses "f'{{a}}'"; {KINDS}"""),
    ("exp", "uses 'exp', which is not in scope: a, b, y, inf, nan, pi"),
    ("", "is not an expression: invalid syntax"),
    ("a +", "is not an expression: invalid syntax"),
    ("a = b", "is not an expression: "),
    ("return a", "is not an expression: invalid syntax"),
    ("import os", "is not an expression: invalid syntax"),
    ("(a", "is not an expression: '(' was never closed"),
]  # fmt: skip


@at_once(REFUSED)
def test_what_is_not_in_the_language_is_refused_with_the_row_and_the_word(text: str, said: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text, {"a", "b", "y"}, "f")
    message = str(caught.value)
    if "is not an expression" in said:  # Python's own words differ between versions, after the first
        message = message[: len(f"rule f: {text!r} {said}")]
    assert message == f"rule f: {text!r} {said}"


def test_every_kind_of_python_expression_is_accepted_or_refused_above() -> None:
    accepted = ["a + 1.0", "-a", "a if a > 0.0 and b < 1.0 else b", "exp(a)"]
    refused = [text for text, said in REFUSED if "is not an expression" not in said]
    seen = {type(each) for text in accepted + refused for each in ast.walk(ast.parse(text, mode="eval"))}
    assert set(ast.expr.__subclasses__()) - seen == set()


@pytest.mark.parametrize("text", [lambda a: a, 2.0, None, ["a"]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text, {"a"}, "f")
    assert str(caught.value).startswith(f"rule f: {text!r} is not an expression: ")


def test_a_whole_number_beyond_the_floats_is_refused() -> None:
    with pytest.raises(RuleError, match=r"^rule f: .* holds a number beyond the largest float, 1\.8e308"):
        parse("a * 1" + "0" * 400, {"a"}, "f")


def test_a_nul_is_refused() -> None:
    with pytest.raises(RuleError, match=r"^rule f: 'a\\x00' is not an expression: source code string"):
        parse("a\0", {"a"}, "f")


def test_the_functions_over_elements_belong_to_rows_of_many_arguments() -> None:
    assert parse("total(a) + largest(a)", {"a"}, "f", many=True).names == {"a"}
    with pytest.raises(RuleError) as caught:
        parse("mean(a)", {"a"}, "f", many=True)
    known = f"{WORDS}, total, largest, rest"
    assert str(caught.value) == f"rule f: 'mean(a)' calls 'mean'; the functions are {known}"
    with pytest.raises(RuleError) as caught:
        parse("total(a, b)", {"a", "b"}, "f", many=True)
    assert str(caught.value) == "rule f: 'total(a, b)' calls total with 2 arguments; it takes 1"


# ------------------------------------------------------------------------------- what it computes
def test_names_are_those_that_occur() -> None:
    expression = parse("a * exp(y) if a > pi else inf", {"a", "b", "y"}, "f")
    assert expression.names == {"a", "y", "pi", "inf"}
    assert str(expression) == expression.text == "a * exp(y) if a > pi else inf"


def test_equal_texts_are_equal_expressions() -> None:
    assert parse("a * b", {"a", "b"}, "f") == parse("a * b", {"a", "b", "c"}, "g")
    assert parse("a * b", {"a", "b"}, "f") != parse("b * a", {"a", "b"}, "f")


def test_an_argument_may_have_the_name_of_no_constant() -> None:
    """A constant is looked up only where the scope does not hold the name."""
    assert parse("pi", set(), "f").evaluate({}) == math.pi
    assert parse("inf - a", {"a"}, "f").evaluate({"a": 1.0}) == math.inf
    assert math.isnan(parse("nan", set(), "f").evaluate({}))


@pytest.mark.parametrize(
    ("written", "kept"),
    [("1 / 2 * a", "1.0 / 2.0 * a"), ("3*a*a", "3.0 * a * a"), ("0.5*a", "0.5*a"), ("0", "0.0"),
     ("a if a > 0 else -1", "a if a > 0.0 else -1.0"), ("pow(a,2)", "pow(a, 2.0)")],
)  # fmt: skip
def test_whole_numbers_become_floats_and_other_texts_stay_as_written(written: str, kept: str) -> None:
    expression = parse(written, {"a"}, "f")
    assert expression.text == kept
    assert type(expression.evaluate({"a": -2.0})) is float
    assert type(expression.evaluate({"a": 2.0})) is float


PRECEDENCE = ["a - (b - y)", "a / (b / y)", "-(a + b) * y", "(a if a < b else b) + y", "a - -b",
              "-a * -b", "(a + b) * (a - b)", "a if b > 0.0 else b if y > 0.0 else y",
              "1.0 if (a > 0.0 or b > 0.0) and y > 0.0 else 0.0",
              "1.0 if a > 0.0 or b > 0.0 and y > 0.0 else 0.0",
              "1.0 if a == b or a != y and b <= y else -1.0 if a >= y else 0.0"]  # fmt: skip


@pytest.mark.parametrize("text", PRECEDENCE)
@settings(max_examples=40)
@given(st.tuples(*[st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0])] * 3))
def test_evaluate_means_what_python_means(text: str, numbers: tuple[float, float, float]) -> None:
    scope = dict(zip("aby", numbers, strict=True))
    expression = parse(text, scope, "f")
    expected = eval(text, {}, scope)
    assert expression.evaluate(scope) == expected
    assert expression.evaluate({name: complex(x) for name, x in scope.items()}, COMPLEX) == expected
    # ... and so does the text after it has been renamed, also to more than a word.
    swapped = expression.rename({"a": "b", "b": "a - 0.25"})
    assert eval(swapped, {}, scope) == expression.evaluate(scope | {"a": scope["b"], "b": scope["a"] - 0.25})
    numeric = expression.rename({name: repr(x) for name, x in scope.items()})
    assert eval(numeric, {}, {}) == expected


@pytest.mark.parametrize(
    ("text", "names", "renamed"),
    [
        ("a * (1.0 - a)", {"a": "h1"}, "h1 * (1.0 - h1)"),
        ("-a / b", {"a": "x - 1", "b": "2.0"}, "-(x - 1) / 2.0"),
        ("a - b", {"a": "b", "b": "a"}, "b - a"),
        ("a - b", {"b": "-2.0"}, "a - -2.0"),
        ("exp(a)", {"exp": "a", "a": "v[3]"}, "exp(v[3])"),  # a function is no name
        ("pow(a, b) if a > 0.0 else pi", {"a": "v0"}, "pow(v0, b) if v0 > 0.0 else pi"),
        ("a", {}, "a"),
    ],
)
def test_rename(text: str, names: dict[str, str], renamed: str) -> None:
    assert parse(text, {"a", "b"}, "f").rename(names) == renamed


def test_comparisons_judge_the_real_part() -> None:
    branch = parse("a if a > 0.0 else -a", {"a"}, "f")
    assert branch.evaluate({"a": 1.0 - 5.0j}, COMPLEX) == 1.0 - 5.0j
    assert branch.evaluate({"a": -1.0 - 5.0j}, COMPLEX) == 1.0 + 5.0j


def test_only_the_chosen_branch_is_evaluated() -> None:
    for text in (
        "log(a) if a > 0.0 else 5.0",
        "a if a > 0.0 and log(a) > 0.0 else 5.0",
        "5.0 if a < 0.0 or log(a) > 0.0 else a",
    ):
        assert parse(text, {"a"}, "f").evaluate({"a": -1.0}) == 5.0


# ---------------------------------------------------------------------------- sums over elements
@given(st.lists(st.floats(-1e6, 1e6)))
def test_total_adds_from_left_to_right(numbers: list[float]) -> None:
    expected = 0.0
    for number in numbers:
        expected += number
    assert total(numbers) == expected


def test_total_does_not_compensate() -> None:
    assert total([1e16, 1.0, -1e16]) == 0.0  # math.fsum would give 1
    assert total([1.0, 1e100, 1.0, -1e100]) == 0.0


@pytest.mark.parametrize("place", range(3))
def test_the_largest_of_numbers_with_a_nan_is_nan_wherever_it_stands(place: int) -> None:
    numbers = [1.0, 5.0, 3.0]
    assert largest(numbers) == largest(iter(numbers)) == 5.0
    numbers[place] = math.nan
    assert math.isnan(largest(numbers))


def test_aggregates_run_over_the_elements_and_see_the_other_names() -> None:
    expression = parse("total(w * x) + largest(x - b)", {"w", "x", "b"}, "f", many=True)
    elements = [{"w": 2.0, "x": 3.0}, {"w": 5.0, "x": 7.0}]
    assert expression.evaluate({"b": 1.0}, REAL, elements) == 2.0 * 3.0 + 5.0 * 7.0 + 6.0
    nudged: list[dict[str, complex]] = [{"w": 2.0, "x": 3.0 + 1j}, {"w": 5.0, "x": 7.0}]
    assert expression.evaluate({"b": 1.0}, COMPLEX, nudged) == 47.0 + 2.0j


def test_one_aggregate_within_another() -> None:
    expression = parse("total(x / total(x))", {"x"}, "f", many=True)
    assert expression.evaluate({}, REAL, [{"x": 1.0}, {"x": 3.0}]) == 1.0
    done: dict[str, str] = {}
    assert expression.hoist(["x"], done) == "_1"
    assert done == {"total(x)": "_0", "total([x / _0 for x in x])": "_1"}


def test_hoist_computes_each_aggregate_once() -> None:
    done: dict[str, str] = {}
    softmax = parse("exp(x - largest(x)) / total(exp(x - largest(x)))", {"x"}, "f", many=True)
    assert softmax.hoist(["x"], done) == "exp(x - _0) / _1"
    assert done == {"largest(x)": "_0", "total([exp(x - _0) for x in x])": "_1"}
    # Another expression of the same generated function goes on where this one stopped.
    assert parse("total(w * x) - largest(x)", {"w", "x"}, "f", many=True).hoist(["w", "x"], done) == "_2 - _0"
    assert list(done.values()) == ["_0", "_1", "_2"]


@at_once(
    [
        ("x", ["x"], "x"),
        ("w * x", ["w", "x"], "map(mul, w, x)"),
        ("x * x", ["w", "x"], "map(mul, x, x)"),
        ("w * b", ["w", "x"], "[w * b for w in w]"),
        ("w - x", ["w", "x"], "[w - x for w, x in zip(w, x)]"),
        ("1.0", ["w", "x"], "[1.0 for w in w]"),
        ("b", ["x"], "[b for x in x]"),
        ("exp(x) if x > b else 0.0", ["x"], "[exp(x) if x > b else 0.0 for x in x]"),
    ]
)
def test_over_writes_the_list_that_an_expression_gives(text: str, elements: list[str], written: str) -> None:
    assert over(text, elements) == written
    scope = {"w": [1.0, 2.0], "x": [3.0, -4.0], "b": 0.5, "exp": math.exp, "mul": lambda a, b: a * b}
    expected = [
        eval(text, {}, scope | {"w": w, "x": x}) for w, x in zip([1.0, 2.0], [3.0, -4.0], strict=True)
    ]
    assert list(eval(written, scope)) == expected


@pytest.mark.parametrize(
    ("text", "loose"),
    [("total(w * x) * w", ["w"]), ("total(w * x) + b", []), ("x * w", ["w", "x"]), ("largest(x)", []),
     ("total(total(x) - x)", []), ("x - total(x)", ["x"])],
)  # fmt: skip
def test_elements_outside_aggregates_are_found(text: str, loose: list[str]) -> None:
    assert parse(text, {"w", "x", "b"}, "f", many=True).loose(["w", "x"]) == loose


# ------------------------------------------------------------------------------ complex functions
REAL_POINTS = {  # where each function is defined and has no kink
    "abs": [-2.0, 0.5], "exp": [-3.0, 0.0, 2.0], "expm1": [-3.0, -1e-9, 0.0, 1e-9, 2.0],
    "log": [0.1, 1.0, 7.0], "log1p": [-0.999, -0.5, -1e-9, 0.0, 1e-9, 7.0], "sqrt": [0.1, 1.0, 7.0],
    "sin": [-2.0, 0.0, 1.0], "cos": [-2.0, 0.0, 1.0], "tan": [-1.0, 0.0, 1.0],
    "asin": [-0.9, 0.0, 0.9], "acos": [-0.9, 0.0, 0.9], "atan": [-3.0, 0.0, 3.0],
    "sinh": [-3.0, 0.0, 3.0], "cosh": [-3.0, 0.0, 3.0], "tanh": [-20.0, 0.0, 3.0],
    "erf": [-5.0, -1e-9, 0.0, 1e-9, 0.5, 2.0], "erfc": [-5.0, -1e-9, 0.0, 1e-9, 0.5, 2.0, 20.0],
    "sigmoid": [-600.0, -3.0, 0.0, 3.0, 40.0],
}  # fmt: skip
EXACT: dict[str, Callable[[Any], Any]] = {
    "expm1": lambda z: mpmath.exp(z) - 1, "log1p": lambda z: mpmath.log(1 + z),
    "erf": mpmath.erf, "erfc": mpmath.erfc,
}  # fmt: skip
SLOPES: dict[str, Callable[[Any], Any]] = {
    "expm1": mpmath.exp, "log1p": lambda x: 1 / (1 + x),
    "erf": lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x),
    "erfc": lambda x: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x),
}  # fmt: skip
#: Units of the last place: two or so for expm1 and log1p; those of exp(-x²) at |x| up to 5 for erf.
ACCURACY = {"expm1": 1e-15, "log1p": 1e-15, "erf": 1e-14, "erfc": 1e-14}


def test_the_points_cover_every_function_of_one_argument() -> None:
    assert {name for name, each in FUNCTIONS.items() if each.arity == 1} == set(REAL_POINTS)
    assert {name for name, each in FUNCTIONS.items() if each.arity == 2} == {"pow"}
    assert set(AGGREGATES) == {"total", "largest", "rest"}
    assert set(CONSTANTS) == {"pi", "inf", "nan"}


@at_once(REAL_POINTS)
def test_on_the_real_axis_the_complex_function_is_the_real_one(name: str) -> None:
    function = FUNCTIONS[name]
    for x in REAL_POINTS[name]:
        z = function.complex(complex(x))
        assert z.real == pytest.approx(function.real(x), rel=3e-16, abs=0.0)
        assert z.imag == 0.0


def test_complex_pow_agrees_with_the_real_one_also_at_a_negative_base() -> None:
    function = FUNCTIONS["pow"]
    for a, b in [(2.0, 0.5), (0.3, -2.0), (-2.0, 3.0), (-2.0, 2.0), (-0.5, -3.0), (3.0, 0.0)]:
        z = function.complex(complex(a, 2.0**-332), b)
        assert z.real == pytest.approx(function.real(a, b), rel=1e-15)
        assert z.imag * 2.0**332 == pytest.approx(b * function.real(a, b - 1.0), rel=1e-15)


def test_abs_is_continued_not_the_modulus() -> None:
    continued = FUNCTIONS["abs"].complex
    assert continued(3.0 + 4.0j) == 3.0 + 4.0j
    assert continued(-3.0 + 4.0j) == 3.0 - 4.0j


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("size", [1e-8, 0.5, 5.0])
def test_the_functions_that_cmath_lacks_against_50_digits(name: str, size: float) -> None:
    rng = random.Random(size)  # noqa: S311
    points = [complex(rng.uniform(-size, size), rng.uniform(-size, size)) for _ in range(60)]
    points += [complex(0.0, 0.3 * size), complex(0.3 * size, 0.0), complex(-0.3 * size, -0.0), 0j]
    with mpmath.workdps(50):
        for z in points:
            exact = EXACT[name](mpmath.mpc(z))
            error = abs(mpmath.mpc(FUNCTIONS[name].complex(z)) - exact)
            assert error <= ACCURACY[name] * abs(exact), z


@pytest.mark.parametrize("step", [2.0**-332, 1e-200])
@pytest.mark.parametrize("name", SLOPES)
def test_their_complex_step_derivative_against_50_digits(name: str, step: float) -> None:
    rng = random.Random(7)  # noqa: S311
    points = [rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-90.0, 0.7) for _ in range(100)]
    points += [rng.uniform(-0.99 if name == "log1p" else -5.0, 5.0) for _ in range(100)] + [0.0]
    with mpmath.workdps(50):
        for x in points:
            if name == "log1p" and x <= -1.0:
                x = 1.0 / x  # noqa: PLW2901
            z = FUNCTIONS[name].complex(complex(x, step))
            exact = SLOPES[name](mpmath.mpf(x))
            assert abs(mpmath.mpf(z.imag) / step - exact) <= 3e-15 * abs(exact), x
            assert z.real == pytest.approx(FUNCTIONS[name].real(x), rel=3e-16, abs=step * step)
