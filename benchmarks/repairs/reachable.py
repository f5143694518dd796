"""Which planted faults a change to the network or to its training can undo, whoever proposes the change.

Decided by what was planted, before anything was repaired: not by what headwater can do.
"""

from __future__ import annotations

from benchmarks.faults.program import Program

REACHABLE = {
    "activation_derivative": "another activation, initialisation, normalisation or shortcut",
    "weights_too_small": "another initialisation",
    "weights_too_large": "another initialisation",
    "init_mismatch": "another initialisation",
    "depth_without_shortcut": "shortcuts, or weights that keep inputs apart",
    "saturated_activation": "another initialisation or activation",
    "dead_relu": "another initialisation or activation",
    "no_nonlinearity": "activations between the layers",
    "recurrent_weights": "other recurrent weights, an open forget gate",
    "learning_rate_high": "a lower learning rate, clipping",
    "learning_rate_low": "a higher learning rate",
    "optimizer_params": "an optimizer over the model's parameters",
    "frozen": "weights that are trained",
    "data_scale": "standardised inputs",
    "weight_decay_high": "less weight decay",
    "dropout_high": "less dropout",
    "loss_mismatch": "the loss that goes with the last activation, or the other way round",
    "normalization_misuse": "another normalisation",
}
"""By the cause that was planted: what undoes it."""

OVERFITTING = "overfitting"
"""A symptom that regularisation can lessen, where its cause is a network too large for the data."""

OUT_OF_REACH = {
    "detached_graph": "a line of the forward or the loss has to be written differently",
    "capacity_or_label_noise": "labels that belong to their inputs, or a larger network, are somebody else's to bring",
    "numeric_overflow": "an operation of the loss or the number format has to be another",
    "numeric_underflow": "the number format has to be another",
}
"""By the cause that was planted: why no remedy undoes it."""


def reachable(program: Program) -> bool:
    """Whether a remedy could undo what was planted."""
    assert program.fault is not None
    cause, symptom = program.fault.causes[0], program.fault.symptoms[0]
    if cause == "capacity_or_label_noise":
        return symptom == OVERFITTING and "shuffled" not in program.id and "noisy" not in program.id
    return cause in REACHABLE
