"""Single numbers of a network that goals ask for and that tell two networks apart; all are measured."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from headwater.kernels import generic
from headwater.lab.slot import Slot
from headwater.records import Score, SiteFlow
from headwater.theory import ACTIVATIONS

SMALL = 1e-3
"""Below it a weight counts as none: that of the lesson on L1."""
_COMPARED = 64  # samples, as many as the probes compare


def _score(slot: Slot) -> Score:
    return slot.scores[-1]


def _hidden(slot: Slot) -> list[SiteFlow]:
    """The sites of the hidden activations, from the input on."""
    plan = slot.network.plan
    return [
        row
        for row in slot.flow.sites
        if row.site.activation in ACTIVATIONS and plan.layer_of(row.site.module) < plan.layers
    ]


def train_accuracy(slot: Slot) -> float | None:
    """Share of training samples told right, of at most 512."""
    return _score(slot).metric


def test_accuracy(slot: Slot) -> float | None:
    """Share of held-out samples told right."""
    return _score(slot).validation_metric


def gap(slot: Slot) -> float | None:
    """Training accuracy less that on held-out samples."""
    train, test = train_accuracy(slot), test_accuracy(slot)
    return None if train is None or test is None else train - test


def loss(slot: Slot) -> float | None:
    """On training samples."""
    return _score(slot).loss


def test_loss(slot: Slot) -> float | None:
    """On held-out samples."""
    return _score(slot).validation_loss


def gradient_decades(slot: Slot) -> float | None:
    """log₁₀ of the gradient's rms after the first hidden layer, less that at the output; negative where it vanishes."""
    rows = [row.activation_grad for row in slot.flow.sites if row.activation_grad is not None]
    if len(rows) < 2:
        return None
    first, last = rows[0].log10_rms, rows[-1].log10_rms
    return None if first is None or last is None else first - last


def signal_decades(slot: Slot) -> float | None:
    """log₁₀ of the rms of the last hidden activation, less that of the first."""
    rows = [row.activation.log10_rms for row in _hidden(slot)]
    known = [row for row in rows if row is not None]
    return known[-1] - known[0] if len(known) > 1 else None


def last_spread(slot: Slot) -> float | None:
    """Standard deviation of the last hidden activation over units and samples."""
    rows = _hidden(slot)
    return rows[-1].activation.std if rows else None


def slope(slot: Slot) -> float | None:
    """√E[φ′²] over units and samples, mean over the hidden layers: what a layer's activation leaves of a gradient."""
    found = [row.derivative_rms for row in _hidden(slot) if row.derivative_rms is not None]
    return sum(found) / len(found) if found else None


def likeness(slot: Slot) -> float | None:
    """Mean |cos| between samples, as the probes take it, where they enter the output layer."""
    seen: list[Tensor] = []
    with slot.evaluating() as model:
        output = next(module for name, module in model.named_modules() if name.rpartition(".")[2] == "output")
        handle = output.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        try:
            model(slot.network.split.x[:_COMPARED])
        finally:
            handle.remove()
    return generic.collapse(seen[0].flatten(1))[0]


def parameters(slot: Slot) -> float:
    """How many weights and biases there are."""
    return float(sum(parameter.numel() for parameter in slot.network.model.parameters()))


def dead(slot: Slot) -> float | None:
    """Share of dead units, over all hidden layers."""
    shares = [row.dead_fraction for row in _hidden(slot) if row.dead_fraction is not None]
    return sum(shares) / len(shares) if shares else None


def saturated(slot: Slot) -> float | None:
    """Share of saturated activations, over the hidden layers that can saturate; 0 if none can.

    A ReLU has a flat side too, and a unit there is off: that is how it is meant, and :func:`dead` counts those that
    stay there.
    """
    able = [row for row in _hidden(slot) if ACTIVATIONS[str(row.site.activation)].family == "s_shaped"]
    if not able:
        return 0.0 if _hidden(slot) else None
    shares = [row.saturated_fraction for row in able if row.saturated_fraction is not None]
    return sum(shares) / len(shares) if shares else None


def coherence(slot: Slot) -> float | None:
    """Mean |Σ sign| / n of a unit's weight gradient, over the hidden layers behind the first."""
    rows = [row for row in slot.flow.parameters if len(row.shape) > 1][1:]
    shares = [row.sign_coherence for row in rows if row.sign_coherence is not None]
    return sum(shares) / len(shares) if shares else None


def first_unchanged(slot: Slot) -> float | None:
    """Share of the first layer's weights that the last measured step left bit-identical."""
    rows = [row for row in slot.flow.parameters if len(row.shape) > 1]
    return rows[0].unchanged_fraction if rows else None


def small_weights(slot: Slot) -> float | None:
    """Share of weights below 1e-3."""
    every = torch.cat([p.detach().reshape(-1) for p in slot.network.model.parameters() if p.dim() > 1])
    return float((every.abs() < SMALL).double().mean())


def largest_weight(slot: Slot) -> float | None:
    """Largest magnitude of a weight."""
    return max(float(p.detach().abs().max()) for p in slot.network.model.parameters() if p.dim() > 1)


FIGURES: dict[str, Callable[[Slot], float | None]] = {
    "train_accuracy": train_accuracy,
    "test_accuracy": test_accuracy,
    "gap": gap,
    "loss": loss,
    "test_loss": test_loss,
    "gradient_decades": gradient_decades,
    "signal_decades": signal_decades,
    "last_spread": last_spread,
    "slope": slope,
    "likeness": likeness,
    "dead": dead,
    "saturated": saturated,
    "coherence": coherence,
    "first_unchanged": first_unchanged,
    "small_weights": small_weights,
    "largest_weight": largest_weight,
    "parameters": parameters,
    "step": lambda slot: float(slot.step),
    "depth": lambda slot: float(slot.spec.depth),
    "width": lambda slot: float(slot.spec.width),
    "samples": lambda slot: float(len(slot.network.split.x)),
    "learning_rate": lambda slot: slot.spec.learning_rate,
    "scale": lambda slot: slot.spec.scale,
    "bias": lambda slot: slot.spec.bias,
    "dropout": lambda slot: slot.spec.dropout,
}


def known(name: str, slot: Slot) -> float | None:
    """A figure; ``None`` where it was not measured or is no number."""
    value = FIGURES[name](slot)
    return None if value is None or math.isnan(value) else value
