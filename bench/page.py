"""How long a step of the page takes to paint, and how long default pictures take, on this machine.

``python bench/page.py`` opens a page of some thousand values in Chromium and takes thirty steps, then draws
nets of several sizes. It prints the quartiles of the steps, and a line for each picture.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

import microbp
import viz
from microbp import MLP, Value

STEPS = """async () => {
  const took = [];
  for (let step = 1; step <= 30; step += 1) {
    const start = performance.now();
    go(step * 7);
    document.body.getBoundingClientRect();
    took.push(performance.now() - start);
  }
  return took;
}"""


def cost_of(model: MLP, samples: int) -> Value:
    """The squared error of so many samples with four inputs each."""
    return sum(((model([0.1 * k, -0.2, 0.3, 0.05 * k]) - 1.0) ** 2 for k in range(samples)), Value(0.0))


def main() -> None:
    """Measure and print."""
    model = MLP(4, [6, 6, 1], seed=1)
    made = viz.page(microbp.Graph(cost_of(model, 28), names={"model": model}))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = made.save(Path(folder) / "page.html")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(file.as_uri())
        quartiles = statistics.quantiles(tab.evaluate(STEPS))
        browser.close()
    print(f"a step at {made.values} values: {' / '.join(f'{each:.0f}' for each in quartiles)} ms (quartiles)")
    for widths, samples in (((4, 4, 1), 4), ((16, 16, 1), 1), ((6, 6, 1), 28), ((16, 16, 1), 230)):
        graph = microbp.Graph(cost_of(MLP(4, list(widths), seed=1), samples))
        start = time.perf_counter()
        boxes = len(viz.draw(graph).picture.boxes)
        took = 1e3 * (time.perf_counter() - start)
        net = "-".join(map(str, (4, *widths)))
        print(f"{net}, {samples} samples, {len(graph)} values: {boxes} boxes, {took:.0f} ms")


if __name__ == "__main__":
    main()
