"""What is measured equals what a slow, obvious computation of the same thing gives."""

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.probes.measure import measure
from headwater.probes.tree import main_tensor
from headwater.records import Flow, InputError
from tests.cases import CASES, cross_entropy, plain_mlp, tokens, vectors


def rms(x: Tensor) -> float:
    return float(x.detach().double().square().mean().sqrt())


def _grad_rms(flow: Flow, site: str) -> float:
    gradient = flow.site(site).activation_grad
    assert gradient is not None
    assert gradient.rms is not None
    return gradient.rms


def _gradients_by_hand(case: str) -> tuple[Flow, dict[str, tuple[Tensor, Tensor | None]]]:
    """Each leaf module's output and ∂loss/∂output, by autograd.grad on captured outputs."""
    model, batch, loss = CASES[case].make()
    states = torch.get_rng_state()
    flow = measure(model, batch, loss)
    torch.set_rng_state(states)
    calls: Counter[str] = Counter()
    outputs: dict[str, Tensor] = {}

    def capture(name: str, output: Any) -> None:
        calls[name] += 1
        y = main_tensor(output)
        if y is not None:
            outputs[name if calls[name] == 1 else f"{name}#{calls[name]}"] = y

    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, a, output, name=name: capture(name, output))
    value = loss(model, batch)
    live = {name: y for name, y in outputs.items() if y.requires_grad}
    gradients = torch.autograd.grad(value, list(live.values()), allow_unused=True)
    by_name = dict(zip(live, gradients, strict=True))
    return flow, {name: (y, by_name.get(name)) for name, y in outputs.items()}


@pytest.mark.parametrize(
    "case",
    [
        "mlp-tanh-he-4",
        "mlp-sigmoid-xavier-30",
        "mlp-relu-default-30",
        "residual",
        "cnn-batchnorm-eval",
        "tied",
        "lstm",
        "transformer-pre-norm",
        "dropout",
        "frozen",
        "float64",
        "bfloat16",
        "gpt2",
    ],
)
def test_activations_and_gradients_equal_autograd_on_captured_outputs(case: str) -> None:
    flow, expected = _gradients_by_hand(case)
    checked = 0
    for row in flow.sites:
        if row.site.name not in expected:
            continue
        y, gradient = expected[row.site.name]
        assert row.activation.rms == pytest.approx(rms(y), rel=1e-6)
        if gradient is None:
            assert row.activation_grad is None
            continue
        assert row.activation_grad is not None
        assert row.activation_grad.rms == pytest.approx(rms(gradient), rel=1e-5)
        assert row.activation_grad.count == gradient.numel()
        checked += 1
    assert checked >= 2


def test_backward_and_forward_gain_are_ratios_of_rms_on_both_sides() -> None:
    torch.manual_seed(0)
    model, (x, y) = plain_mlp("tanh"), vectors()
    flow = measure(model, (x, y), cross_entropy)
    h0 = model[0](x)
    h1 = model[1](h0)
    h2 = model[2](h1)
    g1, g2 = torch.autograd.grad(F.cross_entropy(model[4](model[3](h2)), y), [h1, h2])
    row = flow.site("2")
    assert row.forward_gain == pytest.approx(rms(h2) / rms(h1), rel=1e-5)
    assert row.backward_gain == pytest.approx(rms(g1) / rms(g2), rel=1e-5)
    assert flow.site("0").backward_gain is None
    assert flow.site("0").forward_gain == pytest.approx(rms(h0) / rms(x), rel=1e-5)


def test_functional_sites_have_the_gradient_of_a_manual_forward() -> None:
    torch.manual_seed(0)
    model, (x, y), loss = CASES["methods"].make()
    flow = measure(model, (x, y), loss)
    value = model.layer.value(x)
    tanh = value.tanh()
    gate = model.layer.gate(x)
    sigmoid = torch.sigmoid(gate)
    relu = torch.relu(tanh * sigmoid)
    parts = {"layer.value": value, "layer/tanh#1": tanh, "layer.gate": gate, "layer/sigmoid#1": sigmoid, "relu#1": relu}
    gradients = torch.autograd.grad(F.cross_entropy(model.head(relu), y), list(parts.values()))
    for name, gradient in zip(parts, gradients, strict=True):
        assert _grad_rms(flow, name) == pytest.approx(rms(gradient), rel=1e-5)


def test_output_that_an_in_place_function_overwrites_is_measured_before() -> None:
    torch.manual_seed(0)
    model, (x, y), loss = CASES["cnn-functional"].make()
    flow = measure(model, (x, y), loss)
    first = F.relu(model.conv1(x))
    before = model.conv2(first)
    after = F.relu(before)
    gradients = torch.autograd.grad(F.cross_entropy(model.head(after.mean((2, 3))), y), [before, after])
    assert flow.site("conv2").activation.rms == pytest.approx(rms(before), rel=1e-6)
    assert flow.site("relu#2").activation.rms == pytest.approx(rms(after), rel=1e-6)
    measured = [_grad_rms(flow, name) for name in ("conv2", "relu#2")]
    assert measured == pytest.approx([rms(gradient) for gradient in gradients], rel=1e-5)


@pytest.mark.parametrize(("init", "low", "high"), [("default", 1e-29, 1e-23), ("xavier", 1e-24, 1e-17)])
def test_first_layer_of_the_deep_sigmoid_network_equals_float64(init: str, low: float, high: float) -> None:
    """float32 squares of such a gradient are 0.0; the gradient itself is not."""
    torch.manual_seed(0)
    model, (x, y) = plain_mlp("sigmoid", init, depth=30, width=64, inputs=64, outputs=10), vectors(64, 64, 10)
    single = _grad_rms(measure(model, (x, y), cross_entropy), "0")
    exact = _grad_rms(measure(copy.deepcopy(model).double(), (x.double(), y), cross_entropy), "0")
    assert single == pytest.approx(exact, rel=0.01)
    assert low < single < high


def test_gradient_that_float32_cannot_hold_is_zero_and_one_that_it_can_is_not() -> None:
    torch.manual_seed(0)
    model, (x, y) = plain_mlp("relu", "xavier", depth=4), vectors()
    flow = measure(model, (x, y), lambda m, b: cross_entropy(m, b) * 1e-30)
    assert 1e-35 < _grad_rms(flow, "0") < 1e-30
    gradient = flow.site("0").activation_grad
    assert gradient is not None
    assert gradient.subnormal_fraction == 0.0


def test_derivative_rms_of_modules_is_that_of_their_inputs() -> None:
    torch.manual_seed(0)
    model, (x, y) = plain_mlp("tanh"), vectors()
    flow = measure(model, (x, y), cross_entropy)
    z = model[0](x).detach().double()
    assert flow.site("1").derivative_rms == pytest.approx(rms(1 - torch.tanh(z) ** 2), rel=1e-6)
    assert flow.site("0").derivative_rms is None


def test_dead_fraction_counts_units_no_sample_reaches() -> None:
    torch.manual_seed(0)
    model = plain_mlp("relu", depth=3)
    with torch.no_grad():
        model[0].bias[:5] = -100.0
        model[0].bias[5:] = 100.0
    row = measure(model, vectors(), cross_entropy).site("1")
    assert row.dead_fraction == 5 / 16
    assert (row.units, row.observations) == (16, 64)
    assert row.activation.zero_fraction == 5 / 16


def test_dead_fraction_of_an_in_place_relu_on_images_counts_channels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8 * 36, 3))
    with torch.no_grad():
        model[0].bias[2] = -100.0
    row = measure(model, (torch.randn(4, 3, 8, 8), torch.randint(3, (4,))), cross_entropy).site("1")
    assert row.dead_fraction == 1 / 8
    assert (row.units, row.observations) == (8, 4 * 36)


def test_dead_fraction_of_a_sequence_counts_features() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    row = measure(model, torch.randn(4, 10, 8), lambda m, b: m(b).square().mean()).site("1")
    assert row.dead_fraction == 2 / 6
    assert (row.units, row.observations) == (6, 40)


def test_saturated_fraction_is_the_share_below_a_twentieth_of_the_slope() -> None:
    torch.manual_seed(0)
    model, (x, y) = plain_mlp("sigmoid", depth=3), vectors()
    with torch.no_grad():
        model[0].weight *= 10
    z = model[0](x).detach().double()
    slope = torch.sigmoid(z) * torch.sigmoid(-z)
    share = float((slope < 0.05 * 0.25).double().mean())
    assert 0.1 < share < 0.9
    assert measure(model, (x, y), cross_entropy).site("1").saturated_fraction == pytest.approx(share, abs=1e-12)


def test_collapse_sees_merged_and_separate_inputs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Identity(), nn.Linear(8, 3))
    merged = torch.ones(32, 1) * torch.randn(1, 8)
    row = measure(model, merged, lambda m, b: m(b).square().mean()).site("0")
    assert row.abs_cosine == pytest.approx(1.0)
    assert row.effective_rank == 1.0
    row = measure(model, torch.eye(8), lambda m, b: m(b).square().mean()).site("0")
    assert row.abs_cosine == pytest.approx(0.0)
    assert row.effective_rank == pytest.approx(7.0)


def test_update_ratio_is_what_sgd_really_moves() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp(), vectors()
    flow = measure(model, batch, cross_entropy, torch.optim.SGD(model.parameters(), lr=0.3))
    cross_entropy(model, batch).backward()
    for measured, parameter in zip(flow.parameters, model.parameters(), strict=True):
        assert parameter.grad is not None
        assert measured.grad_rms == pytest.approx(rms(parameter.grad), rel=1e-5)
        assert measured.grad_norm == pytest.approx(float(parameter.grad.double().norm()), rel=1e-5)
        expected = 0.3 * float(parameter.grad.norm() / parameter.detach().norm())
        assert measured.update_ratio == pytest.approx(expected, rel=1e-3)
        assert measured.in_optimizer is True
    norms = [float(p.detach().norm()) for p in (model[0].weight, model[0].bias)]
    moved = [flow.parameters[i].update_ratio or 0.0 for i in (0, 1)]
    joint = math.hypot(*(m * n for m, n in zip(moved, norms, strict=True))) / math.hypot(*norms)
    assert flow.site("0").update_ratio == pytest.approx(joint, rel=1e-6)


def test_update_ratio_knows_weight_decay_momentum_and_adam() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp(), vectors()
    for make in (
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ):
        twin = copy.deepcopy(model)
        before = twin[0].weight.detach().clone()
        flow = measure(model, batch, cross_entropy, make(model.parameters()))
        optimizer = make(twin.parameters())
        cross_entropy(twin, batch).backward()
        optimizer.step()
        expected = float((twin[0].weight.detach() - before).norm() / before.norm())
        assert flow.parameters[0].update_ratio == pytest.approx(expected, rel=1e-4)
        assert flow.optimizer == type(optimizer).__name__


def test_lbfgs_gets_its_closure_and_the_weights_come_back() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp("tanh"), vectors()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    flow = measure(model, batch, cross_entropy, torch.optim.LBFGS(model.parameters(), max_iter=3))
    assert all((p.update_ratio or 0.0) > 0 for p in flow.parameters if p.name.endswith("weight"))
    for parameter, original in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, original)
        assert parameter.grad is None


def test_sparse_gradients_are_measured_over_their_rows() -> None:
    torch.manual_seed(0)
    sparse = nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Flatten(), nn.Linear(48, 3))
    dense = copy.deepcopy(sparse)
    dense[0].sparse = False
    batch = tokens()
    flows = [measure(model, batch, cross_entropy) for model in (sparse, dense)]
    assert flows[0].parameters[0].grad_norm == pytest.approx(flows[1].parameters[0].grad_norm, rel=1e-6)
    gradient = flows[0].parameters[0].grad
    assert gradient is not None
    assert gradient.count == 8 * len(batch[0].unique())
    step = measure(sparse, batch, cross_entropy, torch.optim.SGD(sparse.parameters(), lr=0.1))
    assert (step.parameters[0].update_ratio or 0.0) > 0


def test_parameters_the_optimizer_misses_are_named() -> None:
    torch.manual_seed(0)
    model = plain_mlp()
    flow = measure(model, vectors(), cross_entropy, torch.optim.SGD(model[4].parameters(), lr=0.1))
    assert [p.in_optimizer for p in flow.parameters] == [False, False, False, False, True, True]
    assert flow.parameters[0].update_ratio == 0.0
    assert flow.parameters[0].unchanged_fraction == 1.0
    assert (flow.parameters[4].update_ratio or 0.0) > 0


def test_gradients_of_a_shared_module_count_every_call() -> None:
    torch.manual_seed(0)
    model, (x, y), loss = CASES["shared"].make()
    flow = measure(model, (x, y), loss)
    a = model.mix(x)
    b = model.mix(model.act(a))
    grads = torch.autograd.grad(F.cross_entropy(model.head(model.act(b)), y), [a, b])
    assert [_grad_rms(flow, name) for name in ("mix#1", "mix#2")] == pytest.approx([rms(g) for g in grads], rel=1e-5)


def test_sign_coherence_of_a_positive_input_is_one() -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 4)
    flow = measure(model, torch.rand(1, 8) + 0.1, lambda m, b: m(b).sum())
    assert flow.parameters[0].sign_coherence == 1.0


def test_flow_knows_loss_samples_step_and_optimizer() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp(), vectors(48)
    flow = measure(model, batch, cross_entropy, torch.optim.Adam(model.parameters()), steps_before=7)
    assert (flow.samples, flow.step, flow.optimizer) == (48, 7, "Adam")
    assert flow.loss == float(cross_entropy(model, batch).detach())


def test_flow_survives_json() -> None:
    for case in ("cnn-batchnorm", "lora", "noisy"):
        flow = measure(*CASES[case].make())
        assert Flow.from_dict(flow.to_dict()) == flow


def test_gradient_penalty_in_the_loss_is_measured() -> None:
    """A loss that differentiates inside itself runs a backward pass of its own."""
    torch.manual_seed(0)
    model, (x, y) = plain_mlp("tanh"), vectors()

    def penalised(m: Any, b: Any) -> Tensor:
        inputs = b[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(m(inputs).square().sum(), inputs, create_graph=True)
        return F.cross_entropy(m(b[0]), b[1]) + slope.square().mean()

    flow = measure(model, (x, y), penalised)
    assert [row.site.name for row in flow.sites][:2] == ["0#1", "1#1"]
    assert flow.path is not None


def test_loss_under_autocast_is_measured() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp("tanh"), vectors()

    def mixed(m: Any, b: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.cross_entropy(m(b[0]).float(), b[1])

    flow = measure(model, batch, mixed)
    assert flow.site("0").site.dtype == "bfloat16"
    assert _grad_rms(flow, "0") == pytest.approx(_grad_rms(measure(model, batch, cross_entropy), "0"), rel=0.05)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU(), "has no parameters"),
        (nn.Linear(2, 2).requires_grad_(False), "none is trainable"),
        (lambda x: x, "must be a torch.nn.Module, got function"),
        (nn.Linear, "must be a torch.nn.Module, got type"),
    ],
)
def test_model_without_anything_to_train_is_refused(model: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        hw.check(model, vectors(), cross_entropy)


def test_lazy_model_is_refused_as_long_as_it_has_no_weights() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 3))
    with pytest.raises(InputError, match=r"0\.weight has no shape yet.*model\(batch\[0\]\)"):
        hw.check(model, vectors(), cross_entropy)
    model(vectors()[0])
    assert hw.check(model, vectors(), cross_entropy).flow.path is not None


def test_loss_that_never_calls_the_model_is_refused() -> None:
    model = plain_mlp()
    with pytest.raises(InputError, match="never called the model"):
        hw.check(model, vectors(), lambda m, b: m[0].weight.sum())


def summed(m: nn.Module, b: Any) -> Tensor:
    return F.cross_entropy(m(b[0]), b[1], reduction="sum")


class Scale(torch.autograd.Function):
    """A user's own, of the name that a product with a constant goes by."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


SCALED: dict[str, tuple[Callable[[nn.Module, Any], Tensor], float | None]] = {
    "plain": (cross_entropy, 1.0),
    "times": (lambda m, b: 1e3 * cross_entropy(m, b), 1e3),
    "micro-batches": (lambda m, b: cross_entropy(m, b) / 8, 0.125),
    "twice": (lambda m, b: torch.tensor(3.0) * (cross_entropy(m, b) / 2), 1.5),
    "summed": (summed, 64.0),
    "weighted sum": (lambda m, b: summed(m, b) * 0.5, 32.0),
    "by nothing": (lambda m, b: cross_entropy(m, b) / 0.0, None),
    "by hand": (lambda m, b: Scale.apply(cross_entropy(m, b)), None),
    "by many": (lambda m, b: (cross_entropy(m, b) * torch.ones(3)).sum(), 1.0),
    "two terms": (lambda m, b: 2 * cross_entropy(m, b) + m(b[0]).square().mean(), 1.0),
}


@pytest.mark.parametrize("name", SCALED)
def test_constant_that_a_loss_is_multiplied_with_is_seen(name: str) -> None:
    loss, scale = SCALED[name]
    assert measure(plain_mlp(), vectors(), loss).setup.loss_scale == pytest.approx(scale)
