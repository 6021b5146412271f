"""``picture``: kinds, boxes, edges, frames, notes and errors of what is drawn."""

from __future__ import annotations

import pickle

import pytest

import microbp
from microbp import MLP, Graph, Value
from viz.fold import FOLDS, picture
from viz.kinds import kinds
from viz.picture import Box, Cluster, Edge, Kind, Row

KNOWN = "it is one of 'auto', 'none', 'sigma', 'neuron', 'layer'"


def names_of(graph, kind, parameters=None):
    return [node.name for node, each in zip(graph, kinds(graph, parameters), strict=True) if each is kind]


def leaves(*names):
    total = Value(0.0, "x0")
    for name in names:
        total = total + Value(1.0, name)
    return Graph(total)


def test_parameters_are_told_by_their_names():
    learned = ["w", "w1", "w_5", "W[0,1]", "b", "b2", "bias", "weights[3]", "theta", "θ3"]
    learned += ["layers.0.w.1", "cell.b", "p['w1']"]
    given = ["x", "i1", "t", "batch", "y_true", "width", "x[1.5]", "p['x']", "1", "wide"]
    graph = leaves(*learned, *given)
    assert names_of(graph, Kind.PARAMETER) == learned
    assert names_of(graph, Kind.INPUT) == ["x0", *given]


def test_a_b_beside_an_a_is_a_letter_of_the_alphabet_and_no_bias():
    assert names_of(leaves("a", "b", "c"), Kind.PARAMETER) == []
    assert names_of(leaves("A", "B", "b"), Kind.PARAMETER) == ["B", "b"]
    assert names_of(leaves("a", "b", "w"), Kind.PARAMETER) == ["b", "w"]
    assert names_of(leaves("a", "b"), Kind.PARAMETER, ["b"]) == ["b"]


def test_a_listed_parameter_is_one_and_no_other():
    w, x = Value(1.0, "w"), Value(2.0, "x")
    graph = Graph(w * x)
    assert names_of(graph, Kind.PARAMETER, ["x"]) == ["x"]
    assert names_of(graph, Kind.PARAMETER, [w, x]) == ["w", "x"]
    assert names_of(graph, Kind.PARAMETER, ["x", "absent"]) == ["x"]
    assert names_of(graph, Kind.PARAMETER, [Value(3.0)]) == []
    with pytest.raises(TypeError, match=r"^parameters lists names or Values, not 3$"):
        kinds(graph, [3])


def test_names_of_which_none_is_there_are_refused_and_a_value_that_is_not_used_is_none():
    graph = Graph(Value(2.0, "width") * Value(3.0, "height"))
    with pytest.raises(ValueError, match=r"no leaf of the graph is named 'widht'; did you mean 'width'\?$"):
        kinds(graph, ["widht"])
    with pytest.raises(ValueError, match=r"'q' or 'r' or 's'; its leaves are width, height$"):
        kinds(graph, ["r", "q", "s"])
    assert kinds(graph, ["width", Value(1.0)]) == [Kind.PARAMETER, Kind.INPUT, Kind.OPERATION]


def test_what_takes_no_gradient_is_a_constant():
    w = Value(1.0, "w")
    w.requires_grad = False
    graph = Graph(w * Value(2.0, "x"))
    assert names_of(graph, Kind.CONSTANT) == ["w"]
    (edge, _) = picture(graph).edges
    assert edge.contribution is None


def test_a_box_tells_its_value():
    w, x = Value(0.4, "w"), Value(3.0, "x")
    loss = (w * x - 1.0) ** 2
    before = picture(Graph(loss, names={"loss": loss}))
    assert [(box.id, box.kind.value, box.name, box.named, box.symbol) for box in before.boxes] == [
        ("n0", "parameter", "w", True, ""), ("n1", "input", "x", True, ""),
        ("n2", "operation", "w·x", False, "×"), ("n3", "operation", "v3", False, "−1"),
        ("n4", "operation", "loss", True, "^2"),
    ]  # fmt: skip
    assert {box.grad for box in before.boxes} == {None}
    assert "∇ not computed" in before.boxes[0].tooltip
    loss.backward()
    after = picture(Graph(loss, names={"loss": loss}))
    assert [box.root for box in after.boxes] == [False] * 4 + [True]
    assert after.boxes[0].tooltip == f"w = 0.4\n∇ {w.grad!r}"
    assert after.boxes[4].tooltip == f"loss = {loss.data!r}\n∇ 1.0\nv3²"
    assert [(edge.id, edge.source, edge.target, edge.local) for edge in after.edges] == [
        ("e2_0", "n0", "n2", 3.0), ("e2_1", "n1", "n2", 0.4), ("e3_0", "n2", "n3", 1.0),
        ("e4_0", "n3", "n4", pytest.approx(0.4)),
    ]  # fmt: skip
    assert after.edges[0].contribution == w.grad
    assert (after.title, after.note, after.values, after.total) == ("loss", "", 5, 5)


def test_a_tooltip_names_the_line():
    before = microbp.record_sites(True)
    try:
        y = Value(1.0, "x").exp()
    finally:
        microbp.record_sites(before)
    assert picture(Graph(y)).boxes[1].tooltip.splitlines()[-1].startswith(__file__)


def test_additions_have_rows_only_where_sums_are_folded():
    a, b = Value(1.0, "a"), Value(2.0, "b")
    for fold in ("none", "sigma"):  # two values have nothing to list
        drawn = picture(Graph(a + b), fold)
        assert (drawn.boxes[-1].kind, drawn.boxes[-1].symbol) == (Kind.OPERATION, "+")
        assert {edge.port for edge in drawn.edges} == {""}
    three = picture(Graph(a + b + 1.5), "sigma")
    assert (three.boxes[-1].kind, three.boxes[-1].symbol) == (Kind.SUM, "Σ")
    assert {edge.port for edge in three.edges} == {"t0", "t1"}
    assert picture(Graph(a + b + 1.5), "none").boxes[-1].symbol == "+1.5"
    assert picture(Graph(a + 1.0), "sigma").boxes[-1].symbol == "+1"
    assert picture(Graph(a - b), "sigma").boxes[-1].symbol == "−"


def test_a_graph_of_one_leaf():
    for fold in FOLDS:
        drawn = picture(Graph(Value(1.0, "w")), fold)
        assert [(box.id, box.root, box.kind) for box in drawn.boxes] == [("n0", True, Kind.PARAMETER)]
        assert drawn.edges == ()


def test_frames_are_the_groups_and_a_parameter_stands_in_that_of_its_readers():
    w, u, x = Value(1.0, "w"), Value(2.0, "u"), Value(3.0, "x")
    with microbp.group("a"):
        with microbp.group("b"):
            h = w * x
        with microbp.group("c"):
            y = u * h
    drawn = picture(Graph(y * 2.0), "none", parameters=["w", "u"])
    assert drawn.clusters == (Cluster("c0", "a.b"), Cluster("c1", "a.c"))  # with leaves: none around them
    within = {box.name: box.group for box in drawn.boxes}
    assert [within[name] for name in ("w", "u", "x")] == [("c0",), ("c1",), ()]
    assert drawn.boxes[-1].group == ()


def test_frames_of_several_calls_are_numbered():
    neuron = microbp.Neuron(1, seed=1)
    total = neuron([1.0]) + neuron([2.0])
    drawn = picture(Graph(total, names={"unit": neuron}), "none")
    assert [cluster.label for cluster in drawn.clusters] == ["unit (1)", "unit (2)"]
    assert {box.group for box in drawn.boxes if box.kind is Kind.PARAMETER} == {()}


def test_rows_name_a_parameter_by_the_end_of_its_path():
    net = MLP(2, [2, 1], seed=1)
    drawn = picture(Graph(net([Value(1.0, "x"), 2.0])), "sigma")
    assert [row.label for row in next(box for box in drawn.boxes if box.rows).rows] == ["w.0·x", "w.1·2", "b"]


def test_pictures_are_equal_in_every_run_and_survive_a_pickle():
    def drawn():
        net = MLP(2, [3, 2], seed=1)
        loss = sum((y - 1.0) ** 2 for x in ((0.1, 0.2), (0.3, 0.4)) for y in net(list(x)))
        loss.backward()
        return picture(Graph(loss, names={"net": net}), "neuron")

    first = drawn()
    assert first == drawn()
    assert pickle.loads(pickle.dumps(first)) == first


def test_records_have_defaults_that_say_nothing():
    box = Box("n0", Kind.INPUT, "x")
    assert (box.values, box.times, box.rows, box.strip, box.group, box.grad) == (1, 1, (), (), (), None)
    assert Edge("e1_0", "n0", "n1").count == 1
    assert Row("w·x", 1.0, "t0").port == "t0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": "neurons"}, f"fold='neurons': {KNOWN}"),
        ({"fold": 3}, f"fold=3: {KNOWN}"),
        ({"max_nodes": 4}, "max_nodes is a whole number from 5 up, not 4"),
    ],
)
def test_errors_say_what_there_is(options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        picture(Graph(Value(1.0)), **options)
    assert str(caught.value) == message


def test_an_unreadable_picture_is_refused():
    v = Value(0.5)
    for _ in range(6000):
        v = v.sin()
    with pytest.raises(ValueError, match=r"^6,001 values with fold='none' would be 6,001 boxes, and no one"):
        picture(Graph(v), "none")
