"""``microbp learn``: the steps, what is graded, and where it ends."""

from __future__ import annotations

import io

import pytest
from support import at_once

from microbp import Value, cli, grad
from microbp.lessons import LESSONS, learn


def typed(*lines):
    """Someone who types these lines, and no more."""
    left = iter(lines)
    return lambda _prompt: next(left, None)


@at_once(LESSONS)
def test_each_step_asks_for_a_gradient_that_its_code_computes(lesson):
    scope = lesson.scope()
    gradient = grad(scope[lesson.of], scope[lesson.asked])
    assert gradient not in (0.0, scope[lesson.asked].data)
    assert all(len(told) == 2 and all(told) for told in (lesson.title, lesson.text))


def test_twelve_steps_from_one_multiplication_to_the_net_of_the_tutorial():
    assert len(LESSONS) == 12
    assert len([*LESSONS[0].scope()]) == 2
    scope = LESSONS[-1].scope()
    assert scope["E"].data == 0.2983711087600027
    assert round(grad(scope["E"], scope["w1"]), 9) == 0.000438568


def test_all_steps_answered(capsys):
    answers = []
    for lesson in LESSONS:
        scope = lesson.scope()
        answers.append(f"{grad(scope[lesson.of], scope[lesson.asked]):.4g}")
    assert learn(ask=typed(*answers)) == 0
    out = capsys.readouterr().out
    assert out.count("Right. In microbp: ") == 12
    assert "12 of 12 steps answered, 12 at the first try." in out


def test_a_wrong_answer_gets_its_mistake_and_another_try(capsys):
    assert learn(5, ask=typed("4", "y = -1/1", "-4,0")) == 7
    out = capsys.readouterr().out
    assert "Not yet: the sign is wrong: it is -1 × the true gradient" in out
    assert "Right. In microbp: E.backward() leaves w.grad = -4." in out
    assert "1 of 12 steps answered, 0 at the first try." in out


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["?"], "∂y/∂w = 2\n\nEvery line was computed again"),
        (["skip", "1"], "leaves b.grad = 1."),
        (["quit", "2"], "Go on later with: microbp learn --from 1"),
        ([], "Go on later with: microbp learn --from 1"),
        (["", "2"], "leaves w.grad = 2."),
        (["？"], "∂y/∂w = 2\n\nEvery line was computed again"),
        (["two"], "'two' is not read as a number"),
    ],
)
def test_what_may_be_typed_in_place_of_a_number(capsys, lines, told):
    assert learn(ask=typed(*lines)) >= 11
    assert told in capsys.readouterr().out


def test_the_last_zero_of_three_digits_may_be_missing():
    assert learn(10, ask=typed("-0.024")) == 2
    assert learn(10, ask=typed("-0.0241", "-0.02", "abc")) == 3


def test_a_derivation_costs_the_first_try(capsys):
    learn(ask=typed("?", "2"))
    assert "1 of 12 steps answered, 0 at the first try." in capsys.readouterr().out


def test_the_command_reads_stdin_and_speaks_chinese(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("12\n跳过\n退出\n"))
    assert cli.main(["learn", "--from", "6", "--language", "zh"]) == 1
    out = capsys.readouterr().out
    assert "第 6 步，共 12 步：两条路径" in out
    assert "∂y/∂w = 12\n正确。在 microbp 中：y.backward() 之后 w.grad = 12。" in out
    assert out.endswith("共 12 步，答对 1 步，其中 1 步一次答对。\n")


def test_an_input_that_is_closed_or_in_another_encoding(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["learn", "--from", "6"]) == 1
    assert "Go on later with: microbp learn --from 6" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("退出\n".encode("gbk")), encoding="utf-8"))
    assert cli.main(["learn"]) == 2
    told = "microbp: error: what was typed is not in utf-8, the encoding of stdin\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("step", ["0", "13"])
def test_a_step_that_there_is_not(capsys, step):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["learn", "--from", step])
    assert stopped.value.code == 2
    assert f"there is no choice '{step}'. There are: 1, 2, 3" in capsys.readouterr().err


def test_a_language_that_it_does_not_speak():
    with pytest.raises(ValueError, match="it is 'en' \\(English\\) or 'zh' \\(Chinese\\)"):
        learn(language="fr")


def test_a_planted_error_in_a_step_would_be_caught():
    broken = LESSONS[0]._replace(code="w = Value(3.0)\ny = Value(0.0)")
    scope = broken.scope()
    assert isinstance(scope["y"], Value)
    assert grad(scope["y"], scope["w"]) == 0.0
