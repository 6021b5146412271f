"""Places in a pass, expressions about them in plain Python, and breakpoints: where a run stops, and why.

A breakpoint stops where a value is computed and where it passes its gradient on; at a leaf, which does
neither, where it receives. A watch stops whenever a value receives. Either may have a condition: an
expression over the values (``h1.grad < 0``) and over what is received (``abs(contribution) > 10``). As in
Python's own debugger it is run as it stands; what has no value yet is None.
"""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any, NamedTuple

from microbp.debug.formulas import figure
from microbp.debug.trace import Contribution, Step, Trace
from microbp.errors import MicrobpError
from microbp.graph import Graph, Node
from microbp.notation import symbol
from microbp.text import did_you_mean

#: Of so many values is said by name what happened in a step.
TOLD = 3


class Refusal(MicrobpError, ValueError):
    """A command, a place or an expression means nothing here; the text is the one line that says why."""


class Held(NamedTuple):
    """What is known of a value at a place: number, gradient so far, and at the end, how much is missing."""

    data: float | None
    grad: float | None
    final: float | None
    missing: int


class Place:
    """A place in a pass: so many steps of it are done; below 0, so many values short of the root."""

    def __init__(self, pass_: Trace, at: int = 0) -> None:
        self.pass_, self.graph, self.at = pass_, pass_.graph, at
        #: The computed values in their order.
        self.computed = [node for node in pass_.graph if node.rule is not None]

    @property
    def step(self) -> Step | None:
        """The step done last; None at the seed and on the way forward."""
        return self.pass_.steps[self.at - 1] if self.at > 0 else None

    @property
    def node(self) -> Node:
        """The value that has just been computed, or has passed its gradient on; at the seed the root."""
        return self.computed[-abs(self.at)] if self.at else self.graph.root

    def find(self, name: str) -> Node:
        """The value of that name, without one that here; Refusal says which was probably meant."""
        if name and name not in self.graph._called:
            raise _nothing_called(name, self.graph)
        return self.graph[name] if name else self.node

    def held(self, position: int) -> Held:
        """What is known of a value here. On the way forward it has no number before it is computed."""
        node, done = self.graph.nodes[position], max(self.at, 0)
        later = self.at < 0 and position > self.node.position and node.rule is not None
        grad = None if self.at < 0 else self.pass_.gradient(position, done)
        final, missing = self.pass_.gradient(position), self.pass_.missing(position, done)
        return Held(None if later else node.data, grad, final, missing)

    def received(self, position: int) -> str:
        """How much of a gradient has arrived: ``final``, ``1 of 2``."""
        total, missing = len(self.pass_.received[position]), self.held(position).missing
        if position == self.graph.root.position:
            return "the seed"
        if not self.graph.nodes[position].requires_grad:
            return "a constant"
        return f"{total - missing} of {total}" if missing else "final"


class Expression:
    """Plain Python over values by their names, words, functions of ``math``, and the script's variables.

    A name that Python could not read, as ``layers.0.w.1`` or one in quotes, is one all the same. Raises
    Refusal for what is no expression, and for names that mean nothing.
    """

    def __init__(self, text: str, pass_: Trace, variables: Mapping[str, Any] | None = None) -> None:
        self.text = " ".join(text.split())
        if not self.text:
            raise Refusal("an expression is missing; for instance: abs(grad) > 10")
        #: The position of each value that it names, the words about a contribution, and all other names.
        self._values: dict[str, int] = {}
        self.words: list[str] = []
        self._others: dict[str, Any] = {}
        try:
            tree = ast.parse(self._readable(pass_.graph), mode="eval")
            self._code = compile(tree, "<condition>", "eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply"
            reason += "; to compare, write ==" if re.search(r"[^=!<>]=[^=]", self.text) else ""
            raise Refusal(f"{self.text!r} is not an expression: {reason}") from None
        names = [each for each in ast.walk(tree) if isinstance(each, ast.Name)]
        bound = {each.id for each in names if isinstance(each.ctx, ast.Store)}
        bound |= {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
        for name in sorted({each.id for each in names} - bound - self._values.keys()):
            self._mean(name, pass_.graph, variables or {})
        # A value by itself is no number; what is gone through may be some: any(w.grad > 1 for w in (w1, w2)).
        through = [each.iter for each in ast.walk(tree) if isinstance(each, ast.comprehension)]
        aspects = {id(each): "data" for over in through for each in ast.walk(over)}
        aspects |= {id(each.value): each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
        for each in names:
            if each.id in self._values and aspects.get(id(each)) not in Held._fields:
                called = pass_.graph.names[self._values[each.id]]
                there = ", ".join(f"{called}.{aspect}" for aspect in Held._fields)
                raise Refusal(f"say what of {called} is meant: {there}")

    def _readable(self, graph: Graph) -> str:
        """The text in which each name that Python could not read is replaced by a plain word."""
        text = re.sub(r"\bsign change\b", "sign_change", self.text)
        tight = text.replace(" ", "")
        odd = [name for name in graph._called if not name.isidentifier() and name.replace(" ", "") in tight]
        for name in sorted(odd, key=len, reverse=True):
            word = f"_{len(self._values)}_"
            written = r"\s*".join(re.escape(each) for each in re.split(r"\s+|(?<=,)", name) if each)
            text, count = re.subn(rf"(?<![\w.])(['\"]?){written}\1(?![\w\[#])", word, text)
            if count:
                self._values[word] = graph._called[name]
        return text.strip()

    def _mean(self, name: str, graph: Graph, variables: Mapping[str, Any]) -> None:
        """Find out what a name means."""
        scope = next((each for each in (variables, vars(math), vars(builtins)) if name in each), None)
        if name in graph._called:
            self._values[name] = graph._called[name]
        elif name in WORDS:
            self.words.append(name)
        elif scope is not None:
            self._others[name] = scope[name]
        else:
            names = [*islice(graph._called, 10_000), *WORDS]
            cure = did_you_mean(name, names) or f"the words are: {', '.join(WORDS)}"
            raise Refusal(f"there is no value and no word {name!r}; {cure}")

    def __call__(self, place: Place, at: Contribution | None = None) -> Any:
        """Its value at a place, about one contribution of the step there; whatever Python raises."""
        scope = {name: place.held(position) for name, position in self._values.items()}
        data = place.node.data  # on the way forward only that is there
        words = {"data": data, "finite": math.isfinite(data)}
        if at is not None:
            words = {name: WORDS[name][1](place, at) for name in self.words}
        return eval(self._code, {**self._others, **dict.fromkeys(self.words), **words, **scope})

    def holds(self, place: Place, at: Contribution | None = None) -> bool:
        """Whether it is true there. Of what has no value yet, or none at all, nothing is."""
        try:
            return bool(self(place, at))
        except (TypeError, ArithmeticError, ValueError):
            return False


#: The words about a contribution, what they mean, and what they are at one.
WORDS: dict[str, tuple[str, Callable[[Place, Contribution], Any]]] = {
    "data": ("the number of the value that receives", lambda _, at: at.graph.nodes[at.operand].data),
    "grad": ("its gradient after the contribution", lambda _, at: at.after),
    "before": ("its gradient before; 0 where there was none", lambda _, at: at.before or 0.0),
    "contribution": ("upstream × local", lambda _, at: at.amount),
    "upstream": ("the gradient that is passed on", lambda place, at: place.pass_.steps[at.step - 1].upstream),
    "local": ("the local derivative", lambda _, at: at.local),
    "missing": ("how many contributions it still waits for", lambda _, at: at.missing),
    "finite": (
        "whether data, grad and local are finite",
        lambda _, at: all(map(math.isfinite, (at.graph.nodes[at.operand].data, at.after, at.local))),
    ),
    "final": ("whether no contribution is missing", lambda _, at: not at.missing),
    "sign_change": ("whether grad has another sign than before", lambda _, at: at.turns),
}


class Breakpoint(NamedTuple):
    """Where to stop; made by :func:`breakpoint_at`."""

    #: As it is shown: ``watch h1 if grad < 0``, ``break sigmoid``, ``break if not finite``.
    text: str
    #: The positions of the nodes that it is set on; None: any.
    nodes: frozenset[int] | None
    condition: Expression | None = None
    #: A ``watch`` stops at what these receive, and not where they are computed and pass their gradient on.
    kind: str = "breakpoint"

    def __str__(self) -> str:
        return self.text

    def stops(self, place: Place) -> str | None:
        """Why a run stops at this place, such as ``x.grad: +3 → +6, sign change``; None if it does not."""
        step, node, condition, graph = place.step, place.node, self.condition, place.graph
        here = self.kind != "watch" and (self.nodes is None or node.position in self.nodes)
        if step is None:
            computed = place.at < 0 and here and (condition is None or condition.holds(place))
            return f"{node.name} is computed" if computed else None
        meets = [each for each in step.contributions if condition is None or condition.holds(place, each)]
        if self.nodes is not None:
            if here and (meets or condition is None):
                return f"{node.name} passes its gradient on"
            meets = [each for each in meets if each.operand in self.nodes]
            meets = [each for each in meets if self.kind == "watch" or graph.nodes[each.operand].rule is None]
        told = []
        for each in meets[:TOLD]:
            numbers = [figure(x, sign=True) for x in (each.before, each.after) if x is not None]
            flip = ", sign change" if each.turns else ""
            told.append(f"{graph.names[each.operand]}.grad: {' → '.join(numbers)}{flip}")
        more = f" and {len(meets) - TOLD} more" if len(meets) > TOLD else ""
        return "; ".join(told) + more or None


def breakpoint_at(
    pass_: Trace, text: str, *, watch: bool = False, file: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Breakpoint:  # fmt: skip
    """The breakpoint of ``text``: a place, a condition, or both; of a ``watch`` the place is a value.

    A place is a name, an operation (``sigmoid``, ``×``), or a line, ``12`` (of ``file``, else the root's) or
    ``net.py:12``. With a condition: ``h1 if grad < 0``, ``h1, grad < 0``, ``abs(grad) > 10``.
    """
    graph, text, kind = pass_.graph, text.strip(), "watch" if watch else "breakpoint"
    parts = re.finditer(r"(?:^|\s+)if(?:\s+|$)|\s*,\s+", text)
    #: Every way to take it: as a place alone, or split before an if or at a comma.
    splits = [(text, None), *((text[: each.start()], text[each.end() :]) for each in parts)]
    for place, condition in splits:
        nodes = _nodes(graph, place, file, watch=watch)
        if nodes is not None or (not watch and not place and condition is not None):
            break
    else:
        if watch:
            raise _nothing_called(text, graph)
        if re.fullmatch(r"[\w.:#\[\]]+", place) and place not in WORDS:
            raise _nothing_called(place, graph, "value, operation or line")
        place, condition = "", text
    told = " ".join([kind.removesuffix("point"), *place.split()])
    if condition is None:
        return Breakpoint(told, nodes, None, kind)
    meant, paid = Expression(condition, pass_, variables), [x for each in pass_.received for x in each[-1:]]
    try:  # where every number is there
        meant(Place(pass_, len(pass_)), paid[-1] if paid else None)
    except (ArithmeticError, ValueError):  # it may have a value elsewhere
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever the user's expression raises)
        raise Refusal(f"{meant.text!r} does not work: {error}") from None
    return Breakpoint(f"{told} if {meant.text}", nodes, meant, kind)


def _nodes(graph: Graph, text: str, file: str | None, *, watch: bool) -> frozenset[int] | None:
    """What has that name, is such an operation, or comes from that line, if any; watched are values only."""
    name = text.removesuffix(".grad") if watch and text not in graph._called else text
    if name in graph._called:
        if watch and not graph[name].requires_grad:
            raise Refusal(f"{name} is a constant: it takes no gradient that could be watched")
        return frozenset([graph._called[name]])
    on = {node.position for node in graph if node.rule and text in (node.rule.name, symbol(node.rule))}
    line = re.fullmatch(r"(?:(.+):)?(\d+)", text)
    if watch or not (on or line):
        return None
    return frozenset(on) if on or line is None else _on_line(graph, line[1] or file, int(line[2]))


def _on_line(graph: Graph, file: str | None, line: int) -> frozenset[int]:
    sites = [(each.site.rpartition(":"), each.position) for each in graph if each.rule and each.site]
    if not sites:
        raise Refusal(
            "no line is known: call microbp.record_sites() before computing, or use microbp step SCRIPT"
        )
    wanted = PurePath(file or (graph.root.site or "").rpartition(":")[0] or sites[0][0][0])
    ours: dict[int, list[int]] = {}
    for (where, _, number), position in sites:
        if PurePath(where).parts[-len(wanted.parts) :] == wanted.parts:
            ours.setdefault(int(number), []).append(position)
    if not ours:
        there = ", ".join(sorted({PurePath(where).name for (where, _, _), _ in sites}))
        raise Refusal(f"no value was recorded in a file {str(wanted)!r}; there are: {there}")
    if line not in ours:
        near = ", ".join(map(str, sorted(ours, key=lambda each: (abs(each - line), each))[:6]))
        raise Refusal(f"no value was recorded on line {line} of {wanted.name}; nearest: {near}")
    return frozenset(ours[line])


def _nothing_called(text: str, graph: Graph, kind: str = "value") -> Refusal:
    """The error for what a graph does not have, with what was probably meant."""
    operations = {rule.name for rule in graph.rules} if kind != "value" else set()
    named = [name for name, given in zip(graph.names, graph.named, strict=True) if given]
    told = ", ".join([*named[:12], "…"] if len(named) > 12 else named) or "none has a name"
    cure = did_you_mean(text, [*islice(graph.names, 10_000), *operations]) or f"the named values are: {told}"
    return Refusal(f"there is no {kind} {text!r}; {cure}")
