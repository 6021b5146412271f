"""What a layout engine makes, a drawing or an animation: it shows itself, and saves itself by suffix."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from microbp import MicrobpError
from microbp.files import write_file
from viz.engines import ENGINES, engine_name
from viz.options import Style, one_of


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
        from microbp import __version__

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
