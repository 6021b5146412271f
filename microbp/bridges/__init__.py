"""Bridges to other people's libraries: each is one file, and imports its library only when it is called."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["need"]


def need(module: str, extra: str) -> ModuleType:
    """The module, imported; an ImportError that names the extra to install where it is missing.

    >>> need("math", "onnx").pi
    3.141592653589793
    >>> need("no_such_library", "onnx")
    Traceback (most recent call last):
    ...
    ImportError: this needs no_such_library, which is not installed: pip install 'microbp[onnx]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != library:
            raise  # the library is there, and misses one of its own
        raise ImportError(
            f"this needs {library}, which is not installed: pip install 'microbp[{extra}]'"
        ) from None
