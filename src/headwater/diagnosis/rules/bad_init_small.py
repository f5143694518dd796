"""Weights start so small that the network's outputs hardly depend on its inputs.

No single layer is at fault where a design wants it small: a head or the end of a branch may start at zero. It takes
two or more, and a signal that is gone before the last layer, so that nothing tells one input from another there. Plain
gradient descent stays on that plateau for hundreds of steps; optimizers that divide the gradient's size out leave it
within a few, so that with them it is only noted until a training gets nowhere.
"""

from collections.abc import Iterable

from headwater.diagnosis.prescribing import before_last_affine, for_gradient_scale
from headwater.diagnosis.progress import progress
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.weight_scale import SOURCE, output_unit, small_layers, variation
from headwater.records import Cause, Evidence, Finding, Flow, Message
from headwater.records.message import Value

MIN_LAYERS = 2
_NORMALISING = ("Adam", "RMSprop", "Adagrad", "Adadelta", "Adafactor", "Lion", "LAMB")
GONE = 1e-2  # of what the inputs differ by, and of what outputs are to differ by
GONE_SOURCE = "a hundredth of what inputs differ by, and of what outputs are to differ by (docs/thresholds.md)"


def _look(observation: Observation) -> Iterable[Finding]:
    flow = observation.flow
    course, unit = progress(flow), output_unit(flow)
    if flow.step > 0 or unit is None or (course is not None and course.learns):
        return
    small = small_layers(flow)
    kept, output = _kept(flow), _last_variation(flow)
    if len(small) < MIN_LAYERS or kept is None or output is None or kept > GONE or output > GONE * unit:
        return
    worst = min(small, key=lambda layer: layer.sigma_w / layer.limit)
    values: dict[str, Value] = {
        "site": worst.site,
        "layers": len(small),
        "sigma": worst.sigma_w,
        "gain": worst.gain,
        "output": output,
    }
    yield Finding(
        symptom="bad_init_small",
        severity="info" if course is None and _is_normalised(flow.optimizer) else "warning",
        sites=tuple(layer.site for layer in small),
        evidence=(
            Evidence("weight_scale", worst.sigma_w, worst.limit, worst.site, SOURCE),
            Evidence("kept_variation", kept, GONE, source=GONE_SOURCE),
            Evidence("output_variation", output, GONE * unit, source=GONE_SOURCE),
        ),
        causes=(Cause("weights_too_small", None, Message("cause.weights_too_small.start", values)),),
        prescriptions=for_gradient_scale(flow),
        message=Message("finding.bad_init_small", values),
    )


def _kept(flow: Flow) -> float | None:
    """What samples differ by before the last layer, over what they differ by where the network begins."""
    hidden = [spread for spread in map(variation, before_last_affine(flow)) if spread is not None]
    first = flow.sites[0].input.std if flow.sites and flow.sites[0].input is not None else None
    given = first or (hidden[0] if hidden else None)
    return hidden[-1] / given if hidden and given else None


def _last_variation(flow: Flow) -> float | None:
    return variation(flow.sites[-1]) if flow.sites else None


def _is_normalised(optimizer: str | None) -> bool:
    """Whether steps are as long whatever the gradient's size: they make small weights large within a few."""
    return optimizer is not None and any(name in optimizer for name in _NORMALISING)


RULE = Rule("bad_init_small", _look)
