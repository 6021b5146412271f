"""One loss, recorded or called, and the verdict on each of its gradients."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from microbp.backward import backward_order, upstream_gradients
from microbp.check.accumulation import sums
from microbp.check.comparison import Setting, compare, tolerance_of
from microbp.check.measure import EPS, FIRST, LAST, NOTHING, RATIO, ROUNDING, Derivative, sweep
from microbp.check.moved import Called, Moved
from microbp.check.operands import entries_of
from microbp.check.operation import Verdict, verdict
from microbp.check.parameters import restored
from microbp.check.recorded import Recorded, same
from microbp.check.report import GradientRow
from microbp.check.rounding import rounding_error
from microbp.check.words import operand_names, operand_words, where
from microbp.errors import NoGradientError
from microbp.graph import Graph, Node
from microbp.labels import variable_names
from microbp.tables import number
from microbp.value import Value, describe


class Case:
    """A loss, recorded or called, and its back-propagated gradients."""

    def __init__(
        self,
        root: Value,
        function: Callable[[], Any] | None,
        names: Mapping[str, Any],
        again: Value | None = None,
    ) -> None:
        self.root = root
        self.function = function
        self.names = names
        self.graph = Graph(root, names)
        self.recorded = Recorded(self.graph)
        self.gradients = upstream_gradients(root)
        self.variables = variable_names(names)
        #: Leaves that another call has made anew.
        self.fresh: set[int] = set()
        if again is not None:
            lasting = Graph(again)._places
            self.fresh = {id(value) for value in self._all_leaves() if id(value) not in lasting}
        self._noise, self._sizes = self._estimates()

    def _all_leaves(self) -> list[Value]:
        order = reversed(backward_order(self.root))
        return [value for value in order if value.is_leaf and value.requires_grad]

    def leaves(self) -> list[Value]:
        """The leaves that take a gradient and last, in the order of the graph."""
        values = [value for value in self._all_leaves() if id(value) not in self.fresh]
        if not values:
            lasts = " and lasts from call to call" if self.fresh else ""
            raise NoGradientError(
                f"there is nothing to check: {describe(self.root)} depends on no leaf that takes a "
                f"gradient{lasts}"
            )
        return values

    def check_can_be_moved(self, values: Sequence[Value]) -> None:
        """Raise NoGradientError for a value that cannot be."""
        for value in values:
            if not value.requires_grad:
                raise NoGradientError(f"{describe(value)} is frozen (requires_grad is False)")
            if self.function is not None and not value.is_leaf:
                raise NoGradientError(
                    f"{describe(value)} was computed, and each call of the function computes it anew: give "
                    "leaves, or the recorded loss in place of the function"
                )

    def _estimates(self) -> tuple[list[float], list[float]]:
        """For each node, two sizes.

        The square of the rounding error that it causes at the root; and the sum over all paths to the
        root of the product of |local derivatives|.
        """
        sizes = [0.0] * len(self.graph)
        sizes[-1] = 1.0
        noise = [0.0] * len(self.graph)
        upstream = {i: self.gradients.get(place, 0.0) for place, i in self.graph._places.items()}
        for node in reversed(self.graph.nodes):
            if node.rule is None:
                continue
            off = upstream[node.position] * rounding_error(node.rule, entries_of(node, self.recorded.numbers))
            noise[node.position] = off * off if math.isfinite(off) else 0.0
            for operand, local in zip(node.operands, node.local_derivatives, strict=True):
                if type(operand) is int and local is not None:
                    sizes[operand] += sizes[node.position] * abs(local)
        return noise, sizes

    def setting(self, value: Value) -> Setting:
        """What is known of the gradient of a value.

        The rounding errors of the operations are as good as independent: their squares add up. What
        does not depend on the value is off by the same at every step, and cancels.
        """
        position = self.graph._places.get(id(value))
        if position is None:
            return Setting(0.0, 0.0, 0)
        order = self.recorded.dependents(position)
        size = self._sizes[position]
        noise = math.sqrt(sum(self._noise[each] for each in order))
        return Setting(noise, size if math.isfinite(size) else 0.0, len(order))

    def judge(self, value: Value, claim: float | None) -> GradientRow:
        """Measure the gradient of a value, and compare it with the claimed or back-propagated one."""
        position = self.graph._places.get(id(value))
        name = value.name or self.variables.get(id(value)) or f"Value({value.data!r})"
        name = name if position is None else self.graph.nodes[position].name
        setting = self.setting(value)
        own = self.gradients.get(id(value), 0.0)
        moved = Moved(self.recorded, position)
        probe = moved if self.function is None else Called(self.function, value, self.names)
        target = own if claim is None else claim
        with restored(value):
            best, word, why = self._measured(value.data, target, setting, probe)
            if word == "DISAGREE" and abs(target - own) <= ROUNDING * abs(own):
                word, why = self._followed_up(value.data, best, moved, probe)
        if word == "agree" and target == setting.size == 0.0 and position is not None:
            word, why = self._without_contribution(position, why, moves=best.steepest > 0.0)
        return GradientRow(name, target, best.value, tolerance_of(target, best, setting), word, why)

    def _measured(
        self, x: float, claim: float, setting: Setting, probe: Moved | Called
    ) -> tuple[Derivative, str, str]:
        """Measure until the verdict is sure: a suspicion is followed up with all steps and all corners."""
        for what, data in (("the parameter", x), ("the loss", self.root.data)):
            if not math.isfinite(data):
                return NOTHING, "inconclusive", f"not finite: {what} is {data!r}"
        best = sweep(probe.loss, x, setting.noise)[0]
        verdict, why = compare(claim, best, setting)
        if verdict == "agree":
            return best, verdict, why
        best = sweep(probe.loss, x, setting.noise, patient=True)[0]
        verdict, why = compare(claim, best, setting)
        if verdict == "agree":
            return best, verdict, why
        near = best.step
        crossed = self._crossed(probe, x, near) if math.isfinite(near) else ""
        if not crossed:
            if verdict == "inconclusive":
                beside = self._crossed(probe, x, FIRST * (abs(x) or 1.0))
                undefined = f"undefined within the step: {probe.undefined}" if probe.undefined else ""
                why = undefined or beside or why
            return best, verdict, why
        while crossed and near > LAST * (abs(x) or 1.0):
            reason, near = crossed, near / RATIO
            crossed = self._crossed(probe, x, near)
        if crossed:
            return best, "inconclusive", crossed
        best = sweep(probe.loss, x, setting.noise, below=near * (1.0 + EPS), patient=True)[0]
        verdict, why = compare(claim, best, setting)
        return best, verdict, reason if verdict == "inconclusive" else why

    def _crossed(self, probe: Moved | Called, x: float, h: float) -> str:
        """The corners between x - h and x + h in words, or an empty text."""
        here = probe.corners(x)
        found: set[int] = set()
        for there in (probe.corners(x - h), probe.corners(x + h)):
            if here is None or there is None:
                continue
            if here.operations != there.operations:
                return "another branch within the step: the function records other operations there"
            found |= {i for i, side in here.sides.items() if side != there.sides[i]}
        if not found:
            return ""
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return f"kink within the step: {self._corner(self.graph.nodes[min(found)])}{more}"

    def _corner(self, node: Node) -> str:
        """``relu at h1 (net.py:14), where net1 = 0.0``: what an operation's corner hangs on."""
        rule = node.rule
        assert rule is not None
        told = f"{rule.name} at {where(node)}"
        if not rule.kink or rule.over:
            return told
        names = dict(zip(rule.args, operand_names(self.graph, node), strict=True))
        scope = dict(zip(rule.args, entries_of(node, self.recorded.numbers), strict=True))
        value, kink = min(((each.evaluate(scope), each) for each in rule.kink), key=lambda each: abs(each[0]))
        text = re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), str(kink))
        return f"{told}, where {text} = {value!r}"

    def _followed_up(
        self, x: float, best: Derivative, moved: Moved, probe: Moved | Called
    ) -> tuple[str, str]:
        """The verdict on a back-propagated gradient that seems wrong.

        If it is, some local derivative on its way is, or the sum, or the function does what was not
        recorded.
        """
        on_the_way = {moved.position, *moved.order}
        for node in map(self.graph.nodes.__getitem__, moved.order):
            for place, operand in enumerate(node.operands):
                found = verdict(node, self.recorded.numbers, place) if operand in on_the_way else None
                if found is not None and found.word == "WRONG RULE":
                    return "DISAGREE", self._blamed(node, place, found)
        summed, told = sums(self.graph, self.gradients)
        if not summed:
            return "DISAGREE", f"wrong accumulation: {told}"
        if all(same(moved.loss(at), probe.loss(at)) for at in (x - best.step, x + best.step)):
            return "inconclusive", (
                "no local derivative is wrong: the loss has finer structure than the steps can show"
            )
        return "DISAGREE", "the function depends on it in a way that is not recorded (.data, float?)"

    def _without_contribution(self, position: int, why: str, *, moves: bool) -> tuple[str, str]:
        """The verdict on a gradient of 0 because each path to the root has a derivative of 0.

        The loss need not show that one of these is wrong: what is small may be lost beside other terms. A
        corner it does show, if it moves at all.
        """
        pending, reached = [position], {position}
        for each in pending:
            for user, place in self.recorded.uses[each]:
                node = self.graph.nodes[user]
                if node.local_derivatives[place]:
                    if user not in reached:
                        reached.add(user)
                        pending.append(user)
                    continue
                found = verdict(node, self.recorded.numbers, place)
                if found is not None and found.word == "WRONG RULE":
                    return "DISAGREE", self._blamed(node, place, found)
                if found is not None and found.word not in ("fine", "corner" if moves else "fine"):
                    told = f"the derivative 0 of {where(node)} in {operand_words(self.graph, node)[place]}"
                    return "inconclusive", f"{told} is {found.word}: {found.why}"
        if len(self.graph) - 1 in reached:
            return "inconclusive", "underflow: a product of local derivatives is below the smallest float"
        return "agree", why

    def _blamed(self, node: Node, place: int, found: Verdict) -> str:
        assert node.rule is not None
        return (
            f"rule {node.rule.name} is wrong at {where(node)}: its derivative in "
            f"{operand_words(self.graph, node)[place]} is {number(node.local_derivatives[place])}, measured "
            f"{number(found.measured)}"
        )
