"""One run on a mesh, compiled as one program for all its devices; and who trains a placement."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from jaxvae.data.batches import Batch
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE
from jaxvae.training import devices as places
from jaxvae.training.members import Call, One
from jaxvae.training.placement import Placement, auto_mesh, placed_state
from jaxvae.training.state import TrainState, init_state


class OnMesh(One):
    """One run on a mesh, whose parameters may be split; compiled as one program for all devices."""

    def __init__(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        mesh: Mesh,
        params: Callable[[Params], Any] | None,
    ):
        super().__init__(key, vae, optimizer, None)
        self.mesh = mesh
        self._params = params

    def shapes(self, first: Batch) -> TrainState:
        like = self.one(first)
        assert self.mesh is not None
        self.placed = placed_state(like, self.mesh, self._params)
        return self.placed.like(like)

    def like(self, first: Batch) -> Call | None:
        return None

    def compiler_of_calls(self, first: Batch) -> Callable[[], None]:
        return lambda: None

    def calls(self, state: TrainState | None, first: Batch) -> list[Call]:
        assert self.placed is not None
        if state is None:
            # Made where it lies: no device ever holds all of it.
            fresh = jax.jit(
                lambda key: init_state(key, self.models[0], self.optimizer, first),
                out_shardings=self.placed.state,
            )
            state = fresh(self.base)
        key = jax.device_put(self.base, self.placed.everywhere)
        return [(key, jax.device_put(state, self.placed.state), {})]


def trained_by(
    key: jax.Array, vae: VAE, optimizer: optax.GradientTransformation, placement: Placement | None
) -> One:
    """Who is trained where.

    Args:
      key: the base key.
      vae: the model.
      optimizer: any Optax transformation.
      placement: of `placement_of`.

    Returns:
      One run.

    Raises:
      ValueError, TypeError: if the devices are none, or more than there are, or the parameters are
        to be split under several hosts.
    """
    if placement is None:
        return One(key, vae, optimizer, None)
    if placement.params is None and not isinstance(placement.devices, Mesh):
        who = One(key, vae, optimizer, places.choose_devices(placement.devices))
    elif jax.process_count() > 1:
        raise ValueError("devices must be no mesh, and params not split, under several hosts")
    else:
        who = OnMesh(key, vae, optimizer, auto_mesh(placement.devices), placement.params)
    who.splits_data = placement.data == "split"
    return who
