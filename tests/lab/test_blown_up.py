"""A network that its own steps have wrecked: the learning rate is named, and not what the wreck looks like."""

from __future__ import annotations

import math

import pytest

from headwater.lab.blown_up import GROWN, growth_of
from headwater.lab.folding import with_remedies
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from tests.lab.test_session import Watched

HEALTHY = {"activation": "relu", "init": "he", "depth": 5}


def after(steps: int, **controls: object) -> Watched:
    watched = Watched(**controls)
    watched.do("step", steps=steps)
    watched.work()
    return watched


@pytest.mark.parametrize(
    "controls",
    [
        HEALTHY | {"optimizer": "sgd", "learning_rate": 1e9},  # Inf at the first step
        {"activation": "relu", "init": "he", "depth": 8, "optimizer": "momentum", "learning_rate": 0.3},  # after some
        {"learning_rate": 1e9},  # all numbers stay finite
        {"optimizer": "sgd", "l2": 1e6},  # NaN by a penalty
    ],
)
def test_what_too_long_steps_have_done_is_said_first_and_a_shorter_one_offered(controls: dict[str, object]) -> None:
    watched = after(40, **controls)
    slot = watched.lab.slots["a"]
    finding = watched.last("diagnosis")["findings"][0]
    assert finding["symptom"] == "lr_too_high"
    assert finding["severity"] == "critical"
    assert f"{slot.step} step" in finding["plain"]["en"] or "learning rate" in finding["plain"]["en"]
    assert "스텝이 너무 깁니다" in finding["plain"]["ko"] or "학습률" in finding["plain"]["ko"]
    (remedy,) = finding["remedies"][0]["remedies"]
    cured = Watched(**with_remedies(slot.spec, (remedy,)).to_dict())
    cured.do("step", steps=40)
    cured.work()
    assert cured.last("frame")["broke"] is None
    assert cured.last("frame")["loss"] < 3.0


def test_growth_is_that_of_the_weights() -> None:
    slot = Slot(Spec.from_dict(HEALTHY))
    weight = slot.network.model.linear1.weight
    was = float(weight.detach().square().mean().sqrt())
    for _ in range(5):
        slot.advance(is_measured=True)
    now = float(weight.detach().square().mean().sqrt())
    grown = growth_of(slot.start, slot.look()[0])
    assert grown["linear1.weight"] == pytest.approx(now / was, rel=1e-5)
    assert all(math.isfinite(value) for value in grown.values())


@pytest.mark.parametrize(
    "controls",
    [
        HEALTHY,
        HEALTHY | {"optimizer": "sgd", "learning_rate": 0.1},
        HEALTHY | {"learning_rate": 0.01},
        {"activation": "tanh", "depth": 10},
        {"preset": "cnn", "depth": 4, "width": 8, "activation": "relu", "init": "he"},
    ],
)
def test_weights_of_networks_that_learn_stay_far_from_it(controls: dict[str, object]) -> None:
    watched = after(60, **controls)
    slot = watched.lab.slots["a"]
    assert max(growth_of(slot.start, slot.look()[0]).values()) < 3 < GROWN
    assert "lr_too_high" not in [finding["symptom"] for finding in watched.last("diagnosis")["findings"]]


def test_weights_that_were_zero_or_no_numbers_at_the_start_tell_nothing() -> None:
    zero = Slot(Spec.from_dict(HEALTHY | {"init": "normal", "scale": 0.0}))
    zero.advance(is_measured=True)
    assert growth_of(zero.start, zero.look()[0]) == {}
    broken = Watched(activation="relu", init="normal", scale=1e30)
    assert broken.last("diagnosis")["findings"][0]["symptom"] == "overflow"
