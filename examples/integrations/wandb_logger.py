"""A loop that logs to Weights & Biases already: one argument, and headwater's numbers stand beside its own.

The run is an offline one here, which asks for no account; leave out `mode` for one that is not.
"""

import torch
import wandb
from torch import nn

import headwater as hw
from headwater.integrations import log_to

STEPS = 40


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with (
        wandb.init(project="headwater-example", mode="offline") as run,
        hw.watch(model, optimizer, every=2, logger=log_to("wandb")) as watch,
    ):
        for _ in range(STEPS):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            optimizer.zero_grad()
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
            run.log({"loss": loss.item()})
    print(watch.report())


if __name__ == "__main__":
    main()
