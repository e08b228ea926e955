"""What a user gives to training by mistake, or says in another way than was foreseen."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import objectives
from jaxvae.model.values import frozen

KEY = jax.random.key(0)
X = np.random.default_rng(0).random((96, 16)).astype(np.float32)
NETWORK = jaxvae.dense_normal_network(16, 2, layers=1, hidden_units=8)
VAE = jaxvae.normal_vae(NETWORK)
OPTIONS = {"batch_size": 32, "epochs": 1}


def fit(vae=VAE, **options):
    return jaxvae.fit(KEY, vae, X, **(OPTIONS | options))


def many(make=VAE, **options):
    return jaxvae.fit_many(jax.random.split(KEY, 2), make, X, **(OPTIONS | options))


@pytest.mark.parametrize("together", [False, True])
def test_without_patience_a_resumed_run_ends_at_its_end(tmp_path, together):
    folder = {"checkpoints": jaxvae.Checkpoints(tmp_path / "run")}
    held_out = {"validation": (X[:30], None)}
    run = many if together else fit
    run(epochs=2, patience=5, **held_out, **folder)
    state, history = run(epochs=6, **held_out, **folder)
    assert np.ravel(state.step).tolist() == [18] * (1 + together)
    again, _ = run(epochs=6, **held_out, **folder)  # nothing is left to train
    jax.tree.map(np.testing.assert_array_equal, state, again)
    if not together:
        measured = jaxvae.evaluate(KEY, VAE, state.params, X[:30]).loss
        assert measured == pytest.approx(history.epochs[-1].validation_loss, rel=0.1)


@pytest.mark.parametrize(
    ("returned", "epochs"),
    [(True, 1), (np.True_, 1), (jnp.array(True), 1), (1, 3), ("stop", 3), ([True], 3), (None, 3)],
)
def test_only_true_ends_a_run(returned, epochs):
    _, history = fit(epochs=3, on_epoch=lambda record, state: returned)
    assert len(history.epochs) == epochs


def test_a_callback_that_writes_does_not_end_the_run():
    log = io.StringIO()
    fit(epochs=2, on_epoch=lambda record, state: log.write(f"{record.epoch}\n"))
    assert log.getvalue() == "0\n1\n"


def test_a_metric_that_is_not_finite_is_kept_and_said(tmp_path):
    def metrics(key, vae, state):
        return {"auc": float("nan") if int(state.step) == 6 else 1.0}

    folder = jaxvae.Checkpoints(tmp_path / "run", every=1)
    with pytest.warns(UserWarning, match="metrics returned nan for 'auc' after epoch 1"):
        _, history = fit(epochs=3, metrics=metrics, checkpoints=folder)
    values = [record.more["auc"] for record in history.epochs]
    np.testing.assert_array_equal(values, [1.0, np.nan, 1.0])
    _, resumed = fit(epochs=4, metrics=metrics, checkpoints=folder)
    np.testing.assert_array_equal([r.more["auc"] for r in resumed.epochs], [*values, 1.0])


MADE = {
    "negative": objectives.elbo(optax.linear_schedule(0.0, -1.0, 3)),
    "several": objectives.elbo(lambda step: jnp.ones(2)),
    "nan": objectives.elbo(lambda step: jnp.nan * step),
}
WRONG = [
    (lambda: fit(checkpoint_every=1), ValueError, "checkpoint_dir must be given where checkpoint_"),
    (lambda: fit(keep=1), ValueError, "checkpoint_dir must be given where keep is"),
    (
        lambda: fit(validation=(X[:, :5], None)),
        ValueError,
        r"validation x must have the shape of x, \(N, 16\), got \(N, 5\)",
    ),
    (
        lambda: fit(validation=jaxvae.Batch(X, condition=np.ones((96, 1)))),
        ValueError,
        r"validation condition must have the shape of condition, None, got \(N, 1\)",
    ),
    (lambda: fit(metrics=lambda s: {}), TypeError, r"metrics must take \(key, vae, state\)"),
    (lambda: fit(on_epoch=lambda r: None), TypeError, r"on_epoch must take \(record, state\)"),
    (
        lambda: fit(jaxvae.normal_vae(NETWORK, objective=MADE["negative"])),
        ValueError,
        "kl_weight at step 3 must be",
    ),
    (
        lambda: fit(jaxvae.normal_vae(NETWORK, objective=MADE["several"])),
        ValueError,
        r"kl_weight must be one number at step 0, got the shape \(2,\)",
    ),
    (
        lambda: fit(jaxvae.normal_vae(NETWORK, objective=MADE["nan"])),
        ValueError,
        "kl_weight at step 0 must be",
    ),
    (
        lambda: many(hyperparams=[("learning_rate", [1e-3, 1e-2])]),
        TypeError,
        "hyperparams must be a mapping",
    ),
    (
        lambda: many(lambda **h: VAE, hyperparams={"kl_weight": [1.0, 2.0]}),
        TypeError,
        "make must name each hyper-parameter",
    ),
    (
        lambda: many(devices=jaxvae.parallel.Placement(1)),
        TypeError,
        "devices must be JAX devices or how many, or for fit a Placement",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_what_is_wrong_is_named_before_anything_compiles(call, error, message, monkeypatch):
    monkeypatch.setattr("jaxvae.training.loop.prepared", None)  # it is not reached
    with pytest.raises(error, match=message):
        call()


def test_a_make_with_defaults_takes_what_it_is_given():
    def make(kl_weight=0.5):
        return jaxvae.normal_vae(NETWORK, kl_weight=kl_weight)

    states, _ = many(make, hyperparams={"learning_rate": [1e-3, 1e-2]})
    assert states.step.tolist() == [3, 3]


def test_a_state_that_was_given_away_is_named():
    state, _ = fit()
    step = jaxvae.make_train_step(VAE, optax.adam(1e-3))
    fresh = jaxvae.init_state(KEY, VAE, optax.adam(1e-3), X)
    step(KEY, fresh, jaxvae.Batch(X[:8]))
    with pytest.raises(ValueError, match="state must be arrays that are still there"):
        fit(state=fresh)
    for call in (
        lambda: jaxvae.evaluate(KEY, VAE, fresh.params, X),
        lambda: jaxvae.encode_mean(VAE, fresh.params, X),
        lambda: VAE.encode(fresh.params, X),
        lambda: VAE.decode(fresh.params, np.zeros((1, 2))),
    ):
        with pytest.raises(ValueError, match="params must be arrays that are still there"):
            call()
    assert np.isfinite(jaxvae.evaluate(KEY, VAE, state.params, X).loss)


PARAMS = VAE.init(KEY, X[:1])
STATE = jaxvae.init_state(KEY, VAE, optax.adam(1e-3), X)
SLIPS = [
    (lambda: VAE.encode(STATE, X), "params must be a model's parameters, got a TrainState"),
    (lambda: VAE.decode(STATE, np.zeros((1, 2))), "params must be a model's parameters"),
    (lambda: VAE.encode(PARAMS, X.tolist()), "x must be an array .* got a list"),
    (lambda: VAE.decode(PARAMS, [[0.0, 0.0]]), "z must be an array .* got a list"),
    (
        lambda: jaxvae.make_train_step(VAE, optax.adam(1e-3))(STATE, KEY, jaxvae.Batch(X)),
        "state must be a jaxvae.TrainState",
    ),
]


@pytest.mark.parametrize(("call", "message"), SLIPS)
def test_slips_with_the_pure_functions(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_the_loss_takes_examples_alone():
    batch = jaxvae.Batch(X)
    assert VAE.loss(PARAMS, KEY, X)[0] == VAE.loss(PARAMS, KEY, batch)[0]


def test_a_schedule_is_the_same_before_and_after_it_was_called():
    """Optax's cosine makes a float of its number of steps when it is called."""
    one, other = (optax.adam(optax.cosine_decay_schedule(1e-3, 10)) for _ in range(2))
    before = frozen(one)
    with jax.numpy_dtype_promotion("standard"):
        one.update({"w": jnp.ones(2)}, one.init({"w": jnp.ones(2)}), None)
    assert frozen(one) == before == frozen(other)
    assert frozen(optax.adam(optax.cosine_decay_schedule(1e-3, 11))) != before
