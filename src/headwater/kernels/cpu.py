"""The statistics of tensors in main memory: one fused pass, compiled by numba and kept on disk.

A tensor is read once, in blocks of 4,096 elements: sums run in float32 vector registers, block totals go on in float64.
Each block is scaled by a power of two, so that the squares of 1e-30 and of 1e30 survive, and shifted by the mean of the
block before, so that a small spread around a large mean does. A block whose magnitudes are 1e12 apart from what was
expected is read again with other expectations, one with NaN or Inf in float64, element by element.

Nothing here depends on whether the CPU takes subnormal numbers for zero (``torch.set_flush_denormal``): where they
matter, arithmetic is on their bits.

A *row* holds what is known of one tensor as 64-bit words: counts as integers, moments as float64.
"""

import math
import warnings
from functools import partial

import numba
import numpy as np

from headwater.kernels._simd import (
    GROUP,
    LIFT,
    array_at,
    bytes_below,
    call_at,
    count_four_bytes,
    float64_of,
    leading_zeros,
    lowest_bit,
    prefetch,
    scan_of,
    signs_of,
    stack_of,
)

SIMD = "b30068d1485cea71"
"""Of what ``_simd.py`` says: code on disk is taken for current as long as this file is the same, so it names the other.

A test tells when it has to be another.
"""

FLOAT32, BFLOAT16, FLOAT16, FLOAT64 = 0, 1, 2, 3

COUNT, NAN, INF, ZERO, MEAN, ABS_SUM, M2, MIN, MAX, EXPONENT, HISTOGRAM = range(11)
"""Places in a row; ``MEAN``, ``ABS_SUM`` and ``M2`` are in units of 2**``EXPONENT``."""

LOWEST = -149  # floor(log₂) of the smallest float32, the first bin of the histogram
BINS = 277
ROW = HISTOGRAM + BINS + 1  # words

LOWEST_WIDE = -1074  # the same of float64
BINS_WIDE = 2098
ROW_WIDE = HISTOGRAM + BINS_WIDE

_SMALLEST = 2.0**-149  # float32
_MAGNITUDE_WIDE = 0x7FFFFFFFFFFFFFFF  # these three are bits of float64
_INFINITY_WIDE = 0x7FF0000000000000
_LARGEST_WIDE = 0x7FEFFFFFFFFFFFFF

_BLOCK = 4096
_AHEAD = 2 * _BLOCK  # elements: so far before its turn a block is fetched (benchmarks/kernels.py)
_COMFORTABLE = 40  # exponents around 2**0 of which float32 holds the squares, and their sums over a block
_LOW = 41  # exponent (with bias) below which subnormal numbers may count beside a block's largest element
_LIFTED_COMFORTABLE = 25  # exponents above those of which the lifted scan still holds the squares
_CANCELLATION = 1.0  # mean² over variance from which on a block is scanned again around its own mean
_TOO_FAR = 2.0  # the same of the expected mean over the mean magnitude: a few large numbers have raised it
_RUNS_AHEAD = 4
_SHORT_RUN = 256  # elements: a longer one is fetched well enough by the CPU itself
_SHORT_SUM = 512  # elements: with as many sums of them, rounding takes 1e-13 of the sum of magnitudes at most
_ROUNDS = 6  # of four bins each, before the rare elements of a block are counted one by one
_FEW = 24

_scan_float32 = scan_of("float32")
_scan_bfloat16 = scan_of("bfloat16")
_scan_float16 = scan_of("float16")
_scan_lifted_float32 = scan_of("float32", lifted=True)
_scan_lifted_bfloat16 = scan_of("bfloat16", lifted=True)
_signs_float32 = signs_of("float32")
_signs_bfloat16 = signs_of("bfloat16")
_signs_float16 = signs_of("float16")
_scratch = stack_of(_BLOCK)


def _kept(compiler):
    """A decorator that compiles at once and keeps the code on disk; where no folder can be written to, it does not."""

    def compiled(function):
        try:
            return compiler(cache=True)(function)
        except (OSError, RuntimeError):  # numba's own errors are neither
            warnings.warn(
                "headwater compiles its kernels again in every process, for half a minute: no folder to keep them in "
                "can be written to. Set NUMBA_CACHE_DIR to one.",
                stacklevel=1,  # the same for every function, so that it is said once
            )
            return compiler()(function)

    return compiled


def _callable(signature):
    """Compiled, to be called from Python; other threads run meanwhile."""
    return _kept(partial(numba.njit, signature, nogil=True))


def _callback(function):
    """Compiled, to be called by OpenMP with the address of its work."""
    return _kept(partial(numba.cfunc, "void(voidptr)"))(function)


@numba.njit(inline="always")
def _size(kind):
    return 4 if kind == FLOAT32 else 2


@numba.njit(nogil=True)
def _scan(kind, lifted, address, groups, scale, shift, exponents, ahead):
    if lifted and kind == FLOAT32:
        return _scan_lifted_float32(address, groups, scale, shift, exponents, ahead)
    if lifted and kind == BFLOAT16:  # a float16 is never that small
        return _scan_lifted_bfloat16(address, groups, scale, shift, exponents, ahead)
    if kind == FLOAT32:
        return _scan_float32(address, groups, scale, shift, exponents, ahead)
    if kind == BFLOAT16:
        return _scan_bfloat16(address, groups, scale, shift, exponents, ahead)
    return _scan_float16(address, groups, scale, shift, exponents, ahead)


@numba.njit(nogil=True)
def _signs(kind, address, groups):
    if kind == FLOAT32:
        return _signs_float32(address, groups)
    if kind == BFLOAT16:
        return _signs_bfloat16(address, groups)
    return _signs_float16(address, groups)


@numba.njit(nogil=True)
def _float32_bits(kind, address, index):
    """The element as the bits of a float32."""
    if kind == FLOAT32:
        return np.int64(numba.carray(array_at(address, np.uint32), index + 1)[index])
    short = np.int64(numba.carray(array_at(address, np.uint16), index + 1)[index])
    if kind == BFLOAT16:
        return short << 16
    sign, unsigned = (short & 0x8000) << 16, short & 0x7FFF
    if unsigned >= 0x7C00:
        return sign | 0x7F800000 | (unsigned << 13)
    if unsigned >= 0x0400:
        return sign | ((unsigned << 13) + ((127 - 15) << 23))
    if unsigned == 0:
        return sign
    top = 63 - leading_zeros(unsigned)  # of a subnormal number, in units of 2**-24
    return sign | ((top - 24 + 127) << 23) | ((unsigned << (23 - top)) & 0x7FFFFF)


@numba.njit(nogil=True)
def _value(bits):
    """The bits of a float32 as a float64, also where the CPU takes subnormal numbers for zero."""
    unsigned = bits & 0x7FFFFFFF
    unsigned = bits & 0x7FFFFFFF
    if unsigned < 1 << 23:
        return np.float64(unsigned) * (-_SMALLEST if bits & 0x80000000 else _SMALLEST)
    exponents_between = 2047 - 255 if unsigned >= 0x7F800000 else 1023 - 127
    return float64_of(((bits & 0x80000000) << 32) | ((unsigned << 29) + (exponents_between << 52)))


@numba.njit(nogil=True)
def _add_to_row(numbers, counts, count, mean, m2, abs_sum, low, high):
    """Chan's formula: moments of ``count`` finite elements join those of the row, whose exponent is 0."""
    before = counts[COUNT] - counts[NAN] - counts[INF]
    total = before + count
    step = mean - numbers[MEAN]
    numbers[M2] += m2 + step * step * (before * (count / total))
    numbers[MEAN] += step * (count / total)
    numbers[ABS_SUM] += abs_sum
    numbers[MIN] = min(numbers[MIN], low)
    numbers[MAX] = max(numbers[MAX], high)
    counts[COUNT] += count


@numba.njit(nogil=True)
def _carefully(kind, address, count, numbers, counts):
    """Elements one by one in float64: the last few of a tensor, and blocks with NaN, Inf or far-away magnitudes."""
    finite, total, magnitude, low, high = 0, 0.0, 0.0, math.inf, -math.inf
    for i in range(count):
        bits = _float32_bits(kind, address, i)
        unsigned = bits & 0x7FFFFFFF
        if unsigned >= 0x7F800000:
            counts[NAN if unsigned > 0x7F800000 else INF] += 1
            counts[COUNT] += 1
            continue
        if unsigned == 0:
            counts[ZERO] += 1
        else:
            counts[HISTOGRAM + _log2(unsigned) - LOWEST] += 1
        value = _value(bits)
        finite += 1
        total += value
        magnitude += abs(value)
        low, high = min(low, value), max(high, value)
    if finite == 0:
        return
    mean, m2 = total / finite, 0.0
    for i in range(count):
        bits = _float32_bits(kind, address, i)
        if bits & 0x7FFFFFFF < 0x7F800000:
            m2 += (_value(bits) - mean) ** 2
    _add_to_row(numbers, counts, finite, mean, m2, magnitude, low, high)


@numba.njit(nogil=True)
def _log2(unsigned):
    """The floor of log₂ of a positive float32, given its bits."""
    exponent = unsigned >> 23
    return exponent - 127 if exponent > 0 else (63 - leading_zeros(unsigned)) - 149


@numba.njit(nogil=True)
def _count_exponents(kind, address, groups, exponents, top, zero_count, counts):
    """Add a block to the histogram: bin by bin from the top with vectors, the last few elements one by one."""
    left = GROUP * groups - zero_count
    value = top
    rounds = 0
    while left > _FEW and rounds < _ROUNDS and value > 3:
        four = count_four_bytes(exponents, groups, value)
        for j in range(4):
            counts[HISTOGRAM + value - j - 127 - LOWEST] += four[j]
            left -= four[j]
        value -= 4
        rounds += 1
    if left == 0:
        return
    lookup = numba.carray(array_at(exponents, np.uint8), GROUP * groups)
    for group in range(groups):
        mask = bytes_below(exponents + group * GROUP, value + 1)
        while mask != 0:
            i = lowest_bit(mask)
            mask &= mask - 1
            counts[HISTOGRAM + np.int64(lookup[group * GROUP + i]) - 127 - LOWEST] += 1
            left -= 1
    if left == 0:
        return
    for i in range(GROUP * groups):  # subnormal float32 numbers: their exponent byte is 0 like that of a zero
        unsigned = _float32_bits(kind, address, i) & 0x7FFFFFFF
        if 0 < unsigned < 1 << 23:
            counts[HISTOGRAM + _log2(unsigned) - LOWEST] += 1


@numba.njit(nogil=True)
def _block(kind, address, groups, ahead, exponents, shift, around, numbers, counts):
    """One block into the row; gives its mean and the exponent of its largest element, both to expect in the next.

    Args:
        kind: Of the elements.
        address: Of the first.
        groups: Sixty-fourths of the block's size.
        ahead: Address of the block to fetch meanwhile.
        exponents: Address of a byte per element to work with.
        shift: The mean to expect.
        around: The float32 exponent (with bias) to expect of the largest element.
        numbers: The row as float64.
        counts: The row as integers.
    """
    count = GROUP * groups
    lifted = around < _LOW
    scale = np.float32(1.0) if lifted or abs(around - 127) < _COMFORTABLE else _power_of_two(127 - around)
    up, down = np.float64(scale), 1.0 / np.float64(scale)
    if lifted:
        up, down = 2.0**LIFT, 2.0**-LIFT
    low, high, total, magnitude, square, zeros = _scan(
        kind, lifted, address, groups, scale, np.float32(shift * up), exponents, ahead
    )
    exponent = max(low & 0x7FFFFFFF, high & 0x7FFFFFFF) >> 23
    if exponent == 255:
        _carefully(kind, address, count, numbers, counts)
        return shift, around
    if zeros == count:
        _add_to_row(numbers, counts, count, 0.0, 0.0, 0.0, 0.0, 0.0)
        counts[ZERO] += zeros
        return 0.0, around
    if not _as_expected(exponent, around):
        return _block(kind, address, groups, address, exponents, 0.0, exponent, numbers, counts)
    offset = total / count
    cancelled = offset * offset * count > _CANCELLATION * (square - offset * offset * count)
    if cancelled or abs(shift * up) * count > _TOO_FAR * magnitude:
        shift += offset * down
        low, high, total, magnitude, square, zeros = _scan(
            kind, lifted, address, groups, scale, np.float32(shift * up), exponents, ahead
        )
        offset = total / count
    mean = (np.float64(np.float32(shift * up)) + offset) * down
    m2 = max(0.0, square - offset * offset * count) * down * down
    _add_to_row(numbers, counts, count, mean, m2, magnitude * down, _value(low), _value(high))
    counts[ZERO] += zeros
    _count_exponents(kind, address, groups, exponents, exponent, zeros, counts)
    return mean, exponent


@numba.njit(nogil=True)
def _as_expected(exponent, around):
    """Whether sums over a block are good, if its largest element has one exponent and another one was expected."""
    if around < _LOW:
        return exponent < _LOW + _LIFTED_COMFORTABLE
    scaled_to = 127 if abs(around - 127) < _COMFORTABLE else around
    return exponent >= _LOW and abs(exponent - scaled_to) < _COMFORTABLE


@numba.njit(nogil=True)
def _power_of_two(exponent):
    return np.float32(math.ldexp(1.0, max(-126, min(127, exponent))))


@numba.njit(nogil=True)
def _clear(numbers, counts):
    counts[:] = 0
    numbers[MIN], numbers[MAX] = math.inf, -math.inf


@numba.njit(nogil=True)
def _part(kind, address, count, row, width=0, coherence=0):
    """Consecutive elements into a row that is cleared first, and how coherent the signs of each unit's are.

    Args:
        kind: Of the elements.
        address: Of the first.
        count: How many.
        row: Address of the row.
        width: Elements of a unit; 0 if signs are not asked for.
        coherence: Address of two float64, for Σ |Σ sign| / n over units whose elements have signs, and their number.
    """
    counts = numba.carray(array_at(row, np.int64), ROW)
    numbers = numba.carray(array_at(row, np.float64), ROW)
    _clear(numbers, counts)
    exponents = _scratch()
    shift, around, start = 0.0, 127, 0
    sign_sum, units, above, below = 0.0, 0, 0, 0
    if count >= GROUP:
        shift, around = _expectation(kind, address)
    while start < count:
        size = min(_BLOCK, count - start)
        here = address + start * _size(kind)
        if size >= GROUP:
            size -= size % GROUP
            ahead = here + _AHEAD * _size(kind) if start + size + _AHEAD <= count else here
            shift, around = _block(kind, here, size // GROUP, ahead, exponents, shift, around, numbers, counts)
        else:
            _carefully(kind, here, size, numbers, counts)
        done = start
        start += size
        while width > 0 and done < start:  # signs while the block is in the cache
            end = min(start, done + width - done % width)
            more_above, more_below = _count_signs(kind, address + done * _size(kind), end - done)
            above, below, done = above + more_above, below + more_below, end
            if end % width == 0:
                if above + below > 0:
                    sign_sum += abs(above - below) / (above + below)
                    units += 1
                above, below = 0, 0
    if width > 0:
        result = numba.carray(array_at(coherence, np.float64), 2)
        result[0], result[1] = sign_sum, units


@numba.njit(nogil=True)
def _count_signs(kind, address, count):
    """How many elements are above and below zero, infinities too."""
    groups = count // GROUP
    above, below = 0, 0
    if groups > 0:
        above, below = _signs(kind, address, groups)
    for i in range(groups * GROUP, count):
        bits = _float32_bits(kind, address, i)
        if 0 < (bits & 0x7FFFFFFF) <= 0x7F800000:
            if bits & 0x80000000:
                below += 1
            else:
                above += 1
    return above, below


@numba.njit(nogil=True)
def _expectation(kind, address):
    """Mean and largest exponent of the first elements, as far as they are finite."""
    total, top = 0.0, 0
    for i in range(8):
        bits = _float32_bits(kind, address, i)
        if (bits & 0x7FFFFFFF) >= 0x7F800000:
            return 0.0, 127
        total += _value(bits)
        top = max(top, (bits & 0x7FFFFFFF) >> 23)
    return total / 8, (top if top > 0 else 127)


@numba.njit(nogil=True)
def _join(row, other):
    """Add what another row holds."""
    counts, more = numba.carray(array_at(row, np.int64), ROW), numba.carray(array_at(other, np.int64), ROW)
    numbers, further = numba.carray(array_at(row, np.float64), ROW), numba.carray(array_at(other, np.float64), ROW)
    finite = more[COUNT] - more[NAN] - more[INF]
    if finite > 0:
        _add_to_row(numbers, counts, finite, further[MEAN], further[M2], further[ABS_SUM], further[MIN], further[MAX])
    counts[COUNT] += more[NAN] + more[INF]
    for place in (NAN, INF, ZERO):
        counts[place] += more[place]
    for place in range(HISTOGRAM, HISTOGRAM + BINS):
        counts[place] += more[place]


@_callable("void(int64, int64, int64, int64)")
def summarise(kind, address, count, row):
    """All elementwise statistics of ``count`` consecutive elements at ``address``.

    Args:
        kind: ``FLOAT32``, ``BFLOAT16`` or ``FLOAT16``.
        address: Of the first element.
        count: Elements, ≥ 0.
        row: Address of ``ROW`` words, which are overwritten.
    """
    _part(kind, address, count, row)


@_callable("void(int64, int64, int64)")
def join(row, others, parts):
    """Write into one row what ``parts`` rows, one after the other, hold together."""
    _clear(numba.carray(array_at(row, np.float64), ROW), numba.carray(array_at(row, np.int64), ROW))
    for part in range(parts):
        _join(row, others + part * ROW * 8)


@_callback
def summarise_share(job):
    """One thread's share of a job: the words kind, address, count, parts, rows, and two functions of OpenMP.

    The functions tell the thread's number and how many there are; part ``i`` is written to row ``i`` of ``rows``.
    """
    words = numba.carray(job, 7, np.int64)
    kind, address, count, parts, rows = words[0], words[1], words[2], words[3], words[4]
    thread, threads = call_at(words[5]), call_at(words[6])
    size = -(-count // (parts * _BLOCK)) * _BLOCK
    for part in range(thread, parts, threads):
        start = min(count, part * size)
        _part(kind, address + start * _size(kind), min(count, start + size) - start, rows + part * ROW * 8)


@numba.njit(nogil=True)
def _from_signed(signed):
    """The float64 of a magnitude's bits with a sign."""
    return float64_of(signed if signed >= 0 else -signed | ~_MAGNITUDE_WIDE)


@numba.njit(nogil=True)
def _wide_sums(bits, exponent, shift):
    """Σ d, Σ |s| and Σ d² of finite float64, s = x · 2**-exponent and d = s - shift, in short sums of short sums.

    Args:
        bits: Of the elements, as integers.
        exponent: Such that the largest |s| is from 1/2 to 1.
        shift: In units of s.
    """
    first = math.ldexp(1.0, -(exponent // 2))
    second = math.ldexp(1.0, exponent // 2 - exponent)
    # Beside large numbers those that are subnormal add nothing, and their unit in terms of s would be subnormal too.
    smallest = math.ldexp(1.0, -1074 - exponent) if exponent < -100 else 0.0
    total, magnitude, square = 0.0, 0.0, 0.0
    for start in range(0, len(bits), _SHORT_SUM):
        part, part_magnitude, part_square = 0.0, 0.0, 0.0
        for i in range(start, min(len(bits), start + _SHORT_SUM)):
            unsigned = bits[i] & _MAGNITUDE_WIDE
            if unsigned >= _INFINITY_WIDE:
                continue
            normal = unsigned >= 1 << 52
            scaled = float64_of(unsigned) * first * second if normal else np.float64(unsigned) * smallest
            part_magnitude += scaled
            deviation = (scaled if bits[i] >= 0 else -scaled) - shift
            part += deviation
            part_square += deviation * deviation
        total += part
        magnitude += part_magnitude
        square += part_square
    return total, magnitude, square


@_callable("void(int64, int64, int64)")
def summarise_wide(address, count, row):
    """The same for float64, in units of a power of two that is found on the way.

    Args:
        address: Of the first element.
        count: Elements, ≥ 0.
        row: Address of ``ROW_WIDE`` words, which are overwritten.
    """
    counts = numba.carray(array_at(row, np.int64), ROW_WIDE)
    numbers = numba.carray(array_at(row, np.float64), ROW_WIDE)
    bits = numba.carray(array_at(address, np.int64), count)
    _clear(numbers, counts)
    low, high = np.int64(_LARGEST_WIDE), -np.int64(_LARGEST_WIDE)
    for i in range(count):
        unsigned = bits[i] & _MAGNITUDE_WIDE
        exponent = unsigned >> 52
        if exponent == 2047:
            counts[NAN if unsigned > _INFINITY_WIDE else INF] += 1
            continue
        if unsigned == 0:
            counts[ZERO] += 1
        else:
            place = exponent - 1023 if exponent > 0 else (63 - leading_zeros(unsigned)) - 1074
            counts[HISTOGRAM + place - LOWEST_WIDE] += 1
        signed = unsigned if bits[i] >= 0 else -unsigned  # in the order of the numbers
        low, high = min(low, signed), max(high, signed)
    counts[COUNT] = count
    finite = count - counts[NAN] - counts[INF]
    if finite == 0:
        return
    numbers[MIN], numbers[MAX] = _from_signed(low), _from_signed(high)
    top = max(abs(low), abs(high))
    if top == 0:
        return
    exponent = (top >> 52) - 1022 if top >> 52 > 0 else (64 - leading_zeros(top)) - 1074
    mean, magnitude, _ = _wide_sums(bits, exponent, 0.0)
    mean /= finite
    left, _, m2 = _wide_sums(bits, exponent, mean)
    # What is left of the sum of deviations is what rounding took from the mean.
    numbers[MEAN], numbers[ABS_SUM], counts[EXPONENT] = mean + left / finite, magnitude, exponent
    numbers[M2] = max(0.0, m2 - left * (left / finite))


CELLS = 1 << 16  # one per upper half of a float32's bits: a 128th of its magnitude wide


JUMP = np.dtype([("bits", np.int64), ("before", np.float32), ("after", np.float32)])
"""A place in a cell where φ′ jumps: from these bits on it is ``after``, and before them ``before``."""


@numba.njit(nogil=True)
def _beside_jump(bits, jumps, count):
    """φ′ in a cell where it jumps; NaN in all others."""
    for jump in numba.carray(array_at(jumps, JUMP), count):
        if jump.bits >> 16 == bits >> 16:
            return jump.before if bits < jump.bits else jump.after
    return np.float32(math.nan)


@_callable("void(int64, int64, int64, int64, int64, int64, int64, int64, int64, float32, int64, int64)")
def slopes(kind, address, outer, units, inner, values, rises, jumps, jump_count, threshold, sums, alive):
    """What an activation's inputs say of its derivative: Σ φ′², finite and saturated elements, units with φ′ ≠ 0.

    φ′ is read from a table with a cell for every upper half of a float32's bits, and within a cell goes on along a
    straight line. Where it jumps the table says NaN, and a list of ``JUMP`` says where.

    Args:
        kind: ``FLOAT32``, ``BFLOAT16`` or ``FLOAT16``.
        address: Of the first element of (outer, units, inner).
        outer: Observations before the units.
        units: How many units.
        inner: Observations after the units.
        values: Address of φ′ at the lower end of each cell, float32.
        rises: Address of the rise of φ′ per step of the bits, float32.
        jumps: Address of the jumps, one to a cell at most.
        jump_count: How many.
        threshold: |φ′| below this is saturated.
        sums: Address of three float64 to which Σ φ′², the finite and the saturated elements are added.
        alive: Address of a byte per unit that is set to 1 where φ′ ≠ 0; NaN counts as alive.
    """
    starts, steps = numba.carray(array_at(values, np.float32), CELLS), numba.carray(array_at(rises, np.float32), CELLS)
    total = numba.carray(array_at(sums, np.float64), 3)
    moving = numba.carray(array_at(alive, np.uint8), units)
    square, finite, saturated = 0.0, 0, 0
    for row in range(outer):
        for unit in range(units):
            start = (row * units + unit) * inner
            for i in range(inner):
                bits = _float32_bits(kind, address, start + i)
                cell = bits >> 16
                slope = starts[cell] + steps[cell] * np.float32(bits & 0xFFFF)
                if slope != slope:
                    slope = _beside_jump(bits, jumps, jump_count)
                    if slope != slope:
                        moving[unit] = 1
                        continue
                if moving[unit] == 0:
                    moving[unit] = slope != 0
                finite += 1
                square += np.float64(slope) * slope
                saturated += abs(slope) < threshold
    total[0] += square
    total[1] += finite
    total[2] += saturated


@numba.njit(nogil=True)
def _positive_units(kind, address, outer, units, inner, alive):
    if kind == FLOAT32 and inner == 1:
        bits = numba.carray(array_at(address, np.int32), (outer, units))
        for row in range(outer):
            _mark_positive(bits[row], alive)
        return
    for unit in range(units):
        for row in range(outer):
            if alive[unit] == 1:
                break
            start = (row * units + unit) * inner
            for i in range(inner):
                bits_i = _float32_bits(kind, address, start + i)
                if 0 < bits_i <= 0x7FFFFFFF or (bits_i & 0x7FFFFFFF) > 0x7F800000:
                    alive[unit] = 1
                    break


@numba.njit(nogil=True)
def _mark_positive(bits, alive):
    """Units above zero or NaN in one observation; the loop has no branch, so the compiler makes vectors of it."""
    for unit in range(len(alive)):
        positive = (bits[unit] > 0) | ((bits[unit] & np.int32(0x7FFFFFFF)) > np.int32(0x7F800000))
        alive[unit] |= np.uint8(positive)


@_callable("UniTuple(int64, 2)(int64, int64, int64, int64, int64, uint8[::1])")
def rectified(kind, address, outer, units, inner, alive):
    """What the inputs of a rectifier say: how many are above zero, how many are NaN, and which units any of these.

    Units are looked at until there is nothing left to find, which in a healthy network is early.

    Args:
        kind: ``FLOAT32``, ``BFLOAT16`` or ``FLOAT16``.
        address: Of the first element of (outer, units, inner).
        outer: Observations before the units.
        units: How many units.
        inner: Observations after the units.
        alive: A byte per unit that is set to 1 where some input is above zero, or NaN.
    """
    count = outer * units * inner
    groups = count // GROUP
    above, below, nan_count = 0, 0, 0
    if groups > 0:
        above, below = _signs(kind, address, groups)
    suspects = groups * GROUP - above - below  # zeros or NaN
    for i in range(0 if suspects > 0 else groups * GROUP, count):
        bits = _float32_bits(kind, address, i)
        nan_count += (bits & 0x7FFFFFFF) > 0x7F800000
        above += i >= groups * GROUP and 0 < bits <= 0x7F800000
    _positive_units(kind, address, outer, units, inner, alive)
    return above, nan_count


SUMMARISE, KEEP, COMPARE, TURN = range(4)
"""What a job of :func:`run_jobs` does; the words of a job are explained there."""

JOB = 8  # words


@numba.njit(nogil=True)
def _widen(kind, address, target):
    if kind != FLOAT32:
        for i in range(len(target)):
            target[i] = _value(_float32_bits(kind, address, i))
        return
    source = numba.carray(array_at(address, np.float32), len(target))
    bits = numba.carray(array_at(address, np.int32), len(target))
    for i in range(len(target)):
        unsigned = bits[i] & np.int32(0x7FFFFFFF)
        # The CPU may take a subnormal number for zero, of its sign.
        small = math.copysign(np.float64(unsigned) * _SMALLEST, np.float64(source[i]))
        target[i] = small if unsigned < np.int32(1 << 23) else np.float64(source[i])


@numba.njit(nogil=True)
def _prefetch_run(kind, address, starts, run, length):
    """Ask for the run that comes some turns later: runs lie far apart, and memory takes longer than the work on one."""
    if run + _RUNS_AHEAD < len(starts) and length <= _SHORT_RUN:
        first = address + starts[run + _RUNS_AHEAD] * _size(kind)
        for place in range(first, first + length * _size(kind) + 63, 64):
            prefetch(place)


@numba.njit(nogil=True)
def _keep(kind, address, offsets, runs, length, into):
    """Write runs of elements as float64, each ``length`` long and starting at one of ``offsets``."""
    starts, size = numba.carray(array_at(offsets, np.int64), runs), _size(kind)
    target = numba.carray(array_at(into, np.float64), runs * length)
    for run in range(runs):
        _prefetch_run(kind, address, starts, run, length)
        _widen(kind, address + starts[run] * size, target[run * length : (run + 1) * length])


@numba.njit(nogil=True)
def _compare(kind, address, offsets, runs, length, before, result):
    """Write Σ w², Σ Δw², elements that are the same as before, and those that were finite and are not any more.

    Σ Δw² is NaN if not a single element has a finite Δw.
    """
    starts, size = numba.carray(array_at(offsets, np.int64), runs), _size(kind)
    kept = numba.carray(array_at(before, np.float64), runs * length)
    new = np.empty(length, np.float64)
    out = numba.carray(array_at(result, np.float64), 4)
    out[:] = 0.0
    moved = 0
    for run in range(runs):
        _prefetch_run(kind, address, starts, run, length)
        old = kept[run * length : (run + 1) * length]
        _widen(kind, address + starts[run] * size, new)
        weight, update, unchanged = _change(old, new)
        if math.isfinite(weight + update):
            out[0] += weight
            out[1] += update
            moved += length
        else:
            for i in range(length):
                if math.isfinite(old[i]):
                    out[0] += old[i] * old[i]
                    out[3] += not math.isfinite(new[i])
                if math.isfinite(new[i] - old[i]):
                    out[1] += (new[i] - old[i]) ** 2
                    moved += 1
        out[2] += unchanged
    if moved == 0:
        out[1] = math.nan


@numba.njit(nogil=True, fastmath={"reassoc", "contract"})
def _change(old, new):
    weight, update, unchanged = 0.0, 0.0, 0.0
    for i in range(len(old)):
        weight += old[i] * old[i]
        step = new[i] - old[i]
        update += step * step
        unchanged += 1.0 if new[i] == old[i] else 0.0
    return weight, update, unchanged


@numba.njit(nogil=True)
def _turn(kind, address, offsets, runs, length, before, result):
    """Write Σ g·g₋₁, Σ g² and Σ g₋₁² for a gradient and the one before, which is then overwritten by it."""
    starts, size = numba.carray(array_at(offsets, np.int64), runs), _size(kind)
    kept = numba.carray(array_at(before, np.float64), runs * length)
    new = np.empty(length, np.float64)
    out = numba.carray(array_at(result, np.float64), 3)
    out[:] = 0.0
    for run in range(runs):
        _prefetch_run(kind, address, starts, run, length)
        old = kept[run * length : (run + 1) * length]
        _widen(kind, address + starts[run] * size, new)
        product, square, previous = _products(old, new)
        out[0] += product
        out[1] += square
        out[2] += previous
        old[:] = new


@numba.njit(nogil=True, fastmath={"reassoc", "contract"})
def _products(old, new):
    product, square, previous = 0.0, 0.0, 0.0
    for i in range(len(old)):
        product += old[i] * new[i]
        square += new[i] * new[i]
        previous += old[i] * old[i]
    return product, square, previous


@numba.njit(nogil=True)
def _run(job):
    """One job: what to do, kind of element, address, and up to five words more."""
    what, kind, address = job[0], job[1], job[2]
    if what == SUMMARISE:  # count, row, and width and address for signs, as _part explains
        _part(kind, address, job[3], job[4], job[5], job[6])
    elif what == KEEP:  # address of offsets, runs, length, address of the copy
        _keep(kind, address, job[3], job[4], job[5], job[6])
    elif what == COMPARE:  # the same and the address of four float64
        _compare(kind, address, job[3], job[4], job[5], job[6], job[7])
    elif what == TURN:  # the same and the address of three float64
        _turn(kind, address, job[3], job[4], job[5], job[6], job[7])


@_callback
def run_share(work):
    """One thread's share of many jobs: the words address of the jobs, shares, address of bounds, two OpenMP functions.

    The functions tell the thread's number and how many there are. Share ``i`` are the jobs from bound ``i`` to the
    next; a job is ``JOB`` words.
    """
    words = numba.carray(work, 5, np.int64)
    shares, thread, threads = words[1], call_at(words[3]), call_at(words[4])
    bounds = numba.carray(array_at(words[2], np.int64), shares + 1)
    jobs = numba.carray(array_at(words[0], np.int64), (bounds[shares], JOB))
    for share in range(thread, shares, threads):
        for number in range(bounds[share], bounds[share + 1]):
            _run(jobs[number])


@_callable("void(int64[:, ::1])")
def run_jobs(jobs):
    """Do jobs one after the other in this thread; see :func:`run_share`.

    Args:
        jobs: ``JOB`` words each: what to do (``SUMMARISE``, ``KEEP``, ``COMPARE``, ``TURN``), kind
            of the elements, address of the first, and what the job needs beside.
    """
    for number in range(len(jobs)):
        _run(jobs[number])
