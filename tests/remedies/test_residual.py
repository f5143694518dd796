"""A shortcut round whole blocks: which are blocks, what they then compute, and that it is the same as code."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.data import Data
from headwater.remedies.order import order_of_flow
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.shortcut import ShortcutRound
from headwater.remedies.surgery import patch

WIDTH = 8


class Attention(nn.Module):
    """Two maps after an attention that takes a mask beside its input; a name that its owner asks for."""

    def __init__(self, norm: bool = False, shortcut: bool = False) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.kind, self.shortcut = "full", shortcut

    def forward(self, x: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        y = self.out((scale * q @ k.mT + mask).softmax(-1) @ v)
        return x + y if self.shortcut else y


class Reader(nn.Module):
    def __init__(self, outside: bool = False, **settings: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.head = nn.Linear(4, WIDTH), nn.Linear(WIDTH, 3)
        self.blocks = nn.ModuleList(Attention(**settings) for _ in range(3))
        self.outside = outside

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.zeros(x.shape[1], x.shape[1])
        x = self.enter(x)
        for block in self.blocks:
            assert block.kind == "full"
            y = block(x, mask, scale=0.5)
            x = x + y if self.outside else y
        return self.head(x.mean(1))


class Pictures(nn.Module):
    """Convolutions in blocks of two, of which the second kind changes the channels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)

        def block(channels: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())

        self.layer1, self.layer2 = block(2), block(2)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), 1, 5, 4).expand(-1, 2, -1, -1)
        return self.head(self.layer2(self.layer1(x)).mean((2, 3)))


X = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(1))
BATCH = (X, torch.arange(6) % 3)


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def bridged(model: nn.Module, *also: Any) -> Any:
    report = hw.check(model, BATCH, loss)
    return hw.apply(model, "structure.residual", *also, report=report, batches=[BATCH], loss=loss)


def rounds(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, ShortcutRound)]


def test_each_block_adds_what_it_makes_of_its_normalised_input_and_the_rest_of_its_call_goes_on() -> None:
    model = Reader()
    before = copy.deepcopy(model.state_dict())
    changed = bridged(model)
    assert rounds(changed) == ["blocks.0", "blocks.1", "blocks.2"]
    x, mask = model.enter(X), torch.zeros(5, 5)
    for block in model.blocks:
        x = x + block(F.layer_norm(x, (WIDTH,)), mask, scale=0.5)
    torch.testing.assert_close(changed(X), model.head(x.mean(1)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not rounds(model)


def test_block_that_normalises_itself_gets_no_second_normalisation() -> None:
    changed = bridged(Reader(norm=True))
    assert [type(changed.get_submodule(f"{name}.norm")) for name in rounds(changed)] == [nn.Identity] * 3


def test_pictures_are_normalised_over_channels_and_pixels() -> None:
    changed = bridged(Pictures())
    assert rounds(changed) == ["layer1", "layer2"]
    assert isinstance(changed.layer1.norm, nn.GroupNorm)
    assert changed.layer1.norm.num_groups == 1


def test_gradient_of_the_first_layer_comes_through_blocks_that_let_none_through() -> None:
    model = Reader()
    for block in model.blocks:
        nn.init.zeros_(block.out.weight)
    assert not any(p.grad is not None and p.grad.any() for p in gone_back(model).enter.parameters())
    assert gone_back(bridged(model)).enter.weight.grad.abs().max() > 1e-3


def gone_back(model: Any) -> Any:
    loss(model, BATCH).backward()
    return model


def test_patch_makes_the_very_change_and_the_optimizer_gets_scales_without_decay() -> None:
    model = Reader()
    order = order_of_flow(hw.check(model, BATCH, loss).flow)
    changed, optimizer = bridged(model, torch.optim.AdamW(model.parameters(), weight_decay=0.1))
    space: dict = {}
    exec(patch(model, ["structure.residual"], order, data=Data((BATCH,), loss)), space)
    pasted = space["repair"](copy.deepcopy(model))
    assert str(pasted) == str(changed)
    assert pasted.state_dict().keys() == changed.state_dict().keys()
    torch.testing.assert_close(pasted(X), changed(X), rtol=0, atol=0)
    scales = {id(changed.get_submodule(name).norm.weight) for name in rounds(changed)}
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {decays[scale] for scale in scales} == {0.0}
    assert len(decays) == len(list(changed.parameters()))


def test_initialisation_behind_it_draws_the_layers_under_their_new_names() -> None:
    model = Reader()
    report = hw.check(model, BATCH, loss)
    together = hw.apply(model, ["structure.residual", "init.xavier"], report=report, batches=[BATCH], loss=loss)
    one = bridged(model)
    after = hw.apply(one, "init.xavier", report=hw.check(one, BATCH, loss))
    torch.testing.assert_close(together(X), after(X), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Reader(shortcut=True), "'blocks.0' has a shortcut already"),
        (Reader(outside=True), "'blocks.0' has a shortcut already"),
        (bridged(Reader()), "has a shortcut already"),
        (nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3)), "no two blocks.*structure.prenorm"),
    ],
)
def test_network_with_shortcuts_or_without_blocks_is_told_so(model, said) -> None:
    with pytest.raises(NotApplicableError, match=said):
        bridged(model)


def test_mode_and_dtype_are_those_of_the_block() -> None:
    model = Reader().double()
    model.blocks[1].eval()
    report = hw.check(model, (X.double(), BATCH[1]), loss_of_doubles)
    changed = hw.apply(
        model, "structure.residual", report=report, batches=[(X.double(), BATCH[1])], loss=loss_of_doubles
    )
    assert [changed.get_submodule(name).norm.training for name in rounds(changed)] == [True, False, True]
    assert {p.dtype for p in changed.parameters()} == {torch.float64}


def loss_of_doubles(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return loss(model, batch)


@pytest.mark.slow
@pytest.mark.parametrize("id_", ["graph/averaging/over-smoothed", "transformer/vit-6-clipped/attention-alone"])
def test_shortcuts_round_blocks_are_the_cure_where_nothing_tells_nodes_or_places_apart(id_) -> None:
    pytest.importorskip("sklearn")
    from benchmarks.faults.judging import known

    program = known()[id_]
    proof = hw.prove(program.make(), "structure.residual", seeds=3, steps=program.steps)
    assert proof.verdict == "proven"
    assert proof.metric_after > 0.8
