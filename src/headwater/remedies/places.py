"""Where the hidden activations of a model stand, and whether a module can be put there."""

from torch import nn

from headwater.remedies.order import Order, Step, hidden_activations
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.tailored_activation import Tailored
from headwater.theory import ACTIVATIONS


def hidden_modules(remedy_id: str, model: nn.Module, order: Order) -> list[Step]:
    """The hidden activations, all of which are modules.

    Raises:
        NotApplicableError: If there is none, or one is called as a function.
    """
    steps = list(hidden_activations(order))
    if not steps:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no activation between two layers. Put one in first: "
            f'["activation.relu_between", ...] does where layers follow each other with nothing in between.'
        )
    refuse_functions(remedy_id, steps)
    return steps


class CalledAsFunctionError(NotApplicableError):
    """A remedy that works on modules met activations that are functions.

    Attributes:
        steps: Those.
    """

    def __init__(self, message: str, steps: tuple[Step, ...]) -> None:
        super().__init__(message)
        self.steps = steps


def refuse_functions(remedy_id: str, steps: list[Step]) -> None:
    """Refuse activations that are called as functions; :mod:`surgery` then makes modules of them, if it can.

    Raises:
        CalledAsFunctionError: If there is one; the message has the module to make of it.
    """
    functions = [step for step in steps if step.functional]
    if functions:
        step = functions[0]
        owner = f"the forward of {step.module!r}" if step.module else "forward"
        raise CalledAsFunctionError(
            f"{remedy_id}: {step.activation} is called as a function in {owner}, where no module can be "
            f"replaced. Make it one: self.act = {ACTIVATIONS[str(step.activation)].constructor} in __init__, and "
            "self.act(x) in forward.",
            tuple(functions),
        )


def refuse_shortcuts(remedy_id: str, order: Order, why: str) -> None:
    """Refuse models in which signals are added up.

    Raises:
        NotApplicableError: If there is a shortcut.
    """
    joins = [step.module for step in order if step.kind == "join"]
    if joins:
        where = f"the forward of {joins[0]!r}" if joins[0] else "forward"
        raise NotApplicableError(
            f"{remedy_id}: {where} adds a shortcut to its branch, and this remedy is for plain chains: {why}. "
            "init.he and init.orthogonal suit any structure."
        )


def refuse_reused(remedy_id: str, steps: list[Step], order: Order) -> None:
    """Refuse modules that run at several places where each place needs one of its own.

    Raises:
        NotApplicableError: If there is one.
    """
    for step in steps:
        if sum(other.module == step.module and other.activation is not None for other in order) > 1:
            raise NotApplicableError(
                f"{remedy_id}: {step.module!r} runs at several places, and each needs statistics of its own. Give each "
                f"place an activation of its own: {ACTIVATIONS[str(step.activation)].constructor} twice in __init__."
            )


def beside(model: nn.Module, layer: str) -> str:
    """The layer, if a module beside it must take its device and dtype; ``""`` where all of the model's are alike."""
    return layer if len({(p.dtype, p.device) for p in model.parameters()}) > 1 else ""


def is_dropout(model: nn.Module, step: Step) -> bool:
    """Whether the step is a dropout module."""
    return not step.functional and isinstance(model.get_submodule(step.module), nn.modules.dropout._DropoutNd)


def names_of(model: nn.Module, name: str) -> tuple[str, ...]:
    """Every name a module goes by, so that a reused one is replaced everywhere."""
    module = model.get_submodule(name)
    return tuple(other for other, found in model.named_modules(remove_duplicate=False) if found is module)


def aliases(model: nn.Module, name: str) -> tuple[str, ...]:
    """Every name an activation goes by.

    Raises:
        NotApplicableError: If it is the model itself, or part of a tailored one.
    """
    names = names_of(model, name)
    if "" in names:
        raise NotApplicableError("the model is itself an activation: wrap it in nn.Sequential to give it a place.")
    outer = name.rpartition(".")[0]
    if type(model.get_submodule(outer)).__name__ == Tailored.__name__:
        raise NotApplicableError(
            f"{outer!r} is tailored: its numbers belong to the activation inside and to the depth. Start from the "
            "model as it was before."
        )
    return names
