"""The matrix form on random graphs over the whole table: literals, constants and values at every place."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_replay_matrix import Results, replayed, worst

import microbp
from microbp import Value
from microbp.record import record
from microbp.replay.function_graph import capture
from microbp.replay.matrix import generate, source
from microbp.rules import RULES, TABLE, Rule

#: Numbers that decide branches, vanish from products, or change a formula; beside those of a row's boxes.
SPECIAL = [0.0, 1.0, -1.0, 2.0, 0.5, -2.5, 3.0]

Make = Callable[[list[Value]], list[Any]]


class Graph:
    """A graph that grows at random, with the numbers of all its values for a few samples."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.samples = random.choice([1, 2, 3, 7])
        count = random.randint(1, 4)
        inputs = [[random.uniform(-2.0, 2.0) for _ in range(self.samples)] for _ in range(count)]
        self.x = np.array(inputs).T
        self.parameters = [Value(random.uniform(-1.5, 1.5)) for _ in range(random.randint(0, 5))]
        for each in self.parameters:
            each.requires_grad = random.random() < 0.9
        self.constants = [Value(random.uniform(-1.5, 1.5)) for _ in range(random.randint(0, 2))]
        fixed = [[each.data] * self.samples for each in self.parameters + self.constants]
        #: For each value its numbers; the Values of a sample come from ``run``.
        self.numbers = [*inputs, *fixed]
        self.steps: list[tuple[Rule, list[Any]]] = []
        for _ in range(random.randint(1, 8)):
            self.row()
        used = {each for _, operands in self.steps for each in operands if isinstance(each, int)}
        last = [each for each in range(len(self.numbers)) if each not in used]
        some = [random.randrange(len(self.numbers)) for _ in range(random.randint(1, 4))]
        self.outputs = random.choice([last, last + some, some])

    def row(self) -> None:
        """Values of one rule: what stands at one place of all is of one kind, as in a layer, or of any."""
        rule, m = self.random.choice(TABLE), self.random.choice([1, 1, 2, 3, 4])
        box = self.random.choice(rule.smooth)
        width = self.random.randint(1, 4) if rule.over else 1
        places = [
            box[place] for place, arg in enumerate(rule.args) for _ in range(width if arg in rule.over else 1)
        ]
        members = list(zip(*(self.column(m, low, high) for low, high in places), strict=True))
        for operands in members:
            if any(isinstance(each, int) for each in operands):
                self.apply(rule, list(operands))

    def column(self, m: int, low: float, high: float) -> list[Any]:
        random, size = self.random, len(self.numbers)
        kind = random.choice(["literal", "literals", "one", "neighbours", "any", "mixed"])
        literals = [round(random.uniform(low, high), 2)] + [x for x in SPECIAL if random.random() < 0.2]
        if kind == "literal":
            return [random.choice(literals)] * m
        if kind == "literals":
            return [round(random.uniform(low, high), 2) for _ in range(m)]
        first = random.randrange(size)
        if kind == "one":
            return [self.inside(first, low, high)] * m
        if kind == "neighbours":
            return [self.inside((first + n) % size, low, high) for n in range(m)]
        found = [self.inside(random.randrange(size), low, high) for _ in range(m)]
        if kind == "mixed":
            found = [random.choice([each, random.choice(literals)]) for each in found]
        return found

    def inside(self, place: int, low: float, high: float) -> int:
        """A value between the two bounds in all samples: this one, or one that is made of it."""
        if all(low <= each <= high for each in self.numbers[place]):
            return place
        for rule, operands in (
            ("sin", [place]), ("mul", [None, 0.5 * (high - low)]), ("add", [0.5 * (high + low), None])
        ):  # fmt: skip
            self.apply(RULES[rule], [len(self.numbers) - 1 if each is None else each for each in operands])
        return len(self.numbers) - 1

    def apply(self, rule: Rule, operands: list[Any]) -> None:
        """Take a step, unless it has no result or one that is not finite."""
        found = []
        for sample in range(self.samples):
            numbers = [self.numbers[each][sample] if isinstance(each, int) else each for each in operands]
            given = [Value(each) for each in numbers]
            try:
                value = record(rule, rule.split(given))
            except ArithmeticError:
                return
            slopes = [each or 0.0 for each in value.local_derivatives]
            if not all(abs(each) < 1e6 for each in [value.data, *slopes]):
                return
            found.append(value.data)
        self.steps.append((rule, operands))
        self.numbers.append(found)

    def run(self, sample: list[Any]) -> list[Any]:
        """The outputs."""
        values = [*sample, *self.parameters, *self.constants]
        for rule, operands in self.steps:
            entries = [values[each] if isinstance(each, int) else each for each in operands]
            values.append(record(rule, rule.split(entries)))
        return [values[each] for each in self.outputs]

    def eager(self) -> Results:
        values, total, inputs = [], np.zeros(len(self.parameters)), []
        for row in self.x:
            sample = [Value(float(each)) for each in row]
            for each in self.parameters:
                each.grad = None
            outputs = self.run(sample)
            microbp.sum(outputs).backward()
            values.append([each.data for each in outputs])
            total += [each.grad or 0.0 if each.requires_grad else 0.0 for each in self.parameters]
            inputs.append([each.grad or 0.0 for each in sample])
        return Results(np.array(values), np.sum(values, axis=1), total, np.array(inputs))


def difference(seed: int) -> float:
    graph = Graph(Random(seed))  # noqa: S311
    sample = [Value(float(each), name=f"x{n}") for n, each in enumerate(graph.x[0])]
    captured = capture(graph.run(sample), sample, graph.parameters)
    wanted = graph.eager()
    if not all(np.isfinite(each).all() for each in wanted):
        return 0.0
    return worst(replayed(captured, generate(captured), graph.x), wanted)


@settings(max_examples=300)
@given(st.integers(0, 2**40))
def test_any_graph_is_as_eager(seed):
    assert difference(seed) <= 1e-12


@settings(max_examples=60)
@given(st.integers(0, 2**40))
def test_any_graph_as_a_table_is_as_eager(seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "MANY", 0)
        assert difference(seed) <= 1e-12
