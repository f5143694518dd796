"""A bias of 50 leaves no slope to a tanh: the gradient of the layers below is gone."""

import torch
from torch import nn

from headwater.api import check
from headwater.lessons.lesson import Lesson, Outcome, Texts

T = Texts("bias-hides-inputs")


def _gradient(bias: float) -> float:
    """Rms of the gradient at the first layer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    nn.init.constant_(net[2].bias, bias)
    batch = torch.randn(64, 8), torch.randint(2, (64,))
    flow = check(net, batch, lambda model, b: nn.functional.cross_entropy(model(b[0]), b[1])).flow
    gradient = flow.site("0").activation_grad
    return gradient.rms or 0.0 if gradient is not None else 0.0


def _experiment() -> Outcome:
    without, hidden = _gradient(0.0), _gradient(50.0)
    return Outcome(
        checks=(
            T.within("without", without, low=1e-4),
            T.within("hidden", hidden, high=1e-12),
        ),
        values={"without": without, "hidden": hidden},
    )


LESSON = Lesson(T.id, _experiment, seconds=0.5)
