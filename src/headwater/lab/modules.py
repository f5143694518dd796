"""Two modules that ``torch.nn`` does not have. Copied into exported scripts as they stand: torch is all they need."""

from torch import Tensor, nn


class Residual(nn.Module):
    """What is inside, added to what came in."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential()
        for name, part in parts.items():
            self.inner.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class LastStep(nn.Module):
    """Of what a recurrent layer returns, its output at the last step of time."""

    def forward(self, returned: tuple[Tensor, Tensor]) -> Tensor:
        return returned[0][:, -1]
