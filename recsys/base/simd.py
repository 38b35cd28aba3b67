"""Sixteen float32 numbers at a time, in compiled code: what a loop over factors is made of.

A compiler makes such loops of plain ones too, but not over half precision, which is half the bytes
to wait for, and it adds code for lengths that cannot occur here: every length is a multiple of
`N_LANES`. A processor with narrower registers takes several instructions for one.

Lanes are added, subtracted, multiplied and divided with the operators of numbers. Half precision
is held in arrays of uint16, as Numba has no float16. Whole numbers are read from arrays of int8.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

N_LANES = 16
LINE_BYTES = 64  # of a cache line

_cgutils: Any = cgutils  # without types of its own
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
LANES = ir.VectorType(_FLOAT, N_LANES)
_HALVES = ir.VectorType(ir.HalfType(), N_LANES)
_BYTES = ir.VectorType(ir.IntType(8), N_LANES)
_READ, _KEEP, _DATA = 0, 3, 1  # the arguments of LLVM's prefetch


class _LanesType(types.Type):
    """Sixteen float32 numbers, for Numba."""

    def __init__(self) -> None:
        super().__init__(name="lanes")


lanes_type = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, LANES)  # type: ignore[no-untyped-call]


def address_of(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return where ``array[at]`` lies, of the first two arguments."""
    array_type, at_type = signature.args[:2]
    array = context.make_array(array_type)(context, builder, arguments[0])
    is_tuple = isinstance(at_type, types.BaseTuple)
    numbers = _cgutils.unpack_tuple(builder, arguments[1]) if is_tuple else [arguments[1]]
    number_types = at_type.types if is_tuple else [at_type]
    indices = [
        context.cast(builder, number, number_type, types.intp)
        for number, number_type in zip(numbers, number_types, strict=True)
    ]
    return _cgutils.get_item_pointer(context, builder, array_type, array, indices)


def _load(_context: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, signature, arguments)
        if array.dtype == types.uint16:
            halves = builder.load(builder.bitcast(address, _HALVES.as_pointer()), align=2)
            return builder.fpext(halves, LANES)
        if array.dtype == types.int8:
            whole = builder.load(builder.bitcast(address, _BYTES.as_pointer()), align=1)
            return builder.sitofp(builder.sext(whole, ir.VectorType(_INT, N_LANES)), LANES)
        return builder.load(builder.bitcast(address, LANES.as_pointer()), align=4)

    return lanes_type(array, at), generate


def _store(_context: Any, array: Any, at: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, lanes = address_of(context, builder, signature, arguments), arguments[2]
        if array.dtype == types.uint16:
            halves = builder.fptrunc(lanes, _HALVES)
            builder.store(halves, builder.bitcast(address, _HALVES.as_pointer()), align=2)
        elif array.dtype == types.int8:
            whole = builder.fptosi(_called(builder, "rint", lanes), ir.VectorType(_INT, N_LANES))
            place = builder.bitcast(address, _BYTES.as_pointer())
            builder.store(builder.trunc(whole, _BYTES), place, align=1)
        else:
            builder.store(lanes, builder.bitcast(address, LANES.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, at, value), generate


def _same(_context: Any, number: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(LANES, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(_INT, 0))
        everywhere = ir.Constant(ir.VectorType(_INT, N_LANES), [0] * N_LANES)
        return builder.shuffle_vector(first, nothing, everywhere)

    return lanes_type(number), generate


def _arithmetic(instruction: str) -> Any:
    """Return the intrinsic that applies an instruction of LLVM lane by lane."""

    def arithmetic(_context: Any, a: Any, b: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=("fast",))

        return lanes_type(a, b), generate

    return intrinsic(arithmetic)


def _define(symbol: Any, instruction: str) -> None:
    """Let an operator between lanes be that instruction; a product and a sum become one."""
    apply = _arithmetic(instruction)

    @overload(symbol, inline="always")
    def operate(a, b):  # type: ignore[no-untyped-def]  # Numba wants the lambda's own signature
        if isinstance(a, _LanesType) and isinstance(b, _LanesType):
            return lambda a, b: apply(a, b)
        return None


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_symbol, _instruction)


def _called(builder: Any, name: str, *lanes: Any) -> Any:
    """Return what an intrinsic of LLVM makes of lanes, lane by lane."""
    kind = ir.FunctionType(LANES, [LANES] * len(lanes))
    symbol = f"llvm.{name}.v{N_LANES}f32"
    function = _cgutils.get_or_insert_function(builder.module, kind, symbol)
    return builder.call(function, lanes, fastmath=("fast",))


def _larger(_context: Any, a: Any, b: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        sizes = (_called(builder, "fabs", lanes) for lanes in arguments)
        return _called(builder, "maxnum", *sizes)

    return lanes_type(a, b), generate


def _largest(_context: Any, lanes: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        name = f"llvm.vector.reduce.fmax.v{N_LANES}f32"
        kind = ir.FunctionType(_FLOAT, [LANES])
        function = _cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, arguments, fastmath=("fast",))

    return types.float32(lanes), generate


def _total(_context: Any, lanes: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        function = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_FLOAT, [_FLOAT, LANES]),
            f"llvm.vector.reduce.fadd.v{N_LANES}f32",
        )
        zero = ir.Constant(_FLOAT, 0.0)
        return builder.call(function, [zero, arguments[0]], fastmath=("fast",))

    return types.float32(lanes), generate


def _four_totals(_context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Add in pairs what lies in two registers, so that four sums take the steps of one."""
        n = N_LANES

        def taken(one: Any, other: Any, lanes: list[int]) -> Any:
            mask = ir.Constant(ir.VectorType(_INT, len(lanes)), lanes)
            return builder.shuffle_vector(one, other, mask)

        def added(one: Any, other: Any, step: int) -> Any:
            """Add the halves of every four lanes, by runs of `step` lanes of one and the other."""
            runs = [
                range(q + at, q + at + step) for q in range(0, n, 4) for at in range(0, 2, step)
            ]
            low = [lane for run in runs for lane in (*run, *(n + own for own in run))]
            high = [lane + 2 for lane in low]
            return builder.fadd(taken(one, other, low), taken(one, other, high), flags=("fast",))

        ab, cd = added(arguments[0], arguments[1], 1), added(arguments[2], arguments[3], 1)
        sums = added(ab, cd, 2)  # every four lanes are sums of a, b, c and d
        for half in (n // 2, n // 4):
            lanes = list(range(2 * half))
            halves = taken(sums, sums, lanes[:half]), taken(sums, sums, lanes[half:])
            sums = builder.fadd(*halves, flags=("fast",))
        numbers = [builder.extract_element(sums, ir.Constant(_INT, i)) for i in range(4)]
        return context.make_tuple(builder, signature.return_type, numbers)

    four: Any = types.UniTuple
    return four(types.float32, 4)(a, b, c, d), generate


def _prefetch(_context: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = address_of(context, builder, signature, arguments)
        pointer = _cgutils.voidptr_t
        function = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, _INT, _INT, _INT]),
            "llvm.prefetch.p0",
        )
        flags = [ir.Constant(_INT, flag) for flag in (_READ, _KEEP, _DATA)]
        builder.call(function, [builder.bitcast(address, pointer), *flags])
        return context.get_dummy_value()

    return types.void(array, at), generate


def _per_line(_context: Any, array: Any) -> Any:
    def generate(_context: Any, _builder: Any, _signature: Any, _arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), LINE_BYTES * 8 // array.dtype.bitwidth)

    return types.int64(array), generate


def _borrowed(_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        uncounted = context.make_array(array)(context, builder, arguments[0])
        uncounted.meminfo = _cgutils.get_null_value(uncounted.meminfo.type)
        return uncounted._getvalue()

    return array(array), generate


load: Any = intrinsic(_load)
"""``load(array, at)``: the 16 numbers from ``array[at]`` on; of uint16, numbers of half precision.

Of int8, whole numbers.

`at` is an index, or a tuple of them. There is no check of bounds.
"""

store: Any = intrinsic(_store)
"""``store(array, at, lanes)``: write them there, rounded to the nearest of uint16 or int8."""

same: Any = intrinsic(_same)
"""``same(number)``: 16 times that number."""

total: Any = intrinsic(_total)
"""``total(lanes)``: their sum."""

larger: Any = intrinsic(_larger)
"""``larger(a, b)``: in each lane the larger of their two sizes."""

largest: Any = intrinsic(_largest)
"""``largest(lanes)``: the largest of them."""

four_totals: Any = intrinsic(_four_totals)
"""``four_totals(a, b, c, d)``: the sum of each, in half the instructions of four `total`."""

prefetch: Any = intrinsic(_prefetch)
"""``prefetch(array, at)``: ask for the cache line of that entry; never faults.

Rows that a loop takes in no order come from the third-level cache or from memory, and the
processor cannot predict the next one.
"""

per_line: Any = intrinsic(_per_line)
"""``per_line(array)``: how many of its numbers a cache line holds, known when compiled."""

borrowed: Any = intrinsic(_borrowed)
"""``borrowed(array)``: the same array without a reference count; the caller must keep it alive.

Numba counts the references to an array at every call and for every slice of it, atomically, which
takes as long as a few columns of ALS.
"""
