"""``Node``: what a Value is made of, its fields, the operators that record and the backward pass.

It is the class that is written here, or, where the extension is built, a type in C that does the same
(``native/value.c``). A node holds one or two operands in place, ``_a`` and ``_b``, beside their local
derivatives ``_da`` and ``_db``; more operands stand as tuples in ``_b`` and ``_db``. A literal operand has no
local derivative. A literal on the left changes places with the Value on the right, and the rule says so:
where ``_a`` is None there are many operands, or none. A frozen leaf has a mark in ``_b``, and one whose
number was changed the number before in ``_da``. This layout, rather than tuples throughout, keeps a recorded
binary operation to one object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microbp.backward import FROZEN, add_gradients
from microbp.compiled import operator, unary
from microbp.native import extension

__all__ = ["FIELDS", "Node"]

#: The names of the fields.
FIELDS = ("_a", "_b", "_da", "_data", "_db", "_note", "_pending", "_rule", "_upstream", "grad")


if not TYPE_CHECKING and extension is not None:
    Node = extension.Node
else:

    class Node:
        """The definition."""

        __slots__ = FIELDS

        #: What has been computed: the sum of this value's gradients, or None.
        grad: float | None
        _data: float
        #: A Rule, a Swapped one, or None for a leaf.
        _rule: Any
        _a: Any
        _b: Any
        _da: Any
        _db: Any
        #: The name, or the group, or (name, place, group), or these and a tuple of the comparisons it took
        #: part in; None where there is none of them.
        _note: Any
        #: The gradient of the running pass, or of the last one.
        _upstream: Any
        #: While a pass runs, how many uses of this node beyond one have still to pay in.
        _pending: Any

        # fmt: off
        __add__,     __radd__     = operator("add")
        __sub__,     __rsub__     = operator("sub")
        __mul__,     __rmul__     = operator("mul")
        __truediv__, __rtruediv__ = operator("div")
        __pow__,     __rpow__     = operator("pow")

        __neg__ = unary("neg");     __abs__ = unary("abs")
        exp = unary("exp");         expm1 = unary("expm1")
        log = unary("log");         log1p = unary("log1p");    sqrt = unary("sqrt")
        sin = unary("sin");         cos = unary("cos");        tan = unary("tan")
        asin = unary("asin");       acos = unary("acos");      atan = unary("atan")
        sinh = unary("sinh");       cosh = unary("cosh");      tanh = unary("tanh")
        sigmoid = unary("sigmoid"); relu = unary("relu");      erf = unary("erf");    erfc = unary("erfc")
        softplus = unary("softplus"); silu = unary("silu");    gelu = unary("gelu")
        # fmt: on

        def _pass(self) -> bool:
            """A backward pass; False where there is nothing to differentiate."""
            if self._rule is None and self._b is FROZEN:
                return False
            add_gradients(self)
            return True
