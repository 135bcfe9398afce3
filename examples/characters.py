"""A transformer learns to write, character by character, from a text file or from Python's own help texts.

    python examples/characters.py [--text FILE]
    python examples/characters.py --write "The " [--temperature 0.8] [--length 500]

The last tenth of the text is held out: the network is measured on it by its bits per character, each character once,
predicted from at least half a context of those before it. Characters that the training part has fewer than ten times
share one token, which stands for all unknown ones and is never written. Into the folder `--out` go the network with its
characters (`model.npz`), `history.csv`, `cost.png`, a text that it has written (`written.txt`), and for `--resume` the
last `checkpoint.npz` with `settings.json`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from command_line import INTERRUPTED, POSITIVE, errors_as_one_line, one_line, timed, whole_number

with errors_as_one_line("characters.py"):  # Ctrl-C is handled during these imports, too
    import numpy as np
    from cost_curve import draw_cost_curve
    from out_folder import CHECKPOINT, COST, HISTORY, MODEL, WRITTEN, reserved
    from resuming import begin_or_resume
    from texts import IGNORED, Text, held_out_windows, load_text, training_windows
    from writing import Writer, load_writer

    from minidl import (
        AdamW,
        Callback,
        Checkpoint,
        History,
        LearningRateSchedule,
        Run,
        Sequential,
        SoftmaxCrossEntropy,
        Trainer,
        save,
    )
    from minidl.models import transformer
    from minidl.schedules import cosine, warm_up

BETAS, WEIGHT_DECAY, LONGEST = (0.9, 0.99), 0.1, 1.0  # of AdamW, LONGEST for the norm of all gradients together
SHOWN = 60  # characters that the network writes after each epoch
SETTINGS = ("context", "features", "heads", "blocks", "batch_size", "learning_rate", "epochs", "seed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example and return its exit status: 0, 2 for a mistake in options or files, 130 for Ctrl-C."""
    with errors_as_one_line("characters.py"):
        options = options_of(arguments)
        if options.write is not None:
            show(load_writer(options.model or options.out / MODEL, options.temperature), options.write, options)
            return 0
        with reserved(options.out):
            return run(options)


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, or end the program with status 2 and a line that describes the mistake."""
    description = "Train a transformer to write, or let it write."
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add, count = parser.add_argument, whole_number(1)
    add("--text", type=Path, metavar="FILE", help="text in UTF-8 to learn from (the help texts that Python carries)")
    add("--epochs", type=count, default=20, help="passes over the windows of the text (20)")
    add("--minutes", type=POSITIVE, default=math.inf, help="stop after the epoch in which they are over (no limit)")
    add("--context", type=whole_number(2), default=64, help="characters that the network sees at most (64)")
    add("--features", type=count, default=64, help="features of each character (64)")
    add("--heads", type=count, default=4, help="heads of attention, a divisor of the features (4)")
    add("--blocks", type=count, default=2, help="blocks of attention and a small network (2)")
    add("--batch-size", type=count, default=32, help="windows in a step (32)")
    add("--learning-rate", type=POSITIVE, default=0.003, help="largest length of a step (0.003)")
    add("--seed", type=whole_number(0), default=1, help="seed of first weights, batches and what is written (1)")
    add("--out", type=Path, default=Path("runs/characters"), metavar="DIR", help="folder (runs/characters)")
    add("--resume", action="store_true", help="continue from the last checkpoint in the --out folder")
    add("--write", metavar="PROMPT", help="write what follows these characters and do not train")
    add("--temperature", type=POSITIVE, default=0.8, help="below 1 more likely characters, above 1 others (0.8)")
    add("--length", type=count, default=500, help="characters to write at the end (500)")
    add("--model", type=Path, metavar="FILE", help=f"network for --write (--out folder/{MODEL})")
    options = parser.parse_args(arguments)
    if options.model is not None and options.write is None:
        parser.error("--model names the network for --write: give a prompt, too")
    if options.write is not None and (options.text is not None or options.resume):
        parser.error("--write trains nothing: leave --text and --resume out")
    if options.write == "":
        parser.error("--write: expected at least one character, received none")
    if options.features % options.heads:
        parser.error(f"--heads: expected a divisor of {options.features} features, received {options.heads}")
    return options


def run(options: argparse.Namespace) -> int:
    """Read, train, report, write."""
    text = load_text(options.text, options.context)
    model = model_of(text, options)
    model.summary(input_shape=(options.context,))
    print()

    trainer = trainer_of(model, options.learning_rate)
    settings = {name: getattr(options, name) for name in SETTINGS}
    begin_or_resume(trainer, options.out, settings, {"characters": text.digest}, resume=options.resume)
    writer = Writer(model, text.vocabulary, options.context, options.temperature)
    callbacks = [
        schedule_of(options.learning_rate, options.epochs),
        Report(writer, options.seed),
        TimeLimit(options.minutes),
        Checkpoint(options.out / CHECKPOINT),
    ]
    with timed("training"):
        history = trainer.fit(
            *training_windows(text.tokens[: text.start], options.context),
            options.epochs,
            options.batch_size,
            validation_data=held_out_windows(text.tokens, text.start, options.context),
            print_every=None,
            rng=options.seed,
            callbacks=callbacks,
        )
    return finish(options, writer, history)


def model_of(text: Text, options: argparse.Namespace) -> Sequential:
    """Return the network with its first weights."""
    sizes = {name: getattr(options, name) for name in ("features", "heads", "blocks")}
    return transformer(len(text.vocabulary), options.context, **sizes, rng=options.seed)


def trainer_of(model: Sequential, learning_rate: float) -> Trainer:
    """Return what trains a network: AdamW, whose steps no single batch can dominate."""
    optimizer = AdamW(model.parameters(), learning_rate, BETAS, weight_decay=WEIGHT_DECAY, max_gradient_norm=LONGEST)
    return Trainer(model, SoftmaxCrossEntropy(ignore_index=IGNORED), optimizer)


def schedule_of(learning_rate: float, epochs: int) -> LearningRateSchedule:
    """Return the schedule of a run: a first epoch at half of the learning rate, then down along half a wave."""
    return LearningRateSchedule(warm_up(cosine(learning_rate, learning_rate / 100, epochs), epochs=1))


class Report(Callback):
    """Prints, after each epoch, its cost, the bits per character of the part held out, and a line of the network's."""

    def __init__(self, writer: Writer, seed: int) -> None:
        self.writer, self.seed = writer, seed

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Print them; what is written depends on seed and epoch alone, so that a resumed run writes the same."""
        line = "".join(self.writer.written("\n", SHOWN, np.random.default_rng([self.seed, epoch])))
        bits = f"{metrics['val_loss'] / math.log(2):.3f} bits per character held out"
        print(f"Cost after epoch {epoch}: {metrics['loss']:.6f}  {bits}  {one_line(line)}", flush=True)


class TimeLimit(Callback):
    """Ends training after the epoch in which so many minutes are over."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes

    def on_fit_begin(self, run: Run) -> None:
        """Begin to count."""
        self.start = time.monotonic()

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Stop, when it is time to."""
        if time.monotonic() - self.start >= 60 * self.minutes:
            run.stop()


def finish(options: argparse.Namespace, writer: Writer, history: History) -> int:
    """Report how far training has come, write all files and a text, and return the program's exit status."""
    if history.epochs < options.epochs:
        ended = "interrupted" if history.interrupted else "stopped"
        hint = "; --resume goes on" if (options.out / CHECKPOINT).exists() else ""
        print(f"\n{ended} after {history.epochs} of {options.epochs} epochs{hint}")
    if history.epochs:
        cost = history["val_loss"][-1]
        print(f"\nheld out: cost {cost:.4f}, {cost / math.log(2):.3f} bits per character\n")
        save(writer.model, options.out / MODEL, characters=writer.vocabulary.characters, context=writer.context)
        history.to_csv(options.out / HISTORY)
        draw_cost_curve(history["loss"], options.out / COST, history["val_loss"], unit="epoch")
        written = show(writer, "\n", options)
        (options.out / WRITTEN).write_text(written, encoding="utf-8")
        print(f"\n{MODEL}, {HISTORY}, {COST} and {WRITTEN} are in {one_line(options.out)}")
    return INTERRUPTED if history.interrupted else 0


def show(writer: Writer, prompt: str, options: argparse.Namespace) -> str:
    """Print a prompt and what the network writes after it, as it is written, and return both."""
    written = prompt
    print(prompt.lstrip("\n"), end="", flush=True)
    for part in writer.written(prompt, options.length, np.random.default_rng(options.seed)):
        print(part, end="", flush=True)
        written += part
    print()
    return written


if __name__ == "__main__":
    sys.exit(main())
