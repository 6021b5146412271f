"""An engine's SVG, made fit for pages and notebooks."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from viz.colours import LIGHT
from viz.text import plain

SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_G, _TITLE, _TEXT, _PATH = (f"{SVG}{name}" for name in ("g", "title", "text", "path"))
_HALO = {"stroke-width": "2.5", "stroke-linejoin": "round", "paint-order": "stroke"}
#: What most texts have in common is said once, by what is around them.
_USUAL = {"font-size": "10.00", "text-anchor": "start"}
_MARGIN = 4.0  #: Between the right end of a gradient and that of its band, in points.
#: Numbers of which a page keeps one decimal.
_NUMBERS, _DECIMALS = {"x", "y", "width", "height", "rx", "d", "points"}, re.compile(r"-?\d+\.\d+")

ET.register_namespace("", SVG[1:-1])
ET.register_namespace("xlink", _LINK[1:-1])


def finished(svg: bytes, title: str, made_by: str) -> str:
    """An ``<svg>`` element as text, which shrinks with its page, from the bytes an engine wrote.

    Tooltips become ``<title>`` elements, which every browser shows and screen readers read; ids stay.
    """
    return ET.tostring(_finished(svg, title, made_by), "unicode") + "\n"


def _finished(svg: bytes, title: str, made_by: str) -> ET.Element:
    title = plain(title)
    root = ET.fromstring(svg)  # noqa: S314  an engine of ours wrote it, from text that we escaped
    for group in root.iter(_G):  # the links that carry a tooltip go, and its text becomes the title
        told = group.find(_TITLE)
        for at, holder in reversed([*enumerate(group)]):
            link = holder.find(f"{SVG}a")
            if link is not None:
                group[at : at + 1] = list(link)
                if told is not None:
                    told.text = link.get(f"{_LINK}title")
    background = root.find(f"{_G}/{SVG}polygon")
    halo = {"stroke": "#ffffff" if background is None else background.get("fill", ""), **_HALO}
    for text in root.iterfind(f".//{_G}[@class='edge']/{_TEXT}"):
        text.attrib.update(halo)  # the label of an edge keeps clear of other lines that cross it
    if " 2." in made_by:  # an engine before version 3 sets text too high by about a ninth of its size
        for text in root.iter(_TEXT):
            text.set("y", f"{float(text.get('y', 0)) + 0.11 * float(text.get('font-size', 0)):.2f}")
    for old in root.findall(f"{_G}/{_TITLE}"):
        old.text = title  # that of the whole graph
    described = ET.Element(f"{SVG}desc")
    described.text = made_by
    root.insert(0, described)
    root.attrib.update({"role": "img", "aria-label": title, "style": "max-width:100%;height:auto"})
    return root


# ---------------------------------------------------------------------------------- parts of a page
def map_svg(svg: bytes, made_by: str) -> str:
    """An engine's SVG as a part of a page: its ids begin with ``map-``, and its boxes can be chosen."""
    root = _finished(svg, "map", made_by)
    graph = _without_background(root)
    for group in root.iter(_G):
        if "id" in group.attrib:
            group.set("id", f"map-{group.get('id')}")
        if group.get("class") == "edge":
            group.set("class", "link")
        if group.get("class") == "node":
            told = " ".join(text.text or "" for text in group.iter(_TEXT))
            group.attrib.update({"class": "mapped", "role": "button", "tabindex": "0", "aria-label": told})
    part = ET.Element(f"{SVG}svg", {"viewBox": root.get("viewBox", "")})
    part.append(graph)
    return ET.tostring(part, "unicode")


def stage(svg: bytes, made_by: str) -> tuple[str, dict[str, float]]:
    """The inside of an engine's SVG as what a script changes step by step, and what it fills of the plane.

    Classes tell the ``outline``, ``band``, ``nabla`` and ``gradient`` of a box, and the ``line`` of an edge.
    """
    root = _finished(svg, "", made_by)
    graph = _without_background(root)
    across, down = map(float, re.findall(r"translate\((\S+) (\S+)\)", graph.attrib.pop("transform"))[0])
    *_, width, height = map(float, root.get("viewBox", "").split())
    for text in graph.findall(_TEXT):
        graph.remove(text)
    for group in graph.iter(_G):
        for each in [*group.findall(_TITLE), *group.findall(_TEXT)]:
            if each.tag == _TITLE or not (each.text or "").strip():
                group.remove(each)
        paths, texts = group.findall(_PATH), group.findall(_TEXT)
        if group.get("class") == "edge":
            for each in group:
                if each.get("stroke") == LIGHT.edge:
                    del each.attrib["stroke"], each.attrib["fill"]
            paths[0].set("class", "line")
        elif group.get("class") == "node":
            for each in paths:
                _as_rectangle(each)
            paths[0].set("class", "outline")
            if len(paths) > 1:
                band, (*_, nabla, gradient) = paths[-1], texts
                right = float(band.get("x", 0)) + float(band.get("width", 0)) - _MARGIN
                for each, name in ((band, "band"), (nabla, "nabla"), (gradient, "gradient")):
                    each.set("class", name)
                    each.attrib.pop("fill")
                gradient.attrib.update({"text-anchor": "end", "x": str(right)})
    graph.set("fill", LIGHT.text)
    for element in graph.iter():
        if element.tag == _TEXT and element.get("fill") == LIGHT.text:
            del element.attrib["fill"]
        for name in _NUMBERS & element.attrib.keys():
            element.set(name, _DECIMALS.sub(lambda x: f"{round(float(x[0]), 1):g}", element.attrib[name]))
    return ET.tostring(graph, "unicode"), {"x": -across, "y": -down, "width": width, "height": height}


def _as_rectangle(path: ET.Element) -> None:
    """A rounded outline, which an engine draws as curves, as the rectangle that it is."""
    numbers = [float(each) for each in re.findall(r"-?[\d.]+", path.attrib.pop("d"))]
    xs, ys = numbers[::2], numbers[1::2]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    sides = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    path.tag = f"{SVG}rect"
    path.attrib.update({name: f"{x:.2f}" for name, x in sides.items()})
    path.set("rx", f"{min(right - xs[0], xs[0] - left):.2f}")


def compact(root: ET.Element) -> ET.Element:
    """The group of the whole graph, from which white space and what most texts have in common is gone."""
    family = ""
    for element in root.iter():
        element.tail = None
        if len(element) and not (element.text or "").strip():
            element.text = None
        if element.tag == _TEXT:
            family = element.attrib.pop("font-family", family)
            for name, usual in _USUAL.items():
                if element.get(name) == usual:
                    del element.attrib[name]
    root.attrib.update(_USUAL | {"font-family": family})
    graph = root.find(_G)
    assert graph is not None, "an engine's SVG is one group"
    return graph


def _without_background(root: ET.Element) -> ET.Element:
    graph = compact(root)
    for background in graph.findall(f"{SVG}polygon"):
        graph.remove(background)
    graph.attrib.update(_USUAL)
    return graph
