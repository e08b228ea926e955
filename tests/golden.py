"""The vectors that the original computed, and how to feed its noise to our models."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.model import models
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

    An example's row is its `position` in the batch.
    """

    def rows(key, batch):
        position = jnp.arange(len(batch.x)) if batch.position is None else batch.position
        return jnp.asarray(table)[position]

    def dirichlet(log_gamma, concentration, *, gradient):
        assert gradient == "gamma"  # the original's
        fixed = jax.lax.stop_gradient(concentration)
        log_x = log_gamma + log_gamma_grad(fixed, log_gamma) * (concentration - fixed)
        return jax.nn.softmax(log_x, axis=-1)

    monkeypatch.setattr(models, "_example_keys", rows)
    monkeypatch.setattr(models, "sample_normal", lambda eps, loc, scale: loc + eps * scale)
    monkeypatch.setattr(models, "sample_dirichlet", dirichlet)
