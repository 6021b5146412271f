"""Scripts of what may be done with Values, as data: the same one is played in C and in Python.

Started by itself it plays each line of its input, a script in JSON, and answers with a line of what happened.
"""

from __future__ import annotations

import json
import operator
import re
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from support import OPERATORS, in_threads

import microbp
from microbp import Value

__all__ = ["GRADS", "HOSTILE", "MANY", "SIGNS", "WORDS", "played"]


class Kept(Value):
    """A subclass with fields of its own."""

    def __init__(self, data: float) -> None:
        super().__init__(data)
        self.kept = [data]

    def relu(self) -> Any:
        """Another one."""
        return super().relu() * 2.0


class Reflecting:
    """It knows what to do with a Value on its left."""

    def __radd__(self, other: Any) -> str:
        return f"reflected {other!r}"

    __rmul__ = __rpow__ = __radd__


class Float(float):
    """A number of a class of its own."""


class Interrupting(Fraction):
    """Ctrl-C strikes when it is read."""

    def __float__(self) -> float:
        raise KeyboardInterrupt


SIGNS = {
    **OPERATORS, "mod": operator.mod, "floordiv": operator.floordiv, "lt": operator.lt, "ge": operator.ge,
}  # fmt: skip
WORDS = ["neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "acos", "softplus", "erf"]
MANY = ["sum", "max", "dot", "logsumexp", "cross_entropy", "clip", "select", "minimum"]
#: Operands that are no Values.
HOSTILE: dict[str, Any] = {
    "text": "a", "nothing": None, "complex": 1j, "truth": True, "list": [1.0], "object": object(),
    "float64": np.float64(2.0), "float32": np.float32(0.1), "int8": np.int8(3), "huge": 2**2000,
    "array": np.ones(2),
    "fraction": Fraction(1, 3), "float": Float(0.25), "reflecting": Reflecting(), "nan": float("nan"),
    "infinite": float("-inf"), "zero": 0, "minus": -0.0, "class": Value,
}  # fmt: skip
#: What somebody may put into grad.
GRADS: dict[str, Any] = {
    "none": None, "zero": 0, "one": 1.0, "fraction": Fraction(1, 3), "float64": np.float64(2.0), "text": "a",
    "truth": True, "interrupting": Interrupting(1, 2), "float": Float(4.0),
}  # fmt: skip


def played(script: list[list[Any]]) -> list[str]:
    """What each line of a script led to, and at last all numbers and gradients, to the last bit."""
    values: list[Any] = [Value(2.0, "x"), Value(-0.5), Kept(1.5)]
    told = []
    for word, *given in script:
        made = _tried(getattr(_Played(values), word), given)
        if isinstance(made, Value):
            values.append(made)
        told.append(f"{word} {made if isinstance(made, _Raised) else _shown(made)}")
    told += [f"{_shown(each)} {each.local_derivatives!r} {each.requires_grad}" for each in values]
    return [re.sub(r" at 0x\w+|\[?\S+native_scripts.py:\d+\]?", "", each) for each in told]


class _Raised(str):
    """What an error says."""

    __slots__ = ()


def _tried(act: Callable[..., Any], given: list[Any]) -> Any:
    try:
        return act(*given)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (whatever it is, it is compared)
        return _Raised(f"{type(error).__name__} {error}")


def _shown(x: Any) -> str:
    return f"{type(x).__name__} {x.data!r} {x.grad!r} {x.name!r}" if isinstance(x, Value) else repr(x)


class _Played:
    """One method for each word of a script; a Value is told by its position, counted round."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def at(self, position: int) -> Any:
        return self.values[position % len(self.values)]

    def leaf(self, number: float, kept: bool) -> Any:
        return Kept(number) if kept else Value(number, name=f"v{len(self.values)}")

    def both(self, sign: str, left: int, right: int) -> Any:
        return SIGNS[sign](self.at(left), self.at(right))

    def literal(self, sign: str, position: int, number: float, turned: bool) -> Any:
        value = self.at(position)
        return SIGNS[sign](number, value) if turned else SIGNS[sign](value, number)

    def hostile(self, sign: str, position: int, what: str, turned: bool) -> Any:
        return self.literal(sign, position, HOSTILE[what], turned)

    def one(self, word: str, position: int) -> Any:
        value = self.at(position)
        return -value if word == "neg" else abs(value) if word == "abs" else getattr(value, word)()

    def many(self, word: str, positions: list[int], literal: float) -> Any:
        several = [self.at(each) for each in positions]
        if word in ("dot", "cross_entropy"):
            return getattr(microbp, word)(several, [literal, *several[1:]])
        if word in ("clip", "select"):
            return getattr(microbp, word)(several[0], literal, several[-1])
        if word == "minimum":
            return microbp.minimum(literal, several[0])
        return getattr(microbp, word)([*several, literal])

    def backward(self, position: int) -> None:
        self.at(position).backward()

    def grad(self, position: int, what: str) -> None:
        self.at(position).grad = GRADS[what]

    def data(self, position: int, number: float) -> None:
        self.at(position).data = number

    def frozen(self, position: int, flag: bool) -> None:
        self.at(position).requires_grad = not flag

    def unrecorded(self, sign: str, left: int, right: int) -> Any:
        with microbp.no_grad():
            return self.both(sign, left, right)

    def generator(self, sign: str, left: int, right: int) -> str:
        """Recording goes on outside a generator that waits inside no_grad()."""

        def waiting() -> Iterator[Any]:
            with microbp.no_grad():
                yield self.both(sign, left, right)
            yield self.both(sign, left, right)

        made, running = [], waiting()
        for _ in range(2):
            made += [next(running), self.both(sign, left, right)]
        return " ".join(_shown(each) + str(getattr(each, "is_leaf", None)) for each in made)

    def threads(self, position: int) -> None:
        """Passes of several threads, one after the other or at once, add up."""
        root = self.at(position)
        in_threads(*[root.backward] * 3)

    def copied(self, position: int) -> Any:
        import copy

        return copy.deepcopy(self.at(position))

    def pickled(self, position: int) -> Any:
        import pickle

        return pickle.loads(pickle.dumps(self.at(position)))

    def circle(self, position: int) -> None:
        """A gradient may be a Value, also one that was computed from it; nobody can add to it."""
        value = self.at(position)
        value.grad = value * 2.0


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(played(json.loads(line))) + "\n")
        sys.stdout.flush()
