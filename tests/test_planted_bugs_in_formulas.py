"""Bugs planted in the text of one formula at a time, each of which the suite must catch."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_accumulation
import test_freezing
import test_gradients
import test_losses
import test_metric_objects
import test_metrics
import test_monitoring
import test_optimizers
import test_parameter_groups
import test_recurrent
import test_schedules
import test_sequences
import test_softmax_cross_entropy
import test_turns
import test_weights

from minidl import (
    GRU,
    LSTM,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    Embedding,
    GlobalAveragePool1D,
    GlobalMaxPool1D,
    Hinge,
    Huber,
    Lion,
    Loss,
    Masked,
    MeanAbsoluteError,
    MeanSquaredError,
    NAdam,
    Optimizer,
    PositionalEmbedding,
    ReduceOnPlateau,
    RMSProp,
    SelfAttention,
    SoftmaxCrossEntropy,
    WeightedLoss,
)
from minidl._threads import Turns
from minidl.containers import to_parameters
from minidl.layers import gru, lstm, self_attention
from minidl.losses import binary_cross_entropy
from minidl.metrics import R2, AveragePrecision, LogLoss, RocAuc, TopKAccuracy, classes, confusion, ratios
from minidl.metrics.counts import ClassCounts
from minidl.ops import attention
from minidl.optimizers import clipping, optimizer
from minidl.training import weights
from minidl.training.rewrites.accumulation import Accumulation, WeighedBatches
from minidl.training.rewrites.dual_layer import DualLayer

stuck_test = test_turns.test_when_one_has_waited_in_vain_nobody_waits_until_a_turn_is_given_back
turns_test = test_turns.test_a_thread_that_has_waited_long_enough_goes_on_and_has_no_turn_to_give_back
sgd_test = test_optimizers.test_sgd_against_the_plain_loop
nadam_test = test_optimizers.test_nadam_against_the_plain_loop
rmsprop_test = test_optimizers.test_rmsprop_against_the_plain_loop
adam_test = test_optimizers.test_adam_against_the_plain_loop
softmax_test = test_softmax_cross_entropy.test_against_the_plain_loop
digits_test = test_softmax_cross_entropy.test_the_last_digits_of_small_losses
steps_test = test_softmax_cross_entropy.test_targets_of_every_step_count_but_the_ignored
padding_test = test_sequences.test_attention_in_blocks_with_padding
loops_test = test_recurrent.test_outputs_and_last_states_are_those_of_loops
SIZES: Any = {"in_features": 2, "units": 3, "rng": 1, "dtype": "float64"}
weight_test = test_losses.test_pos_weight_makes_positives_count_more
frozen_test = test_freezing.test_twenty_steps_equal_those_of_a_network_with_constants


def of_kind(test: Any, kind: Any) -> Callable[[], None]:
    return lambda: test(kind=kind)


def gradients_of(kind: Any, **options: Any) -> Callable[[], None]:
    return lambda: test_recurrent.test_gradients_beside_padding(make=lambda: kind(**options))


def with_adam(test: Any) -> Callable[[], None]:
    return lambda: test(make=Adam)


# Where, the right code, the wrong code, and the test that must fail.
BUGS: list[tuple[Any, str, str, str, Callable[..., None]]] = [
    (SGD, "update", "velocity *= self.momentum", "velocity *= 0.999 * self.momentum", sgd_test),
    (SGD, "update", "gradient + self.weight_decay * data", "gradient - self.weight_decay * data", sgd_test),
    (SGD, "update", "gradient + self.momentum * velocity", "gradient + velocity", sgd_test),
    (SGD, "update", "gradient = gradient + self.weight", "gradient += self.weight",
     lambda: test_optimizers.test_what_a_step_leaves_alone(make=test_optimizers.ALL[2])),
    (Adam, "update", "gradient + self.weight_decay * data", "gradient - self.weight_decay * data", adam_test),
    (Adam, "_move", "1 - beta1**self.steps", "1 - beta1", adam_test),
    (Adam, "_move", "1 - beta2**self.steps", "1 - beta2", adam_test),
    (Adam, "_move", "(1 - beta1) * gradient", "gradient", adam_test),
    (Adam, "_move", "(gradient * gradient)", "abs(gradient)", adam_test),
    (Adam, "_move", "root * self.epsilon", "self.epsilon", adam_test),
    (AdamW, "update", "self._learning_rate * self.weight_decay", "self.weight_decay", adam_test),
    (NAdam, "_move", "ahead / (1 - product * ahead)", "ahead / (1 - product)", nadam_test),
    (NAdam, "_momentum", "0.96", "0.95", nadam_test),
    (NAdam, "_product_of_momenta", "range(k + 1, self.steps + 1)", "range(k, self.steps)", nadam_test),
    (NAdam, "_product_of_momenta", "k for k in self._products if k <= self.steps", "self._products",
     lambda: test_optimizers.test_a_loaded_state_forgets_the_steps_before(NAdam)),
    (RMSProp, "update", "deviation = gradient - state", "deviation = gradient + state", rmsprop_test),
    (RMSProp, "update", "square += share * (gradient", "square += (gradient", rmsprop_test),
    (RMSProp, "update", "velocity += step", "velocity += gradient", rmsprop_test),
    (Adagrad, "update", "self.steps - 1", "self.steps", test_optimizers.test_adagrad_against_the_plain_loop),
    (Lion, "update", "beta1 * momentum + (1 - beta1)", "beta2 * momentum + (1 - beta2)",
     test_optimizers.test_lion_against_the_plain_loop),
    (Optimizer, "step", "self.steps += 1", "self.steps = 1", adam_test),
    (Optimizer, "state_dict", "array.copy()", "array",
     with_adam(test_optimizers.test_what_a_step_leaves_alone)),
    (Optimizer, "load_state_dict", "self.steps = int", "int",
     with_adam(test_optimizers.test_state_resumes_bit_for_bit)),
    (optimizer, "row_blocks", "start + rows", "start + rows - 1",
     lambda: test_optimizers.test_blocks_change_nothing(SGD, float)),
    (Optimizer, "_settings_of", "rate * group.learning_rate_factor", "rate",
     lambda: test_parameter_groups.test_groups_are_optimizers_of_their_own(SGD)),
    (Optimizer, "_settings_of", "self._learning_rate = rate\n", "pass\n",
     test_parameter_groups.test_an_error_in_a_step_leaves_the_settings_as_they_were),
    (Optimizer, "_settings_of", "steps - self.frozen_steps[i]", "steps",
     lambda: test_freezing.test_every_optimizer_leaves_frozen_parameters_and_takes_them_up_as_new_ones(Adam)),
    (Optimizer, "_gradients", "if parameter.frozen:", "if False:", frozen_test),
    (BatchNorm, "forward", "self.training and not self.has_fixed_statistics", "self.training", frozen_test),
    (BatchNorm, "backward", "if not m:", "if False:", frozen_test),
    (to_parameters, "_is_trained", "and not buffer.frozen", "",
     lambda: test_freezing.test_training_goes_back_no_further_than_to_what_is_trained(test_freezing.PREFIXES[0], None)),
    (DualLayer, "forward", "self._is_frozen()", "False",
     lambda: test_freezing.test_the_dual_form_freezes_as_the_direct_one(0.9, test_freezing.GRADUAL, {})),
    (Accumulation, "step", "self.weight / self._total", "1 / self._count",
     test_accumulation.test_as_one_batch_of_all_samples),
    (WeighedBatches, "__iter__", "self._optimizer.finish()", "pass",
     test_accumulation.test_as_one_batch_of_all_samples),
    (ReduceOnPlateau, "on_epoch_end", "self.waiting_since, rate = epoch", "self.waiting_since, rate = epoch + 1",
     test_monitoring.test_rates_on_a_plateau_against_the_plain_loop),
    (clipping, "gradient_norm", "math.hypot(*(", "max((", test_optimizers.test_clipping_by_the_common_norm),
    (Turns, "give_back", "popleft()", "pop()", test_turns.test_the_first_to_come_is_the_first_to_be_served),
    (Turns, "take", "self._free -= 1", "pass", turns_test),
    (Turns, "take", "self.waiting.remove(ticket)", "return True", turns_test),
    (Turns, "__init__", "self._free, self._is_stuck = count, False", "self._free, self._is_stuck = 1, False",
     test_turns.test_there_are_as_many_turns_as_asked_for),
    (Turns, "take", "self._is_stuck = True", "pass", stuck_test),
    (Turns, "give_back", "self._is_stuck = False", "pass", stuck_test),
    (BinaryCrossEntropy, "values", "losses * weight_of_ones", "losses / weight_of_ones", weight_test),
    (BinaryCrossEntropy, "values", "losses + (1 - target)", "losses + 2 * (1 - target)", weight_test),
    (binary_cross_entropy, "weighted_gradient", "of_zeros - weight * of_ones", "of_zeros - of_ones",
     test_gradients.test_weighted_cross_entropy),
    (BinaryCrossEntropy, "gradient", "(one_or_zero - target) - np.copysign(q, prediction)",
     "(one_or_zero - np.copysign(q, prediction)) - target",
     test_losses.test_logits_keep_the_last_digits_of_small_losses),
    (BinaryCrossEntropy, "gradient", "(~np.signbit(prediction))", "(prediction >= 0)",
     lambda: test_losses.test_logits_at_saturation(np.float32, -0.0, 0.0, math.log(2), 0.5)),
    (MeanSquaredError, "gradient", "2 / prediction.size", "2 / len(prediction)",
     test_gradients.test_mean_squared_error),
    (SoftmaxCrossEntropy, "_losses", "np.log1p(rest) - (u", "np.log(1 + rest) - (u", digits_test),
    (SoftmaxCrossEntropy, "_losses", "(u * shifted)", "(u * rows)", softmax_test),
    (MeanAbsoluteError, "values", "np.abs(", "(", test_losses.test_mean_absolute_error_against_the_plain_loop),
    (MeanAbsoluteError, "baseline_loss", "np.median", "np.mean", test_losses.test_the_best_single_answers),
    (Huber, "values", "clipped / 2", "clipped", test_losses.test_huber_against_the_plain_loop),
    (Huber, "_clipped", "-delta, delta", "0, delta", test_losses.test_huber_against_the_plain_loop),
    (Hinge, "gradient", "-size, size", "size, -size", test_losses.test_hinge_against_the_plain_loop),
    (Hinge, "gradient", "np.sign(lack)", "lack", test_losses.test_hinge_against_the_plain_loop),
    (Hinge, "baseline_loss", "4 * p", "2 * p", test_losses.test_the_best_single_answers),
    (SoftmaxCrossEntropy, "gradient", "(1 - u[rows, largest]) - rest / total", "1 / total - u[rows, largest]",
     digits_test),
    (SoftmaxCrossEntropy, "gradient", "-u / np.maximum(z", "(z - u) / np.maximum(z",
     test_gradients.test_softmax_cross_entropy),
    (SoftmaxCrossEntropy, "_rows", "(1 - self.label_smoothing) * u", "u", softmax_test),
    (SoftmaxCrossEntropy, "gradient", "gradient /= len(gradient)", "gradient /= len(prediction)", steps_test),
    (SoftmaxCrossEntropy, "counted", "np.not_equal", "np.less", steps_test),
    (WeightedLoss, "gradient", "weights.astype(plain.dtype)", "weights.astype(plain.dtype) ** 2",
     lambda: test_weights.test_training_with_weights_is_training_on_repeated_samples(3, test_weights.CLASSES, True)),
    (WeightedLoss, "_weights", "weights * counted", "weights",
     lambda: test_weights.test_a_whole_weight_is_the_sample_given_so_often("steps")),
    (WeightedLoss, "accuracy", "weights * right", "right",
     lambda: test_weights.test_training_with_weights_is_training_on_repeated_samples(1, test_weights.Y, False)),
    (weights, "_balanced", "y[counted]", "np.abs(y).ravel()",
     test_weights.test_steps_that_do_not_count_have_no_part_in_balanced_weights),
    (weights, "_of_mean_1", "(used / largest).mean()", "1",
     lambda: test_weights.test_training_with_weights_is_training_on_repeated_samples(1, test_weights.Y, False)),
    (Loss, "count", "int(np.count_nonzero(counted))", "target.size",
     test_softmax_cross_entropy.test_the_loss_of_an_epoch_is_the_mean_over_all_targets_that_count),
    (attention, "_hide", "columns - rows, dtype", "columns - rows + 1, dtype",
     test_sequences.test_attention_against_loops),
    (attention, "_hide", "where=~mask", "where=mask", padding_test),
    (attention, "_row_blocks", "n_keys - steps + stop if", "stop if", test_sequences.test_a_sequence_can_be_streamed),
    (self_attention, "attention_forward", "np.where(np.isneginf(found), 0, found)", "found / 2", padding_test),
    (self_attention, "attention_backward", "grad_k[samples, :, keys] +=", "grad_k[samples, :, keys] =", padding_test),
    (SelfAttention, "backward", "grad_qkv[..., : self.features] *= self._scale", "pass",
     test_sequences.test_gradients_of_attention_with_padding),
    (Masked, "_mask", "logical_or", "logical_and", test_sequences.test_a_step_is_padding_if_all_its_features_are),
    (PositionalEmbedding, "forward", "stream[self] = stop", "stream[self] = x.shape[1]",
     test_sequences.test_a_sequence_can_be_streamed),
    (PositionalEmbedding, "_sinusoids", "// 2 * 2 /", "/", test_sequences.test_sinusoidal_positions),
    (Embedding, "_numbers", "rows >= self.tokens", "rows > self.tokens",
     lambda: test_sequences.test_tokens_that_are_none([[0, 5]], "expected token numbers from 0 to 4")),
    (lstm, "lstm_forward", "np.copyto(cell, cells[before], where=skipped)", "pass", of_kind(loops_test, LSTM)),
    (lstm, "lstm_forward", "np.add(cell, work, out=cell)", "np.subtract(cell, work, out=cell)",
     of_kind(loops_test, LSTM)),
    (lstm, "lstm_backward", "np.multiply(work, f, out=dc_before)", "np.multiply(dc, f, out=dc_before)",
     gradients_of(LSTM, **SIZES)),
    (lstm, "lstm_backward", "np.copyto(dc_before, dc, where=skipped)", "pass", gradients_of(LSTM, **SIZES)),
    (lstm, "lstm_backward", "np.copyto(dh_before, dh, where=skipped)", "pass", gradients_of(LSTM, **SIZES)),
    (lstm, "lstm_backward", "np.copyto(gate, 0, where=skipped)", "pass", gradients_of(LSTM, **SIZES)),
    (gru, "gru_forward", "np.copyto(state, state_before, where=skipped)", "pass", of_kind(loops_test, GRU)),
    (gru, "gru_forward", "np.multiply(r, m, out=work)", "np.multiply(z, m, out=work)", of_kind(loops_test, GRU)),
    (gru, "gru_backward", "np.copyto(dh_before, dh, where=skipped)", "pass", gradients_of(GRU, **SIZES)),
    (gru, "gru_backward", "np.copyto(n, 0, where=skipped)", "pass", gradients_of(GRU, **SIZES)),
    (gru, "gru_backward", "np.multiply(slope, m, out=dr)", "np.multiply(slope, n, out=dr)",
     gradients_of(GRU, **SIZES)),
    (LSTM, "forward", "y[padding.T] = 0", "pass", of_kind(loops_test, LSTM)),
    (LSTM, "_remember_states", "steps.last", "steps.first",
     of_kind(test_recurrent.test_streaming_goes_on_where_the_last_call_ended, LSTM)),
    (GlobalAveragePool1D, "backward", "grad_input[~mask] = 0", "pass", gradients_of(GlobalAveragePool1D)),
    (GlobalMaxPool1D, "forward", "candidates.argmax", "x.argmax",
     of_kind(test_recurrent.test_pooling_over_the_real_steps, GlobalMaxPool1D)),
    (classes, "_above", "values > threshold", "values >= threshold",
     test_metrics.test_two_classes_against_plain_counting),
    (ratios, "precisions", "counts[1]", "counts[2]", test_metrics.test_two_classes_against_plain_counting),
    (ratios, "recalls", "counts[2]", "counts[1]", test_metrics.test_several_classes_against_plain_counting),
    (ratios, "f1s", "counts[1] + counts[2]", "2 * counts[1]", test_metrics.test_f1_against_plain_counting),
    (ClassCounts, "of", "np.where(right, weight, 0.0)", "weight",
     test_metric_objects.test_ratios_of_classes_against_plain_counting),
    (ClassCounts, "merged", "+= part.counts", "= part.counts",
     test_metric_objects.test_class_numbers_that_other_batches_do_not_have),
    (confusion, "_matrix", "t.astype(np.intp) * classes + p", "p.astype(np.intp) * classes + t",
     test_metric_objects.test_confusion_matrices_against_plain_counting),
    (TopKAccuracy, "of_batch", "(p == of_meant) & later", "(p == of_meant) & ~later",
     test_metric_objects.test_top_k_against_plain_sorting),
    (RocAuc, "of_ties", "- negative / 2", "- negative", test_metric_objects.test_rankings_against_all_pairs),
    (AveragePrecision, "of_ties", "negative.cumsum()", "negative",
     test_metric_objects.test_rankings_against_all_pairs),
    (LogLoss, "_of_column", "softplus(z) - t * z", "softplus(z) - z",
     test_metric_objects.test_log_loss_against_plain_logarithms),
    (LogLoss, "_of_columns", "p, least = _as_float64(p)", "least = 1e-3",
     test_metric_objects.test_a_wrong_answer_without_doubt_has_a_finite_log_loss),
    (R2, "added", "* first.weight * share", "* share", test_metric_objects.test_regression_against_plain_sums),
    (R2, "of_batch", "counted = w > 0", "counted = w >= 0",
     test_metric_objects.test_r2_of_targets_that_are_all_the_same),
    (test_schedules, "step_decay", "epoch // every", "epoch / every", test_schedules.test_step_decay),
    (test_schedules, "cosine", "min(epoch / epochs, 1.0)", "epoch / epochs", test_schedules.test_cosine),
    (test_schedules, "warm_restarts", "length * growth", "length + growth", test_schedules.test_warm_restarts),
    (test_schedules, "warm_up", "else schedule(epoch - epochs)", "else schedule(epoch)", test_schedules.test_warm_up),
]  # fmt: skip


@pytest.mark.parametrize(("place", "name", "right", "wrong", "catching_test"), BUGS)
def test_a_planted_bug_is_caught(
    place: Any, name: str, right: str, wrong: str, catching_test: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    function = inspect.unwrap(getattr(place, name))
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, "there is one place to plant the bug in"
    # A scope of its own, in which the annotations stay text.
    scope: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + source.replace(right, wrong), function.__globals__ | scope, scope)
    monkeypatch.setattr(place, name, scope[name])
    with pytest.raises((AssertionError, ValueError, RuntimeWarning, IndexError, pytest.fail.Exception)):
        catching_test()
