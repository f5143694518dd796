"""Shortcuts go round the blocks that keep their shape, and begin as they should."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.order import order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.shortcut import GatedJoin, Join, Shortcut


def mlp(width: int = 8, depth: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [module for _ in range(depth) for module in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), *hidden, nn.Linear(width, 2))


class Loop(nn.Module):
    """Layers in a list, functions in the forward, dropout that asks for the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(4, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.inside(x))
        for layer in self.layers:
            x = F.dropout(torch.relu(layer(x)), 0.5, training=self.training)
        return self.head(x)


def of_type(model: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in model.named_modules() if type(module) is kind]


def test_blocks_of_a_chain_stand_under_the_name_of_their_first_and_the_rest_keeps_its_own():
    repaired = hw.apply(mlp(), "structure.rezero")
    assert of_type(repaired, Shortcut) == ["2", "4", "6"]
    assert of_type(repaired, nn.Linear) == ["0", "2.block.0", "4.block.0", "6.block.0", "8"]
    assert of_type(repaired, nn.Identity) == ["2.norm", "3", "4.norm", "5", "6.norm", "7"]


def test_rezero_begins_as_the_network_without_its_blocks():
    model, x = mlp(), torch.randn(5, 4)
    without = nn.Sequential(model[0], model[1], model[8])
    torch.testing.assert_close(hw.apply(model, "structure.rezero")(x), without(x), rtol=0, atol=0)


def test_rezero_in_a_forward_begins_as_the_network_without_its_blocks():
    model, x = Loop().eval(), torch.randn(5, 4)
    repaired = hw.apply(model, "structure.rezero")
    torch.testing.assert_close(repaired(x), model.head(F.relu(model.inside(x))), rtol=0, atol=0)
    assert of_type(repaired, GatedJoin) == ["join_1", "join_2"]
    assert isinstance(repaired, Loop)


def test_gates_move_first_and_then_all_else():
    model = hw.apply(mlp(), "structure.rezero")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x, y = torch.randn(16, 4), torch.randint(2, (16,))
    moved = []
    for _ in range(2):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        moved.append({name for name, p in model.named_parameters() if not torch.equal(p, before[name])})
    assert {f"{i}.join.gate" for i in (2, 4, 6)} < moved[0]
    assert not any("block" in name for name in moved[0])
    assert all(f"{i}.block.0.weight" in moved[1] for i in (2, 4, 6))


@pytest.mark.parametrize("make", [mlp, Loop])
def test_prenorm_adds_what_the_block_makes_of_its_normalised_input(make):
    model, x = make().eval(), torch.randn(5, 4)
    repaired = hw.apply(model, "structure.prenorm")
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    bend = torch.tanh if make is mlp else torch.relu
    h = bend(layers[0](x))
    for layer in layers[1:-1]:
        h = h + bend(layer(F.layer_norm(h, (8,))))
    torch.testing.assert_close(repaired(x), layers[-1](h))


def test_functions_that_ask_for_the_mode_still_do_in_a_rewritten_forward():
    repaired, x = hw.apply(Loop(), "structure.prenorm"), torch.ones(64, 4)
    assert torch.equal(repaired.eval()(x)[0], repaired.eval()(x)[1])
    assert not torch.equal(repaired.train()(x)[0], repaired.train()(x)[1])


def test_convolutions_that_keep_channels_and_pixels_are_blocks():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 5, padding="same", dilation=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(2),
    )
    x = torch.randn(3, 1, 8, 8)
    model(x)
    repaired = hw.apply(model, "structure.prenorm")
    assert of_type(repaired, Shortcut) == ["2", "9"]
    assert [name for name, _ in repaired.get_submodule("2.block").named_children()] == ["0", "1", "2"]
    assert str(repaired.get_submodule("9.norm")).startswith("GroupNorm(1, 8")
    assert repaired(x).shape == (3, 2)


@pytest.mark.parametrize("remedy", ["structure.rezero", "structure.prenorm"])
def test_second_time_finds_shortcuts_there(remedy):
    for model in (mlp(), Loop()):
        with pytest.raises(NotApplicableError, match=r"adds a shortcut.*a way round the branches"):
            hw.apply(hw.apply(model, remedy), remedy)


def test_output_and_its_own_activation_are_no_block():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Sigmoid())
    assert of_type(hw.apply(model, "structure.rezero"), Shortcut) == ["0"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), r"'0' is Linear\(in_features=4.*x = x \+ block"),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), "no activation follows"),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "no layer but the output's"),
    ],
)
def test_network_without_a_block_is_told_why_and_what_else(model, said):
    with pytest.raises(NotApplicableError, match=rf"{said}.*"):
        hw.apply(model, "structure.rezero")


def test_forward_that_cannot_be_traced_is_named():
    class Branching(Loop):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x if x.sum() > 0 else -x)

    model = Branching()
    batch = torch.ones(4, 4)
    with pytest.raises(NotApplicableError, match=r"forward of Branching cannot be traced: .*control flow"):
        hw.apply(model, "structure.prenorm", batches=[batch], loss=lambda m, b: m(b).square().mean())


def test_new_modules_are_where_and_what_their_layer_is():
    model = mlp().double().eval()
    model[4].bfloat16()
    for remedy in ("structure.rezero", "structure.prenorm"):
        repaired = hw.apply(model, remedy)
        dtypes = [{p.dtype for p in repaired.get_submodule(name).parameters()} for name in ("2", "4", "6")]
        assert dtypes == [{torch.float64}, {torch.bfloat16}, {torch.float64}]
        assert not any(module.training for module in repaired.modules())


def test_frozen_part_keeps_its_mode():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    model[1].eval()
    repaired = hw.apply(model, "structure.rezero")
    assert not repaired.get_submodule("0.block.1").training
    assert repaired.get_submodule("0.block.2").training


def test_gates_and_scales_join_a_group_without_decay_with_the_rates_of_the_first():
    model = mlp()
    optimizer = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2:].parameters()}], lr=0.01, weight_decay=0.3
    )
    repaired, rebound = hw.apply(model, "structure.rezero", optimizer)
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in rebound.param_groups] == [
        (0.1, 0.3, 2),
        (0.01, 0.3, 8),
        (0.1, 0.0, 3),
    ]
    assert {id(p) for p in rebound.param_groups[2]["params"]} == {
        id(p) for name, p in repaired.named_parameters() if "gate" in name
    }


def test_order_of_what_follows_knows_the_joins():
    order = order_of_model(hw.apply(mlp(), "structure.prenorm"))
    kinds = [step.kind for step in order if step.kind != "other"]
    block = ["normalization", "affine", "activation", "join"]
    assert kinds == ["affine", "activation", *block, *block, *block, "affine"]
    assert isinstance(hw.apply(mlp(), "structure.prenorm")[2].join, Join)
