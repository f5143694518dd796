"""What a network shows, as the page gets it: what it is made of, and the numbers of one step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from headwater.lab.said import tell
from headwater.lab.slot import Slot
from headwater.records import Flow, Moments, ParameterFlow, Score, SiteFlow, encode

Numbers = list[float | None]


def network_of(slot: Slot) -> dict[str, Any]:
    """What a network is made of: its sites in execution order and its weights, in the order of every frame."""
    plan, split = slot.network.plan, slot.network.split
    parameters = sum(parameter.numel() for parameter in slot.network.model.parameters())
    return {
        "version": slot.version,
        "layers": plan.layers,
        "parameters": parameters,
        "task": plan.shape.task,
        "inputs": plan.shape.inputs,
        "outputs": plan.shape.outputs,
        "train": len(split.x),
        "test": len(split.test_x),
        "sites": [
            {
                "name": row.site.name,
                "op": row.site.op,
                "kind": row.site.kind,
                "layer": plan.layer_of(row.site.module),
                "activation": row.site.activation,
                "shape": list(row.site.shape),
                "parameters": list(row.site.parameters),
            }
            for row in slot.flow.sites
        ],
        "weights": [
            {"name": row.name, "shape": list(row.shape), "layer": plan.layer_of(row.name)}
            for row in _weights(slot.flow)
        ],
        "said": tell("network", layers=plan.layers, parameters=parameters, train=len(split.x), test=len(split.test_x)),
    }


class Reader:
    """What one page has been told of a network's course: the next frame has the rest."""

    def __init__(self) -> None:
        self.steps = 0
        self.scores = 0

    def frame_of(self, slot: Slot) -> dict[str, Any]:
        """The numbers of the last measured step, and the course since the last frame."""
        course, scores = slot.course[self.steps :], slot.scores[self.scores :]
        self.steps, self.scores = len(slot.course), len(slot.scores)
        flow = slot.flow
        data: dict[str, Any] = encode(
            {
                "version": slot.version,
                "step": slot.step,
                "kind": "step" if slot.course else "start",
                "loss": flow.loss,
                "log10_loss": log10(flow.loss),
                "sites": _sites(flow.sites),
                "weights": _of_weights(_weights(flow)),
                "course": course,
                "scores": [_score(score) for score in scores],
                "rate": slot.rate,
                "broke": broke_of(slot),
            }
        )
        return data


def broke_of(slot: Slot) -> dict[str, Any] | None:
    """Where a network first held NaN or Inf; ``None`` while all is finite."""
    flow = slot.broke
    if flow is None:
        return None
    plan = slot.network.plan
    site = next((row for row in flow.sites if row.activation.nonfinite_count), None)
    if site is not None:
        what, where, count = "activation", site.site.module, site.activation
    else:
        back = next((r for r in reversed(flow.sites) if r.activation_grad and r.activation_grad.nonfinite_count), None)
        spoiled = next((row for row in flow.parameters if row.spoiled), None)
        if flow.loss is None or not math.isfinite(flow.loss):
            what, where, count = "loss", "", None
        elif back is not None:
            what, where, count = "gradient", back.site.module, back.activation_grad
        else:
            what, where, count = "weight", spoiled.name if spoiled is not None else "", None
    kind = "NaN" if count is not None and count.nan_count else "Inf" if count is not None else _kind(flow.loss)
    layer = plan.layer_of(where)
    return {
        "step": slot.broke_at,
        "layer": layer,
        "site": where,
        "what": what,
        "said": _said(what, kind, slot.broke_at, layer),
    }


def _said(what: str, kind: str, step: int | None, layer: int) -> dict[str, str]:
    if what == "activation":
        return tell(f"broke.activation_{kind.lower()}", step=step, layer=layer)
    return tell(f"broke.{what}", kind=kind, step=step, layer=layer)


def _kind(loss: float | None) -> str:
    return "Inf" if loss is not None and math.isinf(loss) else "NaN"


def _sites(rows: tuple[SiteFlow, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "activation": [row.activation.log10_rms for row in rows],
        "gradient": [_log10_rms(row.activation_grad) for row in rows],
        "mean": [row.activation.mean for row in rows],
        "std": [row.activation.std for row in rows],
        "dead": [row.dead_fraction for row in rows],
        "saturated": [row.saturated_fraction for row in rows],
        "zero": [row.activation.zero_fraction for row in rows],
        "nonfinite": [row.activation.nonfinite_count for row in rows],
        "derivative": [row.derivative_rms for row in rows],
    }
    times = {str(at): [list(map(log10, t.rms)) for t in row.time_gradients] for at, row in enumerate(rows)}
    found["time"] = {at: rows for at, rows in times.items() if rows}
    return found


def _weights(flow: Flow) -> list[ParameterFlow]:
    return [row for row in flow.parameters if len(row.shape) > 1]


def _of_weights(rows: Iterable[ParameterFlow]) -> dict[str, Numbers]:
    columns: dict[str, Callable[[ParameterFlow], float | None]] = {
        "rms": lambda row: row.value.log10_rms,
        "gradient": lambda row: _log10_rms(row.grad),
        "update": lambda row: row.update_ratio,
        "unchanged": lambda row: row.unchanged_fraction,
        "coherence": lambda row: row.sign_coherence,
    }
    rows = list(rows)
    return {name: [read(row) for row in rows] for name, read in columns.items()}


def _log10_rms(moments: Moments | None) -> float | None:
    return moments.log10_rms if moments is not None else None


def log10(value: float | None) -> float | None:
    """log₁₀ of a number that is not negative: -inf for zero, NaN and ``None`` as they are."""
    if value is None or math.isnan(value):
        return value
    return math.log10(value) if value else -math.inf


def _score(score: Score) -> list[float | None]:
    return [score.step, score.loss, score.validation_loss, score.metric, score.validation_metric]
