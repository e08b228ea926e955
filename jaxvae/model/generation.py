"""What a trained model makes of z: reconstructions, and new examples."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.batches import Batch
from jaxvae.data.examples import FEW_SIZES, by_batches, examples, unweighted
from jaxvae.model import bind_checks
from jaxvae.model.draws import draw, draw_keys, example_keys
from jaxvae.model.evaluation import parts_of_vae
from jaxvae.model.finite import numbers
from jaxvae.model.flax_network import named_params
from jaxvae.model.networks import Params, whole
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks, compiled


def reconstruct(
    key: jax.Array,
    vae: VAE,
    params: Params,
    x: Any,
    y: Any = None,
    *,
    condition: Any = None,
    draws: int = 1,
    batch_size: int = 256,
) -> Any:
    """The mean of x given z drawn from each example's posterior, in the user's units.

    Args:
      key: one typed key; a draw follows from the example's place in x and the draw's number.
      vae: the model.
      params: its parameters.
      x: examples [N, ...], in any form that `fit` takes but a stream.
      y: integer labels [N]; no function of the model but the prior looks at them.
      condition: what encoder and decoder see beside x [N, ...], or None.
      draws: of z an example, over which the means are averaged, at least 1.
      batch_size: examples a compiled call.

    Returns:
      [N, ...], as x.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> reconstruct(jax.random.key(1), vae, params, np.zeros((5, 64))).shape
      (5, 64)
    """
    checks.on_host("there call vae.encode and vae.decode", key=key, params=params, x=x)
    checks.typed_key("key", key)
    check_model(vae, params)
    parts_of_vae("reconstruct", vae)
    draws = checks.positive_int("draws", draws)
    batch_size = checks.positive_int("batch_size", batch_size)
    data = examples(unweighted(x), y, condition=condition)
    with named_params(bind_checks.told(data)):
        each = functools.partial(_decoded_draws, vae, draws, params, key)
        found = by_batches(each, data, batch_size, FEW_SIZES)
    return numbers("the reconstruction", found, params)


def generate(
    key: jax.Array,
    vae: VAE,
    params: Params,
    count: Any,
    *,
    y: Any = None,
    condition: Any = None,
    noise: bool = False,
) -> Any:
    """New examples: z from the prior, decoded; in the user's units.

    Args:
      key: one typed key.
      vae: the model.
      params: its parameters.
      count: how many; or the shape (count, K) of z where the network does not say its width.
      y: labels [count] that a prior made from labels is to follow; each drawn where None.
      condition: what the decoder sees beside z [count, ...]; needed where the model was trained
        with one.
      noise: draws of x given z, instead of their means.

    Returns:
      [count, ...].

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import dense_dirichlet_network, dirichlet_vae
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 10, layers=1, hidden_units=16))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> generate(jax.random.key(1), vae, params, 3, y=[7, 7, 7]).shape
      (3, 64)
    """
    checks.on_host("there call vae.sample_prior and vae.decode", key=key, params=params, y=y)
    checks.typed_key("key", key)
    check_model(vae, params)
    parts_of_vae("generate", vae)
    checks.boolean("noise", noise)
    shape = count if isinstance(count, tuple | list | dict) else None
    rows = checks.positive_int("count", count) if shape is None else _rows(shape)
    labels = None if y is None else checks.label_array("y", y, rows)
    for leaf in jax.tree.leaves(condition):
        if np.shape(leaf)[:1] != (rows,):
            raise ValueError(f"condition must have {rows} rows, got the shape {np.shape(leaf)}")
    if labels is not None and shape is not None:
        raise ValueError("count must be a number where y is given, got a shape")
    z_key, x_key = jax.random.split(key)
    seen = Batch(y=labels, condition=condition)
    # A batch without rows of anything says nothing of how many.
    of = count if shape is not None or not jax.tree.leaves(seen) else seen
    z = vae.sample_prior(params, z_key, of)
    if labels is not None:
        width = {leaf.shape[-1] for leaf in jax.tree.leaves(z)}
        checks.label_array("y", labels, rows, categories=max(width))
    if not noise:
        with named_params(f"z and {bind_checks.told(Batch(condition=condition))}"):
            means = jax.device_get(vae.decode(params, z, None if condition is None else seen))
        return numbers("the mean", means, params)
    return sampled(x_key, vae, params, z, condition=condition)


def sampled(key: jax.Array, vae: VAE, params: Params, z: Any, *, condition: Any = None) -> Any:
    """Draws of x given z, in the user's units.

    Args:
      key: one typed key.
      vae: the model.
      params: its parameters.
      z: points of the latent space [N, K], or a dict of such by part.
      condition: what the decoder sees beside z [N, ...], or None.

    Returns:
      [N, ...].

    Raises:
      ValueError: if the likelihood needs the totals of examples, or a number is NaN.
    """
    parts = parts_of_vae("sampled", vae)
    net, batch = whole(parts.network), Batch(condition=condition)
    with named_params(f"z and {bind_checks.told(batch)}"):
        decoded, _ = net.decode(params, z, batch, None)
    own = params.get("likelihood", {})
    keys = jax.random.split(key, len(jax.tree.leaves(z)[0]))
    example = None if condition is None else batch
    drawn = jax.vmap(parts.likelihood.sample, (None, 0, 0, None if example is None else 0))(
        own, keys, decoded, example
    )
    return numbers("what was drawn", jax.device_get(parts.transform.inverse(drawn)), params)


def _rows(shape: Any) -> int:
    first = next(iter(shape.values())) if isinstance(shape, dict) else shape
    return checks.positive_int("count[0]", first[0])


@functools.partial(compiled.jit, static_argnums=(0, 1))
def _decoded_draws(vae: VAE, draws: int, params: Params, key: jax.Array, batch: Batch) -> Any:
    latent = parts_of_vae("reconstruct", vae).latent
    q = vae.encode(params, batch)
    keys = draw_keys(example_keys(key, batch), draws, 0)

    def one(keys: jax.Array) -> Any:
        return vae.decode(params, latent.value(draw(latent, keys, q)), batch)

    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jax.vmap(one)(keys))
