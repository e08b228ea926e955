"""A latent of one's own: von Mises-Fisher on the sphere in three dimensions."""

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxvae
from jaxvae import bind, datasets, latents, likelihoods, priors

# A direction of length 1, and how closely z lies about it.
VonMisesFisher = namedtuple("VonMisesFisher", "direction concentration")


def sample(key, q):
    share = jax.random.uniform(key, (1,))
    height = 1 + jnp.log(share + (1 - share) * jnp.exp(-2 * q.concentration)) / q.concentration
    side = jnp.cross(q.direction, jax.random.normal(jax.random.fold_in(key, 1), (3,)))
    return height * q.direction + jnp.sqrt(1 - height**2) * side / jnp.linalg.norm(side)


def log_prob(q, z):
    k, cosine = q.concentration[..., 0], jnp.sum(q.direction * z, axis=-1)
    return jnp.log(k / (2 * np.pi)) - jnp.log1p(-jnp.exp(-2 * k)) + k * (cosine - 1)


def on_sphere(z):
    return z / jnp.linalg.norm(z, axis=-1, keepdims=True)


def wrap(outputs):
    return VonMisesFisher(on_sphere(outputs[0]), outputs[1][..., :1] + 1)


sphere = latents.Latent(sample, log_prob, mean=lambda q: q.direction, wrap=wrap, support="sphere")
uniform = priors.Prior(
    init=lambda key, context: {},
    log_prob=lambda own, z, context: jnp.full(z.shape[:-1], -np.log(4 * np.pi)),
    sample=lambda own, key, context: on_sphere(jax.random.normal(key, context.q.direction.shape)),
)
vae = bind(jaxvae.dense_normal_network(64, 3), sphere, uniform, likelihoods.bernoulli())

x, key = datasets.load_digits().x_train, jax.random.key(0)
state, history = jaxvae.fit(key, vae, x, batch_size=64, epochs=40)
print(jaxvae.collapse_report(key, vae, state.params, x))
z = jaxvae.encode_mean(vae, state.params, x)
z = np.concatenate([z, vae.sample_prior(state.params, key, jaxvae.Batch(x))])
print("on the sphere:", np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5))
