"""Draw the pictures in docs/pictures: python docs/pictures.py."""

from __future__ import annotations

import runpy
from pathlib import Path

from PIL import Image

import microbp
from microbp import MLP, Graph, Value, group
from viz import Drawing, animate, draw, draw_step
from viz.moments.gif import with_one_palette

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
        "mlp-2-16-16-1": draw(
            net_and_batch(MLP(2, [16, 16, 1], activation="tanh", seed=1), 1), title="A 2-16-16-1 net"
        ),
        "batch-12": draw(
            net_and_batch(MLP(3, [4, 4, 1], seed=4), 12), title="12 samples through a 3-4-4-1 net"
        ),
        "t4-step": draw_step(tutorial_4(), 16, title="The 2-2-2 net"),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, drawing in drawings().items():
        path = drawing.save(FOLDER / f"{name}.png")
        with Image.open(path) as image:  # few colours: a third of the bytes
            [few] = with_one_palette([image.convert("RGB")])
        few.save(path, optimize=True)
        print(f"{path.name}: {drawing}, {path.stat().st_size / 1000:.0f} kB")
    animation = animate(tutorial_4(), title="The 2-2-2 net", dpi=84)
    path = animation.save(FOLDER / "t4-pass.gif")
    print(f"{path.name}: {animation}, {path.stat().st_size / 1000:.0f} kB")
