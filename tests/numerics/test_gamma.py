"""The log-gamma draw, its law and its implicit derivative, over thirteen decades.

Every statistical test has a fixed key and states how often it would fail a right sampler; each has
a twin that breaks the sampler on purpose and must see it.
"""

import functools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import jaxvae
from jaxvae.numerics import gamma, random, simplex

DECADES = [10.0**e for e in range(-6, 7)]
SPEC = jax.sharding.PartitionSpec("device")


def reference():
    with np.load(Path(__file__).parents[1] / "data" / "log_gamma_grad.npz") as file:
        return file["alpha"], file["log_x"], file["dlogx_dalpha"]


def test_derivative_against_mpmath_in_float32():
    """1e-5 at each of 4,000 points from 1e-6 to 1e6 (4e-6 measured).

    The reference was made at the very float32 inputs, so their rounding is no excuse.
    """
    alpha, log_x, expected = reference()
    actual = jax.jit(jaxvae.log_gamma_grad)(jnp.float32(alpha), jnp.float32(log_x))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_derivative_against_mpmath_in_float64():
    alpha, log_x, expected = reference()
    with jax.enable_x64(True):
        actual = jax.jit(jaxvae.log_gamma_grad)(jnp.float64(alpha), jnp.float64(log_x))
    np.testing.assert_allclose(actual, expected, rtol=1e-11)


def test_derivative_where_floats_underflow():
    """x -> 0: (digamma(alpha + 1) - log x) / alpha, and finite far outside the promised range."""
    alpha, log_x = np.meshgrid([1e-6, 1e-3, 1.0, 1e3], [-1e3, -1e5, -1e7])
    exact = (special.digamma(alpha + 1) - log_x) / alpha
    actual = jaxvae.log_gamma_grad(jnp.float32(alpha), jnp.float32(log_x))
    np.testing.assert_allclose(actual, exact, rtol=3e-6)
    alpha, log_x = np.meshgrid(10.0 ** np.arange(-30, 31, 5), [-1e30, -1e3, 0.0, 50.0, 80.0])
    assert np.isfinite(jaxvae.log_gamma_grad(jnp.float32(alpha), jnp.float32(log_x))).all()


def cdf(alpha, t):
    """P(log X <= t); where exp(t) is far below 1, x^alpha / Gamma(alpha + 1)."""
    small = np.exp(np.minimum(alpha * t - special.gammaln(alpha + 1), 0))
    return np.where(t < -40, small, special.gammainc(alpha, np.exp(t)))


def distance(log_x, alpha):
    """Kolmogorov's distance of draws from their law, as float64 knows it."""
    u = cdf(np.float64(np.float32(alpha)), np.sort(np.asarray(log_x, np.float64)))
    steps = np.arange(len(u) + 1) / len(u)
    return max((steps[1:] - u).max(), (u - steps[:-1]).max())


# Dvoretzky, Kiefer and Wolfowitz: a right sampler strays by this much once in 1e9.
DRAWS = 1_000_000
BAND = np.sqrt(np.log(2 / 1e-9) / (2 * DRAWS))  # 0.0033


def draws(alpha, seed=0, dtype=jnp.float32):
    sample = jax.jit(jaxvae.sample_log_gamma)
    return sample(jax.random.key(seed), jnp.full(DRAWS, alpha, dtype))


@pytest.mark.parametrize("alpha", DECADES)
def test_law(alpha):
    assert distance(draws(alpha), alpha) < BAND


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1e-6, 0.3, 1.0, 4.0, 1e6])
def test_law_in_float64(alpha):
    with jax.enable_x64(True):
        log_x = draws(alpha, dtype=jnp.float64)
        assert log_x.dtype == jnp.float64
        assert distance(log_x, alpha) < BAND


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 30.0])
def test_law_with_a_key_for_each_example(alpha):
    """As training draws: the elements of one row and of the next are all independent."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(5), jnp.arange(DRAWS // 10))
    log_x = jax.jit(jax.vmap(jaxvae.sample_log_gamma))(keys, jnp.full((DRAWS // 10, 10), alpha))
    assert distance(log_x.ravel(), alpha) < BAND
    u = cdf(np.float64(np.float32(alpha)), np.asarray(log_x, np.float64))
    for a, b in ((u[:, 0], u[:, 1]), (u[:-1, 0], u[1:, 0]), (u[:, 0], u[:, 9])):
        # A correlation of independent pairs has the standard error 1/sqrt(n) = 0.0032.
        assert abs(np.corrcoef(a, b)[0, 1]) < 6 * (DRAWS // 10) ** -0.5


@pytest.fixture
def breaking(monkeypatch):
    """A monkeypatch for what is traced: no trace made before or under it is used after."""
    jax.clear_caches()
    yield monkeypatch
    monkeypatch.undo()
    jax.clear_caches()


def break_acceptance(monkeypatch):
    candidate = gamma._candidate
    monkeypatch.setattr(gamma, "_candidate", lambda n, e, d: (candidate(n, e, d)[0], e))


def break_boost(monkeypatch):
    candidate = gamma._candidate
    monkeypatch.setattr(
        gamma, "_candidate", lambda n, e, d: (candidate(n, e, d)[0], candidate(n, e, d)[1] * 1.02)
    )


def break_normal(monkeypatch):
    monkeypatch.setattr(
        gamma, "_cosine_sine", lambda bits, dtype: (bits.astype(dtype) / 2.0**32,) * 2
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("breakage", "alpha"), [(break_acceptance, 0.05), (break_boost, 0.05), (break_normal, 10.0)]
)
def test_law_sees_a_broken_sampler(breaking, breakage, alpha):
    breakage(breaking)
    log_x = gamma.log_gamma(jax.random.key(0), jnp.full(DRAWS, alpha))
    assert distance(log_x, alpha) > BAND


def test_both_methods_have_one_law():
    """TFP's draws, by name, follow the same law (10,000 of them: once in 1e9 beyond 0.033)."""
    log_x = jaxvae.sample_log_gamma(jax.random.key(0), jnp.full(10_000, 0.3), method="tfp")
    assert distance(log_x, 0.3) < np.sqrt(np.log(2 / 1e-9) / 20_000)


# What is tested of z ~ Dirichlet(c): a function of (log z), and d E[f] / d c_0.
def moments(c):
    a, total = c[0], c.sum()
    return {
        "z": (total - a) / total**2,
        "z^2": (2 * a + 1) / (total * (total + 1))
        - a * (a + 1) * (2 * total + 1) / (total * (total + 1)) ** 2,
        "log z": special.polygamma(1, a) - special.polygamma(1, total),
    }


FUNCTIONS = {"z": jnp.exp, "z^2": lambda log_z: jnp.exp(2 * log_z), "log z": lambda log_z: log_z}


@partial(jax.jit, static_argnames=("name", "gradient"))
def first_gradient(c, name, gradient):
    """d f(log z_0) / d c_0 of one draw a row."""

    def value(c):
        log_z = jaxvae.sample_log_dirichlet(jax.random.key(3), c, gradient=gradient)
        return jnp.sum(FUNCTIONS[name](log_z[:, 0]))

    return jax.grad(value)(c)[:, 0]


def gradient_statistics(c, name, gradient, rows=400_000):
    """Mean and standard error of d f(log z_0) / d c_0 over draws of z ~ Dirichlet(c)."""
    c = jnp.broadcast_to(jnp.float32(c)[None], (rows, len(c)))
    found = np.asarray(first_gradient(c, name, gradient), np.float64)
    return found.mean(), found.std() / rows**0.5


GRADIENT_DECADES = [10.0**e for e in range(-4, 7)]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", GRADIENT_DECADES)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("gradient", ["beta", "gamma"])
def test_gradient_is_right_in_expectation(gradient, name, alpha):
    """Within 4 standard errors of the closed form (a right one fails once in 16,000), or 1e-5."""
    c = np.float64(np.float32(alpha * np.array([1.0, 0.5, 2.0])))
    mean, error = gradient_statistics(c, name, gradient)
    exact = moments(c)[name]
    assert abs(mean - exact) < max(4 * error, 1e-5 * abs(exact)), (mean, error, exact)
    assert error < 0.5 * abs(exact), "too noisy to say anything"


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_expectation_sees_a_broken_gradient(breaking, alpha):
    """A derivative that is 3% off, and one of a neighbouring concentration; by either name."""
    slope, beta = gamma._log_gamma_grad, simplex.logit_beta_grad
    c = np.float64(np.float32(alpha * np.array([1.0, 0.5, 2.0])))
    for module, name, broken in (
        (gamma, "_log_gamma_grad", lambda a, y: 1.03 * slope(a, y)),
        (gamma, "_log_gamma_grad", lambda a, y: slope(1.05 * a, y)),
        (simplex, "logit_beta_grad", lambda a, b, y: 1.03 * beta(a, b, y)),
        (simplex, "logit_beta_grad", lambda a, b, y: beta(1.05 * a, b, y)),
    ):
        with breaking.context() as broke:
            broke.setattr(module, name, broken)
            jax.clear_caches()
            gradient = "gamma" if module is gamma else "beta"
            mean, error = gradient_statistics(c, "log z", gradient)
        assert abs(mean - moments(c)["log z"]) > 4 * error


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1_500_000, 2), (350_000, 10), (3_500, 1000)])
def test_nothing_is_ever_not_finite(shape):
    """Ten million components in all, each row mixed over thirteen decades."""
    key, other = jax.random.split(jax.random.key(7))
    c = 10.0 ** jax.random.uniform(key, shape, minval=-6.0, maxval=6.0)
    d = 10.0 ** jax.random.uniform(other, shape, minval=-6.0, maxval=6.0)

    def quantities(c):
        log_x = jaxvae.sample_log_gamma(jax.random.key(8), c)
        log_z = jax.nn.log_softmax(log_x, axis=-1)
        z = jaxvae.sample_dirichlet(jax.random.key(9), c)
        density = jaxvae.log_prob_dirichlet(c, log_z)
        kl = jaxvae.kl_dirichlet(c, d)
        # By the Beta marginals, and by the gammas.
        return jnp.sum(z**2) + jnp.sum(jnp.exp(2 * log_z)), (log_x, z, density, kl)

    gradient, aux = jax.jit(jax.grad(quantities, has_aux=True))(c)
    kl_gradient = jax.jit(jax.grad(lambda c: jnp.sum(jaxvae.kl_dirichlet(c, d))))(c)
    for value in (gradient, kl_gradient, *aux):
        assert np.isfinite(value).all()
    assert (aux[3] >= 0).all()


@pytest.mark.parametrize("alpha", DECADES)
def test_rows_sum_to_one(alpha):
    z = jaxvae.sample_dirichlet(jax.random.key(0), jnp.full((100_000, 10), alpha, jnp.float32))
    np.testing.assert_allclose(np.asarray(z, np.float64).sum(axis=-1), 1, rtol=0, atol=3e-7)


def gradient(key, c):
    return jax.grad(lambda c: jnp.sum(jaxvae.sample_dirichlet(key, c)[..., 0]))(c)


@pytest.mark.parametrize("function", [jaxvae.sample_dirichlet, gradient])
def test_transformations_agree(function):
    keys = jax.random.split(jax.random.key(0), 8)
    c = 10.0 ** jax.random.uniform(jax.random.key(1), (8, 5), minval=-2.0, maxval=3.0)
    alone = jnp.stack([function(key, row) for key, row in zip(keys, c, strict=True)])
    mesh = jax.make_mesh((8,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = partial(jax.shard_map, mesh=mesh, in_specs=(SPEC, SPEC), out_specs=SPEC)
    others = {
        "jit": jnp.stack([jax.jit(function)(key, row) for key, row in zip(keys, c, strict=True)]),
        "vmap": jax.vmap(function)(keys, c),
        "jit of vmap": jax.jit(jax.vmap(function))(keys, c),
        "vmap of vmap": jax.vmap(jax.vmap(function))(keys.reshape(2, 4), c.reshape(2, 4, 5)),
        "pmap": jax.pmap(function)(keys, c),
        "shard_map": sharded(jax.vmap(function))(keys, c),
        "scan": jax.lax.scan(lambda _, args: (None, function(*args)), None, (keys, c))[1],
        "map": jax.lax.map(lambda args: function(*args), (keys, c)),
        "remat": jnp.stack(
            [jax.checkpoint(function)(key, row) for key, row in zip(keys, c, strict=True)]
        ),
    }
    for name, other in others.items():
        np.testing.assert_allclose(
            other.reshape(alone.shape), alone, rtol=1e-4, atol=1e-6, err_msg=name
        )


@pytest.mark.slow
def test_one_key_for_many_concentrations_and_many_keys_for_one():
    key, c = jax.random.key(0), jnp.linspace(0.1, 5, 12).reshape(4, 3)
    shared = jax.vmap(jaxvae.sample_log_gamma, (None, 0))(key, c)
    expected = jnp.stack([jaxvae.sample_log_gamma(key, row) for row in c])
    np.testing.assert_allclose(shared, expected, rtol=1e-5)
    keys = jax.random.split(key, 4)
    shared = jax.vmap(jaxvae.sample_log_gamma, (0, None))(keys, c[0])
    expected = jnp.stack([jaxvae.sample_log_gamma(k, c[0]) for k in keys])
    np.testing.assert_allclose(shared, expected, rtol=1e-5)


def test_jvp_is_the_derivative_at_the_draw():
    key, c = jax.random.key(0), jnp.array([1e-3, 0.5, 3.0, 1e4])
    tangent = jnp.array([1.0, 2.0, -1.0, 0.5])
    log_x, moved = jax.jvp(lambda c: jaxvae.sample_log_gamma(key, c), (c,), (tangent,))
    np.testing.assert_allclose(moved, jaxvae.log_gamma_grad(c, log_x) * tangent, rtol=1e-6)


@pytest.mark.parametrize("method", ["fast", "tfp"])
def test_second_derivative_is_refused(method):
    def mean(c):
        return jnp.sum(jaxvae.sample_dirichlet(jax.random.key(0), c, method=method)[0])

    c = jnp.ones(3)
    for second in (jax.hessian(mean), jax.jacfwd(jax.jacfwd(mean)), jax.jacrev(jax.jacrev(mean))):
        with pytest.raises(NotImplementedError, match="first derivative only"):
            second(c)


@pytest.mark.parametrize("method", ["fast", "tfp"])
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_bad_concentration_never_hangs_and_stays_in_its_row(method, bad):
    c = jnp.ones((4, 3)).at[1, 2].set(bad)

    @jax.jit
    def draw(c):
        return jaxvae.sample_dirichlet(jax.random.key(0), c, method=method)

    z, gradient = draw(c), jax.grad(lambda c: jnp.sum(draw(c)[2]))(c)
    good = np.array([True, False, True, True])
    assert np.isnan(z[1]).all()
    assert np.isfinite(z[good]).all()
    assert np.isfinite(gradient[good]).all()


def test_half_precision_is_widened():
    for dtype in (jnp.bfloat16, jnp.float16):
        c = jnp.full((2, 3), 0.5, dtype)
        assert jaxvae.sample_dirichlet(jax.random.key(0), c).dtype == jnp.float32
        gradient = jax.grad(lambda c: jnp.sum(jaxvae.sample_dirichlet(jax.random.key(0), c)[0]))(c)
        assert gradient.dtype == dtype


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_any_kind_of_key(impl):
    log_x = jaxvae.sample_log_gamma(jax.random.key(0, impl=impl), jnp.full(DRAWS, 0.7))
    assert distance(log_x, 0.7) < BAND


def test_the_loop_is_bounded(breaking):
    """If no candidate were ever accepted, it would end all the same."""
    breaking.setattr(gamma, "_candidate", lambda n, e, d: (0 * n, 0 * n - 1))
    assert np.isfinite(gamma.log_gamma(jax.random.key(0), jnp.ones(5))).all()


@pytest.mark.parametrize("size", [1, 17, 1000])
def test_rejected_elements_are_tried_again_each_in_its_own_rounds(monkeypatch, size):
    """With a candidate in five accepted, against a loop of all rounds over each element alone:
    elements wait together in a group, and some reach the last round.
    """

    def attempt(a, k0, k1, lane, round_):
        words, _ = random.threefry_2x32((k0, k1), (lane, round_ + jnp.uint32(100)))
        accepted = (words % 5 == 0) | (round_ == gamma.MAX_ROUNDS - 1)
        return jnp.where(accepted, (100 * lane + round_).astype(a.dtype), jnp.inf)

    monkeypatch.setattr(gamma, "_attempt", attempt)
    key = jax.random.key(size)
    found = np.asarray(gamma.log_gamma(key, jnp.ones(size)))
    ones, (k0, k1) = jnp.ones(size), jax.random.bits(key, (2,), jnp.uint32)
    keys, lane = (jnp.full(size, k0), jnp.full(size, k1)), jnp.arange(size, dtype=jnp.uint32)
    rounds = [
        np.asarray(attempt(ones, *keys, lane, jnp.uint32(r))) for r in range(gamma.MAX_ROUNDS)
    ]
    expected = functools.reduce(lambda first, then: np.where(first == np.inf, then, first), rounds)
    np.testing.assert_array_equal(found, expected)
    if size == 1000:
        assert {0, gamma.MAX_ROUNDS - 1} <= set(found.astype(int) % 100)
