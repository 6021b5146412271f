"""Where in the user's code something happened: for errors, and for nodes once it is asked for."""

from __future__ import annotations

import _thread
import copy
import functools
import inspect
import pickle
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import here

import microbp
from microbp import Graph, UndefinedOperation, Value, record_sites
from microbp.calls import sites_of, user_frame, user_scope, user_site


@pytest.fixture
def sites() -> Iterator[None]:
    record_sites()
    yield
    record_sites(on=False)


def test_the_site_is_the_caller_s_own_line() -> None:
    assert user_site() == here()
    assert user_frame() is inspect.currentframe()


def test_sites_are_off_at_first() -> None:
    assert (Value(1.0) * 2.0).site is None
    assert microbp.exp(Value(1.0)).site is None


@pytest.mark.usefixtures("sites")
class TestRecorded:
    def test_of_an_operator_on_either_side(self) -> None:
        x = Value(2.0, name="x")
        assert (x * 3.0).site == here()
        assert (3.0 - x).site == here()
        assert (x**x).site == here()
        assert (-x).site == here()
        assert x.tanh().site == here()

    def test_of_a_leaf_there_is_none(self) -> None:
        assert Value(2.0, name="x").site is None

    def test_of_the_innermost_line_of_several(self) -> None:
        def square(x: Value) -> Value:
            return x * x

        y = square(Value(3.0)) + 1.0
        assert y.site == here(1)
        assert y.operands[0].site == here(4)

    def test_through_functions(self) -> None:
        x = Value(2.0)
        y = microbp.softplus(x)
        assert y.site == here(1)
        y = microbp.dot([x, x], [1.0, 2.0], 3.0)
        assert y.site == here(1)
        y = microbp.softmax([x, 1.0])
        assert {each.site for each in y} == {here(1)}
        assert all(node.site == here(2) for node in Graph(y[0]) if node.rule)

    def test_through_numpy(self) -> None:
        W, x = microbp.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 2.0])
        results = [(W @ x, here()), (np.dot(W, x), here()), (W.dot(x), here()), (np.exp(W), here())]
        results += [(W + x, here()), (np.maximum(0, W), here()), (np.sum(W, axis=0), here())]
        results += [(np.mean(W, axis=1), here()), (np.max(W, axis=0), here()), (W**2, here())]
        results += [(np.min(W, axis=0), here()), (np.square(W), here()), (-W, here())]
        for result, line in results:
            assert {each.site for each in result.ravel()} == {line}
        scalars = [(np.float64(2.0) * W[0, 0], here()), (np.exp(W[0, 0]), here()), (W[0] @ x, here())]
        for result, line in scalars:
            assert result.site == line

    def test_through_in_place_arithmetic_and_the_standard_library(self) -> None:
        W = microbp.array([1.0, 2.0])
        W += 1.0
        assert W[0].site == here(1)
        y = sum(W)
        assert y.site == here(1)
        y = functools.reduce(Value.__mul__, W)
        assert y.site == here(1)

    def test_of_higher_derivatives_is_the_line_that_asked(self) -> None:
        x = Value(2.0)
        y = x**3
        g = microbp.grad(y, x, create_graph=True)
        assert g.site == here(1)

    def test_beside_a_name_that_comes_later(self) -> None:
        y = Value(2.0) * 3.0
        line = here(1)
        y.name = "y"
        assert (y.name, y.site) == ("y", line)
        y.name = None
        assert (y.name, y.site) == (None, line)

    def test_in_the_graph(self) -> None:
        x = Value(2.0, name="x")
        y = x * 3.0
        assert [node.site for node in Graph(y)] == [None, here(1)]

    def test_does_not_change_what_is_recorded(self) -> None:
        def make() -> Value:
            x, w = Value(0.3, name="x"), Value(-1.7, name="w")
            y = (x * w + 2.0) ** 2 / (1.0 - x) - 3 * w.tanh()
            y.backward()
            return y

        with_sites = Graph(make())
        record_sites(on=False)
        without = Graph(make())
        assert [node._replace(site=None) for node in with_sites] == list(without)

    def test_switching_on_twice_needs_one_switch_off(self) -> None:
        assert record_sites() is True  # what it was before
        assert record_sites(on=False) is True
        assert (Value(1.0) * 2.0).site is None
        assert record_sites(on=False) is False
        assert record_sites() is False
        assert (Value(1.0) * 2.0).site == here()

    def test_of_a_statement_over_several_lines_is_where_it_begins(self) -> None:
        x = Value(2.0)
        y = (
            x * 3.0
            + 1.0
        )  # fmt: skip
        assert y.site == y.operands[0].site == here(3)  # where the expression begins

    def test_survives_copies_and_pickles(self) -> None:
        y = Value(2.0) * 3.0
        line = here(1)
        for twin in (copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
            assert twin.site == line
        named = y
        named.name = "y"
        assert (copy.deepcopy(named).name, copy.deepcopy(named).site) == ("y", line)

    def test_of_code_that_lies_where_other_code_lay(self) -> None:
        """Places are remembered by where instructions lie: more of them here than are remembered at once."""
        x, found = Value(2.0), []
        for n in range(3000):
            names = {"x": x}
            exec(compile("\n" * n + "y = x * x", "made.py", "exec"), names)
            found.append(names["y"].site)
        assert found == [f"made.py:{n + 1}" for n in range(3000)]

    def test_of_code_that_shares_its_instructions(self) -> None:
        def square(x: Value) -> Value:
            return x * x

        other = types.FunctionType(square.__code__.replace(co_filename="other.py", co_firstlineno=7), {})
        sites = [each(Value(2.0)).site for each in (square, other, square, other)]
        assert sites == 2 * [here(4), "other.py:8"]

    def test_in_comprehensions_lambdas_and_generators_in_turns(self) -> None:
        def several(x: Value) -> Iterator[Value]:
            yield x * 1.0
            yield x * 2.0

        first, second = here(3), here(2)
        x, double = Value(2.0), lambda x: x + x
        line = here(1)
        for _ in range(3):
            assert [y.site for y in [double(x), x * 3.0, double(x)]] == [line, here(), line]
            assert {y.site for y in [x * n for n in (1.0, 2.0)]} == {here()}
            turns = [y.site for pair in zip(several(x), several(x), strict=True) for y in pair]
            assert turns == [first, first, second, second]

    def test_under_tracing_and_in_threads(self) -> None:
        def work() -> list[str | None]:
            x = Value(2.0)
            return [y.site for _ in range(50) for y in (x * x, x + x, -x)]

        line = here(2)
        sys.settrace(lambda *_: None)
        try:
            traced = work()
        finally:
            sys.settrace(None)
        with ThreadPoolExecutor(4) as pool:
            several = [each.result() for each in [pool.submit(work) for _ in range(8)]]
        assert {*traced, *(site for sites in several for site in sites)} == {line}

    def test_where_no_line_is_the_user_s(self) -> None:
        made: list[Value] = []
        _thread.start_new_thread(made.extend, (map(microbp.exp, [Value(0.0)]),))
        while not made:
            time.sleep(0.001)
        assert made[0].site == "?"


def test_an_error_names_the_line_without_being_asked() -> None:
    with pytest.raises(UndefinedOperation) as caught:
        np.log(microbp.array([1.0, -1.0], name="a"))
    assert caught.value.site == here(1)
    assert str(caught.value).endswith(f"[{here(2)}]")


def test_code_without_a_file_is_named_as_python_names_it() -> None:
    code = "from microbp import *; record_sites(); print((Value(1.0) * 2.0).site)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "<string>:1\n"


@pytest.mark.usefixtures("sites")
def test_the_demonstrations_count_as_user_s_code(tmp_path: Path) -> None:
    """Code in ``microbp/demo`` is a user of microbp; the rest of the package is not."""

    def site_of_code_in(file: Path) -> str:
        names = {"x": Value(1.0)}
        exec(compile("y = x * x\n", str(file), "exec"), names)
        return names["y"].site

    package = Path(microbp.__file__).parent
    for file in (tmp_path / "planted.py", package / "demo" / "planted.py"):
        assert site_of_code_in(file) == f"{file}:1"
    line = inspect.getsourcelines(site_of_code_in)[1] + 2
    for file in (package / "planted.py", Path(np.__file__).parent / "planted.py"):
        assert site_of_code_in(file) == f"{__file__}:{line}"


# ----------------------------------------------------------------------------- many sites, and the scope
def test_the_lines_of_a_code_object_are_read_once() -> None:
    class Code:
        co_filename, co_firstlineno, asked = "script.py", 1, 0

        def co_lines(self) -> list[tuple[int, int, int | None]]:
            self.asked += 1
            return [(0, 2, None), (2, 8, 1), (8, 10, 2), (10, 12, 1), (12, 14, 3)]

    code: Any = Code()
    places = [(code, offset) for offset in (0, 2, 6, 8, 10, 12)] * 1000
    lines = ["script.py:1", "script.py:1", "script.py:1", "script.py:2", "script.py:1", "script.py:3"]
    assert sites_of(places) == lines * 1000
    assert code.asked == 1
    assert sites_of([None, "other.py:7", *places[:1]]) == ["?", "other.py:7", "script.py:1"]


def test_the_scope_has_the_variables_of_the_functions_that_called() -> None:
    w = Value(2.0)

    def asked() -> dict[str, Any]:
        y = w * 1.0
        return user_scope() | {"mine": y}

    def helper() -> dict[str, Any]:
        held, y = [w], "outer"
        return asked() if held and y else {}

    scope = helper()
    assert scope["y"] is scope["mine"]  # the nearest
    assert scope["held"] == [w]
    assert scope["w"] is w
    assert scope["sites_of"] is sites_of
