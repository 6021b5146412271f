"""The matrix form as LaTeX."""

from __future__ import annotations

import re

import numpy as np
import pytest
from printed import typeset
from replay_programs import drawn

import microbp
from microbp import MLP, Value, cross_entropy
from microbp.replay import matrix
from microbp.replay.function_graph import capture
from microbp.replay.latex import formulas, matrices


def latex(captured):
    """All formulas of the matrix form of a graph."""
    lines = (line for each in matrices(captured).writer.statements for line in formulas(each))
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def test_the_derivation_of_a_softmax_net():
    net = MLP(2, [3, 2], activation="sigmoid", seed=1)
    x = [Value(0.5, name=f"x{n}") for n in range(4)]
    shown = latex(capture(cross_entropy(net(x[:2]), x[2:]), x, net.parameters())).splitlines()
    assert shown[0] == r"\begin{aligned}"
    assert shown[-1] == r"\end{aligned}"
    assert r"z^{(1)} &= x_{0:2}\,W^{(1)\top}+b^{(1)} \\" in shown
    assert r"h^{(1)} &= \frac{1}{1+e^{-z^{(1)}}} \\" in shown
    product = r"(\delta^{(2)}\,W^{(2)})"
    assert rf"\delta^{{(1)}} &= {product} \odot \sigma'(z^{{(1)}}) \\" in shown
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
    program = drawn("vectors", seed)
    x = [Value(0.1) for _ in program.x[0]]
    shown = latex(capture(program.run(x), x, program.params))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", shown):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert shown.count(r"\left") == shown.count(r"\right")
    assert shown.count(r"\begin{") == shown.count(r"\end{")
    assert scripts_twice(shown) == []
    assert "@" not in shown
    assert "np." not in shown


def test_what_has_no_matrices_is_no_formula(monkeypatch):
    monkeypatch.setattr(matrix, "MANY", 0)
    w, x = Value(2.0), Value(3.0)
    with pytest.raises(ValueError, match="explain: there are no matrices in these 3 scalars, or more than"):
        latex(capture(w * x, [x], [w]))


def scripts_twice(shown: str) -> list[str]:
    """The places in LaTeX where one base has two superscripts, or two subscripts."""
    found, end, kinds = [], -1, ""
    for start, each in enumerate(shown):
        if each not in "^_" or shown[start - 1] == "\\":
            continue
        if start != end:
            kinds = ""
        if each in kinds:
            found.append(shown[max(0, start - 20) : start + 10])
        kinds += each
        depth, end = 0, start + 1
        while True:
            depth += {"{": 1, "}": -1}.get(shown[end], 0)
            end += 1
            if depth == 0:
                break
    return found


def test_what_counts_as_a_double_script():
    assert scripts_twice(r"b^{(1)}_{0} + x_{0}^{2} + \left(v^{(1)}\right)^{2} + \mathrm{a\_b}^{2}") == []
    assert scripts_twice(r"v^{(1)}^{2}") == [r"v^{(1)}^{2}"]
    assert len(scripts_twice(r"x_{0:2}_{1} + \frac{1}{W^{(1)}_{0}^{\top}}")) == 2


def nets():
    """Outputs, inputs and parameters of nets that raise, transpose and index everything."""
    x = [Value(0.3, name="x0"), Value(-0.2, name="x1")]
    net = MLP(2, [3, 1], activation="tanh", seed=0)
    yield (net(x) - x[1] ** 2) ** 2, x, net.parameters()
    W = microbp.array([[1.0, 2.0], [3.0, 4.0]], name="W1_2")
    v = microbp.array([1.0, 2.0], name="v")
    squares = ((W @ x) ** 2).sum() * 1e-5 + (W**2).sum() ** 2 + microbp.dot(v, x) ** 3
    branches = abs(x[0] * v[0]) ** 3 + microbp.leaky_relu(v[0] * x[0]) ** 2
    quotients = (x[0] / W[0, 0]) ** 2 + (1e-3 * x[1]) ** 2 + microbp.exp(x[0]) ** -3
    yield squares + branches + quotients, x, [*W.ravel(), *v]
    yield cross_entropy(W @ np.tanh(W @ np.array(x)), [0.0, 1.0]), x, [*W.ravel()]
    hidden = microbp.array([0.1, 0.2], name="h_0")
    state = hidden
    for _ in range(3):  # a recurrent net
        state = np.tanh(W @ state + np.array(x))
    yield (state**2).sum(), x, [*W.ravel(), *hidden]
    yield sum((x[0] - v[0]) ** n for n in range(2, 6)), x, [*v]


@pytest.mark.parametrize("net", [*nets()])
def test_no_base_has_two_superscripts_or_subscripts(net):
    outputs, inputs, parameters = net
    shown = latex(capture(outputs, inputs, parameters))
    assert scripts_twice(shown) == []
    for line in shown.splitlines()[1:-1]:
        if "cases" not in line:  # Matplotlib's reader, which refuses them too, does not know these
            known = line.removesuffix(r"\\").replace("&", "").replace(r"\textstyle", "")
            known = known.replace(r"\mathrel{+}", "+")
            assert typeset(known)


def test_the_base_of_a_superscript_is_in_brackets():
    v = microbp.array([[1.0, 2.0], [3.0, 4.0]], name="W1_2")
    x = [Value(0.3, name="x0"), Value(-0.2, name="x1")]
    shown = latex(capture(((v @ x) ** 2).sum() * 1e-5 + x[0] ** 2 + x[1] / v[0, 0], x, [*v.ravel()]))
    assert r"= (z^{(1,2)})^{2} \\" in shown
    assert r"x\,W^{(1,2)\top} \\" in shown
    assert r" 10^{-5}\," in shown
    assert r"= x_{0}^{2} \\" in shown
    assert r"\frac{\partial J}{\partial W^{(1,2)}_{0, 0}} &\mathrel{+}= " in shown
