"""Which prescription helps a plain sigmoid network of a given depth more? Sets ``MERGING_DEPTH`` in diagnosis.

    python -m benchmarks.prescriptions

Prints a Markdown table: test accuracy on digits after 200 Adam steps, mean over 3 seeds, of the untouched network and
of each prescription, with the proof's verdict.
"""

import torch

import headwater as hw
from headwater.demo import experiment

DEPTHS = (3, 5, 10, 15, 20, 25, 30, 40, 50)
PRESCRIPTIONS = (("activation.relu", "init.he"), ("activation.tanh", "init.xavier"))


def main() -> None:
    """Run every depth and print its row as soon as it is there."""
    torch.set_num_threads(1)
    print("| depth | untouched |", " | ".join(" + ".join(remedies) for remedies in PRESCRIPTIONS), "|")
    print("|---|---|" + "---|" * len(PRESCRIPTIONS))
    for depth in DEPTHS:
        proofs = [hw.prove(experiment(depth), remedies, seeds=3, steps=200) for remedies in PRESCRIPTIONS]
        cells = [f"{proof.metric_after:.3f} ({proof.verdict})" for proof in proofs]
        print(f"| {depth} | {proofs[0].metric_before:.3f} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
