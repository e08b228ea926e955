"""Where a run lies: on one device, over several by `pmap`, or as one program on a mesh.

A layout brings examples and states to its devices, compiles what trains them there, and reads what
comes back. The rest of a run knows no more of devices than is here.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxvae.data.batches import Batch
from jaxvae.data.streaming import Chunk
from jaxvae.model.networks import Params
from jaxvae.training import devices as places
from jaxvae.training.exchange import split_data
from jaxvae.training.placement import Placed, Placement, auto_mesh, placed_state
from jaxvae.training.state import TrainState

# What a call of the compiled program begins with: keys, states, values.
Call = tuple[Any, TrainState, Any]


@dataclasses.dataclass(frozen=True)
class Layout:
    """All on JAX's default device; the other layouts say in what they differ.

    Attributes:
      by_itself: whether arrays lie there by themselves: shapes are then all that is compiled for.
      one_has_all: whether one device has room for all parameters.
      axis_name: the mapped axis over which each batch is split, or None.
      splits_data: whether each device holds a part of the examples only.
    """

    by_itself: ClassVar[bool] = True
    one_has_all: ClassVar[bool] = True
    axis_name: ClassVar[str | None] = None
    splits_data = False

    def context(self) -> contextlib.AbstractContextManager:
        """In which everything else here is done."""
        return contextlib.nullcontext()

    def of_state(self, like: TrainState) -> "Layout":
        """This layout, once the shapes of a state are known."""
        return self

    def like(self, state: TrainState) -> TrainState:
        """The shapes of a state, as they lie there."""
        return state

    def made(self, make: Callable[[jax.Array], TrainState], key: jax.Array) -> TrainState:
        """A state before the first step, of `make(key)`."""
        return make(key)

    def call(self, call: Call) -> Call:
        """What a call begins with, put there."""
        return call

    def local(self, state: TrainState) -> TrainState:
        """A state as the user sees it."""
        return state

    def data(self, data: Batch, form: Callable[[], Batch], batch_size: int) -> Batch:
        """All examples, put there.

        Args:
          data: of `data.examples.examples`.
          form: gives them as `data.examples.on_device_form` does.
          batch_size: of the steps.
        """
        return self.on_each(form())

    def on_each(self, tree: Any) -> Any:
        """The same arrays on each device."""
        return jax.device_put(tree)

    def host_rows(self, batch_size: int) -> int:
        """How many rows of a batch this host reads."""
        return batch_size

    def chunk(self, chunk: Chunk) -> tuple[Any, Any]:
        """A chunk of a stream, put there: its batches, and how many of them are to be used."""
        return self.on_each((chunk.batches, np.int32(chunk.used)))

    def rows(self, leaf: jax.Array) -> np.ndarray:
        """This host's rows of an array of a chunk's batches."""
        return np.asarray(leaf)

    def slots(self) -> tuple[jax.Array, ...]:
        """What the compiled program takes before all else."""
        return ()

    def epoch_options(self) -> dict[str, Any]:
        """Of `epochs.epoch_function`."""
        return {"axis_name": self.axis_name}

    def compiled(
        self, function: Callable[..., Any], *, donates: bool, is_chunk: bool
    ) -> jax.stages.Wrapped:
        """A function of `(key, state, values, *data)`, for these devices.

        Args:
          function: returns `(state, metrics, steps made)`.
          donates: whether the state is given away.
          is_chunk: whether the data are those of `chunk`; else of `data`.

        Returns:
          A function of `(*slots, key, state, values, *data)`, to be compiled for its arguments.
        """
        return jax.jit(function, donate_argnums=(1,) if donates else (), **self.outputs())

    def outputs(self) -> dict[str, Any]:
        """Of `jax.jit`: where what the function returns lies."""
        return {}


ONE_DEVICE = Layout()


@dataclasses.dataclass(frozen=True)
class _Mapped(Layout):
    """Over devices by `pmap`, each with a copy of the examples.

    Attributes:
      devices: of all hosts.
    """

    devices: tuple[jax.Device, ...]

    by_itself = False
    own_axis: ClassVar[int | None]  # of key, state and values

    def context(self) -> contextlib.AbstractContextManager:
        return places.no_mesh()

    def on_each(self, tree: Any) -> Any:
        return places.replicate(tree, self.devices)

    def rows(self, leaf: jax.Array) -> np.ndarray:
        return np.asarray(leaf.addressable_data(0))

    def slots(self) -> tuple[jax.Array, ...]:
        return (places.shard(places.slots(self.devices), self.devices),)

    def splits(self, is_chunk: bool) -> bool:
        """Whether examples have an axis of devices."""
        return False

    def compiled(
        self, function: Callable[..., Any], *, donates: bool, is_chunk: bool
    ) -> jax.stages.Wrapped:
        own, of_data = self.own_axis, 0 if self.splits(is_chunk) else None
        mapped: jax.stages.Wrapped = jax.pmap(
            lambda slot, *args: function(*args),  # pmap wants one argument to map over
            axis_name=places.AXIS,
            in_axes=(0, own, own, own, *[of_data] * (2 if is_chunk else 1)),
            out_axes=own,
            donate_argnums=(2,) if donates else (),
            devices=self.devices,
        )
        return mapped


@dataclasses.dataclass(frozen=True)
class SplitBatches(_Mapped):
    """One run, its batches split over devices; a copy of the state on each.

    Attributes:
      splits_data: whether each device holds a part of the examples only.
    """

    splits_data: bool = False

    axis_name = places.AXIS
    own_axis = None

    def call(self, call: Call) -> Call:
        there: Call = places.replicate(call, self.devices)
        return there

    def local(self, state: TrainState) -> TrainState:
        own: TrainState = places.local_copy(state)
        return own

    def data(self, data: Batch, form: Callable[[], Batch], batch_size: int) -> Batch:
        if self.splits_data:
            return split_data(data, batch_size, places.mesh_of(self.devices))
        return super().data(data, form, batch_size)

    def host_rows(self, batch_size: int) -> int:
        local = places.local_count(self.devices)
        rows, rest = divmod(batch_size * local, len(self.devices))
        if rest and jax.process_count() > 1:
            raise ValueError(
                f"batch_size must give each host whole rows, got {batch_size} "
                f"for {local} of {len(self.devices)} devices"
            )
        return rows

    def chunk(self, chunk: Chunk) -> tuple[Any, Any]:
        local = places.local_count(self.devices)
        batches = places.split_rows(chunk.batches, local, axis=1)
        used = np.full(local, chunk.used, np.int32)
        there: tuple[Any, Any] = places.shard((batches, used), self.devices)
        return there

    def rows(self, leaf: jax.Array) -> np.ndarray:
        return np.concatenate([np.asarray(part.data) for part in leaf.addressable_shards])

    def splits(self, is_chunk: bool) -> bool:
        return is_chunk or self.splits_data


@dataclasses.dataclass(frozen=True)
class SpreadMembers(_Mapped):
    """Many runs, spread over devices in equal numbers, the last one again where they do not divide.

    Attributes:
      members: how many.
    """

    members: int

    own_axis = 0

    def call(self, call: Call) -> Call:
        count = len(self.devices)
        share = -(-self.members // count)
        rows = np.minimum(np.arange(share * count), self.members - 1)

        def split(leaf: Any) -> jax.Array:
            leaf = jnp.asarray(leaf)[rows]
            return leaf.reshape(count, share, *leaf.shape[1:])

        there: Call = places.shard(jax.tree.map(split, call), self.devices)
        return there

    def local(self, state: TrainState) -> TrainState:
        first = jax.devices()[0]

        def join(leaf: jax.Array) -> jax.Array:
            return jax.device_put(leaf.reshape(-1, *leaf.shape[2:])[: self.members], first)

        return jax.tree.map(join, state)


@dataclasses.dataclass(frozen=True)
class OnMesh(Layout):
    """One run as one program for all devices of a mesh, over which its parameters may be split.

    Attributes:
      mesh: of Auto axes; its first axis is that of the rows of a batch.
      specs_of: `Placement.params`; None from `of_state` on: the layout is kept in a cache, and must
        not keep what the function holds.
      splits_data: whether each device holds a part of the examples only.
      placed: where the state lies, of `of_state`.
    """

    mesh: Mesh
    specs_of: Callable[[Params], Any] | None
    splits_data: bool = False
    placed: Placed | None = None

    by_itself = one_has_all = False

    def context(self) -> contextlib.AbstractContextManager:
        return places.no_mesh()

    def of_state(self, like: TrainState) -> Layout:
        placed = placed_state(like, self.mesh, self.specs_of)
        return dataclasses.replace(self, placed=placed, specs_of=None)

    def like(self, state: TrainState) -> TrainState:
        return self._placed.like(state)

    def made(self, make: Callable[[jax.Array], TrainState], key: jax.Array) -> TrainState:
        # Made where it lies: no device ever holds all of it.
        state: TrainState = jax.jit(make, out_shardings=self._placed.state)(key)
        return state

    def call(self, call: Call) -> Call:
        key, state, values = call
        there = self._placed
        return jax.device_put(key, there.everywhere), jax.device_put(state, there.state), values

    def data(self, data: Batch, form: Callable[[], Batch], batch_size: int) -> Batch:
        if self.splits_data:
            return split_data(data, batch_size, self.mesh)
        return super().data(data, form, batch_size)

    def on_each(self, tree: Any) -> Any:
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def chunk(self, chunk: Chunk) -> tuple[Any, Any]:
        axis = self.mesh.axis_names[0]
        batches = places.filled_rows(chunk.batches, self.mesh.shape[axis], axis=1)
        specs = PartitionSpec(None, axis), PartitionSpec()
        where = tuple(NamedSharding(self.mesh, spec) for spec in specs)
        there: tuple[Any, Any] = jax.device_put((batches, np.int32(chunk.used)), where)
        return there

    def epoch_options(self) -> dict[str, Any]:
        return {"mesh": self.mesh}

    def outputs(self) -> dict[str, Any]:
        # Said, or the compiler might give back another sharding than the next epoch is called with.
        there = self._placed
        return {"out_shardings": (there.state, there.everywhere, there.everywhere)}

    @property
    def _placed(self) -> Placed:
        assert self.placed is not None, "of_state comes first"
        return self.placed


def layout_of(placement: Placement | None) -> Layout:
    """Where a run of `fit` lies.

    Args:
      placement: of `placement_of`.

    Returns:
      The layout.

    Raises:
      ValueError, TypeError: if the devices are none, or more than there are, or the parameters are
        to be split under several hosts.
    """
    if placement is None:
        return ONE_DEVICE
    splits_data = placement.data == "split"
    if placement.params is None and not isinstance(placement.devices, Mesh):
        return SplitBatches(places.choose_devices(placement.devices), splits_data)
    if jax.process_count() > 1:
        raise ValueError("devices must be no mesh, and params not split, under several hosts")
    return OnMesh(auto_mesh(placement.devices), placement.params, splits_data)
