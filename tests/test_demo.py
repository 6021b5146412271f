"""The tutorials come out as ``microbp demo`` says: figures, mistakes, and a planted error."""

from __future__ import annotations

import io
import json
import math
from functools import partial

import numpy as np
import pytest
from support import at_once, planted, reproduced

import microbp
from microbp import compiled
from microbp.demo import TUTORIALS, t1, t4
from microbp.demo.report import Comparison, Report, agrees
from microbp.rules import RULES
from microbp.text import write


@pytest.fixture(scope="module")
def reports():
    """All but T2, which trains for a minute; its own tests do that once."""
    return {name: reproduced(name) for name in TUTORIALS if name != "T2"}


def ours(report, name, source):
    """What microbp has to set against what the source says of ``name``."""
    [found] = [each for each in report.comparisons if (each.name, each.source) == (name, source)]
    return found.ours


def test_the_tutorials_stand_in_order_each_with_its_report(reports):
    assert list(TUTORIALS) == ["T1", "T2", "T3", "T4"]
    for name, report in reports.items():
        assert (report.name, report.title) == (name, TUTORIALS[name].title)


def test_every_comparison_comes_out_as_it_must(reports):
    for report in reports.values():
        assert [each for each in report.comparisons if not each.ok] == []
        assert report.ok
        assert report.verdict.startswith("agree: ")
        assert report.verdict.endswith(" show where a source is wrong")


# --------------------------------------------------------------------------------------------- T1
def test_no_two_comparisons_have_one_name_and_one_source(reports):
    for report in reports.values():
        names = [(each.name, each.source) for each in report.comparisons]
        assert len(names) == len(set(names))


def test_t1_figures(reports):
    report, evaluation = reports["T1"], "cost, evaluation 100"
    assert ours(report, evaluation, "the tutorial") == pytest.approx(5.92944818e-07, abs=5e-16)
    assert ours(report, evaluation, "reference") == pytest.approx(3.266878922007038e-07, rel=1e-12)
    first = ours(report, "cost, evaluation 1", "reference")
    assert first == pytest.approx(0.01810390383656677, rel=1e-14)
    same = partial(np.testing.assert_allclose, rtol=0)
    for source, W0, W1 in (
        ("the tutorial", [[0.0993309, 0.6425254], [0.3993309, 0.4425254]], [[-0.30032342, 0.31508797]]),
        ("reference", [[0.09949729, 0.79870731], [0.35650028, 0.48814358]], [[-0.30047225, 0.32533603]]),
    ):
        for name, known in (("W0", W0), ("W1", W1)):
            found = [[ours(report, f"{name}[{i},{j}]", source) for j in (0, 1)] for i in range(len(known))]
            same(found, known, atol=5e-8 if source == "the tutorial" else 5e-9)


def test_t1_costs_of_every_evaluation(reports):
    costs = reports["T1"].numbers["costs"]
    assert len(costs["the tutorial's rule"]) == 100
    assert len(costs["gradient descent"]) == 101
    for falling in costs.values():
        assert falling == sorted(falling, reverse=True)


def test_t1_locates_the_mistake(reports):
    text = str(reports["T1"])
    located = ours(reports["T1"], "mistake in W0", "located")
    assert "it is xᵀ·((δ_l2·W1) ∗ f′_l1), not ((W1ᵀ·δ_l2) ∗ f′_l1)·xᵀ: this 1×2 is broadcast" in located
    assert located.split(";")[-1].strip() in " ".join(text.split())
    wrong = [each.name for each in reports["T1"].comparisons if not each.must_agree]
    assert wrong == ["l1_delta[0,1], hidden 0", "l1_delta[1,0], hidden 1", "W0"]
    assert "W0 += l1_delta.dot(l0.T)" in text


def test_t1_program_runs_on_numpy_and_on_microbp_arrays_alike():
    plain = np.array(t1.START_W0), np.array(t1.START_W1)
    recorded = microbp.array(t1.START_W0), microbp.array(t1.START_W1)
    errors = [float(each.Error[0, 0]) for each in t1.program(*plain)]
    values = [each.Error[0, 0] for each in t1.program(*recorded)]
    assert len(errors) == 100
    np.testing.assert_allclose([each.data for each in values], errors, rtol=1e-12)
    np.testing.assert_allclose(microbp.data_of(recorded[0]), plain[0], rtol=1e-14)
    assert plain[0].tolist() != t1.START_W0


def test_t1_true_gradients_are_those_of_the_corrected_lines():
    W0, W1 = microbp.array(t1.START_W0), microbp.array(t1.START_W1)
    by_engine = microbp.grad(t1.cost(W0, W1), [W0, W1])
    x, w0, w1 = np.array([[0.35], [0.9]]), np.array(t1.START_W0), np.array(t1.START_W1)
    l1 = t1.nonlin(w0 @ x)
    l2 = t1.nonlin(w1 @ l1)
    delta2 = (l2 - 0.5) * t1.nonlin(l2, deriv=True)
    delta1 = (w1.T @ delta2) * t1.nonlin(l1, deriv=True)
    np.testing.assert_allclose(by_engine[0], delta1 @ x.T, rtol=1e-14)
    np.testing.assert_allclose(by_engine[1], delta2 @ l1.T, rtol=1e-14)


# --------------------------------------------------------------------------------------------- T4
def test_t4_figures(reports):
    report = reports["T4"]
    start = ours(report, "E at the start", "reference")
    assert start == pytest.approx(0.2983711087600027, rel=1e-14)
    both = ours(report, "E after 1 update, biases too", "reference")
    weights = ours(report, "E after 1 update", "reference")
    assert weights == pytest.approx(0.29102777369359933, rel=1e-14)
    assert both == pytest.approx(0.2857508866992965, rel=1e-14)
    both = ours(report, "E after 10,000, biases too", "reference")
    weights = ours(report, "E after 10,000", "reference")
    assert weights == pytest.approx(3.510187782978859e-05, rel=1e-11)
    assert both == pytest.approx(4.355321066163729e-06, rel=1e-11)
    last = report.numbers["after the last update"]
    assert (last["o1"], last["o2"]) == pytest.approx((0.01591362, 0.98406427), abs=5e-9)
    assert (last["b1"], last["b2"]) == (0.35, 0.60)
    gradients = report.numbers["gradients at the start"]
    assert gradients["w5"] == pytest.approx(0.0821670, abs=5e-8)
    assert gradients["w1"] == pytest.approx(0.000438568, abs=5e-10)


def test_t4_prints_the_factors_and_the_paths(reports):
    text = str(reports["T4"])
    assert "∂E/∂w5 = ∂E/∂o1 · ∂o1/∂net_o1 · ∂net_o1/∂w5" in text
    assert "0.741365070·0.186815602·0.593269992" in text
    assert "∂E/∂w1 = 0.000668396021 + (−0.000229828287) = 0.000438567734" in text


def recorded_net():
    p = t4.variables()
    t4.network(p)["E"].backward()
    return p


def test_t4_gradients_by_hand_are_the_engines_and_early_ones_are_not():
    p = recorded_net()
    numbers = {name: each.data for name, each in p.items()}
    right, early = t4.by_hand(numbers), t4.by_hand(numbers, early=True)
    assert list(right) == t4.WEIGHTS
    for name, gradient in right.items():
        assert gradient == pytest.approx(p[name].grad, rel=1e-13)
        assert (early[name] == gradient) == (name in ("w5", "w6", "w7", "w8"))


def test_t4_trains_what_it_is_told_to():
    history = t4.train(["w5"], 3)
    assert len(history) == 4
    moved = {name for name in t4.START if history[0][name] != history[3][name]}
    assert moved == {"w5"}


def test_t4_explains_two_gradients_and_each_number_is_computed_again(reports):
    text = str(reports["T4"])
    assert "∂E/∂w5 = ∂E/∂o1 · ∂o1/∂net_o1 · ∂net_o1/∂w5" in text
    assert "∂E/∂w1 = 0.000668396021 + (−0.000229828287) = 0.000438567734" in text
    told = [each for each in reports["T4"].comparisons if each.source == "the engine"]
    assert [(each.name, each.ok) for each in told] == [
        ("∂E/∂w5: how w5 acts on E", True), ("∂E/∂w1: how w1 acts on E", True),
    ]  # fmt: skip


def test_the_graphs_of_t1_and_t4_have_gradients_and_lines(reports):
    for name, root in (("T1", "E"), ("T4", "E")):
        graph = reports[name].graph
        assert graph.root.name == root
        assert all(node.grad is not None for node in graph if node.requires_grad)
        assert all(f"{name.lower()}.py:" in node.site for node in graph if node.rule)


def test_t4_shows_what_is_wrong_in_its_sources(reports):
    mistakes = [(each.name, each.ours) for each in reports["T4"].comparisons if not each.must_agree]
    assert [name for name, _ in mistakes] == [
        "∂E_o2/∂h1", "1/(1 − e^−z)", "E after 1 update", "o1 after 10,000",
        "o2 after 10,000", "E as printed", "w1",
    ]  # fmt: skip
    assert mistakes[1][1] == pytest.approx(1 / (1 - math.exp(-0.3775)))
    true = ours(reports["T4"], "E after 1 update", "the example")
    early = ours(reports["T4"], "E after 1 update, early", "the example")
    assert (true, early) == pytest.approx((0.291027773694, 0.291027923905), abs=5e-13)
    located = ours(reports["T4"], "mistake in w1", "located")
    assert "had been updated" in located
    assert "w5 = 0.358916" in located
    assert located in " ".join(str(reports["T4"]).split())
    assert "microbp: div(a, b)" in str(reports["T4"])


# ----------------------------------------------------------------- an engine that is wrong shows
@pytest.mark.parametrize(
    ("tutorial", "operation"), [("T1", "exp"), ("T1", "dot"), ("T4", "sigmoid"), ("T4", "dot")]
)
def test_a_wrong_derivative_in_the_engine_is_seen(monkeypatch, reports, tutorial, operation):
    planted(monkeypatch, operation)
    monkeypatch.setattr(t4, "UPDATES", 1)
    report = TUTORIALS[tutorial].reproduce()
    # What a shorter training changes shows nothing of the engine.
    long = {each.name for each in report.comparisons if "10,000" in each.name}
    right = {(each.name, each.source) for each in reports[tutorial].comparisons if each.ok}
    wrong = {(e.name, e.source) for e in report.comparisons if not e.ok and e.name not in long} & right
    assert not report.ok
    assert report.verdict.startswith("DISAGREE: ")
    assert {"numerical", "reference" if tutorial == "T4" else "corrected"} <= {source for _, source in wrong}
    assert "audit of the graph" in {name for name, _ in wrong}
    ending = str(report).rpartition("Self-check")[2]
    assert report.verdict in ending
    assert all(name in ending for name, _ in wrong)
    assert "\n  DISAGREE  " in report.page


def test_a_wrong_value_in_the_engine_is_seen(monkeypatch):
    rule = RULES["sigmoid"]
    right = compiled.compiled(rule)
    wrong = compiled.Compiled(lambda a: right.value(a) + 1e-7, right.derivatives)
    monkeypatch.setitem(compiled._compiled, rule, wrong)
    monkeypatch.setattr("microbp.record.extension", None)
    monkeypatch.setattr("microbp.nn.extension", None)
    monkeypatch.setattr(t4, "UPDATES", 1)
    report = t4.TUTORIAL.reproduce()
    assert [each.name for each in report.comparisons if not each.ok][:3] == ["h1", "h2", "net_o1"]


# --------------------------------------------------------------------------------------- the report
def test_text_fits_a_terminal_and_has_no_colour(reports):
    for report in reports.values():
        text = f"{report}\n{report.page}"
        assert max(map(len, text.splitlines())) <= 100
        assert "\x1b" not in text
        paragraphs = [each for each in report.blocks if isinstance(each, str) and not each.startswith(" ")]
        assert max(len(line) for each in paragraphs for line in each.splitlines()) <= 90


def test_a_file_that_lacks_signs_gets_letters_that_can_be_read(reports):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    write(str(reports["T4"]), file)
    file.flush()
    assert b"dE/dw5 = dE/do1 * do1/dnet_o1 * dnet_o1/dw5" in raw.getvalue()


def test_json_holds_every_comparison_and_the_numbers(reports):
    for name, report in reports.items():
        read = json.loads(report.as_json())
        assert (read["tutorial"], read["microbp"], read["ok"]) == (name, microbp.__version__, True)
        ours = [each.ours for each in report.comparisons]
        assert [each["ours"] for each in read["comparisons"]] == ours
        assert read["numbers"] == report.numbers
        assert report.numbers


@at_once(
    [
        ("0.19", 0.1949999, True),
        ("0.19", 0.1950001, False),
        ("-0.019049119", -0.0190491183, False),
        ("5.92944818e-07", 5.929448184e-07, True),
        ("5.92944818e-07", 5.929448186e-07, False),
        ("0.2983711087600027", 0.2983711087600029, True),
        ("0.2983711087600027", 0.29837110880, False),
        (0.5, 0.5 + 1e-11, True),
        (0.5, 0.5 + 1e-10, False),
        (0.0, 0.0, True),
        (0.0, 1e-300, False),
        ("0.5", math.inf, False),
        ("0.5", math.nan, False),
    ]
)
def test_agreement_is_to_the_digits_printed(known, number, same):
    assert agrees(known, number) is same


def test_a_comparison_has_its_verdict():
    report = Report("T0", "Nothing", {"numbers": {"right": 0.5, "wrong": 0.6, "slip": 0.7}})
    report.add("{numbers} a book: Numbers\n    right = 0.5; wrong = 0.5\n    slip ≠ 0.5")
    right, wrong, slip = report.comparisons
    assert (right.verdict, right.ok) == ("agree", True)
    assert (wrong.verdict, wrong.ok) == ("DISAGREE", False)
    assert (slip.verdict, slip.ok) == ("DISAGREE, expected", True)
    assert report.verdict == "DISAGREE: 1 of 3 comparisons did not come out as they must"
    surprise = Comparison("slip", "a book", "0.5", 0.5, agree=True, must_agree=False)
    assert (surprise.verdict, surprise.ok) == ("agree, UNEXPECTED", False)


def test_a_mistake_stands_on_the_page_only_if_all_of_it_shows():
    def page(*numbers):
        report = Report("T0", "Nothing", {"numbers": dict(zip(("first", "second"), numbers, strict=True))})
        report.add("{numbers} a book: Numbers\n    first ≠ 0.5; second ≠ 0.7")
        report.add("! two digits\nare wrong")
        report.add("{numbers} another: Numbers\n    first = 0.6")  # of another source: right
        return report.page

    assert page(0.6, 0.8).splitlines()[1:] == [
        "  compared  agree: 1 of 3 comparisons agree; 2 show where a source is wrong",
        "  mistake   two digits are wrong",
    ]  # fmt: skip
    assert page(0.6, 0.7).splitlines()[1:] == [
        "  compared  DISAGREE: 1 of 3 comparisons did not come out as they must",
        "  DISAGREE  second: a book 0.7, microbp 0.7",
    ]


def test_a_sentence_on_a_mistake_that_nothing_shows_is_refused():
    report = Report("T0", "Nothing", {"numbers": {"right": 0.5}})
    report.add("{numbers} a book: Numbers\n    right = 0.5")
    with pytest.raises(AssertionError, match="no comparison above shows it: ! a digit is wrong"):
        report.add("! a digit is wrong")


def test_every_mistake_of_a_source_stands_on_its_page(reports):
    for report in reports.values():
        text = " ".join(report.page.split())
        named = [each for mistake in report.mistakes for each in mistake.comparisons]
        assert named == [each for each in report.comparisons if not each.must_agree]
        assert all(mistake.told in text for mistake in report.mistakes)
        assert report.verdict in text
        assert len(report.page.splitlines()) <= 15


def test_the_ending_lists_what_went_wrong():
    report = Report("T0", "Nothing")
    report.blocks.append(report.compare("Figures", "a book", [("E", "0.5", 0.625), ("o", "0.25", 0.25)]))
    assert str(report) == (
        "T0. Nothing\n═══════════\n\n"
        "Figures\n\n"
        "    a book   microbp   difference   verdict\n"
        "────────────────────────────────────────────\n"
        "E   0.5      0.625       +1.2e-01   DISAGREE\n"
        "o   0.25     0.2500             0   agree\n\n"
        "Self-check\n\n"
        "    source   known   microbp   verdict\n"
        "───────────────────────────────────────\n"
        "E   a book   0.5     0.625     DISAGREE\n\n"
        "DISAGREE: 1 of 2 comparisons did not come out as they must"
    )


def test_a_gradient_that_could_not_be_decided_is_no_agreement():
    b = microbp.Value(0.0, name="b")
    report = Report("T0", "A kink")
    table = report.gradients(microbp.check_gradients(2.0 * b.relu() + 1.0, show=False))
    assert not report.ok
    assert "inconclusive" in str(table)
    assert "not smooth" in str(table)


def test_a_wrong_claim_must_be_located():
    w, v = microbp.Value(0.4, name="w"), microbp.Value(0.7, name="v")
    loss = (w * 3.0).sigmoid() * v
    answers = microbp.check_answers(loss, {"w": 0.123456789, "v": 1.0}, show=False)
    report = Report("T0", "Claims", {"claims": answers})
    report.add("{claims}\n    w ≠")
    outcome = {(each.name, each.source): each.ok for each in report.comparisons}
    assert outcome == {
        ("w", "claimed"): True, ("mistake in w", "located"): False, ("v", "claimed"): False,
    }  # fmt: skip
