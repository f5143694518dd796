"""A loop that logs to Trackio already: one argument, and headwater's numbers stand beside its own.

Look at them with `trackio show`.
"""

import torch
import trackio
from torch import nn

import headwater as hw
from headwater.integrations import log_to

STEPS = 40


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    trackio.init(project="headwater-example")
    with hw.watch(model, optimizer, every=2, logger=log_to("trackio")) as watch:
        for step in range(STEPS):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            optimizer.zero_grad()
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
            trackio.log({"loss": loss.item()}, step=step)
    trackio.finish()
    print(watch.report())


if __name__ == "__main__":
    main()
