"""Metrics of a trained model."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.data.batches import Array, Batch
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks


@door("evaluation")
class Evaluation(NamedTuple):
    """Means over a data set.

    Attributes:
      loss: the model's loss, from one draw of z an example.
      reconstruction: its reconstruction term.
      kl: its KL term, before its weight.

    Example:
      >>> Evaluation(loss=4.0, reconstruction=3.0, kl=1.0).loss
      4.0
    """

    loss: float
    reconstruction: float
    kl: float


def evaluate(
    key: jax.Array,
    vae: VAE,
    params: Params,
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    batch_size: int = 1024,
) -> Evaluation:
    """The loss and its terms over a data set.

    Args:
      key: one typed key; it draws z.
      vae: the model.
      params: its parameters.
      x: examples [N, D].
      y: integer labels [N] where the model's prior needs them.
      weight: examples' weights [N], finite, at least 0 and not all 0; None weighs all alike. An
        example's own loss does not depend on them: its draw of z follows its place in x.
      batch_size: examples a compiled call; the result depends on it by rounding alone.

    Returns:
      The means over all examples, by their weights, in the units of the model's objective (nats
      for the ELBO).

    Raises:
      ValueError, TypeError: if the data do not fit the model; the argument is named.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> result = evaluate(jax.random.key(1), vae, params, np.zeros((100, 64)))
      >>> bool(np.isclose(result.loss, result.reconstruction + result.kl))
      True

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes: the estimator of the ELBO.
    """
    checks.on_host("there call vae.loss", key=key, params=params, x=x, y=y, weight=weight)
    checks.typed_key("key", key)
    check_model(vae)
    x = checks.data_array("x", x)
    y = None if y is None else checks.label_array("y", y, len(x))
    vae.check_data(params, x, y)
    if weight is not None:
        weight = checks.weight_array("weight", weight, len(x))
        weight = weight / weight.max()  # no sum of them is beyond float32
    totals = np.zeros(3)
    for batch in _batches(x, y, batch_size, weight):
        totals += jax.device_get(_loss_totals(vae, params, key, jax.device_put(batch)))
    return Evaluation(*(totals / (len(x) if weight is None else weight.sum())).tolist())


def encode_mean(vae: VAE, params: Params, x: Any, *, batch_size: int = 1024) -> np.ndarray:
    """The posterior mean of z for each example.

    Args:
      vae: the model.
      params: its parameters.
      x: examples [N, D].
      batch_size: examples a compiled call.

    Returns:
      [N, K]: loc for a Normal latent, concentration / sum(concentration) for a Dirichlet one.

    Raises:
      ValueError, TypeError: if x is not an array [N, D] of finite numbers.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> encode_mean(vae, params, np.zeros((100, 64))).shape
      (100, 2)
    """
    checks.on_host("there call vae.encode", params=params, x=x)
    check_model(vae)
    x = checks.data_array("x", x)
    batches = (jax.device_put(batch.x) for batch in _batches(x, None, batch_size))
    means = [_posterior_mean(vae, params, batch) for batch in batches]
    return np.concatenate(jax.device_get(means))[: len(x)]


def accuracy(vae: VAE, params: Params, x: Any, y: Any, *, batch_size: int = 1024) -> float:
    """The share of examples whose most probable category is their label.

    Args:
      vae: a model with a Dirichlet latent whose prior is made from labels. With another prior
        the numbering of the categories is arbitrary.
      params: its parameters.
      x: examples [N, D].
      y: integer labels [N].
      batch_size: examples a compiled call.

    Returns:
      A number in [0, 1].

    Raises:
      ValueError, TypeError: if x or y cannot be used or the latent is not a Dirichlet one; the
        argument is named.

    Example:
      >>> from jaxvae import dense_dirichlet_network, dirichlet_vae
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 10, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> x = np.random.default_rng(0).random((100, 64))
      >>> own = encode_mean(vae, params, x).argmax(axis=1)
      >>> accuracy(vae, params, x, own)
      1.0
    """
    checks.on_host("there call vae.encode", params=params, x=x, y=y)
    z = encode_mean(vae, params, x, batch_size=batch_size)
    if isinstance(
        jax.eval_shape(vae.encode, params, jax.ShapeDtypeStruct(np.shape(x), jnp.float32)), tuple
    ):
        raise ValueError("vae must have a Dirichlet latent, got a Normal one")
    y = checks.label_array("y", y, len(z), categories=z.shape[1])
    return float(np.mean(z.argmax(axis=1) == y))


@functools.partial(jax.jit, static_argnums=0)
def _loss_totals(vae: VAE, params: Params, key: jax.Array, batch: Batch) -> jax.Array:
    loss, terms = vae.loss(params, key, batch)
    weight = jnp.asarray(batch.weight)
    # A term that is not finite counts for nothing too where its weight is 0.
    terms = jax.tree.map(lambda term: jnp.vdot(jnp.where(weight > 0, term, 0), weight), terms)
    return jnp.stack([loss * jnp.sum(weight), *terms])


@functools.partial(jax.jit, static_argnums=0)
def _posterior_mean(vae: VAE, params: Params, x: Array) -> jax.Array:
    posterior = vae.encode(params, x)
    if isinstance(posterior, tuple):
        return posterior[0]
    return posterior / jnp.sum(posterior, axis=-1, keepdims=True)


def _batches(
    x: np.ndarray, y: np.ndarray | None, batch_size: int, weight: np.ndarray | None = None
) -> Iterator[Batch]:
    """All examples in order, the last batch padded to the size of the others by weight 0."""
    batch_size = min(checks.positive_int("batch_size", batch_size), len(x))
    for start in range(0, len(x), batch_size):
        position = np.arange(start, start + batch_size, dtype=np.int32)
        index = np.minimum(position, len(x) - 1)
        own = (position < len(x)).astype(np.float32)
        if weight is not None:
            own *= weight[index]
        yield Batch(x[index], None if y is None else y[index], own, position)
