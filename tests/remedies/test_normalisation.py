"""Normalisation and dropout stand where they should, and do there what they should."""

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.remedy import NotApplicableError


def names(model: nn.Module) -> list[str]:
    """Class names of the modules that do something, in order."""
    return [type(m).__name__ for m in model.modules() if not any(True for _ in m.children())]


def mlp(activation=nn.Tanh) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 5), activation(), nn.Linear(5, 2), nn.Sigmoid())


def test_batch_normalisation_stands_between_hidden_layers_and_their_activations():
    repaired = hw.apply(mlp(), "normalisation.batch")
    hidden = ["Linear", "BatchNorm1d", "Tanh"]
    assert names(repaired) == [*hidden, *hidden, "Linear", "Sigmoid"]
    assert [repaired[i][0].num_features for i in (1, 3)] == [8, 5]


def test_batch_normalisation_of_convolutions_has_their_channels_and_dimensions():
    model = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(1), nn.Unflatten(1, (3, 2, 1)), nn.Conv2d(3, 4, 1)
    )
    model.extend([nn.ReLU(), nn.ConvTranspose2d(4, 5, 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)])
    x = torch.randn(4, 2, 6)
    model(x)
    repaired = hw.apply(model, "normalisation.batch")
    assert [str(m)[:14] for m in repaired.modules() if "BatchNorm" in type(m).__name__] == [
        "BatchNorm1d(3,",
        "BatchNorm2d(4,",
        "BatchNorm2d(5,",
    ]
    assert repaired(x).shape == (4, 2)


@pytest.mark.parametrize("remedy", ["normalisation.batch", "normalisation.layer"])
def test_what_activations_see_is_normalised(remedy):
    model = mlp()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=20.0)
    repaired = hw.apply(model, remedy)
    seen: list[Tensor] = []
    repaired[1][1].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    repaired(torch.randn(64, 6, generator=torch.Generator().manual_seed(0)))
    axis = 0 if remedy == "normalisation.batch" else 1
    torch.testing.assert_close(seen[0].mean(axis), torch.zeros(seen[0].shape[1 - axis]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        seen[0].var(axis, unbiased=False), torch.ones(seen[0].shape[1 - axis]), atol=1e-3, rtol=0
    )


def test_batch_normalisation_takes_the_place_of_biases_and_layer_normalisation_does_not():
    batch, layer = hw.apply(mlp(), "normalisation.batch"), hw.apply(mlp(), "normalisation.layer")
    assert [batch[i].bias is None for i in (0, 2, 4)] == [True, True, False]
    assert all(layer[i].bias is not None for i in (0, 2, 4))


def test_dropped_bias_leaves_the_optimizer_and_the_rest_stays():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.randn(8, 6)).sum().backward()
    optimizer.step()
    repaired, rebound = hw.apply(model, "normalisation.batch", optimizer)
    held = [p for group in rebound.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in repaired.parameters()}
    assert len(held) == len(rebound.param_groups[0]["params"]) == 4 + 4  # no decay anywhere, so no group of its own
    momentum = rebound.state[repaired[0].weight]["exp_avg"]
    assert torch.equal(momentum, optimizer.state[model[0].weight]["exp_avg"])
    repaired(torch.randn(8, 6)).sum().backward()
    rebound.step()
    assert not torch.equal(repaired[1][0].bias, torch.zeros(8))


def test_biases_stay_where_something_else_may_run_on_them():
    class Side(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.act, self.head = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(x)
            return self.head(x + self.act(x))

    repaired = hw.apply(Side(), "normalisation.batch")
    assert isinstance(repaired.act[0], nn.BatchNorm1d)
    assert repaired.layer.bias is not None


def test_layer_normalisation_of_convolutions_goes_over_channels_and_pixels():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
    normalised = hw.apply(model, "normalisation.layer")[1][0](torch.randn(3, 4, 6, 6) * 9 + 5)
    torch.testing.assert_close(normalised.flatten(1).mean(1), torch.zeros(3), atol=1e-5, rtol=0)


def test_layers_that_are_normalised_already_are_passed_over():
    model = nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4), nn.Dropout(0.1), nn.ReLU(), nn.Linear(4, 1)
    )
    repaired = hw.apply(model, "normalisation.batch")
    expected = ["Linear", "BatchNorm1d", "ReLU", "Linear", "Dropout", "BatchNorm1d", "ReLU", "Linear"]
    assert names(repaired) == expected


class Tokens(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.embed, self.hidden, self.act, self.head = nn.Embedding(9, 6), nn.Linear(6, 6), activation, nn.Linear(6, 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.hidden(self.embed(x))))


def test_batch_normalisation_of_sequences_is_refused_and_layer_normalisation_is_not():
    model = Tokens(nn.Tanh())
    batch = torch.randint(9, (8, 5))
    report = hw.check(model, batch, lambda m, b: m(b).square().mean())
    with pytest.raises(NotApplicableError, match=r"'hidden' gives 3-dimensional output.*normalisation\.layer"):
        hw.apply(model, "normalisation.batch", report=report)
    with pytest.raises(NotApplicableError, match=r"report=hw\.check\(model, batch, loss\)"):
        hw.apply(model, "normalisation.batch")
    assert hw.apply(model, "normalisation.layer")(batch).shape == (8, 5, 9)
    flat = torch.randint(9, (8,))
    report = hw.check(model, flat, lambda m, b: m(b).square().mean())
    assert hw.apply(model, "normalisation.batch", report=report)(flat).shape == (8, 9)


def test_new_modules_keep_mode_dtype_and_what_they_are_beside():
    model = mlp(nn.PReLU).double().eval()
    repaired = hw.apply(model, ["normalisation.batch", "regularisation.dropout"])
    assert repaired[1][0].weight.dtype is torch.float64
    assert not any(module.training for module in repaired.modules())
    assert torch.equal(repaired[1][1][0].weight, model[1].weight)


@pytest.mark.parametrize(("remedy", "p"), [("regularisation.dropout", 0.5), ("regularisation.dropout:0.2", 0.2)])
def test_dropout_stands_behind_each_hidden_activation(remedy, p):
    repaired = hw.apply(mlp(), remedy)
    hidden = ["Linear", "Tanh", "Dropout"]
    assert names(repaired) == [*hidden, *hidden, "Linear", "Sigmoid"]
    torch.manual_seed(0)
    dropped = repaired[1](torch.full((100, 100), 0.5))
    assert float((dropped == 0).double().mean()) == pytest.approx(p, abs=0.03)
    assert float(dropped.max()) == pytest.approx(float(torch.tanh(torch.tensor(0.5))) / (1 - p))
    x = torch.randn(3, 6)
    assert torch.equal(repaired.eval()(x), mlp().eval()(x))


def test_dropout_passes_over_activations_that_have_one():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    repaired = hw.apply(model, "regularisation.dropout")
    assert names(repaired) == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    with pytest.raises(NotApplicableError, match=r"already.*m\.p = "):
        hw.apply(repaired, "regularisation.dropout")


def test_dropout_of_a_reused_activation_is_put_in_once():
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
            self.act = self.alias = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.alias(self.second(self.act(self.first(x)))))

    repaired = hw.apply(Reused(), "regularisation.dropout")
    assert repaired.act is repaired.alias
    assert names(repaired.act) == ["ReLU", "Dropout"]


def test_network_without_hidden_activations_is_told_what_it_lacks():
    with pytest.raises(NotApplicableError, match="no activation between two layers"):
        hw.apply(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1)), "regularisation.dropout")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (mlp(nn.Sigmoid), ["Linear", "ReLU", "Linear", "ReLU", "Linear", "Tanh"]),
        (nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2)), ["Linear", "ReLU", "Linear", "Tanh"]),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), ["Linear", "ReLU", "Linear", "Tanh"]),
    ],
)
def test_relu_inside_and_tanh_at_the_output(model, expected):
    assert names(hw.apply(model, "activation.relu_inside_tanh_out")) == expected


def test_one_activation_inside_and_at_the_output_is_refused():
    act = nn.ReLU()
    with pytest.raises(NotApplicableError, match="both inside and at the output"):
        hw.apply(nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 2), act), "activation.relu_inside_tanh_out")
    with pytest.raises(NotApplicableError, match="is that already"):
        hw.apply(
            nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh()), "activation.relu_inside_tanh_out"
        )
