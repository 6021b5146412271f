"""Tutorial T3: both forms of the derivation, the slips, the stopping rule, and a planted error."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from support import planted, reproduced

import microbp
from microbp import cli
from microbp.demo import t2, t3
from microbp.demo.report import Report, by_array, relative_difference
from microbp.losses import half_squared_error


@pytest.fixture(scope="module")
def report():
    return reproduced("T3")


@pytest.fixture(scope="module")
def recorded():
    net = t3.record(t3.parameters(t3.numbers()), t3.half_square)
    net["J"].backward()
    return net


def outcome(report, name, source):
    [found] = [each for each in report.comparisons if (each.name, each.source) == (name, source)]
    return found


def test_every_comparison_comes_out_as_it_must(report):
    assert [each for each in report.comparisons if not each.ok] == []
    assert report.verdict == "agree: 53 of 63 comparisons agree; 10 show where a source is wrong"
    names = [(each.name, each.source) for each in report.comparisons]
    assert len(names) == len(set(names))


def test_text_fits_a_terminal(report):
    assert max(map(len, str(report).splitlines())) <= 100
    assert "\x1b" not in str(report)


# ------------------------------------------------------------------------------------- the two forms
def test_the_net_is_the_one_it_says():
    W, b = t3.numbers()
    assert [W[k].shape for k in t3.LAYERS] == [(4, 3), (3, 4), (2, 3)]
    assert [b[k].shape for k in t3.LAYERS] == [(4,), (3,), (2,)]
    for held in (*W.values(), *b.values()):
        assert held.tolist() == held.round(2).tolist()
        assert np.all(held != 0.0)


def test_the_matrix_form_is_the_recorded_gradient_in_every_layer(recorded):
    net = recorded
    found = t3.matrix_form(t3.numbers(), t3.INPUTS, t3.TARGETS)
    for k in t3.LAYERS:
        np.testing.assert_allclose(found["a"][k], [each.data for each in net["a"][k]], rtol=1e-14)
        np.testing.assert_allclose(found["δ"][k], [each.grad for each in net["z"][k]], rtol=1e-12)
        np.testing.assert_allclose(found["W"][k], microbp.grad_of(net["W"][k]), rtol=1e-12)
        np.testing.assert_allclose(found["b"][k], microbp.grad_of(net["b"][k]), rtol=1e-12)


def test_the_matrix_form_is_the_slope_of_the_cost():
    p = t3.numbers()

    def cost(k, place, h):
        moved = {layer: W.copy() for layer, W in p.W.items()}
        moved[k][place] += h
        outputs = t3.matrix_form(t3.Numbers(moved, p.b), t3.INPUTS, t3.TARGETS)["a"][4]
        return 0.5 * float(np.sum((np.array(t3.TARGETS) - outputs) ** 2))

    gradient = t3.matrix_form(p, t3.INPUTS, t3.TARGETS)["W"]
    for k in t3.LAYERS:
        for place in np.ndindex(p.W[k].shape):
            slope = (cost(k, place, 1e-5) - cost(k, place, -1e-5)) / 2e-5
            assert gradient[k][place] == pytest.approx(slope, rel=1e-6, abs=1e-11)


def test_the_report_sums_over_the_paths_to_every_parameter(report):
    summed = [each for each in report.comparisons if each.source == "paths" and " of layer " in each.name]
    assert [each.known for each in summed] == ["4 × 3", "4", "3 × 4", "3", "2 × 3", "2"]
    assert all(each.ok for each in summed)
    assert (report.numbers["six"], report.numbers["count"]) == (6, 6 * 16 + 2 * 15 + 8)
    added = outcome(report, "∂J/∂w11(2)", "paths")
    assert added.known == pytest.approx(added.ours, rel=1e-12)


def test_the_report_compares_every_layer(report):
    rows = [each.name for each in report.comparisons if each.source == "matrices"]
    for k in t3.LAYERS:
        assert {f"z^({k})", f"a^({k})", f"δ^({k}) = ∂J/∂z^({k})", f"∂J/∂W^({k})", f"∂J/∂b^({k})"} <= {*rows}
    text = str(report)
    assert "∂J/∂a1(4) · ∂a1(4)/∂z1(4) · ∂z1(4)/∂w11(4)" in text
    assert "δ^(l) = f′(z^(l)) ⊙ (W^(l+1))ᵀ δ^(l+1)" in text


# ------------------------------------------------------------------------------------------ the slips
def test_the_slips_of_the_tutorial_show(report):
    assert [each.name for each in report.comparisons if not each.must_agree] == [
        "w_12 as printed: δ_i a_i = δ_1 a_1", "w_12, mixed: δ_i a_j = δ_1 a_2",
        "½[(y1 − a1)² + (y2 − a1)²]", "f(z1) Σ w δ", "f(z2) Σ w δ", "f(z3) Σ w δ",
        "printed, ½‖y − a‖", "w11(4)", "w11(3)", "w11(2)",
    ]  # fmt: skip


def test_without_the_square_the_gradient_is_another(report):
    squared = outcome(report, "printed, ½‖y − a‖²", "the formula")
    without = outcome(report, "printed, ½‖y − a‖", "the formula")
    outputs = t3.matrix_form(t3.numbers(), t3.INPUTS, t3.TARGETS)["a"][4]
    norm = math.hypot(*(np.array(t3.TARGETS) - outputs))
    assert squared.ours / without.ours == pytest.approx(2.0 * norm, rel=1e-12)
    assert abs(2.0 * norm - 1.0) > 0.5
    located = outcome(report, "mistake in w11(2)", "located").ours
    assert located.startswith("the factor sqrt′(")
    assert located.endswith(f"= {1.0 / (2.0 * norm):.6f} is missing")


# -------------------------------------------------------------------------------------------- descent
def test_the_data_is_a_full_adder():
    for x, y in zip(t3.ADDER_X, t3.ADDER_Y, strict=True):
        assert 2 * y[0] + y[1] == x.sum()
    assert len({tuple(x) for x in t3.ADDER_X.tolist()}) == 8


def test_the_stopping_rule_stops_at_the_first_small_change(report):
    for name, costs in report.numbers["costs"].items():
        changes = [abs(b - a) for a, b in itertools.pairwise(costs)]
        assert changes[-1] < t3.TOLERANCE <= min(changes[:-1])
        assert outcome(report, f"{name}: stopping rule", "wanted").ours == len(costs)
        assert outcome(report, f"{name}: stopped by", "wanted").ours == "tolerance"
        assert costs[-1] < 0.01 < costs[0]
        assert outcome(report, f"{name}: right bits", "wanted").ours == 16


def test_the_rule_stops_too_early_with_a_coarse_tolerance(report):
    costs = report.numbers["costs"]["batch"]
    first = next(n for n, (a, b) in enumerate(itertools.pairwise(costs), 2) if abs(b - a) < 1e-4)
    assert first < 1000
    assert costs[first - 1] > 0.1  # it does not add yet


def test_batch_descent_in_numpy_is_the_true_descent():
    start = t3._numbers_of(t3._adder())
    first, second = t3.descend(start, 8, 0.5, tolerance=1.0)
    net = t3._adder()
    cost = half_squared_error([net(x) for x in t3.ADDER_X.tolist()], t3.ADDER_Y)
    assert first == pytest.approx(cost.data, rel=1e-14)
    for parameter, gradient in zip(net.parameters(), microbp.grad(cost, net.parameters()), strict=True):
        parameter.data -= 0.5 * gradient
    cost = half_squared_error([net(x) for x in t3.ADDER_X.tolist()], t3.ADDER_Y)
    assert second == pytest.approx(cost.data, rel=1e-13)


# --------------------------------------------------------------------- an engine that is wrong shows
def test_the_command_fails_when_an_operation_has_a_wrong_derivative(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(t3, "EPOCHS", 300)
    planted(monkeypatch, "sigmoid")
    assert cli.main(["demo", "T3", "-q", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("T3: DISAGREE: ")
    read = json.loads((tmp_path / "T3.json").read_text(encoding="utf-8"))
    assert read["ok"] is False
    wrong = {each["source"] for each in read["comparisons"] if each["agree"] != each["must_agree"]}
    assert {"matrices", "numerical", "complex step"} <= wrong


def test_an_operator_that_records_a_wrong_derivative_is_seen(monkeypatch):
    right = microbp.Value.__add__

    def wrong(a, b):
        node = right(a, b)
        if node._da is not None:  # under no_grad() it is
            node._da *= 1.0005
        return node

    monkeypatch.setattr(t3, "EPOCHS", 300)
    monkeypatch.setattr(microbp.Value, "__add__", wrong)
    report = t3.TUTORIAL.reproduce()
    names = {each.name for each in report.comparisons if not each.ok}
    assert {"∂J/∂W^(4)", "∂J/∂W^(3)", "∂J/∂W^(2)", "∂/∂W^(2)", "audit of the graph"} <= names
    assert "w_21, matrix: δ_i a_j = δ_2 a_1" not in names  # of the other output, which is the other operand


def test_the_numbers_stand_in_its_file(report):
    read = json.loads(report.as_json())
    assert read["ok"] is True
    assert read["numbers"]["iterations"] == len(read["numbers"]["costs"]["batch"]) > 100


# --------------------------------------------------------------------------------------------- arrays
def test_the_relative_difference_is_that_of_the_largest_numbers():
    assert relative_difference([0.0, 2.0], [0.5, 2.0]) == 0.25
    assert relative_difference([[1.0, 2.0]], [1.0, 2.0]) == math.inf
    assert relative_difference(np.zeros((2, 2)), np.zeros((2, 2))) == 0.0
    assert math.isnan(relative_difference([1.0], [math.nan]))


@pytest.mark.parametrize("ours", [[1.0, 2.0 + 1e-11], [1.0], [math.nan, 2.0]])
def test_an_array_that_differs_disagrees(ours):
    report = Report("T0", "Arrays")
    table = report.compare("Gradients", "by hand", [("dW", [1.0, 2.0], ours), ("db", [3.0], [3.0])])
    assert [each.ok for each in report.comparisons] == [False, True]
    assert "DISAGREE" in str(table)


def test_one_wrong_number_makes_its_array_disagree_with_the_numerical_gradient():
    w = microbp.array([1.0, 2.0], name="w")
    v = microbp.array([3.0], name="v")
    loss = w[0] * w[1] * v[0]
    claimed = {"w": np.array([6.0, 3.003]), "v": np.array([2.0])}
    held = {"w": w, "v": v}
    checked = microbp.check.check_gradients(loss, held, claimed=claimed, names={}, show=False)
    report = Report("T0", "Arrays")
    table = report.compare("Gradients", "numerical", by_array(checked, claimed))
    assert [(each.name, each.ok) for each in report.comparisons] == [("∂/∂w", False), ("∂/∂v", True)]
    assert "5.0e-04" in str(table)


def test_training_shows_no_bar_of_its_own(monkeypatch):
    asked = []

    def noted(*_args, **options):
        asked.append(options.get("progress"))
        raise StopIteration

    for tutorial in (t2, t3):
        monkeypatch.setattr(tutorial, "fit", noted)
    with pytest.raises(StopIteration):
        t2._digits(np.zeros((10, 64)), np.arange(10) % 2)
    with pytest.raises(StopIteration):
        t3._train(1.0)
    assert asked == [False, False]
