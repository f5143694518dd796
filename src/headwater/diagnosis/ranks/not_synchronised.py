"""Weights that every rank should hold alike and that differ: gradients are not averaged, or not all of them.

``DistributedDataParallel`` starts all ranks from the weights of the first and gives all of them the same gradient, so
the same optimizer keeps them equal to the last bit. Two ranks that differ train networks of their own.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from headwater.diagnosis.prescribing_training import advice
from headwater.diagnosis.ranks.observation import RankRule, Ranks
from headwater.records import Cause, Evidence, Finding, Message
from headwater.records.message import Value

DIFFERENT = 1e-7
FAR = 1e-4
SOURCE = "one unit in the last place of float32 is 6e-8 of a number (docs/thresholds.md)"


def _look(ranks: Ranks) -> Iterable[Finding]:
    worst: tuple[float, int, int, int] | None = None
    numbers = sorted(ranks.places)
    for place, rank in enumerate(numbers):
        for other in numbers[:place]:
            apart = _apart(ranks, other, rank)
            if apart.size and (worst is None or float(apart[:, -1].max()) > worst[0]):
                row = int(apart[:, -1].argmax())
                worst = float(apart[row, -1]), row, other, rank
    if worst is None or worst[0] <= DIFFERENT:
        return
    largest, row, first, second = worst
    apart = _apart(ranks, first, second)
    began = int(ranks.steps[np.flatnonzero(apart.max(axis=0) > DIFFERENT)[0]])
    parameter = ranks.parameter_names[row]
    values: dict[str, Value] = {
        "parameter": parameter,
        "first": first,
        "second": second,
        "difference": largest,
        "step": began,
        "parameters": int((apart[:, -1] > DIFFERENT).sum()),
    }
    kind = "unwrapped" if ranks.places[first].wrapper == "none" else "diverged"
    code = (
        "# model = torch.nn.parallel.DistributedDataParallel(model)"
        if kind == "unwrapped"
        else "# model = DistributedDataParallel(model)   after every change to it, before the optimizer is made:\n"
        "# optimizer = Optimizer(model.parameters())   and nothing that changes weights on some ranks only"
    )
    yield Finding(
        symptom="not_synchronised",
        severity="critical" if largest > FAR else "warning",
        sites=(),
        evidence=(
            Evidence("weight_difference", largest, DIFFERENT, parameter, SOURCE),
            Evidence("gradient_difference", _of_gradients(ranks, row, first, second), None, parameter),
        ),
        causes=(Cause("no_averaging", None, Message(f"cause.no_averaging.{kind}", values)),),
        prescriptions=(advice(f"average_{kind}", code),),
        message=Message("finding.not_synchronised", values),
    )


def _apart(ranks: Ranks, a: int, b: int) -> NDArray[np.float64]:
    """By how much of its rms each weight tensor differs that both ranks hold, by point; 0 where it is not known."""
    shared = (ranks.pieces[a] == ranks.pieces[b]) & (ranks.pieces[a] >= 0)
    x, y = ranks.parameters[a]["value_rms"], ranks.parameters[b]["value_rms"]
    if not x.shape[1] or not shared.any():
        return np.zeros((0, 0))
    with np.errstate(all="ignore"):
        apart = np.abs(x - y) / np.fmax(x, y)
    return np.where(shared[:, None], np.nan_to_num(apart), 0.0)


def _of_gradients(ranks: Ranks, row: int, a: int, b: int) -> float | None:
    """The same of the gradient with which the optimizer stepped, at the last point."""
    x, y = (float(ranks.parameters[rank]["grad_norm"][row, -1]) for rank in (a, b))
    return abs(x - y) / max(x, y) if max(x, y) > 0 else None


RULE = RankRule("not_synchronised", _look)
