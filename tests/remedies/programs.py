"""A small experiment made of functions at the top of a module, so that it can travel to another process."""

import statistics

import torch
from torch import nn

import headwater as hw


def circles(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=generator)
    return x, (x.norm(dim=1) > 1.1774).long()


TRAIN, TEST, OTHER = circles(128, 0), circles(128, 1), circles(128, 2)


def model() -> nn.Module:
    """Deep enough for its sigmoids to stop it from learning anything."""
    layers = [nn.Linear(2, 8), nn.Sigmoid()]
    for _ in range(7):
        layers += [nn.Linear(8, 8), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(8, 2))


def batches():
    order = torch.randperm(128)
    return [(TRAIN[0][rows], TRAIN[1][rows]) for rows in order.split(32)]


def loss(model: nn.Module, batch) -> torch.Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def optimizer(parameters) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2)


def validation():
    return [TEST]


def test_data():
    return [OTHER]


test_data.__test__ = False  # no test, though it is called so


def accuracy(model: nn.Module, batches) -> float:
    return statistics.fmean(float((model(x).argmax(1) == y).float().mean()) for x, y in batches)


EXPERIMENT = hw.Experiment(model, batches, loss, optimizer, validation, accuracy, "accuracy")


def made() -> hw.Experiment:
    return EXPERIMENT
