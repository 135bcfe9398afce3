"""Bugs planted one at a time, each of which the suite must catch: the tests can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_article
import test_data
import test_freezing
import test_gradients
import test_input_gradient
import test_losses
import test_optimizers
import test_sequential
import test_several_inputs
import test_trainer

from minidl import SGD, BinaryCrossEntropy, Dense, Flatten, Parallel, ReLU, Rescale, Residual, Sequential, Sigmoid
from minidl._samples import JointSamples
from minidl._typing import Array
from minidl.containers import to_parameters
from minidl.data import batches, split
from minidl.data.batches import Batches
from minidl.optimizers import optimizer
from minidl.training import Problem, rewrites, trainer
from minidl.training.rewrites import input_gradient


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
    def value(self: BinaryCrossEntropy, prediction: Array, target: Array) -> float:
        if not self.from_logits:
            return float(original(self, prediction, target))
        with np.errstate(all="ignore"):
            p = 1 / (1 + np.exp(-prediction))
            return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))

    return value


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


def take_of_other_rows(original: Any) -> Callable[..., Any]:
    def take(samples: Any, rows: Array) -> Any:
        if not isinstance(samples, JointSamples):
            return original(samples, rows)
        return tuple(take(part, np.roll(rows, i)) for i, part in enumerate(samples.parts))

    return take


def inputs_reversed(original: Any) -> Callable[..., Array]:
    def forward(self: Parallel, x: Any) -> Array:
        output: Array = original(self, x[::-1] if isinstance(x, tuple) else x)
        return output

    return forward


def without_the_shortcut(original: Any) -> Callable[..., Any]:
    def to_parameters(self: Residual) -> Callable[[Array], None]:
        def backward(grad_output: Array) -> None:
            self.saved_for_backward()
            Sequential.to_parameters(self)(grad_output)

        return backward

    return to_parameters


def no_rewrite(original: Any) -> Callable[..., Any]:
    def rewrite(problem: Problem) -> Problem:
        return problem

    return rewrite


def promise_everything(original: Any) -> Callable[..., bool]:
    return lambda cls, promise, about: hasattr(cls, promise)


def take_from_the_front(original: Any) -> Callable[..., Array]:
    return lambda order, y, n_test: order


def whole_parameters_test() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_optimizers.test_only_an_update_that_is_elementwise_gets_blocks(
            lambda p: test_optimizers.NormalizedSGD(p, 0.1),
            [(test_optimizers.WHOLE, test_optimizers.WHOLE)],
            patch,
        )


def own_backward_test() -> None:
    model = Sequential(test_sequential.Doubled(3, 1), Dense(1, 1))
    test_sequential.test_the_inputs_gradient_is_skipped_only_where_layers_promise_it(model, False)


def use(function: Callable[..., Any]) -> Callable[[Any], Callable[..., Any]]:
    return lambda original: function


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
        BinaryCrossEntropy, "gradient", scaled(1.001), test_gradients.test_cross_entropy_of_logits),
    "loss gradient off by 0.1 %, probabilities": (
        BinaryCrossEntropy, "gradient", scaled(0.999),
        test_gradients.test_cross_entropy_of_probabilities),
    "loss off by 0.1 %": (
        BinaryCrossEntropy, "value", scaled(1.001),
        test_losses.test_probabilities_against_the_plain_formula),
    "cross-entropy from a rounded sigmoid": (
        BinaryCrossEntropy, "value", naive_logits,
        test_losses.test_logits_keep_the_last_digits_of_small_losses),
    "backward forgets the first layer": (Sequential, "backward", skip_first_layer, test_gradients.test_network),
    "SGD goes uphill": (SGD, "step", step_upwards, test_optimizers.test_step),
    "SGD goes uphill, in training": (
        SGD, "step", step_upwards, test_article.test_any_depth_and_width_equals_the_articles),
    "batches shuffle their starts, not the samples": (
        Batches, "__iter__", shuffle_starts_only, test_trainer.test_fit_against_the_plain_loop),
    "no training through logits": (
        rewrites, "through_logits", no_rewrite, test_trainer.test_a_saturated_network_still_learns),
    "no evaluation through logits": (
        trainer, "through_logits", no_rewrite, test_trainer.test_a_saturated_network_still_learns),
    "any update gets blocks": (
        optimizer, "promises", promise_everything, whole_parameters_test),
    "any backward pass ends at the first layer": (
        to_parameters, "promises", promise_everything, own_backward_test),
    "any backward pass ends at the first layer, in nested containers": (
        to_parameters, "promises", promise_everything, test_input_gradient.test_all_gradients_are_the_same_to_the_bit),
    "inputs of one sample are torn apart": (
        batches, "take", take_of_other_rows, test_several_inputs.test_batches_keep_rows_together),
    "branches are given each other's inputs": (
        Parallel, "forward", inputs_reversed, test_several_inputs.test_each_branch_has_its_own_input),
    "a shortcut's gradients are forgotten": (
        Residual, "to_parameters", without_the_shortcut,
        test_input_gradient.test_all_gradients_are_the_same_to_the_bit),
    "the way back is found once, whatever is unfrozen": (
        input_gradient, "_following_what_is_frozen", use(to_parameters.row_to_parameters),
        lambda: test_freezing.test_layers_frozen_and_unfrozen_by_a_callback({})),
    "the split is not stratified": (
        split, "_stratified", take_from_the_front, test_data.test_split_is_a_stratified_partition),
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, plant, catching_test = BUGS[name]
    monkeypatch.setattr(place, attribute, plant(getattr(place, attribute)))
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        catching_test()
