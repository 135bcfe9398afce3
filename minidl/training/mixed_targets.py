"""Targets that an augmentation changes, checked as those that `fit` was given are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl._samples import JointSamples
from minidl._typing import Array
from minidl.data.compose import takes_targets
from minidl.losses import Loss
from minidl.training.checked_data import KnownOfModel


class CheckedMixing:
    """An augmentation of samples and targets, whose targets are checked for the loss and given its dtype.

    Arguments: `known` is what is known of the network whose predictions the targets are compared with.
    """

    takes_targets = True

    def __init__(self, augment: Callable[..., Any], loss: Loss, known: KnownOfModel) -> None:
        self.augment, self.loss, self.known = augment, loss, known
        self.works_ahead = getattr(augment, "works_ahead", False) is True

    def __call__(self, x: Any, y: Array) -> Any:
        """Return what the augmentation makes of both.

        Raises: ValueError for targets that the loss does not take.
        """
        changed = self.augment(x, y)
        if not isinstance(changed, tuple) or len(changed) != 2 or not hasattr(changed[1], "dtype"):
            return changed  # which `Batches` refuses
        samples, targets = changed
        self.loss.check_shapes((len(y), *self.known.output_shape(x)), targets)
        self.loss.check_target(targets)
        return samples, self.loss.cast_target(targets, self.known.dtype)


def checked_mixing(augment: Any, y: Any, loss: Loss, known: KnownOfModel) -> Any:
    """Return an augmentation as it is, or as `CheckedMixing` where it takes targets.

    Raises: ValueError for one that takes targets where these have weights.
    """
    if not takes_targets(augment):
        return augment
    if isinstance(y, JointSamples):
        raise ValueError(
            "augment: expected no sample_weight and no class_weight beside one that takes targets, received both; "
            "a mixture of two samples has no weight of its own"
        )
    return CheckedMixing(augment, loss, known)
