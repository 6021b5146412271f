"""The expression of micrograd's README: its value and two derivatives, by a program made once."""

from __future__ import annotations

from typing import Any

from contest import Work, contestant

TITLE = "README expression of micrograd: value and gradient"
A, B = -4.0, 2.0


def expression(a: Any, b: Any, relu: Any) -> Any:
    """The example, written once for all kinds of numbers."""
    c = a + b
    d = a * b + b * b * b
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + relu(b + a)
    d = d + 3 * d + relu(b - a)
    e = c - d
    f = e * e
    g = f / 2.0
    return g + 10.0 / f


@contestant("Python by hand")
def by_hand() -> Work:
    """Derivatives by the chain rule, as one writes them on paper."""

    def run() -> tuple[float, float, float]:
        a, b = A, B
        s, t = a + b, b - a
        c = 4.0 * s + 3.0 - a
        d = 12.0 * (a * b + b * b * b) + 4.0 * max(s, 0.0) + max(t, 0.0)
        e = c - d
        f = e * e
        de = e - 20.0 / (f * e)
        ds, dt = (4.0 if s > 0.0 else 0.0), (1.0 if t > 0.0 else 0.0)
        da = de * (3.0 - 12.0 * b - ds + dt)
        db = de * (4.0 - 12.0 * (a + 3.0 * b * b) - ds - dt)
        return f / 2.0 + 10.0 / f, da, db

    return Work(run, run)


@contestant("microbp, replay")
def replay() -> Work:
    """The recorded graph, called on plain floats: the machine in C, or straight-line code without it."""
    import microbp
    from microbp import Value

    a, b = Value(A, "a"), Value(B, "b")
    form = "native" if microbp.engine().name == "native" else "straight"
    program = microbp.compile(expression(a, b, Value.relu), inputs=[], params=[a, b], form=form)
    machine = program.machine
    value_and_grad = machine.value_and_grad if machine else program.functions["value_and_grad"]

    def run() -> tuple[float, ...]:
        value, gradient = value_and_grad((), (A, B))
        return value, *gradient

    return Work(run, run)


@contestant("microbp, eager")
def eager() -> Work:
    """Recorded and back-propagated each time."""
    from microbp import Value

    def run() -> tuple[float, float, float]:
        a, b = Value(A), Value(B)
        g = expression(a, b, Value.relu)
        g.backward()
        return g.data, a.grad or 0.0, b.grad or 0.0

    return Work(run, run)


@contestant("micrograd")
def micrograd() -> Work:
    """Recorded and back-propagated each time."""
    from micrograd.engine import Value

    def run() -> tuple[float, float, float]:
        a, b = Value(A), Value(B)
        g = expression(a, b, Value.relu)
        g.backward()
        return g.data, a.grad, b.grad

    return Work(run, run)


@contestant("HIPS autograd")
def hips_autograd() -> Work:
    """Recorded and back-propagated each time."""
    import autograd
    from autograd import numpy as anp

    both = autograd.value_and_grad(lambda p: expression(p[0], p[1], lambda x: anp.maximum(x, 0.0)))
    start = anp.array([A, B])

    def run() -> tuple[float, float, float]:
        value, gradient = both(start)
        return value, *gradient

    return Work(run, run)


@contestant("PyTorch, 0-dim")
def torch_scalars() -> Work:
    """Recorded and back-propagated each time."""
    import torch

    torch.set_num_threads(1)

    def run() -> tuple[float, float, float]:
        a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (A, B))
        g = expression(a, b, torch.relu)
        g.backward()
        return g.item(), a.grad.item(), b.grad.item()

    return Work(run, run)


@contestant("JAX jit")
def jax_jit() -> Work:
    """Compiled once."""
    import jax

    both = jax.jit(jax.value_and_grad(lambda a, b: expression(a, b, jax.nn.relu), argnums=(0, 1)))

    def run() -> Any:
        value, gradient = both(A, B)
        return value.block_until_ready(), *gradient

    return Work(run, run)


@contestant("CasADi SX")
def casadi_sx() -> Work:
    """Its virtual machine, called with buffers that it reads and writes in place."""
    import casadi
    import numpy as np

    from workloads.buffers import buffered

    a, b = casadi.SX.sym("a"), casadi.SX.sym("b")
    g = expression(a, b, lambda x: casadi.fmax(x, 0.0))
    function = casadi.Function("g", [a, b], [g, casadi.gradient(g, a), casadi.gradient(g, b)])
    return buffered(function, [np.array([A]), np.array([B])])


@contestant("PyTensor")
def pytensor_function() -> Work:
    """Compiled once."""
    import pytensor
    from pytensor import tensor

    a, b = tensor.dscalar("a"), tensor.dscalar("b")
    g = expression(a, b, lambda x: tensor.maximum(x, 0.0))
    function = pytensor.function([a, b], [g, *tensor.grad(g, [a, b])])
    return Work(lambda: function(A, B), lambda: map(float, function(A, B)))


@contestant("C by hand")
def c_by_hand() -> Work:
    """One ctypes call."""
    import ctypes

    from workloads.native import compiled

    library = compiled(
        """
        void go(double a, double b, double *out) {
            double s = a + b, t = b - a, rs = s > 0 ? s : 0, rt = t > 0 ? t : 0;
            double e = 4*s + 3 - a - (12*(a*b + b*b*b) + 4*rs + rt), f = e*e;
            double de = e - 20/(f*e), ds = s > 0 ? 4 : 0, dt = t > 0 ? 1 : 0;
            out[0] = f/2 + 10/f;
            out[1] = de*(3 - 12*b - ds + dt);
            out[2] = de*(4 - 12*(a + 3*b*b) - ds - dt);
        }
        """
    )
    out = (ctypes.c_double * 3)()
    a, b, go = ctypes.c_double(A), ctypes.c_double(B), library.go

    def outcome() -> list[float]:
        go(a, b, out)
        return list(out)

    return Work(lambda: go(a, b, out), outcome)
