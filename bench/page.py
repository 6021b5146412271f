"""How long a step of the page takes to paint, and how long default pictures take, on this machine.

``python bench/page.py`` opens a page of some thousand values in Chromium and takes a dozen steps, then draws
nets of several sizes. It prints a line for the steps in each view, one for a page that only counts the keys,
which is what this machine takes at least, and one for each picture.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

from playwright.sync_api import Page, sync_playwright

import microbp
import viz
from microbp import MLP, Value

STEPS = 12
#: A page that does as little for a key as one can.
LEAST = """data:text/html,<p>0</p><script>
  let pressed = 0;
  addEventListener("keydown", () => { document.querySelector("p").textContent = ++pressed; });
</script>"""
#: By what it is called here, a thread of the browser and the task in which its work is counted.
WORK = {
    "page": ("CrRendererMain", "ThreadControllerImpl::RunTask"),
    "layout": ("CrRendererMain", "Layout"),
    "raster": ("ThreadPoolForegroundWorker", "RasterTask"),
    "screen": ("VizCompositorThread", "ThreadControllerImpl::RunTask"),
}


def painted(tab: Page, chosen: str = "") -> str:
    """Of steps by key, how long each took to be on the screen, and the processor time of one by thread."""
    events: list[dict[str, Any]] = []
    ended = Event()
    session = tab.context.browser.new_browser_cdp_session()
    session.on("Tracing.dataCollected", lambda sent: events.extend(sent["value"]))
    session.on("Tracing.tracingComplete", lambda _: ended.set())
    tab.evaluate(chosen)
    tab.keyboard.press("ArrowRight")
    tab.wait_for_timeout(1000)
    counted = {"includedCategories": ["toplevel", "cc", "benchmark", "viz", "input", "devtools.timeline"]}
    session.send("Tracing.start", {"traceConfig": counted, "transferMode": "ReportEvents"})
    for _ in range(STEPS):
        tab.keyboard.press("ArrowRight")
        tab.wait_for_timeout(200)
    session.send("Tracing.end")
    while not ended.is_set():
        tab.wait_for_timeout(100)
    keys: dict[str, float] = {}
    took = []
    for each in events:
        if each["name"] == "EventLatency":
            key = f"{each['pid']} {each['id2']}"
            if each["ph"] == "e" and key in keys:
                took.append((each["ts"] - keys.pop(key)) / 1000)
            elif each["args"].get("event_latency", {}).get("event_type") == "KEY_PRESSED":
                keys[key] = each["ts"]
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spent: Counter[tuple[str, str]] = Counter()
    for each in events:
        spent[threads.get((each["pid"], each["tid"]), ""), each["name"]] += each.get("tdur", 0)
    told = ", ".join(f"{called} {spent[what] / STEPS / 1000:.0f}" for called, what in WORK.items())
    middle = statistics.median(took)
    return f"median {middle:.0f}, {min(took):.0f} to {max(took):.0f} ms; processor time {told} ms"


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
        for where, chosen in (("around it", "choose(true)"), ("of all", "choose(false); zoom(0.8)")):
            print(f"a step at {made.values} values, {where}: {painted(tab, chosen)}")
        tab.goto(LEAST)
        print(f"a page that does nothing else: {painted(tab)}")
        browser.close()
    for widths, samples in (((4, 4, 1), 4), ((16, 16, 1), 1), ((6, 6, 1), 28), ((16, 16, 1), 230)):
        graph = microbp.Graph(cost_of(MLP(4, list(widths), seed=1), samples))
        start = time.perf_counter()
        boxes = len(viz.draw(graph).picture.boxes)
        took = 1e3 * (time.perf_counter() - start)
        net = "-".join(map(str, (4, *widths)))
        print(f"{net}, {samples} samples, {len(graph)} values: {boxes} boxes, {took:.0f} ms")


if __name__ == "__main__":
    main()
