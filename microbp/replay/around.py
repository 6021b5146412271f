"""What a function finds outside of it, as far as another would make another program of it: ``Around``."""

from __future__ import annotations

import random
from array import ArrayType
from collections import OrderedDict, deque
from collections.abc import Callable, ItemsView, Iterable, KeysView, ValuesView
from contextlib import suppress
from functools import partial
from io import IOBase
from itertools import chain
from numbers import Number
from operator import attrgetter, is_, methodcaller
from types import FunctionType, MappingProxyType
from typing import Any
from weakref import ref

import numpy as np

from microbp.labels import walk
from microbp.outside import (
    MOST,
    PLAIN,
    Variable,
    attributes,
    held_by,
    is_iterator,
    lookups,
    of_library,
    variables,
    words_of,
)
from microbp.value import Value

__all__ = ["Around"]

#: Of more numbers than this, in a list or an array outside of a function, it is not seen that they change.
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
#: Collections, and how they go through what they hold: one of the user's may do so in a way of its own.
_COLLECTIONS = list, tuple, set, frozenset, deque, dict
_ITERATED = {each.__iter__ for each in (*_COLLECTIONS, OrderedDict)}
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

    #: Numbers, texts and code; and what the function may have put there itself: Values and lists.
    told: list[list[Any]]
    #: What it may draw from.
    draws: list[Any]
    #: The Values that objects have computed and kept, of which none makes it another.
    made: list[int]

    def __init__(self, words: set[str], roots: tuple[Any, ...]) -> None:
        self._words, self._roots, self._known = words, roots, -1
        while self._known < len(words):
            self._known, self._whole = len(words), True
            self.told, self.draws, self.made = [[], []], [], []
            # Collections that show what they hold, and what they held; calls, and the very thing that they
            # gave; calls, and what equals what they told.
            self._shown, self._held = list[Iterable[Any]](), list[Any]()
            self._calls, self._gave = list[Callable[[], Any]](), list[Any]()
            self._tells, self._told = list[Callable[[], Any]](), list[Any]()
            self._kept, self._kinds = set[Any](), dict[int, bool]()
            self._look()

    def same(self, words: set[str], roots: tuple[Any, ...]) -> bool:
        """Whether all that was read is what it was."""
        with suppress(Exception):  # another thread may change a collection meanwhile
            return (
                self._whole
                and self._known == len(words)
                and all(map(is_, roots, self._roots))
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
                if type(held) not in PLAIN:
                    self._tell(repr, held)
                (left if name == _IN_A_LIST else fixed).append(repr(held))
            elif id(held) in met:
                left.append(met[id(held)])
            else:
                met[id(held)] = len(met)
                self._keep(held)
                if isinstance(held, FunctionType):
                    fixed.append(held.__code__)
                    self._words.update(words_of(held.__code__, texts=True))
                elif is_iterator(held) or isinstance(held, _GENERATORS):
                    self.draws.append(held)
                else:
                    self._words.update(["getattr"] * isinstance(held, attrgetter | methodcaller))
                    left += _told_by(held)

    def _inside(self, name: str, held: Any) -> list[tuple[str, Any]]:
        """What something holds; of more than :data:`SHORT` numbers none, which are data.

        The Values that an object has computed are told apart: nets keep what they gave last. Of one that is
        no Module there is what is read of it by words: beside a loss it may keep an optimiser and a history.
        """
        if isinstance(held, _LEAVES) or type(held).__module__ == "logging":
            return []  # each logger leads to all others
        kind, own = type(held), attributes(held)
        if isinstance(held, np.ndarray):
            held = np.asarray(held).ravel().tolist() if held.dtype == object else []
        if isinstance(held, set | frozenset | deque | bytearray | ArrayType | range) and len(held) <= SHORT:
            held = [*held]
        if isinstance(held, list | tuple):
            size = sum(len(each) if isinstance(each, list | tuple) else 1 for each in held)
            data = name == _OF_DATA or size > SHORT
            word = _OF_DATA if data else _IN_A_LIST
            each_of = ((word, each) for each in held if not (data and isinstance(each, PLAIN)))
            return [*own.items(), *each_of]
        inner = [*held_by(name, held)]
        if isinstance(held, dict):
            inner += [(_IN_A_LIST, key) for key in [*held][:SHORT] if not isinstance(key, PLAIN)]
        # of no object but a class, or a collection with attributes
        if isinstance(held, type) or all(each is not kind for _, each in inner):
            return [*inner, *(own.items() if isinstance(held, dict | set) else ())]
        every = self._reads_any(kind)
        found = [*own.items(), *(item for item in inner if item[1] is not own and item[1] is not kind)]
        found = [
            (_MADE if isinstance(each, Value) and each._rule else word, each)
            for word, each in found
            if every or self._named(word)
        ]
        if every:
            return [*found, (kind.__name__, kind)]
        of_kinds = chain.from_iterable(vars(each).items() for each in kind.__mro__[:-1])
        return [*found, *(item for item in of_kinds if self._named(item[0]))]

    def _reads_any(self, kind: type) -> bool:
        """Whether all attributes of an object may be read, by whatever name."""
        if id(kind) not in self._kinds:
            every = not self._words.isdisjoint((kind.__name__, *_ANY))
            self._kinds[id(kind)] = every or any(map(of_library, kind.__mro__[:-1]))
        return self._kinds[id(kind)]

    def _named(self, word: str) -> bool:
        return word in self._words or (word[:2] == "__" and word not in ("__init__", "__dict__"))

    # ------------------------------------------------------------------------ what was read, as it was
    def _keep(self, held: Any) -> None:
        """Keep what is read of a thing, before it is."""
        kind = type(held)
        if isinstance(held, FunctionType):
            for word in ("__code__", "__defaults__", "__kwdefaults__"):
                self._call(getattr, held, word)
            for each in () if of_library(held) else variables(held):
                self._keep_variable(each.owner, each.name)
        elif isinstance(held, type):
            if not of_library(held):
                self._keep_kind(held)
                self._call(getattr, held, "__bases__")
        elif isinstance(held, Variable) and isinstance(held.owner, dict):
            self._keep_variable(held.owner, held.name)
        elif isinstance(held, ref):
            self._whole = False  # what is kept here would live on
        elif calls := lookups(held):
            for call in calls:
                self._call(call, held)
        elif isinstance(held, MappingProxyType):
            self._show(held, held.values())
        elif isinstance(held, KeysView | ValuesView | ItemsView) and hasattr(held, "mapping"):
            self._show(held.mapping, held.mapping.values())
        else:
            if isinstance(held, _COLLECTIONS):
                self._whole &= kind.__iter__ in _ITERATED
                self._show(held, *([dict.values(held)] if isinstance(held, dict) else []))
            elif isinstance(held, np.ndarray | bytearray | ArrayType):
                self._tell(_told_by, held)
                if not isinstance(held, np.ndarray):
                    self._tell(lambda held: bytes(held[:SHORT]), held)
                elif held.dtype == object:
                    flat = np.asarray(held).reshape(-1)
                    self._whole &= np.may_share_memory(flat, held)  # and is no copy
                    self._show(flat)
            elif isinstance(held, memoryview):
                self._tell(repr, held)  # it may be released
            elif isinstance(held, IOBase):
                self._tell(is_iterator, held)  # until it is closed
            self._keep_attributes(held, kind)

    def _keep_attributes(self, held: Any, kind: type) -> None:
        own = attributes(held)
        if hasattr(held, "__dict__"):
            self._call(getattr, held, "__dict__")
        if own or not of_library(kind):
            self._call(type, held)
        if isinstance(held, (*_COLLECTIONS, np.ndarray)) or self._reads_any(kind):
            self._show(own, own.values())
            return
        self._show(own)
        for word in filter(self._named, own):
            self._keep_variable(own, word)
        for each in kind.__mro__[:-1]:
            self._keep_kind(each)

    def _show(self, *collections: Iterable[Any]) -> None:
        for each in (*collections, _END):
            self._shown.append(each)
            self._held.extend(each)

    def _keep_kind(self, kind: type) -> None:
        if id(kind) not in self._kept:
            self._kept.add(id(kind))
            self._show(vars(kind), vars(kind).values())

    def _keep_variable(self, owner: dict[str, Any], word: str) -> None:
        if (id(owner), word) not in self._kept:
            self._kept.add((id(owner), word))
            self._call(owner.get, word, _ABSENT)

    def _call(self, call: Callable[..., Any], *of: Any) -> None:
        self._calls.append(partial(call, *of))
        self._gave.append(call(*of))

    def _tell(self, tell: Callable[..., Any], *of: Any) -> None:
        self._tells.append(partial(tell, *of))
        self._told.append(tell(*of))


def _told_by(held: Any) -> list[Any]:
    """What is told by a thing itself, beside what it holds: the kind and the size of a collection, say."""
    if isinstance(held, np.ndarray):
        short = held.dtype != object and held.size <= SHORT
        return [(held.shape, held.dtype), *([repr(held.tolist())] if short else ())]
    if isinstance(held, list | tuple | set | frozenset | deque | bytearray | ArrayType):
        return [(type(held), len(held), getattr(held, "typecode", ""))]
    if isinstance(held, dict):
        return [(type(held), *(key for key in [*held][:SHORT] if isinstance(key, PLAIN)))]
    if isinstance(held, type | np.ufunc | slice):
        return [held]
    kind = type(held)  # one of Python's that is not gone into: a date, a function in C
    told = of_library(kind) and kind.__hash__ is not None and not kind.__dictoffset__
    return [held] if told and not (kind is ref or kind.__module__.startswith("microbp")) else [kind]
