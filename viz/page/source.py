"""The lines of the user's own files at which values were recorded, to be shown beside the graph."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Source", "sources"]

#: How many lines are shown above and below a line at which something was recorded.
AROUND = 8
#: What stands beyond in a line is cut off.
WIDEST = 240


class Source(NamedTuple):
    """Excerpts of one file. Its folder is left out: a page is sent to others."""

    name: str
    #: By number; a number that is missing stands for lines that are left out.
    lines: dict[int, str]


def sources(sites: Iterable[str | None]) -> tuple[list[Source], dict[str, tuple[int, int]]]:
    """The files in which the sites ``file:line`` lie, and for each site the index of its file and the line.

    A site whose text cannot be read (a file that is gone, what was typed at a prompt) has no entry.
    """
    wanted: dict[str, set[int]] = {}
    for site in sites:
        file, _, line = (site or "").rpartition(":")
        if file and line.isdigit():
            wanted.setdefault(file, set()).add(int(line))
    found: list[Source] = []
    places: dict[str, tuple[int, int]] = {}
    for file, numbers in wanted.items():
        text = linecache.getlines(file)
        known = {each for each in numbers if 1 <= each <= len(text)}
        shown = {near for each in known for near in range(each - AROUND, each + AROUND + 1)}
        if known:
            lines = {n: text[n - 1].rstrip()[:WIDEST] for n in sorted(shown) if 1 <= n <= len(text)}
            places |= {f"{file}:{each}": (len(found), each) for each in known}
            found.append(Source(Path(file).name, lines))
    return found, places
