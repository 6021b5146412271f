"""The plugin of pytest: a test with a wrong gradient fails, and shows the report."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
PLUGIN = "microbp.bridges.pytest_plugin"

RIGHT = """
import numpy as np

def cost(x):
    return np.sum(np.sin(x) * x)

def test_array(assert_gradients):
    report = assert_gradients(cost, [0.5, 2.0], gradient=lambda x: np.cos(x) * x + np.sin(x))
    assert report.counts == {"agree": 2}

def test_values(assert_gradients):
    from microbp import Value
    w, x = Value(0.5, name="w"), 3.0
    assert_gradients((w * x).tanh(), [w])
"""
WRONG = """
import numpy as np

def test_wrong(assert_gradients):
    W = np.array([0.5, 2.0])
    assert_gradients(lambda x: np.sum(x**2), W, gradient=lambda x: np.array([1.0, 3.5]))

def test_nothing_is_known(assert_gradients):
    assert_gradients(abs, np.array(0.0), gradient=0.0)
"""


def test_a_right_gradient_passes_and_a_wrong_one_fails_with_the_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_right=RIGHT, test_wrong=WRONG)
    result = pytester.runpytest_subprocess("-p", PLUGIN)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.no_fnmatch_line("FAILED test_right.py*")
    result.stdout.fnmatch_lines([
        "*check_gradients(loss = 4.25): 1 agree, 1 DISAGREE",
        "*name *claimed *numerical *verdict",
        "*W[[]0[]] *+1.0000000 *+1.0000000 *agree",
        "*W[[]1[]] *+3.5000000 *+4.0000000 *DISAGREE",
    ])  # fmt: skip
    result.stdout.fnmatch_lines(["*check_gradients(loss = 0): 1 inconclusive", "*kink or jump within the *"])
    result.stdout.no_fnmatch_line("*pytest_plugin.py:*")  # the test's own line is shown


def test_it_is_installed_as_a_plugin_under_the_name_of_its_module() -> None:
    """So that ``-p`` and this name beside an installed one registers nothing twice."""
    config = ConfigParser()
    config.read(Path(__file__).parents[1] / "setup.cfg")
    assert config["options.entry_points"]["pytest11"].split() == [PLUGIN, "=", PLUGIN]
