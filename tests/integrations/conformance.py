"""One small training that every framework has to repeat, and its watch has to show what the raw loop's does.

A framework's test hands over a function that trains a network on the batches in their order, with plain SGD, and
watches it or not. :func:`check_conformance` holds it against the raw loop in every step, at every site and parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.records import Finding

RATE = 0.1
STEPS = 12  # the tenth measured step is a thorough one, like the first
SAMPLES = 32
CLIP = 0.05  # far below the gradients' norm
TOLERANCE = 1e-6  # relative: what issue 9 asks for

Batches = list[tuple[Tensor, Tensor]]


def healthy() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))


def vanishing() -> nn.Module:
    """Fifteen layers of sigmoid, whose gradient loses eight decades on its way."""
    layers = [part for _ in range(15) for part in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(8, 16), *layers, nn.Linear(16, 3))


NETWORKS = {"healthy": healthy, "vanishing": vanishing}


def network(name: str) -> nn.Module:
    """One of :data:`NETWORKS`, from the same seed each time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return NETWORKS[name]()


def batches(count: int = STEPS) -> Batches:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count * SAMPLES, 8, generator=generator)
    y = x[:, :3].argmax(dim=1)
    return list(zip(x.split(SAMPLES), y.split(SAMPLES), strict=True))


@dataclass
class Trained:
    """What a framework did.

    Attributes:
        network: That it trained.
        symptoms: Of the report that its watch gave, if it was watched.
    """

    network: nn.Module
    report: hw.Report | None = None


Training = Callable[[nn.Module, Batches, Path | None], Trained]
"""``train(network, batches, run)`` trains; with a ``run``, watches every step and records it there."""


def raw(
    net: nn.Module,
    data: Batches,
    run: Path,
    clip: float | None,
    accumulate: int,
    before: bool,
    make: type[torch.optim.SGD],
    criterion: Callable[[Tensor, Tensor], Tensor],
) -> hw.Report:
    """The training as a loop of one's own."""
    optimizer = make(net.parameters(), lr=RATE)
    with hw.watch(net, optimizer, every=1, run=run, quiet=True) as watch:
        total = 0.0
        for number, (x, y) in enumerate(data, 1):
            loss = criterion(net(x), y) / accumulate
            loss.backward()
            total += loss.item()
            if number % accumulate:
                continue
            if before:
                watch.gradients_ready(optimizer)
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            watch.log(loss=total)
            optimizer.step()
            optimizer.zero_grad()
            total = 0.0
    return watch.report()


def check_conformance(
    train: Training,
    name: str,
    folder: Path,
    *,
    prefix: str = "",
    clip: float | None = None,
    accumulate: int = 1,
    before_clipping: bool = False,
    tells_loss: bool = True,
    optimizer: type[torch.optim.SGD] = torch.optim.SGD,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    tolerance: float = TOLERANCE,
) -> Trained:
    """Fail unless the framework's watch shows what the raw loop's does, and leaves the training as it was.

    Args:
        train: Trains by the framework.
        name: Of the network.
        folder: For the runs.
        prefix: What the framework puts before the names of modules.
        clip: Norm that the framework clips gradients to.
        accumulate: Batches per step.
        before_clipping: Whether the framework's hook is in front of the clipping.
        tells_loss: Whether the watch gets the loss of each step.
        optimizer: Of the raw loop, where the framework rounds its steps otherwise than torch.
        loss: Of the raw loop, where the framework sums it up otherwise.
        tolerance: Relative.
    """
    data = batches(STEPS * accumulate)
    alone, watched, plain = network(name), network(name), network(name)
    alone = train(alone, data, None).network
    trained = train(watched, data, folder / "framework")
    for (key, one), (_, other) in zip(alone.named_parameters(), trained.network.named_parameters(), strict=True):
        assert torch.equal(one, other), f"watching has changed {key}"
    expected = raw(plain, data, folder / "raw", clip, accumulate, before_clipping, optimizer, loss)
    _same_runs(folder / "framework", folder / "raw", prefix, tells_loss, tolerance)
    assert trained.report is not None
    assert trained.report.verdict == expected.verdict
    assert [_about(f, prefix) for f in trained.report.findings] == [_about(f, "") for f in expected.findings]
    if name == "vanishing":
        assert trained.report.findings[0].symptom == "vanishing"
    return trained


def _same_runs(framework: Path, loop: Path, prefix: str, tells_loss: bool, tolerance: float) -> None:
    found, expected = hw.open_run(framework), hw.open_run(loop)
    assert found.site_names == [prefix + name for name in expected.site_names]
    assert found.parameters == [prefix + name for name in expected.parameters]
    for statistic in expected.statistics:
        _same(found.read(statistic), expected.read(statistic), statistic, tolerance)
    for statistic in expected.parameter_statistics:
        _same(found.read_parameters(statistic), expected.read_parameters(statistic), statistic, tolerance)
    if tells_loss:
        losses = [run.scalars()["loss"] for run in (found, expected)]
        assert len(losses[0].values) == STEPS
        np.testing.assert_allclose(losses[0].values, losses[1].values, rtol=tolerance)


BETWEEN_RANKS = {"local_grad_rms", "local_grad_abs_max"}  # there only where several ranks train
SIGNED = {"activation_mean", "activation_grad_mean", "gradient_cosine", "value_mean", "grad_mean"}

Curve = tuple[np.ndarray, np.ndarray]


def _same(found: Curve, expected: Curve, statistic: str, tolerance: float) -> None:
    assert list(found[0]) == list(expected[0]) == list(range(STEPS)), statistic
    assert np.isfinite(expected[1]).any() or statistic in BETWEEN_RANKS, statistic
    # A signed number may be next to zero, where only the scale of its kind says what is small.
    scale = float(np.nanmax(np.abs(expected[1]))) if statistic in SIGNED else 0.0
    np.testing.assert_allclose(found[1], expected[1], rtol=tolerance, atol=tolerance * scale, err_msg=statistic)


def _about(finding: Finding, prefix: str) -> tuple[object, ...]:
    sites = tuple(site.removeprefix(prefix) for site in finding.sites)
    return finding.symptom, finding.severity, sites, tuple(cause.id for cause in finding.causes)
