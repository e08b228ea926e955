"""The original's API on MNIST: does it reach the original's figures, start, and run at full speed?

Through `jaxvae.compat`, on the original's demo workload: five seeds of thirty epochs of each model,
twenty seeds of two epochs of the Dirichlet one, and epochs of the wrapper and of the functional
core in alternation. `python benchmarks/compat.py` takes half an hour on two cores and writes
`results/compat.json` and `.md`. Exit status 1 if a bound below is missed.
"""

import argparse
import contextlib
import io
import json
import re
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report

import jaxvae
from jaxvae import compat as vae

# The original's healthy runs, and what a port has to reach.
NORMAL_LOSS = (13.8, 14.2)
ACCURACY = {"mean": 0.975, "least": 0.968, "after two epochs": 0.95}
OVERHEAD = 1.05


def build(model, seed):
    vae.set_seed(seed)
    shape = {"layers": 4, "hidden_units": 128, "activation": "relu"}
    if model == "normal":
        return vae.VAE(*vae.dense_encoder_decoder(784, 2, **shape), C=3.0)
    pair = vae.dense_encoder_decoder_dirichlet(784, 10, **shape)
    return vae.DIRICHLET_VAE(*pair, smoothness=0.5, categories=10)


def data_of(model, data):
    return [data.x_train] if model == "normal" else [data.x_train, data.y_train]


def run(model, seed, epochs, data):
    v, printed = build(model, seed), io.StringIO()
    with contextlib.redirect_stdout(printed):
        v.fit(*data_of(model, data), batch_size=64, epochs=epochs)
    losses = [float(loss) for loss in re.findall(r"epoch \d+ - (\S+)", printed.getvalue())]
    result = {"model": model, "seed": seed, "epochs": epochs, "losses": losses}
    if model == "dirichlet":
        guess = v.map_to_latent(data.x_test).numpy().argmax(axis=1)
        result["test_accuracy"] = float(np.mean(guess == data.y_test))
    print({k: v[-1] if k == "losses" else v for k, v in result.items()}, flush=True)
    return result


def speed(model, data, rounds, epochs=2):
    """Seconds an epoch of the wrapper's `fit` and of the core's, in alternation, compiled before.

    The core has the same network and objective, and Optax's own Adam.
    """
    v, x = build(model, 0), data_of(model, data)
    if model == "normal":
        core = jaxvae.normal_vae(
            jaxvae.dense_normal_network(784, 2), prior_variance=3.0, objective="original"
        )
    else:
        network = jaxvae.dense_dirichlet_network(784, 10, head="relu")
        core = jaxvae.dirichlet_vae(network, objective="original")
    optimizer, key = optax.adam(1e-3), jax.random.key(0)
    state = jaxvae.init_state(key, core, optimizer, jnp.zeros((1, 784)))

    def wrapper():
        with contextlib.redirect_stdout(io.StringIO()):
            v.fit(*x, batch_size=64, epochs=epochs)

    def functions():
        nonlocal state
        options = {"batch_size": 64, "epochs": epochs, "optimizer": optimizer, "state": state}
        state, _ = jaxvae.fit(key, core, *x, **options)

    seconds = {wrapper: [], functions: []}
    for number in range(rounds + 1):
        for call in (wrapper, functions) if number % 2 else (functions, wrapper):
            started = time.perf_counter()
            call()
            if number:  # the first one compiles
                seconds[call].append((time.perf_counter() - started) / epochs)
    return {"compat": seconds[wrapper], "core": seconds[functions]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--speed-only", action="store_true", help="keep the runs there are")
    options = parser.parse_args()
    data = jaxvae.datasets.load_mnist()
    seconds = {m: speed(m, data, options.rounds) for m in ("dirichlet", "normal")}
    if options.speed_only:
        kept = json.loads((report.RESULTS / "compat.json").read_text())
        starts, runs = kept["starts"], kept["runs"]
    else:
        starts = [run("dirichlet", seed, 2, data) for seed in range(options.starts)]
        runs = [
            run(model, seed, options.epochs, data)
            for model in ("normal", "dirichlet")
            for seed in range(options.seeds)
        ]

    final = np.array([r["losses"][-1] for r in runs if r["model"] == "normal"])
    accuracy = np.array([r["test_accuracy"] for r in runs if r["model"] == "dirichlet"])
    start = np.array([r["test_accuracy"] for r in starts])
    rows = [
        [
            f"Normal, {options.epochs} epochs: training loss",
            ", ".join(f"{loss:.2f}" for loss in final),
            f"mean {final.mean():.2f}",
            "mean between {} and {}".format(*NORMAL_LOSS),
            bool(NORMAL_LOSS[0] <= final.mean() <= NORMAL_LOSS[1]),
        ],
        [
            f"Dirichlet, {options.epochs} epochs: test accuracy",
            ", ".join(f"{a:.4f}" for a in accuracy),
            f"mean {accuracy.mean():.4f}, least {accuracy.min():.4f}",
            f"mean {ACCURACY['mean']}, none below {ACCURACY['least']}",
            bool(accuracy.mean() >= ACCURACY["mean"] and accuracy.min() >= ACCURACY["least"]),
        ],
        [
            f"Dirichlet, 2 epochs, {len(start)} seeds: test accuracy",
            f"{start.min():.4f} ... {start.max():.4f}",
            f"{(start > ACCURACY['after two epochs']).sum()} of {len(start)}",
            f"all above {ACCURACY['after two epochs']}",
            bool((start > ACCURACY["after two epochs"]).all()),
        ],
    ]
    for model, times in seconds.items():
        ratios = np.array(times["compat"]) / np.array(times["core"])
        rows.append(
            [
                f"{model}, seconds an epoch: `compat`, core",
                f"{np.median(times['compat']):.3f}, {np.median(times['core']):.3f}",
                f"ratio {np.median(ratios):.3f}",
                f"at most {OVERHEAD}",
                bool(np.median(ratios) <= OVERHEAD),
            ]
        )
    table = report.markdown(
        ["what", "each", "together", "bound", "held"],
        [[*row[:-1], "yes" if row[-1] else "no"] for row in rows],
    )
    report.write("compat", {"runs": runs, "starts": starts, "seconds": seconds}, table)
    return 0 if all(row[-1] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
