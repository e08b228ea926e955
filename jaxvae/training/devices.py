"""Where a run's arrays lie: the devices, what is replicated on them and what is split over them."""

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.data.batches import Batch
from jaxvae.numerics import checks

AXIS = "device"
Devices = Sequence[jax.Device] | int | None


def choose_devices(devices: Devices) -> tuple[jax.Device, ...]:
    """The devices that an argument of this name means.

    Args:
      devices: JAX devices, or how many of `jax.devices()`; all of them where None.

    Returns:
      The devices.

    Raises:
      ValueError, TypeError: if it is none of these, or more than there are; under several hosts,
        if a host would have none.
    """
    present = jax.devices()
    if devices is None:
        chosen = tuple(present)
    elif isinstance(devices, Sequence):
        chosen = tuple(devices)
        if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(present):
            raise ValueError(f"devices must be different ones of {present}, got {devices}")
    else:
        if not hasattr(devices, "__index__") or isinstance(devices, bool):
            raise TypeError(
                f"devices must be JAX devices or how many, or for fit a Placement, got {devices!r}"
            )
        number = checks.positive_int("devices", devices)
        if number > len(present):
            raise ValueError(f"devices must be at most {len(present)} here, got {number}")
        chosen = tuple(present[:number])
    if len({device.process_index for device in chosen}) < jax.process_count():
        raise ValueError(f"devices must include some of every host, got {chosen}")
    return chosen


def no_mesh() -> contextlib.AbstractContextManager:
    """Leave the mesh of `jax.set_mesh`, if there is one: `pmap` brings its own, and wants no other.

    Returns:
      A context.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return contextlib.nullcontext()
    return jax.set_mesh(Mesh(np.empty((), object), ()))


def local_count(devices: Sequence[jax.Device]) -> int:
    """How many of the devices belong to this host.

    Args:
      devices: of all hosts.

    Returns:
      Their number.
    """
    return sum(device.process_index == jax.process_index() for device in devices)


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """Devices as a mesh of one axis.

    Args:
      devices: of all hosts.

    Returns:
      The mesh; its axis is `AXIS`, "device".
    """
    return Mesh(np.array(devices), (AXIS,))


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Put the same arrays on each device; what is there already is not copied.

    Args:
      tree: arrays, the same on every host.
      devices: of all hosts.

    Returns:
      The arrays, replicated.
    """
    sharding = NamedSharding(mesh_of(devices), PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    local = [device for device in devices if device.process_index == jax.process_index()]

    def place(leaf: Any) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
            return leaf
        copies = [jax.device_put(leaf, device) for device in local]
        return jax.make_array_from_single_device_arrays(np.shape(leaf), sharding, copies)

    return jax.tree.map(place, tree)


def shard(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Put each row of this host's arrays on a device of its own.

    What a mapped program that is compiled ahead of time is called with.

    Args:
      tree: arrays [this host's devices, ...].
      devices: of all hosts.

    Returns:
      Arrays [all devices, ...].
    """
    sharding = NamedSharding(mesh_of(devices), PartitionSpec(AXIS))
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), tree)


def local_copy(tree: Any) -> Any:
    """Replicated arrays as arrays of this host's first device, without a copy.

    Args:
      tree: what `replicate` or a mapped function gave.

    Returns:
      The arrays; donating those of `tree` deletes them too.
    """
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def slots(devices: Sequence[jax.Device]) -> np.ndarray:
    """What a mapped program maps over where all else is replicated.

    Args:
      devices: of all hosts.

    Returns:
      A number for each of this host's devices.
    """
    return np.arange(local_count(devices))


def filled_rows(batch: Batch, parts: int, *, axis: int = 0) -> Batch:
    """A batch filled up by rows of weight 0 to a number that `parts` divides.

    Args:
      batch: of `split_rows`.
      parts: among which a mesh will split its rows.
      axis: of the rows.

    Returns:
      The batch, weight and position filled in.

    Raises:
      ValueError: as `split_rows`.
    """

    def joined(leaf: np.ndarray) -> np.ndarray:
        leaf = np.moveaxis(leaf, 0, axis)
        return leaf.reshape(*leaf.shape[:axis], -1, *leaf.shape[axis + 2 :])

    return jax.tree.map(joined, split_rows(batch, parts, axis=axis))


def split_rows(batch: Batch, parts: int, *, axis: int = 0) -> Batch:
    """Split a batch among this host's devices: each leaf [..., B, ...] to [parts, ..., share, ...].

    Where `parts` does not divide B, rows of weight 0 fill it up; in a mask they count as seen, so
    that nothing is divided by how much was.

    Args:
      batch: this host's rows. A weight or position of None is filled in.
      parts: how many.
      axis: of the rows; what stands before it (steps) stays.

    Returns:
      The batch, its new leading axis for `pmap`.

    Raises:
      ValueError: if a field has not as many rows as x, or a weight is not finite and at least 0.
    """
    shape = np.shape(jax.tree.leaves(batch.x)[0])[: axis + 1]
    rows = shape[axis]
    checks.one_a_row(shape, y=batch.y, weight=batch.weight, position=batch.position)
    for name, tree in {"x": batch.x, "condition": batch.condition, "mask": batch.mask}.items():
        for leaf in jax.tree.leaves(tree):
            if np.shape(leaf)[: axis + 1] != shape:
                raise ValueError(
                    f"{name} must have {rows} rows in each array, got {np.shape(leaf)}"
                )
    weight = np.ones(shape, np.float32) if batch.weight is None else batch.weight
    checks.finite_array("weight", weight, nonnegative=True)
    position = batch.position
    if position is None:
        start = jax.process_index() * rows
        position = np.broadcast_to(np.arange(start, start + rows, dtype=np.int32), shape)
    share = -(-rows // parts)

    def split(leaf: Any, filling: int = 0) -> np.ndarray:
        leaf = np.asarray(leaf)
        fill = [(0, 0)] * leaf.ndim
        fill[axis] = (0, share * parts - rows)
        shape = (*leaf.shape[:axis], parts, share, *leaf.shape[axis + 1 :])
        padded = np.pad(leaf, fill, constant_values=filling)
        return np.moveaxis(padded.reshape(shape), axis, 0)

    mask = jax.tree.map(lambda leaf: split(leaf, 1), batch.mask)
    whole = batch._replace(weight=weight, position=position, mask=None)
    return jax.tree.map(split, whole)._replace(mask=mask)
