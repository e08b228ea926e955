"""Bring categories back whose ReLU has died: an Optax transformation around any other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxvae import _checks
from jaxvae.networks import Params

PATIENCE = 200
NUDGE = 0.05


class RevivalState(NamedTuple):
    """The state of `revive_dead_categories`.

    Attributes:
      inner_state: of the optimizer inside.
      idle: int32 [K], for how many steps in a row each category has had no gradient.
      revived: int32 [K], how often each category has been nudged.

    Example:
      >>> params = {"encoder": {"concentration": {"bias": jnp.zeros(2)}}}
      >>> revive_dead_categories(optax.sgd(1.0)).init(params).idle
      Array([0, 0], dtype=int32)
    """

    inner_state: Any
    idle: jax.Array
    revived: jax.Array


def revive_dead_categories(
    optimizer: optax.GradientTransformation, *, patience: int = PATIENCE, nudge: float = NUDGE
) -> optax.GradientTransformation:
    """Raise the bias of a category that has had no gradient for some time.

    The slope of a ReLU is zero below zero. A category whose concentration head is below zero for
    every example has a gradient of exactly 0 and never comes back: the run is lost. Here, once
    the bias of a category has had the gradient 0 for `patience` steps in a row, `nudge` is added
    to it at each step until an example reaches it; the gradient does the rest. As long as no
    category rests that long every update is bit for bit the optimizer's own.

    Args:
      optimizer: any Optax transformation.
      patience: steps, at least 1.
      nudge: what is added to the bias in a step, above zero; in units of the concentration.

    Returns:
      A transformation for the parameters of a network whose encoder ends in a dense layer named
      `concentration`, as `dense_dirichlet_network` makes it.

    Raises:
      ValueError, TypeError: if patience or nudge is outside what is allowed; it is named.

    Example:
      >>> optimizer = revive_dead_categories(optax.sgd(1.0), patience=1, nudge=0.5)
      >>> params = {"encoder": {"concentration": {"bias": jnp.zeros(2)}}}
      >>> gradient = {"encoder": {"concentration": {"bias": jnp.array([0.0, 0.1])}}}
      >>> updates, _ = optimizer.update(gradient, optimizer.init(params), params)
      >>> updates["encoder"]["concentration"]["bias"]
      Array([ 0.5, -0.1], dtype=float32)

    Source: our own; `docs/dead_categories.md`.
    """
    patience = _checks.positive_int("patience", patience)
    nudge = _checks.positive_float("nudge", nudge)

    def init(params: Params) -> RevivalState:
        shape = _bias(params).shape  # two arrays, not one twice: training donates each
        return RevivalState(
            optimizer.init(params), jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.int32)
        )

    def update(
        grads: Params, state: RevivalState, params: Params | None = None
    ) -> tuple[Params, RevivalState]:
        updates, inner_state = optimizer.update(grads, state.inner_state, params)
        idle = jnp.where(_bias(grads) == 0, state.idle + 1, 0)
        dead = idle >= patience
        bias = _bias(updates)
        head = {**updates["encoder"]["concentration"], "bias": jnp.where(dead, bias + nudge, bias)}
        encoder = {**updates["encoder"], "concentration": head}
        revived = state.revived + dead.astype(jnp.int32)
        return {**updates, "encoder": encoder}, RevivalState(inner_state, idle, revived)

    return optax.GradientTransformation(init, update)


def _bias(tree: Params) -> jax.Array:
    return tree["encoder"]["concentration"]["bias"]
