"""The Triton side of ``cuda``; that module alone imports this one, and only when it measures, for triton is large.

In here a *block* is what a program holds in registers at once, a *program* walks over many blocks of one tensor.
"""

import triton
import triton.language as tl

from headwater.kernels.cuda import COUNTS, FIELDS

_COUNTS = tl.constexpr(COUNTS)
_FIELDS = tl.constexpr(FIELDS)

# What `tl.histogram` counts: the 60 octaves below the block's largest magnitude, and four kinds of other elements.
_SLOTS = tl.constexpr(64)
_BELOW_WINDOW = tl.constexpr(60)
_ZERO = tl.constexpr(61)
_INFINITE = tl.constexpr(62)
_REST = tl.constexpr(63)  # NaN, and with it the padding of the last block


# What differs from tensor to tensor by chance must not be compiled anew; whether 16 divides n is worth it, for loads.
@triton.jit(do_not_specialize=["rows", "counts", "rounds"])
def moments_kernel(x, arena, rows, counts, n, rounds, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """One tensor's counts, added to ``arena[counts:]``, and one row of partial moments per program.

    A row is eight float64: the number of finite elements; the exponent e in whose units 2**e the next four are; a shift
    c, Σ(x - c), Σ|x|, Σ(x - c)²; and the smallest and the largest element in their own units. The shift is the mean of
    the program's first block that has one. So what cancels when the row becomes a variance is at most the ratio of the
    elements of all its blocks to those of that one: float64 has the digits for it.

    Args:
        x: Pointer to ``n`` elements.
        arena: Pointer to int64; float64 are stored by their bits.
        rows: Where in the arena the rows begin.
        counts: Where in the arena the counts begin: of zeros, of infinities, and of each exponent.
        n: Elements.
        rounds: Blocks per program.
        BLOCK: Elements per block.
        WIDE: Whether the elements are float64.
    """
    program = tl.program_id(0)
    # 64 bits: a tensor may have more than 2**31 elements.
    start = program.to(tl.int64) * BLOCK
    stride = tl.num_programs(0).to(tl.int64) * BLOCK
    count = tl.full((), 0.0, tl.float64)
    exponent = tl.full((), -1073 if WIDE else -148, tl.int32)
    shift = tl.full((), 0.0, tl.float64)
    total = tl.full((), 0.0, tl.float64)
    abs_total = tl.full((), 0.0, tl.float64)
    squares = tl.full((), 0.0, tl.float64)
    low = tl.full((), float("inf"), tl.float64)
    high = tl.full((), float("-inf"), tl.float64)
    for _ in range(rounds):
        offsets = start + tl.arange(0, BLOCK)
        # Padded with NaN, which every statistic leaves out: only the number of NaN has to know of it.
        block = _widened(tl.load(x + offsets, mask=offsets < n, other=float("nan")), WIDE)
        bits = _magnitude_bits(block, WIDE)
        finite = bits < _infinity_bits(WIDE)
        block_low = tl.min(tl.where(finite, block, float("inf")), 0)
        block_high = tl.max(tl.where(finite, block, float("-inf")), 0)
        peak = tl.where(block_low <= block_high, tl.maximum(block_high, -block_low), 0.0)
        top = tl.maximum(_bin(_magnitude_bits(peak, WIDE), WIDE), 0)  # without a peak, the lowest bin
        n_finite = _count(arena + counts, bits, top, WIDE).to(tl.float64)
        block_exponent = top - (1073 if WIDE else 148)
        mean, block_abs, first, second = _sums(block, finite, n_finite, block_exponent, WIDE)

        raised = tl.maximum(exponent, block_exponent)
        ours = _power_of_two(tl.maximum(exponent - raised, -1022), True)
        theirs = _power_of_two(tl.maximum(block_exponent - raised, -1022), True)
        mean, first, second = mean * theirs, first * theirs, second * theirs * theirs
        shift = tl.where(count == 0.0, mean, shift * ours)
        delta = mean - shift
        total = total * ours + (first + n_finite * delta)
        abs_total = abs_total * ours + block_abs * theirs
        squares = squares * ours * ours + (second + delta * (2.0 * first + n_finite * delta))
        count += n_finite
        exponent = raised
        low = tl.minimum(low, block_low.to(tl.float64))
        high = tl.maximum(high, block_high.to(tl.float64))
        start += stride

    row = arena + rows + program * _FIELDS
    _put(row, count)
    _put(row + 1, exponent.to(tl.float64))
    _put(row + 2, shift)
    _put(row + 3, total)
    _put(row + 4, abs_total)
    _put(row + 5, squares)
    _put(row + 6, low)
    _put(row + 7, high)


@triton.jit
def _widened(block, WIDE: tl.constexpr):
    """The block as float32, or float64 as it was. The bits of a bfloat16 are the upper half of a float32's."""
    if block.dtype == tl.bfloat16:
        block = (block.to(tl.int16, bitcast=True).to(tl.int32) << 16).to(tl.float32, bitcast=True)
    elif not WIDE:
        block = block.to(tl.float32)
    return block


@triton.jit
def _sums(block, finite, n_finite, exponent, WIDE: tl.constexpr):
    """The mean, Σ|x|, Σ(x - mean) and Σ(x - mean)² of a block, in units of 2**exponent, the first as rounded.

    float32 is computed in float32, which is many times faster than float64 on most devices. Σ(x - mean) is what the
    rounding of the mean left over; with it the caller's float64 has the mean and the squares right.
    """
    half = exponent >> 1
    # Two factors, for 2**exponent alone may be no normal number.
    scaled = tl.where(finite, block, 0.0) * _power_of_two(-half, WIDE) * _power_of_two(half - exponent, WIDE)
    mean = tl.sum(scaled, 0) / tl.maximum(n_finite, 1.0).to(scaled.dtype)
    deviation = tl.where(finite, scaled - mean, 0.0)
    abs_total = tl.sum(tl.abs(scaled), 0).to(tl.float64)
    first = tl.sum(deviation, 0).to(tl.float64)
    second = tl.sum(deviation * deviation, 0).to(tl.float64)
    return mean.to(tl.float64), abs_total, first, second


@triton.jit
def _count(counts, bits, top, WIDE: tl.constexpr):
    """Add a block to the tensor's counts; its number of finite elements.

    Neighbours share their exponents: nearly all of a block lies within a few octaves of its largest magnitude. One
    global atomic per element would queue at those few addresses. `tl.histogram` stays inside the program, but over all
    277 or 2098 bins it would take shared memory, and in some releases work per element, in proportion to them. So it
    counts a window of 60 octaves, and with it everything that has no exponent. The window then costs the tensor's
    counts one atomic per bin in use, to neighbouring addresses; elements below it are rare enough to go one by one.
    """
    bins = _bin(bits, WIDE)
    slots = tl.minimum(top - bins, _BELOW_WINDOW)
    slots = tl.where(bits == 0, _ZERO, slots)
    slots = tl.where(bits == _infinity_bits(WIDE), _INFINITE, slots)
    slots = tl.where(bits > _infinity_bits(WIDE), _REST, slots)
    found = tl.histogram(slots, _SLOTS)

    slot = tl.arange(0, _SLOTS)
    place = tl.where(slot < _BELOW_WINDOW, _COUNTS + top - slot, slot - _ZERO)
    wanted = (found > 0) & (slot != _BELOW_WINDOW) & (slot != _REST)
    tl.atomic_add(counts + place, found.to(tl.int64), mask=wanted, sem="relaxed")
    if tl.sum(tl.where(slot == _BELOW_WINDOW, found, 0), 0) > 0:
        tl.atomic_add(counts + _COUNTS + bins, (bits * 0 + 1).to(tl.int64), mask=slots == _BELOW_WINDOW, sem="relaxed")
    return tl.sum(tl.where(slot <= _ZERO, found, 0), 0)


@triton.jit
def _bin(bits, WIDE: tl.constexpr):
    """floor(log₂|x|), counted from the smallest subnormal number, which is bin 0; of zero something negative.

    The fraction of a subnormal number is an integer; as a float of its own it shows where its highest bit is.
    """
    if WIDE:
        fraction = bits.to(tl.float64).to(tl.int64, bitcast=True)
        bins = tl.where(bits >> 52 > 0, (bits >> 52) + 51, (fraction >> 52) - 1023).to(tl.int32)
    else:
        fraction = bits.to(tl.float32).to(tl.int32, bitcast=True)
        bins = tl.where(bits >> 23 > 0, (bits >> 23) + 22, (fraction >> 23) - 127)
    return bins


@triton.jit
def _magnitude_bits(x, WIDE: tl.constexpr):
    """The bits of |x|, which rise with it: infinity is above every number and NaN above infinity."""
    return x.to(tl.int64, bitcast=True) & 0x7FFFFFFFFFFFFFFF if WIDE else x.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def _infinity_bits(WIDE: tl.constexpr):
    return 0x7FF0000000000000 if WIDE else 0x7F800000


@triton.jit
def _power_of_two(exponent, WIDE: tl.constexpr):
    """2**exponent, a normal number, from its bits: no rounding, and no function of the device's library."""
    if WIDE:
        power = ((exponent + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)
    else:
        power = ((exponent + 127) << 23).to(tl.float32, bitcast=True)
    return power


@triton.jit
def _put(cell, value):
    tl.store(cell, value.to(tl.int64, bitcast=True))
