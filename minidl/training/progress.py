"""How training goes, shown to a person: the article's lines, a bar on a terminal or in a notebook, or nothing."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol

from minidl._validation import positive_int
from minidl.data.batches import Batches

NOTEBOOK_MODULES = ("ipykernel.zmqshell", "IPython.utils._process_emscripten")  # which tqdm.auto knows notebooks by
BAR_OPTIONS = {"dynamic_ncols": True, "mininterval": 0, "miniters": 1}  # each change is drawn, once
BAR_INTERVAL = 0.1  # seconds between two changes of the bar, so that drawing it costs nothing beside short epochs


class Progress(Protocol):
    """What the training loop reports of each epoch, and at the end."""

    def batch_done(self, number: int, record: Mapping[str, Any]) -> None:
        """Show one batch of the present epoch, now, later or never."""

    def epoch_done(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show one epoch, now or later."""

    def close(self) -> None:
        """Show the last epoch, if it has not been shown, and end the line."""


def checked_print_every(print_every: int | Literal["auto"] | None, epochs: int) -> int | None:
    """Return every how many epochs a line is printed: "auto" prints each of up to 50 epochs, of more some 50.

    Raises: ValueError for something else than "auto", None or a whole number of at least 1.

    >>> [checked_print_every("auto", epochs) for epochs in (10, 200, 2500)]
    [1, 4, 50]
    """
    if print_every is None:
        return None
    return max(1, epochs // 50) if print_every == "auto" else positive_int(print_every, "print_every")


def make_progress(start: int, epochs: int, print_every: int | None, batches: Batches) -> Progress:
    """Return the form of progress that fits: none for `print_every=None`, a bar with tqdm, else lines.

    Whatever fails in showing it ends the display, not the training (see `_Unfailing`).
    """
    if print_every is None:
        return _Silent()
    return _Unfailing(lambda: _bar_or_lines(start, epochs, print_every, batches))


def _bar_or_lines(start: int, epochs: int, print_every: int, batches: Batches) -> Progress:
    unit = "iteration" if batches.batch_size is None else "epoch"  # the article's word for a full batch
    tqdm = _tqdm()
    if tqdm is None:
        return _Lines(print_every, unit)
    if not batches.is_counted or len(batches) == 1:
        return _Bar(tqdm(total=epochs, initial=start, unit=unit, **BAR_OPTIONS))
    total, done = epochs * batches.samples, start * batches.samples
    bar = tqdm(total=total, initial=done, unit="sample", unit_scale=True, **BAR_OPTIONS)
    return _SampleBar(bar, start, epochs, batches)


def _tqdm() -> Any:
    """Return the class of bars for this notebook or terminal, None elsewhere and where tqdm is not installed."""
    is_terminal = getattr(sys.stderr, "isatty", None)  # a program without a console may have None for it
    with suppress(ImportError):
        if any(name in sys.modules for name in NOTEBOOK_MODULES):
            from tqdm.auto import tqdm as notebook_tqdm  # one of text, where ipywidgets is not installed

            return notebook_tqdm
        if is_terminal is not None and is_terminal():
            from tqdm import tqdm

            return tqdm
    return None


class _Unfailing:
    """A display whose errors end it and become one warning after training: a closed pipe, a full disk, a bad encoding.

    A pipe whose reader has gone, as in `| head`, is no reason for a warning.
    """

    def __init__(self, make: Callable[[], Progress]) -> None:
        self.display: Progress = _Silent()
        self.error: Exception | None = None
        with self._ending():
            self.display = make()

    def batch_done(self, number: int, record: Mapping[str, Any]) -> None:
        try:  # as `_ending` does, which would take a microsecond in each step
            self.display.batch_done(number, record)
        except Exception as error:
            self._end(error)

    def epoch_done(self, epoch: int, metrics: Mapping[str, float]) -> None:
        with self._ending():
            self.display.epoch_done(epoch, metrics)

    def close(self) -> None:
        """Close the display and say what has ended it, if something has."""
        with self._ending():
            self.display.close()
        if self.error is not None and not isinstance(self.error, BrokenPipeError):
            warnings.warn(f"progress could not be shown to the end: {self.error!r}", RuntimeWarning, stacklevel=6)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a display is whatever stands in sys.stdout and sys.stderr: it may raise anything
            self._end(error)

    def _end(self, error: Exception) -> None:
        if (bar := getattr(self.display, "bar", None)) is not None:
            bar.disable = True  # or its finalizer would draw once more, and fail where no one can catch it
        self.display, self.error = _Silent(), error


class _OfEpochs:
    """A display that shows epochs alone."""

    def batch_done(self, number: int, record: Mapping[str, Any]) -> None:
        """Show nothing."""


class _Silent(_OfEpochs):
    def epoch_done(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Have nothing to tidy."""


class _Lines(_OfEpochs):
    """The article's line, `Cost after iteration 50: 0.672053`, every so many epochs and after the last one."""

    def __init__(self, print_every: int, unit: str) -> None:
        self.print_every, self.unit = print_every, unit
        self.unsaid: tuple[int, Mapping[str, float]] | None = None

    def epoch_done(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.unsaid = (epoch, metrics)
        if epoch % self.print_every == 0:
            self.close()

    def close(self) -> None:
        """Print the last epoch's line, if it has not been."""
        if self.unsaid is not None:
            (epoch, metrics), self.unsaid = self.unsaid, None
            extra = "".join(f"  {name} {value:.4f}" for name, value in metrics.items() if name.startswith("val_"))
            print(f"Cost after {self.unit} {epoch}: {metrics['loss']:.6f}{extra}", flush=True)


class _Bar(_OfEpochs):
    """A bar of tqdm with the current cost and the time left."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.drawn = 0.0
        self.undrawn: tuple[int, Mapping[str, float]] | None = None

    def epoch_done(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.undrawn = (epoch, metrics)
        now = time.perf_counter()
        if now - self.drawn >= BAR_INTERVAL:
            self.drawn = now
            self._draw()

    def close(self) -> None:
        """Leave the last epoch's cost and number standing."""
        self._draw()
        self.bar.close()

    def _draw(self) -> None:
        if self.undrawn is not None:
            (epoch, metrics), self.undrawn = self.undrawn, None
            shown = {name: f"{value:.4f}" for name, value in metrics.items() if name == "loss" or name[:4] == "val_"}
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(epoch + 1 - self.bar.n)


class _SampleBar:
    """A bar of tqdm over the samples of all epochs: the epoch and batch, the cost, samples a second, the time left."""

    def __init__(self, bar: Any, start: int, epochs: int, batches: Batches) -> None:
        self.bar, self.epoch, self.epochs = bar, start, epochs
        self.samples, self.batches = batches.samples, len(batches)
        self.batch_size = batches.batch_size or batches.samples
        self.drawn = 0.0
        self.shown: dict[str, str] = {}

    def batch_done(self, number: int, record: Mapping[str, Any]) -> None:
        now = time.perf_counter()
        if now - self.drawn >= BAR_INTERVAL:
            self.drawn = now
            where = f"epoch {self.epoch + 1}/{self.epochs}, batch {number + 1}/{self.batches}"
            self.bar.set_description_str(where, refresh=False)
            self.shown["loss"] = f"{record['loss']:.4f}"
            self._draw(self.epoch * self.samples + min((number + 1) * self.batch_size, self.samples))

    def epoch_done(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.shown = {name: f"{value:.4f}" for name, value in metrics.items() if name == "loss" or name[:4] == "val_"}
        self.epoch = epoch + 1

    def close(self) -> None:
        """Leave the last epoch's cost and number standing."""
        self.bar.set_description_str(f"epoch {self.epoch}/{self.epochs}", refresh=False)
        self._draw(self.epoch * self.samples)
        self.bar.close()

    def _draw(self, samples: int) -> None:
        self.bar.set_postfix(self.shown, refresh=False)
        self.bar.update(samples - self.bar.n)
