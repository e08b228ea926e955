"""Optimizers: any Optax transformation, given what it asks for, and what of it may be trusted."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxvae.model.networks import Params
from jaxvae.numerics import checks


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
    update = updater(optimizer)
    zeros = jax.tree.map(jnp.zeros_like, params)
    asked = False

    def value_fn(params: Params) -> jax.Array:
        nonlocal asked
        asked = True
        return jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)]).sum()

    def shows(value: jax.Array, loss: jax.Array) -> jax.Array:
        grads = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params)
        after, _ = update(grads, zeros, optimizer.init(zeros), loss, value_fn)
        return jnp.stack([~jnp.isfinite(leaf).any() for leaf in jax.tree.leaves(after)]).all()

    every_loss = jax.vmap(shows, in_axes=(None, 0))
    losses = jnp.array([-1e30, 0.0, 1e30])  # an optimizer may do one thing above a loss only
    shown = [every_loss(jnp.float32(value), losses).all() for value in (jnp.nan, jnp.inf)]
    return jnp.stack(shown).all() & (not asked)


def updater(optimizer: optax.GradientTransformation) -> Callable[..., tuple[Params, Any]]:
    """The update of an optimizer, whatever it asks for.

    Args:
      optimizer: any Optax transformation.

    Returns:
      `update(grads, params, opt_state, value, value_fn) -> (params, opt_state)`. `value` is the
      loss of the batch, `value_fn(params)` the same at other parameters; it is traced only by an
      optimizer that calls it.
    """
    transformation = accepts_any_args(optimizer)

    def update(
        grads: Params,
        params: Params,
        opt_state: Any,
        value: jax.Array,
        value_fn: Callable[[Params], jax.Array],
    ) -> tuple[Params, Any]:
        def unmasked(some: Params) -> jax.Array:
            # Inside `optax.masked` an optimizer sees some of the parameters; the rest stay.
            return value_fn(jax.tree.map(_or_own, some, params, is_leaf=_is_masked))

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
                    updates, after = transformation.update(grads, opt_state, params, **offer)
                    return optax.apply_updates(params, updates), after
            except Exception as error:  # each transformation has kinds of its own
                errors.append(error)
        raise cannot("update", errors[0]) from errors[0]

    return update


def cannot(verb: str, error: Exception) -> ValueError:
    """The error of an optimizer that is none for a model.

    Args:
      verb: what it cannot do with the parameters.
      error: its own.

    Returns:
      The error, to be raised.
    """
    return ValueError(
        f"optimizer must {verb} the parameters of this model and ask for nothing but value, grad, "
        f"value_fn, obj_fn or grad_fn, got {type(error).__name__}: {error}"
    )


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def _or_own(node: Any, own: Any) -> Any:
    return own if _is_masked(node) else node
