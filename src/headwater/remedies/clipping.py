"""What shortens gradients before an update. Copied into patches as it stands: torch is all it needs."""

import torch

from headwater.remedies.before_update import BeforeUpdate


class ClipNorm(BeforeUpdate):
    """Scales all gradients an optimizer is about to use by one number, so that their norm together is at most this."""

    def __init__(self, max_norm):
        super().__init__((), max_norm)

    def act(self, optimizer, first):
        """Of gradients that a fused optimizer has yet to unscale, the limit is scaled instead."""
        if getattr(optimizer, "found_inf", None):
            return
        scale = getattr(optimizer, "grad_scale", None)
        limit = self.strength if scale is None else self.strength * float(scale)
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_([weight for weight in weights if weight.grad is not None], limit)


class AdaptiveClip(BeforeUpdate):
    """Scales the gradient of each unit so that its norm is at most this share of its weights' norm.

    A unit is what one output is made with: a row of a matrix, a filter; a vector is one unit. Weights below a
    thousandth count as a thousandth, or those that start at zero could never move.
    """

    @torch.no_grad()
    def act(self, optimizer, first):
        """Of gradients that a fused optimizer has yet to unscale, the limit is scaled instead."""
        scale = getattr(optimizer, "grad_scale", None)
        for weight, _ in self.held(optimizer):
            if weight.grad is None or weight.grad.is_sparse:
                continue
            limit = self.norm(weight).clamp_min(1e-3) * self.strength
            limit = limit if scale is None else limit * scale
            weight.grad.mul_((limit / self.norm(weight.grad).clamp_min(1e-30)).clamp_max(1.0).to(weight.grad.dtype))

    def norm(self, tensor):
        """Of each unit, in at least float32."""
        dims = list(range(1, tensor.dim())) or None
        dtype = torch.promote_types(tensor.dtype, torch.float32)
        return torch.linalg.vector_norm(tensor, dim=dims, keepdim=dims is not None, dtype=dtype)
