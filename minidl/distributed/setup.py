"""DistributedSetup: makes what a process trains with out of its share of the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minidl._samples import is_outside_memory, of_each
from minidl._typing import Array
from minidl._validation import as_generator, shown
from minidl.data.batches import Batches
from minidl.distributed.batches import DistributedBatches
from minidl.distributed.exchange import Exchange, SharedInterrupts
from minidl.distributed.group import Group, raised_by_all
from minidl.distributed.optimizer import DistributedOptimizer
from minidl.distributed.problem import DistributedProblem
from minidl.distributed.run import DistributedRun
from minidl.distributed.shared import Shared
from minidl.losses import Loss
from minidl.losses.weighted import checked_weight
from minidl.metrics import Metric
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.training.callbacks import Callback
from minidl.training.checked_data import CheckedData, Data, KnownOfModel, checked_data
from minidl.training.checkpoint import TrainingState
from minidl.training.generators import random_generators, set_states, states_of
from minidl.training.interrupts import Interrupts
from minidl.training.mixed_targets import checked_mixing
from minidl.training.preparation import check_last_batch, check_trainable, with_validation_part
from minidl.training.problem import Problem
from minidl.training.run import Run
from minidl.training.setup import Setup
from minidl.training.weights import weighted


class DistributedSetup(Setup):
    """Makes what a process trains with out of its share; all processes must call each of its methods."""

    def __init__(self, group: Group) -> None:
        self.group = group

    def interrupts(self) -> Interrupts:
        """Return what handles Ctrl-C for all processes."""
        interrupts = SharedInterrupts()
        self.exchange = Exchange(self.group, interrupts)
        return interrupts

    def written(
        self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
    ) -> Problem:
        """Return the problem that all processes train together, each with its own samples, after all checks.

        Raises: on all processes, ValueError as for one process, and for arguments that differ from one to another.
        """
        self.group.together(lambda: check_trainable(model, optimizer))
        rng = self.group.together(lambda: as_generator(given.rng))
        self._of_root([rng])
        train = self._shared(given.x, given.y, given.sample_weight, "", model, loss, given)
        validation = self._validation(given, model, loss)
        if given.validation_split is not None:
            rows = Data(
                np.arange(len(train.y)), train.y, validation_data=given.validation_data, rng=rng,
                sample_weight=train.weight, validation_split=given.validation_split,
            )  # fmt: skip
            part = self.group.together(lambda: with_validation_part(rows, loss))
            held_out, y, *weight = part.validation_data
            validation = train.cut(held_out, y, weight[0] if weight else None)
            train = train.cut(part.x, part.y, part.sample_weight)

        def made() -> DistributedProblem:
            return self._problem(model, loss, optimizer, metrics, given._replace(rng=rng), train, validation)

        problem = self.group.together(made)
        self._begin_alike(problem)
        self.exchange.interrupts.agree(sum(self.group.allgather(self.exchange.interrupts.waiting)))
        return problem

    def _problem(
        self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data,
        train: Shared, validation: Shared | None,
    ) -> DistributedProblem:  # fmt: skip
        if not len(train.numbers):
            raise ValueError(
                f"x: expected at least one sample to train on for each process, received none of {len(train.y)} here; "
                "start fewer processes"
            )
        held_out = None if validation is None else (validation.whole, validation.weight)
        targets = weighted(loss, metrics, train.whole, held_out, train.weight, given.class_weight)
        augment = checked_mixing(given.augment, targets.y, loss, KnownOfModel(model))
        batches = DistributedBatches(
            train.x, train.numbers, targets.y, self.exchange, targets.loss,
            batch_size=given.batch_size, rng=given.rng, augment=augment, drop_last=given.drop_last,
        )  # fmt: skip
        check_last_batch(model, batches)
        pair = None if validation is None else (validation.x, _rows(targets.validation_y, validation.numbers))
        return DistributedProblem(model, targets.loss, optimizer, batches, pair, metrics, exchange=self.exchange)

    def to_evaluate(
        self, model: Module, loss: Loss, optimizer: Optimizer, metrics: Mapping[str, Metric], given: Data
    ) -> Problem:
        """Return the problem whose batches are this process's samples of those to evaluate on, after all checks.

        Raises: as `written` does.
        """
        exchange = Exchange(self.group, SharedInterrupts())
        samples = self._shared(given.x, given.y, given.sample_weight, "", model, loss, given)
        targets = self.group.together(lambda: weighted(loss, metrics, samples.whole, None, samples.weight, None))
        batches = Batches(samples.x, _rows(targets.y, samples.numbers))
        return DistributedProblem(model, targets.loss, optimizer, batches, metrics=metrics, exchange=exchange)

    def run(
        self,
        written: Problem,
        problem: Problem,
        epochs: int,
        callbacks: Sequence[Callback],
        resumed: TrainingState | None,
        interrupts: Interrupts,
    ) -> Run:
        """Return the run of a problem, whose optimizer sums up the gradients of all processes first."""
        distributed = replace(problem, optimizer=DistributedOptimizer(problem.optimizer, self.exchange))
        return DistributedRun(written, distributed, epochs, callbacks, resumed, interrupts)

    def called_here(self, callbacks: Sequence[Callback]) -> Sequence[Callback]:
        """Return the callbacks that are called in this process."""
        return [callback for callback in callbacks if self.group.is_root or not callback.on_one_process]

    def _shared(self, x: Any, y: Any, weight: Any, prefix: str, model: Module, loss: Loss, given: Data) -> Shared:
        """Return a set of which each process gives its share."""

        def checked() -> tuple[CheckedData, Array | None]:
            if y is None:
                raise ValueError("y: expected an array of the targets of this process's samples, received None")
            known = KnownOfModel(model)  # it is one of several parts, in which no target needs to count
            data = checked_data(x, y, prefix, model, loss, whole=given.batch_size is None, known=known)
            if weight is None:
                return data, None
            return data, checked_weight(weight, data.shape[:1], f"{prefix}sample_weight")

        data, own_weight = self.group.together(checked)
        weights = given.class_weight
        self.check_alike("class_weight", dict(weights.items()) if hasattr(weights, "items") else weights)
        for name in ("batch_size", "drop_last", "validation_split"):
            self.check_alike(name, getattr(given, name))
        self.check_alike(f"whether there is a {prefix}sample_weight", own_weight is not None)
        self.check_alike(f"whether {prefix}x is in memory", not is_outside_memory(data.x))
        counts = self.group.allgather(len(data.y))
        numbers = np.arange(len(data.y)) + sum(counts[: self.group.rank])
        all_weights = None if own_weight is None else self.group.allgather_rows(own_weight)
        shape, all_y = (sum(counts), *data.shape[1:]), self.group.allgather_rows(data.y)
        if loss.count(all_y) == 0:
            error = ValueError(f"{prefix}y: expected at least one target that counts, received {loss!r} and none")
            raise raised_by_all(error)
        return Shared(data.x, all_y, shape, all_weights, numbers)

    def _validation(self, given: Data, model: Module, loss: Loss) -> Shared | None:
        """Return the validation samples, of which each process gives its share; None where there are none."""
        kind = len(given.validation_data) if isinstance(given.validation_data, (tuple, list)) else given.validation_data
        self.check_alike("validation_data", kind if isinstance(kind, int) else type(kind).__name__)
        if given.validation_data is None or given.validation_split is not None:
            return None
        if kind not in (2, 3):
            raise ValueError(
                f"validation_data: expected a pair (x, y), or (x, y, sample_weight), received {shown(kind)}"
            )
        x, y, *weight = given.validation_data
        return self._shared(x, y, weight[0] if weight else None, "validation ", model, loss, given)

    def check_alike(self, name: str, value: Any) -> None:
        """Raise ValueError on all processes where they pass different values."""
        values = self.group.allgather(value)
        other = next((rank for rank, each in enumerate(values) if each != values[0]), None)
        if other is not None:
            text = (
                f"{name}: expected the same on all processes, received {values[0]} on 0 and {values[other]} on {other}"
            )
            self.group.raise_alike(ValueError(text))

    def _begin_alike(self, problem: DistributedProblem) -> None:
        """Give all processes the weights, the optimizer's state and the random generators of process 0."""
        model, optimizer = problem.model, problem.optimizer
        generators = self.exchange.generators = random_generators(model, problem.batches)
        self.check_alike("random generators", list(generators))
        if self.group.size == 1:
            return
        frozen = [name for name, buffer in model.named_state() if buffer.frozen]
        own = (model.state_dict(), frozen, optimizer.state_dict()) if self.group.is_root else None
        state, frozen, of_optimizer = self.group.broadcast(own)  # type: ignore[misc]

        def load() -> None:
            model.load_state_dict(state)
            optimizer.load_state_dict(of_optimizer)
            for name, buffer in model.named_state():
                buffer.frozen = name in frozen

        self.group.together(load)
        self._of_root(list(generators.values()))

    def _of_root(self, generators: Sequence[np.random.Generator]) -> None:
        """Put random generators into the states that those of process 0 have."""
        named = {str(i): generator for i, generator in enumerate(generators)}
        states = self.group.broadcast(states_of(named))
        self.group.together(lambda: set_states(named, states))


def _rows(y: Any, numbers: Array) -> Any:
    """Return the targets of these numbers, with their weights where there are any."""
    return of_each(lambda part, _: part[numbers], y, "y")
