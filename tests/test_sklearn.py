"""``microbp.sklearn``: estimators that pass scikit-learn's own checks, and learn what its nets learn."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import microbp
from microbp.sklearn import MLPClassifier, MLPRegressor, ValueRegressor

#: One of its checks asks for the array API of SciPy, which a variable switches on before SciPy is imported.
CHECKS = """
import json, sys
from sklearn.utils.estimator_checks import check_estimator
from microbp.sklearn import MLPClassifier, MLPRegressor, ValueRegressor

small = {"hidden_layer_sizes": (4,), "learning_rate_init": 0.1, "max_iter": 20}
for made in (MLPClassifier(**small), MLPRegressor(**small), ValueRegressor()):
    done = check_estimator(made, on_fail=None, on_skip=None)
    print(json.dumps([[each["check_name"], each["status"], repr(each["exception"])] for each in done]))
"""


def test_scikit_learns_own_checks_pass() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECKS], capture_output=True, text=True, check=False,
        env={**os.environ, "SCIPY_ARRAY_API": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    estimators = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(estimators) == 3
    for done in estimators:
        assert len(done) > 45
        assert [each for each in done if each[1] != "passed"] == []


def fits(library: Any, seed: int) -> Any:
    net = library.MLPClassifier((20,), max_iter=40, learning_rate_init=0.01, random_state=seed)
    return make_pipeline(StandardScaler(), net)


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
def test_a_net_learns_what_scikit_learns_net_learns(load: Any) -> None:
    X, y = load(return_X_y=True)
    with pytest.warns(Warning, match="hasn't converged yet"):
        theirs = cross_val_score(fits(neural_network, 0), X, y, cv=3)
    ours = cross_val_score(fits(microbp.sklearn, 0), X, y, cv=3)
    assert ours.mean() > theirs.mean() - 0.03


def test_a_grid_is_searched_in_a_pipeline_over_a_frame() -> None:
    frame = load_iris(as_frame=True)
    X, y = frame.data, frame.target_names[frame.target]
    net = make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=60, random_state=0))
    grid = {"mlpclassifier__activation": ["tanh", "logistic", "silu"],
            "mlpclassifier__learning_rate_init": [1e-4, 0.05]}  # fmt: skip
    search = GridSearchCV(net, grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.93
    assert search.best_params_["mlpclassifier__learning_rate_init"] == 0.05
    best = search.best_estimator_[-1]
    assert best.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert len(best.loss_curve_) == best.n_iter_ == 60
    assert best.history_.engine == "replay"
    assert set(search.predict(X[:5])) == {"setosa"}


def test_what_is_learned_is_a_net_of_values() -> None:
    X, y = load_iris(return_X_y=True)
    made = MLPClassifier((3,), max_iter=5, random_state=0).fit(X, y)
    logits = made.net_(X[0].tolist())
    assert np.allclose(microbp.data_of(microbp.softmax(logits)), made.predict_proba(X[:1])[0], rtol=1e-12)
    assert np.allclose(made.predict_proba(X).sum(axis=1), 1.0)
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(again.predict_proba(X), made.predict_proba(X))
    assert np.array_equal(clone(made).fit(X, y).predict_proba(X), made.predict_proba(X))
    two = MLPClassifier((3,), max_iter=5, random_state=0).fit(X[:100], y[:100])
    assert two.predict_proba(X[:2]).shape == (2, 2)


def test_early_stopping_keeps_what_was_best() -> None:
    X, _ = load_iris(return_X_y=True)
    y = np.random.default_rng(0).integers(0, 2, len(X))  # there is nothing to learn
    made = MLPClassifier((8,), early_stopping=True, learning_rate_init=0.1, n_iter_no_change=3,
                         validation_fraction=0.3, random_state=0).fit(X, y)  # fmt: skip
    assert made.history_.stopped == "patience"
    assert made.history_.kept == "best"
    assert made.n_iter_ < 200


def test_several_targets_are_several_outputs() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    Y = np.stack([X[:, 0], X[:, 1] * X[:, 2]], axis=1)
    made = MLPRegressor((15,), "tanh", learning_rate_init=0.05, random_state=0).fit(X, Y)
    assert made.predict(X).shape == (60, 2)
    assert made.score(X, Y) > 0.9
    assert made.fit(X, Y[:, 0]).predict(X).shape == (60,)


def growth(x: Any, capacity: Any, rate: Any, w: Any) -> Any:
    """A logistic curve in the first feature, and a sum of the others."""
    return capacity / (1.0 + microbp.exp(-rate * x[0])) + np.sum(w * x[1:])


def test_a_formula_of_ones_own_is_an_estimator() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 3)), columns=["t", "a", "b"])
    y = 5.0 / (1.0 + np.exp(-2.0 * X["t"])) + 0.5 * X["a"] - X["b"] + rng.normal(0.0, 0.1, 80)
    made = ValueRegressor(growth, {"capacity": 1.0, "rate": 1.0, "w": np.zeros(2)}).fit(X, y)
    assert made.params_["capacity"] == pytest.approx(5.0, abs=0.1)
    assert made.params_["rate"] == pytest.approx(2.0, abs=0.2)
    assert made.params_["w"] == pytest.approx([0.5, -1.0], abs=0.05)
    assert [*made.minimum_.standard_errors] == ["capacity", "rate", "w.0", "w.1"]
    assert made.minimum_.standard_errors["capacity"] == pytest.approx(0.02, abs=0.01)
    assert made.score(X, y) > 0.99
    assert np.array_equal(pickle.loads(pickle.dumps(made)).predict(X), made.predict(X))
    grid = GridSearchCV(made, {"bounds": [None, {"rate": (0.0, 1.0)}]}, cv=3).fit(X, y)
    assert grid.best_params_ == {"bounds": None}


def test_without_a_formula_it_is_linear_regression() -> None:
    X, y = load_diabetes(return_X_y=True)
    ours, theirs = ValueRegressor(tol=1e-12).fit(X, y / 100.0), LinearRegression().fit(X, y / 100.0)
    assert np.allclose(ours.params_["w"], theirs.coef_, rtol=1e-3, atol=1e-3)
    assert np.allclose(ours.predict(X), theirs.predict(X), atol=1e-4)


def test_what_does_not_fit_is_told() -> None:
    X, y = [[0.0], [1.0]], ["a", "a"]
    ragged = r"^the rows of X are of unequal length: X\[0\] has 1 entries, X\[1\] has 2$"
    with pytest.raises(ValueError, match=ragged):
        MLPClassifier().fit([[0.0], [1.0, 2.0]], ["a", "b"])
    with pytest.raises(ValueError, match=ragged):
        MLPRegressor([1], max_iter=1).fit(X, [0.0, 1.0]).predict([[0.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match="got scalar array instead"):
        MLPRegressor().fit(np.array(1.0), [1.0])
    start = time.perf_counter()
    with pytest.raises(ValueError, match="contains NaN"):  # whose rows are not looked at one by one
        MLPRegressor().fit(np.full((200_000, 10), math.nan), np.zeros(200_000))
    assert time.perf_counter() - start < 5.0
    with pytest.raises(ValueError, match="a classifier tells classes apart, but y has 1 class"):
        MLPClassifier().fit(X, y)
    with pytest.raises(ValueError, match=r"start=\{'a': 1.0, …\} gives their first numbers"):
        ValueRegressor(growth).fit(X, [0.0, 1.0])
    with pytest.raises(ValueError, match="no activation is called 'rleu'; did you mean 'relu'"):
        MLPClassifier(activation="rleu").fit(X, ["a", "b"])
    for size in (0, "all", 2.5):
        with pytest.raises(ValueError, match=f"whole number of samples, from 1 up: batch_size={size!r} and"):
            MLPClassifier(batch_size=size).fit(X, ["a", "b"])
    wrong = [(ValueError, "alpha must be 0 or positive, and finite, not -1.0", {"alpha": -1}),
             (TypeError, "alpha takes a real number, not the str '1e-4'", {"alpha": "1e-4"}),
             (ValueError, "max_iter is a whole number from 1 up, not 2.5", {"max_iter": 2.5})]  # fmt: skip
    for error, told, setting in wrong:
        with pytest.raises(error, match=f"^{told}"):
            MLPRegressor(**setting).fit(X, [0.0, 1.0])
    with pytest.raises(ValueError, match=r"validation_fraction=1.0 do not say how many"):
        MLPRegressor(early_stopping=True, validation_fraction=1.0).fit(X, [0.0, 1.0])


def test_a_missing_scikit_learn_is_told() -> None:
    code = "import sys; sys.modules['sklearn'] = None; from microbp.sklearn import MLPClassifier"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1] == (
        "ImportError: this needs sklearn, which is not installed: pip install 'microbp[sklearn]'"
    )


def test_a_start_without_names_is_told() -> None:
    with pytest.raises(TypeError, match=r"^start has numbers by the parameters' names, start="):
        ValueRegressor(lambda x, a: a * x[0], [1.0]).fit([[0.0], [1.0]], [0.0, 1.0])  # type: ignore[arg-type]
