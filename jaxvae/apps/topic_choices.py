"""What is chosen for a model of topics, where options leave it open. It is what `TopicModel` does.

How it is trained: `topics/schedule.py`.

How these were found: `benchmarks/topics.py`.
"""

from typing import Any

from jaxvae.apps.model_parts import KINDS
from jaxvae.apps.options import Options
from jaxvae.data.dataset import Dataset

TOPICS, FEWEST_TOPICS = 20, 10  # without labels; with labels at least
CONCENTRATION = 0.1  # of each topic in the prior
OF_LABEL = 10.0  # what a label adds to its own topic: with less, topics may end in another order


def is_topical(options: Options, data: Dataset) -> bool:
    """Whether the model is one of topics: it is asked for, or the data are counts and no other is.

    Args:
      options: of a new run, some of them None.
      data: the data.

    Returns:
      Whether it is.
    """
    kinds: dict[str, dict[str, Any]] = KINDS
    if options.network is not None:
        return kinds["network"][options.network].of_topics
    given = options.model is not None or options.objective == "original"
    if given or options.scale != "auto" or options.missing != "refuse":
        return False
    of_total = options.likelihood is None or not kinds["likelihood"][options.likelihood].takes_masks
    return data.look.counts and of_total and data.x_train.shape[1] > 1


def of_model(topics: int | None, labels: int | None) -> dict[str, Any]:
    """The options of the model.

    Args:
      topics: how many, or None.
      labels: how many there are, or None.

    Returns:
      By name; those of all priors.
    """
    if topics is None:
        topics = TOPICS if labels is None else max(labels, FEWEST_TOPICS)
    return {
        "latent_dim": topics,
        "prior_concentration": CONCENTRATION,
        "smoothness": CONCENTRATION / OF_LABEL,
        "total_concentration": CONCENTRATION * topics + OF_LABEL,
    }
