"""What ``fit`` and programs take for data: frames, and files that are larger than memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import microbp
from microbp import MLP, Value, fit
from microbp.optim import Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])


def trained(X: Any, Y: Any, **settings: Any) -> tuple[list[float], Any]:
    net = MLP(3, [4, 1], activation="tanh", seed=1)
    settings = {"loss": "mean_squared_error", "epochs": 4, "batch_size": 16, **settings}
    history = fit(net, X, Y, optimiser=Adam(net.parameters(), lr=0.01), **settings)
    return [each.data for each in net.parameters()], history


def mapped(folder: Path, numbers: Any, dtype: Any = float, name: str = "rows") -> Any:
    file = np.memmap(folder / name, dtype=dtype, mode="w+", shape=numbers.shape)
    file[:] = numbers
    return file


@pytest.mark.parametrize(
    ("frame", "targets"),
    [
        (FRAME, pd.Series(Y)),
        (FRAME.set_index(RNG.permutation(60)), pd.DataFrame({"y": Y})),
        (FRAME.astype(object), Y.tolist()),
        (FRAME.convert_dtypes(), pd.Series(Y, dtype="Float64")),
    ],
    ids=["frame", "index", "object", "nullable"],
)
def test_a_frame_is_its_numbers(frame: pd.DataFrame, targets: Any) -> None:
    parameters, history = trained(frame, targets, validation=(frame, targets))
    right, same = trained(X, Y, validation=(X, Y))
    assert history.cost == same.cost
    assert history.validation_cost == same.validation_cost
    assert parameters == right


def test_a_frame_that_holds_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"X\[0, 3\] takes a real number, not the str 'red'"):
        trained(FRAME.assign(colour="red"), Y)
    with pytest.raises(TypeError, match=r"X\[1, 0\] takes a real number, not an object of type NAType"):
        trained(FRAME.astype("Float64").shift(1).iloc[[1, 0]], Y[:2])
    with pytest.raises(ValueError, match=r"X\[2, 1\] is nan, the first of 1 that are not finite"):
        trained(FRAME.mask(FRAME.eq(X[2, 1])), Y)


def test_a_program_takes_a_frame() -> None:
    w, x = microbp.array([1.0, 2.0, 3.0], "w"), microbp.array([0.0, 0.0, 0.0], "x")
    program = microbp.compile(np.sum(w * x) ** 2, inputs=x, params=w)
    assert np.array_equal(program(FRAME), program(X))
    assert program.value_and_grad(FRAME).cost == program.value_and_grad(X).cost
    assert np.array_equal(program(FRAME.astype(object)), program(X))


def test_numbers_between_addresses_are_numbers() -> None:
    w, x = Value(2.0, "w"), Value(1.0, "x")
    program = microbp.compile((w * x - 1.0) ** 2, inputs=[x], params=[w])
    rows = np.frombuffer(b"." + np.arange(5.0).tobytes(), offset=1).reshape(5, 1)
    theta = np.frombuffer(b"." + np.array([3.0]).tobytes(), offset=1)
    assert not rows.flags.aligned
    assert program(rows, theta).tolist() == [1.0, 4.0, 25.0, 64.0, 121.0]
    assert program.value_and_grad(rows, theta, wrt_inputs=True).gradient.tolist() == [32.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_a_file_trains_as_its_numbers_do(tmp_path: Path, dtype: Any) -> None:
    rows = (X * 4.0).astype(dtype)
    settings = {"validation": 0.2, "penalty": 0.01, "shuffle": True}
    parameters, history = trained(mapped(tmp_path, rows, dtype), Y, **settings)
    right, same = trained(rows.astype(float), Y, **settings)
    assert history.engine == same.engine == "replay"
    assert np.allclose(parameters, right, rtol=1e-12, atol=0.0)
    assert np.allclose(history.validation_cost, same.validation_cost, rtol=1e-12)
    eager, _ = trained(mapped(tmp_path, rows, dtype), mapped(tmp_path, Y, name="Y"), engine="eager", epochs=1)
    assert np.allclose(eager, trained(rows.astype(float), Y, engine="eager", epochs=1)[0], rtol=1e-12)


def test_what_is_not_finite_in_a_file_is_found_wherever_it_stands(tmp_path: Path) -> None:
    rows = np.zeros((20_000, 3))
    rows[17_003, 1] = rows[19_000, 0] = np.nan
    with pytest.raises(ValueError, match=r"X\[17003, 1\] is nan, the first of 2 that are not finite"):
        trained(mapped(tmp_path, rows), np.zeros(20_000))
    with pytest.raises(TypeError, match="X holds real numbers, not complex128"):
        trained(mapped(tmp_path, X.astype(complex), complex), Y)


def test_a_run_over_a_file_resumes_and_knows_another_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    trained(mapped(tmp_path, X), Y, epochs=2, checkpoint=kept)
    parameters, _ = trained(mapped(tmp_path, X), Y, epochs=4, resume=kept)
    assert parameters == trained(mapped(tmp_path, X), Y, epochs=4)[0]
    with pytest.raises(microbp.NotLoaded, match="data"):
        trained(mapped(tmp_path, X + 1.0), Y, epochs=4, resume=kept)


LARGE = """
import resource, sys
import numpy as np
import microbp

rows, columns = 50_000, 400  # 160 MB
X = np.memmap(sys.argv[1], dtype=float, mode="r", shape=(rows, columns))
Y = np.arange(rows) % 2
net = microbp.MLP(columns, [1], seed=1)
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 100_000_000, -1))  # of its own, beside what is mapped
history = microbp.fit(net, X, Y, loss="binary_cross_entropy", batch_size=5_000, epochs=1, shuffle=False)
print(history.engine, len(history.step_cost), net.predict(X).shape)
np.zeros(20_000_000)
"""


def test_a_file_larger_than_the_memory_that_there_is(tmp_path: Path) -> None:
    with (tmp_path / "rows").open("wb") as file:
        file.truncate(50_000 * 400 * 8)  # a hole: zeros that take no room
    run = subprocess.run(
        [sys.executable, "-c", LARGE, tmp_path / "rows"], capture_output=True, text=True, check=False
    )
    assert run.stdout == "replay 10 (50000,)\n", run.stderr
    assert "MemoryError" in run.stderr.splitlines()[-1]  # as much cannot be had at once
