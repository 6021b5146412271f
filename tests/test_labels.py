"""Whose name a value bears: what users gave stands, what was made up gives way."""

from __future__ import annotations

import itertools
import pickle
import threading
from functools import partialmethod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import microbp
from microbp import MLP, Graph, Layer, Module, Neuron, Value, explain
from microbp.labels import MOST, PathName, Variables, parameter_paths, variable_names
from microbp.layers import TwoLayerNet


class Net(Module):
    """A module of one's own, as it is written in a lecture."""

    def __init__(self) -> None:
        self.hidden, self.out = Layer(2, 2), Layer(2, 1)

    def __call__(self, x: Any) -> Any:
        return self.out(self.hidden(x))


class Plain:
    """The same without a base class."""

    def __init__(self) -> None:
        self.w, self.b = [Value(1.0), Value(2.0)], Value(0.5)

    def __call__(self, x: list[float]) -> Value:
        return self.w[0] * x[0] + self.w[1] * x[1] + self.b

    def parameters(self) -> list[Value]:
        return [*self.w, self.b]


def leaves(graph: Graph) -> list[str]:
    return [node.name for node in graph if node.rule is None]


# ------------------------------------------------------------------------- what users and variables say
def test_a_made_up_name_gives_way_to_a_variable() -> None:
    w, x, v2 = Value(3.0), Value(2.0), Value(5.0)
    y = (w * x) * v2
    graph = Graph(y, names={"w": w, "x": x, "v2": v2, "y": y})
    assert graph.names == ["w", "x", "v2#2", "v2", "y"]
    assert graph["v2"].data == 5.0
    assert "∂y/∂v2 = w·x = 3·2 = 6" in str(explain(y, "v2"))


def test_a_made_up_name_gives_way_to_variables_that_are_not_in_the_graph() -> None:
    w, v1 = Value(3.0), Value(7.0)
    for other in (v1, 7.0, [v1]):
        assert Graph(w * 2.0, names={"w": w, "v1": other}).names == ["w", "v1#2"]
    with pytest.raises(KeyError, match="no value named 'v1' in this graph"):
        Graph(w * 2.0, names={"v1": v1})["v1"]


names = st.sampled_from(["a", "a#2", "v0", "v1", "v1#2", "v3", None])


@given(st.lists(names, min_size=1, max_size=9))
def test_a_name_that_one_value_alone_bears_is_never_changed(given_: list[str | None]) -> None:
    values = [Value(float(index), name=name) for index, name in enumerate(given_)]
    graph = Graph(microbp.sum(values))
    assert len({*graph.names}) == len(graph)
    for value, name in zip(values, given_, strict=True):
        assert name is None or graph[name].data == next(v.data for v in values if v.name == name)
        if name is not None and given_.count(name) == 1:
            assert graph[value].name == name


scopes = st.dictionaries(st.sampled_from(["v0", "v1", "v9"]), st.integers(0, 8))


@given(st.lists(names, min_size=1, max_size=9), scopes)
def test_a_variable_means_its_value_unless_a_value_bears_that_name(
    given_: list[str | None], variables: dict[str, int]
) -> None:
    values = [Value(float(index), name=name) for index, name in enumerate(given_)]
    scope = {name: values[index] for name, index in variables.items() if index < len(values)}
    graph = Graph(microbp.sum(values), names=scope)
    assert len({*graph.names}) == len(graph)
    for name, value in scope.items():
        if name not in given_:
            assert graph[name].data == value.data


def test_a_value_is_found_by_all_its_names() -> None:
    w = Value(3.0, name="weight")
    graph = Graph(w * 2.0, names={"w": w, "all": [w]})
    assert graph[w].name == "weight"
    assert graph["w"] is graph["all[0]"] is graph["weight"]


def test_a_notebook_s_own_variables_name_nothing() -> None:
    w = Value(3.0)
    scope = {"In": ["", "w"], "Out": {1: w, 7: w}, "_7": w, "_": w, "params": [w], "w": w}
    assert Graph(w * 2.0, names=scope).names == ["w", "v1"]
    assert Graph(w * 2.0, names={"Out": {7: w}}).names == ["v0", "v1"]
    assert Graph(w * 2.0, names={"Out": w}).names == ["Out", "v1"]


def test_a_variable_beats_an_element_and_a_shallow_element_a_deep_one() -> None:
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    names = variable_names({"everything": [[a, b], c], "pair": (a, b), "other": (b, c), "a": a})
    assert (names[id(a)], names[id(b)], names[id(c)]) == ("a", "pair[1]", "everything[1]")


# ------------------------------------------------------------------------------- modules and their paths
def test_a_parameter_of_ones_own_module_has_its_whole_path() -> None:
    net = Net()
    for graph in (Graph(net([1.0, 2.0]), names={"net": net}), Graph(net([1.0, 2.0]))):  # known by its call
        assert leaves(graph)[:3] == ["hidden.neurons.0.w.0", "hidden.neurons.0.w.1", "hidden.neurons.0.b"]
        assert leaves(graph)[-1] == "out.neurons.0.b"
        assert graph["out.neurons.0.w.1"].path == ("out", "neurons", 0, "w", 1)
        assert graph.root.path == ()
        assert pickle.loads(pickle.dumps(graph)).paths == graph.paths


def test_the_last_parameter_is_not_called_by_a_loop() -> None:
    net = Plain()
    for p in net.parameters():
        p.grad = None
    graph = Graph(net([1.0, 2.0]), names={"p": p, "net": net})
    assert leaves(graph) == ["w.0", "w.1", "b"]
    assert graph["p"].name == "b"


def test_the_variable_of_a_loop_over_a_list_names_nothing_that_has_a_place_there() -> None:
    params = [Value(1.0), Value(2.0), Value(3.0)]
    for p in params:
        p.grad = None
    y = microbp.sum(params)
    graph = Graph(y, names={"p": p, "params": params, "y": y})
    assert leaves(graph) == ["params[0]", "params[1]", "params[2]"]
    assert graph["p"] is graph["params[2]"]
    a, b, c = params  # no loop gives a name to more than one
    assert leaves(Graph(y, names={"params": params, "a": a, "b": b, "c": c})) == ["a", "b", "c"]
    alone = [Value(1.0)]
    assert leaves(Graph(alone[0] * 2.0, names={"w": alone[0], "alone": alone})) == ["w"]


def test_a_class_with_parameters_is_a_module_too() -> None:
    net = Plain()
    graph = Graph(net([1.0, 2.0]), names={"net": net})
    assert [path for path in graph.paths if path] == [("w", 0), ("w", 1), ("b",)]


def test_paths_of_two_modules_are_told_apart_by_their_variables() -> None:
    one, other = Neuron(1), Neuron(1)
    x = Value(1.0)
    graph = Graph(one([x]) * other([x]), names={"one": one, "other": other, "x": x})
    assert leaves(graph) == ["one.w.0", "x", "one.b", "other.w.0", "other.b"]


def test_a_path_gives_way_to_what_a_user_named() -> None:
    net, b = Neuron(1), Value(4.0)
    graph = Graph(net([b]), names={"net": net, "b": b})
    assert leaves(graph) == ["w.0", "b", "net.b"]
    assert graph["b"].data == 4.0


def test_a_parameter_that_the_user_named_keeps_that_name() -> None:
    net = MLP(1, [1])
    net.layers[0].neurons[0].b.name = "threshold"
    assert leaves(Graph(net([1.0]), names={"net": net})) == ["layers.0.neurons.0.w.0", "threshold"]


def test_a_name_made_by_a_module_carries_its_path() -> None:
    name = MLP(1, [1]).parameters()[0].name
    assert isinstance(name, PathName)
    assert (name, name.path) == ("layers.0.neurons.0.w.0", ("layers", 0, "neurons", 0, "w", 0))
    assert pickle.loads(pickle.dumps(name)).path == name.path


def test_paths_are_those_of_named_parameters() -> None:
    shared = Neuron(2)
    net = Net()
    net.again, net.parts = shared, {"a": [shared, Neuron(1)], "W": microbp.array([[1.0, 2.0]])}  # type: ignore[attr-defined]
    net._own = Value(1.0)  # type: ignore[attr-defined]
    for module in (net, TwoLayerNet(2, 3, 2), MLP(2, [2, 1])):
        found = {".".join(map(str, path)): each for path, each in parameter_paths(module)}
        values = {path: each for path, each in found.items() if isinstance(each, Value)}
        assert [*values.items()] == [*module.named_parameters().items()]


def test_a_net_of_arrays_has_as_many_layers_as_arrays() -> None:
    layers = TwoLayerNet(16, 8, 4).parameter_layers()
    assert {name: len(values) for name, values in layers.items()} == {"W1": 128, "b1": 8, "W2": 32, "b2": 4}


# ---------------------------------------------------------------------- nothing hangs, nothing recurs
def test_containers_that_hold_themselves_are_nested_deep_or_share_parts_are_looked_through_once() -> None:
    x = Value(1.0)
    itself: list[Any] = []
    itself += [itself, x]
    deep: Any = [Value(2.0)]
    for _ in range(1000):
        deep = [deep]
    shared: Any = [Value(3.0)]
    for _ in range(60):
        shared = [shared, shared]
    ring = Plain()
    ring.inner = ring  # type: ignore[attr-defined]
    large = np.zeros(3 * MOST, dtype=object)
    scope = {"itself": itself, "deep": deep, "shared": shared, "ring": ring, "large": large, "x": x}
    assert [*Variables(scope).values] == ["x", "itself[1]"]
    assert Graph(x * 2.0, names=scope).names == ["x", "v1"]
    assert "= 2" in str(explain(x * 2.0, "x", names=scope))
    assert len([*parameter_paths(ring)]) == 3
    nest = Plain()
    nest.w = deep
    assert [path for path, _ in parameter_paths(nest)] == [("b",)]


def test_what_stands_beside_a_graph_and_refuses_everything_does_not_disturb() -> None:
    class Refusing(type):
        def __getattr__(cls, name: str) -> Any:
            raise ZeroDivisionError(name)

    class Proxy(metaclass=Refusing):
        """What stands for something that is not there now, as a web framework's request does."""

        @property  # type: ignore[misc]
        def __class__(self) -> Any:  # type: ignore[override]
            raise ZeroDivisionError

        __hash__ = object.__hash__
        __repr__ = __eq__ = __getattr__ = lambda *_: 1 / 0  # type: ignore[assignment]

    class Rows(list[Any]):
        def __iter__(self) -> Any:
            raise ZeroDivisionError

    class Lazy(dict[Any, Any]):
        def items(self) -> Any:
            raise ZeroDivisionError

    x, w = Value(1.0), Value(2.0)
    around = {"proxy": Proxy(), "parts": [Proxy(), {Proxy(): w}], "kind": Proxy}
    scope = {**around, "rows": Rows([w]), "lazy": Lazy(a=w), "x": x}
    assert Graph(x * w, names=scope).names == ["x", "parts[1][an object of type Proxy]", "v2"]
    assert "= 2" in str(explain(x * w, "x", names=scope))
    answers = microbp.check_answers(x * w, {"x": 2.0}, names=scope)
    assert answers.ok


def test_a_long_key_is_a_name_that_is_found() -> None:
    keys = [f"{'layer_' * 40}{which}{'_weight' * 40}" for which in ("first", "second")]
    held = {key: Value(at + 2.0) for at, key in enumerate(keys)}
    graph = Graph(microbp.sum([*held.values()]), names={"held": held})
    assert [graph[f"held[{key!r}]"].data for key in keys] == [2.0, 3.0]


def test_what_has_parameters_is_told_by_what_its_class_says_last() -> None:
    class Plain:
        def __init__(self) -> None:
            self.w = Value(1.0)

        def found(self, _: str) -> list[Value]:
            return [self.w]

        parameters = partialmethod(found, "all")

    class Without(Plain):
        parameters = None  # type: ignore[assignment]

    for kind, name in ((Plain, "w"), (Without, "v0")):
        net = kind()
        assert Graph(net.w * 2.0, names={"net": net}).names[0] == name


def test_a_dict_that_another_thread_fills_is_read_all_the_same() -> None:
    x, held, ended = Value(1.0), dict[int, Any](), threading.Event()

    def fill() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            held[number % 5_000] = [number]
            held.pop((number - 2_500) % 5_000, None)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        for _ in range(20):
            assert Graph(x * 2.0, names={"held": held, "x": x}).names == ["x", "v1"]
    finally:
        ended.set()
        thread.join()


def test_ten_thousands_of_equal_names_take_no_time() -> None:
    graph = Graph(microbp.sum([Value(1.0, name="k") for _ in range(40_000)]))  # by squares: for minutes
    assert graph.names[-2:] == ["k#40000", "v40000"]
