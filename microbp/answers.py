"""``check_answers``: grades gradients that a person worked out, and looks for the mistake in a wrong one.

A mistake is looked for by making it. Each hypothesis is a small function that yields candidates: a
sentence, and the numbers that this mistake would have given. Most mistakes with the chain rule are a
backward pass with some local derivatives changed: a factor left out, a path forgotten, a weight updated
too early. Mistakes with matrices are the products of the backward pass with their factors turned the
wrong way. Only what reproduces the claimed numbers, to their precision, is ever reported.
"""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import cached_property, lru_cache, partial
from itertools import chain, islice, product
from numbers import Real
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microbp.backward import backward_order, upstream_gradients
from microbp.compiled import Compiled, compiled
from microbp.errors import NoGradientError
from microbp.expr import parse
from microbp.graph import Graph, Node, variable_names
from microbp.rules import RULES, Rule
from microbp.sites import user_frame
from microbp.tables import Cell, Table
from microbp.value import Value, describe

__all__ = ["AnswerReport", "AnswerRow", "Cause", "check_answers"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
#: A number, or numbers in nested tuples in the shape of their array.
Numbers = Any

RIGHT, WRONG, AS_UPDATE = "right", "WRONG", "right as an update"


# ------------------------------------------------------------------------------------- the report
class Cause(NamedTuple):
    """A mistake that reproduces a claim."""

    #: What is wrong, in words and numbers.
    text: str
    #: The gradient that comes out when the mistake is made: it agrees with the claim.
    gives: Numbers


class AnswerRow(NamedTuple):
    """One claim and its verdict."""

    name: str
    claimed: Numbers
    true: Numbers
    #: claimed / true; None where true is 0 or the shapes do not fit.
    ratio: Numbers
    #: ``right``, ``WRONG`` or ``right as an update``.
    verdict: str
    #: The verdict in words; empty where there is nothing to say.
    explanation: str
    #: The mistakes that reproduce a wrong claim, the simplest first.
    causes: tuple[Cause, ...]
    #: Whether each number is right by itself; None where the shapes do not fit.
    agrees: Numbers

    def lines(self) -> Iterator[tuple[Cell, ...]]:
        """The lines of the table: one for each element of an array."""
        claimed, true = np.array(self.claimed), np.array(self.true)
        if not _fits(claimed.shape, true.shape):
            yield self.name, _shape(claimed), _shape(true), None, self.verdict
            return
        claimed, ratio = np.broadcast_to(claimed, true.shape), np.array(self.ratio, dtype=object)
        agrees = np.full(true.shape, False) if self.agrees is None else np.array(self.agrees)
        for place in np.ndindex(true.shape):
            name = f"{self.name}[{','.join(map(str, place))}]" if place else self.name
            verdict = RIGHT if self.verdict == WRONG and agrees[place] else self.verdict
            quotient: Any = ratio[place]
            yield name, float(claimed[place]), float(true[place]), quotient, verdict


@dataclass(frozen=True, repr=False)
class AnswerReport:
    """What :func:`check_answers` found; ``str(report)`` is the table."""

    rows: tuple[AnswerRow, ...]

    @property
    def ok(self) -> bool:
        """Whether no claim is wrong."""
        return not self.counts[WRONG]

    @property
    def counts(self) -> Counter[str]:
        """How many rows have each verdict."""
        return Counter(row.verdict for row in self.rows)

    def __getitem__(self, name: str) -> AnswerRow:
        """The row of a name. KeyError says which there are."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"nothing was claimed for {name!r}; there are {', '.join(r.name for r in self.rows)}")

    def __repr__(self) -> str:
        return f"AnswerReport({self._tally()})"

    def __str__(self) -> str:
        return str(self.table())

    def _tally(self) -> str:
        return ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())

    def table(self) -> Table:
        """The table: a line for each number claimed, and the explanations below."""
        lines = [line for row in self.rows for line in row.lines()]
        notes = [f"{row.name}: {row.explanation}" for row in self.rows if row.explanation]
        return Table(
            f"check_answers: {self._tally()}",
            ("name", ">claimed", ">true gradient", ">ratio", "verdict"),
            tuple(lines),
            tuple(line for note in notes for line in wrap(note, 100, subsequent_indent="    ")),
        )


def check_answers(
    loss: Value,
    claims: Mapping[Any, Any] | Iterable[tuple[Any, Any]],
    *,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
    learning_rate: float | None = None,
    tolerance: float | None = None,
) -> AnswerReport:
    """Grade claimed gradients ∂loss/∂w and say what is wrong with the wrong ones; print and return the table.

    ``claims`` maps names to numbers, or is a list of pairs (Value, array or list of Values; claim). A
    name is that of a Value, of a variable in the caller's scope that holds Values (or in ``names``, given
    in its place), or the ``name=`` of a :func:`microbp.array`. A claim is a number, a text, an array or a
    nested list, in the shape of what it is about. No ``.grad`` is read or touched.

    >>> w, x = Value(0.4, name="w"), 3.0
    >>> o = (w * x).sigmoid()
    >>> E = 0.5 * (1.0 - o) ** 2
    >>> report = check_answers(E, {"w": -0.694426})
    check_answers: 1 WRONG
    <BLANKLINE>
    name       claimed   true gradient        ratio   verdict
    ─────────────────────────────────────────────────────────
    w      -0.69442600     -0.12353446   +5.6213140   WRONG
    <BLANKLINE>
    w: the factor σ′(w·3) = 0.177894 is missing
    >>> report.ok, check_answers(E, {"w": "-0.1235"}, show=False).ok
    (False, True)

    *Precision.* A text such as ``"0.0820"``, of 3 digits or more, is right if the true gradient rounds to
    it. A float does not show its last zeros: it is right if it is the true gradient to 1e-6 relative, or
    if the true gradient rounds to it and it has 5 digits or more. An explanation has to reproduce the
    claim in the same way, but to 1e-9. ``tolerance`` stands in place of both 1e-6 and 1e-9, also for texts.

    *Updates.* With ``learning_rate`` η, claims may also be what is added to the parameters,
    -η·∂loss/∂w; these are ``right as an update``. A report has one convention: where any claim is right
    as a gradient, all are graded as gradients.

    *What is looked for*: a rounding, a sign, a constant factor (2, ½, n or 1/n for a sum of n terms, a
    learning rate), the transpose, a broadcast or unsummed array, the gradient of another parameter, a
    factor of the chain rule that is missing, used twice or taken of the wrong thing, a missing upstream
    gradient, a forgotten path or term, weights that were updated too early, matrix products in the wrong
    orientation; then each of these with a wrong sign or a constant factor besides. A search is not begun
    where so few digits were written that they would be met by accident. In a graph of thousands of
    values factors are changed in whole layers only, not one by one.

    Raises KeyError for a name that is not known, ValueError for a claim that is no number or whose shape
    none of these mistakes explains, NoGradientError for a frozen parameter or a constant loss, TypeError
    for a loss that is no Value.
    """
    if not isinstance(loss, Value):
        raise TypeError(f"check_answers() grades gradients of a Value, not of {type(loss).__name__}")
    if learning_rate is not None and not 0.0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is a positive number, not {learning_rate!r}")
    if not loss.requires_grad:
        raise NoGradientError(
            f"{describe(loss)} is a constant: it was recorded under no_grad(), detached or frozen, so that "
            "nothing takes a gradient"
        )
    case = _Case(loss, _scope() if names is None else names, learning_rate, tolerance)
    pairs = claims.items() if isinstance(claims, Mapping) else claims
    asked = [_claim(case, key, claimed) for key, claimed in pairs]
    if not asked:
        raise ValueError("check_answers() was given no claims")
    case.claims = _as_updates(asked, learning_rate) or asked
    report = AnswerReport(tuple(map(_graded, case.claims)))
    if show:
        report.table().show()
    return report


# ------------------------------------------------------------------------------------- the claims
@dataclass(frozen=True, eq=False)
class _Claim:
    """What is claimed about one parameter, or about an array of them."""

    case: _Case
    name: str
    #: The node of each element; -1 where the loss does not depend on it.
    where: Places
    true: Floats
    #: As written, in the claim's own shape.
    written: Floats
    #: Half a unit of the last digit written; whether there are enough digits for it to count, ...
    half: Floats
    rounded: Flags
    #: ... and whether nothing else counts, since it was written as text.
    strict: Flags
    #: 1 for a gradient; -η for an update.
    scale: float = 1.0

    @cached_property
    def claimed(self) -> Floats:
        """The gradient that the claim amounts to."""
        return np.asarray(self.written / self.scale)

    def near(self, relative: float | Floats) -> Floats:
        """How far a number may lie from each claimed one and still be what was meant."""
        digits = np.where(self.rounded, self.half / abs(self.scale) * (1 + 1e-9), 0.0)
        if self.case.tolerance is None:
            relative = np.where(self.strict, 0.0, relative)
        else:
            relative = self.case.tolerance
        rounding = self.rounding if self.rounding.shape == digits.shape else self.rounding.max()
        return np.maximum(np.maximum(digits, relative * abs(self.claimed)), rounding)

    @cached_property
    def rounding(self) -> Floats:
        """What the rounding of sums that cancel may do to each gradient."""
        return np.where(self.where < 0, 0.0, 1e-13 * self.case.sizes[self.where])

    @cached_property
    def agrees(self) -> Flags | None:
        """Which elements are right; None where the shape is not that of the parameter."""
        if self.written.shape != self.true.shape:
            return None
        same = (self.claimed == self.true) | (np.isnan(self.claimed) & np.isnan(self.true))
        with np.errstate(invalid="ignore"):
            return np.asarray(same | (abs(self.claimed - self.true) <= self.near(1e-6)))

    @property
    def right(self) -> bool:
        return self.agrees is not None and bool(self.agrees.all())

    @cached_property
    def wrong(self) -> Flags:
        return np.full(self.written.shape, True) if self.agrees is None else ~self.agrees

    @cached_property
    def reached(self) -> Flags:
        """Which nodes of the graph depend on the parameters."""
        reached = np.zeros(len(self.case.nodes), dtype=bool)
        reached[self.where[self.where >= 0]] = True
        for node in self.case.nodes:
            if any(type(each) is int and reached[each] for each in node.operands):
                reached[node.position] = True
        return reached

    @cached_property
    def edges(self) -> list[Edge]:
        """Every use of a value on the paths from the parameters to the loss."""
        return [
            (node.position, place)
            for node in self.case.nodes
            for place, operand in enumerate(node.operands)
            if type(operand) is int and self.reached[operand] and self.case.gradient[node.position]
        ]

    @cached_property
    def edge_set(self) -> frozenset[Edge]:
        return frozenset(self.edges)


def _claim(case: _Case, key: Any, claimed: Any) -> _Claim:
    name, values = _values_of(case, key)
    where = np.empty(values.shape, dtype=np.int64)
    true = np.zeros(values.shape)
    for place in np.ndindex(values.shape):
        value: Any = values[place]
        where[place] = case.position(value, name)
        true[place] = case.gradient[where[place]] if where[place] >= 0 else 0.0
    return _Claim(case, name, where, true, *_read(name, claimed))


def _read(name: str, claimed: Any) -> tuple[Floats, Floats, Flags, Flags]:
    """Each number, half a unit of its last digit, whether that counts, and whether nothing else does."""
    try:
        source = np.asarray(claimed, dtype=object)
    except ValueError:
        raise ValueError(f"the claim for {name} has rows of unequal length: {claimed!r}") from None
    numbers, half = np.zeros(source.shape), np.zeros(source.shape)
    rounded, strict = np.full(source.shape, False), np.full(source.shape, False)
    for place in np.ndindex(source.shape):
        decimal = _decimal(name, source[place])
        numbers[place] = float(decimal)
        _, digits, exponent = decimal.as_tuple()
        if decimal and isinstance(exponent, int):
            half[place] = 0.5 * 10.0**exponent
            text = isinstance(source[place], str)
            rounded[place] = len(digits) >= (3 if text else 5)
            strict[place] = rounded[place] and text
    if getattr(claimed, "dtype", None) == np.float32:  # computed in fewer digits than it is printed in
        half, rounded = 16 * float(np.finfo(np.float32).eps) * abs(numbers), numbers != 0
    return numbers, half, rounded, strict


def _decimal(name: str, claimed: Any) -> Decimal:
    """A number in the digits in which it was written; a float does not show its last zeros."""
    claimed = claimed.data if isinstance(claimed, Value) else claimed
    with suppress(InvalidOperation):
        if isinstance(claimed, str):
            return Decimal(claimed.strip().replace("−", "-"))
        if isinstance(claimed, Real) and not isinstance(claimed, bool):
            return Decimal(repr(float(claimed))).normalize()
    raise ValueError(f"the claim for {name} is not a number: {claimed!r}")


def _as_updates(asked: Sequence[_Claim], learning_rate: float | None) -> Sequence[_Claim] | None:
    """The claims read as -η·gradient, if some are right so, and none is right as a gradient."""
    if learning_rate is None or any(each.right for each in asked if each.true.any()):
        return None
    updates = [replace(each, scale=-learning_rate) for each in asked]
    return updates if any(each.right for each in updates if each.true.any()) else None


# -------------------------------------------------------------------------------------- the names
def _scope() -> dict[str, Any]:
    """The variables that the caller sees, its own first."""
    frame = user_frame()
    if frame is None:
        return {}
    return {**frame.f_locals, **{k: v for k, v in frame.f_globals.items() if k not in frame.f_locals}}


def _values_of(case: _Case, key: Any) -> tuple[str, NDArray[np.object_]]:
    """The name and the Values that a claim is about."""
    if not isinstance(key, str):
        values = _as_values(key)
        if values is None:
            raise TypeError(f"a claim is about a name, a Value or an array of Values, not {key!r}")
        return case.name_of(key, values), values
    bearers = [value for value in case.values if value.name == key]
    if len(bearers) == 1:
        return key, np.array(bearers[0], dtype=object)
    held = _as_values(case.scope.get(key))
    present = {id(value) for value in case.values}
    if held is not None and any(id(value) in present for value in held.flat):
        return key, held
    elements = None if bearers else _assembled({v.name: v for v in case.values if v.name}, key)
    if elements is not None:
        return key, elements
    if held is not None:  # the loss does not depend on it
        return key, held
    if bearers:
        raise KeyError(
            f"{len(bearers)} values of the graph are named {key!r}: give the Value itself, in a list of "
            "pairs (value, claim)"
        )
    for node, value in zip(case.nodes, case.values, strict=True):
        if node.named and node.name == key:
            return key, np.array(value, dtype=object)
    raise KeyError(_unknown(case, key))


def _as_values(held: Any) -> NDArray[np.object_] | None:
    """An array of Values from a Value, an array or a nested list of Values; None for anything else."""
    if isinstance(held, Value | list | tuple | np.ndarray):
        with suppress(ValueError):  # rows of unequal length
            values = np.asarray(held, dtype=object).view(np.ndarray)
            if values.size and all(isinstance(each, Value) for each in values.flat):
                return values
    return None


def _assembled(elements: Mapping[str, Any], name: str) -> NDArray[Any] | None:
    """The array of what is called ``name[i,j]``; None where nothing is. ValueError where some are missing."""
    found = {}
    for each, element in elements.items():
        match = re.fullmatch(re.escape(name) + r"\[(\d+(?:,\d+)*)\]", each)
        if match:
            found[tuple(map(int, match[1].split(",")))] = element
    if not found or len({len(place) for place in found}) > 1:
        return None
    array = np.empty([max(axis) + 1 for axis in zip(*found, strict=True)], dtype=object)
    if len(found) != array.size:
        raise ValueError(
            f"the loss depends on {len(found)} elements of {name!r} only, so that its shape is not known: "
            "give the array itself, in a list of pairs (array, claim)"
        )
    for place, element in found.items():
        array[place] = element
    return array


def _unknown(case: _Case, key: str) -> str:
    names = [node.name for node in case.nodes if node.named]
    known = list(dict.fromkeys([*map(_prefix, names), *names]))
    close = get_close_matches(key, known, 3, 0.5)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    listed = ", ".join(known[:20] + ["…"] * (len(known) > 20)) or "none"
    return (
        f"nothing that the loss depends on is called {key!r}.{meant} Names there are: {listed}; a claim may "
        "also be made by the Value itself, in a list of pairs (value, claim)"
    )


def _prefix(name: str) -> str:
    """The array that an element is of: ``W0`` for ``W0[0,1]``."""
    return name.partition("[")[0]


# --------------------------------------------------------------------------------------- the case
#: The use of a value: the position of the node that uses it, and its place among the operands.
Edge = tuple[int, int]

#: What passes its upstream gradient on as it is, but for a sign.
_ADDITIVE = ("add", "sub", "sum")
_INFIX = {"add": " + ", "sub": " - ", "mul": "·", "div": "/", "pow": "**"}
#: What is not a function like an activation, although it may have a single Value among its operands.
_ARITHMETIC = (*_ADDITIVE, "mul", "div", "neg", "dot")


@dataclass(frozen=True)
class _Change:
    """A backward pass with a mistake in it."""

    text: str
    #: Local derivatives in place of the recorded ones.
    locals: Mapping[Edge, float] = field(default_factory=dict)
    #: Where the pass begins, with which upstream gradients; nothing for the loss with 1.
    starts: Mapping[int, float] = field(default_factory=dict)


@lru_cache
def _arguments(rule: Rule, length: int) -> tuple[str, ...]:
    """For each operand of a node, which argument of the rule it is."""
    entries = zip(rule.args, rule.split(range(length)), strict=True)
    return tuple(arg for arg, entry in entries for _ in (entry if arg in rule.over else [entry]))


class _Case:
    """The graph behind the loss, and what the hypotheses ask of it."""

    def __init__(
        self, loss: Value, scope: Mapping[str, Any], learning_rate: float | None, tolerance: float | None
    ) -> None:
        self.scope, self.learning_rate, self.tolerance = scope, learning_rate, tolerance
        self.graph = Graph(loss, names=scope)
        self.nodes = self.graph.nodes
        self.values = backward_order(loss)[::-1]
        self.claims: Sequence[_Claim] = ()
        upstream = upstream_gradients(loss)
        #: The true gradient of each node.
        self.gradient = np.array([upstream.get(id(value), 0.0) for value in self.values])
        #: The parameters: leaves that take a gradient.
        self.leaves = [node.position for node in self.nodes if self.is_parameter(node.position)]

    # ------------------------------------------------------------------------------ nodes and names
    def position(self, value: Value, name: str) -> int:
        """The position of a Value in the graph, -1 where the loss does not depend on it."""
        if not value.requires_grad:
            raise NoGradientError(f"{name}: {describe(value)} is frozen and takes no gradient")
        try:
            return self.graph[value].position
        except KeyError:
            return -1

    def name_of(self, key: Any, values: NDArray[np.object_]) -> str:
        """What to call the object of a claim that was made by the Values themselves."""
        first: Any = values.flat[0]
        if not first.name:
            for name, held in self.scope.items():
                if held is key:
                    return name
        name = first.name or variable_names(self.scope).get(id(first)) or "an unnamed value"
        return _prefix(name) if values.shape else name

    @cached_property
    def parameters(self) -> dict[str, Places]:
        """The named parameters: each leaf alone, and the arrays that they are elements of."""
        leaves = {self.nodes[each].name: each for each in self.leaves if self.nodes[each].named}
        found = {name: np.array(each) for name, each in leaves.items()}
        for name in dict.fromkeys(map(_prefix, leaves)):
            with suppress(ValueError):
                array = _assembled(leaves, name)
                if array is not None:
                    found[name] = array.astype(np.int64)
        return found

    def called(self, position: int, depth: int = 3) -> str:
        """A node in a sentence: its name, or the operation that makes it, ``0.5·(t - o)**2``."""
        node = self.nodes[position]
        if node.named or node.rule is None:
            return node.name
        if not depth:
            return "…"
        if len(node.operands) > 3:
            return f"{node.rule.name}(…)"
        texts = [self.called(each, depth - 1) if type(each) is int else f"{each:g}" for each in node.operands]
        if node.rule.name in _INFIX:
            return _INFIX[node.rule.name].join(map(_bracketed, texts))
        return f"{node.rule.name}({', '.join(texts)})"

    def listed(self, positions: Iterable[int]) -> str:
        """Several nodes in a sentence; an array is named once."""
        texts = ((self.nodes[each].named, self.called(each)) for each in positions)
        names = list(dict.fromkeys(_prefix(text) if named else text for named, text in texts))
        return ", ".join(names[:4]) + ", …" * (len(names) > 4)

    # ---------------------------------------------------------------------------- backward passes
    def gradients(self, changes: Sequence[_Change], where: Places) -> Iterator[Floats]:
        """What each changed backward pass gives at ``where``."""
        together = max(1, 5_000_000 // len(self.nodes))
        for start in range(0, len(changes), together):
            upstream = self._passes(changes[start : start + together])
            yield from np.moveaxis(np.where(where[..., None] < 0, 0.0, upstream[where]), -1, 0)

    def _passes(self, changes: Sequence[_Change]) -> Floats:
        """Reverse mode with a column for each change."""
        upstream = np.zeros((len(self.nodes), len(changes)))
        changed: dict[Edge, Floats] = {}
        for column, change in enumerate(changes):
            for edge, number in change.locals.items():
                changed.setdefault(edge, np.full(len(changes), self.local(edge)))[column] = number
            for position, start in (change.starts or {len(self.nodes) - 1: 1.0}).items():
                upstream[position, column] = start
        for node in reversed(self.nodes):
            for place, operand in enumerate(node.operands):
                if type(operand) is int:
                    local: Any = changed.get((node.position, place), node.local_derivatives[place])
                    upstream[operand] += upstream[node.position] * local
        return upstream

    @cached_property
    def sizes(self) -> Floats:
        """For each node the sum over all paths without their signs: more than the gradient if they cancel."""
        sizes = np.zeros(len(self.nodes))
        sizes[-1] = 1.0
        with np.errstate(all="ignore"):
            for node in reversed(self.nodes):
                for operand, local in zip(node.operands, node.local_derivatives, strict=True):
                    if type(operand) is int and local is not None:
                        sizes[operand] += sizes[node.position] * abs(local)
        return np.nan_to_num(sizes, nan=0.0, posinf=0.0)

    # ------------------------------------------------------------------------- the graph by itself
    @cached_property
    def uses(self) -> list[list[Edge]]:
        return self.graph.uses()

    def operand(self, edge: Edge) -> int:
        """The position of the value that is used."""
        operand = self.nodes[edge[0]].operands[edge[1]]
        assert isinstance(operand, int)
        return operand

    def local(self, edge: Edge) -> float:
        """The local derivative ∂node/∂operand as recorded."""
        local = self.nodes[edge[0]].local_derivatives[edge[1]]
        assert local is not None
        return local

    def argument(self, edge: Edge) -> tuple[Rule | None, str]:
        """Which argument of which rule the operand is."""
        node = self.nodes[edge[0]]
        assert node.rule is not None
        return node.rule, _arguments(node.rule, len(node.operands))[edge[1]]

    def partner(self, edge: Edge) -> int | float | None:
        """What the operand is multiplied by: the local derivative; None in another operation."""
        node, place = self.nodes[edge[0]], edge[1]
        if node.rule is RULES["mul"]:
            return node.operands[1 - place]
        if node.rule is RULES["dot"] and place < len(node.operands) - 1:
            half = len(node.operands) // 2
            return node.operands[place + half if place < half else place - half]
        return None

    def behind(self, edge: Edge) -> list[int]:
        """The values on which a local derivative depends."""
        partner = self.partner(edge)
        operands = self.nodes[edge[0]].operands if partner is None else (partner,)
        return [each for each in operands if type(each) is int]

    def only_operand(self, position: int) -> bool:
        """Whether a node is computed from a single Value, once."""
        return sum(type(each) is int for each in self.nodes[position].operands) == 1

    def is_parameter(self, position: int) -> bool:
        node = self.nodes[position]
        return node.rule is None and node.requires_grad

    def is_function(self, position: int) -> bool:
        """Whether a node is a function of a single Value, like an activation."""
        rule = self.nodes[position].rule
        return rule is not None and rule.name not in _ARITHMETIC and self.only_operand(position)

    @cached_property
    def levels(self) -> list[int]:
        """For each node, how many operations stand between it and the loss, additions not counted."""
        levels = [0] * len(self.nodes)
        for node in reversed(self.nodes):
            beyond = levels[node.position] + (node.rule is None or node.rule.name not in _ADDITIVE)
            for each in node.operands:
                if type(each) is int:
                    levels[each] = max(levels[each], beyond)
        return levels

    @cached_property
    def roles(self) -> list[int]:
        """Equal numbers for nodes that do the same for other samples: same rules, same parameters."""
        known: dict[Any, int] = {}
        roles: list[int] = []
        for node in self.nodes:
            key: Any = node.position if node.requires_grad else None
            if node.rule is not None:
                key = (node.rule, *(roles[each] if type(each) is int else -1 for each in node.operands))
            roles.append(-1 if key is None else known.setdefault(key, len(known)))
        return roles

    @cached_property
    def sums(self) -> dict[int, list[Edge]]:
        """The sums of two terms or more, however they were added up, and where each term enters."""
        sums: dict[int, list[Edge]] = {}
        for node in self.nodes:
            if node.rule is not None and node.rule.name in ("add", "sum"):
                terms: list[Edge] = []
                for place, operand in enumerate(node.operands):
                    if type(operand) is int:
                        inner = sums.pop(operand, None) if len(self.uses[operand]) == 1 else None
                        terms += inner or [(node.position, place)]
                sums[node.position] = terms
        return {position: terms for position, terms in sums.items() if len(terms) > 1}

    def scales_loss(self, position: int) -> bool:
        """Whether the loss is a value up to constants: added to others, times a number."""
        while self.uses[position]:
            user = self.nodes[self.uses[position][0][0]]
            assert user.rule is not None
            linear = user.rule.name in _ADDITIVE or self.only_operand(user.position)
            if len(self.uses[position]) > 1 or user.rule.name not in _ARITHMETIC or not linear:
                return False
            position = user.position
        return True

    # ----------------------------------------------------------------------------- another forward
    def forward(self, leaves: Mapping[int, float]) -> list[float]:
        """The data of all nodes with other numbers in some leaves."""
        data: list[float] = []
        for node in self.nodes:
            if node.rule is None:
                data.append(leaves.get(node.position, node.data))
            else:
                data.append(compiled(node.rule).value(*self._numbers(node, data)))
        return data

    def locals_at(self, data: Sequence[float]) -> dict[Edge, float]:
        """The local derivatives that differ from the recorded ones where the nodes have other data."""
        found: dict[Edge, float] = {}
        for node in self.nodes:
            if node.rule is not None:
                numbers, y = self._numbers(node, data), data[node.position]
                locals_: list[float] = []
                for derivative in compiled(node.rule).derivatives:
                    d = derivative(*numbers, y)
                    locals_ += d if type(d) is list else [d]
                for place, (recorded, d) in enumerate(zip(node.local_derivatives, locals_, strict=True)):
                    if recorded is not None and recorded != d:
                        found[node.position, place] = d
        return found

    @staticmethod
    def _numbers(node: Node, data: Sequence[float]) -> list[Any]:
        assert node.rule is not None
        return node.rule.split([data[each] if type(each) is int else each for each in node.operands])

    @cached_property
    def fresh(self) -> bool:
        """Whether no leaf has been changed since the graph was recorded."""
        with suppress(ArithmeticError, ValueError):
            return np.array_equal(self.forward({}), [node.data for node in self.nodes], equal_nan=True)
        return False


# ---------------------------------------------------------------------------------------- grading
class _Candidate(NamedTuple):
    """A mistake, and the gradient that it gives."""

    text: str
    gives: Floats


_Hypothesis = Callable[[_Claim], Iterable[_Candidate]]

#: How many explanations of one claim are given, at most.
_TOLD = 3
#: From so many accidental matches expected in a search on, what is found may be one; from so many, it
#: is not begun.
_DOUBTFUL, _IDLE = 0.005, 0.1


@np.errstate(all="ignore")  # a mistake may overflow: then it does not reproduce the claim
def _graded(claim: _Claim) -> AnswerRow:
    causes: list[Cause] = []
    if not claim.right:
        verdict = WRONG
        causes, told = _search(claim)
        explanation = _explanation(claim, causes, told)
    elif claim.scale == 1.0:
        verdict, explanation = RIGHT, ""
    else:
        verdict = AS_UPDATE
        explanation = f"it is the update, -η × the gradient with η = {-claim.scale:g}"
    return AnswerRow(
        claim.name,
        _plain(claim.written.tolist()),
        _plain(claim.true.tolist()),
        _plain(_ratio(claim).tolist()),
        verdict,
        explanation,
        tuple(causes),
        None if claim.agrees is None else _plain(claim.agrees.tolist()),
    )


def _search(claim: _Claim) -> tuple[list[Cause], str]:
    """The simplest mistakes that reproduce a claim, and what else is to be said."""
    if claim.agrees is not None and (claim.where[claim.wrong] < 0).all():
        return [], ""
    if not (np.isfinite(claim.claimed).all() and np.isfinite(claim.true).all()):
        return [], "; no mistake is looked for among numbers that are not finite"
    tried: list[_Candidate] = []
    accidents = 0.0
    for tier in (*_TIERS, None):
        if tier is None:
            candidates = list(_with_a_second(claim, tried))
        else:
            candidates = [each for hypothesis in tier for each in hypothesis(claim)]
        if tried:  # the simplest are too few for that
            accidents += _accidents(claim, candidates)
        if accidents > _IDLE:
            return [], (
                "; none of the simplest mistakes gives this, and with so few digits some other would by "
                "accident"
            )
        found = _reproducing(claim, candidates)
        if found:
            return found, "" if accidents < _DOUBTFUL else (
                f"; with so few digits, though, 1 in {1 / accidents:.0f} numbers would be met by accident"
            )
        tried += candidates
    told = f"; none of {len(tried)} mistakes tried gives this"
    if (claim.half > 0.0)[~claim.rounded & claim.wrong].any():
        told += ". Was it rounded? A float needs 5 digits, a text 3, to be taken so"
    found = _reproducing(claim, _one_factor(claim))
    return found, "" if found else told


def _accidents(claim: _Claim, candidates: Sequence[_Candidate]) -> float:
    """How many candidates would match a number by accident, from how densely the others lie about it."""
    gives = np.array([each.gives for each in candidates if each.gives.shape == claim.true.shape])
    if not len(gives) or not _fits(claim.claimed.shape, claim.true.shape):
        return 0.0
    claimed, near = (np.broadcast_to(each, claim.true.shape) for each in (claim.claimed, claim.near(1e-9)))
    wrong = np.broadcast_to(claim.wrong, claim.true.shape)
    width = near / abs(claimed)
    away = abs(np.log(gives / claimed))  # nan for another sign
    others = [((width < away) & (away < reach)).sum(axis=0) / reach for reach in (0.5, 0.05, 0.005)]
    return float(np.nan_to_num(width * np.max(others, axis=0))[wrong].min())


def _reproducing(claim: _Claim, candidates: Iterable[_Candidate]) -> list[Cause]:
    """The candidates that give what is claimed; before those that do so only where it is wrong."""
    everywhere: dict[str, Cause] = {}
    partly: dict[str, Cause] = {}
    near = claim.near(1e-9)
    for text, gives in candidates:
        if not _fits(claim.claimed.shape, gives.shape):
            continue
        match = abs(gives - claim.claimed) <= near
        if match.all():
            everywhere.setdefault(text, Cause(text, _plain(gives.tolist())))
        elif claim.written.shape == gives.shape == claim.true.shape and match[claim.wrong].all():
            there = f"at {_places(claim.wrong)} only: {text}"
            numbers = np.where(claim.wrong, gives, claim.true)
            partly.setdefault(there, Cause(there, _plain(numbers.tolist())))
    return [*everywhere.values(), *partly.values()][:_TOLD]


def _explanation(claim: _Claim, causes: Sequence[Cause], told: str) -> str:
    clauses = []
    if claim.written.shape != claim.true.shape:
        clauses.append(f"the claim is {_shape(claim.written)}, {claim.name} is {_shape(claim.true)}")
    if claim.scale != 1.0:
        rate = f"{-claim.scale:g}"
        clauses.append(f"as an update with η = {rate} it stands for the gradient {_shown(claim.claimed)}")
    if len(causes) > 1:
        clauses.append(f"{len(causes)} mistakes give this: {'; or '.join(each.text for each in causes)}")
    elif causes:
        clauses.append(causes[0].text)
    else:
        clauses.append(_unexplained(claim))
    return "; ".join(clauses) + told


def _unexplained(claim: _Claim) -> str:
    """By how much a claim is wrong. ValueError where its shape makes no sense."""
    claimed, true = claim.claimed, claim.true
    if not _fits(claimed.shape, true.shape):
        if claimed.shape == true.shape[::-1] or claimed.size == true.size:
            return "in that shape the numbers do not fit either"
        raise ValueError(
            f"the claim for {claim.name} has the shape {claimed.shape}, but {claim.name} has {true.shape}"
        )
    if claim.agrees is not None and (claim.where[claim.wrong] < 0).all():
        where = f" at {_places(claim.wrong)}" if true.shape else ""
        return f"the loss does not depend on it{where}: the gradient is 0"
    difference = np.where(claim.wrong, claimed - true, 0.0)
    worst = np.unravel_index(int(np.argmax(abs(difference))), difference.shape)
    ratio = _ratio(claim)[worst]
    times = "" if ratio is None else f"{ratio:.6g} × the true gradient, "
    where = "everywhere" if claim.wrong.all() else f"at {_places(claim.wrong)}"
    at = f"{where}, most at [{','.join(map(str, worst))}]: " if true.shape else ""
    return f"{at}it is {times}{difference[worst]:+.6g} away from it{_equal_lines(claim)}"


def _equal_lines(claim: _Claim) -> str:
    """Whether rows or columns are equal that should not be: what broadcasting leaves behind."""
    if claim.claimed.shape == claim.true.shape and claim.true.ndim == 2:
        for axis, word in enumerate(("rows", "columns")):
            claimed, true = (np.ptp(each, axis=axis).max() for each in (claim.claimed, claim.true))
            if claim.true.shape[axis] > 1 and claimed <= 1e-12 * abs(claim.claimed).max() < true:
                return f"; its {word} are equal, as broadcasting leaves them"
    return ""


# ----------------------------------------------------------------- hypotheses: the gradient itself
def _rounded(claim: _Claim) -> Iterator[_Candidate]:
    """The true gradient, in fewer digits than count."""
    if claim.written.shape == claim.true.shape:
        unit = np.where(claim.rounded, 0.0, 2.0 * claim.half)
        true = claim.true * claim.scale
        steps = np.round(np.divide(true, unit, out=np.zeros_like(true), where=unit > 0.0))
        if (abs(steps) >= 10).any():
            text = (
                f"it is the true gradient {_shown(claim.true)}, rounded: a float counts as rounded only with "
                "5 digits, a text with 3"
            )
            yield _Candidate(text, np.where(abs(steps) >= 10, steps * unit, true) / claim.scale)


def _sign(claim: _Claim) -> Iterator[_Candidate]:
    text = "the sign is wrong: it is -1 × the true gradient"
    if claim.case.learning_rate is None:
        text += " (as the update of a descent with η = 1 it would be right: say learning_rate=1)"
    yield _Candidate(text, -claim.true)


def _constant(claim: _Claim) -> Iterator[_Candidate]:
    for factor, reason in _factors(claim):
        yield _Candidate(f"it is {factor:g} × the true gradient: {reason}", factor * claim.true)


def _factors(claim: _Claim) -> Iterator[tuple[float, str]]:
    """Constant factors that a person forgets, and what they may come from."""
    yield 2.0, "the ½ of the cost or another factor ½ is missing"
    yield 0.5, "the 2 of the square's derivative is missing, or a factor ½ does not belong in it"
    counts: dict[int, str] = {}
    for position, terms in claim.case.sums.items():
        if claim.case.scales_loss(position):
            counts.setdefault(len(terms), f"the {len(terms)} terms of {claim.case.called(position)}")
    for place in claim.where[claim.where >= 0].flat:
        n = len(claim.case.uses[int(place)])
        counts.setdefault(n, f"the {n} uses of each parameter (samples?)" if n > 1 else "")
    for length in claim.true.shape:
        counts.setdefault(length, f"{length}, the length of an axis")
    for n, what in counts.items():
        if n > 1:
            yield 1.0 / n, f"averaged over {what}, where the loss sums"
            yield float(n), f"summed over {what}, where the loss averages"


def _transposed(claim: _Claim) -> Iterator[_Candidate]:
    if claim.true.ndim > 1:
        yield _Candidate("it is the transpose of the true gradient", claim.true.T)


#: Learning rates that people use, for a search where none was given.
_CUSTOMARY = (1.0, 0.5, 0.3, 0.25, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4)


def _rates(case: _Case) -> tuple[float, ...]:
    return _CUSTOMARY if case.learning_rate is None else (case.learning_rate,)


def _with_a_rate(claim: _Claim) -> Iterator[_Candidate]:
    """The update, or the updated parameter, in place of the gradient."""
    case, true = claim.case, claim.true
    for rate in _rates(case):
        hint = f" (right as an update: say learning_rate={rate:g})" if case.learning_rate is None else ""
        yield _Candidate(f"it is the update, -η × the gradient with η = {rate:g}{hint}", -rate * true)
        yield _Candidate(f"it is η × the gradient with η = {rate:g}: no rate belongs in it", rate * true)
    if (claim.where >= 0).all():
        data = np.array([case.nodes[each].data for each in claim.where.flat]).reshape(true.shape)
        yield _Candidate("it is the parameter itself", data)
        for rate in _rates(case):
            text = f"it is the updated parameter, w - η × the gradient with η = {rate:g}"
            yield _Candidate(text, data - rate * true)


def _of_another(claim: _Claim) -> Iterator[_Candidate]:
    """The gradient of another parameter."""
    case = claim.case
    others = {each.name: each for each in case.claims if each.name != claim.name}
    for name, other in others.items():
        if other.true.shape == claim.true.shape:
            text = f"it is the gradient of {name}, {_shown(other.true)}"
            fits = _fits(other.claimed.shape, claim.true.shape)
            if fits and (abs(other.claimed - claim.true) <= other.near(1e-6)).all():
                text += f": the claims for {claim.name} and {name} are interchanged"
            yield _Candidate(text, other.true)
    for name, where in case.parameters.items():
        known = name in others or np.array_equal(where, claim.where)
        if where.shape == claim.where.shape and not known:
            yield _Candidate(
                f"it is the gradient of {name}, {_shown(case.gradient[where])}", case.gradient[where]
            )


def _broadcast(claim: _Claim) -> Iterator[_Candidate]:
    """One line of the true array, or the sum or mean of all, in place of each."""
    true = claim.true
    for axis, length in enumerate(true.shape):
        words = {1: ("element",), 2: ("row", "column")}
        word = words[true.ndim][axis] if true.ndim in words else f"slice along axis {axis},"
        lines = {f"{word} {i} of the true gradient": np.take(true, [i], axis) for i in range(length)}
        lines[f"the sum of the {word}s"] = true.sum(axis=axis, keepdims=True)
        lines[f"the mean of the {word}s"] = true.mean(axis=axis, keepdims=True)
        for text, line in lines.items() if length > 1 else ():
            yield _Candidate(
                f"{text}, {_shape(line)}, stands in place of every {word}, as if broadcast",
                np.broadcast_to(line, true.shape).copy(),
            )


def _reshaped(claim: _Claim) -> Iterator[_Candidate]:
    """The right numbers in another shape, or not yet summed over the samples."""
    claimed, true = claim.claimed, claim.true
    if claimed.shape == true.shape:
        return
    if _fits(claimed.shape, true.shape) and claimed.size < true.size:
        yield _Candidate("broadcast over all elements it is right, the shape is not", true)
    if claimed.size == true.size:
        yield _Candidate("the numbers are right, the shape is not", true.reshape(claimed.shape))
        if min(true.shape, default=1) > 1:
            flat = np.asarray(true.T).reshape(claimed.shape)
            yield _Candidate("it is the transpose of the true gradient, in another shape", flat)
    for axis, keep, word in product(range(claimed.ndim), (False, True), ("sum", "mean")):
        line = getattr(claimed, word)(axis=axis, keepdims=keep)
        if line.shape == true.shape and (abs(line - true) <= 1e-9 * abs(true) + claim.rounding).all():
            n = claimed.shape[axis]
            text = f"it is not yet reduced over its axis {axis}: the {word} of these {n} is the true gradient"
            yield _Candidate(text, claimed)


# ------------------------------------------------------- hypotheses: a backward pass with a change
class _Factor(NamedTuple):
    """One factor of the chain rule: a local derivative, or that of several operations in a row."""

    edges: tuple[Edge, ...]

    def number(self, case: _Case) -> float:
        return math.prod(map(case.local, self.edges))

    def text(self, case: _Case) -> str:
        """``σ′(net) = 0.2``, ``∂net/∂h1 = w5 = 0.4``."""
        first, last = self.edges[0], self.edges[-1][0]
        into, partner = _bracketed(case.called(case.operand(first))), case.partner(first)
        rule = case.nodes[last].rule
        assert rule is not None
        if first[0] == last and case.is_function(last):
            symbol = f"{_prime(rule)}({case.called(case.operand(first))})"
        elif first[0] == last and isinstance(partner, int):
            symbol = f"∂{_bracketed(case.called(last))}/∂{into} = {case.called(partner)}"
        else:
            symbol = f"∂{_bracketed(case.called(last))}/∂{into}"
        return f"{symbol} = {self.number(case):.6g}"


def _prime(rule: Rule) -> str:
    return "σ′" if rule.name == "sigmoid" else f"{rule.name}′"


def _bracketed(text: str) -> str:
    """A part of a formula, in brackets unless it is a name, a number or a call."""
    return text if re.fullmatch(r"[\w\[\],#.…]*(\([^()]*\))?", text) else f"({text})"


#: Above so many uses on the paths, factors are tried only in groups, not each alone.
_MANY = 3000
#: How many operations in a row are followed: those of an activation written by hand, or of a sum.
_LONGEST = 8


def _rows(case: _Case, edge: Edge) -> Iterator[_Factor]:
    """The operations in a row from a named value or a junction to another: ∂l1/∂z of a sigmoid by hand."""
    start = case.operand(edge)
    if not case.nodes[start].named and len(case.uses[start]) == 1 and case.only_operand(start):
        return  # within a row
    edges = [edge]
    while case.only_operand(edges[-1][0]) and len(edges) < _LONGEST:
        position = edges[-1][0]
        following = case.uses[position]
        junction = len(following) != 1 or not case.only_operand(following[0][0])
        if len(edges) > 1 and (junction or case.nodes[position].named):
            yield _Factor(tuple(edges))
        if junction:
            return
        edges.append(following[0])


def _groups(case: _Case, factors: Sequence[_Factor]) -> list[list[_Factor]]:
    """Factors that a person gets wrong together: one, a neuron's in all samples, a layer's, all alike."""
    kinds: list[Callable[[_Factor], Any]] = [
        lambda f: tuple((case.roles[edge[0]], edge[1]) for edge in f.edges),
        lambda f: (case.levels[f.edges[-1][0]], *map(case.argument, f.edges)),
        lambda f: tuple(map(case.argument, f.edges)),
    ]
    if len(factors) <= _MANY:
        kinds.insert(0, lambda f: f)
    groups: dict[tuple[_Factor, ...], list[_Factor]] = {}
    for kind in kinds:
        members: dict[Any, list[_Factor]] = {}
        for each in factors:
            members.setdefault(kind(each), []).append(each)
        groups |= {tuple(group): group for group in members.values() if tuple(group) not in groups}
    return list(groups.values())


def _changed_factors(claim: _Claim, factors: Sequence[_Factor]) -> Iterator[_Change]:
    """A factor that is missing, used twice, or taken of the wrong thing."""
    case = claim.case
    instead = {each: _instead(case, each) for each in factors}
    for group in _groups(case, factors):
        numbers = [each.number(case) for each in group]
        told = _together(case, group)
        subject = f"the factor {told} is" if len(group) == 1 else f"the factors {told} are"
        yield _Change(f"{subject} missing", _becoming(group, [1.0] * len(group)))
        yield _Change(f"{subject} used twice", _becoming(group, [each * each for each in numbers]))
        others = [instead[each] for each in group]
        for kind in others[0]:
            if all(kind in each for each in others):
                stand = [each[kind] for each in others]
                these = ", ".join(f"{each:.6g}" for each in stand[:3]) + ", …" * (len(stand) > 3)
                yield _Change(f"in place of {told} stands {kind}: {these}", _becoming(group, stand))


def _together(case: _Case, group: Sequence[_Factor]) -> str:
    """How a sentence speaks of some factors: ``σ′(net_o1) = 0.19, σ′(net_o2) = 0.18``, or ``12 × tanh′``."""
    if len(group) <= 3:
        return ", ".join(each.text(case) for each in group)
    first, last = group[0].edges[0], group[0].edges[-1][0]
    rule, arg = case.argument(first)
    assert rule is not None
    symbol = _prime(rule) if first[0] == last and case.is_function(last) else f"∂{rule.name}/∂{arg}"
    numbers = ", ".join(f"{each.number(case):.6g}" for each in group[:3])
    where = _common(case, (case.operand(each.edges[0]) for each in group))
    of = f" of {where}" if where else ""
    return f"{symbol}{of} ({len(group)} of them: {numbers}, …)"


def _becoming(group: Sequence[_Factor], numbers: Sequence[float]) -> dict[Edge, float]:
    """The local derivatives with which factors have other numbers."""
    return {
        edge: 1.0 if i else number
        for each, number in zip(group, numbers, strict=True)
        for i, edge in enumerate(each.edges)
    }


def _instead(case: _Case, factor: _Factor) -> dict[str, float]:
    """What may by mistake stand in place of the derivative of a function, by what it is."""
    (position, place), last = factor.edges[0], factor.edges[-1][0]
    kinds: dict[str, Callable[[], float]] = {}
    if len(factor.edges) > 1 or case.is_function(position):
        kinds["the function's value, not its derivative"] = lambda: case.nodes[last].data
    if len(factor.edges) == 1 and case.is_function(position) and case.fresh:
        node = case.nodes[position]
        assert node.rule is not None
        operands = [case.nodes[each].data if type(each) is int else each for each in node.operands]
        kinds |= _other_derivatives(node.rule, place, operands, node.data)
    numbers: dict[str, float] = {}
    for kind, compute in kinds.items():
        with suppress(ArithmeticError, ValueError):
            number = compute()
            if number not in (0.0, 1.0, *numbers.values()):
                numbers[kind] = number
    return numbers


def _other_derivatives(
    rule: Rule, place: int, operands: Sequence[float], y: float
) -> dict[str, Callable[[], float]]:
    """A derivative taken at the wrong number, of the wrong function, or half of its formula."""
    argument, derivative = operands[place], compiled(rule).derivatives[place]
    at_output = [*operands[:place], y, *operands[place + 1 :]]

    def part(text: str) -> float:
        scope = {**dict(zip(rule.args, operands, strict=True)), "y": y}
        d: float = parse(text, scope, rule.name).evaluate(scope)
        return d

    kinds: dict[str, Callable[[], float]] = {
        "the derivative at the output in place of the argument": lambda: derivative(
            *at_output, compiled(rule).value(*at_output)
        ),
        "its formula with the argument in place of the output": lambda: derivative(*operands, argument),
    }
    for text in _parts(str(rule.d[place])):
        kinds[f"only the factor {text} of its formula"] = partial(part, text)
    for other in ("sigmoid", "tanh"):
        if other != rule.name:
            made = compiled(RULES[other])
            kinds[f"{other}′"] = partial(_derivative, made, argument)
            kinds[f"{other}′ as computed from the output"] = partial(made.derivatives[0], argument, y)
    return kinds


def _derivative(function: Compiled, argument: float) -> float:
    d: float = function.derivatives[0](argument, function.value(argument))
    return d


def _parts(text: str) -> list[str]:
    """The factors of a product; of the first branch, where there are several."""
    tree = ast.parse(text, mode="eval").body
    while isinstance(tree, ast.IfExp):
        tree = tree.body
    parts: list[ast.expr] = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        parts.append(tree.right)
        tree = tree.left
    return [ast.unparse(each) for each in [*parts, tree]] if parts else []


def _no_upstream(claim: _Claim) -> Iterator[_Change]:
    """A pass that begins below the loss: only the lower part of the chain rule."""
    case = claim.case
    layers: dict[Any, list[int]] = {}
    inner = [node for node in case.nodes[:-1] if node.rule is not None and claim.reached[node.position]]
    inner = [node for node in inner if case.gradient[node.position] not in (0.0, 1.0)]
    for node in inner:
        layers.setdefault(case.roles[node.position], []).append(node.position)
        layers.setdefault((case.levels[node.position], node.rule), []).append(node.position)
        if len(inner) <= _MANY:
            name, upstream = case.called(node.position), case.gradient[node.position]
            yield _Change(
                f"the upstream gradient of {name}, {upstream:.6g}, is missing: it is "
                f"∂{_bracketed(name)}/∂{claim.name} alone",
                starts={node.position: 1.0},
            )
    for positions in layers.values():
        if len(positions) > 1:
            text = f"the upstream gradients of {case.listed(positions)} are missing: 1 in place of each"
            yield _Change(text, starts=dict.fromkeys(positions, 1.0))


def _forgotten_paths(claim: _Claim) -> Iterator[_Change]:
    """One of several paths left out, or only one of them taken; in one sample or in all."""
    case = claim.case
    shared: dict[frozenset[int], list[int]] = {}
    for position in np.flatnonzero(claim.reached).tolist():
        users = frozenset(user for user, _ in case.uses[position] if case.gradient[user])
        if len(users) > 1:
            shared.setdefault(users, []).append(position)
    alike: dict[frozenset[int], dict[int, list[Edge]]] = {}
    for users, sources in shared.items():
        into: dict[int, list[Edge]] = {user: [] for user in sorted(users)}
        for edge in chain.from_iterable(case.uses[each] for each in sources):
            if edge[0] in into:
                into[edge[0]].append(edge)
        path = f"the path from {case.listed(sources)} through"
        yield from _all_or_one([(f"{path} {_milestone(case, user)}", into[user]) for user in into])
        roles = frozenset(case.roles[user] for user in users)
        if len(roles) == len(users):
            merged = alike.setdefault(roles, {})
            for user, edges in into.items():
                merged.setdefault(case.roles[user], []).extend(edges)
    for merged in alike.values():
        paths = [(case.listed(user for user, _ in edges), edges) for edges in merged.values()]
        yield from _all_or_one([(f"the path through {name}", edges) for name, edges in paths])


def _forgotten_uses(claim: _Claim) -> Iterator[_Change]:
    """One of several uses of each parameter left out, or only one taken: a sample of a batch."""
    uses = [claim.case.uses[each] for each in claim.where[claim.where >= 0].flat]
    if len({len(each) for each in uses}) == 1:
        n = len(uses[0])
        ways = [(f"use {i + 1} of {n} (a sample?)", [each[i] for each in uses]) for i in range(n)]
        yield from _all_or_one(ways) if n > 1 else ()


def _milestone(case: _Case, position: int) -> str:
    """The first name on the way from a node to where paths meet."""
    there = position
    for _ in range(_LONGEST):
        if case.nodes[there].named or len(case.uses[there]) != 1:
            break
        there = case.uses[there][0][0]
    return case.called(there if case.nodes[there].named else position)


def _forgotten_terms(claim: _Claim) -> Iterator[_Change]:
    """One term of a sum left out, or only one taken: a gradient overwritten where it should be added to."""
    case = claim.case
    for position, entries in case.sums.items():
        reached = [edge for edge in entries if claim.reached[case.operand(edge)]]
        if case.gradient[position] and len(reached) > 1:
            whole = f"{len(reached)} of {case.called(position)}"
            terms = [case.called(case.operand(edge)) for edge in reached]
            ways = [(f"term {i + 1} of {whole}, {term},", [reached[i]]) for i, term in enumerate(terms)]
            yield from _all_or_one(ways)


def _all_or_one(ways: Sequence[tuple[str, Sequence[Edge]]]) -> Iterator[_Change]:
    for i, (text, edges) in enumerate(ways):
        yield _Change(f"{text} is missing", dict.fromkeys(edges, 0.0))
        if 2 < len(ways) <= _MANY // 10:
            others = chain.from_iterable(edges for _, edges in (*ways[:i], *ways[i + 1 :]))
            yield _Change(f"only {text} is there: the others are missing", dict.fromkeys(others, 0.0))


#: The largest layer within which neighbours are tried for each other.
_NEIGHBOURS = 8


def _interchanged(claim: _Claim) -> Iterator[_Change]:
    """A neighbour's factor, σ′(net_o2) for σ′(net_o1), w6 for w7; or its upstream gradient."""
    case = claim.case
    alike: dict[Any, list[Edge]] = {}
    for edge in (edge for uses in case.uses for edge in uses):
        alike.setdefault((case.levels[edge[0]], case.argument(edge)), []).append(edge)
    layers: dict[Any, list[int]] = {}
    for node in case.nodes:
        layers.setdefault((case.levels[node.position], node.rule), []).append(node.position)
    for edge in claim.edges:
        neighbours = alike[case.levels[edge[0]], case.argument(edge)]
        for other in neighbours if len(neighbours) <= _NEIGHBOURS else ():
            told = f"{_Factor((other,)).text(case)} stands in place of {_Factor((edge,)).text(case)}"
            yield _Change(told, {edge: case.local(other)})
        node = case.nodes[edge[0]]
        same = layers[case.levels[node.position], node.rule]
        for position in same if len(same) <= _NEIGHBOURS else ():
            name, upstream = case.called(position), float(case.gradient[position])
            if math.isclose(upstream, case.gradient[node.position]):
                continue
            own = f"that of {case.called(node.position)}, {case.gradient[node.position]:.6g}"
            text = f"the upstream gradient of {name}, {upstream:.6g}, stands in place of {own}"
            yield _Change(text, starts={node.position: upstream})


#: So many nodes times changes are computed, at most, in one search.
_WORK = 100_000_000


def _made(claim: _Claim, changes: Iterable[_Change]) -> Iterator[_Candidate]:
    """What changed passes give where it is not the true gradient; of those that give the same, the first."""
    known = {_digest(claim.true)}
    tried = list(islice(changes, max(1, _WORK // len(claim.case.nodes))))
    for change, gives in zip(tried, claim.case.gradients(tried, claim.where), strict=True):
        if np.isfinite(gives).all() and _digest(gives) not in known:
            known.add(_digest(gives))
            yield _Candidate(change.text, gives)


def _digest(numbers: Floats) -> bytes:
    """What is equal for equal numbers, whatever the rounding of their last bits."""
    mantissa, exponent = np.frexp(numbers)
    return np.ldexp(np.round(mantissa, 11), exponent).tobytes()


def _chain_rule(claim: _Claim) -> Iterator[_Candidate]:
    """A mistake with a factor or with a path."""
    singles = [_Factor((edge,)) for edge in claim.edges if abs(claim.case.local(edge)) != 1.0]
    rows = [row for edge in claim.edges for row in _rows(claim.case, edge)]
    changes = chain(
        _forgotten_paths(claim),
        _forgotten_terms(claim),
        _forgotten_uses(claim),
        _changed_factors(claim, singles),
        _no_upstream(claim),
        _changed_factors(claim, rows),
    )
    yield from _made(claim, changes)


def _neighbours(claim: _Claim) -> Iterator[_Candidate]:
    """A mistake with an index."""
    if len(claim.edges) <= _MANY:
        yield from _made(claim, _interchanged(claim))


# ---------------------------------------------------------- hypotheses: weights updated too early
def _updated_first(claim: _Claim) -> Iterator[_Candidate]:
    """Parameters already updated when this gradient was taken, in the backward pass or in a new one."""
    case = claim.case
    if not case.fresh or (len(claim.edges) > _MANY and case.learning_rate is None):
        return
    changes = []
    known: set[frozenset[tuple[Edge, float]]] = set()
    for moved, again in product(_updated_sets(claim), (False, True)):
        probe = _updated(claim, moved, 1e-3, again)
        if probe is None or frozenset(probe.locals.items()) in known:
            continue
        known.add(frozenset(probe.locals.items()))
        for rate in (*_rates(case), *_solved(claim, moved, again)):
            change = _updated(claim, moved, rate, again)
            changes += [] if change is None else [change]
    yield from _made(claim, changes)


def _updated_sets(claim: _Claim) -> Iterator[frozenset[int]]:
    """Parameters that may have been updated before: each other, those claimed before, all others, all."""
    case = claim.case
    places = [frozenset(map(int, each.where.flat)) for each in case.claims]
    own = frozenset(map(int, claim.where.flat))
    before = frozenset(chain.from_iterable(places[: case.claims.index(claim)]))
    leaves = frozenset(case.leaves)
    claimed = frozenset(chain.from_iterable(places))
    others = [each & leaves - own for each in (*places, before, claimed, leaves)]
    yield from filter(None, dict.fromkeys([*others, claimed & leaves, leaves]))


def _updated(claim: _Claim, moved: Collection[int], rate: float, again: bool) -> _Change | None:
    """The pass with some parameters updated: with the activations of before, or with those of a new one."""
    case = claim.case
    new = {each: case.nodes[each].data - rate * float(case.gradient[each]) for each in moved}
    try:
        data = case.forward(new) if again else [new.get(node.position, node.data) for node in case.nodes]
        changed = {edge: d for edge, d in case.locals_at(data).items() if edge in claim.edge_set}
    except (ArithmeticError, ValueError):
        return None
    told = sorted(new if again else new.keys() & set(chain.from_iterable(map(case.behind, changed))))
    numbers = ", ".join(
        f"{case.called(each)} = {new[each]:.6g} in place of {case.nodes[each].data:.6g}" for each in told[:3]
    )
    when = "a new forward and backward pass" if again else "being used in the backward pass"
    text = f"{case.listed(told)} had been updated with η = {rate:.6g} before {when}: {numbers}"
    return _Change(text + ", …" * (len(told) > 3), changed)


def _solved(claim: _Claim, moved: Collection[int], again: bool) -> list[float]:
    """The learning rate at which the number that is furthest off comes out as claimed, by secants.

    None for a single number: it would always come out.
    """
    fits = _fits(claim.claimed.shape, claim.true.shape)
    if claim.case.learning_rate is not None or not fits or np.unique(claim.true).size < 2:
        return []
    off = abs(claim.claimed - claim.true)
    at = np.unravel_index(int(np.argmax(off)), off.shape)
    target = float(np.broadcast_to(claim.claimed, off.shape)[at])

    def error(rate: float) -> float:
        change = _updated(claim, moved, rate, again)
        if change is None:
            return math.nan
        return float(next(claim.case.gradients([change], claim.where))[at]) - target

    low, high, below, above = 0.0, 0.1, float(claim.true[at]) - target, error(0.1)
    for _ in range(12):
        if above == below or not math.isfinite(above):
            return []
        low, high, below = high, high - above * (high - low) / (above - below), above
        if abs(high - low) <= 1e-14 * abs(high):
            break
        above = error(high)
    return [high] if 0.0 < high < 100.0 else []


# ------------------------------------------------------ hypotheses: matrices turned the wrong way
class _Form(NamedTuple):
    """How two matrices a and b are multiplied: by matrix product or by elements, turned, interchanged."""

    matrix: bool
    swap: bool
    turn_a: bool
    turn_b: bool

    def factors(self, a: Floats, b: Floats) -> tuple[Floats, Floats]:
        a, b = a.T if self.turn_a else a, b.T if self.turn_b else b
        return (b, a) if self.swap else (a, b)

    def __call__(self, a: Floats, b: Floats) -> Floats | None:
        """The product as NumPy has it, with broadcasting; None where the shapes do not allow it."""
        a, b = self.factors(a, b)
        if self.matrix:
            return a @ b if a.shape[1] == b.shape[0] else None
        return a * b if all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True)) else None

    def text(self, a: str, b: str) -> str:
        """``W1ᵀ·δ``: · is the matrix product, ∗ that of the elements."""
        a, b = (f"({each})" if "·" in each or "∗" in each else each for each in (a, b))
        a, b = a + "ᵀ" * self.turn_a, b + "ᵀ" * self.turn_b
        a, b = (b, a) if self.swap else (a, b)
        return f"{a}{'·' if self.matrix else ' ∗ '}{b}"

    def shapes(self, a: Floats, b: Floats) -> str:
        """``1×2 · 2×2 → 1×2``."""
        a, b = self.factors(a, b)
        sign, made = ("·", a @ b) if self.matrix else ("∗", a * b)
        return f"{_shape(a)} {sign} {_shape(b)} → {_shape(made)}"

    @property
    def turns(self) -> int:
        return self.turn_a + self.turn_b


_BY_ELEMENTS = _Form(False, False, False, False)
_FORMS = [_Form(True, *turns) for turns in product((False, True), repeat=3)]
_FORMS += [_Form(False, False, *turns) for turns in product((False, True), repeat=2)]


class _Named(NamedTuple):
    """A matrix and what to call it."""

    text: str
    data: Floats


class _Above(NamedTuple):
    """What a hidden layer gets its error from."""

    weights: _Named
    #: The derivatives of the hidden layer's activations.
    slope: _Named
    #: The true delta of the next layer, ...
    delta: _Named
    #: ... and what that one gets its error from, where it is hidden too.
    further: _Above | None

    def error(self, first: _Form, second: _Form, everywhere: bool) -> Floats | None:
        """The hidden error by a form of product; with ``everywhere`` the layers above have it, too."""
        delta: Floats | None = self.delta.data
        if everywhere and self.further is not None:
            error = self.further.error(first, second, everywhere)
            delta = None if error is None else second(error, self.further.slope.data)
        return None if delta is None else first(self.weights.data, delta)


class _Layer(NamedTuple):
    """z = W·x for N samples. Samples stand in columns; in rows where W is stored as in × out."""

    x: _Named
    delta: _Named
    #: What the layer puts out.
    output: str
    rows: bool
    above: _Above | None

    def stored(self, right: _Form) -> _Form:
        """A product in the order in which this layer's arrays lie."""
        return right._replace(swap=not right.swap) if self.rows else right


class _Delta(NamedTuple):
    """A layer's delta, perhaps wrong: how many faults and transposes are in it, and in words."""

    faults: int
    turns: int
    told: list[str]
    named: _Named


def _orientation(claim: _Claim) -> Iterator[_Candidate]:
    """The matrix products of the backward pass, with each factor turned each way, and broadcasting."""
    layer = _layer(claim.case, claim.where)
    if layer is None:
        return
    x, right = layer.x, layer.stored(_Form(True, False, False, True))
    found: list[tuple[int, int, _Candidate]] = []
    for delta, form in product(_deltas(layer), _FORMS):
        gives = form(delta.named.data, x.data)
        if gives is None or not _fits(gives.shape, claim.true.shape):
            continue
        told = delta.told.copy()
        if form != right:
            shapes = f"{form.text(layer.delta.text, x.text)} ({form.shapes(delta.named.data, x.data)})"
            told.append(f"the gradient is {right.text(layer.delta.text, x.text)}, not {shapes}")
        if gives.shape != claim.true.shape:
            told.append(_spread(gives, claim.true))
        text = f"it is {form.text(delta.named.text, x.text)}: {'; '.join(told)}"
        gives = np.broadcast_to(gives, claim.true.shape).copy()
        faults = delta.faults + (form != right)
        found.append((faults, delta.turns + form.turns, _Candidate(text, gives)))
    known = {_digest(claim.true)}
    for _, _, candidate in sorted(found, key=lambda each: each[:2]):
        if _digest(candidate.gives) not in known:
            known.add(_digest(candidate.gives))
            yield candidate


def _deltas(layer: _Layer) -> list[_Delta]:
    """Each delta that the factors of the hidden layer give, by the least mistakes that give it."""
    above = layer.above
    if above is None:
        return [_Delta(0, 0, [], layer.delta)]
    right = layer.stored(_Form(True, False, True, False))
    found = []
    for everywhere, first, second in product((False, True), _FORMS, _FORMS):
        error = above.error(first, second, everywhere and above.further is not None)
        delta = None if error is None else second(error, above.slope.data)
        if error is not None and delta is not None:
            told = _told_error(layer, above, right, first, error)
            told += _told_delta(layer, above, second, error, delta)
            if everywhere and above.further and told:
                told[0] = f"in this layer and in those above {told[0]}"
            text = second.text(first.text(above.weights.text, above.delta.text), above.slope.text)
            faults = (first != right) + (second != _BY_ELEMENTS) + everywhere
            found.append(_Delta(faults, first.turns + second.turns, told, _Named(text, delta)))
    simplest: dict[Any, _Delta] = {}
    for each in sorted(found, key=lambda each: each[:2]):
        simplest.setdefault((each.named.data.shape, _digest(each.named.data)), each)
    return list(simplest.values())


def _told_error(layer: _Layer, above: _Above, right: _Form, form: _Form, error: Floats) -> list[str]:
    if form == right:
        return []
    a, b = above.weights, above.delta
    true = right(a.data, b.data)
    assert true is not None
    correct = f"{right.text(a.text, b.text)} ({_shape(true)}, {_shown(true)})"
    mistake = f"{form.text(a.text, b.text)} ({_shape(error)}, {_shown(error)})"
    return [f"the error of {layer.output} is {correct}, not {mistake}"]


def _told_delta(layer: _Layer, above: _Above, form: _Form, error: Floats, delta: Floats) -> list[str]:
    slope = above.slope
    if form != _BY_ELEMENTS:
        right = _BY_ELEMENTS.text("error", slope.text)
        return [f"{layer.delta.text} is {right}, not {form.text('error', slope.text)}"]
    if delta.shape != layer.delta.data.shape:
        return [f"times {slope.text} that is broadcast to {form.shapes(error, slope.data)}"]
    return []


def _spread(gives: Floats, true: Floats) -> str:
    lines = " and ".join(
        f"its {word} are equal"
        for axis, word in enumerate(("rows", "columns"))
        if gives.shape[axis] == 1 < true.shape[axis]
    )
    return f"this {_shape(gives)} is broadcast over {_shape(true)}, so that {lines}"


# ---------------------------------------------------------------- layers, read off from the graph
#: What stands beside the weights of one neuron in one sample: nodes, or literals.
_Inputs = tuple[float, ...]


def _layer(case: _Case, where: Places) -> _Layer | None:
    """The layer whose weights stand at ``where``; None where the graph does not show one."""
    if where.ndim != 2 or (where < 0).any():
        return None
    for rows, weights in ((False, where), (True, where.T)):
        found = _products(case, weights)
        if found is not None:
            z, x, inputs = found
            ends = _outputs(case, z)
            output = _common(case, ends.flat) or _common(case, z.flat)
            return _Layer(
                _input(case, inputs, _stored(x, rows)),
                _Named(_subscript("δ", output), _stored(case.gradient[z], rows)),
                output or "the hidden layer",
                rows,
                _above(case, z, ends, rows),
            )
    return None


def _input(case: _Case, inputs: Iterable[_Inputs], x: Floats) -> _Named:
    """What a layer takes in, by its name, or by that of a plain array of the same numbers."""
    name = _common(case, chain.from_iterable(inputs))
    for variable, held in case.scope.items() if not name else ():
        if isinstance(held, np.ndarray) and held.dtype.kind == "f" and np.array_equal(held, x):
            name = name or variable
    return _Named(name or "x", x)


def _stored(columns: Floats, rows: bool) -> Floats:
    return columns.T if rows else columns


def _subscript(symbol: str, name: str) -> str:
    return f"{symbol}_{name}" if name else symbol


def _common(case: _Case, positions: Iterable[Any]) -> str:
    """The name of the array that nodes are elements of; empty where they have none in common."""
    nodes = [case.nodes[each] if isinstance(each, int | np.integer) else None for each in positions]
    names = {_prefix(node.name) if node is not None and node.named else "" for node in nodes}
    return names.pop() if len(names) == 1 else ""


def _products(case: _Case, weights: Places) -> tuple[Places, Floats, list[_Inputs]] | None:
    """The matrices z (out × N) and x (in × N), and x's operands by sample, if z = weights·x; else None."""
    z: list[list[int]] = []
    x: list[list[float]] = []
    order: list[_Inputs] = []
    for line in weights:
        uses = [_sums_of_products(case, int(each)) for each in line]
        nodes = sorted(uses[0])
        if not nodes or any(each.keys() != uses[0].keys() for each in uses):
            return None
        inputs = {tuple(each[node][1] for each in uses): node for node in nodes}
        if not z:
            order = [tuple(each[node][1] for each in uses) for node in nodes]
            x = [[each[node][0] for node in nodes] for each in uses]
        elif inputs.keys() == set(order) and len(inputs) == len(order):
            nodes = [inputs[each] for each in order]
        elif sorted(inputs) != sorted(set(order)):
            return None
        z.append(nodes)
    together = set(chain.from_iterable(z))
    return (np.array(z), np.array(x), order) if len(together) == sum(map(len, z)) else None


def _sums_of_products(case: _Case, position: int) -> dict[int, tuple[float, int | float]]:
    """The weighted inputs that a Value takes part in, with the number and the operand beside it."""
    found: dict[int, tuple[float, int | float]] = {}
    for edge in case.uses[position]:
        z, partner = edge[0], case.partner(edge)
        while case.nodes[edge[0]].rule is RULES["mul"] and len(case.uses[z]) == 1:
            rule = case.nodes[case.uses[z][0][0]].rule
            if rule is None or rule.name not in ("add", "sum"):
                break
            z = case.uses[z][0][0]
        if partner is None or z in found:
            return {}
        found[z] = (case.local(edge), partner)
    return found


def _outputs(case: _Case, z: Places) -> Places:
    """What each weighted input becomes: what feeds the next layer, else its activation."""
    return np.array([_output(case, int(each)) for each in z.flat]).reshape(z.shape)


def _output(case: _Case, z: int) -> int:
    position, plain = z, True
    labels: list[tuple[bool, int]] = []
    for _ in range(_LONGEST):
        if _feeds_layer(case, position):
            return position
        position = _meeting(case, position)
        if position < 0:
            break
        node = case.nodes[position]
        plain = plain and (case.only_operand(position) or _adds_leaf(case, node))
        if plain and (node.named or case.is_function(position)):
            labels.append((not node.named, position))
    return min(labels, default=(False, z))[1]


def _adds_leaf(case: _Case, node: Node) -> bool:
    """Whether a node adds a bias."""
    inner = [each for each in node.operands if type(each) is int and case.nodes[each].rule is not None]
    return node.rule is RULES["add"] and len(inner) == 1


def _feeds_layer(case: _Case, position: int) -> bool:
    """Whether a node is multiplied by parameters, and goes nowhere else."""
    partners = [case.partner(edge) for edge in case.uses[position]]
    return bool(partners) and all(type(each) is int and case.is_parameter(each) for each in partners)


def _meeting(case: _Case, position: int) -> int:
    """The next node through which every path from a node to the loss leads; -1 at the end."""
    ahead = {user for user, _ in case.uses[position]}
    while len(ahead) > 1:
        nearest = min(ahead)
        ahead.remove(nearest)
        ahead |= {user for user, _ in case.uses[nearest]}
    return ahead.pop() if ahead else -1


def _above(case: _Case, z: Places, ends: Places, rows: bool) -> _Above | None:
    """The next layer, if what it takes in are the activations of this one."""
    upstream = case.gradient[ends]
    if (upstream == 0.0).any() or not all(_feeds_layer(case, int(each)) for each in ends.flat):
        return None
    columns: list[list[int]] = []
    order: list[_Inputs] = []
    weights = np.empty((0, 0))
    for sample in ends.T:
        found = _products(case, sample[None])
        if found is None:
            return None
        by_weights = dict(zip(found[2], found[0][0].tolist(), strict=True))
        if not columns:
            order, weights = found[2], found[1].T
        if by_weights.keys() != set(order):
            return None
        columns.append([by_weights[each] for each in order])
    following = np.array(columns).T
    outputs = _outputs(case, following)
    rules = {case.nodes[each].rule for each in ends.flat}
    rule = rules.pop() if len(rules) == 1 and all(case.is_function(int(e)) for e in ends.flat) else None
    prime = "f′" if rule is None else _prime(rule)
    return _Above(
        _Named(_common(case, chain.from_iterable(order)) or "V", _stored(weights, rows)),
        _Named(_subscript(prime, _common(case, ends.flat)), _stored(case.gradient[z] / upstream, rows)),
        _Named(
            _subscript("δ", _common(case, outputs.flat) or "next"), _stored(case.gradient[following], rows)
        ),
        _above(case, following, outputs, rows),
    )


# --------------------------------------------------------------------------------- the hypotheses
#: Simplest first: where some in a tier reproduce the claim, the later tiers are not tried.
_TIERS: tuple[tuple[_Hypothesis, ...], ...] = (
    (_rounded, _sign, _constant, _transposed, _reshaped),
    (_with_a_rate, _of_another, _broadcast, _chain_rule),
    (_neighbours, _updated_first, _orientation),
)


def _with_a_second(claim: _Claim, tried: Sequence[_Candidate]) -> Iterator[_Candidate]:
    """Each mistake together with a wrong sign or a wrong constant factor."""
    for text, gives in tried:
        yield _Candidate(f"{text}; and its sign is the opposite, as in an update", -gives)
    for factor, reason in _factors(claim):
        for text, gives in tried:
            yield _Candidate(f"{text}; and it is times {factor:g}: {reason}", factor * gives)


def _one_factor(claim: _Claim) -> Iterator[_Candidate]:
    """Some constant factor, which an array shows and a number does not."""
    if claim.claimed.shape == claim.true.shape and np.count_nonzero(claim.true) > 1:
        at = np.unravel_index(int(np.argmax(abs(claim.true))), claim.true.shape)
        factor = float(claim.claimed[at] / claim.true[at])
        update = f" (as an update it has η = {-factor:.9g})" if factor < 0 else ""
        text = f"every element is {factor:.9g} × the true gradient{update}"
        yield _Candidate(text, factor * claim.true)


# --------------------------------------------------------------------------------- numbers as text
def _fits(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    """Whether an array can be broadcast over another."""
    try:
        return np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        return False


def _plain(numbers: Any) -> Numbers:
    """Nested lists as nested tuples."""
    return tuple(map(_plain, numbers)) if isinstance(numbers, list) else numbers


def _ratio(claim: _Claim) -> NDArray[np.object_]:
    """What was claimed in terms of what is true; None where that says nothing."""
    ratio = np.full(claim.true.shape, None, dtype=object)
    if _fits(claim.written.shape, claim.true.shape):
        claimed = np.broadcast_to(claim.written, claim.true.shape)
        for place in np.argwhere((claim.true != 0.0) & np.isfinite(claim.true)):
            ratio[tuple(place)] = float(claimed[tuple(place)]) / float(claim.true[tuple(place)])
    return ratio


def _shape(array: Floats) -> str:
    """``2×1``; with fewer dimensions as NumPy writes it."""
    return "×".join(map(str, array.shape)) if array.ndim > 1 else str(array.shape)


def _shown(array: Floats, most: int = 4) -> str:
    """The first numbers of an array, in 6 digits."""
    if array.ndim == 0:
        return f"{float(array):.6g}"
    most = most if array.size <= 6 else 2
    return f"[{', '.join(_shown(each, most) for each in array[:most])}{', …' * (len(array) > most)}]"


def _places(flags: Flags) -> str:
    """``[0,1], [1,1]``: where it is true."""
    places = [f"[{','.join(map(str, place))}]" for place in np.argwhere(flags).tolist()]
    return ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
