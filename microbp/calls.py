"""Where the user's own code and ours meet: the line that called, what it sees, and what was wrong in a call.

The user's line is the nearest that is neither microbp's nor NumPy's own. A call that fails by accident inside
is ``told`` by the argument that was of a wrong kind: what a function takes stands in its annotations, which
are looked at when a call has failed, so that what works goes on to work, and a call costs next to nothing.
An error that the library raises itself, or that the user's own code has a part in, stays what it is.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import re
import sys
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from opcode import opmap
from pathlib import Path
from traceback import walk_tb
from types import CodeType, FrameType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from microbp.errors import MicrobpError
from microbp.text import did_you_mean, quoted

_FOLDERS = tuple(str(Path(__file__).parents[1] / each / "_")[:-1] for each in ("microbp", "viz"))
#: Our code, generated functions included; and that which a user's code calls with it.
_OURS = (_FOLDERS[0], "<microbp ")
_INSIDE = (*_OURS, *_FOLDERS, str(Path(np.__file__).parent / "_")[:-1])
#: Code of the package that uses microbp as a user would.
_AS_USER = str(Path(__file__).parent / "demo" / "_")[:-1]
#: Packages of others that are called by ours.
_BELOW = {*sys.stdlib_module_names, "numpy", "matplotlib", "rich", "graphviz", "pygraphviz", "PIL"}

# ------------------------------------------------------------------------------------ the user's own code
#: How many calls outwards variables are sought.
_CALLS = 100

#: A place in code, cheap to take: the code object and the offset of the instruction in it.
Place = tuple[CodeType, int]


class _Users(dict[str, bool]):
    """Whether a file is the user's own, by its name."""

    def __missing__(self, file: str) -> bool:
        mine = self[file] = not file.startswith(_INSIDE) or file.startswith(_AS_USER)
        return mine


users = _Users()


def user_frame() -> FrameType | None:
    """The innermost frame of the user's own code; None when there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not users[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


def of_users(error: BaseException, but: tuple[str, ...] = ()) -> bool:
    """Whether the user's own code took part in raising ``error``, from the frame that caught it on.

    Code of ours that uses microbp as a user would is his, ``but`` that of some folders. What Python's own
    library and others below us raise is not, and neither is an error that no statement of ours raised and
    that yet came up in code of ours, whoever called it.

    >>> try:
    ...     [user_site() for _ in 3]
    ... except TypeError as error:
    ...     of_users(error)
    True
    """
    his, (code, raised) = False, _came_up(error)
    for frame, _ in walk_tb(error.__traceback__):
        file, package = frame.f_code.co_filename, str(frame.f_globals.get("__name__")).partition(".")[0]
        made = file == "<string>" and package == "microbp"  # a method of a dataclass
        his = his or (users[file] and not made and not file.startswith(but) and package not in _BELOW)
    return his and (raised or not code.co_filename.startswith(_OURS))


def _came_up(error: BaseException) -> tuple[CodeType, bool]:
    """The code in which an error came up, and whether a statement there raised it."""
    trace = error.__traceback__
    assert trace is not None, "it has been raised"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return code, code.co_code[trace.tb_lasti] == opmap["RAISE_VARARGS"]


def user_level() -> int:
    """How many frames above the caller the user's own code is."""
    user, level, frame = user_frame(), 1, sys._getframe(1)
    while frame is not user and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return level


def user_scope() -> dict[str, Any]:
    """The variables that the user's own code sees where it called, the local ones first."""
    frame, local = user_frame(), user_locals()
    return {} if frame is None else {**local, **frame.f_globals, **local}


def user_locals() -> dict[str, Any]:
    """The local variables there, then those of the functions of the same module that called it."""
    inner = frame = user_frame()
    scope: dict[str, Any] = {}
    for _ in range(_CALLS):
        if inner is None or frame is None:
            break
        if frame.f_globals is inner.f_globals and frame.f_locals is not frame.f_globals:
            scope = {**scope, **frame.f_locals, **scope}
        frame = frame.f_back
    return scope


def user_place() -> Place | None:
    """The place that the innermost frame of the user's own code has reached."""
    frame = user_frame()
    return None if frame is None else (frame.f_code, frame.f_lasti)


def site_of(place: Place | str | None) -> str:
    """A place as ``file:line``; ``?`` for none; what is a text already stays."""
    return sites_of([place])[0]


def sites_of(places: Iterable[Place | str | None]) -> list[str]:
    """Several places; what is a text already stays."""
    lines: dict[int, dict[int, int | None]] = {}  # of each code object the line of each instruction
    found = []
    for place in places:
        if isinstance(place, str) or place is None:
            found.append(place or "?")
            continue
        code, offset = place
        if id(code) not in lines:
            lines[id(code)] = {at: line for begin, end, line in code.co_lines() for at in range(begin, end)}
        found.append(f"{code.co_filename}:{lines[id(code)].get(offset) or code.co_firstlineno}")
    return found


def user_site() -> str:
    """``file:line`` of the innermost line of the user's own code, ``?`` when there is none.

    >>> user_site().startswith("<doctest microbp.calls.user_site")
    True
    """
    return site_of(user_place())


def line_of(site: str) -> str:
    """``file:line``, the file relative to the current directory if it is inside."""
    return site.removeprefix(f"{Path.cwd()}{os.sep}")


# ------------------------------------------------------------------------------------- what he has given
_NUMBERS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}
#: What the other package is for, which the library does not import.
_DRAWING = ("animate", "draw", "draw_step", "page", "picture")
#: Of the methods with two underscores these; operators look at their operands themselves, and quickly.
_SPECIAL = {"__init__", "__getitem__", "__call__"}


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but that a TypeError names the argument of a wrong kind by which a call has failed.

    >>> @told
    ... def half(x: float, digits: int = 3) -> float:
    ...     return round(x / 2.0, digits)
    >>> half(1.5)
    0.75

    What the example's code raises itself stays what it is, since it is a user's:

    >>> half("x")
    Traceback (most recent call last):
        ...
    TypeError: unsupported operand type(s) for /: 'str' and 'float'
    """

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        except Exception as error:
            if accidental(error) and (why := _wrong(function, args, named)):
                raise TypeError(why) from None
            if isinstance(error, TypeError) and error.__traceback__ and not error.__traceback__.tb_next:
                # the call itself did not fit
                raise TypeError(f"{error}{_meant(function, named)}") from None
            raise

    return call


def told_in(space: dict[str, Any], but: Collection[type] = ()) -> None:
    """Let public functions, and methods of classes, be :func:`told`, ``but`` those of some classes.

    A function is put back where it was defined, too, so that a pickle finds it. ``compile`` is public, but
    not in ``__all__``: ``import *`` would hide Python's own behind it. A name that a public module of the
    space has, and not the space, is told with that module.
    """
    if homes := [each for each in map(space.get, space["__all__"]) if inspect.ismodule(each)]:
        space["__getattr__"] = functools.partial(_elsewhere, space["__name__"], homes)
    for name in filter(space.get, [*space["__all__"], "compile"]):
        each = space[name]
        if inspect.ismodule(each):
            told_in(vars(each), but)
        elif inspect.isfunction(each):
            space[name] = vars(sys.modules[each.__module__])[each.__name__] = told(each)
        elif inspect.isclass(each) and not issubclass(each, BaseException):
            for kind in each.__mro__:
                for method, held in _methods(kind) if kind not in but else ():
                    wrapped = told(getattr(held, "__func__", held))
                    setattr(kind, method, wrapped if inspect.isfunction(held) else type(held)(wrapped))


def _elsewhere(module: str, homes: list[types.ModuleType], name: str) -> None:
    """AttributeError for what is not in a module, with the one that has it; near names Python tells."""
    found = [home.__name__ for home in homes if name in home.__all__] + ["viz"] * (name in _DRAWING)
    told = f"; it is {found[0]}.{name}" if found else ""
    raise AttributeError(f"module {module!r} has no attribute {name!r}{told}")


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods that it defines itself, in a file of ours, and that have not been seen to."""
    for name, held in [*vars(kind).items()]:
        function = getattr(held, "__func__", held)
        if (
            inspect.isfunction(function)
            and (name in _SPECIAL or not name.startswith("_"))
            and function.__code__.co_filename.startswith(_FOLDERS)
            and not hasattr(function, "__wrapped__")
        ):
            yield name, held


def accidental(error: Exception) -> bool:
    """Whether an error has happened to the library, rather than been raised by it or by the user's code."""
    code, raised = _came_up(error)
    if code.co_filename == __file__:
        return False  # the arguments did not fit the signature: Python has named the one
    ours = raised and code.co_filename.startswith(_FOLDERS)
    return not (ours or isinstance(error, MicrobpError) or of_users(error, _FOLDERS))


def _wrong(function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> str:
    """The first argument that is not what its annotation says, in a sentence; empty where all are."""
    signature = inspect.signature(function, eval_str=True)
    try:
        given = signature.bind(*args, **named).arguments
    except TypeError:
        return ""  # Python has said so
    for name, value in given.items():
        kind, takes = signature.parameters[name].kind, signature.parameters[name].annotation
        if kind is not inspect.Parameter.VAR_KEYWORD and takes is not inspect.Parameter.empty:
            for held in value if kind is inspect.Parameter.VAR_POSITIONAL else [value]:
                if not _fits(held, takes):
                    text = function.__annotations__.get(name) or inspect.formatannotation(takes)
                    takes = re.sub(r"(?:\w+\.)+(?=\w)", "", str(text))
                    return f"{function.__qualname__}(): {name} takes {takes}, not {quoted(held)}"
    return ""


def _meant(function: Callable[..., Any], named: dict[str, Any]) -> str:
    """What the name of an argument that the function does not take was meant to be, or which it takes."""
    takes = inspect.signature(function).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values()):
        return ""
    known = [name for name in takes if name != "self"]
    unknown = [name for name in named if name not in known]
    if not unknown:
        return ""
    return "; " + (did_you_mean(unknown[0], known) or f"it takes {', '.join(known) or 'none'}")


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation says, as far as that can be seen from outside."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if kind is Any or kind is None:
        return kind is Any or value is None
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in inner)
    if not isinstance(origin, type):
        return True  # a variable
    if not isinstance(value, _NUMBERS.get(origin, origin)):
        return False
    if isinstance(value, Mapping) and len(inner) == 2:
        return all(_fits(key, inner[0]) and _fits(held, inner[1]) for key, held in value.items())
    if isinstance(value, Collection) and len(inner) == 1:
        return all(_fits(held, inner[0]) for held in value)
    if isinstance(value, tuple) and origin is tuple and Ellipsis not in inner:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return True
