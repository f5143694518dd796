"""Which plain networks of a thousand layers train when they are repaired in place?

    python -m benchmarks.deep [depth]

Prints a Markdown table: test and training accuracy on digits after 80 Adam steps (batches of 256, warm-up of
10 steps, then linear decay to 0, width 64, one thread, subnormal numbers flushed), with the seconds it took. Learning
rates are those of 1,000 layers, and go with one over the depth.
"""

import sys
import time

import torch
from torch import nn

import headwater as hw
from headwater.demo import CLASSES, WIDTH, Batch, accuracy, cross_entropy, digits

STEPS, WARM_UP, BATCH_SIZE = 80, 10, 256
SEEDS = (0, 1, 2)
ROWS: tuple[tuple[type[nn.Module], tuple[str, ...], float], ...] = (
    (nn.Sigmoid, (), 1e-5),
    (nn.Sigmoid, ("activation.tailored",), 1e-5),
    (nn.ReLU, (), 1e-5),
    (nn.ReLU, ("init.he",), 1e-5),
    (nn.ReLU, ("activation.tailored_leaky",), 2e-5),
    (nn.ReLU, ("init.mirrored",), 1e-5),
    (nn.ReLU, ("init.mirrored",), 2e-5),
    (nn.Tanh, ("init.orthogonal",), 1e-5),
    (nn.Tanh, ("activation.tailored",), 1e-5),
    (nn.GELU, ("activation.tailored",), 1e-5),
)


def network(activation: type[nn.Module], depth: int) -> nn.Sequential:
    """``depth`` hidden layers and an output layer."""
    hidden = [module for _ in range(depth) for module in (nn.Linear(WIDTH, WIDTH), activation())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES))


def train(model: nn.Module, data: Batch, learning_rate: float, seed: int) -> None:
    """The steps, each on the next rows of a shuffled epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.empty(0, dtype=torch.int64)
    for step in range(STEPS):
        if len(rows) < BATCH_SIZE:
            rows = torch.randperm(len(data[0]), generator=generator)
        batch, rows = rows[:BATCH_SIZE], rows[BATCH_SIZE:]
        share = (step + 1) / WARM_UP if step < WARM_UP else (STEPS - step) / (STEPS - WARM_UP)
        optimizer.param_groups[0]["lr"] = learning_rate * share
        optimizer.zero_grad()
        cross_entropy(model, (data[0][batch], data[1][batch])).backward()
        optimizer.step()


def main() -> None:
    """Train every row of the table and print it as soon as it is there."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    depth = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    data, held_out = digits()
    print(f"| {depth} layers of | repaired by | learning rate | test, seeds {SEEDS} | training | seconds each |")
    print("|---|---|---|---|---|---|")
    for activation, remedies, rate in ROWS:
        learning_rate = rate * 1000 / depth
        started = time.perf_counter()
        scores = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            model = hw.apply(network(activation, depth), remedies, seed=seed)
            train(model, data, learning_rate, seed)
            with torch.no_grad():
                scores.append((accuracy(model, [held_out]), accuracy(model, [data])))
        seconds = (time.perf_counter() - started) / len(SEEDS)
        test, training = (", ".join(f"{score:.3f}" for score in column) for column in zip(*scores, strict=True))
        name = " + ".join(remedies) or "nothing"
        print(
            f"| {activation.__name__} | {name} | {learning_rate:g} | {test} | {training} | {seconds:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
