"""gradcheck: proves a backward pass right by comparing it with central differences of the forward pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from minidl._attributes import members
from minidl._samples import as_input, each, leaves, part_names
from minidl._typing import Array, Seed
from minidl._validation import as_array, as_generator, cast, check_finite, positive_int
from minidl.containers import Sequential
from minidl.containers.to_parameters import backward_of_first
from minidl.errors import GradientError
from minidl.losses import Loss
from minidl.module import Module
from minidl.testing._inputs import named_gradients
from minidl.testing.differences import Function, largest_error

Subject: TypeAlias = Module | Loss | tuple[Module, Loss]

MOVES = 4  # how often the point is moved, in case it lies on a kink, before its disagreement is believed
FACTOR, FACTORS = 3, 16  # the outputs of a group are within 2^3 of each other; the last group has all below 2^-48
OWN = 0x6D696E69646C  # a number that no caller's seed shares


def gradcheck(subject: Subject, x: Any, target: Any = None, *, rng: Seed = 0, max_entries: int = 100) -> float:
    """Check every gradient of a module, a loss, or a pair (model, loss), and return the largest relative error.

    Formula: with a random upstream gradient R and `f(v) = sum(R * forward(v))` (for losses `f` is the loss), each
    analytic `df/dv` is compared with `(f(v + h d) - f(v - h d)) / 2h`, in float64 on a copy of the subject: for
    tensors of up to `max_entries` entries along every entry, for larger ones along random directions and random
    entries. The tensors are the input `x`, or each array of a tuple of inputs, and every parameter. Outputs of unequal
    size have an f each, so that a large one does not hide an error in a small one. A kink in the very point (ReLU at
    0) also makes the two disagree, and not always in a way that `f` shows: `relu(v) - relu(-v)` is as smooth as v. So
    a disagreement is looked at again at points up to a thousandth away, where a kink is gone and a wrong gradient is
    still wrong.

    Arguments: `x` is a batch, for a loss the prediction, a little inside the loss's domain, since the steps go both
    ways from it; whole numbers, such as tokens, have no steps, and their gradient must be 0. `target` goes to the loss.
    The copy is checked in training mode, the only one that has a backward pass. What is drawn is independent of what
    the caller drew, also from the same seed or generator `rng`.

    Raises: GradientError naming tensor, index, both values and the relative error; ValueError for a loss without the
    target it needs; TypeError for a subject of another kind.

    Source: central differences as in Baydin et al., Automatic differentiation in machine learning: a survey (2018).

    >>> from minidl import Dense
    >>> gradcheck(Dense(3, 2, rng=0), np.ones((4, 3))) < 1e-6
    True
    """
    generator = independent_generator(rng)
    max_entries = positive_int(max_entries, "gradcheck max_entries")
    x = as_input(x, "gradcheck x")
    x = each(_checked, x, part_names(x, "gradcheck x"))
    target = None if target is None else _checked(target, "gradcheck target")
    disagreements: list[GradientError] = []
    while len(disagreements) <= MOVES:
        function = _function(subject, x, target, generator)
        try:
            names = [name for name, tensor in function.tensors.items() if tensor.dtype.kind == "f"]
            return max((largest_error(function, name, generator, max_entries) for name in names), default=0.0)
        except GradientError as error:
            disagreements.append(error)
            subject, x = _moved(subject, x, target, generator)
    raise disagreements[0]


def _checked(value: Any, name: str) -> Array:
    array = as_array(value, name)
    array = cast(array, np.dtype(np.float64), name) if array.dtype.kind == "f" else array
    check_finite(array, name)
    return array


def independent_generator(rng: Seed) -> np.random.Generator:
    """Return a generator whose numbers are none that the caller has drawn or will draw, from any seed.

    With the caller's own generator or seed, x might equal the upstream gradient: an error that mixes up the two passes.
    """
    return np.random.default_rng([OWN, *as_generator(rng).integers(2**32, size=4)])


def _function(subject: Subject, x: Any, target: Any, rng: np.random.Generator) -> Function:
    model, loss = _parts(subject)
    if loss is not None and target is None:
        raise ValueError(f"gradcheck: expected a target for {loss!r}, received None")
    x = each(lambda part: part.copy(), x)
    tensors = dict(zip(leaves(part_names(x, "input")), leaves(x), strict=True))
    tensors |= {name: parameter.data for name, parameter in model.named_parameters()}
    pristine = copy.deepcopy(model)
    output = model(x)
    # A module that draws random numbers must draw the same ones at each evaluation: it starts from a fresh copy.
    is_random = _keeps_a_generator(model) or not np.array_equal(model(x), output, equal_nan=True)
    # No entry is so small that the others of its group would hide an error in it.
    upstream = rng.uniform(0.5, 1.5, output.shape) * rng.choice([-1.0, 1.0], output.shape)
    groups = _groups(output) if loss is None else np.zeros(1, int)

    def run(network: Module) -> Array:
        output = network(x)
        return (upstream * output).ravel() if loss is None else np.array([loss(output, target)])

    def terms() -> Array:
        if not is_random:
            return run(model)
        network = copy.deepcopy(pristine)
        for name, parameter in network.named_parameters():
            parameter.data = tensors[name]
        return run(network)

    def forward(group: int) -> tuple[Module, Array]:
        network = copy.deepcopy(pristine)
        output = network(x)
        if loss is None:
            return network, np.where(groups.reshape(output.shape) == group, upstream, 0)
        return network, loss.gradient(output, loss.cast_target(target, output.dtype))

    n_groups = int(groups.max()) + 1
    of_groups = [_analytic(partial(forward, group), x, tensors) for group in range(n_groups)]
    gradients = {name: np.stack([gradients[name].ravel() for gradients in of_groups]) for name in tensors}
    return Function(tensors, terms, groups, n_groups, gradients)


def _groups(output: Array) -> Array:
    """Return the number of each output's group: outputs of about the same size, and those that are zero."""
    exponents = np.frexp(output.ravel())[1] // FACTOR
    exponents = np.maximum(exponents, exponents.max() - FACTORS)
    exponents[output.ravel() == 0] = exponents.min() - 1
    groups: Array = np.unique(exponents, return_inverse=True)[1]
    return groups


def _keeps_a_generator(model: Module) -> bool:
    """Return whether outputs may be random although, for a small batch, two of them happened to be the same."""
    return any(any(members(module, (np.random.Generator,))) for _, module in model.named_modules())


def _parts(subject: Subject) -> tuple[Module, Loss | None]:
    """Return a float64 copy of the subject's module and of its loss; a loss alone stands behind an empty module."""
    if isinstance(subject, Loss):
        return Sequential(), copy.deepcopy(subject)
    model, loss = subject if isinstance(subject, tuple) else (subject, None)
    if not isinstance(model, Module) or not (loss is None or isinstance(loss, Loss)):
        raise TypeError(f"gradcheck: expected a Module, a Loss or a pair (Module, Loss), received {subject!r}")
    model = copy.deepcopy(model).train()
    for _, buffer in model.named_state():
        buffer.data = buffer.data.astype(np.float64)
    for parameter in model.parameters():
        parameter.unfreeze().grad = None
    return model, copy.deepcopy(loss)


def _analytic(forward: Callable[[], tuple[Module, Array]], x: Any, tensors: dict[str, Array]) -> dict[str, Array]:
    """Run the backward pass, and its parameters-only form where there is one, and return checked gradients."""
    network, grad_output = forward()
    gradients = named_gradients(network.backward(grad_output), x)
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            raise GradientError(f"gradcheck: {network!r} left the gradient of {name} unset")
        gradients[name] = parameter.grad
    if backward_of_first(network) != network.backward:
        twin, grad_output = forward()
        backward_of_first(twin)(grad_output)
        for name, parameter in twin.named_parameters():
            if parameter.grad is None or not np.array_equal(parameter.grad, gradients[name], equal_nan=True):
                raise GradientError(f"gradcheck: backward and backward_parameters disagree on {name} of {network!r}")
    for name, gradient in gradients.items():
        shape = getattr(gradient, "shape", None)
        if shape != tensors[name].shape:
            raise GradientError(
                f"gradcheck: gradient of {name}: expected shape {tensors[name].shape}, received {shape}"
            )
        if tensors[name].dtype.kind != "f" and np.any(gradient):
            raise ValueError("gradcheck x: expected floating numbers, as the gradient of whole numbers is not 0")
    return gradients


def _moved(subject: Subject, x: Any, target: Any, rng: np.random.Generator) -> tuple[Subject, Any]:
    """Return a copy of the subject and of `x`, every number shifted by about a thousandth, or less.

    The shift is small enough to keep most outputs within a tenth of what they were: where a function is flat, as a
    saturated sigmoid is, a wrong gradient that is off by a factor would agree. Outputs of zero, as kinks have, do not
    count. A shift that leads out of the domain, which is a ValueError, is too large as well.
    """
    before = _outputs(subject, x, target)
    counting, sizes = before != 0, np.abs(before[before != 0])
    size = 1e-3
    while size > 0:
        model, loss = _parts(subject)
        for parameter in model.parameters():
            parameter.data = _shifted(parameter.data, size, rng)
        moved = model if loss is None else loss if isinstance(subject, Loss) else (model, loss)
        moved_x = each(partial(_shifted, size=size, rng=rng), x)
        try:
            change = np.abs(_outputs(moved, moved_x, target) - before)[counting]
        except ValueError:
            change = sizes
        if sizes.size == 0 or (np.minimum(change, sizes) / sizes).mean() <= 0.1:
            return moved, moved_x
        size /= 10
    return subject, x


def _shifted(values: Array, size: float, rng: np.random.Generator) -> Array:
    if values.dtype.kind != "f":
        return values
    shifted: Array = values + size * max(1.0, float(np.abs(values).max())) * rng.standard_normal(values.shape)
    return shifted


def _outputs(subject: Subject, x: Any, target: Any) -> Array:
    model, loss = _parts(subject)
    output = model(x)
    return output if loss is None else np.array([loss(output, target)])
