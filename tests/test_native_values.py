"""Values in C and in Python: scripts drawn at random, hostile ones among them, lead to the same."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import ref

import native_scripts
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_scripts import GRADS, HOSTILE, MANY, SIGNS, WORDS, played

from microbp import Value, array

positions = st.integers(0, 12)
signs, turned = st.sampled_from([*SIGNS]), st.booleans()
numbers = st.sampled_from([0.0, -0.0, 1.0, -2.0, 0.3, 3.0, 1e-300, 1e300, float("inf"), float("nan")])
literals = numbers | st.sampled_from([0, 1, 2, -3, 10**400])
recorded = st.one_of(
    st.tuples(st.just("leaf"), numbers, turned),
    st.tuples(st.just("both"), signs, positions, positions),
    st.tuples(st.just("literal"), signs, positions, literals, turned),
    st.tuples(st.just("one"), st.sampled_from(WORDS), positions),
    st.tuples(st.just("many"), st.sampled_from(MANY), st.lists(positions, min_size=1, max_size=4), numbers),
)
unusual = st.one_of(
    st.tuples(st.just("hostile"), signs, positions, st.sampled_from([*HOSTILE]), turned),
    st.tuples(st.just("grad"), positions, st.sampled_from([*GRADS])),
    st.tuples(st.just("data"), positions, numbers),
    st.tuples(st.just("frozen"), positions, st.booleans()),
    st.tuples(st.sampled_from(["unrecorded", "generator"]), signs, positions, positions),
    st.tuples(st.sampled_from(["threads", "copied", "pickled", "circle"]), positions),
)
scripts = st.lists(recorded | unusual | st.tuples(st.just("backward"), positions), max_size=20)


@pytest.fixture(scope="module")
def in_python() -> Iterator[Any]:
    """What a script leads to in a process that keeps to Python."""
    environment = {**os.environ, "MICROBP_PURE": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(Path(native_scripts.__file__))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, back = process.stdin, process.stdout

        def asked(script: Any) -> list[str]:
            print(json.dumps(script), file=to, flush=True)
            told: list[str] = json.loads(back.readline())
            return told

        yield asked


def same(in_python: Any, script: Any) -> list[str]:
    """What a script leads to, here and there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of graphs that grow: what a pass warns of has tests of its own
        here = played(json.loads(json.dumps(script)))
    assert here == in_python(script)
    return here


@given(script=scripts)
@settings(max_examples=120)
def test_a_script_leads_to_the_same_in_both_engines(in_python: Any, script: Any) -> None:
    same(in_python, script)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("sign", SIGNS)
def test_every_hostile_operand_meets_every_operator(in_python: Any, sign: str, turned: bool) -> None:
    told = same(in_python, [["hostile", sign, at, what, turned] for at in (0, 2) for what in HOSTILE])
    assert any("TypeError" in each for each in told)


@pytest.mark.parametrize("odd", ["text", "truth", "interrupting"])
def test_an_interrupted_pass_changes_nothing_and_the_next_is_whole(in_python: Any, odd: str) -> None:
    graph = [["both", "mul", 0, 1], ["both", "add", 3, 0], ["grad", 1, odd], ["backward", 4]]
    told = same(in_python, [*graph, ["grad", 1, "none"], ["backward", 4]])
    assert told[3].startswith("backward KeyboardInterrupt" if odd == "interrupting" else "backward TypeError")
    assert [each.split()[2] for each in told[6:8]] == ["0.5", "2.0"]  # 1 + v, and x


@pytest.mark.parametrize("odd", [("text", "truth"), ("interrupting", "float64")])
def test_grads_are_looked_at_in_the_order_of_the_pass(in_python: Any, odd: tuple[str, str]) -> None:
    grads = [["grad", at, what] for at, what in enumerate(odd)]
    told = same(in_python, [["both", "mul", 0, 1], ["both", "add", 3, 0], *grads, ["backward", 4]])
    assert "True" in told[4] if odd[1] == "truth" else told[6].startswith("Value -0.5 2.0")


@pytest.mark.parametrize("how", ["by itself", "taken out"])
def test_a_subclass_is_freed_in_a_circle_by_itself_and_when_its_graph_is_taken_out(how: str) -> None:
    class Marked(Value):
        def __init__(self) -> None:
            super().__init__(1.0)
            self.mark = Mark()

    class Mark:
        """What can be watched."""

    value = Marked()
    watched = ref(value.mark)
    value.me = value if how == "by itself" else value * 2.0  # type: ignore[attr-defined]
    if how == "taken out":
        del value.me  # type: ignore[attr-defined]
    del value
    gc.collect()
    assert watched() is None


def test_a_value_that_is_taken_up_again_while_its_graph_is_freed_is_as_any_other() -> None:
    class Watched(Value):
        """It has weak references."""

    class Last(Value):
        def __del__(self) -> None:
            for held in [each() for each in watched]:
                if held is not None:
                    (held * 2.0).backward()
                    grads.append(held.grad)

    grads: list[float | None] = []
    values = [*[Watched(2.0) for _ in range(4)], Last(1.0), *[Watched(2.0) for _ in range(4)]]
    watched = [ref(each) for each in values if isinstance(each, Watched)]
    total = np.sum(array(values))
    del values, total
    gc.collect()
    assert [each() for each in watched] == [None] * 8
    assert set(grads) == {2.0}


def test_a_difference_would_be_seen(in_python: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Value, "__rsub__", Value.__sub__)
    with pytest.raises(AssertionError):
        same(in_python, [["literal", "sub", 0, 1.0, True]])


def test_a_value_whose_number_is_deleted_is_an_attribute_error() -> None:
    value = Value(1.0)
    with suppress(AttributeError):  # in Python a slot can be emptied
        del value._data
        assert not hasattr(value, "data")
