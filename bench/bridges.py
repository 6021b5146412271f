"""The bridges to PyTorch and JAX, which no test run installs: python bench/bridges.py [PROGRAMS].

It stops at the first thing that is not as promised. The examples of docs/bridges.md that need these libraries
come last; PROGRAMS is how many of each kind are drawn at random and run on both.
"""

from __future__ import annotations

import doctest
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import microbp
from microbp import Value, check_gradients

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from replay_programs import KINDS, Drawn, drawn  # noqa: E402 (beside the tests)

SEEDS = range(int(sys.argv[1]) if len(sys.argv) > 1 else 12)


def near(ours: Any, theirs: Any, tolerance: float, what: str) -> float:
    """The largest difference, relative to numbers above 1; AssertionError where it is too large."""
    a, b = (np.asarray(each, dtype=float) for each in (ours, theirs))
    assert a.shape == b.shape, f"{what}: the shape is {a.shape}, not {b.shape}"
    off = float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)), initial=0.0))
    assert off <= tolerance, f"{what}: {off:.1e} off, more than {tolerance:.0e}"
    return off


# ------------------------------------------------------------------------------------------ the page
def examples() -> str:
    """The examples of the page that are marked as text, for they need these libraries."""
    page = (ROOT / "docs" / "bridges.md").read_text(encoding="utf-8")
    blocks = [each for each in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if each.startswith(">>>")]
    assert len(blocks) == 4
    count = 0
    for block in blocks:
        test = doctest.DocTestParser().get_doctest(block, {}, "docs/bridges.md", None, None)
        found = doctest.DocTestRunner().run(test)
        assert not found.failed, "docs/bridges.md does not tell the truth"
        count += found.attempted
        jax.config.update("jax_enable_x64", False)
    return f"{count} examples of docs/bridges.md"


# ------------------------------------------------------------------------------------- their engines
def on_jax(program: Any, gradient: str, x: Any, theta: Any, upstream: Any) -> tuple[Any, ...]:
    """Outputs and gradients of Σ upstream · outputs."""
    f = jax.jit(program.to_jax(gradient=gradient))
    slopes = jax.grad(lambda x, theta: (f(x, theta) * upstream).sum(), argnums=(0, 1))
    return f(x, theta), *slopes(x, theta)


def on_torch(program: Any, gradient: str, x: Any, theta: Any, upstream: Any) -> tuple[Any, ...]:
    """The same."""
    x, theta = (torch.tensor(each, requires_grad=True) for each in (x, theta))
    y = program.to_torch(gradient=gradient)(x, theta)
    if y.requires_grad:
        (y * torch.tensor(upstream)).sum().backward()
    slopes = [torch.zeros_like(each) if each.grad is None else each.grad for each in (x, theta)]
    return y.detach(), *slopes


def eager(made: Drawn, upstream: Any) -> tuple[Any, ...] | None:
    """Outputs and gradients of the eager engine; None where one of them is not finite."""
    values, total, inputs = [], np.zeros(len(made.params)), []
    for row, weights in zip(made.x.tolist(), upstream.tolist(), strict=True):
        leaves = [Value(each) for each in row]
        results = made.run(leaves)
        root = microbp.dot(results, weights)
        if isinstance(root, Value):
            root.backward()
        values.append([each.data if isinstance(each, Value) else each for each in results])
        total += [each.grad or 0.0 if each.requires_grad else 0.0 for each in made.params]
        inputs.append([each.grad or 0.0 for each in leaves])
        for each in made.params:
            each.grad = None
    found = np.array(values), np.array(inputs), total
    return found if all(np.isfinite(each).all() for each in found) else None


def engines() -> str:
    """Programs drawn at random; what the libraries differentiate themselves, on nets that are smooth."""
    jax.config.update("jax_enable_x64", True)
    worst, count = 0.0, 0
    for seed in SEEDS:
        for kind in KINDS:
            made = drawn(kind, seed)
            sample = [Value(float(each)) for each in made.x[0]]
            program = microbp.compile(made.run(sample), inputs=sample, params=made.params, finite=False)
            upstream = np.random.default_rng(seed).normal(size=(len(made.x), len(program.captured.outputs)))
            said, theta = eager(made, upstream), np.array([each.data for each in made.params])
            for name, run in (("JAX", on_jax), ("PyTorch", on_torch)):
                found = run(program, "ours", made.x, theta, upstream)
                parts = zip(("values", "d inputs", "d theta"), found, said or (), strict=False)
                for what, ours, theirs in parts:
                    worst = max(worst, near(ours, theirs, 1e-11, f"{name}, {kind} {seed}, {what}"))
                    count += 1
    for activation in ("tanh", "sigmoid", "softplus", "gelu", "sin"):
        net = microbp.MLP(3, [5, 2], activation=activation, seed=1)
        sample = [Value(0.0) for _ in range(3)]
        program = microbp.compile(net(sample), inputs=sample, params=net.parameters())
        x, upstream = (np.random.default_rng(2).normal(size=shape) for shape in ((4, 3), (4, 2)))
        for name, run in (("JAX", on_jax), ("PyTorch", on_torch)):
            theta = program.parameters
            pair = [run(program, gradient, x, theta, upstream) for gradient in ("ours", "theirs")]
            for ours, theirs in zip(*pair, strict=True):
                worst = max(worst, near(ours, theirs, 1e-12, f"{name}, {activation}, theirs"))
                count += 1
    leaf, at = Value(0.0), np.array([[1.0], [np.nan], [-1.0]])
    for operation in (microbp.relu, abs, microbp.leaky_relu):
        program = microbp.compile(operation(leaf), inputs=leaf, finite=False)
        for name, run in (("JAX", on_jax), ("PyTorch", on_torch)):
            slopes = run(program, "ours", at, np.empty(0), np.ones(3))[1]
            assert [*np.isnan(np.ravel(slopes))] == [False, True, False], f"{name}: {operation} after nan"
            count += 1
    program = microbp.compile(net(sample), inputs=sample, params=net.parameters())
    single = program.to_torch()(torch.ones(4, 3), torch.tensor(program.parameters).float())
    assert single.dtype == torch.float32
    jax.config.update("jax_enable_x64", False)
    assert program.to_jax()(np.ones((4, 3))).dtype == np.float32
    return f"{count} arrays of values and gradients on JAX and PyTorch, at most {worst:.1e} off"


# --------------------------------------------------------------------------------- other people's nets
class Small(torch.nn.Module):
    """A convolution with all that goes with it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3)
        self.pool, self.drop = torch.nn.MaxPool2d(2), torch.nn.Dropout()
        self.fc, self.gain = torch.nn.Linear(12, 4), torch.nn.Parameter(torch.tensor(0.7))
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2.0)

    def forward(self, x: Any) -> Any:
        """Logarithms of probabilities."""
        x = self.pool(torch.nn.functional.leaky_relu(self.norm(self.conv(x)), 0.1))
        x = self.drop(self.fc(x.flatten(1)) * self.gain)
        return torch.log_softmax(x.clamp(-3.0, 3.0) + torch.nn.functional.gelu(x), 1)


def mlp(*between: Any) -> Any:
    """Two layers, and what stands between them."""
    return torch.nn.Sequential(torch.nn.Linear(3, 4), *between, torch.nn.Linear(4, 2))


class Attention(torch.nn.Module):
    """One head."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (torch.nn.Linear(3, 3) for _ in range(3))
        self.norm = torch.nn.LayerNorm(3)

    def forward(self, x: Any) -> Any:
        """Rows weighted by their likeness."""
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 2.0  # exporters round √3 to single precision
        return self.norm(x + torch.softmax(scores, -1) @ self.v(x)).mean(1)


NETS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "tanh": (lambda: mlp(torch.nn.Tanh()), (5, 3)),
    "relu": (lambda: mlp(torch.nn.ReLU()), (5, 3)),
    "elu, softplus": (lambda: mlp(torch.nn.ELU(0.7), torch.nn.Softplus()), (5, 3)),
    "silu, selu, mish": (lambda: mlp(torch.nn.SiLU(), torch.nn.SELU(), torch.nn.Mish()), (5, 3)),
    "convolution": (Small, (2, 1, 4, 4)),
    "attention": (Attention, (2, 4, 3)),
}


def nets() -> str:
    """Nets from both exporters of PyTorch: their values, and the gradients of parameters that they keep."""
    worst, count = 0.0, 0
    for name, (build, shape) in NETS.items():
        torch.manual_seed(1)
        module = build().double().eval()
        x = torch.randn(shape, dtype=torch.double, requires_grad=True)
        for dynamo in (True, False):
            model = exported(module, x, dynamo)
            what = f"{name}, {'torch.export' if dynamo else 'TorchScript'}"
            net = microbp.from_onnx(model)
            given = microbp.array(x.detach().numpy(), name="x")
            found, said = net(given), module(x)
            worst = max(worst, near(microbp.data_of(found), said.detach(), 1e-12, what))
            weights = np.random.default_rng(3).normal(size=said.shape)
            held = net.state()
            own = {  # the exporters fold the normalisation into the convolution before it
                word: each
                for word, each in module.named_parameters()
                if word in held and np.array_equal(held[word], each.detach())
            }
            assert len(own) >= 2, what
            loss, theirs = np.sum(found * weights), (said * torch.tensor(weights)).sum()
            slopes = torch.autograd.grad(theirs, [x, *own.values()])
            loss.backward()
            ours = [given, *(net._weights[name] for name in own)]
            for word, mine, slope in zip(["x", *own], ours, slopes, strict=True):
                worst = max(worst, near(microbp.grad_of(mine), slope, 1e-10, f"{what}, d {word}"))
                count += 1
    return f"{count} arrays of gradients of nets from PyTorch, at most {worst:.1e} off"


def exported(module: Any, x: Any, dynamo: bool) -> Any:
    """The model of a module."""
    import io

    import onnx

    if dynamo:
        return torch.onnx.export(module, (x,), dynamo=True, verbose=False)
    held = io.BytesIO()
    torch.onnx.export(module, (x,), held, dynamo=False)
    return onnx.load_model_from_string(held.getvalue())


# -------------------------------------------------------------------------------- anybody's gradient
class Planted(torch.autograd.Function):
    """x³ with a derivative that is wrong beyond 1, by a tenth of a percent."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        """The value."""
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The derivative."""
        (x,) = ctx.saved_tensors
        return upstream * 3.0 * x**2 * torch.where(x > 1.0, 1.001, 1.0)


def gradients() -> str:
    """Right ones agree, planted errors are found where they are."""
    w = torch.tensor([[0.5, 2.0], [-1.0, 0.3]])
    report = check_gradients(Planted.apply, w, show=False)
    assert [row.name for row in report.rows if row.verdict == "DISAGREE"] == ["w[0,1]"], str(report)
    assert report.counts["agree"] == 3
    count = len(report.rows)
    right: list[tuple[Any, Any]] = [
        (mlp(torch.nn.Tanh()), torch.randn(2, 3)),
        (Small().eval(), torch.randn(1, 1, 4, 4)),
        (lambda a, b: (a @ b).exp().sum(), (torch.randn(2), torch.randn(2))),
        (lambda a, which: a[which].sin().sum(), (torch.randn(3), torch.tensor([0, 2]))),
        (lambda a: [a.sum(), a * a], torch.randn(3)),
        (jnp.tanh, jnp.array([0.1, 2.0])),
        (lambda t: t["W"] @ t["x"], {"W": jnp.ones((2, 2)), "x": jnp.array([0.3, 1.0])}),
        (lambda a, b: (a * b).sum(), (jnp.ones(2), jnp.array([2.0, 3.0]))),
    ]
    for f, x in right:
        report = check_gradients(f, x, show=False)
        assert report.counts["agree"] == len(report.rows), str(report)
        count += len(report.rows)
    held = torch.randn(4)
    for f in (lambda x: (held * x).tanh().sum(), lambda x: (held * x).tanh().sum().float()):
        report = check_gradients(f, torch.randn(4), show=False)
        assert report.ok, str(report)
        count += len(report.rows)
    lost = check_gradients(lambda x: (x.detach() ** 2).sum(), torch.tensor([1.0, 2.0]), show=False)
    assert lost.counts == {"DISAGREE": 2}, str(lost)
    given = check_gradients(
        lambda a, b: (a * b).sum(), (torch.ones(2), torch.ones(2)), show=False,
        gradient=lambda _, b: (b, torch.tensor([1.0, 1.5])),
    )  # fmt: skip
    assert [row.name for row in given.rows if row.verdict == "DISAGREE"] == ["x1[1]"], str(given)
    assert jnp.ones(1).dtype == np.float32, "double precision was left switched on"
    return f"{count + 6} gradients of functions of PyTorch and JAX"


def main() -> None:
    """All of it."""
    warnings.simplefilter("ignore")  # what exporters say of themselves
    torch.set_num_threads(1)  # all is small
    for part in (gradients, nets, engines, examples):
        sys.stdout.write(f"{part()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
