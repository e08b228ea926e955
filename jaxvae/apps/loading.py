"""A trained model from wherever it is: a saved one, a run's, one on a hub."""

import os
from pathlib import Path

from jaxvae.apps import hub, runs, saved_models
from jaxvae.apps.saved_model import SavedModel
from jaxvae.numerics import checks
from jaxvae.training import run_folder


def load(path: str | os.PathLike) -> SavedModel:
    """Load a saved model, or the model of a run.

    Nothing in the files is run: they can name what is public in jaxvae and what this process has
    registered.

    Args:
      path: a folder that `save` made; the folder of a run of `jaxvae train`; or "hf://owner/name",
        a model on the Hugging Face Hub.

    Returns:
      The model with its parameters.

    Raises:
      FileNotFoundError: if there is neither.
      DamagedModelError: if a byte of a saved model is not as it was saved; the file is named.
      ValueError: if it needs a name that is not registered, or is of another version's format.

    Example:
      >>> import jax, jax.numpy as jnp, jaxvae, tempfile
      >>> vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> path = jaxvae.save(Path(tempfile.mkdtemp(), "mine"), vae, params)
      >>> jaxvae.load(path).vae.parts == vae.parts
      True
    """
    given = checks.path("path", path)
    folder: Path = hub.fetch(str(path)) if hub.is_address(path) else given
    of_run = (folder / run_folder.CONFIG).is_file() or folder.parent.name == run_folder.CHECKPOINTS
    return runs.open_run(folder).model if of_run else saved_models.read(folder)
