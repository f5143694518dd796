"""One file per symptom; this list is the order in which they are looked for: what explains others comes first."""

from functools import cache

from headwater import plugins
from headwater.diagnosis.foreign import guarded
from headwater.diagnosis.rule import Rule
from headwater.diagnosis.rules import (
    bad_init_large,
    bad_init_small,
    dead_units,
    double_regularization,
    dropout_too_high,
    exploding,
    gated_by_design,
    linear_collapse,
    loss_activation_mismatch,
    lr_too_high,
    lr_too_low,
    nonfinite,
    normalization_misuse,
    not_updating,
    oscillation,
    overfitting,
    overflow,
    rank_collapse,
    saturation,
    symmetric_init,
    underfitting,
    underflow,
    unscaled_input,
    vanishing,
    vanishing_through_time,
    zigzag,
)

RULES: tuple[Rule, ...] = (
    nonfinite.RULE,
    overflow.RULE,
    underflow.RULE,
    symmetric_init.RULE,
    loss_activation_mismatch.RULE,
    normalization_misuse.RULE,
    dropout_too_high.RULE,
    unscaled_input.RULE,
    vanishing.RULE,
    exploding.RULE,
    dead_units.RULE,
    saturation.RULE,
    bad_init_small.RULE,
    bad_init_large.RULE,
    rank_collapse.RULE,
    linear_collapse.RULE,
    lr_too_high.RULE,
    oscillation.RULE,
    not_updating.RULE,
    lr_too_low.RULE,
    vanishing_through_time.RULE,
    overfitting.RULE,
    double_regularization.RULE,
    underfitting.RULE,
    zigzag.RULE,
    gated_by_design.RULE,
)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Ours, and behind them those that plugins bring (``headwater.rules``)."""
    found = plugins.loaded("rules", Rule, lambda rule: rule.symptom, [rule.symptom for rule in RULES])
    return (*RULES, *(guarded(label, rule) for label, rule in found))
