"""The command loop: reads a line, finds the command, and shows a refusal as one line."""

from __future__ import annotations

import cmd
import sys
from collections.abc import Iterable
from typing import IO

from microbp.debug.figures import figure
from microbp.debug.shell.completing import candidates
from microbp.debug.shell.helping import COMMANDS, found
from microbp.debug.shell.refusal import Refusal
from microbp.debug.shell.session import Session
from microbp.debug.words import counted
from microbp.errors import MicrobpError
from microbp.notation import plain_name

__all__ = ["Loop"]


class Loop(cmd.Cmd):
    """Reads commands for a session until it ends, from a person or from a file."""

    identchars = cmd.Cmd.identchars + "-"

    def __init__(self, session: Session, stdin: IO[str], commands: Iterable[str] = ()) -> None:
        super().__init__(stdin=stdin, stdout=session.screen.out)
        self.session = session
        #: Whether a person types: then there is history and completion, and an empty line repeats.
        standard = stdin is sys.stdin and session.screen.out is sys.stdout
        self.interactive = standard and stdin.isatty() and sys.stdout.isatty()
        self.use_rawinput = self.interactive
        self.commands = [*commands]
        #: How many commands were refused; a person at the keyboard has seen it.
        self.refused = 0
        self.last = ""

    def run(self) -> int:
        """Read and carry out commands until quit or the end of the input; how many were refused."""
        graph = self.session.trace.graph
        self.session.screen.line(
            f"{plain_name(graph.root.name)} = {figure(graph.root.data)}: {counted(len(graph), 'value')}, "
            f"{counted(len(self.session.cursor), 'step')}. help lists the commands."
        )
        self.session.show()
        self._prompted()
        for command in self.commands:
            if not self.session.ended:
                self.session.screen.line(f"{self.prompt}{command}")
                self.postcmd(self.onecmd(command), command)
        while not self.session.ended:
            self._read()
        return self.refused

    def _read(self) -> None:
        """Read until the session ends, or Ctrl-C at the prompt, which gives a new one."""
        try:
            self.cmdloop()
        except KeyboardInterrupt:
            self.session.screen.line("")
            self._mended()
        except UnicodeDecodeError as error:
            self._refuse(f"the commands are no {error.encoding} text: the session ends")
            self.session.ended = True

    def precmd(self, line: str) -> str:
        """What a file says is written behind the prompt, so that the output can be read."""
        if not self.interactive and line != "EOF":
            self.session.screen.line(line.rstrip())
        elif line == "EOF":
            self.session.screen.line("")
        return line

    def onecmd(self, line: str) -> bool:
        """Carry out one line; whether the session ends."""
        line = line.strip()
        if not line:
            if not self.interactive or not self.last:
                return False
            line = self.last
        if line.startswith("#"):
            return False
        word, _, text = line.partition(" ")
        if word not in _WORDS and word[0] == "?":
            word, text = "help", line[1:]
        self.last = ""
        try:
            command = found(word)
            if command.repeats:
                self.last = line
            command.run(self.session, text.strip())
        except (Refusal, MicrobpError) as error:
            self._refuse(str(error))
        except KeyboardInterrupt:
            self._mended()
            self.session.screen.line(("interrupted", "note"))
            self.session.show()
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 (a session goes on, whatever a command meets)
            self._refuse(f"{word}: {type(error).__name__}: {error}")
        return self.session.ended

    def postcmd(self, stop: bool, line: str) -> bool:  # noqa: ARG002
        """After each command, where the pass stands is the new prompt."""
        self._prompted()
        return stop

    def _prompted(self) -> None:
        """How many steps are done: ``(microbp 17/27) ``."""
        self.prompt = f"(microbp {self.session.cursor.step}/{len(self.session.cursor)}) "

    def _refuse(self, text: str) -> None:
        self.refused += not self.interactive
        self.session.screen.line(("error: ", "bad"), " ".join(text.split()))

    def _mended(self) -> None:
        """An interrupted walk may have left the gradients between two steps."""
        step = self.session.cursor.step
        self.session.cursor.restart()
        self.session.cursor.goto(step)

    def emptyline(self) -> bool:
        """An empty line; :meth:`onecmd` sees to it."""
        return False

    # ----------------------------------------------------------------------------------- completion
    def completenames(self, text: str, *_ignored: object) -> list[str]:
        """The commands that begin so."""
        return [f"{each.name} " for each in COMMANDS if each.name.startswith(text)]

    def completedefault(self, text: str, line: str, begidx: int, endidx: int) -> list[str]:  # noqa: ARG002
        """What can stand at the end of the line."""
        return candidates(self.session, line, begidx, endidx)


_WORDS = {word for each in COMMANDS for word in (each.name, *each.short)}
