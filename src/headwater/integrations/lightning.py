"""Lightning: ``Trainer(callbacks=[HeadwaterCallback()])``."""

from __future__ import annotations

import sys
from typing import Any

from headwater.integrations.attached import Attached, torch_optimizer
from headwater.integrations.lightning_loggers import loggers_of
from headwater.integrations.missing import missing
from headwater.report import Report
from headwater.watching import Watch

try:
    if "pytorch_lightning" in sys.modules:  # the package has two names, and a Trainer of the one knows no other
        from pytorch_lightning import Callback
    else:
        from lightning.pytorch import Callback
except ImportError:
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise missing("Lightning", "lightning", error) from error


class HeadwaterCallback(Callback):
    """Watches the training of a Trainer; gradients are unscaled, and those before its clipping.

    Args:
        **options: Those of ``hw.watch``. ``logger`` is by default the Trainer's own loggers.
    """

    def __init__(self, **options: Any) -> None:
        self._attached = Attached(**options)

    @property
    def watch(self) -> Watch | None:
        """That of the training, ``None`` before it."""
        return self._attached.watch

    def report(self) -> Report:
        """What is wrong with the training."""
        return self._attached.report()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        optimizers = [torch_optimizer(optimizer) for optimizer in trainer.optimizers]
        if optimizers:
            self._attached.begin(pl_module, optimizers, scaler, loggers_of(trainer.loggers), trainer.global_step)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        self._attached.add_loss(loss)  # of several micro-batches by its share

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        optimizer = torch_optimizer(optimizer)
        if self.watch is not None and optimizer is torch_optimizer(trainer.optimizers[0]):
            self._attached.tell_loss()
        if self.watch is not None:
            self.watch.gradients_ready(optimizer)

    def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        trainer.should_stop = trainer.should_stop or self._attached.should_stop

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._attached.tell(val_loss=trainer.callback_metrics.get("val_loss"))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._attached.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._attached.end()
