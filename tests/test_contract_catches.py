"""The contract test is tested: layers and losses that break it in one way each, and the message that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minidl import BinaryCrossEntropy, Dropout, Loss, Module
from minidl._typing import Array
from minidl.errors import LayerInputError
from minidl.testing import ContractError, GradientError, check_layer, check_loss


class Identity(Module):
    """A right layer, and the base of wrong ones."""

    def forward(self, x: Array) -> Array:
        if x.ndim != 2:
            raise LayerInputError(self, f"expected (batch, features), received {x.shape}")
        self.save_for_backward()
        return x.copy()

    def backward(self, grad_output: Array) -> Array:
        self.saved_for_backward()
        return grad_output.copy()


class WrongGradient(Identity):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output) * 1.001


class Promotes(Identity):
    def forward(self, x: Array) -> Array:
        return super().forward(x).astype(np.float64)


class PromotesGradient(Identity):
    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output).astype(np.float64)


class KeepsInEvaluation(Identity):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        self._saved = ()
        return y


class GoesBackTwice(Identity):
    def backward(self, grad_output: Array) -> Array:
        return grad_output.copy()


class ReturnsItsInput(Identity):
    def forward(self, x: Array) -> Array:
        super().forward(x)
        return x


class ReturnsTheGradient(Identity):
    def backward(self, grad_output: Array) -> Array:
        super().backward(grad_output)
        return grad_output


class WritesIntoItsInput(Identity):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        x *= 1.5
        return y


class ReusesItsOutput(Identity):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if getattr(self, "y", y).shape != y.shape or getattr(self, "y", y).dtype != y.dtype:
            self.y = y
        self.y = getattr(self, "y", y)
        self.y[...] = y
        return self.y


class Gain(Identity):
    """A right layer: y = gain * x."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = self.factor = gain

    def forward(self, x: Array) -> Array:
        return self.factor * super().forward(x)

    def backward(self, grad_output: Array) -> Array:
        return self.factor * super().backward(grad_output)


class ForgetsItsArgument(Gain):
    """Its argument is not among its attributes, so that a file would not have it."""

    def __init__(self, gain: float = 1.0) -> None:
        self.factor = gain


class ChangesItsArgument(Gain):
    """The attribute of its argument's name is not the argument."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = self.factor = 2 * gain


class ShowsAnotherArgument(ChangesItsArgument):
    def __repr__(self) -> str:
        return f"ShowsAnotherArgument({self.gain:g})"


class HasAnotherConfig(Gain):
    """Its `config`, which takes the place of the attributes, leaves the argument out."""

    def config(self) -> dict[str, Any]:
        return {}


class DependsOnTheLayout(Identity):
    def forward(self, x: Array) -> Array:
        super().forward(x)
        return np.array(x.ravel(order="K")).reshape(x.shape)


class RandomInEvaluation(Dropout):
    def forward(self, x: Array) -> Array:
        return super().forward(x) if self.training else x * self.rng.random()


class TakesEverything(Identity):
    def forward(self, x: Array) -> Array:
        self.save_for_backward()
        return x.copy()


class SpeaksVaguely(Identity):
    def forward(self, x: Array) -> Array:
        if x.ndim != 2:
            raise LayerInputError("a layer", "bad input")
        return super().forward(x)


class FailsInside(Identity):
    def forward(self, x: Array) -> Array:
        return super().forward(x[:, :]) if x.ndim == 2 else x[:, :, :, :, 0]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (WrongGradient, r"gradient of input\[0, 0\]: backward gives"),
        (Promotes, r"output: expected float32 \(3, 2\), received float64 \(3, 2\)"),
        (PromotesGradient, r"gradient of the input: expected float32 \(3, 2\), received float64"),
        (KeepsInEvaluation, "evaluation keeps arrays"),
        (GoesBackTwice, "a second backward pass passed without a RuntimeError"),
        (ReturnsItsInput, "what it returns shares memory with the caller's input"),
        (ReturnsTheGradient, "what it returns shares memory with the caller's gradient"),
        (WritesIntoItsInput, "it changed the caller's input"),
        (ReusesItsOutput, "overwrote an array it had handed out"),
        (lambda: ForgetsItsArgument(2.0), "built anew from its description and state, it computes something else"),
        (lambda: ChangesItsArgument(2.0), "built anew from its description and state, it computes something else"),
        (lambda: ShowsAnotherArgument(2.0), r"its description builds ShowsAnotherArgument\(8\)"),
        (lambda: HasAnotherConfig(2.0), "built anew from its description and state, it computes something else"),
        (lambda: RandomInEvaluation(0.5, rng=0), "evaluation gives another output"),
        (DependsOnTheLayout, "the output depends on the layout"),
        (TakesEverything, r"took input of shape \(2,\) without an error"),
        (SpeaksVaguely, r"does not name the layer and the shape \(2,\): a layer: bad input"),
        (FailsInside, r"expected LayerInputError for input \(2,\), received IndexError"),
    ],
)
def test_a_broken_layer_is_caught(make: Callable[[], Module], problem: str) -> None:
    with pytest.raises((ContractError, GradientError), match=problem):
        check_layer(lambda _: make(), (3, 2), (3, 2), bad_shapes=[(2,)])


def test_the_base_of_the_broken_layers_is_right() -> None:
    check_layer(lambda _: Identity(), (3, 2), (3, 2), bad_shapes=[(2,)])
    check_layer(lambda _: Gain(2.0), (3, 2), (3, 2), bad_shapes=[(2,)])


COLUMN = np.array([[0.2], [0.7], [0.4]])


class SumInsteadOfMean(Loss):
    """A loss whose gradient fits, but which grows with the batch."""

    def value(self, prediction: Array, target: Array) -> float:
        return float(((prediction - target) ** 2).sum(dtype=np.float64))

    def gradient(self, prediction: Array, target: Array) -> Array:
        return 2 * (prediction - target)


class OffByAThousandth(BinaryCrossEntropy):
    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(prediction, target) * 1.001


class NumpyScalar(BinaryCrossEntropy):
    def __call__(self, prediction: Any, target: Any) -> Any:
        return np.float64(super().__call__(prediction, target))


class PromotesItsGradient(BinaryCrossEntropy):
    def gradient(self, prediction: Array, target: Array) -> Array:
        return super().gradient(prediction, target).astype(np.float64)


class ServesOneGradient(BinaryCrossEntropy):
    """A loss that keeps the batch of its value for one gradient, as a layer does."""

    saved: tuple[Array, ...] = ()

    def value(self, prediction: Array, target: Array) -> float:
        self.saved = (prediction, target)
        return super().value(prediction, target)

    def gradient(self, prediction: Array, target: Array) -> Array:
        gradient = super().gradient(*self.saved) if self.saved else np.zeros_like(prediction)
        self.saved = ()
        return gradient


class CountsItsCalls(BinaryCrossEntropy):
    calls = 0

    def value(self, prediction: Array, target: Array) -> float:
        self.calls += 1
        return super().value(prediction, target) * (1 + 1e-13 * self.calls)


class HalfSquare(Loss):
    """A right gradient, which is the prediction itself; the target counts for nothing."""

    def value(self, prediction: Array, target: Array) -> float:
        return float((prediction**2).sum() / 2)

    def gradient(self, prediction: Array, target: Array) -> Array:
        return prediction


class WritesIntoItsTarget(HalfSquare):
    def gradient(self, prediction: Array, target: Array) -> Array:
        target *= 2
        return prediction.copy()


@pytest.mark.parametrize(
    ("loss", "problem"),
    [
        (SumInsteadOfMean(), "a batch taken twice costs"),
        (OffByAThousandth(), "backward gives"),
        (NumpyScalar(), "expected a float, received"),
        (PromotesItsGradient(), r"gradient: expected float32 \(3, 1\), received float64"),
        (ServesOneGradient(), "a second gradient is another one"),
        (CountsItsCalls(), "a second value is another one"),
        (WritesIntoItsTarget(), "it changed the caller's prediction or target"),
        (HalfSquare(), "its gradient shares memory with the caller's arrays"),
        (BinaryCrossEntropy(), "(?s)took array.* without an error"),
    ],
)
def test_a_broken_loss_is_caught(loss: Loss, problem: str) -> None:
    with pytest.raises((ContractError, GradientError), match=problem):
        check_loss(loss, COLUMN, COLUMN / 2, bad=[(COLUMN, COLUMN)])
