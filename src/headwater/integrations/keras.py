"""Keras 3 on torch: ``model.fit(..., callbacks=[HeadwaterCallback()])``."""

from __future__ import annotations

from typing import Any

from headwater.integrations.attached import Attached
from headwater.integrations.keras_steps import layers_of, steps_of
from headwater.integrations.missing import missing
from headwater.records import InputError
from headwater.report import Report
from headwater.watching import Watch

try:
    import keras
except ImportError as error:
    raise missing("Keras 3", "keras", error) from error


class HeadwaterCallback(keras.callbacks.Callback):
    """Watches the training of a model of Keras's that runs on torch; gradients are those before its clipping.

    Args:
        **options: Those of ``hw.watch``.

    Raises:
        InputError: If Keras runs on something else than torch.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        if keras.backend.backend() != "torch":
            raise InputError(
                f"Keras runs on {keras.backend.backend()} here, and headwater watches torch: set KERAS_BACKEND=torch "
                "before keras is imported."
            )
        self._attached = Attached(**options)
        self._steps: Any = None
        self._seen = (0.0, 0.0)

    @property
    def watch(self) -> Watch | None:
        """That of the training, ``None`` before it."""
        return self._attached.watch

    def report(self) -> Report:
        """What is wrong with the training."""
        return self._attached.report()

    def on_train_begin(self, logs: Any = None) -> None:
        self.on_train_end()
        self._steps = steps_of(self.model)
        self._attached.begin(layers_of(self.model), self._steps)
        self._attached.hold_steps()
        self._steps.follow(self.model.optimizer)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._seen = (0.0, 0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        tracker = self.model._loss_tracker  # holds sums over the epoch's samples; its mean is what the logs say
        before, self._seen = self._seen, (float(tracker.total), float(tracker.count))
        self._attached.end_step((self._seen[0] - before[0]) / max(1.0, self._seen[1] - before[1]))
        self.model.stop_training = self.model.stop_training or self._attached.should_stop

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._attached.tell(val_loss=(logs or {}).get("val_loss"))

    def on_train_end(self, logs: Any = None) -> None:
        if self._steps is not None:
            self._steps.leave()
        self._attached.end()
