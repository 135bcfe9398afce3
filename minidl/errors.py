"""Every exception that the library raises on purpose; all of them can be pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class LayerInputError(ValueError):
    """An input that a layer cannot take; the message names the layer's path in the network and the layer.

    Attributes: `layer` is the layer itself (its `repr` after pickling), `problem` what was required and received, and
    `path` the name of the layer in the network that was called, as in `state_dict`; empty for the network itself.

    >>> print(LayerInputError("ReLU()", "expected floating numbers, received dtype int64", "2"))
    layer 2, ReLU(): expected floating numbers, received dtype int64
    """

    def __init__(self, layer: object, problem: str, path: str = "") -> None:
        place = f"layer {path}, " if path else ""
        super().__init__(f"{place}{layer if isinstance(layer, str) else repr(layer)}: {problem}")
        self.layer, self.problem, self.path = layer, problem, path

    def at(self, path: str) -> LayerInputError:
        """Return the same error with another path."""
        return LayerInputError(self.layer, self.problem, path)

    def __reduce__(self) -> tuple[Any, ...]:
        name = self.layer if isinstance(self.layer, str) else repr(self.layer)  # a layer itself may not be picklable
        return type(self), (name, self.problem, self.path)


class ModelFileError(ValueError):
    """A model file or checkpoint that is damaged, of another kind, or does not hold what it should.

    >>> raise ModelFileError("cat.npz: damaged, or not a minidl model: File is not a zip file")
    Traceback (most recent call last):
    minidl.errors.ModelFileError: cat.npz: damaged, or not a minidl model: File is not a zip file
    """


class ImageFileError(ValueError):
    """A file that cannot be read as a picture.

    Attributes: `path`, or what it was read from, and `reason`, why it cannot be read.

    >>> print(ImageFileError(Path("cat.jpg"), "the file is empty"))
    cat.jpg: the file is empty
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


class NonFiniteError(FloatingPointError):
    """The cost or a parameter became NaN or infinite; the weights of the last completed epoch are kept.

    >>> from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
    >>> model = mlp([1, 1], rng=0)
    >>> trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=1e39))
    >>> try:
    ...     trainer.fit([[1.0], [2.0]], [0, 1], epochs=5, print_every=None)
    ... except NonFiniteError as error:
    ...     print("try a learning rate below 1e+39" in str(error))
    True
    """


class StuckWarning(UserWarning):
    """The cost has stayed at the baseline loss, that of a network which knows only how frequent the classes are.

    A run warns once, and goes on.

    >>> import warnings
    >>> warnings.simplefilter("ignore", StuckWarning)  # where it is expected
    """


class GradientError(AssertionError):
    """A gradient that disagrees with the difference quotient, has a wrong shape, or is missing.

    >>> issubclass(GradientError, AssertionError)
    True
    """


class ContractError(AssertionError):
    """A layer or loss that breaks the contract.

    >>> issubclass(ContractError, AssertionError)
    True
    """
