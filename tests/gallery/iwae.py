"""The ELBO, the importance-weighted bounds of more draws, and log p(x) itself, in closed form."""

import flax.linen as nn
import jax
import numpy as np
from scipy.stats import multivariate_normal

import jaxvae
from jaxvae import datasets, likelihoods, networks, objectives

encoder = networks.NormalEncoder(8, networks.MLP(1, 64, nn.relu))
vae = jaxvae.normal_vae(
    jaxvae.flax_network(encoder, nn.Dense(64)),  # linear in z, so x is Normal
    likelihood=likelihoods.normal(0.2),
    objective=objectives.iwae(draws=8),
)

data, key = datasets.load_digits(), jax.random.key(0)
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=30)
x, decoder = data.x_test[:100], state.params["decoder"]
print(jaxvae.collapse_report(key, vae, state.params, x))
print(f"ELBO {-jaxvae.evaluate(key, vae, state.params, x).nelbo:.2f} nats")
for draws in (8, 64, 512):
    bound = -jaxvae.marginal_nll(key, vae, state.params, x, draws=draws).mean()
    print(f"bound of {draws} draws {bound:.2f} nats")
covariance = np.float64(decoder["kernel"]).T @ decoder["kernel"] + 0.2**2 * np.eye(64)
exact = multivariate_normal(np.float64(decoder["bias"]), covariance).logpdf(x)
print(f"log p(x) {exact.mean():.2f} nats")
