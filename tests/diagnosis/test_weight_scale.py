"""Weights that start too small or too large are told by what comes of them; designs that want them so are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.diagnosis.weight_scale import large_layers, small_layers
from headwater.probes.measure import measure
from headwater.report import Report
from tests.cases import ACTIVATIONS, CASES, LoRA, Residual, ReZero, cross_entropy, plain_mlp, tokens, vectors


def drawn(model: nn.Module, draw: Callable[[Tensor], Any], *names: str) -> nn.Module:
    """The affine layers drawn anew, all of them or those with these names."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and (not names or name in names):
            draw(layer.weight)
    return model


def normal(std: float) -> Callable[[Tensor], Any]:
    return partial(nn.init.normal_, std=std)


def found(report: Report) -> set[str]:
    return {*(f.symptom for f in report.findings), *(c.symptom for f in report.findings for c in f.consequences)}


def fitted(model: nn.Module) -> nn.Module:
    """Trained until it knows a batch by heart."""
    optimizer, batch = torch.optim.Adam(model.parameters(), lr=1e-2), vectors()
    for _ in range(200):
        optimizer.zero_grad()
        cross_entropy(model, batch).backward()
        optimizer.step()
    return model


class Policy(nn.Module):
    """A small-gain head, as policies have it, on a trunk of gain √2."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = drawn(plain_mlp("tanh", depth=3, width=64), partial(nn.init.orthogonal_, gain=2**0.5))
        self.head = nn.Linear(3, 3)
        nn.init.orthogonal_(self.head.weight, gain=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.trunk(x)))


BY_DESIGN: dict[str, Callable[[], nn.Module]] = {
    **{f"as PyTorch draws it, {name}": partial(plain_mlp, name, depth=3) for name in ACTIVATIONS},
    "head at zero": lambda: drawn(plain_mlp(depth=4), nn.init.zeros_, "6"),
    "head small, as in a network of maximal update": lambda: drawn(plain_mlp(depth=4), normal(1e-3), "6"),
    "policy": Policy,
    "branches at zero": lambda: drawn(Residual(), nn.init.zeros_, *(f"blocks.{index}.3" for index in range(4))),
    "rezero": ReZero,
    "low rank": LoRA,
    "normalised": lambda: drawn(Residual(width=64), normal(0.02)),
    "orthogonal": lambda: drawn(plain_mlp("tanh", depth=5, width=64), nn.init.orthogonal_),
    "wide": lambda: drawn(plain_mlp(depth=3, width=512), nn.init.xavier_normal_),
    "fitted": lambda: fitted(plain_mlp(depth=4, width=64)),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("design", BY_DESIGN)
def test_design_is_left_alone(design: str, seed: int) -> None:
    torch.manual_seed(seed)
    report = hw.check(BY_DESIGN[design](), vectors(), cross_entropy)
    assert not found(report) & {"bad_init_small", "bad_init_large"}
    assert report.verdict in ("healthy", "cannot_tell")


def test_language_model_with_small_weights_and_embeddings_of_one_are_left_alone() -> None:
    torch.manual_seed(0)
    report = hw.check(*CASES["gpt2"].make())
    assert small_layers(report.flow)  # 0.02 is small for 32 units, and the normalisation at the end makes it good
    assert report.verdict == "healthy"
    model = nn.Sequential(nn.Embedding(20, 64), nn.Flatten(), nn.Linear(6 * 64, 64), nn.ReLU(), nn.Linear(64, 3))
    assert hw.check(model, tokens(64), cross_entropy).verdict == "healthy"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_pytorchs_own_start_lies_within_the_limits_of_every_activation(name: str) -> None:
    flow = measure(plain_mlp(name, depth=4, width=64), vectors(), cross_entropy)
    assert not small_layers(flow)
    assert not large_layers(flow)


@pytest.mark.parametrize("factor", [1 / 8, 1 / 2, 1.0, 2.0, 8.0])
def test_layer_is_small_or_large_by_a_factor_of_three(factor: float) -> None:
    model = plain_mlp("relu", "he", depth=4, width=64)
    model[2].weight.data *= factor
    flow = measure(model, vectors(), cross_entropy)
    assert [layer.site for layer in small_layers(flow)] == (["2"] if factor < 1 / 4 else [])
    assert [layer.site for layer in large_layers(flow)] == (["2"] if factor > 4 else [])


def test_normalisation_takes_the_scale_of_weights_out() -> None:
    layers = [nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3)]
    for draw in (normal(1e-4), normal(10.0)):
        flow = measure(drawn(nn.Sequential(*layers), draw, "0"), vectors(), cross_entropy)
        assert not small_layers(flow)
        assert not large_layers(flow)


def regression(model: Any, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[0][:, :3])


def targets(batch: Any) -> Any:
    return batch[0], batch[0][:, :3].clone()


def to_targets(model: Any, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("std", "symptom"), [(1e-3, "bad_init_small"), (2.0, "bad_init_large")])
def test_single_look_tells_it_in_any_unit(std: float, symptom: str, scale: float) -> None:
    torch.manual_seed(0)
    model = drawn(plain_mlp(depth=3, width=64), normal(std))
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.zeros_(parameter)
    for batch, loss in ((vectors(), cross_entropy), (targets(vectors()), to_targets)):
        report = hw.check(model, batch, lambda m, b, loss=loss: scale * loss(m, b))
        (finding,) = [f for f in report.findings if f.severity != "info"]
        assert finding.symptom == symptom
        assert set(finding.sites) <= {"0", "2", "4"}


def test_adam_makes_small_weights_large_by_itself() -> None:
    torch.manual_seed(0)
    model, batch = drawn(plain_mlp(depth=3, width=64), normal(1e-3)), vectors()
    nn.init.zeros_(model[4].bias)

    def check(optimizer: type[torch.optim.Optimizer]) -> Report:
        return hw.check(
            hw.Experiment(
                model=lambda: model,
                batches=lambda: [batch],
                loss=cross_entropy,
                optimizer=lambda parameters: optimizer(parameters, lr=1e-3),
            )
        )

    assert check(torch.optim.SGD).verdict == "findings"
    assert check(torch.optim.AdamW).verdict == "healthy"


class Attending(nn.Module):
    def __init__(self, std: float) -> None:
        super().__init__()
        self.norm, self.inward, self.head = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 3)
        nn.init.normal_(self.inward.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.inward(self.norm(x)).chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(query, key, value).mean(1))


def test_attention_that_looks_at_one_place_whatever_the_input_is_found() -> None:
    torch.manual_seed(0)
    batch = torch.randn(64, 16, 8), torch.randint(3, (64,))
    for std, expected in ((0.35, []), (10.0, ["bad_init_large"])):
        model = nn.Sequential(nn.ModuleDict({"block": Attending(std)})["block"])
        report = hw.check(model, batch, cross_entropy)
        assert [f.symptom for f in report.findings if f.severity != "info"] == expected


PENALTIES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "none": (lambda model: 0.0, 0),
    "L2": (lambda model: 1e-3 * sum(p.square().sum() for p in model.parameters()), 2),
    "L1": (lambda model: 1e-3 * sum(p.abs().sum() for p in model.parameters() if p.dim() > 1), 2),
    "norm": (lambda model: model[0].weight.norm(), 1),
    "product": (lambda model: (model[2].weight * model[2].weight).sum() / 2, 1),
    "of the outputs": (lambda model: model(torch.ones(1, 8)).square().sum(), 0),
}


@pytest.mark.parametrize("penalty", PENALTIES)
def test_weights_in_the_loss_are_counted(penalty: str) -> None:
    term, count = PENALTIES[penalty]
    flow = measure(plain_mlp(depth=2), vectors(), lambda m, b: cross_entropy(m, b) + term(m))
    assert flow.setup.penalised == count


@pytest.mark.parametrize(("strength", "expected"), [(1.0, True), (1e-5, False)])
def test_penalty_beside_weight_decay_is_told_where_the_training_gets_nowhere(strength: float, expected: bool) -> None:
    def penalised(model: Any, batch: Any) -> Tensor:
        return cross_entropy(model, batch) + strength * sum(p.square().sum() for p in model.parameters())

    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    experiment = hw.Experiment(
        model=lambda: plain_mlp(depth=3, width=32),
        batches=lambda: [(x, (x[:, 0] > 0).long())],
        loss=penalised,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1),
    )
    report = hw.check(experiment, steps=60, seed=0)
    assert ("double_regularization" in found(report)) == expected
