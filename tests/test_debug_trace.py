from __future__ import annotations

import gc
import json
import math
import pickle
import tracemalloc

import pytest
from hypothesis import given
from strategies import Program, programs
from support import at_once, bits
from tutorial import written_out

from microbp import Graph, NoGradientError, Value, array, define, dot, group, record_sites
from microbp.debug.trace import NotATrace, Trace, trace
from microbp.record import record

NAN, INF = math.nan, math.inf


def run(program: Program) -> Value:
    leaves = [Value(x, name=f"x{i}") for i, x in enumerate(program.leaves)]
    loss = program.run(record, lambda v: v.sin() if isinstance(v, Value) else math.sin(v), leaves)
    return loss if isinstance(loss, Value) else leaves[0] * 0.0 + loss


# --------------------------------------------------------------------------------- the engine's numbers
@given(programs())
def test_the_gradients_are_the_engine_s_to_the_last_bit(program: Program) -> None:
    loss = run(program)
    recorded = trace(loss, {})
    loss.backward()
    engine = [node.grad for node in Graph(loss)]
    assert [*map(bits, recorded.gradients())] == [*map(bits, engine)]


@given(programs())
def test_each_step_adds_up(program: Program) -> None:
    recorded = trace(run(program), {})
    nodes = recorded.graph.nodes
    final = recorded.gradients()
    held: dict[int, float | None] = {nodes[-1].position: 1.0}
    waiting: dict[int, list[int]] = {}
    assert [step.node for step in recorded.steps] == [n.position for n in reversed(nodes) if n.rule]
    assert [step.index for step in recorded.steps] == [*range(1, len(recorded) + 1)]
    for step in recorded.steps:
        node = nodes[step.node]
        assert bits(step.upstream) == bits(held[step.node]) == bits(final[step.node])
        assert [c.place for c in step.contributions] == sorted(
            (c.place for c in step.contributions), reverse=True
        )
        for c in step.contributions:
            assert node.operands[c.place] == c.operand
            assert bits(c.local) == bits(node.local_derivatives[c.place])
            assert bits(c.amount) == bits(step.upstream * c.local)
            assert bits(c.before) == bits(held.get(c.operand))
            assert bits(c.after) == bits((c.before or 0.0) + c.amount)
            held[c.operand] = c.after
            waiting.setdefault(c.operand, []).append(c.missing)
            assert c.missing or bits(c.after) == bits(final[c.operand])
    for counts in waiting.values():
        assert counts == [*range(len(counts))][::-1]


@given(programs())
def test_the_pass_knows_each_gradient_and_what_is_missing_at_every_step(program: Program) -> None:
    recorded = trace(run(program), {})
    gradients: list[float | None] = [None] * len(recorded.graph)
    gradients[-1] = 1.0
    missing = [len(own) for own in recorded.received]
    for step in range(len(recorded) + 1):
        for c in recorded.steps[step - 1].contributions if step else ():
            gradients[c.operand] = c.after
            missing[c.operand] -= 1
        assert [*map(bits, recorded.gradients(step))] == [*map(bits, gradients)]
        assert [recorded.missing(k, step) for k in range(len(missing))] == missing
    for position, own in enumerate(recorded.received):
        largest = recorded.largest(position)
        assert (largest is None) == (not own)
        assert largest is None or not any(abs(c.amount) > abs(largest.amount) for c in own)


def test_the_numbers_are_those_recorded_also_after_the_update() -> None:
    loss, v = written_out()
    before = trace(loss, v)
    loss.backward()
    for name, value in v.items():
        if name[0] in "wb":
            assert value.grad is not None
            value.data -= 0.5 * value.grad
    after = trace(loss, v)
    assert after == before
    assert {after.graph.names[each] for each in after.moved} == {n for n in v if n[0] in "wb"}
    assert after.graph[v["w5"]].data == 0.4 != v["w5"].data
    v["w5"].data = 7.0  # what an operation has read is found only one change back
    assert trace(loss, v).graph["w5"].data == 7.0


def test_of_leaves_that_changed_before_and_after_each_has_the_number_that_was_read() -> None:
    w, x, b = Value(9.0, name="w"), Value(9.0, name="x"), Value(0.5, name="b")
    w.data, x.data = 2.0, 3.0
    y = dot([w], [x], b)
    w.data, b.data = 1.0, 1.5
    recorded = trace(y, {})
    assert [node.data for node in recorded.graph] == [2.0, 3.0, 0.5, 6.5]
    w.data = 2.0
    assert trace(y, {}).moved == {2}


def test_a_first_contribution_of_minus_zero_is_a_zero_as_in_the_engine() -> None:
    x = Value(-0.0, name="x")
    y = Value(3.0) * (x * -0.0)
    [_, second] = trace(y, {}).steps
    y.backward()
    contribution = next(c for c in second.contributions if c.place == 0)
    assert (bits(contribution.amount), bits(contribution.after), bits(x.grad)) == (
        bits(-0.0),
        bits(0.0),
        bits(0.0),
    )


def test_the_net_of_the_tutorial() -> None:
    loss, v = written_out()
    recorded = trace(loss, v)
    graph = recorded.graph
    assert (len(graph), len(recorded)) == (39, 27)
    received = [
        (step.index, c.before, c.after, c.missing)
        for step in recorded.steps for c in step.contributions if c.operand == graph["h1"].position
    ]  # fmt: skip
    [(first, none, before, one), (second, again, after, zero)] = received
    assert (first, none, one, second, zero) == (15, None, 1, 17, 0)
    assert before == again == pytest.approx(-0.019049119, abs=1e-9)
    assert after == pytest.approx(0.036350306, abs=1e-9)
    w5 = next(c for c in recorded.steps[16].contributions if c.operand == graph["w5"].position)
    assert (w5.symbols, w5.numbers, w5.local) == ("h1", "0.5933", v["h1"].data)
    assert w5.after == pytest.approx(0.0821670406, abs=1e-9)
    h1 = recorded.step_of("h1")
    assert h1 is not None
    assert (h1.index, h1.contributions[0].symbols) == (19, "h1·(1 − h1)")
    assert h1.contributions[0].numbers == "0.5933·(1 − 0.5933)"


def test_it_runs_without_a_backward_pass_and_leaves_grad_alone() -> None:
    loss, v = written_out()
    trace(loss, {})
    assert {each.grad for each in v.values()} == {None}
    loss.backward()
    once = v["w1"].grad
    trace(loss, {})
    assert v["w1"].grad == once


def test_the_variables_of_the_caller_name_the_values() -> None:
    weight = Value(2.0)
    result = weight * 3.0
    assert [node.name for node in trace(result).graph] == ["weight", "result"]
    assert [node.name for node in trace(result, {}).graph] == ["v0", "v1"]
    assert trace(Graph(result, {"a": weight})).graph["a"].data == 2.0


# ------------------------------------------------------------------------------------- special graphs
def test_a_value_used_twice_in_one_operation_has_two_contributions() -> None:
    x = Value(3.0, name="x")
    [step] = trace(x * x, {}).steps
    assert [(c.place, c.before, c.after, c.missing) for c in step.contributions] == [
        (1, None, 3.0, 1),
        (0, 3.0, 6.0, 0),
    ]


def test_a_constant_receives_nothing() -> None:
    x, c = Value(3.0, name="x"), Value(2.0, name="c").detach()
    recorded = trace(x * c, {})
    assert [each.operand for each in recorded.steps[0].contributions] == [recorded.graph["x"].position]
    assert recorded.gradients()[recorded.graph["c"].position] is None
    only = trace(c * c, {})
    assert [step.contributions for step in only.steps] == [()]


def test_a_leaf_has_a_pass_without_steps() -> None:
    recorded = trace(Value(3.0, name="x"), {})
    assert (len(recorded), recorded.gradients()) == (0, [1.0])
    assert recorded.step_of("x") is None


def test_nan_and_infinity_pass_through() -> None:
    x = Value(INF, name="x")
    y = (x - x) * x
    recorded = trace(y, {})
    y.backward()
    assert [*map(bits, recorded.gradients())] == [bits(node.grad) for node in Graph(y)]
    assert math.isnan(recorded.gradients()[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "texts"),
    [
        (lambda x: dot([x, 2.0], [3.0, x], 1.0), [("2", "2"), ("3", "3")]),
        (lambda x: x.relu(), [("1", "1")]),
        (lambda x: (x - 9.0).relu(), [("0", "0"), ("1", "1")]),
        (lambda x: 2.0**x, [("v1·log(2)", "2.828·log(2)")]),
        (lambda x: x / 4.0, [("1/4", "1/4")]),
    ],
)  # fmt: skip
def test_a_formula_shows_the_branch_taken_with_this_node_s_names(build, texts) -> None:
    recorded = trace(build(Value(1.5, name="x")), {})
    found = [(c.symbols, c.numbers) for step in recorded.steps for c in step.contributions]
    assert found == texts


def test_a_formula_of_a_value_with_a_strange_name_keeps_it_a_name() -> None:
    x = Value(2.0, name="1 + [red]\n")
    [step] = trace(x * x, {}).steps
    assert step.contributions[0].symbols == r"“1 + [red]\n”"


@given(programs())
def test_every_formula_can_be_written(program: Program) -> None:
    for step in trace(run(program), {}).steps:
        assert all(c.symbols and c.numbers for c in step.contributions)


# ---------------------------------------------------------------------------------------------- refusals
def test_a_constant_has_no_pass() -> None:
    with pytest.raises(NoGradientError, match=r"^c = 2\.0 is a constant: there is no backward pass"):
        trace(Value(2.0, name="c").detach(), {})
    with pytest.raises(TypeError, match=r"^trace\(\) takes the Value .* not 3$"):
        trace(3)  # type: ignore[arg-type]


def test_a_step_that_is_not_there() -> None:
    recorded = trace(Value(2.0) * 3.0, {})
    for step in (-1, 2):
        with pytest.raises(IndexError, match=rf"^there is no step {step}: this pass has the steps 0 to 1$"):
            recorded.gradients(step)
    for read in (recorded.gradient, recorded.missing):
        with pytest.raises(IndexError, match=r"^there is no step -1: this pass has the steps 0 to 1$"):
            read(0, -1)
        with pytest.raises(IndexError, match="-1"):
            read(-1)
        with pytest.raises(TypeError, match=r"a step is a whole number, or None for all of them, not 1\.5"):
            read(0, 1.5)


def test_a_trace_is_frozen() -> None:
    recorded = trace(Value(2.0) * 3.0, {})
    with pytest.raises(AttributeError, match="cannot assign to field 'steps'"):
        recorded.steps = ()
    with pytest.raises(AttributeError, match="cannot delete field 'graph'"):
        del recorded.graph


# ------------------------------------------------------------------------------------------------- size
def test_memory_grows_with_the_graph_alone() -> None:
    def needed(count: int) -> int:
        x = y = Value(0.5)
        for _ in range(count):
            y = y * x
        graph = Graph(y, {})
        gc.collect()  # also what earlier tests left for reuse, which would not be counted
        tracemalloc.start()
        recorded = trace(graph)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(recorded) == count
        return size

    small, large = needed(500), needed(4_000)
    assert large < 9 * small


def test_a_chain_of_twenty_thousand_values() -> None:
    x = y = Value(1.0)
    for _ in range(10_000):
        y = y * 1.0 + x
    recorded = trace(y, {})
    y.backward()
    assert recorded.gradients()[recorded.graph[x].position] == x.grad
    assert len(recorded) == 20_000


# ------------------------------------------------------------------------------------------ JSON, equality
@given(programs())
def test_json_gives_an_equal_trace(program: Program) -> None:
    recorded = trace(run(program), {})
    again = Trace.from_json(recorded.to_json())
    assert again == recorded
    assert hash(again) == hash(recorded)
    assert again.to_json() == recorded.to_json()
    assert repr(again.steps) == repr(recorded.steps)


def test_json_is_strict_and_has_nan_and_infinity_in_it() -> None:
    x = Value(INF, name="x")
    recorded = trace((x - x) * 2.0, {})

    def refused(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(recorded.to_json(), parse_constant=refused)
    assert (document["format"], document["version"]) == ("microbp trace", 3)
    assert document["graph"]["data"][:2] == ["inf", "nan"]
    again = Trace.from_json(recorded.to_json())
    assert again == recorded
    assert math.isnan(again.graph.root.data)


def test_json_keeps_names_lines_groups_and_signed_zeros() -> None:
    before = record_sites(True)
    try:
        with group("outer"), group("in\nner"):
            y = Value(-0.0, name="权 \u2028 “w”") * 2.0
    finally:
        record_sites(before)
    recorded = trace(y, {})
    again = Trace.from_json(recorded.to_json())
    assert again.graph == recorded.graph
    assert again.graph.root.group == (("outer", 0), ("in\nner", 0))
    assert again.graph.root.site == y.site is not None
    assert bits(again.graph.nodes[0].data) == bits(-0.0)


def test_json_brings_the_rules_along(monkeypatch) -> None:
    from microbp.rules import RULES

    cube = define(
        "cube_of", "a", y="a * a * a", d=("3.0 * a * a",), doc="Third power.", smooth=(((-3.0, 3.0),),)
    )
    recorded = trace(cube(Value(2.0, name="x")), {})
    text = recorded.to_json()
    monkeypatch.delitem(RULES, "cube_of")
    again = Trace.from_json(text)
    assert again == recorded
    assert again.steps[0].contributions[0].symbols == "3·x·x"


def test_two_rules_of_one_name_stay_apart(monkeypatch) -> None:
    from microbp.rules import RULES

    def cube(factor: float) -> object:
        monkeypatch.delitem(RULES, "cubed", raising=False)
        return define(
            "cubed", "a", y=f"{factor} * a * a * a", d=(f"{3 * factor} * a * a",), doc="Third power.",
            smooth=(((-3.0, 3.0),),),
        )  # fmt: skip

    x = Value(2.0, name="x")
    recorded = trace(cube(1.0)(x) + cube(2.0)(x), {})  # type: ignore[operator]
    again = Trace.from_json(recorded.to_json())
    assert again == recorded
    cubes = {str(node.rule.y) for node in again.graph if node.rule and node.rule.name == "cubed"}
    assert cubes == {"1.0 * a * a * a", "2.0 * a * a * a"}


def test_grad_does_not_count_in_a_comparison_but_every_other_number_does() -> None:
    x = Value(2.0, name="x")
    y = x * 3.0
    before = trace(y, {})
    y.backward()
    assert trace(y, {}) == before
    assert trace(x * 3.0000000000000004, {}) != before
    assert trace(Value(2.0, name="z") * 3.0, {}) != before
    assert before != "something else"
    assert len({before, trace(y, {})}) == 1


def test_a_pickle_of_a_trace() -> None:
    recorded = trace(written_out()[0], {})
    assert pickle.loads(pickle.dumps(recorded)) == recorded


GOOD = trace(Value(2.0, name="x") * 3.0, {}).to_json()


def changed(**entries: object) -> str:
    return json.dumps({**json.loads(GOOD), **entries})


def with_column(name: str, place: int | None, held: object) -> str:
    document = json.loads(GOOD)
    if place is None:
        document["graph"][name] = held
    else:
        document["graph"][name][place] = held
    return json.dumps(document)


GRAPH = r"its graph: this is no graph as Graph.to_json\(\) writes it: "
DAMAGED = "this trace is damaged at "


@at_once(
    [
        ("", r"this text is not a trace: it is not JSON \(Expecting value: line 1 column 1 \(char 0\)\)"),
        ("x = 3", "this text is not a trace: it is not JSON"),
        ("[" * 100_000, "this text is not a trace: it is not JSON"),
        ("[]", 'this JSON is not a trace: it has no "format": "microbp trace"'),
        ('{"nodes": []}', 'this JSON is not a trace: it has no "format": "microbp trace"'),
        (changed(version=2), "this trace has the version 2; microbp reads version 3"),
        (changed(version="1"), "this trace has the version '1'"),
        (changed(graph=None), f"{DAMAGED}its graph: this is no graph"),
        (changed(graph={}), f"{DAMAGED}its graph: this is no graph as Graph.to_json.. writes it: KeyError"),
        (with_column("data", 0, "many"), f"{DAMAGED}its graph: "),
        (with_column("op", 1, 7), f"{DAMAGED}its graph: "),
        (with_column("args", 0, 1), f"{DAMAGED}{GRAPH}an operand of node 1 does not stand before it"),
        (with_column("args", 1, -5), f"{DAMAGED}{GRAPH}an operand of node 1 does not stand before it"),
        (with_column("first", 1, 1), f"{DAMAGED}{GRAPH}1 operands do not fit a leaf, node 0"),
        (with_column("rules", None, [["add"]]), f"{DAMAGED}its graph: "),
        (with_column("names", None, ["x"]), f"{DAMAGED}its graph: "),
        (with_column("roots", None, [9]), f"{DAMAGED}its graph: "),
    ]
)
def test_what_is_no_trace_is_told_of(text: str, told: str) -> None:
    with pytest.raises(NotATrace, match=f"^{told}"):
        Trace.from_json(text)


def test_a_rule_that_is_not_in_the_rule_language_is_refused() -> None:
    document = json.loads(GOOD)
    document["graph"]["rules"][0][2] = "__import__('os')"
    with pytest.raises(NotATrace, match=r"damaged at its graph: .*rule mul: "):
        Trace.from_json(json.dumps(document))


def test_whole_numbers_of_another_writer_are_read() -> None:
    assert Trace.from_json(GOOD.replace("3.0,", "3,").replace("6.0", "6")) == Trace.from_json(GOOD)


# ------------------------------------------------------------------------------------------------ diff
def net(w: float = 0.4, *, relu: bool = False, factor: float = 0.5, named: str = "w") -> Trace:
    weight, x = Value(w, name=named), Value(3.0, name="x")
    h = weight * x
    h = h.relu() if relu else h.tanh()
    loss = factor * (h - 1.0) ** 2
    return trace(loss, {"h": h, "loss": loss})


def test_equal_passes_agree() -> None:
    found = net().diff(net())
    assert (found.ok, found.rows) == (True, ())
    assert str(found) == "the passes agree: 7 values, 5 steps"


def test_a_number_that_differs_is_found_where_it_begins() -> None:
    found = net().diff(net(0.4000001))
    assert (found.ok, found.rows[0].what, found.rows[0].node) == (False, "data", "w")
    assert (found.rows[0].here, found.rows[0].there) == (0.4, 0.4000001)
    assert [row.node for row in found.rows if row.begins] == ["w"]
    assert str(found).startswith("the passes differ first at w, in data: 0.4 here, 0.4000001 there\n")


def test_another_operation_is_found() -> None:
    found = net().diff(net(relu=True))
    assert (found.rows[0].what, found.rows[0].node) == ("structure", "h")
    assert (found.rows[0].here, found.rows[0].there) == ("tanh(v2)", "relu(v2)")


def test_another_literal_is_found() -> None:
    [first, *_] = net().diff(net(factor=1.0)).rows
    assert (first.what, first.node) == ("structure", "loss")
    assert (first.here, first.there) == ("0.5·v5", "1·v5")


def test_a_local_derivative_is_found() -> None:
    right = net()
    document, h = json.loads(right.to_json()), right.graph["h"].position
    document["graph"]["local"][document["graph"]["first"][h]] = 0.25
    found = right.diff(Trace.from_json(json.dumps(document)))
    assert (found.rows[0].what, found.rows[0].node, found.rows[0].there) == ("local derivative", "h", 0.25)


def test_sharing_is_structure() -> None:
    x = Value(3.0, name="x")
    found = trace(x * x, {}).diff(trace(x * Value(3.0, name="x"), {}))
    assert found.rows[0][:5] == ("structure", "v1", "v2", "x·x (x again)", "x·x#2 (x#2 for the first time)")


def test_a_value_shared_by_mistake_comes_before_the_numbers_that_follow_from_it() -> None:
    def layers(*, shared: bool) -> Trace:
        b1, b2 = Value(0.35, name="b1"), Value(0.6, name="b2")
        h = (Value(0.5, name="w") + b1).tanh()
        o = h + (b1 if shared else b2)
        return trace(o, {"h": h})

    found = layers(shared=True).diff(layers(shared=False))
    assert [(row.node, row.what) for row in found.rows if row.begins] == [("v2", "structure"), ("b1", "data")]
    assert found.rows[0][3:5] == ("w + b1 (b1 again)", "w + b1 (b1 for the first time)")


def test_a_literal_is_not_taken_for_a_position() -> None:
    def two(*, here: bool) -> Trace:
        a, b = Value(3.0, name="a"), Value(4.0, name="b")
        first = a + b if here else a - b  # node 2
        return trace(first * a ** (2.0 if here else 5.0), {})

    found = two(here=True).diff(two(here=False))
    assert [(row.node, row.here) for row in found.rows if row.begins] == [("v2", "a + b"), ("v3", "a²")]


def test_a_constant_for_a_parameter_is_structure() -> None:
    x = Value(3.0, name="x")
    w = Value(2.0, name="w")
    found = trace(x * w, {}).diff(trace(x * w.detach(), {}))
    assert (found.rows[0].here, found.rows[0].there) == ("a leaf", "a constant")


def test_names_do_not_count() -> None:
    assert net().diff(net(named="weight")).ok


def test_a_pass_is_compared_with_a_pass() -> None:
    assert not net().diff(net(0.4 * (1 + 1e-12))).ok
    with pytest.raises(TypeError, match="a pass is compared with another Trace, not with 'x'"):
        net().diff("x")  # type: ignore[arg-type]


def test_nan_equals_nan_in_a_diff() -> None:
    def undefined() -> Trace:
        x = Value(INF, name="x")
        return trace((x - x) * 2.0, {})

    assert undefined().diff(undefined()).ok


def test_a_long_diff_is_cut_and_says_so() -> None:
    def many(x: float) -> Trace:
        values = array([x] * 30, name="x")
        total = values[0]
        for each in values[1:]:
            total = total + each
        return trace(total, {})

    found = many(1.0).diff(many(2.0))
    assert len(found.rows) == 59
    assert len(str(found).splitlines()) < 20
    assert "49 more nodes (diff.rows)" in str(found)


# ------------------------------------------------------------------------------------------ finding steps
def test_the_step_of_a_value() -> None:
    recorded = trace(written_out()[0], {})
    for node in recorded.graph:
        step = recorded.step_of(node.position)
        assert (step is None) == (node.rule is None)
        assert step is None or step.node == node.position


# -------------------------------------------------------------------------------------------- notebooks
def test_a_trace_shows_in_a_notebook_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, values = written_out()
    recorded = trace(loss, {**values, "E": loss})
    bundle = recorded._repr_mimebundle_(include=None, exclude=None)
    assert bundle["text/plain"] == repr(recorded)
    lines = bundle["text/markdown"].splitlines()
    assert lines[0] == "**E = 0.298371: 39 values, 27 steps**"
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert len(rows) == sum(len(step.contributions) for step in recorded.steps)
    [h1] = [row for row in rows if "h1 = σ(v13)" in row]
    assert h1 == (
        "| 19 | h1 = σ(v13) | 0.0363503 | v13 | h1·(1 − h1) = 0.241301 | 0.00877135 | - → 0.00877135 ✓ |"
    )

    def fails(*_: object) -> str:
        raise RuntimeError("no")

    monkeypatch.setattr(Trace, "_markdown", fails)
    assert recorded._repr_mimebundle_() == {"text/plain": "Trace that cannot be shown: RuntimeError('no')"}


def test_names_in_a_notebook_are_data_and_a_long_pass_is_cut() -> None:
    x = Value(0.5, name="a|b$<script>`\n权")
    y = x
    for _ in range(80):
        y = y * x
    text = trace(y, {})._repr_mimebundle_()["text/markdown"]
    assert text.endswith("\n\n… and 30 more steps.")
    assert "<script>" not in text
    assert "`" not in text.replace(r"\`", "")
    assert {row.replace(r"\|", "").count("|") for row in text.splitlines() if row.startswith("| ")} == {8}


def test_a_literal_is_not_taken_for_the_node_at_the_position_of_its_number() -> None:
    x, b = Value(2.0, name="x"), Value(4.0, name="b")
    y = x * 3.0 + 1.0 / b
    before = trace(y, {})
    assert (before.graph["b"].position, before.graph["v3"].operands) == (1, (1.0, 1))
    b.data -= 1.0
    after = trace(y, {})
    assert (after, after.moved, after.graph["b"].data) == (before, {1}, 4.0)


@pytest.mark.parametrize("name", [None, 3, True, ["x"], {}])
def test_a_name_that_is_no_text_is_damage(name: object) -> None:
    document = json.loads(trace(Value(3.0, name="x").tanh(), {}).to_json())
    document["graph"]["names"][0] = name
    with pytest.raises(NotATrace, match="names has other members than of type str"):
        Trace.from_json(json.dumps(document))


def test_a_pass_goes_back_from_one_value_and_what_that_does_not_depend_on_is_named():
    x = Value(3.0, name="x")
    told = r"here {}, and that does not depend on {}: trace each of them by itself, as trace\(value\)$"
    with pytest.raises(ValueError, match=told.format("b", "a")):
        trace(Graph.of_roots([a := x * x, b := x + 1.0], {"a": a, "b": b}))
    with pytest.raises(ValueError, match=told.format("x", "a")):
        trace(Graph.of_roots([a, x], {"a": a, "x": x}))
    assert trace(Graph.of_roots([x, a])).gradients() == [6.0, 1.0]
