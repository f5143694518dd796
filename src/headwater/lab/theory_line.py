"""What theory expects of a network before any data, to be drawn beside what is measured."""

from __future__ import annotations

import math
from typing import Any

from headwater.lab.csv_data import Uploaded
from headwater.lab.frames import log10
from headwater.lab.network import built
from headwater.lab.said import tell
from headwater.lab.spec import Spec
from headwater.prediction import predict
from headwater.probes.measure import measure
from headwater.records import InputError, encode
from headwater.records.prediction import Prediction, SitePrediction


def prediction_of(spec: Spec, uploaded: Uploaded | None = None) -> dict[str, Any]:
    """Signals and gradients expected at every site of the network at its start, in the order of its frames.

    Gradients are in the units of the first measured step: at the last site of which both are known they agree.

    Args:
        spec: Of the network.
        uploaded: Of ``data="csv"``, the file.
    """
    network = built(spec, uploaded)
    batch = network.batches.peek()
    flow = measure(network.model, batch, network.loss)
    try:
        expected: Prediction | None = predict(network.model, tuple(batch[0].shape[1:]), inputs=batch[0])
    except InputError:
        expected = None
    found = {row.site.name: row for row in expected.sites} if expected is not None else {}
    rows = [found.get(row.site.name) for row in flow.sites]
    shift = _shift(flow.sites, rows)
    gradients = [_moved(row, shift) for row in rows]
    known = [value for value in gradients if value is not None]
    factor = 10 ** ((known[0] - known[-1]) / (len(known) - 1)) if len(known) > 1 else None
    per_layer = factor ** (len(known) / network.plan.layers) if factor is not None else None
    is_told = per_layer is not None and math.isfinite(per_layer)  # theory's own numbers may end before float64 does
    data: dict[str, Any] = encode(
        {
            "sites": {
                "activation": [log10(row.activation_rms) if row else None for row in rows],
                "gradient": gradients,
            },
            "factor": per_layer,
            "trainable_depth": expected.trainable_depth if expected is not None else None,
            "said": tell("prediction.said", factor=per_layer) if is_told else tell("prediction.none"),
        }
    )
    return data


def _shift(measured: Any, rows: list[SitePrediction | None]) -> float | None:
    """Decades between a gradient of rms 1 at the output and the one that was measured there."""
    for site, row in reversed(list(zip(measured, rows, strict=True))):
        level = site.activation_grad.log10_rms if site.activation_grad is not None else None
        if row is not None and row.activation_grad_log10_rms is not None and level is not None:
            return float(level - row.activation_grad_log10_rms)
    return None


def _moved(row: SitePrediction | None, shift: float | None) -> float | None:
    if row is None or row.activation_grad_log10_rms is None or shift is None:
        return None
    return row.activation_grad_log10_rms + shift
