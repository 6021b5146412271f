"""Layers with ``forward`` and ``backward`` for a batch, and ``TwoLayerNet``, which is made of them.

A batch is a two-dimensional array with a row for each sample. Called, a layer is a function of a
batch of Values or numbers, and what it returns is part of one graph with all that came before.
``forward`` returns the same and keeps, beside, a record of this layer alone. ``backward(dout)``
turns dout, the gradient with respect to the layer's output, into that with respect to its input:
one backward pass over this record. No layer states a derivative.

The style is that of K. Saitoh, Deep Learning from Scratch (2016), chapter 5.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np

from microbp.array import Array, array, data_of, elementwise
from microbp.check import numerical_gradient
from microbp.differentiate import grad
from microbp.errors import NoGradientError
from microbp.losses import softmax_cross_entropy
from microbp.nn import Module, _generator, _width
from microbp.record import no_grad, record
from microbp.rules import RULES, Rule
from microbp.value import Value, as_number

__all__ = ["Affine", "BatchLayer", "ReLU", "Sigmoid", "SoftmaxWithLoss", "TwoLayerNet"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

_DOT, _RELU, _SIGMOID = RULES["dot"], RULES["relu"], RULES["sigmoid"]


class BatchLayer(Module, ABC):
    """What layers share. A layer of one's own states the function, and has ``backward`` with it.

    >>> class Square(BatchLayer):
    ...     def __call__(self, x):
    ...         return array(x) ** 2
    >>> square = Square()
    >>> data_of(square.forward([[3.0, -1.0]]))
    array([[9., 1.]])
    >>> square.backward([[1.0, 10.0]])
    array([[  6., -20.]])

    The function must depend on x and the parameters alone: for an x of Values, ``forward`` calls it
    twice, once for its own record.
    """

    _x: Array | None = None
    _out: Any = None

    @abstractmethod
    def __call__(self, x: Any) -> Any:
        """The layer's output for the batch ``x``: an Array of Values."""

    def forward(self, x: Any) -> Any:
        """The same, and a record of it for :meth:`backward`; ``x`` has the shape (batch, inputs).

        Raises ValueError for another shape and for an empty batch, TypeError for what is no number.
        """
        return self._forward(x)

    def _forward(self, x: Any, *more: Any) -> Any:
        x = _batch(x, self)
        # The record begins with leaves of its own: of a weight that an earlier layer uses too, and
        # of a value that x holds twice, backward gives the share of this layer and of each place.
        leaves = array(data_of(x))
        out = self(leaves, *more)
        self._x, self._out = leaves, out
        return self(x, *more) if isinstance(x, Array) else out

    def backward(self, dout: Any) -> Floats:
        """∂(Σ out·dout)/∂x for the x and the output of the last :meth:`forward`, in the shape of x.

        Raises ValueError where dout has not the shape of the output, NoGradientError where forward
        has not been called, or has recorded nothing.
        """
        (dx,) = self._gradients(dout)
        return dx

    def _gradients(self, dout: Any, *parameters: Array) -> list[Floats]:
        """∂(Σ out·dout)/∂x, and the same by each of the parameters."""
        who = type(self).__name__
        if self._x is None:
            raise NoGradientError(
                f"{who}.backward() differentiates what forward(x) did: call it first"
            )
        weights = data_of(dout)
        if np.shape(weights) != np.shape(self._out):
            raise ValueError(
                f"{who}.backward: dout has the shape {np.shape(weights)}, but the output of "
                f"forward, whose gradient it is, has {np.shape(self._out)}"
            )
        out = np.ravel(self._out).tolist()
        if not any(isinstance(each, Value) and each.requires_grad for each in out):
            raise NoGradientError(
                f"{who}.backward() has no record: forward was called under no_grad()"
            )
        weighted = record(_DOT, (out, np.ravel(weights).tolist(), 0.0))
        gradients: list[Floats] = grad(weighted, [self._x, *parameters])
        return gradients


class Affine(BatchLayer):
    """``x @ W + b`` for x (batch, inputs), W (inputs, outputs) and b (outputs,).

    W and b are numbers, which become parameters, or Values, which are kept. Each element of the
    result, of shape (batch, outputs), is one ``dot`` node with its bias in it. ``backward`` sets
    ``dW`` and ``db`` as well, float arrays of the shapes of W and b.

    >>> affine = Affine([[1.0, 2.0], [3.0, 4.0]], [0.5, -0.5])
    >>> data_of(affine.forward([[1.0, 0.0], [1.0, 1.0]]))
    array([[1.5, 1.5],
           [4.5, 5.5]])
    >>> affine.backward([[1.0, 0.0], [0.0, 1.0]])
    array([[1., 3.],
           [2., 4.]])
    >>> affine.dW, affine.db
    (array([[1., 1.],
           [0., 1.]]), array([1., 1.]))

    ``affine.W -= rate * affine.dW`` is an update: it puts new parameters there, with the same names.

    Raises ValueError for shapes that do not fit.
    """

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = array(W, name="W"), array(b, name="b")
        if self.W.ndim != 2 or not self.W.size or self.b.shape != self.W.shape[1:]:
            raise ValueError(
                f"Affine: W of shape {self.W.shape} and b of shape {self.b.shape} do not fit; "
                "W is (inputs, outputs), b (outputs,)"
            )
        self.dW: Floats | None = None
        self.db: Floats | None = None

    def __call__(self, x: Any) -> Array:
        """The layer's output for the batch ``x``."""
        x = _batch(x, self, len(self.W))
        neurons = list(zip(self.W.T.tolist(), self.b.tolist(), strict=True))
        made = np.empty((len(x), len(neurons)), dtype=object)
        for i, sample in enumerate(x.tolist()):
            made[i] = [record(_DOT, (w, sample, b)) for w, b in neurons]
        return made.view(Array)

    def backward(self, dout: Any) -> Floats:
        """∂(Σ out·dout)/∂x in the shape of x; ``dW`` and ``db`` are the same by W and by b.

        Raises as that of :class:`BatchLayer`, and NoGradientError for a frozen parameter.
        """
        dx, self.dW, self.db = self._gradients(dout, self.W, self.b)
        return dx


class ReLU(BatchLayer):
    """``max(0, x)`` for each element of a batch; at 0 the derivative is 0, as the table has it.

    >>> layer, dout = ReLU(), np.array([[5.0, 7.0]])
    >>> data_of(layer.forward([[2.0, -3.0]]))
    array([[2., 0.]])
    >>> layer.backward(dout), dout
    (array([[5., 0.]]), array([[5., 7.]]))
    """

    def __call__(self, x: Any) -> Array:
        """The layer's output for the batch ``x``."""
        return _each(_RELU, _batch(x, self))


class Sigmoid(BatchLayer):
    """``1 / (1 + exp(-x))`` for each element of a batch; it never overflows.

    >>> layer = Sigmoid()
    >>> data_of(layer.forward([[0.0, -1000.0]]))
    array([[0.5, 0. ]])
    >>> layer.backward([[1.0, 1.0]])
    array([[0.25, 0.  ]])
    """

    def __call__(self, x: Any) -> Array:
        """The layer's output for the batch ``x``."""
        return _each(_SIGMOID, _batch(x, self))


class SoftmaxWithLoss(BatchLayer):
    """The mean cross-entropy of softmax(x) against the targets t: one Value.

    The logits x have the shape (batch, classes); t holds labels, shape (batch,), or one-hot rows.
    It is :func:`microbp.losses.softmax_cross_entropy`, and raises what that raises.

    >>> layer = SoftmaxWithLoss()
    >>> layer.forward([[0.0, 0.0], [1000.0, 0.0]], [0, 0]).data == math.log(2.0) / 2.0
    True
    >>> layer.backward()
    array([[-0.25,  0.25],
           [ 0.  ,  0.  ]])
    """

    def __call__(self, x: Any, t: Any) -> Value:  # type: ignore[override]
        """The loss of the logits ``x`` against the targets ``t``."""
        return softmax_cross_entropy(array(_batch(x, self)), t)

    def forward(self, x: Any, t: Any) -> Value:  # type: ignore[override]
        """The same, and a record of it for :meth:`backward`."""
        loss: Value = self._forward(x, t)
        return loss

    def backward(self, dout: Any = 1.0) -> Floats:
        """dout·∂loss/∂x in the shape of x."""
        return super().backward(dout)


class TwoLayerNet(Module):
    """Affine, ReLU, Affine, SoftmaxWithLoss: a classifier with one hidden layer.

    W1 and then W2 are drawn, row by row, from a normal distribution with the standard deviation
    ``weight_init_std``, by ``rng``, a generator with ``seed``, or else one that Python's ``random``
    starts, so that ``random.seed`` gives the same weights again; b1 and b2 start at 0.

    >>> net = TwoLayerNet(2, 3, 2, weight_init_std=0.5, seed=0)
    >>> {name: numbers.shape for name, numbers in net.state().items()}
    {'W1': (2, 3), 'b1': (3,), 'W2': (3, 2), 'b2': (2,)}

    Learning is a loop of small steps:

    >>> x, t = [[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], [0, 1, 1]
    >>> for step in range(100):
    ...     gradient = net.gradient(x, t)
    ...     net.load_state({name: w - 0.3 * gradient[name] for name, w in net.state().items()})
    >>> round(net.loss(x, t).data, 3), net.accuracy(x, t)
    (0.004, 1.0)

    The layers stand in ``layers``, by name, and in ``last_layer``. All methods raise ValueError
    where shapes do not fit, for a label that is no class, and for an empty batch.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        rng = _generator(seed, rng, "normal")
        inputs, hidden = _width(input_size, "input_size"), _width(hidden_size, "hidden_size")
        outputs = _width(output_size, "output_size")
        scale = as_number(weight_init_std, "weight_init_std")
        if not 0.0 <= scale < math.inf:
            raise ValueError(f"weight_init_std is a finite number from 0 up, not {scale!r}")
        self.layers: dict[str, Any] = {
            "Affine1": Affine(scale * rng.normal(size=(inputs, hidden)), np.zeros(hidden)),
            "ReLU1": ReLU(),
            "Affine2": Affine(scale * rng.normal(size=(hidden, outputs)), np.zeros(outputs)),
        }
        self.last_layer = SoftmaxWithLoss()
        self.name_parameters()

    @property
    def params(self) -> dict[str, Array]:
        """W1 (inputs, hidden), b1 (hidden,), W2 (hidden, outputs) and b2 (outputs,), by name."""
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": first.W, "b1": first.b, "W2": second.W, "b2": second.b}

    def _parts(self) -> Iterable[tuple[str, Any]]:
        return self.params.items()

    def predict(self, x: Any) -> Array:
        """The logits for the batch ``x``, an Array of Values of shape (batch, outputs)."""
        for layer in self.layers.values():
            x = layer(x)
        logits: Array = x
        return logits

    def loss(self, x: Any, t: Any) -> Value:
        """The cost of a batch against its labels or one-hot rows ``t``."""
        return self.last_layer(self.predict(x), t)

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of the batch, from 0 to 1, whose largest logit is that of its class in ``t``.

        Nothing is recorded. Of equal logits the first counts. Where the loss is nan, so is this.
        """
        with no_grad():
            logits = self.predict(x)
            loss = self.last_layer(logits, t)  # refuses what does not fit
        if math.isnan(loss.data):
            return math.nan
        targets = np.asarray(t)
        labels = targets.argmax(axis=1) if targets.shape == logits.shape else targets.ravel()
        return float(np.mean(data_of(logits).argmax(axis=1) == labels))

    def gradient(self, x: Any, t: Any) -> dict[str, Floats]:
        """∂loss/∂W1 and so on, by name, float arrays in the shapes of the parameters.

        It is one backward pass through the graph of the loss. Layer by layer, with ``forward`` to
        the last and ``backward`` to the first, the numbers are the same.
        """
        params = self.params
        return dict(zip(params, grad(self.loss(x, t), list(params.values())), strict=True))

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, Floats]:
        """The same, measured: see :func:`microbp.check.numerical_gradient`. It is slow."""
        measured: dict[str, Floats] = numerical_gradient(lambda: self.loss(x, t), self.params)
        return measured


def _batch(x: Any, layer: BatchLayer, inputs: int | None = None) -> Any:
    """A batch as an array of floats, if it is one of numbers, or else of Values."""
    who = type(layer).__name__
    plain = isinstance(x, np.ndarray) and x.dtype.kind in "iuf"
    batch = x.astype(float) if plain else array(x)
    if batch.ndim != 2 or (inputs is not None and batch.shape[1] != inputs):
        width = "inputs" if inputs is None else inputs
        cure = "; x[None] makes a batch of one sample" if batch.ndim == 1 else ""
        raise ValueError(
            f"{who} takes a batch of shape (samples, {width}), not one of shape {batch.shape}{cure}"
        )
    if not batch.size:
        raise ValueError(f"{who}: the batch is empty (shape {batch.shape})")
    return batch


def _each(rule: Rule, batch: Any) -> Array:
    """An operation of one argument on each element of a batch."""
    made: Array = elementwise(lambda x: record(rule, (x,)), batch)
    return made
