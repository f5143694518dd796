"""Hugging Face's Trainer: ``Trainer(..., callbacks=[HeadwaterCallback()])``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headwater.integrations.attached import Attached, torch_optimizer
from headwater.integrations.missing import missing
from headwater.integrations.reported_to import reported_to
from headwater.report import Report
from headwater.watching import Watch

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise missing("transformers and accelerate", "transformers", error) from error


class HeadwaterCallback(TrainerCallback):
    """Watches the training of a Trainer; gradients are those after its clipping.

    The loss is the one the model returned, NaN and Inf included, which the Trainer's own log leaves out
    (``logging_nan_inf_filter``). Where the model returns none (``compute_loss_func``, label smoothing), tell it
    yourself: ``callback.watch.log(loss=loss)``.

    Args:
        **options: Those of ``hw.watch``. ``logger`` is by default what ``report_to`` of the training's arguments names.
    """

    def __init__(self, **options: Any) -> None:
        self._attached = Attached(**options)
        self._parts, self._is_sum = 0, False
        self._handle: Any = None

    @property
    def watch(self) -> Watch | None:
        """That of the training, ``None`` before it."""
        return self._attached.watch

    def report(self) -> Report:
        """What is wrong with the training."""
        return self._attached.report()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.on_train_end(args, state, control)
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        scaler, logger = getattr(optimizer, "scaler", None), reported_to(args) or None
        self._attached.begin(model, torch_optimizer(optimizer), scaler, logger, state.global_step)
        self._handle = model.register_forward_hook(self._note_loss, with_kwargs=True)

    def _note_loss(self, model: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """The raw loss of a micro-batch; with a number of items for all of them it is a share of the step's already."""
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not model.training:
            return
        loss = output.get("loss") if isinstance(output, dict) else output[0] if isinstance(output, tuple) else None
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self._parts, self._is_sum = self._parts + 1, kwargs.get("num_items_in_batch") is not None
            self._attached.add_loss(loss)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._attached.tell_loss(1.0 if self._is_sum else 1.0 / max(1, self._parts))
        self._parts = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = control.should_training_stop or self._attached.should_stop

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        self._attached.tell(val_loss=(metrics or {}).get("eval_loss"))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        self._attached.end()
