"""The gradient through time equals what a loop over cells finds that holds on to every h_t."""

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

from headwater.kernels import reference
from headwater.probes import recurrent
from headwater.probes.recurrent import TimeGradients, time_step_gradients
from headwater.records import Moments

TOLERANCE = 1e-10
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
TIME, BATCH, FEATURES, HIDDEN = 7, 3, 5, 4

Rms = list[tuple[float | None, ...]]


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@dataclass
class Loop:
    """A recurrent module as a loop over the cells of torch, one sequence after the other.

    Attributes:
        module: Whose weights to use.
        masks: What dropout multiplies the outputs of each layer but the last by, (batch, time, width).
        hidden: Every h_t, by layer and direction, then t, then sequence.
    """

    module: nn.RNNBase
    masks: list[Tensor] = field(default_factory=list)
    hidden: list[list[list[Tensor]]] = field(default_factory=list)

    def __call__(self, sequences: list[Tensor], states: tuple[Tensor, ...]) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Outputs of sequences of (time, features), and last states shaped as ``states``."""
        self.hidden = [[[] for _ in range(max(map(len, sequences)))] for _ in states[0]]
        outputs, finals = [], []
        for index, rows in enumerate(sequences):
            output, final = self._run(index, rows, tuple(state[:, index : index + 1] for state in states))
            outputs.append(output)
            finals.append(final)
        return outputs, tuple(torch.cat(part, dim=1) for part in zip(*finals, strict=True))

    def _run(self, index: int, rows: Tensor, initial: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        final: list[tuple[Tensor, ...]] = []
        for layer in range(self.module.num_layers):
            read = []
            for way in ["", "_reverse"] if self.module.bidirectional else [""]:
                steps, state = self._scan(f"l{layer}{way}", rows, tuple(part[len(final)] for part in initial))
                for t, h in enumerate(steps):
                    self.hidden[len(final)][t].append(h)
                final.append(state)
                read.append(torch.cat(steps))
            rows = torch.cat(read, dim=1)
            rows = rows * self.masks[layer][index] if layer < len(self.masks) else rows
        return rows, tuple(torch.stack(part) for part in zip(*final, strict=True))

    def gradient_rms(self) -> Rms:
        """Rms of ∂loss/∂h_t by layer and direction, then t, after a backward pass."""
        return [tuple(_grad_rms(step) for step in steps) for steps in self.hidden]

    def _scan(self, name: str, rows: Tensor, state: tuple[Tensor, ...]) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        weights = {
            key.removesuffix(f"_{name}"): value.detach()
            for key, value in self.module.named_parameters()
            if key.endswith(f"_{name}")
        }
        steps: dict[int, Tensor] = {}
        for t in sorted(range(len(rows)), reverse=name.endswith("reverse")):
            state = self._step(rows[t : t + 1], state, weights)
            state[0].requires_grad_().retain_grad()
            steps[t] = state[0]
        return [steps[t] for t in range(len(rows))], state

    def _step(self, x: Tensor, state: tuple[Tensor, ...], weights: dict[str, Tensor]) -> tuple[Tensor, ...]:
        mode, size = self.module.mode, {"bias": self.module.bias, "dtype": x.dtype, "device": x.device}
        if mode == "LSTM" and self.module.proj_size:
            return projected_lstm(x, state, weights)
        if mode == "LSTM":
            h, c = functional_call(nn.LSTMCell(x.shape[1], self.module.hidden_size, **size), weights, (x, state))
            return h, c
        if mode == "GRU":
            return (functional_call(nn.GRUCell(x.shape[1], self.module.hidden_size, **size), weights, (x, *state)),)
        cell = nn.RNNCell(x.shape[1], self.module.hidden_size, nonlinearity=mode[4:].lower(), **size)
        return (functional_call(cell, weights, (x, *state)),)


def projected_lstm(x: Tensor, state: tuple[Tensor, ...], w: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Torch has no such cell; Sak, Senior, Beaufays 2014, arXiv:1402.1128, without its peepholes."""
    h, c = state
    zero = torch.zeros((), dtype=x.dtype)
    gates = x @ w["weight_ih"].T + w.get("bias_ih", zero) + h @ w["weight_hh"].T + w.get("bias_hh", zero)
    i, f, g, o = gates.split(gates.shape[1] // 4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return (torch.sigmoid(o) * torch.tanh(c)) @ w["weight_hr"].T, c


def _grad_rms(step: list[Tensor]) -> float | None:
    gradients = [h.grad for h in step]
    if any(gradient is None for gradient in gradients):
        return None
    return reference.time_step_rms(np.stack([torch.cat(gradients).double().cpu().numpy()]))[0]


def normal(*shape: int, like: Tensor | None = None, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values if like is None else values.to(like)


def made(kind: type[nn.RNNBase], dtype: torch.dtype = torch.float64, **settings: Any) -> nn.RNNBase:
    return kind(FEATURES, HIDDEN, dtype=dtype, **settings)


def states_of(module: nn.RNNBase, batch: int, seed: int = 2) -> tuple[Tensor, ...]:
    """A random initial state."""
    count = module.num_layers * (2 if module.bidirectional else 1)
    widths = (module.proj_size or HIDDEN, HIDDEN)[: 2 if module.mode == "LSTM" else 1]
    weight = next(module.parameters())
    return tuple(normal(count, batch, width, like=weight, seed=seed + i) for i, width in enumerate(widths))


def as_hx(states: tuple[Tensor, ...]) -> Any:
    return states if len(states) == 2 else states[0]


def assert_same(found: TimeGradients, wanted: Rms, tolerance: float = TOLERANCE) -> None:
    assert found.gap is None
    assert len(found.layers) == len(wanted)
    for layer, steps in zip(found.layers, wanted, strict=True):
        assert layer.rms == tuple(None if rms is None else pytest.approx(rms, rel=tolerance, abs=0.0) for rms in steps)


MODULES: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
    "rnn": (nn.RNN, {}),
    "rnn relu": (nn.RNN, {"nonlinearity": "relu"}),
    "lstm no bias": (nn.LSTM, {"bias": False}),
    "gru no bias": (nn.GRU, {"bias": False}),
    "lstm deep both ways": (nn.LSTM, {"num_layers": 3, "bidirectional": True}),
    "gru deep both ways": (nn.GRU, {"num_layers": 2, "bidirectional": True, "bias": False}),
    "rnn deep both ways": (nn.RNN, {"num_layers": 2, "bidirectional": True}),
    "lstm projected": (nn.LSTM, {"proj_size": 3}),
    "lstm projected deep both ways": (nn.LSTM, {"proj_size": 2, "num_layers": 2, "bidirectional": True, "bias": False}),
    "lstm eval dropout": (nn.LSTM, {"num_layers": 2, "dropout": 0.5}),
}
every_module = pytest.mark.parametrize(("kind", "settings"), MODULES.values(), ids=MODULES.keys())


def outputs_of(module: nn.RNNBase, x: Any, hx: Any) -> tuple[Any, tuple[Tensor, ...]]:
    output, final = module(x, hx)
    return output, (final if isinstance(final, tuple) else (final,))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@every_module
def test_gradients_are_those_of_a_loop_over_cells(
    kind: type[nn.RNNBase], settings: dict[str, Any], batch_first: bool, device: str
) -> None:
    module = made(kind, batch_first=batch_first, **settings).eval().to(device)
    x, states = normal(TIME, BATCH, FEATURES), states_of(module, BATCH)
    loop = Loop(module)
    outputs, final = loop(list(x.to(device).unbind(1)), states)
    given = (x.transpose(0, 1) if batch_first else x).to(device)
    module_output, module_final = outputs_of(module, given, as_hx(states))
    torch.testing.assert_close(module_output, torch.stack(outputs, dim=0 if batch_first else 1))
    torch.testing.assert_close(module_final, final)
    grads = [torch.randn_like(part) for part in (module_output, *module_final)]
    of_loop = [grads[0].transpose(0, 1) if not batch_first else grads[0], *grads[1:]]
    torch.autograd.backward([torch.stack(outputs), *final], of_loop)
    assert_same(time_step_gradients(module, given, as_hx(states), *grads), loop.gradient_rms())


@every_module
def test_what_is_recomputed_is_what_the_module_computes(kind: type[nn.RNNBase], settings: dict[str, Any]) -> None:
    module = made(kind, **settings).eval()
    x, states = normal(TIME, BATCH, FEATURES), states_of(module, BATCH)
    for hx in (None, as_hx(states)):
        output, final = outputs_of(module, x, hx)
        rows, last = recomputed(module, x, hx)
        torch.testing.assert_close(rows.reshape(output.shape), output, rtol=TOLERANCE, atol=TOLERANCE)
        torch.testing.assert_close(last, final, rtol=TOLERANCE, atol=TOLERANCE)


def recomputed(
    module: nn.RNNBase, x: Any, hx: Any = None, rng_state: Tensor | None = None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    call = recurrent._call(module, recurrent._layout(module, x), x, hx, rng_state)
    assert call is not None
    trajectory = recurrent._trajectory(call.only(0, call.initial[0].shape[1]))
    return trajectory.output, tuple(torch.stack(part) for part in zip(*trajectory.final, strict=True))


@every_module
def test_steps_when_only_the_last_state_is_used(kind: type[nn.RNNBase], settings: dict[str, Any]) -> None:
    module = made(kind, **settings).eval()
    x, states = normal(TIME, BATCH, FEATURES), states_of(module, BATCH)
    for used in range(len(states)):  # h_n, then the c_n of an LSTM
        loop = Loop(module)
        _, final = loop(list(x.unbind(1)), states)
        gradient = torch.randn_like(final[used])
        final[used].backward(gradient)
        grads: list[Tensor | None] = [None, None, None]
        grads[1 + used] = gradient
        assert_same(time_step_gradients(module, x, as_hx(states), *grads), loop.gradient_rms())


@pytest.mark.parametrize("enforce_sorted", [True, False], ids=["sorted", "unsorted"])
@every_module
def test_gradients_when_packed(kind: type[nn.RNNBase], settings: dict[str, Any], enforce_sorted: bool) -> None:
    module = made(kind, **settings).eval()
    lengths = [7, 4, 4, 1] if enforce_sorted else [4, 1, 7, 4]
    sequences = [normal(length, FEATURES, seed=i) for i, length in enumerate(lengths)]
    packed = pack_sequence(sequences, enforce_sorted=enforce_sorted)
    states = states_of(module, len(lengths))
    loop = Loop(module)
    outputs, final = loop(sequences, states)
    module_output, module_final = outputs_of(module, packed, as_hx(states))
    padded, _ = pad_packed_sequence(module_output, batch_first=True)
    torch.testing.assert_close([p[: len(o)] for p, o in zip(padded, outputs, strict=True)], outputs)
    rows, last = recomputed(module, packed, as_hx(states))
    torch.testing.assert_close(rows, module_output.data, rtol=TOLERANCE, atol=TOLERANCE)
    order = torch.arange(len(lengths)) if enforce_sorted else packed.sorted_indices
    torch.testing.assert_close(last, tuple(part[:, order] for part in module_final))
    by_sequence = [torch.randn_like(output) for output in outputs]
    of_state = [torch.randn_like(part) for part in final]
    torch.autograd.backward([*outputs, *final], [*by_sequence, *of_state])
    grad_output = pack_sequence(by_sequence, enforce_sorted=enforce_sorted)
    assert_same(time_step_gradients(module, packed, as_hx(states), grad_output, *of_state), loop.gradient_rms())
    assert_same(time_step_gradients(module, packed, as_hx(states), grad_output.data, *of_state), loop.gradient_rms())


@every_module
def test_gradients_when_there_is_no_batch(kind: type[nn.RNNBase], settings: dict[str, Any]) -> None:
    module = made(kind, batch_first=True, **settings).eval()  # which says nothing where there is no batch
    x, states = normal(TIME, FEATURES), states_of(module, 1)
    alone = tuple(state[:, 0] for state in states)
    loop = Loop(module)
    outputs, final = loop([x], states)
    module_output, module_final = outputs_of(module, x, as_hx(alone))
    torch.testing.assert_close(module_output, outputs[0])
    grads = [torch.randn_like(part) for part in (module_output, *module_final)]
    torch.autograd.backward([*outputs, *final], [grads[0], *(grad.unsqueeze(1) for grad in grads[1:])])
    assert_same(time_step_gradients(module, x, as_hx(alone), *grads), loop.gradient_rms())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@every_module
def test_gradients_when_the_module_is_less_than_float64(
    kind: type[nn.RNNBase], settings: dict[str, Any], dtype: torch.dtype
) -> None:
    module = made(kind, dtype, **settings).eval()
    x, states = normal(TIME, BATCH, FEATURES).to(dtype), states_of(module, BATCH)
    loop = Loop(copy.deepcopy(module).double())
    outputs, final = loop(list(x.double().unbind(1)), tuple(state.double() for state in states))
    grads = [torch.randn_like(part).to(dtype) for part in (torch.stack(outputs, dim=1), *final)]
    torch.autograd.backward([torch.stack(outputs, dim=1), *final], [grad.double() for grad in grads])
    assert_same(time_step_gradients(module, x, as_hx(states), *grads), loop.gradient_rms())


class TestDecay:
    """A loss at the end of 200 steps, weights so small that float32 keeps nothing of the gradient."""

    time = 200

    def module(self, kind: type[nn.RNNBase]) -> nn.RNNBase:
        module = made(kind, torch.float32)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if name.startswith("weight_hh"):
                    weight.mul_(0.5)
            if kind is not nn.RNN:
                # The forget gate of an LSTM and the update gate of a GRU, shut: open ones would carry the gradient on.
                module.bias_ih_l0[HIDDEN : 2 * HIDDEN] -= 3.0
        return module

    def of_loop(self, module: nn.RNNBase, x: Tensor, gradient: Tensor) -> tuple[float | None, ...]:
        loop = Loop(module)
        _, final = loop(list(x.unbind(1)), tuple(torch.zeros_like(s) for s in states_of(module, BATCH)))
        final[0].backward(gradient)
        return loop.gradient_rms()[0]

    @pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
    def test_steps_keep_their_exponents(self, kind: type[nn.RNNBase]) -> None:
        x, gradient = normal(self.time, BATCH, FEATURES).float(), normal(1, BATCH, HIDDEN, seed=9).float()
        module = self.module(kind)
        in_float32 = self.of_loop(module, x, gradient)
        in_float64 = self.of_loop(copy.deepcopy(module).double(), x.double(), gradient.double())
        assert in_float32[0] == 0.0, "float32 keeps it: the test shows nothing"
        assert in_float64[0] is not None
        assert 0.0 < in_float64[0] < 1e-60
        found = time_step_gradients(module, x, grad_h_n=gradient)
        assert_same(found, [in_float64])


def test_sequences_in_parts_are_those_together(monkeypatch: pytest.MonkeyPatch) -> None:
    module = made(nn.LSTM, num_layers=2, bidirectional=True)
    packed = pack_sequence([normal(length, FEATURES, seed=length) for length in (7, 6, 6, 4, 2, 1)])
    output, (h_n, c_n) = module(packed)
    grads = torch.randn_like(output.data), torch.randn_like(h_n), torch.randn_like(c_n)
    together = time_step_gradients(module, packed, None, *grads)
    for most in (1, 4):
        gates = sum(weights.hh.shape[0] for weights in recurrent._recurrence(module).weights)
        monkeypatch.setattr(recurrent, "_HELD", most * recurrent._HELD_PER_GATE * gates * 7)
        call = recurrent._call(module, recurrent._layout(module, packed), packed, None, None)
        assert call is not None
        assert [part.initial[0].shape[1] for part in recurrent._parts(call)] == {1: [1] * 6, 4: [4, 2]}[most]
        assert_same(time_step_gradients(module, packed, None, *grads), [layer.rms for layer in together.layers])


def test_layers_say_which_they_are() -> None:
    module = made(nn.GRU, num_layers=2, bidirectional=True)
    x = normal(TIME, BATCH, FEATURES)
    found = time_step_gradients(module, x, grad_output=torch.ones_like(module(x)[0]))
    assert [(layer.layer, layer.reverse) for layer in found.layers] == [(0, False), (0, True), (1, False), (1, True)]
    assert [len(layer.gradients) for layer in found.layers] == [TIME] * 4
    assert [step.count for step in found.layers[0].gradients] == [BATCH * HIDDEN] * TIME


def test_a_direction_no_gradient_reaches_has_none() -> None:
    module = made(nn.RNN, bidirectional=True)
    x = normal(TIME, BATCH, FEATURES)
    gradient = torch.zeros_like(module(x)[1])
    gradient[0] = 1.0
    zero = time_step_gradients(module, x, grad_h_n=gradient)
    assert zero.layers[1].rms == (0.0,) * TIME
    assert time_step_gradients(module, x) == TimeGradients(gap="no_gradient")


class TestDropout:
    """Between layers while training the masks are drawn again, or it is said that they are not known."""

    def train(self, kind: type[nn.RNNBase], dtype: torch.dtype = torch.float64, **settings: Any) -> nn.RNNBase:
        return made(kind, dtype, num_layers=3, **{"dropout": 0.3, **settings}).train()

    @pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
    def test_gradients_when_the_random_state_is_known(self, kind: type[nn.RNNBase], both: bool) -> None:
        module = self.train(kind, bidirectional=both, batch_first=True)
        x = normal(BATCH, 50, FEATURES)
        state = torch.get_rng_state()
        output, final = outputs_of(module, x, None)
        rows, last = recomputed(module, x, None, state)
        torch.testing.assert_close(rows.reshape(50, BATCH, -1).transpose(0, 1), output, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(last, final, rtol=TOLERANCE, atol=TOLERANCE)
        masks = [mask.reshape(50, BATCH, -1).transpose(0, 1) for mask in self.masks(module, x, state)]
        loop = Loop(module, masks=masks)
        outputs, _ = loop(list(x), tuple(torch.zeros_like(s) for s in states_of(module, BATCH)))
        gradient = torch.randn_like(output)
        torch.stack(outputs).backward(gradient)
        assert_same(time_step_gradients(module, x, None, gradient, rng_state=state), loop.gradient_rms())

    def masks(self, module: nn.RNNBase, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        call = recurrent._call(module, recurrent._layout(module, x), x, None, state)
        assert call is not None
        assert 0.1 < float((call.masks[0] == 0).double().mean()) < 0.5
        return call.masks

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
    def test_masks_are_drawn_again_whatever_the_dtype(self, kind: type[nn.RNNBase], dtype: torch.dtype) -> None:
        module = self.train(kind, dtype)
        x = normal(50, BATCH, FEATURES).to(dtype)
        state = torch.get_rng_state()
        output, _ = module(x)
        rows, _ = recomputed(module, x, None, state)
        close = 1e-5 if dtype is torch.float32 else 0.05
        torch.testing.assert_close(rows.reshape(output.shape), output.double(), rtol=close, atol=close)

    def test_masks_are_drawn_again_when_packed(self) -> None:
        module = self.train(nn.GRU)
        packed = pack_sequence([normal(length, FEATURES, seed=length) for length in (3, 7, 5)], enforce_sorted=False)
        state = torch.get_rng_state()
        output, _ = module(packed)
        rows, _ = recomputed(module, packed, None, state)
        torch.testing.assert_close(rows, output.data, rtol=TOLERANCE, atol=TOLERANCE)

    def test_everything_is_dropped_when_the_rate_is_one(self) -> None:
        module = self.train(nn.GRU, dropout=1.0)
        x = normal(TIME, BATCH, FEATURES)
        output, _ = module(x)
        rows, _ = recomputed(module, x)
        torch.testing.assert_close(rows.reshape(output.shape), output, rtol=TOLERANCE, atol=TOLERANCE)
        found = time_step_gradients(module, x, grad_output=torch.ones_like(output))
        assert found.layers[0].rms == (0.0,) * TIME
        assert found.layers[2].rms[0] != 0.0

    def test_gap_when_the_masks_are_not_known(self) -> None:
        module = self.train(nn.LSTM)
        x = normal(TIME, BATCH, FEATURES)
        gradient = torch.ones_like(module(x)[0])
        assert time_step_gradients(module, x, grad_output=gradient) == TimeGradients(gap="dropout_mask_unknown")
        assert time_step_gradients(module.eval(), x, grad_output=gradient).gap is None

    @pytest.mark.filterwarnings("ignore:dropout option adds dropout")
    def test_no_gap_when_there_is_nothing_between_layers(self) -> None:
        module = made(nn.LSTM, dropout=0.5).train()
        x = normal(TIME, BATCH, FEATURES)
        assert time_step_gradients(module, x, grad_output=torch.ones_like(module(x)[0])).gap is None


def everything(module: nn.Module, tensors: list[Tensor]) -> Iterator[Any]:
    yield random.getstate()
    yield torch.get_rng_state()
    for tensor in [*module.parameters(), *tensors]:
        yield tensor.detach().clone(), tensor._version, tensor.requires_grad
        yield None if not tensor.is_leaf or tensor.grad is None else tensor.grad.clone()


def test_nothing_of_the_caller_moves() -> None:
    module = made(nn.LSTM, num_layers=2, dropout=0.2).train()
    x = normal(TIME, BATCH, FEATURES).requires_grad_()
    h0, c0 = (state.requires_grad_() for state in states_of(module, BATCH))
    state = torch.get_rng_state()
    output, (h_n, c_n) = module(x, (h0, c0))
    output.square().mean().backward(retain_graph=True)
    before = list(everything(module, [x, h0, c0]))
    for _ in range(2):
        time_step_gradients(
            module, x, (h0, c0), torch.ones_like(output), torch.ones_like(h_n), torch.ones_like(c_n), state
        )
    torch.testing.assert_close(list(everything(module, [x, h0, c0])), before, rtol=0, atol=0)
    output.square().mean().backward()  # the caller's graph is still whole


def test_gradients_are_found_inside_no_grad_and_during_a_backward_pass() -> None:
    module = made(nn.GRU)
    x = normal(TIME, BATCH, FEATURES)
    output, _ = module(x)
    gradient = torch.randn_like(output)
    wanted = [layer.rms for layer in time_step_gradients(module, x, grad_output=gradient).layers]
    with torch.no_grad():
        assert_same(time_step_gradients(module, x, grad_output=gradient), wanted)
    with torch.inference_mode():
        assert_same(time_step_gradients(module, x, grad_output=gradient), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same(time_step_gradients(module, x, grad_output=gradient), wanted)
    inside: list[TimeGradients] = []
    output.register_hook(lambda arrived: inside.append(time_step_gradients(module, x, grad_output=arrived)))
    output.backward(gradient)
    assert_same(inside[0], wanted)


def test_weights_are_those_the_module_ran_with() -> None:
    module = nn.utils.parametrizations.spectral_norm(made(nn.RNN), "weight_hh_l0").train()
    x = normal(TIME, BATCH, FEATURES)
    output, _ = module(x)
    before = copy.deepcopy(module.state_dict())
    rows, _ = recomputed(module, x)
    torch.testing.assert_close(rows.reshape(output.shape), output.detach(), rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_gradients_when_the_batch_is_empty() -> None:
    module = made(nn.GRU)
    x = torch.empty(TIME, 0, FEATURES, dtype=torch.float64)
    found = time_step_gradients(module, x, grad_output=torch.empty(TIME, 0, HIDDEN, dtype=torch.float64))
    assert found.layers[0].gradients == (Moments(),) * TIME


def test_gradients_that_are_not_finite_are_counted() -> None:
    module = made(nn.RNN)
    x = normal(TIME, BATCH, FEATURES)
    gradient = torch.ones_like(module(x)[0])
    gradient[3, 1] = torch.nan
    found = time_step_gradients(module, x, grad_output=gradient).layers[0].gradients
    assert [step.nan_count for step in found] == [HIDDEN] * 4 + [0] * 3


def test_error_says_what_a_cell_needs() -> None:
    with pytest.raises(ValueError, match=r"got LSTMCell\. A cell needs no recomputation"):
        time_step_gradients(nn.LSTMCell(2, 2), torch.zeros(1, 1, 2))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_gradient_at_a_cells_output_is_already_the_total(kind: type[nn.RNNBase]) -> None:
    """What the module's documentation says of cells: a hook on what each call returns sees all of it."""
    module = made(kind)
    cell = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}[kind](FEATURES, HIDDEN, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in module.named_parameters()})
    x, state, seen, outputs = normal(TIME, BATCH, FEATURES), None, [], []
    for step in x:
        state = cell(step, state)
        h = state[0] if kind is nn.LSTM else state
        h.register_hook(seen.append)
        outputs.append(h)
    gradient = normal(TIME, BATCH, HIDDEN, seed=5)
    torch.stack(outputs).backward(gradient)
    wanted = reference.time_step_rms(torch.stack(seen[::-1]).numpy())
    assert_same(time_step_gradients(module, x, grad_output=gradient), [wanted])


def test_packed_input_without_a_gradient_of_its_own_shape() -> None:
    module = made(nn.LSTM)
    packed = pack_sequence([normal(3, FEATURES), normal(2, FEATURES)])
    output, (h_n, _) = module(packed)
    assert isinstance(output, PackedSequence)
    found = time_step_gradients(module, packed, grad_h_n=torch.ones_like(h_n))
    assert [step.count for step in found.layers[0].gradients] == [2 * HIDDEN, 2 * HIDDEN, HIDDEN]
