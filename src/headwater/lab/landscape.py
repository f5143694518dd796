"""The loss round the weights as they are, along two directions of chance as long as the weights (filter-normalised).

Source: Li et al. 2018, arXiv:1712.09913, section 4, as in the lesson on the loss landscape.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from headwater.lab.network import loss_of
from headwater.lab.refusal import RefusedError
from headwater.lab.said import tell
from headwater.lab.slot import Slot, preserved_random_state
from headwater.lessons.loss_landscape import SPAN, unit_directions
from headwater.records import encode

_SMALLEST, _LARGEST = 5, 41
_SAMPLES = 128
"""Of the training: a slice of 21 × 21 is then as much work as 500 steps."""


def landscape_of(slot: Slot, size: Any) -> dict[str, Any]:
    """The loss over a square of weight space; the weights as they are lie in its middle.

    Args:
        slot: Whose network.
        size: Points along a side, odd.

    Raises:
        RefusedError: If the size is none.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not _SMALLEST <= size <= _LARGEST or not size % 2:
        raise RefusedError("landscape", {"got": repr(size)[:60], "low": _SMALLEST, "high": _LARGEST})
    split = slot.network.split
    x, y = split.x[:_SAMPLES], split.y[:_SAMPLES]
    loss = loss_of(slot.network.plan)
    side = np.linspace(-SPAN, SPAN, size).tolist()
    with torch.no_grad(), preserved_random_state():
        model = deepcopy(slot.network.model).eval()
        place = parameters_to_vector(model.parameters()).detach().clone()
        right, up = unit_directions(model, 0), unit_directions(model, 1)
        rows = []
        for b in side:
            row = []
            for a in side:
                vector_to_parameters(place + a * right + b * up, model.parameters())
                row.append(float(loss(model(x), y)))
            rows.append(row)
    said = tell("landscape", samples=len(x), span=100 * SPAN)
    data: dict[str, Any] = encode({"x": side, "y": side, "losses": rows, "step": slot.step, "said": said})
    return data
