"""``Value``: what it is, what it takes, its operands and its copies.

The semantics that were decided, by their numbers: what a Value is (1), the names known from micrograd
(2) and operands (5) are here; one pass after another (3), what is fixed when it is recorded (4), the
same in every process (5) and nothing recurses (6) in test_backward.py; undefined operations and NaN (7)
and exactness (10) in test_record.py; what never overflows (8) in test_functions.py; NumPy (9) in
test_array.py; what importing does (11) in test_import_order.py.
"""

from __future__ import annotations

import copy
import gc
import math
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import Program, programs
from support import METHODS, OPERATORS, at_once, bits, blocks

import microbp
from microbp import BranchError, Graph, NoGradientError, UndefinedOperation, Value, record_sites
from microbp.node import backward_order
from microbp.record import record
from microbp.recording.comparisons import comparisons_of
from microbp.rules import RULES

NAN, INF = math.nan, math.inf


# ------------------------------------------------------------------------ 1: what a Value is
@at_once(
    [3, 3.0, -0.0, np.float64(3), np.float32(3), np.float16(3), np.longdouble(3), np.int64(3),
     np.uint8(3), Fraction(3), 2**53 + 1, INF]
)  # fmt: skip
def test_a_real_number_of_any_kind_becomes_a_float(number: Any) -> None:
    for value in (Value(number), Value(0.0)):
        value.data = number
        assert type(value.data) is float
        assert bits(value.data) == bits(float(number))


COMPLEX = "microbp is real; record the real and the imaginary part as two Values"
TRUTH = "a truth value freezes a branch; use select(c, a, b), or float(...) for a number"
MANY = "microbp.array(x) makes an array of Values, one for each number"
KINDS = "give an int, a float or a NumPy real scalar"
REFUSED = [
    ("3", "the str '3'; convert it first: float(...)"),
    (b"3", "an object of type bytes; convert it first: float(...)"),
    (None, f"None; {KINDS}"),
    (1j, f"the complex 1j; {COMPLEX}"),
    (np.complex128(1), f"an object of type complex128; {COMPLEX}"),
    (True, f"the bool True; {TRUTH}"),
    (np.bool_(0), f"the bool {np.bool_(0)!r}; {TRUTH}"),
    ([1.0], f"an object of type list; {MANY}"),
    ((1.0,), f"an object of type tuple; {MANY}"),
]
NO_OPERAND_EITHER = [
    (Decimal(3), f"an object of type Decimal; {KINDS}"),
    (np.ones(2), f"an object of type ndarray; {MANY}"),
    (list, f"an object of type type; {KINDS}"),
    (
        Value(1.0),
        "an object of type Value; it is a Value already; use it as it is, or take its number with .data",
    ),
]


@at_once([*REFUSED, *NO_OPERAND_EITHER])
def test_what_is_no_real_number_is_refused(thing: object, words: str) -> None:
    with pytest.raises(TypeError) as caught:
        Value(thing)  # type: ignore[arg-type]
    assert str(caught.value) == f"Value() takes a real number, not {words}"
    value = Value(1.0)
    with pytest.raises(TypeError) as caught:
        value.data = thing  # type: ignore[assignment]
    assert str(caught.value) == f"Value.data takes a real number, not {words}"
    assert value.data == 1.0


@at_once(OPERATORS, REFUSED)
def test_what_is_no_real_number_is_refused_as_an_operand(name: str, thing: Any, words: str) -> None:
    for operands in ((Value(1.0), thing), (thing, Value(1.0))):
        with pytest.raises(TypeError) as caught:
            OPERATORS[name](*operands)
        assert str(caught.value) == f"{name}(a, b) takes a real number, not {words}"


def test_a_class_that_knows_values_gets_its_turn() -> None:
    class Twice:
        def __radd__(self, other: Value) -> Value:
            return other * 2.0

    assert (Value(3.0) + Twice()).data == 6.0
    for stranger in (Twice(), Decimal(3), object()):
        with pytest.raises(TypeError, match="unsupported operand"):
            Value(3.0) - stranger


def test_an_integer_beyond_all_floats_is_an_overflow() -> None:
    with pytest.raises(OverflowError, match=r"takes a float; this number is beyond 1\.8e308"):
        Value(10**400)
    with pytest.raises(OverflowError, match=r"takes a float; this number is beyond 1\.8e308"):
        Value(1.0) + 10**400


def test_a_name_is_a_word_or_nothing() -> None:
    value = Value(1.0, name="w")
    assert (value.name, Value(1.0).name) == ("w", None)
    value.name = "v"
    assert value.name == "v"
    value.name = None
    assert value.name is None
    for bad in (3, b"w", Value(1.0)):
        with pytest.raises(TypeError, match=r"^a name is a str, not "):
            value.name = bad  # type: ignore[assignment]
        with pytest.raises(TypeError, match=r"^a name is a str, not "):
            Value(1.0, name=bad)  # type: ignore[arg-type]


def test_a_misspelt_attribute_is_an_error() -> None:
    with pytest.raises(AttributeError):
        Value(1.0).gard = 0.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [0.0, 1.0, NAN])
def test_the_truth_of_a_value_is_refused(number: float) -> None:
    value = Value(number, name="w")
    for branch in (bool, operator.not_, lambda v: v and 1, lambda v: 1 if v else 2, lambda v: any([v])):
        with pytest.raises(BranchError) as caught:
            branch(value)
        assert str(caught.value) == (
            f"the truth of w = {number!r} is not defined: a branch on a Value is not part of the "
            "graph. Compare numbers (v.data > 0), or keep the branch in the graph with relu, "
            "maximum, clip or select(c, a, b)"
        )
    with pytest.raises(BranchError, match=rf"the truth of Value\({number}\) is not defined"):
        bool(Value(number))


@pytest.mark.parametrize("convert", [float, math.exp, complex, lambda v: np.array([v], dtype=float)])
def test_leaving_the_graph_without_a_trace_is_refused(convert: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        convert(Value(2.0, name="w"))
    assert str(caught.value) == (
        "float() of w = 2.0 would leave the graph without a trace: take v.data for the number, or "
        "microbp's own function (microbp.exp, v.exp()) to stay in the graph"
    )


#: With Python's own signs: of a nan, other code that compares Values is refused.
ORDERINGS: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


@at_once(ORDERINGS.values(), [1.0, 2.0, 3, NAN, -INF, np.float32(2.0), np.int64(1), Fraction(5, 2)])
def test_orderings_compare_numbers_and_give_a_plain_truth_value(compare: Any, other: Any) -> None:
    value = Value(2.0)
    pairs = [(value, other), (value, Value(other)), (other, value)]
    for left, right in pairs:
        numbers_ = [float(x.data if isinstance(x, Value) else x) for x in (left, right)]
        assert bool(compare(left, right)) is compare(*numbers_)
    assert type(compare(value, other)) is type(compare(value, Value(other))) is bool


def test_orderings_chain_sort_and_select() -> None:
    a, b, c = Value(1.0), Value(2.0), Value(3.0)
    assert 0 < a < b <= 2 < c
    assert sorted([c, a, b]) == [a, b, c]
    assert max(a, c, b) is c


@pytest.mark.parametrize("sign", ORDERINGS)
def test_an_ordering_with_what_is_no_number_is_refused(sign: str) -> None:
    with pytest.raises(TypeError) as caught:
        ORDERINGS[sign](Value(1.0), "3")
    assert str(caught.value) == (
        f"Value {sign} … takes a real number, not the str '3'; convert it first: float(...)"
    )


# ------------------------------------------------------------------------- what has steps, remainders
NUMBERS = [7.25, -7.25, 0.3, -0.3, 2.0, -2.0, 0.0, 1e17, 5e-324]


@at_once(NUMBERS)
def test_what_has_steps_is_a_plain_number(number: float) -> None:
    divided, by_half, to_one_digit = (lambda x: x // 2), (lambda x: x // -0.5), (lambda x: round(x, 1))
    for f in (math.floor, math.ceil, math.trunc, round, to_one_digit, divided, by_half):
        value = Value(number)
        found, exact = f(value), f(number)
        assert type(found) is type(exact)
        assert found == exact
        assert comparisons_of(value)
    assert +value is value


@at_once(NUMBERS, [2, -2.0, 0.7, INF, np.float32(0.5)])
def test_a_remainder_is_recorded(number: float, divisor: float) -> None:
    value = Value(number, name="x")
    rest = value % divisor
    quotient, same = divmod(value, divisor)
    assert (type(rest), type(quotient)) == (Value, float)
    exact = pytest.approx(number % float(divisor), rel=1e-15, abs=abs(number) * 2e-16)
    assert rest.data == same.data == exact
    assert quotient == number // float(divisor)
    assert microbp.grad(rest, value) == 1.0


def test_remainders_that_are_refused() -> None:
    x, y = Value(7.25, name="x"), Value(2.0, name="y")
    way_out = (
        "the divisor is a plain number. Write x - y * k for the remainder, with the plain number "
        "k = x.data // y.data, which has no derivative"
    )
    for call, text in [
        (lambda: x % y, f"x = 7.25 % y = 2.0: {way_out}"),
        (lambda: 5 // y, f"5 // y = 2.0: {way_out}"),
        (lambda: divmod(5, y), f"5 // y = 2.0: {way_out}"),
        (lambda: np.float64(5) % y, f"5.0 % y = 2.0: {way_out}"),
        (lambda: x % "2", "Value % … takes a real number, not the str '2'; convert it first: float(...)"),
        (lambda: int(x), "int() of x = 7.25 is not clear: take math.trunc(v), or int(v.data)"),
    ]:
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == text
    for sign, division in (("%", lambda: x % 0), ("//", lambda: x // 0)):
        with pytest.raises(UndefinedOperation) as undefined:
            division()
        assert str(undefined.value).startswith(f"x = 7.25 {sign} 0: there is no division by 0 [{__file__}:")
    assert [rest.data for rest in x % np.array([2.0, 3.0])] == [1.25, 1.25]
    assert (x // np.array([2.0, 3.0])).tolist() == [3.0, 2.0]


def test_equality_and_hash_are_by_identity() -> None:
    a, b = Value(1.0), Value(1.0)
    assert a == a  # noqa: PLR0124
    assert a != b
    assert a != 1.0
    assert a in [b, a]
    assert a not in [b, 1.0]
    table = {a: "a", b: "b"}
    a.data = 5.0
    assert (table[a], table[b], len({a, b, a})) == ("a", "b", 2)
    assert len({a, a * 1.0, a.detach(), copy.copy(a)}) == 4


def test_it_prints_as_it_is_made() -> None:
    x = Value(2.0, name="x")
    assert repr(x) == "Value(data=2.0, grad=None, name='x')"
    x.backward()
    assert repr(x) == "Value(data=2.0, grad=1.0, name='x')"
    assert repr(Value(2.0) * 3.0) == "Value(data=6.0, grad=None)"


# -------------------------------------------------------------------- 2: micrograd's own names
def test_the_example_that_people_know_from_micrograd() -> None:
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    assert f"{g.data:.4f}" == "24.7041"
    g.backward()
    assert f"{a.grad:.4f}" == "138.8338"
    assert f"{b.grad:.4f}" == "645.5773"


def test_the_smaller_expression_of_micrograd_s_tests() -> None:
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


def test_a_neuron_written_out_trains_by_hand() -> None:
    w, b = [Value(0.5), Value(-0.25)], Value(0.0)
    losses = []
    for _ in range(30):
        out = sum((wi * xi for wi, xi in zip(w, [1.0, -2.0], strict=True)), b).relu()
        loss = (out - 3) ** 2
        for p in [*w, b]:
            p.grad = 0  # as micrograd has it
        loss.backward()
        for p in [*w, b]:
            p.data += -0.05 * p.grad
        losses.append(loss.data)
    assert losses[0] == 4.0
    assert losses[-1] < 1e-20


# ------------------------------------------------------------------------------------ 5: operands
def test_operands_stand_in_order_and_with_repeats() -> None:
    x, y = Value(3.0), Value(5.0)
    square = x * x
    assert square.operands == (x, x)
    assert square.local_derivatives == (3.0, 3.0)
    assert (x - y).operands == (x, y)
    assert (y - x).operands == (y, x)
    many = microbp.dot([x, y, x], [y, x, 2.0], x)
    assert many.operands == (x, y, x, y, x, 2.0, x)
    assert many.local_derivatives == (5.0, 3.0, 2.0, 3.0, 5.0, None, 1.0)


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_is_one_node_of_its_own(name: str) -> None:
    x, y = Value(3.0), Value(5.0)
    for operands in ((x, y), (x, 5.0), (3.0, y), (x, 5), (3, y)):
        node = OPERATORS[name](*operands)
        assert node.rule is RULES[name]
        assert node.operands == operands
        assert len(backward_order(node)) == 1 + sum(isinstance(each, Value) for each in operands)


@at_once(METHODS)
def test_each_method_is_one_node_of_its_own(name: str) -> None:
    x = Value(0.5)
    node = METHODS[name](x)
    assert node.rule is RULES[name]
    assert node.operands == (x,)
    assert backward_order(node) == [node, x]


def test_the_methods_are_all_operations_of_one_argument() -> None:
    missing = {name for name, rule in RULES.items() if len(rule.args) == 1 and not rule.over} - set(METHODS)
    assert missing <= {"erfc"}  # a helper of gelu


def test_constants_are_literals_and_no_nodes() -> None:
    x = Value(3.0)
    node = 1 / (2 * x + 0.5)
    assert [v.rule and v.rule.name for v in backward_order(node)] == ["div", "add", "mul", None]
    assert node.operands == (1.0, node.operands[1])
    assert type(node.operands[0]) is float  # an int is a number like any other
    assert node.local_derivatives[0] is None


@at_once(OPERATORS, [3, 3.0, np.float64(3), np.float32(3), np.int64(3), Fraction(3)])
def test_an_operator_takes_any_real_number_on_either_side(name: str, number: Any) -> None:
    x = Value(2.5)
    apply, rule = OPERATORS[name], RULES[name]
    for node, numbers_ in ((apply(x, number), (2.5, 3.0)), (apply(number, x), (3.0, 2.5))):
        assert type(node) is Value
        assert node.data == apply(*numbers_)
        assert tuple(float(v.data if isinstance(v, Value) else v) for v in node.operands) == numbers_
        scope = dict(zip(rule.args, numbers_, strict=True), y=node.data)
        for each, d, text in zip(node.operands, node.local_derivatives, rule.d, strict=True):
            assert d == (text.evaluate(scope) if each is x else None)


def test_augmented_assignment_makes_a_new_node() -> None:
    x = Value(3.0)
    y = x
    y += 1
    y -= 0.5
    y *= 2
    y /= 7.0
    y **= 2
    assert x.data == 3.0
    assert y.data == 1.0
    assert len(backward_order(y)) == 6


class Tagged(Value):
    """A user's own kind of Value."""

    def __init__(self, data: float, tag: str) -> None:
        super().__init__(data)
        self.tag = tag


def test_a_subclass_takes_part_like_any_value() -> None:
    x, w = Tagged(3.0, "input"), Value(2.0)
    for node, number in [
        (x * w, 6.0), (w * x, 6.0), (x - 1, 2.0), (1 - x, -2.0), (x**x, 27.0), (-x, -3.0),
        (2.0 / x, 2.0 / 3.0), (x.relu(), 3.0), (microbp.dot([x], [w]), 6.0), (np.float64(2) * x, 6.0),
        ((microbp.array([1.0, 2.0]) * x)[1], 6.0),
    ]:  # fmt: skip
        assert type(node) is Value
        assert node.data == number
        assert x in node.operands
    y = x * x * w
    y.backward()
    assert x.grad == 12.0
    assert x < w + 2
    assert Graph(y).root.data == 18.0


def test_a_subclass_keeps_its_own_attributes_in_copies() -> None:
    x = Tagged(3.0, "input")
    y = x * 2.0
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (type(twin), twin.tag, twin.data) == (Tagged, "input", 3.0)
    assert copy.deepcopy(y).operands[0].tag == "input"
    assert pickle.loads(pickle.dumps(y)).operands[0].tag == "input"


# ------------------------------------------------------------------------------- copies and pickles
COPIERS = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
COPIERS += [lambda x, n=n: pickle.loads(pickle.dumps(x, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1)]
COPIERS += [lambda x: pickle.loads(pickle._dumps(x))]  # type: ignore[attr-defined]  # in Python, not C


@at_once(COPIERS)
def test_a_copy_stands_by_itself(twin_of: Callable[[Any], Any]) -> None:
    x, frozen = Value(0.5, name="x"), Value(2.0, name="frozen")
    frozen.requires_grad = False
    record_sites()
    y = microbp.dot([x, x * frozen], [3.0, x], 1) / (2 - x)
    record_sites(on=False)
    y.backward()
    twin = twin_of(y)
    assert Graph(twin) == Graph(y)
    order = {v.name: v for v in backward_order(twin)}
    assert not {id(v) for v in order.values()} & {id(x), id(frozen), id(y)}
    assert order["frozen"].requires_grad is False
    assert order["x"].grad == x.grad
    before = x.grad
    twin.backward()
    assert (x.grad, order["x"].grad) == (before, 2 * before)
    order["x"].data = 7.0
    assert x.data == 0.5


@at_once(COPIERS)
def test_what_is_copied_together_stays_together(twin_of: Callable[[Any], Any]) -> None:
    x = Value(0.5, name="x")
    h = x.tanh()
    loss = h * h
    for together in ([h, loss], [loss, h], {"h": h, "loss": loss}, (x, h, loss), [h, h, loss]):
        twin = twin_of(together)
        values = twin.values() if isinstance(twin, dict) else twin
        by_rule = {v.rule and v.rule.name: v for v in values}
        assert by_rule["mul"].operands == (by_rule["tanh"], by_rule["tanh"])
        if None in by_rule:
            assert by_rule["tanh"].operands == (by_rule[None],)


@at_once(COPIERS)
def test_a_structure_around_values_keeps_its_sharing(twin_of: Callable[[Any], Any]) -> None:
    w = microbp.array([1.0, 2.0], name="w")
    loss = np.sum(w * w)
    model = {"w": w, "again": w[1], "loss": loss}
    twin = twin_of(model)
    assert twin["w"][1] is twin["again"]
    twin["loss"].backward()
    assert microbp.grad_of(twin["w"]).tolist() == [2.0, 4.0]
    assert w[0].grad is None


def test_a_shallow_copy_shares_its_operands() -> None:
    x = Value(0.5, name="x")
    y = x * 3.0
    y.backward()
    twin = copy.copy(y)
    assert twin is not y
    assert (twin.operands, twin.data, twin.grad, twin.rule) == ((x, 3.0), 1.5, 1.0, RULES["mul"])
    twin.backward()
    assert (x.grad, y.grad, twin.grad) == (6.0, 1.0, 2.0)


def test_a_pickle_crosses_processes() -> None:
    x = Value(0.5, name="x")
    y = (x * x + 1).log()
    code = (
        "import pickle, sys, microbp\n"
        "y = pickle.loads(sys.stdin.buffer.read())\n"
        "y.backward()\n"
        "print(microbp.Graph(y)['x'].grad.hex(), y.rule is microbp.rules.RULES['log'])"
    )
    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(y), capture_output=True, check=True)
    y.backward()
    assert run.stdout.decode().split() == [x.grad.hex(), "True"]


@given(programs())
def test_every_program_survives_a_pickle(program: Program) -> None:
    root = program.run(record, Value.sin, [Value(x) for x in program.leaves])
    root.backward()
    assert Graph(pickle.loads(pickle.dumps(root))) == Graph(copy.deepcopy(root)) == Graph(root)


# --------------------------------------------------------------- what takes a gradient, and what not
def test_a_frozen_leaf_takes_no_gradient_and_thaws() -> None:
    w, x = Value(2.0, name="w"), Value(3.0)
    y = w * x
    y.backward()
    assert w.grad == 3.0
    w.requires_grad = False
    assert (w.requires_grad, w.grad) == (False, None)
    y.backward()
    (w * w * x).backward()
    assert (w.grad, x.grad) == (None, 8.0)
    w.requires_grad = True
    y.backward()
    assert w.grad == 3.0


def test_only_a_leaf_can_be_frozen() -> None:
    y = Value(2.0) * 3.0
    y.name = "y"
    for flag in (False, True):
        with pytest.raises(NoGradientError) as caught:
            y.requires_grad = flag
        assert str(caught.value) == (
            "requires_grad is for leaves; y = 6.0 was computed. "
            "detach() gives a constant with the same number"
        )
    assert y.requires_grad


def test_detach_cuts_the_graph() -> None:
    x = Value(3.0, name="x")
    h = x * x
    h.name = "h"
    c = h.detach()
    assert (c.data, c.name, c.is_leaf, c.requires_grad, c.operands) == (9.0, "h", True, False, ())
    y = c * x
    y.backward()
    assert (x.grad, h.grad, c.grad) == (9.0, None, None)


def test_small_graphs_leave_nothing_behind() -> None:
    """A million of them, in short: what one left would be seen after a few thousand."""

    def some(count: int) -> None:
        for _ in range(count):
            x = Value(0.5, name="x")
            y = (x * 2.0 + microbp.dot([x, x], [1.0, x])).tanh()
            y.backward()
            Graph(y)

    sites = microbp.record_sites()
    try:
        some(200)
        gc.collect()
        before = blocks()
        some(3_000)
        gc.collect()
        assert blocks() - before < 300
    finally:
        microbp.record_sites(sites)


def test_a_copy_of_a_long_graph() -> None:
    y = Value(1.0, name="x")
    for _ in range(30_000):
        y = y * 1.0001
    twin = copy.deepcopy(y)
    assert (twin.data, Graph(twin).names[0], len(Graph(twin))) == (y.data, "x", 30_001)


def test_copies_keep_what_a_subclass_has_beside() -> None:
    class Tagged(Value):
        pass

    x = Tagged(2.0, name="x")
    x.tag = ["t"]  # type: ignore[attr-defined]
    assert copy.copy(x).tag is x.tag  # type: ignore[attr-defined]
    assert copy.deepcopy(x * 1.0).operands[0].tag == ["t"]  # type: ignore[union-attr]


class Slotted(Value):
    """It has a slot of its own."""

    __slots__ = ("tag",)
    tag: str


class Louder(Slotted):
    """It keeps that in its own way."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "tag": self.tag.upper()}


@at_once([copy.copy, *COPIERS])
def test_copies_keep_the_slots_of_a_subclass_and_take_its_own_state(copied: Any) -> None:
    plain, louder = Slotted(2.0, name="x"), Louder(3.0)
    plain.tag = louder.tag = "t"
    assert (copied(plain).tag, copied(plain).name, copied(louder).tag) == ("t", "x", "T")


@pytest.mark.parametrize("word", ["tanh", "exp", "relu", "gelu"])
def test_a_method_of_one_operand_that_is_given_more_says_so(word: str) -> None:
    method = getattr(Value(0.5), word)
    with pytest.raises(TypeError, match=rf"^Value\.{word}\(\) takes 1 positional argument but 3 were given$"):
        method(1.0, 2.0)
    with pytest.raises(TypeError, match=rf"^Value\.{word}\(\) got an unexpected keyword argument 'x'$"):
        method(1.0, x=2.0)
    assert method(*()).data == method().data
