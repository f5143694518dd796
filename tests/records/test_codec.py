"""Every record goes to strict JSON and back unchanged, and its schema names all that it writes."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path as Folder
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from headwater.records import (
    Arm,
    Diagnosis,
    Evidence,
    Experiment,
    Finding,
    Flow,
    Message,
    Moments,
    Path,
    PathStep,
    Proof,
    RunInfo,
    Site,
    SiteFlow,
    Waterfall,
    WaterfallBar,
    decode,
    encode,
    schema_of,
)
from tests.helpers import closed
from tests.records.strategies import RECORDS, values_of

SCHEMAS = {"Diagnosis": "headwater/diagnosis/1", "Flow": "headwater/flow/1", "Proof": "headwater/proof/2"}
RELU = Site("act", "ReLU", "activation", order=1, module="act", activation="relu", shape=(8, 4))
FLOW = Flow(
    sites=(SiteFlow(RELU, activation=Moments(count=1, min=0.5, max=0.5, log2_histogram=((-1, 1),))),),
    parameters=(),
    path=Path("0", "act", -3.0, -1.0, (PathStep("act", "ReLU", "activation", "operation", -math.inf),)),
    loss=math.nan,
    gaps=(Message("gap.no_activation_gradient", {"n": 1, "x": math.inf, "who": None}),),
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(encode(value), allow_nan=False))


def test_every_record_is_tried() -> None:
    assert {cls.__name__ for cls in RECORDS} == {
        *("Arm", "Cause", "Diagnosis", "Evidence", "Finding", "Flow", "Message", "Moments", "ParameterFlow", "Path"),
        *("PathStep", "Prescription", "Proof", "RunInfo", "Site", "SiteFlow", "Waterfall", "WaterfallBar"),
        *("Event", "TimeGradient", "WatchInfo", "Consequence", "Score", "Setup", "Training", "TrainingStep"),
        *("Dependence", "Effect", "Intervention", "Pairing", "Candidate", "Cost", "Measure", "Tuned"),
        *(
            "Arrival",
            "Comparison",
            "Derivation",
            "Descent",
            "Factor",
            "LayerGain",
            "ScalarPath",
            "Signed",
            "Stage",
            "WeightGradient",
        ),
    }


@pytest.mark.parametrize("cls", RECORDS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_record_comes_back_from_strict_json_as_it_was(cls: type, data: st.DataObject) -> None:
    record = data.draw(values_of(cls))
    written = through_json(record)
    # NaN differs from itself, 0.0 equals -0.0 and 1 equals 1.0: their reprs tell the truth.
    assert repr(decode(cls, written)) == repr(record)
    assert Draft202012Validator(closed(schema_of(cls))).is_valid(written)


def test_proof_of_the_first_schema_is_read() -> None:
    stored = json.loads((Folder(__file__).parent / "stored" / "proof.v1.json").read_text())
    assert stored["schema"] == "headwater/proof/1"
    proof = decode(Proof, stored)
    assert (proof.verdict, proof.seeds, proof.steps) == ("proven", (0, 1), 5)
    assert proof.effect == stored["effect"]
    assert (proof.rates, proof.cost, proof.interval_method) == ((1.0,), None, "t")
    assert encode(proof)["schema"] == "headwater/proof/2"
    with pytest.raises(ValueError, match="expected schema 'headwater/proof/2', got 'headwater/proof/3'"):
        decode(Proof, {**stored, "schema": "headwater/proof/3"})


@pytest.mark.parametrize("cls", RECORDS)
def test_schema_is_itself_valid(cls: type) -> None:
    schema = schema_of(cls)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$ref"] == f"#/$defs/{cls.__name__}"
    assert schema["$defs"][cls.__name__]["description"] == cls.__doc__.splitlines()[0]


@pytest.mark.parametrize("cls", RECORDS)
def test_schema_id_is_there_where_a_file_begins(cls: type) -> None:
    assert getattr(cls, "SCHEMA", None) == SCHEMAS.get(cls.__name__)
    required = schema_of(cls)["$defs"][cls.__name__]["required"]
    assert ("schema" in required) == (cls.__name__ in SCHEMAS)


@pytest.mark.parametrize("cls", RECORDS)
@settings(max_examples=1, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_record_is_frozen(cls: type, data: st.DataObject) -> None:
    record = data.draw(values_of(cls))
    for field in dataclasses.fields(cls):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field.name, None)


def test_json_form_reads_as_documented() -> None:
    written = through_json(FLOW)
    assert written["schema"] == "headwater/flow/1"
    assert written["loss"] == "nan"
    assert written["path"]["steps"][0]["log10_gain"] == "-inf"
    assert written["gaps"] == [{"id": "gap.no_activation_gradient", "values": {"n": 1, "x": "inf", "who": None}}]
    assert written["sites"][0]["site"]["shape"] == [8, 4]
    assert written["sites"][0]["activation"]["log2_histogram"] == [[-1, 1]]
    assert written["sites"][0]["activation_grad"] is None


def test_flow_reads_its_own_dictionary() -> None:
    assert repr(Flow.from_dict(json.loads(json.dumps(FLOW.to_dict(), allow_nan=False)))) == repr(FLOW)


def test_number_keeps_its_kind() -> None:
    for value in (3, 3.0, "3", None, "inf?", -0.0):
        back = decode(Evidence, through_json(Evidence("s", value)))
        assert repr(back.value) == repr(value)
    assert decode(Evidence, {"statistic": "s", "value": 1, "threshold": 2}) == Evidence("s", 1, 2.0)
    assert isinstance(decode(Evidence, {"statistic": "s", "value": 1, "threshold": 2}).threshold, float)


def test_keys_the_record_does_not_know_are_passed_over() -> None:
    assert decode(Message, {"id": "a", "values": {}, "text": "rendered"}) == Message("a")


def test_fields_with_a_default_may_be_missing() -> None:
    assert decode(Moments, {"count": 3}) == Moments(count=3)


Change = Callable[[dict[str, Any]], object]
CHANGES: list[tuple[Change, str]] = [
    (lambda flow: flow.update(schema="headwater/proof/1"), "expected schema 'headwater/flow/1', got 'headwater/proof"),
    (lambda flow: flow.pop("schema"), "got None"),
    (lambda flow: flow.pop("loss"), "Flow needs 'loss'"),
    (lambda flow: flow["path"].pop("first"), "Flow.path: Path needs 'first'"),
    (lambda flow: flow.update(loss="a lot"), "Flow.loss: expected a number, got 'a lot'"),
    (lambda flow: flow.update(loss="NaN"), "Flow.loss: expected a number, got 'NaN'"),
    (lambda flow: flow.update(loss=True), "Flow.loss: expected a number"),
    (lambda flow: flow.update(followed_share=None), "Flow.followed_share: expected a number"),
    (lambda flow: flow.update(samples="8"), "Flow.samples: expected int, got '8'"),
    (lambda flow: flow.update(samples=8.5), "Flow.samples: expected int"),
    (lambda flow: flow.update(samples=True), "Flow.samples: expected int"),
    (lambda flow: flow.update(optimizer=3), "Flow.optimizer: expected str or NoneType, got 3"),
    (lambda flow: flow.update(sites={"a": 1}), "Flow.sites: expected a list"),
    (lambda flow: flow.update(sites="act"), "Flow.sites: expected a list, got 'act'"),
    (lambda flow: flow.update(sites=[3]), "Flow.sites: SiteFlow is read from a JSON object, got 3"),
    (
        lambda flow: flow["sites"][0]["site"].update(kind="magic"),
        "Flow.sites: SiteFlow.site: Site.kind: expected one of activation, affine,",
    ),
    (lambda flow: flow["sites"][0]["site"].update(functional=1), "Site.functional: expected bool"),
    (
        lambda flow: flow["sites"][0]["activation"].update(log2_histogram=[[1, 2, 3]]),
        "Moments.log2_histogram: expected a list of 2",
    ),
    (lambda flow: flow["gaps"][0].update(values=[1]), "Message.values: expected an object"),
    (lambda flow: flow["gaps"][0]["values"].update(n=[1]), "Message.values: expected a number"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message for _, message in CHANGES])
def test_damaged_data_are_refused_by_name(change: Change, message: str) -> None:
    data = through_json(FLOW)
    validator = Draft202012Validator(schema_of(Flow))
    assert validator.is_valid(data)
    change(data)
    with pytest.raises(ValueError) as caught:
        decode(Flow, data)
    assert message in str(caught.value)
    assert not validator.is_valid(data)


@pytest.mark.parametrize("data", [None, [], "flow", 3])
def test_what_is_no_object_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="Flow is read from a JSON object"):
        decode(Flow, data)


def test_schema_allows_what_a_newer_version_adds() -> None:
    newer = {**through_json(FLOW), "added": 1}
    assert Draft202012Validator(schema_of(Flow)).is_valid(newer)
    assert repr(decode(Flow, newer)) == repr(FLOW)
    # ... and the stricter form, which the tests hold our own files against, does not.
    assert not Draft202012Validator(closed(schema_of(Flow))).is_valid(newer)


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, b"bytes", Flow])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(value).__name__} has no JSON form"):
        encode((value,))


def test_schema_of_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="no JSON Schema"):
        schema_of(Experiment)


def test_derived_numbers_follow_from_the_fields() -> None:
    bars = (WaterfallBar("a", "ReLU", "activation", -3.0), WaterfallBar(None, "AddBackward0", "shortcut", 1.0))
    waterfall = Waterfall("0", "a", -5.0, -3.0, bars, {"activation": -3.0, "shortcut": 1.0})
    assert waterfall.decades == -2.0
    assert waterfall.shares() == {"activation": 1.5, "shortcut": -0.5}
    assert dataclasses.replace(waterfall, log10_first=-3.0).shares() == {}
    assert Path("0", "a", -5.0, -3.0, ()).decades == -2.0


def test_proof_finds_its_arms() -> None:
    arms = (Arm("original", ((),), (0.1,), ((2.3,),)), Arm("placebo", ((),), (0.2,), ((2.3,),)))
    numbers = {"effect": 0.0, "interval": (0.0, 0.0), "placebo_interval": (0.0, 0.0), "metric_before": 0.0}
    numbers |= {"metric_after": 0.0, "placebo": 0.0, "random_remedy": 0.0, "wall_time_s": 0.0}
    proof = Proof(remedies=(), verdict="not_proven", metric=Message("m"), seeds=(0,), steps=1, arms=arms, **numbers)
    assert proof.arm("placebo") is arms[1]
    with pytest.raises(KeyError, match="treated"):
        proof.arm("treated")


def test_run_info_and_findings_stand_alone() -> None:
    info = RunInfo("0.1", "2.13", "3.11", "2025-01-01T00:00:00Z", "Net", 10, 5, "cpu", None, 0.5)
    assert decode(RunInfo, through_json(info)) == info
    finding = Finding("vanishing", "critical", ("0",), (), (), (), Message("finding.vanishing"))
    diagnosis = Diagnosis("findings", (finding,), None, ("vanishing",))
    assert decode(Diagnosis, through_json(diagnosis)) == diagnosis
