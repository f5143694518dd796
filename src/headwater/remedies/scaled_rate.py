"""What changes the learning rate of the steps themselves. Copied into patches as it stands: torch is all it needs."""

from headwater.remedies.before_update import BeforeUpdate


class ScaledRate(BeforeUpdate):
    """Multiplies the learning rate while the optimizer steps and no longer: a schedule may set another at any time.

    Each group keeps its own rate, and what it says between steps is what the schedule has made of it.
    """

    def __init__(self, factor):
        super().__init__((), factor)
        self.rates = None

    def attach(self, optimizer):
        """Before all others, and after a step too: a schedule that steps in a hook goes on from its own rate."""
        for hooks in (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks):
            for key, hook in list(hooks.items()):
                if type(getattr(hook, "__self__", hook)).__name__ == type(self).__name__:
                    del hooks[key]
        self.rates = None
        handles = optimizer.register_step_pre_hook(self), optimizer.register_step_post_hook(self.put_back)
        optimizer._optimizer_step_pre_hooks.move_to_end(handles[0].id, last=False)
        optimizer._optimizer_step_post_hooks.move_to_end(handles[1].id, last=False)

    def __call__(self, optimizer, args, kwargs):
        if self.rates is not None:  # the step before this one raised an error and never came to an end
            self.put_back(optimizer)
        self.rates = [group.get("lr") for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            if "lr" in group:
                group["lr"] = group["lr"] * self.factor()

    def put_back(self, optimizer, args=(), kwargs=None):
        """What the groups said before the step; one that has joined since keeps what it says."""
        for group, rate in zip(optimizer.param_groups, self.rates or (), strict=False):
            if "lr" in group:
                group["lr"] = rate
        self.rates = None

    def factor(self):
        """Of the next step."""
        return self.strength


class WarmUp(ScaledRate):
    """Lets the learning rate rise to its value in equal parts over the first steps."""

    def __init__(self, steps, done=0):
        super().__init__(steps)
        self.done = done

    def put_back(self, optimizer, args=(), kwargs=None):
        """One more step is done."""
        super().put_back(optimizer, args, kwargs)
        self.done += 1

    def factor(self):
        """The first step has one part, the last of the warm-up all of them."""
        return min(1.0, (self.done + 1) / self.strength)
