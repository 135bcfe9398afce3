"""Networks of several inputs: a tuple of arrays, one a branch of Parallel, through all of the data path."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import seeds, sizes

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    LayerInputError,
    Masked,
    MeanSquaredError,
    Module,
    NonFiniteError,
    Parallel,
    ReLU,
    Rescale,
    Residual,
    Run,
    Sequential,
    Sigmoid,
    Tanh,
    Trainer,
    load,
    mlp,
    save,
)
from minidl._samples import JointSamples, as_samples, is_several
from minidl._typing import Array
from minidl.data import Augment, Batches, LazyImages, train_test_split
from minidl.errors import ContractError, GradientError
from minidl.testing import check_layer, gradcheck

N = 20
RNG = np.random.default_rng(0)
PICTURES = RNG.normal(size=(N, 5, 5, 1)).astype(np.float32)
TABLE = RNG.normal(size=(N, 3))
X = PICTURES, TABLE
Y = (PICTURES.mean(axis=(1, 2, 3)) + TABLE[:, 0] > 0).astype(int)


def network(seed: int = 0) -> Sequential:
    pictures = Sequential(Conv2D(1, 2, 3, rng=seed), ReLU(), Flatten())
    return Sequential(
        Parallel(pictures, Dense(3, 4, rng=seed + 1), merge="concatenate"), Dense(22, 1, rng=seed + 2), Sigmoid()
    )


def random_network() -> Sequential:
    """Return a network that draws random numbers and keeps statistics."""
    table = Sequential(Dense(3, 4, rng=1), BatchNorm(4), Dropout(0.3, rng=3))
    return Sequential(Parallel(Sequential(Flatten(), Dense(25, 4, rng=0)), table), Dense(4, 1, rng=2), Sigmoid())


def trainer_of(model: Module, learning_rate: float = 0.1) -> Trainer:
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate, momentum=0.9))


def bits(model: Module) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state_dict().items()}


FORMS = pytest.mark.parametrize("options", [{}, {"batch_size": 6, "rng": 1}], ids=["full batch", "mini-batches"])


# ------------------------------------------------------------------------------------------------- forward, backward


@given(seeds, sizes, st.integers(1, 4), st.sampled_from(["sum", "mean", "multiply", "concatenate"]))
def test_each_branch_has_its_own_input(seed: int, n: int, branches: int, merge: Any) -> None:
    rng = np.random.default_rng(seed)
    layers = [Dense(i + 1, 2, rng=i, dtype=np.float64) for i in range(branches)]
    x = tuple(rng.normal(size=(n, i + 1)) for i in range(branches))
    block = Parallel(*layers, merge=merge)
    y = block(x)
    outputs = [layer(part) for layer, part in zip(copy.deepcopy(layers), x, strict=True)]
    expected = {
        "sum": np.sum(outputs, axis=0), "mean": np.mean(outputs, axis=0), "multiply": np.prod(outputs, axis=0),
        "concatenate": np.concatenate(outputs, axis=1),
    }  # fmt: skip
    np.testing.assert_allclose(y, expected[merge], rtol=1e-12)
    returned: Any = block.backward(rng.normal(size=y.shape))
    assert isinstance(returned, tuple)
    assert [gradient.shape for gradient in returned] == [part.shape for part in x]


NESTED: list[tuple[Callable[[Any], Module], Any, tuple[int, ...]]] = [
    (
        lambda d: Parallel(Dense(2, 3, rng=0, dtype=d), Sequential(Dense(4, 3, rng=1, dtype=d), Tanh())),
        ((5, 2), (5, 4)), (5, 3),
    ),
    (lambda d: Parallel(Sequential(Tanh()), Sequential(Tanh()), merge="concatenate"), ((5, 2), (5, 4)), (5, 6)),
    (lambda d: Parallel(Sequential(Flatten(), Tanh()), Tanh(), merge="concatenate"), ((5, 2, 2, 1), (5, 3)), (5, 7)),
    (
        lambda d: Sequential(
            Parallel(Dense(2, 3, rng=0, dtype=d), Parallel(Dense(4, 3, rng=1, dtype=d), Tanh(), merge="multiply")),
            Dense(3, 2, rng=2, dtype=d),
        ),
        ((5, 2), ((5, 4), (5, 3))), (5, 2),
    ),
    (
        lambda d: Residual(
            Parallel(Dense(2, 3, rng=0, dtype=d), Dense(4, 3, rng=1, dtype=d), merge="multiply"), Tanh(),
            shortcut=Parallel(Dense(2, 3, rng=2, dtype=d), Dense(4, 3, rng=3, dtype=d), merge="mean"),
        ),
        ((5, 2), (5, 4)), (5, 3),
    ),
    (
        lambda d: Parallel(Dense(2, 3, rng=0, dtype=d), Parallel(Tanh(), Tanh(), merge="multiply")),
        ((4, 2), (4, 3)), (4, 3),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shapes", "output"), NESTED)
def test_the_contract(make: Callable[[Any], Module], shapes: Any, output: tuple[int, ...]) -> None:
    check_layer(make, shapes, output, strict=True)


class Bilinear(Module):
    """A user's own module of two inputs: their product."""

    takes_tuples = True

    def forward(self, x: Any) -> Array:
        self.save_for_backward(*x)
        product: Array = x[0] * x[1]
        return product

    def backward(self, grad_output: Array) -> Any:
        first, second = self.saved_for_backward()
        if grad_output.shape != first.shape:
            raise ValueError(f"{self!r}: expected {first.shape}, received {grad_output.shape}")
        return grad_output * second, grad_output * first


class Wrong(Bilinear):
    def backward(self, grad_output: Array) -> Any:
        first, second = super().backward(grad_output)
        return first, second * 1.001


class Alone(Bilinear):
    def backward(self, grad_output: Array) -> Any:
        return super().backward(grad_output)[0]


class Overwriting(Bilinear):
    def backward(self, grad_output: Array) -> Any:
        gradients = super().backward(grad_output)
        gradients[1][...] = grad_output
        return gradients

    def forward(self, x: Any) -> Array:
        y = super().forward(x)
        x[1][0] = 7
        return y


class Shared(Bilinear):
    def forward(self, x: Any) -> Array:
        super().forward(x)
        x[1][...] = x[0] * x[1]
        shared: Array = x[1]
        return shared


def test_a_module_of_ones_own_takes_tuples_where_it_says_so() -> None:
    shapes = ((5, 3), (5, 3))
    check_layer(lambda _: Bilinear(), shapes, (5, 3), strict=True)
    x = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
    assert gradcheck(Bilinear(), x) < 1e-6
    with pytest.raises(GradientError, match=r"gradient of input\[1\]\[0, 0\]: backward gives"):
        gradcheck(Wrong(), x)
    with pytest.raises(GradientError, match="gradient of input: expected a tuple of 2 gradients, received ndarray"):
        gradcheck(Alone(), x)
    kinds: list[tuple[type[Module], type[Exception]]] = [
        (Wrong, GradientError), (Alone, GradientError), (Overwriting, ContractError), (Shared, ContractError),
    ]  # fmt: skip
    for kind, error in kinds:
        with pytest.raises(error):
            check_layer(lambda _, kind=kind: kind(), shapes, (5, 3))  # type: ignore[misc]
    y = (x[0].sum(axis=1) * x[1].sum(axis=1) > 0).astype(int)
    model = Sequential(Bilinear(), Dense(3, 1, rng=0), Sigmoid())
    assert len(trainer_of(model).fit(x, y, 3, print_every=None)["loss"]) == 3


def test_gradcheck_goes_through_a_network_and_its_loss() -> None:
    x = PICTURES[:4].astype(np.float64), TABLE[:4]
    model = Sequential(*list(network())[:-1])
    assert gradcheck(model, x) < 1e-5
    assert gradcheck((model, BinaryCrossEntropy(from_logits=True)), x, Y[:4, None].astype(float)) < 1e-5


# ----------------------------------------------------------------------------------------------------------- training


@FORMS
def test_training_is_that_of_the_same_network_of_one_input(options: dict[str, Any]) -> None:
    """The columns of one table, as two inputs, and as one whose branches pick theirs."""

    class Columns(Module):
        def __init__(self, start: int, stop: int) -> None:
            self.start, self.stop = start, stop

        def forward(self, x: Array) -> Array:
            self.save_for_backward(x)
            columns: Array = x[:, self.start : self.stop].copy()
            return columns

        def backward(self, grad_output: Array) -> Array:
            (x,) = self.saved_for_backward()
            grad: Array = np.zeros_like(x)
            grad[:, self.start : self.stop] = grad_output
            return grad

    def branches() -> tuple[Dense, Dense]:
        return Dense(2, 4, rng=0), Dense(1, 4, rng=1)

    def rest() -> tuple[Module, ...]:
        return Tanh(), Dense(4, 1, rng=2), Sigmoid()

    first, second = branches()
    one = Sequential(Parallel(Sequential(Columns(0, 2), first), Sequential(Columns(2, 3), second)), *rest())
    two = Sequential(Parallel(*branches()), *rest())
    table = TABLE.astype(np.float32)
    of_one, of_two = table, (table[:, :2].copy(), table[:, 2:].copy())
    histories = [
        trainer_of(model).fit(x, Y, 8, validation_data=(x, Y), print_every=None, **options)
        for model, x in ((one, of_one), (two, of_two))
    ]
    assert list(bits(one).values()) == list(bits(two).values())
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert histories[0][name] == histories[1][name]
    assert trainer_of(one).evaluate(of_one, Y, 7) == trainer_of(two).evaluate(of_two, Y, 7)
    assert one.predict(of_one, 7).tobytes() == two.predict(of_two, 7).tobytes()


def test_a_picture_and_a_table_learn_and_are_saved(tmp_path: Path) -> None:
    model = network()
    history = trainer_of(model, 0.05).fit(X, Y, 60, batch_size=5, rng=0, validation_data=(X, Y), print_every=None)
    assert history["val_accuracy"][-1] == 1.0
    assert trainer_of(model).evaluate(X, Y)["accuracy"] == 1.0
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    np.testing.assert_allclose(model.predict(X, batch_size=3), model.predict(X), rtol=1e-5)


def test_batches_keep_rows_together() -> None:
    numbers = np.arange(7)
    x = numbers[:, None] * [1, 10], (numbers * 100, numbers[:, None, None] * np.ones((1, 2, 2)))
    batches = Batches(x, numbers, batch_size=3, rng=0)
    seen: list[int] = []
    for (table, (column, cubes)), y in batches:
        np.testing.assert_array_equal(table, y[:, None] * [1, 10])
        np.testing.assert_array_equal(column, y * 100)
        assert cubes.shape == (len(y), 2, 2)
        np.testing.assert_array_equal(cubes[:, 0, 0], y)
        seen += y.tolist()
    assert sorted(seen) == numbers.tolist()
    assert seen != numbers.tolist()
    ((whole, _), _) = next(iter(Batches(x, numbers)))
    assert np.shares_memory(whole, x[0])


def test_sources_outside_memory(tmp_path: Path) -> None:
    paths = []
    for i in range(8):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(paths[-1])
    images = LazyImages(paths, size=4)
    np.save(tmp_path / "table.npy", TABLE[:8].astype(np.float32))
    table = np.load(tmp_path / "table.npy", mmap_mode="r")
    states = []
    for x in ((images, table), (np.asarray(images), np.array(table))):
        branches = Sequential(Rescale(), Flatten(), Dense(48, 4, rng=0)), Dense(3, 4, rng=1)
        model = Sequential(Parallel(*branches), Dense(4, 1, rng=2), Sigmoid())
        history = trainer_of(model).fit(x, Y[:8], 3, batch_size=3, rng=0, validation_data=(x, Y[:8]), print_every=None)
        states.append((bits(model), history["val_loss"], model.predict(x, 3).tobytes()))
        trainer_of(model).fit(x, Y[:8], 1, print_every=None)
    assert states[0] == states[1]
    train, test, y_train, y_test = train_test_split((images, table), Y[:8], test_size=3, stratify=False)
    assert (len(train), len(test), len(y_train), len(y_test)) == (2, 2, 5, 3)
    assert trainer_of(model).fit(train, y_train, 1, 2, (test, y_test), print_every=None).epochs == 1


def test_a_split_keeps_rows_together() -> None:
    x = np.arange(10), np.arange(10)[:, None] * 3
    (a_train, b_train), (a_test, b_test), y_train, y_test = train_test_split(x, [0, 1] * 5, test_size=0.4)
    np.testing.assert_array_equal(b_train[:, 0], a_train * 3)
    np.testing.assert_array_equal(b_test[:, 0], a_test * 3)
    np.testing.assert_array_equal(a_train % 2, y_train)
    np.testing.assert_array_equal(a_test % 2, y_test)
    assert sorted([*a_train, *a_test]) == list(range(10))


@FORMS
def test_a_resumed_run_ends_in_the_same_bits(options: dict[str, Any], tmp_path: Path) -> None:
    whole = trainer_of(random_network())
    history = whole.fit(X, Y, 6, validation_data=(X, Y), print_every=None, **options)
    broken = trainer_of(random_network())
    broken.fit(X, Y, 3, callbacks=[Checkpoint(tmp_path / "run")], validation_data=(X, Y), print_every=None, **options)
    resumed = trainer_of(random_network())
    resumed.resume(tmp_path / "run")
    again = resumed.fit(
        X, Y, 6, callbacks=[Checkpoint(tmp_path / "run")], validation_data=(X, Y), print_every=None, **options
    )
    assert bits(resumed.model) == bits(whole.model)
    assert again["loss"] == history["loss"]
    for other, message in (
        ((PICTURES, TABLE + 1), "contents of x and y: expected"),
        ((PICTURES[:, :, :, 0], TABLE), r"shape of a sample\[0\]: expected \[5, 5, 1\], as .*, received \[5, 5\]"),
    ):
        resumed.resume(tmp_path / "run")
        with pytest.raises(ValueError, match=message):
            resumed.fit(other, Y, 9, callbacks=[Checkpoint(tmp_path / "run")], validation_data=(X, Y), **options)


@FORMS
def test_ctrl_c_leaves_the_last_completed_epoch(options: dict[str, Any]) -> None:
    class Press(Callback):
        def on_batch_end(self, run: Run, batch: int, metrics: Mapping[str, float]) -> None:
            if run.epoch == 2:
                signal.raise_signal(signal.SIGINT)

    broken, shorter = trainer_of(random_network()), trainer_of(random_network())
    history = broken.fit(X, Y, 9, callbacks=[Press()], print_every=None, **options)
    shorter.fit(X, Y, 2, print_every=None, **options)
    assert history.interrupted
    assert history.epochs == 2
    assert bits(broken.model) == bits(shorter.model)


def test_augmentation_gets_the_tuple_and_returns_one() -> None:
    pixels = RNG.integers(0, 256, (N, 6, 6, 3), dtype=np.uint8)
    shift = Augment(flip=True, shift=0.2, rng=0)
    branches = Sequential(Rescale(), Flatten(), Dense(108, 4, rng=0)), Dense(3, 4, rng=1)
    trainer = trainer_of(Sequential(Parallel(*branches), Dense(4, 1, rng=2), Sigmoid()))
    given: list[Any] = []

    def augment(x: tuple[Array, Array]) -> tuple[Array, Array]:
        given.append(x)
        return shift(x[0]), x[1]

    trainer.fit((pixels, TABLE), Y, 2, 8, print_every=None, augment=augment, rng=0)
    assert [(len(x), x[0].shape, x[1].shape) for x in given[:1]] == [(2, (8, 6, 6, 3), (8, 3))]
    with pytest.raises(TypeError, match=r"expected an array of pictures, received .*; of a tuple change one: lambda"):
        trainer.fit((pixels, TABLE), Y, 1, 8, augment=shift)
    wrong: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
        (lambda x: x[0], TypeError, "expected it to return a tuple of 2 inputs, received ndarray"),
        (lambda x: (x[0], None), TypeError, r"a tuple of 2 inputs, received \('ndarray', 'NoneType'\)"),
        (lambda x: (*x, x[1]), TypeError, "a tuple of 2 inputs, received"),
        (lambda x: (x[0], x[1][:1]), ValueError, r"expected it to return 8 samples, received shape \(1, 3\)"),
    ]
    for function, kind, message in wrong:
        with pytest.raises(kind, match=message):
            trainer.fit((pixels, TABLE), Y, 1, 8, augment=function)


def test_rewrites_do_not_apply_to_tuples() -> None:
    wide = np.ones((4, 30), np.float32), np.ones((4, 2), np.float32)
    trainer = trainer_of(Sequential(Parallel(Dense(30, 2, rng=0), Dense(2, 2, rng=1)), Dense(2, 1, rng=2), Sigmoid()))
    with pytest.raises(ValueError, match=r"dual=True: only Rescale, Normalize and Flatten .* received Parallel\("):
        trainer.fit(wide, [0, 1, 0, 1], 3, dual=True)
    assert trainer.fit(wide, [0, 1, 0, 1], 90, print_every=None).epochs == 90


def test_the_summary_of_a_tuple_of_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential(
        Parallel(Sequential(Conv2D(1, 2, 3), Flatten()), Parallel(Dense(3, 4), Dense(2, 4)), merge="concatenate")
    )
    model.summary(((5, 5, 1), (3, (2,))))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    shapes = [line[line.index("(batch") :].split(")")[0] + ")" for line in lines[1:-1]]
    assert shapes == [
        "(batch, 22)", "(batch, 18)", "(batch, 3, 3, 2)", "(batch, 18)", "(batch, 4)", "(batch, 4)", "(batch, 4)",
    ]  # fmt: skip
    model.summary()
    assert "(batch, ...)" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"input_shape\[1\]\[0\]: expected a whole number of at least 1, received 0"):
        model.summary(((5, 5, 1), (0,)))
    with pytest.raises(LayerInputError, match=r"layer 0, Parallel.* a tuple of 2, one a branch, received 3"):
        model.summary(((5, 5, 1), (3,), (2,)))


# ------------------------------------------------------------------------------------------------------------- errors

WITH_NAN = TABLE.copy()
WITH_NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[:1], r"layer 0, Parallel.*: expected one array, or a tuple of 2, one a branch, received 1"),
        ((*X, TABLE), r"layer 0, Parallel.*, or a tuple of 2, one a branch, received 3"),
        (
            (PICTURES, TABLE[:5]),
            r"x: expected inputs of one number of samples, received shapes \(\(20, 5, 5, 1\), \(5, 3",
        ),
        ((PICTURES[:0], TABLE[:0]), r"expected at least one sample.*\(\(0, 5, 5, 1\), \(0, 3\)\)"),
        ((PICTURES, TABLE[:0]), "x: expected inputs of one number of samples"),
        ((PICTURES, np.array([["a"] * 3] * N)), r"x\[1\]: expected numbers, received dtype <U1"),
        ((PICTURES, np.array([[None] * 3] * N)), r"x\[1\]: expected numbers in a rectangular array"),
        ((PICTURES, WITH_NAN), r"x\[1\]: expected finite numbers, received NaN or infinity, first in row 3"),
        ((PICTURES, (TABLE, TABLE)), r"layer 0\.1, Dense\(3 -> 4\): expected one array, received a tuple of 2 inputs"),
        ((TABLE, PICTURES), r"layer 0\.0\.0, Conv2D.*expected \(batch, height, width, 1\), received \(20, 3\)"),
        (PICTURES, r"layer 0\.1, Dense\(3 -> 4\): expected \(batch, \.\.\., 3\), received \(20, 5, 5, 1\)"),
        (list(X), "x: expected numbers in a rectangular array, received"),
        ((PICTURES, TABLE.tolist()), "x: expected numbers in a rectangular array, received"),
        ((), r"x.*expected at least one sample"),
    ],
)
def test_input_that_does_not_fit(x: Any, message: str) -> None:
    model = network()
    with pytest.raises(ValueError, match=message):
        model.predict(x)
    before = bits(model)
    for batch_size in (None, 6):
        with pytest.raises(ValueError, match=message):
            trainer_of(model).fit(x, Y, 1, batch_size)
    with pytest.raises(ValueError, match=message):
        trainer_of(model).evaluate(x, Y)
    assert bits(model) == before


def test_the_validation_samples_are_named() -> None:
    with pytest.raises(ValueError, match=r"validation x\[1\]: expected finite numbers.*first in row 3"):
        trainer_of(network()).fit(X, Y, 1, validation_data=((PICTURES, WITH_NAN), Y))
    with pytest.raises(
        ValueError, match=r"validation x and validation y: .* \(\(20, 5, 5, 1\), \(20, 3\)\) and \(3,\)"
    ):
        trainer_of(network()).fit(X, Y, 1, validation_data=(X, Y[:3]))


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Dense(3, 1), r"Dense\(3 -> 1\)"),
        (mlp([3, 1]), r"layer 0, Dense\(3 -> 1\)"),
        (Sequential(Sequential(Flatten())), r"layer 0\.0, Flatten\(\)"),
        (Sequential(), r"Sequential\(\)"),
        (Sequential(Residual(Parallel(Dense(3, 3), Dense(3, 3)))), r"layer 0, Residual\("),
        (Masked(Parallel(Dense(3, 3), Dense(3, 3))), r"Masked\("),
    ],
)
def test_a_network_of_one_input_refuses_a_tuple(model: Module, place: str) -> None:
    x = np.ones((4, 3)), np.ones((4, 3))
    with pytest.raises(
        LayerInputError, match=rf"^{place}.*: expected one array, received a tuple of 2 inputs of shapes "
    ):
        model(x)
    with pytest.raises(LayerInputError, match=r"shapes \(4, 3\), \(4, 3\)$"):
        model.predict(x)
    if model.parameters():
        with pytest.raises(LayerInputError, match=r"received a tuple of 2 inputs"):
            trainer_of(model).fit(x, np.ones(4), 1)


def test_only_tuples_of_arrays_are_several_inputs() -> None:
    dense = Dense(2, 1, rng=0)
    expected = dense([[1.0, 2.0]]).tolist()
    for x in (((1.0, 2.0),), ([1.0, 2.0],), [(1.0, 2.0)], [np.array([1.0, 2.0])]):
        assert not is_several(x)
        assert dense(x).tolist() == expected
        assert dense.predict(x).tolist() == expected
    for scalars in ((np.float32(1), np.float32(2)), (np.array(1.0), np.array(2.0))):
        assert as_samples(scalars).shape == (2,)
    joint = as_samples((TABLE, (TABLE, PICTURES)))
    assert isinstance(joint, JointSamples)
    assert (len(joint), joint.shape) == (N, (TABLE.shape, (TABLE.shape, PICTURES.shape)))


# ---------------------------------------------------------------------------------------------------------- diagnosis


def test_the_input_that_was_not_scaled_is_named() -> None:
    table = TABLE.astype(np.float32) * 100
    model = Sequential(*list(network())[:-1])
    trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters(), 1e30))
    with pytest.raises(NonFiniteError, match=r"; the inputs of layer 0\.1, Dense\(3 -> 4\) range from -\d.*: scale"):
        trainer.fit((PICTURES, table), Y, 9, print_every=None)


def test_a_last_batch_of_one_before_batch_norm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batches of at least two samples for layer 0\.1\.1, BatchNorm"):
        trainer_of(random_network()).fit(X, Y, 1, batch_size=N - 1)
