from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import at_once, planted
from tutorial import SCRIPT, written_out

from microbp import Value, dot, group, nn, record_sites
from microbp.debug import breakpoints
from microbp.debug.shell import COMMANDS, Shell, step
from microbp.debug.trace import trace
from microbp.rules import RULES


def said(*commands: str, loss: Value | None = None, names: dict[str, object] | None = None) -> str:
    """What the shell writes when it is given these commands, on the tutorial's net unless told."""
    out = io.StringIO()
    if loss is None:
        loss, values = written_out()
        names = dict(values)
    step(loss, names or {}, stdin=io.StringIO("".join(f"{each}\n" for each in commands)), stdout=out)
    return out.getvalue()


def answer(*commands: str, loss: Value | None = None, names: dict[str, object] | None = None) -> str:
    """What it writes for the last command."""
    parts = re.split(
        r"^\(microbp (?:forward )?\d+/\d+\) .*\n", said(*commands, loss=loss, names=names), flags=re.MULTILINE
    )
    return parts[-2].rstrip("\n") if parts[-1] == "" else parts[-1].rstrip("\n")


def with_lines() -> tuple[Value, dict[str, object]]:
    names: dict[str, object] = {}
    before = record_sites(True)
    try:
        exec(compile(SCRIPT, __file__, "exec"), names)
    finally:
        record_sites(before)
    loss = names["E"]
    assert isinstance(loss, Value)
    return loss, names


# ------------------------------------------------------------------------------------- the whole net
def test_the_seed_and_the_first_step() -> None:
    assert (
        said("step", "quit")
        == """\
E = 0.298371: 39 values, 27 steps. help lists the commands.
step 0 of 27   the seed
  ∂E/∂E = 1; no other value has a gradient yet
(microbp 0/27) step
step 1 of 27   E = v36 + v37 = 0.298371
  upstream ∂E/∂E = +1
  v37: local ∂E/∂v37 = 1
    +1 × 1 = +1
    v37.grad: none → +1 ✓ final
  v36: local ∂E/∂v36 = 1
    +1 × 1 = +1
    v36.grad: none → +1 ✓ final
(microbp 1/27) quit
"""
    )


def test_the_sign_of_a_shared_neuron_changes() -> None:
    assert (
        said("watch h1", "continue", "c", "bk").rstrip() + "\n"
        == """\
E = 0.298371: 39 values, 27 steps. help lists the commands.
step 0 of 27   the seed
  ∂E/∂E = 1; no other value has a gradient yet
(microbp 0/27) watch h1
watch 1: watch h1
(microbp 0/27) continue
watch 1: h1.grad: −0.0190491
step 15 of 27   v23 = w7·h1 = 0.296635
  upstream ∂E/∂v23 = −0.0380982
  h1: local ∂v23/∂h1 = w7 = 0.5
    −0.0380982 × 0.5 = −0.0190491
    h1.grad: none → −0.0190491 1 missing (1 of 2)
  w7: local ∂v23/∂w7 = h1 = 0.593270
    −0.0380982 × 0.593270 = −0.0226025
    w7.grad: none → −0.0226025 ✓ final
(microbp 15/27) c
watch 1: h1.grad: −0.0190491 → +0.0363503, sign change
step 17 of 27   v21 = w5·h1 = 0.237308
  upstream ∂E/∂v21 = +0.138499
  h1: local ∂v21/∂h1 = w5 = 0.4
    +0.138499 × 0.4 = +0.0553994
    h1.grad: −0.0190491 += +0.0553994 → +0.0363503 ✓ final (2 of 2), sign change
  w5: local ∂v21/∂w5 = h1 = 0.593270
    +0.138499 × 0.593270 = +0.0821670
    w5.grad: none → +0.0821670 ✓ final
(microbp 17/27) bk
step 16 of 27   v22 = w6·h2 = 0.268598
  upstream ∂E/∂v22 = +0.138499
  h2: local ∂v22/∂h2 = w6 = 0.45
    +0.138499 × 0.45 = +0.0623244
    h2.grad: −0.0209540 += +0.0623244 → +0.0413703 ✓ final (2 of 2), sign change
  w6: local ∂v22/∂w6 = h2 = 0.596884
    +0.138499 × 0.596884 = +0.0826676
    w6.grad: none → +0.0826676 ✓ final
(microbp 16/27)
"""
    )


def test_a_local_derivative_in_symbols_in_numbers_and_as_value() -> None:
    assert (
        answer("goto h1")
        == """\
step 19 of 27   h1 = σ(v13) = 0.593270
  upstream ∂E/∂h1 = +0.0363503
  v13: local ∂h1/∂v13 = h1·(1 − h1) = 0.5933·(1 − 0.5933) = 0.241301
    +0.0363503 × 0.241301 = +0.00877135
    v13.grad: none → +0.00877135 ✓ final"""
    )


def test_every_step_forwards_and_back_shows_the_same() -> None:
    there = said(*["step"] * 27)
    both = said(*["s"] * 27, *["back"] * 27)
    shown = re.findall(r"^step \d+ of 27.*(?:\n  .*)*", both, re.MULTILINE)
    assert len(shown) == 1 + 27 + 27
    assert shown[:28] == re.findall(r"^step \d+ of 27.*(?:\n  .*)*", there, re.MULTILINE)
    assert shown[28:] == shown[:27][::-1]
    assert shown[27].endswith("\n  the pass is complete: every gradient is final")


def test_no_line_is_wider_than_a_terminal() -> None:
    text = said(
        *["step"] * 27, "update", "where", "check h1", "path w1", "help",
        *(f"help {each}" for each in COMMANDS),
    )  # fmt: skip
    assert max(map(len, text.splitlines())) <= 80


# ---------------------------------------------------------------------------------------- moving
def test_a_count_of_steps_stops_at_a_breakpoint() -> None:
    text = answer("break o1", "step 20")
    assert text.startswith("breakpoint 1: o1 passes its gradient on\nstep 9 of 27   o1 = ")
    assert answer("step 5").startswith("step 5 of 27")
    assert answer("step 5", "back 3").startswith("step 2 of 27")
    assert answer("watch h1", "goto 20", "back 9").startswith("watch 1: h1.grad: −0.0190491 → +0.0363503")
    assert answer("step 99").startswith("step 27 of 27")
    assert answer("step 99", "back 27").startswith("step 0 of 27")
    assert answer("step 99", "back 99").startswith("forward 1 of 27")


def test_next_goes_to_another_line() -> None:
    loss, names = with_lines()
    steps = [
        int(each)
        for each in re.findall(r"^step (\d+) of", said(*["next"] * 9, loss=loss, names=names), re.MULTILINE)
    ]
    sites = [str(trace(loss, names).graph.nodes[each.node].site) for each in trace(loss, names).steps]
    turns = [k for k in range(2, 28) if sites[k - 1] != sites[k - 2]]
    assert steps[:2] == [0, 1]
    assert steps[2:] == turns[: len(steps) - 2]
    assert answer("next").startswith("step 1 of 27")
    assert answer("next", "next").startswith("step 2 of 27")


def test_the_groups_of_a_module_are_shown() -> None:
    net = nn.MLP(2, [2, 1], seed=0)
    loss = net([1.0, 2.0])
    assert isinstance(loss, Value)
    text = said("step", "where", loss=loss, names={"net": net, "loss": loss})
    assert "  in net / layers.1 / neurons.0\n" in text
    assert "   net / layers.1 / neurons.0\n" in text


def test_the_ends_of_the_pass() -> None:
    complete = "error: the pass is complete: all 27 steps are done; go back or quit"
    for command in ("step", "next", "continue"):
        assert answer("goto end", command) == complete
    first = "error: this is the first value that was computed: nothing comes before it"
    for command in ("back", "reverse-continue", "rc"):
        assert answer("forward", command) == first
    assert answer("continue").endswith("the pass is complete: every gradient is final")
    assert answer("goto 9", "rc").startswith("step 0 of 27")
    leaf = Value(2.0, name="x")
    assert (
        answer("step", loss=leaf) == "error: the pass is complete: it has no steps; go back or quit"
    )
    assert answer("step", "step", loss=leaf * 2.0).endswith("complete: its step is done; go back or quit")


def test_reverse_continue_goes_to_the_latest_earlier_stop() -> None:
    assert answer("break sigmoid", "goto end", "rc").startswith(
        "breakpoint 1: h1 passes its gradient on\nstep 19"
    )
    assert answer("break sigmoid", "goto end", "rc", "rc", "rc").startswith("breakpoint 1: o1 passes")


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("goto 3", 3),
        ("g end", 27),
        ("jump w1", 27),
        ("goto b1", 21),
        ("j o2", 8),
        ("goto E", 1),
        ("goto 0", 0),
    ],
)
def test_goto(command: str, where: int) -> None:
    assert answer(command).startswith(f"step {where} of 27")


# -------------------------------------------------------------------------------- stopping, displaying
def test_breakpoints_are_listed_and_deleted() -> None:
    assert answer(
        "break h1", "break mul if grad < 0", "watch w1 if final", "break sign change", "break"
    ) == (
        "  1  break h1\n  2  break mul if grad < 0\n  3  watch w1 if final\n"
        "  4  break if sign change"
    )
    assert answer("break h1", "watch w1", "delete 1", "break") == "  2  watch w1"
    assert answer("break h1", "watch w1", "delete all", "break") == "no breakpoint and no watch is set"
    assert answer("break h1", "delete 1", "break h2") == "breakpoint 2: break h2"
    assert answer("break nothing", "break h1") == "breakpoint 1: break h1"
    assert answer("break h1", "d 7") == "error: there is no breakpoint 7; there are: 1"
    assert answer("break h1", "d 1 x", "b") == "  1  break h1"
    assert answer("delete all") == "error: there is no breakpoint all; there are: none"
    assert answer("break sigmoid") == "breakpoint 1: break sigmoid; 4 values"


def test_a_line_of_the_file_is_a_place() -> None:
    loss, names = with_lines()
    text = said("break 8", "continue", "list", loss=loss, names=names)
    assert "breakpoint 1: break 8; 5 values\n" in text
    assert "breakpoint 1: h1 passes its gradient on\nstep 19 of 27" in text
    assert re.search(r"\n    8 B-> ", text)


def test_a_display_is_shown_after_every_stop() -> None:
    text = said("display h1.grad", "display local", "goto 15", "display local", "goto 17", "display")
    assert text.count("  h1.grad = ") == 4
    assert text.count("  local = ") == 2
    assert "  local: displayed no longer\n" in text
    assert "  h1.grad = −0.019049118258278114\n  local = 0.5 (h1), 0.5932699921071872 (w7)\n" in text
    assert answer("display") == ""
    assert answer("display nothing_such").startswith("error: there is no value and no word 'nothing_such'")
    assert answer("display h1.data", "display h1.data", "display") == ""


# ----------------------------------------------------------------------------------------- looking
@at_once(
    [
        ("p w5.grad", "w5.grad = 0.08216704056423078"),
        ("p w5.data - 0.5 * w5.grad", "w5.data - 0.5 * w5.grad = 0.35891647971788465"),
        ("p h1.grad < 0", "h1.grad < 0 = false"),
        ("p w1.final", "w1.final = 0.00043856773447434685"),
        ("p w1.missing", "w1.missing = 1"),
        ("p local", "local = 0.4 (h1), 0.5932699921071872 (w5)"),
        ("p upstream * local", "upstream * local = 0.05539942465142279 (h1), 0.08216704056423078 (w5)"),
        ("p sign change", "sign change = true (h1), false (w5)"),
        ("print 1 / 0", "error: 1 / 0: division by zero"),
        ("print exit()", "error: exit(): None"),
        ("p [h1.grad, w1.grad]", "[h1.grad, w1.grad] = [0.03635030639314468, None]"),
        ("p w1.grad", "w1.grad = none yet"),
        ("p 2 * w1.grad", "error: 2 * w1.grad: a value in it has no gradient yet"),
        ("p log(e) + max(1.0, w5.data)", "log(e) + max(1.0, w5.data) = 2"),
        ("p h1", "h1 = σ(v13)\n  data 0.5932699921071872\n  grad 0.03635030639314468   final"),
        ("p w1", "w1\n  data 0.15\n  grad none yet   0 of 1"),
        ("p E", "E = v36 + v37\n  data 0.2983711087600027\n  grad 1   the seed"),
    ]
)
def test_print(command: str, told: str) -> None:
    assert answer("goto 17", command) == told


def test_print_of_a_constant() -> None:
    x, c = Value(3.0, name="x"), Value(2.0, name="c").detach()
    assert answer("step", "p c", loss=x * c) == "c\n  data 2\n  grad none   a constant"
    assert (
        answer("p local", loss=c * c) == "error: 'local' speaks of a step, and none is done yet: step first"
    )
    assert answer("step", "p local", loss=c * c) == (
        "error: 'local' speaks of a contribution, and this step makes none"
    )
    assert "  its operands are constants, which take no gradient\n" in said("step", loss=c * c)


def test_where_shows_the_chain_of_values() -> None:
    assert answer("goto 19", "where").splitlines() == [
        "  E = v36 + v37", "  v37 = 0.5·v35", "  v35 = v33²", "  v33 = 0.99 − o2", "  o2 = σ(v29)",
        "  v29 = v27 + b2", "  v27 = v23 + v24", "  v23 = w7·h1", "> h1 = σ(v13)",
        "step 19 of 27; 8 to go",
    ]  # fmt: skip
    y = Value(1.0, name="x")
    for _ in range(30):
        y = y.tanh()
    lines = answer("goto end", "where", loss=y).splitlines()
    assert lines[6] == "  … 18 values between"
    assert len(lines) == 14


def test_list_shows_the_source() -> None:
    loss, names = with_lines()
    file = Path(__file__).read_text(encoding="utf-8").splitlines()
    lines = answer("goto h1", "list", loss=loss, names=names).splitlines()
    assert lines[0].endswith("test_debug_shell.py")
    assert lines[6] == f"    8  -> {file[7]}"
    assert len(lines) == 12
    assert answer("list 25", loss=loss, names=names).splitlines()[1] == f"   20     {file[19]}".rstrip()
    assert answer("list 999999", loss=loss, names=names) == (f"error: {lines[0]} ends at line {len(file)}")
    told = "error: '9, 3' is not a number; usage: list [LINE]"
    assert answer("list 9, 3", loss=loss, names=names) == told
    assert answer("list").startswith("error: the line of E is not known: call microbp.record_sites() before")


def test_a_step_with_many_contributions_is_shortened() -> None:
    w = [Value(float(i), name=f"w{i}") for i in range(9)]
    loss = dot(w, [1.0] * 9)
    assert answer("step", loss=loss).splitlines()[-2:] == [
        "  … and 3 more: print contribution", "  the pass is complete: every gradient is final",
    ]  # fmt: skip
    assert answer("step", "print contribution", loss=loss).count("1 (w") == 9


def test_a_value_used_twice_is_told_apart() -> None:
    x = Value(3.0, name="x")
    assert (
        answer("step", loss=x * x)
        == """\
step 1 of 1   v1 = x·x = 9
  upstream ∂v1/∂v1 = +1
  x: local ∂v1/∂x = x = 3   operand 2
    +1 × 3 = +3
    x.grad: none → +3 1 missing (1 of 2)
  x: local ∂v1/∂x = x = 3   operand 1
    +1 × 3 = +3
    x.grad: +3 += +3 → +6 ✓ final (2 of 2)
  the pass is complete: every gradient is final"""
    )


# ------------------------------------------------------------------------------------------ judging
def test_check_compares_the_local_derivatives() -> None:
    text = answer("check h1")
    assert text.startswith("local derivatives of h1, recorded and measured\n")
    assert re.search(r"a = v13 +\+0\.24130071 +\+0\.24130071 +fine", text)
    assert answer("check w1") == "error: w1 is a leaf: it has no local derivative to check"


def test_check_finds_a_wrong_derivative(monkeypatch) -> None:
    planted(monkeypatch, "tanh", 2.0)
    loss = dot([Value(0.5, name="x")], [Value(2.0, name="w")])
    from microbp.compiled import compiled
    from microbp.record import record

    assert compiled(RULES["tanh"]).derivatives[0](0.0, 0.0) == 2.0
    wrong = record(RULES["tanh"], (loss,))
    assert "WRONG RULE" in said("check", loss=wrong, names={"wrong": wrong})


def test_explain_derives_a_gradient() -> None:
    text = answer("explain w5 rate=0.5")
    assert text.startswith("∂E/∂w5: ")
    assert "= 0.0821670" in text
    assert "0.358916" in text
    assert not re.search("[一-龥]", text)
    assert answer("goto w5", "explain").startswith("∂E/∂v21: ")
    assert answer("explain w5 rate=fast") == "error: 'fast' is not a learning rate; for instance: rate=0.5"
    assert answer("explain").startswith("∂E/∂E: ")
    assert answer("explain w5,rate=0.5") == "error: there is no value 'w5,'; did you mean 'w5'?"
    assert answer("explain w5 rate=0") == "error: '0' is not a learning rate; for instance: rate=0.5"
    assert answer("update w5 rate=1e400") == "error: '1e400' is not a learning rate; for instance: rate=0.5"
    assert answer("explain w5 rate = 0.5") == text
    x, other = Value(2.0, name="x"), Value(3.0, name="w rate=1")
    assert answer("explain w rate=1", loss=x * other).startswith("∂v2/∂“w rate=1”: ")


def test_diagnose_says_what_is_wrong() -> None:
    assert answer("diagnose").startswith("diagnose(E = 0.29837111): ")
    w, x = Value(-0.5, name="w"), Value(3.0, name="x")
    h = (w * x).relu()
    assert "dead relu" in answer("diagnose", loss=(h - 1.0) ** 2, names={"h": h})
    assert answer("diagnose w") == "error: diagnose takes no argument"


def test_path_shows_the_ways_of_a_gradient() -> None:
    assert answer("path w1").splitlines()[0] == "∂E/∂w1 = 0.00043856773: 2 paths"
    assert answer("path w9") == "error: there is no value 'w9'; did you mean 'w8'?"


# ------------------------------------------------------------------------------------ wrong commands
@at_once(
    [
        ("stpe", "there is no command 'stpe'; did you mean 'step'?"),
        ("reverse_continue", "there is no command 'reverse_continue'; did you mean 'reverse-continue'?"),
        ("xyzzy", "there is no command 'xyzzy'; help lists them"),
        ("step x", "'x' is not a number; usage: step [COUNT]"),
        ("step -1", "'-1' is not a number; usage: step [COUNT]"),
        ("step " + "9" * 30, f"'{'9' * 30}' is not a number; usage: step [COUNT]"),
        ("back x", "'x' is not a number; usage: back [COUNT]"),
        ("forward w1", "w1 is a leaf: it was given, not computed"),
        ("continue 5", "continue takes no argument"),
        ("goto", "goto what? usage: goto STEP|NAME|end"),
        ("goto 28", "there is no step 28: this pass has the steps 0 to 27"),
        ("goto h9", "there is no value 'h9'; did you mean"),
        ("break", ""),
        ("break h1 if", "an expression is missing; for instance: abs(grad) > 10"),
        ("break 12", "no line is known: call microbp.record_sites() before computing"),
        ("break if grad > 10 ***", "'grad > 10 ***' is not an expression: invalid syntax"),
        ("break if grad = 0", "'grad = 0' is not an expression: "),
        ("break if h1 > 0", "say what of h1 is meant: h1.data, h1.grad, h1.final, h1.missing"),
        ("break h1 if h1", "say what of h1 is meant: h1.data, h1.grad"),
        ("break if h1 == 0.5", "say what of h1 is meant: h1.data, h1.grad"),
        ("break if not h1", "say what of h1 is meant: h1.data, h1.grad"),
        ("break if 1 if h1 else 0", "say what of h1 is meant: h1.data, h1.grad"),
        ("break if any([h1])", "say what of h1 is meant: h1.data, h1.grad"),
        ("explain h1 rate=0.5", "explain(): h1 is computed: no step of gradient descent changes it"),
        ("print h1 + 1", "say what of h1 is meant: h1.data, h1.grad"),
        ("print abs(h1)", "say what of h1 is meant: h1.data, h1.grad"),
        ("watch", "watch what? usage: watch NAME [if CONDITION]"),
        ("watch q", "there is no value 'q'"),
        ("delete", "delete what? usage: delete NUMBER ...|all"),
        ("print", "print what? usage: print NAME|EXPRESSION"),
        ("print h1.__class__", "say what of h1 is meant: h1.data, h1.grad"),
        ("p opened('x')", "there is no value and no word 'opened'; the words are: data"),
        ("p local", "'local' speaks of a step, and none is done yet: step first"),
        ("where h9", "there is no value 'h9'"),
        ("explain h9", "there is no value 'h9'"),
        ("path h9", "there is no value 'h9'"),
        ("check h9", "there is no value 'h9'"),
        ("help stpe", "there is no command 'stpe'; did you mean 'step'?"),
        ("quit now", "quit takes no argument"),
        ("rc 3", "reverse-continue takes no argument"),
        ("!ls", "there is no command '!ls'"),
        ("\x00", "there is no command '\\x00'"),
    ]
)
def test_a_wrong_command_is_one_clear_line(command: str, told: str) -> None:
    text = answer(command)
    if told:
        assert text.startswith(f"error: {told}")
        assert "\n" not in text


def test_what_goes_wrong_inside_is_one_line_and_the_session_goes_on(monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(breakpoints.Breakpoint, "stops", broken)
    text = said("break h1", "continue", "goto 3", "p w1.data")
    assert "error: continue: ZeroDivisionError: inside\n" in text
    assert "step 3 of 27" in text
    assert text.endswith("w1.data = 0.15\n(microbp 3/27) \n")


def test_an_interrupt_returns_to_the_prompt_with_whole_gradients(monkeypatch) -> None:
    stops = breakpoints.Breakpoint.stops

    def interrupted(self, place):
        if place.at == 16:
            raise KeyboardInterrupt
        return stops(self, place)

    monkeypatch.setattr(breakpoints.Breakpoint, "stops", interrupted)
    text = said("watch w1", "continue", "p i2.grad", "p w6.grad")
    assert "(microbp 0/27) continue\ninterrupted\nstep 16 of 27" in text
    assert "i2.grad = none yet\n" in text or "i2.grad = 0\n" in text
    assert "w6.grad = 0.08266762784753326\n" in text


def test_input_that_is_no_text_ends_the_session() -> None:
    loss, _ = written_out()
    out, stdin = io.StringIO(), io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8")
    assert step(loss, {}, stdin=stdin, stdout=out) == 1
    assert out.getvalue().endswith("error: the commands are no utf-8 text: the session ends\n")


def test_a_session_without_any_input_ends(monkeypatch, capsys) -> None:
    loss, _ = written_out()
    monkeypatch.setattr("sys.stdin", None)
    assert step(loss, {}) == 0
    assert capsys.readouterr().out.endswith("(microbp 0/27) \n")


def test_refused_commands_are_counted() -> None:
    loss, _ = written_out()
    out = io.StringIO()
    assert (
        step(loss, {}, commands=["foo", "step", "bar", "quit", "never"], stdin=io.StringIO(), stdout=out) == 2
    )
    assert "(microbp 0/27) foo\nerror: there is no command 'foo'" in out.getvalue()
    assert "never" not in out.getvalue()


def test_comments_and_empty_lines_of_a_script_are_passed_over() -> None:
    text = said("", "# step", "   ", "step", "", "quit")
    assert "step 1 of 27" in text
    assert "step 2 of 27" not in text


def test_an_empty_line_of_a_person_moves_on() -> None:
    loss, _ = written_out()
    shell = Shell(trace(loss, {}), stdin=io.StringIO(), stdout=io.StringIO())
    shell.interactive = True
    for line in ("step", "", "", "print w1", "", "goto 9", ""):
        shell.onecmd(line)
    assert shell.place.at == 9
    shell.onecmd("back")
    shell.onecmd("")
    assert shell.place.at == 7


# ---------------------------------------------------------------------------------------- help
def test_help_lists_every_command_and_every_command_has_help() -> None:
    text = answer("help")
    for name, (short, *_) in COMMANDS.items():
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
        for word in (name, *short.split()):
            assert re.match(rf"{name}( .*)?\n", answer(f"help {word}"))
    assert answer("? step") == answer("help step") == answer("h s")


def test_no_two_commands_have_one_name() -> None:
    words = [word for name, (short, *_) in COMMANDS.items() for word in (name, *short.split())]
    assert len(words) == len({*words})


@at_once(
    [
        ("print h", ["h1", "h2"]),
        ("break sig", ["sigmoid", "sign_change"]),
        ("break h1 if gr", ["grad"]),
        ("p w5.", ["w5.data", "w5.grad", "w5.final", "w5.missing"]),
        ("p w5.g", ["w5.grad"]),
        ("help re", ["reverse-continue"]),
        ("delete ", ["all"]),
        ("forward o", ["o1", "o2"]),
        ("goto v2", ["v21", "v22", "v23", "v24", "v25", "v27", "v28", "v29"]),
        ("nosuch h", []),
    ]
)
def test_completion(line: str, offered: list[str]) -> None:
    loss, values = written_out()
    shell = Shell(trace(loss, values), stdout=io.StringIO())
    begins = len(line) - len(re.split(r"[ .]", line)[-1]) if "." not in line else line.rindex(" ") + 1
    assert shell.completedefault("", line, begins, len(line)) == offered


def test_completion_inside_of_a_name_that_readline_breaks() -> None:
    x = Value(1.0, name="layers.0.w[1]") * Value(2.0, name="layers.0.w[12]")
    shell = Shell(trace(x, {}), stdout=io.StringIO())
    assert shell.completedefault("", "print layers.0.w[1", 17, 18) == ["1]", "12]"]


# ------------------------------------------------------------------------- colour, characters, terminal
class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_on(out: io.StringIO, monkeypatch, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, held in environment.items():
        monkeypatch.setenv(name, held)
    loss, values = written_out()
    commands = ["goto 17", "update", "foo", "quit"]
    step(loss, dict(values), commands=commands, stdin=io.StringIO(), stdout=out)
    return out.getvalue()


def test_a_terminal_has_colour_and_the_same_words(monkeypatch) -> None:
    coloured = shown_on(Terminal(), monkeypatch)
    plain = shown_on(io.StringIO(), monkeypatch)
    minus, plus = "\x1b[38;5;208m−0.0190491\x1b[0m", "\x1b[94m+0.0553994\x1b[0m"
    assert f"{minus} += {plus} → \x1b[94m+0.0363503\x1b[0m" in coloured
    assert "\x1b" not in plain
    without = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in without.splitlines()] == plain.splitlines()


def test_no_color_and_a_dumb_terminal_are_heeded(monkeypatch) -> None:
    assert "\x1b" not in shown_on(Terminal(), monkeypatch, NO_COLOR="1")
    assert "\x1b" not in shown_on(Terminal(), monkeypatch, TERM="dumb")


@pytest.mark.parametrize(("encoding", "times"), [("ascii", "x"), ("latin-1", "×")])
def test_in_an_encoding_that_lacks_our_signs_no_minus_is_lost(encoding: str, times: str) -> None:
    loss, values = written_out()
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    step(loss, dict(values), commands=["goto 17", "path w1", "quit"], stdin=io.StringIO(), stdout=out)
    out.flush()
    text = raw.getvalue().decode(encoding)
    assert "h1.grad: -0.0190491 += +0.0553994 ? +0.0363503 ? final (2 of 2), sign change\n" in text
    assert f"+0.138499 {times} 0.4 = +0.0553994\n" in text
    assert "\nthe sum            +0.00043856773\n" in text


def test_a_hostile_name_cannot_write_to_the_terminal() -> None:
    x = Value(2.0, name="\x1b[2Jx\n(microbp) quit")
    text = said("step", "where", "update", "check", "path", loss=x * 3.0)
    assert "\x1b" not in text
    assert "\n(microbp) quit" not in text


class Person:
    """Someone who runs the shell on a script in a terminal of its own."""

    def __init__(self, script: Path) -> None:
        self.ours, theirs = pty.openpty()
        code = (
            "import fcntl, termios\n"
            "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"  # Ctrl-C comes through the terminal
            "from microbp.cli.script import run_script\n"
            "from microbp.debug.shell import step\n"
            f"script = run_script({str(script)!r})\n"
            "step(script.root(), script.namespace)\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"}, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""
        self.read_to_the_prompt()

    def types(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def read_to_the_prompt(self, seconds: float = 60.0) -> bool:
        """Whether a prompt came in time."""
        end, new = time.monotonic() + seconds, b""
        while b"/27) " not in new and time.monotonic() < end:
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    new += os.read(self.ours, 65536)
                except OSError:  # the process has gone
                    break
        self.seen += new.decode()
        return b"/27) " in new

    def leaves(self, keys: bytes) -> str:
        """All that was seen, after the keys have ended the session."""
        self.types(keys)
        try:
            assert self.process.wait(60) == 0
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.ours)
        return self.seen


@pytest.fixture
def person(tmp_path) -> Person:
    script = tmp_path / "net.py"
    script.write_text(SCRIPT)
    return Person(script)


def test_history_and_completion_in_a_terminal(person) -> None:
    for keys in (b"ste\t\n", b"\n", b"bre\tsigm\t\n", b"continue\n", b"\x1b[A\n", b"foo\n"):
        person.types(keys)
        assert person.read_to_the_prompt()
    text = person.leaves(b"\x04")
    assert "step 2 of 27" in text
    assert "breakpoint 1: break sigmoid; 4 values" in text
    assert "step 8 of 27" in text
    assert "step 9 of 27" in text
    assert "error: there is no command 'foo'" in text
    assert "Traceback" not in text


def test_ctrl_c_gives_a_new_prompt(person) -> None:
    for _ in range(30):  # Python misses one that comes just before it waits for a key
        person.types(b"half a comm\x03")
        if person.read_to_the_prompt(2.0):
            break
    person.types(b"step\n")
    assert person.read_to_the_prompt()
    text = person.leaves(b"quit\n")
    assert "step 1 of 27" in text
    assert "Traceback" not in text
    assert "KeyboardInterrupt" not in text


def test_next_passes_over_a_group() -> None:
    x = Value(0.5, name="x")
    with group("first"):
        h = (x * 2.0).tanh() + 1.0
    with group("second"):
        loss = h.exp() * 3.0 + 1.0
    names = {"h": h, "loss": loss}
    assert answer("step", "next", loss=loss, names=names).startswith("step 4 of 6   h = v2 + 1")
    assert answer("step", "next", "next", loss=loss, names=names).startswith("step 6 of 6")


def test_a_negative_factor_stands_in_parentheses() -> None:
    x = Value(0.5, name="x")
    assert "\n    +1 × (−1) = −1\n" in answer("step", loss=2.0 - x)


def test_a_long_operation_is_shortened() -> None:
    w = [Value(1.0, name=f"layers.0.neurons.0.w.{i}") for i in range(3)]
    b = Value(1.0, name="layers.0.neurons.0.b")
    loss = dot(w, w, b)
    first = answer("step", loss=loss).splitlines()[0]
    assert first == (
        "step 1 of 1   v4 = layers.0.neurons.0.w.0·layers.0.neurons.0.w.0 + … (4 terms) = 4"
    )
    first = answer("step", loss=dot([w[0]], [b])).splitlines()[0]
    assert first.endswith("= layers.0.neurons.0.w.0·layers.0.neurons.0.b = 1")


# ------------------------------------------------------------------------------------------ small things
def test_one_step_is_not_called_steps() -> None:
    x = Value(3.0, name="x")
    assert said(loss=x * 2.0).startswith("v1 = 6: 2 values, 1 step. help lists")


def test_a_person_who_mistypes_leaves_with_status_0_and_a_file_with_1() -> None:
    pass_ = trace(written_out()[0], {})
    typed, read = (Shell(pass_, stdin=io.StringIO(), stdout=io.StringIO()) for _ in "ab")
    typed.interactive = True
    for shell in (typed, read):
        shell.onecmd("stpe")
    assert (typed.refused, read.refused) == (0, 1)


def test_a_notebook_is_asked_by_its_own_input(monkeypatch, capsys) -> None:
    lines = iter(["step", "", "print h1.data", "foo", "quit"])
    prompts: list[str] = []

    def asked(prompt: str = "") -> str:
        prompts.append(prompt)
        return next(lines)

    monkeypatch.setattr("builtins.input", asked)
    loss, values = written_out()
    assert step(loss, values) == 0
    text = capsys.readouterr().out
    assert prompts == [f"(microbp {k}/27) " for k in (0, 1, 2, 2, 2)]
    assert "h1.data = 0.5932699921071872\n" in text
    assert "print h1.data" not in text


# ------------------------------------------------------------------------------ forward, and the update
def test_a_value_is_seen_to_come_about_before_its_gradient() -> None:
    assert (
        answer("forward h1")
        == """\
forward 9 of 27   h1 = σ(v13) = 0.593270
  v13 = 0.3775
  ∂h1/∂v13 = h1·(1 − h1) = 0.5933·(1 − 0.5933) = 0.241301, kept for the way back"""
    )
    assert answer("forward").startswith("forward 1 of 27   v6 = w1·i1 = 0.0075\n  w1 = 0.15\n")
    assert answer("back").startswith("forward 27 of 27   E = v36 + v37 = 0.298371")
    assert answer("back", "step").startswith("step 0 of 27   the seed")
    assert answer("forward", "p h1.data", "p w1.data") == "w1.data = 0.15"
    assert "h1.data = none yet" in said("forward", "p h1.data")
    told = answer("forward", "break h1", "continue")
    assert told.startswith("breakpoint 1: h1 is computed\nforward 9 of 27")
    assert answer("forward", "continue").startswith("step 0 of 27   the seed")
    assert "\n(microbp forward 9/27) " in said("forward h1")
    leaf = Value(2.0, name="x")
    assert answer("forward", loss=leaf) == "error: x is a leaf: nothing was computed"


def test_on_the_way_forward_the_first_number_that_is_not_finite_is_found() -> None:
    x = Value(1e200, name="x")
    big = x * 2.0
    y = (big * big).tanh() + x
    assert answer("forward", "break not finite", "continue", loss=y, names={"big": big}) == """\
breakpoint 1: v2 is computed
forward 2 of 4   v2 = big·big = ∞
  big = 2e+200
  ∂v2/∂big = big = 2e+200, kept for the way back
  ∂v2/∂big = big = 2e+200, kept for the way back"""


def test_the_update_follows_the_pass() -> None:
    text = answer("update w5 rate=0.5")
    assert text.startswith("the update with the learning rate η = 0.5: data − η·gradient\n")
    assert re.search(r"w5 +0\.4 +\+0\.0821670 +0\.358916480$", text)
    assert len(answer("update").splitlines()) == 4 + 12
    assert answer("update h1") == "error: h1 is no leaf that takes a gradient: nothing updates it"
    assert answer("update rate=x") == "error: 'x' is not a learning rate; for instance: rate=0.5"


def test_what_is_shown_is_the_same_after_the_update() -> None:
    commands = ["forward h1", "goto 17", "p w5.data", "explain w5 rate=0.5", "update rate=0.5"]
    loss, values = written_out()
    before = said(*commands, loss=loss, names=dict(values))
    loss.backward()
    for name, value in values.items():
        if name[0] in "wb":
            assert value.grad is not None
            value.data -= 0.5 * value.grad
    assert said(*commands, loss=loss, names=dict(values)) == before
