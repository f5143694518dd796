"""Why the engine cannot do what was asked, in words for the lab: its own are English and speak of calls."""

from __future__ import annotations

import re

# What stands in the engine's sentence, and the key of the text that says the same; the first that fits.
_KNOWN = {
    # remedies
    "no remedy ": "unknown",
    "takes no strength|behind the colon stands": "strength",
    "holds every trained parameter": "all_trained",
    "is a convolution, whose channels": "channels",
    "bends the signal itself": "bends",
    "does not end in an activation with a bound": "no_bound",
    "gathers statistics already": "gathers",
    "has no ReLU or leaky ReLU between": "no_rectifier",
    "no hidden activation that is not|is that already": "is_so",
    "has no activation between two layers": "no_activation",
    "has no batch normalisation": "no_batch_norm",
    "is normalised already": "normalised",
    "has no convolution|A kernel with a middle tap": "no_kernel",
    "a dropout stands behind every": "has_dropout",
    "has no dropout that is a module|no more than": "no_dropout",
    "as many units, or channels": "no_equal_layers",
    "adds a shortcut to its branch": "has_shortcuts",
    "has no nn.Embedding": "no_embedding",
    "has no two matrices of one module": "no_factors",
    "has no two blocks of one class": "no_blocks",
    "has a shortcut already": "has_shortcuts",
    "has no nn.LSTM": "no_lstm",
    "no trained nn.RNN": "no_recurrence",
    "no trained parameters before its last": "only_output",
    "no affine layers to count|no linear or convolutional layer whose": "only_output",
    "nothing but linear operations between": "nothing_linear",
    "gradient of the untrained network is NaN|gives the parameters .* no gradient": "gradient_broken",
    "gradient of the first batches is zero": "gradient_zero",
    "is given what it is made for|calls no cross-entropy": "loss_suits",
    "is frozen|does not look as it was drawn": "not_frozen",
    "is piecewise linear": "piecewise",
    "edge of chaos": "no_edge",
    "nothing to bring down|has no weight_decay": "no_decay",
    "multiplies by 1": "nothing_changes",
    "has a deviation of": "no_spread",
    "standardised already|takes numbers of the data": "standardised",
    # the chain rule
    "there is no parameter|is no element of": "no_weight",
    "took no part in what is differentiated|no parameter of the model": "cut_off",
    "no gradient reaches|no gradient arrives": "cut_off",
    "NaN|Inf|although weights and data are finite": "broken",
    # a file
    "unexpected end of data": "csv_quote",
    "expected after": "csv_after_quote",
    "field larger than": "csv_long",
    "NUL|new-line character": "csv_characters",
}
OTHER = "other"


def reason_of(told: str) -> str:
    """The key of the text that says what the engine has told."""
    return next((key for pattern, key in _KNOWN.items() if re.search(pattern, told)), OTHER)
