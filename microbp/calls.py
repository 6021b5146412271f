"""``told``: a call that fails by accident inside is told by the argument that was of a wrong kind.

What a function takes stands in its annotations. They are looked at when a call has failed, so that what
works goes on to work, and a call costs next to nothing. An error that the library raises itself, or that the
user's own code has a part in, stays what it is.
"""

from __future__ import annotations

import dis
import functools
import inspect
import numbers
import re
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from microbp.errors import MicrobpError
from microbp.recording.sites import of_users
from microbp.text.safe import quoted
from microbp.text.spelling import did_you_mean

__all__ = ["accidental", "told", "told_in"]

_FOLDERS = tuple(str(Path(__file__).parents[1] / each / "_")[:-1] for each in ("microbp", "viz"))
_RAISE = dis.opmap["RAISE_VARARGS"]
_NUMBERS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}
#: What the other package is for, which the library does not import.
_DRAWING = ("animate", "draw", "draw_step", "page")
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
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None, "it has been raised"
    code = trace.tb_frame.f_code
    if code.co_filename == __file__:
        return False  # the arguments did not fit the signature: Python has named the one
    raised = code.co_filename.startswith(_FOLDERS) and code.co_code[trace.tb_lasti] == _RAISE
    return not (raised or isinstance(error, MicrobpError) or of_users(error, _FOLDERS))


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
