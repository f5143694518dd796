"""What a user hands over: how to make the model, the data, the loss and the optimizer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from headwater.records.errors import InputError


@dataclass(frozen=True)
class Experiment:
    """A training run that can be started again and again, from the same or another seed.

    Attributes:
        model: ``model() -> nn.Module``, freshly initialised.
        batches: ``batches() -> iterable of batches`` for training; asked again when it runs out.
        loss: ``loss(model, batch) -> scalar tensor``.
        optimizer: ``optimizer(parameters) -> Optimizer``; without one nothing is trained, only measured.
        validation: ``validation() -> iterable of batches`` held out from training.
        metric: ``metric(model, batches) -> float``, higher is better; without one it is minus the mean held-out loss.
        metric_name: What the metric is called in a report.

    Example:
        >>> from torch import nn, optim
        >>> experiment = Experiment(
        ...     model=lambda: nn.Linear(4, 2),
        ...     batches=lambda: [(torch.randn(8, 4), torch.randint(2, (8,)))],
        ...     loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        ...     optimizer=lambda parameters: optim.SGD(parameters, lr=0.1),
        ... )
    """

    model: Callable[[], Any]
    batches: Callable[[], Iterable[Any]]
    loss: Callable[[Any, Any], Any]
    optimizer: Callable[[Any], Any] | None = None
    validation: Callable[[], Iterable[Any]] | None = None
    metric: Callable[[Any, Iterable[Any]], float] | None = None
    metric_name: str = ""

    def __post_init__(self) -> None:
        for name in ("model", "batches", "loss", "optimizer", "validation", "metric"):
            value = getattr(self, name)
            if value is None and name not in ("model", "batches", "loss"):
                continue
            if name in ("model", "loss") and hasattr(value, "named_modules") and not isinstance(value, type):
                raise InputError(_is_a_module(name, type(value).__name__))
            if not callable(value):
                raise InputError(
                    f"Experiment({name}=...) takes a function, got {type(value).__name__}. "
                    f"Wrap it: Experiment({name}=lambda{_arguments(name)}: ...)."
                )


def _is_a_module(name: str, module: str) -> str:
    if name == "model":
        return (
            f"Experiment(model=...) takes a function that makes a new model each time, got a finished {module}. "
            f"Make it inside: Experiment(model=lambda: {module}(...))."
        )
    return (
        f"Experiment(loss=...) takes loss(model, batch), and {module} takes outputs and targets. "
        f"Wrap it: Experiment(loss=lambda model, batch: {module}()(model(batch[0]), batch[1]))."
    )


def _arguments(name: str) -> str:
    arguments = {"loss": " model, batch", "optimizer": " parameters", "metric": " model, batches"}
    return arguments.get(name, "")
