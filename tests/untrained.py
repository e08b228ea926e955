"""Runs whose parameters are random: what looks at a run rarely needs one that was trained."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.apps import chosen, description, run_data, runs
from jaxvae.apps.options import DataOptions, Options, TrainingOptions
from jaxvae.apps.run_config import Config, of_options


def random_params(vae, shape):
    """What `init` gives, moved: biases start at zero, and what is zero shows no error."""
    params = vae.init(jax.random.key(0), jnp.zeros((1, *shape)))
    leaves, tree = jax.tree.flatten(params)
    noise = np.random.default_rng(0)
    moved = [leaf + jnp.float32(noise.normal(0, 0.05, leaf.shape)) for leaf in leaves]
    return jax.tree.unflatten(tree, moved)


def write_run(folder, **options):
    """A folder as `jaxvae train` with these options leaves it, but for the training."""
    own = Options(layers=1, hidden_units=16, hold_out=0.0, epochs=1, **options)
    data = chosen.load_data(own)
    own = chosen.resolve(own, data)
    model = chosen.describe(own, data)
    folder.mkdir()
    runs.begin(folder, of_options(model, own, data))
    runs.finish(folder, random_params(description.build(model), model.data_shape))
    return folder


def run_of(vae, shape, **about):
    """A model as a run that names no data."""
    config = Config(
        model=description.of(vae, data_shape=shape, **about),
        data=DataOptions(),
        training=TrainingOptions(),
        origin=run_data.NOWHERE,
    )
    return runs.Run(Path("mine"), config, vae, random_params(vae, shape))
