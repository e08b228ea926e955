"""Data whose rows are split over devices, and the one message in which a batch comes together.

Device i holds the rows from i N / devices on. The examples of a batch lie anywhere, so each device
sends to each other what that one needs of its rows: B rows a step, whatever N is.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.data import examples as data_forms
from jaxvae.data import sparse
from jaxvae.data.batches import Batch, is_packed, rows_of, take


def split_data(data: Batch, batch_size: int, mesh: Mesh) -> Batch:
    """Put the rows of a data set on the devices of a mesh, N / devices on each.

    Args:
      data: of `data.examples.examples`, on the host.
      batch_size: of the steps.
      mesh: its first axis is that of the parts; along the others each device holds the same.

    Returns:
      Arrays [devices, N / devices rounded up, ...], the last rows zeros where they do not divide N;
      no host copies more of an array than one device's part at a time, sparse ones excepted.
    """
    axis = mesh.axis_names[0]
    parts = mesh.shape[axis]
    sharding = NamedSharding(mesh, PartitionSpec(axis))
    share = -(-rows_of(data) // parts)

    def place(leaf: Any) -> Any:
        if is_packed(leaf):
            return jax.tree.map(put, sparse.split(leaf, parts))

        def part(index: Any) -> np.ndarray:
            start = (index[0].start or 0) * share
            rows = leaf[start : start + share]
            fill = [(0, share - len(rows))] + [(0, 0)] * (leaf.ndim - 1)
            return (rows if len(rows) == share else np.pad(rows, fill))[None]

        return jax.make_array_from_callback((parts, share, *leaf.shape[1:]), sharding, part)

    def put(leaf: Any) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, sharding, lambda index: leaf[index])

    form = data_forms.on_device_form(data, -(-batch_size // parts) * parts)
    return jax.tree.map(place, form, is_leaf=is_packed)


def exchanged(data: Batch, index: jax.Array, *, examples: int, axis_name: str) -> Batch:
    """A device's rows of a batch, of data that are split over a mapped axis.

    Args:
      data: this device's part, of `split_data` without its leading axis.
      index: which rows of the whole data set the batch has, integers [B], the same on each device;
        the devices divide B.
      examples: N.
      axis_name: the mapped axis.

    Returns:
      Rows [B / devices, ...], bit for bit: those of `take` at this device's columns of index.
    """
    devices, me = lax.axis_size(axis_name), lax.axis_index(axis_name)
    share = index.shape[0] // devices
    own = -(-examples // devices)
    owner, place = jnp.divmod(index, own)
    # Of a row that lies elsewhere anything may be sent: it is not looked at. Of packed rows it is
    # the empty one after the last, which takes no room.
    leaves, tree = jax.tree.flatten(take(data, jnp.where(owner == me, place, own)))
    # As bytes, so that labels, weights and masks travel in the message of x.
    whole = jnp.concatenate([_bytes(leaf) for leaf in leaves], axis=1)
    came = lax.all_to_all(whole, axis_name, 0, 0, tiled=True).reshape(devices, share, -1)
    came = came[lax.dynamic_slice_in_dim(owner, me * share, share), jnp.arange(share)]
    widths = [math.prod(leaf.shape[1:]) * leaf.dtype.itemsize for leaf in leaves]
    pieces = jnp.split(came, np.cumsum(widths)[:-1].tolist(), axis=1)
    return jax.tree.unflatten(tree, map(_from_bytes, pieces, leaves))


def on_mesh(data: Batch, index: jax.Array, *, examples: int | None, mesh: Mesh) -> Batch:
    """A batch whose rows are split over the first axis of a mesh, in a program for the whole mesh.

    Args:
      data: all examples on each device; or split, as `split_data` places them.
      index: which rows the batch has, integers [B]; the axis divides B.
      examples: N where data are split; None where each device holds them all.
      mesh: of Auto axes.

    Returns:
      Rows [B, ...].
    """
    axis = mesh.axis_names[0]
    if examples is None:
        return lax.with_sharding_constraint(
            take(data, index), NamedSharding(mesh, PartitionSpec(axis))
        )
    # Left to itself the compiler would bring all examples together, or all rows of a batch to all.
    gather = functools.partial(exchanged, examples=examples, axis_name=axis)
    return jax.shard_map(
        lambda data, index: gather(jax.tree.map(lambda leaf: leaf[0], data), index),
        mesh=mesh,
        in_specs=(PartitionSpec(axis), PartitionSpec()),
        out_specs=PartitionSpec(axis),
        check_vma=False,
    )(data, index)


def _bytes(leaf: jax.Array) -> jax.Array:
    """An array [B, ...] as its bytes [B, n]."""
    if leaf.dtype == bool:
        leaf = leaf.astype(jnp.uint8)
    return lax.bitcast_convert_type(leaf, jnp.uint8).reshape(leaf.shape[0], -1)


def _from_bytes(found: jax.Array, like: jax.Array) -> jax.Array:
    """Bytes [b, n] as the array [b, ...] that they were."""
    shape, size = (found.shape[0], *like.shape[1:]), like.dtype.itemsize
    if like.dtype == bool:
        return found.reshape(shape) != 0
    return lax.bitcast_convert_type(
        found.reshape(shape if size == 1 else (*shape, size)), like.dtype
    )
