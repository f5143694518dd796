"""What to do, learnt by doing it: policies, critics and plans on a cart, a point and a bandit, all in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    adam,
    adamw,
    constant,
    frozen,
    nadam,
    norm_clipped,
    normal,
    of_the_first,
    rmsprop,
    sgd,
    squared_error,
)
from benchmarks.faults.data import Split
from benchmarks.faults.recipe import healthy_of

HORIZON = 12


@cache
def starts() -> Split:
    """2,000 places and speeds in the plane; the targets are not used."""
    state = torch.randn(2000, 4, generator=data.generator())
    return data.split(state, torch.zeros(2000))


@cache
def shown() -> Split:
    """4,000 states and what a controller that was tuned by hand does there."""
    state = torch.randn(4000, 4, generator=data.generator())
    push = (-1.5 * state[:, :2] - 1.2 * state[:, 2:]).clamp(-1, 1)
    return data.split(state, push)


def moved(state: Tensor, push: Tensor) -> Tensor:
    """The state after a push in each direction, which is bounded."""
    place, speed = state.chunk(2, 1)
    speed = 0.9 * speed + 0.4 * push.clamp(-1, 1)
    return torch.cat([place + 0.4 * speed, speed], 1)


def cost(state: Tensor, push: Tensor) -> Tensor:
    """How far from rest at the centre, and a little for the push."""
    return (state[:, :2].square().sum(1) + 0.1 * push.square().sum(1)).clamp(max=20)


class Policy(nn.Module):
    """A body; how to push and, where the loss asks for it, how unsure one is of it and what it will cost."""

    def __init__(
        self,
        width: int = 48,
        depth: int = 2,
        act: Callable[[Tensor], Tensor] = torch.tanh,
        norm: bool = False,
        bounded: bool = False,
        unsure: bool = False,
        expects: bool = False,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.body = nn.ModuleList(nn.Linear(width if i else 4, width) for i in range(depth))
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.push = nn.Linear(width, 2)
        self.critic = nn.Linear(width, 1) if expects else None
        self.log_spread = nn.Parameter(torch.full((2,), -0.7)) if unsure else None
        self.act, self.bounded, self.cut = act, bounded, cut
        nn.init.normal_(self.push.weight, 0.0, 0.01)

    def features(self, state: Tensor) -> Tensor:
        """(batch, 4) to (batch, width)."""
        h = state
        for layer in self.body:
            h = self.act(layer(h))
        h = self.norm(h)
        return h.detach() if self.cut else h

    def forward(self, state: Tensor) -> Tensor:
        """(batch, 4) to (batch, 2)."""
        push = self.push(self.features(state))
        return torch.tanh(push) if self.bounded else push


def returned(costs: list[Tensor]) -> Tensor:
    """(steps, batch) of what is still to come of each ride, the sooner the dearer."""
    later, total = [], torch.zeros_like(costs[0])
    for one in reversed(costs):
        total = one + 0.9 * total
        later.append(total)
    return torch.stack(later[::-1])


def ridden(model: Any, state: Tensor) -> tuple[Tensor, ...]:
    """States, pushes drawn and their costs-to-go, over a ride, without gradients."""
    states, pushes, costs = [], [], []
    with torch.no_grad():
        for _ in range(HORIZON):
            push = model(state) + model.log_spread.exp() * torch.randn(len(state), 2)
            states.append(state)
            pushes.append(push)
            state = moved(state, push)
            costs.append(cost(state, push))
    return torch.cat(states), torch.cat(pushes), returned(costs).flatten()


def log_chance(model: Any, states: Tensor, pushes: Tensor) -> Tensor:
    """How likely each push is."""
    spread = model.log_spread.exp()
    return (-0.5 * ((pushes - model(states)) / spread).square() - model.log_spread).sum(1)


def reinforce(model: Any, batch: Any) -> Tensor:
    """Pushes made likelier that cost less than others did (Williams 1992), costs standardised."""
    states, pushes, costs = ridden(model, batch[0])
    by_step = costs.reshape(HORIZON, -1)
    better = -((by_step - by_step.mean(1, keepdim=True)) / (by_step.std(1, keepdim=True) + 1e-6)).flatten()
    return -(log_chance(model, states, pushes) * better).mean() - 0.01 * model.log_spread.sum()


def actor_critic(model: Any, batch: Any) -> Tensor:
    """Less than a critic expects, which learns too."""
    states, pushes, costs = ridden(model, batch[0])
    expected = model.critic(model.features(states))[:, 0]
    better = (expected - costs).detach()
    better = (better - better.mean()) / (better.std() + 1e-6)
    return -(log_chance(model, states, pushes) * better).mean() + 0.5 * F.smooth_l1_loss(expected, costs)


def planned(model: Any, batch: Any) -> Tensor:
    """The cost of a ride itself, whose derivative goes back through the motion."""
    state, total = batch[0], torch.zeros(())
    for _ in range(HORIZON):
        push = model(state)
        state = moved(state, push)
        total = total + cost(state, push).mean()
    return total / HORIZON


def imitated(model: nn.Module, batch: Any) -> Tensor:
    """The absolute difference from what was shown."""
    return F.l1_loss(model(batch[0]), batch[1])


def saved(model: Any, batches: Iterable[Any]) -> float:
    """Share of the cost of not pushing at all that is saved, over rides without noise; at least -1."""
    ours = theirs = torch.cat([x for x, _ in batches])
    still, total, idle = torch.zeros(len(ours), 2), 0.0, 0.0
    for _ in range(HORIZON):
        push = model(ours).clamp(-1, 1)
        ours, theirs = moved(ours, push), moved(theirs, still)
        total, idle = total + float(cost(ours, push).mean()), idle + float(cost(theirs, still).mean())
    return max(1 - total / idle, -1.0)


def copied(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of the pushes."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    return max(float(1 - (model(x) - y).square().mean() / (y - y.mean(0)).square().mean()), -1.0)


class Twin(nn.Module):
    """Two critics of state and push, of which the dearer is believed (Fujimoto et al. 2018), and who acts by them."""

    def __init__(self, width: int = 48, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.first, self.second = (nn.ModuleList([nn.Linear(6, width), nn.Linear(width, 1)]) for _ in range(2))
        self.hidden, self.push = nn.Linear(4, width), nn.Linear(width, 2)
        self.act = act

    def forward(self, state: Tensor) -> Tensor:
        """(batch, 4) to pushes."""
        return torch.tanh(self.push(self.act(self.hidden(state))))

    def costs(self, state: Tensor, push: Tensor) -> tuple[Tensor, Tensor]:
        """What both say."""
        x = torch.cat([state, push], 1)
        return tuple(critic[1](self.act(critic[0](x)))[:, 0] for critic in (self.first, self.second))  # type: ignore[return-value]


def twins(model: Any, batch: Any) -> Tensor:
    """Critics learn from random pushes and one step after them; the actor from the dearer critic, which is held."""
    state = batch[0]
    push = 2 * torch.rand(len(state), 2) - 1
    after = moved(state, push)
    with torch.no_grad():
        target = cost(after, push) + 0.7 * torch.maximum(*model.costs(after, model(after)))
    one, two = model.costs(state, push)
    critics = F.mse_loss(one, target) + F.mse_loss(two, target)
    held = [p for critic in (model.first, model.second) for p in critic.parameters() if p.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    actor = torch.maximum(*model.costs(state, model(state))).mean()
    for parameter in held:
        parameter.requires_grad_(True)
    return critics + 0.3 * actor


healthy = healthy_of(
    "control", network=Policy, task=starts, loss=planned, metric=saved, optimizer=adam(3e-3), steps=200
)
SHOWN: dict[str, Any] = {"task": shown, "metric": copied}

drawn = healthy("reinforce", 0.67, 0.0, loss=reinforce, unsure=True, optimizer=adam(5e-3))
critic = healthy(
    "actor-critic",
    0.67,
    0.0,
    loss=actor_critic,
    unsure=True,
    expects=True,
    act=F.elu,
    optimizer=norm_clipped(rmsprop(3e-3), 1.0),
)
plan = healthy("through-the-motion", 0.67, 0.0, act=F.silu, batch_size=32)
plan_bounded = healthy(
    "through-the-motion-bounded",
    0.68,
    0.0,
    bounded=True,
    norm=True,
    act=F.relu,
    optimizer=norm_clipped(sgd(0.05, momentum=0.9), 1.0),
)
shown_l1 = healthy("imitation-l1", 0.74, 0.0, loss=imitated, act=F.relu, optimizer=adamw(3e-3), **SHOWN)
shown_wide = healthy(
    "imitation-tanh-256", 0.74, 0.0, loss=squared_error, bounded=True, batch_size=256, optimizer=nadam(5e-3), **SHOWN
)
dear = healthy("twin-critics", 0.67, 0.0, network=Twin, loss=twins, optimizer=adam(3e-3), steps=300)

PROGRAMS = (
    drawn,
    drawn.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    critic,
    plan,
    plan.but("alike", kinds.SYMMETRIC.at("body*", "push"), draw=constant(0.05)),
    plan.but("weights-large", kinds.LARGE_WEIGHTS.at("body*", "push"), draw=normal(3.0)),
    plan_bounded,
    shown_l1,
    shown_l1.but("body-frozen", kinds.FROZEN.at("body*"), change=frozen("body"), width=6),
    shown_wide,
    dear,
    dear.but("critics-only", kinds.WRONG_PARAMETERS.at("hidden", "push"), optimizer=of_the_first(adam(3e-3), 8)),
)
