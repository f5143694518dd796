"""What too long steps have made of a network: weights many times as large as at its start, and a loss to match."""

from __future__ import annotations

import math

from headwater.diagnosis.prescribing_training import change
from headwater.lab.rehearsal import WORSE, FirstStep, usual_rate
from headwater.records import Cause, Evidence, Finding, Flow, Message
from headwater.records.message import Value

GROWN = 10.0
"""Times the weights' rms at the start. While the lab's networks learn digits it grows less than threefold
(tests/lab/test_blown_up.py)."""


def growth_of(start: Flow, now: Flow) -> dict[str, float]:
    """How many times the rms of each weight has grown, by name; infinite where one is no number any more."""
    before = {row.name: row.value.log10_rms for row in start.parameters if len(row.shape) > 1}
    found = {}
    for row in now.parameters:
        was = before.get(row.name)
        if was is None or not math.isfinite(was):
            continue  # nothing, or numbers that were none from the start, cannot be compared with
        level = row.value.log10_rms
        if row.value.nonfinite_count or level is None or not math.isfinite(level):
            found[row.name] = 0.0 if level == -math.inf else math.inf
        else:
            found[row.name] = 10.0 ** min(level - was, 300.0)
    return found


def blow_up_of(start: Flow, now: Flow, loss: float, step: int, first: FirstStep | None) -> Finding | None:
    """The steps that have done it, as a finding; ``None`` while the weights are of a size with those at the start.

    Args:
        start: Of the network before its first step.
        now: As it is.
        loss: Of the last step, NaN or Inf too.
        step: How many have been taken.
        first: What the first of them does.
    """
    growth = growth_of(start, now)
    if not growth or start.loss is None or not math.isfinite(start.loss):
        return None
    where = max(growth, key=lambda name: growth[name])
    if growth[where] <= GROWN or loss <= WORSE * start.loss:
        return None
    values: dict[str, Value] = {
        "ratio": growth[where],
        "steps": step,
        "site": where,
        "first": start.loss,
        "last": loss,
    }
    rate = usual_rate(first) if first is not None else 1e-3
    return Finding(
        symptom="lr_too_high",
        severity="critical",
        sites=(),
        evidence=(
            Evidence("weight_growth", growth[where], GROWN),
            Evidence("last_loss", loss, WORSE * start.loss),
        ),
        causes=(Cause("learning_rate_high", None, Message("lab.engine.blown_up.why", values)),),
        prescriptions=(change(f"optimisation.learning_rate_to:{rate:g}", text="shorter_steps"),),
        message=Message("lab.engine.blown_up.expert", values),
    )
