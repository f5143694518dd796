"""The share of flat gates told from scales is about what a loop over the gates counts."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis.gates import SIGMOID_FLAT, TANH_FLAT, flat_share
from headwater.report import Report

WIDTH = 24


class Reader(nn.Module):
    def __init__(self, cell: str, bidirectional: bool = False) -> None:
        super().__init__()
        self.body = getattr(nn, cell)(WIDTH, WIDTH, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(WIDTH * (1 + bidirectional), 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0].mean(1))


def cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def checked(model: Reader, scale: float) -> Report:
    return hw.check(model, (scale * torch.randn(64, 12, WIDTH), torch.randint(3, (64,))), cross_entropy)


def counted(body: nn.GRU | nn.LSTM, x: Tensor) -> float:
    """By a loop: the gates of all steps in their flat ends."""
    hidden, cell = torch.zeros(len(x), WIDTH), torch.zeros(len(x), WIDTH)
    flat: list[Tensor] = []
    for now in x.unbind(1):
        given = now @ body.weight_ih_l0.T + body.bias_ih_l0
        kept = hidden @ body.weight_hh_l0.T + body.bias_hh_l0
        if isinstance(body, nn.GRU):
            (r, z, n), (kept_r, kept_z, kept_n) = given.chunk(3, 1), kept.chunk(3, 1)
            r, z = r + kept_r, z + kept_z
            n = n + r.sigmoid() * kept_n
            flat += [r.abs() > SIGMOID_FLAT, z.abs() > SIGMOID_FLAT, n.abs() > TANH_FLAT]
            hidden = (1 - z.sigmoid()) * n.tanh() + z.sigmoid() * hidden
        else:
            i, f, g, o = (given + kept).chunk(4, 1)
            flat += [*(gate.abs() > SIGMOID_FLAT for gate in (i, f, o)), g.abs() > TANH_FLAT]
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
    return float(torch.stack(flat).float().mean())


@pytest.mark.parametrize("scale", [0.3, 3.0, 10.0, 30.0])
@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_share_is_about_what_is_counted(cell: str, scale: float) -> None:
    torch.manual_seed(0)
    model = Reader(cell)
    report = checked(model, scale)
    told = flat_share(report.flow.site("body"), report.flow)
    with torch.no_grad():
        assert told == pytest.approx(counted(model.body, scale * torch.randn(64, 12, WIDTH)), abs=0.05)


def test_flat_ends_begin_at_a_twentieth_of_the_slope() -> None:
    z = torch.tensor(SIGMOID_FLAT, dtype=torch.float64)
    assert float(z.sigmoid() * (1 - z.sigmoid())) == pytest.approx(0.05 / 4)
    assert 1 - float(torch.tensor(TANH_FLAT, dtype=torch.float64).tanh() ** 2) == pytest.approx(0.05)


@pytest.mark.parametrize(("weights", "found"), [(1.0, False), (3.0, False), (30.0, True)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_that_large_weights_close_are_found(weights: float, found: bool, bidirectional: bool) -> None:
    torch.manual_seed(0)
    model = Reader("LSTM", bidirectional)
    with torch.no_grad():
        for parameter in model.body.parameters():
            parameter.mul_(weights)
    report = checked(model, 1.0)
    sites = [finding.sites for finding in report.findings if finding.symptom == "saturation"]
    assert sites == ([("body",)] if found else [])
