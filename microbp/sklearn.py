"""Estimators of scikit-learn whose every number can be looked up: nets, and formulas of one's own.

They train by :func:`microbp.fit` and :func:`microbp.minimize`. What they have learned is a Module of Values,
``net_``, to draw, to step through and to explain. Nothing in microbp imports this file: who asks for it has
scikit-learn, or is told what to install.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from microbp.array import Array, array, data_of
from microbp.array.loops import unequal
from microbp.bridges import need
from microbp.bridges.scipy import minimize
from microbp.functions import dot
from microbp.nn import MLP, Module
from microbp.optim import NOT_NEGATIVE, Adam, checked, whole
from microbp.training import fit
from microbp.value import Value

__all__ = ["MLPClassifier", "MLPRegressor", "ValueRegressor"]

base = need("sklearn.base", "sklearn")
multiclass = need("sklearn.utils.multiclass", "sklearn")
validation = need("sklearn.utils.validation", "sklearn")
ConvergenceWarning = need("sklearn.exceptions", "sklearn").ConvergenceWarning

Floats = np.ndarray[Any, np.dtype[np.float64]]
#: What scikit-learn calls some activations.
_NAMES = {"identity": "linear", "logistic": "sigmoid"}


def _checked(estimator: Any, X: Any, *y: Any, **options: Any) -> Any:
    """X, or X and y, as scikit-learn checks them; the rows of a list that are of unequal length are told."""
    try:
        return validation.validate_data(estimator, X, *y, **options)
    except ValueError:
        if uneven := unequal(X, "X"):
            raise ValueError(f"the rows of X are of unequal length{uneven}") from None
        raise


class _MLP(base.BaseEstimator):  # type: ignore[misc, name-defined]
    """What the two nets share: their settings, which have scikit-learn's names, and how they are trained."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        random_state: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
    ) -> None:
        self.hidden_layer_sizes, self.activation = hidden_layer_sizes, activation
        self.alpha, self.batch_size = alpha, batch_size
        self.learning_rate_init, self.max_iter = learning_rate_init, max_iter
        self.random_state, self.early_stopping = random_state, early_stopping
        self.validation_fraction, self.n_iter_no_change = validation_fraction, n_iter_no_change

    def _train(self, X: Floats, Y: Any, outputs: int, loss: str) -> None:
        seed = int(validation.check_random_state(self.random_state).randint(2**31))
        alpha, epochs = checked(self.alpha, "alpha", NOT_NEGATIVE), whole(self.max_iter, "max_iter")
        widths = [*np.atleast_1d(self.hidden_layer_sizes).tolist(), outputs]
        activation = _NAMES.get(self.activation, self.activation)
        net = MLP(X.shape[1], widths, activation=activation, init="xavier", seed=seed)
        apart = self.validation_fraction if self.early_stopping else None
        left = len(X) - round((apart or 0.0) * len(X))
        size = 200 if self.batch_size == "auto" else self.batch_size
        size = min(int(size), left) if isinstance(size, int | np.integer) else 0
        if size < 1:
            told = f"batch_size={self.batch_size!r} and validation_fraction={self.validation_fraction!r}"
            raise ValueError(f"a batch has a whole number of samples, from 1 up: {told} do not say how many")
        self.history_ = fit(
            net, X, Y, loss=loss, epochs=epochs, batch_size=size, seed=seed, validation=apart,
            patience=self.n_iter_no_change if self.early_stopping else None, progress=False,
            penalty=alpha / (2.0 * size), optimiser=Adam(net.parameters(), lr=self.learning_rate_init),
        )  # fmt: skip
        self.net_, self.loss_curve_ = net, self.history_.cost
        self.n_iter_, self.loss_ = len(self.loss_curve_), self.loss_curve_[-1]

    def _outputs(self, X: Any) -> Floats:
        """What the net says: [samples, outputs]."""
        validation.check_is_fitted(self)
        X = _checked(self, X, reset=False, dtype=float)
        said: Floats = self.net_.predict(X).reshape(len(X), -1)
        return said


class MLPClassifier(base.ClassifierMixin, _MLP):  # type: ignore[misc, name-defined]
    """A net that tells classes apart: one logit for two classes, a softmax for more.

    The settings are those of ``sklearn.neural_network.MLPClassifier``, whose defaults they have: Adam over
    mini-batches, from Glorot's initial weights. ``activation`` may be any name in ``nn.ACTIVATIONS``. It
    takes ``max_iter`` epochs; with ``early_stopping`` fewer, and the parameters that did best on the fraction
    that was set apart. ``alpha`` acts on biases, too.

    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["even", "odd", "odd", "even"]
    >>> net = MLPClassifier([8], "tanh", learning_rate_init=0.1, random_state=1).fit(X, y)
    >>> net.predict(X).tolist(), net.net_
    (['even', 'odd', 'odd', 'even'], MLP of [...])

    ``net_`` is the net, ``history_`` that of its training, ``classes_`` the classes in the order of the
    columns of ``predict_proba``. Raises ValueError for fewer than two classes.
    """

    def fit(self, X: Any, y: Any) -> MLPClassifier:
        """Train the net anew on the samples X and their classes y."""
        X, y = _checked(self, X, y, dtype=float)
        multiclass.check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(f"a classifier tells classes apart, but y has {count} class")
        if count == 2:
            self._train(X, labels, 1, "binary_cross_entropy")
        else:
            self._train(X, labels, count, "softmax_cross_entropy")
        return self

    def predict_proba(self, X: Any) -> Floats:
        """The probability of each class: [samples, classes]."""
        logits = self._outputs(X)
        if logits.shape[1] == 1:  # of the second class; that of the first is 0
            logits = np.hstack([np.zeros_like(logits), logits])
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: Floats = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: Any) -> Any:
        """The likeliest class of each sample."""
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(axis=1)]


class MLPRegressor(base.RegressorMixin, _MLP):  # type: ignore[misc, name-defined]
    """A net that says a number, or several; its cost is half the squared error.

    The settings are those of :class:`MLPClassifier`. Bring targets to a scale of about 1.

    >>> net = MLPRegressor([8], "tanh", learning_rate_init=0.05, random_state=1)
    >>> net.fit([[0.0], [0.5], [1.0]], [0.0, 1.0, 0.0]).predict([[0.5]]).round(1)
    array([1.])
    """

    def fit(self, X: Any, y: Any) -> MLPRegressor:
        """Train the net anew on the samples X and their targets y, (samples,) or (samples, outputs)."""
        X, y = _checked(self, X, y, dtype=float, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = validation.column_or_1d(y, warn=True)
        Y = y.astype(float).reshape(len(y), -1)
        self._train(X, Y, Y.shape[1], "half_squared_error")
        return self

    def predict(self, X: Any) -> Floats:
        """What the net says: (samples,), or (samples, outputs) of several."""
        said = self._outputs(X)
        return said[:, 0] if said.shape[1] == 1 else said

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class ValueRegressor(base.RegressorMixin, base.BaseEstimator):  # type: ignore[misc, name-defined]
    """A formula of one's own as an estimator: its parameters are fitted by least squares.

    ``formula`` is a function of one sample, an array of features, and of parameters by their names, which
    ``start`` gives with the numbers to start from; arrays of them, too. Without a formula it is a weighted
    sum of the features, ``w·x + b``. ``bounds``, ``method`` and ``tol`` are those of :func:`minimize`.

    >>> def decay(x, a, b):
    ...     return a * (-b * x[0]).exp()
    >>> t = np.linspace(0.0, 3.0, 10).reshape(-1, 1)
    >>> curve = ValueRegressor(decay, {"a": 1.0, "b": 1.0}).fit(t, 2.0 * np.exp(-0.5 * t[:, 0]))
    >>> {name: round(float(number), 3) for name, number in curve.params_.items()}
    {'a': 2.0, 'b': 0.5}
    >>> curve.predict([[0.0]]).round(3)
    array([2.])

    ``minimum_`` is the :class:`microbp.Minimum`, with standard errors, and prints as a report. Raises
    ValueError where a formula comes without ``start``.
    """

    def __init__(
        self,
        formula: Callable[..., Any] | None = None,
        start: Mapping[str, Any] | None = None,
        *,
        bounds: Mapping[str, Any] | None = None,
        method: str = "L-BFGS-B",
        tol: float | None = None,
    ) -> None:
        self.formula, self.start = formula, start
        self.bounds, self.method, self.tol = bounds, method, tol

    def fit(self, X: Any, y: Any) -> ValueRegressor:
        """Fit the parameters anew to the samples X and their targets y."""
        X, y = _checked(self, X, y, dtype=float, y_numeric=True)
        start = self.start
        if start is None:
            if self.formula is not None:
                raise ValueError("a formula has parameters: start={'a': 1.0, …} gives their first numbers")
            start = {"w": np.zeros(X.shape[1]), "b": 0.0}
        if not isinstance(start, Mapping):
            raise TypeError(f"start has numbers by the parameters' names, start={{'a': 1.0}}, not {start!r}")
        net = _Formula(self.formula or _line, start)
        self.minimum_ = minimize(
            lambda x, y: (net(x) - y) ** 2, net, (X, y), method=self.method, bounds=self.bounds,
            squares=len(y), tol=self.tol,
        )  # fmt: skip
        if not self.minimum_.converged:
            warnings.warn(f"ValueRegressor: {self.minimum_.message}", ConvergenceWarning, stacklevel=2)
        self.net_ = net
        self.params_ = {name: data_of(held) for name, held in net.held.items()}
        return self

    def predict(self, X: Any) -> Floats:
        """What the formula gives for each sample."""
        validation.check_is_fitted(self)
        X = _checked(self, X, reset=False, dtype=float)
        said: Floats = self.net_.predict(X)
        return said


def _line(x: Any, w: Any, b: Any) -> Any:
    return dot(list(w), list(x)) + b


class _Formula(Module):
    """A function of a sample and of parameters, with Values for these."""

    def __init__(self, formula: Callable[..., Any], start: Mapping[str, Any]) -> None:
        self.formula = formula
        self.held = {
            name: array(number, name) if np.ndim(number) else Value(float(number), name)
            for name, number in start.items()
        }

    def _parts(self) -> Any:
        return self.held.items()

    def __call__(self, x: Any) -> Any:
        sample = np.array(x)
        return self.formula(sample.view(Array) if sample.dtype == object else sample, **self.held)
