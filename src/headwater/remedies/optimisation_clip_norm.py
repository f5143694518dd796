"""Clipping by the global norm, at a measured value: gradients longer than usual are shortened to what is usual.

All gradients an optimizer is about to use are scaled by one number, so that their direction stays. The limit is a
multiple of the median norm of the first batches' gradients, taken before any step; the patch has it as a number.
Against steps that now and then are far too long (recurrent networks, bad batches, a rate at the edge). Wrong against a
gradient that vanishes, and where all of them are huge: the median is then huge too, and the scale of the weights is
what to mend. Hides an explosion rather than curing it. Refused for L-BFGS. Costs one pass over the gradients per step.
Penalties that were added before are clipped too. Applied twice, the second takes the place of the first.

Default: 1 times the median; the source found half to ten times the average norm to work.

Source: Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063, section 3.2 and algorithm 1.
"""

from torch import nn

from headwater.remedies.clipping import ClipNorm
from headwater.remedies.data import Data
from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import Attach
from headwater.remedies.gradients import gradients, median_norm, rounded
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable


def _plan(times: float, remedy_id: str, model: nn.Module, order: Order, seed: int, data: Data) -> tuple[Edit, ...]:
    found = gradients(remedy_id, model, data)
    usual = median_norm(found)
    if usual == 0.0:
        raise NotApplicableError(
            f"{remedy_id}: the gradient of the first batches is zero, and there is nothing to shorten. "
            "hw.check(model, batch, loss) tells where it ends."
        )
    comment = f"{times:g} times the median norm of the gradients of the first {len(found)} batches, {usual:.6g}"
    return (Attach(ClipNorm, (rounded(times * usual),), comment=comment),)


REMEDY = adjustable(
    "optimisation.clip_norm",
    Strength("the largest norm, in units of the median norm of the first batches", 1.0, _plan),
    needs_data=True,
)
