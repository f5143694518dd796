"""Choosing an activation by id, by entry or by function, and what is said when that cannot be done."""

import math
from typing import Any

import numpy as np
import pytest

from headwater.records import InputError
from headwater.theory import ACTIVATIONS, Nonlinearity, mean, nonlinearity, second_moment


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
