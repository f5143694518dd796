"""The benchmark of repairs: what is within reach, how a repair is judged, and that one is."""

import pytest

pytest.importorskip("sklearn")

import headwater as hw
from benchmarks.faults.families import programs
from benchmarks.faults.judging import known
from benchmarks.repairs import page
from benchmarks.repairs.arms import ARMS, FRESH, Repair, repair
from benchmarks.repairs.reachable import OUT_OF_REACH, OVERFITTING, REACHABLE, reachable
from benchmarks.repairs.run import choose

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
    overfitted = [p for p in FAULTY if p.fault and p.fault.symptoms[0] == OVERFITTING and reachable(p)]
    assert overfitted
    assert all("shuffled" not in p.id for p in overfitted)


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


def test_rate_is_the_cure_where_nothing_does_better_than_the_original_at_its_best_rate() -> None:
    program = known()["mlp/wide-relu-sgd/bytes"]
    cure = hw.fix(program.make(), steps=program.steps)
    assert cure.remedies == ("optimisation.learning_rate:0.1",)
    assert [note.id for note in cure.notes] == ["cure.note_rate_alone"]
    assert cure.proof is not None
    assert cure.proof.rates == (1.0,)
    assert cure.metric_after is not None
    assert cure.metric_before is not None
    assert cure.metric_after > cure.metric_before + 0.5
