"""The commands that move through the pass."""

from __future__ import annotations

from collections.abc import Callable

from microbp.debug.breakpoints import Stop, run
from microbp.debug.shell.command import Command
from microbp.debug.shell.refusal import Refusal, whole
from microbp.debug.shell.session import Session

__all__ = ["COMMANDS"]


def _step(session: Session, text: str) -> None:
    _not_at_the_end(session)
    session.show(_through(session, whole(text, "step [COUNT]"), back=False))


def _back(session: Session, text: str) -> None:
    _not_at_the_seed(session)
    session.show(_through(session, whole(text, "back [COUNT]"), back=True))


def _through(session: Session, count: int, *, back: bool) -> Stop | None:
    """Go so many steps, or to the first stop among them."""
    cursor = session.cursor
    end = max(0, cursor.step - count) if back else min(len(cursor), cursor.step + count)
    stop = None
    while stop is None and cursor.step != end:
        (cursor.back if back else cursor.forward)()
        stop = _stop_here(session)
    return stop


def _stop_here(session: Session) -> Stop | None:
    reasons = ((n, each.stops(session.cursor)) for n, each in enumerate(session.breakpoints.values()))
    met = tuple((n, reason) for n, reason in reasons if reason is not None)
    return Stop(session.cursor.step, met) if met else None


def _next(session: Session, text: str) -> None:
    _not_at_the_end(session)
    cursor, here = session.cursor, session.here
    if text:
        position = session.node(text).position
        _forward_to(session, lambda: position in _touched(session), f"no later step touches {text}")
    elif cursor.current is None or (here.site is None and not here.group):
        _step(session, "")
    else:
        _forward_to(session, lambda: (session.here.site, session.here.group) != (here.site, here.group))


def _return(session: Session, text: str) -> None:
    if text:
        raise Refusal("return takes no argument")
    _not_at_the_end(session)
    group = session.here.group
    if not group:
        raise Refusal(
            f"{session.here.name} is in no group; groups come from modules, and from microbp.group(name)"
        )
    _forward_to(session, lambda: session.here.group[: len(group)] != group)


def _forward_to(session: Session, there: Callable[[], bool], otherwise: str = "") -> None:
    """Go on until ``there()`` or a breakpoint; at the end, stay, or refuse and stay where it began."""
    cursor, start = session.cursor, session.cursor.step
    while cursor.step < len(cursor):
        cursor.forward()
        stop = _stop_here(session)
        if stop or there():
            session.show(stop)
            return
    if otherwise:
        cursor.goto(start)
        raise Refusal(otherwise)
    session.show()


def _touched(session: Session) -> set[int]:
    step = session.cursor.current
    return set() if step is None else {step.node, *(c.operand for c in step.contributions)}


def _continue(session: Session, text: str) -> None:
    if text:
        raise Refusal("continue takes no argument; to go to a step: goto STEP")
    _not_at_the_end(session)
    session.show(run(session.cursor, [*session.breakpoints.values()]))


def _reverse(session: Session, text: str) -> None:
    if text:
        raise Refusal("reverse-continue takes no argument; to go to a step: goto STEP")
    _not_at_the_seed(session)
    session.show(run(session.cursor, [*session.breakpoints.values()], back=True))


def _goto(session: Session, text: str) -> None:
    cursor = session.cursor
    if not text:
        raise Refusal("go where? usage: goto STEP, goto NAME or goto end")
    if text == "end":
        step = len(cursor)
    elif text.isdecimal() and text not in cursor.positions:
        step = whole(text, "goto STEP")
        if step > len(cursor):
            raise Refusal(f"there is no step {text}: this pass has the steps 0 to {len(cursor)}")
    else:
        node = session.node(text)
        if not node.requires_grad:
            raise Refusal(f"{text} is a constant: no step is about it")
        own = session.trace.step_of(node.position)
        step = session.trace.final_step(node.position) if own is None else own.index
    cursor.goto(step)
    session.show()


def _restart(session: Session, text: str) -> None:
    if text:
        raise Refusal("restart takes no argument")
    session.cursor.restart()
    session.show()


def _not_at_the_end(session: Session) -> None:
    count = len(session.cursor)
    if session.cursor.step == count:
        steps = f"all {count} steps are done" if count else "it has no steps"
        raise Refusal(f"the pass is complete: {steps}; go back, restart or quit")


def _not_at_the_seed(session: Session) -> None:
    if session.cursor.step == 0:
        raise Refusal("this is the seed: nothing comes before it")


COMMANDS = (
    Command(
        "step", ("s",), "[COUNT]", "do one step, or COUNT: a value passes its gradient on",
        _step, "", True,
    ),
    Command(
        "next", ("n",), "[NAME]", "go on to another line or group, or to what touches NAME\n"
        "A line of code, or a module, makes several values: next passes over them.\n"
        "A step touches the value that passes its gradient on, and those that receive it.",
        _next, "value", True,
    ),
    Command(
        "return", ("r",), "", "go on until out of the current group\n"
        "Groups are the calls of modules, and with microbp.group(name).", _return,
        "", True,
    ),
    Command("back", ("bk",), "[COUNT]", "undo one step, or COUNT", _back, "", True),
    Command(
        "continue", ("c", "cont"), "", "go on to the next breakpoint or watch, or to the end",
        _continue, "", True,
    ),
    Command(
        "reverse-continue", ("rc",), "", "go back to the latest earlier stop, or to the seed",
        _reverse, "", True,
    ),
    Command(
        "goto", ("g", "jump", "j"), "STEP|NAME|end", "go to where so many steps are done\n"
        "With a name: to the step in which that value passes its gradient on; of a\n"
        "leaf, to that in which its gradient becomes final.", _goto, "value",
    ),
    Command("restart", ("run",), "", "go back to the seed, step 0", _restart),
)  # fmt: skip
