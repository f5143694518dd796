"""Remedies change a copy, exactly as their patch says, and nothing else."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.order import activation_after, order_of_flow, order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import patch
from tests.cases import cross_entropy


def deep_sigmoid(depth: int = 6, width: int = 16) -> nn.Sequential:
    torch.manual_seed(3)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


class Convolutional(nn.Module):
    """Functional activations, normalisation and a reused module, as users write them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.squash = nn.Tanh()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv1(x)))
        return self.head(self.squash(self.conv2(x)).mean(dim=(2, 3)))


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(8, 8) for _ in range(3))
        self.act = nn.Sigmoid()
        self.alias = self.act

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.alias(self.second(self.act(self.first(x)))))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_patch_of_several_remedies_sees_the_activation_the_swap_put_in():
    model = deep_sigmoid()
    code = patch(model, ["activation.relu", "init.he"], order_of_model(model))
    namespace: dict = {}
    exec(code, namespace)
    pasted, applied = namespace["repair"](copy.deepcopy(model)), hw.apply(model, ["activation.relu", "init.he"])
    assert same_weights(pasted, applied)
    assert (
        repr(math.sqrt(2.0 / 16))[:12] in code
    )  # He's gain for the ReLU that has come, not 1 for the sigmoid that went


def test_he_takes_each_gain_from_the_activation_that_really_follows():
    torch.manual_seed(0)
    model = Convolutional()
    batch = torch.randn(32, 1, 8, 8), torch.randint(3, (32,))
    report = hw.check(model, batch, cross_entropy)
    order = order_of_flow(report.flow)
    following = [activation_after(order, name).activation for name in ("conv1", "conv2", "head")]
    assert following == ["relu", "tanh", "identity"]
    drawn = hw.apply(model, "init.he", report=report)
    stds = {name: float(drawn.get_submodule(name).weight.detach().std()) for name in ("conv1", "conv2", "head")}
    expected = {"conv1": math.sqrt(2 / 9), "conv2": math.sqrt(1 / 72), "head": math.sqrt(1 / 8)}
    for name, std in expected.items():
        n = drawn.get_submodule(name).weight.numel()
        assert stds[name] == pytest.approx(std, rel=4 / math.sqrt(2 * n)), name
    assert all(drawn.get_submodule(name).bias.count_nonzero() == 0 for name in expected)


def test_order_is_traced_through_a_forward_with_functions():
    order = order_of_model(Convolutional())
    assert activation_after(order, "conv1").activation == "relu"
    assert activation_after(order, "conv2").activation == "tanh"


def stds_over_lecun(model: nn.Module, **arguments) -> list[float]:
    drawn = hw.apply(model, "init.he", **arguments)
    return [float(m.weight.detach().std()) * m.in_features**0.5 for m in drawn.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("measured", [False, True])
def test_he_uses_the_slope_the_activation_really_has(measured):
    model = nn.Sequential(
        nn.Linear(200, 200), nn.LeakyReLU(0.5), nn.Linear(200, 200), nn.PReLU(init=0.9), nn.Linear(200, 2)
    )
    batch = torch.randn(64, 200), torch.zeros(64, dtype=torch.int64)
    arguments = {"report": hw.check(model, batch, cross_entropy)} if measured else {}
    expected = [math.sqrt(2 / (1 + 0.5**2)), math.sqrt(2 / (1 + 0.9**2))]
    assert stds_over_lecun(model, **arguments)[:2] == pytest.approx(expected, rel=0.02)


def test_activation_that_stands_in_a_chain_twice_is_seen_twice():
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(200, 200), act, nn.Linear(200, 200), act, nn.Linear(200, 200))
    assert stds_over_lecun(model) == pytest.approx([math.sqrt(2), math.sqrt(2), 1.0], rel=0.02)


def test_parameters_the_optimizer_was_not_given_stay_out_of_it():
    model = deep_sigmoid(depth=2)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    repaired, rebound = hw.apply(model, "init.he", optimizer)
    assert [id(p) for p in rebound.param_groups[0]["params"]] == [id(p) for p in repaired[4].parameters()]


def test_xavier_follows_its_formula():
    torch.manual_seed(0)
    drawn = hw.apply(nn.Sequential(nn.Linear(300, 100), nn.Tanh(), nn.Linear(100, 300)), "init.xavier")
    for layer in (drawn[0], drawn[2]):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / 400), rel=0.02)
        assert float(layer.weight.detach().mean()) == pytest.approx(0.0, abs=2e-3)


def test_output_activation_stays():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    repaired = hw.apply(model, "activation.relu")
    assert [type(layer).__name__ for layer in repaired] == ["Linear", "ReLU", "Linear", "Sigmoid"]


def test_reused_module_is_replaced_under_all_its_names():
    repaired = hw.apply(Reused(), "activation.relu")
    assert isinstance(repaired.act, nn.ReLU)
    assert repaired.alias is repaired.act


def test_replaced_module_keeps_mode_dtype_and_device():
    model = deep_sigmoid().double().eval()
    repaired = hw.apply(model, "activation.prelu")
    assert not repaired[1].training
    assert repaired[1].weight.dtype is torch.float64


def test_optimizer_is_rebound_to_the_copy_with_its_groups():
    model = deep_sigmoid(depth=2)
    decay = [model[0].weight, model[2].weight, model[4].weight]
    rest = [model[0].bias, model[2].bias, model[4].bias]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=0.01
    )
    model(torch.randn(4, 16)).sum().backward()
    optimizer.step()
    repaired, rebound = hw.apply(model, ["activation.prelu", "init.he"], optimizer)
    held = {id(p) for group in rebound.param_groups for p in group["params"]}
    assert held == {id(p) for p in repaired.parameters()}
    assert not held & {id(p) for p in model.parameters()}
    assert [group["weight_decay"] for group in rebound.param_groups] == [0.1, 0.0]
    undecayed = [repaired[i].bias for i in (0, 2, 4)] + [repaired[i].weight for i in (1, 3)]  # biases, then new slopes
    assert [id(p) for p in rebound.param_groups[1]["params"]] == [id(p) for p in undecayed]
    assert repaired[0].weight not in rebound.state  # momentum of weights that no longer exist
    assert model[0].weight in optimizer.state
    loss = repaired(torch.randn(4, 16)).square().sum()
    loss.backward()
    before = repaired[1].weight.detach().clone()
    rebound.step()
    assert not torch.equal(before, repaired[1].weight)


@pytest.mark.parametrize("remedy", ["activation.prelu", "normalisation.batch"])
def test_new_parameters_are_trained_and_never_decayed(remedy):
    model = deep_sigmoid(depth=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    repaired, rebound = hw.apply(model, remedy, optimizer)
    old = {name for name, _ in model.named_parameters()}
    new = [p for name, p in repaired.named_parameters() if name not in old]
    assert new
    assert [(group["lr"], group["momentum"], group["weight_decay"]) for group in rebound.param_groups] == [
        (0.05, 0.9, 0.1),
        (0.05, 0.9, 0.0),
    ]
    assert {id(p) for p in rebound.param_groups[1]["params"]} == {id(p) for p in new}
    assert {id(p) for group in rebound.param_groups for p in group["params"]} == {id(p) for p in repaired.parameters()}


def test_momentum_survives_a_swap_that_keeps_the_weights():
    model = deep_sigmoid(depth=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.randn(4, 16)).sum().backward()
    optimizer.step()
    repaired, rebound = hw.apply(model, "activation.relu", optimizer)
    torch.testing.assert_close(
        rebound.state[repaired[0].weight]["exp_avg"], optimizer.state[model[0].weight]["exp_avg"]
    )


def test_tied_weights_stay_tied_and_keep_the_scale_of_the_embedding():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 8)
            self.hidden = nn.Linear(8, 8)
            self.head = nn.Linear(8, 10, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.hidden(self.embed(x))))

    model = Tied()
    repaired = hw.apply(model, "init.he")
    assert repaired.head.weight is repaired.embed.weight
    assert torch.equal(repaired.embed.weight, model.embed.weight)
    assert not torch.equal(repaired.hidden.weight, model.hidden.weight)


@pytest.mark.parametrize(
    ("make", "remedy", "said"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), "activation.relu", "relu already"),
        (lambda: nn.Sequential(nn.Embedding(3, 3)), "init.he", "no linear or convolutional layer"),
    ],
)
def test_remedy_without_effect_is_refused_with_the_way_out(make, remedy, said):
    with pytest.raises(NotApplicableError, match=said):
        hw.apply(make(), remedy)


def test_unknown_remedy_offers_the_nearest():
    with pytest.raises(hw.InputError, match=r"init\.hee.*init\.he"):
        hw.apply(deep_sigmoid(), "init.hee")


def test_order_that_depends_on_data_asks_for_a_report():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                x = torch.relu(x)
            return self.b(torch.relu(self.a(x)))

    model = Branching()
    with pytest.raises(hw.InputError, match=r"hw\.apply\(model, remedy, report=hw\.check\(model, batch, loss\)\)"):
        hw.apply(model, "init.he")
    report = hw.check(model, torch.ones(32, 4), lambda m, b: m(b).square().mean())
    assert not torch.equal(hw.apply(model, "init.he", report=report).a.weight, model.a.weight)


def test_model_that_cannot_be_copied_is_refused():
    model = deep_sigmoid()
    model.cache = model(torch.randn(2, 16))  # a tensor with a graph
    with pytest.raises(hw.InputError, match="cannot be copied"):
        hw.apply(model, "init.he")


def test_drawn_weights_do_not_repeat_data_made_under_the_same_seed():
    data = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    drawn = hw.apply(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)), "init.he", seed=0)
    correlation = torch.corrcoef(torch.stack([drawn[0].weight.detach().flatten(), data.flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.5


@pytest.mark.parametrize(
    ("layer", "shape", "gain"),
    [
        (nn.Linear(64, 256), (512, 64), 1.0),
        (nn.Conv2d(16, 32, 3), (64, 16, 12, 12), 1.0),
        (nn.Conv2d(16, 32, 3, groups=4), (64, 16, 12, 12), 1.0),
        (nn.Conv1d(8, 24, 5, stride=2), (64, 8, 65), 1.0),
        (nn.ConvTranspose2d(16, 8, 4, stride=2), (64, 16, 12, 12), 1.0),
    ],
)
def test_he_keeps_the_second_moment_through_every_kind_of_affine_layer(layer, shape, gain):
    torch.manual_seed(0)
    model = nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    x = torch.randn(shape)
    model(x[:2])
    drawn = hw.apply(model, "init.he")
    y = drawn[1](drawn[0](x))
    inner = y[..., 4:-4, 4:-4] if y.dim() == 4 else y
    assert float(inner.square().mean()) == pytest.approx(gain, rel=0.12)
