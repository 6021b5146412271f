"""Programs drawn at random, to be replayed: over all rows of the table, rows of equal values, arrays.

``python tests/replay_programs.py [SECONDS] [SEED]`` compares one after the other with the eager engine.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from itertools import count
from random import Random
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp import Value, cross_entropy, dot, logsumexp
from microbp.record import record
from microbp.rules import RULES, TABLE, Rule

__all__ = ["KINDS", "Drawn", "apart", "difference", "drawn", "eagerly"]

#: Numbers that decide branches, vanish from products, or change a formula; beside those of a row's boxes.
SPECIAL = [0.0, 1.0, -1.0, 2.0, 0.5, -2.5, 3.0]


class Drawn(NamedTuple):
    """A program: what it computes from the Values of a sample, its parameters, and samples."""

    run: Callable[[list[Any]], list[Any]]
    params: list[Value]
    x: np.ndarray


# --------------------------------------------------------------------------------- all rows of the table
class _Rows:
    """A graph that grows at random, with the numbers of all its values for a few samples."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.samples = random.choice([1, 2, 3, 4, 5, 7])
        size = random.randint(1, 4)
        inputs = [[random.uniform(-2.0, 2.0) for _ in range(self.samples)] for _ in range(size)]
        self.x = np.array(inputs).T
        self.params = [Value(random.uniform(-1.5, 1.5)) for _ in range(random.randint(0, 5))]
        for each in self.params:
            each.requires_grad = random.random() < 0.9
        self.constants = [Value(random.uniform(-1.5, 1.5)) for _ in range(random.randint(0, 2))]
        fixed = [[each.data] * self.samples for each in self.params + self.constants]
        #: For each value its numbers; the Values of a sample come from ``run``.
        self.numbers = [*inputs, *fixed]
        self.steps: list[tuple[Rule, list[Any]]] = []
        for _ in range(random.randint(1, 8)):
            self.row()
        used = {each for _, operands in self.steps for each in operands if isinstance(each, int)}
        last = [each for each in range(len(self.numbers)) if each not in used]
        some = [random.randrange(len(self.numbers)) for _ in range(random.randint(1, 4))]
        self.outputs = random.choice([last, last + some, some]) or some

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
        values = [*sample, *self.params, *self.constants]
        for rule, operands in self.steps:
            entries = [values[each] if isinstance(each, int) else each for each in operands]
            values.append(record(rule, rule.split(entries)))
        return [values[each] for each in self.outputs]


def rows(random: Random) -> Drawn:
    """Rows of any operation of the table: literals, constants and values at every place."""
    made = _Rows(random)
    return Drawn(made.run, made.params, made.x)


# ------------------------------------------------------------------------------------- vectors of values
def vectors(random: Random) -> Drawn:
    """Rows of one operation over neighbours, shared or scattered values, as in layers of all kinds."""
    inputs, parameters = random.randint(1, 5), random.randint(1, 6)
    steps: list[tuple[str, list[list[int]]]] = []
    sizes = [inputs, parameters]

    def places(size_of: int) -> list[int]:
        """Places, counted over all that stands before: neighbours, one place over and over, or any."""
        vector = random.randrange(len(sizes))
        start, size = sum(sizes[:vector]), sizes[vector]
        kind = random.choice(["neighbours", "neighbours", "one", "any", "mixed"])
        if kind == "neighbours" and size >= size_of:
            first, step = random.randint(0, size - size_of), random.choice([1, 1, -1])
            return [start + first + n for n in range(size_of)][::step]
        if kind == "one":
            return [start + random.randrange(size)] * size_of
        if kind == "mixed":
            return [random.randrange(sum(sizes)) for _ in range(size_of)]
        return [start + random.randrange(size) for _ in range(size_of)]

    one = ["tanh", "sigmoid", "relu", "sin", "neg", "softplus", "half", "square", "gelu"]
    two = ["add", "sub", "mul", "maximum", "ratio"]
    for _ in range(random.randint(1, 7)):
        m, k = random.randint(1, 4), random.randint(1, 4)
        rows_of = ["dot", "dot", "layer", "layer", "chain", "sum", "max", "entropy", "outer"]
        name = random.choice([*one, *two, *rows_of])
        if name == "layer":  # every row has the same values on the right
            shared = places(k)
            members = [places(k) + shared for _ in range(m)]
        elif name == "outer":  # all pairs of rows
            lefts, rights = [places(k) for _ in range(m)], [places(k) for _ in range(random.randint(1, 3))]
            members = [left + right for right in rights for left in lefts]
        else:
            width = 1 if name in one else 2 if name in two else k if name in ("sum", "max") else 2 * k
            columns = [places(m) for _ in range(width)]
            members = [list(row) for row in zip(*columns, strict=True)]
        steps.append((name, members))
        sizes.append(len(members))
    params = [Value(random.uniform(-1.0, 1.0)) for _ in range(parameters)]
    if random.random() < 0.5:
        for n, each in enumerate(params):
            each.name = f"w[{n}]"
    given = list(params)
    random.shuffle(given)

    def run(sample: list[Any]) -> list[Any]:
        values: list[Any] = [*sample, *params]
        for name, members in steps:
            values += [microbp.sin(_applied(name, [values[n] for n in row])) for row in members]
        return [dot(values[-3:], values[-3:]) + microbp.sum(values) * 0.5]

    return Drawn(run, given, _samples(random, inputs))


def _applied(name: str, v: list[Any]) -> Any:
    k = len(v) // 2
    match name:
        case "neg": return -v[0]
        case "half": return 0.5 * v[0] + 1.0
        case "square": return v[0] ** 2 * 0.1
        case "add": return v[0] + v[1]
        case "sub": return v[0] - v[1]
        case "mul": return v[0] * v[1]
        case "maximum": return microbp.maximum(v[0], v[1])
        case "ratio": return v[0] / (v[1] * v[1] + 2.0)
        case "sum": return microbp.sum(v) - v[0] * 0.25
        case "max": return microbp.max(v) + logsumexp(v)
        case "entropy": return cross_entropy(v[:k], [microbp.sin(each) for each in v[k:]])
        case "dot" | "layer" | "outer": return dot(v[:k], v[k:], 0.5)
        case "chain":
            total = v[0] * v[k]
            for w, x in zip(v[1:k], v[k + 1 :], strict=True):
                total = total - w * x
            return total
    return getattr(microbp, name)(v[0])


# ---------------------------------------------------------------------------------------------- of arrays
def arrays(random: Random) -> Drawn:
    """Arrays and parts of their rows and columns, transposed, multiplied, added up, shared and repeated."""
    rng = np.random.default_rng(random.randrange(1 << 30))
    width = random.randint(1, 5)
    pool: list[Any] = []
    params: list[Value] = []
    for number in range(random.randint(1, 4)):
        shape = (random.randint(1, 4), width) if random.random() < 0.7 else (random.choice([1, width]),)
        name = random.choice([f"W{number}", f"W{number}", None])
        made = microbp.array(rng.normal(0.0, 0.7, shape), name=name)
        pool.append(np.asarray(made, dtype=object))
        params += list(np.ravel(made))
    if random.random() < 0.3:
        for each in random.sample(params, random.randint(1, len(params))):
            each.requires_grad = False
    if random.random() < 0.5:
        random.shuffle(params)
    elif random.random() < 0.3:
        params.reverse()
    shape = (random.randint(1, 3), width) if random.random() < 0.4 else (width,)
    size, seed, length = int(np.prod(shape)), random.randrange(1 << 30), random.randint(1, 6)
    penalty = random.choice(["none", "none", "all", "part"])
    ends = random.randint(1, 3) if random.random() < 0.3 else 0

    def run(sample: list[Any]) -> list[Any]:
        draw = Random(seed)  # noqa: S311
        held = [*pool, _object(sample).reshape(shape)]
        for _ in range(length):
            held.append(_array_step(draw, held))
        total = np.sum(np.ravel(held[-1])) * 0.5
        total = total + dot([np.ravel(each)[0] for each in held], [0.3] * len(held))
        if penalty == "all":
            total = total + 0.1 * sum(each * each for each in params)
        elif penalty == "part":
            total = total + 0.1 * sum(abs(each) for each in np.ravel(pool[0]))
            total = total + 0.2 * dot(params[:2], params[:2])
        return [total, *(np.ravel(held[draw.randrange(len(held))])[0] for _ in range(ends))]

    return Drawn(run, params, _samples(random, size))


def _object(held: Any) -> Any:
    made = np.empty(len(held), dtype=object)
    made[:] = held
    return made


def _part(draw: Random, array: Any) -> Any:
    """An array, or a part of its rows and columns, perhaps in another shape or transposed."""
    for axis in range(array.ndim):
        size, kind = array.shape[axis], draw.random()
        if kind < 0.25 and size > 1:
            start = draw.randrange(size - 1)
            stop = draw.randint(start + 1, size)
            part = slice(start, stop, draw.choice([1, 1, 2]))
            array = array[(slice(None),) * axis + (part,)]
        elif kind < 0.35:
            array = array[(slice(None),) * axis + (slice(None, None, -1),)]
    if array.ndim == 2 and draw.random() < 0.1:
        array = array[draw.randrange(array.shape[0])]
    if draw.random() < 0.15:
        sizes = [each for each in range(1, array.size + 1) if array.size % each == 0]
        array = array.reshape(draw.choice(sizes), -1)
    return array.T if draw.random() < 0.3 else array


def _array_step(draw: Random, held: list[Any]) -> Any:
    a, b = (_part(draw, draw.choice(held)) for _ in range(2))
    kinds = ["matmul", "matmul", "matmul", "apply", "apply", "add", "mul", "sum", "rows", "scale", "stack"]
    kind = draw.choice(kinds)
    if kind == "matmul":
        k = min(a.shape[-1], b.shape[0])
        found = a[..., :k] @ b[:k]
        return np.asarray(found, dtype=object).reshape(np.shape(found) or (1,))
    if kind == "apply":
        name = draw.choice(["tanh", "sigmoid", "relu", "sin", "square"])
        flat = [each * each if name == "square" else getattr(microbp, name)(each) for each in np.ravel(a)]
        return _object(flat).reshape(a.shape)
    if kind in ("add", "mul"):
        k = min(a.shape[-1], b.shape[-1])
        a, b = a[..., :k], b[..., :k]
        if a.ndim == b.ndim == 2:
            b = b[: len(a)] if len(b) >= len(a) else b[:1]
        return a + b if kind == "add" else a * b
    if kind == "sum":
        found = np.sum(a, axis=draw.randrange(a.ndim))
        return np.asarray(found, dtype=object).reshape(np.shape(found) or (1,))
    if kind == "rows":
        lines = a.reshape(-1, a.shape[-1])
        name = draw.choice(["logsumexp", "max", "softmax"])
        if name == "softmax":
            return np.array([microbp.softmax(list(row)) for row in lines], dtype=object).reshape(a.shape)
        return _object([getattr(microbp, name)(list(row)) for row in lines])
    if kind == "scale":
        return a * np.ravel(b)[0]
    return np.concatenate([np.ravel(a), np.ravel(b)])[:12]


def _samples(random: Random, inputs: int) -> np.ndarray:
    return np.array([[random.uniform(-2.0, 2.0) for _ in range(inputs)] for _ in range(random.randint(1, 5))])


KINDS: dict[str, Callable[[Random], Drawn]] = {"rows": rows, "vectors": vectors, "arrays": arrays}


def drawn(kind: str, seed: int) -> Drawn:
    """The program of a seed."""
    return KINDS[kind](Random(seed))  # noqa: S311


# ------------------------------------------------------------------------------------------- comparison
def eagerly(
    program: Drawn, root: Callable[[int, list[Any]], Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outputs of the eager engine, and its gradients by parameters, added up, and by inputs.

    ``root(n, outputs)`` is what is differentiated of the sample n.
    """
    values, total, inputs, params = [], np.zeros(len(program.params)), [], program.params
    for each in params:
        each.grad = None
    for n, row in enumerate(program.x):
        leaves = [Value(float(each)) for each in row]
        results = program.run(leaves)
        cost = root(n, results)
        if isinstance(cost, Value):
            cost.backward()
        values.append([each.data if isinstance(each, Value) else each for each in results])
        total += [each.grad or 0.0 if each.requires_grad else 0.0 for each in params]
        inputs.append([each.grad or 0.0 for each in leaves])
        for each in params:
            each.grad = None
    return np.array(values), total, np.array(inputs)


def apart(pairs: Iterable[tuple[Any, Any]]) -> float:
    """By how much two arrays of a pair differ at most, relatively to the larger of 1 and the number.

    An infinity and nan are apart from all but themselves: by nan, which is below no limit.
    """
    differences = [0.0]
    with np.errstate(invalid="ignore"):
        for a, b in pairs:
            scale = np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
            alike = np.equal(a, b) | (np.isnan(a) & np.isnan(b))
            differences.append(np.max(np.where(alike, 0.0, np.abs(np.subtract(a, b)) / scale), initial=0.0))
    return float(np.max(differences))  # Python's max passes over nan


def difference(
    program: Drawn, *, form: str, memory: float = 1 << 28, whole: microbp.Program | None = None
) -> float:
    """By how much replay differs from the eager engine, relatively to the larger of 1 and the number.

    Of the straight form every bit counts, but for the sign of 0: it is 0 or infinite. ``whole`` is what the
    sum of the outputs was compiled to, where that has been done.
    """
    x, params = program.x, program.params
    sample = [Value(float(each), name=f"x{n}") for n, each in enumerate(x[0])]
    outputs = program.run(sample)
    values, total, inputs = eagerly(program, lambda _, results: microbp.sum(results))
    options: dict[str, Any] = {"form": form, "finite": False, "memory": memory}
    sums = outputs[0] if len(outputs) == 1 else microbp.sum(outputs)
    whole = whole or microbp.compile(sums, inputs=sample, params=params, **options)
    several = whole
    if len(outputs) > 1:
        several = microbp.compile(outputs, inputs=sample, params=params, **options)
    theta = np.array([each.data for each in params])
    found = whole.value_and_grad(x, theta, reduce="sum", wrt_inputs=True)
    again = whole.value_and_grad(x, theta, reduce="sum").gradient
    if again.tobytes() != found.gradient.tobytes():
        return float("inf")
    pairs = [
        (several(x).reshape(values.shape), values), (found.gradient, total), (found.inputs, inputs),
        (found.costs, np.array([sum(row, start=0.0) for row in values.tolist()])),
    ]  # fmt: skip
    for a, b in pairs:
        if form == "straight" and len(x) == 1 and not np.array_equal(a + 0.0, b + 0.0, equal_nan=True):
            return float("inf")
    return apart(pairs)


def say(told: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{told}\n")
    sys.stdout.flush()


def main() -> int:
    """Compare programs for so many seconds; the number of those that differ or fail."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    warnings.simplefilter("error")
    end, faults, seen = time.monotonic() + seconds, 0, 0
    for seed in count(start):
        for kind in KINDS:
            for form in sys.argv[3:] or ("matrix", "straight", "auto"):
                try:
                    program = drawn(kind, seed)
                    memory = 1 << 28 if seed % 3 else 1000
                    error = difference(program, form=form, memory=memory)
                except Exception as error:  # noqa: BLE001 (whatever it is, it is a fault)
                    at = traceback.extract_tb(error.__traceback__)[-1]
                    told = f"{type(error).__name__}: {error} at {at.name}:{at.lineno}, {at.line}"
                    say(f"{kind} {seed} {form} fails: {told}")
                    faults += 1
                    continue
                seen += 1
                if not error <= 1e-12:
                    say(f"{kind} {seed} {form} differs by {error}")
                    faults += 1
        if time.monotonic() > end:
            break
    say(f"{seen:,} programs, {faults} faults")
    return faults


if __name__ == "__main__":
    sys.exit(main())
