"""What tells two runs apart: sites aligned by name, then by what they are, and the largest differences in words."""

from __future__ import annotations

import math
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.records import Message
from headwater.records.message import Value
from headwater.records.recorded import Comparison, Difference, Renamed
from headwater.records.site import Site
from headwater.store import Curve, Recording

MOST = 3
_SCALES = ("activation_rms", "activation_grad_rms", "grad_rms", "update_ratio")
_SHARES = ("dead_fraction", "saturated_fraction", "zero_fraction", "abs_cosine")
_COUNTS = ("activation_nan", "activation_inf", "activation_grad_nan", "activation_grad_inf")
_SHARE_DECADES = (
    3.0  # what a share that moved from 0 to 1 counts as: all units dead weighs as much as a gradient / 1,000
)
_LEAST = 0.1  # decades: a quarter more or less is what two seeds of one network differ by
_LAST = 0.2  # of the steps that both have
_POINTS = 400
_FLOOR = 1e-45  # below the smallest float32; zero stands there
_NONFINITE_DECADES = 1e3  # before all that is finite

Numbers = NDArray[np.float64]
Pair = tuple[int, int]


def compare(a: Recording, b: Recording) -> Comparison:
    """Compare two runs over the steps that both have.

    Args:
        a: The first one.
        b: The second one.
    """
    pairs, renamed, only_a, only_b = align(a.sites, b.sites)
    last = _last_common(a, b)
    differences: list[Difference] = []
    largest = np.zeros(len(pairs))
    if last is not None and pairs:
        names = [a.sites[i].name for i, _ in pairs]
        differences += _nonfinite(a, b, pairs, names, last)
        for statistic in (*_SCALES, *_SHARES):
            found, by_site = _of_statistic(a, b, statistic, pairs, names, last)
            largest = np.fmax(largest, by_site)
            differences += [found] if found is not None else []
    if last is not None:
        differences += _of_scalars(a, b, last)
    differences.sort(key=lambda difference: -difference.decades)
    return Comparison(
        a=names_of(a, b)[0],
        b=names_of(a, b)[1],
        aligned=len(pairs),
        renamed=renamed,
        only_a=only_a,
        only_b=only_b,
        last_step=last,
        differences=tuple(differences[:MOST]),
        largest={a.sites[i].name: float(value) for (i, _), value in zip(pairs, largest, strict=True)},
    )


def align(a: list[Site], b: list[Site]) -> tuple[list[Pair], tuple[Renamed, ...], tuple[str, ...], tuple[str, ...]]:
    """Which sites of two runs are the same: those of one name, and between them those that are the same operation.

    Returns:
        Pairs of places, those that are called otherwise, and the names that only one run has.
    """
    places = {site.name: place for place, site in enumerate(b)}
    pairs = [(place, places[site.name]) for place, site in enumerate(a) if site.name in places]
    rest_a = [place for place, site in enumerate(a) if site.name not in places]
    taken = {j for _, j in pairs}
    rest_b = [place for place in range(len(b)) if place not in taken]
    matcher = SequenceMatcher(None, [_looks(a[i]) for i in rest_a], [_looks(b[j]) for j in rest_b], autojunk=False)
    found = [
        (rest_a[block.a + k], rest_b[block.b + k]) for block in matcher.get_matching_blocks() for k in range(block.size)
    ]
    renamed = tuple(Renamed(a[i].name, b[j].name) for i, j in found)
    matched_a, matched_b = {i for i, _ in found}, {j for _, j in found}
    only_a = tuple(a[i].name for i in rest_a if i not in matched_a)
    only_b = tuple(b[j].name for j in rest_b if j not in matched_b)
    return sorted([*pairs, *found]), renamed, only_a, only_b


def _looks(site: Site) -> tuple[Any, ...]:
    """What a site is, whatever it is called: its operation and the shape of one sample."""
    return site.op, site.kind, site.shape[1:]


def _last_common(a: Recording, b: Recording) -> int | None:
    lasts = []
    for run in (a, b):
        steps = run.course()["update_ratio"].steps
        if not len(steps):
            return None
        lasts.append(int(steps.max()))
    return min(lasts)


def _nonfinite(a: Recording, b: Recording, pairs: list[Pair], names: list[str], last: int) -> list[Difference]:
    """Whether one run has NaN or Inf where the other has none."""
    counts = [
        sum(np.nan_to_num(_values(run, name, side, pairs, last)[1]) for name in _COUNTS)
        for side, run in enumerate((a, b))
    ]
    steps = [_values(run, _COUNTS[0], side, pairs, last)[0] for side, run in enumerate((a, b))]
    has = [np.asarray(count).max(axis=1, initial=0) > 0 for count in counts]
    if has[0].any() == has[1].any():
        return []
    side = int(has[1].any())
    step, row = _first_nonfinite((a, b)[side], side, pairs, steps[side], np.asarray(counts[side]), last)
    values: dict[str, Value] = {
        "run": names_of(a, b)[side],
        "other": names_of(a, b)[1 - side],
        "site": names[row],
        "step": step,
    }
    most = float(np.asarray(counts[side])[row].max())
    message = Message("compare.nonfinite", values)
    of_a, of_b = (0.0, most) if side else (most, 0.0)
    count = int(has[side].sum())
    return [Difference("nonfinite", "nonfinite", names[row], of_a, of_b, _NONFINITE_DECADES, count, step, message)]


def _first_nonfinite(
    run: Recording, side: int, pairs: list[Pair], steps: NDArray[Any], counts: Numbers, last: int
) -> tuple[int, int]:
    """At which step there was NaN or Inf first, and at which site: of a long run a point stands for several steps."""
    point = int(np.flatnonzero(counts.max(axis=0) > 0)[0])
    stop = int(steps[point + 1]) if point + 1 < len(steps) else last + 1
    own = [pair[side] for pair in pairs]
    found = {name: run.read(name, start=int(steps[point]), stop=stop) for name in _COUNTS}
    forward, backward = (
        np.sum(
            [np.nan_to_num(values[own]) for name, (_, values) in found.items() if ("grad" in name) == of_grad], axis=0
        )
        > 0
        for of_grad in (False, True)
    )
    bad = forward | backward
    if not bad.any():  # steps that go back, where a training was resumed
        return int(steps[point]), int(np.flatnonzero(counts[:, point] > 0)[0])
    first = int(np.flatnonzero(bad.any(axis=0))[0])
    there = np.flatnonzero(forward[:, first])  # a gradient takes the other way: its last site comes first
    row = int(there[0]) if len(there) else int(np.flatnonzero(backward[:, first])[-1])
    return int(found[_COUNTS[0]][0][first]), row


def _of_statistic(
    a: Recording, b: Recording, statistic: str, pairs: list[Pair], names: list[str], last: int
) -> tuple[Difference | None, Numbers]:
    """The largest difference in a statistic, and how large it is at every aligned site."""
    steps_a, values_a = _values(a, statistic, 0, pairs, last)
    steps_b, values_b = _values(b, statistic, 1, pairs, last)
    end_a, end_b = _at_the_end(steps_a, values_a), _at_the_end(steps_b, values_b)
    apart = _apart(statistic, end_a, end_b)
    by_site = np.nan_to_num(apart)
    if not len(apart) or by_site.max() < _LEAST:
        return None, by_site
    row = int(by_site.argmax())
    decades = float(by_site[row])
    begins = _begins(statistic, steps_a, values_a[row], steps_b, values_b[row], decades)
    sites = int((by_site >= decades / 2).sum())
    values: dict[str, Value] = {
        "statistic": statistic,
        "site": names[row],
        "a": names_of(a, b)[0],
        "b": names_of(a, b)[1],
        "value_a": float(end_a[row]),
        "value_b": float(end_b[row]),
        "decades": decades,
        "sites": sites,
        "aligned": len(pairs),
        "step": begins,
    }
    message = Message("compare.share" if statistic in _SHARES else "compare.scale", values)
    of_a, of_b = float(end_a[row]), float(end_b[row])
    found = Difference("statistic", statistic, names[row], of_a, of_b, decades, sites, begins, message)
    return found, by_site


def _of_scalars(a: Recording, b: Recording, last: int) -> list[Difference]:
    """Losses and other logged numbers that both have, or that one has lost to NaN."""
    of_a, of_b = a.scalars(), b.scalars()
    found: list[Difference] = []
    for name in of_a.keys() & of_b.keys():
        end_a, end_b = _last_of(of_a[name], last), _last_of(of_b[name], last)
        if end_a is None or end_b is None or end_a == end_b:
            continue
        decades = abs(math.log10(max(abs(end_a), _FLOOR) / max(abs(end_b), _FLOOR)))
        if decades < _LEAST and end_a * end_b >= 0:
            continue
        values: dict[str, Value] = {
            "scalar": name,
            "a": names_of(a, b)[0],
            "b": names_of(a, b)[1],
            "value_a": end_a,
            "value_b": end_b,
            "step": last,
        }
        message = Message("compare.scalar", values)
        found.append(Difference("scalar", name, None, end_a, end_b, decades, 0, None, message))
    return sorted(found, key=lambda difference: -difference.decades)[:1]


def _values(run: Recording, statistic: str, side: int, pairs: list[Pair], last: int) -> tuple[NDArray[Any], Numbers]:
    steps, values = run.read(
        statistic, stop=last + 1, max_points=_POINTS, reduce="max" if statistic in _COUNTS else "mean"
    )
    return steps, values[[pair[side] for pair in pairs]]


def _at_the_end(steps: NDArray[Any], values: Numbers) -> Numbers:
    """The median of what is known over the last part of the steps; where nothing is known there, of all."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    late = steps >= steps.max() - (steps.max() - steps.min()) * _LAST
    with np.errstate(all="ignore"):
        known_late = ~np.isnan(values[:, late]).all(axis=1)
        out = np.full(len(values), np.nan)
        known = ~np.isnan(values).all(axis=1)
        out[known] = np.nanmedian(values[known], axis=1)
        out[known_late] = np.nanmedian(values[known_late][:, late], axis=1)
    return out


def _apart(statistic: str, a: Numbers, b: Numbers) -> Numbers:
    """How far apart, in decades."""
    if statistic in _SHARES:
        return np.abs(a - b) * _SHARE_DECADES
    with np.errstate(all="ignore"):
        return np.abs(np.log10(np.maximum(a, _FLOOR)) - np.log10(np.maximum(b, _FLOOR)))


def _begins(
    statistic: str, steps_a: NDArray[Any], a: Numbers, steps_b: NDArray[Any], b: Numbers, decades: float
) -> int | None:
    """From which step on the two are at least half as far apart as in the end."""
    known_a, known_b = ~np.isnan(a), ~np.isnan(b)
    if not known_a.any() or not known_b.any():
        return None
    steps = steps_a[known_a]
    other = np.interp(steps, steps_b[known_b], b[known_b])
    apart = _apart(statistic, a[known_a], other)
    near = np.flatnonzero(apart < decades / 2)
    first = int(near[-1]) + 1 if len(near) else 0
    return int(steps[first]) if first < len(steps) else None


def _last_of(curve: Curve, last: int) -> float | None:
    """The median of the last part of a curve."""
    known = curve.values[(curve.steps <= last) & np.isfinite(curve.values)]
    return float(np.median(known[-max(1, int(len(known) * _LAST)) :])) if len(known) else None


def names_of(a: Recording, b: Recording) -> tuple[str, str]:
    """What two runs are called, told apart where both have one name."""
    first, second = (str(run.info.get("name", run.path.name)) for run in (a, b))
    if first != second:
        return first, second
    if a.path.name != b.path.name:
        return a.path.name, b.path.name
    return f"{first} (A)", f"{second} (B)"
