"""``microbp.minimize``: SciPy's minimisers on a replayed cost, and standard errors from the exact Hessian."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit, rosen, rosen_der, rosen_hess
from support import at_once

import microbp
from microbp import MLP, Value, exp, minimize

T = np.linspace(0.0, 4.0, 25)
Y = 2.0 * np.exp(-0.7 * T) + 0.3 + np.random.default_rng(1).normal(0.0, 0.05, 25)


def decay(start: float = 1.0) -> tuple[list[Value], Any]:
    """Three parameters, and the squared residual of a sample."""
    a, b, c = params = [Value(start, "a"), Value(start, "b"), Value(0.0, "c")]
    return params, lambda t, y: (a * exp(-b * t) + c - y) ** 2


@pytest.mark.parametrize(
    "method",
    ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "Newton-CG", "trust-ncg", "trust-exact", "trust-constr"],
)
def test_every_method_finds_what_curve_fit_finds(method: str) -> None:
    params, loss = decay()
    found = minimize(loss, params, (T, Y), method=method, squares=25, tol=1e-11)
    theirs, covariance = curve_fit(lambda t, a, b, c: a * np.exp(-b * t) + c, T, Y, [1.0, 1.0, 0.0])
    assert list(found.parameters) == ["a", "b", "c"]
    assert np.allclose([*found.parameters.values()], theirs, atol=1e-5)
    assert [each.data for each in params] == [*found.parameters.values()]
    # theirs is that of the linearised model, which leaves out the second derivatives of the residuals
    assert np.allclose([*found.standard_errors.values()], np.sqrt(np.diag(covariance)), rtol=0.05)


def test_the_hessian_is_exact() -> None:
    x = [Value(each, f"x{place}") for place, each in enumerate([0.3, -1.2, 0.8])]

    def rosenbrock() -> Any:
        return microbp.sum([100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2 for i in range(2)])

    found = minimize(rosenbrock, x, options={"maxiter": 3})
    assert not found.converged
    point = np.array([*found.parameters.values()])
    assert found.cost == pytest.approx(rosen(point), rel=1e-13)
    assert np.allclose(found.gradient, rosen_der(point), rtol=1e-12)
    assert np.allclose(found.hessian, rosen_hess(point), rtol=1e-14)
    assert "NOT FOUND" in str(found)


@pytest.mark.parametrize("order", [1, -1])
def test_each_sample_has_the_second_derivatives_of_its_own_branch(order: int) -> None:
    s, k = Value(1.0, "s"), Value(0.9, "k")
    x = np.linspace(-2.0, 2.0, 41)[::order]
    y = 1.5 * np.maximum(0.0, x - 0.33)  # no residual is left, which would tell the branches apart
    found = minimize(lambda x, y: (s * (x - k).relu() - y) ** 2, [s, k], (x, y), tol=1e-14)
    on = x[x > k.data]
    right = [[np.sum((on - k.data) ** 2), -np.sum(s.data * (on - k.data))],
             [-np.sum(s.data * (on - k.data)), s.data**2 * len(on)]]  # fmt: skip
    assert np.allclose(found.hessian, 2.0 * np.array(right), rtol=1e-6)


def test_a_likelihood_has_the_inverse_hessian() -> None:
    draws = np.random.default_rng(0).normal(3.0, 2.0, 400)
    mean, spread = Value(0.0, "mean"), Value(1.0, "spread")
    found = minimize(lambda x: spread.log() + 0.5 * ((x - mean) / spread) ** 2, [mean, spread], draws,
                     bounds={"spread": (1e-3, None)}, tol=1e-13)  # fmt: skip
    assert found.parameters["mean"] == pytest.approx(draws.mean(), abs=1e-5)
    assert found.parameters["spread"] == pytest.approx(draws.std(), abs=1e-5)
    assert found.standard_errors["mean"] == pytest.approx(draws.std() / 20.0, rel=1e-4)
    assert found.standard_errors["spread"] == pytest.approx(draws.std() / np.sqrt(800.0), rel=1e-4)
    assert "as of a negative log-likelihood" in str(found)


def test_a_bound_is_kept_and_has_no_standard_error() -> None:
    params, loss = decay()
    found = minimize(loss, params, (T, Y), bounds=[None, (0.8, 5.0), (None, None)], squares=25)
    assert found.parameters["b"] == 0.8
    assert found.standard_errors["b"] is None
    assert found.standard_errors["a"] is not None
    assert str(found).splitlines()[-1] == "at a bound, and left out of the Hessian: b"


@pytest.mark.parametrize(("center", "held"), [(-1.0, True), (1.0, False)])
def test_an_interior_point_method_ends_beside_a_bound(center: float, held: bool) -> None:
    a = Value(2.0, "a")
    data = center + np.array([-1.0, 0.0, 1.0])
    told = {"bounds": [(0.0, None)], "method": "trust-constr", "squares": 3}
    found = minimize(lambda x: (a - x) ** 2, [a], data, **told)
    assert found.parameters["a"] == pytest.approx(max(center, 0.0), abs=1e-2)
    assert (found.standard_errors["a"] is None) == held == ("at a bound" in str(found))


def test_constraints_leave_no_standard_errors() -> None:
    a = Value(2.0, "a")
    above = {"type": "ineq", "fun": lambda theta: theta[0] - 1.0}
    found = minimize(lambda: (a + 1.0) ** 2, [a], method="SLSQP", constraints=[above], squares=np.int64(3))
    assert found.parameters["a"] == pytest.approx(1.0)
    assert found.standard_errors == {"a": None}
    assert "the Hessian does not tell what the constraints leave open" in str(found)


def test_a_branch_that_samples_do_not_share_is_refused_not_fitted() -> None:
    a, b = Value(1.0, "a"), Value(2.0, "b")
    x = np.linspace(0.0, 1.0, 5)
    with pytest.raises(microbp.BranchChanged, match="sample 3 goes another way"):
        minimize(lambda x: ((a if x > 0.5 else b) * x - 3.0) ** 2, [a, b], x)
    assert (a.data, b.data) == (1.0, 2.0)
    shared = minimize(lambda x: ((a if x >= 0.0 else b) * x - 3.0 * x) ** 2 + (b - 1.0) ** 2, [a, b], x)
    assert shared.parameters == pytest.approx({"a": 3.0, "b": 1.0}, abs=1e-4)


def test_a_flat_cost_says_that_it_tells_nothing() -> None:
    a, b = Value(1.0, "a"), Value(1.0, "b")
    found = minimize(lambda x: (a + b - x) ** 2, [a, b], np.array([1.0, 3.0, 5.0]), squares=3)
    assert found.standard_errors == {"a": None, "b": None}
    assert "no minimum, or a flat one: the smallest eigenvalue of the Hessian is" in str(found)
    few = minimize(lambda x: (a - x) ** 2, [a], np.array([1.0, 3.0]), squares=1)
    assert "1 squared residuals do not tell how large they are beside 1 parameters" in str(few)


def test_data_come_by_name_or_as_one_array_of_rows() -> None:
    results = []
    for data in (pd.DataFrame({"y": Y, "t": T, "note": "x"}), {"t": T.tolist(), "y": Y}, (T, Y)):
        params, _ = decay()
        a, b, c = params
        results.append(minimize(lambda t, y: (a * exp(-b * t) + c - y) ** 2, params, data).parameters)  # noqa: B023
    params, _ = decay()
    a, b, c = params
    rows = np.stack([T, Y], axis=1)
    results.append(minimize(lambda row: (a * exp(-b * row[0]) + c - row[1]) ** 2, params, rows).parameters)
    assert results.count(results[0]) == 4


def test_a_module_has_its_parameters_by_path() -> None:
    net = MLP(1, [2, 1], activation="tanh", seed=3)
    found = minimize(lambda x, y: (net([x]) - y) ** 2, net, (T, Y), squares=25)
    assert list(found.parameters) == list(net.named_parameters())
    assert found.cost < 0.1
    assert net([T[0]]).data == pytest.approx(Y[0], abs=0.3)


def test_the_result_is_plain_data() -> None:
    params, loss = decay()
    found = minimize(loss, params, (T, Y), squares=25)
    params[0].data = 0.0  # what has been found stays what it was
    again = pickle.loads(pickle.dumps(found))
    assert str(again) == str(found)
    assert found.table().columns == ("parameter", ">value", ">standard error")
    assert repr(found).startswith("Minimum(cost=0.0")


def test_an_error_leaves_the_parameters_where_they_were() -> None:
    a = Value(2.0, "a")
    with pytest.raises(microbp.UndefinedOperation, match="log"):
        minimize(lambda: a.log() * a.log() + 5.0 * a, [a])  # its slope leads below 0
    assert a.data == 2.0


def _wrong(**changes: Any) -> Any:
    params, loss = decay()
    return minimize(**{"loss": loss, "params": params, "data": (T, Y), **changes})


@at_once(
    [
        ({"method": "L-BFGS"}, "no method with gradients is called 'L-BFGS'; did you mean 'L-BFGS-B'?"),
        ({"method": "BFGS", "bounds": {"b": (0, 1)}}, "BFGS takes no bounds; those that do are L-BFGS-B"),
        ({"constraints": []}, "L-BFGS-B takes no constraints; those that do are SLSQP, trust-constr"),
        ({"maxiter": 3}, r"maxiter is no argument of SciPy's .*; options=\{'maxiter': 3\} if the method"),
        ({"jac": True}, "jac is no argument of SciPy's that can be given here"),
        ({"bounds": {"bb": (0, 1)}}, "no parameter is called 'bb'; did you mean 'b'?"),
        ({"bounds": [(0, 1)]}, "there are 3 parameters, but 1 bounds"),
        ({"bounds": {"b": 3.0}}, r"the bounds of b are a pair, \(low, high\), not 3.0"),
        ({"bounds": {"b": (2, 3)}}, r"b starts at 1, outside of its bounds \(2, 3\)"),
        ({"bounds": {"b": (3, 0)}}, r"the bounds of b are a pair, \(low, high\), not \(3, 0\)"),
        ({"bounds": {"b": ("low", 0)}}, r"the bounds of b are a pair, \(low, high\), not \('low', 0\)"),
        ({"squares": True}, "squares is how many squared residuals there are, not True"),
        ({"squares": 0}, "squares is how many squared residuals there are, not 0"),
        ({"data": T}, "data has 1 array, one for each argument of loss, but: missing a required"),
        ({"data": None}, "data has 0 arrays, one for each argument of loss, but: missing"),
        ({"data": (T, Y[:3])}, r"an entry for each sample, but the shapes \(25,\), \(3,\)"),
        ({"data": (T, np.where(T > 3.9, np.nan, Y))}, r"array 1 of data is nan at \[24\]"),
        ({"data": {"t": T}}, "loss takes y, which is not in the data; it has t"),
        ({"params": [Value(1.0, "a"), Value(2.0, "a")]}, "two parameters are called 'a'; give a dict"),
        ({"params": [Value(np.nan, "a")]}, "minimize: a starts at nan"),
        ({"params": []}, "minimize: there are no parameters"),
        ({"params": [Value(1.0) + 1.0]}, "computed by add.*, not a leaf"),
        ({"loss": lambda t, y: [t * y]}, r"loss returns one Value for a sample, not an array of shape \(1,"),
        ({"loss": Value(1.0)}, "loss is a function that computes the loss of a sample, not Value"),
    ]
)  # fmt: skip
def test_what_does_not_fit_is_told(changes: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        _wrong(**changes)


def test_a_frozen_parameter_is_refused() -> None:
    params, loss = decay()
    params[1].requires_grad = False
    with pytest.raises(ValueError, match="minimize: b is frozen"):
        minimize(loss, params, (T, Y))


def test_a_missing_scipy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r"pip install 'microbp\[scipy\]'"):
        _wrong()
