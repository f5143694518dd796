"""What is computed from the data to the loss: scaled inputs, the loss that fits, an unbroken graph, more digits."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from headwater.intervening.branch import Branch
from headwater.intervening.changes.change import Change, nothing_to_change
from headwater.probes.preserve import preserved
from headwater.probes.seen_through import SeenThrough
from headwater.probes.tree import mapped, tensors
from headwater.remedies.scale_of_data import scale_of
from headwater.remedies.trial import loss_in_use

SUMS_TO_ONE = 1e-3
LOOKED_AT = 8  # batches
HALVES = ("float16", "bfloat16")
OURS = ("headwater.", "torch.")


def _standardise(branch: Branch) -> None:
    """Each feature of the model's input (channel of an image) less its mean, over its spread, of a few batches."""
    scaled = _inputs(branch)
    mean, spread = scale_of([scaled], _feature_axis(scaled) - scaled.dim())

    def standardised(value: Tensor) -> Tensor:
        fits = value.is_floating_point() and value.dim() > 0 and value.shape[1:] == scaled.shape[1:]
        return (value - mean.to(value)) / spread.to(value) if fits else value

    branch.seen = lambda model: SeenThrough(model, lambda values: [mapped(standardised, value) for value in values])


def _inputs(branch: Branch) -> Tensor:
    """The first tensor that the model is called with in each of the first few steps, wherever in its arguments."""
    calls = [_given(branch, batch)[:1] for batch in branch.batches[:LOOKED_AT]]
    numbers = [tensor for call in calls for tensor in call if tensor.is_floating_point() and tensor.dim() > 1]
    same = [call for call in numbers if call.shape[1:] == numbers[0].shape[1:]]
    if not same:
        raise nothing_to_change("numbers_in")
    return torch.cat(same)


def _given(branch: Branch, batch: Any) -> list[Tensor]:
    """Every tensor that the model is called with; none where the loss calls parts of it only."""
    given: list[Tensor] = []

    def note(values: list[Any]) -> list[Any]:
        given.extend(tensor.detach() for tensor in tensors(values))
        return values

    with preserved(branch.model, batch):
        loss_in_use(branch.model, batch, lambda model, batch: branch.experiment.loss(SeenThrough(model, note), batch))
    return given


def _feature_axis(tensor: Tensor) -> int:
    """Channels of images come second, features of vectors and sequences last."""
    return 1 if tensor.dim() > 3 else tensor.dim() - 1


def _fit_loss(branch: Branch) -> None:
    """Cross-entropies of probabilities as such, squares of equal shapes, a head that reaches its targets."""
    branch.inside = _FittingLoss
    targets, last = branch.flow.setup.targets, branch.flow.sites[-1].site if branch.flow.sites else None
    if targets is None or last is None or last.activation is None or last.functional or last.module == "":
        return
    branch.named.set_submodule(last.module, nn.Identity())


class _FittingLoss(TorchFunctionMode):
    """Losses that take logits are given the logarithms of the probabilities they get."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if len(args) > 1 and isinstance(args[0], Tensor) and isinstance(args[1], Tensor):
            output, target, *rest = args
            if function is functional.cross_entropy and _are_shares(output):
                args = (_log(output), target, *rest)
            elif (function is functional.cross_entropy and _are_probabilities(output)) or (
                function is functional.binary_cross_entropy_with_logits and _are_probabilities(output)
            ):
                args = (_log(output) - _log(1 - output), target, *rest)
            elif function is functional.nll_loss and _are_probabilities(output):
                args = (_log(output), target, *rest)
            elif output.shape != target.shape and output.numel() == target.numel() and function in _DISTANCES:
                args = (output, target.reshape(output.shape), *rest)
        return function(*args, **kwargs)


_DISTANCES = (functional.mse_loss, functional.l1_loss, functional.smooth_l1_loss, functional.huber_loss)


def _are_probabilities(output: Tensor) -> bool:
    return output.is_floating_point() and bool(((output >= 0) & (output <= 1)).all())


def _are_shares(output: Tensor) -> bool:
    if output.dim() < 2 or not _are_probabilities(output):
        return False
    return bool(((output.sum(1) - 1).abs() < SUMS_TO_ONE).all())


def _log(probability: Tensor) -> Tensor:
    return probability.clamp_min(torch.finfo(probability.dtype).tiny).log()


def _join_graph(branch: Branch) -> None:
    """What the model or the loss detaches stays part of the graph; a block without gradients does not."""
    with preserved(branch.model, branch.batches[0]), _Attached() as attached:
        loss_in_use(branch.model, branch.batches[0], branch.loss)
    if not attached.met:
        raise nothing_to_change("detach")
    branch.inside = _Attached


class _Attached(TorchFunctionMode):
    """``detach()`` and ``.data`` hand on their tensor, unless the library or a probe asks.

    Attributes:
        met: Whether there was any.
    """

    met = False

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function in _DETACHING and not _asked_by(*OURS):
            self.met = True
            return args[0]
        return function(*args, **(kwargs or {}))


_DATA: Any = torch.Tensor.data  # a property
_DETACHING = (torch.Tensor.detach, torch.detach, _DATA.__get__)


def _asked_by(*packages: str) -> bool:
    """Whether the code that called a torch function is of one of these packages; modes only hand the call on."""
    caller: FrameType | None = sys._getframe(2)
    while caller is not None and caller.f_code.co_name == "__torch_function__":
        caller = caller.f_back
    return caller is not None and str(caller.f_globals.get("__name__", "")).startswith(packages)


def _compute_precisely(branch: Branch) -> None:
    """Run in float32 what runs in less, and in float64 what runs in float32."""
    kinds = {str(p.dtype).removeprefix("torch.") for p in branch.model.parameters() if p.is_floating_point()}
    halves = kinds & set(HALVES)
    if not halves and any(row.site.dtype in HALVES for row in branch.flow.sites):
        raise nothing_to_change("own_precision")  # a block of torch.autocast in the user's code
    better = torch.float32 if halves else torch.float64

    def cast(value: Tensor) -> Tensor:
        if value.is_complex():
            return value.to(better.to_complex())
        return value.to(better) if value.is_floating_point() else value

    branch.model._apply(cast)  # not `to`, which takes the imaginary part away
    branch.batches = [mapped(cast, batch) for batch in branch.batches]
    branch.held_out = [mapped(cast, batch) for batch in branch.held_out]
    validation = branch.experiment.validation
    if validation is not None:
        whole = validation
        changed = replace(branch.experiment, validation=lambda: (mapped(cast, batch) for batch in whole()))
        branch.experiment = changed


CHANGES = (
    Change("standardised", "data_scale", _standardise),
    Change("fitting_loss", "loss_mismatch", _fit_loss, cancels="loss_activation_mismatch"),
    Change("attached", "detached_graph", _join_graph),
    Change("precise_overflow", "numeric_overflow", _compute_precisely),
    Change("precise_underflow", "numeric_underflow", _compute_precisely),
)
