"""The benchmark of repairs: what is within reach, how a repair is judged, and that one is."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("sklearn")

import headwater as hw
from benchmarks.faults.families import FAMILIES, programs
from benchmarks.faults.judging import known
from benchmarks.repairs import choice, page, run
from benchmarks.repairs.arms import ARMS, FRESH, Repair, repair
from benchmarks.repairs.choice import DEVELOPED, choose, drawn, without_a_gap
from benchmarks.repairs.reachable import OUT_OF_REACH, REACHABLE, lessened, reachable
from benchmarks.repairs.run import NAME, main

FAULTY = [program for program in programs().values() if program.fault]
TWIN = 0.95


def made(arm: str, gain: float, spread: float = 0.01) -> Repair:
    """A repair that moved the metric by so many points on average."""
    before = (0.1, 0.1 + spread, 0.1, 0.1 - spread)
    after = tuple(value + gain / 100 for value in (0.1, 0.1, 0.1, 0.1))
    return Repair("p", "mlp", "frozen", arm, "proven", ("init.he",), before, after, 1.0, 0.0, 2.0)


def test_every_planted_cause_is_within_reach_or_said_not_to_be() -> None:
    causes = {program.fault.causes[0] for program in FAULTY if program.fault}
    assert causes <= {*REACHABLE, *OUT_OF_REACH}
    assert not set(REACHABLE) & set(OUT_OF_REACH)
    apart = [program for program in FAULTY if lessened(program)]
    assert apart
    assert not any(map(reachable, apart))
    assert all(p.fault and p.fault.symptoms[0] == "overfitting" and "shuffled" not in p.id for p in apart)


def test_one_program_stands_for_each_family_and_cause() -> None:
    chosen = choose(("mlp",), every=False)
    causes = [program.fault.causes[0] for program in chosen if program.fault]
    assert len(causes) == len(set(causes)) > 10
    assert len(choose(("mlp",), every=True)) > len(chosen)


def test_every_program_within_reach_has_its_place_in_one_random_order() -> None:
    order = drawn()
    listed = [program for program in choose(tuple(FAMILIES), every=False) if reachable(program)]
    assert sorted(program.id for program in order) == sorted(program.id for program in listed)
    assert order == drawn()
    assert not any(map(lessened, order))
    places = {program.id: place for place, program in enumerate(listed)}
    found = [places[program.id] for program in order]
    for part in (found[: len(found) // 4], found[-len(found) // 4 :]):  # 127 of 511: 3.3 standard errors of their mean
        assert abs(sum(part) / len(part) / len(found) - 0.5) < 0.075
    assert len({program.family for program in order[:100]}) > 40


def test_order_of_the_draw_stays_when_a_program_goes(monkeypatch) -> None:
    order = drawn()
    gone = order[7]
    monkeypatch.setattr(choice, "reachable", lambda program: reachable(program) and program.id != gone.id)
    assert drawn() == [program for program in order if program is not gone]


def test_what_stands_behind_a_gap_of_the_draw_is_no_sample() -> None:
    order = drawn()
    ids = [program.id for program in order]
    assert without_a_gap(order, {*ids[:3], *ids[4:9]}) == ids[:3]
    assert without_a_gap(order, ids) == ids
    assert without_a_gap(order, ids[1:]) == []


def test_page_tells_the_share_proven_over_the_random_sample_beside_all() -> None:
    order = drawn()
    stands = order[:4] + order[6:7]
    repairs = [
        {
            **made("headwater", 40).to_dict(),
            "program": program.id,
            "family": program.family,
            **({} if place != 2 else {"after": [], "verdict": "not_proven"}),
        }
        for place, program in enumerate(stands)
    ]
    result = {"repairs": [*repairs, {**repairs[0], "arm": "random", "program": order[4].id}]}
    line, rows = page.sample(result).split("\n\n")
    assert f"all {len(order)} programs" in line
    assert "4 of it stand so far" in line
    assert "1 more stand out of that order" in line
    sample, known_before, fresh, every = rows.splitlines()[2:]
    assert "| 4 | 3 of 4, 75.0 % (30.1 to 95.4) | 40.0 (40.0 to 40.0) |" in sample
    assert "| 5 | 4 of 5, 80.0 % (37.6 to 96.4) |" in every
    developed = sum(program.family in DEVELOPED for program in order[:4])
    assert [known_before.split(" | ")[1], fresh.split(" | ")[1]] == [str(developed), str(4 - developed)]


def test_sample_takes_the_first_of_the_draw_and_nothing_twice(tmp_path, monkeypatch) -> None:
    asked: list[list[str]] = []

    def without_training(wanted, *_):
        asked.append([program.id for program, _ in wanted])
        return (replace(made(arm, 40), program=p.id, family=p.family) for p, arm in wanted)

    monkeypatch.setattr(run, "repaired", without_training)
    ids = [program.id for program in drawn()]
    main(["--sample", "2", "--arms", "headwater", "--out", str(tmp_path)])
    main(["--sample", "5", "--arms", "headwater", "--out", str(tmp_path)])
    assert asked == [ids[:2], ids[2:5]]
    stands = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert {one["program"] for one in stands["repairs"]} == set(ids[:5])
    assert stands["default"] == len(ids)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [(["--sample", "0"], "at least 1, not 0"), (["--sample", "5", "--families", "mlp"], "leave out --all, --families")],
)
def test_sample_that_is_none_is_refused(options, culprit, capsys) -> None:
    with pytest.raises(SystemExit) as error:
        main(options)
    assert error.value.code == 2
    assert culprit in capsys.readouterr().err


def test_points_are_hundredths_of_what_the_twin_learns() -> None:
    one = Repair("p", "mlp", "frozen", "headwater", "proven", ("init.he",), (0.1,), (0.5,), 0.9, 0.1, 1.0)
    assert one.gain == pytest.approx(50.0)


def test_only_what_is_surely_worse_is_harmful() -> None:
    assert page.harmful(made("headwater", -10))
    assert not page.harmful(made("headwater", -0.1, spread=0.05))
    assert not page.harmful(made("headwater", 30))
    assert [page.is_small(made("headwater", gain)) for gain in (0.2, 30)] == [True, False]
    assert "1 of 2, 50.0 %" in page.row("headwater", [made("headwater", 0.2), made("headwater", 30)])[4]


def test_zeros_are_repaired_and_the_repair_holds_on_fresh_seeds() -> None:
    found = repair("mlp/relu/zeros", "headwater", TWIN, budget_s=60.0)
    assert found.verdict == "proven"
    assert len(found.after) == len(FRESH)
    assert found.gain > 50
    assert not found.failure
    recipe = repair("mlp/relu/zeros", "recipe", TWIN, budget_s=0.0)
    assert recipe.remedies == ("init.he", "normalisation.batch", "adam")
    assert {found.arm, recipe.arm} < set(ARMS)


@pytest.mark.parametrize(
    "id_",
    [
        "mlp/wide-relu-sgd/bytes",
        pytest.param(  # where a hundredth and a thousandth are prescribed
            "regression/friedman-momentum/rate-high", marks=pytest.mark.slow
        ),
    ],
)
def test_rate_is_the_cure_where_nothing_does_better_than_the_original_at_its_best_rate(id_: str) -> None:
    program = known()[id_]
    cure = hw.fix(program.make(), steps=program.steps)
    assert cure.remedies == ("optimisation.learning_rate:0.1",)
    assert [note.id for note in cure.notes] == ["cure.note_rate_alone"]
    assert cure.proof is not None
    assert cure.proof.rates == (1.0,)
    assert cure.metric_after is not None
    assert cure.metric_before is not None
    assert cure.metric_after > cure.metric_before + 0.5


def test_results_are_gone_on_with_and_run_again_only_if_asked_to(tmp_path, capsys) -> None:
    one = ["--families", "mlp", "--only", "mlp/relu/zeros", "--processes", "1", "--out", str(tmp_path)]
    main([*one, "--arms", "random"])
    first = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert [(r["program"], r["arm"]) for r in first["repairs"]] == [("mlp/relu/zeros", "random")]
    marked = {**first["repairs"][0], "seconds": 12345.0}
    (tmp_path / f"{NAME}.json").write_text(json.dumps({**first, "repairs": [marked]}))
    main([*one, "--arms", "random,recipe"])
    second = json.loads((tmp_path / f"{NAME}.json").read_text())["repairs"]
    assert [r["arm"] for r in second] == ["recipe", "random"]
    assert second[1]["seconds"] == 12345.0
    main([*one, "--arms", "random", "--again"])
    third = json.loads((tmp_path / f"{NAME}.json").read_text())["repairs"]
    assert [r["arm"] for r in third] == ["recipe", "random"]
    assert third[1]["seconds"] < 12345.0
    assert not (tmp_path / ".unfinished").exists()
    assert "1 programs within reach" in capsys.readouterr().out


def test_programs_out_of_reach_do_not_count_and_are_told_of() -> None:
    few = next(program for program in FAULTY if lessened(program))
    repairs = [
        {**made("headwater", 40).to_dict(), "program": "mlp/relu/zeros"},
        {**made("headwater", 3).to_dict(), "program": few.id},
    ]
    result = {"repairs": repairs}
    assert [one.program for one in page.within_reach(result)] == ["mlp/relu/zeros"]
    assert page.families(result).splitlines()[2:] == ["| `mlp` | 1 of 1 | 40.0 | 0 | 0 |"]
    assert "Of 1 that were tried, 1 got a proven repair, with a mean gain of 3.0 points" in page.beyond(result)
