"""Standardised inputs: each feature less its mean, over its spread, in front of the layers that take the data.

Initialisations and learning rates are made for inputs of mean 0 and variance 1; a first layer that sees bytes has a
gradient 255 times as long, and a curvature 65,025 times. Mean and spread of each feature (channel of an image) are
taken of the first batches and stand in the patch as numbers; above 1,024 features one of each serves all. A feature
that hardly ever varies counts as a tenth of the usual spread. The layer gets a module round it, ``Standardised``, so
its name grows by ``.layer``; all else of it can still be asked for. Where all that is not standard is joined with what
weights have made of other data (numbers beside embedded codes), those features alone are standardised. Better done in
the data pipeline once it is known to help. Wrong for indices, one-hot or sparse inputs, and where a scale means
something across features (spectra). Costs two operations on the input per step. Applied twice, there is nothing left to
change.

Source: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", section 4.3.
"""

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from headwater.probes.classify import module_kind
from headwater.probes.measure import checked_loss
from headwater.probes.tree import own_copy
from headwater.remedies.data import Data
from headwater.remedies.edits import Edit, set_everywhere, wrapped
from headwater.remedies.gradients import rounded
from headwater.remedies.joined_data import joined_data
from headwater.remedies.order import Order
from headwater.remedies.places import names_of
from headwater.remedies.remedy import NotApplicableError, Remedy
from headwater.remedies.scale_of_data import feature_axis, is_standard, scale_of
from headwater.remedies.standardised import Standardised

ID = "data.standardise"


@dataclass(frozen=True)
class Standardise(Edit):
    """Put a layer behind numbers that take the scale of its input out.

    Attributes:
        names: Every name the layer goes by.
        mean: As nested lists that go with the input from behind.
        std: The same.
    """

    names: tuple[str, ...]
    mean: Any
    std: Any

    @property
    def renames(self) -> bool:
        """The layer's name grows."""
        return True

    def apply(self, model: nn.Module) -> None:
        """One module for all names."""
        new = Standardised(model.get_submodule(self.names[0]), self.mean, self.std)
        for name in self.names:
            model.set_submodule(name, new)

    def lines(self) -> list[str]:
        """The numbers, and the module."""
        return [
            "# of the first batches",
            f"mean = {self._written(self.mean)}",
            f"std = {self._written(self.std)}",
            f"standardised = Standardised(model.get_submodule({self.names[0]!r}), mean, std)",
            *set_everywhere(self.names, "standardised"),
        ]

    def _written(self, numbers: Any) -> str:
        return wrapped(numbers, indent=4) if isinstance(numbers, list) else repr(numbers)

    def definitions(self) -> tuple[Any, ...]:
        """The module's class."""
        return (Standardised,)

    def order_after(self, order: Order) -> Order:
        """The layer has another name."""
        return tuple(
            replace(step, module=f"{step.module}.layer") if step.module in self.names else step for step in order
        )


class _Inputs:
    """What arrives at one layer.

    Attributes:
        weights: Of the model, by ``id``.
        data: What no weight has had a part in.
        computed: Whether anything else came too.
    """

    def __init__(self, weights: set[int]) -> None:
        self.weights = weights
        self.data: list[Tensor] = []
        self.computed = False

    def note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next((v for v in chain(args, kwargs.values()) if isinstance(v, Tensor)), None)
        if given is None or not given.is_floating_point() or given.dim() < 2 or not torch.is_grad_enabled():
            return
        if given.requires_grad and self._has_a_weight(given):
            self.computed = True
        else:
            self.data.append(given.detach())

    def _has_a_weight(self, given: Tensor) -> bool:
        """Whether a weight had a part in it; who differentiates a network by its input lets the data ask for a
        gradient too.
        """
        if given.grad_fn is None:
            return id(given) in self.weights
        waiting, seen = [given.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if id(getattr(node, "variable", None)) in self.weights:
                return True
            waiting += [before for before, _ in node.next_functions if before is not None]
        return False


def _plan(model: nn.Module, order: Order, seed: int, data: Data) -> tuple[Edit, ...]:
    edits = []
    for name, inputs in _inputs(model, data).items():
        if inputs.computed or not inputs.data or _is_standardised(model, name):
            continue
        layer = model.get_submodule(name)
        mean, std = scale_of(inputs.data, feature_axis(layer))
        if is_standard(mean, std):
            continue
        edits.append(_before(model, name, mean, std))
    if not edits:
        joined = joined_data(model, data, seed)
        edits = [_before(model, name, *joined[name]) for name in joined if not _is_standardised(model, name)]
    if not edits:
        raise NotApplicableError(
            f"{ID}: no layer of {type(model).__name__} takes numbers of the data that are not standardised already "
            "(mean 0 and spread 1; indices of an embedding have no scale). normalisation.batch keeps the scale of "
            "hidden layers."
        )
    _refuse_what_breaks(model, edits, data)
    return tuple(edits)


def _before(model: nn.Module, name: str, mean: Tensor, std: Tensor) -> Standardise:
    names = names_of(model, name)
    return Standardise(names, _written(mean), _written(std))


def _refuse_what_breaks(model: nn.Module, edits: list[Standardise], data: Data) -> None:
    """A forward that reaches into a layer, as ``functional_call`` with weights of another does, finds another module.

    Raises:
        NotApplicableError: If the model does not run any more.
    """
    for edit in edits:
        edit.apply(model)
    try:
        data.loss(model, own_copy(data.batches[0]))
    except Exception as error:
        raise NotApplicableError(
            f"{ID}: with a module before {edits[0].names[0]!r} the model does not run any more "
            f"({type(error).__name__}: {error}). Standardise where the data are loaded instead: x = (x - mean) / std."
        ) from error


def _inputs(model: nn.Module, data: Data) -> dict[str, _Inputs]:
    """What arrives at each layer with weights; all of these count as trained: what none has had a part in is data."""
    found: dict[str, _Inputs] = {}
    weights = {id(parameter) for parameter in model.parameters()}
    for name, module in model.named_modules():
        if name and module_kind(module) in ("affine", "recurrent"):
            found[name] = _Inputs(weights)
            module.register_forward_pre_hook(found[name].note, with_kwargs=True)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    for batch in data.batches:
        checked_loss(model, batch, data.loss)
    return found


def _is_standardised(model: nn.Module, name: str) -> bool:
    """Whether ours, or one from a pasted patch, stands round it."""
    return type(model.get_submodule(name.rpartition(".")[0])).__name__ == Standardised.__name__


def _written(numbers: Tensor) -> Any:
    """Nested lists of numbers as the patch has them."""
    return tree_map(rounded, numbers.tolist())


REMEDY = Remedy(ID, _plan, needs_data=True)
