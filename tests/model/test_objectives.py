"""Objectives against models whose evidence has a closed form, and what gradients they have.

Every statistical test has a fixed key and states how often it would fail a right estimator.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from jaxvae import Batch, bind
from jaxvae.latents import Dirichlet, dirichlet, normal
from jaxvae.latents import product as product_latent
from jaxvae.likelihoods import multinomial
from jaxvae.likelihoods import normal as normal_likelihood
from jaxvae.model import vae as vae_module
from jaxvae.model.evaluation import marginal_nll
from jaxvae.networks import Network
from jaxvae.objectives import Terms, elbo, iwae, log_weight
from jaxvae.priors import product as product_prior
from jaxvae.priors import standard_normal, symmetric

KEY = jax.random.key(0)
ROWS, WIDTH, LATENT, SIGMA = 8, 32, 2, 0.7

# --- probabilistic PCA: z ~ N(0, I), x | z ~ N(w z, sigma^2 I), w with orthogonal columns


def loadings():
    random = np.random.default_rng(0).normal(size=(WIDTH, LATENT))
    return np.linalg.qr(random)[0] * [2.0, 0.8]


W = loadings()
X = np.random.default_rng(1).multivariate_normal(
    np.zeros(WIDTH), W @ W.T + SIGMA**2 * np.eye(WIDTH), ROWS
)
EVIDENCE = stats.multivariate_normal(np.zeros(WIDTH), W @ W.T + SIGMA**2 * np.eye(WIDTH)).logpdf(X)
VARIANCE = 1 / (1 + (W**2).sum(axis=0) / SIGMA**2)  # of the exact posterior


def pca_init(key, x):
    return {
        "encoder": {
            "w": jnp.asarray(W * VARIANCE / SIGMA**2, jnp.float32),
            "scale": jnp.asarray(VARIANCE**0.5, jnp.float32),
        },
        "decoder": {"w": jnp.asarray(W, jnp.float32)},
    }


def pca_encode(params, x):
    loc = x @ params["encoder"]["w"]
    return loc, jnp.broadcast_to(params["encoder"]["scale"], loc.shape)


def pca_decode(params, z):
    return z @ params["decoder"]["w"].T


PCA = Network(pca_init, pca_encode, pca_decode)
BATCH = Batch(jnp.asarray(X, jnp.float32))


def pca(objective=None):
    return bind(PCA, normal, standard_normal(), normal_likelihood(SIGMA), objective)


def exact_pca():
    return pca_init(None, None)


def widened_pca(by=1.6):
    """A posterior that is not the exact one: wider, and a little beside it."""
    params = exact_pca()
    encoder = {"w": 0.9 * params["encoder"]["w"], "scale": by * params["encoder"]["scale"]}
    return {**params, "encoder": encoder}


def gap():
    """KL of the widened posterior from the exact one, by example."""
    loc, exact = X @ (0.9 * W * VARIANCE / SIGMA**2), X @ (W * VARIANCE / SIGMA**2)
    ratio = 1.6**2
    return 0.5 * ((loc - exact) ** 2 / VARIANCE + ratio - 1 - np.log(ratio)).sum(axis=1)


# --- a Dirichlet and counts: z ~ Dirichlet(a), x | z ~ Multinomial(total, z)

CONCENTRATION = 0.7
COUNTS = np.random.default_rng(2).multinomial(12, [0.5, 0.2, 0.2, 0.1], ROWS).astype(np.float64)
COUNTS_BATCH = Batch(jnp.asarray(COUNTS, jnp.float32))


def counts_init(key, x):
    return {"encoder": {"more": jnp.full(4, CONCENTRATION)}, "decoder": {}}


def counts_encode(params, x):
    return x + jnp.broadcast_to(params["encoder"]["more"], x.shape)


def itself(params, z):
    return z


def counts(objective=None):
    network = Network(counts_init, counts_encode, itself)
    return bind(
        network, dirichlet, symmetric(CONCENTRATION), multinomial(of="probabilities"), objective
    )


@pytest.mark.parametrize("draws", [1, 7])
def test_each_weight_of_the_linear_normal_model_is_the_evidence(draws):
    """At the exact posterior all draws say the same; 1e-4 relative, 2e-6 measured."""
    terms = pca().terms(exact_pca(), KEY, BATCH, draws=draws)
    weights = log_weight(terms)
    assert weights.shape == (draws, ROWS)
    np.testing.assert_allclose(weights, np.tile(EVIDENCE, (draws, 1)), rtol=1e-4)
    wrong = log_weight(pca().terms(widened_pca(), KEY, BATCH, draws=draws))
    assert not np.allclose(wrong, EVIDENCE[None], rtol=1e-2)


def test_marginal_nll_is_the_closed_form():
    """1e-4 relative with 3 draws at the exact posterior; with 20,000 at another, 1e-3.

    The weights of the posterior that is too wide vary: their mean has a relative standard error of
    1e-2, an error of 1e-4 to 2e-4 in each of the eight numbers.
    """
    found = marginal_nll(KEY, pca(), exact_pca(), X, draws=3)
    np.testing.assert_allclose(found, -EVIDENCE, rtol=1e-4)
    found = marginal_nll(KEY, pca(), widened_pca(), X, draws=20_000, draws_per_call=5000)
    np.testing.assert_allclose(found, -EVIDENCE, rtol=1e-3)
    exact = stats.dirichlet_multinomial(np.full(4, CONCENTRATION), 12).logpmf(COUNTS)
    found = marginal_nll(KEY, counts(), counts_init(None, None), COUNTS, draws=1)
    np.testing.assert_allclose(found, -exact, rtol=1e-4)


@pytest.mark.parametrize("objective", [elbo(gradient="stl"), iwae(1), iwae(5), iwae(5, "dreg")])
def test_bounds_of_the_linear_normal_model_are_tight(objective):
    """By the draws' weights, which are all the evidence: 1e-4 relative."""
    loss, _ = pca(objective).loss(exact_pca(), KEY, BATCH, 0)
    np.testing.assert_allclose(loss, -EVIDENCE.mean(), rtol=1e-4)


def test_elbo_of_the_linear_normal_model_is_the_evidence():
    """With the KL in closed form the reconstruction is still by draws: 1e-4 relative.

    The mean of 8 x 125,000 draws has a standard error of 1.6e-5 of it: a right one fails once in
    1e9. At another posterior the bound is lower by the KL between the two, to the same accuracy.
    """
    loss = jax.jit(lambda params: pca(elbo(draws=125_000)).loss(params, KEY, BATCH)[0])
    np.testing.assert_allclose(loss(exact_pca()), -EVIDENCE.mean(), rtol=1e-4)
    np.testing.assert_allclose(loss(widened_pca()), (gap() - EVIDENCE).mean(), rtol=1e-4)


@pytest.mark.parametrize("draws", [1, 4])
def test_each_weight_of_the_dirichlet_multinomial_is_its_probability(draws):
    """With one draw too: 1e-4 relative, 3e-6 measured. So then are ELBO and IWAE bound."""
    exact = stats.dirichlet_multinomial(np.full(4, CONCENTRATION), 12).logpmf(COUNTS)
    params = counts_init(None, None)
    weights = log_weight(counts().terms(params, KEY, COUNTS_BATCH, draws=draws))
    np.testing.assert_allclose(weights, np.tile(exact, (draws, 1)), rtol=1e-4)
    for objective in (elbo(gradient="stl", draws=draws), iwae(draws)):
        loss, _ = counts(objective).loss(params, KEY, COUNTS_BATCH, 0)
        np.testing.assert_allclose(loss, -exact.mean(), rtol=1e-4)
    wrong = {**params, "encoder": {"more": jnp.full(4, 1.1)}}
    assert not np.allclose(log_weight(counts().terms(wrong, KEY, COUNTS_BATCH)), exact[None])


def test_iwae_does_not_fall_with_draws():
    """On a posterior that is too wide; 200,000 draws for each of five k, 1e6 in all.

    Independent keys. Each bound is within 5 standard errors where it has a closed form (k = 1), no
    bound is below the one before by 5, none is above the evidence by 5: 9 comparisons, of which a
    right one fails once in 400,000.
    """
    params, found = widened_pca(), []
    for i, k in enumerate((1, 2, 8, 32, 128)):
        vae, repeats = pca(iwae(k)), 25_000 // k

        @jax.jit
        def bounds(keys, vae=vae):
            return jax.vmap(lambda key: -vae.loss(params, key, BATCH)[0])(keys)

        each = np.asarray(bounds(jax.random.split(jax.random.key(10 + i), repeats)), np.float64)
        found.append((each.mean(), each.std() / repeats**0.5))
    means, errors = np.array(found).T
    assert abs(means[0] - (EVIDENCE - gap()).mean()) < 5 * errors[0]
    assert (np.diff(means) > -5 * np.hypot(errors[1:], errors[:-1])).all()
    assert (means < EVIDENCE.mean() + 5 * errors).all()
    assert means[-1] - means[0] > 20 * errors.max(), "the bounds do not differ: says nothing"


# --- gradients


def encoder_gradient(vae, params, key, batch):
    return jax.grad(lambda p: vae.loss(p, key, batch, 0)[0])(params)["encoder"]


def largest(tree):
    return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("draws", [1, 3])
def test_sticking_the_landing_is_still_at_the_exact_posterior(draws):
    """Zero to 1e-5 for each draw; the plain gradient is not."""
    stl = elbo(gradient="stl", draws=draws)
    gradient = jax.jit(jax.vmap(encoder_gradient, (None, None, 0, None)), static_argnums=0)
    keys = jax.random.split(KEY, 5)
    assert largest(gradient(pca(stl), exact_pca(), keys, BATCH)) < 1e-5
    assert largest(gradient(counts(stl), counts_init(None, None), keys, COUNTS_BATCH)) < 1e-5
    assert largest(gradient(pca(elbo(draws=draws)), exact_pca(), keys, BATCH)) > 1e-2
    assert largest(gradient(pca(stl), widened_pca(), keys, BATCH)) > 1e-2


def test_the_landing_is_left_alone_in_evaluation():
    """Without a step the loss has the closed KL, and the gradient that goes with it."""
    stl, plain = pca(elbo(gradient="stl")), pca(elbo())
    both = [jax.value_and_grad(lambda p, v=v: v.loss(p, KEY, BATCH)[0])(widened_pca())
            for v in (stl, plain)]  # fmt: skip
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *both)


MODELS = {
    "normal": (pca, widened_pca(), BATCH, ("w", "scale")),
    "dirichlet": (
        counts,
        {"encoder": {"more": jnp.full(4, 1.2)}, "decoder": {}},
        COUNTS_BATCH,
        ("more",),
    ),
}


def gradients(name, objective, repeats=4000):
    """The encoder's gradient for each of many keys, a row each."""
    make, params, batch, names = MODELS[name]
    vae = make(objective)
    keys = jax.random.split(jax.random.key(3), repeats)
    every = jax.jit(jax.vmap(lambda key: encoder_gradient(vae, params, key, batch)))(keys)
    flat = [np.asarray(every[n], np.float64).reshape(repeats, -1) for n in names]
    return np.concatenate(flat, axis=1)


def disagreement(a, b):
    """The mean difference of paired estimates, in its standard errors: the largest component."""
    difference = a - b
    return np.abs(difference.mean(axis=0) / (difference.std(axis=0) / len(a) ** 0.5)).max()


plain_gradients = functools.cache(lambda name: gradients(name, iwae(4)))


@pytest.mark.parametrize("name", MODELS)
def test_dreg_has_the_mean_of_the_plain_gradient_at_a_lower_variance(name):
    """Within 5 standard errors in each of up to 66 components: a right one fails once in 26,000.

    Its twin below squares no weight, and is seen.
    """
    plain, dreg = plain_gradients(name), gradients(name, iwae(4, "dreg"))
    assert disagreement(plain, dreg) < 5
    assert dreg.var(axis=0).sum() < 0.7 * plain.var(axis=0).sum()


@pytest.mark.parametrize(("name", "power"), [("normal", 0), ("normal", 2), ("dirichlet", 0)])
def test_a_broken_dreg_is_seen(monkeypatch, name, power):
    """The path weighed by w^0 or w^2 in place of w: by 8 standard errors and more."""
    broken = lambda u, path: scaled_path(u, path**power)  # noqa: E731
    monkeypatch.setattr(vae_module, "scaled_path", broken)
    assert disagreement(plain_gradients(name), gradients(name, iwae(4, "dreg"))) > 8


scaled_path = vae_module.scaled_path


def test_dreg_leaves_the_decoder_and_the_value_alone():
    params = widened_pca()

    def both(objective):
        loss = lambda p: pca(objective).loss(p, KEY, BATCH, 0)[0]  # noqa: E731
        value, gradient = jax.value_and_grad(loss)(params)
        return value, gradient["decoder"]

    plain, dreg = both(iwae(8)), both(iwae(8, "dreg"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), plain, dreg)


@pytest.mark.parametrize("name", MODELS)
def test_sticking_the_landing_has_the_mean_of_the_plain_gradient(name):
    """Within 5 standard errors in each component: a right one fails once in 26,000."""
    plain, stl = gradients(name, elbo()), gradients(name, elbo(gradient="stl"))
    assert disagreement(plain, stl) < 5
    assert largest(stl.std(axis=0)) > 0
    assert disagreement(plain, 1.3 * stl) > 5  # it could fail


def test_dreg_with_one_draw_is_sticking_the_landing():
    """The only draw has the weight 1."""
    a, b = (gradients("normal", objective, 5) for objective in
            (iwae(1, "dreg"), elbo(gradient="stl")))  # fmt: skip
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# --- the arithmetic of the objectives, on terms made by hand

LOG_PX = jnp.array([[-10.0, -20.0, -30.0], [-14.0, -22.0, -36.0]])
LOG_PZ = {"a": jnp.array([[-1.0, -2.0, -3.0], [-3.0, -2.0, -1.0]]), "b": jnp.full((2, 3), -1.5)}
LOG_QZ = {"a": jnp.array([[-0.5, -1.0, -1.0], [-1.5, 0.0, 1.0]]), "b": jnp.full((2, 3), -1.0)}
KL = {"a": jnp.array([0.2, 1.0, 2.0]), "b": None}
TERMS = Terms(LOG_PX, LOG_PZ, LOG_QZ, KL)
RECONSTRUCTION = np.array([12.0, 21.0, 33.0])
KL_A, KL_B = np.array([0.2, 1.0, 2.0]), np.array([0.5, 0.5, 0.5])


def loss_of(objective, step=None):
    loss, more = objective.loss(TERMS, step)
    return np.asarray(loss), {name: np.asarray(value) for name, value in more.items()}


def test_elbo_is_reconstruction_and_kl():
    loss, more = loss_of(elbo(draws=2))
    np.testing.assert_allclose(loss, RECONSTRUCTION + KL_A + KL_B, rtol=1e-6)
    assert more == {}
    loss, _ = loss_of(elbo(0.5))
    np.testing.assert_allclose(loss, RECONSTRUCTION + 0.5 * (KL_A + KL_B), rtol=1e-6)
    loss, _ = loss_of(elbo(0.0))
    np.testing.assert_allclose(loss, RECONSTRUCTION, rtol=1e-6)


def test_stl_takes_the_kl_by_the_draws_in_training_alone():
    by_draws = np.array([(0.5 + 1.5) / 2, (1 + 2) / 2, (2 + 2) / 2])
    stl = elbo(gradient="stl")
    np.testing.assert_allclose(loss_of(stl, 0)[0], RECONSTRUCTION + by_draws + KL_B, rtol=1e-6)
    np.testing.assert_allclose(loss_of(stl)[0], RECONSTRUCTION + KL_A + KL_B, rtol=1e-6)


def test_free_bits_are_by_example_and_part_and_in_training_alone():
    objective = elbo(2.0, free_bits=0.7)
    expected = RECONSTRUCTION + 2 * (np.maximum(KL_A, 0.7) + np.maximum(KL_B, 0.7))
    np.testing.assert_allclose(loss_of(objective, 3)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(loss_of(objective)[0], RECONSTRUCTION + 2 * (KL_A + KL_B), rtol=1e-6)
    slope = jax.grad(lambda kl: objective.loss(TERMS._replace(kl={**KL, "a": kl}), 3)[0].sum())
    np.testing.assert_allclose(slope(KL["a"]), [0, 2, 2])


def test_schedules_go_by_the_step_and_count_one_without():
    objective = elbo(optax.linear_schedule(0.0, 2.0, 10))
    for step, weight in ((0, 0.0), (5, 1.0), (10, 2.0), (None, 1.0)):
        loss, more = loss_of(objective, step)
        np.testing.assert_allclose(loss, RECONSTRUCTION + weight * (KL_A + KL_B), rtol=1e-6)
        np.testing.assert_allclose(more["kl_weight"], np.full(3, weight), rtol=1e-6)
    traced = jax.jit(lambda step: objective.loss(TERMS, step)[0])(jnp.int32(5))
    np.testing.assert_allclose(traced, RECONSTRUCTION + KL_A + KL_B, rtol=1e-6)


def test_weights_by_part():
    objective = elbo({"a": 3.0})  # b is not named: 1
    np.testing.assert_allclose(loss_of(objective)[0], RECONSTRUCTION + 3 * KL_A + KL_B, rtol=1e-6)
    objective = elbo({"a": 0.5, "b": optax.linear_schedule(0.0, 1.0, 4)})
    loss, more = loss_of(objective, 1)
    np.testing.assert_allclose(loss, RECONSTRUCTION + 0.5 * KL_A + 0.25 * KL_B, rtol=1e-6)
    np.testing.assert_allclose(more["kl_weight_b"], np.full(3, 0.25))
    assert objective.parts == ("a", "b")


def test_iwae_is_the_log_mean_of_the_weights():
    weights = np.float64(LOG_PX) + sum(np.float64(LOG_PZ[p]) - np.float64(LOG_QZ[p]) for p in KL)
    np.testing.assert_allclose(log_weight(TERMS), weights, rtol=1e-6)
    exact = -np.log(np.exp(weights).mean(axis=0))
    np.testing.assert_allclose(loss_of(iwae(2))[0], exact, rtol=1e-6)
    far = TERMS._replace(log_px=LOG_PX - 1e6)
    assert np.isfinite(iwae(2).loss(far, None)[0]).all()


def test_draws_follow_from_their_numbers():
    """Draw 3 of five is the first of those from 3 on: a long sum can be taken in pieces."""
    vae = pca()
    whole = vae.terms(widened_pca(), KEY, BATCH, draws=5)
    piece = vae.terms(widened_pca(), KEY, BATCH, draws=2, first=3)
    np.testing.assert_allclose(piece.log_px, whole.log_px[3:], rtol=1e-6)
    assert len({float(v) for v in whole.log_px[:, 0]}) == 5


def test_loss_of_a_product_reports_its_parts():
    network = Network(
        lambda key, x: {},
        lambda params, x: {"a": x + 0.5, "b": (x, jnp.ones_like(x))},
        lambda params, z: z["a"] + z["b"],
    )
    vae = bind(
        network,
        product_latent(a=dirichlet, b=normal),
        product_prior(a=symmetric(), b=standard_normal()),
        normal_likelihood(),
        elbo({"a": 2.0}, free_bits=0.1, draws=3),
    )
    batch = Batch(jax.random.uniform(KEY, (4, 3)))
    loss, terms = vae.loss({}, KEY, batch)
    assert set(terms.more) >= {"kl_a", "kl_b"}
    np.testing.assert_allclose(terms.kl, terms.more["kl_a"] + terms.more["kl_b"], rtol=1e-6)
    each = terms.reconstruction + 2 * terms.more["kl_a"] + terms.more["kl_b"]
    np.testing.assert_allclose(loss, each.mean(), rtol=1e-6)
    closed = dirichlet.kl(Dirichlet(batch.x + 0.5), Dirichlet(jnp.ones(3)))
    np.testing.assert_allclose(terms.more["kl_a"], closed, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: elbo(-1.0), "kl_weight must be"),
        (lambda: elbo(np.nan), "kl_weight must be"),
        (lambda: elbo("one"), "kl_weight must be"),
        (lambda: elbo({"a": -1}), r"kl_weight\['a'\] must be"),
        (lambda: elbo(free_bits=-1), "free_bits must be"),
        (lambda: elbo(draws=0), "draws must be"),
        (lambda: elbo(draws=1.5), "draws must be"),
        (lambda: elbo(gradient="dreg"), "gradient must be one of 'pathwise', 'stl', got 'dreg'"),
        (lambda: iwae(0), "draws must be"),
        (lambda: iwae(3, "stl"), "gradient must be one of 'pathwise', 'dreg', got 'stl'"),
    ],
)
def test_refusals_name_the_argument(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
