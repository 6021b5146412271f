"""microbp: see every gradient. A scalar autograd to read, step through and trust.

``Value`` records each scalar operation; ``backward()`` applies the chain rule to the record.
Every derivative stands once, in :mod:`microbp.rules`.

>>> import microbp
>>> w = microbp.Value(0.4, name="w")
>>> loss = (w * 3.0 - 1.0) ** 2
>>> loss.backward()
>>> w.grad
1.200000000000001
"""

import builtins

from microbp import functions
from microbp.array import Array, array, data_of, grad_of
from microbp.differentiate import grad
from microbp.errors import BranchError, MicrobpError, NoGradientError, RuleError, UndefinedOperation
from microbp.functions import *  # noqa: F403 (its __all__ is the list of operations)
from microbp.graph import Graph, Node
from microbp.value import Value, no_grad, record_sites

__version__ = "0.1.0"

__all__ = [
    "Array", "BranchError", "Graph", "MicrobpError", "NoGradientError", "Node", "RuleError",
    "UndefinedOperation", "Value", "array", "data_of", "grad", "grad_of", "no_grad", "record_sites",
]  # fmt: skip
# A star import must not hide Python's own abs, max, pow and sum.
__all__ += [name for name in functions.__all__ if not hasattr(builtins, name)]
