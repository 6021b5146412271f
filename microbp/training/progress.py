"""The progress bar of a run."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from microbp.training.history import History

__all__ = ["Bar"]


class Bar:
    """A progress bar on a terminal, through rich; elsewhere nothing, or one line at the end."""

    def __init__(self, progress: bool | None, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        terminal = bool(getattr(sys.stdout, "isatty", bool)())
        self._line = progress is True and not terminal
        self._due = math.inf
        if terminal and progress is not False:
            self._due = time.monotonic() + (0.0 if progress else 1.0)
        self._bar: Any = None

    def __enter__(self) -> Bar:  # noqa: PYI034 (Self is newer than Python 3.10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, epoch: int, place: int, cost: float) -> None:
        """After each step; drawn at most ten times a second."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + 0.1
            self._draw(epoch * self._steps + place, f"{cost:.4g}")

    def end(self, history: History) -> None:
        """The bar as it ends, or the line."""
        if self._bar is not None:
            self._draw(len(history.step_cost), f"{history.step_cost[-1]:.4g}")
        elif self._line:
            sys.stdout.write(f"{history}\n")

    def _draw(self, steps: int, cost: str) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]} of {task.fields[epochs]}"), BarColumn(),
                TextColumn("cost {task.fields[cost]}"), TimeRemainingColumn(), auto_refresh=False,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task("", total=self._epochs * self._steps, epochs=self._epochs, epoch=1, cost=cost)
        epoch = min(self._epochs, steps // self._steps + 1)
        self._bar.update(self._bar.task_ids[0], completed=steps, epoch=epoch, cost=cost, refresh=True)
