"""The page in a real Chromium: each control by mouse and by keyboard, own photographs, widths, and hostile names."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Flatten,
    MaxPool2D,
    ReLU,
    Rescale,
    Sequential,
    SoftmaxCrossEntropy,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.data import read_image
from minidl.inspect import Recorder, page

pytest.importorskip("playwright")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIDE = 16
HOSTILE = [
    "</script><img src=x onerror=alert(1)>", "\"'><b onclick='hacked = 1'>", "\u202egnp.tac", "{{data}}", "a\ud800b", ""
]  # fmt: skip
CLASSES = ["<i>no</i> & </script>", "نعم cat"]


def network(seed: int = 0) -> Sequential:
    return Sequential(Rescale(), Flatten(), *mlp([SIDE * SIDE * 3, 6, 4, 1], rng=seed))


def pictures(count: int, seed: int = 0) -> tuple[Array, Array]:
    """Return noise, of which class 1 is brighter at the top."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 200, (count, SIDE, SIDE, 3), dtype=np.uint8)
    y = np.arange(count) % 2
    x[y == 1, : SIDE // 2] += 55
    return x, y


class Made:
    """The pages that the tests open, and what they were made of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.x, self.y = pictures(60)
        self.model = network()
        self.recorder = Recorder(self.x[:3], limit=8)
        trainer = Trainer(self.model, BinaryCrossEntropy(), SGD(self.model.parameters(), 0.5))
        history = trainer.fit(self.x[:40], self.y[:40], 60, print_every=None, callbacks=[self.recorder])
        self.test_x, self.test_y = self.x[-20:], self.y[-20:]
        names = [HOSTILE[i % len(HOSTILE)] + str(i) for i in range(20)]
        page(
            self.model, folder / "whole.html", self.test_x, self.test_y, train_images=self.x[:40],
            train_labels=self.y[:40], class_names=CLASSES, names=names, history=history, recorder=self.recorder,
            initial=network(), title=HOSTILE[0],
        )  # fmt: skip
        page(network(), folder / "bare.html", input_shape=(SIDE, SIDE, 3))
        page(network(), folder / "unused_recorder.html", self.test_x, recorder=Recorder(), history={"loss": [1.0]})
        self.convnet = Sequential(
            Rescale(offset=-0.5), Conv2D(3, 4, 3, padding="same", rng=1), ReLU(), MaxPool2D(2), Flatten(),
            Dense(SIDE * SIDE, 3, rng=2),
        )  # fmt: skip
        convolved = Trainer(self.convnet, SoftmaxCrossEntropy(), SGD(self.convnet.parameters(), 0.1))
        kept = Recorder(self.x[:2])
        of_three = convolved.fit(self.x, np.arange(60) % 3, 3, 10, print_every=None, callbacks=[kept], rng=0)
        page(
            self.convnet, folder / "convnet.html", self.test_x, np.arange(20) % 3, history=of_three, recorder=kept,
            initial=Sequential(*copy.deepcopy(list(self.convnet))),
        )  # fmt: skip
        numbers = np.random.default_rng(3).normal(size=(9, 5)).astype(np.float32)
        page(mlp([5, 4, 1], rng=0), folder / "numbers.html", numbers, [0, 1, 1] * 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("pages"))


@contextmanager
def opened(browser: Browser, path: Path) -> Iterator[Page]:
    """Open a page and wait until it can be used; nothing may be written to its console, and nothing requested."""
    tab = browser.new_page(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: said.append(request.url))
    try:
        tab.goto(path.as_uri())
        tab.wait_for_selector("main:not([aria-busy])")
        settled(tab)
        yield tab
        settled(tab)
        assert [line for line in said if not line.startswith(("data:", "blob:"))] == [path.as_uri()]
        assert tab.evaluate("[window.hacked, document.images.length, document.scripts.length]") == [None, 0, 2]
    finally:
        tab.close()


TEXT = "(element) => element.textContent"  # also of what is not painted, as it is out of sight


def settled(tab: Page) -> None:
    """Wait until everything that was begun has been drawn."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => setTimeout(done))))")


def until(tab: Page, condition: str, argument: Any = None) -> None:
    """Wait until a condition holds, checked in each frame; Playwright's own waiting needs eval, which is forbidden."""
    holds = tab.evaluate(
        f"async (argument) => {{ for (let i = 0; i < 3000; i++) {{ if ({condition}) return true;"
        "await new Promise(requestAnimationFrame); } return false; }",
        argument,
    )
    assert holds, condition


def choose(tab: Page, i: int) -> None:
    """Choose a photograph, and wait until it has been through the network, forth and back."""
    button = tab.locator("#way .thumb").nth(i)
    button.click()
    until(tab, "document.querySelector('#way .name').textContent === argument", button.get_attribute("title"))
    settled(tab)


def probabilities(tab: Page) -> Array:
    return np.array([float(p) for p in (tab.locator("#says").get_attribute("data-probabilities") or "").split()])


def seen(tab: Page) -> Array:
    """Return the pixels that the network was given."""
    pixels = tab.evaluate(
        "() => { const c = document.querySelector('.seen canvas');"
        "return [c.height, c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }"
    )
    array: Array = np.array(pixels[2:], np.uint8).reshape(pixels[0], pixels[1], 4)[:, :, :3]
    return array


def file_of(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def give(tab: Page, name: str, content: bytes) -> None:
    """Choose a file, and wait for the answer."""
    tab.evaluate("document.querySelector('#says')?.removeAttribute('id')")
    tab.set_input_files("#own", {"name": name, "mimeType": "", "buffer": content})
    until(tab, "document.querySelector('#says') || document.querySelector('.message').textContent")
    settled(tab)


@pytest.mark.parametrize("name", ["whole", "convnet"])
def test_probabilities_are_those_of_predict(browser: Browser, made: Made, name: str) -> None:
    model = made.model if name == "whole" else made.convnet
    with opened(browser, made.folder / f"{name}.html") as tab:
        assert tab.locator("#way .thumb").count() == 20
        found = set()
        for i in range(20 if name == "whole" else 5):
            choose(tab, i)
            x = seen(tab)
            found.add(x.tobytes())
            output = model.predict(x[None]).astype(np.float64)[0]
            powers = np.exp(output - output.max())
            expected = powers / powers.sum() if name == "convnet" else np.array([1 - output[0], output[0]])
            np.testing.assert_allclose(probabilities(tab), expected, atol=1e-5)
        assert found <= {x.tobytes() for x in made.test_x}
        assert len(found) == (20 if name == "whole" else 5)


def test_one_step_is_that_of_the_optimizer(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "whole.html") as tab:
        x = seen(tab)[None]
        for label, rate in ((1, "0.05"), (0, "0.2")):
            tab.get_by_label("The right answer").select_option(index=label)
            tab.locator("#rate").fill(rate)
            tab.locator("#rate").blur()
            after = [float(p) for p in (tab.locator("#step").get_attribute("data-after") or "").split()]
            model = copy.deepcopy(made.model)
            trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), float(rate)))
            trainer.fit(x, [label], 1, print_every=None)
            assert after[1] == pytest.approx(float(model.predict(x)[0, 0]), abs=1e-5)
            np.testing.assert_allclose(probabilities(tab)[1], made.model.predict(x)[0, 0], atol=1e-5)


@settings(max_examples=25)
@given(
    st.integers(1, 90), st.integers(1, 90), st.sampled_from(["RGB", "L", "RGBA", "P"]), st.integers(0, 2**32 - 1)
)  # fmt: skip
def test_own_pictures_are_read_as_in_python(chosen: Page, width: int, height: int, mode: str, seed: int) -> None:
    # The filter overshoots by at most 0.64 of the range, so that nothing is clipped: which of its two passes clips
    # first depends on the version of Pillow.
    noise = np.random.default_rng(seed).integers(64, 192, (height, width, 4), dtype=np.uint8)
    noise[:, :, 3] = 200 + noise[:, :, 3] // 4
    picture = Image.fromarray(noise).convert(mode)
    content = file_of(picture, "PNG")
    give(chosen, "own.png", content)
    difference = np.abs(seen(chosen).astype(int) - read_image(content, SIDE))
    # Two passes, each rounded, in either order; a canvas keeps colours multiplied by their opacity, rounded, too.
    assert difference.max() <= (2 if mode != "RGBA" else 4)
    assert difference.mean() < 0.5


@pytest.fixture(scope="module")
def chosen(browser: Browser, made: Made) -> Iterator[Page]:
    with opened(browser, made.folder / "bare.html") as tab:
        yield tab


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(chosen: Page, orientation: int) -> None:
    ramp = np.zeros((120, 200, 3), np.uint8)
    ramp[:, :, 0], ramp[:, :, 1] = np.linspace(0, 255, 200), np.linspace(0, 255, 120)[:, None]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(ramp), "JPEG", exif=exif, quality=95, subsampling=0)
    give(chosen, "phone.jpg", content)
    assert np.abs(seen(chosen).astype(int) - read_image(content, SIDE)).max() <= 3  # two decoders of JPEG


def test_a_photograph_is_dropped(browser: Browser, made: Made) -> None:
    content = file_of(Image.fromarray(made.x[0]), "PNG")
    with opened(browser, made.folder / "whole.html") as tab:
        data = tab.evaluate_handle(
            "(bytes) => { const data = new DataTransfer();"
            "data.items.add(new File([Uint8Array.from(bytes)], '<b>mine</b>.png')); return data; }",
            list(content),
        )
        tab.dispatch_event(".drop", "dragover", {"dataTransfer": data})
        tab.dispatch_event(".drop", "drop", {"dataTransfer": data})
        until(tab, "document.querySelector('.name')?.textContent === '<b>mine</b>.png'")
        np.testing.assert_array_equal(seen(tab), made.x[0])
        assert probabilities(tab)[1] == pytest.approx(float(made.model.predict(made.x[:1])[0, 0]), abs=1e-5)
        assert tab.locator("#way .thumb[aria-pressed=true]").count() == 0


def test_what_is_no_picture_is_said(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "whole.html") as tab:
        give(tab, "<b>.txt", b"no picture")
        assert tab.locator("#way .message").evaluate(TEXT) == "<b>.txt: this browser cannot read it as a picture"
        choose(tab, 1)
        assert tab.locator("#way .message").evaluate(TEXT) == ""


def test_each_control_by_mouse(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "whole.html") as tab:
        tab.locator("summary").click()
        assert tab.locator("#network table").is_hidden()
        tab.locator("#moment").fill("0")
        assert "before training" in tab.locator("#moment-text").evaluate(TEXT)
        before = tab.locator("#run .strip").first.evaluate(TEXT)
        tab.locator("#run .thumb").nth(1).click()
        assert tab.locator("#run .strip").first.evaluate(TEXT) != before
        tab.get_by_role("button", name="Play").click()
        until(tab, "document.querySelector('#moment').value === document.querySelector('#moment').max")
        tab.get_by_role("button", name="Play").wait_for()
        assert "after 60 of 60 epochs" in tab.locator("#moment-text").evaluate(TEXT)

        for cell in range(6 + 6 + 4 + 4 + 1 + 1):
            tab.locator("#way button.cell").nth(cell).click()
            assert tab.locator("#unit b").first.is_visible()
        tab.locator("#way button.cell").first.click()
        assert tab.locator("#unit canvas").count() >= 3
        choose(tab, 3)  # the unit stays open
        assert tab.locator("#unit h3").first.evaluate(TEXT) == "Unit 1 of Dense"

        gradient = tab.locator("#back .cell").first.evaluate(TEXT)
        label = tab.get_by_label("The right answer")
        other = 1 - int(label.evaluate("(select) => select.selectedIndex"))
        label.select_option(index=other)
        assert tab.locator("#back .cell").first.evaluate(TEXT) != gradient
        tab.locator("#opacity").fill("10")
        tab.locator("#rate").fill("0")
        tab.locator("#rate").blur()
        assert float((tab.locator("#step").get_attribute("data-after") or "").split()[1]) == probabilities(tab)[1]


def test_right_and_wrong_are_filtered(browser: Browser, made: Made) -> None:
    says = made.model.predict(made.test_x)[:, 0] > 0.5
    with opened(browser, made.folder / "whole.html") as tab:

        def shown() -> int:
            return tab.locator("#answers .photo").count()

        assert shown() == 20
        for result, right in (("right", True), ("wrong", False)):
            tab.get_by_label("Answers").select_option(result)
            assert shown() == ((says == made.test_y) == right).sum()
        for is_, said in ((0, 0), (0, 1), (1, 0), (1, 1)):
            count = int(((made.test_y == is_) & (says == said)).sum())
            cell = tab.locator("#answers .count").nth(2 * is_ + said)
            assert cell.evaluate(TEXT) == str(count)
            cell.click()
            assert shown() == count
        tab.locator("#answers select").nth(1).select_option(index=0)
        tab.locator("#answers select").nth(2).select_option(index=0)
        tab.get_by_label("Order").select_option(index=1)
        tab.locator("#answers button.photo").first.click()
        until(tab, "document.activeElement.className === 'thumb'")
        first = np.abs(made.model.predict(made.test_x)[:, 0] - 0.5).argmin()
        np.testing.assert_array_equal(seen(tab), made.test_x[first])


def test_each_control_by_keyboard(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "whole.html") as tab:
        stops = []
        for _ in range(60):
            tab.keyboard.press("Tab")
            stop = tab.evaluate(
                "(({ id, className, tagName, previousSibling }) =>"
                "[tagName, id || className, previousSibling?.textContent ?? ''])(document.activeElement)"
            )
            assert (
                stop[0] == "BODY"
                or tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                or stop[1] == "own"
            )
            if stop[0] == "BODY":
                break
            stops.append(stop)
            if stop[1] == "moment":
                for key, text in (("Home", "before training"), ("ArrowRight", "after 1 of 60"), ("End", "after 60")):
                    tab.keyboard.press(key)
                    assert text in tab.locator("#moment-text").evaluate(TEXT)
            elif stop[1] == "thumb" and tab.evaluate("!!document.activeElement.closest('#way')"):
                first = seen(tab).tobytes()
                tab.keyboard.press("ArrowRight")
                tab.keyboard.press("Enter")
                until(tab, "document.querySelector('#way .name').textContent === document.activeElement.title")
                settled(tab)
                assert seen(tab).tobytes() != first
                tab.keyboard.press("End")
                tab.keyboard.press("Home")
            elif stop[1] == "cell":
                tab.keyboard.press("ArrowRight")
                tab.keyboard.press(" ")
                assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
                assert tab.locator("#unit h3").count() >= 1
            elif stop[1] == "count":
                tab.keyboard.press("ArrowRight")
                tab.keyboard.press("Enter")
                assert tab.locator("#answers select").nth(2).evaluate("(select) => select.selectedIndex") == 2
            elif stop[0] == "SELECT" and stop[2] == "The right answer":
                tab.keyboard.press("ArrowDown")
                tab.keyboard.press("ArrowUp")
            elif stop[0] == "SUMMARY":
                tab.keyboard.press("Enter")
                assert tab.locator("#network table").is_hidden()
        kinds = [name for _, name, _ in stops]
        assert {"drawing", "moment", "own", "opacity", "rate", "count", "plain"} <= set(kinds)
        assert kinds.count("cell") == 6  # one stop a layer
        assert kinds.count("thumb") == 2  # and one a row of photographs
        assert [tag for tag, _, _ in stops].count("SELECT") == 1 + 4


@pytest.mark.parametrize("name", ["whole", "convnet", "numbers", "bare", "unused_recorder"])
def test_nothing_is_cut_off(browser: Browser, made: Made, name: str) -> None:
    with opened(browser, made.folder / f"{name}.html") as tab:
        if tab.locator("#way button.cell").count():
            tab.locator("#way button.cell").first.click()
        schemes: tuple[Any, ...] = ("light", "dark")
        for width, scheme in product((360, 768, 1280), schemes):
            tab.set_viewport_size({"width": width, "height": 800})
            tab.emulate_media(color_scheme=scheme)
            settled(tab)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            outside = tab.evaluate(
                "(width) => [...document.querySelectorAll('main *')].filter((e) => !e.closest('.drawing, .scrolling')"
                "&& e.getClientRects().length && e.getBoundingClientRect().right > width + 0.5)"
                ".map((e) => e.outerHTML)",
                width,
            )
            assert outside == []
            background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(20, 23, 26)") == (scheme == "dark")


def test_hostile_names_are_text(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "whole.html") as tab:
        assert tab.locator("h1").evaluate(TEXT) == HOSTILE[0]
        assert tab.title() == HOSTILE[0]
        assert tab.locator("#answers thead th").all_text_contents() == [f"says {name}" for name in CLASSES]
        titles = tab.locator("#way .thumb").evaluate_all("(all) => all.map((each) => each.title)")
        assert titles == [HOSTILE[i % 6] + str(i) for i in range(20)]
        for i in range(6):
            choose(tab, i)
            assert tab.locator("#way .name").evaluate(TEXT) == titles[i]


def test_what_is_not_given_is_said(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "bare.html") as tab:
        text = tab.locator("main").evaluate(TEXT)
        for sentence in ("No history", "No test photographs were given: choose one of your own", "No test photographs"):
            assert sentence in text
        give(tab, "one.png", file_of(Image.fromarray(made.x[0]), "PNG"))
        assert tab.locator("#back .layer").count() > 0
    with opened(browser, made.folder / "unused_recorder.html") as tab:
        assert "The recorder has kept no moment" in tab.locator("#run").evaluate(TEXT)
        assert tab.locator("#answers .matrix").count() == 0
        assert tab.locator("#answers .photo").count() == 20
    with opened(browser, made.folder / "convnet.html") as tab:
        assert "No recorder" not in tab.locator("#run").evaluate(TEXT)
        tab.locator("#way .map").nth(1).click()
        assert "Map 2 of Conv2D" in tab.locator("#unit").evaluate(TEXT)


def test_samples_that_are_no_pictures(browser: Browser, made: Made) -> None:
    with opened(browser, made.folder / "numbers.html") as tab:
        assert tab.locator("#own").count() == 0
        choose(tab, 2)
        tab.locator("#way button.cell").nth(1).click()
        assert "Unit 2 of Dense" in tab.locator("#unit").evaluate(TEXT)
        assert "One sample" in tab.locator("#way h2").evaluate(TEXT)
