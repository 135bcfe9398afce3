"""The page as a file: what it says of its arguments, and what stands in it; test_browser_page.py opens it."""

from __future__ import annotations

import io
import json
import re
import zlib
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    Module,
    ReLU,
    Rescale,
    Sequential,
    Softmax,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.inspect import Recorder, page
from minidl.inspect._page_file import json_in_html, packed
from minidl.inspect._page_photographs import EXACT, EXACT_BYTES, Answers, photographs_of, probabilities_of
from minidl.inspect._page_pictures import sheet_of
from minidl.inspect._page_run import MOMENTS, POINTS, curves_of, moments_of


def network(seed: int = 0, side: int = 8) -> Sequential:
    return Sequential(Rescale(), Flatten(), *mlp([side * side * 3, 4, 1], rng=seed))


def pictures(count: int, side: int = 8, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


class Parts(HTMLParser):
    """The elements of a file, with what stands in its styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.is_inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")
        self.is_inside = True

    def handle_endtag(self, tag: str) -> None:
        self.is_inside = False

    def handle_data(self, data: str) -> None:
        if self.is_inside:
            self.texts[-1] += data

    def of(self, tag: str) -> list[str]:
        return [text for (name, _), text in zip(self.tags, self.texts, strict=True) if name == tag]


def read(path: Path) -> tuple[Parts, Any]:
    parts = Parts(path.read_text(encoding="utf-8"))
    return parts, json.loads(parts.of("script")[0])


def pixels(address: str) -> Array:
    with Image.open(io.BytesIO(b64decode(address.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_policy_forbids_requests_and_foreign_scripts(tmp_path: Path) -> None:
    hostile = "</script><script>1</script>{{script}}"
    page(network(), tmp_path / "a.html", pictures(3), [0, 1, 1], class_names=[hostile, "b"], title=hostile)
    parts, data = read(tmp_path / "a.html")
    names = [tag for tag, _ in parts.tags]
    assert names == ["html", "head", *["meta"] * 4, "link", "title", "style", "body", "main", "p", "noscript", "p",
                     "script", "script"]  # fmt: skip
    policy = dict(part.split(" ", 1) for part in str(parts.tags[3][1]["content"]).split("; "))
    digests = [
        b64encode(sha256(text.encode()).digest()).decode() for text in (*parts.of("style"), parts.of("script")[1])
    ]
    assert policy == {
        "default-src": "'none'", "style-src": f"'sha256-{digests[0]}'", "script-src": f"'sha256-{digests[1]}'",
        "img-src": "data: blob:", "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    assert data["classes"] == [hostile, "b"]
    assert parts.of("title") == [data["title"]] == [hostile]
    addresses = set(re.findall(r"\w+://[^\s\"'`]+", "".join(parts.of("script")[1:] + parts.of("style"))))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nothing is loaded from


@given(st.dictionaries(st.text(), st.lists(st.text())))
def test_data_stays_inside_its_element(data: Any) -> None:
    text = json_in_html(data)
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == data


@given(st.integers(0, 2**32 - 1), st.integers(0, 30_000))
def test_large_weights_are_packed_without_loss(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(size=count).astype("<f4")
    text = b64encode(values.tobytes()).decode()
    child = {"weights": {"weight": {"shape": [count], "data": text}}, "children": []}
    data = packed({"weights": {}, "children": [child]})["children"][0]["weights"]["weight"]["data"]
    if not isinstance(data, str):
        assert len(data["deflate"]) < len(text)
        rows = np.frombuffer(zlib.decompress(b64decode(data["deflate"])), np.uint8).reshape(4, -1)
        data = b64encode(rows.T.tobytes()).decode()
    assert data == text


@pytest.mark.parametrize("head", ["Sigmoid", "Softmax", ""])
def test_exact_photographs_are_exact_and_answered(head: str) -> None:
    of_three = Sequential(Rescale(), Flatten(), Dense(432, 3, rng=0), *([Softmax()] if head else []))
    model = network(side=12) if head == "Sigmoid" else of_three
    x = pictures(60, 12)
    p = probabilities_of(model, x)
    output = model.predict(x).astype(np.float64)
    powers = np.exp(output - output.max(axis=1, keepdims=True))
    expected = {
        "Sigmoid": np.concatenate([1 - output, output], axis=1), "Softmax": output,
        "": powers / powers.sum(axis=1, keepdims=True),
    }[head]  # fmt: skip
    np.testing.assert_allclose(p, expected, atol=1e-7)
    labels = np.arange(60) % p.shape[1]
    data = photographs_of(x, Answers(p, labels), [f"{i}.jpg" for i in range(60)])
    assert len(data["exact"]) == EXACT
    for entry in data["exact"]:
        np.testing.assert_array_equal(pixels(entry["data"]), x[entry["place"]])
    chosen = [entry["place"] for entry in data["exact"]]
    assert {(labels[i], p[i].argmax() == labels[i]) for i in chosen} == {
        *zip(labels, p.argmax(1) == labels, strict=True)
    }
    np.testing.assert_allclose(data["probabilities"], p, atol=1e-6)
    assert pixels(data["sheet"]["file"]).shape == (24, 32 * 12, 3)


def test_the_size_is_bounded(tmp_path: Path) -> None:
    noise = pictures(16, 128)  # which no format makes smaller
    model = Sequential(Rescale(), Flatten(), *mlp([49152, 20, 7, 5, 1], rng=0))
    page(model, tmp_path / "a.html", noise, np.arange(16) % 2)
    _, data = read(tmp_path / "a.html")
    assert 0 < sum(len(entry["data"]) for entry in data["photographs"]["exact"]) <= EXACT_BYTES
    assert (tmp_path / "a.html").stat().st_size < 6_000_000


@given(st.integers(1, 3000))
def test_curves_are_thinned_and_keep_their_ends(epochs: int) -> None:
    cost = np.linspace(1, 0, epochs)
    curves = curves_of({"loss": cost.tolist(), "val_loss": (2 * cost).tolist(), "seconds": [0.5] * epochs})
    assert curves is not None
    assert curves["epochs"] == epochs
    assert curves["at"][0] == 1
    assert curves["at"][-1] == epochs
    assert len(curves["at"]) <= POINTS
    np.testing.assert_allclose(curves["cost"], cost[np.array(curves["at"]) - 1], rtol=1e-5)
    np.testing.assert_allclose(curves["validation"], 2 * cost[np.array(curves["at"]) - 1], rtol=1e-5)


def test_what_is_not_finite_is_a_gap() -> None:
    assert curves_of({"loss": [float("nan"), 1.0, float("inf")]})["cost"] == [None, 1.0, None]  # type: ignore[index]
    assert curves_of({"loss": []}) is None
    assert curves_of(None) is None


def test_moments_are_those_of_the_recorder() -> None:
    x, model = pictures(20), network()
    recorder = Recorder(x[:2], limit=40)
    assert moments_of(None) is None
    assert moments_of(recorder) == {"moments": [], "weights": None, "photographs": None}
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.01))
    trainer.fit(x, np.arange(20) % 2, 900, print_every=None, callbacks=[recorder])
    data = moments_of(recorder)
    assert data is not None
    assert len(data["moments"]) == MOMENTS
    assert [data["moments"][0]["epoch"], data["moments"][-1]["epoch"]] == [0, 900]
    last = data["moments"][-1]["activations"][-1]
    values = np.frombuffer(b64decode(last["data"]), "<f4").reshape(2, last["units"])
    np.testing.assert_allclose(values, model.predict(x[:2]), atol=1e-6)
    assert data["weights"]["units"] == 4
    assert data["weights"]["sheet"]["count"] == 4 * MOMENTS
    assert data["photographs"]["count"] == 2


def test_what_training_changed(tmp_path: Path) -> None:
    x, model = pictures(20), network()
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    trainer.fit(x, np.arange(20) % 2, 50, print_every=None, dual=True)
    assert trainer.run is not None
    for span in (None, trainer.run.span):
        page(model, tmp_path / "a.html", x, train_images=x, initial=network(), span=span)
        units = read(tmp_path / "a.html")[1]["units"]
        assert units["path"] == "2"
        assert pixels(units["changes"]["file"]).shape == (8, 4 * 8, 3)
        change = model[2].weight.data - network()[2].weight.data
        coefficients, *_ = np.linalg.lstsq((x / 255).reshape(20, -1).T, change.T.astype(np.float64), rcond=None)
        for unit, parts in enumerate(units["influences"]["units"]):
            assert parts["residual"] < 1e-3
            shown = [weight for _, weight in parts["more"]]
            positive = np.sort(coefficients[:, unit][coefficients[:, unit] > 0])[::-1][:6]
            np.testing.assert_allclose(shown, positive[: len(shown)], rtol=0.01, atol=1e-7)
            assert all(weight < 0 for _, weight in parts["less"])


def test_a_span_of_another_run_is_not_believed(tmp_path: Path) -> None:
    x, model = pictures(20), network()
    for _ in range(2):  # as a run that was resumed
        trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
        trainer.fit(x, np.arange(20) % 2, 30, print_every=None, dual=True)
    assert trainer.run is not None
    page(model, tmp_path / "a.html", x, train_images=x, initial=network(), span=trainer.run.span)
    units = read(tmp_path / "a.html")[1]["units"]["influences"]["units"]
    assert max(unit["residual"] for unit in units) < 1e-3


def test_networks_that_begin_otherwise(tmp_path: Path) -> None:
    x = pictures(4)
    convolved = Sequential(Rescale(), Conv2D(3, 2, 3, rng=0), ReLU(), GlobalAveragePool2D(), Dense(2, 1, rng=0))
    for model, has_units in ((convolved, True), (Sequential(Rescale(), ReLU(), GlobalAveragePool2D()), False)):
        page(model, tmp_path / "a.html", x, initial=model)
        assert (read(tmp_path / "a.html")[1]["units"] is not None) == has_units


def test_samples_of_other_shapes(tmp_path: Path) -> None:
    for shape in ((5,), (4, 3), (6, 6, 1), (2, 2, 2)):
        model = Sequential(Flatten(), Dense(int(np.prod(shape)), 2, rng=0))
        x = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
        page(model, tmp_path / "a.html", x, [0, 1, 0, 1, 1])
        data = read(tmp_path / "a.html")[1]
        assert data["input"] == {"shape": list(shape), "isPicture": False}
        exact = data["photographs"]["exact"]
        assert [entry["place"] for entry in exact] == [0, 1, 2, 3, 4]
        for entry in exact:
            np.testing.assert_array_equal(np.frombuffer(b64decode(entry["data"]), "<f4"), x[entry["place"]].ravel())


def test_a_sheet_of_none() -> None:
    assert sheet_of([], 0, quality=50)["file"] == ""


class Own(Module):
    def forward(self, x: Array) -> Array:
        return x

    def backward(self, grad_output: Array) -> Array:
        return grad_output


X = pictures(4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "page input_shape: expected the shape of one sample where no images are given, received None"),
        ({"images": X[:0]}, "page input_shape: expected the shape of one sample"),
        ({"images": X, "labels": [0, 1]}, "page labels: expected one for each of 4 images, received shape (2,)"),
        ({"images": X, "labels": [0, 1, 2, 0]}, "page labels: expected 0 and 1, received [0, 1, 2]"),
        ({"labels": [1], "input_shape": (8, 8, 3)}, "page labels: expected None where there are no images"),
        ({"images": X, "class_names": ["a"]}, "page class_names: expected 2 names, received ['a']"),
        ({"images": X, "class_names": "ab"}, "page class_names: expected 2 names, received 'ab'"),
        ({"images": X, "names": ["a"]}, "page names: expected one for each of 4 images, received ['a']"),
        ({"names": ["a"], "input_shape": (8, 8, 3)}, "page names: expected None where there are no images"),
        ({"images": X, "train_images": pictures(2, 9)}, "page: expected images, train_images and input_shape of one"),
        ({"images": X, "initial": mlp([3, 1])}, "page initial: expected a network that begins like the model"),
        ({"images": X, "recorder": "a"}, "page recorder: expected a Recorder, received 'a'"),
        ({"images": X, "history": [1.0]}, "page history: expected a mapping of names to values, received [1.0]"),
        ({"images": X, "history": {"loss": "x"}}, "page history['loss']: expected numbers, received dtype <U1"),
        ({"images": X, "history": {"loss": [1.0], "val_loss": 1.0}}, "page history['val_loss']: expected a list"),
        ({"images": X, "history": {"loss": [1.0], "seconds": ["a"]}}, "page history['seconds']: expected numbers, rec"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as error:
        page(network(), tmp_path / "a.html", **arguments)
    assert str(error.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_layers_of_ones_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Own"):
        page(Sequential(Flatten(), Own(), Dense(192, 1)), tmp_path / "a.html", X)
    with pytest.raises(ValueError, match=r"page model: expected outputs \(n, classes\)"):
        page(Sequential(Rescale()), tmp_path / "a.html", X)
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_a_page_cannot_have_are_refused(tmp_path: Path) -> None:
    model = network()
    model[-2].weight.data[:] = 1e38
    model[-2].bias.data[:] = -1e38
    page(model, tmp_path / "a.html", X)  # which saturates, and is finite
    (tmp_path / "a.html").unlink()
    wide = Sequential(Dense(2, 1, dtype="float64", rng=0))
    with pytest.raises(ValueError, match="page images"):
        page(wide, tmp_path / "a.html", np.array([[1e200, 0.0]]))
    assert list(tmp_path.iterdir()) == []
