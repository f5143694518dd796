"""How sharply attention looks: its largest logit and the entropy of its rows.

The logits of a fused attention never exist as a tensor, so they are computed again on the side, in float64. Of many a
bounded number is, a whole row of keys for each query that is looked at.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad
from torch.nn.utils import parametrize

from headwater.kernels import generic

MAX_LOGITS = 1 << 22
_CHUNK = 1 << 20  # numbers of float64 held of each kind at a time, 8 MB
_QUERIES = 32  # kept of each head before the batch is thinned: a mean over 32 rows is within a fifth of their spread


class AttentionStatistics(NamedTuple):
    """What the rows of one attention show; ``None`` where no row could be read.

    Attributes:
        logit_max: Largest finite logit, scaled and with any additive mask as softmax takes it; dimensionless.
        entropy: Mean entropy of the rows in nats, between 0 (one key each) and the logarithm of the number of keys.
    """

    logit_max: float | None
    entropy: float | None


_NOTHING = AttentionStatistics(None, None)


def attention_statistics(
    query: Tensor,
    key: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    max_logits: int = MAX_LOGITS,
) -> AttentionStatistics:
    """Largest logit and mean entropy of what ``F.scaled_dot_product_attention`` does with these arguments.

    The meanings are ``reference.attention_logit_max`` and ``reference.attention_entropy``. Keys that are masked, by
    ``False``, by -Inf or by the most negative number of the mask's dtype, are no logits; a row without any other key is
    left out. Where there are more than ``max_logits``, the first entries of the batch and evenly spaced queries stand
    for the rest; heads are left out only when a single query of each is already too much.

    Args:
        query: (..., heads, queries, features).
        key: (..., heads, keys, features); with ``enable_gqa`` heads may be fewer, each shared by a group of queries'.
        attn_mask: Boolean, ``True`` where a key is seen, or added to the logits; broadcast to (..., heads, queries,
            keys).
        is_causal: Whether query i sees the keys up to i only.
        scale: What the products are multiplied by; 1/√features if ``None``.
        enable_gqa: Whether heads of the query share those of the key.
        max_logits: Most logits to compute, unless a single row has more.

    Returns:
        Both numbers; ``None`` for tensors without values to read, nested or on the meta device.
    """
    if _unreadable(query, key):
        return _NOTHING
    products = _products(query, key, attn_mask, is_causal, scale, enable_gqa)
    heads = products.lead[-2:] if enable_gqa else products.lead[-1:]
    choice = _choice(math.prod(products.lead), math.prod(heads), products.queries, products.keys, max_logits)
    return _summary(_rows(products, choice))


def softmax_statistics(logits: Tensor, dim: int = -1, max_logits: int = MAX_LOGITS) -> AttentionStatistics:
    """Largest logit and mean entropy of attention written out: of the scores that softmax is taken of.

    The meanings, what is masked and which rows stand for many are those of :func:`attention_statistics`.

    Args:
        logits: (..., heads, queries, keys) where ``dim`` is the last; masks already added.
        dim: The dimension softmax sums to 1 over, that of the keys.
        max_logits: Most logits to read, unless a single row has more.
    """
    if _unreadable(logits) or not logits.dim():
        return _NOTHING
    scores = generic.plain(logits).movedim(dim, -1)
    scores = scores.reshape(*[1] * (3 - scores.dim()), *scores.shape)
    lead, (queries, keys) = scores.shape[:-2], scores.shape[-2:]
    choice = _choice(math.prod(lead), lead[-1], queries, keys, max_logits)
    return _summary(
        _without_masked(scores[_at(pairs, lead, some)]) for pairs, some in _blocks(choice, keys, features=1)
    )


def multihead_statistics(
    module: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    max_logits: int = MAX_LOGITS,
) -> AttentionStatistics:
    """Largest logit and mean entropy of ``nn.MultiheadAttention``, projected with the module's own weights.

    The meanings, what is masked and which rows stand for many are those of :func:`attention_statistics`; but here, as
    in the module, a boolean mask is ``True`` where a key is *not* seen.

    Args:
        module: Whose weights, number of heads and additional keys (``add_bias_kv``, ``add_zero_attn``) to use.
        query: (queries, batch, features), (batch, queries, features) if it is ``batch_first``; without a batch
            (queries, features).
        key: The same with keys in place of queries.
        key_padding_mask: (batch, keys), without a batch (keys,); boolean or added.
        attn_mask: (queries, keys) or (batch · heads, queries, keys); boolean or added.
        max_logits: Most logits to compute, unless a single row has more.

    Returns:
        Both numbers; ``None`` for tensors without values to read, and for parametrised projections: reading one may
        move its state.
    """
    if _unreadable(query, key) or parametrize.is_parametrized(module):
        return _NOTHING
    call = _MultiheadCall(
        module,
        query=_batch_first(module, query),
        key=_batch_first(module, key),
        key_padding_mask=None if key_padding_mask is None else _shown(key_padding_mask),
        attn_mask=None if attn_mask is None else _shown(attn_mask),
    )
    return _summary(call.rows(max_logits))


class _Choice(NamedTuple):
    """The rows that are looked at.

    Attributes:
        pairs: Positions of (batch, head), counted through all leading dimensions.
        queries: Positions of queries, the same in each pair.
    """

    pairs: Tensor
    queries: Tensor


@dataclass(frozen=True)
class _Products:
    """The logits of a dot-product attention, not yet computed.

    Attributes:
        query: (*lead, queries, features).
        key: (*lead, keys, features).
        mask: (*lead, queries, keys), boolean (``True`` is seen) or additive.
        causal_offset: Query i sees the keys up to i + this only.
        scale: What the products are multiplied by.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None
    causal_offset: int | None
    scale: float

    @property
    def lead(self) -> torch.Size:
        return self.query.shape[:-2]

    @property
    def queries(self) -> int:
        return self.query.shape[-2]

    @property
    def keys(self) -> int:
        return self.key.shape[-2]

    def rows(self, pairs: Tensor, queries: Tensor) -> Tensor:
        """Logits of (pairs, queries, keys)."""
        at_queries = _at(pairs, self.lead, queries)
        some_queries = self.query[at_queries].to(torch.float64)
        some_keys = self.key[torch.unravel_index(pairs, self.lead)].to(torch.float64)
        logits = some_queries @ some_keys.transpose(1, 2) * self.scale
        if self.mask is not None:
            logits = logits + _bias(self.mask[at_queries])
        if self.causal_offset is not None:
            ahead = torch.arange(self.keys, device=queries.device) > queries.unsqueeze(1) + self.causal_offset
            logits = logits.masked_fill(ahead, -math.inf)
        return logits


@dataclass(frozen=True)
class _MultiheadCall:
    """One call of ``nn.MultiheadAttention``, the batch first and masks as :func:`attention_statistics` takes them."""

    module: nn.MultiheadAttention
    query: Tensor
    key: Tensor
    key_padding_mask: Tensor | None
    attn_mask: Tensor | None

    def rows(self, max_logits: int) -> Iterator[Tensor]:
        """Logits in blocks of (pairs, queries, keys), projected for a few entries of the batch at a time."""
        (batch, queries, features), keys, heads = self.query.shape, self.key.shape[1], self.module.num_heads
        choice = _choice(batch * heads, heads, queries, keys + self._more_keys, max_logits)
        entries = max(1, _CHUNK // (features * max(1, keys, len(choice.queries))))
        for pairs in choice.pairs.split(entries * heads) if batch else ():
            first, last = int(pairs[0]) // heads, int(pairs[-1]) // heads
            products = self._products(slice(first, last + 1), choice.queries.to(self.query.device))
            yield from _rows(products, _Choice(pairs - first * heads, torch.arange(len(choice.queries))))

    def _products(self, entries: slice, queries: Tensor) -> _Products:
        query = self._of_heads(linear(self.query[entries][:, queries].to(torch.float64), *self._projections[0]))
        projected = linear(self.key[entries].to(torch.float64), *self._projections[1])
        if self.module.bias_k is not None:
            own_key = generic.plain(self.module.bias_k).to(torch.float64)
            projected = torch.cat([projected, own_key.expand(len(projected), -1, -1)], dim=1)
        key = self._of_heads(projected)
        if self.module.add_zero_attn:
            key = pad(key, (0, 0, 0, 1))
        return _Products(
            query=query,
            key=key,
            mask=self._mask(entries, queries).expand(*query.shape[:-1], -1),
            causal_offset=None,
            scale=1 / math.sqrt(query.shape[-1]),
        )

    @cached_property
    def _projections(self) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
        """Weight and bias for queries and for keys."""
        module = self.module
        if module.in_proj_weight is not None:
            of_query, of_key, _ = _wide(module.in_proj_weight).chunk(3)
        else:
            of_query, of_key = _wide(module.q_proj_weight), _wide(module.k_proj_weight)
        if module.in_proj_bias is None:
            return (of_query, None), (of_key, None)
        query_bias, key_bias, _ = _wide(module.in_proj_bias).chunk(3)
        return (of_query, query_bias), (of_key, key_bias)

    @property
    def _more_keys(self) -> int:
        """Keys that the module adds behind those it is given."""
        return int(self.module.bias_k is not None) + int(self.module.add_zero_attn)

    def _of_heads(self, sequence: Tensor) -> Tensor:
        """From (batch, length, heads · features) to (batch, heads, length, features)."""
        return sequence.unflatten(-1, (self.module.num_heads, -1)).transpose(1, 2)

    def _mask(self, entries: slice, queries: Tensor) -> Tensor:
        """What both masks add to the logits, (batch, heads or 1, queries, keys); keys the module adds are seen."""
        size = len(self.key[entries]), 1, len(queries), self.key.shape[1]
        bias = torch.zeros(size, dtype=torch.float64, device=self.query.device)
        if self.attn_mask is not None:
            by_entry = self.attn_mask
            if by_entry.dim() == 3:
                by_entry = by_entry.unflatten(0, (-1, self.module.num_heads))[entries]
            bias = bias + _bias(by_entry[..., queries, :])
        if self.key_padding_mask is not None:
            of_keys = self.key_padding_mask.reshape(-1, 1, 1, self.key.shape[1])
            bias = bias + _bias(of_keys[entries])
        return pad(bias, (0, self._more_keys))


def _products(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool, scale: float | None, enable_gqa: bool
) -> _Products:
    causal_offset = 0 if is_causal else _offset_of_causal_bias(mask)
    if causal_offset is not None and not is_causal:
        mask = None  # a CausalBias has no values, it stands for them
    query, key = generic.plain(query), generic.plain(key)
    if query.dim() == 2:
        query, key = query.unsqueeze(0), key.unsqueeze(0)
    mask = None if mask is None else generic.plain(mask).expand(*query.shape[:-1], key.shape[-2])
    if enable_gqa:
        grouped = key.shape[-3], query.shape[-3] // max(1, key.shape[-3])
        query, key = query.unflatten(-3, grouped), key.unsqueeze(-3)
        mask = None if mask is None else mask.unflatten(-3, grouped)
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    return _Products(
        query=query.expand(*lead, -1, -1),
        key=key.expand(*lead, -1, -1),
        mask=mask,
        causal_offset=causal_offset,
        scale=1 / math.sqrt(max(1, query.shape[-1])) if scale is None else float(scale),
    )


def _offset_of_causal_bias(mask: Any) -> int | None:
    """How far a ``torch.nn.attention.bias.CausalBias`` lets a query see ahead, ``None`` of any other mask."""
    bias = sys.modules.get("torch.nn.attention.bias")  # imported by who has one; to import it takes a second
    if bias is None or not isinstance(mask, bias.CausalBias):
        return None
    return mask.seq_len_kv - mask.seq_len_q if mask.variant == bias.CausalVariant.LOWER_RIGHT else 0


def _unreadable(*tensors: Tensor) -> bool:
    return any(tensor.is_meta or tensor.is_nested for tensor in tensors)


def _choice(pairs: int, heads: int, queries: int, keys: int, max_logits: int) -> _Choice:
    """Rows that together have at most ``max_logits``, but one row at least."""
    rows = max(1, max_logits // max(1, keys))
    if heads > rows:
        return _Choice(_even(heads, rows), _even(queries, 1))
    entries = pairs // max(1, heads)
    kept_entries = min(entries, max(1, rows // max(1, heads * min(queries, _QUERIES))))
    kept_queries = min(queries, rows // max(1, heads * kept_entries))
    return _Choice(torch.arange(kept_entries * heads), _even(queries, kept_queries))


def _even(total: int, kept: int) -> Tensor:
    """Evenly spaced positions, each in the middle of the stretch it stands for."""
    kept = min(total, kept)
    return (2 * torch.arange(kept) + 1) * total // max(1, 2 * kept)


def _at(pairs: Tensor, lead: torch.Size, queries: Tensor) -> tuple[Tensor, ...]:
    """The index of all these queries in each of these pairs."""
    return (*(index.unsqueeze(1) for index in torch.unravel_index(pairs, lead)), queries)


def _blocks(choice: _Choice, keys: int, features: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The choice in pieces of which neither queries nor keys nor logits take much memory."""
    pairs = min(max(1, len(choice.pairs)), max(1, _CHUNK // max(1, keys * features)))
    queries = max(1, _CHUNK // (pairs * max(1, keys, features)))
    return ((some, rows) for some in choice.pairs.split(pairs) for rows in choice.queries.split(queries))


def _rows(products: _Products, choice: _Choice) -> Iterator[Tensor]:
    device = products.query.device
    for pairs, queries in _blocks(choice, products.keys, products.query.shape[-1]):
        yield products.rows(pairs.to(device), queries.to(device))


def _summary(blocks: Iterable[Tensor]) -> AttentionStatistics:
    """Both statistics over blocks of (pairs, queries, keys) in float64, masked logits -Inf."""
    largest: list[float] = []
    entropy, rows = 0.0, 0
    for logits in blocks:
        if not logits.numel():
            continue
        finite = torch.isfinite(logits)
        if bool(finite.any()):
            largest.append(float(logits.masked_fill(~finite, -math.inf).max()))
        by_row = torch.special.entr(torch.softmax(logits, dim=-1)).sum(dim=-1)
        read = by_row[torch.isfinite(by_row)]  # the softmax of a row without a key is NaN
        entropy, rows = entropy + float(read.sum()), rows + read.numel()
    return AttentionStatistics(max(largest, default=None), entropy / rows if rows else None)


def _bias(mask: Tensor) -> Tensor:
    """What a mask adds to the logits, if it is boolean ``True`` where a key is seen."""
    if mask.dtype is torch.bool:
        return torch.zeros_like(mask, dtype=torch.float64).masked_fill(~mask, -math.inf)
    return _without_masked(mask)


def _without_masked(values: Tensor) -> Tensor:
    """In float64, with -Inf for what a program masks with its dtype's most negative number.

    To softmax the two are the same, except in a row that has nothing else: there the program averages over keys that
    it meant to hide, which is no attention.
    """
    return values.to(torch.float64).masked_fill(values <= torch.finfo(values.dtype).min / 2, -math.inf)


def _batch_first(module: nn.MultiheadAttention, sequence: Tensor) -> Tensor:
    values = generic.plain(sequence)
    if values.dim() == 2:
        return values.unsqueeze(0)
    return values if module.batch_first else values.transpose(0, 1)


def _shown(mask: Tensor) -> Tensor:
    """The mask with ``True`` where a key is seen, which ``nn.MultiheadAttention`` has the other way round."""
    values = generic.plain(mask)
    return ~values if values.dtype is torch.bool else values


def _wide(tensor: Tensor) -> Tensor:
    return generic.plain(tensor).to(torch.float64)
