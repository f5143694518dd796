"""A network of the lab is what the spec says, made by the remedies that everybody has."""

from typing import Any

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.lab.folding import with_remedies
from headwater.lab.network import built, weights
from headwater.lab.refusal import RefusedError
from headwater.lab.spec import Spec
from headwater.theory import ACTIVATIONS


def network(**controls: Any) -> Any:
    return built(Spec.from_dict(controls))


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, first), (other, second) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(first, second), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_trains(activation: str) -> None:
    made = network(depth=3, width=8, activation=activation)
    before = [weight.clone() for weight in weights(made.model)]
    made.loss(made.model, made.batches.next()).backward()
    made.optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, weights(made.model), strict=True))


@pytest.mark.parametrize(
    ("init", "more"),
    [
        ("xavier", {}),
        ("he", {"activation": "relu"}),
        ("lecun", {}),
        ("orthogonal", {}),
        ("mirrored", {"activation": "relu"}),
        ("critical", {"activation": "tanh"}),
        ("lsuv", {}),
        ("normal", {}),
        ("delta_orthogonal", {"preset": "cnn"}),
        ("by_activation", {"activation": "tanh", "activations": {2: "relu"}}),
    ],
)
def test_initialisation_is_the_remedy_of_that_name(init: str, more: dict[str, Any]) -> None:
    made = network(depth=4, width=16, **more | {"init": init})
    plain = network(depth=4, width=16, **more | {"init": "default"})
    remedy = "init.normal_one" if init == "normal" else f"init.{init}"
    data = {}
    if init == "lsuv":
        stream = iter(plain.batches)
        data = {"batches": [next(stream) for _ in range(8)], "loss": plain.loss}
    assert_same(made.model, hw.apply(plain.model, remedy, **data))


@pytest.mark.parametrize(
    ("activation", "remedy"), [("sigmoid", "activation.tailored"), ("relu", "activation.tailored_leaky")]
)
def test_tailored_activations_are_the_remedy_for_that_kind(activation: str, remedy: str) -> None:
    made = network(depth=30, width=8, activation=activation, init="tailored")
    plain = network(depth=30, width=8, activation=activation, init="xavier")
    assert_same(made.model, hw.apply(plain.model, remedy))
    x = made.split.x[:50]
    assert torch.equal(made.model(x), hw.apply(plain.model, remedy)(x))
    assert with_remedies(plain.spec, (remedy,)) == made.spec


def test_weights_go_by_the_activation_that_follows_each_layer() -> None:
    made = network(depth=4, width=200, activation="tanh", activations={2: "relu"}, init="by_activation")
    found = [float(weight.detach().std()) for weight in weights(made.model)]
    fans = ((64, 200), (200, 200), (200, 200), (200, 10))
    xavier = [(2 / sum(fan)) ** 0.5 for fan in fans]
    assert found == pytest.approx([xavier[0], (2 / 200) ** 0.5, *xavier[2:]], rel=0.03)


@pytest.mark.parametrize("preset", [{}, {"preset": "cnn"}, {"preset": "rnn", "activation": "tanh", "init": "default"}])
@pytest.mark.parametrize(("output", "low", "high"), [("tanh", -1, 1), ("sigmoid", 0, 1), ("relu", 0, None)])
def test_output_has_the_activation_asked_for(preset: dict[str, Any], output: str, low: int, high: int | None) -> None:
    plain, bounded = network(depth=3, width=8, **preset), network(depth=3, width=8, output=output, **preset)
    x = 30 * plain.split.x[:50]
    before, after = plain.model(x), bounded.model(x)
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, getattr(torch, output)(before))
    assert float(after.detach().min()) >= low
    assert high is None or float(after.detach().max()) <= high
    assert bounded.plan.layer_of("output_activation") == 3


def test_scale_multiplies_the_weights_and_bias_fills_the_hidden_ones() -> None:
    plain, scaled = network(depth=4), network(depth=4, scale=2.0, bias=-3.0)
    for a, b in zip(weights(plain.model), weights(scaled.model), strict=True):
        assert torch.equal(2.0 * a, b)
    biases = [module.bias for module in scaled.model if isinstance(module, nn.Linear)]
    assert all(bool((bias == -3.0).all()) for bias in biases[:-1])
    assert bool((biases[-1] == 0.0).all())


def test_normal_has_the_standard_deviation_asked_for() -> None:
    made = network(depth=3, width=200, init="normal", scale=0.05)
    assert float(weights(made.model)[1].detach().std()) == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize(
    "remedies",
    [("activation.relu", "init.he"), ("activation.tanh",), ("init.orthogonal",), ("regularisation.l2:0.01",)],
)
def test_remedy_folded_into_controls_gives_the_same_network(remedies: tuple[str, ...]) -> None:
    spec = Spec.from_dict({"depth": 6, "width": 16})
    folded = with_remedies(spec, remedies)
    assert folded.remedies == ()
    plain, repaired = built(spec), built(folded)
    model, optimizer = hw.apply(plain.model, remedies, plain.optimizer)
    assert_same(repaired.model, model)
    for one, step in ((repaired.model, repaired.optimizer), (model, optimizer)):
        for _ in range(3):
            step.zero_grad()
            plain.loss(one, (plain.split.x[:32], plain.split.y[:32])).backward()
            step.step()
    assert_same(repaired.model, model)


def test_remedy_without_a_control_stands_in_the_spec_and_is_applied() -> None:
    spec = with_remedies(Spec.from_dict({"depth": 4, "width": 8}), ("structure.rezero", "init.he"))
    assert spec.remedies == ("structure.rezero", "init.he")
    assert_same(built(spec).model, hw.apply(network(depth=4, width=8).model, spec.remedies))


def test_remedy_that_cannot_work_is_refused_with_its_reason() -> None:
    with pytest.raises(RefusedError) as refused:
        network(depth=4, remedies=["recurrent.orthogonal"])
    assert refused.value.status == 409
    assert "recurrent.orthogonal" in str(refused.value)


def test_penalties_are_those_of_the_loss() -> None:
    made = network(depth=3, width=8, l1=0.01, l2=0.1, optimizer="sgd", learning_rate=0.5)
    twin = network(depth=3, width=8, optimizer="sgd", learning_rate=0.5)
    batch = made.batches.next()
    made.loss(made.model, batch).backward()
    made.optimizer.step()
    penalty = sum(0.01 * w.abs().sum() + 0.05 * w.square().sum() for w in weights(twin.model))
    (twin.loss(twin.model, batch) + penalty).backward()
    twin.optimizer.step()
    for a, b in zip(made.model.parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "controls",
    [
        {"preset": "cnn", "depth": 4, "width": 6, "activation": "relu", "init": "he", "normalisation": "batch"},
        {"preset": "cnn", "depth": 4, "width": 6, "residual": True, "normalisation": "layer"},
        {"preset": "rnn", "depth": 3, "width": 12, "activation": "tanh", "init": "orthogonal"},
        {"preset": "rnn", "depth": 2, "width": 12, "activation": "relu", "init": "default", "data": "breast_cancer"},
        {"depth": 5, "residual": True, "dropout": 0.2, "normalisation": "layer"},
        {"depth": 1},
        {"data": "curve", "depth": 3, "activation": "tanh"},
        {"data": "spirals", "depth": 3, "activations": {2: "relu"}},
        {"data": "moons", "depth": 3, "optimizer": "rmsprop"},
        {"data": "circles", "depth": 3, "optimizer": "adamw"},
    ],
)
def test_every_kind_of_network_has_its_layers_and_trains(controls: dict[str, Any]) -> None:
    made = network(**controls)
    affine = [m for m in made.model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    recurrent = sum(m.num_layers for m in made.model.modules() if isinstance(m, nn.RNN))
    assert len(affine) + recurrent == controls["depth"]
    loss = made.loss(made.model, made.batches.next())
    loss.backward()
    made.optimizer.step()
    assert bool(torch.isfinite(loss))


def test_same_seed_same_network_other_seed_another() -> None:
    assert_same(network(depth=3).model, network(depth=3).model)
    assert not torch.equal(weights(network(depth=3).model)[0], weights(network(depth=3, seed=1).model)[0])
    first, again, other = (next(iter(network(depth=3, seed=s).batches))[1] for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
