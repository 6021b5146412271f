"""Draw the pictures in docs/pictures: python docs/pictures.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
from PIL import Image

import microbp
from microbp import MLP, Graph, Value, group
from viz import Drawing, animate, draw, draw_step
from viz.gif import colours, with_one_palette

FOLDER = Path(__file__).parent / "pictures"


def tutorial_1() -> Graph:
    """The 2-2-1 sigmoid net without biases of tutorial T1, at its first cost."""
    W0 = microbp.array([[0.1, 0.8], [0.4, 0.6]], name="W0")
    W1 = microbp.array([[0.3, 0.9]], name="W1")
    x, y = microbp.array([0.35, 0.9], name="x"), Value(0.5, name="y")
    with group("h0"):
        h0 = microbp.sigmoid(microbp.dot(W0[0], x))
    with group("h1"):
        h1 = microbp.sigmoid(microbp.dot(W0[1], x))
    with group("o"):
        o = microbp.sigmoid(microbp.dot(W1[0], [h0, h1]))
    E = 0.5 * (y - o) ** 2
    E.backward()
    return Graph(E, names=locals())


def tutorial_4() -> Graph:
    """The 2-2-2 net of tutorial T4, written with + and ×."""
    names = runpy.run_path(str(FOLDER.parents[1] / "examples" / "net.py"))
    return Graph(names["E"], names=names)


def net_and_batch(net: MLP, samples: int) -> Graph:
    """The squared error of a net, summed over so many samples of two classes."""
    loss, width = None, len(net.layers[0].neurons[0].w)
    for sample in range(samples):
        x = [Value(((5 * sample + 3 * each) % 7 - 3) / 3, name=f"x{each}") for each in range(width)]
        target = Value(1.0 if sample % 2 else -1.0, name="target").detach()
        error = (net(x) - target) ** 2
        loss = error if loss is None else loss + error
    assert loss is not None
    loss.backward()
    return Graph(loss, names={"net": net, "loss": loss})


def drawings() -> dict[str, Drawing]:
    """Each picture by the name of its file."""
    return {
        "t1": draw(tutorial_1(), title="The 2-2-1 net"),
        "t4": draw(tutorial_4(), title="The 2-2-2 net"),
        "t4-dark": draw(tutorial_4(), title="The 2-2-2 net", fold="sigma", dark=True, edges="contribution"),
        "mlp-2-8-8-1": draw(
            net_and_batch(MLP(2, [8, 8, 1], activation="tanh", seed=1), 1), title="A 2-8-8-1 net"
        ),
        "batch-12": draw(
            net_and_batch(MLP(3, [4, 4, 1], seed=4), 12), title="12 samples through a 3-4-4-1 net"
        ),
        "t4-step": draw_step(tutorial_4(), 17, title="The 2-2-2 net"),
        "t4-exercise": draw(tutorial_4(), title="Find four gradients", hide=["w1", "w5", "h1", "b2"]),
        "lecture": draw(lecture(), title="The lecture's net and its four samples"),
        "ode": draw(ode(), title="40 steps of Euler's method"),
        "rnn": draw(rnn(), title="A recurrent layer, 40 steps"),
        "attention": draw(attention(), title="Attention over four tokens"),
        "convolution": draw(convolution(), title="A 3 × 3 convolution"),
        "nan": draw(nan(), title="Where nan and inf come from"),
        "dead": dead(),
    }


def lecture() -> Graph:
    """``MLP(3, [4, 4, 1])`` and its four samples."""
    net = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    loss = microbp.sum([(net(x) - y) ** 2 for x, y in zip(xs, (1.0, -1.0, -1.0, 1.0), strict=True)])
    loss.backward()
    return Graph(loss, names={"net": net, "loss": loss})


def ode() -> Graph:
    """Euler's method for x' = −k·x."""
    k, x = Value(0.5, name="k"), Value(1.0, name="x0")
    for _ in range(40):
        x = x - k * x * 0.1
    loss = (x - 0.2) ** 2
    loss.backward()
    return Graph(loss, names={"loss": loss})


def rnn() -> Graph:
    """A recurrent layer without any group."""
    rng = np.random.default_rng(0)
    Wx, Wh, b = (
        microbp.array(rng.normal(0.0, 0.5, shape), name=name)
        for name, shape in (("Wx", (3, 2)), ("Wh", (3, 3)), ("b", (3,)))
    )
    h = np.zeros(3)
    for t in range(40):
        h = np.tanh(Wx @ np.array([np.sin(t), np.cos(t)]) + Wh @ h + b)
    loss = ((h - 1.0) ** 2).sum()
    loss.backward()
    return Graph(loss, names={"loss": loss})


def attention() -> Graph:
    """Softmax of the scores of queries and keys, times the values."""
    rng = np.random.default_rng(0)
    names = ("X", "WQ", "WK", "WV")
    X, WQ, WK, WV = (microbp.array(rng.normal(0.0, 1.0, (4, 4)), name=name) for name in names)
    Q, K, V = X @ WQ, X @ WK, X @ WV
    E = np.exp(Q @ K.T / 2.0)
    A = E / E.sum(axis=1, keepdims=True)
    loss = ((A @ V) ** 2).sum()
    loss.backward()
    return Graph(loss, names={"Q": Q, "K": K, "V": V, "A": A, "loss": loss})


def convolution() -> Graph:
    """A kernel at each of sixteen places of an image."""
    image = microbp.array(np.sin(np.arange(36.0).reshape(6, 6)), name="image")
    W = microbp.array(np.cos(np.arange(9.0).reshape(3, 3)), name="W")
    out = [(image[i : i + 3, j : j + 3] * W).sum().relu() for i in range(4) for j in range(4)]
    loss = microbp.sum([each * each for each in out])
    loss.backward()
    return Graph(loss, names={"loss": loss})


def nan() -> Graph:
    """0 × ∞ in the gradients, ∞ − ∞ in the data."""
    x, w = Value(0.0, name="x"), Value(2.0, name="w")
    y = x * w
    loss = y.sqrt() * Value(0.0, name="t") + Value(np.inf, name="s") * w - Value(np.inf, name="u")
    loss.backward()
    return Graph(loss, names={"y": y, "loss": loss})


def dead() -> Drawing:
    """A relu that is never on, as ``diagnose`` finds it."""
    net = MLP(2, [3, 1], seed=1)
    for neuron, bias in zip(net.layers[0].neurons, (9.0, -9.0, 9.0), strict=True):
        neuron.b.data = bias
    loss = microbp.sum([(net([0.1 * at, 1.0]) - 1.0) ** 2 for at in range(4)])
    loss.backward()
    graph = Graph(loss, names={"net": net, "loss": loss})
    return draw(graph, findings=microbp.diagnose(graph), title="A dead neuron")


def save(drawing: Drawing, path: Path) -> None:
    """Write a PNG file of few colours: a third of the bytes."""
    palette, [pixels] = with_one_palette([colours(drawing.png)])
    few = Image.fromarray(pixels)
    few.putpalette(palette)
    few.save(path, optimize=True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, drawing in drawings().items():
        path = FOLDER / f"{name}.png"
        save(drawing, path)
        print(f"{path.name}: {drawing}, {path.stat().st_size / 1000:.0f} kB")
    animation = animate(tutorial_4(), title="The 2-2-2 net")
    path = animation.save(FOLDER / "t4-pass.gif")
    print(f"{path.name}: {animation}, {path.stat().st_size / 1000:.0f} kB")
