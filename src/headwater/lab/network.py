"""From a spec to what can be trained: the modules, initialised and repaired by the remedies that ``hw.apply`` has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from headwater.lab import modules
from headwater.lab.csv_data import Uploaded
from headwater.lab.data import split_of
from headwater.lab.plan import Part, Plan, hidden_activations, planned, tailoring
from headwater.lab.refusal import RefusedError
from headwater.lab.spec import Spec
from headwater.lessons.data import Split
from headwater.probes.measure import measure
from headwater.records import InputError
from headwater.remedies.before_update import WeightPenalty
from headwater.remedies.data import FIRST, Data
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order, order_of_flow, order_of_model
from headwater.remedies.registry import find
from headwater.remedies.surgery import apply_remedies, patch

INITS = {
    "normal": "init.normal_one",
    "xavier": "init.xavier",
    "he": "init.he",
    "lecun": "init.lecun",
    "orthogonal": "init.orthogonal",
    "mirrored": "init.mirrored",
    "critical": "init.critical",
    "lsuv": "init.lsuv",
    "delta_orthogonal": "init.delta_orthogonal",
    "by_activation": "init.by_activation",
}
"""The remedy behind each initialisation; ``default`` is PyTorch's own, ``tailored`` goes by the activations."""
RECURRENT_INITS = {"orthogonal": "recurrent.orthogonal"}
PENALTIES = {"l1": 1, "l2": 2}
"""The power of each penalty."""
MOMENTUM = 0.9
Batch = tuple[Tensor, Tensor]


@dataclass(eq=False)
class Network:
    """A network with what it is trained by; model and optimizer change as it is.

    Attributes:
        spec: It was made from.
        plan: Of its modules, as they were before any remedy.
        split: Its data.
        model: The modules.
        optimizer: Over their parameters.
        batches: Still to come.
    """

    spec: Spec
    plan: Plan
    split: Split
    model: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy of classes, mean squared error of a curve."""
        return loss_of(self.plan)(model(batch[0]), batch[1])


class Batches:
    """Batches without end; each epoch in an order of its own.

    Args:
        split: Whose training samples.
        size: Of a batch; what is left over at an epoch's end is passed over.
        seed: Of the orders.
    """

    def __init__(self, split: Split, size: int, seed: int) -> None:
        self._split = split
        self._generator = torch.Generator().manual_seed(seed)
        self._rows: list[Tensor] = []
        self.size = size

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield self.next()

    def next(self) -> Batch:
        """The next one."""
        batch = self.peek()
        self._rows.pop(0)
        return batch

    def peek(self) -> Batch:
        """The one that comes next."""
        if not self._rows:
            order = torch.randperm(len(self._split.x), generator=self._generator)
            rows = list(order.split(self.size))
            self._rows = rows[:-1] if len(rows) > 1 and len(rows[-1]) < self.size else rows
        return self._split.x[self._rows[0]], self._split.y[self._rows[0]]


def built(spec: Spec, uploaded: Uploaded | None = None, patches: dict[str, str] | None = None) -> Network:
    """The network of a spec, as it is before its first step; torch's random state is then as training begins with.

    Args:
        spec: Of the network.
        uploaded: Of ``data="csv"``, the file.
        patches: Gets the code of each change that a remedy makes: of ``init`` and of ``remedies``.

    Raises:
        RefusedError: If parts do not go together, it is too large, or a remedy cannot work on it.
    """
    if spec.data == "csv" and uploaded is None:
        raise RefusedError("no_csv", {}, "data")
    uploaded = uploaded if spec.data == "csv" else None
    plan = planned(spec, uploaded.shape if uploaded else None)
    split = split_of(spec, uploaded)
    torch.manual_seed(spec.seed)
    model: nn.Module = nn.Sequential(OrderedDict((part.name, made(part)) for part in plan.parts))
    batches = Batches(split, spec.batch_size, spec.seed)
    network = Network(spec, plan, split, model, optimizer_of(spec, model), batches)
    network = _initialised(network, patches)
    for name in PENALTIES:
        set_penalty(network, name, getattr(spec, name))
    if spec.remedies:
        network = _applied(network, spec.remedies, "remedies", patches)
    network.model.train()
    torch.manual_seed(spec.seed)  # of dropout masks
    return network


def made(part: Part) -> nn.Module:
    """The module of a part."""
    if part.inner:
        return modules.Residual(**{inner.name: made(inner) for inner in part.inner})
    kind = modules.LastStep if part.kind == "LastStep" else getattr(nn, part.kind)
    module: nn.Module = kind(*part.arguments, **dict(part.keywords))
    return module


def optimizer_of(spec: Spec, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a spec over a model's parameters."""
    kind, settings = OPTIMIZERS[spec.optimizer]
    optimizer: torch.optim.Optimizer = getattr(torch.optim, kind)(model.parameters(), lr=spec.learning_rate, **settings)
    return optimizer


OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"fused": True}),
    "momentum": ("SGD", {"momentum": MOMENTUM, "fused": True}),
    "adam": ("Adam", {"fused": True}),
    "adamw": ("AdamW", {"fused": True}),
    "rmsprop": ("RMSprop", {}),
}
"""Class in ``torch.optim`` and its settings beside the rate; all parameters in one operation where that is offered."""


def loss_of(plan: Plan) -> Any:
    """The loss of outputs and targets."""
    return nn.functional.cross_entropy if plan.shape.task == "classes" else nn.functional.mse_loss


def set_penalty(network: Network, name: str, strength: float) -> None:
    """Let the optimizer step on a loss with this penalty, in the place of what it had of the kind.

    Args:
        network: Whose optimizer.
        name: ``l1`` or ``l2``.
        strength: λ; 0 takes the penalty away.
    """
    hooks = network.optimizer._optimizer_step_pre_hooks
    for key in [key for key, hook in hooks.items() if _is_penalty(hook, PENALTIES[name])]:
        del hooks[key]
    if strength:
        for edit in penalty_edits(network, name, strength):
            edit.apply_to_optimizer(network.model, network.optimizer)


def penalty_edits(network: Network, name: str, strength: float) -> tuple[Edit, ...]:
    """What the remedy behind a penalty does to the optimizer."""
    return find(f"regularisation.{name}:{strength!r}").edits(network.model, (), network.spec.seed, None)


def _is_penalty(hook: Any, power: int) -> bool:
    return isinstance(hook, WeightPenalty) and hook.power == power


def _initialised(network: Network, patches: dict[str, str] | None) -> Network:
    """With weights drawn as the spec says, then scaled, and biases set."""
    spec = network.spec
    remedy = init_remedy(spec)
    if remedy is not None:
        network = _applied(network, (remedy,), "init", patches)
    with torch.no_grad():
        if spec.scale != 1.0:
            for weight in weights(network.model):
                weight.mul_(spec.scale)
        if spec.bias:
            for bias in hidden_biases(network.model):
                bias.fill_(spec.bias)
    return network


def init_remedy(spec: Spec) -> str | None:
    """Id of the remedy that draws the weights of a spec; ``None`` where they stay as PyTorch draws them."""
    if spec.preset == "rnn":
        return RECURRENT_INITS.get(spec.init)
    if spec.init == "tailored":
        return tailoring(hidden_activations(spec))
    return INITS.get(spec.init)


def weights(model: nn.Module) -> list[nn.Parameter]:
    """The matrices and kernels of a model."""
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def hidden_biases(model: nn.Module) -> list[Tensor]:
    """The biases of all affine maps but the last."""
    affine = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return [module.bias for module in affine[:-1] if module.bias is not None]


def _applied(
    network: Network, remedies: tuple[str, ...], control: str, patches: dict[str, str] | None = None
) -> Network:
    """With remedies applied to copies of model and optimizer.

    Raises:
        RefusedError: If one cannot work on this network; the message has its reason.
    """
    spec = network.spec
    try:
        needs_data = any(find(remedy).needs_data for remedy in remedies)
        first = Batches(network.split, spec.batch_size, spec.seed)
        data = Data(tuple(islice(first, FIRST)), network.loss) if needs_data else None
        order = _order(network)
        if patches is not None:
            patches[control] = patch(network.model, remedies, order, spec.seed, data)
        model, optimizer = apply_remedies(network.model, remedies, order, network.optimizer, spec.seed, data)
    except RefusedError:
        raise
    except InputError as error:
        raise RefusedError(
            "not_applicable", {"remedies": " + ".join(remedies), "reason": str(error)}, control, status=409
        ) from error
    assert optimizer is not None
    return replace(network, model=model, optimizer=optimizer)


def _order(network: Network) -> Order:
    """The order read off the model, or measured where it cannot be."""
    try:
        return order_of_model(network.model)
    except InputError:
        first = next(iter(Batches(network.split, network.spec.batch_size, network.spec.seed)))
        return order_of_flow(measure(network.model, first, network.loss))
