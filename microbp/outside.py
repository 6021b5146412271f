"""What stands outside a graph: whatever a function can reach that is no number of its own computation.

Attributes, lists, variables of enclosing functions and of modules, generators of random numbers: a function
that counts its calls, draws at random, or reads what somebody else changes is another function each time,
while a program that was made of it stays the same. All of it is found by following references, as far as
:data:`MOST` objects. What a function asks of clocks and of the system (files, other processes, randomness),
and what it takes from iterators, is seen while it runs (:class:`Asked`).
"""

from __future__ import annotations

import datetime as dt
import io
import os
import random
import re
import sys
import time
import warnings
from array import array
from collections import deque
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Sequence, ValuesView
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from dis import get_instructions
from functools import cache, partial
from itertools import accumulate
from numbers import Number
from operator import is_
from pathlib import Path
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FrameType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from microbp.labels import walk
from microbp.value import TRACED_AS, Value

__all__ = [
    "MOST", "PLAIN", "Asked", "Outside", "Variable", "attributes", "contents", "held_by", "is_iterator",
    "is_of_users", "of_library", "of_object", "sealed", "variables", "words_of",
]  # fmt: skip

#: How many objects are looked at.
MOST = 20_000
PLAIN = (int, float, complex, str, bytes, bool, type(None), ModuleType, np.generic)
#: Without those whose objects only hold what the user has put into them.
_LIBRARIES = {"microbp", "numpy", "builtins", *sys.stdlib_module_names} - {"types", "argparse"}
#: Where their files lie.
_PLACES = tuple(str(Path(file).parent / "_")[:-1] for file in (os.__file__, np.__file__, __file__))
#: The modules that lead to nothing of the user's (one stands in a dataclass's ``__repr__``); and the names by
#: which code reaches more than it names.
_OF_NUMBERS = {"math", "cmath", "numpy", "random", "time", "_thread"}
_ANYWHERE = {
    "eval", "exec", "globals", "locals", "vars", "modules", "import_module", "__import__", "__globals__",
    "__subclasses__",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Variable:
    """A variable of a module that the code of a function names, or a slot of an object."""

    owner: Any
    name: str

    @property
    def now(self) -> Any:
        """What it holds; None where that is nothing yet."""
        owner = self.owner
        return owner.get(self.name) if isinstance(owner, dict) else getattr(owner, self.name, None)

    def put(self, held: Any) -> None:
        """Let it hold that."""
        change = dict.__setitem__ if isinstance(self.owner, dict) else object.__setattr__
        change(self.owner, self.name, held)


#: What the process was given, by the words of the code that reads it.
_GIVEN = {word: Variable(vars(os), "environ") for word in ("environ", "environb", "getenv", "getenvb")}
_GIVEN |= {word: Variable(vars(sys), word) for word in ("argv", "stdin")}


class _Kept(NamedTuple):
    name: str
    key: Any
    held: Any
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], None]
    before: Any


class Outside:
    """What functions can reach, as it is now.

    >>> def counting(calls):
    ...     return lambda x: calls.append(x) or 2.0 * x
    >>> calls = []
    >>> net = counting(calls)
    >>> outside = Outside(net)
    >>> net(1.0), outside.changed()
    (2.0, 'calls')
    >>> outside.restore()
    >>> calls, outside.changed()
    ([], '')

    ``apart`` are Values that others look after: parameters; None for all Values. The generators that all
    functions share are left out where they are ``not alone``: other threads draw from them.
    """

    def __init__(self, *roots: Any, apart: Iterable[Value] | None = (), alone: bool = True) -> None:
        self._kept: list[_Kept] = []
        self._settled: set[Any] = set()
        #: What was found that gives another answer each time, and cannot be set back, with its name.
        self.iterators: list[tuple[str, Any]] = []
        theirs, seen = {*map(id, apart or ())}, set()
        generators = [("random", random._inst), ("numpy.random", np.random.mtrand._rand)]
        named = [(type(each).__name__, each) for each in roots]

        def within(name: str, held: Any) -> Sequence[tuple[str, Any]]:
            key = (id(held.owner), held.name) if isinstance(held, Variable) else id(held)
            if key in seen or key in theirs or (apart is None and isinstance(held, Value)):
                return ()
            seen.add(key)
            if is_iterator(held):
                self.iterators.append((name, held))
                return ()
            for kind, read, write in _KINDS:
                if isinstance(held, kind):
                    self._kept.append(_Kept(name, key, held, read, write, read(held)))
                    break
            if isinstance(held, list) and theirs.issuperset(map(id, held)):
                return ()
            return [each for each in held_by(name, held) if not isinstance(each[1], PLAIN)]

        for _ in walk([*named, *(generators if alone else [])], within, MOST):
            pass

    @property
    def drawn(self) -> str:
        """The name of the first thing found that gives another answer each time; empty if there is none."""
        return next((name for name, _ in self.iterators), "")

    def changed(self) -> str:
        """The name of the first thing that has changed since; empty if nothing has."""
        return next((name for _, name, _ in self._changes()), "")

    def meets(self, other: Outside) -> bool:
        """Whether something that can change is reached by both; but modules."""
        theirs = {each.key for each in other._kept}
        return any(each.key in theirs and not isinstance(each.before, ModuleType) for each in self._kept)

    def settles(self, call: Callable[[], object]) -> str:
        """The name of the first thing that changes whenever ``call`` is called; empty where there is none.

        What it leaves behind it each time, whatever was there before, counts as the same from here on: its
        last output, or what it has looked up once.
        """
        first = {key: (name, now) for key, name, now in self._changes()}
        if first:
            call()
            again = {key: (name, now) for key, name, now in self._changes()}
            for key, (name, _) in {**first, **again}.items():
                if key not in first or key not in again or not _same(first[key][1], again[key][1]):
                    return name
        self._settled |= first.keys()
        return ""

    def _changes(self) -> Iterator[tuple[Any, str, Any]]:
        """Key, name and present state of all that has changed; of a dict, entry by entry."""
        for name, key, held, read, _, before in self._kept:
            now = read(held)
            if _same(before, now):
                continue
            if not isinstance(now, dict):
                found = [(key, name, now)]
            else:
                prefix = f"{name}." if name else ""
                found = [
                    ((key, word), f"{prefix}{word}", now.get(word))
                    for word in {**before, **now}
                    if not _same(before.get(word), now.get(word))
                ]
            yield from (each for each in found if each[0] not in self._settled)

    def restore(self) -> None:
        """Set all back."""
        for _, _, held, read, write, before in self._kept:
            if not _same(before, read(held)):
                write(held, before)


def _same(a: Any, b: Any) -> bool:
    """Whether two things tell a function the same."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, Value):
        return _same(a._data, b._data)
    if isinstance(a, np.ndarray):
        if a.shape != b.shape:
            return False
        return _same(a.ravel().tolist(), b.ravel().tolist()) if a.dtype == object else (a == b).all() or (
            a.dtype.kind in "fc" and np.array_equal(a, b, equal_nan=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and (all(map(is_, a, b)) or all(map(_same, a, b)))
    if isinstance(a, dict):
        return a.keys() == b.keys() and _same([*a.values()], [*b.values()])
    if isinstance(a, (set, frozenset, bytearray, array, *PLAIN)):
        return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 (both are nan)
    return False


# ------------------------------------------------------------------------------------ kinds of things
def _refill(held: Any, before: Any) -> None:
    held.clear()
    held.update(before)


def contents(held: CellType | ContextVar[Any]) -> Any:
    """What a variable of an enclosing function, or of a context, holds; None where that is nothing yet."""
    with suppress(ValueError, LookupError):
        return held.get() if isinstance(held, ContextVar) else held.cell_contents
    return None


def _attributes(held: type) -> dict[str, Any]:
    passing = TRACED_AS if held is Value else ()  # another thread may trace
    return {word: each for word, each in vars(held).items() if word[:2] != "__" and word not in passing}


def _set_attributes(held: type, before: dict[str, Any]) -> None:
    for word in _attributes(held).keys() - before.keys():
        delattr(held, word)
    for word, each in before.items():
        if vars(held).get(word) is not each:
            setattr(held, word, each)


#: How the contents of what may change are read and written.
_KINDS: list[tuple[Any, Callable[[Any], Any], Callable[[Any, Any], None]]] = [
    (dict, dict, _refill),
    (set, set, _refill),
    (list, list, lambda held, before: held.__setitem__(slice(None), before)),
    (deque, list, lambda held, before: (held.clear(), held.extend(before))[0]),
    (np.ndarray, np.copy, lambda held, before: held.__setitem__(..., before)),
    (Value, lambda value: value._data, lambda value, data: setattr(value, "data", data)),
    ((bytearray, array), lambda held: held[:], lambda held, before: held.__setitem__(slice(None), before)),
    (CellType, contents, lambda cell, before: setattr(cell, "cell_contents", before)),
    (Variable, lambda held: held.now, Variable.put),
    (random.Random, lambda held: frozenset({held.getstate()}),  # which is compared as a whole
     lambda held, before: held.setstate(*before)),
    (np.random.Generator, lambda held: (held.bit_generator.state,),
     lambda held, before: setattr(held.bit_generator, "state", before[0])),
    (np.random.BitGenerator, lambda held: (held.state,),
     lambda held, before: setattr(held, "state", before[0])),
    (np.random.RandomState, np.random.RandomState.get_state, np.random.RandomState.set_state),
    (type, _attributes, _set_attributes),
]  # fmt: skip


#: Kinds of which all that they hold is told by :func:`held_by`.
_SEEN = {
    list, tuple, set, frozenset, deque, CellType, MethodType, BuiltinMethodType, MethodWrapperType,
    MemberDescriptorType, property, classmethod, staticmethod, bytearray, array, partial, Variable,
}  # fmt: skip


def held_by(name: str, held: Any) -> Iterator[tuple[str, Any]]:
    """What it refers to, each by the name that a reader of the program knows it by."""
    if isinstance(held, Value):
        return
    if isinstance(held, dict):
        yield from ((f"{name}.{key}" if name else str(key), each) for key, each in [*held.items()])
    elif isinstance(held, list | tuple | set | frozenset | deque):
        # a copy, made at once: other threads may change it meanwhile
        yield from ((name, each) for each in [*held] if type(each) not in PLAIN)
    elif isinstance(held, np.ndarray):
        yield from ((name, each) for each in (held.ravel().tolist() if held.dtype == object else ()))
    elif isinstance(held, CellType | ContextVar):
        yield name, contents(held)
    elif isinstance(held, Variable):
        yield held.name, held.now
    elif isinstance(held, FunctionType):
        cells: Iterable[Any] = held.__closure__ or ()
        if of_library(held):  # whose own variables tell nothing, only what of the user's they hold
            cells = map(contents, cells)
        yield from zip(held.__code__.co_freevars, cells, strict=True)
        yield from ((name, each) for each in held.__defaults__ or ())
        yield from ((name, held.__kwdefaults__), ("", vars(held)))
        if not of_library(held):
            named = (each for each in variables(held) if each.owner is not sys.modules)
            yield from ((each.name, each) for each in named if each.name in each.owner)
    elif isinstance(held, MethodType | BuiltinMethodType | MethodWrapperType):
        yield from ((name, held.__self__), (name, getattr(held, "__func__", None)))
    elif isinstance(held, partial):
        yield from ((name, each) for each in (held.func, held.args, held.keywords))
        yield "", vars(held)
    elif isinstance(held, type):
        if not of_library(held):
            yield from ((f"{held.__name__}.{word}", each) for word, each in _attributes(held).items())
            yield from ((name, each) for each in vars(held).values() if callable(each))
            yield from ((each.__name__, each) for each in (*held.__bases__, type(held)))
    elif isinstance(held, ref):
        yield name, held()
    elif isinstance(held, MappingProxyType):
        yield name, dict(held)
    elif isinstance(held, KeysView | ValuesView | ItemsView) and hasattr(held, "mapping"):
        yield name, dict(held.mapping)
    elif isinstance(held, memoryview):
        with suppress(ValueError):  # of one that was released
            yield name, held.obj
    elif isinstance(held, property):
        yield from ((name, each) for each in (held.fget, held.fset, held.fdel))
    elif isinstance(held, classmethod | staticmethod):
        yield name, held.__func__
    elif "__wrapped__" in (attributes(held) or ()):  # a module's call in C
        yield name, held.__wrapped__
    elif not str(type(held).__module__).startswith("microbp") or hasattr(held, "parameters"):
        yield from of_object(held)


def of_object(held: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds as one of its kind: its attributes, its kind, its slots."""
    kind = type(held)
    yield from ((kind.__name__, each) for each in (getattr(held, "__dict__", None), kind))
    owners = (vars(each) for each in kind.__mro__ if not of_library(each))
    slots = (word for owner in owners for word in owner if isinstance(owner[word], MemberDescriptorType))
    yield from ((word, Variable(held, word)) for word in slots)


def variables(function: FunctionType) -> Iterator[Variable]:
    """The variables of modules that its code may name, those that are not there included, and the modules."""
    words = [*words_of(function.__code__)]
    if not _ANYWHERE.isdisjoint(words):
        words = re.findall(r"\w+", " ".join(words_of(function.__code__, texts=True)))
    package = str(function.__globals__.get("__package__") or "").split(".")  # of a relative import
    named = [Variable(sys.modules, word) for word in (*words, *accumulate(package, "{}.{}".format))]
    yield from named
    modules = *(each.now for each in named), *map(contents, function.__closure__ or ())
    spaces, seen = [function.__globals__, *map(vars, filter(is_of_users, modules))], set[int]()
    for space in spaces:
        if id(space) not in seen:
            seen.add(id(space))
            yield from (Variable(space, word) for word in words)
            spaces += map(vars, filter(is_of_users, map(space.get, words)))
    yield from (_GIVEN[word] for word in words if word in _GIVEN)


def attributes(held: Any) -> dict[str, Any] | None:
    """The attributes that an object has of its own; None where it has none, or does not say."""
    with suppress(Exception):
        own = getattr(held, "__dict__", None)
        return own if isinstance(own, dict) else None
    return None


def sealed(root: Any) -> bool:
    """Whether a function is sure to reach no Value: all that it reaches is of kinds that are seen through.

    >>> sealed([0.1, 0.01].__getitem__), sealed([Value(0.1)].__getitem__)
    (True, False)
    """

    def within(name: str, held: Any) -> Sequence[tuple[str, Any]]:
        return () if isinstance(held, PLAIN) else [*held_by(name, held)]

    reached = enumerate(walk([("", root)], within, MOST), start=1)
    return all(at < MOST and _seen_through(held) for at, (_, held) in reached)


def _seen_through(held: Any) -> bool:
    """Whether :func:`held_by` tells all that it leads to, its class included."""
    kind = type(held)
    if kind is ModuleType:
        return held.__name__ in _OF_NUMBERS
    if kind is FunctionType:
        codes = [*_codes(held.__code__)]
        imports = any(each.opname == "IMPORT_NAME" for code in codes for each in get_instructions(code))
        theirs = of_library(held) and held.__module__ != "dataclasses"  # which writes methods
        return not (theirs or imports or _ANYWHERE.intersection(words_of(held.__code__)))
    if kind is dict:
        return all(type(key) in PLAIN for key in held)
    if kind is np.ndarray:
        return bool(held.dtype != object)
    if kind in PLAIN or kind in _SEEN or isinstance(held, type | np.generic):
        return True
    return not any(map(of_library, kind.__mro__[:-1]))  # an object of a class of the user's


def is_iterator(held: Any) -> bool:
    """Whether it gives another answer each time: an iterator, a file that is read, what the system draws.

    An iterator of a class of the user's is an object as any other: what it counts is seen.
    """
    # not by hasattr(): a mock would make one then
    written = [vars(kind)["__next__"] for kind in type(held).__mro__ if "__next__" in vars(kind)]
    if not written:
        return isinstance(held, random.SystemRandom)
    if isinstance(held, io.IOBase):
        return not held.closed and held.readable()
    return of_library(written[0]) or not all(isinstance(each, FunctionType) for each in written)


#: Functions of C that tell the time, of the module and of dates; and those that ask the system: for files,
#: other processes, the user, randomness.
_CLOCKS = {
    "time", "perf_counter", "monotonic", "process_time", "thread_time", "clock_gettime", "localtime",
    "gmtime", "ctime", "asctime", "strftime", "now", "utcnow", "today",
}  # fmt: skip
_CLOCKS |= {f"{word}_ns" for word in _CLOCKS}
_SYSTEM = {
    "open", "input", "stat", "lstat", "access", "listdir", "scandir", "readlink", "getcwd", "getloadavg",
    "fork_exec", "posix_spawn", "connect", "recv", "recv_into", "execute", "urandom", "getrandom",
    "generate_time_safe",
}  # fmt: skip
_ASKING = _CLOCKS | _SYSTEM
_SEED = random.Random.seed.__code__
#: What reads files of its own accord: for a line of source, say, or to import.
_BY_THEMSELVES = {"importlib", "inspect", "linecache", "logging", "warnings"}
#: An iterator that says nothing of what it calls.
_OF_CALLS = type(iter(int, 0))


class Asked:
    """What a function asks while it runs, of all that gives another answer each time.

    >>> numbers = (n * n for n in range(3))
    >>> with Asked([("numbers", numbers)]) as asked:
    ...     asked.first(), next(numbers), asked.first()
    ('', 0, 'numbers')

    ``iterators`` are those that it may take from, with their names. A clock that a library reads, to log or
    to show progress, is not asked by the function. Where a profiler written in C runs, that is not ``seen``.
    """

    def __init__(self, iterators: list[tuple[str, Any]]) -> None:
        self._met, self._outer = list[str](), sys.getprofile()
        self.seen = self._outer is None or callable(self._outer)
        self._frames = {each.gi_frame: name for name, each in iterators if isinstance(each, GeneratorType)}
        self._before = [(name, each, self._position(each)) for name, each in iterators]

    def __enter__(self) -> Asked:  # noqa: PYI034 (Self is of Python 3.11)
        self._entered_in = id(sys._getframe(1))
        if self.seen:
            sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        if self.seen:
            sys.setprofile(self._outer)

    def first(self) -> str:
        """The name of the first thing that was asked; empty if nothing was."""
        moved = (
            name for name, each, before in self._before if before is None or self._position(each) != before
        )
        return next(iter(self._met), "") or next(moved, "")

    def _look(self, frame: FrameType, event: Any, called: Any) -> None:
        """What Python tells of each call, of very many; who was told before is told, too."""
        if event == "c_call":
            if called.__name__ in _ASKING:
                self._ask(frame, called.__name__, called.__self__)
        elif event == "call":
            if frame in self._frames:
                self._met.append(self._frames[frame])
            elif frame.f_code is _SEED and frame.f_locals["a"] is None:
                self._met.append("random.Random()")
        elif event == "return" and id(frame) == self._entered_in:
            self.__exit__()  # Ctrl-C may have struck in it before
        if self._outer is not None:
            self._outer(frame, event, called)

    def _ask(self, frame: FrameType, name: str, owner: Any) -> None:
        """A function of C is called that is named like one that tells the time, or asks the system."""
        if name in _SYSTEM:
            word = getattr(owner, "__name__", "")
            self._met += filter(None, [_asker(frame, f"os.{name}" if word == os.name else name)])
        elif (
            owner is time or (isinstance(owner, type) and issubclass(owner, dt.date))
        ) and not _of_others(frame):
            self._met.append(f"{owner.__name__}.{name}")

    def _position(self, held: Any) -> Any:
        """How far an iterator is; None where that cannot be told."""
        if isinstance(held, GeneratorType | random.SystemRandom):
            return 0 if self.seen else None  # its calls are
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(held, io.IOBase):
                return held.tell()
            own = type(held).__reduce__
            if isinstance(own, MethodDescriptorType) and own is not object.__reduce__:
                return None if isinstance(held, _OF_CALLS) else self._part(held.__reduce__())
        return None

    def _part(self, held: Any) -> Any:
        if isinstance(held, tuple):
            parts = [self._part(each) for each in held]
            return None if None in parts else parts
        if is_iterator(held):
            return None if isinstance(held, GeneratorType) else self._position(held)
        if isinstance(held, Number):
            return held
        return len(held) if hasattr(held, "__len__") else 0 if held is None or callable(held) else None


def _of_others(frame: FrameType | None) -> bool:
    """Whether code that runs is not the user's: of a library, or of a package that was installed."""
    return frame is not None and (
        "-packages" in frame.f_code.co_filename or _is_library(str(frame.f_globals.get("__name__")))
    )


def _asker(frame: FrameType | None, name: str) -> str:
    """The outermost function of a library that is being called, or its class; ``name`` if there is none.

    Empty for one that asks of its own accord.
    """
    while frame is not None and _of_others(frame):
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _BY_THEMSELVES:
            return ""
        code, frame = frame.f_code, frame.f_back
        name = getattr(code, "co_qualname", code.co_name).partition(".")[0]  # from Python 3.11 on
    return name


def of_library(held: Any) -> bool:
    """Whether a function or a class is no code of the user's."""
    return _is_library(str(getattr(held, "__module__", "builtins")))


def _is_library(module: str) -> bool:
    """Whether a module is one of Python's, or of those that are named here: its file tells, not its name.

    A user's own ``queue.py`` is none.
    """
    top = module.partition(".")[0]
    return top in _LIBRARIES and _lies_there(getattr(sys.modules.get(top), "__file__", None))


@cache
def _lies_there(file: str | None) -> bool:
    """Whether a file lies where Python's own modules do, or what was installed; all but sources do."""
    return not file or not file.endswith(".py") or file.startswith(_PLACES) or "-packages" in file


def is_of_users(module: Any) -> bool:
    """Whether it is a module of the user's, neither one of Python's nor one that was installed."""
    if not isinstance(module, ModuleType) or _is_library(module.__name__):
        return False
    return "-packages" not in str(module.__dict__.get("__file__", "-packages"))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Code, and that inside of it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def words_of(code: CodeType, *, texts: bool = False) -> Iterator[str]:
    """The names that code uses, and that inside of it; and the ``texts``, by which attributes are read."""
    for part in _codes(code):
        yield from part.co_names
        for each in part.co_consts if texts else ():
            several = each if isinstance(each, tuple) else (each,)
            yield from (text for text in several if isinstance(text, str))
