"""A latent that collapses, and what is tried against it. With a file's name it draws them there."""

import sys

import jax
import numpy as np
import optax

import jaxvae
from jaxvae import datasets, figures, likelihoods, objectives

data, key, fixed = datasets.load_digits(), jax.random.key(0), likelihoods.normal(1.0)
warm_up = optax.linear_schedule(0.0, 1.0, 500)
rows = {"test images": data.x_test[:10]}
for name, likelihood, objective in (
    ("the scale 1", fixed, objectives.elbo()),
    ("KL warm-up", fixed, objectives.elbo(kl_weight=warm_up)),
    ("two nats free", fixed, objectives.elbo(free_bits=2.0)),
    ("KL weight 0.1", fixed, objectives.elbo(kl_weight=0.1)),
    ("the scale learned", likelihoods.normal(0.37, learned=True), objectives.elbo()),
):
    vae = jaxvae.normal_vae(
        jaxvae.dense_normal_network(64, 8, layers=1), likelihood=likelihood, objective=objective
    )
    state, history = jaxvae.fit(
        key, vae, data.x_train, batch_size=64, epochs=40, optimizer=optax.adam(3e-3)
    )
    print(f"{name}:\n{jaxvae.collapse_report(key, vae, state.params, data.x_test)}")
    rows[name] = np.asarray(jaxvae.reconstruct(key, vae, state.params, data.x_test[:10]))
if len(sys.argv) > 1:
    images = np.stack(list(rows.values()))
    figure = figures.image_rows(images, (8, 8), title="Reconstructions", row_names=list(rows))
    figure.savefig(sys.argv[1], dpi=70)
