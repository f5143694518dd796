"""Ways to watch a training loop, each attached as its own documentation says; headwater is one of them.

An arm is a context manager ``attached(model, optimizer, folder)`` in a file of its own. It gives what to call at the
end of each step with that step's loss, inside the measured time.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

AfterStep = Callable[[Tensor], None]


@dataclass(frozen=True)
class Arm:
    """One way to watch.

    Args:
        label: Name for people.
        measures: What it looks at on each step.
        module: The file in this folder.
        package: The package whose version belongs to the result.
        options: Keyword arguments of its ``attached``.
    """

    label: str
    measures: str
    module: str
    package: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def attached(self, model: nn.Module, optimizer: Optimizer, folder: Path) -> AbstractContextManager[AfterStep]:
        """Watch ``model`` within the ``with`` block; what the arm writes goes to ``folder``."""
        # Loaded here and nowhere else: a process holds no other peer's packages, threads or patches.
        module = import_module(f"benchmarks.peers.{self.module}")
        return module.attached(model, optimizer, folder, **dict(self.options))


ARMS = {
    "bare": Arm("bare loop", "nothing: what this machine cannot tell apart", "bare"),
    "headwater": Arm(
        "headwater, every step",
        "all statistics of activations, their gradients, parameters, gradients and updates",
        "headwater",
        "headwater",
        (("every", 1),),
    ),
    "grad_flow": Arm("plot_grad_flow", "mean and largest |gradient| of each weight, not drawn", "grad_flow"),
    "reductions": Arm(
        "8 torch reductions by hooks", "activations, their gradients, parameters and gradients", "reductions"
    ),
    "wandb": Arm("wandb.watch", "histograms of parameters and gradients", "wandb", "wandb"),
    "torchmortem": Arm(
        "torchmortem", "summaries of outputs, output gradients, weights and updates", "torchmortem", "torchmortem"
    ),
    "torchinstruments": Arm(
        "torchinstruments",
        "summaries and histograms of outputs and output gradients",
        "torchinstruments",
        "torchinstruments",
    ),
    "tensorboard": Arm(
        "TensorBoard histograms", "histograms of parameters and gradients", "tensorboard", "tensorboard"
    ),
}

AUTO = {
    "bare": ARMS["bare"],
    "auto": Arm(
        'headwater, every="auto"', "the same, on the steps it chooses", "headwater", "headwater", (("every", "auto"),)
    ),
}
