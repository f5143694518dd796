"""Mirrored orthogonal initialisation: a plain ReLU network that begins as one exact rotation, however deep.

Each hidden layer begins with units in pairs of opposite sign, u and -u, and the next one takes their difference: with
a slope of a on the negative side φ(u) - φ(-u) = (1 + a)·u, so that nothing is cut off. With orthogonal A the first
layer is [A; -A], a hidden one [[A, -A], [-A, A]]/(1 + a), the last [A, -A]/(1 + a). All singular values of such a
chain of square blocks are 1, inputs stay as far apart as they were, and a thousand layers can be trained.

Applies to plain chains of linear layers or convolutions with ReLU or leaky ReLU between them, and hidden layers of
even width. Wrong with shortcuts, normalisation or max pooling in between, which do not need it or undo it, and for a
model that has been trained. The network begins linear and half as wide as it is; what it can learn beyond a linear
model comes from leaving that start, so a shallow network, which needs none of this, often ends better. Wants a
learning rate that falls with depth (Adam: 0.01/depth). Costs one QR decomposition per layer, once.

Source: Balduzzi et al. 2017, arXiv:1702.08591, section 4, "looks linear" initialisation; Shang et al. 2016,
arXiv:1603.05201, for the pairs. The factor 1/(1 + a) follows from the identity above.
"""

from itertools import pairwise
from typing import Any

from torch import nn

from headwater.remedies import seeds
from headwater.remedies.edits import Edit
from headwater.remedies.edits_orthogonal import DrawOrthogonal, OrthogonalLayer
from headwater.remedies.init import embedded, is_drawable
from headwater.remedies.init_delta_orthogonal import has_middle_tap
from headwater.remedies.order import Order, Step, between_affine
from headwater.remedies.places import refuse_shortcuts
from headwater.remedies.remedy import NotApplicableError, Remedy
from headwater.theory import ACTIVATIONS

RULE = "Mirrored: [A; -A], then [[A, -A], [-A, A]] / (1 + slope), at last [A, -A] / (1 + slope), A orthogonal"
SLOPES = {"relu": None, "leaky_relu": "negative_slope"}
HARMLESS = (nn.Flatten, nn.Identity, nn.modules.dropout._DropoutNd)


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    refuse_shortcuts("init.mirrored", order, "each of them already carries signals past the activations")
    names, gaps = between_affine(order)
    slopes = [_slope(model, gap) for gap in gaps]
    if not any(slope is not None for slope in slopes):
        raise NotApplicableError(
            f"init.mirrored: {type(model).__name__} has no ReLU or leaky ReLU between two layers. Put them in first: "
            '["activation.relu", "init.mirrored"].'
        )
    around = list(pairwise([None, *slopes, None]))
    shared = embedded(model)
    layers: dict[str, OrthogonalLayer] = {}
    for index, name in enumerate(names):
        before, after = around[index]
        _check(model, name, names[index - 1] if index else None, after is not None, shared)
        drawn = _layer(model.get_submodule(name), name, before, after)
        if layers.setdefault(name, drawn) != drawn:
            raise NotApplicableError(
                f"init.mirrored: {name!r} runs several times and would have to be drawn differently each time. Give "
                "each place a layer of its own."
            )
    return (DrawOrthogonal(tuple(layers.values()), seed + seeds.DRAWN_WEIGHTS, RULE),)


def _layer(module: Any, name: str, before: float | None, after: float | None) -> OrthogonalLayer:
    """A layer whose inputs are pairs if a rectifier stands before it, of this slope, and its outputs if one follows."""
    rows, columns = 1 if after is None else 2, 1 if before is None else 2
    outputs, inputs = module.weight.shape[0] // rows, module.weight.shape[1] // columns
    centred = has_middle_tap(module) and outputs >= inputs
    fan_in = inputs if centred else inputs * module.weight[0, 0].numel()
    return OrthogonalLayer(name, 1.0 / fan_in**0.5 / (1.0 + (before or 0.0)), centred, rows, columns)


def _slope(model: nn.Module, gap: tuple[Step, ...]) -> float | None:
    """Slope on the negative side of the one activation between two layers; ``None`` if there is no activation."""
    slope = None
    for step in gap:
        if step.activation in SLOPES and slope is None:
            parameter = SLOPES[step.activation]
            given = {**ACTIVATIONS[step.activation].parameters, **dict(step.parameters)}
            slope = float(given[parameter]) if parameter else 0.0
            if slope == -1.0:
                raise NotApplicableError(
                    f"init.mirrored: {step.module!r} with slope -1 is |x|, the same for both of a pair. Put ReLU in "
                    'first: ["activation.relu", "init.mirrored"].'
                )
        elif step.activation is not None:
            raise NotApplicableError(
                f"init.mirrored: {step.activation} at {step.module or 'forward'!r} is no ReLU or leaky ReLU standing "
                'alone between two layers. Put ReLU in first: ["activation.relu", "init.mirrored"].'
            )
        elif not _is_harmless(model, step):
            what = type(model.get_submodule(step.module)).__name__
            raise NotApplicableError(
                f"init.mirrored: {what} at {step.module!r} stands between two layers and does not keep pairs of "
                "opposite sign as they are. init.he is for networks with normalisation or max pooling."
            )
    return slope


def _is_harmless(model: nn.Module, step: Step) -> bool:
    """Whether the operation treats both halves of a pair alike, and linearly."""
    module = model.get_submodule(step.module)
    return isinstance(module, HARMLESS) or "AvgPool" in type(module).__name__


def _check(model: nn.Module, name: str, previous: str | None, paired: bool, shared: frozenset[int]) -> None:
    layer: Any = model.get_submodule(name)
    if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)) or getattr(layer, "groups", 1) > 1:
        raise NotApplicableError(
            f"init.mirrored: {name!r} is {layer}; only nn.Linear and convolutions of one group go."
        )
    if not is_drawable(model, name, shared):
        raise NotApplicableError(
            f"init.mirrored: the weight of {name!r} cannot be drawn anew (frozen, parametrised or tied), and pairs "
            "have to run through every layer. init.orthogonal leaves such a layer alone."
        )
    outputs, inputs = layer.weight.shape[:2]
    if paired and outputs % 2:
        raise NotApplicableError(
            f"init.mirrored: {name!r} has {outputs} outputs, and pairs need an even number. Make it {outputs + 1}, or "
            "take activation.tailored_leaky, which goes with any width."
        )
    if previous is not None:
        given = model.get_parameter(f"{previous}.weight").shape[0]
        flattened = isinstance(layer, nn.Linear) and not isinstance(model.get_submodule(previous), nn.Linear)
        if inputs % given or (inputs != given and not flattened):
            raise NotApplicableError(
                f"init.mirrored: {name!r} takes {inputs} inputs and {previous!r}, which runs before it, gives {given}: "
                "this is no plain chain. init.orthogonal asks for none."
            )


REMEDY = Remedy("init.mirrored", _plan)
