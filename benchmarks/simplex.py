"""What an exact Dirichlet latent is worth, against those that stand in for it on the simplex.

`python benchmarks/simplex.py` takes hours on one core and writes `results/simplex.json` and `.md`
after each run, and the picture at the end: what was interrupted goes on by `--resume`. The
latents are those of `simplex_latents.py`; network, optimizer, epochs, batch and draws are the same
for all, and the learning rate of each is the best of one short grid, by the negative ELBO of
validation examples. Seconds are of the CPU, as they say less of what else runs.

MNIST is found as `jaxvae.datasets.load_mnist` finds it, counts as `topics.py` finds them.
Fashion-MNIST is in the folder JAXVAE_FASHION_MNIST, or in `fashion-mnist` beside JAXVAE_DATA.
"""

import argparse
import functools
import gc
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
import simplex_report
import topics as counts
from simplex_latents import CHOICES

import jaxvae
from jaxvae import likelihoods, networks, topics

CONCENTRATION = 0.1
KEY = ("data", "dims", "latent", "concentration", "normed")
WIDTHS = (10, 50, 200)
BATCH, LAYERS, UNITS = 100, 2, 128
GRIDS = {"images": (3e-3, 1e-2), "counts": (3e-3, 1e-2, 3e-2)}  # of learning rates
DRAWS, KEYS, IN_GRADIENT = 1000, 64, 100
IMAGES = {"train": 20_000, "validation": 2000, "nll": 300, "neighbours": 5000}
WORDS = 2000  # the most frequent ones of a set of counts
NEEDED = (
    "Fashion-MNIST is left out: set JAXVAE_FASHION_MNIST to a folder with its four IDX files "
    "(train-images-idx3-ubyte.gz and so on). Debian has them as the package "
    "dataset-fashion-mnist (then they lie in /usr/share/datasets/fashion-mnist); they come from "
    "https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul and Vollgraf, 2017)."
)


class Data(NamedTuple):
    """A data set. `labels` are of the examples `labelled`, by whose latents they are told."""

    name: str
    kind: str
    epochs: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    nll: np.ndarray
    labelled: np.ndarray
    labels: np.ndarray | None


def greys(name):
    """Pixels from 0 to 1 of the training and the test images, and the labels of the test images.

    None where Fashion-MNIST is lacking.
    """
    if name == "mnist":
        data = jaxvae.datasets.load_mnist()
        return data.x_train, data.x_test, data.y_test
    beside = Path(os.environ.get("JAXVAE_DATA") or ".").resolve().parent / "fashion-mnist"
    folder = Path(os.environ.get("JAXVAE_FASHION_MNIST") or beside)
    files = [folder / f"{part}-ubyte.gz" for part in
             ("train-images-idx3", "t10k-images-idx3", "t10k-labels-idx1")]  # fmt: skip
    if not all(file.is_file() for file in files):
        print(NEEDED, flush=True)
        return None
    x, x_test, y_test = (jaxvae.datasets.read_idx(file) for file in files)
    return x / np.float32(255), x_test / np.float32(255), y_test


def images(name):
    """MNIST or Fashion-MNIST, each pixel a coin that was tossed once; None where it is lacking."""
    if (parts := greys(name)) is None:
        return None
    toss = np.random.default_rng(0)
    train, test = (
        (toss.random(x.shape, np.float32) < x).astype(np.float32).reshape(len(x), -1)
        for x in parts[:2]
    )
    rows, more = IMAGES["train"], IMAGES["validation"]
    near = slice(0, IMAGES["neighbours"])
    return Data(name, "images", 15, train[:rows], train[rows : rows + more], test,
                test[: IMAGES["nll"]], test[near], parts[2][near])  # fmt: skip


def words(name):
    """Counts, each row an example: the most frequent words alone."""
    file = counts.folder_of_counts() / f"{name}.npz"
    if not file.is_file():
        print(f"{file} is not there and left out", flush=True)
        return None
    data = counts.load(file)
    often = np.argsort(-np.asarray(data.counts.sum(axis=0)).ravel(), kind="stable")[:WORDS]
    x = data.counts.toarray()[:, np.sort(often)]
    parts = topics.document_completion(data.counts, test=0.1 if name == "news" else 0.2)
    order = np.random.default_rng(0).permutation(parts.train)
    test = np.setdiff1d(np.arange(len(x)), parts.train)
    more = len(order) // 10
    train, validation = x[np.sort(order[more:])], x[np.sort(order[:more])]
    epochs = 40 if name == "news" else 200
    return Data(name, "counts", epochs, train, validation, x[test], x[test][:200], x, data.labels)


SETS = {"mnist": images, "fashion": images, "news": words, "pbmc": words}


def model(data, case, *, name=None, judge=False):
    """A VAE with the latent of a case, or with another one; all else is the same."""
    choice, width, dim = CHOICES[name or case["latent"]], case["dims"], data.train.shape[1]
    head, prior = choice.head(width, case["normed"]), choice.prior(case["concentration"], width)
    latent = choice.judge if judge else choice.latent
    if data.kind == "images":
        network = networks.dense_network(dim, head, layers=LAYERS, hidden_units=UNITS)
        return jaxvae.bind(network, latent, prior, likelihoods.bernoulli())
    trunk = networks.MLP(LAYERS, UNITS, jax.nn.relu)
    network = jaxvae.flax_network(networks.Encoder(head, trunk), networks.MixtureDecoder(dim))
    likelihood = likelihoods.multinomial("log_probabilities")  # a mixture's are normalized
    return jaxvae.bind(networks.of_counts(network), latent, prior, likelihood)


@functools.cache
def optimizer():
    """Adam, its rate a part of the state: another rate compiles nothing anew."""
    return optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)


def start(vae, data, key, rate):
    """The state in which training begins; a mixture's background is the words' frequencies."""
    state = jaxvae.init_state(key, vae, optimizer(), data.train[:BATCH])
    state.opt_state.hyperparams["learning_rate"] = jnp.float32(rate)
    if data.kind == "counts":
        share = np.log((data.train.sum(axis=0) + 0.5) / (data.train.sum() + 0.5 * len(data.train)))
        decoder = {**state.params["decoder"], "background": jnp.asarray(share, jnp.float32)}
        state = state._replace(params={**state.params, "decoder": decoder})
    return state


def train(vae, data, x, seed, rate, epochs):
    """The last state, the CPU seconds of each epoch, and how many steps were left out."""
    key = jax.random.key(seed)
    epoch = jaxvae.make_train_epoch(vae, optimizer(), batch_size=BATCH, skip_non_finite=True)
    state, seconds, skipped = start(vae, data, key, rate), [], 0
    for _ in range(epochs):
        before = time.process_time()
        state, metrics = epoch(key, state, x)
        skipped += int((~metrics.finite).sum())  # waits for the epoch
        seconds.append(time.process_time() - before)
    return state, seconds, skipped


@functools.partial(jax.jit, static_argnums=0)
def gradient_moments(vae, params, keys, x):
    """Of the encoder's gradient over keys: the trace of its covariance, the square of its mean.

    And how many of the gradients were not finite; they are left out.
    """

    def loss(encoder, key):
        return vae.loss({**params, "encoder": encoder}, key, jaxvae.Batch(x))[0]

    def one(carry, key):
        gradient = jax.grad(loss)(params["encoder"], key)
        own = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient))
        finite = jnp.isfinite(own)
        new = gradient, own, jnp.float32(1)
        return jax.tree.map(lambda sums, leaf: sums + jnp.where(finite, leaf, 0), carry, new), None

    zero = jax.tree.map(jnp.zeros_like, params["encoder"]), jnp.float32(0), jnp.float32(0)
    (total, square, number), _ = jax.lax.scan(one, zero, keys)
    mean = sum(jnp.sum((leaf / number) ** 2) for leaf in jax.tree.leaves(total))
    trace = (square - number * mean) / (number - 1)
    return trace, mean - trace / number, len(keys) - number


def gradient_of(vae, params, data):
    """What `gradient_moments` gives, on one batch of training examples."""
    keys = jax.random.split(jax.random.key(7), KEYS)
    moments = gradient_moments(vae, params, keys, jnp.asarray(data.train[:IN_GRADIENT]))
    return dict(zip(("trace", "mean", "lost"), map(float, moments), strict=True))


def size(data):
    """Examples of a call of `evaluate`, so that validation and test compile once."""
    return min(1000, len(data.validation))


def judged(data, case, params, draws):
    """What is measured of a trained model."""
    vae = model(data, case, judge=True)
    key = jax.random.key(5)
    loss = jaxvae.evaluate(key, vae, params, data.test, per_example=True, batch_size=size(data))
    nll = jaxvae.marginal_nll(key, vae, params, data.nll, draws=draws, batch_size=100)
    z = jaxvae.encode_mean(vae, params, data.test)
    found = {
        "nll": float(nll.mean()),
        "gap": float(loss.nelbo[: len(nll)].mean() - nll.mean()),
        "nelbo": float(loss.nelbo.mean()),
        "kl": float(loss.kl.mean()),
        "reconstruction": float(loss.reconstruction.mean()),
        "in use": len(np.unique(z.argmax(axis=1))),
        "categories": float(np.mean(1 / (z.astype(np.float64) ** 2).sum(axis=1))),
        "active": int(active(z)),
        "gradient": gradient_of(model(data, case), params, data),
    }
    if data.labels is not None:
        z = jaxvae.encode_mean(vae, params, data.labelled)
        accuracy = topics.agreement(z, data.labels).nearest_neighbour_accuracy
        found["error"] = 1 - accuracy
    if case["latent"] == "beta":
        found["gradients here"] = {
            other: gradient_of(model(data, case, name=other), params, data)
            for other in ("beta", "gamma", "guarded")
        }
    return found


def active(z):
    """How many shares tell examples apart, as `collapse_report` counts them."""
    return (z.var(axis=0) > 0.01 * (z.shape[1] - 1) / z.shape[1] ** 2).sum()


def rate_of(data, case, vae, x, epochs):
    """Choose the learning rate of a case by seed 0; return what was trained with it."""
    judge, tried, kept = model(data, case, judge=True), {}, None
    for rate in GRIDS[data.kind]:
        made = train(vae, data, x, 0, rate, epochs)
        loss = jaxvae.evaluate(
            jax.random.key(3), judge, made[0].params, data.validation,
            per_example=True, batch_size=size(data),
        ).nelbo.mean()  # fmt: skip
        tried[rate] = float(loss) if np.isfinite(loss) else 1e9
        if tried[rate] == min(tried.values()):
            kept = made
    case["rate"] = min(tried, key=tried.get)
    case["validation"] = {f"{rate:g}": loss for rate, loss in tried.items()}
    return kept


def measured(data, case, seeds, quick):
    """The runs of a case that are lacking, one after the other."""
    epochs, lacking = 2 if quick else data.epochs, set(range(seeds))
    lacking -= {run["seed"] for run in case["runs"]}
    if not lacking:
        return
    vae, x = model(data, case), jnp.asarray(data.train)
    kept = None if "rate" in case else rate_of(data, case, vae, x, epochs)
    for seed in sorted(lacking):
        made = kept if seed == 0 and kept else train(vae, data, x, seed, case["rate"], epochs)
        state, seconds, skipped = made
        found = judged(data, case, state.params, 50 if quick else DRAWS)
        each = float(np.median(seconds[1:]))  # the first epoch compiles
        run = {"seed": seed, **found, "epoch": each, "train": each * epochs, "skipped": skipped}
        case["runs"].append(run)
        yield run


def key_of(case):
    return tuple(case[name] for name in KEY)


def settings(quick):
    """What was the same for all, to be read."""
    return {"concentration": CONCENTRATION, "batch": BATCH, "layers": LAYERS, "units": UNITS,
            "draws": DRAWS, "keys": KEYS, "in gradient": IN_GRADIENT, "words": WORDS,
            "grids": GRIDS, "quick": quick}  # fmt: skip


def facts(data):
    """How large a set is."""
    each = {"train": data.train, "validation": data.validation, "test": data.test, "nll": data.nll}
    sizes = {part: len(x) for part, x in each.items()}
    return {"values": data.train.shape[1], "epochs": data.epochs, **sizes}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=list(SETS), nargs="+", default=list(SETS))
    parser.add_argument("--latents", choices=list(CHOICES), nargs="+", default=list(CHOICES))
    parser.add_argument("--dims", type=int, nargs="+", default=list(WIDTHS), metavar="K")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--concentration", type=float, default=CONCENTRATION, help="of the prior")
    parser.add_argument("--normed", action="store_true", help="batch norm in the encoder's head")
    parser.add_argument("--quick", action="store_true", help="pbmc, K = 10, a seed, two epochs")
    parser.add_argument("--resume", action="store_true", help="leave out what has been measured")
    parser.add_argument("--out", type=Path, help="another folder for the results")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.data, chosen.dims, chosen.seeds = ["pbmc"], [10], 1
    folder = chosen.out or (None if chosen.quick else report.RESULTS)
    results = {"machine": report.machine(["scikit-learn"]), "settings": settings(chosen.quick),
               "sets": {}, "cases": []}  # fmt: skip
    file = folder and folder / "simplex.json"
    if chosen.resume and file and file.is_file():
        before = json.loads(file.read_text())
        if before["machine"]["processor"] != results["machine"]["processor"]:
            raise SystemExit(f"{file} is of another machine: give --out, or leave out --resume")
        results |= {name: before[name] for name in ("sets", "cases")}
    cases = {key_of(case): case for case in results["cases"]}
    sets = {name: SETS[name](name) for name in chosen.data}
    for width in chosen.dims:
        for name, data in sets.items():
            if data is None:
                continue
            results["sets"][name] = facts(data)
            for latent in chosen.latents:
                key = (name, width, latent, chosen.concentration, chosen.normed)
                case = cases.setdefault(key, {**dict(zip(KEY, key, strict=True)), "runs": []})
                for run in measured(data, case, chosen.seeds, chosen.quick):
                    results["cases"] = [each for each in cases.values() if each["runs"]]
                    if folder:
                        simplex_report.write(folder, results)
                    print(key, case["rate"], run, flush=True)
            jax.clear_caches()
            gc.collect()
    simplex_report.write(folder, results, picture=True)


if __name__ == "__main__":
    main()
