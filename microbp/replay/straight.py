"""The straight-line form: one assignment per node and per contribution, with Python's own floats.

It computes what the eager engine computes, operation by operation in the same order, and so the same
bits: the values, and the gradients of a backward pass. Only the sign of a gradient that is 0 may differ.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from microbp.expr import CONSTANTS, FUNCTIONS
from microbp.graph import Node
from microbp.replay import writer
from microbp.replay.captured import Captured
from microbp.replay.names import Identifiers
from microbp.replay.words import one_line

__all__ = ["MOST", "header", "straight"]

#: The largest graph that is written out: Python's compiler takes about 7 µs and 3.3 kB for a line.
MOST = 50_000
_WIDTH = 100
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
    >>> from microbp.replay.captured import capture
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


class _Function:
    """The lines of one function."""

    def __init__(self, captured: Captured) -> None:
        self.captured, self.nodes = captured, captured.graph.nodes
        self.lines: list[str] = []
        self.identifiers = Identifiers(["inputs", "parameters"])
        self.leaves = {*captured.inputs, *captured.params}
        self.names = [self._name(node) for node in self.nodes]
        self.upstream: dict[int, str] = {}

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
                    self._line(f"{self.names[node.position]} = {node.data!r}")
                continue
            if node.group != before:
                before = node.group
                if before:
                    self.lines.append(_calls(node))
            self._value(node)

    def _unpack(self, places: Sequence[int | None], source: str) -> None:
        if any(place is not None for place in places):
            names = ["_" if place is None else self.names[place] for place in places]
            self._line(f"{', '.join(names)}{',' * (len(names) == 1)} = {source}")

    def _value(self, node: Node) -> None:
        assert node.rule is not None
        template = writer.value(node.rule, _literals(node))
        scope, elements = self._scope(node)
        scope = template.scope(scope, elements, lambda text: self._temporary(node, text), last=True)
        text = template.text.format_map(scope)
        if template.text == "{_0} + 0.0":
            text = text.removesuffix(" + 0.0")  # a sum that begins with 0.0 is not -0.0, and so the same
        self._line(f"{self.names[node.position]} = {text}")

    def _scope(self, node: Node) -> tuple[dict[str, str], list[dict[str, str]]]:
        """The text of each argument, and of each that runs over elements, for each of these."""
        rule = node.rule
        assert rule is not None
        texts = [self.names[each] if type(each) is int else repr(each) for each in node.operands]
        entries = dict(zip(rule.args, rule.split(texts), strict=True))
        columns = [entries.pop(arg) for arg in rule.over]
        elements = [dict(zip(rule.over, each, strict=True)) for each in zip(*columns, strict=True)]
        return entries, elements

    def _temporary(self, node: Node, text: str) -> str:
        name = self.identifiers.new(f"{self.names[node.position]}_sum")
        self._line(f"{name} = {text}")
        return name

    # ------------------------------------------------------------------------------------ backward
    def backward(self, wrt_inputs: bool) -> None:
        """The chain rule: from each node to its operands, the last of them first, as the eager engine."""
        captured = self.captured
        trained = zip(captured.params, captured.trained, strict=True)
        wanted = {place for place, takes in trained if takes}
        if wrt_inputs:
            wanted |= {*captured.inputs}
        needed = self._that_depend_on(wanted)
        outputs = [place for place in captured.outputs if needed[place]]
        if not outputs:
            return
        whole = self.names[outputs[0]] if len(captured.outputs) == 1 else "(sum of the outputs)"
        self.lines.append(f"    # Backward, from the last value to the first: d_v is ∂{whole}/∂v.")
        for place in reversed(outputs):
            self._contribute(place, "1.0")
        for node in reversed(self.nodes):
            if node.rule is not None and needed[node.position]:
                self._contributions(node, needed)

    def _that_depend_on(self, wanted: set[int | None]) -> list[bool]:
        needed = [False] * len(self.nodes)
        for node in self.nodes:
            needed[node.position] = node.position in wanted or any(
                needed[each] for each in node.operands if type(each) is int
            )
        return needed

    def _contributions(self, node: Node, needed: Sequence[bool]) -> None:
        rule = node.rule
        assert rule is not None
        scope, elements = self._scope(node)
        scope["y"] = self.names[node.position]
        upstream = self.upstream[node.position]
        literals = _literals(node)
        scopes: dict[int, dict[str, str]] = {}
        for place, element, operand in reversed(_places(node)):
            if type(operand) is not int or not needed[operand]:
                continue
            template = writer.derivative(rule, place, literals)
            if place not in scopes:
                scopes[place] = template.scope(scope, elements, lambda text: self._temporary(node, text))
            inner = elements[element] if element is not None else {}
            local = template.text.format_map({**scopes[place], **inner})
            self._contribute(operand, _product(upstream, local, template.factor))

    def _contribute(self, place: int, text: str) -> None:
        if place in self.upstream:
            self._line(f"{self.upstream[place]} += {text}")
        else:
            self.upstream[place] = self.identifiers.new(f"d_{self.names[place]}")
            self._line(f"{self.upstream[place]} = {text}")

    # ------------------------------------------------------------------------------------- the end
    def end(self, wrt_inputs: bool | None = None) -> None:
        """What is returned; None: values alone."""
        names = [self.names[each] for each in self.captured.outputs]
        results = names[0] if not self.captured.output_shape else f"[{', '.join(names)}]"
        if wrt_inputs is not None:
            results += f", [{', '.join(map(self._gradient, self.captured.params))}]"
        if wrt_inputs:
            results += f", [{', '.join(map(self._gradient, self.captured.inputs))}]"
        self._line(f"return {results}")

    def _gradient(self, place: int | None) -> str:
        return "0.0" if place is None else self.upstream.get(place, "0.0")

    def _line(self, text: str) -> None:
        if len(text) <= _WIDTH - 4:
            self.lines.append(f"    {text}")
        else:
            self.lines += _broken(text)


def _places(node: Node) -> list[tuple[int, int | None, int | float]]:
    """Of each operand: the place of its argument, the index of its element, and the operand."""
    rule = node.rule
    assert rule is not None
    entries = rule.split(node.operands)
    found: list[tuple[int, int | None, int | float]] = []
    for place, (arg, entry) in enumerate(zip(rule.args, entries, strict=True)):
        if arg in rule.over:
            found += [(place, index, each) for index, each in enumerate(entry)]
        else:
            found.append((place, None, entry))
    return found


def _literals(node: Node) -> writer.Literals:
    rule = node.rule
    assert rule is not None
    if all(type(each) is int for each in node.operands):
        return ()
    entries = zip(rule.args, rule.split(node.operands), strict=True)
    return tuple((arg, repr(entry)) for arg, entry in entries if type(entry) is float)


def _product(upstream: str, local: str, factor: bool) -> str:
    """Upstream gradient times local derivative; what is exact in floats is left out."""
    if local in ("1.0", "-1.0"):
        return local.replace("1.0", upstream)
    return f"{upstream} * {local}" if factor else f"{upstream} * ({local})"


def _calls(node: Node) -> str:
    """The groups that a node is in, as a comment."""
    path = (f"{name}, call {number + 1}" if number else name for name, number in node.group)
    return f"    # {one_line(' / '.join(path))}."


def _broken(text: str) -> list[str]:
    """A long statement over several lines."""
    head, sign, rest = text.rpartition(" = ") if text.endswith((" = inputs", " = parameters")) else ("",) * 3
    if sign:
        return ["    (", *_wrapped(head), f"    ){sign}{rest}"]
    found = re.match(r"return |\w+ \+?= ", text)
    assert found is not None
    return [f"    {found[0]}(", *_wrapped(text[found.end() :]), "    )"]


def _wrapped(text: str) -> list[str]:
    indent = " " * 8
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
