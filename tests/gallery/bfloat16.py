"""Products in bfloat16; parameters, heads, densities and losses stay float32."""

import jax
import jax.numpy as jnp

import jaxvae
from jaxvae import datasets

vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10, dtype=jnp.bfloat16))

data, key = datasets.load_digits(), jax.random.key(0)
state, history = jaxvae.fit(key, vae, data.x_train, data.y_train, batch_size=64, epochs=10)
print(jaxvae.collapse_report(key, vae, state.params, data.x_test, data.y_test))
print({leaf.dtype.name for leaf in jax.tree.leaves(state.params)})
