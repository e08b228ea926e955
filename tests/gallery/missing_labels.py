"""Nine labels of ten are missing (-1): those examples have the mixture of the label priors."""

import jax
import numpy as np

import jaxvae
from jaxvae import datasets, likelihoods

vae = jaxvae.dirichlet_vae(
    jaxvae.dense_dirichlet_network(64, 10), likelihood=likelihoods.normal(1.0)
)
data = datasets.load_digits()
y = np.where(np.arange(len(data.y_train)) % 10, -1, data.y_train)
state, history = jaxvae.fit(jax.random.key(0), vae, data.x_train, y, batch_size=64, epochs=30)
print(f"accuracy {jaxvae.accuracy(vae, state.params, data.x_test, data.y_test):.2f}")
