"""The module that takes the scale of the data out. Copied into patches as it stands: torch is all it needs."""

import torch
from torch import nn


class Standardised(nn.Module):
    """A layer whose input is standardised: less its mean, over its spread. All else is the layer's own."""

    def __init__(self, layer, mean, std):
        super().__init__()
        self.layer = layer
        like = next(layer.parameters())
        dtype = torch.promote_types(like.dtype, torch.float32)
        self.register_buffer("mean", torch.tensor(mean, dtype=dtype, device=like.device))
        self.register_buffer("std", torch.tensor(std, dtype=dtype, device=like.device))
        self.train(layer.training)

    def forward(self, x, *args, **kwargs):
        """In the precision of the numbers, not of the input: bytes in float16 may be far from their mean."""
        return self.layer(((x - self.mean) / self.std).to(x.dtype), *args, **kwargs)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)
