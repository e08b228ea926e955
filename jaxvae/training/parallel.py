"""The train step and the epoch over several devices, and over several hosts, under `jax.pmap`.

The state is replicated, each batch is split, and gradients and metrics are summed once a step.
Noise follows an example's place in the batch, so that any number of devices gives the same run, to
rounding.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.data.batches import Batch
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks
from jaxvae.training.epochs import chunk_function, epoch_function
from jaxvae.training.state import Metrics, TrainState
from jaxvae.training.steps import step_function
from jaxvae.training.updates import check_optimizer

AXIS = "device"
Devices = Sequence[jax.Device] | int | None


def pmap_train_step(
    vae: VAE, optimizer: optax.GradientTransformation, *, devices: Devices = None
) -> Callable[[jax.Array, TrainState, Batch], tuple[TrainState, Metrics]]:
    """`make_train_step` over several devices.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      devices: JAX devices, or how many of `jax.devices()`; all of them where None.

    Returns:
      `train_step(key, state, batch) -> (state, metrics)`. It takes the whole batch, of any size,
      and splits it; under several hosts, each gives its own rows (in equal numbers, or with their
      `position` in the whole batch filled in). State and metrics come out replicated; the state
      that goes in is donated if it is replicated already.

    Raises:
      ValueError, TypeError: if devices is none of these, or more than there are.

    Example:
      >>> from jaxvae import dense_normal_network, init_state, normal_vae
      >>> vae, optimizer = normal_vae(dense_normal_network(64, 2)), optax.adam(1e-3)
      >>> key, x = jax.random.key(0), jax.numpy.zeros((7, 64))
      >>> train_step = pmap_train_step(vae, optimizer, devices=1)
      >>> state, metrics = train_step(key, init_state(key, vae, optimizer, x), Batch(x))
      >>> int(state.step), float(metrics.weight)
      (1, 7.0)
    """
    check_model(vae)
    check_optimizer(optimizer)
    chosen = choose_devices(devices)
    step = step_function(vae, optimizer, AXIS)
    mapped = jax.pmap(
        lambda key, state, batch: step(key, state, batch, True),
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=None,
        donate_argnums=1,
        devices=chosen,
    )
    local = local_count(chosen)

    def train_step(key: jax.Array, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        with no_mesh():
            return mapped(*replicate((key, state), chosen), split_rows(batch, local))

    return train_step


def pmap_train_epoch(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    devices: Devices = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """`make_train_epoch` over several devices: the same epoch, to rounding, on any number of them.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      batch_size: examples a step over all devices; their number need not divide it.
      devices: JAX devices, or how many of `jax.devices()`; all of them where None.

    Returns:
      `train_epoch(key, state, x, y, weight=None) -> (state, metrics)`. Each device holds all of x,
      y and weight and takes its rows of every batch. State and metrics come out replicated; the
      state that goes in is donated if it is replicated already.

    Raises:
      ValueError, TypeError: if batch_size or devices is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import dense_normal_network, init_state, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> key, x, optimizer = jax.random.key(0), np.zeros((100, 64), np.float32), optax.adam(1e-3)
      >>> train_epoch = pmap_train_epoch(vae, optimizer, batch_size=32, devices=1)
      >>> state, metrics = train_epoch(key, init_state(key, vae, optimizer, x), x, None)
      >>> metrics.weight.tolist()
      [32.0, 32.0, 32.0, 4.0]
    """
    check_model(vae)
    check_optimizer(optimizer)
    chosen = choose_devices(devices)
    batch_size = checks.positive_int("batch_size", batch_size)

    @functools.cache
    def mapped(weighted: bool) -> Any:
        return map_epoch(vae, optimizer, batch_size, chosen, weighted=weighted)

    def train_epoch(
        key: jax.Array, state: TrainState, x: Any, y: Any, weight: Any = None
    ) -> tuple[TrainState, Metrics]:
        data = (x, y) if weight is None else (x, y, weight)
        epoch = mapped(weight is not None)
        with no_mesh():
            return epoch(slots(chosen), *replicate((key, state, *data), chosen))

    return train_epoch


@functools.lru_cache(maxsize=16)
def map_epoch(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    devices: tuple[jax.Device, ...],
    on_non_finite: str = "stop",
    weighted: bool = False,
) -> Any:
    """The mapped epoch itself: `(slots, key, state, x, y)`, all replicated but the first.

    And `weight` where `weighted`. The state is donated but with "trust", after which it may be
    needed once more.
    """
    epoch = epoch_function(vae, optimizer, batch_size, AXIS, on_non_finite=on_non_finite)
    return jax.pmap(
        lambda slot, *args: epoch(*args),  # pmap wants one argument to map over
        axis_name=AXIS,
        in_axes=(0, *[None] * (5 if weighted else 4)),
        out_axes=None,
        donate_argnums=() if on_non_finite == "trust" else 2,
        devices=devices,
    )


@functools.lru_cache(maxsize=16)
def map_chunk(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    devices: tuple[jax.Device, ...],
    on_non_finite: str = "stop",
) -> Any:
    """The mapped `steps.chunk_function`: `(key, state, batches, count)`, the last two split.

    The state is donated as by `map_epoch`.
    """
    return jax.pmap(
        chunk_function(vae, optimizer, AXIS, on_non_finite=on_non_finite),
        axis_name=AXIS,
        in_axes=(None, None, 0, 0),
        out_axes=None,
        donate_argnums=() if on_non_finite == "trust" else 1,
        devices=devices,
    )


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


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """Put the same arrays on each device; what is there already is not copied.

    Args:
      tree: arrays, the same on every host.
      devices: of all hosts.

    Returns:
      The arrays, replicated.
    """
    sharding = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec())
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

    What a compiled `map_epoch` or `map_chunk` is called with. One that is not compiled ahead of
    time does it itself.

    Args:
      tree: arrays [this host's devices, ...].
      devices: of all hosts.

    Returns:
      Arrays [all devices, ...].
    """
    sharding = NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))
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
    """What `map_epoch` maps over.

    Args:
      devices: of all hosts.

    Returns:
      A number for each of this host's devices.
    """
    return np.arange(local_count(devices))


def split_rows(batch: Batch, parts: int, *, axis: int = 0) -> Batch:
    """Split a batch among this host's devices: each leaf [..., B, ...] to [parts, ..., share, ...].

    Where `parts` does not divide B, rows of weight 0 fill it up.

    Args:
      batch: this host's rows. A weight or position of None is filled in.
      parts: how many.
      axis: of the rows; what stands before it (steps) stays.

    Returns:
      The batch, its new leading axis for `pmap`.

    Raises:
      ValueError: if y, weight or position is not one value a row, or a weight is not finite and
        at least 0.
    """
    rows = np.shape(batch.x)[axis]
    shape = np.shape(batch.x)[: axis + 1]
    checks.one_a_row(shape, y=batch.y, weight=batch.weight, position=batch.position)
    weight = np.ones(shape, np.float32) if batch.weight is None else batch.weight
    checks.finite_array("weight", weight, nonnegative=True)
    position = batch.position
    if position is None:
        start = jax.process_index() * rows
        position = np.broadcast_to(np.arange(start, start + rows, dtype=np.int32), shape)
    share = -(-rows // parts)

    def split(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        fill = [(0, 0)] * leaf.ndim
        fill[axis] = (0, share * parts - rows)
        shape = (*leaf.shape[:axis], parts, share, *leaf.shape[axis + 1 :])
        return np.moveaxis(np.pad(leaf, fill).reshape(shape), axis, 0)

    return jax.tree.map(split, Batch(batch.x, batch.y, weight, position))
