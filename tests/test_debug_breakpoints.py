from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import here
from test_debug_trace import t4

from microbp import Graph, Value, dot, record_sites
from microbp.debug.breakpoints import Breakpoint, BreakpointError, Stop, breakpoint_at, run, watch_on
from microbp.debug.cursor import Cursor
from microbp.debug.figures import figure
from microbp.debug.language import LONGEST, QueryError, parse
from microbp.debug.trace import trace

NAMES = {"h1", "layers.0.w[1]", "W[0,1]", "w#2", "my net", "d['a']", "grad2", "net_h1"}


def meaning(name: str, word: str) -> float:
    """In these tests every number is 2, of a value 0.5."""
    if word in ("finite", "final", "sign_change"):
        return True
    return 0.5 if name else 2.0


# ------------------------------------------------------------------------------------------ the language
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("abs(grad) > 10", False),
        ("not finite", False),
        ("grad == 0", False),
        ("sign change", True),
        ("sign  change and final", True),
        ("1 < grad < 3", True),
        ("1 < grad < 2", False),
        ("grad != grad or isnan(data)", False),
        ("finite(grad) and not isinf(local)", True),
        ("h1.grad * 2 + layers.0.w[1].data", 1.5),
        ("h1", 0.5),
        ("W[0,1] < 1", True),
        ("W[0, 1].data", 0.5),
        ("w#2.missing", 0.5),
        ("'my net'.data", 0.5),
        ('"my net" < 2', True),
        ("d['a'].data", 0.5),
        ("grad2", 0.5),
        ("-grad + 1e-3", -1.999),
        ("+grad / 4", 0.5),
        ("pow(grad, 3)", 8.0),
        ("max", None),
    ],
)
def test_an_expression_means_what_it_says(text: str, answer: float | None) -> None:
    if answer is None:
        with pytest.raises(QueryError):
            parse(text, NAMES)
    else:
        assert parse(text, NAMES)(meaning) == answer


@pytest.mark.parametrize("text", ["1 / 0", "log(-1)", "sqrt(0 - grad)", "exp(1000)", "inf - inf", "nan"])
def test_what_has_no_value_is_nan_and_no_comparison_applies(text: str) -> None:
    assert math.isnan(parse(text)(meaning))
    assert parse(f"{text} > 0 or {text} <= 0 or {text} == 0", condition=True)(meaning) is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "an expression is missing; for instance: abs(grad) > 10"),
        ("grad = 0", "'grad = 0' is not an expression: invalid syntax"),
        ("(" * 80, f"'{'(' * 80}' is not an expression: '(' was never closed"),
        ("1" * 301, f"an expression has at most {LONGEST} characters, not 301"),
        (
            "grad ** 2",
            "'grad ** 2' is not in the language, which has numbers, words, values by name, + - * /",
        ),
        ("grad if final else 0", "there is no value and no word 'if'"),
        ("[1]", "'[1]' is not in the language"),
        ("lambda: 0", "there is no value and no word 'lambda'"),
        ("__import__('os').system('ls')", "there is no value and no word 'os'"),
        ("__import__(data)", "there is no function '__import__'; there are: abs, acos"),
        ("().__class__", "there is no value and no word '__class__'"),
        ("h1.__class__", "of h1 there are: h1.data, h1.grad, h1.final, h1.missing"),
        ("grad.real", "there is no value and no word 'grad.real'"),
        (
            "neth1 > 0",
            "there is no value and no word 'neth1'; did you mean 'net_h1'?",
        ),
        ("abs", "'abs' is a function; write what it is of: abs(grad)"),
        ("abs(1, 2)", "abs() takes 1 number, not 2"),
        ("abs(x=1)", "there is no value and no word 'x'"),
        ("grad and 1", "'1' is a number; compare it: 1 != 0"),
        ("h1.grad or final", "'h1.grad' is a number; compare it: h1.grad != 0"),
        ("finite + 1", "'finite' is true or false; it cannot be compared or calculated with"),
        ("not grad", "'grad' is a number; compare it: grad != 0"),
        ("_0_ > 1", "there is no value and no word '_0_'"),
        ("grad in data", "there is no value and no word 'in'"),
        ("'a' + 1", "there is no value and no word 'a'"),
        ("True", "there is no value and no word 'True'"),
        ("1j", "there is no value and no word 'j'"),
        ("f'{grad}'", "there is no value and no word"),
        ("grad; data", "'grad; data' is not an expression: invalid syntax"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_what_is(text: str, told: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text, NAMES)
    assert str(caught.value).startswith(told)


def test_a_condition_must_be_one() -> None:
    with pytest.raises(
        QueryError, match=r"^'grad' is a number; a condition compares it: grad > 0, or grad == 0$"
    ):
        parse("grad", condition=True)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with suppress(QueryError):
        assert isinstance(parse(text, NAMES)(meaning), (bool, float))


# ------------------------------------------------------------------------------------------- the stops
def net() -> Cursor:
    loss, v = t4()
    return Cursor(trace(loss, v))


def stops(cursor: Cursor, *points: Breakpoint) -> list[int]:
    """Every step at which the run stops, there and, by the same way, back."""
    there = []
    while stop := run(cursor, points):
        there.append(stop.step)
    assert cursor.step == len(cursor)
    back = [len(cursor)] if there and there[-1] == len(cursor) else []
    while stop := run(cursor, points, back=True):
        back.append(stop.step)
    assert cursor.step == 0
    assert back == there[::-1]
    return there


def naive(cursor: Cursor, condition) -> list[int]:
    return [
        step.index for step in cursor.trace.steps if any(condition(step, c) for c in step.contributions)
    ]  # fmt: skip


def test_a_name_stops_where_the_value_passes_its_gradient_on() -> None:
    cursor = net()
    point = breakpoint_at(cursor.trace.graph, "h1")
    assert (str(point), stops(cursor, point)) == ("break name h1", [19])
    assert run(cursor, [point]) == Stop(19, ((0, "h1 passes its gradient on"),))


def test_a_leaf_stops_where_it_receives() -> None:
    cursor = net()
    point = breakpoint_at(cursor.trace.graph, "b1")
    assert stops(cursor, point) == [20, 21]
    assert run(cursor, [point]) == Stop(20, ((0, "b1.grad: +0.009954"),))


def test_an_operation_by_name_and_by_sign() -> None:
    cursor = net()
    graph = cursor.trace.graph
    assert stops(cursor, breakpoint_at(graph, "sigmoid")) == [8, 9, 18, 19]
    assert stops(cursor, breakpoint_at(graph, "×")) == stops(cursor, breakpoint_at(graph, "mul"))


def test_a_watch_stops_whenever_the_value_receives() -> None:
    cursor = net()
    point = watch_on(cursor.trace.graph, "h1")
    assert stops(cursor, point) == [15, 17]
    run(cursor, [point])
    assert run(cursor, [point]) == Stop(17, ((0, "h1.grad: −0.019049 → +0.036350, sign change"),))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("abs(grad) > 0.5", lambda _step, c: abs(c.after) > 0.5),
        ("contribution < 0", lambda _step, c: c.amount < 0),
        ("sign change", lambda _step, c: c.before is not None and c.before * c.after < 0),
        ("not finite", lambda _step, _c: False),
        ("final and local == 1", lambda _step, c: c.missing == 0 and c.local == 1.0),
        ("missing == 1", lambda _step, c: c.missing == 1),
        ("upstream > 0 and before != 0", lambda step, c: step.upstream > 0 and c.before not in (None, 0.0)),
        ("data == 0.4", lambda _step, c: c.operand == 15),
        ("h1.grad < 0", lambda step, _c: step.index in (15, 16)),
        ("h1.final < 0", lambda _step, _c: False),
        ("h1.missing == 0", lambda step, _c: step.index >= 17),
        ("h1.data > 0.59", lambda _step, _c: True),
    ],
)
def test_a_condition_holds_where_the_numbers_say_so(condition: str, holds) -> None:
    cursor = net()
    for text in (condition, f"if {condition}"):
        point = breakpoint_at(cursor.trace.graph, text)
        assert stops(cursor, point) == naive(cursor, holds)


def test_a_place_and_a_condition() -> None:
    cursor = net()
    graph = cursor.trace.graph
    for text in ("mul if grad < 0", "mul, grad < 0"):
        point = breakpoint_at(graph, text)
        assert str(point) == "break operation mul if grad < 0"
        assert stops(cursor, point) == [14, 15]
    assert stops(cursor, watch_on(graph, "h1 if grad > 0")) == [17]
    assert stops(cursor, watch_on(graph, "h1.grad", "sign_change")) == [17]
    assert stops(cursor, breakpoint_at(graph, "h1 if data > 100")) == []


def test_zero_and_non_finite_gradients_are_found() -> None:
    x, y = Value(0.0, name="x"), Value(2.0, name="y")
    zero = Cursor(trace(x * y + y, {}))
    point = breakpoint_at(zero.trace.graph, "final and grad == 0")
    assert stops(zero, point) == []
    assert stops(zero, breakpoint_at(zero.trace.graph, "contribution == 0")) == [2]
    root = Cursor(trace(x.sqrt() * y, {}))
    assert run(root, [breakpoint_at(root.trace.graph, "not finite")]) == Stop(2, ((0, "x.grad: +inf"),))


def test_several_breakpoints_stop_together_and_each_says_why() -> None:
    cursor = net()
    graph = cursor.trace.graph
    points = [watch_on(graph, "w1"), breakpoint_at(graph, "sub"), watch_on(graph, "i1")]
    assert run(cursor, points) == Stop(6, ((1, "v33 passes its gradient on"),))
    cursor.goto(26)
    assert run(cursor, points) == Stop(
        27, ((0, "w1.grad: +0.000438568"), (2, "i1.grad: +0.002489 → +0.003804"))
    )


def test_a_wide_step_tells_of_three() -> None:
    values = [Value(float(i), name=f"x{i}") for i in range(5)]
    cursor = Cursor(trace(dot(values, [1.0] * 5), {}))
    [(_, told)] = run(cursor, [breakpoint_at(cursor.trace.graph, "grad > 0")]).reasons  # type: ignore[union-attr]
    assert told == "x4.grad: +1; x3.grad: +1; x2.grad: +1 and 2 more"


# ---------------------------------------------------------------------------------------------- lines
def with_lines() -> tuple[Graph, str, list[int]]:
    before = record_sites(True)
    try:
        x = Value(0.5, name="x")
        y = x.tanh()
        first = here(1)
        z = y * y + x
        second = here(1)
    finally:
        record_sites(before)
    file, _, line = first.rpartition(":")
    return Graph(z, {}), file, [int(line), int(second.rpartition(":")[2])]


def test_a_line_stops_at_the_values_recorded_on_it() -> None:
    graph, file, (first, second) = with_lines()
    cursor = Cursor(trace(graph))
    for text in (
        f"{second}",
        f"test_debug_breakpoints.py:{second}",
        f"tests/test_debug_breakpoints.py:{second}",
    ):
        assert stops(cursor, breakpoint_at(graph, text)) == [1, 2]
    point = breakpoint_at(graph, f"{first} if grad > 0", file=file)
    assert str(point) == f"break line test_debug_breakpoints.py:{first} if grad > 0"
    assert stops(cursor, point) == [3]


def test_a_line_on_which_nothing_was_recorded() -> None:
    graph, _, (first, second) = with_lines()
    told = rf"^no value was recorded on line 1 of test_debug_breakpoints.py; nearest: {first}, {second}$"
    with pytest.raises(BreakpointError, match=told):
        breakpoint_at(graph, "1")
    with pytest.raises(
        BreakpointError, match=r"^no value was recorded in a file 'other.py'; there are: test_debug_"
    ):
        breakpoint_at(graph, "other.py:3")
    with pytest.raises(
        BreakpointError, match=r"^no line is known: call microbp.record_sites\(\) before computing"
    ):
        breakpoint_at(net().trace.graph, "net.py:3")


# ------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "break at what? a name, an operation, file:line, or: if CONDITION"),
        ("sigmiod", "there is no value, operation or line 'sigmiod'; did you mean 'sigmoid'?"),
        ("h3", "there is no value, operation or line 'h3'; did you mean 'w3'?"),
        ("zzz", "there is no value, operation or line 'zzz'; the named values are: w1, i1, w2, i2"),
        ("zzz if grad > 0", "there is no value, operation or line 'zzz'; the named values are: w1"),
        ("h1 if grad", "'grad' is a number; a condition compares it"),
        ("h1 if", "an expression is missing; for instance: abs(grad) > 10"),
        ("if", "an expression is missing"),
    ],
)
def test_what_is_not_there_is_told_of(text: str, told: str) -> None:
    with pytest.raises((BreakpointError, QueryError)) as caught:
        breakpoint_at(net().trace.graph, text)
    assert str(caught.value).startswith(told)


def test_a_watch_on_what_is_not_there() -> None:
    graph = net().trace.graph
    with pytest.raises(BreakpointError, match=r"^there is no value 'w9'; did you mean 'w8'\?$"):
        watch_on(graph, "w9")
    with pytest.raises(BreakpointError, match=r"^watch what\? the name of a value$"):
        watch_on(graph, " ")
    x, c = Value(3.0, name="x"), Value(2.0, name="c").detach()
    with pytest.raises(BreakpointError, match=r"^c is a constant: it takes no gradient"):
        watch_on(Graph(x * c), "c")


def test_a_name_with_spaces_and_commas_is_a_name() -> None:
    x = Value(3.0, name="W[0, 1]")
    y = Value(3.0, name="if x")
    graph = Graph(x * y, {})
    assert breakpoint_at(graph, "W[0, 1]").what == "W[0, 1]"
    assert watch_on(graph, "if x").what == "if x"
    assert str(watch_on(graph, "W[0, 1], grad > 0")) == "watch W[0, 1] if grad > 0"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_figure_is_the_number_to_six_digits_or_six_decimals(x: float) -> None:
    shown = float(figure(x).replace("−", "-"))
    assert shown == pytest.approx(x, rel=1e-5, abs=1e-6 if abs(x) >= 1e-3 else 0.0, nan_ok=True)
    assert figure(x, sign=True).lstrip("+−") == figure(x).lstrip("−")


def test_a_condition_that_is_missing_or_assigns_is_told_of() -> None:
    graph = Graph(Value(3.0, name="x") * 2.0, {})
    for set_on in (breakpoint_at, watch_on):
        with pytest.raises(QueryError, match=r"^an expression is missing; for instance: abs"):
            set_on(graph, "x if")
    with pytest.raises(QueryError, match=r"^'grad = 0' is not an expression: .*; to compare, write ==$"):
        breakpoint_at(graph, "if grad = 0")
