"""Each prior against SciPy in float64: densities, divergences, draws, what is learned.

Draws are held to exact distribution functions by the Dvoretzky-Kiefer-Wolfowitz band; keys are
fixed, and each statistical test says how often it would fail a right prior.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxvae import Batch, bind
from jaxvae.latents import (
    Dirichlet,
    Kumaraswamy,
    Logits,
    Normal,
    concrete,
    dirichlet,
    logistic_normal,
    normal,
    stick_breaking,
)
from jaxvae.latents import product as product_latent
from jaxvae.likelihoods import normal as normal_likelihood
from jaxvae.networks import Network
from jaxvae.objectives import elbo
from jaxvae.priors import (
    Context,
    from_labels,
    in_family,
    learned,
    mixture,
    product,
    standard_normal,
    symmetric,
)

KEY = jax.random.key(0)
ROWS, WIDTH = 6, 3
RANDOM = np.random.default_rng(0)
NORMAL_Q = Normal(
    jnp.asarray(RANDOM.normal(size=(ROWS, WIDTH)), jnp.float32),
    jnp.asarray(np.exp(0.5 * RANDOM.normal(size=(ROWS, WIDTH))), jnp.float32),
)
DIRICHLET_Q = Dirichlet(jnp.asarray(np.exp(RANDOM.normal(size=(ROWS, WIDTH))), jnp.float32))
Y = jnp.array([0, 2, -1, 1, -1, 2])

DRAWS = 100_000
BAND = np.sqrt(np.log(2 / 1e-9) / (2 * DRAWS))  # 0.0104: a right sampler leaves it once in 1e9


def wide(array):
    return np.asarray(array, np.float64)


def many(q, rows=DRAWS):
    """The shapes of a posterior of so many rows, as `sample_prior` gives them."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), jnp.float32), q)


def distance(values, cdf):
    u = cdf(np.sort(values))
    steps = np.arange(len(u) + 1) / len(u)
    return max((steps[1:] - u).max(), (u - steps[:-1]).max())


def log_z(count=4):
    """u for a Dirichlet: [k, B, K]."""
    return jnp.stack([dirichlet.sample(jax.random.key(i), DIRICHLET_Q) for i in range(count)])


def dirichlet_logpdf(c, u):
    """Of SciPy, row by row, at points put on the simplex in float64."""
    z = np.exp(wide(u))
    z = z / z.sum(axis=-1, keepdims=True)
    c = np.broadcast_to(wide(c), z.shape)
    rows = zip(c.reshape(-1, c.shape[-1]), z.reshape(-1, c.shape[-1]), strict=True)
    return np.array([stats.dirichlet(a).logpdf(row) for a, row in rows]).reshape(z.shape[:-1])


def dirichlet_kl(a, b):
    a, b = np.broadcast_arrays(wide(a), wide(b))
    total = a.sum(axis=-1, keepdims=True)
    log_norm = special.gammaln(total[..., 0]) - special.gammaln(b.sum(axis=-1))
    log_norm = log_norm - (special.gammaln(a) - special.gammaln(b)).sum(axis=-1)
    return log_norm + ((a - b) * (special.digamma(a) - special.digamma(total))).sum(axis=-1)


# --- fixed ones


@pytest.mark.parametrize("variance", [1.0, 0.25, 9.0])
def test_standard_normal(variance):
    prior, context = standard_normal(variance), Context(Batch(), NORMAL_Q)
    assert prior.init(KEY, context) == {}
    u = jax.random.normal(KEY, (4, ROWS, WIDTH))
    exact = stats.norm(0, variance**0.5).logpdf(wide(u)).sum(axis=-1)
    np.testing.assert_allclose(prior.log_prob({}, u, context), exact, rtol=1e-5)
    loc, scale = map(wide, NORMAL_Q)
    ratio = scale**2 / variance
    exact = 0.5 * (loc**2 / variance + ratio - 1 - np.log(ratio)).sum(axis=-1)
    np.testing.assert_allclose(prior.kl({}, NORMAL_Q, context), exact, rtol=1e-5)
    u = wide(prior.sample({}, KEY, Context(Batch(), many(NORMAL_Q))))
    assert u.shape == (DRAWS, WIDTH)
    assert distance(u[:, 1], stats.norm(0, variance**0.5).cdf) < BAND
    assert distance(u[:, 1], stats.norm(0, 1.1 * variance**0.5).cdf) > BAND
    assert abs(np.corrcoef(u[:, 0], u[:, 1])[0, 1]) < 6 / DRAWS**0.5


@pytest.mark.parametrize("concentration", [1.0, 0.1, 5.0])
def test_symmetric(concentration):
    prior, context = symmetric(concentration), Context(Batch(), DIRICHLET_Q)
    assert prior.init(KEY, context) == {}
    p = np.full(WIDTH, np.float64(np.float32(concentration)))
    found = prior.log_prob({}, log_z(), context)
    np.testing.assert_allclose(found, dirichlet_logpdf(p, log_z()), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        prior.kl({}, DIRICHLET_Q, context), dirichlet_kl(DIRICHLET_Q, p), rtol=1e-5
    )
    u = prior.sample({}, KEY, Context(Batch(), many(DIRICHLET_Q)))
    z = np.exp(wide(u))
    assert distance(z[:, 1], stats.beta(concentration, 2 * concentration).cdf) < BAND
    assert distance(z[:, 1], stats.beta(1.1 * concentration, 2 * concentration).cdf) > BAND
    np.testing.assert_array_equal(
        prior.concentration(None, 4), np.full(4, np.float32(concentration))
    )


def test_the_standard_normal_is_also_of_what_is_seen_through_a_softmax():
    context = Context(Batch(), NORMAL_Q)
    found = standard_normal().kl({}, NORMAL_Q, context)
    np.testing.assert_allclose(found, logistic_normal.kl(NORMAL_Q, Normal(0.0, 1.0)), rtol=1e-6)


# --- made from labels


def label_concentration(y, smoothness, total):
    return total * (np.eye(WIDTH)[y] + smoothness) / (1 + WIDTH * smoothness)


@pytest.mark.parametrize(("smoothness", "total"), [(0.5, 8.0), (0.05, 3.0), (2.0, 40.0)])
def test_a_label_makes_the_concentration(smoothness, total):
    """Density and divergence of each labelled row, closed."""
    prior = from_labels(smoothness=smoothness, total_concentration=total)
    y = np.array([0, 2, 1, 1, 0, 2])
    context = Context(Batch(y=jnp.asarray(y)), DIRICHLET_Q)
    p = label_concentration(y, smoothness, total)
    found = prior.log_prob({}, log_z(), context)
    np.testing.assert_allclose(found, dirichlet_logpdf(p, log_z()), rtol=1e-5, atol=1e-5)
    found = prior.kl({}, DIRICHLET_Q, context)
    np.testing.assert_allclose(found, dirichlet_kl(DIRICHLET_Q, p), rtol=1e-5)
    assert prior.closed(context).all()
    np.testing.assert_allclose(prior.concentration(jnp.asarray(y), WIDTH), p, rtol=1e-6)


FREQUENCIES = [1.0, 5.0, 2.0]


def label_mixture(u, frequencies, smoothness=0.5, total=8.0):
    """The density of an unlabelled example, by SciPy."""
    weights = np.log(np.asarray(frequencies) / np.sum(frequencies))
    each = [dirichlet_logpdf(label_concentration(y, smoothness, total), u) for y in range(WIDTH)]
    return special.logsumexp(np.stack(each, axis=-1) + weights, axis=-1)


def learned_frequencies(prior):
    own = prior.init(KEY, Context(Batch(), DIRICHLET_Q))
    assert own["log_frequencies"].shape == (WIDTH,)
    return {"log_frequencies": jnp.log(jnp.asarray(FREQUENCIES)) + 0.7}  # a constant says nothing


@pytest.mark.parametrize("frequencies", [None, FREQUENCIES, "learned"])
@pytest.mark.parametrize(("smoothness", "total"), [(0.5, 8.0), (0.02, 60.0)])
def test_a_missing_label_makes_a_mixture_row_by_row(frequencies, smoothness, total):
    """In one batch with labelled ones, each row its own."""
    prior = from_labels(smoothness=smoothness, total_concentration=total, frequencies=frequencies)
    own = learned_frequencies(prior) if frequencies == "learned" else {}
    context = Context(Batch(y=Y), DIRICHLET_Q)
    u, y = log_z(), np.asarray(Y)
    known = dirichlet_logpdf(label_concentration(y, smoothness, total), u)
    weights = np.ones(WIDTH) if frequencies is None else FREQUENCIES
    exact = np.where(y < 0, label_mixture(u, weights, smoothness, total), known)
    found = jax.jit(prior.log_prob)(own, u, context)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=2e-5)
    np.testing.assert_array_equal(prior.closed(context), y >= 0)
    assert not np.allclose(exact, known, rtol=1e-3)


def test_learned_frequencies_start_alike_and_have_the_slopes_of_a_mixture():
    """d log p / d log weight = the responsibility less the weight, for missing labels alone."""
    prior, u = from_labels(frequencies="learned"), log_z()
    start = prior.init(KEY, Context(Batch(), DIRICHLET_Q))
    np.testing.assert_array_equal(start["log_frequencies"], np.zeros(WIDTH))
    own = learned_frequencies(prior)

    def total(own, y):
        return jnp.sum(prior.log_prob(own, u, Context(Batch(y=y), DIRICHLET_Q)))

    assert (jax.grad(total)(own, jnp.maximum(Y, 0))["log_frequencies"] == 0).all()
    p = np.asarray(FREQUENCIES) / np.sum(FREQUENCIES)
    each = [dirichlet_logpdf(label_concentration(y, 0.5, 8.0), u) for y in range(WIDTH)]
    responsibility = special.softmax(np.stack(each, axis=-1) + np.log(p), axis=-1)
    exact = (responsibility - p)[:, np.asarray(Y) < 0].sum(axis=(0, 1))
    np.testing.assert_allclose(jax.grad(total)(own, Y)["log_frequencies"], exact, rtol=1e-4)


def identity_vae(prior, latent=dirichlet, objective=None):
    """x is the posterior's parameters; what is decoded does not matter."""
    network = Network(
        lambda key, x: {}, lambda params, x: x + params.get("more", 0.0), lambda params, z: z
    )
    return bind(network, latent, prior, normal_likelihood(), objective)


def numerical_mixture_kl(c, frequencies):
    """KL(Dirichlet(c) || mixture) on the simplex of two categories, by quadrature."""
    weights = np.log(np.asarray(frequencies) / np.sum(frequencies))
    peaks = [8.0 * (np.eye(2)[y] + 0.5) / 2 for y in range(2)]

    def integrand(z):
        log_q = stats.beta(*c).logpdf(z)
        log_p = special.logsumexp(
            [w + stats.beta(*p).logpdf(z) for w, p in zip(weights, peaks, strict=True)]
        )
        return np.exp(log_q) * (log_q - log_p)

    return integrate.quad(integrand, 0, 1, limit=300)[0]


@pytest.mark.parametrize("frequencies", [None, [1.0, 4.0]])
def test_divergence_of_a_mixed_batch(frequencies):
    """Labelled rows by the closed form, to 1e-5; the others by the draws, against quadrature.

    200,000 draws: within 5 standard errors, a right one fails once in 600,000.
    """
    x = jnp.array([[2.0, 3.0], [1.5, 1.2], [6.0, 2.0]])
    y = jnp.array([1, -1, -1])
    vae, batch = identity_vae(from_labels(frequencies=frequencies)), Batch(x, y)
    draws = 200_000
    terms = jax.jit(lambda: vae.terms({}, KEY, batch, draws=draws))()
    kl = np.asarray(terms.kl["z"])
    closed = dirichlet_kl(x[0], 8.0 * (np.eye(2)[1] + 0.5) / 2)
    np.testing.assert_allclose(kl[0], closed, rtol=1e-5)
    ratio = wide(terms.log_qz["z"]) - wide(terms.log_pz["z"])
    for row in (1, 2):
        exact = numerical_mixture_kl(wide(x)[row], frequencies or [1.0, 1.0])
        error = ratio[:, row].std() / draws**0.5
        assert abs(kl[row] - exact) < 5 * error
        assert abs(kl[row] - dirichlet_kl(x[row], np.full(2, 4.0))) > 5 * error


@pytest.mark.parametrize("gradient", ["pathwise", "stl"])
def test_no_gradient_of_a_mixed_batch_is_nan(gradient):
    """Nor of extreme concentrations, all labels missing or none."""
    vae = identity_vae(from_labels(frequencies="learned"), objective=elbo(gradient=gradient))
    x = jnp.array([[1e-3, 2.0, 1e3], [0.1, 0.1, 0.1], [1e4, 1e-2, 1.0], [1.0, 1.0, 1.0]])
    params = {**vae.init(KEY, x), "more": jnp.zeros(())}

    @jax.jit
    def slopes(params, x, y):
        return jax.grad(lambda p, x: vae.loss(p, KEY, Batch(x, y), 0)[0], (0, 1))(params, x)

    for y in ([-1, 0, 2, -1], [-1] * 4, [0, 1, 2, 0]):
        params_slope, x_slope = slopes(params, x, jnp.asarray(y))
        assert np.isfinite(x_slope).all()
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params_slope))
        learned_slope = params_slope["prior"]["log_frequencies"]
        assert (learned_slope != 0).any() == (min(y) < 0)


def test_a_mixed_batch_is_its_rows():
    """The divergence of a row is the same alone, beside labelled ones and beside others."""
    vae = identity_vae(from_labels())
    x = jnp.exp(jax.random.normal(KEY, (4, WIDTH)))
    position = jnp.arange(4)

    def kl(rows, y):
        index = jnp.asarray(rows)
        batch = Batch(x[index], jnp.asarray(y), position=position[index])
        return np.asarray(vae.loss({}, KEY, batch)[1].kl)

    whole = kl([0, 1, 2, 3], [0, -1, 2, -1])
    np.testing.assert_allclose(whole[[0, 2]], kl([0, 2], [0, 2]), rtol=1e-6)
    np.testing.assert_allclose(whole[[1, 3]], kl([1, 3], [-1, -1]), rtol=1e-6)


@pytest.mark.parametrize("frequencies", [None, FREQUENCIES, "learned"])
def test_draws_from_labels(frequencies):
    """Given labels are followed, missing ones drawn: the marginals are Beta mixtures."""
    prior = from_labels(frequencies=frequencies)
    own = learned_frequencies(prior) if frequencies == "learned" else {}
    p = np.ones(WIDTH) / WIDTH if frequencies is None else FREQUENCIES / np.sum(FREQUENCIES)

    def marginal(weights):
        peak, rest = stats.beta(4.8, 3.2).cdf, stats.beta(1.6, 6.4).cdf
        return lambda z: weights[1] * peak(z) + (1 - weights[1]) * rest(z)

    def draw(y):
        y = None if y is None else jnp.full(DRAWS, y)
        context = Context(Batch(y=y), many(DIRICHLET_Q))
        return np.exp(wide(prior.sample(own, KEY, context)))[:, 1]

    for y in (None, -1):
        assert distance(draw(y), marginal(p)) < BAND
        assert distance(draw(y), marginal(np.roll(p, 1) * 1.2)) > BAND
    for y in (0, 1):
        assert distance(draw(y), marginal(np.eye(WIDTH)[y])) < BAND


def test_missing_labels_that_were_not_expected_are_nan_in_a_compiled_divergence():
    """Never a number of another prior; `with_missing` is the prior that takes them."""
    context = Context(Batch(y=Y), DIRICHLET_Q)
    for missing in (None, False):
        prior = from_labels(missing=missing)
        kl = jax.jit(lambda p=prior: p.kl({}, DIRICHLET_Q, context))()
        np.testing.assert_array_equal(np.isnan(kl), np.asarray(Y) < 0)
        known = from_labels().kl({}, DIRICHLET_Q, context)
        np.testing.assert_allclose(kl[Y >= 0], known[Y >= 0], rtol=1e-6)
    assert from_labels(missing=None).with_missing() == from_labels()
    assert from_labels().with_missing is None


def test_from_labels_refuses():
    context = Context(Batch(), DIRICHLET_Q)
    for function in (
        lambda: from_labels().log_prob({}, log_z(), context),
        lambda: from_labels().kl({}, DIRICHLET_Q, context),
    ):
        with pytest.raises(ValueError, match="y must hold the labels that the prior is made from"):
            function()
    with pytest.raises(
        ValueError, match="frequencies must have one number for each of 3 categories"
    ):
        from_labels(frequencies=[1.0, 2.0]).log_prob({}, log_z(), Context(Batch(y=Y), DIRICHLET_Q))
    for options, message in (
        ({"smoothness": 0.0}, "smoothness must be"),
        ({"total_concentration": -1.0}, "total_concentration must be"),
        ({"frequencies": "even"}, "frequencies must be one of 'learned', got 'even'"),
        ({"frequencies": [1.0, 0.0]}, "frequencies must be finite and above 0"),
        ({"frequencies": [[1.0]]}, r"frequencies must have the shape \[K\]"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            from_labels(**options)


# --- learned


def test_learned_starts_where_its_prior_is():
    """Its divergence has the slopes of its parameters, and none of the start."""
    context = Context(Batch(), DIRICHLET_Q)
    prior = learned(symmetric(0.3))
    own = prior.init(KEY, context)
    np.testing.assert_allclose(own["log_concentration"], np.log(np.full(WIDTH, 0.3)), rtol=1e-6)
    np.testing.assert_allclose(
        prior.kl(own, DIRICHLET_Q, context), symmetric(0.3).kl({}, DIRICHLET_Q, context), rtol=1e-5
    )
    moved = {"log_concentration": jnp.array([0.5, -1.0, 0.2])}
    p = np.exp([0.5, -1.0, 0.2])
    np.testing.assert_allclose(
        prior.kl(moved, DIRICHLET_Q, context), dirichlet_kl(DIRICHLET_Q, p), rtol=1e-5
    )
    slope = jax.grad(lambda own: prior.kl(own, DIRICHLET_Q, context).sum())(moved)
    step = np.array([0, 1e-5, 0])
    exact = dirichlet_kl(DIRICHLET_Q, p * np.exp(step)) - dirichlet_kl(
        DIRICHLET_Q, p * np.exp(-step)
    )
    np.testing.assert_allclose(slope["log_concentration"][1], exact.sum() / 2e-5, rtol=1e-4)
    z = np.exp(wide(prior.sample(moved, KEY, Context(Batch(), many(DIRICHLET_Q)))))
    assert distance(z[:, 1], stats.beta(p[1], p.sum() - p[1]).cdf) < BAND

    prior, context = learned(standard_normal(4.0)), Context(Batch(), NORMAL_Q)
    own = prior.init(KEY, context)
    np.testing.assert_allclose(own["loc"], np.zeros(WIDTH))
    np.testing.assert_allclose(own["log_scale"], np.full(WIDTH, np.log(2)), rtol=1e-6)
    u = jax.random.normal(KEY, (2, ROWS, WIDTH))
    moved = {"loc": jnp.array([1.0, 0.0, -1.0]), "log_scale": jnp.log(jnp.array([1.0, 2.0, 0.5]))}
    exact = stats.norm([1, 0, -1], [1, 2, 0.5]).logpdf(wide(u)).sum(axis=-1)
    np.testing.assert_allclose(prior.log_prob(moved, u, context), exact, rtol=1e-5)


def test_learned_refuses():
    for bad in (from_labels(), mixture(normal), product(a=symmetric(), b=symmetric())):
        with pytest.raises(
            ValueError, match="prior must be in the family of its latent and not made"
        ):
            learned(bad)
    with pytest.raises(TypeError, match=r"prior must be a jaxvae\.priors\.Prior, got 'normal'"):
        learned("normal")


FAMILIES = {
    "normal": (normal, NORMAL_Q),
    "dirichlet": (dirichlet, DIRICHLET_Q),
    "concrete": (concrete(0.5), Logits(NORMAL_Q.loc)),
    "stick_breaking": (stick_breaking, Kumaraswamy(DIRICHLET_Q[:, 1:], DIRICHLET_Q[:, :2])),
}


def direct_mixture(latent, components, u):
    """logsumexp in float64 over members that are evaluated one by one."""
    count = len(jax.tree.leaves(components)[0])
    each = [
        wide(latent.log_prob(jax.tree.map(lambda leaf, i=i: leaf[i], components), u))
        for i in range(count)
    ]
    return special.logsumexp(each, axis=0) - np.log(count)


@pytest.mark.parametrize("name", FAMILIES)
def test_mixture_of_members(name):
    """Any family: density to 1e-5; the draws' shares of the members; slopes for each member."""
    latent, q = FAMILIES[name]
    prior, context = mixture(latent, 4, of="members"), Context(Batch(), q)
    assert prior.kl is None
    own = prior.init(KEY, context)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(own)} == {4}
    parameters = {n.removeprefix("log_"): jnp.exp(v) if n.startswith("log_") else v
                  for n, v in own.items()}  # fmt: skip
    components = type(q)(**parameters)
    u = jnp.stack([latent.sample(jax.random.key(i), q) for i in range(3)])
    found = jax.jit(prior.log_prob)(own, u, context)
    assert found.shape == (3, ROWS)
    np.testing.assert_allclose(found, direct_mixture(latent, components, u), rtol=1e-5, atol=1e-5)
    slopes = jax.grad(lambda own: prior.log_prob(own, u, context).sum())(own)
    for leaf in jax.tree.leaves(slopes):
        assert np.isfinite(leaf).all()
        assert (leaf != 0).any(axis=1).all()
    # The mixture's draws are as likely, in the mean, as those of its members in equal shares.
    rows = 20_000
    drawn = prior.sample(own, KEY, Context(Batch(), many(q, rows)))
    repeated = jax.tree.map(lambda leaf: jnp.repeat(leaf, rows // 4, axis=0), components)
    direct = latent.sample(jax.random.key(1), repeated)
    means = [wide(prior.log_prob(own, v[None], Context(Batch(), q)))[0] for v in (drawn, direct)]
    error = np.hypot(*(v.std() for v in means)) / rows**0.5
    assert abs(means[0].mean() - means[1].mean()) < 5 * error  # a right one fails once in 1.7e6


def test_draws_of_a_mixture_follow_its_distribution_function():
    prior = mixture(normal, 3, of="members")
    own = {
        "loc": jnp.array([[-2.0], [0.0], [3.0]]),
        "log_scale": jnp.log(jnp.array([[0.5], [1.0], [0.2]])),
    }
    q = Normal(*[jax.ShapeDtypeStruct((DRAWS, 1), jnp.float32)] * 2)
    u = wide(prior.sample(own, KEY, Context(Batch(), q)))[:, 0]

    def cdf(t):
        return stats.norm([-2, 0, 3], [0.5, 1, 0.2]).cdf(t[:, None]).mean(axis=1)

    assert distance(u, cdf) < BAND
    assert distance(u, lambda t: cdf(t - 0.1)) > BAND


def vamp_network():
    def init(key, x):
        return {"encoder": {"w": 0.3 * jax.random.normal(key, (x.shape[1], 2))}}

    def encode(params, x):
        loc = x @ params["encoder"]["w"]
        return loc, jnp.exp(0.1 * loc) * 0.5

    return Network(
        init, encode, lambda params, z: jnp.concatenate([z, z], axis=1), latent_shape=(2,)
    )


def test_mixture_of_posteriors_is_that_of_its_pseudo_inputs():
    """The VampPrior: what the encoder makes of the learned pseudo-inputs, which have x's shape."""
    vae = bind(vamp_network(), normal, mixture(normal, 5), normal_likelihood())
    x = jax.random.uniform(KEY, (ROWS, 4))
    params = vae.init(KEY, x)
    pseudo = params["prior"]["pseudo_inputs"]
    assert pseudo.shape == (5, 4)
    components = Normal(*vae.encode(params, pseudo))
    terms = vae.terms(params, KEY, Batch(x), draws=3)
    assert terms.kl["z"] is None
    q = Normal(*vae.encode(params, x))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(ROWS))
    for k in range(3):
        own = jax.vmap(jax.random.fold_in, (0, None))(keys, k)
        u = jax.vmap(normal.sample)(own, q)
        np.testing.assert_allclose(
            terms.log_pz["z"][k], direct_mixture(normal, components, u), rtol=1e-5
        )
    slopes = jax.grad(lambda p: vae.loss(p, KEY, Batch(x), 0)[0])(params)
    assert (slopes["prior"]["pseudo_inputs"] != 0).any(axis=1).all()
    z = vae.sample_prior(params, KEY, 50_000)
    assert z.shape == (50_000, 2)
    exact = wide(components.loc).mean(axis=0)  # within 5 standard errors: once in 900,000
    assert (np.abs(wide(z).mean(axis=0) - exact) < 5 * wide(z).std(axis=0) / 50_000**0.5).all()


def test_mixture_refuses():
    for options, message in (
        ({"components": 0}, "components must be at least 1, got 0"),
        ({"of": "inputs"}, "of must be one of 'posteriors', 'members', got 'inputs'"),
    ):
        with pytest.raises(ValueError, match=message):
            mixture(normal, **options)
    prior, context = mixture(normal, 2), Context(Batch(), NORMAL_Q)
    with pytest.raises(ValueError, match="a mixture of posteriors needs the encoder, got none"):
        prior.log_prob({"pseudo_inputs": jnp.ones((2, 4))}, NORMAL_Q.loc[None], context)
    with pytest.raises(TypeError, match=r"latent must be a jaxvae\.latents\.Latent"):
        mixture("normal")


# --- a product, and priors of one's own


def test_product_is_its_parts_by_name():
    prior = product(category=learned(symmetric()), style=standard_normal())
    q = {"category": DIRICHLET_Q, "style": NORMAL_Q}
    context = Context(Batch(), q)
    own = prior.init(KEY, context)
    assert list(own) == ["category"]  # the other has none
    u = {"category": log_z(2), "style": jax.random.normal(KEY, (2, ROWS, WIDTH))}
    found = prior.log_prob(own, u, context)
    expected = symmetric().log_prob({}, u["category"], Context(Batch(), DIRICHLET_Q))
    np.testing.assert_allclose(found["category"], expected, rtol=1e-5, atol=1e-6)
    expected = standard_normal().log_prob({}, u["style"], Context(Batch(), NORMAL_Q))
    np.testing.assert_allclose(found["style"], expected, rtol=1e-6)
    drawn = prior.sample(own, KEY, Context(Batch(), many(q)))
    assert distance(np.exp(wide(drawn["category"]))[:, 0], stats.beta(1, 2).cdf) < BAND
    assert distance(wide(drawn["style"])[:, 0], stats.norm.cdf) < BAND
    both = np.column_stack([drawn["category"], drawn["style"]])
    assert np.abs(np.corrcoef(both.T)[:3, 3:]).max() < 6 / DRAWS**0.5
    two = product(a=standard_normal(), b=standard_normal())
    twice = two.sample({}, KEY, Context(Batch(), {"a": many(NORMAL_Q), "b": many(NORMAL_Q)}))
    assert abs(np.corrcoef(twice["a"][:, 0], twice["b"][:, 0])[0, 1]) < 6 / DRAWS**0.5
    assert not prior.uses_labels
    assert product(a=from_labels(), b=symmetric()).uses_labels


def test_product_of_labels_and_a_mixture_of_posteriors():
    """A part's encoder is its own, and a part's own parameters go to it."""
    network = Network(
        lambda key, x: {"encoder": {"w": jax.random.normal(key, (x.shape[1], 2))}},
        lambda p, x: {"a": jnp.exp(x[:, :3]), "b": (x @ p["encoder"]["w"], jnp.ones((len(x), 2)))},
        lambda p, z: jnp.concatenate([z["a"], z["b"]], axis=1),
    )
    prior = product(a=from_labels(frequencies="learned"), b=mixture(normal, 4))
    vae = bind(network, product_latent(a=dirichlet, b=normal), prior, normal_likelihood())
    x = jax.random.uniform(KEY, (4, 5))
    params = vae.init(KEY, x)
    assert set(params["prior"]) == {"a", "b"}
    batch = Batch(x, jnp.array([0, -1, 2, -1]))
    (loss, terms), slopes = jax.value_and_grad(vae.loss, has_aux=True)(params, KEY, batch, 0)
    assert np.isfinite(loss)
    np.testing.assert_allclose(terms.kl, terms.more["kl_a"] + terms.more["kl_b"], rtol=1e-6)
    closed = dirichlet_kl(
        np.exp(wide(x[:, :3])), label_concentration(np.array([0, 0, 2, 2]), 0.5, 8.0)
    )
    np.testing.assert_allclose(terms.more["kl_a"][::2], closed[::2], rtol=1e-4)
    for leaf in jax.tree.leaves(slopes["prior"]):
        assert np.isfinite(leaf).all()
        assert (leaf != 0).any()
    z = vae.sample_prior(params, KEY, {"a": (7, 3), "b": (7, 2)})
    assert z["a"].shape == (7, 3)
    assert z["b"].shape == (7, 2)


def test_product_refuses():
    with pytest.raises(ValueError, match=r"priors must be at least two by name, got \['a'\]"):
        product(a=symmetric())
    with pytest.raises(TypeError, match=r"a must be a jaxvae\.priors\.Prior"):
        product(a="flat", b=symmetric())
    with pytest.raises(ValueError, match="a must be the prior of a single latent, got a product"):
        product(a=product(a=symmetric(), b=symmetric()), b=symmetric())


def test_in_family_may_look_at_conditions_and_have_parameters():
    """A Normal whose mean is a learned multiple of the condition."""
    prior = in_family(
        normal,
        lambda own, context: (own["slope"] * context.batch.condition, jnp.ones(WIDTH)),
        lambda key, context: {"slope": jnp.float32(2.0)},
    )
    condition = jax.random.normal(KEY, (ROWS, WIDTH))
    context = Context(Batch(condition=condition), NORMAL_Q)
    own = prior.init(KEY, context)
    u = jax.random.normal(KEY, (2, ROWS, WIDTH))
    exact = stats.norm(2 * wide(condition), 1).logpdf(wide(u)).sum(axis=-1)
    np.testing.assert_allclose(prior.log_prob(own, u, context), exact, rtol=1e-5)
    loc, scale = map(wide, NORMAL_Q)
    exact = 0.5 * ((loc - 2 * wide(condition)) ** 2 + scale**2 - 1 - 2 * np.log(scale)).sum(axis=-1)
    np.testing.assert_allclose(prior.kl(own, NORMAL_Q, context), exact, rtol=1e-5)
    slope = jax.grad(lambda own: prior.kl(own, NORMAL_Q, context).sum())(own)["slope"]
    exact = -((loc - 2 * wide(condition)) * wide(condition)).sum()
    np.testing.assert_allclose(slope, exact, rtol=1e-4)
    assert prior.sample(own, KEY, context).shape == (ROWS, WIDTH)


def test_in_family_without_a_closed_divergence():
    prior = in_family(concrete(0.5), lambda own, context: jnp.zeros(WIDTH))
    assert prior.kl is None
    q = Logits(NORMAL_Q.loc)
    u = jnp.stack([concrete(0.5).sample(KEY, q)])
    found = prior.log_prob({}, u, Context(Batch(), q))
    expected = concrete(0.5).log_prob(Logits(jnp.zeros((ROWS, WIDTH))), u)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_in_family_refuses():
    with pytest.raises(
        ValueError, match=r"prior must give parameters of the shape \(6, 3\) or \(3,\)"
    ):
        in_family(dirichlet, lambda own, context: jnp.ones(4)).kl(
            {}, DIRICHLET_Q, Context(Batch(), DIRICHLET_Q)
        )
    for arguments, message in (
        (("normal", len), "latent must be a jaxvae.latents.Latent"),
        ((normal, 1.0), "parameters must be a function"),
        ((normal, len, 1.0), "init must be a function"),
    ):
        with pytest.raises(TypeError, match=message):
            in_family(*arguments)
    for make, message in (
        (lambda: standard_normal(0.0), "variance must be finite and above 0"),
        (lambda: symmetric(-1.0), "concentration must be finite and above 0"),
        (lambda: symmetric("flat"), "concentration must be a number"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            make()
