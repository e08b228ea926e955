"""Counts: a multinomial with a Dirichlet latent, a negative binomial with a Normal one."""

import jax
import numpy as np
import optax

import jaxvae
from jaxvae import datasets, likelihoods, networks, priors

topics = jaxvae.dirichlet_vae(
    networks.of_counts(jaxvae.dense_dirichlet_network(64, 10, layers=1)),
    prior=priors.symmetric(0.5),
    likelihood=likelihoods.multinomial(),
)
cells = jaxvae.normal_vae(
    networks.of_counts(jaxvae.dense_normal_network(64, 4, layers=1)),
    likelihood=likelihoods.negative_binomial(),
)

data, key = datasets.load_digits(), jax.random.key(0)
x, test = (np.random.default_rng(0).poisson(5 * x) for x in (data.x_train, data.x_test))
for vae in (topics, cells):
    state, history = jaxvae.fit(key, vae, x, batch_size=64, epochs=10, optimizer=optax.adam(3e-3))
    print(jaxvae.collapse_report(key, vae, state.params, test))
    print(f"{history.epochs[-1].loss:.1f} nats a row of counts")
