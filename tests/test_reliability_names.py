"""No output and no message lets a terminal or XML obey what a name holds. Long form: ``--long``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import microbp
import viz
from microbp import MLP, Graph, Module, Value, fit
from microbp.optim import SGD
from microbp.text import Name, named, safe, shown

#: A bell, an escape sequence, NUL, a lone surrogate, a C1 control, a mark that turns the text, and markup.
HOSTILE = "w\x1b[2J\x07\x00\ud800\uffff\x9b31m\u202e\r<b>&\"'$\\_{x}"
OBEYED = set("\x1b\x07\x00\ud800\uffff\x9b\u202e\r")


class Holder(Module):
    def __init__(self, name: str) -> None:
        vars(self)[name] = Value(1.0)
        self.v = microbp.array([1.0, 2.0])

    def __call__(self, x: Any) -> Any:
        return (self.v * x).sum() * next(iter(vars(self).values()))


def texts(name: str, folder: Path) -> dict[str, Callable[[], Any]]:
    """Everything that shows a name: a text, or an error or a warning."""
    w, x = Value(0.5, name=name), Value(3.0, name=f"x{name}")
    with microbp.group(f"g{name}"):
        y = (w * x - 1.0).tanh() * w
    y.name = f"loss{name}"
    y.backward()
    net, far = Holder(name), Holder(name)
    vars(far)[name].data = float("inf")
    trace = microbp.trace(y, {})

    def step(command: str) -> str:
        out = io.StringIO()
        microbp.step(y, {}, commands=[command], stdin=io.StringIO(""), stdout=out)
        return out.getvalue()

    def diverged() -> None:
        w.grad = float("nan")
        try:
            SGD([w], lr=0.1).step()
        finally:
            w.grad = 1.0

    def loaded() -> None:
        net.save(folder / "net.npz")
        MLP(1, [1]).load(folder / "net.npz")

    made: dict[str, Callable[[], Any]] = {
        "repr": lambda: repr(w), "graph": lambda: str(Graph(y, {})), "graph repr": lambda: repr(Graph(y, {})),
        "trace": lambda: repr(trace), "markdown": lambda: microbp.explain(y, w, names={}).markdown,
        "explain": lambda: str(microbp.explain(y, w, names={})),
        "paths": lambda: str(microbp.paths(y, w, names={})),
        "explain zh": lambda: str(microbp.explain(y, w, names={}, language="zh")),
        "diagnose": lambda: microbp.diagnose(y, names={}), "audit": lambda: str(microbp.audit(y)),
        "check_gradients": lambda: str(microbp.check_gradients(y, names={})),
        "check_answers": lambda: str(microbp.check_answers(y, {name: 3.0})),
        "no answer": lambda: microbp.check_answers(y, {name: name}), "unknown": lambda: Graph(y)[f"q{name}"],
        "svg": lambda: viz.draw(y, names={}, title=name).svg, "dot": lambda: viz.draw(y, names={}).dot,
        "page": lambda: viz.page(y, names={}, title=name).html,
        "around": lambda: viz.draw(y, around=f"q{name}"),
        "bool": lambda: bool(w), "float": lambda: float(w), "log": lambda: Value(-1.0, name=name).log(),
        "frozen": lambda: setattr(y, "requires_grad", False), "constant": lambda: w.detach().backward(),
        "branch": lambda: microbp.compile(w * x if w < x else x, inputs=[x]).source,
        "source": lambda: microbp.compile(y, inputs=[x]).source, "program": lambda: str(microbp.compile(y)),
        "traced": lambda: microbp.compile(lambda q: q * w if q < w else q)(2.0),
        "state": lambda: net.load_state({}), "other state": lambda: net.load_state({f"q{name}": 1.0}),
        "file": loaded, "infinite": lambda: fit(far, [1.0], [1.0], loss="hinge"), "nan": diverged,
        "optimiser": lambda: fit(MLP(1, [1]), [[1.0]], [1.0], loss="hinge", optimiser=SGD([w], lr=0.1)),
        "loss": lambda: fit(net, [1.0], [1.0], loss=name), "engine": lambda: viz.draw(y, engine=name),
        "activation": lambda: MLP(1, [1], activation=name),
    }  # fmt: skip
    for command in ("where", "print {}", "break {}", "{}", "explain {}", "watch {}", "paths {}"):
        made[f"shell {command}"] = lambda command=command: step(command.replace("{}", name))
    return made


def said(make: Callable[[], Any]) -> str:
    """What is returned, printed, warned or raised."""
    out = io.StringIO()
    with redirect_stdout(out), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            made = make()
        except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
            made = str(error)
    returned = made if isinstance(made, str) else ""
    return "".join([returned, out.getvalue(), *(str(each.message) for each in warned)])


@pytest.mark.parametrize("what", texts("w", Path()))
def test_nothing_that_is_shown_is_obeyed(what: str, tmp_path: Path) -> None:
    told = said(texts(HOSTILE, tmp_path)[what])
    assert not OBEYED & set(told), what
    if what == "svg":
        ET.fromstring(told)  # noqa: S314 (it is the test)
        assert "<b>" not in told


@pytest.mark.parametrize(
    "what", ["no answer", "unknown", "around", "bool", "log", "branch", "state", "infinite", "loss", "graph"]
)
def test_a_long_name_does_not_fill_a_message(what: str, tmp_path: Path, long: bool) -> None:
    name = "w" * (1_000_000 if long else 20_000)
    assert 0 < len(said(texts(name, tmp_path)[what])) < 5_000


@pytest.mark.parametrize("what", texts("w", Path()))
def test_a_long_name_is_nowhere_shown_whole(what: str, tmp_path: Path, long: bool) -> None:
    told = said(texts("w" * (1_000_000 if long else 20_000), tmp_path)[what])
    assert "w" * 2_001 not in told
    assert len(told) < 200_000


def test_a_name_stays_what_was_given() -> None:
    w = Value(0.5, name=HOSTILE)
    graph = Graph(w * 2.0, {})
    assert (w.name, graph[HOSTILE].name, graph.names[0]) == (HOSTILE, HOSTILE, HOSTILE)
    assert type(named("w5")) is str
    assert (named(HOSTILE), f"{named(HOSTILE)}") == (HOSTILE, shown(HOSTILE))
    assert isinstance(named("w" * 1000), Name)


def test_each_medium_has_its_way() -> None:
    assert safe("a\x1b\n") == r"a\x1b\n"
    assert safe("a\x1b\n", lines=True) == "a\\x1b\n"
    assert safe("a\x1b\ud800", "xml") == "a␛�"
    assert safe("a/b", "file") == "a%2f;b"
    with pytest.raises(TypeError, match=r"^a name or a title is a str, not an object of type int$"):
        safe(5)  # type: ignore[arg-type]


class Hostile(str):
    """A str whose every text is an error."""

    __slots__ = ()
    __hash__ = str.__hash__

    def _refuse(self, *_: object) -> Any:
        raise ZeroDivisionError

    __repr__ = __str__ = __format__ = __eq__ = _refuse


class Number(float):
    """A float that does not say its number."""

    __hash__ = float.__hash__

    def _refuse(self, *_: object) -> Any:
        raise ZeroDivisionError

    __repr__ = __str__ = __format__ = __eq__ = _refuse


def test_a_name_and_a_number_of_a_kind_of_the_user_s_own_are_plain_ones() -> None:
    w = Value(Number(0.5), name=Hostile("w"))
    y = w * Number(2.0)
    y.backward()
    assert (type(w.name), type(w.data), w.grad) == (str, float, 2.0)
    w.name = Hostile("u")
    assert str(Graph(y, {})) == "u = 0.5\nv1 = mul(u, 2.0) = 1.0"
    assert "u" in str(microbp.explain(y, w, names={}))
