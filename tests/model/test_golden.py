"""Networks, objectives, gradients and training against vectors that the original computed.

Bounds: 1e-5 relative for outputs, terms and gradients, 1e-4 for twenty Adam steps, each relative to
the value or, as a sum of cancelling terms cannot be known better, to its array's largest.
"""

import jax
import jax.numpy as jnp
import optax
import pytest
from golden import assert_close, give_noise, load

import jaxvae
from jaxvae import Batch, objectives

LAYERS = [f"hidden_{i}" for i in range(4)]
HEADS = {
    "normal": {
        "encoder": {"encoder_mu_layer": "loc", "encoder_sigma_layer": "log_scale"},
        "decoder": {"decoder_mu_layer": "decoded"},
    },
    "dirichlet": {
        "encoder": {"alpha_layer": "concentration"},
        "decoder": {"decoder_mu_layer": "decoded"},
    },
}


def tree(golden, group, name):
    """The original's arrays of a group (init, grad, final) in the shape of our parameters."""

    def dense(part, layer):
        return {
            kind: jnp.asarray(golden[f"{group}/{part}/{layer}/{kind}"])
            for kind in ("kernel", "bias")
        }

    return {
        part: {"trunk": {layer: dense(part, layer) for layer in LAYERS}}
        | {ours: dense(part, theirs) for theirs, ours in heads.items()}
        for part, heads in HEADS[name].items()
    }


@pytest.fixture
def normal():
    golden = load("normal")
    vae = jaxvae.normal_vae(
        jaxvae.dense_normal_network(20, 2, hidden_units=16),
        prior_variance=float(golden["C"]),
        objective="original",
    )
    return golden, vae, tree(golden, "init", "normal")


@pytest.fixture
def dirichlet():
    golden = load("dirichlet")
    network = jaxvae.dense_dirichlet_network(
        20, 10, hidden_units=16, head="relu", concentration_floor=float(golden["alpha_smoothing"])
    )
    prior = jaxvae.label_prior(
        smoothness=float(golden["smoothness"]),
        total_concentration=float(golden["label_smoothing"]),
    )
    vae = jaxvae.dirichlet_vae(network, prior=prior, objective="original", gradient="gamma")
    return golden, vae, tree(golden, "init", "dirichlet"), prior


def test_normal_networks(normal):
    golden, vae, params = normal
    loc, scale = vae.encode(params, golden["x"])
    assert_close(loc, golden["mu"])
    assert_close(scale, golden["sigma"])
    assert_close(vae.decode(params, golden["mu"]), golden["decoded_mu"])


def test_normal_loss_and_gradient(normal, monkeypatch):
    golden, vae, params = normal
    give_noise(monkeypatch, golden["eps"])
    batch = Batch(golden["x"], position=jnp.arange(8))
    (loss, terms), grads = jax.value_and_grad(vae.loss, has_aux=True)(params, None, batch)
    assert_close(loss, golden["loss"])
    assert_close(jnp.mean(terms.reconstruction + terms.kl), golden["loss"])
    assert_close(grads, tree(golden, "grad", "normal"))


def test_normal_twenty_adam_steps(normal, monkeypatch, key):
    golden, vae, params = normal
    give_noise(monkeypatch, golden["steps_eps"].reshape(160, 2))
    optimizer = optax.inject_hyperparams(optax.adam)(
        1e-3, eps=lambda count: 1e-7 / jnp.sqrt(1 - 0.999 ** (count + 1))
    )
    train_step = jaxvae.make_train_step(vae, optimizer)
    state = jaxvae.TrainState(jnp.int32(0), params, optimizer.init(params))
    losses = []
    for step, x in enumerate(golden["steps_x"]):
        state, metrics = train_step(key, state, Batch(x, position=jnp.arange(8) + 8 * step))
        losses.append(metrics.loss)
    assert_close(jnp.stack(losses), golden["steps_loss"], relative=1e-4)
    assert_close(state.params, tree(golden, "final", "normal"), relative=1e-4)


def test_dirichlet_networks(dirichlet):
    golden, vae, params, prior = dirichlet
    concentration = vae.encode(params, golden["x"]).concentration
    assert_close(concentration, golden["concentration"])
    assert_close(jaxvae.encode_mean(vae, params, golden["x"]), golden["map_to_latent"])
    assert_close(vae.decode(params, golden["z"]), golden["decoded"])
    assert_close(prior.concentration(golden["y"], 10), golden["prior_concentration"])


def test_dirichlet_loss_and_gradient(dirichlet, monkeypatch):
    golden, vae, params, _ = dirichlet
    give_noise(monkeypatch, golden["log_gamma"])
    batch = Batch(golden["x"], golden["y"], position=jnp.arange(8))
    (loss, terms), grads = jax.value_and_grad(vae.loss, has_aux=True)(params, None, batch)
    assert_close(loss, golden["loss"])
    assert_close(terms.kl, golden["kl"])
    assert_close(terms.reconstruction, golden["mse"])
    assert_close(grads, tree(golden, "grad", "dirichlet"))


def test_original_normal_term_is_no_divergence():
    """Its expectation is 1/2 sum((loc^2 + scale^2) / C - scale): negative at scale = C / 2."""
    scale = jnp.full((200_000, 1), 0.5)
    eps = jax.random.normal(jax.random.key(0), scale.shape)
    term = objectives.original_normal_kl(eps * scale, 0 * scale, scale, prior_variance=1.0)
    # The standard error is 0.0004: 5 of them leave a false-alarm rate of 6e-7.
    assert abs(float(term.mean()) - 0.5 * (0.25 - 0.5)) < 0.002
