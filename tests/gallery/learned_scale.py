"""A Normal likelihood of unit scale, and those whose scale training finds: one, one a pixel."""

import jax
import numpy as np
import optax

import jaxvae
from jaxvae import datasets, likelihoods

network = jaxvae.dense_normal_network(64, 8, layers=1)
data, key = datasets.load_digits(), jax.random.key(0)
for name, likelihood in {
    "fixed": likelihoods.normal(1.0),
    "learned": likelihoods.normal(0.37, learned=True),
    "one for each pixel": likelihoods.normal(0.37, learned=True, per_dimension=True),
}.items():
    vae = jaxvae.normal_vae(network, likelihood=likelihood)
    state, history = jaxvae.fit(
        key, vae, data.x_train, batch_size=64, epochs=30, optimizer=optax.adam(5e-3)
    )
    print(jaxvae.collapse_report(key, vae, state.params, data.x_test))
    z = jaxvae.sample_normal(key, *vae.encode(state.params, data.x_train))
    error = np.sqrt(np.mean((data.x_train - vae.decode(state.params, z)) ** 2))
    scale = np.exp(state.params.get("likelihood", {"log_scale": 0.0})["log_scale"])
    print(f"{name}: error {error:.3f}, scale {np.min(scale):.3f} to {np.max(scale):.3f}")
