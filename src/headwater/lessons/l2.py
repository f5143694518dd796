"""L2 regularisation pulls the largest weights most, and hardly any weight to zero.

First its pull alone, one update without any gradient; then the overfitting network with L2, with L1 of equal accuracy
and without a penalty, weight by weight in order of size (Krogh and Hertz 1991, "A simple weight decay can improve
generalization"; Goodfellow, Bengio, Courville 2016, "Deep Learning", section 7.1.1).
"""

from __future__ import annotations

import statistics

import torch
from torch import Tensor, nn

from headwater.api import apply
from headwater.lessons.data import digits
from headwater.lessons.l1 import Regularised, regularised
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.overfitting import SEEDS, less, means
from headwater.lessons.training import Trained, sgd
from headwater.records.message import Value
from headwater.records.picture import Axis, Curve, Panel, Picture, Table

STRENGTH = {"l1": 0.003, "l2": 0.01}
"""Where both do equally well on new digits: the lesson on L1 goes through the strengths."""
LARGEST = 0.01  # share of the weights that count as the largest
RANKS = (*(0.05 * i for i in range(1, 20)), 0.99, 0.999)
EXACT = 1e-9


def experiment() -> Outcome:
    """The pull alone, then what it makes of a network."""
    t = Texts("l2")
    at = torch.linspace(-1.0, 1.0, 81, dtype=torch.float64)
    pulls = {kind: _pull(kind, strength, at) for kind, strength in STRENGTH.items()}
    data = digits()
    arms = {"none": (None, 0.0), "l2": ("l2", STRENGTH["l2"]), "l1": ("l1", STRENGTH["l1"])}
    runs = {arm: [regularised(data, *penalty, seed) for seed in SEEDS] for arm, penalty in arms.items()}
    top = {arm: [_largest(run.weights) for run in those] for arm, those in runs.items()}
    median = {arm: [float(run.weights.median()) for run in those] for arm, those in runs.items()}
    gaps = {arm: [run.trained.gap for run in those] for arm, those in runs.items()}
    shares = {arm: [run.almost_zero for run in those] for arm, those in runs.items()}
    factor = {arm: _ratios(top["none"], top[arm]) for arm in ("l1", "l2")}
    factor_median = _ratios(median["none"], median["l2"])
    checks = (
        t.within("pull", float((pulls["l2"] - STRENGTH["l2"] * at).abs().max()), 0.0, EXACT),
        t.over_seeds("factor", less(factor["l2"], factor["l1"]), low=0.0),
        t.over_seeds(
            "amount",
            less(less(top["none"], top["l2"]), less(median["none"], median["l2"])),
            low=0.0,
        ),
        t.over_seeds("zeros", less(shares["l1"], shares["l2"]), low=0.0),
        t.over_seeds("gap", less(gaps["none"], gaps["l2"]), low=0.0),
    )
    values: dict[str, Value] = {
        "strength": STRENGTH["l2"],
        "top_none": statistics.fmean(top["none"]),
        "top_l2": statistics.fmean(top["l2"]),
        "factor_l2": statistics.fmean(factor["l2"]),
        "factor_l1": statistics.fmean(factor["l1"]),
        "factor_median": statistics.fmean(factor_median),
        "share_l1": 100 * statistics.fmean(shares["l1"]),
        "share_l2": 100 * statistics.fmean(shares["l2"]),
        "gap_none": 100 * statistics.fmean(gaps["none"]),
        "gap_l2": 100 * statistics.fmean(gaps["l2"]),
        "crossing": STRENGTH["l1"] / STRENGTH["l2"],
    }
    picture = Picture(t("summary", **values), _panels(t, at, pulls, runs))
    rows = tuple((t(f"curve.{arm}"), *means(_trained(runs[arm])), *_sizes(runs[arm])) for arm in arms)
    columns = tuple(t(f"column.{key}") for key in ("penalty", "train", "test", "gap", "top", "median", "almost_zero"))
    return Outcome(checks, values, (picture,), (Table(t("table"), columns, rows),), SEEDS)


def _panels(t: Texts, at: Tensor, pulls: dict[str, Tensor], runs: dict[str, list[Regularised]]) -> tuple[Panel, ...]:
    """What is taken from a weight, and what is left of the weights."""
    taken = tuple(t.curve(kind, at.tolist(), pulls[kind].tolist()) for kind in ("l2", "l1"))
    left = (*(_left(t, arm, runs) for arm in ("l2", "l1")), t.curve("none", (0, 1), (1, 1), reference=True))
    rank, share = Axis(t("axis.rank"), low=0.0, high=1.0), Axis(t("axis.left"), low=0.0, high=1.1)
    return (
        Panel(t("panel.pull"), t.axis("weight"), Axis(t("axis.pull")), taken),
        Panel(t("panel.left"), rank, share, left),
    )


def _pull(kind: str, strength: float, at: Tensor) -> Tensor:
    """What a penalty alone takes from each weight in one update of rate 1, the loss being flat."""
    layer = nn.Linear(len(at), 1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(at)
    model: nn.Module = layer
    optimizer: torch.optim.Optimizer = sgd(1.0)(model.parameters())
    model, optimizer = apply(model, f"regularisation.{kind}:{strength!r}", optimizer)
    weight = model.get_parameter("weight")
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    return at - weight.detach().flatten()


def _largest(weights: Tensor) -> float:
    """Mean of the largest."""
    return float(weights.topk(int(LARGEST * len(weights))).values.mean())


def _sizes(runs: list[Regularised]) -> tuple[float, float, float]:
    """The largest weights, the median one, and the share below 1e-3, over the seeds."""
    return (
        statistics.fmean(_largest(run.weights) for run in runs),
        statistics.fmean(float(run.weights.median()) for run in runs),
        statistics.fmean(run.almost_zero for run in runs),
    )


def _trained(runs: list[Regularised]) -> list[Trained]:
    return [run.trained for run in runs]


def _left(t: Texts, arm: str, runs: dict[str, list[Regularised]]) -> Curve:
    """What a penalty leaves of the weight at each rank, from the smallest to the largest."""
    at = torch.tensor(RANKS)
    sizes = {key: torch.stack([run.weights.quantile(at) for run in runs[key]]).mean(0) for key in ("none", arm)}
    return t.curve(arm, RANKS, (sizes[arm] / sizes["none"]).tolist())


def _ratios(before: list[float], after: list[float]) -> list[float]:
    return [a / b for a, b in zip(before, after, strict=True)]


LESSON = Lesson("l2", experiment, seconds=15.0)
