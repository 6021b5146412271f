"""What several test files need."""

from __future__ import annotations

import gc
import math
import operator
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest

import microbp
from microbp import Module, Value, compiled
from microbp.demo import TUTORIALS
from microbp.demo.report import Report
from microbp.native import extension
from microbp.rules import RULES

__all__ = [
    "METHODS", "OPERATORS", "Centred", "at_once", "bits", "blocks", "here", "in_threads", "live_values",
    "native", "planted", "pure", "reproduced",
]  # fmt: skip

#: The operations that are written with an operator between two operands, by their names in the table.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv,
    "pow": operator.pow,
}  # fmt: skip
#: The operations that are methods or functions of one Value.
METHODS: dict[str, Callable[[Any], Any]] = {
    **{name: operator.methodcaller(name) for name in RULES if callable(getattr(Value, name, None))},
    "neg": operator.neg,
    "abs": abs,
}


def at_once(*tables: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """One test of all cases that names each which fails, for what is quicker than a test of its own.

    Of several tables each case of one is met by each of the others.
    """

    def made(check: Callable[..., None]) -> Callable[[], None]:
        def test() -> None:
            failed = []
            for cases in product(*tables):
                row = [x for case in cases for x in (case if type(case) is tuple else (case,))]
                try:
                    check(*row)
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 (told with all others)
                    failed.append(f"{', '.join(map(str, row))}: {type(error).__name__}: {error}")
            assert not failed, "\n".join(failed)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return made


def here(back: int = 0) -> str:
    """``file:line`` of the caller, ``back`` lines before."""
    frame = sys._getframe(1)
    return f"{frame.f_code.co_filename}:{frame.f_lineno - back}"


def bits(x: float | None) -> str | None:
    """A float to the last bit: NaN equals NaN, and -0.0 is not 0.0."""
    return None if x is None else struct.pack("<d", math.nan if math.isnan(x) else x).hex()


def pure(test: Callable[..., None]) -> Callable[..., None] | None:
    """A test of what is so of Values made in Python alone, which belongs to the run with ``MICROBP_PURE=1``.

    Nodes in C are no affair of the collector's, and nothing interrupts their passes.
    """
    return test if extension is None else None


def native(test: Callable[..., None]) -> Callable[..., None] | None:
    """A test of the C engine, which belongs to the run with it."""
    return None if extension is None else test


def live_values() -> int:
    """How many Values the process holds."""
    return sum(isinstance(each, Value) for each in gc.get_objects())


def blocks() -> int:
    """How many blocks of memory are in use; Values, which lie in larger ones, are counted by their class."""
    return sys.getallocatedblocks() + sys.getrefcount(Value)


def in_threads(*jobs: Callable[[], object]) -> None:
    """Run each job in a thread of its own, to its end; none may fail."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def planted(monkeypatch: Any, name: str, factor: float = 1.0005) -> None:
    """Make the engine's derivatives of an operation wrong, by 0.05 % unless told."""
    right = compiled.compiled(RULES[name])

    def scaled(derivative: Callable[..., Any], *numbers: Any) -> Any:
        d = derivative(*numbers)
        return [factor * each for each in d] if isinstance(d, list) else factor * d

    wrong = compiled.Compiled(right.value, tuple(partial(scaled, d) for d in right.derivatives))
    monkeypatch.setitem(compiled._compiled, RULES[name], wrong)
    monkeypatch.setattr("microbp.record.extension", None)
    monkeypatch.setattr("microbp.nn.extension", None)


@cache
def reproduced(tutorial: str) -> Report:
    """The report of a tutorial, which takes seconds: made once for all test files, which only read it."""
    return TUTORIALS[tutorial].reproduce()


class Centred(Module):
    """Centres each batch: a sample's output depends on the others."""

    takes_batches = True

    def __init__(self) -> None:
        self.w = microbp.array([[0.5], [-0.25]], name="w")

    def __call__(self, x: Any) -> Any:
        out = x @ self.w
        return out - np.sum(out) / len(out)
