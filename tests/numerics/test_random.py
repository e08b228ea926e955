"""The keys, words, normals and permutations of `numerics.random` are those of `jax.random`."""

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae.numerics import random

KEYS = jax.random.split(jax.random.key(3), 70)


def assert_equal(a, b):
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def test_threefry_is_jaxs_own():
    words = jax.random.bits(jax.random.key(0), (4, 1000), jnp.uint32)
    ours = random.threefry_2x32((words[0], words[1]), (words[2], words[3]))
    theirs = jax.extend.random.threefry2x32_p.bind(*words)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_each_is_that_of_jax_random(impl):
    key = jax.random.key(1, impl=impl)
    for data in (0, 2**32 - 1, jnp.int32(7)):
        assert_equal(random.fold_in(key, data), jax.random.fold_in(key, data))
    assert_equal(random.bits(key, (3, 50)), jax.random.bits(key, (3, 50), jnp.uint32))
    assert_equal(random.bernoulli(key, 0.7, (3, 50)), jax.random.bernoulli(key, 0.7, (3, 50)))
    for count in (0, 1, 1000, 5000):
        assert_equal(random.permutation(key, count), jax.random.permutation(key, count))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_normals_are_jaxs_to_the_last_bit_but_one(dtype):
    """Where XLA joins a product and a sum into one operation is its own affair."""
    found = random.normal(jax.random.key(1), (1000, 3), dtype)
    expected = jax.random.normal(jax.random.key(1), (1000, 3), dtype)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        np.asarray(found, float), np.asarray(expected, float), rtol=5e-7, atol=1e-7
    )


@pytest.mark.parametrize("jit", [lambda function: function, jax.jit])
def test_a_batch_of_keys(jit):
    number = jnp.arange(70)
    for key, data in ((None, 0), (0, None), (0, 0)):
        keys = KEYS if key == 0 else KEYS[0]
        numbers = number if data == 0 else number[5]
        ours = jit(jax.vmap(random.fold_in, (key, data)))(keys, numbers)
        assert_equal(ours, jax.vmap(jax.random.fold_in, (key, data))(keys, numbers))
    ours = jit(jax.vmap(lambda key: random.bits(key, (5, 2))))(KEYS)
    assert_equal(ours, jax.vmap(lambda key: jax.random.bits(key, (5, 2), jnp.uint32))(KEYS))


def test_another_device_has_jaxs_own(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    text = jax.jit(lambda key: random.bits(key, (9,))).lower(KEYS[0]).as_text()
    assert "threefry2x32" in text


def test_the_older_threefry_is_left_to_jax():
    with jax.threefry_partitionable(False):
        assert_equal(random.bits(KEYS[0], (9,)), jax.random.bits(KEYS[0], (9,), jnp.uint32))
        assert_equal(random.permutation(KEYS[0], 9), jax.random.permutation(KEYS[0], 9))


@pytest.mark.parametrize("size", [1, 2, 3, 50, 1000])
@pytest.mark.parametrize("kinds", [1, 2, 20, 2**10, 2**20])
def test_equal_words_are_sorted_as_jax_sorts_them(size, kinds):
    """Few kinds: many equal in threes and more. 2^20 kinds of 1000: a pair or none."""
    words = jax.random.bits(jax.random.key(size), (4, size)) % jnp.uint32(kinds)
    words = words.at[1].set(~words[1])  # with the largest of all among them
    for row in words:
        assert_equal(random._argsort(row), jnp.argsort(row))
    assert_equal(jax.vmap(random._argsort)(words), jnp.argsort(words))


def test_a_step_calls_none_of_jaxs_own_threefry(vae):
    """Its loops over arrays in memory were a tenth of a small step."""
    optimizer = optax.adam(1e-3)
    x, y = jnp.zeros((32, 64)), jnp.zeros(32, int)
    state = jaxvae.init_state(KEYS[0], vae, optimizer, x)
    epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=16)
    text = epoch.lower(KEYS[0], state, x, y).as_text()
    assert "threefry2x32" not in text
