"""SVG pictures of one layout as one moving SVG: what they share stands once, what differs takes turns.

Style sheets switch, no script does, so that it moves wherever a picture is shown. Where motion is not
wanted, or the style sheet is not understood, the last picture stands.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

__all__ = ["moving"]

_SVG = "http://www.w3.org/2000/svg"
_G, _TITLE, _TEXT = (f"{{{_SVG}}}{name}" for name in ("g", "title", "text"))
#: What most texts have in common is said once, by the outermost element.
_COMMON = {"font-family": "", "font-size": "10.00", "text-anchor": "start"}

#: The frames in which an element is seen.
Seen = tuple[int, ...]


def moving(frames: Sequence[str], durations: Sequence[int], title: str) -> str:
    r"""One ``<svg>`` that shows each frame for so many milliseconds, again and again.

    The frames are SVG texts of one size, which differ in some of their elements.

    >>> frame = '<svg xmlns="http://www.w3.org/2000/svg"><g><text>a</text><text>{}</text></g></svg>'
    >>> shown = moving([frame.format("b"), frame.format("c")], [500, 1000], "a title")
    >>> shown[shown.index("<g>"):]
    '<g><text>a</text><text class="r0">c</text><text class="r1">b</text></g></svg>\n'
    """
    trees = [_shortened(ET.fromstring(each)) for each in frames]  # noqa: S314  an engine of ours wrote them
    sizes = {(each.get("width"), each.get("height"), each.get("viewBox")) for each in trees}
    assert len(sizes) == 1, f"frames of different sizes: {sizes}"
    merger = _Merger(len(trees))
    merged = merger.merged(trees)
    name = f"m{zlib.crc32(ET.tostring(merged)):08x}"  # two of them on one page must not share a rule
    style = ET.Element(f"{{{_SVG}}}style")
    style.text = _rules(name, list(merger.classes), durations)
    merged.insert(0, style)
    merged.set("id", name)
    merged.set("aria-label", title)
    ET.register_namespace("", _SVG)
    return ET.tostring(merged, encoding="unicode") + "\n"


def _shortened(tree: ET.Element) -> ET.Element:
    """The tree without the white space between elements, and with what texts have in common said once."""
    common = dict(_COMMON)
    for element in tree.iter():
        element.tail = None
        if len(element) and element.text and not element.text.strip():
            element.text = None
        if element.tag == _TEXT:
            common["font-family"] = common["font-family"] or element.get("font-family", "")
            for name, usual in common.items():
                if element.get(name) == usual:
                    del element.attrib[name]
    tree.attrib.update({name: usual for name, usual in common.items() if usual})
    return tree


class _Slot(NamedTuple):
    """A place among the children of an element: what stands there, by frame."""

    key: str
    elements: dict[int, ET.Element]


class _Merger:
    """Puts what is the same in several frames together, from the outermost element inwards."""

    def __init__(self, frames: int) -> None:
        self._all = tuple(range(frames))
        #: The class of the elements that are seen in the same frames.
        self.classes: dict[Seen, str] = {}

    def merged(self, trees: Sequence[ET.Element]) -> ET.Element:
        return self._joined(dict(enumerate(trees)), self._all)

    def _joined(self, same: dict[int, ET.Element], around: Seen) -> ET.Element:
        """One element for those of several frames; ``around`` are the frames of the one that it is in."""
        last = same[max(same)]
        joined = ET.Element(last.tag, last.attrib)
        joined.text = last.text
        seen = tuple(sorted(same))
        if seen != around and last.tag != _TITLE:  # a title is not seen; the last tells the final gradient
            joined.set("class", self.classes.setdefault(seen, f"r{len(self.classes)}"))
        joined.extend(self._joined(slot.elements, seen) for slot in _slots(same))
        return joined


def _slots(same: dict[int, ET.Element]) -> list[_Slot]:
    """The children of all frames in one order, which is that of each frame."""
    slots: list[_Slot] = []
    for frame, parent in sorted(same.items()):
        place = 0
        for child in parent:
            key = _key(child)
            found = next((at for at in range(place, len(slots)) if slots[at].key == key), None)
            if found is None:
                slots.insert(place, _Slot(key, {}))
            else:
                place = found
            slots[place].elements[frame] = child
            place += 1
    return slots


def _key(element: ET.Element) -> str:
    """Equal for elements that can be one: groups by their ids, titles always, others if nothing differs."""
    if element.tag == _TITLE:
        return _TITLE
    if element.tag == _G:
        return repr(sorted(element.attrib.items()))
    return ET.tostring(element, encoding="unicode")


def _rules(name: str, seen: Sequence[Seen], durations: Sequence[int]) -> str:
    """The style sheet: an animation for each set of frames, all of the same length."""
    whole, last = sum(durations), len(durations) - 1
    starts = [f"{100 * sum(durations[:frame]) / whole:.3f}%" for frame in range(len(durations))]
    hidden = ",".join(f"#{name} .r{place}" for place, frames in enumerate(seen) if last not in frames)
    rules = [
        f"{hidden}{{visibility:hidden}}" if hidden else "",
        "@media screen and (prefers-reduced-motion:no-preference){",
        f"#{name} [class^=r]{{animation:{whole}ms step-end infinite}}",
        f"#{name}:hover [class^=r]{{animation-play-state:paused}}",
    ]
    for place, frames in enumerate(seen):
        turns = "".join(
            f"{starts[frame]}{{visibility:{'visible' if frame in frames else 'hidden'}}}"
            for frame in _turns(frames, last)
        )
        own = f"{name}-{place}"
        rules.append(f"#{name} .r{place}{{animation-name:{own}}}@keyframes {own}{{{turns}}}")
    return "".join([*rules, "}"])


def _turns(frames: Iterable[int], last: int) -> list[int]:
    """The first frame, and those in which an element that is seen in ``frames`` appears or vanishes."""
    seen = set(frames)
    return [0] + [frame for frame in range(1, last + 1) if (frame in seen) != (frame - 1 in seen)]
