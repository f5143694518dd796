"""What normalisation remedies share: which hidden activations get a normalisation before them."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from headwater.probes.classify import module_kind
from headwater.remedies.edits_insert import Beside, InsertBeside
from headwater.remedies.order import Order, Step, hidden_activations
from headwater.remedies.places import aliases, beside, hidden_modules, is_dropout, refuse_functions, refuse_reused
from headwater.remedies.remedy import NotApplicableError

SEQUENTIAL = ("embedding", "recurrent", "attention")

Normalisation = Callable[[str, Any, tuple[int, ...], Order], tuple[str, tuple[int, ...]]]


def normalise(
    remedy_id: str, normalisation: Normalisation, model: nn.Module, order: Order
) -> tuple[InsertBeside, list[str]]:
    """The edit that puts a normalisation before each hidden activation that follows an affine map, and those maps.

    Args:
        remedy_id: For messages.
        normalisation: ``normalisation(name, layer, shape of its output, order)`` gives class and arguments.
        model: The model to plan for.
        order: Its execution order.

    Raises:
        NotApplicableError: If there is no such place, or one that no module can be put in.
    """
    pairs = _pairs(model, order)
    if not pairs:
        hidden_modules(remedy_id, model, order)
        raise NotApplicableError(
            f"{remedy_id}: each hidden activation of {type(model).__name__} is normalised already, or follows no "
            "linear or convolutional layer."
        )
    steps = [step for _, step in pairs]
    refuse_functions(remedy_id, steps)
    refuse_reused(remedy_id, steps, order)
    places = []
    for layer, step in pairs:
        module = model.get_submodule(layer.module)
        if not isinstance(module, _ConvNd) and units_last(module) is None:
            raise NotApplicableError(
                f"{remedy_id}: {layer.module!r} is a {type(module).__name__}, whose units are not known; nn.Linear and "
                "convolutions go."
            )
        kind, arguments = normalisation(layer.module, module, layer.shape, order)
        places.append(Beside(aliases(model, step.module), kind, arguments, beside(model, layer.module)))
    return InsertBeside(tuple(places), "before", "normalization"), [layer.module for layer, _ in pairs]


def units_last(layer: Any) -> int | None:
    """Units of a layer that gives them in the last dimension: ``nn.Linear`` or GPT-2's Conv1D; ``None`` of others."""
    if isinstance(layer, nn.Linear):
        return layer.out_features
    units = getattr(layer, "nf", None)
    return units if isinstance(units, int) and module_kind(layer) == "affine" else None


def refuse_sequences(remedy_id: str, name: str, shape: tuple[int, ...], order: Order, why: str) -> None:
    """Refuse a linear layer whose output has, or may have, more dimensions than batch and units.

    Raises:
        NotApplicableError: The message ends in ``why``.
    """
    kinds = {step.kind for step in order}
    if len(shape) > 2 or (not shape and kinds & set(SEQUENTIAL)):
        seen = f"gives {len(shape)}-dimensional output" if shape else "may be part of a model of sequences"
        raise NotApplicableError(
            f"{remedy_id}: {name!r} {seen}, {why}. normalisation.layer is made for that"
            + ("." if shape else "; or measure the shapes: report=hw.check(model, batch, loss).")
        )


def unshared_biases(model: nn.Module, order: Order, layers: list[str]) -> tuple[str, ...]:
    """Those of the layers whose bias the batch's mean takes out: nothing else runs on their output."""
    if any(step.kind == "join" for step in order):
        return ()
    return tuple(
        name
        for name in dict.fromkeys(layers)
        if model.get_submodule(name)._parameters.get("bias") is not None
        and sum(step.module == name and step.kind == "affine" for step in order) == layers.count(name)
    )


def _pairs(model: nn.Module, order: Order) -> list[tuple[Step, Step]]:
    """Each affine map with the hidden activation that is the next thing to happen, pooling and dropout apart."""
    hidden = {id(step) for step in hidden_activations(order)}
    pairs = []
    last: Step | None = None
    for step in order:
        if step.kind == "affine":
            last = step
        elif id(step) in hidden and last is not None:
            pairs.append((last, step))
            last = None
        elif step.kind != "pooling" and not is_dropout(model, step):
            last = None
    return pairs
