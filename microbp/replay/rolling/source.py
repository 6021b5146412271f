"""The source of a rolled program: as the straight-line form, but with a loop for what repeats."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from microbp.replay import straight
from microbp.replay.rolling.backward import Backward
from microbp.replay.rolling.forward import Forward, Lines
from microbp.replay.rolling.names import Names
from microbp.replay.rolling.plan import Plan

__all__ = ["rolled"]


def rolled(plan: Plan, *, wrt_inputs: bool = False) -> str:
    """The source of a plan: the functions of :func:`microbp.replay.straight.straight`, to the same bits.

    >>> from microbp import Value
    >>> from microbp.replay.function_graph import capture
    >>> from microbp.replay.rolling.plan import plan
    >>> w, x = Value(0.5, name="w"), Value(1.0, name="x")
    >>> v = x
    >>> for _ in range(1000):
    ...     v = (v * w).sin()
    >>> _, _, both = rolled(plan(capture(v, [x], [w]))).partition("def value_and_grad")
    >>> print(f"def value_and_grad{both}", end="")
    def value_and_grad(inputs, parameters):
        x, = inputs
        w, = parameters
        v2 = x * w
        # 999 times 2: the values from v3 to v2000.
        # v3 stands for v3, v5, …, v1999.
        # v4 stands for v4, v6, …, v2000.
        v3s = []
        v4 = v2
        v4s = [v2]
        for _ in range(999):
            v3 = sin(v4)
            v3s.append(v3)
            v4 = v3 * w
            v4s.append(v4)
        v2001 = sin(v4)
        # Backward, from the last value to the first: d_v is ∂v2001/∂v.
        d_v2001 = 1.0
        d_v4 = d_v2001 * cos(v4)
        # 999 times 2: the values from v3 to v2000.
        d_w = 0.0
        for v3, v4_before in zip(reversed(v3s), v4s[998::-1]):
            d_w += d_v4 * v3
            d_v3 = d_v4 * w
            d_v4 = d_v3 * cos(v4_before)
        d_v2 = d_v4
        d_w += d_v2 * x
        return v2001, [d_w]

    Raises ValueError where more than :data:`microbp.replay.straight.MOST` nodes would be written out.
    """
    if plan.length > straight.MOST:
        raise ValueError(
            f"compile: the straight-line form of {len(plan.captured.graph):,} values would be too long for "
            f"Python's compiler: with loops for what repeats it has {plan.length:,}, and {straight.MOST:,} "
            "are the most; use form='matrix'"
        )
    names = Names(plan)
    value = "\n".join(_function(plan, names, "value", None))
    both = "\n".join(_function(plan, names, "value_and_grad", wrt_inputs))
    tables = "".join(_table(*each) for each in names.tables.values())
    header = straight.header([*tables.splitlines(), *value.splitlines(), *both.splitlines()])
    return f"{header}{tables and chr(10)}{tables}\n\n{value}\n\n\n{both}\n"


def _table(name: str, numbers: Sequence[float]) -> str:
    text = ", ".join(map(repr, numbers))
    lines = textwrap.wrap(text, 96, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"{name} = (", *(f"    {each}" for each in lines), ")\n"])


def _function(plan: Plan, names: Names, name: str, wrt_inputs: bool | None) -> list[str]:
    listed: set[tuple[int, int]] = set()
    end = Lines()
    backward = None
    if wrt_inputs is None:
        results = _outputs(plan, Forward(plan, names, listed))
        end.line(f"return {results}")
    else:
        backward = Backward(plan, names, listed, wrt_inputs)
        results = _outputs(plan, backward, keep=True)
        backward.write()
        results += f", {backward.gradients('parameters')}"
        if wrt_inputs:
            results += f", {backward.gradients('inputs')}"
        backward.line(f"return {results}")
        end = backward
    while True:  # a loop fills a list if a later one asks for it
        asked = len(listed)
        forward = Forward(plan, names, listed)
        forward.lines.append(f"def {name}(inputs, parameters):")
        _unpack(plan, names, forward, "inputs")
        _unpack(plan, names, forward, "parameters")
        forward.write()
        if len(listed) == asked:
            return forward.lines + end.lines


def _outputs(plan: Plan, texts: Forward, *, keep: bool = False) -> str:
    """The text of what is returned; with ``keep``, variables that a loop assigns to get another name."""
    found = []
    for place in plan.captured.outputs:
        text = texts.value(place)
        if keep and plan.home(place) is not None and text.isidentifier():
            kept = texts.names.derived(f"{text}_last")
            if f"    {kept} = {text}" not in texts.lines[-1:]:
                texts.line(f"{kept} = {text}")
            text = kept
        found.append(text)
    return f"[{', '.join(found)}]" if plan.captured.output_shape else found[0]


def _unpack(plan: Plan, names: Names, lines: Forward, family: str) -> None:
    """The leaves outside of loops as variables."""
    places = plan.captured.inputs if family == "inputs" else plan.captured.params
    inside = [place is not None and plan.home(place) is not None for place in places]
    texts = ["_" if place is None else names.values.get(place, "_") for place in places]
    if not any(inside):
        if any(place is not None for place in places):
            lines.line(f"{', '.join(texts)}{',' * (len(texts) == 1)} = {family}")
        return
    lines.line(f"if len({family}) != {len(places)}:")
    lines.line(f'    raise ValueError(f"{len(places)} {family}, not {{len({family})}}")')
    index = 0
    while index < len(places):
        first = index
        while index < len(places) and not inside[index] and places[index] is not None:
            index += 1
        if index > first:
            part = f"{family}[{first}:{index}]" if index > first + 1 else f"{family}[{first}]"
            lines.line(f"{', '.join(texts[first:index])} = {part}")
        else:
            index += 1
