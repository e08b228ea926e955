"""How the cost of a step grows: with the batch, the width, the latent, devices, and seeds.

Microseconds a training step of the README's workload, one thing changed at a time, on random data,
beside the floor's (SGD). Virtual devices share the cores: they show overhead, not speed.
`python benchmarks/growth.py` takes fifteen minutes on two cores (`--quick` one) and writes
`results/growth.json`, `.md` and `.png`.
"""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
import scaling
import timing
from competitors import FLOOR, LEARNING_RATE, Case, find, floor, jax_based
from matplotlib.figure import Figure

import jaxvae

BASE = Case("dirichlet", 10, 64)
SWEEPS = {
    "batch_size": (16, 64, 256, 1024, 4096, 8192),
    "hidden_units": (64, 128, 256, 512, 1024, 2048),
    "latent_dim": (2, 8, 32, 128, 512),
}
SEEDS = (1, 2, 4, 8, 16, 32)
LABELS = {
    "batch_size": "batch size",
    "hidden_units": "width of a hidden layer",
    "latent_dim": "latent dimension",
    "seeds": "seeds trained as one program",
    "devices": "virtual devices",
}


def random_data(case, steps):
    rng, rows = np.random.default_rng(0), steps * case.batch_size
    return rng.random((rows, 784), np.float32), rng.integers(0, case.latent_dim, rows, np.int32)


def steps_of(case, target):
    """As many as take about `target` seconds at 40 billion operations a second; 4 at least.

    32 at least at batch 64 and below: an epoch of MNIST has 938 there and more. Putting the state
    into the loop and looking at the parameters after it is once an epoch; in four wide steps it was
    more than half.
    """
    least = 32 if case.batch_size <= BASE.batch_size else 4
    return int(np.clip(target * 4e10 / floor.flops(case), least, 400))


def of_case(case, target, rounds):
    """Microseconds a step of jaxvae and of the floor, a number a round."""
    steps = steps_of(case, target)
    x, y = random_data(case, steps)
    calls = {
        "jaxvae": jax_based.prepare("core", case, x, y, 0),
        "floor": floor.prepare(find(FLOOR).variant, case, x, y, 0),
    }
    seconds = timing.alternate(calls, rounds)
    return {name: [1e6 * s / steps for s in values] for name, values in seconds.items()}


def of_seeds(count, target, rounds):
    """The same of `fit_many`, for all its seeds together."""
    steps = max(4, steps_of(BASE, target) // count)
    x, y = (jnp.asarray(array) for array in random_data(BASE, steps))
    vae, adam = jax_based.build(BASE), optax.adam(LEARNING_RATE)
    keys = jax.random.split(jax.random.key(0), count)
    options = {"batch_size": BASE.batch_size, "epochs": 1, "optimizer": adam}

    def timer():
        if count == 1:
            _, history = jaxvae.fit(keys[0], vae, x, y, **options)
        else:
            _, (history, *_) = jaxvae.fit_many(keys, vae, x, y, **options)
        return history.epochs[0].seconds  # of all seeds together; compilation is not in it

    seconds = timing.in_turns({"jaxvae": timer}, rounds)["jaxvae"]
    return {"jaxvae": [1e6 * s / steps for s in seconds]}


def of_devices(rows, rounds):
    """`scaling.devices`: the same batch over more of them."""
    steps = -(-rows // BASE.batch_size)
    return {
        int(name.rsplit(" ", 1)[1]): {"jaxvae": [1e6 * value["seconds"] / steps]}
        for name, value in scaling.devices(rows, rounds).items()
        if name.startswith("pmap")
    }


def micros(values):
    return float(np.median(values))


def table(measured):
    lines = []
    for what, points in measured.items():
        for value, point in points.items():
            above = timing.ratio(point["jaxvae"], point["floor"]) if "floor" in point else None
            lines.append(
                [
                    LABELS[what],
                    value,
                    f"{micros(point['jaxvae']):,.0f}",
                    f"{micros(point['floor']):,.0f}" if "floor" in point else "-",
                    "-" if above is None else f"{above:.2f}",
                ]
            )
    header = ["what grows", "to", "microseconds a step", "the floor's", "x floor"]
    return report.markdown(header, lines)


def plot(measured):
    figure = Figure(figsize=(3 * len(measured), 3.6), layout="constrained")
    axes = figure.subplots(1, len(measured), sharey=True)
    for ax, (what, points) in zip(axes, measured.items(), strict=True):
        values = [int(value) for value in points]
        for name in ("jaxvae", "floor"):
            if all(name in point for point in points.values()):
                costs = [micros(point[name]) for point in points.values()]
                ax.loglog(values, costs, marker="o", label=name)
        ax.set(xlabel=LABELS[what])
        ax.set_xticks(values, [str(value) for value in values], fontsize=8, rotation=45)
        ax.minorticks_off()
        ax.grid(alpha=0.3)
    figure.axes[0].set_ylabel("microseconds a step")
    figure.axes[0].legend()
    figure.savefig(report.RESULTS / "growth.png", dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every other point, fewer rounds")
    parser.add_argument("--replot", action="store_true", help="only draw the plot again")
    options = parser.parse_args()
    if options.replot:
        plot(json.loads((report.RESULTS / "growth.json").read_text())["microseconds"])
        return
    every, rounds, target = (2, 3, 0.1) if options.quick else (1, 7, 1.0)
    measured = {}
    for what, values in SWEEPS.items():
        measured[what] = {}
        for value in values[::every]:
            point = of_case(BASE._replace(**{what: value}), target, rounds)
            measured[what][value] = point
            print(what, value, {name: round(micros(v)) for name, v in point.items()}, flush=True)
    measured["seeds"] = {n: of_seeds(n, target, rounds) for n in SEEDS[::every]}
    measured["devices"] = of_devices(1_280 if options.quick else 12_800, rounds)
    plot(measured)
    report.write("growth", {"microseconds": measured}, table(measured))


if __name__ == "__main__":
    main()
