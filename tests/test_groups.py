"""Groups: what was recorded together, and what that is called."""

from __future__ import annotations

import copy
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from support import in_threads

import microbp
from microbp import MLP, Graph, Module, Neuron, Value, group, no_grad, record, record_sites
from microbp.compiled import SCOPE
from microbp.native import extension
from microbp.recording import groups


def paths(root, **names):
    """The group of each computed value, by name or operation, without the numbers of the calls."""
    return {
        node.name: ".".join(name for name, _ in node.group) for node in Graph(root, names) if node.rule
    }


def test_values_recorded_inside_belong_to_the_group_and_leaves_to_none():
    x = Value(2.0, name="x")
    with group("inside"):
        w = Value(3.0, name="w")
        y = w * x
    z = y + 1.0
    assert [(node.name, node.group) for node in Graph(z, {"y": y, "z": z})] == [
        ("w", ()), ("x", ()), ("y", (("inside", 0),)), ("z", ()),
    ]  # fmt: skip


def test_groups_nest_and_every_passage_has_its_number():
    x = Value(2.0)
    y = x
    for _ in range(2):
        with group("outer"):
            for _ in range(2):
                with group("inner"):
                    y = y * 2.0
            y = y + 1.0
    assert [node.group for node in Graph(y)][1:] == [
        (("outer", 0), ("inner", 0)),
        (("outer", 0), ("inner", 1)),
        (("outer", 0),),
        (("outer", 1), ("inner", 0)),
        (("outer", 1), ("inner", 1)),
        (("outer", 1),),
    ]


def test_every_kind_of_operation_is_grouped():
    x = Value(0.5, name="x")
    with group("g"):
        values = [x + x, 2.0 - x, x.tanh(), -x, x**2, Neuron(1)([x])]
    assert all(Graph(value).root.group[0] == ("g", 0) for value in values)


def test_a_call_of_a_module_is_a_group_named_by_where_the_caller_holds_it():
    net = MLP(2, [2, 1])
    loss = net([1.0, 2.0]) + net([3.0, 4.0])
    graph = Graph(loss, names={"net": net})
    groups = [node.group for node in graph if node.rule and node.rule.name == "dot"]
    assert sorted(groups) == sorted(
        (("net", call), (f"layers.{layer}", 0), (f"neurons.{neuron}", 0))
        for call in (0, 1)
        for layer, neuron in ((0, 0), (0, 1), (1, 0))
    )
    assert graph.root.group == ()


def test_a_module_without_a_variable_is_called_by_its_class():
    assert {*paths(Neuron(2)([1.0, 2.0])).values()} == {"Neuron"}


def test_modules_of_the_users_own_are_groups_and_super_opens_no_second():
    class Line(Module):
        def __init__(self):
            self.slope = Value(2.0, name="slope")

        def __call__(self, x):
            return self.slope * x

    class Shifted(Line):
        def __call__(self, x):
            return super().__call__(x) + 1.0

    class Both(Module):
        def __init__(self):
            self.parts = {"a": [Shifted()], "b": Shifted()}

        def __call__(self, x):
            return self.parts["b"](self.parts["a"][0](x))

    assert [*paths(Both()(3.0)).values()] == ["Both.parts.a.0"] * 2 + ["Both.parts.b"] * 2


def test_a_group_that_super_has_entered_goes_on_until_it_is_left():
    class Opening(Module):
        def __init__(self):
            self.opened = group("h")

        def __call__(self, x):
            self.opened.__enter__()
            return x * 2.0

    class Whole(Opening):
        def __call__(self, x):
            y = super().__call__(x) * 3.0
            self.opened.__exit__(None, None, None)
            return y * 4.0

    *_, inner, outer, last = Graph(Whole()(Value(1.0)))
    assert inner.group == outer.group == (("Whole", 0), ("h", 0))
    assert last.group == (("Whole", 0),)


def test_a_name_and_a_line_can_be_kept_beside_the_group():
    record_sites(True)
    try:
        x = Value(2.0)
        with group("g"):
            y = x * x
    finally:
        record_sites(False)
    y.name = "square"
    node = Graph(y).root
    assert (node.name, node.group) == ("square", (("g", 0),))
    assert node.site.startswith(f"{__file__}:")
    with group("g"):
        z = x * x
    z.name = "z"
    assert (z.name, z.site, Graph(z).root.group) == ("z", None, (("g", 0),))


def test_pickles_and_copies_keep_the_group_but_not_the_module():
    net = MLP(1, [1], activation="tanh")
    y = net([Value(1.0)])
    before = Graph(y)
    assert len(before.root.group) == 3
    assert copy.deepcopy(y)._group is y._group
    twin = pickle.loads(pickle.dumps(y))
    assert Graph(twin).root.group == before.root.group
    assert twin._group.owner is None
    assert pickle.loads(pickle.dumps(before)) == before


def test_the_group_ends_with_the_block_also_after_an_error():
    x = Value(2.0)
    with pytest.raises(ZeroDivisionError), group("g"):
        _ = 1 / 0
    assert Graph(x * x).root.group == ()
    assert not SCOPE["grouped"]


def test_each_thread_has_its_own_group():
    made = {}

    def job(name):
        x = Value(1.0)
        for _ in range(200):
            with group(name):
                x = x * 1.0
        made[name] = x

    in_threads(lambda: job("a"), lambda: job("b"))
    for name, root in made.items():
        assert {node.group[0][0] for node in Graph(root) if node.rule} == {name}
    assert not SCOPE["grouped"]


def test_no_grad_in_a_group_still_records_nothing():
    with group("g"), no_grad():
        y = Value(2.0) * 3.0
    assert y.is_leaf


def test_a_group_needs_a_name():
    with pytest.raises(TypeError, match="a group's name is a str, not 3"), group(3):
        pass


def test_named_modules_gives_one_path_each():
    net = MLP(2, [1])
    net.again = net.layers[0]
    assert [*net.named_modules()] == ["layers.0", "layers.0.neurons.0"]


# ------------------------------------------------------------------------------------------- Ctrl-C
def struck(at: int, run: Callable[[], object], file: str) -> bool:
    """Run it, with Ctrl-C at the ``at``-th instruction of that file; whether there are as many.

    The first of ``__exit__`` is passed over: no code of a context manager can come before it.
    """
    left = at

    def trace(frame, event, _argument):
        nonlocal left
        if frame.f_code.co_filename != file:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        first = frame.f_lasti <= 4 and frame.f_code.co_name == "__exit__"
        if event == "opcode" and not first:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return left <= 0


def in_group():
    with group("outer"), group("inner"):
        pass


def in_module():
    Neuron(1)([0.5])


def without_recording():
    with no_grad(), no_grad():
        pass


STRUCK = [(in_group, groups), (in_module, microbp.nn), (without_recording, record)]
IN_PYTHON = [] if extension else [(in_module, groups)]  # in C there is nothing between the lines


@pytest.mark.parametrize(("run", "module"), STRUCK + IN_PYTHON)
def test_ctrl_c_at_any_instruction_leaves_nothing_on(run, module):
    x, at = Value(2.0), 1
    while struck(at, run, module.__file__):
        assert groups.current_group() is None, at
        assert not SCOPE["grouped"], at
        y = x * 3.0
        assert (y.requires_grad, Graph(y).root.group) == (True, ()), at
        at += 1
    assert at > 20


def test_one_context_manager_is_entered_once_at_a_time():
    for one, word in ((no_grad(), "no_grad()"), (group("g"), "group(name)")):
        for _ in range(2):
            refused = pytest.raises(RuntimeError, match=rf"not left; call {re.escape(word)} for each with$")
            with one, refused, one:
                pass
    assert (Value(2.0) * 3.0).requires_grad


def test_groups_and_no_grad_can_be_entered_by_a_stack() -> None:
    w = Value(2.0, name="w")
    with ExitStack() as stack:
        stack.enter_context(group("outer"))
        h = w * w
        stack.enter_context(no_grad())
        constant = w * w
    assert Graph(h).root.group == (("outer", 0),)
    assert (constant.requires_grad, (w * w).requires_grad) == (False, True)
    assert Graph(w * w).root.group == ()
