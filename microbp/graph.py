"""``Graph``: a frozen, ordered, picklable record of what one Value was computed from, in columns.

The pivot of the package: whatever reads a graph (checks, explanations, drawings, replay) reads this
record, and none of them walks Values by itself.
"""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, count, pairwise, product
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from microbp.bounds import LARGEST
from microbp.calls import line_of, sites_of, user_scope
from microbp.compiled import compiled, same, slopes, tried
from microbp.errors import NoGradientError, TooManyValues
from microbp.labels import GroupPath, Variables, callers, group_paths, names_of
from microbp.native import extension
from microbp.node import Node as Fields
from microbp.node import Path, backward_order, gradient_of, is_name, noted, refuse_others
from microbp.notation import formula
from microbp.rules import Rule, restored
from microbp.sweeps import Columns, rows
from microbp.text import quoted
from microbp.text import shown as safe_name
from microbp.value import Value, as_number

#: How many lines ``str(graph)`` has at most.
LINES = 10_000
#: What a record consists of, beside its rules and roots: columns, each of its kind, and labels.
_COLUMNS: dict[str, type] = {
    "op": int, "first": int, "args": int, "consts": float, "data": float, "local": float, "grad": float,
    "known": bool, "needs": bool,
}  # fmt: skip
_LABELS: dict[str, tuple[type, ...]] = {
    "names": (str,), "named": (bool,), "sites": (str, type(None)), "groups": (tuple,), "paths": (tuple,),
}  # fmt: skip


T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801 (used like a function)
    """Computed when it is asked for first, then an attribute of the object.

    As in ``functools``, without the lock that it has there before Python 3.12: that belongs to all objects of
    a class, is held while one computes, and is copied locked by a fork.

    >>> class Circle:
    ...     radius = 2.0
    ...     @cached_property
    ...     def area(self):
    ...         return 3.0 * self.radius**2
    >>> circle = Circle()
    >>> circle.area, vars(circle)
    (12.0, {'area': 12.0})
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    @overload
    def __get__(self, of: None, owner: type) -> cached_property[T]: ...
    @overload
    def __get__(self, of: object, owner: type) -> T: ...
    def __get__(self, of: Any, owner: type) -> Any:
        """The attribute; of two threads that compute it at once, both get the same."""
        return self if of is None else vars(of).setdefault(self.compute.__name__, self.compute(of))


class Input(NamedTuple):
    """An operand of a node: a node or a literal, the other is None; and ∂node/∂operand, None at a literal."""

    node: Node | None
    literal: float | None
    derivative: float | None


class _Fields(NamedTuple):
    position: int
    #: The user's name, else that of a variable, else made up; unique in its graph.
    name: str
    #: None for a leaf.
    rule: Rule | None
    #: Positions of earlier nodes, and floats for literals, in the order of the rule's arguments.
    operands: tuple[int | float, ...]
    data: float
    #: The gradient accumulated so far; None if there is none.
    grad: float | None
    #: ∂node/∂operand as recorded, one per operand; None for a literal.
    local_derivatives: tuple[float | None, ...]
    requires_grad: bool
    #: ``file:line`` of the user's code, if it was recorded.
    site: str | None
    #: Whether the name was given, by the user or by a variable, rather than made up.
    named: bool
    #: The groups it was recorded in, the outermost first: the name of each, and the number of the call.
    group: GroupPath = ()
    #: Where a module holds a parameter: ``("layers", 0, "neurons", 1, "w", 2)``; () for all else.
    path: Path = ()


class Node(_Fields):
    """One value of a graph, as it was when the graph was frozen: a view that a graph makes when asked."""

    graph: Graph

    @property
    def operation(self) -> str:
        """The name of its rule; empty for a leaf."""
        return "" if self.rule is None else self.rule.name

    @property
    def unit(self) -> str:
        """The module or group that it belongs to, whichever call it was; empty for none."""
        return ".".join(name for name, _ in self.group)

    @property
    def read(self) -> list[int]:
        """The positions of the values among its operands. A literal 2.0 is no node 2."""
        return [each for each in self.operands if isinstance(each, int)]

    @property
    def edges(self) -> list[tuple[int, int, float]]:
        """Its uses of values: the place among its operands, the position, the local derivative."""
        every = enumerate(zip(self.operands, self.local_derivatives, strict=True))
        return [(at, x, local) for at, (x, local) in every if isinstance(x, int) and local is not None]

    @property
    def numbers(self) -> list[float]:
        """The numbers of its operands."""
        nodes = self.graph.nodes
        return [nodes[x].data if isinstance(x, int) else x for x in self.operands]

    @property
    def operand_names(self) -> list[str]:
        """The name of each operand; a literal as it is written."""
        nodes = self.graph.nodes
        return [nodes[each].name if isinstance(each, int) else repr(each) for each in self.operands]

    @property
    def operand_words(self) -> list[str]:
        """``a = x``, ``w[1] = W[0,1]`` for each operand."""
        if self.rule is None:
            return []
        words: list[str] = []
        for arg, entry in zip(self.rule.args, self.rule.split(self.operand_names), strict=True):
            if type(entry) is list:
                words += [f"{arg}[{i}] = {name}" for i, name in enumerate(entry)]
            else:
                words.append(f"{arg} = {entry}")
        return words

    @property
    def where(self) -> str:
        """Its name and, if it is known, its line."""
        return self.name if self.site is None else f"{self.name} ({line_of(self.site)})"

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Its operands in order: (node or None, literal or None, local derivative).

        >>> x = Value(3.0, name="x")
        >>> for node, literal, derivative in Graph(x * 2.0).root.inputs:
        ...     print(node and node.name, literal, derivative)
        x None 2.0
        None 2.0 None
        """
        nodes = self.graph.nodes
        return tuple(
            Input(None, operand, None) if isinstance(operand, float) else Input(nodes[operand], None, local)
            for operand, local in zip(self.operands, self.local_derivatives, strict=True)
        )

    def __repr__(self) -> str:
        rule = "" if self.rule is None else f" = {self.rule.name}{self.operands}"
        return f"Node({self.position}: {safe_name(self.name)}{rule} = {self.data!r}, grad={self.grad!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph.__getitem__, (self.graph, self.position)


class Graph(Columns):
    """The record of ``root`` and all that it was computed from, operands first, root last.

    ``names`` maps variable names to what they hold (Values, arrays, modules, lists, dicts of them), such
    as ``locals()``: it names values for which the user gave no name.

    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> net = w * x + 1.0
    >>> graph = Graph(net, names=locals())
    >>> print(graph)
    w = 0.5
    x = 3.0
    v2 = mul(w, x) = 1.5
    net = add(v2, 1.0) = 2.5

    The columns are :class:`microbp.sweeps.Columns`: read-only arrays, which :mod:`microbp.sweeps` walks.

    >>> graph.op, graph.args, graph.consts, graph.local
    (array([-1, -1,  0,  1]), array([ 0,  1,  2, -1]), array([1.]), array([3. , 0.5, 1. , nan]))

    Labels and nodes are made when somebody asks. It does not change when the Values do, compares equal to
    a graph of the same record, and a pickle of it has no Values in it. Of more than 10,000 values, its text
    has the first and the last.
    """

    # Labels of all nodes, as a node has its own.
    names: list[str]
    named: list[bool]
    sites: list[str | None]
    groups: list[GroupPath]
    paths: list[Path]
    #: The Values that it was taken from, which keeps their addresses valid; none after a pickle.
    _values: tuple[Value, ...]
    #: What some of them had noted, by position: its name, where it was recorded, in which group.
    _notes: dict[int, Any]
    _variables: Variables
    #: The position of what each variable holds, -1 outside of the graph; known with the names.
    _aliases: dict[str, int]

    def __init__(self, root: Value, names: Mapping[str, Any] | None = None) -> None:
        vars(self).update(vars(Graph._with(_frozen([root], names))))

    @staticmethod
    def of_roots(roots: Sequence[Value], names: Mapping[str, Any] | None = None) -> Graph:
        """The graph of several Values, as a backward pass from all of them at once goes through it.

        >>> x = Value(3.0, name="x")
        >>> Graph.of_roots([x * x, x + 1.0]).roots
        (1, 2)

        Raises ValueError where there is none.
        """
        roots = [*roots]
        if not roots:
            raise ValueError("Graph.of_roots() takes the Values whose graph it is; the list is empty")
        return Graph._with(_frozen(roots, names))

    @staticmethod
    def _of(nodes: Sequence[Node]) -> Graph:
        """The graph of nodes that were changed, the root last; it knows no Values."""
        rules, *columns = _columns(nodes, int)
        _, names, *_, sites, named, groups, paths = map(list, zip(*nodes, strict=True))
        labels = zip(_LABELS, (names, named, sites, groups, paths), strict=True)
        record = dict(zip(_COLUMNS, columns, strict=True)) | dict(labels)
        return Graph._with({**record, "rules": rules, "roots": (len(nodes) - 1,)})

    @staticmethod
    def _with(record: Mapping[str, Any]) -> Graph:
        graph = object.__new__(Graph)
        vars(graph).update({"_values": (), "_aliases": {}, **record})
        for name, kind in _COLUMNS.items():
            vars(graph)[name] = np.asarray(vars(graph)[name], kind)
            vars(graph)[name].setflags(write=False)
        return graph

    def with_grad(self, grad: Sequence[float | None]) -> Graph:
        """The same graph with these gradients [N], such as those of a pass; None for one that is not known.

        Raises ValueError where there are not as many as it has nodes, TypeError for one that is no number.
        """
        numbers = [math.nan if each is None else as_number(each, "with_grad()") for each in grad]
        if len(numbers) != len(self):
            raise ValueError(f"with_grad() takes {len(self)} gradients, not {len(numbers)}")
        known = [each is not None for each in grad]
        return self._changed(grad=numbers, known=known)

    def _changed(self, **record: Any) -> Graph:
        """The same graph with other columns or labels in the place of some."""
        found = ("nodes", "_called", "_places")
        kept = {name: held for name, held in vars(self).items() if name not in found}
        return Graph._with(kept | record)

    def detached(self) -> Graph:
        """The same record without the Values that it was taken from; labels are still made when asked for.

        Until then it keeps the leaves where a module was called, which names those that it holds.
        """
        if self._values and self._variables.values:
            _ = self.names
        grouped = (noted(note)[2] for note in reversed(self._notes.values()) if not is_name(note))
        asked = "names" not in vars(self) and any(grouped)
        pairs = zip(self._values, self.op.tolist(), strict=False) if asked else ()
        return self._changed(_values=tuple([value if op < 0 else None for value, op in pairs]))

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(f"a Graph is a record that cannot be changed; it takes no {name}")

    # ------------------------------------------------------------------------------ labels and nodes
    def __getattr__(self, name: str) -> Any:
        """A label; all of them are made when the first is asked for."""
        if name not in _LABELS:
            raise AttributeError(f"a Graph has no {name}")
        bears = {at: noted(note) for at, note in self._notes.items()}
        own, sites, groups = ({at: note[i] for at, note in bears.items() if note[i]} for i in range(3))
        above, every = callers(groups.values()), range(len(self))
        found = names_of(len(self), own, self._places, self._variables, above)
        lines = dict(zip(sites, sites_of(sites.values()), strict=True))
        modules = {id(each): called for called, each in reversed(self._variables.modules.items())}
        calls = group_paths({*groups.values()}, modules)
        vars(self).update(zip(("names", "named", "paths", "_aliases"), found, strict=True))
        vars(self).update(sites=[*map(lines.get, every)], groups=[calls[groups.get(at)] for at in every])
        return vars(self)[name]

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, each after its operands."""
        collects = gc.isenabled()
        try:
            try:
                gc.disable()  # it would walk all nodes again and again while they become more: twice the time
                return self._made()
            finally:
                if collects:
                    gc.enable()
        finally:  # Ctrl-C may strike in the lines above
            if collects:
                gc.enable()

    def _made(self) -> tuple[Node, ...]:
        names, rules = self.names, [*self.rules, None]
        operands, local = self.args.tolist(), self.local.tolist()
        for at, number in zip(np.flatnonzero(self.args < 0).tolist(), self.consts.tolist(), strict=True):
            operands[at], local[at] = number, None
        spans = [slice(*ends) for ends in pairwise(self.first.tolist())]
        grads = zip(self.grad.tolist(), self.known.tolist(), strict=True)
        columns = zip(
            range(len(self)), names, [rules[op] for op in self.op.tolist()],
            [tuple(operands[span]) for span in spans], self.data.tolist(),
            [grad if known else None for grad, known in grads], [tuple(local[span]) for span in spans],
            self.needs.tolist(), self.sites, self.named, self.groups, self.paths, strict=True,
        )  # fmt: skip
        nodes = tuple(map(Node._make, columns))
        # The circle of nodes and their graph, which waits for the collector, is to hold no Values.
        alone = self._changed(_values=(), _notes={}, _variables=Variables({}))
        vars(alone)["nodes"] = nodes
        for node in nodes:
            node.graph = alone
        return nodes

    @cached_property
    def _places(self) -> dict[int, int]:
        return {id(value): at for at, value in enumerate(self._values) if value is not None}

    def _before(self) -> dict[int, float]:
        """The number before the last one, of each leaf that has been given another since it was made."""
        held = ((at, value) for at, value in enumerate(self._values) if value is not None)
        return {at: each._da for at, each in held if each._rule is None and each._da is not None}

    @cached_property
    def _called(self) -> dict[str, int]:
        """The position of each name, also of what other variables hold a value of the graph."""
        names = {name: at for at, name in enumerate(self.names)}
        return {name: at for name, at in self._aliases.items() if at >= 0} | names

    @property
    def root(self) -> Node:
        """The node of the value that the graph computes; of several, the last one given."""
        return self.nodes[self.roots[-1]]

    @property
    def title(self) -> str:
        """``loss = 0.5``: the root, by its name if it has one, and its number."""
        return f"{self.root.name if self.root.named else 'loss'} = {self.root.data:.8g}"

    def __len__(self) -> int:
        return len(self.op)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, which: int | str | Value) -> Node:
        """The node of an index, a name or a Value; IndexError or KeyError says which there are.

        >>> x = Value(2.0, name="x")
        >>> Graph(x * x)["x"].data, x in Graph(x * x)
        (2.0, True)
        """
        if isinstance(which, Value):
            if which in self:
                return self.nodes[self._places[id(which)]]
            why = f"{safe_name(self.names[self.roots[-1]])} does not depend on it"
            if len(self._places) < len(self):
                why = "it comes from a file, a pickle or a copy, and is asked by names"
            raise KeyError(f"{which!r} is not in this graph: {why}")
        if isinstance(which, str):
            if which in self:
                return self.nodes[self._called[which]]
            given = [safe_name(name) for name, named in zip(self.names, self.named, strict=True) if named]
            told = ", ".join(given) or "none that was given"
            raise KeyError(f"no value named {safe_name(repr(which))} in this graph; its names are {told}")
        try:
            return self.nodes[which]
        except (IndexError, TypeError):
            raise self.no_node(which) from None

    def __contains__(self, which: object) -> bool:
        """Whether it has such a node: a Value, a name, or a node of an equal graph."""
        if isinstance(which, Value):
            return id(which) in self._places
        if isinstance(which, str):
            return which in self._called
        return isinstance(which, Node) and which in self.nodes

    def no_node(self, position: Any) -> Exception:
        """The error for what is no position of a node."""
        if isinstance(position, int | np.integer):
            told = f"this graph has {len(self)} nodes, 0 to {len(self) - 1}"
            return IndexError(f"there is no node {safe_name(position)}: {told}")
        return TypeError(f"the position of a node is a whole number, not {safe_name(repr(position))}")

    def uses(self) -> list[list[tuple[int, int]]]:
        """For each node, where it is used: (position of the user, place among its operands), in order."""
        uses: list[list[tuple[int, int]]] = [[] for _ in self.op]
        for user, row in enumerate(rows(self)):
            for place, arg in enumerate(row):
                if arg >= 0:
                    uses[arg].append((user, place))
        return uses

    # ---------------------------------------------------------------------------------------- text
    def equation(self, node: Node) -> str:
        """One node as text: ``net = dot(w0, w1, x0, x1, b) = 0.755``."""
        names = [repr(x) if isinstance(x, float) else safe_name(self.names[x]) for x in node.operands]
        made = f" = {node.rule.name}({', '.join(names)})" if node.rule else ""
        return f"{safe_name(node.name)}{made} = {node.data!r}"

    def formula(self, node: Node) -> str:
        """How a node was computed, as people write it: ``w·x + b``, ``σ(net)``; empty for a leaf."""
        names = [self.names[x] if isinstance(x, int) else x for x in node.operands]
        return "" if node.rule is None else formula(node.rule, names)

    def shown(self, node: Node, longest: int = 16) -> str:
        """The name of a node; its formula, if that is short, where the name was made up.

        >>> w, h = Value(0.5, name="w5"), Value(3.0, name="h1")
        >>> graph = Graph((w * h).relu() + h**2)
        >>> [graph.shown(node) for node in graph]
        ['w5', 'h1', 'w5·h1', 'v3', 'h1²', 'v5']
        """
        plain = all(self.named[x] for x in node.operands if isinstance(x, int))
        made = "" if node.named or node.rule is None or node.rule.over or not plain else self.formula(node)
        return made if 0 < len(made) <= longest else node.name

    def __str__(self) -> str:
        hidden, half = len(self) - LINES, LINES // 2
        if hidden <= 0:
            return "\n".join(map(self.equation, self.nodes))
        head, tail = (map(self.equation, part) for part in (self.nodes[:half], self.nodes[-half:]))
        return "\n".join([*head, f"… {hidden:,} more values …", *tail])

    def __repr__(self) -> str:
        root = self.roots[-1]
        return f"Graph({len(self)} values, root {safe_name(self.names[root])} = {float(self.data[root])!r})"

    # ------------------------------------------------------------------- equality, pickles, JSON, copies
    def _record(self, write: Callable[[NDArray[Any]], Any] = lambda column: column) -> dict[str, Any]:
        columns = {name: write(getattr(self, name)) for name in _COLUMNS}
        return columns | {name: getattr(self, name) for name in ("rules", "roots", *_LABELS)}

    def __eq__(self, other: object) -> bool:
        return self._record(_bytes) == other._record(_bytes) if isinstance(other, Graph) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.rules, _bytes(self.args), _bytes(self.data)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph._with, (self._record(),)

    def to_json(self) -> str:
        """The record as JSON, column by column; what is no finite number stands there as a text.

        >>> x = Value(2.0, name="x")
        >>> Graph.from_json(Graph(x * x).to_json()) == Graph(x * x)
        True
        """
        rules = [rule.__reduce__()[1] for rule in self.rules]
        text = json.dumps({**self._record(np.ndarray.tolist), "rules": rules})
        return json.dumps(json.loads(text, parse_constant=lambda word: str(float(word))))

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph of such a text; ValueError for another one."""
        wrong = "this is no graph as Graph.to_json() writes it"
        try:
            found = json.loads(text)
            record: dict[str, Any] = {
                name: np.array(_members(name, found[name], kind), kind) for name, kind in _COLUMNS.items()
            }
            for name, kinds in _LABELS.items():
                record[name] = _members(name, [*map(_tuples, found[name])], *kinds)
            record["roots"] = tuple(found["roots"])
            record["rules"] = tuple(restored(*_tuples(row)) for row in found["rules"])
            damage = _misfit(record)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{wrong}: {error!r}") from None
        if damage:
            raise ValueError(f"{wrong}: {damage}")
        return Graph._with(record)


# ----------------------------------------------------------------------------------------- from Values
def _frozen(roots: Sequence[Value], names: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of what the roots were computed from, with what labels are made of."""
    refuse_others([*roots])
    above: Any = object.__new__(Fields)  # a node whose operands are the roots
    above._rule = above._a = above._pending = None
    above._b, above._db = tuple(roots), (0.0,) * len(roots)
    if extension is not None:
        values, at, rules, notes, *columns = extension.columns(above)
        columns = [*map(np.frombuffer, columns, _COLUMNS.values())]
    else:
        values = tuple(backward_order(above)[:0:-1])
        places = {id(value): place for place, value in enumerate(values)}
        rules, *columns = _columns(values, lambda operand: places[id(operand)])
        at = tuple(places[id(root)] for root in roots)
        notes = {place: value._note for place, value in enumerate(values) if value._note is not None}
    labels = {"_values": values, "_notes": notes, "_variables": Variables(names or {})}
    return {**dict(zip(_COLUMNS, columns, strict=True)), **labels, "rules": tuple(rules), "roots": at}


def _columns(items: Sequence[Value | Node], place: Callable[[Any], int]) -> Iterator[Any]:
    """The rules of Values or of nodes, then each column; where operands stand, ``place`` says.

    Where the extension is built, ``native/value.c`` makes those of Values.
    """
    rules = tuple(dict.fromkeys(each.rule for each in items if each.rule is not None))
    index, literal = {rule: at for at, rule in enumerate(rules)}, count(-1, -1)
    edges = [edge for each in items for edge in zip(each.operands, each.local_derivatives, strict=True)]
    yield rules
    yield [-1 if each.rule is None else index[each.rule] for each in items]
    yield [0, *accumulate(len(each.operands) for each in items)]
    yield [next(literal) if local is None else place(operand) for operand, local in edges]
    yield [operand for operand, local in edges if local is None]
    yield [each.data for each in items]
    yield [math.nan if local is None else local for _, local in edges]
    yield [math.nan if each.grad is None else gradient_of(each) for each in items]
    yield [each.grad is not None for each in items]
    yield [each.requires_grad for each in items]


def _bytes(column: np.ndarray[Any, Any]) -> bytes:
    """What tells columns apart: 0.0 from -0.0, but no nan from another, whose sign no text has."""
    return np.where(np.isnan(column), np.nan, column).tobytes()


# ------------------------------------------------------------------------------------- what is asked for
def given_to(reader: str, loss: Value | Graph, names: Mapping[str, Any] | None) -> Graph:
    """The graph that a reader is given, if it is one, and not too large for it.

    >>> chain = Value(1.0)
    >>> for _ in range(20_000):
    ...     chain = -chain
    >>> try:
    ...     given_to("check_answers()", chain, {})
    ... except TooManyValues as error:
    ...     limit, instead = str(error).split(": ", 1)
    >>> limit
    'check_answers() takes graphs of up to 20,000 values, and this one has 20,001'
    >>> instead.partition(";")[0]
    'read the loss of one sample, or a Value further inside'
    """
    if not isinstance(loss, Value | Graph):
        raise TypeError(f"{reader} takes the Value or Graph whose gradient is asked for, not {quoted(loss)}")
    graph, (most, instead) = loss if isinstance(loss, Graph) else Graph(loss, names), LARGEST[reader]
    if len(graph) > most:
        raise TooManyValues(
            f"{reader} takes graphs of up to {most:,} values, and this one has {len(graph):,}: {instead}"
        )
    return graph


def target(
    loss: Value | Graph, value: Value | str, names: Mapping[str, Any] | None, asker: str
) -> tuple[Graph, Node | None, str]:
    """The graph as recorded, the node asked for, None where the loss does not depend on it, and its name."""
    if not isinstance(value, Value | str):
        raise TypeError(f"{asker} takes one Value, or its name, that the gradient is by, not {quoted(value)}")
    scope = user_scope() if names is None else names
    graph, _ = as_recorded(given_to(asker, loss, scope))
    root = graph.root
    if not root.requires_grad:
        raise NoGradientError(f"{root.name} = {root.data!r} is a constant: it has no gradient by anything")
    try:
        node = graph[value]
    except KeyError:
        called = Variables(scope).values
        key = id(value) if isinstance(value, Value) else called.get(value)
        if key is None or (key not in graph._places and len(graph._places) < len(graph)):
            raise  # of a graph from elsewhere nobody knows
        if key not in graph._places:
            given = value if isinstance(value, str) else value.name
            bears = [given, *(name for name, held in called.items() if held == key)]
            bears += [*{"value"}.difference(graph.names), "this value"]
            return graph, None, next(name for name in bears if name)
        node = graph.nodes[graph._places[key]]  # a variable of a Value that has another name
    return graph, node, node.name


# ------------------------------------------------------------------------------- the numbers recorded
def as_recorded(graph: Graph) -> tuple[Graph, frozenset[int]]:
    """The graph with the numbers that its operations have read, and the leaves that have moved since.

    ``p.data -= 0.1 * p.grad`` gives a leaf another number, and leaves what was computed from it as it is. A
    leaf remembers the number before the last one. Which of the two an operation has read follows from what
    it gave: the value and the local derivatives that were recorded.
    """
    earlier = graph._before()
    if not earlier:
        return graph, frozenset()
    now, numbers, nodes, uses = graph.data.tolist(), graph.data.tolist(), graph.nodes, graph.uses()
    pending = set(earlier)
    for user in sorted({user for place in earlier for user, _ in uses[place]}):
        read = {x: numbers[x] for x in nodes[user].read}
        own = [x for x in read if x in pending]
        both = [(now[x], earlier[x]) for x in own]
        choices = product(*both) if len(own) <= 6 else zip(*both, strict=True)  # of many leaves all or none
        told = [read | dict(zip(own, choice, strict=True)) for choice in choices if own]
        fitting = [each for each in told if not [*otherwise(nodes[user], each)]]
        for x in own:
            found = {repr(each[x]): each[x] for each in fitting}
            if len(found) < 2:  # decided, or changed more than once since
                numbers[x] = next(iter(found.values()), now[x])
                pending.remove(x)
    moved = frozenset(place for place in earlier if repr(numbers[place]) != repr(now[place]))
    if moved:  # a leaf that no operation tells of has moved with the others
        for place in pending:
            numbers[place] = earlier[place]
        moved |= pending
    return (graph._changed(data=numbers) if moved else graph), moved


def operands_of(node: Node, numbers: Any) -> list[float]:
    """The numbers of a node's operands, by those of all nodes."""
    return [numbers[each] if type(each) is int else each for each in node.operands]


def otherwise(node: Node, numbers: Any) -> Iterator[float]:
    """What the operands of a node give now, if that is not what was recorded."""
    if node.rule is None:
        return
    operands = operands_of(node, numbers)
    now = tried(compiled(node.rule).value, *node.rule.split(operands))
    pairs = zip(slopes(node.rule)(operands, node.data), node.local_derivatives, strict=True)
    if not same(now, node.data) or not all(was is None or same(d, was) for d, was in pairs):
        yield now


# ---------------------------------------------------------------------------------------------- JSON
def _members(name: str, held: list[Any], *kinds: type) -> list[Any]:
    """A column or a label of a document; NumPy alone would make 0 of 0.5, and 1 of "1"."""
    if float not in kinds and not {*map(type, held)} <= {*kinds}:
        raise TypeError(f"{name} has other members than of type {kinds[0].__name__}")
    return held


def _tuples(held: Any) -> Any:
    """A part of a document: its lists are tuples, and its dicts the defaults of a row."""
    if isinstance(held, dict):
        return {arg: float(each) for arg, each in held.items()}
    return tuple(map(_tuples, held)) if isinstance(held, list) else held


def _misfit(record: Mapping[str, Any]) -> str:
    """Why the columns of a record from a file are not about the same nodes, operands before users."""
    op, first, args, rules, roots = (record[name] for name in ("op", "first", "args", "rules", "roots"))
    sizes = {len(record[name]) for name in ("op", "data", "grad", "known", "needs", *_LABELS)}
    if (
        any(record[name].ndim != 1 for name in _COLUMNS)
        or sizes != {len(first) - 1}
        or not first[0] == 0 <= len(args) == len(record["local"]) == first[-1]
        or not ((op >= -1) & (op < len(rules)) & (np.diff(first) >= 0)).all()
        or not (roots and all(type(each) is int and 0 <= each < len(op) for each in roots))
        or not record["needs"][op >= 0].all()
    ):
        return "its columns do not fit each other"
    if len({*record["names"]}) < len(op):
        return "two nodes have one name"
    widths = np.diff(first)
    for node, (kind, width) in enumerate(zip(op.tolist(), widths.tolist(), strict=True)):
        if not (rules[kind].takes(width) if kind >= 0 else width == 0):
            return f"{width} operands do not fit {rules[kind] if kind >= 0 else 'a leaf'}, node {node}"
    owner = np.repeat(np.arange(len(op)), widths)
    for node in owner[(args >= owner) | (args < -len(record["consts"]))].tolist():
        return f"an operand of node {node} does not stand before it"
    return "" if {*range(len(op))} <= {*args.tolist(), *roots} else "it has nodes that no other uses"
