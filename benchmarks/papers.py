"""The numbers of the papers: each published figure beside ours, with its spread over seeds.

`python benchmarks/papers.py` takes days on two cores and an afternoon on a GPU; it writes
`results/papers.json` and `.md` after each run, keeps the state of a long one in the folder
`--states`, and goes on by `--resume`. `--quick` shows in five minutes that all of it runs, and
writes nothing.

- `burda`: one stochastic layer, 784-200-200-50, MNIST binarised anew each epoch, their schedule of
  3,280 epochs (`--share 0.1` for a tenth of each of its stages), importance weights of k draws.
- `flax`: the ELBO of Flax's example after 10 and 30 epochs, images binarised once.
- `pythae`: Pythae's VAE and IWAE, and ours, on the same data, network and optimizer.
- `headline`: the seed of this project, from `results/mnist.json`.

Fashion-MNIST is found in the folder JAXVAE_FASHION_MNIST, or in `fashion-mnist` beside JAXVAE_DATA,
as the four `.gz` files of Debian's package `dataset-fashion-mnist`; without it, its rows lack.
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import papers_pythae
import report
import simplex

import jaxvae
from jaxvae import latents, likelihoods, networks, objectives, priors

BURDA = "Burda, Grosse and Salakhutdinov, 2016, Importance weighted autoencoders, table 1"
STAGES = [(3**i, 1e-3 * 10 ** (-i / 7)) for i in range(8)]  # epochs, rate: 3,280 in all
PUBLISHED = {1: (86.76, 19), 5: (85.54, 22), 50: (84.78, 25)}  # k: NLL, active units
TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST"}
DRAWS, EVERY = 5000, 10  # of the NLL; epochs between two saved states
FLAX = "flax/examples/vae, README: test ELBO"
FLAX_ELBO = {10: 103.6, 30: 101.0}
HEADLINE = [  # model, figure as published with the original, ours, digits
    ("dirichlet", "test accuracy", 0.9754, "test_accuracy", 4),
    ("dirichlet", "training loss, last epoch", 0.07, "final_loss", 3),
    ("normal", "training loss, last epoch", 13.94, "final_loss", 2),
]


def mlp_vae(x, hidden_layers, width, latent_dim, activation, objective):
    """A Normal latent between two multilayer perceptrons, of Bernoulli pixels."""
    encoder = networks.Encoder(
        networks.NormalHead(latent_dim), networks.MLP(hidden_layers, width, activation)
    )
    decoder = networks.Decoder(x.shape[1], networks.MLP(hidden_layers, width, activation))
    return jaxvae.bind(
        networks.flax_network(encoder, decoder), latents.normal, priors.standard_normal(),
        likelihoods.bernoulli(), objective,
    )  # fmt: skip


def binarised(key, x):
    """Pixels on with the probability that their grey is: float32 [N, D] of 0 and 1."""
    return jax.random.bernoulli(key, x).astype(jnp.float32)


def quality(vae, params, x_test, draws):
    """The NLL of test images, binarised once, and what the latent does."""
    key = jax.random.key(2016)
    x = np.asarray(binarised(key, x_test))
    started = time.perf_counter()
    nll = jaxvae.marginal_nll(key, vae, params, x, draws=draws)
    seconds = time.perf_counter() - started
    used = jaxvae.collapse_report(key, vae, params, x)
    (part,) = used.parts.values()
    return {
        "nll": float(nll.mean()), "active": part.active, "kl": part.kl, "draws": draws,
        "nll_seconds": seconds, "images": len(x), "notes": list(used.notes),
    }  # fmt: skip


def rates(share, steps):
    """The rate of each step of the schedule, and its epochs."""
    epochs = [max(1, round(n * share)) for n, _ in STAGES]
    ends = np.cumsum(epochs) * steps
    stages = [optax.constant_schedule(rate) for _, rate in STAGES]
    return optax.join_schedules(stages, ends[:-1].tolist()), sum(epochs)


def burda(name, images, k, seed, chosen):
    """A run of Burda et al.: the NLL at the end of (a share of) their schedule."""
    x, x_test = images
    steps = -(-len(x) // 20)
    rate, epochs = rates(chosen.share, steps)
    objective = objectives.elbo() if k == 1 else objectives.iwae(draws=k)
    vae = mlp_vae(x, 2, 200, 50, nn.tanh, objective)
    optimizer = optax.adam(rate, eps=1e-4)
    train_epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=20)
    redraw, key, grey = jax.jit(binarised), jax.random.key(seed), jnp.asarray(x)
    state = jaxvae.init_state(key, vae, optimizer, grey)
    # As they do, the last layer starts where it gives each pixel's mean.
    mean = np.clip(x.mean(axis=0), 0.001, 0.999)
    state.params["decoder"]["decoded"]["bias"] = jnp.asarray(np.log(mean / (1 - mean)))
    file = chosen.states and Path(chosen.states, f"burda-{name}-{k}-{seed}-{chosen.share}.npz")
    seconds, state = restored(file, state)
    while len(seconds) < epochs:
        started = time.perf_counter()
        own = redraw(jax.random.fold_in(jax.random.key(seed + 1000), len(seconds)), grey)
        state, metrics = train_epoch(key, state, own)
        loss = float(metrics.loss.mean())
        seconds.append(time.perf_counter() - started)
        if len(seconds) % EVERY == 0 or len(seconds) == epochs:
            print(f"  {name}, k = {k}, seed {seed}: epoch {len(seconds)} of {epochs}, {loss:.2f}, "
                  f"{np.median(seconds):.2f} s an epoch", flush=True)  # fmt: skip
            save(file, seconds, state)
    measured = quality(vae, state.params, x_test, chosen.draws)
    # By the median: a run of days is disturbed, and may be paused.
    return {"epochs": epochs, "seconds": epochs * float(np.median(seconds)), **measured}


def save(file, seconds, state):
    """Keep the state of a run, and the seconds of each epoch; the file is whole at any time."""
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part.npz")
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    np.savez(part, *leaves, seconds=seconds)
    part.replace(file)


def restored(file, state):
    """The seconds of the epochs done, and the state, from a file if there is one."""
    if file is None or not file.is_file():
        return [], state
    with np.load(file) as kept:
        leaves = [jnp.asarray(kept[f"arr_{i}"]) for i in range(len(jax.tree.leaves(state)))]
        state = jax.tree.unflatten(jax.tree.structure(state), leaves)
        return kept["seconds"].tolist(), state


def once(images):
    """Images binarised once and for all, train and test."""
    parts = [binarised(jax.random.key(i), jnp.asarray(part)) for i, part in enumerate(images)]
    return [np.asarray(part) for part in parts]


def flax(images, seed, chosen):
    """Flax's example: 500 hidden units, 20 latents, batch 128, Adam at 1e-3, 50,000 images."""
    x, x_test = once(images)
    vae = mlp_vae(x, 1, 500, 20, nn.relu, objectives.elbo())
    optimizer, key, found = optax.adam(1e-3), jax.random.key(seed), {}
    train_epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=128)
    held = jnp.asarray(x[:50_000])
    state, started = jaxvae.init_state(key, vae, optimizer, held), time.perf_counter()
    for epoch in range(1, (2 if chosen.quick else 30) + 1):
        state, _ = train_epoch(key, state, held)
        if epoch in FLAX_ELBO or chosen.quick:
            found[f"nelbo_{epoch}"] = jaxvae.evaluate(key, vae, state.params, x_test).nelbo
    seconds = time.perf_counter() - started
    report_ = jaxvae.collapse_report(key, vae, state.params, x_test)
    (part,) = report_.parts.values()
    return {**found, "seconds": seconds, "active": part.active, "notes": list(report_.notes)}


def ours_as_pythae(images, k, seed, chosen):
    """What `papers_pythae` does, by us: training, then the NLL of the first test images."""
    x, x_test = once(images)
    setting = papers_pythae.SETTING | {"epochs": 1 if chosen.quick else chosen.pythae_epochs}
    objective = objectives.elbo() if k == 1 else objectives.iwae(draws=k)
    vae = mlp_vae(x, 2, setting["hidden"], setting["latent_dim"], nn.tanh, objective)
    key, optimizer = jax.random.key(seed), optax.adam(setting["rate"])
    size, own = setting["batch_size"], x_test[: setting["images"]]
    started = time.perf_counter()
    state, _ = jaxvae.fit(key, vae, x, batch_size=size, epochs=setting["epochs"],
                          optimizer=optimizer)  # fmt: skip
    seconds = time.perf_counter() - started
    for _ in range(2):  # the first compiles
        started = time.perf_counter()
        nll = jaxvae.marginal_nll(key, vae, state.params, own, draws=setting["draws"])
    return {
        "seconds": seconds, "nll_images": float(nll.mean()),
        "images_per_second": (speed := len(own) / (time.perf_counter() - started)),
        "images_per_second_default": speed,
        "nll": float(jaxvae.marginal_nll(key, vae, state.params, x_test, draws=100).mean()),
    }  # fmt: skip


def pythae(images, k, seed, chosen):
    """Pythae's own, in the interpreter that has it, and ours in turn."""
    ours = ours_as_pythae(images, k, seed, chosen)
    x, x_test = once(images)
    task = papers_pythae.SETTING | {
        "epochs": 1 if chosen.quick else chosen.pythae_epochs, "seed": seed, "k": k,
    }  # fmt: skip
    peer = papers_pythae.ask(chosen.python, task, x, x_test)
    return {"ours": ours, "pythae": peer}


def images_of(name, quick):
    """Greys in [0, 1], train and test [N, 784]; None where the files are not there."""
    if (parts := simplex.greys(name)) is None:
        return None
    x, x_test = (part.reshape(len(part), -1) for part in parts[:2])
    return (x[:2000], x_test[:100]) if quick else (x, x_test)


def asked(chosen):
    """The runs in the order of their worth: (what, data, k, share, seed), the short ones first."""
    sizes = {"flax": [1], "pythae": [k for k in chosen.k if k < 50], "burda": chosen.k}
    every = [(what, name, k) for what in sizes for name in chosen.data for k in sizes[what]]
    for what, name, k in every:
        if what in chosen.only:
            yield from ({"what": what, "data": name, "k": k, "seed": seed,
                         **({"share": chosen.share} if what == "burda" else {})}
                        for seed in chosen.seeds)  # fmt: skip


def run(case, chosen):
    """Measure a case."""
    images = images_of(case["data"], chosen.quick)
    if images is None:
        return None
    if case["what"] == "flax":
        return flax(images, case["seed"], chosen)
    if case["what"] == "pythae":
        return pythae(images, case["k"], case["seed"], chosen)
    return burda(case["data"], images, case["k"], case["seed"], chosen)


def groups(runs, *names):
    """The runs that differ by their seed alone, by what they share."""
    found = {}
    for one in runs:
        found.setdefault(tuple(one.get(name) for name in names), []).append(one)
    return found


def spread(values, digits=2):
    """Mean and standard deviation, of one run the value."""
    values = np.asarray(values, float)
    text = f"{values.mean():,.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {values.std(ddof=1):.{digits}f}"


def tables_of(runs):
    """Of each paper: what it is, the header and the rows of its table."""
    of = {
        what: [one for one in runs if one["what"] == what] for what in ("burda", "flax", "pythae")
    }
    made = {
        "burda": (
            f"{BURDA}. NLL in nats, by {DRAWS:,} draws",
            ["data", "k", "epochs", "seeds", "published NLL", "NLL", "published active units",
             "active units", "training, h", "NLL, min"],
            [
                burda_row(name, k, share, own)
                for (name, k, share), own in groups(of["burda"], "data", "k", "share").items()
            ],
        ),
        "flax": (
            f"{FLAX}, nats",
            ["data", "epoch", "published", "negative ELBO", "seeds", "active units of 20"],
            [
                [TITLES[name], epoch, published if name == "mnist" else "-",
                 spread([o[f"nelbo_{epoch}"] for o in own]), len(own),
                 spread([o["active"] for o in own], 1)]
                for (name,), own in groups(of["flax"], "data").items()
                for epoch, published in FLAX_ELBO.items()
            ],
        ),
        "pythae": (
            "Pythae, the same network, data, optimizer and epochs",
            ["data", "k", "who", "seeds", "NLL, 100 draws", "training, s",
             "images a second, as it comes", "images a second, at best"],
            [
                [TITLES[name], k, who, len(own), spread([o[key]["nll"] for o in own]),
                 spread([o[key]["seconds"] for o in own], 1),
                 spread([o[key]["images_per_second_default"] for o in own], 1),
                 spread([o[key]["images_per_second"] for o in own], 1)]
                for (name, k), own in groups(of["pythae"], "data", "k").items()
                for key, who in (("ours", "jaxvae"), ("pythae", "Pythae"))
            ],
        ),
    }  # fmt: skip
    if (file := report.RESULTS / "mnist.json").is_file():
        own = [o for o in json.loads(file.read_text())["runs"] if o["objective"] == "original"]
        made["headline"] = (
            "The 2020 original, its own objective on MNIST, 30 epochs",
            ["model", "figure", "published", "ours", "seeds"],
            [
                [model, figure, published,
                 spread([o[name] for o in own if o["model"] == model], digits),
                 sum(o["model"] == model for o in own)]
                for model, figure, published, name, digits in HEADLINE
            ],
        )  # fmt: skip
    return {name: dict(zip(("title", "header", "rows"), table, strict=True))
            for name, table in made.items() if table[2]}  # fmt: skip


def burda_row(name, k, share, own):
    """A row: what was published stands beside the full schedule on their data alone."""
    full = name == "mnist" and share == 1 and k in PUBLISHED
    nll, units = PUBLISHED[k] if full else ("-", "-")
    timed = [
        o["nll_seconds"] for o in own if o["nll_seconds"] is not None
    ]  # of none that was paused
    return [
        TITLES[name], k, f"{own[0]['epochs']:,}", len(own), nll, spread([o["nll"] for o in own]),
        units, spread([o["active"] for o in own], 1),
        f"{np.mean([o['seconds'] for o in own]) / 3600:.1f}",
        f"{np.mean(timed) / 60:.1f}" if timed else "-",
    ]  # fmt: skip


def write(runs):
    """The runs, and their tables for the pages and to read."""
    tables = tables_of(runs)
    text = "\n\n".join(f"{table['title']}:\n\n{report.markdown(table['header'], table['rows'])}"
                       for table in tables.values())  # fmt: skip
    report.write("papers", {"tables": tables, "runs": runs}, text)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=["burda", "flax", "pythae"],
                        default=["flax", "pythae", "burda"])  # fmt: skip
    parser.add_argument("--data", nargs="+", choices=["mnist", "fashion"],
                        default=["mnist", "fashion"])  # fmt: skip
    parser.add_argument("--k", type=int, nargs="+", default=[1, 5, 50],
                        help="of burda; of pythae those below 50")  # fmt: skip
    parser.add_argument("--share", type=float, default=1.0, help="of burda's schedule")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--draws", type=int, default=DRAWS, help="of the NLL")
    parser.add_argument("--pythae-epochs", type=int, default=20)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="has Pythae")
    parser.add_argument("--states", type=Path, help="folder of the states of long runs")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true", help="leave out what has been measured")
    chosen = parser.parse_args(arguments)
    if chosen.quick:
        chosen.share, chosen.draws, chosen.seeds, chosen.states = 0.0, 100, [0], None
    file = report.RESULTS / "papers.json"
    known = json.loads(file.read_text())["runs"] if chosen.resume and file.is_file() else []
    for case in asked(chosen):
        if any(all(old.get(name) == value for name, value in case.items()) for old in known):
            continue
        print(case, flush=True)
        with contextlib.suppress(papers_pythae.MissingError):
            result = run(case, chosen)
            if result is None:
                continue
            print(result, flush=True)
            # Another process may have written meanwhile.
            if not chosen.quick and file.is_file():
                known = json.loads(file.read_text())["runs"]
            known = [*known, case | result | {"device": jax.devices()[0].device_kind}]
            if not chosen.quick:
                write(known)
    return 0


if __name__ == "__main__":
    sys.exit(main())
