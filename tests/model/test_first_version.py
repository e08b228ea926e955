"""What the first version computed, recorded by `tests/data/make_first_version.py`, is what is
computed now; its unit-variance likelihood is `likelihoods.normal(1.0)`.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import likelihoods

with np.load(Path(__file__).parents[1] / "data" / "first_version.npz") as _file:
    RECORD = dict(_file)
CASES = [
    (model, number, json.loads(str(case)))
    for model in ("normal", "dirichlet")
    for number, case in enumerate(RECORD[f"{model}/cases"])
]
BATCH = jaxvae.Batch(*(RECORD[f"batch/{name}"] for name in ("x", "y", "weight", "position")))
PRIORS = {"symmetric_prior": jaxvae.symmetric_prior, "label_prior": jaxvae.label_prior}


def tree(prefix):
    """The arrays whose names begin so, as a dict of dicts."""
    found = {}
    for name, array in RECORD.items():
        if name.startswith(f"{prefix}/"):
            *folders, last = name.removeprefix(f"{prefix}/").split("/")
            inside = found
            for folder in folders:
                inside = inside.setdefault(folder, {})
            inside[last] = array
    return found


def model_of(model, options):
    options = dict(options)
    if options.get("likelihood", "normal") == "normal" and options.get("objective") != "original":
        options["likelihood"] = likelihoods.normal(1.0)
    if "prior" in options:
        name, arguments = options["prior"]
        options["prior"] = PRIORS[name](*arguments)
    if model == "normal":
        network = jaxvae.dense_normal_network(12, 3, layers=2, hidden_units=8)
        return jaxvae.normal_vae(network, prior_variance=2.0, **options)
    network = jaxvae.dense_dirichlet_network(12, 5, layers=2, hidden_units=8)
    return jaxvae.dirichlet_vae(network, **options)


def assert_close(actual, expected, relative=1e-6):
    """Relative to the largest of an array: sums that cancel are not known better."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    np.testing.assert_allclose(
        actual, expected, rtol=relative, atol=relative * np.abs(expected).max()
    )


@pytest.mark.parametrize(("model", "number", "options"), CASES)
def test_loss_and_gradient(model, number, options):
    vae, params = model_of(model, options), tree(f"{model}/params")
    value_and_grad = jax.jit(jax.value_and_grad(vae.loss, has_aux=True))
    (loss, terms), grads = value_and_grad(params, jax.random.key(1), BATCH)
    assert_close(loss, RECORD[f"{model}/loss"][number])
    assert_close(terms.reconstruction, RECORD[f"{model}/reconstruction"][number])
    assert_close(terms.kl, RECORD[f"{model}/kl"][number])
    expected = tree(f"{model}/grad")
    jax.tree.map(lambda own, all_cases: assert_close(own, all_cases[number], 2e-6), grads, expected)


@pytest.mark.parametrize(("model", "number", "options"), CASES)
def test_encoded_drawn_and_decoded(model, number, options):
    vae, params = model_of(model, options), tree(f"{model}/params")
    q = vae.encode(params, BATCH.x)
    if model == "normal":
        assert_close(q.loc, RECORD["normal/loc"][number])
        assert_close(q.scale, RECORD["normal/scale"][number])
    else:
        assert_close(q.concentration, RECORD["dirichlet/concentration"][number])
    expected = RECORD[f"{model}/prior_sample"][number]
    assert_close(vae.decode(params, jnp.asarray(expected)), RECORD[f"{model}/decoded"][number])
    z = vae.sample_prior(params, jax.random.key(2), expected.shape)
    assert_close(z, expected)


@pytest.mark.parametrize("model", ["normal", "dirichlet"])
def test_fit_and_evaluation(model):
    """A short run: three epochs, the last batch short."""
    vae = model_of(model, json.loads(str(RECORD[f"{model}/cases"][0])))
    x, y = RECORD["data/x"], RECORD["data/y"]
    params, optimizer = jax.tree.map(jnp.asarray, tree(f"{model}/params")), optax.adam(1e-3)
    start = jaxvae.TrainState(jnp.int32(0), params, optimizer.init(params))
    state, history = jaxvae.fit(
        jax.random.key(3), vae, x, y, batch_size=16, epochs=3, optimizer=optimizer, state=start
    )
    losses = [record.loss for record in history.epochs]
    np.testing.assert_allclose(losses, RECORD[f"{model}/fit/loss"], rtol=1e-5)
    jax.tree.map(
        lambda own, recorded: assert_close(own, recorded, 1e-4),
        state.params,
        tree(f"{model}/fit/params"),
    )
    result = jaxvae.evaluate(jax.random.key(4), vae, state.params, x, y)
    np.testing.assert_allclose(
        [result.loss, result.reconstruction, result.kl], RECORD[f"{model}/evaluate"], rtol=1e-5
    )
    z = jaxvae.encode_mean(vae, state.params, x)
    assert_close(z, RECORD[f"{model}/encode_mean"], 1e-4)
