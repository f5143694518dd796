"""What is known of a model's modules before it runs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from headwater.probes import classify
from headwater.probes.choose import Choice
from headwater.probes.names import clean, unwrapped
from headwater.records import SiteKind
from headwater.theory import Activation


@dataclass(frozen=True)
class ModuleInfo:
    """What is known of a module before it runs."""

    module: nn.Module
    name: str
    op: str
    kind: SiteKind
    activation: Activation | None
    is_container: bool
    is_torch_leaf: bool
    chosen: bool
    also_as_container: bool
    is_chosen_torch_leaf: bool
    parameters: tuple[str, ...]

    @property
    def is_quick(self) -> bool:
        """Whether all there is to see of it can be seen after its call: it calls no other and overwrites nothing."""
        return self.is_chosen_torch_leaf and not self.module.__dict__.get("inplace", False)


def module_infos(model: nn.Module, choice: Choice | None) -> dict[int, ModuleInfo]:
    """What is known of each module before it runs, by ``id``.

    Args:
        model: Whose modules.
        choice: Which of them are sites; all by default.
    """
    model = unwrapped(model)
    names = {id(module): clean(name) for name, module in model.named_modules()}
    return {id(module): _info(module, names[id(module)], choice) for module in classify.operations(model)}


def _info(module: nn.Module, name: str, choice: Choice | None) -> ModuleInfo:
    """What is known of a module; parameters include those of children it never calls: attention has ``out_proj``."""
    activation = classify.activation_of(module)
    is_container = classify.is_container(module)
    of_torch = classify.module_type(module).__module__.startswith("torch.nn.")
    chosen = choice is None or choice.module(name, module, not is_container)
    return ModuleInfo(
        module=module,
        name=name,
        op=classify.module_type(module).__name__,
        kind=classify.module_kind(module),
        activation=activation,
        is_container=is_container,
        is_torch_leaf=activation is not None or (of_torch and not is_container),
        chosen=chosen,
        also_as_container=choice is not None and chosen and is_container,
        is_chosen_torch_leaf=chosen and of_torch and not is_container,
        parameters=tuple(f"{name}.{own}" if name else own for own, _ in module.named_parameters()),
    )
