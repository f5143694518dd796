"""One file per symptom; this list is the order in which they are looked for."""

from headwater.diagnosis.rule import Rule
from headwater.diagnosis.rules import (
    dead_units,
    exploding,
    nonfinite,
    not_updating,
    overflow,
    saturation,
    underflow,
    vanishing,
)

RULES: tuple[Rule, ...] = (
    nonfinite.RULE,
    overflow.RULE,
    underflow.RULE,
    vanishing.RULE,
    exploding.RULE,
    dead_units.RULE,
    saturation.RULE,
    not_updating.RULE,
)
