"""Two strong regularisers at once, and a training that gets nowhere under both of them.

Each has its usual dose on its own: dropout of a half, a weight decay of a hundredth. Together they ask the same of the
network twice. Told only where the training does not learn, or the outputs are the same for every sample, and one of
them is seen to be strong: the pull makes up most of each step, or has made the weights of most layers small.
"""

from collections.abc import Iterable

from headwater.diagnosis.decay import DECAYING, decay_share, weight_decay_high
from headwater.diagnosis.prescribing_training import for_two_regularisers
from headwater.diagnosis.progress import needs_steps, progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules.bad_init_small import GONE
from headwater.diagnosis.rules.dropout_too_high import dropout_high, dropouts, share_dropped
from headwater.diagnosis.weight_scale import output_unit, small_layers, variation
from headwater.records import Cause, Evidence, Finding, Flow, Message
from headwater.records.message import Value

STRONG_DROPOUT = 0.5
SMALL_SHARE = 0.5  # of the affine layers
TWO = 2
DECAY_SOURCE = "half of a step: the weights go to zero faster than anywhere else"
DROPOUT_SOURCE = "noise as large as the signal; what is usual in hidden layers (Srivastava et al. 2014, A.4)"
PENALTY_SOURCE = "terms of the loss that hold weights themselves, beside the optimizer's weight decay"


def _look(observation: Observation) -> Iterable[Finding]:
    flow, course = observation.flow, progress(observation.flow)
    if course is None or (course.learns and not (flow.setup.penalised and _outputs_are_constant(flow))):
        return
    dropped = max(map(share_dropped, dropouts(flow)), default=0.0)
    decay, penalties = float(flow.setup.optimizer.get("weight_decay") or 0.0), flow.setup.penalised
    share = decay_share(flow) or 0.0
    pulled = share > DECAYING or (penalties > 0 and _weights_are_small(flow))
    if not pulled or [dropped >= STRONG_DROPOUT, decay > 0.0, penalties > 0].count(True) < TWO:
        return
    beside = "dropout" if dropped >= STRONG_DROPOUT else "penalty"
    values: dict[str, Value] = {
        "percent": 100 * dropped,
        "decay": decay,
        "penalised": penalties,
        "first": course.start,
        "last": course.last,
        "steps": len(flow.training.steps) if flow.training else 0,
    }
    yield Finding(
        symptom="double_regularization",
        severity="warning",
        sites=tuple(row.site.name for row in dropouts(flow) if share_dropped(row) >= STRONG_DROPOUT),
        evidence=(
            Evidence("decay_share", share, DECAYING, source=DECAY_SOURCE),
            Evidence("dropout_share", dropped, STRONG_DROPOUT, source=DROPOUT_SOURCE),
            Evidence("penalised_weights", penalties, 1, source=PENALTY_SOURCE),
        ),
        causes=_causes(flow, share, dropped, penalties),
        prescriptions=for_two_regularisers(decay, dropped, penalties),
        message=Message(f"finding.double_regularization_{beside}", values),
    )


def _outputs_are_constant(flow: Flow) -> bool:
    """Whether the network says the same of every sample: a loss with a penalty falls with the penalty alone."""
    unit, output = output_unit(flow), variation(flow.sites[-1]) if flow.sites else None
    return unit is not None and output is not None and output < GONE * unit


def _weights_are_small(flow: Flow) -> bool:
    layers = [row for row in flow.sites if row.site.kind == "affine"]
    return len(small_layers(flow, fresh=False)) > SMALL_SHARE * len(layers)


def _causes(flow: Flow, share: float, dropped: float, penalties: int) -> tuple[Cause, ...]:
    """The pull on the weights, and dropout beside it."""
    if share > DECAYING:
        pull = weight_decay_high(flow, share)
    else:
        pull = Cause("weight_decay_high", None, Message("cause.weight_decay_high.penalty", {"penalised": penalties}))
    return (pull, dropout_high(dropped)) if dropped >= STRONG_DROPOUT else (pull,)


RULE = Rule("double_regularization", _look, lambda observation: needs_steps(observation.flow))
