"""Molecules as lists of bonds: messages summed, gated, looked at and read out; and where molecules boil."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_third as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    biased,
    constant,
    explained,
    frozen,
    huber,
    lion,
    nadam,
    norm_clipped,
    normal,
    of_a_copy,
    one_cycle,
    rmsprop,
    squared_error,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of

ATOMS, KINDS = tasks.ATOMS, tasks.KINDS


def bonds_of(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features of all atoms of a batch one below the other, and from where to where each bond goes."""
    bonds, kind = x.split([ATOMS, KINDS], 2)
    graph, one, other = bonds.nonzero(as_tuple=True)
    return kind.flatten(0, 1), graph * ATOMS + one, graph * ATOMS + other


class Layer(nn.Module):
    """Messages along the bonds.

    Args:
        width: Of an atom.
        how: ``sum`` through a network of the sum (GIN; Xu et al. 2019), ``pair`` of both atoms (Gilmer et al. 2017),
            ``gru`` into a state (Li et al. 2016), ``look`` by attention (Veličković et al. 2018).
        act: Of messages.
    """

    def __init__(self, width: int, how: str, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.message = nn.Linear(2 * width if how == "pair" else width, width)
        self.update = nn.GRUCell(width, width) if how == "gru" else nn.Linear(width, width)
        self.look = nn.Linear(2 * width, 1) if how == "look" else None
        self.how, self.act = how, act

    def forward(self, h: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """(atoms, width) to the same."""
        if self.how == "pair":
            sent = self.act(self.message(torch.cat([h[source], h[target]], 1)))
        elif self.look is not None:
            value = F.leaky_relu(self.look(torch.cat([h[source], h[target]], 1)), 0.2).clamp(max=10).exp()
            total = torch.zeros(len(h), 1).index_add(0, target, value).clamp(min=1e-6)
            sent = self.message(h)[source] * value / total[target]
        else:
            sent = self.message(h)[source]
        got = torch.zeros_like(h).index_add(0, target, sent)
        if self.how == "gru":
            return self.update(got, h)
        return self.update(self.act(h + got))


class Graph(nn.Module):
    """Layers, atoms summed up, and a head."""

    def __init__(
        self,
        outputs: int = 4,
        width: int = 32,
        depth: int = 2,
        how: str = "sum",
        act: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] | None = nn.BatchNorm1d,
        shortcut: bool = False,
        dropout: float = 0.0,
        softmax: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(KINDS, width)
        self.layers = nn.ModuleList(Layer(width, how, act) for _ in range(depth))
        self.norms = nn.ModuleList(norm(width) if norm else nn.Identity() for _ in range(depth))
        self.hidden, self.drop, self.head = nn.Linear(width, width), nn.Dropout(dropout), nn.Linear(width, outputs)
        self.act, self.shortcut, self.softmax, self.cut = act, shortcut, softmax, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, atoms, bonds and kinds) to (batch, outputs)."""
        h, source, target = bonds_of(x)
        h = self.embed(h)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            new = self.act(norm(layer(h, source, target)))
            h = h + new if self.shortcut else new
        h = h.unflatten(0, (-1, ATOMS)).sum(1) / ATOMS**0.5
        y = self.head(self.drop(self.act(self.hidden(h.detach() if self.cut else h))))
        return y.softmax(1) if self.softmax else y


def ordinal(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy, and the distance of the mean range told from the right one."""
    logits = model(batch[0])
    mean = (logits.softmax(1) * torch.arange(4)).sum(1)
    return F.cross_entropy(logits, batch[1]) + 0.3 * F.l1_loss(mean, batch[1].float())


healthy = healthy_of("molecules", network=Graph, task=tasks.molecules, optimizer=adam(5e-3), steps=150)
BOIL: dict[str, Any] = {"outputs": 1, "task": tasks.boiling, "loss": squared_error, "metric": explained}

summed = healthy("summed", 0.67, 0.25)
pairs = healthy(
    "pairs-ordinal", 0.7, 0.25, how="pair", norm=nn.LayerNorm, act=F.silu, loss=ordinal, optimizer=adamw(5e-3)
)
gated = healthy(
    "gated-states",
    0.54,
    0.25,
    how="gru",
    norm=None,
    act=torch.tanh,
    depth=3,
    optimizer=norm_clipped(rmsprop(3e-3), 1.0),
)
boil = healthy(
    "boiling-summed", 0.73, 0.0, shortcut=True, act=F.gelu, optimizer=one_cycle(adam(1e-3), 1e-2, 150), **BOIL
)
boil_look = healthy(
    "boiling-looked-at",
    0.61,
    0.0,
    how="look",
    norm=nn.LayerNorm,
    shortcut=True,
    act=F.elu,
    loss=huber,
    optimizer=nadam(5e-3),
    batch_size=32,
    **{key: value for key, value in BOIL.items() if key != "loss"},
)
boil_pairs = healthy(
    "boiling-pairs-deep",
    0.72,
    0.0,
    how="pair",
    norm=nn.LayerNorm,
    shortcut=True,
    depth=4,
    dropout=0.1,
    optimizer=warmed(undecayed(torch.optim.AdamW, 0.1, lr=3e-3), 20),
    **BOIL,
)
boil_lion = healthy(
    "boiling-gated-lion", 0.6, 0.0, how="gru", norm=None, act=F.softplus, optimizer=lion(2e-3), batch_size=64, **BOIL
)

PROGRAMS = (
    summed,
    pairs,
    pairs.but("slipped", kinds.SHUFFLED_LABELS, task=lambda: tasks.off_by_one(tasks.molecules(), 0.6, 4), watched=150),
    gated,
    boil,
    boil.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(one_cycle(adam(1e-3), 1e-2, 150))),
    boil.but("dead", kinds.DEAD_BY_BIAS.at("hidden"), act=F.relu, change=biased(-200.0, "hidden")),
    boil_look,
    boil_look.but("alike", kinds.SYMMETRIC.at("embed", "layers*", "hidden", "head"), draw=constant(0.05)),
    boil_pairs,
    boil_pairs.but(
        "weights-large", kinds.LARGE_WEIGHTS.at("embed", "layers*", "hidden", "head"), draw=normal(2.0), norm=None
    ),
    boil_lion,
    boil_lion.but("layers-frozen", kinds.FROZEN.at("layers*"), change=frozen("embed", "layers", "hidden")),
)
