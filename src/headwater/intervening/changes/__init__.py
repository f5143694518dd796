"""Every change an intervention can make; each tests one cause."""

from headwater.intervening.changes import computing, optimizing, passing, weights
from headwater.intervening.changes.change import Change

CHANGES: tuple[Change, ...] = (*weights.CHANGES, *passing.CHANGES, *computing.CHANGES, *optimizing.CHANGES)
