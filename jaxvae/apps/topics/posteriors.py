"""The posteriors of documents. SciPy is imported where dense counts are to be made sparse."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxvae.data.batches import Batch
from jaxvae.data.examples import examples, unweighted
from jaxvae.data.sparse import is_sparse
from jaxvae.model.count_networks import finds_topics
from jaxvae.model.latents import dirichlet
from jaxvae.model.networks import Params
from jaxvae.model.parameters import Dirichlet
from jaxvae.model.refinement import refine
from jaxvae.model.vae import VAE
from jaxvae.numerics import compiled

STEPS, RATE = 50, 0.2
ROWS = 256  # documents in one compiled call
# Of a document's tokens, by which its posterior starts: under LDA the whole concentration is that
# of the prior and the number of tokens, where each token's topic is known, and less where not. An
# encoder, of which every document is one of all, is far from so sure.
SURE = 0.5
# Shifts and odd factors that spread each bit over all (Steele, Lea and Flood, 2014, SplitMix).
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def posteriors_of(
    key: jax.Array, vae: VAE, params: Params, documents: Batch, *, steps: int = STEPS
) -> np.ndarray:
    """The posterior of each document by itself, from where encoder and length put it.

    Args:
      key: one typed key.
      vae: a model of topics.
      params: its parameters.
      documents: their counts [N, V] and what else the model sees.
      steps: of the refinement; 0 leaves the encoder's as they are.

    Returns:
      Concentrations [N, K]; of a document without a word the prior's, where that is a Dirichlet.

    Raises:
      ValueError, TypeError: as `refine`.
    """
    documents = documents._replace(position=marks(documents.x))
    found = refine(key, vae, params, documents, steps=0, batch_size=ROWS)
    tokens = np.asarray(documents.x.sum(axis=1), np.float32).reshape(-1, 1)
    if steps:
        start = found.concentration
        total = start.sum(axis=1, keepdims=True)
        start = Dirichlet(start * np.maximum(1, SURE * tokens / total))
        found = refine(key, vae, params, documents,
                       start=start, steps=steps, learning_rate=RATE, batch_size=ROWS)  # fmt: skip
    concentration = np.array(found.concentration)
    _set_prior(concentration, tokens.ravel() == 0, vae, params, documents.y)
    return concentration


def _set_prior(
    concentration: np.ndarray, empty: np.ndarray, vae: VAE, params: Params, y: Any
) -> None:
    """Put the prior in the place of what was found for documents that say nothing."""
    if not empty.any():
        return
    assert vae.parts is not None
    own, of_prior = params.get("prior") or {}, vae.parts.prior.concentration
    if "log_concentration" in own:
        concentration[empty] = np.exp(own["log_concentration"])
    elif of_prior is not None:
        labels = np.full(len(empty), -1) if y is None else np.asarray(y)
        concentration[empty] = of_prior(labels[empty], concentration.shape[1])


def has_topics(vae: VAE) -> bool:
    """Whether a model's posteriors are those of documents, which `refined` finds.

    Args:
      vae: any.

    Returns:
      True for a model of topics with a Dirichlet latent.
    """
    parts = vae.parts
    return parts is not None and parts.latent == dirichlet and finds_topics(parts.network)


def refined(key: jax.Array, vae: VAE, params: Params, x: Any) -> Dirichlet:
    """The posterior of each document, whose label is not known.

    Args:
      key: one typed key.
      vae: a model of topics.
      params: its parameters.
      x: counts [N, V], dense or sparse; or a `Batch` with what else the model sees.

    Returns:
      The posteriors, as `posteriors_of`.

    Raises:
      ValueError, TypeError: if x holds no counts.
    """
    assert vae.parts is not None
    documents = examples(unweighted(x))
    rows = documents._replace(x=csr(documents.x), y=None)  # dense ones have the same posterior
    if vae.parts.prior.uses_labels:
        rows = rows._replace(y=np.full(rows.x.shape[0], -1, np.int32))
    return Dirichlet(posteriors_of(key, vae, params, rows))


def csr(x: Any) -> Any:
    """Counts as compressed rows, one entry for each word that a document has.

    Args:
      x: counts [N, V]; sparse ones are CSR.

    Returns:
      CSR [N, V], float32.
    """
    if not is_sparse(x):
        import scipy.sparse

        return scipy.sparse.csr_array(np.asarray(x, np.float32))
    rows = x.astype(np.float32)  # a copy
    if not rows.data.all():
        rows.eliminate_zeros()
    return rows


def marks(counts: Any) -> np.ndarray:
    """A number for each document that follows from its words alone.

    The draws of a document are keyed by it, so that its posterior is the same wherever among the
    others it stands.

    Args:
      counts: CSR [N, V], no word twice in a row.

    Returns:
      int32 [N], at least 0; of different documents as good as random.

    Example:
      >>> from scipy.sparse import csr_array
      >>> marks(csr_array([[1, 0, 2], [0, 3, 0], [1, 0, 2]])).tolist()
      [1937905913, 455242396, 1937905913]
    """
    with np.errstate(over="ignore"):
        mixed = counts.indices.astype(np.uint64) << np.uint64(32)
        mixed |= counts.data.astype(np.float32).view(np.uint32)
        for shift, factor in MIX:
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        ends = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])
        own = ends[counts.indptr[1:]] - ends[counts.indptr[:-1]]
    return (own >> np.uint64(33)).astype(np.int32)


def words_of(
    vae: VAE, params: Params, mixtures: np.ndarray, condition: Any = None
) -> Iterator[np.ndarray]:
    """The probabilities of the words for mixtures, a few documents at a time.

    Args:
      vae: a model of topics.
      params: its parameters.
      mixtures: [N, K].
      condition: what the decoder sees beside them [N, ...], or None.

    Yields:
      Of the next `ROWS` documents, or of those that are left, float32 [rows, V].
    """
    for start in range(0, len(mixtures), ROWS):
        z, own = jax.tree.map(lambda leaf, at=start: leaf[at : at + ROWS], (mixtures, condition))
        yield np.asarray(_decoded(vae, params, z.astype(np.float32), Batch(condition=own)))


@functools.partial(compiled.jit, static_argnums=0)
def _decoded(vae: VAE, params: Params, z: Any, batch: Batch) -> jax.Array:
    network = vae.parts.network  # type: ignore[union-attr]
    return jax.nn.softmax(network.decode(params, z, batch), axis=-1)


def mean_of(concentration: Any) -> Any:
    """The mean of each Dirichlet.

    Args:
      concentration: [N, K].

    Returns:
      [N, K].
    """
    return concentration / concentration.sum(axis=1, keepdims=True)
