"""A layer's biases are so large that its inputs hardly change what it gives."""

import math
from collections.abc import Iterable

from headwater.diagnosis.rule import Observation, Rule
from headwater.records import Cause, Evidence, Finding, Message, Prescription

TIMES = 10.0
SOURCE = "chosen for this example: a tenth of the signal is left"


def _look(observation: Observation) -> Iterable[Finding]:
    parameters = {parameter.name: parameter for parameter in observation.flow.parameters}
    found: list[tuple[float, str]] = []
    for row in observation.flow.sites:
        weight = parameters.get(f"{row.site.name}.weight")
        bias = parameters.get(f"{row.site.name}.bias")
        if row.site.kind != "affine" or weight is None or bias is None or row.input is None:
            continue
        fan_in = math.prod(weight.shape[1:])
        signal = (row.input.rms or 0.0) * (weight.value.rms or 0.0) * math.sqrt(fan_in)
        times = (bias.value.rms or 0.0) / signal if signal else 0.0
        if times > TIMES:
            found.append((times, row.site.name))
    if not found:
        return
    times, site = max(found)
    values = {"site": site, "times": times}
    yield Finding(
        symptom="bias_dominates",
        severity="warning",
        sites=tuple(name for _, name in found),
        evidence=(Evidence("bias_to_signal", times, TIMES, site, SOURCE),),
        causes=(Cause("init_mismatch", None, Message("finding.bias_dominates.why", values)),),
        prescriptions=(
            Prescription(
                remedies=("init.zero_bias",),
                why=Message("finding.bias_dominates.remedy", values),
                wrong_when=Message("remedy.init.zero_bias.wrong_when"),
                cost=Message("remedy.init.zero_bias.cost"),
            ),
        ),
        message=Message("finding.bias_dominates", values),
    )


RULE = Rule("bias_dominates", _look)
