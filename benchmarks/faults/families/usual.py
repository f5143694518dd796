"""What is trained every day and works: plain nets of every kind under many settings, and a few that were broken.

Most of these programs are healthy. Marks by task, as :mod:`benchmarks.faults.tasks_fifth` has them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds, tasks_third
from benchmarks.faults import tasks_fifth as tasks
from benchmarks.faults.build import (
    Optimize,
    adagrad,
    adam,
    adamw,
    annealed,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    decaying,
    explained,
    frozen,
    he,
    nadam,
    norm_clipped,
    normal,
    one_cycle,
    rmsprop,
    sgd,
    squared_error,
    trainable,
    undecayed,
    warmed,
    xavier,
)
from benchmarks.faults.recipe import healthy_of


def mlp(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU, p: float = 0.0, bn: bool = False) -> nn.Sequential:
    """The plain one."""
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(sizes[:-1]):
        layers += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if bn else []), act(), *([nn.Dropout(p)] if p else [])]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def perceptron(sizes: tuple[int, ...] = (64, 64, 10), **options: Any) -> nn.Module:
    """The same from a tuple."""
    return mlp(*sizes, **options)


class SimpleCNN(nn.Module):
    """Convolution, pool, convolution, pool, two linear layers."""

    def __init__(
        self,
        channels: int = 1,
        side: int = 8,
        classes: int = 10,
        filters: int = 16,
        kernel: int = 3,
        act: Callable[[Tensor], Tensor] = F.relu,
        bn: bool = False,
        p: float = 0.0,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(filters, 2 * filters, kernel, padding=kernel // 2)
        self.bn1 = nn.BatchNorm2d(filters) if bn else nn.Identity()
        self.bn2 = nn.BatchNorm2d(2 * filters) if bn else nn.Identity()
        self.dropout = nn.Dropout(p)
        self.fc1 = nn.Linear(2 * filters * (side // 4) ** 2, hidden)
        self.fc2 = nn.Linear(hidden, classes)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.act(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(self.act(self.bn2(self.conv2(x))), 2)
        return self.fc2(self.dropout(self.act(self.fc1(x.flatten(1)))))


class Recurrent(nn.Module):
    """A layer of PyTorch's, its last state, a linear layer."""

    def __init__(
        self, kind: str = "LSTM", n_in: int = 8, hidden: int = 48, n_out: int = 10, layers: int = 1, p: float = 0.0
    ) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(n_in, hidden, layers, batch_first=True, dropout=p)
        self.fc = nn.Linear(hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0][:, -1, :])


class Words(nn.Module):
    """Embeddings, their mean or an encoder of PyTorch's, a linear layer."""

    def __init__(self, words: int, classes: int, dim: int = 32, layers: int = 0, norm_first: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, dim)
        self.places = nn.Embedding(16, dim)
        block = nn.TransformerEncoderLayer(dim, 4, 64, 0.0, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(block, layers, enable_nested_tensor=False) if layers else nn.Identity()
        self.fc = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.places(torch.arange(x.shape[1]))
        return self.fc(self.encoder(h).mean(1))


def smoothing(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of smoothed labels."""
    return nn.CrossEntropyLoss(label_smoothing=0.1)(model(batch[0]), batch[1])


def adamax(lr: float) -> Optimize:
    """Adam with the largest gradient for a scale."""
    return lambda parameters: torch.optim.Adamax(trainable(parameters), lr=lr)


def radam(lr: float) -> Optimize:
    """Adam that warms itself up."""
    return lambda parameters: torch.optim.RAdam(trainable(parameters), lr=lr)


healthy = healthy_of("usual", network=perceptron, task=data.digits, optimizer=adam(1e-3), steps=150, batch_size=64)
CNN: dict[str, Any] = {"network": SimpleCNN, "task": data.images}
BADGES: dict[str, Any] = {"network": SimpleCNN, "task": tasks.badges, "channels": 3, "side": 12, "classes": 6}
ROWS: dict[str, Any] = {"network": Recurrent, "task": data.rows}
SENSORS: dict[str, Any] = {"network": Recurrent, "task": tasks.sensor_steps, "n_in": 3, "n_out": 5}
TUMOURS: dict[str, Any] = {"task": data.cancer, "loss": binary_cross_entropy, "metric": binary_accuracy}
HOUSES: dict[str, Any] = {"task": tasks.houses, "loss": squared_error, "metric": explained}
GROUPS: dict[str, Any] = {"task": tasks.customers}
NAMES: dict[str, Any] = {
    "network": Words,
    "task": tasks.names,
    "words": tasks.LETTERS + 1,
    "classes": tasks.LANGUAGES,
    "dim": 48,
}
REVIEWS: dict[str, Any] = {"network": Words, "task": tasks.reviews, "words": tasks.VOCABULARY, "classes": 2}
IRIS: dict[str, Any] = {"task": tasks_third.iris, "batch_size": 10}

mlp_adam = healthy("mlp-adam", 0.8, 0.1, sizes=(64, 128, 10))
mlp_sgd = healthy("mlp-sgd", 0.8, 0.1, sizes=(64, 32, 32, 10), optimizer=sgd(0.2))
mlp_tiny = healthy("mlp-tiny-batch", 0.8, 0.1, sizes=(64, 30, 10), batch_size=8, optimizer=sgd(0.05), steps=300)
mlp_step = healthy(
    "mlp-step-schedule", 0.8, 0.1, sizes=(64, 100, 50, 10), optimizer=decaying(sgd(0.2, momentum=0.5), 0.5, 50)
)
mlp_adamax = healthy("mlp-adamax-tanh", 0.8, 0.1, sizes=(64, 80, 80, 10), act=nn.Tanh, optimizer=adamax(5e-3))
mlp_radam = healthy("mlp-radam-gelu", 0.8, 0.1, sizes=(64, 256, 10), act=nn.GELU, optimizer=radam(3e-3))
mlp_norm = healthy(
    "mlp-batch-norm-dropout", 0.8, 0.1, sizes=(64, 128, 128, 10), bn=True, p=0.5, optimizer=adam(3e-3), batch_size=100
)
mlp_decay = healthy(
    "mlp-weight-decay-smoothing",
    0.8,
    0.1,
    sizes=(64, 96, 96, 10),
    loss=smoothing,
    optimizer=adamw(2e-3, weight_decay=0.1),
)
mlp_cycle = healthy(
    "mlp-one-cycle-he",
    0.8,
    0.1,
    sizes=(64, 64, 64, 64, 10),
    draw=he,
    optimizer=one_cycle(sgd(0.01, momentum=0.9), 0.1, 150),
)
mlp_ink = healthy("mlp-ink-adam", 0.8, 0.1, task=tasks.ink, sizes=(64, 64, 32, 10), optimizer=adam(3e-3))
mlp_whole = healthy("mlp-whole-data", 0.8, 0.1, sizes=(64, 64, 10), batch_size=1437, optimizer=adam(0.01), steps=80)
softmax = healthy("softmax-regression", 0.8, 0.1, sizes=(64, 10), optimizer=sgd(0.1))
cnn = healthy("cnn-adam", 0.8, 0.1, **CNN)
cnn_small = healthy("cnn-five-by-five", 0.8, 0.1, filters=6, kernel=5, optimizer=sgd(0.1, momentum=0.9), **CNN)
cnn_norm = healthy("cnn-batch-norm", 0.8, 0.1, filters=8, bn=True, p=0.25, optimizer=adam(2e-3), steps=100, **CNN)
cnn_badges = healthy("cnn-badges", 0.8, 0.17, filters=12, optimizer=adam(3e-3), **BADGES)
cnn_elu = healthy("cnn-badges-elu-rmsprop", 0.8, 0.17, filters=8, act=F.elu, optimizer=rmsprop(1e-3), **BADGES)
lstm = healthy("lstm-rows", 0.8, 0.1, optimizer=adam(0.01), **ROWS)
gru = healthy("gru-rows-two-layers", 0.8, 0.1, kind="GRU", layers=2, p=0.2, optimizer=adam(5e-3), **ROWS)
rnn = healthy("rnn-rows-clipped", 0.8, 0.1, kind="RNN", optimizer=norm_clipped(adam(3e-3), 1.0), steps=250, **ROWS)
lstm_sensors = healthy("gru-sensors-nadam", 0.8, 0.2, kind="GRU", hidden=32, optimizer=nadam(5e-3), **SENSORS)
names = healthy("encoder-names", 0.7, 0.27, layers=1, optimizer=adam(3e-3), steps=250, **NAMES)
reviews = healthy("encoder-reviews-warmed", 0.8, 0.5, layers=2, optimizer=warmed(adamw(2e-3), 30), **REVIEWS)
tumours = healthy("tumours-logistic", 0.88, 0.65, sizes=(30, 1), optimizer=sgd(0.1), batch_size=32, **TUMOURS)
tumours_mlp = healthy(
    "tumours-mlp", 0.88, 0.65, sizes=(30, 64, 32, 1), p=0.2, optimizer=adam(1e-3), batch_size=16, **TUMOURS
)
houses = healthy("houses-mlp", 0.6, 0.0, sizes=(6, 64, 64, 1), optimizer=adam(1e-3), batch_size=32, steps=250, **HOUSES)
houses_sgd = healthy(
    "houses-cosine",
    0.6,
    0.0,
    sizes=(6, 40, 1),
    act=nn.Tanh,
    optimizer=annealed(sgd(0.1, momentum=0.9), 200),
    steps=200,
    **HOUSES,
)
groups = healthy("customers-mlp", 0.65, 0.22, sizes=(20, 64, 5), optimizer=adam(5e-3), **GROUPS)
groups_grad = healthy("customers-adagrad", 0.65, 0.22, sizes=(20, 80, 40, 5), optimizer=adagrad(0.05), **GROUPS)
groups_xavier = healthy(
    "customers-xavier-undecayed",
    0.65,
    0.22,
    sizes=(20, 50, 50, 5),
    draw=xavier,
    act=nn.SiLU,
    optimizer=undecayed(torch.optim.AdamW, 0.05, lr=5e-3),
    **GROUPS,
)
iris = healthy("iris-mlp", 0.85, 0.4, sizes=(4, 10, 10, 3), optimizer=adam(0.01), **IRIS)
wine = healthy("wine-mlp", 0.85, 0.4, task=data.wine, sizes=(13, 32, 3), batch_size=16, optimizer=adam(3e-3))

PROGRAMS = (
    mlp_adam,
    mlp_sgd,
    mlp_sgd.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(15.0)),
    mlp_tiny,
    mlp_step,
    mlp_adamax,
    mlp_radam,
    mlp_norm,
    mlp_decay,
    mlp_cycle,
    mlp_cycle.but("small", kinds.SMALL_WEIGHTS.at("*"), draw=normal(0.005)),
    mlp_ink,
    mlp_whole,
    softmax,
    softmax.but("shuffled", kinds.SHUFFLED_LABELS, task=lambda: data.digits().shuffled_targets(), watched=150),
    cnn,
    cnn.but("dead", kinds.DEAD_BY_BIAS.at("conv1", "conv2"), change=biased(-30.0, "conv2")),
    cnn_small,
    cnn_norm,
    cnn_badges,
    cnn_badges.but(
        "frozen", kinds.FROZEN.at("conv1", "conv2", "fc1"), change=frozen("conv1", "conv2", "fc1"), hidden=6
    ),
    cnn_elu,
    lstm,
    gru,
    rnn,
    lstm_sensors,
    names,
    reviews,
    tumours,
    tumours.but("raw", kinds.UNSCALED, task=data.cancer_raw),
    tumours_mlp,
    houses,
    houses_sgd,
    groups,
    groups_grad,
    groups_xavier,
    iris,
    wine,
)
