"""Each public function and method, each argument of a wrong kind: a sentence, no accident."""

from __future__ import annotations

import inspect
import io
import linecache
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microbp
import viz
from microbp import MLP, Graph, MicrobpError, Value, losses, optim

WRONG: dict[str, Any] = {
    "None": None, "int": 5, "negative": -1, "str": "x", "list": [1, "a"], "dict": {"a": 1},
    "object": object(), "nan": float("nan"),
    "class": int, "function": lambda: 1, "complex": 1j, "bytes": b"x", "empty": [],
    "set": {1}, "bool": True, "a class of ours": MLP, "array": np.zeros(2),
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
        "fit": ((MLP(1, [1]), [[1.0], [2.0]], [1.0, 2.0]), {"loss": "half_squared_error", "epochs": 1}),
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


def methods() -> tuple[dict[str, Callable[..., Any]], dict[str, tuple[tuple[Any, ...], dict[str, Any]]]]:
    """The methods of what the library makes, plots and losses, and for each a right call of it."""
    w, x = Value(0.5, name="w"), Value(3.0, name="x")
    y = w * w * x
    y.backward()
    graph, trace, net = Graph(y, {}), microbp.trace(y, {}), MLP(1, [2, 1], seed=1)
    program = microbp.compile(w * x, inputs=[x])
    sgd, adam = optim.SGD([w], lr=0.1, momentum=0.9), optim.Adam([w])
    snapshots = viz.Snapshots(net)
    net([1.0]).backward()
    snapshots.take()
    shape = lambda p: Value(p[0] - p[1])  # noqa: E731
    of: dict[Callable[..., Any], tuple[Any, ...]] = {
        Graph.of: (graph.nodes,), Graph.of_roots: ([y],), Graph.from_json: (graph.to_json(),),
        graph.__getitem__: ("w",), graph.name: (0,), graph.group: (0,), graph.formula: (graph.root,),
        graph.equation: (graph.root,), graph.shown: (graph.root,), graph.with_data: ([1.0] * len(graph),),
        trace.from_json: (trace.to_json(),), trace.diff: (trace,), trace.final_step: ("w",),
        trace.gradient: (0,), trace.gradients: (), trace.largest: (0,), trace.missing: (0,),
        trace.step_of: ("w",),
        program.__call__: ([1.0],), program.value_and_grad: ([1.0],), program.assign: (np.array([0.5]),),
        program.bind: ([Value(1.0)],), program.views: (np.array([0.5]),), net.__call__: ([1.0],),
        net.freeze: (), net.load_state: (net.state(),), sgd.load_state: (sgd.state(),),
        adam.load_state: (adam.state(),), microbp.relu.__call__: (1.0,), y.__add__: (1.0,), y.__pow__: (2.0,),
        y.__mod__: (2.0,), y.__floordiv__: (2.0,), y.__round__: (), y.__lt__: (2.0,), viz.Snapshots: (net,),
        viz.plot_cost: ([1.0, 0.5],), viz.plot_histograms: (snapshots,),
        viz.plot_boundary: (shape, [[0, 1], [1, 0]], [-1, 1], 4), optim.clip_gradients: ([w], 1.0),
        losses.l2_penalty: ([w], 0.1), losses.hinge: ([w], [1.0]), losses.half_squared_error: ([w], [1.0]),
        losses.softmax_cross_entropy: ([[w, x]], [1]), microbp.check_rule: ("relu",),
    }  # fmt: skip
    called = {f"{each.__qualname__} {place}": (each, given) for place, (each, given) in enumerate(of.items())}
    return {name: each for name, (each, _) in called.items()}, {
        name: (given[:3], {"resolution": 4} if len(given) > 3 else {}) for name, (_, given) in called.items()
    }


FUNCTIONS, CALLS = right()
METHODS, METHOD_CALLS = methods()


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_a_wrong_argument_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a text may be taken for the name of a file
    function, (args, options) = (FUNCTIONS | METHODS)[name], (CALLS | METHOD_CALLS)[name]
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


def test_what_was_put_into_grad_is_looked_at_where_it_is_read() -> None:
    def held(grad: Any) -> Value:
        w = Value(0.5, name="w")
        w.grad = grad
        return w

    program = microbp.compile(lambda w: w * 2.0)
    reads: list[Callable[[Value], Any]] = [
        lambda w: (w * w).backward(), lambda w: Graph(w * 2.0), lambda w: viz.draw(w * 2.0), microbp.grad_of,
        lambda w: optim.SGD([w], lr=0.1).step(), lambda w: optim.clip_gradients([w], 1.0),
        lambda w: microbp.trace(w * 2.0), lambda w: microbp.diagnose(w * 2.0, show=False),
    ]  # fmt: skip
    for read in reads:
        for wrong in ("x", 1j, Value(1.0), np.zeros(2), [1.0], True):
            with pytest.raises(TypeError, match=r"^the grad of w is .*, which is no real number; set it"):
                read(held(wrong))
    for number in (2, np.float32(2.0), 2.0):
        w = held(number)
        (w * w).backward()
        assert (w.grad, type(w.grad)) == (3.0, float)
    for forget in (lambda w: optim.SGD([w], lr=0.1).zero_grad(), lambda w: w.zero_grad()):
        w = held("x")
        forget(w)
        assert w.grad is None
    assert program(1.0) == 2.0


def test_what_is_infinite_or_too_deep_is_told() -> None:
    x = Value(3.0, name="x")
    y = x * 1.0
    for claim in ("1e999", "-1e999", 10**400, float("inf"), "9" * 400 + "/1"):
        assert not microbp.check_answers(y, {"x": claim}, show=False).ok
    assert viz.draw(x, share=0.9).picture.boxes
    for text in ("+".join(["x"] * 20_000), "-" * 20_000 + "x", "x" + "*x" * 300):
        with pytest.raises(microbp.RuleError, match=r"nested too deeply|too many nested parentheses") as told:
            microbp.define("deep", "x", text, "1.0")
        assert len(str(told.value)) < 500
    with pytest.raises(TypeError, match=r"^fit: a net is an object, such as MLP\(2, \[1\]\); MLP is a"):
        microbp.fit(MLP, [[1.0]], [1.0], loss="half_squared_error")
    with pytest.raises(TypeError, match=r"^Value.__pow__\(\) takes 2 positional arguments but 3 were given$"):
        pow(x, 2, 3)  # type: ignore[misc]
