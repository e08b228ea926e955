"""Parts of a user's own: what they read, what they return, and what is drawn from them."""

import inspect
import pickle
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import (
    Batch,
    bind,
    evaluation,
    latents,
    likelihoods,
    networks,
    objectives,
    priors,
    transforms,
)
from jaxvae.model.values import Same, frozen

KEY = jax.random.key(0)
X = np.random.default_rng(0).random((40, 8)).astype(np.float32)
NETWORK = jaxvae.dense_normal_network(8, 2, layers=1, hidden_units=8)
SIMPLEX = jaxvae.dense_dirichlet_network(8, 5, layers=1, hidden_units=8)
OPTIONS = {"batch_size": 20, "epochs": 1}
NUMBER = 1.0
SETTINGS = {"number": 1.0}


def bound(network=NETWORK, latent=latents.normal, prior=None, objective=None):
    prior = priors.standard_normal() if prior is None else prior
    return bind(network, latent, prior, likelihoods.normal(1.0), objective)


# --- globals that a function reads


def helper(step):
    return NUMBER * step


def through_helper(step):
    return helper(step)


def calls_itself(step):
    return calls_itself(step - 1) * NUMBER if step > 5 else helper(step)


def of_settings(step):
    return SETTINGS["number"] * step


@pytest.mark.parametrize("function", [helper, through_helper, calls_itself])
def test_functions_that_read_other_globals_are_not_equal(monkeypatch, function):
    before = frozen(function)
    assert frozen(function) == before
    monkeypatch.setitem(globals(), "NUMBER", 2.0)
    assert frozen(function) != before
    monkeypatch.setitem(globals(), "NUMBER", 1.0)
    assert frozen(function) == before


def test_a_global_that_changes_inside_is_seen(monkeypatch):
    before = frozen(of_settings)
    monkeypatch.setitem(SETTINGS, "number", 2.0)
    assert frozen(of_settings) != before


def test_a_large_array_is_known_by_its_digest():
    large = np.zeros(100_000)
    key = frozen({"large": large})
    assert len(pickle.dumps(key)) < 2000
    assert key == frozen({"large": large.copy()})
    large[-1] = 1
    assert key != frozen({"large": large})


def test_a_function_inside_a_function_is_looked_at(monkeypatch):
    def outer():
        def inner(i):
            return NUMBER * i

        return inner(2)

    before = frozen(outer)
    monkeypatch.setitem(globals(), "NUMBER", 2.0)
    assert frozen(outer) != before


def test_a_loop_over_a_global_compiles_each_model(monkeypatch):
    found = []
    for number in (0.1, 10.0):
        monkeypatch.setitem(globals(), "NUMBER", number)
        prior = priors.in_family(latents.dirichlet, lambda own, context: jnp.full(5, NUMBER))
        vae = bound(SIMPLEX, latents.dirichlet, prior)
        params = vae.init(KEY, X[:1])
        found.append(jaxvae.evaluate(KEY, vae, params, X).kl)
        q = vae.encode(params, X)
        expected = float(np.mean(jaxvae.kl_dirichlet(jnp.asarray(q), jnp.full(5, number))))
        assert found[-1] == pytest.approx(expected, rel=1e-4)
    assert found[0] != pytest.approx(found[1], rel=0.1)


def test_an_optimizer_that_reads_another_global_is_another(monkeypatch):
    def made():
        return Same(optax.sgd(lambda step: NUMBER / (1 + step)))

    before = made()
    assert made() == before
    monkeypatch.setitem(globals(), "NUMBER", 2.0)
    assert made() != before


def test_a_weight_that_its_owner_changes_later_stays_what_it_was():
    weights = {"category": 1.0, "style": 1.0}
    first = objectives.elbo(kl_weight=weights)
    weights["style"] = 2.0
    assert first != objectives.elbo(kl_weight=weights)
    assert first == objectives.elbo(kl_weight={"category": 1.0, "style": 1.0})


# --- a latent whose `sample` is for one example, as it is promised

Direction = namedtuple("Direction", "direction spread")


def one_direction(key, q):
    assert q.direction.shape == (3,), "one example at a time"
    noise = jax.random.normal(key, (3,)) * q.spread
    return (q.direction + noise) / jnp.linalg.norm(q.direction + noise)


def wrap(outputs):
    length = jnp.linalg.norm(outputs[0], axis=-1, keepdims=True)
    return Direction(outputs[0] / length, outputs[1][..., :1])


SPHERE = latents.Latent(
    one_direction,
    lambda q, z: jnp.sum(q.direction * z, axis=-1),
    mean=lambda q: q.direction,
    wrap=wrap,
    support="sphere",
)
AROUND = jaxvae.dense_normal_network(8, 3, layers=1, hidden_units=8)


def pole(own, context):
    return jnp.array([0.0, 0.0, 1.0]), jnp.array([0.1])


@pytest.mark.parametrize("kind", ["in_family", "mixture"])
def test_a_prior_of_an_own_latent_draws_each_example_by_itself(kind):
    prior = priors.in_family(SPHERE, pole)
    if kind == "mixture":
        prior = priors.mixture(SPHERE, 4, of="posteriors")
    vae = bind(AROUND, SPHERE, prior, likelihoods.normal(1.0))
    params = vae.init(KEY, X[:1])
    z = np.asarray(vae.sample_prior(params, KEY, Batch(X)))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    assert len(np.unique(z.round(6), axis=0)) == len(X)
    again = np.asarray(vae.sample_prior(params, KEY, Batch(X)))
    np.testing.assert_array_equal(z, again)


def test_the_ready_made_latents_draw_all_at_once():
    product = latents.product(a=latents.normal, b=latents.dirichlet)
    ready = (latents.normal, latents.dirichlet, latents.logistic_normal, latents.stick_breaking)
    assert all(latent.batched for latent in (*ready, latents.concrete(0.5), product))
    assert not latents.product(a=latents.normal, b=SPHERE).batched


def test_a_latent_without_a_mean_is_named():
    bare = SPHERE._replace(mean=latents.Latent._field_defaults["mean"])
    vae = bind(AROUND, bare, priors.in_family(bare, pole), likelihoods.normal(1.0))
    params = vae.init(KEY, X[:1])
    with pytest.raises(TypeError, match=r"latent.mean must return z, an array .*got Direction"):
        jaxvae.encode_mean(vae, params, X)


# --- what functions return


def draw(own, key, context):
    return jax.random.normal(key, context.q.loc.shape)


def test_a_prior_that_sums_over_the_batch_is_refused():
    def made(axis):
        def log_prob(own, u, context):
            return -0.5 * jnp.sum(u**2 + jnp.log(2 * jnp.pi), axis=axis)

        return bound(prior=priors.Prior(lambda key, context: {}, log_prob, draw))

    _, history = jaxvae.fit(KEY, made(-1), X, **OPTIONS)
    assert np.isfinite(history.epochs[0].kl)
    with pytest.raises(ValueError, match=r"prior.log_prob must return a number for each of"):
        jaxvae.fit(KEY, made(None), X, **OPTIONS)


def test_a_likelihood_that_returns_an_array_is_refused():
    own = likelihoods.normal(1.0)._replace(
        log_prob=lambda own, decoded, x, example: -((x - decoded) ** 2)
    )
    vae = bind(NETWORK, latents.normal, priors.standard_normal(), own)
    with pytest.raises(ValueError, match=r"likelihood.log_prob must return a number for each of"):
        jaxvae.fit(KEY, vae, X, **OPTIONS)


def test_a_latent_density_and_a_divergence_are_looked_at():
    flat = SPHERE._replace(log_prob=lambda q, z: q.direction * z)
    prior = priors.Prior(
        lambda key, context: {},
        lambda own, z, context: jnp.zeros(z.shape[:-1]),
        lambda own, key, context: context.q.direction,
    )
    vae = bind(AROUND, flat, prior, likelihoods.normal(1.0))
    with pytest.raises(ValueError, match=r"latent.log_prob must return a number"):
        jaxvae.fit(KEY, vae, X, **OPTIONS)
    closed = priors.standard_normal()._replace(kl=lambda own, q, context: q.loc**2)
    with pytest.raises(ValueError, match=r"prior.kl must return a number"):
        jaxvae.fit(KEY, bound(prior=closed), X, **OPTIONS)


def test_an_objective_is_looked_at():
    def loss(terms, step):
        return jnp.mean(-terms.log_px), {}

    with pytest.raises(ValueError, match=r"objective.loss must return a number for each of"):
        jaxvae.fit(KEY, bound(objective=objectives.Objective(loss)), X, **OPTIONS)
    for wrong in ({"gradient": "DReG"}, {"draws": 0}):
        (name,) = wrong
        with pytest.raises((ValueError, TypeError), match=rf"objective.{name} must be"):
            bound(objective=objectives.Objective(loss, **wrong))


def test_parameters_that_are_no_dict_are_named():
    pair = jaxvae.Network(
        lambda key, x: (jnp.ones((8, 2)), jnp.ones((2, 8))),
        lambda params, x: (x @ params[0], jnp.ones((len(x), 2))),
        lambda params, z: z @ params[1],
    )
    with pytest.raises(TypeError, match=r"network.init must return a dict, got tuple"):
        bound(pair).init(KEY, X[:1])


# --- what a network's functions are told


@pytest.mark.parametrize("place", ["by name", "in third place"])
def test_training_is_no_batch(place):
    told = []

    def decode(params, z, training=None):
        told.append(training)
        return z @ params["w"].T

    def encode(params, x, *, training=None):
        assert isinstance(x, jax.Array | np.ndarray)
        return x @ params["w"], jnp.ones((len(x), 2))

    if place == "by name":
        first = decode

        def decode(params, z, *, training=None):
            return first(params, z, training)

    network = jaxvae.Network(lambda key, x: {"w": jax.random.normal(key, (8, 2))}, encode, decode)
    vae = bound(network)
    state, _ = jaxvae.fit(KEY, vae, X, **OPTIONS)
    assert any(isinstance(own, networks.Training) for own in told)
    assert all(own is None or isinstance(own, networks.Training) for own in told)
    told.clear()
    jaxvae.evaluate(KEY, vae, state.params, X)
    assert set(told) == {None}


# --- weights and masks


def test_a_weight_of_zero_takes_no_row_from_a_result():
    vae = jaxvae.normal_vae(NETWORK)
    params = vae.init(KEY, X[:1])
    batch = Batch(X, weight=np.arange(len(X)) % 3)
    plain = jaxvae.encode_mean(vae, params, X)
    np.testing.assert_array_equal(jaxvae.encode_mean(vae, params, batch), plain)
    for function in (jaxvae.reconstruct, jaxvae.marginal_nll, jaxvae.refine):
        more = {"draws": 2} if "draws" in inspect.signature(function).parameters else {"steps": 1}
        weighed = function(KEY, vae, params, batch, **more)
        jax.tree.map(np.testing.assert_array_equal, weighed, function(KEY, vae, params, X, **more))
    q = jaxvae.refine(KEY, vae, params, X, steps=1)
    assert evaluation.posterior_elbo(KEY, vae, params, q, batch).shape == (len(X),)


@pytest.mark.parametrize("scaled", [False, True])
def test_what_a_mask_leaves_out_may_be_no_count(scaled):
    x = np.random.default_rng(0).poisson(2.0, (40, 8)).astype(np.float32)
    mask = np.ones(x.shape, bool)
    x[0, 0], mask[0, 0] = -1, False
    network = NETWORK if scaled else networks.of_counts(NETWORK)
    likelihood = likelihoods.bernoulli() if scaled else likelihoods.poisson()
    transform = transforms.divided_by(9.0) if scaled else None
    x = x.clip(max=9) if scaled else x
    vae = bind(network, latents.normal, priors.standard_normal(), likelihood, transform=transform)
    state, _ = jaxvae.fit(KEY, vae, x, mask=mask, **OPTIONS)
    x[0, 0] = 5
    same, _ = jaxvae.fit(KEY, vae, x, mask=mask, **OPTIONS)
    jax.tree.map(np.testing.assert_array_equal, state.params, same.params)
    x[0, 0] = -1
    with pytest.raises(ValueError, match=r"x must"):
        jaxvae.fit(KEY, vae, x, **OPTIONS)
