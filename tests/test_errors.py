"""The exception classes: what catches what, and what an UndefinedOperation carries."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
from support import at_once

import microbp
from microbp import BranchError, MicrobpError, NoGradientError, RuleError, UndefinedOperation, Value, errors
from microbp.errors import (
    BranchChanged,
    BranchWarning,
    GrowingGraphWarning,
    NotFiniteResult,
    NotLoaded,
    StaleProgram,
    TooManyValues,
)  # fmt: skip

KINDS = {
    RuleError: (ValueError,),
    UndefinedOperation: (ArithmeticError, ValueError),
    BranchError: (TypeError,),
    NoGradientError: (RuntimeError,),
    BranchChanged: (RuntimeError,),
    NotFiniteResult: (FloatingPointError,),
    NotLoaded: (ValueError,),
    StaleProgram: (ValueError,),
    TooManyValues: (ValueError,),
}


def test_every_class_of_the_module_is_exported_and_public() -> None:
    classes = {name for name, each in vars(errors).items() if inspect.isclass(each)}
    assert classes == set(errors.__all__) == {
        "MicrobpError", "BranchWarning", "GrowingGraphWarning", "NotSavedWarning",
        *(kind.__name__ for kind in KINDS),
    }  # fmt: skip
    for name in errors.__all__:
        assert getattr(microbp, name) is getattr(errors, name)


@at_once(KINDS)
def test_each_is_microbp_s_own_and_of_the_standard_kind(kind: type[Exception]) -> None:
    assert issubclass(kind, MicrobpError)
    for standard in KINDS[kind]:  # type: ignore[index]
        assert issubclass(kind, standard)


def test_python_s_own_arithmetic_errors_are_caught_by_the_names_people_know() -> None:
    with pytest.raises(ArithmeticError):
        Value(1.0) / 0.0
    with pytest.raises(ValueError, match="log"):
        Value(-1.0).log()


def test_an_undefined_operation_carries_its_data() -> None:
    a, b = Value(-8.0, name="a"), Value(1 / 3, name="b")
    with pytest.raises(UndefinedOperation) as caught:
        a**b
    error = caught.value
    assert (error.rule, error.numbers) == ("pow", (-8.0, 1 / 3))
    line = inspect.currentframe().f_lineno - 3  # type: ignore[union-attr]
    assert error.site == f"{__file__}:{line}"
    assert error.__cause__ is None
    assert error.__suppress_context__  # Python's "math domain error" adds nothing


@pytest.mark.parametrize(
    "twin", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_an_undefined_operation_survives_copying_and_pickling(twin) -> None:
    error = UndefinedOperation("no value", "pow", (0.0, -1.0), "a.py:3")
    again = twin(error)
    assert type(again) is UndefinedOperation
    assert (str(again), again.rule, again.numbers, again.site) == ("no value", "pow", (0.0, -1.0), "a.py:3")


def test_a_result_that_is_not_finite_carries_its_sample() -> None:
    error = NotFiniteResult("sample 3: it is inf", 3)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.sample) == ("sample 3: it is inf", 3)


@pytest.mark.parametrize("kind", [BranchWarning, GrowingGraphWarning])
def test_a_warning_is_the_user_s_affair(kind: type[Warning]) -> None:
    assert issubclass(kind, UserWarning)
    assert not issubclass(kind, MicrobpError)
