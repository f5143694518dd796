"""Handwritten digits on several processes with DistributedDataParallel, watched as a single one is.

    torchrun --nproc-per-node 2 examples/distributed/ddp.py [RUN]

Every rank calls ``hw.watch`` with the same folder and writes what it sees itself, without a word to the others. Read,
the ranks are one training:

    headwater runs runs
    headwater report runs/ddp
"""

import sys

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import headwater as hw

EPOCHS = 5


def digits() -> TensorDataset:
    """Features (n, 64) with mean 0 and deviation 1, labels (n,)."""
    features, labels = load_digits(return_X_y=True)
    scaled = StandardScaler().fit_transform(features)
    return TensorDataset(torch.tensor(scaled, dtype=torch.float32), torch.tensor(labels))


def main(run: str = "runs/ddp") -> None:
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    model = DistributedDataParallel(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    sampler = DistributedSampler(digits(), seed=0)
    loader = DataLoader(digits(), batch_size=32, sampler=sampler, drop_last=True)
    with hw.watch(model, optimizer, every=10, run=run) as watch:
        for epoch in range(EPOCHS):
            sampler.set_epoch(epoch)
            for features, labels in loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(features), labels)
                loss.backward()
                watch.log(loss=loss)
                optimizer.step()
    dist.barrier()  # of the training's own: until every rank has closed its recording
    if dist.get_rank() == 0:
        report = hw.open_run(run).report()
        print(f"{dist.get_world_size()} ranks, {report.watch.sampled} steps measured: {report.verdict}")
        for finding in report.findings:
            print(f"  {finding.message}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
