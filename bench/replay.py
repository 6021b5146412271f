"""Replay beside its peers: ten pieces of work, one table.

    python bench/replay.py [--rounds N] [--json FILE] [WORKLOAD ...]

Each contestant runs in a process of its own on one core; their outcomes are compared before anything is
timed; then they take turns, round by round. What is printed for each is the median time of one run, and
the median, over the rounds, of its time relative to that of microbp's replay in the same round, with the
range. A peer that is not installed is shown as missing, one that fails with the name of its error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from contest import Row, compare, contestants, summary
from rich.console import Console
from rich.table import Table

import microbp

WORKLOADS = (
    "expression", "depth", "width", "demo_net", "softmax_net", "demo_net_inside", "softmax_net_inside",
    "tiny_net", "digits", "function",
)  # fmt: skip
#: The contestant to which the others are compared.
OURS = "microbp, replay"
PEERS = ("numpy", "micrograd", "autograd", "torch", "jax", "casadi", "pytensor")


def main() -> int:
    """Run the command line; 0 if all outcomes agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each comparison (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE as well")
    args = parser.parse_args()
    unknown = [each for each in args.workloads if each not in WORKLOADS]
    if unknown:
        parser.error(f"there is no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    core = pin()
    console = Console(width=118)
    console.print(
        f"microbp {microbp.__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, core {core}, {args.rounds} rounds"
    )
    console.print("peers: " + ", ".join(f"{each} {installed(each)}" for each in PEERS), "\n")
    numbers: dict[str, Any] = {}
    for workload in args.workloads or WORKLOADS:
        try:
            rows = compare(workload, args.rounds)
        except ValueError as error:
            console.print(f"[bold red]WRONG[/] {error}", highlight=False)
            return 1
        console.print(table(workload, rows), "\n")
        numbers[workload] = {row.name: row._asdict() for row in rows}
        if args.json:
            args.json.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    return 0


def pin() -> str:
    """Keep this process and those that it starts on one core; which, as a text."""
    if not hasattr(os, "sched_setaffinity"):
        return "any"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return str(core)


def installed(package: str) -> str:
    """Its version, or ``missing``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def table(workload: str, rows: list[Row]) -> Table:
    """The contestants of a workload, the quickest first."""
    module, _ = contestants(workload)
    ours = next(row for row in rows if row.name == OURS)
    made = Table(title=module.TITLE, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("", "µs a run", "times replay", "range", "first run, s", "difference"):
        made.add_column(name, justify="left" if not name else "right")
    for row in sorted(rows, key=lambda row: statistics.median(row.seconds) if row.seconds else float("inf")):
        if not row.seconds:
            made.add_row(row.name, row.failure)
            continue
        ratio, low, high = summary(row, ours) if ours.seconds else (float("nan"),) * 3
        made.add_row(
            row.name, f"{1e6 * statistics.median(row.seconds):,.4g}", f"{ratio:,.3g} ×",
            f"{low:,.3g} – {high:,.3g}", f"{row.first:.2g}", f"{row.difference:.0e}",
            style="bold" if row.name == OURS else "",
        )  # fmt: skip
    return made


if __name__ == "__main__":
    sys.exit(main())
