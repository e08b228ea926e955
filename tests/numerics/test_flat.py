"""Elementwise work in two halves, and what XLA makes of it."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae.numerics.elementary import kept
from jaxvae.numerics.flat import elementwise, in_halves


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("shape", [(1,), (64,), (3, 50), (130, 7)])
def test_two_values_of_each_element(shape, backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    @elementwise
    def both(x, y):
        return in_halves(lambda x, y: (x + y, (x * y).astype(jnp.int32)), x, y)

    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for call in (both, jax.jit(both), jax.vmap(both)):
        total, product = call(x, 2 * x)
        np.testing.assert_array_equal(total, 3 * x)
        np.testing.assert_array_equal(product, (2 * x * x).astype(int))


@pytest.mark.parametrize("shape", [(64, 10), (64, 128)])
def test_no_half_is_looked_for_element_by_element(shape):
    """A reader of two arrays put side by side asks of each element from which it comes."""
    concentration = jnp.ones(shape)

    def loss(concentration):
        keys = jax.random.split(jax.random.key(0), shape[0])
        log_z = jax.vmap(jaxvae.sample_log_dirichlet)(keys, concentration)
        return jnp.sum(jnp.cos(log_z) * concentration)

    text = jax.jit(jax.grad(loss)).lower(concentration).compile().as_text()
    assert re.search(r"f32\[\S+ concatenate\(", text) is None


def test_what_is_kept_is_made_once():
    """Without, each of the two that read it makes it anew."""

    def loops(made):
        def function(x, bias):
            y = made(jnp.maximum(x + bias[None], 0))
            return y[:, ::-1] * 2, jnp.sum(y, 0)

        text = jax.jit(function).lower(jnp.ones((64, 32)), jnp.ones(32)).compile().as_text()
        return len(re.findall(r"f32\[\S+ maximum\(", text))

    assert loops(kept) == 1
    assert loops(lambda y: y) > 1


def test_what_is_kept_keeps_its_value_and_slope():
    x = jnp.asarray([0.0, -0.0, 1.5, jnp.inf, -jnp.inf, jnp.nan, 2e-38, 3e38], jnp.float32)
    np.testing.assert_array_equal(kept(x), x)
    np.testing.assert_array_equal(jnp.signbit(kept(x)), jnp.signbit(x))
    np.testing.assert_array_equal(jax.vmap(jax.grad(kept))(x), jnp.ones(8))
