"""What an experiment said about a repair."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from headwater.records.message import Message

ProofVerdict = Literal["proven", "not_proven", "harmful"]
ArmName = Literal["original", "treated", "placebo", "random_remedy"]


@dataclass(frozen=True)
class Arm:
    """One side of the experiment.

    Attributes:
        name: Which side.
        remedies: What was applied, per seed.
        metrics: The held-out metric after training, per seed; higher is better.
        losses: Training loss per step, per seed.
        failures: Per seed, why the run broke off; ``""`` where it did not.
    """

    name: ArmName
    remedies: tuple[tuple[str, ...], ...]
    metrics: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proof:
    """A paired comparison over seeds: treated against original, with a placebo and a random remedy as controls.

    Attributes:
        remedies: What was tested.
        verdict: ``proven`` if the interval lies above 0, also against the placebo; ``harmful`` if it lies below 0; else
            ``not_proven``. What a random remedy did is told beside it: a change may help and not be the only one.
        effect: Mean over seeds of metric(treated) - metric(original).
        interval: Its 95 % interval (Student's t over seeds).
        placebo_interval: 95 % interval of metric(treated) - metric(placebo).
        metric_before: Mean metric of the original.
        metric_after: Mean metric of the treated.
        placebo: Mean metric of the placebo: nothing changed, another seed.
        random_remedy: Mean metric of a remedy drawn at random per seed.
        metric: What the metric is.
        seeds: The seeds.
        steps: Optimizer steps per run.
        arms: Every run's numbers.
        wall_time_s: Seconds the whole proof took.
    """

    SCHEMA: ClassVar[str] = "headwater/proof/1"

    remedies: tuple[str, ...]
    verdict: ProofVerdict
    effect: float
    interval: tuple[float, float]
    placebo_interval: tuple[float, float]
    metric_before: float
    metric_after: float
    placebo: float
    random_remedy: float
    metric: Message
    seeds: tuple[int, ...]
    steps: int
    arms: tuple[Arm, ...]
    wall_time_s: float

    def arm(self, name: ArmName) -> Arm:
        """The arm called ``name``.

        Raises:
            KeyError: If the proof has none.
        """
        return {arm.name: arm for arm in self.arms}[name]
