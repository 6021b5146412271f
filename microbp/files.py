"""Files: written whole or not at all, and read as data that may be anything.

A file is written beside its old self and takes its place in one move, so that a kill, a full disk or a second
writer leaves the old one or the new one, whole. Names in a file are data: neither paths nor keywords.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import secrets
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from microbp.errors import NotLoaded
from microbp.text import safe, shown

__all__ = ["packed", "refuse_unwritable", "unpacked", "write_file"]

Array = np.ndarray[Any, Any]

#: Where a system shows the files that this process has open.
_OPEN = "/proc/self/fd"
#: In bytes: a zip file has two bytes for the length.
_LONGEST = 60_000


# --------------------------------------------------------------------------------------------- writing
def write_file(path: str | Path, content: str | bytes) -> None:
    """Write ``content``, text as UTF-8, to ``path``, which holds it whole or is what it was before.

    A link is followed, the mode of an old file is kept; what is no ordinary file, such as a pipe, is written
    to directly. Raises OSError, with the path, where it cannot be written.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with _target(path) as (target, old):
        if old is not None and not stat.S_ISREG(old.st_mode):
            target.write_bytes(data)
            return
        while not _replaced(target, old, data):
            pass  # another writer has taken the new file away
        with suppress(OSError):  # not every system can
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _replaced(target: Path, old: os.stat_result | None, data: bytes) -> bool:
    """Whether a new file with these bytes stands in the place of the old one."""
    handle, name = _beside(target)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 (a descriptor)
            file.write(data)
            file.flush()
            if old is not None:
                with suppress(OSError, AttributeError):  # somebody else's file; a system without owners
                    os.fchown(handle, old.st_uid, old.st_gid)
                with suppress(OSError, AttributeError):
                    os.fchmod(handle, stat.S_IMODE(old.st_mode))
            os.fsync(handle)
            placed = bool(name) or _placed(handle, target)
        if name:
            Path(name).replace(target)
    except BaseException:
        if name:
            Path(name).unlink(missing_ok=True)
        raise
    return placed


def refuse_unwritable(path: str | Path) -> None:
    """OSError, as from :func:`write_file`, where ``path`` cannot be written; nothing is changed."""
    with _target(path) as (target, old):
        if old is None or stat.S_ISREG(old.st_mode):
            handle, name = _beside(target)
            os.close(handle)
            if name:
                Path(name).unlink()


@contextmanager
def _target(path: str | Path) -> Iterator[tuple[Path, os.stat_result | None]]:
    """The file behind links, and what it is now; an OSError inside is one about ``path``."""
    target, old = Path(os.path.realpath(path)), None
    try:
        if target.is_symlink():
            target.stat()  # a link that leads to itself: raises as it should
        if target.exists():
            if target.is_dir() or not os.access(target, os.W_OK):
                target.open("r+b").close()  # raises as it should
            old = target.stat()
        yield target, old
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _beside(target: Path) -> tuple[int, str]:
    """A new file in the same folder: without a name where that can be, so that a kill leaves none behind."""
    if hasattr(os, "O_TMPFILE") and Path(_OPEN).is_dir():
        with suppress(OSError):
            return os.open(target.parent, os.O_TMPFILE | os.O_WRONLY, 0o666), ""
    name = str(target.with_name(f".{secrets.token_hex(8)}.new"))
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), name


def _placed(handle: int, target: Path) -> bool:
    """Move a file without a name to ``target``, by way of a name that a killed writer may have left behind.

    What bears that name is whole, and somebody else's at worst. False where somebody has taken this one away:
    a file that has lost its only name gets no other, and has to be written again.
    """
    name = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.new")
    while True:
        try:
            os.link(f"{_OPEN}/{handle}", name, src_dir_fd=handle, follow_symlinks=True)
            name.replace(target)
        except FileExistsError:  # noqa: PERF203
            name.unlink(missing_ok=True)
        except FileNotFoundError:
            if not target.parent.is_dir():
                raise
            return False
        except BaseException:
            name.unlink(missing_ok=True)
            raise
        else:
            return True


# ------------------------------------------------------------------------------------- named arrays
def packed(arrays: Mapping[str, Array]) -> bytes:
    """Named arrays as a NumPy ``.npz`` file; what a zip file would take for something else is escaped.

    >>> with np.load(io.BytesIO(packed({"layers.0.w": np.ones(2), "../x.npy": np.zeros(1)}))) as file:
    ...     list(file)
    ['layers.0.w', '..%2f;x%2e;npy']

    Raises ValueError where a name is too long for a file.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, array in arrays.items():
            member = safe(name, "file")
            if len(member.encode()) > _LONGEST:
                raise ValueError(f"{shown(name)} is too long a name for a file: {_LONGEST:,} bytes at most")
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{member}.npy"), content.getvalue())
    return out.getvalue()


def unpacked(path: str | Path, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The arrays in an ``.npz`` file; of those of other names and shapes no number is read.

    Raises NotLoaded where it is damaged or no such file.
    """
    with Path(path).open("rb") as file:
        start = file.read(6)
        if start == b"\x93NUMPY":
            raise NotLoaded(f"{path} holds a single array, not what save() writes", path)
        if start[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise NotLoaded(f"{path} is not what save() writes: it begins with {start!r}, not with PK", path)
        where, found = "", {}
        try:
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    where = f" at {shown(member.filename)}"
                    with archive.open(member) as content:
                        name = re.sub(
                            "%([0-9a-f]{1,4});",
                            lambda match: chr(int(match[1], 16)),
                            member.filename.removesuffix(".npy"),
                        )
                        found[name] = _array(content, wanted.get(name))
        except Exception as error:
            what = str(error) or type(error).__name__
            raise NotLoaded(f"{path} is damaged{where}: {what}", path) from error
    return found


def _array(content: Any, wanted: tuple[int, ...] | None) -> Array:
    """One array; zeros without memory where its numbers are not wanted."""
    version = np.lib.format.read_magic(content)
    reads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in reads:
        raise ValueError(f"an array of version {version}")
    shape, by_columns, dtype = reads[version](content)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded, since they could run code")
    if shape != wanted or dtype.kind not in "iuf":
        return np.broadcast_to(np.zeros((), dtype), shape)
    size = math.prod(shape) * dtype.itemsize
    data = content.read(size)
    if len(data) < size or content.read(1):
        raise ValueError(f"not the {size:,} bytes of an array of shape {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_columns else "C")
