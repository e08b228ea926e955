"""Does training start on every seed? Twenty seeds, two epochs of MNIST, each concentration head.

With the original's ReLU head a category can start with no slope for any example: it never comes
back, and the run is lost. `python benchmarks/robust_start.py` takes about three minutes on two
cores and writes `results/robust_start.json` and `.md`. Exit status 1 if the default head loses one.
"""

import argparse
import sys

import jax
import numpy as np
import optax
import report

import jaxvae

FLOOR = 0.1


def run(head, seeds, epochs, data):
    network = jaxvae.dense_dirichlet_network(784, 10, head=head, concentration_floor=FLOOR)
    vae, optimizer = jaxvae.dirichlet_vae(network, objective="original"), optax.adam(1e-3, eps=1e-7)
    train_epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=64)
    x, y = jax.numpy.asarray(data.x_train), jax.numpy.asarray(data.y_train)
    encode = jax.jit(vae.encode)
    for seed in range(seeds):
        key = jax.random.key(seed)
        state = jaxvae.init_state(key, vae, optimizer, x)
        for _ in range(epochs):
            state, metrics = train_epoch(key, state, x, y)
        concentration = np.asarray(encode(state.params, data.x_test))
        # Dead: no test example lifts the category's concentration off its floor.
        dead = int((concentration.max(axis=0) < FLOOR + 1e-3).sum())
        accuracy = float((concentration.argmax(axis=1) == data.y_test).mean())
        result = {"head": head, "seed": seed, "dead": dead, "test_accuracy": accuracy}
        result["final_loss"] = float(metrics.loss.mean())
        print(result, flush=True)
        yield result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    data = jaxvae.datasets.load_mnist()
    runs = [
        result
        for head in ("softplus", "relu")
        for result in run(head, options.seeds, options.epochs, data)
    ]
    rows = []
    for head in ("softplus", "relu"):
        accuracy = np.array([r["test_accuracy"] for r in runs if r["head"] == head])
        dead = np.array([r["dead"] for r in runs if r["head"] == head])
        rows.append(
            [
                head,
                f"{(dead > 0).sum()} of {len(dead)}",
                f"{(accuracy > 0.95).sum()} of {len(accuracy)}",
                f"{accuracy.min():.4f}",
                f"{np.median(accuracy):.4f}",
                f"{accuracy.max():.4f}",
            ]
        )
    header = [
        "head",
        "runs with a dead category",
        "runs above 0.95 accuracy",
        "min",
        "median",
        "max",
    ]
    report.write(
        "robust_start", {"epochs": options.epochs, "runs": runs}, report.markdown(header, rows)
    )
    lost = [
        r for r in runs if r["head"] == "softplus" and (r["dead"] or r["test_accuracy"] <= 0.95)
    ]
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
