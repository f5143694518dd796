"""What sort of operation a module or an autograd node is, and what its weights alone do to a gradient."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from headwater.kernels.ledger import moments
from headwater.records import SiteKind
from headwater.records.site import Scalar
from headwater.theory import Activation, of_function, of_module

# Autograd nodes by what their name starts with; everything else is `other` (views, sums, products, softmax, losses).
_NODE_KINDS: tuple[tuple[str, SiteKind], ...] = (
    ("Addmm", "affine"),
    ("Mm", "affine"),
    ("Bmm", "affine"),
    ("Addbmm", "affine"),
    ("Convolution", "affine"),
    ("MkldnnConvolution", "affine"),
    ("SlowConv", "affine"),
    ("NativeBatchNorm", "normalization"),
    ("CudnnBatchNorm", "normalization"),
    ("NativeLayerNorm", "normalization"),
    ("NativeGroupNorm", "normalization"),
    ("FusedRmsNorm", "normalization"),
    ("MaxPool", "pooling"),
    ("AvgPool", "pooling"),
    ("AdaptiveAvgPool", "pooling"),
    ("AdaptiveMaxPool", "pooling"),
    ("MkldnnAdaptive", "pooling"),
    ("Mean", "pooling"),
    ("Embedding", "embedding"),
    ("ScaledDotProduct", "attention"),
)
_ACTIVATION_NODES = [
    "Sigmoid",
    "Tanh",
    "Relu",
    "LeakyRelu",
    "PreluKernel",
    "Elu",
    "Gelu",
    "Silu",
    "Mish",
    "Softplus",
    "Hardtanh",
    "Hardswish",
    "Hardsigmoid",
    "LogSigmoid",
    "Glu",
]


JOINS = frozenset({"add", "__add__", "__radd__", "__iadd__"})
"""Functions by which a shortcut meets its branch."""


def module_type(module: nn.Module) -> type[nn.Module]:
    """The module's class as the user wrote it: a parametrisation (weight norm) and FSDP2 put another in between."""
    found = parametrize.type_before_parametrizations(module)
    if hasattr(module, "_get_fsdp_state"):
        found = next(base for base in found.__mro__ if not base.__name__.startswith("FSDP"))
    return found


def is_container(module: nn.Module) -> bool:
    """Whether other modules do its work; those that compute a parametrised weight or hold parameters do not count."""
    if isinstance(module, nn.MultiheadAttention):
        return False  # it multiplies by the weight of its child itself
    return any(
        name != "parametrizations" and not isinstance(child, (nn.ParameterList, nn.ParameterDict))
        for name, child in module.named_children()
    )


def operations(model: nn.Module) -> list[nn.Module]:
    """The modules signals run through: all but those that only compute a parametrised weight."""
    modules = list(model.modules())
    computing = {
        id(part)
        for module in modules
        if parametrize.is_parametrized(module)
        for part in module.get_submodule("parametrizations").modules()
    }
    return [module for module in modules if id(module) not in computing]


def module_kind(module: nn.Module) -> SiteKind:
    """What sort of operation a leaf module is."""
    name = module_type(module).__name__
    if activation_of(module):
        return "activation"
    if isinstance(module, (nn.Linear, _ConvNd, nn.Bilinear)) or _weight_shape_is_transposed_linear(module):
        return "affine"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return "recurrent"
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    if "Norm" in name:
        return "normalization"
    if "Pool" in name:
        return "pooling"
    return "other"


def node_kind(name: str) -> SiteKind:
    """What sort of operation an autograd node is, by its class name such as ``AddmmBackward0``."""
    if any(name.startswith(f"{prefix}Backward") for prefix in _ACTIVATION_NODES):
        return "activation"
    return next((kind for prefix, kind in _NODE_KINDS if name.startswith(prefix)), "other")


# Where a class name such as `Tanh` means what it says.
_KNOWN_PACKAGES = ("torch.", "transformers.", "timm.", "diffusers.")


def activation_of(module: nn.Module) -> Activation | None:
    """The activation a module computes, ``None`` if it is no known activation."""
    if not module_type(module).__module__.startswith(_KNOWN_PACKAGES):
        return None  # a user's own `Tanh` may compute something else; the functions it calls are sites themselves
    activation = of_module(module_type(module).__name__)
    return None if activation is None or activation.id == "identity" else activation


def activation_parameters(activation: Activation, module: nn.Module) -> dict[str, Any]:
    """The parameters (slopes, bounds) a module's activation really uses."""
    return {name: getattr(module, name, default) for name, default in activation.parameters.items()}


def call_parameters(activation: Activation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The parameters a functional activation was called with."""
    given = dict(zip(activation.parameters, args[1:], strict=False))
    named = {name: kwargs[name] for name in activation.parameters if name in kwargs}
    return {**activation.parameters, **given, **named}


def scalar_parameters(parameters: dict[str, Any]) -> dict[str, Scalar]:
    """Parameters as plain numbers and words; of slopes per channel the rms, which is what scales a signal's energy."""
    scalars: dict[str, Scalar] = {}
    for name, value in parameters.items():
        if isinstance(value, Tensor):
            scalars[name] = float(value.detach().double().square().mean().sqrt())
        elif isinstance(value, (int, float)):
            scalars[name] = float(value)
        elif isinstance(value, str):
            scalars[name] = value
    return scalars


def functional_activation(function: Any) -> Activation | None:
    """The activation a torch function or tensor method computes, ``None`` if it is none."""
    name = getattr(function, "__name__", "")
    return of_function(name)


def is_convolution(module: nn.Module) -> bool:
    """Whether the module's units are its channels, dimension 1 of the output."""
    return isinstance(module, _ConvNd)


def weight_gain(module: nn.Module, x: Tensor, y: Tensor) -> float | None:
    """Rms factor that weights of this scale apply to a gradient whose direction has nothing to do with them.

    √(‖W‖² / C_out · numel(y) / numel(x)): for a linear layer rms(W)·√fan_out. Transposed convolutions gather instead
    of scatter, and their factor is √(‖W‖² / C_in).

    Args:
        module: An affine module.
        x: Its input.
        y: Its output.

    Returns:
        The factor, dimensionless; ``None`` if the module has no single weight matrix.
    """
    weight = _weight(module)
    if not isinstance(weight, Tensor) or weight.dim() < 2 or not x.numel() or isinstance(module, nn.Bilinear):
        return None
    norm = moments(weight).norm
    if norm is None:
        return None
    if isinstance(module, _ConvTransposeNd):
        return norm / math.sqrt(weight.shape[0])
    outputs = weight.shape[1] if _weight_shape_is_transposed_linear(module) else weight.shape[0]
    return norm * math.sqrt(y.numel() / (outputs * x.numel()))


def _weight(module: nn.Module) -> Any:
    """The weight the module has just used."""
    if not parametrize.is_parametrized(module, "weight"):
        return getattr(module, "weight", None)
    parts = list(module.get_submodule("parametrizations").modules())
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False  # in training, reading a spectrally normed weight takes a power iteration further
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return module.weight
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def _weight_shape_is_transposed_linear(module: nn.Module) -> bool:
    """Whether it is the (in, out) linear layer of GPT-2, which Hugging Face calls Conv1D."""
    return module_type(module).__name__ == "Conv1D" and getattr(module, "nf", None) is not None
