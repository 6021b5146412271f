"""The user's source around a line, with marks: ``->`` the current line, ``B`` a breakpoint."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator

from microbp.check.words import line_of
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.screen import Line
from microbp.debug.shell.session import Session

__all__ = ["excerpt"]

#: How many lines are listed at once.
LINES = 11


def excerpt(session: Session, text: str) -> Iterator[Line]:
    """The lines that ``list`` was asked for: ``""``, ``"."``, ``"20"`` or ``"20, 30"``."""
    site = session.here.site
    if site is None:
        raise Refusal(
            f"the line of {session.here.name} is not known: call microbp.record_sites() before computing, or "
            "use microbp step SCRIPT"
        )
    file, _, number = site.rpartition(":")
    current = int(number)
    lines = linecache.getlines(file)
    if not lines:
        raise Refusal(f"the source of {line_of(site)} cannot be read")
    first, last = _range(session, text, file, current)
    if first > len(lines):
        raise Refusal(f"{line_of(file)} ends at line {len(lines)}")
    last = min(last, len(lines))
    session.listed = file, last + 1
    marked = _breakpoints(session, file)
    yield ((f"{line_of(file)}", "dim"),)
    for line in range(max(1, first), last + 1):
        here = line == current
        mark = "->" if here else "  "
        stop = "B" if line in marked else " "
        shown = lines[line - 1].rstrip().expandtabs(4)
        yield ((f"{line:5} {stop}{mark} {shown}", "head" if here else ""),)


def _range(session: Session, text: str, file: str, current: int) -> tuple[int, int]:
    if not text:
        if session.listed is not None and session.listed[0] == file:
            return session.listed[1], session.listed[1] + LINES - 1
        return max(1, current - LINES // 2), max(1, current - LINES // 2) + LINES - 1
    if text == ".":
        return max(1, current - LINES // 2), max(1, current - LINES // 2) + LINES - 1
    match = re.fullmatch(r"(\d{1,9})(?:\s*[, ]\s*(\d{1,9}))?", text)
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        raise Refusal(f"{text!r} is no line and no two lines; usage: list [LINE[, LINE]|.]")
    first = int(match[1])
    if match[2]:
        return first, int(match[2])
    return max(1, first - LINES // 2), max(1, first - LINES // 2) + LINES - 1


def _breakpoints(session: Session, file: str) -> set[int]:
    """The lines of a file on which a breakpoint on a line is set."""
    found = set()
    for point in session.breakpoints.values():
        if point.kind == "line" and point.nodes is not None:
            for position in point.nodes:
                where, _, number = (session.trace.graph.nodes[position].site or ":0").rpartition(":")
                if where == file:
                    found.add(int(number))
    return found
