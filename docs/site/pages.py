"""The pages of the site that are made when it is built: the READMEs, the notebooks, the reference, all helps.

MkDocs calls ``on_files`` and ``on_page_markdown``. Nothing is stated here that is not stated elsewhere: the
reference is the docstrings, whose examples are tests, and the helps are what argparse prints.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import microbp
import viz
from microbp import classroom, cli, layers, lessons, losses, nn, optim

ROOT = Path(__file__).resolve().parents[2]
#: The READMEs, and the pages that they become.
READMES = {"README.md": "index.md", "README.zh-CN.md": "zh.md"}
MODULES = (microbp, nn, layers, losses, optim, classroom, lessons, viz)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/, and those that are made."""
    made = {page: _readme(name) for name, page in READMES.items()}
    made |= {f"notebooks/{path.stem}.md": _notebook(path) for path in (ROOT / "examples").glob("*.ipynb")}
    made["reference.md"] = "\n\n".join(_reference())
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """A page as it is; that of the command with the help of each, links to sources as their names."""
    if page.file.src_uri == "command.md":
        markdown += "\n\n## Every help\n\n" + "\n\n".join(_helps())
    return re.sub(r"\[([^]]+)\]\(\.\./[^)]*\)", r"\1", markdown)


# ------------------------------------------------------------------------------------- what there is
def _readme(name: str) -> str:
    """A README whose links lead to pages; what is no page is told by its name."""

    def link(found: re.Match[str]) -> str:
        told, file, anchor = found.groups("")
        target = READMES.get(file, file.removeprefix("docs/"))
        known = target in READMES.values() or (ROOT / "docs" / target).is_file()
        return f"[{told}]({target}{anchor})" if known else told

    return re.sub(r"\[([^]]*)\]\(([^)#]*)(#[^)]*)?\)", link, (ROOT / name).read_text(encoding="utf-8"))


def _notebook(path: Path) -> str:
    """A notebook with what it shows."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += map(_output, cell.get("outputs", ()))
    return "\n\n".join(parts)


def _output(output: dict[str, Any]) -> str:
    data = {kind: "".join(held) for kind, held in output.get("data", {}).items()}
    if "image/svg+xml" in data:
        return f"<div>{data['image/svg+xml'][data['image/svg+xml'].index('<svg'):]}</div>"
    told = data.get("text/markdown", "$")
    plain = "".join(output.get("text", "")) or data.get("text/plain", "")
    return f"```text\n{plain.rstrip()}\n```" if "$" in told else told


def _helps() -> Iterator[str]:
    os.environ["COLUMNS"] = "100"
    parser = cli._parser()
    for name, each in parser._subparsers._group_actions[0].choices.items():  # type: ignore[union-attr]
        yield f"### microbp {name}\n\n```text\n{each.format_help().rstrip()}\n```"


# ------------------------------------------------------------------------------------- the reference
def _reference() -> Iterator[str]:
    yield "# Every public name"
    for module in MODULES:
        yield f"## {module.__name__}\n\n{_prose(inspect.getdoc(module) or '')}"
        for name in sorted(module.__all__, key=str.casefold):
            held = getattr(module, name)
            if not inspect.ismodule(held):
                yield from _entry(f"{module.__name__}.{name}", held, 3)


def _entry(name: str, held: Any, level: int) -> Iterator[str]:
    """A name, its signature and its docstring; of a class its methods, too."""
    documented = inspect.getdoc(held) or ""
    try:
        signature = str(inspect.signature(held)) if callable(held) else ""
    except ValueError:
        signature = "(…)"
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", re.sub(r"<[^>]*>", "…", signature))
    title = name.replace("_", r"\_")
    yield f"{'#' * level} {title}\n\n```text\n{textwrap.fill(name + signature, 88)}\n```"
    yield _prose(documented)
    if inspect.isclass(held) and level == 3:
        for own, member in vars(held).items():
            if not own.startswith("_") and inspect.getdoc(member) and not inspect.isclass(member):
                yield from _entry(f"{held.__name__}.{own}", getattr(held, own), 4)


def _prose(docstring: str) -> str:
    """A docstring as Markdown: its examples as code."""
    blocks = []
    for block in re.split(r"\n\s*\n", docstring):
        if block.lstrip().startswith(">>>"):
            code = textwrap.dedent(block).replace("<BLANKLINE>", "")
            blocks.append(f"```python\n{code}\n```")
        else:
            text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", block.replace("``", "`")).replace("<", "&lt;")
            blocks.append(text.replace("*args", r"\*args"))
    return "\n\n".join(blocks)
