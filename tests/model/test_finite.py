"""No function gives NaN back in silence: it says what is not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae.evaluation import posterior_elbo

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
NORMAL = jaxvae.normal_vae(jaxvae.dense_normal_network(6, 2, layers=1, hidden_units=8))
DIRICHLET = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(6, 3, layers=1, hidden_units=8))
Y = np.arange(12) % 3

CALLS = {
    "evaluate": lambda p, x: jaxvae.evaluate(KEY, NORMAL, p, x),
    "evaluate each": lambda p, x: jaxvae.evaluate(KEY, NORMAL, p, x, per_example=True),
    "encode_mean": lambda p, x: jaxvae.encode_mean(NORMAL, p, x),
    "marginal_nll": lambda p, x: jaxvae.marginal_nll(KEY, NORMAL, p, x, draws=2),
    "refine": lambda p, x: jaxvae.refine(KEY, NORMAL, p, x, steps=3),
    "reconstruct": lambda p, x: jaxvae.reconstruct(KEY, NORMAL, p, x),
    "generate": lambda p, x: jaxvae.generate(KEY, NORMAL, p, 3),
    "generate with noise": lambda p, x: jaxvae.generate(KEY, NORMAL, p, 3, noise=True),
    "collapse_report": lambda p, x: jaxvae.collapse_report(KEY, NORMAL, p, x),
}


@pytest.mark.parametrize("name", CALLS)
def test_parameters_that_are_not_finite_are_named(name):
    params = NORMAL.init(KEY, X)
    side = params["decoder"]["trunk"] if name.startswith("generate") else params["encoder"]["trunk"]
    side["hidden_0"]["bias"] += np.nan
    with pytest.raises(ValueError, match=r"params must be finite, got nan in .*coder/trunk/hidden"):
        CALLS[name](params, X)


def test_the_accuracy_of_no_numbers_is_none():
    params = jax.tree.map(lambda leaf: leaf * np.nan, DIRICHLET.init(KEY, X))
    with pytest.raises(ValueError, match=r"params must be finite, got nan in (de|en)coder/"):
        jaxvae.accuracy(DIRICHLET, params, X, Y)


def test_values_that_are_too_large_are_named():
    params, x = NORMAL.init(KEY, X), X.copy()
    x[5] *= 1e30
    with pytest.raises(ValueError, match="the NLL of example 5 is nan, though params are finite"):
        jaxvae.marginal_nll(KEY, NORMAL, params, x, draws=2)


def test_a_search_that_goes_astray_is_named():
    with pytest.raises(ValueError, match=r"the posterior, after 100 steps at learning_rate=500,"):
        jaxvae.refine(KEY, NORMAL, NORMAL.init(KEY, X), X, learning_rate=500.0)


def test_numbers_come_back_as_they_are():
    params = NORMAL.init(KEY, X)
    q = jaxvae.refine(KEY, NORMAL, params, X, steps=2)
    assert np.isfinite(posterior_elbo(KEY, NORMAL, params, q, X)).all()
    zero = {"z": jnp.zeros(3)}
    assert jaxvae.model.finite.numbers("z", zero, params) is zero
