"""The Dirichlet's draw and divergence in a loop of Equinox; the collapse report of its model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import jaxvae
from jaxvae import bind, datasets, latents, likelihoods, priors


class Model(eqx.Module):
    layers: list

    def __init__(self, key):
        widths = ((64, 128), (128, 10), (10, 128), (128, 64))
        keys = jax.random.split(key, 4)
        self.layers = [
            eqx.nn.Linear(*width, key=own) for width, own in zip(widths, keys, strict=True)
        ]

    def encode(self, x):  # one example, as Equinox has it
        return jax.nn.softplus(self.layers[1](jax.nn.relu(self.layers[0](x)))) + 0.1

    def decode(self, z):
        return self.layers[3](jax.nn.relu(self.layers[2](z)))


def loss(model, key, x):
    concentration = jax.vmap(model.encode)(x)
    z = jaxvae.sample_dirichlet(key, concentration)  # differentiable in the concentration
    error = jnp.sum((jax.vmap(model.decode)(z) - x) ** 2, axis=1) / (2 * 0.2**2)
    return jnp.mean(error + jaxvae.kl_dirichlet(concentration, jnp.full(10, 0.5)))


@eqx.filter_jit
def step(model, state, key, x):
    value, gradient = eqx.filter_value_and_grad(loss)(model, key, x)
    updates, state = optimizer.update(gradient, state)
    return eqx.apply_updates(model, updates), state, value


data, key = datasets.load_digits(), jax.random.key(0)
model, optimizer = Model(key), optax.adam(3e-3)
state = optimizer.init(eqx.filter(model, eqx.is_array))
for number in range(800):
    own = jax.random.fold_in(key, number)
    rows = jax.random.choice(own, len(data.x_train), (64,))
    model, state, value = step(model, state, own, data.x_train[rows])
    if number in (0, 799):
        print(f"step {number}: {value:.1f} nats")

params = {"equinox": model}
network = jaxvae.Network(
    init=lambda key, x: params,
    encode=lambda params, x: jax.vmap(params["equinox"].encode)(x),
    decode=lambda params, z: jax.vmap(params["equinox"].decode)(z),
)
vae = bind(network, latents.dirichlet, priors.symmetric(0.5), likelihoods.normal(0.2))
print(jaxvae.collapse_report(key, vae, params, data.x_test))
