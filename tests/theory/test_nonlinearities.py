"""Choosing an activation by id, by entry or by function, and what is said when that cannot be done."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    Nonlinearity,
    calculate_gain,
    gain_forward,
    length_map,
    mean,
    nonlinearity,
    second_moment,
    slope_second_moment,
)
from headwater.theory.nonlinearities import activation_of


@pytest.mark.parametrize("id_", ACTIVATIONS)
def test_id_entry_and_own_function_are_the_same_activation(id_: str) -> None:
    entry = ACTIVATIONS[id_]
    own = nonlinearity(entry.phi, entry.derivative)
    assert nonlinearity(id_) is nonlinearity(entry)
    for q in (0.1, 1.0, 10.0):
        assert second_moment(id_, q) == second_moment(entry, q) == second_moment(nonlinearity(id_), q)
        assert second_moment(own, q) == pytest.approx(second_moment(id_, q), rel=1e-9)


def test_parameters_are_settled_and_named() -> None:
    phi = nonlinearity("hardtanh", min_val=-2.0, max_val=0.5)
    assert phi.name == "hardtanh(max_val=0.5, min_val=-2.0)"
    assert phi.kinks == (-2.0, 0.5)
    assert phi.phi(np.array([-3.0, 0.2, 3.0])).tolist() == [-2.0, 0.2, 0.5]
    assert nonlinearity("gelu", approximate="tanh").phi(np.array(1.0)) == ACTIVATIONS["gelu_tanh"].phi(np.array(1.0))


def test_parameters_may_be_numbers_of_any_kind() -> None:
    for slope in (np.float32(0.25), np.float64(0.25), 0.25):
        assert second_moment(nonlinearity("leaky_relu", negative_slope=slope)) == pytest.approx(0.53125, rel=1e-7)
    assert second_moment(nonlinearity("leaky_relu", negative_slope=1)) == pytest.approx(1.0)


def test_kinks_given_are_taken_and_others_are_found() -> None:
    assert nonlinearity(np.abs, np.sign, kinks=[3.0, 0.0]).kinks == (0.0, 3.0)
    assert nonlinearity(np.abs, np.sign, kinks=()).kinks == ()
    assert nonlinearity(np.abs, np.sign).kinks == (0.0,)
    assert nonlinearity(np.sin, np.cos) == Nonlinearity("sin", np.sin, np.cos)


def test_a_nonlinearity_is_handed_back_as_it_is() -> None:
    phi = nonlinearity(np.sin, np.cos)
    assert nonlinearity(phi) is phi


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        (("rellu",), {}, r"no activation 'rellu': did you mean 'relu'.*The table has identity, .*softplus"),
        (("LeakyReLU",), {}, "did you mean 'leaky_relu'"),
        (("",), {}, "no activation ''.*The table has"),
        (("leaky_relu",), {"slope": 0.2}, "leaky_relu has no parameter 'slope'; it has negative_slope=0.01"),
        (("tanh",), {"alpha": 1.0}, "tanh has no parameter 'alpha'; it has none"),
        (("elu",), {"alpha": math.nan}, "alpha of elu is nan; pass one value of the kind of 1.0"),
        (("prelu",), {"weight": np.ones(3)}, "weight of prelu is"),
        (("gelu",), {"approximate": 1.0}, "approximate of gelu is 1.0; pass one value of the kind of 'none'"),
        (("elu",), {"alpha": "1"}, "alpha of elu is '1'; pass one value of the kind of 1.0"),
        (("tanh", np.cos), {}, "'tanh' is of the table, which has its derivative"),
        ((np.sin,), {}, r"sin comes without its derivative: pass both, as in nonlinearity\(np.sin, np.cos\)"),
        ((np.sin, np.cos), {"beta": 2.0}, r"parameters \['beta'\] go with an id.*functools.partial"),
        ((3.0,), {}, r"an id of the table or a function, got 3.0: nonlinearity\('tanh'\)"),
    ],
)
def test_what_cannot_be_chosen_is_refused(arguments: tuple[Any, ...], parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        nonlinearity(*arguments, **parameters)


def test_a_function_without_its_derivative_is_refused_by_every_formula() -> None:
    with pytest.raises(InputError, match="comes without its derivative"):
        mean(np.sin)


def no_array(x: float) -> float:
    return x if x > 0 else 0.0


OWN: dict[str, tuple[Any, Any, str]] = {
    "numbers": (no_array, lambda x: 1.0 if x > 0 else 0.0, "relu"),
    "math": (math.tanh, lambda x: 1 - math.tanh(x) ** 2, "tanh"),
    "tensors out": (lambda x: torch.tanh(torch.from_numpy(x)), lambda x: 1 - np.tanh(x) ** 2, "tanh"),
    "single precision": (
        lambda x: np.tanh(x.astype(np.float32)),
        lambda x: 1 - np.tanh(x.astype(np.float32)) ** 2,
        "tanh",
    ),
    "single precision with a kink": (
        lambda x: np.maximum(x, 0).astype(np.float32),
        lambda x: (x > 0).astype(np.float32),
        "relu",
    ),
    "booleans": (lambda x: np.maximum(x, 0), lambda x: x > 0, "relu"),
    "one number for all": (lambda x: x, lambda x: 1.0, "identity"),
}


@pytest.mark.parametrize("kind", OWN)
def test_functions_are_taken_as_people_write_them(kind: str) -> None:
    phi, derivative, same = OWN[kind]
    own = nonlinearity(phi, derivative)
    for moment in (second_moment, slope_second_moment):
        assert moment(own) == pytest.approx(moment(same), rel=1e-6), moment
    assert own.name == getattr(phi, "__name__", own.name)


def test_a_constant_may_be_a_number() -> None:
    assert second_moment(nonlinearity(lambda x: 2.0, lambda x: 0.0)) == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (torch.tanh, r"tanh takes neither an array nor a number \(TypeError.*torch.from_numpy\(x\)"),
        (lambda x: np.exp(1j * x), "returns complex numbers"),
        (lambda x: np.exp(x) / np.exp(x).sum(), "does not treat each element by itself"),
        (np.sum, "does not treat each element by itself"),
        (lambda x: np.random.default_rng().random(x.shape), "other values when it is called again"),
        (lambda x: x[:2], r"returns shape \[2\] for an array of shape \[9\]"),
        (lambda x: None, "returns NoneType"),
        (lambda x: "a", "returns str"),
    ],
)
def test_what_is_no_function_of_a_number_is_refused(phi: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nonlinearity(phi, np.cos)
    with pytest.raises(InputError, match="the derivative of sin"):
        nonlinearity(np.sin, phi)


@pytest.mark.parametrize("call", [lambda: calculate_gain(None), lambda: gain_forward(5), lambda: activation_of(1.5)])
def test_an_id_is_a_string(call: Any) -> None:
    with pytest.raises(
        InputError, match=r"named by an id of the table, such as 'relu'|an id of the table or a function"
    ):
        call()


@pytest.mark.parametrize("value", ["2", None, np.array([1.0, 2.0]), 1j, True])
def test_a_variance_is_one_number(value: Any) -> None:
    with pytest.raises(InputError, match="is one number, got"):
        length_map("tanh", value, 1.0)
    with pytest.raises(InputError, match="sigma_w2 is one number, got"):
        length_map("tanh", 1.0, value)
