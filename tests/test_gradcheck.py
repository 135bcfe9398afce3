"""The tester tested: gradcheck finds what is wrong, accepts what is right, and says where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minidl import (
    BinaryCrossEntropy,
    Dense,
    Loss,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    mlp,
)
from minidl._typing import Array
from minidl.testing import GradientError, gradcheck

X = np.random.default_rng(0).normal(size=(4, 3))


class Cube(Module):
    """A user's layer with a parameter: y = a x^3, and a backward pass that may be off by a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        self.a = Parameter(np.array([1.5], np.float32))
        self.factor = factor

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        y: Array = self.a.data * x**3
        return y

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        self.a.grad = np.array([(grad_output * x**3).sum()])
        gradient: Array = grad_output * 3 * self.a.data * x**2 * self.factor
        return gradient


class Noise(Module):
    """A layer that draws random numbers: y = x * m, with a new mask m at each forward."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def forward(self, x: Array) -> Array:
        mask = self.rng.random(x.shape)
        self.save_for_backward(mask)
        return x * mask

    def backward(self, grad_output: Array) -> Array:
        (mask,) = self.saved_for_backward()
        gradient: Array = grad_output * mask
        return gradient


def test_a_users_layer() -> None:
    assert gradcheck(Cube(), X) < 1e-6
    assert gradcheck(Sequential(Dense(3, 2, rng=0), Cube(), Noise()), X) < 1e-6


@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0, 0.0, np.nan])
def test_an_error_of_a_tenth_of_a_percent_is_found(factor: float) -> None:
    with pytest.raises(GradientError, match=r"gradient of input\[0, 0\]: backward gives .*relative error"):
        gradcheck(Cube(factor), X)
    with pytest.raises(GradientError, match="gradient of input along random direction 0"):
        gradcheck(Cube(factor), X, max_entries=5)


def test_the_error_names_parameter_index_and_values() -> None:
    class Wrong(Dense):
        def _write_gradients(self, grad_output: Array) -> None:
            super()._write_gradients(grad_output)
            assert self.weight.grad is not None
            self.weight.grad[1, 2] *= 1.001

    with pytest.raises(GradientError) as error:
        gradcheck(Sequential(ReLU(), Wrong(3, 2, rng=0)), X)
    message = str(error.value)
    assert message.startswith("gradcheck: gradient of 1.weight[1, 2]: backward gives ")
    analytic = float(message.split("backward gives ")[1].split(",")[0])
    numeric = float(message.split("differences give ")[1].split(",")[0])
    assert analytic == pytest.approx(1.001 * numeric, rel=1e-6)
    assert "relative error 0.001 where 1e-05 is allowed" in message


def test_one_wrong_weight_in_a_wide_layer_is_felt_along_random_directions() -> None:
    class Wrong(Dense):
        def _write_gradients(self, grad_output: Array) -> None:
            super()._write_gradients(grad_output)
            assert self.weight.grad is not None
            self.weight.grad[0, 7] += np.abs(self.weight.grad).max()

    x = np.random.default_rng(1).normal(size=(2, 2000))
    with pytest.raises(GradientError, match="gradient of weight along random direction"):
        gradcheck(Wrong(2000, 3, rng=0), x)


def test_kinks_are_avoided() -> None:
    assert gradcheck(ReLU(), np.zeros((3, 3))) < 1e-5  # every entry stands on the kink
    assert gradcheck(ReLU(), np.array([[3e-6, -3e-6, 1e-9]])) < 1e-5  # or within a step of it
    assert gradcheck(mlp([3, 5, 5, 1], rng=0), np.zeros((2, 3))) < 1e-5


def test_kinks_that_cancel_each_other_do_not_show_in_the_function() -> None:
    # relu(x) - relu(-x) = x is smooth at 0, where both units stand on their kink and backward gives 0.
    model = Sequential(Dense(1, 2, bias=False), ReLU(), Dense(2, 1, bias=False))
    model.load_state_dict({"0.weight": [[1.0], [-1.0]], "2.weight": [[1.0, -1.0]]})
    assert gradcheck(model, [[0.0]]) < 1e-5


def test_a_wrong_gradient_is_found_among_very_many_outputs() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2000))
    with pytest.raises(GradientError):
        gradcheck(Sequential(ReLU(), Cube(1.001)), x)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="gradcheck x: expected finite numbers"):
        gradcheck(ReLU(), [[np.nan]])
    with pytest.raises(ValueError, match="gradcheck max_entries: expected a whole number"):
        gradcheck(ReLU(), X, max_entries=0)


def test_a_wrong_relu_is_found_even_from_its_kink() -> None:
    class Leaky(ReLU):
        def backward(self, grad_output: Array) -> Array:
            return super().backward(grad_output) + 0.001 * grad_output

    with pytest.raises(GradientError):
        gradcheck(Leaky(), np.zeros((3, 3)))


def test_a_function_of_kinks_only_is_refused() -> None:
    class Round(Module):
        def forward(self, x: Array) -> Array:
            self.save_for_backward()
            return np.abs(np.sin(1e9 * x))

        def backward(self, grad_output: Array) -> Array:
            self.saved_for_backward()
            return grad_output

    with pytest.raises(GradientError):
        gradcheck(Round(), X)


def test_what_backward_forgot() -> None:
    class Forgets(Dense):
        def _write_gradients(self, grad_output: Array) -> None:
            super()._write_gradients(grad_output)
            assert self.bias is not None
            self.bias.grad = None

    class Scalar(Dense):
        def _write_gradients(self, grad_output: Array) -> None:
            super()._write_gradients(grad_output)
            assert self.bias is not None
            self.bias.grad = np.zeros(())

    class Differs(Dense):
        def backward_parameters(self, grad_output: Array) -> None:
            super().backward_parameters(grad_output)
            assert self.weight.grad is not None
            self.weight.grad = self.weight.grad * 2

    class ReturnsNothing(ReLU):
        def backward(self, grad_output: Array) -> Array:
            super().backward(grad_output)
            return None  # type: ignore[return-value]

    with pytest.raises(GradientError, match=r"gradient of input: expected shape \(4, 3\), received None"):
        gradcheck(ReturnsNothing(), X)
    with pytest.raises(GradientError, match="left the gradient of bias unset"):
        gradcheck(Forgets(3, 2), X)
    with pytest.raises(GradientError, match=r"gradient of bias: expected shape \(2,\), received \(\)"):
        gradcheck(Scalar(3, 2), X)
    with pytest.raises(GradientError, match="backward and backward_parameters disagree on weight"):
        gradcheck(Differs(3, 2), X)


def test_an_inherited_backward_parameters_of_another_backward_is_not_compared() -> None:
    class Doubled(Dense):
        def forward(self, x: Array) -> Array:
            return 2 * super().forward(x)

        def backward(self, grad_output: Array) -> Array:
            return super().backward(2 * grad_output)

    class DoubledWrongly(Doubled):
        def backward_parameters(self, grad_output: Array) -> None:
            super().backward_parameters(grad_output)

    assert gradcheck(Doubled(3, 2, rng=0), X) < 1e-6
    with pytest.raises(GradientError, match="backward and backward_parameters disagree on weight"):
        gradcheck(DoubledWrongly(3, 2, rng=0), X)


def test_losses_and_pairs() -> None:
    class SummedCrossEntropy(BinaryCrossEntropy):
        def gradient(self, prediction: Array, target: Array) -> Array:
            return super().gradient(prediction, target) * len(prediction)

    target = np.array([[0.0], [1.0], [1.0], [0.0]])
    pair = (mlp([3, 2, 1], rng=0), BinaryCrossEntropy())
    assert gradcheck(pair, X, target) < 1e-5
    with pytest.raises(GradientError, match="gradient of input"):
        gradcheck(SummedCrossEntropy(from_logits=True), X[:, :1], target)
    with pytest.raises(ValueError, match="expected a target for BinaryCrossEntropy"):
        gradcheck(pair, X)


def test_a_wrong_gradient_of_a_narrow_domain_is_found() -> None:
    class Wrong(SoftmaxCrossEntropy):
        def gradient(self, prediction: Array, target: Array) -> Array:
            return super().gradient(prediction, target) * 1.001

    # A point near by, where kinks are looked for, is no row of probabilities.
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    assert gradcheck(SoftmaxCrossEntropy(from_logits=False), p, [0, 2, 1, 0]) < 1e-5
    with pytest.raises(GradientError, match=r"gradient of input\[0, 0\]: backward gives"):
        gradcheck(Wrong(from_logits=False), p, [0, 2, 1, 0])


def test_the_subject_stays_as_it_was() -> None:
    model = mlp([3, 2, 1], rng=0).eval()
    before, x = model.state_dict(), X.copy()
    gradcheck(model, x)
    assert not model.training
    assert all(p.grad is None and p.data.dtype == np.float32 for p in model.parameters())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("subject", ["model", (Sigmoid(), "loss"), None])
def test_bad_subject(subject: Any) -> None:
    with pytest.raises(TypeError, match="expected a Module, a Loss or a pair"):
        gradcheck(subject, X, X)


def test_a_loss_of_ones_own() -> None:
    class Squared(Loss):
        def value(self, prediction: Array, target: Array) -> float:
            return float(((prediction - target) ** 2).mean())

        def gradient(self, prediction: Array, target: Array) -> Array:
            gradient: Array = 2 * (prediction - target) / prediction.size
            return gradient

    assert gradcheck(Squared(), X, X[::-1]) < 1e-6
