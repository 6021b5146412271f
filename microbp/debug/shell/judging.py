"""The commands that explain and judge a gradient, and keep a pass to compare another with."""

from __future__ import annotations

import re
from pathlib import Path

from microbp.check import audit
from microbp.check.operation import verdicts
from microbp.check.words import operand_words
from microbp.complexstep import check_rule
from microbp.debug.paths import paths
from microbp.debug.shell.command import Command
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.session import Session
from microbp.debug.trace import NotATrace, Trace
from microbp.files import write_file
from microbp.notation import plain_name
from microbp.tables import Table

__all__ = ["COMMANDS"]


def _explain(session: Session, text: str) -> None:
    from microbp.debug.explain import explain

    name, language, rate = text, "en", None
    while name not in session.cursor.positions and (found := _OPTION.search(name)):
        name, language = name[: found.start()], found["language"] or language
        rate = _rate(found["rate"]) if found["rate"] else rate
    node = session.node(name) if name else session.here
    told = explain(session.trace.graph, node.name, names={}, language=language, rate=rate)
    session.screen.text(str(told))


#: What may stand behind the name: the language, and the learning rate.
_OPTION = re.compile(r"(?:^|\s+)(?:(?P<language>en|zh)|rate=(?P<rate>\S*))$")


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refusal(f"{text!r} is not a learning rate; for instance: rate=0.5") from None


def _path(session: Session, text: str) -> None:
    name, _, count = text.rpartition(" ") if text.rpartition(" ")[2].isdecimal() else (text, "", "5")
    node = session.node(name.strip()) if name else session.here
    session.screen.table(paths(session.trace.graph, node.name, k=min(int(count), 1000)).table())


def _check(session: Session, text: str) -> None:
    """The recorded local derivatives of one node against measured ones; of all nodes by ``audit``."""
    if text == "all" and "all" not in session.cursor.positions:
        if session.loss is None:
            raise Refusal("check all needs the value itself; this session began with a graph: check NAME")
        session.screen.table(audit(session.loss, show=False, names=session.names).table())
        return
    node = session.node(text) if text else session.here
    if node.rule is None:
        raise Refusal(f"{node.name} is a leaf: it has no local derivative to check")
    graph = session.trace.graph
    found = verdicts(node, [each.data for each in graph])
    rows = tuple(
        (words, stated, verdict.measured, f"{verdict.word}: {verdict.why}" if verdict.why else verdict.word)
        for words, stated, verdict in zip(
            operand_words(graph, node), node.local_derivatives, found, strict=True
        )
        if verdict is not None
    )
    rule = check_rule(node.rule)
    told = f"agrees at {rule.points} points" if rule.ok else "DISAGREES: see check_rule"
    if not rule.rows:
        told = "has no smooth interval to check it in"
    title = f"local derivatives of {plain_name(node.name)}, recorded and measured"
    note = f"the rule {node.rule}: {told}"
    session.screen.table(Table(title, ("operand", ">recorded", ">measured", "verdict"), rows, (note,)))


def _diagnose(session: Session, text: str) -> None:
    from microbp.debug.diagnose import diagnose

    if text:
        raise Refusal("diagnose takes no argument: it looks at the whole pass")
    session.screen.text(
        str(
            diagnose(
                session.trace.graph if session.loss is None else session.loss, names=session.names, show=False
            )
        )
    )


def _save(session: Session, text: str) -> None:
    if not text:
        raise Refusal("save where? usage: save FILE")
    try:
        write_file(text, session.trace.to_json())
    except OSError as error:
        raise Refusal(f"cannot write {text}: {error.strerror}") from None
    session.screen.line(f"written: {text}; compare another run with it by: diff {text}")


def _diff(session: Session, text: str) -> None:
    if not text:
        raise Refusal("compare with what? usage: diff FILE, a trace that save wrote")
    try:
        other = Trace.from_json(Path(text).read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(f"cannot read {text}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refusal(f"{text} is not a trace: it is not text") from None
    except NotATrace as error:
        raise Refusal(f"{text}: {error}") from None
    session.screen.table(session.trace.diff(other).table())


COMMANDS = (
    Command(
        "explain", ("ex",), "[NAME] [rate=RATE] [zh]", "explain a gradient by the chain rule\n"
        "With a rate the update of gradient descent follows; zh is for Chinese.",
        _explain, "value",
    ),
    Command(
        "path", (), "[NAME] [COUNT]", "show the largest paths by which a gradient arrives", _path, "value",
    ),
    Command(
        "check", ("ch",), "[NAME|all]", "compare the local derivatives here with measured ones\n"
        "check all audits every node, and how the gradients are summed up.", _check, "value",
    ),
    Command(
        "diagnose", (), "", "say what is wrong with the gradients, and what to try", _diagnose,
    ),
    Command("save", (), "FILE", "write the trace as JSON", _save),
    Command("diff", (), "FILE", "show where this pass begins to differ from a saved one", _diff),
)  # fmt: skip
