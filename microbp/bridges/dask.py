"""Dask: the gradient of a cost over samples on many machines, as one machine has it but for rounding.

Each partition of a Dask array gives the sum of its samples' costs and its gradient, computed where it is by
the program, pickled. These are added up as a tree in a fixed order, so that a result does not depend on who
was quicker. All of it is tasks that Dask knows how to repeat: what a worker takes with it when it dies is
computed anew by the others.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from microbp.bridges import need
from microbp.replay.program import Gradients, Program, as_floats
from microbp.training.engines import Samples
from microbp.training.stored import Stored, is_lazy

__all__ = ["map_reduce"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
#: So many vectors are added by one task: a task costs the scheduler more than it costs to add.
_FAN = 8


def map_reduce(
    self: Program,
    data: Any,
    theta: Floats | None = None,
    *,
    client: Any = None,
    reduce: Literal["mean", "sum"] = "mean",
) -> Gradients:
    """The cost and its gradient over all samples of a Dask array, computed where its partitions are.

    ``data`` has the shape ``(samples, inputs)``, and partitions along the samples; what is no Dask array is
    cut into one for each thread of the workers. Keep it on the workers between calls with
    ``data = data.persist()``. ``client`` is the current one unless it is given. The result equals that of
    :meth:`Program.value_and_grad` to 1e-12; its ``costs`` stay where they are, and are empty here.

    ``docs/dask.md`` has an example that is run.

    Raises ImportError where Dask is missing, ValueError for data that do not fit or without samples, and what
    the program raises of a partition.
    """
    if reduce not in ("mean", "sum"):
        raise ValueError(f"reduce is 'mean' or 'sum', not {reduce!r}")
    theta = self.parameters if theta is None else self._vector(theta)
    spread, gradient = _Spread(self, data, client), np.empty(len(theta))
    cost = spread(None, theta, gradient, reduce)
    return Gradients(cost, np.empty(0), gradient, None, self._form, self._leaves.params)


class _Spread:
    """A program on all workers, and the partitions of its data."""

    def __init__(self, program: Program, data: Any, client: Any) -> None:
        distributed = need("distributed", "dask")
        if client is None:
            try:
                client = distributed.get_client()
            except ValueError:
                raise ValueError("map_reduce: there is no client of Dask; give client=Client(…)") from None
        if not callable(getattr(client, "submit", None)):
            raise TypeError(f"map_reduce: client is a dask.distributed.Client, not {client!r}")
        self.client = client
        data = self._partitions(data)
        self.sizes = data.chunks[0]
        self.ends = np.cumsum(self.sizes)
        #: Futures, which keep the data on the workers; the scheduler knows how to make them again.
        self.blocks = self.client.compute(data.to_delayed().ravel().tolist())
        self.program = self.client.submit(copy, program, pure=False)  # on the worker as it is here

    def _partitions(self, data: Any) -> Any:
        """A Dask array that is cut along the samples alone."""
        array = need("dask.array", "dask")
        if not is_lazy(data):
            data = as_floats(data)
            threads = sum(self.client.nthreads().values())
            each = math.ceil(len(data) / max(1, threads)) if data.ndim else 1
            data = array.from_array(data, chunks=(max(1, each), *data.shape[1:]))
        if any(math.isnan(size) for size in data.shape):
            data = data.compute_chunk_sizes()
        if not data.ndim or not len(data):
            raise ValueError(f"map_reduce: data have a row for each sample, not the shape {data.shape}")
        return data.astype(float).rechunk(dict.fromkeys(range(1, data.ndim), -1))

    def __call__(self, rows: Any, theta: Floats, gradient: Floats, reduce: str) -> float:
        """The cost of some samples, of all for None; its derivatives are written into ``gradient``."""
        count = self.ends[-1] if rows is None else len(rows)
        total = self._total(None if count == self.ends[-1] else np.sort(rows), theta)
        if reduce == "mean":
            total /= count
        gradient[:] = total[:-1]
        return float(total[-1])

    def _total(self, rows: Any, theta: Floats) -> Floats:
        """The sums of the gradients and of the costs over all partitions, as one vector."""
        name = f"microbp-{uuid4()}"
        graph: dict[Any, Any] = {(name, "theta"): theta}
        level = []
        for part, (block, end) in enumerate(zip(self.blocks, self.ends.tolist(), strict=True)):
            mine = None
            if rows is not None:
                start = end - self.sizes[part]
                mine = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
                if not len(mine):
                    continue
            level.append((name, 0, part))
            graph[level[-1]] = (_gradient, self.program, block, mine, (name, "theta"))
        height = 0
        while len(level) > 1:
            height += 1
            groups = [level[start : start + _FAN] for start in range(0, len(level), _FAN)]
            level = [(name, height, place) for place in range(len(groups))]
            graph.update({key: (_sum, group) for key, group in zip(level, groups, strict=True)})
        found: Floats = self.client.get(graph, level[0])
        return found.copy()


def _gradient(program: Program, block: Floats, rows: Any, theta: Floats) -> Floats:
    """On a worker: the sums of the gradient and of the cost over some rows of a partition, or all."""
    part = np.ascontiguousarray(block if rows is None else block[rows])
    found = program.value_and_grad(part, theta, reduce="sum")
    return np.append(found.gradient, found.cost)


def _sum(vectors: list[Floats]) -> Floats:
    """The first plus the second, plus the third, and so on."""
    total = vectors[0].copy()
    for each in vectors[1:]:
        total += each
    return total


def _of_samples(program: Program, samples: Samples, client: Any) -> _Spread:
    """The samples of a training run, inputs and targets side by side."""
    if not isinstance(samples.array, Stored) or not is_lazy(samples.array.source):
        return _Spread(program, samples.table[:], client)
    array, inputs = need("dask.array", "dask"), samples.array.source
    if inputs.ndim != 2:
        inputs = inputs.reshape((len(samples.array), -1))
    targets = np.array(samples.y, dtype=float).reshape(len(samples.y), -1)
    beside = array.from_array(targets, chunks=(inputs.chunks[0], -1))
    return _Spread(program, array.concatenate([inputs.astype(float), beside], axis=1), client)


Program.map_reduce = map_reduce
Program._spread = _of_samples
