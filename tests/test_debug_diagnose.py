"""Rules, changes, unreached parameters, stale gradients, training; the report; and no false alarm."""

from __future__ import annotations

import math
import pickle
import re
import string
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Program, programs
from support import here, planted
from tutorial import named

from microbp import (
    MLP,
    Graph,
    History,
    Module,
    Neuron,
    NotFinite,
    Value,
    array,
    check_answers,
    cross_entropy,
    data_of,
    define,
    fit,
    grad,
    grad_of,
    losses,
    no_grad,
    record_sites,
    sin,
)  # fmt: skip
from microbp.debug.diagnose import Diagnosis, Finding, diagnose
from microbp.debug.sentences import CAUSES, DIAGNOSIS
from microbp.functions import maximum
from microbp.optim import SGD
from microbp.record import record
from microbp.rules import RULES

pytestmark = pytest.mark.usefixtures("sites")


def of(loss: Value | Graph, *parameters: object, **names: object) -> Diagnosis:
    return diagnose(loss, list(parameters) or None, names=names, show=False)


def only(diagnosis: Diagnosis) -> Finding:
    [found] = diagnosis.findings
    return found


# --------------------------------------------------------------------------------------- rules
def test_a_wrong_rule_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, "sigmoid", 1.001)
    w = Value(0.4, name="w")
    y = record(RULES["sigmoid"], (w,))
    line = here(1)
    found = only(of(y * 2.0, y=y))
    assert (found.kind, found.cause, found.node, found.site) == ("rule", "wrong rule", "y", line)
    numbers = dict(found.numbers)
    assert numbers["recorded"] == pytest.approx(1.001 * numbers["measured"], rel=1e-12)
    assert "a ratio of 1.001" in found.what
    assert "check_rule('sigmoid')" in found.advice


def test_a_missing_factor_in_an_operation_of_the_users_own_is_found() -> None:
    cube = define("cube", "a", "a * a * a", "2.0 * a * a", check=False)
    x = Value(3.0, name="x")
    y = cube(x)
    line = here(1)
    found = only(of(y + 1.0, y=y))
    assert (found.cause, found.node, found.site) == ("wrong rule", "y", line)
    assert "the derivative in a = x is recorded as 18, but measured as 27, a ratio of 0.66667" in found.what


def test_a_wrong_sign_is_called_so_and_every_node_is_told() -> None:
    turned = define("turned", "a", "-a", "1.0", check=False)
    x = Value(3.0, name="x")
    y, z = turned(x), turned(x * 2.0)
    found = only(of(y + z * 0.5, y=y, z=z))
    assert "the sign is wrong" in found.what
    assert "Likewise at" in found.what


def test_parameters_that_have_moved_since_are_a_remark_and_no_fault() -> None:
    w, x, b = Value(2.0, name="w"), Value(3.0, name="x"), Value(0.5, name="b")
    loss = ((w * x + b).tanh() - 1.0) ** 2
    assert of(loss).remarks == ()
    loss.backward()
    before = of(loss)
    for p in (w, b):
        p.data -= 0.05 * p.grad
    diagnosis = of(loss)
    assert diagnosis.findings == before.findings
    [remark] = diagnosis.remarks
    assert remark.startswith(
        f"The parameters have moved since: w was 2.0 and is {w.data} now, b was 0.5 and is {b.data} now. "
    )
    assert remark in " ".join(str(diagnosis).split())
    assert remark.partition(":")[0] in diagnosis.markdown()
    zh = diagnose(loss, names={}, language="zh", show=False)
    assert zh.remarks[0].startswith("此后参数已改变：w 原为 2.0，现为")


def test_an_update_changes_nothing_of_what_is_found() -> None:
    w, x = Value(-0.5, name="w"), Value(3.0, name="x").detach()
    h = (w * x).relu()
    loss = (h - 1.0) ** 2 + w * 0.1
    loss.backward()
    before = of(loss, w, h=h)
    w.data -= 10.0
    after = of(loss, w, h=h)
    assert (after.findings, after.remarks == ()) == (before.findings, False)


def test_parameters_that_moved_twice_are_no_finding_and_those_changed_between_two_uses_are() -> None:
    w, b = Value(2.0, name="w"), Value(0.5, name="b")
    loss = ((w * 3.0 + b).tanh() - 0.3) ** 2
    loss.backward()
    for each in (w, b):
        each.data -= 0.1
        each.data *= 0.99  # weight decay in a line of its own
    diagnosis = of(loss, w, b)
    assert [each.cause for each in diagnosis.findings if each.kind == "changed"] == []
    assert "Parameters have moved more than once since: w, b." in diagnosis.remarks[0]
    v = Value(2.0, name="v")
    first = v * 3.0
    v.data += 1.0
    v.data += 1.0
    assert only(of(first + v * 5.0, v)).cause == "changed after use"


def test_a_computed_number_that_was_changed_is_found() -> None:
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    y = w * x
    line = here(1)
    loss = (y * 0.2).tanh() + w
    y.data = 5.0
    found = only(of(loss, y=y))
    assert (found.kind, found.cause, found.node, found.site) == ("changed", "changed after use", "y", line)
    what = "y = mul(w, x) = 5.0 stands there, but its operands give 6.0 now: y was 6.0 and is 5.0 now."
    assert what in found.what.replace("\n", " ")
    assert found.what.endswith("1 more operation no longer holds.")


def test_a_local_derivative_that_was_changed_is_found() -> None:
    x = Value(0.5, name="x")
    y = x.tanh()
    y._da = 1.5
    found = only(of(y * 2.0, y=y))
    assert (found.kind, found.node) == ("changed", "y")
    assert "local derivatives" in found.what


def test_a_transposed_update_is_named_by_the_check_of_answers() -> None:
    W = array([[0.5, -0.3], [0.2, 0.8]], name="W")
    h = np.array([1.0, -2.0]) @ W
    loss = ((h - np.array([0.3, 0.1])) ** 2).sum()
    loss.backward()
    before = data_of(W)
    after = before - 0.1 * grad_of(W).T  # the bug
    report = check_answers(loss, {"W": (before - after) / 0.1}, names={"W": W}, show=False)
    assert not report.ok
    assert "W: it is the transpose of the true gradient" in str(report)
    assert of(loss, W=W).ok  # the gradients themselves are right


# --------------------------------------------------------------------------------- unreached
def test_a_disconnected_parameter_is_named() -> None:
    w, v = Value(1.5, name="w"), Value(2.5, name="v")
    found = only(of(w * 3.0, w, v))
    assert (found.kind, found.cause, found.node) == ("unreached", "disconnected", "v")
    assert found.parameters == ("v",)
    assert "does not depend on v" in found.what


def test_parameters_without_a_name_are_told_apart_by_their_places() -> None:
    w = Value(1.5, name="w")
    found = only(of(w * 3.0, w, [Value(2.5)], {"b": Value(3.5)}))
    assert found.parameters == ("parameters[1][0]", "parameters[2].b")


def test_parameters_of_a_module_that_the_loss_passes_by_are_found_without_being_given() -> None:
    net = MLP(2, [2, 1], activation="tanh", seed=1)
    loss = net.layers[0]([0.5, 0.2])[0] * 2.0
    found = diagnose(loss, names={"net": net}, show=False)["disconnected"]
    assert len(found.parameters) == 6
    assert diagnose(loss, names={"net": net, "other": MLP(2, [2], seed=2)}, show=False).findings[0] == found


def test_a_parameter_that_entered_as_data_is_found_at_the_literal() -> None:
    w, v = Value(1.5, name="w"), Value(0.37, name="v")
    y = w * v.data
    line = here(1)
    found = only(of(y + 1.0, w, v, y=y))
    assert (found.cause, found.node, found.site) == ("taken as .data", "v", line)
    assert "its number 0.37 stands as a literal in y" in found.what


def test_a_detached_copy_is_found() -> None:
    w, v = Value(1.5, name="w"), Value(0.37, name="v")
    y = w * v.detach()
    line = here(1)
    found = only(of(y, w, v))
    assert (found.cause, found.node, found.site) == ("detached", "v", line)


def test_a_frozen_parameter_is_told_if_it_was_asked_for() -> None:
    w, v = Value(1.5, name="w"), Value(0.37, name="v")
    v.requires_grad = False
    assert only(of(w * v, w, v)).cause == "frozen"
    assert of(w * v).ok


def test_a_constant_and_a_leaf_are_no_losses() -> None:
    w = Value(1.5, name="w")
    with no_grad():
        loss = w * 2.0
    assert "recorded under no_grad(), detached" in only(of(loss)).what
    assert "is a leaf: nothing was recorded" in only(of(w)).what


# ------------------------------------------------------------------------------------- stale
def test_a_forgotten_zero_grad_is_found_by_the_multiple() -> None:
    w, x = Value(1.5, name="w"), Value(2.0, name="x")
    loss = (w * x).tanh()
    line = here(1)
    for _ in range(3):
        loss.backward()
    found = only(of(loss, w, x))
    assert (found.kind, found.cause, found.node, found.site) == ("stale gradient", "accumulated", "w", line)
    assert "3 times the gradient of this loss" in found.what
    assert found.parameters == ("w", "x")


def test_different_multiples_are_another_losses_gradient_and_no_repeated_backward() -> None:
    a, b = Value(3.0, name="a"), Value(2.0, name="b")
    loss = a * b
    (a * a * b).backward()  # 12 and 9
    loss.backward()  # 2 and 3
    found = only(of(loss, a, b))
    assert (found.cause, found.parameters) == ("stale", ("a", "b"))
    assert "a.grad = 14 is not what this loss gives, 2, and so for b" in found.what


def test_the_gradient_of_an_earlier_step_in_grad_is_found() -> None:
    w = Value(1.5, name="w")
    for _ in range(2):
        loss = (w - 0.3) ** 2
        loss.backward()
        w.data -= 0.1 * w.grad
    w.data += 0.1 * w.grad  # as it was when the loss was recorded
    found = only(of(loss, w))
    assert (found.cause, found.parameters) == ("stale", ("w",))
    assert dict(found.numbers)["this loss"] != dict(found.numbers)["grad"]


@pytest.mark.parametrize("nothing", [0, 0.0, None])
def test_gradients_that_were_set_back_after_the_step_are_not_stale(nothing: float | None) -> None:
    w, b = Value(0.5, name="w"), Value(0.1, name="b")
    loss = (w * 2.0 + b).tanh()
    loss.backward()
    for p in (w, b):
        p.data -= 0.1 * p.grad
        p.grad = nothing
    assert diagnose(loss, show=False).ok


def test_clipped_gradients_and_those_before_backward_are_not_stale() -> None:
    w, x = Value(1.5, name="w"), Value(2.0, name="x")
    loss = w * x * 3.0
    w.grad = x.grad = 7.0  # of the last step; backward() of this one is still to come
    assert of(loss).ok
    w.grad = x.grad = None
    loss.backward()
    w.grad, x.grad = 0.25 * w.grad, 0.25 * x.grad
    assert of(loss).ok


def test_nothing_is_changed_by_a_diagnosis() -> None:
    w, x = Value(1.5, name="w"), Value(2.0, name="x")
    loss = (w * x).relu()
    before = Graph(loss)
    of(loss, w)
    assert Graph(loss) == before


# ----------------------------------------------------------------------------------- neurons
def test_neurons_dead_for_all_samples_are_told_from_those_dead_for_some() -> None:
    net = MLP(1, [3, 1], activation="relu", seed=1)
    for neuron, (w, b) in zip(net.layers[0].neurons, [(1.0, 0.0), (1.0, -9.0), (1.0, 9.0)], strict=True):
        neuron.w[0].data, neuron.b.data = w, b
    samples = [[-2.0], [-1.0], [0.5], [1.0], [3.0]]
    diagnosis = diagnose(net=net, data=samples, names={"net": net}, show=False)
    found = only(diagnosis)
    assert (found.kind, found.cause, found.node) == ("neuron", "dead relu", "net.layers.0.neurons.1")
    assert "relu gives 0 for all 5 samples: the weighted input lies between -11 and -6" in found.what
    rows = [(row.inactive, row.verdict) for row in diagnosis.neurons]
    assert rows == [(2, "fine"), (5, "dead"), (0, "fine")]
    told = str(diagnosis).replace("\n", " ")
    assert "2 of 3 are fine; inactive for some samples, as it should be: 1, net.layers.0.neurons.0" in told
    assert "neurons.0 for most, 2 of 5." in told
    assert all(value.grad is None for value in net.parameters())


def test_saturated_neurons_are_counted_over_the_samples() -> None:
    net = Neuron(1, activation="tanh")
    net.w[0].data = 10.0
    samples = np.array([[x] for x in (-3.0, -2.0, -1.0, 0.5, 1.0, 1.5, 2.0, 2.5, 0.0, 4.0)])
    found = only(diagnose(net=net, data=samples, names={"net": net}, show=False))
    assert (found.cause, found.node) == ("saturated tanh", "net")
    assert "tanh is flat for 9 of 10 samples" in found.what
    assert diagnose(net=net, data=samples[:, :1] * 0.05, show=False).ok


def test_a_net_that_is_a_function_is_named_by_operation_and_line() -> None:
    w = Value(1.0, name="w")

    def net(x: float) -> Value:
        return (w * x - 50.0).relu() + (w * x).relu()

    line = f"{__file__}:{net.__code__.co_firstlineno + 1}"
    found = only(diagnose(net=net, data=[0.5, 1.0, -2.0], show=False))
    assert found.site == line
    assert found.node.startswith("relu #")


def test_a_net_in_numpy_is_looked_at_too() -> None:
    W, b = array([[0.5, 1.0], [0.1, -0.3]], name="W"), array([0.0, -50.0], name="b")

    def net(x: list[float]) -> np.ndarray:
        return np.maximum(0.0, np.array(x) @ W + b)

    diagnosis = diagnose(net=net, data=[[0.5, 1.0], [-2.0, 0.5]], show=False)
    assert [(row.activation, row.inactive) for row in diagnosis.neurons] == [("relu", 1), ("relu", 2)]
    assert only(diagnosis).cause == "dead relu"


def test_many_neurons_of_a_layer_are_one_finding() -> None:
    net = MLP(1, [6, 1], activation="relu", seed=1)
    for neuron in net.layers[0].neurons:
        neuron.b.data = -99.0
    found = only(diagnose(net=net, data=[[0.1], [0.2]], names={"net": net}, show=False))
    assert found.node == "net.layers.0.neurons.0"
    assert found.what.startswith("relu gives 0 for all 2 samples: the weighted input lies between")
    assert found.what.endswith(" and 2 more.")
    assert "Likewise net.layers.0.neurons.1, net.layers.0.neurons.2, net.layers.0.neurons.3" in found.what
    assert found.parameters == tuple(f"net.layers.0.neurons.{k}" for k in range(6))


# ---------------------------------------------------------------------------------- training
X, Y = [[0.0, 1.0], [1.0, 0.5], [2.0, -1.0]], [1.0, -1.0, 0.5]


def test_the_error_of_a_failed_step_is_explained() -> None:
    net = MLP(2, [4, 1], activation="relu", seed=1)
    with pytest.raises(NotFinite) as raised:
        fit(net, X, Y, loss="mean_squared_error", optimiser=SGD(net.parameters(), lr=1e4), epochs=200)
    error = raised.value
    diagnosis = diagnose(error, net=net, data=X, show=False)
    found = diagnosis.findings[0]
    assert (found.kind, found.cause, found.node) == ("training", "not finite", f"sample {error.sample}")
    assert found.site is not None
    assert found.site in str(error)
    assert "learning rate" in found.advice
    assert diagnosis["diverging"].kind == "training"
    assert "at a learning rate of 10000" in diagnosis["diverging"].what
    assert diagnosis.neurons


def test_a_history_that_diverges_or_has_a_spike_is_told_and_a_good_one_is_not() -> None:
    bad = History(cost=[1.0, 0.5, 3.0, 80.0], step_cost=[1.0, 0.5, 3.0, 80.0], learning_rate=[0.5] * 4)
    assert "0.5 in epoch 2 and is 80 in epoch 4" in diagnose(bad, show=False)["diverging"].what
    spiked = History(cost=[1.0, 0.9], gradient_norm=[1.0, 1.1, 0.9, 5e4, 1.0])
    assert "is 50000 in step 4; its median is 1" in diagnose(spiked, show=False)["exploding"].what
    net = MLP(2, [4, 1], activation="tanh", seed=1)
    good = fit(net, X, Y, loss="mean_squared_error", epochs=50)
    assert diagnose(good, show=False).ok


# ------------------------------------------------------------------------------- no false alarm
def test_the_net_of_the_tutorial_is_healthy() -> None:
    _, quantities = named()
    diagnosis = diagnose(quantities["E"], names=quantities, show=False)
    assert diagnosis.ok
    assert "nothing found" in str(diagnosis)
    assert "10 parameters" in str(diagnosis)


def moons(count: int) -> tuple[list[list[float]], list[int]]:
    rng = np.random.default_rng(0)
    t, side = rng.uniform(0.0, np.pi, count), np.arange(count) % 2
    upper, lower = np.c_[np.cos(t), np.sin(t)], np.c_[1.0 - np.cos(t), 0.5 - np.sin(t)]
    points = np.where(side[:, None] == 0, upper, lower) + rng.normal(0.0, 0.1, (count, 2))
    return points.tolist(), (2 * side - 1).tolist()


@pytest.mark.parametrize(("activation", "seed"), [("tanh", 1), ("tanh", 2), ("sigmoid", 3), ("relu", 0)])
def test_a_net_on_moons_is_healthy_before_and_after_training(activation: str, seed: int) -> None:
    points, labels = moons(40)
    net = MLP(2, [8, 8, 1], activation=activation, seed=seed)
    for epochs in (0, 5):
        if epochs:
            fit(net, points, labels, loss="hinge", epochs=epochs)
        net.zero_grad()
        loss = losses.hinge([[net(x)] for x in points], labels)
        loss.backward()
        diagnosis = diagnose(loss, net=net, data=points, names={"net": net}, show=False)
        assert diagnosis.findings == ()
        assert [row.name for row in diagnosis.layers] == ["layers.0", "layers.1", "layers.2"]


@settings(max_examples=60)
@given(programs())
def test_in_random_graphs_nothing_is_found_without_its_reason(program: Program) -> None:
    leaves = [Value(x, name=f"x{i}") for i, x in enumerate(program.leaves)]
    loss = program.run(record, sin, leaves)
    loss.backward()
    diagnosis = diagnose(loss, names={}, show=False)
    graph = Graph(loss)
    gradients = [node.grad for node in graph if node.rule is None]
    for found in diagnosis.findings:
        if found.kind == "zero gradient":
            exact = dict(found.numbers).get("size of the contributions", 0.0) > 0.0
            assert exact or 0.0 in gradients
        elif found.kind == "tiny gradient":
            assert abs(dict(found.numbers)["local"]) < 1e-4
        else:
            assert found.kind == "huge gradient"
            assert max(abs(each) for each in gradients if each is not None) >= 1e6


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(["tanh", "sigmoid", "softplus", "gelu"]))
def test_random_smooth_nets_are_healthy(seed: int, activation: str) -> None:
    rng = np.random.default_rng(seed)
    net = MLP(3, [5, 4, 2], activation=activation, init="xavier", rng=rng)
    points = rng.normal(size=(4, 3)).tolist()
    loss = losses.mean_squared_error([net(x) for x in points], rng.normal(size=(4, 2)).tolist())
    loss.backward()
    assert diagnose(loss, names={"net": net}, net=net, data=points, show=False).findings == ()


EXTREME = st.sampled_from([0.0, -0.0, 1.0, -3.0, 1e-320, 1e-160, 1e160, 1e308, math.inf, -math.inf, math.nan])
OPERATIONS = ["add", "sub", "mul", "relu", "tanh", "sigmoid", "abs", "maximum", "select", "dot", "sum", "neg"]


@given(
    st.lists(EXTREME, min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(OPERATIONS), st.lists(st.integers(0, 9), min_size=3, max_size=3))),
)
def test_whatever_the_numbers_there_is_a_diagnosis_and_never_an_error(
    leaves: list[float], steps: list[tuple[str, list[int]]]
) -> None:
    values = [Value(x) for x in leaves]
    for name, places in steps:
        rule = RULES[name]
        several = [values[place % len(values)] for place in places]
        if name == "dot":
            arguments = [several[:1], several[1:2], several[2]]
        elif rule.over:
            arguments = [several]
        else:
            arguments = several[: len(rule.args)]
        values.append(record(rule, arguments))
    loss = values[-1]
    for every in (None, values[: len(leaves)]):
        diagnosis = diagnose(loss, every, names={}, show=False)
        assert "Looked at" in str(diagnosis)
        made = any(
            " first nan " in each.what or " first infinity " in each.what for each in diagnosis.findings
        )
        given_so = any(each.cause.endswith("given") for each in diagnosis.findings)
        finite = all(math.isfinite(node.data) for node in Graph(loss))
        assert loss.is_leaf or finite != (made or given_so)


# ------------------------------------------------------------------------------------ the whole
def test_a_graph_is_diagnosed_like_its_value_also_after_a_pickle() -> None:
    w = Value(-0.5, name="w")
    loss = (w * 3.0).relu() + 1.0
    from_value, graph = of(loss, w), Graph(loss)
    for each in (graph, pickle.loads(pickle.dumps(graph))):
        assert diagnose(each, "w", show=False).findings == from_value.findings


def test_a_long_chain_takes_one_pass() -> None:
    w = Value(0.5, name="w")
    y = w
    for i in range(20_000):
        y = (y + 1e-5) if i % 2 else y * 1.0
    diagnosis = of(y)
    assert diagnosis.ok
    assert "20001 values" in str(diagnosis)
    assert "operations, 4000 of them spread evenly, of each rule" in str(diagnosis).replace("\n", " ")


def test_the_report_shows_the_table_the_sentences_and_what_was_looked_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    w = Value(-0.5, name="w")
    h = (w * 3.0).relu()
    line = here(1)
    diagnosis = diagnose(h + 1.0, names={"h": h})
    shown = capsys.readouterr().out
    assert shown == f"{diagnosis}\n"
    name = line.rpartition("/")[2]
    assert "1   zero gradient   dead relu   h" in shown
    assert name in shown
    assert "Looked at: 4 values; 1 parameter; 3 rules at 3 operations; grad, which is not" in shown
    assert max(map(len, shown.splitlines())) < 130
    assert repr(diagnosis) == "Diagnosis(1 dead relu)"
    assert diagnosis.rows is diagnosis.findings
    with pytest.raises(KeyError, match=r"no finding is about 'x'; found: dead relu at h"):
        diagnosis["x"]


def test_without_sites_the_report_says_how_to_see_lines() -> None:
    record_sites(False)
    w = Value(-0.5, name="w")
    text = str(of((w * 3.0).relu()))
    assert "Lines: call microbp.record_sites() before computing to see them." in text
    assert "line" not in text.splitlines()[2]


def test_markdown_is_the_same_report_and_hostile_names_are_data() -> None:
    w = Value(-0.5, name="<script>|`*_")
    bundle = of((w * 3.0).relu())._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/markdown"}
    assert "&lt;script>\\|\\`\\*\\_" in bundle["text/markdown"]
    assert "<script>" not in bundle["text/markdown"]
    assert "**diagnose(loss = 0): 1 finding**" in bundle["text/markdown"]


def test_a_notebook_never_sees_an_error(monkeypatch) -> None:
    def fails(_: object) -> str:
        raise RuntimeError("no")

    found = of((Value(-0.5, name="w") * 3.0).relu())
    monkeypatch.setattr(type(found), "markdown", fails)
    assert found._repr_mimebundle_() == {"text/plain": "Diagnosis that cannot be shown: RuntimeError('no')"}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: diagnose(3.0), TypeError, "diagnose takes a recorded Value, a Graph, what fit raised"),
        (lambda: diagnose(None), TypeError, "or net= and data=, not None"),
        (lambda: diagnose(data=[[1.0]]), TypeError, "give both, net= and data="),
        (lambda: diagnose(net=Neuron(1)), TypeError, "give both, net= and data="),
        (lambda: diagnose(net=Neuron(1), data=[]), ValueError, "data holds no sample"),
        (lambda: diagnose(Value(1.0) * 2.0, huge=0.1), ValueError, "a number above 1 on, not from 0.1"),
        (lambda: diagnose(Value(1.0) * 2.0, huge=math.nan), ValueError, "above 1 on, not from nan"),
        (lambda: diagnose(net=5, data=[1]), TypeError, "5 cannot be called"),
        (lambda: diagnose(Value(1.0) * 2.0, []), ValueError, "parameters is empty"),
        (lambda: diagnose(Value(1.0) * 2.0, [3.0]), TypeError, "dicts of these, not 3.0"),
        (lambda: diagnose(Value(1.0) * 2.0, {*range(1000)}), TypeError, r"not \{0, 1, 2.{180,200}999\}$"),
        (lambda: diagnose(Value(1.0, name="w") * 2.0, "v"), KeyError, "no value named 'v' in this graph"),
    ],
)
def test_what_it_cannot_look_at_is_refused_in_words(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()


def test_a_finding_is_plain_data() -> None:
    w = Value(-0.5, name="w")
    found = only(of((w * 3.0).relu(), w))
    assert pickle.loads(pickle.dumps(found)) == found
    assert all(isinstance(x, float) and math.isfinite(x) for _, x in found.numbers)
    with pytest.raises(AttributeError):
        found.cause = "other"


# ------------------------------------------------------------------------------------- neurons by name
def test_each_dead_neuron_is_named_with_all_that_it_holds() -> None:
    net = MLP(3, [4, 4, 1], activation="relu", seed=3)
    for layer, number in ((0, 1), (1, 2)):
        net.layers[layer].neurons[number].b.data = -50.0
    diagnosis = of((net([0.3, -0.2, 0.9]) - 1.0) ** 2)
    for layer, number, inputs in ((0, 1, 3), (1, 2, 4)):
        part = f"layers.{layer}.neurons.{number}"
        found = diagnosis[f"{part}.b"]
        assert found.cause == "dead relu"
        assert f"Gradient 0: {part}.*" in found.what
        assert {f"{part}.w.{i}" for i in range(inputs)} <= {*found.parameters}


def batch(net: MLP) -> Value:
    rng = np.random.default_rng(0)
    terms = [cross_entropy(net(x), [1.0, 0.0, 0.0]) for x in rng.normal(size=(16, 4)).tolist()]
    return sum(terms, Value(0.0)) / 16.0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_healthy_relu_net_has_no_finding_whichever_way_its_parameters_are_given(seed: int) -> None:
    net = MLP(4, [8, 8, 3], activation="relu", seed=seed)
    loss = batch(net)
    assert any(each == 0.0 for each in grad(loss, net.parameters()))  # single weights that see 0 only
    for parameters in (None, net, net.parameters()):
        assert diagnose(loss, parameters, names={}, show=False).ok


def test_a_single_weight_that_is_asked_for_is_explained() -> None:
    net = MLP(4, [8, 8, 3], activation="relu", seed=0)
    loss = batch(net)
    names = [name for name, w in net.named_parameters().items() if grad(loss, w) == 0.0]
    assert of(loss, names[0])[names[0]].kind == "zero gradient"


def test_a_neuron_that_is_off_in_one_sample_and_works_in_others_is_no_finding() -> None:
    net = MLP(2, [6, 1], activation="relu", seed=0)
    data = np.random.default_rng(1).normal(size=(30, 2)).tolist()
    net.layers[0].neurons[3].b.data = -1e3
    loss = (net(data[0]) - 1.0) ** 2
    alone = diagnose(loss, names={}, show=False)
    assert len(only(alone).parameters) > 3
    both = diagnose(loss, net=net, data=data, names={}, show=False)
    assert [(each.kind, each.cause) for each in both.findings] == [
        ("zero gradient", "dead relu"), ("neuron", "dead relu"),
    ]  # fmt: skip
    assert {each.rpartition(".neurons.")[2][0] for each in both.findings[0].parameters} == {"3"}


def test_a_saturated_neuron_is_not_said_to_be_off_as_it_should_be() -> None:
    net = MLP(1, [2, 1], activation="tanh", seed=0)
    for each in net.layers[0].neurons[1].parameters():
        each.data = 1e3
    text = str(diagnose(net=net, data=[[0.1], [0.2], [0.3]], names={}, show=False))
    assert "Neurons: 1 of 2 are fine.\n" in text


# --------------------------------------------------------------------------- numbers that are not finite
def test_gradients_that_follow_from_a_number_that_is_not_finite_are_no_findings() -> None:
    record_sites(True)
    a, b = Value(math.inf, name="a"), Value(1.0, name="b")
    diagnosis = of((a - a * b) * b)
    assert [each.cause for each in diagnosis.findings] == ["infinity given", "nan from infinity"]
    given = diagnosis["a"]
    assert "Gradients that are not finite: b." in given.what
    assert given.parameters == ("b",)
    assert given.site == here(5)  # where it enters
    assert "record_sites" not in str(diagnosis)


def test_a_loss_of_which_no_leaf_takes_a_gradient_is_found() -> None:
    w = Value(0.2, name="w")
    found = only(diagnose(w.detach() * 2.0, names={}, show=False))
    assert (found.kind, found.cause) == ("unreached", "constant loss")
    assert "nothing that v1 depends on takes a gradient: all its leaves are constants: w." in found.what
    assert only(of(w.detach() * 2.0, w)).cause == "detached"
    net = MLP(2, [2, 1], seed=0)
    net.freeze()
    assert only(of((net([1.0, 2.0]) - 1.0) ** 2, net=net)).cause == "constant loss"


# ------------------------------------------------------------------------------------ two languages
HARD: list[tuple[Callable[[], Value], str]] = [
    (lambda: (Value(-0.5, name="w") * 3.0).relu() * 2.0, "relu 死亡"),
    (lambda: (Value(30.0, name="w") * 3.0).sigmoid() * 1.0, "sigmoid 饱和"),
    (lambda: (Value(1.0, name="w") - 1.0) ** 2, "幂的斜率为 0"),
    (lambda: Value(1.0, name="w") / Value(1e-9, name="d"), "除以小数"),
    (lambda: Value(math.inf, name="w") * 0.0 + 1.0, "输入为 infinity"),
    (lambda: Value(1.0, name="w") * 2.0 - Value(1.0, name="w").detach(), ""),
    (lambda: Value(0.0, name="w").sqrt() * 1.0, "infinite slope"),
    (lambda: Value(1.0).detach() * 2.0, "损失是常数"),
    (lambda: Value(1.0), "不是计算结果"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "word"), HARD)
def test_chinese_says_the_same(make: Callable[[], Value], word: str) -> None:
    loss = make()
    english = diagnose(loss, names={}, show=False)
    chinese = diagnose(loss, names={}, language="zh-CN", show=False)

    def facts(diagnosis: Diagnosis) -> list[object]:
        told = diagnosis.findings
        return [repr((each.kind, each.cause, each.node, each.numbers, each.parameters)) for each in told]

    def numbers(diagnosis: Diagnosis) -> list[list[str]]:
        found = (
            re.findall(r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?", each.what) for each in diagnosis.findings
        )
        return [sorted(each) for each in found]

    assert ";" not in str(chinese)
    assert facts(chinese) == facts(english)
    assert numbers(chinese) == numbers(english)
    assert all(a.what != b.what for a, b in zip(english.findings, chinese.findings, strict=True))
    assert word in str(chinese)
    assert "Try:" not in str(chinese)
    assert "Looked at" not in chinese.markdown()


def test_every_sentence_has_the_same_facts_in_both_languages() -> None:
    def facts(text: str) -> set[str]:
        return {name.partition("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, (english, chinese) in DIAGNOSIS.items():
        assert facts(english) == facts(chinese), key
    for key, (english, chinese) in CAUSES.items():
        assert [*map(facts, english)] == [*map(facts, chinese)], key


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match=r"language='fr': it is 'en' \(English\) or 'zh' \(Chinese\)"):
        diagnose(Value(1.0) * 2.0, language="fr")


# -------------------------------------------------------------------------------------- loops of steps
def test_a_loop_says_which_step_went_wrong_first() -> None:
    w = Value(1.0, name="w")
    loss = w * 3.0
    good = diagnose(loss, names={}, steps=[3.0, 2.0, 1.0], show=False)
    assert (good.ok, good.remarks) == (True, ("This is step 3 of 3.",))
    worse = diagnose(loss, names={}, steps=[3.0, 2.0, 4.0, 5.0], show=False)
    assert worse["diverging"].what == (
        "the cost was 2 in step 2 and is 5 in step 4, above the 3 of the first. From step 3 on it has not "
        "been below the first again."
    )
    bad = diagnose(loss, names={}, steps=[3.0, 2.0, math.nan, math.nan], show=False)
    assert bad.remarks == (
        "Of 4 steps, step 3 is the first in which the loss is not finite; this is step 2, the one before.",
    )


def test_steps_of_single_samples_jump_and_do_not_diverge() -> None:
    loss = Value(1.0, name="w") * 3.0
    jumping = [0.2, 3.0] * 50 + [0.2, 3.0 * 0.9]
    assert diagnose(loss, names={}, steps=jumping, show=False).ok
    rising = [x * 1.1**k for k, x in enumerate(jumping)]
    assert diagnose(loss, names={}, steps=rising, show=False)["training"].cause == "diverging"


def test_a_maximum_with_another_number_is_no_relu_of_the_first_node() -> None:
    x = Value(-5.0, name="x")
    y = (maximum(x, -1.0) + 3.0) ** 2
    assert "maximum took another operand than x = -5" in str(diagnose(y, names={}, show=False))


def test_a_net_that_computes_nan_is_not_fine() -> None:
    net = MLP(2, [3, 1], activation="tanh", seed=1)
    for data in ([[math.nan, 1.0], [0.5, 1.0]], [[0.5, 1.0]]):
        diagnosis = diagnose(net=net, data=data, show=False)
        assert [row.verdict for row in diagnosis.neurons] == ["not finite"] * 3
        assert [(each.kind, each.cause) for each in diagnosis.findings] == [("neuron", "not finite")] * 3
        for p in net.parameters():
            p.data = math.nan


def test_a_net_without_an_activation_has_nothing_to_find() -> None:
    diagnosis = diagnose(net=MLP(2, [1], seed=0), data=[[0.5, 1.0]], show=False)
    assert diagnosis.ok
    assert diagnosis.looked_at == ("the samples; no activation of the net can go flat",)
    with pytest.raises(TypeError, match="the net has computed no Value for a sample, but gave 3"):
        diagnose(net=lambda _: 3.0, data=[[1.0]], show=False)


def test_the_step_from_which_a_loss_stays_above_the_first() -> None:
    loss = Value(1.0, name="w") * 2.0
    found = diagnose(loss, steps=[4.0 * 3.0**k for k in range(40)], show=False)["diverging"]
    assert "above the 4 of the first. From step 2 on it has not been below the first again." in found.what


@pytest.mark.parametrize("steps", [[0.1, 100.0], [0.01, 0.5, 3.0], [0.1, 0.9, 0.2, 0.8, 0.3, 0.9]])
def test_a_few_losses_that_jump_are_no_divergence(steps) -> None:
    loss = Value(1.0, name="w") * 2.0
    assert diagnose(loss, steps=steps, show=False).ok


def test_a_parameter_of_a_module_is_called_by_its_path_not_by_the_variable_of_a_loop() -> None:
    class Scaled(Module):
        def __init__(self) -> None:
            self.w, self.scale = Value(0.3), Value(0.37)

        def __call__(self, x: float) -> Value:
            return self.w * x * self.scale.data

        def parameters(self) -> list[Value]:
            return [self.w, self.scale]

    net = Scaled()
    loss = net(3.0) ** 2
    for p in net.parameters():
        p.data -= 0.0
    for names in ({"net": net, "p": p}, {"net": net}):
        [found] = diagnose(loss, names=names, show=False).findings
        assert (found.cause, found.parameters) == ("taken as .data", ("scale",))
