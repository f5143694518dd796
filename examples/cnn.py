"""A convolutional network on handwritten digits (8 by 8 images), with its activations called inside ``forward``.

Run it to train, or let headwater measure it:

    python examples/cnn.py                            trains it
    headwater check examples/cnn.py:experiment        measures it
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import headwater as hw

EPOCHS = 5
Batch = tuple[Tensor, Tensor]

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1  # (n, 1, 8, 8), from -1 to 1
dataset = TensorDataset(images, torch.tensor(digits.target))
train_set, valid_set = random_split(dataset, [0.8, 0.2], generator=torch.Generator().manual_seed(0))


class DigitsNet(nn.Module):
    """Two convolutions with batch normalisation, one pooling, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.hidden = nn.Linear(32 * 4 * 4, 64)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        x = F.max_pool2d(x, 2).flatten(1)
        x = F.relu(self.hidden(x))
        return self.classifier(x)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    pictures, labels = batch
    return F.cross_entropy(model(pictures), labels)


@torch.no_grad()
def accuracy(model: nn.Module, batches: Iterable[Batch]) -> float:
    model.eval()
    hits = [model(pictures).argmax(dim=1) == labels for pictures, labels in batches]
    model.train()
    return torch.cat(hits).float().mean().item()


def experiment() -> hw.Experiment:
    return hw.Experiment(
        model=DigitsNet,
        batches=lambda: DataLoader(train_set, batch_size=64, shuffle=True),
        loss=loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
        validation=lambda: DataLoader(valid_set, batch_size=256),
        metric=accuracy,
        metric_name="accuracy",
    )


def main() -> None:
    torch.manual_seed(0)
    model = DigitsNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(EPOCHS):
        for batch in DataLoader(train_set, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: validation accuracy {accuracy(model, DataLoader(valid_set, batch_size=256)):.3f}")


if __name__ == "__main__":
    main()
