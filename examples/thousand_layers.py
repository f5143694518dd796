"""The abyss: a thousand plain layers on handwritten digits, no shortcut and no normalisation.

Untouched, such a network learns nothing: its gradient never arrives. Well-known initialisations mend the gradient, and
it still learns nothing: by then all inputs have become the same. Run it to see both, or let headwater find the cure:

    python examples/thousand_layers.py                     what is tried first, and why it fails
    headwater fix examples/thousand_layers.py:relu         1,000 x Linear + ReLU
    headwater fix examples/thousand_layers.py:sigmoid      1,000 x Linear + Sigmoid

LAYERS=200 in the environment makes it shorter. A network of four layers scores as well at a thousandth of the cost: the
point is that depth can be trained, not that it helps.
"""

import os
import time
from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

import headwater as hw
from headwater.demo import accuracy, cross_entropy, digits

LAYERS = int(os.environ.get("LAYERS", 1000))
WIDTH, CLASSES, BATCH, STEPS = 64, 10, 64, 60
RATE = 1e-3  # Adam's default, as anybody would begin
TRIED = ((), ("init.he",), ("init.orthogonal",), ("init.lsuv",))
Batch = tuple[Tensor, Tensor]

TRAIN, HELD_OUT = digits()
HALF = len(HELD_OUT[0]) // 2


def plain(activation: type[nn.Module], layers: int = LAYERS) -> nn.Sequential:
    """So many hidden layers, as PyTorch initialises them, and one for the classes."""
    hidden = [module for _ in range(layers) for module in (nn.Linear(WIDTH, WIDTH), activation())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES))


def batches() -> Iterable[Batch]:
    """Random batches, for as long as they are asked for."""
    while True:
        rows = torch.randint(len(TRAIN[0]), (BATCH,))
        yield TRAIN[0][rows], TRAIN[1][rows]


def of(activation: type[nn.Module]) -> hw.Experiment:
    return hw.Experiment(
        model=lambda: plain(activation),
        batches=batches,
        loss=cross_entropy,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=RATE),
        validation=lambda: [(HELD_OUT[0][:HALF], HELD_OUT[1][:HALF])],
        test=lambda: [(HELD_OUT[0][HALF:], HELD_OUT[1][HALF:])],
        metric=accuracy,
        metric_name="accuracy",
    )


relu = of(nn.ReLU)
sigmoid = of(nn.Sigmoid)


def train(model: nn.Module, rate: float) -> float:
    """Test accuracy after the steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    torch.manual_seed(1)
    for batch in islice(batches(), STEPS):
        optimizer.zero_grad()
        cross_entropy(model, batch).backward()
        optimizer.step()
    with torch.no_grad():
        return accuracy(model, [HELD_OUT])


def main() -> None:
    """What is tried first, at the learning rate that such a depth needs, and a network of four layers beside it."""
    torch.set_num_threads(1)  # for a chain of small layers a second thread is a hindrance
    torch.set_flush_denormal(True)  # numbers below 1e-38 would slow the untouched network down
    rate = 0.02 / LAYERS
    first = next(iter(batches()))
    print(f"{LAYERS} layers of {WIDTH} units on digits, {STEPS} Adam steps at {rate:g}; chance is 0.10")
    print(
        f"{'':28s}{'gradient, first layer':>24s}{'last':>12s}{'|cos|':>8s}{'rank':>7s}{'accuracy':>10s}{'seconds':>9s}"
    )
    for activation in (nn.ReLU, nn.Sigmoid):
        for remedies in TRIED:
            if activation is nn.Sigmoid and remedies and remedies != ("init.lsuv",):
                continue
            torch.manual_seed(0)
            model = plain(activation)
            if remedies:
                model = hw.apply(model, list(remedies), batches=[first], loss=cross_entropy)
            last = str(len(model) - 2)
            flow = hw.check(model, first, cross_entropy, sites=["1", last]).flow
            near, far = (row for row in flow.sites if row.activation_grad is not None)
            started = time.perf_counter()
            score = train(model, rate)
            name = f"{activation.__name__}, {' + '.join(remedies) or 'untouched'}"
            print(
                f"{name:28s}{near.activation_grad.rms:24.1e}{far.activation_grad.rms:12.1e}{far.abs_cosine:8.4f}"
                f"{far.effective_rank:7.1f}{score:10.3f}{time.perf_counter() - started:9.0f}",
                flush=True,
            )
    torch.manual_seed(0)
    print(f"{'ReLU, 4 layers':28s}{'':51s}{train(plain(nn.ReLU, 4), RATE * 3):10.3f}")
    print("The gradient of three of them is fine, and every input has become the same: |cos| is 1.")
    print("headwater fix examples/thousand_layers.py:relu finds what keeps the inputs apart.")


if __name__ == "__main__":
    main()
