"""Passes: a private copy of a network, observed while one batch goes through it and gradients come back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._samples import as_input, each, leaves
from minidl._typing import Array
from minidl._validation import check_finite, shown
from minidl.errors import LayerInputError
from minidl.layers import BatchNorm, Dropout
from minidl.module import Module
from minidl.parameter import Parameter

Backward = Callable[[Array], Any]
CLOSE = 1e-3  # how near the outputs in both modes must be, relative to the largest; they differ by rounding alone


class Passes:
    """A private copy of a network, whose calls and backward passes are recorded; the network itself stays as it is.

    What `predict` computes is computed in training mode, in which layers keep what their backward pass needs: in the
    copy BatchNorm takes its running statistics and Dropout drops nothing. With `training` it is what `fit` computes:
    batch statistics, and the mask that the next batch would draw.

    Attributes: `model` is the copy; by the `id` of its modules, `inputs` and `outputs` hold what each was last called
    with and returned, `calls` how often it was called, `grad_outputs` and `grad_inputs` what its backward pass was
    given and has returned.
    """

    def __init__(self, model: Module, *, training: bool = False) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"model: expected a Module, received {shown(model)}")
        self._original, self._training = model, training
        self.model: Module = _copied(model)
        self.model.train()
        self.inputs: dict[int, Any] = {}
        self.outputs: dict[int, Array] = {}
        self.calls: dict[int, int] = {}
        self.grad_outputs: dict[int, Array] = {}
        self.grad_inputs: dict[int, Any] = {}
        for parameter in self.model.parameters():
            parameter.grad = None
        for _, module in self.model.named_modules():
            if not training:
                _as_in_evaluation(module)
            vars(module)["backward"] = partial(self._backward, module, module.backward)

    def forward(self, x: Any) -> Array:
        """Return the output for a batch, after each module's part in it is recorded.

        Raises: ValueError where a layer of another kind than the built-in ones computes something else in training
        mode, so that its backward pass would be none of what `predict` does.
        """
        with calling(training=True, observer=self._note), np.errstate(all="ignore"):
            output = self.model(x)
        if not self._training:
            self._check_mode(x, output)
        return output

    def backward(self, grad_output: Array) -> Any:
        """Return the gradient of the input, after the gradients of all outputs and parameters are recorded."""
        with calling(training=True), np.errstate(all="ignore"):
            return self.model.backward(grad_output)

    def replace_backward(self, module: Module, backward: Backward) -> None:
        """Let the backward pass of one module of the copy be this function, recorded like any other."""
        module.forget()
        vars(module)["backward"] = partial(self._backward, module, backward)

    def _note(self, module: Any, x: Any, output: Any) -> None:
        self.inputs[id(module)], self.outputs[id(module)] = x, output
        self.calls[id(module)] = self.calls.get(id(module), 0) + 1

    def _backward(self, module: Module, backward: Backward, grad_output: Array) -> Any:
        self.grad_outputs[id(module)] = grad_output
        grad_input = backward(grad_output)
        self.grad_inputs[id(module)] = grad_input
        return grad_input

    def _check_mode(self, x: Any, output: Array) -> None:
        with calling(training=False), np.errstate(all="ignore"):
            predicted = self._original(x)
        with np.errstate(all="ignore"):
            size = np.abs(predicted[np.isfinite(predicted)]).max(initial=0)
            if np.allclose(output, predicted, rtol=CLOSE, atol=CLOSE * size, equal_nan=True):
                return
        raise ValueError(
            "model: expected layers that, BatchNorm and Dropout aside, compute the same in training and evaluation "
            f"mode, received {shown(self._original)}, whose outputs differ; its backward pass is not that of predict"
        )


def batch_of(model: Module, x: Any) -> tuple[Any, bool]:
    """Return `x` as a batch, a copy, and whether it was one sample, without the axis of the batch.

    It is a batch where the network takes it as one, else a sample where the network takes that.

    Raises: ValueError for what is neither, as the network does for a batch, for an empty one, and for NaN or infinity.
    """
    x = each(np.array, as_input(x, "x"))
    if any(part.size == 0 for part in leaves(x)):
        raise ValueError(f"x: expected at least one sample, received shape {each(np.shape, x)}")
    for part in leaves(x):
        check_finite(np.atleast_1d(part), "x")
    with calling(training=False), np.errstate(all="ignore"):
        try:
            model(x)
            return x, False
        except (LayerInputError, ValueError, IndexError) as error:
            sample = each(lambda part: part[None], x)
            try:
                model(sample)
            except (LayerInputError, ValueError, IndexError):
                raise error from None
    return sample, True


def own_parameters(module: Module) -> list[tuple[str, Parameter]]:
    """Return the parameters that a module holds itself, with their names."""
    below = {id(p) for _, child in module.named_children() for p in child.parameters()}
    return [(name, parameter) for name, parameter in module.named_parameters() if id(parameter) not in below]


def _copied(model: Module) -> Module:
    try:
        return deepcopy(model)
    except Exception as error:
        raise ValueError(f"model: expected one that copy.deepcopy copies, received {shown(model)}: {error}") from error


def _as_in_evaluation(module: Module) -> None:
    """Let a module of the copy compute in training mode what it computes in evaluation mode."""
    if isinstance(module, Dropout):
        module.rate = 0.0
    elif isinstance(module, BatchNorm):
        module.running_mean.freeze()
        module.running_variance.freeze()
