"""One training step, and the epoch as one `lax.scan` over it. Both are pure and compiled."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from jaxvae._door import door
from jaxvae.data.batches import Array, Batch
from jaxvae.model.loss_terms import weighted_mean
from jaxvae.model.models import VAE, check_model
from jaxvae.model.networks import Params
from jaxvae.numerics import checks, sharding

# What is folded into the base key to key the order of the examples; no step number reaches it.
ORDER = 0xFFFFFFFF


@door("steps")
class TrainState(NamedTuple):
    """All that training changes. Arrays only: the key and the optimizer are not in it.

    Attributes:
      step: how many updates have been made, an int32 scalar.
      params: the network's parameters.
      opt_state: the optimizer's state.

    Example:
      >>> optimizer, params = optax.sgd(0.1), {"w": jnp.ones(2)}
      >>> state = TrainState(jnp.int32(0), params, optimizer.init(params))
      >>> int(state.step)
      0
    """

    step: jax.Array
    params: Params
    opt_state: Any


@door("steps")
class Metrics(NamedTuple):
    """What a step reports, before its update; an epoch stacks them, [steps].

    Attributes:
      loss: the weighted mean over the batch.
      reconstruction: the same of the reconstruction term.
      kl: the same of the KL term, before its weight.
      weight: the sum of the examples' weights.
      finite: whether loss and gradient were. Where not, no update was made.

    Example:
      >>> metrics = Metrics(loss=4.0, reconstruction=3.0, kl=1.0, weight=64.0, finite=True)
      >>> metrics.loss
      4.0
    """

    loss: jax.Array
    reconstruction: jax.Array
    kl: jax.Array
    weight: jax.Array
    finite: jax.Array


def check_optimizer(optimizer: optax.GradientTransformation) -> None:
    """Refuse what is no optimizer, before it is called.

    Args:
      optimizer: the argument of this name.

    Raises:
      TypeError: if it is no Optax transformation, or one of its functions is not hashable.
    """
    kinds = (optax.GradientTransformation, optax.MultiSteps)
    checks.instance("optimizer", optimizer, kinds, "an optax.GradientTransformation")
    checks.hashable("optimizer", optimizer, "made of hashable functions")


def accepts_any_args(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose `update` may be called with what other optimizers ask for.

    Args:
      optimizer: any Optax transformation, `optax.MultiSteps` included.

    Returns:
      The same transformation; it ignores `value` and the like where the optimizer has no use for
      them.

    Raises:
      TypeError: if it is no Optax transformation.

    Example:
      >>> optimizer = accepts_any_args(optax.sgd(0.5))
      >>> params = jnp.ones(())
      >>> float(optimizer.update(params, optimizer.init(params), params, value=4.0)[0])
      -0.5
    """
    check_optimizer(optimizer)
    kinds = [option.kind for option in inspect.signature(optimizer.update).parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:  # `MultiSteps` passes them on and does not say so
        return optax.GradientTransformationExtraArgs(optimizer.init, optimizer.update)
    return optax.with_extra_args_support(optimizer)


def init_state(
    key: jax.Array, vae: VAE, optimizer: optax.GradientTransformation, x: Array
) -> TrainState:
    """The state before the first step.

    Args:
      key: one typed key; other parameters for another key.
      vae: the model.
      optimizer: any Optax transformation.
      x: examples [B, D]; only their shape matters.

    Returns:
      Step 0, fresh parameters, and the optimizer's state for them.

    Raises:
      TypeError: if the key is no typed one, vae no VAE, or optimizer no Optax transformation.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2))
      >>> state = init_state(jax.random.key(0), vae, optax.adam(1e-3), jnp.zeros((1, 64)))
      >>> int(state.step)
      0
    """
    checks.typed_key("key", key)
    check_model(vae)
    check_optimizer(optimizer)
    params = _fresh_params(vae, np.shape(x)[1:])(key)
    step, opt_state = _fresh_rest(optimizer)(params)
    return TrainState(step, params, opt_state)


@functools.lru_cache(maxsize=16)
def _fresh_params(vae: VAE, shape: tuple[int, ...]) -> jax.stages.Wrapped:
    """`params(key)`: one program for all modules, and the same one for the next optimizer."""
    return jax.jit(lambda key: vae.init(key, jnp.zeros((1, *shape), jnp.float32)))


def init_opt_state(optimizer: optax.GradientTransformation, params: Params) -> Any:
    """The optimizer's first state, its arrays copies.

    Training donates the state, and an optimizer may put an array of its own, such as a key, or the
    parameters themselves into it.

    Args:
      optimizer: any Optax transformation.
      params: the parameters.

    Returns:
      The state.

    Raises:
      ValueError: if the optimizer is not one for these parameters.
    """
    try:
        return jax.tree.map(jnp.copy, optimizer.init(params))
    except Exception as error:  # each transformation has kinds of its own
        raise _cannot("fit", error) from error


@functools.lru_cache(maxsize=16)
def _fresh_rest(optimizer: optax.GradientTransformation) -> jax.stages.Wrapped:
    """`(step, opt_state)(params)`, all arrays copies: a state is donated."""
    return jax.jit(lambda params: (jnp.int32(0), init_opt_state(optimizer, params)))


def make_train_step(
    vae: VAE, optimizer: optax.GradientTransformation, *, axis_name: str | None = None
) -> jax.stages.Wrapped:
    """Make the compiled training step of a model.

    Args:
      vae: the model.
      optimizer: any Optax transformation; it is always given the parameters too.
      axis_name: the mapped axis over which the batch is split, under `pmap` or `vmap`. Gradients
        and metrics are then the mean over the whole batch, each example by its weight.

    Returns:
      `train_step(key, state, batch) -> (state, metrics)`, jitted. `key` is the base key of the
      run; the step's own is `fold_in(key, state.step)`. The state that goes in is donated: use
      the one that comes out. A step whose loss or gradient is not finite returns the state
      unchanged and says so in `metrics.finite`.

    Raises:
      TypeError: if vae is no VAE, or optimizer no Optax transformation.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae, optimizer = normal_vae(dense_normal_network(64, 2)), optax.adam(1e-3)
      >>> key, x = jax.random.key(0), jnp.zeros((8, 64))
      >>> train_step = make_train_step(vae, optimizer)
      >>> state, metrics = train_step(key, init_state(key, vae, optimizer, x), Batch(x))
      >>> int(state.step), bool(metrics.finite)
      (1, True)
    """
    check_model(vae)
    check_optimizer(optimizer)
    step = step_function(vae, optimizer, axis_name)

    def train_step(key: jax.Array, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return step(key, state, batch, True)

    return jax.jit(train_step, donate_argnums=1)


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
      `train_epoch(key, state, x, y, weight=None) -> (state, metrics)`, jitted, the state donated.
      `key` is the base key; the order of the examples follows from it and from the number of
      epochs that `state.step` amounts to. `weight` [N] weighs the examples of each batch against
      each other. The metrics are stacked, [steps]. From the first step on that is not finite the
      state stays as it was before it.

    Raises:
      ValueError, TypeError: if batch_size is no integer of at least 1, vae no VAE, or optimizer no
        Optax transformation.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
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
    epoch = epoch_function(vae, optimizer, batch_size, on_non_finite=on_non_finite)
    return jax.jit(epoch, donate_argnums=1)


def epoch_function(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    axis_name: str | None = None,
    *,
    on_non_finite: str = "stop",
) -> Callable[..., tuple[TrainState, Metrics]]:
    """The epoch of `make_train_epoch`, not compiled.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      batch_size: examples a step, over all devices.
      axis_name: the mapped axis over which each batch is split. Each device then takes its
        columns of every batch; the examples must be the same on all of them.
      on_non_finite: of `step_function`. With "trust" the last step counts as finite only if the
        parameters that come out are.

    Returns:
      `train_epoch(key, state, x, y, weight=None) -> (state, metrics)`.
    """
    step = step_function(vae, optimizer, axis_name, on_non_finite=on_non_finite)

    def train_epoch(
        key: jax.Array,
        state: TrainState,
        x: jax.Array,
        y: jax.Array | None,
        weight: jax.Array | None = None,
    ) -> tuple[TrainState, Metrics]:
        checks.one_a_row(np.shape(x)[:1], y=y, weight=weight)
        steps = steps_per_epoch(len(x), batch_size)
        index, counts = epoch_order(key, state.step // steps, len(x), batch_size)
        position = None
        if axis_name is not None:
            index, counts, position = _own_columns(axis_name, index, counts)

        def body(carry: Any, batch_slice: Any) -> Any:
            state, alive = carry
            index, count = batch_slice  # count: 1 for an example, 0 for padding
            labels = None if y is None else sharding.rows(y, index)
            if weight is not None:
                own, count = sharding.aligned(sharding.rows(weight, index), count)
                count = own * count
            batch = Batch(sharding.rows(x, index), labels, count, position)
            state, metrics = step(key, state, batch, alive)
            return (state, metrics.finite | (on_non_finite == "skip")), metrics

        (state, _), metrics = jax.lax.scan(body, (state, jnp.bool_(True)), (index, counts))
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

        zeros = jnp.zeros(len(batches.x), jnp.float32)
        stacked = Metrics(zeros, zeros, zeros, zeros, jnp.zeros(len(batches.x), bool))
        state, _, stacked = jax.lax.fori_loop(0, count, body, (state, jnp.bool_(True), stacked))
        if on_non_finite == "trust":
            stacked = _and_finite(stacked, jnp.maximum(count - 1, 0), state)
        return state, stacked, count

    return train_chunk


def _and_finite(metrics: Metrics, last: Any, state: TrainState) -> Metrics:
    """The stacked metrics, their step `last` finite only if the parameters after it are."""
    with jax.numpy_dtype_promotion("standard"):
        flat, _ = ravel_pytree(state.params)  # two operations to compile, not two a parameter
    finite = jnp.isfinite(flat).all()
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
    order_key = jax.random.fold_in(jax.random.fold_in(key, ORDER), epoch)
    order = jax.random.permutation(order_key, examples)
    padding = steps * batch_size - examples
    index = jnp.pad(order, (0, padding)).reshape(steps, batch_size)
    weight = (jnp.arange(steps * batch_size) < examples).astype(jnp.float32)
    return index, weight.reshape(steps, batch_size)


def step_function(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    axis_name: str | None = None,
    *,
    on_non_finite: str = "stop",
) -> Callable[..., tuple[TrainState, Metrics]]:
    """The step of `make_train_step`, not compiled: `step(key, state, batch, alive)`.

    Args:
      vae: the model.
      optimizer: any Optax transformation.
      axis_name: the mapped axis over which the batch is split.
      on_non_finite: what a step does whose loss or gradient is not finite. "stop": nothing. "skip":
        it leaves its update out and counts as made. "trust": its update all the same, and
        `metrics.finite` tells of the loss alone. That is 6% faster on a CPU, since no update waits
        for the last gradient; `shows_non_finite` says when it is enough.

    Returns:
      The step. Where `alive` is false it makes no update and reports that it is not finite. The
      optimizer is given the batch's loss as `value`, its gradient as `grad`, and as `value_fn` the
      loss of the same batch and the same noise at other parameters; over several devices all three
      are those of the whole batch, so that a line search ends alike on each.
    """
    update = _updater(optimizer)

    def rest(state: TrainState) -> TrainState:
        return state._replace(step=state.step + 1) if on_non_finite == "skip" else state

    def step(
        key: jax.Array, state: TrainState, batch: Batch, alive: jax.Array | bool
    ) -> tuple[TrainState, Metrics]:
        step_key = jax.random.fold_in(key, state.step)
        rows = jnp.asarray(batch.x.shape[0], jnp.float32)
        own_weight = rows if batch.weight is None else jnp.sum(batch.weight)
        scale = jnp.float32(1) if axis_name is None else own_weight

        def scaled_loss(params: Params) -> tuple[jax.Array, Any]:
            loss, terms = vae.loss(params, step_key, batch)
            means = loss, *(weighted_mean(term, batch.weight) for term in terms)
            return scale.astype(loss.dtype) * loss, means

        def means_and_grads(params: Params) -> tuple[Any, Params, jax.Array]:
            if axis_name is not None:
                params = _varying(params, axis_name)
            (_, means), grads = jax.value_and_grad(scaled_loss, has_aux=True)(params)
            if axis_name is None:
                return means, grads, own_weight
            return _reduce(means, grads, own_weight, axis_name)

        def loss_alone(params: Params) -> jax.Array:
            if axis_name is None:
                return scaled_loss(params)[0]
            _, means = scaled_loss(_varying(params, axis_name))
            return _reduce(means[0], {}, own_weight, axis_name)[0]

        value_fn = loss_alone if axis_name is None else _with_gradient(loss_alone, means_and_grads)
        (loss, reconstruction, kl), grads, weight = means_and_grads(state.params)

        def updated() -> TrainState:
            return update(grads, state, loss, value_fn)

        finite = jnp.isfinite(loss) & alive
        if on_non_finite == "trust":
            return updated(), Metrics(loss, reconstruction, kl, weight, finite)
        for leaf in jax.tree.leaves(grads):
            # 0 * x is 0, or NaN where x is not finite. A sum of floats vectorises on every
            # backend; `all(isfinite(x))` does not on CPUs.
            finite &= jnp.sum(0 * leaf) == 0
        # A branch, not a select over the whole state: that would cost 9% of a small step on a CPU.
        state = jax.lax.cond(finite, lambda: _finite(updated(), state.params), lambda: rest(state))
        return state, Metrics(loss, reconstruction, kl, weight, finite)

    return step


def shows_non_finite(optimizer: optax.GradientTransformation, params: Params) -> jax.Array:
    """Whether a gradient that is not finite always ends in parameters that are not.

    So it is with Adam, SGD and most others, and then it is enough to look at each loss and at the
    last parameters. Not so with `optax.clip` (of infinity), `zero_nans`, frozen parameters, or a
    line search, which steps back from them.

    Args:
      optimizer: any Optax transformation.
      params: parameters, only their shapes matter.

    Returns:
      A boolean scalar: no element of any parameter was finite after an update by NaN, nor after
      one by infinity, whatever the loss; and no other loss was asked for.
    """
    update = _updater(optimizer)
    zeros = jax.tree.map(jnp.zeros_like, params)
    asked = False

    def value_fn(params: Params) -> jax.Array:
        nonlocal asked
        asked = True
        return jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)]).sum()

    def shows(value: jax.Array, loss: jax.Array) -> jax.Array:
        grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params)
        state = TrainState(jnp.int32(0), zeros, optimizer.init(zeros))
        after = jax.tree.leaves(update(grads, state, loss, value_fn).params)
        return jnp.stack([~jnp.isfinite(leaf).any() for leaf in after]).all()

    every_loss = jax.vmap(shows, in_axes=(None, 0))
    losses = jnp.array([-1e30, 0.0, 1e30])  # an optimizer may do one thing above a loss only
    shown = [every_loss(jnp.float32(value), losses).all() for value in (jnp.nan, jnp.inf)]
    return jnp.stack(shown).all() & (not asked)


def _updater(optimizer: optax.GradientTransformation) -> Callable[..., TrainState]:
    """`update(grads, state, value, value_fn) -> TrainState`, whatever the optimizer asks for.

    `value` is the loss of the batch, `value_fn(params)` the same at other parameters; it is traced
    only by an optimizer that calls it.
    """
    transformation = accepts_any_args(optimizer)

    def update(
        grads: Params,
        state: TrainState,
        value: jax.Array,
        value_fn: Callable[[Params], jax.Array],
    ) -> TrainState:
        def unmasked(params: Params) -> jax.Array:
            # Inside `optax.masked` an optimizer sees some of the parameters; the rest stay.
            return value_fn(jax.tree.map(_or_own, params, state.params, is_leaf=_is_masked))

        # By Optax's convention an optimizer ignores what it has no use for. Not all of its own do:
        # its line searches refuse all but the first three, its SAM all but `grad_fn`.
        offers: list[dict[str, Any]] = [
            {"value": value, "grad": grads, "value_fn": unmasked},
            {"value": value, "grad": grads, "obj_fn": unmasked},
            {"grad_fn": lambda params, i: jax.grad(unmasked)(params)},
            {},
        ]
        errors = []
        for offer in offers:
            try:
                with jax.numpy_dtype_promotion(
                    "standard"
                ):  # Optax needs it, a caller may forbid it
                    updates, opt_state = transformation.update(
                        grads, state.opt_state, state.params, **offer
                    )
                    params = optax.apply_updates(state.params, updates)
                return TrainState(state.step + 1, params, opt_state)
            except Exception as error:  # each transformation has kinds of its own
                errors.append(error)
        raise _cannot("update", errors[0]) from errors[0]

    return update


def _cannot(verb: str, error: Exception) -> ValueError:
    return ValueError(
        f"optimizer must {verb} the parameters of this model and ask for nothing but value, grad, "
        f"value_fn, obj_fn or grad_fn, got {type(error).__name__}: {error}"
    )


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def _or_own(node: Any, own: Any) -> Any:
    return own if _is_masked(node) else node


def _with_gradient(
    value_fn: Callable[[Params], jax.Array],
    means_and_grads: Callable[[Params], tuple[Any, Params, jax.Array]],
) -> Callable[[Params], jax.Array]:
    """`value_fn` with the gradient of the whole batch, which is summed over the devices already.

    JAX would differentiate the sum itself, and what that gives depends on the mapping.
    """

    def jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
        (loss, *_), grads, _ = means_and_grads(*primals)
        slopes = jax.tree.leaves(jax.tree.map(jnp.vdot, grads, *tangents))
        return loss, jnp.stack(slopes).sum().astype(loss.dtype)

    function = jax.custom_jvp(value_fn)
    function.defjvp(jvp)
    return function


def _finite(after: TrainState, before: Params) -> TrainState:
    """An update, its parameters finite.

    A finite gradient times a huge learning rate can overflow. Such an element stays as it was, so
    that what is stored is finite; the next step, whose loss is not, stops the run.
    """
    params = jax.tree.map(
        lambda new, old: jnp.where(jnp.isfinite(new), new, old), after.params, before
    )
    return after._replace(params=params)


def _own_columns(
    axis_name: str, index: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A device's columns of index and weight [steps, B], and their places in the batch.

    Where the devices do not divide B, columns of weight 0 fill it up.
    """
    batch_size, devices = index.shape[1], jax.lax.axis_size(axis_name)
    share = -(-batch_size // devices)
    fill = ((0, 0), (0, share * devices - batch_size))
    start = share * jax.lax.axis_index(axis_name)
    index, weight = (
        jax.lax.dynamic_slice_in_dim(jnp.pad(array, fill), start, share, axis=1)
        for array in (index, weight)
    )
    return index, weight, start + jnp.arange(share)


def _varying(params: Params, axis_name: str) -> Params:
    """The same values, but no longer known to be the same on each device.

    `shard_map` sums the gradient of what it knows to be replicated by itself: `_reduce` would then
    sum it again. Under `pmap` and `vmap` this changes nothing.
    """
    zero = 0 * jax.lax.axis_index(axis_name)
    return jax.tree.map(lambda leaf: leaf + zero.astype(leaf.dtype), params)


def _reduce(
    means: Any, grads: Params, weight: jax.Array, axis_name: str
) -> tuple[Any, Params, jax.Array]:
    """The means and the gradient over all devices, and the sum of the weights.

    Each device's means count by its weight; its gradient is that of its loss times its weight, so
    that nothing of its size is multiplied here. All go through one sum of one vector: one message.
    """
    with jax.numpy_dtype_promotion("standard"):
        sums = jax.tree.map(lambda mean: mean * weight, means)
        flat, restore = ravel_pytree((sums, grads, weight))
        total = jax.lax.psum(flat, axis_name)
        whole = total[-1]
        means, grads, _ = restore(total / jnp.where(whole == 0, 1, whole))
    return means, grads, whole
