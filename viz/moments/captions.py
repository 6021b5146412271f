"""What happens in each step of a backward pass, in a line."""

from __future__ import annotations

from collections import Counter

from microbp import Step, Trace
from viz.numbers import signed
from viz.text import plain, shortened

__all__ = ["captions"]

#: Columns of a name, and how many names are listed.
_NAME, _LISTED = 18, 3


def captions(trace: Trace, digits: int = 4) -> list[str]:
    """A line for each step, the first for the seed.

    >>> from microbp import Value, trace
    >>> w, x = Value(0.5, name="w"), Value(3.0, name="x")
    >>> for each in captions(trace((w * x).tanh() * x, {})):
    ...     print(each)
    step 0 of 3: the pass begins with ∇v4 = 1
    step 1 of 3: v4 = v3·x passes on +1 to x and v3
    step 2 of 3: v3 = tanh(v2) passes on +3 to v2
    step 3 of 3: v2 = w·x passes on +0.5421 to x and w
    """
    graph, count = trace.graph, len(trace)
    first = f"step 0 of {count}: the pass begins with ∇{_name(graph.root.name)} = 1"
    return [first, *(f"step {step.index} of {count}: {_told(trace, step, digits)}" for step in trace.steps)]


def _told(trace: Trace, step: Step, digits: int) -> str:
    node = trace.graph.nodes[step.node]
    name = _name(node.name)
    if not node.named:
        name = f"{name} = {shortened(plain(trace.graph.formula(node)), _NAME)}"
    given = Counter(trace.graph.nodes[each.operand].name for each in step.contributions)
    names = [f"{_name(each)}{', twice' if count == 2 else f', {count} times' if count > 2 else ''}"
             for each, count in given.items()]  # fmt: skip
    if len(names) > _LISTED:
        names = [*names[: _LISTED - 1], f"{len(names) - _LISTED + 1} more"]
    receivers = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return f"{name} passes on {signed(step.upstream, digits)} to {receivers or 'nothing'}"


def _name(name: str) -> str:
    return shortened(plain(name), _NAME)
