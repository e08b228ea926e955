"""The same run on any number of devices and hosts. Each case runs in its own process."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxvae
from conftest import no_devices_said
from jaxvae import Batch
from jaxvae.training import devices

WORKER = Path(__file__).parents[1] / "device_worker.py"
TIMEOUT = 600  # seconds; no test of this kind may hang


def work(job, out):
    subprocess.run(
        [sys.executable, WORKER, job, out],
        check=True,
        timeout=TIMEOUT,
        env=no_devices_said(),
    )
    with np.load(out) as file:
        return dict(file)


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def differences(found):
    """Of each gradient from one device's, relative to its norm."""
    one = found["one/gradient"]
    return {
        name: np.linalg.norm(value - one) / np.linalg.norm(one)
        for name, value in found.items()
        if name.endswith("/gradient")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "objective"),
    [
        ("normal", "elbo"),
        ("dirichlet", "original"),
        pytest.param("normal", "original", marks=pytest.mark.long),
        pytest.param("dirichlet", "elbo", marks=pytest.mark.long),
    ],
)
def test_the_gradient_of_one_step(model, objective, tmp_path):
    """50 rows, 7 of them of weight 0, over 1, 2, 4, 8 devices; shard_map and vmap too."""
    found = work(f"{model}/{objective}", tmp_path / "out.npz")
    assert len(differences(found)) == 7
    for name, difference in differences(found).items():
        assert difference < 1e-6, name
        metrics = name.replace("gradient", "metrics")
        np.testing.assert_allclose(found[metrics], found["one/metrics"], rtol=1e-6)
    assert found["one/metrics"][3] == 43


@pytest.mark.slow
def test_a_wrong_reduction_is_noticed(tmp_path):
    found = work("broken reduction", tmp_path / "out.npz")
    assert differences(found)["pmap 4/gradient"] > 1e-3


@pytest.mark.slow
def test_the_same_run(tmp_path):
    found = work("run", tmp_path / "out.npz")
    for model in ("normal", "dirichlet"):
        one = found[f"{model}/1/losses"]
        assert len(one) == 200
        for count in ("3", "8"):
            np.testing.assert_allclose(found[f"{model}/{count}/losses"], one, rtol=1e-4)
        for what in ("losses", "params"):
            again = found[f"{model}/8 again/{what}"]
            np.testing.assert_array_equal(again, found[f"{model}/8/{what}"])
        assert [found[f"{model}/{n}/traces"] for n in ("1", "3", "8", "8 again")] == [1, 1, 1, 1]
        assert found[f"{model}/replicas equal"]
        # One sum a step, of the parameters, three metrics and the weight.
        assert found[f"{model}/messages"].tolist() == [found[f"{model}/parameters"] + 4]


def two_hosts(command):
    """Run a command as two processes that join each other; what each printed."""
    address = free_address()
    started = [
        subprocess.Popen(
            [sys.executable, *command(address, index)],
            env=no_devices_said() | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=TIMEOUT) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, outputs, strict=True):
        assert process.returncode == 0, errors
    return [printed for printed, _ in outputs]


@pytest.mark.slow
def test_two_hosts(tmp_path, digits):
    two_hosts(lambda at, i: [WORKER, "hosts", tmp_path / f"{i}.npz", at, str(i)])
    found = []
    for index in range(2):
        with np.load(tmp_path / f"{index}.npz") as file:
            found.append(dict(file))
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value)
    network = jaxvae.dense_dirichlet_network(64, 10, layers=2, hidden_units=16)
    unit = jaxvae.likelihoods.normal()
    vae, key = jaxvae.dirichlet_vae(network, likelihood=unit), jax.random.key(0)

    def stream():
        yield digits.x_train, digits.y_train

    for name, x, y, batch_size in (
        ("arrays", digits.x_train, digits.y_train, 50),
        ("stream", stream, None, 52),
    ):
        state, history = jaxvae.fit(key, vae, x, y, batch_size=batch_size, epochs=2)
        losses = np.concatenate([record.batch_losses for record in history.epochs])
        np.testing.assert_allclose(found[0][f"{name}/losses"], losses, rtol=1e-4)
        params = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])
        np.testing.assert_allclose(found[0][f"{name}/params"], params, atol=1e-4)


@pytest.mark.slow
def test_the_command_line_on_two_hosts(tmp_path):
    """One writes and prints; both end."""
    options = ["--epochs", "2", "--layers", "1", "--hidden-units", "8", "--batch-size", "256"]
    printed = two_hosts(
        lambda at, i: [
            *("-m", "jaxvae", "train", "--out", tmp_path / f"run{i}", *options),
            *("--distributed", f"{at},2,{i}"),
        ]
    )
    assert re.search(r"^ *2/2 ", printed[0], re.MULTILINE)
    assert "epoch" not in printed[1]
    assert "results" not in printed[1]
    assert not (tmp_path / "run1").exists()
    summary = json.loads((tmp_path / "run0" / "summary.json").read_text())
    assert summary["epochs"] == 2
    assert summary["device"].startswith("4 x")


@pytest.mark.long
def test_a_hundred_runs_on_eight_devices(tmp_path):
    first = work("once", tmp_path / "out.npz")["params"]
    for _ in range(99):
        np.testing.assert_array_equal(work("once", tmp_path / "out.npz")["params"], first)


def test_split_rows():
    x, y = np.arange(14.0).reshape(7, 2), np.arange(7)
    split = devices.split_rows(Batch(x, y), 3)
    assert split.x.shape == (3, 3, 2)
    assert split.position.tolist() == [[0, 1, 2], [3, 4, 5], [6, 0, 0]]
    assert split.weight.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0]]
    assert split.y.reshape(-1)[:7].tolist() == y.tolist()
    stacked = Batch(np.stack([x, x + 14]), None, np.ones((2, 7), np.float32))
    split = devices.split_rows(stacked, 3, axis=1)
    assert split.x.shape == (3, 2, 3, 2)
    np.testing.assert_array_equal(split.x[1, 1], x[3:6] + 14)
    assert split.y is None


@pytest.mark.parametrize(
    ("devices", "error", "message"),
    [
        (0, ValueError, "devices must be at least 1, got 0"),
        (9, ValueError, "devices must be at most 8 here, got 9"),
        (1.5, TypeError, "devices must be JAX devices or how many, .* got 1.5"),
        ([], ValueError, "devices must be different ones of"),
        ([jax.devices()[0]] * 2, ValueError, "devices must be different ones of"),
    ],
)
def test_wrong_devices(devices, error, message, digits, vae, key):
    with pytest.raises(error, match=message):
        jaxvae.fit(
            key, vae, digits.x_train, digits.y_train, batch_size=64, epochs=1, devices=devices
        )


def test_how_many_devices_may_be_a_numpy_integer():
    assert devices.choose_devices(np.int64(2)) == devices.choose_devices(2)
