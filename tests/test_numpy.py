"""NumPy's functions on Values, one by one: the table in docs/numpy.md, and what it cannot show."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microbp
from microbp import Value

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "docs" / "numpy.py"
_spec = importlib.util.spec_from_file_location("numpy_table", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
table = importlib.util.module_from_spec(_spec)
sys.modules["numpy_table"] = table
_spec.loader.exec_module(table)

FUNCTIONS = {each.name: each for each in table.functions()}
RNG = np.random.default_rng(11)


def shapes_in(result: Any) -> Any:
    if isinstance(result, list | tuple):
        return [shapes_in(part) for part in result]
    return np.shape(result)


def weighted(result: Any, weights: list[float]) -> Any:
    return sum(w * each for w, each in zip(weights, table.leaves_in(result), strict=True))


#: Of one number it is 0, the corner of the square root, where no derivative is: nan.
AT_A_CORNER = {(name, kind) for name in ("std", "nanstd") for kind in ("one Value", "0-d array")}


def check_recorded(function: Any, kind: str, numbers: tuple[Any, Any]) -> None:
    """The values are NumPy's, and the gradient is the one by central differences."""
    expected = table.exact(function, kind, numbers)
    x, y = (table.KINDS[kind](each) for each in numbers)
    result = function(x, y)
    assert shapes_in(result) == shapes_in(expected)
    leaves = table.leaves_in(result)
    np.testing.assert_allclose(table.number_of(leaves), table.leaves_in(expected), rtol=1e-12, atol=1e-15)
    if (function.name, kind) in AT_A_CORNER:
        assert np.isnan(microbp.grad(leaves[0], x if isinstance(x, Value) else x[()]))
        return
    weights = RNG.uniform(0.5, 1.5, len(leaves)).tolist()
    gradients = microbp.grad(weighted(result, weights), [np.asarray(x), np.asarray(y)])
    for which, gradient in enumerate(gradients):
        for place in np.ndindex(np.shape(gradient)):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [np.array(each, dtype=float) for each in numbers]
                moved[which][place] += step
                arguments = [each[()] if each.ndim == 0 else each for each in moved]
                sides.append(weighted(table.exact(function, kind, arguments), weights))
            slope = (sides[0] - sides[1]) / 2e-6
            assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-7), (which, place)


def check_plain(function: Any, kind: str, numbers: tuple[Any, Any], result: Any) -> None:
    expected = table.exact(function, kind, numbers)
    assert shapes_in(result) == shapes_in(expected)
    assert table.leaves_in(result) == table.leaves_in(expected)


@pytest.mark.parametrize("kind", table.KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_of_the_table(name: str, kind: str) -> None:
    function = FUNCTIONS[name]
    numbers = table.arguments(function, kind)
    outcome = table.tried(function, kind)
    if outcome.kind == "recorded":
        check_recorded(function, kind, numbers)
    elif outcome.kind == "plain numbers":
        check_plain(function, kind, numbers, outcome.values)
    elif outcome.kind == "refused" and kind != table.PLAIN_ARRAY:
        head, _, way_out = str(outcome.error).partition("; ")
        assert head == f"np.{name} of Values is not recorded"
        assert way_out
    else:
        assert outcome.kind == "" or kind == table.PLAIN_ARRAY


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_of_one_dimension_is_treated_as_a_matrix_is(name: str) -> None:
    function = FUNCTIONS[name]
    row = function._replace(x=function.x.ravel()[:3], y=function.y.ravel()[:3])
    kind = "`microbp.array`"
    if table.takes(row, kind):
        outcome = table.tried(row, kind)
        assert outcome.kind == table.tried(function, kind).kind
        if outcome.kind == "recorded":
            check_recorded(row, kind, (row.x, row.y))


def test_the_table_in_the_documentation_is_what_happens() -> None:
    """Line by line: another version of NumPy may lack some functions, and may have more."""
    page = (ROOT / "docs" / "numpy.md").read_text(encoding="utf-8")
    written = page.splitlines()
    missing = [line for line in table.page().splitlines() if line not in written]
    known = [line for line in missing if line.split("|")[1:2] and f"|{line.split('|')[1]}|" in page]
    strangers = [line for line in missing if line not in known and not line.startswith("| `")]
    assert (known, strangers) == ([], []), "write it anew: python docs/numpy.py"
