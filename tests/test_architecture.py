"""The structure of the package: imports point up the page, files and functions are short, the language is plain."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

import minidl

PACKAGE = Path(minidl.__file__).parent

# Each file and folder of the package may import those before it in this list.
PAGE = [
    "_typing", "_lazy", "errors", "_html", "_tables", "_validation", "_files", "_threads", "archive", "_samples",
    "_prefetch", "_attributes", "_overrides", "_context", "_calls", "_false_alarms", "parameter", "_state",
    "_summary", "module", "functional", "initializers", "ops", "layers", "containers", "models", "architecture",
    "building", "model_file", "losses", "optimizers", "schedules", "metrics", "data", "training", "reports",
    "inspect", "testing", "interchange", "sklearn", "distributed",
]  # fmt: skip
# The same inside the folders; a folder's `__init__` comes after its files.
PAGES_OF_FOLDERS = {
    "ops": [
        "tuning", "buffers", "parallel", "sums", "elementwise", "channels", "wide", "matrix_vector", "matmul",
        "windows", "depthwise", "convolution", "pooling", "normalization", "attention", "recurrent", "lstm", "gru",
    ],
    "layers": [
        "_checks", "_masks", "_norm", "_windows", "_convolution", "dense", "relu", "sigmoid", "tanh", "leaky_relu",
        "prelu", "relu6", "elu", "silu", "hard_swish", "gelu", "softplus", "softmax", "log_softmax", "flatten",
        "rescale", "dropout", "embedding", "positional_embedding", "self_attention", "_recurrent", "lstm", "gru",
        "batch_norm", "normalize", "layer_norm", "rms_norm", "group_norm", "conv", "conv1d", "conv_transpose",
        "max_pool", "average_pool", "global_max_pool", "pool_over_time", "up_sample",
    ],
    "containers": [
        "_checks", "to_parameters", "sequential", "parallel", "residual", "masked", "transformer_block",
    ],
    "models": ["_sizes", "feedforward", "pictures", "sequences"],
    "losses": [
        "loss", "_distributions", "_pos_weight", "binary_cross_entropy", "softmax_cross_entropy", "hinge",
        "mean_squared_error", "mean_absolute_error", "huber", "weighted",
    ],
    "optimizers": ["clipping", "groups", "optimizer", "_checks", "sgd", "adam", "nadam", "rmsprop", "adagrad", "lion"],
    "metrics": [
        "classes", "weights", "metric", "counts", "accuracy", "ratios", "confusion", "classification", "log_loss",
        "ranking", "regression",
    ],
    "data": [
        "_rows", "_folders", "compose", "batches", "batch_source", "subset", "split", "duplicates", "augment",
        "random_crop", "_picture_operations", "rand_augment", "_mixing", "mixup", "cutmix", "image_metadata",
        "image_source", "_image_opening", "image_pixels", "image_file", "image_html", "lazy_images", "image_folder",
        "audit",
    ],
    "training": [
        "history", "progress", "interrupts", "span", "checked_slices", "problem", "evaluation", "generators",
        "rewrites", "diagnosis", "last_good", "checkpoint", "checkpoint_file", "snapshot", "run", "callbacks",
        "checked_data", "mixed_targets", "checked_batches", "weights", "preparation", "setup",
        "trainer",
    ],
    "training.rewrites": [
        "layers", "logits", "pooling", "constant_inputs", "input_gradient", "sample_parts", "wide_samples",
        "dual_layer", "dual_parameter", "dual_weights", "dual", "augmentation", "wrapped_optimizer", "accumulation",
    ],
    "training.callbacks": [
        "callback", "checkpoint", "_monitoring", "early_stopping", "best_model", "reduce_on_plateau", "learning_rate",
        "tensorboard",
    ],
    "reports": ["canvas", "contact_sheet", "classification"],
    "inspect": [
        "_colours", "weight_pictures", "_passes", "saliency", "_reduction", "_moments", "_watching", "recorder",
        "_saved", "_formula", "trace", "_first_layer", "influences", "occlusion", "activation_maps", "sheet",
        "_network_data", "_page_pictures", "_page_photographs", "_page_run", "_page_units", "_page_file", "_page",
    ],
    "testing": ["_inputs", "differences", "gradcheck", "passes", "contract", "loss_contract"],
    "interchange": [
        "_package", "_graph", "_export_activations", "_export_rows", "_export_windows", "_export_sequences",
        "_export_containers", "onnx_export", "_import_constants", "_import_file", "_reading",
        "_import_activations", "_import_rows", "_import_windows", "_import_axes",
        "_import_network", "_import_joins", "onnx_import",
        "_feature_order", "_pytorch_layout", "safetensors", "pytorch", "_keras_layout", "keras",
    ],
    "distributed": [
        "group", "exchange", "batches", "problem", "optimizer", "run", "shared", "setup", "trainer", "loading",
    ],
    "sklearn": [
        "_losses", "_order", "_settings", "_convergence", "_targets", "_estimator", "_kinds", "mlp", "network",
    ],
}  # fmt: skip
# Folders that, though further down, know nothing of these.
STRANGERS = {
    "ops": {"module", "parameter"},
    "losses": {"module", "layers", "containers"},
    "optimizers": {"module", "layers", "containers", "losses"},
    "metrics": {"module", "layers", "containers", "losses", "optimizers"},
    "data": {"parameter", "module", "layers", "containers", "losses", "optimizers"},
    "testing": {"training", "data", "optimizers"},
}
# These, read in this order, are a complete account of one training step.
ONE_STEP = [
    "module", "layers/dense", "layers/relu", "layers/sigmoid", "losses/binary_cross_entropy", "optimizers/sgd",
    "containers/sequential", "training/trainer",
]  # fmt: skip

FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def imports_of(source: str) -> Iterator[str]:
    """Yield what a file imports of the package, as names in FILES; imports for type checkers only count, too."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("minidl.") in FILES else str(node.module) for name in within]
        yield from (name.removeprefix("minidl.") for name in names if name.startswith("minidl."))


def position(name: str) -> tuple[int, ...]:
    """Return the place of a file on the page: that of its folder, then that inside the folder."""
    parts = name.split(".")
    places = [PAGE.index(parts[0])]
    for depth in range(1, len(parts)):
        places.append(PAGES_OF_FOLDERS[".".join(parts[:depth])].index(parts[depth]))
    return (*places, 99) if name in PAGES_OF_FOLDERS else tuple(places)  # a folder's own name is its __init__


def wrong_arrows(name: str, source: str) -> list[str]:
    strangers = STRANGERS.get(name.split(".")[0], set())
    return [
        target
        for target in imports_of(source)
        if position(target) >= position(name) or target.split(".")[0] in strangers
    ]


@pytest.mark.parametrize("name", FILES)
def test_imports_point_up_the_page(name: str) -> None:
    assert wrong_arrows(name, FILES[name].read_text()) == []


def test_every_file_stands_on_the_page() -> None:
    listed = {*PAGE, *(f"{folder}.{name}" for folder, names in PAGES_OF_FOLDERS.items() for name in names)}
    assert listed == set(FILES)


def test_no_imports_go_in_a_circle() -> None:
    graph = {name: set(imports_of(path.read_text())) for name, path in FILES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(FILES)
    with pytest.raises(CycleError):
        list(TopologicalSorter({**graph, "errors": {"module"}}).static_order())


@pytest.mark.parametrize(
    ("name", "source", "wrong"),
    [
        ("layers.dense", "from minidl.training.trainer import Trainer", ["training.trainer"]),
        ("layers.relu", "from minidl.layers import Dense", ["layers"]),
        ("layers.relu", "if TYPE_CHECKING:\n    from minidl.layers.tanh import Tanh", ["layers.tanh"]),
        ("ops.buffers", "def f():\n    from minidl.ops import matmul", ["ops.matmul"]),
        ("losses.loss", "import minidl.layers\nfrom minidl._typing import Array\nimport numpy", ["layers"]),
        ("training.run", "from minidl.training.callbacks import Callback", ["training.callbacks"]),
    ],
)
def test_a_wrong_arrow_is_seen(name: str, source: str, wrong: list[str]) -> None:
    assert wrong_arrows(name, source) == wrong


def test_one_training_step_can_be_read_in_900_lines() -> None:
    assert sum(len((PACKAGE / f"{name}.py").read_text().splitlines()) for name in ONE_STEP) <= 900


@pytest.mark.parametrize("name", FILES)
def test_files_and_functions_are_short(name: str) -> None:
    source = FILES[name].read_text()
    assert len(source.splitlines()) <= 220
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            length = (node.end_lineno or 0) - node.lineno + 1 - (len(docstring.splitlines()) if docstring else 0)
            assert length <= 40, f"{node.name}: {length} lines"


# Words that a reader has to decode, where the field has a plain term.
PICTURE_LANGUAGE = re.compile(
    r"\b(lets? go of|sees? to (it|that)|tells? whether|nobody|whoever|had better|is told of|spelt out|holders?)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("name", FILES)
def test_the_language_is_plain(name: str) -> None:
    assert PICTURE_LANGUAGE.findall(FILES[name].read_text()) == []


def test_import_needs_numpy_and_pillow_only() -> None:
    program = (
        "import sys; import minidl, minidl.data.image_folder, minidl.testing; "
        "files = {name for name, module in sys.modules.items() if getattr(module, '__file__', None)}; "
        "print(*{name.split('.')[0] for name in files} - set(sys.stdlib_module_names))"
    )
    known = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names = set(result.stdout.split()) - {name.split(".")[0] for name in known.stdout.split()}
    assert names == {"minidl", "numpy", "PIL"}


def test_import_loads_nothing_that_only_some_programs_need() -> None:
    later = {
        "numpy.random",
        "concurrent.futures",
        "json",
        "zipfile",
        "hashlib",
        "csv",
        "inspect",
        "PIL",
        "matplotlib",
        "tqdm",
        "tensorboard",
    }
    program = "import numpy, sys; before = set(sys.modules); import minidl; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert later & set(result.stdout.split()) == set()


MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(PACKAGE)], "minidl.") if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    needs = {"minidl.sklearn": "sklearn", "minidl.interchange.onnx": "onnx", "minidl.distributed": "mpi4py"}
    for prefix, needed in needs.items():
        if name.startswith(prefix):
            pytest.importorskip(needed)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS, extraglobs={"np": np})
    assert result.failed == 0


@pytest.mark.parametrize("name", minidl.__all__)
def test_public_names_are_documented_with_an_example(name: str) -> None:
    thing = getattr(minidl, name)
    text = inspect.getdoc(thing) or ""
    assert text.partition("\n")[0].endswith(".")
    no_example = ("Loss", "Optimizer", "Run")  # base classes, and what only a trainer makes, have nothing to run
    assert ">>>" in text or name in no_example
    for method_name, method in inspect.getmembers(thing, inspect.isfunction):
        if not method_name.startswith("_"):
            assert inspect.getdoc(method), f"{name}.{method_name}"


def test_eager_import_finds_every_public_name() -> None:
    program = (
        "import typing, minidl, minidl.data, minidl.reports\n"
        "for package in (minidl, minidl.data, minidl.reports):\n"
        "    print(*sorted(set(package.__all__) - set(vars(package))))\n"
        "print(typing.get_type_hints(minidl.Dense.__init__)['weight_init'])"
    )
    lines = {}
    for eager in ("", "1"):
        environment = {**os.environ, "EAGER_IMPORT": eager}
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        lines[eager] = result.stdout.splitlines()
    assert lines[""][2] == "ClassificationReport classification_report draw_contact_sheet"
    assert lines["1"][:3] == ["", "", ""]
    assert "Callable" in lines["1"][3]
