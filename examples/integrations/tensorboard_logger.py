"""A loop that logs to TensorBoard already: one argument, and headwater's numbers stand beside its own.

Look at them with `tensorboard --logdir logs`.
"""

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import headwater as hw
from headwater.integrations import log_to

STEPS = 40


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    writer = SummaryWriter("logs/mine")
    with hw.watch(model, optimizer, every=2, logger=log_to(writer)) as watch:
        for step in range(STEPS):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            optimizer.zero_grad()
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
            writer.add_scalar("loss", loss.item(), step)
    writer.close()
    print(watch.report())


if __name__ == "__main__":
    main()
