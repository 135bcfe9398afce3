"""Text as numbers that a network learns from: where it comes from, its characters as tokens, and windows of it."""

from __future__ import annotations

import hashlib
import importlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minidl._typing import Array

UNKNOWN, IGNORED = 0, -1  # the token of all rare characters; a target that does not count
RARE = 10  # a character that the training part has less often is rare


def read_text(path: Path | None) -> str:
    """Return the text of a file, or without one the help texts that Python carries, joined in the order of topics.

    Raises: OSError for a file that cannot be read, ValueError for one that is no text, ImportError for a Python without
    help texts.
    """
    if path is None:
        topics = importlib.import_module("pydoc_data.topics").topics
        return "\n".join(topics[topic] for topic in sorted(topics))
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected text in UTF-8, received {error.reason} at byte {error.start}") from None


@dataclass(frozen=True)
class Text:
    """A text as tokens, of which those from `start` on are held out; `digest` is a hash of all its characters."""

    tokens: Array
    start: int
    vocabulary: Vocabulary
    digest: str


def load_text(path: Path | None, context: int) -> Text:
    """Read a text, hold its last tenth out, make tokens of it by the characters of the rest, and say so.

    Raises: as `read_text` does; ValueError for a text that is too short for one window of `context` characters.
    """
    text = read_text(path)
    start = len(text) * 9 // 10
    if start <= context:
        raise ValueError(f"--text: expected more than {context} characters to train on, received {start}")
    vocabulary = Vocabulary.of(text[:start])
    if len(vocabulary) < 3:
        raise ValueError(f"--text: expected at least two characters that come {RARE} times or more")
    tokens = vocabulary.tokens(text)
    unknown = np.count_nonzero(tokens[start:] == UNKNOWN)
    print(f"{start} characters to train on, {len(text) - start} held out; {len(vocabulary)} tokens")
    print(f"{unknown} of the characters that are held out are unknown\n")
    digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return Text(tokens, start, vocabulary, digest)


class Vocabulary:
    """The tokens of characters: the first is that of all characters that are not among them."""

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._numbers = {character: number for number, character in enumerate(characters, UNKNOWN + 1)}

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """Return the vocabulary of those characters that are not rare in a text."""
        return cls("".join(sorted(character for character, count in Counter(text).items() if count >= RARE)))

    def __len__(self) -> int:
        return len(self.characters) + 1

    def tokens(self, text: str) -> Array:
        """Return a text as numbers."""
        return np.array([self._numbers.get(character, UNKNOWN) for character in text], np.intp)

    def text(self, tokens: Array) -> str:
        """Return numbers as a text, in which U+FFFD stands for unknown characters."""
        return "".join("\N{REPLACEMENT CHARACTER}" if n == UNKNOWN else self.characters[n - 1] for n in tokens)


def training_windows(tokens: Array, context: int) -> tuple[Array, Array]:
    """Return windows of tokens and of the tokens that follow each of theirs, both (windows, context).

    A window begins at every half of a window, so that most tokens are seen early and late in one. All are views of
    `tokens`: nothing is copied.

    >>> training_windows(np.arange(5), context=2)[1].tolist()
    [[1, 2], [2, 3], [3, 4]]
    """
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context + 1)[:: context // 2]
    return windows[:, :-1], windows[:, 1:]


def held_out_windows(tokens: Array, start: int, context: int) -> tuple[Array, Array]:
    """Return windows (windows, context) in which each token from `start` on is a target that counts once.

    Of a window, the last half counts: so every token is predicted from at least half a window of those before it, from
    the training part for the first ones. `tokens` has at least `context` of them before `start`.

    >>> held_out_windows(np.arange(9), start=5, context=4)[1].tolist()
    [[-1, -1, 5, 6], [-1, -1, 7, 8]]
    """
    ends = np.append(np.arange(start + context // 2, len(tokens), context // 2), len(tokens))
    counted = np.append(start, ends[:-1])  # the first target of each window that counts
    windows = np.lib.stride_tricks.sliding_window_view(tokens, context + 1)[ends - (context + 1)]
    places = ends[:, None] + np.arange(-context, 0)
    return windows[:, :-1], np.where(places < counted[:, None], IGNORED, windows[:, 1:])
