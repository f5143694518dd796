"""The open benchmark of diagnoses: its labels, its verification, its metrics, the rules of others, and the command."""

import csv
import json
import math
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("sklearn")

from benchmarks.faults import build, first_run, kinds, run, verify
from benchmarks.faults.answers import ANSWERS, load_answers, save_answers
from benchmarks.faults.diagnosers import DIAGNOSERS, USUAL, USUAL_CAUSE, Opinion, autotrainer, grad_flow, sagemaker
from benchmarks.faults.draw import drawn
from benchmarks.faults.families import (
    FAMILIES,
    HELD_OUT,
    HELD_OUT_FIFTH,
    HELD_OUT_FOURTH,
    HELD_OUT_SECOND,
    HELD_OUT_SIXTH,
    HELD_OUT_THIRD,
    MADE_WITH,
    programs,
)
from benchmarks.faults.judging import judge
from benchmarks.faults.metrics import (
    Row,
    Share,
    left_out,
    matches,
    module_of,
    place_right,
    score,
    threshold_below,
)
from benchmarks.faults.page import PAGE, held_out_table, table_of
from benchmarks.faults.program import CAUSES, SYMPTOMS, Fault, Program
from benchmarks.faults.run import answers_of_others, summary
from benchmarks.faults.training import Training, learnt
from headwater.diagnosis.rules import RULES
from tests.helpers import ROOT, headwater, python

PROGRAMS = programs()
FAULTY = [program for program in PROGRAMS.values() if program.fault]
HEALTHY = [program for program in PROGRAMS.values() if not program.fault]
STORED = ROOT / "docs" / "benchmarks"
VERIFIED = json.loads((STORED / "faults_verified.json").read_text(encoding="utf-8"))
THREE = ("mlp/relu", "mlp/relu/zeros", "mlp/relu/rate-low")


def row(diagnoser: str = "headwater", faulty: bool = True, alarm: bool = True, **more: object) -> Row:
    """An answer in a made-up family."""
    facts: dict[str, object] = {
        "program": "p",
        "family": "mlp",
        "seed": 0,
        "symptom": None,
        "cause": None,
        "sites": (),
        "verdict": "",
        "symptom_right": False if faulty else None,
        "cause_right": False if faulty else None,
        "site_right": None,
        "seconds": 1.0,
    }
    return Row(diagnoser=diagnoser, faulty=faulty, alarm=alarm, **(facts | more))


# Programs


def test_there_are_enough_programs_in_every_family() -> None:
    assert len(FAULTY) >= 60
    assert len(HEALTHY) >= 60
    for family in FAMILIES:
        assert sum(program.family == family for program in FAULTY) >= 5, family
        assert sum(program.family == family for program in HEALTHY) >= 4, family


def test_labels_are_known_ids() -> None:
    assert {rule.symptom for rule in RULES} <= SYMPTOMS
    assert set(USUAL_CAUSE) <= SYMPTOMS
    assert set(USUAL_CAUSE.values()) <= CAUSES
    for program in FAULTY:
        assert program.fault is not None
        assert program.fault.symptoms, program.id
        assert program.fault.causes, program.id
        assert set(program.fault.symptoms) <= SYMPTOMS, program.id
        assert set(program.fault.causes) <= CAUSES, program.id


def test_every_kind_of_fault_is_planted() -> None:
    known = {name: value for name, value in vars(kinds).items() if isinstance(value, Fault)}
    planted = {(program.fault.symptoms, program.fault.causes) for program in FAULTY if program.fault}
    assert [name for name, kind in known.items() if (kind.symptoms, kind.causes) not in planted] == []


@pytest.mark.parametrize("program", FAULTY, ids=lambda program: program.id)
def test_a_faulty_program_is_its_healthy_twin_with_other_arguments(program: Program) -> None:
    twin = PROGRAMS[program.twin or ""]
    assert twin.fault is None
    assert (twin.family, twin.steps, twin.chance) == (program.family, program.steps, program.chance)
    assert program.make.func is twin.make.func
    assert program.make.keywords != twin.make.keywords


def test_every_healthy_program_is_another() -> None:
    recipes = [(program.make.func, repr(sorted(program.make.keywords.items(), key=str))) for program in HEALTHY]
    assert len(set(recipes)) == len(recipes)


@pytest.mark.parametrize("program", HEALTHY[::7] + FAULTY[::10], ids=lambda program: program.id)
def test_a_program_trains_and_is_scored(program: Program) -> None:
    training = Training(program.make(), 0)
    assert len(list(training.steps(2))) == 2
    assert math.isfinite(learnt(program.make(), 1, 0))


def test_planted_places_are_modules_of_the_program() -> None:
    for program in FAULTY[::4]:
        assert program.fault is not None
        if program.fault.sites is None:
            continue
        torch.manual_seed(0)
        names = [name for name, _ in program.make().model().named_modules() if name]
        assert any(place_right([name], program.fault.sites) for name in names), program.id


def test_an_annealed_rate_falls_to_nothing_and_stays_there() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = build.annealed(build.sgd(1.0), 4)([weight])
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.zeros(1)
        optimizer.step()
    assert rates == pytest.approx([1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0], abs=1e-4)  # (1 + cos πt/4) / 2


def test_matrices_alone_are_decayed() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 1).requires_grad_(False))
    groups = build.undecayed(torch.optim.AdamW, 0.1, lr=1e-3)(model.parameters()).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


def test_a_batch_is_packed_as_a_program_wants_it() -> None:
    made = PROGRAMS["recommender/neural-named"].make()
    train, validation = next(iter(made.batches())), next(iter(made.validation()))
    assert set(train) == set(validation) == {"codes", "rating"}
    assert len(train["codes"]) == len(train["rating"]) == 256


def test_programs_are_drawn_from_all_families_alike() -> None:
    chosen = [PROGRAMS[id_] for id_ in drawn(tuple(FAMILIES))]
    for kind in ([p for p in chosen if p.fault], [p for p in chosen if not p.fault]):
        counts = Counter(program.family for program in kind)
        assert len(kind) == 120
        assert set(counts) == set(FAMILIES)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert drawn(("mlp", "cnn"), of_each=4) == drawn(("mlp", "cnn"), of_each=4)
    assert len(drawn(("mlp",), of_each=4)) == 8


# Verification


def test_all_programs_are_verified_and_hold() -> None:
    found = VERIFIED["programs"]
    assert set(found) == set(PROGRAMS)
    assert VERIFIED["seeds"] >= 3
    assert [id_ for id_, facts in found.items() if not facts["holds"]] == []


def test_what_the_verification_says_follows_from_its_metrics() -> None:
    metrics = {id_: facts["metrics"] for id_, facts in VERIFIED["programs"].items()}
    for id_, program in PROGRAMS.items():
        facts = verify.judged(program, metrics[id_], metrics)
        assert facts["holds"] is VERIFIED["programs"][id_]["holds"], id_


def test_a_difference_within_the_spread_is_no_harm() -> None:
    assert verify.harmed([0.5, 0.52, 0.54], [0.9, 0.92, 0.94], chance=0.1)
    assert not verify.harmed([0.5, 0.7, 0.9], [0.8, 0.9, 0.95], chance=0.1)  # 2 · √(0.2² + 0.076²) = 0.43
    assert not verify.harmed([0.90, 0.90, 0.90], [0.91, 0.91, 0.91], chance=0.1)  # below 5 % of 0.81


@pytest.mark.slow
def test_programs_verify_anew() -> None:
    results = verify.verified({id_: PROGRAMS[id_] for id_ in THREE}, 3)
    assert all(facts["holds"] for facts in results.values())


# Metrics


@pytest.mark.parametrize(
    ("hits", "runs", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # z² / (n + z²) = 3.8415 / 13.8415
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),  # the example of Newcombe 1998, table I
    ],
)
def test_wilson_interval(hits: int, runs: int, low: float, high: float) -> None:
    assert Share(hits, runs).interval == pytest.approx((low, high), abs=5e-5)


def test_of_nothing_nothing_is_known() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_score_counts_what_was_said_over_all_faulty_runs() -> None:
    rows = [
        row(symptom_right=True, cause_right=True, site_right=True, seconds=3.0),
        row(symptom_right=True, cause_right=False, site_right=False),
        row(alarm=False, crash="RuntimeError: no"),
        row(alarm=False, undecided=True),
        row(faulty=False, alarm=True, seconds=2.0),
        row(faulty=False, alarm=False, seconds=4.0),
    ]
    got = score(rows)
    assert (got.detected, got.symptom, got.cause, got.site) == (Share(2, 4), Share(2, 4), Share(1, 4), Share(1, 2))
    assert (got.false_alarms, got.silent, got.seconds) == (Share(1, 2), Share(2, 6), 1.5)


def test_only_an_alarm_is_a_diagnosis() -> None:
    fault = Fault(("vanishing", "underflow"), ("weights_too_small",), ("body.*",))
    said = Opinion(True, "underflow", "init_mismatch", ("body.3/relu",))
    assert matches(said, fault) == (True, False, True)
    assert matches(Opinion(False, "vanishing", "weights_too_small", ("body.3",)), fault) == (False, False, False)
    assert matches(said, None) == (None, None, None)
    assert matches(said, Fault(("vanishing",), ("frozen",)))[2] is None


def test_naming_everything_is_naming_nothing() -> None:
    assert place_right(["a.1", "a.2", "b"], ["a.*"])
    assert not place_right(["a.1", "b", "c"], ["a.*"])
    assert not place_right([], ["*"])


@pytest.mark.parametrize(
    ("site", "module"),
    [
        ("layer.0", "layer.0"),
        ("layer.0/relu#1", "layer.0"),
        ("layer#2", "layer"),
        ("layer.0.weight", "layer.0"),
        ("lstm.weight_hh_l0", "lstm"),
        ("body.weights", "body.weights"),
    ],
)
def test_module_of_a_site_or_parameter(site: str, module: str) -> None:
    assert module_of(site) == module


def test_a_threshold_is_chosen_on_the_other_families() -> None:
    def measured(family: str, faulty: float, healthy: float) -> list[Row]:
        return [row(family=family, value=faulty), row(family=family, faulty=False, alarm=False, value=healthy)]

    rows = [*measured("a", 1.0, 3.0), *measured("b", 1.5, 3.5), *measured("c", 5.0, 9.0)]
    judged = {(r.family, r.faulty): r.alarm for r in left_out(rows, threshold_below)}
    assert judged["c", True] is False  # a and b choose 3
    assert judged["a", True] is True  # b and c choose 3.5, which is too much for a's healthy one
    assert judged["a", False] is True


def test_answers_are_written_line_by_line(tmp_path: Path) -> None:
    said = row(sites=("a.1", "b"), value=0.12345, verdict="early, late")
    save_answers(tmp_path, [said, row(diagnoser="optimist")])
    with (tmp_path / "faults_answers.csv").open(encoding="utf-8") as file:
        (line,) = csv.DictReader(file)
    assert (line["sites"], line["value"], line["alarm"]) == ("a.1 b", "0.123", "1")
    assert (line["verdict"], line["site_right"]) == ("early, late", "")


def test_answers_are_read_as_they_were_written(tmp_path: Path) -> None:
    said = [
        row(
            symptom="vanishing", symptom_right=True, cause_right=False, site_right=True, sites=("a.1", "b"), value=0.125
        ),
        row(faulty=False, alarm=False, undecided=True, crash="RuntimeError: no, or yes", seed=2),
    ]
    save_answers(tmp_path, said, "kept")
    assert load_answers(tmp_path, "kept") == said
    assert load_answers(tmp_path, "missing") == []


# Held-out families


def test_a_first_run_asks_what_nobody_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "unchanged_since", lambda commit: commit == "as-now")
    held_out = {"mixer": "as-now", "text": "as-now"}
    met = [row(family="mixer"), row(family="text"), row(family="mixer", seed=1)]
    assert first_run.unmet([], 1, held_out) == [("mixer", 0), ("text", 0)]
    assert first_run.unmet(met, 2, held_out) == [("text", 1)]
    with pytest.raises(ValueError, match="a second run is no first one"):
        first_run.unmet(met, 1, held_out)


def test_a_first_run_takes_the_rules_of_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "unchanged_since", lambda commit: commit == "as-now")
    held_out = {"mixer": "before", "text": "as-now"}
    assert first_run.unmet([row(family="mixer")], 1, held_out) == [("text", 0)]
    with pytest.raises(ValueError, match="not as it was in before"):
        first_run.unmet([], 1, held_out)


def test_rules_of_an_unknown_commit_are_others() -> None:
    assert not first_run.unchanged_since("no-such-commit")


def test_what_others_said_is_kept_once_for_each_program_and_seed() -> None:
    of_all = {(row.program, row.seed) for row in load_answers(STORED, ANSWERS)}
    asked = {("mlp/relu", 0), ("wave/none-such", 0), next(key for key in of_all if key[1] == 0)}
    asked |= {(row.program, 0) for row in load_answers(STORED, first_run.SETS["third"].name)[:1]}
    kept = answers_of_others(asked)
    assert {(row.program, row.seed) for row in kept} == asked - {("wave/none-such", 0)}
    assert len({(row.program, row.diagnoser) for row in kept}) == len(kept)
    assert {row.diagnoser for row in kept} == set(USUAL) - {"headwater", "optimist"}


@pytest.mark.parametrize("held_out", first_run.SETS.values(), ids=first_run.SETS)
def test_the_first_run_is_kept_whole(held_out: first_run.HeldOutSet) -> None:
    if not held_out.met:
        pytest.skip("no rules have met this set: only a commit of the rules may, by --first-run")
    kept = load_answers(STORED, held_out.name)
    left_out = {id_: program for id_, program in PROGRAMS.items() if program.family in held_out.families}
    asked = set(USUAL) - {"optimist"}
    assert {(answer.program, answer.diagnoser) for answer in kept} == {
        (id_, name) for id_ in left_out for name in asked
    }
    result = json.loads((STORED / f"{held_out.name}.json").read_text(encoding="utf-8"))
    scores = result["groups"][held_out.group]
    for name in asked:
        said = score(answer for answer in kept if answer.diagnoser == name).to_dict()
        del said["seconds"], scores[name]["seconds"]
        assert said == scores[name], name
    assert all(first_run.rules_of(held_out, result).values())


def test_the_second_set_is_large_enough() -> None:
    second = [program for program in PROGRAMS.values() if program.family in HELD_OUT_SECOND]
    assert len(HELD_OUT_SECOND) >= 8
    assert sum(program.fault is not None for program in second) >= 70
    assert sum(program.fault is None for program in second) >= 50


def test_the_third_set_is_mostly_healthy() -> None:
    third = [program for program in PROGRAMS.values() if program.family in HELD_OUT_THIRD]
    assert len(HELD_OUT_THIRD) >= 16
    assert sum(program.fault is not None for program in third) >= 70
    assert sum(program.fault is None for program in third) >= 110


def test_the_fourth_set_is_half_healthy() -> None:
    fourth = [program for program in PROGRAMS.values() if program.family in HELD_OUT_FOURTH]
    assert len(HELD_OUT_FOURTH) >= 14
    assert sum(program.fault is not None for program in fourth) >= 90
    assert sum(program.fault is None for program in fourth) >= 95


def test_the_fifth_set_is_more_than_half_healthy() -> None:
    fifth = [program for program in PROGRAMS.values() if program.family in HELD_OUT_FIFTH]
    assert len(HELD_OUT_FIFTH) >= 10
    assert sum(program.fault is not None for program in fifth) >= 80
    assert sum(program.fault is None for program in fifth) >= 120


def test_the_sixth_set_is_more_than_half_healthy() -> None:
    sixth = [program for program in PROGRAMS.values() if program.family in HELD_OUT_SIXTH]
    assert len(HELD_OUT_SIXTH) >= 8
    assert sum(program.fault is not None for program in sixth) >= 70
    assert sum(program.fault is None for program in sixth) >= 90


def test_nobody_was_asked_about_a_family_before_its_first_run() -> None:
    answered = {answer.family for answer in load_answers(STORED, "faults_answers")}
    assert answered.isdisjoint(first_run.not_yet_met())
    assert answered >= set(MADE_WITH)


@pytest.fixture
def nothing_met(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for results in which the first set's first run is stored, and those of the others are not."""
    for ending in ("csv", "json"):
        stored = STORED / f"{first_run.SETS['first'].name}.{ending}"
        (tmp_path / stored.name).write_bytes(stored.read_bytes())
    for module in (first_run, run):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    return tmp_path


def test_only_a_first_run_asks_about_families_that_no_rules_have_met(
    nothing_met: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def none(wanted: list[tuple[str, int]], *_: object) -> list[Row]:
        asked.extend(PROGRAMS[id_].family for id_, _ in wanted)
        raise InterruptedError

    monkeypatch.setattr(run, "judged", none)
    with pytest.raises(SystemExit):
        run.main(["--families", HELD_OUT_SECOND[0], "--diagnosers", "optimist"])
    assert "only --first-run may ask about them first" in capsys.readouterr().err
    with pytest.raises(InterruptedError):
        run.main(["--diagnosers", "optimist"])
    assert set(asked) == {*MADE_WITH, *HELD_OUT}
    asked.clear()
    monkeypatch.setattr(run, "_require", lambda asked, options: None)
    with pytest.raises(InterruptedError):
        run.main(["--every"])
    assert set(asked) == {*MADE_WITH, *HELD_OUT}
    asked.clear()
    for held_out in ("second", "third", "fourth", "fifth", "sixth"):
        (nothing_met / f"{first_run.SETS[held_out].name}.csv").touch()
    with pytest.raises(InterruptedError):
        run.main(["--diagnosers", "optimist"])
    assert set(asked) == set(FAMILIES)


@pytest.mark.parametrize("key", ["second", "third", "fourth", "fifth", "sixth"])
def test_a_first_run_of_a_later_set_is_kept_beside_the_first(
    key: str, nothing_met: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = nothing_met / "faults.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr("benchmarks.faults.page.PAGE", page)
    monkeypatch.setattr(first_run, "unchanged_since", lambda commit: bool(commit))
    monkeypatch.setattr(first_run, "this_commit", lambda: "0123abc")
    monkeypatch.setattr(run, "_require", lambda asked, options: None)

    def said(wanted: list[tuple[str, int]], asked: tuple[str, ...], *_: object) -> list[Row]:
        return [
            row(name, PROGRAMS[id_].fault is not None, program=id_, family=PROGRAMS[id_].family, seed=seed)
            for id_, seed in wanted
            for name in asked
        ]

    monkeypatch.setattr(run, "judged", said)
    before = {path.name: path.read_bytes() for path in nothing_met.glob("faults_first_run.*")}
    run.main(["--first-run", key])
    later = first_run.SETS[key]
    kept = load_answers(nothing_met, later.name)
    assert {answer.family for answer in kept} == set(later.families)
    result = json.loads((nothing_met / f"{later.name}.json").read_text(encoding="utf-8"))
    assert result["rules"] == "0123abc"
    assert set(result["groups"]) == {later.group}
    assert before == {name: (nothing_met / name).read_bytes() for name in before}
    text = page.read_text(encoding="utf-8")
    assert f"**{key.capitalize()} set of held-out families, first run, rules as of commit 0123abc**" in text
    assert "**Held-out families, first run, rules as of commit" in text
    assert f"| {later.families[0]} (held out, {key} set) |" in text
    capsys.readouterr()
    with pytest.raises(SystemExit):
        run.main(["--first-run", key])
    assert "a second run is no first one" in capsys.readouterr().err


def test_rules_that_are_not_committed_make_no_first_run(
    nothing_met: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(first_run, "unchanged_since", lambda commit: False)
    monkeypatch.setattr(run, "_require", lambda asked, options: None)
    with pytest.raises(SystemExit):
        run.main(["--first-run", "second"])
    assert "commit these if no answers about the family were seen" in capsys.readouterr().err
    assert not first_run.SETS["second"].met


def test_families_are_scored_apart_by_whether_rules_were_made_with_them() -> None:
    rows = [row(family=MADE_WITH[0]), row(family="text", alarm=False), row(family="graph")]
    rows += [row(family=family) for family in HELD_OUT_SECOND[:3]]
    groups = summary(rows)["groups"]
    assert {name: scores["headwater"]["detected"]["runs"] for name, scores in groups.items()} == {
        "made_with": 1,
        "held_out": 2,
        "held_out_second": 3,
    }
    assert set(summary(rows[:1])["groups"]) == {"made_with"}


def test_the_page_tells_the_first_run_from_now() -> None:
    held_out = first_run.SETS["first"]
    first = json.loads((STORED / f"{held_out.name}.json").read_text(encoding="utf-8"))
    alone, both = held_out_table(held_out, first, {}), held_out_table(held_out, first, first)
    assert alone.count("| first run |") == both.count("| first run |") == both.count("| now |") == len(USUAL) - 1
    assert "| now |" not in alone
    assert f"rules as of commit {HELD_OUT['mixer']}" in alone
    assert "| graph (held out) |" in alone


# The rules of others, on tiny inputs


def test_autotrainer_reads_gradients_as_published() -> None:
    even = [torch.ones(4, 4), torch.ones(4), torch.ones(2, 4)]
    assert autotrainer.gradient_flags(even) == set()
    assert autotrainer.gradient_flags([1e-6 * even[0], *even[1:]]) == {"vanishing"}
    assert autotrainer.gradient_flags([1e3 * even[0], *even[1:]]) == {"exploding"}
    assert autotrainer.gradient_flags([torch.zeros(40, 4), even[2]]) == {"vanishing", "dead_units"}
    assert autotrainer.gradient_flags([even[0] * math.nan]) == {"nonfinite"}


def test_autotrainer_judges_only_what_does_not_converge() -> None:
    rising = autotrainer.History([1.0] * 4, [1.0] * 4, [0.2, 0.5, 0.8, 0.9], [0.2, 0.5, 0.8, 0.9])
    assert autotrainer.judged(rising, {"vanishing", "dead_units"}) is None
    flat = autotrainer.History([1.0] * 4, [1.0] * 4, [0.1] * 4, [0.1] * 4)
    assert autotrainer.judged(flat, {"vanishing", "dead_units"}) == "dead_units"
    assert autotrainer.judged(flat, {"vanishing"}) == "vanishing"
    assert autotrainer.judged(flat, set()) == "lr_too_low"
    swinging = autotrainer.History([1.0] * 6, [1.0] * 6, [0.8, 0.9, 0.7, 0.9, 0.7, 0.9], [0.9] * 6)
    assert autotrainer.judged(swinging, set()) == "oscillation"
    broken = autotrainer.History([math.nan], [1.0], [0.1], [0.1])
    assert autotrainer.judged(broken, set()) == "exploding"


def test_sagemaker_tells_inactive_units() -> None:
    given = torch.tensor([[1.0, -1.0, -2.0], [2.0, -1.0, -2.0]])
    assert sagemaker.inactive_share(sagemaker.active(nn.ReLU(), given)) == pytest.approx(2 / 3)
    assert sagemaker.inactive_share(sagemaker.active(nn.Tanh(), 20 * given)) == 1.0
    assert sagemaker.inactive_share(sagemaker.active(nn.Sigmoid(), given)) == 0.0
    images = torch.stack([torch.ones(2, 3, 3), torch.ones(2, 3, 3)], 1)
    images[:, 1] = -1
    assert sagemaker.inactive_share(sagemaker.active(nn.ReLU(), images)) == 0.5


def test_sagemaker_rules_fire_by_the_guide() -> None:
    model = nn.Linear(4, 4)
    rules = sagemaker.Rules(model)
    model.weight.grad, model.bias.grad = torch.ones(4, 4), torch.full((4,), 1e-8)
    with torch.no_grad():
        model.weight.mul_(0.99)
    rules.after_step(1.0)
    assert set(rules.fired) == {"VanishingGradient"}
    for _ in range(10):
        with torch.no_grad():
            model.weight.mul_(0.99)
        rules.after_step(1.0)
    assert "LossNotDecreasing" in rules.fired
    rules.after_step(1.0)  # nothing moved
    assert rules.fired["WeightUpdateRatio"][0] == "lr_too_low"
    rules.after_validation(1.2)
    assert "Overfit" not in rules.fired
    rules.after_validation(1.2)
    assert "Overfit" in rules.fired


def test_plot_grad_flow_sees_what_is_half_a_pixel_high() -> None:
    assert pytest.approx(2.84e-5, rel=1e-2) == grad_flow.INVISIBLE
    assert not grad_flow.opinion([1e-3, 1e-3, 1e-2]).alarm
    assert grad_flow.opinion([1e-6, 1e-6, 1e-2, 1e-2]).symptom == "vanishing"
    assert grad_flow.opinion([1e-3, 5.0]).symptom == "exploding"
    assert grad_flow.opinion([math.nan, 1.0]).symptom == "exploding"


# End to end


@pytest.fixture(scope="module")
def answers() -> list[Row]:
    """Three programs, everybody who needs no further package."""
    asked = tuple(name for name in USUAL if name != "torchmortem")
    return [answer for program in THREE for answer in judge(program, 0, asked)]


def test_every_diagnoser_gives_an_opinion(answers: list[Row]) -> None:
    assert len(answers) == 3 * (len(USUAL) - 1)
    assert [answer.crash for answer in answers if answer.crash] == []
    optimist = [answer for answer in answers if answer.diagnoser == "optimist"]
    assert not any(answer.alarm for answer in optimist)


def test_who_is_not_installed_is_not_counted_as_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torchmortem", None)
    monkeypatch.delitem(sys.modules, "benchmarks.faults.diagnosers.torchmortem", raising=False)
    with pytest.raises(SystemExit):
        run.main(["--only", THREE[0], "--diagnosers", "headwater,torchmortem"])
    assert "torchmortem cannot be asked" in capsys.readouterr().err


def test_the_page_has_a_row_per_diagnoser(answers: list[Row]) -> None:
    machine = dict.fromkeys(
        ("cpu", "cores", "memory_gib", "cpu_capability", "threads", "torch", "python", "system", "headwater"), "?"
    )
    rest = {"packages": {}, "date": "?", "load_1_min": 0, "commit": "?"}
    result = summary(answers) | {"machine": machine | rest, "programs": 3, "seeds": 1, "minutes": 0.0}
    table = table_of(result)
    for name in set(USUAL) - {"torchmortem"}:
        assert f"| {DIAGNOSERS[name].label} |" in table
    assert "2 faulty and 1 healthy runs" in table


def test_the_page_has_the_markers() -> None:
    text = PAGE.read_text(encoding="utf-8")
    groups = [held_out.group for held_out in first_run.SETS.values()]
    for name in ("drawn", "faults", *groups, "families", "kinds", "misses", "verified"):
        assert f"<!-- {name}: generated -->" in text
        assert f"<!-- {name}: end -->" in text


@pytest.mark.slow
def test_the_command_asks_about_three_programs(tmp_path: Path) -> None:
    command = ["bench", "faults", "--only", "lora/probe-sgd", "--seeds", "1", "--diagnosers", "headwater,optimist"]
    done = headwater(*command, "--out", str(tmp_path), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "| always says healthy |" in done.stdout
    assert json.loads((tmp_path / "faults.json").read_text(encoding="utf-8"))["programs"] == 2
    with (tmp_path / "faults_answers.csv").open(encoding="utf-8") as file:
        answered = {line["program"] for line in csv.DictReader(file)}
    assert answered == {"lora/probe-sgd", "lora/probe-sgd/rate-low"}


def test_the_command_says_what_to_clone(tmp_path: Path) -> None:
    done = headwater("bench", "faults", cwd=tmp_path)
    assert done.returncode == 2
    assert "Clone headwater's repository" in done.stderr
    assert done.stdout == ""


def test_the_command_hands_on_options_and_status() -> None:
    done = headwater("bench", "faults", "--families", "nonsense", cwd=ROOT / "docs")
    assert done.returncode == 2
    assert "choose among mlp" in done.stderr
    assert headwater("bench", "nonsense", cwd=ROOT).returncode == 2


@pytest.mark.parametrize("whole", ["--first-run", "--every", "--renew"])
def test_the_command_makes_nothing_whole_of_a_part(whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["--only", "mixer", whole])
    assert ended.value.code == 2
    assert "leave the choice out" in capsys.readouterr().err


def test_the_command_draws_where_nothing_is_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, int]] = []

    def said(wanted: list[tuple[str, int]], names: tuple[str, ...], *_: object) -> list[Row]:
        asked.extend(wanted)
        return [
            row(name, PROGRAMS[id_].fault is not None, program=id_, seed=seed) for id_, seed in wanted for name in names
        ]

    monkeypatch.setattr(run, "judged", said)
    run.main(["--diagnosers", "headwater,optimist"])
    assert asked == [
        (id_, seed)
        for id_ in drawn(tuple(f for f in FAMILIES if f not in first_run.not_yet_met()))
        for seed in range(3)
    ]
    assert "240 programs drawn from all families alike, 3 seeds of each" in capsys.readouterr().out


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from headwater.cli.main import cli\n"
        "print('faults' in CliRunner().invoke(cli, ['bench', '--help']).output, 'torch' in sys.modules)"
    )
    assert python(code) == "True False"
