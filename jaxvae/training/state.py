"""`TrainState`, all that training changes, and how it begins; `Metrics`, what a step reports."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae._collector import uncollected
from jaxvae._door import door
from jaxvae.data.batches import Batch, as_batch, is_packed
from jaxvae.model.networks import STATISTICS, Params
from jaxvae.model.vae import VAE, check_model, model_of
from jaxvae.model.values import Same
from jaxvae.numerics import checks
from jaxvae.training.updates import cannot, check_optimizer


@door("steps")
class TrainState(NamedTuple):
    """All that training changes. Arrays only: the key and the optimizer are not in it.

    Attributes:
      step: how many updates have been made, an int32 scalar.
      params: the model's parameters; under "statistics" what a network keeps beside what is
        trained, as batch norm does.
      opt_state: the optimizer's state, for the parameters without statistics.

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
      finite: whether loss, gradient and update were. Where not, no update was made.
      more: the weighted means of what else the objective reports, {name: number}.

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
    more: Mapping[str, jax.Array] = {}


def trained(params: Params) -> Params:
    """The parameters that the optimizer sees: all but the statistics that a network keeps.

    Args:
      params: of a model.

    Returns:
      The same without "statistics".
    """
    if not isinstance(params, dict) or STATISTICS not in params:
        return params
    return {name: tree for name, tree in params.items() if name != STATISTICS}


def with_statistics(params: Params, like: Params) -> Params:
    """Trained parameters, and beside them the statistics of others.

    Args:
      params: without statistics.
      like: with them, where the network keeps any.

    Returns:
      Both.
    """
    if not isinstance(like, dict) or STATISTICS not in like:
        return params
    return {**params, STATISTICS: like[STATISTICS]}


def init_state(
    key: jax.Array, vae: VAE, optimizer: optax.GradientTransformation, x: Any
) -> TrainState:
    """The state before the first step.

    Args:
      key: one typed key; other parameters for another key.
      vae: the model.
      optimizer: any Optax transformation.
      x: examples [B, ...], or a `Batch` of them; only their shape matters.

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
    return begin(key, vae, {}, optimizer, x)


def begin(
    key: jax.Array,
    make: VAE | Same,
    values: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    x: Any,
) -> TrainState:
    """`init_state` of one of several models that differ in numbers: one program for all of them.

    Args:
      key: one typed key.
      make: of `model_of`.
      values: of `model_of`.
      optimizer: any Optax transformation.
      x: examples [B, ...], or a `Batch` of them.

    Returns:
      The state.
    """
    params = _fresh_params(make, *_shapes_of_one(x))(key, values)
    step, opt_state = _fresh_rest(Same(optimizer))(params)
    return TrainState(step, params, opt_state)


@uncollected()
def compiler_of_begin(
    key: jax.Array,
    make: VAE | Same,
    values: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    x: Any,
) -> Callable[[], None]:
    """What compiles the programs of `begin`, which then finds them; they are traced here.

    The compiler takes a second for the initial parameters of a small network, and lets go of
    Python's lock: it may be called in a thread. Tracing may not, as a context of JAX's (precision,
    default device) is its own thread's alone.

    Args:
      key: as for `begin`.
      make: as for `begin`.
      values: as for `begin`.
      optimizer: as for `begin`.
      x: as for `begin`.

    Returns:
      A function that compiles them.
    """
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
        return lambda: None
    params = _fresh_params(make, *_shapes_of_one(x)).lower(key, values)
    rest = _fresh_rest(Same(optimizer)).lower(params.out_info)

    def compile_both() -> None:
        for lowered in (params, rest):
            lowered.compile()

    return compile_both


def _shapes_of_one(x: Any) -> tuple[Any, tuple[Any, ...]]:
    """What parameters are made for: the structure of one example and condition, and its shapes."""
    batch = as_batch(x)
    like = jax.tree.map(_shape_of_one, Batch(batch.x, condition=batch.condition), is_leaf=is_packed)
    return jax.tree.structure(like), tuple(jax.tree.leaves(like))


def _shape_of_one(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *np.shape(leaf)[1:]), jnp.float32)


@functools.lru_cache(maxsize=16)
def _fresh_params(make: VAE | Same, tree: Any, shapes: tuple[Any, ...]) -> jax.stages.Wrapped:
    """One program for all modules, and the same one for the next optimizer."""

    def params(key: jax.Array, values: Mapping[str, Any]) -> Params:
        batch = jax.tree.unflatten(tree, [jnp.zeros(leaf.shape, leaf.dtype) for leaf in shapes])
        return model_of(make, values).init(key, batch.x if batch.condition is None else batch)

    return jax.jit(params)


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
        return jax.tree.map(jnp.copy, optimizer.init(trained(params)))
    except Exception as error:  # each transformation has kinds of its own
        raise cannot("fit", error) from error


@functools.lru_cache(maxsize=16)
def _fresh_rest(optimizer: Same) -> jax.stages.Wrapped:
    """`(step, opt_state)(params)`, all arrays copies: a state is donated."""
    return jax.jit(lambda params: (jnp.int32(0), init_opt_state(optimizer.value, params)))
