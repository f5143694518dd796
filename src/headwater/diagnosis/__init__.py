"""From a Flow to findings: rules, the gradient's budget, causes with shares, and what to do."""

from headwater.diagnosis.engine import diagnose as diagnose
from headwater.diagnosis.waterfall import waterfall as waterfall
