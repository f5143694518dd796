"""The symptoms of AUTOTRAINER (Zhang et al., ICSE 2021, section III-B), with the thresholds of its own code.

Its code is for Keras; this is a new implementation of the published rules. Values are those of ``default_param`` and
``monitor.py`` in its repository (shiningrain/AUTOTRAINER). The tool looks once per epoch; here the watched steps are
cut into ten epochs, gradients are those of the last step of each, and "accuracy" is the experiment's own metric, on
the epoch's batches and held out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from benchmarks.faults.diagnosers import FINE, Opinion, alarm
from benchmarks.faults.training import Training, dense
from headwater.records import Experiment

EPOCHS = 10
VANISHING_RATIO = 1e-3  # β₁: gradient norm of the first layer over the last
VANISHING_NORM = 1e-4  # β₂: and of the first layer itself
EXPLODING_RATIO = 70.0  # β₃
ZERO_SHARE = 0.7  # γ: share of gradients that are exactly 0
SWING = 0.03  # ζ: from a local maximum of the accuracy to a local minimum
SWING_SHARE = 0.2  # η: swings per epoch
SLOW = 0.01  # δ: largest gain of accuracy from one epoch to the next
SATISFIED = 0.7  # Θ: accuracy that counts as trained
JUDGED_FROM = 0.3  # share of the training after which losses are judged
LOSS_LIMIT = 1e5


@dataclass
class History:
    """What it has seen so far, one number per epoch."""

    train_loss: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)


def diagnose(experiment: Experiment, steps: int, seed: int) -> Opinion:
    """The first symptom that its monitor reports ends the training, as there."""
    training = Training(experiment, seed)
    history, flags = History(), set[str]()
    length = max(1, steps // EPOCHS)
    for _ in range(EPOCHS):
        losses, batches = [], []
        for loss in training.steps(length):
            losses.append(loss)
            batches.append(training.batch)
        history.train_loss.append(sum(losses) / len(losses))
        history.test_loss.append(training.held_out_loss())
        history.train.append(training.metric(batches))
        history.test.append(training.metric(list(experiment.validation()) if experiment.validation else []))
        flags |= gradient_flags([dense(p.grad) for p in training.model.parameters() if p.grad is not None])
        if symptom := judged(history, flags):
            return alarm(symptom, verdict=f"epoch {len(history.train)}")
    return FINE


def gradient_flags(gradients: list[torch.Tensor]) -> set[str]:
    """What the gradients of one step show."""
    kernels = [gradient for gradient in gradients if gradient.dim() > 1]
    if not kernels:
        return set()
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        return {"nonfinite"}
    first, last = float(kernels[0].norm()), float(kernels[-1].norm())
    ratio = first / last if last else math.inf
    zeros = sum(int((gradient == 0).sum()) for gradient in gradients)
    flags = set()
    if ratio < VANISHING_RATIO and first < VANISHING_NORM:
        flags.add("vanishing")
    if ratio > EXPLODING_RATIO:
        flags.add("exploding")
    if zeros / sum(gradient.numel() for gradient in gradients) >= ZERO_SHARE:
        flags.add("dead_units")
    return flags


def judged(history: History, flags: set[str]) -> str | None:
    """The symptom after the last epoch, ``None`` while all is well."""
    loss, held_out = history.train_loss[-1], history.test_loss[-1]
    if "nonfinite" in flags or not math.isfinite(loss) or not math.isfinite(held_out) or held_out >= LOSS_LIMIT:
        return "exploding"
    if len(history.train) < JUDGED_FROM * EPOCHS:
        return None
    unsatisfied = max(history.test) < SATISFIED or max(history.train) < SATISFIED
    slow = largest_gain(history.test) < SLOW and largest_gain(history.train) < SLOW
    if unsatisfied or slow:
        for symptom in ("dead_units", "exploding", "vanishing"):
            if symptom in flags:
                return symptom
        return "lr_too_low" if slow else None
    return "oscillation" if swings(history.train) >= SWING_SHARE * len(history.train) else None


def largest_gain(values: list[float]) -> float:
    """From one epoch to the next, 0 if there is none."""
    return max([0.0, *(after - before for before, after in pairwise(values))])


def swings(values: list[float]) -> int:
    """Pairs of a local maximum and a local minimum that are far enough apart."""
    inner = list(zip(values, values[1:], values[2:], strict=False))
    tops = [here for before, here, after in inner if here >= before and here >= after]
    bottoms = [here for before, here, after in inner if here <= before and here <= after]
    return sum(top - bottom >= SWING for top, bottom in zip(tops, bottoms, strict=False))
