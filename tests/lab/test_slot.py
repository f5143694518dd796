"""A network of the lab trains as it would without being watched, and goes on when something is changed."""

import math
from typing import Any

import pytest
import torch

from headwater.lab.frames import Reader, broke_of, network_of
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec

DROPPED = {"depth": 4, "width": 16, "activation": "relu", "init": "he", "dropout": 0.3, "l1": 1e-4}


def slot(**controls: Any) -> Slot:
    return Slot(Spec.from_dict(controls))


def test_measured_steps_are_the_plain_ones() -> None:
    """Dropout, penalties and all: what is looked at changes nothing."""
    plain, measured, mixed = slot(**DROPPED), slot(**DROPPED), slot(**DROPPED)
    for step in range(12):
        plain.advance(False)
        measured.advance(True)
        mixed.advance(step % 3 == 0)
        mixed.look()
        mixed.judged_flow()
    assert plain.course == measured.course == mixed.course
    for other in (measured, mixed):
        for a, b in zip(plain.network.model.parameters(), other.network.model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_networks_side_by_side_do_not_share_random_numbers() -> None:
    alone = slot(**DROPPED)
    for _ in range(6):
        alone.advance(False)
    one, other = slot(**DROPPED), slot(**DROPPED | {"seed": 5})
    for _ in range(6):
        one.advance(False)
        other.advance(True)
        torch.rand(3)
    assert one.course == alone.course


def test_reset_gives_the_same_course_again() -> None:
    one = slot(**DROPPED)
    for _ in range(5):
        one.advance(True)
    before, version = list(one.course), one.version
    one.reset()
    assert (one.step, one.course, one.version) == (0, [], version + 1)
    for _ in range(5):
        one.advance(True)
    assert one.course == before


@pytest.mark.parametrize(
    ("control", "value"),
    [
        ("learning_rate", 0.05),
        ("l1", 0.01),
        ("l2", 0.01),
        ("dropout", 0.6),
        ("batch_size", 16),
        ("optimizer", "sgd"),
        ("activation", "tanh"),
        ("activations", {2: "elu"}),
    ],
)
def test_live_change_keeps_the_weights_and_takes_effect(control: str, value: Any) -> None:
    changed, untouched = slot(**DROPPED), slot(**DROPPED)
    for one in (changed, untouched):
        for _ in range(3):
            one.advance(True)
    kept = [p.clone() for p in changed.network.model.parameters()]
    assert changed.change(changed.spec.changed({control: value}))
    assert all(torch.equal(a, b) for a, b in zip(kept, changed.network.model.parameters(), strict=True))
    for one in (changed, untouched):
        for _ in range(3):
            one.advance(True)
    assert changed.step == 6
    pairs = zip(changed.network.model.parameters(), untouched.network.model.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("control", "value"), [("depth", 6), ("width", 8), ("init", "xavier"), ("seed", 3), ("output", "tanh")]
)
def test_other_changes_begin_anew(control: str, value: Any) -> None:
    one = slot(**DROPPED)
    one.advance(True)
    assert not one.change(one.spec.changed({control: value}))
    assert one.step == 0
    assert one.version == 2


def test_another_activation_is_tailored_anew() -> None:
    one = slot(depth=20, width=8, init="tailored")
    one.advance(True)
    assert not one.change(one.spec.changed({"activation": "tanh"}))
    assert one.network.model.get_submodule("activation1").alpha != 1.0
    assert isinstance(one.network.model.get_submodule("activation1").activation, torch.nn.Tanh)


def test_change_that_cannot_be_built_leaves_everything_as_it_was() -> None:
    one = slot(**DROPPED)
    one.advance(True)
    spec, model = one.spec, one.network.model
    with pytest.raises(Exception, match="recurrent"):
        one.change(spec.changed({"remedies": ["recurrent.orthogonal"]}))
    assert (one.spec, one.version, one.step) == (spec, 1, 1)
    assert one.network.model is model
    one.advance(True)
    assert one.step == 2


def test_learning_rate_of_a_billion_ends_in_a_named_layer_and_the_lab_goes_on() -> None:
    one = slot(depth=9, activation="relu", init="he", optimizer="sgd", learning_rate=1e9)
    for _ in range(60):
        one.advance(True)
    assert one.is_done
    broke = broke_of(one)
    assert broke is not None
    assert broke["step"] == one.broke_at
    assert 1 <= broke["layer"] <= 9
    assert str(broke["layer"]) in broke["said"]["en"]
    one.change(one.spec.changed({"learning_rate": 0.01}))
    one.reset()
    one.advance(True)
    assert not one.is_done
    assert math.isfinite(one.course[-1][1])


def test_broken_loss_is_located_also_where_nobody_looked() -> None:
    one = slot(depth=9, activation="relu", init="he", optimizer="sgd", learning_rate=1e9)
    for _ in range(60):
        one.advance(False)
    broke = broke_of(one)
    assert broke is not None
    assert broke["layer"] >= 1


def test_enormous_weights_are_told_at_once() -> None:
    one = slot(depth=9, activation="relu", scale=1e30)
    broke = broke_of(one)
    assert broke is not None
    assert broke["step"] == 0
    assert broke["what"] == "activation"
    one.advance(True)
    assert one.step == 0


def test_frame_has_a_number_for_every_site_and_weight_and_the_course_once() -> None:
    one, reader = slot(depth=5), Reader()
    made = network_of(one)
    first = reader.frame_of(one)
    assert first["kind"] == "start"
    for column in ("activation", "gradient", "mean", "std", "dead", "saturated", "zero", "nonfinite", "derivative"):
        assert len(first["sites"][column]) == len(made["sites"])
    for column in ("rms", "gradient", "update", "unchanged", "coherence"):
        assert len(first["weights"][column]) == len(made["weights"]) == 5
    for _ in range(4):
        one.advance(True)
    second, third = reader.frame_of(one), reader.frame_of(one)
    assert [row[0] for row in second["course"]] == [0, 1, 2, 3]
    assert third["course"] == []
    assert all(value is not None for value in second["weights"]["update"])


def test_gradient_below_float32_is_a_number_and_true_zero_is_marked() -> None:
    deep, dead = slot(depth=100, width=16), slot(depth=5, activation="relu", bias=-50.0)
    gradients = Reader().frame_of(deep)["sites"]["gradient"]
    assert gradients[0] == "-inf" or gradients[0] < -44
    assert any(isinstance(g, float) and g < -30 for g in gradients)
    assert Reader().frame_of(dead)["sites"]["gradient"][0] == "-inf"


def test_gradient_through_time_is_told_step_by_step() -> None:
    one, reader = slot(preset="rnn", depth=2, width=8, activation="tanh", init="default"), Reader()
    for _ in range(2):
        times = reader.frame_of(one)["sites"]["time"]
        assert [len(rows) for direction in times.values() for rows in direction] == [8]
        last = next(iter(times.values()))[0]
        assert last[0] < last[-1], "the earliest row of the image gets the least gradient"
        one.advance(True)


def test_layers_are_numbered_through() -> None:
    for controls in ({"depth": 4, "normalisation": "batch", "dropout": 0.1}, {"depth": 4, "residual": True}):
        made = network_of(slot(**controls))
        assert sorted({site["layer"] for site in made["sites"]} - {0}) == [1, 2, 3, 4]
        assert [weight["layer"] for weight in made["weights"]] == [1, 2, 3, 4]
