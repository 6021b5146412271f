"""Rolled replay: loops for what repeats in a long graph, to the eager engine's bits."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import bits

import microbp
from microbp import NotFiniteResult, UndefinedOperation, Value
from microbp.replay import compile as compile_
from microbp.replay import statements
from microbp.replay import straight as straight_module
from microbp.replay.backends import defined
from microbp.replay.function_graph import Captured, capture
from microbp.replay.loops import Layout, layout
from microbp.replay.straight import straight

Recorded = tuple[Any, list[Value], list[Value]]


def plan(captured: Captured) -> Layout:
    return layout(captured)


def rolled(captured: Captured, *, wrt_inputs: bool = False) -> str:
    return straight(captured, wrt_inputs=wrt_inputs, plan=plan(captured))


def loops(recorded: Recorded) -> list[tuple[int, int]]:
    """The period of each loop, and how often it runs."""
    return [(each.period, each.times) for each in plan(capture(*recorded)).loops]


def agree(recorded: Recorded) -> bool:
    """Whether the rolled source gives the eager engine's values and gradients, but for the sign of a 0."""
    output, inputs, params = recorded
    for each in inputs + params:
        each.grad = None
    output.backward()
    expected = [[bits((each.grad or 0.0) + 0.0) for each in leaves] for leaves in (params, inputs)]
    captured = capture(*recorded)
    numbers = [each.data for each in inputs], [each.data for each in params]
    for wrt_inputs in (False, True):
        made = defined(rolled(captured, wrt_inputs=wrt_inputs))
        cost, *gradients = made["value_and_grad"](*numbers)
        if bits(cost) != bits(output.data) or bits(made["value"](*numbers)) != bits(cost):
            return False
        found = [[bits(each + 0.0) for each in gradient] for gradient in gradients]
        if found != expected[: 1 + wrt_inputs]:
            return False
    return True


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


PROGRAMS: dict[str, tuple[Callable[[], Recorded], int]] = {
    "chain": (chain, 2),
    "sum of products": (sum_of_products, 4),
    "oscillator": (oscillator, 8),
    "recurrent": (lambda: recurrent(losses=False), 25),
    "recurrent with losses": (lambda: recurrent(losses=True), 25),
    "fibonacci": (fibonacci, 4),
    "far back": (far_back, 3),
    "there and back": (there_and_back, 2),
    "all summed": (all_summed, 3),
    "numbers of their own": (numbers_of_their_own, 6),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_repeat_are_rolled_to_the_eager_engine_s_bits(name: str) -> None:
    make, period = PROGRAMS[name]
    recorded = make()
    found = loops(recorded)
    assert period in [each for each, _ in found]
    covered = sum(period * times for period, times in found)
    assert covered > 0.7 * len(capture(*recorded).graph)
    assert agree(recorded)


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


@settings(max_examples=200)
@given(repeating())
def test_random_programs_with_repetitions_give_the_eager_engine_s_bits(recorded: Recorded) -> None:
    assert agree(recorded)


# -------------------------------------------------------------------------------------- planted errors
def test_a_wrong_order_of_accumulation_would_be_seen(monkeypatch: Any) -> None:
    """Three contributions of one node to one operand, the last first: (c + b) + a is not (a + b) + c."""
    w, start = Value(0.3, "w"), Value(0.5, "x")
    v = start
    for _ in range(100):
        v = microbp.dot([v, v, v], [w, 0.1, v]).sin()
    recorded = v, [start], [w]
    assert loops(recorded) == [(2, 99)]
    assert agree(recorded)
    right = statements._places
    monkeypatch.setattr(statements, "_places", lambda rule, operands: right(rule, operands)[::-1])
    assert not agree(recorded)


def test_a_wrong_stride_would_be_seen(monkeypatch: Any) -> None:
    recorded = there_and_back()
    assert agree(recorded)
    right = straight_module._slice

    def shifted(name: str, stride: Any, times: int, *, back: bool = False) -> str:
        moved = stride._replace(first=stride.first - (back and stride.first > 0))
        return right(name, moved, times, back=back)

    monkeypatch.setattr(straight_module, "_slice", shifted)
    assert not agree(recorded)


def test_a_gradient_kept_in_the_wrong_way_would_be_seen(monkeypatch: Any) -> None:
    """With values of the middle used elsewhere, the variables of a loop are not enough."""
    recorded = all_summed()
    assert agree(recorded)
    monkeypatch.setattr(Layout, "listed", lambda self, _: self.mask())
    with pytest.raises((KeyError, UnboundLocalError, AssertionError)):
        assert agree(recorded)


def test_a_node_that_breaks_the_pattern_is_not_in_a_loop() -> None:
    w, v = Value(0.9, "w"), Value(0.5, "x")
    for index in range(300):
        v = v * w + 0.1 if index != 150 else v * v + 0.1
    captured = capture(v, [])
    found = [(each.start, each.end) for each in plan(captured).loops]
    square = next(n.position for n in captured.graph if n.rule and n.operands[0] == n.operands[1])
    assert len(found) == 2
    assert not any(start <= square < end for start, end in found)
    assert agree((v, [], [w]))


# ------------------------------------------------------------------------------------------- detection
def test_the_longest_saving_is_chosen_among_periods() -> None:
    assert loops(chain()) == [(2, 999)]
    ((period, _),) = loops(recurrent(losses=False))
    assert period == 25


def test_what_does_not_repeat_has_no_loops() -> None:
    start = v = Value(0.5, "x")
    for which in np.random.default_rng(0).integers(6, size=300):
        v = [v.sin, v.cos, v.tanh, v.atan, v.exp, v.erf][which]() * 0.3
    assert loops((v, [], [start])) == []
    assert agree((v, [], [start]))


# ------------------------------------------------------------------------------ as a form of a program
def test_a_long_graph_is_rolled_in_the_straight_form(monkeypatch: Any) -> None:
    monkeypatch.setattr(straight_module, "MOST", 100)
    output, inputs, params = chain(5000)
    program = compile_(output, inputs, params, form="straight")
    assert "(1 loop for what repeats)" in program.describe()
    assert program.source.count("\n") < 60
    output.backward()
    found = program.value_and_grad([])
    assert found.cost == output.data
    assert found.gradient.tolist() == [each.grad for each in params]


def test_auto_takes_loops_where_there_are_no_matrices() -> None:
    output, inputs, params = chain(4000)
    told = compile_(output, inputs, params).describe()
    assert "(1 loop for what repeats)" in told
    assert "became 1 array operation" in compile_(*sum_of_products(2000)).describe()


def test_a_graph_too_long_even_with_loops_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setattr(straight_module, "MOST", 5)
    with pytest.raises(ValueError, match=r"of 2,002 values .* with loops .* it has 6, and 5 are the most"):
        rolled(capture(*chain()))


def test_inputs_of_each_repetition_may_change_and_gradients_are_asked_for() -> None:
    output, x, params = recurrent(300, losses=True)
    program = compile_(output, x, params, form="straight")
    other = [math.cos(2.0 * t) for t in range(300)]
    found = program.value_and_grad(other, wrt_inputs=True)
    for each, number in zip(x, other, strict=True):
        each.data = number
    again, fresh, same = recurrent(300, losses=True)
    assert program([each.data for each in fresh]) == again.data
    again.backward()
    unchanged = program.value_and_grad([each.data for each in fresh], wrt_inputs=True)
    assert unchanged.gradient.tolist() == [each.grad for each in same]
    assert unchanged.inputs.tolist() == [each.grad for each in fresh]
    assert found.cost != unchanged.cost


def test_several_outputs_along_a_loop() -> None:
    w, x = Value(0.9, "w"), Value(0.5, "x")
    values, v = [], x
    for _ in range(1200):
        v = (v * w).sin()
        values.append(v)
    made = defined(rolled((capture(values, [x], [w])), wrt_inputs=True))
    microbp.sum(values).backward()
    found, dw, dx = made["value_and_grad"]([0.5], [0.9])
    assert found == made["value"]([0.5], [0.9]) == [each.data for each in values]
    assert (dw, dx) == ([w.grad], [x.grad])


def test_an_operation_without_a_result_is_named_in_a_loop() -> None:
    x, v = Value(1.0, name="x"), Value(1.0, name="v0")
    start = v
    for index in range(1500):
        v = (v - x).log() if index == -1 else (v * 1.001 - x * 0.0001).sqrt()
        v.name = f"h[{index}]"
    program = compile_(v, [x], [start], form="straight")
    assert "# h stands for" in program.source
    with pytest.raises(UndefinedOperation, match=r"sqrt.* at a = -98.999"):
        program([1e6])
    with pytest.raises(NotFiniteResult, match="the first value that is not finite"):
        program([-math.inf])


def test_lists_of_a_wrong_length_are_refused() -> None:
    made = defined(rolled(capture(*sum_of_products())))
    with pytest.raises(ValueError, match="300 inputs, not 299"):
        made["value"]([1.0] * 299, [1.0] * 300)
    with pytest.raises(ValueError, match="300 parameters, not 301"):
        made["value_and_grad"]([1.0] * 300, [1.0] * 301)


def test_source_pasted_into_a_file_gives_the_same_numbers(tmp_path: Path) -> None:
    output, inputs, params = numbers_of_their_own(800)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        program = compile_(output, inputs, params, form="straight")
    assert program.source.count("for ") >= 3
    file = tmp_path / "pasted.py"
    file.write_text(f"{program.source}\nprint(value_and_grad([0.5], [0.9]))\n", encoding="utf-8")
    run = subprocess.run([sys.executable, "-I", file], capture_output=True, text=True, check=True)
    output.backward()
    assert run.stdout == f"{(output.data, [each.grad for each in params])}\n"
