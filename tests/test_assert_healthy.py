"""One line in somebody's test suite: silent for a healthy model, loud with the report for any other."""

import pytest
import torch
from torch import nn

import headwater as hw
from tests.cases import cross_entropy, plain_mlp, vectors


def dead() -> nn.Module:
    torch.manual_seed(0)
    model = plain_mlp(depth=4)
    model[2].bias.data.fill_(-100.0)
    return model


def test_healthy_model_passes_and_gives_its_report() -> None:
    torch.manual_seed(0)
    assert hw.assert_healthy(plain_mlp(), vectors(), cross_entropy).verdict == "healthy"


def test_finding_fails_with_the_report_in_the_message() -> None:
    with pytest.raises(AssertionError, match=r"Sequential is not known to be healthy\.\n(.|\n)*dead units"):
        hw.assert_healthy(dead(), vectors(), cross_entropy)


@pytest.mark.parametrize("allow", ["dead_units", ["dead_units", "overfitting"]])
def test_symptom_that_is_allowed_passes(allow: str | list[str]) -> None:
    assert hw.assert_healthy(dead(), vectors(), cross_entropy, allow=allow).verdict == "findings"


def test_verdict_that_is_not_possible_fails_unless_allowed() -> None:
    torch.manual_seed(0)

    def nothing(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return cross_entropy(model, batch) * 0.0

    with pytest.raises(AssertionError, match="Cannot tell"):
        hw.assert_healthy(plain_mlp(), vectors(), nothing)
    assert hw.assert_healthy(plain_mlp(), vectors(), nothing, allow=["cannot_tell"]).verdict == "cannot_tell"


def test_experiment_can_be_trained_first() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    experiment = hw.Experiment(
        model=plain_mlp,
        batches=lambda: [(x, x[:, :3].argmax(dim=1))],
        loss=cross_entropy,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    )
    assert hw.assert_healthy(experiment, steps=20, seed=0).flow.step == 20
