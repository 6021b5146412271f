"""Settings for all tests: the same examples in every run, on a slow machine as on a fast one."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from processes import Commands

from microbp import record_sites
from microbp.rules import RULES

# Hundreds of processes that tests start find the library compiled, also where the shell forbids to keep that.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No deadline: no test asserts seconds. New examples, and more: pytest --hypothesis-profile=default
settings.register_profile("microbp", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("microbp")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The campaign of docs/reliability.md in its long form: ``pytest tests/test_reliability*.py --long``."""
    parser.addoption("--long", action="store_true", help="the long form of tests/test_reliability*.py")


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the campaign runs in its long form."""
    return bool(request.config.getoption("--long"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: the garbage collector does not walk over it again.

    For what comes it is called less often than Python would, where graphs of many values grow.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000)


# No test pulls the plug: what was written is there for all to read before the disk has it.
os.fsync = lambda _: None

# Some tests press Ctrl-C, which a shell that starts them in the background has them ignore.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _the_table_stays_as_it_is() -> Iterator[None]:
    """What a test, or an example of the README, defines goes when it ends."""
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


@pytest.fixture(scope="session")
def command() -> Iterator[Commands]:
    """``command(*argv)``: what came of ``python -m microbp`` in a process of its own."""
    commands = Commands()
    yield commands
    commands.close()


@pytest.fixture
def sites() -> Iterator[None]:
    """Values know the line that made them."""
    before = record_sites()
    yield
    record_sites(before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
