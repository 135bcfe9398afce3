"""JAX: a compiled step in a Python loop, and an epoch compiled as a whole."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np

from benchmarks.machine import peer
from benchmarks.peers.peer import Job, Peer
from minidl._typing import Array


class Jax(Peer):
    """A list of weights, `value_and_grad`, and a step under `jit` that is given the weights' memory.

    The costs are read after the epoch, so that no step waits for one.
    """

    requires: ClassVar[tuple[str, ...]] = ("jax",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.jax, self.numpy = jax, jnp = peer("jax"), peer("jax.numpy")
        self.parameters = [(jnp.array(weight.T), jnp.array(bias)) for weight, bias in job.weights]
        self.x, self.y = jnp.asarray(job.x), jnp.asarray(job.y)
        gradient = jax.value_and_grad(self._cost)

        @partial(jax.jit, donate_argnums=0)
        def step(parameters: Any, x: Any, y: Any) -> Any:
            cost, gradients = gradient(parameters, x, y)
            return jax.tree.map(lambda p, g: p - job.learning_rate * g, parameters, gradients), cost

        @partial(jax.jit, donate_argnums=0)
        def step_on_rows(parameters: Any, x: Any, y: Any, rows: Any) -> Any:
            return step(parameters, *(array.at[rows].get(mode="promise_in_bounds") for array in (x, y)))

        self.step, self.step_on_rows = step, step_on_rows

    def epoch(self, order: Array | None) -> float:
        """Train on the rows, which the compiled step takes itself."""
        costs, n = [], len(self.job.x)
        for rows in self.job.rows(order):
            if order is not None:
                self.parameters, cost = self.step_on_rows(self.parameters, self.x, self.y, rows)
            elif self.job.batch_size is None:
                self.parameters, cost = self.step(self.parameters, self.x, self.y)
            else:
                self.parameters, cost = self.step(self.parameters, self.x[rows], self.y[rows])
            costs.append(cost)
        self.jax.block_until_ready(self.parameters)
        sizes = np.diff([*range(0, n, self.job.batch_size or n), n])
        return float(np.average(np.array(costs), weights=sizes))

    def predict(self, x: Array) -> Array:
        """Return the probabilities."""
        return np.asarray(self.jax.nn.sigmoid(self._logits(self.parameters, x)))

    def _logits(self, parameters: Any, x: Any) -> Any:
        for weight, bias in parameters[:-1]:
            x = self.jax.nn.relu(x @ weight + bias)
        weight, bias = parameters[-1]
        return x @ weight + bias

    def _cost(self, parameters: Any, x: Any, y: Any) -> Any:
        z = self._logits(parameters, x)
        return self.numpy.mean(self.jax.nn.softplus(z) - y * z)


class JaxScan(Jax):
    """The same steps in one `lax.scan` over all whole batches of an epoch, which Python starts once."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)

        @partial(self.jax.jit, donate_argnums=0)
        def steps(parameters: Any, x: Any, y: Any, rows: Any) -> Any:
            return self.jax.lax.scan(lambda old, batch: self.step_on_rows(old, x, y, batch), parameters, rows)

        self.steps = steps

    def epoch(self, order: Array | None) -> float:
        """Train on the whole batches at once, then on a smaller last one."""
        size, n = self.job.batch_size, len(self.x)
        if order is None or size is None or size > n:
            return super().epoch(order)
        whole = n - n % size
        self.parameters, costs = self.steps(self.parameters, self.x, self.y, order[:whole].reshape(-1, size))
        total = float(costs.sum()) * size
        if whole < n:
            self.parameters, cost = self.step_on_rows(self.parameters, self.x, self.y, order[whole:])
            total += float(cost) * (n - whole)
        self.jax.block_until_ready(self.parameters)
        return total / n
