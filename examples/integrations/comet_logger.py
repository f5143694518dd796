"""A loop that logs to Comet already: one argument, and headwater's numbers stand beside its own.

The experiment is an offline one here, which asks for no account; leave out `online` for one that is not.
"""

import comet_ml
import torch
from torch import nn

import headwater as hw
from headwater.integrations import log_to

STEPS = 40


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    experiment = comet_ml.start(project_name="headwater-example", workspace="mine", online=False)
    with hw.watch(model, optimizer, every=2, logger=log_to("comet")) as watch:
        for step in range(STEPS):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            optimizer.zero_grad()
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
            experiment.log_metric("loss", loss.item(), step=step)
    experiment.end()
    print(watch.report())


if __name__ == "__main__":
    main()
