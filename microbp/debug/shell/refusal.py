"""How a command of the shell refuses."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["Refusal", "nearest", "whole"]


class Refusal(Exception):
    """A command cannot be carried out; the text is the one line that says why."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'step'?`` for a word that is not known; empty where nothing is near.

    >>> nearest("stpe", ["step", "break"]), nearest("xyz", ["step"])
    ("; did you mean 'step'?", '')
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def whole(text: str, usage: str, default: int = 1) -> int:
    """The count that a command was given; Refusal where it is none."""
    if not text:
        return default
    if not text.isdecimal() or len(text) > 18:
        raise Refusal(f"{text!r} is not a number; usage: {usage}")
    return int(text)
