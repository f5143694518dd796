"""The weights the branch starts from: their scale, their draw, and those of recurrent layers."""

from functools import partial

import torch
from torch import Tensor, nn

from headwater.intervening.branch import Branch
from headwater.intervening.changes.change import Change, nothing_to_change
from headwater.remedies.edits import DrawWeights, Edit
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
    with torch.no_grad():
        for layer in layers:
            for name, parameter in layer.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in parameter.split(layer.hidden_size):  # as wide as what is fed back: proj_size
                        nn.init.orthogonal_(gate)
                elif name.startswith("bias") and isinstance(layer, (nn.LSTM, nn.LSTMCell)):
                    _open_forget_gate(parameter, 1.0 if name.startswith("bias_ih") else 0.0)


def _open_forget_gate(bias: Tensor, value: float) -> None:
    """The second quarter of an LSTM's bias belongs to the forget gate (torch.nn.LSTM)."""
    units = bias.shape[0] // 4
    bias[units : 2 * units] = value


CHANGES = (
    Change("weights_larger", "weights_too_small", partial(_rescale, False)),
    Change("weights_smaller", "weights_too_large", partial(_rescale, True)),
    Change("weights_redrawn", "init_mismatch", _redraw),
    Change("recurrent_orthogonal", "recurrent_weights", _carry_through_time),
)
