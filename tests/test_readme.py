"""The documents tell the truth: every number they print is computed again.

The convention: a fenced ``python`` block holds examples (``>>>`` and what Python answers), and the
blocks of one document share their names from top to bottom. Output that cannot be the same
everywhere takes an explicit ``# doctest: +ELLIPSIS``.
"""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    line: int  # of its first line of content, counted from 0 as doctest does
    language: str
    text: str


def blocks_of(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a document, in order; a block that is never closed is an error."""
    lines = iter(enumerate(markdown.splitlines()))
    for number, line in lines:
        fence = re.match(r"( *)(```+|~~~+) *([^\s`]*)", line)
        if not fence:
            continue
        indent, mark, language = fence.groups()
        content = []
        for _, inner in lines:
            if inner.strip().startswith(mark) and not inner.strip().strip(mark[0]):
                break
            content.append(inner.removeprefix(indent) + "\n")
        else:
            message = f"the block opened in line {number + 1} is never closed"
            raise ValueError(message)
        yield Block(number + 1, language.lower(), "".join(content))


def examples_of(markdown: str) -> list[Block]:
    return [block for block in blocks_of(markdown) if block.language.startswith("py")]


def faults_of(markdown: str, name: str) -> str:
    """What is wrong in the Python blocks of a document, as text; empty where all is true."""
    faults: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in examples_of(markdown):
        where = f"{name}:{block.line + 1}: "
        text = re.sub(r"\n(?=\n+(?!>>>|\n|$))", "\n<BLANKLINE>", block.text)  # within an output
        test = doctest.DocTestParser().get_doctest(text, names, name, name, block.line)
        if block.language != "python":
            faults.append(f"{where}a block of '{block.language}': write 'python'\n")
        elif not test.examples:
            faults.append(f"{where}a python block without '>>>': nothing in it can be checked\n")
        else:
            runner.run(test, out=faults.append, clear_globs=False)
            names = test.globs
    return "".join(faults)


def read(document: Path) -> str:
    if not document.is_file():
        pytest.fail(f"{document.name} is missing from {document.parent}")
    return document.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_prints_what_python_prints(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    markdown = read(document)
    monkeypatch.chdir(tmp_path)  # what an example writes does not land in the checkout
    faults = faults_of(markdown, document.name)
    if faults:
        pytest.fail(faults, pytrace=False)


def test_the_readme_shows_an_example() -> None:
    assert examples_of(read(README)), "README.md has no ```python block: nothing shows what it does"


def test_a_missing_document_is_reported(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"README\.md is missing from"):
        read(tmp_path / "README.md")


# ---------------------------------------------------------------------------- testing the tester
TRUE = """\
# A document
```python
>>> half = 1 / 2
>>> half
0.5
```
Text between, a plain block, and the same names go on:
```text
>>> 1 / 0
```
1. In a list:

   ```python
   >>> for n in range(2):
   ...     print(n * half)
   0.0
   0.5
   >>> 1 / 0
   Traceback (most recent call last):
   ZeroDivisionError: division by zero
   ```
"""


def test_a_true_document_has_no_fault() -> None:
    assert [block.language for block in blocks_of(TRUE)] == ["python", "text", "python"]
    assert faults_of(TRUE, "true.md") == ""


@pytest.mark.parametrize(
    ("truth", "lie", "line", "text"),
    [
        (">>> half\n0.5", ">>> half\n0.5000001", 4, "Expected:\n    0.5000001\nGot:\n    0.5\n"),
        ("   0.0\n   0.5\n", "   0.0\n   0.50\n", 14, "Expected:\n    0.0\n    0.50\nGot:"),
        (">>> half\n0.5", ">>> half", 4, "Expected nothing\nGot:\n    0.5\n"),
        (">>> half\n0.5", ">>> helf\n0.5", 4, "NameError: name 'helf' is not defined"),
        ("division by zero", "division by 0", 18, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_lie_is_caught_with_its_line(truth: str, lie: str, line: int, text: str) -> None:
    assert truth in TRUE
    faults = faults_of(TRUE.replace(truth, lie), "false.md")
    assert f'File "false.md", line {line}, in false.md' in faults
    assert text in faults


def test_blank_lines_within_an_output_are_part_of_it() -> None:
    block = "```python\n>>> print('a', '', '', 'b', sep='\\n')\na\n\n\nb\n\n>>> 1\n1\n```\n"
    assert faults_of(block, "a.md") == ""
    lie = block.replace("a\n\n\nb", "a\n\nb")
    assert "Expected:\n    a\n    <BLANKLINE>\n    b" in faults_of(lie, "a.md")


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("```python\nprint(1)\n```", "a.md:2: a python block without '>>>'"),
        ("```python\n```", "a.md:2: a python block without '>>>'"),
        ("text\n\n~~~ pycon\n>>> 1\n2\n~~~", "a.md:4: a block of 'pycon': write 'python'"),
    ],
)
def test_a_block_that_would_evade_the_check_is_caught(block: str, fault: str) -> None:
    assert faults_of(block, "a.md").startswith(fault)


def test_a_block_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="the block opened in line 3 is never closed"):
        faults_of("one\n\n```python\n>>> 1\n1\n", "a.md")


def test_a_document_without_an_example_is_noticed() -> None:
    assert examples_of("# Title\n\n```bash\npip install .\n```\n") == []
