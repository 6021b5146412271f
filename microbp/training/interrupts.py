"""Ctrl-C while a net is trained: a step happens whole or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from microbp.collector import in_callback

__all__ = ["Interrupts"]


class Interrupts:
    """Ctrl-C as ever, but not inside a ``with held()``: there it waits for the end of the block.

    Once it has struck, or :meth:`hold` was called, the run is being wound up, and it comes too late.
    Only the main thread receives signals; in any other there is nothing to hold back.
    """

    def __init__(self) -> None:
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self._holding = self._waiting = self._ending = False

    def start(self) -> None:
        """Take the place of the program's own handler; a ``finally`` has to :meth:`stop` that."""
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(previous):
            self._previous = previous
            signal.signal(signal.SIGINT, self._strike)

    def stop(self) -> None:
        """Give the place back, once nothing can strike any more."""
        if self._previous is not None and signal.getsignal(signal.SIGINT) == self._strike:
            signal.signal(signal.SIGINT, self._previous)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        if in_callback(frame):
            raise KeyboardInterrupt  # Python drops it, and the collector strikes anew
        if self._holding or self._ending:
            self._waiting = True
        elif self._previous is not None:
            self._ending = True
            self._previous(number, frame)
            self._ending = False  # a handler of the program's own, which did not raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """What happens inside happens whole."""
        before = self._holding
        self._holding = True
        try:
            yield
        finally:
            self._holding = before
        if self._waiting and not before:
            self._waiting = False
            self._strike(signal.SIGINT, None)

    def hold(self) -> None:
        """From here to the end of the run."""
        self._ending = True
