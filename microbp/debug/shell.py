"""``step``: the debugger in the terminal, on ``cmd.Cmd``: a pass, a place in it, and what the user has set.

It asks with Python's ``input()``, in a terminal with history and completion, in a notebook in its own box;
or it reads lines from a file. Every command is a method; its docstring is its help.
"""

from __future__ import annotations

import builtins
import cmd
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import BuiltinFunctionType
from typing import IO, Any

from microbp.check import audit
from microbp.check.auditing import verdicts
from microbp.check.words import line_of, operand_words
from microbp.complexstep import check_rule
from microbp.debug.breakpoints import (
    ASPECTS,
    WORDS,
    Breakpoint,
    Expression,
    Place,
    breakpoint_at,
    figure,
    nothing_called,
    watch_on,
)  # fmt: skip
from microbp.debug.diagnose import diagnose
from microbp.debug.explain import explain
from microbp.debug.passes import Contribution
from microbp.debug.paths import paths
from microbp.debug.screen import Screen, shown
from microbp.debug.trace import Trace, trace
from microbp.debug.words import counted, equation, group_words, operation
from microbp.errors import MicrobpError
from microbp.graph import Graph, Node
from microbp.notation import plain_name, plain_number
from microbp.sites import user_scope
from microbp.spelling import did_you_mean
from microbp.tables import Table
from microbp.value import Value

__all__ = ["COMMANDS", "Refusal", "Shell", "step"]

#: The commands as help lists them: the short forms of each, what may follow, what that is completed with.
GROUPS: dict[str, dict[str, tuple[str, str, str]]] = {
    "move": {
        "step": ("s", "[COUNT]", ""),
        "next": ("n", "[NAME]", "value"),
        "return": ("r", "", ""),
        "back": ("bk", "[COUNT]", ""),
        "continue": ("c cont", "", ""),
        "reverse-continue": ("rc", "", ""),
        "goto": ("g jump j", "STEP|NAME|end", "value"),
        "forward": ("f", "[NAME]", "value"),
        "restart": ("run", "", ""),
    },
    "stop": {
        "break": ("b", "[PLACE] [if CONDITION]", "place"),
        "watch": ("wa", "NAME [if CONDITION]", "place"),
        "delete": ("d clear", "NUMBER ...|all", "breakpoint"),
        "display": ("", "[EXPRESSION]", "expression"),
        "undisplay": ("", "[EXPRESSION]", "expression"),
    },
    "look": {
        "print": ("p", "NAME|EXPRESSION", "expression"),
        "show": ("sh", "[all]", ""),
        "where": ("w bt", "[NAME]", "value"),
        "list": ("l", "[LINE|.]", ""),
        "info": ("i", "", ""),
    },
    "judge": {
        "explain": ("ex", "[NAME] [rate=RATE] [zh]", "value"),
        "path": ("", "[NAME] [COUNT]", "value"),
        "check": ("ch", "[NAME|all]", "value"),
        "diagnose": ("", "", ""),
        "update": ("u", "[NAME] [rate=RATE]", "value"),
    },
    "else": {
        "help": ("h ?", "[COMMAND]", "command"),
        "quit": ("q exit EOF", "", ""),
    },
}
COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}
ALIASES = {word: name for name, (short, *_) in COMMANDS.items() for word in (name, *short.split())}
#: An empty line of a person does these again.
REPEATED = {"step", "next", "return", "back", "continue", "reverse-continue", "list", "forward"}
#: A chain of values is shown by its ends, a table and a listing of the source have no more lines; no more
#: candidates are offered.
FRAMES, ROWS, LINES, OFFERED = 12, 60, 11, 200
#: What may stand behind a name.
_OPTION = re.compile(r"(?:^|\s+)(?:(?P<language>en|zh)|rate=(?P<rate>\S*))$")
_CONDITIONS = (
    "A condition is plain Python over values by name (h1.grad, h1.data), functions\n"
    "such as abs and log, variables of the script, and words for what is received:\n"
) + "\n".join(f"  {word:13} {meaning}" for word, meaning in WORDS.items())


class Refusal(Exception):
    """A command cannot be carried out; the text is the one line that says why."""


class Shell(cmd.Cmd):
    """A session over a pass; ``run()`` returns how many commands were refused.

    ``stdin`` and ``stdout`` are files; where neither is given it asks whoever sits before the screen.
    """

    def __init__(
        self, trace: Trace, loss: Value | None = None, names: Mapping[str, Any] | None = None,
        commands: Iterable[str] = (), stdin: IO[str] | None = None, stdout: IO[str] | None = None,
    ) -> None:  # fmt: skip
        asks = stdin is None and stdout is None
        at_terminal = asks and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
        #: Whether a person types: then there is history and completion, and an empty line repeats. A
        #: notebook has an ``input()`` of its own.
        self.interactive = at_terminal or (asks and not isinstance(builtins.input, BuiltinFunctionType))
        super().__init__("tab" if at_terminal else None, stdin, stdout)  # type: ignore[arg-type]
        self.use_rawinput = asks
        self.trace, self.graph, self.loss, self.names = trace, trace.graph, loss, names or {}
        self.place = Place(trace)
        self.screen = Screen(self.stdout)
        self.line = self.screen.line
        self.commands = [*commands]
        #: Breakpoints and watches by their numbers, which are never given twice.
        self.breakpoints: dict[int, Breakpoint] = {}
        self.given = 0
        self.displays: dict[str, Expression] = {}
        #: Where ``list`` goes on: file and line; None: around the current line.
        self.listed: tuple[str, int] | None = None
        #: How many commands were refused; a person at the keyboard has seen it.
        self.refused = 0
        self.last, self.ended = "", False

    # ------------------------------------------------------------------------------------ the loop
    def run(self) -> int:
        """Carry out the commands given, then read others until quit or the end of the input."""
        root = self.graph.root
        self.line(
            f"{plain_name(root.name)} = {figure(root.data)}: {counted(len(self.graph), 'value')}, "
            f"{counted(len(self.trace), 'step')}. help lists the commands."
        )
        self.show()
        for command in self.commands:
            if not self.ended:
                self.line(f"{self.prompt}{command}")
                self.onecmd(command)
        while not self.ended:
            self._read()
        return self.refused

    def _read(self) -> None:
        """Read until the session ends, or Ctrl-C at the prompt, which gives a new one."""
        try:
            self.cmdloop()
        except KeyboardInterrupt:
            self.line("")
        except UnicodeDecodeError as error:
            self._refuse(f"the commands are no {error.encoding} text: the session ends")
            self.ended = True

    @property
    def prompt(self) -> str:  # type: ignore[override]
        """How many steps are done: ``(microbp 17/27) ``; on the way forward: ``(microbp forward 3/27) ``."""
        count = len(self.place.computed)
        at = f"{self.place.at}/{len(self.trace)}"
        return f"(microbp {at if self.place.at >= 0 else f'forward {count + 1 + self.place.at}/{count}'}) "

    def precmd(self, line: str) -> str:
        """What a file says is written behind the prompt, so that the output can be read."""
        if not self.interactive or line == "EOF":
            self.line("" if line == "EOF" else line.rstrip())
        return line

    def onecmd(self, line: str) -> bool:
        """Carry out one line; whether the session ends."""
        line = line.strip() or (self.last if self.interactive else "")
        if not line or line.startswith("#"):
            return False
        word, _, text = ("help", "", line[1:]) if line[0] == "?" else line.partition(" ")
        self.last, start = "", self.place.at
        try:
            command, carried_out = self._command(word, text.strip())
            if command in REPEATED:
                self.last = line
            carried_out(text.strip())
        except KeyboardInterrupt:
            self.line(("interrupted", "note"))
            self.show()
        except (Refusal, MicrobpError) as error:
            self.place.at = start
            self._refuse(str(error))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 (a session goes on, whatever a command meets)
            self._refuse(f"{word}: {type(error).__name__}: {error}")
        return self.ended

    def _command(self, word: str, text: str) -> tuple[str, Callable[[str], None]]:
        """The command of that name, which takes the text."""
        name = self._found(word)
        usage = COMMANDS[name][1]
        if text and not usage:
            raise Refusal(f"{name} takes no argument")
        if not text and usage and usage[0] != "[":
            raise Refusal(f"{name} what? usage: {name} {usage}")
        return name, getattr(self, f"do_{name.replace('-', '_')}")

    def _found(self, word: str) -> str:
        if word in ALIASES:
            return ALIASES[word]
        raise Refusal(f"there is no command {word!r}; {did_you_mean(word, COMMANDS) or 'help lists them'}")

    def emptyline(self) -> bool:
        """An empty line; :meth:`onecmd` sees to it."""
        return False

    def _refuse(self, text: str) -> None:
        self.refused += not self.interactive
        self.line(("error: ", "bad"), " ".join(text.split()))

    def show(self, stop: Sequence[tuple[int, str]] = (), *, every: bool = False) -> None:
        """Show the current place, why the run stopped here, and what is displayed at every stop."""
        self.listed = None
        for number, reason in stop:
            kind = "watch" if self.breakpoints[number].kind == "watch" else "breakpoint"
            self.line((f"{kind} {number}: {reason}", "note"))
        for each in shown(self.place, every=every):
            self.line(*each)
        if self.place.at == len(self.trace):
            self.line(("  the pass is complete: every gradient is final", "good"))
        self.do_display("")

    def node(self, name: str) -> Node:
        """The value of that name, without one the current one."""
        if not name:
            return self.place.node
        if name not in self.graph._called:
            raise nothing_called(name, self.graph)
        return self.graph.nodes[self.graph._called[name]]

    # ------------------------------------------------------------------------------------ completion
    def completenames(self, text: str, *_: object) -> list[str]:
        """The commands that begin so."""
        return [f"{name} " for name in COMMANDS if name.startswith(text)]

    def completedefault(self, _text: str, line: str, begidx: int, endidx: int) -> list[str]:
        """What can stand at the end of the line.

        Names hold characters at which readline breaks words, so that the whole word is looked at; what is
        offered begins where readline's word does.
        """
        begins = max(line.rfind(" ", 0, endidx), line.rfind("\t", 0, endidx)) + 1
        word = line[begins:endidx]
        command = ALIASES.get(line.lstrip().partition(" ")[0])
        given = zip(self.graph.names, self.graph.named, strict=True)
        names = [name for name, named in given if named or word.startswith("v")]
        name, dot, _ = word.rpartition(".")
        aspects = [f"{name}.{each}" for each in ASPECTS] if dot and name in self.graph._called else []
        offered = {
            "value": names, "place": [*names, *sorted(rule.name for rule in self.graph.rules), *WORDS, "if"],
            "expression": [*aspects, *names, *WORDS], "breakpoint": [*map(str, self.breakpoints), "all"],
            "command": [*COMMANDS],
        }.get(COMMANDS[command][2] if command else "", [])  # fmt: skip
        return [each[begidx - begins :] for each in offered if each.startswith(word)][:OFFERED]

    # ------------------------------------------------------------------------------------------ move
    def _go(self, there: Callable[[], bool], *, back: bool = False, end: int | None = None) -> bool:
        """Go on until ``there()`` or a breakpoint, and show it; at the end, whether either was met."""
        if end is None:  # the way forward is gone through only by one who is on it
            at, (first, last) = self.place.at, self.place.ends
            end = (0 if at > 0 else first) if back else (last if at >= 0 else 0)
        while self.place.at != end:
            self.place.at += -1 if back else 1
            reasons = ((number, each.stops(self.place)) for number, each in self.breakpoints.items())
            stop = [(number, reason) for number, reason in reasons if reason is not None]
            if stop or there():
                self.show(stop)
                return True
        return False

    def _count(self, command: str, text: str) -> int:
        if text and (not text.isdecimal() or len(text) > 18):
            raise Refusal(f"{text!r} is not a number; usage: {command} {COMMANDS[command][1]}")
        return int(text or 1)

    def _more_to_come(self) -> None:
        if self.place.at == len(self.trace):
            steps = f"all {len(self.trace)} steps are done" if len(self.trace) else "it has no steps"
            raise Refusal(f"the pass is complete: {steps}; go back, restart or quit")

    def _more_before(self) -> None:
        if self.place.at == self.place.ends[0]:
            raise Refusal("this is the first value that was computed: nothing comes before it")

    def _steps(self, count: int) -> None:
        first, last = self.place.ends
        goal = max(first, min(last, self.place.at + count))
        self._go(lambda: self.place.at == goal, back=count < 0, end=goal)

    def do_step(self, text: str) -> None:
        """Do one step, or COUNT: a value passes its gradient on."""
        self._more_to_come()
        self._steps(self._count("step", text))

    def do_back(self, text: str) -> None:
        """Undo one step, or COUNT, also before the seed."""
        self._more_before()
        self._steps(-self._count("back", text))

    def do_next(self, text: str) -> None:
        """Go on to another line or group, or to what touches NAME.

        A line of code, or a module, makes several values: next passes over them.
        A step touches the value that passes its gradient on, and those that receive it.
        """
        self._more_to_come()
        here = self.place.node
        if text:
            position = self.node(text).position
            if not self._go(lambda: position in self._touched()):
                raise Refusal(f"no later step touches {text}")
        elif not self.place.at or (here.site is None and not here.group):
            self._steps(1)
        elif not self._go(lambda: (self.place.node.site, self.place.node.group) != (here.site, here.group)):
            self.show()

    def _touched(self) -> set[int]:
        step = self.place.step
        return {self.place.node.position, *(each.operand for each in (step.contributions if step else ()))}

    def do_return(self, _: str) -> None:
        """Go on until out of the current group.

        Groups are the calls of modules, and with microbp.group(name).
        """
        self._more_to_come()
        here = self.place.node
        if not here.group:
            told = "groups come from modules, and from microbp.group(name)"
            raise Refusal(f"{here.name} is in no group; {told}")
        if not self._go(lambda: self.place.node.group[: len(here.group)] != here.group):
            self.show()

    def do_continue(self, _: str) -> None:
        """Go on to the next breakpoint or watch, or to the end."""
        self._more_to_come()
        if not self._go(lambda: False):
            self.show()

    def do_reverse_continue(self, _: str) -> None:
        """Go back to the latest earlier stop, or to the seed."""
        self._more_before()
        if not self._go(lambda: False, back=True):
            self.show()

    def do_goto(self, text: str) -> None:
        """Go to where so many steps are done.

        With a name: to the step in which that value passes its gradient on; of a
        leaf, to that in which its gradient becomes final.
        """
        if text == "end":
            self.place.at = len(self.trace)
        elif text.isdecimal() and text not in self.graph._called:
            step = self._count("goto", text)
            if step > len(self.trace):
                raise Refusal(f"there is no step {text}: this pass has the steps 0 to {len(self.trace)}")
            self.place.at = step
        else:
            node = self.node(text)
            if not node.requires_grad:
                raise Refusal(f"{text} is a constant: no step is about it")
            own = self.trace.step_of(node.position)
            self.place.at = self.trace.final_step(node.position) if own is None else own.index
        self.show()

    def do_forward(self, text: str) -> None:
        """See how a value came about, or the first of all.

        From there step goes on, value by value, to the root, and into the way back.
        """
        if self.place.ends[0] == 0:
            raise Refusal(f"{self.graph.root.name} is a leaf: nothing was computed")
        node = self.node(text) if text else self.place.computed[0]
        if node.rule is None:
            raise Refusal(f"{text} is a leaf: it was given, not computed")
        self.place.at = self.place.computed.index(node) - len(self.place.computed)
        self.show()

    def do_restart(self, _: str) -> None:
        """Go back to the seed, step 0."""
        self.place.at = 0
        self.show()

    # ------------------------------------------------------------------------------------------ stop
    def do_break(self, text: str) -> None:
        """Stop where a value passes its gradient on; or list.

        A place is the name of a value, an operation, or a line of the source.
        A leaf passes nothing on: there it stops where the leaf receives. On the way
        forward it stops where the value is computed.
        Examples: break h1, break sigmoid, break 12, break net.py:12,
        break if not finite, break mul if abs(grad) > 10, break sign_change
        {words}
        """
        if text:
            site = self.place.node.site
            file = site.rpartition(":")[0] if site else None
            self._set(breakpoint_at(self.trace, text, file=file, variables=self.names))
            return
        if not self.breakpoints:
            self.line("no breakpoint and no watch is set")
        for number, point in self.breakpoints.items():
            self.line(f"{number:3}  {point}")

    def do_watch(self, text: str) -> None:
        """Stop whenever a value receives a contribution.

        {words}
        """
        self._set(watch_on(self.trace, text, variables=self.names))

    def _set(self, point: Breakpoint) -> None:
        self.given += 1
        self.breakpoints[self.given] = point
        kind = "watch" if point.kind == "watch" else "breakpoint"
        places = f"; {len(point.nodes)} values" if point.nodes is not None and len(point.nodes) > 1 else ""
        self.line((f"{kind} {self.given}: {point}{places}", "note"))

    def do_delete(self, text: str) -> None:
        """Delete breakpoints and watches."""
        words = [*map(str, self.breakpoints)] if text == "all" else text.replace(",", " ").split()
        for word in words or ["all"]:
            if not word.isdecimal() or int(word) not in self.breakpoints:
                there = ", ".join(map(str, self.breakpoints)) or "none"
                raise Refusal(f"there is no breakpoint {word}; there are: {there}")
        for word in dict.fromkeys(words):
            self.line((f"deleted {word}: {self.breakpoints.pop(int(word))}", "note"))

    def do_display(self, text: str) -> None:
        """Show an expression after every stop; or list."""
        if text and text not in self.displays:
            self.displays[text] = Expression(text, self.trace, self.names)
        for each in [text] if text else self.displays:
            self.line(f"  {each} = {self._worked_out(self.displays[each], quiet=True)}")

    def do_undisplay(self, text: str) -> None:
        """Show it no longer; or none of them."""
        if text and text not in self.displays:
            raise Refusal(f"{text!r} is not displayed; what is: {', '.join(self.displays) or 'nothing'}")
        self.displays = {each: held for each, held in self.displays.items() if text and each != text}

    # ------------------------------------------------------------------------------------------ look
    def do_print(self, text: str) -> None:
        """Print a value, or an expression, with all digits.

        Examples: print h1, print w5.grad, print w5.data - 0.5 * w5.grad, print local.
        h1.final is the gradient at the end.
        """
        if text not in self.graph._called:
            self.line(f"{text} = {self._worked_out(Expression(text, self.trace, self.names))}")
            return
        node = self.node(text)
        self.line(equation(self.graph, node), *self._site(node))
        self.line(f"  data {plain_number(node.data)}")
        gradient = self.place.gradient(node.position)
        none = "none yet" if node.requires_grad else "none"
        told = none if gradient is None else plain_number(gradient)
        self.line(f"  grad {told}   {self.place.received(node.position)}")

    def _site(self, node: Node) -> list[tuple[str, str]]:
        return [(f"   {line_of(node.site)}", "dim")] if node.site else []

    def _worked_out(self, expression: Expression, *, quiet: bool = False) -> str:
        """The value of an expression with all its digits, for each contribution if it speaks of such.

        Of what has no value a Refusal says why; a dash where ``quiet``.
        """
        try:
            given = self._contributions(expression.words[0]) if expression.words else [None]
            answers = [(each, _written(expression(self.place, each))) for each in given]
        except Exception as error:
            if quiet:
                return "-"
            if isinstance(error, Refusal):
                raise
            none = "a value in it has no gradient yet" if "NoneType" in str(error) else error
            raise Refusal(f"{expression}: {none}") from None
        if len(answers) == 1:
            return answers[0][1]
        return ", ".join(f"{told} ({plain_name(self.graph.names[at.operand])})" for at, told in answers if at)

    def _contributions(self, word: str) -> Sequence[Contribution]:
        step = self.place.step
        if step is None:
            raise Refusal(f"{word!r} speaks of a step, and none is done yet: step first")
        if not step.contributions:
            raise Refusal(f"{word!r} speaks of a contribution, and this step makes none")
        return step.contributions

    def do_show(self, text: str) -> None:
        """Show the current step again; all: all its contributions."""
        if text not in ("", "all"):
            raise Refusal(f"show takes nothing, or all; not {text!r}")
        self.show(every=text == "all")

    def do_where(self, text: str) -> None:
        """Show the chain of values from the root to here."""
        node = self.node(text)
        chain = [node]
        while own := self.trace.received[chain[-1].position]:
            chain.append(self.graph.nodes[own[0].user])
        for index, each in enumerate(reversed(chain)):
            if len(chain) > FRAMES and FRAMES // 2 <= index < len(chain) - FRAMES // 2:
                if index == FRAMES // 2:
                    self.line((f"  … {len(chain) - FRAMES} values between", "dim"))
                continue
            group = [(f"   {group_words(each)}", "dim")] if each.group else []
            mark = ">" if each is node else " "
            self.line(f"{mark} {equation(self.graph, each)}", *group, *self._site(each))
        count, done = len(self.trace), max(self.place.at, 0)
        self.line(f"step {done} of {count}; {count - done} to go")

    def do_list(self, text: str) -> None:
        """List the source around the current line; again: go on."""
        here = self.place.node
        if here.site is None:
            raise Refusal(
                f"the line of {here.name} is not known: call microbp.record_sites() before computing, or use "
                "microbp step SCRIPT"
            )
        file, _, number = here.site.rpartition(":")
        lines = linecache.getlines(file)
        if text not in ("", "."):
            first = max(1, self._count("list", text) - LINES // 2)
        elif not text and self.listed is not None and self.listed[0] == file:
            first = self.listed[1]
        else:
            first = max(1, int(number) - LINES // 2)
        if first > len(lines):
            raise Refusal(f"{line_of(file)} ends at line {len(lines)}")
        last = min(first + LINES - 1, len(lines))
        self.listed = file, last + 1
        on_lines = [each.nodes or () for each in self.breakpoints.values() if each.kind == "line"]
        marked = {self.graph.sites[position] for nodes in on_lines for position in nodes}
        self.line((line_of(file), "dim"))
        for at in range(first, last + 1):
            current = at == int(number)
            stop, mark = "B" if f"{file}:{at}" in marked else " ", "->" if current else "  "
            source = lines[at - 1].rstrip().expandtabs(4)
            self.line((f"{at:5} {stop}{mark} {source}", "head" if current else ""))

    def do_info(self, _: str) -> None:
        """Show leaves and named values, and their gradients."""
        nodes = [node for node in self.graph if node.named or node.rule is None]
        rows = [
            (plain_name(node.name), operation(self.graph, node), figure(node.data),
             figure(self.place.gradient(node.position), sign=True), self.place.received(node.position))
            for node in nodes
        ]  # fmt: skip
        title = f"values after step {max(self.place.at, 0)} of {len(self.trace)}"
        self._table(title, ("name", "is", ">data", ">gradient", "received"), rows)

    def _table(self, title: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the first rows of a table."""
        more = (f"{len(rows) - ROWS} more",) if len(rows) > ROWS else ()
        self.screen.table(Table(title, columns, tuple(rows[:ROWS]), more))

    # ----------------------------------------------------------------------------------------- judge
    def _options(self, text: str) -> tuple[str, dict[str, Any]]:
        """The name, and what may stand behind it: the language, and the learning rate."""
        options: dict[str, Any] = {}
        while text not in self.graph._called and (found := _OPTION.search(text)):
            text = text[: found.start()]
            if found["language"]:
                options["language"] = found["language"]
                continue
            try:
                options["rate"] = float(found["rate"])
            except ValueError:
                told = f"{found['rate']!r} is not a learning rate; for instance: rate=0.5"
                raise Refusal(told) from None
        return text, options

    def do_explain(self, text: str) -> None:
        """Explain a gradient by the chain rule.

        With a rate the update of gradient descent follows; zh is for Chinese.
        """
        name, options = self._options(text)
        self.screen.text(explain(self.graph, self.node(name).name, names={}, **options))

    def do_path(self, text: str) -> None:
        """Show the largest paths by which a gradient arrives."""
        name, _, count = text.rpartition(" ") if text.rpartition(" ")[2].isdecimal() else (text, "", "5")
        found = paths(self.graph, self.node(name.strip()).name, k=min(int(count), 1000))
        self.screen.table(found.table())

    def do_check(self, text: str) -> None:
        """Compare the local derivatives here with measured ones.

        check all audits every node, and how the gradients are summed up.
        """
        if text == "all" and "all" not in self.graph._called:
            if self.loss is None:
                raise Refusal("check all needs the value itself; this session began with a graph: check NAME")
            self.screen.table(audit(self.loss, show=False, names=self.names).table())
            return
        node = self.node(text)
        if node.rule is None:
            raise Refusal(f"{node.name} is a leaf: it has no local derivative to check")
        found = verdicts(node, self.graph.data.tolist())
        rows = [
            (words, stated, each.measured, f"{each.word}: {each.why}" if each.why else each.word)
            for words, stated, each in zip(
                operand_words(self.graph, node), node.local_derivatives, found, strict=True
            )
            if each is not None
        ]
        title = f"local derivatives of {plain_name(node.name)}, recorded and measured"
        self._table(title, ("operand", ">recorded", ">measured", "verdict"), rows)
        rule = check_rule(node.rule)
        told = f"agrees at {rule.points} points" if rule.ok else "DISAGREES: see check_rule"
        self.line("")
        self.line(f"the rule {node.rule}: {told if rule.rows else 'has no smooth interval to check it in'}")

    def do_diagnose(self, _: str) -> None:
        """Say what is wrong with the gradients, and what to try."""
        loss = self.graph if self.loss is None else self.loss
        self.screen.text(diagnose(loss, names=self.names, show=False))

    def do_update(self, text: str) -> None:
        """Show the step of gradient descent that follows the pass.

        Of all leaves that take a gradient, or of NAME; the rate is 0.1 unless given.
        """
        name, options = self._options(text)
        rate = options.get("rate", 0.1)
        leaves = [node for node in self.graph if node.rule is None and node.requires_grad]
        rows = []
        for node in [self.node(name)] if name else leaves:
            gradient = self.trace.gradient(node.position)
            if node.rule is not None or gradient is None:
                raise Refusal(f"{node.name} is no leaf that takes a gradient: nothing updates it")
            new = plain_number(node.data - rate * gradient, 9, padded=True)
            rows.append((plain_name(node.name), figure(node.data), figure(gradient, sign=True), new))
        title = f"the update with the learning rate η = {figure(rate)}: data − η·gradient"
        self._table(title, ("name", ">data", ">gradient", ">new data"), rows)

    # ------------------------------------------------------------------------------------------ else
    def do_help(self, text: str) -> None:
        """List the commands, or say more of one."""
        if text:
            name = self._found(text)
            short, usage, _ = COMMANDS[name]
            self.line((f"{name} {usage}".rstrip(), "head"))
            if short:
                self.line(f"short: {', '.join(short.split())}")
            self.screen.text(self._told(name))
            return
        for title, commands in GROUPS.items():
            self.line((title, "head"))
            for name, (short, *_) in commands.items():
                summary = self._told(name).partition("\n")[0].removesuffix(".")
                self.line(f"  {name:17} {short.partition(' ')[0]:4} {summary[0].lower()}{summary[1:]}")
        self.line("An empty line moves on as before. help COMMAND says more.")

    def _told(self, name: str) -> str:
        lines = getattr(self, f"do_{name.replace('-', '_')}").__doc__.splitlines()
        return "\n".join(line.strip() for line in lines if line.strip()).replace("{words}", _CONDITIONS)

    def do_quit(self, _: str) -> None:
        """End the session."""
        self.ended = True


def _written(answer: Any) -> str:
    if answer is None:
        return "none yet"
    if isinstance(answer, bool):
        return str(answer).lower()
    return plain_number(answer) if isinstance(answer, float) else repr(answer)


def step(
    loss: Value | Graph | Trace,
    names: Mapping[str, Any] | None = None,
    *,
    commands: Iterable[str] = (),
    stdin: IO[str] | None = None,
    stdout: IO[str] | None = None,
) -> int:
    """Step through the backward pass from ``loss`` in the terminal, forwards and back.

    ``commands`` are carried out first; then commands are asked for with ``input()``, also in a notebook, or
    read from ``stdin``, until ``quit`` or its end. They are those of Python's debugger: step, next, continue,
    break, watch, print, where, list, … and back, reverse-continue, and forward, which shows how a value came
    about; ``help`` lists them. ``names`` maps names to Values, the variables of the caller unless it is
    given. No ``grad`` is read or changed.

    Returns how many commands were refused: 0 when all went well, and where a person types them.

    >>> w, x = Value(0.4, name="w"), Value(3.0, name="x")
    >>> refused = step((w * x).tanh(), {}, commands=["step", "quit"])
    v3 = 0.833655: 4 values, 2 steps. help lists the commands.
    step 0 of 2   the seed
      ∂v3/∂v3 = 1; no other value has a gradient yet
    (microbp 0/2) step
    step 1 of 2   v3 = tanh(v2) = 0.833655
      upstream ∂v3/∂v3 = +1
      v2: local ∂v3/∂v2 = 1 − v3² = 1 − 0.8337² = 0.305020
        +1 × 0.305020 = +0.305020
        v2.grad: none → +0.305020 ✓ final
    (microbp 1/2) quit

    Raises TypeError and NoGradientError as :func:`microbp.trace`.
    """
    given = [*commands] if isinstance(commands, Iterable) and not isinstance(commands, str) else [commands]
    if not all(isinstance(each, str) for each in given) or given == [commands]:
        raise TypeError("step: commands are a list of texts, each a command")
    for word, stream, method in (("stdin", stdin, "readline"), ("stdout", stdout, "write")):
        if stream is not None and not hasattr(stream, method):
            raise TypeError(f"step: {word} is an open text file, not of type {type(stream).__name__}")
    scope = user_scope() if names is None else names
    recorded = loss if isinstance(loss, Trace) else trace(loss, scope)
    value = loss if isinstance(loss, Value) else None
    return Shell(recorded, value, scope, given, stdin, stdout).run()
