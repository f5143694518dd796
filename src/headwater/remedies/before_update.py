"""What acts between a gradient and the update made of it. Copied into patches as it stands: torch is all it needs."""

import torch


class BeforeUpdate:
    """Acts on weights when their gradients are there and the update has not been made yet.

    For ``optimizer.register_step_pre_hook``; also where ``step`` is given a closure that computes the gradients.
    """

    def __init__(self, weights, strength):
        self.weights, self.strength = weights, strength

    def attach(self, optimizer):
        """Let it act on every update, in the place of one of its kind that did so before."""
        hooks = optimizer._optimizer_step_pre_hooks
        for key in [key for key, hook in hooks.items() if type(hook).__name__ == type(self).__name__]:
            del hooks[key]
        optimizer.register_step_pre_hook(self)

    def __call__(self, optimizer, args, kwargs):
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self.act(optimizer, True)
            return None
        calls = []

        def closure_and_act():
            loss = closure()
            self.act(optimizer, not calls)
            calls.append(loss)
            return loss if loss is None else loss + self.penalty()

        return (optimizer, closure_and_act, *args[2:]), {k: v for k, v in kwargs.items() if k != "closure"}

    def held(self, optimizer):
        """The weights this optimizer is about to move, each with its group; none if a scaler tells it to skip."""
        if getattr(optimizer, "found_inf", None):
            return []
        chosen = {id(weight) for weight in self.weights if weight.requires_grad}
        return [(p, group) for group in optimizer.param_groups for p in group["params"] if id(p) in chosen]

    def act(self, optimizer, first):
        """Change gradients or weights, which every kind does its own way.

        ``first`` is false if a closure is called again within one step. Abstract by raising: torch is all this needs.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it changes before an update")

    def penalty(self):
        """What is added to the loss."""
        return 0.0


class WeightPenalty(BeforeUpdate):
    """Lets the optimizer step on loss + strength * sum of |w| (power 1), or on loss + strength / 2 * sum of w² (2)."""

    def __init__(self, weights, strength, power):
        super().__init__(weights, strength)
        self.power = power

    @torch.no_grad()
    def act(self, optimizer, first):
        """Add the gradient of the penalty; an optimizer that unscales gradients itself gets it scaled."""
        scale = getattr(optimizer, "grad_scale", None)
        for weight, _ in self.held(optimizer):
            slope = self.strength * (weight.sign() if self.power == 1 else weight)
            slope = slope if scale is None else slope * scale
            weight.grad = slope if weight.grad is None else weight.grad.add_(slope)

    @torch.no_grad()
    def penalty(self):
        """The penalty itself, for optimizers that compare losses within a step."""
        return self.strength / self.power * sum(weight.abs().pow(self.power).sum() for weight in self.weights)


class WeightDecay(BeforeUpdate):
    """Shrinks the weights by learning rate * strength at each step, whatever the gradient and what is made of it."""

    @torch.no_grad()
    def act(self, optimizer, first):
        """Shrink those that are about to be updated."""
        for weight, group in self.held(optimizer) if first else []:
            if weight.grad is not None:
                weight.mul_(1 - group["lr"] * self.strength)
