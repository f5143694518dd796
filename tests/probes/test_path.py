"""The gradient's path: factors that multiply to the whole, along the branch with most energy."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from headwater.probes.measure import Loss, measure
from headwater.records import Path
from tests.cases import CASES, cross_entropy, plain_mlp, vectors


def path_of(model: nn.Module, batch: Any, loss: Loss = cross_entropy) -> Path:
    path = measure(model, batch, loss).path
    assert path is not None
    return path


@pytest.mark.parametrize("case", CASES)
def test_gains_sum_to_the_whole(case: str) -> None:
    flow = measure(*CASES[case].make())
    path = flow.path
    assert path is not None
    total = math.fsum(step.log10_gain for step in path.steps)
    assert total == pytest.approx(path.log10_first - path.log10_last, abs=1e-9)
    first, last = flow.site(path.first), flow.site(path.last)
    assert first.site.order < last.site.order or len(flow.sites) == 1
    for row, log10 in ((first, path.log10_first), (last, path.log10_last)):
        assert row.activation_grad is not None
        if row.site.op not in ("LSTM", "Pair"):  # their nodes have several outputs, of which the site shows one
            assert row.activation_grad.log10_rms == pytest.approx(log10, abs=1e-9)


@pytest.mark.parametrize("case", ["mlp-tanh-he-4", "mlp-relu-default-30"])
def test_each_gain_equals_the_ratio_autograd_gives(case: str) -> None:
    model, (x, y), loss = CASES[case].make()
    path = path_of(model, (x, y), loss)
    assert isinstance(model, nn.Sequential)
    outputs = []
    for layer in model:
        x = layer(x)
        outputs.append(x)
    gradients = torch.autograd.grad(F.cross_entropy(x, y), outputs)
    logs = [float(g.double().square().mean().sqrt().log10()) for g in gradients]
    assert [step.site for step in path.steps] == [str(k) for k in range(len(model) - 1, 0, -1)]
    for step in path.steps:
        k = int(step.site or 0)
        assert step.log10_gain == pytest.approx(logs[k - 1] - logs[k], abs=1e-5)
        assert step.part == "operation"
    assert (path.first, path.last) == ("0", str(len(model) - 1))


def test_weight_gain_is_the_scale_of_the_weights() -> None:
    """For a gradient of random direction, W scales the rms by rms(W)·√fan_out."""
    torch.manual_seed(0)
    model, batch = plain_mlp("relu", depth=3, width=32), vectors()
    weights = {step.site: step.weight_gain for step in path_of(model, batch).steps}
    expected = float(model[2].weight.detach().square().mean().sqrt()) * math.sqrt(32)
    assert weights["2"] == pytest.approx(expected, rel=1e-6)
    assert weights["1"] is None


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 9, 9)),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 10, 10)),
        (nn.Conv2d(4, 8, 3, padding=1, groups=4), (2, 4, 9, 9)),
        (nn.Conv1d(4, 6, 5, padding=2), (2, 4, 20)),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (2, 4, 9, 9)),
        (nn.Linear(4, 64), (128, 4)),
        (nn.Linear(64, 4), (128, 64)),
    ],
)
def test_weight_gain_predicts_what_a_random_gradient_meets(layer: nn.Linear | _ConvNd, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    probes = []
    for _ in range(30):
        layer.reset_parameters()
        x = torch.randn(shape, requires_grad=True)
        model = nn.Sequential(nn.Identity(), layer)
        direction = torch.randn(layer(x).shape)
        path = path_of(model, x * 1.0, lambda m, b, d=direction: (m(b) * d).sum())
        (step,) = path.steps
        assert step.weight_gain is not None
        probes.append(step.log10_gain - math.log10(step.weight_gain))
    assert sum(probes) / len(probes) == pytest.approx(0.0, abs=0.04)


class Branches(nn.Module):
    """``x + scale·f(x)``: which way the gradient's energy goes is up to ``scale``."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.stem, self.branch, self.head, self.scale = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3), scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.scale * self.branch(x))


@pytest.mark.parametrize(("scale", "through_branch"), [(0.01, False), (100.0, True)])
def test_path_takes_the_branch_with_most_energy(scale: float, through_branch: bool) -> None:
    torch.manual_seed(0)
    path = path_of(Branches(scale), vectors())
    assert ("branch" in [step.site for step in path.steps]) == through_branch
    joins = [step for step in path.steps if step.part == "join"]
    assert len(joins) == 1
    assert joins[0].site is None


def test_join_is_what_the_other_branch_adds() -> None:
    torch.manual_seed(0)
    model, (x, y) = Branches(1.0), vectors()
    path = path_of(model, (x, y))
    h = model.stem(x)
    out = h + model.branch(h)
    from_join, whole = torch.autograd.grad(F.cross_entropy(model.head(out), y), [out, h])
    branch = from_join @ model.branch.weight
    taken = max(float(g.detach().norm()) for g in (from_join, branch))
    (join,) = [step for step in path.steps if step.part == "join"]
    assert join.log10_gain == pytest.approx(math.log10(float(whole.norm()) / taken), abs=1e-5)


def test_residual_network_has_joins_and_loses_next_to_nothing() -> None:
    path = path_of(*CASES["residual-deep"].make())
    assert sum(step.part == "join" for step in path.steps) == 12
    assert abs(path.decades) < 1.5


def test_steps_of_a_recurrent_cell_are_joined_per_call() -> None:
    path = path_of(*CASES["cell-loop"].make())
    assert (path.first, path.last) == ("cell#1", "head")
    assert [step.site for step in path.steps if step.site] == ["head", "cell#3", "cell#2"]


def test_path_starts_at_the_first_site_that_has_a_gradient() -> None:
    assert path_of(*CASES["frozen"].make()).first == "4"


def test_path_is_missing_when_no_gradient_is_left() -> None:
    torch.manual_seed(0)
    flow = measure(plain_mlp(), vectors(), lambda m, b: cross_entropy(m, b) * 0.0)
    assert flow.path is None


def test_path_survives_a_graph_of_three_thousand_nodes() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear(x)
            for _ in range(3_000):
                x = x * 1.0001
            return self.head(x)

    torch.manual_seed(0)
    path = path_of(Loop(), torch.randn(8, 4), lambda m, b: m(b).square().mean())
    assert path.decades == pytest.approx(
        3_000 * math.log10(1.0001) + next(s.log10_gain for s in path.steps if s.site == "head"), abs=1e-4
    )
