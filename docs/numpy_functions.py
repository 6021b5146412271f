"""Write docs/numpy.md, what NumPy does with Values, by trying it: python docs/numpy_functions.py."""

# ruff: noqa: ARG005 (each call is handed both arrays, and most take one)
from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import microbp
from microbp import Value

Call = Callable[..., Any]

#: What is out of the scope of the table, and why.
OUTSIDE = {
    "reads or writes files and texts": (
        "save savetxt savez savez_compressed array2string array_repr array_str"
    ),
    "asks for a type or a memory": (
        "astype can_cast common_type iscomplexobj isrealobj may_share_memory min_scalar_type result_type "
        "shares_memory ndim shape size isfortran"
    ),
    "is about dates": "busday_count busday_offset is_busday datetime_as_string isnat",
    "takes indices, not numbers": (
        "bincount ix_ ravel_multi_index unravel_index diag_indices_from tril_indices_from triu_indices_from"
    ),
    "belongs to polynomials": "poly polyadd polyder polydiv polyfit polyint polymul polysub polyval roots",
    "is about the calls of another function": "einsum_path",
    "gives what was in memory": "empty_like",
}

X = np.array([[0.61, 1.32, 0.27], [1.83, 0.49, 1.14], [0.36, 1.71, 0.92]])
Y = np.array([[1.27, 0.58, 0.83], [0.41, 1.92, 0.66], [1.54, 0.23, 1.08]])
#: Functions that have their numbers elsewhere than around 1, or take an array of one dimension.
_SMALL = ("arcsin", "arccos", "arctanh")
_BEYOND_ONE = ("arccosh",)
_ROWS = (
    "convolve correlate interp trim_zeros vander cross linalg.cross apply_along_axis piecewise ediff1d "
    "searchsorted linalg.outer histogram histogram_bin_edges digitize gradient trapezoid unwrap matvec vecmat"
)
_ON = np.array([True, False, True])

def after(f: Call, x: Any, *others: Any) -> Any:
    """What an array is after ``f`` has written into it."""
    x = np.array(x, copy=True, subok=True) if isinstance(x, np.ndarray) else x
    f(x, *others)
    return x


#: How a function is called, if not with the one or two arrays that it takes.
CALLS: dict[str, Call] = {
    "apply_along_axis": lambda f, x, y: f(lambda row: row * row, 0, x),
    "apply_over_axes": lambda f, x, y: f(np.sum, x, 0),
    "argpartition": lambda f, x, y: f(x, 1),
    "array_split": lambda f, x, y: f(x, 2),
    "average": lambda f, x, y: f(x, weights=y),
    "broadcast_arrays": lambda f, x, y: f(x, y),
    "broadcast_to": lambda f, x, y: f(x, (2, 3, 3)),
    "block": lambda f, x, y: f([[x, y]]),
    "choose": lambda f, x, y: f([0, 1, 1], [x, y]),
    "clip": lambda f, x, y: f(x, 0.5, 1.2),
    "column_stack": lambda f, x, y: f([x, y]),
    "compress": lambda f, x, y: f(_ON, x, axis=0),
    "concat": lambda f, x, y: f([x, y]),
    "concatenate": lambda f, x, y: f([x, y]),
    "copyto": after,
    "cumulative_prod": lambda f, x, y: f(x, axis=0),
    "cumulative_sum": lambda f, x, y: f(x, axis=0),
    "delete": lambda f, x, y: f(x, 1),
    "digitize": lambda f, x, y: f(x, [0.3, 0.9, 1.5]),
    "dstack": lambda f, x, y: f([x, y]),
    "dsplit": lambda f, x, y: f(x[None], 3),
    "einsum": lambda f, x, y: f("ij,jk->ki", x, y),
    "expand_dims": lambda f, x, y: f(x, 0),
    "extract": lambda f, x, y: f(_ON, x),
    "fill_diagonal": lambda f, x, y: after(f, x, 0.5),
    "full_like": lambda f, x, y: f(x, 2.0),
    "geomspace": lambda f, x, y: f(x, 8.0, 3),
    "histogram2d": lambda f, x, y: f(np.ravel(x), np.ravel(y)),
    "histogramdd": lambda f, x, y: f(np.atleast_2d(x)),
    "hsplit": lambda f, x, y: f(x, 3),
    "hstack": lambda f, x, y: f([x, y]),
    "insert": lambda f, x, y: f(x, 1, 0.5),
    "interp": lambda f, x, y: f(x, [0.0, 1.0, 2.0], [1.0, 3.0, 2.0]),
    "lexsort": lambda f, x, y: f([x, y]),
    "linalg.matrix_power": lambda f, x, y: f(x, 3),
    "linalg.multi_dot": lambda f, x, y: f([x, y, x]),
    "linalg.tensorsolve": lambda f, x, y: f(x, y[0]),
    "linalg.tensorinv": lambda f, x, y: f(x, 1),
    "linspace": lambda f, x, y: f(x, 8.0, 3),
    "logspace": lambda f, x, y: f(x, 2.0, 3),
    "matvec": lambda f, x, y: f(np.stack([x, y]), x),
    "meshgrid": lambda f, x, y: f(x, y),
    "moveaxis": lambda f, x, y: f(x, 0, 1),
    "nanpercentile": lambda f, x, y: f(x, 30),
    "nanquantile": lambda f, x, y: f(x, 0.3),
    "pad": lambda f, x, y: f(np.ravel(x), 1),
    "partition": lambda f, x, y: f(x, 1),
    "percentile": lambda f, x, y: f(x, 30),
    "permute_dims": lambda f, x, y: f(x),
    "piecewise": lambda f, x, y: f(x, [x < 1.0, x >= 1.0], [lambda t: t * t, 2.0]),
    "place": lambda f, x, y: after(f, x, X > 1.0, [0.5]),
    "put": lambda f, x, y: after(f, x, [0], [0.5]),
    "put_along_axis": lambda f, x, y: after(f, x, np.array([[0], [1], [0]]), 0.5, 1),
    "putmask": lambda f, x, y: after(f, x, X > 1.0, 0.5),
    "quantile": lambda f, x, y: f(x, 0.3),
    "repeat": lambda f, x, y: f(x, 2),
    "reshape": lambda f, x, y: f(x, -1),
    "resize": lambda f, x, y: f(x, (2, 2)),
    "roll": lambda f, x, y: f(x, 1),
    "rollaxis": lambda f, x, y: f(x, 1),
    "searchsorted": lambda f, x, y: f([0.3, 0.9, 1.5], x),
    "select": lambda f, x, y: f([X > 1.0, X > 0.5], [x, y], 0.0),
    "split": lambda f, x, y: f(x, 3),
    "stack": lambda f, x, y: f([x, y]),
    "swapaxes": lambda f, x, y: f(x, 0, 1),
    "take": lambda f, x, y: f(x, [0, 2]),
    "take_along_axis": lambda f, x, y: f(x, np.array([[0], [1], [0]]), 1),
    "tensordot": lambda f, x, y: f(x, y, 1),
    "linalg.tensordot": lambda f, x, y: f(x, y, axes=1),
    "tile": lambda f, x, y: f(x, 2),
    "unstack": lambda f, x, y: f(x),
    "vecmat": lambda f, x, y: f(x, np.stack([x, y, x])),
    "vsplit": lambda f, x, y: f(x, 3),
    "vstack": lambda f, x, y: f([x, y]),
    "where": lambda f, x, y: f(X > 1.0, x, y),
    "ldexp": lambda f, x, y: f(x, 2),
    "remainder": lambda f, x, y: f(x, 0.7),
    "fmod": lambda f, x, y: f(x, 0.7),
    "floor_divide": lambda f, x, y: f(x, 0.7),
    "divmod": lambda f, x, y: f(x, 0.7),
}
_TWO = (
    "allclose append cross in1d array_equal array_equiv convolve correlate dot inner intersect1d isclose "
    "isin kron outer setdiff1d setxor1d union1d vdot linalg.cross linalg.lstsq linalg.matmul linalg.outer "
    "linalg.solve linalg.vecdot"
)


class Function(NamedTuple):
    """One of NumPy's functions."""

    #: As it is called: ``sum``, ``linalg.norm``.
    name: str
    call: Call
    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]

    def __call__(self, x: Any, y: Any) -> Any:
        """What it gives, without NumPy's warnings."""
        f: Any = np
        for part in self.name.split("."):
            f = getattr(f, part)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self.call(f, x, y)


def functions() -> Iterator[Function]:
    """The functions of ``numpy`` and ``numpy.linalg`` that hand an array of Values over, each once."""
    outside = {name for names in OUTSIDE.values() for name in names.split()}
    spaces = (("", vars(np)), ("linalg.", vars(np.linalg)))
    for prefix, held in spaces:
        for name in sorted(held):
            f = held[name]
            handed = isinstance(f, np.ufunc) or hasattr(f, "_implementation")
            alias = getattr(f, "__name__", "") != name
            if name[0] == "_" or not handed or alias or name in outside:
                continue
            full = prefix + name
            two = getattr(f, "nin", 1) == 2 or full in _TWO.split()
            plain: Call = (lambda f, x, y: f(x, y)) if two else (lambda f, x, y: f(x))
            scale, shift = (0.4, 0.0) if name in _SMALL else (1.0, 1.0) if name in _BEYOND_ONE else (1.0, 0.0)
            pair = (X[0], Y[0]) if full in _ROWS.split() else (X, Y)
            x, y = (each * scale + shift for each in pair)
            yield Function(full, CALLS.get(full, plain), x, y)


PLAIN_ARRAY = "plain object array"
#: The kinds of argument: what is made of an array of numbers.
KINDS: dict[str, Callable[[Any], Any]] = {
    "`microbp.array`": microbp.array,
    PLAIN_ARRAY: lambda x: np.array(microbp.array(x), dtype=object, subok=False),
    "one Value": lambda x: Value(float(x)),
    "0-d array": lambda x: microbp.array(float(x)),
}


class Outcome(NamedTuple):
    """What came of one call: recorded, plain numbers, refused (by us, by NumPy), or "" (NumPy has none)."""

    kind: str
    values: Any = None
    error: Exception | None = None


def arguments(function: Function, kind: str) -> tuple[Any, Any]:
    """The numbers that a function is tried with: arrays, or one number each."""
    if kind in ("one Value", "0-d array"):
        return function.x.ravel()[1], function.y.ravel()[1]
    return function.x, function.y


def leaves_in(result: Any) -> list[Any]:
    """The elements of a result, whatever it is made of, in order."""
    if isinstance(result, list | tuple):
        return [each for part in result for each in leaves_in(part)]
    return np.asarray(result).ravel().tolist()


def tried(function: Function, kind: str, numbers: tuple[Any, Any] | None = None) -> Outcome:
    """What happens when a function is called with arguments of a kind."""
    x, y = numbers or arguments(function, kind)
    if not takes(function, kind) and takes(function, "`microbp.array`"):
        return Outcome("")
    try:
        result = function(KINDS[kind](x), KINDS[kind](y))
    except Exception as error:  # noqa: BLE001 (that is the question)
        ours = is_ours(error)
        return Outcome("refused" if ours else "NumPy refuses", error=error)
    recorded = any(isinstance(each, Value) for each in leaves_in(result))
    if kind == PLAIN_ARRAY and not agrees_at_ties(function):
        return Outcome("recorded, by identity" if recorded else "by identity", result)
    return Outcome("recorded" if recorded else "plain numbers", result)


def agrees_at_ties(function: Function) -> bool:
    """Whether a plain object array gives NumPy's numbers where some are equal and are different Values."""
    x, y = function.x.copy(), function.y.copy()
    x.ravel()[:2] = y.ravel()[0] = x.ravel()[1]
    for pair in ((x, y), (x, x)):
        expected = leaves_in(exact(function, PLAIN_ARRAY, pair))
        found = leaves_in(function(*map(KINDS[PLAIN_ARRAY], pair)))
        if np.shape(found) != np.shape(expected) or not np.allclose(number_of(found), number_of(expected)):
            return False
    return True


def number_of(found: list[Any]) -> list[float]:
    """The numbers in a result."""
    return [each.data if isinstance(each, Value) else float(each) for each in found]


def takes(function: Function, kind: str) -> bool:
    """Whether NumPy has something for numbers of that kind."""
    try:
        exact(function, kind)
    except Exception:  # noqa: BLE001 (whatever NumPy says)
        return False
    return True


def exact(function: Function, kind: str, numbers: tuple[Any, Any] | None = None) -> Any:
    """What NumPy makes of the numbers."""
    x, y = numbers or arguments(function, kind)
    return function(np.array(x), np.array(y)) if kind == "0-d array" else function(x, y)


def is_ours(error: BaseException) -> bool:
    """Whether it was raised by microbp, in its own words."""
    last = [*traceback.walk_tb(error.__traceback__)][-1][0].f_code.co_filename
    words = isinstance(error, TypeError | ValueError | microbp.MicrobpError)
    return words and last.startswith(str(Path(microbp.__file__).parent))


# -------------------------------------------------------------------------------------- the page
HEAD = """\
# NumPy on Values

Written by `python docs/numpy_functions.py`, which tries every function of NumPy {version}; do not edit it.

What a function of NumPy does with Values is one of three things:

- **recorded**: the result is made of Values. Its numbers are NumPy's on floats, its gradient is the
  numerical one.
- **plain numbers**: truth values, places, whole numbers: what has no derivative, or 0. What it depends on is
  remembered as a comparison is, so that `microbp.compile` warns of a choice that a replay would keep to.
- **refused**: a TypeError that names the function and the way out.

An empty cell: NumPy itself takes no such argument.

In a `microbp.array` the signs `==` and `!=` compare numbers, as everywhere in NumPy (`==` of two Values alone
asks whether they are the same). At a tie `np.max` shares the gradient, and a nan goes out wherever one comes
in, but for the functions that NumPy names after nan.

**Plain object arrays**, `np.array([v1, v2])`, are NumPy's own affair: its loops call the operators and
methods of the elements, and microbp is not asked. So `==` asks there whether two Values are the same,
`np.max`, `np.maximum`, `np.clip` and `np.sort` *pick* an element by comparing (it keeps its gradient; of two
that are equal, one gets it all), and where such a comparison would pass over a nan it is refused. "By
identity" stands where equal numbers are not found to be equal, since they are two Values, and "NumPy refuses"
where NumPy has no loop for objects. `microbp.array(a)` makes an array of ours of it, with the same Values.

**Updates.** `W -= rate * microbp.grad_of(W)` is no part of the graph: arithmetic in place, with plain
numbers, on leaves that have been in a backward pass puts new leaves there, with the same names and without a
gradient, so that no `zero_grad` is needed; an array that was copied before keeps its numbers. Before the
first pass `x *= 2` is a computation like any other, and recorded; under `no_grad()` it is an update. `W = W -
rate * microbp.grad_of(W)` is recorded too, so that W becomes a computed value that remembers every step:
after the second, a GrowingGraphWarning says so.

**Steps.** `+x` is x itself. `round(x)`, `math.floor(x)`, `math.ceil(x)`, `math.trunc(x)` and `x // 2` are
plain numbers: their derivative is 0 wherever there is one. `x % 2` is recorded, with derivative 1, and so is
the second of `divmod(x, 2)`; a divisor that is a Value is refused.
"""


def page() -> str:
    """The whole document."""
    version = ".".join(np.__version__.split(".")[:2])
    return "".join([HEAD.replace("{version}", version), *sections()])


def sections() -> Iterator[str]:
    """The tables, and what is left out."""
    head = f"| function | {' | '.join(KINDS)} |\n|---|{'---|' * len(KINDS)}\n"
    groups: dict[str, list[str]] = {"Element by element": [], "Whole arrays": [], "Linear algebra": []}
    for function in functions():
        linalg, each = "." in function.name, isinstance(getattr(np, function.name, None), np.ufunc)
        title = "Linear algebra" if linalg else "Element by element" if each else "Whole arrays"
        groups[title].append(line(function))
    for title, lines in groups.items():
        yield f"\n## {title}\n\n{head}{''.join(lines)}"
    yield "\n## Methods of ufuncs\n\n`reduce`, `accumulate`, `reduceat`, `outer` and `at` of each function "
    yield "that is recorded element by element are recorded; `where=`, `initial=`, `out=` are as in NumPy.\n"
    yield "\n## Not in the table\n\n"
    for why, names in OUTSIDE.items():
        yield f"- What {why}: {', '.join(f'`{name}`' for name in names.split())}.\n"
    yield "- `numpy.random`, `numpy.fft`, `numpy.ma`, `numpy.char` and the like: only the numbers go there.\n"


def line(function: Function) -> str:
    """The line of one function, with what it says where an array of Values is refused."""
    outcomes = [tried(function, kind) for kind in KINDS]
    cells = [outcome.kind for outcome in outcomes]
    if cells[0] == "refused":
        way_out = str(outcomes[0].error).partition("; ")[2]
        cells[0] = f"refused: {way_out.replace('|', '&#124;')}"
    return f"| `{function.name}` | {' | '.join(cells)} |\n"


if __name__ == "__main__":
    target = Path(__file__).with_name("numpy.md")
    target.write_text(page(), encoding="utf-8")
    print(f"{sum(1 for _ in functions())} functions in {target.name}")
