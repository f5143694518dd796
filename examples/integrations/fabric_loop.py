"""A loop of one's own with Lightning Fabric, watched.

Install what it needs with `pip install "headwater[lightning]"`.
"""

import torch
from lightning_fabric import Fabric
from torch import nn

from headwater.integrations.fabric import watch

STEPS = 40


def main() -> None:
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1)
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    model, optimizer = fabric.setup(net, torch.optim.Adam(net.parameters(), lr=1e-2))
    with watch(fabric, model, optimizer, every=2) as watched:
        for _ in range(STEPS):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            fabric.backward(loss)
            watched.gradients_ready(optimizer.optimizer)  # norms are those before the next line
            fabric.clip_gradients(model, optimizer, max_norm=1.0)
            watched.log(loss=loss)
            optimizer.step()
            optimizer.zero_grad()
    print(watched.report())


if __name__ == "__main__":
    main()
