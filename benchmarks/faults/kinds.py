"""The faults that are planted, with what a right diagnosis may call them.

The first symptom and the first cause are the expected ones. Those after them are as true of the same program: a network
of sigmoids whose gradient vanishes has merged its inputs too, and a step that is far too large ends in NaN, in dead
units or in a loss that jumps, whichever is looked at first.
"""

from __future__ import annotations

from benchmarks.faults.program import Fault

SIGMOID_DEPTH = Fault(("vanishing", "underflow", "rank_collapse"), ("activation_derivative", "depth_without_shortcut"))
SMALL_WEIGHTS = Fault(("vanishing", "bad_init_small", "underflow"), ("weights_too_small", "init_mismatch"))
LARGE_WEIGHTS = Fault(
    ("exploding", "bad_init_large", "overflow", "nonfinite"), ("weights_too_large", "init_mismatch", "numeric_overflow")
)
SATURATED = Fault(
    ("saturation", "bad_init_large", "exploding"), ("weights_too_large", "saturated_activation", "init_mismatch")
)
LARGE_LOGITS = Fault(("bad_init_large", "saturation", "exploding"), ("weights_too_large", "init_mismatch"))
RANK_COLLAPSE = Fault(("rank_collapse", "vanishing"), ("depth_without_shortcut", "init_mismatch"))
NO_SHORTCUT = Fault(
    ("vanishing", "rank_collapse", "underflow"),
    ("activation_derivative", "depth_without_shortcut", "weights_too_small"),
)
DEAD_BY_BIAS = Fault(("dead_units",), ("dead_relu", "init_mismatch"))
DEAD_BY_RATE = Fault(
    ("dead_units", "lr_too_high", "oscillation", "nonfinite"), ("learning_rate_high", "dead_relu"), None
)
SYMMETRIC = Fault(("symmetric_init", "bad_init_small"), ("init_mismatch", "weights_too_small"))
ZEROS = Fault(("symmetric_init", "bad_init_small", "not_updating", "vanishing"), ("init_mismatch", "weights_too_small"))
LINEAR = Fault(("linear_collapse", "underfitting"), ("no_nonlinearity",))
UNSCALED = Fault(("unscaled_input",), ("data_scale",))
SOFTMAX_TWICE = Fault(("loss_activation_mismatch",), ("loss_mismatch",))
WRONG_HEAD = Fault(("loss_activation_mismatch", "underfitting"), ("loss_mismatch",))
RATE_HIGH = Fault(
    ("lr_too_high", "oscillation", "nonfinite", "overflow", "dead_units", "saturation", "zigzag"),
    ("learning_rate_high",),
)
RATE_LOW = Fault(("lr_too_low", "not_updating"), ("learning_rate_low",))
OSCILLATION = Fault(("oscillation", "zigzag", "lr_too_high"), ("learning_rate_high",))
WRONG_PARAMETERS = Fault(("not_updating",), ("optimizer_params",))
DETACHED_STATE = Fault(("vanishing_through_time", "not_updating"), ("detached_graph",))
DETACHED = Fault(("not_updating",), ("detached_graph",))
FROZEN = Fault(("not_updating",), ("frozen",))
DROPOUT = Fault(("dropout_too_high", "underfitting"), ("dropout_high",))
WEIGHT_DECAY = Fault(("underfitting", "double_regularization", "vanishing"), ("weight_decay_high",))
DOUBLE = Fault(("double_regularization", "dropout_too_high", "underfitting"), ("weight_decay_high", "dropout_high"))
NORMALIZATION = Fault(("normalization_misuse",), ("normalization_misuse",))
THROUGH_TIME = Fault(("vanishing_through_time", "vanishing"), ("recurrent_weights", "activation_derivative"))
SATURATED_TIME = Fault(
    ("saturation", "bad_init_large", "exploding"),
    ("weights_too_large", "saturated_activation", "init_mismatch", "recurrent_weights"),
)
EXPLODING_TIME = Fault(
    ("exploding", "bad_init_large", "saturation", "nonfinite", "overflow"),
    ("recurrent_weights", "weights_too_large", "saturated_activation", "init_mismatch"),
)
OVERFITTING = Fault(("overfitting",), ("capacity_or_label_noise",))
UNDERFITTING = Fault(("underfitting",), ("capacity_or_label_noise",))
# Labels that have nothing to do with their inputs are learnt by heart, or not at all.
SHUFFLED_LABELS = Fault(("underfitting", "overfitting"), ("capacity_or_label_noise",))
NAN = Fault(("nonfinite", "overflow", "underflow"), ("numeric_overflow", "numeric_underflow", "loss_mismatch"))
# A hole in the data, or a division by the spread of what is all the same.
NAN_IN_DATA = Fault(("nonfinite", "overflow"), ("numeric_overflow", "data_scale", "numeric_underflow"))
# Adam's epsilon of 1e-8 is 0 in float16, and so is the square of a small gradient: 0 / 0.
ADAM_IN_HALF = Fault(("nonfinite", "underflow", "overflow"), ("numeric_underflow", "numeric_overflow"))
OVERFLOW = Fault(("overflow", "nonfinite"), ("numeric_overflow", "data_scale"))
UNDERFLOW = Fault(("underflow", "not_updating", "vanishing"), ("numeric_underflow",))
# Gradients that add up over the steps are a momentum that nothing wears away: steps grow, and turn too late.
NEVER_ZEROED = Fault(
    ("lr_too_high", "oscillation", "zigzag", "exploding", "nonfinite", "overflow", "saturation", "dead_units"),
    ("learning_rate_high",),
)
# A sum where a mean was meant multiplies the rate by the number of samples.
SUMMED = Fault(
    ("lr_too_high", "oscillation", "nonfinite", "overflow", "dead_units", "saturation", "zigzag", "exploding"),
    ("learning_rate_high",),
)
# Targets in the thousands: errors, and so the first gradients, are far larger than the weights and rates suit.
UNSCALED_TARGET = Fault(
    ("exploding", "lr_too_high", "oscillation", "nonfinite", "overflow", "underfitting", "unscaled_input"),
    ("data_scale", "learning_rate_high", "numeric_overflow"),
)
