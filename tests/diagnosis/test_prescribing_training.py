"""What a finding about the training calls for, best first; each is a remedy there is, with texts in both languages."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import headwater as hw
from headwater.diagnosis import prescribing_training as to_prescribe
from headwater.i18n.catalog import catalog
from headwater.records import Experiment, Flow, Prescription
from headwater.remedies.registry import find

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def ce(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def experiment(optimizer, model=None, loss=ce, x=X, y=Y, **options) -> Experiment:
    def mlp() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3))

    return Experiment(
        model=model or mlp,
        batches=lambda: [(x[i : i + 64], y[i : i + 64]) for i in range(0, 256, 64)],
        loss=loss,
        optimizer=optimizer,
        **options,
    )


def adam(parameters):
    return torch.optim.Adam(parameters, lr=3e-3)


def prescribed(report, symptom: str) -> list[tuple[str, ...]]:
    finding = next(f for f in report.findings if f.symptom == symptom)
    assert all(p.code for p in finding.prescriptions)
    return [p.remedies for p in finding.prescriptions]


def first(report, symptom: str) -> str:
    return prescribed(report, symptom)[0][0]


def test_rate_too_high_gets_shorter_steps_and_one_too_low_longer_ones():
    high = hw.check(experiment(lambda p: torch.optim.SGD(p, lr=10.0, momentum=0.9)), steps=40, seed=0)
    assert prescribed(high, "lr_too_high")[0] == ("optimisation.learning_rate:0.1",)
    assert ("optimisation.learning_rate:0.01",) in prescribed(high, "lr_too_high")
    assert ("optimisation.clip_norm",) in prescribed(high, "lr_too_high")
    low = hw.check(experiment(lambda p: torch.optim.SGD(p, lr=1e-4)), steps=40, seed=0)
    ratio = next(e.value for e in low.findings[0].evidence if e.statistic == "median_update_ratio")
    factor = float(first(low, "lr_too_low").partition(":")[2])
    assert 1e-3 < factor * ratio < 1e-2
    still = hw.check(experiment(lambda p: torch.optim.Adam(p, lr=1e-8)), steps=5, seed=0)
    assert first(still, "not_updating").startswith("optimisation.learning_rate:10000")


@pytest.mark.parametrize(
    ("usual", "largest", "expected"),
    [
        (0.02, 0.2, ["optimisation.learning_rate:0.1", "optimisation.learning_rate:0.01", "optimisation.clip_norm"]),
        (0.01, 0.2, ["optimisation.learning_rate:0.1", "optimisation.clip_norm", "optimisation.warmup:50"]),
        (5.0, 9.0, ["optimisation.learning_rate:0.01", "optimisation.learning_rate:0.001"]),
        (float("inf"), 9.0, ["optimisation.learning_rate:0.1"]),
        (0.0, 0.0, ["optimisation.learning_rate:0.1"]),
    ],
)
def test_steps_are_shortened_by_how_long_they_are(usual, largest, expected):
    found = [p.remedies[0] for p in to_prescribe.shorter_steps(usual, largest)]
    assert found[: len(expected)] == expected


def test_steps_that_are_short_are_lengthened_within_bounds():
    assert next(p.remedies[0] for p in to_prescribe.longer_steps(3e-5)) == "optimisation.learning_rate:100"
    assert next(p.remedies[0] for p in to_prescribe.longer_steps(1e-30)) == "optimisation.learning_rate:100000"
    assert next(p.remedies[0] for p in to_prescribe.longer_steps(0.0)) == "optimisation.learning_rate:10"


def test_optimizer_that_misses_layers_is_bound_again():
    report = hw.check(experiment(lambda p: torch.optim.Adam(list(p)[-2:], lr=3e-3)), steps=5, seed=0)
    assert first(report, "not_updating") == "optimisation.rebind"


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    for layer in model[:3]:
        layer.requires_grad_(False)
    return model


def test_what_is_frozen_as_it_was_drawn_is_trained_again():
    report = hw.check(experiment(adam, frozen), steps=5, seed=0)
    assert first(report, "not_updating") == "optimisation.unfreeze"


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)).detach())


def test_cut_graph_is_advice_with_a_reason_and_no_remedy():
    report = hw.check(experiment(adam, Detached), steps=5, seed=0)
    finding = next(f for f in report.findings if f.symptom == "not_updating")
    (advice,) = finding.prescriptions
    assert advice.remedies == ()
    assert "detach()" in advice.code
    assert advice in hw.prescribe(report)
    with pytest.raises(hw.InputError, match="no remedy can make this change"):
        hw.apply(Detached(), advice)
    assert "detach()" in str(report)


def test_dropout_decay_and_both_are_brought_down():
    def dropping() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.95), nn.Linear(32, 3))

    assert first(hw.check(experiment(adam, dropping), steps=5, seed=0), "dropout_too_high") == (
        "regularisation.reduce_dropout"
    )
    decayed = experiment(lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=100.0))
    assert first(hw.check(decayed, steps=60, seed=0), "underfitting") == "regularisation.reduce_weight_decay"
    both = to_prescribe.for_two_regularisers(0.1, 0.5, 1)
    assert [p.remedies for p in both] == [
        ("regularisation.reduce_weight_decay", "regularisation.reduce_dropout"),
        ("regularisation.reduce_weight_decay",),
        (),
        ("regularisation.reduce_dropout",),
    ]


def test_data_loss_and_recurrent_weights_have_remedies_of_their_own():
    large = hw.check(experiment(adam, x=X * 255), steps=0, seed=0)
    assert first(large, "unscaled_input") == "data.standardise"
    assert "mean = [" in next(f for f in large.findings if f.symptom == "unscaled_input").prescriptions[0].code

    def squashed() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3), nn.Softmax(1))

    assert first(hw.check(experiment(adam, squashed), seed=0), "loss_activation_mismatch") == "loss.logits"
    bounded = experiment(
        adam,
        lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.Tanh()),
        lambda m, b: F.mse_loss(m(b[0]), b[1]),
        y=9.0 * X[:, :1],
    )
    assert first(hw.check(bounded, seed=0), "loss_activation_mismatch") == "loss.linear_output"


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_rate_whose_steps_are_rounded_away_is_told_by_what_they_were_meant_to_be(optimizer):
    def half() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3)).bfloat16()

    flow = hw.check(experiment(lambda p: optimizer(p, lr=1e-9), half, x=X.bfloat16()), seed=0).flow
    assert not any(p.update_ratio for p in flow.parameters if len(p.shape) > 1)
    (first_try, *_) = to_prescribe.for_still_weights("learning_rate_low", flow)
    assert first_try.remedies == ("optimisation.learning_rate:100000",)


class Reader(nn.Module):
    def __init__(self, kind=nn.LSTM) -> None:
        super().__init__()
        self.body, self.head = kind(1, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


@pytest.mark.parametrize(("kind", "best"), [(nn.LSTM, "recurrent.forget_bias:3"), (nn.GRU, "recurrent.orthogonal")])
def test_gradient_that_is_lost_through_time_opens_gates_or_turns(kind, best):
    x = torch.randn(64, 60, 1)
    report = hw.check(Reader(kind), (x, Y[:64]), ce)
    assert first(report, "vanishing_through_time") == best


def test_batch_normalisation_that_gathers_nothing_is_set_to_gather():
    def still() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32, momentum=0.0), nn.ReLU(), nn.Linear(32, 3))

    assert first(hw.check(experiment(adam, still), steps=3, seed=0), "normalization_misuse") == "normalisation.gather"
    few = hw.check(still(), (X[:2], Y[:2]), ce)
    assert first(few, "normalization_misuse") == "normalisation.per_sample"


def everything() -> list[Prescription]:
    """Every prescription that this part can make."""
    flow = hw.check(nn.Sequential(nn.Linear(8, 3)), (X, Y), ce).flow
    trained = replace(flow, step=3, optimizer="Adam")
    logs = replace(flow, setup=replace(flow.setup, loss_operations=("Log",)))
    recurrent = hw.check(Reader(), (torch.randn(64, 12, 1), Y[:64]), ce).flow
    lstm = next(row for row in recurrent.sites if row.site.op == "LSTM")
    made: list[tuple[Prescription, ...]] = [
        to_prescribe.shorter_steps(0.01, 0.5),
        to_prescribe.shorter_steps(0.3, 0.5),
        to_prescribe.longer_steps(1e-6),
        to_prescribe.calmer_steps(),
        *(to_prescribe.for_still_weights(cause, trained) for cause in STILL),
        to_prescribe.for_dropout(),
        to_prescribe.for_two_regularisers(1.0, 0.5, 2),
        to_prescribe.for_unscaled_input(),
        *(to_prescribe.for_mismatch(kind) for kind in ("twice", "range", "spread")),
        to_prescribe.for_time(lstm, 100),
        *(to_prescribe.for_nonfinite(kind, f) for kind in PLACES for f in (flow, trained, logs)),
        to_prescribe.for_overflow(trained),
        to_prescribe.against_explosion(recurrent),
        *(to_prescribe.for_misused_normalisation(kind) for kind in ("few_values", "never_gathered", "never_moving")),
        to_prescribe.against_overfitting(),
        to_prescribe.for_positive_input(flow.sites[0]),
    ]
    return [p for each in made for p in each]


STILL = ("optimizer_params", "detached_graph", "learning_rate_low", "numeric_underflow", "unused")
PLACES = ("parameter", "input", "activation", "loss", "gradient", "update")


def test_every_prescription_is_a_remedy_or_advice_with_code_and_has_its_texts():
    assert Flow.from_dict(hw.check(nn.Sequential(nn.Linear(8, 3)), (X, Y), ce).flow.to_dict())
    for made in everything():
        assert all(find(remedy).is_cure for remedy in made.remedies)
        assert made.remedies or made.code
        for message in (made.why, made.wrong_when, made.cost):
            for language in ("en", "ko"):
                assert message.id in catalog(language), message.id
