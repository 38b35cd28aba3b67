"""Ask the processor for a row of a matrix before it is needed, from compiled code.

Rows that a loop picks in no order come from the third-level cache or from memory, and the
processor cannot guess which is next; asked eight columns ahead, the ALS sweep over Gowalla was
measured a third faster.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_cgutils: Any = cgutils  # without types of its own

_READ, _KEEP, _DATA = 0, 3, 1  # the arguments of LLVM's prefetch


def _prefetch(_context: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Return the signature of `prefetch`, and what writes its code."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrix_type, row_type, column_type = signature.args
        array = context.make_array(matrix_type)(context, builder, arguments[0])
        indices = [
            context.cast(builder, value, given, types.intp)
            for value, given in zip(arguments[1:], (row_type, column_type), strict=True)
        ]
        address = _cgutils.get_item_pointer(context, builder, matrix_type, array, indices)
        pointer, number = _cgutils.voidptr_t, ir.IntType(32)
        function = _cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, number, number, number]),
            "llvm.prefetch.p0",
        )
        flags = [ir.Constant(number, flag) for flag in (_READ, _KEEP, _DATA)]
        builder.call(function, [builder.bitcast(address, pointer), *flags])
        return context.get_dummy_value()

    return types.void(matrix, row, column), generate


prefetch: Any = intrinsic(_prefetch)
"""``prefetch(matrix, row, column)``: ask for the cache line of that entry; never faults."""
