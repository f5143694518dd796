"""What cannot be seen is said, what the step spoils is found, and what is by design is left alone."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import headwater as hw
from tests.cases import cross_entropy, plain_mlp, vectors


def check(model: nn.Module, **parts) -> hw.Report:
    torch.set_num_threads(1)
    batch = vectors()
    if not parts:
        return hw.check(model, batch, cross_entropy)
    return hw.check(hw.Experiment(model=lambda: model, batches=lambda: [batch], loss=cross_entropy, **parts))


def symptoms(report: hw.Report) -> list[str]:
    return [finding.symptom for finding in report.findings]


class RawParameters(nn.Module):
    """Thirty matrices and no module of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ParameterList(nn.Parameter(torch.randn(8, 8) * 0.02) for _ in range(30))
        self.head = nn.Parameter(torch.randn(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.hidden:
            x = x @ weight
        return x @ self.head


class ByHand(torch.autograd.Function):
    """A stack of bias-free linear layers whose backward pass is written out: no graph leads through them."""

    @staticmethod
    def forward(ctx, x: Tensor, body: nn.Sequential, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        return body(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        inputs = [x]
        for weight in weights[:-1]:
            inputs.append(inputs[-1] @ weight.T)
        found = []
        for weight, given in zip(reversed(weights), reversed(inputs), strict=True):
            found.append(gradient.T @ given)
            gradient = gradient @ weight
        return gradient, None, *reversed(found)


class Handwritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*[nn.Linear(8, 8, bias=False) for _ in range(30)])
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(ByHand.apply(x, self.body, *self.body.parameters()))


class Checkpointed(nn.Module):
    """Thirty sigmoid layers, in blocks that are run again in the backward pass, one of them with a shortcut."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(8, 8), nn.Sigmoid())]) for _ in range(3)
        )
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        first, *inner, last = self.blocks
        x = self.run(first, self.stem(x))
        x = self.run(lambda x: x + 1e-3 * inner[0](x), x)
        return self.head(self.run(lambda x: last[10:](last[:10](x)), x))

    def run(self, function, x: Tensor) -> Tensor:
        return checkpoint(function, x, use_reentrant=True) if self.reentrant else function(x)


class PlainList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(8, 8) for _ in range(3)]
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


class LastState(nn.Module):
    """Uses the second output of its LSTM only."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, (h, _) = self.lstm(x.view(len(x), -1, 4))
        return self.head(h[-1])


@pytest.mark.parametrize(
    ("make", "said"), [(RawParameters, "meet in one site"), (Handwritten, "of the trained weights lie where")]
)
def test_network_the_probes_cannot_look_into_is_not_called_healthy(make, said):
    torch.manual_seed(0)
    report = check(make())
    assert report.verdict == "cannot_tell"
    assert "vanishing" not in report.diagnosis.checked
    assert any(said in str(message) for message in report.diagnosis.unchecked)


def test_sites_without_a_gradient_are_named():
    assert "30 sites with weights, such as body.0" in str(check(Handwritten()).flow.gaps[0])


def test_gradient_is_followed_through_blocks_that_run_again_in_the_backward_pass():
    torch.manual_seed(0)
    plain, again = Checkpointed(reentrant=False), Checkpointed(reentrant=True)
    again.load_state_dict(plain.state_dict())
    batch = vectors()
    expected, found = (hw.check(model, batch, cross_entropy) for model in (plain, again))
    assert symptoms(expected)[0] == symptoms(found)[0] == "vanishing"
    assert found.flow.gaps == ()
    for row, twin in zip(found.flow.sites, expected.flow.sites, strict=True):
        assert row.site.name == twin.site.name
        if not row.site.functional:  # the sum of shortcut and branch is made in another order
            assert row.activation_grad is not None
            assert row.activation_grad.rms == pytest.approx(twin.activation_grad.rms, rel=1e-5)
    assert found.flow.path is not None
    assert expected.flow.path is not None
    assert found.flow.path.decades == pytest.approx(expected.flow.path.decades, abs=1e-5)
    assert {step.site for step in found.flow.path.steps} >= {"blocks.0.9", "blocks.2.0", "blocks.2.19", "head"}


def test_layers_in_a_plain_list_are_noticed():
    assert "6 parameters that are not the model's" in str(check(PlainList()).flow.gaps[0])


def test_gradient_of_a_second_output_is_seen():
    flow = check(LastState()).flow
    assert flow.path.first == "lstm"
    assert flow.site("lstm").activation_grad.rms > 0


def test_step_that_spoils_finite_weights_is_found():
    def adam(parameters) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=1e-3)  # its eps of 1e-8 is 0 in float16

    model = plain_mlp().half()
    batch = vectors()[0].half(), vectors()[1]
    experiment = hw.Experiment(model=lambda: model, batches=lambda: [batch], loss=cross_entropy, optimizer=adam)
    report = hw.check(experiment)
    assert symptoms(report)[0] == "nonfinite"
    assert "optimizer's step turns" in str(report.findings[0].message)
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize("activation", ["tanh", "gelu", "silu", "elu", "leaky_relu"])
def test_output_of_zero_is_not_death_where_the_derivative_is_not(activation):
    model = plain_mlp(activation)
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    report = check(model)
    assert report.flow.site("1").activation.zero_fraction == 1.0
    assert "dead_units" not in symptoms(report)


def test_frozen_layers_keep_their_weights():
    model = plain_mlp(depth=6)
    model[4].requires_grad_(False)
    repaired = hw.apply(model, "init.he")
    assert torch.equal(repaired[4].weight, model[4].weight)
    assert not torch.equal(repaired[0].weight, model[0].weight)


def test_weights_a_forward_moves_are_put_back():
    class Averaging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online, self.average = nn.Linear(8, 3), nn.Linear(8, 3)
            self.average.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                self.average.weight.mul_(0.9).add_(self.online.weight, alpha=0.1)
            return self.online(x)

    model = Averaging()
    before = copy.deepcopy(model.state_dict())
    check(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_unknown_nonlinearity_is_blamed_and_no_initialisation_offered():
    class Squash(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1 / (1 + torch.exp(-x))

    layers = [m for _ in range(20) for m in (nn.Linear(8, 8), Squash())]
    (finding,) = check(nn.Sequential(*layers, nn.Linear(8, 3))).findings
    assert finding.causes[0].id == "other_operations"
    assert finding.prescriptions == ()


def test_error_of_our_own_probe_is_not_blamed_on_the_loss():
    model = plain_mlp()
    with pytest.raises(hw.InputError, match="could be measured"):
        hw.check(model, vectors(), lambda m, b: torch.vmap(m)(b[0]).square().mean())


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_function_that_does_not_take_the_call_is_named(part):
    parts = {"model": plain_mlp, "optimizer": lambda p: torch.optim.SGD(p, lr=0.1)}
    wrong = {"model": lambda width: None, "optimizer": lambda: None}
    experiment = hw.Experiment(batches=lambda: [vectors()], loss=cross_entropy, **{**parts, part: wrong[part]})
    with pytest.raises(hw.InputError, match=rf"Experiment\.{part} is called as {part}\(.*Wrap it: Experiment\({part}="):
        hw.check(experiment)
