"""Adam's learning rate scaled to the depth: c/L for L layers in a row.

Each of L layers moves what comes out by its own step, and these add up: a rate that suits 10 layers throws 1,000 to
and fro. Applies to Adam and its relatives, whose steps have the size of the rate whatever the gradient is; SGD's have
not, and ``optimisation.learning_rate`` is for it. Wrong with shortcuts scaled by 1/√L, which do the same already.
Groups keep their rates beside each other, schedules act as before. Applied twice it is applied once. Costs nothing per
step.

Default c: 0.02. On digits 0.01 to 0.08 trained plain networks of 50 to 10,000 layers (measured for THEORY, section 5:
1e-5 to 2e-5 at 1,000 layers, 4e-6 to 8e-6 at 10,000).

Source: measured here; benchmarks/optimising.py proves it on a plain network of 60 layers.
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import RateTo
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable


def _plan(c: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    depth = sum(step.kind == "affine" for step in order)
    if depth == 0:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no affine layers to count. optimisation.learning_rate:0.1 asks "
            "for none."
        )
    return (RateTo(c / depth, f"{c:g} over {depth} layers", only="betas"),)


REMEDY = adjustable("optimisation.depth_rate", Strength("c of the rate c/L for L layers", 0.02, _plan, below=1.0))
