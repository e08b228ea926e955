"""The last phase of a topic model's training: the decoder learns from each document's posterior.

An encoder gives a long document a posterior that is far too wide, and the decoder learned to make
the best of that. Here the posterior of each document is sought by itself, the decoder and the prior
are trained on draws from these, and both again: the two steps of expectation and maximisation.

Source: Kim, Wiseman, Miller, Sontag and Rush, 2018, Semi-amortized variational autoencoders, who
take the encoder along.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.apps.topics.posteriors import posteriors_of
from jaxvae.apps.topics.word_prior import with_word_prior
from jaxvae.data.batches import Batch
from jaxvae.model.networks import STATISTICS, Network, Params, whole
from jaxvae.model.parameters import Dirichlet
from jaxvae.model.vae import VAE, bind
from jaxvae.training.loop import fit
from jaxvae.training.state import TrainState, init_opt_state

STEPS, RATE = 100, 0.01  # of a round, at least; of the first step, from which it falls to nothing
DOCUMENTS = 20_000  # of a round, at most; other ones in each, which compile anew
POSTERIOR, GIVEN = "log_concentration", "condition"  # what a batch's condition is made of


def finished(
    key: jax.Array,
    vae: VAE,
    params: Params,
    documents: Batch,
    *,
    rounds: int,
    batch_size: int,
    words: float,
    dispersion: float,
    devices: Any = None,
) -> Params:
    """Train the decoder and the prior of a topic model on refined posteriors.

    Args:
      key: one typed key.
      vae: the model.
      params: its parameters, trained.
      documents: counts, CSR [N, V], and what else the model sees; each with a word at least.
      rounds: how often posteriors are sought, and learned from.
      batch_size: documents a step.
      words: the concentration of the prior of words, as for `with_word_prior`.
      dispersion: of the counts, as there.
      devices: as for `fit`.

    Returns:
      The parameters; the encoder's are those given.

    Raises:
      NonFiniteStepError: if a step's loss or gradient is not finite.
    """
    rows = documents.x.shape[0]
    used = min(rows, DOCUMENTS)
    steps = -(-used // batch_size)  # of a pass
    passes = -(-STEPS // steps)
    optimizer = _optimizer(rounds * passes * steps, rows, words, dispersion)
    first = _without_encoder(params)
    learned = {name: own for name, own in first.items() if name != STATISTICS}
    state = TrainState(jnp.int32(0), first, init_opt_state(optimizer, learned))
    for turn in range(rounds):
        index = np.random.default_rng(turn).permutation(rows)[:used]
        some = jax.tree.map(lambda leaf, at=index: leaf[at], documents)
        q = posteriors_of(key, vae, params, some)
        given = {POSTERIOR: np.log(q)}
        if some.condition is not None:
            given[GIVEN] = some.condition
        state, _ = fit(
            key,
            _given_posteriors(vae),
            some._replace(condition=given),
            batch_size=batch_size,
            epochs=passes,
            optimizer=optimizer,
            state=state,
            devices=devices,
        )
        params = params | {name: jax.device_get(state.params[name]) for name in learned}
    return params


@functools.lru_cache(maxsize=16)
def _optimizer(
    steps: int, documents: int, words: float, dispersion: float
) -> optax.GradientTransformation:
    adam = optax.adam(optax.cosine_decay_schedule(RATE, steps))
    return with_word_prior(adam, documents, words, dispersion)


@functools.lru_cache(maxsize=16)
def _given_posteriors(vae: VAE) -> VAE:
    """The same model, whose encoder reads the posterior in the condition."""
    parts = vae.parts
    assert parts is not None
    net = whole(parts.network)

    def own(batch: Batch) -> Batch:
        return batch._replace(condition=batch.condition.get(GIVEN))

    def init(key: jax.Array, batch: Batch) -> Params:
        return _without_encoder(parts.network.init(key, own(batch)))

    def encode(params: Params, batch: Batch) -> Any:
        return Dirichlet(jnp.exp(batch.condition[POSTERIOR]))

    # What a norm keeps of z stays as it was: it is only a scale of what is learned.
    def decode(params: Params, z: Any, batch: Batch, *, training: Any = None) -> Any:
        value, _ = net.decode(params, z, own(batch), None)
        told = training is not None and STATISTICS in params
        return (value, params[STATISTICS]) if told else value

    network = Network(init, encode, decode, parts.network.latent_shape)
    return bind(
        network,
        parts.latent,
        parts.prior,
        parts.likelihood,
        parts.objective,
        transform=parts.transform,
    )


def _without_encoder(params: Params) -> Params:
    """Parameters and statistics of all else."""
    kept = {side: own for side, own in params.get(STATISTICS, {}).items() if side != "encoder"}
    own = {name: leaf for name, leaf in params.items() if name not in ("encoder", STATISTICS)}
    return own | ({STATISTICS: kept} if kept else {})
