"""A function that reaches a net of 445 parameters: its value and gradient for one sample, a call.

A compiled function sees to it at each call that nothing outside of it is another; a program has no outside.
"""

from __future__ import annotations

from typing import Any

from contest import Work, contestant

TITLE = "a function that reaches a net of 445 parameters: value and gradient of one sample"
SIZES, SAMPLE, SCALE = (3, [16, 16, 5, 4]), [0.1, 0.2, 0.3], 3.0


def _cost() -> tuple[Any, Any]:
    import microbp

    net = microbp.MLP(*SIZES, seed=7)
    return net, lambda x: microbp.sum(net(x)) * SCALE


def _compiled(call: Any) -> Work:
    def run() -> list[float]:
        cost, gradient = call(SAMPLE)
        return [cost, *gradient]

    return Work(lambda: call(SAMPLE), run)


@contestant("microbp, eager")
def eager() -> Work:
    """Recorded and back-propagated each time."""
    net, cost = _cost()
    parameters = net.parameters()

    def run() -> Any:
        for each in parameters:
            each.grad = None
        found = cost(SAMPLE)
        found.backward()
        return found

    return Work(run, lambda: [run().data, *(each.grad for each in parameters)])


@contestant("microbp, compiled function")
def function() -> Work:
    """The function, compiled as it is."""
    import microbp

    net, cost = _cost()
    return _compiled(microbp.compile(cost, params=net.parameters()).value_and_grad)


@contestant("microbp, replay")
def replay() -> Work:
    """The program of the same function, taken once."""
    import microbp

    net, cost = _cost()
    program = microbp.compile(cost, params=net.parameters()).program(SAMPLE)
    return _compiled(program.value_and_grad)
