"""Long graphs in which much repeats: to the eager engine's bits, in every way in which one sample runs."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import bits

import microbp
from microbp import NotFiniteResult, UndefinedOperation, Value
from microbp.replay import compile as compile_
from microbp.replay import forms, matrix, straight

Recorded = tuple[Any, list[Value], list[Value]]


def agree(recorded: Recorded, form: str) -> bool:
    """Whether one sample gives the eager engine's value and gradients, but for the sign of a 0."""
    output, inputs, params = recorded
    for each in inputs + params:
        each.grad = None
    output.backward()
    expected = [[bits((each.grad or 0.0) + 0.0) for each in leaves] for leaves in (params, inputs)]
    program = compile_(output, inputs, params, form=form)
    numbers = [each.data for each in inputs]
    plain, found = program.value_and_grad(numbers), program.value_and_grad(numbers, wrt_inputs=True)
    gradients = [[bits(each + 0.0) for each in held] for held in (found.gradient, found.inputs)]
    same = plain.gradient.tobytes() == found.gradient.tobytes()
    costs = {bits(float(each)) for each in (program(numbers), plain.cost, found.cost, output.data)}
    return same and len(costs) == 1 and gradients == expected


@pytest.fixture(params=["straight", "swept", "auto"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Straight lines; the sweeps over the columns, as of a graph too long for lines; the machine in C."""
    if request.param == "swept":
        monkeypatch.setattr(forms, "MOST", 10)
    return "auto" if request.param == "auto" else "straight"


# -------------------------------------------------------------------------------- programs that repeat
def chain(times: int = 1000) -> Recorded:
    w, x = Value(0.999, "w"), Value(0.001, "x")
    v = x
    for _ in range(times):
        v = v * w + x
    return v, [], [w, x]


def sum_of_products(size: int = 300) -> Recorded:
    w = [Value(0.1 * (i % 7) - 0.2) for i in range(size)]
    x = [Value(0.3 * (i % 5) - 0.7) for i in range(size)]
    total = w[0] * x[0]
    for a, b in zip(w[1:], x[1:], strict=True):
        total = total + a * b
    return total, x, w


def oscillator(times: int = 500) -> Recorded:
    """Both of the new values from both of the old ones."""
    k, c, start, speed = Value(1.3, "k"), Value(0.1, "c"), Value(1.0, "x0"), Value(0.0, "v0")
    x, v = start, speed
    for _ in range(times):
        a = -k * x - c * v
        x, v = x + 0.01 * v, v + 0.01 * a
    return x * x + v * v, [start, speed], [k, c]


def recurrent(times: int = 100, width: int = 3, *, losses: bool) -> Recorded:
    w = [[Value(math.sin(3 * i + j), f"W[{i},{j}]") for j in range(width)] for i in range(width)]
    u = [Value(math.cos(i), f"U[{i}]") for i in range(width)]
    x = [Value(math.sin(t), f"x[{t}]") for t in range(times)]
    h: list[Any] = [0.0] * width
    total: Any = 0.0
    for t in range(times):
        sums = []
        for i in range(width):
            a = u[i] * x[t]
            for j in range(width):
                a = a + w[i][j] * h[j]
            sums.append(a.tanh())
        h = sums
        if losses:
            total = total + (h[0] - math.cos(t)) ** 2
    return total if losses else h[0] * h[1], x, [*(each for row in w for each in row), *u]


def fibonacci(times: int = 300) -> Recorded:
    """Two repetitions back."""
    first, second, w = Value(0.3, "a"), Value(0.4, "b"), Value(0.6, "w")
    u, v = first, second
    for _ in range(times):
        u, v = v, (u * w + v * 0.3).sin()
    return v, [first, second], [w]


def far_back(times: int = 300, lag: int = 7) -> Recorded:
    """More repetitions back than there are variables for."""
    w = Value(0.6, "w")
    values: list[Any] = [Value(0.1 * i, f"s[{i}]") for i in range(lag)]
    starts = list(values)
    for _ in range(times):
        values.append((values[-lag] * w + values[-1]).sin())
    return values[-1], starts, [w]


def there_and_back(times: int = 200) -> Recorded:
    """A second loop uses the values of the first, from the last to the first."""
    w, x = Value(0.9, "w"), Value(0.5, "x")
    values: list[Any] = [x]
    for _ in range(times):
        values.append((values[-1] * w).tanh())
    total = values[-1]
    for each in reversed(values[:-1]):
        total = (total * each + 0.1).sin()
    return total, [x], [w]


def all_summed(times: int = 200) -> Recorded:
    """Weights of their own, and a single node that uses every value."""
    w, x = [Value(0.01 * i) for i in range(times)], Value(0.5, "x")
    values: list[Any] = [x]
    for each in w:
        values.append((values[-1] * each).sin())
    return microbp.sum(values), [x], w


def numbers_of_their_own(times: int = 200) -> Recorded:
    """A literal and a constant that differ in each repetition, and the first value used in all."""
    w, x = Value(0.9, "w"), Value(0.5, "x")
    first = v = (x * w).sin()
    for index in range(times):
        v = (v * w + first).sin() * (0.5 + 0.001 * index) + Value(0.002 * index).detach()
    return v, [x], [w]


PROGRAMS: dict[str, Callable[[], Recorded]] = {
    "chain": chain,
    "sum of products": sum_of_products,
    "oscillator": oscillator,
    "recurrent": lambda: recurrent(losses=False),
    "recurrent with losses": lambda: recurrent(losses=True),
    "fibonacci": fibonacci,
    "far back": far_back,
    "there and back": there_and_back,
    "all summed": all_summed,
    "numbers of their own": numbers_of_their_own,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_repeat_have_the_eager_engine_s_bits(name: str, form: str) -> None:
    assert agree(PROGRAMS[name](), form)


# ---------------------------------------------------------------------------- programs drawn at random
KINDS = "lllfsicntrqm"


@st.composite
def repeating(draw: st.DrawFn) -> Recorded:
    """Up to three loops over a few state variables: random operands, of this and of earlier loops."""
    number = st.floats(-1.0, 1.0).map(lambda x: round(x, 4))
    fixed = [Value(draw(number), f"w{i}") for i in range(draw(st.integers(1, 3)))]
    start = Value(draw(number), "start")
    frozen = Value(0.7)
    frozen.requires_grad = False
    inputs, params = [start], list(fixed)
    seed = draw(st.integers(0, 1000))
    earlier: list[list[Any]] = []

    def fresh() -> float:
        return math.sin(seed + 37.0 * (len(inputs) + len(params)))

    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.integers(1, 3))
        begin = st.sampled_from([*fixed, start, frozen])
        states: list[list[Any]] = [[draw(begin) for _ in range(3)] for _ in range(width)]
        pattern = [
            [
                (
                    draw(st.sampled_from(KINDS)), draw(st.integers(0, width - 1)), draw(st.integers(1, 3)),
                    draw(st.integers(0, 20)), draw(st.sampled_from(["add", "mul", "sub", "sine", "dot"])),
                )
                for _ in range(draw(st.integers(1, 3)))
            ]
            for _ in range(width)
        ]  # fmt: skip
        for step in range(draw(st.integers(8, 25))):
            for state, steps in zip(states, pattern, strict=True):
                v: Any = state[-1]
                for kind, which, lag, at, operation in steps:
                    past = earlier[at % len(earlier)] if earlier else [frozen]
                    if kind == "l":
                        o: Any = states[which][-lag]
                    elif kind == "f":
                        o = fixed[at % len(fixed)]
                    elif kind in "si":
                        o = Value(fresh())
                        (params if kind == "s" else inputs).append(o)
                    elif kind == "c":
                        o = Value(math.cos(step)).detach()
                    elif kind in "nt":
                        o = 0.37 if kind == "n" else math.cos(step)
                    elif kind == "r":
                        o = past[step % len(past)]
                    elif kind == "m":
                        o = past[-1 - step % len(past)]
                    else:
                        o = states[which][len(states[which]) // 2]
                    if operation == "add":
                        v = v + o
                    elif operation == "mul":
                        v = v * o
                    elif operation == "sub":
                        v = o - v
                    elif operation == "sine":
                        v = v * o if isinstance(o, float) else v + o.sin()
                    else:
                        v = microbp.dot([v, fixed[0], v], [o, 0.5, o])
                state.append(v.tanh())
        earlier += states
    chosen = earlier[draw(st.integers(0, len(earlier) - 1))]
    end = draw(st.sampled_from(["last", "chain", "some", "sum"]))
    total = chosen[-1]
    if end == "chain":
        for each in chosen:
            total = total + each
    elif end == "some":
        for index in draw(st.lists(st.integers(0, len(chosen) - 1), min_size=3, max_size=3)):
            total = total + chosen[index] * chosen[index]
    elif end == "sum":
        total = microbp.sum([each for state in earlier for each in state])
    if draw(st.booleans()):
        params.reverse()
    return total, inputs, params


@settings(max_examples=40)
@given(repeating())
def test_random_programs_with_repetitions_give_the_eager_engine_s_bits(recorded: Recorded) -> None:
    assert agree(recorded, "straight")
    with pytest.MonkeyPatch.context() as patched:  # walked through, as of a graph too long for lines
        patched.setattr(forms, "MOST", 10)
        assert agree(recorded, "straight")


# ------------------------------------------------------------------------------------ too long for lines
def test_a_graph_too_long_for_lines_says_so_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST", 100)
    output, inputs, params = chain(50)
    program = compile_(output, inputs, params, form="straight")
    told = "102 values are too many to be written out, and walked through for each sample"
    assert program.source == f"# {told}.\n"
    assert told in program.describe()
    assert program.functions == {}
    again = pickle.loads(pickle.dumps(program))
    assert (again([]), again.form) == (output.data, "straight")


def test_a_wrong_order_of_contributions_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three contributions of one node to one operand, the last first: (c + b) + a is not (a + b) + c."""
    w, start = Value(0.3, "w"), Value(0.5, "x")
    v = start
    for _ in range(100):
        v = microbp.dot([v, v, v], [w, 0.1, v]).sin()
    recorded = v, [start], [w]
    assert agree(recorded, "straight")
    monkeypatch.setattr(straight, "reversed", lambda held: [*held], raising=False)
    assert not agree(recorded, "straight")


def test_inputs_of_each_repetition_may_change(form: str) -> None:
    output, x, params = recurrent(300, losses=True)
    program = compile_(output, x, params, form=form)
    other = [math.cos(2.0 * t) for t in range(300)]
    moved = program.value_and_grad(other, wrt_inputs=True)
    again, fresh, same = recurrent(300, losses=True)
    again.backward()
    unchanged = program.value_and_grad([each.data for each in fresh], wrt_inputs=True)
    assert unchanged.cost == again.data
    assert unchanged.gradient.tolist() == [each.grad for each in same]
    assert unchanged.inputs.tolist() == [each.grad for each in fresh]
    assert moved.cost != unchanged.cost


def test_an_operation_without_a_result_is_named(form: str) -> None:
    x, v = Value(1.0, name="x"), Value(1.0, name="v0")
    start = v
    for index in range(1500):
        v = (v * 1.001 - x * 0.0001).sqrt()
        v.name = f"h[{index}]"
    program = compile_(v, [x], [start], form=form)
    with pytest.raises(UndefinedOperation, match=r"sqrt.* at a = -98.999.* It is h\[0\]"):
        program([1e6])
    with pytest.raises(NotFiniteResult, match="the first value that is not finite"):
        program([-math.inf])


def test_a_batch_of_a_graph_without_matrices(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "MANY", 3)
    output, x, params = fibonacci()
    program = compile_(output, x, params, form=form)
    rows = [[0.3, 0.4], [0.1, -0.2], [0.5, 0.0]]
    found = program.value_and_grad(rows, reduce="sum", wrt_inputs=True)
    ones = [program.value_and_grad(row, wrt_inputs=True) for row in rows]
    assert found.costs == pytest.approx([one.cost for one in ones], rel=1e-12)
    assert found.gradient == pytest.approx(sum(one.gradient for one in ones), rel=1e-12)
    assert found.inputs.ravel() == pytest.approx([each for one in ones for each in one.inputs], rel=1e-12)
