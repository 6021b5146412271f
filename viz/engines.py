"""The layout engines: the system's ``dot``, or Graphviz inside the process by ``pygraphviz``.

Both read the same DOT text. Neither is needed to write it, and neither is imported before it is used. What
they make, a drawing or an animation, is :class:`Rendered`: it shows itself, and saves itself by suffix.
"""

from __future__ import annotations

import contextlib
import errno
import io
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from microbp import MicrobpError, __version__
from microbp.files import write_file
from viz.options import Style, one_of

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
    return (by_dot if engine == "dot" else _by_pygraphviz)(dot, format)


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


def by_dot(dot: str, format: str) -> bytes:  # noqa: A002
    """A DOT text, or several in a row, as the program ``dot`` draws them."""
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


class Rendered:
    """A subclass has a property for each of its ``formats`` and suffixes, made when it is asked for first."""

    #: What a notebook can show, and its media type.
    formats: ClassVar[Mapping[str, str]]
    suffixes: ClassVar[tuple[str, ...]]
    #: Ends the message about another suffix.
    instead: ClassVar[str] = ""

    def __init__(self, style: Style | None, engine: str, format: str) -> None:  # noqa: A002
        one_of("engine", engine, ENGINES)
        one_of("format", format, self.formats)
        self.style = (style or Style()).checked()
        self._engine = engine
        self._format = format

    @property
    def engine(self) -> str:
        """Which engine draws, with its version: ``dot 2.43.0``. Raises NoEngine if none is installed."""
        return engine_name(self._engine)

    def save(self, path: str | Path) -> Path:
        """Write a file in the format that its suffix names, and return its path.

        Raises ValueError for another suffix, FileNotFoundError if the folder does not exist, and as the
        property of that format does.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in self.suffixes:
            kind, name = type(self).__name__.lower(), path.name or str(path)
            raise ValueError(
                f"cannot save a{'n' * (kind[0] in 'aeiou')} {kind} as {name!r}: the suffix is one of "
                f"{', '.join(self.suffixes)}{self.instead}"
            )
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {str(path.parent)!r}", str(path))
        write_file(path, getattr(self, suffix[1:]))
        return path

    @property
    def _made_by(self) -> str:
        return f"microbp {__version__}, laid out by {self.engine}"

    def _engine_told(self) -> str:
        try:
            return self.engine
        except (MicrobpError, OSError) as error:
            return f"none ({error})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str | bytes]:
        """What notebooks show: one picture and a line of text. It never raises: trouble is the text."""
        try:
            return {self.formats[self._format]: getattr(self, self._format), "text/plain": repr(self)}
        except Exception as error:  # noqa: BLE001  a traceback in place of a picture helps nobody
            return {"text/plain": f"{type(self).__name__} without a picture: {error}"}
