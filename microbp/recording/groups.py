"""What is on inside of a ``with``: the group of what is recorded there, and switches of the process.

A group is kept by reference at each value recorded in it, in a call of a module or inside ``with
group("h1")``. What it is called, and the how-manieth call it was, is worked out when somebody asks for the
labels of a graph: recording only stores the reference.
"""

from __future__ import annotations

import os
from _thread import RLock, allocate_lock, get_ident
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import partial, wraps
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from itertools import count
from typing import Any, ClassVar
from weakref import ref

from microbp.compiled import SCOPE
from microbp.native import extension

__all__ = [
    "Around", "Group", "Held", "Switch", "asked_for", "current", "current_group", "group", "grouping",
    "serials",
]  # fmt: skip

#: Groups count up in the order in which they were entered.
serials = count()


class Group:
    """One call of a module, or one passage through ``with group(name)``."""

    __slots__ = ("name", "owner", "parent", "serial")

    def __init__(self, name: str | None, owner: Any, parent: Group | None, serial: int | None = None) -> None:
        #: The one given; None for that of a module, which is worked out when somebody asks.
        self.name = name
        #: The module, or None.
        self.owner = owner
        self.parent = parent
        self.serial = next(serials) if serial is None else serial


#: The group that the running code is in, in this thread.
current: ContextVar[Group | None] = ContextVar("group", default=None)
current_group: Callable[[], Group | None] = current.get
#: The outermost groups that code of any thread is in, or references: recording asks for the group meanwhile.
_outermost: set[Any] = set()


class asked_for:  # noqa: N801 (a decorator)
    """A special method that a property gives: ``with`` asks for it and calls it, with nothing between.

    Asked for at the class, as ``contextlib.ExitStack`` does, it is a function of the object.
    """

    def __init__(self, method_of: Callable[[Any], Callable[..., Any]]) -> None:
        self.method_of = method_of

    def __get__(self, of: Any, owner: type) -> Callable[..., Any]:
        if of is None:
            return lambda each, *args: self.method_of(each)(*args)
        return self.method_of(of)


class Held:
    """What is on inside of the ``with``, in this thread, as long as a lock is held.

    What takes the lock and gives it back is written in C, so that there is no moment at which Ctrl-C could
    come between and leave it on; nothing else has to be undone.
    """

    #: What this code has entered last, and may have left: references to the lock and to the object, which do
    #: not keep them alive, and what it was in then.
    _entered: ClassVar[ContextVar[Any]]

    def __init_subclass__(cls) -> None:
        if Held in cls.__bases__:  # one of a user's own that is made of it is of the same kind
            cls._entered = ContextVar(cls.__name__, default=None)

    def __init__(self) -> None:
        self._lock = allocate_lock()

    @classmethod
    def innermost(cls) -> Any:
        """The innermost of this kind that this code is in, as it is kept; None where there is none."""
        entered = cls._entered.get()
        while entered is not None and not ((lock := entered[0]()) and lock.locked()):
            entered = entered[2]
        return entered

    @asked_for
    def __enter__(self) -> Callable[[], object]:
        """Asked for by ``with``, which calls it."""
        if self._lock.locked():
            who = type(self).__name__
            raise RuntimeError(f"this {who}() has been entered and not left; call {who}() for each with")
        self._entered.set((ref(self._lock), ref(self), self.innermost()))
        return self._lock.__enter__

    @asked_for
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 (what it gives takes them)
        """Asked for by ``with``, which calls it."""
        return self._lock.__exit__


class Around(ContextDecorator):
    """A ``with`` that is a decorator, too: of a function that has done its work when it returns."""

    def __call__(self, function: Any) -> Any:
        """The function inside it; TypeError for one that only begins then, whose body would be outside."""
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        if flags & (CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR):
            who = type(self).__name__
            raise TypeError(
                f"{who}() as a decorator would be left before {function.__name__}() runs, which is a "
                f"generator or a coroutine; write with {who}(…): inside it"
            )
        return super().__call__(function)


class group(Around):  # noqa: N801 (used like a function)
    """What is recorded inside the ``with`` belongs together: a cluster of that name in a drawing.

    >>> from microbp import Graph, Value
    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> with group("h1"):
    ...     h = (w * x).tanh()
    >>> [node.group for node in Graph(h)]
    [(), (), (('h1', 0),), (('h1', 0),)]

    Groups nest. A call of a :class:`microbp.Module` is a group by itself. The leaves made inside are in
    none, since other code may use them as well. Raises TypeError where the name is not a str.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a group's name is a str, not {name!r}")
        self._name = name
        self._outer: Group | None = None
        self._entered = False

    def _recreate_cm(self) -> group:
        return group(self._name)

    @asked_for
    def __enter__(self) -> Callable[[], object]:
        """Asked for by ``with``, which calls it: in C, so that Ctrl-C cannot come between."""
        if self._entered:
            raise RuntimeError("this group() has been entered and not left; call group(name) for each with")
        self._outer = current.get()
        self._entered = True
        if self._outer is None:
            _outermost.add(ref(self, _outermost.discard))
        return partial(current.set, Group(self._name, None, self._outer))

    def __exit__(self, *error: object) -> None:
        # Twice, of which the second changes nothing: Ctrl-C may strike in the first.
        try:
            _leave(ref(self), self._outer)
        finally:
            _leave(ref(self), self._outer)
            self._entered = False


def _leave(entered: Any, outer: Group | None) -> None:
    current.set(outer)
    _outermost.discard(entered)


def grouping(call: Callable[..., Any]) -> Callable[..., Any]:
    """``__call__`` of a module such that what it records is a group; ``super().__call__`` opens no second."""
    if extension is not None:
        in_c: Callable[..., Any] = wraps(call)(extension.Grouped(call))
        return in_c

    @wraps(call)
    def grouped(self: Any, *args: Any, **options: Any) -> Any:
        outer = current.get()
        if outer is not None and outer.owner is self:
            return call(self, *args, **options)
        entered = Group(None, self, outer)
        try:
            try:
                if outer is None:
                    _outermost.add(entered)
                current.set(entered)
                return call(self, *args, **options)
            finally:
                _leave(entered, outer)
        finally:  # changes nothing, unless Ctrl-C has struck in the first
            _leave(entered, outer)

    return grouped


SCOPE.update(grouped=_outermost, current_group=current_group)


# ---------------------------------------------------------------------------------------------- switches
class Switch:
    """A state of the process, turned on by the first who enters and off when the last has left.

    Who is inside is known, not counted, and ``turn(on)`` may be called once too often: so Ctrl-C, which may
    strike at any instruction, leaves nobody inside, and neither does a thread that a fork has left behind.
    What was turned on may then stay so until the next ``with``: whoever must know asks ``inside``.

    >>> states = []
    >>> switch = Switch(states.append)
    >>> with switch.on(), switch.on():
    ...     states[-1]
    True
    >>> states[-1]
    False
    """

    def __init__(self, turn: Callable[[bool], object]) -> None:
        self._turn = turn
        #: References to who is inside; these go by themselves.
        self.inside: set[Any] = set()
        self._lock = RLock()
        os.register_at_fork(after_in_child=self._forked)

    def on(self) -> Inside:
        """On inside the ``with``."""
        return Inside(self)

    def settle(self) -> None:
        """Turn it as it should be."""
        with self._lock:
            self._turn(bool(self.inside))

    def _forked(self) -> None:
        """Only this thread goes on in the new process, and the lock may have been another's."""
        self._lock = RLock()
        for each in [*self.inside]:
            if isinstance(there := each(), Inside) and there.thread != get_ident():
                self.inside.discard(each)
        self.settle()


class Inside:
    """One passage through a ``with``."""

    def __init__(self, switch: Switch) -> None:
        self._switch, self.thread = switch, get_ident()

    @asked_for
    def __enter__(self) -> Callable[[], object]:
        """Asked for by ``with``, which calls it: in C, so that Ctrl-C cannot come between."""
        try:
            self._switch.inside.add(ref(self, self._switch.inside.discard))
            self._switch.settle()
        except BaseException:
            self._leave()
            raise
        return bool

    def __exit__(self, *_: object) -> None:
        # Twice, of which the second changes nothing: Ctrl-C may strike in the first.
        try:
            self._leave()
        finally:
            self._leave()

    def _leave(self) -> None:
        self._switch.inside.discard(ref(self))
        self._switch.settle()
