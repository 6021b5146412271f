"""What the tests themselves stand on."""

from __future__ import annotations

import pytest
from support import at_once


def test_a_table_runs_whole_and_names_each_row_that_fails() -> None:
    seen = []

    @at_once([(0, "nothing"), (2, "half")], ["divides", "is even"])
    def test_planted(x: int, told: str, what: str) -> None:
        seen.append((x, what))
        if what == "divides":
            with pytest.raises(ZeroDivisionError):
                1 / x
        else:
            assert x == 0, told

    with pytest.raises(AssertionError) as failed:
        test_planted()
    assert seen == [(0, "divides"), (0, "is even"), (2, "divides"), (2, "is even")]
    rows = [line for line in str(failed.value).splitlines() if line.startswith(("0, ", "2, "))]
    assert [row.split(":")[:2] for row in rows] == [
        ["2, half, divides", " Failed"], ["2, half, is even", " AssertionError"],
    ]  # fmt: skip
