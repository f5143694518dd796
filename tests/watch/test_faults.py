"""What a watch must survive: models, tensors and loops as they come, and what goes wrong in them.

The training goes on as it would alone, what could be measured is right, and what could not is said.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

import headwater as hw
from headwater.kernels.ledger import Ledger
from headwater.records import Flow, HeadwaterError, InputError
from tests.cases import BatchNormCNN, Structured, cross_entropy, images, plain_mlp, squared_error, tokens, vectors
from tests.probes.snapshot import bits, differences
from tests.watch.loops import Loss, adam, momentum, state_of, surroundings, train


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """Whatever happens in a test, the process is as it was."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = surroundings()
    yield
    assert surroundings() == before


def watched(
    model: nn.Module,
    batch: Any,
    loss: Loss = cross_entropy,
    optimizer: torch.optim.Optimizer | None = None,
    steps: int = 1,
    **settings: Any,
) -> Any:
    """A watch over a plain loop in which every step is measured."""
    optimizer = optimizer or momentum(p for p in model.parameters() if p.requires_grad)
    with hw.watch(model, optimizer, **{"every": 1, **settings}) as watch:
        train(model, optimizer, batch, loss, steps, watch)
    return watch


def event_ids(watch: Any) -> list[str]:
    return [event.message.id for event in watch.events]


def gap_ids(flow: Flow) -> list[str]:
    return [gap.id for gap in flow.gaps]


def names(flow: Flow) -> list[str]:
    return [row.site.name for row in flow.sites]


def parameter(flow: Flow, name: str) -> Any:
    return next(row for row in flow.parameters if row.name == name)


def rms(x: Tensor) -> float:
    return float(x.detach().double().square().mean().sqrt())


def norm(x: Tensor) -> float:
    return float(x.detach().double().norm())


def near(value: float | None, rel: float) -> Any:
    return None if value is None else pytest.approx(value, rel=rel)


def assert_flows_equal(found: Flow, expected: Flow, rel: float = 1e-5) -> None:
    """The same sites with the same signals and gradients, and the same parameters with theirs."""
    assert names(found) == names(expected)
    for row, other in zip(found.sites, expected.sites, strict=True):
        assert row.activation.rms == near(other.activation.rms, rel), row.site.name
        assert (row.activation_grad is None) == (other.activation_grad is None), row.site.name
        if row.activation_grad is not None and other.activation_grad is not None:
            assert row.activation_grad.rms == near(other.activation_grad.rms, rel), row.site.name
            assert row.activation_grad.count == other.activation_grad.count, row.site.name
    for mine, theirs in zip(found.parameters, expected.parameters, strict=True):
        assert mine.name == theirs.name
        assert mine.grad_norm == near(theirs.grad_norm, rel)


# 13 to 22: tensors


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_row_13_nonfinite_values_are_counted_where_they_first_are(value: float) -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    with torch.no_grad():
        model[2].bias[3] = value
    watch = watched(model, (x, y))
    counts = {row.site.name: row.activation.nonfinite_count for row in watch.flow.sites}
    assert counts["0"] == counts["1"] == 0
    assert counts["2"] == 64
    assert watch.flow.site("2").activation.rms == pytest.approx(rms(model_output(model, x, 2, value)), rel=1e-5)
    assert parameter(watch.flow, "2.bias").value.nonfinite_count == 1
    assert event_ids(watch) == ["event.nonfinite"]
    assert watch.report().verdict != "healthy"


def model_output(model: nn.Sequential, x: Tensor, last: int, value: float) -> Tensor:
    """What a layer gave before the update, where it is finite."""
    torch.manual_seed(0)
    again = plain_mlp("tanh")
    y: Tensor = again[: last + 1](x)
    return y[:, [unit for unit in range(y.shape[1]) if unit != 3]]


def test_row_13_one_event_per_outbreak() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        for step in range(6):
            loss = cross_entropy(model, batch) * (math.nan if step in (1, 2, 4) else 1.0)
            optimizer.zero_grad()
            loss.backward()
            if step in (1, 2, 4):
                nn.utils.clip_grad_value_([p for p in model.parameters() if p.grad is not None], 0.0)
                for p in model.parameters():
                    p.grad = None
            optimizer.step()
    assert event_ids(watch).count("event.nonfinite") == 2


def test_row_14_empty_batch_has_no_statistics_and_raises_nothing() -> None:
    model = plain_mlp("relu")
    empty = torch.randn(0, 8), torch.randint(3, (0,))
    watch = watched(model, empty, lambda m, b: m(b[0]).sum())
    row = watch.flow.site("1")
    assert row.activation.count == 0
    assert (row.activation.rms, row.activation.mean, row.activation.max, row.dead_fraction) == (None,) * 4
    assert watch.flow.samples == 0
    assert parameter(watch.flow, "0.weight").grad_norm == 0.0
    watch.report().to_dict()


def test_row_14_tensor_of_nothing_but_nan() -> None:
    model = plain_mlp("relu")
    with torch.no_grad():
        model[0].weight.fill_(math.nan)
    watch = watched(model, vectors())
    activation = watch.flow.site("0").activation
    assert activation.nan_count == activation.count == 64 * 16
    assert (activation.rms, activation.mean, activation.max) == (None, None, None)


def test_row_15_one_element_has_no_deviation() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1))
    watch = watched(model, (torch.ones(1, 1), torch.ones(1, 1)), squared_error)
    activation = watch.flow.site("1").activation
    assert (activation.count, activation.std) == (1, None)
    assert activation.rms is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_row_16_sums_of_squares_of_half_precision_do_not_overflow(dtype: torch.dtype) -> None:
    layer = nn.Linear(8, 16).to(dtype)
    with torch.no_grad():
        layer.weight.fill_(300.0)
    x = torch.ones(4, 8, dtype=dtype)
    watch = watched(layer, x, lambda m, b: m(b).float().mean())
    assert watch.flow.sites[0].activation.rms == pytest.approx(2400.0, rel=0.01)
    assert watch.flow.sites[0].site.dtype == str(dtype).removeprefix("torch.")
    assert watch.flow.parameters[0].value.norm == pytest.approx(300.0 * math.sqrt(128), rel=1e-3)


@pytest.mark.slow
def test_row_17_more_elements_than_a_quantile_takes() -> None:
    width = 4200
    model = nn.Sequential(nn.Linear(width, width, bias=False), nn.Linear(width, 1))
    assert model[0].weight.numel() > 1 << 24
    x = torch.randn(4, width)
    before = model[0].weight.detach().clone()
    watch = watched(model, x, lambda m, b: m(b).square().mean())
    row = parameter(watch.flow, "0.weight")
    assert row.value.count == width * width
    assert row.value.norm == pytest.approx(norm(before), rel=1e-6)
    assert row.grad_norm == pytest.approx(norm(model[0].weight.grad), rel=1e-6)
    assert row.sampled is not None
    assert row.sampled < row.value.count
    exact = norm(model[0].weight.detach() - before) / norm(before)
    assert row.update_ratio == pytest.approx(exact, rel=0.1)


def test_row_18_integers_and_booleans_are_no_sites() -> None:
    class Indices(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argmax(1)

    class Mask(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x > 0

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.indices, self.mask = nn.Linear(8, 8), Indices(), Mask()
            self.embed, self.head = nn.Embedding(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.body(x)
            return self.head(h * self.mask(h) + self.embed(self.indices(h)))

    watch = watched(Network(), vectors())
    assert names(watch.flow) == ["body", "mask", "indices", "embed", "head"] or names(watch.flow) == [
        "body",
        "embed",
        "head",
    ]
    assert watch.flow.gaps == ()


def test_row_19_complex_numbers_count_by_magnitude() -> None:
    class Spectrum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Parameter(torch.randn(5, dtype=torch.cfloat))

        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.rfft(x) * self.filter

    model = nn.Sequential(Spectrum(), nn.Linear(5, 3))
    x = torch.randn(16, 8)
    expected = model[0](x).detach().abs()
    watch = watched(model, (x, torch.randint(3, (16,))), lambda m, b: F.cross_entropy(m[1](m[0](b[0]).abs()), b[1]))
    assert watch.flow.site("0").activation.rms == pytest.approx(rms(expected), rel=1e-5)
    row = parameter(watch.flow, "0.filter")
    assert row.grad_norm == pytest.approx(norm(model[0].filter.grad.abs()), rel=1e-5)
    assert row.update_ratio > 0


def test_row_20_sparse_gradients_are_coalesced_in_a_copy() -> None:
    model = nn.Sequential(nn.Embedding(20, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    words = torch.tensor([[1, 1], [1, 2], [2, 1], [1, 1]])
    before = model[0].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = watched(model, (words, torch.tensor([0, 1, 2, 0])), optimizer=optimizer)
    gradient = model[0].weight.grad
    assert not gradient.is_coalesced()
    row = parameter(watch.flow, "0.weight")
    assert row.grad_norm == pytest.approx(norm(gradient.to_dense()), rel=1e-6)
    assert row.grad.count == 8  # of the two rows that are stored
    assert row.update_ratio == pytest.approx(norm(model[0].weight - before) / norm(before), rel=1e-5)


def test_row_21_quantised_outputs_are_read_as_the_numbers_they_stand_for() -> None:
    class Quantised(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.quantize_per_tensor(x.detach(), 0.1, 0, torch.qint8)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.side, self.head = nn.Linear(8, 8), Quantised(), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = self.body(x)
            return self.head(h) + self.side(h).dequantize().mean()

    watch = watched(Network(), vectors())
    assert names(watch.flow)[-1] == "head"
    assert watch.flow.site("head").activation_grad is not None
    assert event_ids(watch) == []


def test_row_22_model_without_values_can_be_watched_before_it_gets_them() -> None:
    with torch.device("meta"):
        model = plain_mlp("tanh")
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        model(torch.randn(4, 8, device="meta")).sum().backward()
        optimizer.step()
        assert watch.flow.site("0").activation.count == 0
        assert parameter(watch.flow, "0.weight").value.count == 0
        model.to_empty(device="cpu")
        for layer in (model[0], model[2], model[4]):
            layer.reset_parameters()
        optimizer = momentum(model.parameters())
    watch = watched(model, vectors(), optimizer=optimizer)
    assert watch.flow.site("0").activation.rms > 0


def test_row_22_lazy_module_can_be_watched_before_it_has_a_shape() -> None:
    model = nn.Sequential(nn.LazyLinear(16), nn.Tanh(), nn.LazyLinear(3))
    optimizer = momentum(model.parameters())
    watch = watched(model, vectors(), optimizer=optimizer, steps=3)
    assert names(watch.flow) == ["0", "1", "2"]
    assert parameter(watch.flow, "0.weight").grad_norm == pytest.approx(norm(model[0].weight.grad), rel=1e-6)
    assert parameter(watch.flow, "0.weight").update_ratio > 0
    assert event_ids(watch) == []


# 23 to 27: gradients


def test_row_23_no_gradient_is_not_a_gradient_of_zero() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.body = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8)
            self.used, self.unused = nn.Linear(8, 3), nn.Linear(8, 3)
            self.zero = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.used(self.body(self.frozen(x))) + 0.0 * self.zero

    watch = watched(Network(), vectors())
    gradients = {row.name: row.grad_norm for row in watch.flow.parameters}
    assert gradients["frozen.weight"] is gradients["unused.weight"] is None
    assert gradients["zero"] == 0.0
    assert gradients["body.weight"] > 0
    trainable = {row.name: row.trainable for row in watch.flow.parameters}
    assert (trainable["frozen.weight"], trainable["unused.weight"]) == (False, True)


def test_row_24_in_place_activations_show_what_others_do() -> None:
    torch.manual_seed(1)
    plain, batch = BatchNormCNN(inplace=False), images()
    in_place = BatchNormCNN(inplace=True)
    in_place.load_state_dict(plain.state_dict())
    assert_flows_equal(watched(in_place, batch, steps=2).flow, watched(plain, batch, steps=2).flow)


def test_row_24_sum_in_place_is_a_join() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.branch(x)
            y += x
            return self.head(y)

    model, (x, y) = Block(), vectors()
    h = model.stem(x)
    joined = model.branch(h) + h
    (expected,) = torch.autograd.grad(F.cross_entropy(model.head(joined), y), joined)
    watch = watched(model, (x, y))
    row = watch.flow.site("add#1")
    assert row.site.kind == "join"
    assert row.activation.rms == pytest.approx(rms(joined), rel=1e-5)
    assert row.activation_grad.rms == pytest.approx(rms(expected), rel=1e-5)


def test_row_25_tied_weights_are_one_row_with_an_alias() -> None:
    embed, head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
    head.weight = embed.weight
    model = nn.Sequential(embed, head)
    watch = watched(model, tokens(), lambda m, b: F.cross_entropy(m(b[0]).flatten(0, 1), b[0].flatten()), steps=2)
    assert [(row.name, row.aliases) for row in watch.flow.parameters] == [("0.weight", ("1.weight",))]
    assert watch.flow.parameters[0].grad_norm == pytest.approx(norm(embed.weight.grad), rel=1e-6)


def test_row_26_module_called_again_is_a_site_per_call() -> None:
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Linear(8, 3))
    watch = watched(model, vectors())
    assert names(watch.flow) == ["0#1", "1", "0#2", "3"]
    assert all(row.passes == 1 for row in watch.flow.sites)
    assert parameter(watch.flow, "0.weight").grad_norm == pytest.approx(norm(shared.weight.grad), rel=1e-6)


def test_row_27_gradients_of_a_penalty_are_not_those_of_the_loss() -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    x.requires_grad_()

    def with_penalty(m: Any, b: Any) -> Tensor:
        logits = m(b[0])
        (slope,) = torch.autograd.grad(logits.sum(), b[0], create_graph=True)
        return F.cross_entropy(logits, b[1]) + slope.square().mean()

    arrived: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_children()}
    handles = [
        m.register_forward_hook(lambda m, a, out, seen=arrived[name]: out.register_hook(seen.append) and None)
        for name, m in model.named_children()
    ]
    with_penalty(model, (x, y)).backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    watch = watched(model, (x, y), with_penalty)
    for name, gradients in arrived.items():
        assert len(gradients) == 2  # of the penalty's own derivative, and of the loss
        assert watch.flow.site(name).activation_grad.rms == pytest.approx(rms(gradients[1]), rel=1e-4), name
    assert not x._backward_hooks


def test_row_27_gradients_taken_outside_grad_are_shown_and_said() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    parameters = list(model.parameters())
    optimizer = momentum(parameters)
    with hw.watch(model, optimizer, every=1) as watch:
        for p, g in zip(parameters, torch.autograd.grad(cross_entropy(model, batch), parameters), strict=True):
            p.grad = g
        optimizer.step()
    assert "gap.outside_grad" in gap_ids(watch.flow)
    assert watch.flow.site("0").activation_grad.rms > 0
    assert parameter(watch.flow, "0.weight").grad_norm == pytest.approx(norm(parameters[0].grad), rel=1e-6)


def test_row_27_retained_graph_gone_through_twice() -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    h = model[0](x)
    (once,) = torch.autograd.grad(F.cross_entropy(model[1:](h), y), h)
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        loss = F.cross_entropy(model(x), y)
        loss.backward(retain_graph=True)
        loss.backward()
        optimizer.step()
    gradient = watch.flow.site("0").activation_grad
    assert gradient.count == 2 * once.numel()
    assert gradient.rms == pytest.approx(rms(once), rel=1e-5)
    assert parameter(watch.flow, "0.weight").grad_norm == pytest.approx(norm(model[0].weight.grad), rel=1e-6)


# 28 and 29: several passes to a step, and scaled losses


def _accumulated(model: nn.Module, batches: list[Any], watch: bool = True, **settings: Any) -> Any:
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, **settings) as observed:
        for batch in batches:
            (cross_entropy(model, batch) / len(batches)).backward()
        optimizer.step()
    return observed


def test_row_28_accumulated_micro_batches_are_one_step() -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    batches = list(zip(x.split(16), y.split(16), strict=True))
    whole = watched(copy.deepcopy(model), (x, y)).flow
    watch = _accumulated(model, batches)
    flow = watch.flow
    assert (watch.steps, watch.sampled) == (1, 1)
    assert_flows_equal(flow, whole)
    assert {row.passes for row in flow.sites} == {4}
    assert flow.samples == 64
    assert parameter(flow, "0.weight").grad_norm == pytest.approx(norm(model[0].weight.grad), rel=1e-6)
    assert flow.site("1").observations == 64


def test_row_28_path_is_that_of_the_last_micro_batch() -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    last = copy.deepcopy(model), (x[60:], y[60:])
    flow = _accumulated(model, list(zip(x.split(4), y.split(4), strict=True))).flow
    alone = watched(*last).flow
    assert flow.path is not None
    assert alone.path is not None
    assert (flow.path.first, flow.path.last) == (alone.path.first, alone.path.last) == ("0", "4")
    assert flow.path.decades == pytest.approx(alone.path.decades, abs=1e-4)


def _scaled_loop(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[Any],
    scaler: torch.amp.GradScaler,
    clip: bool = False,
    watch: Any = None,
) -> None:
    for x, y in batches:
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1e9)
        scaler.step(optimizer)
        scaler.update()


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_row_29_gradients_are_shown_unscaled(clip: bool, fused: bool) -> None:
    model, batch = plain_mlp("tanh"), vectors()
    other = copy.deepcopy(model)
    plain = torch.optim.Adam(other.parameters(), lr=1e-3, fused=fused)
    expected = watched(other, batch, optimizer=plain, steps=3).flow
    # The scale doubles after each step: the one of the step counts, not the one before.
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fused)
    with hw.watch(model, optimizer, every=1, scaler=scaler) as watch:
        _scaled_loop(model, optimizer, [batch] * 3, scaler, clip)
    assert scaler.get_scale() == 8192.0
    assert_flows_equal(watch.flow, expected, rel=1e-4)
    assert event_ids(watch) == []


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_row_29_skipped_step_is_an_event_and_leaves_no_inf(fused: bool, every: int) -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    broken = x.clone()
    broken[0, 0] = math.inf
    batches = [(x, y), (x, y), (broken, y), (x, y), (x, y)]

    def trained(watch: bool) -> tuple[Any, dict[str, Any]]:
        mine = copy.deepcopy(model)
        optimizer = torch.optim.Adam(mine.parameters(), lr=1e-3, fused=fused)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=100)
        if not watch:
            _scaled_loop(mine, optimizer, batches, scaler)
            return None, state_of(mine, optimizer)
        with hw.watch(mine, optimizer, every=every, scaler=scaler) as observed:
            _scaled_loop(mine, optimizer, batches, scaler)
        return observed, state_of(mine, optimizer)

    watch, state = trained(True)
    assert differences(state, trained(False)[1]) == []
    assert event_ids(watch) == ["event.step_skipped"]
    assert watch.events[0].message.values == {"before": 1024.0, "after": 512.0}
    assert all(row.activation.nonfinite_count == 0 for row in watch.flow.sites)
    assert all(row.passes == 1 for row in watch.flow.sites)
    assert all(row.grad.nonfinite_count == 0 for row in watch.flow.parameters)


def test_row_29_skip_of_the_very_last_step_is_noted() -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, scaler=scaler) as watch:
        _scaled_loop(model, optimizer, [(x, y), (x * math.inf, y)], scaler)
    assert event_ids(watch) == ["event.step_skipped"]


def test_row_29_autocast_shows_the_types_signals_have() -> None:
    model, batch = plain_mlp("tanh"), vectors()

    def in_autocast(m: Any, b: Any) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.cross_entropy(m(b[0]), b[1])

    watch = watched(model, batch, in_autocast, steps=2)
    assert watch.flow.site("0").site.dtype == "bfloat16"
    assert parameter(watch.flow, "0.weight").dtype == "float32"


def test_row_29_scaler_that_cannot_be_asked_is_left_alone() -> None:
    class Scaler:
        def get_scale(self) -> float:
            raise RuntimeError("not now")

    model, batch = plain_mlp("tanh"), vectors()
    watch = watched(model, batch, steps=3, scaler=Scaler())
    assert event_ids(watch) == ["event.probe_failed"]
    assert (watch.steps, watch.sampled) == (3, 3)


# 30: activation checkpointing


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.block = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 16))
        self._reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        block = (
            self.block if self._reentrant is None else partial(checkpoint, self.block, use_reentrant=self._reentrant)
        )
        return self.head(block(x))


@pytest.mark.parametrize("reentrant", [False, True])
def test_row_30_checkpointing_shows_what_the_plain_network_does(reentrant: bool) -> None:
    torch.manual_seed(3)
    plain, batch = Checkpointed(None), vectors()
    model = Checkpointed(reentrant)
    model.load_state_dict(plain.state_dict())
    torch.manual_seed(4)
    expected = watched(plain, batch, steps=12).flow
    torch.manual_seed(4)
    found = watched(model, batch, steps=12).flow
    assert names(found) == names(expected)
    assert {row.passes for row in found.sites} == {1}
    assert_flows_equal(found, expected)


# 31 to 34: compiled and wrapped models


class CountingBackend:
    """Compiles nothing, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        self.count += 1
        return graph.forward


@pytest.fixture
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def _compiled_losses(every: Any, backend: Any, wrap: Callable[..., Any], steps: int = 8) -> tuple[list[bytes], Any]:
    torch.manual_seed(0)
    model, batch = Plain(), vectors()
    optimizer = momentum(model.parameters())
    compiled = wrap(model, backend=backend)
    if every is None:
        return [bits(loss) for loss in train(compiled, optimizer, batch, cross_entropy, steps)], None
    with hw.watch(compiled, optimizer, every=every) as watch:
        losses = train(compiled, optimizer, batch, cross_entropy, steps)
    return [bits(loss) for loss in losses], watch


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))


def _compile_in_place(model: nn.Module, backend: Any) -> nn.Module:
    model.compile(backend=backend)
    return model


@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize("wrap", [torch.compile, _compile_in_place], ids=["torch.compile", "module.compile"])
def test_row_31_compiled_model_runs_eagerly_when_measured_and_compiles_once(wrap: Callable[..., Any]) -> None:
    alone, watched_too = CountingBackend(), CountingBackend()
    losses, _ = _compiled_losses(None, alone, wrap)
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, watch = _compiled_losses(2, watched_too, wrap)
    assert found == losses
    assert watched_too.count == alone.count == 1
    assert (watch.steps, watch.sampled) == (8, 4)
    assert names(watch.flow) == ["body", "tanh#1", "head"]
    assert [row.name for row in watch.flow.parameters][:2] == ["body.weight", "body.bias"]
    assert event_ids(watch) == []
    assert watch.report().run.model == "Plain"


@pytest.mark.usefixtures("_fresh_compiler")
def test_row_31_compiled_part_and_compiled_step() -> None:
    backend = CountingBackend()
    model, batch = plain_mlp("tanh"), vectors()
    whole = nn.Sequential(torch.compile(model, backend=backend), nn.Linear(3, 3))
    watch = watched(whole, batch, steps=4, every=2)
    assert names(watch.flow) == ["0.0", "0.1", "0.2", "0.3", "0.4", "1"]
    assert backend.count == 1


@pytest.mark.usefixtures("_fresh_compiler")
def test_row_31_model_compiled_while_it_is_watched() -> None:
    backend = CountingBackend()
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=3) as watch:
        compiled = torch.compile(model, backend=backend)
        train(compiled, optimizer, batch, cross_entropy, 6)
    assert backend.count == 1
    assert names(watch.flow) == ["0", "1", "2", "3", "4"]


@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.slow
def test_row_31_inductor() -> None:
    losses, _ = _compiled_losses(None, "inductor", torch.compile)
    torch._dynamo.reset()
    found, watch = _compiled_losses(2, "inductor", torch.compile)
    # Eager steps round otherwise than compiled ones.
    for mine, theirs in zip(found, losses, strict=True):
        pair = [torch.frombuffer(bytearray(value), dtype=torch.float32) for value in (mine, theirs)]
        torch.testing.assert_close(pair[0], pair[1], rtol=1e-4, atol=1e-5)
    assert watch.sampled == 4


def test_row_31_loop_that_calls_something_else_is_told_so() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    other = copy.deepcopy(model)
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        for _ in range(3):
            cross_entropy(other, batch).backward()
            optimizer.step()
    assert event_ids(watch) == ["event.no_sites"]
    with pytest.raises(HeadwaterError, match="nothing was measured in 3 steps of SGD: the model was never called"):
        watch.report()


@pytest.fixture
def _process_group(tmp_path: Any) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_process_group")
def test_row_32_distributed_model_has_the_names_and_numbers_of_the_plain_one() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    expected = watched(copy.deepcopy(model), batch, steps=3).flow
    distributed = nn.parallel.DistributedDataParallel(model)
    watch = watched(distributed, batch, steps=3)
    assert_flows_equal(watch.flow, expected)
    assert names(watch.flow) == ["0", "1", "2", "3", "4"]
    report = watch.report()
    assert report.run.model == "Sequential"
    assert hw.check(distributed, batch, cross_entropy).flow.parameters[0].name == "0.weight"


@pytest.mark.usefixtures("_process_group")
def test_row_33_sharded_parameters_show_the_part_that_lies_here() -> None:
    """In a group of one all of it; that nobody waits for another process cannot be seen here but in the code."""
    mesh = init_device_mesh("cpu", (1,))

    def trained(sharded: bool, watch: bool) -> tuple[list[bytes], Any]:
        torch.manual_seed(0)
        model, batch = plain_mlp("tanh"), vectors()
        if sharded:
            for part in (model[0], model[2], model[4], model):
                fully_shard(part, mesh=mesh)
        optimizer = momentum(model.parameters())
        observed = hw.watch(model, optimizer, every=1)
        if watch:
            observed.start()
        losses = train(model, optimizer, batch, cross_entropy, 3)
        observed.close()
        return [bits(loss) for loss in losses], observed

    losses, watch = trained(sharded=True, watch=True)
    assert losses == trained(sharded=True, watch=False)[0]
    assert event_ids(watch) == []
    plain = trained(sharded=False, watch=True)[1].flow
    assert_flows_equal(watch.flow, plain)
    for mine, theirs in zip(watch.flow.parameters, plain.parameters, strict=True):
        assert mine.update_ratio == pytest.approx(theirs.update_ratio, rel=1e-5)
        assert mine.value.rms == pytest.approx(theirs.value.rms, rel=1e-6)


def test_row_34_data_parallel_on_one_device_has_plain_names() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    watch = watched(nn.DataParallel(model), batch)
    assert names(watch.flow) == ["0", "1", "2", "3", "4"]


# 35 to 38: one model, several watches, copies, failures, changes


def test_row_35_second_watch_of_a_model_is_the_first() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as outer:
        with hw.watch(model, optimizer, every=5) as inner:
            train(model, optimizer, batch, cross_entropy, 1)
        assert inner is outer
        train(model, optimizer, batch, cross_entropy, 1)
    assert (outer.steps, outer.sampled) == (2, 2)
    assert event_ids(outer) == ["event.watched_already"]
    assert hw.watch(model, optimizer) is not outer


def test_row_35_part_of_a_watched_model_can_be_watched_too() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as whole, hw.watch(model[2], optimizer, every=1) as part:
        train(model, optimizer, batch, cross_entropy, 2)
    assert names(whole.flow) == ["0", "1", "2", "3", "4"]
    assert names(part.flow) == ["Linear"]
    found, expected = part.flow.sites[0].activation_grad, whole.flow.site("2").activation_grad
    assert found.rms == expected.rms


@pytest.mark.parametrize("when", ["before forward", "before backward", "before step"])
def test_row_36_copies_and_pickles_in_the_middle_of_a_measured_step(when: str) -> None:
    model, batch = nn.Sequential(plain_mlp("tanh"), Hooked()), vectors()
    optimizer = momentum(model.parameters())
    copies: list[nn.Module] = []

    def copied(moment: str) -> None:
        if moment == when:
            buffer = io.BytesIO()
            torch.save(model, buffer)
            buffer.seek(0)
            copies.extend([copy.deepcopy(model), pickle.loads(pickle.dumps(model))])
            copies.append(torch.load(buffer, weights_only=False))

    with hw.watch(model, optimizer, every=1) as watch:
        copied("before forward")
        loss = cross_entropy(model, batch)
        copied("before backward")
        loss.backward()
        copied("before step")
        optimizer.step()
        count = len(watch.flow.sites)
        for each in copies:
            cross_entropy(each, batch).backward()
        train(model, optimizer, batch, cross_entropy, 1)
        assert len(watch.flow.sites) == count
        assert {row.passes for row in watch.flow.sites} == {1}
    assert len(copies) == 3
    for each in copies:
        hooks = [table for part in each.modules() for table in (part._forward_hooks, part._forward_pre_hooks)]
        assert sum(map(len, hooks)) <= 2 * 2  # the user's own, and ones that do nothing
        assert not any(p._post_accumulate_grad_hooks or p._backward_hooks for p in each.parameters())


class Hooked(nn.Linear):
    """A module with a hook of the user's, beside which the recorder sets its own for as long as it measures."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.register_forward_hook(double)


def double(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output * 2


def test_row_36_copy_of_an_optimizer_is_not_watched() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        other = copy.deepcopy(optimizer)
        train(model, optimizer, batch, cross_entropy, 1)
        other.step()
    assert watch.steps == 1


def _raise(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("no more memory\nand a page of advice")


def test_row_37_probe_that_raises_stops_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = plain_mlp("tanh"), vectors()
    twin = copy.deepcopy(model)
    expected = train(twin, momentum(twin.parameters()), batch, cross_entropy, 8)
    optimizer = momentum(model.parameters())
    calls = []

    def measure(self: Ledger, tensor: Tensor) -> int:
        calls.append(1)
        return int(_raise())

    monkeypatch.setattr(Ledger, "measure", measure)
    with hw.watch(model, optimizer, every=1) as watch:
        losses = train(model, optimizer, batch, cross_entropy, 3)
        tried = len(calls)
        losses += train(model, optimizer, batch, cross_entropy, 5)
    assert [bits(loss) for loss in losses] == [bits(loss) for loss in expected]
    assert len(calls) == tried  # given up
    assert event_ids(watch) == ["event.probe_failed"]
    assert watch.events[0].message.values["error"].endswith("RuntimeError: no more memory")
    with pytest.raises(HeadwaterError, match="nothing was measured"):
        watch.report()


def test_row_37_one_place_that_fails_is_a_gap_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = plain_mlp("tanh"), vectors()
    measure = Ledger.measure

    def fails_on_width_three(self: Ledger, tensor: Tensor) -> int:
        return int(_raise()) if tensor.shape[-1] == 3 else measure(self, tensor)

    monkeypatch.setattr(Ledger, "measure", fails_on_width_three)
    watch = watched(model, batch, steps=6)
    assert names(watch.flow) == ["0", "1", "2", "3"]
    assert [gap.values["site"] for gap in watch.flow.gaps if gap.id == "gap.probe_failed"] == ["4"]
    assert watch.sampled == 6


@pytest.mark.parametrize("method", ["begin", "before_optimizer", "after_optimizer", "end", "nonfinite"])
def test_row_37_step_that_fails_anywhere_is_given_up_after_three(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.probes.sampled_step import SampledStep

    model, batch = plain_mlp("tanh"), vectors()
    twin = copy.deepcopy(model)
    expected = train(twin, momentum(twin.parameters()), batch, cross_entropy, 6)
    calls = []

    def fails(self: SampledStep, *args: Any) -> None:
        calls.append(1)
        _raise()

    monkeypatch.setattr(SampledStep, method, fails)
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        losses = train(model, optimizer, batch, cross_entropy, 6)
    assert [bits(loss) for loss in losses] == [bits(loss) for loss in expected]
    assert len(calls) == 3
    assert event_ids(watch) == ["event.probe_failed"]


def test_row_38_replaced_head_is_an_event_and_a_row() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, cross_entropy, 2)
        model[4] = nn.Linear(16, 3)
        optimizer.param_groups[0]["params"] = list(model.parameters())
        train(model, optimizer, batch, cross_entropy, 1)
        # The step that was under way when the head was exchanged began with the old one.
        train(model, optimizer, batch, cross_entropy, 1)
        assert {row.name for row in watch.flow.parameters if row.replaced} == {"4.weight", "4.bias"}
        assert watch.flow.site("4").activation_grad is not None
        train(model, optimizer, batch, cross_entropy, 1)
        assert not any(row.replaced for row in watch.flow.parameters)
    replaced = [event.message.values["parameter"] for event in watch.events if event.message.id == "event.replaced"]
    assert replaced == ["4.weight", "4.bias"]


def test_row_38_adapter_added_in_the_middle() -> None:
    class Adapted(nn.Module):
        def __init__(self, base: nn.Linear) -> None:
            super().__init__()
            self.base = base.requires_grad_(False)
            self.down, self.up = nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x))

    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, cross_entropy, 2)
        model[2] = Adapted(model[2])
        optimizer.add_param_group({"params": [*model[2].down.parameters(), *model[2].up.parameters()]})
        train(model, optimizer, batch, cross_entropy, 2)
        flow = watch.flow
    assert {"2.base", "2.down", "2.up"} <= set(names(flow))
    assert parameter(flow, "2.down.weight").grad_norm > 0
    assert not parameter(flow, "2.base.weight").trainable
    assert "event.replaced" not in event_ids(watch)


def test_row_38_memory_of_a_parameter_exchanged_for_a_smaller_piece() -> None:
    model, batch = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 3)), vectors()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with hw.watch(model, optimizer, every=1) as watch:
        train(model, optimizer, batch, cross_entropy, 2)
        optimizer.zero_grad()
        for layer, rows in ((model[0], 16), (model[2], 3)):
            layer.weight.data = layer.weight.data[:rows, :16].clone()
            layer.bias.data = layer.bias.data[:rows].clone()
        train(model, optimizer, batch, cross_entropy, 1)
        before = model[0].weight.detach().clone()
        train(model, optimizer, batch, cross_entropy, 1)
    assert parameter(watch.flow, "0.weight").shape == (16, 8)
    assert parameter(watch.flow, "0.weight").value.count == 128
    exact = norm(model[0].weight - before) / norm(before)
    assert parameter(watch.flow, "0.weight").update_ratio == pytest.approx(exact, rel=1e-5)


# 39 to 42: transforms, modes, structures, names


def test_row_39_transforms_of_functions_are_skipped_and_said_once() -> None:
    model, (x, y) = plain_mlp("tanh"), vectors()
    parameters = dict(model.named_parameters())
    optimizer = momentum(model.parameters())

    def loss(weights: dict[str, Tensor], sample: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, weights, (sample[None],)), target[None])

    per_sample = vmap(grad(loss), in_dims=(None, 0, 0))
    expected = per_sample({name: p.detach() for name, p in parameters.items()}, x, y)
    with hw.watch(model, optimizer, every=1) as watch:
        found = per_sample({name: p.detach() for name, p in parameters.items()}, x, y)
        for name, gradient in found.items():
            parameters[name].grad = gradient.mean(0)
        optimizer.step()
        assert event_ids(watch) == ["event.probe_failed"]
        assert "torch.func" in watch.events[0].message.values["error"]
        for _ in range(4):
            per_sample({name: p.detach() for name, p in parameters.items()}, x, y)
        # What ran inside a transform has not used up anybody's patience.
        train(model, optimizer, (x, y), cross_entropy, 2)
        assert names(watch.flow) == ["0", "1", "2", "3", "4"]
    for name, gradient in found.items():
        assert bits(gradient) == bits(expected[name])


def test_row_39_part_of_a_model_inside_vmap() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.each, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(vmap(self.each)(self.stem(x)))

    watch = watched(Mapped(), vectors(), steps=5)
    assert {"stem", "head"} <= set(names(watch.flow))
    assert [gap.values["site"] for gap in watch.flow.gaps if gap.id == "gap.probe_failed"] == ["each"]


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "eval"])
@pytest.mark.parametrize("moment", ["before", "between"])
def test_row_40_validation_in_between_is_not_recorded(mode: str, moment: str) -> None:
    model, batch = plain_mlp("tanh"), vectors()
    expected = watched(copy.deepcopy(model), batch, steps=3)
    optimizer = momentum(model.parameters())
    other = vectors(32)

    def validate() -> None:
        model.eval()
        with {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "eval": torch.enable_grad}[mode]():
            for _ in range(2):
                cross_entropy(model, other)
        model.train()

    with hw.watch(model, optimizer, every=1) as watch:
        for _ in range(3):
            if moment == "before":
                validate()
            optimizer.zero_grad()
            loss = cross_entropy(model, batch)
            if moment == "between":
                validate()
            loss.backward()
            optimizer.step()
    assert_flows_equal(watch.flow, expected.flow)
    assert event_ids(watch) == []
    assert {row.passes for row in watch.flow.sites} == {1}


def test_row_40_validation_leaves_the_path_alone() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    expected = watched(copy.deepcopy(model), batch).flow.path
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        model.eval()
        model(batch[0])
        model.train()
        train(model, optimizer, batch, cross_entropy, 1)
    assert watch.flow.path == expected


def test_row_40_attention_that_never_calls_its_output_map() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))

    model, batch = Network(), (torch.randn(16, 5, 8), torch.randint(3, (16,)))
    watch = watched(model, batch)
    assert names(watch.flow) == ["attention", "head"]
    row = watch.flow.site("attention")
    assert "attention.out_proj.weight" in row.site.parameters
    expected = [p.grad for p in model.attention.parameters()]
    assert row.grad_rms == pytest.approx(rms(torch.cat([g.flatten() for g in expected])), rel=1e-5)


def test_row_41_structured_outputs_and_keywords() -> None:
    class Keywords(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = Structured(), nn.Linear(3, 3)

        def forward(self, *, x: Tensor) -> dict[str, Any]:
            return {"logits": self.head(self.inner(x=x).logits), "nothing": None}

    watch = watched(Keywords(), vectors(), lambda m, b: F.cross_entropy(m(x=b[0])["logits"], b[1]), steps=2)
    assert names(watch.flow) == ["inner.pair", "inner/relu#1", "inner.named", "inner.record", "head"]
    assert all(row.activation_grad is not None for row in watch.flow.sites)
    assert watch.flow.gaps == ()


@pytest.mark.parametrize("name", ["<img src=x>", "층", "a/b", "nul\0", "=HYPERLINK()", "_orig", "a b"])
def test_row_42_names_are_kept_as_they_are(name: str) -> None:
    model = nn.Sequential()
    model.add_module(name, nn.Linear(8, 3))
    watch = watched(model, vectors())
    assert names(watch.flow) == [name]
    assert watch.flow.parameters[0].name == f"{name}.weight"
    assert Flow.from_dict(watch.flow.to_dict()) == watch.flow
    assert "<img" not in watch.report()._repr_html_()


# 43 and 44: loops


def test_row_43_no_steps() -> None:
    model = plain_mlp("tanh")
    with hw.watch(model, momentum(model.parameters())) as watch:
        pass
    assert (watch.steps, watch.sampled, watch.overhead) == (0, 0, None)
    for read in (watch.report, lambda: watch.flow):
        with pytest.raises(HeadwaterError, match=r"SGD\.step\(\) was never called while the watch was on"):
            read()


def test_row_43_other_optimizer_is_stepped() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    with hw.watch(model, momentum(model.parameters())) as watch:
        train(model, adam(model.parameters()), batch, cross_entropy, 2)
    with pytest.raises(HeadwaterError, match="hand over the optimizer the loop steps"):
        watch.report()


def test_row_44_closures_compute_the_gradient_inside_the_step() -> None:
    def trained(every: Any) -> tuple[dict[str, Any], Any]:
        torch.manual_seed(0)
        model, batch = plain_mlp("tanh"), vectors()
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

        def closure() -> float:
            optimizer.zero_grad()
            loss = cross_entropy(model, batch)
            loss.backward()
            return float(loss.detach())

        watch = hw.watch(model, optimizer, every=every or 1)
        if every is None:
            for _ in range(3):
                optimizer.step(closure)
            return state_of(model, optimizer), None
        with watch:
            for _ in range(3):
                optimizer.step(closure)
            last = {name: norm(p.grad) for name, p in model.named_parameters()}
        for row in watch.flow.parameters:
            assert row.grad_norm == pytest.approx(last[row.name], rel=1e-6)
            assert row.update_ratio > 0
        return state_of(model, optimizer), watch

    state, watch = trained(1)
    assert differences(state, trained(None)[0]) == []
    assert (watch.steps, watch.sampled) == (3, 3)
    assert names(watch.flow) == ["0", "1", "2", "3", "4"]
    assert {row.passes for row in watch.flow.sites} <= {3, 4}


def test_row_44_plain_optimizer_with_a_closure() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model, batch)
        loss.backward()
        return loss

    with hw.watch(model, optimizer, every=1) as watch:
        for _ in range(2):
            optimizer.step(closure)
    assert parameter(watch.flow, "0.weight").grad_norm == pytest.approx(norm(model[0].weight.grad), rel=1e-6)
    assert {row.passes for row in watch.flow.sites} == {1}


def test_row_44_several_optimizers_for_one_model() -> None:
    def trained(watch: bool) -> tuple[dict[str, Any], Any]:
        torch.manual_seed(0)
        model, batch = plain_mlp("tanh"), vectors()
        first, second = momentum(model[:2].parameters()), adam(model[2:].parameters())
        observed = hw.watch(model, {"first": first, "second": second}, every=1)
        if watch:
            observed.start()
        for _ in range(3):
            first.zero_grad()
            second.zero_grad()
            cross_entropy(model, batch).backward()
            second.step()
            first.step()
        observed.close()
        return {**state_of(model, first), **state_of(model, second)}, observed

    state, watch = trained(True)
    assert differences(state, trained(False)[0]) == []
    assert watch.steps == 3
    assert all(row.in_optimizer and row.update_ratio > 0 for row in watch.flow.parameters)
    assert watch.flow.path is not None or watch.sampled > 1


class Pair(nn.Module):
    """Generator and discriminator as one module."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 8))
        self.discriminator = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))


def _gan_steps(pair: Pair, g: torch.optim.Optimizer, d: torch.optim.Optimizer, steps: int, critic: int = 1) -> None:
    for _ in range(steps):
        for _ in range(critic):
            d.zero_grad()
            real, noise = torch.randn(16, 8), torch.randn(16, 4)
            fake = pair.generator(noise).detach()
            (F.softplus(-pair.discriminator(real)) + F.softplus(pair.discriminator(fake))).mean().backward()
            d.step()
        g.zero_grad()
        F.softplus(-pair.discriminator(pair.generator(torch.randn(16, 4)))).mean().backward()
        g.step()


@pytest.mark.parametrize("critic", [1, 3])
@pytest.mark.parametrize("together", [True, False], ids=["one module", "two watches"])
def test_row_44_adversaries(together: bool, critic: int) -> None:
    def trained(watch: bool) -> tuple[dict[str, Any], list[Any]]:
        torch.manual_seed(0)
        pair = Pair()
        g, d = adam(pair.generator.parameters()), adam(pair.discriminator.parameters())
        watches = []
        if together:
            watches = [hw.watch(pair, [g, d], every=1)]
        else:
            watches = [hw.watch(pair.generator, g, every=1), hw.watch(pair.discriminator, d, every=1)]
        if watch:
            for each in watches:
                each.start()
        _gan_steps(pair, g, d, 4, critic)
        for each in watches:
            each.close()
        return {**state_of(pair, g), **state_of(pair, d)}, watches

    state, watches = trained(True)
    assert differences(state, trained(False)[0]) == []
    assert [watch.steps for watch in watches] == ([4] if together else [4, 4 * critic])
    for watch in watches:
        assert all(row.grad_norm > 0 and row.update_ratio > 0 for row in watch.flow.parameters)
        assert event_ids(watch) == []
    flow = watches[0].flow
    if together:
        assert {"generator.0", "discriminator.0"} <= {row.site.module for row in flow.sites}
        assert flow.site("generator.2").passes == critic + 1
        assert flow.site("generator.2").activation_grad.count == 16 * 8  # of its own step; the critic's are detached


def test_row_44_first_step_of_adversaries_shows_both_in_full() -> None:
    torch.manual_seed(0)
    pair = Pair()
    g, d = adam(pair.generator.parameters()), adam(pair.discriminator.parameters())
    with hw.watch(pair, [g, d], every=1) as watch:
        _gan_steps(pair, g, d, 1)
    with_gradient = {row.site.module for row in watch.flow.sites if row.activation_grad is not None}
    assert {"generator.0", "generator.2", "discriminator.0", "discriminator.2"} <= with_gradient
    assert watch.flow.path is not None
    assert watch.flow.path.first.startswith("generator.0")


# Loops that end, break and go on in unusual ways


class Trouble(Exception):
    pass


class Breaking(nn.Module):
    """Raises what it is told to in the forward or the backward pass."""

    def __init__(self, error: type[BaseException], where: str) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Linear(8, 3)
        self.error, self.where, self.armed = error, where, False

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        if self.armed and self.where == "forward":
            raise self.error
        if self.armed and self.where == "backward":
            h.register_hook(self._break)
        return self.head(torch.relu(h))

    def _break(self, gradient: Tensor) -> None:
        raise self.error


@dataclass
class _Broken:
    state: dict[str, Any]
    watch: Any


@pytest.mark.parametrize("error", [Trouble, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["forward", "backward", "loop"])
@pytest.mark.parametrize("caught", ["inside", "outside"])
@pytest.mark.parametrize("every", [1, 2, 4])
def test_errors_of_the_user(error: type[BaseException], where: str, caught: str, every: int) -> None:
    def trained(watch: bool) -> _Broken:
        torch.manual_seed(0)
        model, batch = Breaking(error, where), vectors()
        optimizer = momentum(model.parameters())
        observed = hw.watch(model, optimizer, every=every)

        def step(broken: bool) -> None:
            model.armed = broken
            optimizer.zero_grad()
            cross_entropy(model, batch).backward()
            if broken:
                raise error
            optimizer.step()

        if watch:
            observed.start()
        try:
            for number in range(6):
                if number != 2:
                    step(False)
                elif caught == "inside":
                    with pytest.raises(error):
                        step(True)
                else:
                    step(True)
        except error:
            pass
        finally:
            observed.close()
        return _Broken(state_of(model, optimizer), observed)

    alone, broken = trained(False), trained(True)
    assert differences(alone.state, broken.state) == []
    flow = broken.watch.flow
    assert broken.watch.steps == (5 if caught == "inside" else 2)
    assert names(flow) == ["body.0", "body.1", "relu#1", "head"]
    assert event_ids(broken.watch) == []


def test_interrupt_in_the_forward_leaves_no_frames_behind() -> None:
    model, batch = Breaking(KeyboardInterrupt, "forward"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        model.armed = True
        with pytest.raises(KeyboardInterrupt):
            model(batch[0])
        model.armed = False
        optimizer.zero_grad()
        loss = cross_entropy(model, batch)
        assert torch.overrides._len_torch_function_stack() == 0
        loss.backward()
        optimizer.step()
    assert "head" in names(watch.flow)


def test_module_that_calls_itself_is_no_interrupt() -> None:
    class Recursive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor, depth: int = 2) -> Tensor:
            x = torch.tanh(self.mix(x))
            return self(x, depth - 1) if depth else self.head(x)

    watch = watched(Recursive(), vectors(), steps=2)
    assert names(watch.flow) == ["mix#1", "tanh#1", "mix#2", "tanh#2", "mix#3", "tanh#3", "head"]


def test_loop_in_a_generator_that_is_not_finished() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())

    def steps() -> Iterator[Any]:
        with hw.watch(model, optimizer, every=1) as watch:
            while True:
                train(model, optimizer, batch, cross_entropy, 1)
                yield watch

    running = steps()
    watch = next(running)
    next(running)
    running.close()
    assert watch.steps == 2
    assert len(optimizer._optimizer_step_pre_hooks) == 0


def test_loop_that_returns_from_inside_the_block() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())

    def until_done() -> Any:
        with hw.watch(model, optimizer, every=1) as watch:
            for step in range(10):
                train(model, optimizer, batch, cross_entropy, 1)
                if step == 2:
                    return watch

    watch = until_done()
    assert watch.steps == 3
    assert watch.flow.step == 2


def test_watch_without_a_block() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    watch = hw.watch(model, optimizer, every=1).start()
    train(model, optimizer, batch, cross_entropy, 2)
    watch.close()
    watch.close()
    train(model, optimizer, batch, cross_entropy, 2)
    assert watch.steps == 2
    with watch:
        train(model, optimizer, batch, cross_entropy, 1)
        watch.close()
    with watch:
        train(model, optimizer, batch, cross_entropy, 1)
    assert watch.steps == 4
    assert len(optimizer._optimizer_step_pre_hooks) == 0


@pytest.mark.parametrize(
    "settings", [{"foreach": True}, {"foreach": False}, {"fused": True}, {"differentiable": False, "amsgrad": True}]
)
def test_ways_to_make_an_optimizer(settings: dict[str, Any]) -> None:
    def trained(watch: bool) -> tuple[dict[str, Any], Any]:
        torch.manual_seed(0)
        model, batch = plain_mlp("tanh"), vectors()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, **settings)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=10)
        observed = hw.watch(model, optimizer, every=1)
        if watch:
            observed.start()
        for _ in range(4):
            loss = cross_entropy(model, batch)
            optimizer.zero_grad(set_to_none=False)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            with torch.no_grad():
                optimizer.step()
            scheduler.step()
        observed.close()
        return state_of(model, optimizer), observed

    state, watch = trained(True)
    assert differences(state, trained(False)[0]) == []
    total = math.sqrt(sum(row.grad_norm**2 for row in watch.flow.parameters))
    assert total == pytest.approx(0.01, rel=1e-3)  # as the optimizer gets it, that is clipped


def test_gradients_taken_away_right_after_the_step() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        for _ in range(2):
            cross_entropy(model, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
        optimizer.zero_grad()
        cross_entropy(model, batch)
        optimizer.zero_grad()
    assert all(row.grad_norm > 0 for row in watch.flow.parameters)


def test_warnings_of_the_model_are_shown_as_often_as_before() -> None:
    class Loud(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            warnings.warn("once will do", UserWarning, stacklevel=1)
            return super().forward(x)

    def shown(every: Any) -> int:
        model, batch = Loud(8, 3), vectors()
        optimizer = momentum(model.parameters())
        globals().pop("__warningregistry__", None)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            if every is None:
                train(model, optimizer, batch, cross_entropy, 4)
            else:
                with hw.watch(model, optimizer, every=every):
                    train(model, optimizer, batch, cross_entropy, 4)
        return len([entry for entry in caught if "once will do" in str(entry.message)])

    assert shown(1) == shown(None) == 1


def test_filters_for_warnings_that_change_within_a_step() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    before = list(warnings.filters)
    with hw.watch(model, optimizer, every=2):
        for _ in range(3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                train(model, optimizer, batch, cross_entropy, 1)
    assert list(warnings.filters) == before


def test_loss_that_is_told_belongs_to_its_step() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=2) as watch:
        for step in range(5):
            optimizer.zero_grad()
            loss = cross_entropy(model, batch)
            loss.backward()
            if step != 4:
                watch.log(loss=loss)
            optimizer.step()
            if step == 2:
                assert watch.flow.loss == float(loss.detach())
    assert watch.flow.step == 4
    assert watch.flow.loss is None  # not the one of the step before, which was not measured
    with pytest.raises(InputError, match="one number"):
        watch.log(loss=torch.zeros(3))
    with pytest.raises(InputError, match="str"):
        watch.log(loss="0.1")


def test_model_on_another_thread_is_trained_as_before() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    other = copy.deepcopy(model)
    expected = copy.deepcopy(model)
    train(expected, momentum(expected.parameters()), batch, cross_entropy, 3)
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1) as watch:
        thread = threading.Thread(target=train, args=(other, momentum(other.parameters()), batch, cross_entropy, 3))
        thread.start()
        train(model, optimizer, batch, cross_entropy, 3)
        thread.join()
    for mine in (model, other):
        for p, q in zip(mine.parameters(), expected.parameters(), strict=True):
            assert bits(p) == bits(q)
    assert {row.passes for row in watch.flow.sites} == {1}


@pytest.mark.usefixtures("_fresh_compiler")
def test_row_31_compiled_optimizer_step() -> None:
    def trained(every: Any) -> tuple[list[Tensor], Any]:
        torch.manual_seed(0)
        model, batch = Plain(), vectors()
        optimizer = adam(model.parameters())
        step = torch.compile(optimizer.step, backend=CountingBackend())
        watch = hw.watch(model, optimizer, every=every or 1)
        if every is not None:
            watch.start()
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            loss = cross_entropy(model, batch)
            loss.backward()
            step()
            losses.append(loss.detach())
        watch.close()
        return losses, watch

    expected, _ = trained(None)
    torch._dynamo.reset()
    losses, watch = trained(3)
    # What runs eagerly rounds otherwise than what was compiled.
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)
    assert (watch.steps, watch.sampled) == (8, 3)
    assert event_ids(watch) == []


@pytest.mark.usefixtures("_fresh_compiler")
def test_row_31_stance_is_put_back_when_the_steps_of_two_watches_overlap() -> None:
    first, second, batch = Plain(), Plain(), vectors()
    one, two = momentum(first.parameters()), momentum(second.parameters())
    with hw.watch(first, one, every=2), hw.watch(second, two, every=3):
        for number in range(6):
            train(first, one, batch, cross_entropy, 1)
            if number % 2:
                train(second, two, batch, cross_entropy, 1)
    assert surroundings()["stance"] is not None
    assert "stance='default'" in surroundings()["stance"]


# The same through check(), which has one batch and no loop


def _empty() -> Any:
    return plain_mlp("relu"), (torch.randn(0, 8), torch.zeros(0, dtype=torch.long)), lambda m, b: m(b[0]).sum()


def _all_nan() -> Any:
    return plain_mlp("tanh"), (torch.full((4, 8), math.nan), torch.zeros(4, dtype=torch.long)), cross_entropy


def _one_element() -> Any:
    model = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 1))
    return model, (torch.ones(1, 1), torch.ones(1, 1)), squared_error


def _half() -> Any:
    return nn.Linear(8, 16).half(), torch.full((4, 8), 900.0).half(), lambda m, b: m(b).float().mean()


def _sparse() -> Any:
    model = nn.Sequential(nn.Embedding(20, 4, sparse=True), nn.Flatten(), nn.Linear(24, 3))
    return model, tokens(), cross_entropy


def _tied() -> Any:
    embed, head = nn.Embedding(20, 8), nn.Linear(8, 20, bias=False)
    head.weight = embed.weight
    return nn.Sequential(embed, head), tokens(), lambda m, b: F.cross_entropy(m(b[0]).flatten(0, 1), b[0].flatten())


def _in_place() -> Any:
    return BatchNormCNN(inplace=True), images(), cross_entropy


def _odd_names() -> Any:
    model = nn.Sequential()
    model.add_module("<b>/층 a", nn.Linear(8, 3))
    return model, vectors(), cross_entropy


def _checkpointed() -> Any:
    return Checkpointed(reentrant=False), vectors(), cross_entropy


@pytest.mark.parametrize(
    "make",
    [_empty, _all_nan, _one_element, _half, _sparse, _tied, _in_place, _odd_names, _checkpointed],
    ids=lambda make: make.__name__.removeprefix("_"),
)
def test_rows_13_to_42_through_check(make: Callable[[], Any]) -> None:
    model, batch, loss = make()
    state = torch.get_rng_state()
    report = hw.check(copy.deepcopy(model), batch, loss)
    torch.set_rng_state(state)
    watch = watched(model, batch, loss)
    assert_flows_equal(report.flow, watch.flow)
    for mine, theirs in zip(report.flow.sites, watch.flow.sites, strict=True):
        assert mine.activation == theirs.activation
        assert mine.dead_fraction == theirs.dead_fraction
    assert [gap.id for gap in report.flow.gaps] == [gap.id for gap in watch.flow.gaps]
    assert repr(Flow.from_dict(report.flow.to_dict())) == repr(report.flow)  # NaN equals nothing
