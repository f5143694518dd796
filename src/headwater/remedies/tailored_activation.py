"""The module that tailoring puts in place of an activation. Copied into patches as it stands: torch is all it needs."""

from torch import nn


class Tailored(nn.Module):
    """gamma * (activation(alpha * x + beta) + delta)."""

    def __init__(self, activation, alpha, beta, gamma, delta):
        super().__init__()
        self.activation = activation
        self.alpha, self.beta, self.gamma, self.delta = alpha, beta, gamma, delta

    def forward(self, x):
        """The activation, its input and its output each stretched and moved."""
        return self.gamma * (self.activation(self.alpha * x + self.beta) + self.delta)

    def extra_repr(self):
        """The four numbers."""
        return f"alpha={self.alpha:.6g}, beta={self.beta:.6g}, gamma={self.gamma:.6g}, delta={self.delta:.6g}"
