"""Change one thing, train a little, and see whether what failed comes back: causes by experiment."""

from headwater.intervening.rounds import intervene as intervene
