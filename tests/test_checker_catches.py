"""gradcheck, check_layer and check_loss catch what is planted in one layer or loss each, and pass what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    BinaryCrossEntropy,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSwish,
    Hinge,
    Huber,
    LayerInputError,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    Loss,
    Masked,
    MaxPool1D,
    MaxPool2D,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    Normalize,
    Parallel,
    Parameter,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Residual,
    RMSNorm,
    SelfAttention,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Tanh,
    TransformerBlock,
    UpSample2D,
    layers,
    losses,
)
from minidl._typing import Array
from minidl.parameter import Buffer
from minidl.testing import ContractError, GradientError, check_layer, check_loss, gradcheck

SCALES = [1e-6, 1e-3, 1.0, 1e3, 1e8]
ERRORS = [0.001, -0.001]


class Function(Module):
    """`y = f(x)` for each number, with the derivative `df(x)`, which may be wrong by a factor."""

    def __init__(self, f: Callable[[Array], Array], df: Callable[[Array], Array], error: float = 0.0) -> None:
        self.f, self.df, self.error = f, df, error

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        return self.f(x)

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        gradient: Array = grad_output * self.df(x) * (1 + self.error)
        return gradient


class MaskOfGradient(Function):
    """A ReLU that looks for the sign in the gradient instead of the input."""

    def __init__(self) -> None:
        super().__init__(lambda x: np.maximum(x, 0), np.ones_like)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * (grad_output > 0)


class Linear(Module):
    """`y = x W.T`, with a weight gradient that may be transposed."""

    def __init__(self, weight: Array, transposed: bool = False) -> None:
        self.weight, self.transposed = Parameter(weight), transposed

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        return x @ self.weight.data.T

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        gradient = grad_output.T @ x
        self.weight.grad = gradient.T if self.transposed else gradient
        return grad_output @ self.weight.data


class Columns(Module):
    """Two outputs of all inputs, `a sum(x)` and `b sum(sin(x))`; the gradient of the second may be wrong."""

    def __init__(self, a: float, b: float, error: float = 0.0) -> None:
        self.a, self.b, self.error = a, b, error

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        return np.stack([self.a * x.sum(axis=1), self.b * np.sin(x).sum(axis=1)], axis=1)

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        first, second = self.a * grad_output[:, :1], self.b * (1 + self.error) * grad_output[:, 1:]
        gradient: Array = first * np.ones_like(x) + second * np.cos(x)
        return gradient


class Gain(Module):
    """`y = x g` with a parameter; the gradient of the parameter may be wrong."""

    def __init__(self, gain: float, error: float = 0.0) -> None:
        self.gain, self.error = Parameter(np.full(3, gain)), error

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        return x * self.gain.data

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        self.gain.grad = (grad_output * x).sum(axis=0) * (1 + self.error)
        return grad_output * self.gain.data


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("is_generator", [False, True])
def test_the_upstream_gradient_is_independent_of_x(seed: int, is_generator: bool) -> None:
    def rng() -> Any:
        return np.random.default_rng(seed) if is_generator else seed

    drawn = np.random.default_rng(seed)
    upstream = drawn.uniform(0.5, 1.5, (5, 4)) * drawn.choice([-1.0, 1.0], (5, 4))  # as gradcheck draws it
    for x in (upstream, np.random.default_rng(seed).normal(size=(5, 4)), drawn.uniform(-1, 1, (5, 4))):
        with pytest.raises(GradientError, match="gradient of input"):
            gradcheck(MaskOfGradient(), x, rng=rng())
        assert gradcheck(ReLU(), x, rng=rng()) < 1e-5
        # Symmetric for an upstream gradient that is proportional to x.
        with pytest.raises(GradientError, match="gradient of weight"):
            gradcheck(Linear(np.eye(4), transposed=True), x, rng=rng())
        assert gradcheck(Linear(np.eye(4)), x, rng=rng()) < 1e-5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_check_layer_draws_what_the_layer_was_not_made_of(seed: int) -> None:
    class InputForWeight(Linear):
        """Right where the input is the weight, as it would be from the same seed."""

        def __init__(self, dtype: Any) -> None:
            super().__init__(np.random.default_rng(seed).standard_normal((4, 4)).astype(dtype))

        def backward(self, grad_output: Array) -> Array:
            (x,) = self._saved or (None,)
            super().backward(grad_output)
            grad_input: Array = grad_output @ np.asarray(x)
            return grad_input

    with pytest.raises(GradientError, match="gradient of input"):
        check_layer(InputForWeight, (4, 4), (4, 4), rng=seed)


FUNCTIONS: dict[str, Callable[[float, float], tuple[Module, float]]] = {
    # The module and the scale of its input, for a scale and an error.
    "output": lambda s, e: (Function(lambda x: s * np.sin(x), lambda x: s * np.cos(x), e), 1.0),
    "output of a power": lambda s, e: (Function(lambda x: s * x**3, lambda x: 3 * s * x**2, e), 1.0),
    "input": lambda s, e: (Function(lambda x: x**3, lambda x: 3 * x**2, e), s),
    "input of a wave": lambda s, e: (Function(np.sin, np.cos, e), s),
    "input and width": lambda s, e: (Function(lambda x: np.tanh(x / s), lambda x: (1 - np.tanh(x / s) ** 2) / s, e), s),
    "parameter": lambda s, e: (Gain(s, e), 1.0),
    "parameter's input": lambda s, e: (Gain(1.0, e), s),
    "small beside large": lambda s, e: (Columns(s, 1.0, e), 1.0),
    "large beside small": lambda s, e: (Columns(1.0, s, e), 1.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("scale", SCALES)
@settings(max_examples=3)
@given(seed=seeds)
def test_a_tenth_of_a_percent_is_found_at_every_scale(name: str, scale: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(4, 3))
    module, of_input = FUNCTIONS[name](scale, 0.0)
    assert gradcheck(module, of_input * x, rng=seed) < 1e-5
    for error in ERRORS:
        wrong, of_input = FUNCTIONS[name](scale, error)
        with pytest.raises(GradientError, match="relative error"):
            gradcheck(wrong, of_input * x, rng=seed)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("error", [0.0, *ERRORS])
def test_losses_at_every_scale(scale: float, error: float) -> None:
    class Scaled(Squares):
        def value(self, prediction: Array, target: Array) -> float:
            return scale * super().value(prediction, target)

        def gradient(self, prediction: Array, target: Array) -> Array:
            return scale * (1 + error) * super().gradient(prediction, target)

    p, t = np.random.default_rng(1).normal(size=(2, 5, 3))
    for subject in (Scaled(), (Dense(3, 3, rng=0), Scaled())):
        for factor in (1.0, scale):
            if error:
                with pytest.raises(GradientError):
                    gradcheck(subject, factor * p, factor * t)
            else:
                assert gradcheck(subject, factor * p, factor * t) < 1e-5


@settings(max_examples=10)
@given(seeds, st.sampled_from([1e-3, 1.0, 1e4]))
def test_rounding_of_what_is_subtracted_again_is_no_error(seed: int, scale: float) -> None:
    # The bias before a BatchNorm has the gradient 0, and some of the outputs are small by accident.
    model = Sequential(Dense(3, 20, rng=seed), BatchNorm(20), Dense(20, 2, rng=seed), Softmax())
    assert gradcheck(model, scale * np.random.default_rng(seed).normal(size=(6, 3)), rng=seed) < 1e-5


class Centered(Gain):
    """`y = x + g - mean(x + g)`, in which the parameter, and most digits of the sum, cancel out."""

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        y: Array = x + self.gain.data
        centered: Array = y - y.mean(axis=0)
        return centered

    def backward(self, grad_output: Array) -> Array:
        self.saved_for_backward()
        self.gain.grad = np.full(3, self.error)
        gradient: Array = grad_output - grad_output.mean(axis=0)
        return gradient


def test_rounding_is_measured_where_the_outputs_do_not_show_it() -> None:
    for seed in range(40):  # for one in six of them, the allowance for outputs of this size is too small
        x = 1e-3 * np.random.default_rng(seed).normal(size=(16, 3))
        assert gradcheck(Centered(1.7), x, rng=seed) < 1e-5
    with pytest.raises(GradientError, match="gradient of gain"):
        gradcheck(Centered(1.7, error=1e-6), x)


def test_a_function_that_is_rough_at_every_step_is_no_rounding() -> None:
    wave = Function(lambda x: np.abs(np.sin(1e9 * x)), np.ones_like)
    with pytest.raises(GradientError):
        gradcheck(wave, np.random.default_rng(3).normal(size=(4, 3)))


def test_the_border_of_a_domain_is_no_kink() -> None:
    class Wrong(BinaryCrossEntropy):
        def gradient(self, prediction: Array, target: Array) -> Array:
            return super().gradient(prediction, target) * 1.001

    p, t = np.array([[1e-4], [1 - 1e-4]]), np.array([[0.0], [1.0]])  # a thousandth away there are no probabilities
    assert gradcheck(BinaryCrossEntropy(), p, t) < 1e-5
    with pytest.raises(GradientError):
        gradcheck(Wrong(), p, t)
    with pytest.raises(ValueError, match="probabilities"):
        gradcheck(BinaryCrossEntropy(), p - 1, t)


def check_shape(grad_output: Array, shape: tuple[int, ...]) -> None:
    if grad_output.shape != shape:
        raise ValueError(f"expected a gradient of shape {shape}, received {grad_output.shape}")


class Slope(Module):
    """A right layer, `y = a x + b` with two parameters and a buffer, and the base of wrong ones."""

    def __init__(self, features: int, dtype: Any = np.float64) -> None:
        self.features, self.dtype = features, np.dtype(dtype).name
        self.a, self.b = Parameter(np.full(features, 1.5, dtype)), Parameter(np.full(features, 0.5, dtype))
        self.seen = Buffer(np.zeros(features, dtype))

    def forward(self, x: Array) -> Array:
        if x.shape[1:] != (self.features,):
            raise LayerInputError(self, f"expected (batch, {self.features}), received {x.shape}")
        if self.training:
            self.seen.data = self.seen.data + 1
        self.save_for_backward(x)
        return x * self.a.data + self.b.data

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        check_shape(grad_output, x.shape)
        self.a.grad, self.b.grad = (grad_output * x).sum(axis=0), grad_output.sum(axis=0)
        return grad_output * self.a.data


class AddsUp(Slope):
    def backward(self, grad_output: Array) -> Array:
        before = self.a.grad
        grad_input = super().backward(grad_output)
        if before is not None and self.a.grad is not None:
            self.a.grad = self.a.grad + before
        return grad_input


class AddsUpInPlace(Slope):
    def backward(self, grad_output: Array) -> Array:
        before = self.b.grad
        grad_input = super().backward(grad_output)
        if before is not None and self.b.grad is not None:
            before += self.b.grad
            self.b.grad = before
        return grad_input


class AddsUpInOneWay(Dense):
    """Its backward writes; the form for parameters alone does not write all, and leaves what was there."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output)

    def backward_parameters(self, grad_output: Array) -> None:
        before = self.weight.grad
        super().backward_parameters(grad_output)
        if before is not None:
            self.weight.grad = before


class FirstInput(Slope):
    """Goes back through the first batch it ever saw, as long as the shapes allow it."""

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        self.first = getattr(self, "first", x)
        self.save_for_backward(self.first if self.first.shape == x.shape else x)
        return super().backward(grad_output)


class FirstForward(Slope):
    """Keeps a batch until a backward pass asks for it, and does not replace it before."""

    kept: Array | None = None

    def forward(self, x: Array) -> Array:
        if self.training and self.kept is None:
            self.kept = x
        return super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        self.saved_for_backward()
        x, self.kept = self.kept, None
        assert x is not None
        self._saved = (x,)
        return super().backward(grad_output[: len(x)])


class FirstShape(Slope):
    """Remembers how many samples the first batch had."""

    count = 0

    def backward(self, grad_output: Array) -> Array:
        self.count = self.count or len(grad_output)
        grad_input = super().backward(grad_output)
        self.b.grad = grad_output[: self.count].sum(axis=0)
        return grad_input


class SeesEvaluation(Slope):
    """Keeps its input in evaluation as well, where another thread may call it between the two passes."""

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        self.x = x
        return y

    def backward(self, grad_output: Array) -> Array:
        self.saved_for_backward()
        self.a.grad, self.b.grad = (grad_output * self.x[: len(grad_output)]).sum(axis=0), grad_output.sum(axis=0)
        check_shape(grad_output, grad_output.shape)
        return grad_output * self.a.data


class RemembersEvaluation(Slope):
    """Answers an evaluation with what it answered before to a batch of the same shape."""

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if self.training:
            return y
        answers = vars(self).setdefault("answers", {})
        answer: Array = answers.setdefault(x.shape[1:], y[:1])
        return y + (answer[0] - answer[0] if answer.shape == y[:1].shape and (answer == y[:1]).all() else 1.0)


class OneSampleGradient(Slope):
    """The gradient of a batch of one is wrong."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * (1.0 if len(grad_output) > 1 else 0.5)


class OneSampleParameter(Slope):
    """The sum over the samples loses its axis for a batch of one."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.b.grad = grad_output.squeeze().sum(axis=0) * np.ones_like(self.b.data)
        return grad_input


class OneSampleShape(Slope):
    """Drops the axis of a batch of one."""

    def forward(self, x: Array) -> Array:
        return super().forward(x).squeeze(axis=0) if len(x) == 1 else super().forward(x)


class OneSampleOutput(Slope):
    """Normalizes by the batch in evaluation."""

    def forward(self, x: Array) -> Array:
        return super().forward(x if self.training else x - x.mean(axis=0))


class OneSampleRefused(Slope):
    """Refuses a batch of one by an error of its own."""

    def forward(self, x: Array) -> Array:
        if self.training and len(x) == 1:
            raise ZeroDivisionError("no variance")
        return super().forward(x)


class CountsEvaluations(Slope):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        self.seen.data = self.seen.data + 1
        return y


class CountsInPlace(Slope):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if not self.training:
            self.seen.data += 1
        return y


class DecaysInEvaluation(Slope):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if not self.training:
            self.b.data *= 1 - 1e-9
        return y


class ForgetsGradients(Slope):
    def forward(self, x: Array) -> Array:
        if not self.training:
            self.a.grad = None
        return super().forward(x)


class TakesTheStepItself(Slope):
    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.a.data = self.a.data - 1e-9 * np.asarray(self.a.grad)
        return grad_input


class Broadcasts(Slope):
    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        self.a.grad = (grad_output * x).sum(axis=0)
        self.b.grad = (grad_output + 0 * x).sum(axis=0)
        gradient: Array = grad_output * np.broadcast_to(self.a.data, x.shape)
        return gradient


class BroadcastsColumns(Broadcasts):
    """Looks at the number of samples only."""

    def backward(self, grad_output: Array) -> Array:
        if self._saved is not None and len(grad_output) != len(self._saved[0]):
            check_shape(grad_output, self._saved[0].shape)
        return super().backward(grad_output)


class RefusesVaguely(Slope):
    def backward(self, grad_output: Array) -> Array:
        if self._saved is not None and grad_output.shape != self._saved[0].shape:
            raise ValueError("bad gradient")
        return super().backward(grad_output)


class WritesDouble(Slope):
    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.b.grad = grad_output.sum(axis=0, dtype=np.float64)
        return grad_input


class WritesSingle(Slope):
    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.a.grad = np.asarray(self.a.grad).astype(np.float32)
        return grad_input


class WritesDoubleInOneWay(Dense):
    def backward_parameters(self, grad_output: Array) -> None:
        super().backward_parameters(grad_output)
        self.weight.grad = np.asarray(self.weight.grad).astype(np.float64)


class WritesLists(Slope):
    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.b.grad = grad_output.sum(axis=0).tolist()
        return grad_input


NEW = "is another one than of a new layer"
SLOPES: list[tuple[type[Slope], str]] = [
    (AddsUp, f"after a training pass over another batch, the gradient of a {NEW}"),
    (AddsUpInPlace, f"after a training pass over another batch, the gradient of b {NEW}"),
    (FirstInput, "gradient of a"),
    (FirstForward, "after a forward pass that no backward pass followed"),
    (FirstShape, f"after a training pass over another batch, the gradient of b {NEW}"),
    (SeesEvaluation, f"with an evaluation between forward and backward, the gradient of a {NEW}"),
    (RemembersEvaluation, f"after an evaluation of another batch, the output in evaluation {NEW}"),
    (OneSampleGradient, r"gradient of input\[0, 0\]: backward gives"),
    (OneSampleParameter, r"gradient of b\[0\]: backward gives"),
    (OneSampleShape, r"batch of one in evaluation: expected float64 \(1, 3\), received float64 \(3,\)"),
    (OneSampleOutput, "in evaluation, a sample alone has another output than in a batch"),
    (CountsEvaluations, "evaluation changes seen"),
    (CountsInPlace, "evaluation changes seen"),
    (DecaysInEvaluation, "evaluation changes b"),
    (ForgetsGradients, "evaluation writes gradients"),
    (TakesTheStepItself, "a pass in training changes the parameter a, which only the optimizer may do"),
    (Broadcasts, r"gradient of shape \(1, 3\) for the output of shape \(5, 3\): expected an error .* received none"),
    (BroadcastsColumns, r"gradient of shape \(5, 1\) for the output of shape \(5, 3\): expected .* received none"),
    (
        RefusesVaguely,
        r"\(1, 3\) for the output of shape \(5, 3\): expected an error that names both shapes, rec",
    ),
    (WritesDouble, r"gradient of b by backward: expected float32 \(3,\), received float64 \(3,\)"),
    (WritesSingle, r"gradient of a by backward: expected float64 \(3,\), received float32 \(3,\)"),
    (WritesLists, r"gradient of b by backward: expected float32 \(3,\), received list None"),
]


@pytest.mark.parametrize(("kind", "problem"), SLOPES, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_layer_is_caught(kind: type[Slope], problem: str) -> None:
    with pytest.raises((ContractError, GradientError), match=problem):
        check_layer(lambda dtype: kind(3, dtype), (5, 3), (5, 3), bad_shapes=[(5, 4)], strict=True)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (WritesDoubleInOneWay, r"weight by backward_parameters: expected float32 \(2, 3\), received float64"),
        (AddsUpInOneWay, "weight"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_form_for_parameters_alone_is_caught(kind: type[Dense], problem: str) -> None:
    with pytest.raises((ContractError, GradientError), match=problem):
        check_layer(lambda dtype: kind(3, 2, rng=0, dtype=dtype), (5, 3), (5, 2))


def test_an_error_of_its_own_for_a_batch_of_one_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError, match="no variance"):
        check_layer(lambda dtype: OneSampleRefused(3, dtype), (5, 3), (5, 3))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_base_of_the_broken_layers_is_right(n: int) -> None:
    check_layer(lambda dtype: Slope(3, dtype), (n, 3), (n, 3), bad_shapes=[(5, 4)], strict=True)


@pytest.mark.parametrize("kind", [Broadcasts, BroadcastsColumns, RefusesVaguely])
def test_gradients_of_other_shapes_are_tried_where_it_is_asked_for(kind: type[Slope]) -> None:
    check_layer(lambda dtype: kind(3, dtype), (5, 3), (5, 3))


PICTURES = (3, 5, 4, 2)
# How to make each layer, its input and its output.
BUILT_IN: list[tuple[Callable[[Any], Module], tuple[int, ...], tuple[int, ...]]] = [
    (lambda dtype: Dense(4, 3, rng=0, dtype=dtype), (5, 4), (5, 3)),
    (lambda dtype: Dense(1, 1, bias=False, rng=0, dtype=dtype), (1, 1), (1, 1)),
    (lambda dtype: ReLU(), (5, 4), (5, 4)),
    (lambda dtype: LeakyReLU(0.1), (5, 4), (5, 4)),
    (lambda dtype: Sigmoid(), (5, 4), (5, 4)),
    (lambda dtype: Tanh(), PICTURES, PICTURES),
    (lambda dtype: GELU(), (5, 1), (5, 1)),
    (lambda dtype: GELU("tanh"), (5, 4), (5, 4)),
    (lambda dtype: PReLU(4, dtype=dtype), (3, 2, 2, 4), (3, 2, 2, 4)),
    (lambda dtype: ReLU6(), (5, 4), (5, 4)),
    (lambda dtype: ELU(0.7), (5, 4), (5, 4)),
    (lambda dtype: SELU(), PICTURES, PICTURES),
    (lambda dtype: SiLU(), (5, 4), (5, 4)),
    (lambda dtype: HardSwish(), (5, 4), (5, 4)),
    (lambda dtype: Softplus(), (5, 4), (5, 4)),
    (lambda dtype: Softmax(), (5, 4), (5, 4)),
    (lambda dtype: LogSoftmax(), (5, 4), (5, 4)),
    (lambda dtype: Flatten(), PICTURES, (3, 40)),
    (lambda dtype: Rescale(0.1, 2.0), (5, 4), (5, 4)),
    (lambda dtype: Normalize(4, dtype=dtype).adapt(2 * np.eye(4)), (5, 4), (5, 4)),
    (lambda dtype: Dropout(0.4, rng=0), (5, 4), (5, 4)),
    (lambda dtype: BatchNorm(4, dtype=dtype), (5, 4), (5, 4)),
    (lambda dtype: BatchNorm(2, dtype=dtype), PICTURES, PICTURES),
    (lambda dtype: LayerNorm(4, dtype=dtype), (5, 4), (5, 4)),
    (lambda dtype: Conv2D(2, 3, 3, 2, "same", rng=0, dtype=dtype), PICTURES, (3, 3, 2, 3)),
    (lambda dtype: Conv2D(2, 2, (3, 2), 1, 1, 2, groups=2, rng=0, dtype=dtype), PICTURES, (3, 3, 4, 2)),
    (lambda dtype: Conv1D(4, 6, 3, 2, "causal", groups=2, rng=0, dtype=dtype), (3, 5, 4), (3, 3, 6)),
    (lambda dtype: ConvTranspose2D(2, 3, 3, 2, 1, 1, rng=0, dtype=dtype), PICTURES, (3, 10, 8, 3)),
    (lambda dtype: MaxPool2D(2, 1), PICTURES, (3, 4, 3, 2)),
    (lambda dtype: MaxPool1D(2, 1), (3, 5, 4), (3, 4, 4)),
    (lambda dtype: AveragePool2D(2), PICTURES, (3, 2, 2, 2)),
    (lambda dtype: AveragePool2D((2, 3), 1, 1, False), PICTURES, (3, 6, 4, 2)),
    (lambda dtype: AveragePool1D(2), (3, 5, 4), (3, 2, 4)),
    (lambda dtype: GlobalAveragePool2D(), PICTURES, (3, 2)),
    (lambda dtype: GlobalMaxPool2D(), PICTURES, (3, 2)),
    (lambda dtype: UpSample2D(2), PICTURES, (3, 10, 8, 2)),
    (lambda dtype: RMSNorm(4, dtype=dtype), (5, 4), (5, 4)),
    (lambda dtype: GroupNorm(2, 4, dtype=dtype), (3, 2, 2, 4), (3, 2, 2, 4)),
    (lambda dtype: Embedding(5, 2, rng=0, dtype=dtype), (3, 4), (3, 4, 2)),
    (lambda dtype: PositionalEmbedding(5, 2, rng=0, dtype=dtype), (3, 4, 2), (3, 4, 2)),
    (lambda dtype: SelfAttention(4, 2, causal=True, rng=0, dtype=dtype), (3, 4, 4), (3, 4, 4)),
    (lambda dtype: LSTM(2, 3, bidirectional=True, rng=0, dtype=dtype), (3, 4, 2), (3, 4, 6)),
    (lambda dtype: GRU(2, 3, return_sequence=False, rng=0, dtype=dtype), (3, 4, 2), (3, 3)),
    (lambda dtype: GlobalAveragePool1D(), (3, 4, 2), (3, 2)),
    (lambda dtype: GlobalMaxPool1D(), (3, 4, 2), (3, 2)),
    (lambda dtype: TransformerBlock(4, 2, dropout=0.3, rng=0, dtype=dtype), (3, 4, 4), (3, 4, 4)),
    (lambda dtype: Masked(Embedding(5, 2, rng=0, dtype=dtype), padding=9), (3, 4), (3, 4, 2)),
    (lambda dtype: Residual(Dense(4, 4, rng=0, dtype=dtype), Tanh()), (5, 4), (5, 4)),
    (lambda dtype: Parallel(Sequential(), Tanh(), merge="multiply"), (5, 4), (5, 4)),
    (lambda dtype: Sequential(Dense(4, 3, rng=0, dtype=dtype), Tanh(), BatchNorm(3, dtype=dtype)), (5, 4), (5, 3)),
]


@pytest.mark.parametrize("case", range(len(BUILT_IN)))
@settings(max_examples=3)
@given(seed=seeds)
def test_every_layer_is_right(case: int, seed: int) -> None:
    make, input_shape, output_shape = BUILT_IN[case]
    layer = make(np.float64)
    tokens = 5 if isinstance(layer, (Embedding, Masked)) else None
    views = isinstance(layer, Flatten)
    check_layer(make, input_shape, output_shape, tokens=tokens, views=views, strict=True, rng=seed)


def test_every_layer_is_checked() -> None:
    assert {type(make(np.float64)).__name__ for make, *_ in BUILT_IN} >= set(layers.__all__)


class Squares(Loss):
    """A right loss, and the base of wrong ones."""

    def value(self, prediction: Array, target: Array) -> float:
        return float(np.square(prediction - target).sum(dtype=np.float64) / prediction.size)

    def gradient(self, prediction: Array, target: Array) -> Array:
        gradient: Array = 2 * (prediction - target) / prediction.size
        return gradient


class FirstGradient(Squares):
    """Answers with the gradient of its first call, as far as the shapes allow."""

    def gradient(self, prediction: Array, target: Array) -> Array:
        gradient = super().gradient(prediction, target)
        self.first = getattr(self, "first", gradient)
        return self.first.astype(gradient.dtype) if self.first.shape == gradient.shape else gradient


FIRST: dict[tuple[int, ...], Array] = {}


class FirstGradientElsewhere(Squares):
    """Keeps the gradients of its first calls outside itself."""

    def gradient(self, prediction: Array, target: Array) -> Array:
        gradient = super().gradient(prediction, target)
        return FIRST.setdefault(gradient.shape[1:], gradient)[: len(gradient)].astype(gradient.dtype)


class SecondGradient(Squares):
    """Only the first call is right."""

    calls = 0

    def gradient(self, prediction: Array, target: Array) -> Array:
        type(self).calls += 1
        return super().gradient(prediction, target) * (1.0 if type(self).calls == 1 else 0.5)


class GradientOfTheLastValue(Squares):
    last: tuple[Array, Array] | None = None

    def value(self, prediction: Array, target: Array) -> float:
        self.last = prediction, target
        return super().value(prediction, target)

    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(*(self.last or (prediction, target)))


class CountsCalls(Squares):
    def __init__(self) -> None:
        self.counts = {"value": [0]}

    def value(self, prediction: Array, target: Array) -> float:
        self.counts["value"][0] += 1
        return super().value(prediction, target)


class KeepsAnArray(Squares):
    def __init__(self) -> None:
        self.largest = np.zeros(1)

    def value(self, prediction: Array, target: Array) -> float:
        np.maximum(self.largest, np.abs(prediction - target).max(), out=self.largest)
        return super().value(prediction, target)


class DrawsNumbers(Squares):
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def value(self, prediction: Array, target: Array) -> float:
        self.rng.random()
        return super().value(prediction, target)


class Sum(Squares):
    def value(self, prediction: Array, target: Array) -> float:
        return super().value(prediction, target) * len(prediction)

    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(prediction, target) * len(prediction)


class GradientOfTheSum(Squares):
    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(prediction, target) * len(prediction)


class LossOfOne(Squares):
    """The gradient of a batch of one is wrong."""

    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(prediction, target) * (1.0 if len(prediction) > 1 else 2.0)


class GradientOfFour(Squares):
    """The gradient of a batch is cut off after four samples."""

    def gradient(self, prediction: Array, target: Array) -> Array:
        gradient = super().gradient(prediction, target)
        gradient[4:] = 0
        return gradient


P = np.array([[0.2, 1.0], [0.7, -0.5], [-0.4, 0.3]])


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (FirstGradient, "it keeps state: a call changes its attributes"),
        (FirstGradientElsewhere, "gradient"),
        (SecondGradient, "a second gradient is another one"),
        (GradientOfTheLastValue, "it keeps state: a call changes its attributes"),
        (CountsCalls, "it keeps state: a call changes its attributes"),
        (KeepsAnArray, "it keeps state: a call changes its attributes"),
        (DrawsNumbers, "it keeps state: a call changes its attributes"),
        (Sum, "a batch taken twice costs .* instead of .*, the mean"),
        (GradientOfTheSum, r"gradient of input\[0, 0\]: backward gives"),
        (GradientOfFour, "the gradient of a batch taken twice is not half that of the batch"),
        (LossOfOne, r"gradient of input\[0, 0\]: backward gives"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_loss_is_caught(kind: Callable[[], Loss], problem: str) -> None:
    FIRST.clear()
    with pytest.raises((ContractError, GradientError), match=problem):
        check_loss(kind(), P, 1 - P[::-1])


def test_what_a_loss_keeps_outside_itself_is_caught() -> None:
    class Elsewhere(Squares):
        def value(self, prediction: Array, target: Array) -> float:
            after_another = kept.setdefault("count", len(prediction)) != len(prediction)
            kept["after"] = kept.get("after", False) or after_another
            return super().value(prediction, target) * (2.0 if kept["after"] and not after_another else 1.0)

    kept: dict[str, Any] = {}
    with pytest.raises(ContractError, match="after another batch, value or gradient of the same batch is another one"):
        check_loss(Elsewhere(), P, 1 - P[::-1])


class Weighted(Squares):
    """A right loss with attributes of many kinds."""

    def __init__(self) -> None:
        self.weights, self.names, self.offset = np.array([1.0, np.nan]), ["a", ("b", {1, 2})], float("nan")
        self.inner, self.rng = MeanSquaredError(), np.random.default_rng(0)
        self.function = lambda x: 2 * x


LOSSES: list[tuple[Loss, Array, Array]] = [
    (MeanSquaredError(), P, 1 - P[::-1]),
    (MeanAbsoluteError(), P, 1 - P[::-1]),
    (Huber(0.5), P, 1 - P[::-1]),
    (Hinge(), 2 * P, (P > 0).astype(np.int64)),
    (Hinge(squared=True), 2 * P, np.sign(P)),
    (Weighted(), P, 1 - P[::-1]),
    (Squares(), P, 1 - P[::-1]),
    (BinaryCrossEntropy(pos_weight=3.0), 0.5 + P / 3, (P > 0).astype(np.int64)),
    (BinaryCrossEntropy(from_logits=True), 5 * P, (P > 0).astype(np.float64)),
    (SoftmaxCrossEntropy(0.1), 5 * P, np.array([1, 0, 0])),
    (SoftmaxCrossEntropy(from_logits=False), np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.3, 0.7]])),
]


@pytest.mark.parametrize("case", range(len(LOSSES)))
def test_every_loss_is_right(case: int) -> None:
    check_loss(*LOSSES[case])


def test_every_loss_is_checked() -> None:
    checked = {type(loss).__name__ for loss, *_ in LOSSES}
    assert checked >= {*losses.__all__} - {"Loss", "WeightedLoss"}  # whose targets are pairs
