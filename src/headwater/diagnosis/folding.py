"""One root, one headline: symptoms that another one explains are folded under it.

A symptom can explain another only if it was there as early: what a training made of the weights is no reason for what
they were before it.
"""

from collections.abc import Sequence
from dataclasses import replace

from headwater.records import Consequence, Finding

_BROKEN_TRAINING = (
    "underfitting lr_too_low not_updating oscillation rank_collapse dead_units saturation vanishing_through_time"
)
# What was learnt by heart was learnt; there is nothing left to move.
_LEARNT = "underfitting lr_too_low not_updating dead_units rank_collapse saturation oscillation"
_LEARNING_NOTHING = _BROKEN_TRAINING.replace(" not_updating", "")  # weights of any size can be moved
_BAD_INIT = "bad_init_small bad_init_large"
# In the order in which roots are looked for: what a user did comes before what the network does.
_EXPLAINS = {
    "unwired": "rank_collapse lr_too_low lr_too_high underfitting oscillation vanishing_through_time zigzag",
    "labels": f"overfitting {_BROKEN_TRAINING}",
    "weight_decay_high": f"underflow vanishing zigzag double_regularization {_BROKEN_TRAINING}",
    "overfitting": _LEARNT,
    "loss_activation_mismatch": "underfitting lr_too_low vanishing saturation not_updating oscillation dead_units",
    "symmetric_init": f"vanishing {_BROKEN_TRAINING} zigzag underflow {_BAD_INIT}",
    "normalization_misuse": f"lr_too_high exploding vanishing underflow {_BROKEN_TRAINING}",
    "dropout_too_high": f"lr_too_high double_regularization {_BROKEN_TRAINING}",
    "lr_too_high": f"nonfinite overflow exploding vanishing underflow zigzag {_BROKEN_TRAINING}",
    "unscaled_input": f"nonfinite overflow lr_too_high exploding bad_init_large {_BROKEN_TRAINING}",
    "exploding": f"nonfinite overflow lr_too_high {_BROKEN_TRAINING} bad_init_large",
    "saturation": f"vanishing underflow lr_too_high zigzag {_BROKEN_TRAINING} {_BAD_INIT}",
    "dead_units": f"vanishing underflow lr_too_high zigzag {_BROKEN_TRAINING} {_BAD_INIT}",
    "nonfinite": f"overflow underflow exploding vanishing lr_too_high {_BROKEN_TRAINING} {_BAD_INIT}",
    "overflow": "nonfinite lr_too_high underfitting bad_init_large",
    "vanishing": f"zigzag {_BROKEN_TRAINING} bad_init_small",
    "underflow": f"zigzag {_BROKEN_TRAINING} bad_init_small",
    # As above: a gradient that vanishes or explodes from the start says more, one that does later came of it.
    "bad_init_small": f"vanishing underflow lr_too_high zigzag {_LEARNING_NOTHING}",
    "bad_init_large": f"exploding overflow nonfinite vanishing lr_too_high zigzag {_LEARNING_NOTHING}",
    # The gradient that vanishes comes first here unless the inputs had merged before any step: then it came of that.
    "rank_collapse": "vanishing underflow dead_units underfitting lr_too_low lr_too_high oscillation",
    "linear_collapse": "underfitting",
    "not_updating": "underfitting lr_too_low",
    "oscillation": "underfitting",
    "lr_too_low": "underfitting vanishing_through_time",
    "vanishing_through_time": "underfitting lr_too_low",
}
# What is a root by its cause, whatever the symptom. Weights that no step reaches are so before any step, and nothing
# that the others do can be the reason.
_BY_CAUSE = {
    "weight_decay_high": "weight_decay_high",
    "optimizer_params": "unwired",
    "detached_graph": "unwired",
    "frozen": "unwired",
}
_BY_MESSAGE = {"finding.underfitting_not_theirs": "labels"}  # what is wrong with the data was so before any step
_OF_THE_TRAINING = ("double_regularization", "underfitting")
EXPLAINS: dict[str, frozenset[str]] = {
    symptom: frozenset(others.split()) - {symptom} for symptom, others in _EXPLAINS.items()
}
_ROOTS = list(EXPLAINS)
_WORST_FIRST = ("critical", "warning", "info")


def folded(findings: Sequence[Finding], began: frozenset[str]) -> list[Finding]:
    """The findings with consequences under their roots, worst first.

    Args:
        findings: One or several of each symptom.
        began: Symptoms that were there before the first step.
    """
    waiting = sorted(findings, key=lambda finding: _rank(finding, began))
    headlines: list[Finding] = []
    while waiting:
        root, *rest = waiting
        below = [finding for finding in rest if _is_explained(finding, root, began)]
        waiting = [finding for finding in rest if finding not in below]
        headlines.append(_with_consequences(root, below))
    return sorted(headlines, key=lambda finding: _WORST_FIRST.index(finding.severity))


def _rank(finding: Finding, began: frozenset[str]) -> tuple[bool, bool, int, bool]:
    """Findings that matter first, of those what was there early, of those the likelier root.

    Of two with one cause that is a root in itself, the one about the training speaks for both: how far the weights'
    decay has brought the gradient by then is a matter of depth and time.
    """
    rank = _ROOTS.index(_kind(finding)) if _kind(finding) in EXPLAINS else len(_ROOTS)
    return finding.severity == "info", not _is_early(finding, began), rank, finding.symptom not in _OF_THE_TRAINING


def _is_early(finding: Finding, began: frozenset[str]) -> bool:
    return finding.symptom in began or finding.message.id in _BY_MESSAGE or _kind(finding) == "unwired"


def _kind(finding: Finding) -> str:
    if finding.message.id in _BY_MESSAGE:
        return _BY_MESSAGE[finding.message.id]
    cause = finding.causes[0].id if finding.causes else ""
    return _BY_CAUSE.get(cause, finding.symptom)


def _is_explained(finding: Finding, root: Finding, began: frozenset[str]) -> bool:
    """Whether a root that matters accounts for a finding that did not come before it."""
    came_first = _is_early(finding, began) and not _is_early(root, began)
    return root.severity != "info" and finding.symptom in EXPLAINS.get(_kind(root), ()) and not came_first


def _with_consequences(root: Finding, below: Sequence[Finding]) -> Finding:
    if not below:
        return root
    severity = min((finding.severity for finding in (root, *below)), key=_WORST_FIRST.index)
    consequences = tuple(Consequence(f.symptom, f.severity, f.sites, f.message) for f in below)
    return replace(root, severity=severity, consequences=consequences)
