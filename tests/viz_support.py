"""Pictures made by hand, what is read back from drawings, and a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

import microbp
from microbp import Value, group
from viz.engines import render
from viz.picture import Box, Cluster, Edge, Kind, Picture, Row

__all__ = [
    "HOSTILE", "SVG", "by_id", "chromium", "contrast", "crossed", "parsed", "positions", "small", "titles",
    "tutorial_1", "tutorial_4",
]  # fmt: skip

SVG = "{http://www.w3.org/2000/svg}"

#: Names that mean something to DOT, to HTML, to Graphviz's escapes, or to a terminal.
HOSTILE = [
    "a<b>", "<b>", "<>", 'say "w"', "{w|x}", "back\\slash", "\\N", "\\", "w\\", "&lt;", "&", "a;b->c",
    "n0:p", "new\nline", "tab\t", "bell\x07", "null\x00", "\x1b[31m", "lone \ud800", "\ufffe",
    "\u202eturned", " ", "  ", "]]>", "<!--", "</TABLE>", "%s {0}", "权重", "θ₁·𝛁", "é", "👩‍🔬",
    "w" * 10_000, "很长的名字" * 500,
]  # fmt: skip


def small() -> Picture:
    """One box of each kind, a parallel pair of edges, a frame in a frame."""
    boxes = (
        Box("n0", Kind.PARAMETER, "w", data=0.5, grad=-0.25, tooltip="w = 0.5\n∇ = −0.25"),
        Box("n1", Kind.INPUT, "x", data=3.0, grad=0.0),
        Box("n2", Kind.CONSTANT, "c", data=1.0),
        Box("n3", Kind.OPERATION, "v3", named=False, symbol="×", data=0.25, grad=1e-5, group=("c0", "c1")),
        Box("g7", Kind.FOLDED, "layer", strip=(0.5, None, 0.0, -1e-3), values=985, parameters=4, times=12,
            largest=0.5, group=("c0",)),
        Box("n8", Kind.SUM, "net", symbol="Σ", data=4.0, grad=1.0, root=True, values=3,
            rows=(Row("w·x", 1.5, "t0"), Row("layer", 2.5, "t1"))),
    )  # fmt: skip
    edges = (
        Edge("e3_0", "n0", "n3", local=0.5, contribution=5e-6),
        Edge("e3_1", "n0", "n3", local=0.5, contribution=5e-6),
        Edge("e7_0", "n1", "g7", count=36, contribution=-0.75),
        Edge("e7_1", "n2", "g7"),
        Edge("e8_0", "n3", "n8", "t0", local=1.0, contribution=1.0),
        Edge("e8_1", "g7", "n8", "t1", local=-1.0, contribution=-1.0),
    )
    clusters = (Cluster("c0", "net<1>"), Cluster("c1", "h1", "c0"))
    return Picture(boxes, edges, clusters, "loss", "985 values folded into 1", 990, 990)


def tutorial_1() -> Value:
    """The cost of tutorial T1: a 2-2-1 sigmoid net without biases, after one backward pass."""
    W0 = microbp.array([[0.1, 0.8], [0.4, 0.6]], name="W0")
    W1 = microbp.array([[0.3, 0.9]], name="W1")
    x, y = microbp.array([0.35, 0.9], name="x"), Value(0.5, name="y")
    hidden = []
    for index in range(2):
        with group(f"h{index}"):
            hidden.append(microbp.sigmoid(microbp.dot(W0[index], x)))
        hidden[-1].name = f"h{index}"
    with group("o"):
        out = microbp.sigmoid(microbp.dot(W1[0], hidden))
    out.name = "o"
    E = 0.5 * (y - out) ** 2
    E.name = "E"
    E.backward()
    return E


def tutorial_4() -> Value:
    """The error of tutorial T4: the 2-2-2 net written with + and ×, after one backward pass."""
    p = {f"w{at}": (3 + at) / 20 if at > 4 else (2 + at) / 20 for at in range(1, 9)}
    v: dict[str, Any] = {
        name: Value(data, name=name)
        for name, data in {"i1": 0.05, "i2": 0.1, **p, "b1": 0.35, "b2": 0.6, "t1": 0.01, "t2": 0.99}.items()
    }
    for unit, terms in {
        "h1": "w1 i1 w2 i2 b1", "h2": "w3 i1 w4 i2 b1", "o1": "w5 h1 w6 h2 b2", "o2": "w7 h1 w8 h2 b2",
    }.items():  # fmt: skip
        a, x, b, y, bias = (v[name] for name in terms.split())
        with group(unit):
            net = a * x + b * y + bias
            net.name = f"net_{unit}"
            v[unit] = net.sigmoid()
        v[unit].name = unit
    errors = []
    for at in "12":
        with group(f"E{at}"):
            errors.append(0.5 * (v[f"t{at}"] - v[f"o{at}"]) ** 2)
        errors[-1].name = f"E{at}"
    E = errors[0] + errors[1]
    E.name = "E"
    E.backward()
    return E


def parsed(xml: str | bytes) -> ET.Element:
    """An SVG, or a part of one, as its outermost element."""
    return ET.fromstring(xml)  # noqa: S314  (written by ourselves)


def by_id(svg: str) -> dict[str, ET.Element]:
    """The elements of an SVG that have an id; a repeated id fails."""
    found: dict[str, ET.Element] = {}
    for element in parsed(svg).iter():
        if "id" in element.attrib:
            assert element.attrib["id"] not in found
            found[element.attrib["id"]] = element
    return found


def titles(svg: str) -> dict[str, str]:
    """The tooltip of each element that has an id."""
    return {each: element.findtext(f"{SVG}title", "") for each, element in by_id(svg).items()}


# ---------------------------------------------------------------------------------- where things stand
class Place(NamedTuple):
    """A rectangle: its centre, counted from the upper left corner, and its size, in points."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The points of an edge's curves, the tip of its arrow, and the centre of its label."""

    points: tuple[tuple[float, float], ...]
    tip: tuple[float, float] | None
    label: tuple[float, float] | None


class Layout(NamedTuple):
    """A picture's size, and the places of its boxes, edges and frames by id or name."""

    width: float
    height: float
    boxes: dict[str, Place]
    edges: dict[str, Route]
    clusters: dict[str, Place]


def positions(dot: str, engine: str) -> Layout:
    """Where an engine puts everything, as its JSON tells: it counts from the lower left corner, upwards."""

    def numbers(text: str) -> list[float]:
        return [float(each) for each in text.split(",")]

    told = json.loads(render(dot, "json0", engine))
    left, low, right, top = numbers(told["bb"])

    def point(text: str) -> tuple[float, float]:
        x, y = numbers(text)
        return x - left, top - y

    boxes, clusters, edges = {}, {}, {}
    for each in told.get("objects", ()):
        name = each.get("id") or each["name"]
        if "pos" in each:
            boxes[name] = Place(*point(each["pos"]), 72 * float(each["width"]), 72 * float(each["height"]))
        elif "bb" in each and each["name"].startswith("cluster"):
            x0, y0, x1, y1 = numbers(each["bb"])
            clusters[name] = Place((x0 + x1) / 2 - left, top - (y0 + y1) / 2, x1 - x0, y1 - y0)
    for each in told.get("edges", ()):
        if "id" in each and "pos" in each:
            words = each["pos"].split(";")[0].split()
            tips = [point(word[2:]) for word in words if word.startswith("e,")]
            curve = tuple(point(word) for word in words if word[:2] not in {"e,", "s,"})
            label = point(each["lp"]) if "lp" in each else None
            edges[each["id"]] = Route(curve, tips[0] if tips else None, label)
    return Layout(right - left, top - low, boxes, edges, clusters)


# --------------------------------------------------------------------------------------------- contrast
def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return float(channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4)


def crossed(svg: str, kind: str) -> list[str]:
    """The texts of edges ("edge") or frames ("cluster") that the line of another edge runs through."""
    lines, texts = [], []
    for group_ in parsed(svg).iter(f"{SVG}g"):
        if group_.get("class") == "edge":
            points = (point for path in group_.iter(f"{SVG}path") for point in _along(path.get("d", "")))
            lines.append((group_, np.array([*points])))
        if group_.get("class") == kind:
            texts += [(group_, text) for text in group_.iter(f"{SVG}text")]
    found = []
    for owner, text in texts:
        size, told = float(text.get("font-size", 10)), text.text or ""
        width, x, y = 0.55 * size * len(told), float(text.get("x", 0)), float(text.get("y", 0))
        left = x - width / 2 if text.get("text-anchor") == "middle" else x
        low, high = (left, y - 0.75 * size), (left + width, y + 0.2 * size)
        others = [line for each, line in lines if each is not owner]
        if any(np.all((line > low) & (line < high), axis=1).any() for line in others):
            found.append(told)
    return found


def _along(path: str) -> list[Any]:
    """Points on the Bézier curves of a path."""
    ends = np.array([float(each) for each in re.findall(r"-?[\d.]+", path)]).reshape(-1, 2)
    t = np.linspace(0.0, 1.0, 41)[:, None]
    weights = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    return [
        point
        for at in range(0, len(ends) - 3, 3)
        for point in sum(w * end for w, end in zip(weights, ends[at : at + 4], strict=True))
    ]


# ---------------------------------------------------------------------------------------------- browser
_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--in-process-gpu",  # one process less to pass every frame to: a quarter of the time
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's browser, started once for all tests of a file."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "the page's tests need the program chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield started
        started.close()
