"""What a researcher tried to build on the first version: each a program of public names that runs.

The programs are the pages of the gallery in docs/gallery. A limit is on the statements between the
imports and the first call that trains, nested ones counted; loading the data is not counted.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "gallery"
LIMITS = {
    "iwae": 4,
    "own_latent": 15,
    "counts": 3,
    "sparse_counts": 3,
    "images": 3,
    "dropout_and_batch_norm": 10,
    "warm_up": 2,
    "learned_priors": 3,
    "learned_scale": 1,
    "conditional": 4,
    "missing_labels": 2,
    "active_units": 3,
    "own_loop": 8,
    "bfloat16": 1,
    "eight_draws": 1,
    "gradients": 1,
}
# What a program prints in the end.
ENDS = {
    "own_latent": "on the sphere: True",
    "dropout_and_batch_norm": "kept beside what is trained: ['decoder', 'encoder']",
    "bfloat16": "{'float32'}",
    "conditional": "(5, 64)",
    "images": "(64, 33, 20, 3)",
    "sparse_counts": "(1000, 20)",
}
TRAINS = ("fit", "init_state")
DATA = {"load_digits", "csr_array", "default_rng"}
LARGEST = 400  # MB above the import of what it imports


def calls(node):
    return {
        getattr(call.func, "attr", None) for call in ast.walk(node) if isinstance(call, ast.Call)
    }


def statements(source):
    """The statements before the first that trains, but imports, the docstring, and data."""
    found = []

    def visit(body):
        for node in body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            inside = getattr(node, "body", [])
            if not inside and calls(node) & {*TRAINS}:
                return False
            if not (calls(node) & DATA and not inside):
                found.append(node)
            if not visit(inside):
                return False
        return True

    visit(ast.parse(source).body)
    return found


def run(name, *before, **environment):
    """A program in a process of its own, as its reader would run it."""
    path = FOLDER / f"{name}.py"
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_NUM_CPU_DEVICES": "4"}
    done = subprocess.run(
        [sys.executable, *before, str(path)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **devices, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_has_a_limit():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_a_program_is_short(name):
    assert 1 <= len(statements((FOLDER / f"{name}.py").read_text())) <= LIMITS[name]


def test_statements_are_counted():
    source = "import a\nx = 1\nfor y in x:\n    z = y\n    fit = a.fit(z)\n    w = 3\n"
    assert len(statements(source)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LIMITS if name != "sparse_counts"])
def test_a_program_runs(name):
    printed = run(name).strip().splitlines()
    assert printed
    if name in ENDS:
        assert printed[-1] == ENDS[name]
    if name == "own_loop":  # by jit and by shard_map, to rounding
        by_jit, by_shard_map = (float(line.removeprefix("loss ")) for line in printed)
        assert abs(by_jit - by_shard_map) < 0.01
    if name == "warm_up":
        assert printed[-1].startswith("[0.11, ")
        assert printed[-1].endswith(" 1.0]")


MEMORY = """
import re, runpy, sys
import jaxvae, jax, scipy.sparse
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
jax.numpy.zeros(1).block_until_ready()
before = peak()
runpy.run_path(sys.argv[1], run_name="__main__")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_sparse_counts_stay_small():
    *_, shape, peak = run("sparse_counts", "-c", MEMORY, XLA_FLAGS="").strip().splitlines()
    assert shape == ENDS["sparse_counts"]
    assert float(peak) < LARGEST
