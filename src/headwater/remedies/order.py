"""The order in which a model runs its operations, and what follows what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from torch import fx, nn

from headwater.probes.classify import (
    JOINS,
    activation_of,
    activation_parameters,
    call_parameters,
    functional_activation,
    module_kind,
    scalar_parameters,
)
from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Flow, InputError, SiteKind
from headwater.records.site import Scalar
from headwater.theory import ACTIVATIONS


@dataclass(frozen=True)
class Step:
    """One operation in execution order.

    Attributes:
        module: Name of the module; of the owner where the operation is a function.
        kind: What sort of operation it is.
        activation: Its id if it is a known activation.
        functional: Whether it is a function.
        parameters: Slopes and bounds of the activation.
        shape: Of the output, batch first; ``()`` where the order was not measured.
        place: Where it stood when the order was read off the model; -1 of what remedies have put in since.
        followed_by: Places of the activations that an affine map's output reaches before another affine map; ``None``
            where that is not known, and what follows is what runs next.
    """

    module: str
    kind: SiteKind
    activation: str | None = None
    functional: bool = False
    parameters: tuple[tuple[str, Scalar], ...] = ()
    shape: tuple[int, ...] = ()
    place: int = -1
    followed_by: tuple[int, ...] | None = None


Order = tuple[Step, ...]

# Sites through which an activation still counts as following the affine map before them.
_ENDS_THE_SEARCH = ("affine", "recurrent", "attention", "embedding")


def order_of_flow(flow: Flow) -> Order:
    """The order in which a measured step ran."""
    return tuple(
        Step(
            module=row.site.module,
            kind=row.site.kind,
            activation=row.site.activation,
            functional=row.site.functional,
            parameters=tuple(row.site.activation_parameters.items()),
            shape=row.site.shape,
            place=row.site.order,
            followed_by=row.site.followed_by,
        )
        for row in flow.sites
    )


def order_of_model(model: nn.Module) -> Order:
    """The order read off the model without running it: a chain of ``nn.Sequential``, or what ``torch.fx`` can trace.

    Raises:
        InputError: If the order depends on data; the message has the call that measures it.
    """
    containers = [module for module in model.modules() if any(True for _ in module.children())]
    if containers and all(type(module) is nn.Sequential for module in containers):
        return _chain_order(model)
    try:
        with _untouched(model):
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


def activation_after(order: Order, module: str) -> Step:
    """The activation that follows ``module`` before the next affine map; the identity if none does.

    By where its output goes, through normalisation, dropout, changes of shape and sums; where that is not known, by
    what runs next. Of several the one that runs first.
    """
    start = next(index for index, step in enumerate(order) if step.module == module and step.kind == "affine")
    reached = order[start].followed_by
    for step in order[start + 1 :]:
        if reached is not None:
            if step.place in reached and step.activation in ACTIVATIONS:
                return step
            continue
        if step.activation in ACTIVATIONS:
            return step
        if step.kind in _ENDS_THE_SEARCH:
            break
    return Step(module, "activation", "identity")


def hidden_activations(order: Order) -> tuple[Step, ...]:
    """The activations with an affine map after them: those of the hidden layers, not the output's own."""
    affine = [index for index, step in enumerate(order) if step.kind == "affine"]
    before_output = order[: affine[-1]] if affine else ()
    return tuple(step for step in before_output if step.activation is not None)


def between_affine(order: Order) -> tuple[list[str], list[tuple[Step, ...]]]:
    """Affine layers as often as they run, and the steps between each two of them."""
    places = [index for index, step in enumerate(order) if step.kind == "affine"]
    return [order[index].module for index in places], [order[a + 1 : b] for a, b in pairwise(places)]


def _chain_order(model: nn.Module) -> Order:
    """The order of nested ``nn.Sequential``; a module that stands in it several times runs as often, under one name."""
    names = {id(module): name for name, module in reversed(list(model.named_modules(remove_duplicate=False)))}
    return tuple(
        _step_of_module(names[id(module)], module)
        for _, module in model.named_modules(remove_duplicate=False)
        if not any(True for _ in module.children())
    )


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Put back what a forward does to attributes and random states while it is traced."""
    states = random_states()
    before = [(module, dict(vars(module))) for module in model.modules()]
    tables = [
        (table, dict(table)) for module in model.modules() for table in vars(module).values() if type(table) is dict
    ]
    try:
        yield
    finally:
        for module, attributes in before:
            module.__dict__.clear()
            module.__dict__.update(attributes)
        for table, contents in tables:
            table.clear()
            table.update(contents)
        restore_random_states(states)


def _step_of_module(name: str, module: nn.Module) -> Step:
    activation = activation_of(module)
    if activation is None:
        return Step(name, module_kind(module))
    parameters = scalar_parameters(activation_parameters(activation, module))
    return Step(name, "activation", activation.id, parameters=tuple(parameters.items()))


def _traced_order(model: nn.Module) -> Order:
    steps: dict[fx.Node, Step] = {}
    for node in fx.symbolic_trace(model).graph.nodes:
        step = _step_of_node(model, node)
        if step is not None:
            steps[node] = replace(step, place=len(steps))
    return tuple(
        replace(step, followed_by=_reached(node, steps)) if step.kind == "affine" else step
        for node, step in steps.items()
    )


def _step_of_node(model: nn.Module, node: fx.Node) -> Step | None:
    if node.op == "call_module":
        name = str(node.target)
        return _step_of_module(name, model.get_submodule(name))
    if node.op in ("call_function", "call_method"):
        function = named_function(node.target)
        activation = functional_activation(function)
        if activation is not None:
            parameters = scalar_parameters(call_parameters(activation, node.args, node.kwargs))
            return Step(_owner(node), "activation", activation.id, True, tuple(parameters.items()))
        if getattr(function, "__name__", "") in JOINS and _adds_two_signals(node):
            return Step(_owner(node), "join", functional=True)
    return None


def _reached(start: fx.Node, steps: dict[fx.Node, Step]) -> tuple[int, ...]:
    """Places of the activations that an affine map's output reaches before another affine map."""
    found: set[int] = set()
    seen, waiting = {start}, [start]
    while waiting:
        for user in waiting.pop().users:
            if user in seen:
                continue
            seen.add(user)
            step = steps.get(user)
            if step is not None and step.activation is not None:
                found.add(step.place)
            elif step is None or step.kind not in _ENDS_THE_SEARCH:
                waiting.append(user)
    return tuple(sorted(found))


def _owner(node: fx.Node) -> str:
    """Name of the module in whose forward a function is called; ``""`` is the model's own."""
    stack = node.meta.get("nn_module_stack") or {}
    return next((str(name) for name, _ in reversed(stack.values())), "")


def _adds_two_signals(node: fx.Node) -> bool:
    """Whether both terms are computed; a parameter or a number that is added is no shortcut."""
    return sum(isinstance(term, fx.Node) and term.op != "get_attr" for term in node.args) == 2


def named_function(target: Any) -> Any:
    """A function as it is; for a method's name something that carries it as its name."""
    return type(target, (), {}) if isinstance(target, str) else target
