"""``compile``: from recorded Values, or a function of Values, to a :class:`Program`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from microbp.collector import collector_at_rest
from microbp.comparisons import Compared
from microbp.replay.backends import form_of
from microbp.replay.branches import compared_in, guards, warn
from microbp.replay.function_graph import Captured, capture_values, flat
from microbp.replay.program import MEMORY, Program
from microbp.value import as_number

__all__ = ["FormName", "compiled_program"]

FormName = Literal["auto", "straight", "matrix"]


def compiled_program(
    outputs: Any,
    inputs: Any,
    params: Any = None,
    *,
    form: FormName = "auto",
    checked: bool = False,
    finite: bool = True,
    memory: float = MEMORY,
    names: Mapping[str, Any] | None = None,
    compared: list[Compared] | None = None,
) -> Program:
    """The program that computes ``outputs``; ``compared`` are the comparisons that were seen meanwhile."""
    if form not in ("auto", "straight", "matrix"):
        raise ValueError(f"compile: form is 'auto', 'straight' or 'matrix', not {form!r}")
    if as_number(memory, "compile: memory") <= 0:
        raise ValueError(f"compile: memory is how many bytes a batch may take, at least 1, not {memory!r}")
    memory = int(min(memory, 1 << 62))
    start = time.perf_counter()
    with collector_at_rest():
        captured, leaves, graph = capture_values(outputs, inputs, params, names)
        if compared is None:
            results = [graph._values[each] for each in captured.outputs]
            noted = [graph._values[at] for at, note in graph._notes.items() if type(note) is tuple]
            compared = compared_in((*noted, *leaves.params), flat(inputs, "inputs")[0], results)
        del graph
        guard, unknown = guards(compared, inputs, leaves.params)
        if unknown:
            warn(unknown, checkable=False)
        if guard is not None and not checked:
            warn(guard.branches, checkable=True)
        guarded = (guard, form_of(guard.captured, form)) if checked and guard is not None else None
        made = form_of(captured, form)
    return Program(
        captured, made, leaves, guarded,
        finite=finite, memory=memory, seconds=time.perf_counter() - start,
    )  # fmt: skip
