"""What is traced: a copy of the model, its data, and the number that is differentiated; all can be run again."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headwater.probes.eager import eager
from headwater.probes.measure import check_watchable, checked_loss
from headwater.probes.names import unwrapped
from headwater.probes.preserve import random_states, restore_random_states
from headwater.probes.tree import describe, main_tensor, tensors
from headwater.records import Experiment, InputError, Message
from headwater.tracing.targets import target_of

_CALL = "hw.trace(model, x, y)"


@dataclass(frozen=True, eq=False)
class Subject:
    """A model with data, which gives the same number each time it is run.

    Attributes:
        model: A copy: it may be changed and hooked.
        data: What ``evaluate`` takes beside the model.
        evaluate: ``evaluate(model, data) -> scalar tensor``.
        target: What that number is, in words.
        is_loss: Whether it is something to be made smaller.
        dtype: Of weights and data.
        randomness: The random states each run starts from.
    """

    model: nn.Module
    data: Any
    evaluate: Callable[[nn.Module, Any], Tensor]
    target: Callable[[], Message]
    is_loss: bool
    dtype: torch.dtype
    randomness: list[Any]

    def run(self) -> Tensor:
        """The number, with its graph."""
        with self._as_at_first(), torch.inference_mode(False), torch.enable_grad():
            return self.evaluate(self.model, self.data)

    def value(self) -> float:
        """The number alone; with a graph all the same, as a loss may ask for one."""
        return float(self.run().detach())

    @property
    def samples(self) -> int:
        """Size of the batch's first dimension; 1 for a single sample without one."""
        first = next(tensors(self.data), None)
        return first.shape[0] if first is not None and first.dim() > 1 else 1

    def first_sample(self) -> Subject:
        """The same with the first sample only."""
        count = self.samples
        return replace(
            self, data=_mapped(self.data, lambda t: t[:1] if t.dim() and t.shape[0] == count and count > 1 else t)
        )

    def converted(self, dtype: torch.dtype) -> Subject:
        """The same in another floating-point type, on a copy of its own."""
        return replace(
            self,
            model=_without_inplace(_copied(self.model).to(dtype=dtype)),
            data=_mapped(self.data, lambda t: t.detach().to(dtype) if t.is_floating_point() else t.detach()),
            dtype=dtype,
        )

    @contextmanager
    def _as_at_first(self) -> Iterator[None]:
        """Random states and default type inside are those every run has; outside they are the caller's again."""
        states, default = random_states(), torch.get_default_dtype()
        restore_random_states(self.randomness)
        torch.set_default_dtype(self.dtype)  # tensors that a forward makes itself are to fit
        try:
            with eager():
                yield
        finally:
            torch.set_default_dtype(default)
            restore_random_states(states)


def of_model(model: Any, x: Any, y: Any = None, loss: Callable[[Any, Any], Any] | None = None) -> Subject:
    """A model with an input, and a target where there is one.

    Args:
        model: Any module.
        x: Its input: a tensor, numbers, or a tuple or dictionary of arguments.
        y: What the output should be.
        loss: ``loss(output, y) -> scalar tensor``; without one y says what it is.

    Raises:
        InputError: If ``model`` is no module with parameters, or x is missing.
    """
    _check(model)
    if x is None:
        raise InputError(f"trace() needs the model's input: {_CALL}, or hw.trace(model, x) for the output itself.")
    if loss is not None and not callable(loss):
        raise InputError(
            f"loss must be a function of output and target, got {type(loss).__name__}: "
            "hw.trace(model, x, y, loss=torch.nn.functional.mse_loss)."
        )
    if isinstance(loss, type):
        raise InputError(f"loss is a class; hand over what it makes: hw.trace(model, x, y, loss={loss.__name__}()).")
    inputs = as_input(x)
    goal = target_of(y, loss)
    return Subject(
        model=unwrapped(model),
        data=(inputs, goal.y),
        evaluate=lambda m, data: goal(_output(m, data[0]), data[1]),
        target=goal.message,
        is_loss=goal.is_loss,
        dtype=torch.get_default_dtype(),
        randomness=random_states(),
    )


def of_experiment(model: Any, batch: Any, experiment: Experiment) -> Subject:
    """A model with an experiment's batch and loss."""
    _check(model)
    return Subject(
        model=unwrapped(model),
        data=batch,
        evaluate=lambda m, data: checked_loss(m, data, experiment.loss),
        target=lambda: Message("trace.target.loss"),
        is_loss=True,
        dtype=torch.get_default_dtype(),
        randomness=random_states(),
    )


def as_input(x: Any) -> Any:
    """Numbers and numpy arrays as a tensor, a single number as a sample of one feature; anything else as it is."""
    if isinstance(x, Tensor):
        return x.reshape(1, 1) if not x.dim() and x.is_floating_point() else x
    if hasattr(x, "__array__"):
        return torch.as_tensor(x)
    if isinstance(x, bool) or not isinstance(x, (int, float, list, tuple)) or any(True for _ in tensors(x)):
        return x
    try:
        made = torch.as_tensor(x, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"x must be a tensor or numbers, got {x!r:.60} ({error}): hw.trace(model, [1.0, -1.0])"
        ) from None
    return made.reshape(1, -1) if made.dim() < 2 else made


def _check(model: Any) -> None:
    check_watchable(model)
    lazy = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise InputError(
            f"{lazy[0]} has no shape yet: a lazy module gets its weights from the first batch it sees. "
            "Call the model once before it is traced: model(x)."
        )


def _output(model: nn.Module, x: Any) -> Tensor:
    """What the model makes of x.

    Raises:
        InputError: If it rejects x, or gives no number to differentiate.
    """
    try:
        output = model(**x) if isinstance(x, Mapping) else model(*x) if isinstance(x, tuple) else model(x)
    except InputError:
        raise
    except Exception as error:
        raise _Rejected(f"model(x) raised {type(error).__name__}: {error}\n  x: {describe(x)}") from error
    main = main_tensor(output)
    if main is None:
        raise InputError(
            f"model(x) gave {describe(output)}, which holds no floating-point numbers to differentiate. "
            "Trace the model without its last step (argmax, rounding, a conversion to integers)."
        )
    return main


class _Rejected(InputError):
    """The model does not take its input; whoever knows which of its modules refused adds that."""


def refused_by(error: InputError, name: str, module: nn.Module | None) -> InputError:
    """The same error with the module at fault, and the shape it would take."""
    if not isinstance(error, _Rejected) or module is None:
        return error
    told = f"{error}\n  inside: {name or type(module).__name__} ({module!r:.100})"
    shape = _shape_for(module)
    if shape:
        told += f"\nHand over what it takes: hw.trace(model, torch.randn({shape}))"
    refusal = InputError(told)
    refusal.__cause__ = error.__cause__
    return refusal


def _shape_for(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return f"1, {module.in_features}"
    if isinstance(module, nn.modules.conv._ConvNd):
        return ", ".join(["1", str(module.in_channels), *["32"] * len(module.kernel_size)])
    return ""


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: {error}), and only a copy is traced: "
            "drop tensors with a graph that the model holds."
        ) from error


def _without_inplace(model: nn.Module) -> nn.Module:
    """On a copy, modules that overwrite their input need not: each value is wanted."""
    for module in model.modules():
        if module.__dict__.get("inplace", False) is True:
            module.__dict__["inplace"] = False
    for parameter in model.parameters():
        parameter.grad = None
        if parameter.is_floating_point():
            parameter.requires_grad_(True)  # a frozen weight's gradient can be explained as well
    return model


def _mapped(value: Any, change: Callable[[Tensor], Tensor], depth: int = 0) -> Any:
    """``value`` with its tensors changed; what holds none, or is no container we know, stays as it is."""
    if isinstance(value, Tensor):
        return change(value)
    if depth > 6:
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, change, depth + 1) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(item, change, depth + 1) for item in value)
    if isinstance(value, Mapping):
        changed = {key: _mapped(item, change, depth + 1) for key, item in value.items()}
        if type(value) is dict:
            return changed
        other: Any = copy.copy(value)
        for key, item in changed.items():
            other[key] = item
        return other
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return replace(value, **{name: _mapped(item, change, depth + 1) for name, item in fields.items()})
    return value
