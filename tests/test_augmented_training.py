"""Training on samples that are changed anew each epoch: `Trainer.fit(augment=...)`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minidl import SGD, BinaryCrossEntropy, Callback, Checkpoint, Flatten, Rescale, Run, Sequential, Trainer, mlp
from minidl._typing import Array
from minidl.data import Augment

PIXELS = np.random.default_rng(0).integers(0, 256, size=(10, 4, 4, 3)).astype(np.uint8)
LABELS = np.arange(10) % 2


def a_trainer() -> Trainer:
    model = Sequential(Rescale(), Flatten(), *mlp([48, 3, 1], rng=1))
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05, momentum=0.9))


def an_augment() -> Augment:
    return Augment(flip=True, shift=0.3, brightness=0.2, rng=5)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_each_batch_is_changed_and_validation_samples_are_not(batch_size: int | None) -> None:
    seen: list[Array] = []

    def darken(images: Array) -> Array:
        seen.append(images)
        return images // 2

    augmented, plain = a_trainer(), a_trainer()
    histories = [
        trainer.fit(x, LABELS, 3, batch_size, (PIXELS, LABELS), print_every=None, rng=2, augment=augment)
        for trainer, x, augment in ((augmented, PIXELS, darken), (plain, PIXELS // 2, None))
    ]
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-5)
    assert len(seen) == 3 * (1 if batch_size is None else 3)
    assert all(images.dtype == np.uint8 for images in seen)
    assert histories[0]["val_loss"][-1] == pytest.approx(augmented.evaluate(PIXELS, LABELS)["loss"], rel=1e-5)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_resumed_run_draws_the_changes_that_the_whole_run_draws(tmp_path: Path, batch_size: int | None) -> None:
    def fit(trainer: Trainer, *callbacks: Callback) -> list[float]:
        history = trainer.fit(
            PIXELS, LABELS, 6, batch_size, print_every=None, rng=3, augment=an_augment(), callbacks=callbacks
        )
        return history["loss"]

    class StopAfterThree(Checkpoint):
        def on_epoch_end(self, run: Run, epoch: int, metrics: object) -> None:
            if epoch == 2 and not resumed:
                run.stop()
                run.save(self.path)

    path, resumed = tmp_path / "run.ckpt", False
    whole, first, second = a_trainer(), a_trainer(), a_trainer()
    expected = fit(whole)
    assert fit(first, StopAfterThree(path)) == expected[:3]
    resumed = True
    second.resume(path)
    assert fit(second, StopAfterThree(path)) == expected
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], value)


def test_another_augmentation_after_resume_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    callbacks = [Checkpoint(path)]
    a_trainer().fit(PIXELS, LABELS, 1, 4, print_every=None, augment=an_augment(), callbacks=callbacks)
    trainer = a_trainer()
    trainer.resume(path)
    with pytest.raises(ValueError, match=r"random generators: expected \['batches', 'batches.augment.rng'\]"):
        trainer.fit(PIXELS, LABELS, 2, 4, print_every=None, callbacks=callbacks)


def test_the_dual_form_refuses_it() -> None:
    message = "dual=True: the samples must stay the same from epoch to epoch, received an augment"
    with pytest.raises(ValueError, match=message):
        a_trainer().fit(PIXELS, LABELS, 1, print_every=None, augment=an_augment(), dual=True)
