"""Batch normalisation gathers statistics again: training mode, and a momentum that lets them move.

In eval mode a layer divides by running statistics, which before any training are 0 and 1, so that it normalises
nothing; with momentum 0 they stay there, with a millionth they are there for a training's length, and the evaluated
network is not the one that was trained. Applies to ``nn.BatchNorm`` modules in eval mode or with a momentum below 0.01,
which becomes PyTorch's 0.1. Wrong where trained statistics
are frozen on purpose (fine-tuning in small batches), and without effect where the loop itself calls ``eval()`` before
it trains. Costs nothing. Applied twice, there is nothing left to change.

Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 2; PyTorch documentation of ``BatchNorm1d`` for 0.1.
"""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from headwater.remedies.edits import Edit, wrapped
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "normalisation.gather"
MOMENTUM = 0.1
STILL = 0.01  # after a hundred batches a third of the statistics would be what they began with, and more below


@dataclass(frozen=True)
class Gather(Edit):
    """Let some batch normalisations gather.

    Attributes:
        evaluating: Names of those in eval mode.
        still: Names of those whose momentum is 0 or next to it.
    """

    evaluating: tuple[str, ...]
    still: tuple[str, ...]

    def apply(self, model: nn.Module) -> None:
        """In place."""
        for name in self.evaluating:
            model.get_submodule(name).train()
        for name in self.still:
            norm = model.get_submodule(name)
            assert isinstance(norm, _BatchNorm)  # as planned
            norm.momentum = MOMENTUM

    def lines(self) -> list[str]:
        """A loop for each."""
        lines = []
        if self.evaluating:
            lines += [
                f"for name in {wrapped(list(self.evaluating), indent=4)}:",
                "    model.get_submodule(name).train()",
            ]
        if self.still:
            lines += [
                f"for name in {wrapped(list(self.still), indent=4)}:",
                f"    model.get_submodule(name).momentum = {MOMENTUM}",
            ]
        return lines


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    norms = [(name, module) for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    evaluating = tuple(name for name, module in norms if not module.training)
    still = tuple(name for name, module in norms if module.momentum is not None and module.momentum < STILL)
    if not norms or not (evaluating or still):
        what = "has no batch normalisation; normalisation.batch puts it in"
        if norms:
            what = "gathers statistics already; normalisation.layer asks for none"
        raise NotApplicableError(f"{ID}: {type(model).__name__} {what}.")
    return (Gather(evaluating, still),)


REMEDY = Remedy(ID, _plan)
