"""How a proof is run: tuned alike, in several processes, resumed, stopped early and interrupted."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.remedies import proof as proofs
from headwater.remedies.bench import Bench, Run
from headwater.remedies.held_out import HeldOut, halves
from headwater.remedies.proof import Design, prove_with, set_the_rate
from headwater.remedies.runner import running
from headwater.remedies.trial import seed_everything
from headwater.remedies.tuning import RATES, best_rate
from tests.helpers import ROOT
from tests.remedies.programs import EXPERIMENT, OTHER, TEST, made

CURE = ["activation.tanh", "init.xavier"]


def bare(proof: hw.Proof) -> hw.Proof:
    """A proof without what depends on the machine and its clock."""
    return replace(proof, wall_time_s=0.0, cost=None, processes=1, notes=(), threads=0)


@pytest.fixture(scope="module")
def proof() -> hw.Proof:
    return hw.prove(EXPERIMENT, CURE, seeds=3, steps=30)


def test_every_side_is_tuned_over_the_same_rates_on_seeds_of_its_own(proof: hw.Proof) -> None:
    assert proof.rates == RATES
    assert {tuned.arm for tuned in proof.tuned} == {"original", "treated", "placebo", "random_remedy"}
    assert all(len(tuned.metrics) == len(RATES) for tuned in proof.tuned)
    assert all(tuned.rate == best_rate(RATES, tuned.metrics) for tuned in proof.tuned)
    assert not set(proof.tuning_seeds) & set(proof.seeds)
    for name in ("original", "treated", "placebo"):
        [tuned] = [tuned for tuned in proof.tuned if tuned.arm == name]
        assert proof.arm(name).rates == (tuned.rate,) * 3


def test_rate_scales_what_the_optimizer_does() -> None:
    bench = Bench(EXPERIMENT, "validation")
    runs = [bench.run(Run("original", 0, (), 1, rate)) for rate in (1.0, 1e-6)]
    assert runs[0].losses == runs[1].losses  # the first loss comes before any step
    moved = [bench.run(Run("original", 0, (), 8, rate)).losses[-1] for rate in (1.0, 3.0)]
    assert moved[0] != moved[1]


@pytest.mark.parametrize(
    ("metrics", "rate"),
    [((0.5, 0.6, 0.6, 0.1), 1 / 3), ((0.5, 0.5, 0.5, 0.5), 1.0), ((float("nan"),) * 4, 1.0)],
)
def test_best_rate_is_the_best_and_of_equals_the_nearest_to_the_own(metrics, rate) -> None:
    assert best_rate(RATES, metrics) == rate


def test_original_may_choose_its_rate_too() -> None:
    """Else a repair would be proven that does no more than stand a rate which suits it."""
    slow = replace(
        EXPERIMENT,
        model=lambda: nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)),
        loss=lambda model, batch: (model(batch[0]) - batch[0].sum(1, keepdim=True)).square().mean(),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
        metric=None,
    )
    proof = hw.prove(slow, "init.xavier", seeds=2, steps=30)
    assert {rate for name in ("original", "treated", "placebo") for rate in proof.arm(name).rates} == {3.0}


def test_several_processes_give_the_very_same_numbers(proof: hw.Proof) -> None:
    side_by_side = hw.prove(EXPERIMENT, CURE, seeds=3, steps=30, jobs=2)
    assert side_by_side.processes == 2, side_by_side.notes
    assert bare(side_by_side) == bare(proof)


def test_lambdas_travel_if_the_source_is_named_and_else_stay_in_one_process() -> None:
    local = replace(EXPERIMENT, loss=lambda model, batch: EXPERIMENT.loss(model, batch))
    alone = hw.prove(local, CURE, seeds=2, steps=3, rates=(1.0,), jobs=2)
    assert alone.processes == 1
    assert "proof.note_not_picklable" in [note.id for note in alone.notes]
    together = hw.prove(local, CURE, seeds=2, steps=3, rates=(1.0,), jobs=2, source=made)
    assert together.processes == 2
    assert together.arms == alone.arms


@pytest.mark.slow
def test_experiment_that_is_another_one_elsewhere_stays_in_one_process() -> None:
    other = replace(EXPERIMENT, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.5))
    proof = hw.prove(other, CURE, seeds=2, steps=3, rates=(1.0,), jobs=2, source=made)
    assert proof.processes == 1
    assert "proof.note_differs_elsewhere" in [note.id for note in proof.notes]


def test_data_with_a_state_of_their_own_stay_in_one_process() -> None:
    stream = torch.Generator().manual_seed(0)
    drawn = replace(EXPERIMENT, batches=lambda: [(torch.randn(8, 2, generator=stream), torch.zeros(8).long())])
    proof = hw.prove(drawn, CURE, seeds=2, steps=3, rates=(1.0,), jobs=2, source=made)
    assert proof.processes == 1
    assert "proof.note_stateful" in [note.id for note in proof.notes]


def test_large_effect_stops_early_and_the_interval_allows_for_it(proof: hw.Proof) -> None:
    long = hw.prove(EXPERIMENT, CURE, seeds=5, steps=40, rates=(1.0,))
    assert long.verdict == "proven"
    assert long.stopped == "verdict"
    assert 3 <= len(long.seeds) < long.seeds_planned == 5
    assert long.interval_method == "repeated_t"
    fixed = hw.prove(EXPERIMENT, CURE, seeds=long.seeds, steps=40, rates=(1.0,), stop_early=False)
    assert fixed.arms == long.arms
    assert fixed.interval_method == "t"
    assert fixed.interval[0] > long.interval[0]  # narrower, because it looked once


def test_no_seed_begins_after_the_deadline_once_there_are_enough() -> None:
    with running(EXPERIMENT, "validation", 0, 1, None) as runner:
        design = Design(("activation.leaky_relu",), (0, 1, 2, 3, 4), 3, (1.0,), deadline=0.0)
        proof = prove_with(runner, design)
    assert len(proof.seeds) == 3
    assert proof.stopped == "time"


def test_interrupted_proof_tells_what_was_finished(monkeypatch) -> None:
    seeds = []

    def run_seed(runner, design, seed, seen, run=proofs._run_seed):
        if len(seeds) == 2:
            raise KeyboardInterrupt
        seeds.append(seed)
        run(runner, design, seed, seen)

    monkeypatch.setattr(proofs, "_run_seed", run_seed)
    with pytest.raises(KeyboardInterrupt) as caught:
        hw.prove(EXPERIMENT, CURE, seeds=5, steps=20, rates=(1.0,))
    found = caught.value.found
    assert found.seeds == (0, 1)
    assert found.stopped == "interrupted"
    assert found.verdict == "not_proven"


def test_journal_makes_finished_runs_not_run_again(tmp_path, monkeypatch) -> None:
    journal = tmp_path / "proof.jsonl"
    whole = hw.prove(EXPERIMENT, CURE, seeds=3, steps=8, rates=(1.0, 0.1))
    made_runs, original = [], Bench.run

    def counted(self, run, on_step=lambda: None):
        if len(made_runs) == 9:
            raise KeyboardInterrupt
        made_runs.append(run)
        return original(self, run, on_step)

    monkeypatch.setattr(Bench, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        hw.prove(EXPERIMENT, CURE, seeds=3, steps=8, rates=(1.0, 0.1), journal=journal)
    with open(journal, "a") as file:
        file.write('{"run": "cut off in the mid')  # as a kill leaves it
    first = list(made_runs)
    again = []

    def rest(self, run, on_step=lambda: None):
        again.append(run)
        return original(self, run, on_step)

    monkeypatch.setattr(Bench, "run", rest)
    resumed = hw.prove(EXPERIMENT, CURE, seeds=3, steps=8, rates=(1.0, 0.1), journal=journal)
    assert not set(first) & set(again)
    assert bare(resumed) == bare(whole)
    assert not journal.exists()  # done: nothing is left to go on with


def test_journal_of_another_proof_is_not_gone_on_with(tmp_path) -> None:
    journal = tmp_path / "proof.jsonl"
    with running(EXPERIMENT, "validation", 0, 1, None) as runner:
        from headwater.remedies.journal import Journal

        runner.journal = Journal(journal, {"steps": 3})
        runner.run([Run("original", 0, (), 3)])
        assert Journal(journal, {"steps": 3}).found == 1
        assert Journal(journal, {"steps": 4}).found == 0
    journal.write_text("my notes\n")
    with pytest.raises(hw.InputError, match="no journal of a proof"):
        Journal(journal, {})
    assert journal.read_text() == "my notes\n"


KILLED = """
import sys
import headwater as hw
from tests.remedies.programs import EXPERIMENT

if __name__ == "__main__":
    proof = hw.prove(EXPERIMENT, ["activation.tanh", "init.xavier"], seeds=3, steps=40, jobs=2, journal=sys.argv[1])
    print(proof.arms)
"""


@pytest.mark.slow
def test_proof_killed_in_the_middle_is_resumed_and_leaves_no_process(tmp_path) -> None:
    program, journal = tmp_path / "killed.py", tmp_path / "journal.jsonl"
    program.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, str(program), str(journal)]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b"\n") < 8:
        assert time.monotonic() < deadline
        assert first.poll() is None, "it was done before it could be killed"
        time.sleep(0.02)
    children = [int(pid) for pid in _children(first.pid)]
    first.send_signal(signal.SIGKILL)
    first.wait()
    known = journal.read_text().splitlines()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(hw.prove(EXPERIMENT, CURE, seeds=3, steps=40).arms)
    assert len(known) >= 8
    assert json.loads(known[0])["schema"] == "headwater/journal/1"
    assert len(children) >= 2
    while any(os.path.exists(f"/proc/{child}") for child in children):
        assert time.monotonic() < deadline, "a worker has outlived its parent"
        time.sleep(0.05)


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_test_data_are_what_the_proof_is_about_and_validation_what_rates_are_chosen_by() -> None:
    asked = []

    def metric(model, batches):
        batches = list(batches)
        asked.append("test" if batches[0] is OTHER else "validation")
        return EXPERIMENT.metric(model, batches)

    tested = replace(EXPERIMENT, test=lambda: [OTHER], metric=metric)
    proof = hw.prove(tested, CURE, seeds=2, steps=2, rates=(1.0, 0.3))
    assert proof.held_out == "test"
    # Of each run the metric before and after; the very first question is whether the metric works at all.
    drawn = proof.arm("random_remedy").remedies  # one that sets the rate itself is not tuned
    tuning = 2 * 3 * 2 + 2 * 2 * sum(not set_the_rate(remedies) for remedies in drawn)
    assert asked.count("test") == 2 * 4 * 2
    assert asked.count("validation") == tuning + 1


def test_halves_share_no_sample_and_stay_the_same() -> None:
    held_out = HeldOut(replace(EXPERIMENT, validation=lambda: [tuple(t[torch.randperm(128)] for t in TEST)]), "half")
    chosen, proved = (list(held_out.batches(purpose)) for purpose in ("choose", "prove"))
    rows = [{tuple(row.tolist()) for x, _ in part for row in x} for part in (chosen, proved)]
    assert len(rows[0]) == len(rows[1]) == 64
    assert not rows[0] & rows[1]
    assert next(iter(held_out.batches("choose")))[0] is chosen[0][0]


@pytest.mark.parametrize(
    ("batches", "sizes"),
    [
        ([{"x": torch.zeros(5, 2), "y": torch.zeros(5)}], ([3], [2])),
        ([torch.zeros(4), torch.zeros(2)], ([2, 1], [2, 1])),
        (["one", "two", "three"], (2, 1)),
    ],
)
def test_halves_of_batches_of_all_kinds(batches, sizes) -> None:
    first, second = halves(batches)
    if isinstance(sizes[0], int):
        assert (len(first), len(second)) == sizes
        return

    def size(batch):
        return len(batch["x"] if isinstance(batch, dict) else batch)

    assert ([size(b) for b in first], [size(b) for b in second]) == sizes


def test_one_batch_that_cannot_be_cut_says_what_to_add() -> None:
    with pytest.raises(hw.InputError, match=r"test=lambda: \[\(x_test, y_test\)\]"):
        halves(["a single text"])


def raises(model, batches):
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"metric": raises}, "metric.* raised ZeroDivisionError"),
        ({"metric": lambda m, b: float("nan")}, "gives nan for the untrained model"),
        ({"metric": lambda m, b: torch.zeros(3)}, "must return one number"),
        ({"validation": None}, "validation=lambda"),
        ({"optimizer": None}, "optimizer=lambda"),
    ],
)
def test_parts_that_cannot_be_used_are_named(parts, said) -> None:
    with pytest.raises(hw.InputError, match=said):
        hw.prove(replace(EXPERIMENT, **parts), CURE, seeds=2, steps=2)


def test_metric_that_turns_nan_is_a_run_that_failed() -> None:
    def metric(model, batches):
        return (
            EXPERIMENT.metric(model, batches)
            if isinstance(model[1], nn.Sigmoid) or model[1].training
            else float("nan" if _moved(model) else 0.5)
        )

    def _moved(model):
        return any(float(p.detach().abs().sum()) != start for p, start in zip(model.parameters(), starts, strict=True))

    starts = [-1.0] * 18
    proof = hw.prove(replace(EXPERIMENT, metric=metric), CURE, seeds=2, steps=2, rates=(1.0,))
    assert proof.arm("treated").failures[0].startswith("the metric is nan")
    assert proof.verdict != "proven"


def test_experiment_whose_seeds_change_nothing_is_refused() -> None:
    def fixed_model():
        seed_everything(0)
        return EXPERIMENT.model()

    fixed = replace(EXPERIMENT, model=fixed_model, batches=lambda: [TEST])
    with pytest.raises(hw.InputError, match="every seed gives the very same run"):
        hw.prove(fixed, CURE, seeds=2, steps=2)
    noted = hw.prove(replace(EXPERIMENT, model=fixed_model), CURE, seeds=2, steps=2, rates=(1.0,))
    assert "proof.note_same_model" in [note.id for note in noted.notes]


def test_cost_tells_what_a_normalisation_adds() -> None:
    proof = hw.prove(EXPERIMENT, "normalisation.layer", seeds=2, steps=3, rates=(1.0,))
    assert proof.cost.parameters_after - proof.cost.parameters_before == 8 * 2 * 8
    assert proof.cost.step_s_after > 0


def test_jobs_that_are_no_number_are_refused() -> None:
    with pytest.raises(hw.InputError, match="jobs counts processes"):
        hw.prove(EXPERIMENT, CURE, seeds=2, steps=2, jobs=0)


def test_repaired_experiment_is_the_experiment_with_the_repair_in_it() -> None:
    trained = []

    def repair(model):
        return nn.Sequential(model, nn.Tanh())

    def repair_optimizer(model, optimizer):
        trained.append(
            {id(p) for p in model.parameters()} == {id(p) for g in optimizer.param_groups for p in g["params"]}
        )
        return optimizer

    fixed = EXPERIMENT.repaired(repair, repair_optimizer)
    assert isinstance(fixed.model()[1], nn.Tanh)
    proof = hw.prove(fixed, "normalisation.layer", seeds=2, steps=2, rates=(1.0,))
    assert len(proof.arm("original").losses[0]) == 2
    assert trained
    assert all(trained)
    assert dataclasses.replace(fixed, optimizer=None).repaired(repair).optimizer is None
