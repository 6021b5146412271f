"""What values are called: by their user, by variables, by the modules that hold them.

A name that a user gave, to the value or to a variable, is never changed and never means anything else;
names that are made up give way to all of them. Looking for names visits each object once, without recursion,
:data:`DEEPEST` containers deep, and at most :data:`MOST` elements.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, TypeVar

import numpy as np

from microbp.safe import named as safe_name
from microbp.value import Value

__all__ = [
    "Naming", "Path", "PathName", "Variables", "layer_path", "parameter_paths", "text_of", "variable_names",
    "walk",
]  # fmt: skip

DEEPEST, MOST = 16, 200_000
_PLAIN, _HOLDERS = (float, int, str, bool, type(None)), (Value, list, tuple, dict, np.ndarray)

#: Where a module holds a parameter: attributes, keys and indices, from the outside in.
Path = tuple[Any, ...]
Name = TypeVar("Name")


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


# ------------------------------------------------------------------------------------------- the walk
def walk(
    roots: Iterable[tuple[Name, Any]],
    inside: Callable[[Name, Any], Sequence[tuple[Name, Any]]],
    most: int = MOST,
    *,
    deep: bool = False,
) -> Iterator[tuple[Name, Any]]:
    """What is reached from ``roots`` by ``inside``, each by its name there; into no object it goes twice.

    The nearest comes first; or, with ``deep``, what is in an object right after it.
    """
    waiting, seen = deque(roots), dict[int, Any]()  # which are alive, so that no two have one id
    while waiting and len(seen) < most:
        name, held = waiting.popleft()
        yield name, held
        if id(held) not in seen:
            seen[id(held)] = held
            inner = inside(name, held)
            if inner:
                waiting.extendleft(reversed(inner)) if deep else waiting.extend(inner)


def _holds_parameters(held: Any) -> bool:
    """Whether it is a module, or an object that has ``parameters()`` like one."""
    return not isinstance(held, type) and callable(getattr(type(held), "parameters", None))


def _inside(held: Any, most: int | None = None) -> Iterator[tuple[Path, Any]]:
    """What a container holds that is a value or may hold some, and where; of a module its attributes."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(held, list | tuple):
        inner = enumerate(held)
    elif isinstance(held, dict):
        inner = held.items()
    elif isinstance(held, np.ndarray):
        inner = np.ndenumerate(held.view(np.ndarray)) if held.dtype == object else ()
    elif _holds_parameters(held):
        parts = held._parts() if hasattr(held, "_parts") else getattr(held, "__dict__", {}).items()
        inner = (part for part in parts if not part[0].startswith("_"))
    for place, each in islice(inner, most):
        if type(each) not in _PLAIN and (isinstance(each, _HOLDERS) or _holds_parameters(each)):
            yield place if isinstance(held, np.ndarray) else (place,), each


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

    def inside(path: Path, held: Any) -> Sequence[tuple[Path, Any]]:
        if isinstance(held, Value) or len(path) >= 2 * DEEPEST:
            return ()
        return [(path + place, each) for place, each in _inside(held)]

    seen = {id(holder)}
    for path, held in walk([((), holder)], inside, sys.maxsize, deep=True):  # all of them, whatever it takes
        if id(held) not in seen and (held.is_leaf if isinstance(held, Value) else _holds_parameters(held)):
            seen.add(id(held))
            yield path, held


class Variables:
    """What the variables of ``scope`` call the Values and modules that they hold, also in containers.

    A variable comes before an element, and a shallow element before a deep one; else what stands first. The
    variable of a loop over a container, which holds its last leaf afterwards and no other one, comes last.
    What a notebook keeps by itself (``In``, ``Out``, ``_…``) names nothing. No Value is kept alive by it.
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        if not isinstance(scope, Mapping):
            kind = type(scope).__name__
            raise TypeError(f"names maps variables to what they hold; it is no {kind}")
        own = {
            name: held
            for name, held in scope.items()
            if not name.startswith("_") and (name not in ("In", "Out") or isinstance(held, Value))
        }
        #: All variables, whatever they hold.
        self.taken = {*own}
        #: The ``id`` of the Value of each name: a Value may have several.
        self.values: dict[str, int] = {}
        #: The modules, and other objects with ``parameters()``.
        self.modules: dict[str, Any] = {}
        alone = {id(held): name for name, held in own.items() if isinstance(held, Value)}
        self._of_loops: set[str] = set()

        def inside(name: Path, held: Any) -> list[tuple[Path, Any]]:
            ends = isinstance(held, Value) or _holds_parameters(held) or len(name) > DEEPEST
            found = [] if ends else [*_inside(held, MOST)]
            if len(found) > 1 and all(isinstance(each, Value) for _, each in found):
                known, last = [each for _, each in found if id(each) in alone], found[-1][1]
                if known == [last] and last.is_leaf:
                    self._of_loops.add(alone[id(last)])
            return [((*name, place), each) for place, each in found]

        roots: list[tuple[Path, Any]] = [((name,), held) for name, held in own.items()]
        for path, held in walk(roots, inside):
            name = path[0] + "".join(f"[{','.join(map(repr, place))}]" for place in path[1:])
            if isinstance(held, Value):
                self.values.setdefault(name, id(held))
            elif _holds_parameters(held):
                self.modules.setdefault(name, held)

    def called(self, *, modules: bool = False) -> dict[int, str]:
        """The first name of each Value, or of each module, by its ``id``."""
        held = {name: id(each) for name, each in self.modules.items()} if modules else self.values
        names: dict[int, str] = {}
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


# ------------------------------------------------------------------------------------------ the names
class Naming:
    """What the values of a graph are called, by their positions.

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
        #: Where its module holds a parameter, and what that module is called.
        self.paths: dict[int, Path] = {}
        self._homes: dict[int, str] = {}
        modules: dict[int, tuple[str, Any]] = {}
        for text, each in [*variables.modules.items(), *(("", each) for each in callers)]:
            modules.setdefault(id(each), (text, each))
        walks = [(text, [*parameter_paths(each)]) for text, each in modules.values()]
        for text, found in sorted(walks, key=lambda each: -len(each[1])):  # the outer one holds more
            for path, each in found:
                place = places.get(id(each))
                if place is not None and place not in self.paths:
                    self.paths[place], self._homes[place] = path, text
        borne = {place: name.path for place, name in own.items() if isinstance(name, PathName)}
        self._own = {place: name for place, name in own.items() if place not in borne}
        self.paths = borne | self.paths
        #: The positions of what has a name that was given.
        self.given = {*self._own, *self.paths}
        called = {places[key]: name for key, name in variables.called().items() if key in places}
        #: By the variables that hold them, in the order of the graph.
        self._called = {place: called[place] for place in sorted(called.keys() - self.given)}
        #: The position of what each variable holds, -1 outside of the graph.
        self.variables = {name: places.get(key, -1) for name, key in variables.values.items()}
        self._taken = variables.taken
        self.given |= self._called.keys()

    def names(self, size: int) -> list[str]:
        """The names of all values, each unique."""
        paths = {place: text_of(self.paths[place]) for place in sorted(self.paths.keys() - self._own.keys())}
        alike, counts = Counter(paths.values()), Counter[str]()
        #: Whose a name is; -1: a variable's whose value is not in the graph.
        owner = self.variables | {name: place for place, name in reversed(self._own.items())}
        found: dict[int, str] = {}
        for place, text in (self._own | self._called | paths).items():
            taken = place in paths and (alike[text] > 1 or owner.get(text, place) != place)
            wish = f"{self._homes[place]}.{text}" if taken and self._homes.get(place) else text
            name = wish
            while owner.setdefault(name, place) != place:
                counts[wish] += 1
                name = f"{wish}#{counts[wish] + 1}"
            found[place] = safe_name(name)
        users = {*owner, *self._taken, *found.values()}
        return [found.get(place) or _unlike(f"v{place}", users) for place in range(size)]


def _unlike(wish: str, users: Container[str]) -> str:
    """A made-up name that is none of the users'."""
    counted = (f"{wish}#{number}" if number > 1 else wish for number in count(1))
    return next(name for name in counted if name not in users)
