"""KL(Dirichlet || Dirichlet) and its gradient against mpmath, from 1e-6 to 1e6."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import jaxvae


def reference():
    """(a, b, kl, grad_a, grad_b, stride) of each hard pair; stride: which components are kept."""
    with np.load(Path(__file__).parents[1] / "data" / "kl_dirichlet.npz") as file:
        data = dict(file)
    for size, stride in (("small", 1), ("large", 50)):
        names = ("a", "b", "kl", "grad_a", "grad_b")
        for a, b, kl, grad_a, grad_b in zip(*(data[f"{size}_{n}"] for n in names), strict=True):
            real = np.isfinite(a)
            keep = real if stride == 1 else slice(None)
            yield a[real], b[real], kl, grad_a[keep], grad_b[keep], stride


def violations(dtype, relative, absolute, gradient_relative):
    """How far the worst pair is from its bound: below one it holds. For value and gradients."""
    function = jax.jit(jax.value_and_grad(jaxvae.kl_dirichlet, argnums=(0, 1)))
    worst = np.zeros(2)
    for a, b, kl, *expected, stride in reference():
        value, gradients = function(jnp.asarray(a, dtype), jnp.asarray(b, dtype))
        error = abs(float(value) - kl)
        worst[0] = max(worst[0], min(error / absolute, error / max(relative * kl, 1e-300)))
        for actual, exact in zip(gradients, expected, strict=True):
            bound = gradient_relative * (abs(exact) + 0.01 * abs(exact).max() + 1e-300)
            worst[1] = max(worst[1], (abs(np.asarray(actual)[::stride] - exact) / bound).max())
    return worst


def test_float32_against_mpmath():
    """Relative 1e-5 or absolute 1e-6; gradients 1e-4, or 1e-6 of the largest in the row."""
    value, gradient = violations(jnp.float32, 1e-5, 1e-6, 1e-4)
    assert value < 1
    assert gradient < 1


@pytest.mark.slow
def test_float64_against_mpmath():
    with jax.enable_x64(True):
        value, gradient = violations(jnp.float64, 1e-11, 1e-12, 1e-10)
    assert value < 1
    assert gradient < 1


@pytest.mark.slow
def test_the_textbook_formula_fails_this_test(monkeypatch):
    def textbook(a, b):
        a0, b0 = jnp.sum(a), jnp.sum(b)
        terms = special_gammaln(b) - special_gammaln(a)
        terms += (a - b) * (jax.scipy.special.digamma(a) - jax.scipy.special.digamma(a0))
        return special_gammaln(a0) - special_gammaln(b0) + jnp.sum(terms)

    special_gammaln = jax.scipy.special.gammaln
    monkeypatch.setattr(jaxvae, "kl_dirichlet", textbook)
    value, gradient = violations(jnp.float32, 1e-5, 1e-6, 1e-4)
    assert value > 100
    assert gradient > 1


@pytest.mark.parametrize("k", [2, 10, 1000])
def test_zero_for_equal_arguments_and_never_negative(k):
    key, other = jax.random.split(jax.random.key(0))
    a = 10 ** jax.random.uniform(key, (20_000 // k, k), minval=-6.0, maxval=6.0)
    kl = jax.jit(jaxvae.kl_dirichlet)
    np.testing.assert_array_equal(kl(a, a), 0)
    for size in (1e-7, 1e-4, 1.0):
        b = a * jnp.exp(size * jax.random.normal(other, a.shape))
        assert (kl(a, b) >= 0).all()


def test_gradient_is_zero_at_equality():
    a = jnp.array([1e-6, 0.3, 20.0, 1e6])
    for argument in (0, 1):
        np.testing.assert_array_equal(jax.grad(jaxvae.kl_dirichlet, argument)(a, a), 0)


@pytest.mark.slow
def test_hessian():
    """d^2 KL / da_i da_j by the closed form, in float64."""
    a, b = np.array([0.3, 2.0, 11.0]), np.array([1.0, 0.5, 9.0])
    with jax.enable_x64(True):
        actual = jax.hessian(jaxvae.kl_dirichlet)(jnp.asarray(a), jnp.asarray(b))
    trigamma, tetragamma = special.polygamma(1, a), special.polygamma(2, a)
    shared = special.polygamma(1, a.sum()) + (a.sum() - b.sum()) * special.polygamma(2, a.sum())
    expected = np.diag(trigamma + (a - b) * tetragamma) - shared
    np.testing.assert_allclose(actual, expected, rtol=1e-8)


def test_broadcasting():
    a = jnp.arange(1.0, 13.0).reshape(4, 3)
    b = jnp.array([2.0, 1.0, 0.5])
    expected = jnp.stack([jaxvae.kl_dirichlet(row, b) for row in a])
    np.testing.assert_allclose(jaxvae.kl_dirichlet(a, b), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jaxvae.kl_dirichlet, (0, None))(a, b), expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_bad_rows_stay_alone_inside_compiled_code(bad):
    a = jnp.ones((3, 4)).at[1, 2].set(bad)
    good = np.array([True, False, True])
    for args in ((a, jnp.full((3, 4), 2.0)), (jnp.full((3, 4), 2.0), a)):
        kl = jax.jit(jaxvae.kl_dirichlet)(*args)
        assert np.isnan(kl[1])
        assert np.isfinite(kl[good]).all()


def test_the_gradient_of_sums_near_the_root_of_the_largest_float():
    """psi1 is pi^2 / 6 at 1 and 1 / x at a large x; the sums of a and b are equal."""
    a, b = jnp.array([[1, 1, 1.6e19]]), jnp.array([[1.6e19, 1, 1]])
    (found,) = jax.grad(lambda a: jnp.sum(jaxvae.kl_dirichlet(a, b)))(a)
    np.testing.assert_allclose(found, [-1.6e19 * np.pi**2 / 6, 0, 1], rtol=1e-5)
