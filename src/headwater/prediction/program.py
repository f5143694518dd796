"""The operations of a model in the order they run, without running it on data."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn

from headwater.probes import classify
from headwater.records import InputError
from headwater.records.site import Site


@dataclass(frozen=True)
class Operation:
    """A node of the traced program.

    Attributes:
        node: Of torch.fx.
        owner: Name of the module in whose ``forward`` it stands; of a module that is called, its own name.
        module: That is called, ``None`` for a function.
        name: Class name of the module, or name of the function without the underscore of an in-place variant.
    """

    node: fx.Node
    owner: str
    module: nn.Module | None
    name: str


class _Tracer(fx.Tracer):
    """Stops at torch's own modules, and at those of the user's that it was told cannot be followed."""

    def __init__(self, opaque: set[str]) -> None:
        super().__init__()
        self.opaque = opaque
        self.current: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if module_qualified_name in self.opaque or classify.activation_of(m) is not None:
            return True
        of_torch = classify.module_type(m).__module__.startswith("torch.nn.")
        return of_torch and not isinstance(m, (nn.Sequential, nn.ModuleList, nn.ModuleDict))

    def call_module(self, m: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.current.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.current.pop()
        return result


def traced(model: nn.Module, inputs: int = 1) -> tuple[list[Operation], Mapping[str, str]]:
    """The model's operations, and for each module that could not be followed why.

    Args:
        model: Whose forward is followed.
        inputs: How many arguments are tensors; the others have their defaults, so that ``mask is None`` is known.

    Raises:
        InputError: If the model's own ``forward`` cannot be followed.
    """
    if _Tracer(set()).is_leaf_module(model, ""):
        operations, _ = traced(nn.Sequential(model))
        return [replace(operation, owner="") for operation in operations], {}
    opaque: dict[str, str] = {}
    while True:
        tracer = _Tracer(set(opaque))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that fx does not check whether a default is kept
                graph = tracer.trace(model, concrete_args=_defaults(model, inputs))
        except Exception as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            if not tracer.current or tracer.current[-1] in opaque:
                raise InputError(
                    f"the forward of {type(model).__name__} cannot be followed without data ({reason}). "
                    "Measure it instead: hw.check(model, batch, loss)."
                ) from error
            opaque[tracer.current[-1]] = reason
            continue
        return [_operation(node, model) for node in graph.nodes], opaque


def _defaults(model: nn.Module, inputs: int) -> dict[str, Any]:
    """Arguments of the forward that are not given, and what they are then."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    return {p.name: p.default for p in parameters[inputs:] if p.default is not inspect.Parameter.empty}


def _operation(node: fx.Node, model: nn.Module) -> Operation:
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        return Operation(node, str(node.target), module, classify.module_type(module).__name__)
    stack = node.meta.get("nn_module_stack") or {}
    owner = str(next(reversed(stack.values()))[0]) if stack else ""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return Operation(node, owner, None, name if name.startswith("__") else name.rstrip("_"))


class Names:
    """Gives sites the names that probes give them."""

    def __init__(self, operations: list[Operation]) -> None:
        calls: dict[str, int] = {}
        for operation in operations:
            if operation.module is not None:
                calls[operation.owner] = calls.get(operation.owner, 0) + 1
        self._several = {name for name, count in calls.items() if count > 1}
        self._seen: dict[tuple[str, str], int] = {}
        self._order = 0

    def site(self, operation: Operation, op: str, kind: Any, activation: str | None, shape: tuple[int, ...]) -> Site:
        """The next site in execution order."""
        functional = operation.module is None
        key = (operation.owner, op if functional else "")
        number = self._seen[key] = self._seen.get(key, 0) + 1
        base = (f"{operation.owner}/{op}" if operation.owner else op) if functional else operation.owner or op
        numbered = functional or operation.owner in self._several
        parameters = (
            () if operation.module is None else tuple(f"{base}.{own}" for own, _ in operation.module.named_parameters())
        )
        site = Site(
            name=f"{base}#{number}" if numbered else base,
            op=op,
            kind=kind,
            order=self._order,
            module=operation.owner,
            activation=activation,
            parameters=parameters,
            shape=shape,
            functional=functional,
        )
        self._order += 1
        return site
