"""How a growing graph and Python's cyclic garbage collector live together.

Python looks for reference cycles in what has survived for a while by walking *every* container of
the process, each time these have grown by a quarter. While a large graph is recorded the walks see
little but its nodes, again and again, and cost more than the recording. Yet a graph holds no cycle:
an operand exists before its result, and nothing points from an operand to its result. Reference
counting alone frees it.

So the nodes of graphs are left out of that count. Once the first ``Value`` exists, a full walk that
graph nodes have brought about is put off until as many *other* objects have grown old as would have
brought it about without the graph. The walk over the middle generation is left out where nine in ten
of its objects are nodes and no full walk is due; the others grow old a little sooner. Nothing else
changes: the collector stays on, the youngest objects are walked as ever, ``gc.collect()`` does what it
says, and where the program has frozen objects of its own (``gc.freeze``) microbp keeps its hands off.
``stop()`` undoes it.
"""

from __future__ import annotations

import gc
import sys
from _thread import interrupt_main
from collections.abc import Generator
from functools import partial
from inspect import GEN_CLOSED, getgeneratorstate
from operator import setitem
from types import FrameType
from typing import Any

__all__ = ["collector_at_rest", "in_callback", "start", "stop"]

#: Python 3.12 starts with some hundred frozen objects.
_PYTHONS_OWN = 1000
#: The share of other objects below which the middle generation is taken for a graph.
_FEW = 0.1

_node: type = object
_skipping = False
#: Other objects than nodes that have grown old since the last full walk.
_others = 0
#: How many blocks of memory that walk left behind; about every third is a container.
_settled = 0
#: What is installed in ``gc.callbacks``, if :func:`start` was called last.
_callbacks: list[Any] = []


def start(node: type) -> None:
    """Leave instances of ``node`` out of the collector's count; a second call changes nothing."""
    global _node
    _node = node
    if not (_callbacks and all(each in gc.callbacks for each in _callbacks) and _alive()):
        stop()
        for phase in ("start", "stop"):
            _watchers[phase] = watcher = _watcher(phase)
            next(watcher)
            setattr(_Watch, phase, property(partial(next, watcher)))
        _callbacks[:] = [partial(setitem, _told), partial(getattr, _Watch())]
        gc.callbacks += _callbacks


def stop() -> None:
    """Give the collector back as Python has it; without a :func:`start` before, nothing happens."""
    _unskip()
    for each in _callbacks:
        if each in gc.callbacks:
            gc.callbacks.remove(each)
    _callbacks.clear()


class collector_at_rest:  # noqa: N801 (used like a function)
    """No collection while a graph is recorded, swept and freed again, or while one is compiled.

    A graph holds no cycle, so that reference counting frees all of it, and the collector's count of new
    objects is back then where it was. Without this the collector walks the nodes while they are young: 8 %
    of a step of 100 samples through a 2-16-16-1 net, 21 % at 1000 through 2-32-32-1 (it has been spared
    the walks through the whole process already), a quarter of compiling a million values. What keeps the
    graph of a step alive while the next one is recorded costs a fifth more time, since the nodes grow old,
    and twice the memory.
    """

    def __enter__(self) -> None:
        if _callbacks:
            start(_node)  # if its watcher has gone
        self._on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._on:
            try:
                gc.enable()
            finally:  # Ctrl-C may strike in the line above
                gc.enable()


# Python reports an exception in a callback of its collector and drops it, and Ctrl-C is one: it is delivered
# at whatever Python code runs, from the first instruction of a function on. A generator that waits inside
# ``try`` has no such first instruction; what calls it is in C: ``told[phase] = info``, and then
# ``getattr(watch, phase, info)``, a property that is ``next(watcher, watch)``. Where the stack has no room
# for its frame, Python ends the generator; then this is silent, and the next ``with collector_at_rest``
# begins anew.
class _Again(int):
    """Zero; when it is freed, in C and after the callback, Ctrl-C strikes again, now in the program."""

    __del__ = interrupt_main


class _Watch:
    """It has a property for each of the two phases of a collection."""


#: By phase, what goes on in it, and what Python told last.
_watchers: dict[str, Any] = {}
_told: dict[str, Any] = {}


def _alive() -> bool:
    return all(getgeneratorstate(each) != GEN_CLOSED for each in _watchers.values())


def _watcher(phase: str) -> Generator[int, None, None]:
    struck = False
    while True:
        try:
            while True:
                yield _Again() if struck else 0
                struck = False
                _around_collection(phase, _told[phase]["generation"])
        except KeyboardInterrupt:  # noqa: PERF203
            struck = True
            _unskip()


def in_callback(frame: FrameType | None) -> bool:
    """Whether a frame belongs to the callback, from which Ctrl-C strikes again."""
    while frame is not None and frame.f_code is not _watcher.__code__:
        frame = frame.f_back
    return frame is not None


def _unskip() -> None:
    global _skipping
    if _skipping:
        gc.unfreeze()
        _skipping = False


def _around_collection(phase: str, generation: int) -> None:
    global _skipping, _others, _settled
    if phase == "start":
        _unskip()  # where the stack had no room to end the last one
        if generation and _alive() and _due_to_nodes(generation):
            _skipping = True
            gc.freeze()  # what is frozen is not walked; the walk then has nothing to do
    elif _skipping:
        _unskip()
    elif generation == 2:
        _others = 0
        _settled = sys.getallocatedblocks()


def _due_to_nodes(generation: int) -> bool:
    """Whether the collection that begins would not be due if graph nodes did not count."""
    global _others
    fresh, old_enough, older = gc.get_threshold()
    # The youngest objects are a sample, about one in ten, of what grows old.
    sample = gc.get_objects(generation=0)
    share = sum(type(each) is not _node for each in sample) / (len(sample) or 1)
    _others += int(share * fresh * (old_enough + 1))
    if gc.get_count()[0] <= fresh:
        return False  # gc.collect() was called
    if gc.get_freeze_count() > _PYTHONS_OWN:
        return False  # the program has frozen objects, and is to keep them so
    wanted = _others >= max(fresh * old_enough * older, _settled // 3 // 4)
    # What is frozen sets back Python's count of middle walks, which a full walk waits for.
    return not wanted and (generation == 2 or share < _FEW)
