"""A thousand training steps of the softmax net, without coming back to Python."""

from __future__ import annotations

from contest import Work, contestant

from workloads.inside import jax_loop, machine
from workloads.softmax_net import RATE, jax_cost, recorded, start

TITLE = "64-50-10 softmax net: 1,000 training steps inside"
#: So many steps let sums in another order grow apart.
TOLERANCE = 1e-6


@contestant("microbp, replay")
def replay() -> Work:
    """The machine in C."""
    program, samples, _ = recorded()
    return machine(program, samples, RATE)


@contestant("JAX jit")
def jax_jit() -> Work:
    """The loop inside."""
    return jax_loop(jax_cost(), start()[2], RATE)
