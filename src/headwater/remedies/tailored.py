"""Tailored smooth activations: sigmoid, tanh, softplus, GELU and their like, made fit for any depth.

Each hidden activation φ becomes φ̂(x) = γ·(φ(α·x + β) + δ), with α, β, γ, δ solved for the number of activations in a
row: for z ~ N(0, 1), E[φ̂] = 0 and E[φ̂²] = 1 keep signals centred and of one size, E[φ̂·φ̂′·z] = 1 makes that size
stable, and E[φ̂′²] = 1.5^(1/depth) lets the whole network stretch small differences by √1.5 and no more. Weights are
orthogonal with gain 1, in the middle tap of a convolution where it can be, and biases zero. The only way known to train
a thousand plain sigmoid layers without normalisation or shortcuts.

Applies to plain chains whose hidden activations are modules; inputs should be standardised. Wrong with shortcuts or
normalisation, for rectifiers with a kink (``activation.tailored_leaky`` and ``init.mirrored`` are for those), and for a
model that has been trained. The network begins nearly linear. Wants a learning rate that falls with depth (Adam:
0.01/depth). Costs four elementwise operations per activation.

Source: Martens et al. 2021, arXiv:2110.01765, "deep kernel shaping".
"""

from torch import nn

from headwater.records import InputError
from headwater.remedies import seeds
from headwater.remedies.edits import Edit
from headwater.remedies.edits_orthogonal import DrawOrthogonal
from headwater.remedies.edits_tailor import TailorActivations, TailoredPlace
from headwater.remedies.init import drawable_layers
from headwater.remedies.init_delta_orthogonal import layer
from headwater.remedies.order import Order, Step
from headwater.remedies.places import aliases, hidden_modules, refuse_shortcuts
from headwater.remedies.remedy import NotApplicableError, Remedy
from headwater.theory import ACTIVATIONS, tailored_activation

ID = "activation.tailored"
RULE = "Orthogonal: std = 1 / sqrt(inputs)"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    refuse_shortcuts(ID, order, "each of them keeps signals alive already")
    steps = hidden_modules(ID, model, order)
    names = drawable_layers(ID, model, order)
    numbers = {aliases(model, step.module): _numbers(step, len(steps)) for step in steps}
    tailored = TailorActivations(tuple(TailoredPlace(names, four) for names, four in numbers.items()))
    layers = tuple(layer(model, name, 1.0) for name in names)
    return tailored, DrawOrthogonal(layers, seed + seeds.DRAWN_WEIGHTS, RULE)


def _numbers(step: Step, depth: int) -> tuple[float, float, float, float]:
    """α, β, γ, δ of an activation.

    Raises:
        NotApplicableError: If it has a kink, or parameters of its own, or cannot be tailored to this depth.
    """
    activation = ACTIVATIONS[str(step.activation)]
    if activation.family == "rectifier" or activation.id == "hardtanh":
        raise NotApplicableError(
            f"{ID}: {activation.id} at {step.module!r} is piecewise linear. activation.tailored_leaky and "
            "init.mirrored are for rectifiers; for hardtanh, init.orthogonal is."
        )
    given = {**activation.parameters, **dict(step.parameters)}
    if given != activation.parameters:
        raise NotApplicableError(
            f"{ID}: {activation.id} at {step.module!r} has parameters of its own ({given}); only "
            f"{activation.constructor} is tailored."
        )
    try:
        solved = tailored_activation(activation.id, depth)
    except InputError as error:
        raise NotApplicableError(f"{ID}: {error} init.orthogonal goes with any activation.") from error
    return solved.alpha, solved.beta, solved.gamma, solved.delta


REMEDY = Remedy(ID, _plan)
