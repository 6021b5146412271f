"""What values and groups are called: by their user, by variables, by the modules that hold them.

A name that a user gave, to the value or to a variable, is never changed and never means anything else;
names that are made up give way to all of them. Looking for names visits each object once, without recursion,
:data:`DEEPEST` containers deep, and at most :data:`MOST` elements.
"""

from __future__ import annotations

import copyreg
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Any, TypeVar

import numpy as np

from microbp.node import Path, PathName, are_leaves, noted, text_of
from microbp.recording.groups import Group
from microbp.text import named as safe_name
from microbp.text import quoted
from microbp.value import Value

DEEPEST, MOST = 16, 200_000
_SEQUENCES = list, tuple  # not list | tuple, which would be made for each question
_HOLDERS = Value, list, tuple, dict, np.ndarray
#: Kinds of which nothing holds a value; or, where only modules are asked for, a module.
_PASSED = (float, int, str, bool, type(None)), (float, int, str, bool, type(None), Value)

#: From the outermost group to the innermost: its name, and the number of this call of it.
GroupPath = tuple[tuple[str, int], ...]
Name = TypeVar("Name")


#: The names of the slots of a class, as pickle finds them.
_slot_names: Callable[[type], list[str]] = copyreg._slotnames  # type: ignore[attr-defined]


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
    ends = next((place + 1 for place, part in enumerate(inner) if isinstance(part, int)), len(inner))
    return inner[:ends] or (own if own != path else ())


# ----------------------------------------------------------------------------------------- the walk
def walk(
    roots: Iterable[tuple[Name, Any]],
    inside: Callable[[Name, Any], Sequence[tuple[Name, Any]]],
    most: int = MOST,
) -> Iterator[tuple[Name, Any]]:
    """What is reached from ``roots`` by ``inside``, each by its name there; into no object it goes twice.

    The nearest comes first.
    """
    waiting, seen = deque(roots), dict[int, Any]()  # which are alive, so that no two have one id
    while waiting and len(seen) < most:
        name, held = waiting.popleft()
        yield name, held
        if id(held) not in seen:
            seen[id(held)] = held
            waiting.extend(inside(name, held))


def _of_modules(kind: type) -> bool:
    """Whether its objects are modules, or have ``parameters()`` like one."""
    try:
        return not issubclass(kind, type) and callable(getattr(kind, "parameters", None))
    except Exception:  # noqa: BLE001 (of a metaclass, which may refuse)
        return False


def _attributes(held: Any) -> dict[str, Any]:
    """What an object holds by name: in its ``__slots__``, then in its ``__dict__``."""
    slots = {word: getattr(held, word) for word in _slot_names(type(held)) if hasattr(held, word)}
    return slots | getattr(held, "__dict__", {})


def contents(held: Any, most: int | None = None, *, modules: bool = False) -> list[tuple[Path, Any]]:
    """What a container holds that is a value or may hold some, and where; of a module its public attributes.

    Where a module says itself what its parameters are called, that; but its attributes where only ``modules``
    are asked for, and what may hold some.
    """
    inner: Iterable[tuple[Any, Any]] = ()
    kind = type(held)  # not its class: a proxy says that of something else, or raises
    if issubclass(kind, _SEQUENCES):
        inner = enumerate(held)
    elif issubclass(kind, dict):
        inner = [*held.items()]  # a copy, made at once: other threads may change it meanwhile
    elif issubclass(kind, np.ndarray):
        inner = np.ndenumerate(held.view(np.ndarray)) if held.dtype == object else ()
    elif _of_modules(kind):
        named = hasattr(held, "_parts") and not modules
        parts = held._parts() if named else _attributes(held).items()
        inner = [part for part in [*parts] if not part[0].startswith("_")]
    found = [*inner] if most is None else [*islice(inner, most)]
    kinds = {id(type(each)): type(each) for _, each in found}  # by id: a metaclass may know no hash
    passed = _PASSED[modules]
    kept = {
        key
        for key, each in kinds.items()
        if each not in passed and (issubclass(each, _HOLDERS) or _of_modules(each))
    }
    if issubclass(kind, np.ndarray):
        return [part for part in found if id(type(part[1])) in kept]
    return [((place,), each) for place, each in found if id(type(each)) in kept]


def parameter_paths(holder: Any, *, modules: bool = False) -> Iterator[tuple[Path, Any]]:
    """The leaf Values in a module, and the modules in it, in the order of attributes, under their first path.

    Or only the ``modules``. Values that were computed are results, and no parameters.

    >>> class Line:
    ...     def __init__(self):
    ...         self.slope, self.offsets = Value(2.0), [Value(0.0), Value(1.0)]
    ...     def parameters(self):
    ...         return [self.slope, *self.offsets]
    >>> [path for path, _ in parameter_paths(Line())]
    [('slope',), ('offsets', 0), ('offsets', 1)]
    """
    for path, places, several in parameter_runs(holder, modules=modules)[0]:
        for place, held in zip(places, several, strict=True):
            yield (*path, place), held


#: Things that stand side by side: the path of what holds them, their places there, and themselves.
Run = tuple[Path, Sequence[Any], Sequence[Any]]


def parameter_runs(holder: Any, *, modules: bool = False) -> tuple[list[Run], bool]:
    """The same, what stands in a list of Values as a whole; and whether there were computed ones, too."""
    waiting, runs = [((), holder)], list[Run]()
    seen = dict[int, Any]()  # which are alive, so that no two have one id
    while waiting:  # all of them, whatever it takes, and what is in an object right after it
        path, held = waiting.pop()
        kind = type(held)
        value, single = issubclass(kind, Value), (path[:-1], path[-1:], (held,))
        if value or id(held) in seen:
            runs += [single] * value
            continue
        seen[id(held)] = held
        if held is not holder and _of_modules(kind):
            runs.append(single)
        if len(path) >= 2 * DEEPEST:
            continue
        if kind is list and held and not modules and [*map(type, held)].count(Value) == len(held):
            runs.append((path, range(len(held)), [*held]))
        else:
            waiting += [(path + place, each) for place, each in reversed(contents(held, modules=modules))]
    values = [*chain.from_iterable(run[2] for run in runs if isinstance(run[2][0], Value))]
    if are_leaves(values) and len({*map(id, values)}) == len(values):
        return runs, False
    first = dict[int, Run]()
    for path, places, several in runs:
        for place, each in zip(places, several, strict=True):
            first.setdefault(id(each), (path, (place,), (each,)))
    leaves = [run for run in first.values() if not isinstance(run[2][0], Value) or run[2][0].is_leaf]
    return leaves, len(leaves) < len(first)


def texts_of(path: Path, places: Iterable[Any]) -> list[str]:
    """The texts of the paths of a run.

    >>> texts_of(("layers", 0), range(2))
    ['layers.0.0', 'layers.0.1']
    """
    lead = f"{text_of(path)}." if path else ""
    return [*map(lead.__add__, map(str, places))]


def mapped(held: Any, each: Callable[[str, Any], Any], path: str = "") -> Any:
    """What ``each`` gives for a path and what is there, in the shape of a nest of containers."""
    if isinstance(held, Mapping):
        return {key: mapped(held[key], each, f"{path}.{key}".lstrip(".")) for key in held}
    if isinstance(held, list | tuple):
        return [mapped(inside, each, f"{path}[{i}]") for i, inside in enumerate(held)]
    if not isinstance(held, np.ndarray):
        return each(path, held)
    made = [mapped(held[at], each, path + "".join(f"[{i}]" for i in at)) for at in np.ndindex(held.shape)]
    plain = all(isinstance(x, float) for x in made)
    return np.fromiter(made, float if plain else object, len(made)).reshape(held.shape)


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
        named = {name: held for name, held in scope.items() if not name.startswith("_")}
        roots = [
            (path, held)
            for path, held in contents(named)
            if path[0] not in ("In", "Out") or isinstance(held, Value)
        ]
        alone = {id(held): path[0] for path, held in roots if isinstance(held, Value)}
        loops = set()

        def inside(path: Path, held: Any) -> list[tuple[Path, Any]]:
            found: list[tuple[Path, Any]] = []
            if not (isinstance(held, Value) or _of_modules(type(held)) or len(path) > DEEPEST):
                with suppress(Exception):  # of somebody else's container, which may refuse
                    found = [((*path, place), each) for place, each in contents(held, MOST)]
            if len(found) > 1 and all(isinstance(each, Value) for _, each in found):
                last = found[-1][1]
                if last.is_leaf and [id(each) for _, each in found if id(each) in alone] == [id(last)]:
                    loops.add(alone[id(last)])
            return found

        #: All variables, whatever they hold; the modules, and other objects with ``parameters()``.
        self.taken, self.modules = {*named}, dict[str, Any]()
        values: dict[str, int] = {}
        whole = repeat(sys.maxsize)  # a name is cut in messages, and never itself
        for path, held in walk(roots, inside):
            if isinstance(held, Value) or _of_modules(type(held)):
                name = path[0] + "".join(f"[{','.join(map(quoted, place, whole))}]" for place in path[1:])
                if isinstance(held, Value):
                    values.setdefault(name, id(held))
                else:
                    self.modules.setdefault(name, held)
        #: The ``id`` of the Value of each name: a Value may have several, the first of which counts.
        self.values = {name: values[name] for name in sorted(values, key=loops.__contains__)}


def variable_names(names: Mapping[str, Any]) -> dict[int, str]:
    """The ``id`` of each Value that a variable holds, by itself or in a container, and its name.

    >>> w, x = [Value(1.0), Value(2.0)], Value(3.0)
    >>> sorted(variable_names({"w": w, "x": x, "_": Value(4.0)}).values())
    ['w[0]', 'w[1]', 'x']
    """
    return {key: name for name, key in reversed(Variables(names).values.items())}


# --------------------------------------------------------------------------------------- the names
@dataclass(frozen=True, eq=False)
class Named:
    """Leaves and what they are called, which is put into words when somebody asks."""

    values: Sequence[Value]
    #: Of each a name, or (path, place) of a parameter in its module; None where it has none.
    notes: Sequence[Any]

    @property
    def names(self) -> list[str]:
        """Those of a list that bear no name by their places in it."""
        each = enumerate(map(noted, self.notes))
        return [f"parameters[{place}]" if name is None else name for place, (name, _, _) in each]

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return zip(self.names, self.values, strict=True)


def names_of(
    size: int, own: Mapping[int, str], places: Mapping[int, int], variables: Variables, callers: Iterable[Any]
) -> tuple[list[str], list[bool], list[Path], dict[str, int]]:
    """What the values of a graph are called; whether by somebody; their paths; what else variables mean.

    In this order count: the name that the user gave to a value, ``own`` by its position; its path in the
    outermost module that is known, by a variable or by its call; a variable. A count tells two of one name
    apart, and made-up names, ``v`` and the index, from all that users gave. ``places`` are the positions of
    Values by their ``id``.
    """
    modules: dict[int, tuple[str, Any]] = {}
    for text, each in [*variables.modules.items(), *(("", each) for each in callers)]:
        modules.setdefault(id(each), (text, each))
    walks = [(text, [*parameter_paths(each)]) for text, each in modules.values()]
    held: dict[int, tuple[str, Path]] = {}
    for home, found in sorted(walks, key=lambda each: -len(each[1])):  # the outer one holds more
        for path, each in found:
            if id(each) in places:
                held.setdefault(places[id(each)], (home, path))
    for place, name in own.items():
        if isinstance(name, PathName):
            held.setdefault(place, ("", name.path))
    aliases = {name: places.get(key, -1) for name, key in variables.values.items()}
    given = {place: name for place, name in own.items() if not isinstance(name, PathName)}
    called = {place: name for name, place in reversed(aliases.items()) if place >= 0}
    wishes = given | {at: called[at] for at in sorted(called.keys() - given.keys() - held.keys())}
    #: Whose a name is; -1: a variable's whose value is not in the graph.
    owner = aliases | {name: place for place, name in reversed(given.items())}
    paths = {place: text_of(held[place][1]) for place in sorted(held.keys() - given.keys())}
    alike = Counter(paths.values())
    for place, text in paths.items():
        home, taken = held[place][0], alike[text] > 1 or owner.get(text, place) != place
        wishes[place] = f"{home}.{text}" if taken and home else text
    counts = Counter[str]()

    def unique(place: int, wish: str) -> str:
        name = wish
        while owner.setdefault(name, place) != place:
            counts[wish] += 1
            name = f"{wish}#{counts[wish] + 1}"
        return name

    names = {place: safe_name(unique(place, wish)) for place, wish in wishes.items()}
    owner |= dict.fromkeys(variables.taken - owner.keys(), -1)
    every = range(size)
    texts = [names.get(at) or unique(at, f"v{at}") for at in every]
    return texts, [at in names for at in every], [held[at][1] if at in held else () for at in every], aliases


# -------------------------------------------------------------------------------------- the groups
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
            own[above] = _name_of(above, variables, within)
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


def _name_of(group: Group, variables: Mapping[int, str], within: dict[int, dict[int, str]]) -> str:
    """Its own name; for a module its path in the module that called it, a variable, or its class.

    ``within`` keeps what has been asked for: the paths of the modules in each module.
    """
    if group.name is not None:
        return group.name
    for above in _upwards(group.parent):
        if above.owner is not None and id(above.owner) not in within:
            inner = parameter_paths(above.owner, modules=True)
            within[id(above.owner)] = {id(held): text_of(path) for path, held in inner}
        if path := within.get(id(above.owner), {}).get(id(group.owner)):
            return path
    return variables.get(id(group.owner), type(group.owner).__name__)


def _upwards(group: Group | None) -> Iterator[Group]:
    """A group and those that it is in, the innermost first."""
    while group is not None:
        yield group
        group = group.parent


def _reduced(group: Group) -> tuple[Any, ...]:
    """A pickle holds the name, not the module."""
    return Group, (_name_of(group, {}, {}), None, group.parent, group.serial)


copyreg.pickle(Group, _reduced)
