"""Rules that read the course of a training, on courses written by hand."""

from dataclasses import replace

import pytest

from headwater.diagnosis.decay import decay_share
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import lr_too_high, overfitting, underfitting
from headwater.records import Flow, Pairing, Score, Setup, Training, TrainingStep

# Huber's loss of targets with a heavy tail under RMSprop: the loss of single batches jumps, the fit gets better.
JUMPING = [0.277, 0.227, 0.569, 0.2, 0.224, 0.193, 0.354, 0.184, 0.154, 0.192, 0.102, 0.329, 0.11, 0.127, 0.365]
JUMPING += [0.106, 0.072, 0.09, 0.098, 0.113, 0.08, 0.075, 0.112, 0.12, 0.08, 0.094, 0.08, 0.081, 0.146, 0.082]
JUMPING += [0.137, 0.094, 0.146, 0.134, 0.319, 0.092, 0.177, 0.061, 0.056, 0.143]
FITTING = ((0.277, 0.278), (0.154, 0.171), (0.141, 0.150), (0.152, 0.159), (0.1, 0.118))
LOST = ((0.277, 0.278), (0.3, 0.35), (0.25, 0.27), (0.31, 0.3), (0.26, 0.29))


def after(losses: list[float], scores: tuple[tuple[float, float], ...] = (), ratio: float = 1e-3) -> Flow:
    """A flow after a training with these losses of batches, and these of seen and of held-out data on the way."""
    steps = tuple(TrainingStep(step, loss, -2.0, 0.0, ratio) for step, loss in enumerate(losses))
    scored = tuple(Score(10 * index, seen, held_out) for index, (seen, held_out) in enumerate(scores))
    return Flow((), (), None, losses[-1], optimizer="SGD", step=len(losses), training=Training(steps, scored))


def finds(rule: Rule, flow: Flow) -> bool:
    return bool(list(rule.look(Observation(flow, None))))


@pytest.mark.parametrize(("scores", "found"), [((), True), (LOST, True), (FITTING, False)])
def test_rate_is_not_too_high_where_the_same_samples_fit_better_and_better(
    scores: tuple[tuple[float, float], ...], found: bool
) -> None:
    assert finds(lr_too_high.RULE, after(JUMPING, scores, ratio=0.13)) == found


# The first batches were hard by chance, and the held-out loss goes up and down by twenty times what it has risen.
FEW = ((1.79, 1.274), (0.90, 1.256), (0.95, 1.522), (0.88, 1.211), (1.07, 1.287))
SHAKING = ((1.79, 1.274), (0.90, 1.256), (0.80, 1.522), (0.70, 1.211), (0.60, 1.287))
# Labels that have nothing to do with their inputs: their frequencies are learnt first, then each by heart.
BY_HEART = ((2.4, 2.35), (2.3, 2.31), (1.9, 2.5), (1.4, 2.9), (0.9, 3.6))


@pytest.mark.parametrize(("scores", "found"), [(FEW, False), (SHAKING, False), (BY_HEART, True)])
def test_rise_of_the_held_out_loss_counts_beyond_its_noise(
    scores: tuple[tuple[float, float], ...], found: bool
) -> None:
    assert finds(overfitting.RULE, after(JUMPING, scores)) == found


def measured(metrics: tuple[tuple[float, float], ...]) -> Flow:
    flow = after(JUMPING)
    scores = tuple(Score(index, 1.0, 1.0, seen, unseen) for index, (seen, unseen) in enumerate(metrics))
    return replace(flow, training=Training(scores=scores))


def test_what_was_learnt_is_carried_over_where_others_do_as_well() -> None:
    assert not finds(overfitting.RULE, measured(((0.17, 0.45), (0.48, 0.48))))
    assert finds(overfitting.RULE, measured(((0.17, 0.20), (0.80, 0.22))))


def decaying(optimizer: str, momentum: float, losses: list[float], dampening: float = 0.0) -> Flow:
    """A flow after steps of 0.3 of the weights, of which a decay of 1.0 at a rate of 0.1 pulls."""
    settings = {"lr": 0.1, "weight_decay": 1.0, "momentum": momentum, "dampening": dampening}
    return replace(after(losses, ratio=0.3), optimizer=optimizer, setup=Setup(optimizer=settings))


@pytest.mark.parametrize(
    ("optimizer", "momentum", "dampening", "share"),
    [("SGD", 0.9, 0.0, 10 / 3), ("SGD", 0.9, 0.9, 1 / 3), ("SGD", 0.0, 0.0, 1 / 3), ("AdamW", 0.9, 0.0, 1 / 3)],
)
def test_momentum_multiplies_what_decay_does(optimizer: str, momentum: float, dampening: float, share: float) -> None:
    flow = decaying(optimizer, momentum, JUMPING, dampening)
    assert decay_share(flow) == pytest.approx(share)
    causes = [finding.causes[0].id for finding in underfitting.RULE.look(Observation(flow, None))]
    assert causes == (["weight_decay_high"] if share > 1 else ["cannot_tell"])
    assert finds(lr_too_high.RULE, flow) == (share < 1)


def test_what_has_learnt_all_there_is_may_decay() -> None:
    flow = decaying("SGD", 0.9, [1.0 / (1 + step) for step in range(30)])
    assert finds(underfitting.RULE, flow)
    assert flow.training is not None
    scores = (Score(0, 1.0, 1.0, 0.1, 0.1), Score(29, 0.03, 0.1, 0.99, 0.97))
    assert not finds(underfitting.RULE, replace(flow, training=replace(flow.training, scores=scores)))


@pytest.mark.parametrize(
    ("explained", "last_loss", "found"),
    [(0.85, 1.48, True), (0.85, 1.30, False), (0.52, 1.48, False)],
    ids=["stalls below a kernel", "still falls", "does as well as a kernel"],
)
def test_decay_keeps_a_network_below_what_a_kernel_tells(explained: float, last_loss: float, found: bool) -> None:
    """A pull of two thirds of each step: some of the metric is there, and no more will come."""
    flow = replace(decaying("SGD", 0.0, [2.0 - 0.5 * step / 29 for step in range(30)]), samples=64)
    flow = replace(flow, setup=Setup(optimizer={"lr": 0.1, "weight_decay": 2.0}))
    assert decay_share(flow) == pytest.approx(2 / 3)
    assert flow.training is not None
    scores = tuple(Score(step, loss, loss, 0.56, 0.5) for step, loss in ((0, 1.73), (10, 1.46), (29, last_loss)))
    pairing = Pairing(samples=190, explained=explained, deviations=20.0)
    course = replace(flow.training, scores=(replace(scores[0], metric=0.2), *scores[1:]), pairing=pairing)
    assert finds(underfitting.RULE, replace(flow, training=course)) == found


@pytest.mark.parametrize(("samples", "found"), [(2, False), (64, True)])
@pytest.mark.parametrize(
    "metrics", [((0.0, 0.13), (0.375, 0.17)), ((0.4, 0.4), (1.0, 0.87))], ids=["nothing over", "by heart"]
)
def test_metrics_of_few_samples_may_lie_apart_by_chance(
    metrics: tuple[tuple[float, float], ...], samples: int, found: bool
) -> None:
    assert finds(overfitting.RULE, replace(measured(metrics), samples=samples)) == found


# Two networks against each other: as the one gets better, the loss of the other rises.
RISING = [2.05 - 0.003 * step for step in range(20)] + [2.0 + 0.01 * step for step in range(20)]
BETTER, NO_BETTER = ((0.0, 0.0), (0.74, 0.73)), ((0.1, 0.1), (0.21, 0.2))


@pytest.mark.parametrize(
    ("losses", "metrics", "found"),
    [(RISING, BETTER, False), (RISING, NO_BETTER, True), ([*RISING[:10], 9.0, *RISING[10:]], BETTER, True)],
)
def test_rate_is_not_too_high_where_the_metric_goes_half_of_its_way(
    losses: list[float], metrics: tuple[tuple[float, float], ...], found: bool
) -> None:
    flow = after(losses, ratio=0.02)
    scores = tuple(Score(step, 2.0, 2.0, *pair) for step, pair in enumerate(metrics))
    assert flow.training is not None
    assert finds(lr_too_high.RULE, replace(flow, training=replace(flow.training, scores=scores))) == found
