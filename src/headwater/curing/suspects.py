"""What to try where a training falls short and no rule says why: what the network's parts are known to suffer from.

A rule speaks where it is sure. Below that there are notes, and parts that are often drawn or set wrongly; of these an
experiment can tell whether one is to blame, and nothing is called a cure that is not proven.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from headwater.curing.foreseen import Remedies
from headwater.diagnosis.decay import decay_share
from headwater.diagnosis.prescribing import for_blocks
from headwater.diagnosis.prescribing_training import longer_steps
from headwater.diagnosis.progress import is_half_way
from headwater.records import Flow
from headwater.report import Report

SHORT_STEP = 1e-4  # of the weights: a thirtieth of what is usual, and a hundred steps are a hundredth of the way
NOTABLE_DECAY = 0.1  # of a step: weights in balance with their decay have more, and may be better off without it
NOTABLE_DROPOUT = 0.5  # the strongest that its authors use for hidden layers (Srivastava et al. 2014, section 7.3)


def suspects(report: Report) -> tuple[Remedies, ...]:
    """Remedies to try, likeliest first; none where something is known of the cause, or the training went well.

    What a finding prescribes in words only its author can do: trying other things would hide it.

    Args:
        report: Of a training; one before any step says nothing of how far it gets.
    """
    training = report.flow.training
    wrong = [finding for finding in report.findings if finding.severity != "info"]
    if training is None or any(finding.prescriptions for finding in wrong):
        return ()
    if not any(score.metric is not None for score in training.scores) or is_half_way(training):
        return ()
    noted = (p.remedies for finding in report.findings for p in finding.prescriptions if p.remedies)
    return tuple(dict.fromkeys([*noted, *_of_the_parts(report.flow)]))


def _of_the_parts(flow: Flow) -> Iterator[Remedies]:
    ratios = [ratio for ratio in flow.training.update_ratios() if math.isfinite(ratio)] if flow.training else []
    if ratios and statistics.median(ratios) < SHORT_STEP:
        yield from (found.remedies for found in longer_steps(statistics.median(ratios)))
    kinds = {row.site.kind for row in flow.sites}
    zero = [p for p in flow.parameters if p.trainable and len(p.shape) > 1 and p.value.zero_count == p.value.count]
    if zero:
        yield ("init.low_rank",)
    if "embedding" in kinds:
        yield ("init.embedding",)
    if (decay_share(flow) or 0.0) > NOTABLE_DECAY:
        yield ("regularisation.reduce_weight_decay",)
    if any(float(row.site.settings.get("p") or 0.0) >= NOTABLE_DROPOUT for row in flow.sites):
        yield ("regularisation.reduce_dropout",)
    if "recurrent" in kinds:
        yield ("recurrent.orthogonal",)
        if any(row.site.op in ("LSTM", "LSTMCell") for row in flow.sites):
            yield ("recurrent.forget_bias",)
    yield from (found.remedies for found in for_blocks(flow))
    if "affine" in kinds:
        yield ("init.by_activation",)
