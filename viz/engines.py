"""The layout engines: the system's ``dot``, or Graphviz inside the process by ``pygraphviz``.

Both read the same DOT text. Neither is needed to write it, and neither is imported before it is used.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from functools import lru_cache
from importlib.util import find_spec

from microbp import MicrobpError
from viz.options import one_of

ENGINES = ("auto", "dot", "pygraphviz")
FORMATS = ("svg", "png", "pdf", "json", "json0", "plain")

_WAYS_OUT = (
    "install one of them: `apt-get install graphviz` (or your system's package) brings dot, "
    "`pip install microbp[viz]` brings pygraphviz with its own engine. The DOT text needs neither: "
    "Drawing.dot, or save it as a .dot file"
)


class NoEngine(MicrobpError, RuntimeError):
    """No layout engine is installed, or not the one that was asked for."""


class EngineFailed(MicrobpError, RuntimeError):
    """A layout engine did not accept the text, or cannot write the format."""


def render(dot: str, format: str = "svg", engine: str = "auto") -> bytes:  # noqa: A002
    """A DOT text in one of ``FORMATS``, laid out by ``engine``.

    ``auto`` takes the system's ``dot`` if there is one, else ``pygraphviz``; for a PNG or a PDF the other
    way round where ``dot`` is older than version 3, which sets their text too high.

    >>> render("digraph { a -> b }", "plain").split()[:2]
    [b'graph', b'1']

    Raises NoEngine if the engine is not installed, EngineFailed with its own words if it fails, and
    ValueError for an engine or a format that is not known.
    """
    one_of("format", format, FORMATS)
    return _rendered(_chosen(engine, format), dot, format)


@lru_cache(maxsize=8)  # a level that was laid out to see whether it can be read is shown afterwards
def _rendered(engine: str, dot: str, format: str) -> bytes:  # noqa: A002
    return (_by_dot if engine == "dot" else _by_pygraphviz)(dot, format)


def engine_name(engine: str = "auto") -> str:
    """The engine that :func:`render` would take, with its version: ``dot 2.43.0``, ``pygraphviz 2.0.4``.

    Raises as :func:`render` does.
    """
    if _chosen(engine) == "dot":
        return f"dot {'.'.join(map(str, _dot_version()))}"
    from importlib.metadata import version

    return f"pygraphviz {version('pygraphviz')}"


@lru_cache
def _dot_version() -> tuple[int, ...]:
    import graphviz  # type: ignore[import-untyped]

    return tuple(graphviz.version())


def _chosen(engine: str, format: str = "svg") -> str:  # noqa: A002
    one_of("engine", engine, ENGINES)
    there = {"dot": shutil.which("dot"), "pygraphviz": find_spec("pygraphviz")}
    found = [each for each, place in there.items() if place and engine in {"auto", each}]
    if found:
        # in an SVG the text of an old dot can be set right afterwards
        too_high = len(found) > 1 and format in ("png", "pdf") and _dot_version() < (3,)
        return found[-1 if too_high else 0]
    missing = {"dot": "no program dot on the PATH", "pygraphviz": "no package pygraphviz"}
    told = " and ".join(what for each, what in missing.items() if engine in {"auto", each})
    raise NoEngine(f"no layout engine: there is {told}; {_WAYS_OUT}.")


def _by_dot(dot: str, format: str) -> bytes:  # noqa: A002
    import graphviz

    try:
        return bytes(graphviz.pipe("dot", format, dot.encode(), quiet=True))
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        raise EngineFailed(f"dot could not draw the picture as {format}: {said or error}") from error


def _by_pygraphviz(dot: str, format: str) -> bytes:  # noqa: A002
    import pygraphviz  # type: ignore[import-untyped]

    try:
        # it tells the terminal when there are many nodes; so do we, before drawing
        with contextlib.redirect_stderr(io.StringIO()):
            return bytes(pygraphviz.AGraph(string=dot).draw(format=format, prog="dot"))
    # where it cannot render, it stumbles over the empty answer of its own library
    except (ValueError, TypeError, OSError, pygraphviz.DotError) as error:
        raise EngineFailed(f"pygraphviz could not draw the picture as {format}: {error}") from error
