"""Everyday mistakes with networks, losses and optimizers: taken as meant, or answered by an error that names them."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    BinaryCrossEntropy,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSwish,
    Hinge,
    Huber,
    LayerNorm,
    LeakyReLU,
    Lion,
    LogSoftmax,
    Loss,
    Masked,
    MaxPool1D,
    MaxPool2D,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    NAdam,
    Normalize,
    Parallel,
    Parameter,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Residual,
    RMSNorm,
    RMSProp,
    SelfAttention,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    SoftmaxCrossEntropy,
    Softplus,
    Tanh,
    Trainer,
    TransformerBlock,
    UpSample2D,
    clip_gradient_norm,
    convnet,
    mlp,
    resnet,
)
from minidl._samples import as_samples
from minidl._typing import Array
from minidl._validation import as_array, shown
from minidl.errors import LayerInputError
from minidl.schedules import cosine, step_decay, warm_up

NAN, INF = float("nan"), float("inf")
NEVER = ["1", None, NAN, INF, -INF, 1j, [1], (1, 2), {}, object(), np.zeros(2), np.array("a"), 10**400, 10**5000]
NO_SIZE = [*NEVER, True, np.True_, 0, -1, 1.0, 2.5, np.float32(2), Fraction(1, 2), 2**31, 10**20]
NO_SIZES = [*(x for x in NO_SIZE if not isinstance(x, tuple)), (1, 0), (1, 2, 3), (1, (2, 3)), (1, 2.0), (True, 1)]
NO_PADDING = [x for x in NO_SIZE if type(x) is not tuple and (type(x) is not int or x != 0)]
NO_PADDING += [(1, 2, 3), (1, -2), (1, ((1, 2), 3)), (1, None), (1, "a"), [[1, 2], [1]]]
NO_FLAG = [*NEVER, 0, 1, 0.3, "yes", np.array(True)]
NO_NUMBER = [*NEVER, True, np.True_]
NO_NUMBERS_ABOVE_0 = [*(x for x in NO_NUMBER if not isinstance(x, (list, tuple))), 0, -1, [], [1, 0], [[1.0]]]
NO_FLOAT_TYPE = [*NEVER, True, 0, "int32", "float16", np.int64, np.complex64, bool, object, "no such type", ">f4"]
NO_SEED = [*(x for x in NEVER if x is not None and not isinstance(x, int)), True, -1, 1.5, np.random]
NO_WHOLE_NUMBER = [*(x for x in NEVER if x is not None and not isinstance(x, int)), 0.5, True]
NO_LIST_OF_SIZES = [*(x for x in NEVER if not isinstance(x, tuple)), 5, {2, 1}, iter([2, 1]), [], [2], [2, 0]]
NO_LIST_OF_SIZES += [[2, "a"], [2, None], [2.0, 1], [2, 2**40], np.ones((2, 2))]
NO_SIZES_AT_ALL = [*(x for x in NEVER if not isinstance(x, (tuple, list))), 5, {2, 1}, iter([2, 1]), [], [2, 0]]
NO_SIZES_AT_ALL += [[2, "a"], [2, None], [2.0, 1], [2, 2**40], np.ones((2, 2))]
NO_LIST_OF_SIZES = [*NO_SIZES_AT_ALL, [1], [2]]
NO_INITIALIZER = [*NEVER, True, "xavier", 1]


CONVOLUTION: dict[str, Any] = {"in_channels": 4, "out_channels": 4, "kernel_size": 1}


OPTIMIZERS = (SGD, Adam, AdamW, NAdam, RMSProp, Adagrad, Lion)


def w() -> list[Parameter]:
    return [Parameter(np.zeros(2))]


RECURRENT = {
    "in_features": NO_SIZE, "units": NO_SIZE, "return_sequence": NO_FLAG, "bidirectional": NO_FLAG,
    "weight_init": NO_INITIALIZER, "recurrent_init": NO_INITIALIZER, "rng": NO_SEED, "dtype": NO_FLOAT_TYPE,
}  # fmt: skip
# Of each callable and argument: other arguments it needs, and what is wrong.
ARGUMENTS: list[tuple[Callable[..., Any], str, dict[str, Any], list[Any]]] = [
    (Dense, "in_features", {"out_features": 1}, NO_SIZE),
    (Dense, "out_features", {"in_features": 1}, NO_SIZE),
    (Dense, "bias", {"in_features": 1, "out_features": 1}, NO_FLAG),
    (Dense, "weight_init", {"in_features": 1, "out_features": 1}, NO_INITIALIZER),
    (Dense, "rng", {"in_features": 1, "out_features": 1}, NO_SEED),
    (Dense, "dtype", {"in_features": 1, "out_features": 1}, NO_FLOAT_TYPE),
    *(
        (kind, name, {other: value for other, value in CONVOLUTION.items() if other != name}, wrong)
        for kind, sizes in ((Conv1D, NO_SIZE), (Conv2D, NO_SIZES), (ConvTranspose2D, NO_SIZES))
        for name, wrong in (
            ("in_channels", NO_SIZE),
            ("out_channels", NO_SIZE),
            ("kernel_size", sizes),
            ("stride", sizes),
            ("dilation", sizes),
            ("groups", [*NO_SIZE, 3]),
            ("bias", NO_FLAG),
            ("weight_init", NO_INITIALIZER),
            ("rng", NO_SEED),
            ("dtype", NO_FLOAT_TYPE),
            ("padding", [*NO_PADDING, "SAME", "full"]),
        )
    ),
    (Conv1D, "padding", CONVOLUTION, [(1, (2, 3)), ((0, 0), (1, 2))]),
    (ConvTranspose2D, "padding", CONVOLUTION, ["valid", "same"]),
    (
        ConvTranspose2D,
        "output_padding",
        CONVOLUTION | {"stride": (2, 3)},
        [*NO_PADDING, 2, (2, 2), (1, 3), (1, -1), ((0, 0), (1, 1))],
    ),
    (LayerNorm, "features", {}, NO_SIZE),
    (LayerNorm, "epsilon", {"features": 1}, [*NO_NUMBER, 0, -1e-5, 1e-50, 1e50]),
    (LayerNorm, "dtype", {"features": 1}, NO_FLOAT_TYPE),
    (GroupNorm, "groups", {"channels": 6}, [*NO_SIZE, 4]),
    (GroupNorm, "channels", {"groups": 1}, NO_SIZE),
    (GroupNorm, "epsilon", {"groups": 1, "channels": 1}, [*NO_NUMBER, 0, -1e-5, 1e-50, 1e50]),
    (GroupNorm, "dtype", {"groups": 1, "channels": 1}, NO_FLOAT_TYPE),
    (RMSNorm, "features", {}, NO_SIZE),
    (RMSNorm, "epsilon", {"features": 1}, [*NO_NUMBER, 0, -1e-5, 1e-50, 1e50]),
    (RMSNorm, "dtype", {"features": 1}, NO_FLOAT_TYPE),
    (UpSample2D, "factor", {}, NO_SIZE),
    *(
        (norm, name, arguments, NO_FLAG)
        for norm, arguments in ((BatchNorm, {"features": 1}), (LayerNorm, {"features": 1}), (RMSNorm, {"features": 1}))
        for name in (("weight",) if norm is RMSNorm else ("weight", "bias"))
    ),
    (GroupNorm, "weight", {"groups": 1, "channels": 1}, NO_FLAG),
    (GroupNorm, "bias", {"groups": 1, "channels": 1}, NO_FLAG),
    (BatchNorm, "features", {}, NO_SIZE),
    (BatchNorm, "momentum", {"features": 1}, [*NO_NUMBER, -0.1, 1.1]),
    (BatchNorm, "epsilon", {"features": 1}, [*NO_NUMBER, 0, -1e-5, 1e-50, 1e50]),
    (BatchNorm, "dtype", {"features": 1}, NO_FLOAT_TYPE),
    *(
        (kind, name, {}, wrong)
        for kind, sizes, no_pair in (
            (MaxPool1D, NO_SIZE, ((0, 0), (1, 1))),
            (AveragePool1D, NO_SIZE, ((0, 0), (1, 1))),
            (MaxPool2D, NO_SIZES, (1, 2)),
            (AveragePool2D, NO_SIZES, ((0, 1), (0, 2))),
        )
        for name, wrong in (
            ("pool_size", sizes),
            ("stride", [x for x in sizes if x is not None]),
            ("padding", [*NEVER, True, -1, 0.5, 2, 10**20, no_pair]),
        )
    ),
    (AveragePool1D, "count_padding", {}, NO_FLAG),
    (AveragePool2D, "count_padding", {}, NO_FLAG),
    (Dropout, "rate", {}, [*NO_NUMBER, 1, -0.1, 30]),
    (Dropout, "rng", {"rate": 0.5}, NO_SEED),
    (LeakyReLU, "negative_slope", {}, [*NO_NUMBER, 1e300]),
    (PReLU, "features", {}, NO_SIZE),
    (PReLU, "negative_slope", {}, [*NO_NUMBER, 1e300]),
    (PReLU, "dtype", {}, NO_FLOAT_TYPE),
    (ELU, "alpha", {}, [*NO_NUMBER, 1e300]),
    (GELU, "approximate", {}, [*NEVER, True, "exact", "TANH", ["tanh"]]),
    (Rescale, "scale", {}, [*NO_NUMBER, 1e300]),
    (Rescale, "offset", {}, [*NO_NUMBER, -1e300]),
    (Rescale, "dtype", {}, NO_FLOAT_TYPE),
    (Normalize, "features", {}, NO_SIZE),
    (Normalize, "dtype", {"features": 3}, NO_FLOAT_TYPE),
    (BinaryCrossEntropy, "from_logits", {}, NO_FLAG),
    (BinaryCrossEntropy, "pos_weight", {}, NO_NUMBERS_ABOVE_0),
    (SoftmaxCrossEntropy, "label_smoothing", {}, [*NO_NUMBER, 1, -0.1]),
    (SoftmaxCrossEntropy, "from_logits", {}, NO_FLAG),
    (SoftmaxCrossEntropy, "ignore_index", {}, NO_WHOLE_NUMBER),
    (Embedding, "tokens", {"features": 1}, NO_SIZE),
    (Embedding, "features", {"tokens": 1}, NO_SIZE),
    (Embedding, "weight_init", {"tokens": 1, "features": 1}, NO_INITIALIZER),
    (Embedding, "rng", {"tokens": 1, "features": 1}, NO_SEED),
    (Embedding, "dtype", {"tokens": 1, "features": 1}, NO_FLOAT_TYPE),
    (PositionalEmbedding, "length", {"features": 1}, NO_SIZE),
    (PositionalEmbedding, "features", {"length": 1}, NO_SIZE),
    (PositionalEmbedding, "kind", {"length": 1, "features": 1}, [*NEVER, True, "cosine"]),
    (PositionalEmbedding, "weight_init", {"length": 1, "features": 1}, NO_INITIALIZER),
    (PositionalEmbedding, "rng", {"length": 1, "features": 1}, NO_SEED),
    (PositionalEmbedding, "dtype", {"length": 1, "features": 1}, NO_FLOAT_TYPE),
    (SelfAttention, "features", {"heads": 1}, NO_SIZE),
    (SelfAttention, "heads", {"features": 6}, [*NO_SIZE, 4]),
    (SelfAttention, "causal", {"features": 1, "heads": 1}, NO_FLAG),
    (SelfAttention, "bias", {"features": 1, "heads": 1}, NO_FLAG),
    (SelfAttention, "weight_init", {"features": 1, "heads": 1}, NO_INITIALIZER),
    (SelfAttention, "rng", {"features": 1, "heads": 1}, NO_SEED),
    (SelfAttention, "dtype", {"features": 1, "heads": 1}, NO_FLOAT_TYPE),
    *(
        (kind, name, {"in_features": 1, "units": 1, name: None}, wrong)
        for kind in (LSTM, GRU)
        for name, wrong in RECURRENT.items()
    ),
    (Masked, "padding", {}, NO_NUMBER),
    (TransformerBlock, "features", {"heads": 1}, NO_SIZE),
    (TransformerBlock, "heads", {"features": 6}, [*NO_SIZE, 4]),
    (TransformerBlock, "hidden", {"features": 1, "heads": 1}, [x for x in NO_SIZE if x is not None]),
    (TransformerBlock, "causal", {"features": 1, "heads": 1}, NO_FLAG),
    (TransformerBlock, "dropout", {"features": 1, "heads": 1}, [*NO_NUMBER, 1, -0.1]),
    (TransformerBlock, "weight_init", {"features": 1, "heads": 1}, NO_INITIALIZER),
    (TransformerBlock, "rng", {"features": 1, "heads": 1}, NO_SEED),
    (TransformerBlock, "dtype", {"features": 1, "heads": 1}, NO_FLOAT_TYPE),
    *(
        (optimizer, name, {"parameters": w()}, wrong)
        for optimizer in OPTIMIZERS
        for name, wrong in (
            ("learning_rate", [*NO_NUMBER, -1e-3]),
            ("weight_decay", [*NO_NUMBER, -1e-3]),
            ("max_gradient_norm", [*(x for x in NO_NUMBER if x is not None), 0, -1]),
        )
    ),
    *((optimizer, "parameters", {}, [*NEVER, True, 1, b"w", [np.zeros(2)], []]) for optimizer in OPTIMIZERS),
    (SGD, "momentum", {"parameters": w()}, [*NO_NUMBER, 1, -0.1]),
    (SGD, "nesterov", {"parameters": w()}, [*NO_FLAG, True]),
    (Adam, "betas", {"parameters": w()}, [*NEVER, 0.9, (0.9, 1), (-0.1, 0.9), (0.9, None), (0.9, True), "ab"]),
    *((optimizer, "epsilon", {"parameters": w()}, [*NO_NUMBER, 0, -1]) for optimizer in (Adam, RMSProp, Adagrad)),
    (NAdam, "momentum_decay", {"parameters": w()}, [*NO_NUMBER, -1]),
    (RMSProp, "alpha", {"parameters": w()}, [*NO_NUMBER, 1, -0.1]),
    (RMSProp, "momentum", {"parameters": w()}, [*NO_NUMBER, 1, -0.1]),
    (RMSProp, "centered", {"parameters": w()}, NO_FLAG),
    (Adagrad, "learning_rate_decay", {"parameters": w()}, [*NO_NUMBER, -1]),
    (Adagrad, "initial_accumulator", {"parameters": w()}, [*NO_NUMBER, -1]),
    (Lion, "betas", {"parameters": w()}, [*NEVER, 0.9, (0.9, 1), (-0.1, 0.9), (0.9, None), (0.9, True), "ab"]),
    (clip_gradient_norm, "max_norm", {"parameters": w()}, [*NO_NUMBER, 0, -1]),
    (
        clip_gradient_norm,
        "parameters",
        {"max_norm": 1.0},
        [*(x for x in NEVER if not isinstance(x, dict)), 1, [np.zeros(2)]],
    ),
    (mlp, "layer_dims", {}, NO_LIST_OF_SIZES),
    (mlp, "weight_init", {"layer_dims": [2, 1]}, NO_INITIALIZER),
    (mlp, "rng", {"layer_dims": [2, 1]}, NO_SEED),
    (mlp, "dtype", {"layer_dims": [2, 1]}, NO_FLOAT_TYPE),
    *(
        (convnet, name, {"input_shape": (4, 4, 1), "channels": [2], "outputs": 1}, wrong)
        for name, wrong in (
            ("input_shape", [*NO_LIST_OF_SIZES, (4, 4), (1, 4, 1), (4, 4, 1, 1)]),
            ("channels", NO_SIZES_AT_ALL),
            ("outputs", NO_SIZE),
            ("dropout", [*NO_NUMBER, 1, -0.1]),
            ("rng", NO_SEED),
            ("dtype", NO_FLOAT_TYPE),
        )
    ),
    *(
        (resnet, name, {"depths": [1], "channels": [2], "outputs": 1}, wrong)
        for name, wrong in (
            ("depths", NO_SIZES_AT_ALL),
            ("channels", [*NO_SIZES_AT_ALL, [2, 2]]),
            ("outputs", NO_SIZE),
            ("in_channels", NO_SIZE),
            ("rng", NO_SEED),
            ("dtype", NO_FLOAT_TYPE),
        )
    ),
    (step_decay, "initial", {"factor": 0.5, "every": 1}, [*NO_NUMBER, 0, -1]),
    (step_decay, "factor", {"initial": 0.5, "every": 1}, [*NO_NUMBER, 0, -1]),
    (step_decay, "every", {"initial": 0.5, "factor": 0.5}, [*(x for x in NEVER if type(x) is not int), True, 0, 1.5]),
    (cosine, "initial", {"final": 0.5, "epochs": 1}, [*NO_NUMBER, -1]),
    (cosine, "final", {"initial": 0.5, "epochs": 1}, [*NO_NUMBER, -1]),
    (cosine, "epochs", {"initial": 1.0, "final": 0.5}, [*(x for x in NEVER if type(x) is not int), True, 0, 1.5]),
    (warm_up, "schedule", {"epochs": 1}, [*NEVER, 0.1]),
    (warm_up, "epochs", {"schedule": cosine(1, 0, 9)}, [*(x for x in NEVER if type(x) is not int), True, 0, 1.5]),
]


@pytest.mark.parametrize(
    ("call", "name", "others", "wrong"), ARGUMENTS, ids=[f"{call.__name__}-{name}" for call, name, _, _ in ARGUMENTS]
)
def test_wrong_arguments_are_answered_by_their_names(
    call: Callable[..., Any], name: str, others: dict[str, Any], wrong: list[Any]
) -> None:
    for value in wrong:
        with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b") as error:
            call(**{**others, name: value})
        assert len(str(error.value)) < 400, "a message is to be read"


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (Dense, {"in_features": np.int64(2), "out_features": np.uint8(1), "bias": np.False_, "rng": np.int32(3)}),
        (Dense, {"in_features": 2, "out_features": 1, "dtype": "float64"}),
        (Dense, {"in_features": 2, "out_features": 1, "dtype": float}),
        (Conv2D, {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": np.int8(1)}),
        (Dropout, {"rate": np.float32(0.5)}),
        (LayerNorm, {"features": np.int64(2), "epsilon": np.float64(1e-3)}),
        (BatchNorm, {"features": 2, "momentum": 1, "epsilon": Fraction(1, 1000)}),
        (LeakyReLU, {"negative_slope": np.float16(0.5)}),
        (Conv2D, CONVOLUTION | {"kernel_size": [np.int8(3), 1], "padding": [[1, np.int64(2)], [0, 0]], "groups": 2}),
        (Conv1D, CONVOLUTION | {"kernel_size": np.int8(3), "padding": [np.int64(1), 2], "dilation": np.uint8(2)}),
        (ConvTranspose2D, CONVOLUTION | {"stride": [2, np.int8(1)], "output_padding": [np.int8(1), 0]}),
        (MaxPool2D, {"pool_size": np.int64(2), "padding": np.int64(1)}),
        (AveragePool2D, {"pool_size": [np.int64(2), 3], "padding": [1, 2], "count_padding": np.False_}),
        (BinaryCrossEntropy, {"from_logits": np.True_, "pos_weight": np.float32(2)}),
        (SGD, {"parameters": w(), "learning_rate": np.float32(0.5), "momentum": 0, "max_gradient_norm": np.int64(1)}),
        (Adam, {"parameters": tuple(w()), "betas": [0.5, np.float32(0.5)], "learning_rate": 0}),
        (mlp, {"layer_dims": np.array([2, 3, 1])}),
        (mlp, {"layer_dims": (np.int64(2), 1), "rng": np.random.default_rng(0)}),
    ],
)
def test_numpy_scalars_and_other_spellings_are_taken(call: Callable[..., Any], arguments: dict[str, Any]) -> None:
    assert repr(call(**arguments))


@given(n=st.integers(10**4300, 10**4301))
def test_a_whole_number_that_python_does_not_print_is_shown(n: int) -> None:
    assert shown(n) == "int of too many digits to show"
    assert shown([1] * 1000).endswith("...")
    assert len(shown([1] * 1000)) == 100
    assert "\n" not in shown(np.zeros((3, 3)))


def test_a_model_in_place_of_its_parameters() -> None:
    class Own(Module):
        def __init__(self) -> None:
            self.weight = Parameter(np.zeros(1))

    calls: list[Callable[[Any], object]] = [*OPTIMIZERS, lambda model: clip_gradient_norm(model, 1.0)]
    for model in (mlp([2, 1]), Own(), Dense(1, 1)):
        for call in calls:
            with pytest.raises(TypeError, match=r"parameters: expected a list, as model.parameters\(\) returns"):
                call(model)
    with pytest.raises(TypeError, match=r"SGD parameters: expected a list, .* received Parameter"):
        SGD(Parameter(np.zeros(1)))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------ samples

masked = np.ma.masked_values([[1.0, 2.0], [-999.0, 3.0]], -999.0)
RAGGED = [[0.0, 1.0], [1.0]]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (masked, "mask"),
        ([masked[0], masked[1]], "mask"),
        ([[1.0, 2.0], [np.ma.masked, 3.0]], "mask"),
        (np.ma.masked_equal([[0, 1], [1, 1]], 0), "mask"),
        (RAGGED, "rectangular"),
        ([[1.0, None], [1.0, 2.0]], "rectangular"),
        ([[1.0, {}], [1.0, 2.0]], "rectangular"),
        (None, "rectangular"),
        ({"a": 1}, "rectangular"),
        (object(), "rectangular"),
        ("text", "expected numbers, received dtype <U4"),
        ([["1", "2"]], "expected numbers, received dtype <U1"),
        ([[1j, 2]], "expected numbers, received dtype complex128"),
        ([np.datetime64("2020-01-01")], "expected numbers, received dtype"),
    ],
    ids=repr,
)
def test_what_is_no_array_of_numbers_is_named(x: Any, message: str) -> None:
    model = mlp([2, 1], rng=0)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("x", lambda: model.predict(x)),
        ("x", lambda: model.predict(x, batch_size=1)),
        ("x", lambda: model(x)),
        ("samples", lambda: as_samples(x, "samples")),
        ("it", lambda: as_array(x, "it")),
        ("MeanSquaredError prediction", lambda: MeanSquaredError()(x, np.zeros((2, 2)))),
        ("BinaryCrossEntropy target", lambda: BinaryCrossEntropy()(np.full((2, 2), 0.5), x)),
        ("SoftmaxCrossEntropy target", lambda: SoftmaxCrossEntropy()(np.zeros((2, 2)), x)),
    ]
    for name, call in calls:
        with pytest.raises(ValueError, match=rf"^{name}: .*{message}"):
            call()


def test_a_masked_array_without_a_masked_entry_is_an_array() -> None:
    model, whole = mlp([2, 1], rng=0), np.ma.array([[1.0, 2.0], [0.0, 3.0]])
    assert type(as_array(whole, "x")) is np.ndarray
    assert np.array_equal(model.predict(whole), model.predict(whole.data))
    assert np.array_equal(model(whole), model(whole.data))
    assert MeanSquaredError()(whole, whole) == 0


def test_samples_that_become_masked_when_they_are_read() -> None:
    class Slices:
        shape, dtype = (2, 2), np.dtype(float)

        def __len__(self) -> int:
            return 2

        def __getitem__(self, rows: Any) -> Any:
            return masked[rows]

    model = mlp([2, 1], rng=0)
    with pytest.raises(ValueError, match=r"x: .*mask"):
        model.predict(Slices())
    with pytest.raises(ValueError, match=r"x: .*mask"):
        model.predict(Slices(), batch_size=1)


def test_an_array_passes_as_it_is_and_stays_unchanged() -> None:
    x = np.arange(4.0).reshape(2, 2)
    assert as_array(x, "x") is x
    assert as_samples(x) is x
    model = mlp([2, 1], rng=0)
    before = x.copy()
    model.predict(x)
    model(x)
    assert np.array_equal(x, before)


# ------------------------------------------------------------------------------------------------------ whole numbers

TABLE = [[0, 0], [0, 1], [1, 0], [1, 1]]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tables_of_whole_numbers_are_numbers(integer: Any, dtype: Any) -> None:
    table = np.array(TABLE, integer)
    before = table.copy()
    for make in (
        lambda: Dense(2, 3, rng=0, dtype=dtype),
        lambda: BatchNorm(2, dtype=dtype),
        lambda: LayerNorm(2, dtype=dtype),
        lambda: RMSNorm(2, dtype=dtype),
    ):
        y = make()(table)
        assert y.dtype == dtype
        assert np.array_equal(y, make()(table.astype(dtype)))
    model = mlp([2, 4, 1], rng=0, dtype=dtype)
    assert np.array_equal(model.predict(table), model.predict(table.astype(dtype)))
    assert np.array_equal(Sequential(Flatten(), *model).predict(table), model.predict(table.astype(dtype)))
    assert np.array_equal(table, before)


def test_whole_numbers_as_everybody_types_them() -> None:
    model = mlp([2, 8, 1], rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 1.0))
    trainer.fit(TABLE, [0, 1, 1, 0], 2, print_every=None)
    assert model.predict(TABLE).shape == (4, 1)
    assert 0 <= trainer.evaluate(TABLE, [0, 1, 1, 0])["accuracy"] <= 1
    layer = Dense(2, 1, rng=0)
    layer(TABLE)
    layer.backward(np.ones((4, 1), np.float32))
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Dense(2, 1, rng=0), np.zeros((3, 2), np.uint8)),
        (LayerNorm(2), np.zeros((3, 2), np.uint8)),
        (BatchNorm(2), np.zeros((3, 2), np.uint8)),
        (BatchNorm(2), np.zeros((3, 4, 4, 2), np.int64)),
        (Conv2D(2, 1, 1, rng=0), np.zeros((3, 4, 4, 2), np.uint8)),
        (Conv2D(2, 1, 1, rng=0), np.zeros((3, 4, 4, 2), np.int64)),
        (MaxPool2D(), np.zeros((3, 4, 4, 2), np.uint8)),
        (ReLU(), np.zeros((3, 2), np.uint8)),
    ],
    ids=repr,
)
def test_pixels_are_still_to_be_rescaled(layer: Module, x: Array) -> None:
    with pytest.raises(LayerInputError, match=rf"numbers, received dtype {x.dtype}; put Rescale\(\) first"):
        layer(x)


@pytest.mark.parametrize(
    "layer",
    [
        ReLU(),
        Sigmoid(),
        Tanh(),
        GELU(),
        Softmax(),
        LeakyReLU(),
        Dropout(0.5),
        ReLU6(),
        ELU(),
        SELU(),
        SiLU(),
        HardSwish(),
        Softplus(),
        LogSoftmax(),
    ],
    ids=repr,
)
def test_a_layer_without_a_precision_says_what_to_do_with_whole_numbers(layer: Module) -> None:
    with pytest.raises(LayerInputError, match=r"received dtype int64; pass x.astype\(float\)") as error:
        layer(np.array(TABLE, np.int64))
    assert "Rescale" not in str(error.value)


def test_truth_values_and_objects_are_refused_without_a_hint() -> None:
    for x in (np.zeros((2, 2), bool), np.zeros((2, 2), object)):
        with pytest.raises(LayerInputError, match=f"expected float32 numbers, received dtype {x.dtype}$"):
            Dense(2, 1, rng=0)(x)


def test_a_softmax_of_one_unit_is_refused() -> None:
    model = Sequential(Dense(3, 1, rng=0), Softmax())
    for call in (
        lambda: model(np.ones((2, 3), np.float32)),
        lambda: model.predict(np.ones((2, 3), np.float32)),
        lambda: Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).fit(
            np.eye(3), [0, 1, 0], 1, print_every=None
        ),
    ):
        with pytest.raises(LayerInputError, match=r"layer 1, Softmax\(\): expected at least 2 classes.*Sigmoid"):
            call()


# ------------------------------------------------------------------------------------------------- summary and states


def test_the_shape_of_one_sample_in_a_summary() -> None:
    def printed(shape: Any) -> str:
        with redirect_stdout(io.StringIO()) as out:
            mlp([2, 3, 1], rng=0).summary(shape)
        return out.getvalue()

    assert printed(2) == printed((2,)) == printed([2]) == printed(np.int64(2))
    assert "(batch, 1)" in printed(2)
    for wrong in ("2", 2.0, (2.0,), (None, 2), (0,), -1, True, [[2]], object(), {2}, 2**40):
        with pytest.raises(ValueError, match="input_shape"):
            printed(wrong)


@pytest.mark.parametrize("state", [None, [1], 1, "weight", {1}, [("weight", 1)], np.zeros(2)])
def test_a_state_that_is_no_mapping_is_named(state: Any) -> None:
    model = Sequential(Dense(1, 1, rng=0))
    for owner in (model, SGD(model.parameters())):
        with pytest.raises(
            TypeError, match=r"state: expected arrays by name, as state_dict\(\) returns them, received"
        ):
            owner.load_state_dict(state)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (RAGGED, "0.weight: expected numbers in a rectangular array"),
        (None, "0.weight: expected numbers in a rectangular array"),
        (masked, "0.weight: expected numbers without gaps, received a masked array"),
        ("text", "0.weight: expected numbers, received dtype <U4"),
        (np.ones((1, 2), bool), "0.weight: expected real numbers, received dtype bool"),
        (np.ones((2, 1)), r"0.weight: expected shape \(1, 2\), received \(2, 1\)"),
        (
            np.array([[1e39, 0]]),
            r"0.weight: expected numbers up to 3.4e\+38 in size, received 1e\+39, too large for float32",
        ),
    ],
    ids=repr,
)
def test_an_entry_that_does_not_fit_is_named_with_the_others(value: Any, message: str) -> None:
    model = Sequential(Dense(2, 1, rng=0))
    before = model.state_dict()
    with pytest.raises(ValueError, match=rf"nothing was loaded:\n  missing 0.bias \(1,\)\n  {message}"):
        model.load_state_dict({"0.weight": value})
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())


def test_the_state_of_an_optimizer_is_checked_whole() -> None:
    parameter = Parameter(np.zeros(2, np.float32))
    optimizer = SGD([parameter], momentum=0.9)
    good = optimizer.state_dict()
    for name, wrong in (
        ("learning_rate", [-1.0, np.nan, np.inf, "a", None, [0.1], True]),
        ("steps", [-1, 1.5, "a", None, [1], True, 2.0]),
        ("0.velocity", [np.zeros(3), 1.0, "ab", None, np.array([1e39, 0]), RAGGED]),
    ):
        for value in wrong:
            with pytest.raises(ValueError, match=rf"does not fit the SGD; nothing was loaded:\n  {name}: "):
                optimizer.load_state_dict({**good, name: value})
    optimizer.load_state_dict({"learning_rate": np.float64(0), "steps": np.array(3), "0.velocity": [1, 2]})
    assert (optimizer.learning_rate, optimizer.steps, optimizer.state[0]["velocity"].tolist()) == (0, 3, [1, 2])


# ---------------------------------------------------------------------------------------------------------- gradients

GRADIENTS: list[tuple[Module, tuple[int, ...]]] = [
    (Dense(3, 2, rng=0), (4, 3)),
    (ReLU(), (4, 3)),
    (LeakyReLU(), (4, 3)),
    (Sigmoid(), (4, 3)),
    (Tanh(), (4, 3)),
    (GELU(), (4, 3)),
    (PReLU(3), (4, 3)),
    (PReLU(), (4, 3)),
    (ReLU6(), (4, 3)),
    (ELU(), (4, 3)),
    (SELU(), (4, 3)),
    (SiLU(), (4, 3)),
    (HardSwish(), (4, 3)),
    (Softplus(), (4, 3)),
    (LogSoftmax(), (4, 3)),
    (Softmax(), (4, 3)),
    (Rescale(), (4, 3)),
    (Normalize(3), (4, 3)),
    (Dropout(0.5, rng=0), (4, 3)),
    (Flatten(), (4, 3, 2)),
    (LayerNorm(3), (4, 3)),
    (LayerNorm(3), (4, 2, 3)),
    (BatchNorm(3), (4, 3)),
    (BatchNorm(3), (4, 2, 2, 3)),
    (Conv2D(3, 2, 2, rng=0), (4, 3, 3, 3)),
    (MaxPool2D(), (4, 4, 4, 3)),
    (AveragePool2D(), (4, 4, 4, 3)),
    (GlobalAveragePool2D(), (4, 4, 4, 3)),
    (GlobalMaxPool2D(), (4, 4, 4, 3)),
    (UpSample2D(2), (4, 4, 4, 3)),
    (RMSNorm(3), (4, 2, 3)),
    (GroupNorm(2, 4), (4, 3, 3, 4)),
    (LSTM(3, 2, bidirectional=True, rng=0), (4, 5, 3)),
    (GRU(3, 2, return_sequence=False, rng=0), (4, 5, 3)),
    (GlobalAveragePool1D(), (4, 5, 3)),
    (GlobalMaxPool1D(), (4, 5, 3)),
    (Residual(Dense(3, 3, rng=0)), (4, 3)),
    (Parallel(Dense(3, 2, rng=0), Dense(3, 4, rng=1), merge="concatenate"), (4, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), GRADIENTS, ids=[f"{layer!r}-{len(shape)}" for layer, shape in GRADIENTS])
@pytest.mark.parametrize("method", ["backward", "backward_parameters"])
def test_gradients_of_another_shape_are_refused(layer: Module, shape: tuple[int, ...], method: str) -> None:
    if not hasattr(layer, method):
        return
    layer = copy.deepcopy(layer)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    right = layer(x).shape
    shapes = [(1, *right[1:]), right[1:], (*right[:-1], 1), (*right, 1), (1, *right), (), (right[0] + 1, *right[1:])]
    for wrong in shapes:
        layer(x)
        with pytest.raises(ValueError, match="backward: expected a gradient of the output's shape") as error:
            getattr(layer, method)(np.ones(wrong, np.float32))
        assert str(right) in str(error.value)
        assert str(wrong) in str(error.value)
    for no_array in (None, 1.0, [1.0]):
        layer(x)
        with pytest.raises(ValueError, match=f"received no array but {type(no_array).__name__}"):
            getattr(layer, method)(no_array)
    assert all(parameter.grad is None for parameter in layer.parameters())
    layer(x)
    getattr(layer, method)(np.ones(right, np.float32))


@pytest.mark.parametrize(
    ("loss", "shape", "targets"),
    [
        (BinaryCrossEntropy(), (4, 1), [(4,), (1, 4), (3, 1), (1, 1), ()]),
        (BinaryCrossEntropy(True), (4, 1), [(4,), (1, 1)]),
        (BinaryCrossEntropy(True, 2.0), (4, 1), [(4,), (1, 1)]),
        (MeanSquaredError(), (4, 2), [(4,), (2,), (4, 1), (1, 2)]),
        (MeanAbsoluteError(), (4, 2), [(4,), (2,), (4, 1), (1, 2)]),
        (Huber(), (4, 2), [(4,), (2,), (4, 1), (1, 2)]),
        (Hinge(), (4, 1), [(4,), (1, 1)]),
        (SoftmaxCrossEntropy(), (4, 2), [(4, 1), (1,), (1, 2), (3,), (), (4, 3)]),
        (SoftmaxCrossEntropy(from_logits=False), (4, 2), [(4, 1), (1,), (1, 2)]),
    ],
    ids=repr,
)
def test_losses_refuse_targets_of_another_shape_in_their_gradient(
    loss: Loss, shape: tuple[int, ...], targets: list[tuple[int, ...]]
) -> None:
    prediction = np.full(shape, 0.5)
    for target in targets:
        for call in (loss.gradient, loss):
            with pytest.raises(ValueError, match=f"{type(loss).__name__}: expected a target of") as error:
                call(prediction, np.zeros(target, int))
            assert str(shape) in str(error.value)
            assert str(target) in str(error.value)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("gradient", [np.float32(3), np.ones(1), np.ones((1, 3)), np.ones((3, 2)), [1.0, 2.0], 3.0])
def test_steps_refuse_gradients_of_another_shape(optimizer: Any, gradient: Any) -> None:
    first, second = Parameter(np.ones(2)), Parameter(np.ones((2, 3)))
    first.grad, second.grad = np.ones(2), gradient
    with pytest.raises(
        ValueError, match=rf"{optimizer.__name__} parameters\[b\]: expected a gradient of shape \(2, 3\)"
    ):
        optimizer([("a", first), ("b", second)]).step()
    assert (first.data == 1).all()
    assert (second.data == 1).all()


@pytest.mark.parametrize("layer", [Dense(2, 1, rng=0), LayerNorm(2), LSTM(2, 1, rng=0)], ids=repr)
def test_whole_numbers_of_sequences_are_to_be_made_floating(layer: Module) -> None:
    with pytest.raises(LayerInputError, match=r"received dtype int64; pass x.astype\(float\)"):
        layer(np.zeros((3, 4, 2), np.int64))
