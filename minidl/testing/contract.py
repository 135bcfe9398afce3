"""The contract of layers: what every layer must keep, checked on one of them at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from minidl._calls import calling
from minidl._samples import each, leaves, of_shape, part_names
from minidl._typing import Array, Seed
from minidl.architecture import BUILT_IN, describe
from minidl.building import build
from minidl.errors import ContractError, LayerInputError
from minidl.module import Module
from minidl.testing._inputs import another, close
from minidl.testing.gradcheck import gradcheck, independent_generator
from minidl.testing.passes import (
    DTYPES,
    check_history,
    check_modes,
    check_one_sample,
    check_other_gradients,
    check_types,
    require,
)

LayerMaker: TypeAlias = Callable[[np.dtype[Any]], Module]


def check_layer(
    make: LayerMaker,
    input_shape: Sequence[Any],
    output_shape: Sequence[int],
    *,
    tokens: int | None = None,
    bad_shapes: Iterable[Sequence[Any]] = (),
    views: bool = False,
    strict: bool = False,
    rng: Seed = 0,
) -> None:
    """Put a layer through the whole contract on a random batch.

    - The output has `output_shape`; outputs and gradients keep the input's dtype, float32 as well as float64.
    - Every gradient agrees with central differences (`gradcheck`), also for a batch of one, which a layer may refuse in
      training by a LayerInputError.
    - Evaluation keeps and changes nothing, repeats itself, gives a sample the same output alone and in a batch, and has
      no backward pass; a forward pass serves one backward pass only.
    - Gradients are written, not added up, and no pass depends on inputs of other passes.
    - The layout of the input in memory does not matter.
    - Built anew from its description, through JSON and with the state loaded, it computes the same bits.
    - No array of the caller is changed, and none that was handed out is overwritten or shared with the caller's.
    - Input of the wrong shape is answered by an error that names the layer and the shape.

    Arguments: `make(dtype)` returns a new layer, each time the same; one without parameters ignores the dtype.
    `input_shape` is a tuple of shapes for a layer of several inputs. `tokens` is for a layer that takes whole numbers
    below it, instead of floating ones, and returns zeros as their gradient. `bad_shapes` are inputs it must refuse.
    `views` says that outputs and gradients are the caller's arrays in another shape, as Flatten's are. `strict`
    requires further that a gradient of another shape than the output's is answered by an error that names both shapes,
    and not broadcast, as every built-in layer does.

    Raises: ContractError that says what was broken; GradientError for a wrong gradient.

    >>> from minidl import Dense
    >>> check_layer(lambda dtype: Dense(3, 2, rng=0, dtype=dtype), (5, 3), (5, 2), bad_shapes=[(5, 4), (3,)])
    """
    generator = independent_generator(rng)  # the layer may be made from the same seed
    draw = generator.standard_normal if tokens is None else partial(generator.integers, 0, tokens)
    x = of_shape(lambda shape: draw(size=shape), tuple(input_shape))
    upstream = generator.standard_normal(tuple(output_shape))
    for dtype in DTYPES:
        check_types(make(dtype), _in(dtype, x), _in(dtype, upstream))
    double = DTYPES[-1]
    _check_aliasing(make(double), x, upstream, views)
    gradcheck(make(double), x, rng=generator)
    check_modes(make(double), x, upstream)
    check_history(make(double), x, upstream)
    if len(leaves(x)[0]) > 1:
        check_one_sample(make(double), x, upstream, generator)
    _check_memory_layout(make(double), x, upstream)
    for dtype in DTYPES:
        _check_rebuilding(make(dtype), _in(dtype, x))
    for shape in bad_shapes:
        _check_refusal(make(double), of_shape(np.zeros, tuple(shape)))
    if strict:
        check_other_gradients(make(double), x, upstream)


def _in(dtype: np.dtype[Any], x: Any) -> Any:
    return each(lambda part: part.astype(dtype) if part.dtype.kind == "f" else part, x)


def _check_memory_layout(layer: Module, x: Any, upstream: Array) -> None:
    twin = copy.deepcopy(layer)  # with the same generator, for a layer that draws random numbers
    outputs = layer(x), twin(each(np.asfortranarray, x))
    gradients = layer.backward(upstream), twin.backward(np.asfortranarray(upstream))
    for what, (one, other) in {"output": outputs, "gradient of the input": gradients}.items():
        require(close(one, other), layer, f"the {what} depends on the layout of arrays in memory")


def _check_rebuilding(layer: Module, x: Any) -> None:
    layer(x)  # a training pass moves running statistics away from their first values
    description = json.loads(json.dumps(describe(layer)))
    state = layer.state_dict()
    again = build(description, state, {**BUILT_IN, type(layer).__name__: type(layer)})
    require(repr(again) == repr(layer), layer, f"its description builds {again!r}")
    again.load_state_dict(state)
    with calling(training=False):
        output, other = layer(x), again(x)
    same = output.dtype == other.dtype and np.array_equal(output, other)
    require(same, layer, "built anew from its description and state, it computes something else")


def _check_aliasing(layer: Module, x: Any, upstream: Array, views: bool) -> None:
    for training in (True, False):
        layer.train(training)
        inputs = dict(zip(leaves(part_names(x, "input")), leaves(x), strict=True))
        given = {**inputs, "gradient": upstream} if training else inputs
        before = {name: array.copy() for name, array in given.items()}
        output = layer(x)
        handed_out = {name: [output] for name in inputs}
        if training:
            handed_out["gradient"] = leaves(layer.backward(upstream))
        kept = {name: [array.copy() for array in arrays] for name, arrays in handed_out.items()}
        layer(another(x))
        if training:
            layer.backward(another(upstream))
        for name, array in given.items():
            require(np.array_equal(array, before[name]), layer, f"it changed the caller's {name}")
            same = all(map(np.array_equal, handed_out[name], kept[name]))
            require(same, layer, "it overwrote an array it had handed out")
            shared = any(np.shares_memory(one, array) for one in handed_out[name])
            require(views or not shared, layer, f"what it returns shares memory with the caller's {name}")


def _check_refusal(layer: Module, x: Any) -> None:
    shape = ", ".join(str(part.shape) for part in leaves(x))
    try:
        layer(x)
    except LayerInputError as error:
        named = repr(layer) in str(error) and shape in str(error)
        require(named, layer, f"the error does not name the layer and the shape {shape}: {error}")
    except Exception as error:
        raise ContractError(f"{layer!r}: expected LayerInputError for input {shape}, received {error!r}") from error
    else:
        raise ContractError(f"{layer!r}: took input of shape {shape} without an error")
