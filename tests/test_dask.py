"""Dask: gradients over the partitions of an array equal those of one machine, also when a worker is killed.

On a real cluster of two processes, which talk over the loopback device.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from threading import Timer
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

import microbp
from microbp import MLP, Value, fit
from microbp.optim import Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 3))
Y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
TABLE = np.column_stack([X, Y])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),  # imports once for all
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        yield client


def squared_error() -> microbp.Program:
    net = MLP(3, [5, 1], activation="tanh", seed=1)
    x, t = microbp.array(np.zeros(3), "x"), Value(0.0, "t")
    program: microbp.Program = microbp.compile((net(list(x)) - t) ** 2, [*x, t], net.parameters())
    return program


@pytest.mark.parametrize(
    ("chunks", "reduce"), [((250, 4), "sum"), (((1, 399, 200), 2), "mean"), ((20, -1), "mean")]
)
@pytest.mark.usefixtures("client")
def test_the_sum_over_partitions_is_that_of_one_machine(chunks: Any, reduce: Any) -> None:
    program = squared_error()
    right = program.value_and_grad(TABLE, reduce=reduce)
    found = program.map_reduce(da.from_array(TABLE, chunks=chunks), reduce=reduce)  # by the current client
    assert found.cost == pytest.approx(right.cost, rel=1e-12)
    assert np.abs(found.gradient - right.gradient).max() <= 1e-12 * np.abs(right.gradient).max()
    assert found.arrays.keys() == right.arrays.keys()


def test_the_order_of_the_sum_is_fixed(client: Client) -> None:
    program, data = squared_error(), da.from_array(TABLE, chunks=(30, -1)).persist()
    theta = program.parameters + 0.1
    found = [program.map_reduce(data, theta, client=client) for _ in range(4)]
    assert len({(each.cost, each.gradient.tobytes()) for each in found}) == 1
    assert not np.allclose(found[0].gradient, program.map_reduce(TABLE).gradient)


def test_what_a_partition_raises_arrives(client: Client) -> None:
    w, x = Value(1.0, "w"), Value(1.0, "x")
    program = microbp.compile((w * x).log(), inputs=[x], params=[w])
    with pytest.raises(microbp.UndefinedOperation, match="log"):
        program.map_reduce(np.linspace(2.0, -1.0, 10).reshape(10, 1), client=client)
    with pytest.raises(ValueError, match=r"the inputs have the shape \(5, 2\); this program takes \(1,\)"):
        program.map_reduce(np.ones((10, 2)), client=client)
    with pytest.raises(ValueError, match=r"data have a row for each sample, not the shape \(0, 1\)"):
        program.map_reduce(np.ones((0, 1)), client=client)
    with pytest.raises(ValueError, match="reduce is 'mean' or 'sum', not 'max'"):
        program.map_reduce(np.ones((2, 1)), client=client, reduce="max")


def trained(X: Any, Y: Any, **settings: Any) -> tuple[Any, Any]:
    net = MLP(3, [5, 1], activation="tanh", seed=1)
    rate = settings.pop("rate", 0.01)
    settings = {"loss": "mean_squared_error", "epochs": 2, **settings}
    history = fit(net, X, Y, optimiser=Adam(net.parameters(), lr=rate), **settings)
    return np.array([each.data for each in net.parameters()]), history


def lazily(*, rows: int) -> tuple[Any, Any]:
    return da.from_array(X, chunks=(rows, 2)), da.from_array(Y, chunks=100)


SETTINGS: list[dict[str, Any]] = [
    {"epochs": 3}, {"batch_size": 256, "penalty": 0.01}, {"batch_size": 300, "validation": 0.25, "clip": 1.0},
]  # fmt: skip


@pytest.mark.parametrize(("settings", "lazy"), [*zip(SETTINGS, [False, True, True], strict=True)])
def test_a_net_trains_as_on_one_machine(client: Client, settings: dict[str, Any], lazy: bool) -> None:
    parameters, history = trained(*(lazily(rows=150) if lazy else (X, Y)), client=client, **settings)
    right, same = trained(X, Y, **settings)
    assert history.engine == "replay"
    assert np.abs(parameters - right).max() <= 1e-12
    assert np.allclose(history.step_cost, same.step_cost, rtol=1e-12)
    assert np.allclose(history.validation_cost, same.validation_cost, rtol=1e-12)


def test_a_worker_that_is_killed_takes_nothing_with_it(client: Client) -> None:
    def running() -> dict[str, int]:
        pids: dict[str, int] = client.run(os.getpid, on_error="ignore")
        return pids

    def rate(step: int) -> float:
        if step == 4:  # in the middle of the second epoch, while the next gradient is on its way
            killed.append(victim)
            Timer(0.003, os.kill, [victim, signal.SIGKILL]).start()
        return 0.01

    killed: list[int] = []
    victim = next(iter(running().values()))
    parameters, history = trained(*lazily(rows=75), client=client, batch_size=200, rate=rate)
    right, same = trained(X, Y, batch_size=200)
    assert killed == [victim]
    assert np.abs(parameters - right).max() <= 1e-12
    assert np.allclose(history.step_cost, same.step_cost, rtol=1e-12)
    assert victim not in running().values()


def test_what_cannot_be_spread_is_refused(client: Client) -> None:
    class Leaky(MLP):
        def __call__(self, x: Any) -> Any:
            z = super().__call__(x)
            return z if z > 0 else 0.1 * z

    with pytest.raises(ValueError, match="client=…, but this run cannot be replayed: the net chooses a br"):
        fit(Leaky(3, [1], seed=1), X, Y, loss="mean_squared_error", client=client)
    with pytest.raises(ValueError, match="engine='eager' records samples here, and leaves a client nothing"):
        trained(X, Y, client=client, engine="eager")
    with pytest.raises(TypeError, match=r"client is a dask\.distributed\.Client, not 'tcp://"):
        trained(X, Y, client="tcp://127.0.0.1:8786")
    bad = X.copy()
    bad[7] = np.nan
    with pytest.raises(microbp.NotFinite, match=r"Sample X\[7\] shows it by itself"):
        trained(da.from_array(bad, chunks=(50, 3)), Y, client=client)


def test_a_dask_array_trains_here_in_batches() -> None:
    with dask.config.set(scheduler="synchronous"):
        parameters, _ = trained(*lazily(rows=150), batch_size=200, epochs=1)
    assert np.allclose(parameters, trained(X, Y, batch_size=200, epochs=1)[0], rtol=1e-12)


def test_a_missing_dask_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"client is a dask\.distributed\.Client, not 5"):
        squared_error().map_reduce(TABLE, client=5)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'microbp\[dask\]'"):
        squared_error().map_reduce(TABLE)
