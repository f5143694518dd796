"""Make modules of the activations that a forward calls as functions, so that remedies reach them."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from headwater.probes.classify import call_parameters, functional_activation, scalar_parameters
from headwater.probes.preserve import random_states, restore_random_states
from headwater.records.site import Scalar
from headwater.remedies.edits import Edit, traced_forward, wrapped
from headwater.remedies.order import Order, Step, named_function
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.rewriting import OwnForward, graph_of, let_compute, put_modules_for_functions
from headwater.theory import ACTIVATIONS, Activation

_HOLDS_A_FUNCTION = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)  # as its attribute ``activation``


@dataclass(frozen=True)
class FunctionPlace:
    """A function to make a module of.

    Attributes:
        node: Its name in the graph of the forward.
        name: What the module is called in its owner.
        activation: Id of the activation.
        parameters: What it is made with beside the table's own arguments.
        in_place: Whether the function changes its input.
    """

    node: str
    name: str
    activation: str
    parameters: tuple[tuple[str, Scalar], ...] = ()
    in_place: bool = False

    @property
    def constructor(self) -> str:
        """Code that makes the module."""
        return _entry(self.activation, self.parameters).constructor

    def make(self) -> nn.Module:
        """The module."""
        entry = _entry(self.activation, self.parameters)
        module: nn.Module = getattr(nn, entry.modules[0])(**entry.arguments)
        return module


@dataclass(frozen=True)
class ModulesForFunctions(Edit):
    """Let a forward call modules where it calls activations as functions; it computes what it did.

    Attributes:
        owner: Whose forward.
        places: In the order they run.
    """

    owner: str
    places: tuple[FunctionPlace, ...]

    @property
    def renames(self) -> bool:
        """What was a function of the owner is a module in it."""
        return True

    def apply(self, model: nn.Module) -> None:
        """The owner's class becomes a subclass of what it was, with the forward its graph gives."""
        places = [(place.node, place.name, place.make(), place.in_place) for place in self.places]
        put_modules_for_functions(model.get_submodule(self.owner), places)

    def lines(self) -> list[str]:
        """One call."""
        comment = "Activations called as functions become modules; the forward is traced, and computes what it did"
        rows = [f"({p.node!r}, {p.name!r}, {p.constructor}, {p.in_place})" for p in self.places]
        return traced_forward(comment, put_modules_for_functions.__name__, self.owner, rows)

    def definitions(self) -> tuple[Any, ...]:
        """What traces and rewrites."""
        return (OwnForward, graph_of, let_compute, put_modules_for_functions)

    def order_after(self, order: Order) -> Order:
        """Each of its functions is a module's work now; of a forward that runs again, the same modules'."""
        return _as_modules(order, self.owner, [f"{self.owner}.{place.name}".lstrip(".") for place in self.places])


@dataclass(frozen=True)
class HoldModule(Edit):
    """Let layers of ``nn.Transformer`` hold a module where they hold a function; they compute what they did.

    Attributes:
        owners: Their names.
        activation: Id of the activation.
    """

    owners: tuple[str, ...]
    activation: str

    @property
    def renames(self) -> bool:
        """What was a function of the owner is a module in it."""
        return True

    def apply(self, model: nn.Module) -> None:
        """Also keep the fused kernel of inference, which knows its own two functions only, from being used."""
        for name in self.owners:
            owner: Any = model.get_submodule(name)
            owner.activation = getattr(nn, ACTIVATIONS[self.activation].modules[0])().train(owner.training)
            owner.activation_relu_or_gelu = 0

    def lines(self) -> list[str]:
        """One loop."""
        return [
            f"for name in {wrapped(list(self.owners), indent=4)}:",
            "    layer = model.get_submodule(name)",
            f"    layer.activation = {ACTIVATIONS[self.activation].constructor}.train(layer.training)",
            "    layer.activation_relu_or_gelu = 0  # else inference runs a kernel with the old one",
        ]

    def order_after(self, order: Order) -> Order:
        """Each of its functions is that module's work now."""
        for owner in self.owners:
            order = _as_modules(order, owner, [f"{owner}.activation"])
        return order


def modules_for_functions(model: nn.Module, order: Order, steps: tuple[Step, ...], reason: str) -> tuple[Edit, ...]:
    """The edits that make modules of functions.

    Args:
        model: The model to plan for.
        order: Its execution order.
        steps: The functions to reach; others in the same forward become modules too.
        reason: Why they have to be modules, and how to make them so by hand.

    Raises:
        NotApplicableError: If a forward cannot be traced, or calls something else than was measured.
    """
    owners = dict.fromkeys(step.module for step in steps)
    held = [name for name in owners if isinstance(model.get_submodule(name), _HOLDS_A_FUNCTION)]
    edits: list[Edit] = []
    for activation in dict.fromkeys(_held_activation(model.get_submodule(name), reason) for name in held):
        alike = [name for name in held if _held_activation(model.get_submodule(name), reason) == activation]
        edits.append(HoldModule(tuple(alike), activation))
    for owner in owners:
        if owner not in held:
            edits.append(_rewritten(model, order, owner, reason))
    return tuple(edits)


def traced(model: nn.Module, owner: str) -> fx.Graph:
    """The graph of a module's own forward, nothing moved by the tracing.

    Raises:
        ValueError: If what runs depends on more than the tensors the forward is given; the message says on what.
    """
    module = model.get_submodule(owner)
    states = random_states()
    try:
        stand_in = _stand_in(module)
        before = _attributes(stand_in)
        graph = graph_of(stand_in)
        if _attributes(stand_in) != before:
            raise ValueError("it changes attributes of its own")
        given = {name: value for name, value in _defaults(module).items() if value is None or isinstance(value, bool)}
        if given:
            other = OwnForward().trace(_stand_in(module), concrete_args=given)
            if _operations(other) != _operations(graph):
                raise ValueError(f"what it does depends on whether it is given {' or '.join(given)}")
        if not _same(random_states(), states):
            raise ValueError("it draws random numbers whose number or size does not depend on its input")
        return graph
    except ValueError:
        raise
    except Exception as error:
        lines = str(error).splitlines()
        raise ValueError(f"{type(error).__name__}: {lines[0] if lines else ''}") from error
    finally:
        restore_random_states(states)


def _rewritten(model: nn.Module, order: Order, owner: str, reason: str) -> ModulesForFunctions:
    module = model.get_submodule(owner)
    whose = f"the forward of {type(module).__name__}"
    try:
        graph = traced(model, owner)
    except ValueError as error:
        raise NotApplicableError(
            f"{reason} This could not be done for you, as {whose} cannot be traced: {error}"
        ) from error
    taken = {name for name, _ in module.named_children()} | set(dir(module))
    places = list(_places(graph, taken))
    ran = [step.activation for step in order if step.functional and step.module == owner and step.activation]
    found = [place.activation for place in places]
    if not found or len(ran) % len(found) or ran != found * (len(ran) // len(found)):
        raise NotApplicableError(
            f"{reason} This could not be done for you: traced, {whose} calls {', '.join(found) or 'none'}, and "
            f"measured, {', '.join(map(str, ran))} ran."
        )
    if any(place.activation == "prelu" for place in places):
        raise NotApplicableError(
            f"{reason} This could not be done for you: the slope of F.prelu is a weight of {whose}."
        )
    return ModulesForFunctions(owner, tuple(places))


def _places(graph: fx.Graph, taken: set[str]) -> Iterator[FunctionPlace]:
    number = 0
    for node in graph.nodes:
        activation = activation_of_node(node)
        if activation is None:
            continue
        number += 1
        while f"activation_{number}" in taken:
            number += 1
        given = scalar_parameters(call_parameters(activation, node.args, node.kwargs))
        own = {name: value for name, value in given.items() if value != activation.parameters[name]}
        function = named_function(node.target)
        yield FunctionPlace(
            node.name,
            f"activation_{number}",
            activation.id,
            tuple(own.items()),
            in_place=function.__name__.endswith("_") or node.kwargs.get("inplace") is True,
        )


def activation_of_node(node: fx.Node) -> Activation | None:
    """The activation that a node calls as a function or method, ``None`` if it calls none."""
    if node.op not in ("call_function", "call_method"):
        return None
    return functional_activation(named_function(node.target))


def _entry(activation: str, parameters: tuple[tuple[str, Scalar], ...]) -> Activation:
    entry = ACTIVATIONS[activation]
    return replace(entry, arguments={**entry.arguments, **dict(parameters)})


def _as_modules(order: Order, owner: str, names: list[str]) -> Order:
    steps: list[Step] = []
    calls = 0
    for step in order:
        if step.functional and step.module == owner and step.activation is not None:
            step = replace(step, module=names[calls % len(names)], functional=False)
            calls += 1
        steps.append(step)
    return tuple(steps)


def _held_activation(owner: Any, reason: str) -> str:
    """Id of the activation that a layer of ``nn.Transformer`` holds as a function."""
    activation = functional_activation(owner.activation)
    if activation is None or isinstance(owner.activation, nn.Module):
        name = getattr(owner.activation, "__name__", type(owner.activation).__name__)
        raise NotApplicableError(
            f"{reason} {type(owner).__name__} was given {name}, which is no activation known here."
        )
    return activation.id


def _stand_in(module: nn.Module) -> nn.Module:
    """The module's own attributes in other dictionaries, so that a forward that sets one does not reach the module."""
    stand_in = copy.copy(module)
    stand_in.__dict__.update(
        {name: copy.copy(value) for name, value in vars(module).items() if isinstance(value, (dict, list, set))}
    )
    return stand_in


def _attributes(module: nn.Module) -> dict[str, Any]:
    """What identifies the present values of a module's attributes."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name == "training":
            continue
        if isinstance(value, dict):
            found[name] = {key: id(part) for key, part in value.items()}
        elif isinstance(value, (list, set)):
            found[name] = [id(part) for part in value]
        else:
            found[name] = id(value) if not isinstance(value, (int, float, str)) else value
    return found


def _defaults(module: nn.Module) -> dict[str, Any]:
    """Arguments of a forward that may be left out, with what stands for them."""
    code = type(module).forward
    names = code.__code__.co_varnames[: code.__code__.co_argcount]
    values = code.__defaults__ or ()
    return {**dict(zip(names[len(names) - len(values) :], values, strict=True)), **(code.__kwdefaults__ or {})}


def _same(now: list[Any], before: list[Any]) -> bool:
    """Whether no random stream on the CPU has moved on."""
    numpy = now[1] is None or str(now[1][2:]) + str(now[1][1].tolist()) == str(before[1][2:]) + str(
        before[1][1].tolist()
    )
    return bool(now[0] == before[0] and numpy and torch.equal(now[2], before[2]))


def _operations(graph: fx.Graph) -> list[tuple[str, str]]:
    """What a graph does, but for what it is given and whether it asks for the mode."""
    asides = ("placeholder", "get_attr", "output")
    nodes = [node for node in graph.nodes if node.op not in asides and node.target is not torch._assert]
    return [(node.op, str(node.target)) for node in nodes if "_assert_is_none" not in str(node.target)]
