"""Lightning's Trainer, watched: one callback, and nothing else changes.

Install what it needs with `pip install "headwater[lightning]"`.

Fifteen layers of sigmoid, whose gradient vanishes on its way; the callback says so, and what to do.
"""

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from headwater.integrations.lightning import HeadwaterCallback


class Deep(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        layers = [part for _ in range(15) for part in (nn.Linear(32, 32), nn.Sigmoid())]
        self.net = nn.Sequential(nn.Linear(8, 32), *layers, nn.Linear(32, 2))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(1024, 8)
    data = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=64, shuffle=True)
    callback = HeadwaterCallback(every=2)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Deep(), data)
    print(callback.report())


if __name__ == "__main__":
    main()
