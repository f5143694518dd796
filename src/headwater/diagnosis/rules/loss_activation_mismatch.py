"""The last activation and the loss do not go together: one of them is applied twice, or the range is wrong.

Cross-entropy takes logits and applies the softmax itself; so does binary cross-entropy with logits the sigmoid. And a
head that is bounded can never reach targets beyond its bounds. A rectifier over logits loses classes for good.
"""

import math
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import for_mismatch
from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Flow, Message, Setup, SiteFlow
from headwater.records.message import Value

# What a head returns at most, by its activation; those that are not named here reach everything in at least one
# direction that targets can lie in.
RANGES = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, math.inf),
    "softsign": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
}
DISTANT_LOSSES = frozenset({"MseLoss", "SmoothL1Loss", "HuberLoss", "L1Loss", "Abs", "Pow"})
SCALING = frozenset({"Scale", "ToCopy", "Mean"})  # what may come after a loss
RESHAPING = frozenset({"View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Permute", "T", "ToCopy", "Alias"})
BY_HAND, SUBTRACTING = frozenset({"Abs", "Pow"}), frozenset({"Sub", "Rsub"})
AS_IT_IS = DISTANT_LOSSES | RESHAPING | SUBTRACTING | {"Mean", "Sum", "Select", "Slice"}  # what distances are made of
MIXING = frozenset({"Mul", "Mm", "Bmm", "Mv", "Addmm", "Baddbmm"})  # of two tensors that both have a gradient
ROOM = 0.01  # of the range: targets of 1.0 at a sigmoid are reached as nearly as one likes
SOURCE = "torch.nn.CrossEntropyLoss and BCEWithLogitsLoss take logits (PyTorch documentation)"
LOGARITHM_SOURCE = "torch.nn.CTCLoss and NLLLoss take logarithms of probabilities (PyTorch documentation)"
OF_LOGARITHMS = {"CtcLoss": "CTCLoss", "NllLoss": "NLLLoss"}
ROUNDING = 1e-3  # of a mean of numbers that are zero or above
MIN_OUTPUTS = 2
SPREAD_SOURCE = "torch.nn.MSELoss takes outputs and targets of one shape (PyTorch documentation)"
MIN_OBSERVATIONS = 32  # as for dead units
CUT_SOURCE = "a class whose logit is cut off for every sample gets no gradient (Lu et al. 2020, arXiv:1903.06733)"
RANGE_SOURCE = "the range of the activation"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    yield from (*_twice(flow), *_without_logarithm(flow), *_of_scores(flow))
    yield from (*_out_of_reach(flow), *_spread_out(flow), *_cut_off(flow))


def _twice(flow: Flow) -> Iterable[Finding]:
    operations = flow.setup.loss_operations
    last = flow.sites[-1].site if flow.sites else None
    if last is None:
        return
    head = {last.op.lower().replace("functional.", ""), last.activation or ""}
    read = operations if flow.setup.loss_reads is None else flow.setup.loss_reads
    logits = _under(read, "LogSoftmax") if "NllLoss" in " ".join(operations) else None
    if logits is not None and _is_read(logits, "softmax", head):
        yield _finding(flow, "softmax", "CrossEntropyLoss", last.name)
    elif logits is not None and _is_read(logits, "sigmoid", head):
        yield _finding(flow, "sigmoid", "CrossEntropyLoss", last.name)
    of_two = _under(operations, "BinaryCrossEntropyWithLogits")
    logits = of_two if of_two is None or flow.setup.loss_reads is None else flow.setup.loss_reads
    if logits is not None and _is_read(logits, "sigmoid", head):
        yield _finding(flow, "sigmoid", "BCEWithLogitsLoss", last.name)


def _without_logarithm(flow: Flow) -> Iterable[Finding]:
    """A loss that adds logarithms of probabilities up is given the probabilities themselves."""
    operations, read = flow.setup.loss_operations, flow.setup.loss_reads or ()
    loss = next((name for name in operations if name.startswith(tuple(OF_LOGARITHMS))), None)
    squashed = next((name for name in read if name in ("Softmax", "Sigmoid")), None)
    if not flow.sites or loss is None or squashed is None or any("Log" in name for name in read):
        return
    site = flow.sites[-1].site.name
    values: dict[str, Value] = {
        "activation": squashed.lower(),
        "loss": next(known for start, known in OF_LOGARITHMS.items() if loss.startswith(start)),
        "site": site,
    }
    yield Finding(
        symptom="loss_activation_mismatch",
        severity="warning",
        sites=(site,),
        evidence=(Evidence("loss_operations", " ← ".join((loss, *read)), None, site, LOGARITHM_SOURCE),),
        causes=(Cause("loss_mismatch", None, Message("cause.loss_mismatch.no_logarithm", values)),),
        prescriptions=for_mismatch("no_logarithm"),
        message=Message("finding.loss_no_logarithm", values),
    )


def _of_scores(flow: Flow) -> Iterable[Finding]:
    """A negative log-likelihood below zero: what it is given are no logarithms of probabilities, which are negative."""
    terms = [name for name in flow.setup.loss_operations if name not in SCALING]
    losses = flow.training.losses() if flow.training is not None else []
    lowest = min((loss for loss in losses if math.isfinite(loss)), default=0.0)
    scale = 1.0 if flow.setup.loss_scale is None else flow.setup.loss_scale
    if not flow.sites or not terms or not terms[0].startswith("NllLoss") or scale <= 0 or lowest >= -ROUNDING:
        return
    if any("Log" in name for name in terms[1:]):
        return
    site = flow.sites[-1].site.name
    values: dict[str, Value] = {"loss": "NLLLoss", "site": site, "lowest": lowest}
    yield Finding(
        symptom="loss_activation_mismatch",
        severity="warning",
        sites=(site,),
        evidence=(Evidence("lowest_loss", lowest, 0.0, site, LOGARITHM_SOURCE),),
        causes=(Cause("loss_mismatch", None, Message("cause.loss_mismatch.of_scores", values)),),
        prescriptions=for_mismatch("of_scores"),
        message=Message("finding.loss_of_scores", values),
    )


def _under(operations: tuple[str, ...], loss: str) -> tuple[str, ...] | None:
    """What stands between a loss and the last site, nearest the loss first; ``None`` without that loss."""
    return operations[operations.index(loss) + 1 :] if loss in operations else None


def _is_read(logits: tuple[str, ...], activation: str, head: set[str]) -> bool:
    """Whether a loss reads an activation's values as they are: those of a gate weigh what the loss reads."""
    name = activation.capitalize()
    between = logits[: logits.index(name)] if name in logits else logits
    return (name in logits or activation in head) and MIXING.isdisjoint(between)


def _finding(flow: Flow, activation: str, loss: str, site: str) -> Finding:
    values: dict[str, Value] = {"activation": activation, "loss": loss, "site": site}
    return Finding(
        symptom="loss_activation_mismatch",
        severity="warning",
        sites=(site,),
        evidence=(Evidence("loss_operations", " ← ".join(flow.setup.loss_operations), None, site, SOURCE),),
        causes=(Cause("loss_mismatch", None, Message("cause.loss_mismatch.twice", values)),),
        prescriptions=for_mismatch("twice"),
        message=Message("finding.loss_twice", values),
    )


def _out_of_reach(flow: Flow) -> Iterable[Finding]:
    targets, last = held_against(flow), flow.sites[-1].site if flow.sites else None
    if targets is None or last is None:
        return
    head = last.op.lower().replace("functional.", "")
    own = last.activation if last.activation in RANGES else head if head in RANGES else None
    own = own if _is_compared(flow.setup) else None
    bound, told = (own, last.op) if own is not None else (_squashed_in_loss(flow.setup.loss_operations), None)
    if bound is None:
        return
    low, high = RANGES[bound]
    room = ROOM * (min(high - low, 1.0))
    if targets[0] >= low - room and targets[1] <= high + room:
        return
    values: dict[str, Value] = {"activation": told or bound, "site": last.name, "low": targets[0], "high": targets[1]}
    yield Finding(
        symptom="loss_activation_mismatch",
        severity="warning",
        sites=(last.name,),
        evidence=(
            Evidence("target_min", targets[0], low, last.name, RANGE_SOURCE),
            Evidence("target_max", targets[1], high, last.name, RANGE_SOURCE),
        ),
        causes=(Cause("loss_mismatch", None, Message("cause.loss_mismatch.range", values)),),
        prescriptions=for_mismatch("range"),
        message=Message("finding.loss_range", values),
    )


def _is_compared(setup: Setup) -> bool:
    """Whether the last site's numbers come to the distance as they are: a factor or a sign gives them another range."""
    operations = setup.loss_operations
    if setup.targets is None:
        return True  # known only where the targets are subtracted from the last site's numbers at once
    distances = [index for index, name in enumerate(operations) if name in DISTANT_LOSSES]
    # Other terms of the loss come before the distance that stands nearest to the site, with their factors.
    behind = operations[distances[-1] + 1 :] if distances else operations
    # A distance written by hand subtracts the targets first; torch's own does that itself.
    by_hand = sum(name in BY_HAND for name in operations)
    subtracted = sum(name in SUBTRACTING for name in behind)
    return AS_IT_IS.issuperset(behind) and subtracted <= by_hand


def _cut_off(flow: Flow) -> Iterable[Finding]:
    """Logits that a rectifier has cut off at 0, some of them for every sample: nothing can lift those classes again."""
    read = flow.setup.loss_reads
    of_classes = any(name.startswith("NllLoss") for name in flow.setup.loss_operations)
    if not of_classes or not read or read[0] != "LogSoftmax" or not RESHAPING.issuperset(read[1:]):
        return
    row = _last_rectifier(flow)
    if row is None or not row.dead_fraction or row.observations < MIN_OBSERVATIONS:
        return
    values: dict[str, Value] = {
        "site": row.site.name,
        "dead": round(row.dead_fraction * row.units),
        "classes": row.units,
        "samples": row.observations,
    }
    yield Finding(
        symptom="loss_activation_mismatch",
        severity="warning",
        sites=(row.site.name,),
        evidence=(Evidence("dead_fraction", row.dead_fraction, 0.0, row.site.name, CUT_SOURCE),),
        causes=(Cause("loss_mismatch", None, Message("cause.loss_mismatch.cut_off", values)),),
        prescriptions=for_mismatch("range"),
        message=Message("finding.loss_cut_off", values),
    )


def _last_rectifier(flow: Flow) -> SiteFlow | None:
    """The ReLU that the output comes from, with nothing behind it but what keeps each number or drops it."""
    for row in reversed(flow.sites):
        if row.site.activation == "relu":
            return row
        if row.site.kind != "other" or row.site.parameters:
            break
    return None


def _squashed_in_loss(operations: tuple[str, ...]) -> str | None:
    """What bounds the output behind the model, where a loss of one term takes its distance from that as it is."""
    inner = list(operations)
    while inner and inner[0] in SCALING:
        del inner[0]
    if not inner or inner[0] not in DISTANT_LOSSES - BY_HAND:
        return None
    del inner[0]
    while inner and inner[0] in RESHAPING:
        del inner[0]
    return next((name for name in RANGES if inner and inner[0] == name.capitalize()), None)


def held_against(flow: Flow) -> tuple[float, float] | None:
    """Range of the targets that the loss takes distances from; of each of several outputs where it subtracts those."""
    operations = flow.setup.loss_operations
    if flow.setup.targets is not None:
        return flow.setup.targets if DISTANT_LOSSES & set(operations) else None
    return flow.setup.targets_of_several if operations[-1:] == ("Sub",) else None


def _spread_out(flow: Flow) -> Iterable[Finding]:
    """Outputs (n, 1) against targets (n,) become (n, n): each output is held against every target."""
    operations, elements = flow.setup.loss_operations, flow.setup.loss_elements
    if not flow.sites or elements is None or not DISTANT_LOSSES & set(operations):
        return
    site = flow.sites[-1].site
    outputs = math.prod(site.shape)
    if outputs < MIN_OUTPUTS or elements != outputs**2:
        return
    values: dict[str, Value] = {"site": site.name, "shape": " × ".join(map(str, site.shape))}
    yield Finding(
        symptom="loss_activation_mismatch",
        severity="warning",
        sites=(site.name,),
        evidence=(Evidence("loss_elements", elements, outputs, site.name, SPREAD_SOURCE),),
        causes=(Cause("loss_mismatch", None, Message("cause.loss_mismatch.spread", values)),),
        prescriptions=for_mismatch("spread"),
        message=Message("finding.loss_spread", values),
    )


def _blocked(observation: Observation) -> Message | None:
    return None if observation.flow.setup.loss_operations else Message("unchecked.no_operations")


RULE = Rule("loss_activation_mismatch", _look, _blocked)
