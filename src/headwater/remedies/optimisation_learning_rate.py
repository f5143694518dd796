"""Another learning rate: a share of the optimizer's own, or a number.

``optimisation.learning_rate:0.1`` lets every group step with a tenth of its own rate,
``optimisation.learning_rate:10`` with ten times it; ``optimisation.learning_rate_to:0.001`` lets the group with the
largest rate step with that one, and the others in proportion. The rate is multiplied while the optimizer steps and put
back afterwards, so that schedules act as before, on a rate of another size; what ``param_groups`` shows between steps
is the schedule's. Applied twice, the second takes the place of the first.

Against steps that throw the loss up (a tenth, a hundredth) or get nowhere (ten, a hundred times). Wrong where the rate
is not the trouble: a smaller one hides an explosion until it is too small to learn. Costs nothing per step; a smaller
rate takes more of them.

Default: a tenth, the step by which people search (Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.4.3:
a logarithmic grid); of ``learning_rate_to`` 0.001, Adam's (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import Attach, RateTo
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable
from headwater.remedies.scaled_rate import ScaledRate


def _scale(factor: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    if factor == 1.0:
        raise NotApplicableError(f"{remedy_id} multiplies by 1, which changes nothing: optimisation.learning_rate:0.1.")
    return (Attach(ScaledRate, (factor,), needs="lr"),)


def _set(rate: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return (RateTo(rate),)


REMEDIES = (
    adjustable(
        "optimisation.learning_rate", Strength("the factor by which each learning rate is multiplied", 0.1, _scale)
    ),
    adjustable("optimisation.learning_rate_to", Strength("the learning rate of the fastest group", 1e-3, _set)),
)
