"""Ten nets of different kinds: right claims are right, a wrong one has its own cause, a random one has none.

The mistakes are made in NumPy, in backward passes as people write them, apart from what finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle, islice, product
from typing import Any, NamedTuple

import numpy as np
import pytest
from tutorial import quantities

import microbp
from microbp import Value, check_answers
from microbp.demo import t4

Arrays = dict[str, Any]
RNG = np.random.default_rng(12)


class Net(NamedTuple):
    """A loss, its parameters, what else has a name, and wrong gradients with what must be said of them."""

    loss: Value
    parameters: Arrays
    names: Arrays
    #: Of which parameter, the claim, and a part of the cause.
    wrong: list[tuple[str, Any, str]]

    def true(self, name: str) -> Any:
        return np.asarray(microbp.grad(self.loss, self.parameters[name]), dtype=float)

    def rows(self, *claims: tuple[str, Any]) -> Any:
        names = {**self.parameters, **self.names}
        return check_answers(self.loss, claims, names=names, show=False).rows


def parameters(**shapes: Any) -> tuple[Arrays, Arrays]:
    """Random parameters as arrays of Values, and their numbers."""
    made = {name: microbp.array(RNG.normal(size=shape), name=name) for name, shape in shapes.items()}
    return made, {name: microbp.data_of(each) for name, each in made.items()}


def sigmoid(z: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-z))


def softplus(z: Any) -> Any:
    return np.log1p(np.exp(z))


def usual(net: Net, name: str) -> list[tuple[str, Any, str]]:
    """Mistakes that any array can have: of its sign, its size, its order."""
    g = net.true(name)
    return [
        (name, -g, "the sign is wrong"),
        (name, 2.0 * g, "it is 2 × the true gradient"),
        (name, 3.7 * g, "every element is 3.7 × the true gradient"),
        (name, g[::-1], "reverse order" if len(g) > 3 else "are swapped"),
        (name, np.broadcast_to(g.sum(0), g.shape), "as if broadcast"),
        (name, 0.1 * g, "it is η × the gradient with η = 0.1"),
    ]


def dense(activation: Callable[[Any], Any], f: Any, slope: Any, written: str) -> Net:
    """Two layers with biases and squared error; the activation as NumPy has it."""
    p, w = parameters(W=(3, 4), b=3, V=(2, 3), c=2)
    x, t = RNG.normal(size=4), RNG.normal(size=2)
    h = activation(p["W"] @ x + p["b"])
    o = p["V"] @ h + p["c"]
    loss = 0.5 * np.sum((o - t) ** 2)
    z = w["W"] @ x + w["b"]
    a = f(z)
    delta = w["V"] @ a + w["c"] - t
    error = w["V"].T @ delta
    net = Net(loss, p, {"h": h, "o": o}, [])
    new = w["V"] - 0.1 * np.outer(delta, a)
    net.wrong.extend([
        ("W", np.outer(error, x), f"the factors {written}"),
        ("W", np.outer(error * slope(z) ** 2, x), "are used twice"),
        ("b", error * a, "the function's value, not its derivative"),
        ("W", np.outer(np.full(3, delta.sum()) * slope(z), x), "are missing"),
        ("W", np.outer(a * delta.sum() * slope(z), x), "the other factor of the product"),
        ("W", np.outer(new.T @ delta * slope(z), x), "V had been updated with η = 0.1"),
        ("b", w["V"][0] * delta[0] * slope(z), "o[1] is missing"),
    ])  # fmt: skip
    return net._replace(wrong=[*net.wrong, *usual(net, "W")[2:5]])


def hand_worked() -> Net:
    """The 2-2-2 net with numbers, one Value each."""
    p = {name: Value(x, name=name) for name, x in t4.START.items() if name[0] == "w"}
    v = quantities({**t4.START, **p})
    loss, h1, h2, o1, o2 = (v[name] for name in ("E", "h1", "h2", "o1", "o2"))
    e1, e2 = o1.data - 0.01, o2.data - 0.99
    s1, s2, s = o1.data * (1 - o1.data), o2.data * (1 - o2.data), h1.data * (1 - h1.data)
    d1, d2 = e1 * s1, e2 * s2
    wrong = [
        ("w5", e1 * h1.data, "the factor σ′"),
        ("w5", d1, "= h1 = 0.59327 is missing"),
        ("w5", -d1 * h1.data, "the sign is wrong"),
        ("w1", d1 * 0.4 * s * 0.05, "the path from h1 through"),
        ("w1", (e1 * 0.4 + e2 * 0.5) * s * 0.05, "the factors σ′"),
        ("w1", (d1 + d2) * s * 0.05, "w5 = 0.4"),
        ("w1", (d1 * h1.data + d2 * h1.data) * s * 0.05, "the other factor of the product"),
        ("w1", (d1 * 0.4 + d2 * 0.5) * h1.data * 0.05, "the function's value"),
        ("w5", d1 * h2.data, "it is the gradient of w6"),
        ("w5", e1 * (1 - o1.data) * h1.data, "only the factor 1.0 - y of its formula"),
    ]
    return Net(loss, p, {"h1": h1, "h2": h2, "o1": o1, "o2": o2}, wrong)


def classifier() -> Net:
    """Softmax by NumPy and cross-entropy."""
    p, w = parameters(W=(3, 4))
    x, t = RNG.normal(size=4), np.array([0.0, 1.0, 0.0])
    e = np.exp(p["W"] @ x)
    s = e / np.sum(e)
    loss = np.sum((s - t) ** 2)
    y = np.exp(w["W"] @ x) / np.exp(w["W"] @ x).sum()
    up = 2.0 * (y - t)
    net = Net(loss, p, {"s": s}, [])
    net.wrong.extend([
        ("W", np.outer(up * y * (1 - y), x), "the paths through the other outputs are missing: of s only"),
        ("W", np.outer((y - t) * y * (1 - y), x), "and it is times 0.5"),
        ("W", np.outer(-up * y * (1 - y), x), "and its sign is the opposite"),
        ("W", net.true("W")[[1, 0, 2]], "row 0 and row 1 of W are swapped"),
        ("W", net.true("W")[:, [0, 2, 1, 3]], "column 1 and column 2 of W are swapped"),
        *usual(net, "W")[:4], ("W", net.true("W").ravel(), "the shape is not"),
    ])  # fmt: skip
    return net


def normalized() -> Net:
    """Batch normalisation over six samples."""
    p, w = parameters(W=(3, 2), gamma=2)
    x, c = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))
    z = x @ p["W"]
    mu = np.sum(z, axis=0) / 6
    centred = z - mu
    var = np.sum(centred * centred, axis=0) / 6
    std = np.sqrt(var + 1e-5)
    loss = np.sum(np.tanh(p["gamma"] * (centred / std)) * c)
    zn = x @ w["W"]
    sn = np.sqrt(((zn - zn.mean(0)) ** 2).mean(0) + 1e-5)
    hat = (zn - zn.mean(0)) / sn
    up = c * (1 - np.tanh(w["gamma"] * hat) ** 2)
    d = up * w["gamma"] / sn
    names = {"z": z, "mu": mu, "centred": centred, "var": var, "std": std}
    net = Net(loss, p, names, [])
    net.wrong.extend([
        ("W", x.T @ d, "mu, var is taken as a constant"),
        ("W", x.T @ (d - d.mean(0)), "var is taken as a constant"),
        ("gamma", up.sum(0), "are missing"),
        ("gamma", (c * hat).sum(0), "the factors tanh′"),
        *usual(net, "W")[:5], ("gamma", 6 * net.true("gamma"), "it is 6 × the true gradient"),
    ])  # fmt: skip
    return net


def convolution() -> Net:
    """One kernel over overlapping windows of a hidden layer."""
    p, w = parameters(u=6, K=3)
    c = RNG.normal(size=4)
    h = np.tanh(p["u"] * 0.9)
    o = np.array([np.sum(h[i : i + 3] * p["K"]) for i in range(4)]).view(microbp.Array)
    loss = np.sum(np.tanh(o) * c)
    a = np.tanh(w["u"] * 0.9)
    d = c * (1 - np.tanh([a[i : i + 3] @ w["K"] for i in range(4)]) ** 2)
    last, flipped, full = np.zeros(6), np.zeros(6), np.zeros(6)
    for i in range(4):
        last[i : i + 3] = d[i] * w["K"]
        full[i : i + 3] += d[i] * w["K"]
        flipped[i : i + 3] += d[i] * a[i : i + 3]
    net = Net(loss, p, {"h": h, "o": o}, [])
    net.wrong.extend([
        ("u", last * (1 - a**2) * 0.9, "only the last use of h counts: each overwrites the one before"),
        ("u", flipped * (1 - a**2) * 0.9, "the other factor of the product"),
        ("u", full * 0.9, "the factors tanh′"),
        ("u", full * (1 - a**2), "are missing"),
        ("K", d[3] * a[3:6], "only term 4 of 4 of sum(…), tanh(o[3])"),
        ("K", sum(d[i] * a[i : i + 3] for i in range(1, 4)), "term 1 of 4 of sum(…), tanh(o[0])"),
        ("u", full * a * 0.9, "the function's value"),
        ("K", net.true("K")[[0, 2, 1]], "element 1 and element 2 of K are swapped"),
        *usual(net, "u")[2:4],
    ])  # fmt: skip
    return net


def recurrent() -> Net:
    """tanh over five steps, with a loss at each."""
    p, w = parameters(U=(3, 3), W=(3, 2), V=(1, 3))
    x, t = RNG.normal(size=(5, 2)), RNG.normal(size=5)
    h: Any = np.zeros(3)
    loss: Any = 0.0
    a = [np.zeros(3)]
    for now, target in zip(x, t, strict=True):
        h = np.tanh(p["U"] @ h + p["W"] @ now)
        loss = loss + np.sum((p["V"] @ h - target) ** 2)
        a.append(np.tanh(w["U"] @ a[-1] + w["W"] @ now))

    def back(through: float = 1.0, slope: Callable[[Any], Any] = lambda y: 1 - y * y) -> Any:
        du, dw, dv, dh = np.zeros((3, 3)), np.zeros((3, 2)), np.zeros((1, 3)), np.zeros(3)
        for k in range(5, 0, -1):
            error = 2.0 * (w["V"] @ a[k] - t[k - 1])
            d = (w["V"].T @ error + dh) * slope(a[k])
            du, dw, dv = du + np.outer(d, a[k - 1]), dw + np.outer(d, x[k - 1]), dv + np.outer(error, a[k])
            dh = through * w["U"].T @ d
        return du, dw, dv

    net = Net(loss, p, {}, [])
    cut, bare, again = back(0.0), back(slope=np.ones_like), back(slope=np.tanh)
    value = back(slope=lambda y: y)
    wrong = [
        ("U", cut[0], "what comes back from the next step through"),
        ("W", cut[1], "what comes back from the next step through"),
        ("U", bare[0], "the factors tanh′ (15 of them"),
        ("W", bare[1], "the factors tanh′ (15 of them"),
        ("U", value[0], "the function's value, not its derivative"),
        ("W", value[1], "the function's value, not its derivative"),
        ("U", again[0], "the function of the output, not its derivative"),
        ("W", back(slope=lambda y: 1 - np.tanh(y) ** 2)[1], "the derivative at the output"),
        ("W", -cut[1], "and its sign is the opposite"),
        *usual(net, "U")[:2],
    ]
    return net._replace(wrong=wrong)


def each(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of single Values, of each in an array."""
    return lambda z: np.array([f(value) for value in z]).view(microbp.Array)


def sigmoid_slope(z: Any) -> Any:
    return sigmoid(z) * (1 - sigmoid(z))


NETS: Mapping[str, Callable[[], Net]] = {
    "hand worked": hand_worked,
    "sigmoid": lambda: dense(each(microbp.sigmoid), sigmoid, sigmoid_slope, "σ′"),
    "sigmoid in NumPy": lambda: dense(sigmoid, sigmoid, sigmoid_slope, "σ′"),
    "tanh": lambda: dense(np.tanh, np.tanh, lambda z: 1 - np.tanh(z) ** 2, "tanh′"),
    "softplus": lambda: dense(softplus, softplus, sigmoid, "softplus′"),
    "sine": lambda: dense(np.sin, np.sin, np.cos, "sin′"),
    "classifier": classifier,
    "batch normalisation": normalized,
    "convolution": convolution,
    "recurrent": recurrent,
}


@pytest.fixture(scope="module", params=NETS)
def net(request: pytest.FixtureRequest) -> Net:
    return NETS[request.param]()


def rounded(digits: int, number: float) -> str:
    return f"{number:.{digits - 1}e}"


def test_ten_right_claims_are_right(net: Net) -> None:
    claims = []
    for name, digits in product(list(net.parameters)[:2], (3, 4, 5, 7, 17)):
        claims.append((name, np.vectorize(partial(rounded, digits), otypes=[object])(net.true(name))))
    assert [row.verdict for row in net.rows(*claims)] == ["right"] * len(claims)
    assert len(claims) >= 5


def test_nine_of_ten_wrong_claims_are_named_by_their_own_mistake(net: Net) -> None:
    missed = []
    for name, claim, told in net.wrong:
        (row,) = net.rows((name, claim))
        assert row.verdict == "WRONG"
        if not any(told in cause.text for cause in row.causes):
            missed.append((name, told, row.explanation))
        for cause in row.causes:
            np.testing.assert_allclose(cause.gives, np.broadcast_to(claim, np.shape(cause.gives)), rtol=1e-8)
    assert len(net.wrong) >= 10
    assert len(missed) <= len(net.wrong) // 10, missed


def test_ten_random_claims_are_not_explained(net: Net) -> None:
    claims = []
    for name in islice(cycle(net.parameters), 10):
        true = net.true(name)
        claims.append((name, true * np.exp(RNG.normal(size=true.shape))))
    for row in net.rows(*claims):
        assert (row.verdict, row.causes) == ("WRONG", ()), row.explanation
