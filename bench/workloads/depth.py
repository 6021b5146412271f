"""Depth: v = v·w + x, half a million times; the value and two derivatives."""

from __future__ import annotations

from typing import Any

from contest import Work, contestant

TITLE = "Depth: a chain of 1,000,000 operations, value and gradient"
STEPS = 500_000
W, X = 0.999, 0.001


def chain(w: Any, x: Any) -> Any:
    """The chain, written once for all kinds of numbers that record."""
    v = x
    for _ in range(STEPS):
        v = v * w + x
    return v


@contestant("Python by hand")
def by_hand() -> Work:
    """Forward keeping all values, then backward."""

    def run() -> tuple[float, float, float]:
        values, v = [], X
        for _ in range(STEPS):
            values.append(v)
            v = v * W + X
        upstream, dw, dx = 1.0, 0.0, 0.0
        for kept in reversed(values):
            dx += upstream
            dw += upstream * kept
            upstream *= W
        return v, dw, dx + upstream

    return Work(run, run)


@contestant("microbp, replay")
def replay() -> Work:
    """The recorded graph, compiled."""
    import numpy as np

    import microbp
    from microbp import Value

    w, x = Value(W, "w"), Value(X, "x")
    program = microbp.compile(chain(w, x), inputs=[], params=[w, x])
    theta, sample, out = program.parameters, np.empty(0), np.empty(2)

    def run() -> tuple[float, ...]:
        gradients = program.value_and_grad(sample, theta, out=out)
        return gradients.cost, *out

    return Work(run, run)


@contestant("microbp, eager")
def eager() -> Work:
    """Recorded and back-propagated each time."""
    from microbp import Value

    def run() -> tuple[float, float, float]:
        w, x = Value(W), Value(X)
        v = chain(w, x)
        v.backward()
        return v.data, w.grad or 0.0, x.grad or 0.0

    return Work(run, run)


@contestant("micrograd")
def micrograd() -> Work:
    """Recorded and back-propagated each time."""
    from micrograd.engine import Value

    def run() -> tuple[float, float, float]:
        w, x = Value(W), Value(X)
        v = chain(w, x)
        v.backward()
        return v.data, w.grad, x.grad

    return Work(run, run)


@contestant("PyTorch, 0-dim")
def torch_scalars() -> Work:
    """Recorded and back-propagated each time."""
    import torch

    torch.set_num_threads(1)

    def run() -> tuple[float, float, float]:
        w, x = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (W, X))
        v = chain(w, x)
        v.backward()
        return v.item(), w.grad.item(), x.grad.item()

    return Work(run, run)


@contestant("JAX jit, as a scan")
def jax_scan() -> Work:
    """Another program: the loop is one operation, since an unrolled one does not compile."""
    import jax

    def scanned(w: Any, x: Any) -> Any:
        return jax.lax.scan(lambda v, _: (v * w + x, None), x, None, length=STEPS)[0]

    both = jax.jit(jax.value_and_grad(scanned, argnums=(0, 1)))

    def run() -> Any:
        value, gradient = both(W, X)
        return value.block_until_ready(), *gradient

    return Work(run, run)


@contestant("CasADi SX")
def casadi_sx() -> Work:
    """Its virtual machine."""
    import casadi
    import numpy as np

    from workloads.buffers import buffered

    w, x = casadi.SX.sym("w"), casadi.SX.sym("x")
    v = chain(w, x)
    gradient = casadi.gradient(v, casadi.vertcat(w, x))
    return buffered(casadi.Function("v", [w, x], [v, gradient]), [np.array([W]), np.array([X])])


@contestant("C by hand")
def c_by_hand() -> Work:
    """One ctypes call."""
    import numpy as np

    from workloads.native import compiled, pointer

    library = compiled(
        f"""
        static double kept[{STEPS}];
        void go(double w, double x, double *out) {{
            double v = x, up = 1, dw = 0, dx = 0;
            for (int i = 0; i < {STEPS}; i++) {{ kept[i] = v; v = v*w + x; }}
            for (int i = {STEPS} - 1; i >= 0; i--) {{ dx += up; dw += up*kept[i]; up *= w; }}
            out[0] = v; out[1] = dw; out[2] = dx + up;
        }}
        """
    )
    import ctypes

    out = np.zeros(3)
    w, x, to = ctypes.c_double(W), ctypes.c_double(X), pointer(out)

    def outcome() -> list[float]:
        library.go(w, x, to)
        return out.tolist()

    return Work(lambda: library.go(w, x, to), outcome)
