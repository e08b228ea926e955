"""A number of one's own in the record of each epoch: how many units are active."""

import jax

import jaxvae
from jaxvae import datasets


def metrics(key, vae, state):
    report = jaxvae.collapse_report(key, vae, state.params, datasets.load_digits().x_test)
    return {"active_units": report.parts["z"].active}


vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 4))
data, key = datasets.load_digits(), jax.random.key(0)
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=12, metrics=metrics)
print(jaxvae.collapse_report(key, vae, state.params, data.x_test))
print([record.more["active_units"] for record in history.epochs])
