"""Bugs planted one at a time, each of which the suite must catch: the tests can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_article
import test_data
import test_gradients
import test_losses
import test_optimizers
import test_trainer

from minidl import SGD, BinaryCrossEntropy, Dense, Flatten, ReLU, Rescale, Sequential, Sigmoid
from minidl._typing import Array
from minidl.data import split
from minidl.data.batches import Batches
from minidl.training import trainer
from minidl.training.fusion import Network


def scaled(factor: float) -> Callable[[Any], Callable[..., Any]]:
    """Make the method's result wrong by a factor."""

    def plant(original: Any) -> Callable[..., Any]:
        return lambda *arguments: factor * original(*arguments)

    return plant


def scaled_gradient(name: str) -> Callable[[Any], Callable[..., None]]:
    """Make the gradient of one parameter wrong by 0.1 %."""

    def plant(original: Any) -> Callable[..., None]:
        def backward_parameters(self: Any, grad_output: Array) -> None:
            original(self, grad_output)
            parameter = getattr(self, name)
            if parameter is not None:
                parameter.grad = parameter.grad * 1.001

        return backward_parameters

    return plant


def step_upwards(original: Any) -> Callable[..., None]:
    def step(self: SGD) -> None:
        for parameter in self.parameters:
            parameter.data -= -self.learning_rate * np.asarray(parameter.grad)

    return step


def leak_below_zero(original: Any) -> Callable[..., Array]:
    def backward(self: Any, grad_output: Array) -> Array:
        result: Array = original(self, grad_output) + 0.001 * grad_output
        return result

    return backward


def square_without_one_minus(original: Any) -> Callable[..., Array]:
    def backward(self: Any, grad_output: Array) -> Array:
        (a,) = self.saved_for_backward()
        result: Array = grad_output * a
        return result

    return backward


def naive_logits(original: Any) -> Callable[..., float]:
    def forward(self: BinaryCrossEntropy, prediction: Array, target: Array) -> float:
        if not self.from_logits:
            return float(original(self, prediction, target))
        self._saved = (prediction, target)
        with np.errstate(all="ignore"):
            p = 1 / (1 + np.exp(-prediction))
            return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))

    return forward


def skip_first_layer(original: Any) -> Callable[..., Array]:
    def backward(self: Sequential, grad_output: Array) -> Array:
        for layer in reversed(self.layers[1:]):
            grad_output = layer.backward(grad_output)
        return grad_output

    return backward


def shuffle_starts_only(original: Any) -> Callable[..., Any]:
    def batches(self: Batches) -> Any:
        size = self.batch_size or len(self.x)
        for start in self.rng.permutation(range(0, len(self.x), size)):
            yield self.x[start : start + size], self.y[start : start + size]

    return batches


def no_fusion(original: Any) -> Callable[..., Any]:
    return Network


def take_from_the_front(original: Any) -> Callable[..., Array]:
    return lambda order, y, n_test: order


BUGS: dict[str, tuple[Any, str, Callable[[Any], Any], Callable[..., None]]] = {
    "weight gradient off by 0.1 %": (
        Dense, "_write_gradients", scaled_gradient("weight"), test_gradients.test_dense),
    "bias gradient off by 0.1 %": (
        Dense, "_write_gradients", scaled_gradient("bias"), test_gradients.test_network),
    "input gradient of Dense off by 0.1 %": (
        Dense, "backward", scaled(1.001), test_gradients.test_dense),
    "input gradient of Dense off by 0.1 %, in a network": (
        Dense, "backward", scaled(0.999), test_gradients.test_network_with_its_loss),
    "ReLU leaks 0.1 % below zero": (ReLU, "backward", leak_below_zero, test_gradients.test_relu),
    "ReLU off by 0.1 %": (ReLU, "backward", scaled(1.001), test_gradients.test_relu),
    "Sigmoid off by 0.1 %": (Sigmoid, "backward", scaled(0.999), test_gradients.test_sigmoid),
    "Sigmoid without 1 - a": (Sigmoid, "backward", square_without_one_minus, test_gradients.test_sigmoid),
    "Rescale off by 0.1 %": (Rescale, "backward", scaled(1.001), test_gradients.test_input_layers),
    "Flatten off by 0.1 %": (Flatten, "backward", scaled(1.001), test_gradients.test_input_layers),
    "loss gradient off by 0.1 %, logits": (
        BinaryCrossEntropy, "_gradient", scaled(1.001), test_gradients.test_cross_entropy_of_logits),
    "loss gradient off by 0.1 %, probabilities": (
        BinaryCrossEntropy, "_gradient", scaled(0.999),
        test_gradients.test_cross_entropy_of_probabilities),
    "loss off by 0.1 %": (
        BinaryCrossEntropy, "forward", scaled(1.001),
        test_losses.test_probabilities_against_the_plain_formula),
    "cross-entropy from a rounded sigmoid": (
        BinaryCrossEntropy, "forward", naive_logits,
        test_losses.test_logits_keep_the_last_digits_of_small_losses),
    "backward forgets the first layer": (Sequential, "backward", skip_first_layer, test_gradients.test_network),
    "SGD goes uphill": (SGD, "step", step_upwards, test_optimizers.test_step),
    "SGD goes uphill, in training": (
        SGD, "step", step_upwards, test_article.test_any_depth_and_width_equals_the_articles),
    "batches shuffle their starts, not the samples": (
        Batches, "__iter__", shuffle_starts_only, test_trainer.test_fit_against_the_plain_loop),
    "no training through logits": (
        trainer, "through_logits", no_fusion, test_trainer.test_a_saturated_network_still_learns),
    "the split is not stratified": (
        split, "_stratified", take_from_the_front, test_data.test_split_is_a_stratified_partition),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, plant, catching_test = BUGS[name]
    monkeypatch.setattr(place, attribute, plant(getattr(place, attribute)))
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        catching_test()
