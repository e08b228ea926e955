"""softplus against float64, where it is near 0 too; its derivatives; what is not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.numerics.softplus import softplus

X = np.concatenate([np.linspace(-80, 80, 20_001), np.linspace(-0.01, 0.01, 101)])


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 4e-7), (np.float64, 4e-16)])
def test_it_is_log_1_plus_exp(dtype, rtol):
    with jax.enable_x64(dtype == np.float64):
        x = X.astype(dtype)
        found = jax.jit(softplus)(x)
        assert found.dtype == dtype
        expected = np.logaddexp(0, x.astype(np.longdouble))
        np.testing.assert_allclose(found, expected.astype(np.float64), rtol=rtol)


def test_its_derivatives_are_those_of_the_logistic_function():
    x = np.linspace(-20, 20, 401).astype(np.float32)
    of = 1 / (1 + np.exp(-x.astype(float)))
    np.testing.assert_allclose(jax.vmap(jax.grad(softplus))(x), of, rtol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(jax.grad(softplus)))(x), of * (1 - of), rtol=2e-6, atol=1e-7
    )
    assert jax.grad(softplus)(0.0) == 0.5


def test_what_is_not_finite():
    found = softplus(jnp.asarray([np.nan, np.inf, -np.inf], jnp.float32))
    np.testing.assert_array_equal(found, np.float32([np.nan, np.inf, 0]))
    slopes = jax.vmap(jax.grad(softplus))(jnp.asarray([np.inf, -np.inf], jnp.float32))
    np.testing.assert_array_equal(slopes, [1, 0])
