"""Programs: shapes, parameters as one vector, errors that name the sample, pickles, memory."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from typing import Any

import numpy as np
import pytest

import microbp
from microbp import MLP, NoGradientError, UndefinedOperation, Value
from microbp.errors import NotFiniteResult
from microbp.replay import compile as compile_
from microbp.replay import forms, matrix
from microbp.replay.function_graph import capture
from microbp.replay.program import Program

FORMS = ["straight", "matrix", "auto"]
RNG = np.random.default_rng(3)


def net_and_loss() -> tuple[MLP, Any, Value]:
    net = MLP(3, [4, 1], activation="tanh", seed=2)
    x = microbp.array([0.1, -0.2, 0.3], name="x")
    return net, x, (net(x) - 0.5) ** 2


def eager(net: MLP, rows: Any, reduce: str = "mean") -> tuple[float, list[float]]:
    """The batch recorded on Values."""
    net.zero_grad()
    cost = microbp.sum([(net(list(row)) - 0.5) ** 2 for row in rows])
    if reduce == "mean":
        cost = cost / len(rows)
    cost.backward()
    gradients = [each.grad or 0.0 for each in net.parameters()]
    net.zero_grad()
    return cost.data, gradients


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ----------------------------------------------------------------------------------------- shapes
def test_values_have_the_shape_of_the_batch_and_of_the_outputs(form) -> None:
    a, b = Value(2.0), Value(3.0)
    outputs = [[a * b, a + b, a - b], [a, b, a / b]]
    program = compile_(outputs, inputs=[a, b], form=form)
    one = program([2.0, 3.0])
    assert one.tolist() == [[6.0, 5.0, -1.0], [2.0, 3.0, 2.0 / 3.0]]
    x = RNG.uniform(1.0, 2.0, size=(4, 5, 2))
    many = program(x)
    assert many.shape == (4, 5, 2, 3)
    assert np.allclose(many[3, 1], program(x[3, 1]), rtol=1e-15, atol=0.0)
    assert program(np.empty((0, 2))).shape == (0, 2, 3)
    assert program(np.empty((3, 0, 2))).shape == (3, 0, 2, 3)


def test_a_single_number_in_and_out(form) -> None:
    x = Value(2.0)
    program = compile_(x**3, inputs=x, form=form)
    assert program(2) == 8.0
    assert isinstance(program(2), float)
    assert program([1, 2, 3]).tolist() == [1.0, 8.0, 27.0]
    found = program.value_and_grad([[1.0, 2.0]], wrt_inputs=True, reduce="sum")
    assert found.costs.tolist() == [[1.0, 8.0]]
    assert found.inputs.tolist() == [[3.0, 12.0]]


def test_inputs_that_nothing_depends_on_have_gradient_zero(form) -> None:
    x, idle, w, idle_w = Value(2.0), Value(5.0), Value(3.0), Value(7.0)
    program = compile_(x * w, inputs=[idle, x], params=[idle_w, w], form=form)
    found = program.value_and_grad([9.0, 2.0], wrt_inputs=True)
    assert (found.cost, found.inputs.tolist()) == (6.0, [0.0, 3.0])
    assert found.gradient.tolist() == [0.0, 2.0]
    found.add_to_grad()
    assert (w.grad, idle_w.grad) == (2.0, 0.0)


def test_an_output_may_be_an_input_a_parameter_or_a_number(form) -> None:
    x, w = Value(2.0), Value(3.0)
    program = compile_([x, w, 4.0, x], inputs=x, params=w, form=form)
    assert program([1.0, 2.0]).tolist() == [[1.0, 3.0, 4.0, 1.0], [2.0, 3.0, 4.0, 2.0]]


SHAPES = [
    ([1.0, 2.0], r"takes \(3,\) for one sample \(x\[0\], x\[1\], x\[2\]\), and batches of shape \(…, 3\)"),
    ([[1.0, 2.0]], r"the inputs have the shape \(1, 2\); this program takes \(3,\)"),
    (1.0, r"the inputs have the shape \(\); this program takes \(3,\)"),
    ([[1.0, 2.0, 3.0], [1.0]],
     r"rows of the inputs are of unequal length: inputs\[0\] has 3 entries, inputs\[1\] has 1"),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "text"), SHAPES)
def test_inputs_of_another_shape_are_refused(inputs, text, form) -> None:
    _, x, loss = net_and_loss()
    program = compile_(loss, inputs=x, form=form)
    for call in (program, program.value_and_grad):
        with pytest.raises(ValueError, match=text):
            call(inputs)


def test_inputs_that_are_no_numbers_are_refused() -> None:
    w, x = Value(2.0), Value(3.0, name="x")
    program = compile_(w * x, inputs=[x], params=[w])
    with pytest.raises(TypeError, match=r"takes numbers, but inputs\[0\] is x = 3.0; microbp.data_of"):
        program([x])
    with pytest.raises(TypeError, match=r"inputs\[0\] takes a real number, not the str 'a'"):
        program(["a"])


# ------------------------------------------------------------------------------ batches and gradients
@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_a_batch_is_what_the_eager_engine_makes_of_it(form, reduce) -> None:
    net, x, loss = net_and_loss()
    program = compile_(loss, inputs=x, params=net.parameters(), form=form)
    rows = RNG.normal(size=(7, 3))
    cost, gradients = eager(net, rows, reduce)
    found = program.value_and_grad(rows, reduce=reduce, wrt_inputs=True)
    assert found.cost == pytest.approx(cost, rel=1e-13)
    assert found.gradient.tolist() == pytest.approx(gradients, rel=1e-12, abs=1e-15)
    scale = 7 if reduce == "mean" else 1
    for row, dx in zip(rows, found.inputs, strict=True):
        assert program.value_and_grad(row, wrt_inputs=True).inputs == pytest.approx(dx * scale, rel=1e-12)
    assert found.costs == pytest.approx(program(rows), rel=1e-14)


def test_a_batch_beyond_the_memory_is_cut_into_parts(form) -> None:
    net, x, loss = net_and_loss()
    whole = compile_(loss, inputs=x, params=net.parameters(), form=form)
    parts = compile_(loss, inputs=x, params=net.parameters(), form=form, memory=1000)
    rows = RNG.normal(size=(11, 3))
    assert parts._rows < len(rows) < whole._rows
    a, b = whole.value_and_grad(rows, wrt_inputs=True), parts.value_and_grad(rows, wrt_inputs=True)
    assert b.cost == pytest.approx(a.cost, rel=1e-14)
    assert b.gradient == pytest.approx(a.gradient, rel=1e-12, abs=1e-15)
    assert b.inputs == pytest.approx(a.inputs, rel=1e-12, abs=1e-15)
    assert parts(rows) == pytest.approx(whole(rows), rel=1e-14)


def test_the_gradient_is_written_into_out(form) -> None:
    net, x, loss = net_and_loss()
    program = compile_(loss, inputs=x, params=net.parameters(), form=form)
    out = np.full(len(net.parameters()), np.nan)
    expected = program.value_and_grad([1.0, 2.0, 3.0]).gradient
    for _ in range(2):
        found = program.value_and_grad([1.0, 2.0, 3.0], out=out)
        assert found.gradient is out
        assert out.tolist() == expected.tolist()


def test_several_outputs_have_no_gradient_and_a_batch_of_none_no_cost(form) -> None:
    x = Value(1.0)
    with pytest.raises(ValueError, match=r"outputs of shape \(2,\); a gradient is that of one number"):
        compile_([x, x * x], inputs=x, form=form).value_and_grad(1.0)
    program = compile_(x * x, inputs=x, form=form)
    with pytest.raises(ValueError, match=r"a batch of shape \(2, 0\) has no samples"):
        program.value_and_grad(np.empty((2, 0)))
    with pytest.raises(ValueError, match="reduce is 'mean' or 'sum', not 'max'"):
        program.value_and_grad(1.0, reduce="max")  # type: ignore[arg-type]


# ------------------------------------------------------------------------- parameters and Values
def test_the_values_numbers_are_read_at_each_call(form) -> None:
    w, x = Value(2.0, name="w"), Value(3.0, name="x")
    program = compile_(w * x, inputs=x, params=w, form=form)
    assert program(5.0) == 10.0
    w.data = 4.0
    assert program(5.0) == 20.0
    assert program.parameters.tolist() == [4.0]


def test_training_on_one_vector_is_training_on_values(form) -> None:
    net, x, loss = net_and_loss()
    twin = MLP(3, [4, 1], activation="tanh", seed=2)
    program = compile_(loss, inputs=x, params=net.parameters(), form=form)
    rows = RNG.normal(size=(5, 3))
    theta = program.parameters
    for _ in range(100):
        theta -= 0.1 * program.value_and_grad(rows, theta).gradient
        _, gradients = eager(twin, rows)
        for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
            parameter.data -= 0.1 * gradient
    assert net.parameters()[0].data != theta[0]
    program.assign(theta)
    ours, theirs = ([each.data for each in which.parameters()] for which in (net, twin))
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_gradients_are_added_to_grad_and_frozen_parameters_left_alone(form) -> None:
    w, frozen, x = Value(2.0), Value(3.0), Value(1.0)
    frozen.requires_grad = False
    program = compile_(w * frozen * x, inputs=x, params=[w, frozen], form=form)
    found = program.value_and_grad(5.0)
    found.add_to_grad()
    found.add_to_grad()
    assert (w.grad, frozen.grad) == (30.0, None)


def test_views_are_views(form) -> None:
    net, x, loss = net_and_loss()
    program = compile_(loss, inputs=x, params=net.parameters(), form=form)
    theta = program.parameters
    views = program.views(theta)
    assert {name: view.shape for name, view in views.items()} == program.arrays
    for view in views.values():
        view[...] = 1.0
    assert theta.tolist() == [1.0] * len(theta)
    found = program.value_and_grad([1.0, 2.0, 3.0])
    assert found.arrays.keys() == views.keys()


@pytest.mark.parametrize(
    "theta", [[1.0], np.ones(3), np.ones((1, 1)), np.ones(1, dtype=int), np.ones(1, dtype="f4")]
)
def test_a_theta_that_does_not_fit_is_refused(theta) -> None:
    w, x = Value(2.0), Value(3.0)
    program = compile_(w * x, inputs=x, params=w)
    for call in (
        lambda: program(1.0, theta),
        lambda: program.value_and_grad(1.0, theta),
        lambda: program.assign(theta),
    ):
        with pytest.raises(
            ValueError, match=r"theta is a float64 vector of 1 number, such as program\.parameters"
        ):
            call()


def test_parameters_are_found_where_they_are_not_given(form) -> None:
    w, b, x = Value(2.0, name="w"), Value(1.0, name="b"), Value(3.0, name="x")
    rate = Value(0.5, name="rate")
    rate.requires_grad = False
    program = compile_(w * x * rate + b, inputs=x, form=form)
    assert set(program.captured.param_names) == {"w", "b"}
    rate.data = 0.25
    text = "rate = 0.25 is a constant of this program and was 0.5 when it was compiled; compile it again, or"
    for call in (program, program.value_and_grad):
        with pytest.raises(ValueError, match=text):
            call(3.0)


def test_a_constant_that_is_nan_has_not_changed() -> None:
    c, x = Value(float("nan")).detach(), Value(3.0)
    program = compile_(microbp.select(x, x, c), inputs=x, finite=False, form="straight")
    assert program(2.0) == 2.0


BAD = [
    (lambda x, _: ([], x), ValueError, "outputs is empty"),
    (lambda x, y: (y, [x, x]), ValueError, r"inputs\[1\], x = 2.0, stands in inputs\[0\] already"),
    (lambda x, y: (y, x, x), ValueError, r"params\[0\], x = 2.0, stands in inputs\[0\]"),
    (lambda _, y: (y, y), ValueError, r"inputs\[0\], y = 4.0, was computed \(mul\(a, b\)\); inputs"),
    (lambda x, y: (y, [x.data]), TypeError, r"inputs\[0\] is an object of type float, not a"),
    (lambda x, y: ([[y], [y, y]], x), ValueError,
     r"rows of outputs are of unequal length: outputs\[0\] has 1 entries, outputs\[1\] has 2"),
    (lambda x, y: (str(y), x), TypeError, "compile: outputs takes a real number, not the str"),
]


@pytest.mark.parametrize(("make", "kind", "text"), BAD)
def test_what_cannot_be_captured_is_refused(make, kind, text) -> None:
    x = Value(2.0, name="x")
    y = x * x
    y.name = "y"
    with pytest.raises(kind, match=text):
        capture(*make(x, y))


def test_the_graph_is_captured_also_under_no_grad() -> None:
    x = Value(2.0)
    outputs = [x * x, x + 1.0]
    with microbp.no_grad():
        program = compile_(outputs, inputs=x)
    assert program(3.0).tolist() == [9.0, 4.0]


# ------------------------------------------------------------------------------- what goes wrong
def test_an_undefined_operation_names_the_sample_the_value_and_the_recorded_line(form) -> None:
    were = microbp.record_sites(True)
    x = Value(2.0, name="x")
    root = x.log()
    microbp.record_sites(were)
    line = root.site
    root.name = "root"
    program = compile_(root * 2.0, inputs=x, form=form)
    for call in (program, program.value_and_grad):
        with pytest.raises(UndefinedOperation) as caught:
            call([1.0, 3.0, -1.0, -2.0])
        assert str(caught.value) == (
            "sample 2: log(a) has no value at a = -1.0 (x). Natural logarithm; undefined at a <= 0. "
            f"It is root of the compiled graph [{line}]"
        )
        assert (caught.value.site, caught.value.numbers, caught.value.rule) == (line, (-1.0,), "log")


def test_a_nan_among_the_inputs_is_named(form) -> None:
    w, x = Value(2.0, name="w"), microbp.array([1.0, 2.0], name="x")
    program = compile_(w * x[0] + x[1], inputs=x, params=w, form=form)
    rows = [[1.0, 2.0], [3.0, 4.0], [5.0, float("nan")]]
    for call in (program, program.value_and_grad):
        with pytest.raises(
            ValueError, match=r"sample 2: the input x\[1\] is nan; fill it in, or leave the sample"
        ):
            call(rows)
    relaxed = compile_(w * x[0] + x[1], inputs=x, params=w, form=form, finite=False)
    assert np.isnan(relaxed(rows)).tolist() == [False, False, True]


def test_an_infinite_value_is_traced_to_the_first_that_is(form) -> None:
    were = microbp.record_sites(True)
    x = Value(2.0, name="x")
    square = x * x
    microbp.record_sites(were)
    program = compile_(square - 1.0, inputs=x, form=form)
    for call in (program, program.value_and_grad):
        with pytest.raises(NotFiniteResult) as caught:
            call([1.0, 1e200])
        assert str(caught.value) == (
            "sample 1: the first value that is not finite is v1 = mul(x, x) = inf, where x = 1e+200 "
            f"[{square.site}]"
        )
        assert caught.value.sample == 1
    assert compile_(square, inputs=x, form=form, finite=False)([1.0, 1e200]).tolist() == [1.0, float("inf")]


def test_a_gradient_that_is_not_finite_is_traced_to_the_local_derivative(form) -> None:
    w, x = Value(2.0, name="w"), Value(2.0, name="x")
    program = compile_((w * x).sqrt(), inputs=x, params=w, form=form)
    with pytest.raises(NotFiniteResult) as caught:
        program.value_and_grad([1.0, 4.0, 0.0])
    assert str(caught.value).startswith(
        "sample 2: the local derivative in v2 is inf at v3 = sqrt(v2) = 0.0, where v2"
    )


# ------------------------------------------------------------------------------ pickles and texts
def test_a_program_goes_through_a_pickle_without_its_values(form) -> None:
    net, x, loss = net_and_loss()
    program = compile_(loss, inputs=x, params=net.parameters(), form=form)
    net.parameters()[0].data = 0.25
    row = [0.5, 1.5, -0.5]
    twin = pickle.loads(pickle.dumps(program))
    assert b"microbp.value" not in pickle.dumps(program)
    assert isinstance(twin, Program)
    assert twin(row) == program(row)
    assert twin.source == program.source
    assert twin.parameters.tolist() == program.parameters.tolist()
    found = twin.value_and_grad(row)
    assert found.gradient.tolist() == program.value_and_grad(row).gradient.tolist()
    for call in (found.add_to_grad, lambda: twin.assign(twin.parameters)):
        with pytest.raises(NoGradientError, match=r"bound to no Values, as after unpickling"):
            call()
    other = MLP(3, [4, 1], activation="tanh", seed=9)
    bound = twin.bind(other.parameters())
    assert bound(row) == pytest.approx(((other(row) - 0.5) ** 2).data, rel=1e-14)
    with pytest.raises(ValueError, match="has 21 parameters; 2 were given"):
        twin.bind(other.parameters()[:2])


def test_a_deep_copy_of_a_program_is_bound_to_copies_of_its_values(form) -> None:
    net, x, loss = net_and_loss()
    constant = Value(2.0, name="c")
    program = compile_(loss * constant, inputs=x, params=net.parameters(), form=form)
    row = [0.5, 1.5, -0.5]
    before = program(row)
    other, together = copy.deepcopy((net, program))
    reverse, again = copy.deepcopy([program, net])
    alone, shallow = copy.deepcopy(program), copy.copy(program)
    for each in net.parameters():
        each.data += 0.5
    assert shallow(row) == program(row) != before
    assert together(row) == reverse(row) == alone(row) == before
    constant.data = 3.0
    with pytest.raises(ValueError, match=r"^c = 3\.0 is a constant of this program and was 2\.0"):
        shallow(row)
    assert alone(row) == before
    together.assign(program.parameters)
    assert [each.data for each in other.parameters()] == [each.data for each in net.parameters()]
    for each in again.parameters():
        each.data += 0.5
    assert reverse(row) == together(row)
    together.value_and_grad(row).add_to_grad()
    assert None not in [each.grad for each in other.parameters()]
    assert {each.grad for each in net.parameters()} == {None}
    alone.assign(program.parameters)
    assert alone(row) == together(row)


def test_a_deep_copy_of_a_program_that_is_bound_to_no_values_has_its_numbers(form) -> None:
    net, x, loss = net_and_loss()
    restored = pickle.loads(pickle.dumps(compile_(loss, inputs=x, params=net.parameters(), form=form)))
    twin = copy.deepcopy(restored)
    assert twin([0.5, 1.5, -0.5]) == restored([0.5, 1.5, -0.5])
    with pytest.raises(NoGradientError, match=r"bound to no Values"):
        twin.assign(twin.parameters)


def test_a_program_says_what_it_is(form) -> None:
    net, x, loss = net_and_loss()
    program = compile_(loss, inputs=x, params=net.parameters(), form=form)
    assert repr(program) == f"Program({form}, (3,) to (), 21 parameters)"
    assert str(program) == program.source
    text = program.describe()
    assert text.startswith(f"{form} form of 35 values: 3 inputs, 21 parameters; ")
    assert "\ncompiled in " in text
    assert repr(program.value_and_grad([1.0, 2.0, 3.0])).endswith(", 21 derivatives, 1 sample)")
    assert program.exact is (form != "matrix")
    runs = {"native": r"one sample runs in C, a batch in \d+ steps, \d products with matrices"}
    other = "one sample runs on Python floats; a batch as matrices in NumPy"
    found = re.search(f"^{runs.get(microbp.engine().name, other)}$", text, re.MULTILINE)
    assert bool(found) is (form == "auto")


def test_a_program_holds_no_graph_of_values() -> None:
    import gc
    import weakref

    class Marked(Value):
        pass

    x = Marked(2.0)
    middle = x * 3.0
    alive = weakref.ref(x)
    program = compile_(middle * x, inputs=x, params=[])
    del x, middle
    gc.collect()
    assert alive() is None
    assert program(2.0) == 12.0


def test_an_unknown_form_is_refused() -> None:
    x = Value(1.0)
    with pytest.raises(ValueError, match="form is 'auto', 'straight', 'matrix' or 'native', not 'fast'"):
        compile_(x * x, inputs=x, form="fast")


def test_history_is_plain_data() -> None:
    assert dataclasses.asdict(microbp.History(engine="replay"))["engine"] == "replay"


# ------------------------------------------------------------------------------- what users give
@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([None, 1.0], r"inputs\[0\] takes a real number, not None"),
        ([[1.0, 2.0], ["3", 4.0]], r"inputs\[1, 0\] takes a real number, not the str '3'"),
        (["1", "2"], r"inputs\[0\] takes a real number, not the str '1'; convert it first"),
        ([1j, 2.0], r"inputs\[0\] takes a real number, not the complex"),
        ([Value(1.0), 2.0], r"a program takes numbers, but inputs\[0\] is Value\(1.0\); microbp.data_of"),
    ],
)
def test_what_is_silently_no_number_is_refused(inputs, text, form) -> None:
    a, b = Value(2.0), Value(3.0)
    with pytest.raises(TypeError, match=text):
        compile_(a * b, inputs=[a, b], form=form)(inputs)


@pytest.mark.parametrize("kind", [float, int, bool, "f4", "f2", "u1", "i2", ">f8", object, list])
def test_numbers_of_every_kind_are_taken(kind, form) -> None:
    a, b = Value(2.0), Value(3.0)
    rows = np.array([[1, 0], [0, 1], [1, 1]])
    given = rows.tolist() if kind is list else rows.astype(kind)
    assert compile_(a + 2.0 * b, inputs=[a, b], form=form)(given).tolist() == [1.0, 2.0, 3.0]


def test_an_out_that_does_not_fit_is_refused(form) -> None:
    w, x = Value(2.0), Value(3.0)
    program = compile_(w * x, inputs=x, params=[w], form=form)
    with pytest.raises(ValueError, match=r"out is a float64 vector of 1 number, such as program\.parameters"):
        program.value_and_grad(1.0, out=np.zeros(2))
    fixed = np.zeros(1)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out cannot be written to"):
        program.value_and_grad(1.0, out=fixed)


def test_a_program_does_not_change() -> None:
    x = Value(3.0)
    program = compile_(x * x, inputs=x)
    for name in ("captured", "finite", "memory", "source", "form", "parameters"):
        with pytest.raises(AttributeError):
            setattr(program, name, None)
    assert program(2.0) == 4.0


@pytest.mark.parametrize("memory", [1, 1e3, np.inf])
def test_the_memory_is_any_number_of_bytes(memory, form) -> None:
    x = Value(3.0)
    program = compile_(x * x, inputs=x, form=form, memory=memory)
    assert program([1.0, 2.0, 3.0]).tolist() == [1.0, 4.0, 9.0]
    assert program.value_and_grad([1.0, 2.0, 3.0], reduce="sum").cost == 14.0


@pytest.mark.parametrize(("memory", "kind"), [(0, ValueError), (-1.0, ValueError), ("1G", TypeError)])
def test_a_memory_of_nothing_is_refused(memory, kind) -> None:
    x = Value(3.0)
    with pytest.raises(kind, match="compile: memory"):
        compile_(x * x, inputs=x, memory=memory)


@pytest.mark.parametrize("what", [3, 3.0, object()])
def test_what_is_no_value_is_refused(what) -> None:
    x = Value(3.0)
    with pytest.raises(TypeError, match=f"compile: inputs is an object of type {type(what).__name__}"):
        compile_(x * x, inputs=what)


def test_names_cannot_break_out_of_their_comments(form) -> None:
    names = ["a\nboom(", "a\rboom(", "a\u2028boom(", "a\0b", "\ud800", "# \\", "'''"]
    w = [Value(0.3 + 0.1 * i, name=f"{name}{i}") for i, name in enumerate(names)]
    x = [Value(0.5 - 0.1 * i, name=name) for i, name in enumerate(names)]
    hidden = []
    for name, weight, given in zip(names, w, x, strict=True):
        with microbp.group(name):
            hidden.append((weight * given + x[0]).tanh())
    cost = sum(hidden) ** 2
    for long in (False, True):
        if long:  # so long that what repeats becomes loops
            for i in range(1001):
                cost = cost * 0.999 + w[0] * 0.001
                cost.name = names[i % 7]
        program = compile_(cost, inputs=x, params=w, form=form)
        assert "boom" not in {*program.functions["value_and_grad"].__code__.co_names}
        gradient = program.value_and_grad([each.data for each in x]).gradient
        for each in w:
            each.grad = None
        cost.backward()
        assert gradient == pytest.approx([each.grad for each in w], rel=1e-12)


def test_compiling_leaves_the_collector_as_it_was() -> None:
    import gc

    x = Value(3.0)
    compile_(x * x, inputs=x)
    with pytest.raises(ValueError, match="was computed"):
        compile_(x * x, inputs=[x * x])
    assert gc.isenabled()


def test_a_program_is_bound_to_leaves_and_keeps_to_its_constants(form) -> None:
    w, k, x = Value(2.0, name="w"), Value(5.0, name="k"), Value(3.0)
    program = compile_(w * x + k, inputs=x, params=[w], form=form)
    other = Value(4.0)
    bound = program.bind([other])
    assert (bound(1.0), program(1.0)) == (9.0, 7.0)
    with pytest.raises(ValueError, match=r"params\[0\], Value\(8.0\), was computed \(mul\(a, b\)\)"):
        program.bind([other * 2.0])
    with pytest.raises(ValueError, match="this program has 1 parameter; 2 were given"):
        program.bind([w, other])
    k.data = 6.0
    with pytest.raises(ValueError, match=r"k = 6\.0 is a constant of this program and was 5\.0"):
        bound(1.0)


# ----------------------------------------------------------------------------- order, memory, graphs
def test_the_vector_has_the_order_of_params_whatever_arrays_are_found(form) -> None:
    a, b, c, d = (Value(x, name=n) for n, x in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True))
    x, y = a * 3.0 - b * 6.0, -c * 2.0 + d * 6.0
    cost = x * x + y * y
    cost.backward()
    for params in ([a, b, c, d], [d, a, c, b], [c, b, a, d]):
        program = compile_(cost, inputs=[], params=params, form=form)
        assert program.parameters.tolist() == [each.data for each in params]
        assert program.value_and_grad([]).gradient.tolist() == [each.grad for each in params]
        other = program.parameters * 2.0
        assert program([], other) == cost.data * 4.0
        assert program.bind(params).parameters.tolist() == program.parameters.tolist()


def test_arrays_that_lie_scattered_in_the_vector_are_gathered(form) -> None:
    W = microbp.array([[1.0, 2.0], [3.0, 5.0]], name="W")
    x = [Value(1.0), Value(-1.0)]
    params = [W[0, 0], W[1, 1], W[0, 1], W[1, 0]]
    cost = np.sum((W @ x) ** 2)
    cost.backward()
    program = compile_(cost, inputs=x, params=params, form=form)
    theta = program.parameters
    for _ in range(2):
        found = program.value_and_grad([1.0, -1.0], theta)
        assert found.gradient.tolist() == [each.grad for each in params]
    if form != "straight":
        views = program.views(theta)
        assert views["W"].tolist() == [[1.0, 2.0], [3.0, 5.0]]
        assert not views["W"].flags.writeable
    theta[1] = 7.0
    assert program([1.0, -1.0], theta) == 1.0 + 16.0


def test_cost_and_gradient_are_taken_apart_as_a_pair(form) -> None:
    w, x = Value(2.0), Value(3.0)
    value, gradient = compile_(w * x, inputs=x, params=[w], form=form).value_and_grad([1.0, 3.0])
    assert (value, gradient.tolist()) == (4.0, [2.0])
    listed = compile_([w * x], inputs=[x], params=[w], form=form).value_and_grad([[1.0], [3.0]])
    assert (listed.cost, listed.costs.tolist(), listed.gradient.tolist()) == (4.0, [2.0, 6.0], [2.0])


def test_results_share_no_memory(form) -> None:
    w, x = Value(0.5), Value(1.0)
    found = compile_((x + w).exp(), inputs=x, params=w, form=form).value_and_grad([1.0, 2.0], wrt_inputs=True)
    assert found.costs == pytest.approx(np.exp([1.5, 2.5]))
    assert found.inputs == pytest.approx(np.exp([1.5, 2.5]) / 2.0)
    for cost in (x * 1.0, x * 1.0 + 0.0 * w, x + 0.0):
        program, rows = compile_(cost, inputs=x, params=w, form=form), np.array([1.0, 2.0])
        values, costs = program(rows), program.value_and_grad(rows).costs
        rows[:] = 0.0
        assert values.tolist() == costs.tolist() == [1.0, 2.0]


def test_out_may_not_be_what_is_read(form) -> None:
    w, x = Value(2.0), Value(3.0)
    program = compile_(w * x, inputs=x, params=[w], form=form)
    theta = program.parameters
    with pytest.raises(ValueError, match=r"out shares memory with theta, .* give np.empty_like\(theta\)"):
        program.value_and_grad(3.0, theta, out=theta)


def test_a_parameter_that_was_frozen_and_takes_a_gradient_now_is_told(form) -> None:
    w, x = Value(2.0, name="w"), Value(3.0)
    w.requires_grad = False
    program = compile_(w * x, inputs=x, params=[w], form=form)
    assert program.value_and_grad(1.0).gradient.tolist() == [0.0]
    w.requires_grad = True
    with pytest.raises(ValueError, match=r"w = 2.0 was frozen when this program was compiled, and takes"):
        program(1.0)


def test_a_sum_of_gradients_beyond_the_largest_float_is_the_same_in_every_form(form) -> None:
    w, x = Value(0.1), Value(1.0)
    program = compile_(w * x, inputs=[x], params=[w], form=form)
    assert program.value_and_grad([[1e308], [1e308]], reduce="sum").gradient.tolist() == [np.inf]


GRAPHS: dict[str, Any] = {
    "a scaled product": lambda W, a, x: a[0] * microbp.dot(list(W[0]), list(x)),
    "a part of a transpose": lambda W, _, x: np.sum(W[:2].T @ np.tanh(W @ x)[:2]),
    "weighted neurons": lambda W, a, x: microbp.dot([1.0, 1.0, 1.0], list(a * (W @ x))),
    "losses of parameters alone": lambda W, a, x: (
        microbp.cross_entropy(list(W[0]), [0.0, 1.0]) + microbp.cross_entropy(list(a), [1.0, 0.0, 0.0]) + x[0]
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_graphs_that_were_wrong_or_crashed(name, samples, form) -> None:
    sizes = (((3, 2), "W"), (3, "a"), (2, "x"))
    W, a, x = (microbp.array(RNG.normal(size=size), name=called) for size, called in sizes)
    params = [*W.ravel(), *a]
    program = compile_(GRAPHS[name](W, a, x), inputs=x, params=params, form=form)
    rows = RNG.normal(size=(samples, 2))
    for each in params:
        each.grad = None
    cost = microbp.sum([GRAPHS[name](W, a, microbp.array(row)) for row in rows])
    cost.backward()
    found = program.value_and_grad(rows, reduce="sum")
    assert found.cost == pytest.approx(cost.data, rel=1e-13)
    assert found.gradient == pytest.approx([each.grad or 0.0 for each in params], rel=1e-12, abs=1e-14)


def test_names_that_differ_by_a_d_are_told_apart(form) -> None:
    params = [Value(2.0, name="dx"), Value(3.0, name="x"), Value(5.0, name="dtheta"), Value(7.0, name="ddx")]
    x = Value(1.0)
    program = compile_(microbp.dot(params, [x, x * x, x + 1.0, 1.0]), inputs=[x], params=params, form=form)
    assert program.value_and_grad([[2.0], [2.0]]).gradient.tolist() == [2.0, 4.0, 3.0, 1.0]
    assert set(program.functions) == {"value", "value_and_grad"}


@pytest.mark.parametrize("length", [1, 101])
def test_a_frozen_parameter_has_gradient_0_where_its_derivative_is_infinite(
    length, form, monkeypatch
) -> None:
    """Also of a graph too long for lines, and for matrices."""
    monkeypatch.setattr(forms, "MOST", 100)
    monkeypatch.setattr(matrix, "MANY", 100)
    w, u, x = Value(0.0, name="w"), Value(1.0, name="u"), Value(1.0, name="x")
    w.requires_grad = False
    y = microbp.sum([w.sqrt() * x, *[u * x] * length])
    for _ in range(length - 1):
        y = y + 0.0
    program = compile_(y, inputs=[x], params=[w, u], form=form)
    for rows in ([[2.0]], [[2.0], [2.0]]):
        assert program.value_and_grad(rows).gradient.tolist() == [0.0, 2.0 * length]
    steep = compile_(u.sqrt() + w.sqrt() * x, inputs=[x], params=[w, u], form=form)
    with pytest.raises(NotFiniteResult, match="the local derivative in u is inf"):
        steep.value_and_grad([1.0], np.array([0.0, 0.0]))


def test_the_usual_call_gives_what_all_others_give_and_refuses_what_they_refuse() -> None:
    """A batch that lies as C reads it takes a shorter way than one that does not: in C with the same bits."""
    x, w = [Value(0.5, "a"), Value(0.25, "b")], [Value(0.3, "u"), Value(-0.7, "v")]
    program = compile_(((x[0] * w[0] + x[1] * w[1]).tanh() - 0.1) ** 2, inputs=x, params=w)
    rng = np.random.default_rng(5)
    rows, theta = rng.normal(size=(37, 2)), program.parameters
    rounding = 0.0 if program.machine else 1e-12  # BLAS rounds a transpose in another way
    for reduce in ("mean", "sum"):
        wanted = program.value_and_grad(rows.tolist(), theta, reduce=reduce)
        apart = np.empty((37, 4))[:, ::2]
        apart[:] = rows
        moved = np.frombuffer(b"." + rows.tobytes(), dtype=float, count=74, offset=1).reshape(37, 2)
        for given in (rows, apart, moved, np.asfortranarray(rows), rows.astype(">f8")):
            for out in (None, np.empty(2), np.empty(4)[::2]):
                found = program.value_and_grad(given, theta, reduce=reduce, out=out)
                same = [pytest.approx(each, rel=rounding, abs=0.0) for each in wanted]
                assert [found.cost, found.gradient] == same
                assert found.costs == pytest.approx(wanted.costs, rel=rounding, abs=0.0)
                assert out is None or found.gradient is out
        unbound = program.value_and_grad(rows, reduce=reduce)
        assert [unbound.cost, unbound.gradient] == same
    fixed, held = np.empty(2), np.ones(74)
    fixed.flags.writeable = False
    for out, told in (
        (fixed, "cannot be written to"),
        (theta, "shares memory with theta"),
        (held[:2], "the inputs"),
    ):
        with pytest.raises(ValueError, match=told):
            program.value_and_grad(held.reshape(37, 2), theta, out=out)
    for shape in ((2, 1), (1, 2), ()):
        with pytest.raises(ValueError, match="vector of 2 numbers"):
            program.value_and_grad(rows, np.ones(shape))
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match="sample 3: the input b is nan"):
        program.value_and_grad(rows, theta)
