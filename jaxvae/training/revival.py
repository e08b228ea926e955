"""Bring categories back whose ReLU has died: an Optax transformation around any other."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxvae._door import door
from jaxvae.model.networks import Params
from jaxvae.model.values import made_by
from jaxvae.numerics import checks
from jaxvae.training.updates import accepts_any_args

PATIENCE = 200
NUDGE = 0.05


@door("revival")
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


@made_by
def revive_dead_categories(
    optimizer: optax.GradientTransformation, *, patience: int = PATIENCE, nudge: float = NUDGE
) -> optax.GradientTransformationExtraArgs:
    """Raise the bias of a category that has had no gradient for some time.

    The slope of a ReLU is zero below zero. A category whose concentration head is below zero for
    every example has a gradient of exactly 0 and never comes back: the run is lost. Here, once
    the bias of a category has had the gradient 0 for `patience` steps in a row, `nudge` is added
    to it at each step until an example reaches it; the gradient does the rest. As long as no
    category rests that long every update is bit for bit the optimizer's own.

    Args:
      optimizer: any Optax transformation; it is given what it asks for (`value`, `value_fn`).
      patience: steps, at least 1.
      nudge: what is added to the bias in a step, above zero; in units of the concentration.

    Returns:
      A transformation for the parameters of a network whose encoder ends in a dense layer named
      `concentration`, as `dense_dirichlet_network` makes it.

    Raises:
      ValueError, TypeError: if patience or nudge is outside what is allowed, or optimizer no Optax
        transformation; from `init`, if the parameters are of another network; it is named.

    Example:
      >>> optimizer = revive_dead_categories(optax.sgd(1.0), patience=1, nudge=0.5)
      >>> params = {"encoder": {"concentration": {"bias": jnp.zeros(2)}}}
      >>> gradient = {"encoder": {"concentration": {"bias": jnp.array([0.0, 0.1])}}}
      >>> updates, _ = optimizer.update(gradient, optimizer.init(params), params)
      >>> updates["encoder"]["concentration"]["bias"]
      Array([ 0.5, -0.1], dtype=float32)

    Source: our own; `docs/dead_categories.md`.
    """
    inside = accepts_any_args(optimizer)
    if not checks.is_traced(patience):  # by `optax.inject_hyperparams`
        patience = checks.positive_int("patience", patience)
    if not checks.is_traced(nudge):
        nudge = checks.positive_float("nudge", nudge)

    def init(params: Params) -> RevivalState:
        # `optax.tree.map_params` gives a stand-in without leaves, for the structure alone.
        shape = _bias("params", params).shape if jax.tree.leaves(params) else ()
        # Two arrays, not one twice: training donates each.
        return RevivalState(
            inside.init(params), jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.int32)
        )

    def update(
        grads: Params, state: RevivalState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Params, RevivalState]:
        updates, inner_state = inside.update(grads, state.inner_state, params, **extra_args)
        idle = jnp.where(_bias("grads", grads) == 0, state.idle + 1, 0)
        dead = idle >= patience
        bias = _bias("updates", updates)
        head = {**updates["encoder"]["concentration"], "bias": jnp.where(dead, bias + nudge, bias)}
        encoder = {**updates["encoder"], "concentration": head}
        revived = state.revived + dead.astype(jnp.int32)
        return {**updates, "encoder": encoder}, RevivalState(inner_state, idle, revived)

    return optax.GradientTransformationExtraArgs(init, update)


def _bias(name: str, tree: Params) -> jax.Array:
    try:
        bias = tree["encoder"]["concentration"]["bias"]
    except (KeyError, TypeError):
        bias = None
    if not hasattr(bias, "shape"):  # it may be masked, too
        raise ValueError(
            f"{name} must hold encoder/concentration/bias, of an encoder that ends in a dense "
            f"layer named concentration, got {jax.tree.structure(tree)}"
        )
    return bias
