"""Networks that several tests trace."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def lecture_net() -> nn.Sequential:
    """x = (1, -1), w₁ = 2, w₂ = 1 → 1 → σ = 0.731; second unit 0 → 0.5; w₅ = 1, w₆ = -1 → 0.231 → σ = 0.557."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Sigmoid(), nn.Linear(2, 1, bias=False), nn.Sigmoid())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[2.0, 1.0], [1.0, 1.0]]))
        net[2].weight.copy_(torch.tensor([[1.0, -1.0]]))
    return net


def mlp(*sizes: int, activation: type[nn.Module] = nn.Tanh, seed: int = 0) -> nn.Sequential:
    """Affine maps of these sizes with an activation between them."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


class Block(nn.Module):
    """A residual block as ResNets have it, with the functions a user writes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.bn2(self.conv2(h))
        h += x
        return functional.relu(h)


def resnet(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(inplace=True),
        Block(3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 4),
    )


class Tokens(nn.Module):
    """Whole numbers in: the way ends at the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.recurrent = nn.LSTM(6, 7, batch_first=True)
        self.head = nn.Linear(7, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embedding(tokens))[0][:, -1])


class Through(nn.Module):
    """A layer with any function behind it."""

    def __init__(self, function: object, features: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(3, features)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


class Steps(nn.Module):
    """A perceptron of one unit with a step for its activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second((self.first(x) > 0).to(x.dtype))
