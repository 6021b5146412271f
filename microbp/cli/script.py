"""A user's script, run as Python would run it, and the value in it that a command looks at."""

from __future__ import annotations

import io
import linecache
import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from microbp import Graph, Value
from microbp.calls import user_locals, user_scope, user_site
from microbp.cli.command import Arguments, CommandError, nearest
from microbp.graph import as_recorded
from microbp.record import with_sites
from microbp.text import did_you_mean

#: What a script from the standard input is called.
STDIN = "/dev/stdin"


class ScriptFailed(Exception):
    """The user's script ended with an error, which has been shown.

    ``status`` is the exit status, ``losses`` are those that had ``backward()`` called before.
    """

    def __init__(self, status: int, losses: Sequence[float] = ()) -> None:
        super().__init__(status)
        self.status, self.losses = status, losses


class Passes:
    """The calls of ``backward()`` while a script runs: the steps of its loop, if it has one.

    A script may have several losses, each with a line that calls ``backward()``: steps are those of one line.
    """

    def __init__(self) -> None:
        #: Those of the line with the first that is not finite, else of the line that called it last.
        self.losses: list[float] = []
        self.last: Value | None = None
        #: The variables of the functions that called it last, as of a ``main()``.
        self.local: dict[str, Any] = {}
        #: The one before the first whose loss is not finite, and that one, as they were then.
        self.bad: list[Graph] = []
        self._lines: dict[str, tuple[list[float], Value]] = {}

    def note(self, loss: Value) -> None:
        """``loss`` has had ``backward()`` called."""
        line = user_site()
        losses, before = self._lines.get(line, ([], loss))
        if not self.bad:
            self.losses = losses
            if not math.isfinite(loss.data):
                both = dict.fromkeys([before, loss])
                self.bad = [as_recorded(Graph(each, user_scope()))[0] for each in both]
        losses.append(loss.data)
        self._lines[line] = losses, loss
        self.last, self.local = loss, user_locals()


class Script:
    """What a script left behind: its variables, and the values that had ``backward()`` called."""

    def __init__(self, path: str, module: ModuleType, passes: Passes) -> None:
        self.path, self.passes, self._module = path, passes, module

    @property
    def namespace(self) -> dict[str, Any]:
        """The script's variables: those where ``backward()`` was called last, then the global ones."""
        local = self.passes.local
        return local | {name: x for name, x in vars(self._module).items() if name not in local}

    def root(self, name: str | None = None) -> Value:
        """The Value of that name; without one the last that had ``backward()`` called, or the only one.

        CommandError lists the computed Values that there are.
        """
        values = {each: held for each, held in self.namespace.items() if isinstance(held, Value)}
        computed = {each: held for each, held in values.items() if not held.is_leaf}
        names = [*(computed or values)]
        there = f"There are: {', '.join(names)}" if names else "It has no variable that holds a Value"
        if name is None and (self.passes.last is not None or len(computed) == 1):
            return computed[names[0]] if self.passes.last is None else self.passes.last
        if name is None:
            raise CommandError(f"{self.path} never calls backward(): name the value with --root. {there}")
        if name in values:
            return values[name]
        if name in self.namespace and not name.startswith("__"):
            kind = type(self.namespace[name]).__name__
            raise CommandError(f"{name} in {self.path} is no Value but of type {kind}. {there}")
        told = nearest("value", name, names) if names else f"there is no value {name!r}. {there}"
        raise CommandError(f"{self.path}: {told}")

    def graph(self, name: str | None = None) -> Graph:
        """The graph of :meth:`root`, its values named by the script's variables."""
        return Graph(self.root(name), names=self.namespace)


def of_script(output: str = "", **further: str) -> Arguments:
    """The arguments of every command that runs a script; :func:`run_script` takes them.

    ``output`` is the help of ``--output``, if it writes a file; ``further`` are the arguments that stand
    between the script and its own, each with its help.
    """
    return {
        "script": {
            "type": lambda path: STDIN if path == "-" else path,
            "help": "a Python script, run as python would run it; - is one from the standard input",
        },
        **{name: {"metavar": name.upper(), "help": told} for name, told in further.items()},
        "arguments": {
            "nargs": "*", "default": [], "metavar": "ARGUMENT",
            "help": "arguments of the script; what begins with a dash stands behind --",
        },
        "--root": {
            "metavar": "NAME",
            "help": "the variable that holds the value (default: the last one that had backward() called)",
        },
        **({"-o --output": {"type": Path, "metavar": "FILE", "help": output}} if output else {}),
    }  # fmt: skip


def run_script(path: str, arguments: Sequence[str] = ()) -> Script:
    """Run a script as ``__main__``, with the line of each recorded value kept.

    An exception in the script is shown as the user's own traceback and ends in ScriptFailed; where the
    file cannot be read, CommandError. ``sys.exit(0)`` in the script is an ordinary end.
    """
    if path == STDIN and sys.stdin is None:
        raise CommandError("cannot read the script from the standard input: it is closed")
    try:  # what reads on behind a script finds the end
        source = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise unreadable("script", path, error) from None
    if b"\0" in source:
        told = "it has null bytes, as UTF-16 has; save it in UTF-8"
        raise CommandError(f"cannot read the script {path}: {told}")
    module = ModuleType("__main__")
    vars(module).update(__file__=path, __builtins__=__builtins__)
    code = _compiled(source, path)
    # A file may have changed before its lines are shown, and a pipe is empty.
    linecache.cache[path] = len(source), None, io.StringIO(decode_source(source)).readlines(), path
    with _as_main(module, [path, *arguments]), _noting() as passes, with_sites.on():
        try:
            exec(code, vars(module))
        except SystemExit as stopped:
            if stopped.code not in (None, 0):
                told = f"microbp: {path} ended with sys.exit({stopped.code}), so that nothing is shown"
                print(told if isinstance(stopped.code, int) else stopped.code, file=sys.stderr)
                raise ScriptFailed(stopped.code if isinstance(stopped.code, int) else 1) from None
        except Exception as error:  # noqa: BLE001 (whatever a script raises is shown as its own)
            if isinstance(error, OSError) and error.filename is None:
                print(flush=True)  # raises again where it is the output that is closed or full
            _show(error, path)
            raise ScriptFailed(1, passes.losses) from None
    return Script(path, module, passes)


def unreadable(kind: str, path: str | Path, error: OSError) -> CommandError:
    """The error about a file that cannot be read; where there is none, with the nearest in its folder."""
    sought, near = Path(path), ""
    if isinstance(error, FileNotFoundError) and sought.parent.is_dir():  # a suffix in common is not near
        there = [each.name for each in sought.parent.iterdir() if did_you_mean(sought.stem, [each.stem])]
        near = did_you_mean(sought.name, there)
    return CommandError(f"cannot read the {kind} {path}: {error.strerror}{f'; {near}' if near else ''}")


def _compiled(source: bytes, path: str) -> CodeType:
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        traceback.print_exception(type(error), error, None)
        raise ScriptFailed(1) from None


def _show(error: Exception, path: str) -> None:
    """Print the traceback from the script's own first line on, without the lines of generated code."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    shown = traceback.TracebackException(type(error), error, trace)
    part: traceback.TracebackException | None = shown
    while part is not None:
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith("<microbp ")]
        part = part.__cause__ or part.__context__
    print("".join(shown.format()), end="", file=sys.stderr)


@contextmanager
def _as_main(module: ModuleType, argv: list[str]) -> Iterator[None]:
    """While the script runs, it is ``__main__``, and its folder comes first where modules are sought.

    Where a viz stands in that folder, the script imports it, and we ours.
    """
    before = sys.argv, sys.path[:], sys.modules["__main__"]
    sys.argv, sys.modules["__main__"] = argv, module
    folder = Path.cwd() if argv[0] == STDIN else Path(argv[0]).resolve().parent
    sys.path.insert(0, str(folder))
    own = (folder / "viz.py").exists() or (folder / "viz").is_dir()
    ours = {name: sys.modules.pop(name) for name in _viz_modules() if own}
    try:
        yield
    finally:
        for name in _viz_modules() if own else ():
            del sys.modules[name]
        sys.modules |= ours
        sys.argv, sys.path[:], sys.modules["__main__"] = before


def _viz_modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "viz"]


@contextmanager
def _noting() -> Iterator[Passes]:
    """The calls of ``backward()`` inside the ``with``."""
    passes, backward = Passes(), Value.backward

    def noted(self: Value) -> None:
        backward(self)
        passes.note(self)

    Value.backward = noted  # type: ignore[method-assign]
    try:
        yield passes
    finally:
        Value.backward = backward  # type: ignore[method-assign]
