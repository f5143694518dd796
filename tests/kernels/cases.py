"""Tensors that are hard to measure, what ``reference`` says of them, and how close a kernel has to come."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from headwater.kernels import reference
from headwater.records import Moments

NARROW = [torch.float32, torch.bfloat16, torch.float16]
FLOATS = [torch.float64, *NARROW]
NAN, INF = math.nan, math.inf
BLOCK = 4096  # elements that the compiled kernel sums in float32
SIZES = [0, 1, 2, 63, 64, 65, 127, 4095, 4096, 4097, 100_003, 300_000]


@dataclass(frozen=True)
class Tolerance:
    """How close moments have to come.

    Attributes:
        sums: Of Σ|x| and of Σ(x - mean)², relative; of the mean in units of the mean magnitude.
        rounding: What Σ(x - mean)² may be off by beside that, in units of Σx²: it shows where all x are nearly equal.
    """

    sums: float
    rounding: float


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """As many of PyTorch's threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _uniform(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _signs(count: int) -> Tensor:
    return normal(count, seed=1).sign()


def _but(values: Tensor, other: float, *places: int) -> Tensor:
    values = values.clone()
    values[list(places)] = other
    return values


def _alternating(count: int, *values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).repeat(count // len(values))


def _full(value: float, count: int = 3 * BLOCK + 70) -> Tensor:
    return torch.full((count,), value, dtype=torch.float64)


THREE = 3 * BLOCK + 70  # elements: three blocks, a shorter one, and a few that fill no vector
SPECIAL = [0.0, -0.0, NAN, INF, -INF, 1.0, -2.5, 1e-3, 6e-8, 1e-40, 1e-45, 5e-324, 1e-300, -1e300]

VALUES: dict[str, Callable[[], Tensor]] = {
    "zeros": lambda: _full(0.0),
    "negative zeros": lambda: _full(-0.0),
    "zeros of both signs": lambda: _alternating(THREE, 0.0, -0.0),
    "all nan": lambda: _full(NAN),
    "all inf": lambda: _alternating(THREE, INF, -INF),
    "special": lambda: torch.tensor(SPECIAL, dtype=torch.float64),
    "many special": lambda: torch.tensor(SPECIAL * 800, dtype=torch.float64),
    "nan in one block": lambda: _but(normal(THREE), NAN, BLOCK + 7),
    "inf in one block": lambda: _but(normal(THREE), INF, 2 * BLOCK + 4095),
    "-inf in the first place": lambda: _but(normal(THREE), -INF, 0),
    "nan in the last place": lambda: _but(normal(THREE), NAN, THREE - 1),
    "nan in the last group": lambda: _but(normal(THREE), NAN, 3 * BLOCK + 63),
    "nan and inf, then numbers": lambda: torch.cat([_full(NAN, BLOCK), 3.0 + normal(BLOCK), _full(INF, BLOCK)]),
    "1e-30": lambda: 1e-30 * normal(THREE),
    "1e-38": lambda: 1e-38 * normal(THREE),
    "1e-43": lambda: 1e-43 * normal(THREE),
    "1e-6": lambda: 1e-6 * normal(THREE),
    "1e30": lambda: 1e30 * normal(THREE),
    "1e-300": lambda: 1e-300 * normal(THREE),
    "1e-315": lambda: 1e-315 * normal(THREE),
    "1e300": lambda: 1e300 * normal(THREE),
    "positive": lambda: normal(THREE).abs(),
    "negative": lambda: -normal(THREE).abs(),
    "outputs of relu": lambda: normal(THREE).relu(),
    "mostly zeros": lambda: normal(THREE) * (_uniform(THREE) < 0.01),
    "one number among zeros": lambda: _but(_full(0.0), -3.0, BLOCK + 100),
    "zeros, then 1e-20": lambda: torch.cat([_full(0.0, 9_000), 1e-20 * normal(9_000)]),
    "1e-20, then zeros": lambda: torch.cat([1e-20 * normal(9_000), _full(0.0, 9_000)]),
    "around 1e4": lambda: 1e4 + 1e-2 * normal(50_003),
    "drift around 1e4": lambda: 1e4 + torch.linspace(-0.1, 0.1, 20_000, dtype=torch.float64),
    "around -1e-4": lambda: -1e-4 + 1e-9 * normal(THREE),
    "1e-20, then 1e20": lambda: torch.cat([1e-20 * normal(9_000), 1e20 * normal(9_000)]),
    "1e20, then 1e-20": lambda: torch.cat([1e20 * normal(9_000), 1e-20 * normal(9_000)]),
    "1e-300, then 1e300": lambda: torch.cat([1e-300 * normal(9_000), 1e300 * normal(9_000)]),
    "1e300, then 1e-300": lambda: torch.cat([1e300 * normal(9_000), 1e-300 * normal(9_000)]),
    "1e-3, then 1e3": lambda: torch.cat([1e-3 * normal(9_000), 1e3 * normal(9_000)]),
    "1e-40, then 1e-33": lambda: torch.cat([1e-40 * normal(BLOCK), 1e-33 * normal(BLOCK), 1e-25 * normal(BLOCK)]),
    # The first elements say what to expect of a block; those 2**±33 away from the rest must not be believed.
    "first elements small": lambda: _but(2.0**63 * (1.5 + normal(THREE)), 2.0**30, *range(8)),
    "first elements large": lambda: _but(2.0**-70 * (1.5 + normal(THREE)), 2.0**-30, *range(8)),
    "first block large": lambda: torch.cat([2.0**-31 * normal(BLOCK), 2.0**-69 * normal(9_000)]),
    "first block small": lambda: torch.cat([2.0**31 * normal(BLOCK), 2.0**69 * normal(9_000)]),
    "first elements 100": lambda: _but(normal(THREE), 100.0, *range(8)),
    "sorted": lambda: normal(THREE).sort().values,
    "sorted downwards": lambda: normal(THREE).sort(descending=True).values,
    "ramp": lambda: torch.linspace(-1.0, 1e6, 20_000, dtype=torch.float64),
    "constant 0.1": lambda: _full(0.1),
    "constant -1/3": lambda: _full(-1 / 3),
    "constant 1": lambda: _full(1.0),
    "constant 1e-30": lambda: _full(1e-30),
    "neighbours": lambda: _alternating(THREE, 1.0, 1.0 + 2.0**-7),
    "alternating": lambda: _alternating(THREE, 0.1, -0.1),
    "alternating between two": lambda: _alternating(THREE, 0.3, 0.7),
    "outlier first": lambda: _but(1e-3 * normal(THREE), 1e6, 0),
    "outlier amid": lambda: _but(1e-3 * normal(THREE), -1e6, BLOCK + 1_000),
    "outlier last": lambda: _but(1e-3 * normal(THREE), 1e6, THREE - 1),
    "outlier of 1e30": lambda: _but(1e-10 * normal(THREE), 1e30, 5_000),
    # The least element of a large block is exact, though sums are in units in which it is subnormal.
    "small beside 3e38": lambda: _but(_full(3e38), 1.1e-3, 100),
    "1e-42 beside 1": lambda: _but(_full(1.0), 1.1e-42, 100),
    "1e-44 beside 1e-30": lambda: torch.cat([_full(1e-30, 64), _full(1e-44, BLOCK)]),
    "powers of two": lambda: torch.tensor([2.0**e for e in range(-1074, 1024)], dtype=torch.float64),
    "negative powers of two": lambda: -torch.tensor([2.0**e for e in range(-150, 128)] * 30, dtype=torch.float64),
    "all magnitudes": lambda: _signs(THREE) * 10.0 ** (-45.0 + 83.0 * _uniform(THREE)),
    "all magnitudes upwards": lambda: _signs(THREE) * 10.0 ** torch.linspace(-45.0, 38.0, THREE, dtype=torch.float64),
    "all magnitudes of float64": lambda: _signs(THREE) * 10.0 ** torch.linspace(-320, 308, THREE, dtype=torch.float64),
}
"""In float64, to be converted to any dtype: what one calls huge is Inf in another, which is a case of its own."""


def of_dtype(name: str, dtype: torch.dtype) -> Tensor:
    """One of ``VALUES`` or ``LIMITS`` in a dtype."""
    return VALUES[name]().to(dtype) if name in VALUES else LIMITS[name](torch.finfo(dtype)).to(dtype)


LIMITS: dict[str, Callable[[torch.finfo], Tensor]] = {
    "smallest": lambda info: _alternating(THREE, 1.0, -1.0) * (info.smallest_normal * info.eps),
    "subnormals": lambda info: info.smallest_normal * (2 * _uniform(THREE) - 1),
    "subnormals and zeros": lambda info: info.smallest_normal * normal(THREE).relu().clamp(max=0.99),
    "subnormals and others": lambda info: 2 * info.smallest_normal * normal(THREE),
    "one subnormal": lambda info: _but(_full(0.0), info.smallest_normal / 4, THREE - 80),
    "largest subnormal": lambda info: _full(info.smallest_normal * (1 - info.eps)),
    "smallest normal": lambda info: _full(info.smallest_normal),
    "largest": lambda info: _alternating(THREE, info.max, -info.max),
    "largest, one sign": lambda info: _full(info.max),
    "largest and smallest": lambda info: _alternating(THREE, info.max, info.smallest_normal * info.eps),
}
"""Which values these are depends on the dtype."""

STRIDES: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, 2),
    "permuted": lambda t: t.permute(2, 0, 1)[1:],
    "stepped": lambda t: t[::2, 1::3, ::5],
    "channels last": lambda t: t[None].contiguous(memory_format=torch.channels_last),
    "channels last in 3d": lambda t: t[None, None].contiguous(memory_format=torch.channels_last_3d),
    "channels last, sliced": lambda t: t[None].contiguous(memory_format=torch.channels_last)[:, :, 1:],
    "expanded": lambda t: t[:, :1].expand(-1, 4, -1),
    "expanded number": lambda t: t[0, 0, :1].expand(5_000),
    "offset": lambda t: t.flatten()[3:1_040],
    "flipped": lambda t: t.flip(0),
    "gaps and ones": lambda t: t[:, ::2, :1],
    "a size of one": lambda t: t.as_strided((5, 1, 7), (1, 99, 5)),
    "overlapping": lambda t: t.flatten().as_strided((100, 9), (1, 1)),
    "diagonal": lambda t: t.diagonal(dim1=1, dim2=2),
    "a number": lambda t: t[1, 2, 3],
    "nothing": lambda t: t[:, :0],
    "a parameter": torch.nn.Parameter,
    "of a graph": lambda t: torch.nn.Parameter(t) * 2,
    "negated lazily": torch._neg_view,
    "negated lazily, transposed": lambda t: torch._neg_view(t).transpose(0, 1),
    "a number negated lazily": lambda t: torch._neg_view(t[0, 0, :1]),
}
"""Views of a tensor of three dimensions."""


def expected(tensor: Tensor) -> Moments:
    """What ``reference`` says."""
    tiny = torch.finfo(tensor.dtype).tiny if tensor.is_floating_point() else 0.0
    return reference.moments(as_numpy(tensor), tiny)


@cache
def expected_of(name: str, dtype: torch.dtype) -> Moments:
    """What ``reference`` says of one of ``VALUES`` or ``LIMITS``; it is slow, and several kernels ask."""
    return expected(of_dtype(name, dtype))


@cache
def expected_of_normal(size: int, dtype: torch.dtype) -> Moments:
    return expected(normal(size, dtype=dtype))


def as_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().resolve_neg().to(torch.float64).numpy()


def assert_same(result: Moments, wanted: Moments, tolerance: Tolerance) -> None:
    """Counts, bounds and histogram are equal, and the moments as good as can be asked for.

    Args:
        result: In units of any power of two.
        wanted: From ``reference``.
        tolerance: Of the kernel.
    """
    for name in ("count", "nan_count", "inf_count", "zero_count", "subnormal_count", "min", "max"):
        assert getattr(result, name) == getattr(wanted, name), name
    assert result.log2_histogram == wanted.log2_histogram
    units = result.exponent - wanted.exponent
    mean, abs_mean = math.ldexp(result.scaled_mean, units), math.ldexp(result.scaled_abs_mean, units)
    m2 = math.ldexp(result.scaled_m2, 2 * units)
    assert abs(abs_mean - wanted.scaled_abs_mean) <= tolerance.sums * wanted.scaled_abs_mean
    assert abs(mean - wanted.scaled_mean) <= tolerance.sums * wanted.scaled_abs_mean
    squares = wanted.scaled_m2 + wanted.finite_count * wanted.scaled_mean**2
    assert abs(m2 - wanted.scaled_m2) <= tolerance.sums * wanted.scaled_m2 + tolerance.rounding * squares
    assert m2 >= 0.0


@dataclass(frozen=True)
class Format:
    """How the numbers of a dtype are written: one bit of sign, then these."""

    dtype: torch.dtype
    integers: type[np.unsignedinteger]
    exponent_bits: int
    mantissa_bits: int

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    def tensor(self, bits: np.ndarray) -> Tensor:
        """The numbers with these bits, whatever they mean."""
        signed = bits.astype(self.integers).view(f"i{self.bits // 8}")
        return torch.from_numpy(signed).view(self.dtype)


FORMATS = [
    Format(torch.float64, np.uint64, 11, 52),
    Format(torch.float32, np.uint32, 8, 23),
    Format(torch.bfloat16, np.uint16, 8, 7),
    Format(torch.float16, np.uint16, 5, 10),
]


@st.composite
def any_bits(draw: st.DrawFn, written: Format, most: int = 300) -> np.ndarray:
    """Bits of numbers: each drawn for itself, so that a failure can be made small."""
    words = draw(st.lists(st.integers(0, (1 << written.bits) - 1), max_size=most))
    return np.array(words, written.integers)


@st.composite
def blocks_of_bits(draw: st.DrawFn, written: Format) -> np.ndarray:
    """Bits of long stretches of numbers, each stretch with exponents and signs of its own, as blocks differ."""
    last = (1 << written.exponent_bits) - 1
    stretches = []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([1, 9, 64, 200, 4_000, 4_096, 5_000]))
        low = draw(st.integers(0, last))
        high = min(last, low + draw(st.sampled_from([0, 1, 7, 30, 60, last])))
        generator = np.random.default_rng(draw(st.integers(0, 1 << 16)))
        exponents = generator.integers(low, high + 1, size, np.uint64)
        mantissas = generator.integers(0, 1 << written.mantissa_bits, size, np.uint64)
        if draw(st.booleans()):
            mantissas &= np.uint64(draw(st.sampled_from([0, 1, 3])))
        signs = generator.choice(np.array(draw(st.sampled_from([[0], [1], [0, 1]])), np.uint64), size)
        words = (signs << np.uint64(written.bits - 1)) | (exponents << np.uint64(written.mantissa_bits)) | mantissas
        stretches.append(words.astype(written.integers))
    return np.concatenate(stretches)
