"""What a mesh with Explicit axes asks of code that makes arrays of its own.

There an array's sharding belongs to its type, as its shape does. What is made inside (positions,
lanes, a constant row) is on no mesh axis, and JAX refuses to mix the two in `vmap` and `select`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec


def aligned(*arrays: Any) -> tuple[Any, ...]:
    """Split the leading axes of arrays alike, as many axes as each of them has.

    Args:
      arrays: of one shape, or of shapes that begin alike.

    Returns:
      The same values; along each axis in common they are split as the first array that is split
      there. Nothing changes without Explicit mesh axes: an Auto axis is the compiler's.
    """
    shardings = [jax.typeof(array).sharding for array in arrays]
    specs = [tuple(sharding.spec) for sharding in shardings]
    common = tuple(
        next((names for names in axis if names is not None), None)
        for axis in zip(*specs, strict=False)
    )
    if not any(common):
        return arrays
    mesh = next(sharding.mesh for sharding in shardings if not sharding.mesh.empty)
    return tuple(
        jax.sharding.reshard(
            array, NamedSharding(mesh, PartitionSpec(*common, *spec[len(common) :]))
        )
        for array, spec in zip(arrays, specs, strict=True)
    )


def first_largest(x: jax.Array) -> jax.Array:
    """Whether a component is the largest of its row, and the first of them: one is, in each row
    without a NaN.
    """
    place, _ = aligned(lax.broadcasted_iota(int, x.shape, x.ndim - 1), x)
    # Not argmax, which a CPU makes one element at a time.
    largest = x == jnp.max(x, axis=-1, keepdims=True)
    return place == jnp.min(jnp.where(largest, place, x.shape[-1]), axis=-1, keepdims=True)


def is_split(array: Any, *, after: int = 0) -> bool:
    """Whether an array is split over Explicit mesh axes, along its axes from `after` on."""
    return any(names is not None for names in jax.typeof(array).sharding.spec[after:])


def rows(array: jax.Array, index: jax.Array) -> jax.Array:
    """`array[index]` for an index [B], its rows split over Explicit mesh axes as the array's are.

    Where the mesh does not divide B, each device has them all.
    """
    if not is_split(array):
        return array[index]
    sharding = jax.typeof(array).sharding
    names, *others = sharding.spec
    axes = names if isinstance(names, tuple) else () if names is None else (names,)
    if len(index) % math.prod(sharding.mesh.shape[axis] for axis in axes):
        names = None
    spec = PartitionSpec(names, *others)
    return array.at[index].get(out_sharding=NamedSharding(sharding.mesh, spec))
