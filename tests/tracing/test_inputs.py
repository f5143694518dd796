"""What can be handed over, what is left as it was, and what each mistake is told."""

import random
from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.records import InputError
from tests.tracing.cases import Steps, Through, lecture_net, mlp, resnet

LARGE = (6, 20)


def refusal(*arguments: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        hw.trace(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("grad", [True, False])
def test_nothing_of_the_users_is_changed(grad: bool) -> None:
    model = resnet()
    model.get_submodule("2").eval()
    x = torch.randn(4, 1, 8, 8, requires_grad=True)
    y = torch.tensor([0, 1, 2, 3])
    if grad:
        nn.functional.cross_entropy(model(x), y).backward()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    objects = {name: id(value) for name, value in model.named_parameters()}
    grads = [None if p.grad is None else p.grad.clone() for p in [x, *model.parameters()]]
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    rng = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    data, default = x.detach().clone(), torch.get_default_dtype()
    hw.trace(model, x, y)
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)
    assert {name: id(value) for name, value in model.named_parameters()} == objects
    assert all(p.dtype == torch.float32 for p in model.parameters())
    for parameter, before in zip([x, *model.parameters()], grads, strict=True):
        assert (parameter.grad is None) == (before is None)
        if before is not None:
            torch.testing.assert_close(parameter.grad, before, rtol=0, atol=0)
    assert [module.training for module in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert model[1].inplace
    assert torch.equal(torch.get_rng_state(), rng[0])
    assert random.getstate() == rng[1]
    assert np.array_equal(np.random.get_state()[1], rng[2])
    assert torch.equal(x.detach(), data)
    assert torch.get_default_dtype() == default


def test_frozen_weight_can_be_explained_and_stays_frozen() -> None:
    net = lecture_net()
    net[0].requires_grad_(False)
    trace = hw.trace(net, [1.0, -1.0], [1.0])
    assert trace.parameter == "0.weight"
    assert not net[0].weight.requires_grad


def test_dropout_is_the_same_in_every_pass() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 40), nn.Dropout(0.5), nn.Tanh(), nn.Linear(40, 4))
    trace = hw.trace(model, torch.randn(LARGE), torch.randn(6, 4))
    assert {check.status for check in trace.checks} == {"holds"}


@pytest.mark.parametrize(
    "x", [[1.0, -1.0], (1.0, -1.0), [[1, -1]], torch.tensor([1.0, -1.0]), torch.tensor([[1.0, -1.0]])]
)
def test_input_may_be_numbers_or_a_tensor(x: object) -> None:
    expected = hw.trace(lecture_net(), torch.tensor([[1.0, -1.0]]))
    assert hw.trace(lecture_net(), x).gradient == expected.gradient


def test_single_number_is_an_input() -> None:
    model = nn.Linear(1, 1)
    assert hw.trace(model, 2).gradient.value == 2.0
    assert hw.trace(model, torch.tensor(2.0)).gradient.value == 2.0


def test_several_arguments_are_handed_on() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.layer(left * right)

    left, right = torch.randn(2, 3), torch.randn(2, 3)
    by_tuple = hw.trace(Two(), (left, right)).loss
    assert isinstance(by_tuple, float)
    torch.manual_seed(0)
    model = Two()
    assert hw.trace(model, (left, right)).loss == hw.trace(model, {"left": left, "right": right}).loss


@pytest.mark.parametrize(
    ("y", "target"),
    [
        (torch.tensor([0.1, 0.2, 0.3, 0.4]), "trace.target.mse"),
        ([0.1, 0.2, 0.3, 0.4], "trace.target.mse"),
        (torch.tensor([2]), "trace.target.cross_entropy"),
        ([2], "trace.target.cross_entropy"),
        (2, "trace.target.cross_entropy"),
        (None, "trace.target.sum"),
    ],
)
def test_target_says_what_the_loss_is(y: object, target: str) -> None:
    assert hw.trace(mlp(3, 4, 4), [1.0, 2.0, 3.0], y).target.id == target


def test_single_output_with_a_whole_number_is_no_class() -> None:
    assert hw.trace(lecture_net(), [1, -1], [1]).target.id == "trace.target.mse"


def test_loss_of_ones_own_is_named() -> None:
    trace = hw.trace(lecture_net(), [1, -1], torch.tensor([[1.0]]), nn.functional.binary_cross_entropy)
    assert trace.target.values == {"name": "binary_cross_entropy"}
    assert trace.holds
    assert "binary_cross_entropy = 0.5843" in str(trace)


def test_experiment_brings_its_batch_and_loss() -> None:
    pair = namedtuple("pair", "x y")
    batches = [pair(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.ones(4, 1))]
    experiment = hw.Experiment(lecture_net, lambda: batches, lambda m, b: nn.functional.mse_loss(m(b.x), b.y))
    trace = hw.trace(experiment, seed=0)
    assert trace.kind == "network"
    assert (trace.sample, trace.samples) == (0, 4)
    alone = hw.trace(lecture_net(), batches[0].x[:1], batches[0].y[:1])
    assert trace.weights == alone.weights
    assert trace.run.seed == 0
    assert "bring" in refusal(experiment, torch.randn(1, 2))


def test_seed_draws_the_weights_of_an_experiment() -> None:
    experiment = hw.Experiment(
        lambda: nn.Linear(2, 1), lambda: [torch.randn(3, 2)], lambda model, batch: model(batch).mean()
    )
    first, second, other = (hw.trace(experiment, seed=seed) for seed in (0, 0, 1))
    assert first.weights == second.weights != other.weights


def test_model_that_cannot_run_in_float64_is_traced_in_its_own_type() -> None:
    constant = torch.randn(4, 4)
    trace = hw.trace(Through(lambda t: torch.relu(t @ constant)), torch.randn(5, 3))
    assert trace.dtype == "float32"
    assert trace.holds
    assert "Computed in float32" in str(trace)


@pytest.mark.parametrize(
    ("model", "x", "culprits"),
    [
        (mlp(8, 30, 2), torch.randn(4, 9), ["[4, 9]", "inside: 0 (Linear", "hw.trace(model, torch.randn(1, 8))"]),
        (resnet(), torch.randn(4, 2, 8, 8), ["inside: 0 (Conv2d", "torch.randn(1, 1, 32, 32)"]),
        (Through(lambda t: t.argmax(1)), torch.randn(2, 3), ["int64[2]", "argmax"]),
        (Through(lambda t: t.detach() * 2), torch.randn(2, 3), ["cut off at detach", "Leave it out"]),
        (Through(lambda t: torch.tensor(t.tolist())), torch.randn(2, 3), ["cut off at tolist"]),
        (Through(torch.log), torch.randn(9, 3), ["first in the output of log", "log(0)"]),
        (Through(lambda t: (t * 0).sqrt()), torch.randn(2, 3), ["way back through sqrt", "sqrt(x + 1e-12)"]),
        (Through(lambda t: torch.igamma(t.abs(), t.abs())), torch.randn(2, 3), ["igamma", "derivative"]),
        (Through(torch.tanh), torch.full((2, 3), float("nan")), ["6 NaN and 0 Inf among 6", "nan_to_num"]),
        (Through(torch.tanh), None, ["input", "hw.trace(model, x, y)"]),
        (Through(torch.tanh), "text", ["x: str"]),
        (Through(torch.tanh), ["text"], ["tensor or numbers"]),
        (nn.ReLU(), torch.randn(2, 3), ["ReLU has no parameters"]),
        (nn.LazyLinear(3), torch.randn(2, 3), ["weight has no shape yet", "model(x)"]),
        ("model", torch.randn(2, 3), ["torch.nn.Module, got str"]),
    ],
)
def test_input_that_does_not_fit_is_refused(model: object, x: object, culprits: list[str]) -> None:
    message = refusal(model, x)
    for culprit in culprits:
        assert culprit in message


def test_spoiled_weight_is_named() -> None:
    model = mlp(3, 4, 2)
    with torch.no_grad():
        model[2].bias[1] = float("inf")
    assert "2.bias holds 0 NaN and 1 Inf among 2 values" in refusal(model, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("y", "loss", "culprits"),
    [
        (torch.randn(2, 4), lambda output, y: (output - y) ** 2, ["shape [2, 4]", ".mean()"]),
        (torch.randn(2, 4), lambda output, y: 3.0, ["float", "loss.item()"]),
        (torch.randn(2, 4), lambda output, y: output @ y, ["loss(output, y) raised", "float32[2, 4]"]),
        (torch.randn(2, 4), "mse", ["function of output and target, got str"]),
        (torch.randn(7), None, ["shape [7]", "[2, 4]"]),
        (torch.tensor([0, 9]), None, ["classes from 0 to 9", "0 to 3"]),
        ("text", None, ["tensor or numbers"]),
    ],
)
def test_loss_that_does_not_fit_is_refused(y: object, loss: object, culprits: list[str]) -> None:
    message = refusal(Through(torch.tanh), torch.randn(2, 3), y, loss)
    for culprit in culprits:
        assert culprit in message


@pytest.mark.parametrize(
    ("parameter", "culprits"),
    [
        ("0.wieght", ["no parameter '0.wieght'", 'parameter="0.weight"']),
        ("0.weight[9,9]", ["shape is [4, 3]", 'parameter="0.weight[3,2]"']),
        ("0.weight[1]", ["shape is [4, 3]"]),
        ("0.weight[a,b]", ["no parameter '0.weight[a,b]'"]),
        ("2.weight[1.5,0]", ["2.weight"]),
        (7, ["is a name"]),
    ],
)
def test_parameter_that_is_not_there_is_refused(parameter: object, culprits: list[str]) -> None:
    message = refusal(mlp(3, 4, 2), [1.0, 2.0, 3.0], parameter=parameter)
    for culprit in culprits:
        assert culprit in message


def test_parameter_that_took_no_part_is_refused() -> None:
    model = Through(torch.tanh)
    model.spare = nn.Linear(2, 2)
    message = refusal(model, torch.randn(2, 3), parameter="spare.weight")
    assert "spare.weight took no part" in message
    assert "layer.bias" in message


@pytest.mark.parametrize("rate", [0, -1, float("nan"), "fast"])
def test_rate_is_a_positive_number(rate: object) -> None:
    assert "positive number" in refusal(lecture_net(), [1, -1], rate=rate)


def test_negative_index_counts_from_the_end() -> None:
    trace = hw.trace(lecture_net(), [1, -1], parameter="0.weight[-1,-2]")
    assert trace.parameter_name == "0.weight[1,0]"


def test_step_function_is_said_to_have_no_derivative() -> None:
    """A perceptron's step: nothing comes through it, and what is before it has no gradient."""
    model = Steps()
    told = refusal(model, 1.0, 0.0)
    assert "no gradient reaches first.weight" in told
    assert "ends at gt, which has no derivative" in told
    assert "parameter='second.weight'" in told
    assert "ends at gt" in refusal(model, 1.0, 0.0, parameter="first.weight")
    assert hw.trace(model, 1.0, 0.0, parameter="second.weight").holds


def test_backward_of_ones_own_is_an_operation_and_need_not_be_a_derivative() -> None:
    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.sign()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return 3 * gradient

    trace = hw.trace(Through(Sign.apply), [1.0, 2.0, 3.0], [0.5, 0.5, 0.5, 0.5])
    assert trace.kind == "layers"
    sign = next(row for row in trace.layers if row.name == "Sign#1")
    assert (sign.gain, sign.log10_ratio) == pytest.approx((3.0, 0.4771212547196624))
    assert trace.holds
    assert "Sign#1 brings a backward of its own" in str(trace)


def test_array_is_an_input() -> None:
    expected = hw.trace(lecture_net(), [1.0, -1.0], [1.0])
    found = hw.trace(lecture_net(), np.array([[1.0, -1.0]]), np.array([[1.0]]))
    assert found.weights == expected.weights


def test_class_that_the_loss_ignores_is_none_out_of_range() -> None:
    model, x = mlp(3, 30, 4), torch.randn(3, 3)
    assert hw.trace(model, x, torch.tensor([0, -100, 3])).holds
    assert "classes from 0 to 4" in refusal(model, x, torch.tensor([0, 1, 4]))


def test_mask_that_has_no_derivative_cuts_nothing_off() -> None:
    assert hw.trace(Through(lambda t: t * (t > 0)), torch.randn(4, 3)).parameter == "layer.weight"


def test_part_that_is_kept_out_of_the_graph_on_purpose_is_no_mistake() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(3, 30), nn.Linear(30, 2)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                features = torch.tanh(self.body(x))
            return self.head(features)

    trace = hw.trace(Frozen(), torch.randn(5, 3))
    assert trace.parameter == "head.weight"
    assert trace.holds


def test_model_kept_in_half_precision_is_told_what_that_gives() -> None:
    torch.manual_seed(0)
    model = mlp(3, 30, 4).half()
    trace = hw.trace(model, torch.randn(5, 3).half(), torch.randint(4, (5,)))
    assert (trace.dtype, trace.rounded_dtype) == ("float64", "float16")
    assert trace.rounded is not None
    assert 0 < abs(trace.rounded.value / trace.gradient.value - 1) < 1e-2
    assert "float16 gives" in str(trace)


def test_loss_that_computes_in_float32_is_told_and_no_disagreement() -> None:
    model = mlp(3, 30, 4)
    trace = hw.trace(
        model, torch.randn(5, 3), torch.zeros(5).long(), lambda z, y: nn.functional.cross_entropy(z.float(), y)
    )
    assert trace.holds
    assert "on the numbers are float32" in str(trace)
