"""The state of an activation, read by the compiled kernel, is what ``reference`` makes of φ′ element by element."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from headwater.kernels import reference
from headwater.probes import activation_state as module
from headwater.probes.activation_state import ActivationState, activation_state
from headwater.theory import ACTIVATIONS
from tests.kernels.cases import FORMATS, INF, NAN, NARROW, Format, any_bits, as_numpy, blocks_of_bits, normal

DTYPES = [torch.float64, *NARROW]
KINKED = {"relu", "leaky_relu", "prelu", "relu6", "hardtanh", "identity"}
"""φ′ takes a few values only, and nothing is lost of them."""
INTERPOLATED = 1e-5  # of the largest |φ′|: how far φ′ may be from the line through two points a 128th of |x| apart


@dataclass(frozen=True)
class Case:
    """An activation with parameters as probes hand them over."""

    id: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.id, *(f"{name}={value}" for name, value in self.parameters.items())])

    def state(self, x: Tensor, axis: int = -1) -> ActivationState:
        return activation_state(ACTIVATIONS[self.id], x, self.parameters, axis)

    def slopes(self, x: Tensor) -> np.ndarray:
        """φ′ in float64; slopes per channel stand beside dimension 1."""
        values, parameters = as_numpy(x), dict(self.parameters)
        for name, value in parameters.items():
            if isinstance(value, Tensor):
                shape = [1, -1] + [1] * (x.dim() - 2)
                parameters[name] = as_numpy(value).reshape(shape) if value.numel() > 1 else float(value.detach())
        with np.errstate(all="ignore"):
            return np.broadcast_to(ACTIVATIONS[self.id].derivative(values, **parameters), values.shape)

    @property
    def max_slope(self) -> float:
        numbers = {n: float(v.abs().max()) if isinstance(v, Tensor) else v for n, v in self.parameters.items()}
        return ACTIVATIONS[self.id].max_slope(**numbers)


CASES = [
    *(Case(id_) for id_ in ACTIVATIONS),
    Case("leaky_relu", {"negative_slope": 0.2}),
    Case("leaky_relu", {"negative_slope": 0.0}),
    Case("leaky_relu", {"negative_slope": -0.5}),
    Case("leaky_relu", {"negative_slope": 30.0}),
    Case("leaky_relu", {"negative_slope": 1}),
    Case("prelu", {"weight": torch.tensor([0.1])}),
    Case("prelu", {"weight": nn.Parameter(torch.tensor(0.4))}),
    Case("hardtanh", {"min_val": -0.3, "max_val": 0.3}),
    Case("hardtanh", {"min_val": 0.0, "max_val": 0.7}),
    Case("hardtanh", {"min_val": -2, "max_val": 1.1}),
    Case("softplus", {"beta": 3.0, "threshold": 20.0}),
    Case("softplus", {"beta": 50, "threshold": 20}),
    Case("elu", {"alpha": 0.5}),
    Case("elu", {"alpha": 3.0}),
    Case("gelu", {"approximate": "tanh"}),
    Case("gelu", {"approximate": "none"}),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def observed(slopes: np.ndarray, axis: int) -> np.ndarray:
    """φ′ as (observations, units); a vector is one unit."""
    if slopes.ndim < 2:
        return slopes.reshape(-1, 1)
    moved = np.moveaxis(slopes, axis if slopes.ndim > 2 else -1, -1)
    return moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1])


def assert_state(case: Case, x: Tensor, axis: int = -1) -> None:
    state, slopes = case.state(x, axis), case.slopes(x)
    exact = case.id in KINKED or x.dtype is torch.float64
    slack = 0.0 if exact else INTERPOLATED * case.max_slope
    assert state.count == slopes.size
    assert state.finite == np.isfinite(slopes).sum()
    wanted = reference.derivative_rms(slopes)
    # A bound on φ′ itself, so one on its rms; beside it 7 % where an exponential is a line from cell to cell.
    tolerance = 1e-12 * (wanted or 0.0) if exact else min(slack, 0.07 * (wanted or 0.0)) + 1e-7 * (wanted or 0.0)
    assert state.derivative_rms == (
        None if wanted is None else pytest.approx(wanted, rel=0.0, abs=max(tolerance, 1e-37))
    )
    assert_saturated(state, slopes, case.max_slope, slack)
    rows = observed(slopes, axis)
    assert state.dead_fraction == reference.dead_fraction(rows, rows)
    assert (state.observations, state.units) == (rows.shape if rows.size else (state.observations, state.units))
    if rows.size:
        np.testing.assert_array_equal(state.alive, np.any(rows != 0, axis=0))
        assert state.alive.dtype == bool


def assert_saturated(state: ActivationState, slopes: np.ndarray, max_slope: float, slack: float) -> None:
    """As many as ``reference`` counts, but for elements whose φ′ is at the threshold as far as one can tell."""
    fraction = reference.saturated_fraction(slopes, max_slope)
    if fraction is None:
        assert state.saturated_fraction is None
        return
    threshold = reference.SATURATION_SHARE * max_slope
    certain, possible = (int(np.sum(np.abs(slopes) < threshold + off)) for off in (-slack, slack))
    assert certain <= state.saturated <= possible
    assert state.saturated_fraction == state.saturated / slopes.size
    if certain == possible:
        assert state.saturated_fraction == fraction


@every_case
@every_dtype
def test_state_agrees_with_reference(case: Case, dtype: torch.dtype) -> None:
    x = 3.0 * normal(700, 41, dtype=torch.float64).to(dtype)
    x[:, 3], x[:, 4], x[:, 5], x[:, 6], x[:, 7] = -2.0, 0.0, -0.0, 30.0, -30.0
    assert_state(case, x)


@every_case
def test_rms_is_good_to_1e_4_in_float32(case: Case) -> None:
    for scale in (0.1, 1.0, 4.0):
        x = (scale * normal(400, 30)).float()
        assert case.state(x).derivative_rms == pytest.approx(reference.derivative_rms(case.slopes(x)), rel=1e-4)


SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "a number": ((), -1),
    "vector": ((37,), -1),
    "empty vector": ((0,), -1),
    "samples, units": ((9, 5), -1),
    "samples, units, axis 1": ((9, 5), 1),
    "one sample": ((1, 70), -1),
    "one unit": ((70, 1), -1),
    "no sample": ((0, 5), -1),
    "no unit": ((5, 0), -1),
    "tokens": ((3, 7, 11), -1),
    "channels of a signal": ((3, 7, 11), 1),
    "channels of an image": ((2, 5, 6, 7), 1),
    "last of four": ((2, 5, 6, 7), -1),
    "image of one pixel": ((4, 5, 1, 1), 1),
    "one channel": ((4, 1, 6, 7), 1),
    "channels of a volume": ((2, 3, 4, 5, 6), 1),
    "an empty image": ((2, 3, 0, 5), 1),
}
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x,
    "transposed": lambda x: x.mT.contiguous().mT if x.dim() > 1 else x,
    "every other": lambda x: torch.stack([x, x], -1)[..., 0],
    "negated lazily": torch._neg_view,
    "expanded": lambda x: x[:1].expand(5, *x.shape[1:]) if x.dim() > 1 and len(x) else x,
    "of a graph": lambda x: x.clone().requires_grad_() * 1.0,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("id_", ["relu", "leaky_relu", "hardtanh", "tanh", "elu"])
@every_dtype
def test_state_when_shape_and_layout_vary(dtype: torch.dtype, id_: str, shape: str, layout: str) -> None:
    sizes, axis = SHAPES[shape]
    x = (3.0 * normal(*sizes)).to(dtype)
    if x.dim() > 1 and x.numel():
        units = x.movedim(axis if x.dim() > 2 else -1, 0)
        units[0] = -units[0].abs() - 3.0  # a dead unit of relu and of hardtanh
        if len(units) > 2:
            units[1], units[2] = 0.0, units[2].abs() + 3.0
    assert_state(Case(id_), LAYOUTS[layout](x), axis)


@every_case
@every_dtype
def test_state_when_values_are_special(case: Case, dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).smallest_normal
    special = [
        NAN,
        -NAN,
        INF,
        -INF,
        0.0,
        -0.0,
        tiny / 4,
        -tiny / 4,
        tiny,
        -tiny,
        65504.0,
        -65504.0,
        0.3,
        -0.3,
        6.0,
        1.0,
    ]
    column = torch.tensor(special, dtype=torch.float64).to(dtype)
    assert_state(case, column[:, None].expand(-1, 3).contiguous())
    assert_state(case, column[None].contiguous())  # each of them a unit
    assert_state(case, column)


@every_case
@every_dtype
def test_nan_is_neither_dead_nor_saturated(case: Case, dtype: torch.dtype) -> None:
    """A unit that has overflowed must not pass for a dead one, not even where nothing else was seen."""
    for size in (5, 70):
        state = case.state(torch.full((size, 3), NAN, dtype=dtype))
        assert (state.dead_fraction, state.saturated_fraction, state.count) == (0.0, 0.0, size * 3)
        assert state.derivative_rms == (1.0 if case.id == "identity" else None)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_a_slope_that_is_lost_in_float32_is_not_zero(dtype: torch.dtype) -> None:
    for id_, far in (
        ("sigmoid", 30.0),
        ("sigmoid", 700.0),
        ("tanh", 15.0),
        ("tanh", 340.0),
        ("elu", -700.0),
        ("silu", -40.0),
    ):
        state = Case(id_).state(torch.full((5, 2), far, dtype=dtype))
        assert (state.dead_fraction, state.saturated_fraction) == (0.0, 1.0), id_
        assert state.derivative_rms is not None
        assert state.derivative_rms > 0.0
    assert Case("sigmoid").state(torch.full((5, 2), -30.0, dtype=dtype)).derivative_rms == pytest.approx(
        9.36e-14, rel=1e-3
    )
    assert Case("relu6").state(torch.full((5, 2), 6.0, dtype=dtype)).dead_fraction == 1.0
    assert Case("tanh").state(torch.full((5, 2), 500.0, dtype=dtype)).dead_fraction == 1.0  # nor is it in float64


@pytest.mark.parametrize("bound", [0.3, 0.7, 1.0, 1.1, 2.0 / 3.0, 1e-3, 300.1])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_hardtanh_jumps_where_its_bounds_are(dtype: torch.dtype, bound: float) -> None:
    """Bounds lie amid cells of the table; the numbers next to them are on their own sides all the same."""
    case = Case("hardtanh", {"min_val": -bound, "max_val": bound})
    at = torch.tensor([bound], dtype=torch.float64).to(dtype)
    x = torch.stack([at, torch.nextafter(at, 0 * at), torch.nextafter(at, 2 * at), -at, torch.nextafter(-at, 0 * at)]).T
    assert_state(case, torch.cat([x, -x]))
    assert_state(case, torch.linspace(0.98 * bound, 1.02 * bound, 5_000)[:, None].to(dtype))


@pytest.mark.parametrize("case", [case for case in CASES if case.id not in ("relu", "leaky_relu", "prelu")], ids=str)
def test_table_holds_for_every_kind_of_float32(case: Case) -> None:
    """One number of each cell, at a place of its own: all exponents, NaN of all kinds and subnormal ones."""
    cells = np.arange(1 << 16, dtype=np.uint64) << np.uint64(16)
    within = np.random.default_rng(0).integers(0, 1 << 16, 1 << 16, np.uint64)
    for places in (within, 0 * within, 0 * within + np.uint64(0xFFFF)):
        x = FORMATS[1].tensor(cells | places)
        assert_state(case, x.view(256, 256))
        assert_state(case, x.view(1, -1))


@pytest.mark.parametrize("written", FORMATS, ids=lambda written: str(written.dtype))
@pytest.mark.parametrize("id_", ACTIVATIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_state_of_any_bits(id_: str, written: Format, data: st.DataObject) -> None:
    x = written.tensor(data.draw(any_bits(written) | blocks_of_bits(written)))
    units = data.draw(st.sampled_from([n for n in (1, 2, 3, 10, 64) if len(x) % n == 0]))
    assert_state(Case(id_), x.reshape(-1, units))


@every_dtype
@pytest.mark.parametrize("shape", [(40, 5), (4, 5, 6), (4, 5, 6, 3)], ids=str)
def test_slopes_per_channel(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    slopes = torch.tensor([0.0, 0.01, 0.25, -1.5, 3.0])
    x = normal(*shape, dtype=dtype)
    x.movedim(1, 0)[0] = -x.movedim(1, 0)[0].abs()
    x.view(-1)[7] = NAN
    for weight in (slopes, nn.Parameter(slopes), slopes.double()):
        assert_state(Case("prelu", {"weight": weight}), x, axis=1)


@every_dtype
@pytest.mark.parametrize("slope", [NAN, INF])
def test_a_slope_that_is_not_finite_leaves_the_other_side(dtype: torch.dtype, slope: float) -> None:
    x = normal(50, 3, dtype=dtype)
    x[:, 0] = -x[:, 0].abs()
    state, slopes = (
        Case("leaky_relu", {"negative_slope": slope}).state(x),
        Case("leaky_relu", {"negative_slope": slope}).slopes(x),
    )
    assert state.finite == np.isfinite(slopes).sum()
    assert state.derivative_rms == 1.0
    assert state.dead_fraction == 0.0


@every_case
def test_states_merge_into_that_of_all(case: Case) -> None:
    x = (3.0 * normal(90, 7)).float()
    x[:, 2] = -9.0
    x[:40, 3], x[40:, 4] = -9.0, -9.0
    parts = [case.state(part) for part in x.split([30, 10, 0, 50])]
    merged, whole = ActivationState.merge_all(parts), case.state(x)
    assert merged is not None
    assert merged.square_sum == pytest.approx(whole.square_sum, rel=1e-12)
    for name in ("finite", "saturated", "count", "observations", "dead_fraction", "saturated_fraction", "units"):
        assert getattr(merged, name) == getattr(whole, name), name
    assert ActivationState.merge_all([]) is None


def test_units_of_another_width_are_those_of_the_later_call() -> None:
    dead, alive = Case("relu").state(-torch.ones(4, 3)), Case("relu").state(torch.ones(2, 5))
    merged = dead.merge(alive)
    assert (merged.units, merged.dead_fraction, merged.observations, merged.count) == (5, 0.0, 2, 22)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("id_", ["relu", "tanh"])
def test_other_layouts_and_dtypes_are_read_element_by_element(id_: str) -> None:
    dense = torch.tensor([[1.0, 2.0], [-3.0, 4.0]])
    for x in (dense.to_mkldnn(), dense.double(), dense.long()):
        state = Case(id_).state(x)
        wanted = Case(id_).state(dense)
        assert state.derivative_rms == pytest.approx(wanted.derivative_rms, rel=1e-5)
        np.testing.assert_array_equal(state.alive, wanted.alive)


def test_the_input_is_left_alone() -> None:
    x = normal(50, 4, dtype=torch.float32).requires_grad_()
    before = x.detach().clone()
    for id_ in ACTIVATIONS:
        Case(id_).state(x)
    torch.testing.assert_close(x.detach(), before, rtol=0, atol=0)
    assert x.grad is None


def test_a_slope_in_training_is_read_without_a_warning() -> None:
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for weight in (nn.Parameter(torch.tensor([0.3])), nn.Parameter(torch.tensor([0.3, 0.4]))):
                Case("prelu", {"weight": weight}).state(normal(9, 2, dtype=torch.float32))
    finally:
        torch.set_warn_always(False)


def test_a_table_is_made_once_for_its_parameters() -> None:
    module._table.cache_clear()
    for value in (0.5, torch.tensor(0.5), 0.5):
        Case("elu", {"alpha": value}).state(torch.ones(3, 2))
    assert module._table.cache_info().currsize == 1
    Case("elu", {"alpha": 0.6}).state(torch.ones(3, 2))
    assert module._table.cache_info().currsize == 2


def test_nothing_was_seen_says_nothing() -> None:
    state = Case("tanh").state(torch.empty(0, 4))
    assert (state.derivative_rms, state.saturated_fraction, state.dead_fraction) == (None, None, None)
    assert math.isclose(state.square_sum, 0.0)
