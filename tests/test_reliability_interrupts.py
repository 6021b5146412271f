"""Ctrl-C at any moment discards one step at most, and leaves nothing on. Long form: ``--long``."""

from __future__ import annotations

import gc
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import bits

import microbp
import viz
from microbp import MLP, SGD, Graph, Value, fit, record_sites
from microbp.compiled import SCOPE
from microbp.groups import current_group

LIBRARY = tuple(str(Path(each.__file__).parent) for each in (microbp, viz))
X, Y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [-1.0, 1.0, 1.0, -1.0]


# ------------------------------------------------------------------ at an instruction of the library
class Striker:
    """Ctrl-C at the nth instruction of the library's own files, as an exception raised there.

    The first instructions of ``__exit__`` are passed over: no code of a context manager can come before them.
    """

    def __init__(self, nth: int) -> None:
        self.left = self.nth = nth

    def __call__(self, frame: Any, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(LIBRARY):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode" and not (frame.f_lasti <= 4 and frame.f_code.co_name == "__exit__"):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    def struck(self, work: Callable[[], object]) -> bool:
        """Whether the work was struck."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return self.left <= 0


def nothing_is_on() -> None:
    """What a computation needs is as it was before."""
    x = Value(2.0, name="x")
    y = x * x
    y.backward()
    assert (x.grad, y.site, y.requires_grad, Graph(y).root.group) == (4.0, None, True, ())
    assert current_group() is None
    assert not SCOPE["grouped"]
    assert not SCOPE["special"]
    assert record_sites(False) is False
    assert isinstance(vars(Value)["data"], property)
    assert vars(Value)["data"].fget.__name__ == "data"
    assert gc.isenabled()
    assert gc.get_freeze_count() < 1000


W = [Value(0.1 * i - 0.2, name=f"w{i}") for i in range(4)]


def cost(x: Any) -> Any:
    return microbp.sum([(w * each).tanh() for w, each in zip(W, [x[0], x[1], x[0], x[1]], strict=True)])


def traced() -> None:
    function = microbp.compile(cost)
    function([0.5, 1.0])


def recorded() -> None:
    cost([0.5, 1.0])


def passed() -> None:
    loss = cost([0.5, 1.0])
    loss.backward()
    for w in W:
        w.grad = None


def drawn() -> None:
    viz.draw(cost([0.5, 1.0]), names={}).dot  # noqa: B018


def explained() -> None:
    str(microbp.explain(cost([0.5, 1.0]), W[1], names={}))


def diagnosed() -> None:
    microbp.diagnose(MLP(2, [2, 1], seed=1), data=[[0.5, 1.0]], show=False)


def in_shell() -> None:
    typed = io.StringIO("step\nexplain w1\nback\nquit\n")
    microbp.step(cost([0.5, 1.0]), names={}, stdin=typed, stdout=io.StringIO())


@pytest.mark.parametrize("work", [recorded, passed, traced, drawn, explained, diagnosed, in_shell])
def test_a_strike_at_a_random_instruction_leaves_nothing_on(work: Callable[[], None], long: bool) -> None:
    work()
    whole = Striker(10**12)
    assert not whole.struck(work)
    instructions = 10**12 - whole.left
    moments = random.Random(3)  # noqa: S311
    strikes = sorted(moments.randrange(1, instructions) for _ in range(300 if long else 15))
    for at in strikes:
        assert Striker(at).struck(work), at
        for w in W:
            w.grad = None
        nothing_is_on()
        work()
