"""A prior of what a topic decoder learns: a handful of documents must not be learned by heart."""

import functools
from typing import Any

import jax
import optax

from jaxvae.apps.topics import schedule
from jaxvae.training.averaging import average_params

CONCENTRATION = 0.1  # of each word in the prior of a topic, in the mean over the words
GAIN_PRECISION = 5.0  # of the prior of a hybrid's gains, Normal about zero
SCALE_PRECISION = 20.0  # of that of the scales of its correction


def with_word_prior(
    optimizer: optax.GradientTransformation,
    documents: int | None,
    concentration: float,
    dispersion: float = 1.0,
) -> optax.GradientTransformation:
    """An optimizer that also maximises a prior's density of the parameters of a topic decoder.

    Each topic of a mixture has a Dirichlet prior: as if it had been seen in some more words, drawn
    from the background. A hybrid's gains have a Normal one about zero: the surer the documents are
    that a word is a mixture's, the more it is. The scales of its correction have the same, times
    the dispersion: where words come in bursts a long document says no more than a short one, and a
    correction of a few documents would be one of these alone. A loss is the mean over documents,
    so that the prior's weight is one beside their number, and fades as they become many. A product
    has none.

    Args:
      optimizer: whatever moves the parameters.
      documents: how many there are; None: so many that no prior is needed.
      concentration: of the Dirichlet, for each word, in the mean over the words; 0 for none.
      dispersion: variance of the counts beside that of a multinomial, at least 1.

    Returns:
      The optimizer; its state has the same form for any number of documents.
    """
    if documents is None or concentration == 0:
        return optax.chain(optax.identity(), optimizer)

    def init(params: Any) -> optax.EmptyState:
        return optax.EmptyState()

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        own, towards = params["decoder"], dict(gradients["decoder"])
        if not isinstance(own["topics"], dict):  # a product's is a layer
            background = own["background"]
            usual = jax.nn.softmax(background)
            topics = jax.nn.softmax(own["topics"] + background[None], axis=-1)
            words = concentration * background.shape[0] / documents
            towards["topics"] = towards["topics"] + words * (topics - usual[None])
        if "gain" in own:
            towards["gain"] = towards["gain"] + GAIN_PRECISION / documents * own["gain"]
        if "correction" in own:
            scale, precision = towards["correction"]["scale"], SCALE_PRECISION * dispersion
            scale = scale + precision / documents * own["correction"]["scale"]
            towards["correction"] = {**towards["correction"], "scale": scale}
        return {**gradients, "decoder": towards}, state

    return optax.chain(optax.GradientTransformation(init, update), optimizer)


@functools.lru_cache(maxsize=16)
def averaged_adam(
    rate: float, updates: int, documents: int | None, concentration: float, dispersion: float
) -> optax.GradientTransformation:
    """Adam with the prior, and an average: better topics than those of the last update.

    Args:
      rate: of learning.
      updates: about how many are averaged.
      documents: as for `with_word_prior`.
      concentration: as there.
      dispersion: as there.

    Returns:
      The optimizer; the same one for the same values, so that nothing compiles twice.
    """
    adam = optax.adam(rate, b1=schedule.MOMENTUM)
    prior = with_word_prior(adam, documents, concentration, dispersion)
    return average_params(prior, 1 - 1 / updates)
