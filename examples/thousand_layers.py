"""The abyss: a thousand plain layers on handwritten digits, no shortcut and no normalisation.

Untouched, such a network learns nothing: its gradient never arrives. Well-known initialisations mend the gradient, and
it still learns nothing: by then all inputs have become the same. Run it to see both, or let headwater find the cure:

    python examples/thousand_layers.py                     what is tried first and why it fails, and what does not
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
TRIED: dict[type[nn.Module], tuple[tuple[str, ...], ...]] = {
    nn.ReLU: ((), ("init.he",), ("init.orthogonal",), ("init.lsuv",)),
    nn.Sigmoid: ((), ("init.lsuv",)),
}
CURES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.ReLU: ("init.mirrored",),
    nn.Sigmoid: ("activation.tailored",),
}
Batch = tuple[Tensor, Tensor]

torch.set_flush_denormal(True)  # numbers below 1e-38 would only slow the untouched network down

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


def show(activation: type[nn.Module], remedies: tuple[str, ...], rate: float) -> None:
    """A line on one network: what can be seen before it is trained, and what it has learnt after."""
    print(f"{activation.__name__ + ', ' + (' + '.join(remedies) or 'untouched'):28s}", end="", flush=True)
    torch.manual_seed(0)
    first = next(iter(batches()))
    model: nn.Module = plain(activation)
    if remedies:
        model = hw.apply(model, list(remedies), batches=[first], loss=cross_entropy)
    ends = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    flow = hw.check(model, first, cross_entropy, sites=[ends[1], ends[-2]]).flow
    near, far = (row for row in flow.sites if row.activation_grad is not None)
    assert near.activation_grad is not None
    assert far.activation_grad is not None
    gradients = f"{near.activation_grad.rms or 0.0:24.1e}{far.activation_grad.rms or 0.0:10.1e}"
    print(f"{gradients}{far.abs_cosine:9.4f}{far.effective_rank:7.1f}", end="", flush=True)
    started = time.process_time()
    score = train(model, rate)
    print(f"{score:10.3f}{time.process_time() - started:9.0f}", flush=True)


def main() -> None:
    """What is tried first and what works, at the learning rate that such a depth needs, and four layers beside it."""
    torch.set_num_threads(1)  # for a chain of small layers a second thread is a hindrance
    rate = 0.02 / LAYERS
    print(f"{LAYERS} layers of {WIDTH} units on digits, {STEPS} Adam steps at {rate:g}; chance is 0.10")
    head = f"{'gradient, first layer':>24s}{'last':>10s}{'|cos|':>9s}{'rank':>7s}{'accuracy':>10s}{'CPU s':>9s}"
    print(f"{'':28s}{head}")
    for activation, tried in TRIED.items():
        for remedies in tried:
            show(activation, remedies, rate)
    print("He's, orthogonal and LSUV's weights give ReLU a gradient that is fine at both ends, and it learns nothing:")
    print("every input has become the same, |cos| is 1 and one direction is left. What keeps them apart, in place:")
    for activation, remedies in CURES.items():
        show(activation, remedies, rate)
    torch.manual_seed(0)
    print(f"{'ReLU, 4 layers':28s}{'':50s}{train(plain(nn.ReLU, 4), RATE * 3):10.3f}")
    print("Four layers do as well: the point is that depth can be trained, not that it helps. Find the cure yourself:")
    for name in ("relu", "sigmoid"):
        print(f"    headwater fix examples/thousand_layers.py:{name} --steps {STEPS} --seeds 3")


if __name__ == "__main__":
    main()
