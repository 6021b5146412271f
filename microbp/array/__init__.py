"""Arrays of Values: NumPy arrays of dtype object in which every scalar is recorded.

NumPy's own functions work on them, so that a program written for NumPy runs unchanged: arithmetic,
broadcasting, ``@``, ``np.dot``, ``.T``, ``np.exp``, ``np.maximum(0, a)``, ``np.sum`` and the rest.
A matrix product records one ``dot`` per element of the result, a sum one ``sum``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from microbp.array.elementwise import PLAIN, refusal
from microbp.array.loops import applied, as_objects, each, for_update, holds_values, refuse_masked, unequal
from microbp.errors import NoGradientError
from microbp.node import gradient_of
from microbp.recording.comparisons import taken
from microbp.recording.updates import note_computed, renewed, warn_of_growing
from microbp.rules import RULES
from microbp.value import Value, as_number, describe

__all__ = ["ROUTINES", "Array", "array", "as_arrays", "data_of", "elementwise", "grad_of", "numpys_own"]


#: What of a Value somebody may look for at an array of them, and what there is instead.
_INSTEAD = {
    "data": "microbp.data_of(a) gives the numbers, and a -= rate * microbp.grad_of(a) is an update",
    "grad": "microbp.grad_of(a) gives the gradients, and for v in a.flat: v.zero_grad() forgets them",
    "backward": "a backward pass starts from one Value: np.sum(a).backward()",
    "requires_grad": "microbp.array(x, requires_grad=False) makes constants",
}


def _no_such(word: str) -> AttributeError:
    given = f"microbp.{word}(a) does it" if word in RULES else f"v.{word} for v in a.flat"
    return AttributeError(f"an Array has no {word}; its Values have one each: {_INSTEAD.get(word, given)}")


class Array(np.ndarray[Any, np.dtype[np.object_]]):
    """An ndarray of dtype object whose elements are Values; made by :func:`array`.

    What each of them has, such as ``grad``, the array has not: AttributeError says what to write instead.
    """

    __array_priority__ = 1.0  # float_array.dot(values) gives an Array

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return _ufunc(ufunc, method, *inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return _function(function, types, args, options)

    if not TYPE_CHECKING:  # a checker of types knows what is not there, and reads on

        @property
        def data(self) -> NoReturn:
            """Refused: of an ndarray it is its memory, of a Value its number."""
            raise _no_such("data")

        def __getattr__(self, word: str) -> Any:
            if hasattr(Value, word):
                raise _no_such(word)
            return super().__getattribute__(word)  # says what a property of a subclass misses

        def __setattr__(self, word: str, held: Any) -> None:
            if word in _INSTEAD and type(self) is Array:  # a subclass may have its own
                raise _no_such(word)
            super().__setattr__(word, held)

    def sort(self, axis: int = -1, **options: Any) -> None:  # type: ignore[override]
        """Rearrange the elements by their numbers, in place, as ``np.sort``."""
        self[...] = np.sort(self, axis, **options)

    def partition(self, kth: Any, /, axis: Any = -1, **options: Any) -> None:  # type: ignore[override]
        """Rearrange the elements by their numbers, in place, as ``np.partition``."""
        self[...] = np.partition(self, kth, axis, **options)


def _as_function(name: str) -> Callable[..., Any]:
    def method(self: Array, *args: Any, **options: Any) -> Any:
        return getattr(np, name)(self, *args, **options)

    method.__name__ = name
    method.__doc__ = f"As ``np.{name}``."
    return method


#: The methods of an ndarray that NumPy computes itself, without asking us.
_METHODS = "argmax argmin argpartition argsort dot nonzero round searchsorted std var"
for _name in _METHODS.split():
    setattr(Array, _name, _as_function(_name))


def array(x: Any, name: str | None = None, *, requires_grad: bool = True) -> Array:
    """An array of Values from numbers, nested lists of numbers, or Values (which are kept).

    With a ``name``, each new element is named by its place; with ``requires_grad=False`` it takes no
    gradient.

    >>> W = array([[0.1, 0.8], [0.4, 0.6]], name="W")
    >>> W.shape, W[0, 1]
    ((2, 2), Value(data=0.8, grad=None, name='W[0,1]'))
    >>> data_of(W @ np.array([0.35, 0.9]))
    array([0.755, 0.68 ])

    Raises TypeError for an element that is no real number, also where a masked array hides it, ValueError
    for rows of unequal length.
    """
    Value(0.0, name)  # refuses what is no name
    source = as_objects(x)
    made: Any = np.empty(source.shape, dtype=object)
    for place in np.ndindex(source.shape):
        made[place] = source[place]
        if isinstance(made[place], list | tuple):
            raise ValueError(f"array(): the rows are of unequal length{unequal(x, name or 'x')}")
        if not isinstance(made[place], Value):
            label = f"{name}[{','.join(map(str, place))}]" if name and place else name
            made[place] = Value(made[place], label)
            made[place].requires_grad = requires_grad
    result: Array = made.view(Array)
    return result


def data_of(x: Any) -> Any:
    """The numbers of one Value, an array or a nested list, as a float array of the same shape.

    >>> data_of([Value(1.0), 2.0])
    array([1., 2.])
    >>> float(data_of(Value(1.0)))
    1.0
    """
    return _floats(x, _number)


def grad_of(x: Any) -> Any:
    """The gradients of one Value, an array or a nested list, as a float array of the same shape.

    >>> w = array([2.0, 3.0], name="w")
    >>> np.sum(w * w).backward()
    >>> grad_of(w)
    array([4., 6.])

    Raises NoGradientError where a gradient has not been computed, rather than showing 0.
    """
    return _floats(x, _computed)


def _number(each: Any) -> float:
    taken(each)
    return each._data if isinstance(each, Value) else as_number(each, "data_of()")


def _computed(value: Any) -> float:
    if not isinstance(value, Value):
        raise TypeError(f"grad_of() reads the gradients of Values; {value!r} has none")
    if value.grad is None:
        reason = "call backward() first" if value.requires_grad else "it is frozen (requires_grad)"
        raise NoGradientError(f"{describe(value)} has no gradient; {reason}")
    return gradient_of(value)


def _floats(x: Any, number: Callable[[Any], float]) -> Any:
    source = as_objects(x)
    floats = np.empty(source.shape)
    for place in np.ndindex(source.shape):
        floats[place] = number(source[place])
    return floats[()]


# ------------------------------------------------------------------------------ NumPy's operations
def elementwise(function: Callable[..., Any], *inputs: Any) -> Any:
    """``function`` of scalars, applied with broadcasting; an Array, or a scalar where all are."""
    return _wrapped(each(function, *inputs))


def _wrapped(x: Any) -> Any:
    """An Array of an array of Values, also in a tuple or list of results; anything else as it is."""
    if isinstance(x, tuple | list):
        several = map(_wrapped, x)
        return type(x)(*several) if hasattr(x, "_fields") else type(x)(several)
    return x.view(Array) if type(x) is np.ndarray and x.dtype == object else x


def _ufunc(ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """NumPy hands over every ufunc in which a Value or an Array takes part."""
    outs = options.pop("out", None) or (None,)
    for option in ("casting", "subok", "order"):  # np.mean gives them; they say nothing about Values
        options.pop(option, None)
    if options.get("axes") in _OF_MATRICES:
        del options["axes"]
        if np.ndim(inputs[1]) < 2:
            raise ValueError("a @= b of Values takes a matrix b; write a = a @ b for a vector")
    dtype = options.pop("dtype", None)
    strange = sorted(options.keys() - _OPTIONS[method])
    fitting = (object, bool) if ufunc.__name__ in PLAIN else (object, float)
    if strange or (dtype is not None and np.dtype(dtype) not in fitting):
        strange = strange or [f"dtype={np.dtype(dtype)}"]
        raise TypeError(f"np.{ufunc.__name__} of Values takes no {', '.join(strange)}")
    whole = outs[0]
    single = method == "__call__" and ufunc.signature is None and len(outs) == 1
    if single and whole is inputs[0] and isinstance(whole, Array):
        result = _in_place(ufunc, *inputs, **options)
    else:
        result = _wrapped(applied(ufunc, method, *inputs, out=whole, **options))
    if all(out is None for out in outs):
        return result
    for out, part in zip(outs, result if len(outs) > 1 else [result], strict=True):
        if out is not None:
            if out.dtype != object and holds_values(part):
                raise TypeError(
                    f"an array of {out.dtype} cannot hold Values; np.{ufunc.__name__} without out= gives a "
                    "new array (a = a + b instead of a += b), or make it with microbp.array"
                )
            out[...] = part
    return outs[0] if len(outs) == 1 else outs


def _in_place(ufunc: np.ufunc, whole: Array, *others: Any, **options: Any) -> Any:
    """What becomes of the elements by ``whole -= other``: with plain numbers an update, if they were used."""
    shape = np.broadcast_shapes(whole.shape, *map(np.shape, others))
    if shape != whole.shape:
        raise ValueError(
            f"np.{ufunc.__name__} in place: could not broadcast what has the shape {shape} into an array of "
            f"shape {whole.shape}; sum over the samples first (b -= rate * gradient.sum(axis=0))"
        )
    warn_of_growing(whole, others)
    result = renewed(whole, applied(ufunc, "__call__", *for_update(whole, *others), out=whole, **options))
    for before, after in zip(whole.flat, np.ravel(result), strict=True):
        if isinstance(before, Value) and before.is_leaf and isinstance(after, Value) and not after.is_leaf:
            note_computed(whole)
            break
    return result


#: The axes that NumPy names for ``a @= b``, of a matrix and of a vector.
_OF_MATRICES = [(-2, -1)] * 3, [(-1,), (-2, -1), (-1,)]
#: The options that a method of a ufunc has for Values.
_OPTIONS: dict[str, set[str]] = {
    "__call__": {"where", "axis"},
    "reduce": {"axis", "keepdims", "initial", "where"},
    "accumulate": {"axis"},
    "reduceat": {"axis"},
    "outer": set(),
    "at": set(),
}


# ------------------------------------------------------------------------- NumPy's other functions
#: What to do for each of them, by its name without ``numpy.``; :mod:`microbp.array.routines` has the table.
ROUTINES: dict[str, Callable[..., Any]] = {}


def name_of(function: Any) -> str:
    """NumPy's name of a function: ``sum``, ``linalg.norm``."""
    name: str = f"{function.__module__}.{function.__name__}"
    return name.removeprefix("numpy.")


def numpys_own(function: Any, *args: Any, **options: Any) -> Any:
    """What NumPy's own code makes of Arrays; the functions that it calls come back to :func:`_function`."""
    return np.ndarray.__array_function__(array(0.0), function, (Array,), as_arrays(args), options)


def as_arrays(x: Any) -> Any:
    """An Array for each Value and each array of them, also in a list or tuple of arguments."""
    refuse_masked(x)
    if isinstance(x, Value):
        return np.array(x, dtype=object).view(Array)
    if isinstance(x, list | tuple):
        return type(x)(map(as_arrays, x)) if type(x) in (list, tuple) else x
    return x.view(Array) if type(x) is np.ndarray and x.dtype == object else x


def _function(function: Any, _types: Any, args: Any, options: Any) -> Any:
    """NumPy hands over every other function to which a Value or an Array is given."""
    name = name_of(function)
    if name not in ROUTINES:
        raise TypeError(refusal(name))
    return _wrapped(ROUTINES[name](*args, **options))


# A Value among arrays, or under a function of NumPy's, behaves like an array of one.
Value.__array_ufunc__ = lambda _, *call, **options: _ufunc(*call, **options)
Value.__array_function__ = lambda _, *call: _function(*call)
