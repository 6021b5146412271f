"""A program as source for another array library: the matrices of replay, with nothing written in place.

The plan of the matrix form and its statements are those that run on NumPy. They are printed here as functions
of arrays alone: ``x.sum(axis=0)`` is ``np.sum(x, axis=0)``, a slice is ``np.part(x, np.s_[:, 0])``, and what
adds to a part of an array makes a new one, ``np.added(x, places, piece)``. ``np`` is then whatever has these
functions under NumPy's names, a *namespace*: of JAX, of PyTorch, or of what only notes that it was asked
(ONNX). Beside arithmetic, ``@``, comparisons, ``&`` and ``|`` of its arrays it has :data:`NEEDED`.

The gradient is that of Σ c·y over the outputs y with a cotangent c for each, with which the chain rule
begins: each output of each sample has an upstream gradient of its own.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from microbp.replay.axes import Array, Operand, arranged, contract, piece_of
from microbp.replay.code import Tree, call, name, text
from microbp.replay.forms import defined
from microbp.replay.function_graph import Captured
from microbp.replay.groups import CONSTANT, THETA
from microbp.replay.matrix import MANY, Plan
from microbp.replay.numpy_rules import HELPERS
from microbp.replay.passes import Contribution, Writer, covering, words_of

__all__ = ["NEEDED", "Functional"]

#: What a namespace has: ``leads`` says which element is the first of the largest of its row.
NEEDED = [
    "abs", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos",
    "arctan", "sqrt", "square", "sign", "power", "maximum", "minimum", "logaddexp", "erf", "erfc", "where",
    "sum", "max", "vdot", "einsum", "leads", "reshape", "transpose", "broadcast_to", "concatenate", "zeros",
    "part", "added", "constant", "inf", "nan", "s_",
]  # fmt: skip
#: What NumPy's source computes by looking at numbers, or in place.
_OWN = """\
def d_sigmoid(a, y):
    return np.where(a < 5.0, y * (1.0 - y), np.exp(-a) * y * y)


def d_tanh(a, y):
    return np.where(y * y < 0.9, 1.0 - y * y, 1.0 / np.square(np.cosh(a)))


def rest(weights):
    return np.sum(np.where(np.leads(weights), 0.0, weights), axis=-1)


def erf(a):
    return np.erf(a)


def erfc(a):
    return np.erfc(a)
"""
WRONG = {
    "many": "{0}: this graph is more than {1:,} array operations, and is not written out as such; a smaller "
        "one, or one of layers, is",
    "lacking": "{0}: {1} has no form in arrays",
    "shape": "the inputs have the shape {0}; this program takes {1} for one sample, and batches of shape "
        "(…, {2})",
    "theta": "theta is a vector of {0} numbers, as program.parameters; this one has the shape {1}",
    "gradient": "{0}: gradient is 'ours' or 'theirs', not {1!r}",
}  # fmt: skip


class Functional:
    """The functions of a captured graph; made once, and defined for each namespace."""

    def __init__(self, captured: Captured, caller: str, gradient: str = "theirs") -> None:
        if gradient not in ("ours", "theirs"):
            raise ValueError(WRONG["gradient"].format(caller, gradient))
        self.captured, self._caller, self.plan = captured, caller, Plan(captured)
        if not self.plan.has_matrices:
            raise ValueError(WRONG["many"].format(caller, MANY))
        writer = _Writer(self.plan)
        writer.forward()
        writer.assign("y", writer.outputs())
        #: The name of the vector of all parameters, and whether more than the arrays of it is used.
        self.theta, self.theta_used = self.plan.arrays[THETA].name, writer.theta_used
        #: ``value(x, theta, n)``: of inputs [n, inputs] and the vector of parameters outputs [n, outputs].
        self.value_source = self._source(f"value(x, {self.theta}, n)", writer, "y")

    @cached_property
    def slopes_source(self) -> str:
        """``slopes(x, theta, cotangents, n)`` with a cotangent for each output: dx, and dtheta."""
        plan, writer, theta = self.plan, _Writer(self.plan), self.theta
        writer.forward()
        writer.assign(f"d{theta}", call("np.zeros", (len(self.captured.params),)))
        for each in plan.used.values():
            writer.assign(f"d{each.name}", call("np.zeros", each.shape))
        cotangents = plan.names.counted("cotangents")
        writer.begin(Array(cotangents, (len(self.captured.outputs),), varies=True))
        writer.chain_rule()
        for each in plan.used.values():
            flat = call("np.reshape", name(f"d{each.name}"), (-1,))
            members = writer.constant(each.members.ravel(), "at")
            writer.assign(f"d{theta}", call("np.added", name(f"d{theta}"), members, flat))
        if not all(self.captured.trained):
            mask = writer.constant(np.array(self.captured.trained, dtype=float), "c")
            writer.assign(f"d{theta}", ast.BinOp(name(f"d{theta}"), ast.Mult(), mask))
        return self._source(f"slopes(x, {theta}, {cotangents}, n)", writer, f"dx, d{theta}")

    def batch(self, inputs: tuple[int, ...], theta: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the batch, of inputs and parameters of these shapes; ValueError where they misfit."""
        shape, count = self.captured.input_shape, (len(self.captured.params),)
        lead = len(inputs) - len(shape)
        if lead < 0 or inputs[lead:] != shape:
            raise ValueError(WRONG["shape"].format(inputs, shape, ", ".join(map(str, shape))))
        if theta != count:
            raise ValueError(WRONG["theta"].format(*count, theta))
        return inputs[:lead]

    def value(self, namespace: Any) -> Callable[..., Any]:
        """The function of that name, in the namespace."""
        return self._defined("value", self.value_source, namespace)

    def slopes(self, namespace: Any) -> Callable[..., Any]:
        """The function of that name, in the namespace."""
        return self._defined("slopes", self.slopes_source, namespace)

    def _source(self, head: str, writer: _Writer, result: str) -> str:
        lines = []
        for each in self.plan.used.values():
            members = writer.constant(each.members, "at")
            lines.append(f"{each.name} = {text(call('np.part', name(self.theta), members))}")
        lines += [*writer.printed(), f"return {result}"]
        if "dpow" in words_of(writer.statements):
            raise ValueError(WRONG["lacking"].format(self._caller, "a further derivative of a power"))
        helpers = "\n\n".join([_OWN, *(HELPERS[word] for word in ("sigmoid", "shift", "times"))])
        return "\n".join([helpers, "", f"def {head}:", *(f"    {line}" for line in lines)])

    def _defined(self, function: str, source: str, namespace: Any) -> Callable[..., Any]:
        made = defined(source)
        made["np"] = namespace
        made.update({word: namespace.constant(held) for word, held in self.plan.constants.values()})
        found: Callable[..., Any] = made[function]
        return found


class _Writer(Writer):
    """The statements of a plan, none of which writes into an array."""

    def add(self, target: Tree | None, value: Any, sign: str = "=", comment: str = "") -> None:
        """A line that computes something; what is about Python alone is left to the function around it."""
        if target is not None:
            super().add(target, value, sign, comment)

    def receive(self, target: Array, each: Contribution, sign: str = "+=", comment: str = "") -> None:
        """``target[places] += piece``, as a new array."""
        if covering(target, each) is not None:
            super().receive(target, each, sign, comment)
            return
        operand, make = each
        layout = (*(("n",) if target.varies else ()), *operand.axes)
        piece = arranged(make(layout), layout)
        at, into = self.constant(operand.held, "at"), name(target.name)
        if len(target.shape) > 1:
            flat = call("np.reshape", into, (-1,))
            made = call("np.reshape", call("np.added", flat, at, piece), target.shape)
        else:
            made = call("np.added", into, at, piece)
        self.add(into, made, "=", comment)

    def begin(self, cotangents: Array) -> None:
        """Pass a cotangent to each output, as its upstream gradient."""
        plan, one = self.plan, piece_of(1.0)
        for home, (places, which) in plan.outputs.items():
            if home != CONSTANT and plan.takes(home):
                held, sizes = np.array(places), {"n": None, "o": len(which)}
                piece, _ = self.view(cotangents, Operand(home, np.array(which), ("o",)))
                operand = Operand(home, held).along(plan.array(home), ("o",), held.shape)
                self.found[home].append((operand, partial(contract, piece, one, sizes=sizes)))

    def printed(self) -> list[str]:
        """The lines."""
        lines = []
        for line in self.statements:
            assert line.target is not None
            word = line.target.value if isinstance(line.target, ast.Subscript) else line.target
            value = text(_Functions().visit(copy.deepcopy(line.value)))
            sums = line.sign == "+=" or word is not line.target  # the whole of what begins with 0
            lines.append(f"{text(word)} = {f'{text(word)} + {value}' if sums else value}")
        return lines


class _Functions(ast.NodeTransformer):
    """Methods and indices as functions of arrays."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Attribute(value=of, attr="reshape" | "transpose" as word), args=args):
                return call(f"np.{word}", of, ast.Tuple(args))
            case ast.Call(func=ast.Attribute(value=of, attr="copy")):
                return of
            case ast.Call(func=ast.Attribute(value=of, attr=word), args=args, keywords=keywords):
                return ast.Call(name(f"np.{word}"), [of, *args], keywords)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        return call("np.part", node.value, ast.Subscript(name("np.s_"), node.slice))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        return call("np.transpose", node.value) if node.attr == "T" else node
