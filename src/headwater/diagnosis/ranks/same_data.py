"""Ranks that see the same batches: the sampler was not told to split the data.

Each of W ranks computes the gradient that another one has computed already, and their mean is that of one batch. All
operations before the first that draws random numbers show the same moments then, to the last digit, at every step.
"""

from collections.abc import Iterable

import numpy as np

from headwater.diagnosis.prescribing_training import advice
from headwater.diagnosis.ranks.observation import RankRule, Ranks, named
from headwater.records import Cause, Evidence, Finding, Message
from headwater.records.message import Value

SAME = 1e-12
SOURCE = "sums of the same numbers in float64 agree to 1e-12; two batches of 1,000 differ by 1e-2 (docs/thresholds.md)"


def _look(ranks: Ranks) -> Iterable[Finding]:
    candidates = ranks.with_data
    rows = _before_random(ranks.site_names)
    if len(candidates) < 2 or not len(ranks.steps) or not rows:
        return
    first = candidates[0]
    same = [first, *(rank for rank in candidates[1:] if _is_same(ranks, first, rank, rows))]
    if len(same) < 2:
        return
    values: dict[str, Value] = {
        "ranks": named(same),
        "count": len(same),
        "steps": len(ranks.steps),
        "site": ranks.site_names[rows[0]],
    }
    yield Finding(
        symptom="same_data",
        severity="warning",
        sites=(ranks.site_names[rows[0]],),
        evidence=(Evidence("rank_difference", 0.0, SAME, ranks.site_names[rows[0]], SOURCE),),
        causes=(Cause("data_not_split", None, Message("cause.data_not_split.sampler", values)),),
        prescriptions=(
            advice(
                "split_data",
                "# sampler = torch.utils.data.DistributedSampler(dataset)\n"
                "# loader = DataLoader(dataset, batch_size=..., sampler=sampler)   and in each epoch:\n"
                "# sampler.set_epoch(epoch)",
            ),
        ),
        message=Message("finding.same_data", values),
    )


def _before_random(names: tuple[str, ...]) -> list[int]:
    """Rows of the operations before the first dropout, whose masks may well differ between ranks."""
    end = next((row for row, name in enumerate(names) if "drop" in name.lower()), len(names))
    return list(range(end))


def _is_same(ranks: Ranks, a: int, b: int, rows: list[int]) -> bool:
    """Whether two ranks' signals have the same moments throughout, and are no constants."""
    for name in ("activation_rms", "activation_mean", "activation_std"):
        x, y = ranks.sites[a][name][rows], ranks.sites[b][name][rows]
        known = ~np.isnan(x) & ~np.isnan(y)
        if not known.any() or (np.isnan(x) != np.isnan(y)).any():
            return False
        scale = ranks.sites[a]["activation_rms"][rows]
        if (np.abs(x - y)[known] > SAME * scale[known]).any():
            return False
    return bool((np.nan_to_num(ranks.sites[a]["activation_std"][rows]) > 0).any())


RULE = RankRule("same_data", _look)
