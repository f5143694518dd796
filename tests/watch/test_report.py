"""The report of a watched training speaks of the training as it is now."""

import pytest
import torch
from torch import nn

import headwater as hw
from tests.cases import cross_entropy, plain_mlp, vectors


@pytest.mark.parametrize("every", [1, 3])
def test_number_that_spoils_the_training_is_reported_though_the_last_thorough_step_was_well(every: int) -> None:
    torch.manual_seed(0)
    model = plain_mlp("tanh")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with hw.watch(model, optimizer, every=every) as watch:
        for step in range(45):
            if step == 40:
                with torch.no_grad():
                    model[2].weight[0, 0] = float("nan")
            optimizer.zero_grad()
            cross_entropy(model, vectors()).backward()
            optimizer.step()
    report = watch.report()
    assert report.findings[0].symptom == "nonfinite"
    assert [event.message.id for event in watch.events] == ["event.nonfinite"]


def test_report_says_in_both_languages_how_the_training_was_watched() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with hw.watch(model, optimizer, every=2) as watch:
        for _ in range(5):
            optimizer.zero_grad()
            cross_entropy(model, vectors()).backward()
            optimizer.step()
    report = watch.report()
    assert report.watch is not None
    assert (report.watch.steps, report.watch.sampled) == (5, 3)
    assert "3 of 5 steps measured" in str(report)
    assert report.to_dict("ko")["watch"]["sampled"] == 3
