"""A conditional VAE: encoder and decoder see the label beside x and z."""

import jax
import numpy as np

import jaxvae
from jaxvae import datasets

vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2))

data, key = datasets.load_digits(), jax.random.key(0)
one_hot = np.eye(10)[data.y_train]
state, history = jaxvae.fit(key, vae, data.x_train, condition=one_hot, batch_size=64, epochs=3)
sevens = jaxvae.generate(key, vae, state.params, 5, condition=np.eye(10)[[7] * 5])
print(sevens.shape)
