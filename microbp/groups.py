"""Groups: which values were recorded together, in a call of a module or inside ``with group("h1")``.

A group is kept by reference at each value recorded in it. What it is called, and the how-manieth call it
was, is worked out when a graph is frozen (:func:`group_paths`): recording only stores the reference.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import count
from typing import Any

from microbp.compiled import SCOPE

__all__ = ["Group", "GroupPath", "callers", "current_group", "group", "group_paths", "grouping"]

#: From the outermost group to the innermost: its name, and the number of this call of it.
GroupPath = tuple[tuple[str, int], ...]

_serial = count()


class Group:
    """One call of a module, or one passage through ``with group(name)``."""

    __slots__ = ("_name", "owner", "parent", "serial")

    def __init__(self, name: str | None, owner: Any, parent: Group | None, serial: int | None = None) -> None:
        self._name = name
        #: The module, or None.
        self.owner = owner
        self.parent = parent
        #: Groups count up in the order in which they were entered.
        self.serial = next(_serial) if serial is None else serial

    def name(self, called: _Called) -> str:
        """Its own name; for a module its path in the module that called it, a variable, or its class."""
        if self._name is not None:
            return self._name
        for caller in self._callers():
            path = called.paths(caller).get(id(self.owner))
            if path is not None:
                return path
        return called.variables.get(id(self.owner), type(self.owner).__name__)

    def _callers(self) -> Iterator[Any]:
        """The modules whose calls it is in, the innermost first."""
        above = self.parent
        while above is not None:
            if above.owner is not None:
                yield above.owner
            above = above.parent

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the name, not the module."""
        return Group, (self.name(_Called({})), None, self.parent, self.serial)


class _Called:
    """What modules are called, by their ``id``: by variables, and by the modules that hold them."""

    def __init__(self, variables: Mapping[int, str]) -> None:
        self.variables = variables
        self._paths: dict[int, dict[int, str]] = {}

    def paths(self, module: Any) -> dict[int, str]:
        """The path of each module in ``module``, walked through once."""
        if id(module) not in self._paths:
            self._paths[id(module)] = {id(held): path for path, held in module.named_modules().items()}
        return self._paths[id(module)]


#: The group that the running code is in, in this thread.
_current: ContextVar[Group | None] = ContextVar("group", default=None)
current_group: Callable[[], Group | None] = _current.get
_counting = threading.Lock()


def _entered(change: int) -> None:
    """An outermost group is entered or left in some thread: recording asks for the group meanwhile."""
    with _counting:
        SCOPE["grouped"] += change


@contextmanager
def group(name: str) -> Iterator[None]:
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
    if not isinstance(name, str):
        raise TypeError(f"a group's name is a str, not {name!r}")
    with _inside(Group(name, None, _current.get())):
        yield


@contextmanager
def _inside(entered: Group) -> Iterator[None]:
    token = _current.set(entered)
    try:
        if entered.parent is None:
            _entered(+1)
        try:
            yield
        finally:
            if entered.parent is None:
                _entered(-1)
    finally:
        _current.reset(token)


def grouping(call: Callable[..., Any]) -> Callable[..., Any]:
    """``__call__`` of a module such that what it records is a group; ``super().__call__`` opens no second."""

    @wraps(call)
    def grouped(self: Any, *args: Any, **options: Any) -> Any:
        outer = _current.get()
        if outer is None:
            with _inside(Group(None, self, None)):
                return call(self, *args, **options)
        if outer.owner is self:
            return call(self, *args, **options)
        token = _current.set(Group(None, self, outer))
        try:
            return call(self, *args, **options)
        finally:
            _current.reset(token)

    return grouped


def group_paths(
    groups: Iterable[Group | None], variables: Mapping[int, str]
) -> dict[Group | None, GroupPath]:
    """For each group its path; the calls of one name under one parent are numbered as they were entered.

    ``variables`` names by their ``id`` the modules that no other module called.
    """
    called = _Called(variables)
    own: dict[Group, str] = {}
    for each in {*groups}:
        above = each
        while above is not None and above not in own:
            own[above] = above.name(called)
            above = above.parent
    paths: dict[Group | None, GroupPath] = {None: ()}
    calls: Counter[tuple[GroupPath, str]] = Counter()
    for entered, name in sorted(own.items(), key=lambda item: item[0].serial):  # parents come first
        above_path = paths[entered.parent]
        paths[entered] = (*above_path, (name, calls[above_path, name]))
        calls[above_path, name] += 1
    return paths


def callers(groups: Iterable[Group | None]) -> list[Any]:
    """The modules in whose calls these groups are that were called by no other module, each once."""
    found: dict[int, tuple[int, Any]] = {}
    seen: set[Group] = set()
    for each in {*groups}:
        top, above = None, each
        while above is not None and above not in seen:
            seen.add(above)
            top = above if above.owner is not None else top
            above = above.parent
        if top is not None and above is None:
            first = found.get(id(top.owner), (top.serial, top.owner))
            found[id(top.owner)] = min(first, (top.serial, top.owner), key=lambda item: item[0])
    return [owner for _, owner in sorted(found.values(), key=lambda item: item[0])]


SCOPE.update(grouped=0, current_group=current_group)
