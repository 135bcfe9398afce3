"""Training in the form the network is written in; `dual.py` holds the other form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from minidl._typing import Array
from minidl._validation import LayerInputError
from minidl.data.batches import Batches
from minidl.layers.inputs import Flatten, Rescale
from minidl.module import Module
from minidl.optimizers import Optimizer
from minidl.sequential import Sequential
from minidl.training.fusion import Network, pooled_first
from minidl.training.samples import as_column

Validation: TypeAlias = "tuple[Any, Array] | None"


def probe(model: Module, network: Network, x: Any, y: Array) -> None:
    """Let one sample through network and loss, so that what does not fit is told before anything has changed."""
    with model.mode(training=False):
        try:
            output = network.body.forward(x[:1])
        except LayerInputError:
            if type(x) is np.ndarray:
                network.body.forward(x)  # which says the same of the shape that the user knows
            raise
    shape = (len(y), *output.shape[1:])
    network.loss.check_shapes(shape, as_column(y, shape))


class Direct:
    """How a run trains: with the network's own layers, arrays and optimizer.

    Attributes: `network`, `batches` and `validation` are what the loop goes over. For a full batch that stays as it is
    the layers without parameters at the front are applied once, before the first epoch.
    """

    def __init__(
        self, model: Module, network: Network, optimizer: Optimizer, batches: Batches, validation: Validation
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.network = network._replace(body=pooled_first(network.body))
        self.batches, self.validation = batches, validation
        self._own_body = network.body
        self._own_x: Any = batches.x
        if batches.batch_size is None and batches.augment is None:
            self._prepare()

    def _prepare(self) -> None:
        """Make a full batch, and the validation samples, what the first layer with parameters is given."""
        front = input_layers(self._own_body)
        if not len(front):
            return
        self.network = self.network._replace(body=_without(self.network.body, len(front)))
        with front.mode(training=False):
            self.batches = Batches(front.forward(self._own_x), self.batches.y)
            if self.validation is not None:
                self.validation = (front.forward(self.validation[0]), self.validation[1])

    def step(self) -> None:
        """Move the parameters once."""
        self.optimizer.step()

    def sync(self) -> None:
        """Bring the model's own weights up to date, for somebody who looks at them."""

    def model_changed(self) -> bool:
        """Tell whether somebody has changed the model's own weights since `sync`, and training must take that over."""
        return False

    def rebase(self) -> None:
        """Go on from the model's own weights as they are, as a run taken up from them would."""

    def snapshot(self) -> Callable[[], dict[str, Array]]:
        """Keep the present state and return what gives it as the model's state dictionary when that is wanted."""
        state = self.model.state_dict()
        return lambda: state

    def for_diagnosis(self) -> tuple[Module, Array]:
        """Return the layers as their user knows them, up to date, and samples for them, a batch of those on a disk."""
        self.sync()
        count = 1 << 12 if type(self._own_x) is np.ndarray else self.batches.batch_size
        return self._own_body, self._own_x[:count]


def input_layers(body: Module) -> Sequential:
    """Return the layers at the front whose output is a fixed function of the sample: Rescale and Flatten."""
    layers = list(body) if type(body) is Sequential else []
    count = next((i for i, layer in enumerate(layers) if type(layer) not in (Rescale, Flatten)), len(layers))
    return Sequential(*layers[:count])


def _without(body: Module, count: int) -> Module:
    """Return the layers of a Sequential but for the first so many."""
    return body[count:] if isinstance(body, Sequential) else body
