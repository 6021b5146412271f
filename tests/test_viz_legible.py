"""Every default picture can be read: on graphs of twenty kinds, at the size of a screen."""

from __future__ import annotations

import math
import re
import sys

import numpy as np
import pytest
from viz_support import tutorial_1, tutorial_4

import microbp
from microbp import MLP, Graph, Value, group
from viz import draw, engines
from viz.drawing import LEGIBLE, NOTEBOOK, TARGET


def lecture(samples):
    """The lecture's net, MLP(3, [4, 4, 1]), and its four samples, again and again."""
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    net = MLP(3, [4, 4, 1], seed=1)
    outs = [net([x + i // 4 * 0.01 for x in xs[i % 4]]) for i in range(samples)]
    loss = sum((out - (1.0, -1.0, -1.0, 1.0)[i % 4]) ** 2 for i, out in enumerate(outs))
    return Graph(loss, names={"net": net, "loss": loss})


def net_of(inputs, sizes, samples=1):
    net, rng = MLP(inputs, sizes, seed=1), np.random.default_rng(0)
    loss = sum((net([float(rng.random()) for _ in range(inputs)]) - 1.0) ** 2 for _ in range(samples))
    return Graph(loss, names={"net": net, "loss": loss})


def softmax():
    e = [Value(math.sin(i), f"z{i}").exp() for i in range(10)]
    return Graph(-((e[3] / sum(e)).log()))


def classifier():
    net, losses = MLP(2, [5, 3], seed=2), []
    for i in range(3):
        e = [z.exp() for z in net([math.sin(i), math.cos(i)])]
        losses.append(-((e[i] / sum(e)).log()))
    return Graph(sum(losses) / 3.0, names={"net": net})


def weights(rng, *shape, name):
    return microbp.array(rng.normal(0.0, 0.5, shape), name=name)


def recurrent(steps, in_group):
    rng = np.random.default_rng(0)
    Wx, Wh, b = weights(rng, 3, 2, name="Wx"), weights(rng, 3, 3, name="Wh"), weights(rng, 3, name="b")
    h = np.zeros(3)
    for t in range(steps):
        with group("step" if in_group else "rnn"):
            h = np.tanh(Wx @ np.array([math.sin(t), math.cos(t)]) + Wh @ h + b)
    return Graph(((h - 1.0) ** 2).sum())


def lstm(steps):
    rng = np.random.default_rng(0)
    W = {gate: weights(rng, 2, 4, name=f"W{gate}") for gate in "ifog"}
    h = c = np.zeros(2)
    for t in range(steps):
        with group("cell"):
            x = np.array([math.sin(t), math.cos(t), *h], dtype=object)
            i, f, o = (microbp.sigmoid(W[gate] @ x) for gate in "ifo")
            c = f * c + i * np.tanh(W["g"] @ x)
            h = o * np.tanh(c)
    return Graph((h**2).sum())


def convolution():
    image = microbp.array(np.sin(np.arange(36.0).reshape(6, 6)), name="image")
    W = microbp.array(np.cos(np.arange(9.0).reshape(3, 3)), name="W")
    out = [(image[i : i + 3, j : j + 3] * W).sum().relu() for i in range(4) for j in range(4)]
    return Graph(sum(each * each for each in out))


def attention():
    rng = np.random.default_rng(0)
    X, WQ, WK, WV = (weights(rng, 4, 4, name=name) for name in ("X", "WQ", "WK", "WV"))
    Q, K, V = X @ WQ, X @ WK, X @ WV
    E = np.exp(Q @ K.T / 2.0)
    return Graph(((E / E.sum(axis=1, keepdims=True) @ V) ** 2).sum(), names=locals())


def decay(steps):
    k, x = Value(0.5, "k"), Value(1.0, "x0")
    for _ in range(steps):
        x = x - k * x * 0.1
    return Graph((x - 0.2) ** 2)


def lorenz(steps):
    s, r, b = Value(10.0, "sigma"), Value(28.0, "rho"), Value(2.6, "beta")
    x, y, z = (Value(1.0, f"{name}0") for name in "xyz")
    for _ in range(steps):
        x, y, z = x + s * (y - x) * 0.001, y + (x * (r - z) - y) * 0.001, z + (x * y - b * z) * 0.001
    return Graph(x * x + y * y + z * z)


def tree(depth):
    row = [Value(math.sin(i), f"a{i}") for i in range(2**depth)]
    while len(row) > 1:
        row = [(a * b if len(row) % 4 else a + b).tanh() for a, b in zip(row[::2], row[1::2], strict=True)]
    return Graph(row[0])


def chain(steps):
    y = Value(1.0, "x")
    for _ in range(steps):
        y = (y * 0.99).tanh()
    return Graph(y)


def residual(layers):
    nets, x = [MLP(4, [4], seed=i) for i in range(layers)], [Value(0.1 * i, f"x{i}") for i in range(4)]
    for net in nets:
        x = [a + b for a, b in zip(x, net(x), strict=True)]
    return Graph(sum(v * v for v in x), names={"nets": nets})


def tangle():
    rng, values = np.random.default_rng(3), [Value(0.1 * i, f"x{i}") for i in range(9)]
    for _ in range(900):
        late, any_ = int(rng.integers(min(40, len(values)))), int(rng.integers(len(values)))
        one, other = values[-1 - late], values[any_]
        values.append((Value.sin, Value.tanh)[int(rng.integers(2))](one * other))
    return Graph(sum(values[-20:]))


GRAPHS = {
    "T1": lambda: Graph(tutorial_1()), "T4": lambda: Graph(tutorial_4()),
    "one sample": lambda: lecture(1), "four samples": lambda: lecture(4), "100 samples": lambda: lecture(100),
    "wide": lambda: net_of(2, [64, 1]), "deep": lambda: net_of(2, [3] * 20 + [1]),
    "20,000 values": lambda: net_of(4, [16, 16, 1], 250),
    "softmax": softmax, "classifier": classifier, "RNN": lambda: recurrent(6, in_group=True),
    "long RNN": lambda: recurrent(40, in_group=False), "LSTM": lambda: lstm(5), "convolution": convolution,
    "attention": attention, "ODE": lambda: decay(40), "Lorenz": lambda: lorenz(200), "tree": lambda: tree(7),
    "chain": lambda: chain(10_000), "residual": lambda: residual(12), "tangle": tangle,
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_the_default_picture_can_be_read(name):
    assert smallest_text(draw(GRAPHS[name]()).svg, TARGET) >= LEGIBLE


def smallest_text(svg, target):
    """By the picture itself: its size, and the smallest type of its letters and numbers."""
    width, height = map(float, re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups())
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"[^>]*>[^<]*\w', svg)]
    return min(sizes) * min(96 / 72, target[0] / width, target[1] / height)


def test_the_finest_level_that_can_be_read_is_taken():
    assert len(draw(tutorial_4()).picture.boxes) == len(Graph(tutorial_4()))
    four = draw(lecture(4))
    assert four.picture.note == "121 values folded into 12 boxes: by neuron, × 4 alike"
    finer = draw(lecture(4), fold="sigma")
    assert smallest_text(finer.svg, TARGET) < LEGIBLE
    small = draw(tutorial_4(), target=(500, 500))
    assert 5 <= len(small.picture.boxes) < 37
    assert smallest_text(small.svg, (500, 500)) >= LEGIBLE


def test_a_cell_of_a_notebook_has_its_own_width():
    drawing = draw(net_of(3, [4, 14, 1]))
    assert "by neuron" in drawing.picture.note
    assert smallest_text(drawing.svg, NOTEBOOK) < LEGIBLE
    cell = drawing._repr_mimebundle_()
    assert smallest_text(cell["image/svg+xml"], NOTEBOOK) >= LEGIBLE
    assert drawing.svg != cell["image/svg+xml"]


def test_nothing_is_laid_out_twice_and_nothing_that_cannot_fit(monkeypatch):
    laid_out = []
    engines._rendered.cache_clear()
    for each in (engines.by_dot, engines._by_pygraphviz):
        seen = lambda *given, each=each: laid_out.append(given[0]) or each(*given)  # noqa: E731
        monkeypatch.setattr(engines, each.__name__, seen)
    drawing = draw(lecture(100))
    assert "× 100" in drawing.svg
    assert drawing.svg == drawing._repr_mimebundle_()["image/svg+xml"]
    assert len(laid_out) == len(set(laid_out)) == 1


def test_without_an_engine_a_level_is_taken_all_the_same(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    drawing = draw(lecture(100))
    assert len(drawing.picture.boxes) == 12
    assert drawing.dot.startswith("digraph")


@pytest.mark.parametrize("target", [(1920,), (1920, 50), (1920, math.nan)])
def test_a_target_is_a_width_and_a_height(target):
    with pytest.raises(ValueError, match="target is a width and a height, each of 100 pixels or more, not"):
        draw(tutorial_4(), target=target)


@pytest.mark.parametrize("target", [1920, ("1920", 1000), None])
def test_a_target_is_of_numbers(target):
    with pytest.raises(TypeError, match="target takes tuple\\[float, float\\], not"):
        draw(tutorial_4(), target=target)
