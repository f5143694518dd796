"""A loop of one's own with Accelerate, watched, four batches per step.

Install what it needs with `pip install "headwater[accelerate]"`.
"""

import torch
from accelerate import Accelerator
from torch import nn

from headwater.integrations.accelerate import watch

BATCHES = 80


def main() -> None:
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 2))
    model, optimizer = accelerator.prepare(net, torch.optim.Adam(net.parameters(), lr=1e-2))
    with watch(accelerator, model, optimizer, every=2) as watched:
        for _ in range(BATCHES):
            with accelerator.accumulate(model):
                x = torch.randn(64, 8)
                loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
                accelerator.backward(loss)
                watched.log(loss=loss)
                optimizer.step()
                optimizer.zero_grad()
    print(f"{BATCHES} batches, {watched.steps} steps, {watched.sampled} of them measured")
    print(watched.report())


if __name__ == "__main__":
    main()
