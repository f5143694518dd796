"""A watch that a framework's callback begins and ends: no ``with`` block can go around somebody else's loop."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from headwater.integrations.loggers import log_to
from headwater.integrations.shifted import Shifted
from headwater.records import HeadwaterError, InputError
from headwater.report import Report
from headwater.watching import Watch, watch

OPTIONS = tuple(name for name in inspect.signature(watch).parameters if name not in ("model", "optimizer"))


class Attached:
    """One watch at a time; the next :meth:`begin` ends the one before, whose training may have failed.

    Args:
        **options: Those of ``hw.watch``; ``logger`` may also be what ``log_to`` takes, ``None`` for no logger.

    Raises:
        InputError: For an option that there is not; the nearest is named.
    """

    def __init__(self, **options: Any) -> None:
        for name in options:
            if name not in OPTIONS:
                near = get_close_matches(name, OPTIONS, n=1)
                hint = f" Did you mean {near[0]}=...?" if near else f" There are {', '.join(OPTIONS)}."
                raise InputError(f"hw.watch has no option {name}=.{hint}")
        self._options = options
        self._is_on = False
        self._loss: Tensor | float | None = None
        self.watch: Watch | None = None

    def begin(self, model: nn.Module, optimizer: Any, scaler: Any = None, logger: Any = None, step: int = 0) -> None:
        """A training begins.

        Args:
            model: That is trained.
            optimizer: One or several of torch's.
            scaler: Of its gradients, if it has one.
            logger: That the training has, if nobody has named another.
            step: That it begins with, where it goes on with an earlier one.
        """
        self.end()
        chosen = self._options.get("logger", logger)
        told = None if chosen is None else Shifted(log_to(chosen), step)
        self._loss = None
        self.watch = watch(model, optimizer, **{"scaler": scaler, **self._options, "logger": told}).start()
        self._is_on = True

    def add_loss(self, loss: Tensor) -> None:
        """Part of the loss of the current step: of one micro-batch, by its share."""
        own = loss.detach()
        self._loss = own if self._loss is None else self._loss + own

    def tell_loss(self, share: float = 1.0) -> None:
        """All parts of the current step's loss are there; it is about to end.

        Args:
            share: What their sum is multiplied by.
        """
        if self._is_on and self.watch is not None and self._loss is not None:
            self.watch.log(loss=self._loss if share == 1.0 else self._loss * share)
        self._loss = None

    def hold_steps(self) -> None:
        """The framework tells the loss after the optimizer has stepped: by :meth:`end_step`."""
        if self._is_on and self.watch is not None:
            self.watch.hold_steps()

    def end_step(self, loss: Any, parts: int = 1) -> None:
        """End the step, if the optimizer has stepped; else what is there is the loss of a micro-batch.

        Args:
            loss: Of the batch, a number or a tensor; anything else is no loss.
            parts: Batches per step.
        """
        if isinstance(loss, (int, float)) or (isinstance(loss, Tensor) and loss.numel() == 1):
            self.add_loss(torch.as_tensor(loss) / parts)
        if self._is_on and self.watch is not None and self.watch.is_held:
            whole, self._loss = self._loss, None
            self.watch.end_step(whole)

    def tell(self, **values: Any) -> None:
        """Log values that are there; ``val_loss`` and the like."""
        known = {name: value for name, value in values.items() if value is not None}
        if self._is_on and self.watch is not None and known:
            self.watch.log(**known)

    def end(self) -> None:
        """The training is over; may be called again."""
        if self._is_on and self.watch is not None:
            self._is_on = False
            self.watch.__exit__(None, None, None)

    @property
    def should_stop(self) -> bool:
        """Whether an alarm named in ``stop_on`` was raised."""
        return self._is_on and self.watch is not None and self.watch.should_stop

    def report(self) -> Report:
        """What is wrong with the training, as ``hw.watch(...).report()`` says.

        Raises:
            HeadwaterError: If there was no training, or nothing was measured.
        """
        if self.watch is None:
            raise HeadwaterError("nothing was measured: the training has not begun. Train, then ask for the report.")
        return self.watch.report()


def torch_optimizer(optimizer: Any) -> Any:
    """The optimizer of torch's inside what a framework wraps around it."""
    while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    return optimizer
