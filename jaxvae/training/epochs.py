"""The epoch as one `lax.scan` over the step, pure and compiled; and a chunk of one."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from jaxvae.data.batches import Batch, rows_of, take
from jaxvae.model.vae import VAE, check_model
from jaxvae.model.values import Same
from jaxvae.numerics import checks, compiled, random, sharding
from jaxvae.training.exchange import exchanged, on_mesh
from jaxvae.training.state import Metrics, TrainState
from jaxvae.training.steps import step_function
from jaxvae.training.updates import check_optimizer

# What is folded into the base key to key the order of the examples; no step number reaches it.
ORDER = 0xFFFFFFFF
# Elements from which on a parameter is not copied to be looked at: a MiB.
LARGE = 2**18


def make_train_epoch(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    skip_non_finite: bool = False,
) -> jax.stages.Wrapped:
    """Make the compiled training epoch of a model: every example once, in one `lax.scan`.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      batch_size: examples a step. The last, partial batch is padded with weight 0, so that it
        counts with its true weight and needs no second compilation.
      skip_non_finite: go on after a step that is not finite, its update left out.

    Returns:
      `train_epoch(key, state, x, y=None, weight=None) -> (state, metrics)`, jitted, the state
      donated. x is examples [N, ...]; or a `Batch` of all of them, conditions and masks included.
      `key` is the base key; the order of the examples follows from it and from the number of
      epochs that `state.step` amounts to. `weight` [N] weighs the examples of each batch against
      each other. The metrics are stacked, [steps]. From the first step on that is not finite the
      state stays as it was before it.

    Raises:
      ValueError, TypeError: if batch_size is no integer of at least 1, vae no VAE, or optimizer no
        Optax transformation.

    Example:
      >>> from jaxvae import dense_normal_network, init_state, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> key, x, optimizer = jax.random.key(0), jnp.zeros((100, 64)), optax.adam(1e-3)
      >>> train_epoch = make_train_epoch(vae, optimizer, batch_size=32)
      >>> state, metrics = train_epoch(key, init_state(key, vae, optimizer, x), x, None)
      >>> metrics.weight.tolist()
      [32.0, 32.0, 32.0, 4.0]
    """
    check_model(vae)
    check_optimizer(optimizer)
    batch_size = checks.positive_int("batch_size", batch_size)
    on_non_finite = "skip" if skip_non_finite else "stop"
    return _train_epoch(vae, Same(optimizer), batch_size, on_non_finite)


@functools.lru_cache(maxsize=16)
def _train_epoch(
    vae: VAE, optimizer: Same, batch_size: int, on_non_finite: str
) -> jax.stages.Wrapped:
    """The same function for equal models and optimizers, so that JAX finds what it compiled."""
    epoch = epoch_function(vae, optimizer.value, batch_size, on_non_finite=on_non_finite)

    def train_epoch(
        key: jax.Array, state: TrainState, x: Any, y: Any = None, weight: Any = None
    ) -> tuple[TrainState, Metrics]:
        return epoch(key, state, data_of(x, y, weight))

    return compiled.jit(train_epoch, donate_argnums=1)


def data_of(x: Any, y: Any, weight: Any) -> Batch:
    """A data set as one `Batch`.

    Args:
      x: examples [N, ...], or a `Batch` of all.
      y: labels [N], where x is no `Batch`.
      weight: examples' weights [N], where x is no `Batch`.

    Returns:
      The `Batch`.

    Raises:
      ValueError: if there is something beside a `Batch`, or not one value a row.
    """
    if isinstance(x, Batch):
        if y is not None or weight is not None:
            raise ValueError("y and weight must be None where x is a Batch, got them beside it")
        data = x
    else:
        data = Batch(x, y, weight)
    checks.one_a_row((rows_of(data),), y=data.y, weight=data.weight)
    return data


def epoch_function(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    axis_name: str | None = None,
    *,
    on_non_finite: str = "stop",
    examples: int | None = None,
    mesh: Mesh | None = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """The epoch of `make_train_epoch`, not compiled.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      batch_size: examples a step, over all devices.
      axis_name: the mapped axis over which each batch is split. Each device then takes its
        columns of every batch; the examples must be the same on all of them, or split.
      on_non_finite: of `step_function`. With "trust" the last step counts as finite only if the
        parameters that come out are.
      examples: N, where data are split over the devices as `split_data` does it.
      mesh: of Auto axes, for a program of the whole mesh: its first axis splits each batch.

    Returns:
      `train_epoch(key, state, data) -> (state, metrics)`; data is a `Batch` of all examples.
    """
    step = step_function(vae, optimizer, axis_name, on_non_finite=on_non_finite)

    def train_epoch(key: jax.Array, state: TrainState, data: Batch) -> tuple[TrainState, Metrics]:
        number = rows_of(data) if examples is None else examples
        steps = steps_per_epoch(number, batch_size)
        index, counts = epoch_order(key, state.step // steps, number, batch_size)
        gather: Callable[..., Batch] = take
        position = None
        if mesh is not None:
            index, counts = _filled(mesh.shape[mesh.axis_names[0]], index, counts)
            gather = functools.partial(on_mesh, examples=examples, mesh=mesh)
        if axis_name is not None:
            index, counts = _filled(jax.lax.axis_size(axis_name), index, counts)
            columns, counts, position = _own_columns(axis_name, index, counts)
            if examples is None:
                index = columns
            else:
                gather = functools.partial(exchanged, examples=examples, axis_name=axis_name)

        def body(carry: Any, batch_slice: Any) -> Any:
            state, alive = restored(carry)
            index, count = batch_slice  # count: 1 for an example, 0 for padding
            batch = gather(data, index)
            if batch.weight is not None:
                own, count = sharding.aligned(batch.weight, count)
                count = own * count
            batch = batch._replace(weight=count, position=position)
            state, metrics = step(key, state, batch, alive)
            alive = metrics.finite | (on_non_finite == "skip")
            return jax.tree.leaves((state, alive))[::-1], metrics

        # Carried last leaf first. XLA makes what is carried in the order in which it stands, and a
        # step waits less where the encoder's update, for which all gradients are needed, is first:
        # 2% of a small step on a CPU.
        leaves, tree = jax.tree.flatten((state, jnp.bool_(True)))

        def restored(carry: list[Any]) -> Any:
            return jax.tree.unflatten(tree, carry[::-1])

        carry, metrics = jax.lax.scan(body, leaves[::-1], (index, counts))
        state, _ = restored(carry)
        if on_non_finite == "trust":
            metrics = _and_finite(metrics, steps - 1, state)
        return state, metrics

    return train_epoch


def chunk_function(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    axis_name: str | None = None,
    *,
    on_non_finite: str = "stop",
) -> Callable[..., tuple[TrainState, Metrics, jax.Array]]:
    """Some steps on given batches, in one loop: an epoch of streamed data is many of these.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      axis_name: the mapped axis over which each batch is split.
      on_non_finite: of `epoch_function`.

    Returns:
      `train_chunk(key, state, batches, count) -> (state, metrics, count)`. `batches` has a leading
      axis of S steps, of which the first `count` are made: as many as on the device (of any host)
      that has the most, and that many are returned. Metrics are stacked [S], zero from `count` on.
    """
    step = step_function(vae, optimizer, axis_name, on_non_finite=on_non_finite)

    def train_chunk(
        key: jax.Array, state: TrainState, batches: Batch, count: jax.Array
    ) -> tuple[TrainState, Metrics, jax.Array]:
        if axis_name is not None:
            count = jax.lax.pmax(count, axis_name)

        def body(i: jax.Array, carry: Any) -> Any:
            state, alive, stacked = carry
            batch = jax.tree.map(lambda leaf: leaf[i], batches)
            state, metrics = step(key, state, batch, alive)
            stacked = jax.tree.map(lambda all, one: all.at[i].set(one), stacked, metrics)
            return state, metrics.finite | (on_non_finite == "skip"), stacked

        steps = rows_of(batches)
        one = jax.tree.map(lambda leaf: leaf[0], batches)
        _, like = jax.eval_shape(step, key, state, one, jnp.bool_(True))
        stacked = jax.tree.map(lambda leaf: jnp.zeros((steps, *leaf.shape), leaf.dtype), like)
        state, _, stacked = jax.lax.fori_loop(0, count, body, (state, jnp.bool_(True), stacked))
        if on_non_finite == "trust":
            stacked = _and_finite(stacked, jnp.maximum(count - 1, 0), state)
        return state, stacked, count

    return train_chunk


def _and_finite(metrics: Metrics, last: Any, state: TrainState) -> Metrics:
    """The stacked metrics, their step `last` finite only if the parameters after it are."""
    leaves = jax.tree.leaves(state.params)
    with jax.numpy_dtype_promotion("standard"):
        # Two operations to compile, not two a parameter: those that are cheap to copy.
        flat, _ = ravel_pytree([leaf for leaf in leaves if leaf.size < LARGE])
    finite = jnp.isfinite(flat).all()
    for leaf in leaves:
        if leaf.size >= LARGE:
            finite &= jnp.isfinite(leaf).all()
    return metrics._replace(finite=metrics.finite.at[last].set(metrics.finite[last] & finite))


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """The number of batches that hold every example once, the partial last one included.

    Args:
      examples: N.
      batch_size: B.

    Returns:
      N / B, rounded up.
    """
    return -(-examples // batch_size)


def epoch_order(
    key: jax.Array, epoch: jax.Array, examples: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """The order of the examples in an epoch.

    Args:
      key: the base key of the run.
      epoch: which epoch, an integer scalar.
      examples: N.
      batch_size: B.

    Returns:
      index, int32 [steps, B], a permutation of 0 ... N-1 followed by padding; and weight,
      float32 [steps, B], 1 for an example and 0 for padding.
    """
    steps = steps_per_epoch(examples, batch_size)
    order_key = random.fold_in(random.fold_in(key, ORDER), epoch)
    order = random.permutation(order_key, examples)
    padding = steps * batch_size - examples
    index = jnp.pad(order, (0, padding)).reshape(steps, batch_size)
    weight = (jnp.arange(steps * batch_size) < examples).astype(jnp.float32)
    return index, weight.reshape(steps, batch_size)


def _own_columns(
    axis_name: str, index: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A device's columns of index and weight [steps, B], and their places in the batch."""
    share = index.shape[1] // jax.lax.axis_size(axis_name)
    start = share * jax.lax.axis_index(axis_name)
    index, weight = (
        jax.lax.dynamic_slice_in_dim(array, start, share, axis=1) for array in (index, weight)
    )
    return index, weight, start + jnp.arange(share)


def _filled(devices: int, index: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Index and weight [steps, B], filled up by weight 0 where the devices do not divide B."""
    fill = ((0, 0), (0, -index.shape[1] % devices))
    return jnp.pad(index, fill), jnp.pad(weight, fill)
