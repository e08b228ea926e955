"""Two gradients of lower variance: sticking the landing, and DReG for the IWAE bound."""

import jax

import jaxvae
from jaxvae import datasets, objectives

for objective in (objectives.elbo(gradient="stl"), objectives.iwae(8, gradient="dreg")):
    x = datasets.load_digits().x_train
    state, history = jaxvae.fit(
        jax.random.key(0),
        jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2), objective=objective),
        x,
        batch_size=64,
        epochs=3,
    )
    print(f"{history.epochs[-1].loss:.1f} nats")
