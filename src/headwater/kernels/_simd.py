"""Vector instructions for numba functions: LLVM's own vectorizer gives up on loops with this many sums at once.

Every intrinsic works on ``groups`` of 64 elements and is written with LLVM vector types, which any CPU executes: a
wide one in a single instruction, a narrow one in several.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

GROUP = 64  # elements per turn of a loop
_LANES = 16
_LINE = 64  # bytes of a cache line

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32, _F64 = ir.FloatType(), ir.DoubleType()
_FLOATS, _INTS = ir.VectorType(_F32, _LANES), ir.VectorType(_I32, _LANES)
_SHORTS, _BYTES = ir.VectorType(_I16, _LANES), ir.VectorType(_I8, _LANES)
_DOUBLES = ir.VectorType(_F64, _LANES)
_GROUP_OF_BYTES = ir.VectorType(_I8, GROUP)

_FOLD = 16  # groups whose sums stay in float32: 64 additions to a lane, of which each loses at most 2**-24

LIFT = 100
"""Power of two by which the lifted scan multiplies, so that subnormal numbers and their squares are normal ones."""


@intrinsic
def array_at(typing_context: Any, address: Any, element: Any) -> Any:
    """A typed pointer to the memory at an address, for ``numba.carray``.

    Args:
        typing_context: Given by numba.
        address: Of the first element.
        element: Scalar type of the elements, such as ``numpy.float32``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(element.dtype)(types.int64, element), generate


@intrinsic
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Index of the lowest bit that is set; the mask must not be 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(_function(builder, "llvm.cttz.i64", _I64, [_I64, ir.IntType(1)]), [*arguments, _true()])

    return types.int64(types.int64), generate


@intrinsic
def leading_zeros(typing_context: Any, bits: Any) -> Any:
    """Number of zero bits above the highest that is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count = _function(builder, "llvm.ctlz.i64", _I64, [_I64, ir.IntType(1)])
        return builder.call(count, [*arguments, ir.Constant(ir.IntType(1), 0)])

    return types.int64(types.int64), generate


@intrinsic
def float64_of(typing_context: Any, bits: Any) -> Any:
    """The float64 that has these bits."""
    return types.float64(types.int64), lambda context, builder, sig, arguments: builder.bitcast(arguments[0], _F64)


@intrinsic
def prefetch(typing_context: Any, address: Any) -> Any:
    """Have the cache line at an address read while other work goes on; a wrong address does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _prefetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def call_at(typing_context: Any, address: Any) -> Any:
    """Call the C function ``int f(void)`` at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], ir.FunctionType(_I32, []).as_pointer())
        return builder.sext(builder.call(function, []), _I64)

    return types.int64(types.int64), generate


def stack_of(size: int) -> Any:
    """The intrinsic ``stack()``: address of ``size`` bytes that are the calling function's until it returns.

    An array would not do: numba gives it back after its last use by name, and an address is none.
    """

    @intrinsic
    def stack(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.ptrtoint(cgutils.alloca_once(builder, _I8, size=_i64(size)), _I64)

        return types.int64(), generate

    return stack


def scan_of(kind: str, lifted: bool = False) -> Any:
    """The intrinsic ``scan(address, groups, scale, shift, exponents, ahead)`` for elements of one type.

    It goes over 64 · ``groups`` elements once and gives (min, max, Σ d, Σ |s|, Σ d², zeros) with s = ``scale`` · x and
    d = s - ``shift``. Min and max are the bits of x as float32, NaN beyond the infinity of its sign. The sums are exact
    to 4e-6 of the sum of magnitudes, and mean something only if min and max are of finite numbers. The float32 exponent
    byte of every element is written to the address ``exponents``, within a group of 64 in another order.

    As many elements at ``ahead`` are asked for meanwhile, to be in the cache when their turn comes: memory is busy for
    them also while the rest of the work on this block is done.

    Args:
        kind: ``float32``, ``bfloat16`` or ``float16``.
        lifted: Whether s = ``scale`` · 2**LIFT · x, for |x| < 2**-27. Nothing is lost then of subnormal numbers, even
            where the CPU takes them for zero.
    """

    @intrinsic
    def scan(typing_context: Any, address: Any, groups: Any, scale: Any, shift: Any, exponents: Any, ahead: Any) -> Any:
        result = types.Tuple((types.int64,) * 2 + (types.float64,) * 3 + (types.int64,))
        signature = result(types.int64, types.int64, types.float32, types.float32, types.int64, types.int64)
        return signature, lambda context, builder, sig, arguments: _scan(kind, lifted, context, builder, sig, arguments)

    return scan


@intrinsic
def count_four_bytes(typing_context: Any, address: Any, groups: Any, value: Any) -> Any:
    """How many of 64 · ``groups`` bytes are equal to ``value``, ``value - 1``, ``value - 2`` and ``value - 3``."""
    signature = types.UniTuple(types.int64, 4)(types.int64, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, groups, value = arguments
        wanted = [_splat(builder, builder.trunc(builder.sub(value, _i64(j)), _I8), GROUP) for j in range(4)]

        def turn(group: Any, counts: list[Any]) -> list[Any]:
            found = _load(builder, builder.add(address, builder.mul(group, _i64(GROUP))), _GROUP_OF_BYTES, 1)
            equal = [builder.icmp_unsigned("==", found, vector) for vector in wanted]
            return [
                builder.add(count, _population(builder, mask, _I64)) for count, mask in zip(counts, equal, strict=True)
            ]

        return context.make_tuple(builder, signature.return_type, _loop(builder, groups, [_i64(0)] * 4, turn))

    return signature, generate


@intrinsic
def bytes_below(typing_context: Any, address: Any, value: Any) -> Any:
    """A mask of which of the 64 bytes at an address are below ``value`` and not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, value = arguments
        found = _load(builder, address, _GROUP_OF_BYTES, 1)
        below = builder.icmp_unsigned("<", found, _splat(builder, builder.trunc(value, _I8), GROUP))
        present = builder.icmp_unsigned("!=", found, ir.Constant(_GROUP_OF_BYTES, [0] * GROUP))
        return builder.bitcast(builder.and_(below, present), _I64)

    return types.int64(types.int64, types.int64), generate


def signs_of(kind: str) -> Any:
    """The intrinsic ``signs(address, groups)``: how many of 64 · ``groups`` elements are above and below zero."""

    @intrinsic
    def signs(typing_context: Any, address: Any, groups: Any) -> Any:
        signature = types.UniTuple(types.int64, 2)(types.int64, types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address, groups = arguments

            def turn(group: Any, counts: list[Any]) -> list[Any]:
                above, below = counts
                for part in range(GROUP // _LANES):
                    bits = _load_float32_bits(builder, kind, address, group, part)
                    above = _add_population(builder, above, _among(builder, bits, 1))
                    below = _add_population(builder, below, _among(builder, bits, 0x80000001))
                return [above, below]

            return context.make_tuple(builder, signature.return_type, _loop(builder, groups, [_i64(0)] * 2, turn))

        return signature, generate

    return signs


def _scan(kind: str, lifted: bool, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    address, groups, scale, shift, exponents, ahead = arguments
    lines = GROUP * (4 if kind == "float32" else 2) // _LINE
    scales, opposite = _splat(builder, scale, _LANES), _splat(builder, builder.fneg(shift), _LANES)

    def turn(group: Any, state: list[Any]) -> list[Any]:
        top, top_unsigned, bottom_unsigned, zero_count, total, magnitude, square = state
        exponents_of = []
        for part in range(GROUP // _LANES):
            bits = _load_float32_bits(builder, kind, address, group, part)
            unsigned = builder.and_(bits, _ints(0x7FFFFFFF))
            top = builder.select(builder.icmp_signed(">", bits, top), bits, top)
            top_unsigned = builder.select(builder.icmp_unsigned(">", bits, top_unsigned), bits, top_unsigned)
            bottom_unsigned = builder.select(builder.icmp_unsigned("<", bits, bottom_unsigned), bits, bottom_unsigned)
            values = _lifted(builder, bits, unsigned) if lifted else builder.bitcast(bits, _FLOATS)
            sizes = _absolute(builder, values) if lifted else builder.bitcast(unsigned, _FLOATS)
            deviation = _multiply_add(builder, values, scales, opposite)
            total = builder.fadd(total, deviation)
            magnitude = _multiply_add(builder, sizes, scales, magnitude)
            square = _multiply_add(builder, deviation, deviation, square)
            zero_count = _add_population(builder, zero_count, builder.icmp_signed("==", unsigned, _ints(0)))
            exponents_of.append(unsigned)
        for line in range(lines):
            offset = builder.add(builder.mul(group, _i64(lines * _LINE)), _i64(line * _LINE))
            _prefetch(builder, builder.add(ahead, offset))
        where = builder.add(exponents, builder.mul(group, _i64(GROUP)))
        _store(builder, _exponent_bytes(builder, exponents_of), where)
        return [top, top_unsigned, bottom_unsigned, zero_count, total, magnitude, square]

    def fold(number: Any, state: list[Any]) -> list[Any]:
        first = builder.mul(number, _i64(_FOLD))
        left = builder.sub(groups, first)
        turns = builder.select(builder.icmp_signed("<", left, _i64(_FOLD)), left, _i64(_FOLD))
        start = [*state[:4], *[ir.Constant(_FLOATS, [0.0] * _LANES)] * 3]
        inner = _loop(builder, turns, start, lambda group, part: turn(builder.add(first, group), part))
        sums = [
            builder.fadd(sum_, builder.fpext(more, _DOUBLES)) for sum_, more in zip(state[4:], inner[4:], strict=True)
        ]
        return [*inner[:4], *sums]

    folds = builder.sdiv(builder.add(groups, _i64(_FOLD - 1)), _i64(_FOLD))
    start = [_ints(-0x80000000), _ints(0), _ints(-1), _i64(0), *[ir.Constant(_DOUBLES, [0.0] * _LANES)] * 3]
    *extremes, zero_count, top_sum, magnitude, square = _loop(builder, folds, start, fold)
    low, high = _bounds(builder, *extremes)
    return context.make_tuple(
        builder,
        signature.return_type,
        [
            builder.zext(low, _I64),
            builder.zext(high, _I64),
            *(_sum(builder, lanes) for lanes in (top_sum, magnitude, square)),
            zero_count,
        ],
    )


def _bounds(builder: Any, top: Any, top_unsigned: Any, bottom_unsigned: Any) -> tuple[Any, Any]:
    """The bits of the smallest and the largest float32, from three extremes of all bits read as integers.

    Bits of positive numbers are in their order; those of negative ones, larger as unsigned, are in the opposite.
    """
    most = _reduce(builder, "smax", top)
    most_unsigned, least_unsigned = _reduce(builder, "umax", top_unsigned), _reduce(builder, "umin", bottom_unsigned)
    zero = ir.Constant(_I32, 0)
    low = builder.select(builder.icmp_signed("<", most_unsigned, zero), most_unsigned, least_unsigned)
    high = builder.select(builder.icmp_signed(">=", most, zero), most, least_unsigned)
    return low, high


def _exponent_bytes(builder: Any, unsigned: list[Any]) -> Any:
    """The exponent bytes of 64 float32 without their signs, in any order: four of each lane become one word."""
    pairs = []
    for low, high in (unsigned[:2], unsigned[2:]):
        shifted = builder.and_(builder.lshr(high, _ints(7)), _ints(0xFF0000))
        pairs.append(builder.or_(builder.lshr(low, _ints(23)), shifted))
    return builder.bitcast(builder.or_(pairs[0], builder.shl(pairs[1], _ints(8))), _GROUP_OF_BYTES)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """The sum of a product and a third number, in one step where the CPU has one."""
    return builder.fadd(builder.fmul(a, b, flags=["contract"]), c, flags=["contract"])


def _lifted(builder: Any, bits: Any, unsigned: Any) -> Any:
    """The numbers with these bits, times 2**LIFT, without any arithmetic on a subnormal one."""
    normal = builder.bitcast(builder.add(bits, _ints(LIFT << 23)), _FLOATS)
    steps = builder.fmul(builder.sitofp(unsigned, _FLOATS), ir.Constant(_FLOATS, [2.0 ** (LIFT - 149)] * _LANES))
    sign = builder.and_(bits, _ints(0x80000000))
    subnormal = builder.bitcast(builder.or_(builder.bitcast(steps, _INTS), sign), _FLOATS)
    return builder.select(builder.icmp_signed("<", unsigned, _ints(1 << 23)), subnormal, normal)


def _among(builder: Any, bits: Any, first: int) -> Any:
    """Which bits are those of a number of one sign, from the smallest (whose bits are ``first``) to infinity."""
    return builder.icmp_unsigned("<", builder.sub(bits, _ints(first)), _ints(0x7F800000))


def _reduce(builder: Any, how: str, lanes: Any) -> Any:
    return builder.call(_function(builder, f"llvm.vector.reduce.{how}.v16i32", _I32, [_INTS]), [lanes])


def _load_float32_bits(builder: Any, kind: str, address: Any, group: Any, part: int) -> Any:
    """Sixteen elements as the bits of float32, exactly, also where the CPU treats subnormal numbers as zero."""
    if kind == "float32":
        return _load(builder, builder.add(address, _offset(builder, group, part, 4)), _INTS, 4)
    short = _load(builder, builder.add(address, _offset(builder, group, part, 2)), _SHORTS, 2)
    bits = builder.zext(short, _INTS)
    return builder.shl(bits, _ints(16)) if kind == "bfloat16" else _widened_float16(builder, bits)


def _widened_float16(builder: Any, bits: Any) -> Any:
    sign = builder.shl(builder.and_(bits, _ints(0x8000)), _ints(16))
    unsigned = builder.and_(bits, _ints(0x7FFF))
    moved = builder.shl(unsigned, _ints(13))
    normal = builder.add(moved, _ints((127 - 15) << 23))
    steps = builder.fmul(builder.sitofp(unsigned, _FLOATS), ir.Constant(_FLOATS, [2.0**-24] * _LANES))
    subnormal = builder.bitcast(steps, _INTS)
    nonfinite = builder.or_(moved, _ints(0x7F800000))
    value = builder.select(builder.icmp_signed("<", unsigned, _ints(0x0400)), subnormal, normal)
    value = builder.select(builder.icmp_signed(">=", unsigned, _ints(0x7C00)), nonfinite, value)
    return builder.or_(sign, value)


def _loop(builder: Any, turns: Any, start: list[Any], turn: Any) -> list[Any]:
    """``turn(index, state) -> state``, at least once."""
    before = builder.block
    body, after = builder.append_basic_block("turn"), builder.append_basic_block("turned")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(_I64)
    index.add_incoming(_i64(0), before)
    state = [builder.phi(value.type) for value in start]
    for phi, value in zip(state, start, strict=True):
        phi.add_incoming(value, before)
    result = turn(index, state)
    last = builder.block  # another than the first if the turn has a loop of its own
    following = builder.add(index, _i64(1))
    index.add_incoming(following, last)
    for phi, value in zip(state, result, strict=True):
        phi.add_incoming(value, last)
    builder.cbranch(builder.icmp_signed("<", following, turns), body, after)
    builder.position_at_end(after)
    return result


def _load(builder: Any, address: Any, vector: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, vector.as_pointer()))
    loaded.align = align
    return loaded


def _prefetch(builder: Any, address: Any) -> None:
    """Ask for a line of memory; a wrong address does no harm. Into the second cache: the first is too small for it."""
    pointer = builder.inttoptr(address, _I8.as_pointer())
    fetch = _function(builder, "llvm.prefetch.p0i8", ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
    builder.call(fetch, [pointer, *(ir.Constant(_I32, word) for word in (0, 2, 1))])  # to read, nearness, data


def _store(builder: Any, vector: Any, address: Any) -> None:
    builder.store(vector, builder.inttoptr(address, vector.type.as_pointer())).align = 1


def _offset(builder: Any, group: Any, part: int, size: int) -> Any:
    return builder.add(builder.mul(group, _i64(GROUP * size)), _i64(part * _LANES * size))


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    vector = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _absolute(builder: Any, values: Any) -> Any:
    return builder.bitcast(builder.and_(builder.bitcast(values, _INTS), _ints(0x7FFFFFFF)), _FLOATS)


def _sum(builder: Any, lanes: Any) -> Any:
    add = _function(builder, "llvm.vector.reduce.fadd.v16f64", _F64, [_F64, _DOUBLES])
    return builder.call(add, [ir.Constant(_F64, 0.0), lanes], fastmath=["reassoc"])


def _add_population(builder: Any, count: Any, mask: Any) -> Any:
    return builder.add(count, builder.zext(_population(builder, mask, _I16), _I64))


def _population(builder: Any, mask: Any, word: Any) -> Any:
    """How many lanes of a mask are set."""
    count = _function(builder, f"llvm.ctpop.i{word.width}", word, [word])
    return builder.call(count, [builder.bitcast(mask, word)])


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _ints(value: int) -> Any:
    return ir.Constant(_INTS, [value] * _LANES)


def _i64(value: int) -> Any:
    return ir.Constant(_I64, value)


def _true() -> Any:
    return ir.Constant(ir.IntType(1), 1)
