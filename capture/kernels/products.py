"""Products of many matrices at once, in threads of our own: loops that keep a block of the result in registers.

For matrices as small as those of tiles, a library spends much of its time on packing them and on waking threads.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from eagerflow.capture.kernels import cache as compiled

LANES = 16
# Terms that are added up in a row: more are added up by parts, which keeps rounding errors small.
DEEP = 256

# A block of the result: some rows of 16 elements, each a sum of numbers times rows of a panel. LLVM has vectors of 16,
# of which it makes what the processor has.
_BLOCK = """
@intrinsic
def block{rows}(typing, a, place, down, along, panel, depth, out, target, width, add):
    def code(context, builder, signature, values):
        given, place, down, along, panel, depth, out, target, width, add = values
        number = place.type
        kinds = signature.args
        data = [
            make_array(kind)(context, builder, value).data
            for kind, value in ((kinds[0], given), (kinds[4], panel), (kinds[6], out))
        ]
        single = ir.FloatType()
        vector = ir.VectorType(single, {lanes})

        def times(value, factor):
            return builder.mul(value, number(factor)) if isinstance(factor, int) else builder.mul(value, factor)

        sources = [
            builder.gep(data[0], [builder.add(place, times(down, i))]) for i in range({rows})
        ]
        targets = [
            builder.bitcast(builder.gep(data[2], [builder.add(target, times(width, i))]), vector.as_pointer())
            for i in range({rows})
        ]
        zero = vector([0.0] * {lanes})
        before = builder.block
        loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(number)
        k.add_incoming(number(0), before)
        sums = [builder.phi(vector) for _ in targets]
        for total in sums:
            total.add_incoming(zero, before)
        row = builder.bitcast(builder.gep(data[1], [times(k, {lanes})]), vector.as_pointer())
        row = builder.load(row, align=4)
        step = builder.mul(k, along)
        empty = ir.Constant(vector, ir.Undefined)
        same = ir.Constant(ir.VectorType(ir.IntType(32), {lanes}), [0] * {lanes})
        for total, source in zip(sums, sources):
            factor = builder.insert_element(empty, builder.load(builder.gep(source, [step])), ir.IntType(32)(0))
            factor = builder.shuffle_vector(factor, empty, same)
            product = builder.fmul(factor, row, flags=("contract",))
            total.add_incoming(builder.fadd(total, product, flags=("contract",)), loop)
        following = builder.add(k, number(1))
        k.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
        builder.position_at_end(after)
        for total, place in zip(sums, targets):
            known = builder.select(add, builder.load(place, align=4), zero)
            builder.store(builder.fadd(known, total.incomings[1][0]), place, align=4)
        return context.get_dummy_value()

    return types.void(a, place, down, along, panel, depth, out, target, width, add), code

"""

_KERNEL = """
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

{blocks}
def kernel(start, stop, rows, down, along, depth, chunks, add, panel, a, b, out):
    for part in range(start, stop):
        left, right, target = a[part], b[part], out[part]
        for begin in range(0, depth, {deep}):
            count = min({deep}, depth - begin)
            more = add or begin > 0
            for chunk in range(chunks):
                for k in range(count):
                    for lane in range({lanes}):
                        panel[k, lane] = right[(begin + k) * chunks + chunk, lane]
                row = 0
{loops}
"""


@cache
def load() -> Any:
    """Compile the loops.

    Returns
    -------
    callable
        ``kernel(start, stop, rows, down, along, depth, chunks, add, panel, a, b, out)`` computes, or adds if `add`, for
        each matrix from `start` to `stop` the product of `a`, of which elements (i, k) lie at ``i * down + k * along``,
        and of `b`, with `depth` rows of `chunks` chunks. All are (matrices, chunks, 16); `panel` is memory, (DEEP, 16).
    """
    from numba import float32, types

    def array(axes: int, readonly: bool = True) -> Any:
        return types.Array(float32, axes, "C", readonly=readonly)

    sizes = (6, 4, 2, 1)
    blocks = "".join(_BLOCK.format(rows=rows, lanes=LANES) for rows in sizes)
    loops = []
    for rows in sizes:
        loops += [
            f"while row + {rows} <= rows:",
            f"    block{rows}(left, row * down + begin * along, down, along, panel, count, target,"
            f" (row * chunks + chunk) * {LANES}, chunks * {LANES}, more)",
            f"    row += {rows}",
        ]
    source = _KERNEL.format(blocks=blocks, lanes=LANES, deep=DEEP, loops="\n".join(" " * 16 + line for line in loops))
    signature = types.void(*[types.int64] * 7, types.boolean, array(2, False), array(3), array(3), array(3, False))
    return compiled.load(source, "kernel", [signature], noalias=True, fastmath=("contract",))
