"""``step``: the shell, from code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any

from microbp.debug.shell.shell import Shell
from microbp.debug.trace import Trace, trace
from microbp.graph import Graph
from microbp.sites import user_scope
from microbp.value import Value

__all__ = ["step"]


def step(
    loss: Value | Graph | Trace,
    names: Mapping[str, Any] | None = None,
    *,
    commands: Iterable[str] = (),
    stdin: IO[str] | None = None,
    stdout: IO[str] | None = None,
) -> int:
    """Step through the backward pass from ``loss`` in the terminal, forwards and back.

    ``commands`` are carried out first; then commands are asked for with ``input()``, also in a notebook, or
    read from ``stdin``, until ``quit`` or its end. They are those of Python's debugger: step, next, continue,
    break, watch, print, where, list, … and back, reverse-continue, and forward, which shows how a value came
    about; ``help`` lists them. ``names`` maps names to Values, the variables of the caller unless it is
    given. No ``grad`` is read or changed.

    Returns how many commands were refused: 0 when all went well, and where a person types them.

    >>> w, x = Value(0.4, name="w"), Value(3.0, name="x")
    >>> refused = step((w * x).tanh(), {}, commands=["step", "quit"])
    v3 = 0.833655: 4 values, 2 steps. help lists the commands.
    step 0 of 2   the seed
      ∂v3/∂v3 = 1; no other value has a gradient yet
    (microbp 0/2) step
    step 1 of 2   v3 = tanh(v2) = 0.833655
      upstream ∂v3/∂v3 = +1
      v2: local ∂v3/∂v2 = 1 − v3² = 1 − 0.8337² = 0.305020
        +1 × 0.305020 = +0.305020
        v2.grad: none → +0.305020 ✓ final
    (microbp 1/2) quit

    Raises TypeError and NoGradientError as :func:`microbp.trace`.
    """
    scope = user_scope() if names is None else names
    recorded = loss if isinstance(loss, Trace) else trace(loss, scope)
    value = loss if isinstance(loss, Value) else None
    return Shell(recorded, value, scope, commands, stdin, stdout).run()
