"""What values are called: by their user, by variables, by the modules that hold them.

A name that a user gave, to the value or to a variable, is never changed and never means anything else;
names that are made up give way to all of them. Looking for names visits each object once, without recursion,
:data:`DEEPEST` containers deep, and at most :data:`MOST` elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from microbp.value import Value

__all__ = [
    "Naming", "Path", "PathName", "Variables", "layer_path", "parameter_paths", "text_of", "variable_names",
]  # fmt: skip

DEEPEST, MOST = 16, 200_000

#: Where a module holds a parameter: attributes, keys and indices, from the outside in.
Path = tuple[Any, ...]


class PathName(str):  # noqa: SLOT000 (it has its path beside)
    """A name that a module gave to its parameter: the text of its path, which stays data.

    >>> PathName(("w", 0)), PathName(("w", 0)).path
    ('w.0', ('w', 0))
    """

    path: Path

    def __new__(cls, path: Path) -> PathName:  # noqa: PYI034, D102
        name = super().__new__(cls, text_of(path))
        name.path = path
        return name

    def __reduce__(self) -> tuple[Any, ...]:
        return PathName, (self.path,)


def text_of(path: Path) -> str:
    """A path as people read it: ``layers.0.neurons.1.b``."""
    return ".".join(map(str, path))


def layer_path(path: Path) -> Path:
    """The layer of a parameter, by its path: without its own name and its neuron, up to the first number.

    >>> layer_path(("layers", 0, "neurons", 1, "w", 0)), layer_path(("net", "out", "neurons", 0, "b"))
    (('layers', 0), ('net', 'out'))

    An array that stands in no inner module is a layer by itself, a Value there is in none:

    >>> layer_path(("W1", 0, 2)), layer_path(("b",))
    (('W1',), ())
    """
    own = path
    while len(own) > 1 and isinstance(own[-1], int):
        own = own[:-1]
    inner = own[:-1]
    if inner[-2:-1] == ("neurons",):
        inner = inner[:-2] or inner[:-1]
    numbers = [place for place, part in enumerate(inner) if isinstance(part, int)]
    return (inner[: numbers[0] + 1] if numbers else inner) or (own if own != path else ())


def _holds_parameters(held: Any) -> bool:
    """Whether it is a module, or an object that has ``parameters()`` like one."""
    return not isinstance(held, type) and callable(getattr(type(held), "parameters", None))


def _inside(held: Any) -> Iterator[tuple[Path, Any]]:
    """What a container holds that may be a value or hold some, and where; of a module its attributes."""
    if isinstance(held, list | tuple):
        for index, each in enumerate(held):
            yield (index,), each
    elif isinstance(held, dict):
        for key, each in held.items():
            yield (key,), each
    elif isinstance(held, np.ndarray):
        if held.dtype == object:
            yield from np.ndenumerate(held.view(np.ndarray))
    elif _holds_parameters(held):
        parts = held._parts() if hasattr(held, "_parts") else getattr(held, "__dict__", {}).items()
        for name, each in parts:
            if not name.startswith("_"):
                yield (name,), each


def _may_hold(held: Any) -> bool:
    return isinstance(held, list | tuple | dict | np.ndarray) or _holds_parameters(held)


def parameter_paths(holder: Any) -> Iterator[tuple[Path, Any]]:
    """The leaf Values in a module, and the modules in it, in the order of attributes, under their first path.

    >>> class Line:
    ...     def __init__(self):
    ...         self.slope, self.offsets = Value(2.0), [Value(0.0), Value(1.0)]
    ...     def parameters(self):
    ...         return [self.slope, *self.offsets]
    >>> [path for path, _ in parameter_paths(Line())]
    [('slope',), ('offsets', 0), ('offsets', 1)]
    """
    seen, left = {id(holder)}, MOST
    pending: list[tuple[Path, Iterator[tuple[Path, Any]]]] = [((), _inside(holder))]
    while pending and left > 0:
        path, inside = pending[-1]
        for place, held in inside:
            left -= 1
            value = isinstance(held, Value)
            if id(held) in seen or not (held.is_leaf if value else _may_hold(held)):
                continue
            seen.add(id(held))
            if value or _holds_parameters(held):
                yield path + place, held
            if not value and len(path) + 1 < 2 * DEEPEST:
                pending.append((path + place, _inside(held)))
                break
        else:
            pending.pop()


def _size(container: tuple[str, Any]) -> int:
    held = container[1]
    return held.size if isinstance(held, np.ndarray) else len(held)


class Variables:
    """What the variables of ``scope`` call the Values and modules that they hold, also in containers.

    A variable comes before an element, a shallow element before a deep one, and one of a small container
    before one of a large one; else what stands first. The variable of a loop over a container, which holds
    its last leaf afterwards and no other one, comes last. What a notebook keeps by itself (``In``, ``Out``,
    ``_…``) names nothing. No Value is kept alive by it.
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        level = [
            (name, held)
            for name, held in scope.items()
            if not name.startswith("_") and (name not in ("In", "Out") or isinstance(held, Value))
        ]
        #: All variables, whatever they hold.
        self.taken = {name for name, _ in level}
        #: The ``id`` of the Value of each name: a Value may have several.
        self.values: dict[str, int] = {}
        #: The modules, and other objects with ``parameters()``.
        self.modules: dict[str, Any] = {}
        alone = {id(held): name for name, held in level if isinstance(held, Value)}
        self._of_loops: set[str] = set()
        seen: set[int] = set()
        left = MOST
        for _ in range(DEEPEST):
            containers = []
            for text, held in level:
                if isinstance(held, Value):
                    self.values.setdefault(text, id(held))
                elif _may_hold(held) and id(held) not in seen:
                    seen.add(id(held))
                    if _holds_parameters(held):
                        self.modules.setdefault(text, held)
                    else:
                        containers.append((text, held))
            level = []
            for text, held in sorted(containers, key=_size):
                inside = [*islice(_inside(held), left)]
                left -= len(inside)
                level += [
                    (f"{text}[{','.join(map(repr, place))}]", each)
                    for place, each in inside
                    if isinstance(each, Value) or _may_hold(each)
                ]
                known = [each for _, each in inside if id(each) in alone]
                last = inside[-1][1] if len(inside) > 1 else None
                values = all(isinstance(each, Value) for _, each in inside)
                if last is not None and values and known == [last] and last.is_leaf:
                    self._of_loops.add(alone[id(last)])

    def called(self, *, modules: bool = False) -> dict[int, str]:
        """The first name of each Value, or of each module, by its ``id``."""
        names: dict[int, str] = {}
        held = {name: id(each) for name, each in self.modules.items()} if modules else self.values
        for name in sorted(held, key=self._of_loops.__contains__):
            names.setdefault(held[name], name)
        return names


def variable_names(names: Mapping[str, Any]) -> dict[int, str]:
    """The ``id`` of each Value that a variable holds, by itself or in a container, and its name.

    >>> w, x = [Value(1.0), Value(2.0)], Value(3.0)
    >>> sorted(variable_names({"w": w, "x": x, "_": Value(4.0)}).values())
    ['w[0]', 'w[1]', 'x']
    """
    return Variables(names).called()


class Naming:
    """What the values of a graph are called, by their positions; names are made when asked for.

    In this order count: the name that the user gave to a value; its path in the outermost module that is
    known; a variable. A count tells two of one name apart, and made-up names, ``v`` and the index, from all
    that users gave.
    """

    def __init__(
        self, own: Mapping[int, str], places: Mapping[int, int], variables: Variables, callers: Iterable[Any]
    ) -> None:
        """Of what values bear, by position, and modules in whose calls they were made; no Value is kept.

        ``places`` has the positions of Values by their ``id``.
        """
        held = {id(each): (text, each) for text, each in reversed(variables.modules.items())}
        holders = [*reversed(held.values()), *(("", each) for each in callers if id(each) not in held)]
        walks = [(text, list(parameter_paths(each))) for text, each in holders]
        #: What the module is called whose parameter it is.
        self._homes: dict[int, str] = {}
        #: Where its module holds a parameter.
        self.paths: dict[int, Path] = {}
        for text, walk in sorted(walks, key=lambda each: -len(each[1])):  # the outer one holds more
            for path, each in walk:
                place = places.get(id(each), -1)
                if place >= 0 and place not in self.paths:
                    self.paths[place], self._homes[place] = path, text
        for place, name in own.items():
            if isinstance(name, PathName):
                self.paths.setdefault(place, name.path)
        self._own = {place: name for place, name in own.items() if name and not isinstance(name, PathName)}
        called = {places[key]: name for key, name in variables.called().items() if key in places}
        #: By the variables that hold them, in the order of the graph.
        self._called = {place: called[place] for place in sorted(called.keys() - self.paths.keys())}
        #: The position of what each variable holds, -1 outside of the graph.
        self.variables = {name: places.get(key, -1) for name, key in variables.values.items()}
        self._taken = variables.taken

    @staticmethod
    def known(names: list[str], named: list[bool], paths: list[Path]) -> Naming:
        """Those of a graph of which all labels are known."""
        found = object.__new__(Naming)
        found.paths = {place: path for place, path in enumerate(paths) if path}
        found.variables, found._names = {}, dict(enumerate(names))
        found.given = {place for place, given in enumerate(named) if given}
        return found

    @cached_property
    def given(self) -> set[int]:
        """The positions of what has a name that was given."""
        return {*self._own, *self._called, *self.paths}

    def name(self, place: int) -> str:
        """The name of one value."""
        if place in self._names:
            return self._names[place]
        name, count = f"v{place}", 1
        while name in self._users:
            count += 1
            name = f"v{place}#{count}"
        return name

    @cached_property
    def _users(self) -> set[str]:
        """All names that a made-up one must not be."""
        return {*self._names.values(), *self._own.values(), *self.variables, *self._taken}

    @cached_property
    def _names(self) -> dict[int, str]:
        """The names that were given, each made unique."""
        first = self._called | self._own
        reserved = {*first.values(), *self.variables}
        found: dict[int, str] = {}
        used: set[str] = set()
        counts: Counter[str] = Counter()

        def give(place: int, text: str, *, own: bool) -> None:
            name = text
            while name in used or (name in reserved and not (own and name == text)):
                counts[text] += 1
                name = f"{text}#{counts[text] + 1}"
            used.add(name)
            found[place] = name

        for place in (*self._own, *(each for each in self._called if each not in self._own)):
            give(place, first[place], own=True)
        texts = {place: text_of(self.paths[place]) for place in sorted(self.paths.keys() - first.keys())}
        alike = Counter(texts.values())
        for place, text in texts.items():
            home, mine = self._homes.get(place), self.variables.get(text) == place
            if home and (alike[text] > 1 or text in used or (text in reserved and not mine)):
                give(place, f"{home}.{text}", own=False)
            else:
                give(place, text, own=mine)
        return found
