"""Counts: a multinomial with a Dirichlet latent, a negative binomial with a Normal one."""

import jax
import numpy as np

import jaxvae
from jaxvae import likelihoods, priors

topics = jaxvae.dirichlet_vae(
    jaxvae.dense_dirichlet_network(40, 5),
    prior=priors.symmetric(0.5),
    likelihood=likelihoods.multinomial(),
)
cells = jaxvae.normal_vae(
    jaxvae.dense_normal_network(40, 2), likelihood=likelihoods.negative_binomial()
)

for vae in (topics, cells):
    x = np.random.default_rng(0).negative_binomial(2, 0.3, (500, 40))
    state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=50, epochs=3)
    print(f"{history.epochs[-1].loss:.1f} nats a row of counts")
