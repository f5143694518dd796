"""The gradient at each time step of a recurrent layer, ∂loss/∂h_t, fused layers too.

A fused layer (``nn.RNN``, ``nn.GRU``, ``nn.LSTM``) runs all its steps in one operation. The gradient at its output is
only the part that arrives from above; what comes back through time stays inside. So the recurrence is computed again on
the side, step by step in float64 with the layer's own weights, and the gradients that arrived at its outputs are sent
through it: what then arrives at h_t is the total.

A cell (``nn.RNNCell``, ``nn.GRUCell``, ``nn.LSTMCell``) needs none of this. Each of its calls is a site of its own, and
the h_t it returns is the very tensor that the next call and the layers above consume: the gradient at that output is
the total already.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from headwater.kernels import generic
from headwater.records import Moments

# Numbers of float64 that the side computation holds for its backward pass at a time: 256 MB.
_HELD = 1 << 25
_HELD_PER_GATE = 4  # of them per gate, sequence and step: the gate's input, and 1.1 (RNN) to 2.8 (GRU) kept by autograd

Gap = Literal["no_gradient", "dropout_mask_unknown"]
State = tuple[Tensor, ...]
"""(h,), or (h, c) of an LSTM."""


@dataclass(frozen=True)
class LayerTime:
    """The gradient through time in one direction of one layer.

    Attributes:
        layer: Which of the stacked layers, from 0.
        reverse: Whether it reads the sequence from its end.
        gradients: Moments of ∂loss/∂h_t by t, in the order of the input whichever way it is read; of nothing where no
            gradient arrives, which is not the same as zero.
    """

    layer: int
    reverse: bool
    gradients: tuple[Moments, ...]

    @property
    def rms(self) -> tuple[float | None, ...]:
        """Rms of ∂loss/∂h_t by t; the meaning is ``reference.time_step_rms``."""
        return tuple(moments.rms for moments in self.gradients)


@dataclass(frozen=True)
class TimeGradients:
    """The gradient through time of a recurrent module, or why it is not known.

    Attributes:
        layers: First layer first, of each the forward direction before the reverse one.
        gap: ``no_gradient`` if none arrived at any output, ``dropout_mask_unknown`` if the units that dropout between
            the layers switched off cannot be found out.
    """

    layers: tuple[LayerTime, ...] = ()
    gap: Gap | None = None


def time_step_gradients(
    module: nn.RNNBase,
    x: Tensor | PackedSequence,
    hx: Tensor | State | None = None,
    grad_output: Tensor | PackedSequence | None = None,
    grad_h_n: Tensor | None = None,
    grad_c_n: Tensor | None = None,
    rng_state: Tensor | None = None,
) -> TimeGradients:
    """The total gradient ∂loss/∂h_t at each time step of each layer and direction.

    Call it with the weights of the forward pass, that is before the optimizer's step. Weights, ``.grad``, random states
    and the graph of the caller are left alone. The steps are computed without the rounding of the module's dtype, and a
    gradient down to 5e-324 is told from zero whatever that dtype is. Where the recurrence is chaotic, rounding alone
    leads the module to other states after some steps than those computed here; they are no less typical.

    Args:
        module: An ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` in any of its settings.
        x: Its input: (time, batch, features), or (batch, time, features) if it is ``batch_first``; (time, features) if
            there is no batch; or packed.
        hx: The initial state it was given: h_0, of an LSTM (h_0, c_0); zeros if ``None``.
        grad_output: ∂loss/∂output, shaped as the output; of a packed output also that of its ``data``.
        grad_h_n: ∂loss/∂h_n, shaped as h_n; ``None`` if h_n is not used.
        grad_c_n: ∂loss/∂c_n of an LSTM, shaped as c_n; ``None`` if c_n is not used.
        rng_state: ``torch.get_rng_state()`` from right before the call. With it the masks of dropout between layers are
            drawn again, on the CPU only: a GPU draws them from a state that cannot be read.

    Returns:
        Moments by layer, direction and time step, in units of the loss over the activation's.

    Raises:
        ValueError: If ``module`` is no recurrent module of torch.

    Source:
        Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063, equations 3 to 5, which split this gradient over time.
    """
    _check_module(module)
    if grad_output is None and grad_h_n is None and grad_c_n is None:
        return TimeGradients(gap="no_gradient")
    layout = _layout(module, x)
    call = _call(module, layout, x, hx, rng_state)
    if call is None:
        return TimeGradients(gap="dropout_mask_unknown")
    call = replace(
        call,
        grad_rows=None if grad_output is None else layout.rows(grad_output),
        grad_final=tuple(None if grad is None else layout.state(grad) for grad in (grad_h_n, grad_c_n)),
    )
    parts = [_gradients(part) for part in _parts(call)]
    return TimeGradients(layers=_layer_times(call.recurrence, [_merged(same) for same in zip(*parts, strict=True)]))


class _Weights(NamedTuple):
    """Weights of one layer in one direction; without biases or a projection these are ``None``."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    hr: Tensor | None


_Advance = Callable[[Tensor, State, _Weights], State]
"""The state after a step, from W_ih x_t + b_ih and the state before it."""


def _advance_lstm(from_input: Tensor, state: State, weights: _Weights) -> State:
    h, c = state
    i, f, g, o = (from_input + linear(h, weights.hh, weights.bias_hh)).chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if weights.hr is None else linear(h, weights.hr)), c


def _advance_gru(from_input: Tensor, state: State, weights: _Weights) -> State:
    (h,) = state
    input_r, input_z, input_n = from_input.chunk(3, dim=1)
    hidden_r, hidden_z, hidden_n = linear(h, weights.hh, weights.bias_hh).chunk(3, dim=1)
    z = (input_z + hidden_z).sigmoid()
    # The reset gate is applied after the product with the weights and to their bias, as cuDNN has it, not before.
    n = (input_n + (input_r + hidden_r).sigmoid() * hidden_n).tanh()
    return ((1 - z) * n + z * h,)


def _advance_tanh(from_input: Tensor, state: State, weights: _Weights) -> State:
    return ((from_input + linear(state[0], weights.hh, weights.bias_hh)).tanh(),)


def _advance_relu(from_input: Tensor, state: State, weights: _Weights) -> State:
    return ((from_input + linear(state[0], weights.hh, weights.bias_hh)).relu(),)


_ADVANCE: dict[str, _Advance] = {
    "LSTM": _advance_lstm,
    "GRU": _advance_gru,
    "RNN_TANH": _advance_tanh,
    "RNN_RELU": _advance_relu,
}


@dataclass(frozen=True)
class _Recurrence:
    """What a module does at each step: weights by layer, of each layer forward before reverse."""

    advance: _Advance
    weights: tuple[_Weights, ...]
    directions: int


@dataclass(frozen=True)
class _Layout:
    """How a module's tensors become rows, step after step and at each step the longest sequences first.

    That is the form a packed sequence has; a plain batch is one whose sequences are all equally long.
    """

    sizes: tuple[int, ...]  # sequences that are still running at each step; never rising
    order: Tensor | None  # of the caller's sequences, the longest first
    batched: bool
    batch_first: bool

    def rows(self, sequence: Tensor | PackedSequence) -> Tensor:
        """An input, an output or its gradient as (sum of sizes, features)."""
        if isinstance(sequence, PackedSequence):
            return generic.plain(sequence.data)
        values = generic.plain(sequence)
        return (values.transpose(0, 1) if self.batch_first else values).reshape(-1, values.shape[-1])

    def state(self, state: Tensor) -> Tensor:
        """A state or its gradient as (layers · directions, batch, features), sequences in the order of the rows."""
        values = generic.plain(state) if self.batched else generic.plain(state).unsqueeze(1)
        return values if self.order is None else values[:, self.order.to(values.device)]


@dataclass(frozen=True)
class _Call:
    """One call of a recurrent module, and the gradients that came back to it."""

    recurrence: _Recurrence
    sizes: tuple[int, ...]
    rows: Tensor
    initial: State
    masks: tuple[Tensor, ...]
    grad_rows: Tensor | None = None
    grad_final: tuple[Tensor | None, ...] = ()

    def only(self, start: int, stop: int) -> "_Call":
        """The same call with some of its sequences, in float64; no sequence knows of another."""

        def rows(values: Tensor) -> Tensor:
            return torch.cat([step[start:stop] for step in values.split(self.sizes)]).to(torch.float64)

        def states(values: Tensor) -> Tensor:
            return values[:, start:stop].to(torch.float64)

        return replace(
            self,
            sizes=tuple(max(0, min(size, stop) - start) for size in self.sizes),
            rows=rows(self.rows),
            initial=tuple(states(state) for state in self.initial),
            masks=tuple(rows(mask) for mask in self.masks),
            grad_rows=None if self.grad_rows is None else rows(self.grad_rows),
            grad_final=tuple(None if grad is None else states(grad) for grad in self.grad_final),
        )


class _Trajectory(NamedTuple):
    """What a module computes: its output, and by layer and direction h_t by t and the state after the last step."""

    output: Tensor
    hidden: list[list[Tensor]]
    final: list[State]


def _check_module(module: nn.RNNBase) -> None:
    if not isinstance(module, nn.RNNBase) or module.mode not in _ADVANCE:
        raise ValueError(
            f"time steps are known of nn.RNN, nn.GRU and nn.LSTM, got {type(module).__name__}. A cell needs no "
            "recomputation: the gradient at the output of each of its calls is the one of that step."
        )


def _layout(module: nn.RNNBase, x: Tensor | PackedSequence) -> _Layout:
    if isinstance(x, PackedSequence):
        return _Layout(tuple(x.batch_sizes.tolist()), x.sorted_indices, batched=True, batch_first=False)
    if x.dim() == 2:
        return _Layout((1,) * x.shape[0], order=None, batched=False, batch_first=False)
    batch, time = x.shape[:2] if module.batch_first else (x.shape[1], x.shape[0])
    return _Layout((batch,) * time, order=None, batched=True, batch_first=module.batch_first)


def _call(
    module: nn.RNNBase,
    layout: _Layout,
    x: Tensor | PackedSequence,
    hx: Tensor | State | None,
    rng_state: Tensor | None,
) -> _Call | None:
    """The call as it was made, ``None`` if what dropout did in it cannot be found out."""
    masks = _dropout_masks(module, sum(layout.sizes), rng_state)
    if masks is None:
        return None
    return _Call(_recurrence(module), layout.sizes, layout.rows(x), _initial_state(module, layout, hx), masks)


def _recurrence(module: nn.RNNBase) -> _Recurrence:
    # What the fused operation was called with. To read the attributes instead would compute a parametrised weight anew,
    # which takes the power iteration of a spectral norm further.
    flat = dict(zip(module._flat_weights_names, module._flat_weights, strict=True))
    used = {name: generic.plain(weight).to(torch.float64) for name, weight in flat.items() if weight is not None}

    def weights(suffix: str) -> _Weights:
        return _Weights(
            ih=used[f"weight_ih_{suffix}"],
            hh=used[f"weight_hh_{suffix}"],
            bias_ih=used.get(f"bias_ih_{suffix}"),
            bias_hh=used.get(f"bias_hh_{suffix}"),
            hr=used.get(f"weight_hr_{suffix}"),
        )

    ways = ("", "_reverse") if module.bidirectional else ("",)
    return _Recurrence(
        advance=_ADVANCE[module.mode],
        weights=tuple(weights(f"l{layer}{way}") for layer in range(module.num_layers) for way in ways),
        directions=len(ways),
    )


def _initial_state(module: nn.RNNBase, layout: _Layout, hx: Tensor | State | None) -> State:
    if hx is not None:
        return tuple(layout.state(state) for state in ((hx,) if isinstance(hx, Tensor) else hx))
    count = module.num_layers * (2 if module.bidirectional else 1)
    widths = (module.proj_size or module.hidden_size, module.hidden_size)[: 2 if module.mode == "LSTM" else 1]
    batch = layout.sizes[0] if layout.sizes else 0
    device = generic.plain(next(module.parameters())).device
    return tuple(torch.zeros(count, batch, width, dtype=torch.float64, device=device) for width in widths)


def _dropout_masks(module: nn.RNNBase, rows: int, rng_state: Tensor | None) -> tuple[Tensor, ...] | None:
    """What dropout multiplies the output of each layer but the last by; ``None`` if that cannot be found out."""
    gaps = module.num_layers - 1
    if not module.training or not module.dropout or not gaps:
        return ()
    weight = generic.plain(next(module.parameters()))
    shape = rows, (module.proj_size or module.hidden_size) * (2 if module.bidirectional else 1)
    if module.dropout == 1:
        return (torch.zeros(shape, device=weight.device),) * gaps
    if rng_state is None or weight.device.type != "cpu":
        return None
    generator = torch.Generator()
    generator.set_state(rng_state)
    keep = 1 - module.dropout
    # Divided in the module's dtype as dropout does it: 1 / keep is rounded.
    return tuple(
        torch.empty(shape, dtype=weight.dtype).bernoulli_(keep, generator=generator).div_(keep) for _ in range(gaps)
    )


def _parts(call: _Call) -> Iterator[_Call]:
    """The call in parts of a few sequences, so that what is kept for the backward pass stays bounded."""
    gates = sum(weights.hh.shape[0] for weights in call.recurrence.weights)
    most = max(1, _HELD // (_HELD_PER_GATE * max(1, gates * len(call.sizes))))
    batch = call.initial[0].shape[1]
    return (call.only(start, min(start + most, batch)) for start in range(0, max(1, batch), most))


def _gradients(call: _Call) -> list[list[Moments]]:
    """Moments of ∂loss/∂h_t by layer and direction, then by t."""
    with torch.inference_mode(False), torch.enable_grad():
        # Nothing else asks for a gradient here: the graph starts at the initial state, on which every h_t depends.
        initial = tuple(state.detach().clone().requires_grad_() for state in call.initial)
        trajectory = _trajectory(replace(call, initial=initial))
        arrivals = list(_arrivals(call, trajectory))
        gradients = torch.autograd.grad(
            outputs=[output for output, _ in arrivals],
            inputs=[h for hidden in trajectory.hidden for h in hidden],
            grad_outputs=[gradient for _, gradient in arrivals],
            allow_unused=True,
        )
    moments = iter([Moments() if gradient is None else generic.moments(gradient) for gradient in gradients])
    return [[next(moments) for _ in hidden] for hidden in trajectory.hidden]


def _arrivals(call: _Call, trajectory: _Trajectory) -> Iterator[tuple[Tensor, Tensor]]:
    """The outputs that a gradient came back to, each with its gradient."""
    if call.grad_rows is not None:
        yield trajectory.output, call.grad_rows
    for index, gradient in enumerate(call.grad_final):
        if gradient is not None:
            yield from zip([state[index] for state in trajectory.final], gradient, strict=True)


def _trajectory(call: _Call) -> _Trajectory:
    directions = call.recurrence.directions
    rows, hidden, final = call.rows, [], []
    for index, weights in enumerate(call.recurrence.weights):
        initial = tuple(state[index] for state in call.initial)
        layer, reverse = index // directions, index % directions == 1
        steps, last = _scan(call.recurrence.advance, weights, rows, call.sizes, initial, reverse)
        hidden.append(steps)
        final.append(last)
        if len(hidden) % directions == 0:  # all directions of this layer have read its input
            rows = torch.cat([torch.cat(one_way) for one_way in hidden[-directions:]], dim=1)
            rows = rows * call.masks[layer] if layer < len(call.masks) else rows
    return _Trajectory(rows, hidden, final)


def _scan(
    advance: _Advance, weights: _Weights, rows: Tensor, sizes: tuple[int, ...], state: State, reverse: bool
) -> tuple[list[Tensor], State]:
    """Every h_t in the order of t, and the state after the last step taken.

    Forward, a sequence that has ended keeps its state; in reverse, one that has not begun keeps its initial state. At
    each step both stand behind those that are running.
    """
    from_input = linear(rows, weights.ih, weights.bias_ih).split(sizes)
    hidden: dict[int, Tensor] = {}
    for t in sorted(range(len(sizes)), reverse=reverse):
        running = advance(from_input[t], tuple(part[: sizes[t]] for part in state), weights)
        hidden[t] = running[0]
        state = tuple(_before_the_rest(new, old) for new, old in zip(running, state, strict=True))
    return [hidden[t] for t in range(len(sizes))], state


def _before_the_rest(new: Tensor, old: Tensor) -> Tensor:
    return new if len(new) == len(old) else torch.cat([new, old[len(new) :]])


def _merged(parts: tuple[list[Moments], ...]) -> tuple[Moments, ...]:
    """Of each time step the moments over all parts of the batch."""
    return tuple(Moments.merge_all(step) for step in zip(*parts, strict=True))


def _layer_times(recurrence: _Recurrence, moments: list[tuple[Moments, ...]]) -> tuple[LayerTime, ...]:
    return tuple(
        LayerTime(layer=index // recurrence.directions, reverse=index % recurrence.directions == 1, gradients=steps)
        for index, steps in enumerate(moments)
    )
