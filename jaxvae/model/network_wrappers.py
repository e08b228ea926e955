"""Networks made of other networks: what their encoder or decoder is shown is changed on its way."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.batches import Batch, as_batch
from jaxvae.model.count_networks import topic_network
from jaxvae.model.latents import dirichlet
from jaxvae.model.networks import Network, Params, returned, whole
from jaxvae.model.values import made_by, recipe_of
from jaxvae.numerics import checks, elementary
from jaxvae.numerics.count_densities import poisson_deviance

CENTRES = "centres"  # the parameters that `centred` adds


def _frequencies(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.sum(x, axis=-1, keepdims=True), 1)


def _residuals(background: Any) -> Callable[[jax.Array], jax.Array]:
    """The deviance residuals of counts against the shares [V] that all examples are to have."""
    own = checks.real_array("background", background)
    if own.ndim != 1:
        raise ValueError(f"background must have the shape [V] (rank 1), got {own.shape}")
    checks.finite_array("background", own.astype(np.float32), positive=True)
    log_share = np.log(own.astype(np.float64)) - np.log(own.sum(dtype=np.float64))

    def residuals(x: jax.Array) -> jax.Array:
        if x.shape[-1:] != own.shape:
            raise ValueError(
                f"background must have one frequency for each of the {x.shape[-1]} counts of x, "
                f"got {own.shape[0]}"
            )
        log_f = jnp.broadcast_to(jnp.asarray(log_share, x.dtype), x.shape)
        total = jnp.sum(x, axis=-1, keepdims=True)
        mean = total * jnp.exp(log_f)
        log_mean = jnp.log(jnp.maximum(total, 1)) + log_f
        return jnp.sign(x - mean) * jnp.sqrt(2 * poisson_deviance(x, mean, log_mean))

    return residuals


@made_by
def of_counts(network: Network, *, show: str = "log", background: Any = None) -> Network:
    """The same network, whose encoder sees counts as smaller numbers: they do not flood its layers.

    Args:
      network: any.
      show: what the encoder sees of each count. "log": log(1 + x). "frequencies": x over the sum of
        x's last axis, 0 where that is 0; an example of twice the counts looks the same.
        "residuals": how far x is from its mean m = sum * background, as the deviance residual
        sign(x - m) sqrt(2 (x log(x / m) - x + m)); a count that is as all others have it is 0.
      background: of residuals alone, the frequencies [V] of all examples, above zero; they need not
        sum to one, so that the counts of the training examples, summed, will do.

    Returns:
      The network; its likelihood is given the counts themselves.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import dense_normal_network
      >>> network = of_counts(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> network.encode(params, jnp.full((5, 64), 1e6))[0].shape
      (5, 2)

    Source: the residuals are those of Townes, Hicks, Aryee and Irizarry, 2019, Feature selection
    and dimension reduction for single-cell RNA-Seq based on a multinomial model.
    """
    net = whole(network)
    checks.one_of("show", show, ("log", "frequencies", "residuals"))
    if (background is None) == (show == "residuals"):
        needed = "be given" if background is None else "be None"
        raise ValueError(f"background must {needed} where show is {show!r}, got {background}")
    if background is not None:
        see = _residuals(background)
    else:
        see = _frequencies if show == "frequencies" else elementary.log1p_undivided

    def seen(batch: Any) -> Batch:
        batch = as_batch(batch)
        return batch._replace(x=jax.tree.map(see, batch.x))

    def init(key: jax.Array, batch: Any, *, z_of: Any = None) -> Params:
        return net.init(key, seen(batch), z_of)

    def encode(params: Params, batch: Any, *, training: Any = None) -> Any:
        value, statistics = net.encode(params, seen(batch), training)
        return returned(params, value, statistics, training)

    return network._replace(init=init, encode=encode)


@made_by
def scaled_parts(network: Network, **scales: Any) -> Network:
    """The same network, whose decoder sees parts of a product's z times a number.

    A corner of the simplex is a small thing beside eight standard Normals: a decoder that starts
    with both alike learns to read the style alone, and the category says nothing.

    Args:
      network: of a product.
      **scales: a number above zero for each part that is to be scaled, by its name.

    Returns:
      The network; z itself, its prior and its posterior are as they were.

    Raises:
      ValueError, TypeError: if a number is outside what is allowed; it is named.

    Example:
      >>> from jaxvae.networks import DirichletHead, NormalHead, dense_network
      >>> heads = {"category": DirichletHead(10), "style": NormalHead(2)}
      >>> network = scaled_parts(dense_network(64, heads, layers=1, hidden_units=16), category=5.0)
      >>> network.latent_shape
      (('category', (10,)), ('style', (2,)))
    """
    checks.instance("network", network, Network, "a jaxvae.Network")
    factors = {name: checks.number(name, value) for name, value in scales.items()}
    if not factors:
        raise ValueError("scales must name at least one part, got none")
    net = whole(network)

    def decode(params: Params, z: Any, batch: Any = None, *, training: Any = None) -> Any:
        unknown = sorted(set(factors) - set(z)) if isinstance(z, Mapping) else sorted(factors)
        if unknown:
            raise ValueError(f"scales must be of parts of z, got {', '.join(unknown)}")
        scaled = {name: part * factors.get(name, 1) for name, part in z.items()}
        value, statistics = net.decode(params, scaled, as_batch(batch), training)
        return returned(params, value, statistics, training)

    return network._replace(decode=decode)


@made_by
def centred(network: Network, *, part: str, on: str, rate: Any = 10.0) -> Network:
    """The same network of a product, in which a Normal part is what is left beside a category.

    The part has a learned centre [K_on, K_part] for each category. The encoder takes the centre of
    the posterior's mean category away, the decoder adds that of the category again: what is decoded
    stays as it was, and what the category tells costs no KL divergence in the part. In other words,
    the part before that has the prior Normal(category @ centres, 1).

    Args:
      network: of a product, whose encoder returns `Normal` for the part and `Dirichlet` for the
        other.
      part: the name of the Normal part.
      on: the name of the part with the categories.
      rate: how much faster than the other parameters the centres learn, above zero; they are
        `rate * params["centres"]`.

    Returns:
      The network.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae.networks import DirichletHead, NormalHead, dense_network
      >>> heads = {"category": DirichletHead(10), "style": NormalHead(2)}
      >>> network = dense_network(64, heads, layers=1, hidden_units=16)
      >>> network = centred(network, part="style", on="category")
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> params["centres"].shape
      (10, 2)

    Source: a mixture of Normals as prior: Jiang, Zheng, Tan, Tang and Zhou, 2017, Variational deep
    embedding.
    """
    checks.instance("network", network, Network, "a jaxvae.Network")
    rate, shapes = checks.number("rate", rate), network.latent_shape or ()
    known = dict(shapes) if all(isinstance(shape, tuple) for shape in shapes) else {}
    for argument, name in (("part", part), ("on", on)):
        checks.one_of(argument, name, tuple(known))
    net = whole(network)
    shape = (known[on][-1], known[part][-1])

    def centre(params: Params, category: jax.Array) -> jax.Array:
        return category @ (rate * params[CENTRES])

    def init(key: jax.Array, batch: Any, *, z_of: Any = None) -> Params:
        made = net.init(key, as_batch(batch), z_of)
        if CENTRES in made:
            raise ValueError(f"network must have no parameters of the name {CENTRES}")
        return {**made, CENTRES: jnp.zeros(shape)}

    def encode(params: Params, batch: Any, *, training: Any = None) -> Any:
        q, statistics = net.encode(params, as_batch(batch), training)
        mean = dirichlet.mean(q[on])
        value = {**q, part: q[part]._replace(loc=q[part].loc - centre(params, mean))}
        return returned(params, value, statistics, training)

    def decode(params: Params, z: Any, batch: Any = None, *, training: Any = None) -> Any:
        moved = {**z, part: z[part] + centre(params, z[on])}
        value, statistics = net.decode(params, moved, as_batch(batch), training)
        return returned(params, value, statistics, training)

    return Network(init, encode, decode, network.latent_shape)


def sees_log(network: Network) -> bool:
    """Whether a network was made by `of_counts` to see logarithms.

    Args:
      network: any.

    Returns:
      True if its encoder sees log(1 + x).
    """
    recipe = recipe_of(network.encode)
    if recipe is None or recipe.constructor is not of_counts:
        return False
    return recipe.arguments.get("show", "log") == "log"  # a pickle of before has no `show`


def takes_counts(network: Network) -> bool:
    """Whether large counts do no harm to a network.

    Args:
      network: any.

    Returns:
      True if its encoder sees log(1 + x), or is that of a topic model, which ends in batch norm.
    """
    recipe = recipe_of(network.encode)
    return sees_log(network) or (recipe is not None and recipe.constructor is topic_network)
