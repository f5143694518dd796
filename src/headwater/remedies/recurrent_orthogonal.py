"""Orthogonal weights from state to state, gate by gate: a step back through time turns the gradient, not its length.

PyTorch draws them evenly from ±1/√units, whose eigenvalues end at 0.58: times itself over 20 steps that leaves 2e-5.
For simple RNNs, GRUs and LSTMs, cells and layers. The derivative of tanh and the gates still take their share: over 20
steps 0.024 of the gradient arrives with it and 3e-6 without (measured, THEORY section 4), so over hundreds of steps an
LSTM with open forget gates does more. Wrong for a model that has been trained: it forgets. Costs nothing per step.

Source: Saxe, McClelland, Ganguli 2014, arXiv:1312.6120; Arjovsky, Shah, Bengio 2016, arXiv:1511.06464, section 1;
Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063, section 2.1, for the eigenvalues.
"""

from torch import nn

from headwater.remedies import seeds
from headwater.remedies.edits import Edit
from headwater.remedies.edits_recurrent import DrawOrthogonalGates, recurrent_layers
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "recurrent.orthogonal"


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    layers = recurrent_layers(model, (nn.RNNBase, nn.RNNCellBase))
    if not layers:
        raise NotApplicableError(
            f"{ID}: {type(model).__name__} has no trained nn.RNN, nn.GRU or nn.LSTM. init.orthogonal draws the "
            "layers of networks without recurrence."
        )
    return (DrawOrthogonalGates(layers, seed + seeds.DRAWN_WEIGHTS),)


REMEDY = Remedy(ID, _plan)
