"""What structure, normalisation and initialisation do for networks that depth has made ill. Orders the prescriptions.

    python -m benchmarks.remedies [CASE]...

Prints a Markdown table: for each case a network on the handwritten digits, by its hidden activation, its depth and how
its weights were drawn; test accuracy after 150 Adam steps (learning rate 1e-3, batch 64, width 64; convolutions 16
channels wide on the 8×8 images, batches of 4), mean over 3 seeds, untouched and with each remedy, with the effect's
95 % interval and the proof's verdict.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

import headwater as hw
from headwater.demo import BATCH_SIZE, CLASSES, LEARNING_RATE, WIDTH, accuracy, cross_entropy, digits, shuffled

SEEDS, STEPS = 3, 150
CHANNELS, FEW = 16, 4


@dataclass(frozen=True)
class Case:
    """A network that is ill, and what might help it.

    Attributes:
        model: Makes it.
        remedies: To prove, each by itself.
        convolutional: Whether it sees pictures, few at a time.
    """

    model: Callable[[], nn.Module]
    remedies: tuple[tuple[str, ...], ...]
    convolutional: bool = False


def plain(activation: Callable[[], nn.Module], depth: int, gain: float | None = None) -> nn.Sequential:
    """Linear layers of one width with an activation between each two.

    Args:
        activation: Makes it.
        depth: Number of linear layers.
        gain: Weights have variance gain²/fan_in; ``None`` is PyTorch's own initialisation.
    """
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [nn.Linear(WIDTH, WIDTH), activation()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))
    return model if gain is None else _drawn(model, gain)


def pictures(activation: Callable[[], nn.Module], depth: int, gain: float) -> nn.Sequential:
    """Convolutions that keep the size, then a linear layer."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
    for index in range(depth - 1):
        layers += [nn.Conv2d(CHANNELS if index else 1, CHANNELS, 3, padding=1), activation()]
    return _drawn(nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS * 64, CLASSES)), gain)


def _drawn(model: nn.Sequential, gain: float) -> nn.Sequential:
    for layer in model:
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor):
            nn.init.normal_(weight, std=gain / weight[0].numel() ** 0.5)
            nn.init.zeros_(layer.bias)
    return model


NORMS = tuple((f"normalisation.{kind}",) for kind in ("batch", "layer", "rms", "group"))
SHORTCUTS = (("structure.rezero",), ("structure.prenorm",))
FOR_SIGMOID = (
    ("activation.relu", "init.he"),
    ("activation.tanh", "init.xavier"),
    ("activation.tanh", "init.critical"),
    ("activation.relu", "init.mirrored"),
    ("activation.tailored",),
    *SHORTCUTS,
)
FOR_RELU = (
    ("init.he",),
    ("init.lsuv",),
    ("init.mirrored",),
    ("activation.tailored_leaky",),
    *SHORTCUTS,
    *NORMS[:3],
)
FOR_TANH = (
    ("init.xavier",),
    ("init.orthogonal",),
    ("init.critical",),
    ("init.lsuv",),
    ("activation.tailored",),
    *SHORTCUTS,
    *NORMS[:3],
)
CASES: dict[str, Case] = {
    "sigmoid-5": Case(partial(plain, nn.Sigmoid, 5), FOR_SIGMOID),
    "sigmoid-10": Case(partial(plain, nn.Sigmoid, 10), FOR_SIGMOID),
    "sigmoid-30": Case(partial(plain, nn.Sigmoid, 30), FOR_SIGMOID),
    "sigmoid-100": Case(partial(plain, nn.Sigmoid, 100), FOR_SIGMOID),
    "relu-10": Case(partial(plain, nn.ReLU, 10), FOR_RELU),
    "relu-50": Case(partial(plain, nn.ReLU, 50), FOR_RELU),
    "relu-he-50": Case(partial(plain, nn.ReLU, 50, 2**0.5), FOR_RELU[1:]),
    "tanh-50": Case(partial(plain, nn.Tanh, 50), FOR_TANH),
    "tanh-exploding-50": Case(partial(plain, nn.Tanh, 50, 2.0), FOR_TANH),
    "gelu-30": Case(partial(plain, nn.GELU, 30), (("init.he",), ("init.critical",), ("init.lsuv",), *FOR_TANH[4:])),
    "convolutions-12": Case(
        partial(pictures, nn.ReLU, 12, 0.5),
        (("init.he",), ("init.lsuv",), NORMS[0], NORMS[1], NORMS[3], *SHORTCUTS),
        True,
    ),
}


def experiment(case: Case) -> hw.Experiment:
    """The case on handwritten digits."""
    train, test = digits()

    def batches() -> list[tuple[Tensor, Tensor]]:
        if not case.convolutional:
            return shuffled(train)
        rows = torch.arange(BATCH_SIZE).split(FEW)
        return [(pixels[few], classes[few]) for pixels, classes in shuffled(train) for few in rows]

    return hw.Experiment(
        model=case.model,
        batches=batches,
        loss=cross_entropy,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=LEARNING_RATE),
        validation=lambda: [test],
        metric=accuracy,
        metric_name="accuracy",
    )


def main(chosen: list[str]) -> None:
    """Prove every remedy of every case and print its row as soon as it is there."""
    torch.set_num_threads(1)
    print("| case | remedy | accuracy | effect, 95 % interval | random remedy | verdict |")
    print("|---|---|---|---|---|---|")
    for name in chosen or CASES:
        case = CASES[name]
        for index, remedies in enumerate(case.remedies):
            proof = hw.prove(experiment(case), remedies, seeds=SEEDS, steps=STEPS)
            if not index:
                print(f"| {name} | none | {proof.metric_before:.3f} | | | |", flush=True)
            low, high = proof.interval
            change = f"{proof.effect:+.3f}, {low:+.3f} to {high:+.3f}"
            cells = (name, " + ".join(remedies), f"{proof.metric_after:.3f}", change, f"{proof.random_remedy:.3f}")
            print("|", " | ".join(cells), "|", proof.verdict, "|", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
