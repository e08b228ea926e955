"""`fit_many`: sweeps of the model's and the optimizer's numbers, saved, resumed and measured."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import Checkpoints, bind, latents, likelihoods, objectives, priors
from jaxvae.training import checkpoints as files

X = np.random.default_rng(0).random((40, 6), np.float32)
KEYS = jax.random.split(jax.random.key(0), 3)
NETWORK = jaxvae.dense_dirichlet_network(6, 3, layers=1, hidden_units=4)
OPTIONS = {"batch_size": 16, "epochs": 3}
SWEPT = {
    "kl_weight": [0.5, 1.0, 4.0],
    "concentration": [0.3, 1.0, 2.0],
    "learning_rate": [1e-2, 1e-3, 1e-4],
}


def make(kl_weight, concentration):
    return bind(
        NETWORK,
        latents.dirichlet,
        priors.symmetric(concentration),
        likelihoods.normal(),
        objectives.elbo(kl_weight),
    )


def alone(member, **options):
    kl_weight, concentration, rate = (values[member] for values in SWEPT.values())
    return jaxvae.fit(
        KEYS[member],
        make(kl_weight, concentration),
        X,
        **OPTIONS | {"optimizer": optax.adam(rate)} | options,
    )


def together(**options):
    return jaxvae.fit_many(KEYS, make, X, **OPTIONS | {"hyperparams": SWEPT} | options)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("devices", [None, 2])
def test_a_sweep_of_three_numbers_is_each_run_alone(devices):
    held_out = (X[:10] + 0.1, None)
    states, histories = together(devices=devices, validation=held_out)
    for member in range(3):
        state, history = alone(member, validation=held_out)
        jax.tree.map(
            lambda a, b, i=member: np.testing.assert_allclose(b[i], a, atol=1e-5),
            state.params,
            states.params,
        )
        for one, other in zip(history.epochs, histories[member].epochs, strict=True):
            assert other.loss == pytest.approx(one.loss, rel=1e-5)
            assert other.validation_loss == pytest.approx(one.validation_loss, rel=1e-5)
    assert len({round(history.epochs[-1].loss, 3) for history in histories}) == 3


def test_patience_ends_each_member_as_alone():
    held_out, epochs = (X[::-1] * 2, None), 8
    options = {"validation": held_out, "patience": 1, "epochs": epochs}
    swept = SWEPT | {"learning_rate": [3.0, 1e-3, 1.0]}
    states, histories = together(hyperparams=swept, **options)
    lengths = []
    for member, rate in enumerate(swept["learning_rate"]):
        state, history = alone(member, optimizer=optax.adam(rate), **options)
        lengths.append(len(history.epochs))
        assert len(histories[member].epochs) == lengths[-1]
        assert int(states.step[member]) == int(state.step)
        jax.tree.map(
            lambda a, b, i=member: np.testing.assert_allclose(b[i], a, rtol=1e-3, atol=1e-3),
            state.params,
            states.params,
        )
    assert len(set(lengths)) > 1


@pytest.mark.parametrize("devices", [None, 2])
def test_a_resumed_sweep_is_the_sweep_to_the_bit(tmp_path, devices):
    options = {"validation": (X[:10], None), "patience": 9, "devices": devices}
    whole, histories = together(**options)
    where = Checkpoints(tmp_path, every=1)
    together(checkpoints=where, **options | {"epochs": 1})
    resumed, resumed_histories = together(checkpoints=where, **options)
    assert_same(resumed, whole)
    for one, other in zip(histories, resumed_histories, strict=True):
        assert [r.loss for r in one.epochs] == [r.loss for r in other.epochs]
        assert [r.validation_loss for r in one.epochs] == [r.validation_loss for r in other.epochs]
        assert_same([r.batch_losses for r in one.epochs], [r.batch_losses for r in other.epochs])
    optimizer = optax.inject_hyperparams(optax.adam)(1e-3)
    loaded = jaxvae.load_state(tmp_path, make(1.0, 1.0), optimizer, X)
    assert loaded.step.tolist() == [9, 9, 9]


def test_another_sweep_is_refused(tmp_path):
    together(checkpoints=Checkpoints(tmp_path))
    for change, named in (
        ({"hyperparams": SWEPT | {"kl_weight": [0.5, 1.0, 5.0]}}, "hyperparams"),
        ({"hyperparams": SWEPT | {"learning_rate": [1e-2, 1e-3, 1e-5]}}, "hyperparams"),
        ({"optimizer": optax.inject_hyperparams(optax.adamw)(1e-3)}, "optimizer"),
    ):
        with pytest.raises(ValueError, match=f"{named} must be that of the run"):
            together(checkpoints=Checkpoints(tmp_path), **change)
    with pytest.raises(ValueError, match="must be of one run, got those of 3 members"):
        alone(0, checkpoints=Checkpoints(tmp_path))


def test_a_second_sweep_compiles_nothing(monkeypatch):
    together()
    traces = []
    monkeypatch.setattr(objectives, "elbo", lambda w: traces.append(w) or make_elbo(w))
    make_elbo = jaxvae.model.objectives.elbo
    together()
    assert all(isinstance(weight, float) for weight in traces)  # on the host alone
    assert len(traces) == 3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"hyperparams": {"kl_weight": [1.0] * 3}}, ValueError, "hyperparams must hold 'concentr"),
        (
            {"hyperparams": SWEPT | {"kl_weight": [1.0, -1.0, 1.0]}},
            ValueError,
            "kl_weight must be .*at least 0",
        ),
        ({"hyperparams": SWEPT | {"momentum": [1.0] * 3}}, ValueError, "got 'momentum'"),
        ({"metrics": 3}, TypeError, "metrics must be a function"),
        ({"patience": 2}, ValueError, "validation must be given where patience is"),
    ],
)
def test_wrong_sweeps(change, error, message):
    with pytest.raises(error, match=message):
        together(**change)


def test_make_must_return_a_model():
    with pytest.raises(TypeError, match=r"make must return a jaxvae\.VAE, got int"):
        jaxvae.fit_many(KEYS, lambda: 3, X, **OPTIONS)
    with pytest.raises(TypeError, match=r"make must be a jaxvae\.VAE or a function"):
        jaxvae.fit_many(KEYS, 3, X, **OPTIONS)


# --- the user's metrics, and the objective's


def count(key, vae, state):
    assert vae.decode(state.params, jnp.full((1, 3), 1 / 3)).shape == (1, 6)
    return {"draw": jax.random.uniform(key), "step": int(np.float32(state.step))}


def test_metrics_are_in_the_record_and_in_the_checkpoint(tmp_path):
    options = {"metrics": count}
    _, history = alone(0, **options)
    where = Checkpoints(tmp_path, every=1)
    alone(0, checkpoints=where, **options | {"epochs": 2})
    _, resumed = alone(0, checkpoints=where, **options)
    draws = [record.more["draw"] for record in history.epochs]
    assert len(set(draws)) == 3
    assert [record.more for record in resumed.epochs] == [record.more for record in history.epochs]
    assert [record.more["step"] for record in history.epochs] == [3.0, 6.0, 9.0]
    about = json.loads((files.checkpoints_in(tmp_path)[-1] / files.ABOUT).read_text())
    assert [fields["more"]["draw"] for fields in about["beside"]["epochs"]] == draws
    _, many = together(**options)
    for member in range(3):
        _, one = alone(member, **options)
        assert [r.more for r in many[member].epochs] == [r.more for r in one.epochs]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"loss": 1.0}, ValueError, "metrics must not use the names of a record, got 'loss'"),
        ({"more": 1.0}, ValueError, "metrics must not use the names of a record, got 'more'"),
        ({"a": np.ones(2)}, ValueError, "metrics must return numbers, got .* for 'a'"),
        ({"a": "b"}, ValueError, "metrics must return numbers, got 'b' for 'a'"),
        ({1: 1.0}, TypeError, r"metrics must return \{name: number\}, got the name 1"),
        ([1.0], TypeError, r"metrics must return \{name: number\}, got list"),
    ],
)
def test_wrong_metrics(given, error, message):
    with pytest.raises(error, match=message):
        alone(0, metrics=lambda key, vae, state: given)


def scheduled(steps):
    return make(optax.linear_schedule(0.0, 1.0, steps), 1.0)


@pytest.mark.parametrize("as_stream", [False, True])
def test_a_schedule_is_reported_traced_once_and_said_to_be_unfinished(capsys, as_stream):
    vae, traces = scheduled(60), []

    def loss(params, key, batch, step):
        traces.append(1)
        return vae.loss(params, key, batch, step)

    counted = vae._replace(loss=loss)
    data = (lambda: iter([X])) if as_stream else X
    options = {"batch_size": 16, "progress": True}
    _, history = jaxvae.fit(KEYS[0], counted, data, epochs=20, **options)
    assert len(traces) == (2 if as_stream else 1)  # a chunk's loop asks for the metrics' shapes too
    said = capsys.readouterr().out
    assert "still changes" not in said
    weights = [record.more["kl_weight"] for record in history.epochs]
    assert weights[0] == pytest.approx((0 * 16 + 1 * 16 + 2 * 8) / 40 / 60)
    assert weights == sorted(weights)
    jaxvae.fit(KEYS[0], vae, data, epochs=19, **options)
    assert "The KL weight still changes at the last step, 57: it is 0.95" in capsys.readouterr().out


def test_checkpoints_and_the_three_old_arguments(tmp_path):
    with pytest.raises(ValueError, match="checkpoint_dir must be left out where checkpoints are"):
        alone(0, checkpoints=Checkpoints(tmp_path), checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"checkpoints\.every must be at least 1, got 0"):
        alone(0, checkpoints=Checkpoints(tmp_path, every=0))
    for where in ({"checkpoints": Checkpoints("")}, {"checkpoint_dir": ""}):
        with pytest.raises(ValueError, match=r"^checkpoint(s\.|_)dir must not be empty, got ''"):
            alone(0, **where)
    for where in ({"checkpoints": Checkpoints(None)}, {"checkpoint_dir": 5}):
        with pytest.raises(TypeError, match=r"^checkpoint(s\.|_)dir must be a path, got (5|None)"):
            alone(0, **where)
    with pytest.raises(ValueError, match=r"^path must not be empty, got ''"):
        jaxvae.load_state("", make(1.0, 1.0), optax.adam(1e-3), X)
    with pytest.raises(TypeError, match=r"checkpoints must be a jaxvae\.Checkpoints"):
        alone(0, checkpoints=str(tmp_path))
    one, _ = alone(0, checkpoints=Checkpoints(tmp_path / "a", every=1, keep=1))
    other, _ = alone(0, checkpoint_dir=tmp_path / "b", checkpoint_every=1, keep=1)
    assert_same(one, other)
    for name in ("a", "b"):
        assert [path.name for path in files.checkpoints_in(tmp_path / name)] == ["0000000009"]
