"""Branches that were chosen while recording: a warning, or a check, never silence."""

from __future__ import annotations

import math
import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest
from support import here

import microbp
from microbp import MLP, Value
from microbp.errors import BranchChanged, BranchWarning
from microbp.replay import compile as compile_


def leaky(x: Any, w: Any) -> Any:
    h = w * x
    if h > 0.0:
        return h
    return h * 0.1


LINE = here(5)  # of the comparison


def test_compiling_a_function_with_a_branch_warns_with_operands_line_and_cure() -> None:
    w = Value(2.0, name="w")
    program = compile_(lambda x: leaky(x, w))
    with pytest.warns(BranchWarning) as caught:
        assert program(3.0) == 6.0
    line = here(1)
    [warning] = caught
    assert str(warning.message) == (
        "compile: a branch was chosen while the graph was recorded, and the program will always keep to it: "
        f"Value(6.0) > 0.0 is True [{LINE}]. Keep it in the graph with relu, maximum, minimum, clip or "
        "select(c, a, b); or compile with checked=True, which raises where a sample would have gone the "
        "other way"
    )
    assert f"{warning.filename}:{warning.lineno}" == line
    assert program(-3.0) == -6.0  # the frozen branch: the eager function gives -0.6


def test_a_branch_is_seen_behind_another_compiled_function_that_is_gone_by_then() -> None:
    w = Value(2.0, name="w")

    def function(x: Any) -> Any:
        compile_(lambda z: z * w).program(1.0)
        return leaky(x, w)

    with pytest.warns(BranchWarning, match=re.escape(f"Value(6.0) > 0.0 is True [{LINE}]")):
        assert compile_(function)(3.0) == 6.0


@pytest.mark.parametrize("form", ["straight", "matrix"])
def test_a_checked_program_raises_where_a_sample_would_have_gone_the_other_way(form) -> None:
    w = Value(2.0, name="w")
    program = compile_(lambda x: leaky(x, w), checked=True, form=form)
    assert program(3.0) == 6.0
    assert program.batched([1.0, 2.0]).tolist() == [2.0, 4.0]
    text = (
        f"sample 1 goes another way than the recorded one: there Value(6.0) > 0.0 is True [{LINE}], "
        "here it is -8.0 > 0.0"
    )
    for call in (program.batched, program.batched.value_and_grad):
        with pytest.raises(BranchChanged) as caught:
            call([1.0, -4.0, -5.0])
        assert str(caught.value) == text
    w.data = -2.0  # the parameters decide, too
    with pytest.raises(BranchChanged, match="sample 0 goes another way"):
        program(1.0)


def test_a_checked_program_stays_so_through_a_pickle() -> None:
    w = Value(2.0, name="w")
    program = pickle.loads(pickle.dumps(compile_(lambda x: leaky(x, w), checked=True).program(3.0)))
    assert "\nchecked: Value(6.0) > 0.0 is True [" in program.describe()
    with pytest.raises(BranchChanged):
        program([-1.0])


@pytest.mark.parametrize("sample", [1.0, float("nan")])
def test_a_nan_takes_the_side_that_python_gives_it(sample: float) -> None:
    x = Value(2.0, name="x")
    y = x * 1.0 if x < 3.0 else x * 2.0
    program = compile_(y, inputs=x, checked=True, finite=False)
    if sample == 1.0:
        assert program(sample) == 1.0
    else:
        with pytest.raises(BranchChanged):
            program(sample)


def test_a_recorded_graph_remembers_its_comparisons() -> None:
    a, x = Value(1.0, name="a"), Value(3.0, name="x")
    h = a * x
    y = h * 2.0 if h < x * 2.0 else h
    line = here(1)
    with pytest.warns(BranchWarning) as caught:
        compile_(y, inputs=x, params=a)
    assert f"Value(3.0) < 6.0 is True [{line}]" in str(caught[0].message)
    # The other side was not kept by anyone, so that it cannot be compared again.
    assert str(caught[0].message).endswith(
        "it cannot be checked either, since an operand is not in the graph, or no longer: compile "
        "the function, with what it depends on in params="
    )
    with pytest.warns(BranchWarning, match="cannot be checked either"):
        compile_(y, inputs=x, params=a, checked=True)
    kept = x * 2.0
    z = h * 2.0 if h < kept else h
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BranchWarning)
        checked = compile_([z + kept], inputs=x, params=a, checked=True)
    assert checked(1.0).tolist() == [4.0]
    with pytest.raises(BranchChanged, match=r"there Value\(3.0\) < Value\(6.0\) is True"):
        checked(-1.0)


def test_many_comparisons_of_a_line_make_one_warning() -> None:
    ws = [Value(float(i), name=f"w{i}") for i in range(5)]
    program = compile_(lambda x: sum((leaky(x, w) for w in ws), start=0.0))
    with pytest.warns(BranchWarning) as caught:
        program(1.0)
    [warning] = caught
    assert "Value(0.0) > 0.0 is False" in str(warning.message)
    assert "(and 4 more at this line)" in str(warning.message)


def test_python_s_own_max_is_a_branch_and_microbp_s_is_none() -> None:
    def largest(x: Any) -> Any:
        return max(x[0], x[1]) * 1.0

    def in_the_graph(x: Any) -> Any:
        return microbp.maximum(x[0], x[1]) * 1.0

    with pytest.warns(BranchWarning, match=r"x\[1\] = 2.0 > x\[0\] = 1.0 is True"):
        compile_(largest)([1.0, 2.0])
    assert compile_(in_the_graph)([1.0, 2.0]) == 2.0


def test_comparisons_of_constants_and_of_results_do_not_warn() -> None:
    c, x = Value(0.5, name="c").detach(), Value(2.0, name="x")
    loss = x * c if c < 1.0 else x
    assert not loss < 0.5  # as in `if loss < 0.5: break`
    assert compile_(loss, inputs=x)(4.0) == 2.0


def test_an_unused_input_that_was_compared_is_known() -> None:
    x, w = Value(2.0, name="x"), Value(3.0, name="w")
    y = w * 2.0 if x > 0.0 else w * 3.0
    with pytest.warns(BranchWarning, match="x = 2.0 > 0.0 is True"):
        compile_(y, inputs=x, params=w)


# ------------------------------------------------------------------------- numbers that leave the graph
def doubled_until(x: Any) -> Any:
    while x.data < 100.0:
        x = x * 2.0
    return x


def unrecorded(x: Any) -> Any:
    with microbp.no_grad():
        twice = x * 2.0
    return x * twice


#: Functions, a sample, and another one that they would treat differently.
LEAVING: dict[str, tuple[Any, Any, Any]] = {
    "data": (lambda x: x**3 if x.data > 1.0 else x**2, 2.0, 0.5),
    "detach": (lambda x: x * x.detach(), 2.0, 3.0),
    "a function of data": (lambda x: x * math.exp(x.data), 2.0, 3.0),
    "a loop": (doubled_until, 2.0, 90.0),
    "a gradient": (lambda x: x * microbp.grad(x**3, x), 2.0, 3.0),
    "an index": (lambda x: x[int(np.argmax(microbp.data_of(x)))] * 2.0, [1.0, 2.0], [2.0, 1.0]),
    "no_grad": (unrecorded, 2.0, 3.0),
    "equality": (lambda x: x * 2.0 if x == 1.0 else x * 3.0, 2.0, 1.0),
    "inequality": (lambda x: x * 2.0 if x != 1.0 else x * 3.0, 2.0, 1.0),
}


@pytest.mark.parametrize("kind", LEAVING)
def test_a_number_that_leaves_the_graph_warns_and_is_checked(kind: str) -> None:
    function, sample, other = LEAVING[kind]
    with pytest.warns(BranchWarning) as caught:
        compile_(function)(sample)
    told = "a branch was chosen" if "equality" in kind else "a number was taken out of the graph"
    assert told in str(caught[0].message)
    assert f"{__file__}:" in str(caught[0].message)
    checked = compile_(function, checked=True)
    assert np.allclose(checked(sample), microbp.data_of(function(as_values(sample))))
    with pytest.raises(BranchChanged):
        checked(other)


def as_values(sample: Any) -> Any:
    return microbp.array(sample) if isinstance(sample, list) else Value(sample)


def test_what_is_said_of_a_number() -> None:
    traced = compile_(lambda x: x * x.detach(), checked=True)
    line = here(1)
    traced(2.0)
    text = (
        "sample 0 gives another number than the recorded one, which was used as such: "
        f"x = 2.0 [{line}], here it is 3.0"
    )
    with pytest.raises(BranchChanged, match=re.escape(text)):
        traced(3.0)


def test_nobody_else_pays_and_the_library_itself_takes_nothing_out() -> None:
    data = vars(Value)["data"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = MLP(2, [3, 1], seed=0)
        compile_(lambda x: microbp.softmax([net(x), x[0]])[0] * x[1])([1.0, 2.0])
    assert vars(Value)["data"] is data
    assert Value(1.0) != Value(1.0)


def test_a_comparison_of_what_is_not_in_the_graph_is_seen() -> None:
    x, w = Value(2.0, name="x"), Value(3.0)
    y = w * x if x - 1.0 > 0.0 else w
    with pytest.warns(BranchWarning, match=r"1.0 > 0.0 is True .* cannot be checked either"):
        compile_(y, inputs=x, params=w)


def test_numbers_of_parameters_that_nothing_else_uses_leave_the_graph_too() -> None:
    w, k = Value(2.0, name="w"), Value(3.0, name="k")
    inner = compile_(k * w, inputs=[k])
    for taking, told in (
        (lambda x: x * w.data, "w = 2.0"),
        (lambda x: x * float(inner([5.0])), "w = 2.0"),  # of a program its parameters
        (lambda x: x if w > 0.0 else -x, "w = 2.0 > 0.0 is True"),
    ):
        with pytest.warns(BranchWarning, match=f"{told} .* cannot be checked either"):
            assert compile_(taking).value_and_grad(1.0).gradient.size == 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile_(taking, params=[])(1.0)  # now it is a constant


def test_derivatives_that_are_read_while_tracing_leave_the_graph() -> None:
    def slope(x: Value) -> Value:
        (x * x).backward()
        return x * x.grad

    with pytest.warns(BranchWarning, match="a number was taken out"):
        assert compile_(slope)(3.0) == 18.0
    checked = compile_(slope, checked=True)
    assert checked(3.0) == 18.0
    with pytest.raises(BranchChanged):
        checked(1.0)
