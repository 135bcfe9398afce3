"""In which order the features behind a Flatten lie in PyTorch, whose pictures have their channels first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from minidl import layers
from minidl._samples import holds_shapes
from minidl._summary import call_with_sample, checked_shape
from minidl._typing import Array
from minidl._validation import shown
from minidl.containers import Masked, Parallel, Residual, Sequential
from minidl.module import Module

FlattenOrder = Literal["channels_first", "channels_last"]

CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.ConvTranspose2D)
POOLS = (layers.AveragePool1D, layers.AveragePool2D, layers.MaxPool1D, layers.MaxPool2D, layers.UpSample2D)
GLOBAL_POOLS = (layers.GlobalAveragePool1D, layers.GlobalAveragePool2D, layers.GlobalMaxPool1D, layers.GlobalMaxPool2D)
OF_LAST_AXIS = (layers.LayerNorm, layers.RMSNorm)
OF_CHANNELS = (layers.BatchNorm, layers.PReLU)
OF_SEQUENCES = (layers.Embedding, layers.PositionalEmbedding, layers.SelfAttention)
ELEMENTWISE = (
    *(layers.Dropout, layers.Normalize, layers.Rescale, layers.Softmax, layers.LogSoftmax, layers.Softplus),
    *(layers.ELU, layers.GELU, layers.HardSwish, layers.LeakyReLU, layers.ReLU, layers.ReLU6, layers.SELU),
    *(layers.SiLU, layers.Sigmoid, layers.Tanh),
)

GIVE_ORDER = (
    "give input_shape, the shape of one sample, or flatten='channels_first' or 'channels_last', the order in which "
    "PyTorch's network lays them out; a layer of your own belongs in front of the Flatten"
)
USE_DENSE = "put a Dense in between, or give flatten='channels_last' where PyTorch's network has that order"
USE_CONTAINERS = (
    "make a Sequential of this part, or give flatten='channels_last' where PyTorch's network has that order"
)


class Order(NamedTuple):
    """How PyTorch holds what minidl holds with channels last, and how many channels, None where that is not known.

    "rows" are (batch, features), and "last" are sequences, alike in both; of "first" ones the channels are PyTorch's
    second axis; the features of "flat" rows lie channel by channel in PyTorch and pixel by pixel here. "either" comes
    behind layers for which PyTorch's network must have moved the axis, perhaps back, too; the rest is "unknown".
    """

    kind: Literal["rows", "last", "first", "flat", "either", "unknown"]
    channels: int | None = None


UNKNOWN, ROWS = Order("unknown"), Order("rows")


def flat_channels(model: Module, input_shape: Any, flatten: FlattenOrder | None) -> dict[int, int]:
    """Return, by the `id` of a layer, the channels of the pictures that its input's features were before a Flatten.

    Arguments: `input_shape` of one sample, or None; `flatten`, the order of all features, or None for that of layers.

    Raises: TypeError for a model of another kind; ValueError for such arguments, and naming the layer where the order
    is not known.
    """
    check_is_module(model)
    if flatten is not None and (not isinstance(flatten, str) or flatten not in get_args(FlattenOrder)):
        raise ValueError(f"flatten: expected 'channels_first', 'channels_last' or None, received {shown(flatten)}")
    shapes: dict[int, tuple[int, ...]] = {}
    inputs: Any = UNKNOWN
    if input_shape is not None:
        input_shape = checked_shape(input_shape)

        def note(module: Module, x: Any, _: Array) -> None:
            if isinstance(module, layers.Flatten):
                shapes[id(module)] = x.shape

        call_with_sample(model, input_shape, note)
        inputs = [_of_input(shape) for shape in input_shape] if holds_shapes(input_shape) else _of_input(input_shape)
    walk = _Walk(model, shapes, flatten)
    walk.after(model, inputs)
    return walk.channels


def check_is_module(model: Any) -> None:
    """Raise a TypeError for a network of another framework, given in the place of minidl's."""
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a Module, received {shown(model)}")


def _of_input(shape: tuple[int, ...]) -> Order:
    if holds_shapes(shape):
        return UNKNOWN
    return Order({1: "rows", 3: "first"}.get(len(shape), "unknown"), shape[-1] if shape else None)  # type: ignore[arg-type]


class _Walk:
    """One walk through the layers of a network, in the order of its data."""

    def __init__(self, model: Module, shapes: Mapping[int, tuple[int, ...]], flatten: FlattenOrder | None) -> None:
        self.paths = {id(module): path for path, module in model.named_modules()}
        self.shapes, self.flatten = shapes, flatten
        self.channels: dict[int, int] = {}

    def after(self, module: Module, order: Any) -> Order:
        """Return the order of a module's output, given its input's (a list of those of a tuple of inputs)."""
        if isinstance(module, (Sequential, Parallel)):
            forward = type(module).forward
            if forward in (Sequential.forward, Masked.forward):
                return self._row(module, order)
            if forward is Residual.forward:
                shortcut: Any = module.shortcut  # type: ignore[union-attr]
                past = order if shortcut is None else self.after(shortcut, order)
                return self._merged(module, [self._row(module, order), past], "sum")
            if forward is Parallel.forward and isinstance(module, Parallel):
                inputs = order if isinstance(order, list) else [order] * len(module.branches)
                outputs = [self.after(branch, one) for branch, one in zip(module.branches, inputs, strict=True)]
                return self._merged(module, outputs, module.merge)
        order = UNKNOWN if isinstance(order, list) else order
        if isinstance(module, layers.Flatten) and type(module).forward is layers.Flatten.forward:
            return self._flattened(module, order)
        if order.kind == "flat" and any(True for _ in module.named_state()):
            return self._behind_flatten(module, order)
        return self._of_layer(module, order)

    def _row(self, module: Any, order: Any) -> Order:
        for layer in module.layers:
            order = self.after(layer, order)
        return order  # type: ignore[no-any-return]

    def _merged(self, module: Module, outputs: Sequence[Any], merge: str) -> Order:
        orders = [UNKNOWN if isinstance(order, list) else order for order in outputs]
        flat = [order for order in orders if order.kind == "flat"]
        if flat and (merge == "concatenate" or len(set(orders)) > 1):
            raise self._unknown(module, "puts features behind a Flatten together with others", USE_DENSE)
        known = [order for order in orders if order.kind != "unknown"]
        if len({order.kind for order in known}) != 1:
            return Order("either") if known else UNKNOWN
        if merge != "concatenate":
            return max(known, key=lambda order: order.channels or 0)  # they are alike, as far as they are known
        counts = [order.channels for order in orders]
        return Order(known[0].kind, None if None in counts else sum(filter(None, counts)))

    def _flattened(self, module: Module, order: Order) -> Order:
        shape = self.shapes.get(id(module))
        is_row = order.kind in ("rows", "flat") or (shape is not None and len(shape) == 2)
        if is_row or self.flatten == "channels_last":
            return order if is_row and order.kind == "flat" else ROWS
        if order.kind == "last" and self.flatten is None:
            return ROWS
        is_picture = order.kind == "unknown" and shape is not None and len(shape) == 4
        is_first = order.kind == "first" or self.flatten is not None or is_picture
        return Order("flat", (shape[-1] if shape else order.channels) if is_first else None)

    def _behind_flatten(self, module: Module, order: Order) -> Order:
        """Note the channels of a layer whose weights belong to features behind a Flatten."""
        if isinstance(module, layers.PReLU) and module.features == 1:
            return order
        if order.channels is None:
            raise self._unknown(module, "stands behind a Flatten of arrays whose order in PyTorch is not known")
        is_known = isinstance(
            module, (layers.Dense, layers.BatchNorm, layers.LayerNorm, layers.RMSNorm, layers.PReLU, layers.Normalize)
        )
        width = getattr(module, "in_features", getattr(module, "features", 0))
        if not is_known:
            raise self._unknown(module, "stands behind a Flatten and may do anything with its features", USE_CONTAINERS)
        if width % order.channels:
            problem = f"stands behind a Flatten of {order.channels} channels, of which {width} features are no multiple"
            raise self._unknown(module, problem, "give the layer the size of what is flattened")
        self.channels[id(module)] = order.channels
        return Order("rows", module.out_features) if isinstance(module, layers.Dense) else order

    def _of_layer(self, module: Module, order: Order) -> Order:
        if isinstance(module, CONVOLUTIONS):
            return Order("first", module.out_channels)
        if isinstance(module, layers.GroupNorm):
            return Order("first", module.channels)
        if isinstance(module, POOLS):
            return Order("first", order.channels)
        if isinstance(module, GLOBAL_POOLS):
            return Order("rows", order.channels)
        if isinstance(module, (layers.LSTM, layers.GRU)):
            width = module.units * (2 if module.bidirectional else 1)
            return Order("last" if module.return_sequence else "rows", width)
        if isinstance(module, OF_SEQUENCES):
            return Order("last", module.features)
        if isinstance(module, (layers.Dense, *OF_LAST_AXIS)):
            width = module.out_features if isinstance(module, layers.Dense) else module.features
            kind = {"first": "either", "unknown": "last"}.get(order.kind, order.kind)  # rows, or sequences
            return Order(kind, width)  # type: ignore[arg-type]
        if isinstance(module, OF_CHANNELS):
            if module.features == 1:
                return order
            if order.kind == "unknown":
                return Order("unknown", module.features)
            return Order("either", order.channels) if order.kind == "last" else order
        if isinstance(module, ELEMENTWISE):
            return order
        return self._of_other(module, order)

    def _of_other(self, module: Module, order: Order) -> Order:
        """Walk through the parts of a module whose own `forward` says how data flow between them."""
        for _, child in module.named_children():
            if self.after(child, UNKNOWN).kind == "flat":
                raise self._unknown(
                    module, "has a Flatten and a `forward` of its own, which says what follows it", USE_CONTAINERS
                )
        return Order(order.kind) if order.kind in ("flat", "either") else UNKNOWN

    def _unknown(self, module: Module, problem: str, advice: str = GIVE_ORDER) -> ValueError:
        path = self.paths.get(id(module), "")
        place = f"layer {path}, " if path else ""
        return ValueError(f"{place}{module!r}: it {problem}; {advice}")
