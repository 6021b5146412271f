"""A whole training on scikit-learn's digits: 64-50-10, relu and softmax, 30 epochs in batches of 100.

From an untrained net to a trained one, recording and compiling included. All take the samples in the same
order and begin with the same weights, so that all end with the same parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from contest import Work, contestant

from workloads.demo_net import flat

TITLE = "digits, 64-50-10 relu softmax: 30 epochs in batches of 100, from nothing to a trained net"
NIN, HIDDEN, CLASSES, BATCH, EPOCHS, RATE = 64, 50, 10, 100, 30, 0.1


def start() -> tuple[Any, Any, list[Any]]:
    """X (1797, 64) from 0 to 1, labels (1797,), and W1 (50, 64), b1, W2 (10, 50), b2."""
    from sklearn.datasets import load_digits

    X, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(5)
    parameters = [
        rng.normal(scale=0.2, size=(HIDDEN, NIN)), np.zeros(HIDDEN),
        rng.normal(scale=0.2, size=(CLASSES, HIDDEN)), np.zeros(CLASSES),
    ]  # fmt: skip
    return X / 16.0, labels, parameters


@contestant("NumPy by hand")
def by_hand() -> Work:
    """Arrays, the backward pass derived on paper."""
    X, labels, first = start()
    T = np.eye(CLASSES)[labels]

    def train() -> list[Any]:
        W1, b1, W2, b2 = parameters = [each.copy() for each in first]
        for _ in range(EPOCHS):
            for at in range(0, len(X), BATCH):
                x, t = X[at : at + BATCH], T[at : at + BATCH]
                h = np.maximum(x @ W1.T + b1, 0.0)
                z = h @ W2.T + b2
                e = np.exp(z - z.max(axis=1, keepdims=True))
                d2 = (e / e.sum(axis=1, keepdims=True) - t) / len(x)
                d1 = (d2 @ W2) * (h > 0.0)
                gradients = d1.T @ x, d1.sum(0), d2.T @ h, d2.sum(0)
                for each, gradient in zip(parameters, gradients, strict=True):
                    each -= RATE * gradient
        return parameters

    return Work(train, lambda: flat(train()))


@contestant("C by hand")
def c_by_hand() -> Work:
    """One ctypes call for the whole training; the weights lie so that the inner loops run over units."""
    import ctypes

    from workloads.native import compiled, pointer

    X, labels, first = start()
    T = np.eye(CLASSES)[labels]
    library = compiled(
        f"""
        #include <math.h>
        #include <string.h>
        enum {{ I = {NIN}, H = {HIDDEN}, C = {CLASSES} }};
        static double V1[I][H], V2[H][C], g1[I][H], g2[H][C], c1[H], c2[C];
        void train(const double *X, const double *T, int samples,
                   double *W1, double *b1, double *W2, double *b2) {{
            for (int i = 0; i < I; i++) for (int j = 0; j < H; j++) V1[i][j] = W1[I*j + i];
            for (int j = 0; j < H; j++) for (int k = 0; k < C; k++) V2[j][k] = W2[H*k + j];
            for (int epoch = 0; epoch < {EPOCHS}; epoch++) for (int at = 0; at < samples; at += {BATCH}) {{
                int n = samples - at < {BATCH} ? samples - at : {BATCH};
                memset(g1, 0, sizeof g1); memset(g2, 0, sizeof g2);
                memset(c1, 0, sizeof c1); memset(c2, 0, sizeof c2);
                for (int s = at; s < at + n; s++) {{
                    const double *x = X + I*s, *t = T + C*s;
                    double h[H], d1[H], z[C], d2[C], top, sum = 0;
                    for (int j = 0; j < H; j++) h[j] = b1[j];
                    for (int i = 0; i < I; i++) for (int j = 0; j < H; j++) h[j] += x[i]*V1[i][j];
                    for (int j = 0; j < H; j++) h[j] = h[j] > 0 ? h[j] : 0;
                    for (int k = 0; k < C; k++) z[k] = b2[k];
                    for (int j = 0; j < H; j++) for (int k = 0; k < C; k++) z[k] += h[j]*V2[j][k];
                    top = z[0];
                    for (int k = 1; k < C; k++) top = z[k] > top ? z[k] : top;
                    for (int k = 0; k < C; k++) {{ z[k] = exp(z[k] - top); sum += z[k]; }}
                    for (int k = 0; k < C; k++) d2[k] = (z[k]/sum - t[k])/n;
                    for (int j = 0; j < H; j++) {{
                        double d = 0;
                        for (int k = 0; k < C; k++) d += d2[k]*V2[j][k];
                        d1[j] = h[j] > 0 ? d : 0;
                    }}
                    for (int i = 0; i < I; i++) for (int j = 0; j < H; j++) g1[i][j] += x[i]*d1[j];
                    for (int j = 0; j < H; j++) for (int k = 0; k < C; k++) g2[j][k] += h[j]*d2[k];
                    for (int j = 0; j < H; j++) c1[j] += d1[j];
                    for (int k = 0; k < C; k++) c2[k] += d2[k];
                }}
                for (int i = 0; i < I; i++) for (int j = 0; j < H; j++) V1[i][j] -= {RATE}*g1[i][j];
                for (int j = 0; j < H; j++) for (int k = 0; k < C; k++) V2[j][k] -= {RATE}*g2[j][k];
                for (int j = 0; j < H; j++) b1[j] -= {RATE}*c1[j];
                for (int k = 0; k < C; k++) b2[k] -= {RATE}*c2[k];
            }}
            for (int i = 0; i < I; i++) for (int j = 0; j < H; j++) W1[I*j + i] = V1[i][j];
            for (int j = 0; j < H; j++) for (int k = 0; k < C; k++) W2[H*k + j] = V2[j][k];
        }}"""
    )
    array = ctypes.POINTER(ctypes.c_double)
    library.train.argtypes, library.train.restype = [array, array, ctypes.c_int, *[array] * 4], None

    def train() -> list[Any]:
        parameters = [each.copy() for each in first]
        library.train(pointer(X), pointer(T), len(X), *map(pointer, parameters))
        return parameters

    return Work(train, lambda: flat(train()))


def _microbp(engine: str) -> Work:
    from microbp import MLP, fit
    from microbp.optim import SGD

    X, labels, first = start()
    T = np.eye(CLASSES)[labels]

    def train() -> list[Any]:
        net = MLP(NIN, [HIDDEN, CLASSES], activation="relu", seed=0)
        for layer, W, b in zip(net.layers, first[::2], first[1::2], strict=True):
            for neuron, row, bias in zip(layer.neurons, W.tolist(), b.tolist(), strict=True):
                for value, number in zip([*neuron.w, neuron.b], [*row, bias], strict=True):
                    value.data = number
        optimiser = SGD(net.parameters(), lr=RATE)
        fit(
            net, X, T, loss="softmax_cross_entropy", optimiser=optimiser, batch_size=BATCH, epochs=EPOCHS,
            shuffle=False, progress=False, engine=engine,
        )  # fmt: skip
        arrays = []
        for layer in net.layers:
            arrays.append(np.array([[each.data for each in neuron.w] for neuron in layer.neurons]))
            arrays.append(np.array([neuron.b.data for neuron in layer.neurons]))
        return arrays

    return Work(train, lambda: flat(train()))


@contestant("microbp, replay")
def replay() -> Work:
    """``fit``, on a net of scalars that is made anew."""
    return _microbp("auto")


@contestant("scikit-learn")
def scikit_learn() -> Work:
    """``MLPClassifier``, made to begin with the same weights."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    X, labels, first = start()

    class Begun(MLPClassifier):
        def _init_coef(self, fan_in: int, fan_out: int, dtype: Any) -> Any:
            W, b = first[:2] if fan_in == NIN else first[2:]
            assert (fan_out, fan_in) == W.shape
            return W.T.astype(dtype), b.astype(dtype)

    def train() -> list[Any]:
        net = Begun(
            [HIDDEN], solver="sgd", momentum=0.0, alpha=0.0, learning_rate_init=RATE, batch_size=BATCH,
            shuffle=False, max_iter=EPOCHS, tol=0.0, n_iter_no_change=EPOCHS,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(X, labels)
        (W1, W2), (b1, b2) = net.coefs_, net.intercepts_
        return [W1.T, b1, W2.T, b2]

    return Work(train, lambda: flat(train()))


@contestant("PyTorch")
def pytorch() -> Work:
    """Arrays, with its own layers and SGD."""
    import torch

    torch.set_num_threads(1)
    X, labels, first = start()
    x, t = torch.tensor(X), torch.tensor(labels)

    def train() -> list[Any]:
        parameters = [torch.tensor(each, requires_grad=True) for each in first]
        W1, b1, W2, b2 = parameters
        optimiser = torch.optim.SGD(parameters, lr=RATE)
        for _ in range(EPOCHS):
            for at in range(0, len(X), BATCH):
                optimiser.zero_grad()
                h = torch.relu(torch.addmm(b1, x[at : at + BATCH], W1.T))
                z = torch.addmm(b2, h, W2.T)
                torch.nn.functional.cross_entropy(z, t[at : at + BATCH]).backward()
                optimiser.step()
        return [each.detach().numpy() for each in parameters]

    return Work(train, lambda: flat(train()))


@contestant("JAX jit")
def jax_jit() -> Work:
    """The step compiled; it is compiled for each of the two sizes of batches, and anew for each training."""
    import jax

    X, labels, first = start()
    T = np.eye(CLASSES)[labels]

    def cost(parameters: Any, x: Any, t: Any) -> Any:
        W1, b1, W2, b2 = parameters
        z = jax.nn.relu(x @ W1.T + b1) @ W2.T + b2
        return -(jax.nn.log_softmax(z) * t).sum() / len(x)

    def step(parameters: Any, x: Any, t: Any) -> Any:
        gradients = jax.grad(cost)(parameters, x, t)
        return [p - RATE * g for p, g in zip(parameters, gradients, strict=True)]

    def train() -> list[Any]:
        jax.clear_caches()
        parameters, compiled = [jax.numpy.asarray(each) for each in first], jax.jit(step)
        for _ in range(EPOCHS):
            for at in range(0, len(X), BATCH):
                parameters = compiled(parameters, X[at : at + BATCH], T[at : at + BATCH])
        return [np.asarray(each) for each in parameters]

    return Work(train, lambda: flat(train()))
