"""A small transformer sharded over several processes with FSDP2, in bfloat16, watched as a single process is.

    torchrun --nproc-per-node 2 examples/distributed/fsdp.py [RUN]

Each rank holds a piece of every weight and measures that piece. Read, the pieces add up to the whole.
"""

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

import headwater as hw

STEPS, BATCH, LENGTH, WORDS, WIDTH = 60, 16, 12, 17, 32


class Successor(nn.Module):
    """Says of each letter of a text which one comes next in the alphabet."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.place = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(WIDTH, 4, 64, 0.0, batch_first=True) for _ in range(2))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.place
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def main(run: str = "runs/fsdp") -> None:
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = Successor()
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for block in model.blocks:
        fully_shard(block, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    torch.manual_seed(dist.get_rank())  # data of its own
    with hw.watch(model, optimizer, every=5, run=run) as watch:
        for _ in range(STEPS):
            tokens = torch.randint(0, WORDS, (BATCH, LENGTH))
            optimizer.zero_grad()
            logits = model(tokens).float()
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), (tokens + 1).remainder(WORDS).flatten())
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
    dist.barrier()  # of the training's own: until every rank has closed its recording
    if dist.get_rank() == 0:
        recorded = hw.open_run(run)
        loss = recorded.scalars()["loss"].values
        print(f"{dist.get_world_size()} ranks, loss {loss[0]:.2f} at first and {loss[-1]:.2f} at the end")
        for finding in recorded.report().findings:
            print(f"  {finding.message}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
