"""Each public function, each argument of a wrong kind: a sentence, no accident."""

from __future__ import annotations

import inspect
import io
import linecache
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

import microbp
import viz
from microbp import MLP, Graph, MicrobpError, Value, optim

WRONG: dict[str, Any] = {
    "None": None, "int": 5, "negative": -1, "str": "x", "list": [1, "a"], "dict": {"a": 1},
    "object": object(), "nan": float("nan"),
    "class": int, "function": lambda: 1, "complex": 1j, "bytes": b"x", "empty": [],
    "set": {1}, "bool": True,
}  # fmt: skip

#: What an accident inside looks like.
ACCIDENTS = (
    AssertionError, AttributeError, IndexError, NameError, RecursionError, UnicodeError, StopIteration,
)  # fmt: skip


def right() -> tuple[dict[str, Callable[..., Any]], dict[str, tuple[tuple[Any, ...], dict[str, Any]]]]:
    """The functions, and for each a right call of it."""
    w = Value(0.5, name="w")
    y = w * w
    y.backward()
    quiet = {"commands": ["quit"], "stdin": io.StringIO(""), "stdout": io.StringIO()}
    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "fit": ((MLP(1, [1]), [[1.0], [2.0]], [1.0, 2.0]), {"loss": "hinge", "epochs": 1}),
        "check_answers": ((y, {"w": 1.0}), {}), "trace": ((y, {}), {}), "explain": ((y, w), {}),
        "diagnose": ((y,), {}), "audit": ((y,), {}), "check_gradients": ((y,), {}), "compile": ((y,), {}),
        "grad": ((y, w), {}), "paths": ((y, w), {}), "step": ((y, {}), quiet), "array": (([1.0],), {}),
        "MLP": ((1, [1]), {}), "Neuron": ((1,), {}), "Layer": ((1, 1), {}), "Graph": ((y,), {}),
        "Value": ((1.0,), {}), "group": (("g",), {}), "relu": ((w,), {}), "dot": (([w], [1.0]), {}),
        "softmax": (([w, 1.0],), {}), "log_softmax": (([w, 1.0],), {}), "cross_entropy": (([w], [1.0]), {}),
        "logsumexp": (([w],), {}), "select": ((1.0, w, w), {}), "data_of": ((w,), {}), "grad_of": ((w,), {}),
        "viz.draw": ((y,), {}), "viz.page": ((y,), {}), "viz.animate": ((y,), {}),
        "viz.draw_step": ((y, 1), {}), "optim.SGD": (([w],), {"lr": 0.1}), "optim.Adam": (([w],), {}),
    }  # fmt: skip
    spaces = {"viz": viz, "optim": optim}
    functions = {}
    for name in calls:
        space, _, inner = name.rpartition(".")
        functions[name] = getattr(spaces.get(space, microbp), inner)
    return functions, calls


def accident(error: Exception) -> bool:
    """Whether an error has happened to the library, rather than been raised by it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = "raise " in linecache.getline(last.filename, last.lineno or 0)
    return isinstance(error, ACCIDENTS) and not isinstance(error, MicrobpError) and not said


FUNCTIONS, CALLS = right()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_wrong_argument_is_told(name: str) -> None:
    function, (args, options) = FUNCTIONS[name], CALLS[name]
    signature = inspect.signature(function)
    kept = signature.bind_partial(*args, **options)
    accidents = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        for kind, wrong in WRONG.items():
            call = inspect.BoundArguments(signature, type(kept.arguments)(kept.arguments))
            call.arguments[parameter.name] = wrong
            ordered = {key: call.arguments[key] for key in signature.parameters if key in call.arguments}
            try:
                with redirect_stdout(io.StringIO()):
                    function(**ordered) if _by_keyword(signature) else function(*ordered.values())
            except Exception as error:  # noqa: BLE001 (whatever it is, it is looked at)
                if accident(error):
                    accidents.append(f"{parameter.name}={kind}: {type(error).__name__}: {error}")
    assert accidents == []
    x = Value(3.0)  # and nothing is broken for the next call
    (x * x).backward()
    assert (x.grad, len(Graph(x * x))) == (6.0, 2)


def _by_keyword(signature: inspect.Signature) -> bool:
    return all(
        each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY, each.VAR_KEYWORD)
        for each in signature.parameters.values()
    )


def test_an_accident_would_be_caught() -> None:
    def broken(x: Any) -> Any:
        return x.numbers

    with pytest.raises(AttributeError) as caught:
        broken(5)
    assert accident(caught.value)


def test_a_refused_graph_breaks_no_later_pass() -> None:
    for wrong in (5, None, "x", np.zeros(2)):
        with pytest.raises(TypeError, match=r"^a graph is what a Value was computed from, not"):
            Graph(wrong)  # type: ignore[arg-type]
    x = Value(3.0)
    (x * x).backward()
    assert x.grad == 6.0
