"""The pictures of a training: drawn for odd numbers too, readable without colour, and never left half written."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import cost_curve
import numpy as np
import practice_pictures
import pytest
from cost_curve import draw_cost_curve
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import seeds

from minidl import accuracy
from minidl._typing import Array
from minidl.data import LazyImages, load_image_folders
from minidl.reports import canvas, contact_sheet
from minidl.reports.contact_sheet import draw_contact_sheet


def grey(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L")).astype(int)


def in_colour(path: Path, colour: str) -> Array:
    """Return where a picture has exactly this colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(path) as picture:
        found: Array = (np.asarray(picture) == rgb).all(axis=2)
    return found


def flat(n: int, size: tuple[int, int] = (16, 16), value: int = 128) -> Array:
    return np.full((n, *size, 3), value, np.uint8)


CURVES: dict[str, tuple[Any, Any]] = {
    "one point": ([0.7], None),
    "one point each": ([0.7], [0.8]),
    "two points": ([0.7, 0.6], [0.8, 0.7]),
    "constant": ([0.693] * 50, [0.693] * 50),
    "zero": ([0.0] * 5, None),
    "negative": ([-1, -2, -3], None),
    "below the smallest step": ([5e-324, 0.0], None),
    "huge": ([1e299, -1e299, 0.5], [1e308, -1e308, 1]),
    "tiny": ([3e-9, 1e-9], None),
    "nothing finite": ([np.nan, np.inf, -np.inf], [np.nan] * 3),
    "gaps": ([1, np.nan, 0.9, np.inf, 0.8, 0.7], [np.nan, 1, 1, 1, 1, np.nan]),
    "float32": (np.linspace(1, 0, 300, dtype=np.float32), None),
}


@pytest.mark.parametrize("name", CURVES)
def test_every_cost_curve_has_its_size_and_is_the_same_again(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        draw_cost_curve(*(CURVES[name][0], path, CURVES[name][1]))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert grey(tmp_path / "a.png").shape == (600, 1000)
    finite = name != "nothing finite"
    assert in_colour(tmp_path / "a.png", canvas.BLUE).any() == finite
    assert in_colour(tmp_path / "a.png", canvas.ORANGE).any() == (finite and CURVES[name][1] is not None)


@pytest.mark.parametrize("title", ["", "Kater Müsli, 猫\nand more", "a long title " * 30])
def test_nothing_is_cut_off_at_the_edges(title: str, tmp_path: Path) -> None:
    values = np.array([123456.789, np.nan, 1e6, 999999.5])
    draw_cost_curve(values, tmp_path / "c.png", values / 3, title)
    draw_contact_sheet(flat(3), [0.1, 0.6, 0.9], [1, 1, 1], tmp_path / "p.png", ("x" * 300, title or "y"))
    for name in ("c.png", "p.png"):
        pixels = grey(tmp_path / name)
        border = np.concatenate([pixels[:12].ravel(), pixels[-12:].ravel(), *pixels[:, :12], *pixels[:, -12:]])
        assert (border == 255).all()


def test_a_spike_among_many_iterations_stays(tmp_path: Path) -> None:
    costs = np.full(100_000, 0.5)
    costs[[33_333, 70_001]] = 6.0, -4.0
    draw_cost_curve(costs, tmp_path / "c.png")
    blue = in_colour(tmp_path / "c.png", canvas.BLUE)
    rows = np.flatnonzero(blue.any(axis=1))
    assert rows[0] < 122  # of axes that reach from row 118 to 528, from 6 to -4
    assert rows[-1] > 524


@given(st.integers(1, 300), st.floats(0.003, 1), seeds)
def test_thinning_keeps_what_shows(n: int, pixels: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=n + 7)
    run = np.arange(3, n + 3)
    kept = cost_curve._thinned(run, values, pixels)
    assert (np.diff(kept) > 0).all()
    assert set(kept) <= set(run)
    assert (kept[0], kept[-1]) == (run[0], run[-1])
    assert len(kept) <= max(4, 4 * np.ceil(n * pixels))
    for part in np.array_split(run, min(n, int(np.ceil(n * pixels)))):
        shown = values[np.intersect1d(kept, part)]
        assert (shown.min(), shown.max()) == (values[part].min(), values[part].max())


def test_training_and_validation_differ_without_colour(tmp_path: Path) -> None:
    draw_cost_curve([1.0] * 100, tmp_path / "solid.png", [np.nan] * 100)
    draw_cost_curve([np.nan] * 100, tmp_path / "dashed.png", [1.0] * 100)
    changes = {}
    for name in ("solid", "dashed"):
        pixels = grey(tmp_path / f"{name}.png")
        dark = (pixels[116:121, 80:700] < 220).sum(axis=0)  # how thick the line is, column by column
        changes[name] = (np.diff(dark) != 0).sum()
    assert changes["solid"] == 0
    assert changes["dashed"] > 40


def test_missing_values_are_counted_in_words() -> None:
    values = np.array([1.0, np.nan, np.inf, 2.0])
    lines = [cost_curve._Line("training", values, "", False), cost_curve._Line("validation", values[[0, 3]], "", True)]
    assert cost_curve._note(lines, "iteration") == "Not finite, so not drawn: training 2 of 4, first at iteration 1"
    assert cost_curve._note(lines[1:], "epoch") == ""


@given(st.floats(1e-290, 1e290))
def test_steps_are_one_two_or_five(rough: float) -> None:
    step = cost_curve._nice_step(rough)
    assert rough * (1 - 1e-8) <= step <= 2.5 * rough * (1 + 1e-8)
    assert f"{step:.6e}"[0] in "125"
    assert f"{step:.6e}"[1:8] == ".000000"


@pytest.mark.parametrize(
    ("value", "step", "largest", "text"),
    [
        (0.6, 0.2, 0.8, "0.6"),
        (0.05, 0.05, 0.2, "0.05"),
        (2500, 500, 2500, "2,500"),
        (2e7, 1e7, 5e7, "2e+07"),
        (3e-9, 1e-9, 4e-9, "3e-09"),
        (-0.2, 0.2, 0.8, "-0.2"),
        (0.001, 0.001, 0.005, "0.001"),
    ],
)
def test_numbers_on_the_axis(value: float, step: float, largest: float, text: str) -> None:
    assert cost_curve._number(value, step, largest) == text


@pytest.mark.parametrize(
    ("costs", "validation", "message"),
    [
        ([], None, r"costs: expected a list of at least one number, received shape \(0,\)"),
        ([[0.5]], None, r"costs: expected a list of at least one number, received shape \(1, 1\)"),
        ([1, 2], [1], "validation: expected 2 costs, received 1"),
    ],
)
def test_costs_that_cannot_be_drawn(costs: Any, validation: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        draw_cost_curve(costs, tmp_path / "c.png", validation)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [1, 2, 4, 5, 8, 9, 40, 41, 1000])
def test_contact_sheets_of_any_number(n: int, tmp_path: Path) -> None:
    p = np.random.default_rng(n).random((n, 1))
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        draw_contact_sheet(flat(n), p, np.arange(n) % 2, path)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    height, width = grey(tmp_path / "a.png").shape
    columns, rows = min(8, max(4, n)), -(-min(n, 40) // 8)
    assert width == 64 + columns * 132 + (columns - 1) * 20
    assert rows * 180 < height < rows * 220 + 170


@given(st.integers(1, 60), st.integers(1, 50), st.floats(0, 1), seeds)
def test_which_are_shown(n: int, limit: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    truth = np.where(rng.random(n) < share, p > 0.5, p <= 0.5)
    answers, _ = contact_sheet._checked(flat(n), p, truth)
    wrong, right = contact_sheet._choose(answers, limit)
    is_wrong = (p > 0.5) != truth
    assert len(wrong) + len(right) == min(n, limit)
    assert len(set(wrong) | set(right)) == min(n, limit)
    assert is_wrong[wrong].all()
    assert not is_wrong[right].any()
    assert len(wrong) >= min(is_wrong.sum(), limit // 2)
    assert len(right) >= min((~is_wrong).sum(), limit // 2)
    sureness = np.abs(p - 0.5)
    assert (np.diff(sureness[wrong]) <= 0).all()
    assert (np.diff(sureness[right]) <= 0).all()
    if len(wrong):
        assert sureness[wrong[0]] == sureness[is_wrong].max()
    if len(right):
        assert sureness[right[0]] == sureness[~is_wrong].max()


def test_the_verdict_is_that_of_accuracy() -> None:
    p, truth = np.array([0.5, 0.5, 0.51, 0.49, 0.0, 1.0]), np.array([0, 1, 1, 1, 0, 0])
    answers, _ = contact_sheet._checked(flat(6), p, truth)
    title = contact_sheet._heading(answers, (3, 3), ("not cat", "cat"), 1000)[0]
    assert title == "3 of 6 test photographs right (50.0 %)"
    assert accuracy(p, truth) == 0.5
    wrong, right = contact_sheet._choose(answers, 40)
    assert (wrong.tolist(), right.tolist()) == ([5, 3, 1], [4, 2, 0])


@pytest.mark.parametrize(
    ("truth", "limit", "shown"),
    [
        ([1, 0, 0, 0], 40, "Shown: all 4 right ones, from the surest to the least sure."),
        ([0, 0, 0, 0], 40, "Shown: the wrong one; then all 3 right ones, from the surest to the least sure."),
        ([0, 1, 1, 1], 3, "Shown: 3 of the 4 wrong ones, the most confident first."),
        ([0, 1, 0, 0], 2, "Shown: 1 of the 2 wrong ones, the most confident first; "
                          "then 1 of the 2 right ones, from the surest to the least sure."),
    ],
)  # fmt: skip
def test_the_heading_says_what_is_shown(truth: list[int], limit: int, shown: str) -> None:
    answers, _ = contact_sheet._checked(flat(4), [0.9, 0.2, 0.3, 0.4], truth)
    wrong, right = contact_sheet._choose(answers, limit)
    heading = contact_sheet._heading(answers, (len(wrong), len(right)), ("not cat", "cat"), 2000)
    meaning = "The number is the network's probability of cat: above 0.5 it says cat, else not cat."
    assert heading[1:] == [meaning, shown]


def test_several_classes_and_photographs_decoded_when_they_are_shown(tmp_path: Path) -> None:
    paths = []
    for i in range(5):
        Image.fromarray(flat(1, value=50 * i)[0]).save(tmp_path / f"{i}.png")
        paths.append(tmp_path / f"{i}.png")
    p = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3], [0.9, 0.1, 0.0], [0.0, 0.4, 0.6]])
    labels = np.array([1, 0, 0, 1, 2])
    answers, classes = contact_sheet._checked(flat(5), p, labels[:, None])
    wrong, right = contact_sheet._choose(answers, 40)
    assert (classes, wrong.tolist(), right.tolist()) == (3, [3, 1], [4, 0, 2])
    assert answers.says.tolist() == p.argmax(axis=1).tolist()
    heading = contact_sheet._heading(answers, (2, 3), None, 2000)
    assert heading[1] == "The number is the network's probability of the class that it says."
    lazy = LazyImages(paths, (16, 16))
    paths[0].unlink()  # which is not among those shown
    draw_contact_sheet(lazy, p, labels, tmp_path / "lazy.png", limit=2)
    images = np.concatenate([flat(1, value=50 * i) for i in range(5)])
    draw_contact_sheet(images, p, labels, tmp_path / "memory.png", ("0", "1", "2"), limit=2)
    assert (tmp_path / "lazy.png").read_bytes() == (tmp_path / "memory.png").read_bytes()
    with pytest.raises(ValueError, match=r"labels: expected class numbers below 3, received \[0, 1, 2, 3\]"):
        draw_contact_sheet(images, p, [0, 1, 2, 3, 0], tmp_path / "no.png")


def test_the_true_class_of_a_wrong_one_is_legible_beside_a_long_name(tmp_path: Path) -> None:
    names, sheets = ("a wire-haired dachshund", "cat", "dog"), []
    for label in (1, 2):
        path = tmp_path / f"{label}.png"
        draw_contact_sheet(flat(1), [[0.8, 0.1, 0.1]], [label], path, names)
        sheets.append(grey(path))
    assert (sheets[0] != sheets[1]).any()


def test_right_and_wrong_differ_without_colour(tmp_path: Path) -> None:
    sides = {}
    for name, label in (("right", 1), ("wrong", 0)):
        draw_contact_sheet(flat(1, value=255), [0.9], [label], tmp_path / f"{name}.png", ("same", "same"))
        dark = grey(tmp_path / f"{name}.png")[100:] < 160  # below the heading; frames and marks come out as dark alike
        frame = int(np.flatnonzero(dark[:, 80:140].all(axis=1))[0])
        thickness = int(dark[frame : frame + 20, 100].sum())
        caption = frame + thickness + contact_sheet.SIDE + 8
        sides[name] = thickness, dark[caption : caption + 24, 32:48]
    assert sides["right"][0] == 2
    assert sides["wrong"][0] == 6
    check, cross = sides["right"][1], sides["wrong"][1]
    assert min(check.sum(), cross.sum()) > 30
    assert (check != cross).sum() > 30, "the marks are different shapes"


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 5), (600, 900)])
def test_photographs_of_any_size_fit_their_square(size: tuple[int, int], tmp_path: Path) -> None:
    draw_contact_sheet(flat(2, size, value=0), [0.9, 0.1], [1, 0], tmp_path / "p.png")
    black = in_colour(tmp_path / "p.png", "#000000")
    rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black[:, :172].any(axis=0))
    scale = 132 / max(size)
    assert rows[-1] - rows[0] + 1 == max(1, round(size[0] * scale))
    assert columns[-1] - columns[0] + 1 == max(1, round(size[1] * scale))


BAD_PREDICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"images": flat(2)[..., 0]}, r"images: expected uint8 \(n, height, width, 3\), received uint8 \(2, 16, 16\)"),
    ({"images": flat(2) / 255}, r"images: expected uint8 .*, received float64 \(2, 16, 16, 3\)"),
    ({"images": flat(0)}, r"images: expected uint8 .*, received uint8 \(0, 16, 16, 3\)"),
    ({"probabilities": [0.5]}, r"probabilities: expected one for each of 2 images, received shape \(1,\)"),
    ({"probabilities": [0.5, 1.5]}, r"probabilities: expected numbers in \[0, 1\], received 0.5 to 1.5"),
    ({"probabilities": [0.5, np.nan]}, r"probabilities: expected numbers in \[0, 1\], received nan to nan"),
    ({"labels": [[1, 0]]}, r"labels: expected one for each of 2 images, received shape \(1, 2\)"),
    ({"labels": [1, 2]}, r"labels: expected 0 and 1, received \[1, 2\]"),
    ({"class_names": ["cat"]}, r"class_names: expected 2 names, received \['cat'\]"),
    ({"limit": 0}, "limit: expected a whole number of at least 1, received 0"),
]


@pytest.mark.parametrize(("change", "message"), BAD_PREDICTIONS, ids=[message[:30] for _, message in BAD_PREDICTIONS])
def test_predictions_that_cannot_be_drawn(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    arguments = {"images": flat(2), "probabilities": [0.4, 0.6], "labels": [0, 1], "path": tmp_path / "p.png", **change}
    with pytest.raises(ValueError, match=message):
        draw_contact_sheet(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_practice_pictures_and_what_was_given_stays_as_it_was(tmp_path: Path) -> None:
    cats, others = practice_pictures.draw_practice_pictures(tmp_path / "drawn", count=3)
    dataset = load_image_folders({"cat": cats, "not cat": others}, positive="cat")
    images, labels, p = dataset.images.copy(), dataset.labels.copy(), np.array([0.9, 0.8, 0.3, 0.1, 0.6, 0.4])
    draw_contact_sheet(dataset.images, p, dataset.labels, tmp_path / "p.png", dataset.class_names)
    np.testing.assert_array_equal(dataset.images, images)
    np.testing.assert_array_equal(dataset.labels, labels)
    first = in_colour(tmp_path / "p.png", canvas.RED)
    assert first[:, :170].any(), "the wrong ones come first"
    assert not first[:, 480:].any(), "and there are two of them, in four columns or more"


def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.png"
    path.write_bytes(b"what was there")
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))

    def fails(self: Image.Image, fp: Any, *args: Any, **kwargs: Any) -> None:
        fp.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="directory"):
        draw_cost_curve([1, 2], tmp_path / "folder.png")
    with pytest.raises(FileNotFoundError):
        draw_cost_curve([1, 2], tmp_path / "gone" / "c.png")
    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(OSError, match="No space left"):
        draw_cost_curve([1, 2], path)
    with pytest.raises(OSError, match="No space left"):
        draw_contact_sheet(flat(1), [0.5], [0], path)
    assert sorted(tmp_path.rglob("*")) == before
    assert path.read_bytes() == b"what was there"


def test_text_keeps_to_its_width_and_letters() -> None:
    assert canvas.plain(" Müsli\n  é 猫 ") == "Musli e ?"
    assert canvas.shortened("cat", 14, 100) == "cat"
    for width in (40, 90):
        text = canvas.shortened("a Siamese or Burmese cat", 14, width)
        assert text.endswith("...")
        assert canvas.font(14).getlength(text) <= width
    lines = canvas.wrapped("one two three four five six seven", 14, 90)
    assert " ".join(lines) == "one two three four five six seven"
    assert len(lines) > 1
    assert all(canvas.font(14).getlength(line) <= 90 for line in lines)
