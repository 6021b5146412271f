"""Networks of Values: ``Module``, ``Neuron``, ``Layer``, ``MLP``; a drop-in for micrograd's.

A neuron's weighted input Σ w·x + b is one ``dot`` node, its activation another.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from microbp.array import Array
from microbp.array.loops import unequal
from microbp.errors import NotLoaded
from microbp.files import packed, unpacked, write_file
from microbp.functions import Operation
from microbp.labels import Named, Run, contents, layer_path, parameter_paths, parameter_runs, texts_of
from microbp.native import extension
from microbp.node import PathName, text_of
from microbp.record import record
from microbp.recording.groups import grouping
from microbp.recording.updates import warn_of_lost, warn_of_replaced
from microbp.rules import RULES, Rule
from microbp.text import did_you_mean, quoted, shown
from microbp.value import Value, set_names

__all__ = ["ACTIVATIONS", "INITIALISATIONS", "MLP", "Layer", "Module", "Neuron"]

_DOT = RULES["dot"]


def _is_unary(rule: Rule) -> bool:
    return not rule.over and len(rule.args) - len(rule.defaults) == 1


#: The activation functions by name: every operation of one argument, and "linear" for none. Those that
#: are defined later are found by their names, too.
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    **{
        name: getattr(Value, name, None) or Operation(rule) for name, rule in RULES.items() if _is_unary(rule)
    },
}

#: The distributions of initial weights by name, from the generator and a neuron's fan-in and fan-out:
#: uniform as in micrograd; xavier after Glorot and Bengio (2010); he after He et al. (2015).
INITIALISATIONS: dict[str, Callable[[np.random.Generator, int, int], float]] = {
    "uniform": lambda rng, _nin, _nout: rng.uniform(-1.0, 1.0),
    "xavier": lambda rng, nin, nout: rng.uniform(-1.0, 1.0) * math.sqrt(6.0 / (nin + nout)),
    "he": lambda rng, nin, _nout: rng.normal() * math.sqrt(2.0 / nin),
}
#: Those that draw as well for several weights at once.
_OURS = (*INITIALISATIONS.values(),)


class Module:
    """Whatever holds parameters: the leaf Values in its attributes, in lists, arrays and modules there.

    An attribute whose name begins with an underscore is the module's private affair, and a computed
    Value is a result, no parameter.

    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offsets = Value(2.0), [Value(0.0), Value(1.0)]
    >>> Line().named_parameters()["offsets.1"]
    Value(data=1.0, grad=None)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """A call of a module is a group of values, by which drawings and diagnoses tell its parts."""
        super().__init_subclass__(**options)
        if "__call__" in vars(cls):
            cls.__call__ = grouping(vars(cls)["__call__"])  # type: ignore[method-assign]

    def named_modules(self) -> dict[str, Module]:
        """The modules in it by their path, at every depth; one that is held twice under its first path.

        >>> list(MLP(2, [1]).named_modules())
        ['layers.0', 'layers.0.neurons.0']
        """
        found = parameter_paths(self, modules=True)
        return {text_of(path): held for path, held in found if isinstance(held, Module)}

    def named_parameters(self) -> dict[str, Value]:
        """The parameters by their path; one that is held twice stands once, under its first path.

        Raises ValueError where two have one path, as under the keys 1 and "1" of a dict.
        """
        runs, _ = _runs(self)
        return dict(zip(_texts(runs), _values(runs), strict=True))

    def parameters(self) -> list[Value]:
        """The parameters, each once, in the order in which the attributes were set."""
        if type(self).named_parameters is not Module.named_parameters:
            return [*self.named_parameters().values()]
        return _values(_runs(self)[0])

    def parameter_layers(self) -> dict[str, list[Value]]:
        """The parameters by the layer that they belong to; one that is in none stands by itself.

        >>> {layer: len(values) for layer, values in MLP(2, [3, 1]).parameter_layers().items()}
        {'layers.0': 9, 'layers.1': 4}
        """
        layers: dict[str, list[Value]] = {}
        for path, value in parameter_paths(self):
            if isinstance(value, Value):
                layers.setdefault(text_of(layer_path(path) or path), []).append(value)
        return layers

    def name_parameters(self) -> None:
        """Give each parameter its path as its name, for tables, messages and drawings."""
        named = named_leaves(self)
        set_names(named.values, named.notes)

    #: ``net.predict(X)``: what the net says to each sample, as floats; put here by :mod:`microbp.predict`.
    predict: ClassVar[Callable[..., Any]]

    def zero_grad(self) -> None:
        """Forget the gradients: ``grad`` is None again."""
        for value in self.parameters():
            value.grad = None

    def freeze(self, frozen: bool = True) -> None:
        """Let the parameters take no gradient; ``freeze(False)`` undoes it."""
        for value in self.parameters():
            value.requires_grad = not frozen

    def state(self) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
        """The parameters' numbers by path, one float array for each Value, list or array of Values.

        >>> {path: numbers.shape for path, numbers in Neuron(3).state().items()}
        {'w': (3,), 'b': ()}
        """
        self._warn_of_lost()
        state = {}
        for path, held in _held(self).items():
            state[path] = np.empty(np.shape(held))
            for place in np.ndindex(np.shape(held)):
                state[path][place] = held[place].data
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over the numbers of a :meth:`state`.

        Raises ValueError, before any parameter is touched, where names or shapes differ, an array holds
        something else than real numbers, or two arrays differ in a parameter that both hold. A nan is a
        number, as in a state that was saved after the cost had become nan.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state() takes what state() returns, not {type(state).__name__}")
        holders = _held(self)
        arrays = {}
        for path, numbers in state.items():
            try:
                arrays[path] = np.asarray(numbers)
            except ValueError:  # noqa: PERF203
                told = f"the rows of {shown(path)} there are of unequal length{unequal(numbers, shown(path))}"
                raise ValueError(f"this state does not fit the module: {told}") from None
        problems = [f"{shown(path)} is missing" for path in holders if path not in arrays]
        problems += [f"{shown(path)} is not a parameter here" for path in arrays if path not in holders]
        loaded: dict[Value, float] = {}
        for path, held in holders.items():
            numbers = arrays.get(path)
            if numbers is None:
                continue
            if held.shape != numbers.shape:
                problems.append(f"{shown(path)} has shape {held.shape} here and {numbers.shape} there")
            elif numbers.dtype.kind not in "iuf":
                problems.append(f"{shown(path)} holds {numbers.dtype} there, not real numbers")
            else:
                for value, number in zip(held.flat, numbers.astype(float).ravel().tolist(), strict=True):
                    other = loaded.setdefault(value, number)
                    if number != other and not (math.isnan(number) and math.isnan(other)):
                        told = f"holds {number!r} for what is {other!r} elsewhere in it"
                        problems.append(f"{shown(path)} {told}")
        if problems:
            more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ValueError(f"this state does not fit the module: {'; '.join(sorted(problems)[:5])}{more}")
        for value, number in loaded.items():
            value.data = number

    def save(self, path: str | Path) -> None:
        """Write :meth:`state` as a NumPy ``.npz`` file, under exactly that name, whole or not at all.

        Raises OSError where it cannot be written; the file is then what it was.
        """
        write_file(path, packed(self.state()))

    def load(self, path: str | Path) -> None:
        """Take over what :meth:`save` wrote, or another ``.npz`` file of arrays of these paths.

        Raises NotLoaded, a ValueError, before any parameter is touched, where it is damaged or does not fit,
        as from :meth:`load_state`.
        """
        shapes = {name: held.shape for name, held in _held(self).items()}
        state = unpacked(path, shapes)
        try:
            self.load_state(state)
        except ValueError as error:
            raise NotLoaded(f"{path}: {error}", path) from None

    def _warn_of_lost(self) -> None:
        """GrowingGraphWarning for each array of parameters, or single one, that has become computed."""
        for path, module in {"self": self, **self.named_modules()}.items():
            for (name, *_), held in contents(module):
                several = contents(held) if isinstance(held, list | tuple | dict) else [((), held)]
                for place, each in several:
                    where = f"{path}.{name}" + "".join(f"[{key!r}]" for key in place)
                    if isinstance(each, Array):
                        warn_of_lost(where, each)
                    elif isinstance(each, Value) and not each.is_leaf:
                        warn_of_replaced(where, each, {id(held) for _, held in parameter_paths(self)})


def _holders(path: tuple[Any, ...], held: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """What holds parameters, by path, as object arrays; of a container with more in it, part by part."""
    if isinstance(held, Value):
        if held.is_leaf:
            yield text_of(path), np.array(held, dtype=object)
    elif not any(held is each for each in above):
        inner = contents(held)
        size = held.size if isinstance(held, np.ndarray) else isinstance(held, list | tuple) and len(held)
        if 0 < size == len(inner) and all(isinstance(each, Value) and each.is_leaf for _, each in inner):
            yield text_of(path), np.asarray(held, dtype=object).view(np.ndarray)
        else:
            for place, each in inner:
                yield from _holders(path + place, each, (*above, held))


def _by_path(found: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of what holds parameters; ValueError where two have one path."""
    pairs = [*found]
    _refuse_equal([path for path, _ in pairs])
    return dict(pairs)


def told_by_paths(net: Any) -> bool:
    """Whether the parameters of a net are what a Module finds in it: by paths, of which no two are equal."""
    words = "parameters", "named_parameters"
    return all(getattr(getattr(net, word, 0), "__func__", 0) is getattr(Module, word) for word in words)


def _held(module: Module) -> dict[str, Any]:
    """What holds the parameters of a module, by path: those that it alone says it has, by their places."""
    held = _by_path(_holders((), module))
    if not told_by_paths(module):
        kept = {id(value) for each in held.values() for value in each.flat}
        for place, value in enumerate(module.parameters()):
            if id(value) not in kept and isinstance(value, Value) and value.is_leaf:
                held[f"parameters.{place}"] = np.array(value, dtype=object)
                kept.add(id(value))
    return held


def named_leaves(module: Module) -> Named:
    """The parameters of a module, called by their paths."""
    runs, plain = _runs(module)
    notes: list[Any] = [*chain.from_iterable(zip(repeat(path), places) for path, places, _ in runs)]
    return Named(_values(runs), notes if plain else [PathName((*path, place)) for path, place in notes])


def _runs(module: Module) -> tuple[list[Run], bool]:
    """The parameters of a module, as :func:`parameter_runs` gives them.

    And whether they stand in attributes and in places of lists: of these no two paths have one text, and none
    will have another.
    """
    found, computed = parameter_runs(module)
    runs = [run for run in found if isinstance(run[2][0], Value)]
    if computed:
        module._warn_of_lost()
    heads = [(*path, places[0]) for path, places, _ in runs]
    parts = [*chain.from_iterable(heads)]
    kinds = {*map(id, map(type, parts))}  # by id: a metaclass may know no hash
    words = {part for part in parts if type(part) is str}
    plain = kinds <= {id(int), id(str)} and all(map(str.isidentifier, words)) and len({*heads}) == len(heads)
    if not plain:
        _refuse_equal(_texts(runs))
    return runs, plain


def _texts(runs: list[Run]) -> list[str]:
    """The texts of the paths of runs of parameters."""
    return [*chain.from_iterable(texts_of(path, places) for path, places, _ in runs)]


def _values(runs: list[Run]) -> list[Value]:
    return [*chain.from_iterable(several for _, _, several in runs)]


def _refuse_equal(paths: Sequence[str]) -> None:
    """ValueError for the first path that two parameters have."""
    for path, times in Counter(paths).items() if len({*paths}) < len(paths) else ():
        if times > 1:
            told = f"two parameters have the path {shown(path)}; rename an attribute or a key of a dict"
            raise ValueError(told)


class Neuron(Module):
    """``activation(Σ w·x + b)`` of ``nin`` inputs.

    ``nonlin=False`` leaves the activation out. The weights are drawn by ``init`` (a name in
    :data:`INITIALISATIONS`, or a function of the generator, fan-in and fan-out) from ``rng``, or from
    a generator with ``seed``; the same seed gives the same weights. The bias starts at 0. Without
    either, Python's ``random`` rules: "uniform" draws from it in micrograd's order, so that
    ``random.seed`` gives micrograd's weights, and all others draw from a generator that it starts.
    ``named=False`` leaves the parameters without names, for an outer module to give.

    >>> neuron = Neuron(2, activation="tanh", seed=1)
    >>> neuron
    tanh Neuron(2)
    >>> neuron([1.0, -2.0]).data == math.tanh(neuron.w[0].data - 2.0 * neuron.w[1].data)
    True

    Raises ValueError where the number of inputs is not ``nin``, or a name is not known.
    """

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        *,
        activation: str | Callable[[Any], Any] = "relu",
        init: str | Callable[[np.random.Generator, int, int], float] = "uniform",
        seed: int | None = None,
        rng: Any = None,
        nout: int = 1,
        named: bool = True,
    ) -> None:
        rng = _generator(seed, rng, init)
        draw = _named(init, INITIALISATIONS, "initialisation")
        self._label = activation if nonlin else "linear"
        self._activation = _activation(self._label)
        count = _width(nin, "nin")
        if type(rng) is np.random.Generator and any(draw is each for each in _OURS):
            drawn = draw(_AtOnce(rng, count), nin, nout).tolist()
        else:
            drawn = [float(draw(rng, nin, nout)) for _ in range(count)]
        self.w = [*map(Value, drawn)]
        self.b = Value(0.0)
        if named:
            self.name_parameters()

    def __call__(self, x: Sequence[Any]) -> Any:
        """The neuron's output for one sample: a Value; for several, the rows of an array, their Array."""
        sample = _sample(x, len(self.w), "Neuron")
        if sample is None:
            return _each(self, x)
        return self._activation(record(_DOT, (self.w, sample, self.b)))

    def __repr__(self) -> str:
        return f"{getattr(self._label, '__name__', self._label)} Neuron({len(self.w)})"

    def __getstate__(self) -> dict[str, Any]:
        """All but the function of a named activation: a pickle holds the name."""
        return {name: each for name, each in vars(self).items() if name != "_activation"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._activation = _activation(self._label)


@dataclass(frozen=True)
class _AtOnce:
    """Draws as many numbers as are wanted: those that a generator of NumPy gives one by one."""

    rng: np.random.Generator
    count: int

    def uniform(self, low: float, high: float) -> np.ndarray[Any, Any]:
        return self.rng.uniform(low, high, self.count)

    def normal(self) -> np.ndarray[Any, Any]:
        return self.rng.normal(size=self.count)


#: What C does for a layer of plain neurons.
_DEFINED = vars(Neuron)["__call__"]


class Layer(Module):
    """``nout`` neurons side by side; the keywords are those of :class:`Neuron`.

    Returns the list of their outputs, or, as in micrograd, the output itself if there is but one.
    """

    def __init__(
        self,
        nin: int,
        nout: int,
        nonlin: bool = True,
        *,
        seed: int | None = None,
        rng: Any = None,
        named: bool = True,
        **options: Any,
    ) -> None:
        rng = _generator(seed, rng, options.get("init", "uniform"))
        options |= {"rng": rng, "nout": _width(nout, "nout"), "named": False}
        self.neurons = [Neuron(nin, nonlin, **options) for _ in range(nout)]
        if named:
            self.name_parameters()

    def __call__(self, x: Sequence[Any]) -> Any:
        """The outputs for one sample; for several, the rows of an array, an Array of a row for each."""
        sample = _sample(x, len(self.neurons[0].w), "Layer")
        if sample is None:
            return _each(self, x)
        plain = extension is not None and vars(Neuron)["__call__"] is _DEFINED
        out: list[Any] = extension.neurons(Neuron, self.neurons, sample) if plain else []
        out += [neuron(sample) for neuron in self.neurons[len(out) :]]
        return out[0] if len(out) == 1 else out

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """A multi-layer perceptron: ``nin`` inputs and a layer for each width in ``nouts``.

    ``activation`` is one for all layers but the last, which is linear, or a list with one for each
    layer. The other keywords are those of :class:`Neuron`.

    >>> net = MLP(2, [3, 1], seed=7)
    >>> len(net.parameters()), list(net.named_parameters())[:3]
    (13, ['layers.0.neurons.0.w.0', 'layers.0.neurons.0.w.1', 'layers.0.neurons.0.b'])
    >>> net([1.0])
    Traceback (most recent call last):
        ...
    ValueError: MLP takes 2 inputs, not 1
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        *,
        activation: str | Callable[[Any], Any] | Sequence[str | Callable[[Any], Any]] = "relu",
        seed: int | None = None,
        rng: Any = None,
        named: bool = True,
        **options: Any,
    ) -> None:
        rng = _generator(seed, rng, options.get("init", "uniform"))
        if not isinstance(nouts, list | tuple | range | np.ndarray) or not len(nouts):
            raise ValueError(f"nouts is a list with the width of at least one layer, not {nouts!r}")
        if isinstance(activation, str) or callable(activation):
            _activation(activation)  # which a net of one layer does not use
            activation = [activation] * (len(nouts) - 1) + ["linear"]
        if len(activation) != len(nouts):
            raise ValueError(f"MLP has {len(nouts)} layers but {len(activation)} activations")
        sizes = [nin, *nouts]
        self.layers = [
            Layer(sizes[i], sizes[i + 1], activation=each, rng=rng, named=False, **options)
            for i, each in enumerate(activation)
        ]
        if named:
            self.name_parameters()

    def __call__(self, x: Sequence[Any]) -> Any:
        """The outputs for one sample: a list of Values, or a Value if the last layer has one neuron.

        For several, the rows of an array, an Array of the shape ``(samples, outputs)``, or ``(samples,)``.
        """
        sample: Any = _sample(x, len(self.layers[0].neurons[0].w), "MLP")
        if sample is None:
            return _each(self, x)
        for layer in self.layers:
            sample = layer(sample if isinstance(sample, list) else [sample])
        return sample

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"


def _generator(seed: int | None, rng: Any, init: Any) -> Any:
    """``rng``, or one with ``seed``, or what stands for Python's ``random`` in an initialisation."""
    if rng is not None:
        draws = "normal" if init == "he" else "uniform"
        if not callable(getattr(rng, draws, None)):
            kind = type(rng).__name__
            told = f"{kind}, which has no {draws}()" if hasattr(rng, "uniform") else kind
            raise TypeError(f"rng is a generator such as np.random.default_rng(0), not of type {told}")
        return rng
    if isinstance(seed, Integral) and seed < 0:
        raise ValueError(f"seed={seed!r}: it is a whole number from 0 up")
    if seed is None and init == "uniform":
        return random  # its uniform() is all that is called
    return np.random.default_rng(random.getrandbits(64) if seed is None else seed)


def _each(module: Callable[[Any], Any], rows: Any) -> Array:
    return np.array([module(row) for row in rows], dtype=object).view(Array)


def _sample(x: Any, nin: int, who: str) -> list[Any] | None:
    """One sample as a list of ``nin`` inputs; None where these are several, the rows of an array."""
    if type(x) in (list, tuple):
        if x and isinstance(x[0], list | tuple | np.ndarray):
            return None
        sample = [*x]
    else:
        shape = np.shape(x)
        if len(shape) == 2:
            return None
        if len(shape) != 1:
            array = isinstance(x, np.ndarray)
            what = f"an array of shape {shape}" if array else f"an object of type {type(x).__name__}"
            raise ValueError(f"{who} takes one sample of {nin} inputs, not {what}")
        sample = x.tolist() if isinstance(x, np.ndarray) else list(x)
    if len(sample) != nin:
        raise ValueError(f"{who} takes {nin} inputs, not {len(sample)}")
    return sample


#: A wider layer is no layer of scalars: each weight is a Value.
_WIDEST = 10_000_000


def _width(n: int, what: str) -> int:
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{what} is a whole number of at least 1, not {n!r}")
    if n > _WIDEST:
        raise ValueError(f"{what} is at most {_WIDEST:,}, since each weight is a Value")
    return int(n)


def _activation(which: Any) -> Callable[[Any], Any]:
    later = {name: Operation(rule) for name, rule in RULES.items() if name == which and _is_unary(rule)}
    return _named(which, later | ACTIVATIONS, "activation")


def _named(which: Any, known: Mapping[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    if isinstance(which, str) and which in known:
        return known[which]
    if callable(which):
        function: Callable[..., Any] = which
        return function
    hint = did_you_mean(which, known) or f"there are {', '.join(sorted(known))}"
    raise ValueError(f"no {what} is called {quoted(which)}; {hint}")
