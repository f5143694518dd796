"""The loss round the weights as they are, along two directions of chance as long as the weights (filter-normalised).

Source: Li et al. 2018, arXiv:1712.09913, section 4, as in the lesson on the loss landscape.
"""

from __future__ import annotations

from collections.abc import Generator
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
_SAMPLES, _FEWEST = 128, 16
"""Of the training: a slice of 21 × 21 is then as much work as 500 steps."""
_MOST_WORK = 1e11
"""Multiplications of one slice, some seconds; a network for which 128 samples are more is shown fewer."""

Landscape = Generator[None, None, dict[str, Any]]


def landscape_of(slot: Slot, size: Any) -> Landscape:
    """The loss over a square of weight space; the weights as they are lie in its middle.

    It takes seconds for a large network, so it is made point by point: others have their turn in between, and the
    network itself may go on, since a copy is looked at.

    Args:
        slot: Whose network.
        size: Points along a side, odd.

    Raises:
        RefusedError: If the size is none.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not _SMALLEST <= size <= _LARGEST or not size % 2:
        raise RefusedError("landscape", {"got": repr(size)[:60], "low": _SMALLEST, "high": _LARGEST})
    return _drawn(slot, size)


def _drawn(slot: Slot, size: int) -> Landscape:
    network, step, side = slot.network, slot.step, np.linspace(-SPAN, SPAN, size).tolist()
    samples = _samples_of(slot, size)
    x, y = network.split.x[:samples], network.split.y[:samples]
    loss = loss_of(network.plan)
    with torch.no_grad(), preserved_random_state():
        model = deepcopy(network.model).eval()
        place = parameters_to_vector(model.parameters()).detach().clone()
        right, up = unit_directions(model, 0), unit_directions(model, 1)
    rows: list[list[float]] = []
    for b in side:
        rows.append([])
        for a in side:
            with torch.no_grad():  # not while others have their turn
                vector_to_parameters(place + a * right + b * up, model.parameters())
                rows[-1].append(float(loss(model(x), y)))
            yield
    said = tell("landscape", samples=len(x), span=100 * SPAN)
    data: dict[str, Any] = encode({"x": side, "y": side, "losses": rows, "step": step, "said": said})
    return data


def _samples_of(slot: Slot, size: int) -> int:
    forward = slot.network.plan.work / 3 / slot.spec.batch_size  # of one sample; a step goes forward and back
    return min(_SAMPLES, max(_FEWEST, int(_MOST_WORK / (size**2 * max(forward, 1.0)))))
