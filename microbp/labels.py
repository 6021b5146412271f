"""What values are called: by their user, by variables, by the modules that hold them.

A name that a user gave, to the value or to a variable, is never changed and never means anything else;
names that are made up give way to all of them. Looking for names visits each object once, without recursion,
:data:`DEEPEST` containers deep, and at most :data:`MOST` elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from microbp.safe import named as safe_name
from microbp.value import Value

__all__ = [
    "Path", "PathName", "Variables", "labels_of", "layer_path", "parameter_paths",
    "text_of", "variable_names",
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
    seen: set[int] = set()
    pending: list[tuple[Path, Any]] = [((), holder)]
    for _ in range(MOST):
        if not pending:
            return
        path, held = pending.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, Value) or (path and _holds_parameters(held)):
            yield path, held
        if not isinstance(held, Value) and len(path) < 2 * DEEPEST:
            inner = [
                ((*path, *place), each)
                for place, each in islice(_inside(held), MOST)
                if (isinstance(each, Value) and each.is_leaf) or _may_hold(each)
            ]
            pending += reversed(inner)


def _size(container: tuple[str, Any]) -> int:
    held = container[1]
    return held.size if isinstance(held, np.ndarray) else len(held)


class Variables:
    """What the variables of ``scope`` call the Values and modules that they hold, also in containers.

    A variable comes before an element, a shallow element before a deep one, and one of a small container
    before one of a large one; else what stands first. What a notebook keeps by itself (``In``, ``Out``,
    ``_…``) names nothing. No Value is kept alive by it.
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        if not isinstance(scope, Mapping):
            kind = type(scope).__name__
            raise TypeError(f"names maps variables to what they hold; it is no {kind}")
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
                for place, each in islice(_inside(held), left):
                    left -= 1
                    if isinstance(each, Value) or _may_hold(each):
                        level.append((f"{text}[{','.join(map(repr, place))}]", each))

    def called(self, *, modules: bool = False) -> dict[int, str]:
        """The first name of each Value, or of each module, by its ``id``."""
        names: dict[int, str] = {}
        held = {name: id(each) for name, each in self.modules.items()} if modules else self.values
        for name, key in held.items():
            names.setdefault(key, name)
        return names


def variable_names(names: Mapping[str, Any]) -> dict[int, str]:
    """The ``id`` of each Value that a variable holds, by itself or in a container, and its name.

    >>> w, x = [Value(1.0), Value(2.0)], Value(3.0)
    >>> sorted(variable_names({"w": w, "x": x, "_": Value(4.0)}).values())
    ['w[0]', 'w[1]', 'x']
    """
    return Variables(names).called()


class Labels(NamedTuple):
    """For each value of a graph."""

    names: list[str]
    #: Whether the name was given, by the user, a variable or a module, rather than made up.
    named: list[bool]
    #: Where its module holds it; () for what is no parameter of a module.
    paths: list[Path]


def labels_of(
    values: Sequence[Value], own: Sequence[str | None], variables: Variables, callers: Iterable[Any] = ()
) -> Labels:
    """The names of values; ``own`` is what each bears, ``callers`` are modules in whose calls they were made.

    In this order count: the name that the user gave to the value; its path in the outermost module that is
    known; a variable. A count tells two of one name apart, and made-up names, ``v`` and the index, from all
    that users gave.
    """
    held = {id(each): (text, each) for text, each in reversed(variables.modules.items())}
    homes = _homes([*reversed(held.values()), *(("", each) for each in callers if id(each) not in held)])
    called = variables.called()
    paths: list[Path] = []
    texts: list[str] = []
    if not homes and not called and not any(isinstance(name, PathName) for name in own if name):
        paths, texts = [()] * len(values), [name or "" for name in own]
    for value, name in zip(values, own, strict=True) if not texts else ():
        path, _ = homes.get(id(value), (name.path if isinstance(name, PathName) else (), ""))
        paths.append(path)
        given = None if isinstance(name, PathName) else name
        texts.append(given or ("" if path else called.get(id(value), "")))
    reserved = {*texts, *variables.values}
    used: set[str] = set()
    counts: Counter[str] = Counter()

    def unique(text: str, given: bool) -> str:
        name = text
        while name in used or (name in reserved and not (given and name == text)):
            counts[text] += 1
            name = f"{text}#{counts[text] + 1}"
        used.add(name)
        return name

    first = [index for index, text in enumerate(texts) if text and text == own[index]]
    second = [index for index, text in enumerate(texts) if text and text != own[index]]
    names = {index: unique(texts[index], True) for index in (*first, *second)}
    alike = Counter(text_of(path) for path, text in zip(paths, texts, strict=True) if path and not text)
    for index, (value, path) in enumerate(zip(values, paths, strict=True)):
        if not path or index in names:
            continue
        text, mine = text_of(path), variables.values.get(text_of(path)) == id(value)
        if path:
            home = homes.get(id(value), ((), ""))[1]
            if home and (alike[text] > 1 or text in used or (text in reserved and not mine)):
                text, mine = f"{home}.{text}", False
            names[index] = unique(text, mine)
    reserved |= variables.taken
    made = [index not in names for index in range(len(values))]
    taken = used | reserved
    free = [f"v{index}" if new else "" for index, new in enumerate(made)]
    found = [
        (name if name not in taken else unique(name, False)) if name else safe_name(names[index])
        for index, name in enumerate(free)
    ]
    return Labels(found, [not new for new in made], paths)


def _homes(holders: Iterable[tuple[str, Any]]) -> dict[int, tuple[Path, str]]:
    """By ``id``, where the outermost of the modules holds each parameter, and what that module is called."""
    walks = [(text, list(parameter_paths(each))) for text, each in holders]
    homes: dict[int, tuple[Path, str]] = {}
    for text, walk in sorted(walks, key=lambda each: -len(each[1])):  # the outer one holds more
        for path, each in walk:
            homes.setdefault(id(each), (path, text))
    return homes
