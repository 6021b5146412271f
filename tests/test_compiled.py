"""Generated functions: the row's text to the last bit, with source that debuggers show."""

from __future__ import annotations

import inspect
import linecache
import math
import random
import struct
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from strategies import any_float
from support import at_once

from microbp.compiled import SCOPE, Compiled, compiled, generate
from microbp.errors import UndefinedOperation
from microbp.expr import COMPLEX, FUNCTIONS, Expression
from microbp.rules import RULES, TABLE, Rule, row
from microbp.value import Value

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,  "sub": lambda a, b: a - b,  "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,  "pow": lambda a, b: a**b,
}  # fmt: skip
METHODS = [rule for rule in TABLE if len(rule.args) == 1 and not rule.over]

every_row = pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)


def bits(x: Any) -> Any:
    """The bits of a float, alike for every NaN; of a list, a list."""
    if isinstance(x, list):
        return [bits(each) for each in x]
    assert type(x) is float
    return "nan" if math.isnan(x) else struct.pack("d", x)


def outcome(compute: Callable[[], Any]) -> Any:
    """The bits of a result, or the kind of error."""
    try:
        return bits(compute())
    except (ArithmeticError, ValueError) as error:
        return type(error)


def read(rule: Rule, expression: Expression, numbers: list[Any], element: int = 0, **y: float) -> float:
    """The expression evaluated, without any generated code."""
    scope = dict(zip(rule.args, numbers, strict=True)) | y
    lists = zip(*(scope[arg] for arg in rule.over), strict=True)
    elements = [dict(zip(rule.over, each, strict=True)) for each in lists]
    value: float = expression.evaluate(scope | (elements[element] if elements else {}), elements=elements)
    return value


@every_row
def test_generated_functions_equal_the_evaluated_text_bit_for_bit(rule: Rule) -> None:
    rng = random.Random(5)  # noqa: S311
    for _ in range(120):
        length = rng.randint(1, 4)
        generated_equals_evaluated(
            rule,
            [
                [any_float(rng) for _ in range(length)] if arg in rule.over else any_float(rng)
                for arg in rule.args
            ],
            length,
        )


def generated_equals_evaluated(rule: Rule, numbers: list[Any], length: int) -> None:
    functions = compiled(rule)
    found = outcome(lambda: functions.value(*numbers))
    assert found == outcome(lambda: read(rule, rule.y, numbers))
    if isinstance(found, type):
        return
    y = functions.value(*numbers)
    for arg, d, derivative in zip(rule.args, rule.d, functions.derivatives, strict=True):
        if arg in rule.over:
            expected = outcome(lambda d=d: [read(rule, d, numbers, i, y=y) for i in range(length)])  # type: ignore[misc]
        else:
            expected = outcome(lambda d=d: read(rule, d, numbers, y=y))  # type: ignore[misc]
        assert outcome(lambda derivative=derivative: derivative(*numbers, y)) == expected  # type: ignore[misc]


def test_an_empty_sum_is_a_float() -> None:
    assert bits(compiled(RULES["sum"]).value([])) == bits(0.0)
    assert compiled(RULES["sum"]).derivatives[0]([], 0.0) == []


def recorded(compute: Callable[[], Value]) -> Any:
    """The bits of a recorded value and of its local derivatives, or the kind of error."""
    try:
        value = compute()
    except UndefinedOperation:
        return UndefinedOperation
    return bits(value.data), [None if d is None else bits(d) for d in value.local_derivatives]


def stated(rule: Rule, *numbers: float, literal: int | None = None) -> Any:
    functions = compiled(rule)
    try:
        y = functions.value(*numbers)
        d = [f(*numbers, y) if i != literal else None for i, f in enumerate(functions.derivatives)]
    except (ArithmeticError, ValueError):
        return UndefinedOperation
    return bits(y), [None if each is None else bits(each) for each in d]


@at_once(METHODS)
def test_a_method_of_value_records_what_the_row_states(rule: Rule) -> None:
    rng = random.Random(5)  # noqa: S311
    method = {"neg": lambda v: -v, "abs": abs}.get(rule.name) or (lambda v: getattr(v, rule.name)())
    for a in (any_float(rng) for _ in range(80)):
        assert recorded(partial(method, Value(a))) == stated(rule, a)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_of_value_records_what_the_row_states(name: str) -> None:
    rng = random.Random(5)  # noqa: S311
    operate, rule = OPERATORS[name], RULES[name]
    for _ in range(200):
        a, b = any_float(rng), any_float(rng)
        assert recorded(partial(operate, Value(a), Value(b))) == stated(rule, a, b)
        assert recorded(partial(operate, Value(a), b)) == stated(rule, a, b, literal=1)
        assert recorded(partial(operate, a, Value(b))) == stated(rule, a, b, literal=0)


# ------------------------------------------------------------------------------ what people can see
@every_row
def test_the_source_of_every_function_is_in_linecache(rule: Rule) -> None:
    functions = compiled(rule)
    linecache.checkcache()  # a debugger calls this, and it drops files that have changed on disk
    for function in (functions.value, *functions.derivatives):
        code = function.__code__
        assert code.co_filename == f"<microbp {code.co_name}>"
        lines = linecache.getlines(code.co_filename)
        assert lines[0].startswith(f"def {code.co_name}({', '.join(rule.args)}")
        assert lines[-1].startswith("    return ")
        assert inspect.getsource(function) == "".join(lines)


def test_the_source_is_the_row() -> None:
    tanh = compiled(RULES["tanh"])
    assert inspect.getsource(tanh.value) == "def tanh(a):\n    return tanh(a)\n"
    d = str(RULES["tanh"].d[0])
    assert inspect.getsource(tanh.derivatives[0]) == f"def d_tanh_d_a(a, y):\n    return {d}\n"
    dot = compiled(RULES["dot"])
    lines = ["def dot(w, x, b):\n", "    _0 = total(map(mul, w, x))\n", "    return _0 + b\n"]
    assert inspect.getsource(dot.value) == "".join(lines)
    assert inspect.getsource(dot.derivatives[0]) == "def d_dot_d_w(w, x, b, y):\n    return x\n"


def test_what_many_elements_share_is_computed_once() -> None:
    weight, other = (f"1.0 if x == {top} and abs(x) == inf else exp(x - {top})" for top in ("_0", "_1"))
    assert inspect.getsource(compiled(RULES["logsumexp"]).value) == (
        "def logsumexp(x):\n"
        "    _0 = largest(x)\n"
        f"    _1 = rest([{weight} for x in x])\n"
        "    return _0 + log1p(_1)\n"
    )
    assert inspect.getsource(compiled(RULES["cross_entropy"]).derivatives[0]) == (
        "def d_cross_entropy_d_x(x, t, y):\n"
        "    _0 = total(t)\n"
        "    _1 = largest(x)\n"
        f"    _2 = rest([{other} for x in x])\n"
        f"    return [(_0 * ({other}) - t - t * _2) / (1.0 + _2) for x, t in zip(x, t)]\n"
    )


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: compiled(RULES["log"]).value(-1.0), "return log(a)"),
        (lambda: compiled(RULES["div"]).derivatives[0](1.0, 0.0, 0.0), "return 1.0 / b"),
        (lambda: compiled(RULES["pow"]).value(-8.0, 1 / 3), "return pow(a, b)"),
        (lambda: compiled(RULES["dot"]).value([1.0], 1.0, 0.0), "_0 = total(map(mul, w, x))"),
    ],
)
def test_a_traceback_shows_the_line_of_the_row(call: Callable[[], Any], line: str) -> None:
    with pytest.raises((ArithmeticError, ValueError, TypeError)) as caught:
        call()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.filename.startswith("<microbp ")
    assert last.line == line
    shown = "".join(traceback.format_exception(caught.value))
    assert f"\n    {line}\n" in shown


def test_each_row_is_compiled_once() -> None:
    assert all(compiled(rule) is compiled(rule) for rule in TABLE)
    one = row("same", "a", "a + a", ("2.0",), "Twice.")
    other = row("same", "a", "a * a", ("a + a",), "The square.")
    assert (compiled(one).value(3.0), compiled(other).value(3.0)) == (6.0, 9.0)
    assert (compiled(one).derivatives[0](3.0, 6.0), compiled(other).derivatives[0](3.0, 9.0)) == (2.0, 6.0)


def test_a_rule_is_compiled_as_a_value_and_one_derivative_for_each_argument() -> None:
    for rule in TABLE:
        functions = compiled(rule)
        assert isinstance(functions, Compiled)
        assert len(functions.derivatives) == len(rule.args)


def test_generate_defines_the_function_of_that_name() -> None:
    function = generate("twice", "def twice(x):\n    half = x\n    return half + x\n")
    assert function(4.0) == 8.0
    assert function.__name__ == "twice"
    assert linecache.getline("<microbp twice>", 2) == "    half = x\n"


def test_generated_code_sees_the_real_functions() -> None:
    for name, function in FUNCTIONS.items():
        assert SCOPE[name] is function.real
        assert COMPLEX.functions[name] is function.complex
