"""The example that learns to write: its tokens and windows, what it writes, and runs that end early and go on."""

from __future__ import annotations

import csv
import doctest
import math
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import characters
import numpy as np
import pytest
import texts
from hypothesis import given
from hypothesis import strategies as st
from interrupting import checkpoint_with_ctrl_c
from texts import IGNORED, UNKNOWN, Vocabulary, held_out_windows, load_text, read_text, training_windows
from writing import Writer

from minidl import Module, load, mlp, save
from minidl._typing import Array
from minidl.functional import softmax
from minidl.models import transformer

SMALL = ["--context", "8", "--features", "8", "--heads", "2", "--blocks", "1", "--length", "40"]
FILES = ["checkpoint.npz", "cost.png", "history.csv", "model.npz", "settings.json", "written.txt"]


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = np.random.default_rng(0).choice(["one", "two", "three", "four"], size=300)
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(" ".join(words) + "\n", encoding="utf-8")
    return path


def test_the_help_texts_are_there_in_every_python() -> None:
    text = read_text(None)
    assert len(text) > 300_000
    assert text == read_text(None)
    assert "The try statement" in text.replace('"', "")
    start = len(text) * 9 // 10
    vocabulary = Vocabulary.of(text[:start])
    assert 80 < len(vocabulary) < 120
    assert (vocabulary.tokens(text[start:]) == UNKNOWN).mean() < 0.001


def test_rare_characters_are_one_token() -> None:
    vocabulary = Vocabulary.of("b" * 10 + "a" * 11 + "c" * 9)
    assert vocabulary.characters == "ab"
    assert vocabulary.tokens("abcd").tolist() == [1, 2, UNKNOWN, UNKNOWN]
    assert vocabulary.text(vocabulary.tokens("abcd")) == "ab\ufffd\ufffd"


@given(context=st.integers(2, 9), start=st.integers(10, 30), held_out=st.integers(1, 40))
def test_each_token_that_is_held_out_counts_once(context: int, start: int, held_out: int) -> None:
    x, y = held_out_windows(np.arange(start + held_out), start, context)
    assert x.shape == y.shape
    assert x.shape[1] == context
    counted = y != IGNORED
    np.testing.assert_array_equal(y[counted], np.arange(start, start + held_out))
    np.testing.assert_array_equal(y[counted], x[counted] + 1)
    assert not counted[:, : context - context // 2].any()


def test_windows_to_train_on_are_no_copies() -> None:
    tokens = np.arange(1000)
    x, y = training_windows(tokens, 64)
    assert x.base is not None
    assert np.shares_memory(x, tokens)
    assert np.shares_memory(y, tokens)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(np.unique(y), np.arange(1, x.max() + 2))
    assert len(tokens) - y.max() <= 32


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(texts) == doctest.TestResults(failed=0, attempted=2)


class Watched(Module):
    """A network whose inputs are noted."""

    def __init__(self, network: Module) -> None:
        self.network = network
        self.fed: list[Array] = []

    def forward(self, x: Array) -> Array:
        self.fed.append(x.copy())
        return self.network(x)


@pytest.mark.parametrize("prompt", ["a", "abcabca", "abcabcab", "abcabcabcabcabc", "a?"])
def test_written_with_remembered_keys_as_without(prompt: str) -> None:
    context, vocabulary = 8, Vocabulary("abc")
    model = Watched(transformer(4, context, features=8, heads=2, rng=0))
    writer = Writer(model, vocabulary, context, temperature=0.5)
    written = "".join(writer.written(prompt, 100, np.random.default_rng(1)))
    assert len(written) == 100
    assert set(written) <= set("abc")

    fed, rng = model.fed, np.random.default_rng(1)
    assert sum(tokens.size for tokens in fed) <= 2 * len(written) + len(prompt)
    assert sum(tokens.size > 1 for tokens in fed) <= len(written) / (context // 2) + 1
    tokens = vocabulary.tokens(prompt)
    seen = tokens if len(tokens) < context else tokens[-(context // 2) :]
    for character in written:
        z = model.network.predict(seen[None])[0, -1].astype(np.float64)
        z[UNKNOWN] = -np.inf
        token = rng.choice(4, p=softmax((z - z.max()) / 0.5))
        assert vocabulary.text(np.array([token])) == character
        tokens, seen = np.append(tokens, token), np.append(seen, token)
        if len(seen) > context:
            seen = tokens[-(context // 2) :]


def test_a_low_temperature_takes_the_likeliest() -> None:
    model = transformer(4, 8, features=8, heads=2, rng=0)
    texts = {
        "".join(Writer(model, Vocabulary("abc"), 8, 1e-300).written("a", 20, np.random.default_rng(seed)))
        for seed in range(5)
    }
    assert len(texts) == 1


def history(out: Path) -> list[list[str]]:
    with (out / "history.csv").open(newline="") as file:
        return [[row[name] for name in ("loss", "val_loss")] for row in csv.DictReader(file)]


def test_trained_measured_and_asked(text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert characters.main(["--text", str(text_file), *SMALL, "--epochs", "8", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    text = load_text(text_file, 8)
    capsys.readouterr()
    assert f"{text.start} characters to train on, {len(text.tokens) - text.start} held out; 11 tokens" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    bits = [float(found) for found in re.findall(r"([\d.]+) bits per character", out)]
    assert len(bits) == 9
    assert bits[-1] == bits[-2] < 2 < bits[0]
    assert math.isclose(float(history(tmp_path)[-1][1]) / math.log(2), bits[-1], abs_tol=0.001)

    # The same measured by hand: each character that is held out, from at least half a context.
    model = load(tmp_path / "model.npz")
    total = 0.0
    for place in range(text.start, len(text.tokens)):
        end = min(text.start + math.ceil((place + 1 - text.start) / 4) * 4, len(text.tokens))
        logits = model.predict(text.tokens[None, end - 9 : place])[0, -1]
        total -= math.log2(softmax(logits.astype(np.float64))[text.tokens[place]])
    assert math.isclose(total / (len(text.tokens) - text.start), bits[-1], abs_tol=0.001)

    asked = ["--write", "one t", "--out", str(tmp_path), "--length", "30"]
    assert characters.main([*asked, "--temperature", "0.1"]) == 0
    written = capsys.readouterr().out
    assert re.fullmatch(r"one t[ a-z\n]{30}\n", written)
    assert characters.main([*asked, "--temperature", "0.1"]) == 0
    assert capsys.readouterr().out == written
    assert (tmp_path / "written.txt").read_text(encoding="utf-8")[1:] + "\n" in out


def test_interrupted_and_resumed_it_is_the_same_run(
    text_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--text", str(text_file), *SMALL, "--epochs", "4"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert characters.main([*arguments, "--out", str(whole)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Cost")]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(characters, "Checkpoint", checkpoint_with_ctrl_c(after=2))
        assert characters.main([*arguments, "--out", str(parts)]) == 130
    assert "interrupted after 2 of 4 epochs; --resume goes on" in capsys.readouterr().out
    assert history(parts) == history(whole)[:2]

    resume = [*arguments, "--out", str(parts), "--resume"]
    assert characters.main([*resume, "--minutes", "1e-9"]) == 0
    out = capsys.readouterr().out
    assert "stopped after 3 of 4 epochs; --resume goes on" in out
    assert characters.main(resume) == 0
    out += capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("Cost")] == lines[2:]
    assert history(parts) == history(whole)
    expected, received = (load(out / "model.npz").state_dict() for out in (whole, parts))
    assert all(np.array_equal(received[name], value) for name, value in expected.items())
    assert (parts / "written.txt").read_bytes() == (whole / "written.txt").read_bytes()

    other = tmp_path / "other.txt"
    other.write_text(text_file.read_text(encoding="utf-8")[::-1], encoding="utf-8")
    assert refused(capsys, [*resume, "--features", "16"]).endswith(f"the run in {parts} has --features 8, received 16")
    message = f"expected the characters of the run in {parts}, received others"
    assert refused(capsys, [*resume, "--text", str(other)]).endswith(message)


def test_ctrl_c_in_a_fresh_process(text_file: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-u", characters.__file__, "--text", str(text_file), "--out", str(tmp_path), *SMALL]
    command = [*program, "--epochs", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Cost after epoch 1:"):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "of 1000000 epochs; --resume goes on" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """Return the last line of what a run with a mistake in it says."""
    with pytest.raises(SystemExit) as ended:
        characters.main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--heads", "3"], "--heads: expected a divisor of 64 features, received 3"),
        (["--context", "1"], "argument --context: expected a whole number of at least 2, received '1'"),
        (["--temperature", "0"], "argument --temperature: expected a finite number above 0, received '0'"),
        (["--minutes", "-1"], "argument --minutes: expected a finite number above 0, received '-1'"),
        (["--model", "m.npz"], "--model names the network for --write: give a prompt, too"),
        (["--write", "a", "--resume"], "--write trains nothing: leave --text and --resume out"),
        (["--write", "a", "--text", "t.txt"], "--write trains nothing: leave --text and --resume out"),
        (["--write", ""], "--write: expected at least one character, received none"),
    ],
)
def test_mistyped_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, arguments).endswith(message)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"\xff\xfe", "text.txt: expected text in UTF-8, received invalid start byte at byte 0"),
        (b"abc", "--text: expected more than 64 characters to train on, received 2"),
        (b"a" * 1000, "--text: expected at least two characters that come 10 times or more"),
    ],
)
def test_texts_that_will_not_do(
    contents: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_bytes(contents)
    arguments = ["--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "out")]
    assert refused(capsys, arguments).endswith(message)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "expected the network of characters.py, with its characters and context"),
        ({"characters": "ab", "context": 1}, "expected the network of characters.py"),
        ({"characters": ["a"], "context": 8}, "expected the network of characters.py"),
        ({"characters": "abcde", "context": 8}, "expected a network of 6 tokens, which the vocabulary has, received"),
    ],
)
def test_networks_of_another_kind(
    metadata: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(transformer(3, 8, features=4, heads=1, blocks=1), tmp_path / "model.npz", **metadata)
    line = refused(capsys, ["--write", "ab", "--model", str(tmp_path / "model.npz")])
    assert line.startswith("characters.py: error: ")
    assert message in line


def test_a_network_that_takes_no_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(mlp([2, 3]), tmp_path / "model.npz", characters="ab", context=8)
    line = refused(capsys, ["--write", "a", "--model", str(tmp_path / "model.npz")])
    assert line.startswith("characters.py: error: ")
