"""The ``microbp`` command: what it prints, what it writes, its exit status and its errors."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support import planted

import microbp
from microbp import cli, demo
from microbp.demo.report import Report

ROOT = Path(microbp.__file__).parents[1]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Two tutorials that take no time; a figure deviates if what this returns is changed."""
    ours = {"T1": 0.25, "T4": 0.5}

    def tutorial(name, known):
        def reproduce():
            report = Report(name, "Quick")
            report.blocks.append(report.compare("Figures", "a book", [("E", known, ours[name])]))
            return report

        return SimpleNamespace(title="Quick", reproduce=reproduce)

    both = {"T1": tutorial("T1", "0.25"), "T4": tutorial("T4", "0.5")}
    monkeypatch.setattr(demo, "TUTORIALS", both)
    return ours


def files(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def refused(capsys, *argv):
    """The last line on stderr of a command line that argparse refuses."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]


def python(*argv, **options):
    environment = {name: x for name, x in os.environ.items() if not name.startswith("PYTHON")}
    environment |= options.pop("environment", {})
    return subprocess.Popen(
        [sys.executable, *argv], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


# --------------------------------------------------------------------------------- the real thing
def test_demo_reproduces_tutorials_and_writes_only_into_its_folder(here, capsys):
    assert cli.main(["demo", "T1", "-v"]) == 0
    made = ("T1.html", "T1.json", "T1.svg", "T1.txt")
    assert files(here) == [f"microbp-demo/{each}" for each in made]
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    for figure in ("5.92944818e-07", "3.266878922007038e-07", "0.7987073083"):
        assert figure in out
    assert "DISAGREE:" not in out
    text = (here / "microbp-demo" / "T1.txt").read_text(encoding="utf-8")
    assert " ".join(text.split()) in " ".join(out.split())
    assert json.loads((here / "microbp-demo" / "T1.json").read_text(encoding="utf-8"))["ok"] is True
    written = [str(Path("microbp-demo") / f"T1.{suffix}") for suffix in ("txt", "json", "svg", "html")]
    assert out.splitlines()[-1] == f"Written: {', '.join(written)}"


def test_the_demo_prints_a_page_and_the_report_into_its_folder(here, capsys):
    assert cli.main(["demo", "T1"]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 15
    assert out.startswith("T1. The 2-2-1 net, and a mistake that broadcasting hides\n  computed  ")
    assert "5.92944818e-07 by its rule" in " ".join(out.split())
    assert "\n  mistake   l1_delta is broadcast to 2 × 2" in out
    assert "5. 100 iterations" in (here / "microbp-demo" / "T1.txt").read_text(encoding="utf-8")


def test_without_a_layout_engine_the_demo_writes_the_picture_as_text(here, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    assert cli.main(["demo", "T1", "-q"]) == 0
    assert files(here) == [f"microbp-demo/T1.{suffix}" for suffix in ("dot", "html", "json", "txt")]
    assert "T1: no picture, only its DOT text: no layout engine" in capsys.readouterr().out


def test_a_wrong_derivative_in_the_engine_makes_the_command_fail(here, capsys, monkeypatch):
    planted(monkeypatch, "exp")
    assert cli.main(["demo", "T1"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "compared  DISAGREE: " in out
    assert "DISAGREE: " in (here / "microbp-demo" / "T1.txt").read_text(encoding="utf-8")
    read = json.loads((here / "microbp-demo" / "T1.json").read_text(encoding="utf-8"))
    assert read["ok"] is False


# ----------------------------------------------------------------------------------- microbp demo
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("names", "order"),
    [((), ["T1", "T4"]), (("T4",), ["T4"]), (("t4", "T1", "T4"), ["T4", "T1"])],
)
def test_tutorials_run_in_the_order_named_and_once(here, capsys, names, order):
    assert cli.main(["demo", *names, "--quiet"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [f"{name}: agree: 1 of 1 comparisons agree" for name in order]
    written = [f"microbp-demo/{name}.{suffix}" for name in order for suffix in ("json", "txt")]
    assert files(here) == sorted(written)


def test_one_deviating_figure_makes_the_status_1_and_the_others_still_run(quick, capsys):
    quick["T1"] = 0.125
    assert cli.main(["demo", "-q"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "T1: DISAGREE: 1 of 1 comparisons did not come out as they must",
        "T4: agree: 1 of 1 comparisons agree",
    ]


@pytest.mark.usefixtures("quick")
def test_the_folder_is_made_with_its_parents(here):
    assert cli.main(["demo", "T1", "--output", "a/b c"]) == 0
    assert files(here) == ["a/b c/T1.json", "a/b c/T1.txt"]


@pytest.mark.usefixtures("quick")
def test_an_existing_folder_is_reused_and_other_files_in_it_stay(here):
    folder = here / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "T1.txt").write_text("old")
    assert cli.main(["demo", "T1", "-o", "out"]) == 0
    assert files(folder) == ["T1.json", "T1.txt", "notes.txt"]
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "T1.txt").read_text(encoding="utf-8").startswith("T1. Quick\n")


@pytest.mark.usefixtures("quick")
def test_a_file_in_place_of_the_folder_is_refused(here, capsys):
    (here / "out").write_text("mine")
    assert cli.main(["demo", "-o", "out"]) == 2
    out, err = capsys.readouterr()
    message = "cannot write out: it is not a folder; name another folder with --output"
    assert (out, err) == ("", f"microbp: error: {message}\n")
    assert (here / "out").read_text() == "mine"


@pytest.mark.usefixtures("quick")
def test_a_folder_below_a_file_is_refused(here, capsys):
    (here / "out").write_text("mine")
    assert cli.main(["demo", "-o", "out/deeper"]) == 2
    path = Path("out/deeper")
    assert f"microbp: error: cannot write {path}: Not a directory; name" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_file_that_cannot_be_written_is_refused_by_name(here, capsys):
    (here / "out" / "T1.json").mkdir(parents=True)
    assert cli.main(["demo", "-o", "out"]) == 2
    path = Path("out/T1.json")
    assert f"microbp: error: cannot write {path}: Is a directory; name" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_a_folder_without_permission_is_refused(capsys, monkeypatch):
    def forbidden(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    assert cli.main(["demo", "-o", "out"]) == 2
    assert capsys.readouterr().err == (
        "microbp: error: cannot write out: Permission denied; name another folder with --output\n"
    )


# ------------------------------------------------------------------------------- the command line
KNOWN = "demo, learn, draw, step, explain, diagnose, page, grade, completion"


def test_a_mistyped_command_suggests_the_nearest(capsys):
    told = refused(capsys, "dmeo")
    error = "microbp: error: there is no command "
    assert told == f"{error}'dmeo'; did you mean 'demo'? There are: {KNOWN}"
    assert refused(capsys, "xyz") == f"{error}'xyz'. There are: {KNOWN}"


def test_a_mistyped_tutorial_suggests_the_nearest_and_nothing_is_written(here, capsys):
    told = "microbp demo: error: argument TUTORIAL: there is no tutorial "
    assert refused(capsys, "demo", "T44") == told + "'T44'; did you mean 'T4'? There are: T1, T2, T3, T4"
    assert refused(capsys, "demo", "T1", "xor") == told + "'xor'. There are: T1, T2, T3, T4"
    assert files(here) == []


def test_a_mistyped_option_is_refused(here, capsys):
    assert refused(capsys, "demo", "--ouput", "x").startswith("microbp")
    assert files(here) == []


NET = """\
import sys
from microbp import Value
print(sys.argv)
w = Value(0.5)
loss = w * 2.0
loss.backward()
"""


@pytest.mark.parametrize(
    ("argv", "theirs"),
    [
        ((), []),
        (("a", "b"), ["a", "b"]),
        (("--root", "loss", "a"), ["a"]),
        (("a", "--root", "loss", "b"), ["a", "b"]),
        (("a", "--", "--root", "x", "--", "-v"), ["a", "--root", "x", "--", "-v"]),
        (("--", "--lr", "0.1"), ["--lr", "0.1"]),
    ],
)
def test_options_may_stand_anywhere_and_the_scripts_own_behind_two_dashes(here, capsys, argv, theirs):
    (here / "net.py").write_text(NET)
    assert cli.main(["explain", "net.py", "w", *argv]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == repr(["net.py", *theirs])
    assert "∂loss/∂w = 2" in out


def test_an_option_that_is_not_ours_says_where_those_of_the_script_stand(here, capsys):
    (here / "net.py").write_text(NET)
    known = "microbp step: error: there is no option "
    meant = "(what is meant for the script stands behind --: microbp step net.py -- "
    assert refused(capsys, "step", "net.py", "--rot", "loss") == (
        f"{known}'--rot'; did you mean 'root'? {meant}--rot)"
    )
    assert refused(capsys, "step", "net.py", "a", "--seed=3") == f"{known}'--seed=3' {meant}--seed=3)"
    assert refused(capsys, "demo", "T1", "--ouput=x") == (
        "microbp demo: error: there is no option '--ouput=x'; did you mean 'output'?"
    )
    assert refused(capsys, "--verson").endswith("no option '--verson'; did you mean 'version'?")
    assert refused(capsys, "demo", "T1", "--", "x") == "microbp demo: error: 'x' is one word too many"
    assert refused(capsys, "explain", "net.py").endswith("the following arguments are required: NAME")
    assert refused(capsys, "step").endswith("the following arguments are required: script")
    with pytest.raises(SystemExit):
        cli.main(["step", "--help"])
    assert "what begins with a dash stands behind --" in " ".join(capsys.readouterr().out.split())


def test_many_names_are_not_all_listed():
    told = cli.nearest("value", "xyz", [f"w{i}" for i in range(100)])
    assert told.startswith("there is no value 'xyz'. There are: w0, w1, ")
    assert told.endswith("w39, …")


def test_help_shows_the_commands_the_tutorials_and_examples(capsys):
    assert cli.main([]) == 0
    top = capsys.readouterr().out
    for argv in (["--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        assert stopped.value.code == 0
    both = capsys.readouterr().out
    assert both.startswith(top)
    below = " ".join(both.removeprefix(top).split())
    assert "demo" in top
    for each in cli.COMMANDS:
        assert each.examples.splitlines()[0] in top
    assert "\n  1  something was found: a finding, a wrong answer" in top
    assert "microbp demo T4 -o out" in below
    for name, tutorial in demo.TUTORIALS.items():
        assert f"{name}: {tutorial.title}" in below


def test_a_command_is_added_by_one_entry(monkeypatch, capsys):
    extra = cli.Command(
        "tune", "tune a net", "microbp tune net.py",
        {"file": {}}, lambda args: cli.Result(7, {"file": args.file}), "the file",
    )  # fmt: skip
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, extra))
    assert cli.main(["tune", "net.py"]) == 7
    assert refused(capsys, "tunes").endswith(f"did you mean 'tune'? There are: {KNOWN}, tune")
    assert cli.main(["tune", "net.py", "--json"]) == 7
    assert json.loads(capsys.readouterr().out) == {"command": "microbp tune", "ok": False, "file": "net.py"}
    cli.main([])
    assert "microbp tune net.py" in capsys.readouterr().out


@pytest.mark.parametrize("each", cli.COMMANDS, ids=lambda each: each.name)
def test_every_help_has_examples_that_are_calls(each, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([each.name, "--help"])
    assert stopped.value.code == 0
    assert f"examples:\n  {each.examples.splitlines()[0]}\n" in capsys.readouterr().out
    parser = cli._parser()
    for line in each.examples.splitlines():
        call = re.split(r"\s{2,}|[<>)] |\)", line.removeprefix("source <("))[0]
        parsed = cli._parsed(parser, shlex.split(call)[1:])
        assert parsed.parser.prog == f"microbp {each.name}"


def test_the_page_about_the_command_has_every_command_and_status():
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `microbp (\w+)", page, re.MULTILINE) == [each.name for each in cli.COMMANDS]
    for status, told in re.findall(r"^  (\d)  (.*)$", cli.STATUS, re.MULTILINE):
        assert f"| {status} | {told.partition(',')[0].partition(';')[0]}" in page


@pytest.mark.parametrize(
    ("argv", "record"),
    [
        (["explain", "net.py", "w"], {"title": "∂loss/∂w: how w acts on loss", "faults": []}),
        (["diagnose", "net.py"], {"findings": [], "remarks": []}),
        (["draw", "net.py", "-o", "a.dot"], {"written": "a.dot", "values": 2, "boxes": 2}),
        (["page", "net.py"], {"written": "net.html", "values": 2, "steps": 1}),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_json_is_all_that_stands_on_stdout(here, capsys, argv, record):
    (here / "net.py").write_text(NET)
    assert cli.main([*argv, "--json"]) == 0
    out, err = capsys.readouterr()
    read = json.loads(out)
    assert read | {"command": f"microbp {argv[0]}", "ok": True} | record == read
    assert err.startswith("['net.py']\n")


def test_json_of_what_was_found_and_of_the_demo(here, quick, capsys):
    (here / "net.py").write_text(NET.replace("0.5", "-0.5").replace("w * 2.0", "w.relu()"))
    assert cli.main(["diagnose", "net.py", "--json"]) == 1
    read = json.loads(capsys.readouterr().out)
    assert (read["ok"], read["findings"][0]["kind"]) == (False, "zero gradient")
    quick["T4"] = 0.25
    assert cli.main(["demo", "--json"]) == 1
    read = json.loads(capsys.readouterr().out)
    assert [(each["tutorial"], each["ok"]) for each in read["tutorials"]] == [("T1", True), ("T4", False)]
    assert read["tutorials"][1]["comparisons"][0]["name"] == "E"


def test_ctrl_c_leaves_one_line_and_status_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "TUTORIALS", {"T1": SimpleNamespace(title="Quick", reproduce=interrupted)})
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr() == ("", "microbp: interrupted\n")


# ------------------------------------------------------------------------------ as its own process
def test_python_m_microbp(tmp_path):
    run = python("-m", "microbp", "--version", cwd=tmp_path)
    assert run.communicate() == (f"microbp {microbp.__version__}\n", "")
    assert run.returncode == 0
    wrong = python("-m", "microbp", "dmeo", cwd=tmp_path)
    out, err = wrong.communicate()
    assert (out, wrong.returncode) == ("", 2)
    assert err.startswith("usage: microbp [-h] [--version] COMMAND ...\n")


def test_the_console_command_is_main():
    points = microbp_entry_points()
    assert [point.load() for point in points] == [cli.main]


def microbp_entry_points():
    from importlib.metadata import entry_points

    return [each for each in entry_points(group="console_scripts") if each.name == "microbp"]


def test_a_terminal_that_lacks_characters_gets_the_nearest(tmp_path):
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    run = python("-m", "microbp", "demo", "T1", "-v", cwd=tmp_path, environment=ascii_only)
    out, err = run.communicate()
    assert (run.returncode, err) == (0, "")
    assert "and -dE/dnet of the same neuron" in out
    assert out.splitlines()[1] == "=" * len(out.splitlines()[0])
    text = (tmp_path / "microbp-demo" / "T1.txt").read_text(encoding="utf-8")
    assert "and −∂E/∂net of the same neuron" in text


# ------------------------------------------------------------------------------ where output goes to
SHORT = """\
from microbp import Value
w, x = Value(0.5), Value(3.0)
loss = (w * x).tanh()
loss.backward()
"""
TALKS = f"{SHORT}for i in range(20000): print('line', i)\n"
COMMANDS = [
    ["explain", "net.py", "w"], ["draw", "net.py"], ["diagnose", "net.py"], ["step", "net.py", "-c", "quit"],
    ["page", "net.py"], ["explain", "talks.py", "w"], ["demo", "T1"],
]  # fmt: skip


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_reader_that_has_gone_ends_the_command_quietly(here, command, argv):
    (here / "net.py").write_text(SHORT)
    (here / "talks.py").write_text(TALKS)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        status, _, said = command(*argv, stdout=writer)
    finally:
        os.close(writer)
    assert (status, "Traceback" in said, "Exception" in said) == (141, False, False)
    if argv[0] == "demo":
        assert said == ""
        assert [each for each in files(here) if "T1" in each] == [
            f"microbp-demo/T1.{suffix}" for suffix in ("html", "json", "svg", "txt")
        ]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_full_device_ends_the_command_with_a_sentence(here, command, argv):
    (here / "net.py").write_text(SHORT)
    (here / "talks.py").write_text(TALKS)
    with Path("/dev/full").open("w") as full:
        status, _, said = command(*argv, stdout=full)
    assert status == 2
    assert said.splitlines()[-1] == "microbp: error: cannot write the output: No space left on device"
    assert "Traceback" not in said


@pytest.mark.parametrize("argv", [["explain", "net.py", "w"], ["diagnose", "net.py"]], ids=" ".join)
def test_without_a_standard_output_there_is_nothing_to_write(here, argv):
    (here / "net.py").write_text(SHORT)
    line = shlex.join([sys.executable, "-m", "microbp", *argv])
    made = subprocess.run(
        ["/bin/sh", "-c", f"{line} >&-"], stderr=subprocess.PIPE, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")


def test_a_folder_is_no_script(capsys):
    assert cli.main(["draw", "."]) == 2
    assert capsys.readouterr().err == "microbp: error: cannot read the script .: it is a folder\n"


def test_a_help_that_cannot_be_written_is_an_error(command):
    with Path("/dev/full").open("w") as full:
        status, _, said = command("--help", stdout=full)
    assert (status, said) == (2, "microbp: error: cannot write the output: No space left on device\n")


def test_an_output_of_the_user_s_own_that_is_full_is_the_script_s_failure(here, command):
    (here / "net.py").write_text('with open("/dev/full", "w") as file:\n    file.write("x")\n')
    status, _, said = command("explain", "net.py", "w")
    assert (status, said.splitlines()[-1]) == (1, "OSError: [Errno 28] No space left on device")


@pytest.mark.parametrize("name", ["explain", "draw", "page"])
@pytest.mark.parametrize("spelling", ["{name}", "{folder}/{name}", "soft{suffix}", "hard{suffix}"])
def test_the_script_itself_is_not_overwritten(here, capsys, name, spelling):
    suffix = {"explain": ".py", "draw": ".svg", "page": ".html"}[name]
    script = here / f"net{suffix}"
    script.write_text("raise SystemExit('the script ran')")
    (here / f"soft{suffix}").symlink_to(script)
    (here / f"hard{suffix}").hardlink_to(script)
    output = spelling.format(name=script.name, folder=here, suffix=suffix)
    words = ["w"] if name == "explain" else []
    assert cli.main([name, script.name, *words, "-o", output]) == 2
    told = "it is the script itself; name another file with --output\n"
    assert capsys.readouterr().err == f"microbp: error: cannot write {Path(output)}: {told}"
    assert script.read_text() == "raise SystemExit('the script ran')"
