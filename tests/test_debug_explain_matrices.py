"""The matrix form of a program, explained."""

from __future__ import annotations

import importlib
import re

import pytest
from printed import typeset
from tutorial import compiled

import microbp
from microbp import MLP, Value, explain
from microbp.debug.explain import MatrixExplanation
from microbp.replay import matrix


def mlp_program(**options):
    net, x = MLP(2, [3, 1], activation="tanh", seed=0), [Value(0.5), Value(-1.0)]
    return microbp.compile((net(x) - 1.0) ** 2, inputs=x, params=net.parameters(), **options)


def test_the_derivation_of_a_small_net():
    told = explain(mlp_program())
    assert told.ok
    assert str(told) == """\
The matrix form: 24 scalars became 4 array operations

Forward, with a row for each sample of a batch:
    z1 = x @ W1.T + b1                            # v11…v13 = Σ in MLP / layers.0
    h1 = np.tanh(z1)                              # v17…v19 = tanh in MLP / layers.0
    z2 = h1 @ W2.T + b2 - 1.0                     # v22 = Σ
    v1 = np.square(z2)                            # v23 = pow
    costs = v1[:, 0]

Backward. J is the sum of the samples' costs, δ its derivative by a weighted input:
    delta2 = 2.0 * z2                             # ∂cost/∂(v22)
    delta1 = (delta2 @ W2) * d_tanh(z1, h1)       # ∂cost/∂(v11…v13)

And from these the gradients, summed over the samples:
    dW1[...] = delta1.T @ x                       # ∂cost/∂W1, summed over the batch
    db1[...] = delta1.sum(axis=0)                 # ∂cost/∂b1, summed over the batch
    dW2[...] = delta2.T @ h1                      # ∂cost/∂W2, summed over the batch
    db2[...] = delta2.sum(axis=0)                 # ∂cost/∂b2, summed over the batch

At the recorded sample all 13 derivatives were computed by these lines, and agree with the
engine's."""


def penalty_program(**options):
    net, x = MLP(2, [3, 1], activation="tanh", seed=0), [Value(0.5), Value(-1.0)]
    cost = (net(x) - 1.0) ** 2 + 0.1 * sum(p * p for p in net.parameters())
    return microbp.compile(cost, inputs=x, params=net.parameters(), **options)


def test_a_program_explains_itself():
    program = mlp_program()
    assert str(program.explain()) == str(explain(program))
    assert program.explain("zh").title.text.startswith("矩阵形式")


def test_the_vector_of_all_parameters_is_told():
    told = explain(penalty_program())
    assert told.ok
    assert "    # theta is the vector of all parameters; W1 (3, 2), b1 (3,), W2 (1, 3)," in str(told)
    *_, gradients = str(told).split("summed over the samples:\n")
    assert "    dtheta += 2.0 * d_v1 * theta " in gradients
    vector = r"\theta &= \left[W^{(1)} | b^{(1)} | W^{(2)} | b^{(2)}\right] \\"
    assert vector in told.markdown


def test_its_formulas_are_those_of_the_tutorials():
    markdown = explain(mlp_program()).markdown
    for line in (
        r"z^{(1)} &= x\,W^{(1)\top}+b^{(1)}",
        r"\delta^{(1)} &= (\delta^{(2)}\,W^{(2)}) \odot \tanh'(z^{(1)})",
        r"\frac{\partial J}{\partial W^{(1)}} &= \delta^{(1)\top}\,x",
    ):
        assert line in markdown


@pytest.mark.parametrize("program", [compiled, mlp_program, penalty_program])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_formula_can_be_typeset(program, language):
    told = explain(program(), language=language)
    assert told.ok
    blocks = re.findall(r"\$\$\n\\begin{aligned}\n(.*?)\n\\end{aligned}\n\$\$", told.markdown, re.DOTALL)
    assert len(blocks) == 3
    for line in "".join(f"{each} \\\\\n" for each in blocks).split(" \\\\\n")[:-1]:
        assert line.count("&") == 1
        known = line.replace("&", "").replace(r"\textstyle", "").replace(r"\mathrel{+}", "+")
        assert typeset(known)


def test_the_sections_in_chinese():
    text = str(explain(compiled(), language="zh"))
    assert "反向传播。J 是各样本代价之和，δ 是 J 对加权输入的导数：\n    " in text
    assert text.endswith("在录制的样本上用以上各式算出全部 10 个导数，与引擎的结果一致。")


def test_of_several_outputs_there_is_a_derivation_but_no_comparison():
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    told = explain(microbp.compile([w * x, w + x], inputs=[x], params=[w]))
    assert told.ok
    assert told.rows == ()
    assert "∂cost/∂w" in str(told)


def test_a_planted_wrong_number_is_found(monkeypatch):
    module = importlib.import_module("microbp.debug.explain")
    right = module.backward
    monkeypatch.setattr(module, "backward", lambda graph, seeds: 1.001 * right(graph, seeds))
    told = explain(compiled())
    assert not told.ok
    assert told.faults[0].startswith("∂J/∂w1: the formula gives 0.000438567")
    assert "WRONG" in str(told)
    assert told.faults[0] in told.markdown


def test_a_notebook_shows_it_and_never_sees_an_error(monkeypatch):
    told = explain(mlp_program())
    shown = told._repr_mimebundle_(include=None, exclude=None)
    assert shown == {"text/markdown": told.markdown, "text/plain": str(told)}
    assert repr(told) == "MatrixExplanation(The matrix form: 24 scalars became 4 array operations)"
    monkeypatch.setattr(MatrixExplanation, "__str__", lambda _: 1 / 0)
    assert list(told._repr_mimebundle_()) == ["text/plain"]


def test_what_cannot_be_explained():
    with pytest.raises(ValueError, match=r"straight-line code.*compile it with form='matrix'"):
        explain(compiled(form="straight"))
    with pytest.raises(TypeError, match=r"explain\(program\) takes language= alone"):
        explain(compiled(), "w1")
    with pytest.raises(TypeError, match=r"explain\(program\) takes language= alone"):
        explain(compiled(), rate=0.1)
    with pytest.raises(TypeError, match=r"explain\(loss, w\)"):
        explain(Value(1.0) * 2.0)
    with pytest.raises(ValueError, match="language='de': it is 'en'"):
        explain(compiled(), language="de")


def test_what_has_no_matrices_is_no_derivation(monkeypatch):
    monkeypatch.setattr(matrix, "MANY", 0)
    with pytest.raises(ValueError, match="there are no matrices in these 24 scalars"):
        explain(mlp_program(form="matrix"))
