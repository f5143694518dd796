"""Logits into the loss, standardised inputs, recurrent weights, less dropout: changed where they must be, no more."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import headwater as hw
from headwater.remedies.data import Data
from headwater.remedies.order import Step, order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import patch

Y = torch.arange(24) % 3


def cross_entropy(model, batch) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def by_patch(model: nn.Module, remedies: list[str], batches=None, loss=None, order=None) -> nn.Module:
    namespace: dict = {}
    data = Data(tuple(batches), loss) if batches is not None else None
    exec(patch(model, remedies, order_of_model(model) if order is None else order, data=data), namespace)
    return namespace["repair"](copy.deepcopy(model))


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return str(a) == str(b) and left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def headed(head: nn.Module, outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs), head)


X = torch.randn(24, 4, generator=torch.Generator().manual_seed(2))
ONE_OF_TWO = (Y > 0).float()[:, None]


def with_logits(model, batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]), ONE_OF_TWO)


def logarithms(model, batch) -> Tensor:
    return nn.NLLLoss()(model(batch[0]), batch[1])


def squeezed(model, batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(batch[0]).squeeze(1), ONE_OF_TWO[:, 0])


WRONG = {
    "softmax": (nn.Softmax(1), 3, cross_entropy, nn.Identity),
    "sigmoid": (nn.Sigmoid(), 3, lambda m, b: nn.CrossEntropyLoss()(m(b[0]), b[1]), nn.Identity),
    "with-logits": (nn.Sigmoid(), 1, with_logits, nn.Identity),
    "squeezed": (nn.Sigmoid(), 1, squeezed, nn.Identity),
    "nll": (nn.Softmax(1), 3, logarithms, nn.LogSoftmax),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_loss_does_itself_is_taken_away(case):
    head, outputs, loss, expected = WRONG[case]
    model = headed(head, outputs)
    original = copy.deepcopy(model)
    applied = hw.apply(model, "loss.logits", batches=[(X, Y)], loss=loss)
    assert isinstance(applied[3], expected)
    assert torch.equal(applied[:3](X), model[:3](X))
    assert same(model, original)
    assert same(by_patch(model, ["loss.logits"], [(X, Y)], loss), applied)
    with pytest.raises(NotApplicableError):
        hw.apply(applied, "loss.logits", batches=[(X, Y)], loss=loss)


def test_right_loss_is_left_alone_and_says_why():
    for head, loss, words in (
        (nn.LogSoftmax(1), cross_entropy, "changes nothing"),
        (nn.LogSoftmax(1), logarithms, "given what it is made for"),
        (nn.Identity(), cross_entropy, "given what it is made for"),
        (nn.Softmax(1), lambda m, b: -(m(b[0])[:, 0].log()).mean(), "calls no cross-entropy"),
    ):
        with pytest.raises(NotApplicableError, match=words):
            hw.apply(headed(head), "loss.logits", batches=[(X, Y)], loss=loss)


class AsFunction(nn.Module):
    def __init__(self, outputs: int = 3, function=lambda x: torch.softmax(x, 1)) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(4, outputs), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


@pytest.mark.parametrize(
    ("model", "loss"),
    [(AsFunction(), cross_entropy), (AsFunction(), logarithms), (AsFunction(1, torch.sigmoid), with_logits)],
)
def test_function_at_the_end_of_a_forward_is_undone_behind_it(model, loss):
    applied = hw.apply(model, "loss.logits", batches=[(X, Y)], loss=loss)
    logits = model.layer(X)
    if model.layer.out_features > 1:
        logits = logits - logits.logsumexp(1, keepdim=True)
    torch.testing.assert_close(applied(X), logits)
    assert torch.equal(model(X), model.function(model.layer(X)))  # the original gives what it gave
    expected, found = (
        torch.autograd.grad(m, applied.layer.weight)[0]
        for m in (
            loss(lambda x: applied.layer(x) if loss is not logarithms else applied.layer(x).log_softmax(1), (X, Y)),
            loss(applied, (X, Y)),
        )
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(by_patch(model, ["loss.logits"], [(X, Y)], loss)(X), applied(X))
    with pytest.raises(NotApplicableError, match="given what it is made for"):
        hw.apply(applied, "loss.logits", batches=[(X, Y)], loss=loss)


def softmax_in_the_loss(model, batch) -> Tensor:
    return F.cross_entropy(torch.softmax(model(batch[0]), 1), batch[1])  # the line to change


def test_softmax_in_the_loss_is_refused_with_its_line():
    with pytest.raises(NotApplicableError, match=r"test_loss_data_recurrent\.py:\d+: return F\.cross_.*to change"):
        hw.apply(nn.Linear(4, 3), "loss.logits", batches=[(X, Y)], loss=softmax_in_the_loss)


class Gated(nn.Module):
    """The sigmoid of the output opens a gate, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.squash = nn.Linear(4, 4), nn.Linear(4, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.squash(self.last(x * self.squash(self.first(x))))


def test_head_that_runs_elsewhere_is_refused():
    with pytest.raises(NotApplicableError, match="'squash' also runs"):
        hw.apply(Gated(), "loss.logits", batches=[(X, Y)], loss=with_logits)


def test_linear_output_takes_the_bound_away_once():
    model = headed(nn.Tanh(), 1)
    applied = hw.apply(model, "loss.linear_output")
    assert isinstance(applied[3], nn.Identity)
    assert isinstance(applied[1], nn.Tanh)
    assert same(by_patch(model, ["loss.linear_output"]), applied)
    with pytest.raises(NotApplicableError, match="does not end in"):
        hw.apply(applied, "loss.linear_output")


class Net(nn.Module):
    """Images, numbers beside them, and a word; the numbers come as bytes and are cast inside."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.numbers, self.word = nn.Conv2d(3, 4, 3), nn.Linear(5, 4), nn.Embedding(7, 4)
        self.head = nn.Linear(12, 2)

    def forward(self, image: Tensor, numbers: Tensor, word: Tensor) -> Tensor:
        parts = [self.image(image).mean((2, 3)), self.numbers(numbers.float()), self.word(word)]
        return self.head(torch.cat(parts, 1))


def several(model, batch) -> Tensor:
    return model(*batch).square().mean()


def drawn(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    image = torch.randn(16, 3, 6, 6, generator=g) * torch.tensor([1.0, 20.0, 300.0]).view(3, 1, 1) + 50.0
    return image, torch.randint(256, (16, 5), generator=g).byte(), torch.randint(7, (16,), generator=g)


def given_to(model: nn.Module, name: str, batches) -> Tensor:
    seen: list[Tensor] = []
    model.get_submodule(name).register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    for batch in batches:
        several(model, batch)
    return torch.cat(seen)


def test_standardise_finds_every_entrance_of_data_and_no_other():
    torch.manual_seed(0)
    model, batches = Net(), [drawn(seed) for seed in range(3)]
    original = copy.deepcopy(model)
    order = tuple(Step(name, "affine") for name in ("image", "numbers", "head"))
    report = hw.check(model, batches[0], several)
    applied = hw.apply(model, "data.standardise", batches=batches, loss=several, report=report)
    assert same(model, original)
    assert type(applied.image).__name__ == type(applied.numbers).__name__ == "Standardised"
    assert isinstance(applied.head, nn.Linear)
    assert applied.image.kernel_size == (3, 3)  # all else is still the layer's
    assert same(by_patch(model, ["data.standardise"], batches, several, order), applied)
    pixels = given_to(applied, "image.layer", batches)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(pixels.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
    numbers = given_to(applied, "numbers.layer", batches)
    torch.testing.assert_close(numbers.std(0, correction=0), torch.ones(5), atol=1e-3, rtol=0)
    with pytest.raises(NotApplicableError, match="standardised already"):
        hw.apply(
            applied, "data.standardise", batches=batches, loss=several, report=hw.check(applied, batches[0], several)
        )


@settings(deadline=None, max_examples=20)
@given(
    exponents=st.lists(st.integers(-6, 6), min_size=3, max_size=3),
    shift=st.floats(-100, 100),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_features_of_any_unit_come_out_alike(exponents, shift, dtype):
    scale = 10.0 ** torch.tensor(exponents, dtype=torch.float64)
    x = ((torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + shift) * scale).to(
        dtype
    )
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    try:
        applied = hw.apply(model, "data.standardise", batches=[x], loss=lambda m, b: m(b).square().mean())
    except NotApplicableError:
        assert exponents == [0, 0, 0]
        return
    seen = given_to_chain(applied, x)
    assert seen.dtype == dtype
    assert float((seen.mean(0)).abs().max()) < 0.01
    assert 0.98 < float(seen.std(0).min()) <= float(seen.std(0).max()) < 1.02


def given_to_chain(model: nn.Sequential, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    model[0].layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    model(x)
    return seen[0]


def test_pixel_that_is_hardly_ever_lit_and_one_that_never_is_stay_in_bounds():
    x = torch.rand(512, 3) * 16
    x[:, 1] = 0.0
    x[7, 1] = 16.0
    x[:, 2] = 0.0
    model = nn.Sequential(nn.Linear(3, 2))
    applied = hw.apply(model, "data.standardise", batches=[x], loss=lambda m, b: m(b).square().mean())
    seen = given_to_chain(applied, torch.full((1, 3), 16.0))
    assert float(seen.abs().max()) <= 10.1


class Reader(nn.Module):
    def __init__(self, kind, **options) -> None:
        super().__init__()
        self.body = kind(4, 6, batch_first=True, **options)
        self.head = nn.Linear(6 if not options.get("proj_size") else options["proj_size"], 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


def test_data_that_a_network_is_differentiated_by_are_data_still():
    """As a network that is to obey an equation has it: the derivative by its input, which is joined from two."""
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    x = 500 * torch.randn(64, 1, generator=torch.Generator().manual_seed(3))

    def equation(model, batch) -> Tensor:
        given = batch.clone().requires_grad_()
        slope = torch.autograd.grad(model(torch.cat([given, given], 1)).sum(), given, create_graph=True)[0]
        return slope.square().mean()

    applied = hw.apply(model, "data.standardise", batches=[x], loss=equation)
    assert [type(module).__name__ for module in applied] == ["Standardised", "Tanh", "Linear"]


def test_recurrent_layer_takes_standardised_sequences_and_its_state():
    x = torch.randn(24, 5, 4) * 200 + 90
    model = Reader(nn.LSTM)
    report = hw.check(model, (x, Y), cross_entropy)
    applied = hw.apply(model, "data.standardise", batches=[(x, Y)], loss=cross_entropy, report=report)
    state = torch.zeros(1, 24, 6), torch.zeros(1, 24, 6)
    assert torch.equal(applied.body(x, state)[0], applied.body(x)[0])
    assert float(applied.body(x)[0].detach().abs().mean()) < 0.5


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"proj_size": 3}])
def test_forget_gates_start_open_by_the_sum_of_both_biases(options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(4, 6, **options))
    original = copy.deepcopy(model)
    order = (Step("0", "recurrent"),)
    applied = by_patch(model, ["recurrent.forget_bias:2.5"], order=order)
    for name, bias in applied[0].named_parameters():
        if name.startswith("bias_ih"):
            other = dict(applied[0].named_parameters())[name.replace("_ih_", "_hh_")]
            assert torch.equal(bias[6:12] + other[6:12], torch.full((6,), 2.5))
            assert torch.equal(bias[:6], dict(original[0].named_parameters())[name][:6])
    assert same(hw.apply(model, "recurrent.forget_bias:2.5"), applied)
    assert same(hw.apply(applied, "recurrent.forget_bias:2.5"), applied)
    assert same(model, original)
    cell = nn.Sequential(nn.LSTMCell(4, 6))
    assert torch.equal(hw.apply(cell, "recurrent.forget_bias")[0].bias_ih[6:12], torch.ones(6))
    for without in (nn.GRU(4, 6), nn.LSTM(4, 6, bias=False)):
        with pytest.raises(NotApplicableError, match=r"recurrent\.orthogonal"):
            hw.apply(nn.Sequential(without), "recurrent.forget_bias")


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_weights_from_state_to_state_are_orthogonal_gate_by_gate(kind):
    torch.manual_seed(0)
    model = nn.Sequential(kind(4, 6))
    randomness = torch.get_rng_state()
    applied = hw.apply(model, "recurrent.orthogonal", seed=3)
    assert torch.equal(torch.get_rng_state(), randomness)
    for name, weight in applied[0].named_parameters():
        if name.startswith("weight_hh"):
            for gate in weight.split(6):
                torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)
        else:
            assert torch.equal(weight, dict(model[0].named_parameters())[name])
    namespace: dict = {}
    exec(patch(model, ["recurrent.orthogonal"], (Step("0", "recurrent"),), seed=3), namespace)
    assert same(namespace["repair"](copy.deepcopy(model)), applied)
    assert same(hw.apply(applied, "recurrent.orthogonal", seed=3), applied)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop, self.light = nn.Dropout(0.9), nn.Dropout2d(0.05)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.7)
        self.body = nn.GRU(4, 4, num_layers=2, dropout=0.6)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.attention(*[self.light(self.drop(x))] * 3)[0])[0]


def test_no_module_drops_more_than_asked_for():
    model = Dropping()
    order = (Step("drop", "other"),)
    applied = by_patch(model, ["regularisation.reduce_dropout:0.2"], order=order)
    assert [applied.drop.p, applied.light.p, applied.attention.dropout, applied.body.dropout] == [0.2, 0.05, 0.2, 0.2]
    assert model.drop.p == 0.9
    with pytest.raises(NotApplicableError, match=r"reduce_dropout:0\.1"):
        hw.apply(nn.Sequential(nn.Linear(2, 2), applied.drop), "regularisation.reduce_dropout:0.2")


def test_batch_normalisation_gathers_again():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4).eval(), nn.ReLU(), nn.BatchNorm1d(4, momentum=0.0))
    applied = hw.apply(model, "normalisation.gather")
    assert [m.training for m in applied] == [True] * 4
    assert applied[3].momentum == 0.1
    assert not model[1].training
    assert [m.training for m in by_patch(model, ["normalisation.gather"])] == [True] * 4
    with pytest.raises(NotApplicableError, match="gathers statistics already"):
        hw.apply(applied, "normalisation.gather")


def test_statistics_that_hardly_move_are_set_moving_and_slow_ones_left_alone():
    norms = [nn.BatchNorm1d(4, momentum=momentum) for momentum in (1e-4, 0.01, None)]
    applied = hw.apply(nn.Sequential(nn.Linear(4, 4), *norms), "normalisation.gather")
    assert [norm.momentum for norm in applied[1:]] == [0.1, 0.01, None]


def test_batch_normalisation_becomes_one_of_each_sample_with_its_scale_and_shift():
    shared = nn.BatchNorm2d(64)
    model = nn.Sequential(nn.Conv2d(1, 64, 3), shared, nn.ReLU(), shared, nn.Flatten(), nn.Linear(256, 8))
    model.append(nn.BatchNorm1d(8, affine=False))
    nn.init.uniform_(shared.weight)
    applied = hw.apply(model, "normalisation.per_sample")
    norms = [m for m in applied if isinstance(m, nn.GroupNorm)]
    assert [(norm.num_groups, norm.num_channels, norm.affine) for norm in norms] == [
        *[(4, 64, True)] * 2,
        (1, 8, False),
    ]
    assert norms[0] is norms[1]
    torch.testing.assert_close(norms[0].weight, shared.weight)
    x = torch.randn(3, 1, 4, 4)
    alone = torch.cat([applied(one[None]) for one in x])
    torch.testing.assert_close(applied(x), alone)  # samples do not see each other
    patched = by_patch(model, ["normalisation.per_sample"])
    torch.testing.assert_close(patched(x), applied(x))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    _, rebound = hw.apply(model, "normalisation.per_sample", optimizer)
    assert [(len(group["params"]), group["weight_decay"]) for group in rebound.param_groups] == [(4, 0.1), (2, 0.0)]
    with pytest.raises(NotApplicableError, match="has no batch normalisation"):
        hw.apply(applied, "normalisation.per_sample")


def test_activation_before_a_last_dropout_is_the_output_s_too():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Dropout(0.1))
    changed = hw.apply(model, "loss.linear_output")
    assert [type(part) for part in changed] == [nn.Linear, nn.Identity, nn.Dropout]
    with pytest.raises(NotApplicableError, match="does not end in an activation"):
        hw.apply(changed, "loss.linear_output")
