"""The KL term's weight rises from 0 to 1, and half a nat of it is free; nothing compiles anew."""

import jax
import optax

import jaxvae
from jaxvae import datasets, objectives

warm_up = objectives.elbo(kl_weight=optax.linear_schedule(0.0, 1.0, 100), free_bits=0.5)
vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2), objective=warm_up)
data, key = datasets.load_digits(), jax.random.key(0)
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=20)
print(jaxvae.collapse_report(key, vae, state.params, data.x_test))
print([round(record.more["kl_weight"], 2) for record in history.epochs])
