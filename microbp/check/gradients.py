"""``check_gradients``: the gradients of a whole graph, compared with numerical ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from microbp.check.accumulation import grad_state, passes_held
from microbp.check.case import Case
from microbp.check.changes import changes_in
from microbp.check.parameters import claims_of, values_of
from microbp.check.recorded import same
from microbp.check.report import GradientReport
from microbp.check.words import line_of, named
from microbp.errors import NoGradientError
from microbp.sites import user_scope
from microbp.value import Value, describe


def check_gradients(
    loss: Value | Callable[[], Value],
    parameters: Any = None,
    *,
    claimed: Any = None,
    show: bool = True,
    names: Mapping[str, Any] | None = None,
) -> GradientReport:
    """Compare the gradients of ``loss`` with numerical ones; print the table and return it.

    ``loss`` is a recorded Value: its graph is computed again with plain numbers, while one value at a
    time is moved. Or it is a function without arguments that returns one: it is called anew, so that
    its branches on data are followed, with the leaves moved and put back in turn.

    ``parameters`` are Values, or lists, arrays or dicts of them; all leaves that take a gradient, if
    left out. ``claimed`` holds gradients in the shape of ``parameters``, to be checked in place of
    those of back-propagation. ``grad`` is not touched, and what it has added up does not count.

    >>> w, b, x = Value(0.4, name="w"), Value(0.0, name="b"), 3.0
    >>> report = check_gradients((w * x - 1.0).tanh() + b.relu())
    check_gradients(loss = 0.19737532): 1 agree, 1 inconclusive
    <BLANKLINE>
    name   back-propagated     numerical   difference   known to   relative   verdict
    ...
    w           +2.8831289    +2.8831289 ...   agree
    b                    0   +0.50000000 ...   inconclusive: kink within the step: relu at v5, where b = 0.0
    >>> report.ok, report["w"].verdict
    (True, 'agree')

    A gradient agrees if it differs from the numerical one by no more than the estimated errors, and
    these are so small that a relative error of 1e-4 would have been seen. It disagrees if it differs
    by more, and names the local derivative that is wrong. Else the row is inconclusive and says why:
    a kink within the step, cancellation, a number that is not finite, an operation undefined within
    the step. A gradient that is 0 but for the rounding of terms that cancel is judged by the size of
    these; one that is 0 because no path to the loss has a derivative, by whether each 0 on the way is
    right. ``ok`` means that none disagrees.

    ``names`` maps names to Values for the table, in place of the variables of the caller.

    Raises NoGradientError where nothing takes a gradient, where ``loss`` is a leaf or a constant, or where
    data of the graph was changed after it was recorded; ValueError where two calls of the function
    differ; TypeError for anything else than a Value or such a function.
    """
    given = parameters if isinstance(parameters, Mapping) else {}
    names = {**given, **(user_scope() if names is None else names)}
    case = _case(loss, names)
    if parameters is None:
        if claimed is not None:
            raise ValueError("claimed gradients are in the shape of parameters: give these too")
        values = case.leaves()
    else:
        values = values_of(parameters, "check_gradients()")
        case.check_can_be_moved(values)
    claims: list[float | None] = [None] * len(values)
    if claimed is not None:
        claims = list(claims_of(parameters, claimed, "parameters"))
    rows = tuple(case.judge(value, claim) for value, claim in zip(values, claims, strict=True))
    held = {id(value): case.gradients[id(value)] for value in values if id(value) in case.gradients}
    passes, others = passes_held(case.graph, held)
    accumulated = others or set(passes) - {1}
    notes = (f"grad: {grad_state(passes, others)}",) if accumulated else ()
    if case.fresh:
        notes = (f"leaves that each call makes anew are not checked: {len(case.fresh)}", *notes)
    source = "back-propagated" if claimed is None else "claimed"
    report = GradientReport(f"check_gradients({named(case.graph)})", rows, notes, source)
    if show:
        report.present()
    return report


def _case(loss: Any, names: Mapping[str, Any]) -> Case:
    if isinstance(loss, Value):
        case = Case(loss, None, names)
        if case.graph.root.rule is None:
            raise NoGradientError(
                f"there is nothing to check: {describe(loss)} is not the result of a recorded operation but "
                "a leaf or a constant. Give a function that computes it"
            )
        changes = changes_in(case.recorded)
        if changes:
            site = changes[0].node.site
            at = "" if site is None else f" [{line_of(site)}]"
            raise NoGradientError(
                f"{changes[0].text}{at}. Compute the loss again, or give a function that computes it"
            )
        return case
    if not callable(loss):
        raise TypeError(
            f"check_gradients() takes a Value, or a function without arguments that returns one, not {loss!r}"
        )
    one, other = loss(), loss()
    for y in (one, other):
        if not isinstance(y, Value):
            raise TypeError(f"the function must return the loss as a Value, not {y!r}")
    if not same(one.data, other.data):
        raise ValueError(
            f"two calls of the function gave {one.data!r} and {other.data!r}: what it gives must depend "
            "on the parameters alone. Fix its seed, and leave updates out of it"
        )
    return Case(one, loss, names, other)
