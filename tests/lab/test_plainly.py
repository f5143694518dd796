"""What a student is told: plain, by layer, true of this very network, and in both languages."""

import math
import re

import pytest
import torch

from headwater.i18n.catalog import catalog
from headwater.lab.figures import FIGURES
from headwater.lab.folding import with_remedies
from headwater.lab.network import built
from headwater.lab.plainly import times
from headwater.lab.reasons import OTHER, reason_of
from headwater.lab.refusal import RefusedError
from headwater.lab.rehearsal import first_step_of, risk_of
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from headwater.lab.trials import NEAR, Trial, ranked, tried
from headwater.remedies.registry import REMEDIES
from tests.lab.test_session import SMALL, Watched

# What cannot come up in the lab, and why.
ELSEWHERE = {
    "frozen_fresh": "nothing is frozen",
    "bad_init_large_attention": "there is no attention",
    "loss_twice": "the lab calls the loss on what the output layer gives",
    "loss_no_logarithm": "the same",
    "loss_of_scores": "the same",
    "loss_spread": "outputs have the shape of the targets",
    "normalization_never_gathered": "networks are measured while they train",
    "normalization_never_moving": "the momentum is PyTorch's",
    "vanishing_through_time_cut": "PyTorch's RNN is one call",
    "vanishing_through_time_part": "nothing is detached",
    "unregistered": "every layer is registered",
    "never_moves": "the output's bias always has a gradient",
    "factors_never_move": "no two of its weights are multiplied with each other and start at zero",
    "nonfinite_loss_since": "a network that has broken is judged by the step that broke it",
    "same_data": "it takes several ranks",
    "not_synchronised": "the same",
    "batchnorm_per_rank": "the same",
    "uneven_steps": "the same",
    "rank_models": "the same",
    "rank_data_mean": "the same",
    "rank_data_scale": "the same",
    "no_steps": "the same",
}
HEALTHY = {"activation": "relu", "init": "he"}


def test_every_finding_that_can_come_up_in_the_lab_has_a_plain_sentence() -> None:
    texts = catalog("en")
    findings = {id_.removeprefix("finding.") for id_ in texts if id_.startswith("finding.")}
    plain = {id_.removeprefix("lab.engine.plain.") for id_ in texts if id_.startswith("lab.engine.plain.")}
    assert findings - plain == set(ELSEWHERE)
    for language in ("en", "ko"):
        told = {key: catalog(language)[f"lab.engine.plain.{key}"] for key in plain}
        assert [key for key, text in told.items() if re.search(r"\{site|\{norm|decades|sites?\b", text)] == []


def test_vanishing_is_said_by_layer_and_power_of_ten() -> None:
    finding = Watched().last("diagnosis")["findings"][0]
    said = "Layer 1 gets 10¹² times less gradient than the last layer: it hardly learns."
    assert finding["plain"]["en"] == said
    assert finding["plain"]["ko"].startswith("1층은 마지막 층보다 10¹²배 작은 기울기를")
    assert "linear1" in finding["sentence"]["en"]  # the exact one, a click away
    assert finding["layers"] == [1]


def test_layer_that_moves_all_the_same_is_not_said_to_stand_still() -> None:
    adam = Watched(depth=8).last("diagnosis")["findings"][0]
    assert adam["symptom"] == "vanishing"
    assert "Adam's steps move it all the same" in adam["plain"]["en"]
    plain = Watched(depth=8, optimizer="sgd").last("diagnosis")["findings"][0]
    assert plain["plain"]["en"].endswith("it hardly learns.")


def test_factors_read_as_people_write_them() -> None:
    assert [times(d) for d in (0.3, 3.1, 4.73, 12.4, math.inf)] == ["2", "1,300", "54,000", "10¹²", "Inf"]


def test_causes_name_layers_and_no_modules() -> None:
    watched = Watched(activation="relu", init="normal", scale=1e30, depth=4)
    whys = [cause["why"]["en"] for finding in watched.last("diagnosis")["findings"] for cause in finding["causes"]]
    assert whys
    assert not [why for why in whys if re.search(r"linear\d|activation\d|output ", why)]


def test_verdict_before_any_step_is_one_on_the_start() -> None:
    watched = Watched(**HEALTHY, depth=5)
    assert "only the start was looked at" in watched.last("diagnosis")["headline"]["en"]
    watched.do("step", steps=3)
    watched.work()
    assert watched.last("diagnosis")["headline"]["en"] == "No problem found after 3 steps."
    watched.do("reset")
    watched.do("step", steps=1)
    watched.work()
    assert "after 1 step." in watched.last("diagnosis")["headline"]["en"]


def test_absurd_learning_rate_is_named_before_the_first_step_and_by_what_it_does() -> None:
    told = Watched(**HEALTHY, optimizer="sgd", learning_rate=1e9).last("diagnosis")
    finding = told["findings"][0]
    assert (told["verdict"], finding["symptom"], finding["severity"]) == ("findings", "lr_too_high", "critical")
    spec = Spec.from_dict({**HEALTHY, "optimizer": "sgd", "learning_rate": 1e9})
    slot = Slot(spec)
    before = {name: p.detach().clone() for name, p in slot.network.model.named_parameters() if p.dim() > 1}
    slot.advance(is_measured=True)
    after = dict(slot.network.model.named_parameters())
    moved = max(float((after[name].detach() - weight).norm() / weight.norm()) for name, weight in before.items())
    step = first_step_of(spec)
    assert step is not None
    assert step.largest == pytest.approx(moved)
    assert step.before == pytest.approx(slot.course[0][1])
    (remedy,) = finding["remedies"][0]["remedies"]
    cured = with_remedies(spec, (remedy,))
    assert cured.remedies == ()
    assert risk_of(first_step_of(cured)) is None


@pytest.mark.parametrize(
    "controls",
    [
        {},
        HEALTHY,
        HEALTHY | {"optimizer": "sgd", "learning_rate": 0.1},
        {"activation": "tanh", "init": "normal", "scale": 0.01, "depth": 5},
        HEALTHY | {"learning_rate": 0.0},
        HEALTHY | {"width": 256, "depth": 3, "learning_rate": 0.01},
    ],
)
def test_usual_learning_rates_are_no_risk(controls: dict[str, object]) -> None:
    assert risk_of(first_step_of(Spec.from_dict(controls))) is None


def test_rehearsing_the_first_step_changes_nothing() -> None:
    seen, unseen = Slot(Spec.from_dict(SMALL | {"dropout": 0.3})), Slot(Spec.from_dict(SMALL | {"dropout": 0.3}))
    state = torch.get_rng_state()
    assert seen.first_step is not None
    assert torch.equal(torch.get_rng_state(), state)
    for slot in (seen, unseen):
        for _ in range(3):
            slot.advance(is_measured=False)
    assert seen.course == unseen.course


def test_relu_does_not_saturate() -> None:
    saturated = FIGURES["saturated"]
    assert saturated(Slot(Spec.from_dict(SMALL | HEALTHY))) == 0.0
    assert (saturated(Slot(Spec.from_dict(SMALL | {"init": "normal", "scale": 50.0}))) or 0.0) > 0.5
    assert saturated(Slot(Spec.from_dict(SMALL | {"depth": 1}))) is None


# Trials


def _trial(*remedies: str, accuracy: float) -> Trial:
    return Trial(remedies, 100, accuracy, 1.0)


def test_what_helps_more_comes_first_and_of_equals_what_the_lectures_teach() -> None:
    tanh, relu = ("activation.tanh", "init.xavier"), ("activation.relu", "init.he")
    better = [_trial(*tanh, accuracy=0.95), _trial(*relu, accuracy=0.95 - 2 * NEAR)]
    assert [one.remedies for one in ranked(better)] == [tanh, relu]
    equal = [_trial("activation.tailored", accuracy=0.95), _trial(*relu, accuracy=0.95 - 0.9 * NEAR)]
    assert [one.remedies for one in ranked(equal)] == [relu, ("activation.tailored",)]
    broken = [Trial(relu, 3, None, math.nan), _trial(*tanh, accuracy=0.2), Trial(("init.lsuv",), 0, None, None)]
    assert ranked(broken)[0].remedies == tanh
    assert [one.remedies for one in ranked([Trial(relu, 0, None, None), Trial(tanh, 0, None, None)])] == [relu, tanh]


def test_trial_is_what_the_network_with_the_remedy_really_does() -> None:
    spec = Spec.from_dict(SMALL | {"depth": 6})
    remedies = ("activation.relu", "init.he")
    (found,) = tried(spec, None, (remedies,))["tried"]
    slot = Slot(with_remedies(spec, remedies))
    for _ in range(found["steps"]):
        slot.advance(is_measured=False)
    assert found["steps"] == 100
    assert (found["accuracy"], found["loss"]) == (slot.scores[-1].validation_metric, slot.scores[-1].validation_loss)


# Refusals

NETWORKS = {
    "sigmoid": SMALL,
    "relu": SMALL | HEALTHY,
    "linear": SMALL | {"activation": "identity"},
    "shortcuts": SMALL | {"residual": True, "activation": "relu"},
    "normalised": SMALL | {"normalisation": "batch", "activation": "gelu"},
    "dropout": SMALL | {"dropout": 0.5},
    "output only": SMALL | {"depth": 1},
    "broken": SMALL | {"init": "normal", "scale": 1e30, "activation": "relu"},
    "curve": SMALL | {"data": "curve"},
    "cnn": {"preset": "cnn", "depth": 4, "width": 4, "activation": "relu", "init": "he", "samples": 64},
    "rnn": {"preset": "rnn", "depth": 2, "width": 4, "activation": "tanh", "init": "default", "samples": 64},
}


@pytest.mark.parametrize("network", NETWORKS)
def test_no_refusal_of_a_remedy_quotes_english_in_korean(network: str) -> None:
    spec = Spec.from_dict(NETWORKS[network])
    refused = {remedy: error for remedy in REMEDIES if (error := refusal_of(spec, remedy)) is not None}
    assert len(refused) > 3
    for remedy, error in refused.items():
        if "reason" in error.message.values:
            assert reason_of(str(error.message.values["reason"])) != OTHER, error
        korean = error.text["ko"].replace(remedy, "")
        assert not re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", korean), korean


def refusal_of(spec: Spec, remedy: str) -> RefusedError | None:
    try:
        built(with_remedies(spec, (remedy,)))
    except RefusedError as error:
        return error
    return None


def test_refusals_of_the_chain_rule_and_of_files_are_korean_too() -> None:
    for watched, parameter in (
        (Watched(**SMALL), "9.weight"),
        (Watched(**SMALL), "linear1.weight[99,99]"),
    ):
        with pytest.raises(RefusedError) as error:
            watched.lab.do({"do": "trace", "parameter": parameter})
        assert not re.search("[a-z]{3,} [a-z]{2,} [a-z]{2,}", error.value.text["ko"])
        assert reason_of(str(error.value.message.values["reason"])) != OTHER


def test_plain_sentences_of_trainings_leave_no_place_open() -> None:
    seen = set()
    for controls in (
        {"init": "normal", "scale": 0.0, "activation": "relu"},
        {"activation": "relu", "init": "he", "bias": -10.0, "depth": 5},
        {"activation": "tanh", "init": "normal", "scale": 1.0, "width": 100, "depth": 10},
        {"activation": "identity"},
        {"dropout": 0.95, "activation": "relu", "init": "he"},
        {"activation": "sigmoid", "init": "normal", "scale": 10.0, "depth": 3},
        {"activation": "relu", "init": "normal", "scale": 1e30},
        {"preset": "rnn", "depth": 2, "width": 8, "activation": "tanh", "init": "default", "samples": 64},
    ):
        watched = Watched(**controls)
        watched.do("step", steps=12)
        watched.work()
        for finding in [f for name, data in watched.events if name == "diagnosis" for f in data["findings"]]:
            seen.add(finding["symptom"])
            for said in finding["plain"].values():
                assert not re.search(r"[{}]|None|lab\.engine|linear\d|activation\d", said), said
    assert len(seen) >= 6
