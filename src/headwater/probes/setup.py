"""What surrounds a network in one step: its input, the loss's operations and targets, the optimizer's settings."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from headwater.kernels import generic
from headwater.kernels.ledger import moments
from headwater.probes.tree import main_tensor, tensors
from headwater.probes.unregistered import unregistered
from headwater.records import Setup
from headwater.records.site import Scalar

_BACKWARD = re.compile(r"(Backward)?\d*$")
_SUM = 2  # of the reductions, as autograd numbers them
_OF_LOGITS = ("NllLoss", "BinaryCrossEntropyWithLogits", "CtcLoss")  # how losses of logits or logarithms begin
_PENALISING = ("Pow", "Abs", "Mul", "Norm", "LinalgVectorNorm", "View", "Reshape")  # what an L1 or L2 term begins with
_CHANNELS_RANK = 3  # of (batch, channels, positions…), from which on a feature is a channel


class SetupProbe:
    """Collects a :class:`Setup` from those who see its parts."""

    def __init__(self) -> None:
        self._described: dict[str, Any] = {}

    def note_input(self, arguments: Any) -> None:
        """What the model is called with first; it is looked at now, for the model may overwrite it."""
        x = main_tensor(arguments)
        if "input" in self._described or x is None or not x.is_floating_point() or hasattr(x, "to_local"):
            return
        axis = 1 if x.dim() > _CHANNELS_RANK else -1
        decades, offset = generic.feature_scales(x, axis) if x.dim() > 1 else (None, None)
        self._described |= {"input": moments(x), "feature_decades": decades, "feature_offset": offset}

    def note_loss(self, roots: Iterable[Any], sites: Mapping[Any, str]) -> None:
        """The graph under the loss.

        Args:
            roots: Node of the loss.
            sites: Nodes of the sites' outputs, to their modules' names; what stands before the first of them is the
                loss's own.
        """
        roots, site_nodes = list(roots), set(sites)
        everything = _under(roots, set())
        signal = _signal(everything, site_nodes)
        self._described["operations"] = dict(Counter(map(operation_name, everything)))
        through = [node for node in everything if node in signal]
        self._described["signal_operations"] = dict(Counter(map(operation_name, through)))
        own = _under(roots, site_nodes)
        self._described["loss_operations"] = tuple(map(operation_name, own))
        self._described["loss_reads"] = tuple(map(operation_name, _read(own, site_nodes)))
        self._described["loss_sites"] = _sites_under(own, sites)
        self._described["loss_elements"] = next((n for n in map(_elements, own) if n is not None), None)
        self._described["loss_scale"] = _scale(own)
        self._described["penalised"] = _penalised(own, site_nodes)

    def note_targets(self, batch: Any, output_shape: tuple[int, ...]) -> None:
        """What the batch holds in the shape of the model's output, and in that without its last dimension."""
        shapes = {"targets": _without_ones(output_shape), "targets_of_several": _without_ones(output_shape[:-1])}
        numbers = [t.detach() for t in tensors(batch) if t.is_floating_point() and t.numel()]
        for name, shape in shapes.items():
            found = [t for t in numbers if _without_ones(t.shape) == shape]
            if found and not any(t.is_meta for t in found):
                self._described[name] = float(found[-1].min()), float(found[-1].max())

    def note_optimizer(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Settings of its first group."""
        if optimizer is not None and optimizer.param_groups:
            self._described["optimizer"] = settings(optimizer)

    def note_unregistered(
        self, model: nn.Module, leaves: Iterable[Tensor] | None, optimizer: torch.optim.Optimizer | None
    ) -> None:
        """Weights under the loss that a module uses and nobody trains."""
        self._described["unregistered"] = unregistered(model, leaves, optimizer)

    def setup(self) -> Setup:
        """All that was seen."""
        return Setup(**self._described)


def settings(optimizer: torch.optim.Optimizer) -> dict[str, Scalar]:
    """The numbers among the settings of an optimizer's first group; pairs are taken apart, as ``betas_0``."""
    found: dict[str, Scalar] = {}
    for name, value in optimizer.param_groups[0].items():
        if isinstance(value, (bool, int, float)) or (isinstance(value, Tensor) and value.numel() == 1):
            found[name] = float(value)
        elif isinstance(value, tuple) and all(isinstance(item, (int, float)) for item in value):
            found |= {f"{name}_{index}": float(item) for index, item in enumerate(value)}
    if "lr" in found:
        found["lr"] = float(found["lr"]) * _rate_factor(optimizer)
    return found


def _rate_factor(optimizer: torch.optim.Optimizer) -> float:
    """By what the rate is multiplied while the optimizer steps, if ``optimisation.learning_rate`` was applied to it."""
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", {}).values()
    waiting = [hook for hook in hooks if hasattr(hook, "put_back") and getattr(hook, "rates", 0) is None]
    return math.prod(float(hook.factor()) for hook in waiting)


def module_settings(module: nn.Module) -> dict[str, Scalar]:
    """What decides on how a module treats its input: dropout's share, the mode of a normalisation."""
    if isinstance(module, _DropoutNd):
        return {"p": float(module.p), "training": float(module.training)}
    if isinstance(module, _BatchNorm):
        seen = module.num_batches_tracked
        return {
            "training": float(module.training),
            "batches_seen": float(seen) if isinstance(seen, Tensor) else -1.0,
            "momentum": -1.0 if module.momentum is None or not module.track_running_stats else float(module.momentum),
        }
    return {}


def operation_name(node: Any) -> str:
    """An autograd node's name as one would call the operation: ``AddmmBackward0`` is ``Addmm``.

    A product or quotient of which only one factor has a gradient is a ``Scale``: dropout's mask, a constant.
    """
    name = _BACKWARD.sub("", str(node.name()).rsplit("::", 1)[-1])
    if name in ("Mul", "Div") and sum(source is not None for source, _ in node.next_functions) == 1:
        return "Scale"
    return name


def _under(roots: Iterable[Any], stop: set[Any]) -> list[Any]:
    """The nodes under some, nearest first, without those at which the walk stops and without leaves."""
    found: list[Any] = []
    waiting = [root for root in roots if root is not None]
    seen = set(waiting)
    while waiting:
        following = []
        for node in waiting:
            if node in stop or hasattr(node, "variable"):
                continue
            found.append(node)
            new = [source for source, _ in node.next_functions if source is not None and source not in seen]
            seen.update(new)
            following += new
        waiting = following
    return found


def _sites_under(own: list[Any], sites: Mapping[Any, str]) -> tuple[str, ...]:
    """Names of the sites whose outputs the loss's own operations take in, nearest the loss first."""
    sources = (source for node in own for source, _ in node.next_functions)
    return tuple(dict.fromkeys(sites[source] for source in sources if source in sites))


def _elements(node: Any) -> int | None:
    """How many elements a mean or a sum takes in, or a loss that compares two tensors."""
    sizes = getattr(node, "_saved_self_sym_sizes", None)
    if sizes is None and operation_name(node) in ("MseLoss", "SmoothL1Loss", "HuberLoss"):
        sizes = node._saved_self.shape
    return math.prod(int(size) for size in sizes) if sizes is not None else None


def _scale(own: list[Any]) -> float | None:
    """Product of the constants that a loss is multiplied with at last, ``None`` for one that is no single number."""
    scale = 1.0
    for node in own:
        if operation_name(node) != "Scale":
            targets = getattr(node, "_saved_total_weight", None) if _sums_up(node) else None
            return scale if targets is None else scale * float(targets)
        factor = _factor(node)
        if not factor:
            return None
        scale = scale * factor if "Mul" in node.name() else scale / factor
    return scale


def _factor(node: Any) -> float | None:
    """The constant of a product or quotient, ``None`` for one that is no single finite number."""
    constants = (getattr(node, name, None) for name in ("_saved_other", "_saved_self"))
    constant = next((constant for constant in constants if constant is not None), None)
    if constant is None or constant.numel() != 1 or constant.is_complex():
        return None
    return float(constant) if math.isfinite(float(constant)) else None


def _sums_up(node: Any) -> bool:
    return getattr(node, "_saved_reduction", None) == _SUM


def _penalised(own: list[Any], site_nodes: set[Any]) -> int:
    """Weight matrices in terms of the loss that nothing of the network's output enters."""
    signal = _signal(own, site_nodes)
    terms = [node for node in own if node not in signal and operation_name(node) in _PENALISING]
    leaves = {source for node in terms for source, _ in node.next_functions if hasattr(source, "variable")}
    return sum(leaf.variable.dim() > 1 for leaf in leaves)


def _signal(nodes: list[Any], site_nodes: set[Any]) -> set[Any]:
    """The sites' nodes, and those of some that something a site gives goes through."""
    consumers: dict[Any, list[Any]] = defaultdict(list)
    for node in nodes:
        for source, _ in node.next_functions:
            consumers[source].append(node)
    signal, waiting = set(site_nodes), list(site_nodes)
    while waiting:
        new = set(consumers[waiting.pop()]) - signal
        signal |= new
        waiting += new
    return signal


def _read(own: list[Any], site_nodes: set[Any]) -> list[Any]:
    """What stands between the sites and the losses that take logits: what other terms make of an output is theirs."""
    losses = [node for node in own if operation_name(node).startswith(_OF_LOGITS)]
    return _under([source for node in losses for source, _ in node.next_functions], site_nodes)


def _without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
