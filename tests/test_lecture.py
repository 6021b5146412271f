"""The names and habits of micrograd and its lecture: what works, and what is refused with a way out.

The programs follow the lecture and micrograd's two notebooks, step by step in lines of our own; beside
them stand the numbers that micrograd 0.1.0 gives, or the lecture's own Value.
"""

from __future__ import annotations

import copy
import pickle
import random
import re
from collections.abc import Callable, Iterable
from typing import Any

import graphviz
import numpy as np
import pytest
from matplotlib.figure import Figure

import microbp
from microbp import Graph, NoGradientError, Value, record_sites
from microbp.nn import MLP, Neuron
from microbp.rules import RULES


# ----------------------------------------------------------------------------------------- label
def test_label_and_name_are_one_thing() -> None:
    a = Value(2.0, label="a")
    assert (a.name, a.label, repr(a)) == ("a", "a", "Value(data=2.0, grad=None, name='a')")
    a.label = "b"
    assert (a.name, Graph(a * a)["b"].data) == ("b", 2.0)
    a.name = "c"
    assert a.label == "c"
    a.label = ""
    assert (a.name, a.label, Value(1.0).label, Value(1.0, label="").name) == (None, "", "", None)


def test_a_result_is_labelled_and_copies_keep_it_beside_line_and_group() -> None:
    record_sites()
    with microbp.group("g"):
        y = Value(2.0) * 3.0
    record_sites(on=False)
    line = y.site
    y.label = "y"
    assert y > 0.0  # which it remembers
    for twin in (y, copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert (twin.name, twin.label, twin.site) == ("y", "y", line)
        assert Graph(twin).root.group == (("g", 0),)


def test_a_label_is_a_word() -> None:
    with pytest.raises(TypeError, match=r"^a name is a str, not 3$"):
        Value(1.0, label=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^a name is a str, not 3$"):
        Value(1.0).label = 3  # type: ignore[assignment]
    with pytest.raises(TypeError) as caught:
        Value(1.0, "a", label="b")
    assert str(caught.value) == "Value() takes a name or a label, which are one thing, not 'a' and 'b'"


# ------------------------------------------------------------------------------------ the constructor
def test_a_leaf_is_made_as_in_micrograd() -> None:
    given: list[Any] = [((), ""), ((), "", "x"), (set(),), ()]
    for arguments in given:
        leaf = Value(2.0, *arguments)
        assert (leaf.is_leaf, leaf.label) == (True, "x" if len(arguments) == 3 else "")
    assert Value(2.0, _children=(), _op="", label="x").name == "x"


INSTEAD = (
    "apply the operation (a * b, a.tanh()); one of your own is stated by its value and its derivative, "
    "as in microbp.define('cube', 'a', y='a * a * a', d='3.0 * a * a')"
)


def test_operands_in_the_constructor_are_refused() -> None:
    a, b = Value(2.0), Value(3.0)
    calls: list[Callable[[], Any]] = [
        lambda: Value(6.0, (a, b), "*"),  # type: ignore[arg-type]
        lambda: Value(6.0, {a, b}),  # type: ignore[arg-type]
        lambda: Value(6.0, _children=(a, b), _op="*"),
        lambda: Value(6.0, _children=[a]),
        lambda: Value(6.0, _op="*", label="c"),
    ]
    for call in calls:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == f"Value(data, children, op) cannot be recorded by hand: {INSTEAD}"


class Tagged(Value):
    """A user's own kind of Value, which has a dict of attributes."""


@pytest.mark.parametrize("kind", [Value, Tagged])
@pytest.mark.parametrize("name", ["_backward", "_prev", "_op"])
def test_what_follows_from_the_operation_cannot_be_assigned(name: str, kind: type[Value]) -> None:
    value = kind(2.0, label="a")
    with pytest.raises(AttributeError) as caught:
        setattr(value, name, ())
    assert str(caught.value) == (
        f"{name} of Value(data=2.0, grad=None, name='a') cannot be set: it follows from the operation that "
        f"made the Value; {INSTEAD}"
    )


def test_what_is_offered_instead_works() -> None:
    cube = microbp.define("cube", "a", y="a * a * a", d="3.0 * a * a")
    y = cube(Value(2.0))
    assert (y.data, y.local_derivatives, y._op) == (8.0, (12.0,), "cube")


# ------------------------------------------------------------------------------------ _prev and _op
def test_prev_holds_the_operands_that_are_values() -> None:
    a, b = Value(2.0), Value(3.0)
    assert (a * b)._prev == {a, b}
    assert (a * a)._prev == (2 * a)._prev == (a**2)._prev == {a}
    assert microbp.dot([a, b], [b, 1.0], a)._prev == {a, b}
    assert type(a._prev) is set
    assert a._prev == set()


def test_op_is_micrograd_s_sign_or_the_operation_s_name() -> None:
    x, y = Value(2.0), Value(3.0)
    signs = {
        "": x, "+": 1 + x, "-": 1 - x, "*": 2 * x, "/": 1 / x, "**2": x**2, "**-1": x**-1, "**0.5": x**0.5,
        "**": x**y, "ReLU": x.relu(), "tanh": x.tanh(), "exp": x.exp(), "log": x.log(),
        "sigmoid": x.sigmoid(), "abs": abs(x), "sum": microbp.sum([x, y]),
        "dot": Neuron(1, nonlin=False)([x]),
    }  # fmt: skip
    assert {sign: each._op for sign, each in signs.items()} == {sign: sign for sign in signs}
    assert ((-x)._op, (2**x)._op, (x**2.0)._op, x.detach()._op) == ("-", "**", "**2.0", "")
    assert pickle.loads(pickle.dumps(x**2))._op == "**2"
    assert Tagged(2.0)._op == ""


# ------------------------------------------------------------------------ numbers as text, item, zero_grad
def test_a_value_is_formatted_like_its_number() -> None:
    loss = Value(2.0, label="x") * 1.23456
    assert (f"{loss:.3f}", format(loss, "+.1e"), f"{loss:8.2f}|") == ("2.469", "+2.5e+00", "    2.47|")
    assert "%.4f" % loss.data == "2.4691"  # noqa: UP031 (as the lecture writes it)
    assert f"{loss}" == str(loss) == "Value(data=2.46912, grad=None)"
    with pytest.raises(ValueError, match=r"^Unknown format code 'd' for object of type 'float'$"):
        format(loss, "d")


def test_percent_formatting_of_a_value_names_data() -> None:
    with pytest.raises(TypeError) as caught:
        "%.4f" % Value(2.0, label="w")  # noqa: UP031
    assert str(caught.value) == (
        "float() of w = 2.0 would leave the graph without a trace: take v.data for the number, or "
        "microbp's own function (microbp.exp, v.exp()) to stay in the graph"
    )


def test_a_gradient_that_was_not_computed_has_no_number() -> None:
    v = Value(2.0)
    with pytest.raises(TypeError, match=r"^must be real number, not NoneType$"):
        "%.4f" % v.grad  # noqa: UP031
    assert "%.4f" % (v.grad or 0) == "0.0000"  # what docs/from-micrograd.md has instead


def test_item_and_zero_grad() -> None:
    x = Value(3.0)
    y = x * x
    y.backward()
    assert (y.item(), type(y.item())) == (9.0, float)
    for each in (x, y):
        each.zero_grad()
        assert each.grad is None


# --------------------------------------------------------------------------------------- _backward
def neuron() -> dict[str, Value]:
    """The lecture's neuron of two inputs, each step labelled."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2 = Value(-3.0, label="w1"), Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1, x2w2 = x1 * w1, x2 * w2
    x1w1.label, x2w2.label = "x1*w1", "x2*w2"
    both = x1w1 + x2w2
    both.label = "x1*w1 + x2*w2"
    n = both + b
    n.label = "n"
    o = n.tanh()
    o.label = "o"
    return {each.label: each for each in (x1, x2, w1, w2, b, x1w1, x2w2, both, n, o)}


#: Of the lecture's Value.
LEAVES = {"x1": -1.5, "x2": 0.5, "w1": 1.0, "w2": 0.0, "b": 0.5}


def gradients(values: dict[str, Value]) -> dict[str, Any]:
    return {label: value.grad for label, value in values.items() if label in LEAVES}


def test_the_chain_rule_is_applied_by_hand_step_by_step() -> None:
    v = neuron()
    v["o"].grad = 1.0
    for label in ("o", "n", "b", "x1*w1 + x2*w2", "x2*w2", "x1*w1"):
        v[label]._backward()
    by_hand = gradients(v)
    assert by_hand == pytest.approx(LEAVES, rel=1e-15)
    again = neuron()
    again["o"].backward()
    assert gradients(again) == by_hand


def test_a_backward_pass_of_one_s_own_over_prev() -> None:
    x, frozen = Value(3.0), Value(2.0)
    frozen.requires_grad = False
    y = x * x + frozen * x
    order: list[Value] = []

    def visit(v: Value) -> None:
        if v not in order:
            for child in v._prev:
                visit(child)
            order.append(v)

    visit(y)
    y.grad = 1.0
    for v in reversed(order):
        v._backward()
    assert (x.grad, frozen.grad) == (8.0, None)


def test_a_step_by_hand_before_there_is_a_gradient_is_refused() -> None:
    y = Value(3.0) * 2.0
    with pytest.raises(NoGradientError) as caught:
        y._backward()
    assert str(caught.value) == (
        "Value(data=6.0, grad=None) has no gradient to pass on: set the grad of the root to 1.0, and call "
        "_backward() of a value before that of its operands; backward() does all of it"
    )


def test_a_step_by_hand_agrees_for_every_operation() -> None:
    for name, rule in RULES.items():
        if not rule.over and rule.smooth:
            operands = [Value((low + high) / 2.0 + 0.1) for low, high in rule.smooth[0]]
            y = microbp.record.record(rule, operands)
            y.backward()
            expected = [each.grad for each in operands]
            for each in operands:
                each.zero_grad()
            y._backward()
            assert [each.grad for each in operands] == expected, name


# ----------------------------------------------------------------------------- drawing with graphviz
def drawn(root: Value, label: Callable[[Value], str]) -> list[str]:
    """The texts of a drawing that is made from ``_prev`` and ``_op``, as the notebooks make it."""
    nodes: set[Value] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if node not in nodes:
            nodes.add(node)
            pending += node._prev
    dot = graphviz.Digraph(format="svg", graph_attr={"rankdir": "LR"})
    for n in nodes:
        dot.node(str(id(n)), label(n), shape="record")
        if n._op:
            dot.node(f"{id(n)}{n._op}", n._op)
            dot.edge(f"{id(n)}{n._op}", str(id(n)))
        for child in n._prev:
            dot.edge(str(id(child)), f"{id(n)}{n._op}")
    return sorted(re.findall(r'label="?(\{.*?\}|[^"\]]+)', dot.source))


def numbers(v: Value) -> str:
    return "{ data %.4f | grad %.4f }" % (v.data, v.grad)  # noqa: UP031 (as the notebook writes it)


def labelled(v: Value) -> str:
    return "{ %s | data %.4f | grad %.4f }" % (v.label, v.data, v.grad)  # noqa: UP031


def test_the_first_drawing_of_trace_graph() -> None:
    x = Value(1.0)
    y = (x * 2 + 1).relu()
    y.backward()
    assert drawn(y, numbers) == [
        "*", "+", "ReLU", "{ data 1.0000 | grad 2.0000 }", "{ data 2.0000 | grad 1.0000 }",
        "{ data 3.0000 | grad 1.0000 }", "{ data 3.0000 | grad 1.0000 }",
    ]  # fmt: skip


def test_the_second_drawing_of_trace_graph() -> None:
    random.seed(1337)
    n = Neuron(2)
    y = n([Value(1.0), Value(-2.0)])
    y.backward()
    # micrograd's boxes, but for those of the products and partial sums: here they are one dot
    assert drawn(y, numbers) == [
        "ReLU", "dot", "{ data -2.0000 | grad 0.0665 }", "{ data 0.0000 | grad 1.0000 }",
        "{ data 0.0665 | grad -2.0000 }", "{ data 0.1024 | grad 1.0000 }", "{ data 0.1024 | grad 1.0000 }",
        "{ data 0.2355 | grad 1.0000 }", "{ data 1.0000 | grad 0.2355 }",
    ]  # fmt: skip


def test_the_drawing_of_the_lecture_s_neuron() -> None:
    v = neuron()
    v["o"].backward()
    assert drawn(v["o"], labelled) == [
        "*", "*", "+", "+", "tanh",
        "{ b | data 6.8814 | grad 0.5000 }", "{ n | data 0.8814 | grad 0.5000 }",
        "{ o | data 0.7071 | grad 1.0000 }", "{ w1 | data -3.0000 | grad 1.0000 }",
        "{ w2 | data 1.0000 | grad 0.0000 }", "{ x1 | data 2.0000 | grad -1.5000 }",
        "{ x1*w1 + x2*w2 | data -6.0000 | grad 0.5000 }", "{ x1*w1 | data -6.0000 | grad 0.5000 }",
        "{ x2 | data 0.0000 | grad 0.5000 }", "{ x2*w2 | data 0.0000 | grad 0.5000 }",
    ]  # fmt: skip


# --------------------------------------------------------------------------- the rest of the lecture
def test_the_neuron_through_exponentials() -> None:
    v = neuron()
    e = (2 * v["n"]).exp()
    o = (e - 1) / (e + 1)
    o.backward()
    assert o.item() == pytest.approx(0.7071067811865476, rel=1e-15)
    assert gradients(v) == pytest.approx(LEAVES, rel=1e-14)


def test_a_value_that_is_used_twice() -> None:
    a, b = Value(-2.0, label="a"), Value(3.0, label="b")
    (a * b * (a + b)).backward()
    assert (a.grad, b.grad) == (-3.0, -8.0)
    a.zero_grad()
    (a + a).backward()
    assert a.grad == 2.0


def test_the_first_expression_takes_a_step_and_is_measured() -> None:
    def expression(h: float) -> tuple[list[Value], Value]:
        a, b = Value(2.0, label="a"), Value(-3.0, label="b")
        c, f = Value(10.0, label="c"), Value(-2.0, label="f")
        a.data += h
        return [a, b, c, f], (a * b + c) * f

    leaves, L = expression(0.0)
    assert (expression(0.0001)[1].data - L.data) / 0.0001 == pytest.approx(6.0, rel=1e-9)
    L.backward()
    assert [v.grad for v in leaves] == [6.0, -4.0, -2.0, 4.0]
    for v in leaves:
        v.data += 0.01 * v.grad  # type: ignore[operator]
    a, b, c, f = leaves
    assert ((a * b + c) * f).data == -7.286496


class LectureNeuron:
    """As the lecture writes it, on Values alone: the bias is drawn, too, and after the weights."""

    def __init__(self, nin: int) -> None:
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]  # noqa: S311 (no secret)
        self.b = Value(random.uniform(-1, 1))  # noqa: S311

    def __call__(self, x: Iterable[Any]) -> Value:
        return sum((wi * xi for wi, xi in zip(self.w, x, strict=True)), self.b).tanh()


XS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
YS = [1.0, -1.0, -1.0, 1.0]


def trained(net: Callable[[Any], Any], parameters: list[Value]) -> list[float]:
    """The losses of the lecture's loop, and the predictions after it."""
    losses = []
    for _ in range(20):
        ypred = [net(x) for x in XS]
        loss = sum((yout - ygt) ** 2 for ygt, yout in zip(YS, ypred, strict=True))
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        losses.append(loss.data)
    return [*losses, *(y.data for y in ypred)]


def test_the_net_of_the_lecture_learns_its_four_samples() -> None:
    random.seed(1337)
    layers = [[LectureNeuron(nin) for _ in range(nout)] for nin, nout in ((3, 4), (4, 4), (4, 1))]

    def net(x: Any) -> Any:
        for layer in layers:
            x = [neuron(x) for neuron in layer]
        return x[0]

    assert net(XS[0]).data == pytest.approx(0.42767811248845455, rel=1e-13)
    losses = trained(net, [p for layer in layers for n in layer for p in (*n.w, n.b)])
    # of the lecture's Value, after random.seed(1337); its tanh is written with exponentials
    assert losses[:2] == pytest.approx([6.005402783252284, 3.2021496469205015], rel=1e-12)
    assert losses[18:] == pytest.approx(
        [
            0.01926010699230637, 0.017781874686157665,
            0.9230809384316058, -0.9868462723398724, -0.924306672610484, 0.9227806223092805,
        ],
        rel=1e-11,
    )  # fmt: skip


def test_microbp_s_own_net_is_that_of_the_lecture() -> None:
    random.seed(1337)
    net = MLP(3, [4, 4, 1], activation=["tanh"] * 3)
    assert len(net.parameters()) == 41
    assert trained(net, net.parameters())[19] < 0.1


# -------------------------------------------------------------------------------------- demo.ipynb
#: micrograd's own: total_loss.data and the accuracy of the first five steps, the first as its page shows it.
STEPS = [
    (0.8958441028683222, 0.5), (1.7235905336972022, 0.81), (0.7429006313851133, 0.77),
    (0.7705641260584198, 0.82), (0.36927933859765383, 0.84),
]  # fmt: skip


def test_the_demo_learns_two_moons_as_in_micrograd() -> None:
    from sklearn.datasets import make_moons

    np.random.seed(1337)  # noqa: NPY002 (the notebook's)
    random.seed(1337)
    X, y = make_moons(n_samples=100, noise=0.1)
    y = y * 2 - 1
    model = MLP(2, [16, 16, 1])

    def loss(batch_size: int | None = None) -> tuple[Value, float]:
        chosen = np.arange(len(X))
        if batch_size is not None:
            chosen = np.random.permutation(X.shape[0])[:batch_size]  # noqa: NPY002
        scores = [model([*map(Value, row)]) for row in X[chosen]]
        losses = [(1 + -yi * score).relu() for yi, score in zip(y[chosen], scores, strict=True)]
        total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        right = [(yi > 0) == (score.data > 0) for yi, score in zip(y[chosen], scores, strict=True)]
        return total, sum(right) / len(right)

    for k, (expected, accuracy) in enumerate(STEPS):
        total, acc = loss()
        assert (total.data, acc) == (pytest.approx(expected, rel=1e-12), accuracy)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * k / 100) * p.grad  # type: ignore[operator]
    total, acc = loss(batch_size=20)
    assert (total.item(), acc) == (pytest.approx(0.3322410241174673, rel=1e-12), 0.85)

    # the decision boundary
    x0, x1 = (np.arange(X[:, i].min() - 1, X[:, i].max() + 1, 0.5) for i in (0, 1))
    xx, yy = np.meshgrid(x0, x1)
    scores = [model([*map(Value, row)]) for row in np.c_[xx.ravel(), yy.ravel()]]
    Z = np.array([s.data > 0 for s in scores]).reshape(xx.shape)
    assert (Z.shape, Z.sum()) == ((8, 11), 37)
    axes = Figure().subplots()
    axes.contourf(xx, yy, Z, alpha=0.8)
    axes.scatter(X[:, 0], X[:, 1], c=y)
