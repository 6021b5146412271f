"""What comparisons of Values remember, and what that costs those who never ask."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
from support import here

import microbp
from microbp import Value
from microbp.recording.comparisons import Comparison, comparisons_of, watched


def test_a_comparison_is_kept_at_both_operands_with_numbers_outcome_and_line() -> None:
    a, b = Value(1.0, name="a"), Value(2.0, name="b")
    assert a < b
    line = here(1)
    [(at_a, left)], [(at_b, right)] = comparisons_of(a), comparisons_of(b)
    assert at_a is at_b
    assert (left, right) == (0, 1)
    assert at_a[:4] == (1.0, "<", 2.0, True)
    assert (at_a.site, at_a.number) == (line, False)


@pytest.mark.parametrize(("sign", "outcome"), [("<", False), ("<=", True), (">", False), (">=", True)])
def test_each_sign_with_a_number(sign: str, outcome: bool) -> None:
    v = Value(1.5)
    assert eval(f"v {sign} 1.5") is outcome
    assert eval(f"1.5 {sign} v") is outcome  # Python turns it round
    kept = [comparison[:4] for comparison, _ in comparisons_of(v)]
    mirrored = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[sign]
    assert kept == [(1.5, sign, 1.5, outcome), (1.5, mirrored, 1.5, outcome)]
    assert all(comparison.number for comparison, _ in comparisons_of(v))


def test_what_is_asked_again_is_kept_once_and_no_more_than_32_in_all() -> None:
    v = Value(0.0)
    for _ in range(100):
        _ = v < 1.0
    assert [comparison.right for comparison, _ in comparisons_of(v)] == [1.0]
    for bound in range(100):
        _ = v < bound
    assert [comparison.right for comparison, _ in comparisons_of(v)] == [*map(float, range(68, 100))]


def test_the_leaves_behind_a_value_know_of_it() -> None:
    x, w = Value(2.0), Value(3.0)
    assert x * w - 1.0 > 0.0
    for leaf in (x, w):
        ((comparison, part),) = comparisons_of(leaf)
        assert (comparison.left, comparison.sign, comparison.right, part) == (5.0, ">", 0.0, 2)


def test_a_value_compared_with_itself_stands_on_both_sides() -> None:
    v = Value(1.0)
    assert v <= v  # noqa: PLR0124
    assert [side for _, side in comparisons_of(v)] == [0, 1]


def test_nothing_is_kept_alive() -> None:
    class Marked(Value):
        pass

    kept, other = Marked(1.0), Marked(2.0)
    assert kept < other
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
    assert len(comparisons_of(kept)) == 1


def test_names_sites_and_groups_stay() -> None:
    were = microbp.record_sites(True)
    with microbp.group("g"):
        v = Value(1.0) * 2.0
    line = here(1)
    microbp.record_sites(were)
    group = v._group
    v.name = "v"
    assert v > 1.0
    assert (v.name, v.site, v._group) == ("v", line, group)
    v.name = "w"
    assert (v.name, v.site, v._group, len(comparisons_of(v))) == ("w", line, group, 1)
    plain = Value(3.0, name="plain")
    assert plain > 2.0
    assert plain.name == "plain"
    with microbp.group("h"):
        bare = plain * 2.0
    assert bare > 1.0
    assert (bare.name, bare._group is not None) == (None, True)


def test_copies_and_pickles_do_not_carry_them() -> None:
    v = Value(1.0, name="v")
    assert v > 0.0
    for twin in (copy.copy(v), copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
        assert (twin.name, comparisons_of(twin)) == ("v", ())


def test_while_watched_all_are_listed_and_none_kept() -> None:
    a, b = Value(1.0), Value(2.0)
    seen = watched()
    with seen:
        outcomes = [a < b, b > 1, max(a, b) is b]
    assert outcomes == [True, True, True]
    assert [(each.left, each.comparison.sign, each.right) for each in seen.found] == [
        (a, "<", b), (b, ">", 1.0), (b, ">", a),
    ]  # fmt: skip
    assert comparisons_of(a) == comparisons_of(b) == ()
    assert isinstance(seen.found[0].comparison, Comparison)
