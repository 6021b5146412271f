"""Tables: what stands where, that nothing is lost, and that colour only repeats what the words say."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from support import at_once

from microbp.text import VERDICTS, Table, number

COLOUR = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


def example(notes=()):
    rows = (("w5", 0.0821670407, "agree"), ("W[0,1]", -12.5, "DISAGREE: twice"), ("b", None, "inconclusive"))
    return Table("gradients of E", ("name", ">gradient", "verdict"), rows, notes)


def test_the_text_is_aligned_and_ends_with_the_notes():
    assert str(example(("2 of 3", "WRONG: w"))) == (
        "gradients of E\n"
        "\n"
        "name         gradient   verdict\n"
        "───────────────────────────────────────\n"
        "w5       +0.082167041   agree\n"
        "W[0,1]     -12.500000   DISAGREE: twice\n"
        "b                   -   inconclusive\n"
        "\n"
        "2 of 3\n"
        "WRONG: w"
    )


def test_a_table_without_rows_is_its_title_and_notes():
    assert str(Table("title", ("a", ">b"), ())) == "title"
    assert str(Table("title", ("a", ">b"), (), ("note",))) == "title\n\nnote"


def test_nothing_is_cut_off_or_wrapped_however_long():
    long = "because " * 200 + "of that"
    lines = str(Table(long, ("a", "b"), ((long, "x"), ("y", long)), (long,))).splitlines()
    assert len(lines) == 8
    assert lines[0] == lines[7] == long
    assert lines[4].startswith(long)
    assert lines[5].endswith(long)


def test_the_width_does_not_depend_on_the_environment(monkeypatch):
    before = str(example())
    for name, setting in (("COLUMNS", "20"), ("TERM", "dumb"), ("FORCE_COLOR", "1"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, setting)
        assert str(example()) == before


def test_wide_characters_are_aligned_as_a_terminal_shows_them():
    lines = str(Table("t", ("名字", ">g", "v"), (("权重", 1.0, "agree"), ("w", -1.0, "agree")))).splitlines()
    assert lines[2:] == [
        "名字            g   v",
        "─────────────────────────",
        "权重   +1.0000000   agree",
        "w      -1.0000000   agree",
    ]


def test_what_looks_like_markup_or_an_emoji_is_text():
    told = str(Table("[bold]t[/bold]", ("[x]",), (("W[0,1] [red]a[/red]",), (":smile:",)), ("[/]",)))
    for text in ("[bold]t[/bold]", "[x]", "W[0,1] [red]a[/red]", ":smile:", "[/]"):
        assert text in told


def test_a_row_must_fit_the_columns():
    with pytest.raises(ValueError, match=r"^2 cells for 3 columns: \('w', 1\.0\)$"):
        Table("t", ("a", "b", "c"), (("w", 1.0),))


def test_a_table_is_frozen():
    with pytest.raises(FrozenInstanceError):
        example().title = "other"


@at_once(
    [
        (0.5, "+0.50000000"),
        (-0.0, "0"),
        (3, "+3.0000000"),
        (1e-300, "+1.0000000e-300"),
        (123456789.0, "+1.2345679e+08"),
        (float("inf"), "+inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
        (None, "-"),
    ]
)
def test_numbers_have_a_sign_and_eight_digits(x, text):
    assert number(x) == text


def test_number_takes_the_digits_asked_for():
    assert number(2 / 3, 3) == "+0.667"


# ------------------------------------------------------------------------------------------- colour
def test_a_terminal_gets_colour_and_the_same_words(terminal):
    table = example(("WRONG: w", "a note"))
    table.show(terminal)
    shown = terminal.getvalue()
    assert "\x1b[32magree" in shown
    assert "\x1b[1;31mDISAGREE: twice" in shown
    assert "\x1b[33minconclusive" in shown
    assert "\x1b[1;31mWRONG: w" in shown
    plain = [line.rstrip() for line in COLOUR.sub("", shown).splitlines()]
    assert "\n".join(plain) == str(table)


@pytest.mark.usefixtures("terminal")
def test_a_file_gets_plain_text():
    file = io.StringIO()
    example().show(file)
    assert file.getvalue() == f"{example()}\n"


@pytest.mark.parametrize(("name", "setting"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colour_gets_plain_text(terminal, monkeypatch, name, setting):
    monkeypatch.setenv(name, setting)
    example().show(terminal)
    assert terminal.getvalue() == f"{example()}\n"


def test_without_a_file_it_is_printed(capsys):
    example().show()
    assert capsys.readouterr().out == f"{example()}\n"


def test_every_verdict_has_its_colour_only_as_a_word_of_its_own():
    for word in VERDICTS:
        assert COLOUR.search(_coloured(Table("", ("v",), ((word,),)))), word
        assert not COLOUR.search(_coloured(Table("", ("v",), ((f"{word}ment",),)))), word


def _coloured(table):
    return table._render(colour=True).splitlines()[-1].replace("\x1b[0m", "")


def test_what_the_encoding_lacks_becomes_a_question_mark():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Table("σ", ("a",), (("x",),)).show(file)
    file.flush()
    assert raw.getvalue().decode().splitlines() == ["?", "", "a", "-", "x"]


def test_a_minus_sign_is_lost_in_no_encoding():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Table("w·x = −1.5", (), ()).show(file)
    file.flush()
    assert raw.getvalue().decode() == "w*x = -1.5\n"


def test_rich_is_imported_only_to_render():
    code = (
        "import sys, microbp.text as t; table = t.Table('t', ('a',), (('x',),))\n"
        "print('rich' in sys.modules); str(table); print('rich' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
