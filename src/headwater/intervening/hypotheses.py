"""Which causes are worth an experiment, by symptom: those the diagnosis names, then their rivals.

Shortcuts are no rival of what makes a gradient vanish or explode: they lead round every suspect at once, so that they
restore the gradient whoever took it.
"""

from collections.abc import Sequence

from headwater.intervening.changes import CHANGES
from headwater.intervening.changes.change import Change
from headwater.records import Finding

_RIVALS = {
    "vanishing": "activation_derivative weights_too_small saturated_activation weight_decay_high",
    "exploding": "weights_too_large learning_rate_high data_scale",
    "underflow": "numeric_underflow activation_derivative weights_too_small",
    "overflow": "numeric_overflow learning_rate_high data_scale weights_too_large",
    "nonfinite": "learning_rate_high data_scale weights_too_large numeric_overflow",
    "dead_units": "dead_relu learning_rate_high init_mismatch data_scale",
    "saturation": "weights_too_large saturated_activation data_scale learning_rate_high",
    "rank_collapse": "depth_without_shortcut init_mismatch activation_derivative",
    "zigzag": "non_zero_centered learning_rate_high",
    "linear_collapse": "no_nonlinearity",
    "symmetric_init": "init_mismatch",
    "not_updating": "frozen optimizer_params detached_graph learning_rate_low",
    "lr_too_high": "learning_rate_high data_scale weights_too_large weight_decay_high",  # decays by rate times decay
    "lr_too_low": "learning_rate_low weights_too_small weight_decay_high",
    "oscillation": "learning_rate_high data_scale",
    "overfitting": "capacity_or_label_noise",
    "underfitting": "learning_rate_low learning_rate_high data_scale activation_derivative weights_too_small "
    "weights_too_large dropout_high weight_decay_high no_nonlinearity",
    "unscaled_input": "data_scale learning_rate_high",
    "loss_activation_mismatch": "loss_mismatch learning_rate_low",
    "vanishing_through_time": "recurrent_weights learning_rate_low",
    "dropout_too_high": "dropout_high learning_rate_low",
    "normalization_misuse": "normalization_misuse learning_rate_high",
    "double_regularization": "dropout_high weight_decay_high",
    "bad_init_small": "weights_too_small init_mismatch learning_rate_low",
    "bad_init_large": "weights_too_large init_mismatch learning_rate_high",
}


def changes_for(finding: Finding) -> tuple[Change, ...]:
    """The changes that test a finding's causes and their rivals, likeliest cause first."""
    named = [cause.id for cause in finding.causes]
    causes = dict.fromkeys([*named, *_RIVALS.get(finding.symptom, "").split()])
    wanted = [change for cause in causes for change in CHANGES if change.cause == cause]
    once = {change.make: change for change in reversed(wanted)}  # two causes may call for the same change
    return tuple(change for change in wanted if once[change.make] is change)


def changes_for_all(findings: Sequence[Finding]) -> tuple[Change, ...]:
    """Each change once, those of the worst finding first."""
    return tuple(dict.fromkeys(change for finding in findings for change in changes_for(finding)))
