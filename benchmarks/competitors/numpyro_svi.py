"""NumPyro's SVI: `svi.update` in one compiled `lax.scan`, `TraceMeanField_ELBO`, Flax networks.

A batch is of one shape there, so the last, partial one is left out (32 of MNIST's 60,000 images at
batch 64). The Dirichlet model's likelihood has the variance D/2: its ELBO is then the original's
objective, up to a constant, which is taken off. For the Normal latent it is the ELBO with a prior
of variance 1, its constant taken off.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import flax_module
from numpyro.infer import SVI, TraceMeanField_ELBO

from competitors import (
    CONCENTRATION_FLOOR,
    EPSILON,
    LEARNING_RATE,
    SMOOTHNESS,
    TOTAL_CONCENTRATION,
    Case,
)


class Trunk(nn.Module):
    case: Case
    outputs: int

    @nn.compact
    def __call__(self, x):
        init = nn.initializers.glorot_uniform()
        for _ in range(self.case.layers):
            x = nn.relu(nn.Dense(self.case.hidden_units, kernel_init=init)(x))
        return nn.Dense(self.outputs, kernel_init=init)(x)


def prepare(variant, case, x, y, seed):
    dirichlet, k = case.latent == "dirichlet", case.latent_dim
    variance = 784 / 2 if dirichlet else 1.0
    constant = 784 / 2 * np.log(2 * np.pi * variance)

    def model(x, y):
        decoder = flax_module("decoder", Trunk(case, 784), input_shape=(1, k))
        with numpyro.plate("batch", len(x)), numpyro.handlers.scale(scale=1 / len(x)):
            if dirichlet:
                weights = jax.nn.one_hot(y, k) + SMOOTHNESS
                prior = dist.Dirichlet(TOTAL_CONCENTRATION * weights / (1 + k * SMOOTHNESS))
            else:
                prior = dist.Normal(jnp.zeros((len(x), k)), 1.0).to_event(1)
            z = numpyro.sample("z", prior)
            numpyro.sample("x", dist.Normal(decoder(z), np.sqrt(variance)).to_event(1), obs=x)

    def guide(x, y):
        encoder = flax_module(
            "encoder", Trunk(case, k if dirichlet else 2 * k), input_shape=(1, 784)
        )
        head = encoder(x)
        with numpyro.plate("batch", len(x)), numpyro.handlers.scale(scale=1 / len(x)):
            if dirichlet:
                posterior = dist.Dirichlet(nn.softplus(head) + CONCENTRATION_FLOOR)
            else:
                posterior = dist.Normal(head[:, :k], jnp.exp(head[:, k:])).to_event(1)
            numpyro.sample("z", posterior)

    adam = numpyro.optim.Adam(LEARNING_RATE, eps=EPSILON)
    svi = SVI(model, guide, adam, TraceMeanField_ELBO())
    x, y = jnp.asarray(x), jnp.asarray(y)
    steps = len(x) // case.batch_size
    state = svi.init(jax.random.key(seed), x[:1], y[:1])
    key = jax.random.key(seed + 1)

    @jax.jit
    def train_epoch(key, state):
        order = jax.random.permutation(key, len(x))[: steps * case.batch_size]

        def step(state, index):
            return svi.update(state, x[index], y[index])

        state, losses = jax.lax.scan(step, state, order.reshape(steps, case.batch_size))
        return state, losses.mean()

    def epoch():
        nonlocal key, state
        key, order_key = jax.random.split(key)
        state, loss = train_epoch(order_key, state)
        jax.block_until_ready(state)
        return float(loss) - constant

    return epoch
