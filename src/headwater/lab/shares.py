"""Which figures read in percent."""

SHARES = (
    "train_accuracy",
    "test_accuracy",
    "gap",
    "dead",
    "saturated",
    "coherence",
    "first_unchanged",
    "small_weights",
)
