"""ReZero: a shortcut round each block that keeps its shape, whose block counts for nothing at first.

x + α·f(x), with a gate α per block that starts at zero and is learned. The network begins as the identity from block
to block, so that signals and gradients pass any depth unchanged whatever the activation, and each block comes in as
fast as it is of use. Gates join a parameter group of the optimizer without weight decay.

Applies to hidden layers that give as many units, or channels and pixels, as they take, with the activation that
follows: neighbours in an ``nn.Sequential``, or calls in a forward that can be traced. Wrong in networks with
shortcuts, and where a plain chain is wanted. At the first step every weight inside a block has a gradient of exactly
zero, as only the gates move: a check names that ``gated_by_design``. Costs one addition per block and one number.

Source: Bachlechner et al. 2020, arXiv:2003.04887.
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.order import Order
from headwater.remedies.remedy import Remedy
from headwater.remedies.structure import Kind, bridge

KIND = Kind("structure.rezero", gated=True, normed=False)


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return bridge(KIND, model, order)


REMEDY = Remedy(KIND.remedy_id, _plan)
