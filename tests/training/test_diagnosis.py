"""A step that is not finite: the error names the data, the network's output, or the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import compat
from jaxvae.apps import cli, estimators
from jaxvae.training import diagnosis, epochs
from jaxvae.training.state import Metrics, TrainState

X = np.random.default_rng(0).random((40, 6), np.float32)
X /= X.max()
KEY = jax.random.key(0)
LEARNING_RATE = "A smaller learning rate may help."


def normal(encode=lambda loc, scale: (loc, scale), decode=lambda x: x, **options):
    """A linear model, what it gives changed on the way out."""
    network = jaxvae.Network(
        init=lambda key, x: {"w": 0.1 * jax.random.normal(key, (x.shape[1], 2))},
        encode=lambda params, x: encode(x @ params["w"], jnp.exp(-x @ params["w"])),
        decode=lambda params, z: decode(z @ params["w"].T),
    )
    return jaxvae.normal_vae(network, **options)


def dirichlet(change=lambda concentration: concentration):
    network = jaxvae.Network(
        init=lambda key, x: {"w": 0.1 * jax.random.normal(key, (x.shape[1], 3))},
        encode=lambda params, x: change(jax.nn.softplus(x @ params["w"])),
        decode=lambda params, z: z @ params["w"].T,
    )
    unit = jaxvae.likelihoods.normal()
    return jaxvae.dirichlet_vae(network, prior=jaxvae.symmetric_prior(), likelihood=unit)


def negative_above_five(params, x):
    return x[:, :2], jnp.where(x[:, :2] > 5, -1.0, 1.0)


SCALE, LOC = "network.encode gives a scale of ", "network.encode gives a loc of "
CONCENTRATION = "network.encode gives a concentration of "
POSITIVE = "it must be finite and above 0."
REASONS = [
    (normal(), 255 * X, 0, "The largest |value| of x is 255: scale the data"),
    (normal(), -1e6 * X, 0, "The largest |value| of x is 1e+06: scale the data"),
    (dirichlet(), 1e30 * X, 0, "The largest |value| of x is 1e+30: scale the data"),
    (normal(lambda loc, scale: (loc, 0 * scale - 0.5)), X, 0, f"{SCALE}-0.5 at index (0, 0); {POSITIVE}"),
    (normal(lambda loc, scale: (loc, 0 * scale)), X, 0, f"{SCALE}0 at index (0, 0); {POSITIVE}"),
    (normal(lambda loc, scale: (loc, 0 * scale + 1e-40)), X, 0, f"{SCALE}0 at index (0, 0); {POSITIVE}"),
    (normal(lambda loc, scale: (loc, scale * jnp.nan)), X, 0, f"{SCALE}nan at index (0, 0); {POSITIVE}"),
    (normal(lambda loc, scale: (loc, scale.at[3, 1].set(jnp.inf))), X, 0, f"{SCALE}inf at index (3, 1); {POSITIVE}"),
    (normal(lambda loc, scale: (loc * jnp.nan, scale)), X, 0, f"{LOC}nan at index (0, 0); it must be finite."),
    (normal(lambda loc, scale: (0 * loc - 1e25, scale)), X, 0, f"{LOC}-1e+25 at index (0, 0); it must be at most 1e+18 in size."),
    (dirichlet(lambda a: 0 * a - 2), X, 0, f"{CONCENTRATION}-2 at index (0, 0); {POSITIVE}"),
    (dirichlet(lambda a: a.at[5, 2].set(0)), X, 0, f"{CONCENTRATION}0 at index (5, 2); {POSITIVE}"),
    (dirichlet(lambda a: a.at[5, 2].set(jnp.inf)), X, 0, f"{CONCENTRATION}inf at index (5, 2); {POSITIVE}"),
    (dirichlet(lambda a: a * jnp.nan), X, 0, f"{CONCENTRATION}nan at index (0, 0); {POSITIVE}"),
    (normal(decode=lambda x: x * jnp.nan), X, 0, "network.decode gives a value of nan at index (0, 0); it must be finite."),
    (normal(decode=lambda x: x + jnp.sqrt(0 * x)), X, 0, "whose slope is not finite"),
    (normal(), X, 7, LEARNING_RATE),
    # Of many rows the last ones too, by their place among all.
    (normal()._replace(encode=negative_above_five), np.eye(2500, 6, -2400) * 6, 0, f"{SCALE}-1 at index (2400, 0)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("vae", "x", "step", "message"), REASONS, ids=[message for *_, message in REASONS]
)
def test_what_is_named(vae, x, step, message):
    x = np.asarray(x, np.float32)
    params = vae.init(KEY, x[:1])
    reason = diagnosis.why_not_finite(vae, params, x, step=step)
    assert message in reason
    assert "\n" not in reason
    assert (LEARNING_RATE in reason) == (step > 0)


def test_a_model_that_encodes_to_something_else_hides_no_error():
    vae = normal()._replace(encode=lambda params, x: {"loc": x})
    reason = diagnosis.why_not_finite(vae, {}, X * 255, step=0)
    assert reason.startswith("The largest |value| of x is 255:")


def failure(call):
    with pytest.raises(FloatingPointError) as error:
        call()
    return str(error.value)


NEGATIVE = normal(lambda loc, scale: (loc, -scale))


def fit(vae, x=X, **options):
    return jaxvae.fit(KEY, vae, x, **{"batch_size": 16, "epochs": 2} | options)


@pytest.mark.parametrize("options", [{}, {"devices": 2}, {"on_non_finite": "skip"}], ids=str)
def test_through_fit(options):
    message = failure(lambda: fit(NEGATIVE, **options))
    assert message.startswith("step 0 (epoch 0): kl is nan; the parameters are those before it. ")
    assert f"{SCALE}-" in message
    assert LEARNING_RATE not in message


def test_a_learning_rate_is_blamed_once_there_was_an_update():
    message = failure(lambda: fit(normal(), optimizer=optax.sgd(1e20)))
    assert message.startswith("step 1 ")
    assert message.endswith(LEARNING_RATE)
    assert "scale the data" not in message


@pytest.mark.parametrize("devices", [None, 2])
def test_through_a_stream(devices):
    """The chunk that failed is looked at, not the first; its padding is not."""

    def batches():
        return iter([X, np.concatenate([X, 1e25 * X])])

    def encode(params, x):
        return x[:, :2], jnp.where(x[:, :2] == 0, -1.0, 1.0)

    message = failure(lambda: fit(normal()._replace(encode=encode), batches, devices=devices))
    assert "The largest |value| of x is 1e+25:" in message
    assert SCALE not in message


def test_through_members():
    """The member is named, and its parameters are looked at."""
    keys = jax.random.split(KEY, 3)
    options = {"batch_size": 40, "epochs": 3, "hyperparams": {"learning_rate": [1e-3, 1e30, 1e-3]}}
    message = failure(lambda: jaxvae.fit_many(keys, normal(), X, **options))
    assert message.startswith("member 1, step 1 ")
    assert "network.encode gives" in message
    first = failure(lambda: jaxvae.fit_many(keys, NEGATIVE, X, batch_size=40, epochs=1))
    assert first.startswith("member 0, step 0 ")
    assert f"{SCALE}-" in first


def test_through_an_estimator():
    vae = estimators.NormalVAE(layers=1, hidden_units=8, epochs=1, scale="none")
    assert "The largest |value| of x is 1e+06:" in failure(lambda: vae.fit(1e6 * X))


def test_through_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", 1e6 * X)
    line = "train --data x.npy --model normal --layers 1 --hidden-units 8 --epochs 1 --scale none"
    assert cli.main(line.split()) == 1
    captured = capsys.readouterr()
    (error,) = (line for line in captured.err.splitlines() if "error" in line)
    assert "step 0 (epoch 0)" in error
    assert "The largest |value| of x is 1e+06:" in error
    assert "The largest |value| of x is 1e+06: scale the data" in captured.out


def test_through_the_original_api():
    model = compat.VAE(*compat.dense_encoder_decoder(6, 2, 1, 8, "relu"))
    message = failure(lambda: model.train_op(1e30 * X, optax.sgd(0.1)))
    assert "The largest |value| of x is 1e+30:" in message
    assert LEARNING_RATE not in message


@pytest.mark.parametrize(("factor", "said"), [(255, True), (100, False)])
def test_data_out_of_all_scale_are_mentioned_though_the_loss_is_finite(factor, said, capsys):
    slow = optax.sgd(1e-12)
    fit(dirichlet(), factor * X, epochs=1, optimizer=slow, progress=True)
    assert ("scale the data" in capsys.readouterr().out) == said


def test_no_rows_are_not_too_large():
    """As on a host whose stream has ended before another's."""
    assert diagnosis.too_large(np.zeros((0, 3), np.float32)) == ""


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("small", [True, False])
def test_the_last_parameters_are_looked_at_where_large_and_where_small(large, small):
    params = {}
    if large:  # not copied to be looked at
        params["large"] = jnp.ones(epochs.LARGE)
    if small:
        params |= {"a": jnp.ones(3), "b": jnp.ones((2, 2), jnp.bfloat16)}
    steps = jnp.ones(2)
    metrics = Metrics(steps, steps, steps, steps, jnp.array([True, True]))

    def finite(params):
        state = TrainState(jnp.int32(2), params, ())
        return epochs._and_finite(metrics, 1, state).finite.tolist()

    assert finite(params) == [True, True]
    for name, leaf in params.items():
        for bad in (jnp.nan, jnp.inf, -jnp.inf):
            worse = params | {name: leaf.at[(-1,) * leaf.ndim].set(bad)}
            assert finite(worse) == [True, False], (name, bad)


def test_a_wide_run_that_overflows_in_its_last_step_ends_with_finite_parameters(monkeypatch):
    """One step of a huge rate: loss and gradient are finite, the faster program's update is not."""
    monkeypatch.setattr(epochs, "LARGE", 1)

    def after(rate):
        options = {"batch_size": 40, "epochs": 1, "optimizer": optax.sgd(rate)}
        return jaxvae.fit(KEY, normal(kl_weight=1e4), X, **options)[0].params["w"]

    slopes = np.abs(after(1.0) - after(0.0))
    assert np.median(slopes) > 1
    rate = float(np.finfo(np.float32).max / np.median(slopes))
    assert (slopes * np.float64(rate) > 3.5e38).any()
    assert np.isfinite(after(rate)).all()


@pytest.mark.parametrize("rate", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("optimizer", [optax.sgd, optax.adam])
def test_an_update_that_is_not_finite_is_no_update(optimizer, rate):
    """It would leave the parameters as they were, and each loss would be finite."""
    with pytest.raises(jaxvae.NonFiniteStepError, match="optimizer's update, is not") as caught:
        fit(normal(), optimizer=optimizer(rate))
    assert (caught.value.step, int(caught.value.state.step)) == (0, 0)
    step = jaxvae.make_train_step(normal(), optimizer(rate))
    start = jaxvae.init_state(KEY, normal(), optimizer(rate), X)
    params = jax.tree.map(np.asarray, start.params)
    state, metrics = step(KEY, start, jaxvae.Batch(X))
    assert not metrics.finite
    assert int(state.step) == 0
    jax.tree.map(np.testing.assert_array_equal, state.params, params)


def test_a_learning_rate_that_ends_in_nan():
    """The third step's, 1e-3 times the root of a negative number."""
    falling = optax.adam(lambda step: 1e-3 * jnp.sqrt(2.0 - step))
    with pytest.raises(jaxvae.NonFiniteStepError, match=r"^step 3 \(epoch 1\)"):
        fit(normal(), optimizer=falling)
    _, history = fit(normal(), optimizer=falling, on_non_finite="skip", epochs=1, batch_size=10)
    assert [record.skipped for record in history.epochs] == [1]
