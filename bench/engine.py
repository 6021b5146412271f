"""The engine beside micrograd: speed and memory of recording and of the backward pass, as ratios.

    python bench/engine.py [--rounds N] [--full] [--json FILE]

Everything runs in one process on one core, with Python's garbage collector as Python has it. Before
anything is timed, both packages compute the same work and their results are compared. Then they take
turns, round by round, and each round gives one ratio: what is printed is the median of the ratios and
their range, so that a machine that is slow for a while slows both. bench/README.md says how to read
the table.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import microbp

try:
    from micrograd.engine import Value as MicrogradValue
except ImportError:
    MicrogradValue = None

#: Each sample takes at least this long.
SAMPLE_NS = 100_000_000
SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: Operations in each sample of a chain, whatever its length.
CHAINED = 1_000_000
#: Operations of a graph whose memory is new to the process.
LARGEST = 10_000_000
INPUTS = 32


# ---------------------------------------------------------------------------------------- the work
def expression(kind: Any) -> tuple[Any, Any, Any]:
    """The example of micrograd's README, recorded and back-propagated."""
    a, b = kind(-4.0), kind(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    return a, b, g


#: The operations that a reader of :func:`expression` counts in it.
WRITTEN = 25


def chain(kind: Any, operations: int) -> tuple[Any, Any, Any]:
    """``v * w + x``, again and again; each operation's operand is the result of the one before."""
    w, x = kind(0.5), kind(1.0)
    v = x
    for _ in range(operations // 2):
        v = v * w + x
    v.backward()
    return w, x, v


def weighted_sum(kind: Any, *, one_node: bool = False) -> Callable[[], tuple[Any, Any, Any]]:
    """Work that records a weighted sum of leaves, as one node or as ``w0 * x0 + w1 * x1 + …``."""
    w = [kind(0.01 * i) for i in range(INPUTS)]
    x = [kind(1.0 - 0.03 * i) for i in range(INPUTS)]

    def node() -> tuple[Any, Any, Any]:
        net = microbp.dot(w, x)
        net.backward()
        return w[3], x[3], net

    def written_out() -> tuple[Any, Any, Any]:
        net = w[0] * x[0]
        for i in range(1, INPUTS):
            net = net + w[i] * x[i]
        net.backward()
        return w[3], x[3], net

    return node if one_node else written_out


def recording_only() -> microbp.Value:
    """400 operations without their backward pass."""
    v = x = microbp.Value(1.0)
    for _ in range(200):
        v = v * x + x
    return v


def deep(function: Callable[[], Any]) -> Any:
    """``function()`` where recursion may go deep: micrograd recurses over its graph."""
    result: list[Any] = []
    limit, size = sys.getrecursionlimit(), threading.stack_size(512 * 1024 * 1024)
    sys.setrecursionlimit(10 * max(SIZES))
    try:
        thread = threading.Thread(target=lambda: result.append(function()))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(size)
    return result[0]


# --------------------------------------------------------------------------------------- measuring
class Spread(NamedTuple):
    """A median and the range around it."""

    median: float
    low: float
    high: float


def spread(numbers: Sequence[float]) -> Spread:
    """The median and the range of some numbers."""
    return Spread(statistics.median(numbers), min(numbers), max(numbers))


class Row(NamedTuple):
    """One line of the table; a text stands where there is no number."""

    what: str
    unit: str
    microbp: Spread | str
    other: Spread | str
    ratio: Spread | str
    target: str = ""


def sample(work: Callable[[], Any], repeats: int) -> float:
    """Nanoseconds of this process's own time for one call of ``work``."""
    start = time.process_time_ns()
    for _ in range(repeats):
        work()
    return (time.process_time_ns() - start) / repeats


def repeats_of(work: Callable[[], Any]) -> int:
    """How often ``work`` goes into a sample; finding out warms everything up."""
    repeats = 1
    while (took := sample(work, repeats) * repeats) < SAMPLE_NS:
        repeats = max(2 * repeats, int(repeats * SAMPLE_NS / max(took, 1e6)) + 1)
    return repeats


def in_turns(rounds: int, *works: Callable[[], Any]) -> list[list[float]]:
    """For each work its nanoseconds in each round."""
    repeats = [repeats_of(work) for work in works]
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        order = range(len(works)) if number % 2 == 0 else reversed(range(len(works)))
        for i in order:
            if not gc.isenabled():
                gc.collect()
            times[i].append(sample(works[i], repeats[i]))
    return times


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratio of each round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def compare(one: tuple[Any, Any, Any], other: tuple[Any, Any, Any], what: str) -> None:
    """Both packages must have computed the same value and gradients; ``(leaf, leaf, root)``."""
    numbers = [(one[2].data, other[2].data), *((a.grad, b.grad) for a, b in zip(one, other, strict=True))]
    if not all(math.isclose(a, b, rel_tol=1e-12) for a, b in numbers):
        raise SystemExit(f"{what}: the results differ, so there is nothing to time: {numbers}")


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most memory that was allocated at once during ``work``."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------------------------- the measurements
def beside(
    what: str, ours: Callable[[], Any], theirs: Callable[[], Any] | None, operations: int, rounds: int,
    target: str = "",
) -> Row:  # fmt: skip
    """Our time and micrograd's for the same operations, and how many times faster ours is."""
    if theirs is None:
        [mine] = in_turns(rounds, ours)
        return Row(what, "ns/op", spread([t / operations for t in mine]), "missing", "", target)
    compare(ours(), theirs(), what)
    mine, other = in_turns(rounds, ours, theirs)
    return Row(
        what, "ns/op", spread([t / operations for t in mine]), spread([t / operations for t in other]),
        ratios(other, mine), target,
    )  # fmt: skip


def readme(rounds: int) -> list[Row]:
    """The example as it runs, and with the garbage collector switched off."""
    theirs = None if MicrogradValue is None else lambda: expression(MicrogradValue)
    work = (lambda: expression(microbp.Value), theirs, WRITTEN, rounds)
    rows = [beside("(a) README expression, record + backward", *work, ">= 30 x faster")]
    if isinstance(cost := rows[0].microbp, Spread):
        whole = Spread(*(WRITTEN * each for each in cost))
        rows.append(Row("    the whole expression", "ns", whole, "", "", "<= 1,000 (oxigrad: 5,500)"))
    gc.disable()
    try:
        rows.append(beside("    the same with the collector off", *work))
    finally:
        gc.enable()
        gc.collect()
    return rows


def control(rounds: int) -> Row:
    """The expression beside itself: what the ratios of this run are worth."""
    one, other = in_turns(rounds, lambda: expression(microbp.Value), lambda: expression(microbp.Value))
    mine, again = (spread([t / WRITTEN for t in each]) for each in (one, other))
    return Row("control: expression beside itself", "ns/op", mine, again, ratios(other, one), "1")


def memory() -> Row:
    """The most that a graph and its backward pass take at once, for each operation.

    Ours lie in blocks that are used again: this is the first graph that is large.
    """
    large, operations = SIZES[-1], 20_000
    row = Row("(b) peak memory, chain of 10^6", "bytes/op", "", "missing", "", "<= 120 bytes")
    ours = peak_bytes(lambda: chain(microbp.Value, large)) / large
    if MicrogradValue is None:
        return row._replace(microbp=spread([ours]))
    theirs = deep(lambda: peak_bytes(lambda: chain(MicrogradValue, operations))) / operations
    return row._replace(
        microbp=spread([ours]), other=spread([theirs]), ratio=spread([theirs / ours])
    )


def chains(kind: Any, sizes: Sequence[int], rounds: int, operations: int) -> list[list[float]]:
    """Nanoseconds for each operation of a chain, in each round, for each length."""
    times: list[list[float]] = [[] for _ in sizes]
    for _ in range(rounds):
        for size, row in zip(sizes, times, strict=True):
            gc.collect()  # micrograd's graphs wait for it, and are not the next one's to pay for
            row.append(sample(partial(chain, kind, size), max(1, operations // size)) / size)
    return times


def by_length(rounds: int, full: bool) -> list[Row]:
    """Cost of a chained operation at each length, relative to the shortest in the same round."""
    ours = chains(microbp.Value, SIZES, rounds, CHAINED)
    rows = []
    theirs: dict[int, list[float]] = {}
    plain = "missing"
    if MicrogradValue is not None:
        sizes = SIZES if full else SIZES[:-1]
        compare(chain(microbp.Value, 100), chain(MicrogradValue, 100), "chain")
        times = deep(lambda: chains(MicrogradValue, sizes, min(rounds, 3), CHAINED // 10))
        theirs = dict(zip(sizes, times, strict=True))
        try:
            chain(MicrogradValue, SIZES[0])
            plain = "runs"
        except RecursionError:
            plain = "RecursionError"
    for size, times in zip(SIZES, ours, strict=True):
        target = "<= 1.5 x that of 10^3" if size == SIZES[-1] else ""
        name = f"(c) chain of 10^{len(str(size)) - 1}, relative to 10^3"
        rows.append(Row(name, "ns/op", spread(times), plain, ratios(times, ours[0]), target))
    for size in SIZES if theirs else ():
        name = f"    micrograd, limits raised: 10^{len(str(size)) - 1}"
        if size in theirs:
            relative = ratios(theirs[size], theirs[SIZES[0]])
            rows.append(Row(name, "ns/op", "", spread(theirs[size]), relative))
        else:
            rows.append(Row(name, "ns/op", "", "with --full", ""))
    return rows


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """What ``work`` takes of this process, and of the system for it: page faults, above all."""
    gc.collect()
    before = os.times()
    work()
    after = os.times()
    return after.user - before.user, after.system - before.system


def in_fresh_memory(rounds: int) -> list[Row]:
    """A chain of 10^7 in memory that is new to the process, beside NumPy writing to as much of it.

    What the system takes to hand out pages is what no program is spared that writes to them.
    """
    size = round(peak_bytes(partial(chain, microbp.Value, SIZES[-1])) / SIZES[-1] * LARGEST)
    short, own, system, numpy = (list[float]() for _ in range(4))
    for _ in range(rounds):
        [[few]] = chains(microbp.Value, SIZES[:1], 1, CHAINED)
        ours = seconds(partial(chain, microbp.Value, LARGEST))
        theirs = seconds(lambda: np.empty(size, np.uint8).fill(1))
        for each, taken in zip((own, system, numpy), (*ours, sum(theirs)), strict=True):
            each.append(1e9 * taken / LARGEST)
        short.append(few)
    whole = [sum(both) for both in zip(own, system, strict=True)]
    return [
        Row("(f) chain of 10^7 in fresh memory", "ns/op", spread(whole), "", ratios(whole, short), "flat"),
        Row("    without what the system takes", "ns/op", spread(own), "", ratios(own, short), "<= 1.5"),
        Row(
            f"    that, beside NumPy writing {size / 1e9:.1f} GB", "ns/op", spread(system), spread(numpy),
            ratios(numpy, system),
        ),
    ]  # fmt: skip


def in_calls() -> None:
    """400 operations, two in each call of a function of the user's."""
    x = microbp.Value(1.0)
    for _ in range(200):
        _in_a_call(x)


def _in_a_call(x: microbp.Value) -> Any:
    return x * x + x


def sites(rounds: int) -> list[Row]:
    """What it costs to note the line of user code with each node."""
    net, x = microbp.MLP(2, [16, 16, 1], seed=0), [microbp.Value(0.3), microbp.Value(0.7)]
    works: list[tuple[str, Callable[[], Any], int]] = [
        ("(d) recording with record_sites(), one function", recording_only, 400),
        ("    in calls of a small function", in_calls, 400),
        ("    in the layers of a net, per neuron", partial(net, x), 33),
    ]
    rows = []
    for what, work, count in works:

        def often(work: Callable[[], Any] = work) -> None:
            for _ in range(100):  # to switch it on and off is not what is asked for
                work()

        def noting(often: Callable[[], Any] = often) -> None:
            microbp.record_sites()
            try:
                often()
            finally:
                microbp.record_sites(on=False)

        off, on = ([t / count / 100 for t in times] for times in in_turns(rounds, often, noting))
        rows.append(Row(what, "ns/op", spread(on), "", ratios(on, off), "<= 1.5"))
    return rows


def dots(rounds: int) -> list[Row]:
    """A weighted sum as one node, beside the same written out; operations as written out."""
    node, many = weighted_sum(microbp.Value, one_node=True), weighted_sum(microbp.Value)
    compare(node(), many(), "dot")
    operations = 2 * INPUTS - 1
    mine, other = in_turns(rounds, node, many)
    name, cost = f"(e) dot of {INPUTS}, beside w*x + ... of", spread([t / operations for t in mine])
    theirs = None if MicrogradValue is None else weighted_sum(MicrogradValue)
    fresh = weighted_sum(microbp.Value, one_node=True)
    return [
        Row(f"{name} microbp", "ns/op", cost, "", ratios(other, mine)),
        beside(f"{name} micrograd", fresh, theirs, operations, rounds),
    ]


def measure(rounds: int, full: bool) -> list[Row]:
    """All rows of the table."""
    return [
        *readme(rounds),
        control(rounds),
        memory(),
        *by_length(rounds, full),
        *(in_fresh_memory(min(rounds, 3)) if full else ()),
        *sites(rounds),
        *dots(rounds),
    ]


# ---------------------------------------------------------------------------------------- the table
def _cell(x: Spread | str, digits: int) -> str:
    return x if isinstance(x, str) else f"{x.median:,.{digits}f}"


def _ratio(x: Spread | str) -> str:
    if isinstance(x, str):
        return x
    return f"{x.median:.2f}" if x.low == x.high else f"{x.median:.2f}  ({x.low:.2f}-{x.high:.2f})"


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    cells = [("", "", "microbp", "micrograd", "ratio: median (range)", "target")]
    cells += [
        (r.what, r.unit, _cell(r.microbp, 0), _cell(r.other, 0), _ratio(r.ratio), r.target) for r in rows
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if i in (2, 3) else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def surroundings() -> dict[str, Any]:
    """The versions and the machine that the numbers belong to."""
    missing = MicrogradValue is None
    return {
        "microbp": microbp.__version__,
        "micrograd": "missing" if missing else importlib.metadata.version("micrograd"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def pin() -> int | None:
    """Keep this process on one core, where the system can; returns which."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def main() -> None:
    """Measure, print one table, and write the numbers to a file where one is named."""
    parser = argparse.ArgumentParser(description="The engine of microbp beside micrograd.")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each comparison (9)")
    parser.add_argument("--full", action="store_true", help="micrograd at 10^6 too: a minute, 2 GB")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to FILE as well")
    asked = parser.parse_args()
    told = surroundings() | {"core": pin(), "rounds": asked.rounds}
    rows = measure(asked.rounds, asked.full)
    print(", ".join(f"{name} {what}" for name, what in told.items()))
    print(table(rows))
    if asked.json:
        report = {**told, "rows": [_as_record(row) for row in rows]}
        Path(asked.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _as_record(row: Row) -> dict[str, Any]:
    return {name: x._asdict() if isinstance(x, Spread) else x for name, x in row._asdict().items()}


if __name__ == "__main__":
    main()
