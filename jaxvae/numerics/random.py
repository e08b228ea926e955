"""The random numbers of `jax.random`, bit for bit, in a third of its time on a CPU.

There `jax.random` runs Threefry as a loop of five rounds over arrays in memory: on a batch of keys
that is twenty small programs for each call, a tenth of a small training step. Here it is spelt out,
and XLA makes one loop of it. Another device, and keys of another kind than Threefry's, are left to
`jax.random` itself.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvae.numerics.flat import elementwise, in_halves

Words = tuple[jax.Array, jax.Array]


def threefry_2x32(key: Words, counter: Words) -> Words:
    """Threefry-2x32 with 20 rounds, elementwise: a key and a counter for each element.

    As JAX's own, but spelt out, so that XLA fuses it with what uses its words.
    """
    k0, k1 = key
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = counter[0] + k0, counter[1] + k1
    for block in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2]:
            x0 = x0 + x1
            x1 = x0 ^ ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation)))
        x0 = x0 + keys[(block + 1) % 3]
        x1 = x1 + keys[(block + 2) % 3] + np.uint32(block + 1)
    return x0, x1


def _spelt_out(key: jax.Array) -> bool:
    if jax.default_backend() != "cpu":
        return False
    partitionable = getattr(jax.config, "jax_threefry_partitionable", True)
    return bool(partitionable) and str(jax.random.key_impl(key)) == "threefry2x32"


def _words(key: jax.Array) -> Words:
    k0, k1 = jax.random.key_data(key)  # not by index, which eager code moves to the device
    return k0, k1


def fold_in(key: jax.Array, data: Any) -> jax.Array:
    """`jax.random.fold_in(key, data)`; under `vmap`, of a batch of either.

    Args:
      key: one typed key.
      data: an integer scalar.

    Returns:
      A key.
    """
    data = jnp.asarray(data, jnp.uint32)
    if not _spelt_out(key):
        return jax.random.fold_in(key, data)
    words = _folded(*_words(key), data)
    return jax.random.wrap_key_data(jnp.stack(words), impl="threefry2x32")


@elementwise
def _folded(k0: jax.Array, k1: jax.Array, data: jax.Array) -> Words:
    # In a loop: what is drawn from a key would compute it anew for each of its elements.
    def folded(k0: jax.Array, k1: jax.Array, data: jax.Array) -> Words:
        return threefry_2x32((k0, k1), (data ^ data, data))

    return in_halves(folded, k0, k1, data)


def bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """`jax.random.bits(key, shape, uint32)`.

    Args:
      key: one typed key.
      shape: of at most 2^32 elements.

    Returns:
      uint32 of that shape.
    """
    if not _spelt_out(key):
        return jax.random.bits(key, shape, jnp.uint32)
    return _bits(*_counted(key, shape))


def normal(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """`jax.random.normal(key, shape, dtype)`.

    Args:
      key: one typed key.
      shape: of at most 2^32 elements.
      dtype: of floats; another than float32 is left to `jax.random`.

    Returns:
      Of that shape and dtype.
    """
    if not _spelt_out(key) or dtype != jnp.float32:
        return jax.random.normal(key, shape, dtype)
    return _normal(*_counted(key, shape))


def bernoulli(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    """`jax.random.bernoulli(key, p, shape)`.

    Args:
      key: one typed key.
      p: the probability of True.
      shape: of at most 2^32 elements.

    Returns:
      bool of that shape.
    """
    if not _spelt_out(key):
        return jax.random.bernoulli(key, p, shape)
    return _uniform(bits(key, shape)) < np.float32(p)


def permutation(key: jax.Array, count: int) -> jax.Array:
    """`jax.random.permutation(key, count)`.

    Args:
      key: one typed key.
      count: N.

    Returns:
      0 ... N-1 in a random order, integers [N].
    """
    if not _spelt_out(key):
        return jax.random.permutation(key, count)
    # Rounds of sorting by random words, so many that two examples with the same words in each are
    # unlikely. No round waits for another: their orders are put together at the end.
    order = jnp.arange(count)
    for _ in range(math.ceil(3 * math.log(max(1, count)) / math.log(2**32 - 1))):
        key, own = fold_in(key, 0), fold_in(key, 1)
        order = order[_argsort(bits(own, (count,)))]
    return order


def _argsort(words: jax.Array) -> jax.Array:
    """`jnp.argsort(words)` of random words [N], on a CPU in a quarter of its time.

    XLA sorts numbers alone five times as fast as numbers with their places. So each word is looked
    up among the sorted. Where two are equal, one has taken the place and the other gets the next;
    where more are, one run in 10^6 with 10^5 words, a place is left empty.
    """
    number, none = jnp.arange(len(words)), (words ^ words).astype(int) - 1
    ordered = jnp.sort(words)
    place = jnp.searchsorted(ordered, words)
    order = none.at[place].set(number)
    left_out = order[place] != number
    order = order.at[jnp.where(left_out, place + 1, len(words))].set(number, mode="drop")
    # Of two equal words the first comes first.
    after = jnp.roll(order, -1)
    swapped = (jnp.roll(ordered, -1) == ordered) & (order > after) & (number < len(words) - 1)
    before_swapped = jnp.roll(swapped, 1)
    order = jnp.where(swapped, after, jnp.where(before_swapped, jnp.roll(order, 1), order))
    return lax.cond(jnp.all(order >= 0), lambda: order, lambda: jnp.argsort(words).astype(int))


def _counted(key: jax.Array, shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The key's two words and a number, for each element."""
    lane = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    k0, k1 = (jnp.broadcast_to(word[(None,) * lane.ndim], shape) for word in _words(key))
    return k0, k1, lane


# Each in a loop of its own: both a forward and a backward pass read it, and would make it anew.
@elementwise
def _bits(k0: jax.Array, k1: jax.Array, lane: jax.Array) -> jax.Array:
    return in_halves(_word, k0, k1, lane)


@elementwise
def _normal(k0: jax.Array, k1: jax.Array, lane: jax.Array) -> jax.Array:
    def drawn(k0: jax.Array, k1: jax.Array, lane: jax.Array) -> jax.Array:
        # On (-1, 1), by the rounding errors of JAX's formula for an interval.
        low = np.nextafter(np.float32(-1), np.float32(0))
        u = _uniform(_word(k0, k1, lane)) * (np.float32(1) - low) + low
        return np.float32(np.sqrt(2)) * lax.erf_inv(jnp.maximum(u, low))

    return in_halves(drawn, k0, k1, lane)


def _word(k0: jax.Array, k1: jax.Array, lane: jax.Array) -> jax.Array:
    w0, w1 = threefry_2x32((k0, k1), (lane ^ lane, lane))
    return w0 ^ w1


def _uniform(bits: jax.Array) -> jax.Array:
    """float32 in [0, 1) from 23 of the bits."""
    one = np.float32(1).view(np.uint32)
    return lax.bitcast_convert_type((bits >> 9) | one, jnp.float32) - np.float32(1)
