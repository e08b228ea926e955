"""What the command line and `fit` compile is on disk the next time; damaged ones do no harm.

In processes of their own: the suite's has a cache already, which `keep_compiled` leaves alone.
"""

import json
import os
import subprocess
import sys

import pytest

# Counts what JAX finds in its cache and what it does not, and says what is warned of.
PROGRAM = """
import collections, json, sys, warnings
import jax
from jaxvae.apps import cli
from jaxvae.training.compilation_cache import keep_compiled

events, shown = collections.Counter(), []
jax.monitoring.register_event_listener(lambda event, **_: events.update([event.split("/")[-1]]))
warnings.showwarning = lambda message, *_: shown.append(str(message))
argv = sys.argv[1:]
if argv[:1] == ["fit"]:
    import numpy as np
    import jaxvae

    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(8, 2, layers=1, hidden_units=4))
    key, x = jax.random.key(0), np.ones((8, 8), np.float32)
    options = {"batch_size": 4, "epochs": 1, "keep_compiled": argv[1] == "keep"}
    jaxvae.fit(key, vae, x, **options)
    jaxvae.fit_many(jax.random.split(key, 2), vae, x, **options)
elif argv:
    assert cli.main(argv) == 0
else:
    with keep_compiled():
        assert jax.jit(lambda x: x * 3 + 1)(2.0) == 7
left = jax.config.jax_compilation_cache_dir
print(json.dumps([events["cache_hits"], events["cache_misses"], shown, left]))
"""


def run(cache, *argv, **environment):
    """Programs found, programs compiled, warnings, and JAX's folder afterwards."""
    env = {k: v for k, v in os.environ.items() if "_CACHE_" not in k and k != "XLA_FLAGS"}
    env |= {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(cache / "matplotlib"), **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv], env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def entries(cache):
    return sorted((cache / "jaxvae").rglob("*-cache"))


def test_a_second_start_compiles_nothing(tmp_path):
    _, compiled, _, left = run(tmp_path)
    assert compiled == len(entries(tmp_path)) > 0
    assert left is None  # as before
    assert run(tmp_path)[:3] == [compiled, 0, []]
    for folder in (tmp_path / "jaxvae" / "programs").iterdir():
        assert folder.stat().st_mode & 0o777 == 0o700


def test_training_keeps_its_programs_where_it_is_told_to(tmp_path):
    run(tmp_path, "fit", "no")
    assert not (tmp_path / "jaxvae").exists()
    found, compiled, _, left = run(tmp_path, "fit", "keep")
    assert compiled == len(entries(tmp_path)) > 0
    assert left is None
    assert run(tmp_path, "fit", "keep")[:2] == [found + compiled, 0]


@pytest.mark.long
def test_the_command_line_keeps_its_programs(tmp_path):
    command = ["train", "--epochs", "1", "--layers", "1", "--hidden-units", "16"]
    first = run(tmp_path, *command, "--out", str(tmp_path / "first"))
    second = run(tmp_path, *command, "--out", str(tmp_path / "second"))
    assert first[1] > 20
    assert second[:2] == [first[0] + first[1], 0]
    params = [(tmp_path / out / "params.safetensors").read_bytes() for out in ("first", "second")]
    assert params[0] == params[1]


@pytest.mark.parametrize("damage", [b"", b"not compressed", None])
def test_a_damaged_program_is_compiled_again(tmp_path, damage):
    run(tmp_path)
    for path in entries(tmp_path):
        path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    assert run(tmp_path)[2] == []
    assert entries(tmp_path) == []  # emptied, as JAX would never replace an entry
    assert run(tmp_path)[1] == len(entries(tmp_path)) > 0


def test_nothing_is_kept_where_others_can_write(tmp_path):
    run(tmp_path)
    folder = entries(tmp_path)[0].parent
    folder.chmod(0o777)
    assert run(tmp_path)[:2] == [0, 0]


def test_nothing_is_kept_without_a_folder(tmp_path):
    (tmp_path / "jaxvae").write_text("in the way")
    assert run(tmp_path)[:3] == [0, 0, []]


def test_what_jax_was_told_stands(tmp_path):
    own = tmp_path / "own"
    named = run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(own))
    assert named[3] == str(own)
    run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0")
    assert not (tmp_path / "jaxvae").exists()
