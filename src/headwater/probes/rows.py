"""What the probes wrote down of a step, as the rows of a Flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from headwater.probes.activation_state import ActivationState
from headwater.probes.graph import BackwardGraph
from headwater.probes.recorder import Recorder
from headwater.probes.site_record import GradientSink, SiteRecord
from headwater.records import Message, Moments, ParameterFlow, Site, SiteFlow


def site_names(records: list[SiteRecord]) -> dict[int, str]:
    """The name of each site by ``id`` of its record.

    A module called once has its plain name; called again, the number of the call is added. A function always carries
    its number, so that its name does not change when the user adds a second one.
    """
    calls = Counter(record.base_name for record in records if not record.functional)
    return {
        id(record): record.base_name
        if not record.functional and calls[record.base_name] == 1
        else f"{record.base_name}#{record.call}"
        for record in records
    }


def site_flows(recorder: Recorder, graph: BackwardGraph | None = None, grad_scale: float = 1.0) -> tuple[SiteFlow, ...]:
    """A row per site in execution order, without what its parameters say.

    Call it before the optimizer's step: the gradient through a fused recurrent layer is found with its weights.

    Args:
        recorder: After the backward pass.
        graph: After the backward pass; the joins' shortcuts are read from it.
        grad_scale: What the loss was multiplied by, as a gradient scaler does; gradients are divided by it.
    """
    names = site_names(recorder.sites)
    return tuple(
        _site_flow(record, order, names[id(record)], recorder, graph, grad_scale)
        for order, record in enumerate(recorder.sites)
    )


def with_parameters(rows: Iterable[SiteFlow], parameters: tuple[ParameterFlow, ...]) -> tuple[SiteFlow, ...]:
    """The rows with the gradients and updates of the parameters each site owns."""
    by_name = {name: flow for flow in parameters for name in (flow.name, *flow.aliases)}
    return tuple(_with_parameters(row, by_name) for row in rows)


def with_followers(rows: Iterable[SiteFlow], followers: dict[int, tuple[int, ...]]) -> tuple[SiteFlow, ...]:
    """The rows with the activations that follow each affine map."""
    return tuple(replace(row, site=replace(row.site, followed_by=followers.get(row.site.order))) for row in rows)


def followed_share(rows: Sequence[SiteFlow], parameters: tuple[ParameterFlow, ...]) -> float:
    """How much of what is trained lies at a site whose gradient was seen; the rest could hide anything."""
    seen = [row.site for row in rows if row.activation_grad is not None]
    owned = {name for site in seen for name in site.parameters}
    # A module that multiplies by a weight of its own and calls others too is no site; its functions or children are.
    inside = {prefix for site in seen for prefix in _prefixes(site.module)}
    trained = [flow for flow in parameters if flow.trainable and flow.grad is not None]
    followed = sum(
        flow.value.count
        for flow in trained
        if any(name in owned or name.rpartition(".")[0] in inside for name in (flow.name, *flow.aliases))
    )
    return followed / max(1, sum(flow.value.count for flow in trained))


def _prefixes(module: str) -> list[str]:
    """The module and all it lies in."""
    parts = module.split(".")
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def gaps(recorder: Recorder, rows: Sequence[SiteFlow], strangers: int) -> list[Message]:
    """What could not be measured, and why."""
    found = [Message("gap.probe_failed", {"site": name, "error": error}) for name, error in recorder.failures.items()]
    blind = [row.site.name for row in rows if row.site.parameters and row.activation_grad is None]
    if blind:
        found.append(Message("gap.no_gradient_seen", {"sites": len(blind), "site": blind[0]}))
    if strangers:
        found.append(Message("gap.unregistered", {"tensors": strangers}))
    if recorder.outside_grad:
        found.append(Message("gap.outside_grad", {}))
    found += [Message("gap.dropout_mask_unknown", {"site": name}) for name in recorder.without_time_steps]
    return found


def _site_flow(
    record: SiteRecord,
    order: int,
    name: str,
    recorder: Recorder,
    graph: BackwardGraph | None,
    grad_scale: float,
) -> SiteFlow:
    ledger = recorder.ledger
    state = ActivationState.merge_all(record.states)
    return SiteFlow(
        site=Site(
            name=name,
            op=record.op,
            kind=record.kind,
            order=order,
            module=record.info.name,
            activation=record.activation_id,
            activation_parameters=record.activation_parameters,
            settings=record.settings,
            parameters=() if record.functional else record.info.parameters,
            shape=tuple(record.shape),
            dtype=str(record.dtype).removeprefix("torch."),
            functional=record.functional,
        ),
        activation=ledger.merged(record.activation) or Moments(),
        activation_grad=_gradient(record.activation_grad, recorder, grad_scale)
        or _gradient(record.other_grad, recorder, grad_scale),  # of an LSTM only the last state may be used
        input=ledger.merged(record.input),
        input_grad=_gradient(record.input_grad, recorder, grad_scale),
        derivative_rms=state.derivative_rms if state else None,
        dead_fraction=state.dead_fraction if state else None,
        saturated_fraction=state.saturated_fraction if state else None,
        observations=state.observations if state else 0,
        units=state.units if state else 0,
        abs_cosine=record.abs_cosine,
        effective_rank=record.effective_rank,
        unit_spread=record.unit_spread,
        weight_gain=record.weight_gain,
        passes=record.passes,
        shortcut_share=graph.shortcut_share(record) if graph is not None and record.kind == "join" else None,
        attention_logit_max=record.attention.logit_max if record.attention else None,
        attention_entropy=record.attention.entropy if record.attention else None,
        time_gradients=recorder.time_gradients(record),
    )


def _gradient(sinks: list[GradientSink], recorder: Recorder, grad_scale: float) -> Moments | None:
    found = recorder.ledger.merged(recorder.gradient_rows(sinks))
    return found.scaled(1.0 / grad_scale) if found is not None and grad_scale != 1.0 else found


def _with_parameters(row: SiteFlow, by_name: dict[str, ParameterFlow]) -> SiteFlow:
    own = [by_name[name] for name in row.site.parameters if name in by_name]
    gradients = [flow.grad for flow in own if flow.grad is not None]
    return replace(
        row,
        grad_rms=Moments.merge_all(gradients).rms if gradients else None,
        update_ratio=_joint_update_ratio(own),
    )


def _joint_update_ratio(flows: list[ParameterFlow]) -> float | None:
    """‖Δw‖/‖w‖ over several parameters together."""
    pairs = [(flow.update_ratio, flow.value.norm) for flow in flows if flow.update_ratio is not None]
    weight = sum(norm**2 for _, norm in pairs if norm) ** 0.5
    update = sum((ratio * norm) ** 2 for ratio, norm in pairs if norm) ** 0.5
    return update / weight if weight else None
