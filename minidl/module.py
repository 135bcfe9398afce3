"""Module: what every layer and network is, and the contract between forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minidl._calls import calling, check_output, current_mode, current_observer
from minidl._false_alarms import without_false_alarms
from minidl._prefetch import slices
from minidl._samples import as_input, as_samples, finite_input
from minidl._state import load_buffers, named_buffers, named_children, named_modules
from minidl._summary import summary_html, summary_of
from minidl._threads import turn
from minidl._typing import Array
from minidl._validation import positive_int
from minidl.errors import LayerInputError
from minidl.parameter import Buffer, Freezable, Parameter

if TYPE_CHECKING:
    from typing_extensions import Self


class Module(Freezable):
    """The base of every layer and network: parameters, a mode, and the pair `forward` and `backward`.

    A new layer needs these two methods:

    - `forward(x)` returns the output. What the backward pass will need, and nothing more, it hands to
      `save_for_backward`, which keeps it in training mode and writes nothing in evaluation mode.
    - `backward(grad_output)` takes the gradient of the loss with respect to that output, collects the saved
      things with `saved_for_backward()`, writes `parameter.grad` of each parameter, and returns the gradient with
      respect to the input. Gradients are written, not added up: one forward, one backward.

    Saved arrays are references, not copies: do not write into an input or an output between the two passes.
    Parameters and sub-modules are found among the attributes, and in lists, tuples and dictionaries there, in the
    order they were set. Their names are PyTorch's: `weight`, `0.bias`, `blocks.1.weight`.

    >>> class Double(Module):
    ...     def forward(self, x):
    ...         return 2 * x
    ...     def backward(self, grad_output):
    ...         return 2 * grad_output
    >>> Double()([[1.0, 2.0]]).tolist()
    [[2.0, 4.0]]
    """

    positional: ClassVar[str | None] = None
    """The attribute, a list, whose modules are named by their position alone: `0` instead of `layers.0`."""

    _training = True
    _saved: tuple[Any, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Return the output for a batch `x`, whose first axis counts the samples."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(x)")

    def backward(self, grad_output: Array) -> Array:
        """Write each parameter's gradient and return the gradient with respect to the last input."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward(grad_output)")

    @without_false_alarms
    def __call__(self, x: Any) -> Array:
        """Return `forward(x)` for an array-like or a tuple of arrays; errors about an input name its layer's path."""
        x = x if type(x) is np.ndarray else as_input(x, "x", self)
        try:
            output = self.forward(x)
        except LayerInputError as error:
            raise error.at(self.path_of(error.layer)) from None
        observer = current_observer.get()
        if observer is not None:
            observer(self, x, output)
        return output

    @property
    def takes_tuples(self) -> bool:
        """Whether `forward` takes a tuple of arrays, several inputs of the same samples; a class may set it to True."""
        return False

    def save_for_backward(self, *things: Any) -> None:
        """Keep `things` for the backward pass in training mode; write nothing in evaluation mode."""
        if self.training:
            self._saved = things

    def saved_for_backward(self) -> tuple[Any, ...]:
        """Return what the last forward pass saved, and forget it.

        Raises: RuntimeError if there is no forward pass in training mode left to go back through.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}: backward needs a forward pass in training mode just before it; each forward serves one "
                "backward, evaluation mode keeps nothing, and a layer used twice in a network keeps its last use only"
            )
        saved, self._saved = self._saved, None
        return saved

    def forget(self) -> None:
        """Drop what forward passes have saved, here and in all sub-modules."""
        for _, module in self.named_modules():
            module._saved = None

    @property
    def training(self) -> bool:
        """Whether a call would be in training mode: the mode of this thread's call, or else the module's own."""
        mode = current_mode.get()
        return self._training if mode is None else mode

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or evaluation mode for False) here and in all sub-modules; return self.

        It is the mode of calls that set none; `predict`, `evaluate`, `summary` and `fit` set their own. What forward
        passes have saved is dropped.
        """
        self.forget()
        for _, module in self.named_modules():
            module._training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and in all sub-modules; return self."""
        return self.train(False)

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Return the outputs for `x` in evaluation mode; any number of threads may do so, also during training.

        Arguments: `x` (n, ...) is any array-like, or a tuple of arrays for a network of several inputs; `batch_size`
        bounds how many samples are computed at once, and, of those outside memory (`numpy.memmap`, `LazyImages`), read.

        Raises: ValueError for `x` that is empty, not finite or no rectangular array of numbers, for a `batch_size`
        below 1, and for numbers that become too large on the way.
        """
        x = as_samples(x)
        if len(x.shape) == 0 or len(x) == 0:
            raise ValueError(f"x: expected at least one sample, received shape {tuple(x.shape)}")
        size = len(x) if batch_size is None else positive_int(batch_size, "batch_size")
        outputs = []
        with calling(training=False), np.errstate(all="ignore"), closing(slices(x, size)) as parts:
            for rows, part in parts:
                with turn():
                    part = finite_input(part, "x", rows)
                    outputs.append(self(part))
                    check_output(self, part, outputs[-1], rows)
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def summary(self, input_shape: Sequence[Any] | None = None) -> None:
        """Print each layer with its output shape and its number of parameters, and their sum.

        Arguments: `input_shape`, of one sample, or a tuple of shapes, one an input; without it, shapes are known from
        the first layer with `in_features`.
        """
        print(summary_of(self, input_shape))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct sub-modules with their names, each once."""
        return named_children(self, Module)

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module, named `""`, and all below it with their dotted names, each once."""
        return named_modules(self, Module)

    def path_of(self, layer: object) -> str:
        """Return the name of a module below this one, `""` for this one and for any other object."""
        return next((path for path, module in self.named_modules() if module is layer), "")

    def named_state(self) -> Iterator[tuple[str, Buffer]]:
        """Yield all parameters and buffers with their dotted names, in the order of definition.

        Raises: ValueError for one that two modules share: each would write its gradient over the other's.
        """
        return named_buffers(self, Module)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield all parameters with their dotted names, in the order of definition."""
        for name, buffer in self.named_state():
            if isinstance(buffer, Parameter):
                yield name, buffer

    def parameters(self) -> list[Parameter]:
        """Return all parameters, in the order of `named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of the data of every parameter and buffer by name."""
        return {name: buffer.data.copy() for name, buffer in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays of `state` into the parameters and buffers of the same names, or change nothing at all.

        Raises: ValueError that lists every entry that is missing, unexpected, mis-shaped or no number, or is a tensor
        of PyTorch.
        """
        load_buffers(dict(self.named_state()), state)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the saved batch out of copies and pickles."""
        return {name: value for name, value in vars(self).items() if name != "_saved"}

    def _repr_html_(self) -> str:
        """Return the summary as a table, for notebooks."""
        return summary_html(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
