"""Zero gradients: each planted reason is found, and named where the zero began."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import here

from microbp import (
    MLP,
    Value,
    clip,
    cross_entropy,
    dot,
    group,
    losses,
    maximum,
    no_grad,
    select,
)  # fmt: skip
from microbp.calls import line_of
from microbp.debug.diagnose import Diagnosis, Finding, diagnose

pytestmark = pytest.mark.usefixtures("sites")


def of(loss: Value, *parameters: Value, **names: Value) -> Diagnosis:
    return diagnose(loss, list(parameters) or None, names=names, show=False)


def only(diagnosis: Diagnosis) -> Finding:
    [found] = diagnosis.findings
    return found


def times_itself(e: Value) -> Value:
    return e * e


def test_a_dead_relu_is_named_and_not_those_that_pass_the_zero_on() -> None:
    w, x = Value(-0.5, name="w"), Value(3.0, name="x")
    before = (w * x - 0.25) * 2.0
    h = before.relu()
    line = here(1)
    after = (h * 3.0 + 1.0).tanh()
    found = only(of(after**2, w, h=h, before=before))
    assert (found.kind, found.cause, found.node, found.site) == ("zero gradient", "dead relu", "h", line)
    assert found.parameters == ("w",)
    assert dict(found.numbers)["before"] == -3.5
    assert "its input is before = -3.5" in found.what
    assert "leaky_relu" in found.advice
    assert str(found).startswith(f"dead relu at h ({line_of(line)}): relu at h: relu is flat below 0")


@pytest.mark.parametrize(
    ("make", "cause", "told"),
    [
        (lambda w: (w * 800.0).tanh(), "saturated tanh", "tanh is flat at"),
        (lambda w: (w * -1500.0).sigmoid(), "saturated sigmoid", "sigmoid is flat at"),
        (lambda w: (w * -1500.0).exp(), "saturated exp", "exp is flat at"),
        (lambda w: w * 0.0, "multiplied by 0", "w is multiplied by the number 0"),
        (lambda w: w * Value(0.0, name="z"), "multiplied by 0", "w is multiplied by z = 0; z was given as 0"),
        (lambda w: (w - 1.0).relu(), "corner", "relu has its corner at 0"),
        (lambda w: abs(w - 1.0), "corner", "abs has its corner at 0"),
        (lambda w: (w - 1.0) ** 2, "flat power", "to the power 2 has the slope 0"),
        (lambda w: times_itself(w - 1.0), "flat power", "to the power 2 has the slope 0"),
        (lambda w: (w + 1.0) ** 0.0, "flat operation", "pow has the derivative 0 at v1 = 2"),
        (lambda w: (w - 1.0) ** 0.0, "flat operation", "pow has the derivative 0 at v1 = 0"),
        (lambda w: 0.0**w, "flat operation", "pow has the derivative 0 at w = 1"),
        (lambda w: 1.0**w, "flat operation", "pow has the derivative 0 at w = 1"),
        (lambda w: clip(w * 5.0, -1.0, 1.0), "clipped", "is outside of -1 … 1"),
        (lambda w: maximum(w, 2.0), "not chosen", "maximum took another operand than w = 1"),
        (lambda w: select(Value(-1.0).detach(), w, 3.0), "not chosen", "select took another operand"),
        (lambda w: dot([w], [0.0], 0.5), "multiplied by 0", "w is multiplied by the number 0"),
        (lambda w: (w * 0.0 + math.pi / 2.0).sin() * 1.0 + cross_entropy([w * 1000.0, 0.0], [1.0, 0.0]),
         "saturated softmax", "the softmax of"),
    ],
)  # fmt: skip
def test_each_operation_that_blocks_a_gradient_says_why(
    make: Callable[[Value], Value], cause: str, told: str
) -> None:
    w = Value(1.0, name="w")
    loss = make(w) * 2.0 + 1.0
    line = here(1)
    diagnosis = of(loss, w)
    found = diagnosis[cause]
    assert told in found.what
    assert found.kind == "zero gradient"
    assert found.parameters == ("w",)
    assert found.site is not None
    assert found.site.rsplit(":", 1)[0] == line.rsplit(":", 1)[0]


def test_a_zero_operand_is_followed_back_to_its_own_origin() -> None:
    w, v, net = Value(2.0, name="w"), Value(1.0, name="v"), Value(-0.75, name="net")
    h = net.relu()
    found = only(of(w * (h * v) + net, w, h=h))
    assert found.cause == "multiplied by 0"
    assert "h = relu(net) is 0, where net = -0.75" in found.what
    tiny = Value(1e-200, name="t") * 1e-200
    assert "t2 = t·1e-200 is 0, where t = 1e-200" in only(of(w * tiny, w, t2=tiny)).what
    zero = v - 1.0
    assert "zero = v − 1 is 0, where v = 1" in only(of(w * zero, w, zero=zero)).what


def test_the_rectifier_of_numpy_code_is_a_relu_too() -> None:
    w = Value(-0.5, name="w")
    for h in (maximum(0, w * 3.0), maximum(w * 3.0, 0.0)):
        found = only(of(h**2 + 1.0, w, h=h))
        assert (found.cause, found.node) == ("dead relu", "h")
        assert "maximum with 0 is flat below 0, and its input is" in found.what


@pytest.mark.parametrize("square", [lambda h: h**2, lambda h: h * h])
def test_a_dead_relu_is_named_although_its_square_is_flat_as_well(square: Callable[[Value], Value]) -> None:
    w = Value(-0.5, name="w")
    h = (w * 3.0).relu()
    found = only(of(square(h) + 1.0, w, h=h))
    assert (found.cause, found.node) == ("dead relu", "h")
    zero = (w * 2.0 + 1.0) * 1.0
    found = only(of(square(zero) + 1.0, w, zero=zero))
    assert found.cause in ("flat power", "multiplied by 0")


def test_a_layer_of_dead_neurons_is_one_finding_that_leads_to_the_layer_before() -> None:
    net = MLP(2, [5, 6, 1], seed=1)
    for neuron in net.layers[0].neurons:
        neuron.b.data = -100.0
    found = only(diagnose(batch(net, 4), names={"net": net}, show=False))
    assert found.cause == "corner"
    assert found.unit.startswith("net.layers.1.neurons.")
    assert "= relu(" in found.what  # not the layer itself: the one before is dead
    assert " is 0, where v" in found.what
    assert "Likewise" in found.what
    assert len(found.parameters) == 5 * 3 + 6 * 6


def test_contributions_that_cancel_exactly_are_named_at_the_node_where_they_meet() -> None:
    w = Value(2.0, name="w")
    a = w * 3.0
    line = here(-1)
    loss = a * 5.0 - a * 5.0 + 1.0
    found = only(of(loss, w, a=a))
    assert (found.cause, found.node) == ("cancelled", "a")
    assert "its 2 contributions 5 - 5 sum to exactly 0" in found.what
    assert found.parameters == ("w",)
    assert found.site is not None
    assert found.site != line


def test_digits_that_cancellation_has_lost_are_told_from_a_true_zero() -> None:
    w = Value(2.0, name="w")
    found = only(of(w * 1e17 + w - w * 1e17, w))
    line = here(1)
    assert (found.cause, found.node, found.site) == ("cancelled", "w", line)
    assert "cancel down to 0, which is rounding (their exact sum is 1)" in found.what
    assert dict(found.numbers) == {"gradient": 0.0, "size of the contributions": 2e17, "exact sum": 1.0}


def test_a_remainder_that_is_but_rounding_is_found_although_it_is_not_zero() -> None:
    w = Value(1.0, name="w")
    loss = w * 0.1 + w * 0.2 + w * -0.3
    found = only(of(loss, w))
    assert found.cause == "cancelled"
    assert "which is rounding" in found.what
    assert dict(found.numbers)["gradient"] != 0.0


def test_an_underflow_is_named_at_the_factor_that_made_it() -> None:
    w = Value(3.0, name="w")
    a = w * 1e-150
    b = a * 1e-150
    line = here(1)
    c = b * 1e-150
    found = only(of(c * 1e-50 + 1.0, w, a=a, b=b, c=c))
    assert (found.cause, found.node, found.site) == ("underflow", "b", line)
    assert "1e-200 · 1e-150 is below the smallest float" in found.what
    assert found.parameters == ("w",)


def test_a_zero_that_is_passed_on_for_long_is_still_traced_to_where_it_began() -> None:
    w = Value(1.0, name="w")
    y = w
    for _ in range(5000):
        y = y * 1.0
    y = (y - 5.0).relu()
    line = here(1)
    dead = y
    for _ in range(5000):
        y = y + 1.0
    found = only(of(y, w, dead=dead))
    assert (found.cause, found.node, found.site) == ("dead relu", "dead", line)


def test_two_reasons_at_one_parameter_are_both_told() -> None:
    w, v = Value(1.0, name="w"), Value(1.0, name="v")
    first, second = (w - 5.0).relu(), (w * 900.0).tanh()
    found = only(of(first + second + v, w, v, first=first, second=second))
    told = {"relu at first", "tanh at second"}
    assert all(each in found.what for each in told)
    assert "elsewhere it is lost at" in found.what


def test_the_reason_in_most_places_stands_first() -> None:
    w = Value(1.0, name="w")
    loss = (w * 900.0).tanh()
    for i in range(3):
        with group("gate"):
            loss = loss + (w - 2.0 - i).relu()
    found = only(of(loss, w))
    assert (found.cause, found.unit) == ("dead relu", "gate")
    assert "and likewise at 2 more nodes; elsewhere it is lost at tanh at" in found.what


def batch(net: MLP, count: int) -> Value:
    return losses.mean_squared_error([[net([0.1 * i, 0.3])] for i in range(count)], [0.5] * count)


def dead_net() -> MLP:
    net = MLP(2, [3, 1], seed=4)
    net.layers[0].neurons[1].b.data = -100.0
    return net


def test_a_dead_neuron_of_a_net_is_one_finding_with_its_module_and_its_parameters() -> None:
    net = dead_net()
    diagnosis = diagnose(batch(net, 6), names={"net": net}, show=False)
    found = diagnosis["net.layers.0.neurons.1"]
    assert (found.cause, found.unit) == ("dead relu", "net.layers.0.neurons.1")
    assert "and likewise at 5 more nodes" in found.what
    own = [f"layers.0.neurons.1.{each}" for each in ("w.0", "w.1", "b")]
    assert list(found.parameters) == own
    assert [each.cause for each in diagnosis.findings if set(own) & set(each.parameters)] == ["dead relu"]


def test_of_a_net_single_weights_that_are_zero_are_told_only_if_asked_for() -> None:
    net = dead_net()
    loss = batch(net, 6)
    last = net.layers[1].neurons[0].w[1]
    assert all(last.name not in each.parameters for each in diagnose(loss, show=False).findings)
    found = diagnose(loss, last, show=False)["zero gradient"]
    assert found.cause == "multiplied by 0"
    assert found.parameters == ("layers.1.neurons.0.w.1",)
    assert re.search(r"= relu\(v\d+\) is 0, where v\d+ = -", found.what)


def test_a_group_of_the_users_own_is_a_unit() -> None:
    w = Value(1.0, name="w")
    with group("gate"):
        loss = (w - 2.0).relu() + (w - 3.0).relu()
    found = only(of(loss, w))
    assert found.unit == "gate"
    assert "and likewise at 1 more node" in found.what


def test_no_gradient_is_zero_under_no_grad_but_the_loss_is_a_constant() -> None:
    w = Value(1.0, name="w")
    with no_grad():
        loss = (w - 5.0).relu()
    found = only(of(loss, w))
    assert (found.kind, found.cause) == ("unreached", "constant loss")


# What may stand in a random graph: smooth operations, so that a zero gradient needs a reason.
CHAIN = {
    "tanh": lambda x, _: x.tanh(), "relu": lambda x, _: x.relu(), "mul": lambda x, c: x * c,
    "add": lambda x, c: x + c, "sq": lambda x, _: x * x, "down": lambda x, _: x * 1e-120,
}  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from(sorted(CHAIN)), st.sampled_from([-2.0, 0.0, 0.5, 1.5])), max_size=8),
    st.sampled_from([-1.25, 0.0, 0.75]),
)
def test_a_zero_is_found_if_and_only_if_there_is_one(steps: list[tuple[str, float]], start: float) -> None:
    w = Value(start, name="w")
    y = w * 1.0
    for name, number in steps:
        y = CHAIN[name](y, number)
    y.backward()
    assume(w.grad is not None and math.isfinite(w.grad))
    zero = [each for each in of(y, w).findings if each.kind == "zero gradient"]
    assert bool(zero) == (w.grad == 0.0)
    for found in zero:
        # The chain has one path: above the node all gradients are not 0, and it gives 0 on.
        numbers = dict(found.numbers)
        assert numbers["upstream"] * numbers["local"] == 0.0
        squared = found.cause in ("dead relu", "corner") and "sq" in dict(steps)  # the relu is named
        assert numbers["upstream"] != 0.0 or squared
