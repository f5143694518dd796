"""Measuring leaves a model, its batch and the random states bit-identical, whatever happens on the way."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.probes.measure import measure
from headwater.probes.tree import tensors
from headwater.records import InputError
from tests.cases import CASES, Case, cross_entropy, plain_mlp, vectors
from tests.probes.snapshot import bits, differences, snapshot

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer] | None] = {
    "none": None,
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1),
}


@pytest.fixture(params=CASES.values(), ids=lambda case: case.id)
def case(request: pytest.FixtureRequest) -> Case:
    torch.set_num_threads(1)
    return request.param


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_moves_when_a_model_is_measured(case: Case, optimizer: str) -> None:
    model, batch, loss = case.make()
    make = None if case.id == "embedding-sparse" and optimizer == "adam" else OPTIMIZERS[optimizer]
    before = snapshot(model, batch)
    measure(model, batch, loss, make(model.parameters()) if make else None)
    assert differences(before, snapshot(model, batch)) == []


def test_gradients_stay_the_same_objects_when_there_are_some(case: Case) -> None:
    model, batch, loss = case.make()
    loss(model, batch).backward()
    before = snapshot(model, batch)
    assert any(value is not None for name, value in before.items() if name.startswith("grad:"))
    hw.check(model, batch, loss)
    assert differences(before, snapshot(model, batch)) == []


def test_batch_keeps_its_gradient_when_it_asks_for_one(case: Case) -> None:
    model, batch, loss = case.make()
    asking = [tensor.requires_grad_() for tensor in tensors(batch) if tensor.is_floating_point()]
    for tensor in asking[::2]:
        tensor.grad = torch.full_like(tensor, 7.0)
    before = snapshot(model, batch)
    hw.check(model, batch, loss)
    assert differences(before, snapshot(model, batch)) == []


def test_outputs_are_the_same_when_the_model_runs_again(case: Case) -> None:
    model, batch, loss = case.make()
    untouched = copy.deepcopy(model)
    hw.check(model, batch, loss)
    values = []
    for subject in (untouched, model):
        torch.manual_seed(5)
        value = loss(subject, batch)
        value.backward()
        values.append([bits(value), *(bits(p.grad) for p in subject.parameters() if p.grad is not None)])
    if case.id != "noisy":  # it also draws from numpy and Python, which go on between the two
        assert values[0] == values[1]


def test_loss_is_that_of_an_unmeasured_model(case: Case) -> None:
    model, batch, loss = case.make()
    states = torch.get_rng_state()
    report = hw.check(model, batch, loss)
    torch.set_rng_state(states)
    if case.id != "noisy":
        assert report.flow.loss == float(loss(model, batch).detach())


def test_model_can_be_copied_and_pickled_after_a_check(case: Case) -> None:
    model, batch, loss = case.make()
    hw.check(model, batch, loss)
    names = [name for name, _ in model.named_parameters()]
    twins = [copy.deepcopy(model)]
    if case.id in ("weight-norm", "spectral-norm"):
        with pytest.raises(RuntimeError, match="parametrized modules is only supported through state_dict"):
            pickle.dumps(model)  # as torch refuses it before a check too
        case.make()[0].load_state_dict(pickle.loads(pickle.dumps(model.state_dict())))
    else:
        twins.append(pickle.loads(pickle.dumps(model)))
    for twin in twins:
        assert [name for name, _ in twin.named_parameters()] == names
        assert differences(_hooks(snapshot(model)), _hooks(snapshot(twin))) == []


def _hooks(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name.startswith(("hooks:", "tensor hooks:"))}


def test_experiment_leaves_a_model_that_is_handed_out_again(case: Case) -> None:
    model, batch, loss = case.make()
    before = snapshot(model, batch)
    make = OPTIMIZERS["sgd"]
    assert make is not None
    experiment = hw.Experiment(model=lambda: model, batches=lambda: [batch], loss=loss, optimizer=make)
    hw.check(experiment, seed=3)
    assert differences(before, snapshot(model, batch)) == []


class HalfWay(nn.Module):
    """Goes through two layers, then raises ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.first, self.norm, self.act = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True)
        self.last, self.error = nn.Linear(8, 3), error

    def forward(self, x: Tensor) -> Tensor:
        self.act(self.norm(self.first(x)) + torch.rand(8))
        self.eval()
        raise self.error


def _half_way(error: type[BaseException]) -> nn.Module:
    return HalfWay(error("the model broke"))


class _FailingBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError("the backward broke")


def _loss_raises(model: Any, batch: Any) -> Tensor:
    model(batch[0])
    raise TypeError("the loss broke")


def _loss_interrupted(model: Any, batch: Any) -> Tensor:
    model(batch[0])
    raise KeyboardInterrupt("while it ran")


def _backward_raises(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(_FailingBackward.apply(model(batch[0])), batch[1])


FAILURES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Any], Any], type[BaseException], str]] = {
    "forward raises": (lambda: _half_way(ValueError), cross_entropy, InputError, "ValueError: the model broke"),
    "forward interrupted": (lambda: _half_way(KeyboardInterrupt), cross_entropy, KeyboardInterrupt, "the model broke"),
    "forward exits": (lambda: _half_way(SystemExit), cross_entropy, SystemExit, "the model broke"),
    "loss raises": (plain_mlp, _loss_raises, InputError, "TypeError: the loss broke"),
    "loss interrupted": (plain_mlp, _loss_interrupted, KeyboardInterrupt, "while it ran"),
    "loss is a vector": (plain_mlp, lambda m, b: m(b[0]), InputError, r"shape \[64, 3\]"),
    "loss is a number": (plain_mlp, lambda m, b: float(m(b[0]).sum()), InputError, "not loss.item()"),
    "loss has no graph": (plain_mlp, lambda m, b: m(b[0]).sum().detach(), InputError, "no graph"),
    "backward raises": (plain_mlp, _backward_raises, InputError, "the backward broke"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_moves_when_the_step_fails(failure: str, optimizer: str) -> None:
    torch.manual_seed(0)
    make, loss, error, text = FAILURES[failure]
    model, batch = make(), vectors()
    batch[0].requires_grad_()
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before = snapshot(model, batch)
    make_optimizer = OPTIMIZERS[optimizer]
    with pytest.raises(error, match=text):
        measure(model, batch, loss, make_optimizer(model.parameters()) if make_optimizer else None)
    assert differences(before, snapshot(model, batch)) == []
    assert hw.check(plain_mlp(), vectors(), cross_entropy).verdict == "healthy"


def test_error_names_the_module_and_the_shapes_when_the_model_rejects_a_batch() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(9, 3))
    with pytest.raises(InputError) as caught:
        hw.check(model, vectors(), cross_entropy)
    message = str(caught.value)
    assert "cannot be multiplied" in message
    assert "inside: 2 (Linear)" in message
    assert "batch: tuple(float32[64, 8], int64[64])" in message


def test_mode_and_gradient_switch_stay_when_checked_under_no_grad() -> None:
    model, batch, loss = CASES["mlp-shallow"].make()
    with torch.no_grad():
        assert hw.check(model, batch, loss).flow.path is not None
        assert not torch.is_grad_enabled()


def test_check_works_when_called_under_inference_mode() -> None:
    model, batch, loss = CASES["mlp-shallow"].make()
    with torch.inference_mode():
        assert hw.check(model, batch, loss).flow.path is not None


def test_gradients_of_what_only_the_loss_knows_stay(case: Case) -> None:
    model, batch, loss = case.make()
    scale = nn.Parameter(torch.ones(()))
    hw.check(model, batch, lambda m, b: loss(m, b) * scale)
    assert scale.grad is None


def test_pending_backward_still_runs_after_a_check(case: Case) -> None:
    model, batch, loss = case.make()
    pending = loss(model, batch)
    hw.check(model, batch, loss)
    pending.backward()
    assert any(parameter.grad is not None for parameter in model.parameters())


def test_gradients_stay_when_the_loss_runs_a_backward_pass_of_its_own() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp("tanh"), vectors()
    batch[0].requires_grad_()
    before = snapshot(model, batch)

    def loss(m: Any, b: Any) -> Tensor:
        m(b[0]).sum().backward()
        return cross_entropy(m, (b[0].detach(), b[1]))

    hw.check(model, batch, loss)
    assert differences(before, snapshot(model, batch)) == []


def test_graph_behind_the_batch_is_left_alone() -> None:
    torch.manual_seed(0)
    encoder, (x, y) = nn.Sequential(nn.Linear(8, 8), nn.Tanh()), vectors()
    features = encoder(x)
    hw.check(plain_mlp(depth=2), (features, y), cross_entropy)
    assert encoder[0].weight.grad is None
    assert not features._backward_hooks
    features.sum().backward()
    assert encoder[0].weight.grad is not None


def test_buffer_keeps_its_bits_when_it_holds_a_nan_or_a_negative_zero() -> None:
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))
    model[0].running_mean.copy_(torch.tensor([float("nan"), -0.0, 0.0, 1e-42, float("inf"), 1.0, 2.0, 3.0]))
    batch = vectors()
    before = snapshot(model)
    hw.check(model, batch, cross_entropy)
    assert differences(before, snapshot(model)) == []


def test_hooks_of_the_user_see_one_forward_and_one_backward() -> None:
    model, batch, loss = CASES["cnn-batchnorm"].make()
    calls: list[str] = []
    model[0].register_forward_hook(lambda *_: calls.append("forward"))
    model[0].weight.register_hook(lambda _: calls.append("backward"))
    hw.check(model, batch, loss)
    assert calls == ["forward", "backward"]
    assert len(model[0]._forward_hooks) == 1
    assert len(model[0].weight._backward_hooks) == 1


def test_scripted_part_is_refused_and_nothing_is_left_behind() -> None:
    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.ReLU()), nn.Linear(4, 2))
    model(torch.randn(2, 4)).sum().backward()
    gradient = model[0].weight.grad
    with pytest.raises(InputError, match=r"'1' is compiled to TorchScript.*check the module it was scripted"):
        measure(model, torch.randn(2, 4), lambda m, x: m(x).sum())
    assert model[0].weight.grad is gradient
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


def test_weights_stay_though_an_optimizer_steps_in_the_backward_pass() -> None:
    model = nn.Linear(4, 2)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.weight.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    measure(model, torch.randn(8, 4), lambda m, x: m(x).square().mean())
    assert torch.equal(model.weight, before)
