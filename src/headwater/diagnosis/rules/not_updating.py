"""Trainable weights that an optimizer step leaves where they are.

The model does not know them, the optimizer does not hold them, no gradient reaches them, or the step is too small to
matter: below a millionth of the weight, or lost in its rounding. A gradient of exactly zero counts only where the dtype
lost it: behind a branch or a head that starts at zero (ReZero, LoRA) it is there by design and gone after a step, and
dead units are a symptom of their own.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headwater.diagnosis.decay import hides_size
from headwater.diagnosis.fresh import never_trained, only_reads_out
from headwater.diagnosis.prescribing_training import change, for_still_weights, register
from headwater.diagnosis.progress import Progress, progress
from headwater.diagnosis.rule import Observation, Rule, needs_update
from headwater.diagnosis.rules import underflow
from headwater.records import Cause, Evidence, Finding, Flow, Message, ParameterFlow, Severity
from headwater.records.message import Value

FROZEN_RATIO = 1e-6
FLAT = frozenset({"Round", "Floor", "Ceil", "Trunc", "Sign", "Sgn"})  # their slope is zero everywhere
FLAT_SOURCE = "a product's gradient: zero for a zero factor alone (docs/thresholds.md)"
SMALL_BESIDE = 1e-3
ARRIVED = 0.01  # of the first loss
FROZEN_SHARE = 0.1  # of all weights
ENOUGH = 0.75  # of a metric that ends at 1: a readout of random features gets there, one of lost features does not
FROZEN_SOURCE = "a tenth of the weights, still as an initialiser draws them (docs/thresholds.md)"
TOO_SHORT = ("learning_rate_low", "numeric_underflow")
NEGLIGIBLE_SHARE = 0.01  # of all trainable weights: in bfloat16 a step now and then leaves a single bias as it was
FACTORS = 2  # of a product whose both are zero
FEW_STEPS = 2  # a factor that begins at zero beside one that does not has a gradient from the first step on
ZERO_SOURCE = "∂L/∂A of y = BAx is Bᵀ times a gradient, and ∂L/∂B one times A: both are zero where both matrices are"
UNREGISTERED_SOURCE = "weights under the loss that model.parameters() lacks (docs of torch.nn.ModuleList)"
SOURCE = "update/weight ratio: about 1e-3 is usual, below 1e-6 is frozen (CS231n notes; docs/thresholds.md)"

ADAM_EPSILON = 1e-8  # torch's default: a smaller gradient no longer has its scale divided out


@dataclass(frozen=True)
class _Step:
    """What holds for the whole step, found once for all parameters.

    Attributes:
        ran: Names of the parameters whose module was called.
        lost: Names of those whose site's gradient the dtype could not hold.
        largest_gradient: Rms of the largest gradient of a parameter.
        hides_size: Whether the optimizer divides the gradient's size out, so that it sets no step's length.
        drowns: Whether Adam's ε, and not the gradients, sets the step: no learning rate makes up for that.
    """

    ran: frozenset[str]
    lost: frozenset[str]
    largest_gradient: float
    hides_size: bool
    drowns: bool

    @classmethod
    def of(cls, flow: Flow) -> "_Step":
        rms = [parameter.grad_rms for parameter in flow.parameters if parameter.grad_rms]
        return cls(
            ran=frozenset(name for row in flow.sites for name in row.site.parameters),
            lost=frozenset(name for row in underflow.lost_sites(flow) for name in row.site.parameters),
            largest_gradient=max((value for value in rms if math.isfinite(value)), default=0.0),
            hides_size=hides_size(flow),
            drowns="Adam" in (flow.optimizer or "") and bool(rms) and statistics.median(rms) < ADAM_EPSILON,
        )


def _look(observation: Observation) -> Iterable[Finding]:
    """One finding per cause: an unused head and an optimizer that misses a layer are two matters."""
    flow = observation.flow
    step = _Step.of(flow)
    by_cause: dict[str, list[ParameterFlow]] = defaultdict(list)
    waits = _waits(flow)
    for parameter in flow.parameters:
        if (_is_still(parameter) and not _is_switched_off(parameter, step)) or _is_cut_off(parameter, step):
            by_cause[_cause_id(parameter, step)].append(parameter)
    by_cause = {cause: still for cause, still in by_cause.items() if not (waits and cause in TOO_SHORT)}
    flat = _flattened(flow)
    fresh = never_trained(flow)
    share = _weights(fresh) / max(1, _weights(list(flow.parameters)))
    silent = _never_answers(fresh, flow)
    frozen = [_frozen_finding(fresh, share, _frozen_severity(flow))] if share > FROZEN_SHARE or silent else []
    rounded = [_flat_finding(flat, flow)] if flat else []
    unmoved = [_finding(cause, still, flow) for cause, still in by_cause.items()]
    return [*frozen, *rounded, *_left_out(flow), *_never_moves(flow), *unmoved]


def _never_moves(flow: Flow) -> Iterator[Finding]:
    """Zeros that are multiplied with zeros: no step has had a gradient, and none will."""
    zero = [p for p in flow.parameters if p.trainable and len(p.shape) > 1 and p.value.zero_count == p.value.count]
    steps = flow.training.steps if flow.training is not None else ()
    whole = bool(zero) and len(steps) >= FEW_STEPS and all(step.log10_gradient == -math.inf for step in steps)
    factors = zero if whole else [p for p in zero if flow.step >= FEW_STEPS and _is_all_zero(p)]
    if not whole and len(factors) < FACTORS:
        return
    values: dict[str, Value] = {"site": factors[0].name, "parameters": len(factors), "steps": len(steps)}
    yield Finding(
        symptom="not_updating",
        severity="critical" if whole else "warning",
        sites=tuple(parameter.name for parameter in factors),
        evidence=(Evidence("grad_rms", 0.0, site=factors[0].name, source=ZERO_SOURCE),),
        causes=(Cause("init_mismatch", None, Message("cause.init_mismatch.zeros", values)),),
        prescriptions=(change("init.low_rank"),),
        message=Message("finding.never_moves" if whole else "finding.factors_never_move", values),
    )


def _left_out(flow: Flow) -> Iterator[Finding]:
    """Layers that are used and not registered: ``self.layers = [...]`` where an ``nn.ModuleList`` belongs."""
    hidden = flow.setup.unregistered
    if not hidden or not flow.optimizer:
        return
    weights, known = sum(hidden.values()), _weights(list(flow.parameters))
    place = max(hidden, key=lambda name: hidden[name])
    share = weights / (weights + known)
    values: dict[str, Value] = {"site": place, "percent": 100 * share, "optimizer": flow.optimizer}
    yield Finding(
        symptom="not_updating",
        severity="warning" if share >= NEGLIGIBLE_SHARE else "info",
        sites=tuple(hidden),
        evidence=(Evidence("unregistered_share", share, NEGLIGIBLE_SHARE, place, UNREGISTERED_SOURCE),),
        causes=(Cause("optimizer_params", None, Message("cause.optimizer_params.unregistered", values)),),
        prescriptions=(register(place),),
        message=Message("finding.unregistered", values),
    )


def _waits(flow: Flow) -> bool:
    """Whether the measured call took no step at all, beside others just before it that did.

    Gradients that add up over several batches (Goyal et al. 2017) and a scaler that skips what has overflown
    (Micikevicius et al. 2018) leave every weight bit by bit as it was, now and then.
    """
    held = [p for p in flow.parameters if p.trainable and p.in_optimizer is not False and p.grad is not None]
    ratios = flow.training.update_ratios() if flow.training is not None else []
    lately = ratios[-max(1, len(ratios) // 3) :]
    return all(p.unchanged_fraction == 1.0 for p in held) and any(ratio > FROZEN_RATIO for ratio in lately)


def _frozen_severity(flow: Flow) -> Severity:
    """Only noted where nobody said that it is to be trained, or where reading out what is drawn will do."""
    course = progress(flow)
    if not flow.optimizer:
        return "info"
    return "info" if only_reads_out(flow) and (course is None or _reads_well(flow, course)) else "warning"


def _reads_well(flow: Flow, course: Progress) -> bool:
    """Whether random features under a trained layer get the training where a network would bring it."""
    scores = flow.training.scores if flow.training is not None else ()
    metric = scores[-1].metric if scores else None
    return course.learns and (metric is None or metric >= ENOUGH)


def _never_answers(fresh: list[ParameterFlow], flow: Flow) -> bool:
    """Whether one of them is all zero and no trained number is added after it: its layer says nothing for good."""
    zero = [p for p in fresh if p.value.zero_count == p.value.count]
    trained = {p.name for p in flow.parameters if p.trainable}
    return any(
        trained.isdisjoint(row.site.parameters) for row in flow.sites for p in zero if p.name in row.site.parameters
    )


def _frozen_finding(fresh: list[ParameterFlow], share: float, severity: Severity) -> Finding:
    values: dict[str, Value] = {"site": fresh[0].name, "parameters": len(fresh), "percent": 100 * share}
    return Finding(
        symptom="not_updating",
        severity=severity,
        sites=tuple(parameter.name for parameter in fresh),
        evidence=(Evidence("frozen_share", share, FROZEN_SHARE, fresh[0].name, FROZEN_SOURCE),),
        causes=(Cause("frozen", None, Message("cause.frozen.why", values)),),
        prescriptions=(change("optimisation.unfreeze"),),
        message=Message("finding.frozen_fresh", values),
    )


def _flattened(flow: Flow) -> list[ParameterFlow]:
    """Matrices that an operation without a slope stands behind: an exact zero beside a bias of theirs that learns.

    Of y = Wx + b, ∂L/∂W is ∂L/∂y times x, and ∂L/∂b is ∂L/∂y: with the one alive the other is zero for x = 0 alone,
    which dead units before it can make, but not where the graph rounds and most matrices are so.
    """
    if FLAT.isdisjoint(flow.setup.operations):
        return []
    trained = [p for p in flow.parameters if p.trainable and p.grad is not None]
    matrices = [p for p in trained if len(p.shape) > 1]
    alive = {p.name.rpartition(".")[0] for p in trained if len(p.shape) == 1 and p.grad_rms}
    flat = [p for p in matrices if _is_all_zero(p) and p.name.rpartition(".")[0] in alive]
    return flat if len(flat) > len(matrices) / 2 else []


def _is_all_zero(parameter: ParameterFlow) -> bool:
    return parameter.grad is not None and parameter.grad.zero_count == parameter.grad.count


def _flat_finding(flat: list[ParameterFlow], flow: Flow) -> Finding:
    trainable = sum(parameter.trainable for parameter in flow.parameters)
    values: dict[str, Value] = {"site": flat[0].name, "parameters": len(flat), "trainable": trainable}
    return Finding(
        symptom="not_updating",
        severity="warning",
        sites=tuple(parameter.name for parameter in flat),
        evidence=(Evidence("grad_rms", 0.0, site=flat[0].name, source=FLAT_SOURCE),),
        causes=(Cause("detached_graph", None, Message("cause.detached_graph.flat", values)),),
        prescriptions=(),
        message=Message("finding.flat", values),
    )


def _finding(cause_id: str, still: list[ParameterFlow], flow: Flow) -> Finding:
    trainable = [parameter for parameter in flow.parameters if parameter.trainable]
    worst = min(still, key=lambda parameter: parameter.update_ratio or 0.0)
    return Finding(
        symptom="not_updating",
        severity=_severity(still, trainable, cause_id, flow),
        sites=tuple(parameter.name for parameter in still),
        evidence=(
            Evidence("update_ratio", worst.update_ratio, FROZEN_RATIO, worst.name, SOURCE),
            Evidence("unchanged_fraction", worst.unchanged_fraction, site=worst.name),
        ),
        causes=(_cause(cause_id, still, flow),),
        prescriptions=for_still_weights(cause_id, flow),
        message=Message(
            "finding.cut_off" if cause_id == "detached_graph" else "finding.not_updating",
            {"site": worst.name, "parameters": len(still), "trainable": len(trainable), "ratio": worst.update_ratio},
        ),
    )


def _is_still(parameter: ParameterFlow) -> bool:
    """Whether a weight that should move does not; a bias at zero has no ratio and counts by being bit-identical."""
    if not parameter.trainable or parameter.unchanged_fraction is None or _is_spoiled(parameter):
        return False
    if parameter.update_ratio is None:
        return parameter.unchanged_fraction == 1.0
    return parameter.update_ratio < FROZEN_RATIO


def _is_spoiled(parameter: ParameterFlow) -> bool:
    """Whether NaN or Inf in its gradient or its step is what is wrong with it."""
    return parameter.spoiled > 0 or (parameter.grad is not None and parameter.grad.nonfinite_count > 0)


def _is_cut_off(parameter: ParameterFlow, step: _Step) -> bool:
    """Whether it took part in the forward pass and got no gradient back; to see that takes no optimizer."""
    return parameter.trainable and parameter.grad is None and not step.ran.isdisjoint(_names(parameter))


def _names(parameter: ParameterFlow) -> tuple[str, ...]:
    return parameter.name, *parameter.aliases


def _is_switched_off(parameter: ParameterFlow, step: _Step) -> bool:
    """Whether its gradient is exactly zero, and not because the dtype could not hold it."""
    gradient = parameter.grad
    if parameter.in_optimizer is False or gradient is None or gradient.zero_count < gradient.count:
        return False
    return step.lost.isdisjoint(_names(parameter))


def _has_arrived(flow: Flow) -> bool:
    """Whether the training has brought the loss to next to nothing: there is nowhere left to go."""
    course = progress(flow)
    return course is not None and course.learns and abs(course.last) < ARRIVED * abs(course.start)


def _severity(still: list[ParameterFlow], trainable: list[ParameterFlow], cause_id: str, flow: Flow) -> Severity:
    if cause_id == "learning_rate_low" and flow.setup.optimizer.get("lr") == 0.0 and flow.training is None:
        return "info"  # as a warm-up begins: a single step cannot tell
    rounded_away = cause_id in TOO_SHORT
    if rounded_away and _has_arrived(flow):
        return "info"
    if cause_id == "detached_graph" and _cancel_out(still, flow):
        return "info"
    if len(still) == len(trainable):
        return "critical"
    few = _weights(still) < NEGLIGIBLE_SHARE * _weights(trainable)
    negligible = rounded_away and (few or not any(len(p.shape) > 1 for p in still))
    return "info" if cause_id == "unused" or negligible else "warning"


def _cancel_out(still: list[ParameterFlow], flow: Flow) -> bool:
    """Whether all are vectors beside a weight of their own layer that does get a gradient: no graph was cut there.

    A bias of the output drops out of a loss that is made of the output's derivatives or differences.
    """
    alive = {name for p in flow.parameters if p.grad is not None and len(p.shape) > 1 for name in _names(p)}
    return all(
        len(p.shape) == 1
        and any(
            not alive.isdisjoint(row.site.parameters)
            for row in flow.sites
            if not set(row.site.parameters).isdisjoint(_names(p))
        )
        for p in still
    )


def _weights(parameters: list[ParameterFlow]) -> int:
    return sum(parameter.value.count for parameter in parameters)


def _cause_id(parameter: ParameterFlow, step: _Step) -> str:
    """Why a parameter stays where it is."""
    if parameter.in_optimizer is False:
        return "optimizer_params"
    if parameter.grad is None:
        return "detached_graph" if _is_cut_off(parameter, step) else "unused"
    # Where its gradient is as large as any, the step is too short; where others are larger by far, it is too small.
    limit = ADAM_EPSILON if step.hides_size else SMALL_BESIDE * step.largest_gradient
    if step.drowns or (parameter.grad_rms or 0.0) < limit:
        return "numeric_underflow"
    return "learning_rate_low"


def _cause(cause_id: str, still: list[ParameterFlow], flow: Flow) -> Cause:
    optimizer, site = flow.optimizer or "", still[0].name
    if cause_id in TOO_SHORT:
        rms = statistics.median((parameter.grad_rms or 0.0) for parameter in still)
        return Cause(cause_id, None, Message(f"cause.{cause_id}.still", {"rms": rms, "optimizer": optimizer}))
    values: dict[str, Value] = {"optimizer": optimizer, "site": site, "parameters": len(still)}
    return Cause(cause_id, None, Message(f"cause.{cause_id}.why", values))


def _blocked(observation: Observation) -> Message | None:
    """Without an optimizer only parameters that are cut off can be seen."""
    step = _Step.of(observation.flow)
    if _flattened(observation.flow) or (observation.flow.optimizer and observation.flow.setup.unregistered):
        return None
    if any(_is_cut_off(parameter, step) for parameter in observation.flow.parameters):
        return None
    return needs_update(observation)


RULE = Rule("not_updating", _look, _blocked)
