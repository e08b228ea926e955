"""Where the training of a run starts: where its network says from the data, or afresh."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.apps import description
from jaxvae.apps.run_config import Config
from jaxvae.apps.topics.posteriors import csr
from jaxvae.data.batches import Batch
from jaxvae.model.vae import VAE
from jaxvae.training.state import TrainState, init_opt_state, init_state


def state_of(
    config: Config, vae: VAE, optimizer: optax.GradientTransformation, training: Batch
) -> TrainState | None:
    """The state that a new run starts from.

    Args:
      config: of the run.
      vae: its model.
      optimizer: its optimizer.
      training: the examples that it is trained on.

    Returns:
      The state; None where the network has no start of its own: `fit` makes a fresh one.

    Raises:
      ValueError: if the network finds no start in the data.
    """
    started = getattr(config.model.network, "started", None)
    if started is None:
        return None
    seed = config.training.seed
    example = Batch(np.zeros((1, *config.model.data_shape), np.float32))
    fresh = init_state(jax.random.key(seed), vae, optimizer, example)
    assert vae.parts is not None
    labels = training.y if vae.parts.prior.uses_labels else None
    params = jax.tree.map(jnp.asarray, started(fresh.params, csr(training.x), labels, seed))
    # Anew: the optimizer may average the parameters.
    return TrainState(fresh.step, params, init_opt_state(optimizer, params))


def states_of(
    configs: Sequence[Config], optimizer: optax.GradientTransformation, training: Batch
) -> TrainState | None:
    """The states that several new runs of one program start from.

    Args:
      configs: of the runs.
      optimizer: of all.
      training: the examples that they are trained on.

    Returns:
      The states, each array with a leading axis of the runs; or None, as `state_of` does.

    Raises:
      ValueError: if the network finds no start in the data.
    """
    each = [
        state_of(config, description.build(config.model), optimizer, training)
        for config in configs
        if getattr(config.model.network, "started", None) is not None
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each) if each else None
