"""Integers in registers, above all dot products of 8-bit numbers, sixteen at a time.

Four numbers of a vector lie in one int32, and the same four of sixteen vectors in one register. A
step multiplies the sixteen by four numbers of one other vector and adds up: sixteen dot products
grow side by side, and none has to be gathered from the lanes of a register at the end. Processors
with AVX512-VNNI take one instruction for a step; others some twenty, with the same result.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from recsys.compiled.simd import LANES, N_LANES, address_of, lanes_type

OFFSET = 128
"""What is added to the numbers of the sixteen vectors, which are held as 0 to 255."""

_cgutils: Any = cgutils  # without types of its own
_INT, _BIT = ir.IntType(32), ir.IntType(1)
_INTS = ir.VectorType(_INT, N_LANES)
_BYTES = ir.VectorType(ir.IntType(8), 4 * N_LANES)
_PER_INT = 4


class _IntLanesType(types.Type):
    """Sixteen int32 numbers, for Numba."""

    def __init__(self) -> None:
        super().__init__(name="int_lanes")


_int_lanes = _IntLanesType()


@register_model(_IntLanesType)
class _IntLanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _INTS)  # type: ignore[no-untyped-call]


def has_vnni() -> bool:
    """Return whether this processor adds up products of bytes in one instruction."""
    newest = llvm.llvm_version_info[0] >= 22  # older ones declare it with other types
    return newest and bool(llvm.get_host_cpu_features().get("avx512vnni"))


def _load_ints(_context: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, signature, arguments)
        return builder.load(builder.bitcast(address, _INTS.as_pointer()), align=4)

    return _int_lanes(array, at), generate


def _same_int(_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[0], signature.args[0], types.int32)
        return _everywhere(builder, number)

    return _int_lanes(number), generate


def _add_products(_context: Any, sums: Any, items: Any, four: Any) -> Any:
    step = _vnni_step if has_vnni() else _plain_step

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        four = context.cast(builder, arguments[2], signature.args[2], types.int32)
        return step(builder, arguments[0], arguments[1], four)

    return _int_lanes(sums, items, four), generate


def _add_products_plainly(_context: Any, sums: Any, items: Any, four: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        four = context.cast(builder, arguments[2], signature.args[2], types.int32)
        return _plain_step(builder, arguments[0], arguments[1], four)

    return _int_lanes(sums, items, four), generate


def _vnni_step(builder: Any, sums: Any, items: Any, four: Any) -> Any:
    function = _cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(_INTS, [_INTS, _BYTES, _BYTES]),
        "llvm.x86.avx512.vpdpbusd.512",
    )
    query = builder.bitcast(_everywhere(builder, four), _BYTES)
    return builder.call(function, [sums, builder.bitcast(items, _BYTES), query])


def _plain_step(builder: Any, sums: Any, items: Any, four: Any) -> Any:
    for place in range(_PER_INT):
        low, high = ir.Constant(_INT, 8 * place), ir.Constant(_INT, 24 - 8 * place)
        shifted = builder.lshr(items, _everywhere(builder, low))
        unsigned = builder.and_(shifted, ir.Constant(_INTS, [255] * N_LANES))
        signed = builder.ashr(builder.shl(four, high), ir.Constant(_INT, 24))
        sums = builder.add(sums, builder.mul(unsigned, _everywhere(builder, signed)))
    return sums


def _everywhere(builder: Any, number: Any) -> Any:
    nothing = ir.Constant(_INTS, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_INTS, [0] * N_LANES))


def _as_floats(_context: Any, lanes: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.sitofp(arguments[0], LANES)

    return lanes_type(lanes), generate


def _which_reach(_context: Any, lanes: Any, least: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        reached = builder.fcmp_ordered(">=", *arguments)
        bits = builder.bitcast(reached, ir.IntType(N_LANES))
        return builder.zext(bits, _INT)

    return types.uint32(lanes, least), generate


def _count_bits(_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[0], signature.args[0], types.uint32)
        function = _cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_INT, [_INT]), "llvm.ctpop.i32"
        )
        return builder.call(function, [number])

    return types.int32(bits), generate


def _bits_of(_context: Any, _number: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _INT)

    return types.int32(types.float32), generate


def _float_of(_context: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _lowest_bit(_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[0], signature.args[0], types.uint32)
        function = _cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_INT, [_INT, _BIT]), "llvm.cttz.i32"
        )
        return builder.call(function, [number, ir.Constant(_BIT, 0)])

    return types.int32(bits), generate


load_ints: Any = intrinsic(_load_ints)
"""``load_ints(array, at)``: the 16 int32 from ``array[at]`` on, without a check of bounds."""

same_int: Any = intrinsic(_same_int)
"""``same_int(number)``: 16 times that int32."""

add_products: Any = intrinsic(_add_products)
"""``add_products(sums, items, four)``: add ``a0 b0 + .. + a3 b3`` to each of 16 sums.

``a`` are the four unsigned bytes of each of `items`, ``b`` the four signed bytes of `four`.
"""

add_products_plainly: Any = intrinsic(_add_products_plainly)
"""The same by instructions that every processor has."""

as_floats: Any = intrinsic(_as_floats)
"""``as_floats(int_lanes)``: the nearest float32 to each."""

which_reach: Any = intrinsic(_which_reach)
"""``which_reach(a, b)``: bit i tells whether ``a[i] >= b[i]``; never for NaN."""

lowest_bit: Any = intrinsic(_lowest_bit)
"""``lowest_bit(bits)``: the place of the lowest bit that is set; 32 if none is."""

count_bits: Any = intrinsic(_count_bits)
"""``count_bits(bits)``: how many of 32 are set."""

bits_of: Any = intrinsic(_bits_of)
"""``bits_of(float32)``: the same 32 bits as an int32."""

float_of: Any = intrinsic(_float_of)
"""``float_of(int32)``: the same 32 bits as a float32."""
