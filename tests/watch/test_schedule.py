"""Which steps are measured, with invented durations: no clock is read and nobody sleeps."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from headwater.probes.schedule import Level, Schedule
from headwater.records import InputError

LONG = 20_000
ROOM = 1.1  # times the budget: what is spent on credit at the start and after a change


@dataclass
class Machine:
    """A training whose every step takes an invented time.

    Attributes:
        schedule: Under test.
        step_s: A step of the training itself, by number.
        cost_s: What measuring adds, by level and number.
        pause_s: Between two steps (a validation), by number.
        known: Share of the cost that the probes' own clock sees.
    """

    schedule: Schedule
    step_s: Callable[[int], float] = lambda number: 0.01
    cost_s: Callable[[str, int], float] = lambda level, number: 0.002 if level == "light" else 0.02
    pause_s: Callable[[int], float] = lambda number: 0.0
    known: float = 0.7
    noise: float = 0.03
    levels: list[Level] = field(default_factory=list)
    own_s: list[float] = field(default_factory=list)
    added_s: list[float] = field(default_factory=list)

    def run(self, steps: int = LONG, alarm: Callable[[int], bool] = lambda number: False) -> Machine:
        chance = random.Random(0)
        level = self.schedule.first()
        for number in range(steps):
            own = self.step_s(number) * (1 + self.noise * chance.uniform(-1, 1))
            added = 0.0 if level == "none" else self.cost_s(level, number)
            self.levels.append(level)
            self.own_s.append(own)
            self.added_s.append(added)
            if alarm(number) and level != "none":
                self.schedule.alarm()
            level = self.schedule.after(level, own + added + self.pause_s(number), self.known * added)
        return self

    def overhead(self, start: int = 0, end: int | None = None) -> float:
        """What measuring really added, as a share of the training alone."""
        return sum(self.added_s[start:end]) / sum(self.own_s[start:end])

    def rate(self, start: int = 0, end: int | None = None) -> float:
        taken = self.levels[start:end]
        return sum(level != "none" for level in taken) / len(taken)


@pytest.mark.parametrize("budget", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("known", [0.2, 0.7, 1.0])
def test_constant_costs_stay_within_the_budget_and_use_it(budget: float, known: float) -> None:
    machine = Machine(Schedule("auto", budget), known=known).run()
    assert machine.overhead() <= ROOM * budget
    assert machine.overhead() >= 0.7 * budget
    assert machine.schedule.overhead == pytest.approx(machine.overhead(), rel=0.1)
    assert {"light", "thorough"} <= set(machine.levels[LONG // 2 :])


@pytest.mark.parametrize("factor", [5.0, 0.2])
def test_step_that_becomes_slower_or_faster(factor: float) -> None:
    half = LONG // 2
    machine = Machine(Schedule("auto", 0.02), step_s=lambda n: 0.01 * (factor if n >= half else 1.0)).run()
    assert machine.overhead() <= ROOM * 0.02
    assert machine.overhead(half) <= ROOM * 0.02
    assert machine.overhead(half) >= 0.5 * 0.02
    assert machine.rate(half + 100) == pytest.approx(machine.rate(100, half) * factor, rel=0.3)


def test_measuring_that_becomes_dearer() -> None:
    half = LONG // 2

    def cost(level: str, number: int) -> float:
        return (0.002 if level == "light" else 0.02) * (3.0 if number >= half else 1.0)

    machine = Machine(Schedule("auto", 0.02), cost_s=cost).run()
    assert machine.overhead() <= ROOM * 0.02
    assert machine.overhead(half) <= ROOM * 0.02
    assert machine.rate(half) < machine.rate(100, half)


def test_pauses_between_steps_are_no_cost_of_ours() -> None:
    quiet = Machine(Schedule("auto", 0.02)).run()
    paused = Machine(Schedule("auto", 0.02), pause_s=lambda n: 10.0 if n % 100 == 99 else 0.0).run()
    assert paused.overhead() <= ROOM * 0.02
    assert paused.rate() == pytest.approx(quiet.rate(), rel=0.25)


@pytest.mark.parametrize("level", ["light", "thorough"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_pause_after_an_early_measured_step_ends_no_measuring(level: Level, which: int) -> None:
    """The first few costs are all there is to go by, and one of them has ten seconds of validation in it."""
    machine = Machine(Schedule("auto", 0.02))
    seen = [0]

    def pause(number: int) -> float:
        seen[0] += machine.levels[number] == level
        return 10.0 if machine.levels[number] == level and seen[0] == which else 0.0

    machine.pause_s = pause
    machine.run(LONG)
    expected = Machine(Schedule("auto", 0.02)).run(LONG)
    assert machine.overhead() <= ROOM * 0.02
    assert machine.levels.count("light") >= 0.7 * expected.levels.count("light")
    assert machine.levels.count("thorough") >= 0.7 * expected.levels.count("thorough")


def test_first_step_that_compiles_kernels_for_seconds() -> None:
    machine = Machine(Schedule("auto", 0.02), cost_s=lambda level, n: 3.0 if n == 0 else 0.002).run()
    assert machine.levels[:10] == ["thorough", *["none"] * 3, "light", *["none"] * 4, "light"]
    assert machine.rate(10, 5000) > 0.02


def test_start_is_measured_on_credit() -> None:
    machine = Machine(Schedule("auto", 0.001)).run(40)
    assert [number for number, level in enumerate(machine.levels) if level != "none"] == [0, 4, 9]
    assert machine.levels[0] == "thorough"


def test_step_after_an_alarm_are_measured_at_once() -> None:
    machine = Machine(Schedule("auto", 0.02)).run(5000)
    measured = next(n for n in range(4000, 5000) if machine.levels[n] == "light")
    again = Machine(Schedule("auto", 0.02)).run(measured + 10, alarm=lambda n: n == measured)
    assert again.levels[measured + 1 : measured + 5] == ["thorough", "light", "light", "none"]


def test_alarms_all_the_time_do_not_eat_the_training() -> None:
    machine = Machine(Schedule("auto", 0.02)).run(alarm=lambda n: True)
    assert machine.overhead() <= 1.25 * 0.02


def test_measuring_that_costs_more_than_the_step() -> None:
    machine = Machine(Schedule("auto", 0.02), cost_s=lambda level, n: 0.5 if level == "light" else 2.0).run(200_000)
    assert machine.overhead() <= ROOM * 0.02
    assert machine.levels.count("light") > 10


def test_measuring_that_costs_nothing_is_done_always() -> None:
    machine = Machine(Schedule("auto", 0.02), cost_s=lambda level, n: 0.0, noise=0.0).run(200)
    assert machine.rate(50) > 0.5


@pytest.mark.parametrize("every", [1, 2, 7, 50])
def test_fixed_schedule_is_exact(every: int) -> None:
    machine = Machine(Schedule(every)).run(1000)
    assert [n for n, level in enumerate(machine.levels) if level != "none"] == list(range(0, 1000, every))
    thorough = [n // every for n, level in enumerate(machine.levels) if level == "thorough"]
    assert thorough == [number for number in (0, 10, *range(100, 1000, 100)) if number * every < 1000]
    assert machine.schedule.sampled == len(range(0, 1000, every))
    assert machine.schedule.thorough == len(thorough)


def test_alarm_does_not_move_a_fixed_schedule() -> None:
    machine = Machine(Schedule(10)).run(100, alarm=lambda n: True)
    assert [n for n, level in enumerate(machine.levels) if level != "none"] == list(range(0, 100, 10))


def test_account_before_and_after_the_first_step() -> None:
    schedule = Schedule("auto", 0.02)
    assert (schedule.steps, schedule.step_s, schedule.overhead) == (0, None, None)
    schedule.after("thorough", 0.03, 0.01)
    assert schedule.overhead == pytest.approx(0.5)
    schedule.after("none", 0.02, 0.0)
    assert schedule.step_s == pytest.approx(0.02)
    assert schedule.overhead == pytest.approx(0.25)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "always", None, [1]], ids=repr)
def test_every_that_makes_no_sense(every: object) -> None:
    with pytest.raises(InputError, match=r"every=.*: give a whole number from 1 \(every=10\), or every=\"auto\""):
        Schedule(every)


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, True, "2 %", None, float("nan")], ids=repr)
def test_budget_that_makes_no_sense(budget: object) -> None:
    with pytest.raises(InputError, match=r"budget=.* is a share of the training time: 0\.02 stands for 2 %"):
        Schedule("auto", budget)


@pytest.mark.parametrize("seed", range(5))
def test_ranks_meet_at_the_same_steps_without_a_word(seed: int) -> None:
    """Each of them has another speed and other costs; whatever the slowest measures, all of them do."""
    chance = random.Random(seed)
    machines = []
    for _ in range(4):
        cost = 10 ** chance.uniform(-3.5, -1.0)

        def cost_s(level: str, number: int, cost: float = cost) -> float:
            return cost if level == "light" else 10 * cost

        machines.append(Machine(Schedule("auto", 0.02, together=True), cost_s=cost_s).run(8000))
    measured = [{n for n, level in enumerate(m.levels) if level != "none"} for m in machines]
    shared = set.intersection(*measured)
    assert {0, 4, 9} <= shared
    late = [{n for n in steps if n > 2000} for steps in measured]
    assert min(late, key=len) <= set.intersection(*late)
    assert all(machine.overhead(2000) <= ROOM * 0.02 for machine in machines)


def test_thorough_steps_of_ranks_meet_too() -> None:
    machines = [
        Machine(Schedule("auto", 0.02, together=True), cost_s=lambda level, number, f=factor: f * 0.002).run(8000)
        for factor in (1, 1.9, 7)
    ]
    thorough = [{n for n, level in enumerate(m.levels) if level == "thorough" and n > 2000} for m in machines]
    assert all(thorough)
    assert min(thorough, key=len) <= set.intersection(*thorough)


def test_alarm_of_one_rank_moves_no_thorough_step_of_its_own() -> None:
    """What is kept as a whole must be kept of all ranks, and the others have heard nothing."""
    calm = Machine(Schedule(5, together=True)).run(1200)
    alarmed = Machine(Schedule(5, together=True)).run(1200, alarm=lambda number: number == 300)
    assert calm.levels == alarmed.levels
