"""Shortcuts as modules. Copied into patches as they stand: torch is all they need."""

import torch
from torch import nn


class Join(nn.Module):
    """x + y."""

    def forward(self, x, y):
        """What went in, and what a block made of it."""
        return x + y


class GatedJoin(nn.Module):
    """x + gate * y, with a gate that starts at zero and is learned."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, x, y):
        """What went in, and the share of what a block made of it that the gate lets through."""
        return x + self.gate * y


class Shortcut(nn.Module):
    """join(x, block(norm(x)))."""

    def __init__(self, norm, block, join):
        super().__init__()
        self.norm, self.block, self.join = norm, block, join

    def forward(self, x):
        """The block, with its shortcut."""
        return self.join(x, self.block(self.norm(x)))


def put_shortcut(chain, children, norm, join):
    """Make some neighbours in an nn.Sequential one block with a shortcut, under the name of the first.

    nn.Identity stands where the others were, so that whatever follows keeps its name.
    """
    first, *others = children
    block = nn.Sequential(*map(chain.get_submodule, children))
    shortcut = Shortcut(norm, block, join)
    for new in (norm, join, block, shortcut):
        new.training = chain.training
    chain.add_module(first, shortcut)
    for other in others:
        chain.add_module(other, nn.Identity().train(chain.training))
