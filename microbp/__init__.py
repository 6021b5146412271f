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

# fmt: off
from microbp import layers, losses, nn, notation, optim
from microbp.answers import check_answers
from microbp.array import routines as routines  # NumPy's functions of arrays, which Array looks up
from microbp.array import Array, array, data_of, grad_of
from microbp.bridges import (  # which check gradients of other libraries, and give programs methods
    dask as _dask, gradients as _gradients, to_jax as to_jax, to_torch as to_torch,  # noqa: F401
)
from microbp.bridges.from_onnx import from_onnx
from microbp.bridges.to_onnx import to_onnx
from microbp.bridges.scipy import Minimum, minimize
from microbp.calls import told_in
from microbp.check import audit, check_gradients, numerical_gradient
from microbp.check.rules import check_rule
from microbp.debug import (
    Contribution, Diagnosis, Explanation, Finding, MatrixExplanation, Paths, Step, Trace, diagnose, explain,
    paths, step, trace,
)
from microbp.define import define
from microbp.differentiate import grad
from microbp.errors import (
    BranchChanged, BranchError, BranchWarning, GrowingGraphWarning, MicrobpError, NoGradientError,
    NotFiniteResult, NotLoaded, NotSavedWarning, RuleError, StaleProgram, TooManyValues, UndefinedOperation,
)
from microbp.functions import (
    Operation, abs as abs, acos, asin, atan, clip, cos, cosh, cross_entropy, dot, elu, erf, erfc, exp,
    expm1, gelu, leaky_relu, log, log1p, log_softmax, logsumexp,
    max as max, maximum, minimum, pow as pow, relu,
    select, sigmoid, silu, sin, sinh, softmax, softplus, sqrt, sum as sum, tan, tanh,
)
from microbp.graph import Graph, Node
from microbp.recording.groups import group
from microbp.native import Engine, engine
from microbp.nn import MLP, Layer, Module, Neuron
from microbp import predict as predict  # Module.predict
from microbp.training import History, NotFinite, fit
from microbp.record import no_grad, record_sites
from microbp.replay import Program, compile as compile
from microbp.value import Value

__version__ = "0.1.0"

# A star import must not hide Python's own abs, max, pow and sum: those are microbp.abs and so on.
__all__ = [
    "MLP",
    "Array",
    "BranchChanged",
    "BranchError",
    "BranchWarning",
    "Contribution",
    "Diagnosis",
    "Engine",
    "Explanation",
    "Finding",
    "Graph",
    "GrowingGraphWarning",
    "History",
    "Layer",
    "MatrixExplanation",
    "MicrobpError",
    "Minimum",
    "Module",
    "Neuron",
    "NoGradientError",
    "Node",
    "NotFinite",
    "NotFiniteResult",
    "NotLoaded",
    "NotSavedWarning",
    "Operation",
    "Paths",
    "Program",
    "RuleError",
    "StaleProgram",
    "Step",
    "TooManyValues",
    "Trace",
    "UndefinedOperation",
    "Value",
    "acos",
    "array",
    "asin",
    "atan",
    "audit",
    "check_answers",
    "check_gradients",
    "check_rule",
    "clip",
    "cos",
    "cosh",
    "cross_entropy",
    "data_of",
    "define",
    "diagnose",
    "dot",
    "elu",
    "engine",
    "erf",
    "erfc",
    "exp",
    "explain",
    "expm1",
    "fit",
    "from_onnx",
    "gelu",
    "grad",
    "grad_of",
    "group",
    "layers",
    "leaky_relu",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "losses",
    "maximum",
    "minimize",
    "minimum",
    "nn",
    "no_grad",
    "notation",
    "numerical_gradient",
    "optim",
    "paths",
    "record_sites",
    "relu",
    "select",
    "sigmoid",
    "silu",
    "sin",
    "sinh",
    "softmax",
    "softplus",
    "sqrt",
    "step",
    "tan",
    "tanh",
    "to_onnx",
    "trace",
]
# fmt: on

# Operations look at their operands themselves, and are called for every one.
told_in(globals(), but=(Value, Array, Operation))
