"""The weights the branch starts from: their scale, their draw, and those of recurrent layers."""

from functools import partial

import torch
from torch import Tensor, nn

from headwater.intervening.branch import Branch
from headwater.intervening.changes.change import Change, nothing_to_change
from headwater.remedies import seeds
from headwater.remedies.edits import DrawWeights, Edit
from headwater.remedies.forget_gates import draw_orthogonal_gates, open_forget_gates
from headwater.remedies.order import Order, hidden_activations
from headwater.remedies.surgery import plan
from headwater.theory import ACTIVATIONS

LARGEST_MATCH = 1.1  # a weight within a tenth of the scale it should have is left as it is


def _rescale(smaller: bool, branch: Branch) -> None:
    """Each layer's weights times a number, so that their deviation suits the activation that follows.

    What points where stays as it was drawn; only weights that are too large are made smaller, or the other way round.
    """
    edits = plan(branch.named, (_initialisation(branch.order),), branch.order, branch.seed)
    changed = 0
    with torch.no_grad():
        for name, std in _drawn(edits):
            weight = branch.named.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            now = float(weight.std())
            factor = std / now if now > 0.0 else 1.0
            if (factor < 1.0) == smaller and max(factor, 1.0 / factor) > LARGEST_MATCH:
                weight.mul_(factor)
                changed += 1
    if not changed:
        raise nothing_to_change("large_weights" if smaller else "small_weights")


def _redraw(branch: Branch) -> None:
    """New weights for every affine layer, at the scale its activation needs, and biases of zero."""
    for edit in plan(branch.named, (_initialisation(branch.order),), branch.order, branch.seed):
        edit.apply(branch.named)


def _initialisation(order: Order) -> str:
    hidden = [step.activation for step in hidden_activations(order) if step.activation in ACTIVATIONS]
    bends = [ACTIVATIONS[name].family == "s_shaped" for name in hidden if name is not None]
    return "init.xavier" if bends and all(bends) else "init.he"


def _drawn(edits: tuple[Edit, ...]) -> list[tuple[str, float]]:
    return [layer for edit in edits if isinstance(edit, DrawWeights) for layer in edit.layers]


def _carry_through_time(branch: Branch) -> None:
    """Recurrent weights become orthogonal, gate by gate, and an LSTM's forget gates start open."""
    layers = [m for m in branch.model.modules() if isinstance(m, (nn.RNNBase, nn.RNNCellBase))]
    if not layers:
        raise nothing_to_change("recurrent")
    generator = torch.Generator().manual_seed(branch.seed + seeds.DRAWN_WEIGHTS)
    for layer in layers:
        draw_orthogonal_gates(layer, generator)
        if isinstance(layer, (nn.LSTM, nn.LSTMCell)):
            open_forget_gates(layer, 1.0)


CHANGES = (
    Change("weights_larger", "weights_too_small", partial(_rescale, False)),
    Change("weights_smaller", "weights_too_large", partial(_rescale, True)),
    Change("weights_redrawn", "init_mismatch", _redraw),
    Change("recurrent_orthogonal", "recurrent_weights", _carry_through_time),
)
