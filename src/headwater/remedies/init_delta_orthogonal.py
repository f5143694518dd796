"""Delta-orthogonal initialisation: convolutions that begin as an orthogonal map of the channels at each pixel.

The middle tap of the kernel is orthogonal, the others start at zero and are learned. So a convolution keeps the length
of every signal exactly, with padding or without, and plain CNNs of thousands of layers can be trained. Possible for
odd kernels, stride 1, one group and at least as many outputs as inputs; other convolutions and linear layers are drawn
as by ``init.orthogonal``, with the same gains. Wrong for a model that has been trained, and of no use in one or two
layers.

Source: Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington 2018, arXiv:1806.05393, algorithm 1.
"""

from typing import Any

from torch import nn

from headwater.remedies import init_he, seeds
from headwater.remedies.edits import Edit, fans
from headwater.remedies.edits_orthogonal import DrawOrthogonal, OrthogonalLayer
from headwater.remedies.init import drawable_layers
from headwater.remedies.order import Order, activation_after
from headwater.remedies.remedy import NotApplicableError, Remedy

RULE = "Delta-orthogonal: std = gain / sqrt(channels in) in the middle tap; elsewhere gain / sqrt(fan_in)"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    names = drawable_layers("init.delta_orthogonal", model, order)
    layers = tuple(layer(model, name, init_he.gain(activation_after(order, name))) for name in names)
    if not any(layer.centred for layer in layers):
        raise NotApplicableError(
            f"init.delta_orthogonal: {_why_none(model, names)} A kernel with a middle tap (odd), stride 1, one group "
            "and no fewer outputs than inputs is needed; init.orthogonal draws any layer."
        )
    return (DrawOrthogonal(layers, seed + seeds.DRAWN_WEIGHTS, RULE),)


def layer(model: nn.Module, name: str, gain: float) -> OrthogonalLayer:
    """How a layer is drawn: in its middle tap if it is a convolution that can be, else as a whole."""
    module: Any = model.get_submodule(name)
    if has_middle_tap(module) and module.out_channels >= module.in_channels:
        return OrthogonalLayer(name, gain / module.in_channels**0.5, centred=True)
    return OrthogonalLayer(name, gain / fans(module)[0] ** 0.5)


def has_middle_tap(module: Any) -> bool:
    """Whether a layer is a convolution whose middle tap sees every pixel and every channel."""
    return (
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        and all(size % 2 == 1 for size in module.kernel_size)
        and all(step == 1 for step in module.stride)
        and module.groups == 1
    )


def _why_none(model: nn.Module, names: list[str]) -> str:
    for name in names:
        module = model.get_submodule(name)
        if hasattr(module, "kernel_size"):
            return f"{name!r} is {module}."
    return f"{type(model).__name__} has no convolution."


REMEDY = Remedy("init.delta_orthogonal", _plan)
