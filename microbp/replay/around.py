"""What a function finds outside of it, as far as another would make another program of it: ``Around``."""

from __future__ import annotations

import random
from array import ArrayType
from collections import OrderedDict, deque
from collections.abc import Callable, ItemsView, Iterable, KeysView, Sequence, ValuesView
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from io import IOBase
from itertools import chain
from numbers import Number
from operator import attrgetter, is_, methodcaller
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any
from weakref import ref

import numpy as np

from microbp.functions import Operation
from microbp.labels import walk
from microbp.outside import (
    MOST,
    PLAIN,
    Variable,
    attributes,
    contents,
    held_by,
    is_iterator,
    is_of_users,
    of_library,
    of_object,
    variables,
    words_of,
)
from microbp.value import Value

__all__ = ["Around", "Told"]

#: Numbers, texts and code; and what a function may have put there itself: Values and lists.
Told = tuple[list[Any], list[Any]]

#: Of more numbers than this, in a list outside of a function, it is not seen that they change.
SHORT = 100
#: What gives another answer each time; beside the generators that all functions share.
_GENERATORS = random.Random, np.random.Generator, np.random.BitGenerator, np.random.RandomState
_LEAVES = Value, *PLAIN, Number
_IN_A_LIST, _OF_DATA, _MADE = "[]", "[[]]", "()"
#: Where code has one of these, an object may be read by names that are not in it.
_ANY = {
    "getattr", "vars", "dir", "eval", "exec", "__dict__", "__getattribute__", "attrgetter", "getmembers",
    "asdict", "astuple", "fields", "type", "__class__",
}  # fmt: skip
#: Of more numbers than this, in an array, it is not seen that they change.
LONG = 10_000
_ARRAYS = np.ndarray, bytearray, ArrayType
#: Collections, and how they go through what they hold: one of the user's may do so in a way of its own.
_COLLECTIONS = list, tuple, set, frozenset, deque, dict
_ITERATED = {each.__iter__ for each in (*_COLLECTIONS, OrderedDict)}
#: What these lead to is made anew each time, may be released, or is to live no longer for being kept here.
_FRESH = KeysView, ValuesView, ItemsView, memoryview, ref, IOBase
#: The parts of functions that may be replaced.
_PARTS = "__code__", "__defaults__", "__kwdefaults__", "__dict__", "func", "args", "keywords"
_ABSENT, _END = object(), (object(),)


class Around:
    """What stands for what a function finds outside of it; where that is another, it is traced anew.

    ``words`` are those of its code as far as they are known, and grow to all of them.

    >>> table = {"rate": 2.0}
    >>> around = Around(set(), (table,))
    >>> around.same(set(), (table,))
    True
    >>> table["rate"] = 5.0
    >>> around.same(set(), (table,)), around.told == Around(set(), (table,)).told
    (False, False)

    What was read on the way is kept as it was: to compare it takes a hundredth of the time of another look.
    """

    told: Told
    #: What it may draw from.
    draws: list[Any]
    #: The Values that objects have computed and kept, of which none makes it another.
    made: list[int]
    #: Whether it can be compared, and may be kept until the next call.
    whole: bool

    def __init__(self, words: set[str], roots: tuple[Any, ...]) -> None:
        self._words, self._roots, self._known = words, roots, -1
        while self._known < len(words):
            self._known, self.whole = len(words), True
            self.told, self.draws, self.made = ([], []), [], []
            # Collections that show what they hold, and what they held; the same of words and of Values, which
            # are equal if they are the same; calls, and the very thing that they gave, or what they told.
            self._shown, self._held = list[Iterable[Any]](), list[Any]()
            self._plain, self._equal = list[Iterable[Any]](), list[Any]()
            self._calls, self._gave = list[Callable[[], Any]](), list[Any]()
            self._tells, self._told = list[Callable[[], Any]](), list[Any]()
            self._kept, self._kinds = set[Any](), dict[int, bool]()
            self._look()

    def same(self, words: set[str], roots: tuple[Any, ...]) -> bool:
        """Whether all that was read is what it was."""
        with suppress(Exception):  # another thread may change a collection meanwhile
            return (
                self.whole
                and self._known == len(words)
                and all(map(is_, roots, self._roots))
                and [*chain.from_iterable(self._plain)] == self._equal
                and all(map(is_, chain.from_iterable(self._shown), self._held))
                and all(map(is_, [call() for call in self._calls], self._gave))
                and [call() for call in self._tells] == self._told
            )
        return False

    def _look(self) -> None:
        fixed, left = self.told
        met = dict[int, int]()
        for name, held in walk([("", each) for each in self._roots], self._inside, MOST):
            if isinstance(held, Value):
                (self.made if name == _MADE else left).append(id(held))
            elif isinstance(held, _LEAVES):
                (left if name == _IN_A_LIST else fixed).append(repr(held))
            elif id(held) in met:
                left.append(met[id(held)])
            met.setdefault(id(held), len(met))

    def _inside(self, name: str, held: Any) -> Sequence[tuple[str, Any]]:
        """What something holds, after keeping it as it is; of more than :data:`SHORT` numbers none: data.

        The Values that an object has computed are told apart: nets keep what they gave last. Of one that is
        no Module there is what is read of it by words: beside a loss it may keep an optimiser and a history.
        """
        kind = type(held)
        if isinstance(held, _LEAVES):
            if isinstance(held, ModuleType):
                return self._module(held) if is_of_users(held) else ()
            if kind in PLAIN or kind is Value:
                return ()
            if not isinstance(held, Value):
                self._tell(repr, held)
            return () if of_library(kind) else self._object(held, of_object(held), every=True)
        for word in _PARTS if isinstance(held, FunctionType | partial) else ():
            self._call(getattr, held, word, None)
        if isinstance(held, FunctionType):
            self.told[0].append(held.__code__)
            self._words.update(words_of(held.__code__, texts=True))
            for each in () if of_library(held) else variables(held):
                self._keep_variable(each.owner, each.name)
            return [*held_by(name, held)]
        if is_iterator(held) or isinstance(held, _GENERATORS):
            self.draws.append(held)
        elif isinstance(held, np.ndarray | bytearray | ArrayType):
            self.told[1].extend(self._tell(_told_by, held))
        else:
            self._words.update(["getattr"] * isinstance(held, attrgetter | methodcaller))
            self.told[1].extend(_told_by(held))
        if kind.__module__ == "logging":
            return ()  # each logger leads to all others
        if isinstance(held, type):
            if not of_library(held):
                self._keep_kind(held)
            return [*held_by(name, held)]
        if isinstance(held, Variable) and not isinstance(held.owner, dict):  # a slot
            self._call(getattr, held.owner, held.name, None)
        elif isinstance(held, CellType | ContextVar):
            self._call(contents, held)
        elif isinstance(held, MappingProxyType):
            self._show(held, held.values())
        elif isinstance(held, _FRESH):
            self.whole = False
        if isinstance(held, (*_COLLECTIONS, *_ARRAYS)):
            elements = [*self._elements(name, held)]
            if of_library(kind) and attributes(held) is None:
                return elements
            return [*elements, *self._object(held, of_object(held), every=True)]
        inner = [*held_by(name, held)]
        if all(each is not kind for _, each in inner):  # of no object
            return inner
        return self._object(held, inner, self._reads_any(kind))

    def _object(
        self, held: Any, inner: Iterable[tuple[str, Any]], every: bool
    ) -> Sequence[tuple[str, Any]]:
        """What an object holds as one of its kind: ``every`` attribute, or those that words read."""
        kind, own = type(held), attributes(held)
        if own is not None:
            self._call(getattr, held, "__dict__")
            self._show(own, plain=True)
            if every:
                self._show(own.values())
        if own is not None or not of_library(kind):
            self._call(type, held)
        own = own or {}
        items = [*own.items(), *(item for item in inner if item[1] is not own and item[1] is not kind)]
        of_kind = [(kind.__name__, kind)]
        if not every:
            items = [item for item in items if self._reads(item[0])]
            for word in own.keys() & dict(items):
                self._keep_variable(own, word)
            for base in kind.__mro__[:-1]:
                self._keep_kind(base)
            theirs = chain.from_iterable(vars(base).items() for base in kind.__mro__[:-1])
            of_kind = [item for item in theirs if self._reads(item[0])]
        made = [isinstance(each, Value) and each._rule is not None for _, each in items]
        items = [(_MADE if it else word, each) for it, (word, each) in zip(made, items, strict=True)]
        return [*items, *of_kind]

    def _module(self, held: ModuleType) -> Sequence[tuple[str, Any]]:
        """What words read of a module that is no variable: an argument, an attribute."""
        own = vars(held)
        self._show(own, plain=True)
        read = [item for item in own.items() if item[0] in self._words]
        for word, _ in read:
            self._keep_variable(own, word)
        return read

    def _elements(self, name: str, held: Any) -> Iterable[tuple[str, Any]]:
        """What a collection holds; of an array, if these are no numbers, which are told by itself."""
        if isinstance(held, _ARRAYS):
            if not getattr(held, "dtype", np.dtype(float)).hasobject:
                return ()
            flat = np.asarray(held).reshape(-1)
            self.whole &= np.may_share_memory(flat, held)  # and is no copy
            held = flat
        else:
            self.whole &= type(held).__iter__ in _ITERATED
        if isinstance(held, dict):
            self._show(held, dict.values(held))
            keys = ((_IN_A_LIST, key) for key in [*held][:SHORT] if not isinstance(key, PLAIN))
            return [*held_by(name, held), *keys]
        values = all(type(each) is Value for each in [*held])
        self._show(held, plain=values)
        elements = [*held]
        if values:  # of which there may be more than MOST
            self.told[1].extend(map(id, elements))
            return ()
        size = sum(len(each) if isinstance(each, list | tuple) else 1 for each in elements)
        data = name == _OF_DATA or size > SHORT
        word = _OF_DATA if data else _IN_A_LIST
        return ((word, each) for each in elements if not (data and isinstance(each, PLAIN)))

    def _reads_any(self, kind: type) -> bool:
        """Whether all attributes of an object may be read, by whatever name."""
        if id(kind) not in self._kinds:
            every = not self._words.isdisjoint((kind.__name__, *_ANY))
            self._kinds[id(kind)] = every or any(map(of_library, kind.__mro__[:-1]))
        return self._kinds[id(kind)]

    def _reads(self, word: str) -> bool:
        return word in self._words or (word[:2] == "__" and word not in ("__init__", "__dict__"))

    # ------------------------------------------------------------------------ what was read, as it was
    def _show(self, *collections: Iterable[Any], plain: bool = False) -> None:
        shown, held = (self._plain, self._equal) if plain else (self._shown, self._held)
        for each in (*collections, _END):
            shown.append(each)
            held.extend(each)

    def _keep_kind(self, kind: type) -> None:
        if id(kind) not in self._kept:
            self._kept.add(id(kind))
            self._call(getattr, kind, "__bases__")
            self._show(vars(kind), vars(kind).values())

    def _keep_variable(self, owner: dict[str, Any], word: str) -> None:
        if (id(owner), word) not in self._kept:
            self._kept.add((id(owner), word))
            self._call(owner.get, word, _ABSENT)

    def _call(self, call: Callable[..., Any], *of: Any) -> None:
        self._calls.append(partial(call, *of))
        self._gave.append(call(*of))

    def _tell(self, tell: Callable[[Any], Any], held: Any) -> Any:
        self._tells.append(partial(tell, held))
        self._told.append(tell(held))
        return self._told[-1]


def _told_by(held: Any) -> list[Any]:
    """What is told by a thing itself, beside what it holds: the kind and the size of a collection, say."""
    if isinstance(held, np.ndarray):
        short = held.size <= LONG and not held.dtype.hasobject
        return [(held.shape, held.dtype), *([held.tobytes()] if short else ())]
    if isinstance(held, bytearray | ArrayType):
        size = len(held)
        return [(type(held), size, getattr(held, "typecode", "")), *([bytes(held)] if size <= LONG else ())]
    if isinstance(held, list | tuple | set | frozenset | deque):
        return [(type(held), len(held))]
    if isinstance(held, dict):
        return [(type(held), *(repr(key) for key in [*held][:SHORT] if isinstance(key, PLAIN)))]
    kind = type(held)
    schedule = kind.__module__ == "microbp.optim" and kind.__hash__ is not None
    if isinstance(held, type | np.ufunc | slice | Operation) or schedule:
        return [held]
    # one of Python's that is not gone into: a date, a function in C
    told = of_library(kind) and kind.__hash__ is not None and not kind.__dictoffset__
    return [held] if told and not (kind is ref or kind.__module__.startswith("microbp")) else [kind]
