"""What an expression comes to at a place of the pass."""

from __future__ import annotations

from microbp.debug.breakpoints import words_at
from microbp.debug.cursor import Cursor
from microbp.debug.language import parse
from microbp.debug.shell.refusal import Refusal
from microbp.notation import plain_name, plain_number

__all__ = ["received", "worked_out"]


def worked_out(cursor: Cursor, text: str) -> str:
    """The value of an expression with all its digits; the gradient where it is the name of a value.

    Words such as ``local`` speak of a contribution: there is an answer for each of the current step.
    Raises QueryError where it is not in the language, Refusal where it speaks of a step and none is done.
    """
    graph, step = cursor.trace.graph, cursor.current
    if text in cursor.positions and cursor.gradients[cursor.positions[text]] is None:
        return "none yet" if graph.nodes[cursor.positions[text]].requires_grad else "none: a constant"
    query = parse(text, cursor.positions)
    if not query.words:
        return _written(query(cursor.number))
    if step is None:
        raise Refusal(f"{min(query.words)!r} speaks of a step, and none is done yet: step first")
    answers = [(graph.nodes[c.operand], query(words_at(cursor, step, c))) for c in step.contributions]
    if not answers:
        raise Refusal(f"{min(query.words)!r} speaks of a contribution, and this step makes none")
    if len(answers) == 1:
        return _written(answers[0][1])
    return ", ".join(f"{_written(answer)} ({plain_name(node.name)})" for node, answer in answers)


def received(cursor: Cursor, position: int) -> str:
    """How much of a gradient has arrived: ``final``, ``1 of 2``, ``nothing``."""
    total, missing = cursor.expected[position], cursor.missing[position]
    if position == cursor.trace.graph.root.position:
        return "the seed"
    if not cursor.trace.graph.nodes[position].requires_grad:
        return "a constant"
    if not missing:
        return "final" if total else "nothing to come"
    return f"{total - missing} of {total}"


def _written(answer: float | bool) -> str:
    if isinstance(answer, bool):
        return "true" if answer else "false"
    return plain_number(answer)
