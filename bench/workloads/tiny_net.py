"""The 2-2-1 net of a tutorial: 100 iterations of gradient descent on its one sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from contest import Work, contestant

from workloads.demo_net import judged

TITLE = "2-2-1 net of the tutorial: 100 iterations on its one sample"
START = [0.1, 0.8, 0.4, 0.6, 0.3, 0.9]
INPUTS, TARGET, RATE, ITERATIONS = (0.35, 0.9), 0.5, 1.0, 100


def hundred(step: Any, parameters: Any) -> Work:
    """The iterations of a run; judged by the first ones."""

    def run() -> None:
        for _ in range(ITERATIONS):
            step()

    return Work(run, judged(step, parameters))


def cost(p: Any, sigmoid: Any) -> Any:
    """½(target − output)², written once for all kinds of numbers."""
    a, b = INPUTS
    h1 = sigmoid(p[0] * a + p[1] * b)
    h2 = sigmoid(p[2] * a + p[3] * b)
    error = TARGET - sigmoid(p[4] * h1 + p[5] * h2)
    return error * error * 0.5


@contestant("Python by hand")
def by_hand() -> Work:
    """The backward pass derived on paper, in plain floats."""
    p = list(START)
    a, b = INPUTS

    def step() -> float:
        h1 = 1.0 / (1.0 + math.exp(-(p[0] * a + p[1] * b)))
        h2 = 1.0 / (1.0 + math.exp(-(p[2] * a + p[3] * b)))
        o = 1.0 / (1.0 + math.exp(-(p[4] * h1 + p[5] * h2)))
        error = TARGET - o
        d = -error * o * (1.0 - o)
        d1 = d * p[4] * h1 * (1.0 - h1)
        d2 = d * p[5] * h2 * (1.0 - h2)
        p[0] -= RATE * d1 * a
        p[1] -= RATE * d1 * b
        p[2] -= RATE * d2 * a
        p[3] -= RATE * d2 * b
        p[4] -= RATE * d * h1
        p[5] -= RATE * d * h2
        return 0.5 * error * error

    return hundred(step, lambda: [p])


@contestant("microbp, replay")
def replay() -> Work:
    """Cost and new parameters in one call, on plain floats: of the machine in C, or of straight-line code."""
    import microbp
    from microbp import Value

    p = [Value(x) for x in START]
    total = cost(p, Value.sigmoid)
    slopes = microbp.grad(total, p, create_graph=True)
    new = [each - RATE * slope for each, slope in zip(p, slopes, strict=True)]
    form = "native" if microbp.engine().name == "native" else "straight"
    program = microbp.compile([*new, total], inputs=[], params=p, form=form)
    value = program.machine.value if program.machine else program.functions["value"]
    theta = program.parameters.tolist()

    def step() -> float:
        nonlocal theta
        theta = value((), theta)
        return theta.pop()

    return hundred(step, lambda: [theta])


def _eager(kind: Any, sigmoid: Any) -> Work:
    p = [kind(x) for x in START]

    def step() -> float:
        for each in p:
            each.grad = 0.0
        total = cost(p, sigmoid)
        total.backward()
        for each in p:
            each.data -= RATE * each.grad
        return float(total.data)

    return hundred(step, lambda: [[each.data for each in p]])


@contestant("microbp, eager")
def eager() -> Work:
    """Recorded and back-propagated each time."""
    from microbp import Value

    return _eager(Value, Value.sigmoid)


@contestant("micrograd")
def micrograd() -> Work:
    """Recorded and back-propagated each time; it has no exp, so the sigmoid is a node of our own."""
    from micrograd.engine import Value

    def sigmoid(x: Any) -> Any:
        y = 1.0 / (1.0 + math.exp(-x.data))
        out = Value(y, (x,), "σ")

        def backward() -> None:
            x.grad += y * (1.0 - y) * out.grad

        out._backward = backward
        return out

    return _eager(Value, sigmoid)


@contestant("HIPS autograd")
def hips_autograd() -> Work:
    """Recorded and back-propagated each time."""
    import autograd
    from autograd import numpy as anp

    both = autograd.value_and_grad(lambda p: cost(p, lambda x: 1.0 / (1.0 + anp.exp(-x))))
    p = np.array(START)

    def step() -> float:
        value, gradient = both(p)
        p.__isub__(RATE * gradient)
        return float(value)

    return hundred(step, lambda: [p])


@contestant("PyTorch, 0-dim")
def torch_scalars() -> Work:
    """Recorded and back-propagated each time."""
    import torch

    torch.set_num_threads(1)
    p = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in START]

    def step() -> float:
        for each in p:
            each.grad = None
        total = cost(p, torch.sigmoid)
        total.backward()
        with torch.no_grad():
            for each in p:
                each -= RATE * each.grad
        return total.item()

    return hundred(step, lambda: [[each.item() for each in p]])


@contestant("JAX jit")
def jax_jit() -> Work:
    """The whole iteration compiled once."""
    import jax

    state = [jax.numpy.asarray(START)]

    @jax.jit
    def compiled(p: Any) -> Any:
        value, gradient = jax.value_and_grad(lambda p: cost(p, jax.nn.sigmoid))(p)
        return value, p - RATE * gradient

    def step() -> float:
        value, state[0] = compiled(state[0])
        return float(value)

    return hundred(step, lambda: state)


@contestant("CasADi SX")
def casadi_sx() -> Work:
    """Cost and new parameters in one call."""
    import casadi

    symbols = casadi.SX.sym("p", 6)
    total = cost([symbols[i] for i in range(6)], lambda x: 1.0 / (1.0 + casadi.exp(-x)))
    function = casadi.Function("f", [symbols], [total, symbols - RATE * casadi.gradient(total, symbols)])
    value, p = np.zeros(1), np.array(START)
    buffer, go = function.buffer()
    buffer.set_arg(0, memoryview(p))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(p))

    def step(_keep: Any = buffer) -> float:
        go()
        return value.item()

    return hundred(step, lambda: [p])


@contestant("PyTensor")
def pytensor_iteration() -> Work:
    """The whole iteration compiled once."""
    import pytensor
    from pytensor import tensor

    p = pytensor.shared(np.array(START))
    total = cost(p, tensor.sigmoid)
    function = pytensor.function([], total, updates=[(p, p - RATE * tensor.grad(total, p))])
    return hundred(function, lambda: [p.get_value()])


@contestant("C by hand")
def c_by_hand() -> Work:
    """One ctypes call for an iteration."""
    import ctypes

    from workloads.native import compiled, pointer

    library = compiled(
        f"""
        #include <math.h>
        static double s(double x) {{ return 1/(1 + exp(-x)); }}
        double go(double *p) {{
            double a = {INPUTS[0]}, b = {INPUTS[1]};
            double h1 = s(p[0]*a + p[1]*b), h2 = s(p[2]*a + p[3]*b), o = s(p[4]*h1 + p[5]*h2);
            double e = {TARGET} - o, d = -e*o*(1 - o), d1 = d*p[4]*h1*(1 - h1), d2 = d*p[5]*h2*(1 - h2);
            p[0] -= {RATE}*d1*a; p[1] -= {RATE}*d1*b; p[2] -= {RATE}*d2*a; p[3] -= {RATE}*d2*b;
            p[4] -= {RATE}*d*h1; p[5] -= {RATE}*d*h2;
            return e*e/2;
        }}
        """
    )
    library.go.restype = ctypes.c_double
    p = np.array(START)
    to = pointer(p)

    def step(_keep: Any = p) -> float:
        return float(library.go(to))

    return hundred(step, lambda: [p])
