"""What a newcomer sees: `jaxvae train` with its defaults, each number that the README states of it.

`python benchmarks/first_sight.py` takes about twelve minutes on two cores and writes
`results/first_sight.json` and `.md`. Every run is the command itself, in a process of its own.
MNIST comes from the folder JAXVAE_DATA. Exit status 1 if a number misses what `LIMITS` asks of it.

Draws of a category are judged by a classifier of the three nearest neighbours on the real training
digits. The constant model says nothing of an example: its mean, and one scale for all values.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import report
import sklearn.datasets
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

import jaxvae

JAXVAE = Path(sys.executable).with_name("jaxvae")
LIMITS = {
    ("digits", "accuracy"): ("at least", 0.975),
    ("digits", "rmse"): ("at most", 0.14),
    ("digits", "judged, mean"): ("at least", 0.95),
    ("digits", "judged, worst"): ("at least", 0.85),
    ("mnist", "accuracy"): ("at least", 0.975),
    ("mnist", "rmse"): ("at most", 0.10),
}
DRAWS = 200  # of each category
FORMS = {  # of one data set, as people have it
    "bytes": lambda x: (x * 255).round().astype(np.uint8),
    "floats": lambda x: x,
    "1000 times as large": lambda x: x * 1000,
    "standardised columns": lambda x: (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6),
}


def train(folder, *options):
    """Train a run; its summary, and the seconds that the command took."""
    started = time.perf_counter()
    command = [JAXVAE, "train", "--out", folder, *map(str, options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    summary = json.loads((Path(folder) / "summary.json").read_text())
    return summary, time.perf_counter() - started


def judged(folder, data, categories=10):
    """The share of each category's draws that a classifier of real examples calls by its name."""
    some = np.random.default_rng(0).permutation(len(data.x_train))[:10_000]
    knn = KNeighborsClassifier(3).fit(data.x_train[some], data.y_train[some])
    model = jaxvae.load(folder)
    shares = []
    for category in range(categories):
        key = jaxvae_key(category)
        x = model.generate(DRAWS, key=key, category=str(category)).reshape(DRAWS, -1)
        shares.append(float((knn.predict(x) == category).mean()))
    return shares


def jaxvae_key(number):
    import jax

    return jax.random.key(1000 + number)


def labelled(root, seeds):
    """The default with labels: digits, and ten epochs of MNIST."""
    sets = {
        "digits": (jaxvae.datasets.load_digits(), []),
        "mnist": (jaxvae.datasets.load_mnist(), []),
    }
    sets["mnist"][1].extend(["--dataset", "mnist", "--epochs", 10])
    for name, (data, options) in sets.items():
        for seed in range(seeds):
            folder = root / f"{name}-{seed}"
            summary, seconds = train(folder, "--seed", seed, *options)
            shares = judged(folder, data)
            yield {
                "data": name,
                "seed": seed,
                "accuracy": summary["test_accuracy"],
                "rmse": summary["test_rmse"],
                "baseline rmse": summary["baseline_rmse"],
                "epochs": summary["epochs"],
                "judged, mean": float(np.mean(shares)),
                "judged, worst": min(shares),
                "seconds": seconds,
            }


def forms(root, seeds):
    """The digits as people have them: the accuracy must not depend on the form."""
    data = jaxvae.datasets.load_digits()
    x, count = np.concatenate([data.x_train, data.x_test]), len(data.x_train)
    for name, form in FORMS.items():
        file, made = root / f"{name.replace(' ', '-')}.npz", form(x)
        train_half = {"x_train": made[:count], "y_train": data.y_train}
        np.savez(file, **train_half, x_test=made[count:], y_test=data.y_test)
        for seed in range(seeds):
            folder = root / f"form-{name.replace(' ', '-')}-{seed}"
            summary, _ = train(folder, "--data", file, "--seed", seed)
            yield {"form": name, "seed": seed, "accuracy": summary["test_accuracy"]}


def constant(train_x, test_x):
    """Nats of the mean and one scale, on the test examples."""
    mean, variance = train_x.mean(axis=0), ((train_x - train_x.mean(axis=0)) ** 2).mean()
    each = ((test_x - mean) ** 2).sum(axis=1) / variance
    width = train_x.shape[1]
    return float(each.mean() / 2 + width / 2 * np.log(2 * np.pi * variance))


def pca(train_x, test_x, dimensions):
    """Nats of probabilistic PCA, its maximum likelihood in closed form."""
    dimensions = min(dimensions, train_x.shape[1] - 1)
    return float(-PCA(dimensions).fit(train_x).score(test_x))


def unlabelled(root, seeds):
    """Each model without labels, against the constant model and probabilistic PCA.

    On the small tables with several seeds, of which "test loss" is the first's.
    """
    for name in ("digits", "wine", "breast_cancer", "iris"):
        x = getattr(sklearn.datasets, f"load_{name}")().data
        file = root / f"{name}.csv"
        pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])]).to_csv(file, index=False)
        for model in ("normal", "dirichlet", "joint"):
            folder = root / f"{name}-{model}"
            options = ["--model", model, "--data", file, "--label", "none"]
            count = 1 if name == "digits" else seeds
            train(folder, *options, "--seeds", count)
            runs = [folder] if count == 1 else [folder / f"seed-{i}" for i in range(count)]
            summaries = [json.loads((own / "summary.json").read_text()) for own in runs]
            run = jaxvae.load(runs[0])
            data = jaxvae.datasets.load(file, label="none")
            forward = run.parts.transform.forward
            own = [np.asarray(forward(part), np.float64) for part in (data.x_train, data.x_test)]
            own = [part.reshape(len(part), -1) for part in own]
            yield {
                "data": name,
                "model": model,
                "test loss": summaries[0]["test_loss"],
                "test losses": [summary["test_loss"] for summary in summaries],
                "constant": constant(*own),
                "PCA": pca(*own, run.description.latent_dim),
                "notes": summaries[0]["notes"],
            }


def by_form(runs):
    """The mean accuracy of each form over the seeds."""
    names = dict.fromkeys(run["form"] for run in runs)
    return {
        name: float(np.mean([run["accuracy"] for run in runs if run["form"] == name]))
        for name in names
    }


def misses(results):
    """What misses its limit, as sentences."""
    found = []
    for (data, name), (sense, limit) in LIMITS.items():
        for run in results["labelled"]:
            value = run[name]
            if run["data"] == data and (value < limit if sense == "at least" else value > limit):
                found.append(
                    f"{data}, seed {run['seed']}: {name} is {value:.4f}, not {sense} {limit}"
                )
    for run in results["unlabelled"]:
        gain, whole = run["constant"] - max(run["test losses"]), run["constant"] - run["PCA"]
        if gain < whole / 2 if run["data"] == "digits" else gain <= 0:
            found.append(f"{run['data']}, {run['model']}: {gain:.2f} nats gained, PCA {whole:.2f}")
    accuracies = list(by_form(results["forms"]).values())
    if accuracies and max(accuracies) - min(accuracies) > 0.01:
        found.append(f"forms of the digits: accuracies from {min(accuracies)} to {max(accuracies)}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=["labelled", "forms", "unlabelled"], nargs="+")
    options = parser.parse_args()
    results = {"draws": DRAWS}
    with tempfile.TemporaryDirectory() as root:
        steps = {
            "labelled": lambda: labelled(Path(root), options.seeds),
            "forms": lambda: forms(Path(root), options.seeds),
            "unlabelled": lambda: unlabelled(Path(root), options.seeds),
        }
        for name, step in steps.items():
            results[name] = []
            if options.only is None or name in options.only:
                for result in step():
                    print(result, flush=True)
                    results[name].append(result)
    found = misses(results)
    if options.only is None:
        report.write("first_sight", {**results, "misses": found}, table(results))
    for sentence in found:
        print(sentence, file=sys.stderr)
    return bool(found)


def table(results):
    """To read: a line for each run."""
    header = [
        "data",
        "seed",
        "accuracy",
        "RMSE",
        "the mean image's",
        "judged, mean",
        "worst",
        "epochs",
    ]
    rows = [
        [r["data"], r["seed"], *(f"{r[n]:.3f}" for n in ("accuracy", "rmse", "baseline rmse",
         "judged, mean", "judged, worst")), r["epochs"]]
        for r in results["labelled"]
    ]  # fmt: skip
    first = report.markdown(header, rows)
    second = report.markdown(
        ["digits as", "accuracy, mean"],
        [[name, f"{accuracy:.3f}"] for name, accuracy in by_form(results["forms"]).items()],
    )
    third = report.markdown(
        ["data, no labels", "model", "test loss, nats", "highest", "constant model", "PCA", "said"],
        [
            [r["data"], r["model"], f"{r['test loss']:.2f}", f"{max(r['test losses']):.2f}",
             *(f"{r[n]:.2f}" for n in ("constant", "PCA")),
             " ".join(r["notes"]) or "-"]
            for r in results["unlabelled"]
        ],
    )  # fmt: skip
    return "\n\n".join([first, second, third])


if __name__ == "__main__":
    sys.exit(main())
