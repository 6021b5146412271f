"""``Machine``: a graph's columns as a program in C; and ``engine``: whether there is one, and why not."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from microbp.compiled import compiled, slopes
from microbp.native.rows import digest
from microbp.rules import TABLE, Rule
from microbp.sweeps import Columns, Floats

__all__ = ["Engine", "Machine", "engine", "extension", "slopes", "whole_threads"]


#: The version of what the extension offers.
_INTERFACE = 6


class Engine(NamedTuple):
    """Which engine runs compiled programs."""

    #: "native" or "python".
    name: str
    #: In words.
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


def engine() -> Engine:
    """Which engine runs compiled programs, "native" or "python", and why.

    The native one is a C extension that is built where there is a C compiler. It gives the same results and
    takes less time. The environment variable ``MICROBP_PURE=1`` keeps to Python.

    >>> engine().name in ("native", "python")
    True
    """
    _, found = _loaded()
    return found


def _loaded() -> tuple[Any, Engine]:
    """The extension, if there is one that may be used, and why."""
    if os.environ.get("MICROBP_PURE", "0") not in ("", "0"):
        return None, Engine("python", "the environment variable MICROBP_PURE is set")
    try:
        module = import_module("microbp.native._machine")
    except ImportError as error:
        why = f"the C extension is not built ({error}); with a C compiler, pip install microbp builds it"
        return None, Engine("python", why)
    if getattr(module, "interface", 0) != _INTERFACE:
        return None, Engine("python", "the C extension was built from other sources; build it again")
    if module.digest != digest():
        why = "the C extension was built from other rows than the table's; build it again"
        return None, Engine("python", why)
    return module, Engine("native", f"the C extension, built for {', '.join(module.variants)}")


#: The extension as it was found when microbp was imported, or None: Values are made of it, or of Python.
extension, _ = _loaded()


def whole_threads(threads: Any, where: str) -> int:
    """A number of threads; ValueError for what is none."""
    if not isinstance(threads, Integral) or isinstance(threads, bool) or threads < 1:
        raise ValueError(f"{where}: threads is a whole number from 1 up, not {threads!r}")
    return int(threads)


class Machine:
    """A graph as a program in C: of one sample it has the eager bits, of a batch it is equal to 1e-12.

    ``inputs``, ``params`` and ``outputs`` are positions in the graph, None for a leaf that is not in it, and
    ``trained`` says which parameters take a gradient. ``variant`` is the instruction set for batches, the
    best there is unless it is given. Raises RuntimeError where there is no extension.
    """

    def __init__(
        self,
        graph: Columns,
        inputs: Sequence[int | None],
        params: Sequence[int | None],
        outputs: Sequence[int],
        trained: Sequence[bool],
        variant: str = "",
    ) -> None:
        module, found = _loaded()
        if module is None:
            raise RuntimeError(f"there is no native machine here: {found.why}")
        known = {rule.name: number for number, rule in enumerate(TABLE)}
        users: list[Rule] = []
        numbers = [-1]
        for rule in graph.rules:
            if rule in TABLE:
                numbers.append(known[rule.name])
            else:
                numbers.append(len(known) + len(users))
                users.append(rule)
        op = np.array(numbers, dtype=np.int64)[graph.op + 1]
        leaves = ([-1 if place is None else place for place in each] for each in (params, inputs))
        places = (np.array(each, dtype=np.int64) for each in (*leaves, outputs, trained))
        self._run = module.Machine(
            op, *(np.ascontiguousarray(each) for each in (graph.first, graph.args)), *places,
            *(np.array(each, dtype=float) for each in (graph.consts, graph.data)),
            partial(_said, users) if users else None, variant,
        )  # fmt: skip
        self.outputs, self.defined = len(outputs), bool(users)
        #: ``run(threads, x, theta, None, costs, gradient, None, mean)`` is ``gradients`` with nothing between
        #: the call and C, of the mean if it is asked for. Raises ValueError or TypeError for arrays that
        #: C does not read as they lie, or that overlap.
        self.run = self._run.run
        #: Of one sample, with nothing between the call and C, as ``functions`` of the straight form: they
        #: take two sequences of floats, and return an output (of several a list), and the gradient, a list.
        self.value, self.value_and_grad = self._run.value, self._run.value_and_grad
        #: Over how many threads the blocks of a batch are spread; the results do not depend on it.
        self.threads = 1
        #: In how many steps over rows of samples it runs, how many of these are products with matrices, and
        #: how many coefficients the largest has.
        self.steps, self.products, self.largest = self._run.steps, self._run.products, self._run.largest

    def values(self, x: Floats, theta: Floats) -> tuple[Floats, tuple[int, int] | None]:
        """The outputs [samples, outputs]; and the sample and the node that are undefined, or None."""
        out = np.empty((len(x), self.outputs))
        return out, self.run(self.threads, *_plain(x, theta), out, None, None, None)

    def gradients(
        self, x: Floats, theta: Floats, gradient: Floats, dx: Floats | None
    ) -> tuple[Floats, float, tuple[int, int] | None]:
        """The sum of the outputs of each sample; that of all, nan if a derivative is not finite; the fault.

        The derivatives of the sum of all are written into ``gradient`` and ``dx``.
        """
        costs = np.empty(len(x))
        if not (x.flags.carray and theta.flags.carray):
            x, theta = _plain(x, theta)
        made = gradient if gradient.flags.carray else np.empty(len(gradient))
        found = self.run(self.threads, x, theta, None, costs, made, dx)
        if made is not gradient:
            gradient[:] = made
        return (costs, found, None) if type(found) is float else (costs, math.nan, found)

    def train(self, update: Machine, mean: bool, milliseconds: int, *arrays: Any) -> int:
        """How many steps of a descent were taken, in about that time; the arrays hold what came of it.

        ``update`` computes from a parameter, its gradient and what is remembered of it the same after a step
        and, where there is a penalty, the gradient with it, and the penalty. ``arrays`` are the samples x,
        the rate of each step, the order of the samples, how many each step takes, whether what is remembered
        is alike for all; theta, the memory, the costs, the best parameters with their cost, and the last
        gradient.
        """
        taken: int = self._run.train(update._run, self.threads, mean, milliseconds, *arrays)
        return taken


def _plain(*arrays: Floats) -> list[Floats]:
    """The arrays as C reads them; views of bytes, as from a file or a network, may lie between addresses."""
    return [each if each.flags.carray else np.require(each, requirements=["C", "A"]) for each in arrays]


def _said(users: list[Rule], number: int, numbers: tuple[float, ...], y: float | None = None) -> Any:
    """The value of a row that a user has defined, of a flat tuple of numbers; given it, the slopes."""
    rule = users[number]
    return compiled(rule).value(*rule.split(numbers)) if y is None else slopes(rule)(numbers, y)
