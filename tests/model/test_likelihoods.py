"""Each likelihood against SciPy and TFP: log-probabilities, masks, means, draws, refusals.

Draws are held to exact moments: keys are fixed, and each test says how often a right sampler fails.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxvae import Batch
from jaxvae.likelihoods import (
    Likelihood,
    bernoulli,
    categorical,
    distribution,
    multinomial,
    negative_binomial,
    normal,
    poisson,
)
from jaxvae.numerics.distributions import tfp_distributions

KEY = jax.random.key(0)
SHAPE = (3, 4)
DECODED = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
REAL = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
BINARY = (REAL > 0).astype(np.float32)
COUNTS = np.random.default_rng(2).poisson(3.0, SHAPE).astype(np.float32)
DIGITS = np.random.default_rng(3).integers(0, 5, SHAPE)
LOGITS = np.random.default_rng(4).normal(size=(*SHAPE, 5)).astype(np.float32)
MASK = np.random.default_rng(5).random(SHAPE) < 0.6


def nbinom(decoded, x, r):
    return stats.nbinom.logpmf(x, r, r / (r + np.exp(np.float64(decoded))))


def log_softmax(logits):
    return special.log_softmax(np.float64(logits), axis=-1)


# The likelihood, what is decoded, x, and the log-probability of each value.
CASES = {
    "normal": (normal(), DECODED, REAL, stats.norm.logpdf(REAL, DECODED, 1)),
    "normal(0.3)": (normal(0.3), DECODED, REAL, stats.norm.logpdf(REAL, np.float64(DECODED), 0.3)),
    "normal learned": (
        normal(0.3, learned=True), DECODED, REAL,
        stats.norm.logpdf(REAL, np.float64(DECODED), 0.3),
    ),
    "normal per dimension": (
        normal(0.3, learned=True, per_dimension=True), DECODED, REAL,
        stats.norm.logpdf(REAL, np.float64(DECODED), 0.3),
    ),
    "bernoulli": (
        bernoulli(), DECODED, BINARY,
        stats.bernoulli.logpmf(BINARY, special.expit(np.float64(DECODED))),
    ),
    "poisson": (
        poisson(), DECODED, COUNTS, stats.poisson.logpmf(COUNTS, np.exp(np.float64(DECODED)))
    ),
    "negative binomial": (negative_binomial(), DECODED, COUNTS, nbinom(DECODED, COUNTS, 1.0)),
    "negative binomial(2.5)": (
        negative_binomial(2.5, learned=False), DECODED, COUNTS, nbinom(DECODED, COUNTS, 2.5)
    ),
    "negative binomial, one": (
        negative_binomial(2.5, per_dimension=False), DECODED, COUNTS, nbinom(DECODED, COUNTS, 2.5)
    ),
    "categorical": (
        categorical(), LOGITS, DIGITS,
        np.take_along_axis(log_softmax(LOGITS), DIGITS[..., None], axis=-1)[..., 0],
    ),
    "distribution": (
        distribution(lambda d: tfp_distributions().Laplace(d, 2.0)), DECODED, REAL,
        stats.laplace.logpdf(REAL, DECODED, 2.0),
    ),
}  # fmt: skip


def log_prob(likelihood, decoded, x, mask=None, own=None):
    decoded, x, mask = jax.tree.map(jnp.asarray, (decoded, x, mask))
    own = likelihood.init(KEY, x) if own is None else own
    return likelihood.log_prob(own, decoded, x, Batch(x, mask=mask))


@pytest.mark.parametrize("name", CASES)
def test_log_prob(name):
    """Every constant in it: 2e-6 of SciPy's float64."""
    likelihood, decoded, x, each = CASES[name]
    found = log_prob(likelihood, decoded, x)
    assert found.shape == ()
    np.testing.assert_allclose(found, each.sum(), rtol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_mask_leaves_values_out_exactly(name):
    """Whatever lies under it, and the gradient there is 0."""
    likelihood, decoded, x, each = CASES[name]
    found = log_prob(likelihood, decoded, x, MASK)
    np.testing.assert_allclose(found, each[MASK].sum(), rtol=2e-6)
    other = np.where(MASK, x, x.max() - x).astype(x.dtype)
    assert log_prob(likelihood, decoded, other, MASK) == found
    assert log_prob(likelihood, decoded, x, MASK.astype(np.float32)) == found
    assert log_prob(likelihood, decoded, x, np.zeros(SHAPE)) == 0
    slope = jax.grad(lambda d: log_prob(likelihood, d, x, MASK))(jnp.asarray(decoded))
    assert (slope[~MASK] == 0).all()
    assert (slope[MASK] != 0).any(axis=-1).all()


TREES = [name for name in CASES if name != "distribution"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(12,), (2, 6), (2, 3, 2)])
def test_examples_of_any_rank(name, shape):
    likelihood, decoded, x, each = CASES[name]
    decoded = decoded.reshape(*shape, *decoded.shape[2:])
    np.testing.assert_allclose(
        log_prob(likelihood, decoded, x.reshape(shape)), each.sum(), rtol=2e-6
    )


@pytest.mark.parametrize("name", TREES)
def test_trees_of_arrays(name):
    """Two arrays of an example of different shapes: the sum over both, a mask for each."""
    likelihood, decoded, x, each = CASES[name]
    trees = [{"a": v[:1], "b": (v[1:],)} for v in (decoded, x, MASK)]
    np.testing.assert_allclose(log_prob(likelihood, *trees[:2]), each.sum(), rtol=2e-6)
    np.testing.assert_allclose(log_prob(likelihood, *trees), each[MASK].sum(), rtol=2e-6)
    own = likelihood.init(KEY, trees[1])
    for made in (likelihood.mean(own, trees[0]), likelihood.sample(own, KEY, trees[0])):
        assert jax.tree.structure(made) == jax.tree.structure(trees[0])


@pytest.mark.parametrize("of", ["logits", "log_probabilities", "probabilities"])
@pytest.mark.parametrize("rows", [(), (3,)])
def test_multinomial(of, rows):
    """A distribution on the last axis; of more axes each row has a total of its own."""
    decoded, x = DECODED[: rows[0]] if rows else DECODED[0], COUNTS if rows else COUNTS[0]
    log_p = log_softmax(decoded)
    given = {"logits": decoded, "log_probabilities": log_p, "probabilities": np.exp(log_p)}[of]
    exact = stats.multinomial.logpmf(x, x.sum(axis=-1), np.exp(log_p)).sum()
    likelihood, given = multinomial(of), given.astype(np.float32)
    np.testing.assert_allclose(log_prob(likelihood, given, x), exact, rtol=1e-5)
    p = likelihood.mean({}, jnp.asarray(given))
    np.testing.assert_allclose(p, np.exp(log_p), rtol=1e-5)
    counts = likelihood.mean({}, jnp.asarray(given), Batch(jnp.asarray(x)))
    np.testing.assert_allclose(counts, np.exp(log_p) * x.sum(axis=-1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("of", ["log_probabilities", "probabilities"])
def test_multinomial_with_an_impossible_category(of):
    """0 log 0 = 0 where nothing fell on it, in its gradient too; else very unlikely."""
    p = np.array([0.5, 0.5, 0.0], np.float32)
    decoded = jnp.asarray(p) if of == "probabilities" else jnp.log(jnp.asarray(p))
    x = jnp.array([1.0, 2.0, 0.0])
    value, slope = jax.value_and_grad(lambda d: log_prob(multinomial(of), d, x))(decoded)
    np.testing.assert_allclose(value, np.log(3 / 8), rtol=1e-6)
    assert np.isfinite(slope).all()
    assert log_prob(multinomial(of), decoded, jnp.array([1.0, 2.0, 1.0])) < -80


def test_multinomial_refuses_a_mask_and_noise_without_a_total():
    with pytest.raises(ValueError, match="mask must be None for a multinomial"):
        log_prob(multinomial(), DECODED, COUNTS, MASK)
    with pytest.raises(ValueError, match="noise must be False for a multinomial"):
        multinomial().sample({}, KEY, jnp.asarray(DECODED))
    with pytest.raises(ValueError, match="of must be one of 'logits', 'log_probabilities'"):
        multinomial("odds")


# --- numbers that float32 could lose

DISPERSIONS = [1e-4, 1e-2, 1.0, 1e2, 1e4, 1e6]


@pytest.mark.parametrize("r", DISPERSIONS)
def test_negative_binomial_of_any_dispersion(r):
    """Within 3e-5 for counts to 100, and 2e-3 of any to 10,000; gammaln alone is 0.8 off at 1e6."""
    likelihood = negative_binomial(r, learned=False)
    for x, mean, within in ((0, 1, 3e-5), (3, 5, 3e-5), (100, 90, 3e-5), (10_000, 10_500, 2e-3)):
        decoded, x = np.float32([np.log(mean)]), np.float32([x])
        exact = nbinom(decoded, x, np.float64(np.float32(r))).sum()
        np.testing.assert_allclose(
            log_prob(likelihood, decoded, x), exact, rtol=within, atol=within
        )


def test_negative_binomial_tends_to_the_poisson():
    likelihood = negative_binomial(1e7, learned=False)
    near, poissons = (log_prob(v, DECODED, COUNTS) for v in (likelihood, poisson()))
    np.testing.assert_allclose(near, poissons, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_extreme_outputs_of_a_decoder(name, size):
    """Finite value and slope, but where the rate itself, exp(decoded), is beyond float32."""
    likelihood, decoded, x, _ = CASES[name]
    for sign in (-1, 1):
        if sign == 1 and name == "poisson":
            continue
        extreme = jnp.full(decoded.shape, sign * size)
        value, slope = jax.value_and_grad(lambda d: log_prob(likelihood, d, x))(extreme)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
    if decoded.ndim == 3:
        extreme = jnp.asarray(decoded * np.float32(size))
        assert np.isfinite(log_prob(likelihood, extreme, x))


def test_bernoulli_of_extreme_logits_is_exact():
    logits, x = jnp.array([-1e4, 1e4, -50.0, 88.0]), jnp.array([0.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(log_prob(bernoulli(), logits, x), -138.0, rtol=1e-6)


def test_categories_that_the_decoder_does_not_have():
    with pytest.raises(
        ValueError, match=r"network.decode must return logits of shape \(3, 4, 'C'\)"
    ):
        log_prob(categorical(), DECODED, DIGITS)
    assert np.isnan(log_prob(categorical(), LOGITS, np.full(SHAPE, 7)))


def test_categories_may_be_floats():
    """As the data layer makes all of x."""
    a, b = (log_prob(categorical(), LOGITS, DIGITS.astype(t)) for t in (np.float32, np.uint8))
    assert a == b


# --- means and draws


def exact_moments(name):
    """Mean and variance of each value."""
    rate = np.exp(np.float64(DECODED))
    p = special.expit(np.float64(DECODED))
    return {
        "normal": (DECODED, np.ones(SHAPE)),
        "normal(0.3)": (DECODED, np.full(SHAPE, 0.09)),
        "normal learned": (DECODED, np.full(SHAPE, 0.09)),
        "normal per dimension": (DECODED, np.full(SHAPE, 0.09)),
        "bernoulli": (p, p * (1 - p)),
        "poisson": (rate, rate),
        "negative binomial": (rate, rate + rate**2),
        "negative binomial(2.5)": (rate, rate + rate**2 / 2.5),
        "negative binomial, one": (rate, rate + rate**2 / 2.5),
        "distribution": (DECODED, np.full(SHAPE, 8.0)),
    }[name]


DRAWS = 20_000


@pytest.mark.parametrize("name", [name for name in CASES if name != "categorical"])
def test_mean_and_draws(name):
    """Mean in closed form; mean and variance of 20,000 draws within 6 standard errors.

    By 24 numbers a right sampler fails once in 1e7. Draws of another decoded value do fail.
    """
    likelihood, decoded, x, _ = CASES[name]
    mean, variance = exact_moments(name)
    own, decoded = likelihood.init(KEY, jnp.asarray(x)), jnp.asarray(decoded)
    np.testing.assert_allclose(likelihood.mean(own, decoded), mean, rtol=1e-5, atol=1e-6)
    keys = jax.random.split(jax.random.key(6), DRAWS)
    draws = jax.jit(jax.vmap(likelihood.sample, (None, 0, None)))(own, keys, decoded)
    assert draws.dtype == jnp.float32
    draws = np.asarray(draws, np.float64)
    error = draws.std(axis=0) / DRAWS**0.5
    assert (np.abs(draws.mean(axis=0) - mean) < 6 * error).all()
    spread = (draws - mean) ** 2
    assert (
        np.abs(spread.mean(axis=0) - variance) < 6 * spread.std(axis=0) / DRAWS**0.5 + 1e-9
    ).all()
    assert (np.abs(draws.mean(axis=0) - (mean + 0.1)) > 6 * error).any()
    # The values of one example are independent of each other.
    flat = draws.reshape(DRAWS, -1)
    off = np.corrcoef(flat.T)[~np.eye(12, dtype=bool)]
    assert np.abs(off).max() < 7 / DRAWS**0.5


def test_categorical_draws():
    """Shares by Hoeffding: a right sampler fails once in 1e7 for all 60 of them."""
    likelihood, p = categorical(), np.exp(log_softmax(LOGITS))
    np.testing.assert_allclose(likelihood.mean({}, jnp.asarray(LOGITS)), p, rtol=1e-5)
    keys = jax.random.split(KEY, DRAWS)
    draws = np.asarray(jax.vmap(likelihood.sample, (None, 0, None))({}, keys, jnp.asarray(LOGITS)))
    shares = (draws[..., None] == np.arange(5)).mean(axis=0)
    np.testing.assert_allclose(shares, p, atol=np.sqrt(np.log(2 * 60 / 1e-7) / (2 * DRAWS)))


def test_multinomial_draws():
    """Means and variances of 20,000 draws within 6 standard errors, the totals exact."""
    x, decoded = jnp.asarray(COUNTS), jnp.asarray(DECODED)
    keys = jax.random.split(KEY, DRAWS)
    draw = jax.jit(jax.vmap(lambda key: multinomial().sample({}, key, decoded, Batch(x))))
    draws = np.asarray(draw(keys), np.float64)
    total, p = COUNTS.sum(axis=-1, keepdims=True), np.exp(log_softmax(DECODED))
    np.testing.assert_array_equal(draws.sum(axis=-1), np.broadcast_to(total[:, 0], (DRAWS, 3)))
    for values, exact in ((draws, total * p), ((draws - total * p) ** 2, total * p * (1 - p))):
        error = values.std(axis=0) / DRAWS**0.5
        assert (np.abs(values.mean(axis=0) - exact) < 6 * error).all()


# --- what is learned


@pytest.mark.parametrize("per_dimension", [False, True])
def test_a_learned_scale_starts_where_it_is_told_and_has_a_slope(per_dimension):
    """Against the derivative of SciPy's density by the scale; zero at the residuals' own size."""
    likelihood = normal(0.3, learned=True, per_dimension=per_dimension, minimum=0.1)
    own = likelihood.init(KEY, jnp.asarray(REAL))
    assert own["log_scale"].shape == (SHAPE if per_dimension else ())
    np.testing.assert_allclose(0.1 + np.exp(own["log_scale"]), 0.3, rtol=1e-6)
    slope = jax.grad(lambda own: log_prob(likelihood, DECODED, REAL, own=own))(own)["log_scale"]
    residual = np.float64(REAL) - DECODED
    exact = (residual**2 / 0.3**3 - 1 / 0.3) * 0.2
    np.testing.assert_allclose(slope, exact if per_dimension else exact.sum(), rtol=1e-5)
    best = np.log(np.sqrt((residual**2).mean()) - 0.1)
    if not per_dimension:
        at = {"log_scale": jnp.float32(best)}
        slope = jax.grad(lambda own: log_prob(likelihood, DECODED, REAL, own=own))(at)
        assert abs(slope["log_scale"]) < 1e-4
    floor = {"log_scale": jnp.full_like(own["log_scale"], -1e4)}
    at_minimum = log_prob(likelihood, DECODED, REAL, own=floor)
    np.testing.assert_allclose(at_minimum, stats.norm.logpdf(residual, 0, 0.1).sum(), rtol=1e-5)


@pytest.mark.parametrize("per_dimension", [False, True])
def test_a_learned_dispersion_starts_where_it_is_told_and_has_a_slope(per_dimension):
    likelihood = negative_binomial(2.5, per_dimension=per_dimension)
    own = likelihood.init(KEY, jnp.asarray(COUNTS))
    assert own["log_dispersion"].shape == (SHAPE if per_dimension else ())
    np.testing.assert_allclose(np.exp(own["log_dispersion"]), 2.5, rtol=1e-6)
    slope = jax.grad(lambda own: log_prob(likelihood, DECODED, COUNTS, own=own))(own)
    up, down = (nbinom(DECODED, COUNTS, 2.5 * np.exp(h)) for h in (1e-5, -1e-5))
    exact = (up - down) / 2e-5
    exact = exact if per_dimension else exact.sum()
    np.testing.assert_allclose(slope["log_dispersion"], exact, rtol=1e-4, atol=1e-5)


def test_fixed_ones_have_no_parameters():
    for likelihood in (normal(0.3), bernoulli(), poisson(), negative_binomial(learned=False),
                       multinomial(), categorical()):  # fmt: skip
        assert likelihood.init(KEY, jnp.asarray(COUNTS)) == {}


def test_a_scale_of_a_sweep_may_be_traced():
    def value(scale):
        return log_prob(normal(scale), DECODED, REAL)

    def learned(scale):
        likelihood = normal(scale, learned=True)
        return log_prob(likelihood, DECODED, REAL, own=likelihood.init(KEY, jnp.asarray(REAL)))

    scales = jnp.array([0.3, 1.0, 2.0])
    exact = [stats.norm.logpdf(REAL, np.float64(DECODED), s).sum() for s in (0.3, 1.0, 2.0)]
    for function in (value, learned):
        np.testing.assert_allclose(jax.jit(jax.vmap(function))(scales), exact, rtol=1e-5)


# --- foreign distributions


class Foreign:
    """As NumPyro's and Distrax's: `mean` a property or a method, the key by place or as `seed`."""

    def __init__(self, loc):
        self.loc = loc

    def log_prob(self, x):
        return -0.5 * (x - self.loc) ** 2 - 0.5 * np.log(2 * np.pi)


class NumPyroLike(Foreign):
    @property
    def mean(self):
        return self.loc

    def sample(self, key, sample_shape=()):
        assert sample_shape == ()
        return self.loc + jax.random.normal(key, self.loc.shape)


class DistraxLike(Foreign):
    def mean(self):
        return self.loc

    def sample(self, *, seed, sample_shape=()):
        assert sample_shape == ()
        return self.loc + jax.random.normal(seed, self.loc.shape)


class TFPLike(DistraxLike):
    def sample(self, sample_shape=(), seed=None, name="sample"):
        assert sample_shape == ()
        return self.loc + jax.random.normal(seed, self.loc.shape)


@pytest.mark.parametrize("kind", [NumPyroLike, DistraxLike, TFPLike])
def test_distributions_of_other_libraries(kind):
    likelihood, decoded = distribution(kind), jnp.asarray(DECODED)
    exact = stats.norm.logpdf(REAL, np.float64(DECODED))
    np.testing.assert_allclose(log_prob(likelihood, DECODED, REAL), exact.sum(), rtol=1e-6)
    np.testing.assert_allclose(
        log_prob(likelihood, DECODED, REAL, MASK), exact[MASK].sum(), rtol=1e-6
    )
    np.testing.assert_array_equal(likelihood.mean({}, decoded), DECODED)
    drawn = likelihood.sample({}, KEY, decoded)
    np.testing.assert_allclose(drawn, DECODED + jax.random.normal(KEY, SHAPE), rtol=1e-6)


def test_numpyro_itself():
    numpyro = pytest.importorskip("numpyro.distributions")
    likelihood = distribution(lambda d: numpyro.Laplace(d, 2.0))
    exact = stats.laplace.logpdf(REAL, DECODED, 2.0).sum()
    np.testing.assert_allclose(log_prob(likelihood, DECODED, REAL), exact, rtol=1e-6)
    assert likelihood.sample({}, KEY, jnp.asarray(DECODED)).shape == SHAPE


def test_a_distribution_of_the_whole_example():
    """One log-probability an example: a mask cannot be, and is refused."""
    tfd = tfp_distributions()
    likelihood = distribution(lambda d: tfd.Independent(tfd.Normal(d, 1.0), 2))
    exact = stats.norm.logpdf(REAL, np.float64(DECODED)).sum()
    np.testing.assert_allclose(log_prob(likelihood, DECODED, REAL), exact, rtol=1e-6)
    with pytest.raises(ValueError, match="mask must be None where the distribution's"):
        log_prob(likelihood, DECODED, REAL, MASK)


def test_a_distribution_of_two_outputs():
    """The decoder may return what it likes: here a location and a scale for each value."""
    tfd = tfp_distributions()
    likelihood = distribution(lambda d: tfd.Normal(d[0], jnp.exp(d[1])))
    decoded = (jnp.asarray(DECODED), jnp.asarray(0.5 * REAL))
    exact = stats.norm.logpdf(REAL, np.float64(DECODED), np.exp(0.5 * np.float64(REAL))).sum()
    np.testing.assert_allclose(log_prob(likelihood, decoded, REAL), exact, rtol=1e-6)
    slopes = jax.grad(lambda d: log_prob(likelihood, d, REAL))(decoded)
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_strict_promotion_is_given_back():
    log_prob(distribution(NumPyroLike), DECODED, REAL)
    with pytest.raises(ValueError, match="rank"):
        jnp.ones((2, 3)) + jnp.ones(3)


# --- refusals


@pytest.mark.parametrize(
    ("likelihood", "bad", "message"),
    [
        (bernoulli(), 1.5, r"x must lie in \[0, 1\] for a Bernoulli likelihood, got 1.5"),
        (bernoulli(), -0.25, r"x must lie in \[0, 1\] for a Bernoulli likelihood, got -0.25"),
        (poisson(), 0.5, "x must hold counts, integers of at least 0, for a Poisson .*, got 0.5"),
        (poisson(), -1.0, "x must hold counts, .* got -1.0"),
        (negative_binomial(), -2.0, "x must hold counts, .* a negative binomial .*, got -2.0"),
        (multinomial(), 2.5, "x must hold counts, .* a multinomial likelihood, got 2.5"),
        (categorical(), -1.0, "x must hold counts, .* a categorical likelihood, got -1.0"),
    ],
)
def test_check_names_what_x_must_be(likelihood, bad, message):
    good = np.array([[0.0, 1.0], [1.0, 0.0]])
    likelihood.check(good)
    likelihood.check({"a": good, "b": good.astype(np.int32)})
    wrong = good.copy()
    wrong[1, 1] = bad
    for x in (wrong, {"a": good, "b": wrong}):
        with pytest.raises(ValueError, match=message):
            likelihood.check(x)


def test_check_looks_at_the_entries_of_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    poisson().check(sparse.csr_matrix(np.eye(3)))
    with pytest.raises(ValueError, match=r"got 0\.5"):
        poisson().check(sparse.csr_matrix(0.5 * np.eye(3)))


def test_any_number_is_a_normal_value():
    normal().check(np.array([[-1e9, 1e9]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: normal(0.0), "scale must be finite and above 0"),
        (lambda: normal(-1.0), "scale must be finite and above 0"),
        (lambda: normal(np.nan), "scale must be finite and above 0"),
        (lambda: normal("wide"), "scale must be a number"),
        (lambda: normal(learned=1), "learned must be True or False"),
        (lambda: normal(per_dimension=True), "per_dimension must be False where the scale is not"),
        (lambda: normal(1e-3, learned=True), "scale must be above the minimum, 0.001, got 0.001"),
        (lambda: normal(learned=True, minimum=0.0), "minimum must be finite and above 0"),
        (lambda: negative_binomial(0.0), "dispersion must be finite and above 0"),
        (lambda: negative_binomial(learned="yes"), "learned must be True or False"),
        (lambda: distribution("normal"), "make must be a function, got 'normal'"),
    ],
)
def test_refusals_name_the_argument(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_likelihood_of_ones_own():
    """Four functions are enough."""
    own = Likelihood(
        lambda key, x: {}, lambda own, d, x, example: -jnp.sum(jnp.abs(x - d)),
        lambda own, d, example=None: d, lambda own, key, d, example=None: d,
    )  # fmt: skip
    np.testing.assert_allclose(
        log_prob(own, DECODED, REAL), -np.abs(REAL - DECODED).sum(), rtol=1e-6
    )
    own.check(np.full((1, 2), np.nan))
