"""Every remedy on every model: its patch makes the very change that ``apply`` makes, or the refusal says what would."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.data import Data
from headwater.remedies.order import order_of_model
from headwater.remedies.registry import REMEDIES
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import patch


def chain(activation, widths=(16, 16, 16, 16, 4)) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def convolutional(activation) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        activation(),
        nn.Conv2d(8, 8, 3, padding=1),
        activation(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 6),
        activation(),
        nn.Linear(6, 3),
    )


class Reused(nn.Module):
    """One activation under two names, running three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(8, 8) for _ in range(3))
        self.act = nn.Sigmoid()
        self.alias = self.act

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.alias(self.second(self.act(self.first(x)))))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.act, self.last = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        return self.head(x + self.last(self.branch(x)))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


MODELS = {
    "sigmoid": (lambda: chain(nn.Sigmoid), (16,)),
    "relu": (lambda: chain(nn.ReLU), (16,)),
    "leaky": (lambda: chain(lambda: nn.LeakyReLU(0.2)), (16,)),
    "uneven": (lambda: chain(nn.Tanh, (16, 24, 7, 12, 4)), (16,)),
    "convolutional-relu": (lambda: convolutional(nn.ReLU), (1, 4, 4)),
    "convolutional-tanh": (lambda: convolutional(nn.Tanh), (1, 4, 4)),
    "reused": (Reused, (8,)),
    "residual": (Residual, (8,)),
    "functional": (Functional, (8,)),
}

# What cannot be done, and what is said: the rest must be done.
NOTHING_TO_DO = {
    "optimisation.rebind": "holds every trained parameter",
    "optimisation.unfreeze": "is frozen.*optimisation.rebind",
    "regularisation.reduce_dropout": "has no dropout that is a module",
    "regularisation.reduce_weight_decay": "not above 0.0005",
    "normalisation.gather": "has no batch normalisation",
    "normalisation.per_sample": "has no batch normalisation",
    "activation.relu_between": "no two affine layers.*activation.relu",
    "loss.logits": "calls no cross-entropy",
    "loss.linear_output": "does not end in an activation with a bound",
    "init.embedding": "has no nn.Embedding inside it.*init.by_activation",
    "init.low_rank": "no two matrices of one module.*init.embedding",
    "structure.residual": "no two blocks of one class.*structure.prenorm",
    "recurrent.forget_bias": "has no nn.LSTM.*recurrent.orthogonal",
    "recurrent.orthogonal": "has no trained nn.RNN.*init.orthogonal",
}
RECTIFIERS = ("relu", "leaky", "convolutional-relu")
REFUSED: dict[tuple[str, str], str] = {
    **{(remedy, name): reason for remedy, reason in NOTHING_TO_DO.items() for name in MODELS},
    ("activation.sigmoid", "sigmoid"): "sigmoid already",
    ("activation.sigmoid", "reused"): "sigmoid already",
    ("activation.tanh", "uneven"): "tanh already",
    ("activation.tanh", "convolutional-tanh"): "tanh already",
    ("activation.leaky_relu", "leaky"): "leaky_relu already",
    **{("activation.relu", name): "relu already" for name in ("relu", "convolutional-relu", "residual", "functional")},
    **{("activation.relu_inside_tanh_out", name): r"self\.out\(x\)" for name in ("reused", "residual", "functional")},
    **{("activation.tailored", name): "tailored_leaky and init.mirrored" for name in RECTIFIERS},
    **{(f"activation.tailored{kind}", "residual"): "adds a shortcut" for kind in ("", "_leaky")},
    **{
        ("init.delta_orthogonal", name): "has no convolution.*init.orthogonal"
        for name in MODELS
        if "convolutional" not in name
    },
    **{
        ("init.mirrored", name): r'\["activation.relu", "init.mirrored"\]'
        for name in ("sigmoid", "uneven", "convolutional-tanh", "reused")
    },
    ("init.mirrored", "residual"): "adds a shortcut",
    ("normalisation.batch", "reused"): "runs at several places",
    ("normalisation.layer", "reused"): "runs at several places",
    **{(remedy, name): "gives as many" for remedy in ("structure.rezero", "structure.prenorm") for name in ("uneven",)},
    **{(f"structure.{kind}", "residual"): "adds a shortcut" for kind in ("rezero", "prenorm")},
    **{("init.critical", name): "edge of chaos of sigmoid.*activation.tailored" for name in ("sigmoid", "reused")},
    **{("normalisation.rms", f"convolutional-{name}"): "normalisation.group" for name in ("relu", "tanh")},
    ("normalisation.rms", "reused"): "runs at several places",
    ("normalisation.group", "reused"): "runs at several places",
    ("activation.tailored", "functional"): "tailored_leaky and init.mirrored",
}
CASES = [(remedy, model) for remedy in REMEDIES for model in MODELS]


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, shape: tuple[int, ...]) -> nn.Module:
    """The model after three steps on numbers that do not depend on anything."""
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(7)  # dropout
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(6, *shape, generator=generator)).square().mean().backward()
        optimizer.step()
    return model


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.012)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def data_for(shape: tuple[int, ...]) -> dict[str, Any]:
    """What remedies that measure are given: gradients smaller than those that are trained on."""
    generator = torch.Generator().manual_seed(11)
    batches = [torch.randn(6, *shape, generator=generator) / 2 for _ in range(3)]
    return {"batches": batches, "loss": lambda model, batch: model(batch).square().mean() / 10}


def by_hand(remedies: list[str], model: nn.Module, shape: tuple[int, ...]) -> tuple[nn.Module, torch.optim.Optimizer]:
    """What a user gets who pastes the patch."""
    namespace: dict = {}
    given = data_for(shape)
    data = Data(tuple(given["batches"]), given["loss"])
    exec(patch(model, remedies, order_of_model(model), data=data), namespace)
    pasted = namespace["repair"](copy.deepcopy(model))
    optimizer = adam(pasted)
    if "repair_optimizer" in namespace:
        optimizer = namespace["repair_optimizer"](pasted, optimizer)
    return pasted, optimizer


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize(("remedy", "name"), [case for case in CASES if case not in REFUSED])
def test_patch_run_by_the_user_makes_the_applied_change_exactly(remedy, name):
    make, shape = MODELS[name]
    model = make()
    original, optimizer = copy.deepcopy(model), adam(model)
    applied, rebound = hw.apply(model, remedy, optimizer, **data_for(shape))
    pasted, own = by_hand([remedy], model, shape)
    assert str(pasted) == str(applied)
    assert same_weights(pasted, applied)
    assert str(model) == str(original)
    assert same_weights(model, original)
    assert same_weights(trained(pasted, own, shape), trained(applied, rebound, shape))
    untouched = trained(original, adam(original), shape)
    assert str(applied) != str(untouched) or not same_weights(applied, untouched)


@pytest.mark.parametrize(("remedy", "name"), REFUSED)
def test_remedy_that_cannot_do_its_work_says_what_would(remedy, name):
    make, shape = MODELS[name]
    model = make()
    with pytest.raises(NotApplicableError, match=REFUSED[remedy, name]):
        hw.apply(model, remedy, adam(model), **data_for(shape))


SEVERAL = [
    (["activation.relu", "init.mirrored"], "sigmoid"),
    (["regularisation.dropout:0.25", "activation.relu", "init.he"], "sigmoid"),
    (["normalisation.batch", "activation.prelu", "regularisation.dropout", "regularisation.l2:0.1"], "sigmoid"),
    (["normalisation.layer", "init.orthogonal"], "convolutional-tanh"),
    (["activation.tailored", "init.xavier", "regularisation.weight_decay"], "uneven"),
    (["regularisation.l1:0.01", "regularisation.l2:0.01"], "relu"),
    (["activation.relu_inside_tanh_out", "normalisation.batch"], "uneven"),
    (["regularisation.dropout", "activation.tailored_leaky"], "reused"),
    (["activation.relu", "init.he", "data.standardise", "optimisation.clip_norm"], "sigmoid"),
    (["data.standardise", "normalisation.batch", "regularisation.dropout"], "convolutional-tanh"),
    (["optimisation.warmup:4", "regularisation.weight_decay", "optimisation.learning_rate:0.3"], "relu"),
    (["optimisation.depth_rate", "optimisation.adaptive_clip", "regularisation.l2:0.1"], "residual"),
    (["activation.leaky_relu", "normalisation.batch", "regularisation.dropout:0.1"], "functional"),
    (["activation.prelu", "structure.prenorm", "init.he"], "sigmoid"),
    (["normalisation.group", "structure.rezero", "init.orthogonal"], "convolutional-tanh"),
    (["normalisation.layer", "init.lsuv", "regularisation.l2"], "uneven"),
    (["activation.tanh", "structure.prenorm", "init.critical"], "functional"),
    (["structure.rezero", "regularisation.dropout"], "relu"),
]


@pytest.mark.parametrize(("remedies", "name"), SEVERAL)
def test_remedies_in_a_row_see_what_the_ones_before_have_left(remedies, name):
    make, shape = MODELS[name]
    model = make()
    applied, rebound = hw.apply(model, remedies, adam(model), **data_for(shape))
    step_by_step, optimizer = model, adam(model)
    for remedy in remedies:
        step_by_step, optimizer = hw.apply(step_by_step, remedy, optimizer, **data_for(shape))
    pasted, own = by_hand(remedies, model, shape)
    assert str(pasted) == str(applied) == str(step_by_step)
    assert same_weights(pasted, applied)
    assert same_weights(step_by_step, applied)
    trained(applied, rebound, shape)
    assert same_weights(trained(pasted, own, shape), applied)
    assert same_weights(trained(step_by_step, optimizer, shape), applied)


def test_second_of_two_normalisations_finds_its_place_taken():
    with pytest.raises(NotApplicableError, match="is normalised already"):
        hw.apply(chain(nn.ReLU), ["normalisation.batch", "normalisation.layer"])


def test_patch_needs_torch_and_nothing_else():
    code = patch(chain(nn.Sigmoid), ["activation.tailored", "regularisation.l1"], order_of_model(chain(nn.Sigmoid)))
    imports = [line for line in code.splitlines() if "import" in line.split()]
    assert imports == ["import torch", "from torch import nn"]
    assert code.count("class BeforeUpdate") == 1
