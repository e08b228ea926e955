"""Images as they are: convolutions for grey ones of 28 x 28 and for coloured ones of 33 x 20."""

import jax
import numpy as np

import jaxvae
from jaxvae import networks

for shape in ((28, 28, 1), (33, 20, 3)):
    x = np.random.default_rng(0).random((64, *shape))
    vae = jaxvae.normal_vae(networks.convolutional_normal_network(shape, 8, channels=(8, 16)))
    state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=32, epochs=2)
    print(jaxvae.reconstruct(jax.random.key(1), vae, state.params, x).shape)
