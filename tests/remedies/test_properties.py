"""Whatever the network and whatever the remedy: what is promised of all of them, on trees that nobody wrote by hand."""

import copy
import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import headwater as hw
from headwater.probes.classify import activation_of
from headwater.remedies.data import Data
from headwater.remedies.order import order_of_model
from headwater.remedies.registry import REMEDIES
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import RemedyWarning, patch

ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "LeakyReLU": lambda: nn.LeakyReLU(0.2),
    "PReLU": nn.PReLU,
    "GELU": nn.GELU,
    "in place": lambda: nn.ReLU(inplace=True),
}
FUNCTIONS = (F.relu, torch.tanh, torch.sigmoid, lambda x: x.relu_(), lambda x: F.leaky_relu(x, 0.2), None)

hw.apply  # noqa: B018 - loads it: importing PyTorch's parts for the first time draws a number, whoever does it

# A second time adds to what the first time did, by design: penalties and decays act side by side.
ADD_UP = ("regularisation.l1", "regularisation.l2", "regularisation.weight_decay")

# What they change are the optimizer's settings, or which weights it holds: tests/remedies/test_optimising.py.
NOTHING_TO_CHANGE_IN_A_PLAIN_OPTIMIZER = ("optimisation.rebind", "regularisation.reduce_weight_decay")
OF_THE_OPTIMIZER = tuple(
    remedy for remedy in REMEDIES if remedy.startswith(("optimisation.", "regularisation.reduce_"))
)


class Written(nn.Module):
    """A forward as people write it: a loop, functions, modules that run again, dropout that asks for the mode."""

    def __init__(self, layers: list[nn.Module], function: Any, shared: nn.Module | None, skip: bool, p: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function, self.shared, self.skip, self.p = function, shared, skip, p

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y = layer(x)
            if self.function is not None:
                y = self.function(y)
            if self.shared is not None:
                y = self.shared(y)
            if self.p:
                y = F.dropout(y, self.p, training=self.training)
            x = x + y if self.skip and y.shape == x.shape and isinstance(x, Tensor) and not self._traced(x) else y
        return x

    @staticmethod
    def _traced(x: Any) -> bool:
        return isinstance(x, torch.fx.Proxy)


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """A network of vectors of 6 units in and 3 out, in any dtype and mode, parts of it frozen or tied."""
    torch.manual_seed(draw(st.integers(0, 3)))
    parts: list[nn.Module] = []
    width = 6
    reused = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]()
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["layer", "layer", "nested", "written"]))
        out = draw(st.sampled_from([6, 6, 8]))
        activation = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]()
        if kind == "written":
            layers: list[nn.Module] = [nn.Linear(width, width) for _ in range(draw(st.integers(1, 2)))]
            function = draw(st.sampled_from(FUNCTIONS))
            shared = reused if draw(st.booleans()) else None
            parts.append(Written(layers, function, shared, False, draw(st.sampled_from([0.0, 0.5]))))
            continue
        block: list[nn.Module] = [nn.Linear(width, out, bias=draw(st.booleans()))]
        if draw(st.booleans()):
            block.append(draw(st.sampled_from([nn.BatchNorm1d, nn.LayerNorm]))(out))
        block.append(reused if draw(st.booleans()) else activation)
        if draw(st.booleans()):
            block.append(nn.Dropout(0.2))
        parts += [nn.Sequential(*block)] if kind == "nested" else block
        width = out
    model = nn.Sequential(*parts, nn.Linear(width, 3))
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if draw(st.booleans()):
        linear[0].weight.requires_grad_(False)
    alike = [(a, b) for a in linear for b in linear if a is not b and a.weight.shape == b.weight.shape]
    if alike and draw(st.booleans()):
        alike[0][1].weight = alike[0][0].weight
    model = model.to(draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16])))
    return model.train(draw(st.booleans()))


def batch_for(model: nn.Module) -> Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1)).to(next(model.parameters()).dtype)


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    return model(batch).float().square().mean()


def optimizer_for(model: nn.Module) -> torch.optim.Optimizer:
    """Two groups with settings of their own, one parameter left out, and a state from one step."""
    parameters = [p for p in model.parameters() if p.requires_grad][1:] or list(model.parameters())
    decayed, spared = [p for p in parameters if p.dim() > 1], [p for p in parameters if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1, "lr": 0.01}, {"params": spared, "weight_decay": 0.0, "lr": 0.02}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
    loss(model, batch_for(model)).backward()
    optimizer.step()
    return optimizer


def snapshot(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Everything of both that could move, by value."""
    return {
        "text": str(model),
        "classes": [type(m) for m in model.modules()],
        "modes": [m.training for m in model.modules()],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "ids": [id(p) for p in model.parameters()],
        "groups": [[id(p) for p in g["params"]] for g in optimizer.param_groups],
        "optimizer": copy.deepcopy(optimizer.state_dict()),
        "torch's random numbers": torch.get_rng_state(),
        "Python's random numbers": random.getstate(),
        "numpy's random numbers": str(np.random.get_state()[1:]) + str(np.random.get_state()[1].tolist()),
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def moved(model: nn.Module, optimizer: torch.optim.Optimizer, before: dict[str, Any]) -> list[str]:
    """What is not as it was."""
    now = snapshot(model, optimizer)
    return [name for name in before if not same(now[name], before[name])]


def state(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.state_dict())


def modes(model: nn.Module) -> list[bool]:
    """Those that do something: an activation computes the same in training and in evaluation."""
    return [m.training for m in model.modules() if activation_of(m) is None]


def positions(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[list[int]]:
    """The groups, each parameter by its place in the model."""
    places = {id(p): i for i, p in enumerate(model.parameters())}
    return [[places[id(p)] for p in group["params"]] for group in optimizer.param_groups]


@pytest.mark.parametrize("remedy", REMEDIES)
@settings(max_examples=12, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(model=networks())
def test_every_remedy_keeps_what_is_promised(remedy: str, model: nn.Module) -> None:
    given_batch = batch_for(model)
    data = {"batches": (given_batch,), "loss": loss}
    try:
        optimizer = optimizer_for(model)
    except RuntimeError:  # in place on what another function's backward needs: no network that anybody trains
        reject()
    before = snapshot(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RemedyWarning)
        try:
            applied, rebound = hw.apply(model, remedy, optimizer, seed=3, **data)
        except hw.InputError as refusal:
            _says_why(remedy, str(refusal))
            assert moved(model, optimizer, before) == []
            return
        assert moved(model, optimizer, before) == []
        _works(applied, rebound, model, optimizer, keeps_settings=remedy not in OF_THE_OPTIMIZER)
        again, _ = hw.apply(model, remedy, optimizer, seed=3, **data)
        assert same(state(applied), state(again))
        if remedy not in NOTHING_TO_CHANGE_IN_A_PLAIN_OPTIMIZER:
            _is_what_the_patch_makes(remedy, model, data)
        if remedy not in (*ADD_UP, *OF_THE_OPTIMIZER):
            _twice_is_once_or_refused(remedy, model, data)


def _says_why(remedy: str, refusal: str) -> None:
    assert refusal.startswith(remedy) or "moves none of the weights" in refusal or remedy in OF_THE_OPTIMIZER
    assert len(refusal) > len(remedy) + 20


def _works(
    applied: nn.Module, rebound: Any, model: nn.Module, optimizer: torch.optim.Optimizer, keeps_settings: bool
) -> None:
    """It is trained on, in the dtype it had, by the rates it had, and shares nothing with the original."""
    assert {p.dtype for p in applied.parameters()} == {p.dtype for p in model.parameters()}
    assert not {id(p) for p in applied.parameters()} & {id(p) for p in model.parameters()}
    if keeps_settings:
        settings_before = [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups]
        settings_after = [(g["lr"], g["weight_decay"]) for g in rebound.param_groups]
        assert settings_after[: len(settings_before)] == settings_before
        assert all(decay == 0.0 for _, decay in settings_after[len(settings_before) :])
    held = {id(p) for group in rebound.param_groups for p in group["params"]}
    assert held <= {id(p) for p in applied.parameters()}
    clean = copy.deepcopy(applied).train()
    value = loss(clean, batch_for(model))
    value.backward()
    assert bool(torch.isfinite(value))
    tied = [
        (a, b)
        for a, first in model.named_modules()
        for b, second in model.named_modules()
        if a < b and isinstance(first, nn.Linear) and isinstance(second, nn.Linear) and first.weight is second.weight
    ]
    linear = [m for m in applied.modules() if isinstance(m, nn.Linear)]
    if tied:
        assert len({id(m.weight) for m in linear}) < len(linear)


def _is_what_the_patch_makes(remedy: str, model: nn.Module, data: dict[str, Any]) -> None:
    """The patch, run by the user on a model and an optimizer of his own, ends in the same two."""
    namespace: dict[str, Any] = {}
    exec(patch(model, [remedy], order_of_model(model), seed=3, data=Data(**data)), namespace)
    pasted = namespace["repair"](copy.deepcopy(model))
    applied, rebound = hw.apply(model, remedy, torch.optim.AdamW(model.parameters(), weight_decay=0.0), seed=3, **data)
    assert str(pasted) == str(applied)
    assert [type(m).__name__ for m in pasted.modules()] == [type(m).__name__ for m in applied.modules()]
    assert modes(pasted) == modes(applied)
    assert same(state(pasted), state(applied))
    own = torch.optim.AdamW(pasted.parameters(), weight_decay=0.0)
    if "repair_optimizer" in namespace:
        own = namespace["repair_optimizer"](pasted, own)
    assert {i for g in positions(pasted, own) for i in g} == {i for g in positions(applied, rebound) for i in g}
    results = []
    for network, stepper in ((pasted, own), (applied, rebound)):
        torch.manual_seed(5)
        stepper.zero_grad()  # the original's gradients were copied along with it
        loss(network, data["batches"][0]).backward()
        stepper.step()
        results.append(state(network))
    assert same(*results)


def _twice_is_once_or_refused(remedy: str, model: nn.Module, data: dict[str, Any]) -> None:
    """Either there is nothing left to do, or doing it again gives the same."""
    once = hw.apply(model, remedy, seed=3, **data)
    try:
        twice = hw.apply(once, remedy, seed=3, **data)
    except NotApplicableError:
        return
    assert str(once) == str(twice)
    assert same(state(once), state(twice))
