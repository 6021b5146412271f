"""``Shown``: a result that a notebook shows once, as Markdown; a terminal gets its table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["Shown", "escaped"]

#: What was displayed last, and in which cell: the end of that cell does not show it again.
_displayed: list[object] = [None, None]


def _kernel() -> Any:
    """The shell of the notebook that runs this; None in a terminal and in a script."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


class Shown:
    """A result with a ``table()``, or with a text and Markdown of its own."""

    __slots__ = ()

    def _markdown(self) -> str | None:
        """What is shown in the place of the text: the table, if it has one; None where the text is all."""
        table = getattr(self, "table", None)
        return None if table is None else str(table().markdown())

    def present(self) -> None:
        """Print the table; in a notebook display it, once, also as the last line of a cell."""
        shell = _kernel()
        if shell is None:
            if sys.stdout is not None:  # as print() does where there is none
                self.table().show()  # type: ignore[attr-defined]
            return
        sys.modules["IPython"].display.display(self)
        _displayed[:] = self, shell.execution_count

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        """What a notebook shows. It never raises."""
        shell = _kernel()
        if shell is not None and _displayed[0] is self and _displayed[1] == shell.execution_count:
            return {"text/plain": repr(self)}
        try:
            bundle = {"text/markdown": self._markdown(), "text/plain": str(self)}
        except Exception as error:  # noqa: BLE001  a traceback in place of the result helps nobody
            return {"text/plain": f"{type(self).__name__} that cannot be shown: {error!r}"}
        return {kind: shown for kind, shown in bundle.items() if shown is not None}


def escaped(text: str) -> str:
    r"""A text in which nothing is markup.

    >>> print(escaped("w_1*<b>"))
    w\_1\*&lt;b>
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    for sign in "\\`*_[]|#$~":
        text = text.replace(sign, f"\\{sign}")
    return text
