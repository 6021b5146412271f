"""What a half-typed argument of a command can become."""

from __future__ import annotations

from microbp.debug.language import ASPECTS, NUMBERS, TRUTHS
from microbp.debug.shell.helping import COMMANDS, found
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.session import Session

__all__ = ["candidates"]

#: No more candidates are offered.
MOST = 200


def candidates(session: Session, line: str, begidx: int, endidx: int) -> list[str]:
    """What the text that stands in ``line[begidx:endidx]`` can become.

    Names hold characters at which readline breaks words, so that the whole word is looked at; what is
    offered begins where readline's word does.
    """
    try:
        command = found(line.lstrip().partition(" ")[0])
    except Refusal:
        return []
    begins = max(line.rfind(" ", 0, endidx), line.rfind("\t", 0, endidx)) + 1
    word = line[begins:endidx]
    offered = [each for each in _words(session, command.completes, word) if each.startswith(word)]
    return [each[begidx - begins :] for each in offered[:MOST]]


def _words(session: Session, kind: str, word: str) -> list[str]:
    graph = session.trace.graph
    names = [node.name for node in graph if node.named or word.startswith("v")]
    operations = sorted({node.rule.name for node in graph if node.rule})
    if kind == "value":
        return names
    if kind == "place":
        return [*names, *operations, *NUMBERS, *TRUTHS, "if"]
    if kind == "expression":
        name, dot, _ = word.rpartition(".")
        aspects = [f"{name}.{each}" for each in ASPECTS] if dot and name in session.cursor.positions else []
        return [*aspects, *names, *NUMBERS, *TRUTHS]
    if kind == "breakpoint":
        return [*map(str, session.breakpoints), "all"]
    if kind == "command":
        return [each.name for each in COMMANDS]
    return ["breakpoints", "leaves", "pass", "values"] if kind == "topic" else []
