"""`jax.export`: every public compiled function for devices that are not here, and open sizes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse
from jax import export

import jaxvae
from jaxvae import Batch, latents, likelihoods, networks, objectives, priors
from jaxvae.data.sparse import pack
from jaxvae.model import refinement

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
KEY = jax.eval_shape(lambda: jax.random.key(0))


def sizes():
    """A batch and a number of categories that are open, or small ones."""
    return {"open": export.symbolic_shape("b, k"), "fixed": (6, 3)}


def floats(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def labels(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def lower(function, *args):
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(*args)
    assert exported.platforms == PLATFORMS
    return exported


# Of a key and of two arrays [B, K].
FUNCTIONS = {
    "sample_normal": jaxvae.sample_normal,
    "sample_log_gamma": lambda key, a, b: jaxvae.sample_log_gamma(key, a) * b,
    "sample_dirichlet": lambda key, a, b: jaxvae.sample_dirichlet(key, a) * b,
    "a draw a row": lambda key, a, b: jax.vmap(jaxvae.sample_dirichlet, (None, 0))(key, a) * b,
    "log_prob_dirichlet": lambda key, a, b: jaxvae.log_prob_dirichlet(a, -b),
    "kl_normal": lambda key, a, b: jaxvae.kl_normal(a, b),
    "kl_dirichlet": lambda key, a, b: jaxvae.kl_dirichlet(a, b),
    "kl_dirichlet of one prior": lambda key, a, b: jaxvae.kl_dirichlet(a * b, jnp.ones(())),
}


@pytest.mark.parametrize("size", ["open", "fixed"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_draws_densities_and_divergences_with_their_gradients(name, size):
    function, a = FUNCTIONS[name], floats(*sizes()[size])
    gradient = jax.value_and_grad(lambda key, a, b: jnp.sum(function(key, a, b)), (1, 2))
    lower(function, KEY, a, a)
    lower(gradient, KEY, a, a)


@pytest.mark.parametrize("size", ["open", "fixed"])
def test_the_derivative_of_a_draw(size):
    a = floats(*sizes()[size])
    lower(jaxvae.log_gamma_grad, a, a)


@pytest.mark.parametrize("size", ["open", "fixed"])
def test_a_model(size, vae, model):
    """Steps, encode, decode, the loss and its gradient, and prior draws."""
    batch, _ = sizes()[size]
    optimizer, latent = optax.adam(1e-3), 10 if model == "dirichlet" else 2
    state = jax.eval_shape(lambda key: jaxvae.init_state(key, vae, optimizer, floats(1, 64)), KEY)
    params, x, y = state.params, floats(batch, 64), labels(batch)
    step = jaxvae.make_train_step(vae, optimizer)

    def loss(params, key, *leaves):
        return vae.loss(params, key, Batch(*leaves))

    lower(vae.encode, params, x)
    lower(vae.decode, params, floats(batch, latent))
    lower(loss, params, KEY, x, y)
    lower(jax.grad(loss, has_aux=True), params, KEY, x, y, floats(batch), labels(batch))
    lower(lambda key, x: vae.sample_prior({}, key, (x.shape[0], latent)), KEY, x)
    lower(lambda key, state, x, y: step(key, state, Batch(x, y)), KEY, state, x, y)


def test_an_epoch(vae):
    optimizer = optax.adam(1e-3)
    state = jax.eval_shape(lambda key: jaxvae.init_state(key, vae, optimizer, floats(1, 64)), KEY)
    epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=4)
    lower(epoch, KEY, state, floats(6, 64), labels(6))


def topic_vae():
    network = networks.topic_network(64, 5, layers=1, hidden_units=8, background=np.ones(64))
    return jaxvae.bind(network, latents.dirichlet, priors.symmetric(0.1), likelihoods.multinomial())


# Models and data that no accelerator's test sees: a model, and its examples.
PARTS = {
    "topics of packed rows": (
        topic_vae, lambda: pack(scipy.sparse.random_array((6, 64), density=0.1, rng=0), 4)
    ),
    "many importance weights": (
        lambda: jaxvae.normal_vae(
            jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8),
            objective=objectives.iwae(50),
        ),
        lambda: floats(6, 64),
    ),
    "many categories": (
        lambda: jaxvae.bind(
            jaxvae.dense_dirichlet_network(64, 512, layers=1, hidden_units=8),
            latents.dirichlet, priors.symmetric(0.5), likelihoods.normal(1.0),
        ),
        lambda: floats(6, 64),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_an_epoch_of_each_part(name):
    make, data = PARTS[name]
    vae, x, optimizer = make(), data(), optax.adam(1e-3)
    state = jax.eval_shape(lambda key: jaxvae.init_state(key, vae, optimizer, floats(1, 64)), KEY)
    lower(jaxvae.make_train_epoch(vae, optimizer, batch_size=4), KEY, state, x)


def test_an_epoch_of_many_seeds():
    """As an accelerator trains them: one program, each seed a row of every array."""
    vae, optimizer = topic_vae(), optax.adam(1e-3)
    epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=4)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    states = jax.eval_shape(
        jax.vmap(lambda key: jaxvae.init_state(key, vae, optimizer, jnp.zeros((1, 64)))), keys
    )
    lower(jax.vmap(epoch, in_axes=(0, 0, None)), keys, states, floats(6, 64))


def test_a_refinement():
    vae, rate = topic_vae(), jnp.float32(0.1)
    params = jax.eval_shape(lambda key: vae.init(key, jnp.zeros((1, 64))), KEY)
    lower(functools.partial(refinement._refined, vae, 3), params, KEY, rate, Batch(floats(6, 64)))


def test_open_sizes_compute_the_same():
    """A divergence, its gradient and a draw, called with two sizes; the divergence's split of its
    sums by the number of categories is where an open size could tell."""
    key, (b, k) = jax.random.key(0), export.symbolic_shape("b, k")

    def function(key, a, c):
        kl, gradient = jax.value_and_grad(lambda a: jnp.sum(jaxvae.kl_dirichlet(a, c)))(a)
        return kl, gradient, jaxvae.sample_log_gamma(key, a)

    exported = export.export(jax.jit(function))(KEY, floats(b, k), floats(b, k))
    for shape in ((2, 3), (1, 17)):
        a = 10.0 ** jax.random.uniform(jax.random.key(1), shape, minval=-3.0, maxval=4.0)
        actual, expected = (f(key, a, a[:, ::-1]) for f in (exported.call, jax.jit(function)))
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
