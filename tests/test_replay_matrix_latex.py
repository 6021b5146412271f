"""The matrix form as LaTeX."""

from __future__ import annotations

import re
from random import Random

import pytest
from test_replay_matrix import loose, wide_graph

import microbp
from microbp import MLP, Value, cross_entropy
from microbp.replay.captured import capture
from microbp.replay.matrix.latex import latex


def test_the_derivation_of_a_softmax_net():
    net = MLP(2, [3, 2], activation="sigmoid", seed=1)
    x = [Value(0.5, name=f"x{n}") for n in range(4)]
    shown = latex(capture(cross_entropy(net(x[:2]), x[2:]), x, net.parameters())).splitlines()
    assert shown[0] == r"\begin{aligned}"
    assert shown[-1] == r"\end{aligned}"
    assert r"z^{(1)} &= x_{0:2}\,W^{(1)\top} + b^{(1)} \\" in shown
    assert r"h^{(1)} &= \frac{1}{1 + \exp\left(-z^{(1)}\right)} \\" in shown
    product = r"\left(\delta^{(2)}\,W^{(2)}\right)"
    assert rf"\delta^{{(1)}} &= {product} \odot \sigma'\left(z^{{(1)}}\right) \\" in shown
    assert r"\frac{\partial J}{\partial W^{(2)}} &= \delta^{(2)\top}\,h^{(1)} \\" in shown
    assert r"\frac{\partial J}{\partial b^{(1)}} &= \textstyle\sum_{s} \delta^{(1)} \\" in shown


def test_a_second_use_of_a_parameter_is_added():
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    shown = latex(capture((w * x).sin() + 0.5 * w, [x], [w]))
    assert r"\frac{\partial J}{\partial w} &\mathrel{+}= " in shown


def test_powers_roots_and_branches():
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    y = (w**2 * x).sqrt() + abs(w * x) + microbp.leaky_relu(w * x) + 1e-5 * (x**3 * w)
    shown = latex(capture(y, [x], [w]))
    for part in (r"^{2}", r"\sqrt{", r"\left|", r"\begin{cases}", r"10^{-5}", r"^{3}"):
        assert part in shown


@pytest.mark.parametrize("seed", range(40))
def test_any_graph_is_balanced(seed):
    build, inputs, count = wide_graph(Random(seed))  # noqa: S311
    parameters, x = loose(count), [Value(0.1) for _ in range(inputs)]
    shown = latex(capture(build(x, parameters), x, parameters))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", shown):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert shown.count(r"\left") == shown.count(r"\right")
    assert shown.count(r"\begin{") == shown.count(r"\end{")
    assert "@" not in shown
    assert "np." not in shown


def test_a_table_is_no_formula(monkeypatch):
    monkeypatch.setattr(microbp.replay.matrix.source, "MANY", 0)
    w, x = Value(2.0), Value(3.0)
    with pytest.raises(ValueError, match="latex: 3 scalars became a table of 1 array operations, which"):
        latex(capture(w * x, [x], [w]))
