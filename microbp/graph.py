"""``Graph``: a frozen, ordered, picklable record of what one Value was computed from, in columns.

The pivot of the package: whatever reads a graph (checks, explanations, drawings, replay) reads this
record, and none of them walks Values by itself.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from microbp.backward import backward_order, gradient_of, refuse_others
from microbp.collector import collector_at_rest
from microbp.groups import Group, GroupPath, callers, group_paths
from microbp.labels import Naming, Path, Variables
from microbp.lazy import cached_property
from microbp.native import extension
from microbp.node import Node as Fields
from microbp.notation import formula
from microbp.rules import Rule, restored
from microbp.safe import shown as safe_name
from microbp.sites import sites_of
from microbp.sweeps import Columns, rows
from microbp.value import Value, noted

__all__ = ["Graph", "Input", "Node"]

#: How many lines ``str(graph)`` has at most.
LINES = 10_000


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

    #: The graph that it is of, without Values.
    graph: Graph

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

    def __reduce__(self) -> tuple[Any, ...]:
        return Node, tuple(self)


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

    #: The Values that it was taken from, which keeps their addresses valid; none after a pickle.
    _values: tuple[Value, ...]
    #: What some of them had noted, by position: its name, where it was recorded, in which group.
    _notes: dict[int, Any]
    _variables: Variables

    def __init__(self, root: Value, names: Mapping[str, Any] | None = None) -> None:
        vars(self).update(_frozen([root], names))

    @staticmethod
    def of_roots(roots: Sequence[Value], names: Mapping[str, Any] | None = None) -> Graph:
        """The graph of several Values, as a backward pass from all of them at once goes through it.

        >>> x = Value(3.0, name="x")
        >>> Graph.of_roots([x * x, x + 1.0]).roots
        (1, 2)

        Raises ValueError where there is none.
        """
        if not isinstance(roots, Iterable):
            raise TypeError(f"Graph.of_roots() takes a list of Values, not {safe_name(repr(roots))}")
        roots = [*roots]
        if not roots:
            raise ValueError("Graph.of_roots() takes the Values whose graph it is; the list is empty")
        return Graph._with(_frozen(roots, names))

    @staticmethod
    def of(nodes: Sequence[Node]) -> Graph:
        """The graph of nodes that were recorded before, such as those of a file; it knows no Values.

        >>> x = Value(2.0, name="x")
        >>> graph = Graph(x * x)
        >>> Graph.of(graph.nodes) == graph
        True
        """
        if not isinstance(nodes, Iterable):
            raise TypeError(f"Graph.of() takes nodes, such as graph.nodes, not {safe_name(repr(nodes))}")
        checked = [*map(_checked, nodes)]
        if not checked:
            raise ValueError("Graph.of() takes the nodes of a graph, the root last; there are none")
        record = _columns(checked, lambda operand: operand if isinstance(operand, int) else None)
        labels = {label: [getattr(node, field) for node in checked] for label, field in _LABELS.items()}
        return Graph._with({**record, **labels, "roots": (len(checked) - 1,)})

    @staticmethod
    def _with(record: Mapping[str, Any]) -> Graph:
        graph = object.__new__(Graph)
        vars(graph).update({"_values": (), **record})
        for column in _COLUMNS:
            getattr(graph, column).setflags(write=False)
        return graph

    def with_data(self, data: Sequence[float]) -> Graph:
        """The same graph with these numbers [N], such as those that leaves had when it was recorded."""
        return self._changed(data=np.array(data))

    def _changed(self, **record: Any) -> Graph:
        kept = {name: held for name, held in vars(self).items() if name not in ("nodes", "_called")}
        return Graph._with(kept | record)

    def detached(self, *, named: bool = True) -> Graph:
        """The same record without the Values that it was taken from; labels are still made when asked for.

        Unless it is ``named`` at once, it keeps the leaves that modules may hold, to ask these later.
        """
        if not self._values:
            return self
        if named or self._variables.values:
            return self._changed(_naming=self._naming, _values=(), _places={})
        pairs = zip(self._values, self.op.tolist(), strict=True) if self._groups else ()
        return self._changed(_values=tuple([value if op < 0 else None for value, op in pairs]))

    def __setattr__(self, name: str, _: Any) -> None:
        raise AttributeError(f"a Graph is a record that cannot be changed; it takes no {name}")

    # -------------------------------------------------------------------------------------- labels
    @cached_property
    def _noted(self) -> dict[int, Any]:
        return {at: noted(note) for at, note in self._notes.items()}

    @cached_property
    def _groups(self) -> dict[int, Group]:
        return {at: group for at, (_, _, group) in self._noted.items() if group}

    @cached_property
    def _naming(self) -> Naming:
        own = {at: name for at, (name, _, _) in self._noted.items() if name}
        above = callers(self._groups.values())
        known = self._variables.values or self._variables.modules or above
        return Naming(own, self._places if known else {}, self._variables, above)

    def name(self, position: int) -> str:
        """What a node is called: by the user, by a variable, else it is made up; unique in the graph."""
        name: str = self._at(self.names.__getitem__, position)
        return name

    def group(self, position: int) -> GroupPath:
        """The groups that a node was recorded in, the outermost first."""
        found: GroupPath = self._at(self.groups.__getitem__, position)
        return found

    def _at(self, look: Any, position: Any) -> Any:
        try:
            return look(position)
        except (IndexError, TypeError):
            raise self.no_node(position) from None

    @cached_property
    def names(self) -> list[str]:
        """What each node is called."""
        return self._naming.names(len(self))

    @cached_property
    def named(self) -> list[bool]:
        """Whether the name was given, by the user, a variable or a module, rather than made up."""
        return [*map(self._naming.given.__contains__, range(len(self)))]

    @cached_property
    def paths(self) -> list[Path]:
        """Where a module holds each parameter, ``("layers", 0, "neurons", 1, "w", 2)``; () for all else."""
        return [self._naming.paths.get(index, ()) for index in range(len(self))]

    @cached_property
    def sites(self) -> list[str | None]:
        """``file:line`` of the user's code that recorded each node; None if it was not recorded."""
        places = {at: place for at, (_, place, _) in self._noted.items() if place}
        found = dict(zip(places, sites_of(places.values()), strict=True))
        return [*map(found.get, range(len(self)))]

    @cached_property
    def groups(self) -> list[GroupPath]:
        """The groups that each node was recorded in."""
        paths = group_paths({*self._groups.values()}, self._variables.called(modules=True))
        return [paths[self._groups.get(index)] for index in range(len(self))]

    # --------------------------------------------------------------------------------------- nodes
    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, each after its operands."""
        # A node knows its graph, which has its nodes: a circle, and no Value shall hang on it.
        record = self.detached()
        with collector_at_rest():
            vars(record)["nodes"] = nodes = self._made(0, len(self))
            for node in nodes:
                node.graph = record
        return nodes

    def _made(self, start: int, stop: int) -> tuple[Node, ...]:
        """The nodes of the positions from ``start`` to ``stop``, which know no graph."""
        here, first = slice(start, stop), self.first[start : stop + 1]
        args = self.args[first[0] : first[-1]]
        operands, derivatives = args.tolist(), self.local[first[0] : first[-1]].tolist()
        literal = np.flatnonzero(args < 0)
        for index, number in zip(literal.tolist(), self.consts[-1 - args[literal]].tolist(), strict=True):
            operands[index], derivatives[index] = number, None
        spans = [*pairwise((first - first[0]).tolist())]
        rules = [*self.rules, None]
        grads = zip(self.grad[here].tolist(), self.known[here].tolist(), strict=True)
        fields = zip(
            range(start, stop),
            self.names[here],
            [rules[op] for op in self.op[here].tolist()],
            [tuple(operands[begin:end]) for begin, end in spans],
            self.data[here].tolist(),
            [grad if known else None for grad, known in grads],
            [tuple(derivatives[begin:end]) for begin, end in spans],
            self.needs[here].tolist(),
            *(getattr(self, label)[here] for label in ("sites", "named", "groups", "paths")),
            strict=True,
        )
        return tuple(map(Node._make, fields))

    @cached_property
    def _places(self) -> dict[int, int]:
        return {id(value): index for index, value in enumerate(self._values) if value is not None}

    @cached_property
    def _called(self) -> dict[str, int]:
        """The position of each name, also of what other variables hold a value of the graph."""
        aliases = self._naming.variables if self._values else {}
        known = {name: place for name, place in aliases.items() if place >= 0}
        return known | {name: index for index, name in enumerate(self.names)}

    @property
    def root(self) -> Node:
        """The node of the value that the graph computes; of several, the last one given."""
        return self.nodes[self.roots[-1]]

    def __len__(self) -> int:
        return len(self.op)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __getitem__(self, which: int | str | Value) -> Node:
        """The node of an index, a name or a Value. KeyError says which there are.

        >>> x = Value(2.0, name="x")
        >>> Graph(x * x)["x"].data
        2.0
        """
        if isinstance(which, int):
            found: Node = self._at(self.nodes.__getitem__, which)
            return found
        if isinstance(which, Value):
            if id(which) in self._places:
                return self.nodes[self._places[id(which)]]
            root = safe_name(self.name(self.roots[-1]))
            raise KeyError(f"{which!r} is not in this graph: {root} does not depend on it")
        if isinstance(which, str) and which in self._called:
            return self.nodes[self._called[which]]
        given = [name for name, named in zip(self.names, self.named, strict=True) if named]
        told = ", ".join(map(safe_name, given)) or "none that was given"
        raise KeyError(f"no value named {safe_name(repr(which))} in this graph; its names are {told}")

    def no_node(self, position: Any) -> Exception:
        """The error for what is no position of a node."""
        if isinstance(position, int):
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
        _checked(node)
        names = [repr(x) if isinstance(x, float) else safe_name(self.name(x)) for x in node.operands]
        made = f" = {node.rule.name}({', '.join(names)})" if node.rule else ""
        return f"{safe_name(node.name)}{made} = {node.data!r}"

    def formula(self, node: Node) -> str:
        """How a node was computed, as people write it: ``w·x + b``, ``σ(net)``; empty for a leaf."""
        _checked(node)
        names = [self.name(x) if isinstance(x, int) else x for x in node.operands]
        return "" if node.rule is None else formula(node.rule, names)

    def shown(self, node: Node, longest: int = 16) -> str:
        """The name of a node; its formula, if that is short, where the name was made up.

        >>> w, h = Value(0.5, name="w5"), Value(3.0, name="h1")
        >>> graph = Graph((w * h).relu() + h**2)
        >>> [graph.shown(node) for node in graph]
        ['w5', 'h1', 'w5·h1', 'v3', 'h1²', 'v5']
        """
        _checked(node)
        plain = all(operand is None or operand.named for operand, _, _ in node.inputs)
        made = "" if node.named or node.rule is None or node.rule.over or not plain else self.formula(node)
        return made if 0 < len(made) <= longest else node.name

    def __str__(self) -> str:
        hidden = len(self) - LINES
        if hidden <= 0:
            return "\n".join(map(self.equation, self.nodes))
        ends = self._made(0, LINES // 2), self._made(len(self) - LINES // 2, len(self))
        head, tail = ("\n".join(map(self.equation, nodes)) for nodes in ends)
        return f"{head}\n… {hidden:,} more values …\n{tail}"

    def __repr__(self) -> str:
        root = self.roots[-1]
        return f"Graph({len(self)} values, root {safe_name(self.name(root))} = {float(self.data[root])!r})"

    # ------------------------------------------------------------------- equality, pickles, JSON, copies
    def to_json(self) -> str:
        """The record as JSON, column by column; what is no finite number stands there as a text.

        >>> x = Value(2.0, name="x")
        >>> Graph.from_json(Graph(x * x).to_json()) == Graph(x * x)
        True
        """
        record = self._record()
        for name, column in record.items():
            if isinstance(column, np.ndarray):
                record[name] = numbers = column.tolist()
                for index in np.flatnonzero(~np.isfinite(column)).tolist():
                    numbers[index] = repr(numbers[index])
        record["rules"] = [_texts(rule.__reduce__()[1]) for rule in self.rules]
        return json.dumps(record, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph of such a text; ValueError for another one."""
        wrong = "this is no graph as Graph.to_json() writes it"
        try:
            found = json.loads(text)
            record: dict[str, Any] = {name: np.array(found[name], kind) for name, kind in _COLUMNS.items()}
            record |= {name: [*map(_tuples, found[name])] for name in _LABELS}
            record["roots"] = tuple(found["roots"])
            record["rules"] = tuple(_rule(*row) for row in found["rules"])
            damage = _misfit(record)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ValueError(f"{wrong}: {error!r}") from None
        if damage:
            raise ValueError(f"{wrong}: {damage}")
        return Graph._with(record)

    def _record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("rules", "roots", *_COLUMNS, *_LABELS)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        ours, theirs = (
            [x.tobytes() if isinstance(x, np.ndarray) else x for x in each._record().values()]
            for each in (self, other)
        )
        return ours == theirs

    def __hash__(self) -> int:
        return hash((self.rules, self.args.tobytes(), self.data.tobytes()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Graph._with, (self._record(),)


#: What a record consists of, beside its rules and roots: the kind of each column, and the field of a node
#: that each label becomes.
_COLUMNS: dict[str, type] = {
    "op": int, "first": int, "args": int, "consts": float, "data": float, "local": float, "grad": float,
    "known": bool, "needs": bool,
}  # fmt: skip
_LABELS = {"names": "name", "named": "named", "sites": "site", "groups": "group", "paths": "path"}


def _frozen(roots: Sequence[Value], names: Mapping[str, Any] | None) -> dict[str, Any]:
    """The record of what the roots were computed from, with what labels are made of."""
    refuse_others([*roots])
    above: Any = object.__new__(Fields)  # a node whose operands are the roots
    above._rule = above._a = above._pending = None
    above._b, above._db = tuple(roots), (0.0,) * len(roots)
    if extension is None:
        values: tuple[Value, ...] = tuple(backward_order(above)[:0:-1])
        places = {id(value): index for index, value in enumerate(values)}
        record = _columns(values, lambda operand: places.get(id(operand)))
        record["roots"] = tuple(places[id(root)] for root in roots)
        notes = {index: value._note for index, value in enumerate(values) if value._note is not None}
    else:
        values, at, rules, notes, *columns = extension.columns(above)
        record = _frozen_columns(columns) | {"rules": tuple(rules), "roots": at}
    return {**record, "_values": values, "_notes": notes, "_variables": Variables(names or {})}


def _columns(items: Sequence[Value | Node], place: Callable[[Any], int | None]) -> dict[str, Any]:
    """The rows and columns of values or nodes, operands first; ``place`` has the position of an operand.

    Of values it is done in C where the extension is built, in ``native/value.c``.
    """
    rules: dict[Rule, int] = {}
    op, first, args = array("q"), array("q", [0]), array("q")
    consts, local = array("d"), array("d")
    for item in items:
        op.append(-1 if item.rule is None else rules.setdefault(item.rule, len(rules)))
        for operand, derivative in zip(item.operands, item.local_derivatives, strict=True):
            at: Any = place(operand)
            if at is None:
                consts.append(operand)  # type: ignore[arg-type]
            args.append(-len(consts) if at is None else at)
            local.append(math.nan if derivative is None else derivative)
        first.append(len(args))
    data, known = array("d", [item.data for item in items]), bytes(item.grad is not None for item in items)
    grad = array("d", [math.nan if item.grad is None else gradient_of(item) for item in items])
    needs = bytes(item.requires_grad for item in items)
    columns = _frozen_columns([op, first, args, consts, data, local, grad, known, needs])
    return columns | {"rules": tuple(rules)}


def _frozen_columns(columns: Iterable[Any]) -> dict[str, Any]:
    """Buffers as arrays that cannot be written."""
    pairs = zip(_COLUMNS.items(), columns, strict=True)
    return {name: np.frombuffer(memoryview(each).toreadonly(), kind) for (name, kind), each in pairs}


def _checked(node: Any) -> Node:
    if not isinstance(node, Node):
        raise TypeError(f"a node is one of a graph, such as graph.root, not {safe_name(repr(node))}")
    return node


def _texts(held: Any) -> Any:
    """A row of the table for strict JSON."""
    if isinstance(held, dict):
        return {key: _texts(each) for key, each in held.items()}
    if isinstance(held, tuple):
        return [*map(_texts, held)]
    return repr(held) if isinstance(held, float) and not math.isfinite(held) else held


def _tuples(held: Any) -> Any:
    return tuple(map(_tuples, held)) if isinstance(held, list) else held


def _rule(*row: Any) -> Rule:
    """The rule of the texts of its row; numbers that are not finite are texts in its boxes and defaults."""
    name, args, y, d, doc, smooth, corner, kink, defaults, *rest = map(_tuples, row)
    boxes = tuple(tuple((float(low), float(high)) for low, high in box) for box in smooth)
    given = {arg: float(each) for arg, each in defaults.items()}
    return restored(name, args, y, d, doc, boxes, corner, kink, given, *rest)


def _misfit(record: Mapping[str, Any]) -> str:
    """Why the columns of a record from a file are not about the same nodes, operands before users."""
    sizes = {len(record[name]) for name in ("op", "data", "grad", "known", "needs", *_LABELS)}
    if sizes != {len(record["first"]) - 1} or len(record["args"]) != len(record["local"]):
        return "its columns differ in length"
    op, first, args = record["op"], record["first"], record["args"]
    users = np.repeat(np.arange(len(op)), np.diff(first))
    if not (
        all(column.ndim == 1 for column in record.values() if isinstance(column, np.ndarray))
        and first[0] == 0
        and len(users) == len(args)
        and ((op >= -1) & (op < len(record["rules"]))).all()
        and record["roots"]
        and all(type(each) is int and 0 <= each < len(op) for each in record["roots"])
        and record["needs"][op >= 0].all()
    ):
        return "its columns do not fit each other"
    for index, rule in enumerate([None, *record["rules"]], start=-1):
        held = np.flatnonzero(op == index)
        widths = np.diff(first)[held]
        alone, over = (0, 0) if rule is None else (len(rule.args) - len(rule.over), len(rule.over))
        listed = widths - alone
        fits = (listed >= 0) & (listed % over == 0) if over else listed == 0
        if not fits.all():
            at = fits.argmin()
            return f"{widths[at]} operands do not fit {rule or 'a leaf'}, node {held[at]}"
    before = (args >= -len(record["consts"])) & (args < users)
    if not before.all():
        return f"an operand of node {users[before.argmin()]} does not stand before it"
    used = {*args[args >= 0].tolist(), *record["roots"]}
    return "" if len(used) == len(op) else "it has nodes that no other uses"
