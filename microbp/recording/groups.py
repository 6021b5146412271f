"""Groups: which values were recorded together, in a call of a module or inside ``with group("h1")``.

A group is kept by reference at each value recorded in it. What it is called, and the how-manieth call it
was, is worked out when a graph is frozen (:func:`group_paths`): recording only stores the reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import partial, wraps
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from itertools import count
from typing import Any
from weakref import ref

from microbp.compiled import SCOPE
from microbp.native import extension

__all__ = [
    "Around", "Group", "GroupPath", "callers", "current", "current_group", "group", "group_paths", "grouping",
    "serials",
]  # fmt: skip

#: From the outermost group to the innermost: its name, and the number of this call of it.
GroupPath = tuple[tuple[str, int], ...]

#: Groups count up in the order in which they were entered.
serials = count()


class Group:
    """One call of a module, or one passage through ``with group(name)``."""

    __slots__ = ("_name", "owner", "parent", "serial")

    def __init__(self, name: str | None, owner: Any, parent: Group | None, serial: int | None = None) -> None:
        self._name = name
        #: The module, or None.
        self.owner = owner
        self.parent = parent
        self.serial = next(serials) if serial is None else serial

    def name(self, variables: Mapping[int, str], within: dict[int, dict[int, str]]) -> str:
        """Its own name; for a module its path in the module that called it, a variable, or its class.

        ``within`` keeps what has been asked for: the paths of the modules in each module.
        """
        if self._name is not None:
            return self._name
        for above in _upwards(self.parent):
            if above.owner is not None and id(above.owner) not in within:
                inner = above.owner.named_modules()
                within[id(above.owner)] = {id(held): path for path, held in inner.items()}
            if path := within.get(id(above.owner), {}).get(id(self.owner)):
                return path
        return variables.get(id(self.owner), type(self.owner).__name__)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the name, not the module."""
        return Group, (self.name({}, {}), None, self.parent, self.serial)


def _upwards(group: Group | None) -> Iterator[Group]:
    """A group and those that it is in, the innermost first."""
    while group is not None:
        yield group
        group = group.parent


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


def group_paths(
    groups: Iterable[Group | None], variables: Mapping[int, str]
) -> dict[Group | None, GroupPath]:
    """For each group its path; the calls of one name under one parent are numbered as they were entered.

    ``variables`` names by their ``id`` the modules that no other module called.
    """
    within: dict[int, dict[int, str]] = {}
    own: dict[Group, str] = {}
    for each in {*groups}:
        for above in _upwards(each):
            if above in own:
                break
            own[above] = above.name(variables, within)
    paths: dict[Group | None, GroupPath] = {None: ()}
    calls: Counter[tuple[GroupPath, str]] = Counter()
    for entered, name in sorted(own.items(), key=lambda item: item[0].serial):  # parents come first
        above_path = paths[entered.parent]
        paths[entered] = (*above_path, (name, calls[above_path, name]))
        calls[above_path, name] += 1
    return paths


def callers(groups: Iterable[Group | None]) -> list[Any]:
    """The modules in whose calls these groups are that were called by no other module, each once."""
    owned = ([above for above in _upwards(each) if above.owner is not None] for each in {*groups})
    tops = sorted((each[-1] for each in owned if each), key=lambda top: top.serial)
    return [*{id(top.owner): top.owner for top in tops}.values()]


SCOPE.update(grouped=_outermost, current_group=current_group)
