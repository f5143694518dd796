"""Decoupled weight decay: each update first shrinks the weights by the learning rate times λ, as AdamW does.

Beside the gradient, not through it, so that it is the same for every weight whatever Adam makes of its gradient: Adam
with this is ``torch.optim.AdamW``, bit for bit. Weights are matrices and kernels, not biases, scales or embeddings,
which AdamW's own ``weight_decay`` does not tell apart. Against overfitting, and to keep weights from growing in long
trainings. Wrong against a network that does not learn yet, and where the optimizer decays weights already: both act.
Costs one pass over the weights per step.

Default λ: 0.01, as AdamW's in PyTorch.

Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2.
"""

from torch import nn

from headwater.remedies.before_update import WeightDecay
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import ActBeforeUpdate
from headwater.remedies.order import Order
from headwater.remedies.regularisation import weight_matrices
from headwater.remedies.remedy import Strength, adjustable


def _plan(strength: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return (ActBeforeUpdate(WeightDecay, weight_matrices(remedy_id, model), strength),)


REMEDY = adjustable("regularisation.weight_decay", Strength("λ, the share per unit of learning rate", 0.01, _plan))
