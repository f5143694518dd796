"""Every number of a watched step equals that of an independent computation, in float64 or by plain hooks."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.kernels import reference
from headwater.records import Flow, InputError
from tests.cases import CASES, Residual, cross_entropy, images, plain_mlp, tokens, vectors
from tests.watch.loops import adam, momentum, train
from tests.zoo import ZOO

STEPS = 12  # the first and the eleventh are measured with everything, the others lightly


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def rms(x: Tensor) -> float:
    return float(x.detach().double().square().mean().sqrt())


def norm(x: Tensor) -> float:
    return float(x.detach().double().norm())


class Witness:
    """Outputs of leaf modules and the gradients that arrive there, by hooks of its own, in float64."""

    def __init__(self, model: nn.Module) -> None:
        self.activation: dict[str, float] = {}
        self.gradient: dict[str, float] = {}
        for name, module in model.named_modules():
            if not list(module.children()):
                module.register_forward_hook(self._hook(name))

    def _hook(self, name: str) -> Callable[..., None]:
        def seen(module: nn.Module, args: Any, output: Any) -> None:
            y = output[0] if isinstance(output, tuple) else output
            self.activation[name] = rms(y)
            y.register_hook(lambda gradient: self.gradient.__setitem__(name, rms(gradient)))

        return seen


def coherence(gradient: Tensor) -> float:
    return float(reference.sign_coherence(gradient.double().numpy().reshape(len(gradient), -1)) or 0.0)


CHECKED = ["mlp-tanh-default-4", "mlp-relu-he-4", "cnn-batchnorm", "lstm", "gpt2", "float64", "bfloat16", "dropout"]


@pytest.mark.parametrize("make_optimizer", [momentum, adam])
@pytest.mark.parametrize("case", CHECKED)
def test_each_step_shows_what_hooks_and_copies_show(case: str, make_optimizer: Any) -> None:
    model, batch, loss = CASES[case].make()
    optimizer = make_optimizer(model.parameters())
    witness = Witness(model)
    previous: dict[str, Tensor] = {}
    with hw.watch(model, optimizer, every=1) as watch:
        for step in range(STEPS):
            optimizer.zero_grad()
            value = loss(model, batch)
            value.backward()
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            gradients = {n: p.grad.detach().clone() for n, p in model.named_parameters() if p.grad is not None}
            watch.log(loss=value)
            optimizer.step()
            flow = watch.flow
            assert flow.step == step
            assert flow.loss == float(value.detach())
            assert (flow.path is None) == (step not in (0, 10))
            compared = _check_sites(flow, witness)
            assert compared >= 3
            for row in flow.parameters:
                parameter = dict(model.named_parameters())[row.name]
                _check_parameter(row, parameter, before[row.name], gradients.get(row.name), previous.get(row.name))
            previous = gradients


def _check_sites(flow: Flow, witness: Witness) -> int:
    compared = 0
    for row in flow.sites:
        if row.site.name in witness.activation:
            compared += 1
            assert row.activation.rms == pytest.approx(witness.activation[row.site.name], rel=1e-6)
            expected = witness.gradient.get(row.site.name)
            assert (row.activation_grad.rms if row.activation_grad else None) == (
                None if expected is None else pytest.approx(expected, rel=1e-6)
            ), row.site.name
    return compared


def _check_parameter(row: Any, parameter: Tensor, before: Tensor, gradient: Tensor, previous: Any) -> None:
    assert row.value.rms == pytest.approx(rms(before), rel=1e-6)
    assert row.grad_norm == pytest.approx(norm(gradient), rel=1e-6)
    if row.sampled is None and norm(before):
        change = parameter.detach().double() - before.double()
        assert row.update_ratio == pytest.approx(norm(change) / norm(before), rel=1e-6)
        assert row.unchanged_fraction == pytest.approx(float((change == 0).double().mean()))
    if gradient.dim() > 1:
        assert row.sign_coherence == pytest.approx(coherence(gradient), rel=1e-6)
    if previous is None:
        assert row.gradient_cosine is None
    elif row.sampled is None and norm(gradient) and norm(previous):
        product = float((gradient.double() * previous.double()).sum())
        expected = product / (norm(gradient) * norm(previous))
        assert row.gradient_cosine == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_large_parameters_are_sampled_and_say_so() -> None:
    model = nn.Sequential(nn.Linear(300, 400, bias=False), nn.Tanh(), nn.Linear(400, 3))
    batch = torch.randn(64, 300), torch.randint(3, (64,))
    optimizer = adam(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, cross_entropy, 3)
        before = model[0].weight.detach().clone()
        previous = model[0].weight.grad.clone()
        train(model, optimizer, batch, cross_entropy, 1)
    row = next(row for row in watch.flow.parameters if row.name == "0.weight")
    assert row.sampled is not None
    assert row.sampled < 120_000 == row.value.count
    gradient = model[0].weight.grad
    assert row.update_ratio == pytest.approx(norm(model[0].weight - before) / norm(before), rel=0.1)
    cosine = float((gradient.double() * previous.double()).sum()) / norm(gradient) / norm(previous)
    assert row.gradient_cosine == pytest.approx(cosine, abs=0.1)


def test_dead_and_saturated_units_are_those_of_the_window() -> None:
    model, window = plain_mlp("relu"), 3
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    alive: list[Tensor] = []
    below: list[float] = []
    with hw.watch(model, optimizer, every=1, window=window) as watch:
        for step in range(6):
            # Each batch reaches other units, so that one step alone finds more dead ones than the window.
            x = torch.randn(4, 8) + 3 * torch.nn.functional.one_hot(torch.tensor(step % 8), 8)
            z = model[0](x).detach()
            alive.append((z > 0).any(0))
            below.append(float((z <= 0).double().mean()))
            train(model, optimizer, (x, torch.randint(3, (4,))), cross_entropy, 1)
            seen = torch.stack(alive[-window:]).any(0)
            row = watch.flow.site("1")
            assert row.window == min(step + 1, window)
            assert row.dead_fraction == pytest.approx(float((~seen).double().mean()))
            assert row.saturated_fraction == pytest.approx(sum(below[-window:]) / len(below[-window:]))
            assert row.observations == 4 * min(step + 1, window)
    assert float((~alive[-1]).double().mean()) > row.dead_fraction


@pytest.mark.parametrize("case", ["mlp-tanh-he-4", "residual", "cnn-batchnorm", "lstm", "transformer-pre-norm", "tied"])
def test_watched_step_is_a_check_of_the_same_weights_and_batch(case: str) -> None:
    model, batch, loss = CASES[case].make()
    optimizer = momentum(model.parameters())
    state = torch.get_rng_state()
    checked = hw.check(copy.deepcopy(model), batch, loss).flow
    torch.set_rng_state(state)
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, loss, 1, watch)
    flow = watch.flow
    # What follows a layer is read off the whole graph, which only a check has in hand.
    assert [row.site for row in flow.sites] == [replace(row.site, followed_by=None) for row in checked.sites]
    for mine, theirs in zip(flow.sites, checked.sites, strict=True):
        for field in ("activation", "input", "dead_fraction", "saturated_fraction", "abs_cosine", "effective_rank"):
            assert getattr(mine, field) == getattr(theirs, field), (mine.site.name, field)
        for field in ("attention_logit_max", "attention_entropy", "time_gradients", "derivative_rms", "weight_gain"):
            assert getattr(mine, field) == getattr(theirs, field), (mine.site.name, field)
        assert (mine.activation_grad is None) == (theirs.activation_grad is None)
        if mine.activation_grad is not None and theirs.activation_grad is not None:
            assert mine.activation_grad.rms == pytest.approx(theirs.activation_grad.rms, rel=1e-6)
    for one, other in zip(flow.parameters, checked.parameters, strict=True):
        assert one.value == other.value
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-6)
    assert flow.path is not None
    assert checked.path is not None
    assert (flow.path.first, flow.path.last) == (checked.path.first, checked.path.last)
    assert flow.path.decades == pytest.approx(checked.path.decades, abs=1e-5)
    assert flow.loss == pytest.approx(checked.loss, rel=1e-6)


def test_light_steps_of_a_model_with_functions_show_them_too() -> None:
    model, batch, loss = CASES["methods"].make()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, loss, 1)
        thorough = [row.site.name for row in watch.flow.sites]
        train(model, optimizer, batch, loss, 1)
        assert watch.info.thorough == 1
    assert [row.site.name for row in watch.flow.sites] == thorough
    assert "relu#1" in thorough


# Which sites


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ("blocks.0.*", ["blocks.0.0", "blocks.0.1", "blocks.0.2", "blocks.0.3"]),
        ("*.1", ["blocks.0.1", "blocks.1.1", "blocks.1"]),
        (nn.LayerNorm, ["blocks.0.0", "blocks.1.0"]),
        (["stem", nn.ReLU, "blocks.1"], ["stem", "blocks.0.2", "blocks.1.2", "blocks.1"]),
        (1, ["stem", "head"]),
        (2, ["stem", "blocks.0", "add#1", "blocks.1", "add#2", "head"]),
        ("add", ["add#1", "add#2"]),
        (["stem", "blocks.?", "add"], ["stem", "blocks.0", "add#1", "blocks.1", "add#2"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [1, 2], ids=["thorough", "light"])
def test_chosen_sites(sites: Any, expected: list[str], step: int) -> None:
    model, batch = Residual(blocks=2), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, sites=sites) as watch:
        train(model, optimizer, batch, cross_entropy, step)
    rows = {row.site.name: row for row in watch.flow.sites}
    assert list(rows) == expected
    assert all(row.activation_grad is not None for row in rows.values())
    assert all(row.grad_norm > 0 for row in watch.flow.parameters)
    assert all(row.update_ratio > 0 for row in watch.flow.parameters if row.value.norm)


@pytest.mark.parametrize("sites", [0, -1, True, [], 2.5, int, [nn.Linear, 3], {"a": 1}], ids=str)
def test_choice_that_makes_no_sense(sites: Any) -> None:
    model = plain_mlp()
    with pytest.raises(InputError, match=r"chooses nothing: give a pattern of names \(sites='encoder\.\*'\)"):
        hw.watch(model, momentum(model.parameters()), sites=sites)


def test_choice_that_matches_nothing_still_measures_parameters() -> None:
    model, batch = plain_mlp(), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, sites="nothing.*") as watch:
        train(model, optimizer, batch, cross_entropy, 2)
    assert watch.steps == 2
    assert [event.message.id for event in watch.events] == ["event.no_sites"]


# Joins


@pytest.mark.parametrize("step", [1, 2], ids=["thorough", "light"])
def test_shortcut_share_is_that_of_explicit_gradients(step: int) -> None:
    model, (x, y) = Residual(blocks=3), vectors()
    optimizer = momentum(model.parameters())
    twin = copy.deepcopy(model)
    train(twin, momentum(twin.parameters()), (x, y), cross_entropy, step - 1)
    h = twin.stem(x)
    shares, joins = [], []
    for block in twin.blocks:
        along, through = h.clone(), h.clone()  # two ways out of the same tensor
        joined = along + block(through)
        shares.append((along, through))
        joins.append(joined)
        h = joined
    value = F.cross_entropy(twin.head(h), y)
    expected = []
    for pair in shares:
        one, two = torch.autograd.grad(value, pair, retain_graph=True)
        expected.append(norm(one) ** 2 / (norm(one) ** 2 + norm(two) ** 2))
    gradients = [rms(g) for g in torch.autograd.grad(value, joins)]
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, (x, y), cross_entropy, step)
    rows = [row for row in watch.flow.sites if row.site.kind == "join"]
    assert [row.site.name for row in rows] == ["add#1", "add#2", "add#3"]
    assert [row.activation_grad.rms for row in rows] == pytest.approx(gradients, rel=1e-5)
    if step == 1:
        assert [row.shortcut_share for row in rows] == pytest.approx(expected, rel=1e-4)
    else:
        assert [row.shortcut_share for row in rows] == [None] * 3


def test_sums_that_are_no_shortcut_are_no_join() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
            self.shift = nn.Parameter(torch.zeros(8))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.a(x) + self.shift + 1)

    model = Network()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, vectors(), cross_entropy, 1)
    assert [row.site.name for row in watch.flow.sites] == ["a", "head"]


# Time


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.head = kind(5, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


CELLS = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}


def _through_time(model: Recurrent, x: Tensor, y: Tensor) -> list[float]:
    """∂loss/∂h_t by a loop over the cell of torch that keeps every h_t."""
    cell = CELLS[type(model.rnn)](5, 4)
    with torch.no_grad():
        for name, p in cell.named_parameters():
            p.copy_(getattr(model.rnn, f"{name}_l0"))
    h = c = torch.zeros(len(x), 4)
    states = []
    for t in range(x.shape[1]):
        if isinstance(cell, nn.LSTMCell):
            h, c = cell(x[:, t], (h, c))
        else:
            h = cell(x[:, t], h)
        states.append(h)
    return [rms(g) for g in torch.autograd.grad(F.cross_entropy(model.head(h), y), states)]


@pytest.mark.parametrize("kind", list(CELLS), ids=lambda kind: kind.__name__)
def test_gradient_through_time_is_that_of_the_cell_loop(kind: type[nn.RNNBase]) -> None:
    model = Recurrent(kind)
    x, y = torch.randn(16, 7, 5), torch.randint(3, (16,))
    expected = _through_time(model, x, y)
    checked = hw.check(model, (x, y), cross_entropy).flow.site("rnn")
    optimizer = torch.optim.SGD(model.parameters(), lr=10.0)  # weights that have moved would show
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, (x, y), cross_entropy, 1)
    for row in (checked, watch.flow.site("rnn")):
        assert len(row.time_gradients) == 1
        assert row.time_gradients[0].rms == pytest.approx(expected, rel=1e-5)


# Attention


class Attention(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 3)
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.mixed = nn.MultiheadAttention(8, 2, batch_first=True) if way == "multihead" else None

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.q, self.k, self.v))

    def forward(self, words: Tensor) -> Tensor:
        x = self.embed(words)
        if self.mixed is not None:
            return self.head(self.mixed(x, x, x, need_weights=False)[0].mean(1))
        q, k, v = self.split(x)
        if self.way == "fused":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) / 2.0, dim=-1) @ v
        return self.head(y.transpose(1, 2).flatten(2).mean(1))

    def logits(self, words: Tensor) -> Tensor:
        """All of them, in float64, by a plain product."""
        x = self.embed(words).double()
        if self.mixed is not None:
            weight, bias = self.mixed.in_proj_weight.double(), self.mixed.in_proj_bias.double()
            q, k = (
                F.linear(x, w, b).unflatten(-1, (2, 4)).transpose(1, 2)
                for w, b in zip(weight.chunk(3)[:2], bias.chunk(3)[:2], strict=True)
            )
        else:
            q, k = (
                F.linear(x, f.weight.double(), f.bias.double()).unflatten(-1, (2, 4)).transpose(1, 2)
                for f in (self.q, self.k)
            )
        scores = q @ k.transpose(-1, -2) / 2.0
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return scores.masked_fill(hidden, -math.inf) if self.way == "fused" else scores


@pytest.mark.parametrize("way", ["fused", "softmax", "multihead"])
def test_attention_is_that_of_all_logits(way: str) -> None:
    model = Attention(way)
    for p in model.parameters():
        p.data *= 2.0
    words, y = tokens()
    logits = model.logits(words).detach()
    probabilities = logits.softmax(-1)
    entropy = float(-(probabilities * probabilities.clamp(min=1e-300).log()).sum(-1).mean())
    optimizer = momentum(p for p in model.parameters())
    checked = hw.check(model, (words, y), cross_entropy).flow
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, (words, y), cross_entropy, 1)
    for flow in (checked, watch.flow):
        row = next(row for row in flow.sites if row.site.kind == "attention")
        assert row.attention_logit_max == pytest.approx(float(logits[logits.isfinite()].max()), rel=1e-5)
        assert row.attention_entropy == pytest.approx(entropy, rel=1e-5)


def test_zoo_has_attention_numbers_where_it_has_attention() -> None:
    for case in ("gpt2", "attention"):
        model, batch, loss = (CASES | ZOO)[case].make()
        optimizer = momentum(p for p in model.parameters() if p.requires_grad)
        with hw.watch(model, optimizer, every=1) as watch:
            train(model, optimizer, batch, loss, 1)
        rows = [row for row in watch.flow.sites if row.site.kind == "attention"]
        assert rows
        assert all(row.attention_entropy is not None and row.attention_logit_max is not None for row in rows), case


def test_images_in_another_memory_order() -> None:
    model, (x, y), loss = CASES["cnn-batchnorm"].make()
    expected = hw.check(copy.deepcopy(model), (x, y), loss).flow
    model = model.to(memory_format=torch.channels_last)
    x, _ = images()[0].to(memory_format=torch.channels_last), None
    torch.manual_seed(0)
    _, (x, y), _ = CASES["cnn-batchnorm"].make()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, (x.to(memory_format=torch.channels_last), y), loss, 1)
    for mine, theirs in zip(watch.flow.sites, expected.sites, strict=True):
        assert mine.activation.rms == pytest.approx(theirs.activation.rms, rel=1e-4)
        assert mine.dead_fraction == theirs.dead_fraction
