"""Activations called as functions become modules that compute the same, or the reason is told why they cannot."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.edits_functions import modules_for_functions, traced
from headwater.remedies.order import hidden_activations, order_of_flow, order_of_model
from headwater.remedies.remedy import NotApplicableError


class Functional(nn.Module):
    """The ways in which people write one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        x = F.relu(self.layers[0](x))
        x = torch.tanh(self.layers[1](x))
        x = self.layers[2](x).sigmoid()
        x = F.leaky_relu(self.layers[3](x), 0.3)
        x = F.gelu(self.layers[4](x), approximate="tanh")
        y = self.layers[5](x)
        y.relu_()
        return self.head(F.dropout(y, 0.5, self.training)) * scale


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.linear(x))


def as_modules(model: nn.Module) -> nn.Module:
    """A copy in which they are modules, and nothing else has changed."""
    order = order_of_model(model)
    changed = copy.deepcopy(model)
    for edit in modules_for_functions(model, order, tuple(s for s in hidden_activations(order) if s.functional), "."):
        edit.apply(changed)
    return changed


def test_modules_compute_what_the_functions_did_in_both_modes():
    torch.manual_seed(0)
    model, x = Functional(), torch.randn(5, 8)
    changed = as_modules(model)
    assert [str(module) for name, module in changed.named_children() if name.startswith("activation_")] == [
        "ReLU()",
        "Tanh()",
        "Sigmoid()",
        "LeakyReLU(negative_slope=0.3)",
        "GELU(approximate='tanh')",
        "ReLU()",
    ]
    for mode in (True, False):
        results = []
        for network in (model, changed):
            torch.manual_seed(1)
            results.append(network.train(mode)(x, scale=2.0))
        assert torch.equal(*results)
    assert isinstance(changed, Functional)
    assert changed.state_dict().keys() == model.state_dict().keys()


def test_remedy_reaches_functions_in_nested_modules_and_names_stay():
    torch.manual_seed(0)
    model = nn.Sequential(Block(), Block(), nn.Linear(8, 2))
    repaired = hw.apply(model, "activation.leaky_relu")
    assert [name for name, m in repaired.named_modules() if isinstance(m, nn.LeakyReLU)] == [
        "0.activation_1",
        "1.activation_1",
    ]
    x = torch.randn(4, 8)
    expected = model[2](F.leaky_relu(model[1].linear(F.leaky_relu(model[0].linear(x)))))
    torch.testing.assert_close(repaired(x), expected, rtol=0, atol=0)


def test_each_run_of_a_loop_gets_a_normalisation_of_its_own():
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers[:-1]:
                x = torch.relu(layer(x))
            return self.layers[-1](x)

    repaired = hw.apply(Loop(), "normalisation.batch")
    assert len([m for m in repaired.modules() if isinstance(m, nn.BatchNorm1d)]) == 2
    assert repaired(torch.randn(4, 6)).shape == (4, 6)


@pytest.mark.parametrize("remedy", ["activation.leaky_relu", "normalisation.layer", "regularisation.dropout"])
def test_measured_order_and_traced_order_give_the_same(remedy):
    torch.manual_seed(0)
    model = Functional()
    batch = torch.randn(4, 8), torch.randint(3, (4,))
    report = hw.check(model, batch, lambda m, b: F.cross_entropy(m(b[0]), b[1]))
    assert str(hw.apply(model, remedy, report=report)) == str(hw.apply(model, remedy))
    measured, read = order_of_flow(report.flow), order_of_model(model)
    assert [s.activation for s in measured if s.activation] == [s.activation for s in read if s.activation]


def test_layers_of_a_transformer_hold_modules_and_inference_uses_them():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 3))
    batch = torch.randn(4, 5, 8)
    report = hw.check(model, batch, lambda m, b: m(b).square().mean())
    repaired = hw.apply(model, "activation.softplus", report=report)
    assert [name for name, m in repaired.named_modules() if isinstance(m, nn.Softplus)] == [
        "0.layers.0.activation",
        "0.layers.1.activation",
    ]
    in_training = repaired(batch)
    with torch.no_grad():
        in_use = repaired.eval()(batch)
    torch.testing.assert_close(in_training, in_use, rtol=1e-5, atol=1e-6)
    assert float((model(batch) - in_use).detach().abs().max()) > 1e-3


class Optional(Block):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = F.silu(self.linear(x))
        return x if mask is None else x * mask


class Counting(Block):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.silu(self.linear(x))


class Branching(Block):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.linear(x)) if x.sum() > 0 else x


class Modes(Block):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.linear(x)) if self.training else F.silu(self.linear(x)) * 0.5


class Drawing(Block):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.linear(x)) if float(torch.rand(())) < 2 else x


class Learned(Block):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((8,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(self.linear(x), self.slope)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Optional, "depends on whether it is given mask"),
        (Counting, "changes attributes of its own"),
        (Branching, "control flow"),
        (Modes, "other operations in evaluation"),
        (Drawing, "draws random numbers"),
        (Learned, "the slope of F.prelu is a weight"),
    ],
)
def test_forward_whose_graph_would_be_another_program_is_refused_with_the_way_out(kind, why):
    torch.manual_seed(0)
    model = nn.Sequential(kind(), nn.Linear(8, 2))
    batch = torch.ones(4, 8)
    before = torch.get_rng_state()
    with pytest.raises(NotApplicableError, match=rf"self\.act = nn\.\w+\(.*self\.act\(x\) in forward.*{why}"):
        hw.apply(model, "activation.leaky_relu", batches=[batch], loss=lambda m, b: m(b).square().mean())
    assert torch.equal(torch.get_rng_state(), before)


def test_tracing_leaves_the_module_as_it_was():
    model = nn.Sequential(Counting())
    before = dict(vars(model[0]))
    with pytest.raises(ValueError, match="changes attributes"):
        traced(model, "0")
    assert vars(model[0]) == before


def test_rewritten_model_is_copied_and_trained_like_any_other():
    model = copy.deepcopy(hw.apply(Functional(), "activation.elu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.layers[0].weight.detach().clone()
    model(torch.randn(4, 8)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, model.layers[0].weight)
    twice = hw.apply(model, ["activation.tanh", "regularisation.dropout:0.1"])
    assert twice(torch.randn(4, 8)).shape == (4, 3)
