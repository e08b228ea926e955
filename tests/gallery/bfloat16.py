"""Products in bfloat16; parameters, heads, densities and losses stay float32."""

import jax
import jax.numpy as jnp

import jaxvae
from jaxvae import datasets

vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10, dtype=jnp.bfloat16))

data = datasets.load_digits()
state, history = jaxvae.fit(
    jax.random.key(0), vae, data.x_train, data.y_train, batch_size=64, epochs=3
)
print({leaf.dtype.name for leaf in jax.tree.leaves(state.params)})
