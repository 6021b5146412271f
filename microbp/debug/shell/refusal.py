"""How a command of the shell refuses."""

from __future__ import annotations

__all__ = ["Refusal", "whole"]


class Refusal(Exception):
    """A command cannot be carried out; the text is the one line that says why."""


def whole(text: str, usage: str, default: int = 1) -> int:
    """The count that a command was given; Refusal where it is none."""
    if not text:
        return default
    if not text.isdecimal() or len(text) > 18:
        raise Refusal(f"{text!r} is not a number; usage: {usage}")
    return int(text)
