"""How many gates of a recurrent layer lie in their flat ends, told from the scale of what goes into them."""

import math

from headwater.records import Flow, ParameterFlow, SiteFlow

# Gates that a sigmoid opens, and values that tanh bounds, per unit (Hochreiter and Schmidhuber 1997, Cho et al. 2014).
_GATES = {"GRU": (2, 1), "GRUCell": (2, 1), "LSTM": (3, 1), "LSTMCell": (3, 1)}
# Where the derivative is 5 % of its largest: σ′(z) = 0.05/4 at |z| = 4.357, 1 - tanh²(z) = 0.05 at |z| = 2.180.
SIGMOID_FLAT = math.log((1 + math.sqrt(0.95)) / (1 - math.sqrt(0.95)))
TANH_FLAT = SIGMOID_FLAT / 2


def flat_share(row: SiteFlow, flow: Flow) -> float | None:
    """Share of a GRU's or LSTM's gates with a slope below 5 % of its largest, ``None`` for other sites.

    PyTorch computes the gates where nobody sees them. What goes into them is taken as normally distributed, with the
    variance that input and state of their rms give through weights of theirs, all independent; biases are left out.
    Weights that have learnt may be aligned with their input, so the share tells orders of magnitude, no percents.
    """
    if row.site.op not in _GATES or row.input is None or row.input.rms is None:
        return None
    weights = [parameter for parameter in flow.parameters if parameter.name in row.site.parameters]
    of_input = [_variance(p, row.input.rms) for p in weights if _is_first(p, "weight_ih")]
    of_state = [_variance(p, row.activation.rms or 0.0) for p in weights if _is_first(p, "weight_hh")]
    if not of_input or not of_state:
        return None
    spread = math.sqrt(min(of_input) + min(of_state))
    if not spread or not math.isfinite(spread):
        return None
    sigmoids, tanhs = _GATES[row.site.op]
    beyond = sigmoids * _share_beyond(SIGMOID_FLAT / spread) + tanhs * _share_beyond(TANH_FLAT / spread)
    return beyond / (sigmoids + tanhs)


def _is_first(parameter: ParameterFlow, kind: str) -> bool:
    """Whether it belongs to the first of stacked layers, in either direction, or to a cell."""
    return parameter.name.rpartition(".")[2] in (kind, f"{kind}_l0", f"{kind}_l0_reverse")


def _variance(weight: ParameterFlow, rms: float) -> float:
    """Of a sum over the last axis of weights times inputs of that rms."""
    return weight.shape[-1] * ((weight.value.rms or 0.0) * rms) ** 2


def _share_beyond(sigmas: float) -> float:
    return math.erfc(sigmas / math.sqrt(2.0))
