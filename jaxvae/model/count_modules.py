"""Flax modules for counts: the head and the decoders of topic models."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.model.modules import NormedDense, dense
from jaxvae.model.networks import concatenated
from jaxvae.model.parameters import Dirichlet

# Beyond these a concentration changes nothing that can be seen, and its gradient is hopeless.
LEAST, MOST = 1e-3, 1e3
TINY = 1e-20  # what a word's probability stays above, so that its logarithm is finite
KERNEL = nn.initializers.glorot_uniform()


@door("networks")
class NormalizedDirichletHead(nn.Module):
    """h [B, H] -> `Dirichlet` [B, K]: concentration = exp(batch norm(linear(dropout(h)))).

    Over a batch the log-concentration of each category has variance one from the first step on, so
    that none starts dead. Concentrations lie between 1e-3 and 1e3.

    Attributes:
      latent_dim: K, the number of categories.
      dropout: the share of h that is left out in training.

    Example:
      >>> from jaxvae.networks import MLP, Decoder, Encoder, flax_network
      >>> encoder = Encoder(NormalizedDirichletHead(3), MLP(1, 16, nn.softplus))
      >>> network = flax_network(encoder, Decoder(64, MLP(1, 16, nn.relu)))
      >>> params = network.init(jax.random.key(0), jnp.ones((1, 64)))
      >>> network.encode(params, jnp.ones((5, 64))).shape
      (5, 3)

    Source: the norm is that of Srivastava and Sutton, 2017, Autoencoding variational inference for
    topic models.
    """

    latent_dim: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, h: jax.Array) -> Dirichlet:
        h = nn.Dropout(self.dropout)(h)
        h = nn.Dense(self.latent_dim, use_bias=False, kernel_init=KERNEL, name="linear")(h)
        norm = nn.BatchNorm(momentum=0.9, epsilon=1e-3, use_scale=False, name="log_concentration")
        return Dirichlet(jnp.clip(jnp.exp(norm(h)), LEAST, MOST))


@door("networks")
class ProductDecoder(nn.Module):
    """z [B, K] -> logits [B, D] of words: a product of the topics, each to the power of its share.

    logits = scale * norm(z @ topics) + background, a scale and a background for each word; what the
    batch's condition says is added. A document with two topics may hold a word that is rare in
    both. From topics that start at random the scales can shrink to nothing, and the latent with
    them: let the topics start near what they will be.

    Attributes:
      data_dim: D, the number of words.

    Example:
      >>> from jaxvae.networks import MLP, Encoder, flax_network
      >>> encoder = Encoder(NormalizedDirichletHead(3), MLP(1, 16, nn.softplus))
      >>> network = flax_network(encoder, ProductDecoder(64))
      >>> params = network.init(jax.random.key(0), jnp.ones((1, 64)))
      >>> params["decoder"]["topics"]["kernel"].shape
      (3, 64)

    Source: Srivastava and Sutton, 2017, Autoencoding variational inference for topic models.
    """

    data_dim: int

    @nn.compact
    def __call__(self, z: jax.Array, condition: Any = None) -> jax.Array:
        logits = NormedDense(self.data_dim, name="topics")(z)
        logits = logits + self.param("background", nn.initializers.zeros, (self.data_dim,))[None]
        return logits + _of_condition(condition, z.shape[0], self.data_dim)


@door("networks")
class MixtureDecoder(nn.Module):
    """z [B, K] -> logits [B, D] of words: a mixture of the topics, as in LDA.

    logits = log(z @ softmax(topics + background)); what the batch's condition says is added.

    Attributes:
      data_dim: D, the number of words.

    Example:
      >>> from jaxvae.networks import MLP, Encoder, flax_network
      >>> encoder = Encoder(NormalizedDirichletHead(3), MLP(1, 16, nn.softplus))
      >>> network = flax_network(encoder, MixtureDecoder(64))
      >>> params = network.init(jax.random.key(0), jnp.ones((1, 64)))
      >>> p = jnp.exp(network.decode(params, jnp.full((5, 3), 1 / 3)))
      >>> bool(jnp.allclose(p.sum(axis=1), 1))
      True

    Source: Blei, Ng and Jordan, 2003, Latent Dirichlet allocation.
    """

    data_dim: int

    @nn.compact
    def __call__(self, z: jax.Array, condition: Any = None) -> jax.Array:
        logits, _ = _mixture(self, z, self.data_dim)
        return logits + _of_condition(condition, z.shape[0], self.data_dim)


@door("networks")
class HybridDecoder(nn.Module):
    """z [B, K] -> logits [B, D] of words: a mixture of the topics, corrected by a product.

    logits = background + gain * (log(z @ softmax(topics + background)) - background)
    + scale * norm(z @ correction), a gain of at most one and a scale for each word; what the
    batch's condition says is added. With gains of one and scales of zero, as it starts, it is a
    mixture, and stays near one where the documents are. Texts and cells are not quite: topics meet
    in words that neither has alone. A gain below one holds a word nearer to its frequency.

    Attributes:
      data_dim: D, the number of words.

    Example:
      >>> from jaxvae.networks import MLP, Encoder, flax_network
      >>> encoder = Encoder(NormalizedDirichletHead(3), MLP(1, 16, nn.softplus))
      >>> network = flax_network(encoder, HybridDecoder(64))
      >>> params = network.init(jax.random.key(0), jnp.ones((1, 64)))
      >>> sorted(params["decoder"])
      ['background', 'correction', 'gain', 'topics']
    """

    data_dim: int

    @nn.compact
    def __call__(self, z: jax.Array, condition: Any = None) -> jax.Array:
        logits, background = _mixture(self, z, self.data_dim)
        usual = jax.nn.log_softmax(background)[None]
        gain = self.param("gain", nn.initializers.ones, (self.data_dim,))
        # Above one it would sharpen topics beyond what they are in the documents.
        mixture = usual + jnp.minimum(gain, 1.0)[None] * (logits - usual)
        zeros = nn.initializers.zeros
        corrected = NormedDense(self.data_dim, scale=zeros, name="correction")(z)
        logits = mixture + corrected
        return logits + _of_condition(condition, z.shape[0], self.data_dim)


def _mixture(module: nn.Module, z: jax.Array, width: int) -> tuple[jax.Array, jax.Array]:
    """The log-probabilities of a mixture of the module's topics, and its background."""
    topics = module.param("topics", KERNEL, (z.shape[-1], width))
    background = module.param("background", nn.initializers.zeros, (width,))
    p = z @ jax.nn.softmax(topics + background[None], axis=-1)
    return jnp.log(jnp.maximum(p, TINY)), background


def _of_condition(condition: Any, rows: int, width: int) -> jax.Array:
    """What is added to the logits for the batch's condition; zeros where there is none."""
    if condition is None:
        return jnp.zeros((1, 1))
    return dense(width, "condition")(concatenated(condition, rows))
