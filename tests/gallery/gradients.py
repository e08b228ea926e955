"""Two gradients of lower variance, measured: sticking the landing, and DReG for the IWAE bound."""

import jax
import jax.numpy as jnp

import jaxvae
from jaxvae import Batch, datasets, objectives

network = jaxvae.dense_normal_network(64, 8, layers=1)
data, key = datasets.load_digits(), jax.random.key(0)
vae = jaxvae.normal_vae(network)
state, history = jaxvae.fit(key, vae, data.x_train, batch_size=64, epochs=30)
print(jaxvae.collapse_report(key, vae, state.params, data.x_test))
batch = Batch(data.x_train[:64])


def gradients(objective):
    """The encoder's gradient [100, P] by a hundred keys, as training takes it."""
    vae = jaxvae.normal_vae(network, objective=objective)

    def one(key):
        gradient = jax.grad(lambda own: vae.loss(own, key, batch, step=0)[0])(state.params)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient["encoder"])])

    return jax.lax.map(one, jax.random.split(key, 100))


for name, plain, quiet in (
    ("stl", objectives.elbo(), objectives.elbo(gradient="stl")),
    ("dreg", objectives.iwae(8), objectives.iwae(8, gradient="dreg")),
):
    usual, quieter = gradients(plain), gradients(quiet)
    share = jnp.var(quieter, axis=0).sum() / jnp.var(usual, axis=0).sum()
    (a, b) = jnp.mean(usual, axis=0), jnp.mean(quieter, axis=0)
    cosine = a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b)
    print(f"{name}: {share:.2f} of the variance; the means' cosine {cosine:.2f}")
