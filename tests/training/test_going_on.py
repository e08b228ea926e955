"""How a run goes on: its best state, losses that are not finite, streams; what it leaves."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

import jaxvae
from jaxvae import Batch, datasets, parallel, transforms
from jaxvae.training.history import lowest

KEY = jax.random.key(0)
X = np.random.default_rng(0).random((128, 8)).astype(np.float32)
VAE = jaxvae.normal_vae(jaxvae.dense_normal_network(8, 2, layers=1, hidden_units=8))
OPTIMIZER = optax.adam(1e-3)
WORSE = optax.adam(optax.piecewise_constant_schedule(1e-2, {16: 300.0}))  # from epoch 4 on
HELD_OUT = {"validation": (X[:40], None)}


def fit(vae=VAE, x=X, **options):
    return jaxvae.fit(KEY, vae, x, **({"batch_size": 32, "epochs": 1} | options))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# --- the best state


def test_patience_is_refused_where_the_best_state_was_not_kept(tmp_path):
    folder = {"checkpoint_dir": tmp_path, "optimizer": WORSE}
    fit(epochs=7, **HELD_OUT, **folder)
    with pytest.raises(ValueError, match=r"patience must be None, as when the run in .* got 3"):
        fit(epochs=9, patience=3, **HELD_OUT, **folder)
    with pytest.raises(FileNotFoundError, match=r"path must hold a best state where best is True"):
        jaxvae.load_state(tmp_path, VAE, WORSE, X, best=True)


def test_the_best_state_goes_on_being_the_best_without_patience(tmp_path):
    folder = {"checkpoint_dir": tmp_path}
    fit(epochs=2, patience=9, **HELD_OUT, **folder)
    fit(epochs=6, **HELD_OUT, **folder)  # its losses fall, so the best is a state of this part
    state, history = fit(epochs=7, patience=9, **HELD_OUT, **folder)
    losses = [record.validation_loss for record in history.epochs]
    assert int(state.step) == 4 * (1 + int(np.argmin(losses))) > 8


# --- a loss on held-out examples that is not finite


def test_a_held_out_loss_that_is_not_finite_is_said_and_never_the_lowest(tmp_path):
    held_out = X[:8].copy()
    held_out[0, 0] = 1e30
    options = {"validation": (held_out, None), "patience": 2, "epochs": 3}
    with pytest.warns(UserWarning, match=r"the loss on validation is (inf|nan) after"):
        _, history = fit(checkpoint_dir=tmp_path, checkpoint_every=1, **options)
    assert len(history.epochs) == 3
    again, restored = fit(checkpoint_dir=tmp_path, **options)
    assert int(again.step) == 12
    found = [record.validation_loss for record in restored.epochs]
    np.testing.assert_array_equal(found, [record.validation_loss for record in history.epochs])
    assert not np.isfinite(found).any()


def test_the_member_is_named_whose_held_out_loss_is_not_finite():
    held_out = X[:8].copy()
    held_out[0, 0] = 1e30
    keys = jax.random.split(KEY, 2)
    with pytest.warns(UserWarning, match=r"the loss of member . on validation is") as caught:
        jaxvae.fit_many(keys, VAE, X, batch_size=32, epochs=1, validation=(held_out, None))
    assert [str(own.message).split()[4] for own in caught] == ["0", "1"]


def test_a_loss_after_one_that_is_not_finite_can_be_the_lowest():
    assert lowest([float("nan"), 3.0, float("inf"), 2.0]) == 2.0
    assert lowest([float("nan")]) == float("inf")


# --- streams


@pytest.mark.parametrize("kind", ["rows", "pictures"])
def test_a_shuffled_stream_goes_on_where_it_was(tmp_path, kind):
    if kind == "rows":
        stream = datasets.stream_rows(X, batch_size=32)
    else:
        image = pytest.importorskip("PIL.Image")
        (tmp_path / "pictures").mkdir()
        for i, row in enumerate(X[:64]):
            pixels = (255 * row[:, None]).astype(np.uint8)
            image.fromarray(pixels).save(tmp_path / "pictures" / f"{i:03}.png")
        stream = datasets.stream_images(tmp_path / "pictures", batch_size=32)

    def run(folder, epochs):
        x = stream.shuffled(jax.random.key(1))
        shape = next(iter(stream)).shape[1:]
        network = jaxvae.dense_normal_network(shape, 2, layers=1, hidden_units=8)
        scaled = transforms.divided_by(1.0 if kind == "rows" else 255.0)
        return fit(
            jaxvae.normal_vae(network, transform=scaled), x, epochs=epochs, checkpoint_dir=folder
        )

    whole, _ = run(None, 3)
    run(tmp_path / "run", 1)
    again, _ = run(tmp_path / "run", 3)
    assert_same(whole.params, again.params)
    stopped = datasets.stream_rows(X, batch_size=32).shuffled(jax.random.key(1))
    if kind == "rows":  # another order is another run
        stopped.next_pass(1)
        other, _ = fit(x=stopped, epochs=3)
        assert not np.array_equal(*(jax.tree.leaves(own.params)[1] for own in (whole, other)))


# --- what a run leaves behind


def test_the_data_leave_the_device_with_the_run():
    def held():
        return sum(array.nbytes for array in jax.live_arrays())

    fit()
    gc.collect()
    gc.disable()
    try:
        before = held()
        for _ in range(3):
            fit(x=np.tile(X, (50, 1)))
        assert held() - before < np.tile(X, (50, 1)).nbytes
    finally:
        gc.enable()


def test_a_function_of_a_placement_is_let_go():
    class Held:
        pass

    def once():
        held = Held()
        where = parallel.Placement(
            1, params=lambda params, held=held: jax.tree.map(lambda _: PartitionSpec(), params)
        )
        fit(devices=where)
        return weakref.ref(held)

    reference = once()
    gc.collect()
    assert reference() is None


# --- what can be said before a run


def test_a_schedule_that_jax_cannot_trace_is_named():
    vae = jaxvae.normal_vae(
        jaxvae.dense_normal_network(8, 2), kl_weight=lambda step: min(1.0, step / 1000)
    )
    with pytest.raises(TypeError, match=r"kl_weight must be a function of the step that JAX can"):
        fit(vae)


def test_a_state_made_by_hand_can_be_stepped():
    optimizer = jaxvae.average_params(OPTIMIZER)
    params = VAE.init(KEY, X)
    state = jaxvae.TrainState(jnp.int32(0), params, optimizer.init(params))
    after, metrics = jaxvae.make_train_step(VAE, optimizer)(KEY, state, Batch(X[:32]))
    assert (int(after.step), bool(metrics.finite)) == (1, True)
