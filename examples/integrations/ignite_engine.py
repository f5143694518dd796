"""Ignite, watched: one handler attached to the trainer.

Install what it needs with `pip install "headwater[ignite]"`.
"""

import torch
from ignite.engine import create_supervised_trainer
from torch import nn

from headwater.integrations.ignite import HeadwaterHandler


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(1024, 8)
    data = list(zip(x.split(64), (x[:, 0] > 0).long().split(64), strict=True))
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    trainer = create_supervised_trainer(model, optimizer, nn.CrossEntropyLoss())
    handler = HeadwaterHandler(model, optimizer, every=2).attach(trainer)
    trainer.run(data, max_epochs=3)
    print(handler.report())


if __name__ == "__main__":
    main()
