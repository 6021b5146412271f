"""Tutorial T2: the layers, the two mistakes, the digits (trained once, in full), and planted errors."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import numpy as np
import pytest
from support import planted

from microbp import cli
from microbp.check import numerical_gradient
from microbp.demo import t2
from microbp.layers import TwoLayerNet


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The real thing, from the command line: its status, what it printed, its files."""
    folder = tmp_path_factory.mktemp("demo")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(["demo", "T2", "-v", "--output", str(folder)])
    text = (folder / "T2.txt").read_text(encoding="utf-8")
    read = json.loads((folder / "T2.json").read_text(encoding="utf-8"))
    return status, out.getvalue(), err.getvalue(), text, read


def comparison(read, name, source):
    [found] = [each for each in read["comparisons"] if (each["name"], each["source"]) == (name, source)]
    return found


@pytest.fixture
def without_digits(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)


@pytest.fixture
def few_digits(monkeypatch):
    images, labels = t2.load()
    monkeypatch.setattr(t2, "load", lambda: (images[:200], labels[:200]))
    monkeypatch.setattr(t2, "EPOCHS", 2)


# ----------------------------------------------------------------------------------- the whole, in full
def test_it_reads_digits_that_it_has_not_seen(demo):
    status, _, _, _, read = demo
    assert status == 0
    assert read["ok"] is True
    digits, accuracy = read["numbers"]["test"], comparison(read, "test accuracy", "wanted")["ours"]
    right = np.array(digits["digit"]) == np.array(digits["read as"])
    assert len(right) == 359
    assert accuracy == pytest.approx(right.mean(), rel=1e-15)
    assert accuracy >= 0.95
    _, labels = t2.load()
    assert labels[digits["row in the data set"]].tolist() == digits["digit"]
    training, test = t2.split(labels, t2.SPLIT_SEED)
    assert test.tolist() == digits["row in the data set"]
    assert not {*training.tolist()} & {*test.tolist()}


def test_the_cost_falls(demo):
    costs = demo[4]["numbers"]["costs"]["training"]
    assert len(costs) == t2.EPOCHS
    assert costs[0] > 1.0
    assert costs[-1] < 0.05


def test_the_training_is_that_of_the_hand_written_gradients(demo):
    rows = {each["name"] for each in demo[4]["comparisons"] if each["source"] == "NumPy"}
    last = {f"{name} after the last step" for name in ("W1", "b1", "W2", "b2")}
    assert rows == {"cost of each epoch"} | last
    assert "hand-written gradients (tolerance 1e-10)" in demo[3]


def test_every_comparison_comes_out_as_it_must(demo):
    read = demo[4]
    assert [each for each in read["comparisons"] if each["agree"] != each["must_agree"]] == []
    assert [each["name"] for each in read["comparisons"] if not each["must_agree"]] == [
        "Relu().forward(x)", "dW1[0,1]", "dW1[1,1]", "W1",
    ]  # fmt: skip
    names = [(each["name"], each["source"]) for each in read["comparisons"]]
    assert len(names) == len(set(names))


def test_what_is_printed_is_the_text_and_no_more(demo):
    _, out, err, text, _ = demo
    assert err == ""
    assert "\x1b" not in out
    assert "\r" not in out
    assert out.split("Written:")[0].split() == text.split()
    assert max(map(len, text.splitlines())) <= 100
    assert "SKIPPED" not in text


# ------------------------------------------------------------------------------- the reference by hand
def test_the_hand_written_gradients_are_right():
    net = TwoLayerNet(4, 3, 3, weight_init_std=1.0, seed=1)
    x, labels = np.random.default_rng(1).normal(size=(5, 4)), [0, 2, 1, 1, 0]
    loss, gradients = t2.by_hand(net.state(), x, np.eye(3)[labels])
    assert loss == pytest.approx(net.loss(x, labels).data, rel=1e-14)
    measured = numerical_gradient(lambda: net.loss(x, labels), net.params)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, measured[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_split_takes_a_fifth_of_each_class_and_shares_nothing(seed):
    labels = np.repeat([3, 5, 7], [20, 25, 31])
    training, test = t2.split(labels, seed)
    assert sorted([*training, *test]) == list(range(76))
    assert [int(np.sum(labels[test] == label)) for label in (3, 5, 7)] == [4, 5, 6]
    assert t2.split(labels, seed)[0].tolist() == training.tolist()
    assert training.tolist() != sorted(training.tolist())
    assert t2.split(labels, seed + 2)[1].tolist() != test.tolist()


def test_the_tutorials_relu_overwrites_what_it_is_handed():
    layer, dout = t2.Relu(), np.array([[5.0, 7.0]])
    layer.forword(np.array([[-1.0, 1.0]]))
    dx = layer.backward(dout)
    assert dx is dout
    assert dout.tolist() == [[0.0, 7.0]]
    assert not hasattr(layer, "forward")


# -------------------------------------------------------------------------------- the parts in the text
def test_the_mistakes_are_shown_by_what_they_do(demo):
    _, _, _, text, read = demo
    refused = comparison(read, "Relu().forward(x)", "the tutorial")
    assert refused["ours"] == "AttributeError"
    assert "AttributeError: 'Relu' object has no attribute 'forward'" in text
    wrong = comparison(read, "dW1[0,1]", "overwritten")
    right = comparison(read, "dW1[0,1]", "copied")
    assert (wrong["known"], right["known"]) == pytest.approx((0.169746888, 0.548683597), abs=5e-10)
    assert right["ours"] == pytest.approx(right["known"], rel=1e-14)
    located = comparison(read, "mistake in W1", "located")["ours"]
    assert "the path from z[0,1] through h[0,1] is missing" in located


def test_the_average_difference_of_the_two_gradients_is_tiny(demo):
    averages = demo[4]["numbers"]["average difference"]
    assert list(averages) == ["W1", "b1", "W2", "b2"]
    assert all(0.0 <= each < 1e-10 for each in averages.values())


# ------------------------------------------------------------------------------------- what can go wrong
@pytest.mark.usefixtures("without_digits")
def test_without_scikit_learn_it_says_how_to_get_it_and_does_the_rest(tmp_path, capsys):
    assert cli.main(["demo", "T2", "-q", "-o", str(tmp_path)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("T2: agree: ")
    assert line.endswith("; SKIPPED: the digits come with scikit-learn: pip install 'microbp[demo]'")
    text = (tmp_path / "T2.txt").read_text(encoding="utf-8")
    assert "\nSKIPPED: the digits come with scikit-learn: pip install 'microbp[demo]'\n" in text
    assert "4. The second mistake" in text
    read = json.loads((tmp_path / "T2.json").read_text(encoding="utf-8"))
    assert "costs" not in read["numbers"]


@pytest.mark.usefixtures("without_digits")
@pytest.mark.parametrize("operation", ["dot", "relu", "cross_entropy"])
def test_a_wrong_derivative_in_the_engine_is_seen(tmp_path, capsys, monkeypatch, operation):
    planted(monkeypatch, operation)
    assert cli.main(["demo", "T2", "-q", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("T2: DISAGREE: ")
    read = json.loads((tmp_path / "T2.json").read_text(encoding="utf-8"))
    wrong = {each["source"] for each in read["comparisons"] if each["agree"] != each["must_agree"]}
    assert {"by hand", "numerical", "complex step"} <= wrong


@pytest.mark.usefixtures("few_digits")
def test_a_net_that_reads_too_few_digits_fails():
    report = t2.TUTORIAL.reproduce()
    assert [each.name for each in report.comparisons if not each.ok] == ["test accuracy"]
    assert not report.ok


@pytest.mark.usefixtures("few_digits")
def test_a_wrong_derivative_shows_in_the_training_as_well(monkeypatch):
    planted(monkeypatch, "relu")
    wrong = [each.name for each in t2.TUTORIAL.reproduce().comparisons if not each.ok]
    assert {"cost of each epoch", "W1 after the last step", "∂/∂W1"} <= {*wrong}


@pytest.mark.usefixtures("few_digits")
def test_a_test_digit_that_was_learned_is_seen(monkeypatch):
    images, labels = t2.load()
    training, test = t2.split(labels, t2.SPLIT_SEED)
    images = images.copy()
    images[test[0]] = images[training[0]]
    monkeypatch.setattr(t2, "load", lambda: (images, labels))
    wrong = [each.name for each in t2.TUTORIAL.reproduce().comparisons if not each.ok]
    assert "test images that equal a training image" in wrong


@pytest.mark.usefixtures("few_digits")
def test_it_is_the_same_every_time():
    assert t2.TUTORIAL.reproduce().as_json() == t2.TUTORIAL.reproduce().as_json()
