"""Makes docs/pictures/step-page.png: the page of the 2-2-2 net, in the midst of its backward pass.

    python docs/step_page.py [FILE.html]

Needs playwright and Chromium. With a file name the page itself is kept there too.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

import microbp
from microbp import Value, group
from microbp.debug.trace import trace
from viz.page import page

PICTURE = Path(__file__).parent / "pictures" / "step-page.png"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def neuron(name: str, weights: Sequence[Value], inputs: Sequence[Value], bias: Value) -> Value:
    """σ(Σ w·x + b), every intermediate value with a name."""
    products = []
    with group(name):
        for w, x in zip(weights, inputs, strict=True):
            product = w * x
            product.name = f"{w.name}·{x.name}"
            products.append(product)
        total = products[0] + products[1]
        net = total + bias
        output = net.sigmoid()
    total.name, net.name, output.name = f"Σ{name}", f"net_{name}", name
    return output


def half_square(name: str, target: Value, output: Value) -> Value:
    """½(t − o)²."""
    difference = target - output
    square = difference**2
    half = 0.5 * square
    difference.name = f"{target.name}−{output.name}"
    square.name, half.name = f"({difference.name})²", name
    return half


def worked_example() -> Value:
    """The 2-2-2 net of tutorial T4 with the numbers of the example that it links to."""
    start = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)
    w1, w2, w3, w4, w5, w6, w7, w8 = (Value(x, f"w{i}") for i, x in enumerate(start, 1))
    b1, b2 = Value(0.35, "b1"), Value(0.60, "b2")
    i1, i2 = Value(0.05, "i1"), Value(0.10, "i2")
    t1, t2 = Value(0.01, "t1"), Value(0.99, "t2")
    h1 = neuron("h1", (w1, w2), (i1, i2), b1)
    h2 = neuron("h2", (w3, w4), (i1, i2), b1)
    o1 = neuron("o1", (w5, w6), (h1, h2), b2)
    o2 = neuron("o2", (w7, w8), (h1, h2), b2)
    loss = half_square("E1", t1, o1) + half_square("E2", t2, o2)
    loss.name = "E"
    return loss


def main() -> None:
    """Write the picture of the step in which h1 gets its second contribution."""
    before = microbp.record_sites(True)
    pass_ = trace(worked_example())
    microbp.record_sites(before)
    h1 = pass_.graph["h1"].position
    step = max(each.index for each in pass_.steps for gift in each.contributions if gift.operand == h1)
    made = page(pass_, title="2-2-2 sigmoid net, one backward pass")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = made.save(Path(sys.argv[1] if len(sys.argv) > 1 else Path(folder) / "step.html")).resolve()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
        tab = browser.new_page(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        tab.goto(f"{path.as_uri()}#{step}")
        PICTURE.parent.mkdir(exist_ok=True)
        tab.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.name}: step {step} of {len(pass_)}; {made}")


if __name__ == "__main__":
    main()
