"""The Dirichlet's draw and divergence in a loop of Flax NNX; the collapse report of its model."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import jaxvae
from jaxvae import bind, datasets, latents, likelihoods, priors


class Model(nnx.Module):
    def __init__(self, rngs):
        self.hidden, self.head = nnx.Linear(64, 128, rngs=rngs), nnx.Linear(128, 10, rngs=rngs)
        self.out, self.mean = nnx.Linear(10, 128, rngs=rngs), nnx.Linear(128, 64, rngs=rngs)

    def encode(self, x):
        return nnx.softplus(self.head(nnx.relu(self.hidden(x)))) + 0.1

    def decode(self, z):
        return self.mean(nnx.relu(self.out(z)))


def loss(model, key, x):
    concentration = model.encode(x)
    z = jaxvae.sample_dirichlet(key, concentration)  # differentiable in the concentration
    error = jnp.sum((model.decode(z) - x) ** 2, axis=1) / (2 * 0.2**2)
    return jnp.mean(error + jaxvae.kl_dirichlet(concentration, jnp.full(10, 0.5)))


@nnx.jit
def step(model, optimizer, key, x):
    value, gradient = nnx.value_and_grad(loss)(model, key, x)
    optimizer.update(model, gradient)
    return value


data, key = datasets.load_digits(), jax.random.key(0)
model = Model(nnx.Rngs(0))
optimizer = nnx.Optimizer(model, optax.adam(3e-3), wrt=nnx.Param)
for number in range(800):
    own = jax.random.fold_in(key, number)
    rows = jax.random.choice(own, len(data.x_train), (64,))
    value = step(model, optimizer, own, data.x_train[rows])
    if number in (0, 799):
        print(f"step {number}: {value:.1f} nats")

graph, own = nnx.split(model)
params = {"nnx": own}
network = jaxvae.Network(
    init=lambda key, x: params,
    encode=lambda params, x: nnx.merge(graph, params["nnx"]).encode(x),
    decode=lambda params, z: nnx.merge(graph, params["nnx"]).decode(z),
)
vae = bind(network, latents.dirichlet, priors.symmetric(0.5), likelihoods.normal(0.2))
print(jaxvae.collapse_report(key, vae, params, data.x_test))
