"""Ready-made networks of counts, with a Dirichlet latent: topics of texts, programmes of cells."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.batches import Batch, as_batch
from jaxvae.model.count_modules import (
    HybridDecoder,
    MixtureDecoder,
    NormalizedDirichletHead,
    ProductDecoder,
)
from jaxvae.model.flax_network import half
from jaxvae.model.modules import MLP, Activation, Encoder
from jaxvae.model.networks import Network, Params, of_halves, returned, whole
from jaxvae.model.ready_networks import activation_of, beside
from jaxvae.model.values import made_by
from jaxvae.numerics import checks

DECODERS = {"hybrid": HybridDecoder, "mixture": MixtureDecoder, "product": ProductDecoder}


@made_by
def topic_network(
    data_dim: int,
    latent_dim: int,
    *,
    decoder: str = "hybrid",
    layers: int = 2,
    hidden_units: int = 100,
    activation: str | Activation = "softplus",
    dropout: float = 0.3,
    background: Any = None,
) -> Network:
    """The network of a topic model: counts of D words to a mixture of K topics, and back.

    The encoder is dense and sees the counts, beside them the batch's condition, and ends in a
    `NormalizedDirichletHead`; the decoder is linear, and the condition adds to its logits. Its
    likelihood is `multinomial("logits")`, or another of counts that takes logits.

    Args:
      data_dim: D, the number of words, at least 2.
      latent_dim: K, the number of topics, at least 2.
      decoder: "mixture" (LDA): the words of a document are shared out among its topics. "product"
        of experts (ProdLDA): each topic moves the log-probability of every word. "hybrid": a
        mixture that learns where a product is better.
      layers: hidden layers of the encoder, at least 1.
      hidden_units: width of a hidden layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      dropout: the share of the last hidden layer that is left out in training, from 0 to below 1.
      background: how often each word is seen in all documents [D], above zero, where the
        decoder's bias starts; None: all alike.

    Returns:
      A network whose `encode` gives `Dirichlet(concentration)` and whose `decode` gives logits.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = topic_network(64, 10, hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> network.encode(params, jnp.zeros((5, 64))).shape
      (5, 10)

    Source: Srivastava and Sutton, 2017, Autoencoding variational inference for topic models; its
    logistic Normal is a Dirichlet here.
    """
    data_dim = checks.axis_length("data_dim", data_dim, minimum=2)
    latent_dim = checks.axis_length("latent_dim", latent_dim, minimum=2)
    made = DECODERS[checks.one_of("decoder", decoder, DECODERS)](data_dim)
    trunk = MLP(
        checks.axis_length("layers", layers),
        checks.axis_length("hidden_units", hidden_units),
        activation_of(activation),
    )
    rate = checks.positive_float("dropout", dropout, zero=True)
    if rate >= 1:
        raise ValueError(f"dropout must be below 1, got {dropout}")
    head = NormalizedDirichletHead(latent_dim, rate)
    network = of_halves(
        half("encoder", Encoder(head, trunk), beside), half("decoder", made), (latent_dim,)
    )
    if background is None:
        return network
    start = np.log(_frequencies(background, data_dim))

    def init(key: jax.Array, batch: Any, *, z_of: Any = None) -> Params:
        params = network.init(key, batch, z_of=z_of)
        own = params["decoder"]
        return {**params, "decoder": {**own, "background": jnp.asarray(start)}}

    return network._replace(init=init)


@made_by
def seeded(network: Network, log_odds: Any) -> Network:
    """The same network, in which topics favour some words from the start.

    logits = the decoder's + z @ log_odds: training moves the topics on from there.

    Args:
      network: whose decoder takes z [B, K] and returns logits [B, D].
      log_odds: what is added for each topic and word [K, D], finite.

    Returns:
      The network.

    Raises:
      ValueError: if log_odds is no matrix of finite numbers with a row for each topic.

    Example:
      >>> odds = np.zeros((3, 64), np.float32)
      >>> odds[0, 5] = np.log(100)
      >>> network = seeded(topic_network(64, 3, hidden_units=16), odds)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> int(topic_word_logits(network, params)[0].argmax())
      5

    Source: the idea of words given to topics: Jagarlamudi, Daume and Udupa, 2012, Incorporating
    lexical priors into topic models.
    """
    checks.instance("network", network, Network, "a jaxvae.Network")
    odds = checks.data_array("log_odds", log_odds)
    if network.latent_shape != (odds.shape[0],):
        raise ValueError(f"log_odds must have a row for each topic, {network.latent_shape}, "
                         f"got the shape {odds.shape}")  # fmt: skip
    net = whole(network)

    def decode(params: Params, z: Any, batch: Any = None, *, training: Any = None) -> Any:
        value, statistics = net.decode(params, z, as_batch(batch), training)
        value = value + z @ jnp.asarray(odds)
        return returned(params, value, statistics, training)

    return network._replace(decode=decode)


def _frequencies(background: Any, data_dim: int) -> np.ndarray:
    array = np.asarray(background, np.float64)
    if array.shape != (data_dim,):
        raise ValueError(f"background must have the shape ({data_dim},), got {array.shape}")
    if not (np.isfinite(array) & (array > 0)).all():
        wrong = array[~(np.isfinite(array) & (array > 0))][0]
        raise ValueError(f"background must hold finite numbers above zero, got {wrong}")
    return (array / array.sum()).astype(np.float32)


def finds_topics(network: Network) -> bool:
    """Whether the categories of a network are topics of words.

    Args:
      network: any.

    Returns:
      True for `topic_network`, and for what another constructor has made of it.

    Example:
      >>> from jaxvae.networks import of_counts
      >>> finds_topics(of_counts(topic_network(64, 3, hidden_units=16)))
      True
    """
    own: Any = network
    while own is not None and (recipe := getattr(own.init, "recipe", None)) is not None:
        if recipe.constructor is topic_network:
            return True
        own = recipe.arguments.get("network")
    return False


def topic_word_logits(network: Network, params: Params, condition: Any = None) -> jax.Array:
    """What each topic alone says of the words.

    Args:
      network: any of a Dirichlet latent whose width it knows.
      params: its parameters.
      condition: of one example [1, ...], where the network takes one.

    Returns:
      Logits [K, D], float32: those of the corners of the simplex.
    """
    (topics,) = network.latent_shape
    corners = jnp.eye(topics, dtype=jnp.float32)
    if condition is None:
        return network.decode(params, corners)
    rows = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf), topics, axis=0), condition)
    return network.decode(params, corners, Batch(condition=rows))
