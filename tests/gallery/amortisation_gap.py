"""The amortisation gap: the encoder's posterior against one that each example has to itself."""

import jax

import jaxvae
from jaxvae import datasets, evaluation

vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 8, layers=1, hidden_units=32))

data, key = datasets.load_digits(), jax.random.key(0)
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=30)
model, x = (key, vae, state.params), data.x_test
print(jaxvae.collapse_report(*model, x))
for steps in (0, 300):  # 0: where the encoder puts them
    q = evaluation.refine(*model, x, steps=steps, learning_rate=0.03)
    elbo = evaluation.posterior_elbo(*model, q, x, draws=64).mean()
    print(f"ELBO after {steps} steps: {elbo:.2f} nats")
print(f"log p(x): {-jaxvae.marginal_nll(*model, x, draws=1024).mean():.2f} nats")
