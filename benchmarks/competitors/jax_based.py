"""jaxvae: the functional core, on one device or on as many as cores, and `jaxvae.compat`."""

import os

import jax
import numpy as np
import optax

import jaxvae
from competitors import EPSILON, LEARNING_RATE, PRIOR_VARIANCE, stepwise


def optimizer():
    return optax.adam(LEARNING_RATE, eps=EPSILON)


def build(case, objective="original"):
    shape = {"layers": case.layers, "hidden_units": case.hidden_units}
    # As the others have it: unit variance. The original's objective brings a likelihood of its own.
    unit = {} if objective == "original" else {"likelihood": jaxvae.likelihoods.normal(1.0)}
    if case.latent == "dirichlet":
        network = jaxvae.dense_dirichlet_network(784, case.latent_dim, **shape)
        return jaxvae.dirichlet_vae(network, objective=objective, **unit)
    network = jaxvae.dense_normal_network(784, case.latent_dim, **shape)
    variance = PRIOR_VARIANCE if objective == "original" else 1.0
    return jaxvae.normal_vae(network, prior_variance=variance, objective=objective, **unit)


def build_compat(case):
    from jaxvae import compat

    shape = {"layers": case.layers, "hidden_units": case.hidden_units, "activation": "relu"}
    if case.latent == "normal":
        return compat.VAE(
            *compat.dense_encoder_decoder(784, case.latent_dim, **shape), C=PRIOR_VARIANCE
        )
    coders = compat.dense_encoder_decoder_dirichlet(784, case.latent_dim, **shape)
    return compat.DIRICHLET_VAE(*coders, smoothness=0.5, categories=case.latent_dim)


def prepare(variant, case, x, y, seed):
    if variant == "compat":
        from jaxvae import compat

        compat.set_seed(seed)
        return stepwise.epochs_of_original(build_compat(case), case, x, y)

    devices = None
    if variant == "devices":
        devices = len(os.sched_getaffinity(0))
        jax.config.update("jax_num_cpu_devices", devices)  # before JAX starts
    vae = build(case, "elbo" if variant == "elbo" else "original")
    constant = 784 / 2 * np.log(2 * np.pi) if variant == "elbo" else 0.0
    y = y if case.latent == "dirichlet" else None

    def train(hold):
        jaxvae.fit(
            jax.random.key(seed),
            vae,
            x,
            y,
            batch_size=case.batch_size,
            epochs=stepwise.EPOCHS,
            optimizer=optimizer(),
            devices=devices,
            keep_compiled=variant == "kept",
            on_epoch=lambda record, state: hold(record.loss - constant),
        )

    return stepwise.epochs_of(train)


def functions(variant, case, batch_size):
    """Calls of encode, decode and a draw given x, of one batch, on an untrained model."""
    x = np.random.default_rng(0).random((batch_size, 784), np.float32)
    z = np.full((batch_size, case.latent_dim), 1 / case.latent_dim, np.float32)
    if variant == "compat":
        vae = build_compat(case)
        return {
            "encode": lambda: vae.map_to_latent(x),
            "decode": lambda: vae.map_from_latent(z),
        }
    if variant == "at once":
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # before JAX starts
    vae, key = build(case), jax.random.key(0)
    params = vae.init(key, x)
    draw = jaxvae.sample_dirichlet if case.latent == "dirichlet" else jaxvae.sample_normal

    def posterior_draw(params, key, x):
        posterior = vae.encode(params, x)
        return draw(key, *(posterior if case.latent == "normal" else (posterior,)))

    encode, decode, sample = jax.jit(vae.encode), jax.jit(vae.decode), jax.jit(posterior_draw)
    return {
        "encode": lambda: jax.block_until_ready(encode(params, x)),
        "decode": lambda: jax.block_until_ready(decode(params, z)),
        "draw given x": lambda: jax.block_until_ready(sample(params, key, x)),
    }
