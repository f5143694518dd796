"""Warm-up: the learning rate rises to its value in equal parts over the first N steps.

The first gradients of a network that has just been drawn point anywhere, and Adam's second moments are known from few
of them: full steps in their direction do harm that takes long to mend (Post-LN transformers never recover). Acts
within the step: a schedule of the user's own goes on beside it, its rate times (t + 1)/N. Applies to any optimizer
with a learning rate. Wrong where the rate is too high for good: it only comes later. Costs about N/2 steps of
training. After loading a checkpoint it starts anew if it is attached anew. Applied twice, the second takes the place
of the first.

Default N: 10, as in the trainings of THEORY, section 5; for transformers hundreds to thousands are usual (Ma and
Yarats: 2/(1 - β₂), which is 2,000 for Adam's 0.999).

Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2; Vaswani et al. 2017, arXiv:1706.03762, section 5.3; Ma and
Yarats 2019, arXiv:1910.04209; Xiong et al. 2020, arXiv:2002.04745.
"""

from torch import nn

from headwater.records import InputError
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import Attach
from headwater.remedies.order import Order
from headwater.remedies.remedy import Strength, adjustable
from headwater.remedies.scaled_rate import WarmUp

LEAST = 2  # steps: one is none


def _plan(steps: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    if steps < LEAST or steps != int(steps):
        raise InputError(
            f"{remedy_id}: behind the colon stands a whole number of steps, at least {LEAST}: optimisation.warmup:100."
        )
    return (Attach(WarmUp, (int(steps),), needs="lr"),)


REMEDY = adjustable("optimisation.warmup", Strength("the number of steps the rate takes to rise", 10.0, _plan))
