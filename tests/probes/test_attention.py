"""What is found of an attention equals what its whole matrix of logits shows."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right, causal_upper_left

from headwater.kernels import reference
from headwater.probes import attention
from headwater.probes.attention import (
    AttentionStatistics,
    attention_statistics,
    multihead_statistics,
    softmax_statistics,
)

TOLERANCE = 1e-12
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
LOWEST = torch.finfo(torch.float32).min
NOTHING = AttentionStatistics(None, None)


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().to(torch.float64).numpy()


def of_logits(logits: np.ndarray) -> AttentionStatistics:
    """The definitions, over all logits; masked ones are -Inf."""
    with np.errstate(invalid="ignore"):
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities = weights / weights.sum(axis=-1, keepdims=True)
    return AttentionStatistics(reference.attention_logit_max(logits), reference.attention_entropy(probabilities))


def assert_same(found: AttentionStatistics, wanted: AttentionStatistics, tolerance: float = TOLERANCE) -> None:
    assert wanted.logit_max is not None
    assert wanted.entropy is not None
    assert found.logit_max == pytest.approx(wanted.logit_max, rel=tolerance)
    assert found.entropy == pytest.approx(wanted.entropy, rel=tolerance)


def logits_by_hand(query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None) -> np.ndarray:
    """Every logit, by a plain product; a boolean mask is True where a key is seen."""
    q, k = numpy(query), numpy(key)
    logits = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is None:
        return logits
    return np.where(mask, logits, -np.inf) if mask.dtype is torch.bool else logits + numpy(mask)


BATCH, HEADS, QUERIES, KEYS, FEATURES = 3, 4, 6, 7, 5


def inputs(*, keys: int = KEYS, dtype: torch.dtype = torch.float64, device: str = "cpu") -> tuple[Tensor, Tensor]:
    query = torch.randn(BATCH, HEADS, QUERIES, FEATURES, dtype=torch.float64)
    key = 3 * torch.randn(BATCH, HEADS, keys, FEATURES, dtype=torch.float64)
    return query.to(device, dtype), key.to(device, dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_statistics_when_nothing_is_masked(dtype: torch.dtype, device: str) -> None:
    query, key = inputs(dtype=dtype, device=device)
    assert_same(attention_statistics(query, key), of_logits(logits_by_hand(query, key)))


def test_statistics_when_scaled() -> None:
    query, key = inputs()
    assert_same(attention_statistics(query, key, scale=0.9), of_logits(logits_by_hand(query, key, scale=0.9)))


MASKS: dict[str, Callable[[], Tensor]] = {
    "boolean": lambda: torch.rand(QUERIES, KEYS) < 0.6,
    "boolean by batch": lambda: torch.rand(BATCH, 1, 1, KEYS) < 0.6,
    "boolean by head": lambda: torch.rand(HEADS, QUERIES, KEYS) < 0.6,
    "boolean in full": lambda: torch.rand(BATCH, HEADS, QUERIES, KEYS) < 0.3,  # some rows have no key
    "added": lambda: torch.randn(QUERIES, KEYS, dtype=torch.float64),
    "added and masked": lambda: torch.randn(BATCH, 1, QUERIES, KEYS).masked_fill(torch.rand(KEYS) < 0.4, -math.inf),
    "a row without keys": lambda: torch.ones(QUERIES, KEYS).tril(-1).bool(),
}


@pytest.mark.parametrize("make", MASKS.values(), ids=MASKS.keys())
def test_statistics_when_masked(make: Callable[[], Tensor]) -> None:
    query, key, mask = *inputs(), make()
    assert_same(attention_statistics(query, key, mask), of_logits(logits_by_hand(query, key, mask)))


def test_statistics_when_masked_by_the_lowest_number() -> None:
    query, key = inputs(dtype=torch.float32)
    hidden = torch.rand(BATCH, 1, QUERIES, KEYS) < 0.5
    hidden[0, 0, 2] = True  # padding: softmax over it is uniform, and no attention
    with_infinity = of_logits(logits_by_hand(query, key, ~hidden))
    assert_same(attention_statistics(query, key, torch.zeros(()).masked_fill(hidden, LOWEST)), with_infinity)
    scores = (query @ key.mT / math.sqrt(FEATURES)).masked_fill(hidden, LOWEST)
    assert_same(softmax_statistics(scores), with_infinity, tolerance=1e-5)


@pytest.mark.parametrize("keys", [3, QUERIES, 9])
def test_statistics_when_causal(keys: int) -> None:
    query, key = inputs(keys=keys)
    upper_left = torch.ones(QUERIES, keys, dtype=torch.bool).tril()
    lower_right = torch.ones(QUERIES, keys, dtype=torch.bool).tril(keys - QUERIES)
    wanted = of_logits(logits_by_hand(query, key, upper_left))
    assert_same(attention_statistics(query, key, is_causal=True), wanted)
    assert_same(attention_statistics(query, key, causal_upper_left(QUERIES, keys)), wanted)
    if keys >= QUERIES:
        wanted = of_logits(logits_by_hand(query, key, lower_right))
        assert_same(attention_statistics(query, key, causal_lower_right(QUERIES, keys)), wanted)


@pytest.mark.parametrize("masked", [None, "by head", "for all"])
@pytest.mark.parametrize("kv_heads", [1, 2, HEADS])
def test_statistics_when_heads_are_grouped(kv_heads: int, masked: str | None) -> None:
    query, key = inputs()
    key = key[:, :kv_heads]
    by_head = torch.rand(1, HEADS, QUERIES, KEYS) < 0.6
    mask = {None: None, "by head": by_head, "for all": by_head[0, 0]}[masked]
    wanted = of_logits(logits_by_hand(query, key.repeat_interleave(HEADS // kv_heads, dim=1), mask))
    assert_same(attention_statistics(query, key, mask, enable_gqa=True), wanted)


def test_logits_are_those_torch_takes_the_softmax_of() -> None:
    """With values that are the unit vectors the output is the probabilities."""
    query, key = inputs()
    units = torch.eye(KEYS, dtype=torch.float64).expand(BATCH, HEADS, -1, -1)
    for options in ({}, {"is_causal": True}, {"attn_mask": torch.rand(QUERIES, KEYS) < 0.7}, {"scale": 0.2}):
        entropy = reference.attention_entropy(numpy(F.scaled_dot_product_attention(query, key, units, **options)))
        assert attention_statistics(query, key, **options).entropy == pytest.approx(entropy, rel=TOLERANCE)
    shared, units = key[:, :2], units[:, :2]
    output = F.scaled_dot_product_attention(query, shared, units, enable_gqa=True)
    found = attention_statistics(query, shared, enable_gqa=True)
    assert found.entropy == pytest.approx(reference.attention_entropy(numpy(output)), rel=TOLERANCE)


SHAPES = [
    ((6, 5), (7, 5)),
    ((4, 6, 5), (4, 7, 5)),
    ((2, 3, 4, 6, 5), (2, 3, 4, 7, 5)),
    ((2, 4, 6, 5), (1, 4, 7, 5)),
    ((1, 1, 5), (1, 1, 5)),
]


@pytest.mark.parametrize(("of_query", "of_key"), SHAPES, ids=str)
def test_statistics_when_shapes_vary(of_query: tuple[int, ...], of_key: tuple[int, ...]) -> None:
    query, key = torch.randn(of_query, dtype=torch.float64), torch.randn(of_key, dtype=torch.float64)
    assert_same(attention_statistics(query, key), of_logits(logits_by_hand(query, key)))


@pytest.mark.parametrize("chunk", [1, 10, 50, 200, 10_000])
def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    query, key = inputs()
    mask = torch.rand(BATCH, 1, QUERIES, KEYS) < 0.5
    module, x = nn.MultiheadAttention(8, 4, batch_first=True), torch.randn(BATCH, QUERIES, 8)
    whole = [attention_statistics(query, key, mask), softmax_statistics(query), multihead_statistics(module, x, x)]
    monkeypatch.setattr(attention, "_CHUNK", chunk)
    parts = [attention_statistics(query, key, mask), softmax_statistics(query), multihead_statistics(module, x, x)]
    for found, wanted in zip(parts, whole, strict=True):
        assert_same(found, wanted)


class TestLimit:
    """Of more logits than are computed, whole rows of the first entries and of evenly spaced queries."""

    def count(self, monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
        shapes: list[torch.Size] = []
        summary = attention._summary

        def counted(blocks: Iterator[Tensor]) -> AttentionStatistics:
            kept = list(blocks)
            shapes.extend(block.shape for block in kept)
            return summary(kept)

        monkeypatch.setattr(attention, "_summary", counted)
        return shapes

    @pytest.mark.parametrize("limit", [1, 7, 30, 100, 200, 500, 1000])
    def test_logits_are_bounded_and_rows_whole(self, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
        query, key = inputs()
        module = nn.MultiheadAttention(8, 4, batch_first=True, add_zero_attn=True)
        x, fewer = torch.randn(BATCH, QUERIES, 8), torch.randn(BATCH, KEYS - 1, 8)  # the module adds a key
        shapes = self.count(monkeypatch)
        for measure in (
            lambda: attention_statistics(query, key, max_logits=limit),
            lambda: attention_statistics(query, key[:, :2], enable_gqa=True, max_logits=limit),
            lambda: softmax_statistics(query @ key.mT, max_logits=limit),
            lambda: multihead_statistics(module, x, fewer, max_logits=limit),
        ):
            shapes.clear()
            found = measure()
            assert all(shape[-1] == KEYS for shape in shapes)
            total = sum(shape.numel() for shape in shapes)
            assert total <= max(limit, KEYS)
            assert total >= min(limit, BATCH * HEADS * QUERIES * KEYS) / 3, "much fewer than allowed"
            assert found.entropy is not None

    def test_rows_that_are_left_are_those_said(self) -> None:
        query, key = inputs()
        logits = logits_by_hand(query, key)
        some_queries = of_logits(logits[:1, :, [1, 4]])
        assert_same(attention_statistics(query, key, max_logits=HEADS * 2 * KEYS), some_queries)
        assert_same(softmax_statistics(torch.from_numpy(logits), max_logits=HEADS * 2 * KEYS), some_queries)
        first_entries = of_logits(logits[:2])
        assert_same(attention_statistics(query, key, max_logits=2 * HEADS * QUERIES * KEYS), first_entries)
        some_heads = of_logits(logits[:1, [1, 3]][:, :, [3]])
        assert_same(attention_statistics(query, key, max_logits=2 * KEYS), some_heads)

    def test_queries_that_are_left_keep_their_place(self) -> None:
        query, key = inputs()
        seen = torch.ones(QUERIES, KEYS, dtype=torch.bool).tril()
        some_queries = of_logits(logits_by_hand(query, key, seen)[:1, :, [1, 4]])
        assert_same(attention_statistics(query, key, seen, max_logits=HEADS * 2 * KEYS), some_queries)
        assert_same(attention_statistics(query, key, is_causal=True, max_logits=HEADS * 2 * KEYS), some_queries)

    @pytest.mark.parametrize(("keys", "features"), [(1, 64), (7, 5), (7, 900), (900, 7), (5000, 64)])
    def test_blocks_are_bounded_and_cover_the_choice(
        self, monkeypatch: pytest.MonkeyPatch, keys: int, features: int
    ) -> None:
        monkeypatch.setattr(attention, "_CHUNK", 1000)
        choice = attention._Choice(torch.arange(12), torch.arange(0, 300, 3))
        seen = torch.zeros(12, 300, dtype=torch.int64)
        for pairs, queries in attention._blocks(choice, keys, features):
            seen[pairs.unsqueeze(1), queries] += 1
            assert len(pairs) * keys * features <= 1000 or len(pairs) == 1
            assert len(pairs) * len(queries) * max(keys, features) <= 1000 or len(pairs) * len(queries) == 1
        assert torch.equal(seen[:, ::3], torch.ones(12, 100, dtype=torch.int64))
        assert int(seen.sum()) == 1200

    def test_many_queries_are_thinned_before_entries(self) -> None:
        query = torch.randn(4, 2, 100, 3, dtype=torch.float64)
        logits = logits_by_hand(query, query)
        every_other = of_logits(logits[:, :, torch.arange(50) * 2 + 1])
        assert_same(attention_statistics(query, query, max_logits=4 * 2 * 50 * 100), every_other)

    def test_shared_heads_are_all_looked_at(self) -> None:
        query, key = inputs()
        logits = logits_by_hand(query, key[:, :2].repeat_interleave(2, dim=1))
        found = attention_statistics(query, key[:, :2], enable_gqa=True, max_logits=HEADS * KEYS)
        assert_same(found, of_logits(logits[:1, :, [3]]))

    @pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
    def test_module_leaves_out_the_same(self) -> None:
        module, x = nn.MultiheadAttention(8, 4, batch_first=True).double(), torch.randn(3, 6, 8, dtype=torch.float64)
        mask = torch.randn(3 * 4, 6, 6, dtype=torch.float64)
        padding = torch.tensor([[False] * 4 + [True] * 2] * 2 + [[False] * 6])
        logits = multihead_logits(module, x, x, padding, mask)
        for limit, rows in [(4 * 2 * 6, logits[:1, :, [1, 4]]), (2 * 6, logits[:1, [1, 3]][:, :, [3]])]:
            assert_same(multihead_statistics(module, x, x, padding, mask, max_logits=limit), of_logits(rows))

    def test_memory_is_bounded_when_the_sequence_is_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """16,000 × 16,000 logits of 8 heads in float64 would be 16 GB."""
        query = torch.randn(1, 8, 16_000, 4)
        shapes = self.count(monkeypatch)
        found = attention_statistics(query, query, is_causal=True)
        assert len(shapes) > 1
        assert all(shape.numel() <= attention._CHUNK for shape in shapes)
        assert found.entropy is not None
        assert 0 < found.entropy < math.log(16_000)


class TestSoftmax:
    """Attention written out: the scores are there."""

    @pytest.mark.parametrize("shape", [(3, 4, 6, 7), (12, 6, 7), (6, 7), (7,), (2, 3, 4, 6, 7)], ids=str)
    def test_statistics_when_shapes_vary(self, shape: tuple[int, ...]) -> None:
        scores = torch.randn(shape, dtype=torch.float64)
        assert_same(softmax_statistics(scores), of_logits(numpy(scores)))

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
    def test_statistics_when_less_than_float64(self, dtype: torch.dtype, device: str) -> None:
        scores = torch.randn(3, 4, 6, 7).masked_fill(torch.rand(6, 7) < 0.3, -math.inf).to(device, dtype)
        assert_same(softmax_statistics(scores), of_logits(numpy(scores)))

    def test_statistics_along_another_dimension(self) -> None:
        scores = torch.randn(3, 4, 6, 7, dtype=torch.float64)
        assert_same(softmax_statistics(scores, dim=2), of_logits(numpy(scores.transpose(2, 3))))
        assert_same(softmax_statistics(scores.mT, dim=-2), of_logits(numpy(scores)))

    def test_entropy_of_what_is_known(self) -> None:
        assert softmax_statistics(torch.zeros(2, 2, 3, 8)).entropy == pytest.approx(math.log(8))
        sharp = torch.zeros(2, 2, 3, 8).index_fill(3, torch.tensor(5), 1000.0)
        assert softmax_statistics(sharp) == (1000.0, 0.0)

    def test_rows_that_are_not_finite_are_left_out(self) -> None:
        scores = torch.randn(2, 2, 3, 4, dtype=torch.float64)
        scores[0, 0, 0, 0], scores[1, 1, 1, 1], scores[1, 0, 2] = math.nan, math.inf, -math.inf
        assert_same(softmax_statistics(scores), of_logits(numpy(scores)))

    def test_large_logits_of_half_precision_do_not_overflow(self) -> None:
        query = torch.full((1, 1, 2, 64), 200.0, dtype=torch.float16)
        assert attention_statistics(query, query, scale=1.0).logit_max == 200.0**2 * 64


def multihead_logits(
    module: nn.MultiheadAttention, query: Tensor, key: Tensor, padding: Tensor | None, mask: Tensor | None
) -> np.ndarray:
    """Every logit, as torch itself hands them to softmax."""
    with mock.patch.object(F, "softmax", wraps=F.softmax) as softmax:
        module(query, key, key, key_padding_mask=padding, attn_mask=mask, need_weights=True)
    return numpy(softmax.call_args.args[0].unflatten(0, (-1, module.num_heads)))


MODULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "other keys": {"kdim": 6, "vdim": 6},
    "other keys no bias": {"kdim": 6, "vdim": 6, "bias": False},
    "key bias": {"add_bias_kv": True},
    "zero key": {"add_zero_attn": True},
    "both keys": {"add_bias_kv": True, "add_zero_attn": True},
}
PADDING = torch.tensor([[False] * 7, [False] * 4 + [True] * 3, [False] * 6 + [True]])


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("masked", ["no mask", "rows", "by head", "added", "padding", "both", "padding added"])
@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "length first"])
@pytest.mark.parametrize("settings", MODULES.values(), ids=MODULES.keys())
def test_module_projects_as_torch_does(settings: dict[str, Any], batch_first: bool, masked: str, device: str) -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=batch_first, **settings).double().to(device)
    for parameter in module.parameters():
        nn.init.normal_(parameter)  # biases start at zero, where one that is left out does not show
    query = torch.randn(BATCH, QUERIES, 8, dtype=torch.float64, device=device)
    key = torch.randn(BATCH, KEYS, settings.get("kdim", 8), dtype=torch.float64, device=device)
    if not batch_first:
        query, key = query.transpose(0, 1), key.transpose(0, 1)
    rows = torch.rand(QUERIES, KEYS) < 0.3
    by_head = torch.rand(BATCH * 2, QUERIES, KEYS) < 0.3
    added = torch.randn(QUERIES, KEYS, dtype=torch.float64)
    soft = torch.randn(BATCH, KEYS, dtype=torch.float64).masked_fill(PADDING, -math.inf)
    padding, mask = {
        "no mask": (None, None),
        "rows": (None, rows),
        "by head": (None, by_head),
        "added": (None, added),
        "padding": (PADDING, None),
        "both": (PADDING, by_head),
        "padding added": (soft, added),
    }[masked]
    padding, mask = (None if value is None else value.to(device) for value in (padding, mask))
    wanted = of_logits(multihead_logits(module, query, key, padding, mask))
    assert_same(multihead_statistics(module, query, key, padding, mask), wanted)


@pytest.mark.parametrize("batch_first", [True, False])
def test_module_when_there_is_no_batch(batch_first: bool) -> None:
    module = nn.MultiheadAttention(8, 2, batch_first=batch_first).double()
    query, key = torch.randn(QUERIES, 8, dtype=torch.float64), torch.randn(KEYS, 8, dtype=torch.float64)
    for padding, mask in [(None, None), (PADDING[1], None), (PADDING[2], torch.rand(2, QUERIES, KEYS) < 0.3)]:
        wanted = of_logits(multihead_logits(module, query, key, padding, mask))
        assert_same(multihead_statistics(module, query, key, padding, mask), wanted)


def test_module_when_a_query_has_no_key() -> None:
    module, x = nn.MultiheadAttention(8, 2, batch_first=True).double(), torch.randn(2, 5, 8, dtype=torch.float64)
    padding = torch.tensor([[True] * 5, [False] * 5])
    _, weights = module(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    found = multihead_statistics(module, x, x, padding)
    assert found.entropy == pytest.approx(reference.attention_entropy(numpy(weights)), rel=TOLERANCE)


def test_nothing_when_there_is_nothing_to_read() -> None:
    query = torch.randn(2, 2, 3, 4)
    module = nn.MultiheadAttention(4, 2, batch_first=True)
    assert attention_statistics(query.to("meta"), query.to("meta")) == NOTHING
    assert softmax_statistics(query.to("meta")) == NOTHING
    assert multihead_statistics(module, query[0].to("meta"), query[0].to("meta")) == NOTHING
    for empty in (query[:0], query[:, :0], query[:, :, :0]):
        assert attention_statistics(empty, empty) == NOTHING
        assert softmax_statistics(empty) == NOTHING
    assert attention_statistics(query, query[:, :, :0]) == NOTHING
    assert softmax_statistics(query[..., :0]) == NOTHING
    assert softmax_statistics(torch.tensor(1.0)) == NOTHING
    for empty in (query[0, :0], query[0, :, :0]):
        assert multihead_statistics(module, empty, empty) == NOTHING
    nested = torch.nested.nested_tensor([torch.randn(2, 3, 4), torch.randn(2, 5, 4)], layout=torch.jagged)
    assert attention_statistics(nested, nested) == NOTHING
    assert attention_statistics(query, query, torch.zeros(3, 3, dtype=torch.bool)) == NOTHING


def test_nothing_when_the_projection_is_parametrised() -> None:
    module = nn.MultiheadAttention(4, 2, batch_first=True)
    nn.utils.parametrizations.spectral_norm(module, "in_proj_weight")
    before = copy.deepcopy(module.state_dict())
    x = torch.randn(1, 3, 4)
    assert multihead_statistics(module, x, x) == NOTHING
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


def test_nothing_of_the_caller_moves() -> None:
    query, key = (tensor.requires_grad_() for tensor in inputs())
    module = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(BATCH, QUERIES, 8, requires_grad=True)
    mask = torch.randn(QUERIES, KEYS)
    tensors = [query, key, x, mask, *module.parameters()]
    before = [(tensor.detach().clone(), tensor._version) for tensor in tensors]
    state = torch.get_rng_state()
    attention_statistics(query, key, mask)
    softmax_statistics(query)
    multihead_statistics(module, x, x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close([(t.detach(), t._version) for t in tensors], before, rtol=0, atol=0)
    assert all(tensor.grad is None for tensor in tensors)
