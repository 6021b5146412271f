"""Networks: what they compute, what their parameters are, and what they refuse.

micrograd's numbers stand here as numbers; beside them the same net is computed once more in plain
floats, forward and, by hand, backward.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import math
import pickle
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import at_once, here

import microbp
from microbp import Array, Graph, GrowingGraphWarning, NoGradientError, Value, grad, grad_of
from microbp.nn import ACTIVATIONS, INITIALISATIONS, MLP, Layer, Module, Neuron
from microbp.rules import RULES


def numbers(module: Module) -> list[float]:
    return [value.data for value in module.parameters()]


def cube(z: Any) -> Any:
    return z * z * z


def set_numbers(module: Module, new: list[float]) -> None:
    for value, number in zip(module.parameters(), new, strict=True):
        value.data = number


# ------------------------------------------------------------------------ the drop-in for micrograd
def by_hand(sizes: list[int], flat: list[float], x: list[float]) -> tuple[float, list[float]]:
    """The output of a relu net with one linear output, and ∂output/∂parameter for each.

    ``flat`` has the parameters neuron by neuron, the weights and then the bias.
    """
    rest = iter(flat)
    layers = [
        [([next(rest) for _ in range(nin)], next(rest)) for _ in range(nout)]
        for nin, nout in pairwise(sizes)
    ]
    outputs = [x]
    for layer in layers:
        z = [sum(w * a for w, a in zip(ws, outputs[-1], strict=True)) + b for ws, b in layer]
        outputs.append([max(0.0, each) for each in z] if layer is not layers[-1] else z)
    delta = [1.0]
    gradient: list[float] = []
    for layer, a in zip(reversed(layers), reversed(outputs[:-1]), strict=True):
        here = [part for d in delta for part in (*(d * each for each in a), d)]
        gradient = here + gradient
        back = [sum(d * ws[i] for d, (ws, _) in zip(delta, layer, strict=True)) for i in range(len(a))]
        delta = [g if each > 0.0 else 0.0 for g, each in zip(back, a, strict=True)]
    return outputs[-1][0], gradient


def micrograds_weights(sizes: list[int], seed: int) -> list[float]:
    """As micrograd draws them: neuron by neuron, uniform in ±1, with a bias of 0."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    flat = []
    for nin, nout in pairwise(sizes):
        for _ in range(nout):
            flat += [rng.uniform(-1.0, 1.0) for _ in range(nin)] + [0.0]
    return flat


SIZES = [2, 16, 16, 1]
X = [0.5, -1.25]


class TestMicrogradsDemoNet:
    @pytest.fixture
    def net(self) -> MLP:
        net = MLP(2, [16, 16, 1])
        set_numbers(net, micrograds_weights(SIZES, 1337))
        return net

    def test_gives_micrograd_s_numbers(self, net: MLP) -> None:
        # micrograd 0.1.0, random.seed(1337), score = MLP(2, [16, 16, 1])([0.5, -1.25])
        score = net(X)
        loss = (1 - score).relu() + 1e-4 * sum(p * p for p in net.parameters())
        loss.backward()
        some = [net.parameters()[i].grad for i in (0, 1, 2, 48, 64, 65, 320, 336)]
        assert score.data == pytest.approx(-0.9126631686036558, rel=1e-13)
        assert loss.data == pytest.approx(1.9222558250351558, rel=1e-13)
        assert some == pytest.approx(
            [
                0.37227707962759876, -0.9305616399826033, 0.7444599569696363, -0.03159261698695068,
                -0.9128783824023976, 0.028563509456075237, -0.027913008139354954, -1.0,
            ],
            rel=1e-12,
        )  # fmt: skip

    @given(seed=st.integers(0, 10**6), x=st.lists(st.floats(-3, 3), min_size=2, max_size=2))
    def test_agrees_with_plain_floats_and_a_backward_pass_by_hand(
        self, seed: int, x: list[float]
    ) -> None:
        flat = micrograds_weights(SIZES, seed)
        net = MLP(2, [16, 16, 1])
        set_numbers(net, flat)
        out, expected = by_hand(SIZES, flat, x)
        score = net(x)
        score.backward()
        gradient = [value.grad for value in net.parameters()]
        assert score.data == pytest.approx(out, rel=1e-12, abs=1e-14)
        assert gradient == pytest.approx(expected, rel=1e-12, abs=1e-14)

    def test_has_one_dot_for_each_neuron_and_one_relu_for_each_hidden_one(self, net: MLP) -> None:
        graph = Graph(net(X))
        assert Counter(node.rule.name if node.rule else "" for node in graph) == {
            "dot": 33, "relu": 32, "": 337,
        }  # fmt: skip
        assert len(graph) == 402

    def test_parameters_are_in_micrograd_s_order(self, net: MLP) -> None:
        expected = []
        for layer in net.layers:
            for neuron in layer.neurons:
                expected += [*neuron.w, neuron.b]
        assert net.parameters() == expected
        assert len(expected) == 337

    def test_learns_by_micrograd_s_loop(self, net: MLP) -> None:
        points = [([0.0, 0.0], -1.0), ([1.0, 1.0], -1.0), ([0.0, 1.0], 1.0), ([1.0, 0.0], 1.0)]
        for _ in range(60):
            total = sum((1 + -y * net(x)).relu() for x, y in points) * (1.0 / len(points))
            net.zero_grad()
            total.backward()
            for p in net.parameters():
                p.data += -0.05 * grad_of(p)
        assert total.data == 0.0
        assert all(net(x).data * y >= 1.0 for x, y in points)


def test_the_signatures_are_micrograd_s() -> None:
    assert list(inspect.signature(Neuron).parameters)[:2] == ["nin", "nonlin"]
    assert list(inspect.signature(Layer).parameters)[:3] == ["nin", "nout", "nonlin"]
    assert list(inspect.signature(MLP).parameters)[:2] == ["nin", "nouts"]
    assert str(Neuron(3, False)) == str(Neuron(3, nonlin=False)) == "linear Neuron(3)"


def test_reprs() -> None:
    assert repr(Neuron(2)) == "relu Neuron(2)"
    assert repr(Layer(2, 2, activation="tanh")) == "Layer of [tanh Neuron(2), tanh Neuron(2)]"
    assert repr(MLP(2, [1, 1])) == "MLP of [Layer of [relu Neuron(2)], Layer of [linear Neuron(1)]]"
    assert repr(Neuron(1, activation=microbp.leaky_relu)) == "leaky_relu Neuron(1)"
    assert repr(Neuron(1, activation=math.sqrt)) == "sqrt Neuron(1)"
    steep = functools.partial(microbp.leaky_relu, s=0.5)  # it has no name
    assert repr(Neuron(1, activation=steep)) == f"{steep} Neuron(1)"


def test_a_layer_returns_a_list_and_the_output_itself_if_there_is_but_one() -> None:
    assert [type(each) for each in Layer(2, 2)([1.0, 2.0])] == [Value, Value]
    assert type(Layer(2, 1)([1.0, 2.0])) is Value
    assert type(MLP(2, [1])([1.0, 2.0])) is Value
    assert [type(each) for each in MLP(2, [1, 2])([1.0, 2.0])] == [Value, Value]


def test_a_hidden_layer_of_one_neuron_feeds_the_next() -> None:
    net = MLP(1, [1, 1, 1], activation="linear")
    w1, _, w2, _, w3, _ = numbers(net)
    assert net([2.0]).data == w3 * (w2 * (w1 * 2.0))


@pytest.mark.parametrize("kind", [list, tuple, np.array, np.int8, np.float32])
def test_an_input_is_any_flat_sequence_of_numbers(kind: Callable[[Any], Any]) -> None:
    net = MLP(2, [3, 1], seed=3, activation="tanh")
    assert net(kind([2, -3])).data == net([2.0, -3.0]).data


@pytest.mark.parametrize("wrap", [list, tuple, microbp.array])
def test_inputs_may_be_values_and_get_gradients(wrap: Callable[[Any], Any]) -> None:
    x = [Value(2.0), Value(-3.0)]
    neuron = Neuron(2, nonlin=False)
    neuron(wrap(x)).backward()
    assert [each.grad for each in x] == [w.data for w in neuron.w]
    assert [w.grad for w in neuron.w] == [2.0, -3.0]
    assert neuron.b.grad == 1.0


def test_zero_grad_forgets() -> None:
    net = MLP(2, [2, 1], activation="tanh")
    net([1.0, 2.0]).backward()
    assert all(value.grad is not None for value in net.parameters())
    net.zero_grad()
    assert [value.grad for value in net.parameters()] == [None] * 9


# ------------------------------------------------------------------- a layer says what its neurons say
class Doubled(Neuron):
    def __call__(self, x: Any) -> Any:
        return 2.0 * super().__call__(x)


def test_a_layer_says_what_its_neurons_say_whatever_they_are() -> None:
    layer, x = Layer(2, 4, seed=1), [Value(0.5), -1.0]
    layer.neurons[1] = Doubled(2, seed=2)
    layer.neurons[3].w = np.array(layer.neurons[3].w)
    outputs = layer(x)
    assert [y.data for y in outputs] == [neuron(x).data for neuron in layer.neurons]
    graph = Graph(microbp.sum(outputs))
    named = {node.group[-1][0] for node in graph if node.rule and node.group}
    assert named == {f"neurons.{n}" for n in range(4)}


def test_a_call_of_neurons_that_somebody_has_replaced_is_what_a_layer_asks(monkeypatch: Any) -> None:
    monkeypatch.setattr(Neuron, "__call__", lambda _neuron, _x: 7.0)
    assert Layer(2, 3)([0.5, 1.0]) == [7.0, 7.0, 7.0]


def test_an_activation_is_asked_once_by_each_neuron_and_what_it_raises_leaves_no_group() -> None:
    asked: list[Value] = []

    def odd(x: Value) -> Value:
        asked.append(x)
        if len(asked) == 5:
            raise LookupError("the fifth")
        return x.tanh()

    layer = Layer(1, 3, activation=odd)
    layer.neurons[1] = Doubled(1, activation=odd)
    layer([0.5])
    assert len(asked) == 3
    with pytest.raises(LookupError, match="the fifth"):
        layer([0.5])
    assert (len(asked), Graph(Value(2.0) * 3.0).root.group) == (5, ())


def test_what_a_neuron_of_a_layer_refuses_is_told_as_by_itself() -> None:
    layer = Layer(2, 2)
    layer.neurons[1].w.pop()
    with pytest.raises(ValueError, match="Neuron takes 1 inputs, not 2"):
        layer([0.5, 1.0])
    with pytest.raises(TypeError, match="'x'"):
        Layer(1, 2)(["x"])


def test_the_call_of_a_module_is_looked_at_as_a_function_is() -> None:
    call = Neuron.__call__
    assert pickle.loads(pickle.dumps(call)) is call
    assert [*inspect.signature(call).parameters] == ["self", "x"]
    assert [*inspect.signature(Neuron(1)).parameters] == ["x"]
    assert inspect.isroutine(call)
    assert (call.__name__, call.__doc__) == ("__call__", inspect.unwrap(call).__doc__)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Neuron(1)()  # type: ignore[call-arg]


# -------------------------------------------------------------------------------------- activations
#: Each kind of net, from its number of inputs.
MAKERS = [Neuron, lambda n, **o: Layer(n, 1, **o), lambda n, **o: MLP(n, [1, 1], **o)]


@at_once(["linear", *ACTIVATIONS])
def test_each_named_activation_is_its_operation(name: str) -> None:
    neuron = Neuron(2, activation=name)
    set_numbers(neuron, [0.25, 0.5, 0.125])
    z = 0.25 * 1.0 + 0.5 * 0.5 + 0.125
    expected = z if name == "linear" else microbp.functions.Operation(RULES[name])(z)
    out = neuron([1.0, 0.5])
    assert out.data == expected
    assert len(Graph(out)) == (4 if name == "linear" else 5)


def test_every_operation_of_one_argument_is_an_activation() -> None:
    assert {"relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "silu", "gelu"} <= {*ACTIVATIONS}
    assert not {"add", "pow", "maximum", "dot", "sum", "select"} & {*ACTIVATIONS}


def test_an_activation_for_each_layer() -> None:
    net = MLP(1, [1, 1, 1], activation=["tanh", "linear", "sigmoid"])
    set_numbers(net, [0.5, 0.25, -2.0, 1.0, 3.0, 0.0])
    expected = 3.0 * (-2.0 * math.tanh(0.5 * 4.0 + 0.25) + 1.0)
    assert net([4.0]).data == pytest.approx(1.0 / (1.0 + math.exp(-expected)), rel=1e-15)
    assert [layer.neurons[0]._label for layer in net.layers] == ["tanh", "linear", "sigmoid"]


def test_one_activation_is_for_all_layers_but_the_last() -> None:
    net = MLP(1, [2, 2, 2], activation="sigmoid")
    assert [layer.neurons[1]._label for layer in net.layers] == ["sigmoid", "sigmoid", "linear"]


def test_activations_of_one_s_own() -> None:
    net = MLP(1, [1, 1], activation=[cube, microbp.leaky_relu])
    set_numbers(net, [2.0, 0.0, -1.0, 0.0])
    out = net([0.5])
    assert out.data == pytest.approx(-0.01)
    assert grad(out, net.parameters()) == pytest.approx([-0.01 * 3.0 * 0.5, -0.01 * 3.0, 0.01, 0.01])
    assert repr(net) == "MLP of [Layer of [cube Neuron(1)], Layer of [leaky_relu Neuron(1)]]"
    assert MLP(1, [1, 1], activation=cube).layers[1].neurons[0]._label == "linear"


def test_an_activation_that_leaves_the_graph_is_refused_by_the_value() -> None:
    with pytest.raises(TypeError, match="would leave the graph without a trace"):
        Neuron(1, activation=math.tanh)([1.0])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"activation": "rleu"}, "no activation is called 'rleu'; did you mean 'relu'?"),
        ({"activation": "?"}, f"no activation is called '?'; there are {', '.join(sorted(ACTIVATIONS))}"),
        ({"init": "xaver"}, "no initialisation is called 'xaver'; did you mean 'xavier'?"),
        ({"init": "?"}, "no initialisation is called '?'; there are he, uniform, xavier"),
        ({"init": None}, "no initialisation is called None; there are he, uniform, xavier"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(
    make: Callable[..., Module], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        make(2, **options)
    assert str(caught.value) == text


def test_a_list_of_activations_is_for_a_net_not_for_a_neuron() -> None:
    with pytest.raises(ValueError, match=r"^no activation is called \['relu', 'tanh'\]; "):
        Neuron(2, activation=["relu", "tanh"])  # type: ignore[arg-type]


@pytest.mark.parametrize("make", MAKERS)
def test_an_unknown_keyword_is_refused(make: Callable[..., Module]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'activatoin'"):
        make(2, activatoin="relu")


# ------------------------------------------------------------------------------------ what is refused
ONE_SAMPLE = "takes one sample of 2 inputs, not an array"


@at_once(
    [
        (Neuron(2), [1.0], "Neuron takes 2 inputs, not 1"),
        (Neuron(2), [], "Neuron takes 2 inputs, not 0"),
        (Neuron(1), [1.0, 2.0], "Neuron takes 1 inputs, not 2"),
        (Layer(2, 3), (1.0, 2.0, 3.0), "Layer takes 2 inputs, not 3"),
        (Layer(2, 1), np.ones(5), "Layer takes 2 inputs, not 5"),
        (MLP(3, [2, 1]), [1.0, 2.0], "MLP takes 3 inputs, not 2"),
        (MLP(3, [2, 1]), microbp.array([1.0]), "MLP takes 3 inputs, not 1"),
        (Neuron(2), np.ones((5, 2, 1)), f"Neuron {ONE_SAMPLE} of shape (5, 2, 1)"),
        (Layer(2, 1), np.ones((1, 3)), "Layer takes 2 inputs, not 3"),
        (MLP(2, [1]), [[1.0], [2.0]], "MLP takes 2 inputs, not 1"),
        (MLP(2, [1]), microbp.array([[1.0]]), "MLP takes 2 inputs, not 1"),
        (MLP(2, [1]), 3.0, "MLP takes one sample of 2 inputs, not an object of type float"),
        (MLP(2, [1]), Value(3.0), "MLP takes one sample of 2 inputs, not an object of type Value"),
        (MLP(2, [1]), ([1.0, 2.0], 3.0), "MLP takes one sample of 2 inputs, not an object of type float"),
        (Layer(2, 1), ([1.0, 2.0], [3.0]), "Layer takes 2 inputs, not 1"),
        (MLP(2, [1]), "34", "MLP takes one sample of 2 inputs, not an object of type str"),
    ]
)
def test_an_input_of_the_wrong_shape_is_refused_with_both_numbers(
    module: Callable[[Any], Any], x: Any, text: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        module(x)
    assert str(caught.value) == text


@pytest.mark.parametrize("x", [[1.0, None], [1.0, "2"], [1.0, True], [1.0, [2.0]], [1.0, 2j]])
def test_an_input_that_is_no_number_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match=r"^dot\(w…, x…, b\) takes a real number, not "):
        MLP(2, [2, 1])(x)


@at_once(
    [Neuron(2, seed=1), Layer(2, 3, seed=1), MLP(2, [3, 2], seed=1)], [np.array, list, tuple, microbp.array]
)
def test_the_rows_of_an_array_are_samples(module: Any, kind: Callable[[Any], Any]) -> None:
    rows = [[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]]
    said = module(kind(rows))
    assert isinstance(said, Array)
    assert np.array_equal(microbp.data_of(said), [microbp.data_of(module(row)) for row in rows])
    np.sum(said).backward()
    assert module.parameters()[-1].grad is not None


def test_nan_and_infinity_pass_through() -> None:
    net = MLP(2, [3, 1])
    assert math.isnan(net([math.nan, 1.0]).data)
    assert Neuron(1, init=lambda *_: 2.0)([math.inf]).data == math.inf


@pytest.mark.parametrize("n", [0, -1, 2.0, "2", None, [2]])
def test_a_wrong_width_is_refused(n: Any) -> None:
    cases: list[tuple[Callable[[], Module], str]] = [
        (lambda: Neuron(n), "nin"),
        (lambda: Layer(n, 2), "nin"),
        (lambda: Layer(2, n), "nout"),
        (lambda: MLP(n, [2]), "nin"),
        (lambda: MLP(2, [3, n]), "nout"),
    ]
    for make, what in cases:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
            make()
        assert str(caught.value) == f"{what} is a whole number of at least 1, not {n!r}"


@pytest.mark.parametrize("n", [10**7 + 1, 10**400, 10**5000], ids=["wide", "1e400", "1e5000"])
def test_a_width_that_no_scalars_fill_is_refused(n: int) -> None:
    for make, what in ((lambda: Neuron(n), "nin"), (lambda: Layer(2, n), "nout")):
        with pytest.raises(ValueError, match=f"^{what} is at most 10,000,000, since each weight is a Value$"):
            make()


def test_numpy_s_whole_numbers_are_widths() -> None:
    net = MLP(np.int64(2), np.array([3, 1]))  # type: ignore[arg-type]
    assert len(net.parameters()) == 13
    assert repr(net) == repr(MLP(2, (3, 1)))


@pytest.mark.parametrize("nouts", [[], (), np.array([]), 3, None, "21", {2: 1}])
def test_a_net_without_a_list_of_widths_is_refused(nouts: Any) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        MLP(2, nouts)
    assert str(caught.value) == f"nouts is a list with the width of at least one layer, not {nouts!r}"


def test_activations_that_do_not_fit_the_layers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^MLP has 2 layers but 3 activations$"):
        MLP(2, [3, 1], activation=["relu", "relu", "linear"])


# ----------------------------------------------------------------------------------- initial weights
@pytest.mark.parametrize("init", INITIALISATIONS)
def test_weights_that_are_drawn_at_once_are_those_drawn_one_by_one(init: str) -> None:
    singly = MLP(7, [5, 3], seed=3, init=functools.partial(INITIALISATIONS[init]))
    assert numbers(MLP(7, [5, 3], seed=3, init=init)) == numbers(singly)


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(init: str) -> None:
    def draw(**options: Any) -> list[float]:
        return numbers(MLP(3, [4, 2], init=init, **options))

    assert draw(seed=5) == draw(seed=5) == draw(rng=np.random.default_rng(5))
    weights = [x for x in draw(seed=5) if x]
    assert len(weights) == 20
    assert not {*weights} & {*draw(seed=6)}


def test_a_generator_is_shared_and_goes_on() -> None:
    rng = np.random.default_rng(5)
    first, second = Neuron(3, rng=rng), Neuron(3, rng=rng)
    one = Layer(3, 2, seed=5)
    assert numbers(first) + numbers(second) == numbers(one)


def test_all_neurons_of_a_net_draw_from_one_generator_in_the_order_of_the_parameters() -> None:
    net = MLP(3, [4, 2], seed=8)
    drawn = np.random.default_rng(8).uniform(-1.0, 1.0, 20).tolist()
    assert [value.data for name, value in net.named_parameters().items() if ".w." in name] == drawn


#: micrograd 0.1.0, random.seed(1337), MLP(2, [16, 16, 1]): the doubles of its 337 parameters, hashed,
#: and the weights and bias of the first neuron and the last.
MICROGRADS = "f5764effdf6169ff5fa0aaf7e5507a651876e3e41f46b0c93a96764947a43498"
FIRST, LAST = [0.23550571390294128, 0.06653114721000164, 0.0], [-0.3223491002609964, -0.2532524374373504, 0.0]


def test_python_s_seed_gives_micrograd_s_parameters_bit_for_bit() -> None:
    random.seed(1337)
    drawn = numbers(MLP(2, [16, 16, 1]))
    assert (drawn[:3], drawn[-3:], len(drawn)) == (FIRST, LAST, 337)
    assert hashlib.sha256(struct.pack("<337d", *drawn)).hexdigest() == MICROGRADS
    assert drawn == micrograds_weights([2, 16, 16, 1], 1337)
    random.seed(1337)
    one_by_one = [numbers(Neuron(2)) for _ in range(16)] + [numbers(Layer(16, 16)), numbers(Layer(16, 1))]
    assert [each for part in one_by_one for each in part] == drawn


@at_once(
    [Neuron, lambda n, **o: Layer(n, 2, **o), lambda n, **o: MLP(n, [2], **o)],
    [*INITIALISATIONS, lambda rng, nin, _nout: rng.normal() / nin],
)
def test_without_a_seed_python_s_random_rules(make: Callable[..., Module], init: Any) -> None:
    random.seed(7)
    first, second = numbers(make(3, init=init)), numbers(make(3, init=init, seed=None))
    assert not {*first} & {*second} - {0.0}
    random.seed(7)
    assert [numbers(make(3, init=init)) for _ in range(2)] == [first, second]
    random.seed(8)
    assert numbers(make(3, init=init)) != first


def test_with_a_seed_or_a_generator_the_global_random_state_is_not_touched() -> None:
    def state() -> Any:
        return pickle.dumps(np.random.get_state()), random.getstate()  # noqa: NPY002

    before = state()
    MLP(3, [4, 2], seed=8)
    MLP(3, [4, 2], rng=np.random.default_rng(8), init="he")
    assert state() == before


def test_biases_start_at_0() -> None:
    for init in INITIALISATIONS:
        assert [neuron.b.data for neuron in Layer(2, 5, init=init).neurons] == [0.0] * 5


def weights(init: Any, nin: int, nout: int) -> list[float]:
    return [w.data for neuron in Layer(nin, nout, init=init, seed=1).neurons for w in neuron.w]


def test_uniform_lies_between_minus_1_and_1() -> None:
    drawn = weights("uniform", 200, 50)
    assert -1.0 <= min(drawn) < -0.99
    assert 0.99 < max(drawn) < 1.0


def test_xavier_is_uniform_up_to_its_bound() -> None:
    bound = math.sqrt(6.0 / (30 + 20))
    drawn = weights("xavier", 30, 20)
    assert drawn == [x * bound for x in weights("uniform", 30, 20)]
    assert max(map(abs, drawn)) <= bound
    alone = Neuron(30, init="xavier", seed=1)
    assert alone.w[0].data == weights("uniform", 30, 1)[0] * math.sqrt(6.0 / 31.0)


def test_he_is_normal_with_its_standard_deviation() -> None:
    n, nin = 40_000, 400
    drawn = np.array(weights("he", nin, n // nin))
    sigma = math.sqrt(2.0 / nin)
    # The mean of n draws has the standard error σ/√n, their standard deviation σ/√(2n): 5 of each.
    assert abs(drawn.mean()) < 5.0 * sigma / math.sqrt(n)
    assert abs(drawn.std() / sigma - 1.0) < 5.0 / math.sqrt(2.0 * n)
    # Of a normal distribution 4.55 % are beyond 2σ; the standard error of that share is 0.1 %.
    assert abs((abs(drawn) > 2.0 * sigma).mean() - 0.0455) < 5.0 * 0.00104


def test_an_initialisation_of_one_s_own_is_told_fan_in_and_fan_out() -> None:
    net = MLP(2, [3, 1], init=lambda _rng, nin, nout: 10.0 * nin + nout)
    assert net.state()["layers.0.neurons.2.w"].tolist() == [23.0, 23.0]
    assert net.state()["layers.1.neurons.0.w"].tolist() == [31.0, 31.0, 31.0]


def test_an_initialisation_of_one_s_own_need_have_no_hash() -> None:
    @dataclass
    class Normal:
        scale: float

        def __call__(self, rng: np.random.Generator, _nin: int, _nout: int) -> float:
            return self.scale * rng.normal()

    drawn = np.random.default_rng(3).normal(size=2)
    assert [each.data for each in Neuron(2, init=Normal(0.5), seed=3).w] == (0.5 * drawn).tolist()


# --------------------------------------------------------------------------- what is a parameter
class Line(Module):
    def __init__(self, slope: float = 2.0) -> None:
        self.slope = Value(slope)


class Everything(Module):
    """Parameters in all places where a module may keep them, and things that are none."""

    def __init__(self) -> None:
        self.one = Value(0.0)
        self.listed = [Value(1.0), Value(2.0)]
        self.tupled = (Value(3.0),)
        self.matrix = microbp.array([[4.0, 5.0], [6.0, 7.0]])
        self.by_name = {"a": Value(8.0), "b": [Value(9.0), Value(10.0)]}
        self.nested = [[Value(11.0)], [Value(12.0), Line(13.0)]]
        self.line = Line(14.0)
        self.lines = np.array([Line(15.0), Line(16.0)], dtype=object)
        self.mixed = [Value(17.0), self.one * 2.0, None, 5.0]
        self.array_of_both = np.array([[Value(18.0), 1.0], [self.one + 1.0, Value(19.0)]], dtype=object)
        self.nothing: list[Value] = []
        self.computed = self.one + 1.0
        self.computed_array = self.matrix * 2.0
        self.data = np.ones((3, 3))
        self.text, self.number, self.maybe = "relu", 1.5, None
        self._private = Value(-1.0)
        self._private_module = Line(-2.0)


PATHS = [
    "one", "listed.0", "listed.1", "tupled.0", "matrix.0.0", "matrix.0.1", "matrix.1.0", "matrix.1.1",
    "by_name.a", "by_name.b.0", "by_name.b.1", "nested.0.0", "nested.1.0", "nested.1.1.slope",
    "line.slope", "lines.0.slope", "lines.1.slope", "mixed.0", "array_of_both.0.0", "array_of_both.1.1",
]  # fmt: skip


def test_parameters_are_leaf_values_wherever_they_are_kept() -> None:
    module = Everything()
    assert list(module.named_parameters()) == PATHS
    assert numbers(module) == [float(i) for i in range(20)]


def test_parameters_take_their_path_as_a_name() -> None:
    module = Everything()
    assert module.one.name is None
    module.name_parameters()
    assert [value.name for value in module.parameters()] == PATHS
    assert module._private.name is None
    assert module.computed.name is None


def test_a_key_stands_in_a_path_as_its_text_however_it_is_formatted() -> None:
    class Key:
        def __str__(self) -> str:
            return "key"

        def __format__(self, spec: str) -> str:
            return "formatted"

    module = Module()
    module.held = {Key(): Value(1.0)}  # type: ignore[attr-defined]
    module.name_parameters()
    assert [*module.state()] == [*module.named_parameters()] == ["held.key"]
    assert module.parameters()[0].name == "held.key"


def test_a_name_stays_what_it_was_whatever_becomes_of_its_path() -> None:
    class Key:
        text = "before"

        def __str__(self) -> str:
            return self.text

    module, other = Module(), Module()
    module.held, module.row = {Key(): Value(1.0)}, [Value(2.0), Value(3.0)]  # type: ignore[attr-defined]
    module.name_parameters()
    Key.text = "after"
    held, first, last = module.parameters()
    del module.row[0]  # type: ignore[attr-defined]
    other.taken = {"a": held, "b": [last]}  # type: ignore[attr-defined]
    assert [*other.named_parameters()] == ["taken.a", "taken.b.0"]
    assert [each.name for each in (held, first, last)] == ["held.before", "row.0", "row.1"]
    for twin in (copy.copy(last), copy.deepcopy(last), pickle.loads(pickle.dumps(last)), last.detach()):
        assert twin.name == "row.1"
    assert last < 4.0
    assert (last.name, Graph(last * 2.0).names[0]) == ("row.1", "row.1")
    other.name_parameters()
    assert [each.name for each in (held, first, last)] == ["taken.a", "row.0", "taken.b.0"]


def test_a_value_of_a_class_with_names_of_its_own_is_asked_to_take_its_path() -> None:
    class Shouting(Value):
        @property
        def name(self) -> str | None:
            return super().name

        @name.setter
        def name(self, name: str | None) -> None:
            Value.name.fset(self, name and str(name).upper())  # type: ignore[attr-defined]

    module = Module()
    module.one, module.several = Shouting(1.0), [Shouting(2.0), Value(3.0)]  # type: ignore[attr-defined]
    module.name_parameters()
    assert [each.name for each in module.parameters()] == ["ONE", "SEVERAL.0", "several.1"]


def test_the_parameters_of_a_net_are_named_from_the_start() -> None:
    net = MLP(2, [2, 1])
    assert [value.name for value in net.parameters()] == [
        "layers.0.neurons.0.w.0", "layers.0.neurons.0.w.1", "layers.0.neurons.0.b",
        "layers.0.neurons.1.w.0", "layers.0.neurons.1.w.1", "layers.0.neurons.1.b",
        "layers.1.neurons.0.w.0", "layers.1.neurons.0.w.1", "layers.1.neurons.0.b",
    ]  # fmt: skip
    assert [value.name for value in Layer(1, 1).parameters()] == ["neurons.0.w.0", "neurons.0.b"]
    assert [value.name for value in Neuron(1).parameters()] == ["w.0", "b"]
    assert Graph(net([1.0, 2.0]))["layers.1.neurons.0.b"].data == 0.0


def test_a_parameter_that_is_held_twice_stands_once_under_its_first_path() -> None:
    module = Module()
    shared = Value(1.0)
    module.first, module.second = [shared, Value(2.0)], {"again": shared}  # type: ignore[attr-defined]
    module.twins = [Line(), Line()]  # type: ignore[attr-defined]
    module.twins[1].slope = module.twins[0].slope  # type: ignore[attr-defined]
    assert list(module.named_parameters()) == ["first.0", "first.1", "twins.0.slope"]
    assert module.parameters()[0] is shared


@pytest.mark.filterwarnings("ignore::microbp.GrowingGraphWarning")
def test_lists_with_a_parameter_twice_and_with_a_computed_value_have_the_others_under_their_places() -> None:
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    module = Module()
    module.w, module.again, module.twice, module.mixed = [a], [b, a], [b, c, c], [a * b, Value(4.0)]  # type: ignore[attr-defined]
    assert list(module.named_parameters()) == ["w.0", "again.0", "twice.1", "mixed.1"]
    module.name_parameters()
    assert [each.name for each in (a, b, c, *module.mixed)] == ["w.0", "again.0", "twice.1", None, "mixed.1"]  # type: ignore[attr-defined]


def test_a_layer_used_twice_gets_the_sum_of_both_gradients() -> None:
    net = MLP(1, [1, 1], activation="linear")
    net.layers[1] = net.layers[0]
    assert len(net.parameters()) == 2
    set_numbers(net, [3.0, 0.5])
    out = net([2.0])  # w(wx + b) + b
    assert grad(out, net.parameters()) == [2 * 3.0 * 2.0 + 0.5, 3.0 + 1.0]


class Kinds(type):  # noqa: PLW1641
    """The kind of kinds that have no hash."""

    def __eq__(cls, other: object) -> bool:
        return cls is other


class Key(metaclass=Kinds):
    def __str__(self) -> str:
        return "k"


class Twice(dict[str, Value]):
    """Several values of one key."""

    def items(self) -> Any:
        return [("a", self["a"]), ("a", Value(1.0))]


@pytest.mark.parametrize(
    ("keys", "path"),
    [
        ({1: Value(0.0), "1": Value(1.0)}, "d.1"),
        ({"a": [Value(0.0)], "a.0": Value(1.0)}, "d.a.0"),
        ({Key(): Value(0.0), "k": Value(1.0)}, "d.k"),
        (Twice(a=Value(0.0)), "d.a"),
    ],
)
def test_two_parameters_of_one_path_are_refused_rather_than_one_lost(keys: Any, path: str) -> None:
    module = Module()
    module.d = keys  # type: ignore[attr-defined]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        module.parameters()
    told = f"two parameters have the path {path}; rename an attribute or a key of a dict"
    assert str(caught.value) == told


def test_a_module_may_say_itself_which_its_parameters_are_and_call_its_own_what_it_likes() -> None:
    class Part(Module):
        def __init__(self) -> None:
            self.a, self.b, self._runs = Value(1.0), Value(2.0), 0

        def named_parameters(self) -> dict[str, Value]:
            return {"only b": super().named_parameters()["b"]}

    part = Part()
    assert part.parameters() == [part.b]
    assert list(part.named_parameters()) == ["only b"]


def test_a_state_with_two_arrays_of_one_path_is_refused() -> None:
    module = Module()
    module.d = {1: [Value(0.0)], "1": [Value(1.0), Value(2.0)]}  # type: ignore[attr-defined]
    for ask in (module.state, lambda: module.load_state({})):
        with pytest.raises(ValueError, match=r"^two parameters have the path d\.1; "):
            ask()


def test_a_module_without_parameters() -> None:
    module = Module()
    assert module.parameters() == []
    assert module.state() == {}
    module.load_state({})
    module.zero_grad()


def test_freeze_lets_parameters_take_no_gradient_and_can_be_undone() -> None:
    net = MLP(2, [2, 1], activation="tanh")
    net([1.0, 2.0]).backward()
    net.layers[0].freeze()
    assert [value.requires_grad for value in net.parameters()] == [False] * 6 + [True] * 3
    assert [value.grad for value in net.layers[0].parameters()] == [None] * 6
    net.zero_grad()
    out = net([1.0, 2.0])
    out.backward()
    assert [value.grad is None for value in net.parameters()] == [True] * 6 + [False] * 3
    assert len(net.parameters()) == 9
    with pytest.raises(NoGradientError, match=r"^layers\.0\.neurons\.0\.w\.0 = .* is frozen"):
        grad(out, net.parameters())
    net.freeze(False)
    assert all(value.requires_grad for value in net.parameters())


# ------------------------------------------------------------------------------- state, save and load
def test_state_has_one_float_array_for_each_holder() -> None:
    state = Everything().state()
    assert {path: array.shape for path, array in state.items()} == {
        "one": (), "listed": (2,), "tupled": (1,), "matrix": (2, 2), "by_name.a": (), "by_name.b": (2,),
        "nested.0": (1,), "nested.1.0": (), "nested.1.1.slope": (), "line.slope": (), "lines.0.slope": (),
        "lines.1.slope": (), "mixed.0": (), "array_of_both.0.0": (), "array_of_both.1.1": (),
    }  # fmt: skip
    assert {array.dtype for array in state.values()} == {np.dtype(float)}
    assert state["matrix"].tolist() == [[4.0, 5.0], [6.0, 7.0]]


def test_a_state_is_a_copy() -> None:
    net = Neuron(2)
    state, before = net.state(), numbers(net)
    state["w"][:] = 9.0
    assert numbers(net) == before


def test_load_state_takes_over_the_numbers_and_keeps_the_parameters() -> None:
    module, other = Everything(), Everything()
    for value in other.parameters():
        value.data *= -3.0
    held = module.parameters()
    module.load_state(other.state())
    assert module.parameters() == held
    assert numbers(module) == numbers(other)
    assert module._private.data == -1.0


@pytest.mark.parametrize("kind", [list, tuple, np.int8, np.float32])
def test_load_state_takes_whatever_numpy_takes_for_real_numbers(kind: Callable[[Any], Any]) -> None:
    neuron = Neuron(2)
    neuron.load_state({"w": kind([1, 2]), "b": 3})
    assert numbers(neuron) == [1.0, 2.0, 3.0]
    assert [type(value.data) for value in neuron.parameters()] == [float] * 3


@pytest.mark.parametrize("as_text", [True, False])
def test_save_and_load_are_exact(tmp_path: Path, as_text: bool) -> None:
    path = tmp_path / "net.weights"  # no ending of NumPy's is added
    file = str(path) if as_text else path
    net, other = MLP(3, [5, 2], seed=1), MLP(3, [5, 2], seed=2)
    net.save(file)
    assert [each.name for each in tmp_path.iterdir()] == ["net.weights"]
    assert numbers(net) != numbers(other)
    other.load(file)
    assert numbers(net) == numbers(other)
    with np.load(path) as file_itself:
        assert list(file_itself) == list(net.state())


def test_nan_and_infinity_survive_save_and_load(tmp_path: Path) -> None:
    net, other = Neuron(2), Neuron(2)
    set_numbers(net, [math.nan, math.inf, -0.0])
    net.save(tmp_path / "net")
    other.load(tmp_path / "net")
    assert [x.hex() for x in numbers(other)] == ["nan", "inf", "-0x0.0p+0"]


def test_shared_parameters_are_saved_and_loaded_under_all_their_paths(tmp_path: Path) -> None:
    net = MLP(1, [1, 1])
    net.layers[1] = net.layers[0]
    net.save(tmp_path / "net")
    saved = numbers(net)
    set_numbers(net, [7.0, 8.0])
    net.load(tmp_path / "net")
    assert numbers(net) == saved
    net.load_state({path: array * math.nan for path, array in net.state().items()})
    assert all(map(math.isnan, numbers(net)))


TOLD = "this state does not fit the module: "


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"b": None}, "b is missing"),
        ({"c": 1.0}, "c is not a parameter here"),
        ({"w": [1.0, 2.0, 3.0]}, "w has shape (2,) here and (3,) there"),
        ({"w": [[1.0, 2.0]]}, "w has shape (2,) here and (1, 2) there"),
        ({"b": [1.0]}, "b has shape () here and (1,) there"),
        ({"b": "1.0"}, "b holds <U3 there, not real numbers"),
        ({"b": 1.0 + 0j}, "b holds complex128 there, not real numbers"),
        ({"b": True}, "b holds bool there, not real numbers"),
        ({"b": Value(1.0)}, "b holds object there, not real numbers"),
        ({"w": [1.0, None]}, "w holds object there, not real numbers"),
        ({"b": None, "w": 1.0, "x": 2.0},
         "b is missing; w has shape (2,) here and () there; x is not a parameter here"),
        ({f"x{i}": 1.0 for i in range(6)},
         "; ".join(f"x{i} is not a parameter here" for i in range(5)) + ", and 1 more"),
        ({f"x{i}": 1.0 for i in range(5)},
         "; ".join(f"x{i} is not a parameter here" for i in range(5))),
        ({f"x{i}": 1.0 for i in range(7)},
         "; ".join(f"x{i} is not a parameter here" for i in range(5)) + ", and 2 more"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_touched(
    change: dict[str, Any], text: str
) -> None:
    neuron = Neuron(2)
    before = numbers(neuron)
    state = {"w": [10.0, 20.0], "b": 30.0} | change
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        neuron.load_state({path: array for path, array in state.items() if array is not None})
    assert str(caught.value) == TOLD + text
    assert numbers(neuron) == before


@pytest.mark.parametrize("last", ["text", np.zeros(2), np.array(2j), None])
def test_nothing_is_touched_when_only_the_last_array_of_a_file_misfits(tmp_path: Path, last: Any) -> None:
    net = MLP(2, [3, 1])
    before = numbers(net)
    state: dict[str, Any] = {path: array + 1.0 for path, array in net.state().items()}
    assert list(state)[-1] == "layers.1.neurons.0.b"
    del state["layers.1.neurons.0.b"]
    if last is not None:
        state["layers.1.neurons.0.b"] = last
    np.savez(tmp_path / "net.npz", **state)
    with pytest.raises(ValueError, match=r"z: this state does not fit the module: layers\.1\.neurons\.0\.b "):
        net.load(tmp_path / "net.npz")
    assert numbers(net) == before


def test_two_numbers_for_a_shared_parameter_are_refused() -> None:
    net = MLP(1, [1, 1])
    net.layers[1] = net.layers[0]
    before, state = numbers(net), net.state()
    state["layers.1.neurons.0.b"] = np.array(5.0)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        net.load_state(state)
    assert str(caught.value) == TOLD + "layers.1.neurons.0.b holds 5.0 for what is 0.0 elsewhere in it"
    state["layers.1.neurons.0.b"] = np.array(math.nan)
    with pytest.raises(ValueError, match=r"b holds nan for what is 0\.0 elsewhere in it$"):
        net.load_state(state)
    assert numbers(net) == before


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    net = Neuron(2)
    before = numbers(net)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        net.load(tmp_path / "one.npy")
    assert str(caught.value) == f"{tmp_path / 'one.npy'} holds a single array, not what save() writes"
    np.savez(tmp_path / "objects.npz", w=np.array([Value(1.0), None], dtype=object), b=0.0)
    with pytest.raises(ValueError, match=r"at w\.npy: it holds Python objects"):  # which are never run
        net.load(tmp_path / "objects.npz")
    with pytest.raises(FileNotFoundError):
        net.load(tmp_path / "none.npz")
    assert numbers(net) == before


# -------------------------------------------------------------------------------- copies and pickles
def through_pickle(module: Any) -> Any:
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle])
class TestCopies:
    def test_compute_the_same_and_are_independent(self, copied: Callable[[Any], Any]) -> None:
        net = MLP(2, [3, 2], activation=["tanh", cube], seed=3)
        twin = copied(net)
        assert repr(twin) == repr(net)
        assert [out.data for out in twin([0.5, -1.0])] == [out.data for out in net([0.5, -1.0])]
        assert [v.name for v in twin.parameters()] == [v.name for v in net.parameters()]
        assert not {*twin.parameters()} & {*net.parameters()}
        before = numbers(net)
        set_numbers(twin, [0.0] * len(before))
        assert numbers(net) == before
        twin([1.0, 1.0])[0].backward()
        assert {value.grad for value in net.parameters()} == {None}

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_keep_every_named_activation(self, copied: Callable[[Any], Any], activation: str) -> None:
        neuron = Neuron(1, activation=activation, init=lambda *_: 0.5)
        assert copied(neuron)([1.0]).data == neuron([1.0]).data

    def test_keep_what_is_shared(self, copied: Callable[[Any], Any]) -> None:
        net = MLP(1, [1, 1])
        net.layers[1] = net.layers[0]
        twin = copied(net)
        assert twin.layers[1] is twin.layers[0]
        assert len(twin.parameters()) == 2
        both = copied([net, net.layers[0].neurons[0].b])
        assert both[0].parameters()[1] is both[1]

    def test_keep_gradients_and_what_is_frozen(self, copied: Callable[[Any], Any]) -> None:
        net = MLP(2, [1, 1], activation="tanh")
        net.layers[0].freeze()
        net([1.0, 2.0]).backward()
        twin = copied(net)
        assert [value.grad for value in twin.parameters()] == [value.grad for value in net.parameters()]
        assert [value.requires_grad for value in twin.parameters()] == [False] * 3 + [True] * 2

    def test_of_a_module_of_one_s_own(self, copied: Callable[[Any], Any]) -> None:
        twin = copied(Everything())
        assert list(twin.named_parameters()) == PATHS
        assert numbers(twin) == [float(i) for i in range(20)]
        assert isinstance(twin.matrix, Array)


@pytest.mark.parametrize(
    "missing", [("w",), ("b",), ("_activation",), ("b", "_activation"), ("b", "_activation", "w")]
)
def test_a_neuron_that_lacks_something_is_told_alike_by_itself_and_in_a_layer(missing: Any) -> None:
    layer = Layer(1, 2)
    for word in missing:
        delattr(layer.neurons[1], word)
    with pytest.raises(AttributeError) as alone:
        layer.neurons[1]([1.0])
    with pytest.raises(AttributeError) as inside:
        layer([1.0])
    assert str(inside.value) == str(alone.value)


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", Value.tanh])
def test_an_activation_has_its_line_like_every_other_value(activation):
    neuron = Neuron(1, activation=activation)
    microbp.record_sites(True)
    try:
        y = neuron([1.0])
    finally:
        microbp.record_sites(False)
    assert y.rule is RULES["tanh" if callable(activation) else activation]
    assert y.site == here(back=4)


# --------------------------------------------------------------------------------------- odd holders
class Foreign:
    """Somebody's class that is no Module, but has parameters() like one."""

    def __init__(self) -> None:
        self.slope, self.offsets = Value(2.0), [Value(0.0), Value(1.0)]

    def parameters(self) -> list[Value]:
        return [self.slope, *self.offsets]


def test_a_state_holds_what_parameters_are_found_in_other_classes(tmp_path: Path) -> None:
    class Net(Module):
        def __init__(self) -> None:
            self.inner, self.scale = Foreign(), Value(3.0)

    net = Net()
    assert [*net.named_parameters()] == ["inner.slope", "inner.offsets.0", "inner.offsets.1", "scale"]
    assert {path: x.shape for path, x in net.state().items()} == {
        "inner.slope": (), "inner.offsets": (2,), "scale": (),
    }  # fmt: skip
    net.save(tmp_path / "net.npz")
    twin = Net()
    set_numbers(twin, [0.0] * 4)
    twin.load(tmp_path / "net.npz")
    assert numbers(twin) == [2.0, 0.0, 1.0, 3.0]


def test_a_module_that_holds_itself_has_a_state() -> None:
    class Ring(Module):
        def __init__(self) -> None:
            self.me, self.w = self, Value(1.0)
            self.both = [self, [self.w]]

    assert {path: x.tolist() for path, x in Ring().state().items()} == {"w": 1.0, "both.1": [1.0]}
    assert Ring().named_modules() == {}


def test_rows_of_unequal_length_in_a_state_are_told_by_their_path() -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text)
        Neuron(2).load_state({"w": [[1.0], [1.0, 2.0]], "b": 0.0})
    told = (
        "this state does not fit the module: the rows of w there are of unequal length: w[0] has 1 entries, "
        "w[1] has 2"
    )
    assert str(caught.value) == told


@pytest.mark.parametrize("kind", [tuple, np.array, microbp.array])
def test_a_list_of_rows_of_any_kind_is_a_batch(kind: Callable[[Any], Any]) -> None:
    net, rows = MLP(2, [3, 1], seed=1), [[1.0, 2.0], [3.0, 4.0]]
    assert [y.data for y in net([*map(kind, rows)])] == [net(row).data for row in rows]


def test_a_generator_that_cannot_draw_what_is_asked_is_refused() -> None:
    with pytest.raises(TypeError, match=r"default_rng\(0\), not of type Random, which has no normal\(\)$"):
        Neuron(2, rng=random.Random(0), init="he")  # noqa: S311
    drawn = random.Random(0).uniform(-1.0, 1.0)  # noqa: S311
    assert Neuron(2, rng=random.Random(0)).w[0].data == drawn  # noqa: S311


def test_a_net_takes_the_keywords_of_a_neuron_and_looks_at_an_activation_that_it_does_not_use() -> None:
    assert {each.name for each in MLP(2, [2, 1], named=False).parameters()} == {None}
    with pytest.raises(ValueError, match="tanhh"):
        MLP(2, [1], activation="tanhh")


@dataclass(slots=True, eq=False)
class Slotted(Module):
    w: Value
    inner: Neuron


class InSlots:
    """No Module, as in the lecture."""

    __slots__ = ("b", "w")

    def __init__(self) -> None:
        self.w, self.b = [Value(1.0)], Value(0.0)

    def parameters(self) -> list[Value]:
        return [*self.w, self.b]


def test_what_a_module_holds_in_slots_are_parameters_too() -> None:
    net = Slotted(Value(2.0), Neuron(2, seed=1))
    assert [*net.named_parameters()] == ["w", "inner.w.0", "inner.w.1", "inner.b"]
    assert [*net.state()] == ["w", "inner.w", "inner.b"]
    net.late = [InSlots(), InSlots()]  # type: ignore[attr-defined]
    assert [*net.named_parameters()][4:] == ["late.0.b", "late.0.w.0", "late.1.b", "late.1.w.0"]
    (net.w * 2.0).backward()
    net.w -= 0.5
    with pytest.warns(GrowingGraphWarning, match=r"^self\.w is no parameter any more"):
        net.state()


class Apart(Neuron):
    """A module that says itself what its parameters are, one of which it keeps apart."""

    def __init__(self, seed: int) -> None:
        super().__init__(2, seed=seed)
        self._scale = Value(0.5 * seed)

    def parameters(self) -> list[Value]:
        return [self._scale, *super().parameters(), self._scale]


class Renamed(Neuron):
    """The same, which says what they are called."""

    def __init__(self, seed: int) -> None:
        super().__init__(2, seed=seed)
        self._scale = Value(0.5 * seed)

    def named_parameters(self) -> dict[str, Value]:
        return {"scale": self._scale} | super().named_parameters()


def one_by_one(seed: int) -> Neuron:
    """The same, which is said by the object alone and not by its class."""
    net, scale = Neuron(2, seed=seed), Value(0.5 * seed)
    found = net.parameters()
    net.parameters = lambda: [scale, *found]  # type: ignore[method-assign]
    return net


@pytest.mark.parametrize("kind", [Apart, Renamed, one_by_one])
def test_a_parameter_that_a_module_alone_says_it_has_is_saved(kind: Any, tmp_path: Path) -> None:
    net, other = kind(1), kind(2)
    assert [*net.state()] == ["w", "b", "parameters.0"]
    net.save(tmp_path / "net.npz")
    other.load(tmp_path / "net.npz")
    assert [p.data for p in other.parameters()] == [p.data for p in net.parameters()]
