"""``hw.check``: the issue's own numbers, and bad input answered with the culprit and the corrected call."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.records import HeadwaterError, InputError
from headwater.report.words import Words
from tests.cases import cross_entropy, plain_mlp, vectors


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def experiment(**parts: Any) -> hw.Experiment:
    batch = vectors()
    given = {
        "model": plain_mlp,
        "batches": lambda: [batch],
        "loss": cross_entropy,
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    }
    return hw.Experiment(**{**given, **parts})


def test_deep_sigmoid_network_as_the_demo_shows_it() -> None:
    model, (x, y) = plain_mlp("sigmoid", "default", 30, 64, 64, 10), vectors(128, 64, 10)
    report = hw.check(model, (x, y), cross_entropy)
    exact = hw.check(copy.deepcopy(model).double(), (x.double(), y), cross_entropy)
    first, true = (r.flow.rows()[0]["activation_grad_rms"] for r in (report, exact))
    assert first == pytest.approx(true, rel=0.01)
    assert 1e-29 < first < 1e-23
    assert report.findings[0].symptom == "vanishing"
    assert report.findings[0].causes[0].id == "activation_derivative"
    assert math.fsum(c.share or 0.0 for c in report.findings[0].causes) == pytest.approx(1.0, abs=1e-9)
    assert "0.0 " not in str(report.findings[0].message)
    assert "e-2" in str(report.findings[0].message)


def test_healthy_network_is_called_healthy() -> None:
    report = hw.check(plain_mlp("tanh"), vectors(), cross_entropy)
    assert report.verdict == "healthy"
    assert report.findings == ()
    assert report.run.model == "Sequential"
    assert report.run.parameters == report.run.trainable == 8 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3


def test_experiment_gives_the_same_as_its_parts() -> None:
    model, batch = plain_mlp("tanh"), vectors()
    parts = hw.check(model, batch, cross_entropy)
    whole = hw.check(experiment(model=lambda: model, batches=lambda: [batch], optimizer=None))
    assert whole.flow == parts.flow


def test_seed_fixes_weights_data_and_leaves_the_random_states() -> None:
    drawn = experiment(batches=lambda: [vectors()])
    state = torch.get_rng_state()
    first, again, other = (hw.check(drawn, seed=seed).flow for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("steps", [0, 3])
def test_steps_train_a_copy_and_leave_the_model(steps: int) -> None:
    model = plain_mlp("tanh")
    before = copy.deepcopy(model.state_dict())
    seen: list[tuple[str, int, int]] = []
    report = hw.check(experiment(model=lambda: model), steps=steps, progress=lambda *step: seen.append(step))
    assert report.flow.step == steps
    assert [done for _, done, total in seen if total == steps][:steps] == list(range(1, steps + 1))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_loss_falls_when_a_copy_is_trained_first() -> None:
    untrained, trained = (hw.check(experiment(), steps=steps, seed=0).flow.loss for steps in (0, 50))
    assert trained < untrained - 0.05


def test_optimizer_with_a_closure_is_trained_and_measured() -> None:
    lbfgs = experiment(optimizer=lambda parameters: torch.optim.LBFGS(parameters, max_iter=2))
    report = hw.check(lbfgs, steps=2, seed=0)
    assert report.flow.optimizer == "LBFGS"
    assert "not_updating" not in [finding.symptom for finding in report.findings]


def _only_generator() -> Callable[[], Any]:
    generator = iter([])
    return lambda: generator


BAD_CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "no batch and no loss": (lambda: hw.check(plain_mlp()), r"hw\.check\(model, batch, loss\)"),
    "no loss": (lambda: hw.check(plain_mlp(), vectors()), r"hw\.check\(model, batch, loss\)"),
    "the loss is a tensor": (
        lambda: hw.check(plain_mlp(), vectors(), torch.tensor(1.0)),
        r"got Tensor: hw\.check\(model, batch, lambda model, batch",
    ),
    "no module": (lambda: hw.check(lambda x: x, vectors(), cross_entropy), "must be a torch.nn.Module, got function"),
    "no parameters": (
        lambda: hw.check(nn.Sequential(nn.ReLU()), vectors(), cross_entropy),
        r"Sequential has no parameters.*nn\.ModuleList",
    ),
    "nothing trainable": (
        lambda: hw.check(plain_mlp().requires_grad_(False), vectors(), cross_entropy),
        r"none is trainable.*model\.requires_grad_\(True\)",
    ),
    "a vector of losses": (
        lambda: hw.check(plain_mlp(), vectors(), lambda m, b: m(b[0]).logsumexp(1)),
        r"shape \[64\].*loss\.mean\(\)",
    ),
    "a number for a loss": (
        lambda: hw.check(plain_mlp(), vectors(), lambda m, b: cross_entropy(m, b).item()),
        r"got float.*not loss\.item\(\)",
    ),
    "no loss at all": (lambda: hw.check(plain_mlp(), vectors(), lambda m, b: None), "got NoneType"),
    "a loss without a graph": (
        lambda: hw.check(plain_mlp(), vectors(), lambda m, b: cross_entropy(m, b).detach()),
        r"has no graph.*no_grad\(\)",
    ),
    "a loss that takes one argument": (
        lambda: hw.check(plain_mlp(), vectors(), lambda m: m),
        r"raised TypeError.*positional argument",
    ),
    "a loss that forgets the model": (
        lambda: hw.check(plain_mlp(), vectors(), lambda m, b: m[0].weight.sum()),
        r"never called the model.*model\(batch\[0\]\)",
    ),
    "a batch the model rejects": (
        lambda: hw.check(plain_mlp(), vectors(inputs=5), cross_entropy),
        r"(?s)cannot be multiplied.*inside: 0 \(Linear\).*batch: tuple\(float32\[64, 5\], int64\[64\]\)",
    ),
    "targets the loss rejects": (
        lambda: hw.check(plain_mlp(), (torch.randn(64, 8), torch.full((64,), 9)), cross_entropy),
        r"(?s)out of bounds.*batch: tuple\(float32\[64, 8\], int64\[64\]\)",
    ),
    "steps without an experiment": (
        lambda: hw.check(plain_mlp(), vectors(), cross_entropy, steps=3),
        r"hw\.check\(hw\.Experiment\(\.\.\.\), steps=N\)",
    ),
    "negative steps": (lambda: hw.check(experiment(), steps=-1), "whole number from 0, got -1"),
    "an experiment and a batch": (lambda: hw.check(experiment(), vectors()), r"hw\.check\(experiment\)"),
    "steps without an optimizer": (lambda: hw.check(experiment(optimizer=None), steps=2), r"has no optimizer.*Adam"),
    "an optimizer that is none": (
        lambda: hw.check(experiment(optimizer=lambda p: None)),
        "must return a torch.optim.Optimizer",
    ),
    "no batches": (lambda: hw.check(experiment(batches=list)), r"gave no batch.*batches=lambda: DataLoader"),
    "a generator that has run out": (lambda: hw.check(experiment(batches=_only_generator())), "gave no batch"),
    "batches that are none": (lambda: hw.check(experiment(batches=lambda: 3)), "must return an iterable.*got int"),
    "a model function that gives a tensor": (
        lambda: hw.check(experiment(model=lambda: torch.ones(3))),
        "must be a torch.nn.Module, got Tensor",
    ),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_input_is_answered_with_the_culprit_and_the_corrected_call(call: str) -> None:
    make, message = BAD_CALLS[call]
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert isinstance(caught.value, (HeadwaterError, ValueError))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": nn.Linear(2, 2)}, None),  # a module is callable; it is refused when it is run
        ({"model": None}, r"Experiment\(model=lambda: \.\.\.\)"),
        ({"batches": [vectors()]}, r"got list.*Experiment\(batches=lambda: \.\.\.\)"),
        ({"loss": "mse"}, r"got str.*Experiment\(loss=lambda model, batch: \.\.\.\)"),
        ({"optimizer": 0.1}, r"got float.*Experiment\(optimizer=lambda parameters: \.\.\.\)"),
    ],
)
def test_experiment_says_which_part_is_no_function(parts: dict[str, Any], message: str | None) -> None:
    if message is None:
        with pytest.raises(Exception, match="model"):
            hw.check(experiment(**parts))
    else:
        with pytest.raises(hw.InputError, match=message):
            experiment(**parts)


def test_error_of_the_model_is_kept_as_the_cause() -> None:
    with pytest.raises(InputError) as caught:
        hw.check(plain_mlp(), vectors(inputs=5), cross_entropy)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_random_states_stay_when_a_check_is_refused() -> None:
    rejected = experiment(batches=lambda: [vectors(inputs=5)])
    state = torch.get_rng_state()
    with pytest.raises(InputError):
        hw.check(rejected, seed=1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_could_not_be_checked_is_told_in_words(language: str) -> None:
    """The longest list of symptoms is longer than any name that is shortened."""
    report = hw.check(plain_mlp(), vectors(), cross_entropy)
    words = Words.of(language)
    assert any(len(str(message.values["symptoms"])) > 60 for message in report.diagnosis.unchecked)
    for message in report.diagnosis.unchecked:
        said = words.say(message)
        assert "unchecked." not in said
        for symptom in str(message.values["symptoms"]).split(", "):
            assert words.symptom(symptom).lower() in said.lower()
