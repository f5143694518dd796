"""One rank's data have another scale, or another mean, than those of the others: a node that prepares them otherwise.

All ranks hold the same weights, so the first layer answers data of one distribution with moments that differ by the
sampling error alone. That error is told by the steps themselves: what is left of each rank's moments when what all
share at a step, and what the rank has at every step, is taken away.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from headwater.diagnosis.prescribing_training import advice
from headwater.diagnosis.ranks.observation import RankRule, Ranks, named
from headwater.records import Cause, Evidence, Finding, Message
from headwater.records.message import Value

FACTOR = 1.5
OFFSET = 0.5  # standard deviations
ERRORS = 6.0
FEW_STEPS = 4
SOURCE = "six standard errors of the ranks' own means over the steps; data as bytes are 255 times too large"


def _look(ranks: Ranks) -> Iterable[Finding]:
    own = ranks.with_data
    row = _entrance(ranks)
    if len(own) < 2 or len(ranks.steps) < FEW_STEPS or row is None:
        return
    read = {
        name: np.stack([ranks.sites[rank][name][row] for rank in own])
        for name in ("activation_rms", "activation_mean", "activation_std")
    }
    with np.errstate(all="ignore"):
        sizes, offsets = np.log(read["activation_rms"]), read["activation_mean"] / read["activation_std"]
    for values, least, kind in ((sizes, math.log(FACTOR), "scale"), (offsets, OFFSET, "mean")):
        found = _outlier(values, least, _input_sizes(ranks, own))
        if found is None:
            continue
        place, apart, error = found
        yield _finding(ranks, own[place], [r for r in own if r != own[place]], row, kind, apart, error)
        return


def _finding(ranks: Ranks, rank: int, others: list[int], row: int, kind: str, apart: float, error: float) -> Finding:
    site = ranks.site_names[row]
    inputs = {r: flow.setup.input for r, flow in ranks.flows.items()}
    own, usual = inputs.get(rank), next((inputs[r] for r in others if inputs.get(r) is not None), None)
    values: dict[str, Value] = {
        "rank": rank,
        "others": named(others),
        "site": site,
        "factor": math.exp(apart) if kind == "scale" else apart,
        "own": own.rms if own is not None else None,
        "usual": usual.rms if usual is not None else None,
    }
    known = () if own is None or usual is None else (Evidence("input_rms", own.rms, usual.rms, site),)
    return Finding(
        symptom="rank_data",
        severity="warning",
        sites=(site,),
        evidence=(
            Evidence(f"rank_{kind}", values["factor"], FACTOR if kind == "scale" else OFFSET, site, SOURCE),
            Evidence("standard_error", error, abs(apart) / ERRORS, site, SOURCE),
            *known,
        ),
        causes=(Cause("data_scale", None, Message(f"cause.data_scale.of_rank_{kind}", values)),),
        prescriptions=(
            advice(
                "same_preprocessing",
                "# mean, std = ...   of all training data, once, and the same numbers on every rank\n"
                "# x = (x - mean) / std",
            ),
        ),
        message=Message(f"finding.rank_data_{kind}", values),
    )


def _entrance(ranks: Ranks) -> int | None:
    """The first operation with weights whose output changes with the data."""
    flow = next(iter(ranks.flows.values()), None)
    with_weights = {row.site.name for row in flow.sites if row.site.parameters} if flow is not None else set()
    return next((row for row, name in enumerate(ranks.site_names) if name in with_weights), None)


def _input_sizes(ranks: Ranks, own: list[int]) -> list[float]:
    """How far each rank's data are from the rms of 1 that initialisations are made for, in e-folds."""
    found = []
    for rank in own:
        given = ranks.flows[rank].setup.input if rank in ranks.flows else None
        rms = given.rms if given is not None else None
        found.append(abs(math.log(rms)) if rms else 0.0)
    return found


def _outlier(values: NDArray[np.float64], least: float, strangeness: list[float]) -> tuple[int, float, float] | None:
    """The rank furthest from the others, how far, and the standard error of that; ``None`` if it is within those.

    Args:
        values: Ranks by points.
        least: What is worth telling.
        strangeness: By which of two equally far ones is chosen.
    """
    if not np.isfinite(values).all():
        return None
    usual = np.stack([np.median(np.delete(values, place, axis=0), axis=0) for place in range(len(values))])
    apart = values - usual
    own = np.median(apart, axis=1)
    left = apart - own[:, None]
    spread = 1.4826 * float(np.median(np.abs(left)))  # of a normal distribution, from the median deviation
    error = spread / math.sqrt(values.shape[1])
    furthest = np.abs(own) >= np.abs(own).max() * (1 - 1e-9)
    place = max(np.flatnonzero(furthest).tolist(), key=lambda index: (strangeness[index], own[index]))
    far = abs(float(own[place]))
    return (place, float(own[place]), error) if far > max(least, ERRORS * error) else None


RULE = RankRule("rank_data", _look)
