"""The benchmark of repairs: what is within reach, how a repair is judged, and that one is."""

import json

import pytest

pytest.importorskip("sklearn")

import headwater as hw
from benchmarks.faults.families import programs
from benchmarks.faults.judging import known
from benchmarks.repairs import page
from benchmarks.repairs.arms import ARMS, FRESH, Repair, repair
from benchmarks.repairs.reachable import OUT_OF_REACH, REACHABLE, lessened, reachable
from benchmarks.repairs.run import NAME, choose, main

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
