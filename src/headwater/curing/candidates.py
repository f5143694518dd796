"""What could help: the prescriptions of what was found, pairs of them, and regularisers at several strengths.

In the order that depth suggests, where it has a say (:mod:`headwater.curing.foreseen`).
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

from headwater.curing.foreseen import Remedies as Remedies
from headwater.curing.foreseen import looked_ahead
from headwater.records import Finding, Flow, Message

MOST_FINDINGS = 3  # headlines that a report shows
MOST_SINGLES, MOST_PAIRS = 12, 6
# Of these, a network has one: a second one would only undo the first.
_ONE_OF_A_KIND = ("activation", "init", "normalisation", "regularisation", "depth")
# Each makes depth passable by itself, and those for plain chains refuse what has shortcuts.
_FOR_DEPTH = ("structure.", "activation.tailored", "init.mirrored")
# A decade between strengths, around the usual one; dropout from the source's weakest to its strongest. The default of
# each stands in its file with its source.
STRENGTHS: dict[str, tuple[str, ...]] = {
    "regularisation.l1": ("1e-05", "0.0001", "0.001"),
    "regularisation.l2": ("0.0005", "0.005", "0.05"),
    "regularisation.weight_decay": ("0.01", "0.1", "1"),
    "regularisation.dropout": ("0.2", "0.5", "0.8"),
}
AGAINST_OVERFITTING: tuple[Remedies, ...] = (
    *((f"{base}:{strength}",) for base, strengths in STRENGTHS.items() for strength in strengths),
    ("normalisation.batch",),
)


def candidates(findings: Sequence[Finding], flow: Flow | None = None) -> tuple[Remedies, ...]:
    """What is worth trying against what was found, likeliest first.

    Args:
        findings: Worst first.
        flow: Of the untouched network, from whose depth it is foreseen what cannot suffice.
    """
    wrong = _wrong(findings)
    singles = looked_ahead(_offered(wrong), wrong, flow).tried
    tried = list(singles)[: max(MOST_SINGLES, len(AGAINST_OVERFITTING))]
    return (*tried, *_pairs(tried))


def left_out(findings: Sequence[Finding], flow: Flow) -> tuple[Message, ...]:
    """Which prescriptions are not tried, and why not."""
    wrong = _wrong(findings)
    return looked_ahead(_offered(wrong), wrong, flow).left_out


def _wrong(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "info"][:MOST_FINDINGS]


def _offered(findings: Sequence[Finding]) -> tuple[Remedies, ...]:
    singles: dict[Remedies, None] = {}
    for finding in findings:
        offered = [p.remedies for p in finding.prescriptions if p.remedies]
        if finding.symptom == "overfitting":
            offered = [*AGAINST_OVERFITTING, *(r for r in offered if not _is_known_regulariser(r))]
        singles.update(dict.fromkeys(offered))
    return tuple(singles)


def regularises(tried: Iterable[Remedies]) -> bool:
    """Whether a candidate's strength is chosen by held-out data."""
    return any(remedy.startswith("regularisation.") for remedies in tried for remedy in remedies)


def _is_known_regulariser(remedies: Remedies) -> bool:
    return len(remedies) == 1 and remedies[0].partition(":")[0] in (*STRENGTHS, "normalisation.batch")


def _pairs(singles: Sequence[Remedies]) -> list[Remedies]:
    """Two of them together, where they are of different kinds; of a regulariser the middle strength."""
    fit = [one for one in singles if all(_is_middle(remedy) for remedy in one)]
    found = [(*one, *other) for one, other in combinations(fit, 2) if not _clash(one, other)]
    return found[:MOST_PAIRS]


def _clash(one: Remedies, other: Remedies) -> bool:
    kinds = [{kind for remedy in remedies for kind in _kinds(remedy)} for remedies in (one, other)]
    bases = [{remedy.partition(":")[0] for remedy in remedies} for remedies in (one, other)]
    return bool(kinds[0] & kinds[1] & set(_ONE_OF_A_KIND)) or bool(bases[0] & bases[1])


def _kinds(remedy: str) -> tuple[str, ...]:
    """What a remedy is about; a tailored activation brings the weights that it was computed for."""
    kinds = [remedy.partition(".")[0]]
    if remedy.startswith("activation.tailored"):
        kinds.append("init")
    if remedy.startswith(_FOR_DEPTH):
        kinds.append("depth")
    return tuple(kinds)


def _is_middle(remedy: str) -> bool:
    base, _, strength = remedy.partition(":")
    return not strength or base not in STRENGTHS or strength == STRENGTHS[base][1]
