"""How elementwise work on a batch is laid out: on one flat axis, and in a loop of its own."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxvae.numerics import sharding


def elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run `function` on flat arrays, under any number of `vmap`s.

    An innermost axis of ten leaves most of a vector register empty, and a `while_loop` under
    `vmap` selects old from new for each row; on one flat axis neither happens. It is compiled even
    where the caller's code is not: else each call would trace it, and compile a hundred operations.
    Arrays that Explicit mesh axes split otherwise than by rows have no flat form, and stay.
    """

    @jax.custom_batching.custom_vmap
    def flat(*args: jax.Array) -> Any:
        args = sharding.aligned(*args)
        if sharding.is_split(args[0], after=1):
            return function(*args)
        values = function(*(x.reshape(-1) for x in args))
        return jax.tree.map(lambda value: value.reshape(args[0].shape), values)

    @flat.def_vmap
    def _(size: int, batched: Sequence[bool], *args: jax.Array) -> tuple[Any, Any]:
        def whole(x: jax.Array, is_batched: bool) -> jax.Array:
            return x if is_batched else jnp.broadcast_to(x[None], (size, *x.shape))

        values = flat(*map(whole, args, batched))
        return values, jax.tree.map(lambda _: True, values)

    return jax.jit(flat, inline=True)


def in_halves(function: Callable[..., Any], *args: jax.Array) -> Any:
    """Apply an elementwise `function` to one half of the elements, then to the other.

    A loop of two rounds, so that XLA can neither fuse `function` with what makes its arguments, nor
    with what its value is multiplied by at the end of a backward pass: it would compute it there,
    element by element where shapes differ. A loop it can run beside other work.
    """
    first, count = args[0], args[0].size
    if not isinstance(count, int) or first.ndim != 1 or sharding.is_split(first):
        return function(*args)  # `jax.export` may leave a size open
    # A half is every other run of 32: a device that has a part of the rows finds both in it.
    more = -count % 64
    runs = [(jnp.pad(x, (0, more)) if more else x).reshape(-1, 2, 32) for x in args]

    def half(i: Any) -> Any:
        return function(*(lax.dynamic_index_in_dim(x, i, 1, keepdims=False) for x in runs))

    # Zeros that vary over a `shard_map`'s axes wherever an argument does, as the carry must.
    zero = functools.reduce(jnp.logical_and, (x != x for x in runs))
    start = jax.tree.map(lambda value: zero.astype(value.dtype) * 0, jax.eval_shape(half, 0))
    unset = jax.tree.map(lambda whole: whole[:, 0], start)
    both = lax.fori_loop(0, 2, lambda i, state: (state[1], half(i)), (unset, unset))

    if jax.default_backend() != "cpu":
        return jax.tree.map(lambda *pair: jnp.stack(pair, axis=1).reshape(-1)[:count], *both)

    # Each half goes to its place in a loop too. Put side by side, they would be fused into what
    # reads them, and a CPU then asks for each element from which half it comes: that takes five
    # times as long. In the first loop, a half would be computed where it is put, by one thread.
    def put(i: jax.Array, whole: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        return lax.dynamic_update_index_in_dim(whole, jnp.where(i == 0, first, second), i, 1)

    values = lax.fori_loop(
        0, 2, lambda i, whole: jax.tree.map(lambda *x: put(i, *x), whole, *both), start
    )
    return jax.tree.map(lambda whole: whole.reshape(-1)[:count], values)
