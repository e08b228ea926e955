"""The importance-weighted objective, and the marginal likelihood of held-out examples."""

import jax

import jaxvae
from jaxvae import datasets, objectives

data, iwae = datasets.load_digits(), objectives.iwae(draws=8)
normal = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2), objective=iwae)
dirichlet = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10), objective=iwae)

for vae in (normal, dirichlet):
    key = jax.random.key(0)
    state, history = jaxvae.fit(key, vae, data.x_train, data.y_train, batch_size=64, epochs=2)
    held_out = data.x_test[:64], data.y_test[:64]
    nll = jaxvae.marginal_nll(key, vae, state.params, *held_out, draws=64)
    bound = jaxvae.evaluate(key, vae, state.params, *held_out).nelbo
    print(f"-log p(x) {nll.mean():.1f} nats; by the ELBO {bound:.1f}")
