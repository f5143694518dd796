"""Initialisations follow their formulas: scale, orthogonality, and the isometry of whole networks."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import headwater as hw
from headwater.remedies.remedy import NotApplicableError


def chain(activation, widths, dtype=torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1]).to(dtype)


def conv_chain(activation, channels, kernel=3, **options) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options), activation()]
    return nn.Sequential(*layers[:-1]).double()


def matrix(layer: nn.Module) -> Tensor:
    return layer.weight.detach().double().flatten(1)


def singular_values(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Of the whole map from input to output, at one point."""
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x[None])[0], x)
    return torch.linalg.svdvals(jacobian.reshape(-1, x.numel()))


@pytest.mark.parametrize(("remedy", "std"), [("init.normal_small", 0.01), ("init.normal_one", 1.0)])
def test_naive_initialisation_has_one_deviation_whatever_the_width(remedy, std):
    drawn = hw.apply(chain(nn.Sigmoid, (300, 100, 300)), remedy)
    for layer in (drawn[0], drawn[2]):
        assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.02)
        assert not layer.bias.any()


def test_lecun_divides_by_the_inputs_whatever_follows():
    drawn = hw.apply(chain(nn.ReLU, (400, 100, 300)), "init.lecun")
    assert [float(drawn[i].weight.detach().std()) for i in (0, 2)] == pytest.approx([1 / 20, 1 / 10], rel=0.02)


def test_weights_by_activation_are_xaviers_or_hes_layer_by_layer():
    torch.manual_seed(0)
    parts = [nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 300), nn.LeakyReLU(0.5), nn.Linear(300, 100), nn.GELU()]
    model = nn.Sequential(*parts, nn.Linear(100, 300))
    drawn = hw.apply(model, "init.by_activation")
    others = {name: hw.apply(model, f"init.{name}") for name in ("xavier", "he")}
    for index, rule in ((0, "xavier"), (2, "he"), (4, "he"), (6, "xavier")):  # nothing follows the last one
        assert torch.equal(drawn[index].weight, others[rule][index].weight)
        assert not torch.equal(others["xavier"][index].weight, others["he"][index].weight)
        assert not drawn[index].bias.any()


@pytest.mark.parametrize(
    ("activation", "gain"),
    [(nn.Tanh, 1.0), (nn.ReLU, math.sqrt(2)), (lambda: nn.LeakyReLU(0.5), math.sqrt(2 / 1.25))],
)
def test_orthogonal_layers_are_orthogonal_times_the_gain(activation, gain):
    drawn = hw.apply(chain(activation, (16, 16, 16, 16)), "init.orthogonal")
    for index, factor in ((0, gain), (2, gain), (4, 1.0)):  # nothing follows the last one
        weight = matrix(drawn[index])
        torch.testing.assert_close(weight @ weight.T, factor**2 * torch.eye(16).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(64, 256),
        nn.Linear(256, 64),
        nn.Conv2d(16, 32, 3),
        nn.Conv2d(16, 32, 3, groups=4),
        nn.Conv2d(16, 16, 3, groups=16),
        nn.Conv1d(8, 24, 5, stride=2),
        nn.ConvTranspose2d(16, 8, 4, stride=2),
    ],
)
@pytest.mark.parametrize("remedy", ["init.orthogonal", "init.he"])
def test_second_moment_is_kept_through_layers_of_every_shape(layer, remedy):
    torch.manual_seed(0)
    shape = {1: (512, layer.weight.shape[1]), 2: (512, 8, 65), 3: (128, 16, 14, 14)}[max(layer.weight.dim() - 1, 1)]
    x = torch.randn(shape)
    y = hw.apply(nn.Sequential(layer, nn.Tanh(), nn.Identity()), remedy)[0](x).detach()
    inner = y[..., 3:-3, 3:-3] if y.dim() == 4 else y
    # 5 %: the acceptance range of the theory, four deviations for He's independent weights.
    assert float(inner.square().mean()) == pytest.approx(1.0, rel=0.05 if remedy == "init.orthogonal" else 0.2)


@pytest.mark.parametrize("shape", [(64, 256), (256, 64), (64, 64)])
def test_fewer_of_rows_and_columns_are_orthogonal(shape):
    drawn = hw.apply(chain(nn.Tanh, shape), "init.orthogonal")
    weight = matrix(drawn[0])
    smaller = weight @ weight.T if shape[1] < shape[0] else weight.T @ weight
    scale = max(1.0, shape[1] / shape[0])
    torch.testing.assert_close(smaller, scale * torch.eye(min(shape)).double(), atol=1e-5, rtol=0)


def test_delta_orthogonal_keeps_the_length_of_every_image():
    drawn = hw.apply(conv_chain(nn.Tanh, (8, 8, 8, 8)), "init.delta_orthogonal")
    x = torch.randn(4, 8, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for layer in drawn[::2]:
        y = layer(x)
        torch.testing.assert_close(y.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), atol=1e-10, rtol=0)
    dense = hw.apply(conv_chain(nn.Tanh, (8, 8)), "init.orthogonal")
    assert not torch.allclose(dense(x).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), rtol=0.02)


def test_delta_orthogonal_draws_as_a_whole_what_has_no_middle():
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.Tanh(),
        nn.Conv2d(8, 8, 2),
        nn.Tanh(),
        nn.Conv2d(8, 4, 3),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    model(torch.zeros(1, 2, 12, 12))
    drawn = hw.apply(model, "init.delta_orthogonal")
    centred = [int(drawn[i].weight.abs().sum((0, 1)).count_nonzero()) == 1 for i in (0, 2, 4, 6)]
    assert centred == [True, False, False, False]


@pytest.mark.parametrize("slope", [0.0, 0.2, -0.5])
@pytest.mark.parametrize("depth", [2, 50])
def test_mirrored_chain_is_an_isometry(slope, depth):
    activation = nn.ReLU if slope == 0 else lambda: nn.LeakyReLU(slope)
    model = hw.apply(chain(activation, (8, *[16] * (depth - 1), 8)), "init.mirrored")
    torch.testing.assert_close(singular_values(model, (8,)), torch.ones(8).double(), atol=1e-10, rtol=0)
    plain = hw.apply(chain(activation, (8, *[16] * (depth - 1), 8)), "init.orthogonal")
    values = singular_values(plain, (8,))
    assert float(values.max() / values.min()) > 1.5  # what a network without pairs looks like


def test_mirrored_chain_is_an_isometry_in_single_precision_and_a_thousand_layers():
    model = hw.apply(chain(nn.ReLU, (4, *[8] * 999, 4), torch.float32), "init.mirrored").double()
    torch.testing.assert_close(singular_values(model, (4,)), torch.ones(4).double(), atol=1e-4, rtol=0)


def test_mirrored_convolutions_are_an_isometry():
    model = hw.apply(conv_chain(nn.ReLU, (4, 8, 8, 8, 4)), "init.mirrored")
    torch.testing.assert_close(singular_values(model, (4, 5, 5)), torch.ones(100).double(), atol=1e-10, rtol=0)


def test_mirrored_pairs_go_through_pooling_and_flattening():
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(24, 8),
        nn.LeakyReLU(0.1),
        nn.Linear(8, 2),
    )
    drawn = hw.apply(model, "init.mirrored").eval()
    x, y = torch.randn(2, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn(2 * x - 3 * y), 2 * drawn(x) - 3 * drawn(y), atol=1e-5, rtol=0)  # linear


def test_mirrored_blocks_look_as_they_are_named():
    drawn = hw.apply(chain(lambda: nn.LeakyReLU(0.25), (3, 6, 6, 2)), "init.mirrored")
    first, hidden, last = (matrix(drawn[i]) for i in (0, 2, 4))
    assert torch.equal(first[:3], -first[3:])
    assert torch.equal(hidden[:, :3], -hidden[:, 3:])
    assert torch.equal(hidden[:3], -hidden[3:])
    assert torch.equal(last[:, :3], -last[:, 3:])
    torch.testing.assert_close(first[:3] @ first[:3].T, torch.eye(3).double())
    torch.testing.assert_close(hidden[:3, :3] @ hidden[:3, :3].T, torch.eye(3).double() / 1.25**2)


def test_mirrored_sees_no_pair_where_no_activation_stands():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    drawn = hw.apply(model.double(), "init.mirrored")
    torch.testing.assert_close(singular_values(drawn, (4,)), torch.ones(4).double(), atol=1e-10, rtol=0)


class Concatenated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(8, 2)
        self.act, self.other = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        return self.third(torch.cat([x, self.other(self.second(x))], dim=1))


class LoopedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(torch.relu(self.first(x)))))


def tied() -> nn.Module:
    model = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 6, bias=False))
    model[3].weight = model[0].weight
    return model


def odd_width() -> nn.Module:
    return chain(nn.ReLU, (4, 8, 7, 2))


def frozen() -> nn.Module:
    model = chain(nn.ReLU, (4, 8, 8, 2))
    model[2].requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (odd_width, "'2' has 7 outputs.*Make it 8.*tailored_leaky"),
        (frozen, "the weight of '2' cannot be drawn anew"),
        (tied, "the weight of '3' cannot be drawn anew"),
        (LoopedLayer, "'first' runs several times"),
        (Concatenated, "'third' takes 8 inputs and 'second', which runs before it, gives 4"),
        (lambda: conv_chain(nn.ReLU, (4, 8, 4), groups=2), "only nn.Linear and convolutions of one group"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(-1.0), nn.Linear(4, 2)), "slope -1 is"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2)), "gelu at '1' is no ReLU"),
        (
            lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)),
            "BatchNorm1d at '1' stands between",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3)),
            "MaxPool2d at '2' stands between",
        ),
    ],
)
def test_mirrored_refuses_what_is_no_plain_chain_of_pairs(make, said):
    with pytest.raises(NotApplicableError, match=said):
        hw.apply(make(), "init.mirrored")


def test_measured_shortcut_is_seen_as_a_traced_one_is():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.act, self.last = nn.ReLU(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.stem(x))
            return self.head(x + self.last(self.branch(x))) if float(x.sum()) > -1 else x

    report = hw.check(Branching(), torch.randn(8, 8), lambda m, b: m(b).square().mean())
    with pytest.raises(NotApplicableError, match="adds a shortcut"):
        hw.apply(Branching(), "init.mirrored", report=report)


@pytest.mark.parametrize("remedy", ["init.orthogonal", "init.lecun", "init.normal_one"])
def test_parametrised_and_tied_weights_are_left_alone(remedy):
    model = tied()
    parametrizations.weight_norm(model[1])
    embedding = model[0].weight.detach().clone()
    model.insert(1, nn.Linear(4, 4))
    drawn = hw.apply(model, remedy)
    assert torch.equal(drawn[0].weight, embedding)
    assert drawn[4].weight is drawn[0].weight
    assert torch.equal(drawn[2].parametrizations.weight.original1, model[2].parametrizations.weight.original1)
    assert not torch.equal(drawn[1].weight, model[1].weight)


def test_same_seed_draws_the_same_and_another_draws_anew():
    model = chain(nn.ReLU, (8, 8, 8))
    a, b, c = (hw.apply(model, "init.orthogonal", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a[0].weight, b[0].weight)
    assert not torch.allclose(a[0].weight, c[0].weight)
