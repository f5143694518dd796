"""The proof: paired, controlled, deterministic, and honest about what it cannot show."""

import statistics
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import headwater as hw
from headwater.remedies.bench import Bench
from headwater.remedies.proof import _random_remedy, t_interval
from headwater.remedies.trial import endless, run_trial


def circles(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=generator)
    return x, (x.norm(dim=1) > 1.1774).long()


def experiment(make, lr: float = 1e-2, **parts) -> hw.Experiment:
    train, test = circles(256, 0), circles(256, 1)

    def batches():
        order = torch.randperm(256)
        return [(train[0][rows], train[1][rows]) for rows in order.split(64)]

    defaults = {
        "model": make,
        "batches": batches,
        "loss": lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]),
        "optimizer": lambda parameters: torch.optim.Adam(parameters, lr=lr),
        "validation": lambda: [test],
        "metric": lambda m, bs: statistics.fmean(float((m(x).argmax(1) == y).float().mean()) for x, y in bs),
        "metric_name": "accuracy",
    }
    return hw.Experiment(**{**defaults, **parts})


def deep(activation, depth: int = 12, width: int = 16) -> nn.Sequential:
    widths = [2] + [width] * depth
    layers = [m for i, o in pairwise(widths) for m in (nn.Linear(i, o), activation())]
    return nn.Sequential(*layers, nn.Linear(width, 2))


class Trained:
    """What each step of a training saw: drawing a remedy at random may look at the data as well."""

    def __init__(self) -> None:
        self.sums: list[float] = []
        self.weights: list[float] = []

    def loss(self, model, batch):
        if model.training:
            self.last = float(batch[0].sum()), float(model[0].weight.detach().sum())
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    def optimizer(self, parameters):
        optimizer = torch.optim.Adam(parameters, lr=0.01)
        optimizer.register_step_post_hook(lambda *_: self._note())
        return optimizer

    def _note(self) -> None:
        self.sums.append(self.last[0])
        self.weights.append(self.last[1])


def test_repair_of_a_deep_sigmoid_network_is_proven():
    proof = hw.prove(experiment(lambda: deep(nn.Sigmoid)), ["activation.tanh", "init.xavier"], seeds=3, steps=120)
    assert proof.verdict == "proven"
    assert min(proof.interval[0], proof.placebo_interval[0]) > 0
    assert proof.metric_after > 0.85
    assert max(proof.metric_before, proof.placebo) < 0.65
    assert proof.effect == pytest.approx(proof.metric_after - proof.metric_before)
    differences = [a - b for a, b in zip(proof.arm("treated").metrics, proof.arm("original").metrics, strict=True)]
    assert proof.effect == pytest.approx(statistics.fmean(differences))


def test_remedy_that_changes_little_is_not_proven():
    proof = hw.prove(experiment(lambda: deep(nn.ReLU, depth=1)), ["activation.leaky_relu"], seeds=3, steps=40)
    assert proof.verdict == "not_proven"
    assert proof.interval[0] <= 0 <= proof.interval[1]


def test_remedy_that_breaks_a_network_is_harmful():
    healthy = experiment(lambda: hw.apply(deep(nn.ReLU, depth=12), "init.he"), lr=3e-3)
    proof = hw.prove(healthy, ["activation.sigmoid"], seeds=3, steps=120)
    assert proof.verdict == "harmful"
    assert proof.interval[1] < 0


def test_same_seeds_give_the_same_proof_and_leave_randomness_alone():
    torch.manual_seed(11)
    state = torch.get_rng_state()
    trial = experiment(lambda: deep(nn.Sigmoid, depth=3))
    first = hw.prove(trial, ["init.xavier"], seeds=[4, 9], steps=10)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    second = hw.prove(trial, ["init.xavier"], seeds=[4, 9], steps=10)
    assert first.seeds == (4, 9)
    assert first.arms == second.arms


def test_arms_of_a_seed_see_the_same_data_and_start_from_the_same_weights():
    trained = Trained()

    def make():
        return nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(8, 2))

    steps = 6  # more than one epoch, so that the second shuffle is covered: dropout draws in between
    trial = experiment(make, loss=trained.loss, optimizer=trained.optimizer)
    hw.prove(trial, ["activation.relu"], seeds=[0, 1], steps=steps, rates=(1.0,))
    seen, weights = trained.sums, trained.weights
    assert len(seen) == 2 * 4 * steps
    for start in (0, 4 * steps):
        arms = [seen[start + arm * steps : start + (arm + 1) * steps] for arm in range(4)]
        assert arms[0] == arms[1] == arms[2] == arms[3]
        initial = [weights[start + arm * steps] for arm in range(4)]
        assert initial[0] == initial[1]
        assert initial[0] != initial[2]  # the placebo starts elsewhere
    assert seen[0] != seen[4 * steps]


def test_experiment_that_hands_out_one_object_is_not_trained_twice():
    shared = deep(nn.Sigmoid, depth=2)
    before = [p.detach().clone() for p in shared.parameters()]
    proof = hw.prove(experiment(lambda: shared), ["init.xavier"], seeds=2, steps=5)
    assert all(torch.equal(a, b) for a, b in zip(before, shared.parameters(), strict=True))
    assert len(proof.arm("original").losses[0]) == 5


def test_diverging_run_is_recorded_and_the_rest_goes_on():
    def make():
        return nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 2))

    def loss(model, batch):
        value = nn.functional.cross_entropy(model(batch[0]), batch[1])
        return value * float("nan") if isinstance(model[1], nn.ReLU) else value

    proof = hw.prove(experiment(make, loss=loss), ["activation.relu"], seeds=2, steps=5)
    assert proof.arm("treated").failures == ("loss is nan at step 1",) * 2
    assert all(len(losses) == 5 for losses in proof.arm("original").losses)
    assert proof.verdict != "proven"


def test_random_remedy_is_another_one():
    tested = ("activation.tanh", "init.he")
    proof = hw.prove(experiment(lambda: deep(nn.Sigmoid, depth=2)), tested, seeds=4, steps=2)
    drawn = proof.arm("random_remedy").remedies
    assert all(len(set(remedies)) == 2 for remedies in drawn)
    assert tested not in drawn
    assert len(set(drawn)) > 1


class _Still:
    """A bench whose every seed is the first: what is applicable to a model does not hang on its weights."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def edits(self, seed: int, remedies: tuple[str, ...]):
        return self._bench.edits(0, remedies)


def test_random_remedy_is_never_what_lessons_show_as_the_illness():
    bench = Bench(experiment(lambda: deep(nn.Sigmoid, depth=2)), "validation")
    chances = range(150)
    drawn = {id_ for seed in chances for id_ in _random_remedy(_Still(bench), ("init.he", "activation.relu"), seed)}
    assert len(drawn) > 20
    assert not {id_ for id_ in drawn if id_.startswith("init.normal")}


def test_penalty_acts_in_a_proof():
    trial = experiment(lambda: deep(nn.Tanh, depth=1), optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    weak, strong = (
        hw.prove(trial, [f"regularisation.l2:{strength}"], seeds=2, steps=20, rates=(1.0,))
        for strength in ("1e-30", "5.0")
    )
    assert weak.remedies == ("regularisation.l2:1e-30",)
    assert weak.arm("treated").losses == weak.arm("original").losses
    assert strong.arm("treated").losses[0][0] == strong.arm("original").losses[0][0]  # the loss told is the data's
    assert strong.arm("treated").losses[0][-1] == pytest.approx(np.log(2), abs=0.02)  # all weights gone
    assert strong.arm("original").losses[0][-1] < 0.68


def test_random_remedy_that_breaks_the_training_is_a_run_that_failed(monkeypatch):
    monkeypatch.setattr("headwater.remedies.proof._random_remedy", lambda *args: ("normalisation.batch",))
    x, y = circles(9, 0)
    trial = experiment(lambda: deep(nn.Tanh, depth=1), batches=lambda: [(x[:8], y[:8]), (x[8:], y[8:])])
    calls = []
    proof = hw.prove(trial, ["init.xavier"], seeds=2, steps=4, progress=lambda *a: calls.append(a[1]), rates=(1.0,))
    failure = proof.arm("random_remedy").failures[0]
    assert "ValueError: Expected more than 1 value per channel" in failure
    assert 0.0 <= proof.random_remedy <= 1.0
    assert calls == sorted(calls)
    assert calls[-1] == 2 * 4 * 4
    with pytest.raises(hw.InputError, match="more than 1 value"):
        hw.prove(trial, ["normalisation.batch"], seeds=2, steps=4)


def test_one_id_may_be_named_by_itself():
    trial = experiment(lambda: deep(nn.Sigmoid, depth=2))
    assert hw.prove(trial, "init.he", seeds=2, steps=1).remedies == ("init.he",)


@pytest.mark.parametrize("stream", ["loader with its own generator", "numpy generator of the module"])
def test_data_with_a_state_of_its_own_are_the_same_for_all_arms(stream):
    trained = Trained()
    if stream.startswith("loader"):
        data = torch.utils.data.TensorDataset(*circles(64, 0))
        loader = torch.utils.data.DataLoader(data, 16, shuffle=True, generator=torch.Generator().manual_seed(3))

        def batches():
            return loader
    else:
        generator = np.random.default_rng(3)

        def batches():
            return [(torch.tensor(generator.normal(size=(16, 2))).float(), torch.zeros(16).long())]

    trial = experiment(lambda: deep(nn.Sigmoid, 1), batches=batches, loss=trained.loss, optimizer=trained.optimizer)
    hw.prove(trial, ["init.he"], seeds=2, steps=3, rates=(1.0,))
    assert len(trained.sums) == 24
    for seed in (trained.sums[:12], trained.sums[12:]):
        arms = [seed[3 * arm : 3 + 3 * arm] for arm in range(4)]
        assert arms[0] == arms[1] == arms[2] == arms[3]
        assert len(set(arms[0])) == 3


def test_data_made_under_the_seed_are_not_the_weights():
    made = []

    def batches():
        made.append(torch.randn(8, 8))
        return [(made[-1], torch.zeros(8, dtype=torch.int64))]

    def model():
        layer = nn.Linear(8, 8, bias=False)
        nn.init.normal_(layer.weight)
        return nn.Sequential(layer, nn.Tanh(), nn.Linear(8, 2))

    trial = experiment(model, batches=batches)
    report = hw.check(trial, seed=0)
    assert abs(report.flow.site("0").forward_gain - 8**0.5) < 1.0  # 11 where the weights are the data


def test_default_metric_is_minus_the_held_out_loss():
    trial = experiment(lambda: deep(nn.Tanh, depth=1), metric=None, metric_name="")
    proof = hw.prove(trial, ["init.xavier"], seeds=2, steps=3)
    assert str(proof.metric) == "minus the held-out loss"
    assert proof.metric_before < 0


def test_progress_reaches_its_end_even_when_runs_break_off():
    calls = []

    def loss(model, batch):
        return model(batch[0]).sum() * float("inf")

    hw.prove(
        experiment(lambda: deep(nn.Tanh, 1), loss=loss),
        ["init.xavier"],
        seeds=2,
        steps=3,
        progress=lambda *a: calls.append(a),
    )
    total = (3 * 4 + 2 * (4 + 4)) * 3  # tuning of three arms, then each seed's arms and the tuning of its random remedy
    assert calls[-1] == ("progress.prove", total, total)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


def test_t_interval_agrees_with_scipy():
    differences = [0.1, 0.4, -0.2, 0.3, 0.25]
    low, high = t_interval(differences)
    expected = stats.t.interval(0.95, 4, statistics.fmean(differences), stats.sem(differences))
    assert (low, high) == pytest.approx(expected)


def test_random_states_of_data_do_not_depend_on_the_model():
    trial = experiment(lambda: deep(nn.Tanh, 1))
    quiet, noisy = endless(trial, 5), endless(trial, 5)
    for _ in range(9):
        a = next(quiet)
        torch.rand(7)
        b = next(noisy)
        torch.rand(3)
        assert torch.equal(a[0], b[0])


def test_lbfgs_trains():
    trial = experiment(lambda: deep(nn.Tanh, 1), optimizer=lambda p: torch.optim.LBFGS(p, lr=0.1))
    torch.manual_seed(0)
    # One batch again and again: what a step on one batch does to the loss of another depends on the CPU's rounding.
    losses = run_trial(trial, deep(nn.Tanh, 1), [next(endless(trial, 0))] * 8, seed=0).losses
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("parts", "arguments", "said"),
    [
        ({"validation": None}, {}, "validation="),
        ({"optimizer": None}, {}, "optimizer=lambda parameters"),
        ({"optimizer": lambda p: "adam"}, {}, "must return a torch.optim.Optimizer, got str"),
        ({"batches": list}, {}, "gave no batch"),
        ({"batches": lambda: 5}, {}, "iterable of batches, got int"),
        ({"validation": list, "metric": None}, {}, "nothing to score"),
        ({}, {"seeds": 1}, "at least 2"),
        ({}, {"steps": 0}, "at least 1"),
        ({}, {"remedies": []}, "nothing to prove"),
        ({}, {"seeds": 2.5}, "a number of seeds or a list"),
        ({}, {"steps": 2.5}, "whole number"),
        ({}, {"remedies": ["init.hi"]}, "Did you mean init.he"),
        ({}, {"remedies": ["activation.tanh"]}, "tanh already"),
    ],
)
def test_bad_input_says_what_to_change(parts, arguments, said):
    trial = experiment(lambda: deep(nn.Tanh, 1), **parts)
    with pytest.raises(hw.InputError, match=said):
        hw.prove(trial, **{"remedies": ["init.xavier"], "seeds": 2, "steps": 2, **arguments})


def test_generator_that_runs_out_is_named():
    once = iter([circles(8, 0)])
    with pytest.raises(hw.InputError, match="fresh iterable each time"):
        hw.prove(experiment(lambda: deep(nn.Tanh, 1), batches=lambda: once), ["init.xavier"], seeds=2, steps=3)
