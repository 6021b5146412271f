"""The commands that look at where the pass stands."""

from __future__ import annotations

from collections.abc import Iterable

from microbp.check.words import line_of
from microbp.debug.figures import figure
from microbp.debug.shell.command import Command
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.session import Session
from microbp.debug.shell.stopping import listed
from microbp.debug.shell.worked import received, worked_out
from microbp.debug.words import counted, equation, group_words, operation
from microbp.graph import Node
from microbp.notation import plain_name, plain_number
from microbp.spelling import did_you_mean
from microbp.tables import Table

__all__ = ["COMMANDS"]

#: A chain longer than this is shown by its two ends.
FRAMES = 12
#: A table of values is no longer than this.
ROWS = 60


def _print(session: Session, text: str) -> None:
    if not text:
        raise Refusal("print what? a name, or an expression: print w5.data - 0.5 * w5.grad")
    if text not in session.cursor.positions:
        session.screen.line(f"{text} = {worked_out(session.cursor, text)}")
        return
    node = session.node(text)
    site = [(f"   {line_of(node.site)}", "dim")] if node.site else []
    session.screen.line(f"{equation(session.trace.graph, node)}", *site)
    session.screen.line(f"  data {plain_number(node.data)}")
    gradient = session.cursor.gradients[node.position]
    shown = "none yet" if gradient is None and node.requires_grad else figure_or_none(gradient)
    session.screen.line(f"  grad {shown}   {received(session.cursor, node.position)}")


def figure_or_none(x: float | None) -> str:
    """A gradient with all its digits."""
    return "none" if x is None else plain_number(x)


def _show(session: Session, text: str) -> None:
    if text not in ("", "all"):
        raise Refusal(f"show takes nothing, or all; not {text!r}")
    session.show(every=text == "all")


def _where(session: Session, text: str) -> None:
    """The chain of values from the root to the current one: how its gradient got here."""
    node = session.node(text) if text else session.here
    nodes, users = session.trace.graph.nodes, session.users
    chain = [node]
    while (user := users[chain[-1].position]) is not None:
        chain.append(nodes[user])
    chain.reverse()
    for index, each in enumerate(chain):
        hidden = len(chain) - FRAMES
        if hidden > 0 and FRAMES // 2 <= index < len(chain) - FRAMES // 2:
            if index == FRAMES // 2:
                session.screen.line((f"  … {hidden} values between", "dim"))
            continue
        mark = ">" if each is node else " "
        where = [f"   {words}" for words in (group_words(each), each.site and line_of(each.site)) if words]
        session.screen.line(f"{mark} {equation(session.trace.graph, each)}", ("".join(where), "dim"))
    step, count = session.cursor.step, len(session.cursor)
    session.screen.line(f"step {step} of {count}; {count - step} to go")


def _list(session: Session, text: str) -> None:
    from microbp.debug.shell.source import excerpt

    session.screen.lines(excerpt(session, text))


def _info(session: Session, text: str) -> None:
    if not text:
        for topic, (_, told) in _TOPICS.items():
            session.screen.line(f"info {topic:12} {told}")
        return
    found = [topic for topic in _TOPICS if topic.startswith(text)]
    if len(found) != 1:
        near = did_you_mean(text, _TOPICS) or f"there are: {', '.join(_TOPICS)}"
        raise Refusal(f"there is no info {text!r}; {near}")
    _TOPICS[found[0]][0](session)


def _info_values(session: Session) -> None:
    _table(session, "named values", (node for node in session.trace.graph if node.named))


def _info_leaves(session: Session) -> None:
    _table(session, "leaves", (node for node in session.trace.graph if node.rule is None))


def _table(session: Session, title: str, nodes: Iterable[Node]) -> None:
    graph, cursor = session.trace.graph, session.cursor
    rows = [
        (
            plain_name(node.name), operation(graph, node), figure(node.data),
            figure(cursor.gradients[node.position], sign=True), received(cursor, node.position),
        )
        for node in nodes
    ]  # fmt: skip
    more = (f"{len(rows) - ROWS} more",) if len(rows) > ROWS else ()
    head = f"{title} after step {cursor.step} of {len(cursor)}"
    columns = ("name", "is", ">data", ">gradient", "received")
    session.screen.table(Table(head, columns, tuple(rows[:ROWS]), more))


def _info_pass(session: Session) -> None:
    graph, cursor = session.trace.graph, session.cursor
    leaves = sum(node.rule is None for node in graph)
    session.screen.line(
        f"{counted(len(graph), 'value')}, {leaves} of them leaves; root "
        f"{equation(graph, graph.root)} = {figure(graph.root.data)}"
    )
    waiting = sum(each > 0 for each in cursor.missing)
    final = sum(node.requires_grad for node in graph) - waiting
    session.screen.line(
        f"{counted(len(cursor), 'step')}, {cursor.step} done; "
        f"{counted(final, 'gradient')} final, {waiting} waiting for contributions"
    )


_TOPICS = {
    "breakpoints": (listed, "breakpoints and watches"),
    "values": (_info_values, "the values that have names, with their gradients so far"),
    "leaves": (_info_leaves, "the leaves, with their gradients so far"),
    "pass": (_info_pass, "the pass as a whole"),
}

COMMANDS = (
    Command(
        "print", ("p",), "NAME|EXPRESSION",
        "print a value, or an expression, with all digits\n"
        "Examples: print h1, print w5.grad, print w5.data - 0.5 * w5.grad, print local.\n"
        "h1.final is the gradient at the end. A name that is no plain word\n"
        "stands in quotes.",
        _print, "expression",
    ),
    Command("show", ("sh",), "[all]", "show the current step again; all: all its contributions", _show),
    Command(
        "where", ("w", "bt"), "[NAME]", "show the chain of values from the root to here", _where, "value",
    ),
    Command(
        "list", ("l",), "[LINE[, LINE]|.]", "list the source around the current line; again: go on",
        _list, "", True,
    ),
    Command("info", ("i",), "[TOPIC]", "breakpoints, values, leaves, pass", _info, "topic"),
)  # fmt: skip
