"""Nothing lost: what is restored is what was saved, whatever happened in between."""

import functools
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

import jaxvae
from conftest import small_vae
from jaxvae.apps import cli, compared, results, runs, seeds, topic_runs
from jaxvae.training import checkpoints, manifest, run_folder, saves, whole_files
from jaxvae.training.averaging import AveragedState, average_params, averaged_params

SMALL = {"batch_size": 256}


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def losses(history):
    return np.concatenate([record.batch_losses for record in history.epochs])


def fit(vae, data, folder, *, epochs, **options):
    where = {} if folder is None else {"checkpoint_dir": folder, "checkpoint_every": 1}
    return jaxvae.fit(
        jax.random.key(5),
        vae,
        data.x_train,
        data.y_train,
        **(SMALL | {"epochs": epochs} | where | options),
    )


@pytest.mark.parametrize("what", ["plain", "everything"])
def test_a_resumed_run_is_the_run(vae, digits, tmp_path, what):
    options = {}
    if what == "everything":
        schedule = optax.warmup_cosine_decay_schedule(0.0, 3e-3, 6, 36)
        inner = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
        noisy = optax.chain(optax.add_noise(1e-3, 0.5, jax.random.key(1)), inner)  # a key inside
        options = {
            "optimizer": average_params(noisy, 0.9),
            "validation": (digits.x_test, digits.y_test),
            "patience": 5,
        }
    whole, history = fit(vae, digits, None, epochs=6, **options)
    fit(vae, digits, tmp_path, epochs=2, **options)
    fit(vae, digits, tmp_path, epochs=3, **options)
    resumed, resumed_history = fit(vae, digits, tmp_path, epochs=6, **options)
    if what == "everything":
        whole, resumed = (
            jax.tree.map(
                lambda leaf: (
                    jax.random.key_data(leaf)
                    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
                    else leaf
                ),
                state,
            )
            for state in (whole, resumed)
        )
    assert_same(resumed, whole)
    np.testing.assert_array_equal(losses(resumed_history), losses(history))
    for own, other in zip(resumed_history.epochs, history.epochs, strict=True):
        assert (own.epoch, own.loss, own.kl) == (other.epoch, other.loss, other.kl)
        assert own.validation_loss == other.validation_loss
    _, same_history = fit(vae, digits, tmp_path, epochs=6, **options)
    assert same_history.compile_seconds == 0
    np.testing.assert_array_equal(losses(same_history), losses(history))


def test_a_resumed_run_on_other_devices(digits, tmp_path):
    vae = small_vae("dirichlet")
    whole, _ = fit(vae, digits, None, epochs=3)
    fit(vae, digits, tmp_path, epochs=2)
    resumed, history = fit(vae, digits, tmp_path, epochs=3, devices=3)
    assert len(history.epochs) == 3
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        resumed.params,
        whole.params,
    )


def test_a_stream_goes_on(vae, digits, tmp_path):
    def batches():
        for start in range(0, 1024, 128):
            yield digits.x_train[start : start + 128], digits.y_train[start : start + 128]

    def run(folder, epochs):
        return jaxvae.fit(
            jax.random.key(0), vae, batches, batch_size=128, epochs=epochs, checkpoint_dir=folder
        )

    whole, _ = run(None, 3)
    run(tmp_path, 1)
    assert_same(run(tmp_path, 3)[0], whole)


def test_the_last_and_the_best_are_kept(digits, tmp_path):
    """The learning rate of the later epochs does harm."""
    rate = optax.piecewise_constant_schedule(1e-3, {12: 300.0})
    _, history = fit(
        small_vae("normal"),
        digits,
        tmp_path,
        epochs=7,
        keep=2,
        optimizer=optax.adam(rate),
        validation=(digits.x_test, None),
    )
    best = int(np.argmin([record.validation_loss for record in history.epochs])) + 1
    assert best < 6
    kept = [int(path.name) // 6 for path in checkpoints.checkpoints_in(tmp_path)]
    assert kept == [best, 6, 7]


def test_early_stopping(digits, tmp_path):
    rate = optax.piecewise_constant_schedule(1e-3, {12: 300.0})
    vae, optimizer = small_vae("normal"), optax.adam(rate)
    held_out = (digits.x_test, None)
    state, history = fit(
        vae, digits, tmp_path, epochs=50, optimizer=optimizer, validation=held_out, patience=3
    )
    validation = [record.validation_loss for record in history.epochs]
    best = int(np.argmin(validation))
    assert len(validation) == best + 4
    evaluated = jaxvae.evaluate(jax.random.key(5), vae, state.params, *held_out)
    assert evaluated.loss == pytest.approx(validation[best], rel=1e-6)
    same = jaxvae.load_state(tmp_path, vae, optimizer, digits.x_train, best=True)
    assert_same(same, state)
    again, _ = fit(
        vae, digits, tmp_path, epochs=50, optimizer=optimizer, validation=held_out, patience=3
    )
    assert_same(again, state)


def test_a_resumed_run_compiles_its_step_once(vae, digits, tmp_path):
    fit(vae, digits, tmp_path, epochs=2)
    traces = []

    def loss(*args):
        traces.append(1)
        return vae.loss(*args)

    counted = vae._replace(loss=loss)  # another model: nothing compiled before is used again
    state, history = fit(counted, digits, tmp_path, epochs=12)
    assert len(history.epochs) == 12
    assert int(state.step) == 12 * 6  # the last batch is a partial one
    assert len(traces) == 1


def poisoned(vae, step, what):
    """The model, its loss NaN (or only its gradient) at one step of the run."""

    def loss(params, key, batch):
        value, terms = vae.loss(params, key, batch)
        base = jax.random.fold_in(jax.random.key(5), step)
        hit = jnp.all(jax.random.key_data(key) == jax.random.key_data(base))
        leaf = jax.tree.leaves(params)[0].reshape(-1)[0]
        if what == "gradient":  # the square root of 0 is finite, its slope is not
            return value + jnp.sqrt(jnp.where(hit, 0.0, 1.0) + (leaf - leaf)), terms
        return jnp.where(hit, jnp.nan, value), terms

    return vae._replace(loss=loss)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_nan_is_reported_at_its_step(vae, digits, tmp_path, what):
    with pytest.raises(jaxvae.NonFiniteStepError, match=r"step 15 \(epoch 2\)") as caught:
        fit(poisoned(vae, 15, what), digits, tmp_path, epochs=5)
    assert caught.value.step == 15
    assert int(caught.value.state.step) == 15
    never = poisoned(vae, 10_000, what)  # a program of another shape may round otherwise
    before, _ = fit(never, digits, None, epochs=2)
    assert_same(jaxvae.load_state(tmp_path, vae, optax.adam(1e-3), digits.x_train), before)
    for leaf in jax.tree.leaves(caught.value.state):
        assert np.isfinite(leaf).all()


def test_a_gradient_that_the_optimizer_hides_is_reported_too(digits):
    hides = optax.chain(optax.zero_nans(), optax.adam(1e-3))
    with pytest.raises(jaxvae.NonFiniteStepError, match=r"step 9 \(epoch 1\): the gradient"):
        fit(poisoned(small_vae("normal"), 9, "gradient"), digits, None, epochs=3, optimizer=hides)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_nan_is_skipped_on_request(digits, what):
    state, history = fit(
        poisoned(small_vae("normal"), 8, what),
        digits,
        None,
        epochs=3,
        on_non_finite="skip",
        checkpoint_every=None,
    )
    assert [record.skipped for record in history.epochs] == [0, 1, 0]
    assert int(state.step) == 18
    assert all(np.isfinite(record.loss) for record in history.epochs)
    for leaf in jax.tree.leaves(state):
        assert np.isfinite(leaf).all()


def test_an_epoch_of_nothing_else_raises(digits):
    vae = small_vae("normal")
    never = vae._replace(loss=lambda *args: (vae.loss(*args)[0] * jnp.nan, vae.loss(*args)[1]))
    with pytest.raises(jaxvae.NonFiniteStepError):
        fit(never, digits, None, epochs=1, on_non_finite="skip", checkpoint_every=None)


def test_a_relative_folder(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vae = small_vae("normal")
    whole, _ = fit(vae, digits, "runs/mine", epochs=2)
    assert (tmp_path / "runs" / "mine" / "0000000012").is_dir()
    assert_same(jaxvae.load_state("runs/mine", vae, optax.adam(1e-3), digits.x_train), whole)


@pytest.fixture(scope="module")
def two_checkpoints(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    vae = small_vae("normal")
    first, _ = fit(vae, digits, folder, epochs=1)
    fit(vae, digits, folder, epochs=2)
    return folder, vae, first


def damage(rng, path):
    """Flip a bit of a file, or cut it short; what was there."""
    content = path.read_bytes()
    if rng.random() < 0.2 or not content:
        path.write_bytes(content[: rng.integers(len(content))] if content else b"\0")
    else:
        place = int(rng.integers(len(content)))
        flipped = content[place] ^ (1 << int(rng.integers(8)))
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
    return content


def test_each_damage_is_found_and_the_checkpoint_before_used(two_checkpoints, digits):
    folder, vae, first = two_checkpoints
    last = checkpoints.checkpoints_in(folder)[-1]
    files = sorted(path for path in last.rglob("*") if path.is_file())
    assert len(files) > 5
    rng, optimizer = np.random.default_rng(0), optax.adam(1e-3)

    def load():
        return jaxvae.load_state(folder, vae, optimizer, digits.x_train)

    for i in range(500):
        path = files[i % len(files)]
        content = damage(rng, path)
        with pytest.raises(checkpoints.DamagedCheckpointError, match=last.name):
            checkpoints._verified(last)
        if i % 25 == 0:
            with pytest.warns(UserWarning, match=f"{last.name} is damaged.*going on from"):
                assert_same(load(), first)
        path.write_bytes(content)
    for name in ("arrays/one_more", "surplus"):
        (last / name).write_bytes(b"")
        with pytest.raises(checkpoints.DamagedCheckpointError, match="not one of its files"):
            checkpoints._verified(last)
        (last / name).unlink()
    assert int(load().step) == 12


def test_a_run_goes_on_from_before_a_damaged_checkpoint(digits, tmp_path):
    vae, folder = small_vae("normal"), tmp_path / "7"  # a folder named as a checkpoint could be
    whole, _ = fit(vae, digits, None, epochs=6)
    fit(vae, digits, folder, epochs=3)
    (checkpoints.checkpoints_in(folder)[-1] / checkpoints.ABOUT).write_text("{")
    with pytest.warns(UserWarning, match="0000000018 is damaged.*going on from 0000000012"):
        resumed, _ = fit(vae, digits, folder, epochs=6)
    assert_same(resumed, whole)
    assert_same(jaxvae.load_state(folder, vae, optax.adam(1e-3), digits.x_train), whole)


def test_nothing_whole_is_left(two_checkpoints, digits, tmp_path):
    folder, vae, _ = two_checkpoints
    name = checkpoints.checkpoints_in(folder)[0].name
    (tmp_path / name).mkdir()
    with pytest.raises(checkpoints.DamagedCheckpointError, match=r"manifest\.json.*no whole one"):
        jaxvae.load_state(tmp_path, vae, optax.adam(1e-3), digits.x_train)
    with pytest.raises(FileNotFoundError, match="path must hold a checkpoint"):
        jaxvae.load_state(tmp_path / "none", vae, optax.adam(1e-3), digits.x_train)


# Where Orbax does notice, it sometimes closes its event loop before TensorStore has called back.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_orbax_alone_does_not_find_a_flipped_bit(two_checkpoints):
    """Why there is a manifest: most bits flip without Orbax's notice."""
    from orbax import checkpoint as ocp

    last = checkpoints.checkpoints_in(two_checkpoints[0])[-1]
    data = max((last / checkpoints.ARRAYS).rglob("*"), key=lambda path: path.stat().st_size)
    rng, quiet = np.random.default_rng(0), 0
    for _ in range(20):
        content = data.read_bytes()
        place = int(rng.integers(len(content)))
        data.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
                orbax.restore(last / checkpoints.ARRAYS)
            quiet += 1
        except Exception:
            pass
        data.write_bytes(content)
    assert quiet > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: (arrays / "_METADATA").unlink(),
        lambda arrays: (arrays / "_METADATA").write_text("{"),
        lambda arrays: (arrays.parent / checkpoints.ABOUT).write_text("{"),
    ],
    ids=["missing", "metadata", "about"],
)
def test_what_is_as_written_but_cannot_be_read(two_checkpoints, digits, tmp_path, caplog, change):
    """Not by chance, then; still one error that names it, and Orbax logs nothing of its own."""
    folder, vae, _ = two_checkpoints
    last = checkpoints.checkpoints_in(folder)[-1]
    path = tmp_path / last.name
    shutil.copytree(last, path)
    change(path / checkpoints.ARRAYS)
    (path / manifest.MANIFEST).unlink()
    manifest.write(path)
    with pytest.raises(ValueError, match=f"{path.name}.* (is damaged|must hold)"):
        jaxvae.load_state(path, vae, optax.adam(1e-3), digits.x_train)
    assert caplog.text == ""


def test_what_others_log_is_heard(caplog):
    log = logging.getLogger("absl")
    before = list(log.filters)
    with checkpoints._orbax():
        log.error("another's")
    assert caplog.messages == ["another's"]
    assert log.filters == before


def test_the_lines_before_a_checkpoint_are_on_the_disk_before_it(tmp_path, monkeypatch):
    """Else a run that goes on after a power cut would lack some."""
    metrics = tmp_path / run_folder.METRICS
    metrics.write_text("a line\n")
    events, fsync, rename = [], os.fsync, Path.rename

    def spy(handle):
        events.append((os.fstat(handle).st_ino, os.fstat(handle).st_size))
        fsync(handle)

    def spy_rename(path, target):
        events.append(target.name)
        return rename(path, target)

    writer = checkpoints.CheckpointWriter(tmp_path / run_folder.CHECKPOINTS)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", spy)
        patched.setattr(Path, "rename", spy_rename)
        writer.save(7, {"w": np.ones(2)}, {}, score=None)
        writer.close()
    written = metrics.stat().st_ino, metrics.stat().st_size
    assert events.index(written) < events.index("0000000007")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"key": 6}, ValueError, "key must be that of the run in"),
        ({"batch_size": 128}, ValueError, "batch_size must be that of the run in .* 256, got 128"),
        ({"x": "other"}, ValueError, "x must be that of the run in"),
        (
            {"optimizer": optax.sgd(0.1)},
            ValueError,
            "optimizer must be that of the run in .*scale_by_adam",
        ),
        (
            {"model": "dirichlet"},
            ValueError,
            "vae must be that of the run in .*normal_vae, got .*dirichlet_vae",
        ),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1, got 0"),
        ({"keep": 0}, ValueError, "keep must be at least 1, got 0"),
        ({"on_non_finite": "stop"}, ValueError, "on_non_finite must be one of .* got 'stop'"),
        ({"patience": 3}, ValueError, "validation must be given where patience is, got None"),
        (
            {"validation": 3},
            TypeError,
            r"validation must be .* a pair \(x, y\) or a jaxvae.Batch, got int",
        ),
    ],
)
def test_another_run_is_refused(two_checkpoints, digits, change, error, message):
    folder, vae, _ = two_checkpoints
    change = dict(change)
    options = {"key": jax.random.key(change.pop("key", 5)), "x": digits.x_train}
    if change.pop("x", None):
        options["x"] = digits.x_train[::-1]
    vae = small_vae(change.pop("model", "normal"))
    y = digits.y_train
    before = sorted(folder.rglob("*"))
    with pytest.raises(error, match=message):
        jaxvae.fit(
            options["key"],
            vae,
            options["x"],
            None if change.get("validation") else y,
            **{**SMALL, "epochs": 3, "checkpoint_dir": folder, **change},
        )
    assert sorted(folder.rglob("*")) == before


def test_the_best_epoch_is_of_one_held_out_set(tmp_path, digits):
    """The losses of two sets cannot be compared; a run may do without one, before or after."""
    vae, x = small_vae("normal"), digits.x_train[:64]
    one, other = (x[:32], None), (x[32:], None)

    def go_on(folder, epochs, validation, **options):
        options |= {"validation": validation, "checkpoint_dir": tmp_path / folder}
        return jaxvae.fit(jax.random.key(0), vae, x, batch_size=32, epochs=epochs, **options)

    go_on("one", 1, one, patience=5)
    with pytest.raises(ValueError, match=r"validation must be that of the run in .*, got another"):
        go_on("one", 2, other, patience=5)
    _, history = go_on("one", 2, one, patience=5)
    assert all(record.validation_loss is not None for record in history.epochs)
    go_on("none", 1, None)
    _, history = go_on("none", 2, one, patience=9)
    assert [record.validation_loss is None for record in history.epochs] == [True, False]
    assert go_on("none", 3, None)[1].epochs[2].validation_loss is None
    # Epochs without held-out examples bring no lower loss, and no higher one.
    assert len(go_on("none", 4, one, patience=1)[1].epochs) == 4


def small(make=jaxvae.normal_vae, activation="relu", floor=0.1, **options):
    dense = {"layers": 1, "hidden_units": 8, "activation": activation}
    if make is jaxvae.normal_vae:
        return make(jaxvae.dense_normal_network(64, 2, **dense), **options)
    dense |= {"concentration_floor": floor}
    return make(jaxvae.dense_dirichlet_network(64, 10, **dense), **options)


DIRICHLET, ADAM = jaxvae.dirichlet_vae, optax.adam(1e-3)
BEFORE = {"normal": small(), "dirichlet": small(DIRICHLET)}
# Arrays of the same shapes, and another run: what has changed, and the word that says so.
OTHERS = {
    "activation": ("normal", small(activation="tanh"), ADAM, "activation"),
    "likelihood": ("normal", small(likelihood="bernoulli"), ADAM, "likelihood"),
    "objective": ("normal", small(objective="original"), ADAM, "objective"),
    "kl_weight": ("normal", small(kl_weight=4.0), ADAM, "kl_weight"),
    "prior_variance": ("normal", small(prior_variance=2.0), ADAM, "prior"),
    "prior": ("dirichlet", small(DIRICHLET, prior=jaxvae.symmetric_prior(1.0)), ADAM, "prior"),
    "smoothness": (
        "dirichlet",
        small(DIRICHLET, prior=jaxvae.label_prior(smoothness=0.1)),
        ADAM,
        "smoothness",
    ),
    "floor": ("dirichlet", small(DIRICHLET, floor=0.5), ADAM, "concentration_floor"),
    "learning rate": ("normal", BEFORE["normal"], optax.adam(1.0), "optimizer"),
    "betas": ("normal", BEFORE["normal"], optax.adam(1e-3, b1=0.5), "optimizer"),
    "optimizer": ("normal", BEFORE["normal"], optax.adabelief(1e-3), "optimizer"),
}
OFTEN = ("activation", "smoothness", "learning rate")  # each compiles an epoch of its own


@pytest.fixture(scope="module")
def small_run(digits, tmp_path_factory):
    """`fit(folder, name, vae, optimizer, epochs)` of a few digits, the first epoch made once."""
    data, made = (digits.x_train[:64], digits.y_train[:64]), {}

    def fit(folder, name, vae, optimizer):
        options = {"batch_size": 64, "checkpoint_dir": folder}
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            first = options | {"checkpoint_dir": made[name], "optimizer": ADAM}
            jaxvae.fit(jax.random.key(0), BEFORE[name], *data, epochs=1, **first)
        shutil.copytree(made[name], folder, dirs_exist_ok=True)
        _, history = jaxvae.fit(
            jax.random.key(0), vae, *data, epochs=2, optimizer=optimizer, **options
        )
        return history

    return fit


@pytest.mark.parametrize(
    ("name", "vae", "optimizer", "named"),
    [
        pytest.param(*other, id=id, marks=[] if id in OFTEN else pytest.mark.long)
        for id, other in OTHERS.items()
    ],
)
def test_a_run_does_not_go_on_with_another_model_or_optimizer(
    small_run, tmp_path, name, vae, optimizer, named
):
    with pytest.raises(ValueError, match=named):
        small_run(tmp_path, name, vae, optimizer)


def test_a_run_goes_on_with_an_equal_model_made_anew(small_run, tmp_path):
    history = small_run(tmp_path, "normal", small(), optax.adam(1e-3))
    assert [record.epoch for record in history.epochs] == [0, 1]


def test_a_state_where_there_is_a_run(two_checkpoints, digits, key):
    folder, vae, _ = two_checkpoints
    state = jaxvae.init_state(key, vae, optax.adam(1e-3), digits.x_train)
    with pytest.raises(ValueError, match=r"state must be None where .* holds a run"):
        fit(vae, digits, folder, epochs=3, state=state)


def test_another_format_is_refused(two_checkpoints, tmp_path, digits):
    folder, vae, _ = two_checkpoints
    source = checkpoints.checkpoints_in(folder)[0]
    target = tmp_path / source.name
    target.mkdir()
    about = json.loads((source / checkpoints.ABOUT).read_text())
    (target / checkpoints.ABOUT).write_text(json.dumps(about | {"format": 0, "jaxvae": "0.0.1"}))
    manifest.write(target)
    with pytest.raises(ValueError, match=r"format 1, got 0, written by jaxvae 0\.0\.1"):
        jaxvae.load_state(target, vae, optax.adam(1e-3), digits.x_train)


def test_one_writer_a_folder(tmp_path):
    writer = checkpoints.CheckpointWriter(tmp_path)
    with pytest.raises(OSError, match="is in use by another"):
        checkpoints.CheckpointWriter(tmp_path)
    writer.close()
    checkpoints.CheckpointWriter(tmp_path).close()


def test_strays_are_removed(tmp_path):
    (tmp_path / "0000000007.tmp").mkdir()
    (tmp_path / "0000000007.tmp" / "arrays").write_bytes(b"half")
    (tmp_path / "12345678901.old.tmp").mkdir()
    of_others = {"results.tmp", "7.tmp", "notes.old.tmp"}
    for name in of_others:
        (tmp_path / name).mkdir()
    checkpoints.CheckpointWriter(tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == {".lock", *of_others}


def test_a_folder_that_cannot_be_written(tmp_path, digits):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"checkpoints cannot be written to .*file"):
        fit(small_vae("normal"), digits, tmp_path / "file" / "run", epochs=1)


def test_a_full_disk(tmp_path, digits, monkeypatch):
    """The first save is made, the second finds no space: the first stays, nothing else."""
    vae = small_vae("normal")
    fit(vae, digits, tmp_path, epochs=1)

    def full(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write", full)
    with pytest.raises(OSError, match="No space left on device; the checkpoint before"):
        fit(vae, digits, tmp_path, epochs=3)
    assert [path.name for path in checkpoints.checkpoints_in(tmp_path)] == ["0000000006"]
    assert not list(tmp_path.glob("*" + whole_files.STRAY))


def test_saves_at_their_leisure(tmp_path, digits):
    """By default a save waits until 33 times its duration has gone by; the end is always saved."""
    fit(small_vae("normal"), digits, tmp_path, epochs=40, checkpoint_every=None)
    steps = [int(path.name) for path in checkpoints.checkpoints_in(tmp_path)]
    assert steps[-1] == 40 * 6
    assert len(steps) < 40


def test_the_average_against_its_definition():
    optimizer = average_params(optax.sgd(1.0), 0.8)
    params = {"w": jnp.zeros(3)}
    state, average = optimizer.init(params), np.zeros(3)
    rng = np.random.default_rng(0)
    for t in range(1, 60):
        grads = {"w": jnp.asarray(rng.normal(size=3), jnp.float32)}
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        decay = min(0.8, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * np.asarray(params["w"])
    assert isinstance(state, AveragedState)
    np.testing.assert_allclose(state.average["w"], average, rtol=1e-5, atol=1e-6)
    wrapped = jaxvae.TrainState(jnp.zeros(()), params, (optax.EmptyState(), state))
    np.testing.assert_array_equal(averaged_params(wrapped)["w"], state.average["w"])
    plain = jaxvae.TrainState(jnp.zeros(()), params, ())
    assert averaged_params(plain) is params
    for decay in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="decay must be"):
            average_params(optax.sgd(1.0), decay)


# The command line.

OPTIONS = ["--layers", "1", "--hidden-units", "8", "--batch-size", "256", "--checkpoint-every", "1"]


def environment():
    """A process that may be killed must not write to the cache of compiled programs."""
    return os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxvae", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def outcome(run):
    """The parameters and the metrics of a run that has ended."""
    params = load_file(run / run_folder.PARAMS)
    lines = [
        {k: v for k, v in json.loads(line).items() if k not in ("seconds", "images_per_second")}
        for line in (run / run_folder.METRICS).read_text().splitlines()
    ]
    return params, lines


def state_of(run):
    opened = runs.open_run(run)
    config, data, vae = opened.config, opened.data, opened.vae
    optimizer = runs.optimizer(config)
    return jaxvae.load_state(run / run_folder.CHECKPOINTS, vae, optimizer, data.x_train)


def wait_for_epoch(process):
    for line in process.stdout:
        if re.match(r" *\d+/\d+ ", line):
            return
    raise AssertionError(process.stderr.read())


def kill_at_random(rng, process, run):
    """SIGKILL: half of the times inside a save. Whether it was, or None if the run had ended."""
    folder = run / run_folder.CHECKPOINTS
    in_save = rng.random() < 0.5
    wait_for_epoch(process)
    time.sleep(rng.uniform(0, 0.4))
    while in_save and process.poll() is None and not list(folder.glob("*" + whole_files.STRAY)):
        time.sleep(0.001)
    inside = bool(list(folder.glob("*" + whole_files.STRAY)))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return None if process.returncode == 0 else inside


def killed_run(rng, run, kills, *options):
    """A run killed so many times and resumed each time, brought to its end."""
    inside, process = [], start("--out", run, *options)
    while len(inside) < kills:
        was_inside = kill_at_random(rng, process, run)
        if was_inside is None:
            return inside
        inside.append(was_inside)
        process = start("--resume", run)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    return inside


def check_killed(tmp_path, rng, kills, epochs, *options):
    options = ["--epochs", epochs, *OPTIONS, *options]
    assert cli.main(["train", "--out", str(tmp_path / "whole"), *map(str, options)]) == 0
    inside = killed_run(rng, tmp_path / "killed", kills, *options)
    whole, killed = outcome(tmp_path / "whole"), outcome(tmp_path / "killed")
    assert_same(killed, whole)
    assert_same(state_of(tmp_path / "killed"), state_of(tmp_path / "whole"))
    assert not [p for p in (tmp_path / "killed").rglob("*") if p.name.endswith(whole_files.STRAY)]
    return inside


def test_a_kill_while_metrics_are_cut_leaves_them_all(tmp_path, monkeypatch):
    path = tmp_path / run_folder.METRICS
    path.write_text("0\n1\n2\n")

    def killed(*_):
        raise KeyboardInterrupt  # at the last moment at which a kill leaves what was there

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            seeds.cut(path, 2)
    assert path.read_text() == "0\n1\n2\n"
    seeds.cut(path, 2)
    assert path.read_text() == "0\n1\n"


@pytest.mark.slow
def test_killed_and_resumed(tmp_path):
    inside = check_killed(tmp_path, np.random.default_rng(0), 2, 40)
    assert len(inside) == 2


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_killed_a_hundred_times(tmp_path, seed):
    """Twenty times for each seed, at least six of them inside a save."""
    model = ["--model", "normal"] if seed % 2 else ["--average", "0.99"]
    inside = check_killed(tmp_path, np.random.default_rng(seed), 20, 200, "--seed", seed, *model)
    print(f"{len(inside)} kills, {sum(inside)} of them inside a save")
    assert len(inside) == 20
    assert sum(inside) >= 6


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends(tmp_path, number, capsys):
    run = tmp_path / "run"
    process = start("--out", run, "--epochs", 100000, *OPTIONS, "--model", "normal")
    wait_for_epoch(process)
    process.send_signal(number)
    printed, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, error
    assert "Stopping after this epoch" in error
    assert f"To go on: jaxvae train --resume {run}" in " ".join(printed.split())
    done = len((run / run_folder.METRICS).read_text().splitlines())
    assert cli.main(["train", "--resume", str(run), "--epochs", str(done + 2)]) == 0
    assert f"Going on after epoch {done}." in capsys.readouterr().out
    assert json.loads((run / run_folder.SUMMARY).read_text())["epochs"] == done + 2
    newest = checkpoints.checkpoints_in(run / run_folder.CHECKPOINTS)[-1]
    for path in (newest, run):
        assert cli.main(["evaluate", str(path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]
    assert cli.main(["figures", str(newest)]) == 0


@pytest.mark.slow
def test_a_run_that_was_stopped_has_no_results_of_before(tmp_path, monkeypatch):
    """It had ended, and went on: its parameters are others now."""
    run = tmp_path / "run"
    made = [run / run_folder.SUMMARY, run / topic_runs.FILE]
    assert (
        cli.main(["train", "--out", str(run), "--epochs", "1", *OPTIONS, "--model", "normal"]) == 0
    )
    assert made[0].exists()
    made[1].touch()

    def stop(record):
        os.kill(os.getpid(), signal.SIGINT)
        return line(record)

    line = results.line
    monkeypatch.setattr(results, "line", stop)
    assert cli.main(["train", "--resume", str(run), "--epochs", "3"]) == 130
    assert not any(path.exists() for path in made)
    (entry,) = compared.read(run)
    assert "test_loss" not in entry.figures
    assert "has no summary.json: it was stopped" in entry.notes[0]
    # As of a run whose first step after it went on is not finite.
    for path in made:
        path.touch()
    runs.finish(run, runs.open_run(run).params)
    assert not any(path.exists() for path in made)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    process = start("--out", tmp_path / "run", "--epochs", 100000, *OPTIONS, "--model", "normal")
    for line in process.stdout:
        if line.startswith("Compiling"):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1] == "interrupted"
    assert "Traceback" not in error


@pytest.mark.slow
def test_resume_refuses(tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--epochs", "2", *OPTIONS, "--model", "normal", "--schedule", "cosine"]
    assert cli.main(["train", "--out", str(run), *options]) == 0
    capsys.readouterr()
    (run / run_folder.SUMMARY).unlink()  # as of one that was killed before it: there is work left
    before = sorted(run.rglob("*"))
    for arguments, message in (
        (["--layers", "3"], "resume must be given alone or with --epochs"),
        (["--epochs", "3"], "epochs must be 2 or left out"),
    ):
        assert cli.main(["train", "--resume", str(run), *arguments]) == 1
        assert message in capsys.readouterr().err
    assert cli.main(["train", "--resume", str(tmp_path)]) == 1
    assert "config.json" in capsys.readouterr().err
    writer = checkpoints.CheckpointWriter(run / run_folder.CHECKPOINTS)
    assert cli.main(["train", "--resume", str(run)]) == 1
    assert "in use by another process" in capsys.readouterr().err
    writer.close()
    assert sorted(run.rglob("*")) == before


def test_nothing_is_unpickled():
    for path in Path(jaxvae.__file__).parent.rglob("*.py"):
        text = path.read_text()
        assert "pickle.load" not in text
        assert "Unpickler" not in text
        assert "allow_pickle=True" not in text


def test_a_whole_checkpoint_gives_no_warning(two_checkpoints, digits):
    folder, vae, _ = two_checkpoints
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state = jaxvae.load_state(folder, vae, optax.adam(1e-3), digits.x_train)
    assert int(state.step) == 12


@pytest.mark.parametrize("name", ["normal", "dirichlet"])
def test_checkpoints_of_the_first_version_are_read(name, digits):
    """They name no model, no optimizer and no further metrics: shapes are all that is compared."""
    folder = Path(__file__).parents[1] / "data" / "runs_0.1" / name / run_folder.CHECKPOINTS
    config = json.loads((folder.parent / "config.json").read_text())
    rate, unit = config["learning_rate"], {"likelihood": jaxvae.likelihoods.normal()}
    adam = optax.adam(rate)
    optimizer = adam if config["average"] is None else average_params(adam, config["average"])
    shape = {"layers": config["layers"], "hidden_units": config["hidden_units"]}
    if name == "normal":
        vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, **shape), **unit)
    else:
        vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10, **shape), **unit)
    last = checkpoints.checkpoints_in(folder)[-1]
    state = jaxvae.load_state(last, vae, optimizer, digits.x_train)
    assert int(state.step) == int(last.name)
    tree = functools.partial(saves.saved_tree, state)
    found, beside = checkpoints.read_checkpoint(last, tree)
    (records,) = saves._records(beside, found["losses"])
    assert [record.more for record in records] == [{}] * config["epochs"]
    own = saves.run_print(jax.random.key(0), 1, {}, vae, optimizer)
    theirs = beside["fingerprint"]
    assert not set(theirs) & {"vae", "optimizer"}
    same = {entry: theirs.get(entry) for entry in own if entry not in saves.DESCRIBED}
    saves.check_print("run", theirs, own | same)
