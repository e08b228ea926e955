"""Images as they are: convolutions for grey ones of 28 x 28 and for coloured ones of 33 x 20."""

import jax
import numpy as np
import optax

import jaxvae
from jaxvae import datasets, networks

digits, key = datasets.load_digits().x_train[:512].reshape(-1, 8, 8, 1), jax.random.key(0)
colours = np.random.default_rng(0).random((512, 1, 1, 3))
for shape in ((28, 28, 1), (33, 20, 3)):
    x = np.asarray(jax.image.resize(digits, (512, *shape[:2], 1), "linear"))
    x = x * colours if shape[2] == 3 else x
    vae = jaxvae.normal_vae(networks.convolutional_normal_network(shape, 8, channels=(8, 16)))
    state, history = jaxvae.fit(key, vae, x, batch_size=32, epochs=8, optimizer=optax.adam(3e-3))
    print(jaxvae.collapse_report(key, vae, state.params, x[:128]))
    print(jaxvae.reconstruct(key, vae, state.params, x[:64]).shape)
