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

from microbp.array import Array, array, data_of, grad_of
from microbp.differentiate import grad
from microbp.errors import (
    BranchError,
    MicrobpError,
    NoGradientError,
    RuleError,
    UndefinedOperation,
)
from microbp.functions import *  # noqa: F403
from microbp.graph import Graph, Node
from microbp.value import Value, no_grad, record_sites

__version__ = "0.1.0"
