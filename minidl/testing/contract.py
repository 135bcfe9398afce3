"""The contract: what every layer and every loss must keep, checked on one of them at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from minidl._calls import calling
from minidl._typing import Array, Seed
from minidl._validation import as_generator
from minidl.architecture import BUILT_IN, build, describe
from minidl.errors import ContractError, LayerInputError
from minidl.losses import Loss
from minidl.module import Module
from minidl.testing.gradcheck import gradcheck

LayerMaker: TypeAlias = Callable[[np.dtype[Any]], Module]

DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.float32), np.dtype(np.float64))


def check_layer(
    make: LayerMaker,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    bad_shapes: Iterable[Sequence[int]] = (),
    views: bool = False,
    rng: Seed = 0,
) -> None:
    """Put a layer through the whole contract on a random batch.

    - The output has `output_shape`; outputs and gradients keep the input's dtype, float32 as well as float64.
    - Every gradient agrees with central differences (`gradcheck`).
    - Evaluation keeps nothing, repeats itself, and has no backward pass; a forward pass serves one backward pass only.
    - The layout of the input in memory does not matter.
    - Built anew from its description, through JSON and with the state loaded, it computes the same bits.
    - No array of the caller is changed, and none that was handed out is overwritten or shared with the caller's.
    - Input of the wrong shape is answered by an error that names the layer and the shape.

    Arguments: `make(dtype)` returns a new layer, each time the same; one without parameters ignores the dtype.
    `bad_shapes` are inputs it must refuse. `views` says that outputs and gradients are the caller's arrays in another
    shape, as Flatten's are.

    Raises: ContractError that says what was broken; GradientError for a wrong gradient.

    >>> from minidl import Dense
    >>> check_layer(lambda dtype: Dense(3, 2, rng=0, dtype=dtype), (5, 3), (5, 2), bad_shapes=[(5, 4), (3,)])
    """
    generator = as_generator(rng)
    x = generator.standard_normal(tuple(input_shape))
    upstream = generator.standard_normal(tuple(output_shape))
    for dtype in DTYPES:
        _check_shapes_and_dtypes(make(dtype), x.astype(dtype), upstream.astype(dtype))
    double = DTYPES[-1]
    _check_aliasing(make(double), x, upstream, views)
    gradcheck(make(double), x, rng=generator)
    _check_modes(make(double), x, upstream)
    _check_memory_layout(make(double), x, upstream)
    for dtype in DTYPES:
        _check_rebuilding(make(dtype), x.astype(dtype))
    for shape in bad_shapes:
        _check_refusal(make(double), np.zeros(tuple(shape)))


def check_loss(
    loss: Loss, prediction: Array, target: Array, *, bad: Iterable[tuple[Any, Any]] = (), rng: Seed = 0
) -> None:
    """Put a loss through the contract on a floating prediction and its target.

    - The value is a float and a mean: the batch taken twice has the same. The gradient has the prediction's shape and
      dtype, float32 as well as float64, and agrees with central differences (`gradcheck`).
    - Value and gradient keep no state; the arrays of the caller are neither changed nor shared.
    - Each pair of `bad` (prediction, target) is answered by a ValueError that names the loss.

    Raises: ContractError that says what was broken; GradientError for a wrong gradient.

    >>> from minidl import BinaryCrossEntropy
    >>> check_loss(BinaryCrossEntropy(), np.array([[0.2], [0.7]]), np.array([[0.0], [1.0]]))
    """
    for dtype in DTYPES:
        _check_loss_once(loss, prediction.astype(dtype), target.astype(dtype) if target.dtype.kind == "f" else target)
    gradcheck(loss, prediction, target, rng=rng)
    once = loss(prediction, target)
    twice = loss(np.concatenate([prediction, prediction]), np.concatenate([target, target]))
    _require(abs(once - twice) <= 1e-12 * abs(once), loss, f"a batch taken twice costs {twice!r} instead of {once!r}")
    for bad_prediction, bad_target in bad:
        try:
            loss(bad_prediction, bad_target)
        except ValueError as error:
            _require(type(loss).__name__ in str(error), loss, f"the error does not name it: {error}")
        else:
            raise ContractError(f"{loss!r}: took {bad_prediction!r} with the target {bad_target!r} without an error")


def _check_shapes_and_dtypes(layer: Module, x: Array, upstream: Array) -> None:
    _require_like(layer, "output", layer(x), upstream)
    _require_like(layer, "gradient of the input", layer.backward(upstream), x)
    for name, parameter in layer.named_parameters():
        gradient = np.empty(0) if parameter.grad is None else parameter.grad
        _require_like(layer, f"gradient of {name}", gradient, parameter.data)
    with calling(training=False):
        _require_like(layer, "output in evaluation", layer(x), upstream)


def _check_modes(layer: Module, x: Array, upstream: Array) -> None:
    layer(x)
    layer.backward(upstream)
    _require_no_backward(layer, upstream, "a second backward pass")
    with calling(training=False):
        output = layer(x)
        _require(np.array_equal(layer(x), output), layer, "evaluation gives another output for the same input")
    kept = [name for name, module in layer.named_modules() if module._saved is not None]
    _require(not kept, layer, "evaluation keeps arrays for a backward pass")
    layer(x)
    layer.eval()
    layer(x)
    _require_no_backward(layer, upstream, "a backward pass in evaluation mode")


def _check_memory_layout(layer: Module, x: Array, upstream: Array) -> None:
    twin = copy.deepcopy(layer)  # with the same generator, for a layer that draws random numbers
    outputs = layer(x), twin(np.asfortranarray(x))
    gradients = layer.backward(upstream), twin.backward(np.asfortranarray(upstream))
    for what, (one, other) in {"output": outputs, "gradient of the input": gradients}.items():
        same = np.allclose(one, other, rtol=1e-10, atol=1e-10)
        _require(same, layer, f"the {what} depends on the layout of arrays in memory")


def _check_rebuilding(layer: Module, x: Array) -> None:
    layer(x)  # a training pass moves running statistics away from their first values
    description = json.loads(json.dumps(describe(layer)))
    state = layer.state_dict()
    again = build(description, state, {**BUILT_IN, type(layer).__name__: type(layer)})
    _require(repr(again) == repr(layer), layer, f"its description builds {again!r}")
    again.load_state_dict(state)
    with calling(training=False):
        output, other = layer(x), again(x)
    same = output.dtype == other.dtype and np.array_equal(output, other)
    _require(same, layer, "built anew from its description and state, it computes something else")


def _check_aliasing(layer: Module, x: Array, upstream: Array, views: bool) -> None:
    for training in (True, False):
        layer.train(training)
        given = {"input": x, "gradient": upstream} if training else {"input": x}
        before = {name: array.copy() for name, array in given.items()}
        output = layer(x)
        handed_out = {"input": output}
        if training:
            handed_out["gradient"] = layer.backward(upstream)
        kept = {name: array.copy() for name, array in handed_out.items()}
        layer(x[::-1] + 1)
        if training:
            layer.backward(upstream[::-1] + 1)
        for name, array in given.items():
            _require(np.array_equal(array, before[name]), layer, f"it changed the caller's {name}")
            _require(np.array_equal(handed_out[name], kept[name]), layer, "it overwrote an array it had handed out")
            shared = np.shares_memory(handed_out[name], array)
            _require(views or not shared, layer, f"what it returns shares memory with the caller's {name}")


def _check_refusal(layer: Module, x: Array) -> None:
    try:
        layer(x)
    except LayerInputError as error:
        named = repr(layer) in str(error) and str(x.shape) in str(error)
        _require(named, layer, f"the error does not name the layer and the shape {x.shape}: {error}")
    except Exception as error:
        raise ContractError(f"{layer!r}: expected LayerInputError for input {x.shape}, received {error!r}") from error
    else:
        raise ContractError(f"{layer!r}: took input of shape {x.shape} without an error")


def _check_loss_once(loss: Loss, prediction: Array, target: Array) -> None:
    before = prediction.copy(), target.copy()
    value = loss(prediction, target)
    _require(type(value) is float, loss, f"expected a float, received {value!r}")
    cast = loss.cast_target(target, prediction.dtype)
    gradient = loss.gradient(prediction, cast)
    _require_like(loss, "gradient", gradient, prediction)
    _require(np.array_equal(loss.gradient(prediction, cast), gradient), loss, "a second gradient is another one")
    _require(loss.value(prediction, cast) == value, loss, "a second value is another one")
    unchanged = np.array_equal(prediction, before[0]) and np.array_equal(target, before[1])
    _require(unchanged, loss, "it changed the caller's prediction or target")
    shared = np.shares_memory(gradient, prediction) or np.shares_memory(gradient, target)
    _require(not shared, loss, "its gradient shares memory with the caller's arrays")


def _require_no_backward(layer: Module, upstream: Array, what: str) -> None:
    try:
        layer.backward(upstream)
    except RuntimeError:
        return
    raise ContractError(f"{layer!r}: {what} passed without a RuntimeError")


def _require_like(subject: Module | Loss, what: str, array: Array, expected: Array) -> None:
    _require(
        (array.shape, array.dtype) == (expected.shape, expected.dtype),
        subject,
        f"{what}: expected {expected.dtype} {expected.shape}, received {array.dtype} {array.shape}",
    )


def _require(condition: bool, subject: Module | Loss, problem: str) -> None:
    if not condition:
        raise ContractError(f"{subject!r}: {problem}")
