"""Each way a training breaks is told from the others, by its own cause, at the right place and step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.recorded.why import BEFORE, why
from headwater.records.why import Why
from headwater.store import Writer
from headwater.store.columns import GROUPS, PARAMETERS, SITES
from tests.store.recording import begun, tables

BREAKS = 30


class Switched(nn.Module):
    """Does something else from one step on."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.act, self.on = act, False

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x) if self.on else x


def broken(
    path: Path,
    act: Callable[[Tensor], Tensor] | None = None,
    spoil: Callable[[nn.Module, torch.optim.Optimizer, Tensor], Any] | None = None,
    loss_of: Callable[[Tensor], Tensor] | None = None,
    every: int = 1,
    breaks: int = BREAKS,
    steps: int = 40,
) -> Why:
    """A training in which one thing goes wrong at one step."""
    torch.manual_seed(0)
    switch = Switched(act or (lambda x: x))
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), switch, nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with hw.watch(model, optimizer, every=every, run=path, quiet=True) as watch:
        for step in range(steps):
            x, y = torch.randn(32, 8), torch.randint(3, (32,))
            switch.on = step >= breaks
            if step == breaks and spoil is not None:
                spoil(model, optimizer, x)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            if step >= breaks and loss_of is not None:
                loss = loss_of(loss)
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
    return why(hw.open_run(path))


def _nan_in_input(model: nn.Module, optimizer: Any, x: Tensor) -> None:
    x[3, 2] = float("nan")


def _huge_rate(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    optimizer.param_groups[0]["lr"] = 1e38


class _NanGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * float("nan")


CASES: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "bad input": ({"spoil": _nan_in_input}, (30, "input", "0", "bad_input")),
    "overflow": ({"act": lambda x: x * 1e30 * 1e30}, (30, "activation", "2", "overflow")),
    "0/0": ({"act": lambda x: (x - x) / (x - x)}, (30, "activation", "2", "zero_by_zero")),
    "root below zero": ({"act": lambda x: (-x.abs() - 1).sqrt()}, (30, "activation", "2", "zero_by_zero")),
    "gradient": ({"act": _NanGradient.apply}, (30, "grad", "1", "zero_by_zero")),
    "loss": ({"loss_of": lambda loss: loss + torch.log(torch.zeros(()))}, (30, "loss", None, "overflow")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_broke_is_told_by_its_cause(tmp_path: Path, case: str) -> None:
    settings, expected = CASES[case]
    found = broken(tmp_path / "a", **settings)
    assert found.verdict == "nonfinite"
    assert (found.step, found.kind, found.site, found.cause) == expected
    assert found.finite_until == 29
    assert [sample.step for sample in found.samples] == list(range(30 - BEFORE, 31))
    assert all(sample.loss is not None and np.isfinite(sample.loss) for sample in found.samples[:-1])
    if found.site is not None:
        assert [sample.nonfinite for sample in found.samples[:-1]] == [0] * BEFORE
        assert (found.samples[-1].nonfinite or 0) > 0
    assert not str(found.message).startswith("why."), "the message has words"


def test_weights_that_a_step_has_spoiled_are_told_as_such(tmp_path: Path) -> None:
    def spoiled(model: nn.Module, optimizer: Any, x: Tensor) -> None:
        with torch.no_grad():
            model[3].weight[0, 0] = float("inf")  # type: ignore[index]

    found = broken(tmp_path / "a", spoil=spoiled)
    assert (found.step, found.kind, found.site, found.cause) == (30, "param", "3.weight", "spoiled_by_update")


def test_a_learning_rate_that_overflows_is_found_where_it_shows_first(tmp_path: Path) -> None:
    found = broken(tmp_path / "a", spoil=_huge_rate)
    assert found.verdict == "nonfinite"
    assert (found.step, found.kind, found.finite_until) == (31, "loss", 30), "tanh has kept all before it finite"


def test_between_measured_steps_the_last_finite_one_is_named(tmp_path: Path) -> None:
    found = broken(tmp_path / "a", act=lambda x: x / 0.0 * 0.0, every=4, breaks=21, steps=40)
    assert (found.step, found.finite_until) == (24, 20)


def test_a_training_that_is_well_has_nothing_found(tmp_path: Path) -> None:
    found = broken(tmp_path / "a")
    assert (found.verdict, found.step, found.samples, found.recorded) == ("nothing_found", None, (), 40)


def test_a_run_without_steps_says_so(tmp_path: Path) -> None:
    Writer(tmp_path / "a").close()
    assert why(hw.open_run(tmp_path / "a")).verdict == "nothing_recorded"


def synthetic(
    path: Path, steps: int, change: Callable[[int, dict[str, Any]], float | None], dtype: str = "float32"
) -> None:
    """A run of four sites, healthy but for what ``change`` does to a step's tables."""
    writer = Writer(path, {"name": "a"})
    like = {"op": "Linear", "kind": "affine", "module": "", "dtype": dtype}
    writer.add_rows("sites", [{"name": f"s{n}", "order": n, **like} for n in range(4)])
    writer.add_rows("parameters", [{"name": "w"}])
    for step in range(steps):
        tables: dict[str, Any] = {
            "sites": np.ones((4, len(SITES))),
            "parameters": np.ones((1, len(PARAMETERS))),
            "course": np.zeros((1, len(GROUPS["course"]))),
        }
        for group, columns in (("sites", SITES), ("parameters", PARAMETERS)):
            for name in columns:
                if name.endswith(("_nan", "_inf", "spoiled", "zero_fraction", "subnormal_fraction")):
                    tables[group][:, columns.index(name)] = 0.0
        loss = change(step, tables)
        writer.step(step, tables, 1.0 if loss is None else loss)
    writer.close()


def test_a_gradient_that_explodes_is_found_before_it_is_infinite(tmp_path: Path) -> None:
    def change(step: int, tables: dict[str, Any]) -> None:
        if step >= 60:
            tables["course"][0, 0] = 5.0
            tables["sites"][2:, SITES.index("activation_rms")] = 1e4

    synthetic(tmp_path / "a", 80, change)
    found = why(hw.open_run(tmp_path / "a"))
    assert (found.verdict, found.step, found.kind, found.site) == ("exploding", 60, "activation", "s2")


def test_a_loss_that_jumps_is_found(tmp_path: Path) -> None:
    synthetic(tmp_path / "a", 80, lambda step, tables: 1e5 if step == 50 else None)
    found = why(hw.open_run(tmp_path / "a"))
    assert (found.verdict, found.step, found.kind) == ("loss_spike", 50, "loss")


@pytest.mark.parametrize(("dtype", "verdict"), [("float16", "underflow"), ("float32", "nothing_found")])
def test_gradients_lost_to_half_precision_are_underflow(tmp_path: Path, dtype: str, verdict: str) -> None:
    def change(step: int, tables: dict[str, Any]) -> None:
        if step >= 20:
            tables["sites"][0, SITES.index("activation_grad_zero_fraction")] = 1.0
            tables["sites"][0, SITES.index("activation_grad_rms")] = 0.0
            tables["sites"][1, SITES.index("activation_grad_subnormal_fraction")] = 0.7

    synthetic(tmp_path / "a", 40, change, dtype)
    found = why(hw.open_run(tmp_path / "a"))
    assert found.verdict == verdict
    if verdict == "underflow":
        assert (found.site, found.cause, found.kind) == ("s0", "fp16_underflow", "grad")


def test_what_is_finite_again_later_is_said(tmp_path: Path) -> None:
    def change(step: int, tables: dict[str, Any]) -> None:
        if step in (10, 11):
            tables["sites"][1:, SITES.index("activation_nan")] = 3.0

    synthetic(tmp_path / "a", 40, change)
    found = why(hw.open_run(tmp_path / "a"))
    assert (found.step, found.site, found.recovered_at, found.affected) == (10, "s1", 12, 2)


def test_a_long_run_is_searched_in_two_seconds(tmp_path: Path) -> None:
    def change(step: int, tables: dict[str, Any]) -> None:
        if step >= 19_000:
            tables["sites"][1:, SITES.index("activation_inf")] = 1.0

    synthetic(tmp_path / "a", 20_000, change)
    started = time.perf_counter()
    found = why(hw.open_run(tmp_path / "a"))
    assert time.perf_counter() - started < 2
    assert (found.step, found.site, found.cause) == (19_000, "s1", "overflow")
    assert len(found.samples) == 21


def spoil(path: Path) -> None:
    """A byte in the middle of a file is another one."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def broken_in_the_middle(path: Path) -> None:
    """Forty steps whose weights are NaN from step 20 on, and whose loss says so."""
    writer = begun(path)
    for step in range(40):
        shown = tables(step)
        for group in shown:
            shown[group][:, [name.endswith(("_nan", "_inf")) for name in GROUPS[group]]] = 0.0
        if step >= 20:
            shown["sites"][1:, GROUPS["sites"].index("activation_nan")] = 5.0
        writer.step(step, shown, loss=1.0 if step < 20 else math.nan)
    writer.close()


def test_steps_whose_files_are_damaged_are_not_told_of_by_their_sums(tmp_path: Path) -> None:
    """What sums 16 steps up says that there was NaN among them, and nothing of which tensor was first, or when."""
    broken_in_the_middle(tmp_path / "a")
    for folder in ("sites", "parameters"):
        spoil(next((tmp_path / "a").glob(f"start-*/{folder}/*.parquet")))
    found = why(hw.open_run(tmp_path / "a"))
    assert (found.verdict, found.step, found.site, found.cause) == ("nonfinite", None, None, "unknown")
    assert found.message.id == "why.unseen_between"
    assert found.message.values == {"first": 16, "last": 20}
    assert [message.values for message in found.evidence] == [{"count": 2, "site": "1"}]
    assert len(found.damage) == 2


def test_a_loss_whose_step_cannot_be_read_is_blamed_on_nothing(tmp_path: Path) -> None:
    """Not on the loss function: that every tensor was finite is not known."""
    broken_in_the_middle(tmp_path / "a")
    for path in (tmp_path / "a").glob("start-*/[sp][ia]*/*.parquet"):
        spoil(path)
    found = why(hw.open_run(tmp_path / "a"))
    assert (found.verdict, found.step, found.kind, found.cause) == ("nonfinite", 20, "loss", "unknown")
    assert found.message.id == "why.unseen_loss"
    assert found.finite_until is None


@pytest.mark.parametrize("damaged", ["sites*", "parameters*", "steps"])
def test_what_cannot_be_read_is_not_called_well(tmp_path: Path, damaged: str) -> None:
    writer = begun(tmp_path / "a")
    for step in range(40):
        shown = tables(0)
        for group in shown:
            shown[group][:, [name.endswith(("_nan", "_inf")) for name in GROUPS[group]]] = 0.0
        writer.step(step, shown, loss=1.0)
    writer.close()
    assert why(hw.open_run(tmp_path / "a")).verdict == "nothing_found"
    for path in (tmp_path / "a").glob(f"start-*/{damaged}/*.parquet"):
        spoil(path)
    found = why(hw.open_run(tmp_path / "a"))
    assert found.verdict == "unreadable"
    assert found.message.values == {"lost": 40, "steps": 40}
    assert found.damage
