"""Damage to the bytes of a file: what disks, transfers and editors do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random


def damaged(data: bytes, rng: Random) -> tuple[str, bytes]:
    """Return what was done, and the damaged bytes; one damage in eight is followed by another.

    >>> damaged(b"abcdef", Random(1))[0]
    'a run inserted'
    """
    kind = rng.choice(list(KINDS))
    result = KINDS[kind](data, rng)
    if rng.random() < 1 / 8:
        more, result = damaged(result, rng)
        return f"{kind}, {more}", result
    return kind, result


def _run(data: bytes, rng: Random, longest: int = 64) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.randint(1, longest))


def _flip_bits(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_bits_near_the_ends(data: bytes, rng: Random) -> bytes:
    """Headers and directories stand there."""
    changed = bytearray(data)
    if changed:
        place = rng.randrange(min(64, len(changed)))
        changed[rng.choice((place, len(changed) - 1 - place))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _write_a_number(data: bytes, rng: Random) -> bytes:
    """Put a number that sizes are wrong with in the place of two or four bytes."""
    start = rng.randrange(max(1, len(data)))
    number = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
    width = 4 if number > 0xFFFF else rng.choice((2, 4))
    return data[:start] + number.to_bytes(width, rng.choice(("little", "big"))) + data[start + width :]


def _insert(data: bytes, rng: Random) -> bytes:
    start, _ = _run(data, rng)
    return data[:start] + rng.randbytes(rng.randint(1, 64)) + data[start:]


def _remove(data: bytes, rng: Random) -> bytes:
    start, stop = _run(data, rng)
    return data[:start] + data[stop:]


def _repeat(data: bytes, rng: Random) -> bytes:
    start, stop = _run(data, rng, longest=1024)
    return data[:stop] + data[start:stop] * rng.choice((1, 1, 2, 50)) + data[stop:]


def _zero(data: bytes, rng: Random) -> bytes:
    start, stop = _run(data, rng, longest=512)
    return data[:start] + bytes(stop - start) + data[stop:]


def _move(data: bytes, rng: Random) -> bytes:
    start, stop = _run(data, rng, longest=512)
    rest = data[:start] + data[stop:]
    target = rng.randrange(len(rest) + 1)
    return rest[:target] + data[start:stop] + rest[target:]


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "bits flipped": _flip_bits,
    "a bit near an end flipped": _flip_bits_near_the_ends,
    "a number written": _write_a_number,
    "cut off": lambda data, rng: data[: rng.randrange(len(data) + 1)],
    "a run inserted": _insert,
    "a run removed": _remove,
    "a run repeated": _repeat,
    "a run zeroed": _zero,
    "a run moved": _move,
    "rubbish in front": lambda data, rng: rng.randbytes(rng.randint(1, 64)) + data,
    "rubbish at the end": lambda data, rng: data + rng.randbytes(rng.randint(1, 64)),
    "twice": lambda data, _: data + data,
}
