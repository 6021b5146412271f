"""What an error of microbp, or the history of a training run, shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from microbp.debug.diagnose.finding import Finding, short
from microbp.errors import UndefinedOperation
from microbp.training import History, NotFinite

__all__ = ["of_failure", "of_history"]


def of_failure(error: NotFinite | UndefinedOperation) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings of an error, and what was looked at."""
    if isinstance(error, UndefinedOperation):
        numbers = tuple((f"operand {i}", x) for i, x in enumerate(error.numbers))
        found = Finding(
            "not finite", "undefined operation", error.rule, None, error.site, str(error),
            "operands kept inside of the domain (clip, softplus), or a fused loss (cross_entropy)",
            (), numbers,
        )  # fmt: skip
        return [found], ("the operation that raised the error",)
    site = _site_in(str(error))
    sample = "" if error.sample is None else f"sample {error.sample}"
    found = Finding(
        "training", "not finite", sample, None, site, f"{error}.",
        "a smaller learning rate, clip=1.0, inputs and targets at the scale of 1"
        + ("" if error.sample is None else f"; then diagnose the loss of sample {error.sample} by itself"),
        (), (("epoch", float(error.epoch)), ("steps before", float(len(error.history.step_cost)))),
    )  # fmt: skip
    more, looked = of_history(error.history)
    return [found, *(each for each in more if each.cause != "not finite")], ("the error of fit", *looked)


def _site_in(text: str) -> str | None:
    """The ``[file:line]`` in a message."""
    for part in reversed(text.split("[")):
        site, bracket, _ = part.partition("]")
        name, colon, line = site.rpartition(":")
        if bracket and colon and name and line.isdigit():
            return site
    return None


def of_history(history: History) -> tuple[list[Finding], tuple[str, ...]]:
    """What the costs, gradient norms and learning rates of a run show."""
    steps = list(history.step_cost)
    looked = (f"the costs of {len(steps)} steps and {len(history.cost)} epochs",)
    found = []
    if history.stopped == "not finite":
        found.append(
            _about("not finite", history.message, "fit raised NotFinite: give diagnose that error", ())
        )
    costs = [each for each in history.cost or steps if math.isfinite(each)]
    if len(costs) > 1:
        best = min(range(len(costs)), key=costs.__getitem__)
        low, last = costs[best], costs[-1]
        if last > 2.0 * low + 1e-12 and last > 1.5 * costs[0]:
            rates = history.learning_rate
            rate = f" at a learning rate of {short(rates[-1])}" if rates else ""
            found.append(
                _about(
                    "diverging",
                    f"the cost was {short(low)} in epoch {best + 1} and is {short(last)} in epoch "
                    f"{len(costs)}, above the {short(costs[0])} of the first{rate}.",
                    "a tenth of the learning rate, or clip=1.0",
                    (("lowest", low), ("last", last)),
                )
            )
    found += _norms(history.gradient_norm)
    return found, looked


def _norms(norms: Sequence[float]) -> list[Finding]:
    finite = sorted(each for each in norms if math.isfinite(each))
    if len(finite) < 4:
        return []
    middle, largest = finite[len(finite) // 2], finite[-1]
    if not largest > 1e3 * max(middle, 1e-300):
        return []
    step = list(norms).index(largest) + 1
    return [
        _about(
            "exploding",
            f"the gradient norm is {short(largest)} in step {step}; its median is {short(middle)}.",
            "clip at a few times the median, or look at the samples of that step",
            (("largest norm", largest), ("median norm", middle)),
        )
    ]


def _about(cause: str, what: str, advice: str, numbers: tuple[tuple[str, float], ...]) -> Finding:
    return Finding("training", cause, "", None, None, what, advice, (), numbers)
