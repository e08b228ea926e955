"""What scaling costs on this machine: noise keys, streams, seeds and devices, each as a ratio.

On MNIST, the original's workload (4 layers of 128, batch 64). `python benchmarks/scaling.py` takes
about ten minutes on two cores and writes `results/scaling.json` and `.md`. Virtual devices share
the cores: what they show is overhead, not speed. Ratios are medians over alternated rounds.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from unittest import mock

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
import timing

import jaxvae
from jaxvae import datasets
from jaxvae.training import ensembles, programs

OPTIMIZER = optax.adam(1e-3)


def build():
    return jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10), objective="original")


def alternate(calls, rounds):
    """Median seconds of each call, by name, and the median ratio of each to the first."""
    seconds = timing.alternate(calls, rounds)
    first = seconds[next(iter(calls))]
    return {
        name: {"seconds": float(np.median(times)), "ratio": timing.ratio(times, first)}
        for name, times in seconds.items()
    }


def epochs_of(vae, data, rows, run=jaxvae.make_train_epoch):
    """A call that trains one epoch on the first rows, going on from where it was."""
    key, train_epoch = jax.random.key(0), run(vae, OPTIMIZER, batch_size=64)
    x, y = jnp.asarray(data.x_train[:rows]), jnp.asarray(data.y_train[:rows])
    state = jaxvae.init_state(key, vae, OPTIMIZER, x)

    def call():
        nonlocal state
        state, metrics = train_epoch(key, state, x, y)
        jax.block_until_ready((state, metrics))

    return call


def noise_keys(data, rows, rounds):
    """A key for each example against one key for the batch."""
    one_key = build()._replace(loss=one_key_loss(jaxvae.dense_dirichlet_network(784, 10)))
    return alternate(
        {
            "one key a batch": epochs_of(one_key, data, rows),
            "a key an example": epochs_of(build(), data, rows),
        },
        rounds,
    )


def one_key_loss(network):
    prior = jaxvae.label_prior()

    def loss(params, key, batch):
        concentration = network.encode(params, batch.x)
        z = jaxvae.sample_dirichlet(key, concentration)
        decoded = network.decode(params, z)
        wanted = prior.concentration(batch.y, concentration.shape[-1])
        terms = jaxvae.LossTerms(
            jaxvae.objectives.original_dirichlet_reconstruction(batch.x, decoded),
            jaxvae.kl_dirichlet(concentration, wanted),
        )
        total = jaxvae.objectives.weighted_mean(sum(terms), batch.weight)
        return total, terms

    return loss


def stream(data, rows, rounds):
    """`fit` on a generator of batches against `fit` on arrays."""
    vae, key = build(), jax.random.key(0)
    x, y = data.x_train[:rows], data.y_train[:rows]

    def batches():
        for start in range(0, rows, 64):
            yield x[start : start + 64], y[start : start + 64]

    options = {"batch_size": 64, "epochs": 1, "optimizer": OPTIMIZER}
    return alternate(
        {
            "arrays": lambda: jaxvae.fit(key, vae, x, y, **options),
            "stream": lambda: jaxvae.fit(key, vae, batches, **options),
        },
        rounds,
    )


def seeds(data, rows, rounds, width, batch_size=64):
    """Eight seeds at once against eight epochs of one, all compiled before."""
    vae = jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(784, 10, hidden_units=width), objective="original"
    )
    x, y = data.x_train[:rows], data.y_train[:rows]
    keys = jax.random.split(jax.random.key(0), 8)
    options = {"batch_size": batch_size, "epochs": 1, "optimizer": OPTIMIZER}

    def one_by_one():
        for key in keys:
            jaxvae.fit(key, vae, x, y, **options)

    def at_once(devices=None):
        jaxvae.fit_many(keys, vae, x, y, devices=devices, **options)

    def by_vmap():
        with mock.patch.object(ensembles, "Concurrent", ensembles.Many):
            at_once()

    return alternate(
        {
            "eight runs": one_by_one,
            "at once": at_once,
            "by vmap": by_vmap,
            "by vmap, two devices": functools.partial(at_once, 2),
        },
        rounds,
    )


def seeds_from_cold(epochs=60):
    """The same on the digits, as in `make train`, each run compiling its program."""
    data, keys = datasets.load_digits(), jax.random.split(jax.random.key(0), 8)
    options = {"batch_size": 64, "epochs": epochs, "optimizer": OPTIMIZER}

    def seconds(train, key):
        jax.clear_caches()  # equal models share what was compiled
        programs.train_program.cache_clear()
        vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10))
        started = time.perf_counter()
        train(key, vae, data.x_train, data.y_train, **options)
        return time.perf_counter() - started

    seconds(jaxvae.fit, keys[0])  # the first also loads libraries
    one = [seconds(jaxvae.fit, key) for key in keys[:3]]
    many = [seconds(jaxvae.fit_many, keys) for _ in range(3)]
    eight = 8 * float(np.median(one))
    at_once = float(np.median(many))
    return {
        "eight runs": {"seconds": eight, "ratio": 1.0},
        "at once": {"seconds": at_once, "ratio": at_once / eight},
    }


def devices(rows, rounds):
    """The same batch over more virtual devices of the same cores, each number in its own process.

    XLA makes a thread for each device that there is, used or not.
    """
    measured = {}
    for count in (1, 2, 4, 8):
        done = subprocess.run(
            [sys.executable, __file__, "--rows", str(rows), "--rounds", str(rounds), "--one"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": str(count)},
        )
        alone, split = json.loads(done.stdout.splitlines()[-1])
        measured.setdefault("1", alone)
        measured[f"pmap over {count}"] = split
    return measured


def of_these_devices(data, rows, rounds):
    """One device, and all that this process has."""

    def run(vae, optimizer, *, batch_size):
        return jaxvae.pmap_train_epoch(vae, optimizer, batch_size=batch_size)

    vae = build()
    calls = {"1": epochs_of(vae, data, rows), "all": epochs_of(vae, data, rows, run)}
    return list(alternate(calls, rounds).values())


def peak_memory(times):
    """The most MiB held by a process that streams `times` x 60,000 synthetic images."""
    code = f"""
import jax, jaxvae, numpy as np
def batches():
    rng = np.random.default_rng(0)
    for _ in range({times} * 60):
        yield rng.random((1000, 784), np.float32), rng.integers(0, 10, 1000)
vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10, layers=1, hidden_units=16))
jaxvae.fit(jax.random.key(0), vae, batches, batch_size=1000, epochs=1)
# Not getrusage: its maximum begins with that of the process that started this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout) // 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=12_800)
    parser.add_argument(
        "--only", nargs="+", metavar="PART", help="measure these again, keep others"
    )
    parser.add_argument("--one", action="store_true", help="print what `devices` asks for")
    options = parser.parse_args()
    data, rounds, rows = datasets.load_mnist(), options.rounds, options.rows
    if options.one:
        print(json.dumps(of_these_devices(data, rows, rounds)))
        return
    parts = {
        "noise": lambda: noise_keys(data, rows, rounds),
        "stream": lambda: stream(data, 60_000, max(3, rounds // 2)),
        "seeds, width 128": lambda: seeds(data, rows, max(3, rounds // 2), 128),
        "seeds, width 32": lambda: seeds(data, rows, max(3, rounds // 2), 32),
        "seeds, width 1024, batch 512": lambda: seeds(data, 1024, max(3, rounds // 2), 1024, 512),
        "seeds, digits, compiled anew": seeds_from_cold,
        "virtual devices": lambda: devices(rows, rounds),
        "peak_memory_mib": lambda: {times: peak_memory(times) for times in (1, 20)},
    }
    measured = {}
    if options.only:
        measured = json.loads((report.RESULTS / "scaling.json").read_text())["measured"]
    measured |= {name: parts[name]() for name in options.only or parts}
    write({name: measured[name] for name in parts})


def write(measured):
    memory = measured["peak_memory_mib"]
    rows_of_table = [
        [what, name, f"{value['seconds']:.3f}", f"{value['ratio']:.3f}"]
        for what, each in measured.items()
        if what != "peak_memory_mib"
        for name, value in each.items()
    ]
    table = report.markdown(["what", "case", "seconds", "ratio to the first"], rows_of_table)
    table += "\n\n" + report.markdown(
        ["streamed images", "peak memory, MiB"],
        [[f"{60_000 * int(times):,}", held] for times, held in memory.items()],
    )
    report.write("scaling", {"measured": measured}, table)


if __name__ == "__main__":
    main()
