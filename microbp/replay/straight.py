"""The straight-line form: one assignment per node and per contribution, with Python's own floats.

It computes what the eager engine computes, operation by operation in the same order, and so the same
bits: the values, and the gradients of a backward pass. Only the sign of a gradient that is 0 may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from microbp.expr import CONSTANTS, FUNCTIONS
from microbp.graph import Node
from microbp.replay.function_graph import Captured
from microbp.replay.identifiers import Identifiers
from microbp.replay.statements import WIDTH, Statements, broken, calls

__all__ = ["MOST", "header", "straight"]

#: The largest graph that is written out: Python's compiler takes about 7 µs and 3.3 kB for a line.
MOST = 50_000
#: The functions of the rule language that Python's ``math`` has under another name.
_IN_MATH = {"abs": "fabs"}
_LARGEST = '''
def largest(numbers):
    """The largest number; nan as soon as one is nan."""
    return nan if any(map(isnan, numbers)) else max(numbers)
'''


def straight(captured: Captured, *, wrt_inputs: bool = False) -> str:
    """The source: ``value(inputs, parameters)`` and ``value_and_grad(inputs, parameters)``, for one sample.

    Both take lists of floats. ``value`` returns the output, or the list of outputs. ``value_and_grad``
    returns that and the list of the output's derivatives in the parameters (of several outputs, of their
    sum); with ``wrt_inputs`` also the list of those in the inputs.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> print(straight(capture((w * x).sin() * w, inputs=[x], params=[w])), end="")
    from math import cos, sin
    <BLANKLINE>
    <BLANKLINE>
    def value(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = w * x
        v3 = sin(v2)
        v4 = v3 * w
        return v4
    <BLANKLINE>
    <BLANKLINE>
    def value_and_grad(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = w * x
        v3 = sin(v2)
        v4 = v3 * w
        # Backward, from the last value to the first: d_v is ∂v4/∂v.
        d_v4 = 1.0
        d_w = d_v4 * v3
        d_v3 = d_v4 * w
        d_v2 = d_v3 * cos(v2)
        d_w += d_v2 * x
        return v4, [d_w]

    Raises ValueError for more than :data:`MOST` nodes.
    """
    size = len(captured.graph)
    if size > MOST:
        raise ValueError(
            f"compile: the straight-line form of {size:,} values would be too long for Python's compiler, "
            f"which gets {MOST:,} at most; use form='matrix'"
        )
    value = _Function(captured)
    value.begin("value")
    value.end()
    both = _Function(captured)
    both.begin("value_and_grad")
    both.backward(wrt_inputs)
    both.end(wrt_inputs)
    text = "\n\n\n".join("\n".join(each.lines) for each in (value, both))
    return f"{header(value.lines + both.lines)}\n\n{text}\n"


def header(lines: Iterable[str]) -> str:
    """The import of what the lines call."""
    words = set(re.findall(r"[^\W\d]\w*", "\n".join(each for each in lines if "#" not in each)))
    used = words & {*FUNCTIONS, *CONSTANTS} | ({"isnan", "nan"} if "largest" in words else set())
    names = sorted(f"{_IN_MATH[each]} as {each}" if each in _IN_MATH else each for each in used)
    imports = f"from math import {', '.join(names)}\n" if names else ""
    return imports + ("\n" + _LARGEST if "largest" in words else "")


class _Function(Statements):
    """The lines of one function."""

    def __init__(self, captured: Captured) -> None:
        self.captured, self.nodes = captured, captured.graph.nodes
        self.lines: list[str] = []
        self.identifiers = Identifiers(["inputs", "parameters"])
        self.leaves = {*captured.inputs, *captured.params}
        self.names = [self._name(node) for node in self.nodes]
        self.upstream: dict[int, str] = {}

    def name_of(self, node: Node) -> str:
        return self.names[node.position]

    def _name(self, node: Node) -> str:
        constant = node.rule is None and node.position not in self.leaves
        return repr(node.data) if constant and not node.named else self.identifiers.new(node.name)

    # ------------------------------------------------------------------------------------- forward
    def begin(self, function: str) -> None:
        """The head, the inputs and parameters by their names, and all values."""
        self.lines.append(f"def {function}(inputs, parameters):")
        self._unpack(self.captured.inputs, "inputs")
        self._unpack(self.captured.params, "parameters")
        before: object = ()
        for node in self.nodes:
            if node.rule is None:
                if node.position not in self.leaves and node.named:
                    self.line(f"{self.names[node.position]} = {node.data!r}")
                continue
            if node.group != before:
                before = node.group
                if before:
                    self.lines.append(calls(node))
            self.assign(node, self._texts(node), self.names[node.position])

    def _unpack(self, places: Sequence[int | None], source: str) -> None:
        if any(place is not None for place in places):
            names = ["_" if place is None else self.names[place] for place in places]
            self.line(f"{', '.join(names)}{',' * (len(names) == 1)} = {source}")

    def _texts(self, node: Node) -> list[str]:
        return [self.names[each] if type(each) is int else repr(each) for each in node.operands]

    # ------------------------------------------------------------------------------------ backward
    def backward(self, wrt_inputs: bool) -> None:
        """The chain rule: from each node to its operands, the last of them first, as the eager engine."""
        captured = self.captured
        trained = zip(captured.params, captured.trained, strict=True)
        wanted = {place for place, takes in trained if takes}
        if wrt_inputs:
            wanted |= {*captured.inputs}
        self.needed = needed = self._that_depend_on(wanted)
        outputs = [place for place in captured.outputs if needed[place]]
        if not outputs:
            return
        whole = self.names[outputs[0]] if len(captured.outputs) == 1 else "(sum of the outputs)"
        self.lines.append(f"    # Backward, from the last value to the first: d_v is ∂{whole}/∂v.")
        for place in reversed(outputs):
            self.give(place, "1.0")
        for node in reversed(self.nodes):
            if node.rule is not None and needed[node.position]:
                y = self.names[node.position]
                self.pass_on(node, self._texts(node), y, self.upstream[node.position])

    def _that_depend_on(self, wanted: set[int | None]) -> list[bool]:
        needed = [False] * len(self.nodes)
        for node in self.nodes:
            needed[node.position] = node.position in wanted or any(
                needed[each] for each in node.operands if type(each) is int
            )
        return needed

    def goes_to(self, operand: int) -> bool:
        return self.needed[operand]

    def give(self, operand: int, text: str) -> None:
        if operand in self.upstream:
            self.line(f"{self.upstream[operand]} += {text}")
        else:
            self.upstream[operand] = self.identifiers.new(f"d_{self.names[operand]}")
            self.line(f"{self.upstream[operand]} = {text}")

    # ------------------------------------------------------------------------------------- the end
    def end(self, wrt_inputs: bool | None = None) -> None:
        """What is returned; None: values alone."""
        names = [self.names[each] for each in self.captured.outputs]
        results = names[0] if not self.captured.output_shape else f"[{', '.join(names)}]"
        if wrt_inputs is not None:
            results += f", [{', '.join(map(self._gradient, self.captured.params))}]"
        if wrt_inputs:
            results += f", [{', '.join(map(self._gradient, self.captured.inputs))}]"
        self.line(f"return {results}")

    def _gradient(self, place: int | None) -> str:
        return "0.0" if place is None else self.upstream.get(place, "0.0")

    def line(self, text: str) -> None:
        if len(text) <= WIDTH - 4:
            self.lines.append(f"    {text}")
        else:
            self.lines += broken(text)
