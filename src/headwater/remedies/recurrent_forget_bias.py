"""Open forget gates: an LSTM's starts at σ(b), so that its cells keep what they hold.

PyTorch draws both biases round zero, and gates that are half open halve a cell at every step: over 100 steps nothing
is left, of the signal as of the gradient. The two biases of an LSTM are added, so b is the sum. Against gradients that
vanish through time in ``nn.LSTM`` and ``nn.LSTMCell``. Wrong for short memories (b = 1 already keeps 0.73 per step),
and for a model that has been trained. GRUs and simple RNNs have no such gate: ``recurrent.orthogonal`` is for them.
Costs nothing. Applied twice it is applied once.

Default b: 1. Over 20 steps the first input's gradient is 4e-5 of the last one's by default, 0.017 at b = 1 and 0.88 at
b = 3; over 100 steps 4e-21, 3e-8 and 0.96 (measured, THEORY section 4): 3 is for long sequences.

Source: Gers, Schmidhuber, Cummins 2000, "Learning to forget"; Jozefowicz, Zaremba, Sutskever 2015, "An empirical
exploration of recurrent network architectures", section 5.
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_recurrent import OpenForgetGates, recurrent_layers
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable


def _plan(bias: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    layers = [n for n in recurrent_layers(model, (nn.LSTM, nn.LSTMCell)) if _has_bias(model.get_submodule(n))]
    if not layers:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no nn.LSTM or nn.LSTMCell with biases that are trained. For GRUs "
            "and simple RNNs there is recurrent.orthogonal."
        )
    return (OpenForgetGates(tuple(layers), bias),)


def _has_bias(layer: nn.Module) -> bool:
    return any(name.startswith("bias_ih") for name, _ in layer.named_parameters())


REMEDY = adjustable(
    "recurrent.forget_bias", Strength("b, the sum of both biases of a forget gate", 1.0, _plan, below=20.0)
)
