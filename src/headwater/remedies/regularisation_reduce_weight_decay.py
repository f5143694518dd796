"""Less weight decay: no group of the optimizer decays its weights by more than λ any more.

Groups that decay less, or not at all, stay as they are. Against a decay that makes up most of each step, so that the
weights go to zero faster than the data can move them; with Adam's own (not AdamW's) it drowns small gradients. Wrong
where the model learns its training data by heart: there decay is the cure. Reaches the optimizer's own decay, not a
penalty in the loss. Costs nothing. Applied twice it is applied once.

Default λ: 5e-4, as for AlexNet and as ``regularisation.l2``'s.

Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks", section
5; Loshchilov and Hutter 2019, arXiv:1711.05101.
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_optimizer import LimitSetting
from headwater.remedies.order import Order
from headwater.remedies.remedy import Strength, adjustable


def _plan(strength: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    return (LimitSetting("weight_decay", strength),)


REMEDY = adjustable("regularisation.reduce_weight_decay", Strength("λ, the largest weight decay left", 5e-4, _plan))
