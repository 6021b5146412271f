from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_once, here
from tutorial import written_out

from microbp import Value, dot, record_sites
from microbp.debug.breakpoints import (
    Breakpoint,
    Expression,
    Place,
    Refusal,
    breakpoint_at,
)  # fmt: skip
from microbp.debug.formulas import figure
from microbp.debug.trace import Trace, trace

ODD = ("layers.0.w[1]", "W[0,1]", "w#2", "my net", "d['a']", "grad2", "net_h1", "if x")


def odd() -> Trace:
    """A pass over values with names of every kind, each of them 0.5; the gradient of the last is 2."""
    values = [Value(0.5, name=name) for name in ODD]
    return trace(sum(values[1:], values[0]) * 2.0, {})


# -------------------------------------------------------------------------------------- expressions
@at_once(
    [
        ("abs(grad) > 10", False),
        ("not finite", False),
        ("grad == 2", True),
        ("sign change", False),
        ("sign  change or final", True),
        ("1 < grad < 3", True),
        ("isnan(data) or isinf(local)", False),
        ("layers.0.w[1].data * 2 + net_h1.data", 1.5),
        ("W[0,1].data < 1", True),
        ("W[0, 1].data", 0.5),
        ("w#2.missing", 0),
        ("'my net'.data", 0.5),
        ('"my net".final < 3', True),
        ("my net.data + 1", 1.5),
        ("d['a'].data", 0.5),
        ("grad2.grad", 2.0),
        ("grad ** 2 if final else 0", 4.0),
        ("pow(grad, 3) + 1e-3", 8.001),
        ("max(x.data for x in [net_h1, grad2])", 0.5),
        ("(lambda y: y + threshold)(grad)", 12.0),
        ("log(e)", 1.0),
    ]
)
def test_an_expression_means_what_python_says(text: str, answer: object) -> None:
    pass_ = odd()
    last = pass_.steps[-1].contributions[-1]
    assert Expression(text, pass_, {"threshold": 10.0})(Place(pass_, len(pass_)), last) == answer


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "an expression is missing; for instance: abs(grad) > 10"),
        ("grad = 0", "'grad = 0' is not an expression: invalid syntax"),
        ("(" * 80, f"'{'(' * 80}' is not an expression: '(' was never closed"),
        ("grad; data", "'grad; data' is not an expression: invalid syntax"),
        ("net_h1.gradient > 0", "say what of net_h1 is meant: net_h1.data, net_h1.grad, net_h1.final"),
        ("neth1 > 0", "there is no value and no word 'neth1'; did you mean 'net_h1'?"),
        ("nothing_such", "there is no value and no word 'nothing_such'; the words are: data, grad"),
    ],
)
def test_what_is_no_expression_is_told_of(text: str, told: str) -> None:
    with pytest.raises(Refusal) as caught:
        Expression(text, odd())
    assert str(caught.value).startswith(told)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with suppress(Refusal):
        Expression(text, odd())


def test_of_what_has_no_value_yet_nothing_holds() -> None:
    pass_ = trace(Value(2.0, name="x") * 3.0, {})
    condition = Expression("x.grad > 0", pass_)
    assert (condition.holds(Place(pass_, 0)), condition.holds(Place(pass_, 1))) == (False, True)
    assert not Expression("not x.grad > 0", pass_).holds(Place(pass_, 0))
    assert Expression("x.grad", pass_)(Place(pass_, 0)) is None
    assert not Expression("log(x.data - 2)", pass_).holds(Place(pass_, 0))


def test_a_name_that_the_user_gave_is_that_value() -> None:
    grad = Value(2.0, name="grad")
    pass_ = trace(grad * 3.0, {})
    assert Expression("grad.data", pass_)(Place(pass_, 1)) == 2.0


# ------------------------------------------------------------------------------------------- the stops
def net() -> Trace:
    loss, v = written_out()
    return trace(loss, v)


def reasons(pass_: Trace, *points: Breakpoint) -> dict[int, list[str | None]]:
    """Why each of the points stops, at every step at which one does."""
    places = [Place(pass_, step) for step in range(len(pass_) + 1)]
    found = {place.at: [each.stops(place) for each in points] for place in places}
    return {at: told for at, told in found.items() if any(told)}


def stops(pass_: Trace, *points: Breakpoint) -> list[int]:
    return [*reasons(pass_, *points)]


def naive(pass_: Trace, condition) -> list[int]:
    return [step.index for step in pass_.steps if any(condition(step, c) for c in step.contributions)]


def test_a_name_stops_where_the_value_passes_its_gradient_on() -> None:
    pass_ = net()
    point = breakpoint_at(pass_, "h1")
    assert str(point) == "break h1"
    assert reasons(pass_, point) == {19: ["h1 passes its gradient on"]}
    computed = [at for at in range(-27, 0) if point.stops(Place(pass_, at))]
    assert [Place(pass_, at).node.name for at in computed] == ["h1"]


def test_a_leaf_stops_where_it_receives() -> None:
    cursor = net()
    point = breakpoint_at(cursor, "b1")
    assert stops(cursor, point) == [20, 21]
    assert reasons(cursor, point)[20] == ["b1.grad: +0.00995425"]


def test_an_operation_by_name_and_by_sign() -> None:
    cursor = net()
    graph = cursor
    assert stops(cursor, breakpoint_at(graph, "sigmoid")) == [8, 9, 18, 19]
    assert stops(cursor, breakpoint_at(graph, "×")) == stops(cursor, breakpoint_at(graph, "mul"))


def test_a_watch_stops_whenever_the_value_receives() -> None:
    cursor = net()
    point = breakpoint_at(cursor, "h1", watch=True)
    assert stops(cursor, point) == [15, 17]
    assert reasons(cursor, point)[17] == ["h1.grad: −0.0190491 → +0.0363503, sign change"]


@at_once(
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
    ]
)
def test_a_condition_holds_where_the_numbers_say_so(condition: str, holds) -> None:
    cursor = net()
    for text in (condition, f"if {condition}"):
        point = breakpoint_at(cursor, text)
        assert stops(cursor, point) == naive(cursor, holds)


def test_a_place_and_a_condition() -> None:
    cursor = net()
    graph = cursor
    for text in ("mul if grad < 0", "mul, grad < 0"):
        point = breakpoint_at(graph, text)
        assert str(point) == "break mul if grad < 0"
        assert stops(cursor, point) == [14, 15]
    assert stops(cursor, breakpoint_at(graph, "h1 if grad > 0", watch=True)) == [17]
    assert stops(cursor, breakpoint_at(graph, "h1.grad if sign_change", watch=True)) == [17]
    assert stops(cursor, breakpoint_at(graph, "h1 if data > 100")) == []


def test_zero_and_non_finite_gradients_are_found() -> None:
    x, y = Value(0.0, name="x"), Value(2.0, name="y")
    zero = trace(x * y + y, {})
    point = breakpoint_at(zero, "final and grad == 0")
    assert stops(zero, point) == []
    assert stops(zero, breakpoint_at(zero, "contribution == 0")) == [2]
    root = trace(x.sqrt() * y, {})
    assert reasons(root, breakpoint_at(root, "not finite")) == {2: ["x.grad: +∞"]}


def test_several_breakpoints_stop_together_and_each_says_why() -> None:
    cursor = net()
    graph = cursor
    set_on = (("w1", True), ("sub", False), ("i1", True))
    points = [breakpoint_at(graph, text, watch=watch) for text, watch in set_on]
    found = reasons(cursor, *points)
    assert found[6] == [None, "v33 passes its gradient on", None]
    assert found[27] == ["w1.grad: +0.000438568", None, "i1.grad: +0.00248856 → +0.00380427"]


def test_a_wide_step_tells_of_three() -> None:
    values = [Value(float(i), name=f"x{i}") for i in range(5)]
    cursor = trace(dot(values, [1.0] * 5), {})
    [[told]] = reasons(cursor, breakpoint_at(cursor, "grad > 0")).values()
    assert told == "x4.grad: +1; x3.grad: +1; x2.grad: +1 and 2 more"


# ---------------------------------------------------------------------------------------------- lines
def with_lines() -> tuple[Trace, str, list[int]]:
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
    return trace(z, {}), file, [int(line), int(second.rpartition(":")[2])]


def test_a_line_stops_at_the_values_recorded_on_it() -> None:
    graph, file, (first, second) = with_lines()
    cursor = graph
    for text in (
        f"{second}",
        f"test_debug_breakpoints.py:{second}",
        f"tests/test_debug_breakpoints.py:{second}",
    ):
        assert stops(cursor, breakpoint_at(graph, text)) == [1, 2]
    point = breakpoint_at(graph, f"{first} if grad > 0", file=file)
    assert str(point) == f"break {first} if grad > 0"
    assert stops(cursor, point) == [3]


def test_a_line_on_which_nothing_was_recorded() -> None:
    graph, _, (first, second) = with_lines()
    told = rf"^no value was recorded on line 1 of test_debug_breakpoints.py; nearest: {first}, {second}$"
    with pytest.raises(Refusal, match=told):
        breakpoint_at(graph, "1")
    with pytest.raises(
        Refusal, match=r"^no value was recorded in a file 'other.py'; there are: test_debug_"
    ):
        breakpoint_at(graph, "other.py:3")
    with pytest.raises(
        Refusal, match=r"^no line is known: call microbp.record_sites\(\) before computing"
    ):
        breakpoint_at(net(), "net.py:3")


# ------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "an expression is missing; for instance: abs(grad) > 10"),
        ("sigmiod", "there is no value, operation or line 'sigmiod'; did you mean 'sigmoid'?"),
        ("h3", "there is no value, operation or line 'h3'; did you mean 'w3'?"),
        ("zzz", "there is no value, operation or line 'zzz'; the named values are: w1, i1, w2, i2"),
        ("zzz if grad > 0", "there is no value, operation or line 'zzz'; the named values are: w1"),
        ("h1 if", "an expression is missing; for instance: abs(grad) > 10"),
        ("if", "an expression is missing"),
    ],
)
def test_what_is_not_there_is_told_of(text: str, told: str) -> None:
    with pytest.raises(Refusal) as caught:
        breakpoint_at(net(), text)
    assert str(caught.value).startswith(told)


def test_a_watch_on_what_is_not_there() -> None:
    graph = net()
    with pytest.raises(Refusal, match=r"^there is no value 'w9'; did you mean 'w8'\?$"):
        breakpoint_at(graph, "w9", watch=True)
    x, c = Value(3.0, name="x"), Value(2.0, name="c").detach()
    with pytest.raises(Refusal, match=r"^c is a constant: it takes no gradient"):
        breakpoint_at(trace(x * c), "c", watch=True)


def test_a_name_with_spaces_and_commas_is_a_name() -> None:
    x = Value(3.0, name="W[0, 1]")
    y = Value(3.0, name="if x")
    graph = trace(x * y, {})
    assert str(breakpoint_at(graph, "W[0, 1]")) == "break W[0, 1]"
    assert str(breakpoint_at(graph, "if x", watch=True)) == "watch if x"
    assert str(breakpoint_at(graph, "W[0, 1], grad > 0", watch=True)) == "watch W[0, 1] if grad > 0"


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_figure_is_the_number_to_six_digits(x: float) -> None:
    shown = float(figure(x).replace("−", "-").replace("∞", "inf"))
    assert shown == pytest.approx(x, rel=1e-5, abs=0.0, nan_ok=True)
    assert figure(x, sign=True).lstrip("+−") == figure(x).lstrip("−")


def test_a_condition_that_is_missing_or_assigns_is_told_of() -> None:
    graph = trace(Value(3.0, name="x") * 2.0, {})
    for watch in (False, True):
        with pytest.raises(Refusal, match=r"^an expression is missing; for instance: abs"):
            breakpoint_at(graph, "x if", watch=watch)
    with pytest.raises(Refusal, match=r"^'grad = 0' is not an expression: .*; to compare, write ==$"):
        breakpoint_at(graph, "if grad = 0")
