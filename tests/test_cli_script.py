"""A user's script, run by a command: its variables, its lines, its errors."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

import viz
from microbp import Value, cli, record_sites
from microbp.cli.command import CommandError
from microbp.cli.script import ScriptFailed, run_script


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Write a script and run it."""
    monkeypatch.chdir(tmp_path)

    def run(text, *arguments):
        (tmp_path / "net.py").write_text(dedent(text), encoding="utf-8")
        return run_script("net.py", arguments)

    return run


NET = """\
    from microbp import Value
    w, x = Value(0.5, name="w"), Value(3.0)
    h = w * x
    loss = h ** 2
    other = h + 1
    loss.backward()
"""


def test_the_root_is_what_had_backward_called_or_the_value_of_that_name(script):
    ran = script(NET)
    assert ran.root() is ran.namespace["loss"]
    assert ran.root("other") is ran.namespace["other"]
    assert ran.root("w") is ran.namespace["w"]
    assert [node.name for node in ran.graph()] == ["w", "x", "h", "loss"]


def test_lines_are_recorded_for_the_script_alone(script):
    ran = script(NET)
    assert ran.graph()["h"].site == "net.py:3"
    assert record_sites(False) is False
    assert Value.backward.__name__ == "backward"


def test_the_last_of_several_backward_passes_counts(script):
    ran = script(NET + "    other.backward()\n    h + 2\n")
    assert ran.root() is ran.namespace["other"]


def test_values_of_a_main_have_the_names_that_they_have_there(script):
    ran = script("""\
        from microbp import Value
        def passed(loss):
            loss.backward()
        def main():
            w, x = Value(0.5), Value(3.0)
            h = w * x
            passed(h ** 2)
            h = None
        main()
    """)
    assert [node.name for node in ran.graph()] == ["w", "x", "h", "loss"]
    assert ran.root("h").data == 1.5


def test_it_runs_as_main_with_its_arguments_and_its_folder(script, tmp_path):
    (tmp_path / "beside.py").write_text("number = 4.0\n", encoding="utf-8")
    before = sys.argv, sys.path[:], sys.modules["__main__"]
    ran = script(
        """\
        import pickle, sys
        from microbp import Value
        import beside
        class Mine: pass
        assert type(pickle.loads(pickle.dumps(Mine()))) is Mine
        if __name__ == "__main__":
            y = Value(beside.number) * float(sys.argv[1])
        """,
        "2.5",
    )
    assert ran.root("y").data == 10.0
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("los", "net.py: there is no value 'los'; did you mean 'loss'? There are: h, loss, other"),
        ("Value", "Value in net.py is no Value but of type type. There are: h, loss, other"),
        ("__name__", "net.py: there is no value '__name__'. There are: h, loss, other"),
    ],
)
def test_a_wrong_name_lists_the_candidates(script, name, message):
    with pytest.raises(CommandError) as refused:
        script(NET).root(name)
    assert str(refused.value) == message


def test_no_backward_and_no_name(script):
    with pytest.raises(CommandError) as refused:
        script("from microbp import Value\ny = Value(2.0) * 3\nz = y * 2\n").root()
    assert str(refused.value) == "net.py never calls backward(): name the value with --root. There are: y, z"
    ran = script("a = 1\n")
    for name in (None, "y"):
        with pytest.raises(CommandError, match="It has no variable that holds a Value"):
            ran.root(name)


def test_an_error_is_the_scripts_own_traceback(script, capsys):
    with pytest.raises(ScriptFailed) as failed:
        script(
            """\
            from microbp import Value
            def f(v):
                return v.log()
            f(Value(-1.0, name="v"))
            """
        )
    assert failed.value.status == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "net.py", line 4, in <module>'
    assert lines[-1].startswith("microbp.errors.UndefinedOperation: log(a) has no value at a = -1.0 (v)")
    assert not any("cli" in line for line in lines)
    assert record_sites(False) is False


def test_a_typing_mistake_shows_its_line_and_nothing_of_ours(script, capsys):
    with pytest.raises(ScriptFailed):
        script("x = = 3\n")
    assert capsys.readouterr().err.splitlines() == [
        '  File "net.py", line 1', "    x = = 3", "        ^", "SyntaxError: invalid syntax",
    ]  # fmt: skip


@pytest.mark.parametrize(("call", "status"), [("exit(3)", 3), ("exit('no data')", 1)])
def test_the_scripts_own_exit_status(script, capsys, call, status):
    with pytest.raises(ScriptFailed) as failed:
        script(f"import sys\nsys.{call}\n")
    assert failed.value.status == status
    told = "microbp: net.py ended with sys.exit(3), so that nothing is shown\n"
    assert capsys.readouterr().err == ("no data\n" if status == 1 else told)


def test_the_only_value_that_was_computed_needs_no_name(script):
    ran = script("from microbp import Value\nw = Value(2.0)\nloss = w * 3\n")
    assert ran.root() is ran.namespace["loss"]


def test_generated_code_does_not_stand_in_a_traceback(script, capsys):
    with pytest.raises(ScriptFailed):
        script("""\
            from microbp import Value
            try:
                Value(0.0).log()
            except ArithmeticError as error:
                raise RuntimeError("no loss") from error
        """)
    told = capsys.readouterr().err
    assert "UndefinedOperation: log(a) has no value at a = 0.0" in told
    assert told.endswith("RuntimeError: no loss\n")
    assert "<microbp " not in told


@pytest.mark.parametrize("name", ["viz.py", "viz/__init__.py"])
def test_a_viz_of_the_script_s_own_is_its_own(script, tmp_path, capsys, monkeypatch, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("OWN = 3\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))  # as python -m has it
    assert script(f"import viz\n{dedent(NET)}seen = viz.OWN\n").namespace["seen"] == 3
    assert cli.main(["draw", "net.py", "-o", "net.dot"]) == 0
    assert "Written: net.dot" in capsys.readouterr().out
    assert sys.modules["viz"] is viz


def test_an_exit_without_error_is_an_ordinary_end(script):
    assert script(NET + "    import sys; sys.exit()\n").root().data == 2.25


def test_a_file_that_is_not_there():
    with pytest.raises(CommandError, match=r"^cannot read the script none\.py: No such file or directory$"):
        run_script("none.py")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_script_in_another_encoding_is_told(tmp_path, monkeypatch, encoding):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("# 中文\nx = 1\n", encoding=encoding)
    told = r"^cannot read the script net\.py: it has null bytes, as UTF-16 has; save it in UTF-8$"
    with pytest.raises(CommandError, match=told):
        run_script("net.py")


def test_a_script_comes_from_the_standard_input_as_python_reads_it(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("factor = 3.0\n")
    text = f"from own import factor\n{dedent(NET)}raise ValueError(factor)\n"
    right = text.rpartition("raise")[0]
    told = {}
    for source in (right, text):
        (tmp_path / "input").write_text(source)
        with (tmp_path / "input").open() as given:
            told[source] = command("explain", "-", "w", stdin=given)
    assert "∂loss/∂w = ∂loss/∂h · ∂h/∂w" in told[right].stdout
    assert told[right].returncode == 0
    assert "line 8, in <module>\n    raise ValueError(factor)\nValueError: 3.0\n" in told[text].stderr


def test_what_reads_behind_a_script_from_the_standard_input_finds_its_end(tmp_path, command):
    (tmp_path / "net.py").write_text(f"{dedent(NET)}import sys; assert not sys.stdin.read()\n")
    with (tmp_path / "net.py").open() as script:
        ran = command("step", "-", stdin=script)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("(microbp 0/2) \n")
    step = [sys.executable, "-m", "microbp", "step", "-"]
    closed = f"import os, sys; os.close(0); os.execv(sys.executable, {step})"
    ran = subprocess.run([sys.executable, "-c", closed], capture_output=True, text=True, check=False)
    told = "microbp: error: cannot read the script from the standard input: it is closed\n"
    assert (ran.returncode, ran.stderr) == (2, told)


def test_lines_are_counted_as_python_counts_them(script, capsys):
    with pytest.raises(ScriptFailed):
        script('first = "\f\x1c\u2028"\nraise ValueError(first)\n')
    assert "line 2, in <module>\n    raise ValueError(first)\nValueError: " in capsys.readouterr().err
