"""`Placement`: which arrays of a run each device holds whole, and which are split over devices."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import keystr

from jaxvae._door import door
from jaxvae.model.networks import Params
from jaxvae.numerics import checks
from jaxvae.training import devices as places
from jaxvae.training.state import TrainState


@door("parallel")
@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the arrays of a run lie, for `fit(devices=...)`: the same run wherever, to rounding.

    Attributes:
      devices: JAX devices, or how many of `jax.devices()`; all of them where None. Or a
        `jax.sharding.Mesh`, whose first axis splits each batch; without one the mesh has one axis,
        "device".
      data: "copied": each device holds all examples. "split": each holds N / devices of them, and
        a step exchanges its batch. A stream's batches are split anyway.
      params: a function of the parameters, of which it sees the shapes, that returns a
        `PartitionSpec` for each; the optimizer's arrays of the same names and shapes go with them.
        None: each device holds all.

    Raises:
      ValueError, TypeError: if one is none of these.

    Example:
      >>> Placement(8, data="split")
      Placement(devices=8, data='split', params=None)
    """

    devices: places.Devices | Mesh = None
    data: str = "copied"
    params: Callable[[Params], Any] | None = None

    def __post_init__(self) -> None:
        checks.one_of("data", self.data, ("copied", "split"))
        if self.params is not None:
            checks.function("params", self.params)

    def __deepcopy__(self, memo: Any) -> "Placement":
        return self  # a device cannot be copied, and scikit-learn's `clone` would


class Placed(NamedTuple):
    """Where a state lies on a mesh; hashable.

    Attributes:
      mesh: of Auto axes.
      tree: the structure of the state.
      specs: of its arrays.
    """

    mesh: Mesh
    tree: Any
    specs: tuple[PartitionSpec, ...]

    @property
    def state(self) -> TrainState:
        """The sharding of each array."""
        return self.tree.unflatten(NamedSharding(self.mesh, spec) for spec in self.specs)

    def like(self, state: TrainState) -> TrainState:
        """The shapes of a state, with the sharding of each array."""
        return jax.tree.map(
            lambda leaf, own: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=own),
            state,
            self.state,
        )

    @property
    def everywhere(self) -> NamedSharding:
        """The sharding of what each device holds."""
        return NamedSharding(self.mesh, PartitionSpec())


def auto_mesh(devices: places.Devices | Mesh) -> Mesh:
    """The devices of a placement as a mesh of Auto axes.

    With Explicit axes each product of two split arrays would have to say how its own are split;
    here the compiler sees to it.

    Args:
      devices: of `Placement`.

    Returns:
      The mesh.

    Raises:
      ValueError, TypeError: if they are none, or more than there are.
    """
    if not isinstance(devices, Mesh):
        return places.mesh_of(places.choose_devices(devices))
    auto = (AxisType.Auto,) * len(devices.axis_names)
    return Mesh(devices.devices, devices.axis_names, axis_types=auto)


def placed_state(like: TrainState, mesh: Mesh, specs_of: Callable[[Params], Any] | None) -> Placed:
    """Where a state lies, by the parameters' own specs.

    Args:
      like: a state, its shapes.
      mesh: of Auto axes.
      specs_of: `Placement.params`.

    Returns:
      The specs of all arrays. One of the optimizer's that is called as a parameter and has its
      shape (a moment, an average) lies as that one; the rest lies on each device.

    Raises:
      ValueError, TypeError: if `specs_of` does not return a spec for each parameter that fits its
        shape and the mesh; the parameter is named.
    """
    of_params = {
        path: (leaf.shape, spec)
        for (path, leaf), spec in zip(
            jax.tree.leaves_with_path(like.params),
            _specs(like.params, mesh, specs_of),
            strict=True,
        )
    }

    def spec_of(path: Any, leaf: Any) -> PartitionSpec:
        for start in range(len(path) + 1):
            shape, spec = of_params.get(path[start:], (None, None))
            if spec is not None and shape == leaf.shape:
                return spec
        return PartitionSpec()

    leaves, tree = jax.tree.flatten_with_path(like)
    return Placed(mesh, tree, tuple(spec_of(path, leaf) for path, leaf in leaves))


def _specs(
    params: Params, mesh: Mesh, specs_of: Callable[[Params], Any] | None
) -> list[PartitionSpec]:
    """A spec for each parameter, checked."""
    leaves = jax.tree.leaves_with_path(params)
    if specs_of is None:
        return [PartitionSpec()] * len(leaves)
    tree: Any = jax.tree.structure(params)
    given = specs_of(params)
    try:
        specs = tree.flatten_up_to(given)
    except ValueError as error:
        raise ValueError(
            f"params of Placement must return a PartitionSpec for each parameter, got {error}"
        ) from None
    for (path, leaf), spec in zip(leaves, specs, strict=True):
        where = f"params of Placement, at {keystr(path)} {list(leaf.shape)}, must be"
        if not isinstance(spec, PartitionSpec):
            raise TypeError(f"{where} a PartitionSpec, got {spec!r}")
        try:
            NamedSharding(mesh, spec).shard_shape(leaf.shape)
        except ValueError as error:
            raise ValueError(
                f"{where} one for its shape and the mesh {dict(mesh.shape)}, got {spec}: {error}"
            ) from None
    return specs


def placement_of(devices: Any, state: TrainState | None) -> Placement | None:
    """What `fit` was given as `devices`, or where the state lies that it was given.

    Args:
      devices: the argument of this name.
      state: where to start, or None.

    Returns:
      The placement; None for one device.

    Raises:
      ValueError: if the state is split in another way than by NamedShardings.
    """
    if isinstance(devices, Placement):
        return devices
    if devices is not None or jax.process_count() > 1:
        return Placement(devices)
    params = state.params if isinstance(state, TrainState) else None  # `run` refuses what is none
    shardings: set[Any] = {
        leaf.sharding for leaf in jax.tree.leaves(params) if isinstance(leaf, jax.Array)
    }
    split = [sharding for sharding in shardings if not sharding.is_fully_replicated]
    if not split:
        return None
    if not all(isinstance(sharding, NamedSharding) for sharding in split):
        raise ValueError(f"state must be split by NamedShardings alone, got {split}")
    return Placement(split[0].mesh, params=lambda _: jax.tree.map(_spec_of, params))


def _spec_of(leaf: Any) -> PartitionSpec:
    return getattr(leaf.sharding, "spec", PartitionSpec())
