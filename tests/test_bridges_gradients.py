"""``check_gradients`` of functions of other libraries, as far as that is so without these libraries.

``bench/bridges.py`` has the rest, with PyTorch and JAX.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import microbp
from microbp import check_gradients
from microbp.bridges import need
from microbp.bridges.gradients import weights
from microbp.check.gradients import FOREIGN, Claimed


class Pair:
    """An array of a library that there is not."""

    __module__ = "elsewhere.arrays"

    def __init__(self, *numbers: float) -> None:
        self.numbers = np.array(numbers)


def claimed(function: Any, x: Any, gradient: Any, called: Any) -> Claimed:
    arrays = {called(each, f"x{at}"): each.numbers for at, each in enumerate(x)}
    return Claimed(lambda given: float(function(*given)), arrays, gradient, "elsewhere", ("a note",))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FOREIGN, "elsewhere", claimed)


def product(a: Any, b: Any) -> Any:
    return np.sum(a * b)


@pytest.mark.usefixtures("elsewhere")
def test_each_input_has_its_rows() -> None:
    a = Pair(1.0, 2.0)
    wrong = [np.array([3.0, 4.0]), np.array([1.0, 2.5])]
    report = check_gradients(product, (a, Pair(3.0, 4.0)), gradient=wrong, show=False)
    assert [(row.name, row.claimed, round(row.numerical, 6), row.verdict) for row in report.rows] == [
        ("a[0]", 3.0, 3.0, "agree"), ("a[1]", 4.0, 4.0, "agree"),
        ("x1[0]", 1.0, 1.0, "agree"), ("x1[1]", 2.5, 2.0, "DISAGREE"),
    ]  # fmt: skip
    assert str(report).startswith("check_gradients(loss = 11): 3 agree, 1 DISAGREE\n\nname     elsewhere ")
    assert str(report).rstrip().endswith("a note")


@pytest.mark.usefixtures("elsewhere")
def test_gradients_that_do_not_fit_are_told() -> None:
    x = (Pair(1.0, 2.0), Pair(3.0, 4.0))
    with pytest.raises(ValueError, match=r"^the gradient has the shape \(2,\), the array \(2,\) and \(2,\)$"):
        check_gradients(product, x, gradient=[np.zeros(2)])
    with pytest.raises(ValueError, match=r"the shape \(2,\) and \(3,\), the array \(2,\) and \(2,\)$"):
        check_gradients(product, x, gradient=[np.zeros(2), np.zeros(3)])


@pytest.mark.parametrize(
    ("function", "x", "gradient", "text"),
    [
        (np.sum, None, np.ones_like, "^the array is None: .* takes a function of one array"),
        (np.sum, [1j], np.ones_like, r"^the array is \[1j\]: "),
        (np.sum, [1.0], lambda x: x + 0j, "^the gradient is array"),
        (np.sum, [1.0], np.ndarray.sort, "^the gradient is None: .* an array of real numbers"),
        (np.square, [1.0, 2.0], np.ones_like, r"^the function returned array\(\[1\., 4\.\]\): "),
        (np.ndarray.sort, [1.0], np.ones_like, "^the function returned None: "),
        (lambda x: x.sum(), [1.0], None, r"^missing .*'x': .* without arguments.*f, x, gradient=g\)$"),
    ],
)
def test_what_is_no_function_of_an_array_is_told(function: Any, x: Any, gradient: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        check_gradients(function, x, gradient=gradient)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_missing_library_is_told(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    tensor = type("Tensor", (), {"__module__": f"{library}.somewhere"})()
    for x in (tensor, (1.0, tensor), {"a": [tensor]}):
        with pytest.raises(ImportError, match=rf"pip install 'microbp\[{library}\]'$"):
            check_gradients(lambda x: x, x)


def test_onnx_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda: microbp.from_onnx("net.onnx"), lambda: microbp.to_onnx(microbp.MLP(1, [1]))):
        with pytest.raises(ImportError) as caught:
            call()
        assert str(caught.value) == "this needs onnx, which is not installed: pip install 'microbp[onnx]'"


def test_a_library_that_is_there_and_lacks_one_of_its_own_says_so(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_there.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'not_there_at_all'"):
        need("half_there", "onnx")


def test_weights_tell_all_elements_apart() -> None:
    found = weights((4, 5))
    assert len({*np.abs(found).ravel().tolist()}) == 20
    assert np.abs(found).min() > 0.5
    assert (found < 0.0).any()
    assert (found > 0.0).any()


# --------------------------------------------------------------------------------- single precision
def single(x: Any) -> Any:
    return np.sum(np.tanh(x.astype(np.float32)) * np.float32(0.3))


def slope(x: Any) -> Any:
    return 0.3 * (1.0 - np.tanh(x) ** 2)


@pytest.mark.parametrize("seed", range(5))
def test_a_function_of_single_precision_is_judged_by_what_can_be_known(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=8)
    right = check_gradients(single, x, gradient=slope, show=False)
    assert right.ok
    assert right.counts["agree"] >= 6
    assert "the function gives no more than single precision: what agrees is known to a percent" in str(right)
    wrong = check_gradients(single, x, gradient=lambda x: slope(x) * 1.05, show=False)
    assert wrong.counts["DISAGREE"] >= 6


@pytest.mark.parametrize("precision", [np.float32, np.float16])
@pytest.mark.parametrize("offset", [0.0, 1000.0, 1e4])
def test_single_precision_is_seen_where_a_float_is_returned(precision: Any, offset: float) -> None:
    """It may stand still, or move by whole steps, where the derivative is not 0 at all."""
    x = np.random.default_rng(1).normal(size=8)
    within = check_gradients(
        lambda x: float(precision(np.sum(np.tanh(x)) * 0.3 + offset)), x, gradient=slope, show=False
    )
    assert within.ok
    (note,) = within.notes
    assert note.startswith("the function gives no more than single precision: ")
    constant = check_gradients(lambda _: 5.0, x, gradient=np.full(8, 0.1), show=False)
    assert constant.counts == {"DISAGREE": 8}
