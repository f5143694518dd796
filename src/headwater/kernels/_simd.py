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

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32, _F64 = ir.FloatType(), ir.DoubleType()
_FLOATS, _INTS = ir.VectorType(_F32, _LANES), ir.VectorType(_I32, _LANES)
_SHORTS, _BYTES = ir.VectorType(_I16, _LANES), ir.VectorType(_I8, _LANES)
_DOUBLES = ir.VectorType(_F64, _LANES)
_GROUP_OF_BYTES = ir.VectorType(_I8, GROUP)

_LARGEST_FLOAT32 = 3.4028234663852886e38


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
def call_at(typing_context: Any, address: Any) -> Any:
    """Call the C function ``int f(void)`` at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], ir.FunctionType(_I32, []).as_pointer())
        return builder.sext(builder.call(function, []), _I64)

    return types.int64(types.int64), generate


def scan_of(kind: str) -> Any:
    """The intrinsic ``scan(address, groups, scale, shift, exponents)`` for elements of one type.

    It goes over 64 · ``groups`` elements once and gives (min, max, Σ d, Σ |x|, Σ d², largest bits, zeros) with
    d = ``scale`` · x - ``shift``; min, max and Σ |x| are of ``scale`` · x. Sums run in float32 lanes, are exact to
    about 1e-6 for 4,096 elements, and mean something only if the largest bits, those of max |x| as float32, are of a
    finite number. The float32 exponent byte of every element is written to the address ``exponents``.

    Args:
        kind: ``float32``, ``bfloat16`` or ``float16``.
    """

    @intrinsic
    def scan(typing_context: Any, address: Any, groups: Any, scale: Any, shift: Any, exponents: Any) -> Any:
        result = types.Tuple((types.float64,) * 5 + (types.int64,) * 2)
        signature = result(types.int64, types.int64, types.float32, types.float32, types.int64)
        return signature, lambda context, builder, sig, arguments: _scan(kind, context, builder, sig, arguments)

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
                    values = builder.bitcast(_load_float32_bits(builder, kind, address, group, part), _FLOATS)
                    zero = ir.Constant(_FLOATS, [0.0] * _LANES)
                    above = _add_population(builder, above, builder.fcmp_ordered(">", values, zero))
                    below = _add_population(builder, below, builder.fcmp_ordered("<", values, zero))
                return [above, below]

            return context.make_tuple(builder, signature.return_type, _loop(builder, groups, [_i64(0)] * 2, turn))

        return signature, generate

    return signs


def _scan(kind: str, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    address, groups, scale, shift, exponents = arguments
    scales, shifts = _splat(builder, scale, _LANES), _splat(builder, shift, _LANES)
    zeros = ir.Constant(_FLOATS, [0.0] * _LANES)
    start = [
        ir.Constant(_FLOATS, [_LARGEST_FLOAT32] * _LANES),
        ir.Constant(_FLOATS, [-_LARGEST_FLOAT32] * _LANES),
        zeros,
        zeros,
        zeros,
        ir.Constant(_INTS, [0] * _LANES),
        _i64(0),
    ]

    def turn(group: Any, state: list[Any]) -> list[Any]:
        low, high, total, magnitude, square, top, zero_count = state
        for part in range(GROUP // _LANES):
            bits = _load_float32_bits(builder, kind, address, group, part)
            unsigned = builder.and_(bits, ir.Constant(_INTS, [0x7FFFFFFF] * _LANES))
            scaled = builder.fmul(builder.bitcast(bits, _FLOATS), scales)
            deviation = builder.fsub(scaled, shifts)
            low = builder.select(builder.fcmp_ordered("<", scaled, low), scaled, low)
            high = builder.select(builder.fcmp_ordered(">", scaled, high), scaled, high)
            total = builder.fadd(total, deviation)
            magnitude = builder.fadd(magnitude, _absolute(builder, scaled))
            square = builder.fadd(square, builder.fmul(deviation, deviation, flags=["contract"]), flags=["contract"])
            top = builder.select(builder.icmp_signed(">", unsigned, top), unsigned, top)
            is_zero = builder.icmp_signed("==", unsigned, ir.Constant(_INTS, [0] * _LANES))
            zero_count = _add_population(builder, zero_count, is_zero)
            exponent = builder.trunc(builder.lshr(unsigned, ir.Constant(_INTS, [23] * _LANES)), _BYTES)
            _store(builder, exponent, builder.add(exponents, _offset(builder, group, part, 1)))
        return [low, high, total, magnitude, square, top, zero_count]

    low, high, total, magnitude, square, top, zero_count = _loop(builder, groups, start, turn)
    smallest = builder.call(_function(builder, "llvm.vector.reduce.fmin.v16f32", _F32, [_FLOATS]), [low])
    largest = builder.call(_function(builder, "llvm.vector.reduce.fmax.v16f32", _F32, [_FLOATS]), [high])
    top_bits = builder.call(_function(builder, "llvm.vector.reduce.smax.v16i32", _I32, [_INTS]), [top])
    return context.make_tuple(
        builder,
        signature.return_type,
        [
            builder.fpext(smallest, _F64),
            builder.fpext(largest, _F64),
            *(_sum(builder, lanes) for lanes in (total, magnitude, square)),
            builder.sext(top_bits, _I64),
            zero_count,
        ],
    )


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
    following = builder.add(index, _i64(1))
    index.add_incoming(following, body)
    for phi, value in zip(state, result, strict=True):
        phi.add_incoming(value, body)
    builder.cbranch(builder.icmp_signed("<", following, turns), body, after)
    builder.position_at_end(after)
    return result


def _load(builder: Any, address: Any, vector: Any, align: int) -> Any:
    loaded = builder.load(builder.inttoptr(address, vector.as_pointer()))
    loaded.align = align
    return loaded


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
    """Sum of the lanes in float64."""
    add = _function(builder, "llvm.vector.reduce.fadd.v16f64", _F64, [_F64, _DOUBLES])
    return builder.call(add, [ir.Constant(_F64, 0.0), builder.fpext(lanes, _DOUBLES)], fastmath=["reassoc"])


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
