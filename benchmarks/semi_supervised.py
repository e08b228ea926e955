"""How well does a tenth of the labels teach the joint model? Digits and MNIST.

Each model is the one that `jaxvae.vae_for` makes. It is trained four times: with a tenth of the
labels, every example of the same weight; the same, the labelled examples of the weight that makes
them half of the sum; on the labelled examples alone; and with all labels. Which labels are kept
differs by the seed. `python benchmarks/semi_supervised.py` takes about nine minutes on one core and
writes `results/semi_supervised.json` and `.md`. MNIST comes from the folder JAXVAE_DATA. Exit
status 1 if the mean accuracy of the second way misses `LIMITS`.
"""

import argparse
import sys
import time

import jax
import numpy as np
import report

import jaxvae

LIMITS = {"digits": 0.93, "MNIST": 0.95}
SETS = {  # how they are loaded, the batch size, how many epochs
    "digits": (jaxvae.datasets.load_digits, 64, 100),
    "MNIST": (jaxvae.datasets.load_mnist, 256, 10),
}
WEIGHED = "a tenth of the labels, weighed"
WAYS = ("a tenth of the labels, all alike", WEIGHED, "the labelled tenth alone", "all labels")


def kept(y, share, seed):
    """The labels, of which all but a share drawn by the seed are missing (-1)."""
    own = np.random.default_rng(seed).permutation(len(y))[: round(share * len(y))]
    missing = np.full_like(y, -1)
    missing[own] = y[own]
    return missing


def balanced(y):
    """Weights that give the labelled examples together as much as the others together."""
    labelled = y >= 0
    return np.where(labelled, (~labelled).sum() / labelled.sum(), 1).astype(np.float32)


def train(name, way, seed, share):
    """Train one model; its figures on the test examples."""
    load, batch_size, epochs = SETS[name]
    data, key, started = load(), jax.random.key(seed), time.perf_counter()
    vae, x, y, weight = jaxvae.vae_for(data), data.x_train, data.y_train, None
    if way != "all labels":
        y = kept(y, share, seed)
    if way == WEIGHED:
        weight = balanced(y)
    if way == "the labelled tenth alone":  # as many updates as the others make
        x, y, epochs = x[y >= 0], y[y >= 0], round(epochs / share)
    state, _ = jaxvae.fit(key, vae, x, y, weight=weight, batch_size=batch_size, epochs=epochs)
    report = jaxvae.collapse_report(key, vae, state.params, data.x_test, data.y_test)
    result = {
        "data": name,
        "way": way,
        "seed": seed,
        "labels": int((y >= 0).sum()),
        "test_accuracy": jaxvae.accuracy(vae, state.params, data.x_test, data.y_test),
        "explained": report.explained,
        "active": {part: own.active for part, own in report.parts.items()},
        "dimensions": {part: own.dimensions for part, own in report.parts.items()},
        "notes": report.notes,
        "seconds": time.perf_counter() - started,
    }
    print(result, flush=True)
    return result


def means(runs, name, way):
    """Over the seeds: accuracies, and the mean of what is explained."""
    own = [run for run in runs if (run["data"], run["way"]) == (name, way)]
    accuracies = [run["test_accuracy"] for run in own]
    return own, np.array(accuracies), float(np.mean([run["explained"] for run in own]))


def table(runs):
    rows = []
    for name in SETS:
        for way in WAYS:
            own, accuracy, explained = means(runs, name, way)
            row = [name, way, f"{own[0]['labels']:,}", f"{accuracy.mean():.3f}"]
            active = [
                f"{np.mean([run['active'][part] for run in own]):.1f} of {size}"
                for part, size in own[0]["dimensions"].items()
            ]
            rows.append([*row, f"{accuracy.min():.3f}", f"{explained:.1%}", *active])
    header = ["data", "trained with", "labels", "test accuracy", "lowest", "explained",
              "active categories", "active style"]  # fmt: skip
    return report.markdown(header, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.1)
    options = parser.parse_args()
    runs = [
        train(name, way, seed, options.share)
        for name in SETS
        for way in WAYS
        for seed in range(options.seeds)
    ]
    report.write("semi_supervised", {"share": options.share, "runs": runs}, table(runs))
    missed = [name for name in SETS if means(runs, name, WEIGHED)[1].mean() < LIMITS[name]]
    for name in missed:
        print(f"{name}: the mean accuracy is below {LIMITS[name]}", file=sys.stderr)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
