"""An engine's SVG, made fit for pages and notebooks."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from viz.text import plain

__all__ = ["finished", "map_svg"]

_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def finished(svg: bytes, title: str, made_by: str) -> str:
    """An ``<svg>`` element as text, which shrinks with its page, from the bytes an engine wrote.

    Tooltips become ``<title>`` elements, which every browser shows and screen readers read; ids stay.
    ``title`` is said for the picture as a whole; ``made_by`` stands in its ``<desc>``.
    """
    title = plain(title)
    root = ET.fromstring(svg)  # noqa: S314  an engine of ours wrote it, from text that we escaped
    background = root.find(f"{{{_SVG}}}g/{{{_SVG}}}polygon")
    for group in root.iter(f"{{{_SVG}}}g"):
        _plain_tooltip(group)
        if group.get("class") == "edge":
            _haloed(group, "white" if background is None else background.get("fill", "white"))
    if " 2." in made_by:  # an engine before version 3 sets text too high by about a ninth of its size
        for text in root.iter(f"{{{_SVG}}}text"):
            text.set("y", f"{float(text.get('y', 0)) + 0.11 * float(text.get('font-size', 0)):.2f}")
    for old in root.findall(f"{{{_SVG}}}g/{{{_SVG}}}title"):
        old.text = title  # that of the whole graph
    described = ET.Element(f"{{{_SVG}}}desc")
    described.text = made_by
    root.insert(0, described)
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("style", "max-width:100%;height:auto")
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _LINK)
    return ET.tostring(root, encoding="unicode") + "\n"


def map_svg(svg: bytes) -> str:
    """An engine's SVG as a part of a page: its ids begin with ``map-``, and its boxes can be chosen."""
    root = ET.fromstring(finished(svg, "map", ""))  # noqa: S314  an engine of ours wrote it
    for group in root.iter(f"{{{_SVG}}}g"):
        if "id" in group.attrib:
            group.set("id", f"map-{group.get('id')}")
        if group.get("class") == "edge":
            group.set("class", "link")
        if group.get("class") == "node":
            told = " ".join(text.text or "" for text in group.iter(f"{{{_SVG}}}text"))
            group.attrib.update({"class": "mapped", "role": "button", "tabindex": "0", "aria-label": told})
    for name in ("style", "role", "aria-label", "width", "height"):
        root.attrib.pop(name, None)
    return ET.tostring(root, encoding="unicode")


def _haloed(edge: ET.Element, background: str) -> None:
    """The label of an edge keeps clear of other lines that cross it."""
    for text in edge.iter(f"{{{_SVG}}}text"):
        halo = {
            "stroke": background,
            "stroke-width": "2.5",
            "stroke-linejoin": "round",
            "paint-order": "stroke",
        }
        text.attrib.update(halo)


def _plain_tooltip(group: ET.Element) -> None:
    """Takes the link that carries a tooltip out of a group, and puts its text into the title."""
    told = None
    for holder in group.findall(f"{{{_SVG}}}g"):
        link = holder.find(f"{{{_SVG}}}a")
        if link is None:
            continue
        told = told or link.get(f"{{{_LINK}}}title")
        place = list(group).index(holder)
        group.remove(holder)
        for offset, drawn in enumerate(link):
            group.insert(place + offset, drawn)
    title = group.find(f"{{{_SVG}}}title")
    if title is not None and told is not None:
        title.text = told
