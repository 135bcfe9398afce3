"""Loading in threads: the same arrays, errors and order as one thread gives, and an end as soon as one is wanted."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minidl._typing import Array
from minidl.data import image_folder, load_image_folders, open_image_folders
from minidl.errors import ImageFileError
from minidl.ops import parallel, tuning
from minidl.ops.parallel import in_threads


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Twelve pictures of noise in two folders."""
    rng = np.random.default_rng(0)
    for i in range(12):
        path = tmp_path / ("cats", "others")[i % 2] / f"{i:02}.{('png', 'jpg', 'bmp')[i % 3]}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)).save(path)
    return {"cat": tmp_path / "cats", "not cat": tmp_path / "others"}


def use_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: count)


@pytest.mark.parametrize("broken", [(), ("cats/00.png", "others/03.png"), ("cats/10.jpg",)])
def test_many_threads_give_what_one_gives(
    broken: tuple[str, ...], folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in broken:
        (tmp_path / name).write_bytes(b"this is no picture")
    use_cores(monkeypatch, 1)
    one = load_image_folders(folders, size=(16, 12))
    use_cores(monkeypatch, 5)
    many = load_image_folders(folders, size=(16, 12))
    np.testing.assert_array_equal(many.images, one.images)
    np.testing.assert_array_equal(many.labels, one.labels)
    assert many.paths == one.paths
    assert many.skipped == one.skipped
    assert sorted(path.relative_to(tmp_path).as_posix() for path, _ in many.skipped) == sorted(broken)


@pytest.mark.parametrize("window", [1, 3, 1024])
@pytest.mark.parametrize("count", [1, 10, 100, 101])
def test_order_and_number_of_results(window: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING._replace(file_window=window))
    use_cores(monkeypatch, 3)
    assert list(in_threads(lambda item: item * item, range(count))) == [item * item for item in range(count)]
    assert list(in_threads(str, [])) == []


def test_the_error_raised_is_the_first_in_order_not_in_time(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_cores(monkeypatch, 2)
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING._replace(file_chunk=1))
    second_failed = threading.Event()

    def decode(path: Path, size: tuple[int, int]) -> Array:
        if path.name == "00.png":
            assert second_failed.wait(60)
        if path.name == "02.bmp":
            second_failed.set()
        raise ImageFileError(path, "broken")

    monkeypatch.setattr(image_folder, "decode", decode)
    with pytest.raises(ImageFileError, match=r"00\.png: broken"):
        load_image_folders(folders, on_error="raise")


@pytest.mark.parametrize("read", [load_image_folders, open_image_folders])
def test_progress_counts_every_file(read: Any, folders: dict[str, Path]) -> None:
    (folders["cat"] / "text.png").write_bytes(b"this is no picture")
    calls: list[tuple[int, int]] = []
    read(folders, size=(4, 4), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 13) for done in range(1, 14)]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupt_ends_loading(folders: dict[str, Path]) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        load_image_folders(folders, progress=lambda done, total: signal.raise_signal(signal.SIGINT))
    assert threading.active_count() == before


def test_what_has_not_begun_is_dropped_at_an_early_end(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cores(monkeypatch, 2)
    ending = threading.Event()
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item >= tuning.TUNING.file_chunk:
            assert ending.wait(60)

    shutdown = ThreadPoolExecutor.shutdown

    def end(self: ThreadPoolExecutor, *arguments: Any, **options: Any) -> None:
        ending.set()  # by now the waiting work has to be cancelled
        shutdown(self, *arguments, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", end)
    results = in_threads(work, range(500))
    next(results)
    results.close()
    assert len(begun) <= 3 * tuning.TUNING.file_chunk


def test_other_things_among_the_files(folders: dict[str, Path]) -> None:
    cats = folders["cat"]
    count = len(load_image_folders(folders, size=(4, 4)))
    (cats / "directory.jpg").mkdir()
    os.mkfifo(cats / "pipe.jpg")
    (cats / "circle").symlink_to(cats, target_is_directory=True)
    (cats / "self.jpg").symlink_to(cats / "self.jpg")
    (cats / "nowhere.jpg").symlink_to(cats / "gone.jpg")
    (cats / "linked.jpg").symlink_to(folders["not cat"] / "01.jpg")
    (cats / ".cache").mkdir()
    (cats / ".cache" / "01.jpg").write_bytes(b"hidden")
    dataset = load_image_folders(folders, size=(4, 4))
    assert len(dataset) == count + 1
    assert [path.name for path, _ in dataset.skipped] == ["nowhere.jpg", "self.jpg"]
    assert dataset.skipped[0][1] == os.strerror(2)


def test_no_warning_and_no_changed_filter(folders: dict[str, Path], recwarn: pytest.WarningsRecorder) -> None:
    import warnings

    before = list(warnings.filters)
    load_image_folders(folders)
    assert list(warnings.filters) == before
    assert not recwarn.list
