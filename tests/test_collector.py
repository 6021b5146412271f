"""A growing graph does not set Python's cyclic garbage collector off; all other garbage is collected.

Each test runs in a process of its own: the collector is one to a process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import pure

PRELUDE = """
import gc, json, sys
from microbp import Value, collector

gc.set_threshold(700, 10, 10)  # what it is at first differs between Python's versions
walks = 0  # full walks that look at more than what Python has frozen by itself

def count_walks(phase, info):
    global walks
    if phase == "start" and info["generation"] == 2:
        walks += gc.get_freeze_count() < 1000

class Cycle:
    alive = 0
    def __init__(self):
        self.me = self
        Cycle.alive += 1
    def __del__(self):
        Cycle.alive -= 1

def chain(length):
    v = Value(1.0)
    for _ in range(length):
        v = v * 1.0
    return v

kept = []
"""


def run(code: str) -> Any:
    """What ``code`` stores as ``result``, in a fresh process."""
    program = f"{PRELUDE}\n{code}\njson.dump(result, sys.stdout)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def walks_during(work: str, *, stopped: bool = False) -> int:
    stop = "collector.stop()" if stopped else ""
    return run(f"Value(1.0)\n{stop}\ngc.callbacks.append(count_walks)\n{work}\nresult = walks")


def test_nothing_is_installed_before_the_first_value() -> None:
    assert run("result = len(gc.callbacks)") == 0
    assert run("import microbp.graph, microbp.array; result = len(gc.callbacks)") == 0


@pure
def test_the_first_value_starts_it_and_stop_undoes_it() -> None:
    counts = run("""
result = []
def note():
    result.append(len(gc.callbacks))
collector.stop(); note()
Value(1.0); note()
Value(2.0) * Value(3.0); collector.start(Value); note()
collector.stop(); note()
chain(10); collector.stop(); note()
collector.start(Value); note()
""")
    assert counts == [0, 2, 2, 0, 0, 2]


@pure
def test_the_collector_s_settings_are_the_program_s() -> None:
    assert run("""
gc.set_threshold(500, 7, 6)
gc.callbacks.append(count_walks)
chain(50_000)
gc.collect()
gc.disable()
chain(50_000)
result = [gc.get_threshold(), gc.isenabled(), gc.get_debug(), len(gc.callbacks), gc.get_freeze_count() < 1000]
""") == [[500, 7, 6], False, 0, 3, True]


NODES = "kept = chain(400_000)"
LISTS = "kept.extend([] for _ in range(400_000))"
BOTH = "v = Value(1.0)\nfor _ in range(300_000): v = v * 1.0; kept.append([])"


@pure
def test_nodes_alone_bring_about_no_full_walk() -> None:
    assert walks_during(NODES, stopped=True) >= 3  # what Python would do
    assert walks_during(NODES) == 0


def test_the_walks_stay_away_whatever_the_graph_is_made_of() -> None:
    assert walks_during("""
import microbp
W = microbp.array([[0.1 * i for i in range(32)] for _ in range(32)])
x = microbp.array([1.0] * 32)
for _ in range(100):
    x = microbp.tanh(W @ x)
loss = microbp.sum(x)
loss.backward()
slope = microbp.grad(loss, W, create_graph=True)
""") == 0


def test_other_objects_bring_about_full_walks_as_ever() -> None:
    alone = walks_during(LISTS, stopped=True)
    assert alone >= 3
    assert walks_during(LISTS) >= alone - 1
    assert walks_during(BOTH) >= 1


def test_old_garbage_beside_a_graph_is_collected() -> None:
    """Cycles that were old when they became garbage: other objects bring their collection about."""
    left = run("""
graph = chain(200_000)
kept = [Cycle() for _ in range(50_000)]
graph = graph + chain(50_000)  # now both are old
kept.clear()
before = Cycle.alive
for _ in range(20):
    graph = graph + chain(5_000)
    kept.extend([] for _ in range(20_000))
result = [before, Cycle.alive]
""")
    assert left[0] == 50_000
    assert left[1] == 0


def test_old_garbage_is_collected_though_every_round_records_a_graph() -> None:
    """A middle walk that is left out sets back Python's count towards the next full one."""
    left = run("""
kept = [Cycle() for _ in range(50_000)]
graph = chain(50_000)
kept.clear()
before = Cycle.alive
for _ in range(30):
    graph = chain(16_000)
    kept.extend([] for _ in range(16_000))
result = [before, Cycle.alive]
""")
    assert left == [50_000, 0]


def test_young_garbage_is_collected_while_a_graph_grows() -> None:
    most = run("""
v, result = Value(1.0), 0
for _ in range(100_000):
    v = v * 1.0
    Cycle()
    result = max(result, Cycle.alive)
""")
    assert most < 20_000


def test_an_explicit_collection_does_what_it_says() -> None:
    assert run("""
gc.disable()
graph = chain(200_000)
kept = [Cycle() for _ in range(1000)]
gc.collect()
kept.clear()
alive = Cycle.alive
gc.collect()
result = [alive, Cycle.alive]
""") == [1000, 0]
    assert run("""
graph = chain(100_000)
kept = [Cycle() for _ in range(1000)]
graph = graph + chain(100_000)
kept.clear()
gc.callbacks.append(count_walks)
gc.collect()
result = [Cycle.alive, walks]
""") == [0, 1]


def test_objects_that_the_program_froze_stay_frozen() -> None:
    assert run("""
Value(1.0)
gc.collect()
gc.freeze()
frozen = gc.get_freeze_count()
graph = chain(200_000)
kept.extend([] for _ in range(100_000))
gc.collect()
result = [frozen > 1000, frozen - gc.get_freeze_count() < 100]
""") == [True, True]


@pure
def test_nothing_stays_frozen_behind_a_walk_that_was_put_off() -> None:
    assert run("""
before = gc.get_freeze_count()
Value(1.0)
seen = []
gc.callbacks.append(lambda phase, info: seen.append((phase, gc.get_freeze_count() > 1000)))
graph = chain(400_000)
result = [("start", True) in seen, ("stop", True) in seen, gc.get_freeze_count() <= before]
""") == [True, False, True]


@pytest.mark.parametrize("stopped", [False, True])
def test_recording_gives_the_same_with_and_without(stopped: bool) -> None:
    stop = "collector.stop()" if stopped else ""
    assert run(f"""
Value(1.0)
{stop}
x = Value(1.0)
v = x
for _ in range(100_000):
    v = v + x
v.backward()
result = [v.data, x.grad]
""") == [100_001.0, 100_001.0]


def test_the_callback_is_quiet_where_the_stack_has_no_room_and_is_there_again() -> None:
    """At every depth a collection begins, also at the last one, where no Python code can run any more."""
    found = run("""
ignored = []
sys.unraisablehook = ignored.append
sys.setrecursionlimit(200)
overflows = 0

def deeper(v):
    kept.append([[]])
    deeper(v * 1.0)

for fresh in range(1, 41):
    gc.set_threshold(fresh, 10, 10)
    try:
        deeper(Value(1.0))
    except RecursionError:
        overflows += 1
    kept.clear()
gc.set_threshold(700, 10, 10)
ignored.clear()  # a callback has no room there, whatever it is
gc.collect()
quiet = not ignored
with collector.collector_at_rest():
    pass
watched = collector._alive()
gc.collect()
result = [overflows, quiet, watched, not ignored, gc.get_freeze_count() < 1000]
""")
    assert found == [40, True, True, True, True]
