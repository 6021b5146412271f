"""What a notebook shows of the debugger's results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Shown"]


class Shown:
    """A result that shows itself in a notebook: as text, and as Markdown if it has some."""

    __slots__ = ()

    def _markdown(self) -> str | None:
        """What is shown in the place of the text; None where that is all."""
        return None

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        """What a notebook shows. It never raises."""
        try:
            bundle = {"text/markdown": self._markdown(), "text/plain": str(self)}
        except Exception as error:  # noqa: BLE001  a traceback in place of the result helps nobody
            return {"text/plain": f"{type(self).__name__} that cannot be shown: {error!r}"}
        return {kind: shown for kind, shown in bundle.items() if shown is not None}
