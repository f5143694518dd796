"""L1 regularisation: the loss plus λ·Σ|w| over the weights, which drives those that matter little to zero.

Before each update λ·sign(w) is added to the gradient, exactly as backpropagation of the penalised loss would; the loss
that is reported stays that of the data. Weights are matrices and kernels, not biases, scales or embeddings. Against
overfitting where a few inputs carry the signal. Wrong against a network that does not learn yet: it pulls small weights
to zero, so the gradient vanishes sooner. With Adam and its relatives, which divide each gradient by its size, large and
small gradients are penalised differently. A gradient that is clipped before the update is clipped without the penalty.
Costs one pass over the weights per step. Applied twice, the strengths add up.

Default λ: 1e-4, measured on digits by benchmarks/regularisers.py, figures in docs/log.md.

Source: Tibshirani 1996, "Regression shrinkage and selection via the lasso"; Goodfellow, Bengio, Courville 2016, "Deep
Learning", section 7.1.2.
"""

from torch import nn

from headwater.remedies.before_update import WeightPenalty
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import ActBeforeUpdate
from headwater.remedies.order import Order
from headwater.remedies.regularisation import weight_matrices
from headwater.remedies.remedy import Strength, adjustable


def _plan(strength: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return (ActBeforeUpdate(WeightPenalty, weight_matrices(remedy_id, model), strength, (("power", 1),)),)


REMEDY = adjustable("regularisation.l1", Strength("λ of the penalty λ·Σ|w|", 1e-4, _plan))
