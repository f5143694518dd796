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


class ShortcutRound(nn.Module):
    """join(x, block(norm(x), ...)) round a module that takes more than x; whoever asks for its parts finds them."""

    def __init__(self, norm, block, join):
        super().__init__()
        self.norm, self.block, self.join = norm, block, join

    def __getattr__(self, name):
        """What is not its own is the block's."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, x, *others, **named):
        """The block, with its shortcut; what else it is called with goes to the block."""
        return self.join(x, self.block(self.norm(x), *others, **named))


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


def put_shortcut_round(model, names, norm, join):
    """Put a shortcut round a module, under every name it goes by."""
    block = model.get_submodule(names[0])
    for new in (norm, join):
        new.train(block.training)
    shortcut = ShortcutRound(norm, block, join)
    shortcut.training = block.training
    for name in names:
        model.set_submodule(name, shortcut)
