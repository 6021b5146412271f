"""``Switch``: what is on in the whole process while code of any thread is inside a ``with`` of it."""

from __future__ import annotations

import os
from _thread import RLock, get_ident
from collections.abc import Callable
from typing import Any
from weakref import ref

from microbp.recording.groups import asked_for

__all__ = ["Switch"]


class Switch:
    """A state of the process, turned on by the first who enters and off when the last has left.

    Who is inside is known, not counted, and ``turn(on)`` may be called once too often: so Ctrl-C, which may
    strike at any instruction, leaves nobody inside, and neither does a thread that a fork has left behind.
    What was turned on may then stay so until the next ``with``: whoever must know asks ``inside``.

    >>> states = []
    >>> switch = Switch(states.append)
    >>> with switch.on(), switch.on():
    ...     states[-1]
    True
    >>> states[-1]
    False
    """

    def __init__(self, turn: Callable[[bool], object]) -> None:
        self._turn = turn
        #: References to who is inside; these go by themselves.
        self.inside: set[Any] = set()
        self._lock = RLock()
        os.register_at_fork(after_in_child=self._forked)

    def on(self) -> Inside:
        """On inside the ``with``."""
        return Inside(self)

    def settle(self) -> None:
        """Turn it as it should be."""
        with self._lock:
            self._turn(bool(self.inside))

    def _forked(self) -> None:
        """Only this thread goes on in the new process, and the lock may have been another's."""
        self._lock = RLock()
        for each in [*self.inside]:
            if isinstance(there := each(), Inside) and there.thread != get_ident():
                self.inside.discard(each)
        self.settle()


class Inside:
    """One passage through a ``with``."""

    def __init__(self, switch: Switch) -> None:
        self._switch, self.thread = switch, get_ident()

    @asked_for
    def __enter__(self) -> Callable[[], object]:
        """Asked for by ``with``, which calls it: in C, so that Ctrl-C cannot come between."""
        try:
            self._switch.inside.add(ref(self, self._switch.inside.discard))
            self._switch.settle()
        except BaseException:
            self._leave()
            raise
        return bool

    def __exit__(self, *_: object) -> None:
        # Twice, of which the second changes nothing: Ctrl-C may strike in the first.
        try:
            self._leave()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._switch.inside.discard(ref(self))
        self._switch.settle()
