"""The commands that say where to stop, and what to show there."""

from __future__ import annotations

from microbp.debug.breakpoints import breakpoint_at, watch_on
from microbp.debug.language import NUMBERS, TRUTHS
from microbp.debug.shell.command import Command
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.session import Session

__all__ = ["COMMANDS", "listed"]


def _break(session: Session, text: str) -> None:
    if not text:
        listed(session)
        return
    site = session.here.site
    point = breakpoint_at(session.trace.graph, text, file=site.rpartition(":")[0] if site else None)
    places = f"; {len(point.nodes)} values" if point.nodes is not None and len(point.nodes) > 1 else ""
    session.screen.line((f"breakpoint {session.add(point)}: {point}{places}", "note"))


def _watch(session: Session, text: str) -> None:
    point = watch_on(session.trace.graph, text)
    session.screen.line((f"watch {session.add(point)}: {point}", "note"))


def _delete(session: Session, text: str) -> None:
    if not text:
        raise Refusal("delete which? usage: delete NUMBER ... or delete all; info breakpoints lists them")
    words = [str(each) for each in session.breakpoints] if text == "all" else text.replace(",", " ").split()
    for word in words:
        if not word.isdecimal() or int(word) not in session.breakpoints:
            there = ", ".join(map(str, session.breakpoints)) or "none"
            raise Refusal(f"there is no breakpoint {word}; there are: {there}")
    for word in dict.fromkeys(words):
        session.screen.line((f"deleted {word}: {session.breakpoints.pop(int(word))}", "note"))
    if not words:
        raise Refusal("there is no breakpoint to delete")


def _display(session: Session, text: str) -> None:
    if not text:
        if not session.displays:
            raise Refusal("nothing is displayed; usage: display EXPRESSION")
        for each in session.displays:
            session.screen.line(f"  {each} = {session.displayed(each)}")
        return
    shown = session.displayed(text)
    if text not in session.displays:
        session.displays.append(text)
    session.screen.line(f"  {text} = {shown}")


def _undisplay(session: Session, text: str) -> None:
    if text and text not in session.displays:
        there = ", ".join(session.displays) or "nothing"
        raise Refusal(f"{text!r} is not displayed; what is: {there}")
    session.displays = [each for each in session.displays if text and each != text]


def listed(session: Session) -> None:
    """Write the breakpoints and watches."""
    if not session.breakpoints:
        session.screen.line("no breakpoint and no watch is set")
    for number, point in session.breakpoints.items():
        session.screen.line(f"{number:3}  {point}")


_WORDS = "\n".join(f"  {word:13} {meaning}" for word, meaning in {**NUMBERS, **TRUTHS}.items())
_CONDITION = (
    "A condition is made of numbers, + - * /, comparisons, and, or, not, functions\n"
    "such as abs, values by name (h1.grad, h1.data), and words for what a value\n"
    f"receives:\n{_WORDS}"
)

COMMANDS = (
    Command(
        "break", ("b",), "[NAME|OPERATION|[FILE:]LINE] [if CONDITION]",
        "stop where a value passes its gradient on; or list\n"
        "A leaf passes nothing on: there it stops where the leaf receives.\n"
        "Examples: break h1, break sigmoid, break 12, break net.py:12,\n"
        f"break if not finite, break mul if abs(grad) > 10, break sign change\n{_CONDITION}", _break, "place",
    ),
    Command(
        "watch", ("wa",), "NAME [if CONDITION]",
        f"stop whenever a value receives a contribution\n{_CONDITION}", _watch, "value",
    ),
    Command(
        "delete", ("d", "clear"), "NUMBER ...|all", "delete breakpoints and watches", _delete, "breakpoint",
    ),
    Command(
        "display", (), "[EXPRESSION]", "show an expression after every stop; or list",
        _display, "expression",
    ),
    Command(
        "undisplay", (), "[EXPRESSION]", "show it no longer; or none of them",
        _undisplay, "expression",
    ),
)  # fmt: skip
