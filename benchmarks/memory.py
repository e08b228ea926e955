"""What a run holds at most: after the imports, after the data, after a first epoch. MiB of VmHWM.

The README's Dirichlet workload, a fresh process each: MNIST as float32, the same as bytes, and a
few rows alone, which leaves what JAX and its compiler take. PyTorch eager beside it.
Medians of five processes each: what XLA's compiler takes depends on how its threads happen to run.
`make bench-memory` takes two minutes and writes `results/memory.json` and `.md`.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from competitors import Case, prepare
from worker import Worker

CASE = Case("dirichlet", 10, 64)
FEW, ROUNDS = 640, 5
# What a table calls it: which competitor it is, and whether it gets bytes, or a few rows.
RUNS = {
    "jaxvae": ("jaxvae", np.float32, None),
    "jaxvae, bytes": ("jaxvae", np.uint8, None),
    f"jaxvae, {FEW} rows": ("jaxvae", np.float32, FEW),
    "PyTorch, eager": ("PyTorch, eager", np.float32, None),
    f"PyTorch, eager, {FEW} rows": ("PyTorch, eager", np.float32, FEW),
}
IMPORTS = {"jaxvae": "jaxvae", "PyTorch, eager": "torch"}


def stages(name, folder):
    """Run one of them in this process, and print what it held at each stage."""
    held, (competitor, dtype, rows) = {}, RUNS[name]
    importlib.import_module(IMPORTS[competitor])
    held["imports"] = Worker().memory()["mib"]
    x = first_rows(Path(folder, f"{np.dtype(dtype).name}.npy"), rows)
    y = first_rows(Path(folder, "y.npy"), rows)
    held["data"] = Worker().memory()["mib"]
    prepare(competitor, CASE, x, y, 0)()
    held["epoch"] = Worker().memory()["mib"]
    print(json.dumps(held))


def first_rows(file, rows):
    """The first rows of an array's file, or all of them; only these are read."""
    return np.load(file) if rows is None else np.array(np.load(file, mmap_mode="r")[:rows])


def measured(name, folder):
    """The stages of a fresh process; None, and the reason said, where it cannot be run."""
    command = [sys.executable, __file__, "--run", name, "--data", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{name} was not run: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        stages(options.run, options.data)
        return
    # Only here: both import JAX, which PyTorch's process must not hold.
    import report

    from jaxvae import datasets

    mnist = datasets.load_mnist()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "float32.npy"), mnist.x_train.astype(np.float32))
        np.save(Path(folder, "uint8.npy"), np.round(255 * mnist.x_train).astype(np.uint8))
        np.save(Path(folder, "y.npy"), mnist.y_train.astype(np.int32))
        rounds = [{name: measured(name, folder) for name in RUNS} for _ in range(ROUNDS)]
    held = {}
    for name in RUNS:
        own = [found[name] for found in rounds if found[name] is not None]
        if own:
            held[name] = {stage: [each[stage] for each in own] for stage in own[0]}
    lines = [
        [name, *(f"{np.median(values):,.0f}" for values in own.values())]
        for name, own in held.items()
    ]
    header = ["MiB at most, after", "the imports", "the data", "a first epoch"]
    report.write("memory", {"mib": held}, report.markdown(header, lines), ("torch",))


if __name__ == "__main__":
    main()
