"""A prior whose parameters training finds, and a mixture of posteriors (VampPrior)."""

import jax

import jaxvae
from jaxvae import datasets, latents, priors

data, key = datasets.load_digits(), jax.random.key(0)
for name, prior in {
    "standard Normal": priors.standard_normal(),
    "learned": priors.learned(priors.standard_normal()),
    "mixture of 50 posteriors": priors.mixture(latents.normal, 50),
}.items():
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 8, layers=2), prior=prior)
    state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=60)
    print(jaxvae.collapse_report(key, vae, state.params, data.x_test))
    nelbo = jaxvae.evaluate(key, vae, state.params, data.x_test).nelbo
    print(f"{name}: {nelbo:.2f} nats; its parameters: {sorted(state.params.get('prior', {}))}")
