"""The first step before it is taken: how far it would move the weights, and where it would take the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from headwater.diagnosis.decay import REPLACED
from headwater.diagnosis.prescribing_training import USUAL_RATIO, change
from headwater.diagnosis.rules.lr_too_high import WRECKING_RATIO
from headwater.lab.csv_data import Uploaded
from headwater.lab.network import built
from headwater.lab.spec import Spec
from headwater.records import Cause, Evidence, Finding, Message
from headwater.records.message import Value

WORSE = 2.0  # times the loss there was: a step that doubles it does not descend
SOURCE = "twice the loss of the same batch before the step"


@dataclass(frozen=True)
class FirstStep:
    """What the first step of a network does to it.

    Attributes:
        ratios: ‖Δw‖/‖w‖ by the name of the weight, of those that are not zero.
        before: Loss of the first batch before the step.
        after: Loss of the same batch, with the same dropout, after it.
        optimizer: That takes it.
        rate: Its learning rate.
    """

    ratios: dict[str, float]
    before: float
    after: float
    optimizer: str
    rate: float

    @property
    def largest(self) -> float:
        """The largest ‖Δw‖/‖w‖; infinite where the step leaves no numbers."""
        values = self.ratios.values()
        return math.inf if not all(map(math.isfinite, values)) else max(values, default=0.0)

    @property
    def is_wrecking(self) -> bool:
        """Whether it moves weights so far that the loss grows, in place of falling."""
        return self.largest > WRECKING_RATIO and not self.after <= WORSE * self.before


def first_step_of(spec: Spec, uploaded: Uploaded | None = None) -> FirstStep | None:
    """The first step of the network of a spec, taken by a second network that is made the same way.

    Args:
        spec: Of the network.
        uploaded: Of ``data="csv"``, the file.

    Returns:
        ``None`` if its loss is no number even before.
    """
    outside = torch.get_rng_state()
    try:
        network = built(spec, uploaded)
        batch, masks = network.batches.next(), torch.get_rng_state()
        was = {name: p.detach().clone() for name, p in network.model.named_parameters() if p.dim() > 1}
        loss = network.loss(network.model, batch)
        if not math.isfinite(float(loss.detach())):
            return None
        loss.backward()
        network.optimizer.step()
        now = dict(network.model.named_parameters())
        norms = {name: float(weight.norm()) for name, weight in was.items()}
        moved = {name: float((now[name].detach() - weight).norm()) for name, weight in was.items()}
        torch.set_rng_state(masks)
        with torch.no_grad():
            after = float(network.loss(network.model, batch))
    finally:
        torch.set_rng_state(outside)
    return FirstStep(
        ratios={name: moved[name] / norm for name, norm in norms.items() if norm},
        before=float(loss.detach()),
        after=after,
        optimizer=type(network.optimizer).__name__,
        rate=spec.learning_rate,
    )


def risk_of(step: FirstStep | None) -> Finding | None:
    """A learning rate of which the first step alone throws the loss up, as a finding; ``None`` if it does not."""
    if step is None or not step.is_wrecking:
        return None
    values: dict[str, Value] = {
        "ratio": step.largest,
        "first": step.before,
        "last": step.after,
        "optimizer": step.optimizer,
        "rate": step.rate,
    }
    return Finding(
        symptom="lr_too_high",
        severity="critical" if step.largest > REPLACED else "warning",
        sites=(),
        evidence=(
            Evidence("update_ratio", step.largest, WRECKING_RATIO),
            Evidence("last_loss", step.after, WORSE * step.before, source=SOURCE),
            Evidence("learning_rate", step.rate),
        ),
        causes=(Cause("learning_rate_high", None, Message("lab.engine.rehearsed.why", values)),),
        prescriptions=(change(f"optimisation.learning_rate_to:{usual_rate(step):g}", text="shorter_steps"),),
        message=Message("lab.engine.rehearsed.expert", values),
    )


def usual_rate(step: FirstStep) -> float:
    """The power of ten of the learning rate that takes steps of the usual length."""
    wanted = step.rate * USUAL_RATIO / step.largest if step.largest else 0.0
    return 10.0 ** math.floor(math.log10(wanted)) if math.isfinite(step.largest) and wanted > 0 else 1e-3
