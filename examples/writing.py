"""Text that a network writes, one character after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from texts import UNKNOWN, Vocabulary

from minidl import Module, load, load_metadata, streaming
from minidl._typing import Array
from minidl.functional import softmax


class Writer:
    """A network that continues texts, with the vocabulary and the context that it was trained with.

    Arguments: `context` is how many tokens the network sees at most; `temperature` divides its logits: below 1, likely
    characters become more likely, above 1, others do.
    """

    def __init__(self, model: Module, vocabulary: Vocabulary, context: int, temperature: float) -> None:
        self.model, self.vocabulary, self.context, self.temperature = model, vocabulary, context, temperature

    def written(self, prompt: str, length: int, rng: np.random.Generator) -> Iterator[str]:
        """Yield what follows a prompt, `length` characters in all.

        Inside `streaming()` the network remembers keys and values of earlier tokens, so that a token costs what one
        token costs. When its context is full, a new stream begins with the last half of it: on average, a token costs
        two.
        """
        tokens = self.vocabulary.tokens(prompt)
        while length > 0:
            if len(tokens) >= self.context:
                tokens = tokens[-(self.context // 2) :]
            new = self._stream(tokens, min(length, self.context + 1 - len(tokens)), rng)
            yield self.vocabulary.text(new)
            tokens, length = np.append(tokens, new), length - len(new)

    def _stream(self, tokens: Array, count: int, rng: np.random.Generator) -> Array:
        """Return so many tokens that follow these, no more than the context has room for."""
        new = np.empty(count, np.intp)
        with streaming():
            for i in range(count):
                logits = self.model(tokens[None])[0, -1]
                new[i] = self._chosen(logits, rng)
                tokens = new[i : i + 1]
        return new

    def _chosen(self, logits: Array, rng: np.random.Generator) -> int:
        """Return a token drawn by its probability, never the unknown one."""
        if logits.shape != (len(self.vocabulary),):
            expected = f"expected a network of {len(self.vocabulary)} tokens, which the vocabulary has"
            raise ValueError(f"{expected}, received one of {logits.shape[-1]}")
        z = logits.astype(np.float64)
        z[UNKNOWN] = -np.inf
        with np.errstate(over="ignore", under="ignore"):  # a temperature near 0 leaves the likeliest token alone
            p = softmax((z - z.max()) / self.temperature)
        return int(rng.choice(len(p), p=p))


def load_writer(path: Path, temperature: float) -> Writer:
    """Return the network of a file with its vocabulary.

    Raises: ValueError for the file of another network; and as `load` does.
    """
    model, metadata = load(path), load_metadata(path)
    characters, context = metadata.get("characters"), metadata.get("context")
    if not isinstance(characters, str) or not characters or type(context) is not int or context < 2:
        raise ValueError(f"{path}: expected the network of characters.py, with its characters and context")
    return Writer(model, Vocabulary(characters), context, temperature)
