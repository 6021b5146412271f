"""Run the notebooks in examples/ from a clean kernel and save what they show: python docs/notebooks.py."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "examples"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook of a file, with what its cells show when a kernel of its own has run them.

    Raises CellExecutionError where a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", coalesce_streams=True, record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
        shutdown_kernel="immediate",  # it holds nothing that is wanted
    )  # fmt: skip
    made = client.execute()
    made.metadata.language_info = {"name": "python"}  # the rest is the version of this machine's Python
    return made


def main() -> None:
    """Write each anew."""
    for path in FOLDER.glob("*.ipynb"):
        nbformat.write(executed(path), path)


if __name__ == "__main__":
    main()
