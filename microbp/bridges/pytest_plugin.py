"""The pytest plugin of microbp: the fixture ``assert_gradients``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from microbp.check import check_gradients

__all__ = ["assert_gradients"]


@pytest.fixture
def assert_gradients() -> Callable[..., Any]:
    """``assert_gradients(f, x, gradient=g)``: ``microbp.check_gradients``, whose report is the failure.

    It takes what that function takes: a function of an array and its gradient, a function of tensors of
    PyTorch or JAX, a loss of Values and its parameters. The test fails where a gradient disagrees, and where
    none is found to agree, since nothing is checked then. Returns the report.
    """

    def check(f: Any, x: Any = None, gradient: Any = None, **options: Any) -> Any:
        __tracebackhide__ = True
        caller = sys._getframe(1)
        options = {"names": {**caller.f_globals, **caller.f_locals}, **options}
        report = check_gradients(f, x, gradient=gradient, show=False, **options)
        if not report.ok or not report.counts["agree"]:
            pytest.fail(str(report))
        return report

    return check
