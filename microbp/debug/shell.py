"""``step``: the debugger in the terminal, on ``cmd.Cmd``: a pass, a place in it, and what the user has set.

It asks with Python's ``input()``, in a terminal with history and completion, in a notebook in its own box;
or it reads lines from a file. Every command is a method; its docstring is its help.
"""

from __future__ import annotations

import builtins
import cmd
import io
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from types import BuiltinFunctionType
from typing import IO, Any

from microbp.calls import line_of, user_scope
from microbp.check.auditing import verdicts
from microbp.debug.breakpoints import WORDS, Breakpoint, Expression, Held, Place, Refusal, breakpoint_at
from microbp.debug.diagnose import diagnose
from microbp.debug.explain import explain
from microbp.debug.formulas import equation, figure, group_words
from microbp.debug.paths import paths
from microbp.debug.trace import Contribution, Trace, trace
from microbp.errors import MicrobpError
from microbp.graph import Graph, Node
from microbp.notation import NUMBER, plain_name, plain_number
from microbp.text import Table, counted, did_you_mean, has_colour, quoted, readable, within_encoding, write
from microbp.value import Value

#: The commands: the short forms of each, what may follow, what completes it, and where help lists it.
COMMANDS = {
    "step": ("s", "[COUNT]", "", "move"),
    "next": ("n", "", "", "move"),
    "back": ("bk", "[COUNT]", "", "move"),
    "continue": ("c cont", "", "", "move"),
    "reverse-continue": ("rc", "", "", "move"),
    "goto": ("g jump j", "STEP|NAME|end", "value", "move"),
    "forward": ("f", "[NAME]", "value", "move"),
    "break": ("b", "[PLACE] [if CONDITION]", "place", "stop"),
    "watch": ("wa", "NAME [if CONDITION]", "place", "stop"),
    "delete": ("d clear", "NUMBER ...|all", "breakpoint", "stop"),
    "display": ("", "[EXPRESSION]", "expression", "stop"),
    "print": ("p", "NAME|EXPRESSION", "expression", "look"),
    "where": ("w bt", "[NAME]", "value", "look"),
    "list": ("l", "[LINE]", "", "look"),
    "explain": ("ex", "[NAME] [rate=RATE]", "value", "judge"),
    "path": ("", "[NAME]", "value", "judge"),
    "check": ("ch", "[NAME]", "value", "judge"),
    "diagnose": ("", "", "", "judge"),
    "update": ("u", "[NAME] [rate=RATE]", "value", "judge"),
    "help": ("h ?", "[COMMAND]", "command", "else"),
    "quit": ("q exit EOF", "", "", "else"),
}
ALIASES = {word: name for name, (short, *_) in COMMANDS.items() for word in (name, *short.split())}
#: An empty line of a person does these again.
REPEATED = {"step", "next", "back", "continue", "reverse-continue", "forward"}
#: A chain of values is shown by its ends, a table and a listing of the source have no more lines; no more
#: candidates are offered.
FRAMES, ROWS, LINES, OFFERED = 6, 60, 11, 200
#: A step with more contributions than this is shortened.
MOST = 6
#: The colours that repeat what a line says; blue for +, orange for −, as in the drawings.
COLOURS = {
    r"^error:": "bold red",
    r"^(step|forward) \d+": "bold",
    r"^(breakpoint|watch) \d+:.*|^deleted .*|^interrupted|\d+ missing.*|, sign change": "cyan",
    r"✓ final( \(.*?\))?|the pass is complete.*": "green",
    r"(?<=   )\S+:\d+$|^  in .*|   operand \d+$": "dim",
    r"(?<![\w.])\+[\d∞]\S*": "bright_blue",
    r"(?<![\w.])−[\d∞][^\s)]*": "dark_orange",
}
_CONDITIONS = (
    "A condition is plain Python over values by name (h1.grad, h1.data), functions\n"
    "such as abs and log, variables of the script, and words for what is received:\n"
) + "\n".join(f"  {word:13} {meaning}" for word, (meaning, _) in WORDS.items())


class Shell(cmd.Cmd):
    """A session over a pass; ``run()`` returns how many commands were refused.

    ``stdin`` and ``stdout`` are files; where neither is given it asks whoever sits before the screen.
    """

    def __init__(
        self, trace: Trace, loss: Value | None = None, names: Mapping[str, Any] | None = None,
        commands: Iterable[str] = (), stdin: IO[str] | None = None, stdout: IO[str] | None = None,
    ) -> None:  # fmt: skip
        if stdin is None and sys.stdin is None and isinstance(builtins.input, BuiltinFunctionType):
            stdin = io.StringIO()  # the shell has closed it: there is no command
        asks = stdin is None and stdout is None
        at_terminal = asks and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
        #: Whether a person types: then there is history and completion, and an empty line repeats. A
        #: notebook has an ``input()`` of its own.
        self.interactive = at_terminal or (asks and not isinstance(builtins.input, BuiltinFunctionType))
        super().__init__("tab" if at_terminal else None, stdin, stdout)  # type: ignore[arg-type]
        self.use_rawinput = asks
        self.trace, self.graph, self.loss, self.names = trace, trace.graph, loss, names or {}
        self.place = Place(trace)
        #: Whether the file shows colour.
        self.colour = has_colour(self.stdout)
        self.commands = [*commands]
        #: Breakpoints and watches by their numbers, which are never given twice.
        self.breakpoints: dict[int, Breakpoint] = {}
        self.given = 0
        self.displays: dict[str, Expression] = {}
        #: How many commands were refused; a person at the keyboard has seen it.
        self.refused = 0
        self.last, self.ended = "", False

    # ------------------------------------------------------------------------------------ the loop
    def run(self) -> int:
        """Carry out the commands given, then read others until quit or the end of the input."""
        root = self.graph.root
        size = f"{counted(len(self.graph), 'value')}, {counted(len(self.trace), 'step')}"
        self.text(f"{plain_name(root.name)} = {figure(root.data)}: {size}. help lists the commands.")
        self.show()
        for command in self.commands:
            if not self.ended:
                self.text(f"{self.prompt}{command}")
                self.onecmd(command)
        while not self.ended:
            try:
                self.cmdloop()
            except KeyboardInterrupt:  # noqa: PERF203 (Ctrl-C at the prompt gives a new one)
                self.text("")
            except UnicodeDecodeError as error:
                self._refuse(f"the commands are no {error.encoding} text: the session ends")
                self.ended = True
        return self.refused

    @property
    def prompt(self) -> str:  # type: ignore[override]
        """How many steps are done: ``(microbp 17/27) ``; on the way forward: ``(microbp forward 3/27) ``."""
        count, at = len(self.place.computed), self.place.at
        told = f"forward {count + 1 + at}/{count}" if at < 0 else f"{at}/{len(self.trace)}"
        return f"(microbp {told}) "

    def precmd(self, line: str) -> str:
        """What a file says is written behind the prompt, so that the output can be read."""
        if not self.interactive or line == "EOF":
            self.text("" if line == "EOF" else line)
        return line

    def onecmd(self, line: str) -> bool:
        """Carry out one line; whether the session ends."""
        line = line.strip() or (self.last if self.interactive else "")
        if not line or line.startswith("#"):
            return False
        word, text = ("help", line[1:].strip()) if line[0] == "?" else (*line.split(maxsplit=1), "")[:2]
        self.last, start = "", self.place.at
        try:
            command = _command(word, text)
            self.last = line if command in REPEATED else ""
            self._method(command)(text)
        except KeyboardInterrupt:
            self.text("interrupted")
            self.show()
        except MicrobpError as error:
            self.place.at = start
            self._refuse(str(error))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 (a session goes on, whatever a command meets)
            self._refuse(f"{word}: {type(error).__name__}: {error}")
        return self.ended

    def _method(self, command: str) -> Callable[[str], None]:
        method: Callable[[str], None] = getattr(self, f"do_{command.replace('-', '_')}")
        return method

    # ----------------------------------------------------------------------------------- the screen
    def text(self, text: object) -> None:
        """Write lines, in colour where the file shows it and in the characters that it has."""
        told = "\n".join(map(str.rstrip, readable(str(text)).split("\n")))  # no character moves the cursor
        if not self.colour:
            write(told, self.stdout)
            return
        from rich.console import Console
        from rich.text import Text

        coloured = Text(within_encoding(told, self.stdout))
        for pattern, style in COLOURS.items():
            coloured.highlight_regex(f"(?m){pattern}", style)
        console = Console(file=self.stdout, force_terminal=True, force_jupyter=False)
        console.print(coloured, soft_wrap=True, highlight=False, emoji=False)

    def _refuse(self, text: str) -> None:
        self.refused += not self.interactive
        self.text(f"error: {' '.join(text.split())}")

    def show(self, stop: Mapping[int, str] = {}) -> None:
        """Show the current place, why the run stopped here, and what is displayed at every stop."""
        for number, reason in stop.items():
            self.text(f"{self.breakpoints[number].kind} {number}: {reason}")
        self.text("\n".join(shown(self.place)))
        if self.place.at == len(self.trace):
            self.text("  the pass is complete: every gradient is final")
        for text, expression in self.displays.items():
            self.text(f"  {text} = {self._worked_out(expression, quiet=True)}")

    # ------------------------------------------------------------------------------------ completion
    def completenames(self, text: str, *_: object) -> list[str]:
        """The commands that begin so."""
        return [f"{name} " for name in COMMANDS if name.startswith(text)]

    def completedefault(self, _text: str, line: str, begidx: int, endidx: int) -> list[str]:
        """What can stand at the end of the line; readline breaks words inside of names: these are whole."""
        begins = max(line.rfind(" ", 0, endidx), line.rfind("\t", 0, endidx)) + 1
        word = line[begins:endidx]
        command = ALIASES.get(line.lstrip().partition(" ")[0])
        given = zip(self.graph.names, self.graph.named, strict=True)
        names = [name for name, named in given if named or word.startswith("v")]
        name, dot, _ = word.rpartition(".")
        aspects = [f"{name}.{each}" for each in Held._fields] if dot and name in self.graph._called else []
        offered = {
            "value": names, "place": [*names, *sorted(rule.name for rule in self.graph.rules), *WORDS, "if"],
            "expression": [*aspects, *names, *WORDS], "breakpoint": [*map(str, self.breakpoints), "all"],
            "command": [*COMMANDS],
        }.get(COMMANDS[command][2] if command else "", [])  # fmt: skip
        return [each[begidx - begins :] for each in offered if each.startswith(word)][:OFFERED]

    # ------------------------------------------------------------------------------------------ move
    def _go(
        self, there: Callable[[], bool] = lambda: False, *, back: bool = False, count: int | None = None
    ) -> None:
        """Go on until ``there()``, a breakpoint, so many places or the end, and show where that is."""
        at, first, last = self.place.at, -len(self.place.computed), len(self.trace)
        if back and at == first:
            raise Refusal("this is the first value that was computed: nothing comes before it")
        if not back and at == last:
            steps = ("it has no steps", "its step is done", f"all {last} steps are done")[min(last, 2)]
            raise Refusal(f"the pass is complete: {steps}; go back or quit")
        # Between the way forward and the way back only one who counts goes on.
        end = (0 if at > 0 else first) if back else (last if at >= 0 else 0)
        if count is not None:
            end = max(first, at - count) if back else min(last, at + count)
        stop: dict[int, str] = {}
        while self.place.at != end and not stop:
            self.place.at += -1 if back else 1
            reasons = {number: each.stops(self.place) for number, each in self.breakpoints.items()}
            stop = {number: reason for number, reason in reasons.items() if reason is not None}
            if there():
                break
        self.show(stop)

    def _count(self, command: str, text: str) -> int:
        if text and (not text.isdecimal() or len(text) > 18):
            raise Refusal(f"{text!r} is not a number; usage: {command} {COMMANDS[command][1]}")
        return int(text or 1)

    def do_step(self, text: str) -> None:
        """Do one step, or COUNT: a value passes its gradient on."""
        self._go(count=self._count("step", text))

    def do_back(self, text: str) -> None:
        """Undo one step, or COUNT, also before the seed."""
        self._go(back=True, count=self._count("back", text))

    def do_next(self, _: str) -> None:
        """Go on to another line of code, or another module.

        Either makes several values: next passes over them.
        """
        here = self.place.node
        if not self.place.at or (here.site is None and not here.group):
            self._go(count=1)
        else:
            self._go(lambda: (self.place.node.site, self.place.node.group) != (here.site, here.group))

    def do_continue(self, _: str) -> None:
        """Go on to the next breakpoint or watch, or to the end."""
        self._go()

    def do_reverse_continue(self, _: str) -> None:
        """Go back to the latest earlier stop, or to the seed."""
        self._go(back=True)

    def do_goto(self, text: str) -> None:
        """Go to where so many steps are done.

        With a name: to the step in which that value passes its gradient on; of a
        leaf, to that in which its gradient becomes final.
        """
        last = len(self.trace)
        if text not in self.graph._called and (text == "end" or text.isdecimal()):
            self.place.at = last if text == "end" else self._count("goto", text)
            if self.place.at > last:
                raise Refusal(f"there is no step {text}: this pass has the steps 0 to {last}")
        else:
            node, own = self.place.find(text), self.trace.step_of(text)
            if not node.requires_grad:
                raise Refusal(f"{text} is a constant: no step is about it")
            last_got = max((got.step for got in self.trace.received[node.position]), default=0)
            self.place.at = last_got if own is None else own.index
        self.show()

    def do_forward(self, text: str) -> None:
        """See how a value came about, or the first of all.

        From there step goes on, value by value, to the root, and into the way back.
        """
        if not self.place.computed:
            raise Refusal(f"{self.graph.root.name} is a leaf: nothing was computed")
        node = self.place.find(text) if text else self.place.computed[0]
        if node.rule is None:
            raise Refusal(f"{text} is a leaf: it was given, not computed")
        self.place.at = self.place.computed.index(node) - len(self.place.computed)
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
            self._set(text)
        elif not self.breakpoints:
            self.text("no breakpoint and no watch is set")
        for number, point in () if text else self.breakpoints.items():
            self.text(f"{number:3}  {point}")

    def do_watch(self, text: str) -> None:
        """Stop whenever a value receives a contribution.

        {words}
        """
        self._set(text, watch=True)

    def _set(self, text: str, *, watch: bool = False) -> None:
        file = (self.place.node.site or "").rpartition(":")[0] or None
        point = breakpoint_at(self.trace, text, watch=watch, file=file, variables=self.names)
        self.given += 1
        self.breakpoints[self.given] = point
        places = f"; {len(point.nodes)} values" if point.nodes is not None and len(point.nodes) > 1 else ""
        self.text(f"{point.kind} {self.given}: {point}{places}")

    def do_delete(self, text: str) -> None:
        """Delete breakpoints and watches."""
        words = [*map(str, self.breakpoints)] if text == "all" else text.replace(",", " ").split()
        for word in words or ["all"]:
            if not word.isdecimal() or int(word) not in self.breakpoints:
                there = ", ".join(map(str, self.breakpoints)) or "none"
                raise Refusal(f"there is no breakpoint {word}; there are: {there}")
        for word in dict.fromkeys(words):
            self.text(f"deleted {word}: {self.breakpoints.pop(int(word))}")

    def do_display(self, text: str) -> None:
        """Show an expression at every stop, or no longer; or list.

        An expression that is shown already is no longer shown.
        """
        if text in self.displays:
            del self.displays[text]
        elif text:
            self.displays[text] = Expression(text, self.trace, self.names)
        for each in [text] if text else self.displays:
            held = self.displays.get(each)
            told = f" = {self._worked_out(held, quiet=True)}" if held else ": displayed no longer"
            self.text(f"  {each}{told}")

    # ------------------------------------------------------------------------------------------ look
    def do_print(self, text: str) -> None:
        """Print a value, or an expression, with all digits.

        Examples: print h1, print w5.grad, print w5.data - 0.5 * w5.grad, print local.
        h1.final is the gradient at the end.
        """
        if text not in self.graph._called:
            self.text(f"{text} = {self._worked_out(Expression(text, self.trace, self.names))}")
            return
        node, held = self.place.find(text), self.place.held(self.place.find(text).position)
        self.text(f"{equation(self.graph, node)}{_site(node)}")
        self.text(f"  data {plain_number(node.data)}")
        none = "none yet" if node.requires_grad else "none"
        told = none if held.grad is None else plain_number(held.grad)
        self.text(f"  grad {told}   {self.place.received(node.position)}")

    def _worked_out(self, expression: Expression, *, quiet: bool = False) -> str:
        """The value of an expression, for each contribution if it speaks of such; if ``quiet``, or a dash."""
        try:
            given = self._contributions(expression.words[0]) if expression.words else [None]
            answers = [(each, _written(expression(self.place, each))) for each in given]
        except (Exception, SystemExit) as error:  # print exit() ends no session
            if quiet:
                return "-"
            if isinstance(error, Refusal):
                raise
            none = "a value in it has no gradient yet" if "NoneType" in str(error) else error
            raise Refusal(f"{expression.text}: {none}") from None
        if len(answers) == 1:
            return answers[0][1]
        return ", ".join(f"{told} ({plain_name(self.graph.names[at.operand])})" for at, told in answers if at)

    def _contributions(self, word: str) -> Sequence[Contribution]:
        if self.place.step is None:
            raise Refusal(f"{word!r} speaks of a step, and none is done yet: step first")
        if not self.place.step.contributions:
            raise Refusal(f"{word!r} speaks of a contribution, and this step makes none")
        return self.place.step.contributions

    def do_where(self, text: str) -> None:
        """Show the chain of values from the root to here."""
        chain = [node := self.place.find(text)]
        while own := self.trace.received[chain[-1].position]:
            chain.append(self.graph.nodes[own[0].user])
        for index, each in enumerate(reversed(chain)):
            if index < FRAMES or index >= len(chain) - FRAMES:
                group = f"   {group_words(each)}" if each.group else ""
                self.text(f"{'>' if each is node else ' '} {equation(self.graph, each)}{group}{_site(each)}")
            elif index == FRAMES:
                self.text(f"  … {len(chain) - 2 * FRAMES} values between")
        count, done = len(self.trace), max(self.place.at, 0)
        self.text(f"step {done} of {count}; {count - done} to go")

    def do_list(self, text: str) -> None:
        """List the source around the current line, or LINE."""
        here = self.place.node
        if here.site is None:
            raise Refusal(
                f"the line of {here.name} is not known: call microbp.record_sites() before computing, or use "
                "microbp step SCRIPT"
            )
        file, _, number = here.site.rpartition(":")
        lines = linecache.getlines(file)
        first = max(1, (self._count("list", text) if text else int(number)) - LINES // 2)
        if first > len(lines):
            raise Refusal(f"{line_of(file)} ends at line {len(lines)}")
        stops = (position for each in self.breakpoints.values() for position in each.nodes or ())
        marked = {self.graph.sites[position] for position in stops}
        self.text(line_of(file))
        for at, source in enumerate(lines[first - 1 : first - 1 + LINES], first):
            stop, mark = "B" if f"{file}:{at}" in marked else " ", "->" if at == int(number) else "  "
            self.text(f"{at:5} {stop}{mark} {source.rstrip().expandtabs(4)}")

    def _table(self, title: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the first rows of a table."""
        more = (f"{len(rows) - ROWS} more",) if len(rows) > ROWS else ()
        self.text(Table(title, columns, tuple(rows[:ROWS]), more))

    # ----------------------------------------------------------------------------------------- judge
    def _rated(self, text: str) -> tuple[str, float | None]:
        """The name, and the learning rate behind it, if there is one."""
        match = re.fullmatch(r"(|.*[\s,])rate\s*=\s*(.*)", text)
        if match is None or text in self.graph._called:
            return text, None
        name, rate = match[1].strip(), match[2]
        if not re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", rate) or float(rate) in (0.0, inf):
            raise Refusal(f"{rate!r} is not a learning rate; for instance: rate=0.5")
        return name, float(rate)

    def do_explain(self, text: str) -> None:
        """Explain a gradient by the chain rule.

        With a rate the update of gradient descent follows.
        """
        name, rate = self._rated(text)
        try:
            self.text(explain(self.graph, self.place.find(name).name, names={}, rate=rate))
        except ValueError as error:  # of what is computed there is no update
            raise Refusal(str(error)) from None

    def do_path(self, text: str) -> None:
        """Show the largest paths by which a gradient arrives."""
        self.text(paths(self.graph, self.place.find(text).name))

    def do_check(self, text: str) -> None:
        """Compare the local derivatives here with measured ones."""
        node = self.place.find(text)
        if node.rule is None:
            raise Refusal(f"{node.name} is a leaf: it has no local derivative to check")
        words, found = node.operand_words, verdicts(node, self.graph.data.tolist())
        told = ((words[at], stated, found[at]) for at, _, stated in node.edges)
        rows = [(*pair, one.measured, ": ".join(filter(None, (one.word, one.why)))) for *pair, one in told]
        title = f"local derivatives of {plain_name(node.name)}, recorded and measured"
        self._table(title, ("operand", ">recorded", ">measured", "verdict"), rows)

    def do_diagnose(self, _: str) -> None:
        """Say what is wrong with the gradients, and what to try."""
        loss = self.graph if self.loss is None else self.loss
        self.text(diagnose(loss, names=self.names, show=False))

    def do_update(self, text: str) -> None:
        """Show the step of gradient descent that follows the pass.

        Of all leaves that take a gradient, or of NAME; the rate is 0.1 unless given.
        """
        name, given = self._rated(text)
        rate = 0.1 if given is None else given
        leaves = [node for node in self.graph if node.rule is None and node.requires_grad]
        rows = []
        for node in [self.place.find(name)] if name else leaves:
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
            name = _command(text)
            short, usage, *_ = COMMANDS[name]
            self.text(f"{name} {usage}")
            if short:
                self.text(f"short: {', '.join(short.split())}")
            self.text(self._told(name))
            return
        group = ""
        for name, (short, _, _, where) in COMMANDS.items():
            if where != group:
                self.text(where)
            group, summary = where, self._told(name).partition("\n")[0].removesuffix(".")
            self.text(f"  {name:17} {short.partition(' ')[0]:4} {summary[0].lower()}{summary[1:]}")
        self.text("An empty line moves on as before. help COMMAND says more.")

    def _told(self, name: str) -> str:
        lines = (self._method(name).__doc__ or "").splitlines()
        return "\n".join(line.strip() for line in lines if line.strip()).replace("{words}", _CONDITIONS)

    def do_quit(self, _: str) -> None:
        """End the session."""
        self.ended = True


def _command(word: str, text: str | None = None) -> str:
    """The command of that name, or of that short form; what follows must fit it, where it is told."""
    if word not in ALIASES:
        raise Refusal(f"there is no command {word!r}; {did_you_mean(word, COMMANDS) or 'help lists them'}")
    command = ALIASES[word]
    usage = COMMANDS[command][1]
    if text and not usage:
        raise Refusal(f"{command} takes no argument")
    if text == "" and usage and usage[0] != "[":
        raise Refusal(f"{command} what? usage: {command} {usage}")
    return command


# --------------------------------------------------------------------------------------- the screen
def shown(place: Place) -> Iterator[str]:
    """The step done last; on the way forward the value computed last."""
    node, root, step = place.node, plain_name(place.graph.root.name), place.step
    computed = f"{equation(place.graph, node)} = {figure(node.data)}{_site(node)}"
    count = len(place.computed)
    if not place.at:
        yield f"step 0 of {len(place.pass_)}   the seed"
        yield f"  ∂{root}/∂{root} = 1; no other value has a gradient yet"
        return
    at = f"step {place.at} of {len(place.pass_)}" if step else f"forward {count + 1 + place.at} of {count}"
    yield f"{at}   {computed}"
    if node.group:
        yield f"  in {group_words(node)}"
    if step is None:  # what it was computed from, and the local derivatives that were kept
        for x in dict.fromkeys(node.read[: 2 * MOST]):
            yield f"  {plain_name(place.graph.names[x])} = {figure(place.graph.nodes[x].data)}"
        paid = place.pass_.step_of(node.position)
        for each in reversed(paid.contributions[-MOST:] if paid else ()):
            yield f"  {_local(each)}, kept for the way back"
        return
    yield f"  upstream ∂{root}/∂{plain_name(node.name)} = {figure(step.upstream, sign=True)}"
    given = step.contributions
    for got in given[:MOST]:
        yield from _contribution(place, step.upstream, got)
    if len(given) > MOST:
        yield f"  … and {len(given) - MOST} more: print contribution"
    if not given:
        yield "  its operands are constants, which take no gradient"


def _contribution(place: Place, upstream: float, c: Contribution) -> Iterator[str]:
    operand, total = plain_name(place.graph.names[c.operand]), len(place.pass_.received[c.operand])
    where = f"   operand {c.place + 1}" if place.graph.nodes[c.user].read.count(c.operand) > 1 else ""
    yield f"  {operand}: local {_local(c)}{where}"
    factor = f"({figure(c.local)})" if c.local < 0.0 else figure(c.local)
    amount, after = figure(c.amount, sign=True), figure(c.after, sign=True)
    yield f"    {figure(upstream, sign=True)} × {factor} = {amount}"
    before = "none" if c.before is None else f"{figure(c.before, sign=True)} += {amount}"
    state = f"{c.missing} missing" if c.missing else "✓ final"
    count = f" ({total - c.missing} of {total})" if total > 1 else ""
    turned = ", sign change" if c.turns else ""
    yield f"    {operand}.grad: {before} → {after} {state}{count}{turned}"


def _local(c: Contribution) -> str:
    """The local derivative in symbols, in numbers and as value, without saying anything twice."""
    names, symbols, numbers = c.graph.names, c.symbols, c.numbers
    parts = [symbols, *([] if NUMBER.fullmatch(numbers) else [numbers]), figure(c.local)]
    told = symbols if NUMBER.fullmatch(symbols) else " = ".join(parts)
    return f"∂{plain_name(names[c.user])}/∂{plain_name(names[c.operand])} = {told}"


def _site(node: Node) -> str:
    return f"   {line_of(node.site)}" if node.site else ""


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
    >>> refused = step((w * x).tanh(), {}, commands=["goto w", "print w.grad", "quit"])  # doctest: +ELLIPSIS
    v3 = 0.833655: 4 values, 2 steps. help lists the commands.
    ...
    (microbp 2/2) print w.grad
    w.grad = 0.9150599886222265
    (microbp 2/2) quit

    Raises TypeError and NoGradientError as :func:`microbp.trace`, and ValueError where there is no output.
    """
    given = [] if isinstance(commands, str) else [*commands]
    if isinstance(commands, str) or not all(isinstance(each, str) for each in given):
        raise TypeError("step: commands are a list of texts, each a command")
    if stdout is None and sys.stdout is None:
        raise ValueError("step: this process has no standard output to write to: give stdout=, an open file")
    if not isinstance(loss, Value | Graph | Trace):
        raise TypeError(f"step() takes the Value from which the pass starts, or a Graph, not {quoted(loss)}")
    scope = user_scope() if names is None else names
    recorded = loss if isinstance(loss, Trace) else trace(loss, scope)
    value = loss if isinstance(loss, Value) else None
    return Shell(recorded, value, scope, given, stdin, stdout).run()
