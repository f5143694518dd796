"""What a user hands over: how to make the model, the data, the loss and the optimizer."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

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
        test: ``test() -> iterable of batches``, held out from training and from every choice: rates, strengths and
            remedies are chosen by the validation data, and a proof is about these. Without them it is about the
            validation data, or about a half of them that nothing was chosen by.

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
    test: Callable[[], Iterable[Any]] | None = None

    def __post_init__(self) -> None:
        for name in ("model", "batches", "loss", "optimizer", "validation", "metric", "test"):
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

    def repaired(self, repair: Callable[[Any], Any], repair_optimizer: Callable[[Any, Any], Any] | None = None) -> Self:
        """The same experiment with its models repaired, and with their optimizers.

        Args:
            repair: ``repair(model) -> model``, as in a patch of headwater's; it is given a copy.
            repair_optimizer: ``repair_optimizer(model, optimizer) -> optimizer``, of the repaired model.

        Example:
            >>> from torch import nn
            >>> experiment = Experiment(model=lambda: nn.Linear(4, 2), batches=list, loss=lambda model, batch: 0)
            >>> experiment.repaired(lambda model: nn.Sequential(model, nn.Tanh())).model()[1]
            Tanh()
        """
        last: list[Any] = []

        def model() -> Any:
            last[:] = [repair(copy.deepcopy(self.model()))]
            return last[0]

        if self.optimizer is None or repair_optimizer is None:
            return replace(self, model=model)
        return replace(self, model=model, optimizer=RepairedOptimizer(self.optimizer, repair_optimizer, last))

    def optimizer_over(self, model: Any) -> Any:
        """The optimizer over a model's parameters; a repaired one is told the model they belong to."""
        assert self.optimizer is not None
        return _optimizer_over(self.optimizer, model)


class RepairedOptimizer:
    """Makes the optimizer as before and repairs it, which takes the model: a repair knows weights by their names."""

    def __init__(self, original: Callable[[Any], Any], repair: Callable[[Any, Any], Any], last: list[Any]) -> None:
        self._original, self._repair, self._last = original, repair, last

    def __call__(self, parameters: Iterable[Any]) -> Any:
        """Over the parameters of the model that was made last, or of a copy of it.

        Raises:
            InputError: If they are others.
        """
        parameters = list(parameters)
        model = _with_parameters(self._last[0], parameters) if self._last else None
        if model is None:
            raise InputError("make the model before its optimizer: experiment.optimizer(model.parameters()).")
        made = self._original(parameters)
        return self._repair(model, made) or made

    def over(self, model: Any) -> Any:
        """Over this model's parameters."""
        made = _optimizer_over(self._original, model)
        return self._repair(model, made) or made


def _optimizer_over(function: Callable[[Any], Any], model: Any) -> Any:
    return function.over(model) if isinstance(function, RepairedOptimizer) else function(model.parameters())


def _with_parameters(model: Any, parameters: list[Any]) -> Any:
    """A model with these parameters in the place of its own; an optimizer is made over a copy's as well.

    Raises:
        InputError: If they are not one for each of its own.
    """
    own = list(model.parameters())
    if [tuple(parameter.shape) for parameter in own] != [tuple(getattr(p, "shape", ())) for p in parameters]:
        raise InputError(
            "the repaired optimizer is made over all parameters of the repaired model, in their order: "
            "experiment.optimizer(model.parameters())."
        )
    return copy.deepcopy(model, {id(old): new for old, new in zip(own, parameters, strict=True)})


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
