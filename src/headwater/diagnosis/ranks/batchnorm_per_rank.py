"""Batch normalisation by the few samples of one rank, where several ranks have many.

Each rank normalises by the mean and variance of its own batch, so that the same sample is told differently at each, and
the running statistics that are saved are those of the first rank alone. Wu and He 2018 measured what that costs with
ResNet-50: from 16 images per device down to 8 one point, at 4 four points, at 2 eleven.
"""

import statistics
from collections.abc import Iterable

from headwater.diagnosis.prescribing_training import advice
from headwater.diagnosis.ranks.observation import RankRule, Ranks
from headwater.records import Cause, Evidence, Finding, Message, SiteFlow
from headwater.records.message import Value

FEW = 8
SPREAD = 1e-6  # the same data on all ranks are another finding
SOURCE = "Wu and He 2018, Group Normalization, table 2: error 23.6 % at 32 images per device, 24.8 % at 8, 27.3 % at 4"


def _look(ranks: Ranks) -> Iterable[Finding]:
    own = [rank for rank in ranks.with_data if rank in ranks.flows]
    if len(own) < 2:
        return
    flow = ranks.flows[own[0]]
    few = [row for row in flow.sites if _is_small(row)]
    spreads = {row.site.name: _spread([ranks.flows[rank].site(row.site.name) for rank in own]) for row in few}
    few = [row for row in few if spreads[row.site.name] > SPREAD]
    if not few:
        return
    worst = max(few, key=lambda row: spreads[row.site.name])
    batch = worst.site.shape[0]
    values: dict[str, Value] = {
        "site": worst.site.name,
        "batch": batch,
        "ranks": len(own),
        "total": batch * len(own),
        "spread": spreads[worst.site.name],
        "layers": len(few),
    }
    yield Finding(
        symptom="batchnorm_per_rank",
        severity="warning",
        sites=tuple(row.site.name for row in few),
        evidence=(
            Evidence("samples_per_rank", batch, FEW, worst.site.name, SOURCE),
            Evidence("std_spread", spreads[worst.site.name], SPREAD, worst.site.name),
        ),
        causes=(Cause("normalization_misuse", None, Message("cause.normalization_misuse.per_rank", values)),),
        prescriptions=(
            advice(
                "sync_batchnorm",
                "# model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)   on GPUs, before it is wrapped:\n"
                "# model = DistributedDataParallel(model, device_ids=[local_rank])",
            ),
        ),
        message=Message("finding.batchnorm_per_rank", values),
    )


def _is_small(row: SiteFlow) -> bool:
    """Whether a batch normalisation of its own has few samples."""
    is_own = row.site.op.startswith("BatchNorm") and bool(row.site.settings.get("training"))
    return is_own and bool(row.site.shape) and row.site.shape[0] <= FEW


def _spread(rows: list[SiteFlow]) -> float:
    """Standard deviation over ranks of what goes into a normalisation, over its mean; 0 where it is not known."""
    known = [row.input.std for row in rows if row.input is not None and row.input.std]
    sizes = [value for value in known if value is not None]
    return statistics.stdev(sizes) / statistics.fmean(sizes) if len(sizes) > 1 else 0.0


RULE = RankRule("batchnorm_per_rank", _look)
