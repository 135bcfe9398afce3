"""The network in JavaScript, run by a real browser, computes what `predict` and the backward passes compute."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from browser_networks import batch, exact_twin, in_double, network_of, randomize
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_networks import convnet_of, resnet_of
from strategies import seeds
from test_contract import LAYERS, TOKENS

from minidl import (
    GRU,
    LSTM,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalMaxPool1D,
    Masked,
    MaxPool1D,
    Module,
    Parallel,
    PositionalEmbedding,
    ReLU,
    Rescale,
    Residual,
    SelfAttention,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    TransformerBlock,
    UpSample2D,
    mlp,
    resnet,
)
from minidl._calls import calling
from minidl._samples import each
from minidl._typing import Array
from minidl.architecture import BUILT_IN
from minidl.inspect._formula import formula_of
from minidl.inspect._network_data import network_data, network_script

pytest.importorskip("playwright")

CLOSE = 1e-5
CONTAINERS = (Sequential, Parallel, Residual, Masked, TransformerBlock)
FORWARD_ONLY = {Embedding, PositionalEmbedding, SelfAttention, LSTM, GRU, ConvTranspose2D}

# Such numbers reach what activations do beyond 6, and are equal or 0.
INPUTS: list[Callable[[Array], Array]] = [lambda x: x, lambda x: x * np.float32(5), np.round]

RUN = """async (text) => {
  const decoded = (base64) => {
    const characters = atob(base64);
    const bytes = new Uint8Array(characters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
    return new Float32Array(bytes.buffer);
  };
  const { description, inputs, shape, gradients, withSteps } = JSON.parse(text);
  const float32 = (x) => Array.isArray(x) ? x.map(float32) : decoded(x);
  const network = await Network.load(description);
  const results = inputs.map((x) => network.forward(float32(x), shape));
  const backs = gradients.map((g, i) => network.backward(results[i], decoded(g)));
  const { layers, top, hasBackward } = network;
  const plain = (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
  return JSON.stringify({
    hasBackward,
    layers: layers.map(({ weights, children, ...layer }) => layer),
    top: top.map(({ path }) => path),
    outputs: results.map(({ output, outputShape }) => ({ output, outputShape })),
    steps: withSteps ? results.map(({ steps }) => steps) : [],
    backs: backs.map(({ gradInput, steps }) => ({ gradInput, steps: withSteps ? steps : [] })),
  }, plain);
}"""


def encoded(x: Array) -> str:
    return b64encode(x.astype("<f4").tobytes()).decode()


@dataclass
class Ran:
    """What the browser made of a network: outputs (batch, ...), and, sample by sample, steps and backward passes."""

    outputs: Array
    raw: dict[str, Any]


class Runner:
    """Runs networks in one page, each by one call."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def __call__(self, model: Module, x: Any, gradients: Sequence[Array] = (), *, with_steps: bool = True) -> Ran:
        shape = each(lambda part: list(part.shape[1:]), x)
        parts = [*zip(*x, strict=True)] if isinstance(x, tuple) else list(x)
        task = {
            "description": network_data(model, each(lambda part: part.shape[1:], x)),
            "inputs": [each(encoded, sample) for sample in parts],
            "shape": shape,
            "gradients": [encoded(gradient) for gradient in gradients],
            "withSteps": with_steps,
        }
        raw = json.loads(self.page.evaluate(RUN, json.dumps(task, allow_nan=False)))
        outputs = [np.reshape(one["output"], one["outputShape"]) for one in raw["outputs"]]
        return Ran(np.stack(outputs), raw)


@pytest.fixture(scope="module")
def run(browser: Any) -> Iterator[Runner]:
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.add_script_tag(content=network_script())
    yield Runner(page)
    page.close()
    assert problems == []


def observed(model: Module, x: Any) -> dict[str, tuple[Any, Array]]:
    """Return the input and the output of each module by its path, in evaluation mode."""
    paths = {id(module): path for path, module in model.named_modules()}
    found: dict[str, tuple[Any, Array]] = {}

    def note(module: Any, x: Any, output: Any) -> None:
        found[paths[id(module)]] = x, output

    with calling(training=False, observer=note):
        model(x)
    return found


def near(mine: Any, theirs: Array, scale: float = 1.0) -> None:
    """Require equality to 1e-5 of a scale, or of the largest number if it is larger."""
    assert np.shape(mine) == theirs.shape
    scale = max(1.0, scale, float(np.abs(theirs).max(initial=0)))
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=CLOSE * scale)


def largest_of(found: dict[str, tuple[Any, Array]]) -> float:
    """Return the size of the largest number on the way, whose rounding counts."""
    return max(float(np.abs(output).max(initial=0)) for _, output in found.values())


def test_every_layer_and_container_is_in_a_table() -> None:
    assert {*LAYERS, *CONTAINERS} == set(BUILT_IN.values())


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
@settings(max_examples=12)
@given(data=st.data(), seed=seeds)
def test_layers(run: Runner, kind: type[Module], data: st.DataObject, seed: int) -> None:
    make, shape, *_ = data.draw(LAYERS[kind])
    layer = make(np.float32)
    randomize(layer, seed)
    if isinstance(layer, BatchNorm) and data.draw(st.booleans()):
        layer.running_variance.data *= np.float32(layer.epsilon)
    numbers = data.draw(st.sampled_from(INPUTS))(batch(seed, shape))
    x: Array = np.random.default_rng(seed).integers(0, TOKENS, shape) if kind is Embedding else numbers
    expected = layer.predict(x)
    upstream = batch(seed + 1, expected.shape)
    ran = run(layer, x, [] if kind in FORWARD_ONLY else list(upstream))
    near(ran.outputs, expected)
    assert ran.raw["hasBackward"] == (kind not in FORWARD_ONLY)
    check_description(layer, ran, x)
    if kind not in FORWARD_ONLY:
        check_backward(layer, ran, x, upstream, 1.0)


@pytest.mark.parametrize("kind", CONTAINERS, ids=lambda kind: kind.__name__)
@settings(max_examples=40)
@given(data=st.data(), seed=seeds)
def test_containers(run: Runner, kind: type[Module], data: st.DataObject, seed: int) -> None:
    model, x = data.draw(network_of(kind))
    randomize(model, seed)
    model = in_double(model) if data.draw(st.booleans()) else model
    expected = model.predict(x)
    upstream = batch(seed, expected.shape)
    has_backward = not any(type(module) in FORWARD_ONLY for _, module in model.named_modules())
    ran = run(model, x, list(upstream) if has_backward else [])
    assert ran.raw["hasBackward"] == has_backward
    found = observed(model, x)
    near(ran.outputs, expected, largest_of(found))
    check_description(model, ran, x)
    check_steps(ran, found)
    if has_backward:
        check_backward(model, ran, x, upstream, largest_of(found))


@pytest.mark.parametrize("layer", [Conv1D(2, 3, 3, padding="same"), GlobalAveragePool1D(), GlobalMaxPool1D()])
def test_backward_passes_leave_out_padding(run: Runner, layer: Module) -> None:
    model = Masked(layer)
    randomize(model, 0)
    x = batch(0, (2, 5, 2))
    x[0, 3:] = x[1, 4:] = 0
    upstream = batch(1, model.predict(x).shape)
    ran = run(model, x, list(upstream))
    near(ran.outputs, model.predict(x))
    check_backward(model, ran, x, upstream, 1.0)


def check_description(model: Module, ran: Ran, x: Any) -> None:
    """The layers that JavaScript shows are the modules, with their numbers of parameters and shapes."""
    found, modules = observed(model, x), dict(model.named_modules())
    if type(model) is Sequential:
        del modules[""]
    layers = {layer["path"]: layer for layer in ran.raw["layers"]}
    assert layers.keys() == modules.keys()
    assert len(layers) == len(ran.raw["layers"])
    for path, layer in layers.items():
        assert layer["kind"] == type(modules[path]).__name__
        assert layer["formula"] == formula_of(type(modules[path]))
        assert layer["parameterCount"] == sum(parameter.data.size for parameter in modules[path].parameters())
        given, output = found[path]
        assert layer["inputShape"] == list(given.shape[1:])
        assert layer["outputShape"] == list(output.shape[1:])


def check_steps(ran: Ran, found: dict[str, tuple[Any, Array]]) -> None:
    for i, steps in enumerate(ran.raw["steps"]):
        assert [step["path"] for step in steps] == [layer["path"] for layer in ran.raw["layers"]]
        for step in steps:
            given, output = found[step["path"]]
            near(np.reshape(step["input"], step["inputShape"]), given[i], largest_of(found))
            near(np.reshape(step["output"], step["outputShape"]), output[i], largest_of(found))


def check_backward(model: Module, ran: Ran, x: Any, upstream: Array, scale: float) -> None:
    """Compare the sum of the samples' gradients with those of the batch, in the mode of `predict`."""
    model = exact_twin(model)
    model(x.astype(np.float64))
    grad_input = model.backward(upstream.astype(np.float64))
    backs = ran.raw["backs"]
    on_the_way = max(np.abs(step["gradInput"]).max(initial=0) for back in backs for step in back["steps"])
    scale = max(1, scale) * max(1.0, float(on_the_way)) * np.sqrt(len(x))
    for i, back in enumerate(backs):
        near(np.reshape(back["gradInput"], x.shape[1:]), grad_input[i], scale)
    gradients: dict[str, Array] = {}
    for back in backs:
        for step in back["steps"]:
            for name, value in step.get("gradWeight", {}).items():
                path = f"{step['path']}.{name}".lstrip(".")
                gradients[path] = gradients.get(path, np.array(0.0)) + formed(value)
    parameters = dict(model.named_parameters())
    assert gradients.keys() == parameters.keys()
    for path, gradient in gradients.items():
        theirs = parameters[path].grad
        assert theirs is not None
        near(np.reshape(gradient, theirs.shape), theirs, scale)


def formed(gradient: Any) -> Array:
    """Return the gradient of a weight, formed from its factors where it is given by them."""
    if isinstance(gradient, dict):
        dz, a = (np.reshape(gradient[name], (gradient["rows"], -1)) for name in ("dz", "a"))
        return np.ravel(dz.T @ a)
    return np.array(gradient)


def photographs(seed: int, count: int, side: int) -> Array:
    """Return what is as smooth as a photograph: a coarse picture enlarged, with a little noise, as pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, side // 8, side // 8, 3)).repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


def test_the_articles_network_on_100_photographs(run: Runner) -> None:
    # Playwright needs long for long texts: photographs of 32 pixels a side are enlarged in the browser.
    model = Sequential(UpSample2D(4), Rescale(), Flatten(), *mlp([128 * 128 * 3, 20, 7, 5, 1], rng=0))
    randomize(model[4:], 0)
    x = photographs(0, 100, 32).astype(np.float32)
    probabilities = model.predict(x)
    assert np.ptp(probabilities) > 0.05
    ran = run(model, x, list(np.ones((1, 1))), with_steps=False)
    np.testing.assert_allclose(ran.outputs, probabilities, rtol=0, atol=CLOSE)
    check_input_gradients(model, ran, x[:1])


def check_input_gradients(model: Module, ran: Ran, x: Array) -> None:
    """Compare the gradients of the output with respect to the input, relative to the largest."""
    twin = exact_twin(model)
    twin(x.astype(np.float64))
    expected = twin.backward(np.ones((len(x), 1)))
    size = np.abs(expected).max()
    found = np.reshape([back["gradInput"] for back in ran.raw["backs"]], x.shape)
    near(found / size, expected / size)


@pytest.mark.parametrize(
    "network",
    [
        convnet_of(64, outputs=1, seed=0),
        resnet_of(64, outputs=1, seed=0),
        resnet((1, 1, 1, 1), (16, 32, 64, 128), outputs=1, first_stride=2, dropout=0.3, rng=0),
    ],
    ids=["convnet", "residual convnet", "resnet"],
)
def test_networks_for_pictures(run: Runner, network: Sequential) -> None:
    model = Sequential(Rescale(offset=-0.5), *network, Sigmoid())
    x = photographs(1, 3, 64)
    for _ in range(20):
        model(x)  # moves the running statistics towards those of the photographs
    probabilities = model.predict(x)
    assert np.ptp(probabilities) > 0.01
    ran = run(model, x, list(np.ones((3, 1))), with_steps=False)
    np.testing.assert_allclose(ran.outputs, probabilities, rtol=0, atol=CLOSE)
    check_input_gradients(model, ran, x)


@settings(max_examples=20)
@given(data=st.data(), merge=st.sampled_from(["sum", "mean", "multiply", "concatenate"]), seed=seeds)
def test_several_inputs(run: Runner, data: st.DataObject, merge: Any, seed: int) -> None:
    widths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    branches = Parallel(*(Sequential(Dense(width, 3), Tanh()) for width in widths), merge=merge)
    model = Sequential(branches, Dense(3 * len(widths) if merge == "concatenate" else 3, 2), Softmax())
    randomize(model, seed)
    x = tuple(batch(seed + i, (2, width)) for i, width in enumerate(widths))
    upstream = batch(seed, (2, 2))
    ran = run(model, x, list(upstream))
    near(ran.outputs, model.predict(x))
    twin = exact_twin(model)
    twin(tuple(part.astype(np.float64) for part in x))
    for i, gradient in enumerate(twin.backward(upstream.astype(np.float64))):
        near([back["gradInput"][i] for back in ran.raw["backs"]], gradient)


PLAIN = """async (text) => {
  const { description, x, shape, gradient, change } = JSON.parse(text);
  try {
    const network = await Network.load({ ...description, ...change });
    const float32 = (x) => Array.isArray(x[0]) ? x.map(float32) : Float32Array.from(x);
    const result = network.forward(float32(x), shape);
    if (gradient) network.backward(result, Float32Array.from(gradient));
    return "no error";
  } catch (error) {
    return error.message;
  }
}"""


# The network, the shape that it takes, the one that it is given, other parts of the task, and the error.
ERRORS: list[tuple[Module, Any, Any, dict[str, Any], str]] = [
    (Sequential(ReLU(), Dense(3, 2)), [3], [4], {}, "Dense (layer 1): expected 3 features, received shape (4)"),
    (Dense(3, 2), [3], [4], {}, "Dense: expected 3 features, received shape (4)"),
    (Conv2D(2, 3, 1), [3, 3, 2], [3, 3, 3], {}, "Conv2D: expected 2 channels, received shape (3, 3, 3)"),
    (
        Sequential(Sequential(Conv2D(2, 3, (3, 2)))), [3, 3, 2], [2, 3, 2], {},
        "Conv2D (layer 0.0): expected room for a window of 3 x 2, received shape (2, 3, 2)",
    ),
    (
        Embedding(5, 2), [3], [3], {"x": [1, 5, 0]},
        "Embedding: expected token numbers from 0 to 4, not 5, received shape (3)",
    ),
    (
        Masked(GlobalMaxPool1D()), [2, 1], [2, 1], {"x": [0, 0]},
        "Masked: expected a step that is not the padding 0, received shape (2, 1)",
    ),
    (
        Masked(MaxPool1D(1)), [2, 1], [2, 1], {"x": [1, 0]},
        "MaxPool1D (layer 0): expected a sequence without padding, which windows divide, received shape (2, 1)",
    ),
    (
        Masked(Conv1D(1, 1, 2)), [2, 1], [2, 1], {"x": [1, 0]},
        "Conv1D (layer 0): expected as many windows as steps, some being padding, received shape (2, 1)",
    ),
    (ReLU(), [2, 2], [2, 2], {"x": [1, 2, 3]}, "expected 4 numbers for the shape (2, 2), received 3"),
    (ReLU(), [2], [2], {"gradient": [1]}, "expected 2 numbers for the shape (2), received 1"),
    (
        Sequential(GRU(1, 1)), [2, 1], [2, 1], {"gradient": [1, 1]},
        "GRU (layer 0): expected a layer that has a backward pass in the browser",
    ),
    (
        Parallel(ReLU(), ReLU()), [1], [1], {"x": [[1], [2], [3]], "shape": [[1], [1], [1]]},
        "Parallel: expected one input or 2, received 3 inputs",
    ),
    (
        Sequential(Flatten(), ReLU()), [1], [1], {"x": [[1], [2]], "shape": [[1], [1]]},
        "Flatten (layer 0): expected one input, received 2 inputs",
    ),
    (ReLU(), [1], [1], {"change": {"format": 2}}, 'expected a description of the format "minidl network 1"'),
    (
        ReLU(), [1], [1], {"change": {"network": {"path": "", "kind": "constructor"}}},
        "constructor: expected a layer that is known in the browser",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "taken", "given", "more", "message"), ERRORS)
def test_errors_name_the_layer(
    run: Runner, model: Module, taken: Any, given: Any, more: dict[str, Any], message: str
) -> None:
    task = {"description": network_data(model, taken), "x": np.ones(given).ravel().tolist(), "shape": given, **more}
    assert run.page.evaluate(PLAIN, json.dumps(task)) == message


def test_results_do_not_share_memory_with_the_caller(run: Runner) -> None:
    program = """async (description) => {
      const network = await Network.load(description);
      const [x, g] = [Float32Array.of(1, 2), Float32Array.of(3, 4)];
      const first = network.forward(x, [2]);
      const back = network.backward(first, g);
      x.fill(7);
      g.fill(7);
      const second = network.backward(network.forward(x, [2]), g);
      const given = [x, g, first.output, first.step("0").input, back.gradInput, back.step("1").gradOutput];
      return [...given, second.gradInput].map((numbers) => Array.from(numbers));
    }"""
    data = network_data(Sequential(Flatten(), Dropout(0.5), Sequential()), (2,))
    returned = run.page.evaluate(program, data)
    assert returned == [[7, 7], [7, 7], [1, 2], [1, 2], [3, 4], [3, 4], [7, 7]]


def test_the_script_defines_one_name(run: Runner) -> None:
    names = "() => [typeof Network, typeof tensor, typeof OPERATIONS, typeof ReLU, Object.keys(window).length]"
    page = run.page.context.browser.new_page()
    before = page.evaluate("() => Object.keys(window).length")
    page.add_script_tag(content=network_script())
    assert page.evaluate(names) == ["function", "undefined", "undefined", "undefined", before]
    page.close()
