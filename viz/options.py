"""What a caller gives: how a picture is to look, and what is said of all else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from microbp import Graph, Module, Trace, Value
from microbp.calls import user_scope
from microbp.text import quoted
from viz.colours import DARK, LIGHT, Theme

#: Verdana is as wide as DejaVu Sans, so that text laid out with the one fits when shown with the other.
FONT = "DejaVu Sans,Verdana,sans-serif"


class Style(NamedTuple):
    """Options, checked by :meth:`checked`."""

    rankdir: str = "TB"
    dark: bool = False
    edges: str = "local"
    digits: int = 4
    legend: bool = True

    @property
    def theme(self) -> Theme:
        """The colours."""
        return DARK if self.dark else LIGHT

    def checked(self) -> Style:
        """With an int for digits. ValueError or TypeError says which option is wrong, and what it may be."""
        one_of("rankdir", self.rankdir, ("TB", "LR"))
        one_of("edges", self.edges, ("local", "contribution", "none"))
        flag("dark", self.dark)
        flag("legend", self.legend)
        return self._replace(digits=whole_number("digits", self.digits, 1, 17))


def not_drawn(caller: str, takes: str, given: object) -> TypeError:
    """The error for what ``caller`` was given instead of a Value, with what to give.

    >>> print(not_drawn("draw", "a Value or a Graph", 3.0))
    draw() takes a Value or a Graph, not float: a plain number does not know what it was computed from
    """
    several = hasattr(given, "__len__") and not isinstance(given, str)
    hints = {
        "; of a trace draw its graph, trace.graph": isinstance(given, Trace),
        "; of a module draw what it returns": isinstance(given, Module),
        "; of an array draw one element, or the sum": several,
        ": a plain number does not know what it was computed from": isinstance(given, int | float),
    }
    hint = next((told for told, fits in hints.items() if fits), "")
    return TypeError(f"{caller}() takes {takes}, not {type(given).__name__}{hint}")


def graph_of(caller: str, given: Any, names: Mapping[str, Any] | None, *, traces: bool = True) -> Graph:
    """The graph of a Value, a Graph or a Trace, with ``names`` or those of the user's variables."""
    graph = given.graph if traces and isinstance(given, Trace) else given
    if isinstance(graph, Value):
        return Graph(graph, user_scope() if names is None else names)
    if not isinstance(graph, Graph):
        raise not_drawn(caller, "a Value, a Graph or a Trace" if traces else "a Value or a Graph", given)
    return graph


def whole_number(option: str, given: Any, least: float = -math.inf, most: float = math.inf) -> int:
    """``given``, an int or one of NumPy's, as an int.

    TypeError where it is no whole number, ValueError where it is less than ``least`` or more than ``most``.
    """
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if whole and least <= given <= most:
        return int(given)
    upper = f"to {most}" if most < math.inf else "up"
    bounds = f" from {least} {upper}" if least > -math.inf else ""
    raise (ValueError if whole else TypeError)(f"{option} is a whole number{bounds}, not {quoted(given)}")


def one_of(option: str, given: object, known: Iterable[str]) -> None:
    """ValueError where ``given`` is none of the words that are ``known``."""
    if given not in (known := tuple(known)):
        raise ValueError(f"{option}={quoted(given)}: it is one of {', '.join(map(repr, known))}")


def flag(option: str, given: object) -> None:
    """TypeError where ``given`` is neither True nor False: "no" would count as yes."""
    if not isinstance(given, bool | np.bool_):
        raise TypeError(f"{option} is True or False, not {quoted(given)}")
