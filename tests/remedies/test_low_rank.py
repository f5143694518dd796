"""One factor of each zero low-rank update is drawn: nothing changes at the start, and everything can move."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.order import order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import patch


class Update(nn.Module):
    """A frozen layer and an update of rank 2, of which ``zero`` are zero."""

    def __init__(self, zero: tuple[str, ...] = ("lora_A", "lora_B"), frozen: bool = False) -> None:
        super().__init__()
        self.base = nn.Linear(6, 5).requires_grad_(False)
        self.lora_A, self.lora_B = nn.Parameter(torch.zeros(2, 6)), nn.Parameter(torch.zeros(5, 2))
        for name, p in (("lora_A", self.lora_A), ("lora_B", self.lora_B)):
            p.requires_grad_(not frozen)
            if name not in zero:
                nn.init.normal_(p)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.lora_A.T @ self.lora_B.T


def net(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(layers or (Update(), nn.Tanh(), nn.Linear(5, 6), Update(), nn.Linear(5, 3))))


X = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))


def test_network_begins_as_it_was_and_its_update_gets_a_gradient() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    drawn = hw.apply(model, "init.low_rank")
    torch.testing.assert_close(drawn(X), model(X), rtol=0, atol=0)
    for changed, moves in ((model, False), (drawn, True)):
        F.cross_entropy(changed(X), torch.arange(16) % 3).backward()
        assert bool(changed[0].lora_B.grad.any()) is moves
    assert not drawn[0].lora_B.any()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_factor_that_meets_the_input_has_variance_one_over_the_inputs() -> None:
    wide = Update()
    wide.lora_A = nn.Parameter(torch.zeros(64, 256))
    wide.lora_B = nn.Parameter(torch.zeros(5, 64))
    drawn = hw.apply(net(wide, nn.Tanh()), "init.low_rank", report=None)
    assert float(drawn[0].lora_A.detach().std()) == pytest.approx(1 / 16, rel=0.02)


def test_patch_is_the_very_change() -> None:
    model, space = net(), {}
    exec(patch(model, ["init.low_rank"], order_of_model(model)), space)
    pasted, applied = space["repair"](copy.deepcopy(model)), hw.apply(model, "init.low_rank")
    assert all(torch.equal(value, applied.state_dict()[name]) for name, value in pasted.state_dict().items())


@pytest.mark.parametrize(
    "model",
    [
        net(Update(("lora_B",)), nn.Linear(5, 3)),  # as it should be
        net(Update(frozen=True), nn.Linear(5, 3)),  # switched off
        hw.apply(net(), "init.low_rank"),  # done already
        net(nn.Linear(6, 3)),
    ],
)
def test_network_without_such_a_pair_is_told_so(model) -> None:
    with pytest.raises(NotApplicableError, match=r"no two matrices of one module.*init.embedding"):
        hw.apply(model, "init.low_rank")
