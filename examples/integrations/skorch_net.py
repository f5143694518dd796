"""skorch, watched: one callback, and nothing else changes.

Install what it needs with `pip install "headwater[skorch]"`.
"""

import torch
from sklearn.datasets import make_moons
from skorch import NeuralNetClassifier
from torch import nn

from headwater.integrations.skorch import HeadwaterCallback


def main() -> None:
    torch.manual_seed(0)
    x, y = make_moons(1024, noise=0.2, random_state=0)
    callback = HeadwaterCallback(every=2)
    net = NeuralNetClassifier(
        nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=4,
        callbacks=[callback],
    )
    net.fit(x.astype("float32"), y)
    print(callback.report())


if __name__ == "__main__":
    main()
