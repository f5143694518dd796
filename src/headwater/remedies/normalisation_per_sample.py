"""Each batch normalisation becomes one that looks at samples by themselves.

Group normalisation with the same scale and shift, over groups of at least 16 channels, at most 32 of them; behind
linear layers over all units, which is layer normalisation. Samples do not see each other, there are no statistics to
gather, and the evaluated network is the one that was trained. New scales and shifts, which begin as the old ones are,
join a parameter group of the optimizer without weight decay.

Applies to ``nn.BatchNorm`` modules, wherever they stand. Against batches of a few values: their variance is known to
√(2/(n - 1)) of itself. Wrong where batches can be made larger, and where the size of a sample's signal is information;
a trained model gives other outputs at first. Costs about as much as before. Applied twice, there is nothing left to
change.

Source: Wu and He 2018, arXiv:1803.08494, figure 1, for batches of 2; Ba, Kiros, Hinton 2016, arXiv:1607.06450.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from headwater.remedies.edits import Edit, set_everywhere, wrapped
from headwater.remedies.normalisation_group import groups_of
from headwater.remedies.order import Order
from headwater.remedies.places import names_of
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "normalisation.per_sample"


def per_sample(norm: nn.modules.batchnorm._BatchNorm, groups: int) -> nn.Module:
    """The group normalisation that takes a batch normalisation's place, with its scale and shift."""
    new = nn.GroupNorm(groups, norm.num_features, norm.eps, norm.affine)
    if norm.affine:
        new.to(norm.weight)
        with torch.no_grad():
            new.weight.copy_(norm.weight)
            new.bias.copy_(norm.bias)
    return new.train(norm.training)


@dataclass(frozen=True)
class PerSample(Edit):
    """Put group normalisations in the place of batch normalisations.

    Attributes:
        places: Every name each goes by, and in how many groups.
    """

    places: tuple[tuple[tuple[str, ...], int], ...]

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The places: scales and shifts are new parameters."""
        return tuple(names[0] for names, _ in self.places)

    def apply(self, model: nn.Module) -> None:
        """In place."""
        for names, groups in self.places:
            norm = model.get_submodule(names[0])
            assert isinstance(norm, _BatchNorm)  # as planned
            new = per_sample(norm, groups)
            for name in names:
                model.set_submodule(name, new)

    def lines(self) -> list[str]:
        """A loop over those of one name, and a block for each that has several."""
        lines = []
        for (groups, several), run in groupby(self.places, key=lambda place: (place[1], len(place[0]) > 1)):
            if several:
                for names, _ in run:
                    lines.append(f"shared = per_sample(model.get_submodule({names[0]!r}), {groups})")
                    lines += set_everywhere(names, "shared")
                continue
            lines += [
                f"for name in {wrapped([names[0] for names, _ in run], indent=4)}:",
                f"    model.set_submodule(name, per_sample(model.get_submodule(name), {groups}))",
            ]
        return lines

    def definitions(self) -> tuple[Any, ...]:
        """What makes one of the other."""
        return (per_sample,)


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    places: dict[tuple[str, ...], int] = {}
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and name:
            units = module.num_features
            places[names_of(model, name)] = 1 if isinstance(module, nn.BatchNorm1d) else groups_of(units)
    if not places:
        raise NotApplicableError(
            f"{ID}: {type(model).__name__} has no batch normalisation; normalisation.layer puts in what looks at "
            "samples by themselves."
        )
    return (PerSample(tuple(places.items())),)


REMEDY = Remedy(ID, _plan)
