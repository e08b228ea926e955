"""The Dirichlet-multinomial, and means that are shares of a known total, against SciPy.

Draws are held to exact moments: keys are fixed, and each test says how often a right sampler fails.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import jaxvae
from jaxvae import Batch, latents, priors
from jaxvae.likelihoods import dirichlet_multinomial, multinomial, negative_binomial, poisson

KEY = jax.random.key(0)
SHAPE = (3, 5)
DECODED = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
COUNTS = np.random.default_rng(1).poisson(4.0, SHAPE).astype(np.float32)
COUNTS[1, 2:] = 0
TOTALS = COUNTS.sum(axis=-1, keepdims=True)
SHARES = special.softmax(np.float64(DECODED), axis=-1)
MASK = np.ones(SHAPE, bool)
CONCENTRATIONS = [1e-3, 0.1, 1.0, 30.0, 1e3, 1e5, 1e8]
OF_TOTALS = {
    "poisson": poisson(totals=True),
    "negative binomial": negative_binomial(0.5, totals=True),
    "negative binomial(2.5)": negative_binomial(2.5, learned=False, totals=True),
    "dirichlet-multinomial": dirichlet_multinomial(2.0),
}


def log_prob(likelihood, decoded, x, mask=None, own=None):
    decoded, x, mask = jax.tree.map(jnp.asarray, (decoded, x, mask))
    own = likelihood.init(KEY, x) if own is None else own
    return likelihood.log_prob(own, decoded, x, Batch(x, mask=mask))


def scipy_log_prob(name, decoded, x):
    """The sum over the rows, in float64."""
    x, p = np.float64(x), special.softmax(np.float64(decoded), axis=-1)
    mean = x.sum(axis=-1, keepdims=True) * p
    if name == "poisson":
        return stats.poisson.logpmf(x, mean).sum()
    if name == "dirichlet-multinomial":
        return sum(
            stats.dirichlet_multinomial(2.0 * q, int(row.sum())).logpmf(row.astype(int))
            for q, row in zip(p, x, strict=True)
        )
    r = 2.5 if "2.5" in name else 0.5
    return stats.nbinom.logpmf(x, r, r / (r + mean)).sum()


@pytest.mark.parametrize("name", OF_TOTALS)
@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_log_prob_of_known_totals(name, size):
    """1e-6 of SciPy in float64, and in float32 of counts to 1,000; 2e-6 of any to a million."""
    x = COUNTS * np.float32(size)
    exact = scipy_log_prob(name, DECODED, x)
    found = log_prob(OF_TOTALS[name], DECODED, x)
    assert found.shape == ()
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, rtol=1e-6 if size < 1000 else 2e-6)
    with jax.enable_x64(True):
        found = log_prob(OF_TOTALS[name], np.float64(DECODED), np.float64(x))
        np.testing.assert_allclose(found, exact, rtol=1e-9)


@pytest.mark.parametrize("name", OF_TOTALS)
def test_counts_near_their_means(name):
    """A million of them, where the log-probability is small: each is within 1e-4 in float32."""
    x = np.round(1e6 * SHARES).astype(np.float32)
    exact = scipy_log_prob(name, DECODED, x)
    np.testing.assert_allclose(log_prob(OF_TOTALS[name], DECODED, x), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("total_concentration", CONCENTRATIONS)
@pytest.mark.parametrize("count", [1, 20, 1000, 1_000_000])
def test_dirichlet_multinomial_of_any_concentration(total_concentration, count):
    """1e-6 of SciPy in float64; in float32 3e-6, or 3e-6 nats where it is below 1."""
    rng = np.random.default_rng(count)
    concentration = total_concentration * SHARES[0]
    p = rng.dirichlet(concentration) if total_concentration > 0.5 else np.eye(5)[2]
    x = rng.multinomial(count, p)
    if count > 1:  # no sample of a tiny concentration has two kinds, but it may be asked for
        x[[0, 2]] = (1, x[0] + x[2] - 1) if x[2] else x[[0, 2]]
    exact = stats.dirichlet_multinomial(concentration, count).logpmf(x)
    likelihood = dirichlet_multinomial(total_concentration, learned=False)
    found = log_prob(likelihood, DECODED[0], x.astype(np.float32))
    np.testing.assert_allclose(found, exact, rtol=3e-6, atol=3e-6)
    with jax.enable_x64(True):
        found = log_prob(likelihood, np.float64(DECODED[0]), np.float64(x))
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("of", ["logits", "log_probabilities", "probabilities"])
def test_what_the_decoder_may_give(of):
    log_p = special.log_softmax(np.float64(DECODED), axis=-1)
    given = {"logits": DECODED, "log_probabilities": log_p, "probabilities": np.exp(log_p)}[of]
    given, likelihood = given.astype(np.float32), dirichlet_multinomial(2.0, of=of)
    exact = scipy_log_prob("dirichlet-multinomial", DECODED, COUNTS)
    np.testing.assert_allclose(log_prob(likelihood, given, COUNTS), exact, rtol=1e-6)
    np.testing.assert_allclose(likelihood.mean({}, jnp.asarray(given)), SHARES, rtol=1e-5)


@pytest.mark.parametrize("total_concentration", [1e-3, 1.0, 50.0, 1e8])
def test_all_that_can_be_sums_to_one(total_concentration):
    """Of three categories and a total of six; no constant is missing."""
    rows = [row for row in itertools.product(range(7), repeat=3) if sum(row) == 6]
    likelihood = dirichlet_multinomial(total_concentration, learned=False)
    each = jax.vmap(lambda x: log_prob(likelihood, DECODED[0, :3], x))(jnp.array(rows, jnp.float32))
    np.testing.assert_allclose(np.exp(np.float64(each)).sum(), 1, rtol=1e-5)


def test_a_large_concentration_is_a_multinomial():
    near = log_prob(dirichlet_multinomial(1e8), DECODED, COUNTS)
    np.testing.assert_allclose(near, log_prob(multinomial(), DECODED, COUNTS), rtol=2e-6)
    far = log_prob(dirichlet_multinomial(1e2), DECODED, COUNTS)
    assert abs(far - near) > 0.1


@pytest.mark.parametrize("total_concentration", CONCENTRATIONS)
def test_slopes_of_the_dirichlet_multinomial(total_concentration):
    """By the concentration and by the logits, against digammas in float64."""
    likelihood = dirichlet_multinomial(total_concentration)
    own = likelihood.init(KEY, jnp.asarray(COUNTS))
    assert own["log_concentration"].shape == ()

    def value(own, decoded):
        return log_prob(likelihood, decoded, COUNTS, own=own)

    found = jax.grad(value, (0, 1))(own, jnp.asarray(DECODED))
    a, n = np.float64(total_concentration), np.float64(TOTALS)
    rise = a * SHARES * (special.digamma(a * SHARES + COUNTS) - special.digamma(a * SHARES))
    whole = a * (special.digamma(a + n) - special.digamma(a))
    exact = rise.sum() - whole.sum()
    np.testing.assert_allclose(found[0]["log_concentration"], exact, rtol=1e-5, atol=2e-5)
    by_logits = rise - SHARES * rise.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found[1], by_logits, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", OF_TOTALS)
def test_slopes_by_the_decoder(name):
    """Against differences of SciPy's log-probability."""
    found = jax.grad(lambda d: log_prob(OF_TOTALS[name], d, COUNTS))(jnp.asarray(DECODED))
    step = 1e-5 * np.eye(DECODED.size).reshape(-1, *SHAPE)
    at = np.float64(DECODED)
    exact = [
        (scipy_log_prob(name, at + h, COUNTS) - scipy_log_prob(name, at - h, COUNTS)) / 2e-5
        for h in step
    ]
    np.testing.assert_allclose(found.ravel(), exact, rtol=1e-3, atol=1e-4)


def test_the_slope_of_a_dispersion_with_totals():
    likelihood = negative_binomial(0.5, totals=True)
    own = likelihood.init(KEY, jnp.asarray(COUNTS))
    assert own["log_dispersion"].shape == SHAPE
    found = jax.grad(lambda own: log_prob(likelihood, DECODED, COUNTS, own=own))(own)

    def exact(r):
        return stats.nbinom.logpmf(COUNTS, r, r / (r + TOTALS * SHARES))

    slope = (exact(0.5 * np.exp(1e-5)) - exact(0.5 * np.exp(-1e-5))) / 2e-5
    np.testing.assert_allclose(found["log_dispersion"], slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OF_TOTALS)
def test_no_count_at_all(name):
    """A total of 0 is certain: log-probability and slope are 0, mean and draw are 0."""
    likelihood, decoded, x = OF_TOTALS[name], jnp.asarray(DECODED), jnp.zeros(SHAPE)
    value, slope = jax.value_and_grad(lambda d: log_prob(likelihood, d, x))(decoded)
    assert value == 0
    assert (slope == 0).all()
    own = likelihood.init(KEY, x)
    assert (likelihood.mean(own, decoded, Batch(x)) == 0).all()
    assert (likelihood.sample(own, KEY, decoded, Batch(x)) == 0).all()
    one = jnp.asarray(COUNTS).at[1].set(0)
    others = log_prob(likelihood, DECODED[[0, 2]], COUNTS[[0, 2]])
    np.testing.assert_allclose(log_prob(likelihood, DECODED, one), others, rtol=1e-6)


@pytest.mark.parametrize("name", OF_TOTALS)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_extreme_outputs_of_a_decoder(name, size):
    likelihood, extreme = OF_TOTALS[name], jnp.asarray(DECODED) * size
    for x in (COUNTS, 1e5 * COUNTS, 0 * COUNTS):
        value, slopes = jax.value_and_grad(
            lambda own, d, x=x: log_prob(likelihood, d, x, own=own), (0, 1)
        )(likelihood.init(KEY, jnp.asarray(x)), extreme)
        assert np.isfinite(value)
        assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))


@pytest.mark.parametrize("log_concentration", [-1e4, -80.0, 80.0, 1e4])
def test_an_extreme_concentration_stays_finite(log_concentration):
    """Wherever training takes it, value, slope and draw are those of exp(60) or of exp(-60)."""
    likelihood, own = dirichlet_multinomial(), {"log_concentration": jnp.float32(log_concentration)}
    value, slope = jax.value_and_grad(lambda own: log_prob(likelihood, DECODED, COUNTS, own=own))(
        own
    )
    assert np.isfinite(value)
    assert np.isfinite(slope["log_concentration"])
    x = Batch(jnp.asarray(COUNTS))
    drawn = likelihood.sample(own, KEY, jnp.asarray(DECODED), x)
    np.testing.assert_array_equal(drawn.sum(axis=-1, keepdims=True), TOTALS)


def test_an_impossible_category():
    """0 log 0 = 0 where nothing fell on it, in its slope too; else it cannot be."""
    log_p = jnp.log(jnp.array([0.5, 0.5, 0.0]))
    likelihood = dirichlet_multinomial(2.0, of="log_probabilities")
    x = jnp.array([1.0, 2.0, 0.0])
    value, slope = jax.value_and_grad(lambda d: log_prob(likelihood, d, x))(log_p)
    np.testing.assert_allclose(value, np.log(1 / 4), rtol=3e-6)  # all of 0, 1, 2, 3 are alike
    assert np.isfinite(slope).all()
    assert log_prob(likelihood, log_p, jnp.array([1.0, 2.0, 1.0])) == -np.inf


@pytest.mark.parametrize("name", OF_TOTALS)
def test_means_are_shares_of_the_total(name):
    likelihood, decoded = OF_TOTALS[name], jnp.asarray(DECODED)
    own = likelihood.init(KEY, jnp.asarray(COUNTS))
    np.testing.assert_allclose(likelihood.mean(own, decoded), SHARES, rtol=1e-5)
    found = likelihood.mean(own, decoded, Batch(jnp.asarray(COUNTS)))
    np.testing.assert_allclose(found, TOTALS * SHARES, rtol=1e-5)


def test_trees_have_a_total_for_each_row_of_each_array():
    for likelihood in (poisson(totals=True), negative_binomial(totals=True)):
        trees = [{"a": v[:1], "b": (v[1:],)} for v in (DECODED, COUNTS)]
        whole = log_prob(likelihood, DECODED, COUNTS)
        np.testing.assert_allclose(log_prob(likelihood, *trees), whole, rtol=1e-6)
        x = jax.tree.map(jnp.asarray, trees[1])
        drawn = likelihood.sample(likelihood.init(KEY, x), KEY, trees[0], Batch(x))
        assert jax.tree.structure(drawn) == jax.tree.structure(x)


DRAWS = 20_000


def variance(name):
    mean = TOTALS * SHARES
    if name == "poisson":
        return mean
    if name == "dirichlet-multinomial":
        return mean * (1 - SHARES) * (TOTALS + 2.0) / 3.0
    return mean + mean**2 / (2.5 if "2.5" in name else 0.5)


@pytest.mark.parametrize("name", OF_TOTALS)
def test_draws_of_known_totals(name):
    """Means and variances of 20,000 draws within 6 standard errors.

    By 30 numbers a right sampler fails less than once in 1e6. Those of a plain multinomial do fail.
    """
    likelihood, x, decoded = OF_TOTALS[name], jnp.asarray(COUNTS), jnp.asarray(DECODED)
    own = likelihood.init(KEY, x)
    draw = jax.jit(jax.vmap(lambda key: likelihood.sample(own, key, decoded, Batch(x))))
    draws = np.asarray(draw(jax.random.split(KEY, DRAWS)))
    assert draws.dtype == np.float32
    draws, mean = np.float64(draws), TOTALS * SHARES
    np.testing.assert_array_equal(draws, np.floor(draws))
    if name == "dirichlet-multinomial":
        np.testing.assert_array_equal(
            draws.sum(axis=-1, keepdims=True), np.broadcast_to(TOTALS, (DRAWS, 3, 1))
        )
    spread = (draws - mean) ** 2
    for values, exact in ((draws, mean), (spread, variance(name))):
        error = values.std(axis=0) / DRAWS**0.5
        assert (np.abs(values.mean(axis=0) - exact) < 6 * error + 1e-9).all()
    error = spread.std(axis=0) / DRAWS**0.5
    assert (np.abs(spread.mean(axis=0) - mean * (1 - SHARES)) > 6 * error).any()


def test_the_concentration_that_made_the_data_is_found():
    """By 2,000 examples of a total of 50, within 6 of its standard errors, 1.6%: once in 1e8."""
    rng, p = np.random.default_rng(0), SHARES[0]
    x = np.array([rng.multinomial(50, rng.dirichlet(20 * p)) for _ in range(2000)])
    x, decoded = jnp.asarray(x, jnp.float32), jnp.asarray(DECODED[0])
    likelihood = dirichlet_multinomial(3.0)

    @jax.jit
    def slopes(log_a):
        def value(log_a):
            own = {"log_concentration": log_a}
            return jax.vmap(lambda x: log_prob(likelihood, decoded, x, own=own))(x).mean()

        return jax.grad(value)(log_a), jax.hessian(value)(log_a)

    log_a = likelihood.init(KEY, x[0])["log_concentration"]
    for _ in range(200):
        slope, curvature = slopes(log_a)
        log_a += jnp.clip(slope / jnp.abs(curvature), -0.3, 0.3)
    assert abs(slope) < 1e-4
    assert abs(log_a - np.log(20)) < 6 / np.sqrt(-2000 * curvature) < 0.2


def test_a_concentration_of_a_sweep_may_be_traced():
    def value(total_concentration):
        likelihood = dirichlet_multinomial(total_concentration, learned=False)
        return log_prob(likelihood, DECODED, COUNTS)

    found = jax.jit(jax.vmap(value))(jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(
        found[1], scipy_log_prob("dirichlet-multinomial", DECODED, COUNTS), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["poisson", "negative binomial", "dirichlet-multinomial"])
def test_a_model_of_totals_trains_and_draws(name):
    x = np.random.default_rng(0).poisson(2.0, (60, 12))
    vae = jaxvae.bind(
        jaxvae.networks.of_counts(jaxvae.dense_normal_network(12, 2, layers=1, hidden_units=8)),
        latents.normal, priors.standard_normal(), OF_TOTALS[name],
    )  # fmt: skip
    state, history = jaxvae.fit(KEY, vae, x, batch_size=20, epochs=3)
    assert history.epochs[-1].loss < history.epochs[0].loss
    made = jaxvae.generate(KEY, vae, state.params, 4)
    np.testing.assert_allclose(made.sum(axis=-1), 1, rtol=1e-5)
    again = jaxvae.reconstruct(KEY, vae, state.params, x)
    np.testing.assert_allclose(again.sum(axis=-1), x.sum(axis=-1), rtol=1e-5)
    with pytest.raises(ValueError, match=r"noise must be False for a .* without examples"):
        jaxvae.generate(KEY, vae, state.params, 4, noise=True)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("poisson", "Poisson likelihood with totals"),
        ("negative binomial", "negative binomial likelihood with totals"),
        ("dirichlet-multinomial", "Dirichlet-multinomial likelihood"),
    ],
)
def test_refused_are_a_mask_and_noise_without_a_total(name, title):
    likelihood = OF_TOTALS[name]
    with pytest.raises(ValueError, match=f"mask must be None for a {title}: the total is of all"):
        log_prob(likelihood, DECODED, COUNTS, MASK)
    own = likelihood.init(KEY, jnp.asarray(COUNTS))
    for example in (None, Batch()):
        with pytest.raises(ValueError, match=f"noise must be False for a {title} without examples"):
            likelihood.sample(own, KEY, jnp.asarray(DECODED), example)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: poisson(totals=1), "totals must be True or False, got 1"),
        (lambda: negative_binomial(totals="no"), "totals must be True or False, got 'no'"),
        (lambda: dirichlet_multinomial(0.0), "total_concentration must be finite and above 0"),
        (lambda: dirichlet_multinomial(np.inf), "total_concentration must be finite and above 0"),
        (lambda: dirichlet_multinomial("many"), "total_concentration must be a number"),
        (lambda: dirichlet_multinomial(learned=1), "learned must be True or False"),
        (lambda: dirichlet_multinomial(of="odds"), "of must be one of 'logits', 'log_prob"),
        (
            lambda: dirichlet_multinomial().check(np.array([[0.5]])),
            "x must hold counts, .* for a Dirichlet-multinomial likelihood, got 0.5",
        ),
    ],
)
def test_refusals_name_the_argument(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_what_is_not_learned_has_no_parameters():
    x = jnp.asarray(COUNTS)
    for likelihood in (
        poisson(totals=True),
        negative_binomial(learned=False, totals=True),
        dirichlet_multinomial(learned=False),
    ):
        assert likelihood.init(KEY, x) == {}
    own = dirichlet_multinomial(30.0).init(KEY, x)
    np.testing.assert_allclose(np.exp(own["log_concentration"]), 30.0, rtol=1e-6)
