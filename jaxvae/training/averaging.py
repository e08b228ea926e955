"""An exponential moving average of the parameters, kept by the optimizer's state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxvae._door import door
from jaxvae.model.networks import Params
from jaxvae.model.values import made_by
from jaxvae.numerics import checks
from jaxvae.training.state import TrainState, with_statistics
from jaxvae.training.updates import accepts_any_args


@door("averaging")
class AveragedState(NamedTuple):
    """The state of `average_params`.

    Attributes:
      updates: how many were made, an int32 scalar.
      average: of the parameters.
      inner: the wrapped optimizer's state.
    """

    updates: jax.Array
    average: Params
    inner: Any


@made_by
def average_params(
    optimizer: optax.GradientTransformation, decay: float = 0.999
) -> optax.GradientTransformationExtraArgs:
    """Keep a moving average of the parameters that an optimizer makes; change none of them.

    After update t the average moves to the new parameters by 1 - min(decay, (1 + t) / (10 + t)):
    the first parameters, which are random, are soon forgotten. A last average is often a better
    model than the last parameters, above all at a constant learning rate.

    Args:
      optimizer: any Optax transformation; it is given what it asks for (`value`, `value_fn`).
      decay: in (0, 1); about 1 / (1 - decay) updates are averaged over. `optax.inject_hyperparams`
        can make it a value of the state.

    Returns:
      A transformation with the same updates. `averaged_params` reads what it keeps.

    Raises:
      ValueError, TypeError: if decay is not between 0 and 1, or optimizer no Optax transformation;
        from `update`, if it is given no params.

    Example:
      >>> optimizer = average_params(optax.sgd(1.0), decay=0.5)
      >>> params = jnp.array(0.0)
      >>> updates, state = optimizer.update(jnp.array(-1.0), optimizer.init(params), params)
      >>> round(float(state.average), 4)  # 1 - (1 + 1) / (10 + 1) of the way from 0 to 1
      0.8182

    Source: Polyak and Juditsky, 1992, Acceleration of stochastic approximation by averaging; the
    warm-up is that of TensorFlow's ExponentialMovingAverage.
    """
    inside = accepts_any_args(optimizer)
    if not checks.is_traced(decay):  # by `optax.inject_hyperparams`
        decay = checks.positive_float("decay", decay)
        if decay >= 1:
            raise ValueError(f"decay must be below 1, got {decay}")

    def init(params: Params) -> AveragedState:
        # Copies: a step is given both, and an array can be donated once.
        average = jax.tree.map(jnp.copy, params)
        return AveragedState(jnp.zeros((), jnp.int32), average, inside.init(params))

    def update(
        grads: Any, state: AveragedState, params: Any = None, **extra_args: Any
    ) -> tuple[Any, AveragedState]:
        if params is None:
            raise ValueError("params must be given to update, whose average is kept, got None")
        updates, inner = inside.update(grads, state.inner, params, **extra_args)
        t = (state.updates + 1).astype(jnp.float32)
        rate = 1 - jnp.minimum(decay, (1 + t) / (10 + t))

        def move(average: jax.Array, old: jax.Array, change: jax.Array) -> jax.Array:
            new = average + rate.astype(average.dtype) * (old + change - average)
            return jnp.where(jnp.isfinite(new), new, average)  # an update may overflow

        average = jax.tree.map(move, state.average, params, updates)
        return updates, AveragedState(state.updates + 1, average, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged_params(state: TrainState) -> Params:
    """The parameters to evaluate and to use.

    Args:
      state: of a run.

    Returns:
      The average that `average_params` keeps, wherever it lies in the optimizer's state, beside it
      the network's statistics as they are; the parameters themselves where there is no average.

    Example:
      >>> params = {"w": jnp.ones(2)}
      >>> opt_state = average_params(optax.adam(1e-3)).init(params)
      >>> averaged_params(TrainState(jnp.int32(0), params, opt_state))["w"]
      Array([1., 1.], dtype=float32)
    """
    nodes = jax.tree.leaves(state.opt_state, is_leaf=lambda node: isinstance(node, AveragedState))
    for node in nodes:
        if isinstance(node, AveragedState):
            return with_statistics(node.average, state.params)
    return state.params
