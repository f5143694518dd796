"""A lab's state travels as JSON and in an address without loss, and what is no state is refused by name."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.lab.controls import CONTROLS, Control
from headwater.lab.plan import MOST_PARAMETERS, planned
from headwater.lab.refusal import RefusedError
from headwater.lab.spec import MOST_STATE, Spec


def values(control: Control) -> st.SearchStrategy[Any]:
    """Everything a control can be set to."""
    if control.kind == "integer":
        return st.integers(int(control.low), int(control.high))
    if control.kind == "number":
        return st.floats(control.low, control.high, allow_nan=False)
    if control.kind == "flag":
        return st.booleans()
    if control.kind == "choice":
        return st.sampled_from(control.choices)
    if control.kind == "per_layer":
        return st.dictionaries(st.integers(1, 99), st.sampled_from(control.choices), max_size=5)
    if control.kind == "text":
        return st.text("0123456789abcdef", max_size=16)
    if control.choices:
        return st.lists(st.sampled_from(control.choices), unique=True, max_size=5)
    return st.lists(st.sampled_from(["init.he", "regularisation.l2:0.01", "activation.relu"]), max_size=4)


states = st.fixed_dictionaries({}, optional={control.id: values(control) for control in CONTROLS.values()})


@given(states)
def test_state_survives_json_and_the_address(data: dict[str, Any]) -> None:
    spec = Spec.from_dict(data)
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False))) == spec
    state = spec.to_state()
    assert Spec.from_state(state) == spec
    assert set(state) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~*:")


def test_default_has_the_shortest_state() -> None:
    assert Spec().to_state() == ""
    assert Spec.from_dict({"depth": 7, "activation": "relu"}).to_state() == "depth.7~activation.relu"


@given(st.text(max_size=200))
def test_any_text_is_a_state_or_is_refused(text: str) -> None:
    with suppress(RefusedError):
        assert Spec.from_state(text).to_state() is not None


@pytest.mark.parametrize(
    ("state", "key"),
    [
        ("depth.0", "value.range"),
        ("depth.10000", "value.range"),
        ("depth.1e3", "value.integer"),
        ("depth.2.5", "value.integer"),
        ("width.0", "value.range"),
        ("learning_rate.1e13", "value.range"),
        ("learning_rate.nan", "value.range"),
        ("learning_rate.inf", "value.range"),
        ("learning_rate.-1", "value.range"),
        ("scale.1e40", "value.range"),
        ("activation.<script>", "value.choice"),
        ("activation.__class__", "value.choice"),
        ("nothing.1", "control"),
        ("__init__.1", "control"),
        ("depth", "state_pair"),
        ("depth.3~depth.4", "state_pair"),
        ("activations.0:relu", "value.layer"),
        ("activations.999999999999:relu", "value.layer"),
        ("activations.x:relu", "value.per_layer"),
        ("remedies." + "*".join(["init.he"] * 7), "value.many"),
        ("remedies.init he", "value.list"),
        ("csv.../../etc/passwd", "value.text"),
        ("locked.nothing", "value.choice"),
        ("lesson.nothing", "value.choice"),
        ("a" * (MOST_STATE + 1), "state_long"),
    ],
)
def test_hostile_state_is_refused_by_name(state: str, key: str) -> None:
    with pytest.raises(RefusedError) as refused:
        Spec.from_state(state)
    assert refused.value.message.id == f"lab.engine.refused.{key}"


@pytest.mark.parametrize(
    "data", [None, [], "x", {"depth": True}, {"depth": "3"}, {"width": None}, {"schema": "other"}, {"residual": 1}]
)
def test_json_of_another_kind_is_refused(data: Any) -> None:
    with pytest.raises(RefusedError):
        Spec.from_dict(data)


def test_refusal_names_the_limits_in_both_languages() -> None:
    with pytest.raises(RefusedError) as refused:
        Spec.from_dict({"depth": 10_000})
    error: Any = refused.value.to_dict()["error"]
    assert error["control"] == "depth"
    assert "from 1 to 100" in error["text"]["en"]
    assert "깊이" in error["text"]["ko"]
    assert "100" in error["text"]["ko"]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"depth": 100, "width": 256}, "parameters"),
        ({"preset": "cnn", "data": "moons"}, "cnn_data"),
        ({"preset": "cnn", "depth": 100, "width": 24, "batch_size": 512}, "work"),
        ({"preset": "rnn", "activation": "tanh", "init": "default", "depth": 50}, "rnn_depth"),
        ({"preset": "rnn", "activation": "sigmoid", "init": "default", "depth": 3}, "rnn_activation"),
        ({"preset": "rnn", "activation": "tanh", "init": "he", "depth": 3}, "rnn_init"),
        ({"init": "mirrored"}, "mirrored"),
        ({"init": "mirrored", "activation": "relu", "width": 63}, "mirrored_width"),
        ({"init": "critical"}, "critical"),
        ({"init": "critical", "activation": "tanh", "output": "sigmoid"}, "critical"),
        ({"init": "tailored", "residual": True}, "tailored"),
        ({"init": "tailored", "normalisation": "layer"}, "tailored"),
        ({"init": "tailored", "activations": {2: "relu"}}, "tailored"),
        ({"init": "tailored", "depth": 1}, "tailored"),
        ({"init": "delta_orthogonal"}, "delta_orthogonal"),
        ({"data": "csv"}, "no_csv"),
        ({"batch_size": 1, "normalisation": "batch"}, "batch_of_one"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(data: dict[str, Any], key: str) -> None:
    with pytest.raises(RefusedError) as refused:
        planned(Spec.from_dict(data))
    assert refused.value.message.id == f"lab.engine.refused.{key}"


@given(st.integers(1, 100), st.integers(1, 256), st.sampled_from(["mlp", "cnn"]), st.booleans())
def test_size_told_on_paper_is_about_that_of_the_network(depth: int, width: int, preset: str, residual: bool) -> None:
    spec = Spec.from_dict({"depth": depth, "width": width, "preset": preset, "residual": residual})
    try:
        plan = planned(spec)
    except RefusedError:
        return
    assert plan.parameters <= MOST_PARAMETERS
    counted = 0
    for part in plan.parts:
        for one in part.inner or (part,):
            if one.kind == "Linear":
                counted += one.arguments[0] * one.arguments[1] + one.arguments[1]
            elif one.kind == "Conv2d":
                counted += one.arguments[0] * one.arguments[1] * 9 + one.arguments[1]
    assert math.isclose(plan.parameters, counted, rel_tol=0.15, abs_tol=400)
