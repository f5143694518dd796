"""Ignite: ``HeadwaterHandler(model, optimizer).attach(trainer)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from headwater.integrations.attached import Attached
from headwater.integrations.missing import missing
from headwater.report import Report
from headwater.watching import Watch

try:
    from ignite.engine import Engine, Events
except ImportError as error:
    raise missing("Ignite", "ignite", error) from error


class HeadwaterHandler:
    """Watches the training of an engine, as long as that runs.

    Args:
        model: That the engine trains.
        optimizer: That it steps; one or several.
        loss: Takes the loss out of ``engine.state.output``; by default a number, an entry ``loss``, or nothing.
        accumulate: Batches per step of the optimizer.
        **options: Those of ``hw.watch``.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        *,
        loss: Callable[[Any], Any] = lambda output: output.get("loss") if isinstance(output, Mapping) else output,
        accumulate: int = 1,
        **options: Any,
    ) -> None:
        self._attached = Attached(**options)
        self._subjects = model, optimizer
        self._loss, self._accumulate = loss, accumulate

    def attach(self, engine: Engine) -> HeadwaterHandler:
        """Watch what this engine does; attach before handlers that evaluate, so that their passes are no part of it."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE | Events.INTERRUPT, self.close)
        return self

    @property
    def watch(self) -> Watch | None:
        """That of the training, ``None`` before it."""
        return self._attached.watch

    def report(self) -> Report:
        """What is wrong with the training."""
        return self._attached.report()

    def _begin(self, engine: Engine) -> None:
        self._attached.begin(*self._subjects)
        self._attached.hold_steps()

    def _step(self, engine: Engine) -> None:
        self._attached.end_step(self._loss(engine.state.output), self._accumulate)
        if self._attached.should_stop:
            engine.terminate()

    def close(self, *_: Any) -> None:
        """Take everything off; where a training ends by an exception, the next one does it too."""
        self._attached.end()
