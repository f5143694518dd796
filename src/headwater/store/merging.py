"""What the ranks of one training have recorded, as one table: by the counts beside each number, exactly.

Every statistic says how those of several ranks become one. Sums, counts and extremes add up; a mean square is weighted
by how many numbers it speaks for. Of parameters, pieces of which ranks hold different ones add up, and what all of them
hold counts once. A gradient of the signal is what one rank's own loss gives; that of the mean over ranks is smaller by
their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cube = NDArray[np.float64]
"""Ranks by rows by points; NaN where a rank has measured nothing."""
Flat = NDArray[np.float64]
"""Rows by points."""
Column = Callable[[str], Cube]


@dataclass(frozen=True)
class Holding:
    """Which numbers of a training lie where.

    Attributes:
        replicas: Ranks by rows: over how many ranks with data of their own a row's loss is averaged.
        counts: Ranks by rows: elements of a parameter that a rank holds.
        pieces: Per row, for each rank which piece it holds, -1 for none; the same number is the same piece.
        replica: Of each rank, which model it is a part of; ranks of one have its units among them.
    """

    replicas: NDArray[np.float64]
    counts: NDArray[np.float64]
    pieces: NDArray[np.int64]
    replica: NDArray[np.int64]


def merged_sites(statistic: str, column: Column, holding: Holding) -> Flat:
    """One statistic of sites.

    Args:
        statistic: Which.
        column: Gives those of each rank.
        holding: Of sites.
    """
    if statistic.endswith(("_nan", "_inf", "_count")):
        return _total(column(statistic))
    if statistic.endswith("abs_max"):
        return _largest(_averaged(statistic, column(statistic), holding))
    gradient = statistic.startswith("activation_grad") or statistic == "backward_gain"
    weights = _finite(column, "activation_grad" if gradient else "activation")
    if statistic == "activation_std":
        return _std(column, weights)
    if statistic in ("activation_rms", "activation_grad_rms", "derivative_rms"):
        return _rms(_averaged(statistic, column(statistic), holding), weights)
    if statistic == "forward_gain":
        return _gain(column("activation_rms"), column(statistic), weights, inverse=True)
    if statistic == "backward_gain":
        return _gain(column("activation_grad_rms"), column(statistic), weights, inverse=False)
    if statistic == "dead_fraction":
        return _of_units(column(statistic), column("activation_count"), holding.replica)
    if statistic in ("abs_cosine", "effective_rank"):
        return _mean(column(statistic), np.ones_like(weights))
    return _mean(column(statistic), column("activation_count") if statistic.endswith("_fraction") else weights)


def merged_parameters(statistic: str, column: Column, holding: Holding) -> Flat:
    """One statistic of parameters.

    Args:
        statistic: Which.
        column: Gives those of each rank.
        holding: Of parameters.
    """
    if statistic == "local_grad_rms":
        values = column(statistic)
        return _rms(values, np.ones_like(values))
    if statistic == "local_grad_abs_max":
        return _largest(column(statistic))
    counted = _counted(column("value_rms"), holding.pieces)
    values = np.where(counted, column(statistic), np.nan)
    elements = np.where(counted, holding.counts[:, :, None], 0.0)
    if statistic.endswith(("_nan", "_inf")) or statistic == "spoiled":
        return _total(values)
    if statistic.endswith("abs_max"):
        return _largest(values)
    if statistic == "grad_norm":
        return _root_of_squares(values)
    if statistic in ("value_rms", "grad_rms"):
        kind = statistic.removesuffix("_rms")
        spoiled = np.nan_to_num(column(f"{kind}_nan")) + np.nan_to_num(column(f"{kind}_inf"))
        return _rms(values, elements - spoiled * counted)
    if statistic == "update_ratio":
        weight = np.where(counted, column("value_rms"), np.nan)
        return _gain(weight, values, elements, inverse=False)
    if statistic == "gradient_cosine":
        return joint_cosine(values, np.where(counted, column("grad_norm"), np.nan))
    return _mean(values, elements)


def joint_cosine(cosines: Cube, norms: Cube, signs: NDArray[np.float64] | None = None) -> Flat:
    """Of a gradient with that of the point before, of which ranks hold a piece each.

    Args:
        cosines: Of the pieces.
        norms: Of the pieces' gradients. At the first point those before are not at hand, and taken to be as large.
        signs: -1 for a piece that is taken out again, because another holds it too; 1 by default.
    """
    before = np.concatenate([norms[..., :1], norms[..., :-1]], axis=-1)
    sign = np.ones(len(cosines)) if signs is None else signs
    sign = sign.reshape(-1, *[1] * (cosines.ndim - 1))
    with np.errstate(all="ignore"):
        known = ~np.isnan(cosines)
        products = np.nansum(sign * cosines * (norms * before), axis=0)
        squares = [np.nansum(sign * np.where(known, part, 0.0) ** 2, axis=0) for part in (norms, before)]
        return np.where(known.any(axis=0), products / np.sqrt(squares[0] * squares[1]), np.nan)


def joint_ratio(ratios: Cube, weights: Cube, signs: NDArray[np.float64] | None = None) -> Flat:
    """‖Δw‖/‖w‖ of weights of which ranks hold a part each.

    Args:
        ratios: Of the parts.
        weights: Their ‖w‖.
        signs: -1 for a part that is taken out again, because another holds it too; 1 by default.
    """
    sign = np.ones(len(ratios)) if signs is None else signs
    with np.errstate(all="ignore"):
        squares = sign[:, None] * np.where(np.isnan(ratios), 0.0, weights**2)
        return np.sqrt(np.nansum(squares * ratios**2, axis=0) / squares.sum(axis=0))


def counted_first(pieces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of ranks by rows, whether a rank is the first to hold the piece."""
    earlier = [
        np.any(pieces[:rank] == pieces[rank], axis=0) if rank else np.zeros(pieces.shape[1], bool)
        for rank in range(len(pieces))
    ]
    return (pieces >= 0) & ~np.array(earlier, bool).reshape(pieces.shape)


def _finite(column: Column, kind: str) -> Cube:
    """How many finite elements a rank's moments speak for."""
    spoiled = np.nan_to_num(column(f"{kind}_nan")) + np.nan_to_num(column(f"{kind}_inf"))
    return np.maximum(0.0, np.nan_to_num(column("activation_count")) - spoiled)


def _averaged(statistic: str, values: Cube, holding: Holding) -> Cube:
    """A gradient of one rank's loss as that of the mean over ranks."""
    return values / holding.replicas[:, :, None] if statistic.startswith("activation_grad") else values


def _counted(known: Cube, pieces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ranks' numbers count: of those with the same piece the first one that has measured it."""
    there = ~np.isnan(known)
    counted = np.zeros_like(there)
    for piece in np.unique(pieces[pieces >= 0]):
        holds = pieces == piece
        ranks = np.flatnonzero(holds.any(axis=1))
        own = there[ranks] & holds[ranks][:, :, None]
        counted[ranks] |= own & (np.cumsum(own, axis=0) == 1)
    return counted


def _total(values: Cube) -> Flat:
    return np.where(np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0))


def _largest(values: Cube) -> Flat:
    return np.fmax.reduce(values, axis=0)


def _least(values: Cube) -> Flat:
    return np.fmin.reduce(values, axis=0)


def _of_units(values: Cube, counts: Cube, replica: NDArray[np.int64]) -> Flat:
    """A share of units: over those of one model its mean, over models the least, for what is dead is so for each."""
    models = [_mean(values[replica == one], counts[replica == one]) for one in np.unique(replica)]
    return _least(np.stack(models))


def _mean(values: Cube, weights: Cube) -> Flat:
    known = np.where(np.isnan(values), 0.0, weights)
    with np.errstate(all="ignore"):
        return np.nansum(values * known, axis=0) / known.sum(axis=0)


def _rms(values: Cube, weights: Cube) -> Flat:
    """Of squares that leave float64 only their ratios to the largest are taken."""
    top = _largest(values)
    with np.errstate(all="ignore"):
        unit = np.where(top > 0, top, 1.0)
        return unit * np.sqrt(_mean((values / unit) ** 2, weights))


def _root_of_squares(values: Cube) -> Flat:
    top = _largest(values)
    with np.errstate(all="ignore"):
        unit = np.where(top > 0, top, 1.0)
        return unit * np.sqrt(_total((values / unit) ** 2))


def _std(column: Column, weights: Cube) -> Flat:
    """With n - 1 in the denominator, as each rank has it (Chan, Golub, LeVeque 1983)."""
    mean, std = column("activation_mean"), column("activation_std")
    joint = _mean(mean, weights)
    std = np.where((weights == 1) & np.isnan(std), 0.0, std)  # one element deviates from nothing
    top = _largest(np.abs(np.stack([*std, *(mean - joint)])))
    with np.errstate(all="ignore"):
        unit = np.where(top > 0, top, 1.0)
        squares = (weights - 1) * (std / unit) ** 2 + weights * ((mean - joint) / unit) ** 2
        total = weights.sum(axis=0)
        return np.where(total > 1, unit * np.sqrt(np.nansum(squares, axis=0) / (total - 1)), np.nan)


def _gain(rms: Cube, gain: Cube, weights: Cube, inverse: bool) -> Flat:
    """A ratio of two rms, one of which is known beside it; how many elements the two have, is the same at all ranks."""
    with np.errstate(all="ignore"):
        other = rms / gain if inverse else rms * gain
        both = np.where(np.isnan(other), np.nan, rms)
        return _rms(both, weights) / _rms(other, weights) if inverse else _rms(other, weights) / _rms(both, weights)
