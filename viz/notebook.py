"""What a notebook asks for, of what there is to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

__all__ = ["asked"]

Shown = TypeVar("Shown")


def asked(
    bundle: Mapping[str, Shown], include: Iterable[str] | None, exclude: Iterable[str] | None
) -> dict[str, Shown]:
    """The media types of ``bundle`` that are included, if any are named, and not excluded.

    >>> asked({"text/html": "<b>", "text/plain": "b"}, None, ["text/html"])
    {'text/plain': 'b'}
    """
    return {
        kind: shown
        for kind, shown in bundle.items()
        if (not include or kind in include) and (not exclude or kind not in exclude)
    }
