"""Parameter groups: parameters with a weight decay or a share of the learning rate of their own."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from minidl._validation import non_negative_number, shown
from minidl.optimizers.clipping import as_list
from minidl.parameter import Parameter


class Group(NamedTuple):
    """What an optimizer does differently for some parameters: None stands for its own weight decay."""

    learning_rate_factor: float = 1.0
    weight_decay: float | None = None


UNGROUPED = Group()


def decay_groups(parameters: Iterable[Parameter | tuple[str, Parameter]]) -> list[dict[str, Any]]:
    """Return two groups for an optimizer: matrices, which decay as it says, and vectors and numbers, which do not.

    Biases and the gains and shifts of normalization are vectors; kernels and tables of embeddings are matrices.

    Arguments: `parameters` are those of the optimizer, `model.parameters()` or `model.named_parameters()`.

    Raises: TypeError for something else.

    >>> from minidl import SGD, mlp
    >>> optimizer = SGD(decay_groups(mlp([2, 3, 1]).named_parameters()), weight_decay=0.01)
    >>> [group["weight_decay"] for group in decay_groups(mlp([2, 3, 1]).parameters()) if "weight_decay" in group]
    [0.0]
    """
    matrices: list[Any] = []
    vectors: list[Any] = []
    for i, item in enumerate(as_list(parameters, "decay_groups parameters")):
        parameter = item[1] if isinstance(item, tuple) and len(item) == 2 else item
        if not isinstance(parameter, Parameter):
            raise TypeError(f"decay_groups parameters[{i}]: expected a Parameter, received {shown(item)}")
        (matrices if parameter.data.ndim > 1 else vectors).append(item)
    groups: list[dict[str, Any]] = [{"parameters": matrices}, {"parameters": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["parameters"]]


def named(parameters: Any, kind: type) -> tuple[list[str], list[Parameter], list[Group]]:
    """Return names, parameters and their groups apart, once they are known to be sound for an optimizer of this kind.

    Raises: TypeError for something that is no Parameter; ValueError for none, one given twice, and unsound groups.
    """
    where = f"{kind.__name__} parameters"
    found: dict[str, Parameter] = {}
    items = ungrouped(as_list(parameters, where), where, "weight_decay" in inspect.signature(kind).parameters)
    for i, (item, _) in enumerate(items):
        name, parameter = item if isinstance(item, tuple) and len(item) == 2 else (str(i), item)
        if not isinstance(parameter, Parameter) or not isinstance(name, str):
            raise TypeError(
                f"{where}[{i}]: expected a Parameter, as in model.parameters(), or a pair (name, Parameter), as in "
                f"model.named_parameters(), received {shown(item)}"
            )
        if name in found or any(parameter is earlier for earlier in found.values()):
            raise ValueError(f"{where}[{name}]: {parameter!r} or its name is given twice")
        found[name] = parameter
    if not found:
        raise ValueError(f"{where}: expected at least one, received none")
    return list(found), list(found.values()), [group for _, group in items]


def ungrouped(items: list[Any], where: str, has_decay: bool) -> list[tuple[Any, Group]]:
    """Return each item of the groups among `items`, and each other item, with what holds for it.

    Raises: TypeError and ValueError for groups with other entries.
    """
    found: list[tuple[Any, Group]] = []
    for i, item in enumerate(items):
        if not isinstance(item, Mapping):
            found.append((item, UNGROUPED))
            continue
        place = f"{where}[{i}]"
        unknown = [name for name in item if name not in ("parameters", *Group._fields)]
        if "parameters" not in item or unknown:
            raise ValueError(
                f"{place}: expected a group of 'parameters' with a 'learning_rate_factor' or a 'weight_decay', "
                f"received the entries {', '.join(map(str, item))}"
            )
        settings = {name: non_negative_number(item[name], f"{place} {name}") for name in Group._fields if name in item}
        if "weight_decay" in settings and not has_decay:
            raise ValueError(f"{place}: expected no 'weight_decay', as the optimizer has none, received {item!r}")
        found += [(member, Group(**settings)) for member in as_list(item["parameters"], f"{place} parameters")]
    return found
