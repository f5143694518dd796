"""What an experiment said about a repair."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from headwater.records.message import Message

ProofVerdict = Literal["proven", "not_proven", "harmful"]
ArmName = Literal["original", "treated", "placebo", "random_remedy"]
HeldOutKind = Literal["validation", "test", "half"]


@dataclass(frozen=True)
class Arm:
    """One side of the experiment.

    Attributes:
        name: Which side.
        remedies: What was applied, per seed.
        metrics: The held-out metric after training, per seed; higher is better.
        losses: Training loss per step, per seed.
        failures: Per seed, why the run broke off; ``""`` where it did not.
        rates: Per seed, the factor on the experiment's own learning rate; none in proofs of the first schema.
        held_out_losses: Mean held-out loss after training, per seed; none in proofs of the first schema.
    """

    name: ArmName
    remedies: tuple[tuple[str, ...], ...]
    metrics: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]
    failures: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    held_out_losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tuned:
    """How one arm came by its learning rate.

    Attributes:
        arm: Which.
        remedies: What was applied.
        metrics: Per factor of the grid, the mean metric over the tuning seeds; NaN where a run broke off.
        rate: The factor chosen: the best, and of equals the one nearest to 1.
    """

    arm: ArmName
    remedies: tuple[str, ...]
    metrics: tuple[float, ...]
    rate: float


@dataclass(frozen=True)
class Cost:
    """What the treatment costs, beside the original.

    Attributes:
        parameters_before: Of the original.
        parameters_after: Of the treated.
        step_s_before: Median seconds of a training step of the original.
        step_s_after: The same of the treated.
    """

    parameters_before: int
    parameters_after: int
    step_s_before: float
    step_s_after: float


@dataclass(frozen=True)
class Proof:
    """A paired comparison over seeds: treated against original, with a placebo and a random remedy as controls.

    Attributes:
        remedies: What was tested.
        verdict: ``proven`` if the interval lies above 0, also against the placebo; ``harmful`` if it lies below 0; else
            ``not_proven``. What a random remedy did is told beside it: a change may help and not be the only one.
        effect: Mean over seeds of metric(treated) - metric(original).
        interval: Its 95 % interval, as ``interval_method`` says.
        placebo_interval: 95 % interval of metric(treated) - metric(placebo).
        metric_before: Mean metric of the original.
        metric_after: Mean metric of the treated.
        placebo: Mean metric of the placebo: nothing changed, another seed.
        random_remedy: Mean metric of a remedy drawn at random per seed.
        metric: What the metric is.
        seeds: The seeds that were run.
        steps: Optimizer steps per run.
        arms: Every run's numbers.
        wall_time_s: Seconds the whole proof took.
        interval_method: ``t`` for Student's t over seeds; ``repeated_t`` where the proof looked after each seed and
            might stop: all intervals it looked at hold the true effect together, in 95 % of such proofs.
        seeds_planned: How many seeds there would have been without an early stop; 0 in proofs of the first schema.
        stopped: Why there are fewer: ``verdict``, ``time``, ``interrupted``; ``""`` if there are not.
        rates: The grid of factors on the experiment's own learning rate that every arm was tuned over.
        tuning_seeds: The seeds it was tuned on, none of the proof's.
        tuned: What each arm's tuning showed.
        held_out: What the metric was taken of: the ``validation`` data, ``test`` data that nothing was chosen by, or
            the ``half`` of the validation data that nothing was chosen by.
        cost: Time and parameters; ``None`` in proofs of the first schema.
        threads: Threads that PyTorch computed with, 0 in proofs of the first schema.
        processes: Processes that ran side by side.
        notes: What else a reader should know.
    """

    SCHEMA: ClassVar[str] = "headwater/proof/2"
    READS: ClassVar[tuple[str, ...]] = ("headwater/proof/1",)

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
    interval_method: Literal["t", "repeated_t"] = "t"
    seeds_planned: int = 0
    stopped: Literal["", "verdict", "time", "interrupted"] = ""
    rates: tuple[float, ...] = (1.0,)
    tuning_seeds: tuple[int, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    held_out: HeldOutKind = "validation"
    cost: Cost | None = None
    threads: int = 0
    processes: int = 1
    notes: tuple[Message, ...] = ()

    def arm(self, name: ArmName) -> Arm:
        """The arm called ``name``.

        Raises:
            KeyError: If the proof has none.
        """
        return {arm.name: arm for arm in self.arms}[name]
