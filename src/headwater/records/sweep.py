"""What a sweep gave: a training for each point of a grid and each seed, and the maps that are drawn of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from headwater.records.message import Message
from headwater.records.picture import Picture

TRIAL = "sweep.trial"
"""Id of the event by which a sweep's run holds a training."""

Setting = str | int | float | bool


@dataclass(frozen=True)
class SweepTrial:
    """One training of a sweep.

    Attributes:
        point: The settings that its axes gave it.
        seed: Of weights, data and draws.
        metric: Held-out metric after training, higher is better; of one that broke off, of the untrained network.
        untrained: The same before the first step.
        loss: Training loss of the last step.
        gradient_decades: log₁₀ of the rms of ∂loss/∂activation after the first site, less that at the last one, before
            the first step; negative where it vanishes, ``-inf`` where nothing arrives, ``None`` where it is unknown.
        abs_cosine: Mean |cos| over pairs of samples at the last hidden site before the first step; 1 where they merge.
        steps: That were made.
        seconds: That it took.
        failure: Why it broke off, ``""`` if it did not.
    """

    point: Mapping[str, Setting]
    seed: int
    metric: float
    untrained: float
    loss: float
    gradient_decades: float | None = None
    abs_cosine: float | None = None
    steps: int = 0
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True)
class Sweep:
    """All that is known of a sweep.

    Attributes:
        name: Of its folder.
        experiment: What was trained.
        axes: The grid: each setting with its values.
        fixed: Settings that are the same everywhere.
        metric_name: What the metric is called.
        steps: Of each training.
        seeds: Trainings per point.
        trials: That are done, in the grid's order.
        missing: How many are not.
        pictures: Maps of them.
        notes: What a reader should know of how they were made.
        agreement: Share of points that theory's line puts on the side they are found on; ``None`` without a line.
        wall_time_s: Seconds that this call took.
        headwater: Version of headwater.
        created: UTC time, ISO 8601, to the second.
    """

    SCHEMA: ClassVar[str] = "headwater/sweep/1"

    name: str
    experiment: str
    axes: Mapping[str, tuple[Setting, ...]]
    fixed: Mapping[str, Setting]
    metric_name: str
    steps: int
    seeds: int
    trials: tuple[SweepTrial, ...]
    missing: int = 0
    pictures: tuple[Picture, ...] = ()
    notes: tuple[Message, ...] = ()
    agreement: float | None = None
    wall_time_s: float = 0.0
    headwater: str = ""
    created: str = ""
