"""Width: Σ w·x over a million products; the value and the derivatives by w."""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import Work, contestant

TITLE = "Width: a sum of 1,000,000 products, value and gradient"
N = 1_000_000
#: Sums in another order differ by so much.
TOLERANCE = 1e-8


def data() -> tuple[Any, Any]:
    """The factors."""
    rng = np.random.default_rng(0)
    return rng.normal(size=N), rng.normal(size=N)


def outcome(value: float, gradient: Any) -> list[float]:
    """By what a contestant is judged: the value, and some of the derivatives."""
    return [float(value), *map(float, np.asarray(gradient)[:: N // 100])]


@contestant("NumPy by hand")
def by_hand() -> Work:
    """The gradient of w·x by w is x."""
    w, x = data()
    gradient = np.empty(N)

    def run() -> float:
        gradient[:] = x
        return float(w @ x)

    return Work(run, lambda: outcome(run(), gradient))


@contestant("microbp, replay")
def replay() -> Work:
    """The graph of a million products and sums, compiled."""
    import microbp
    from microbp import Value

    numbers, factors = (each.tolist() for each in data())
    w = [Value(each) for each in numbers]
    x = [Value(each) for each in factors]
    total = w[0] * x[0]
    for a, b in zip(w[1:], x[1:], strict=True):
        total = total + a * b
    program = microbp.compile(total, inputs=x, params=w)
    theta, sample, out = program.parameters, np.array(factors), np.empty(N)

    def run() -> float:
        return program.value_and_grad(sample, theta, out=out).cost

    return Work(run, lambda: outcome(run(), out))


@contestant("microbp, eager, one dot")
def eager_dot() -> Work:
    """Recorded and back-propagated each time."""
    from microbp import Value, dot

    numbers, x = (each.tolist() for each in data())
    w = [Value(each) for each in numbers]

    def run() -> Any:
        for each in w:
            each.grad = None
        total = dot(w, x)
        total.backward()
        return total

    return Work(run, lambda: outcome(run().data, [each.grad for each in w]))


@contestant("microbp, eager")
def eager() -> Work:
    """Each product and each sum a node."""
    from microbp import Value

    return _scalars(Value, "data")


@contestant("micrograd")
def micrograd() -> Work:
    """Each product and each sum a node."""
    from micrograd.engine import Value

    return _scalars(Value, "data")


def _scalars(kind: Any, number: str) -> Work:
    numbers, x = (each.tolist() for each in data())
    w = [kind(each) for each in numbers]

    def run() -> Any:
        for each in w:
            each.grad = 0
        total = w[0] * x[0]
        for a, b in zip(w[1:], x[1:], strict=True):
            total = total + a * b
        total.backward()
        return total

    return Work(run, lambda: outcome(getattr(run(), number), [each.grad for each in w]))


@contestant("PyTorch, batched")
def torch_batched() -> Work:
    """Another program: one product of two vectors."""
    import torch

    torch.set_num_threads(1)
    numbers, factors = data()
    w, x = torch.tensor(numbers, requires_grad=True), torch.tensor(factors)

    def run() -> float:
        w.grad = None
        total = w @ x
        total.backward()
        return total.item()

    return Work(run, lambda: outcome(run(), w.grad.numpy()))


@contestant("JAX jit")
def jax_jit() -> Work:
    """Another program: one product of two vectors."""
    import jax

    w, x = (jax.numpy.asarray(each) for each in data())
    both = jax.jit(jax.value_and_grad(lambda w: w @ x))

    def run() -> Any:
        value, gradient = both(w)
        return value, gradient.block_until_ready()

    return Work(run, lambda: outcome(*run()))


@contestant("CasADi SX")
def casadi_sx() -> Work:
    """Its virtual machine."""
    import casadi

    from workloads.buffers import buffered

    numbers, factors = data()
    w, x = casadi.SX.sym("w", N), casadi.SX.sym("x", N)
    total = casadi.dot(w, x)
    work = buffered(casadi.Function("f", [w, x], [total, casadi.gradient(total, w)]), [numbers, factors])

    def judged() -> list[float]:
        value, *gradient = work.outcome()
        return outcome(value, gradient)

    return Work(work.run, judged)


@contestant("C by hand")
def c_by_hand() -> Work:
    """One ctypes call."""
    import ctypes

    from workloads.native import compiled, pointer

    library = compiled(
        """
        double go(long n, const double *w, const double *x, double *g) {
            double s = 0;
            for (long i = 0; i < n; i++) { s += w[i]*x[i]; g[i] = x[i]; }
            return s;
        }
        """
    )
    library.go.restype = ctypes.c_double
    w, x = data()
    gradient = np.empty(N)
    arguments = ctypes.c_long(N), pointer(w), pointer(x), pointer(gradient)
    return Work(lambda: library.go(*arguments), lambda: outcome(library.go(*arguments), gradient))
