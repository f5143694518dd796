"""A mistake in an Experiment is named where it is made, with the call that would be right."""

from typing import Any

import pytest
from torch import nn, optim

from headwater.records import Experiment, InputError

RIGHT: dict[str, Any] = {"model": lambda: nn.Linear(2, 1), "batches": list, "loss": lambda model, batch: None}


def test_functions_and_classes_are_taken() -> None:
    experiment = Experiment(**RIGHT, optimizer=optim.SGD, validation=list, metric=lambda model, batches: 0.0)
    assert experiment.optimizer is optim.SGD
    assert Experiment(**{**RIGHT, "model": nn.Identity}).optimizer is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model", "net", r"Experiment\(model=\.\.\.\) takes a function, got str.*Experiment\(model=lambda: \.\.\.\)"),
        ("model", None, r"takes a function, got NoneType"),
        ("model", nn.Linear(2, 1), r"got a finished Linear\. Make it inside: Experiment\(model=lambda: Linear\("),
        ("batches", [1, 2], r"got list\. Wrap it: Experiment\(batches=lambda: \.\.\.\)"),
        ("batches", None, r"takes a function, got NoneType"),
        ("loss", 0.5, r"got float\. Wrap it: Experiment\(loss=lambda model, batch: \.\.\.\)"),
        ("loss", None, r"takes a function, got NoneType"),
        ("loss", nn.MSELoss(), r"Experiment\(loss=lambda model, batch: MSELoss\(\)\(model\(batch\[0\]\), batch\[1\]\)"),
        ("optimizer", optim.SGD([nn.Parameter()], lr=0.1), r"got SGD\. Wrap it: Experiment\(optimizer=lambda param"),
        ("validation", (), r"got tuple\. Wrap it: Experiment\(validation=lambda: \.\.\.\)"),
        ("metric", 0.9, r"got float\. Wrap it: Experiment\(metric=lambda model, batches: \.\.\.\)"),
    ],
)
def test_what_is_no_function_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Experiment(**{**RIGHT, name: value})
