"""Lightning Fabric: ``with watch(fabric, model, optimizer) as watched:`` around the loop that it runs in."""

from __future__ import annotations

from typing import Any

from torch import nn

from headwater.integrations.attached import torch_optimizer
from headwater.integrations.lightning_loggers import loggers_of
from headwater.integrations.loggers import log_to
from headwater.records import InputError
from headwater.watching import Watch
from headwater.watching import watch as _watch


def watch(fabric: Any, model: nn.Module, optimizer: Any, **options: Any) -> Watch:
    """``hw.watch`` for what ``fabric.setup`` gave.

    Gradients are unscaled; call ``watched.gradients_ready(optimizer.optimizer)`` in front of
    ``fabric.clip_gradients`` for those before clipping.

    Args:
        fabric: The ``Fabric``.
        model: Set up by it.
        optimizer: Set up by it; one or several.
        **options: Those of ``hw.watch``. ``logger`` is by default the fabric's own loggers.

    Raises:
        InputError: If something handed over cannot be used.
    """
    if not hasattr(fabric, "setup_dataloaders"):
        raise InputError(
            f"the first argument is the Fabric, got {type(fabric).__name__}: watch(fabric, model, optimizer)."
        )
    several = optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]
    logger = options.get("logger", loggers_of(fabric.loggers))
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    options = {"scaler": scaler, **options, "logger": None if logger is None else log_to(logger)}
    inner = getattr(model, "_original_module", model)  # DDP's and the compiler's names are not the user's
    return _watch(inner, [torch_optimizer(one) for one in several], **options)
