"""Critical initialisation: weights and biases at the edge of chaos of the activation that follows each layer.

There a small difference between two inputs neither shrinks nor grows from layer to layer, and so does no gradient: χ₁
= 1. Weights are N(0, σ_w²/fan_in), biases N(0, σ_b²), both solved for the activation (``headwater.theory``), at the
variance q* = 1/2 of pre-activations where a network stays by itself; the first layer brings standardised inputs there
at once. Of rectifiers this is He's rule: every q stays, and biases are zero. The classic point of tanh, σ_w² = 1.76
and σ_b² = 0.05, is close to the one taken here.

GELU, SiLU and Mish have such a point only from q* = 3.6, 14 and 1.7 on; they are drawn half as much above it. Refused
for sigmoid, whose edge begins at weights ten times LeCun's, and softplus, which has none: ``activation.tailored`` is
for those. Wrong with normalisation, which sets q itself, and for a model that has been trained. Orthogonal weights
(``init.orthogonal``) do the same for tanh, with fewer fluctuations. Costs nothing.

Source: Schoenholz, Gilmer, Ganguli, Sohl-Dickstein 2017, arXiv:1611.01232; Hayou, Doucet, Rousseau 2019,
arXiv:1902.06853, for the edge by q and which activations have one.
"""

import math
from typing import Any

from torch import nn

from headwater.remedies import seeds
from headwater.remedies.edits import DrawWeights, Edit, fans
from headwater.remedies.init import attention_weights, drawable_layers
from headwater.remedies.order import Order, Step, activation_after, affine_layers
from headwater.remedies.remedy import NotApplicableError, Remedy
from headwater.theory import edge_of_chaos, nonlinearity, stable_q

ID = "init.critical"
RULE = "Edge of chaos: N(0, sigma_w² / fan_in), biases N(0, sigma_b²), of the activation that follows"
Q_STAR = 0.5  # the classic point of tanh (1.76, 0.05) has q* = 0.57
ABOVE = 1.5  # how far above the smallest q* with a stable edge, where q returns slowly
MOST_Q = 25.0  # signals five times as large as the inputs; docs/theory.md, table of edges: only sigmoid begins above it


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    names = drawable_layers(ID, model, order)
    first = affine_layers(order)[0]
    layers, biases = [], []
    for name in names:
        following = activation_after(order, name)
        sigma_w2, sigma_b2, q = critical_point(following)
        if name == first and q:
            sigma_w2 = q - sigma_b2
        layers.append((name, math.sqrt(sigma_w2 / fans(model.get_submodule(name))[0])))
        biases.append(math.sqrt(sigma_b2))
    drawn = DrawWeights(tuple(layers), seed + seeds.DRAWN_WEIGHTS, RULE, tuple(biases) if any(biases) else ())
    return (drawn, *attention_weights(model, order, seed))


def critical_point(following: Step) -> tuple[float, float, float]:
    """σ_w², σ_b² and q* before an activation; q* is 0 where every q stays, and biases are zero there.

    Raises:
        NotApplicableError: If the activation has no edge of chaos where a network would stay.
    """
    activation = str(following.activation)
    if activation == "identity":
        return 1.0, 0.0, 0.0
    parameters: dict[str, Any] = dict(following.parameters)
    phi = nonlinearity(activation, **parameters)
    stable = stable_q(phi)
    if not stable:
        edge = edge_of_chaos(phi, q_star=1.0)
        if edge.stability == "marginal":
            return edge.sigma_w2, 0.0, 0.0
        raise NotApplicableError(
            f"{ID}: {activation} at {following.module or 'forward'!r} has no edge of chaos where a network stays: "
            "whatever the weights, its signals drift. activation.tailored is for such activations; "
            '["activation.tanh", "init.critical"] puts one in that has an edge.'
        )
    low, high = min(stable)
    q = Q_STAR if low < Q_STAR < high else low * ABOVE
    if q > MOST_Q:
        raise NotApplicableError(
            f"{ID}: the edge of chaos of {activation} at {following.module or 'forward'!r} begins at pre-activations "
            f"of variance {low:.3g}, which hardly any network keeps. activation.tailored is for such activations; "
            '["activation.tanh", "init.critical"] puts one in that has a usable edge.'
        )
    edge = edge_of_chaos(phi, q_star=q)
    return edge.sigma_w2, edge.sigma_b2, edge.q_star


REMEDY = Remedy(ID, _plan)
