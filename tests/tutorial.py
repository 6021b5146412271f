"""The 2-2-2 net of the tutorial, built here for all tests of the debugger: as a script, and as Values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import microbp
from microbp import Program, Value
from microbp.demo import t4

__all__ = ["SCRIPT", "compiled", "named", "quantities", "written_out"]

SCRIPT = """\
from microbp import Value

w1, w2, w3, w4 = Value(0.15), Value(0.20), Value(0.25), Value(0.30)
w5, w6, w7, w8 = Value(0.40), Value(0.45), Value(0.50), Value(0.55)
b1, b2 = Value(0.35), Value(0.60)
i1, i2 = Value(0.05), Value(0.10)

h1 = (w1 * i1 + w2 * i2 + b1).sigmoid()
h2 = (w3 * i1 + w4 * i2 + b1).sigmoid()
o1 = (w5 * h1 + w6 * h2 + b2).sigmoid()
o2 = (w7 * h1 + w8 * h2 + b2).sigmoid()
E = 0.5 * (0.01 - o1) ** 2 + 0.5 * (0.99 - o2) ** 2
E.backward()
"""


def quantities(
    given: Mapping[str, Any], sigmoid: Callable[[Any], Any] = microbp.sigmoid
) -> dict[str, Any]:
    """What is given and every quantity of the net by its name, of Values or of numbers, with + and ×.

    Inputs and targets that are not given are the tutorial's, as literals.
    """
    v: dict[str, Any] = {**t4.INPUTS, **t4.TARGETS, **given}
    for name, w, x, u, y, b in (
        ("h1", "w1", "i1", "w2", "i2", "b1"), ("h2", "w3", "i1", "w4", "i2", "b1"),
        ("o1", "w5", "h1", "w6", "h2", "b2"), ("o2", "w7", "h1", "w8", "h2", "b2"),
    ):  # fmt: skip
        v[f"net_{name}"] = v[w] * v[x] + v[u] * v[y] + v[b]
        v[name] = sigmoid(v[f"net_{name}"])
    v["E"] = 0.5 * (v["t1"] - v["o1"]) ** 2 + 0.5 * (v["t2"] - v["o2"]) ** 2
    return {name: each for name, each in v.items() if name in given or name not in t4.INPUTS | t4.TARGETS}


def written_out(*, weighted: bool = False) -> tuple[Value, dict[str, Value]]:
    """E and all quantities by name, as the script computes them, with ``weighted`` also those inputs.

    Each leaf bears its name.
    """
    v = quantities({name: Value(x, name) for name, x in (t4.START | t4.INPUTS).items()})
    return v["E"], {name: each for name, each in v.items() if weighted or not name.startswith("net_")}


def named() -> tuple[dict[str, Value], dict[str, Any]]:
    """The leaves, and every quantity by its name: the net as the demonstration has it, with ``dot``."""
    leaves = t4.variables()
    return leaves, t4.network(leaves)


def compiled(**options: Any) -> Program:
    """That net as a program of both inputs and all parameters."""
    p, net = named()
    parameters = [p[name] for name in t4.START]
    return microbp.compile(net["E"], inputs=[p["i1"], p["i2"]], params=parameters, names=net, **options)
