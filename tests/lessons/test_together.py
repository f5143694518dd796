"""Chains trained side by side end where each of them ends alone."""

import copy

import pytest
import torch
from torch import Tensor, nn

from headwater.lessons.data import Split, circles
from headwater.lessons.networks import chain
from headwater.lessons.together import train_together

BATCH, STEPS, RATE = 32, 5, 1e-2  # one epoch of 160 samples
SEEDS = (3, 4, 5)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "prelu"])
def test_chains_together_end_where_each_ends_alone(activation: str) -> None:
    data = circles(200)
    chains = [chain([2, 8, 8, 2], activation, seed=seed) for seed in SEEDS]
    before = copy.deepcopy(chains)
    together = train_together(chains, data, steps=STEPS, lr=RATE, seeds=SEEDS, batch=BATCH)
    with torch.no_grad():
        outputs = together.model(data.test_x.expand(len(SEEDS), *data.test_x.shape))
    for place, (model, seed) in enumerate(zip(chains, SEEDS, strict=True)):
        torch.testing.assert_close(model.state_dict(), before[place].state_dict(), rtol=0, atol=0)
        losses = alone(model, data, seed)
        torch.testing.assert_close(together.losses[:, place], losses)
        torch.testing.assert_close(outputs[place], model(data.test_x).detach(), rtol=1e-4, atol=1e-5)
        right = (model(data.test_x).argmax(1) == data.test_y).double().mean()
        assert together.shares(data.test_x, data.test_y)[place] == pytest.approx(float(right))
    torch.testing.assert_close(torch.tensor(together.mean_losses), together.losses.mean(1))


def test_schedule_multiplies_the_learning_rate() -> None:
    data = circles(200)
    chains = [chain([2, 8, 2], seed=0)]
    still = train_together(chains, data, steps=STEPS, lr=RATE, seeds=(0,), schedule=lambda step: 0.0)
    assert torch.equal(still.model.steps[0].weight[0], chains[0].state_dict()["0.weight"].T)


def alone(model: nn.Module, data: Split, seed: int) -> Tensor:
    """The same steps for one chain, written out; its losses."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    order = torch.randperm(len(data.x), generator=torch.Generator().manual_seed(seed))
    losses = []
    for rows in reversed(order.split(BATCH)):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(data.x[rows]), data.y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)
