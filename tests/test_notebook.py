"""A notebook shows each result once, as Markdown; a terminal gets the table."""

from __future__ import annotations

import math
import re
import sys
from types import SimpleNamespace

import pytest

import microbp
from microbp import MLP, History, Value, fit
from microbp.optim import SGD
from microbp.text import Table


@pytest.fixture
def notebook(monkeypatch):
    """What a Jupyter kernel displays, with a cell that can be counted on."""
    shown = []
    shell = SimpleNamespace(kernel=object(), execution_count=1, shown=shown)
    display = SimpleNamespace(display=lambda result: shown.append(result._repr_mimebundle_()))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, display=display))
    return shell


def made():
    w = Value(0.5, name="w_1")
    loss = (w * 3.0).tanh() ** 2
    loss.backward()
    return loss, w


RESULTS = {
    "check": lambda loss, w: microbp.check_gradients(loss, [w], names={}),
    "audit": lambda loss, _: microbp.audit(loss, names={}),
    "answers": lambda loss, _: microbp.check_answers(loss, {"w_1": 0.25}, names={}),
    "diagnosis": lambda loss, _: microbp.diagnose(loss, names={}),
    "rule": lambda *_: microbp.check_rule("tanh", show=True),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_is_displayed_once_and_richly(notebook, capsys, kind):
    result = RESULTS[kind](*made())
    assert capsys.readouterr().out == ""
    [bundle] = notebook.shown
    assert set(bundle) == {"text/markdown", "text/plain"}
    assert "**" in bundle["text/markdown"]
    assert bundle["text/plain"] == str(result)
    assert result._repr_mimebundle_() == {"text/plain": repr(result)}  # the last line of the same cell
    notebook.execution_count += 1
    assert result._repr_mimebundle_() == bundle  # asked for again, in another one


@pytest.mark.parametrize("kind", RESULTS)
def test_a_terminal_gets_the_table(capsys, kind):
    result = RESULTS[kind](*made())
    assert capsys.readouterr().out == f"{result}\n"


def test_a_history_is_a_small_table():
    net = MLP(1, [1], seed=0)
    history = fit(
        net, [[0.0], [1.0]], [[0.0], [1.0]], loss="mean_squared_error", optimiser=SGD(net.parameters(), 0.1),
        epochs=30, progress=False,
    )  # fmt: skip
    rows = [row[0] for row in history.table().rows]
    assert rows == ["1", "2", "5", "10", "20", "30"]
    markdown = history._repr_mimebundle_()["text/markdown"]
    assert "| epoch | cost |" in markdown
    assert len(markdown) < 500
    assert str(history) == history.message


def points(html: str) -> list[list[list[float]]]:
    """The points of each curve of a plot."""
    curves = re.findall(r'<polyline points="([^"]*)"', html)
    return [[[*map(float, pair.split(","))] for pair in each.split()] for each in curves]


def test_a_history_is_a_small_plot():
    costs = {"cost": [1.0, 0.1, math.nan, 0.01], "validation_cost": [2.0, 0.5, 0.4, 1.0]}
    html = History(**costs, message="<all> done")._repr_mimebundle_()["text/html"]
    cost, validation = points(html)
    assert [len(cost), len(validation)] == [3, 4]  # what is not finite is left out
    assert cost[0][0] < cost[1][0] < cost[2][0] == validation[3][0]
    assert cost[1][1] - cost[0][1] == pytest.approx(cost[2][1] - cost[1][1], abs=0.2)  # logarithmic
    assert validation[0][1] < cost[0][1] < validation[1][1] < cost[2][1]  # upwards is less
    assert "cost: 1 → 0.01, epoch 1 … 4" in html
    assert "&lt;all&gt; done" in html
    below = History(cost=[1.0, -1.0, 0.0])._repr_mimebundle_()["text/html"]
    assert [y for _, y in points(below)[0]] == [18.0, 132.0, 75.0]
    steps = History(step_cost=[float(n % 7 + 1) for n in range(100_000)])._repr_mimebundle_()["text/html"]
    assert len(points(steps)[0]) <= 302
    assert len(steps) < 8000
    assert points(History()._repr_mimebundle_()["text/html"]) == []


def test_names_in_a_table_are_no_markup():
    table = Table("<b>", ("name", ">x"), (("a|b*", 1.0),))
    assert table.markdown() == "**&lt;b>**\n\n| name | x |\n| :-- | --: |\n| a\\|b\\* | +1.0000000 |"
