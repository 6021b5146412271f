"""The files of the page, joined into one that needs no other."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files
from typing import Any

from viz.page.data import as_literal

__all__ = ["joined"]

#: In this order: each uses what stands above it.
_SCRIPTS = ("model.js", "words.js", "window.js", "graph.js", "view.js", "panel.js", "map.js", "controls.js")


def joined(title: str, data: Any, drawn: str = "") -> str:
    """The page as HTML, with its map as SVG. Nothing is loaded; only its own script runs, by its policy.

    >>> "</script><b>" in joined("</script><b>", {"name": "</script><b>"})
    False
    """
    style = _text("step.css")
    script = "\n".join(map(_text, _SCRIPTS))
    parts = {
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
        "title": html.escape(title),
        "style": style,
        "map": drawn,
        "data": as_literal(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _text("step.html"))


@cache
def _text(name: str) -> str:
    return files("viz.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls a text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
