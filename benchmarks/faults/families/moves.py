"""What to do next: values of moves learnt from transitions (DQN and its kin), policies from logged rewards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    Loss,
    adam,
    adamw,
    constant,
    frozen,
    he,
    normal,
    of_a_copy,
    rmsprop,
    sgd,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of

PLACE, MOVES = tasks.PLACE, tasks.MOVES


class Values(nn.Module):
    """The value of each move at a place, and a slow copy that the targets are taken from (Mnih et al. 2015)."""

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = F.relu,
        duel: bool = False,
        pace: float = 0.05,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.online = Head(PLACE, width, depth, act, duel, cut)
        self.slow = copy.deepcopy(self.online).requires_grad_(False)
        self.pace = pace

    def forward(self, place: Tensor) -> Tensor:
        """(batch, place) to (batch, moves)."""
        return self.online(place)

    @torch.no_grad()
    def later(self, place: Tensor) -> Tensor:
        """The same by the slow copy, which takes a step after the other one in training."""
        if self.training:
            for slow, fast in zip(self.slow.parameters(), self.online.parameters(), strict=True):
                slow.lerp_(fast, self.pace)
        return self.slow(place)


class Head(nn.Module):
    """Layers, then the moves' values, or one value and the moves' advantages over it (Wang et al. 2016)."""

    def __init__(
        self, inputs: int, width: int, depth: int, act: Callable[[Tensor], Tensor], duel: bool, cut: bool
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(inputs if i == 0 else width, width) for i in range(depth))
        self.advantage = nn.Linear(width, MOVES)
        self.value = nn.Linear(width, 1) if duel else None
        self.act, self.cut = act, cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs) to (batch, moves)."""
        for layer in self.hidden:
            x = self.act(layer(x))
        x = x.detach() if self.cut else x
        moves = self.advantage(x)
        return moves if self.value is None else self.value(x) + moves - moves.mean(1, keepdim=True)


def parts(batch: Any) -> tuple[Tensor, ...]:
    """Place, move, reward, next place and end of each transition."""
    return batch[0].split([PLACE, 1, 1, PLACE, 1], 1)


def bellman(double: bool = False, error: Callable[[Tensor, Tensor], Tensor] = F.smooth_l1_loss) -> Loss:
    """Between a move's value and its reward with the best value after it, as the slow copy has it.

    Args:
        double: Let the fast one choose that move (van Hasselt et al. 2016).
        error: Of values and targets.
    """

    def loss(model: Any, batch: Any) -> Tensor:
        place, move, reward, after, over = parts(batch)
        value = model(place).gather(1, move.long())
        later = model.later(after)
        with torch.no_grad():
            choice = model(after).argmax(1, keepdim=True) if double else later.argmax(1, keepdim=True)
            target = reward + tasks.DISCOUNT * (1 - over) * later.gather(1, choice)
        return error(value, target)

    return loss


def best_move(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of places where the move of the highest value is among the best."""
    hits = [y.gather(1, model(parts((x, y))[0]).argmax(1, keepdim=True)) for x, y in batches]
    return float(torch.cat(hits).mean())


class Actor(nn.Module):
    """One body, and two heads: which guess to make, and the reward to expect (A2C; Mnih et al. 2016)."""

    def __init__(
        self,
        width: int = 64,
        activation: Callable[[], nn.Module] = nn.Tanh,
        depth: int = 2,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Linear(width if index else 64, width), activation(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*layers)
        self.actor, self.critic = nn.Linear(width, 10), nn.Linear(width, 1)
        self.cut = cut

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 64) to logits and expected rewards."""
        h = self.body(x)
        h = h.detach() if self.cut else h
        return self.actor(h), self.critic(h)[:, 0]


def advantage(spread: float = 0.01, critic: float = 0.5) -> Loss:
    """The logged guess made likelier by what its reward is above what was expected (Williams 1992).

    Args:
        spread: Weight of the policy's entropy.
        critic: Weight of the expectation's error.
    """

    def loss(model: nn.Module, batch: Any) -> Tensor:
        pixels, guess, reward = batch[0].split([64, 1, 1], 1)
        logits, expected = model(pixels)
        told = logits.log_softmax(1)
        over = (reward[:, 0] - expected).detach()
        entropy = -(told.exp() * told).sum(1).mean()
        policy = -(told.gather(1, guess.long())[:, 0] * over.clamp(min=0)).mean()
        return policy - spread * entropy + critic * F.mse_loss(expected, reward[:, 0])

    return loss


def right_guess(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of digits guessed right by the likeliest guess."""
    return float(torch.cat([(model(x[:, :64])[0].argmax(1) == y).float() for x, y in batches]).mean())


def below_zero(model: Any) -> None:
    """Start the first hidden layer where no place can lift it above 0."""
    nn.init.constant_(model.online.hidden[0].bias, -10.0)


healthy = healthy_of(
    "moves", network=Values, task=tasks.moves, loss=bellman(), metric=best_move, optimizer=adam(3e-3), steps=200
)
GUESSES: dict[str, Any] = {
    "network": Actor,
    "task": tasks.guesses,
    "loss": advantage(),
    "metric": right_guess,
    "steps": 150,
}

values = healthy("values", 0.75, chance=0.5)
double = healthy(
    "values-double", 0.7, chance=0.5, loss=bellman(double=True), draw=he, optimizer=adamw(3e-3), batch_size=128
)
duel = healthy("values-duel", 0.7, chance=0.5, duel=True, act=F.elu, optimizer=rmsprop(5e-4))
squared = healthy(
    "values-squared-sgd", 0.65, chance=0.5, loss=bellman(error=F.mse_loss), optimizer=sgd(0.1, momentum=0.9)
)
policy = healthy("policy", 0.7, chance=0.1, optimizer=adam(3e-3), **GUESSES)
relu = healthy(
    "policy-relu-dropout", 0.65, chance=0.1, activation=nn.ReLU, dropout=0.2, optimizer=adamw(3e-3), **GUESSES
)

# Nobody looks at targets in the thousands; the rate that suits those around 1 is far too high for them.
POINTS = Fault(
    ("exploding", *kinds.RATE_HIGH.symptoms, "unscaled_input"), ("data_scale", "learning_rate_high", "numeric_overflow")
)
HIDDEN = ("online.hidden*",)

PROGRAMS = (
    values,
    values.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    values.but("dead", kinds.DEAD_BY_BIAS.at(*HIDDEN), change=below_zero),
    double,
    double.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(3e-3))),
    double.but("weights-large", kinds.LARGE_WEIGHTS.at("online*"), draw=normal(2.0)),
    duel,
    duel.but("rate-low", kinds.RATE_LOW, optimizer=rmsprop(1e-6)),
    duel.but("alike", kinds.SYMMETRIC.at("online*"), draw=constant(0.05)),
    squared,
    squared.but("points", POINTS, task=tasks.moves_for_points),
    squared.but("small", kinds.SMALL_WEIGHTS.at("online*"), draw=normal(1e-3)),
    policy,
    policy.but("body-detached", kinds.DETACHED.at("body*"), cut=True),
    relu,
    relu.but("dropout", kinds.DROPOUT.at("body*"), dropout=0.97),
    relu.but("body-frozen", kinds.FROZEN.at("body*"), change=frozen("body")),
)
