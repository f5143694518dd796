"""What the steps of a training showed, and how well the model did on the way."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingStep:
    """One measured step, all parameters taken together.

    Attributes:
        step: Optimizer steps taken before it.
        loss: The loss, ``None`` if it was not told.
        log10_gradient: log₁₀ of the rms of all gradients, -inf if all are zero; ``None`` without any.
        gradient_cosine: Cosine with the gradient of the measured step before.
        update_ratio: ‖Δw‖/‖w‖ as the optimizer really moved the weights.
    """

    step: int
    loss: float | None = None
    log10_gradient: float | None = None
    gradient_cosine: float | None = None
    update_ratio: float | None = None


@dataclass(frozen=True)
class Score:
    """How well the model did after so many steps, without dropout and the like.

    Attributes:
        step: Optimizer steps taken before.
        loss: Mean loss on data it is trained on, ``None`` if it was not told.
        validation_loss: Mean loss on data held out.
        metric: On data it is trained on, higher is better; ``None`` if the experiment has none.
        validation_metric: The same on data held out.
    """

    step: int
    loss: float | None = None
    validation_loss: float | None = None
    metric: float | None = None
    validation_metric: float | None = None


@dataclass(frozen=True)
class Dependence:
    """The loss on true pairs of input and target, and on exchanged ones.

    Attributes:
        loss: Mean loss with each sample's own input.
        exchanged: Mean loss where samples of a batch have each other's inputs, over several exchanges.
        spread: Standard deviation of that between exchanges.
    """

    loss: float
    exchanged: float
    spread: float


@dataclass(frozen=True)
class Pairing:
    """How much of the targets a simple method that needs no training tells from the inputs.

    Attributes:
        samples: Pairs of input and target that were looked at.
        explained: Share of the targets' variance that is told right of samples left out; below 0 for worse than their
            mean, 0 where all inputs are alike.
        deviations: How far that lies above the same with targets exchanged between samples, in its standard deviations.
    """

    samples: int
    explained: float
    deviations: float

    @property
    def all_alike(self) -> bool:
        """Whether every sample has the same input."""
        return self.explained == 0.0 and self.deviations == 0.0


@dataclass(frozen=True)
class Training:
    """A training as far as it was seen.

    Attributes:
        steps: Measured ones, oldest first; of a long training every second of the older ones, or fewer.
        scores: Oldest first.
        metric_name: What the metric is called.
        dependence: What exchanged inputs do to the loss at the end, on data trained on; ``None`` where that is unknown.
        validation_dependence: The same on data held out.
        pairing: What inputs tell of targets before any training, on data trained on; ``None`` where that is unknown.
        validation_pairing: The same on data held out, on as many samples.
    """

    steps: tuple[TrainingStep, ...] = ()
    scores: tuple[Score, ...] = ()
    metric_name: str = ""
    dependence: Dependence | None = None
    validation_dependence: Dependence | None = None
    pairing: Pairing | None = None
    validation_pairing: Pairing | None = None

    def losses(self) -> list[float]:
        """The losses that are known, oldest first."""
        return [step.loss for step in self.steps if step.loss is not None]

    def cosines(self) -> list[float]:
        """The cosines of successive gradients that are known."""
        return [step.gradient_cosine for step in self.steps if step.gradient_cosine is not None]

    def update_ratios(self) -> list[float]:
        """How far each step moved the weights, where that is known."""
        return [step.update_ratio for step in self.steps if step.update_ratio is not None]
