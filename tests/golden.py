"""The vectors that the original computed, and how to feed its noise to our models."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.model import latents, vae
from jaxvae.numerics.distributions import log_gamma_grad

FOLDER = Path(__file__).parent / "data"


def load(name):
    with np.load(FOLDER / f"golden_{name}.npz") as file:
        return dict(file)


def assert_close(actual, expected, relative=1e-5):
    """Within a bound relative to the value or, as a sum of cancelling terms cannot be known
    better, to its array's largest."""

    def check(path, a, b):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(
            a,
            b,
            rtol=relative,
            atol=relative * np.abs(b).max(),
            err_msg=jax.tree_util.keystr(path),
        )

    jax.tree.map_with_path(check, actual, expected)


def give_noise(monkeypatch, table):
    """Let both models take their noise (normal draws, or log-gammas) from a table [N, K].

    An example's row is its `position` in the batch: here its key holds nothing else.
    """

    def keys(key, batch):
        rows = vae.rows_of(batch)
        position = jnp.arange(rows) if batch.position is None else batch.position
        pairs = jnp.stack([jnp.zeros(rows, jnp.uint32), position.astype(jnp.uint32)], axis=1)
        return jax.random.wrap_key_data(pairs)

    def row(key):
        return jnp.asarray(table)[jax.random.key_data(key)[1]]

    def dirichlet(key, concentration, *, gradient):
        assert gradient == "gamma"  # the original's
        log_gamma = row(key)
        fixed = jax.lax.stop_gradient(concentration)
        log_x = log_gamma + log_gamma_grad(fixed, log_gamma) * (concentration - fixed)
        return jax.nn.log_softmax(log_x, axis=-1)

    monkeypatch.setattr(vae, "example_keys", keys)
    monkeypatch.setattr(latents, "sample_normal", lambda key, loc, scale: loc + row(key) * scale)
    monkeypatch.setattr(latents, "sample_log_dirichlet", dirichlet)
