"""Changes to the optimizer act on the very next step, leave all else as it is, and are the same when pasted."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.data import Data
from headwater.remedies.order import order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import patch

X = torch.randn(48, 6, generator=torch.Generator().manual_seed(1))
Y = torch.arange(48) % 3
BATCHES = [(X[:16], Y[:16]), (X[16:32], Y[16:32]), (X[32:], Y[32:])]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0].to(next(model.parameters()).dtype)), batch[1])


def mlp(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).to(dtype)


def two_groups(model: nn.Module) -> list[dict]:
    """Matrices decay and are fast, vectors do neither."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "lr": 0.003, "weight_decay": 0.0}]


OPTIMIZERS = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: torch.optim.SGD(two_groups(model), lr=0.1, momentum=0.9),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.01),
    "adamw": lambda model: torch.optim.AdamW(two_groups(model), lr=0.01),
    "rmsprop": lambda model: torch.optim.RMSprop(model.parameters(), lr=0.01, weight_decay=0.1),
    "lbfgs": lambda model: torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4),
}
RATES = ("optimisation.learning_rate:0.3", "optimisation.learning_rate_to:0.002", "optimisation.warmup:5")
CLIPS = ("optimisation.clip_norm:0.05", "optimisation.adaptive_clip:0.003")


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 4, schedule=None) -> nn.Module:
    for step in range(steps):
        batch = BATCHES[step % len(BATCHES)]

        def closure(batch=batch) -> Tensor:
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            return value

        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        if schedule is not None:
            schedule.step()
    return model


def apply(model: nn.Module, remedy, optimizer: torch.optim.Optimizer) -> tuple:
    return hw.apply(model, remedy, optimizer, batches=BATCHES, loss=loss)


def pasted(model: nn.Module, remedies: list[str], optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
    """What a user has who runs the patch on a copy made together with its optimizer."""
    memo: dict = {}
    model, old = copy.deepcopy(model, memo), optimizer
    optimizer = copy.deepcopy(old, memo)
    if isinstance(optimizer, torch.optim.LBFGS):  # which torch cannot copy
        optimizer = OPTIMIZERS["lbfgs"](model)
        optimizer.load_state_dict(old.state_dict())
    namespace: dict = {}
    exec(patch(model, remedies, order_of_model(model), data=Data(tuple(BATCHES), loss)), namespace)
    model = namespace["repair"](model)
    return model, namespace["repair_optimizer"](model, optimizer)


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(left == right and torch.equal(x, y) for (left, x), (right, y) in pairs)


def state_of(optimizer: torch.optim.Optimizer) -> dict:
    return copy.deepcopy(optimizer.state_dict())


def equal(a, b) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("remedy", [*RATES, *CLIPS])
def test_original_is_untouched_and_the_patch_does_the_same_as_apply(remedy, name, dtype):
    if name == "lbfgs" and (remedy in CLIPS or dtype == torch.bfloat16):
        pytest.skip("refused, or not possible in torch")
    model = mlp(dtype)
    optimizer = OPTIMIZERS[name](model)
    train(model, optimizer, 2)  # so that there is state
    weights, state, randomness = copy.deepcopy(model), state_of(optimizer), torch.get_rng_state()
    hooks = dict(optimizer._optimizer_step_pre_hooks)
    applied, rebound = apply(model, remedy, optimizer)
    assert same(model, weights)
    assert equal(state_of(optimizer), state)
    assert equal(state_of(rebound), state)
    assert torch.equal(torch.get_rng_state(), randomness)
    assert optimizer._optimizer_step_pre_hooks == hooks
    by_hand, own = pasted(model, [remedy], optimizer)
    assert same(train(by_hand, own), train(applied, rebound))
    assert not same(train(weights, OPTIMIZERS[name](weights)), applied)
    assert all(p.dtype == dtype for p in applied.parameters())


@settings(deadline=None, max_examples=25)
@given(factor=st.floats(1e-3, 10.0), name=st.sampled_from(["sgd", "momentum", "adam", "adamw", "rmsprop"]))
def test_factor_is_that_of_every_group(factor, name):
    """Training at the scaled rate is training with an optimizer whose groups were given the scaled rates."""
    if factor == 1.0:
        return
    model = mlp()
    applied, rebound = apply(model, f"optimisation.learning_rate:{factor!r}", OPTIMIZERS[name](model))
    by_hand = copy.deepcopy(model)
    optimizer = OPTIMIZERS[name](by_hand)
    for group in optimizer.param_groups:
        group["lr"] *= factor
    assert same(train(applied, rebound), train(by_hand, optimizer))


@settings(deadline=None, max_examples=15)
@given(rate=st.floats(1e-4, 1.0))
def test_rate_to_is_that_of_the_fastest_group_and_the_others_keep_their_share(rate):
    model = mlp()
    applied, rebound = apply(model, f"optimisation.learning_rate_to:{rate!r}", OPTIMIZERS["adamw"](model))
    seen = []
    rebound.register_step_pre_hook(lambda optimizer, *_: seen.append([g["lr"] for g in optimizer.param_groups]))
    train(applied, rebound, 1)
    assert seen[0] == pytest.approx([rate, 0.3 * rate])
    assert [group["lr"] for group in rebound.param_groups] == [0.01, 0.003]


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The rate of each step from now on, as the step sees it."""
    seen: list[float] = []
    optimizer.register_step_pre_hook(lambda o, *_: seen.append(float(o.param_groups[0]["lr"])))
    return seen


def test_schedules_act_on_and_beside_a_warm_up():
    model = mlp()
    applied, rebound = apply(model, "optimisation.warmup:4", OPTIMIZERS["sgd"](model))
    seen = rates(rebound)
    train(applied, rebound, 6, torch.optim.lr_scheduler.ExponentialLR(rebound, 0.5))
    assert seen == pytest.approx([0.1 * 0.5**t * min(1.0, (t + 1) / 4) for t in range(6)])


@pytest.mark.parametrize("schedule", ["LambdaLR", "ExponentialLR"])
def test_schedule_that_steps_in_a_hook_before_the_remedy_comes_goes_on_from_its_own_rate(schedule):
    model = mlp()
    optimizer = OPTIMIZERS["sgd"](model)
    argument = (lambda t: 0.5**t) if schedule == "LambdaLR" else 0.5
    made = getattr(torch.optim.lr_scheduler, schedule)(optimizer, argument)
    optimizer.register_step_post_hook(lambda *_: made.step())
    namespace: dict = {}
    exec(patch(model, ["optimisation.learning_rate:0.1"], order_of_model(model)), namespace)
    namespace["repair_optimizer"](model, optimizer)
    seen = rates(optimizer)
    train(model, optimizer, 3)
    assert seen == pytest.approx([0.01, 0.005, 0.0025])


def test_step_that_fails_leaves_the_rate_as_it_was_for_the_next():
    model = mlp()
    applied, rebound = apply(model, "optimisation.learning_rate:0.1", OPTIMIZERS["sgd"](model))
    seen = rates(rebound)

    def fails() -> Tensor:
        raise KeyError("data")

    with pytest.raises(KeyError):
        rebound.step(fails)
    train(applied, rebound, 2)
    assert seen == pytest.approx([0.01, 0.01, 0.01])


@pytest.mark.parametrize("remedy", [*RATES, *CLIPS, "optimisation.depth_rate"])
def test_twice_is_once(remedy):
    model = mlp()
    once = apply(model, remedy, OPTIMIZERS["adam"](model))
    again = apply(once[0], remedy, once[1])
    in_one_go = apply(model, [remedy, remedy], OPTIMIZERS["adam"](model))
    weights = [train(*pair) for pair in (once, again, in_one_go)]
    if "clip_norm" not in remedy:
        assert same(weights[0], weights[1])
    assert same(weights[0], weights[2])


def test_remedies_on_an_optimizer_outlive_a_further_copy():
    model = mlp()
    first = apply(model, "optimisation.warmup:3", OPTIMIZERS["sgd"](model))
    train(*first, 1)
    second = apply(*first[:1], "regularisation.l2:0.1", first[1])
    seen = rates(second[1])
    train(*second, 3)
    assert seen == pytest.approx([0.1 * 2 / 3, 0.1, 0.1])


def test_clip_norm_stands_in_the_patch_and_bounds_the_gradient():
    model = mlp()
    norms = []
    for batch in BATCHES:
        model.zero_grad()
        loss(model, batch).backward()
        norms.append(math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters())))
    model.zero_grad(set_to_none=True)
    limit = float(f"{0.5 * sorted(norms)[1]:.6g}")
    code = patch(model, ["optimisation.clip_norm:0.5"], order_of_model(model), data=Data(tuple(BATCHES), loss))
    assert f"ClipNorm({limit!r}).attach(optimizer)" in code
    assert "0.5 times the median norm of the gradients of the first 3 batches" in code
    assert all(p.grad is None for p in model.parameters())
    applied, rebound = apply(model, "optimisation.clip_norm:0.5", torch.optim.SGD(model.parameters(), lr=1.0))
    before = [p.detach().clone() for p in applied.parameters()]
    train(applied, rebound, 1)
    way = [(p.detach() - b).square().sum() for p, b in zip(applied.parameters(), before, strict=True)]
    assert math.sqrt(sum(map(float, way))) == pytest.approx(limit, rel=1e-3)


def agc(model: nn.Module, clip: float) -> None:
    """Brock et al. 2021, equation 3, written out per output unit; the last layer is left as it is."""
    for parameter in list(model.parameters())[:-2]:
        units = [...] if parameter.dim() < 2 else range(parameter.shape[0])
        for unit in units:
            most = clip * max(float(parameter.detach()[unit].norm()), 1e-3)
            length = float(parameter.grad[unit].norm())
            if length > most:
                parameter.grad[unit] *= most / length


def test_adaptive_clip_is_that_of_the_source():
    model = mlp()
    applied, rebound = apply(model, "optimisation.adaptive_clip:0.02", OPTIMIZERS["sgd"](model))
    by_hand = copy.deepcopy(model)
    optimizer = OPTIMIZERS["sgd"](by_hand)
    for batch in BATCHES:
        optimizer.zero_grad()
        loss(by_hand, batch).backward()
        agc(by_hand, 0.02)
        optimizer.step()
    torch.testing.assert_close(train(applied, rebound, 3).state_dict(), by_hand.state_dict())


@pytest.mark.parametrize("remedy", ["optimisation.clip_norm", "optimisation.adaptive_clip"])
def test_clipping_is_refused_where_gradients_are_compared_within_a_step(remedy):
    model = mlp()
    with pytest.raises(NotApplicableError, match=r"L-BFGS.*line_search_fn"):
        apply(model, remedy, OPTIMIZERS["lbfgs"](model))


def test_depth_rate_counts_layers_and_is_for_adam():
    model = mlp()
    applied, rebound = apply(model, "optimisation.depth_rate:0.03", OPTIMIZERS["adam"](model))
    seen = rates(rebound)
    train(applied, rebound, 1)
    assert seen == pytest.approx([0.03 / 3])
    with pytest.raises(NotApplicableError, match="SGD has no betas"):
        apply(model, "optimisation.depth_rate", OPTIMIZERS["sgd"](model))


def test_rebind_keeps_groups_settings_and_state_and_finds_the_group_of_each_kind():
    model, other = mlp(), nn.Linear(2, 2)
    groups = [{"params": [model[0].weight, *other.parameters()], "weight_decay": 0.2}, {"params": [model[0].bias]}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)
    train(model, optimizer, 2)
    kept = copy.deepcopy(optimizer.state[model[0].weight])
    applied, rebound = apply(model, "optimisation.rebind", optimizer)
    decayed, plain = (group["params"] for group in rebound.param_groups)
    assert {id(p) for p in decayed} == {id(p) for p in applied.parameters() if p.dim() > 1}
    assert {id(p) for p in plain} == {id(p) for p in applied.parameters() if p.dim() < 2}
    assert [group["weight_decay"] for group in rebound.param_groups] == [0.2, 0.0]
    assert equal(rebound.state[applied[0].weight], kept)
    assert len(optimizer.param_groups[0]["params"]) == 3
    by_hand, own = pasted(model, ["optimisation.rebind"], optimizer)
    assert same(train(by_hand, own), train(applied, rebound))
    with pytest.raises(NotApplicableError, match="holds every trained parameter"):
        apply(applied, "optimisation.rebind", rebound)


def test_rebind_of_an_optimizer_over_a_copy_moves_the_model():
    model = mlp()
    applied, rebound = apply(model, "optimisation.rebind", OPTIMIZERS["adam"](copy.deepcopy(model)))
    assert not same(train(applied, rebound), model)


def test_rebind_of_lbfgs_starts_its_history_anew():
    model = mlp()
    optimizer = torch.optim.LBFGS(list(model[0].parameters()), lr=0.1)
    train(model, optimizer, 2)
    applied, rebound = apply(model, "optimisation.rebind", optimizer)
    last = applied[4].weight.detach().clone()
    train(applied, rebound, 2)
    assert not torch.equal(applied[4].weight, last)


def test_tied_weights_stay_tied_and_are_held_once():
    model = mlp()
    model[2].weight = nn.Parameter(torch.randn(8, 8) / 3)
    model.append(nn.Linear(3, 8, bias=False))
    model.append(nn.Linear(8, 8, bias=False))
    model[6].weight = model[2].weight
    optimizer = torch.optim.SGD([model[4].weight], lr=0.1)
    applied, rebound = hw.apply(model, "optimisation.rebind", optimizer)
    assert applied[6].weight is applied[2].weight
    held = [id(p) for group in rebound.param_groups for p in group["params"]]
    assert len(held) == len(set(held)) == len(list(applied.parameters()))


def test_unfreeze_trains_what_is_as_it_was_drawn_and_leaves_the_rest():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))
    nn.init.kaiming_normal_(model[2].weight)
    for layer in model[:3]:
        layer.requires_grad_(False)
    with torch.no_grad():
        direction = torch.randn(32, 1)
        model[2].weight += direction @ torch.randn(1, 32) / 8  # as a training leaves it
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    applied, rebound = hw.apply(model, "optimisation.unfreeze", optimizer)
    assert [p.requires_grad for p in applied.parameters()] == [True, True, False, False, True, True]
    assert not model[0].weight.requires_grad
    held = {id(p) for group in rebound.param_groups for p in group["params"]}
    assert held == {id(p) for p in applied.parameters() if p.requires_grad}
    with pytest.raises(NotApplicableError, match=r"has been trained.*requires_grad_\(True\)"):
        hw.apply(applied, "optimisation.unfreeze", rebound)


@pytest.mark.parametrize("draw", [nn.init.kaiming_normal_, nn.init.xavier_uniform_, nn.init.orthogonal_])
def test_unfreeze_knows_the_usual_initialisations(draw):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 3))
    draw(model[0].weight)
    model[0].requires_grad_(False)
    assert hw.apply(model, "optimisation.unfreeze", OPTIMIZERS["sgd"](model))[0][0].weight.requires_grad


def test_less_decay_leaves_groups_that_decay_less():
    model = mlp()
    applied, rebound = apply(model, "regularisation.reduce_weight_decay:0.01", OPTIMIZERS["adamw"](model))
    assert [group["weight_decay"] for group in rebound.param_groups] == [0.01, 0.0]
    with pytest.raises(NotApplicableError, match=r"0\.01 and not above 0\.01"):
        apply(applied, "regularisation.reduce_weight_decay:0.01", rebound)


def test_rules_see_the_rate_that_steps_are_made_with():
    model = mlp()
    applied, rebound = apply(model, "optimisation.learning_rate:0.1", OPTIMIZERS["sgd"](model))
    watched = hw.watch(applied, rebound, every=1)
    with watched:
        train(applied, rebound, 2)
    assert watched.report().flow.setup.optimizer["lr"] == pytest.approx(0.01)


BAD = {
    "optimisation.learning_rate:0": "above 0",
    "optimisation.learning_rate:-1": "above 0",
    "optimisation.learning_rate:nan": "above 0",
    "optimisation.learning_rate:1": "changes nothing",
    "optimisation.learning_rate_to:fast": "learning rate of the fastest group",
    "optimisation.warmup:2.5": "whole number of steps",
    "optimisation.warmup:1": "at least 2",
    "optimisation.clip_norm:0": "median norm",
    "optimisation.depth_rate:1": "below 1",
    "optimisation.rebind:2": "takes no strength",
    "regularisation.reduce_dropout:1": "below 1",
    "recurrent.forget_bias:50": "below 20",
}


@pytest.mark.parametrize("remedy", BAD)
def test_strength_out_of_range_is_refused_with_what_it_is(remedy):
    model = mlp()
    with pytest.raises(hw.InputError, match=BAD[remedy]):
        apply(model, remedy, OPTIMIZERS["adam"](model))


def test_remedies_that_measure_ask_for_data_and_those_on_the_optimizer_for_one():
    model = mlp()
    with pytest.raises(NotApplicableError, match=r"batches=\[batch\], loss=loss"):
        hw.apply(model, "optimisation.clip_norm", OPTIMIZERS["adam"](model))
    with pytest.raises(hw.InputError, match=r"model, optimizer = hw\.apply"):
        hw.apply(model, "optimisation.warmup")
    with pytest.raises(hw.InputError, match="batches and loss go together"):
        hw.apply(model, "optimisation.clip_norm", OPTIMIZERS["adam"](model), batches=[], loss=loss)
    with pytest.raises(hw.InputError, match="batches and loss go together"):
        hw.apply(model, "optimisation.clip_norm", OPTIMIZERS["adam"](model), loss=loss)


def test_gradient_that_is_not_finite_is_no_measure():
    model = mlp()
    with pytest.raises(NotApplicableError, match=r"NaN or Inf.*init\.he"):
        hw.apply(
            model,
            "optimisation.clip_norm",
            OPTIMIZERS["adam"](model),
            batches=BATCHES,
            loss=lambda m, b: loss(m, b) * float("inf"),
        )
    other = mlp()
    with pytest.raises(NotApplicableError, match="no gradient"):
        hw.apply(
            model,
            "optimisation.clip_norm",
            OPTIMIZERS["adam"](model),
            batches=BATCHES,
            loss=lambda m, b: loss(other, b),
        )


def test_proof_of_a_change_that_the_optimizer_cannot_take_is_refused_before_anything_is_trained():
    trained = []

    def noted(model, batch):
        trained.append(batch)
        return loss(model, batch)

    experiment = hw.Experiment(
        model=mlp,
        batches=lambda: [tuple(part[rows] for part in (X, Y)) for rows in torch.randperm(len(X)).split(16)],
        loss=noted,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        validation=lambda: BATCHES,
    )
    with pytest.raises(NotApplicableError, match="SGD has no betas"):
        hw.prove(experiment, "optimisation.depth_rate", seeds=2, steps=50)
    assert len(trained) < 10  # measured and scored, and no step
