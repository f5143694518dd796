"""skorch: ``NeuralNetClassifier(..., callbacks=[HeadwaterCallback()])``."""

from __future__ import annotations

from typing import Any

from headwater.integrations.attached import Attached
from headwater.integrations.missing import missing
from headwater.report import Report
from headwater.watching import Watch

try:
    from skorch.callbacks import Callback
except ImportError as error:
    raise missing("skorch", "skorch", error) from error


class HeadwaterCallback(Callback):
    """Watches the training of a net; gradients are those that ``loss.backward()`` gave, before any other callback.

    Args:
        **options: Those of ``hw.watch``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self._attached = Attached(**options)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options, by which a search over parameters copies the callback."""
        return dict(self.options)

    @property
    def watch(self) -> Watch | None:
        """That of the training, ``None`` before it."""
        return self._attached.watch

    def report(self) -> Report:
        """What is wrong with the training."""
        return self._attached.report()

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._attached.begin(net.module_, net.optimizer_)
        self._attached.hold_steps()

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        if self.watch is not None:
            self.watch.gradients_ready(net.optimizer_)

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self._attached.end_step(kwargs.get("loss"))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self._attached.tell(val_loss=net.history[-1].get("valid_loss"))

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self._attached.end()
