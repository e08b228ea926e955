"""The posteriors of documents."""

from typing import Any

import jax
import numpy as np

from jaxvae.data.batches import Batch
from jaxvae.model.networks import Params
from jaxvae.model.parameters import Dirichlet
from jaxvae.model.refinement import refine
from jaxvae.model.vae import VAE

STEPS, RATE = 50, 0.2
ROWS = 256  # documents in one compiled call
# Of a document's tokens, by which its posterior starts: under LDA the whole concentration is that
# of the prior and the number of tokens, where each token's topic is known, and less where not. An
# encoder, of which every document is one of all, is far from so sure.
SURE = 0.5


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
      Concentrations [N, K].

    Raises:
      ValueError, TypeError: as `refine`.
    """
    start = refine(key, vae, params, documents, steps=0, batch_size=ROWS).concentration
    if steps == 0:
        return np.array(start)
    tokens = np.asarray(documents.x.sum(axis=1), np.float32).reshape(-1, 1)
    total = start.sum(axis=1, keepdims=True)
    start = Dirichlet(start * np.maximum(1, SURE * tokens / total))
    found = refine(
        key, vae, params, documents, start=start, steps=steps, learning_rate=RATE, batch_size=ROWS
    )
    return np.array(found.concentration)


def mean_of(concentration: Any) -> Any:
    """The mean of each Dirichlet.

    Args:
      concentration: [N, K].

    Returns:
      [N, K].
    """
    return concentration / concentration.sum(axis=1, keepdims=True)
