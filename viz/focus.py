"""Which values of a graph are looked at: between two, around one, or where most of the gradient flows."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from microbp import Diagnosis, Finding, Graph, Node, Value
from microbp.sweeps import backward, dependents
from microbp.text import did_you_mean, quoted, shown
from viz.options import whole_number
from viz.picture import Kind


class View(NamedTuple):
    """What of a graph is looked at: options that drawings, step pictures and animations share."""

    #: The leaves that are learned, by name or as they are; None where their names decide.
    parameters: Iterable[str | Value] | None = None
    between: tuple[str | Value, str | Value] | None = None
    around: str | Value | None = None
    hops: int = 2
    share: float | None = None
    #: Names of what is not folded.
    unfold: Iterable[str] = ()
    findings: Diagnosis | Iterable[Finding] = ()


def focus(graph: Graph, kinds: Sequence[Kind], view: View) -> tuple[set[int] | None, str]:
    """The positions of the values that are shown, None for all, and a phrase that says which they are.

    ``between`` two values: those on the paths from one to the other. ``around`` a value: those at most
    ``hops`` edges away, in either direction. ``share``, from 0 to 1: those on the paths that carry at
    least so much of the gradient from the root to the parameters. Of several, what all of them show.

    Raises ValueError where a name is not in the graph, two values are not connected, or nothing is left.
    """
    chosen: list[tuple[set[int], str]] = []
    if view.between is not None:
        chosen.append(_between(graph, view.between))
    if view.around is not None:
        chosen.append(_around(graph, view.around, view.hops))
    if view.share is not None:
        chosen.append(_share(graph, kinds, view.share))
    if not chosen:
        return None, ""
    shown = set.intersection(*(positions for positions, _ in chosen))
    told = " and ".join(phrase for _, phrase in chosen)
    if not shown:
        raise ValueError(f"no value of the graph is {told}")
    return shown, told


def node_of(graph: Graph, which: str | Value) -> Node:
    """The node of a value, given by its name or as it is. ValueError names those that are near."""
    if not isinstance(which, str | Value):
        raise TypeError(f"a value is given by its name or as a Value, not as {quoted(which)}")
    try:
        return graph[which]
    except KeyError as error:
        if isinstance(which, Value):
            raise ValueError(str(error.args[0])) from None
    given = [node.name for node in graph.nodes if node.named]
    more = f" and {len(given) - 12:,} more" if len(given) > 12 else ""
    known = f"its names are {', '.join(map(shown, given[:12]))}{more}" if given else "no value has a name"
    hint = shown(did_you_mean(which, given)) or known
    raise ValueError(f"no value named {shown(repr(which))} in the graph of {shown(graph.root.name)}; {hint}")


def _between(graph: Graph, ends: tuple[str | Value, str | Value]) -> tuple[set[int], str]:
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise ValueError(f"between takes two values, as in between=('w', 'loss'), not {quoted(ends)}")
    low, high = sorted((node_of(graph, each) for each in ends), key=lambda node: node.position)
    paths = backward(graph, {high.position: 1.0}, np.ones(len(graph.args)))  # how many from each value
    found = np.flatnonzero(dependents(graph, [low.position]) & (paths > 0.0)).tolist()
    if not found:
        raise ValueError(
            f"{low.name} and {high.name} are not connected: neither was computed from the other. "
            f"Try between=({quoted(low.name)}, {quoted(graph.root.name)})"
        )
    return {*found}, f"between {low.name} and {high.name}"


def _around(graph: Graph, which: str | Value, hops: int) -> tuple[set[int], str]:
    hops = whole_number("hops", hops, 0)
    node, uses = node_of(graph, which), graph.uses()
    found = ring = {node.position}
    for _ in range(hops):
        beside = {user for each in ring for user, _ in uses[each]}
        beside |= {below for each in ring for below in graph.nodes[each].operands if type(below) is int}
        ring = beside - found
        found = found | ring
    return found, f"within {hops} {'hop' if hops == 1 else 'hops'} of {node.name}"


# ------------------------------------------------------------------------- where the gradient flows
def _share(graph: Graph, kinds: Sequence[Kind], share: float) -> tuple[set[int], str]:
    """The largest edges, until the paths of these carry ``share`` of the gradient.

    A path weighs the product of its |local derivatives|, so that the gradient of a parameter is at most
    the weight of all paths to it. An edge carries the weight of the paths through it.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 < share <= 1.0:
        raise ValueError(f"share is a part of the gradient, above 0 and at most 1, not {quoted(share)}")
    learned = [each for each, kind in enumerate(kinds) if kind is Kind.PARAMETER]
    goal = learned or [each for each, kind in enumerate(kinds) if kind is Kind.INPUT]
    what, root = "parameters" if learned else "inputs", graph.root
    user, operand, part = _parts(graph, goal)
    flow = backward(graph, {root.position: 1.0}, part)[user] * part

    def carried(least: float) -> tuple[float, set[int]]:
        """What arrives at the goal through edges with a flow of ``least`` or more, and the values there."""
        kept = np.where(flow >= least, part, 0.0)
        arrived = backward(graph, {root.position: 1.0}, kept)
        shown = {each for each in goal if arrived[each]}
        total = math.fsum(arrived[[*shown]])
        ways = (kept > 0.0) & (arrived[user] > 0.0)
        for above, below in zip(user[ways].tolist(), operand[ways].tolist(), strict=True):
            shown |= {above} if below in shown else set()
        return total, shown

    whole, _ = carried(0.0)
    if not whole:
        raise ValueError(
            f"no gradient flows from {root.name} to the {what}: on each path a local derivative is 0"
        )
    sizes = [*np.unique(flow)[::-1].tolist(), 0.0]
    enough = share * whole * (1.0 - 1e-9)
    total, shown = carried(sizes[bisect_left(sizes, True, key=lambda least: carried(least)[0] >= enough)])
    percent = f"{100.0 * total / whole:.0f} %"
    return shown, f"on paths that carry {percent} of the gradient from {root.name} to the {what}"


def _parts(graph: Graph, goal: list[int]) -> tuple[Any, Any, Any]:
    """Of each edge its user, its operand, and its part of what flows from the user to the goal.

    Weights are logarithms: products of many derivatives would soon be 0 or infinite. What is nan or infinite
    draws all of the flow: one looks for it.
    """
    user = np.repeat(np.arange(len(graph)), np.diff(graph.first))
    operand = np.maximum(graph.args, 0)  # constants have no part, whatever stands for them
    weight = np.full(len(graph), -np.inf)
    weight[goal] = 0.0
    with np.errstate(all="ignore"):
        size = np.where(np.isfinite(graph.local), np.log(np.abs(graph.local)), 1e6)
        size[(graph.args < 0) | ~graph.needs[operand]] = -np.inf
        for node in np.flatnonzero(graph.op >= 0).tolist():
            span = slice(*graph.first[node : node + 2])
            weight[node] = np.logaddexp.reduce(size[span] + weight[operand[span]])
        part = np.exp(size + weight[operand] - weight[user])
    return user, operand, np.where(weight[user] > -np.inf, part, 0.0)
