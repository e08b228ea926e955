"""A prior whose parameters training finds, and a mixture of posteriors (VampPrior)."""

import jax

import jaxvae
from jaxvae import datasets, latents, priors

x = datasets.load_digits().x_train
learned, mixture = priors.learned(priors.standard_normal()), priors.mixture(latents.normal, 20)
for prior in (learned, mixture):
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2), prior=prior)
    state, history = jaxvae.fit(jax.random.key(0), vae, x, batch_size=64, epochs=3)
    print("the prior's own parameters:", sorted(state.params["prior"]))
