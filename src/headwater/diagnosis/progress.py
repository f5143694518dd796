"""Whether a training gets anywhere: its first losses held against its last."""

import math
import statistics
from dataclasses import dataclass

from headwater.records import Flow, Message, Training

MIN_STEPS = 12  # losses, of which a third at each end is looked at
SIGMAS = 3.0
IMAGE_RANK = 4  # (batch, classes, height, width)
ABOVE_CHANCE = 0.98  # of its cross-entropy: up there nothing is known of the inputs, however bad it was before
FAR_UP = 1.2  # times the first loss
THROWN_UP = 2.0  # times the loss at the start
_SCALING = ("Scale", "ToCopy", "Mean", "View")  # on the way from a cross-entropy to the loss
LITTLE = 0.01  # of the loss at the start: less is no progress, however surely it is there
FALLEN = 0.8  # of the loss at the start, at every later look at the same samples: no luck of a batch, though not more
MIN_LOOKS = 3
HALF_WAY = 0.5
QUARTER_WAY = 0.25
SHORT_RATIO = 1e-4  # of the weights, a step: a tenth of what is usual (CS231n notes; docs/thresholds.md)
MIN_PAIRS = 2  # scores, one before the first step


@dataclass(frozen=True)
class Progress:
    """Losses at both ends of a training.

    Attributes:
        start: The first loss.
        early: Mean over the first third.
        last: Mean over the last third.
        highest: The highest loss that was still a number.
        late_lowest: Lowest loss of the last third.
        late_highest: Highest loss of the last third.
        spread: Standard deviation of the last third.
        noise: Standard error of ``early - last``.
        broke: Whether a loss was NaN or Inf.
        chance: Cross-entropy of a guess that all classes are as likely, ``None`` for other losses.
        fell: Whether the loss on the same samples, held out ones too, stays well below what it was at first.
    """

    start: float
    early: float
    last: float
    highest: float
    late_lowest: float
    late_highest: float
    spread: float
    noise: float
    broke: bool
    chance: float | None = None
    fell: bool = False

    @property
    def flung(self) -> bool:
        """Whether the loss was thrown up to a multiple of what it began with."""
        return self.highest > THROWN_UP * abs(self.start)

    @property
    def gain(self) -> float:
        """What was gained since the start, as a share of the loss's magnitude there; negative is lost."""
        return (self.start - self.last) / abs(self.start) if self.start else 0.0

    @property
    def learns(self) -> bool:
        """Whether the loss has surely fallen, and by more than a little."""
        if self.chance is not None and self.last > ABOVE_CHANCE * self.chance:
            return False
        surely = self.early - self.last > SIGMAS * self.noise or self.start - self.last > SIGMAS * self.spread
        return not self.broke and self.gain > LITTLE and (surely or self.fell or self.late_highest < self.start)

    @property
    def worsens(self) -> bool:
        """Whether the loss has surely risen, and by more than a little, or is no number any more."""
        surely = self.last - self.start > SIGMAS * self.spread or self.late_lowest > self.start
        # The first batch may have been an easy one: then nothing has risen since.
        rose = self.last - self.early > SIGMAS * self.noise or max(self.early, self.last) > FAR_UP * abs(self.start)
        return self.broke or (self.gain < -LITTLE and surely and rose)


def progress(flow: Flow) -> Progress | None:
    """How the training before a measured step went, ``None`` if too few losses are known."""
    losses = flow.training.losses() if flow.training is not None else []
    if len(losses) < MIN_STEPS:
        return None
    finite = [loss for loss in losses if math.isfinite(loss)]
    if len(finite) < len(losses):
        known = finite or [math.nan]
        return Progress(known[0], known[0], known[-1], max(known), known[-1], known[-1], 0.0, 0.0, True)
    part = len(losses) // 3
    early, last = losses[:part], losses[-part:]
    noise = math.sqrt((statistics.variance(early) + statistics.variance(last)) / part)
    means = statistics.fmean(early), statistics.fmean(last)
    extremes = max(losses), min(last), max(last)
    return Progress(
        losses[0], *means, *extremes, statistics.stdev(last), noise, False, chance_loss(flow), stays_below(flow, FALLEN)
    )


def stays_below(flow: Flow, share: float) -> bool:
    """Whether each loss scored on the way is below that share of its first, on the same samples, held-out ones too."""
    scores = flow.training.scores if flow.training is not None else ()
    seen = [score.loss for score in scores if score.loss is not None]
    held_out = [score.validation_loss for score in scores if score.validation_loss is not None]
    return all(
        len(kept) >= MIN_LOOKS and max(kept[1:]) < kept[0] - (1 - share) * abs(kept[0]) for kept in (seen, held_out)
    )


def is_half_way(training: Training) -> bool:
    """Whether the metric, of held-out data too, has gone half of its way to 1, whatever the loss means by itself.

    Of two networks against each other the loss rises as one gets better.
    """
    pairs = _metrics(training)
    if len(pairs) < MIN_PAIRS:
        return False
    return all(HALF_WAY * (1 + max(0.0, first)) <= last <= 1 for first, last in zip(pairs[0], pairs[-1], strict=True))


def is_at_its_best(training: Training) -> bool:
    """Whether the metric, of held-out data too, is higher than at any look before, and has gone a quarter of its way.

    A step that is too long does not bring what was never seen nearer its end.
    """
    pairs = _metrics(training)
    if len(pairs) < MIN_LOOKS:
        return False
    looks = [list(part) for part in zip(*pairs, strict=True)]
    return all(last > max(before) and _way(before[0], last) >= QUARTER_WAY for *before, last in looks)


def _way(first: float, last: float) -> float:
    """What a metric has gone of its way to 1; below 0 begins at 0, where what is told is worth nothing."""
    start = max(0.0, first)
    return (last - start) / (1 - start) if start < 1 and last <= 1 else 0.0


def _metrics(training: Training) -> list[tuple[float, float]]:
    """Of data trained on and held out, at each look that has both."""
    known = [(score.metric, score.validation_metric) for score in training.scores]
    return [(seen, unseen) for seen, unseen in known if seen is not None and unseen is not None]


def takes_short_steps(flow: Flow) -> bool:
    """Whether the steps taken were so short that nothing could be learnt by them, whatever else is wrong."""
    ratios = flow.training.update_ratios() if flow.training is not None else []
    return bool(ratios) and statistics.median(ratios) < SHORT_RATIO


def lost_time(flow: Flow) -> bool:
    """Whether a quarter of a training went by before anything was learnt: what was wrong at first has cost that.

    Told by the losses that are scored on the way where there are any, by the first third of the steps where not.
    """
    course = progress(flow)
    if course is None or course.broke:
        return False
    scores = flow.training.scores if flow.training is not None else ()
    looks = [(score.loss, score.validation_loss) for score in scores[:2]]
    known = [(seen, unseen) for seen, unseen in looks if seen is not None and unseen is not None]
    if len(known) < len("ab"):
        return abs(course.start - course.early) <= LITTLE * abs(course.start)
    (first, first_unseen), (quarter, quarter_unseen) = known
    return first - quarter <= LITTLE * abs(first) or first_unseen - quarter_unseen <= LITTLE * abs(first_unseen)


def chance_loss(flow: Flow) -> float | None:
    """Cross-entropy of a guess, times what the loss is multiplied with; ``None`` where other terms are added."""
    shape = flow.sites[-1].site.shape if flow.sites else ()
    classes = shape[1] if len(shape) == IMAGE_RANK else (shape[-1] if len(shape) > 1 else 0)
    terms = (operation for operation in flow.setup.loss_operations if operation not in _SCALING)
    is_cross_entropy = next(terms, "").startswith("NllLoss")
    scale = 1.0 if flow.setup.loss_scale is None else flow.setup.loss_scale
    return scale * math.log(classes) if is_cross_entropy and classes > 1 and scale > 0 else None


def needs_steps(flow: Flow) -> Message | None:
    """For rules that read the course of a training: why there is none."""
    return None if progress(flow) is not None else Message("unchecked.no_steps")
