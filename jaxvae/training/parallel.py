"""The train step and the epoch over several devices, and over several hosts, under `jax.pmap`.

The state is replicated, each batch is split, and gradients and metrics are summed once a step.
Noise follows an example's place in the batch, so that any number of devices gives the same run, to
rounding.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxvae.data.batches import Batch
from jaxvae.model.vae import VAE, check_model
from jaxvae.model.values import Same
from jaxvae.numerics import checks
from jaxvae.training.devices import (
    AXIS,
    Devices,
    choose_devices,
    local_count,
    no_mesh,
    replicate,
    slots,
    split_rows,
)
from jaxvae.training.epochs import data_of
from jaxvae.training.layouts import SplitBatches
from jaxvae.training.programs import train_program
from jaxvae.training.state import Metrics, TrainState
from jaxvae.training.steps import step_function
from jaxvae.training.updates import check_optimizer


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
    mapped = _mapped_step(vae, Same(optimizer), chosen)
    local = local_count(chosen)

    def train_step(key: jax.Array, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        with no_mesh():
            return mapped(*replicate((key, state), chosen), split_rows(batch, local))

    return train_step


@functools.lru_cache(maxsize=16)
def _mapped_step(vae: VAE, optimizer: Same, devices: tuple[jax.Device, ...]) -> Any:
    step = step_function(vae, optimizer.value, AXIS)
    return jax.pmap(
        lambda key, state, batch: step(key, state, batch, True),
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=None,
        donate_argnums=1,
        devices=devices,
    )


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
      `train_epoch(key, state, x, y=None, weight=None) -> (state, metrics)`; x may be a `Batch` of
      all. Each device holds all of the data and takes its rows of every batch. State and metrics
      come out replicated; the state that goes in is donated if it is replicated already.

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
    layout = SplitBatches(chosen)
    mapped = train_program(vae, Same(optimizer), "stop", layout, batch_size=batch_size)

    def train_epoch(
        key: jax.Array, state: TrainState, x: Any, y: Any = None, weight: Any = None
    ) -> tuple[TrainState, Metrics]:
        data = data_of(x, y, weight)
        with no_mesh():
            own = replicate((key, state, {}, data), chosen)
            state, metrics, _ = mapped(slots(chosen), *own)
        return state, metrics

    return train_epoch
