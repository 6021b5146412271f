"""The contest in bench/: outcomes are compared before anything is timed, and failures are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench"

WORKLOAD = """
import time
from contest import Work, contestant
TITLE = "planted"

@contestant("reference")
def reference():
    return Work(lambda: sum(range(2000)), lambda: [1.0, 2.0])

@contestant("slower")
def slower():
    return Work(lambda: sum(range(20000)), lambda: [1.0, 2.0 + 1e-12])

@contestant("not installed")
def absent():
    import no_such_package_at_all

@contestant("broken")
def broken():
    raise RecursionError

@contestant("dies")
def dies():
    import os
    os._exit(3)
"""

WRONG = """
@contestant("wrong")
def wrong():
    return Work(lambda: None, lambda: [1.0, 2.001])
"""

RUN = """
from contest import compare, summary
rows = {row.name: row for row in compare("planted", 3)}
for row in rows.values():
    print(row.name, len(row.seconds), row.failure)
ratio, low, high = summary(rows["slower"], rows["reference"])
print("slower" if 2.0 < low <= ratio <= high else (ratio, low, high))
"""


def run(tmp_path: Path, workload: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(BENCH / "contest.py", tmp_path)
    (tmp_path / "workloads").mkdir()
    (tmp_path / "workloads" / "__init__.py").touch()
    (tmp_path / "workloads" / "planted.py").write_text(workload, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=environment, text=True, capture_output=True,
        check=False,
    )


def test_contestants_take_turns_and_failures_are_told(tmp_path):
    done = run(tmp_path, WORKLOAD)
    assert done.stdout.splitlines() == [
        "reference 3 ",
        "slower 3 ",
        "not installed 0 missing: no_such_package_at_all",
        "broken 0 RecursionError",
        "dies 0 the process died (status 3)",
        "slower",
    ], done.stderr


def test_an_outcome_that_differs_stops_everything_before_it_is_timed(tmp_path):
    done = run(tmp_path, WORKLOAD + WRONG)
    assert done.stdout == ""
    assert "ValueError: planted: outcomes differ from reference's: {'wrong': " in done.stderr
