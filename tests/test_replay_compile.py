"""compile: what it takes, and functions of Values traced once for each shape."""

from __future__ import annotations

import contextvars
import copy
import cProfile
import csv
import datetime as dt
import gc
import importlib
import inspect
import io
import itertools
import logging
import math
import operator
import os
import pickle
import queue
import random
import re
import secrets
import subprocess
import sys
import time
import unittest.mock
import uuid
import warnings
import weakref
from array import ArrayType
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from support import at_once

import microbp
from microbp import MLP, Value, losses
from microbp.optim import SGD, Cosine
from microbp.replay import Program, Traced, around
from microbp.replay import compile as compile_

RNG = np.random.default_rng(5)


def test_values_become_a_program_and_functions_a_function() -> None:
    x = Value(2.0)
    assert isinstance(compile_(x * x, inputs=[x]), Program)
    assert isinstance(compile_(microbp.array([1.0, 2.0]) * x, inputs=x), Program)
    assert isinstance(compile_(lambda x: x * x), Traced)
    assert isinstance(compile_(params=[])(lambda x: x * x), Traced)
    assert isinstance(compile_(MLP(2, [1])), Traced)  # a net is a function, too


def test_what_cannot_be_compiled_is_refused() -> None:
    x = Value(2.0)
    with pytest.raises(
        TypeError, match=r"compile: inputs=\[…\] says which Values stand for the numbers of a sample"
    ):
        compile_(x * x)
    with pytest.raises(TypeError, match="the inputs of a function are its arguments; leave inputs= out"):
        compile_(lambda x: x, inputs=x)
    with pytest.raises(TypeError, match="a function or Values, not an object of type int"):
        compile_()(3)
    with pytest.raises(TypeError, match=r"params is an object of type MLP, .*; give its parameters\(\)"):
        compile_(x * x, inputs=x, params=MLP(1, [1]))


def test_a_function_is_traced_once_for_each_shape_and_each_keyword() -> None:
    calls: list[Any] = []

    @compile_
    def poly(x: Any, *, power: int = 2) -> Any:
        """Its own documentation."""
        calls.append((np.shape(x), power))
        return microbp.sum([each**power for each in np.ravel(x)])

    assert poly([1.0, 2.0]) == poly([2.0, 1.0]) == 5.0
    assert poly(np.ones((2, 2))) == 4.0
    assert poly([1.0, 2.0], power=3) == 9.0
    assert poly.batched([[1.0, 2.0], [3.0, 4.0]]).tolist() == [5.0, 25.0]
    assert calls == [((2,), 2), ((2, 2), 2), ((2,), 3)]
    assert (poly.__name__, poly.__doc__, repr(poly)) == ("poly", "Its own documentation.", "compile(poly)")


def test_several_arguments_and_gradients_by_them() -> None:
    w = Value(2.0, name="w")

    @compile_(params=[w])
    def cost(x: Any, t: Any) -> Any:
        return (microbp.dot(x, [w, w * w]) - t) ** 2

    found = cost.value_and_grad([1.0, 0.5], 3.0, wrt_inputs=True)
    assert found.cost == cost([1.0, 0.5], 3.0) == 1.0
    assert found.gradient.tolist() == [2.0 * (1.0 + 0.5 * 2.0 * 2.0)]
    dx, dt = found.inputs
    assert (dx.tolist(), dt) == ([4.0, 8.0], -2.0)
    many = cost.batched.value_and_grad(np.ones((4, 2)), np.arange(4.0), wrt_inputs=True, reduce="sum")
    assert [each.shape for each in many.inputs] == [(4, 2), (4,)]
    assert many.inputs[1].tolist() == [-12.0, -10.0, -8.0, -6.0]


def test_the_parameters_are_found_or_given() -> None:
    net = MLP(2, [3, 1], activation="tanh", seed=0)
    found, given = compile_(net), compile_(net, params=net.parameters())
    x = [0.3, -0.7]
    assert found(x) == pytest.approx(net(x).data, rel=1e-14)
    assert found.value_and_grad(x).gradient.size == 13
    net(x).backward()
    expected = [each.grad for each in net.parameters()]
    net.zero_grad()
    given.value_and_grad(x).add_to_grad()
    assert [each.grad for each in net.parameters()] == pytest.approx(expected, rel=1e-13)
    net.parameters()[0].data += 1.0
    assert given(x) == pytest.approx(net(x).data, rel=1e-14)


def test_the_lines_of_the_function_are_known() -> None:
    @compile_
    def root(x: Any) -> Any:
        return (x - 1.0).sqrt() * 2.0

    assert root(5.0) == 4.0
    line = root.__wrapped__.__code__.co_firstlineno + 2
    with pytest.raises(microbp.UndefinedOperation, match=rf"{__file__}:{line}\]"):
        root(0.0)


def test_a_loss_of_the_package_can_be_traced() -> None:
    net = MLP(2, [3, 2], activation="tanh", seed=0)
    cost = compile_(lambda x: losses.softmax_cross_entropy(net(x), 1), params=net.parameters())
    for x in RNG.normal(size=(5, 2)):
        assert cost(x) == pytest.approx(losses.softmax_cross_entropy(net(list(x)), 1).data, rel=1e-13)


def test_what_is_no_function_of_its_arguments_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"returned an object of type NoneType, not Values: nothing that depends"
    ):
        compile_(lambda x: None)(1.0)  # noqa: ARG005
    with pytest.raises(TypeError, match="float"):
        compile_(float)(1.0)
    with pytest.raises(
        ValueError, match=r"batched takes arrays with one leading axis of one length, not \(2,\), \(3,\)"
    ):
        compile_(lambda x, y: x * y).batched([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"the first batch of a shape cannot be empty"):
        compile_(lambda x: x * x).batched([])


def test_a_method_and_a_closure_keep_to_the_numbers_of_their_values() -> None:
    scale = Value(2.0, name="scale").detach()
    doubled = compile_(lambda x: x * scale)
    assert doubled(3.0) == 6.0
    scale.data = 5.0
    with pytest.raises(ValueError, match=r"scale = 5.0 is a constant of this program and was 2.0"):
        doubled(3.0)


@compile_
def decorated(x, n=2):
    return x**n


def test_a_decorated_function_is_pickled_by_its_name() -> None:
    assert pickle.loads(pickle.dumps(decorated)) is decorated
    assert decorated.__doc__ is None
    assert repr(decorated) == "compile(decorated)"
    made = compile_(plain)
    for _ in range(2):  # before and after it has a program
        assert pickle.loads(pickle.dumps(made))(3.0) == made(3.0) == 9.0
    net = compile_(MLP(2, [1], seed=1))
    expected = net([1.0, 2.0])
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert twin([1.0, 2.0]) == expected
        twin.__wrapped__.parameters()[0].data += 1.0
        assert twin([1.0, 2.0]) != expected == net([1.0, 2.0])


def plain(x):
    return x * x


def test_a_keyword_of_another_type_traces_anew_and_one_that_may_change_is_refused() -> None:
    kinds = []

    @compile_
    def power(x, n):
        kinds.append(type(n))
        return x**n

    assert power(3.0, n=2) == power(3.0, n=2.0) == power(4.0, n=2) - 7.0 == 9.0
    assert kinds == [int, float]
    with pytest.raises(TypeError, match="power: the keyword argument n is an object of type list, which may"):
        power(3.0, n=[2])


def test_a_batch_of_none_has_no_results() -> None:
    traced = compile_(lambda x: x * 2.0)
    with pytest.raises(ValueError, match=r"<lambda>\.batched: the first batch of a shape cannot be empty"):
        traced.batched([])
    assert traced.batched([1.0, 2.0]).tolist() == [2.0, 4.0]
    assert traced.batched([]).tolist() == []


def test_a_number_or_a_value_that_is_another_one_traces_anew() -> None:
    rate, w = 2.0, Value(3.0)

    @compile_
    def scaled(x):
        return x * rate * w

    assert scaled(1.0) == 6.0
    rate = 5.0
    assert scaled(1.0) == 15.0
    w = Value(4.0)
    assert scaled(1.0) == 20.0
    assert scaled.value_and_grad(1.0).gradient.tolist() == [5.0]
    for rate in (np.float64(7.0), np.float32(8.0)):  # numbers of NumPy are numbers, too
        assert scaled(1.0) == 4.0 * rate


@pytest.mark.parametrize(
    ("use", "these"),
    [
        (lambda held, x: held(x), [microbp.tanh, microbp.sigmoid, microbp.sin]),
        (lambda held, x: held(3) * x, [Cosine(0.1, final=0.0, steps=10), Cosine(0.5, final=0.0, steps=10)]),
        (lambda held, x: held.rate * x, [SGD([Value(1.0)], lr=0.1), SGD([Value(1.0)], lr=0.5)]),
    ],
    ids=["operation", "schedule", "optimiser"],
)
def test_another_object_of_ours_traces_anew(use: Any, these: list[Any]) -> None:
    table = {"held": these[0]}
    cost = compile_(lambda x: use(table["held"], x))
    for table["held"] in (*these, these[0]):
        assert float(cost(0.5)) == use(table["held"], Value(0.5)).data


def test_what_a_comprehension_finds_outside_traces_anew(monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "factor", Value(3.0))

    @compile_
    def scaled(x):
        return microbp.sum([each * factor for each in x])  # noqa: F821

    assert scaled([1.0, 2.0]) == 9.0
    monkeypatch.setitem(globals(), "factor", Value(4.0))
    assert scaled([1.0, 2.0]) == 12.0


def test_what_the_class_of_a_class_has_is_seen_to_change() -> None:
    class Kind(type):
        scale = 2.0
        table: ClassVar = {"offset": 1.0}

        def offset(cls) -> float:
            return cls.table["offset"]

    class Settings(metaclass=Kind):
        pass

    @compile_
    def line(x: Any) -> Any:
        return Settings.scale * x + Settings.offset()

    assert line(1.0) == 3.0
    Kind.scale = 5.0
    assert line(1.0) == 6.0
    Kind.table["offset"] = 7.0
    assert line(1.0) == 12.0


def _counting() -> Any:
    number = 0.0
    while True:
        number += 1.0
        yield number


DRAWN: dict[str, Callable[[], Any]] = {
    "generator": lambda: partial(next, _counting()),
    "count": lambda: partial(next, itertools.count(1)),
    "list_iterator": lambda: partial(next, iter([1.0, 2.0, 3.0, 4.0])),
    "tuple_iterator": lambda: iter((1.0, 2.0, 3.0, 4.0)).__next__,
    "Generator": lambda: np.random.default_rng(0).normal,
    "Random": lambda: random.Random(0).random,  # noqa: S311
    "PCG64": lambda: np.random.PCG64(0).random_raw,
    "RandomState": lambda: np.random.RandomState(0).normal,
    "random": lambda: lambda: 2.0 * random.random(),  # noqa: S311
    "numpy.random": lambda: lambda: 2.0 * np.random.random(),  # noqa: NPY002
}


@pytest.mark.parametrize("kind", DRAWN)
def test_what_a_function_draws_is_drawn_anew_at_each_call_and_told(kind: str) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    draw = DRAWN[kind]()
    expected = [2.0 * draw() for _ in range(3)]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    draw = DRAWN[kind]()

    @compile_
    def noisy(x: Any) -> Any:
        return x * draw()

    with pytest.warns(microbp.BranchWarning, match=rf"noisy draws from outside of it \({kind}\): it is"):
        assert [noisy(2.0) for _ in range(3)] == expected


def test_what_the_system_draws_is_drawn_anew_at_each_call_and_told() -> None:
    draw = random.SystemRandom()
    noisy = compile_(lambda x: x * draw.random())
    with pytest.warns(microbp.BranchWarning, match=r"draws from outside of it \(SystemRandom\)"):
        assert noisy(1.0) != noisy(1.0)


def test_a_generator_that_is_not_drawn_from_traces_nothing_anew(recwarn: Any) -> None:
    rng, calls = np.random.default_rng(0), []

    @compile_
    def sometimes(x: Any, *, noise: bool = False) -> Any:
        calls.append(noise)
        return x * rng.normal() if noise else x

    assert [sometimes(1.0), rng.normal() and sometimes(1.0)] == [1.0, 1.0]
    assert calls == [False]
    assert not recwarn


ASKED: dict[str, tuple[Callable[[], float], str]] = {
    "clock": (time.perf_counter, "time.perf_counter"),
    "date": (lambda: dt.datetime.now().timestamp(), "datetime.now"),  # noqa: DTZ005
    "urandom": (lambda: int(os.urandom(6).hex(), 16), "os.urandom"),
    "uuid4": (lambda: uuid.uuid4().int / 2.0**128, "uuid4"),
    "secrets": (lambda: secrets.randbelow(2**50), "randbelow"),
    "Random": (lambda: random.Random().random(), "random.Random()"),  # noqa: S311
    "default_rng": (lambda: np.random.default_rng().normal(), "SystemRandom"),
    "RandomState": (lambda: np.random.RandomState().normal(), "SystemRandom"),
}


@at_once(ASKED)
def test_what_a_function_asks_of_clocks_and_of_the_system_is_asked_anew(kind: str) -> None:
    draw, name = ASKED[kind]

    @compile_
    def noisy(x: Any) -> Any:
        return x * draw()

    with pytest.warns(microbp.BranchWarning, match=rf"noisy draws from outside of it \({re.escape(name)}\)"):
        assert noisy(1.0) != noisy(1.0)


def test_a_seed_a_library_that_reads_a_clock_and_an_idle_iterator_trace_nothing_anew(recwarn: Any) -> None:
    calls: list[int] = []
    idle = iter([1.0, 2.0]), itertools.count(), _counting(), map(float, "12"), random.SystemRandom()

    @compile_
    def steady(x: Any) -> Any:
        calls.append(1)
        logging.getLogger("microbp.tests").warning("read by a clock")
        noise = random.Random(3).random() + np.random.default_rng(3).normal()  # noqa: S311
        return x * noise if idle else x

    assert steady(1.0) == steady(1.0)
    assert (len(calls), [*recwarn]) == (1, [])


class _Doubled(itertools.count):  # type: ignore[type-arg]
    def __next__(self) -> float:
        return 2.0 * super().__next__()


def _waiting() -> Iterator[float]:
    waiting = queue.SimpleQueue[float]()
    for number in (1.0, 2.0, 3.0):
        waiting.put(number)
    return iter(waiting.get, None)


def _number(found: Any) -> float:
    return float(found[0])


TAKEN: dict[str, Callable[[], Any]] = {
    "of what a function gives": _waiting,
    "of a match": lambda: map(_number, re.finditer(r"\d", "123")),
    "of rows": lambda: map(_number, csv.reader("123")),
    "of fractions": lambda: map(float, itertools.count(Fraction(1))),
    "of a class that inherits from one in C": lambda: _Doubled(1),
}


@pytest.mark.parametrize("kind", TAKEN)
@pytest.mark.filterwarnings("ignore::microbp.BranchWarning")
def test_each_iterator_that_is_taken_from_is_asked_anew(kind: str) -> None:
    """Also where it does not say how far it is, and another one of its class lies idle beside it."""
    idle, numbers = TAKEN[kind](), TAKEN[kind]()
    both = [idle, numbers]
    drawn = compile_(lambda x: x * next(both[1]))
    assert [drawn(1.0) for _ in range(3)] == [*itertools.islice(idle, 3)]


def test_a_clock_is_seen_within_another_trace_and_beside_a_profiler_in_python() -> None:
    told: list[str] = []

    def profiler(frame: Any, event: str, _: Any) -> None:
        told.append(f"{event} {frame.f_code.co_name}")

    timed = compile_(lambda x: x * time.perf_counter())

    @compile_
    def outer(x: Any) -> Any:
        timed.value_and_grad(1.0)
        return x * 2.0

    sys.setprofile(profiler)
    try:
        with pytest.warns(microbp.BranchWarning, match="draws"):
            outer(1.0)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert "call outer" in told
    with pytest.warns(microbp.BranchWarning, match="perf_counter"):
        assert timed(1.0) != timed(1.0)


def test_a_clock_is_seen_beside_a_profiler_in_c() -> None:
    timed, profile = compile_(lambda x: x * time.perf_counter()), cProfile.Profile()
    with pytest.warns(microbp.BranchWarning, match="draws"), profile:
        assert timed(1.0) != timed(1.0)


def test_nothing_is_watched_while_a_program_is_built() -> None:
    called: dict[bool, set[str]] = {False: set(), True: set()}

    def profiler(frame: Any, *_: Any) -> None:
        called[sys.getprofile() is not profiler].add(frame.f_code.co_name)

    def cost(x: Any) -> Any:
        return x.exp()

    sys.setprofile(profiler)
    try:
        compile_(cost)(1.0)
    finally:
        sys.setprofile(None)
    assert "cost" in called[True] - called[False]
    assert "compiled_program" in called[False] - called[True]


def test_the_date_of_today_in_an_array_is_asked_anew() -> None:
    dated = compile_(lambda x: x * float(np.datetime64("now").astype(float)))
    with pytest.warns(microbp.BranchWarning, match=r"draws from outside of it \(numpy\.datetime64\)"):
        assert dated(1.0) > 1e9


def _read(path: Any) -> str:
    with open(path) as file:  # noqa: PTH123
        return file.read()


def _printed(path: Any) -> str:
    command = [sys.executable, "-ISc", f"print(open({str(path)!r}).read())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


#: What a function reads of the system, given a file that holds another number at each call.
SYSTEM: dict[str, Callable[[Any, Any], Any]] = {
    "open": lambda x, path: x * float(_read(path)),
    "read_text": lambda x, path: x * float(path.read_text()),
    "loadtxt": lambda x, path: x * float(np.loadtxt(path)),
    "stat": lambda x, path: x * path.stat().st_size,
    "exists": lambda x, path: x if path.with_name("10").exists() else 2.0 * x,
    "listdir": lambda x, path: x * len(os.listdir(path.parent)),  # noqa: PTH208
    "run": lambda x, path: x * float(_printed(path)),
    "input": lambda x, _: x * float(input()),
    "stdin": lambda x, _: x * float(sys.stdin.readline()),
    "argv": lambda x, _: x * float(sys.argv[-1]),
    "environ": lambda x, _: x * float(os.environ["MICROBP_SCALE"]),
    "environ.get": lambda x, _: x * float(os.environ.get("MICROBP_SCALE", "")),
    "getenv": lambda x, _: x * float(os.getenv("MICROBP_SCALE", "")),
}


@pytest.mark.parametrize("kind", SYSTEM)
@pytest.mark.filterwarnings("ignore::microbp.BranchWarning")
def test_what_a_function_reads_of_the_system_is_read_anew(kind: str, tmp_path: Any, monkeypatch: Any) -> None:
    path, read = tmp_path / "number", SYSTEM[kind]
    compiled = compile_(lambda x: read(x, path))
    found = []
    for call in (compiled, lambda x: read(Value(x), path).data):
        monkeypatch.setattr(sys, "stdin", io.StringIO("1\n10\n100\n"))
        for number in ("1", "10", "100"):
            path.write_text(number)
            (tmp_path / number).touch()
            monkeypatch.setenv("MICROBP_SCALE", number)
            monkeypatch.setattr(sys, "argv", ["script", number])
            found.append(call(3.0))
        for number in ("1", "10", "100"):
            (tmp_path / number).unlink()
    assert found[:3] == found[3:]


def test_what_reads_files_of_its_own_accord_traces_nothing_anew(
    recwarn: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    calls: list[int] = []
    (tmp_path / "imported_late.py").write_text("SCALE = 2.0")
    monkeypatch.syspath_prepend(tmp_path)

    @compile_
    def steady(x: Any) -> Any:
        import imported_late

        calls.append(1)
        logging.getLogger("microbp.tests").warning("written to a stream")
        warnings.warn("with its line", UserWarning, stacklevel=1)
        inspect.getsource(_counting)
        return x * imported_late.SCALE

    assert [steady(1.0), steady(3.0), steady(5.0)] == [2.0, 6.0, 10.0]
    assert len(calls) == 2  # once more with what it has imported
    assert {each.category for each in recwarn} == {UserWarning}


class Turning:
    """What goes one way and the other by turns, each time that it is called."""

    turn = False
    turns: ClassVar = {"of a dict": False}

    def __init__(self) -> None:
        self.slots = [0.0]

    def of_an_object(self, x: Any) -> Any:
        self.turn = not self.turn
        return x if self.turn else 2.0 * x

    def of_a_dict(self, x: Any) -> Any:
        self.turns["of a dict"] = not self.turns["of a dict"]
        return x if self.turns["of a dict"] else 2.0 * x

    def of_three(self, x: Any) -> Any:
        self.slots[0] = (self.slots[0] + 1.0) % 3.0
        return x if self.slots[0] else 2.0 * x

    def of_later(self, x: Any) -> Any:
        self.slots[0] += 1.0
        return x if self.slots[0] < 4.0 else 2.0 * x


@pytest.mark.parametrize("kind", ["of_an_object", "of_a_dict", "of_three", "of_later"])
@pytest.mark.filterwarnings("ignore::microbp.BranchWarning")
def test_what_a_function_turns_by_itself_is_turned_at_each_call(kind: str) -> None:
    eager, compiled = getattr(Turning(), kind), compile_(getattr(Turning(), kind))
    expected = [eager(Value(1.0)).data for _ in range(6)]
    assert [compiled(1.0) for _ in range(6)] == expected
    assert len({*expected}) == 2


#: What is held, one and the other, and what a function makes of it.
HELD: dict[str, tuple[list[Any], Callable[[Any], Any]]] = {
    "shape": ([np.ones(4), np.ones((2, 2))], lambda held: float(held.ndim)),
    "dtype": ([np.ones(4), np.ones(4, np.float32)], lambda held: float(held.itemsize)),
    "fields": ([np.array([(x,)], [("f", float)]) for x in (1.0, 2.0)], lambda held: float(held["f"][0])),
    "kind": ([[1.0], (1.0,)], lambda held: 2.0 if isinstance(held, tuple) else 3.0),
    "nesting": ([[[1, 2], [3]], [[1], [2, 3]]], lambda held: float(len(held[0]))),
    "rows": ([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [5.0, 4.0]]], lambda held: held[1][0]),
    "empty lists": ([[[]], [[], []]], lambda held: float(len(held))),
    "keys": ([{"p": 1.0}, {"q": 1.0}], lambda held: 2.0 if "p" in held else 3.0),
    "kinds of keys": ([{1: 1.0}, {True: 1.0}], lambda held: 2.0 if True is next(iter(held)) else 3.0),
    "a class": ([int, str], lambda held: 2.0 if held is int else 3.0),
    "a function of NumPy": ([np.tanh, np.exp], lambda held: float(held(0.5))),
    "a function in C": ([operator.add, operator.mul], lambda held: held(2.0, 3.0)),
    "itemgetter": ([operator.itemgetter(0), operator.itemgetter(1)], lambda held: held([2.0, 3.0])),
    "slice": ([slice(0, 1), slice(0, 2)], lambda held: float(len([1.0, 2.0][held]))),
    "frozenset": ([frozenset(), frozenset({1})], lambda held: float(len(held))),
    "date": ([dt.date(2000, 1, 1), dt.date(2001, 1, 1)], lambda held: float(held.year)),
    "pattern": ([re.compile("a"), re.compile("b")], lambda held: float(len(held.findall("abb")))),
    "proxy": ([MappingProxyType({"p": number}) for number in (1.0, 2.0)], lambda held: held["p"]),
    "keys that are pairs": ([{(0, 1): 1.0}, {(1, 0): 1.0}], lambda held: 2.0 if (0, 1) in held else 3.0),
    "length of an array": ([bytearray(101), bytearray(102)], lambda held: float(len(held))),
    "typecode": ([ArrayType("d", [0.0]), ArrayType("f", [0.0])], lambda held: float(held.itemsize)),
    "Polynomial": ([np.polynomial.Polynomial([1.0, x]) for x in (2.0, 3.0)], lambda held: float(held(1.0))),
    "vectorize": ([np.vectorize(math.exp), np.vectorize(math.sqrt)], lambda held: float(held(4.0))),
    "view": ([{"p": number}.values() for number in (1.0, 2.0)], sum),
}


@pytest.mark.parametrize("kind", HELD)
def test_what_a_function_finds_is_told_by_its_kind_its_size_and_its_keys(kind: str) -> None:
    held, number = HELD[kind]
    found = SimpleNamespace(held=None)
    compiled = compile_(lambda x: x * number(found.held))
    for each in (*held, *held):
        found.held = each
        assert compiled(1.0) == number(each)
    assert number(held[0]) != number(held[1])


def test_what_a_reference_leads_to_and_a_list_of_defaults_trace_anew() -> None:
    class Target:
        number = 1.0

    target, table = Target(), [1.0]
    reference = weakref.ref(target)

    def by_default(x: Any, table: Any = table) -> Any:
        return x * table[0]

    referring, by_default = compile_(lambda x: x * reference().number), compile_(by_default)
    assert [referring(1.0), by_default(1.0)] == [1.0, 1.0]
    target.number = table[0] = 5.0  # an attribute of its own
    assert [referring(1.0), by_default(1.0)] == [5.0, 5.0]


def test_what_a_module_holds_that_is_imported_by_the_function_or_by_a_module_traces_anew(
    tmp_path: Any, monkeypatch: Any
) -> None:
    (tmp_path / "settings_inner.py").write_text("SCALE = 2.0")
    (tmp_path / "settings_outer.py").write_text("import settings_inner as inner")
    monkeypatch.syspath_prepend(tmp_path)
    outer = importlib.import_module("settings_outer")

    @compile_
    def scaled(x: Any) -> Any:
        import settings_inner

        return x * settings_inner.SCALE

    reached = compile_(lambda x: x * settings_outer.inner.SCALE)  # noqa: F821
    enclosed = compile_(lambda x: x * outer.inner.SCALE)
    monkeypatch.setitem(globals(), "settings_outer", outer)
    assert [scaled(1.0), reached(1.0), enclosed(1.0)] == [2.0, 2.0, 2.0]
    outer.inner.SCALE = 5.0
    assert [scaled(1.0), reached(1.0), enclosed(1.0)] == [5.0, 5.0, 5.0]


@pytest.mark.parametrize("text", ["x * table['scale']", "x * globals()['table']['scale']"])
def test_what_is_read_by_a_text_traces_anew(text: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "table", {"scale": 2.0})
    source = text if "globals" in text else f"eval({text!r})"
    scaled = compile_(eval(f"lambda x: {source}", globals()))
    assert scaled(1.0) == 2.0
    monkeypatch.setitem(globals(), "table", {"scale": 5.0})
    assert scaled(1.0) == 5.0


def test_what_a_function_notes_for_one_shape_traces_no_other_anew() -> None:
    notes: list[Any] = []
    noting = compile_(lambda x: notes.append((np.shape(x), [])) or microbp.sum(np.ravel(x)))
    for _ in range(3):
        assert [noting([1.0, 2.0]), noting([1.0, 2.0, 3.0])] == [3.0, 6.0]
    assert len(notes) == 2


def test_the_last_shape_that_a_function_keeps_traces_no_other_anew() -> None:
    calls, last = [], [0]

    @compile_
    def keeping(x: Any) -> Any:
        calls.append(1)
        last[0] = len(x)
        return microbp.sum(x)

    for _ in range(3):
        assert [keeping([1.0, 2.0]), keeping([1.0, 2.0, 3.0])] == [3.0, 6.0]
    assert len(calls) == 2


@pytest.mark.parametrize("held", [memoryview(bytearray(1)), slice(None)])
def test_what_has_no_hash_is_reached_beside_notes(held: Any) -> None:
    notes: list[float] = []
    noting = compile_(lambda x: notes.append(1.0) or x * float(held is not None))
    assert [noting(2.0), noting(3.0)] == [2.0, 3.0]


def test_what_is_imported_from_ones_own_package_traces_anew(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "packed_net" / "inner").mkdir(parents=True)
    (tmp_path / "packed_net" / "settings.py").write_text("SCALE = 2.0")
    for name, dots in (("packed_net/near.py", "."), ("packed_net/inner/far.py", "..")):
        source = f"def cost(x):\n    from {dots}settings import SCALE\n    return x * SCALE\n"
        (tmp_path / name).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    modules = map(importlib.import_module, ("packed_net.near", "packed_net.inner.far"))
    compiled = [
        *(compile_(each.cost) for each in modules),
        compile_(lambda x: x * importlib.import_module("packed_net.settings").SCALE),
        compile_(lambda x: x * sys.modules["packed_net.settings"].SCALE),
    ]
    assert [each(1.0) for each in compiled] == [2.0] * 4
    importlib.import_module("packed_net.settings").SCALE = 5.0
    assert [each(1.0) for each in compiled] == [5.0] * 4


def test_what_is_set_up_in_the_first_call_is_traced_once_more_and_kept() -> None:
    calls, cache = [], SimpleNamespace(table=None)

    @compile_
    def looked_up(x: Any) -> Any:
        calls.append(1)
        if cache.table is None:
            cache.table = 3.0
        return x * cache.table

    assert [looked_up(1.0) for _ in range(4)] == [3.0] * 4
    assert len(calls) == 2


def test_an_iterator_of_ones_own_class_is_asked_anew() -> None:
    class Counting:
        number = 0.0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> float:
            self.number += 1.0
            return self.number

    counting = Counting()
    counted = compile_(lambda x: x * next(counting))
    assert [counted(1.0) for _ in range(3)] == [1.0, 2.0, 3.0]


COUNTERS: dict[str, tuple[Any, Callable[[Any], float]]] = {
    "list": ([0.0], lambda held: held.__setitem__(0, held[0] + 1.0) or held[0]),
    "array": (np.zeros(1), lambda held: held.__setitem__(0, held[0] + 1.0) or float(held[0])),
    "deque": (deque([0.0], maxlen=1), lambda held: held.append(held[0] + 1.0) or held[0]),
    "set": (set(), lambda held: held.add(len(held)) or float(len(held))),
    "log": ([], lambda held: held.append("called") or float(len(held))),
    "bytes": (bytearray(1), lambda held: held.__setitem__(0, held[0] + 1) or float(held[0])),
}


@pytest.mark.parametrize("kind", COUNTERS)
def test_what_a_function_counts_for_itself_is_counted_anew(kind: str) -> None:
    held, count = COUNTERS[kind]
    counted = compile_(lambda x: x * count(held))
    with pytest.warns(microbp.BranchWarning, match=r"draws from outside of it \(held\): it is traced anew"):
        assert [counted(1.0) for _ in range(3)] == [1.0, 2.0, 3.0]


def test_a_state_that_goes_on_from_call_to_call_is_not_frozen() -> None:
    class Recurrent:
        def __init__(self) -> None:
            self.h = Value(0.5)

        def __call__(self, x: Any) -> Any:
            self.h = (self.h + x).tanh()
            return self.h * 1.0

    eager, replayed = Recurrent(), Recurrent()
    expected = [eager(Value(0.3)).data for _ in range(3)]
    compiled = compile_(replayed.__call__)
    with pytest.warns(microbp.BranchWarning, match=r"draws from outside of it \(Recurrent\.h\)"):
        assert [compiled(0.3) for _ in range(3)] == expected


def test_a_context_variable_traces_a_function_anew() -> None:
    scale = contextvars.ContextVar("scale", default=2.0)
    scaled = compile_(lambda x: x * scale.get())
    assert scaled(1.0) == 2.0
    scale.set(5.0)
    assert scaled(1.0) == 5.0


def test_a_module_that_is_named_like_one_of_pythons_is_the_users(tmp_path: Any) -> None:
    """What its functions find is seen, as of any other; Python's own queue is not loaded before."""
    (tmp_path / "queue.py").write_text("SCALE = 2.0\ndef scaled(x):\n    return x * SCALE\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import queue\nimport microbp\n"
        "f = microbp.compile(queue.scaled)\n"
        "first = float(f(1.0))\nqueue.SCALE = 5.0\nprint(first, float(f(1.0)))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("2.0 5.0\n", "")


def test_an_object_that_answers_no_question_is_left_alone() -> None:
    class Proxy:
        def __getattr__(self, word: str) -> Any:
            raise RuntimeError(f"there is no request, and so no {word}")

    request = Proxy()
    assert compile_(lambda x: x * 2.0 if request else x)(3.0) == 6.0


# --------------------------------------------------------------------- numbers and weights that were changed
def test_a_number_that_was_overwritten_is_refused() -> None:
    for used in (lambda h: h * h, lambda h: h.tanh(), lambda h: h):
        w, x = Value(2.0, name="w"), Value(3.0, name="x")
        h = w * x
        h.name, h.data = "h", 5.0
        told = r"the data of h = 5.0 was overwritten, .*: mul\(a, b\) gives 6.0 there"
        with pytest.raises(ValueError, match=told):
            microbp.compile(used(h), inputs=[x], params=[w])
    w = Value(2.0, name="w")
    h = (w * 3.0).exp()
    y = h.sin()
    h.data = 0.5
    with pytest.raises(ValueError, match="was overwritten, or that of an operand"):
        microbp.compile(y, inputs=[], params=[w])


def test_leaves_may_have_moved_on() -> None:
    net = microbp.MLP(2, [3, 1], activation=["relu", "linear"], seed=1)
    x = [Value(0.5), Value(-1.0)]

    def cost() -> Any:
        w = net.parameters()
        return (net(x) - 1.0) ** 2 + sum(each * each for each in w) + w[0].relu() * 0.5 + 3.0 * w[1]

    recorded = cost()
    for w in net.parameters():
        w.data += 0.25
    program = microbp.compile(recorded, inputs=x, params=net.parameters())
    assert program([0.5, -1.0]) == cost().data


def test_weights_that_are_replaced_trace_a_function_anew() -> None:
    net, scale, table = microbp.MLP(2, [1], seed=1), [Value(2.0)], {"k": Value(3.0)}

    @microbp.compile
    def cost(x: Any) -> Any:
        return net(list(x)) * scale[0] + table["k"]

    def eager() -> float:
        return float((net([1.0, 2.0]) * scale[0] + table["k"]).data)

    assert cost([1.0, 2.0]) == eager()
    net.layers[0].neurons[0].w[1] = Value(-4.0)
    assert cost([1.0, 2.0]) == eager()
    scale[0] = Value(-1.0)
    assert cost([1.0, 2.0]) == eager()
    table["k"] = Value(0.5)
    assert cost([1.0, 2.0]) == eager()
    net.layers[0] = microbp.Layer(2, 1, seed=3)
    assert cost([1.0, 2.0]) == eager()
    program = cost.program([3.0, 4.0])
    assert cost.program([1.0, 2.0]) is program


class Scaled(microbp.Module):
    """A net of one weight, with a number and a text that decide, and that keeps what it has computed."""

    def __init__(self) -> None:
        self.w, self.by, self.kind = Value(2.0, name="w"), [3.0, 1.0], "sum"

    def __call__(self, x: Any) -> Any:
        self.kept = helped(x) * self.w if self.kind == "sum" else x - self.w
        return self.kept * self.by[0]

    def parameters(self) -> list[Value]:
        return [self.w]


def helped(x: Any) -> Any:
    return x * OFFSET["x"]


OFFSET = {"x": 1.0}


def test_what_an_object_a_method_or_a_helper_finds_traces_them_anew() -> None:
    net = Scaled()
    functions = [compile_(each) for each in (net, net.__call__, lambda x: net(x) * 1.0, compile_(net))]
    for change in (
        lambda: None,
        lambda: setattr(net, "w", Value(-5.0)),
        lambda: net.by.__setitem__(0, 7.0),
        lambda: OFFSET.update(x=0.5),
        lambda: setattr(net, "kind", "difference"),
    ):
        change()
        programs = [each.program(3.0) for each in functions]
        assert [float(each(3.0)) for each in functions] == [net(Value(3.0)).data] * 4
        # What the net keeps, and what another function left there, is no change.
        assert [each.program(3.0) for each in functions] == programs
    OFFSET.update(x=1.0)


def test_keyword_arguments_that_only_compare_alike_are_others() -> None:
    net = Scaled()
    signed = compile_(lambda x, by: x * np.copysign(1.0, by))
    assert [signed(2.0, by=0.0), signed(2.0, by=-0.0)] == [2.0, -2.0]
    chosen = compile_(lambda x, by: x * 2.0 if by[0] is True else x)
    assert [chosen(2.0, by=(True,)), chosen(2.0, by=(1,))] == [4.0, 2.0]
    given = compile_(lambda x, net: net(x))
    assert given(1.0, net=net) == 6.0
    net.w = Value(5.0)
    assert given(1.0, net=net) == 15.0


def test_inside_of_a_traced_function_a_compiled_one_is_itself() -> None:
    W, k = microbp.array([[2.0, -1.0]], name="W"), Value(3.0, name="k")

    @compile_
    def inner(x: Any, power: int = 1) -> Any:
        return [(W @ x)[0] ** power * k]

    @compile_
    def outer(x: Any) -> Any:
        return inner(x, power=2)[0] + x[0] * inner([1.0, 3.0])[0] + inner.batched([x, x[::-1]]).sum()

    def plain(x: Any) -> Any:
        others = [(W @ each)[0] * k for each in (x, x[::-1])]
        return (W @ x)[0] ** 2 * k + x[0] * (W @ np.array([1.0, 3.0]))[0] * k + sum(others)

    ours, theirs = outer.value_and_grad([1.0, 0.5]), compile_(plain).value_and_grad([1.0, 0.5])
    assert ours.cost == pytest.approx(theirs.cost)
    names = outer.program([1.0, 0.5]).captured.param_names
    assert sorted(names) == ["W[0,0]", "W[0,1]", "k"]
    ours_by, theirs_by = (
        dict(zip(each.program([1.0, 0.5]).captured.param_names, found.gradient, strict=True))
        for each, found in ((outer, ours), (compile_(plain), theirs))
    )
    assert ours_by == pytest.approx(theirs_by)
    assert compile_(inner)([1.0, 2.0]) == inner([1.0, 2.0])  # decorated twice
    found = inner([Value(1.0), 2.0])[0]  # of Values
    found.backward()
    assert (found.data, k.grad) == (0.0, 0.0)
    assert inner.batched(microbp.array([[1.0, 2.0], [3.0, 0.0]])).shape == (2, 1)


def test_a_method_is_compiled_bound() -> None:
    class Net:
        w = Value(2.0, name="w")

        @compile_
        def cost(self, x: Any) -> Any:
            return self.w * x

        def loss(self, x: Any) -> Any:
            return self.w * x

    with pytest.raises(TypeError, match="compile: cost is a method, whose object is no number: leave"):
        Net().cost(3.0)
    bound = compile_(Net().loss)
    assert bound(3.0) == 6.0
    assert bound.program(3.0).captured.input_names == ("x",)


def test_a_batch_of_nothing_and_no_memory_are_told() -> None:
    with pytest.raises(ValueError, match="arrays with one leading axis of one length, not none"):
        compile_(lambda: Value(1.0)).batched()
    with pytest.raises(ValueError, match="at least 1, not nan"):
        compile_(lambda x: x, memory=float("nan"))(1.0)


def test_modules_and_loggers_that_a_function_names_are_not_looked_through(monkeypatch: Any) -> None:
    log = logging.getLogger("microbp.a")

    @compile_
    def summed(x: Any) -> Any:
        log.debug("traced")
        return microbp.sum([x * np.pi, x])

    program = summed.program(1.0)
    monkeypatch.setattr(microbp, "of_nobody", 1.0, raising=False)
    monkeypatch.setattr(logging.getLogger("microbp.another"), "of_nobody", 1.0, raising=False)
    assert summed.program(1.0) is program


class Trainer:
    """A loss beside what a training loop changes at each step."""

    by = 2.0

    def __init__(self) -> None:
        self.w, self.settings, self.count, self.history = Value(2.0), SimpleNamespace(k=1.0), 0, [0.0]
        self.optimiser = microbp.optim.Adam([self.w])

    def step(self) -> None:
        self.optimiser.step()
        self.count += 1
        self.history.append(self.w.data)

    def loss(self, x: Any) -> Any:
        return self.scaled(x) * helped_by(self) + matched(self)

    def scaled(self, x: Any) -> Any:
        return self.w * x * self.by

    def by_name(self, x: Any, end: str = "y") -> Any:
        return x * getattr(self, "b" + end)


def helped_by(trainer: Trainer) -> float:
    return float(trainer.settings.k)


def matched(trainer: Any) -> float:
    match trainer:
        case object(offset=offset):
            return float(offset)
    return 0.0


def test_what_the_object_of_a_method_holds_beside_does_not_trace_it_anew() -> None:
    trainer = Trainer()
    loss, by_name = compile_(trainer.loss), compile_(trainer.by_name)
    for change in (
        lambda: None,
        lambda: setattr(trainer, "by", 3.0),
        lambda: setattr(trainer.settings, "k", 4.0),
        lambda: setattr(trainer, "offset", 5.0),
        lambda: setattr(trainer, "w", Value(-1.0)),
        lambda: setattr(trainer, "scaled", lambda x: x * trainer.by),
    ):
        change()
        assert loss(3.0) == trainer.loss(Value(3.0)).data
        assert by_name(3.0) == trainer.by_name(Value(3.0)).data
        program = loss.program(3.0)
        trainer.w.grad = 1.0
        trainer.step()
        assert loss.program(1.0) is program


def test_a_net_that_is_one_of_two_by_turns_is_traced_twice() -> None:
    net = Scaled()
    loss = compile_(lambda x: net(x) * 1.0)
    programs = []
    for kind in ["sum", "difference"] * 3:
        net.kind = kind
        programs.append(loss.program(3.0))
        assert float(loss(3.0)) == net(Value(3.0)).data
    assert programs == programs[:2] * 3


def test_numbers_in_any_short_collection_trace_a_function_anew() -> None:
    counted: Any
    summed = compile_(lambda x: x * float(sum(counted)))
    for counted in (
        {1.0}, frozenset([2.0]), deque([3.0]), bytearray([4]), ArrayType("d", [5.0]), range(4),
        [Fraction(1, 2)],
    ):  # fmt: skip
        assert summed(1.0) == float(sum(counted))
        if hasattr(counted, "__setitem__"):
            counted[0] *= 2
            assert summed(1.0) == float(sum(counted))


@pytest.mark.parametrize("kind", [list, dict, set, deque])
def test_an_attribute_of_a_collection_traces_a_function_anew(kind: Any) -> None:
    held: Any = type("Held", (kind,), {})()
    held.by = 2.0
    scaled = compile_(lambda x: x * held.by)
    assert scaled(1.0) == 2.0
    held.by = 5.0
    assert scaled(1.0) == 5.0


@pytest.mark.parametrize("kind", [float, int, str, Value])
def test_an_attribute_of_a_number_of_ones_own_kind_traces_a_function_anew(kind: Any) -> None:
    held: Any = type("Held", (kind,), {"offset": 1.0})("2" if kind is str else 2.0)
    scaled = compile_(lambda x: x * getattr(held, "by", 2.0) + held.offset)
    assert scaled(1.0) == 3.0
    held.by = 5.0
    assert scaled(1.0) == 6.0
    type(held).offset = 2.0
    assert scaled(1.0) == 7.0
    held.__dict__ = {"by": 7.0}
    assert scaled(1.0) == 9.0
    if kind is not int:  # of which Python does not allow it
        held.__class__ = type("Other", (kind,), {"offset": 3.0})
        assert scaled(1.0) == 10.0


@pytest.mark.parametrize(
    "held",
    [type("Kind", (base,), {"offset": 1.0})(content) for base, content in (
        (list, [1.0]), (tuple, [1.0]), (set, [1.0]), (dict, {"a": 1.0}), (deque, [1.0]), (bytearray, b"a"),
    )] + [np.ones(1).view(type("Kind", (np.ndarray,), {"offset": 1.0}))],
    ids=lambda held: type(held).__mro__[1].__name__,
)  # fmt: skip
def test_what_the_kind_of_a_collection_has_traces_a_function_anew(held: Any) -> None:
    scaled = compile_(lambda x: x * held.offset + len(held))
    assert scaled(1.0) == 2.0
    type(held).offset = 2.0
    assert scaled(1.0) == 3.0
    type(held).__len__ = lambda _: 7
    assert scaled(1.0) == 9.0


def test_what_is_put_in_the_place_of_a_part_of_something_traces_a_function_anew() -> None:
    def scale(by: Any, x: Any) -> Any:
        return by * x * scale.by  # type: ignore[attr-defined]

    scale.by = 1.0  # type: ignore[attr-defined]
    part: Any = partial(scale, 2.0)
    part.by = 1.0
    kind = type("Kind", (type("Base", (), {"number": 1.0}),), {})
    it, context = kind(), contextvars.ContextVar("context", default=[1.0])  # noqa: B039
    scaled = compile_(lambda x: part(x) * part.by * it.number * context.get()[0])
    assert scaled(1.0) == 2.0
    scale.__dict__ = {"by": 3.0}
    assert scaled(1.0) == 6.0
    part.__setstate__((scale, (5.0,), {}, {"by": 1.0}))
    assert scaled(1.0) == 15.0
    part.by = 2.0
    assert scaled(1.0) == 30.0
    kind.__bases__ = (type("Base", (), {"number": 2.0}),)
    assert scaled(1.0) == 60.0
    context.get()[0] = 2.0
    assert scaled(1.0) == 120.0


def test_what_is_read_of_a_module_that_is_no_variable_traces_a_function_anew() -> None:
    settings: Any = ModuleType("settings")
    settings.__file__, settings.SCALE = "settings.py", 2.0
    it = SimpleNamespace(settings=settings)
    for scaled in (
        compile_(partial(lambda module, x: x * module.SCALE, settings)),
        compile_(lambda x: x * it.settings.SCALE),
        compile_(lambda x, module=settings: x * getattr(module, "SCALE", 7.0)),
    ):
        settings.SCALE = 2.0
        assert scaled(1.0) == 2.0
        settings.SCALE = 3.0
        assert scaled(1.0) == 3.0
    del settings.SCALE
    assert scaled(1.0) == 7.0


def test_what_a_weak_reference_leads_to_or_was_replaced_does_not_live_for_a_compiled_function() -> None:
    class Target:
        number = 3.0

    targets = [Target()]
    reference, held = weakref.ref(targets[0]), weakref.WeakValueDictionary(target=targets[0])
    scaled = compile_(lambda x: x if reference() is None else x * reference().number + len(held))
    assert scaled(1.0) == 4.0
    targets.clear()
    gc.collect()
    assert reference() is None
    assert scaled(1.0) == 1.0
    targets.append(Target())
    chosen = compile_(lambda x, *, at=0: x * targets[at].number)
    assert [chosen(1.0), chosen(1.0, at=-1)] == [3.0, 3.0]
    reference = weakref.ref(targets[0])
    targets[0] = Target()
    chosen(1.0)
    gc.collect()
    assert reference() is None


def test_a_function_of_no_arguments_has_no_gradients_in_these() -> None:
    w = Value(3.0)
    found = compile_(lambda: w * w).value_and_grad(wrt_inputs=True)
    assert (found.cost, found.gradient.tolist(), found.inputs) == (9.0, [6.0], [])


# --------------------------------------------------------------------------------- what is looked at again
class Surroundings:
    """A thing of each kind that a function may find outside of it, with numbers in it."""

    scale, table = 1.0, {"z": 1.0}

    def __init__(self) -> None:
        self.list, self.pairs, self.tuple, self.data = [1.0, 2.0], [[1.0], [2.0]], (1.0, [2.0]), [1.0] * 101
        self.dict, self.ordered = {"a": 1.0}, OrderedDict(a=1.0, b=2.0)
        self.set, self.deque, self.bytes = {1.0}, deque([1.0, 2.0]), bytearray(b"ab")
        self.typed, self.array, self.long = ArrayType("d", [1.0]), np.ones(3), np.ones(1000)
        self.values, self.matrix = [Value(1.0), Value(2.0)], microbp.array(np.ones((11, 11)))
        self.slot, self.net, self.module = Slotted(), MLP(1, [2, 1], seed=1), Scaled()
        self.under, self.number, self.unread = {"p": 1.0}, 1.0, 0
        self.proxy, self.view, self.turned = MappingProxyType(self.under), self.under.values(), self.matrix.T
        self.context: Any = contextvars.ContextVar("scale", default=1.0)
        self.cell, self.set_cell = enclosed(1.0)

    def method(self, x: Any) -> Any:
        return x * self.number * self.scale + self.table["z"]


class Doubled(Scaled):
    """Another kind of net, to which one may be turned."""

    def __call__(self, x: Any) -> Any:
        return 2.0 * super().__call__(x)


class Slotted:
    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 1.0


def enclosed(number: float) -> tuple[Callable[[Any], Any], Callable[[float], None]]:
    def change(other: float) -> None:
        nonlocal number
        number = other

    return lambda x: x * number, change


def told(held: Any) -> float:
    """All numbers in something, of whatever kind, as one."""
    if isinstance(held, dict | MappingProxyType):
        return told([*held]) + told([*held.values()])
    if isinstance(held, str):
        return float(sum(map(ord, held)))
    if isinstance(held, float | int):
        return float(held) or math.copysign(0.25, held)
    return len(held) + sum((at + 1.0) * told(each) for at, each in enumerate([*held]))


def with_default(x: Any, by: Any = [1.0]) -> Any:  # noqa: B006
    return x * by[0]


#: What is read of them, and how that changes.
READ: dict[str, Callable[[Surroundings, Any], Any]] = {
    **{
        word: eval(f"lambda it, x: x * told(it.{word})")
        for word in (
            "list", "pairs", "tuple", "dict", "ordered", "set", "deque", "bytes", "typed", "array", "long",
            "proxy", "number",
        )
    },
    "values": lambda it, x: x * it.values[0] + it.values[-1],
    "matrix": lambda it, x: x * it.matrix[0, 0],
    "net": lambda it, x: it.net([x]),
    "module": lambda it, x: it.module(x) * it.module.of_kind,
    "view": lambda it, x: x * told([*it.view]),
    "turned": lambda it, x: x * it.turned[0, 0],
    "method": lambda it, x: it.method(x),
    "slot": lambda it, x: x * it.slot.number,
    "context": lambda it, x: x * it.context.get(),
    "cell": lambda it, x: it.cell(x),
    "variable": lambda it, x: x * OFFSET["x"] * told(it.number),
    "default": lambda it, x: with_default(x) * it.number,
    "late": lambda it, x: x * 2.0 if hasattr(it, "late") else x,
    "all": lambda it, x: x * told([*vars(it)]) + told(it.list),
    "length": lambda it, x: x * len(it.data),
}  # fmt: skip
CHANGES: list[Callable[[Surroundings, float], object]] = [
    lambda it, by: it.list.__setitem__(0, by),
    lambda it, by: it.list.append(by),
    lambda it, by: it.data.append(by),
    lambda it, _: it.list.reverse(),
    lambda it, _: setattr(it, "list", [*it.list]),
    lambda it, by: it.pairs[0].__setitem__(0, by),
    lambda it, _: it.pairs.__setitem__(1, it.pairs[0]),
    lambda it, _: it.pairs.reverse(),
    lambda it, by: it.tuple[1].append(by),
    lambda it, by: setattr(it, "tuple", (by, [by])),
    lambda it, by: it.dict.update(a=by),
    lambda it, by: it.dict.update(b=by),
    lambda it, _: it.dict.pop("b", None),
    lambda it, _: it.ordered.move_to_end("a"),
    lambda it, by: it.set.add(by),
    lambda it, by: it.set.discard(by),
    lambda it, _: it.deque.rotate(1),
    lambda it, by: it.bytes.__setitem__(0, int(abs(by))),
    lambda it, by: it.typed.__setitem__(0, by),
    lambda it, by: it.array.__setitem__(1, by),
    lambda it, by: it.long.__setitem__(999, by),
    lambda it, by: it.values.__setitem__(0, Value(by)),
    lambda it, _: it.values.reverse(),
    lambda it, by: setattr(it.values[0], "data", by),
    lambda it, by: it.matrix.__setitem__((0, 0), Value(by)),
    lambda it, by: it.net.layers[0].neurons[0].w.__setitem__(0, Value(by)),
    lambda it, by: setattr(it.net.parameters()[0], "data", by),
    lambda it, by: it.module.by.__setitem__(0, by),
    lambda it, _: setattr(it.module, "kind", "difference" if it.module.kind == "sum" else "sum"),
    lambda it, _: setattr(it.module, "kept", None),
    lambda it, _: setattr(it.module, "__class__", Scaled if type(it.module) is Doubled else Doubled),
    lambda _, by: setattr(Scaled, "of_kind", by),
    lambda it, by: it.under.update(p=by),
    lambda it, by: setattr(it.slot, "number", by),
    lambda it, by: setattr(it, "number", by),
    lambda it, _: setattr(it, "unread", it.unread + 1),
    lambda it, by: setattr(it, "scale", by),
    lambda it, by: setattr(type(it), "scale", by),
    lambda it, _: vars(it).pop("scale", None),
    lambda it, by: it.table.update(z=by),
    lambda it, by: it.context.set(by),
    lambda it, by: it.set_cell(by),
    lambda _, by: OFFSET.update(x=by),
    lambda _, by: setattr(with_default, "__defaults__", ([by],)),
    lambda _, by: with_default.__defaults__[0].__setitem__(0, by),  # type: ignore[index]
    lambda it, _: setattr(it, "late", True),
    lambda it, by: setattr(it, "method", lambda x: x * by),
    lambda it, _: vars(it).pop("method", None),
    lambda it, by: setattr(it, "__dict__", {**vars(it), "number": by}),
]


@pytest.mark.parametrize("word", READ)
def test_whatever_changes_outside_the_compiled_function_is_the_eager_one(word: str, monkeypatch: Any) -> None:
    draw = random.Random(word)  # noqa: S311
    monkeypatch.setattr(Surroundings, "scale", 1.0)
    monkeypatch.setattr(Surroundings, "table", {"z": 1.0})
    monkeypatch.setattr(with_default, "__defaults__", ([1.0],))
    monkeypatch.setattr(Scaled, "of_kind", 1.0, raising=False)
    monkeypatch.setitem(OFFSET, "x", 1.0)
    eager = partial(READ[word], Surroundings())
    compiled = compile_(eager)
    for change in draw.choices(CHANGES, k=4 * len(CHANGES)):
        assert compiled(0.5) == pytest.approx(eager(Value(0.5)).data, rel=1e-13)
        change(eager.args[0], draw.choice([0.0, -0.0, 1, 1.0, 2.0, 2.5, -3.0]))


def test_a_net_that_turns_into_one_of_another_kind_and_what_its_kind_has_trace_anew() -> None:
    class Plain(microbp.Module):
        scale = 1.0

        def __call__(self, x: Any) -> Any:
            return x * self.scale

    net: Any = Plain()
    scaled = compile_(lambda x: net(x) * 1.0)
    assert [scaled(1.0), scaled(1.0)] == [1.0, 1.0]
    Plain.scale = 2.0
    assert scaled(1.0) == 2.0
    net.__class__ = type("Other", (Plain,), {"scale": 3.0})
    assert scaled(1.0) == 3.0


def test_where_nothing_has_changed_nothing_is_looked_for_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(Scaled, "of_kind", 1.0, raising=False)
    it, anew = Surroundings(), ("all", "view", "turned")  # where a view of a dict or a copy is reached
    compiled = {word: compile_(partial(each, it)) for word, each in READ.items() if word not in anew}
    expected = {word: each(1.0) for word, each in compiled.items()}
    for each in compiled.values():
        each(1.0)

    def refused(*_: Any) -> Any:
        raise AssertionError("it looked again")

    monkeypatch.setattr(around, "walk", refused)
    it.net.parameters()[0].data += 1.0  # which the program reads
    it.net.parameters()[0].data -= 1.0
    assert {word: each(1.0) for word, each in compiled.items()} == expected


def test_two_that_are_the_same_are_told_from_two_that_are_alike() -> None:
    a, b = [1.0], [2.0]
    table = [a, b, a]
    last = compile_(lambda x: x * table[-1][0])
    assert last(1.0) == 1.0
    table[-1] = b
    assert last(1.0) == 2.0


@pytest.mark.filterwarnings("ignore::microbp.BranchWarning")
def test_a_mock_is_looked_at_and_left_as_it_is() -> None:
    mock = unittest.mock.MagicMock(scale=2.0)
    scaled = compile_(lambda x: x * mock.scale)
    before = {*vars(mock)}, {*vars(mock)["_mock_children"]}
    start = time.process_time()
    assert scaled(1.0) == 2.0
    assert time.process_time() - start < 5.0  # 15 s before
    assert ({*vars(mock)}, {*vars(mock)["_mock_children"]}) == before


def test_an_object_that_refuses_attributes_in_its_own_way_is_read() -> None:
    class Strict:
        def __init__(self) -> None:
            self.held = {"scale": 2.0}

        def __getattr__(self, word: str) -> Any:
            return self.__dict__["held"][word]  # KeyError

    strict, other = Strict(), SimpleNamespace(strict=None)
    other.strict = strict
    scaled = compile_(lambda x: x * other.strict.scale)
    assert scaled(1.0) == 2.0
    strict.held["scale"] = 5.0
    assert scaled(1.0) == 5.0
