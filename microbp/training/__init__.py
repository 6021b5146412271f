"""``fit``: descend the cost of a net over samples; full batch, mini-batches or one sample at a time.

A step happens whole or not at all: the cost and all gradients of its batch come first, in which nothing of
the net changes and Ctrl-C may strike; the update is applied with Ctrl-C held back. What a run is made of is
plain data between two steps, so that a checkpoint taken there continues bit for bit.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from microbp.optim import Optimiser
from microbp.text import did_you_mean
from microbp.training.given import Settings
from microbp.training.outcome import History, NotFinite
from microbp.training.run import Run

__all__ = ["History", "NotFinite", "Settings", "fit"]


def fit(net: Any, X: Any, Y: Any, *, optimiser: Optimiser | None = None, **settings: Any) -> History:
    """Train ``net`` on the samples X and their targets Y in place; the :class:`History` of it.

    >>> from microbp.nn import MLP
    >>> from microbp.optim import SGD
    >>> net = MLP(2, [4, 1], activation="tanh", seed=1)
    >>> X, Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [-1, 1, 1, -1]
    >>> history = fit(net, X, Y, loss="hinge", optimiser=SGD(net.parameters(), lr=0.5), epochs=60)
    >>> [net(x) > 0 for x in X]
    [False, True, True, False]
    >>> print(history)
    60 epochs of 1 step, cost 0.985 to 0: all epochs are done. The net holds the last parameters.

    **The net** is a Module, or anything else with ``parameters()``. It is called with one sample, a list
    of floats (a float where X has one dimension), and returns a Value or a list of Values. A net whose
    attribute ``takes_batches`` is true is called with a whole batch instead, a float array of the shape
    ``(batch, …)``, and returns Values of the shape ``(batch, outputs)``; so is the ``predict`` of a net
    that cannot be called, such as :class:`microbp.layers.TwoLayerNet`. Before the run the net is given
    the first sample once, to see that all fits together.

    **The cost** is ``loss`` (a name in :data:`microbp.losses.LOSSES`, or a function of predictions of
    the shape ``(batch, outputs)`` and a list of targets that returns one Value, a mean over the batch)
    plus ``penalty`` times Σ w² over the parameters. ``clip`` bounds the norm of the gradients.

    **The steps.** ``batch_size`` samples make a step: None takes all of them, 1 is stochastic descent in
    its strict sense; the last batch of an epoch holds what is left. With ``shuffle``, the order of each
    epoch with more than one step is drawn from a generator with ``seed``. The optimiser is plain SGD
    with a learning rate of 0.1 unless given.

    **The end** comes after ``epochs``; or as soon as the costs of two neighbouring epochs differ by less
    than ``tolerance``; or when the validation cost has not fallen below its minimum for ``patience`` epochs.
    ``validation`` is a pair (X, Y), or the fraction of the samples to set apart, drawn by ``seed``.
    Ctrl-C ends the run too, and the history comes back as ever, ``stopped == "interrupted"``.

    **What the net holds then**: after a run with validation, or one that Ctrl-C has ended, the *best*
    parameters, else the *last*, those after the last whole step; ``keep`` says otherwise. The best are
    those at the end of the epoch with the lowest validation cost. Without validation they are those of
    the lowest ``cost``: with one step to an epoch the very parameters that it was computed for, else those
    at the end of its epoch; if no epoch was finished, the last.

    **Checkpoints** are JSON, written in one move to the file ``checkpoint`` between two steps, every
    ``checkpoint_every`` seconds and at the end. ``resume`` continues from one as if nothing had been in
    between, bit for bit, given the same net, data and settings; those that end the run may differ.

    **The engine**: ``"auto"`` records the cost of one sample and replays it for all (``microbp.compile``),
    which is equal to recording every sample but for rounding; it records every sample where a net cannot be
    replayed, such as one that compares Values or does not treat each sample by itself, and
    ``history.engine`` and the history's text say why. ``"eager"`` records in any case. In a replayed run the
    parameters are one vector from step to step; the net's Values follow at each validation and checkpoint,
    and whenever the run ends, be it by an error.

    ``threads`` is over how many threads the machine in C spreads a batch; no result depends on it.

    **Progress**: None shows a line that moves on for work of more than a second on a terminal, and nothing
    elsewhere; True shows it at once, or one at the end where there is no terminal; False nothing.

    Raises ValueError or TypeError, before any parameter is touched, where anything given does not fit;
    :class:`NotFinite` where a cost or a gradient is nan or infinite, before the parameters are touched
    by that step, with the first sample and the first operation that show it.
    """
    for name in settings.keys() - _NAMES:
        hint = did_you_mean(name, [*_NAMES, "optimiser"]) or f"there are {', '.join(_NAMES)}"
        if name in ("lr", "learning_rate", "momentum", "weight_decay"):
            hint = "the optimiser has it: optimiser=SGD(net.parameters(), lr=…)"
        raise TypeError(f"fit: no setting is called {name!r}; {hint}")
    if "loss" not in settings:
        raise TypeError("fit: loss=… says what is to become small: a name, such as 'hinge', or a function")
    return Run(net, X, Y, optimiser, Settings(**settings)).go()


_NAMES = [each.name for each in fields(Settings)]
# What help() and editors show: the settings one by one.
_SHOWN = [*inspect.signature(fit, eval_str=True).parameters.values()][:-1]
_SHOWN += [
    each.replace(kind=each.KEYWORD_ONLY)
    for each in inspect.signature(Settings, eval_str=True).parameters.values()
]
fit.__signature__ = inspect.Signature(_SHOWN, return_annotation=History)  # type: ignore[attr-defined]
