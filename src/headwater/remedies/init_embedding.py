"""Vectors of embeddings drawn anew at unit length: N(0, 1/d) for vectors of d numbers.

A normalised state meets such a vector with a product of variance 1, so that logits over tied vectors begin near a
guess, and a sum or a product of a few of them near 1. ``nn.Embedding`` draws N(0, 1), vectors √d long: what is added to
them (places) or learnt beside them is small against that, tied logits are √d too large, and Adam's steps of one rate
take √d times as many to turn them. Behind the colon stands another length, as ``init.embedding:0.5`` for GPT-2's
N(0, 0.02²) of 768 numbers.

Applies to ``nn.Embedding`` and ``nn.EmbeddingBag`` that are trained; a layer tied to one shares what is drawn; the row
of a padding index stays zero. Frozen vectors, parametrised ones, and those of a single number, which are biases, are
left alone. Wrong for vectors that have been trained elsewhere: they are forgotten. Costs nothing.

Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.4, whose vectors are drawn so (tensor2tensor,
``symbol_modality``: std d^-0.5); Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
section 4.1, for N(0, 0.02²).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headwater.records import InputError
from headwater.remedies import seeds
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable

ID = "init.embedding"
BIASES = 1  # numbers in a vector


@dataclass(frozen=True)
class DrawVectors(Edit):
    """Draw the vectors of embeddings from N(0, std²).

    Attributes:
        embeddings: Name, std, and the row that stays zero (``None`` for none), in the order of the modules.
        seed: Seed of the generator that all of them draw from, in that order.
    """

    embeddings: tuple[tuple[str, float, int | None], ...]
    seed: int

    @property
    def redrawn(self) -> tuple[str, ...]:
        """The embeddings."""
        return tuple(name for name, _, _ in self.embeddings)

    def apply(self, model: nn.Module) -> None:
        """Draw on the CPU, so that the same seed gives the same vectors on every device."""
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for name, std, padding in self.embeddings:
                weight = model.get_parameter(f"{name}.weight")
                weight.copy_(torch.empty(weight.shape).normal_(0.0, std, generator=generator))
                if padding is not None:
                    weight[padding] = 0.0

    def lines(self) -> list[str]:
        """A row for each embedding."""
        return [
            "# Vectors of one length, whatever their width; the row of a padding index stays zero",
            "embeddings = [",
            *(f"    ({name!r}, {std!r}, {padding!r})," for name, std, padding in self.embeddings),
            "]",
            f"generator = torch.Generator().manual_seed({self.seed})",
            "with torch.no_grad():",
            "    for name, std, padding in embeddings:",
            "        weight = model.get_parameter(f'{name}.weight')",
            "        weight.copy_(torch.empty(weight.shape).normal_(0.0, std, generator=generator))",
            "        if padding is not None:",
            "            weight[padding] = 0.0",
        ]


def _plan(length: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    drawn: dict[int, tuple[str, float, int | None]] = {}
    for name, module in model.named_modules():
        if not isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            continue
        weight = module._parameters.get("weight")
        if weight is None or not weight.requires_grad or module.embedding_dim <= BIASES or not name:
            continue
        if weight.is_meta:
            raise InputError(f"the weight of {name!r} is on the meta device: materialise the model before repairing.")
        drawn.setdefault(id(weight), (name, length / module.embedding_dim**0.5, module.padding_idx))
    if not drawn:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no nn.Embedding inside it whose vectors are trained and have "
            "more than one number. init.by_activation draws its layers."
        )
    return (DrawVectors(tuple(drawn.values()), seed + seeds.DRAWN_VECTORS),)


REMEDY = adjustable(ID, Strength("the length of a vector, on average", 1.0, _plan))
