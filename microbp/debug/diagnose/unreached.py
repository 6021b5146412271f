"""Parameters that no gradient reaches: the loss does not depend on them, or they are frozen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from microbp.check.words import where
from microbp.debug.diagnose.finding import Finding, in_parts, listed
from microbp.debug.diagnose.subjects import Subject
from microbp.debug.words import counted
from microbp.graph import Graph, Node

__all__ = ["constant_loss", "unreached"]

#: Numbers that stand as literals in formulas; they are no trace of a parameter.
_ORDINARY = frozenset({0.0, 0.5, 1.0, 2.0, -1.0, -0.5})


def constant_loss(graph: Graph) -> Finding | None:
    """What is wrong with a loss that takes no gradient, or was not computed at all."""
    root = graph.root
    about = root.name, root.position, root.site
    if not root.requires_grad:
        return Finding(
            "unreached", "constant loss", *about,
            f"{root.name} = {root.data!r} is a constant: it was recorded under no_grad(), detached, made "
            "from .data, or all that it depends on is frozen.",
            "compute it outside of no_grad(), from Values rather than from .data",
        )  # fmt: skip
    if root.rule is None:
        return Finding(
            "unreached", "not computed", *about,
            f"{root.name} = {root.data!r} is a leaf: nothing was recorded that leads to it. Value(x.data), "
            "float(...) and a new Value of a number begin a graph of their own.",
            "the recorded result itself as the loss",
        )  # fmt: skip
    return None


def unreached(graph: Graph, subjects: Sequence[Subject]) -> list[Finding]:
    """One finding for all parameters that are missing for the same reason; or that there is none at all."""
    constants: dict[tuple[str, float], Node] = {}
    literals: dict[float, Node] = {}
    for node in graph:
        if node.rule is None and not node.requires_grad:
            constants.setdefault((node.name.partition("#")[0], node.data), node)
        for each in node.operands:
            if type(each) is float and each not in _ORDINARY:
                literals.setdefault(each, node)
    uses = graph.uses() if any(each.position is None for each in subjects) else []
    sites: dict[str, str | None] = {}
    missing: dict[tuple[str, str, str], list[Subject]] = defaultdict(list)
    for subject in subjects:
        if subject.position is not None and not subject.requires_grad:
            missing["frozen", "", ""].append(subject)
        elif subject.position is None:
            copy = constants.get((subject.name, subject.data))
            literal = literals.get(subject.data)
            if copy is not None:
                told = f"a constant of the same name and number is in the graph: {where(copy)}"
                missing["detached", told, subject.name].append(subject)
                sites[subject.name] = next((graph.nodes[user].site for user, _ in uses[copy.position]), None)
            elif literal is not None:
                told = f"its number {subject.data!r} stands as a literal in {where(literal)}"
                missing["taken as .data", told, subject.name].append(subject)
                sites[subject.name] = literal.site
            else:
                missing["disconnected", "", ""].append(subject)
    found = [
        _told(graph, cause, told, several, sites.get(several[0].name))
        for (cause, told, _), several in missing.items()
    ]
    return found or _nothing_learns(graph)


def _nothing_learns(graph: Graph) -> list[Finding]:
    """A finding where no leaf takes a gradient."""
    root, leaves = graph.root, [node for node in graph if node.rule is None]
    if any(node.requires_grad for node in leaves):
        return []
    what = (
        f"nothing that {root.name} depends on takes a gradient: all its leaves are constants: "
        f"{listed(where(each) for each in leaves)}. They were detached, frozen, or made under no_grad()."
    )
    advice = "the Values that should learn in the forward computation, not detached copies; net.freeze(False)"
    return [Finding("unreached", "constant loss", root.name, root.position, root.site, what, advice)]


def _told(graph: Graph, cause: str, told: str, several: Sequence[Subject], site: str | None) -> Finding:
    names = [each.name for each in several]
    who, root = in_parts(names), graph.root.name
    is_ = "are" if len(names) > 1 else "is"
    if cause == "frozen":
        what = f"{who} {is_} frozen (requires_grad is False), so that no gradient is kept."
        advice = "net.freeze(False), or value.requires_grad = True, if this should learn"
    elif cause == "disconnected":
        what = f"{root} does not depend on {who}: no recorded operation leads from there to the loss."
        unnamed = [each for each in graph if each.rule is None and not each.requires_grad]
        if unnamed:
            what += (
                f" The graph has {counted(len(unnamed), 'constant')}, as detach() and no_grad() make them: "
                f"{listed(where(each) for each in unnamed)}."
            )
        advice = "use it in the forward computation; look for .data, detach(), no_grad() and copies there"
    else:
        what = f"{root} does not depend on {who}; {told}."
        advice = "the Value itself, not its .data or a detached copy, in the forward computation"
    first = several[0]
    return Finding("unreached", cause, first.name, first.position, site, what, advice, tuple(names))
