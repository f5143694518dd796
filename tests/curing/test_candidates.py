"""What is tried against what was found."""

from headwater.curing.candidates import AGAINST_OVERFITTING, candidates, regularises
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
