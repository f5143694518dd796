"""Scalar chains: ∂p_n/∂w_1 = Π ∂a_i/∂p_{i-1} · Π w_i · x, each factor by its formula."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import headwater as hw
from headwater.records import InputError
from headwater.theory import ACTIVATIONS
from headwater.tracing import formulas, scalar_chain
from headwater.tracing.differences import central


def autograd(model: nn.Module, x: float) -> float:
    """∂output/∂(first weight) in one plain backward pass in float64."""
    double = copy.deepcopy(model).double()
    double(torch.tensor([[x]], dtype=torch.float64)).backward()
    return float(next(double.parameters()).grad)


def statuses(trace: hw.Trace) -> dict[str, str]:
    return {check.id: check.status for check in trace.checks}


@pytest.mark.parametrize("layers", [2, 3, 7, 20, 60])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_product_of_the_factors_is_the_gradient(activation: str, layers: int) -> None:
    model = scalar_chain(layers, activation, seed=layers)
    trace = hw.trace(model, 0.7)
    assert trace.kind == "chain"
    assert len(trace.factors_of("weight")) == layers - 1
    expected = autograd(model, 0.7)
    product = math.prod(factor.value for factor in trace.factors)
    assert product == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert trace.gradient.value == pytest.approx(expected, rel=1e-12, abs=1e-300)
    if expected:
        assert sum(factor.log10 for factor in trace.factors) == pytest.approx(math.log10(abs(expected)), abs=1e-11)
        assert math.copysign(1, expected) == trace.gradient.sign
    assert trace.holds
    assert {statuses(trace)[name] for name in ("product", "sum_of_logs")} == {"holds"}


def test_factors_stand_in_the_order_of_the_formula() -> None:
    trace = hw.trace(scalar_chain(4, "tanh"), 2.0)
    told = [(factor.kind, factor.index) for factor in trace.factors]
    slopes = [("activation", i) for i in (2, 3, 4)]
    assert told == [*slopes, *(("weight", i) for i in (2, 3, 4)), ("input", 1)]
    assert trace.factors[-1].value == 2.0
    assert [factor.site for factor in trace.factors] == ["1", "3", "5", "2", "4", "6", "0"]


def test_derivative_is_taken_at_the_pre_activation() -> None:
    model = scalar_chain(3, "sigmoid", seed=4)
    first = hw.trace(model, 0.5).factors[0]
    p = float(model[0].weight.detach().double() * 0.5)
    assert first.at == pytest.approx(p, rel=1e-12)
    sigma = 1 / (1 + math.exp(-p))
    assert first.value == pytest.approx(sigma * (1 - sigma), rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_factor_agrees_with_differences_of_what_ran(activation: str) -> None:
    model = scalar_chain(8, activation, seed=2)
    with torch.no_grad():
        for layer in model[::2]:
            layer.bias.fill_(0.3)
    trace = hw.trace(model, 0.7, 0.25)
    modules = dict(copy.deepcopy(model).double().named_modules())

    def slope(module: nn.Module, at: float) -> float:
        return central(lambda h: module(torch.tensor([[at + h]], dtype=torch.float64)).item(), 1e-3).value

    for factor in trace.factors_of("activation"):
        assert factor.value == pytest.approx(slope(modules[factor.site], factor.at), rel=1e-8, abs=1e-10)
    for factor in trace.factors_of("weight"):
        assert factor.value == pytest.approx(slope(modules[factor.site], 0.0), rel=1e-8)
    (loss,) = trace.factors_of("loss")
    output = modules[""](torch.tensor([[0.7]], dtype=torch.float64)).item()
    assert loss.value == pytest.approx(2 * (output - 0.25), rel=1e-12)


@given(
    st.lists(st.floats(-3, 3).filter(lambda w: abs(w) > 1e-3), min_size=2, max_size=12),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3),
    st.floats(-1, 1),
)
@settings(max_examples=60)
def test_any_chain_agrees_with_autograd(weights: list[float], activation: str, x: float, bias: float) -> None:
    model = scalar_chain(len(weights), activation).double()
    with torch.no_grad():
        for layer, weight in zip(model[::2], weights, strict=True):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    trace = hw.trace(model, x)
    expected = autograd(model, x)
    assert trace.holds, str(trace)
    if statuses(trace)["product"] == "holds":
        assert trace.gradient.value == pytest.approx(expected, rel=1e-12, abs=1e-300)
    else:  # autograd has lost digits, and the trace says where
        assert trace.checks[0].why is not None


def test_gradient_below_every_float_keeps_its_size() -> None:
    trace = hw.trace(scalar_chain(200, "sigmoid", init="normal"), 1.0)
    assert trace.gradient.value == 0.0
    assert trace.gradient.sign != 0
    assert trace.gradient.log10 == pytest.approx(sum(factor.log10 for factor in trace.factors), rel=1e-12)
    assert -640 < trace.gradient.log10 < -480
    assert statuses(trace)["product"] == "holds"
    assert trace.checks[0].reference.log10 == pytest.approx(trace.gradient.log10, rel=1e-14)
    assert "trace.note.underflow_double" in [note.id for note in trace.notes]


def test_float32_that_underflows_is_told() -> None:
    trace = hw.trace(scalar_chain(20, "sigmoid", init="normal"), 1.0)
    assert trace.gradient.log10 < -46
    assert trace.rounded is not None
    assert trace.rounded.sign == 0
    assert "float32 gives exactly 0" in str(trace)
    assert "would not move" not in str(hw.trace(scalar_chain(3), 1.0))


def test_saturated_neuron_of_the_lecture_is_no_zero() -> None:
    """x = 0.01, w = 100, b = 50: σ′(51) = 7.1e-23, where autograd's σ(1 - σ) rounds to 0."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    with torch.no_grad():
        model[0].weight.fill_(100)
        model[0].bias.fill_(50)
    trace = hw.trace(model, 0.01)
    assert trace.gradient.value == pytest.approx(7.095e-25, rel=1e-3)
    assert trace.checks[0].status == "rounding"
    assert trace.holds
    assert "autograd has lost digits" in str(trace)
    assert "7.1e-23" in str(trace)


def test_wrong_factor_is_found_and_said_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(ACTIVATIONS["sigmoid"], derivative=lambda p: 0.25 + 0 * p)
    monkeypatch.setattr(formulas, "_slope", lambda activation, before, parameters: wrong.derivative(before))
    trace = hw.trace(scalar_chain(5, "sigmoid"), 1.0)
    assert not trace.holds
    assert statuses(trace)["product"] == "fails"
    assert "DISAGREE" in str(trace).splitlines()[0]


def test_wrong_weight_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = formulas.numbers
    monkeypatch.setattr(formulas, "numbers", lambda tensor: honest(tensor) * (1 + 1e-9))
    trace = hw.trace(scalar_chain(5, "tanh"), 1.0)
    assert statuses(trace)["product"] == "fails"


@pytest.mark.parametrize(
    ("parameter", "kinds"),
    [
        ("4.weight", ["loss", "activation", "weight", "input"]),
        ("4.bias", ["loss", "activation", "weight"]),
        ("6.weight", ["loss", "input"]),
    ],
)
def test_later_weights_need_only_what_comes_after_them(parameter: str, kinds: list[str]) -> None:
    model = scalar_chain(4, "sigmoid")
    trace = hw.trace(model, 1.0, 0.5, parameter=parameter)
    assert [factor.kind for factor in trace.factors] == kinds
    assert trace.holds
    double = copy.deepcopy(model).double()
    ((double(torch.ones(1, 1, dtype=torch.float64)) - 0.5) ** 2).mean().backward()
    expected = dict(double.named_parameters())[parameter].grad
    assert trace.gradient.value == pytest.approx(float(expected), rel=1e-12)


def test_seed_makes_two_chains_equal_and_leaves_random_states() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = scalar_chain(5, seed=3), scalar_chain(5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [((3, "sigmod"), "'sigmod'"), ((3, "tanh", "glorot"), "'glorot'"), ((0,), "at least one layer")],
)
def test_chain_that_cannot_be_made_is_refused(arguments: tuple, culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        scalar_chain(*arguments)


@pytest.mark.parametrize(("init", "deviation"), [("xavier", 1.0), ("he", 2**0.5), ("normal", 0.01)])
def test_weights_are_drawn_as_the_lectures_say(init: str, deviation: float) -> None:
    weights = torch.cat([layer.weight.detach().ravel() for layer in scalar_chain(1000, "relu", init)[::2]])
    assert float(weights.std()) == pytest.approx(deviation, rel=0.06)
    assert abs(float(weights.mean())) < 0.1 * deviation
