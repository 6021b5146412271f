"""A thousand training steps of the demo net, without coming back to Python."""

from __future__ import annotations

from contest import Work, contestant

from workloads.demo_net import RATE, array_cost, recorded, start
from workloads.inside import jax_loop, machine

TITLE = "micrograd's demo net: 1,000 training steps inside"
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
    import jax

    return jax_loop(array_cost(jax.numpy), [each for layer in start()[2] for each in layer], RATE)
