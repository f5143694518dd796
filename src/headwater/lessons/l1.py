"""L1 regularisation drives most weights to almost zero and leaves a few; L2 makes all of them smaller.

The overfitting network trained with each penalty at several strengths, and the two compared where their accuracy on
new samples is the same (Tibshirani 1996; Goodfellow, Bengio, Courville 2016, "Deep Learning", section 7.1.2).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.overfitting import SEEDS, fitted, means
from headwater.lessons.training import Trained, score
from headwater.records.message import Value
from headwater.records.picture import Axis, Curve, Panel, Picture, Table

GRID = {"l1": (1e-3, 2e-3, 3e-3), "l2": (5e-3, 1e-2)}
"""Strengths that do about equally well on new digits."""
ALMOST_ZERO = 1e-3
TIMES = 3.0
MOST = 0.5
EQUAL = 0.02  # accuracies that differ by less than 2 points count as equal
BIN = 0.25
BINS = tuple(-7.0 + BIN * i for i in range(30))  # left edges, of log₁₀ |w|


@dataclass(frozen=True)
class Regularised:
    """A network trained with a penalty.

    Attributes:
        weights: |w| of all weights, biases apart.
        trained: How well it does.
        pruned_test: Share of the test samples told right once weights below 1e-3 are set to zero.
    """

    weights: Tensor
    trained: Trained
    pruned_test: float

    @property
    def almost_zero(self) -> float:
        """Share of weights below 1e-3."""
        return float((self.weights < ALMOST_ZERO).double().mean())


Runs = dict[tuple[str, float], list[Regularised]]


def regularised(data: Split, kind: str | None, strength: float, seed: int) -> Regularised:
    """The overfitting network, trained with L1, with L2, or without a penalty."""
    model, trained = fitted(data, seed, None if kind is None else f"regularisation.{kind}:{strength!r}")
    weights = torch.cat([weight.detach().abs().flatten() for weight in _matrices(model)])
    return Regularised(weights, trained, _pruned_score(model, data))


def experiment() -> Outcome:
    """Each penalty at each strength; L1 as strong as it may be, and L2 at the strength nearest to its accuracy."""
    t = Texts("l1")
    data = digits()
    runs: Runs = {
        (kind, strength): [regularised(data, kind, strength, seed) for seed in SEEDS]
        for kind, strengths in GRID.items()
        for strength in strengths
    }
    accuracy = {key: means([run.trained for run in those])[1] for key, those in runs.items()}
    first = _strongest("l1", accuracy)
    second = min((key for key in runs if key[0] == "l2"), key=lambda key: abs(accuracy[key] - accuracy[first]))
    pairs = list(zip(runs[first], runs[second], strict=True))
    one_weight = 1 / len(runs[second][0].weights)
    checks = (
        t.over_seeds("equal", [a.trained.test - b.trained.test for a, b in pairs], -EQUAL, EQUAL),
        t.over_seeds("most", [run.almost_zero for run in runs[first]], low=MOST),
        t.over_seeds("times", [a.almost_zero / max(b.almost_zero, one_weight) for a, b in pairs], low=TIMES),
    )
    values: dict[str, Value] = {
        "l1_strength": first[1],
        "l2_strength": second[1],
        "l1_share": 100 * _share(runs[first]),
        "l2_share": 100 * _share(runs[second]),
        "l1_test": 100 * accuracy[first],
        "l2_test": 100 * accuracy[second],
        "times": checks[2].value,
        "pruned": 100 * statistics.fmean(run.pruned_test for run in runs[first]),
        "exact_zeros": sum(int((run.weights == 0).sum()) for run in runs[first]),
    }
    chosen = runs[first][0], runs[second][0]
    picture = Picture(t("summary", **values), _panels(t, chosen, runs))
    return Outcome(checks, values, (picture,), (_table(t, runs),), SEEDS)


def _panels(t: Texts, chosen: tuple[Regularised, Regularised], runs: Runs) -> tuple[Panel, ...]:
    """The weights under each penalty, and what each strength does."""
    size, share = Axis(t("axis.size"), "log10", BINS[0], BINS[-1] + BIN), t.axis("share", low=0.0)
    histograms = tuple(
        Panel(t(f"panel.{kind}"), size, share, (_histogram(t, kind, run.weights),))
        for kind, run in zip(GRID, chosen, strict=True)
    )
    return (*histograms, Panel(t("panel.grid"), t.axis("accuracy"), share, _by_accuracy(t, runs)))


def _table(t: Texts, runs: Runs) -> Table:
    columns = tuple(t(f"column.{key}") for key in ("penalty", "strength", "train", "test", "almost_zero"))
    rows = tuple(
        (t(f"curve.{kind}"), strength, *means([run.trained for run in those])[:2], _share(those))
        for (kind, strength), those in runs.items()
    )
    return Table(t("table"), columns, rows)


def _share(runs: list[Regularised]) -> float:
    return statistics.fmean(run.almost_zero for run in runs)


def _strongest(kind: str, accuracy: dict[tuple[str, float], float]) -> tuple[str, float]:
    """The strongest of a penalty's strengths whose accuracy equals that of the best."""
    keys = [key for key in accuracy if key[0] == kind]
    best = max(accuracy[key] for key in keys)
    return max(key for key in keys if accuracy[key] > best - EQUAL)


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def _pruned_score(model: nn.Module, data: Split) -> float:
    """Accuracy without the weights that are almost zero; the model is left so."""
    with torch.no_grad():
        for weight in _matrices(model):
            weight[weight.abs() < ALMOST_ZERO] = 0.0
    return score(model, data.test_x, data.test_y)


def _histogram(t: Texts, key: str, weights: Tensor) -> Curve:
    """Share of the weights in each bin of log₁₀ |w|; smaller ones, zeros too, count in the first."""
    levels = weights.log10().clamp(BINS[0] + BIN / 2, BINS[-1] + BIN / 2)
    shares = levels.histc(len(BINS), BINS[0], BINS[-1] + BIN) / len(weights)
    return t.curve(key, [edge + BIN / 2 for edge in BINS], shares.tolist(), bars=True)


def _by_accuracy(t: Texts, runs: Runs) -> tuple[Curve, ...]:
    """A point for each strength of each penalty."""
    curves = []
    for kind in GRID:
        those = [runs[key] for key in runs if key[0] == kind]
        tests = [means([run.trained for run in at_strength])[1] for at_strength in those]
        curves.append(t.curve(kind, tests, [_share(at_strength) for at_strength in those], points=True))
    return tuple(curves)


LESSON = Lesson("l1", experiment, seconds=25.0)
