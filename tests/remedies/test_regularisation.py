"""Penalties are what adding them to the loss would be, decay is AdamW's, and both outlive copies."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import headwater as hw
from headwater.remedies.order import order_of_model
from headwater.remedies.registry import find
from headwater.remedies.surgery import patch


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.PReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


X = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
Y = torch.arange(32) % 3
WEIGHTS = ("0.weight", "3.weight", "5.weight")


def data_loss(model: nn.Module) -> Tensor:
    return nn.functional.cross_entropy(model(X), Y)


def penalty(model: nn.Module, kind: str, strength: float) -> Tensor:
    weights = [model.get_parameter(name) for name in WEIGHTS]
    if kind == "l1":
        return strength * sum(w.abs().sum() for w in weights)
    return strength / 2 * sum(w.square().sum() for w in weights)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, extra=lambda: 0.0, closure=False, times: int = 4) -> None:
    """Train on the data's loss plus ``extra``; the optimizer is handed a closure or finds the gradients there."""

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = data_loss(model) + extra()
        loss.backward()
        return loss

    for _ in range(times):
        if closure:
            optimizer.step(evaluate)
        else:
            evaluate()
            optimizer.step()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_training_with_the_remedy_is_training_on_the_penalised_loss(kind, optimizer, closure):
    model = mlp()
    repaired, rebound = hw.apply(model, f"regularisation.{kind}:0.05", OPTIMIZERS[optimizer](model.parameters()))
    by_loss = copy.deepcopy(model)
    steps(by_loss, OPTIMIZERS[optimizer](by_loss.parameters()), lambda: penalty(by_loss, kind, 0.05))
    steps(repaired, rebound, closure=closure)
    torch.testing.assert_close(repaired.state_dict(), by_loss.state_dict(), atol=1e-6, rtol=1e-5)
    plain = copy.deepcopy(model)
    steps(plain, OPTIMIZERS[optimizer](plain.parameters()))
    assert not torch.allclose(plain[3].weight, by_loss[3].weight, atol=1e-3)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_gradient_before_the_update_is_that_of_autograd(kind):
    model = mlp()
    repaired, rebound = hw.apply(model, f"regularisation.{kind}:0.3", torch.optim.SGD(model.parameters(), lr=0.0))
    steps(repaired, rebound, times=1)
    (data_loss(model) + penalty(model, kind, 0.3)).backward()
    for (name, expected), parameter in zip(model.named_parameters(), repaired.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, msg=name)


def test_line_search_compares_penalised_losses():
    def make(parameters):
        return torch.optim.LBFGS(parameters, lr=1.0, max_iter=8, line_search_fn="strong_wolfe")

    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    by_loss = copy.deepcopy(model)
    x = X.double()

    def train(subject, optimizer, strength):
        def evaluate():
            optimizer.zero_grad()
            weights = sum(subject[i].weight.square().sum() for i in (0, 2))
            loss = nn.functional.cross_entropy(subject(x), Y) + strength / 2 * weights
            loss.backward()
            return loss

        return float(optimizer.step(evaluate))

    namespace: dict = {}
    exec(patch(model, ["regularisation.l2:0.1"], order_of_model(model)), namespace)
    optimizer = namespace["repair_optimizer"](model, make(model.parameters()))
    assert train(model, optimizer, 0.0) == pytest.approx(train(by_loss, make(by_loss.parameters()), 0.1), rel=1e-9)
    torch.testing.assert_close(model.state_dict(), by_loss.state_dict(), atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("closure", [False, True])
def test_adam_with_decoupled_decay_is_adamw_bit_for_bit(closure):
    model = mlp()
    repaired, rebound = hw.apply(
        model, "regularisation.weight_decay:0.1", torch.optim.Adam(model.parameters(), lr=0.02)
    )
    expected = copy.deepcopy(model)
    decayed = [expected.get_parameter(name) for name in WEIGHTS]
    others = [p for name, p in expected.named_parameters() if name not in WEIGHTS]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    steps(expected, torch.optim.AdamW(groups, lr=0.02))
    steps(repaired, rebound, closure=closure)
    torch.testing.assert_close(repaired.state_dict(), expected.state_dict(), atol=0, rtol=0)


def test_decay_happens_once_where_a_closure_is_called_many_times():
    model = nn.Sequential(nn.Linear(6, 3, bias=False), nn.Identity()).double()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=6)
    namespace: dict = {}
    exec(patch(model, ["regularisation.weight_decay:0.2"], order_of_model(model)), namespace)
    namespace["repair_optimizer"](model, optimizer)
    before = model[0].weight.detach().clone()
    calls = []

    def flat() -> Tensor:
        calls.append(1)
        optimizer.zero_grad()
        loss = (model[0].weight * torch.ones(3, 6).double() * 1e-12).sum()
        loss.backward()
        return loss

    optimizer.step(flat)
    torch.testing.assert_close(model[0].weight.detach(), before * (1 - 0.5 * 0.2))


def test_decay_leaves_weights_alone_that_are_not_updated():
    model = mlp()
    repaired, rebound = hw.apply(model, "regularisation.weight_decay", torch.optim.Adam(model.parameters(), lr=0.1))
    repaired[3].weight.requires_grad_(False)
    steps(repaired, rebound, times=1)
    assert torch.equal(repaired[3].weight, model[3].weight)
    assert not torch.equal(repaired[0].weight, model[0].weight)


def chosen(model: nn.Module) -> tuple[str, ...]:
    (edit,) = find("regularisation.l2").plan(model, (), 0)
    return edit.weights


def test_weights_are_matrices_and_kernels_of_layers():
    assert chosen(mlp()) == WEIGHTS
    assert chosen(nn.Sequential(nn.Conv2d(1, 2, 3), nn.LayerNorm((2, 4, 4)), nn.PReLU(2))) == ("0.weight",)
    recurrent = nn.Sequential(nn.Embedding(5, 4), nn.LSTM(4, 3), nn.Linear(3, 5))
    assert chosen(recurrent) == ("1.weight_ih_l0", "1.weight_hh_l0", "2.weight")
    recurrent[2] = nn.Linear(4, 5)
    recurrent[2].weight = recurrent[0].weight
    assert "2.weight" not in chosen(recurrent)
    assert chosen(nn.MultiheadAttention(4, 2)) == ("in_proj_weight", "out_proj.weight")
    frozen = mlp()
    frozen[0].requires_grad_(False)
    parametrizations.weight_norm(frozen[3])
    assert chosen(frozen) == ("5.weight",)


def test_weights_that_take_no_part_shrink_as_under_the_penalised_loss():
    model = mlp()
    repaired, rebound = hw.apply(model, "regularisation.l2:0.5", torch.optim.SGD(model.parameters(), lr=1.0))
    rebound.step()  # no gradient has come to anything
    torch.testing.assert_close(repaired[0].weight, model[0].weight * 0.5)
    assert torch.equal(repaired[0].bias, model[0].bias)


@pytest.mark.parametrize(
    "remedy", ["regularisation.l1:0.1", "regularisation.l2:0.1", "regularisation.weight_decay:0.1"]
)
def test_regularisation_goes_along_when_a_repaired_pair_is_repaired_again(remedy):
    model = mlp()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    once = hw.apply(model, remedy, optimizer)
    again, rebound = hw.apply(*[once[0], "activation.leaky_relu", once[1]])
    expected, with_both = hw.apply(model, ["activation.leaky_relu", remedy], optimizer)
    steps(again, rebound)
    steps(expected, with_both)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), expected.parameters(), strict=True))
    plain, plain_optimizer = hw.apply(model, "activation.leaky_relu", optimizer)
    steps(plain, plain_optimizer)
    assert not torch.equal(plain[0].weight, again[0].weight)
    steps(*once)  # which the copy has nothing to do with
    assert not torch.equal(once[0][0].weight, again[0].weight)


def test_regularisation_by_a_pasted_patch_goes_along_too():
    model = mlp()
    namespace: dict = {}
    exec(patch(model, ["regularisation.l2:0.1"], order_of_model(model)), namespace)
    optimizer = namespace["repair_optimizer"](model, OPTIMIZERS["sgd"](model.parameters()))
    again, rebound = hw.apply(model, "activation.leaky_relu", optimizer)
    (hook,) = rebound._optimizer_step_pre_hooks.values()
    assert [id(w) for w in hook.weights] == [id(again.get_parameter(name)) for name in WEIGHTS]


def test_watching_hooks_do_not_go_along():
    model = mlp()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    optimizer.register_step_pre_hook(lambda *args: None)
    _, rebound = hw.apply(model, "init.he", optimizer)
    assert not rebound._optimizer_step_pre_hooks


def test_original_optimizer_is_left_alone():
    model = mlp()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    hw.apply(model, "regularisation.l2", optimizer)
    assert not optimizer._optimizer_step_pre_hooks


def test_optimizer_that_unscales_gradients_itself_gets_a_scaled_penalty():
    model = nn.Sequential(nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
    repaired, rebound = hw.apply(model, "regularisation.l2:0.5", optimizer)
    rebound.grad_scale, rebound.found_inf = torch.tensor(8.0), torch.tensor(0.0)  # as a GradScaler tells it
    rebound.step()
    torch.testing.assert_close(repaired[0].weight.detach(), model[0].weight.detach() * (1 - 0.1 * 0.5))
    rebound.found_inf = torch.tensor(1.0)
    repaired.zero_grad()
    rebound.step()
    assert repaired[0].weight.grad is None


def test_strengths_add_up():
    model = mlp()
    both = hw.apply(model, ["regularisation.l2:0.1", "regularisation.l2:0.2"], OPTIMIZERS["sgd"](model.parameters()))
    one = hw.apply(model, "regularisation.l2:0.3", OPTIMIZERS["sgd"](model.parameters()))
    steps(*both)
    steps(*one)
    torch.testing.assert_close(both[0].state_dict(), one[0].state_dict())


def test_regularisation_without_an_optimizer_says_how_to_call():
    said = r"there is no optimizer: model, optimizer = hw\.apply\(model, \['regularisation\.l2'\], optimizer\)"
    with pytest.raises(hw.InputError, match=said):
        hw.apply(mlp(), "regularisation.l2")


def test_optimizer_of_other_weights_is_refused():
    model = mlp()
    optimizer = torch.optim.SGD([model[1].weight], lr=0.1)
    with pytest.raises(hw.InputError, match=r"SGD moves none of the weights .* '0\.weight'"):
        hw.apply(model, "regularisation.l1", optimizer)


def test_only_weights_the_optimizer_moves_are_penalised():
    model = mlp()
    repaired, rebound = hw.apply(model, "regularisation.l2:0.5", torch.optim.SGD(model[5].parameters(), lr=0.1))
    rebound.step()
    assert repaired[0].weight.grad is None
    assert repaired[5].weight.grad is not None


@pytest.mark.parametrize(
    ("remedy", "said"),
    [
        ("regularisation.l2:-1", r"λ of the penalty ½·λ·Σw², a number above 0: 'regularisation\.l2:0\.0005'"),
        ("regularisation.l1:0", "a number above 0"),
        ("regularisation.l1:", "a number above 0"),
        ("regularisation.weight_decay:nan", "a number above 0"),
        ("regularisation.l2:inf", "a number above 0"),
        ("regularisation.l2:much", "a number above 0"),
        ("regularisation.dropout:1", "above 0 and below 1: 'regularisation.dropout:0.5'"),
        ("init.he:2", "init.he takes no strength: 'init.he' instead of 'init.he:2'"),
        ("regularization.l2:0.1", "Did you mean regularisation.l2"),
    ],
)
def test_strength_that_cannot_be_says_what_can(remedy, said):
    with pytest.raises(hw.InputError, match=said):
        find(remedy)


def test_id_alone_means_the_default_strength():
    model = mlp()
    for remedy, default in (("l1", 1e-4), ("l2", 5e-4), ("weight_decay", 0.01)):
        (edit,) = find(f"regularisation.{remedy}").plan(model, (), 0)
        assert edit.strength == default
        (edit,) = find(f"regularisation.{remedy}:2e-3").plan(model, (), 0)
        assert edit.strength == 0.002
