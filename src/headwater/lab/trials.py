"""Each remedy that is offered, tried on this very network for a moment: what is put first has helped more here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from headwater.lab.csv_data import Uploaded
from headwater.lab.folding import with_remedies
from headwater.lab.refusal import RefusedError
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from headwater.records import encode

Remedies = tuple[str, ...]

STEPS = 100
"""Of one trial: 20 layers that a remedy has revived tell most digits by then."""
MOST_WORK = 1.5e10
"""Multiplications of one trial, about a second: a larger network takes fewer steps."""
FEWEST_STEPS = 20
"""With which a trial says anything."""
_IN_TENS = 10  # steps after which a network is scored
NEAR = 0.03
"""Of accuracy: two remedies as near as this count as equal (docs/log.md, "Which prescription ... by depth")."""
NEAR_DECADES = 0.1
"""Of a curve's loss, the same: a quarter."""
TAUGHT: tuple[Remedies, ...] = (
    ("activation.relu", "init.he"),
    ("init.he",),
    ("activation.tanh", "init.xavier"),
    ("init.xavier",),
)
"""What the lectures teach, in the place of what does no better."""


@dataclass(frozen=True)
class Trial:
    """What became of a network with remedies.

    Attributes:
        remedies: That were applied.
        steps: It was trained for.
        accuracy: Of held-out samples, ``None`` for a curve.
        loss: Of held-out samples; ``None`` if it could not be tried.
    """

    remedies: Remedies
    steps: int
    accuracy: float | None
    loss: float | None

    @property
    def level(self) -> float:
        """How well it did, in units in which ``near`` is one: higher is better."""
        if self.loss is None or not math.isfinite(self.loss):
            return -math.inf
        return self.accuracy / NEAR if self.accuracy is not None else -math.log10(max(self.loss, 1e-30)) / NEAR_DECADES


def tried(spec: Spec, uploaded: Uploaded | None, offered: tuple[Remedies, ...]) -> dict[str, Any]:
    """What becomes of a network with each of the remedies that are offered.

    All start from the same seed, see the same batches and take as many steps.

    Args:
        spec: Of the network without them.
        uploaded: Of ``data="csv"``, the file.
        offered: Best first, as the diagnosis has them.
    """
    trials = [_trial(spec, uploaded, remedies) for remedies in offered]
    data: dict[str, Any] = encode({"tried": ranked(trials)})
    return data


def ranked(trials: list[Trial]) -> list[Trial]:
    """The best first; of those that come near it, what the lectures teach before the rest."""
    best = max((trial.level for trial in trials), default=-math.inf)
    near = [trial for trial in trials if math.isfinite(best) and trial.level >= best - 1.0]
    taught = [trial for remedies in TAUGHT for trial in near if trial.remedies == remedies]
    first = taught[:1]
    return [*first, *sorted((one for one in trials if one not in first), key=lambda one: -one.level)]


def _trial(spec: Spec, uploaded: Uploaded | None, remedies: Remedies) -> Trial:
    try:
        slot = Slot(with_remedies(spec, remedies), uploaded)
    except RefusedError:  # what it cannot be done to is told to whoever asks for it
        return Trial(remedies, 0, None, None)
    steps = min(STEPS, _IN_TENS * int(MOST_WORK / max(slot.network.plan.work, 1.0) / _IN_TENS))
    if steps < FEWEST_STEPS:
        return Trial(remedies, 0, None, None)
    while slot.step < steps and not slot.is_done:
        slot.advance(is_measured=False)
    if slot.broke is not None:
        return Trial(remedies, slot.step, None, math.nan)
    score = slot.scores[-1]
    return Trial(remedies, slot.step, score.validation_metric, score.validation_loss)
