"""Eight draws of z an example in each step: an eighth of the variance that one draw leaves."""

import jax
import jax.numpy as jnp

import jaxvae
from jaxvae import Batch, datasets, objectives

network, data, key = jaxvae.dense_normal_network(64, 2), datasets.load_digits(), jax.random.key(0)
vae = jaxvae.normal_vae(network, objective=objectives.elbo(draws=8))
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=20)
print(jaxvae.collapse_report(key, vae, state.params, data.x_test))


def variance(draws):
    """Of the gradient by a hundred keys, summed over the parameters."""
    vae, batch = (
        jaxvae.normal_vae(network, objective=objectives.elbo(draws=draws)),
        data.x_train[:64],
    )
    gradient = jax.grad(lambda own, key: vae.loss(own, key, Batch(batch), step=0)[0])
    found = jax.lax.map(lambda key: gradient(state.params, key), jax.random.split(key, 100))
    return sum(jnp.var(leaf, axis=0).sum() for leaf in jax.tree.leaves(found))


print(f"of the variance of one draw: {variance(8) / variance(1):.3f}")
