"""One line in somebody's test suite: silent for a healthy model, loud with the report for any other."""

import re
from typing import Any

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


def failure(model: nn.Module, **arguments: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        hw.assert_healthy(model, vectors(), cross_entropy, **arguments)
    return str(caught.value)


def vanished() -> nn.Module:
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(8, 8), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Linear(8, 3))


@pytest.mark.parametrize("model", [dead, vanished])
def test_failure_says_where_what_how_much_and_what_to_do_in_twelve_lines(model: Any) -> None:
    lines = failure(model()).splitlines()
    assert 4 <= len(lines) <= 12
    assert max(map(len, lines)) <= 160
    assert re.search(r"(dead units|vanishing gradient) · [03]$", lines[1])
    assert re.search(r"[\d.]+.*\(limit [^)]+\)", lines[2])
    assert re.search(r"fix: \w+\.\w+", lines[3])


def test_failure_of_a_network_with_much_wrong_stays_short() -> None:
    model = vanished()
    limits = {"*": {"activation_rms": (None, 1e-9), "zero_fraction": (0.5, None)}}
    lines = failure(model, limits=limits).splitlines()
    assert len(lines) <= 12
    assert re.match(r"… \d+ more", lines[-1])


def test_limit_of_a_layer_stands_in_place_of_ours() -> None:
    assert hw.assert_healthy(dead(), vectors(), cross_entropy, limits={"3": {"dead_fraction": 1.0}})
    assert "dead units" in failure(dead(), limits={"1": {"dead_fraction": 1.0}})  # another layer's


def test_limit_can_be_stricter_than_ours() -> None:
    torch.manual_seed(0)
    model = plain_mlp()
    message = failure(model, limits={"0": {"activation_rms": 0.01}})
    assert re.search(r"✗ 0: .*0\.\d+.*\(limit 0\.01\)", message)
    hw.assert_healthy(model, vectors(), cross_entropy, limits={"0": {"activation_rms": (0.01, 100.0)}})


def test_later_pattern_holds_where_two_fit() -> None:
    torch.manual_seed(0)
    limits = {"*": {"activation_rms": 1e-9}, "[0-9]*": {"activation_rms": 1e9}}
    hw.assert_healthy(plain_mlp(), vectors(), cross_entropy, limits=limits)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"enc.*": {"dead_fraction": 1.0}}, "no site is called 'enc.*'"),
        ({"*": {"ded_fraction": 1.0}}, "there is dead_fraction"),
        ({"*": {"dead_fraction": "much"}}, "got 'much'"),
        ({"*": 0.5}, "limits says for which layers"),
    ],
)
def test_limit_that_cannot_be_meant_is_refused(limits: Any, said: str) -> None:
    with pytest.raises(hw.InputError, match=re.escape(said)):
        hw.assert_healthy(plain_mlp(), vectors(), cross_entropy, limits=limits)


def test_the_same_answer_a_hundred_times() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp(), vectors()
    assert {hw.assert_healthy(model, batch, cross_entropy).verdict for _ in range(100)} == {"healthy"}
    broken = dead()
    assert len({failure(broken) for _ in range(10)}) == 1
