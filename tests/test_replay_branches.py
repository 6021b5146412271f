"""Branches that were chosen while recording: a warning, or a check, never silence."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import pytest
from support import here

import microbp
from microbp import Value
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
        "it cannot be checked either, since an operand is no longer there: compile the function"
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
