"""C by hand: compiled when it is asked for, by the system's gcc."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["compiled", "pointer"]


def compiled(source: str) -> Any:
    """The functions of a C source as a ctypes library; ImportError where there is no gcc."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise ImportError("gcc", name="gcc")
    folder = Path(tempfile.mkdtemp(prefix="microbp-bench-"))
    (folder / "hand.c").write_text(source, encoding="utf-8")
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    command = [gcc, *flags, "hand.c", "-o", "hand.so", "-lm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return ctypes.CDLL(str(folder / "hand.so"))


def pointer(array: Any) -> Any:
    """Where the numbers of a float64 array stand, for a function of C."""
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
