"""The order in which a model runs its operations, and what follows what."""

from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from headwater.probes.classify import activation_of, functional_activation, module_kind
from headwater.records import Flow, InputError, SiteKind
from headwater.theory import ACTIVATIONS


@dataclass(frozen=True)
class Step:
    """One operation in execution order; ``module`` is the owner where the operation is a function."""

    module: str
    kind: SiteKind
    activation: str | None = None
    functional: bool = False


Order = tuple[Step, ...]

# Sites through which an activation still counts as following the affine map before them.
_ENDS_THE_SEARCH = ("affine", "recurrent", "attention", "embedding")


def order_of_flow(flow: Flow) -> Order:
    """The order in which a measured step ran."""
    return tuple(Step(row.site.module, row.site.kind, row.site.activation, row.site.functional) for row in flow.sites)


def order_of_model(model: nn.Module) -> Order:
    """The order read off the model without running it: a chain of ``nn.Sequential``, or what ``torch.fx`` can trace.

    Raises:
        InputError: If the order depends on data; the message has the call that measures it.
    """
    containers = [module for module in model.modules() if any(True for _ in module.children())]
    if containers and all(type(module) is nn.Sequential for module in containers):
        return tuple(
            _step_of_module(name, module) for name, module in model.named_modules() if name not in _inner(model)
        )
    try:
        return _traced_order(model)
    except Exception as error:
        raise InputError(
            f"which activation follows each layer of {type(model).__name__} cannot be read off without running it "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}). "
            "Measure it: hw.apply(model, remedy, report=hw.check(model, batch, loss))."
        ) from error


def affine_layers(order: Order) -> tuple[str, ...]:
    """Names of the affine modules, each once, in execution order."""
    return tuple(dict.fromkeys(step.module for step in order if step.kind == "affine" and not step.functional))


def activation_after(order: Order, module: str) -> str:
    """Id of the activation that follows ``module`` before the next affine map, ``identity`` if none does."""
    start = next(index for index, step in enumerate(order) if step.module == module and step.kind == "affine")
    for step in order[start + 1 :]:
        if step.activation in ACTIVATIONS:
            return str(step.activation)
        if step.kind in _ENDS_THE_SEARCH:
            break
    return "identity"


def hidden_activations(order: Order) -> tuple[Step, ...]:
    """The activations with an affine map after them: those of the hidden layers, not the output's own."""
    affine = [index for index, step in enumerate(order) if step.kind == "affine"]
    before_output = order[: affine[-1]] if affine else ()
    return tuple(step for step in before_output if step.activation is not None)


def _inner(model: nn.Module) -> set[str]:
    """Names of the modules that contain others."""
    return {name for name, module in model.named_modules() if any(True for _ in module.children())}


def _step_of_module(name: str, module: nn.Module) -> Step:
    activation = activation_of(module)
    return Step(name, module_kind(module), activation.id if activation else None)


def _traced_order(model: nn.Module) -> Order:
    steps: list[Step] = []
    for node in fx.symbolic_trace(model).graph.nodes:
        if node.op == "call_module":
            name = str(node.target)
            steps.append(_step_of_module(name, model.get_submodule(name)))
        elif node.op in ("call_function", "call_method"):
            activation = functional_activation(_named(node.target))
            if activation is not None:
                steps.append(Step("", "activation", activation.id, functional=True))
    return tuple(steps)


def _named(target: Any) -> Any:
    """A function as it is; for a method's name something that carries it as its name."""
    return type(target, (), {}) if isinstance(target, str) else target
