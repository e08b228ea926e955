"""The implicit derivative of a Dirichlet's Beta marginals, and the point of the simplex itself.

A statistical test has a fixed key and states how often it would fail a right sampler.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import jaxvae
from jaxvae.numerics import beta, elementary, simplex


def reference():
    with np.load(Path(__file__).parents[1] / "data" / "logit_beta_grad.npz") as file:
        return file["a"], file["b"], file["logit"], file["grad"]


def test_derivative_against_mpmath_in_float32():
    """1e-5 at each of 3,000 points, a and b from 1e-6 to 1e6 (2.5e-6 measured)."""
    *arguments, expected = reference()
    assert len(expected) == 3000
    np.testing.assert_allclose(jax.jit(beta.logit_beta_grad)(*arguments), expected, rtol=1e-5)


def test_derivative_against_mpmath_in_float64():
    *arguments, expected = reference()
    with jax.enable_x64(True):
        actual = jax.jit(beta.logit_beta_grad)(*(jnp.float64(v) for v in arguments))
    np.testing.assert_allclose(actual, expected, rtol=1e-11)


@pytest.mark.slow
def test_float32_and_float64_agree_where_the_reference_has_no_point():
    """200,000 points around the switch from one tail to the other, and where a layer begins."""
    rng = np.random.default_rng(0)
    a = np.float32(10 ** rng.uniform(-1, 5, 200_000))
    b = np.float32(10 ** rng.uniform(-4.5, 2.5, 200_000))
    whole = np.float64(a) + 1
    switch = -b / (whole + b / 2)  # of digamma(a + 1) - digamma(a + b + 1), closely enough
    log_z = switch * rng.uniform(0.5, 2, 200_000)
    logit = np.float32(log_z - np.log(-np.expm1(log_z)))
    single = jax.jit(beta.logit_beta_grad)(a, b, logit)
    with jax.enable_x64(True):
        double = jax.jit(beta.logit_beta_grad)(*(jnp.float64(v) for v in (a, b, logit)))
    np.testing.assert_allclose(single, np.asarray(double), rtol=1e-5)


def test_derivative_of_known_laws():
    """Beta(a, 1) has F = z^a, and so a derivative in closed form."""
    z, a = np.meshgrid([1e-6, 0.03, 0.5, 0.9, 0.999], [1e-3, 0.3, 1.0, 7.0, 400.0])
    exact = -np.log(z) / (a * (1 - z))
    actual = beta.logit_beta_grad(
        jnp.float32(a), jnp.ones_like(a, jnp.float32), jnp.float32(special.logit(z))
    )
    np.testing.assert_allclose(actual, exact, rtol=2e-5)  # of it 1e-5 from the rounded logit


def test_far_outside_the_promised_range_nothing_is_not_finite():
    shapes = np.float32(10.0 ** np.arange(-37, 38, 4))
    logits = np.float32([-3e38, -1e30, -1e6, -50, -20, -1, 0, 1e-30, 1, 20, 50, 1e6, 1e30, np.inf])
    a, b, logit = (v.ravel() for v in np.meshgrid(shapes, shapes, logits))
    actual = jax.jit(beta.logit_beta_grad)(a, b, logit)
    assert np.isfinite(actual).all()
    assert (actual >= 0).all()


@pytest.mark.parametrize("b", [1e9, 1e13, 1e20, 1e30])
def test_a_huge_rival_leaves_a_gamma(b):
    """b z ~ Gamma(a) for b to infinity: the derivative is the gamma's, far beyond the range too."""
    a, log_x = jnp.array([0.1, 1.0, 30.0]), jnp.array([-3.0, 0.0, 3.5])
    expected = jaxvae.log_gamma_grad(a, log_x)
    actual = beta.logit_beta_grad(a, jnp.full(3, b), log_x - jnp.log(b))
    np.testing.assert_allclose(actual, expected, rtol=3e-5)  # the logit is rounded to 4e-6


LARGE = 10.0 ** np.linspace(-12, 37, 100_000)
NEGATIVE = -(10.0 ** np.linspace(-12, np.log10(80), 100_000))


@pytest.mark.parametrize(
    ("name", "exact", "x"),
    [
        ("exp", np.exp, NEGATIVE),
        ("exp2", np.exp2, NEGATIVE),
        ("exp2m1", lambda x: np.expm1(x * np.log(2)), NEGATIVE),
        ("exp2m1", lambda x: np.expm1(x * np.log(2)), -NEGATIVE),
        ("log1p", np.log1p, LARGE),
        ("log1p_undivided", np.log1p, LARGE),
        ("log1p_undivided", np.log1p, -LARGE[LARGE < 0.9999]),
    ],
)
def test_elementary_functions(name, exact, x):
    """A relative 5e-7 over the ranges that they are for."""
    x = np.float32(x)
    actual = jax.jit(getattr(elementary, name))(x)
    np.testing.assert_allclose(actual, exact(np.float64(x)), rtol=5e-7)


def test_beta_gradient_is_the_mean_of_the_gamma_gradient_given_z():
    """At one fixed z: the gamma gradient's mean over the sum of the gammas, by a quadrature.

    The sum is Gamma(total) whatever z is. 2,000 of its quantiles, evenly spaced, give its mean.
    """
    c, z = jnp.array([0.7, 3.0, 0.2]), jnp.array([0.55, 0.449, 0.001])
    sums = special.gammaincinv(float(c.sum()), (np.arange(2000) + 0.5) / 2000)
    log_z = jnp.log(z)
    log_x = log_z[None] + jnp.log(jnp.float32(sums))[:, None]
    gamma = jaxvae.log_gamma_grad(jnp.broadcast_to(c[None], log_x.shape), log_x).mean(axis=0)
    beta = jax.grad(lambda c: jnp.sum(simplex.with_beta_gradient(c, log_z)))(c)
    np.testing.assert_allclose(beta, gamma, rtol=2e-4)


def variances(concentration, k, function, rows=200_000):
    """Of the one-draw estimate of d E[f] / d alpha_0, by either gradient."""
    c = jnp.full((rows, k), concentration)

    def value(c, gradient):
        return jnp.sum(function(jaxvae.sample_dirichlet(jax.random.key(2), c, gradient=gradient)))

    grads = {g: jax.jit(jax.grad(value), static_argnums=1)(c, g)[:, 0] for g in ("beta", "gamma")}
    return {name: np.asarray(grad, np.float64).var() for name, grad in grads.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("concentration", "k", "ratio", "function"),
    [
        (0.1, 3, 1.57, "w z^2"),
        (0.1, 10, 1.28, "w z^2"),
        (1.0, 3, 1.13, "w z^2"),
        (10.0, 3, 1.03, "w z^2"),
        (10.0, 3, 6.65, "z_0"),
    ],
)
def test_beta_gradient_is_quieter(concentration, k, ratio, function):
    """By what PyTorch's, which depends on z alone too, is quieter than the gammas' at the same z.

    The ratio is benchmarks/samplers.py's, of 1e6 draws; 2e5 tell it to 2% (three of ten groups of
    as many differed by 1%), so that 5% is never reached by chance.
    """
    weights = np.linspace(1, 2, k, dtype=np.float32)
    functions = {"w z^2": lambda z: weights[None] * z**2, "z_0": lambda z: z[:, 0]}
    found = variances(concentration, k, functions[function])
    np.testing.assert_allclose(found["gamma"] / found["beta"], ratio, rtol=0.05)


def test_gradients_have_one_mean_and_are_told_apart_by_name(key):
    c = jnp.broadcast_to(jnp.array([0.5, 1.5, 4.0]), (100_000, 3))

    def first(c, **options):
        return jnp.sum(jaxvae.sample_dirichlet(key, c, **options)[:, 0])

    grads = [
        np.asarray(jax.grad(first)(c, **options)[:, 0], np.float64)
        for options in ({}, {"gradient": "beta"}, {"gradient": "gamma"})
    ]
    np.testing.assert_array_equal(grads[0], grads[1])
    exact = (6.0 - 0.5) / 36
    for grad in grads[1:]:  # four standard errors: once in 16,000
        assert abs(grad.mean() - exact) < 4 * grad.std() / 100_000**0.5
    assert np.abs(grads[1] - grads[2]).max() > 0.01


def test_z_near_one_is_rounded_once():
    """Beta(1, 0.1) rounds to 1 with the probability 2^(-25 / 10) = 0.1768.

    Its standard error is 0.00038: a right sampler is 5 of them away once in 2e6. Rounded twice, it
    was 0.1893.
    """
    c = jnp.broadcast_to(jnp.array([1.0, 0.1]), (1_000_000, 2))
    share = float((jaxvae.sample_dirichlet(jax.random.key(0), c)[:, 0] == 1).mean())
    assert abs(share - 2**-2.5) < 0.0019


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.1, 1.0, 30.0, 1e6])
def test_point_and_logarithm_against_float64(alpha):
    """z and log z of the same log-gammas to a few roundings, of log x where z is small."""
    log_x = jaxvae.sample_log_gamma(jax.random.key(4), jnp.full((20_000, 4), alpha))
    z, log_z = jax.jit(simplex.normalise)(log_x)
    exact = np.asarray(log_x, np.float64)
    exact -= exact.max(axis=-1, keepdims=True)
    others = np.exp(exact).sum(-1, keepdims=True) - 1
    exact = np.where(exact == 0, -np.log1p(others), exact - np.log1p(others))
    np.testing.assert_allclose(log_z, exact, rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose(z, np.exp(exact), rtol=6e-6, atol=1e-37)
    np.testing.assert_allclose(z, np.exp(exact), rtol=0, atol=2e-7)
    rest = 1 - np.exp(exact.max(axis=-1))
    known = (rest > 1e-12) & (rest < 1e-3)  # what float64 itself knows to 1e-4
    largest = np.asarray(log_z).max(axis=-1)
    np.testing.assert_allclose(-largest[known], rest[known], rtol=2e-3)


def test_sum_of_others_loses_nothing():
    x = jnp.array([[1e6, 1e-3, 2e-3], [1.0, 1.0, 1e-9], [3.0, 3.0, 3.0]])
    expected = [[3e-3, 1e6, 1e6], [1.0, 1.0, 2.0], [6.0, 6.0, 6.0]]
    np.testing.assert_allclose(simplex._sum_of_others(x), expected, rtol=1e-6)


def test_gradient_of_a_component_near_one(key):
    """d z_0 = z_0 (1 - z_0) d logit: it must not vanish in the rounding of z_0 = 1 - 1e-10."""
    log_x = jnp.array([0.0, jnp.log(1e-10)])
    gradient = jax.grad(lambda v: simplex.normalise(v)[1][0])(log_x)
    np.testing.assert_allclose(gradient, [1e-10, -1e-10], rtol=1e-5)


@pytest.mark.parametrize("gradient", ["beta", "gamma"])
def test_one_category(key, gradient):
    z, grad = jax.value_and_grad(
        lambda c: jnp.sum(jaxvae.sample_dirichlet(key, c, gradient=gradient))
    )(jnp.ones((2, 1)))
    assert z == 2
    np.testing.assert_allclose(grad, 0, atol=1e-30)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("alpha", "z", "expected"),
    [
        ([1.0, 8.0], [0.0, 1.0], np.log(8)),
        ([8.0, 1.0], [1.0, 0.0], np.log(8)),
        ([0.5, 8.0], [0.0, 1.0], np.inf),
        ([2.0, 8.0], [0.0, 1.0], -np.inf),
        ([1.0, 1.0, 1.0], [0.0, 0.0, 1.0], np.log(2)),
        ([1.0, 1.0, 3.0], [0.0, 0.25, 0.75], np.log(12 * 0.75**2)),
        ([1.0, 0.5, 2.0], [0.0, 0.0, 1.0], np.inf),
        ([0.25, 0.25], [0.0, 1.0], np.inf),
    ],
)
def test_density_on_the_boundary(alpha, z, expected, compiled):
    """As SciPy and TFP have it: a factor z^(alpha - 1) is 1, zero or infinite at z = 0."""
    log_prob = jax.jit(jaxvae.log_prob_dirichlet) if compiled else jaxvae.log_prob_dirichlet
    actual = log_prob(jnp.array(alpha), jnp.log(jnp.array(z)))
    np.testing.assert_allclose(actual, expected, rtol=2e-6)


def test_density_on_the_boundary_has_a_gradient():
    c, log_z = jnp.array([1.0, 8.0]), jnp.array([-jnp.inf, 0.0])
    by_c, by_log_z = jax.grad(jaxvae.log_prob_dirichlet, argnums=(0, 1))(c, log_z)
    # digamma(9) - digamma(8) = 1 / 8; the derivative in the first concentration does not exist.
    np.testing.assert_allclose(by_c[1], 0.125, rtol=1e-5)
    np.testing.assert_array_equal(by_log_z, [0.0, 7.0])


def test_density_that_is_zero_times_infinity_is_refused_or_nan():
    c, log_z = jnp.array([0.5, 2.0, 1.0]), jnp.array([-jnp.inf, -jnp.inf, 0.0])
    with pytest.raises(ValueError, match="log_z must not be minus infinity both where"):
        jaxvae.log_prob_dirichlet(c, log_z)
    assert np.isnan(jax.jit(jaxvae.log_prob_dirichlet)(c, log_z))


@pytest.mark.parametrize("k", [2, 10])
def test_density_against_scipy(k):
    """Within 1e-6 of the sum of the terms' sizes."""
    rng = np.random.default_rng(k)
    for low, high in ((-3, 0), (-1, 1), (0, 4)):
        a = np.float32(10 ** rng.uniform(low, high, (300, k)))
        log_z = np.float32(np.log(rng.dirichlet(np.ones(k), 300)))
        terms = [special.gammaln(np.float64(a).sum(-1)), *special.gammaln(np.float64(a)).T]
        inner = [*((np.float64(a) - 1) * log_z).T]
        exact = terms[0] - sum(terms[1:]) + sum(inner)
        size = np.abs(np.array([*terms, *inner])).sum(axis=0)
        error = np.abs(np.asarray(jaxvae.log_prob_dirichlet(a, log_z)) - exact)
        assert (error < 1e-6 * np.maximum(size, 1)).all()


def test_density_has_a_gradient_at_tiny_concentrations():
    """d/da = digamma(2 a) - digamma(a) + log z = 1 / (2 a) to first order."""
    gradient = jax.grad(jaxvae.log_prob_dirichlet)(jnp.full(2, 1e-19), jnp.log(jnp.full(2, 0.5)))
    np.testing.assert_allclose(gradient, 0.5e19, rtol=1e-5)


LEAST = float(np.finfo(np.float32).tiny)


@pytest.mark.parametrize("alpha", [1e-38, 1e-40])
def test_below_the_least_normal_float_is_refused_or_nan(key, alpha):
    c = jnp.array([[1.0, 2.0], [alpha, alpha]])
    for function in (
        lambda c: jaxvae.sample_dirichlet(key, c),
        lambda c: jaxvae.sample_log_dirichlet(key, c),
        lambda c: jaxvae.kl_dirichlet(c, jnp.ones((2, 2))),
        lambda c: jaxvae.kl_dirichlet(jnp.ones((2, 2)), c),
        lambda c: jaxvae.log_prob_dirichlet(c, jnp.log(jnp.full((2, 2), 0.5))),
        lambda c: jaxvae.sample_log_gamma(key, c).sum(axis=-1),
    ):
        with pytest.raises(ValueError, match="finite and above 0 as a normal float32, got"):
            function(c)
        actual = jax.jit(function)(c)
        assert np.isfinite(actual[0]).all()
        assert np.isnan(actual[1]).all()


def test_just_above_the_least_normal_float_the_law_is_right(key):
    """The share of rows whose largest component is each: 1/3, its standard error 0.0027."""
    z = jax.jit(jaxvae.sample_dirichlet)(key, jnp.full((30_000, 3), 1.01 * LEAST))
    share = np.bincount(np.asarray(z.argmax(axis=1)), minlength=3) / 30_000
    assert abs(share - 1 / 3).max() < 5 * 0.0027  # once in 6e5
