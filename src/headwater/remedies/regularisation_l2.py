"""L2 regularisation: the loss plus ½·λ·Σw² over the weights, which keeps all of them small.

Before each update λ·w is added to the gradient, exactly as backpropagation of the penalised loss would; the loss that
is reported stays that of the data. Weights are matrices and kernels, not biases, scales or embeddings. Against
overfitting: a smooth function needs small weights. With plain SGD it is weight decay by λ times the learning rate;
with Adam and its relatives, which divide each gradient by its size, weights with large gradients decay less, and
``regularisation.weight_decay`` is what most people mean. Wrong against a network that does not learn yet: smaller
weights make the gradient vanish sooner. Before normalisation it only changes the effective learning rate. Where the
optimizer was given a ``weight_decay`` of its own, both add up. A gradient that is clipped before the update is clipped
without the penalty. Costs one pass over the weights per step.

Default λ: 5e-4, as for AlexNet.

Source: Krogh and Hertz 1991, "A simple weight decay can improve generalization"; Krizhevsky, Sutskever, Hinton 2012,
"ImageNet classification with deep convolutional neural networks", section 5; van Laarhoven 2017, arXiv:1706.05350, for
normalisation.
"""

from torch import nn

from headwater.remedies.before_update import WeightPenalty
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import ActBeforeUpdate
from headwater.remedies.order import Order
from headwater.remedies.regularisation import weight_matrices
from headwater.remedies.remedy import Strength, adjustable


def _plan(strength: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return (ActBeforeUpdate(WeightPenalty, weight_matrices(remedy_id, model), strength, (("power", 2),)),)


REMEDY = adjustable("regularisation.l2", Strength("λ of the penalty ½·λ·Σw²", 5e-4, _plan))
