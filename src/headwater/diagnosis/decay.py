"""How much of each step only pulls the weights to zero."""

import math
import statistics

from headwater.diagnosis.progress import progress
from headwater.records import Cause, Flow, Message, Training

# Whose steps are as long whatever the gradient's size, which the weights' pull is added to before (torch.optim).
NORMALISING = ("Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam")
REPLACED = 1.0  # a step as large as the weights: not one of them is what it was
DECAYING = 0.5  # of a step: beyond, the weights go to zero faster than anywhere else


def hides_size(flow: Flow) -> bool:
    """Whether steps are as long whatever the gradient's size, because the optimizer divides it out."""
    return (flow.optimizer or "").removesuffix("W") in NORMALISING


def decay_share(flow: Flow) -> float | None:
    """How much of a usual step is weight decay pulling the weights to zero, ``None`` where that is not known.

    lr·λ over ‖Δw‖/‖w‖: exact for SGD and for decoupled decay (AdamW), where momentum multiplies it by 1/(1 - momentum)
    like any gradient that stays; for Adam's own, whose steps hide its size, λ‖w‖ over the gradient's norm. 0 where
    the weights were thrown away from zero first: what is pulled back afterwards was not decay's doing.
    """
    training, settings = flow.training, flow.setup.optimizer
    rate, decay = settings.get("lr"), settings.get("weight_decay")
    if training is None or not training.update_ratios() or not rate or not decay:
        return None
    if _was_thrown(flow, training, float(rate) * float(decay)):
        return 0.0
    if flow.optimizer in NORMALISING and not settings.get("decoupled_weight_decay"):
        return _coupled_share(flow, float(decay))
    usual = statistics.median(training.update_ratios())
    return float(rate) * float(decay) * _momentum_gain(flow) / usual if usual else None


def _was_thrown(flow: Flow, training: Training, pull: float) -> bool:
    """Whether a step that decay had little part in threw the loss up, and replaced the weights as a whole."""
    course = progress(flow)
    largest = max((ratio for ratio in training.update_ratios() if math.isfinite(ratio)), default=0.0)
    return course is not None and course.flung and largest > REPLACED and pull < DECAYING * largest


def _momentum_gain(flow: Flow) -> float:
    """What SGD's momentum multiplies a pull by that is the same step after step; 1 for other optimizers."""
    settings = flow.setup.optimizer
    momentum = float(settings.get("momentum") or 0.0)
    if flow.optimizer != "SGD" or not 0.0 < momentum < 1.0:
        return 1.0
    return (1.0 - float(settings.get("dampening") or 0.0)) / (1.0 - momentum)


def _coupled_share(flow: Flow, decay: float) -> float | None:
    matrices = [p for p in flow.parameters if len(p.shape) > 1 and p.grad_norm is not None and p.value.norm]
    weight = math.hypot(*(p.value.norm or 0.0 for p in matrices)) if matrices else 0.0
    gradient = math.hypot(*(p.grad_norm or 0.0 for p in matrices)) if matrices else 0.0
    pull = decay * weight
    return pull / math.hypot(pull, gradient) if pull and math.isfinite(pull) and math.isfinite(gradient) else None


def weight_decay_high(flow: Flow, share: float) -> Cause:
    """The cause that weight decay makes up so much of a step."""
    decay = flow.setup.optimizer.get("weight_decay")
    return Cause(
        "weight_decay_high",
        None,
        Message("cause.weight_decay_high.why", {"percent": 100 * min(share, 1.0), "decay": decay}),
    )
