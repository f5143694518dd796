"""One seed, several streams: what is drawn for one purpose must not repeat the numbers drawn for another.

A user's model is initialised under the seed itself. Data shuffled or made under the same seed would be the very numbers
that the weights are, and so would weights that a remedy draws anew.
"""

import random

import numpy as np
import torch

DRAWN_WEIGHTS = 0x5EED
DATA = 0xDA7A
DRAWN_PROJECTIONS = 0xA77E
DRAWN_VECTORS = 0xE3BED
DRAWN_FACTORS = 0xFAC7
TRAINING = 0x7EA1  # dropout and other draws of the model itself
MEASURING = 0x3EA5  # what a plan draws while it measures on data
PLACEBO = 1_000_003  # far from any seed a user counts up from
TUNING = 2_000_029  # the proof's own seeds, moved: a learning rate must not be chosen by the runs that judge it
SELECTION = 3_000_047  # of candidates: none of the proof's seeds, and none of those it tunes on
HELD_OUT = 0x4E1D  # validation data that are gone through once and kept


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
