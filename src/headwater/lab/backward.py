"""A single backward pass, from the loss to the first layer: what each operation on the way did to the gradient."""

from __future__ import annotations

from typing import Any

from headwater.diagnosis import waterfall
from headwater.lab.frames import broke_of
from headwater.lab.said import category_name
from headwater.lab.slot import Slot
from headwater.records import encode


def backward_of(slot: Slot) -> dict[str, Any]:
    """One pass over the batch that comes next; nothing is updated. Rows are in the order the gradient passes them."""
    flow, _ = slot.look()
    plan = slot.network.plan
    decades: dict[str | None, list[tuple[str, float]]] = {}
    fall = waterfall(flow)
    for bar in fall.bars if fall is not None else ():
        decades.setdefault(bar.site, []).append((bar.category, bar.decades))
    weights = {row.name: row for row in flow.parameters if len(row.shape) > 1}
    rows = []
    for row in reversed(flow.sites):
        own = decades.get(row.site.name, [])
        grads = [weights[name].grad for name in row.site.parameters if name in weights]
        rows.append(
            {
                "site": row.site.name,
                "op": row.site.op,
                "kind": row.site.kind,
                "layer": plan.layer_of(row.site.module),
                "log10_before": row.activation_grad.log10_rms if row.activation_grad is not None else None,
                "log10_after": row.input_grad.log10_rms if row.input_grad is not None else None,
                "parts": [
                    {
                        "category": name,
                        "name": category_name(name),
                        "decades": d,
                    }
                    for name, d in own
                ],
                "decades": sum(d for _, d in own) if own else None,
                "slope": row.derivative_rms,
                "weight_gradient": grads[0].log10_rms if grads and grads[0] is not None else None,
            }
        )
    data: dict[str, Any] = encode(
        {
            "step": slot.step,
            "loss": flow.loss,
            "rows": rows,
            "total": fall.decades if fall is not None else None,
            "broke": broke_of(slot),
        }
    )
    return data
