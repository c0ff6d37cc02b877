"""A whole LSTM layer over time as one op, so that a step in time costs one matmul and little else.

Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997, with the forget gate
of Gers et al. (2000). With the gates in the order input, forget, output, candidate:

    z[t] = x_gates[t] + h[t-1] @ w
    i, f, o = sigmoid(z[t])[three quarters],  u = tanh(z[t])[the last quarter]
    c[t] = f * c[t-1] + i * u
    h[t] = o * tanh(c[t])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eagerflow.core import Draw, GradientTape, Op, Sample, Spec, Tensor, convert
from eagerflow.core.batching import loop, repeated
from eagerflow.core.forward import ForwardLevel
from eagerflow.errors import ShapeError
from eagerflow.ops.elementwise.trigonometric import tanh
from eagerflow.ops.networks.batched_images import fold, unfold
from eagerflow.ops.precision import in_float32

__all__ = ["lstm"]


@in_float32
def _forward(xp: Any, x: Any, h0: Any, c0: Any, w: Any) -> tuple[Any, Any, Any]:
    steps, batch, width = x.shape
    size = width // 4
    gates = xp.empty((steps, batch, width), x.dtype)
    h = xp.empty((steps, batch, size), x.dtype)
    c = xp.empty((steps, batch, size), x.dtype)
    work = xp.empty((batch, size), x.dtype)
    before_h, before_c = h0, c0
    for t in range(steps):
        a, now = gates[t], c[t]
        xp.matmul(before_h, w, out=a)
        a += x[t]
        # sigmoid(z) = (1 + tanh(z / 2)) / 2, so that one tanh serves all gates.
        sigmoids = a[:, : 3 * size]
        sigmoids *= 0.5
        xp.tanh(a, out=a)
        sigmoids *= 0.5
        sigmoids += 0.5
        xp.multiply(a[:, :size], a[:, 3 * size :], out=work)
        xp.multiply(a[:, size : 2 * size], before_c, out=now)
        now += work
        xp.tanh(now, out=work)
        xp.multiply(a[:, 2 * size : 3 * size], work, out=h[t])
        before_h, before_c = h[t], now
    return h, c, gates


@in_float32
def _backward(xp: Any, gh: Any, gc: Any, gg: Any, c: Any, gates: Any, c0: Any, w: Any) -> tuple[Any, Any, Any]:
    steps, batch, size = c.shape
    i, f, o, u = (gates[:, :, k * size : (k + 1) * size] for k in range(4))
    tanh_c = xp.tanh(c)
    # All that needs no gradient is computed for all times at once; `z` first holds the factors
    # of the gradients of c and h in those of z.
    z = xp.empty_like(gates)
    zi, zf, zo, zu = (z[:, :, k * size : (k + 1) * size] for k in range(4))
    slope = gates * (1 - gates)  # of the sigmoids
    xp.multiply(u, slope[:, :, :size], out=zi)
    xp.multiply(slope[1:, :, size : 2 * size], c[:-1], out=zf[1:])
    xp.multiply(slope[0, :, size : 2 * size], c0, out=zf[0])
    xp.multiply(tanh_c, slope[:, :, 2 * size : 3 * size], out=zo)
    slope_u = 1 - u * u
    xp.multiply(i, slope_u, out=zu)
    through = o * (1 - tanh_c * tanh_c)
    direct = None
    if gg is not None:
        slope[:, :, 3 * size :] = slope_u
        direct = gg * slope
    dh = xp.zeros((batch, size), gates.dtype)
    dc = xp.zeros((batch, size), gates.dtype)
    work = xp.empty((batch, size), gates.dtype)
    transposed = w.T
    for t in range(steps - 1, -1, -1):
        if gh is not None:
            dh += gh[t]
        if gc is not None:
            dc += gc[t]
        xp.multiply(dh, through[t], out=work)
        dc += work
        zi[t] *= dc
        zf[t] *= dc
        zu[t] *= dc
        zo[t] *= dh
        if direct is not None:
            z[t] += direct[t]
        dc *= f[t]
        xp.matmul(z[t], transposed, out=dh)
    return z, dh, dc


def _composed(gh: Any, gc: Any, gg: Any, c: Tensor, gates: Tensor, c0: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """Compute what `_backward` does, out of ops that have gradients."""
    steps, _, size = c.shape
    dh: Any = None
    dc: Any = None
    rows: list[Tensor] = []
    for t in range(steps - 1, -1, -1):
        a = gates[t]
        i, f, o, u = (a[:, k * size : (k + 1) * size] for k in range(4))
        before = c[t - 1] if t else c0
        tanh_c = tanh(c[t])
        dh = _plus(dh, None if gh is None else gh[t])
        dc = _plus(dc, None if gc is None else gc[t])
        if dh is not None:
            dc = _plus(dc, dh * o * (1 - tanh_c * tanh_c))
        zero = a[:, :size] * 0
        gates_gradient = [
            zero if dc is None else dc * u,
            zero if dc is None else dc * before,
            zero if dh is None else dh * tanh_c,
            zero if dc is None else dc * i,
        ]
        slopes = [i * (1 - i), f * (1 - f), o * (1 - o), 1 - u * u]
        parts = []
        for k in range(4):
            total = gates_gradient[k] if gg is None else gates_gradient[k] + gg[t][:, k * size : (k + 1) * size]
            parts.append(total * slopes[k])
        row = _side_by_side(parts)
        rows.append(row)
        dh = row @ w.T
        dc = zero if dc is None else dc * f
    return convert(rows[::-1]), dh, dc


def _tangents(tangents: list[Any], h0: Tensor, c0: Tensor, w: Tensor, out: Any) -> tuple[Tensor, ...]:
    """Return the tangents of the results."""
    h, c, gates = out
    tx, th, tc, tw = tangents
    size = w.shape[0]
    rows: list[list[Tensor]] = [[], [], []]
    for t in range(h.shape[0]):
        a = gates[t]
        before_h, before_c = (h[t - 1], c[t - 1]) if t else (h0, c0)
        z = _plus(None if tx is None else tx[t], None if th is None else th @ w)
        z = _plus(z, None if tw is None else before_h @ tw)
        z = a * 0 if z is None else z
        i, f, o, u = (a[:, k * size : (k + 1) * size] for k in range(4))
        slopes = [i * (1 - i), f * (1 - f), o * (1 - o), 1 - u * u]
        parts = [z[:, k * size : (k + 1) * size] * slope for k, slope in enumerate(slopes)]
        tanh_c = tanh(c[t])
        tc = _plus(None if tc is None else tc * f, parts[0] * u + parts[1] * before_c + parts[3] * i)
        th = parts[2] * tanh_c + tc * o * (1 - tanh_c * tanh_c)
        for row, made in zip(rows, (th, tc, _side_by_side(parts)), strict=True):
            row.append(made)
    return convert(rows[0]), convert(rows[1]), convert(rows[2])


def _gradient_tangents(tangents: list[Any], inputs: list[Any]) -> list[Any]:
    level = ForwardLevel()
    with level.running():
        given = [x if t is None else level.dual(x, t) for x, t in zip(inputs, tangents, strict=True)]
        made = _composed(*given)
    return [level.split(y)[1] for y in made]


def _batch(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule: the examples are one larger batch."""
    if batched[-1] or not size:
        # Weights of their own make each example's step in time a matmul of its own, whether in a loop or not.
        return loop(op, size, inputs, batched, attrs)
    folded = []
    for x, b in zip(inputs[:-1], batched, strict=False):
        x = x if b or x is None else repeated(x, size)
        folded.append(None if x is None else fold(x, x.ndim - 3))
    return [unfold(y, y.ndim - 2, size) for y in op(*folded, inputs[-1])]


def _side_by_side(parts: list[Tensor]) -> Tensor:
    """Return four parts [batch, size] as one row of gates [batch, 4 * size]."""
    batch, size = parts[0].shape
    return convert(parts).transpose(1, 0, 2).reshape((batch, 4 * size))


def _plus(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


def _shapes(x: Spec, h0: Spec, c0: Spec, w: Spec) -> tuple[Spec, Spec, Spec]:
    steps, batch, width = x.shape
    return Spec((steps, batch, width // 4), x.dtype), Spec((steps, batch, width // 4), x.dtype), Spec(x.shape, x.dtype)


def _flops(x: Spec, h0: Spec, c0: Spec, w: Spec) -> float:
    return 2.0 * x.shape[0] * x.shape[1] * w.size


def _sample(draw: Draw) -> Sample:
    steps, batch, size = (draw.integer(1, 3) for _ in range(3))
    return Sample(
        (
            draw.array((steps, batch, 4 * size), -1, 1),
            draw.array((batch, size), -1, 1),
            draw.array((batch, size), -1, 1),
            draw.array((size, 4 * size), -1, 1),
        )
    )


def _sample_gradient(draw: Draw) -> Sample:
    steps, batch, size = (draw.integer(1, 3) for _ in range(3))
    state, wide = (steps, batch, size), (steps, batch, 4 * size)
    given = [draw.array(state), draw.array(state), draw.array(wide)]
    kept = [g if draw.integer(0, 2) else None for g in given]
    if all(g is None for g in kept):
        kept[0] = given[0]
    return Sample(
        (*kept, draw.array(state), draw.array(wide, 0.1, 0.9), draw.array((batch, size)), draw.array((size, 4 * size)))
    )


def _gradients(g: Any, out: Any, c0: Tensor, w: Tensor) -> Any:
    """Return the gradients of z, h0 and c0."""
    _, c, gates = out
    return g.once(lambda: _lstm_gradient(g[0], g[1], g[2], c, gates, c0, w))


def _to_w(g: Any, out: Any, h0: Tensor, c0: Tensor, w: Tensor) -> Tensor:
    z = _gradients(g, out, c0, w)[0]
    h = out[0]
    steps, batch, width = z.shape
    size = width // 4
    gradient = h0.T @ z[0]
    if steps > 1:
        gradient = gradient + h[:-1].reshape((steps - 1) * batch, size).T @ z[1:].reshape((steps - 1) * batch, width)
    return gradient


_lstm = Op(
    "lstm",
    _forward,
    inputs="x h0 c0 w",
    outputs=3,
    infer=_shapes,
    flops=_flops,
    sample=_sample,
    vjp=(
        lambda g, out, c0, w: _gradients(g, out, c0, w)[0],
        lambda g, out, c0, w: _gradients(g, out, c0, w)[1],
        lambda g, out, c0, w: _gradients(g, out, c0, w)[2],
        _to_w,
    ),
    jvp=_tangents,
    batch=_batch,
)


def _second(position: int) -> Callable[..., Any]:
    def vjp(g: Any, gh: Any, gc: Any, gg: Any, c: Any, gates: Any, c0: Any, w: Any) -> Any:
        def compute() -> list[Any]:
            inputs = [gh, gc, gg, c, gates, c0, w]
            present = [x for x in inputs if x is not None]
            with GradientTape() as tape:
                tape.watch(present)
                results = _composed(*inputs)
                used = [(r, weight) for r, weight in zip(results, g, strict=True) if weight is not None]
                targets, weights = [r for r, _ in used], [weight for _, weight in used]
            found = iter(tape.gradient(targets, present, weights, unconnected="zero"))
            return [None if x is None else next(found) for x in inputs]

        return g.once(compute)[position]

    return vjp


_lstm_gradient = Op(
    "lstm_gradient",
    _backward,
    inputs="gh? gc? gg? c gates c0 w",
    outputs=3,
    infer=lambda gh, gc, gg, c, gates, c0, w: (gates, c0, c0),
    flops=lambda gh, gc, gg, c, gates, c0, w: 2.0 * c.shape[0] * c.shape[1] * w.size,
    sample=_sample_gradient,
    vjp=[_second(position) for position in range(7)],
    jvp=_gradient_tangents,
    batch=_batch,
)


def lstm(x_gates: Any, h0: Any, c0: Any, w: Any) -> tuple[Tensor, Tensor]:
    """Run a layer of long short-term memory over a sequence.

    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; the forget gate
    is that of Gers et al., "Learning to forget", Neural Computation 2000.

    Parameters
    ----------
    x_gates : array_like
        What the inputs and the bias contribute to the gates, of shape ``(time, batch, 4 * size)``;
        the gates lie in the order input, forget, output, candidate.
    h0, c0 : array_like
        Output and cell before the first step, of shape ``(batch, size)``.
    w : array_like
        Recurrent weights, of shape ``(size, 4 * size)``.

    Returns
    -------
    h, c : Tensor
        Output and cell after each step, of shape ``(time, batch, size)``.

    Raises
    ------
    ShapeError
        The shapes do not fit, or there is no step.

    Examples
    --------
    >>> import eagerflow as ef
    >>> h, c = ef.nn.lstm(ef.zeros((5, 2, 12)), ef.zeros((2, 3)), ef.zeros((2, 3)), ef.zeros((3, 12)))
    >>> h.shape
    (5, 2, 3)
    """
    x_gates, h0, c0, w = convert(x_gates), convert(h0), convert(c0), convert(w)
    if x_gates.ndim != 3 or not x_gates.shape[0] or x_gates.shape[2] % 4:
        raise ShapeError(f"lstm: expected x_gates of shape (time, batch, 4 * size), got {x_gates.shape}")
    _, batch, width = x_gates.shape
    size = width // 4
    for name, value, shape in (("h0", h0, (batch, size)), ("c0", c0, (batch, size)), ("w", w, (size, width))):
        if value.shape != shape:
            raise ShapeError(f"lstm: expected {name} of shape {shape} for x_gates {x_gates.shape}, got {value.shape}")
    h, c, _ = _lstm(x_gates, h0, c0, w)
    return h, c
