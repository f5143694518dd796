"""What regularisation does to a network that overfits noisy labels. Sets the default of ``regularisation.l1``.

    python -m benchmarks.regularisers

Prints a Markdown table: a ReLU network of three hidden layers, 300 Adam steps on 200 handwritten digits, a fifth of
them labelled at random; loss on these at the end and accuracy on the 360 held out, mean over 5 seeds, with the proof's
verdict on the latter.
"""

import statistics

import torch
from torch import nn

import headwater as hw
from headwater.demo import CLASSES, WIDTH, accuracy, cross_entropy, digits
from headwater.records import Arm

FEW, NOISE, STEPS = 200, 0.2, 300
REMEDIES = (
    *(f"regularisation.l1:{strength}" for strength in ("1e-4", "1e-3", "3e-3")),
    *(f"regularisation.l2:{strength}" for strength in ("5e-4", "5e-3", "5e-2")),
    *(f"regularisation.weight_decay:{strength}" for strength in ("0.01", "1", "10")),
    *(f"regularisation.dropout:{p}" for p in ("0.2", "0.5")),
    "normalisation.batch",
    "normalisation.layer",
)


def experiment() -> hw.Experiment:
    """Training on few noisy labels, measured on the held-out digits."""
    (pixels, classes), held_out = digits()
    generator = torch.Generator().manual_seed(0)
    anything = torch.randint(CLASSES, (FEW,), generator=generator)
    noisy = torch.where(torch.rand(FEW, generator=generator) < NOISE, anything, classes[:FEW])
    return hw.Experiment(
        model=network,
        batches=lambda: [(pixels[:FEW], noisy)],
        loss=cross_entropy,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        validation=lambda: [held_out],
        metric=accuracy,
        metric_name="accuracy",
    )


def network() -> nn.Module:
    """Three hidden layers of ReLU."""
    hidden = [module for _ in range(3) for module in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES))


def last_loss(arm: Arm) -> float:
    """Training loss of the last step, mean over the seeds."""
    return statistics.fmean(losses[-1] for losses in arm.losses)


def main() -> None:
    """Prove every remedy and print its row as soon as it is there."""
    torch.set_num_threads(1)
    print("| remedy | training loss | held out | effect, 95 % interval | verdict |")
    print("|---|---|---|---|---|")
    for index, remedy in enumerate(REMEDIES):
        proof = hw.prove(experiment(), remedy, seeds=5, steps=STEPS)
        if not index:
            print(f"| none | {last_loss(proof.arm('original')):.3f} | {proof.metric_before:.3f} | | |")
        low, high = proof.interval
        change = f"{proof.effect:+.3f}, {low:+.3f} to {high:+.3f}"
        cells = (remedy, f"{last_loss(proof.arm('treated')):.3f}", f"{proof.metric_after:.3f}", change, proof.verdict)
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
