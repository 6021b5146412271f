"""``compile``: recorded Values, or a function of Values, as a program that runs on numbers."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial, update_wrapper
from itertools import chain
from types import MethodType
from typing import Any, Literal

import numpy as np

from microbp.array import array
from microbp.calls import user_level
from microbp.errors import BranchWarning
from microbp.native import engine, whole_threads
from microbp.outside import Asked, Outside
from microbp.record import with_sites
from microbp.recording.comparisons import Compared, tracing, watched, watching
from microbp.replay.around import Around, Told
from microbp.replay.branches import Guards, branches, compared_in, warn
from microbp.replay.forms import Form
from microbp.replay.function_graph import capture_values
from microbp.replay.program import MEMORY, Gradients, Program, as_floats
from microbp.sweeps import Floats
from microbp.value import Value, as_number

__all__ = ["FormName", "Traced", "compile", "compiled_program"]

FormName = Literal["auto", "straight", "matrix", "native"]
#: So many programs of each shape: a net may be one while it learns and another while it is judged, by turns.
_KEPT = 4


def compile(  # noqa: A001 (microbp.compile is meant)
    what: Any = None,
    inputs: Any = None,
    params: Any = None,
    *,
    form: FormName = "auto",
    checked: bool = False,
    finite: bool = True,
    memory: float = MEMORY,
    threads: int = 1,
    names: Mapping[str, Any] | None = None,
) -> Any:
    """A :class:`Program` that computes the Values ``what`` from other numbers for ``inputs`` and ``params``.

    >>> from microbp import Value
    >>> w, x = Value(2.0, name="w"), Value(3.0, name="x")
    >>> program = compile((w * x).tanh(), inputs=[x], params=[w])
    >>> program([[0.0], [3.0]]).round(6)
    array([0.      , 0.999988])

    ``what``, ``inputs`` and ``params`` are each a Value, an array of Values, or a (nested) list of them. The
    parameters are all other leaves that take a gradient, unless they are given. What is neither is a
    constant: when its ``data`` changes later, the program says so rather than going on with the old number.

    Of a function of Values, a function of numbers is made, traced once for each shape of its arguments:

    >>> @compile
    ... def cost(x):
    ...     return (w * x[0] - x[1]) ** 2
    >>> float(cost([1.0, 0.5]))
    2.25
    >>> cost.batched.value_and_grad([[1.0, 0.5], [1.0, 1.0]]).gradient
    array([2.5])

    ``form``: ``"auto"`` is the machine in C where there is one (:func:`microbp.engine`), with the eager
    engine's bits for one sample and equal to 1e-12 for a batch; a batch of large products, or any where there
    is no machine, runs as matrices in NumPy. ``"straight"`` replays sample after sample on Python's floats,
    with the eager engine's bits; ``"matrix"`` finds the matrices in the graph and runs a batch at once, equal
    to 1e-12; ``"native"`` keeps to the machine. ``names``, such as ``locals()``, names values in the source.

    **Branches and numbers.** A comparison of Values while recording chooses a branch that the program keeps
    to, and a number that a function takes out of the graph (``.data``, ``detach()``, ``data_of``) is the same
    for all samples: BranchWarning says which, and with ``checked`` a sample that would have gone the other
    way, or given another number, raises BranchChanged instead.

    **Numbers that are not finite** raise NotFiniteResult, with the sample and the first value that shows it;
    with ``finite=False`` they are returned. An operation without a result raises UndefinedOperation as in the
    eager engine, also where its result would not matter. ``memory`` is how many bytes the values of a batch
    may take. ``threads`` is over how many threads the machine spreads a batch; no result depends on it.

    Raises TypeError and ValueError where what is given does not fit.
    """
    options = {
        "params": params, "form": form, "checked": checked, "finite": finite, "memory": memory,
        "threads": threads, "names": names,
    }  # fmt: skip
    if what is None:
        return partial(compile, inputs=inputs, **options)
    if callable(what) and not isinstance(what, Value | np.ndarray):
        if inputs is not None:
            raise TypeError("compile: the inputs of a function are its arguments; leave inputs= out")
        return Traced(what, options)
    if not isinstance(what, Value | np.ndarray | Iterable):
        raise TypeError(f"compile: a function or Values, not an object of type {type(what).__name__}")
    if inputs is None:
        raise TypeError("compile: inputs=[…] says which Values stand for the numbers of a sample")
    return compiled_program(what, inputs, **options)


def compiled_program(
    outputs: Any, inputs: Any, params: Any = None, *, form: FormName = "auto", checked: bool = False,
    finite: bool = True, memory: float = MEMORY, threads: int = 1, names: Mapping[str, Any] | None = None,
    compared: list[Compared] | None = None,
) -> Program:  # fmt: skip
    """The program that computes ``outputs``; ``compared`` are the comparisons that were seen meanwhile."""
    if form not in ("auto", "straight", "matrix", "native"):
        raise ValueError(f"compile: form is 'auto', 'straight', 'matrix' or 'native', not {form!r}")
    if form == "native" and engine().name != "native":
        why = engine().why
        raise RuntimeError(f"compile: there is no native form here: {why}; form='auto' runs in Python")
    if not as_number(memory, "compile: memory") > 0:
        raise ValueError(f"compile: memory is how many bytes a batch may take, at least 1, not {memory!r}")
    memory, threads = int(min(memory, 1 << 62)), whole_threads(threads, "compile")
    start = time.perf_counter()
    captured, leaves, graph = capture_values(outputs, inputs, params, names)
    if compared is None:
        compared = compared_in(graph, captured.inputs, captured.outputs)
    del graph
    kept, unknown, beside = branches(compared, inputs, leaves.params, every=params is None)
    if unknown:
        warn(unknown, checkable=False)
    if kept and not checked:
        warn(kept, checkable=True)
    guards = Guards(Form(beside, form, threads), kept) if kept and checked and beside else None
    made = Form(captured, form, threads)
    return Program(captured, made, leaves, guards, finite, memory, time.perf_counter() - start)


@dataclass(slots=True)
class _Kept:
    """A program, and what its function has found outside of it."""

    told: Told
    program: Program


class Traced:
    """What ``microbp.compile(function)`` gives: call it as the function, with numbers.

    Positional arguments are the inputs: numbers, lists, arrays, all of one sample; :attr:`batched` takes
    many. Keyword arguments are passed on to the function as they are, and a new one traces it anew; so does
    another number, text, function or Value that it finds outside of it: in variables, in attributes that it
    reads, in dicts, in lists of up to 100 numbers and arrays of up to 10,000. The last programs of each shape
    are kept; one of a function that draws random numbers, or from an iterator, that reads a clock, or that
    goes by what it has left outside itself, is not, and a BranchWarning says so; but not of a mere count or
    switch there.

    Called with Values, and inside of a function that is being traced, it is the function itself.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], batched: bool = False) -> None:
        update_wrapper(self, function)
        self._name = getattr(function, "__name__", repr(function))
        self._function, self._options, self._batched = function, options, batched
        self._programs: dict[Any, deque[_Kept]] = {}
        #: The words in its code, and in that of what it calls.
        self._words: set[str] = set()
        #: What it has found outside of it last, with each set of keyword arguments.
        self._last: dict[Any, Around] = {}

    @property
    def batched(self) -> Traced:
        """The same for a batch: every argument has one leading axis, of one length."""
        twin = Traced(self._function, self._options, batched=True)
        twin._programs, twin._words, twin._last = self._programs, self._words, self._last
        return twin

    def program(self, *arguments: Any, **static: Any) -> Program:
        """The program for arguments of these shapes; its inputs are these, flattened, one after the other."""
        return self._program(*self._read(arguments)[:2], static)

    def __call__(self, *arguments: Any, theta: Floats | None = None, **static: Any) -> Any:
        """What the function computes, as numbers; of Values, or inside of a traced function, as Values."""
        if theta is None and (watching() is not None or any(map(_of_values, arguments))):
            samples = zip(*arguments, strict=True) if self._batched else [arguments]
            several = [self._function(*map(_given, sample), **static) for sample in samples]
            found = several if self._batched else several[0]
            return found if isinstance(found, Value) else array(found)
        arrays, shapes, rows = self._read(arguments)
        return self._program(arrays, shapes, static)(rows, theta)

    def value_and_grad(
        self,
        *arguments: Any,
        theta: Floats | None = None,
        reduce: Any = "mean",
        wrt_inputs: bool = False,
        out: Floats | None = None,
        **static: Any,
    ) -> Gradients:
        """As :meth:`Program.value_and_grad`; with ``wrt_inputs``, ``inputs`` is a list, one per argument."""
        arrays, shapes, rows = self._read(arguments)
        program = self._program(arrays, shapes, static)
        found = program.value_and_grad(rows, theta, reduce=reduce, wrt_inputs=wrt_inputs, out=out)
        if found.inputs is not None:
            ends = np.cumsum([*map(math.prod, shapes)])[:-1]
            parts = np.split(found.inputs, ends, axis=-1)
            found.inputs = [part.reshape(each.shape) for part, each in zip(parts, arrays, strict=False)]
        return found

    # ----------------------------------------------------------------------------------------- inside
    def _read(self, arguments: tuple[Any, ...]) -> tuple[list[Floats], list[tuple[int, ...]], Floats]:
        """The arguments as arrays, the shapes that these have for one sample, and rows of inputs."""
        arrays = [as_floats(each) for each in arguments]
        leads = [each.shape[: self._batched] for each in arrays]
        if self._batched and (not arrays or leads[0] == () or leads.count(leads[0]) != len(leads)):
            told = ", ".join(str(each.shape) for each in arrays) or "none"
            raise ValueError(
                f"{self._name}.batched takes arrays with one leading axis of one length, not {told}"
            )
        shapes = [each.shape[self._batched :] for each in arrays]
        sizes = zip(arrays, leads, map(math.prod, shapes), strict=True)
        rows = [each.reshape(*lead, size) for each, lead, size in sizes]
        return arrays, shapes, np.concatenate(rows or [np.empty(0)], axis=-1)

    def _program(
        self, arrays: list[Floats], shapes: list[tuple[int, ...]], static: dict[str, Any]
    ) -> Program:
        for name, each in static.items():
            if not isinstance(each, Hashable):
                raise TypeError(
                    f"{self._name}: the keyword argument {name} is an object of type {type(each).__name__}, "
                    "which may change; give a tuple, or make it a positional argument"
                )
        words = tuple((name, type(each), each) for name, each in sorted(static.items()))
        key = tuple(shapes), words
        found = self._found(words, static)
        kept = self._programs.setdefault(key, deque(maxlen=_KEPT))
        for each in kept:
            if each.told == found.told:
                found.told = each.told  # to be known at once by the next call
                return each.program
        if self._batched and not len(arrays[0]):
            raise ValueError(f"{self._name}.batched: the first batch of a shape cannot be empty")
        sample = [each[0] if self._batched else each for each in arrays]
        outside = Outside(*found.draws, apart=None)
        with Asked(outside.iterators) as asked:
            outputs, inputs, compared = self._recorded(sample, static)
        program = compiled_program(outputs, inputs, compared=compared, **self._options)
        after = self._found(words, static)
        (fixed, left), (again, put) = found.told, after.told
        drawn = asked.first() or outside.changed()
        if "datetime64" in self._words and not self._words.isdisjoint(("now", "today")):
            drawn = drawn or "numpy.datetime64"
        if not drawn and (not asked.seen or (put, after.made) != (left, found.made)):
            drawn = self._fed(program, sample, static, put)
        if drawn:
            warnings.warn(
                f"compile: {self._name} draws from outside of it ({drawn}): it is traced anew at each call, "
                "and all samples of a batch share what is drawn; give that as an argument",
                BranchWarning,
                stacklevel=user_level(),
            )
        elif again == fixed:  # what it changes itself there makes it another one by the next call
            for each in chain.from_iterable(self._programs.values()):
                each.told = (each.told[0], put) if each.told[1] == left else each.told
            kept.append(_Kept(after.told, program))
        return program

    def _found(self, words: Hashable, static: dict[str, Any]) -> Around:
        """What it finds outside of it now; looked for only if something there is not as it was."""
        roots, last = (self._function, *static.values()), self._last.get(words)
        if last is not None and last.same(self._words, roots):
            return last
        if last is not None:
            self._last.clear()  # what has been replaced is to live no longer
        found = Around(self._words, roots)
        if found.whole:
            self._last[words] = found
        return found

    def _fed(
        self, program: Program, sample: list[Floats], static: dict[str, Any], left: list[Any]
    ) -> str:
        """What the function has put outside of it and goes by itself, by its name; empty if there is nothing.

        It is recorded once more, from where it has ``left`` things, and all is set back. A number there that
        it overwrites with another counts, since it may matter later on; not a Value that it keeps, or what it
        adds to a list.
        """
        outside, options = Outside(self._function, *static.values()), self._options
        try:
            outputs, inputs, _ = self._recorded(sample, static)
            again = capture_values(outputs, inputs, options["params"], options["names"])[0]
            after = Around(self._words, (self._function, *static.values())).told[1]
            numbers = (each for each in after if isinstance(each, str | bytes))
            kept = all(each in numbers for each in left if isinstance(each, str | bytes))  # in this order
            return "" if kept and program.captured.computes(again) else outside.changed() or self._name
        except Exception:  # noqa: BLE001 (the call that is told of it is the next)
            return outside.changed() or self._name
        finally:
            outside.restore()

    def _recorded(
        self, sample: list[Floats], static: dict[str, Any]
    ) -> tuple[Any, list[Value], list[Compared]]:
        """What the function gives for one sample, its inputs, and each comparison of Values in it."""
        code = getattr(self._function, "__code__", None)
        bound = isinstance(self._function, MethodType)
        words = code.co_varnames[bound : code.co_argcount] if code else ()
        names = chain(words, (f"x{index}" for index in range(len(words), len(sample))))
        given = [array(each, name) for each, name in zip(sample, names, strict=False)]
        seen = watched()
        with with_sites.on(), tracing.on(), seen:
            outputs = self._function(*map(_given, given), **static)
        inputs = [each for part in given for each in part.ravel().tolist()]
        if not isinstance(outputs, Value | np.ndarray | list | tuple):
            raise TypeError(
                f"{self._name} returned an object of type {type(outputs).__name__}, not Values: nothing "
                "that depends on its arguments was recorded"
            )
        return outputs, inputs, seen.found

    def __get__(self, instance: Any, owner: Any) -> Traced:
        if instance is None:
            return self
        raise TypeError(
            f"compile: {self._name} is a method, whose object is no number: leave the decorator out, and "
            f"compile it bound, microbp.compile(model.{self._name})"
        )

    def __repr__(self) -> str:
        return f"compile({self._name})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A decorated function is pickled as functions are, by its name; another without its programs."""
        name, module = getattr(self, "__qualname__", ""), sys.modules.get(self.__module__)
        made = Traced, (self._function, self._options, self._batched)
        return name if getattr(module, name, None) is self else made


def _of_values(argument: Any) -> bool:
    """Whether an argument is a Value, or holds one."""
    if isinstance(argument, np.ndarray):
        argument = argument.ravel().tolist() if argument.dtype == object else []
    if isinstance(argument, list | tuple):
        return any(map(_of_values, argument))
    return isinstance(argument, Value)


def _given(argument: Any) -> Any:
    """An argument as functions are given it: a Value, or an array of Values; numbers are constants."""
    given = array(argument, requires_grad=False)
    return given if given.ndim else given[()]
