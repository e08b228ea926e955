"""A Normal likelihood whose scale training finds, one for each pixel."""

import jax
import numpy as np

import jaxvae
from jaxvae import datasets, likelihoods

vae = jaxvae.normal_vae(
    jaxvae.dense_normal_network(64, 2),
    likelihood=likelihoods.normal(0.5, learned=True, per_dimension=True),
)
x = datasets.load_digits().x_train
state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=64, epochs=3)
print("scales from", *np.exp(np.quantile(state.params["likelihood"]["log_scale"], [0, 1])).round(2))
