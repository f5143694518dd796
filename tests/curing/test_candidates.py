"""What is tried against what was found."""

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.curing.candidates import AGAINST_OVERFITTING, candidates, left_out, regularises
from headwater.diagnosis.prescribing import prescription
from headwater.records import Finding, Message
from headwater.remedies.registry import find


def finding(symptom: str, *remedies: tuple[str, ...], severity: str = "warning") -> Finding:
    offered = tuple(prescription(*one) for one in remedies)
    return Finding(symptom, severity, (), (), (), offered, Message("sample"))


def test_prescriptions_come_first_and_once_then_pairs_of_different_kinds() -> None:
    found = candidates(
        [
            finding("vanishing", ("activation.tanh", "init.xavier"), ("activation.relu", "init.he")),
            finding("rank_collapse", ("activation.relu", "init.he"), ("normalisation.batch",)),
        ]
    )
    assert found[:3] == (("activation.tanh", "init.xavier"), ("activation.relu", "init.he"), ("normalisation.batch",))
    assert found[3:] == (
        ("activation.tanh", "init.xavier", "normalisation.batch"),
        ("activation.relu", "init.he", "normalisation.batch"),
    )


def test_notes_are_no_reason_to_try_anything() -> None:
    assert candidates([finding("gated_by_design", ("init.he",), severity="info")]) == ()


def test_overfitting_is_met_by_regularisers_at_several_strengths() -> None:
    found = candidates([finding("overfitting", ("regularisation.dropout",), ("regularisation.l2",))])
    assert set(AGAINST_OVERFITTING) <= set(found)
    assert ("regularisation.dropout",) not in found  # it is there with its strengths
    assert regularises(found)
    bases = {one[0].partition(":")[0] for one in AGAINST_OVERFITTING}
    kinds = ("l1", "l2", "weight_decay", "dropout")
    assert bases == {*(f"regularisation.{kind}" for kind in kinds), "normalisation.batch"}
    assert all(find(remedy).id == remedy for one in AGAINST_OVERFITTING for remedy in one)


def test_tailored_activations_bring_their_weights_so_that_no_initialisation_goes_with_them() -> None:
    tried = (("activation.tailored_leaky",), ("init.he",))
    assert candidates([finding("rank_collapse", *tried)]) == tried


def test_of_what_makes_depth_passable_one_is_enough() -> None:
    tried = (("init.mirrored",), ("activation.tailored_leaky",), ("structure.prenorm",))
    assert candidates([finding("rank_collapse", *tried)]) == tried


def test_a_network_gets_one_of_each_kind() -> None:
    singles = [finding("vanishing", ("activation.relu",), ("activation.tanh",), ("init.he",), ("init.xavier",))]
    pairs = [one for one in candidates(singles) if len(one) > 1]
    assert pairs
    assert all(len({remedy.partition(".")[0] for remedy in pair}) == len(pair) for pair in pairs)


def chain(activation: type[nn.Module], layers: int, norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(16, 16), *([nn.LayerNorm(16)] if norm else []), activation()]
    return nn.Sequential(*parts, nn.Linear(16, 3))


def report_on(model: nn.Module, batch: object = None, optimizer: type = torch.optim.Adam) -> hw.Report:
    """Of the network with a batch; what theory says hangs on the layers alone."""
    batch = batch or (torch.randn(16, 16), torch.randint(3, (16,)))
    experiment = hw.Experiment(
        model=lambda: model,
        batches=lambda: [batch],
        loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        optimizer=lambda parameters: optimizer(parameters, lr=1e-3),
    )
    return hw.check(experiment, steps=0)


def tried(report: hw.Report) -> tuple[tuple[str, ...], ...]:
    return candidates(report.findings, report.flow)


def test_weights_that_theory_has_merge_all_inputs_are_not_tried_and_the_reason_is_told() -> None:
    report = report_on(chain(nn.ReLU, 700))
    assert report.findings[0].symptom == "vanishing"
    assert ("init.he",) in candidates(report.findings)  # without a look ahead
    assert tried(report)[:2] == (
        ("init.mirrored", "optimisation.depth_rate"),
        ("activation.tailored_leaky", "optimisation.depth_rate"),
    )
    assert not any("init.he" in one for one in tried(report))
    (told,) = left_out(report.findings, report.flow)
    assert told.values["remedies"] == "init.he"
    assert told.values["after"] < told.values["layers"] == 700


def test_weights_that_merge_most_are_tried_last() -> None:
    report = report_on(chain(nn.ReLU, 80))
    assert left_out(report.findings, report.flow) == ()
    singles = [one for one in tried(report) if len(one) == 1]
    assert singles.index(("structure.prenorm",)) < singles.index(("init.he",))


def test_independent_weights_are_ruled_out_by_width_where_mean_field_sees_nothing() -> None:
    """tanh with Xavier keeps orthogonal inputs orthogonal in theory of infinite width, and merges them at 16 units."""
    report = report_on(chain(nn.Sigmoid, 160))
    (told,) = left_out(report.findings, report.flow)
    assert "activation.tanh + init.xavier" in told.values["remedies"]
    assert tried(report)[0] == ("activation.tailored", "optimisation.depth_rate")


@pytest.mark.parametrize("made", [lambda: chain(nn.ReLU, 30), lambda: chain(nn.ReLU, 700, norm=True)])
def test_shallow_networks_and_those_with_normalisation_are_left_to_their_prescriptions(made) -> None:
    report = report_on(made())
    assert left_out(report.findings, report.flow) == ()
    assert tried(report) == candidates(report.findings)


def test_width_says_nothing_of_convolutions() -> None:
    """tanh with Xavier, whose inputs only independent matrices of that width would merge."""
    torch.manual_seed(0)
    parts = [part for _ in range(160) for part in (nn.Conv1d(8, 8, 3, padding=1), nn.Sigmoid())]
    batch = torch.randn(16, 8, 2), torch.randint(3, (16, 2))
    report = report_on(nn.Sequential(*parts, nn.Conv1d(8, 3, 1)), batch)
    assert tried(report)[0] == ("activation.tailored", "optimisation.depth_rate")  # there is a look ahead
    assert ("activation.tanh", "init.xavier") in tried(report)
    assert left_out(report.findings, report.flow) == ()


def test_rate_by_depth_goes_only_with_optimizers_that_it_is_for() -> None:
    report = report_on(chain(nn.ReLU, 80), optimizer=torch.optim.SGD)
    assert tried(report)[0] == ("init.mirrored",)


def test_two_ways_of_keeping_inputs_apart_are_no_pair() -> None:
    found = candidates(
        [finding("vanishing", ("structure.prenorm",), ("activation.tailored",), ("optimisation.warmup",))]
    )
    assert found[3:] == (("structure.prenorm", "optimisation.warmup"), ("activation.tailored", "optimisation.warmup"))
