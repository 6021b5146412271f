"""Data flows one way: who may import whom, and that importing microbp does nothing else.

Who imports whom is read from the sources, so an import inside a function, under ``TYPE_CHECKING``
or through ``importlib`` counts like any other. What importing does is seen in a fresh process.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from support import at_once

import microbp

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "microbp"

# A part imports only parts above it. A folder is one part, whose modules may import each other, but for those
# that have a line of their own.
ORDER = """
text        what a person reads, in any medium
recording   how a Value is recorded
errors      every exception class
bounds      how large a graph each reader takes
files       written whole or not at all, read as data
expr        the rule language: parse, check, compile, rename, print
rules       THE TABLE
notation    an expression as text and as LaTeX
compiled  a row as Python functions
calls       the user's own code: the line that called, and what was wrong in a call
sweeps      the columns of a graph, and the walks over them
native      the machine in C: programs over the columns of a graph, and Values
recording.groups  what is on inside of a with: which values were recorded together, switches
recording.comparisons  what comparisons of Values remember
recording.updates  the steps of parameters, outside the graph and in it
node        what a Value is made of, in Python or in C, and the backward pass
lecture  the names that a Value shares with micrograd and its lecture
value       Value
record  recording, and what is not recorded
array.elementwise  NumPy's functions of single elements
array.loops  element by element, along axes, products of matrices
array       NumPy arrays of Values
array.routines  NumPy's functions of whole arrays
functions   the operations as functions
differentiate  grad: gradients as results
labels      what values and groups are called: by users, variables, modules
graph       Graph: a frozen, ordered, picklable record of one Value
nn          Module, Neuron, Layer, MLP
optim
losses
outside     what a function can reach beside its graph: attributes, variables, generators
replay      straight (one sample), matrix (a batch)
training.stored  samples that may be larger than memory, read when they are asked for
training.engines  what computes a cost and its gradients in a training run
predict     what a net says to many samples, as numbers
training    fit
check       rows, nodes and whole graphs
define      an operation of the user's own
layers      Affine, ReLU, Sigmoid, SoftmaxWithLoss, TwoLayerNet
answers     claimed gradients
classroom   the answers of a class
debug       trace (the steps as data), explain, diagnose, shell
bridges     to other people's libraries, each in one file
__init__    the public names: the library stands above, what uses it stands below
demo        the tutorials, reproduced
lessons     the first hour
cli         the command: the one place that may import viz
__main__    python -m microbp
sklearn     estimators of scikit-learn: imported by who asks for it, and by no part
"""
PARTS = [line.split()[0] for line in ORDER.strip().splitlines()]


def part_of(module: str) -> str:
    """The part that a module, or a name in it, belongs to: ``array.loops.einsum`` to ``array.loops``."""
    first, _, rest = module.partition(".")
    second = f"{first}.{rest.partition('.')[0]}"
    return second if second in PARTS else first


# What microbp may use beside the standard library: always, and only inside a function, once called.
ALWAYS = {"numpy"}
ONCE_CALLED = {"graphviz", "matplotlib", "rich", "sklearn"}
# What a bridge imports by need("onnx", "onnx"), which names the extra to install.
BRIDGED = {"dask", "distributed", "jax", "onnx", "scipy", "torch"}
# What viz may use beside that, once called: each is in an extra, and missed with an error that says so.
VIZ_ONCE_CALLED = ONCE_CALLED | {"PIL", "pygraphviz"}


# --------------------------------------------------------------------------- reading the sources
class Import(NamedTuple):
    line: int
    name: str  # absolute and dotted: "numpy.random", "microbp.value.Value"; "?" where computed
    in_function: bool


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Every import of a module that belongs to ``package``, wherever in the module it stands."""
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while pending:
        node, inside = pending.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, inside)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) + 1 - node.level] if node.level else []
            base = [*base, node.module] if node.module else base
            for alias in node.names:
                yield Import(node.lineno, ".".join([*base, alias.name]), inside)
        elif isinstance(node, ast.Call):
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            if called in {"__import__", "import_module", "need"}:
                match node.args:
                    case [ast.Constant(value=str(name)), *_]:
                        yield Import(node.lineno, name, inside)
                    case _:
                        yield Import(node.lineno, "?", inside)
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def objection(part: str, wanted: Import, *, is_folder: bool, unplaced: set[str]) -> str | None:
    """Why a module of ``part`` must not import what it wants, or None.

    An import of an ``unplaced`` part is passed over: the objection to that part is enough.
    """
    top, _, rest = wanted.name.partition(".")
    if wanted.name == "?":
        return "imports a module whose name is computed: write the name"
    if (part == "bridges" and top in BRIDGED and wanted.in_function) or part == top == "sklearn":
        return None
    if part == "bridges" and top == "pytest":  # who imports its plugin
        return None
    if top == "microbp":
        target = part_of(rest)
        if target in unplaced:
            return None
        target = target if target in PARTS else "__init__"
        within = is_folder and target == part
        if within or PARTS.index(target) < PARTS.index(part):
            return None
        return f"{part} imports {target}, which does not stand above it"
    if top == "viz":
        if part == "cli" and wanted.in_function:
            return None
        return "viz may be imported only by a function of cli"
    if top in ONCE_CALLED and not wanted.in_function:
        return f"{top} may be imported only inside the function that needs it"
    if top in sys.stdlib_module_names | ALWAYS | ONCE_CALLED:
        return None
    return f"{top} is neither in the standard library nor a declared dependency"


def objections(package: Path) -> list[str]:
    """All objections to the modules under the folder ``package``, as ``file:line: text``."""
    inside = {path: path.relative_to(package) for path in sorted(package.rglob("*.py"))}
    parts = {path: part_of(".".join(inner.with_suffix("").parts)) for path, inner in inside.items()}
    unplaced = set(parts.values()) - set(PARTS)
    found = []
    for path, part in parts.items():
        where = f"{package.name}/{inside[path].as_posix()}"
        if part in unplaced:
            found.append(f"{where}: {part} has no place in ORDER: give it one")
            continue
        folders = inside[path].parts[:-1]
        source = path.read_text(encoding="utf-8")
        for wanted in sorted(imports_of(source, ".".join([package.name, *folders]))):
            text = objection(part, wanted, is_folder=bool(folders), unplaced=unplaced)
            if where == "microbp/bridges/__init__.py" and wanted.name == "?":
                continue  # need() itself: who calls it writes the name
            if text:
                found.append(f"{where}:{wanted.line}: {text}")
    return list(dict.fromkeys(found))  # one line that imports three names is one mistake


def test_a_part_imports_only_parts_above_it() -> None:
    names = {path.stem for path in PACKAGE.glob("*.py")}
    assert {"errors", "expr", "rules", "value", "graph"} <= names
    assert objections(PACKAGE) == []


def test_no_part_stands_twice_in_the_order() -> None:
    assert sorted(PARTS) == sorted(set(PARTS))


def test_every_folder_of_modules_is_a_package_and_so_gets_installed() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert folders == {path.parent for path in PACKAGE.rglob("__init__.py")}


FORBIDDEN = [
    ("value.py", "import microbp.nn", "value imports nn"),
    ("expr.py", "from microbp.rules import Rule", "expr imports rules"),
    ("rules.py", "from microbp import graph", "rules imports graph"),
    ("graph.py", "from .check import x", "graph imports check"),
    ("graph.py", "from . import nn", "graph imports nn"),
    ("debug/trace.py", "from ..cli import main", "debug imports cli"),
    ("nn.py", "from microbp.debug.trace import x", "nn imports debug"),
    ("nn.py", "import microbp.nn", "nn imports nn"),
    ("nn.py", "from microbp import Value", "nn imports __init__"),
    ("losses.py", "from . import *", "losses imports __init__"),
    ("__init__.py", "from .cli import main", "__init__ imports cli"),
    ("value.py", "def f():\n import microbp.nn", "value imports nn"),
    ("value.py", "class A:\n async def f(self):\n  from . import nn", "value imports nn"),
    ("expr.py", "if TYPE_CHECKING:\n from .value import Value", "expr imports value"),
    ("expr.py", "try:\n x\nexcept E:\n from .value import Value", "expr imports value"),
    ("rules.py", "importlib.import_module('microbp.nn')", "rules imports nn"),
    ("rules.py", "f = lambda: __import__('microbp.nn')", "rules imports nn"),
    ("array/loops.py", "from microbp.array import Array", "array.loops imports array"),
    ("array/loops.py", "from .routines import x", "array.loops imports array.routines"),
    ("cli.py", "import_module('microbp.' + name)", "imports a module whose name is computed"),
    ("shapes.py", "x = 1", "shapes has no place in ORDER"),
    ("utils/text.py", "x = 1", "utils has no place in ORDER"),
    ("check.py", "def f():\n import viz", "viz may be imported only by a function of cli"),
    ("cli.py", "import viz", "viz may be imported only by a function of cli"),
    ("check.py", "from rich.table import Table", "rich may be imported only inside the function"),
    ("cli.py", "class A:\n import matplotlib", "matplotlib may be imported only inside"),
    ("nn.py", "def f():\n import scipy.special", "scipy is neither in the standard library"),
    ("nn.py", "def f():\n import torch", "torch is neither in the standard library"),
    ("sklearn.py", "import torch", "torch is neither in the standard library"),
    ("bridges/fits.py", "import sklearn", "sklearn may be imported only inside the function"),
    ("__init__.py", "from microbp import sklearn", "__init__ imports sklearn"),
    ("bridges/gradients.py", "need('torch', 'torch')", "torch is neither in the standard library"),
    ("bridges/gradients.py", "def f():\n need(name, 'torch')", "imports a module whose name is computed"),
]


@pytest.mark.parametrize(("file", "source", "text"), FORBIDDEN)
def test_a_forbidden_import_is_caught(tmp_path: Path, file: str, source: str, text: str) -> None:
    planted = tmp_path / "microbp" / file
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    [caught] = objections(tmp_path / "microbp")
    assert caught.startswith(f"microbp/{file}:")
    assert text in caught


def test_an_objection_names_the_file_the_line_and_both_parts(tmp_path: Path) -> None:
    package = tmp_path / "microbp"
    package.mkdir()
    (package / "aids.py").write_text("import torch\n")
    (package / "nn.py").write_text("from microbp.aids import x\n")
    (package / "value.py").write_text("import math\n\ndef f():\n    from microbp.nn import a, b\n")
    assert objections(package) == [
        "microbp/aids.py: aids has no place in ORDER: give it one",
        "microbp/value.py:4: value imports nn, which does not stand above it",
    ]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("value.py", "import math\nimport numpy as np\nfrom .rules import x"),
        ("debug/trace.py", "from . import explain\nfrom ..graph import Graph"),
        ("debug/__init__.py", "from microbp.debug.trace import Step"),
        ("debug/shell.py", "def show():\n from rich.table import Table"),
        ("__init__.py", "from .check import x\nfrom microbp.debug import trace"),
        ("demo/first.py", "import microbp\nfrom microbp import Value"),
        ("cli.py", "from .demo import x\ndef draw():\n import viz"),
        ("bridges/gradients.py", "def f():\n return need('torch', 'torch')"),
        ("__main__.py", "from .cli import main"),
        ("array/loops.py", "from .elementwise import x"),
        ("array/__init__.py", "from microbp.array.loops import x"),
    ],
)
def test_an_import_of_a_part_above_is_allowed(tmp_path: Path, file: str, source: str) -> None:
    planted = tmp_path / "microbp" / file
    planted.parent.mkdir(parents=True)
    planted.write_text(source)
    assert objections(tmp_path / "microbp") == []


# ------------------------------------------------------------------------------------------- viz
def is_public(name: str) -> bool:
    """Whether ``microbp.name`` is a public name, or one of a public module."""
    if name == "__version__":
        return True
    module, _, inner = name.partition(".")
    if not inner:
        return name in microbp.__all__
    public = getattr(microbp, module, None) if module in microbp.__all__ else None
    return isinstance(public, ModuleType) and inner in public.__all__


# A part of viz imports only parts above it: what draws knows of neither step pictures nor the page.
VIZ_ORDER = """
text        words and numbers, made safe, cut and measured
colours
options     how a picture looks, and what else a caller gives
picture     what is drawn, as plain records
kinds       what a leaf is, how an operation is signed
focus       a part of a graph
folding     which values share a box
contents    from a partition to a picture
fold        pictures
labels      what is written in a picture
dot         a picture as DOT
engines     layout, and what shows and saves what it gives
svg         an engine's SVG, finished
drawing     draw
step_pictures  draw_step
gif         parts of frames, one palette
animation   animate
page        the step page
plots
__init__    the public names
"""
VIZ_PARTS = [line.split()[0] for line in VIZ_ORDER.strip().splitlines()]


# What viz takes beside the public names, so that both speak alike.
SHARED = {"calls.told_in", "graph.as_recorded",
          "calls.user_scope", "files.write_file", "text.did_you_mean",
          "sweeps.backward", "sweeps.dependents", "sweeps.rows", "text.columns",
          "text.cut", "text.quoted", "text.safe", "text.shown"}  # fmt: skip


def viz_objections(package: Path) -> list[str]:
    """What is wrong with the imports of the modules under the folder ``package``, as ``file: text``."""
    found = []
    for path in sorted(package.rglob("*.py")):
        inner = path.relative_to(package)
        package_name = ".".join([package.name, *inner.parts[:-1]])
        for wanted in sorted(imports_of(path.read_text(encoding="utf-8"), package_name)):
            top, _, name = wanted.name.partition(".")
            part, target = inner.with_suffix("").parts[0], name.split(".")[0]
            if part not in VIZ_PARTS:
                text = f"{part} has no place in VIZ_ORDER: give it one"
            elif top == "viz" and target in VIZ_PARTS and VIZ_PARTS.index(target) > VIZ_PARTS.index(part):
                text = f"{part} imports {target}, which does not stand above it"
            elif top == "microbp" and not (is_public(name) or name in SHARED):
                text = f"{wanted.name} is not one of microbp's public names"
            elif top in VIZ_ONCE_CALLED and not wanted.in_function:
                text = f"{top} may be imported only inside the function that needs it"
            elif top not in sys.stdlib_module_names | ALWAYS | VIZ_ONCE_CALLED | {"microbp", "viz"}:
                text = f"{top} is neither in the standard library nor a declared dependency"
            else:
                continue
            found.append(f"viz/{inner.as_posix()}:{wanted.line}: {text}")
    return list(dict.fromkeys(found))


def test_viz_imports_public_names_of_microbp_only() -> None:
    assert viz_objections(ROOT / "viz") == []


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("from microbp.graph import Graph", "microbp.graph.Graph is not one of microbp's public names"),
        ("from microbp.notation import x", "microbp.notation.x is not one of microbp's public names"),
        ("from microbp import outside", "microbp.outside is not one of microbp's public names"),
        ("import microbp", "microbp is not one of microbp's public names"),
        ("import graphviz", "graphviz may be imported only inside the function that needs it"),
        ("def f():\n import torch", "torch is neither in the standard library nor a declared dependency"),
        ("from viz.page import page", "drawing imports page, which does not stand above it"),
        ("def f():\n from viz.step_pictures import film", "drawing imports step_pictures, which does not"),
        ("from viz import animation", "drawing imports animation, which does not stand above it"),
    ],
)
def test_a_forbidden_import_in_viz_is_caught(tmp_path: Path, source: str, text: str) -> None:
    (tmp_path / "viz").mkdir()
    (tmp_path / "viz" / "fold.py").write_text("from microbp import Graph\nfrom viz.contents import x\n")
    (tmp_path / "viz" / "drawing.py").write_text(source)
    [caught] = viz_objections(tmp_path / "viz")
    assert text in caught


def test_every_part_of_viz_has_a_place_in_its_order(tmp_path: Path) -> None:
    there = {path.relative_to(ROOT / "viz").with_suffix("").parts[0] for path in (ROOT / "viz").rglob("*.py")}
    assert there == {*VIZ_PARTS}
    (tmp_path / "viz").mkdir()
    (tmp_path / "viz" / "shapes.py").write_text("import math\n")
    assert viz_objections(tmp_path / "viz") == [
        "viz/shapes.py:1: shapes has no place in VIZ_ORDER: give it one"
    ]


# ------------------------------------------------------------------------------- the public names
def beyond_re_exports(source: str) -> list[str]:
    """The statements of an ``__init__.py`` that do more than re-export and name the version."""
    beyond = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            fine = node.level > 0 or str(node.module).split(".")[0] in {"microbp", "__future__"}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {ast.unparse(target) for target in targets}
            literal = isinstance(node.value, (ast.Constant, ast.List, ast.Tuple))
            fine = literal and names <= {"__all__", "__version__"}
        else:
            fine = isinstance(node, ast.Expr) and (
                isinstance(node.value, ast.Constant) or ast.unparse(node).startswith("told_in(globals()")
            )
        if not fine:
            beyond.append(ast.unparse(node))
    return beyond


def test_the_package_file_only_re_exports() -> None:
    assert beyond_re_exports((PACKAGE / "__init__.py").read_text(encoding="utf-8")) == []


@at_once(
    ["import os", "from math import pi", "def f():\n    pass", "names = []", "__version__ = read()",
     "print('hello')", "if x:\n    y", "__all__ += ['x']"]
)  # fmt: skip
def test_a_statement_beyond_re_exports_is_caught(statement: str) -> None:
    plain = '"""What it is."""\nfrom .value import Value\n__version__ = "1"\n__all__ = ["Value"]\n'
    assert beyond_re_exports(plain) == []
    assert beyond_re_exports(plain + statement) == [statement]


# ------------------------------------------------------------------------- what importing does
PROBE = """
import builtins, gc, json, locale, logging, os, pickle, random, signal, sys, threading, warnings
import numpy

def state():
    return {
        "gc thresholds": gc.get_threshold(),
        "gc switch": (gc.isenabled(), gc.get_freeze_count(), gc.get_debug()),
        "gc callbacks": repr(gc.callbacks),
        "logging": repr([logging.root.level, logging.root.handlers, sorted(
            name for name, logger in logging.root.manager.loggerDict.items()
            if getattr(logger, "handlers", [])
        )]),
        "warnings filters": repr(warnings.filters),
        "numpy error state": repr([numpy.geterr(), numpy.geterrcall()]),
        "numpy print options": repr(numpy.get_printoptions()),
        "numpy random state": pickle.dumps(numpy.random.get_state()).hex(),
        "random state": repr(random.getstate()),
        "environment": dict(os.environ),
        "working directory": os.getcwd(),
        "search path": list(sys.path),
        "import hooks": repr([sys.meta_path, sys.path_hooks]),
        "recursion limit": sys.getrecursionlimit(),
        "hooks": repr([sys.excepthook, sys.displayhook, sys.gettrace(), sys.getprofile()]),
        "signals": repr([signal.getsignal(number) for number in sorted(signal.valid_signals())]),
        "threads": threading.active_count(),
        "locale": locale.setlocale(locale.LC_ALL),
        "builtins": dir(builtins),
    }

before, loaded = state(), set(sys.modules)
import microbp
after = state()
tops = {name.partition(".")[0] for name in set(sys.modules) - loaded}
report = {
    "file": microbp.__file__,
    "changed": [name for name in before if before[name] != after[name]],
    "loaded": sorted(tops - sys.stdlib_module_names - {"microbp", "numpy"}),
}
with open(sys.argv[1], "w") as out:
    json.dump(report, out)
"""


def effects_of_import(folder: Path, scratch: Path) -> list[str]:
    """What ``import microbp``, found in ``folder``, does to a fresh process beside giving names."""
    environment = {name: x for name, x in os.environ.items() if not name.startswith("PYTHON")}
    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(scratch / "report")],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    report = json.loads((scratch / "report").read_text())
    assert Path(report["file"]).parent == folder / "microbp"
    printed = ["printed " + repr(text) for text in (run.stdout, run.stderr) if text]
    loaded = ["loaded " + name for name in report["loaded"]]
    return [*printed, *loaded, *("changed " + name for name in report["changed"])]


def test_importing_microbp_has_no_side_effect(tmp_path: Path) -> None:
    assert effects_of_import(ROOT, tmp_path) == []


EFFECTS = {
    "print('hello')": r"printed 'hello\n'",
    "import sys; sys.stderr.write('oh')": "printed 'oh'",
    "import rich.table": "loaded rich",
    "import gc; gc.set_threshold(100_000)": "changed gc thresholds",
    "import gc; gc.disable()": "changed gc switch",
    "import gc; gc.callbacks.append(lambda phase, info: None)": "changed gc callbacks",
    "import logging; logging.basicConfig()": "changed logging",
    "import warnings; warnings.simplefilter('ignore')": "changed warnings filters",
    "import numpy; numpy.seterr(all='raise')": "changed numpy error state",
    "import numpy; numpy.set_printoptions(precision=3)": "changed numpy print options",
    "import numpy; numpy.random.seed(0)": "changed numpy random state",
    "import random; random.seed(0)": "changed random state",
    "import sys; sys.setrecursionlimit(10_000)": "changed recursion limit",
}


def test_every_side_effect_is_caught(tmp_path: Path) -> None:
    planted = {"microbp/__init__.py": "\n".join(EFFECTS), "rich/__init__.py": "", "rich/table.py": ""}
    for name, source in planted.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    assert effects_of_import(tmp_path, tmp_path) == list(EFFECTS.values())


# ----------------------------------------------------------------- scripts beside the packages
def missing_names(source: str) -> list[str]:
    """What a script imports from us though it is not there."""
    found = []
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.ImportFrom) and str(each.module).partition(".")[0] in {"microbp", "viz"}:
            try:
                part = importlib.import_module(str(each.module))
            except ModuleNotFoundError:
                found.append(str(each.module))
                continue
            found += [f"{each.module}.{name.name}" for name in each.names if not _is_there(part, name.name)]
    return found


def _is_there(part: ModuleType, name: str) -> bool:
    folder = hasattr(part, "__path__")
    return hasattr(part, name) or (folder and importlib.util.find_spec(f"{part.__name__}.{name}") is not None)


def test_scripts_import_what_is_there() -> None:
    scripts = [each for folder in ("docs", "bench", "examples") for each in ROOT.glob(f"{folder}/**/*.py")]
    assert len(scripts) > 5
    assert {each.name: missing for each in scripts if (missing := missing_names(each.read_text()))} == {}


def test_a_name_that_is_gone_is_told() -> None:
    gone = "from viz.animation import no_such_name, Animation\nfrom viz.no_such_part import x\nimport math"
    assert missing_names(gone) == ["viz.animation.no_such_name", "viz.no_such_part"]
