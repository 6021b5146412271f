"""What is said to a caller who gives something that has no graph, or a number that is none."""

from __future__ import annotations

from microbp import Module, Trace

__all__ = ["not_drawn", "whole_number"]


def not_drawn(caller: str, takes: str, given: object) -> TypeError:
    """The error for what ``caller`` was given instead of a Value, with what to give.

    >>> print(not_drawn("draw", "a Value or a Graph", 3.0))
    draw() takes a Value or a Graph, not float: a plain number does not know what it was computed from
    """
    hint = ""
    if isinstance(given, Trace):
        hint = "; of a trace draw its graph, trace.graph"
    elif isinstance(given, Module):
        hint = "; of a module draw what it returns"
    elif hasattr(given, "__len__") and not isinstance(given, str):
        hint = "; of an array draw one element, or the sum"
    elif isinstance(given, int | float):
        hint = ": a plain number does not know what it was computed from"
    return TypeError(f"{caller}() takes {takes}, not {type(given).__name__}{hint}")


def whole_number(option: str, given: object) -> None:
    """TypeError where ``given`` is not an int."""
    if type(given) is not int:
        raise TypeError(f"{option} is a whole number, not {given!r}")
