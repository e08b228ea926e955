"""Where a run of the command line starts: at factors of its counts, as `TopicModel` does."""

from typing import Any

import numpy as np

from jaxvae.apps.samples import evenly
from jaxvae.apps.topics import starts
from jaxvae.apps.topics.topic_training import BACKGROUND, SAMPLE


def started(
    params: Any, decoder: str, counts: Any, labels: np.ndarray | None, random_state: int
) -> Any:
    """Parameters whose topics are factors of the counts, their background the words' frequencies.

    Args:
      params: of a `topic_network`, fresh.
      decoder: "product" or "mixture".
      counts: of the training examples, CSR [N, V], at least one word in all.
      labels: the topic that each example is known to be of [N], -1 where none is; or None.
      random_state: of the factorisation.

    Returns:
      The parameters, NumPy arrays in the decoder.

    Raises:
      ValueError: if there is no word.
    """
    own_words = np.diff(counts.indptr) > 0
    rows = counts[own_words]
    if not rows.shape[0]:
        raise ValueError("x must hold at least one count above 0 to find topics in, got none")
    frequency = np.asarray(rows.sum(axis=0), np.float64).ravel() + BACKGROUND
    background = np.log(frequency / frequency.sum()).astype(np.float32)
    topics = params["decoder"]["topics"]
    width = (topics["kernel"] if decoder == "product" else topics).shape[0]
    places = evenly(rows.shape[0], SAMPLE)
    hints = None if labels is None else np.asarray(labels)[own_words][places]
    odds = starts.factors(rows[places], width, random_state % 2**32, hints)
    own = starts.started(params, decoder, odds)
    return {**own, "decoder": {**own["decoder"], "background": background}}
