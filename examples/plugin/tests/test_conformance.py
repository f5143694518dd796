"""What headwater promises of rules, remedies, lessons and loggers, held against those of this package."""

import io

import torch
from headwater_bias.lesson import LESSON
from headwater_bias.logger import JsonLines
from headwater_bias.remedy import REMEDY
from headwater_bias.rule import RULE
from torch import Tensor, nn

import headwater as hw
from headwater.testing import check_lesson, check_logger, check_remedy, check_rule


def network(bias: float = 0.0) -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    nn.init.constant_(net[2].bias, bias)
    return net


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 8, generator=generator), torch.randint(2, (64,), generator=generator)


def loss(model: nn.Module, given: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(given[0]), given[1])


def experiment(bias: float) -> hw.Experiment:
    return hw.Experiment(model=lambda: network(bias), batches=lambda: [batch()], loss=loss)


def test_rule() -> None:
    check_rule(RULE, failing=[experiment(50.0)], healthy=[experiment(0.0), experiment(0.5)])


def test_remedy() -> None:
    check_remedy(REMEDY, network, batch(), loss)


def test_lesson() -> None:
    check_lesson(LESSON)


def test_logger() -> None:
    file = io.StringIO()
    check_logger(JsonLines, lambda: JsonLines(file), target=file)
    assert '"headwater/log10_gradient": "-inf"' in file.getvalue()
    assert '"headwater/gradient_cosine": "nan"' in file.getvalue()
