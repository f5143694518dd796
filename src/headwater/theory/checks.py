"""Refusing what no formula of this part can take, in words a caller can act on."""

import math
from numbers import Real

from headwater.records import InputError


def require_number(name: str, value: object) -> None:
    """Refuse what is no single number: a string, an array, a tensor."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InputError(f"{name} is one number, got {value!r}. Of several values take one at a time.")


def require_variance(q: float) -> None:
    """Refuse a q that is not a positive number."""
    require_number("q", q)
    if not 0.0 < q < math.inf:
        raise InputError(
            f"q is the variance of the pre-activations and must be positive and finite, got {q!r}. If it came from "
            "length_map or q_star, the signal has died out or blown up there: choose sigma_w2 and sigma_b2 for which "
            "q_star is between, as edge_of_chaos finds them."
        )


def require_weights(sigma_w2: float, sigma_b2: float = 0.0) -> None:
    """Refuse variances of weights and biases that are not numbers, or negative."""
    require_number("sigma_w2", sigma_w2)
    require_number("sigma_b2", sigma_b2)
    if not 0.0 <= sigma_w2 < math.inf:
        raise InputError(f"sigma_w2 is fan_in · Var[w] and must be at least 0, got {sigma_w2!r}; He has sigma_w2=2.0.")
    if not 0.0 <= sigma_b2 < math.inf:
        raise InputError(f"sigma_b2 is the variance of the biases and must be at least 0, got {sigma_b2!r}.")


def require_depth(depth: int) -> None:
    """Refuse a number of layers below 1."""
    require_number("depth", depth)
    if depth < 1 or depth != int(depth):
        raise InputError(f"depth is a number of layers, at least 1, got {depth!r}.")


def require_keep(keep: float) -> None:
    """Refuse a keep rate that is no share, such as the number of kept units."""
    require_number("keep", keep)
    if not 0.0 < keep <= 1.0:
        raise InputError(
            f"keep is the share of units kept, above 0 and at most 1, got {keep!r}. "
            "nn.Dropout(p) keeps 1 - p: pass keep=1 - p."
        )
