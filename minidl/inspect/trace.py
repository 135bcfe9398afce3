"""Trace: one forward and backward pass through a network, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl._html import table
from minidl._samples import each, leaves
from minidl._typing import Array
from minidl._validation import as_array, shown
from minidl.inspect._formula import formula_of, shortened
from minidl.inspect._passes import Passes, batch_of, own_parameters
from minidl.inspect._saved import saved_arrays
from minidl.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, WeightedLoss
from minidl.module import Module
from minidl.training.rewrites.logits import activation_before


@dataclass(frozen=True)
class LayerTrace:
    """One module's part in a pass.

    Attributes: `path` is its name in the network, `""` for the network itself; `name` what it is, and `formula` what it
    computes, as its docstring says it; `input` and `output` are those of its last call, of `calls` in all; `kept` are
    the arrays that it keeps for its backward pass, by name; `parameters` its own, by name. After a backward pass,
    `grad_output` and `grad_input` are the gradients of the cost with respect to output and input, and `gradients` those
    with respect to its parameters; else they are None and empty.
    """

    path: str
    name: str
    formula: str
    input: Any
    output: Array
    calls: int = 1
    kept: Mapping[str, Array] = field(default_factory=dict)
    parameters: Mapping[str, Array] = field(default_factory=dict)
    grad_output: Array | None = None
    grad_input: Any = None
    gradients: Mapping[str, Array] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"LayerTrace({self.path!r}, {self.name}, output {self.output.shape})"


@dataclass(frozen=True)
class Trace:
    """What one batch was on its way through a network, and the gradients that came back.

    Attributes: `x` and `output` are the network's, `cost` the loss, or None; `layers` has a `LayerTrace` for each
    module that was called, a container before what it holds. `trace["1.0"]` is that of the module with this path, and
    `print(trace)` shows all as a table.
    """

    x: Any
    output: Array
    layers: tuple[LayerTrace, ...]
    cost: float | None = None

    def __getitem__(self, path: str) -> LayerTrace:
        for layer in self.layers:
            if layer.path == path:
                return layer
        known = ", ".join(repr(layer.path) for layer in self.layers)
        raise KeyError(f"trace: expected the path of a module that was called, one of {known}, received {shown(path)}")

    def __iter__(self) -> Iterator[LayerTrace]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __str__(self) -> str:
        header, *rows = self._table()
        widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (header, *rows)
        ]
        return "\n".join(lines if self.cost is None else [*lines, f"cost {self.cost:.6g}"])

    def __repr__(self) -> str:
        cost = "" if self.cost is None else f", cost={self.cost:.6g}"
        return f"Trace({len(self.layers)} modules, output {self.output.shape}{cost})"

    def _repr_html_(self) -> str:
        header, *rows = self._table()
        return table(header, rows)

    def _table(self) -> list[list[str]]:
        rows = [["layer", "formula", "output", "from", "to", "kept for backward"]]
        rows += [["x", "", ", ".join(str(part.shape) for part in leaves(self.x)), *_range(self.x), ""]]
        for layer in self.layers:
            if layer.path == "" and len(self.layers) > 1:
                continue  # its output is that of its last layers
            kept = ", ".join(f"{name} {array.shape}" for name, array in layer.kept.items())
            name = f"{layer.path}  {layer.name}" if layer.path else layer.name
            rows.append([name, shortened(layer.formula), str(layer.output.shape), *_range(layer.output), kept])
        if self.cost is None:
            return rows
        traced = [layer for layer in self.layers if layer.path or len(self.layers) == 1]
        norms = ["|dL/doutput|", ""] + [_norm(layer.grad_output) for layer in traced]
        gradients = ["|dL/dparameter|", ""] + [
            ", ".join(f"{name} {_norm(gradient)}" for name, gradient in layer.gradients.items()) for layer in traced
        ]
        return [[*row, norm, gradient] for row, norm, gradient in zip(rows, norms, gradients, strict=True)]


def trace(model: Module, x: Any, y: Any = None, loss: Loss | None = None, *, training: bool = False) -> Trace:
    """Return what one sample or batch is on its way through a network, and with `y` and `loss` the way back.

    The network stays as it is, weights, gradients, running statistics and random generators included: all is computed
    in a copy. It computes what `predict` does, or with `training` what the next step of `fit` would: Dropout drops
    units, and BatchNorm takes the statistics of the batch. As in `fit`, the gradient of what goes into a last Sigmoid,
    Softmax or LogSoftmax is that of the loss from logits, which is exact where the probabilities are 0 or 1.

    Shapes: `x` (batch, ...) or one sample (...), or a tuple of inputs; `y` as the loss takes it, or of one sample.

    Arguments: `loss` is that of `Trainer`.

    Raises: TypeError for a loss that is none; ValueError for one of `y` and `loss` without the other, and as the
    network and the loss do; for a network that copy.deepcopy does not copy, and for a layer of another kind than the
    built-in ones that computes something else in training mode, unless `training` asks for that.

    >>> from minidl import BinaryCrossEntropy, mlp
    >>> found = trace(mlp([2, 3, 1], rng=0), [0.5, -1.0], 1, BinaryCrossEntropy())
    >>> found["1"].output.shape, found["0"].gradients["weight"].shape
    ((1, 3), (3, 2))
    """
    if (y is None) != (loss is None):
        raise ValueError(f"trace: expected y and loss together, received {'loss' if y is None else 'y'} alone")
    if loss is not None and (not isinstance(loss, Loss) or isinstance(loss, WeightedLoss)):
        raise TypeError(f"trace loss: expected a Loss, of means that are not weighted, received {shown(loss)}")
    passes = Passes(model, training=training)
    x, is_sample = batch_of(model, x)
    output = passes.forward(x)
    kept = {key: saved_arrays(module, passes.inputs[key]) for key, module in _called(passes)}
    cost = None if loss is None else _go_back(passes, output, y, loss, is_sample)
    originals = dict(model.named_modules())
    layers = tuple(
        _layer_of(passes, path, module, originals[path], kept[id(module)])
        for path, module in passes.model.named_modules()
        if id(module) in passes.calls
    )
    return Trace(x, output, layers, cost)


def _called(passes: Passes) -> list[tuple[int, Module]]:
    return [(id(module), module) for _, module in passes.model.named_modules() if id(module) in passes.calls]


def _go_back(passes: Passes, output: Array, y: Any, loss: Loss, is_sample: bool) -> float:
    """Go back from the cost, and return it."""
    target = as_array(y, "trace y")
    if is_sample and target.shape != output.shape:
        target = target[None]
    if output.shape == (*target.shape, 1):
        target = target[..., None]
    last = activation_before(passes.model, loss)
    if last is None or not isinstance(loss, (BinaryCrossEntropy, SoftmaxCrossEntropy)):
        cost = loss(output, target)
        passes.backward(loss.gradient(output, loss.cast_target(target, output.dtype)))
        return cost
    of_logits, logits = loss.of_logits(), passes.inputs[id(last)]
    cost = of_logits(logits, target)
    target = loss.cast_target(target, output.dtype)
    exact = of_logits.gradient(logits, target)
    passes.replace_backward(last, lambda _: exact)
    passes.backward(loss.gradient(output, target))
    return cost


def _layer_of(
    passes: Passes, path: str, module: Module, original: Module, kept: Mapping[str, Array]
) -> LayerTrace:  # fmt: skip
    key = id(module)
    name = type(original).__name__ if any(original.named_children()) else repr(original)
    own = own_parameters(module)
    return LayerTrace(
        path=path, name=name, formula=formula_of(type(original)), input=passes.inputs[key], output=passes.outputs[key],
        calls=passes.calls[key], kept=kept,
        parameters={name: parameter.data for name, parameter in own}, grad_output=passes.grad_outputs.get(key),
        grad_input=passes.grad_inputs.get(key),
        gradients={name: parameter.grad for name, parameter in own if parameter.grad is not None},
    )  # fmt: skip


def _range(x: Any) -> tuple[str, str]:
    parts = [part for part in leaves(each(np.asarray, x)) if part.size]
    if not parts:
        return "", ""
    return f"{min(part.min() for part in parts):.4g}", f"{max(part.max() for part in parts):.4g}"


def _norm(gradient: Array | None) -> str:
    return "" if gradient is None else f"{np.linalg.norm(gradient.astype(np.float64)):.3g}"
