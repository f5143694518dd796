"""The optimizer is bound to the model's parameters again: it holds what is trained, and nothing else.

Against an optimizer that was made over some of them, over another model, or before a layer was exchanged. A missing
parameter joins the first group that holds its kind (matrices, or vectors such as biases and scales), so that those
which are not to decay do not; what is not the model's leaves with its state, and all else keeps its group, settings
and state. Wrong where a part is left out on purpose and nobody froze it: freeze it, ``p.requires_grad_(False)``, and
it is left out. Of two optimizers that share a model, each would hold all of it. Costs nothing.

Source: PyTorch documentation of ``torch.optim``: an optimizer holds the very tensors it was given.
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import HoldAll
from headwater.remedies.order import Order
from headwater.remedies.remedy import Remedy


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return (HoldAll(),)


REMEDY = Remedy("optimisation.rebind", _plan)
