"""The posterior of each example by itself, found by gradients from where the encoder puts it."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.data.batches import Batch, rows_of
from jaxvae.data.examples import (
    FEW_SIZES,
    VERY_FEW_SIZES,
    by_batches,
    dense_rows,
    examples,
    unweighted,
)
from jaxvae.model import bind_checks
from jaxvae.model.evaluation import parts_of_vae
from jaxvae.model.finite import numbers
from jaxvae.model.networks import Params
from jaxvae.model.objectives import kl_by_part, mean_of_draws
from jaxvae.model.unbounded import bounded, changed, unbounded
from jaxvae.model.vae import VAE, check_model, for_labels
from jaxvae.numerics import checks, compiled


def refine(
    key: jax.Array,
    vae: VAE,
    params: Params,
    x: Any,
    y: Any = None,
    *,
    condition: Any = None,
    mask: Any = None,
    start: Any = None,
    steps: int = 100,
    learning_rate: float = 0.1,
    batch_size: int = 256,
) -> Any:
    """Close the amortisation gap: maximise each example's own ELBO over its own posterior.

    One network serves all examples, so it serves none of them best. Here the parameters of
    q(z | x) of each example go on from where the encoder put them, or from a start of your own, by
    Adam, its rate falling to nothing by a cosine; those of the model stay as they are.

    Args:
      key: one typed key; it draws z.
      vae: the model.
      params: its parameters.
      x: examples [N, ...], in any form that `fit` takes but a stream.
      y: integer labels [N] where the model's prior needs them; -1 where one is missing.
      condition: what encoder and decoder see beside x [N, ...], or None.
      mask: of x's shape, 1 where a value was seen, or None.
      start: the posteriors to begin with, as `refine` returns them; None for the encoder's.
      steps: how many; 0 leaves those.
      learning_rate: of the first step, for the parameters themselves or, of those that are
        positive, for their logarithms.
      batch_size: examples a compiled call; the result depends on it by rounding alone.

    Returns:
      The posterior's parameters, as `vae.encode` returns them, of NumPy arrays [N, ...].

    Raises:
      ValueError, TypeError: if the data do not fit the model, or an argument is outside what is
        allowed; it is named.

    Example:
      >>> from jaxvae import dense_dirichlet_network, dirichlet_vae, symmetric_prior
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 3, layers=1), prior=symmetric_prior())
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> refine(jax.random.key(1), vae, params, np.eye(64), steps=2).shape
      (64, 3)

    Source: Cremer, Li and Duvenaud, 2018, Inference suboptimality in variational autoencoders.
    """
    checks.on_host("there call vae.encode", key=key, params=params, x=x, y=y)
    checks.typed_key("key", key)
    check_model(vae, params)
    _check_bound("refine", vae)
    checks.positive_int("batch_size", batch_size)
    steps = checks.positive_int("steps", steps, minimum=0)
    rate = checks.positive_float("learning_rate", learning_rate)
    data = examples(unweighted(x), y, condition=condition, mask=mask)
    vae.check_data(params, data)
    vae = for_labels(vae, data.y)
    if start is not None:
        start = _checked("start", start, vae, params, data)
    each = functools.partial(_refined, vae, steps, params, key, rate)
    refined = by_batches(each, data, batch_size, VERY_FEW_SIZES, beside=start)
    what = f"the posterior, after {steps} steps at learning_rate={rate:g},"
    return numbers(what, refined, params, finite=True)


@functools.partial(compiled.jit, static_argnums=(0, 1))
def _refined(
    vae: VAE, steps: int, params: Params, key: jax.Array, rate: Any, batch: Batch, start: Any = None
) -> Any:
    latent = vae.parts.latent  # type: ignore[union-attr]
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, max(1, steps)))
    batch = batch._replace(weight=None)

    def loss(free: Any, key: jax.Array) -> jax.Array:
        terms = vae.terms(params, key, batch, draws=1, q=bounded(latent, free))
        return jnp.sum(sum(kl_by_part(terms).values()) - mean_of_draws(terms.log_px))

    def step(carried: Any, key: jax.Array) -> Any:
        free, state = carried
        grads = jax.grad(loss)(free, key)
        with jax.numpy_dtype_promotion("standard"):  # Optax relies on it; a caller may forbid it
            updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(free, updates), state), None

    free = unbounded(latent, vae.encode(params, batch) if start is None else start)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(steps, dtype=jnp.uint32))
    (free, _), _ = jax.lax.scan(step, (free, optimizer.init(free)), keys)
    return bounded(latent, free)


def posterior_elbo(
    key: jax.Array,
    vae: VAE,
    params: Params,
    q: Any,
    x: Any,
    y: Any = None,
    *,
    condition: Any = None,
    mask: Any = None,
    draws: int = 8,
    batch_size: int = 256,
) -> np.ndarray:
    """The ELBO of each example with a posterior of its own.

    Args:
      key: one typed key; it draws z.
      vae: the model.
      params: its parameters.
      q: the posteriors of all examples, as `refine` returns them.
      x: examples [N, ...], in any form that `fit` takes but a stream.
      y: integer labels [N] where the model's prior needs them.
      condition: what encoder and decoder see beside x [N, ...], or None.
      mask: of x's shape, 1 where a value was seen, or None.
      draws: of z an example, over which the reconstruction is averaged.
      batch_size: examples a compiled call.

    Returns:
      Nats [N], every constant in them.

    Raises:
      ValueError, TypeError: if the data do not fit the model; the argument is named.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> q = refine(jax.random.key(1), vae, params, np.eye(64), steps=2)
      >>> posterior_elbo(jax.random.key(1), vae, params, q, np.eye(64)).shape
      (64,)
    """
    checks.on_host("there use vae.terms", key=key, params=params, q=q, x=x, y=y)
    checks.typed_key("key", key)
    check_model(vae, params)
    _check_bound("posterior_elbo", vae)
    draws = checks.positive_int("draws", draws)
    data = examples(unweighted(x), y, condition=condition, mask=mask)
    vae.check_data(params, data)
    vae = for_labels(vae, data.y)
    q = _checked("q", q, vae, params, data)
    each = functools.partial(_elbo, vae, draws, params, key)
    found = by_batches(each, data, batch_size, FEW_SIZES, beside=q)
    return numbers("the ELBO", found, params)


@functools.partial(compiled.jit, static_argnums=(0, 1))
def _elbo(vae: VAE, draws: int, params: Params, key: jax.Array, batch: Batch, q: Any) -> jax.Array:
    terms = vae.terms(params, key, batch._replace(weight=None), draws=draws, q=q)
    return mean_of_draws(terms.log_px) - sum(kl_by_part(terms).values())


def _checked(name: str, q: Any, vae: VAE, params: Params, data: Batch) -> Any:
    """Posteriors of all examples, that are such, on the host."""
    like = jax.eval_shape(vae.encode, params, dense_rows(data, np.arange(1)))
    found = jax.tree.map(np.asarray, q)
    forms: list[Any] = [jax.tree.structure(tree) for tree in (found, like)]
    if forms[0] != forms[1]:
        raise TypeError(f"{name} must be as vae.encode returns it, got {type(q).__name__}")

    with np.errstate(invalid="ignore", divide="ignore"):
        free = changed(np.log, vae.parts.latent, found)  # type: ignore[union-attr]
    for leaf, one, number in zip(*map(jax.tree.leaves, (found, like, free)), strict=True):
        shape = (rows_of(data), *one.shape[1:])
        if leaf.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {leaf.shape}")
        if not (known := np.isfinite(number)).all():
            raise ValueError(
                f"{name} must be finite, and scales and concentrations above zero, "
                f"got {leaf[~known][0]}"
            )
    return found


def _check_bound(name: str, vae: VAE) -> None:
    """Refuse a model that has no ELBO."""
    if not bind_checks.are_densities(parts_of_vae(name, vae)):
        raise ValueError(
            f"vae must have an ELBO for {name}, got one of the original objective, which has none"
        )
