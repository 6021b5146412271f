"""One training step of micrograd's demo: 2-16-16-1 with relu, hinge loss and L2, 100 points.

A step is the cost, the gradient of all 337 parameters, and their update.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from contest import Work, contestant

TITLE = "micrograd's demo net: a training step, 100 points, hinge + L2"
SIZES, POINTS, PENALTY, RATE, CHECKED = (2, 16, 16, 1), 100, 1e-4, 0.05, 3


def start() -> tuple[Any, Any, list[tuple[Any, Any]]]:
    """X (100, 2), y (100,) of -1 and 1, and for each layer W (outputs, inputs) and b."""
    rng = np.random.default_rng(7)
    angle = np.pi * rng.random(POINTS)
    y = np.where(np.arange(POINTS) % 2, -1.0, 1.0)
    side = np.where(y < 0, 1.0, -1.0)
    X = np.stack([np.where(y < 0, np.cos(angle), 1 - np.cos(angle)), side * np.sin(angle)], axis=1)
    X += rng.normal(scale=0.1, size=X.shape)
    layers = [(rng.uniform(-1, 1, (nout, nin)), np.zeros(nout)) for nin, nout in pairwise(SIZES)]
    return X, y, layers


def flat(arrays: Any) -> list[float]:
    """All numbers in a row."""
    return np.concatenate([np.ravel(np.asarray(each)) for each in arrays]).tolist()


def judged(step: Any, parameters: Any) -> Any:
    """The costs of the first steps, and what these have made of the parameters."""

    def outcome() -> list[float]:
        costs = [float(step()) for _ in range(CHECKED)]
        return [*costs, *flat(parameters())]

    return outcome


@contestant("NumPy by hand")
def by_hand() -> Work:
    """Arrays, the backward pass derived on paper; buffers are NumPy's own."""
    X, y, layers = start()
    (W1, b1), (W2, b2), (W3, b3) = layers
    both = [each for layer in layers for each in layer]
    y = y[:, None]

    def step() -> float:
        h1 = np.maximum(X @ W1.T + b1, 0.0)
        h2 = np.maximum(h1 @ W2.T + b2, 0.0)
        margin = np.maximum(1.0 - y * (h2 @ W3.T + b3), 0.0)
        squares = sum(float(np.vdot(each, each)) for each in both)
        cost = margin.sum() / POINTS + PENALTY * squares
        d3 = (margin > 0.0) * y * (-1.0 / POINTS)
        d2 = (d3 @ W3) * (h2 > 0.0)
        d1 = (d2 @ W2) * (h1 > 0.0)
        gradients = [d1.T @ X, d1.sum(0), d2.T @ h1, d2.sum(0), d3.T @ h2, d3.sum(0)]
        for each, gradient in zip(both, gradients, strict=True):
            gradient += (2.0 * PENALTY) * each
            gradient *= RATE
            each -= gradient
        return float(cost)

    return Work(step, judged(step, lambda: both))


@contestant("NumPy by hand, one vector")
def by_hand_in_one_vector() -> Work:
    """The same with all parameters in one vector, so that penalty and update are one operation each."""
    X, y, layers = start()
    sizes = [each.size for layer in layers for each in layer]
    shapes = [each.shape for layer in layers for each in layer]
    p = np.array(flat([each for layer in layers for each in layer]))
    g = np.empty_like(p)
    places = np.cumsum([0, *sizes])
    views, into = (
        [vector[a:b].reshape(shape) for (a, b), shape in zip(pairwise(places), shapes, strict=True)]
        for vector in (p, g)
    )
    W1, b1, W2, b2, W3, b3 = views
    y = y[:, None]
    ones = np.ones(POINTS)

    def step() -> float:
        h1 = X @ W1.T
        h1 += b1
        np.maximum(h1, 0.0, out=h1)
        h2 = h1 @ W2.T
        h2 += b2
        np.maximum(h2, 0.0, out=h2)
        margin = h2 @ W3.T
        margin += b3
        margin *= -y
        margin += 1.0
        np.maximum(margin, 0.0, out=margin)
        cost = margin.sum() / POINTS + PENALTY * p.dot(p)
        d3 = (margin > 0.0) * y
        d3 *= -1.0 / POINTS
        d2 = d3 * W3
        d2 *= h2 > 0.0
        d1 = d2 @ W2
        d1 *= h1 > 0.0
        np.matmul(d1.T, X, out=into[0])
        np.dot(ones, d1, out=into[1])
        np.matmul(d2.T, h1, out=into[2])
        np.dot(ones, d2, out=into[3])
        np.matmul(d3.T, h2, out=into[4])
        np.dot(ones, d3, out=into[5])
        g.__iadd__((2.0 * PENALTY) * p)
        p.__isub__(RATE * g)
        return float(cost)

    return Work(step, judged(step, lambda: [p]))


def recorded() -> tuple[Any, Any, list[Any]]:
    """The scalar graph of one point, compiled; the samples; the parameters in our order."""
    import microbp
    from microbp import Value

    X, y, _ = start()
    sample = [Value(0.5, "x0"), Value(-0.5, "x1"), Value(1.0, "target")]
    margin, squares, parameters = _scalar_net(Value)
    cost = margin(sample) + PENALTY * squares()
    program = microbp.compile(cost, inputs=sample, params=parameters)
    return program, np.column_stack([X, y]), parameters


@contestant("microbp, replay")
def replay() -> Work:
    """The graph of one point, run on all points; the update is one operation."""
    program, samples, parameters = recorded()
    theta = program.parameters
    gradient = np.empty_like(theta)

    def step() -> float:
        cost = program.value_and_grad(samples, theta, out=gradient).cost
        theta.__isub__(RATE * gradient)
        return cost

    def numbers() -> list[Any]:
        program.assign(theta)
        return [[p.data for p in parameters]]

    return Work(step, judged(step, numbers))


def _scalar_net(kind: Any) -> tuple[Any, Any, list[Any]]:
    """The margin of a sample (x0, x1, target) in scalars, written out; Σ p²; the parameters in our order."""
    nets = [
        [([kind(float(w)) for w in row], kind(float(bias))) for row, bias in zip(W, b, strict=True)]
        for W, b in start()[2]
    ]
    parameters = []
    for net in nets:
        parameters += [w for row, _ in net for w in row]
        parameters += [b for _, b in net]

    def margin(sample: Any) -> Any:
        *out, target = sample
        for net in nets[:-1]:
            out = [sum((w * x for w, x in zip(row, out, strict=True)), b).relu() for row, b in net]
        [(row, b)] = nets[-1]
        score = sum((w * x for w, x in zip(row, out, strict=True)), b)
        return (1.0 + -target * score).relu()

    return margin, lambda: sum(p * p for p in parameters), parameters


@contestant("micrograd")
def micrograd() -> Work:
    """Recorded and back-propagated each time, as in its demo."""
    from micrograd.engine import Value

    return _eager(Value)


@contestant("microbp, eager")
def eager() -> Work:
    """The very same lines with microbp's Value."""
    from microbp import Value

    return _eager(Value)


def _eager(kind: Any) -> Work:
    X, y, _ = start()
    samples = np.column_stack([X, y]).tolist()
    margin, squares, parameters = _scalar_net(kind)

    def step() -> float:
        for p in parameters:
            p.grad = 0.0
        total = sum(map(margin, samples)) * (1.0 / POINTS) + PENALTY * squares()
        total.backward()
        for p in parameters:
            p.data -= RATE * p.grad
        return float(total.data)

    return Work(step, judged(step, lambda: [[p.data for p in parameters]]))


@contestant("HIPS autograd")
def hips_autograd() -> Work:
    """Arrays."""
    import autograd
    from autograd import numpy as anp

    return _functional(autograd.value_and_grad(array_cost(anp)))


def array_cost(xp: Any) -> Any:
    """The cost as a function of the list of arrays, in any library that speaks NumPy."""
    X, y, _ = start()
    X, y = xp.asarray(X) if hasattr(xp, "asarray") else X, xp.asarray(y) if hasattr(xp, "asarray") else y

    def cost(parameters: Any) -> Any:
        W1, b1, W2, b2, W3, b3 = parameters
        h1 = xp.maximum(xp.dot(X, W1.T) + b1, 0.0)
        h2 = xp.maximum(xp.dot(h1, W2.T) + b2, 0.0)
        score = (xp.dot(h2, W3.T) + b3)[:, 0]
        squares = sum(xp.sum(each * each) for each in parameters)
        return xp.sum(xp.maximum(1.0 - y * score, 0.0)) / POINTS + PENALTY * squares

    return cost


def _functional(both: Any) -> Work:
    parameters = [each.copy() for layer in start()[2] for each in layer]

    def step() -> float:
        cost, gradients = both(parameters)
        for each, gradient in zip(parameters, gradients, strict=True):
            each -= RATE * gradient
        return float(cost)

    return Work(step, judged(step, lambda: parameters))


@contestant("PyTorch, batched")
def torch_batched() -> Work:
    """Arrays, with its own SGD."""
    import torch

    torch.set_num_threads(1)
    X, y, layers = start()
    X, y = torch.tensor(X), torch.tensor(y)
    parameters = [torch.tensor(each, requires_grad=True) for layer in layers for each in layer]
    W1, b1, W2, b2, W3, b3 = parameters
    optimiser = torch.optim.SGD(parameters, lr=RATE)

    def step() -> float:
        optimiser.zero_grad()
        h1 = torch.relu(torch.addmm(b1, X, W1.T))
        h2 = torch.relu(torch.addmm(b2, h1, W2.T))
        score = torch.addmm(b3, h2, W3.T)[:, 0]
        squares = sum((each * each).sum() for each in parameters)
        cost = torch.relu(1.0 - y * score).sum() / POINTS + PENALTY * squares
        cost.backward()
        optimiser.step()
        return cost.item()

    return Work(step, judged(step, lambda: [each.detach().numpy() for each in parameters]))


@contestant("JAX jit")
def jax_jit() -> Work:
    """The whole step compiled once."""
    import jax

    cost = array_cost(jax.numpy)
    state = [jax.numpy.asarray(each) for layer in start()[2] for each in layer]

    @jax.jit
    def compiled(parameters: Any) -> Any:
        value, gradients = jax.value_and_grad(cost)(parameters)
        return value, [p - RATE * g for p, g in zip(parameters, gradients, strict=True)]

    def step() -> float:
        value, state[:] = compiled(state)
        return float(value)

    return Work(step, judged(step, lambda: state))


@contestant("CasADi SX")
def casadi_sx() -> Work:
    """The cost and the gradient of all points as one expression of scalars; the update in NumPy."""
    import casadi

    X, y, layers = start()
    p = np.array(flat([each for layer in layers for each in layer]))
    symbols = casadi.SX.sym("p", p.size)
    place, arrays = 0, []
    for W, b in layers:
        arrays.append((casadi.reshape(symbols[place : place + W.size], W.shape[1], W.shape[0]).T,
                       symbols[place + W.size : place + W.size + b.size]))  # fmt: skip
        place += W.size + b.size
    out = casadi.SX(casadi.DM(X.T))
    for i, (W, b) in enumerate(arrays):
        out = casadi.mtimes(W, out) + casadi.repmat(b, 1, POINTS)
        out = casadi.fmax(out, 0.0) if i < len(arrays) - 1 else out
    margins = casadi.fmax(1.0 - casadi.DM(y[None, :]) * out, 0.0)
    cost = casadi.sum2(margins) / POINTS + PENALTY * casadi.dot(symbols, symbols)
    function = casadi.Function("f", [symbols], [cost, casadi.gradient(cost, symbols)])
    value, gradient = np.zeros(1), np.zeros(p.size)
    buffer, go = function.buffer()
    buffer.set_arg(0, memoryview(p))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))

    def step(_keep: Any = buffer) -> float:
        go()
        p.__isub__(RATE * gradient)
        return float(value[0])

    return Work(step, judged(step, lambda: [p]))


@contestant("PyTensor")
def pytensor_step() -> Work:
    """The whole step compiled once."""
    import pytensor
    from pytensor import tensor

    X, y, layers = start()
    shared = [pytensor.shared(each) for layer in layers for each in layer]
    W1, b1, W2, b2, W3, b3 = shared
    h1 = tensor.maximum(tensor.dot(X, W1.T) + b1, 0.0)
    h2 = tensor.maximum(tensor.dot(h1, W2.T) + b2, 0.0)
    score = (tensor.dot(h2, W3.T) + b3)[:, 0]
    squares = sum((each * each).sum() for each in shared)
    cost = tensor.maximum(1.0 - y * score, 0.0).sum() / POINTS + PENALTY * squares
    updates = [(each, each - RATE * g) for each, g in zip(shared, tensor.grad(cost, shared), strict=True)]
    function = pytensor.function([], cost, updates=updates)
    return Work(function, judged(function, lambda: [each.get_value() for each in shared]))


@contestant("C by hand")
def c_by_hand() -> Work:
    """One ctypes call for a step."""
    import ctypes

    from workloads.native import compiled, pointer

    library = compiled(
        f"""
        #include <string.h>
        enum {{ N = {POINTS}, H = 16, P = 337 }};
        static double g[P];
        double go(const double *X, const double *y, double *p) {{
            double *W1 = p, *b1 = p + 32, *W2 = p + 48, *b2 = p + 304, *W3 = p + 320, *b3 = p + 336;
            double *dW1 = g, *db1 = g + 32, *dW2 = g + 48, *db2 = g + 304, *dW3 = g + 320, *db3 = g + 336;
            double cost = 0, squares = 0;
            memset(g, 0, sizeof g);
            for (int n = 0; n < N; n++) {{
                double h1[H], h2[H], d1[H], d2[H], s = b3[0];
                for (int i = 0; i < H; i++) {{
                    double z = b1[i] + W1[2*i]*X[2*n] + W1[2*i + 1]*X[2*n + 1];
                    h1[i] = z > 0 ? z : 0;
                }}
                for (int i = 0; i < H; i++) {{
                    double z = b2[i];
                    for (int j = 0; j < H; j++) z += W2[H*i + j]*h1[j];
                    h2[i] = z > 0 ? z : 0;
                    s += W3[i]*h2[i];
                }}
                double m = 1 - y[n]*s;
                if (m <= 0) continue;
                cost += m;
                double d = -y[n]/N;
                db3[0] += d;
                for (int j = 0; j < H; j++) d1[j] = 0;
                for (int i = 0; i < H; i++) {{
                    dW3[i] += d*h2[i];
                    d2[i] = h2[i] > 0 ? d*W3[i] : 0;
                    db2[i] += d2[i];
                    for (int j = 0; j < H; j++) {{ dW2[H*i + j] += d2[i]*h1[j]; d1[j] += d2[i]*W2[H*i + j]; }}
                }}
                for (int i = 0; i < H; i++) {{
                    double e = h1[i] > 0 ? d1[i] : 0;
                    db1[i] += e; dW1[2*i] += e*X[2*n]; dW1[2*i + 1] += e*X[2*n + 1];
                }}
            }}
            for (int i = 0; i < P; i++) {{
                squares += p[i]*p[i];
                p[i] -= {RATE}*(g[i] + {2 * PENALTY}*p[i]);
            }}
            return cost/N + {PENALTY}*squares;
        }}
        """
    )
    library.go.restype = ctypes.c_double
    X, y, layers = start()
    p = np.array(flat([each for layer in layers for each in layer]))
    X = np.ascontiguousarray(X)
    arguments = pointer(X), pointer(y), pointer(p)

    def step(_keep: Any = (X, y)) -> float:
        return float(library.go(*arguments))

    return Work(step, judged(step, lambda: [p]))
