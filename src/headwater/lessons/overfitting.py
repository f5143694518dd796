"""With many parameters and little data a network learns every training sample, and does worse on those it never saw.

The textbook's network, six hidden layers of 100 He ReLU units, on 300 samples; plain SGD with rate 0.01 for 200 epochs
in batches of 100 (Saito 2016, "Deep Learning from Scratch", chapter 6.4). The lessons on regularisation use the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from headwater.api import apply, check
from headwater.demo import accuracy
from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain, deep
from headwater.lessons.training import Trained, score, sgd, train
from headwater.records import Experiment
from headwater.records.message import Value
from headwater.records.picture import Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval

SEEDS = tuple(range(10))
HIDDEN_LAYERS, WIDTH = 6, 100
FOUND_SEEDS = SEEDS[:3]
SAMPLES = 300
MORE = 1000
BATCH = 100
RATE, STEPS = 0.01, 600
MARKS = (1, 5, 10, 20, 40, 80, 120, 160, 200, 250, 300, 400, 500, STEPS)
LEARNED, GAP = 0.995, 0.10


def network(seed: int) -> nn.Sequential:
    """Six hidden layers of 100 ReLU units, by He."""
    return chain(deep(HIDDEN_LAYERS + 1, WIDTH), "relu", "init.he", seed=seed)


def drawn(data: Split, samples: int, seed: int) -> Split:
    """So many training samples, drawn at random; the test samples stay."""
    rows = torch.randperm(len(data.x), generator=torch.Generator().manual_seed(seed))[:samples]
    return Split(data.x[rows], data.y[rows], data.test_x, data.test_y)


def fitted(
    data: Split,
    seed: int,
    remedy: str | None = None,
    *,
    samples: int = SAMPLES,
    rate: float = 0.1,
    steps: int = 400,
    batch: int = BATCH,
    watch: Callable[[nn.Module, Split, int], None] | None = None,
) -> tuple[nn.Module, Trained]:
    """The network after training on a few samples, with a remedy or without.

    Args:
        data: To draw the samples from.
        seed: Of the samples, of the weights, of the order of the samples and of what the remedy draws.
        remedy: Id, with its strength.
        samples: How many to train on.
        rate: Of plain SGD.
        steps: Of training.
        batch: Samples of a step.
        watch: Called with the model, its data and the number of each step.
    """
    few = drawn(data, samples, seed)
    model: nn.Module = network(seed)
    optimizer: torch.optim.Optimizer = sgd(rate)(model.parameters())
    if remedy is not None:
        model, optimizer = apply(model, remedy, optimizer, seed=seed)
    torch.manual_seed(seed)
    after_step = None if watch is None else lambda step: watch(model, few, step + 1)
    trained = train(model, few, steps=steps, optimizer=optimizer, batch=batch, seed=seed, after_step=after_step)
    return model, trained


def experiment() -> Outcome:
    """Accuracy on both sets while 300 digits are learned, and while 1,000 are."""
    t = Texts("overfitting")
    data = digits()
    seen = {samples: _Accuracies() for samples in (SAMPLES, MORE)}
    runs = {
        samples: [fitted(data, seed, samples=samples, rate=RATE, steps=STEPS, watch=watch)[1] for seed in SEEDS]
        for samples, watch in seen.items()
    }
    gaps = {samples: [run.gap for run in those] for samples, those in runs.items()}
    checks = (
        t.over_seeds("train", [run.train for run in runs[SAMPLES]], low=LEARNED),
        t.over_seeds("gap", gaps[SAMPLES], low=GAP),
        t.over_seeds("more_data", less(gaps[SAMPLES], gaps[MORE]), low=0.0),
        t.true("found", all("overfitting" in findings(data, seed) for seed in FOUND_SEEDS)),
    )
    train, test, gap = means(runs[SAMPLES])
    values: dict[str, Value] = {
        "parameters": sum(parameter.numel() for parameter in network(0).parameters()),
        "samples": SAMPLES,
        "train": 100 * train,
        "test": 100 * test,
        "gap": 100 * gap,
        "more": MORE,
        "gap_more": 100 * statistics.fmean(gaps[MORE]),
    }
    share = t.axis("accuracy", low=0.0, high=1.0)
    panels = tuple(
        Panel(t("panel", samples=samples), t.axis("step"), share, watch.curves(t)) for samples, watch in seen.items()
    )
    return Outcome(checks, values, (Picture(t("summary", **values), panels),), (_table(t, runs),), SEEDS)


def findings(data: Split, seed: int) -> list[str]:
    """What a check of the same training finds: the symptoms, worst first."""
    few = drawn(data, SAMPLES, seed)

    def batches() -> list[tuple[Tensor, Tensor]]:
        rows = torch.randperm(SAMPLES).split(BATCH)
        return [(few.x[chosen], few.y[chosen]) for chosen in rows]

    training = Experiment(
        model=lambda: network(seed),
        batches=batches,
        loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        optimizer=sgd(RATE),
        validation=lambda: [(few.test_x, few.test_y)],
        metric=accuracy,
    )
    return [finding.symptom for finding in check(training, steps=STEPS, seed=seed).findings]


def _table(t: Texts, runs: dict[int, list[Trained]]) -> Table:
    columns = tuple(t(f"column.{key}") for key in ("samples", "train", "test", "gap"))
    return Table(t("table"), columns, tuple((samples, *means(those)) for samples, those in runs.items()))


def means(runs: Sequence[Trained]) -> tuple[float, float, float]:
    """Accuracy on training and on test samples, and the gap, over several runs."""
    return (
        statistics.fmean(run.train for run in runs),
        statistics.fmean(run.test for run in runs),
        statistics.fmean(run.gap for run in runs),
    )


def less(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """By how much each of the first is larger than the second of the same seed."""
    return [a - b for a, b in zip(first, second, strict=True)]


class _Accuracies:
    """Share of samples told right at some steps, over the seeds."""

    def __init__(self) -> None:
        self.at: dict[str, dict[int, list[float]]] = {part: {step: [] for step in MARKS} for part in ("train", "test")}

    def __call__(self, model: nn.Module, few: Split, step: int) -> None:
        if step in MARKS:
            self.at["train"][step].append(score(model, few.x, few.y))
            self.at["test"][step].append(score(model, few.test_x, few.test_y))

    def curves(self, t: Texts) -> tuple[Curve, ...]:
        """Means over the seeds at each of the steps, with intervals."""
        return tuple(over_seeds_curve(t, part, MARKS, list(self.at[part].values())) for part in self.at)


def over_seeds_curve(t: Texts, key: str, x: Sequence[float], values: Sequence[Sequence[float]]) -> Curve:
    """The mean of several values at each x, with its 95 % interval."""
    intervals = [t_interval(those) for those in values]
    lows, highs = zip(*intervals, strict=True)
    return t.curve(key, x, [statistics.fmean(those) for those in values], low=lows, high=highs)


LESSON = Lesson("overfitting", experiment, seconds=20.0)
