"""The commands that help, and the one that ends the session."""

from __future__ import annotations

from microbp.debug.shell import judging, looking, moving, stopping
from microbp.debug.shell.command import Command
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.session import Session
from microbp.spelling import did_you_mean

__all__ = ["COMMANDS", "GROUPS", "found"]


def found(word: str) -> Command:
    """The command of a name or a short form; Refusal says which is near."""
    for each in COMMANDS:
        if word in (each.name, *each.short):
            return each
    names = [each.name for each in COMMANDS]
    raise Refusal(f"there is no command {word!r}; {did_you_mean(word, names) or 'help lists them'}")


def _help(session: Session, text: str) -> None:
    if text:
        command = found(text)
        session.screen.line((f"{command.name} {command.usage}".rstrip(), "head"))
        if command.short:
            session.screen.line(f"short: {', '.join(command.short)}")
        session.screen.text(command.help[0].upper() + command.help[1:])
        return
    for title, commands in GROUPS.items():
        session.screen.line((title, "head"))
        for each in commands:
            short = each.short[0] if each.short else ""
            summary = each.help.partition("\n")[0]
            session.screen.line(f"  {each.name:17} {short:4} {summary}")
    session.screen.line("An empty line moves on as before. help COMMAND says more.")


def _quit(session: Session, text: str) -> None:
    if text:
        raise Refusal("quit takes no argument")
    session.ended = True


#: The commands as help lists them.
GROUPS: dict[str, tuple[Command, ...]] = {
    "move": moving.COMMANDS,
    "stop": stopping.COMMANDS,
    "look": looking.COMMANDS,
    "judge": judging.COMMANDS,
    "else": (
        Command("help", ("h", "?"), "[COMMAND]", "list the commands, or say more of one", _help, "command"),
        Command("quit", ("q", "exit", "EOF"), "", "end the session", _quit),
    ),
}
COMMANDS = tuple(command for commands in GROUPS.values() for command in commands)
