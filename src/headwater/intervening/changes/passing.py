"""What signals pass through: activations, shortcuts, dropout, normalisation."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from headwater.intervening.branch import Branch
from headwater.intervening.changes.change import Change, nothing_to_change
from headwater.probes.tree import mapped, tensors
from headwater.remedies.data import FIRST, Data
from headwater.remedies.order import Step, affine_layers, hidden_activations
from headwater.remedies.places import refuse_functions
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import plan, repair_optimizer
from headwater.theory import ACTIVATIONS

MERGED = 8  # batches put together


def _remedy(remedy_id: str, branch: Branch) -> None:
    """Make the changes of a remedy, to the model and to its optimizer."""
    data = Data(tuple(branch.batches[:FIRST]), branch.experiment.loss)
    edits = plan(branch.named, (remedy_id,), branch.order, branch.seed, data)
    for edit in edits:
        edit.apply(branch.named)
        branch.order = edit.order_after(branch.order)
    model = branch.named
    branch.with_optimizer(lambda optimizer: repair_optimizer(model, optimizer, edits))


def _straighten(branch: Branch) -> None:
    """Hidden activations that are flat nearly everywhere give way to ReLU, whose slope is 1 where it is not 0."""
    flat = [step for step in hidden_activations(branch.order) if _is_flat(step)]
    if not flat:
        raise nothing_to_change("flat_activation")
    _remedy("activation.relu", branch)


def _is_flat(step: Step) -> bool:
    return step.activation in ACTIVATIONS and (
        ACTIVATIONS[step.activation].family == "s_shaped" or step.activation == "softplus"
    )


def _leak(branch: Branch) -> None:
    """Rectifiers let a hundredth through where they shut."""
    if not any(step.activation in ("relu", "relu6") for step in hidden_activations(branch.order)):
        raise nothing_to_change("rectifier")
    _remedy("activation.leaky_relu", branch)


def _bend(branch: Branch) -> None:
    """A ReLU behind every affine layer but the last."""
    layers = affine_layers(branch.order)[:-1]
    if not layers:
        raise nothing_to_change("hidden_layer")
    for name in layers:
        branch.named.get_submodule(name).register_forward_hook(lambda module, args, output: torch.relu(output))


def _centre(branch: Branch) -> None:
    """Each hidden activation's output less its mean over the batch, which counts as a constant."""
    steps = [step for step in hidden_activations(branch.order) if not step.functional]
    refuse_functions("centred", [step for step in hidden_activations(branch.order) if step.functional])
    if not steps:
        raise nothing_to_change("flat_activation")
    for name in dict.fromkeys(step.module for step in steps):
        module = branch.named.get_submodule(name)
        module.register_forward_hook(lambda module, args, output: output - output.detach().mean())


def _bridge(branch: Branch) -> None:
    """A shortcut round each affine layer with its activation that keeps the shape.

    Of L of them each gives x + f(x)/L, so that all together they add what one layer gives: a network that is near the
    identity at first, as with gates that start at zero (Bachlechner et al. 2020, arXiv:2003.04887).
    """
    pairs = _bridgeable(branch)
    if len(pairs) < 2:
        raise nothing_to_change("equal_layers")
    share = 1.0 / len(pairs)
    for layer, activation in pairs:
        _Shortcut(share).attach(branch.named.get_submodule(layer), branch.named.get_submodule(activation))


class _Shortcut:
    """Holds a layer's input until the activation after it has answered."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._input: Tensor | None = None

    def attach(self, layer: nn.Module, activation: nn.Module) -> None:
        layer.register_forward_pre_hook(self._hold)
        activation.register_forward_hook(self._join)

    def _hold(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._input = args[0].clone()  # the activation may work in place

    def _join(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        held, self._input = self._input, None
        if held is None or held.shape != output.shape:
            return output
        return held + self._share * output


def _bridgeable(branch: Branch) -> list[tuple[str, str]]:
    """Affine modules with the activation module after them, each once, whose shapes before and after agree."""
    steps = branch.order
    shapes = [before.shape for before in steps]
    runs = [step.module for step in steps]
    found = []
    for index, (step, after) in enumerate(pairwise(steps)):
        if step.kind != "affine" or after.activation is None or step.functional or after.functional or index == 0:
            continue
        alone = runs.count(step.module) == 1 and runs.count(after.module) == 1
        if alone and shapes[index - 1] == step.shape == after.shape:
            found.append((step.module, after.module))
    return found


def _keep_all(branch: Branch) -> None:
    """No dropout, in modules or in functions."""
    found = False
    for module in branch.model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0.0:
            module.p, found = 0.0, True
        elif isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) and module.dropout > 0.0:
            module.dropout, found = 0.0, True
    if not found and not any("dropout" in row.site.op.lower() for row in branch.flow.sites):
        raise nothing_to_change("dropout")
    branch.inside = _WithoutDropout


class _WithoutDropout(TorchFunctionMode):
    """Functional dropout hands its input on."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name.rstrip("_").endswith(("dropout", "dropout1d", "dropout2d", "dropout3d")) and args:
            return args[0]
        kwargs = dict(kwargs or {})
        if name == "scaled_dot_product_attention":
            kwargs["dropout_p"] = 0.0
        return function(*args, **kwargs)


def _merge_batches(branch: Branch) -> None:
    """Each step on several batches at once, and statistics gathered as they are by default."""
    norms = [m for m in branch.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        raise nothing_to_change("batch_norm")
    for norm in norms:
        norm.train()
        norm.momentum = 0.1 if norm.momentum == 0.0 else norm.momentum
    count = len(branch.batches)
    branch.batches = [
        _merged([branch.batches[(start + more) % count] for more in range(MERGED)]) for start in range(count)
    ]


def _merged(batches: list[Any]) -> Any:
    if next(tensors(batches[0]), None) is None:
        raise NotApplicableError(f"no tensor was found in a batch of type {type(batches[0]).__name__}")

    def joined(*parts: Tensor) -> Tensor:
        return torch.cat(parts) if parts[0].dim() > 0 else parts[0]

    try:
        return mapped(joined, *batches)
    except (RuntimeError, ValueError) as error:
        raise NotApplicableError(f"batches of different shapes cannot be put together: {error}") from error


CHANGES = (
    Change("straight_activation", "activation_derivative", _straighten),
    Change("unsaturated_activation", "saturated_activation", _straighten),
    Change("leaky", "dead_relu", _leak),
    Change("nonlinear", "no_nonlinearity", _bend),
    Change("centred", "non_zero_centered", _centre),
    Change("shortcut", "depth_without_shortcut", _bridge),
    Change("no_dropout", "dropout_high", _keep_all, cancels="dropout_too_high"),
    Change("merged_batches", "normalization_misuse", _merge_batches),
    Change("dropout", "capacity_or_label_noise", partial(_remedy, "regularisation.dropout")),
    Change("decay", "capacity_or_label_noise", partial(_remedy, "regularisation.weight_decay")),
)
