"""What a student asks of a lab, and what comes back as events."""

import json
import math
import time
from copy import deepcopy
from typing import Any

import pytest
from torch import nn

import headwater as hw
from headwater.lab.csv_data import read
from headwater.lab.refusal import RefusedError
from headwater.lab.session import Lab
from headwater.lab.spec import Spec
from headwater.lab.theory_line import prediction_of
from headwater.lab.views import VIEWS
from tests.lab.files import IRIS_LIKE


class Watched:
    """A lab with what it has said."""

    def __init__(self, compare: dict[str, Any] | None = None, **controls: Any) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        other = Spec.from_dict(compare) if compare is not None else None
        self.lab = Lab(Spec.from_dict(controls), self._note, compare=other)
        self.lab.tell_all()
        self.judge()

    def judge(self) -> None:
        """Let it say what is wrong, as it does when it has answered."""
        if self.lab._to_judge:
            self.lab.turn()

    def _note(self, name: str, data: dict[str, Any]) -> None:
        json.dumps(data, allow_nan=False)
        self.events.append((name, data))

    def do(self, command: str, **more: Any) -> Any:
        result = self.lab.do({"do": command, **more})["result"]
        self.judge()
        return result

    def work(self) -> None:
        """Until there is nothing left to do."""
        while self.lab.due_in_s(time.monotonic()) is not None:
            self.lab.wants_frame = True
            self.lab.turn()

    def last(self, name: str, slot: str = "a") -> dict[str, Any]:
        return next(data for event, data in reversed(self.events) if event == name and data.get("slot", slot) == slot)


SMALL = {"depth": 4, "width": 8, "data": "moons"}


def test_lab_begins_with_all_that_a_page_needs() -> None:
    watched = Watched()
    assert [name for name, _ in watched.events] == ["lab", "network", "frame", "diagnosis"]
    assert watched.last("frame")["step"] == 0


def test_diagnosis_is_that_of_check_and_offers_its_remedies() -> None:
    watched = Watched()
    slot = watched.lab.slots["a"]
    report = hw.check(slot.network.model, slot.first_batch, slot.network.loss)
    told = watched.last("diagnosis")
    assert [finding["symptom"] for finding in told["findings"]] == [f.symptom for f in report.findings]
    assert told["findings"][0]["symptom"] == "vanishing"
    assert told["findings"][0]["remedies"][0]["remedies"] == list(report.findings[0].prescriptions[0].remedies)
    assert told["findings"][0]["remedies"][0]["code"] == report.findings[0].prescriptions[0].code
    assert report.diagnosis.waterfall is not None
    assert told["waterfall"]["decades"] == pytest.approx(report.diagnosis.waterfall.decades)
    assert "기울기" in told["findings"][0]["sentence"]["ko"]


def test_from_vanished_to_alive_in_three_changes() -> None:
    watched = Watched()
    for controls in ({"activation": "relu"}, {"init": "he"}, {"depth": 12}):
        watched.do("change", controls=controls)
    assert watched.last("diagnosis")["verdict"] == "healthy"
    watched.do("step", steps=120)
    watched.work()
    assert watched.last("frame")["step"] == 120
    assert watched.last("frame")["scores"][-1][3] > 0.9


def test_play_pause_and_step() -> None:
    watched = Watched(**SMALL)
    watched.do("play", pace=0)
    for _ in range(3):
        watched.lab.turn()
    watched.do("pause")
    assert not watched.lab.playing
    assert watched.lab.due_in_s(time.monotonic()) is None
    step = watched.lab.slots["a"].step
    assert step > 0
    watched.do("step", steps=7)
    watched.work()
    assert watched.lab.slots["a"].step == step + 7
    assert watched.last("frame")["step"] == step + 7


def test_pace_is_kept_and_each_update_is_drawn() -> None:
    watched = Watched(**SMALL)
    watched.do("play", pace=20)
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        watched.lab.wants_frame = True
        if watched.lab.due_in_s(time.monotonic()) == 0.0:
            watched.lab.turn()
        else:
            time.sleep(0.002)
    drawn = [data["step"] for name, data in watched.events if name == "frame" and data["kind"] == "step"]
    assert drawn == list(range(1, len(drawn) + 1))
    assert 10 <= len(drawn) <= 22


def test_frames_wait_for_who_reads_slowly_and_lose_nothing() -> None:
    watched = Watched(**SMALL)
    watched.lab.wants_frame = False
    watched.events.clear()
    watched.do("play", pace=0)
    for _ in range(4):
        watched.lab.turn()
    assert [name for name, _ in watched.events if name == "frame"] == []
    watched.lab.wants_frame = True
    watched.do("pause")
    assert [row[0] for row in watched.last("frame")["course"]] == list(range(watched.lab.slots["a"].step))


def test_remedy_stands_beside_what_it_repairs_and_can_be_kept() -> None:
    watched = Watched()
    watched.do("step", steps=3)
    watched.work()
    remedies = watched.last("diagnosis")["findings"][0]["remedies"][0]["remedies"]
    watched.do("apply", remedies=remedies)
    assert watched.lab.relation == "remedy"
    assert {name: slot.step for name, slot in watched.lab.slots.items()} == {"a": 0, "b": 0}
    watched.do("step", steps=60)
    watched.work()
    assert [watched.lab.slots[name].step for name in "ab"] == [60, 60]
    before, after = (watched.lab.slots[name].scores[-1].metric or 0.0 for name in "ab")
    assert after > before + 0.3
    assert any("accuracy" in said["en"] for said in watched.last("difference")["said"])
    watched.do("keep")
    assert set(watched.lab.slots) == {"a"}
    assert watched.lab.slots["a"].spec.activation != "sigmoid"


def test_two_networks_have_the_same_seed_and_data() -> None:
    watched = Watched(**SMALL)
    watched.do("compare", spec={"activation": "relu", "init": "he", "seed": 9, "data": "digits", "depth": 3})
    second = watched.lab.slots["b"].spec
    assert (second.seed, second.data, second.activation) == (0, "moons", "relu")
    assert "activation" in watched.last("difference")["said"][0]["en"]
    with pytest.raises(RefusedError, match="same in both"):
        watched.do("change", slot="b", controls={"seed": 4})
    watched.do("change", controls={"seed": 4})
    assert watched.lab.slots["b"].spec.seed == 4
    watched.do("drop")
    with pytest.raises(RefusedError):
        watched.do("drop")


def test_backward_pass_goes_from_the_loss_to_the_first_layer_and_updates_nothing() -> None:
    watched = Watched()
    before = [p.clone() for p in watched.lab.slots["a"].network.model.parameters()]
    found = watched.do("backward")
    assert [row["layer"] for row in found["rows"]] == sorted((row["layer"] for row in found["rows"]), reverse=True)
    assert sum(row["decades"] or 0.0 for row in found["rows"]) == pytest.approx(found["total"], abs=1e-6)
    assert found["total"] < -10
    assert all(
        bool((a == b).all()) for a, b in zip(before, watched.lab.slots["a"].network.model.parameters(), strict=True)
    )


def test_chain_rule_of_a_small_network_is_written_out_factor_by_factor() -> None:
    watched = Watched(depth=3, width=1, data="curve")
    found = watched.do("trace", parameter="linear1.weight[0,0]")
    assert found["kind"] == "chain"
    assert math.prod(factor["value"] for factor in found["factors"]) == pytest.approx(found["gradient"]["value"])
    assert all(check["status"] != "fails" for check in found["checks"])
    assert Watched().do("trace")["kind"] == "layers"
    with pytest.raises(RefusedError, match="no parameter"):
        watched.do("trace", parameter="9.weight")


def test_trace_of_any_weight_of_a_wide_network_ends_at_that_weight() -> None:
    watched = Watched(depth=5, width=20, activation="tanh")
    network = watched.lab.slots["a"].network
    x, y = network.batches.peek()
    double = deepcopy(network.model).double()
    nn.functional.cross_entropy(double(x[:1].double()), y[:1]).backward()
    for name, at in (("linear1.weight", (7, 33)), ("linear3.weight", (19, 0)), ("output.weight", (9, 4))):
        found = watched.do("trace", parameter=f"{name}[{at[0]},{at[1]}]")
        gradient = double.get_parameter(name).grad
        assert gradient is not None
        by_autograd = float(gradient[at])
        own = found["arrival"]
        assert found["kind"] == "layers"
        assert own["name"] == name.split(".")[0]
        assert own["count"] == 1
        product = own["error"]["value"] * own["activation"] * own["alignment"]
        assert product == pytest.approx(by_autograd, rel=1e-9)
        assert found["gradient"]["value"] == pytest.approx(by_autograd, rel=1e-9)
        assert next(check for check in found["checks"] if check["id"] == "own")["status"] == "holds"


def test_landscape_has_the_networks_own_loss_in_its_middle() -> None:
    watched = Watched(**SMALL)
    found = watched.do("landscape", size=5)
    slot = watched.lab.slots["a"]
    with slot.evaluating() as model:
        here = float(slot.network.loss(model, (slot.network.split.x[:128], slot.network.split.y[:128])))
    assert found["losses"][2][2] == pytest.approx(here, rel=1e-4)
    assert len({value for row in found["losses"] for value in row}) > 10
    for size in (4, 43, "5", True):
        with pytest.raises(RefusedError):
            watched.do("landscape", size=size)


def test_views_show_what_the_network_really_does() -> None:
    watched = Watched(**SMALL | {"activation": "relu", "dropout": 0.5, "bias": -0.2})
    watched.do("view", views=list(VIEWS))
    seen = watched.last("details")
    samples = 256 * 8
    assert all(sum(counts) == samples for counts in seen["histograms"]["counts"])
    assert min(seen["histograms"]["low"]) == 0.0
    assert min(seen["inputs"]["low"]) < 0.0
    assert sum(map(sum, seen["weights"]["counts"])) == 2 * 8 + 8 * 8 * 2 + 8 * 2
    shares = [sum(units) / len(units) for units in seen["mask"]["units"]]
    assert any(share < 1 for share in shares)
    assert len(seen["boundary"]["classes"]) == seen["boundary"]["size"] ** 2
    assert set(seen["boundary"]["classes"]) <= {0, 1}
    assert all(len(units) == 8 for units in seen["units"]["dead"])
    masks: list[list[int]] = []
    for module in watched.lab.slots["a"].network.model.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda _m, x, y: masks.append(((y[0] != 0) | (x[0][0] == 0)).int().tolist()))
    watched.lab.slots["a"].advance(False)
    assert masks[:3] == seen["mask"]["units"]
    watched.do("step")
    watched.work()
    assert watched.last("details")["mask"]["units"] != seen["mask"]["units"]
    with pytest.raises(RefusedError):
        watched.do("view", views=["nothing"])


def test_looking_changes_nothing() -> None:
    watched, plain = (
        Watched(**SMALL | {"dropout": 0.4, "normalisation": "batch"}),
        Watched(**SMALL | {"dropout": 0.4, "normalisation": "batch"}),
    )
    watched.do("view", views=list(VIEWS))
    for command in ("backward", "trace", "export"):
        watched.do(command)
    watched.do("landscape", size=5)
    for one in (watched, plain):
        one.do("step", steps=10)
        one.work()
    assert watched.lab.slots["a"].course == plain.lab.slots["a"].course


def test_locked_controls_stay_and_cannot_be_unlocked() -> None:
    watched = Watched(**SMALL, locked=["depth", "seed"])
    for controls in ({"depth": 3}, {"locked": []}, {"width": 4, "seed": 1}):
        with pytest.raises(RefusedError) as refused:
            watched.do("change", controls=controls)
        assert refused.value.status == 423
    assert watched.do("change", controls={"width": 4})["said"]["ko"]
    assert watched.lab.slots["a"].spec.depth == 4


def test_lab_of_a_file_trains_on_it() -> None:
    watched = Watched(**SMALL)
    uploaded = read(IRIS_LIKE)
    with pytest.raises(RefusedError):
        watched.do("change", controls={"data": "csv", "csv": uploaded.id})
    watched.lab.upload(uploaded)
    watched.do("change", controls={"data": "csv", "csv": uploaded.id})
    assert (watched.last("network")["inputs"], watched.last("network")["train"]) == (2, 47)
    watched.do("step", steps=5)
    watched.work()
    assert watched.lab.slots["a"].step == 5


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"do": "nothing"},
        {"do": ["play"]},
        {"do": "play", "pace": -1},
        {"do": "play", "pace": "fast"},
        {"do": "step", "steps": 0},
        {"do": "step", "steps": 10**9},
        {"do": "change"},
        {"do": "change", "controls": []},
        {"do": "change", "slot": "c", "controls": {}},
        {"do": "apply"},
        {"do": "apply", "remedies": ["nothing"]},
        {"do": "apply", "remedies": "activation.relu"},
        {"do": "apply", "remedies": ["regularisation.l2:abc"]},
        {"do": "apply", "remedies": ["regularisation.l1:1e400"]},
        {"do": "apply", "remedies": ["structure.rezero"] * 7},
        {"do": "change", "controls": {"remedies": ["../../etc"]}},
        {"do": "keep"},
        {"do": "compare", "state": "depth.0"},
        {"do": "trace", "parameter": 3},
        {"do": "goal"},
    ],
)
def test_hostile_command_is_refused_and_the_lab_goes_on(command: dict[str, Any]) -> None:
    watched = Watched(**SMALL)
    with pytest.raises(RefusedError) as refused:
        watched.lab.do(command)
    assert refused.value.to_dict()["error"]["text"]["ko"]  # type: ignore[index]
    watched.do("step")
    watched.work()
    assert watched.lab.slots["a"].step == 1


def test_overfitting_is_found_in_the_course_of_training() -> None:
    watched = Watched(
        depth=7,
        width=100,
        activation="relu",
        init="he",
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=100,
        samples=300,
    )
    watched.do("step", steps=200)
    watched.work()
    watched.do("step", steps=150)
    watched.work()
    assert "overfitting" in [finding["symptom"] for finding in watched.last("diagnosis")["findings"]]


def test_theory_lies_beside_the_measurement() -> None:
    spec = Spec.from_dict({"depth": 12, "width": 64})
    expected, measured = prediction_of(spec), Watched(depth=12, width=64).last("frame")["sites"]
    assert expected["factor"] == pytest.approx(0.236, rel=0.15)
    for quantity in ("activation", "gradient"):
        for theory, found in zip(expected["sites"][quantity], measured[quantity], strict=True):
            assert theory == pytest.approx(found, abs=0.2)
    assert prediction_of(
        Spec.from_dict({"preset": "rnn", "depth": 2, "width": 8, "activation": "tanh", "init": "default"})
    )


def test_change_that_does_not_go_together_is_refused_also_while_weights_are_kept() -> None:
    watched = Watched(**SMALL | {"normalisation": "batch"})
    watched.do("step", steps=2)
    watched.work()
    with pytest.raises(RefusedError, match="two samples"):
        watched.lab.do({"do": "change", "controls": {"batch_size": 1}})
    assert watched.lab.slots["a"].spec.batch_size > 1  # as it was
    watched.do("step")
    watched.work()
    assert watched.lab.slots["a"].step == 3


def test_network_that_is_broken_does_not_seem_to_play() -> None:
    watched = Watched(activation="relu", init="normal", scale=1e30)
    assert watched.lab.slots["a"].is_done
    assert not watched.lab.do({"do": "play"})["lab"]["playing"]
    watched.lab.do({"do": "change", "controls": {"scale": 0.1}})
    assert watched.lab.do({"do": "play"})["lab"]["playing"]


def test_theory_whose_numbers_have_ended_says_that_it_predicts_nothing() -> None:
    told = prediction_of(Spec.from_dict({"activation": "relu", "init": "normal", "scale": 1e30}))
    assert "no prediction" in told["said"]["en"]
    assert "nan" not in told["said"]["ko"].lower()
