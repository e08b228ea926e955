"""The Dirichlet's draw and divergence in a loop of plain JAX; the collapse report of its model."""

import jax
import jax.numpy as jnp
import optax

import jaxvae
from jaxvae import bind, datasets, latents, likelihoods, priors

data, key = datasets.load_digits(), jax.random.key(0)
shapes = {"in": (64, 128), "head": (128, 10), "out": (10, 128), "mean": (128, 64)}
params = {
    name: {
        "w": jax.nn.initializers.glorot_uniform()(jax.random.fold_in(key, i), shape),
        "b": jnp.zeros(shape[1]),
    }
    for i, (name, shape) in enumerate(shapes.items())
}


def layer(params, name, x):
    return x @ params[name]["w"] + params[name]["b"]


def encode(params, x):
    hidden = jax.nn.relu(layer(params, "in", x))
    return jax.nn.softplus(layer(params, "head", hidden)) + 0.1


def decode(params, z):
    return layer(params, "mean", jax.nn.relu(layer(params, "out", z)))


def loss(params, key, x):
    concentration = encode(params, x)
    z = jaxvae.sample_dirichlet(key, concentration)  # differentiable in the concentration
    error = jnp.sum((decode(params, z) - x) ** 2, axis=1) / (2 * 0.2**2)
    return jnp.mean(error + jaxvae.kl_dirichlet(concentration, jnp.full(10, 0.5)))


@jax.jit
def step(params, state, key, x):
    value, gradient = jax.value_and_grad(loss)(params, key, x)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, value


optimizer = optax.adam(3e-3)
state = optimizer.init(params)
for number in range(800):
    own = jax.random.fold_in(key, number)
    rows = jax.random.choice(own, len(data.x_train), (64,))
    params, state, value = step(params, state, own, data.x_train[rows])
    if number in (0, 799):
        print(f"step {number}: {value:.1f} nats")

network = jaxvae.Network(lambda key, x: params, encode, decode)
vae = bind(network, latents.dirichlet, priors.symmetric(0.5), likelihoods.normal(0.2))
print(jaxvae.collapse_report(key, vae, params, data.x_test))
