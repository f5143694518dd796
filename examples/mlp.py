"""A multilayer perceptron on handwritten digits, the 64 pixels taken as a table of features.

Run it to train, or let headwater measure it:

    python examples/mlp.py                            trains it
    headwater check examples/mlp.py:experiment        measures it
"""

from collections.abc import Iterable

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import headwater as hw

EPOCHS = 5
Batch = tuple[Tensor, Tensor]


def load() -> tuple[TensorDataset, TensorDataset]:
    """Training and validation digits: features (n, 64) with mean 0 and deviation 1, labels (n,)."""
    features, labels = load_digits(return_X_y=True)
    split = train_test_split(features, labels, test_size=0.2, stratify=labels, random_state=0)
    train_features, valid_features, train_labels, valid_labels = split
    scaler = StandardScaler().fit(train_features)

    def dataset(x, y) -> TensorDataset:
        return TensorDataset(torch.tensor(scaler.transform(x), dtype=torch.float32), torch.tensor(y))

    return dataset(train_features, train_labels), dataset(valid_features, valid_labels)


train_set, valid_set = load()


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def loss(model: nn.Module, batch: Batch) -> Tensor:
    features, labels = batch
    return nn.functional.cross_entropy(model(features), labels)


@torch.no_grad()
def accuracy(model: nn.Module, batches: Iterable[Batch]) -> float:
    hits = [model(features).argmax(dim=1) == labels for features, labels in batches]
    return torch.cat(hits).float().mean().item()


experiment = hw.Experiment(
    model=make_model,
    batches=lambda: DataLoader(train_set, batch_size=64, shuffle=True),
    loss=loss,
    optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    validation=lambda: DataLoader(valid_set, batch_size=256),
    metric=accuracy,
    metric_name="accuracy",
)


def main() -> None:
    torch.manual_seed(0)
    model = experiment.model()
    optimizer = experiment.optimizer(model.parameters())
    for epoch in range(EPOCHS):
        for batch in experiment.batches():
            optimizer.zero_grad()
            loss(model, batch).backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: validation accuracy {accuracy(model, experiment.validation()):.3f}")


if __name__ == "__main__":
    main()
