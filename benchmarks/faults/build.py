"""The parts that recipes are put together from: experiments, optimizers, initialisations, and ways to spoil them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults.data import Split
from headwater.demo import accuracy, cross_entropy
from headwater.records import Experiment

Draw = Callable[[Tensor], Any]
Optimize = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
Change = Callable[[Any], Any]
Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Iterable[Any]], float]
Pack = Callable[[Tensor, Tensor], Any]


def experiment(
    model: Callable[[], nn.Module],
    data: Split,
    optimizer: Optimize,
    *,
    loss: Loss = cross_entropy,
    metric: Metric = accuracy,
    batch_size: int = 64,
    change: Change | None = None,
    pack: Pack | None = None,
) -> Experiment:
    """An experiment in minibatches.

    Args:
        model: Makes the network.
        data: What it learns.
        optimizer: Of its parameters.
        loss: Of the network and a batch.
        metric: Held-out, higher is better.
        batch_size: Samples per step; all of them if there are fewer.
        change: What is done to a network that has just been made; it may give another one back.
        pack: What a batch is made of its inputs and targets; the two as they are by default.
    """
    packed = pack or (lambda x, y: (x, y))

    def made() -> nn.Module:
        network = model()
        changed = change(network) if change else None
        return network if changed is None else changed

    return Experiment(
        model=made,
        batches=lambda: [packed(*batch) for batch in minibatches(data.train, batch_size)],
        loss=loss,
        optimizer=optimizer,
        validation=lambda: [packed(*data.test)],
        metric=metric,
        metric_name=metric.__name__,
    )


def minibatches(data: tuple[Tensor, Tensor], size: int) -> list[tuple[Tensor, Tensor]]:
    """One epoch of full batches in an order drawn from torch's random state."""
    inputs, targets = data
    size = min(size, len(inputs))
    order = torch.randperm(len(inputs))
    return [(inputs[rows], targets[rows]) for rows in order.split(size) if len(rows) == size]


# Losses


def binary_cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Of logits."""
    return F.binary_cross_entropy_with_logits(model(batch[0]), batch[1])


def probability_cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Of probabilities."""
    return F.binary_cross_entropy(model(batch[0]), batch[1])


def log_of_probabilities(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy as it stands in a textbook: nothing keeps the logarithm away from 0."""
    probabilities = torch.softmax(model(batch[0]), 1)
    wanted = F.one_hot(batch[1], probabilities.shape[1])
    return -(wanted * torch.log(probabilities)).sum(1).mean()


def squared_error(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error."""
    return F.mse_loss(model(batch[0]), batch[1])


def huber(model: nn.Module, batch: Any) -> Tensor:
    """Huber's loss."""
    return F.huber_loss(model(batch[0]), batch[1])


def broadcast_error(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error of an (n, 1) prediction and an (n,) target, which PyTorch spreads to (n, n)."""
    return (model(batch[0]) - batch[1][:, 0]).square().mean()


def reconstruction_error(model: nn.Module, batch: Any) -> Tensor:
    """Mean squared error of an autoencoder."""
    return F.mse_loss(model(batch[0]), batch[0])


def token_cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of each token of a sequence."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


# Metrics


def binary_accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of logits on the right side of 0."""
    return _mean([((model(x) > 0) == (y > 0.5)).float() for x, y in batches])


def probability_accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of probabilities on the right side of one half."""
    return _mean([((model(x) > 0.5) == (y > 0.5)).float() for x, y in batches])


def token_accuracy(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of tokens told right."""
    return _mean([(model(x).argmax(-1) == y).float() for x, y in batches])


def explained(model: nn.Module, batches: Iterable[Any]) -> float:
    """R², the share of the targets' variance that is explained; below 0 for worse than their mean, at most to -1."""
    return _explained([(model(x), y) for x, y in batches])


def explained_input(model: nn.Module, batches: Iterable[Any]) -> float:
    """R² of an autoencoder's reconstruction."""
    return _explained([(model(x), x) for x, _ in batches])


def _explained(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    given, wanted = (torch.cat(part).double() for part in zip(*pairs, strict=True))
    error = (given - wanted).square().mean() / (wanted - wanted.mean(0)).square().mean()
    return float((1 - error).clamp(min=-1.0))


def _mean(parts: Sequence[Tensor]) -> float:
    return float(torch.cat(parts).mean())


# Optimizers


def adam(lr: float = 1e-3, **options: Any) -> Optimize:
    """Adam."""
    return lambda parameters: torch.optim.Adam(trainable(parameters), lr=lr, **options)


def adamw(lr: float = 1e-3, **options: Any) -> Optimize:
    """Adam with decoupled weight decay."""
    return lambda parameters: torch.optim.AdamW(trainable(parameters), lr=lr, **options)


def sgd(lr: float, **options: Any) -> Optimize:
    """Stochastic gradient descent."""
    return lambda parameters: torch.optim.SGD(trainable(parameters), lr=lr, **options)


def rmsprop(lr: float = 1e-3, **options: Any) -> Optimize:
    """RMSprop."""
    return lambda parameters: torch.optim.RMSprop(trainable(parameters), lr=lr, **options)


def adagrad(lr: float = 1e-2, **options: Any) -> Optimize:
    """Adagrad, which takes sparse gradients."""
    return lambda parameters: torch.optim.Adagrad(trainable(parameters), lr=lr, **options)


def nadam(lr: float = 2e-3, **options: Any) -> Optimize:
    """Adam with Nesterov's momentum."""
    return lambda parameters: torch.optim.NAdam(trainable(parameters), lr=lr, **options)


def undecayed(make: Callable[..., torch.optim.Optimizer], decay: float, **options: Any) -> Optimize:
    """Weight decay on matrices alone, none on biases and what normalises: two groups of parameters."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        known = trainable(parameters)
        matrices, others = ([p for p in known if (p.dim() > 1) is matrix] for matrix in (True, False))
        groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
        return make(groups, **options)

    return made


def trainable(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Those that ask for a gradient, as people filter them."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def clipped(make: Optimize, largest: float) -> Optimize:
    """Gradients clipped element by element before the step."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        known = trainable(parameters)
        for parameter in known:
            parameter.register_hook(lambda gradient: gradient.clamp(-largest, largest))
        return make(known)

    return made


def warmed(make: Optimize, steps: int) -> Optimize:
    """A learning rate that rises to its value over the first steps (Goyal et al. 2017, section 2.2)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / steps, total_iters=steps)
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        return optimizer

    return made


def one_cycle(make: Optimize, highest: float, steps: int) -> Optimize:
    """A learning rate that rises to its highest and falls again within so many steps (Smith and Topin 2019)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps + 1)
        optimizer.register_step_post_hook(lambda *_: schedule.step() if schedule.last_epoch < steps else None)
        return optimizer

    return made


def norm_clipped(make: Optimize, largest: float) -> Optimize:
    """Gradients clipped by the norm of all of them together before the step (Pascanu et al. 2013)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        known = trainable(parameters)
        optimizer = make(known)

        def clip(*_: Any) -> None:
            nn.utils.clip_grad_norm_(known, largest)

        optimizer.register_step_pre_hook(clip)
        return optimizer

    return made


class Lion(torch.optim.Optimizer):
    """Steps by the sign of a mean of gradients, as somebody writes it from the paper (Chen et al. 2023)."""

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            fast, slow = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(torch.lerp(parameter.grad, mean, fast).sign(), alpha=-group["lr"])
                mean.lerp_(parameter.grad, 1 - slow)


def lion(lr: float = 3e-4, **options: Any) -> Optimize:
    """Lion by hand."""
    return lambda parameters: Lion(trainable(parameters), lr=lr, **options)


def forgetful(make: Optimize) -> Optimize:
    """Gradients that nobody sets to zero between steps."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        optimizer.zero_grad = lambda set_to_none=True: None  # type: ignore[method-assign]
        return optimizer

    return made


def decaying(make: Optimize, gamma: float, every: int) -> Optimize:
    """A rate that falls by a factor every so many steps (StepLR)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, every, gamma)
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        return optimizer

    return made


def annealed(make: Optimize, steps: int) -> Optimize:
    """A learning rate that falls to 0 over so many steps, as half a cosine (Loshchilov and Hutter 2017)."""

    def made(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
        optimizer = make(parameters)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        optimizer.register_step_post_hook(lambda *_: schedule.step() if schedule.last_epoch < steps else None)
        return optimizer

    return made


def of_the_last(make: Optimize, count: int) -> Optimize:
    """An optimizer that was given the last few parameters only."""
    return lambda parameters: make(trainable(parameters)[-count:])


def of_the_first(make: Optimize, count: int) -> Optimize:
    """An optimizer that was given the first few parameters only."""
    return lambda parameters: make(trainable(parameters)[:count])


def of_a_copy(make: Optimize) -> Optimize:
    """An optimizer of the parameters of another instance of the network."""
    return lambda parameters: make([nn.Parameter(parameter.detach().clone()) for parameter in parameters])


# Initialisations


def drawn(model: nn.Module, draw: Draw | None) -> nn.Module:
    """The network with the weights of its affine maps drawn anew and their biases at 0; untouched for ``None``."""
    for module in model.modules():
        if draw is not None and isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def he(weight: Tensor) -> None:
    """He et al. 2015, for rectifiers."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def xavier(weight: Tensor) -> None:
    """Glorot and Bengio 2010."""
    nn.init.xavier_normal_(weight)


def lecun(weight: Tensor) -> None:
    """LeCun et al. 1998, for SELU."""
    nn.init.kaiming_normal_(weight, nonlinearity="linear")


def orthogonal(weight: Tensor) -> None:
    """Saxe et al. 2014."""
    nn.init.orthogonal_(weight)


def normal(spread: float) -> Draw:
    """N(0, spread²), whatever the fan-in."""
    return lambda weight: nn.init.normal_(weight, 0.0, spread)


def constant(value: float) -> Draw:
    """Every weight the same."""
    return lambda weight: nn.init.constant_(weight, value)


# Ways to spoil a network that has been made


def all_of(*changes: Change) -> Change:
    """One change after another."""

    def change(model: nn.Module) -> None:
        for each in changes:
            each(model)

    return change


def biased(value: float, *names: str) -> Change:
    """Start the biases of some layers far from 0."""

    def change(model: nn.Module) -> None:
        for name in names:
            nn.init.constant_(model.get_submodule(name).bias, value)

    return change


def scaled(factor: float, *names: str) -> Change:
    """Start the weights of some modules too large or too small."""

    def change(model: nn.Module) -> None:
        with torch.no_grad():
            for name in names:
                for parameter in model.get_submodule(name).parameters():
                    parameter.mul_(factor)

    return change


def redrawn(draw: Draw, *names: str) -> Change:
    """Draw the weights of some modules anew."""

    def change(model: nn.Module) -> None:
        for name in names:
            for parameter in model.get_submodule(name).parameters():
                if parameter.dim() > 1:
                    draw(parameter)

    return change


def frozen(*names: str) -> Change:
    """Freeze some modules."""

    def change(model: nn.Module) -> None:
        for name in names:
            model.get_submodule(name).requires_grad_(False)

    return change


def evaluating(model: nn.Module) -> None:
    """Leave the network in the mode for evaluation."""
    model.eval()


class Chain(nn.Sequential):
    """Layers in a row, cut off from what is before the layer of that index if one is given."""

    def __init__(self, *layers: nn.Module, cut: int | None = None) -> None:
        super().__init__(*layers)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the layers take and give."""
        for index, layer in enumerate(self):
            if index == self.cut:
                x = x.detach()
            x = layer(x)
        return x


def between(first: int, last: int, prefix: str = "") -> tuple[str, ...]:
    """Names of a chain's layers from one index to before another."""
    return tuple(f"{prefix}{index}" for index in range(first, last))
