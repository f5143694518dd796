"""What people will like: factors of people and films, networks on both, towers that meet, and machines of pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Loss,
    adagrad,
    adam,
    adamw,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    explained,
    frozen,
    normal,
    of_the_first,
    probability_accuracy,
    redrawn,
    squared_error,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Factors(nn.Module):
    """The product of two vectors, and a bias for each of the two (Koren et al. 2009)."""

    def __init__(self, rank: int = 8, spread: float = 0.1, sparse: bool = False) -> None:
        super().__init__()
        self.people = nn.Embedding(tasks.USERS, rank, sparse=sparse)
        self.films = nn.Embedding(tasks.ITEMS, rank, sparse=sparse)
        self.mood = nn.Embedding(tasks.USERS, 1, sparse=sparse)
        self.fame = nn.Embedding(tasks.ITEMS, 1, sparse=sparse)
        for part in (self.people, self.films):
            nn.init.normal_(part.weight, 0.0, spread)
        for part in (self.mood, self.fame):
            nn.init.zeros_(part.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, person and film) to (batch, 1)."""
        person, film = x.unbind(1)
        return (self.people(person) * self.films(film)).sum(1, keepdim=True) + self.mood(person) + self.fame(film)


class Neural(nn.Module):
    """A product of factors beside layers on both vectors (He et al. 2017, NeuMF)."""

    def __init__(
        self,
        rank: int = 16,
        hidden: int = 64,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        dropout: float = 0.0,
        product: bool = True,
        sigmoid: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.person, self.film = nn.Embedding(tasks.USERS, rank), nn.Embedding(tasks.ITEMS, rank)
        self.deep = nn.ModuleList(nn.Linear(hidden if i else 2 * rank, hidden) for i in range(depth))
        self.last = nn.Linear(hidden + (rank if product else 0), 1)
        self.act, self.dropout, self.product, self.sigmoid, self.cut = act, dropout, product, sigmoid, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, person and film) to (batch, 1)."""
        one, other = self.person(x[:, 0]), self.film(x[:, 1])
        h = torch.cat([one, other], 1)
        for layer in self.deep:
            h = F.dropout(self.act(layer(h)), self.dropout, self.training)
        h = torch.cat([h, one * other], 1) if self.product else h
        y = self.last(h.detach() if self.cut else h)
        return torch.sigmoid(y) if self.sigmoid else y


class Towers(nn.Module):
    """A network for people, one for films, and how well the two vectors agree (Covington et al. 2016)."""

    def __init__(
        self, rank: int = 16, width: int = 32, activation: Callable[[], nn.Module] = nn.ReLU, cut: bool = False
    ) -> None:
        super().__init__()

        def tower(count: int) -> nn.Sequential:
            layers = nn.Embedding(count, rank), nn.Linear(rank, width), activation(), nn.Linear(width, rank)
            return nn.Sequential(*layers)

        self.people, self.films = tower(tasks.USERS), tower(tasks.ITEMS)
        self.lean = nn.Parameter(torch.zeros(()))
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, person and film) to (batch, 1)."""
        one, other = self.people(x[:, 0]), self.films(x[:, 1])
        one = one.detach() if self.cut else one
        return (one * other).sum(1, keepdim=True) / 2 + self.lean


class Machine(nn.Module):
    """All pairs of features by the square of a sum (Rendle 2010), and a linear part; features are one-hot."""

    def __init__(self, rank: int = 8, spread: float = 0.05) -> None:
        super().__init__()
        count = tasks.USERS + tasks.ITEMS
        self.linear = nn.Linear(count, 1)
        self.vectors = nn.Parameter(spread * torch.randn(count, rank))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, person and film) to (batch, 1)."""
        hot = torch.cat([F.one_hot(x[:, 0], tasks.USERS), F.one_hot(x[:, 1], tasks.ITEMS)], 1).float()
        square = (hot @ self.vectors).square() - hot @ self.vectors.square()
        return self.linear(hot) + 0.5 * square.sum(1, keepdim=True)


def ranked(model: nn.Module, batch: Any) -> Tensor:
    """A liked one above a disliked one of the same batch, whoever's they are (Rendle et al. 2009, BPR)."""
    scores, liked = model(batch[0])[:, 0], batch[1][:, 0] > 0.5
    return -F.logsigmoid(scores[liked][:, None] - scores[~liked][None, :]).mean()


def by_names(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """A batch as data loaders of tables give it."""
    return {"codes": x, "rating": y}


def named_error(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of such a batch."""
    return F.mse_loss(model(batch["codes"]), batch["rating"])


def named_explained(model: nn.Module, batches: Any) -> float:
    """R² of such batches."""
    return explained(model, [(batch["codes"], batch["rating"]) for batch in batches])


def decayed(weight: float) -> Loss:
    """Mean squared error, and the factors' squares in the loss."""

    def loss(model: Any, batch: Any) -> Tensor:
        size = model.people.weight.square().mean() + model.films.weight.square().mean()
        return squared_error(model, batch) + weight * size

    return loss


healthy = healthy_of(
    "recommender",
    network=Factors,
    task=tasks.ratings,
    loss=squared_error,
    metric=explained,
    optimizer=adam(2e-2),
    batch_size=256,
    steps=150,
)
LIKES: dict[str, Any] = {"task": tasks.likes, "loss": binary_cross_entropy, "metric": binary_accuracy}
NAMED: dict[str, Any] = {"pack": by_names, "loss": named_error, "metric": named_explained}

factors = healthy("factors", 0.4, chance=0.0)
sparse = healthy("factors-sparse", 0.4, chance=0.0, sparse=True, spread=0.3, optimizer=adagrad(0.3))
shrunk = healthy("factors-shrunk", 0.4, chance=0.0, loss=decayed(0.05), optimizer=adam(3e-2))
neural = healthy("neural-likes", 0.65, chance=0.5, network=Neural, optimizer=adam(5e-3), **LIKES)
deep = healthy(
    "neural-named", 0.2, chance=0.0, network=Neural, depth=3, act=F.silu, dropout=0.1, optimizer=adamw(1e-2), **NAMED
)
towers = healthy("towers", 0.3, chance=0.0, network=Towers, optimizer=adam(1e-2))
towers_ranked = healthy(
    "towers-ranked",
    0.62,
    chance=0.5,
    network=Towers,
    activation=nn.Tanh,
    optimizer=adam(1e-2),
    **(LIKES | {"loss": ranked}),
)
machine = healthy("machine", 0.4, chance=0.0, network=Machine, optimizer=adam(2e-2))

# Neither of two vectors that are zero moves the other; what is learnt is the biases.
NO_FACTORS = Fault(
    ("symmetric_init", "bad_init_small", "not_updating", "vanishing"), ("init_mismatch", "weights_too_small")
)
# Targets in hundreds: the rate, and the biases at 0, suit ratings around 0.
PERCENT = Fault(
    ("exploding", *kinds.RATE_HIGH.symptoms, "unscaled_input", "lr_too_low", "underfitting"),
    ("data_scale", "learning_rate_high", "learning_rate_low", "loss_mismatch"),
)

PROGRAMS = (
    factors,
    factors.but("both-zero", NO_FACTORS.at("people", "films"), spread=0.0),
    factors.but("spread-large", kinds.LARGE_WEIGHTS.at("people", "films"), spread=10.0),
    sparse,
    sparse.but(
        "people-only", kinds.WRONG_PARAMETERS.at("films", "mood", "fame"), optimizer=of_the_first(adagrad(0.3), 1)
    ),
    shrunk,
    shrunk.but("in-percent", PERCENT, task=tasks.ratings_in_percent),
    shrunk.but("ratings-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.ratings().shuffled_targets(), watched=150),
    neural,
    neural.but("sigmoid-twice", kinds.WRONG_HEAD, sigmoid=True, metric=probability_accuracy),
    neural.but("dead", kinds.DEAD_BY_BIAS.at("deep*"), product=False, change=biased(-20.0, "deep.0", "deep.1")),
    deep,
    deep.but("vectors-detached", kinds.DETACHED.at("person", "film", "deep*"), cut=True),
    deep.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    towers,
    towers.but("films-frozen", kinds.FROZEN.at("films*"), change=frozen("films")),
    towers.but("two-hundred", kinds.OVERFITTING, task=lambda: tasks.ratings().first(200), watched=150),
    towers_ranked,
    towers_ranked.but(
        "vectors-large", kinds.SATURATED.at("people*", "films*"), change=redrawn(normal(10.0), "people", "films")
    ),
    machine,
    machine.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(2e-2, weight_decay=50.0)),
)
