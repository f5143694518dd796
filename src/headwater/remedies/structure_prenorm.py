"""Pre-norm shortcut: a shortcut round each block that keeps its shape, and a normalisation before the block.

x + f(LayerNorm(x)): signals and gradients pass along the sum, and every block sees its input at the same size however
much the blocks before it have added. For convolutions over channels and pixels together (group normalisation with one
group). New scales and shifts join a parameter group of the optimizer without weight decay.

Applies to hidden layers that give as many units, or channels and pixels, as they take, with the activation that
follows: neighbours in an ``nn.Sequential``, or calls in a forward that can be traced. Wrong in networks with
shortcuts, and where a plain chain is wanted. Each block adds to the signal: its size grows as the root of the number
of blocks, and the last ones change little. Costs one normalisation and one addition per block.

Source: Xiong et al. 2020, arXiv:2002.04745; He, Zhang, Ren, Sun 2016, arXiv:1603.05027, for "pre-activation".
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.order import Order
from headwater.remedies.remedy import Remedy
from headwater.remedies.structure import Kind, bridge

KIND = Kind("structure.prenorm", gated=False, normed=True)


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return bridge(KIND, model, order)


REMEDY = Remedy(KIND.remedy_id, _plan)
