"""The built-in rules of Amazon SageMaker Debugger with their default parameters, by its developer guide.

Source: "List of Debugger Built-in Rules", Amazon SageMaker developer guide
(docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html). The rules run as a service; this is a new
implementation of what the guide says. Every step is looked at, which is more than its default of every 500th. Left out
are the rules that have no default because a collection of tensors must be named (AllZero, UnchangedTensor,
TensorVariance), those for one kind of data (CheckInputImages, NLPSequenceRatio, ClassImbalance, Confusion) and those
about several runs or about machines. PoorWeightInitialization is read in its favour: variances or gradients out of
range count only if the loss does not decrease either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.faults.diagnosers import FINE, Opinion, alarm
from benchmarks.faults.training import Training, dense
from headwater.records import Experiment

VANISHING = 1e-7  # VanishingGradient threshold: mean |gradient| of a tensor
INACTIVE_SHARE = 0.5  # DeadRelu and SaturatedActivation threshold_layer
ACTIVITY = 0.01  # their threshold_inactivity
TANH_RANGE = (-9.4999, 9.4999)  # SaturatedActivation
SIGMOID_RANGE = (-23.0, 16.99999)
VARIANCE_RATIO = 10.0  # PoorWeightInitialization threshold
GRADIENT_RANGE = 0.001  # its distribution_range
INITIAL_STEPS, INITIAL_PATIENCE = 10, 5
LARGE_UPDATE, SMALL_UPDATE, UPDATE_EPSILON = 10.0, 1e-8, 1e-9  # WeightUpdateRatio
LOSS_STEPS, LOSS_DECREASE = 10, 0.001  # LossNotDecreasing num_steps, diff_percent
OVERFIT_RATIO, OVERFIT_PATIENCE = 0.1, 1
EVALUATED_EVERY = 10  # steps between two validations, as in the guide's example
TRAIN_PATIENCE, HELD_OUT_PATIENCE, IMPROVEMENT = 5, 10, 0.01  # Overtraining

# From the most specific rule to the least: what is told first if several fire.
ORDER = (
    "ExplodingTensor",
    "VanishingGradient",
    "DeadRelu",
    "SaturatedActivation",
    "PoorWeightInitialization",
    "WeightUpdateRatio",
    "LossNotDecreasing",
    "Overfit",
    "Overtraining",
)
MEANING = {
    "ExplodingTensor": "nonfinite",
    "VanishingGradient": "vanishing",
    "DeadRelu": "dead_units",
    "SaturatedActivation": "saturation",
    "LossNotDecreasing": "underfitting",
    "Overfit": "overfitting",
    "Overtraining": "overfitting",
}


class Rules:
    """All rules over one training, told of every step."""

    def __init__(self, model: nn.Module) -> None:
        self.fired: dict[str, tuple[str, tuple[str, ...]]] = {}  # rule → symptom, sites
        self._model = model
        self._losses: list[float] = []
        self._held_out: list[float] = []
        self._over = 0
        self._weights = self._copied()
        self.inputs: dict[str, Tensor] = {}  # of the activations, from the last forward pass

    def after_step(self, loss: float) -> None:
        """Look at a step that has been taken."""
        self._losses.append(loss)
        gradients = {name: dense(p.grad) for name, p in self._model.named_parameters() if p.grad is not None}
        self._tensors(loss, gradients)
        self._activations()
        if len(self._losses) <= INITIAL_STEPS:
            self._initialization(gradients)
        self._updates()
        self._loss()

    def after_validation(self, loss: float) -> None:
        """Look at the held-out loss."""
        self._held_out.append(loss)
        recent = self._losses[-EVALUATED_EVERY:]
        train = sum(recent) / len(recent)
        self._over = self._over + 1 if loss - train > OVERFIT_RATIO * train else 0
        if self._over > OVERFIT_PATIENCE:
            self._fire("Overfit")
        stale = steps_since_better(self._losses) > TRAIN_PATIENCE
        if stale and steps_since_better(self._held_out) * EVALUATED_EVERY > HELD_OUT_PATIENCE:
            self._fire("Overtraining")

    def _tensors(self, loss: float, gradients: dict[str, Tensor]) -> None:
        broken = [name for name, gradient in gradients.items() if not bool(gradient.isfinite().all())]
        if broken or not math.isfinite(loss):
            self._fire("ExplodingTensor", sites=modules(broken))
        vanished = [name for name, gradient in gradients.items() if float(gradient.abs().mean()) < VANISHING]
        if vanished:
            self._fire("VanishingGradient", sites=modules(vanished))

    def _activations(self) -> None:
        for name, given in self.inputs.items():
            module = self._model.get_submodule(name)
            if inactive_share(active(module, given)) > INACTIVE_SHARE:
                self._fire("DeadRelu" if isinstance(module, nn.ReLU) else "SaturatedActivation", sites=(name,))

    def _initialization(self, gradients: dict[str, Tensor]) -> None:
        if len(self._losses) <= INITIAL_PATIENCE or steps_since_better(self._losses, 0.0) < INITIAL_PATIENCE:
            return
        rectified = [n for n in self.inputs if isinstance(self._model.get_submodule(n), nn.ReLU)]
        variances = [float(self.inputs[name].float().var()) for name in rectified]
        ranges = [percentile_range(g) for name, g in gradients.items() if name.endswith("weight")]
        if ranges and min(ranges) < GRADIENT_RANGE:
            self._fire("PoorWeightInitialization", "bad_init_small")
        elif variances and max(variances) > VARIANCE_RATIO * min(variances):
            self._fire("PoorWeightInitialization", "bad_init_large")

    def _updates(self) -> None:
        now = self._copied()
        for name, weight in now.items():
            before = self._weights[name]
            ratio = float((weight - before).norm() / (before.norm() + UPDATE_EPSILON))
            if ratio > LARGE_UPDATE:
                self._fire("WeightUpdateRatio", "lr_too_high", modules([name]))
            elif ratio < SMALL_UPDATE:
                self._fire("WeightUpdateRatio", "lr_too_low", modules([name]))
        self._weights = now

    def _loss(self) -> None:
        step = len(self._losses) - 1
        if step and step % LOSS_STEPS == 0:
            before, now = self._losses[step - LOSS_STEPS], self._losses[step]
            if not now < before * (1 - LOSS_DECREASE):
                self._fire("LossNotDecreasing")

    def _copied(self) -> dict[str, Tensor]:
        named = self._model.named_parameters()
        return {name: p.detach().clone() for name, p in named if name.endswith("weight") and p.requires_grad}

    def _fire(self, rule: str, symptom: str | None = None, sites: tuple[str, ...] = ()) -> None:
        self.fired.setdefault(rule, (symptom or MEANING[rule], sites))


def diagnose(experiment: Experiment, steps: int, seed: int) -> Opinion:
    """The most specific rule that fired."""
    training = Training(experiment, seed)
    rules = Rules(training.model)
    with inputs_kept(training.model, rules.inputs):
        for step, loss in enumerate(training.steps(steps), start=1):
            rules.after_step(loss)
            if step % EVALUATED_EVERY == 0:
                rules.after_validation(training.held_out_loss())
    fired = [rule for rule in ORDER if rule in rules.fired]
    if not fired:
        return FINE
    symptom, sites = rules.fired[fired[0]]
    return alarm(symptom, sites, ", ".join(fired))


@contextmanager
def inputs_kept(model: nn.Module, kept: dict[str, Tensor]) -> Iterator[None]:
    """Keep what goes into the activation modules of a network in training mode."""
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU | nn.Tanh | nn.Sigmoid):

            def keep(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
                if torch.is_grad_enabled():
                    kept[name] = inputs[0].detach().clone()

            hooks.append(module.register_forward_pre_hook(keep))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def inactive_share(working: Tensor) -> float:
    """Share of units (the last dimension, or an image's channels) that hardly any sample activates."""
    units = working.movedim(1, -1) if working.dim() == 4 else working
    return float((units.flatten(0, -2).float().mean(0) < ACTIVITY).float().mean())


def active(module: nn.Module, given: Tensor) -> Tensor:
    """Where a unit is active: a ReLU above 0, tanh and sigmoid within the range that the guide calls unsaturated."""
    if isinstance(module, nn.ReLU):
        return given > 0
    low, high = TANH_RANGE if isinstance(module, nn.Tanh) else SIGMOID_RANGE
    return (given > low) & (given < high)


def modules(parameters: list[str]) -> tuple[str, ...]:
    """Names of the modules that own some parameters."""
    return tuple(dict.fromkeys(name.rpartition(".")[0] for name in parameters))


def steps_since_better(losses: list[float], delta: float = IMPROVEMENT) -> int:
    """Losses since the last one that was lower than all before it by ``delta``."""
    best, since = math.inf, 0
    for loss in losses:
        best, since = (loss, 0) if loss < best - delta else (best, since + 1)
    return since


def percentile_range(gradient: Tensor) -> float:
    """From the 5th to the 95th percentile."""
    low, high = torch.quantile(gradient.flatten().float()[:1_000_000], torch.tensor([0.05, 0.95]))
    return float(high - low)
