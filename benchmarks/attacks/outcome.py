"""What an attack found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

LONGEST = 2000  # characters of a description


@dataclass
class Outcome:
    """What was tried, how often, how each attempt ended by kind of answer, and a description of each loss.

    >>> outcome = Outcome("model_files")
    >>> outcome.answer("ModelFileError")
    >>> outcome.lose("a bit flipped: KeyError")
    >>> outcome.tried, dict(outcome.answers), outcome.lost
    (2, {'ModelFileError': 1, 'lost': 1}, ['a bit flipped: KeyError'])
    """

    name: str
    tried: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def answer(self, kind: str) -> None:
        """Count an attempt that ended well, in this way."""
        self.tried += 1
        self.answers[kind] += 1

    def lose(self, description: str) -> None:
        """Count an attempt that ended badly."""
        self.tried += 1
        self.answers["lost"] += 1
        self.lost.append(description[:LONGEST])

    def settle(self, kind: str, problems: list[str], what: str) -> None:
        """Count an attempt that ended well if there are no problems, else one loss for all of them."""
        if problems:
            self.lose(f"{what}: {'; '.join(problems)}")
        else:
            self.answer(kind)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(vars(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Return the outcome of such a line."""
        values = json.loads(text)
        return cls(**{**values, "answers": Counter(values["answers"])})

    def line(self, seconds: float) -> str:
        """Return the line of a table."""
        answers = ", ".join(f"{count} {kind}" for kind, count in self.answers.most_common())
        return f"{self.name:<13}{self.tried:>7} tried {len(self.lost):>4} lost {seconds:>7.1f} s   {answers}"


def told(error: BaseException) -> str:
    """Return an error's kind and message, and where it was raised."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        place = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:300]}{place}"
