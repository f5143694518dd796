"""What one step showed at several ranks, as one flow: that of the mean of their losses over all their data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headwater.records import Flow, Moments, ParameterFlow, Path, Setup, Site, SiteFlow, TimeGradient
from headwater.records.place import Place

_SYNCHRONISED = "SyncBatchNorm"
_DECADES = 308.0


def merged_flows(flows: Mapping[int, Flow], places: Mapping[int, Place]) -> Flow:
    """One flow of several ranks' of the same step.

    Moments are merged exactly. What hangs on more than moments is told as far as it is known: units are dead at most as
    often as at the rank where they are so least; |cos|, effective rank and spread of units are means of the ranks' own.

    Args:
        flows: By rank.
        places: Of the same ranks.
    """
    ranks = sorted(flows)
    own = [flows[rank] for rank in ranks]
    parameters = _parameters(own)
    by_name: dict[str, list[tuple[int, SiteFlow]]] = {}
    for rank in ranks:
        for row in flows[rank].sites:
            by_name.setdefault(row.site.name, []).append((rank, row))
    sites = tuple(
        _site([row for _, row in known], [places[rank] for rank, _ in known], order, parameters)
        for order, known in enumerate(by_name.values())
    )
    losses = [flow.loss for flow in own if flow.loss is not None]
    return replace(
        own[0],
        sites=sites,
        parameters=tuple(parameters.values()),
        path=_path(own, [_replicas(places[rank], len(ranks)) for rank in ranks]),
        loss=math.fsum(losses) / len(losses) if losses else None,
        samples=sum({places[rank].replica: flows[rank].samples for rank in ranks}.values()),
        followed_share=min(flow.followed_share for flow in own),
        gaps=tuple({repr(gap): gap for flow in own for gap in flow.gaps}.values()),
        setup=_setup([flow.setup for flow in own]),
        training=None,
    )


def _replicas(place: Place, known: int) -> int:
    """Over how many ranks the mean of the losses is; where nobody says so, over those that have the row."""
    return place.replicas or known


def _site(rows: list[SiteFlow], own: list[Place], order: int, parameters: Mapping[str, ParameterFlow]) -> SiteFlow:
    first = rows[0]
    replicas = [_replicas(place, len(rows)) for place in own]
    models = [place.replica for place in own]
    weights = [float(row.activation.finite_count) for row in rows]

    def mean(name: str) -> float | None:
        return _mean([getattr(row, name) for row in rows], weights)

    return replace(
        first,
        site=_site_of(rows, order),
        activation=Moments.merge_all([row.activation for row in rows]),
        activation_grad=_gradient([row.activation_grad for row in rows], replicas),
        input=_merged([row.input for row in rows]),
        input_grad=_gradient([row.input_grad for row in rows], replicas),
        derivative_rms=_rms([row.derivative_rms for row in rows], weights),
        dead_fraction=_dead(rows, models, weights),
        saturated_fraction=mean("saturated_fraction"),
        observations=sum(row.observations for row in rows),
        abs_cosine=mean("abs_cosine"),
        effective_rank=mean("effective_rank"),
        weight_gain=_rms([row.weight_gain for row in rows], weights),
        unit_spread=mean("unit_spread"),
        shortcut_share=mean("shortcut_share"),
        attention_logit_max=max(
            (r.attention_logit_max for r in rows if r.attention_logit_max is not None), default=None
        ),
        attention_entropy=mean("attention_entropy"),
        time_gradients=_time_gradients(rows, replicas, weights),
        **_of_owned([parameters[name] for name in first.site.parameters if name in parameters]),
    )


def _dead(rows: Sequence[SiteFlow], models: Sequence[int], weights: Sequence[float]) -> float | None:
    """Of the units of one model the mean over its ranks, over models the least: what is dead for all is so for each."""
    found = [
        _mean(
            [row.dead_fraction for row, model in zip(rows, models, strict=True) if model == one],
            [weight for weight, model in zip(weights, models, strict=True) if model == one],
        )
        for one in sorted(set(models))
    ]
    return min((share for share in found if share is not None), default=None)


def _site_of(rows: list[SiteFlow], order: int) -> Site:
    """Its shape is what one rank sees, which is what its batch normalisation has; but where they share statistics."""
    site = rows[0].site
    if site.op == _SYNCHRONISED and site.shape:
        return replace(site, order=order, shape=(sum(row.site.shape[0] for row in rows), *site.shape[1:]))
    return replace(site, order=order)


def _of_owned(own: list[ParameterFlow]) -> dict[str, Any]:
    """Gradient and update of the parameters a site owns."""
    gradients = [flow.grad for flow in own if flow.grad is not None]
    pairs = [(flow.update_ratio, flow.value.norm) for flow in own if flow.update_ratio is not None and flow.value.norm]
    weight = math.hypot(*(norm for _, norm in pairs if norm))
    update = math.hypot(*(ratio * norm for ratio, norm in pairs if norm and ratio is not None))
    return {
        "grad_rms": Moments.merge_all(gradients).rms if gradients else None,
        "update_ratio": update / weight if weight else None,
    }


def _parameters(flows: Sequence[Flow]) -> dict[str, ParameterFlow]:
    """By name: pieces that ranks hold add up, and what several of them hold counts once."""
    by_name: dict[str, list[ParameterFlow]] = {}
    for flow in flows:
        for parameter in flow.parameters:
            by_name.setdefault(parameter.name, []).append(parameter)
    return {name: _parameter(known) for name, known in by_name.items()}


def _parameter(known: list[ParameterFlow]) -> ParameterFlow:
    local = _merged([flow.local_grad for flow in known])
    pieces = list({flow.piece: flow for flow in reversed(known)}.values())[::-1]
    if len(pieces) == 1:
        return replace(pieces[0], local_grad=local, piece=None)
    counts = [float(flow.value.count) for flow in pieces]
    squares = [(flow.value.norm or 0.0) ** 2 for flow in pieces]
    gradients = [((flow.grad.norm or 0.0) ** 2 if flow.grad is not None else 0.0) for flow in pieces]
    sampled = [flow.sampled for flow in pieces]

    def mean(name: str, weights: list[float]) -> float | None:
        return _mean([getattr(flow, name) for flow in pieces], weights)

    return replace(
        pieces[0],
        value=Moments.merge_all([flow.value for flow in pieces]),
        grad=_merged([flow.grad for flow in pieces]),
        sign_coherence=mean("sign_coherence", counts),
        update_ratio=_rms([flow.update_ratio for flow in pieces], squares),
        unchanged_fraction=mean("unchanged_fraction", counts),
        spoiled=sum(flow.spoiled for flow in pieces),
        sampled=sum(n or int(c) for n, c in zip(sampled, counts, strict=True)) if any(sampled) else None,
        gradient_cosine=mean("gradient_cosine", gradients),
        below_epsilon_fraction=mean("below_epsilon_fraction", counts),
        lost_to_rounding_fraction=mean("lost_to_rounding_fraction", counts),
        replaced=any(flow.replaced for flow in pieces),
        local_grad=local,
        piece=None,
    )


def _path(flows: Sequence[Flow], replicas: Sequence[int]) -> Path | None:
    """The way back of the gradient of all: at each of its points the mean square over ranks.

    Where ranks took different ways, as a forward that branches on its data may, that of the first one.
    """
    paths = [flow.path for flow in flows]
    first = paths[0]
    if first is None or any(path is None or _way(path) != _way(first) for path in paths):
        return first
    logs = [_levels(path, share) for path, share in zip(paths, replicas, strict=True) if path is not None]
    weights = [float(max(1, flow.samples)) for flow in flows]
    levels = [_joint_log10(point, weights) for point in zip(*logs, strict=True)]
    steps = tuple(
        replace(step, log10_gain=after - before)
        for step, before, after in zip(first.steps, levels, levels[1:], strict=False)
    )
    return replace(first, log10_first=levels[-1], log10_last=levels[0], steps=steps)


def _way(path: Path) -> list[tuple[object, ...]]:
    return [(path.first, path.last), *((step.site, step.op, step.part) for step in path.steps)]


def _levels(path: Path, replicas: int) -> list[float]:
    """log₁₀ of the gradient's rms at each point of a way, as its part of the mean loss's."""
    levels = [path.log10_last - math.log10(replicas)]
    for step in path.steps:
        levels.append(levels[-1] + step.log10_gain)
    return levels


def _joint_log10(logs: Sequence[float], weights: Sequence[float]) -> float:
    top = max(logs)
    if not math.isfinite(top):
        return top
    squares = math.fsum(w * 10.0 ** (2 * max(log - top, -_DECADES / 2)) for log, w in zip(logs, weights, strict=True))
    return top + math.log10(squares / math.fsum(weights)) / 2


def _setup(setups: Sequence[Setup]) -> Setup:
    """That of the first rank, with the input of all."""
    return replace(
        setups[0],
        input=_merged([setup.input for setup in setups]),
        feature_decades=max((s.feature_decades for s in setups if s.feature_decades is not None), default=None),
        feature_offset=max((s.feature_offset for s in setups if s.feature_offset is not None), default=None),
        targets=_range([setup.targets for setup in setups]),
        targets_of_several=_range([setup.targets_of_several for setup in setups]),
    )


def _range(ranges: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [found for found in ranges if found is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def _time_gradients(
    rows: Sequence[SiteFlow], replicas: Sequence[int], weights: Sequence[float]
) -> tuple[TimeGradient, ...]:
    """Step by step in time, where all ranks' sequences are as long."""
    kinds = [[(t.layer, t.reverse, len(t.rms)) for t in row.time_gradients] for row in rows]
    if any(kind != kinds[0] for kind in kinds):
        return ()
    found = []
    for place, gradient in enumerate(rows[0].time_gradients):
        shared = [
            [None if value is None else value / share for value in row.time_gradients[place].rms]
            for row, share in zip(rows, replicas, strict=True)
        ]
        found.append(replace(gradient, rms=tuple(_rms(at, weights) for at in zip(*shared, strict=True))))
    return tuple(found)


def _gradient(parts: Sequence[Moments | None], replicas: Sequence[int]) -> Moments | None:
    """Of the mean of the ranks' losses."""
    return _merged(
        [
            part if part is None or share == 1 else _shared(part, share)
            for part, share in zip(parts, replicas, strict=True)
        ]
    )


def _shared(moments: Moments, replicas: int) -> Moments:
    """A part of a mean; that of a power of two ranks moves exponents alone, and loses nothing below 1e-308."""
    exponent = round(math.log2(replicas))
    if 1 << exponent != replicas:
        return moments.scaled(1.0 / replicas)
    return replace(
        moments,
        exponent=moments.exponent - exponent,
        min=None if moments.min is None else moments.min / replicas,
        max=None if moments.max is None else moments.max / replicas,
        log2_histogram=tuple((e - exponent, n) for e, n in moments.log2_histogram),
    )


def _merged(parts: Sequence[Moments | None]) -> Moments | None:
    known = [part for part in parts if part is not None]
    return Moments.merge_all(known) if known else None


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    return _weighted(values, weights, lambda value: value, lambda mean: mean)


def _rms(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """Of squares only their ratios to the largest are taken."""
    top = max((abs(value) for value in values if value is not None), default=0.0)
    if not top or not math.isfinite(top):
        return _mean(values, weights)
    return _weighted(values, weights, lambda value: (value / top) ** 2, lambda mean: top * math.sqrt(mean))


def _weighted(
    values: Sequence[float | None],
    weights: Sequence[float],
    into: Callable[[float], float],
    back: Callable[[float], float],
) -> float | None:
    known = [(into(value), weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = math.fsum(weight for _, weight in known)
    if not known:
        return None
    if not total:
        return back(math.fsum(value for value, _ in known) / len(known))
    return back(math.fsum(value * weight for value, weight in known) / total)
