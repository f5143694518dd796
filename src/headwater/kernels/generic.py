"""The statistics in plain torch operations: right on every device, fast on none."""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from headwater.kernels.reference import COLLAPSE_SAMPLES, SATURATION_SHARE
from headwater.records import Moments

_CHUNK = 1 << 20  # elements converted to float64 at a time, so that a large tensor is never held twice
_LOWEST_EXPONENT = -1075  # of a float64, as frexp counts


def moments(tensor: Tensor) -> Moments:
    """Counts, range and first two moments of the elements; the meaning is ``reference.moments``.

    Args:
        tensor: Any shape, dtype, layout and device. Complex numbers count by magnitude, of a sparse tensor the stored
            values count, a meta tensor has no values and gives ``Moments()``. So does one of which processes hold
            summands: what lies here says nothing of its elements.
    """
    if tensor.is_meta or any(placement.is_partial() for placement in getattr(tensor, "placements", ())):
        return Moments()
    values = plain(tensor)
    tiny = torch.finfo(values.dtype).tiny if values.is_floating_point() else 0.0
    return Moments.merge_all([_chunk_moments(chunk.to(torch.float64), tiny) for chunk in _chunks(values)])


def rms_log10(tensor: Tensor) -> tuple[float, int]:
    """log₁₀ of the finite elements' rms, -inf for zeros or nothing; and their number."""
    if tensor.is_meta:
        return -math.inf, 0
    summary = [_chunk_sums(chunk.to(torch.float64)) for chunk in _chunks(plain(tensor))]
    count = sum(part[0] for part in summary)
    logs = [(math.log10(part[1]) + part[2] * 2 * math.log10(2.0)) for part in summary if part[1] > 0]
    if not logs:
        return -math.inf, count
    top = max(logs)
    return (top + math.log10(sum(10.0 ** (log - top) for log in logs)) - math.log10(count)) / 2, count


def saturated_fraction(derivative: Tensor, max_slope: float) -> float | None:
    """Share of elements with |φ′| below 5 % of its maximum; the meaning is ``reference.saturated_fraction``."""
    if not derivative.numel():
        return None
    return float((derivative.detach().to(torch.float64).abs() < SATURATION_SHARE * max_slope).double().mean())


def dead_fraction(output: Tensor, derivative: Tensor | None = None) -> float | None:
    """Share of dead units of (observations, units); the meaning is ``reference.dead_fraction``."""
    if not output.numel():
        return None
    dead = ((output if derivative is None else derivative) == 0).all(dim=0)
    return float(dead.double().mean())


def collapse(samples: Tensor) -> tuple[float | None, float | None]:
    """``abs_cosine`` and ``effective_rank`` of (samples, features); the meanings are those in ``reference``."""
    rows = samples.detach()[:COLLAPSE_SAMPLES].to(torch.float64)
    rows = rows[torch.isfinite(rows).all(dim=1)]
    return _abs_cosine(rows), _effective_rank(rows)


def unit_spread(output: Tensor) -> float | None:
    """Standard deviation over units of each unit's mean; the meaning is ``reference.unit_spread``."""
    if not output.numel() or output.shape[1] < 2:
        return None
    spread = float(output.detach().mean(dim=0, dtype=torch.float64).std(correction=1))
    return spread if math.isfinite(spread) else None


def feature_scales(samples: Tensor, axis: int) -> tuple[float | None, float | None]:
    """``feature_decades`` and ``feature_offset`` of samples; the meanings are those in ``reference``."""
    if not samples.numel():
        return None, None
    rows = samples.detach().to(torch.float64).movedim(axis, -1).reshape(-1, samples.shape[axis])
    rows = rows[torch.isfinite(rows).all(dim=1)]
    if len(rows) < 2 or not rows.shape[1]:
        return None, None
    sizes = rows.square().mean(dim=0).sqrt()
    sizes = sizes[sizes > 0].sort().values
    low, high = math.floor(0.1 * (len(sizes) - 1)), math.ceil(0.9 * (len(sizes) - 1))
    decades = float((sizes[high] / sizes[low]).log10()) if len(sizes) else None
    spread, mean = rows.std(dim=0, correction=1), rows.mean(dim=0).abs()
    varies = spread > 0
    return decades, float((mean[varies] / spread[varies]).max()) if bool(varies.any()) else None


def sign_coherence(gradient: Tensor) -> float | None:
    """Share of same-signed entries per unit of (units, ...); the meaning is ``reference.sign_coherence``."""
    if not gradient.numel():
        return None
    signs = gradient.detach().reshape(len(gradient), -1).to(torch.float64).sign()  # that of NaN is 0
    signed = signs.abs().sum(dim=1)
    alive = signed > 0
    return float((signs.sum(dim=1).abs()[alive] / signed[alive]).mean()) if bool(alive.any()) else None


def update_ratio(before: Tensor, after: Tensor) -> float | None:
    """‖Δw‖/‖w‖ of one step; the meaning is ``reference.update_ratio``."""
    wide = torch.promote_types(before.dtype, torch.float64)
    weight, update = moments(before), moments(after.detach().to(wide) - before.detach().to(wide))
    return update.norm / weight.norm if weight.norm and update.norm is not None else None


def unchanged_fraction(before: Tensor, after: Tensor) -> float | None:
    """Share of weights a step left as they were; the meaning is ``reference.unchanged_fraction``."""
    return float((before == after).double().mean()) if before.numel() else None


def local(tensor: Tensor) -> Tensor:
    """Of a tensor that is spread over processes the part that lies here: to look at more would make all of them wait.

    Which steps are measured is each process's own affair, so nobody might be there to answer.
    """
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local is not None else tensor


def plain(tensor: Tensor) -> Tensor:
    """The tensor's values as a dense real tensor that no graph hangs on."""
    values = local(tensor.detach())
    if values.is_nested:
        values = torch.cat([part.reshape(-1) for part in values.unbind()])
    elif values.is_mkldnn:
        values = values.to_dense()
    elif values.layout is not torch.strided:
        values = values.coalesce().values() if values.layout is torch.sparse_coo else values.values()
    if values.is_quantized:
        values = values.dequantize()
    if values.is_complex():
        values = values.abs()
    return values.cpu() if values.device.type == "mps" else values  # that device has no float64


def _chunks(values: Tensor) -> Iterator[Tensor]:
    flat = values.reshape(-1)
    return (flat[start : start + _CHUNK] for start in range(0, flat.numel(), _CHUNK))


def _chunk_moments(x: Tensor, tiny: float) -> Moments:
    finite, low, high = _finite(x)
    nan_count = 0 if finite is x else int(torch.isnan(x).sum())
    counts = Moments(count=x.numel(), nan_count=nan_count, inf_count=x.numel() - finite.numel() - nan_count)
    if not finite.numel():
        return counts
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    scaled = _ldexp(finite, -exponent)
    variance, mean = torch.var_mean(scaled, correction=0)
    zero_count = finite.numel() - int(finite.count_nonzero())
    histogram = _histogram(finite, zero_count)
    return replace(
        counts,
        zero_count=zero_count,
        subnormal_count=sum(n for e, n in histogram if e < math.frexp(tiny)[1] - 1) if tiny else 0,
        exponent=exponent,
        scaled_mean=float(mean),
        scaled_abs_mean=float(torch.linalg.vector_norm(scaled, ord=1)) / finite.numel(),
        scaled_m2=float(variance) * finite.numel(),
        min=low,
        max=high,
        log2_histogram=histogram,
    )


def _chunk_sums(x: Tensor) -> tuple[int, float, int]:
    finite, low, high = _finite(x)
    if not finite.numel():
        return 0, 0.0, 0
    exponent = math.frexp(max(abs(low), abs(high)))[1]
    return finite.numel(), float(torch.linalg.vector_norm(_ldexp(finite, -exponent))) ** 2, exponent


def _finite(x: Tensor) -> tuple[Tensor, float, float]:
    """The finite elements and their bounds; ``x`` itself, not a copy, where all of them are finite."""
    low, high = (float(bound) for bound in torch.aminmax(x))
    if math.isfinite(low) and math.isfinite(high):
        return x, low, high
    finite = x[torch.isfinite(x)]
    low, high = (float(bound) for bound in torch.aminmax(finite)) if finite.numel() else (0.0, 0.0)
    return finite, low, high


def _ldexp(x: Tensor, exponent: int) -> Tensor:
    """The product x · 2**exponent, in two factors where 2**exponent alone is no float64."""
    if abs(exponent) < 1000:
        return x * math.ldexp(1.0, exponent)
    half = exponent // 2
    return x * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half)


def _histogram(finite: Tensor, zero_count: int) -> tuple[tuple[int, int], ...]:
    """Pairs (floor(log₂|x|), count) of the non-zero elements."""
    exponents = torch.frexp(finite).exponent
    counts = torch.bincount(exponents - (_LOWEST_EXPONENT + 1))
    if zero_count:
        counts[-1 - _LOWEST_EXPONENT] -= zero_count  # frexp gives a zero the exponent of numbers from 1/2 to 1
    used = counts.nonzero().flatten()
    return tuple(zip((used + _LOWEST_EXPONENT).tolist(), counts[used].tolist(), strict=True))


def _abs_cosine(rows: Tensor) -> float | None:
    rows = rows[(rows != 0).any(dim=1)]
    if len(rows) < 2:
        return None
    rows = rows / rows.abs().amax(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True)
    n = len(rows)
    above = torch.triu((rows @ rows.T).abs(), diagonal=1)
    return float(above.sum() / (n * (n - 1) / 2))


def _effective_rank(rows: Tensor) -> float | None:
    if len(rows) < 2 or not rows.shape[1]:
        return None
    peak = rows.abs().max()
    rows = rows / peak if peak > 0 else rows
    centred = rows - rows.mean(dim=0)
    total = (centred**2).sum()
    if total <= rows.numel() * torch.finfo(torch.float64).eps ** 2 * 4:
        return 1.0
    gram = centred @ centred.T if len(rows) <= rows.shape[1] else centred.T @ centred
    share = torch.linalg.eigvalsh(gram / total).clamp(min=0.0)
    share = share[share > 0]
    return float(torch.exp(-(share * share.log()).sum()))
