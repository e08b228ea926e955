"""Eight draws of z an example in each step."""

import jax

import jaxvae
from jaxvae import datasets, objectives

vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2), objective=objectives.elbo(draws=8))
x = datasets.load_digits().x_train
state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=64, epochs=3)
print(f"{history.epochs[-1].loss:.1f} nats")
