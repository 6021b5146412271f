"""One training step of a 64-50-10 net: sigmoid, softmax with cross-entropy, mini-batch of 100."""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import Work, contestant

from workloads.demo_net import flat, judged

TITLE = "64-50-10 softmax net: a training step, mini-batch of 100"
NIN, HIDDEN, CLASSES, BATCH, RATE = 64, 50, 10, 100, 0.1


def start() -> tuple[Any, Any, list[Any]]:
    """X (100, 64), one-hot T (100, 10), and W1 (50, 64), b1, W2 (10, 50), b2."""
    rng = np.random.default_rng(11)
    X, T = rng.random((BATCH, NIN)), np.eye(CLASSES)[rng.integers(CLASSES, size=BATCH)]
    parameters = [
        rng.normal(scale=0.1, size=(HIDDEN, NIN)), np.zeros(HIDDEN),
        rng.normal(scale=0.1, size=(CLASSES, HIDDEN)), np.zeros(CLASSES),
    ]  # fmt: skip
    return X, T, parameters


@contestant("NumPy by hand")
def by_hand() -> Work:
    """Arrays, the backward pass derived on paper."""
    X, T, parameters = start()
    W1, b1, W2, b2 = parameters

    def step() -> float:
        h = 1.0 / (1.0 + np.exp(-(X @ W1.T + b1)))
        z = h @ W2.T + b2
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        cost = (np.log(total).sum() - (z * T).sum()) / BATCH
        d2 = (e / total - T) / BATCH
        d1 = (d2 @ W2) * (h * (1.0 - h))
        gradients = d1.T @ X, d1.sum(0), d2.T @ h, d2.sum(0)
        for each, gradient in zip(parameters, gradients, strict=True):
            each -= RATE * gradient
        return float(cost)

    return Work(step, judged(step, lambda: parameters))


def recorded() -> tuple[Any, Any, list[Any]]:
    """The scalar graph of one sample, compiled; the samples; the parameters."""
    import microbp
    from microbp import Value, cross_entropy, dot

    X, T, arrays = start()
    W1, b1, W2, b2 = (np.vectorize(Value, otypes=[object])(each) for each in arrays)
    x, t = [Value(0.5) for _ in range(NIN)], [Value(0.1) for _ in range(CLASSES)]
    h = [dot(list(row), x, bias).sigmoid() for row, bias in zip(W1, b1, strict=True)]
    z = [dot(list(row), h, bias) for row, bias in zip(W2, b2, strict=True)]
    parameters = [p for each in (W1, b1, W2, b2) for p in each.ravel()]
    program = microbp.compile(cross_entropy(z, t), inputs=x + t, params=parameters)
    return program, np.hstack([X, T]), parameters


@contestant("microbp, replay")
def replay() -> Work:
    """The graph of one sample, run on the batch; the update is one operation."""
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


def _scalars(kind: Any, number: Any) -> Work:
    """The net as lists of Values; ``number`` makes the cost's exp and log of them."""
    X, T, (W1, b1, W2, b2) = start()
    nets = [
        ([[kind(float(w)) for w in row] for row in W], [kind(float(each)) for each in b])
        for W, b in ((W1, b1), (W2, b2))
    ]
    parameters = [p for W, b in nets for p in [*(w for row in W for w in row), *b]]
    labels = T.argmax(axis=1).tolist()

    def weighted(layer: Any, x: Any) -> list[Any]:
        return [sum((w * a for w, a in zip(row, x, strict=True)), b) for row, b in zip(*layer, strict=True)]

    def step() -> float:
        for p in parameters:
            p.grad = 0.0
        total: Any = 0.0
        for x, label in zip(X.tolist(), labels, strict=True):
            h = [number(z) for z in weighted(nets[0], x)]
            z = weighted(nets[1], h)
            e = [each.exp() for each in z]
            total = (sum(e[1:], e[0]) * (-z[label]).exp()).log() + total
        total = total * (1.0 / BATCH)
        total.backward()
        for p in parameters:
            p.data -= RATE * p.grad
        return float(total.data)

    return Work(step, judged(step, lambda: [[p.data for p in parameters]]))


@contestant("microbp, eager")
def eager() -> Work:
    """Each product and each sum a node."""
    from microbp import Value

    return _scalars(Value, Value.sigmoid)


@contestant("HIPS autograd")
def hips_autograd() -> Work:
    """Arrays."""
    import autograd
    from autograd import numpy as anp

    X, T, parameters = start()

    def cost(parameters: Any) -> Any:
        W1, b1, W2, b2 = parameters
        h = 1.0 / (1.0 + anp.exp(-(anp.dot(X, W1.T) + b1)))
        z = anp.dot(h, W2.T) + b2
        return (anp.sum(anp.log(anp.sum(anp.exp(z), axis=1))) - anp.sum(z * T)) / BATCH

    both = autograd.value_and_grad(cost)

    def step() -> float:
        value, gradients = both(parameters)
        for each, gradient in zip(parameters, gradients, strict=True):
            each -= RATE * gradient
        return float(value)

    return Work(step, judged(step, lambda: parameters))


@contestant("PyTorch, batched")
def torch_batched() -> Work:
    """Arrays, with its own cross-entropy and SGD."""
    import torch

    torch.set_num_threads(1)
    X, T, arrays = start()
    x, labels = torch.tensor(X), torch.tensor(T.argmax(axis=1))
    parameters = [torch.tensor(each, requires_grad=True) for each in arrays]
    W1, b1, W2, b2 = parameters
    optimiser = torch.optim.SGD(parameters, lr=RATE)

    def step() -> float:
        optimiser.zero_grad()
        h = torch.sigmoid(torch.addmm(b1, x, W1.T))
        cost = torch.nn.functional.cross_entropy(torch.addmm(b2, h, W2.T), labels)
        cost.backward()
        optimiser.step()
        return cost.item()

    return Work(step, judged(step, lambda: [each.detach().numpy() for each in parameters]))


def jax_cost() -> Any:
    """The cost as a function of the list of arrays."""
    import jax

    X, T, _ = start()

    def cost(parameters: Any) -> Any:
        W1, b1, W2, b2 = parameters
        z = jax.nn.sigmoid(X @ W1.T + b1) @ W2.T + b2
        return -(jax.nn.log_softmax(z) * T).sum() / BATCH

    return cost


@contestant("JAX jit")
def jax_jit() -> Work:
    """The whole step compiled once."""
    import jax

    cost = jax_cost()
    state = [jax.numpy.asarray(each) for each in start()[2]]

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
    """One sample as an expression of scalars, mapped over the batch by its machine; the update in NumPy."""
    import casadi

    X, T, arrays = start()
    p = np.array(flat(arrays))
    x, t, symbols = casadi.SX.sym("x", NIN), casadi.SX.sym("t", CLASSES), casadi.SX.sym("p", p.size)
    a, b, c = HIDDEN * NIN, HIDDEN * NIN + HIDDEN, HIDDEN * NIN + HIDDEN + CLASSES * HIDDEN
    W1, W2 = casadi.reshape(symbols[:a], NIN, HIDDEN).T, casadi.reshape(symbols[b:c], HIDDEN, CLASSES).T
    h = 1.0 / (1.0 + casadi.exp(-(casadi.mtimes(W1, x) + symbols[a:b])))
    z = casadi.mtimes(W2, h) + symbols[c:]
    cost = casadi.log(casadi.sum1(casadi.exp(z))) - casadi.dot(z, t)
    function = casadi.Function("f", [x, t, symbols], [cost, casadi.gradient(cost, symbols)])
    value, gradient = np.zeros(1), np.zeros(p.size)
    buffer, go = function.buffer()
    buffer.set_arg(2, memoryview(p))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))
    samples = [(memoryview(np.ascontiguousarray(a)), memoryview(np.ascontiguousarray(b)))
               for a, b in zip(X, T, strict=True)]  # fmt: skip

    def step(_keep: Any = buffer) -> float:
        total, summed = 0.0, np.zeros(p.size)
        for one, target in samples:
            buffer.set_arg(0, one)
            buffer.set_arg(1, target)
            go()
            total += float(value[0])
            summed.__iadd__(gradient)
        p.__isub__((RATE / BATCH) * summed)
        return total / BATCH

    return Work(step, judged(step, lambda: [p]))


@contestant("PyTensor")
def pytensor_step() -> Work:
    """The whole step compiled once."""
    import pytensor
    from pytensor import tensor

    X, T, arrays = start()
    shared = [pytensor.shared(each) for each in arrays]
    W1, b1, W2, b2 = shared
    z = tensor.dot(tensor.sigmoid(tensor.dot(X, W1.T) + b1), W2.T) + b2
    cost = -(tensor.special.log_softmax(z, axis=1) * T).sum() / BATCH
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
        #include <math.h>
        #include <string.h>
        enum {{ N = {BATCH}, I = {NIN}, H = {HIDDEN}, C = {CLASSES}, P = H*I + H + C*H + C }};
        static double g[P];
        double go(const double *X, const double *T, double *p) {{
            double *W1 = p, *b1 = W1 + H*I, *W2 = b1 + H, *b2 = W2 + C*H;
            double *dW1 = g, *db1 = dW1 + H*I, *dW2 = db1 + H, *db2 = dW2 + C*H, cost = 0;
            memset(g, 0, sizeof g);
            for (int n = 0; n < N; n++) {{
                const double *x = X + I*n, *t = T + C*n;
                double h[H], d1[H], z[C], top = -1e300, sum = 0;
                for (int i = 0; i < H; i++) {{
                    double s = b1[i];
                    for (int j = 0; j < I; j++) s += W1[I*i + j]*x[j];
                    h[i] = 1/(1 + exp(-s)); d1[i] = 0;
                }}
                for (int k = 0; k < C; k++) {{
                    z[k] = b2[k];
                    for (int i = 0; i < H; i++) z[k] += W2[H*k + i]*h[i];
                    if (z[k] > top) top = z[k];
                }}
                for (int k = 0; k < C; k++) {{
                    z[k] -= top;
                    cost -= t[k]*z[k];
                    z[k] = exp(z[k]);
                    sum += z[k];
                }}
                cost += log(sum);
                for (int k = 0; k < C; k++) {{
                    double d = (z[k]/sum - t[k])/N;
                    db2[k] += d;
                    for (int i = 0; i < H; i++) {{ dW2[H*k + i] += d*h[i]; d1[i] += d*W2[H*k + i]; }}
                }}
                for (int i = 0; i < H; i++) {{
                    double d = d1[i]*h[i]*(1 - h[i]);
                    db1[i] += d;
                    for (int j = 0; j < I; j++) dW1[I*i + j] += d*x[j];
                }}
            }}
            for (int i = 0; i < P; i++) p[i] -= {RATE}*g[i];
            return cost/N;
        }}
        """
    )
    library.go.restype = ctypes.c_double
    X, T, arrays = start()
    p = np.array(flat(arrays))
    arguments = pointer(X), pointer(T), pointer(p)

    def step(_keep: Any = (X, T)) -> float:
        return float(library.go(*arguments))

    return Work(step, judged(step, lambda: [p]))
