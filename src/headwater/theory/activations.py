"""The table of activations that probes, rules and remedies all read.

Each φ and φ′ is checked against torch on a grid (``tests/theory/test_activations.py``), each gain against
numbers found by adaptive quadrature (``tests/theory/test_gains.py``); docs/theory.md lists the gains.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from headwater.theory.activation import Activation, Array

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_SQRT_2 = math.sqrt(2.0)


def _normal_pdf(x: Array) -> Array:
    density: Array = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return density


def _normal_cdf(x: Array) -> Array:
    probability: Array = 0.5 * special.erfc(-x / _SQRT_2)
    return probability


def _sigmoid_derivative(x: Array) -> Array:
    # σ(x)σ(-x) keeps its value where 1 - σ(x) has rounded to 0: σ′(51) is 7.1e-23, not 0.
    slope: Array = special.expit(x) * special.expit(-x)
    return slope


def _tanh_derivative(x: Array) -> Array:
    # tanh(x) = 2σ(2x) - 1; this keeps its value where 1 - tanh² has rounded to 0.
    return 4.0 * _sigmoid_derivative(2.0 * x)


def _piecewise_derivative(x: Array, moving: NDArray[np.bool_], elsewhere: Any = 0.0) -> Array:
    # NaN stays NaN: a unit that has overflowed must not pass for a dead one.
    return np.where(np.isnan(x), np.nan, np.where(moving, 1.0, elsewhere))


def _gelu(x: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        return x * _normal_cdf(x)
    gate: Array = special.expit(_gelu_inner(x))
    return x * gate


def _gelu_derivative(x: Array, approximate: str = "none") -> Array:
    if approximate == "none":
        return _normal_cdf(x) + x * _normal_pdf(x)
    x = np.clip(x, -100.0, 100.0)  # beyond, φ′ is exactly 0 or 1, and the cube would overflow on the way
    inner_slope = 2.0 * math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * x * x)
    slope: Array = special.expit(_gelu_inner(x)) + x * _sigmoid_derivative(_gelu_inner(x)) * inner_slope
    return slope


def _gelu_inner(x: Array) -> Array:
    # (1 + tanh(u)) / 2 = σ(2u)
    return 2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)


def _silu_derivative(x: Array) -> Array:
    slope: Array = special.expit(x) + x * _sigmoid_derivative(x)
    return slope


def _mish_derivative(x: Array) -> Array:
    inner = np.logaddexp(0.0, x)
    slope: Array = np.tanh(inner) + x * _tanh_derivative(inner) * special.expit(x)
    return slope


def _elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _elu_derivative(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))


def _selu_derivative(x: Array) -> Array:
    return _SELU_SCALE * _elu_derivative(x, _SELU_ALPHA)


def _softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    return np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta)


def _softplus_derivative(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    return np.where(beta * x > threshold, 1.0, special.expit(beta * x))


def _hardtanh_derivative(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    return _piecewise_derivative(x, (x > min_val) & (x < max_val))


def _leaky(x: Array, negative_slope: Any = 0.01) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def _leaky_derivative(x: Array, negative_slope: Any = 0.01) -> Array:
    return _piecewise_derivative(x, x > 0, negative_slope)


_TABLE = (
    Activation(
        "identity",
        phi=lambda x: x,
        derivative=np.ones_like,
        family="identity",
        init="xavier",
        modules=("Identity",),
        functions=(),
    ),
    Activation(
        "sigmoid",
        phi=special.expit,
        derivative=_sigmoid_derivative,
        family="s_shaped",
        init="xavier",
        modules=("Sigmoid",),
        functions=("sigmoid", "sigmoid_", "special_expit"),
    ),
    Activation(
        "tanh",
        phi=np.tanh,
        derivative=_tanh_derivative,
        family="s_shaped",
        init="xavier",
        modules=("Tanh",),
        functions=("tanh", "tanh_"),
    ),
    Activation(
        "softsign",
        phi=lambda x: x / (1.0 + np.abs(x)),
        derivative=lambda x: 1.0 / (1.0 + np.abs(x)) ** 2,
        family="s_shaped",
        init="xavier",
        modules=("Softsign",),
        functions=("softsign",),
        kinks=(0.0,),
    ),
    Activation(
        "hardtanh",
        phi=lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
        derivative=_hardtanh_derivative,
        family="s_shaped",
        init="xavier",
        modules=("Hardtanh",),
        functions=("hardtanh", "hardtanh_"),
        parameters={"min_val": -1.0, "max_val": 1.0},
        kinks=(-1.0, 1.0),
        kinks_at=lambda min_val=-1.0, max_val=1.0: (min_val, max_val),
    ),
    Activation(
        "relu",
        phi=lambda x: np.maximum(x, 0.0),
        derivative=lambda x: _piecewise_derivative(x, x > 0),
        family="rectifier",
        init="he",
        modules=("ReLU",),
        functions=("relu", "relu_"),
        kinks=(0.0,),
    ),
    Activation(
        "leaky_relu",
        phi=_leaky,
        derivative=_leaky_derivative,
        family="rectifier",
        init="he",
        modules=("LeakyReLU",),
        functions=("leaky_relu", "leaky_relu_"),
        parameters={"negative_slope": 0.01},
        kinks=(0.0,),
    ),
    Activation(
        "prelu",
        phi=lambda x, weight=0.25: _leaky(x, weight),
        derivative=lambda x, weight=0.25: _leaky_derivative(x, weight),
        family="rectifier",
        init="he",
        modules=("PReLU",),
        functions=("prelu",),
        parameters={"weight": 0.25},
        kinks=(0.0,),
    ),
    Activation(
        "relu6",
        phi=lambda x: np.clip(x, 0.0, 6.0),
        derivative=lambda x: _piecewise_derivative(x, (x > 0) & (x < 6)),
        family="rectifier",
        init="he",
        modules=("ReLU6",),
        functions=("relu6",),
        kinks=(0.0, 6.0),
    ),
    Activation(
        "elu",
        phi=_elu,
        derivative=_elu_derivative,
        family="smooth_rectifier",
        init="he",
        modules=("ELU",),
        functions=("elu", "elu_"),
        parameters={"alpha": 1.0},
        kinks=(0.0,),
    ),
    Activation(
        "selu",
        phi=lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        derivative=_selu_derivative,
        family="smooth_rectifier",
        init="he",
        modules=("SELU",),
        functions=("selu", "selu_"),
        kinks=(0.0,),
    ),
    Activation(
        "gelu",
        phi=_gelu,
        derivative=_gelu_derivative,
        family="smooth_rectifier",
        init="he",
        modules=("GELU", "GELUActivation"),
        functions=("gelu",),
        parameters={"approximate": "none"},
    ),
    Activation(
        "gelu_tanh",
        phi=lambda x: _gelu(x, "tanh"),
        derivative=lambda x: _gelu_derivative(x, "tanh"),
        family="smooth_rectifier",
        init="he",
        modules=("GELU", "GELUTanh", "NewGELUActivation", "FastGELUActivation", "PytorchGELUTanh"),
        functions=(),
        arguments={"approximate": "tanh"},
    ),
    Activation(
        "silu",
        phi=lambda x: x * special.expit(x),
        derivative=_silu_derivative,
        family="smooth_rectifier",
        init="he",
        modules=("SiLU", "SiLUActivation"),
        functions=("silu",),
    ),
    Activation(
        "mish",
        phi=lambda x: x * np.tanh(np.logaddexp(0.0, x)),
        derivative=_mish_derivative,
        family="smooth_rectifier",
        init="he",
        modules=("Mish", "MishActivation"),
        functions=("mish",),
    ),
    Activation(
        "softplus",
        phi=_softplus,
        derivative=_softplus_derivative,
        family="smooth_rectifier",
        init="he",
        modules=("Softplus",),
        functions=("softplus",),
        parameters={"beta": 1.0, "threshold": 20.0},
        kinks=(20.0,),
        kinks_at=lambda beta=1.0, threshold=20.0: (threshold / beta,) if beta else (),
    ),
)

ACTIVATIONS: dict[str, Activation] = {activation.id: activation for activation in _TABLE}
# Where two entries share a class name (nn.GELU), the first in the table stands for it and reads its arguments.
_BY_MODULE = {name: activation for activation in reversed(_TABLE) for name in activation.modules}
_BY_FUNCTION = {name: activation for activation in reversed(_TABLE) for name in activation.functions}


def of_module(class_name: str) -> Activation | None:
    """The activation a module class computes, ``None`` if it is no known activation."""
    return _BY_MODULE.get(class_name)


def of_function(function_name: str) -> Activation | None:
    """The activation a torch function or tensor method computes, ``None`` if it is no known activation."""
    return _BY_FUNCTION.get(function_name)
