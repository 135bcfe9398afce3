"""Changes to JSON that leave it JSON, or nearly so: what a file's author may write into its header."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

PLACE = "@here@"  # stands for text that `json.dumps` would not write
HUGE = 10**30
TEXTS = (
    "NaN", "Infinity", "-Infinity", "1e999", "-0.0", "1e-320", "9" * 400, "9" * 5000, '"\\ud800"', '"\\u0000"',
    "[" * 500 + "]" * 500, "[" * 20_000 + "]" * 20_000, '{"a":' * 20_000 + "1" + "}" * 20_000,
    "[" + "9," * 50_000 + "9]", "[" + ("1" + "0" * 300 + ",") * 300 + "1]", '{"a": 1, "a": 2}', "", "nul", "'a'",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 2**20, 2**31, 2**62, 2**63, 2**64, HUGE, -HUGE, 0.5, 1.0, -1.5, 1e308, 1e-308,
    "", "x", "1", "float16", "float64", "int8", "Dense", "Sequential", "Module", "__class__", "..", "a/b", "x" * 10_000,
    [], [1], [1, 2, 3], [None], [[]], {}, {"a": 1}, {"class": "ReLU", "arguments": {}}, {"$array": "no such array"},
    {"$array": 1}, {"$array": [1]}, {"$float": "nan"}, {"$float": "x"}, {"$float": [1]}, {"class": "Dense"},
)  # fmt: skip
DEPTHS = (1, 2, 50, 2_000)
TIMES = (2, 3, 100, 5_000)


def changed(text: bytes, rng: Random) -> tuple[str, bytes]:
    """Return what was done to a JSON text, and the new one."""
    tree = json.loads(text)
    container, key = rng.choice(list(places(tree)))
    kind = rng.choice(list(CHANGES))
    insertion = CHANGES[kind](container, key, rng)
    result = json.dumps(tree, indent=rng.choice((None, 1)))
    if insertion is not None:
        result = result.replace(f'"{PLACE}"', insertion)
    return f"{kind} at {key!r:.60}", result.encode()


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container of a tree with each of its keys or indices."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in entries:
        yield tree, key
        yield from places(value)


def _put_a_value(container: Any, key: Any, rng: Random) -> None:
    container[key] = rng.choice(VALUES)


def _put_a_text(container: Any, key: Any, rng: Random) -> str:
    container[key] = PLACE
    return rng.choice(TEXTS)


def _nest(container: Any, key: Any, rng: Random) -> str:
    """Put lists or objects of some depth around a value."""
    depth, value = rng.choice(DEPTHS), json.dumps(container[key])
    container[key] = PLACE
    before, after = rng.choice((("[", "]"), ('{"a":', "}"), ('{"class":"Sequential","arguments":{"layers":[', "]}}")))
    return before * depth + value + after * depth


def _repeat(container: Any, key: Any, rng: Random) -> str | None:
    """Repeat an item of a list, or make a list of a value."""
    times = rng.choice(TIMES)
    if isinstance(container, list):
        value, container[key] = json.dumps(container[key]), PLACE
        return ",".join([value] * times)
    value, container[key] = json.dumps(container[key]), PLACE
    return f"[{','.join([value] * times)}]"


def _change_a_number(container: Any, key: Any, rng: Random) -> None:
    """Change a number a little; anything else is taken for 0."""
    value = container[key]
    number = value if isinstance(value, (int, float)) else 0
    container[key] = rng.choice(
        (number + 1, number - 1, number * 2, -number, number * HUGE, float(number), str(number))
    )


def _remove(container: Any, key: Any, _: Random) -> None:
    del container[key]


def _rename(container: Any, key: Any, rng: Random) -> None:
    if isinstance(container, dict):
        container[rng.choice(("", "x", f"{key}x", "__init__", "self", "weight_init", "rng", "dtype"))] = container.pop(
            key
        )
    else:
        container.reverse()


def _exchange(container: Any, key: Any, rng: Random) -> None:
    """Exchange the values of two keys."""
    other = rng.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key], container[other] = container[other], container[key]


CHANGES: dict[str, Callable[[Any, Any, Random], str | None]] = {
    "another value": _put_a_value,
    "another text": _put_a_text,
    "a deeper value": _nest,
    "a value repeated": _repeat,
    "another number": _change_a_number,
    "a value removed": _remove,
    "a key renamed": _rename,
    "values exchanged": _exchange,
}
