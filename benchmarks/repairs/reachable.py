"""Which planted faults a change to the network or to its training can undo, whoever proposes the change.

Decided by what was planted: not by what headwater can do.
"""

from __future__ import annotations

from benchmarks.faults.program import Fault, Program

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

OUT_OF_REACH = {
    "detached_graph": "a line of the forward or the loss has to be written differently",
    "capacity_or_label_noise": "samples, labels that belong to their inputs, or a larger network are missing, and "
    "nobody but the author has them",
    "numeric_overflow": "an operation of the loss or the number format has to be another",
    "numeric_underflow": "the number format has to be another",
}
"""By the cause that was planted: why no remedy undoes it."""

OVERFITTING = "overfitting"


def reachable(program: Program) -> bool:
    """Whether a remedy could undo what was planted."""
    return _fault(program).causes[0] in REACHABLE


def lessened(program: Program) -> bool:
    """Whether a remedy could lessen what none can undo: a network that is to learn from too few samples.

    Points are hundredths of what the twin learns, which has all samples: regularisation gains a few of those that are
    missing, as benchmarks/regularisers.py measures, so that such programs are told apart.
    """
    fault = _fault(program)
    return fault.causes[0] not in REACHABLE and fault.symptoms[0] == OVERFITTING


def _fault(program: Program) -> Fault:
    assert program.fault is not None
    return program.fault
