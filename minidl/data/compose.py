"""Compose: augmentations one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl._validation import shown


class Compose:
    """Augmentations, each of which changes what the one before it returns.

    Those that take the targets, too, as `MixUp` does, are given both, and the composition takes them then.

    Arguments: the augmentations in their order; others than those that say `takes_targets = True` are functions of the
    samples alone.

    Raises: TypeError for no augmentations, and for one that cannot be called.

    >>> import numpy as np
    >>> from minidl.data import Augment, MixUp
    >>> augment = Compose(Augment(flip=True, rng=0), MixUp(0.2, classes=2, rng=1))
    >>> x, y = augment(np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 1]))
    >>> x.shape, y.shape
    ((3, 4, 4, 1), (3, 2))
    """

    def __init__(self, *augmentations: Callable[..., Any]) -> None:
        if not augmentations or not all(map(callable, augmentations)):
            raise TypeError(f"Compose: expected augmentations that can be called, received {shown(augmentations)}")
        self.augmentations = augmentations
        self.takes_targets = any(map(takes_targets, augmentations))
        self.works_ahead = all(getattr(augment, "works_ahead", False) is True for augment in augmentations)

    def __call__(self, x: Any, *targets: Any) -> Any:
        """Return changed samples, or samples and targets where one of the augmentations takes these."""
        if len(targets) != self.takes_targets:
            expected = "samples and targets" if self.takes_targets else "samples alone"
            raise TypeError(f"Compose: expected {expected}, received {1 + len(targets)} arguments")
        for augment in self.augmentations:
            if takes_targets(augment):
                x, *targets = augment(x, *targets)
            else:
                x = augment(x)
        return (x, *targets) if self.takes_targets else x


def takes_targets(augment: Any) -> bool:
    """Return whether an augmentation is called with samples and targets and returns both."""
    return getattr(augment, "takes_targets", False) is True
