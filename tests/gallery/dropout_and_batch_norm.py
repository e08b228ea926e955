"""Dropout and batch norm in Flax modules of one's own: they are told when they are trained."""

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxvae
from jaxvae import datasets


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.Dropout(0.1)(nn.relu(nn.BatchNorm()(nn.Dense(64)(x))))
        return nn.Dense(2)(h), jnp.exp(nn.Dense(2)(h))


class Decoder(nn.Module):
    @nn.compact
    def __call__(self, z):
        return nn.Dense(64)(nn.relu(nn.BatchNorm()(nn.Dense(64)(z))))


vae = jaxvae.normal_vae(jaxvae.flax_network(Encoder(), Decoder()))
data, key = datasets.load_digits(), jax.random.key(0)
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=30)
print(jaxvae.collapse_report(key, vae, state.params, data.x_test))
print("kept beside what is trained:", sorted(state.params["statistics"]))
