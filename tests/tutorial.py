"""The 2-2-2 net of the tutorial, built here for all tests of the debugger: as a script, and as Values."""

from __future__ import annotations

from typing import Any

import microbp
from microbp import Program, Value
from microbp.demo import t4

__all__ = ["SCRIPT", "compiled", "named", "written_out"]

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


def written_out(*, weighted: bool = False) -> tuple[Value, dict[str, Value]]:
    """E and all quantities by name, as the script computes them, with ``weighted`` also those inputs.

    Each leaf bears its name.
    """
    v = {name: Value(x, name) for name, x in (t4.START | t4.INPUTS).items()}

    def neuron(name: str, w: str, x: str, u: str, y: str, b: str) -> None:
        net = v[w] * v[x] + v[u] * v[y] + v[b]
        v[name] = net.sigmoid()
        if weighted:
            v[f"net_{name}"] = net

    neuron("h1", "w1", "i1", "w2", "i2", "b1")
    neuron("h2", "w3", "i1", "w4", "i2", "b1")
    neuron("o1", "w5", "h1", "w6", "h2", "b2")
    neuron("o2", "w7", "h1", "w8", "h2", "b2")
    v["E"] = 0.5 * (0.01 - v["o1"]) ** 2 + 0.5 * (0.99 - v["o2"]) ** 2
    return v["E"], v


def named() -> tuple[dict[str, Value], dict[str, Any]]:
    """The leaves, and every quantity by its name: the net as the demonstration has it, with ``dot``."""
    leaves = t4.variables()
    return leaves, t4.network(leaves)


def compiled(**options: Any) -> Program:
    """That net as a program of both inputs and all parameters."""
    p, net = named()
    parameters = [p[name] for name in t4.START]
    return microbp.compile(net["E"], inputs=[p["i1"], p["i2"]], params=parameters, names=net, **options)
