"""A loop that logs to MLflow already: one argument, and headwater's numbers stand beside its own.

They go into a file of SQLite here; look at them with `mlflow ui --backend-store-uri sqlite:///mlflow.db`.
"""

import mlflow
import torch
from torch import nn

import headwater as hw
from headwater.integrations import log_to

STEPS = 40


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    with mlflow.start_run(), hw.watch(model, optimizer, every=2, logger=log_to("mlflow")) as watch:
        for step in range(STEPS):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            optimizer.zero_grad()
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
            mlflow.log_metric("loss", loss.item(), step=step)
    print(watch.report())


if __name__ == "__main__":
    main()
