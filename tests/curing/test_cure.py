"""``hw.fix``: what it finds, what it proves, and that it leaves alone what it should."""

import json
import math
import statistics
from dataclasses import replace

import jsonschema
import pytest
import torch
from torch import nn

import headwater as hw
from headwater.curing import Wish, cured, has_healed
from headwater.curing.halving import Halving
from headwater.records import Score
from headwater.remedies.proof import Interrupted
from headwater.remedies.runner import running
from headwater.report import schema
from headwater.report.lines import WIDTH
from headwater.report.words import Words
from tests.helpers import closed
from tests.remedies.programs import EXPERIMENT

QUICK = {"seeds": 3, "steps": 40, "rates": (1.0, 1 / 3)}


@pytest.fixture(scope="module")
def cure() -> hw.Cure:
    return hw.fix(EXPERIMENT, **QUICK)


def test_deep_sigmoid_network_is_cured(cure: hw.Cure) -> None:
    assert cure.verdict == "proven"
    assert cure.findings[0].symptom == "vanishing"
    assert cure.metric_after > cure.metric_before + 0.2
    assert cure.proof.remedies == cure.remedies
    assert cure.candidates[0].standing == "winner"
    assert {"original", "winner"} <= {candidate.standing for candidate in cure.candidates}
    assert cure.measure.statistic == "decades"
    assert max(cure.measure.before) < min(cure.measure.after)
    assert len(cure.measure.before) == len(cure.proof.seeds)


def test_proof_is_on_seeds_that_chose_nothing(cure: hw.Cure) -> None:
    assert cure.proof.seeds == (0, 1, 2)
    assert cure.run.seed not in cure.proof.seeds


def test_patch_is_the_change_and_model_makes_it(cure: hw.Cure) -> None:
    namespace: dict[str, object] = {}
    exec(cure.patch, namespace)
    torch.manual_seed(0)
    patched = namespace["repair"](EXPERIMENT.model())
    made = cure.model()
    x = torch.randn(5, 2)
    torch.testing.assert_close(patched(x), made(x), rtol=0, atol=0)
    assert not any(isinstance(module, nn.Sigmoid) for module in made.modules())
    assert ("def repair_optimizer" in cure.patch) == (cure.rate != 1.0)


def test_same_call_gives_the_same_cure_and_leaves_randomness_alone(cure: hw.Cure) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    again = hw.fix(EXPERIMENT, **QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    assert (again.patch, again.candidates, again.proof.arms) == (cure.patch, cure.candidates, cure.proof.arms)


def test_faces_fit_and_say_the_same_in_both_languages(cure: hw.Cure, tmp_path) -> None:
    for language in ("en", "ko"):
        lines = list(cure.lines(Words.of(language), WIDTH))
        assert len(lines) <= 25
        assert max(line.cell_len for line in lines) <= WIDTH
        page = cure.page(Words.of(language))
        assert "set_submodule" in page
        assert "http://" not in page.replace("http://www.w3.org", "")
    assert str(cure).startswith("✓ Proven cure · ")
    saved = cure.save(tmp_path / "cure.json")
    data = json.loads(saved.read_text())
    jsonschema.Draft202012Validator(closed(schema.stored_schema(schema.CURE_FILE))).validate(data)
    assert data["schema"] == "headwater/cure/1"


def small(width: int = 16) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))


def test_healthy_network_has_nothing_to_fix() -> None:
    x, y = EXPERIMENT.validation()[0]
    healthy = replace(EXPERIMENT, model=small, batches=lambda: [(x, y)], loss=EXPERIMENT.loss)
    cure = hw.fix(healthy, **QUICK)
    assert cure.verdict == "nothing_to_fix", cure
    assert (cure.remedies, cure.patch, cure.proof) == ((), "", None)
    assert isinstance(cure.model()[1], nn.Tanh)


def test_what_cannot_help_is_not_proven_and_changes_nothing() -> None:
    """Labels that nothing can be learnt from: the gradient comes back, and the accuracy does not."""
    labels = torch.randint(2, (128,), generator=torch.Generator().manual_seed(5))
    held_out = torch.randint(2, (128,), generator=torch.Generator().manual_seed(6))
    hopeless = replace(
        EXPERIMENT,
        batches=lambda: [(x, labels[:32]) for x, _ in EXPERIMENT.batches()],
        validation=lambda: [(x, held_out) for x, _ in EXPERIMENT.validation()],
    )
    cure = hw.fix(hopeless, **QUICK)
    assert cure.verdict == "not_proven"
    assert (cure.remedies, cure.patch) == ((), "")
    assert isinstance(cure.model()[1], nn.Sigmoid)
    assert cure.proof is None or cure.proof.verdict != "proven"


def search(experiment: hw.Experiment, tried, steps: int = 16, rates=(1.0,), deadline: float = math.inf):
    with running(experiment, "validation", 0, 1, None) as runner:
        halving = Halving(runner, tried, steps, rates, 0, deadline)
        winner = halving.search()
        return winner, {candidate.remedies: candidate for candidate in halving.standings(winner)}


def test_diverging_candidate_is_recorded_and_the_rest_goes_on() -> None:
    def loss(model, batch):
        value = EXPERIMENT.loss(model, batch)
        return value * float("nan") if isinstance(model[1], nn.ReLU) else value

    tried = [("activation.relu", "init.he"), ("activation.tanh", "init.xavier")]
    winner, standings = search(replace(EXPERIMENT, loss=loss), tried, steps=60)
    assert winner == ("activation.tanh", "init.xavier")
    failed = standings["activation.relu", "init.he"]
    assert (failed.standing, failed.failure) == ("failed", "loss is nan at step 1")
    assert standings[()].standing == "original"


def test_candidate_that_is_not_applicable_is_one_that_failed() -> None:
    winner, standings = search(EXPERIMENT, [("activation.sigmoid",), ("activation.tanh", "init.xavier")], steps=60)
    assert winner == ("activation.tanh", "init.xavier")
    assert "NotApplicableError" in standings["activation.sigmoid",].failure


def test_of_candidates_that_do_equally_well_the_one_that_changes_least_wins() -> None:
    """Clipping at a length that no gradient has changes nothing, and its loss is the same to the last digit."""
    less = ("activation.tanh", "init.xavier")
    perfect = replace(EXPERIMENT, metric=lambda model, batches: float(isinstance(model[1], nn.Tanh)))
    winner, standings = search(perfect, [(*less, "normalisation.layer"), less], steps=20)
    assert standings[(*less, "normalisation.layer")].metric in (0.0, standings[less].metric)
    assert winner == less


def test_survivors_train_longer_and_the_original_beside_them() -> None:
    tried = [("activation.tanh", "init.xavier"), ("init.he",), ("init.lecun",)]
    winner, standings = search(EXPERIMENT, tried, steps=60, rates=(1.0, 0.1))
    assert standings[winner].steps == 60
    assert standings[()].steps == 60
    assert min(candidate.steps for candidate in standings.values()) < 60


def test_few_come_to_the_finals_and_the_proof_tries_their_rates_again() -> None:
    tried = [("activation.tanh", "init.xavier"), ("init.he",), ("init.lecun",), ("structure.prenorm",)]
    with running(EXPERIMENT, "validation", 0, 1, None) as runner:
        halving = Halving(runner, tried, 40, (1.0, 0.3, 0.001), 0)
        winner = halving.search()
        assert winner is not None
        finalists = [c for remedies, own in halving.known.items() if remedies for c in own if c.steps == 40]
        assert 1 <= len(finalists) <= 3
        left = halving.rates_left(winner)
        assert set(left) == {c.rate for r in (winner, ()) for c in halving.known[r] if c.steps == 40}
        assert 1.0 in left  # the original as it is was there to the end
        assert halving.rates_left(("init.orthogonal",)) == (1.0, 0.3, 0.001)  # of one that never ran nothing is known


def test_time_that_is_up_leaves_candidates_untried() -> None:
    winner, standings = search(EXPERIMENT, [("activation.sigmoid",), ("init.he",), ("init.xavier",)], deadline=0.0)
    assert winner == ("init.he",)  # the likeliest that can be made goes to the proof untried
    assert (standings[winner].standing, standings[winner].steps) == ("winner", 0)
    assert standings["init.xavier",].standing == "not_tried"


def report_of(*findings: hw.Finding, scores: tuple[tuple[float, float], ...] = ()) -> hw.Report:
    """What was measured of the experiment's network, found to be so, with accuracies on seen and unseen data."""
    report = hw.check(EXPERIMENT, steps=12 if scores else 0, seed=0)
    training = report.flow.training
    if training is not None:
        known = [Score(step, metric=m, validation_metric=v) for step, (m, v) in enumerate(scores)]
        report = replace(report, flow=replace(report.flow, training=replace(training, scores=tuple(known))))
    return replace(report, diagnosis=replace(report.diagnosis, findings=findings))


def test_what_a_training_heals_is_looked_into_unless_the_training_went_well() -> None:
    wrong = hw.check(EXPERIMENT, seed=0).findings[0]
    before = report_of(wrong)
    assert has_healed(before, report_of(scores=((0.5, 0.5), (0.6, 0.6))))
    assert not has_healed(before, report_of(scores=((0.5, 0.5), (0.9, 0.9))))
    assert not has_healed(before, report_of(wrong, scores=((0.5, 0.5), (0.6, 0.6))))
    assert not has_healed(report_of(), report_of(scores=((0.5, 0.5), (0.6, 0.6))))
    assert not has_healed(
        report_of(replace(wrong, prescriptions=())), report_of(scores=((0.5, 0.5), (0.6, 0.6)))
    )  # nothing that could be tried


def test_what_has_healed_and_is_not_proven_leaves_nothing_to_fix() -> None:
    labels = torch.randint(2, (128,), generator=torch.Generator().manual_seed(5))
    hopeless = replace(EXPERIMENT, batches=lambda: [(x, labels[:32]) for x, _ in EXPERIMENT.batches()])
    report = hw.check(hopeless, seed=100)
    cure = cured(hopeless, report, Wish(3, 12, rates=(1.0,)), 0.0, healed=True)
    assert cure.verdict == "nothing_to_fix"
    assert cure.notes[-1].id == "cure.note_healed"
    assert (cure.remedies, cure.patch) == ((), "")
    assert cure.candidates


def noisy() -> hw.Experiment:
    """Few samples, labels half at random, and a network that learns them by heart."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 20, generator=generator)
    y = (x[:, 0] + 1.2 * torch.randn(400, generator=generator) > 0).long()

    def batches():
        order = torch.randperm(40)
        return [(x[rows], y[rows]) for rows in order.split(20)]

    return hw.Experiment(
        model=lambda: nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)),
        batches=batches,
        loss=EXPERIMENT.loss,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
        validation=lambda: [(x[40:220], y[40:220])],
        test=lambda: [(x[220:], y[220:])],
        metric=EXPERIMENT.metric,
        metric_name="accuracy",
    )


@pytest.mark.slow
def test_overfitting_is_met_by_a_strength_chosen_on_validation_and_judged_on_test_data() -> None:
    cure = hw.fix(replace(noisy(), metric=None), seeds=4, steps=80, rates=(1.0,))
    assert cure.findings[0].symptom == "overfitting"
    assert cure.proof is not None, cure
    assert cure.proof.held_out == "test"
    tried = {candidate.remedies[0].partition(":")[0] for candidate in cure.candidates if candidate.remedies}
    assert tried >= {"regularisation.l1", "regularisation.l2", "regularisation.weight_decay", "regularisation.dropout"}
    assert cure.verdict == "proven", cure
    assert cure.remedies[0].startswith(("regularisation.", "normalisation.batch"))


def test_overfitting_without_test_data_that_can_be_split_off_says_what_to_add() -> None:
    x, y = noisy().validation()[0]
    one = type("Batch", (), {"x": x, "y": y})()

    def loss(model, batch):
        x, y = (batch.x, batch.y) if hasattr(batch, "x") else batch
        return nn.functional.cross_entropy(model(x), y)

    def metric_of_any(model, batches):
        pairs = [(b.x, b.y) if hasattr(b, "x") else b for b in batches]
        return statistics.fmean(float((model(x).argmax(1) == y).float().mean()) for x, y in pairs)

    alone = replace(noisy(), validation=lambda: [one], test=None, loss=loss, metric=metric_of_any)
    with pytest.raises(hw.InputError, match="test=lambda"):
        hw.fix(alone, seeds=3, steps=80)


def test_interrupted_search_tells_its_standings(monkeypatch) -> None:
    def interrupted(self, alive, length, *rest, original=Halving._round, **names):
        if length > 10:
            raise KeyboardInterrupt
        return original(self, alive, length, *rest, **names)

    monkeypatch.setattr(Halving, "_round", interrupted)
    with pytest.raises(Interrupted) as caught:
        hw.fix(EXPERIMENT, **QUICK)
    found = caught.value.found
    assert found.verdict == "not_proven"
    assert found.interrupted
    assert {"in_the_race", "original"} <= {candidate.standing for candidate in found.candidates}
    assert "interrupted" in str(found)


@pytest.mark.parametrize(
    ("parts", "arguments", "said"),
    [
        ({"validation": None}, {}, "validation=lambda"),
        ({"optimizer": None}, {}, "optimizer=lambda"),
        ({}, {"steps": 5}, "too few"),
        ({}, {"seeds": 1}, "at least 2"),
        ({}, {"budget_seconds": 0}, "above 0"),
        ({}, {"rates": (0.0,)}, "rates are factors"),
    ],
)
def test_bad_input_says_what_to_change(parts, arguments, said) -> None:
    with pytest.raises(hw.InputError, match=said):
        hw.fix(replace(EXPERIMENT, **parts), **arguments)


def test_cure_read_from_a_file_makes_no_model(cure: hw.Cure) -> None:
    with pytest.raises(hw.InputError, match="run its patch"):
        replace(cure).model()
