"""What a user feels: the wait for a first epoch and for an import; memory held.

Whole processes: from the command to the first MNIST epoch done (Python, imports, data, compilation
and the epoch), the README's workload at batch 64; the same of `jaxvae train`, the first time ever
and after that; `import jaxvae` against the imports of what it is made of. All in alternation.
`python benchmarks/first_epoch.py` takes ten minutes on two cores (`--quick` two) and writes
`results/first_epoch.json` and `.md`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import matplotlib
import numpy as np
import report
import timing
import workers
from competitors import COMPETITORS, Case

from jaxvae import datasets

CASE = Case("dirichlet", 10, 64)
FIRST, AGAIN = "jaxvae train, the first ever", "jaxvae train, another"
END = ", to its end"
STARTS = (
    "jaxvae",
    "jaxvae, programs kept",
    "jaxvae.compat",
    "NumPyro SVI",
    "PyTorch, eager",
    "PyTorch, torch.compile",
    "TensorFlow, the original",
)
IMPORTS = {
    "jaxvae": "import jaxvae",
    "what it is made of": "import jax, flax.linen, optax",
    "nothing": "",
}
PACKAGES = tuple(dict.fromkeys(c.package for c in COMPETITORS))


def first_epoch(name, data, memory):
    """A timer of a fresh process, from its start to its first epoch done."""

    def timer():
        started = time.perf_counter()
        with workers.process() as worker:
            worker.ask("prepare", name=name, case=CASE._asdict(), seed=0, data=data)
            worker.ask("epoch")
            seconds = time.perf_counter() - started
            memory.setdefault(name, []).append(worker.ask("memory")["mib"])
        print(f"{name}: {seconds:.1f} s to a first epoch", flush=True)
        return seconds

    return timer


def command_line(cache):
    """Seconds of `jaxvae train` to the line of its first epoch, and to its end, figures and all.

    It reads MNIST's own files, and keeps what it compiles in the folder `cache`.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jaxvae", "train", "--dataset", "mnist", "--epochs", "1"]
        command += ["--batch-size", "64", "--objective", "original", "--out", folder]
        own = {"XDG_CACHE_HOME": cache, "MPLCONFIGDIR": matplotlib.get_configdir()}
        environment = os.environ | own | {"PYTHONUNBUFFERED": "1"}
        started, first = time.perf_counter(), None
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment
        ) as running:
            for line in running.stdout:
                if first is None and line.strip().startswith("1 epoch in"):
                    first = time.perf_counter() - started
        end = time.perf_counter() - started
        if running.returncode or first is None:
            raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}")
        return first, end


def command_lines(rounds):
    """The same in alternation with an empty cache and with a full one, by name."""
    seconds = {name: [] for name in (FIRST, FIRST + END, AGAIN, AGAIN + END)}
    with tempfile.TemporaryDirectory() as full:
        command_line(full)
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as empty:
                for name, cache in ((FIRST, empty), (AGAIN, full)):
                    first, end = command_line(cache)
                    seconds[name].append(first)
                    seconds[name + END].append(end)
                    print(f"{name}: {first:.1f} s, {end:.1f} s to its end", flush=True)
    return seconds


def import_seconds(rounds):
    def timer(code):
        return timing.stopwatch(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    timers = {name: timer(code) for name, code in IMPORTS.items()}
    for once in timers.values():
        once()  # the files are read from disk once
    return timing.in_turns(timers, rounds)


def starts(data, rounds, names):
    """Seconds to the first epoch done, by name, and the most MiB held until then."""
    memory, missing = {}, {}
    timers = {name: first_epoch(name, data, memory) for name in names}
    for name in names:
        try:
            timers[name]()  # the files are read from disk once
        except workers.WorkerError as error:
            missing[name] = str(error)
            del timers[name]
    return timing.in_turns(timers, rounds), memory, missing


def tables(results):
    def median(values):
        return float(np.median(values))

    first = results["first_epoch"]
    lines = [
        [
            name,
            f"{median(seconds):.1f}",
            f"{timing.ratio(seconds, first['jaxvae']):.2f}",
            f"{median(results['memory_mib'][name]):,.0f}" if name in results["memory_mib"] else "-",
        ]
        for name, seconds in first.items()
    ]
    header = ["from the command to a first epoch", "seconds", "x jaxvae", "peak memory, MiB"]
    text = report.markdown(header, lines)
    imports = results["imports"]
    made_of = imports["what it is made of"]
    lines = [
        [
            f"`{IMPORTS[name]}`" if IMPORTS[name] else "Python alone",
            f"{median(seconds):.2f}",
            f"{timing.ratio(seconds, made_of):.2f}",
        ]
        for name, seconds in imports.items()
    ]
    header = ["a fresh process", "seconds", "x what it is made of"]
    return text + "\n\n" + report.markdown(header, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and starts")
    options = parser.parse_args()

    mnist = datasets.load_mnist()
    chosen = STARTS
    if options.quick:
        chosen = [name for name in STARTS if not name.endswith(("kept", "SVI", "compile"))]
    results = {"imports": import_seconds(7 if options.quick else 11)}
    with workers.saved(mnist.x_train, mnist.y_train) as data, tempfile.TemporaryDirectory() as own:
        os.environ["XDG_CACHE_HOME"] = own  # for what is kept: the first, discarded starts fill it
        results["first_epoch"], results["memory_mib"], results["missing"] = starts(
            data, 1 if options.quick else 5, chosen
        )
    if os.environ.get("JAXVAE_DATA"):
        results["first_epoch"] |= command_lines(len(results["first_epoch"]["jaxvae"]))
    report.write("first_epoch", results, tables(results), PACKAGES)


if __name__ == "__main__":
    main()
