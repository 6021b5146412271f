"""A run and its terminal: Ctrl-C, which waits for the end of a step, and the progress bar."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from microbp.training.outcome import History

__all__ = ["Bar", "Interrupts"]


class Interrupts:
    """Ctrl-C as ever, but not inside ``with interrupts``: there it waits for the end of the block.

    Once it has struck, or :meth:`hold` was called, the run is being wound up, and it comes too late.
    Only the main thread receives signals; in any other there is nothing to hold back.
    """

    def __init__(self) -> None:
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self._holding = self._waiting = self._ending = self._over = False

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
        if self._holding or self._ending or self._over:
            self._waiting = True
        elif self._previous is not None:
            self._ending = True
            self._previous(number, frame)
            self._ending = False  # a handler of the program's own, which did not raise

    def __enter__(self) -> None:
        """What happens inside happens whole."""
        self._holding = True
        self._ending = False  # the run goes on: if one has struck, the net has swallowed it

    def __exit__(self, kind: object, *_: object) -> None:
        self._holding = False
        if self._waiting and kind is None:
            self._waiting = False
            self._strike(signal.SIGINT, None)

    def hold(self) -> None:
        """From here to the end of the run."""
        self._over = True


class Bar:
    """A progress bar on a terminal, through rich; elsewhere nothing, or one line at the end."""

    def __init__(self, progress: bool | None, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._bar: Any = None
        terminal = bool(getattr(sys.stdout, "isatty", bool)())
        self._line = progress is True and not terminal
        wait = 0.0 if progress else 1.0 if progress is None else math.inf
        self._due = time.monotonic() + wait if terminal else math.inf

    def show(self, steps: int, cost: float) -> None:
        """After each step; drawn at most ten times a second."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + 0.1
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]} of {task.fields[epochs]}"), BarColumn(),
                TextColumn("cost {task.fields[cost]}"), TimeRemainingColumn(), auto_refresh=False,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task("", total=self._epochs * self._steps, epochs=self._epochs, epoch=1, cost="")
        told = {"epoch": min(self._epochs, steps // self._steps + 1), "cost": f"{cost:.4g}"}
        self._bar.update(self._bar.task_ids[0], completed=steps, refresh=True, **told)

    def end(self, history: History) -> None:
        """The bar as it ends, or the line."""
        if self._bar is not None:
            self._due = -math.inf
            self.show(len(history.step_cost), history.step_cost[-1])
        elif self._line:
            sys.stdout.write(f"{history}\n")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
