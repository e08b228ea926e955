"""`fit`, evaluation and the parameters' file."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from conftest import small_vae
from jaxvae.training import manifest, run_folder, whole_files


def copy(tree):
    return jax.tree.map(jnp.copy, tree)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "reached"), [(jaxvae.likelihoods.normal(), 0.93), ("normal", 0.85)]
)
def test_the_dirichlet_model_learns_the_digits(key, digits, likelihood, reached):
    """With unit variance as the first version; a learned scale weighs x more, the label less."""
    vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10), likelihood=likelihood)
    state, history = jaxvae.fit(key, vae, digits.x_train, digits.y_train, batch_size=64, epochs=60)
    assert history.epochs[-1].loss < history.epochs[0].loss
    assert jaxvae.accuracy(vae, state.params, digits.x_test, digits.y_test) >= reached


def test_history(key, vae, digits):
    _, history = jaxvae.fit(key, vae, digits.x_train, digits.y_train, batch_size=500, epochs=3)
    assert [record.epoch for record in history.epochs] == [0, 1, 2]
    assert history.compile_seconds > 0
    for record in history.epochs:
        assert record.images_per_second == pytest.approx(1437 / record.seconds)
        assert np.isfinite([record.loss, record.reconstruction, record.kl]).all()
        assert record.loss == pytest.approx(record.reconstruction + record.kl, rel=1e-5)


@pytest.mark.slow
def test_two_fits_are_one_longer_fit(key, vae, digits):
    """Going on from a state with the same key is bit for bit the run that never stopped."""
    args = (vae, digits.x_train, digits.y_train)
    optimizer = optax.adam(1e-3)
    options = {"batch_size": 500, "optimizer": optimizer}
    whole, _ = jaxvae.fit(key, *args, epochs=4, **options)
    half, _ = jaxvae.fit(key, *args, epochs=2, **options)
    resumed, _ = jaxvae.fit(key, *args, epochs=2, state=half, **options)
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)


@pytest.mark.slow
def test_on_epoch_sees_each_epoch_and_can_stop(key, vae, digits):
    seen = []

    def on_epoch(record, state):
        seen.append((record.epoch, int(state.step)))
        return record.epoch == 1

    state, history = jaxvae.fit(
        key, vae, digits.x_train, digits.y_train, batch_size=500, epochs=5, on_epoch=on_epoch
    )
    assert seen == [(0, 3), (1, 6)]
    assert len(history.epochs) == 2
    assert int(state.step) == 6


def test_progress_is_quiet_unless_asked(key, vae, digits, capsys):
    args = (key, vae, digits.x_train, digits.y_train)
    jaxvae.fit(*args, batch_size=500, epochs=2)
    assert capsys.readouterr() == ("", "")
    jaxvae.fit(*args, batch_size=500, epochs=2, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Compiling")
    assert [line.split()[0] for line in lines[2:5]] == ["epoch", "1/2", "2/2"]
    assert lines[5].startswith("2 epochs in ")


@pytest.mark.parametrize("rate", [1e12, 3e38])
def test_bad_numbers_stop_the_run_and_keep_the_last_good_state(key, vae, digits, rate):
    """A learning rate that blows the parameters up: the error names the step."""
    with pytest.raises(jaxvae.NonFiniteStepError, match=r"step \d+ \(epoch \d+\): .* is") as error:
        jaxvae.fit(
            key,
            vae,
            digits.x_train,
            digits.y_train,
            batch_size=64,
            epochs=50,
            optimizer=optax.sgd(rate),
        )
    assert f"step {error.value.step} " in str(error.value)
    assert int(error.value.state.step) == error.value.step
    for leaf in jax.tree.leaves(error.value.state):
        assert np.isfinite(leaf).all()


def test_a_batch_larger_than_the_data(key, vae, digits):
    state, _ = jaxvae.fit(
        key, vae, digits.x_train[:50], digits.y_train[:50], batch_size=1000, epochs=2
    )
    assert int(state.step) == 2


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_batch_size(key, vae, digits):
    params = vae.init(key, digits.x_train[:1])
    whole = jaxvae.evaluate(key, vae, params, digits.x_test, digits.y_test, batch_size=360)
    pieces = jaxvae.evaluate(key, vae, params, digits.x_test, digits.y_test, batch_size=100)
    np.testing.assert_allclose(whole[:4], pieces[:4], rtol=1e-5)
    _, terms = vae.loss(params, key, jaxvae.Batch(digits.x_test, digits.y_test))
    assert whole.reconstruction == pytest.approx(float(terms.reconstruction.mean()), rel=1e-5)


def test_encode_mean_and_accuracy(key, digits):
    vae = small_vae("dirichlet")
    params = vae.init(key, digits.x_train[:1])
    z = jaxvae.encode_mean(vae, params, digits.x_test, batch_size=100)
    concentration = np.asarray(vae.encode(params, digits.x_test))
    np.testing.assert_allclose(
        z, concentration / concentration.sum(axis=1, keepdims=True), rtol=1e-5
    )
    share = jaxvae.accuracy(vae, params, digits.x_test, digits.y_test)
    assert share == pytest.approx((concentration.argmax(axis=1) == digits.y_test).mean())
    normal = small_vae("normal")
    params = normal.init(key, digits.x_train[:1])
    loc, _ = normal.encode(params, digits.x_test)
    np.testing.assert_allclose(
        jaxvae.encode_mean(normal, params, digits.x_test), loc, rtol=1e-5, atol=1e-6
    )


def test_a_symmetric_prior_needs_no_labels(key, digits):
    vae = small_vae("dirichlet", prior=jaxvae.symmetric_prior(0.5))
    _, history = jaxvae.fit(key, vae, digits.x_train, batch_size=64, epochs=3)
    assert history.epochs[-1].loss < history.epochs[0].loss


def test_parameters_survive_their_file(key, vae, digits, tmp_path):
    params = vae.init(key, digits.x_train[:1])
    whole_files.save_params(tmp_path / "params.npz", params)
    like = jax.eval_shape(vae.init, key, digits.x_train[:1])
    jax.tree.map(
        np.testing.assert_array_equal,
        whole_files.load_params(tmp_path / "params.npz", like),
        params,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["params.npz"]


def test_parameters_of_another_model_or_damaged_are_refused(key, vae, digits, tmp_path):
    path, like = tmp_path / "params.npz", jax.eval_shape(vae.init, key, digits.x_train[:1])
    params = vae.init(key, digits.x_train[:1])
    whole_files.save_params(path, {"w": jnp.ones(2)})
    with pytest.raises(ValueError, match="another model"):
        whole_files.load_params(path, like)
    whole_files.save_params(path, jax.tree.map(lambda leaf: jnp.ravel(leaf)[:1], params))
    with pytest.raises(ValueError, match="must be float32"):
        whole_files.load_params(path, like)
    whole_files.save_params(path, jax.tree.map(lambda leaf: leaf * jnp.nan, params))
    with pytest.raises(ValueError, match="must be finite"):
        whole_files.load_params(path, like)
    whole_files.save_params(path, params)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="whole NumPy file"):
        whole_files.load_params(path, like)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"params\.npz"):
        whole_files.load_params(path, like)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    whole_files.write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        whole_files.write_json(path, {"loss": float("nan")})
    assert whole_files.read_json(path) == {"loss": 1.0}
    with pytest.raises(TypeError), whole_files.whole(path) as new, new.open("w") as file:
        file.writelines(["half", 0])
    manifest.write(tmp_path)
    before = (tmp_path / manifest.MANIFEST).read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)  # the last moment
    with pytest.raises(ZeroDivisionError):
        manifest.write(tmp_path)
    assert (tmp_path / manifest.MANIFEST).read_bytes() == before
    assert whole_files.read_json(path) == {"loss": 1.0}
    assert {p.name for p in tmp_path.iterdir()} == {"summary.json", manifest.MANIFEST}


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    names = [".params.npz.a.tmp", ".summary.5eed.tmp.json", "figures/.loss.5eed.tmp.png"]
    kept = ["summary.json", ".hidden", "figures/loss.png", "notes.tmp"]
    (tmp_path / "figures").mkdir()
    for name in (*names, *kept):
        (tmp_path / name).touch()
    run_folder.clean(tmp_path)
    found = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == set(kept)


def test_a_file_without_a_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none/summary\.json must be in a folder"):
        whole_files.write_text(tmp_path / "none" / "summary.json", "{}")


@pytest.mark.parametrize("keys", [1, 2])
def test_held_out_examples_are_looked_at_once(digits, keys):
    """A check traces the model; each epoch anew it took most of the time of small data."""
    seen = []
    vae = small_vae("normal")

    def check_data(params, x, y=None):
        seen.append(x)
        vae.check_data(params, x, y)

    options = {"batch_size": 32, "validation": (digits.x_test[:32], None)}
    x = digits.x_train[:64]
    if keys == 1:
        make = lambda epochs: jaxvae.fit(  # noqa: E731
            jax.random.key(0), vae._replace(check_data=check_data), x, epochs=epochs, **options
        )
    else:
        make = lambda epochs: jaxvae.fit_many(  # noqa: E731
            jax.random.split(jax.random.key(0), 2), vae._replace(check_data=check_data), x,
            epochs=epochs, **options
        )  # fmt: skip
    make(1)
    once = len(seen)
    make(5)
    assert len(seen) == 2 * once
