"""Losses: what a net said against what was wanted, as one recorded Value, the cost.

Predictions are what nets return: a Value (one sample, one output), a list of Values (one sample of n
outputs, shape ``(n,)``), a list of lists or a two-dimensional array (``(batch, n)``). Targets are
numbers, lists of numbers or NumPy arrays of the same shape, and may be Values: what another net says, or
what stands for a target while a loss is traced. Where one has the shape ``(batch, 1)``, the other may be
``(batch,)``; nothing else is broadcast. The cost of a batch is the mean of the costs of its samples, in
every loss.

Bad targets are refused before anything is recorded: ValueError for shapes that do not fit, an empty
batch, and a number that is no target of the loss; TypeError for what is no number. Predictions of nan
give a cost of nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from microbp import functions
from microbp.array.loops import masked, unequal
from microbp.optim import NOT_NEGATIVE, Parameters, checked, listed
from microbp.value import Value, as_number

__all__ = [
    "LOSSES", "Loss", "Predictions", "Targets", "binary_cross_entropy", "half_squared_error", "hinge",
    "l2_penalty", "mean_squared_error", "softmax_cross_entropy",
]  # fmt: skip

Predictions = Value | Sequence[Value | Sequence[Value]] | npt.NDArray[np.object_]
Target = float | Value
Targets = Target | Sequence[Target | Sequence[Target]] | npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
Loss = Callable[[Predictions, Targets], Value]


def half_squared_error(predictions: Predictions, targets: Targets) -> Value:
    """``½ Σ (t - o)²``, summed over the outputs o of a sample, averaged over the batch.

    The cost of Rumelhart, Hinton and Williams (1986); its derivative in an output is ``o - t``, over the
    batch size.

    >>> outputs = [Value(0.75), Value(0.5)]
    >>> cost = half_squared_error(outputs, [0.25, 1.0])
    >>> cost.backward()
    >>> cost.data, outputs[0].grad, outputs[1].grad
    (0.25, 0.5, -0.5)

    A flat list is one sample. Several samples of one output each have the shape ``(batch, 1)``:

    >>> half_squared_error([[Value(0.75)], [Value(0.5)]], [0.25, 1.0]).data
    0.125
    """
    given = _Given("half_squared_error", predictions, targets)
    return _mean([(t - o) ** 2 for o, t in given.pairs()], 2 * given.batch)


def mean_squared_error(predictions: Predictions, targets: Targets) -> Value:
    """``mean (t - o)²``, averaged over all outputs o of all samples.

    >>> mean_squared_error([Value(0.75), Value(0.5)], [0.25, 1.0]).data
    0.25
    """
    return _mean([(t - o) ** 2 for o, t in _Given("mean_squared_error", predictions, targets).pairs()])


def hinge(predictions: Predictions, targets: Targets) -> Value:
    """``mean max(0, 1 - y·s)`` for scores s and labels y = ±1, averaged over all scores.

    The margin loss of support vector machines (Cortes and Vapnik 1995), known from micrograd's demo.
    At ``y·s = 1`` its derivative is 0, as that of relu at 0.

    >>> scores = [Value(0.25), Value(2.0)]
    >>> cost = hinge(scores, [-1, 1])
    >>> cost.backward()
    >>> cost.data, scores[0].grad, scores[1].grad
    (0.625, 0.5, 0.0)

    Raises ValueError for a label other than -1 and 1.
    """
    given = _Given("hinge", predictions, targets)
    told = "a label of hinge is -1 or 1 (2·t - 1 makes one from t = 0 or 1)"
    return _mean([(1.0 - y * s).relu() for s, y in given.pairs(np.abs(given.numbers) != 1.0, told)])


def binary_cross_entropy(predictions: Predictions, targets: Targets) -> Value:
    """``mean -(t·log p + (1 - t)·log(1 - p))`` with p = sigmoid(z) for logits z, averaged over all logits.

    It is computed as ``t·softplus(-z) + (1 - t)·softplus(z)``, which never overflows and keeps its digits
    however sure the net is; with t = 0 or 1 as the one of the two terms that remains. Targets are labels
    0 and 1, or probabilities between them. The derivative in z is ``p - t``, over the number of logits.

    >>> logits = [Value(0.0), Value(-1000.0)]
    >>> cost = binary_cross_entropy(logits, [1, 1])
    >>> cost.backward()
    >>> cost.data, logits[0].grad, logits[1].grad
    (500.34657359027995, -0.25, -0.5)

    Raises ValueError for a target outside 0 to 1.
    """
    given = _Given("binary_cross_entropy", predictions, targets)
    told = "a target is 0, 1 or a probability between them ((y + 1) / 2 makes one from y = ±1)"
    return _mean([_bernoulli(z, t) for z, t in given.pairs(abs(given.numbers - 0.5) > 0.5, told)])


def _bernoulli(z: Value, t: Target) -> Any:
    if type(t) is float and t in (0.0, 1.0):
        return (-z if t else z).softplus()
    return functions.dot([t, 1.0 - t], [(-z).softplus(), z.softplus()])


def softmax_cross_entropy(predictions: Predictions, targets: Targets) -> Value:
    """``-Σ t·log p`` with p = softmax(x) for logits x, summed over classes, averaged over the batch.

    Each sample is one ``cross_entropy`` node, which never overflows. Its target is a class index
    (0, 1, …: targets of shape ``(batch,)``, or one number for one sample) or one row of probabilities,
    such as a one-hot row. The derivative in a logit is ``p - t``, over the batch size.

    >>> logits = [[Value(0.0), Value(0.0)], [Value(1000.0), Value(-1000.0)]]
    >>> cost = softmax_cross_entropy(logits, [0, 1])
    >>> cost.backward()
    >>> cost.data, [x.grad for x in logits[0]], [x.grad for x in logits[1]]
    (1000.34657359028, [-0.25, 0.25], [0.5, -0.5])
    >>> softmax_cross_entropy(logits, [[1, 0], [0, 1]]).data == cost.data
    True

    Raises ValueError for a class that the net has no output for, for a row that does not sum to 1
    within 1e-6, and for a net of one output, whose softmax is always 1.
    """
    given = _Given("softmax_cross_entropy", predictions, targets)
    outputs, numbers, of_samples = given.outputs, given.numbers, given.outputs.shape[:-1]
    classes = outputs.shape[-1] if outputs.ndim else 1
    if classes == 1:
        raise given.error(
            f"predictions of shape {outputs.shape} have one output for each sample, whose softmax is always "
            "1. Give the net one output for each class, or use binary_cross_entropy for two"
        )
    if numbers.shape == outputs.shape:
        given.refuse(abs(numbers - 0.5) > 0.5, "a probability is between 0 and 1")
        for sample, total in enumerate(map(math.fsum, numbers.reshape(-1, classes).tolist())):
            if abs(total - 1.0) > 1e-6:
                raise given.error(
                    f"the targets{f' of sample {sample}' * (numbers.ndim == 2)} sum to {total!r}; the "
                    f"probabilities of one sample sum to 1. Targets of shape {numbers.shape}, like the "
                    "predictions, are taken as probabilities, not as class indices"
                )
        rows = given.targets.reshape(-1, classes).tolist()
    elif of_samples in _forms(numbers):
        given.refuse(numbers != np.floor(numbers), "a class index is a whole number")
        told = f"the net has {classes} outputs, so that classes are 0 to {classes - 1}"
        given.refuse((numbers < 0) | (numbers >= classes), told)
        rows = [[_is(label, each) for each in range(classes)] for label in given.targets.ravel().tolist()]
    else:
        cure = f"Give class indices of shape {of_samples}, or probabilities of the predictions' shape"
        raise given.misfit(cure)
    samples = outputs.reshape(-1, classes).tolist()
    return _mean([functions.cross_entropy(x, t) for x, t in zip(samples, rows, strict=True)])


def _is(label: Target, index: int) -> Any:
    """1 for the class itself, 0 for any other; in the graph, if the label is a Value."""
    if isinstance(label, Value):
        return functions.select(0.5 - abs(label - index), 1.0, 0.0)
    return float(label == index)


def l2_penalty(parameters: Parameters, strength: float) -> Value:
    """``strength · Σ w²``, to be added to a cost; its derivative in w is ``2·strength·w``.

    Ridge regression's penalty (Hoerl and Kennard 1970) without a factor ½, as in micrograd's demo. The
    sum is one ``dot`` node, in which each parameter is an operand twice.

    >>> w = [Value(3.0), Value(-1.0)]
    >>> penalty = l2_penalty(w, strength=0.5)
    >>> penalty.backward()
    >>> penalty.data, w[0].grad, w[1].grad
    (5.0, 3.0, -1.0)

    A strength of 0 gives 0. Raises ValueError for no parameters, and for a strength that is negative or
    not finite; TypeError for a parameter that is no Value.
    """
    weight = checked(strength, "l2_penalty: strength", NOT_NEGATIVE)
    weights = listed(parameters, "l2_penalty")
    penalty: Value = weight * functions.dot(weights, weights)
    return penalty


#: The losses by name.
LOSSES: dict[str, Loss] = {
    each.__name__: each
    for each in (
        half_squared_error, mean_squared_error, hinge, binary_cross_entropy, softmax_cross_entropy,
    )
}  # fmt: skip


# --------------------------------------------------------------- what all losses do with their data
class _Given:
    """Predictions and targets, checked; the name of the loss begins each error."""

    def __init__(self, loss: str, predictions: Predictions, targets: Targets) -> None:
        self.loss = loss
        self.outputs = self._array(predictions, "predictions")
        for place, each in np.ndenumerate(self.outputs):
            if not isinstance(each, Value):
                there = f"{_at(place) or 'there '}stands an object of type {type(each).__name__}"
                told = f"predictions are Values, alone, in a list or in an array, but {there}"
                raise TypeError(f"{loss}: {told}. Give what the net returns")
        shape = self.outputs.shape
        if len(shape) > 2:
            raise self.error(f"predictions have at most two dimensions, (batch, outputs), not {shape}")
        if not self.outputs.size:
            raise self.error(f"there are no predictions (shape {shape}): the batch is empty")
        #: As floats and Values, and as the numbers that these have.
        self.targets, self.numbers = self._array(targets, "targets"), np.asarray(targets)
        if masked(targets):
            raise self.error("the targets have masked entries; fill them in, or leave their samples out")
        if self.numbers.dtype.kind in "biuf":
            self.targets = self.numbers = self.numbers.astype(float)
        else:
            self.numbers = np.empty(self.targets.shape)
            for place, each in np.ndenumerate(self.targets):
                if not isinstance(each, Value):
                    self.targets[place] = as_number(each, f"{loss}: the target {_at(place)}".rstrip())
                self.numbers[place] = each.data if isinstance(each, Value) else self.targets[place]
        self.refuse(~np.isfinite(self.numbers), "a target is a finite number")
        self.batch = len(self.outputs) if 2 in (self.outputs.ndim, self.numbers.ndim) else 1

    def pairs(self, refused: Any = False, told: str = "") -> Iterable[tuple[Value, Any]]:
        """Each output with its target; some of these are refused, and told why."""
        if _forms(self.outputs).isdisjoint(_forms(self.numbers)):
            cure = "Give one target for each output"
            batch, several = self.outputs.shape[:-1], self.outputs.shape[-1:]
            if batch in _forms(self.numbers):
                count = f"The net has {several[0]} outputs for each sample, but there is one target"
                cure = f"{count}: end the net with one output, or use softmax_cross_entropy for class indices"
            raise self.misfit(cure)
        self.refuse(refused, told)
        return zip(self.outputs.ravel().tolist(), self.targets.ravel().tolist(), strict=True)

    def error(self, told: str) -> ValueError:
        return ValueError(f"{self.loss}: {told}")

    def misfit(self, cure: str) -> ValueError:
        shapes = self.outputs.shape, self.numbers.shape
        return self.error("predictions of shape {} do not fit targets of shape {}. ".format(*shapes) + cure)

    def refuse(self, refused: Any, told: str) -> None:
        """ValueError with the first of the numbers that is refused, and its index."""
        for place in map(tuple, np.argwhere(refused)[:1].tolist()):
            raise self.error(f"the target {_at(place)}is {float(self.numbers[place])!r}; {told}")

    def _array(self, held: Any, what: str) -> npt.NDArray[np.object_]:
        with suppress(ValueError):  # of NumPy, for arrays of unequal length
            array = np.array(held, dtype=object)
            if not any(isinstance(each, list | tuple | np.ndarray) for each in array.ravel().tolist()):
                return array
        raise self.error(f"the {what}' rows are of unequal length{unequal(held, what)}")


def _forms(array: npt.NDArray[Any]) -> set[tuple[int, ...]]:
    """Its shape; and ``(batch,)`` for a column ``(batch, 1)``."""
    return {array.shape, array.shape[:-1] if array.shape[-1:] == (1,) else array.shape}


def _at(place: tuple[int, ...]) -> str:
    """``at [1, 0] `` for a place in an array; empty for a single number."""
    return f"at {list(place)} " if place else ""


def _mean(costs: list[Any], divisor: int = 0) -> Value:
    """Σ costs / divisor, each as one node, and no node where there is nothing to add or to divide."""
    divisor = divisor or len(costs)
    total: Value = costs[0] if len(costs) == 1 else functions.sum(costs)
    if math.isinf(total.data) and all(math.isfinite(each.data) for each in costs):
        total, divisor = functions.sum([each / divisor for each in costs]), 1  # no larger than they are
    return total if divisor == 1 else total / divisor
