"""Every public function and method, each argument of a wrong kind: a sentence, no accident. Long: ``--long``.

Nobody lists what is public: the names are walked, and one of which no right call can be made fails.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import io
import linecache
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import dask
import numpy as np
import onnx
import pytest
from support import at_once

import microbp
import viz
from microbp import MLP, Graph, Value, optim
from microbp.rules import RULES

OURS = ("microbp", "viz")
FOLDERS = tuple(str(Path(str(each.__file__)).parent) for each in (microbp, viz))

WRONG: dict[str, Any] = {
    "None": None, "int": 5, "negative": -1, "str": "x", "list": [1, "a"], "dict": {"a": 1},
    "object": object(), "nan": float("nan"),
    "class": int, "function": lambda: 1, "complex": 1j, "bytes": b"x", "empty": [],
    "set": {1}, "bool": True, "a class of ours": MLP, "array": np.zeros(2),
}  # fmt: skip

#: Only Python, NumPy and the library call these, with arguments of their own.
PROTOCOL = re.compile(
    r"__(array_\w+|new|init_subclass|exit|format|getnewargs|getstate|setstate|reduce|copy|deepcopy"
    r"|getattr|setattr|delattr|eq|post_init|get|set_name)__|update|advance"
)


# ------------------------------------------------------------------------------------ what is public
def public() -> Iterator[tuple[str, Any]]:
    """What is public, by its name: functions, classes that are made by a call, and methods of all classes.

    Records, whose constructors are generated, are made by the library.
    """
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [(each, {"microbp": microbp, "viz": viz}[each]) for each in OURS]
    while pending:
        name, each = pending.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if inspect.ismodule(each):
            pending += [(f"{name}.{inner}", getattr(each, inner)) for inner in each.__all__]
        elif inspect.isclass(each):
            if issubclass(each, BaseException | enum.Enum):
                continue
            record = dataclasses.is_dataclass(each) or hasattr(each, "_fields") or each is microbp.Program
            record |= inspect.isabstract(each)
            if not record and each.__init__ is not object.__init__:
                yield name, each
            for method, function in methods(each):
                if id(function) not in seen and not (record and method == "__init__"):
                    seen.add(id(function))
                    yield f"{name}.{method}", each
        elif callable(each) and getattr(each, "__origin__", None) is None:
            yield name, each


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Those of our own that take arguments; ``__init__`` is the call of the class."""
    for base in kind.__mro__:
        for name, held in vars(base).items() if base.__module__.split(".")[0] in OURS else ():
            function = getattr(held, "__func__", held)
            own = not PROTOCOL.fullmatch(name) and (not name.startswith("_") or name.endswith("__"))
            if inspect.isfunction(function) and own and name != "__init__":
                taken = len(inspect.signature(function).parameters)
                if taken > (not isinstance(held, staticmethod)):
                    yield name, function


class Here:
    """As much of a Client of Dask as a program asks for, in this thread."""

    def nthreads(self) -> dict[str, int]:
        return {"here": 1}

    def compute(self, parts: list[Any]) -> Any:
        return dask.compute(*parts, scheduler="synchronous")

    def submit(self, function: Callable[..., Any], *args: Any, pure: bool) -> Any:
        assert not pure
        return function(*args)

    def get(self, graph: dict[Any, Any], key: Any) -> Any:
        return dask.get(graph, key)


# --------------------------------------------------------------------------------------- right calls
class World:
    """Something of each public class, and an argument for each parameter by its name."""

    def __init__(self, file: str) -> None:
        w, x = self.w, self.x = Value(0.5, name="w"), Value(3.0, name="x")
        y = self.y = w * w * x
        y.backward()
        self.net, self.graph, self.trace = MLP(1, [2, 1], seed=1), Graph(y, {}), microbp.trace(y, {})
        self.snapshots = viz.Snapshots(self.net)
        self.net([1.0]).backward()
        self.snapshots.take()
        self.file = file
        self.picture, self.film = _shown()

    def made(self, kind: type) -> Any:
        """Something of this class."""
        makes: dict[str, Callable[[], Any]] = {
            "MLP": lambda: self.net, "Layer": lambda: microbp.Layer(1, 1),
            "Neuron": lambda: microbp.Neuron(1), "Array": lambda: microbp.array([1.0, 2.0], "a"),
            "group": lambda: microbp.group("h"),
            "Graph": lambda: self.graph, "Trace": lambda: self.trace, "Value": lambda: self.w,
            "Operation": lambda: microbp.relu,
            "Program": lambda: microbp.compile(self.w * self.x, inputs=[self.x]),
            "Diagnosis": lambda: microbp.diagnose(Value(0.0, name="z").relu() * self.w, show=False),
            "Explanation": lambda: microbp.explain(self.y, self.w, names={}),
            "Drawing": lambda: viz.draw(self.y), "Page": lambda: viz.page(self.y),
            "Animation": lambda: viz.animate(self.y), "Snapshots": lambda: viz.Snapshots(self.net),
            "Affine": lambda: microbp.layers.Affine(np.ones((2, 2)), np.ones(2)),
            "ReLU": microbp.layers.ReLU, "Sigmoid": microbp.layers.Sigmoid,
            "SoftmaxWithLoss": microbp.layers.SoftmaxWithLoss,
            "TwoLayerNet": lambda: microbp.layers.TwoLayerNet(2, 2, 2),
            "SGD": lambda: optim.SGD([self.w], lr=0.1, momentum=0.9), "Adam": lambda: optim.Adam([self.w]),
            "AdamW": lambda: optim.AdamW([self.w]), "Constant": lambda: optim.Constant(0.1),
            "Cosine": lambda: optim.Cosine(0.1, 5), "Exponential": lambda: optim.Exponential(0.1, 0.9),
            "Linear": lambda: optim.Linear(0.1, 0.01, 5), "StepDecay": lambda: optim.StepDecay(0.1, 0.5, 2),
            "WarmUp": lambda: optim.WarmUp(3, 0.1),
        }  # fmt: skip
        made = makes[kind.__name__]()
        if isinstance(made, microbp.layers.BatchLayer):
            made.forward(*[[[1.0, 2.0]], [1]][: len(inspect.signature(made.forward).parameters)])
        return made

    def right(self, name: str, call: Any) -> dict[str, Any]:
        """Right arguments: one for each parameter that must be given, and for some others."""
        w, x, y, batch = self.w, self.x, self.y, np.array([[1.0, 2.0]])
        rule = RULES["relu"]
        # By the name of a parameter; or that of the function, or of what it is in, and the parameter.
        known: dict[str, Any] = {
            "loss": y, "root": y, "y": y, "wrt": w, "value": w, "net": self.net, "graph": self.graph,
            "claims": {"w": 1.0}, "step": 1, "which": "w", "position": 0, "node": self.graph.root,
            "roots": [y], "nodes": self.graph.nodes, "other": self.trace, "data": 1.0, "name": "g",
            "nin": 1, "nouts": [1], "nout": 1, "X": [[1.0], [2.0]], "Y": [1.0, 2.0], "parameters": [w],
            "lr": 0.1, "inputs": [1.0], "theta": np.array([0.5]), "params": [Value(1.0)],
            "predictions": [w], "targets": [1.0], "strength": 0.1, "max_norm": 1.0, "rule": "relu",
            "x": [1.0], "history": [1.0, 0.5], "picture": self.picture, "rate": 0.1, "steps": 5,
            "count": 2, "factor": 0.5,
            "final": 0.01, "every": 2, "then": 0.1, "style": None, "engine": "auto",
            "format": "svg", "width": 60, "names": {"x": "h"}, "expression": rule.y, "numbers": {"x": 2.0},
            "path": self.file, "film": self.film, "snapshots": self.snapshots,
            "microbp.MLP state": self.net.state(),
            "microbp.optim.SGD count": 2,
            "microbp.optim.SGD state": optim.SGD([w], lr=0.1, momentum=0.9).state(),
            "microbp.Trace text": self.trace.to_json(), "microbp.Graph text": self.graph.to_json(),
            "microbp.Graph data": [1.0] * len(self.graph), "microbp.Graph grad": [1.0] * len(self.graph),
            "microbp.fit loss": "half_squared_error",
            "microbp.minimize loss": lambda x: (w - x) ** 2, "microbp.minimize params": [w],
            "microbp.minimize data": [1.0, 2.0],
            "microbp.Program.map_reduce data": [[1.0], [2.0]], "microbp.Program.map_reduce client": Here(),
            "microbp.fit epochs": 1, "microbp.data_of x": w, "microbp.grad_of x": w,
            "microbp.softmax x": [w, 1.0], "microbp.log_softmax x": [w, 1.0], "microbp.Value other": 2.0,
            "microbp.numerical_gradient function": lambda: w * w * x, "microbp.Array kth": 0,
            "microbp.define name": f"own{len(RULES)}", "microbp.define args": "x",
            "microbp.define y": "x*x", "microbp.define d": "2*x", "microbp.step commands": ["quit"],
            "microbp.diagnose loss": y, "microbp.explain value": w,
            "microbp.from_onnx model": a_model(), "microbp.to_onnx what": self.net,
            "microbp.Operation rule": rule, "microbp.group function": lambda: y,
            "microbp.step stdin": io.StringIO(""), "microbp.step stdout": io.StringIO(),
            "microbp.losses.softmax_cross_entropy predictions": [[w, x]],
            "microbp.losses.softmax_cross_entropy targets": [1],
            "microbp.losses.binary_cross_entropy predictions": [w.sigmoid()],
            "microbp.layers x": batch, "microbp.layers t": np.array([1]), "microbp.layers.Affine dout": batch,
            "microbp.layers W": np.ones((2, 2)), "microbp.layers b": np.ones(2),
            "input_size": 2, "hidden_size": 2, "output_size": 2, "microbp.notation x": 0.5,
            "microbp.notation rule": rule, "microbp.notation.latex names": {"x": "h"},
            "microbp.notation.formula operands": ("h",),
            "viz.plot_boundary net": lambda p: Value(p[0] - p[1]), "viz.plot_boundary X": [[0, 1], [1, 0]],
            "viz.plot_boundary Y": [-1, 1], "viz.plot_boundary resolution": 4,
            "viz.Page.save path": f"{self.file}.html", "viz.Page path": f"{self.file}.html",
            "viz.Drawing path": f"{self.file}.dot", "viz.Animation path": f"{self.file}.svg",
            "args": (), "others": (), "microbp operands": (w,),
            "microbp.clip operands": (w, 0.0, 1.0), "microbp.select operands": (1.0, w, w),
            "microbp.dot operands": ([w], [1.0]), "microbp.cross_entropy operands": ([w], [1.0]),
            "microbp.logsumexp operands": ([w],), "microbp.maximum operands": (w, 1.0),
            "microbp.minimum operands": (w, 1.0), "microbp.Value.arctan2 others": (1.0,),
            "microbp.Value.fmod others": (1.0,), "microbp.Value.hypot others": (1.0,),
            "microbp.Value.logical_xor others": (1.0,),
            "microbp.Array.argpartition args": (1,), "microbp.Array.dot args": (batch[0],),
            "microbp.Array.searchsorted args": (1.0,),
        }  # fmt: skip
        parts = name.split(".")
        scopes = [".".join(parts[:end]) + " " for end in range(len(parts), 0, -1)] + [""]
        found = {}
        for each in inspect.signature(call).parameters.values():
            needed = each.default is each.empty and each.kind is not each.VAR_KEYWORD
            keys = [scope + each.name for scope in scopes if scope + each.name in known]
            if keys and (needed or " " in keys[0]):
                found[each.name] = known[keys[0]]
        return found


@cache
def _shown() -> tuple[Any, Any]:
    """A picture and a film, which are drawn once."""
    y = Value(0.5, name="w") * Value(3.0, name="x")
    return viz.draw(y, names={}).picture, viz.animate(y, names={}).film


def a_model() -> onnx.ModelProto:
    """A model of ONNX."""
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [1]) for name in "xy")
    node = onnx.helper.make_node("Tanh", ["x"], ["y"])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y]))


def callable_of(world: World, name: str, each: Any) -> Any:
    """What is called by a public name: a function, a class, or a method of something that there is."""
    method = name.rpartition(".")[2]
    if not inspect.isclass(each) or method == each.__name__:
        return each
    held = inspect.getattr_static(each, method)
    return getattr(each if isinstance(held, staticmethod) else world.made(each), method)


# ------------------------------------------------------------------------------------- wrong calls
def accident(error: BaseException, parameter: str = "no parameter", wrong: Any = None) -> bool:
    """Whether an error has happened to the library, rather than been raised by it.

    What Python says of a file is none, nor what it says of a call of the function that was given, and a
    TypeError of its own that names the argument.
    """
    if isinstance(error, OSError) and error.filename == str(wrong):
        return False
    if isinstance(error, TypeError) and (callable(wrong) or re.search(rf"\b{parameter}\b", str(error))):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    inside = any(each.filename.startswith((*FOLDERS, "<microbp")) for each in frames)
    last = frames[-1]
    ours = last.filename.startswith(FOLDERS)
    if ours and "raise" in linecache.getline(last.filename, last.lineno or 0).split("#")[0]:
        return False
    return inside


def refused_by_numpy(name: str, call: inspect.BoundArguments, error: Exception) -> bool:
    """Whether it is a method of NumPy's that NumPy refuses of floats, too, with an error of this type."""
    if not name.startswith("microbp.Array."):
        return False
    with pytest.raises(Exception) as caught:  # noqa: PT011
        getattr(np.array([1.0, 2.0]), name.rpartition(".")[2])(*call.args, **call.kwargs)
    return isinstance(error, caught.type)


#: What says in any case what to do instead, or has no value at the number.
REFUSED = {"__rfloordiv__", "__rmod__", "__rdivmod__", "arccosh"}
#: What needs a library that is not installed for the tests.
ELSEWHERE = {"to_jax": "jax", "to_torch": "torch"}
NAMES = dict(public())


@pytest.fixture(autouse=True)
def _sites_are_off_afterwards() -> Iterator[None]:
    yield
    microbp.record_sites(False)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_argument_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a text may be taken for the name of a file
    world = World(str(tmp_path / "right.npz"))
    function = callable_of(world, name, NAMES[name])
    signature = inspect.signature(function)
    accidents = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        right = world.right(name, function)
        for kind, wrong in WRONG.items():
            several = parameter.kind is parameter.VAR_POSITIONAL
            given = right | {parameter.name: (wrong,) if several else wrong}
            call = inspect.BoundArguments(signature, {})
            call.arguments.update({key: given[key] for key in signature.parameters if key in given})
            try:
                with redirect_stdout(io.StringIO()):
                    function(*call.args, **call.kwargs)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is looked at)
                if accident(error, parameter.name, wrong) and not refused_by_numpy(name, call, error):
                    accidents.append(f"{parameter.name}={kind}: {type(error).__name__}: {error}")
    assert not accidents, "\n".join(accidents)
    x = Value(3.0)  # and nothing is broken for the next call
    (x * x).backward()
    assert (x.grad, len(Graph(x * x))) == (6.0, 2)


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_right_call(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = World(str(tmp_path / "right.npz"))
    function = callable_of(world, name, NAMES[name])
    if name.endswith(".load"):
        world.made(NAMES[name]).save(world.file)
    call = inspect.BoundArguments(inspect.signature(function), world.right(name, function))
    with redirect_stdout(io.StringIO()):
        if name.rpartition(".")[2] in REFUSED:
            with pytest.raises((TypeError, microbp.UndefinedOperation), match=r"plain number|no value"):
                function(*call.args, **call.kwargs)
        elif library := ELSEWHERE.get(name.rpartition(".")[2]):
            monkeypatch.setitem(sys.modules, library, None)
            with pytest.raises(ImportError, match=rf"pip install 'microbp\[{library}\]'$"):
                function(*call.args, **call.kwargs)
        else:
            function(*call.args, **call.kwargs)


@pytest.mark.parametrize(
    ("call", "name", "meant"),
    [
        (lambda w: microbp.explain(w, nams={}), "nams", "did you mean 'names'?"),
        (lambda w: microbp.compile(w, frm="matrix"), "frm", "did you mean 'form'?"),
        (lambda w: viz.draw(w, rankdirs="TB"), "rankdirs", "did you mean 'rankdir'?"),
        (lambda w: MLP(w, [1], actvation="relu"), "actvation", "did you mean 'activation'?"),
        (lambda w: optim.SGD([w], eta=0.1), "eta", "it takes parameters, lr, momentum, nesterov"),
    ],
)
def test_a_misspelt_argument_is_told_with_what_it_was_meant_to_be(call: Any, name: str, meant: str) -> None:
    told = f" got an unexpected keyword argument '{name}'; {meant}"
    with pytest.raises(TypeError, match=f"{re.escape(told)}$"):
        call(Value(1.0, name="w"))


def test_an_accident_would_be_caught() -> None:
    def broken(x: Any) -> Any:
        return microbp.notation.symbol.__wrapped__(x)  # type: ignore[attr-defined]

    with pytest.raises(AttributeError) as caught:
        broken(5)
    assert accident(caught.value)
    with pytest.raises(TypeError, match=r"^symbol\(\): rule takes Rule \| str, not 5$") as raised:
        microbp.notation.symbol(5)  # type: ignore[arg-type]
    assert not accident(raised.value)


def test_an_error_that_is_not_the_call_s_stays() -> None:
    class Net(MLP):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x).numbers

    with pytest.raises(AttributeError, match="'Value' object has no attribute 'numbers'"):
        microbp.fit(Net(1, [1]), [[1.0]], [1.0], loss="hinge")
    with pytest.raises(TypeError, match=r"^explain\(\) missing 1 required positional argument: 'loss'$"):
        microbp.explain()  # type: ignore[call-arg]


class Unsaid:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_what_cannot_be_repeated_is_told_by_its_type() -> None:
    with pytest.raises(TypeError, match=r"rule takes Rule \| str, not an object of type Unsaid$"):
        microbp.notation.symbol(Unsaid())  # type: ignore[arg-type]


def test_public_functions_are_pickled() -> None:
    for each in (microbp.softmax, microbp.fit, viz.draw, optim.clip_gradients):
        assert pickle.loads(pickle.dumps(each)) is each


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


@at_once(
    [
        ("SGD", "; it is microbp.optim.SGD"),
        ("mean_squared_error", "; it is microbp.losses.mean_squared_error"),
        *((each, f"; it is viz.{each}") for each in viz.__all__ if re.match(r"(?!plot_)[a-z]", each)),
        ("torch", ""),
    ]
)
def test_a_name_that_another_module_has_is_told_with_the_module(name, told):
    with pytest.raises(AttributeError, match=f"^module 'microbp' has no attribute '{name}'{told}$"):
        getattr(microbp, name)
    assert not hasattr(microbp, name)
    assert hasattr(viz, name) == ("viz" in told)
