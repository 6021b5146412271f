"""An operation of the user's own: one call, every reading; and every way in which the call can be wrong."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from microbp.array import array, data_of, grad_of
from microbp.check.rules import check_rule
from microbp.define import define
from microbp.differentiate import grad
from microbp.errors import RuleError, UndefinedOperation
from microbp.functions import Operation, tanh
from microbp.graph import Graph
from microbp.nn import MLP
from microbp.rules import RULES, TABLE, row
from microbp.value import Value


def forget_all_but_the_table() -> None:
    for name in set(RULES) - {rule.name for rule in TABLE}:
        del RULES[name]


@pytest.fixture(autouse=True)
def _only_the_table() -> Iterator[None]:
    forget_all_but_the_table()  # what other tests have defined, and at last what this one has
    yield
    forget_all_but_the_table()


def softsign() -> Operation:
    return define(
        "softsign", "a", "a / (1.0 + abs(a))", "1.0 / ((1.0 + abs(a)) * (1.0 + abs(a)))",
        doc="A slow tanh.", corner="Smooth, also at 0.",
    )  # fmt: skip


# ------------------------------------------------------------------------------------ in every reading
def test_it_works_on_numbers_values_and_arrays() -> None:
    f = softsign()
    assert type(f) is Operation
    assert f(-3.0) == -0.75
    assert type(f(1)) is float
    x = Value(-3.0)
    y = f(x)
    y.backward()
    assert (y.data, x.grad) == (-0.75, 0.0625)
    assert y.rule is RULES["softsign"]
    W = array([[-3.0, 0.0], [1.0, 3.0]])
    out = f(W)
    assert out.shape == (2, 2)
    assert data_of(out).tolist() == [[-0.75, 0.0], [0.5, 0.75]]
    out.sum().backward()
    assert grad_of(W).tolist() == [[0.0625, 1.0], [0.25, 0.0625]]


def test_it_is_differentiated_twice() -> None:
    f = softsign()
    x = Value(2.0)
    first = grad(f(x), x, create_graph=True)
    assert first.data == pytest.approx(1 / 9, rel=1e-15)
    assert grad(first, x) == pytest.approx(-2 / 27, rel=1e-15)


def test_it_is_a_row_like_any_other() -> None:
    f = softsign()
    assert check_rule("softsign").ok
    assert check_rule(f) == check_rule("softsign")
    assert f.__doc__ == "A slow tanh. Smooth, also at 0."
    assert repr(f) == "softsign(a)"
    node = Graph(f(Value(1.0)) * 2.0).nodes[-2]
    assert node.rule is f.rule


def test_graphs_with_it_are_copied_and_pickled() -> None:
    y = softsign()(Value(-3.0)) * 2.0
    for twin in (copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert twin.data == y.data
        assert twin.operands[0].rule is RULES["softsign"]


def test_a_ufunc_of_that_name_works_on_arrays() -> None:
    define("cbrt", "a", "pow(a, 1.0 / 3.0)", "y / (3.0 * a)", smooth=(((0.5, 4.0),),))
    x = array([1.0, 8.0])
    np.cbrt(x).sum().backward()
    assert grad_of(x) == pytest.approx([1 / 3, 1 / 12], rel=1e-15)
    with pytest.raises(UndefinedOperation, match=r"^cbrt\(a\) has no value at a = -8\.0"):
        np.cbrt(array([-8.0]))


def test_several_arguments_with_a_default() -> None:
    huber = define(
        "huber", "r delta",
        "0.5 * r * r if abs(r) <= delta else delta * (abs(r) - 0.5 * delta)",
        ("r if abs(r) <= delta else delta if r > 0.0 else -delta",
         "0.0 if abs(r) <= delta else abs(r) - delta"),
        doc="Huber's loss.", defaults={"delta": 1}, kink="abs(r) - delta",
        smooth=[[(-0.4, 0.4), (0.5, 2.0)], [(2.5, 4.0), (0.5, 2.0)], [(-4.0, -2.5), (0.5, 2.0)]],
    )  # fmt: skip
    assert repr(huber) == "huber(r, delta=1)"
    r, delta = Value(3.0), Value(2.0)
    assert huber(r).data == 2.5
    loss = huber(r, delta)
    loss.backward()
    assert (loss.data, r.grad, delta.grad) == (4.0, 2.0, 1.0)
    assert [str(each) for each in huber.rule.kink] == ["abs(r) - delta"]
    assert check_rule(huber).points == 900


def test_many_arguments() -> None:
    mse = define("mse", "o t", "total((o - t) * (o - t)) / total(1)",
                 ("2 * (o - t) / total(1)", "2 * (t - o) / total(1)"), over="o t")  # fmt: skip
    o = array([0.75, 0.5])
    loss = mse(o, [0.25, 1.0])
    loss.backward()
    assert (loss.data, grad_of(o).tolist()) == (0.25, [0.5, -0.5])
    assert str(mse.rule) == "mse(o…, t…)"
    assert mse.__doc__ == "Defined as total((o - t) * (o - t)) / total(1)."


def test_whole_numbers_in_the_texts_give_floats() -> None:
    ramp = define("ramp", "a", "0 if a <= 0 else a", "0 if a <= 0 else 1")
    y = ramp(Value(-1.0))
    assert type(y.data) is float
    assert type(ramp(-1.0)) is float
    assert y.local_derivatives == (0.0,)


def test_a_derivative_may_differ_on_purpose_if_the_user_says_so() -> None:
    arguments: dict[str, Any] = {"name": "step", "args": "a", "y": "1.0 if a > 0.0 else 0.0", "d": "1.0"}
    with pytest.raises(RuleError) as caught:
        define(**arguments)
    assert str(caught.value).endswith(
        "correct it, or say check=False if it differs on purpose (a straight-through estimator)"
    )
    step = define(**arguments, check=False)
    x = Value(0.3)
    y = tanh(step(x))
    y.backward()
    assert (step(x).data, x.grad) == (1.0, 1.0 - math.tanh(1.0) ** 2)
    assert "not checked: no smooth interval" in str(check_rule(step))


def test_where_smooth_is_left_out_both_signs_are_checked() -> None:
    """Right for positive numbers only."""
    with pytest.raises(RuleError, match=r"the derivative in a is wrong: at a = -\d"):
        define("f", "a", "abs(a)", "1.0")
    assert define("f", "a b", "a * b", ("b", "a")).rule.smooth == (((-3.0, 3.0), (-3.0, 3.0)),)


# -------------------------------------------------------------------------------------- what is refused
CUBE: dict[str, Any] = {"name": "cube", "args": "a", "y": "a * a * a", "d": "3.0 * a * a"}
SCOPE = "which is not in scope: a"
BOX = "is not a box, which has an interval (low, high) of finite numbers for each of a"
EMPTY = "smooth=() leaves nothing to check; give a box, or say check=False"
WRONG: list[tuple[dict[str, Any], str]] = [
    # what is changed in CUBE, and what is said after "rule cube: "
    ({"d": ("3.0 * a * a", "1.0")}, "1 argument (a) but 2 local derivatives"),
    ({"d": ()}, "1 argument (a) but 0 local derivatives"),
    ({"args": "a b"}, "2 arguments (a, b) but 1 local derivatives"),
    ({"args": ""}, "an operation needs at least one argument"),
    ({"args": "y"}, "the argument name 'y' is taken or no plain word"),
    ({"args": "a,b"}, "the argument name 'a,b' is taken or no plain word; blanks stand between arguments"),
    ({"y": "a * a * x"}, f"'a * a * x' uses 'x', {SCOPE}, inf, nan, pi"),
    ({"d": "3 * x"}, f"'3 * x' uses 'x', {SCOPE}, y, inf, nan, pi"),
    ({"kink": "x"}, f"'x' uses 'x', {SCOPE}, inf, nan, pi"),
    ({"y": "a ** 3"}, "'a ** 3' uses 'a ** 3'; the operators are + - * / (and pow)"),
    ({"defaults": {"s": 1.0}}, "'s' is not one of its arguments (a)"),
    ({"over": "x"}, "'x' is not one of its arguments (a)"),
    ({"smooth": ((0.0, 1.0),)}, f"in smooth, (0.0, 1.0) {BOX}"),
    ({"smooth": ()}, EMPTY),
]


@pytest.fixture
def table(_only_the_table: None) -> Iterator[None]:
    """The test must leave the table of operations as it was."""
    before = dict(RULES)
    yield
    assert before == RULES


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(("change", "message"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_a_malformed_definition_is_refused_and_nothing_is_added(change: Any, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        define(**CUBE | change)
    assert str(caught.value) == f"rule cube: {message}"


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "define(): name is a text, not 3"),
        ({"args": ["a"]}, "define(): args is a text, not ['a']"),
        ({"over": None}, "define(): over is a text, not None"),
        ({"d": abs}, f"define(): d holds the text of a derivative for each argument, not {abs!r}"),
    ],
)
def test_what_is_no_text_is_refused(change: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        define(**CUBE | change)
    assert str(caught.value) == message


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("change", [{"y": abs}, {"d": [abs]}, {"kink": [abs]}])
def test_a_python_function_is_no_text_either(change: Any) -> None:
    with pytest.raises(RuleError, match=r"^rule cube: <built-in function abs> is not an expression: "):
        define(**CUBE | change)


@pytest.mark.usefixtures("table")
def test_a_wrong_derivative_is_refused_with_the_point_and_both_numbers() -> None:
    worst = check_rule(row("cube", "a", "a * a * a", ("3.0005 * a * a",), "", (((0.5, 2.0),),))).rows[1]
    with pytest.raises(RuleError) as caught:
        define("cube", "a", "a * a * a", "3.0005 * a * a", smooth=(((0.5, 2.0),),))
    a = worst.at["a"]
    assert worst.measured == pytest.approx(3.0 * a * a, rel=1e-15)
    assert str(caught.value) == (
        f"rule cube: the derivative in a is wrong: at a = {a!r} the text '3.0005 * a * a' gives "
        f"{3.0005 * a * a!r}, but the complex-step derivative of 'a * a * a' is {worst.measured!r}; "
        "correct it, or say check=False if it differs on purpose (a straight-through estimator)"
    )


@pytest.mark.usefixtures("table")
def test_the_wrong_one_of_several_derivatives_is_named() -> None:
    said = r"^rule f: the derivative in b is wrong: at a = \S+, b = \S+ the text 'b' gives "
    with pytest.raises(RuleError, match=said):
        define("f", "a b", "a * b", ("b", "b"))
    said = r"^rule f: the derivative in t\[\d\] is wrong: at o = \[.*\], t = \[.*\] the text 't' gives "
    with pytest.raises(RuleError, match=said):
        define("f", "o t", "total(o * t)", ("t", "t"), over="o t")


@pytest.mark.usefixtures("table")
def test_a_value_that_is_undefined_where_it_is_checked_asks_for_smooth() -> None:
    with pytest.raises(RuleError) as caught:
        define("ln", "a", "log(a)", "1.0 / a")
    message = str(caught.value)
    assert message.startswith("rule ln: 'log(a)' is undefined at a = -")
    assert message.endswith(
        ", which is in a smooth box (math domain error); let smooth= hold boxes where value and "
        "derivatives are defined. It was left out, which stands for -3.0 to 3.0 in each argument"
    )
    with pytest.raises(RuleError) as caught:
        define("ln", "a", "log(a)", "1.0 / a", smooth=(((-1.0, 1.0),),))
    assert str(caught.value).endswith("let smooth= hold boxes where value and derivatives are defined")


@pytest.mark.usefixtures("table")
def test_a_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(RuleError) as caught:
        define("f", "a", "a * inf", "inf", smooth=(((1.0, 2.0),),))
    message = str(caught.value)
    assert message.startswith("rule f: at a = 1.")
    assert message.endswith(
        " the value 'a * inf' is inf, but read in complex arithmetic inf, so its derivative cannot be "
        "measured there; let smooth= leave such points out, or say check=False"
    )


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("name", ["tanh", "add", "exp", "sum"])
def test_an_operation_of_the_table_is_not_replaced(name: str) -> None:
    with pytest.raises(RuleError) as caught:
        define(name, "a", "a", "1.0")
    assert str(caught.value) == f"rule {name}: there is an operation of that name; choose another"


def test_an_operation_of_one_s_own_is_replaced_only_after_it_is_taken_out() -> None:
    first = define(**CUBE)
    with pytest.raises(RuleError) as caught:
        define(**CUBE)
    assert str(caught.value) == (
        "rule cube: there is an operation of that name; choose another, or free it first: "
        "del microbp.rules.RULES['cube']"
    )
    assert RULES["cube"] is first.rule
    before = first(Value(2.0))
    del RULES["cube"]
    second = define("cube", "a", "8.0 * a * a * a", "24.0 * a * a")
    assert (second(2.0), first(2.0)) == (64.0, 8.0)
    x = Value(2.0)
    y = first(x)  # what was recorded and what is recorded by the old one keep the old meaning
    y.backward()
    assert (before.data, y.data, x.grad) == (8.0, 8.0, 12.0)


@pytest.mark.usefixtures("table")
def test_a_number_is_no_text_of_a_derivative_and_a_text_no_default() -> None:
    with pytest.raises(RuleError) as caught:
        define("slope", "a b", "2.0 * a + b", (2, 1))  # type: ignore[arg-type]
    assert str(caught.value) == "rule slope: 2 is not an expression: it is no text, such as '2.0 * a'"
    with pytest.raises(TypeError, match=r"the default of s takes a real number, not the str '2'"):
        define("scaled", "a s", "a * s", ("s", "a"), defaults={"s": "2"})  # type: ignore[dict-item]
    assert not {"slope", "scaled"} & {*RULES}


def test_an_operation_is_an_activation_by_its_name() -> None:
    define("twice", "a", "2.0 * a", "2.0")
    net = MLP(1, [1, 1], activation="twice", seed=1)
    assert pickle.loads(pickle.dumps(net))([1.5]).data == net([1.5]).data
    assert net.layers[0]([1.5]).rule.name == "twice"
