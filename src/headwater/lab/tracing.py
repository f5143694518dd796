"""The chain rule of one weight, factor by factor, of a network as it stands: what ``hw.trace`` gives."""

from __future__ import annotations

from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm

from headwater.judging import run_info
from headwater.lab.network import loss_of
from headwater.lab.refusal import RefusedError
from headwater.lab.slot import Slot
from headwater.records import InputError
from headwater.report import Trace
from headwater.tracing import derive, of_model


def trace_of(slot: Slot, parameter: Any) -> dict[str, Any]:
    """The trace of one weight on the first sample of the batch that comes next.

    Without what each operation could do to other gradients, which the page does not show: of the convolutions of one
    student it takes seconds for which all others would wait.

    Args:
        slot: Whose network.
        parameter: Name of the weight with its index, ``None`` for the first.

    Raises:
        RefusedError: If there is no such weight, or its gradient is no number.
    """
    if parameter is not None and (not isinstance(parameter, str) or len(parameter) > 100):
        raise RefusedError("parameter", {"got": repr(parameter)[:60]})
    network = slot.network
    x, y = network.batches.peek()
    if not any(
        isinstance(module, _BatchNorm) for module in network.model.modules()
    ):  # which one sample says nothing to
        x, y = x[:1], y[:1]
    loss = loss_of(network.plan)
    try:
        derivation = derive(
            of_model(network.model, x, y, loss), parameter, slot.spec.learning_rate or 0.1, with_jacobians=False
        )
    except InputError as error:
        raise RefusedError("trace", {"reason": str(error)}, status=409) from error
    return Trace.of(derivation, run_info(network.model, slot.spec.seed, 0.0)).to_dict()
