"""Explanations say what is right, notice what is wrong, and read like the tutorials."""

from __future__ import annotations

import importlib
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import disagreement, read, typeset
from strategies import programs
from support import planted
from tutorial import named, written_out

import microbp
from microbp import MLP, Graph, NoGradientError, Value, array, grad
from microbp.debug.explain import Explanation, broken, explain
from microbp.demo import t4
from microbp.notation import plain_number
from microbp.record import record
from microbp.rules import TABLE
from microbp.text import columns, sentence


def unwrapped(told: str) -> str:
    return re.sub(r"\n(?! |\n)", " ", told)


def kinds(explanation: Explanation, kind: str) -> dict[str, float]:
    rows = [row for row in explanation.rows if row.kind == kind and row.value is not None]
    return {row.label.text: row.value for row in rows}


def gradient_row(explanation: Explanation):
    [row] = [row for row in explanation.rows if row.kind == "gradient"]
    return row


# ------------------------------------------------------------------------------------- the tutorial
def test_w5_is_a_product_of_three_factors():
    p, net = named()
    told = explain(net["E"], p["w5"], names=net, rate=0.5)
    assert told.ok
    assert str(told) == """\
∂E/∂w5: how w5 acts on E

w5 acts on E along a single path, E → o1 → net_o1 → w5. By the chain rule
    ∂E/∂w5 = ∂E/∂o1 · ∂o1/∂net_o1 · ∂net_o1/∂w5

(1) First ∂E/∂o1. E = 0.5·(t1 − o1)² + E_o2, so
    ∂E/∂o1 = 0.5·2·(t1 − o1)·(−1) = −(t1 − o1) = −(0.01 − 0.751365070) = 0.741365070

(2) Then ∂o1/∂net_o1. o1 = σ(net_o1), so
    ∂o1/∂net_o1 = o1·(1 − o1) = 0.751365070·(1 − 0.751365070) = 0.186815602

(3) Last ∂net_o1/∂w5. net_o1 = w5·h1 + w6·h2 + b2, so
    ∂net_o1/∂w5 = h1 = 0.593269992

Multiplied together:
    ∂E/∂w5 = ∂E/∂o1 · ∂o1/∂net_o1 · ∂net_o1/∂w5
           = 0.741365070·0.186815602·0.593269992
           = 0.0821670406

One step of gradient descent with the learning rate η = 0.5:
    w5 ← w5 − η·∂E/∂w5 = 0.4 − 0.5·0.0821670406 = 0.358916480

Every line was computed again from the recorded numbers, and agrees with the engine's."""


def test_w1_is_a_sum_over_two_paths():
    p, net = named()
    told = explain(net["E"], "w1", names={**p, **net}, rate=0.5)
    assert told.ok
    assert gradient_row(told).value == pytest.approx(0.000438568, abs=5e-10)
    assert kinds(told, "path") == pytest.approx({"via o1": 0.00066839602, "via o2": -0.00022982829}, rel=1e-7)
    chains = [row.symbols[0].text for row in told.rows if row.kind == "chain"]
    tail = " · ∂h1/∂net_h1 · ∂net_h1/∂w1"
    heads = [f"∂E/∂o{k} · ∂o{k}/∂net_o{k} · ∂net_o{k}/∂h1" for k in (1, 2)]
    assert chains == [f"{heads[0]}{tail}\n+ {heads[1]}{tail}", f"({heads[0]} + {heads[1]}){tail}"]
    [update] = [row for row in told.rows if row.kind == "update"]
    assert update.value == pytest.approx(0.149780716, abs=5e-10)


def test_the_net_written_with_plus_and_times_reads_alike():
    _, net = named()
    net.pop("E_o2")
    loss, v = written_out(weighted=True)
    with_dot = str(explain(net["E"], "w5", names=net, rate=0.5)).replace("E_o2", "0.5·(t2 − o2)²")
    told = str(explain(loss, "w5", names=v, rate=0.5))
    assert told == with_dot.replace("t1", "0.01").replace("t2", "0.99")
    assert "∂net_o1/∂w5 = h1 = 0.593269992" in told


def test_the_chinese_explanation_has_the_same_formulas():
    p, net = named()
    english, chinese = (explain(net["E"], p["w1"], names=net, rate=0.5, language=x) for x in ("en", "zh"))
    same = [row for row in english.rows if row.kind != "path"]
    assert same == [row for row in chinese.rows if row.kind != "path"]
    text = str(chinese)
    for each in (
        "∂E/∂w1：w1 如何影响 E",
        "w1 沿 2 条路径影响 E。根据链式求导法则，总的梯度是各条路径之和：",
        "（1）先求 ∂E/∂o1。由 E = 0.5·(t1 − o1)² + 0.5·(t2 − o2)²，得",
        "（8）最后求 ∂net_h1/∂w1。由 net_h1 = w1·i1 + w2·i2 + b1，得",
        "取学习率 η = 0.5，沿梯度的反方向更新：",
        "以上每一行都由记录的数重新算过，与引擎的结果一致。",
    ):
        assert each in text
    assert not re.search(r"\b(the|and|First|Then)\b", text)
    assert chinese.ok


def test_every_parameter_of_the_tutorial_is_explained():
    p, net = named()
    wanted = dict(zip(t4.START, grad(net["E"], [p[name] for name in t4.START]), strict=True))
    for name, gradient in wanted.items():
        told = explain(net["E"], p[name], names=net)
        assert told.ok, told
        assert gradient_row(told).engine == gradient


def test_the_first_tutorial_is_right_where_its_program_is_not():
    def nonlin(x):
        return 1 / (1 + np.exp(-x))

    W0, W1 = array([[0.1, 0.8], [0.4, 0.6]], name="W0"), array([[0.3, 0.9]], name="W1")
    l0 = np.array([[0.35], [0.9]])
    l1 = nonlin(np.dot(W0, l0))
    l2 = nonlin(np.dot(W1, l1))
    E = np.sum(0.5 * (0.5 - l2) ** 2)
    told = explain(E, W0[0, 0], names={"l1": l1, "l2": l2, "E": E}, rate=1.0)
    assert told.ok
    chain = next(row for row in told.rows if row.kind == "chain")
    assert chain.symbols[0].text == "∂E/∂l2[0,0] · ∂l2[0,0]/∂l1[0,0] · ∂l1[0,0]/∂W0[0,0]"
    z = l2[0, 0].data
    by_hand = (z - 0.5) * z * (1 - z) * 0.3 * l1[0, 0].data * (1 - l1[0, 0].data) * 0.35
    assert gradient_row(told).value == pytest.approx(by_hand, rel=1e-12)


def test_softmax_with_loss_is_p_minus_t():
    z = array([0.3, 2.9, 4.0], name="z")
    loss = microbp.cross_entropy(list(z), [1.0, 0.0, 0.0])
    told = explain(loss, z[0], names={"loss": loss})
    assert told.ok
    p = math.exp(0.3) / sum(map(math.exp, (0.3, 2.9, 4.0)))
    assert gradient_row(told).value == pytest.approx(p - 1.0, rel=1e-12)
    assert "exp(z[0])/Σ(exp(xᵢ)) − 1" in str(told)
    assert "That is the softmax of z[0] minus its target: 0.0182112733 − 1." in str(told)
    halves = microbp.cross_entropy(list(z), [0.5, 0.25, 0.0])
    assert "minus its target" not in str(explain(halves, z[0], names={"loss": halves}))


# ------------------------------------------------------------------------------- single situations
def explained(y, x, /, **names):
    told = explain(y, x, names=names)
    assert told.ok, told
    return told


def test_two_contributions():
    x = Value(3.0, name="x")
    y = x * x
    told = explained(y, x, y=y)
    assert "∂y/∂x = x + x = 2·x = 2·3 = 6" in str(told)
    assert "x enters y in 2 places; their contributions are added." in str(told)


def test_a_way_with_contributions_is_not_called_a_single_path():
    x = Value(3.0, name="x")
    u = x * x
    y = u.tanh()
    told = str(explained(y, x, u=u, y=y))
    assert "x acts on y by way of y → u → x. By the chain rule" in told
    assert "single" not in told


def test_literals_on_the_left():
    x = Value(4.0, name="x")
    for y, line in [
        (2.0 - x, "∂y/∂x = −1"),
        (2.0 / x, "∂y/∂x = −y/x = −0.5/4 = −0.125"),
        (3.0 * x, "∂y/∂x = 3"),
        (2.0**x, "∂y/∂x = y·log(2) = 16·log(2) = 11.0903549"),
    ]:
        assert line in str(explained(y, x, y=y)).splitlines()[3].strip()


def test_an_element_of_a_long_dot_is_named():
    w, x = array([0.1 * k for k in range(100)], name="w"), array([0.01 * k for k in range(100)], name="x")
    net = microbp.dot(list(w), list(x), 1.5)
    told = str(explained(net, w[57], net=net))
    assert "net = w[0]·x[0] + w[1]·x[1] + … + w[57]·x[57] + … + w[99]·x[99] + 1.5, so" in unwrapped(told)
    assert "∂net/∂w[57] = x[57] = 0.570000000" in told
    assert "∂net/∂x[57] = w[57]" in str(explained(net, x[57], net=net))


def test_an_operation_of_many_operands_keeps_its_name_in_latex():
    z = array([0.1 * k for k in range(8)], name="z")
    loss = microbp.cross_entropy(list(z), [1.0] + [0.0] * 7)
    told = explained(loss, z[3], loss=loss)
    assert "loss = cross_entropy(z[0], …, 0), so" in unwrapped(str(told))
    assert r"$loss = \operatorname{cross\_entropy}(z_0,\dots,0)$, so" in told.markdown


def test_of_branches_the_one_taken_is_said():
    a, b, c = (Value(x, name=n) for x, n in ((-1.0, "a"), (2.0, "b"), (-3.0, "c")))
    r = (a * 2.0).relu()
    told = str(explained(r, a, r=r))
    assert "Here relu has a·2 ≤ 0." in told
    assert "The gradient is 0 because of the factor ∂r/∂a = 0." in told
    s = microbp.select(c, a, b)
    assert "Here select has c ≤ 0." in str(explained(s, b, s=s))
    assert gradient_row(explained(s, a, s=s)).value == 0.0
    m = microbp.max([a, b, c])
    assert "Here b is the largest, and takes all." in str(explained(m, b, m=m))
    assert "Here a is not the largest: b is." in str(explained(m, a, m=m))
    tie = microbp.max([b, Value(2.0), c])
    assert "Here 2 are the largest, b among them, and share." in str(explained(tie, b, m=tie))
    assert "∂m/∂b = 0.5" in str(explained(tie, b, m=tie))
    assert "此处最大的是 b，不是 a。" in str(explain(m, a, names={"m": m}, language="zh"))


def test_a_gradient_of_zero_has_a_reason():
    x = Value(3.0, name="x")
    assert "The gradient is 0: the contributions cancel." in str(explained(x - x, x))
    a = x * 1e-200
    y = a * 1e-200
    assert "The gradient is 0: no factor is, but their product is below the smallest float." in str(
        explained(y, x, a=a, y=y)
    )
    h = x * 0.0
    o = h.tanh()
    told = str(explained(o, x, h=h, o=o))
    assert "The gradient is 0 because of the factor ∂h/∂x = 0." in told


def test_nan_names_its_source():
    q, b = Value(math.nan, name="q"), Value(2.0, name="b")
    z = q * b
    told = explained(z, b, z=z)
    assert "The gradient is nan; the first value that is nan is q." in str(told)
    r = Value(0.0, name="r")
    s = r.sqrt()
    y = s * 0.0
    assert "The gradient is nan, though no value is: it comes from ∂s/∂r = ∞." in str(
        explained(y, r, y=y, s=s)
    )


def test_what_the_loss_does_not_depend_on():
    p, net = named()
    other = Value(1.0, name="w9")
    told = explain(net["E"], other, names=net)
    assert told.ok
    assert told.rows == ()
    assert "E does not depend on w9: no path leads from E to w9, so ∂E/∂w9 = 0" in str(told)
    assert "E 与 w9 无关" in str(explain(net["E"], "w9", names={**net, "w9": other}, language="zh"))
    assert explain(net["E"], "later", names={**net, "later": Value(2.0)}).rows == ()
    assert str(explain(net["E"], Value(2.0), names=net)).startswith("∂E/∂value: how value acts on E\n")
    taken = Value(2.0, name="value") * 2.0
    assert "does not depend on “this value”" in str(explain(taken, Value(2.0), names={}))
    assert p["w1"].grad is None


def test_a_frozen_leaf_and_the_loss_itself():
    p, net = named()
    p["w5"].requires_grad = False
    told = explain(net["E"], p["w5"], names=net, rate=0.5)
    assert "w5 is frozen: a backward pass leaves it without a gradient." in str(told)
    assert "←" not in str(told)
    assert "∂E/∂E = 1" in str(explain(net["E"], net["E"], names=net))
    assert "E 对自身求导" in str(explain(net["E"], "E", names=net, language="zh"))


def test_the_graph_behind_a_program_is_asked_by_names():
    net, x = MLP(2, [1], seed=0), Value(0.5, name="x")
    cost = net([x, 1.0]) ** 2.0
    behind = microbp.compile(cost, inputs=[x], params=net.parameters()).captured.graph
    from_file = Graph.from_json(behind.to_json())
    for graph in (behind, from_file):
        assert str(explain(graph, "x", names={})) == str(explain(Graph(cost, {}), x, names={}))
        with pytest.raises(KeyError, match="a copy, and is asked by names"):
            explain(graph, cost, names={"cost": cost})
    with pytest.raises(KeyError, match="asked by names"):
        explain(from_file, x, names={})


def test_what_cannot_be_asked():
    x = Value(3.0, name="x")
    with pytest.raises(ValueError, match="language='de': it is 'en'"):
        explain(x * x, x, language="de")
    with pytest.raises(TypeError, match=r"explain\(\) takes the Value or Graph"):
        explain(2.0, x)
    with pytest.raises(KeyError, match="no value named 'w'"):
        explain(x * x, "w", names={})
    for rate in (-1.0, 0.0, math.nan):
        with pytest.raises(ValueError, match=r"explain\(\): a learning rate is a number above 0, not"):
            explain(x * x, x, rate=rate)
    updated = explain(x * x, x, names={}, rate=np.float32(0.5))
    assert "η = 0.5:\n    x ← x − η·∂v1/∂x = 3 − 0.5·6 = 0" in str(updated)
    with pytest.raises(NoGradientError, match="is a constant"):
        explain(x.detach(), x)


# -------------------------------------------------------------------------------------- larger nets
def test_many_paths_are_collected_where_they_meet():
    net = MLP(3, [8, 8, 1], activation="tanh", seed=3)
    net.name_parameters()
    out = net([0.1, -0.4, 0.7])
    loss = (out - 1.0) ** 2
    for name in ("layers.0.neurons.2.w.1", "layers.1.neurons.5.b"):
        told = explain(loss, name, names={"loss": loss, "out": out}, rate=0.1)
        assert told.ok, told
        assert len(str(told)) < 12_000
    told = explain(loss, "layers.0.neurons.2.w.1", names={"loss": loss, "out": out})
    deltas = [row for row in told.rows if row.kind == "delta"]
    assert [row.label.text for row in deltas][-1] == "δ_z1[2]"
    assert deltas[-1].label.latex == r"\delta_{z_2^{(1)}}"
    assert len(deltas) == 6
    assert deltas[0].symbols[0].text == "∂loss/∂out"
    assert "The last number is the sum of the others, 4 in number." in str(told)


def test_the_names_of_a_module_are_made_short_and_explained():
    net = MLP(2, [3, 1], activation="tanh", seed=0)
    out = net([0.5, -1.0])
    loss = (out - 1.0) ** 2
    told = explained(loss, "layers.0.neurons.0.w.0", net=net, out=out, loss=loss)
    assert str(told).startswith(
        "∂loss/∂layers.0.neurons.0.w.0: how layers.0.neurons.0.w.0 acts on loss\n\n"
        "w1[k,i] is weight i of neuron k in layers.0, b1[k] its bias, z1[k] its weighted input,\n"
        "h1[k] its output; names with 2 belong to layers.1.\n"
    )
    [chain] = [row for row in told.rows if row.kind == "chain"]
    assert chain.symbols[0].text == "∂loss/∂out · ∂out/∂h1[0] · ∂h1[0]/∂z1[0] · ∂z1[0]/∂w1[0,0]"
    assert "    ∂h1[0]/∂z1[0] = 1 − h1[0]² = 1 − 0.535188505² = 0.713573265\n" in str(told)
    assert "layers" not in "".join(row.label.text for row in told.rows)
    chinese = explain(loss, "layers.0.neurons.0.w.0", names={"net": net}, language="zh")
    assert "记 layers.0 中第 k 个神经元" in str(chinese)


def test_the_second_sample_of_a_batch_has_names_of_its_own():
    net = MLP(2, [2, 1], seed=0)
    loss = sum((net(x) - t) ** 2 for x, t in (([0.5, -1.0], 1.0), ([1.0, 2.0], -1.0)))
    told = explained(loss, net.parameters()[0], net=net, loss=loss)
    assert "#2 marks the second call, sample or net, and so on." in unwrapped(str(told))
    assert "∂z1[0]#2/∂w1[0,0] = 1\n" in str(told)
    assert "loss = (z2[0] − 1)² + (z2[0]#2 − (−1))²" in str(told)


def test_layers_without_neurons_are_numbered_by_depth():
    net = microbp.layers.TwoLayerNet(3, 2, 2, seed=0)
    loss = net.loss([[0.1, 0.2, 0.3]], [[0.0, 1.0]])
    told = explained(loss, "W1.0.0", net=net, loss=loss)
    chain = next(row for row in told.rows if row.kind == "chain")
    assert "∂h1[0]/∂z1[0] · ∂z1[0]/∂W1[0,0]" in chain.symbols[0].text


def test_the_samples_of_a_batch_are_told_apart():
    net = microbp.layers.TwoLayerNet(3, 4, 2, seed=0)
    x = [[0.1, 0.2, 0.3], [0.5, -0.2, 0.1], [0.4, 0.4, 0.4]]
    loss = net.loss(x, [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    told = str(explained(loss, "b1.2", net=net, loss=loss))
    labels = re.findall(r"^    (?:∂|δ_)(.*?) = ", told, re.MULTILINE)
    assert any("z1[2]#3" in each for each in labels)
    assert not re.search(r"[zh]\d\[([4-9]|\d\d)\]", told)
    for call, other in re.findall(r"h1\[2\](#\d)? = relu\(z1\[2\](#\d)?\)", told):
        assert call == other
    assert "z1[k] is the weighted input of neuron k in layer 1" in told
    assert "In the parentheses stands the softmax of" in told


def test_two_nets_are_told_apart():
    a, b = (MLP(1, [2, 1], seed=k, activation="tanh") for k in (1, 2))
    y = b([a([0.5])])
    told = explained(y, a.parameters()[0], a=a, b=b, y=y)
    assert "∂z1[0]#2/∂z2[0] = w1[0,0]#2" in str(told)
    assert "layers.0.neurons" not in "".join(row.label.text for row in told.rows)


def test_a_parameter_that_begins_like_an_output_is_only_a_parameter():
    class Net(microbp.Module):
        def __init__(self):
            self.heights = [Value(0.5), Value(2.0)]

    net = Net()
    net.name_parameters()
    y = net.heights[0] * net.heights[1]
    assert "∂y/∂heights[0] = heights[1] = 2" in str(explained(y, net.heights[0], y=y))


def test_an_unnamed_activation_is_written_by_its_index():
    x = Value(0.3, name="x")
    y = (x * x + x * 2.0 + 1.0).tanh() * 3.0
    told = str(explained(y, x, y=y))
    assert "1 − v5²" in told
    assert "tanh(" in told
    assert "tanh(" not in str(explained(y, x, y=y).rows)


def test_names_of_the_user_stay_and_are_not_taken():
    net = MLP(1, [1, 1], activation="tanh", seed=0)
    mine = Value(2.0, name="z1[0]")
    out = net([mine])
    told = explained(out, net.parameters()[0], net=net, out=out)
    assert "∂z1[0]#2/∂w1[0,0] = z1[0] = 2" in str(told)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_is_too_wide(language):
    net = MLP(3, [8, 8, 2], activation="sigmoid", seed=3)
    y = net([0.1, -0.4, 0.7])
    J = 0.5 * sum((a - t) ** 2 for a, t in zip(y, (0.0, 1.0), strict=True))
    told = explain(J, "layers.0.neurons.2.w.1", names={"net": net, "J": J}, rate=0.1, language=language)
    assert told.ok
    assert max(map(columns, str(told).splitlines())) <= 90


@given(st.text(alphabet="ab ·+−()→汉字，。（", max_size=60), st.integers(8, 40))
def test_wrapping_loses_nothing(text, width):
    for wrap in (sentence, broken):
        assert "".join("".join(wrap(text, width)).split()) == "".join(text.split())


def test_a_sentence_breaks_at_words_and_a_formula_before_a_sign():
    assert sentence("one path, a → b → c", 12) == ["one path, a", "→ b → c"]
    assert sentence("梯度为 0：w 等（另有 4 个）。", 15) == ["梯度为 0：w 等", "（另有 4 个）。"]
    assert broken("a·(b + c)·d + e·(f + g)", 14) == ["a·(b + c)·d", "+ e·(f + g)"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_lines_of_45_columns_break_no_word(language):
    p, net = named()
    told = explain(net["E"], p["w1"], names=net, rate=0.5, language=language)
    wide, narrow = str(told), told.text(45)
    assert "".join(narrow.split()) == "".join(wide.split())
    if language == "en":  # a product may begin a line with its sign
        assert re.split(r"[\s·]+", narrow) == re.split(r"[\s·]+", wide)
    long = [line for line in narrow.splitlines() if columns(line) > 45]
    assert len(long) < len(narrow.splitlines()) // 4
    assert all("·" not in line.strip()[12:] for line in long)  # nothing in it could be broken


def test_a_long_chain_is_cut():
    x = Value(0.5, name="x")
    y = x
    for _ in range(5_000):
        y = y * 1.001 + 0.1
    told = explain(y, x, names={"y": y})
    assert told.ok
    assert "by a way too long for one line" in str(told)
    assert gradient_row(told).value == pytest.approx(1.001**5000, rel=1e-11)
    assert len(str(told).splitlines()) < 120


def test_a_sum_of_very_many_terms():
    b = Value(0.1, name="b")
    total = Value(0.0).detach()
    for k in range(1_500):
        total = total + (b - 0.01 * k) ** 2
    told = explain(total, b, names={"total": total})
    assert told.ok
    assert "b enters total in 1500 places" in str(told)


def test_ways_are_counted_without_walking_them():
    x = Value(0.9, name="x")
    y = x
    for _ in range(200):
        y = y.tanh().sin() + y.sin().tanh()
    told = explain(y, x, names={"y": y})
    assert told.ok
    assert "along > 10⁹ paths" in str(told)


@given(programs())
def test_every_explanation_of_a_random_graph_is_right(program):
    leaves = [Value(x, name=f"x{k}") for k, x in enumerate(program.leaves)]
    y = program.run(record, microbp.sin, leaves)
    for leaf in leaves:
        told = explain(y, leaf, names={"y": y}, rate=0.3)
        assert told.ok, str(told)
        _check_markdown(told.markdown)


def _check_markdown(markdown: str) -> None:
    assert markdown.count("$$") % 2 == 0
    for formula in re.findall(r"\$\$(.*?)\$\$", markdown, re.DOTALL):
        assert formula.count(r"\begin{aligned}") == formula.count(r"\end{aligned}") == 1
        bare = re.sub(r"\\[{}]", "", formula)
        assert bare.count("{") == bare.count("}")
        assert formula.count(r"\left") - formula.count(r"\leftarrow") == formula.count(r"\right")
        for line in formula.replace(r"\begin{aligned}", "").replace(r"\end{aligned}", "").split(r"\\"):
            assert line.count("&") == 1
    rest = re.sub(r"\$\$.*?\$\$", "", markdown, flags=re.DOTALL)
    assert re.sub(r"\\\$", "", rest).count("$") % 2 == 0


# ------------------------------------------------------------------------------- what is checked
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_planted_wrong_rule_is_named(monkeypatch, language):
    planted(monkeypatch, "sigmoid")
    values = {name: microbp.Value(x.data, name) for name, x in named()[0].items()}
    net_o1 = microbp.dot([values["w5"]], [values["i1"]], values["b2"])
    o1 = microbp.sigmoid(net_o1)
    monkeypatch.undo()
    told = explain(o1, values["w5"], names={"o1": o1, "net_o1": net_o1}, language=language)
    assert not told.ok
    fault = next(each for each in told.faults if each.startswith("∂o1/∂net_o1"))
    assert "(sigmoid at o1)" in fault
    assert ("WRONG" if language == "en" else "有误") in str(told)
    assert fault in str(told)


def test_an_explanation_is_the_same_after_the_update():
    p, net = named()
    names = {**p, **net}
    before = [explain(net["E"], name, names=names, rate=0.5) for name in t4.START]
    net["E"].backward()
    for name in t4.START:
        p[name].data -= 0.5 * p[name].grad
    after = [explain(net["E"], name, names=names, rate=0.5) for name in t4.START]
    assert [(str(each), each.ok) for each in after] == [(str(each), True) for each in before]


def test_a_number_inside_that_was_changed_is_noticed():
    p, net = named()
    net["h1"].data = 0.6
    told = explain(net["E"], p["w5"], names=net)
    assert not told.ok
    assert any("∂net_o1/∂w5" in each and "dot at net_o1" in each for each in told.faults)
    assert explain(net["E"], p["w6"], names=net).ok


def test_a_wrong_engine_is_noticed(monkeypatch):
    p, net = named()
    module = importlib.import_module("microbp.debug.explain")
    monkeypatch.setattr(module, "upstream_gradients", lambda _: {id(p["w5"]): 0.0821670407})
    told = explain(net["E"], p["w5"], names=net)
    assert told.faults == (
        f"∂E/∂w5: the formula gives {gradient_row(told).value!r}, the engine has 0.0821670407",
    )


def test_a_value_asked_for_by_its_name_is_compared_with_the_engine_too(monkeypatch):
    p, net = named()
    module = importlib.import_module("microbp.debug.explain")
    monkeypatch.setattr(module, "upstream_gradients", lambda _: {id(p["w5"]): 0.0821670407})
    by_name = explain(net["E"], "w5", names=p | net)
    assert by_name.faults == explain(net["E"], p["w5"], names=p | net).faults
    assert by_name.faults[0].endswith("the engine has 0.0821670407")


def faults_of_print(told) -> list[str]:
    """The lines of which what is printed, read back, does not give the result that is printed."""
    found = []
    for row in told.rows:
        if row.numbers is not None:
            fault = disagreement(row.numbers.text, plain_number(row.value, 9, padded=True))
            found += [f"{row.label.text}: {fault}"] if fault else []
    return found


def test_what_is_printed_gives_the_numbers_of_the_tutorials():
    p, net = named()
    two = microbp.layers.TwoLayerNet(3, 4, 2, seed=0)
    batch = two.loss([[0.1, 0.2, 0.3], [0.5, -0.2, 0.1]], [[0.0, 1.0], [1.0, 0.0]])
    mlp = MLP(3, [8, 8, 1], activation="tanh", seed=3)
    square = (mlp([0.1, -0.4, 0.7]) - 1.0) ** 2
    told = [explain(net["E"], p[name], names=net, rate=0.5) for name in t4.START]
    told += [explain(batch, name, names={"net": two}) for name in ("b1.2", "W1.0.0", "W2.1.1")]
    inside = ("layers.0.neurons.2.w.1", "layers.1.neurons.5.b")
    told += [explain(square, name, names={"net": mlp}) for name in inside]
    for each in told:
        assert each.ok
        assert faults_of_print(each) == []
    assert sum(row.numbers is not None for each in told for row in each.rows) > 100


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_what_is_printed_for_each_row_gives_its_number(rule):
    for box in rule.smooth:
        for share in (0.31, 0.78):
            width = {arg: 3 if arg in rule.over else 1 for arg in rule.args}
            numbers = [
                low + (share + 0.17 * k) % 1.0 * (high - low)
                for arg, (low, high) in zip(rule.args, box, strict=True) for k in range(width[arg])
            ]  # fmt: skip
            leaves = [Value(x, name=f"x{k}") for k, x in enumerate(numbers)]
            y = record(rule, tuple(rule.split(leaves)))
            for leaf in leaves:
                told = explain(y, leaf, names={"y": y})
                assert told.ok, told
                if "computed so as to keep its digits" not in str(told):
                    assert faults_of_print(told) == []


def test_the_formula_is_the_one_that_people_know_whatever_computed_it():
    for x in (0.5, 3.0):
        w = Value(x, name="w")
        y = w.tanh()
        assert "∂y/∂w = 1 − y² = 1 − " in str(explained(y, w, y=y))
    w = Value(20.0, name="w")
    y = w.tanh()
    text = unwrapped(str(explained(y, w, y=y)))
    assert "∂y/∂w = 1 − y² = 1 − 1² = 1.69934170e-17" in text
    said = "In these digits the formula gives 0; computed so as to keep its digits it is 1.69934170e-17."
    assert said in text


@pytest.mark.parametrize(("x", "deep"), [(1e200, 3), (1e-200, 3), (700.0, 1), (1e308, 2)])
def test_what_overflows_on_the_way_is_not_called_wrong(x, deep):
    w = Value(x, name="w")
    y = w
    for k in range(deep):
        y = y * (1e200 if k % 2 else 1e-200) * w
    told = explain(y.tanh() + w.sigmoid(), w, names={"y": y})
    assert told.ok, told


def test_contributions_that_cancel_are_not_called_wrong():
    x = Value(0.7, name="x")
    y = x * 1e9
    for _ in range(30):
        y = y * 1.1 - y * 0.1000000001
    told = explain(y - x * 0.99999999e9, x, names={"y": y})
    assert told.ok, told


def test_a_planted_wrong_digit_is_found():
    assert read("−(0.01 − 0.751365070)·2²") == pytest.approx(2.96546028)
    assert read("σ(0)·exp(−1)^2") == pytest.approx(0.5 * math.exp(-2.0))
    assert read("−∞") == -math.inf
    assert disagreement("0.333333333·3", "1") is None
    assert disagreement("0.333333333·3", "1.00000001") == (
        "the printed 0.333333333·3 is 0.999999999, not 1.00000001"
    )
    p, net = named()
    for row in explain(net["E"], p["w5"], names=net, rate=0.5).rows:
        if row.numbers is not None and any(each.isdigit() for each in row.numbers.text[3:]):
            right = row.numbers.text
            places = [k for k, each in enumerate(right) if each.isdigit() and k > 2]
            place = places[len(places) // 2]
            wrong = right[:place] + str((int(right[place]) + 5) % 10) + right[place + 1 :]
            assert disagreement(wrong, plain_number(row.value, 9, padded=True)) is not None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_formula_can_be_typeset(language):
    p, net = named()
    mlp = MLP(2, [3, 3, 1], activation="tanh", seed=0)
    loss = sum((mlp(x) - 1.0) ** 2 for x in ([0.5, -1.0], [1.0, 2.0]))
    for told in (
        explain(net["E"], p["w1"], names=net, rate=0.5, language=language),
        explain(loss, "layers.0.neurons.1.w.1", names={"net": mlp}, rate=0.5, language=language),
    ):
        _check_markdown(told.markdown)
        blocks = re.findall(r"\\begin{aligned}\n(.*?)\n\\end{aligned}", told.markdown, re.DOTALL)
        lines = [line for block in blocks for line in block.split(" \\\\\n")]
        inline = re.findall(r"\$([^$]+)\$", re.sub(r"\$\$.*?\$\$", "", told.markdown, flags=re.DOTALL))
        assert len(lines) > 20
        for formula in (*lines, *inline):
            known = re.sub(r"\\text{([^{}]*)}", r"\\mathrm{\1}", formula.replace("&", ""))
            assert typeset(known), formula


def test_it_shows_in_a_notebook_whatever_happens(monkeypatch):
    p, net = named()
    told = explain(net["E"], p["w1"], names=net, rate=0.5)
    bundle = told._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {"text/markdown": told.markdown, "text/plain": str(told)}
    _check_markdown(told.markdown)
    assert r"\frac{\partial E}{\partial w_1}" in told.markdown

    def fails(_):
        raise RuntimeError("no")

    monkeypatch.setattr(Explanation, "markdown", property(fails))
    assert told._repr_mimebundle_() == {"text/plain": "Explanation that cannot be shown: RuntimeError('no')"}


def test_names_are_data():
    w = Value(2.0, name="$x}_{<script>`\n权")
    y = w * 3.0
    told = explained(y, w, y=y)
    _check_markdown(told.markdown)
    assert "<script>" not in told.markdown
    assert "`" not in told.markdown
    assert all(line.isprintable() for line in str(told).splitlines())


# ------------------------------------------------------------------------------------- the stations
def test_a_station_without_a_name_stands_in_formulas_by_its_index():
    x = Value(0.7, name="x")

    def twice(s):
        return s * s.tanh() + s

    loss = twice(x * x + 1.0)
    text = str(explained(loss, x, loss=loss))
    for line in ("loss = v2·v3 + v2, so", "v3 = tanh(v2), so", "∂loss/∂v3 = v2 = 1.49", "v2 = x² + 1, so"):
        assert line in text
    told = explained(loss, "v2", loss=loss)
    assert told.ok
    assert "loss = v2·v3 + v2, so" in str(told)


def test_a_sum_that_is_asked_for_stands_by_its_index_above_it():
    w, x, b = Value(0.5, name="w"), Value(3.0, name="x"), Value(0.1, name="b")
    net = w * x + b
    assert "net = v2 + b, so\n    ∂net/∂v2 = 1" in str(explained(net, "v2", net=net))


# ------------------------------------------------------------------------ a sigmoid written out by hand
@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Here 1/(1 + exp(−z)) is written σ(z); its derivative is σ(z)·(1 − σ(z)).\n"),
     ("zh", "下文把 1/(1 + exp(−z)) 记作 σ(z)，其导数为 σ(z)·(1 − σ(z))。\n")],
)  # fmt: skip
def test_a_sigmoid_written_out_reads_as_one(language, said):
    w = Value(0.5, name="w")
    o = 1.0 / (1.0 + microbp.exp(-(w * 3.0)))
    told = explain(o, w, names={"o": o}, language=language)
    assert told.ok
    assert said in str(told)
    assert "o = σ(w·3)" in str(told)
    assert "∂o/∂w = 3·o·(1 − o) = 3·0.817574476·(1 − 0.817574476) = 0.447439356" in str(told)
    native = (w * 3.0).sigmoid()
    assert said not in str(explain(native, w, names={"o": native}, language=language))


def test_a_misprinted_sigmoid_and_one_whose_inside_is_used_are_left_alone():
    w = Value(0.5, name="w")
    misprint = 1.0 / (1.0 - microbp.exp(-w))
    text = str(explained(misprint, w, misprint=misprint))
    assert "misprint = 1/(1 − v2), so" in text
    assert "σ" not in text
    e = microbp.exp(-w)
    both = 1.0 / (1.0 + e) + e
    told = explained(both, w, both=both, e=e)
    assert told.ok
    assert "σ" not in str(told)
    inside = 1.0 / (1.0 + microbp.exp(-w))
    assert "∂inside/∂v2" in str(explained(inside, "v2", inside=inside))


def test_a_wrong_rule_inside_a_sigmoid_written_out_is_named(monkeypatch):
    planted(monkeypatch, "exp", 1.001)
    w = Value(0.5, name="w")
    o = 1.0 / (1.0 + microbp.exp(-w))
    told = explain(o, w, names={"o": o})
    assert not told.ok
    assert "(exp at v2" in told.faults[0]


# ----------------------------------------------------------------------------- names that are unusual
@pytest.mark.parametrize("name", ["w" * 200, "权重" * 60, "a b" * 40])
def test_a_name_of_any_length_is_explained_in_bounded_time(name):
    w = Value(0.5, name=name)
    y = (w * 3.0).sigmoid() ** 2 * w
    told = explained(y, w, y=y)
    assert told.ok
    assert len(str(told).splitlines()) < 100


def test_a_variable_of_a_value_with_another_name_is_that_value():
    a, b = Value(2.0, name="w"), Value(3.0)
    loss = a * b
    told = explain(loss, "a", names={"a": a, "b": b, "loss": loss})
    assert "∂loss/∂w = b = 3" in str(told)
    held = [Value(2.0, name="first")]
    product = held[0] * b
    names = {"held": held, "b": b, "product": product, "other": Value(1.0)}
    assert "∂product/∂first = b = 3" in str(explain(product, "held[0]", names=names))
    assert "product does not depend on other" in unwrapped(str(explain(product, "other", names=names)))


def test_of_a_graph_from_elsewhere_a_variable_is_not_said_to_be_absent():
    a = Value(2.0, name="w")
    graph = pickle.loads(pickle.dumps(Graph(a * a, {})))
    with pytest.raises(KeyError, match="no value named 'a'"):
        explain(graph, "a", names={"a": a})


# --------------------------------------------------------------------------------------- shared weights
@pytest.mark.parametrize("steps", [3, 6, 40])
def test_a_recurrent_net_is_derived_by_a_delta_for_each_state(steps):
    w, h = Value(0.9, name="w"), Value(0.1, name="h0").detach()
    states = []
    for _ in range(steps):
        h = (w * h + 0.3).tanh()
        states.append(h)
    loss = h * h
    told = explained(loss, w, loss=loss, s=states)
    if steps < 6:
        assert len(kinds(told, "path")) == steps
        return
    deltas = kinds(told, "delta")
    chained = [line for line in str(told).splitlines() if line.strip().startswith("δ_")]
    last = steps - 1
    twice = plain_number(states[-1].data * 2.0, 9, padded=True)
    assert chained[0] == f"    δ_s[{last}] = ∂loss/∂s[{last}] = {twice}"
    assert chained[1].startswith(f"    δ_s[{last - 1}] = δ_s[{last}] · ∂s[{last}]/∂s[{last - 1}] = ")
    for name, found in deltas.items():
        number = int(name.partition("[")[2].rstrip("]"))
        assert found == pytest.approx(grad(loss, states[number]), rel=1e-12)
    [total] = gradient_row(told).symbols
    terms = [f"δ_s[{k}] · ∂s[{k}]/∂w" for k in range(last, last - 4, -1)]
    assert re.split(r"\s*\+ ", total.text) == [*terms, "…"]


def test_common_factors_above_are_derived_before_those_of_the_paths():
    x = Value(0.5, name="x")
    u, v = (x * 2.0).tanh(), (x * 3.0).tanh()
    s = (u * v).sigmoid()
    loss = s**2
    told = explained(loss, x, u=u, v=v, s=s, loss=loss)
    labels = [row.label.text for row in told.rows if row.kind == "factor"]
    assert labels == ["∂loss/∂s", "∂s/∂u", "∂u/∂x", "∂s/∂v", "∂v/∂x"]


def test_a_sum_of_ten_thousand_terms_is_explained():
    x = Value(0.5, name="x")
    loss = sum(((x * (k * 1e-4)).tanh() for k in range(10_000)), Value(0.0))
    told = explained(loss, x, loss=loss)
    assert gradient_row(told).value == pytest.approx(grad(loss, x), rel=1e-12)
    assert len(str(told)) < 2_000


def test_a_factor_that_is_repeated_is_written_as_a_power() -> None:
    t, w = Value(0.5, name="t"), Value(-2.0, name="w")
    cube = str(explain(t * t * t, t, names={}))
    assert "= t² + t² + t² = 3·t² = 3·0.5² = 0.75" in cube
    chain = str(explain(t * w * w * w, t, names={}))
    assert "= w³ = (−2)³ = −8" in chain
    square = explain(t.sigmoid() * t.sigmoid(), t, names={})
    assert "2·σ(t)²·(1 − σ(t))" in str(square)
    assert "2\\,\\sigma(t)^{2}" in square.markdown
    assert square.ok


def test_a_parameter_that_moved_more_than_once_leaves_no_line_that_says_it_is_right():
    w, u = Value(2.0, name="w"), Value(2.0, name="u")
    loss = (w * 0.5 + u * 3.0 - 3.0) ** 2
    assert explain(loss, w, names={}).ok
    for each in (3.0, 9.0):  # what it was when the loss was computed, nobody knows now
        u.data = each
    told = explain(loss, w, names={"loss": loss})
    assert not told.ok
    assert told.faults == ("v3: the formula gives 27.0, the engine has 6.0 (mul at v3)",)
    assert "WRONG: this derivation and the engine disagree." in str(told)
    assert all(row.kind != "value" for row in explain(w * 2.0, w, names={}).rows)


def test_what_is_computed_is_no_parameter_of_gradient_descent():
    w = Value(2.0, name="w")
    h = w * 3.0
    with pytest.raises(ValueError, match="h is computed: no step of gradient descent changes it"):
        explain(h * h, h, names={"h": h}, rate=0.1)
