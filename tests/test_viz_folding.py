"""Folding: a partition of the values, without cycles, that loses no edge, at every level."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import polynomials, programs

import microbp
from microbp import MLP, Graph, Module, Value
from microbp.record import record
from viz.contents import ROWS
from viz.dot import source
from viz.fold import FOLDS, picture
from viz.folding import LEVELS, Partition, Values, folded
from viz.kinds import kinds
from viz.picture import STRIP, Kind, Picture


# ------------------------------------------------------------------------ what holds for every picture
def check(graph: Graph, drawn: Picture) -> None:
    """The boxes are a partition in topological order, and their edges are those of the graph."""
    boxes = {box.id: box for box in drawn.boxes}
    assert len(boxes) == len(drawn.boxes)
    assert sum(box.values for box in drawn.boxes) == drawn.values == drawn.total == len(graph)
    assert sum(box.root for box in drawn.boxes) == 1
    place = {box.id: index for index, box in enumerate(drawn.boxes)}
    for edge in drawn.edges:
        assert place[edge.source] < place[edge.target], "an edge leads backwards"
        ports = {row.port for row in boxes[edge.target].rows} or {""}
        assert edge.port in ports
    assert len({edge.id for edge in drawn.edges}) == len(drawn.edges)
    for box in drawn.boxes:
        assert len(box.strip) <= STRIP
        assert len({row.port for row in box.rows}) == len(box.rows) <= ROWS
        if box.kind is Kind.SUM:
            assert sum(row.data or 0.0 for row in box.rows) == pytest.approx(box.data, rel=1e-9, abs=1e-9)
    parents = {cluster.id: cluster.parent for cluster in drawn.clusters}
    for box in drawn.boxes:
        assert all(parents[inner] == outer for outer, inner in pairwise(("", *box.group)))


def check_all(graph: Graph) -> None:
    for fold in FOLDS:
        check(graph, picture(graph, fold))
    for most in (5, 6, 9, 15, 30):
        drawn = picture(graph, max_nodes=most)
        check(graph, drawn)
        assert len(drawn.boxes) <= most


def grouped(random):
    """As ``record``, each operation in some group, so that groups read each other's values."""

    def apply(rule, arguments):
        with microbp.group(random.choice("abc")):
            if random.random() < 0.5:
                return record(rule, arguments)
            with microbp.group(random.choice("de")):
                return record(rule, arguments)

    return apply


@settings(max_examples=30)
@given(programs(14))
def test_every_level_is_a_partition_without_cycles(program):
    root = program.run(record, Value.sin, [Value(x) for x in program.leaves])
    root.backward()
    check_all(Graph(root))


@settings(max_examples=40)
@given(programs(14), st.randoms(use_true_random=False))
def test_also_where_groups_stand_in_circles(program, random):
    root = program.run(grouped(random), Value.sin, [Value(x, f"w{i}") for i, x in enumerate(program.leaves)])
    root.backward()
    check_all(Graph(root))


@settings(max_examples=30)
@given(polynomials(40), st.randoms(use_true_random=False))
def test_also_for_sums_and_products(polynomial, random):
    leaves, steps = polynomial
    values = [Value(float(x), random.choice(("w", "x", None))) for x in leaves]
    for sign, a, b in steps:
        with microbp.group(random.choice("ab")):
            left, right = values[a], values[b]
            values.append(left * right if sign == "*" else left + right if sign == "+" else left - right)
    check_all(Graph(values[-1]))


@settings(max_examples=60)
@given(programs(14), st.randoms(use_true_random=False), st.sampled_from(list(LEVELS)))
def test_every_edge_across_boxes_is_counted(program, random, level):
    """Against a count by the partition, and without folding against the graph itself."""
    root = program.run(grouped(random), Value.sin, [Value(x) for x in program.leaves])
    graph = Graph(root)
    partition, _ = folded(Values(graph, kinds(graph)), level)
    box = partition.label.tolist()
    pairs = [(each, node.position) for node in graph for each in node.operands if type(each) is int]
    across = Counter((box[operand], box[user]) for operand, user in pairs if box[operand] != box[user])
    drawn: Counter[tuple[int, int]] = Counter()
    for edge in picture(graph, level).edges:
        drawn[int(edge.source[1:]), int(edge.target[1:])] += edge.count
    assert drawn == across
    assert level != "none" or drawn == Counter(pairs)


def test_a_cycle_of_boxes_is_found():
    """The planted error: a partition that folds both ends of a path, but not its middle."""
    x = Value(1.0)
    graph = Graph(x.exp().sin().cos())
    values = Values(graph, kinds(graph))
    good, bad = (Partition(values, np.array(classes)) for classes in ([0, 1, 1, 2], [0, 1, 2, 1]))
    assert good.cycles() == set()
    assert good.order == [0, 2, 3]
    assert bad.cycles() == {2, 3}
    assert bad.order == [0]


# -------------------------------------------------------------------------------------------- sums
def weighted():
    w = [Value(0.15, "w1"), Value(0.20, "w2")]
    i = [Value(0.05, "i1"), Value(0.10, "i2")]
    b = Value(0.35, "b1")
    net = w[0] * i[0] + w[1] * i[1] + b
    out = net.sigmoid()
    out.backward()
    return Graph(out, names={"net_h1": net, "h1": out})


def test_a_sum_has_a_row_for_each_term_and_loses_no_number():
    drawn = picture(weighted(), "sigma")
    net = next(box for box in drawn.boxes if box.kind is Kind.SUM)
    assert (net.name, net.symbol, net.values) == ("net_h1", "Σ", 4)
    assert [(row.label, row.data, row.port) for row in net.rows] == [
        ("w1·i1", 0.15 * 0.05, "t0"), ("w2·i2", 0.20 * 0.10, "t1"), ("b1", 0.35, "t2"),
    ]  # fmt: skip
    ends = {edge.source: (edge.port, edge.local) for edge in drawn.edges if edge.target == net.id}
    names = {box.name: box.id for box in drawn.boxes}
    assert {name: ends.get(each) for name, each in names.items()} == {
        "w1": ("t0", 0.05), "i1": ("t0", 0.15), "w2": ("t1", 0.10), "i2": ("t1", 0.20), "b1": ("t2", 1.0),
        "net_h1": None, "h1": None,
    }  # fmt: skip
    for box in drawn.boxes:
        received = [edge.contribution for edge in drawn.edges if edge.source == box.id]
        if received:
            assert sum(received) == pytest.approx(box.grad)
    assert drawn.note == "10 values folded into 7 boxes: each sum in one box"


def test_a_dot_is_a_sum_as_it_stands():
    w, x = Value(2.0, "w"), Value(3.0, "x")
    drawn = picture(Graph(microbp.dot([w, w], [x, 5.0], 1.0)))
    rows = [(row.label, row.data) for row in drawn.boxes[-1].rows]
    assert rows == [("w·x", 6.0), ("w·5", 10.0), ("1", 1.0)]
    assert [(edge.source, edge.port, edge.local) for edge in drawn.edges] == [
        ("n0", "t0", 3.0), ("n0", "t1", 5.0), ("n1", "t0", 2.0),
    ]  # fmt: skip


def test_minus_stands_in_the_rows_and_in_the_derivatives():
    a, b, c, w = (Value(float(x), name) for x, name in enumerate("abcw", start=1))
    graph = Graph(a - (b - w * c) - 7.0)
    drawn = picture(graph, "sigma")
    rows = [(row.label, row.data) for row in drawn.boxes[-1].rows]
    assert rows == [("a", 1.0), ("−b", -2.0), ("w·c", 12.0), ("−7", -7.0)]
    names = {box.id: box.name for box in drawn.boxes}
    locals_ = {names[edge.source]: edge.local for edge in drawn.edges}
    assert locals_ == {"a": 1.0, "b": -1.0, "c": 4.0, "w": 3.0}


def test_what_is_shared_or_named_stays_visible():
    w, x = Value(2.0, "w"), Value(3.0, "x")
    product, named = w * x, x * x
    graph = Graph(product + named + product.exp(), names={"named": named})
    symbols = [box.symbol for box in picture(graph, "sigma").boxes]
    assert sorted(symbols) == ["", "", "exp", "×", "×", "Σ"]


def test_parallel_edges_stay_two():
    x = Value(3.0, "x")
    for root in (x * x, x + x, x * x + 1.0):
        for fold in ("none", "sigma", "auto"):
            drawn = picture(Graph(root), fold)
            assert [edge.count for edge in drawn.edges if edge.source == "n0"] == [1, 1]


def test_a_long_sum_shows_so_many_terms_and_the_rest_in_one_row():
    leaves = [Value(float(i), f"x{i}") for i in range(100)]
    total = leaves[0]
    for each in leaves[1:]:
        total = total + each
    drawn = picture(Graph(total), "sigma")
    rows = drawn.boxes[-1].rows
    assert len(rows) == ROWS
    assert (rows[-1].label, rows[-1].terms) == ("x39", 61)
    assert rows[-1].data == sum(range(39, 100))
    check(Graph(total), drawn)


def test_terms_without_names_that_share_a_row_are_counted_and_no_made_up_name_is_told():
    net = MLP(2, [2, 1], seed=1)
    drawn = picture(Graph(microbp.sum([(net([x, 1.0]) - 1.0) ** 2 for x in (0.1, 0.2, 0.3)])), "neuron")
    assert [(row.label, row.terms) for row in drawn.boxes[-1].rows] == [("", 3)]
    assert ">3 terms<" in source(drawn)


def test_the_terms_of_a_sum_have_rows_of_their_own_but_those_of_many_folded_boxes_share_one():
    def told(total, fold):
        return [(row.label, row.data, row.terms) for row in picture(Graph(total), fold).boxes[-1].rows]

    a, b = Value(1.5, "a"), Value(-2.0, "b")
    assert told(a + 1.0 - b + 2.0, "sigma") == [("a", 1.5, 1), ("1", 1.0, 1), ("−b", 2.0, 1), ("2", 2.0, 1)]
    assert told(microbp.sum([1.0, a, 2.0, b, 3.0, 4.0]), "none") == [
        ("1", 1.0, 1), ("a", 1.5, 1), ("2", 2.0, 1), ("b", -2.0, 1), ("3", 3.0, 1), ("4", 4.0, 1)
    ]  # fmt: skip
    nets = [MLP(2, [2, 1], seed=seed) for seed in range(9)]
    many, *others = told(microbp.sum([*(net([0.1, 0.2]) for net in nets), 2.0, a]), "neuron")
    assert many[2] == 9
    assert [label for label, *_ in others] == ["2", "a"]


def test_rows_of_infinite_terms_do_not_fail():
    total = Value(float("inf"), "x0")
    for i in range(60):
        total = total - Value(float("inf"), f"x{i + 1}")
    rows = picture(Graph(total), "sigma").boxes[-1].rows
    assert [rows[0].data, rows[1].data, rows[-1].data] == [float("inf"), -float("inf"), -float("inf")]


# ------------------------------------------------------------------------------------------ modules
def batch_of(net, samples, width):
    inputs = [[Value(0.1 * s + j, f"x[{s}][{j}]") for j in range(width)] for s in range(samples)]
    loss = sum((net(x) - 1.0) ** 2 for x in inputs) / samples
    loss.backward()
    return Graph(loss, names={"net": net, "loss": loss})


def test_neurons_with_their_parameters_across_samples():
    net = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    graph = batch_of(net, 12, 3)
    drawn = picture(graph, "neuron")
    neurons = [box for box in drawn.boxes if box.parameters]
    assert [box.name for box in neurons] == [*(f"neurons.{i}" for i in range(4))] * 2 + ["layers.2.neurons.0"]
    assert [box.parameters for box in neurons] == [4] * 4 + [5] * 4 + [5]
    assert {box.times for box in neurons} == {12}
    clusters = {cluster.id: cluster.label for cluster in drawn.clusters}
    within = [[clusters[each] for each in box.group] for box in neurons[3:5]]
    assert within == [["net", "layers.0"], ["net", "layers.1"]]
    assert [clusters[each] for each in neurons[-1].group] == ["net"]  # no frame around one box
    for box, neuron in zip(neurons, (n for layer in net.layers for n in layer.neurons), strict=True):
        gradients = [each.grad for each in neuron.parameters()]
        assert sorted(box.strip) == sorted(gradients)
        assert box.largest == max(map(abs, gradients))
    x = drawn.boxes[0]
    assert (x.name, x.values, x.times, x.kind) == ("x", 36, 12, Kind.FOLDED)
    assert {edge.count for edge in drawn.edges if edge.source == x.id} == {36}
    assert drawn.note == f"{len(graph)} values folded into {len(drawn.boxes)} boxes: by neuron, × 12 alike"
    assert picture(graph).boxes == drawn.boxes
    check(graph, drawn)


def test_wide_layers_are_no_mesh():
    drawn = picture(batch_of(MLP(2, [30, 30, 1], seed=1), 1, 2))
    assert [(box.name, box.parameters) for box in drawn.boxes if box.parameters] == [
        ("layers.0", 90), ("layers.1", 930), ("layers.2", 31),
    ]  # fmt: skip
    assert drawn.note.startswith("1,178 values folded into 8 boxes: by layer")


def test_layers():
    drawn = picture(batch_of(MLP(3, [4, 4, 1], seed=1), 5, 3), "layer")
    assert [(box.name, box.parameters, box.times) for box in drawn.boxes if box.parameters] == [
        ("layers.0", 16, 5), ("layers.1", 20, 5), ("layers.2", 5, 5),
    ]  # fmt: skip


def test_a_module_of_layers_that_follow_each_other_is_not_one_layer():
    net = microbp.layers.TwoLayerNet(2, 3, 2, weight_init_std=0.5, seed=0)
    loss = net.loss([[1.0, -1.0], [0.5, 2.0]], [0, 1])
    drawn = picture(Graph(loss), "layer")
    assert len([box for box in drawn.boxes if box.parameters]) == 2
    check(Graph(loss), drawn)


def test_a_dead_neuron_is_seen():
    net = MLP(2, [3, 1], seed=1)
    for neuron, bias in zip(net.layers[0].neurons, (9.0, -9.0, 9.0), strict=True):
        neuron.b.data = bias
    drawn = picture(batch_of(net, 4, 2), "neuron")
    dead = [box for box in drawn.boxes if box.parameters and not any(box.strip)]
    assert [(box.name, box.largest, box.strip) for box in dead] == [("neurons.1", 0.0, (0.0,) * 3)]


class Cell(Module):
    """A recurrent layer: each neuron reads the state of all."""

    def __init__(self, width):
        self.units = [microbp.Neuron(width + 1, activation="tanh", seed=i) for i in range(width)]
        self.name_parameters()

    def __call__(self, x, state):
        return [unit([x, *state]) for unit in self.units]


def recurrent(steps, samples=1):
    cell, total = Cell(2), Value(0.0)
    for s in range(samples):
        state = [Value(0.0), Value(0.0)]
        for t in range(steps):
            state = cell(Value(0.1 * t + s, f"x{t}"), state)
        total = total + state[0] * state[1]
    total.backward()
    return Graph(total, names={"cell": cell})


def test_a_recurrent_net_is_unrolled_in_time_with_its_samples_together():
    for samples in (1, 3):
        graph = recurrent(4, samples)
        drawn = picture(graph, "neuron")
        check(graph, drawn)
        units = [box for box in drawn.boxes if box.name.endswith(")")]
        assert {box.name for box in units} == {f"units.{i} ({t})" for i in (0, 1) for t in (1, 2, 3, 4)}
        assert {box.times for box in units} == {samples}
        layers = picture(graph, "layer")
        check(graph, layers)
        cells = [box.name for box in layers.boxes if box.name.startswith("cell")]
        assert cells == ["cell (1)", "cell (2)", "cell (3)", "cell (4)"]


def test_a_long_sequence_folds_into_one_box():
    graph = recurrent(300)
    drawn = picture(graph, max_nodes=20)
    check(graph, drawn)
    cell = next(box for box in drawn.boxes if box.name == "cell")
    assert (cell.times, cell.parameters) == (300, 8)
    assert "the steps of a sequence together" in drawn.note


# -------------------------------------------------------------------------- nets without any group
def by_hand(samples, width=3):
    """A one-layer net written without modules, on a batch; its parameters have no common reader."""
    w = [[Value(0.1 * (i + j + 1), f"w{i}{j}") for j in range(2)] for i in range(width)]
    b = [Value(0.1 * i, f"b{i}") for i in range(width)]
    v = [Value(0.3 - 0.2 * i, f"w_out{i}") for i in range(width)]
    loss = None
    for s in range(samples):
        x = [Value(0.3 * s, f"x{s}_0"), Value(1.0 - s, f"x{s}_1")]
        h = [(w[i][0] * x[0] + w[i][1] * x[1] + b[i]).tanh() for i in range(width)]
        y = v[0] * h[0] + v[1] * h[1] + v[2] * h[2]
        term = (y - Value(0.5, f"t{s}")) ** 2
        loss = term if loss is None else loss + term
    loss.backward()
    return Graph(loss)


def test_samples_alike_fold_without_groups():
    graph = by_hand(200)
    drawn = picture(graph, max_nodes=40)
    check(graph, drawn)
    assert drawn.note.endswith("values alike together, × 200 alike")
    tanh = [box for box in drawn.boxes if box.symbol == "tanh"]
    assert [(box.times, box.values, box.kind) for box in tanh] == [(200, 200, Kind.FOLDED)] * 3
    sums = [(box.times, box.values) for box in drawn.boxes if box.symbol == "Σ" and box.kind is Kind.FOLDED]
    assert sums == [(200, 800)] * 3 + [(200, 1200)]
    assert len([box for box in drawn.boxes if box.kind is Kind.PARAMETER]) == 12
    total = drawn.boxes[-1]
    assert [len(total.rows), total.rows[0].data] == [1, pytest.approx(total.data)]
    assert {(box.name, box.times) for box in drawn.boxes if box.kind is Kind.FOLDED and not box.symbol} == {
        ("x", 200), ("t", 200),
    }  # fmt: skip


def test_then_formulas_fold_with_their_parameters_and_then_those_of_one_form():
    graph = by_hand(200)
    drawn = picture(graph, max_nodes=12)
    check(graph, drawn)
    units = [box for box in drawn.boxes if box.parameters]
    assert [(box.times, box.name, box.values) for box in units] == [(200, "tanh(Σ)", 1003)] * 3 + [
        (200, "^2(Σ)", 1403)
    ]
    assert drawn.note.endswith("folded into 7 boxes: each sum with what follows from it, × 200 alike")
    fewer = picture(graph, max_nodes=6)
    units = [(box.times, box.name) for box in fewer.boxes if box.parameters]
    assert units == [(600, "tanh(Σ)"), (200, "^2(Σ)")]
    check(graph, fewer)
    assert "those of one form together" in fewer.note


def test_a_short_chain_is_one_box():
    v, rng = Value(0.5, "x"), np.random.default_rng(2)
    for _ in range(200):
        v = (Value.sin, Value.sigmoid, Value.tanh, Value.cos)[int(rng.integers(4))](v)
    drawn = picture(Graph(v), max_nodes=5)
    assert [(box.values, box.spark) for box in drawn.boxes] == [(1, ()), (200, ())]


def test_what_has_no_form_folds_by_depth():
    values, rng = [Value(1.0, "x"), Value(1.0, "y")], np.random.default_rng(1)
    for _ in range(2000):
        one, other = (values[-int(rng.integers(1, 4))] if len(values) > 4 else values[-1] for _ in "ab")
        values.append((one * other).tanh())
    graph = Graph(values[-1])
    drawn = picture(graph, max_nodes=30)
    check(graph, drawn)
    assert len(drawn.boxes) <= 30
    assert drawn.note.endswith("by depth")
    assert any(box.name.startswith("depth 1–") for box in drawn.boxes)


def test_loss_code_beside_groups_folds_until_it_fits():
    net, rng = microbp.Neuron(2, seed=3), np.random.default_rng(5)
    outs = [net([Value(float(rng.random())), Value(float(rng.random()))]) for _ in range(40)]
    for _ in range(300):
        a, b = outs[-int(rng.integers(1, 40))], outs[int(rng.integers(len(outs)))]
        outs.append((Value.sin, Value.tanh, Value.cos)[int(rng.integers(3))](a - b))
    graph = Graph(sum(outs[-40:], start=Value(0.0)), names={"net": net})
    drawn = picture(graph, max_nodes=10)
    check(graph, drawn)
    assert any(box.name == "net" and box.times > 1 for box in drawn.boxes)
    assert "the rest in one box" in drawn.note


def test_deep_and_wide_graphs_end():
    """No recursion, and no more than linear work for each box that is left."""
    v, w = Value(0.5, "x"), Value(0.999, "w")
    for _ in range(20_000):
        v = (v * w).tanh()
    assert [(box.name, box.times) for box in picture(Graph(v)).boxes] == [("x", 1), ("step", 20_000)]
    wide = by_hand(1500)
    assert len(wide) > 20_000
    drawn = picture(wide)
    check(wide, drawn)
    assert len(drawn.boxes) < 40


# ------------------------------------------------------------------------- loops, arrays, what is opened
def decay(steps):
    """Euler's steps for x' = −k·x."""
    k, x = Value(0.5, "k"), Value(1.0, "x0")
    for _ in range(steps):
        x = x - k * x * 0.1
    loss = (x - 0.2) ** 2
    loss.backward()
    return Graph(loss, names={"loss": loss})


def test_the_steps_of_a_loop_are_one_box_with_the_gradient_along_it():
    drawn = picture(decay(60))
    check(decay(60), drawn)
    (loop,) = (box for box in drawn.boxes if box.spark)
    assert (loop.name, loop.times, loop.values, loop.strip) == ("step", 60, 178, ())
    assert len(loop.spark) == STRIP
    assert loop.spark[-1] > 3 * loop.spark[1] > 0.0  # it vanishes backwards in time
    assert drawn.note.endswith("the steps of a loop together, 60 steps")


def test_a_chain_through_which_the_gradient_vanishes_is_not_called_one():
    x = y = Value(0.3, "x")
    for _ in range(3000):
        y = (y * 0.9).tanh()
    y.backward()
    loop = picture(Graph(y)).boxes[-1]
    assert (loop.times, loop.spark[-1]) == (3000, 1.0)
    assert loop.spark[0] == pytest.approx(x.grad, abs=1e-100) or loop.spark[0] < 1e-60


def test_samples_that_have_only_their_sum_in_common_are_no_loop():
    drawn = picture(by_hand(200), max_nodes=12)
    assert not any(box.spark for box in drawn.boxes)


def test_two_loops_after_each_other_are_two_boxes():
    k, x = Value(0.5, "k"), Value(1.0, "x0")
    for _ in range(40):
        x = (x * k).tanh()
    for _ in range(40):
        x = (x + k).sin().exp()
    drawn = picture(Graph(x), max_nodes=12)
    assert [box.times for box in drawn.boxes if box.kind is Kind.FOLDED] == [40, 40]


def attention():
    rng = np.random.default_rng(0)
    X = microbp.array(rng.normal(size=(3, 4)), name="X")
    WQ, WK, WV = (microbp.array(rng.normal(size=(4, 4)), name=name) for name in ("WQ", "WK", "WV"))
    Q, K, V = X @ WQ, X @ WK, X @ WV
    E = np.exp(Q @ K.T / 2.0)
    loss = ((E / E.sum(axis=1, keepdims=True) @ V) ** 2).sum()
    loss.backward()
    return Graph(loss, names=locals())


def test_queries_keys_and_values_stay_three():
    graph = attention()
    for most in (60, 30, 15):
        drawn = picture(graph, max_nodes=most)
        check(graph, drawn)
        weights = {"WQ", "WK", "WV"}
        for box in drawn.boxes:
            inside = {name for name in weights if f"{name}[" in box.tooltip}
            assert len(inside) <= 1, box


def test_arrays_keep_their_shape():
    drawn = picture(attention(), max_nodes=100)
    shapes = {box.name: (box.across, len(box.strip)) for box in drawn.boxes if box.across}
    assert shapes["WQ"] == shapes["WK"] == (4, 16)
    assert shapes["X"] == (4, 12)
    assert all(box.grad is None for box in drawn.boxes if box.across)
    large = microbp.array(np.ones((100, 30)), name="W")
    folded_up = picture(Graph((large * 2.0).sum()), max_nodes=20)
    (box,) = (box for box in folded_up.boxes if box.across and box.name == "W")
    assert (box.across, len(box.strip)) == (8, 64)


def test_what_is_folded_is_opened_by_name():
    net = MLP(3, [4, 4, 1], activation="tanh", seed=1)
    graph = batch_of(net, 1, 3)
    closed, opened = picture(graph, "layer"), picture(graph, "layer", unfold=["layers.1"])
    check(graph, opened)
    assert {box.name for box in closed.boxes} >= {"layers.0", "layers.1", "layers.2"}
    names = {box.name for box in opened.boxes}
    assert {"layers.0", "layers.2"} <= names
    assert "layers.1" not in names
    assert {"layers.1.neurons.0.w.0", "layers.1.neurons.3.b"} <= names
    neuron = picture(graph, "layer", unfold=["layers.1.neurons.2"])
    assert {"layers.1.neurons.2.w.0"} <= {box.name for box in neuron.boxes}
    assert sum(box.name.startswith("layers.1.neurons") for box in neuron.boxes) == 5


def test_a_name_that_nothing_has_is_not_opened():
    with pytest.raises(ValueError, match=r"unfold: .* named 'layer\.1'; there are k, x"):
        picture(decay(5), "layer", unfold="layer.1")
    for nothing in "", [""]:
        with pytest.raises(ValueError, match=r"unfold: .* named ''; there are k, x"):
            picture(decay(5), "layer", unfold=nothing)


# ------------------------------------------------------------------------------------- what is shared
def test_a_parameter_of_two_groups_stays_outside_of_both():
    w = Value(2.0, "w")
    outs = []
    for name in "ab":
        with microbp.group(name):
            outs.append((w * Value(3.0, f"x{name}")).tanh())
    drawn = picture(Graph(outs[0] * outs[1]), "neuron")
    assert [(box.name, box.kind) for box in drawn.boxes if box.name == "w"] == [("w", Kind.PARAMETER)]


def test_a_parameter_that_a_regularisation_reads_too_stays_with_its_neuron():
    net = MLP(2, [3, 1], seed=1)
    loss = net([1.0, 2.0]) ** 2 + sum(p * p for p in net.parameters()) * 0.01
    loss.backward()
    graph = Graph(loss, names={"net": net})
    drawn = picture(graph, "neuron")
    check(graph, drawn)
    assert [(box.name, box.parameters) for box in drawn.boxes if box.parameters] == [
        ("neurons.0", 3), ("neurons.1", 3), ("neurons.2", 3), ("layers.1.neurons.0", 4),
    ]  # fmt: skip
    (penalty,) = (box for box in drawn.boxes if box.kind is Kind.SUM and box.values > 2)
    assert [(row.label, row.terms) for row in penalty.rows] == [("w.0·w.0", 3)] * 3 + [("w.0·w.0", 4)]
    assert [edge.count for edge in drawn.edges if edge.target == penalty.id] == [6, 6, 6, 8]


def test_but_not_where_the_neuron_depends_on_what_reads_it():
    w = Value(2.0, "w")
    scale = w * w
    with microbp.group("g"):
        y = (w / scale).exp()
    graph = Graph(y)
    drawn = picture(graph, "neuron")
    check(graph, drawn)
    assert [box.name for box in drawn.boxes] == ["w", "w·w", "g"]


def test_modules_of_one_name_are_told_apart_by_their_parameters():
    units = [microbp.Neuron(1, seed=i, activation="tanh") for i in range(3)]
    outs = [unit([x]) for x in (1.0, 2.0) for unit in units]
    graph = Graph(outs[0] * outs[1] * outs[2] * outs[3] * outs[4] * outs[5])
    drawn = picture(graph, "neuron")
    check(graph, drawn)
    neurons = [(box.name, box.parameters, box.times) for box in drawn.boxes if box.parameters]
    assert neurons == [("Neuron (1)", 2, 2), ("Neuron (2)", 2, 2), ("Neuron (3)", 2, 2)]


def test_a_strip_of_many_parameters_shows_the_largest_of_each_run():
    net = microbp.Neuron(100, activation="linear", seed=2)
    out = net([float(i == 57) * 8.0 for i in range(100)])
    out.backward()
    drawn = picture(Graph(out, names={"net": net}), "neuron")
    (box,) = drawn.boxes
    assert (len(box.strip), box.parameters, box.largest) == (STRIP, 101, 8.0)
    assert sorted(box.strip)[-2:] == [1.0, 8.0]


def test_gradients_that_were_not_computed_are_none_and_nan_is_seen():
    x = Value(float("nan"), "x")
    with microbp.group("g"):
        y = (x * Value(1.0, "w")).exp()
    (before,) = (box for box in picture(Graph(y), "neuron").boxes if box.parameters)
    assert (before.largest, before.strip) == (None, (None,))
    y.backward()
    (after,) = (box for box in picture(Graph(y), "neuron").boxes if box.parameters)
    assert after.largest != after.largest
    assert after.strip[0] != after.strip[0]


@pytest.mark.parametrize("other", [None, 2.0, "y", Value(1.0)])
def test_a_picture_is_of_a_graph(other):
    with pytest.raises(TypeError, match=r"^picture\(\): graph takes Graph, not "):
        picture(other)


@pytest.mark.parametrize("level", ["none", "sigma", "neuron", "layer"])
def test_a_named_level_looks_for_no_loops(monkeypatch, level):
    """10,000 values that repeat nothing took 10 s by neuron in place of 0.5 s."""

    def sought(_):
        raise AssertionError("loops were sought")

    monkeypatch.setattr("viz.folding.loops", sought)
    v = x = Value(0.5, "x")
    for _ in range(10):
        v = (v * x + 1.0).tanh()
    assert picture(Graph(v), level).boxes
    with pytest.raises(AssertionError, match="sought"):
        picture(Graph(v), max_nodes=5)
