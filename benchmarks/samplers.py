"""Dirichlet samplers against one another: speed, accuracy of the gradient, and its variance.

jaxvae, TFP-on-JAX, `jax.random`, and PyTorch where it is installed. `python benchmarks/samplers.py`
takes about ten minutes on two cores (`--quick` eight; `--only` a part of it, the rest is kept) and
writes `results/samplers.json`, `.md` and two plots. JAX's samplers run inside one compiled loop
with a new key each step; PyTorch's eagerly, as its users call it. Competitors take turns, and each
figure is the median of the turns.
"""

import argparse
import functools
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report
from matplotlib.figure import Figure
from scipy import special

import jaxvae
from jaxvae.distributions import tfp_distributions
from jaxvae.model import latents
from jaxvae.numerics.beta import logit_beta_grad

try:
    import torch
except ImportError:
    torch = None

SHAPES = [(64, 10), (256, 50), (4096, 10), (1024, 1000)]
CONCENTRATIONS = [0.01, 0.1, 1.0, 10.0, 1000.0]
REFERENCES = Path(__file__).parents[1] / "tests" / "data"
GAMMA = functools.partial(jaxvae.sample_dirichlet, gradient="gamma")
LOG_GAMMA = functools.partial(jaxvae.sample_log_dirichlet, gradient="gamma")

SAMPLERS = {
    "jaxvae": jaxvae.sample_dirichlet,
    "jaxvae, gamma": GAMMA,
    "tfp": lambda key, c: tfp_distributions().Dirichlet(c).sample(seed=key),
    "jax.random": jax.random.dirichlet,
}


def compiled(sampler, shape, gradient, steps):
    """A loop of `steps` draws, or draws with their gradient, in one program."""
    direction = jax.random.normal(jax.random.key(1), shape)

    def step(c, key):
        if gradient:
            g = jax.grad(lambda c: jnp.sum(sampler(key, c) * direction))(c)
            # Chain the steps without moving the concentration, so that none can be left out.
            return c + jnp.where(jnp.isfinite(g), 0 * g, 0), None
        return c + 0 * sampler(key, c), None

    def loop(key, c):
        return jax.lax.scan(step, c, jax.random.split(key, steps))[0]

    return jax.jit(loop)


def jax_timer(sampler, shape, concentration, gradient, target):
    """A function that returns the microseconds of one call."""
    c, key = jnp.full(shape, concentration, jnp.float32), jax.random.key(0)

    def timed(loop):
        started = time.perf_counter()
        jax.block_until_ready(loop(key, c))
        return time.perf_counter() - started

    steps = 1
    loop = compiled(sampler, shape, gradient, steps)
    timed(loop)
    steps = int(np.clip(target / timed(loop), 1, 2000))
    if steps > 1:
        loop = compiled(sampler, shape, gradient, steps)
        timed(loop)
    return lambda: timed(loop) / steps * 1e6


def torch_timer(shape, concentration, gradient, target):
    c = torch.full(shape, concentration, requires_grad=gradient)
    direction = torch.randn(shape)

    def call():
        if gradient:
            c.grad = None
            (
                torch.distributions.Dirichlet(c, validate_args=False).rsample() * direction
            ).sum().backward()
        else:
            torch.distributions.Dirichlet(c, validate_args=False).sample()

    def timed(steps):
        started = time.perf_counter()
        for _ in range(steps):
            call()
        return time.perf_counter() - started

    timed(3)
    steps = int(np.clip(target / (timed(3) / 3), 1, 2000))
    return lambda: timed(steps) / steps * 1e6


def speed(turns, target):
    rows = []
    for shape in SHAPES:
        for concentration in CONCENTRATIONS:
            for gradient in (False, True):
                timers = {
                    name: jax_timer(sampler, shape, concentration, gradient, target)
                    for name, sampler in SAMPLERS.items()
                }
                if torch is not None:
                    timers["torch"] = torch_timer(shape, concentration, gradient, target)
                raw = {name: [] for name in timers}
                for turn in range(turns if np.prod(shape) < 1e6 else 3):
                    for name in list(timers)[:: 1 if turn % 2 else -1]:
                        raw[name].append(timers[name]())
                row = {"shape": shape, "concentration": concentration, "gradient": gradient}
                rows.append(
                    row
                    | {"microseconds": {k: float(np.median(v)) for k, v in raw.items()}, "raw": raw}
                )
                print(row, rows[-1]["microseconds"], flush=True)
    return rows


def accuracy():
    """Relative error of the implicit derivatives in float32, by decade of alpha, against mpmath."""
    with np.load(REFERENCES / "log_gamma_grad.npz") as file:
        alpha, log_x, exact = file["alpha"], file["log_x"], file["dlogx_dalpha"]
    a, y = np.float32(alpha), np.float32(log_x)
    x = np.exp(y)
    with np.load(REFERENCES / "logit_beta_grad.npz") as file:
        beta_a, beta_b, logit, beta_exact = (file[k] for k in ("a", "b", "logit", "grad"))
    z = special.expit(logit)
    with np.errstate(divide="ignore", invalid="ignore"):
        gamma = {
            "jaxvae, gamma": np.asarray(jaxvae.log_gamma_grad(a, y)),
            "lax.random_gamma_grad": np.asarray(jax.lax.random_gamma_grad(a, x)) / x,
        }
        beta = {"jaxvae": np.asarray(jax.jit(logit_beta_grad)(beta_a, beta_b, logit))}
        if torch is not None:
            grad = torch._standard_gamma_grad(torch.tensor(a), torch.tensor(x)).numpy()
            gamma["torch, gamma"] = grad / x
            grad = torch._dirichlet_grad(*(torch.tensor(v) for v in (z, beta_a, beta_a + beta_b)))
            beta["torch"] = grad.numpy() / z
    rows = {name: (beta_a, value, beta_exact) for name, value in beta.items()}
    rows |= {name: (alpha, value, exact) for name, value in gamma.items()}
    if torch is not None:  # it takes z: only where a float32 z says what the logit says
        told = (z > 1e-30) & (z < 0.99)
        rows["torch"] = tuple(values[told] for values in rows["torch"])
    result = {}
    for name, (at, value, right) in rows.items():
        error = abs(value.astype(np.float64) - right) / abs(right)
        decades = [error[(at >= 10.0**e) & (at < 10.0 ** (e + 1))] for e in range(-6, 6)]
        result[name] = {
            "max_relative_error": [
                float(np.nanmax(d)) if np.isfinite(d).any() else None for d in decades
            ],
            "not_finite": [int((~np.isfinite(d)).sum()) for d in decades],
            "points": len(error),
            "above 2e-2": int((error > 2e-2).sum()),
        }
    return result


# f(z), a number a row, of z and of a function that gives its logarithm; and d E[f] / d alpha_0 for
# K equal alphas a. What does not need the logarithm does not take it: of a z that underflowed its
# derivative is infinite, and times 0 no number.
FUNCTIONS = {
    "sum of w z^2": (
        lambda z, log: sum(w * z[:, i] ** 2 for i, w in weights(z.shape[1])),
        lambda a, k: square(a, k)[0] + sum(w for _, w in weights(k)[1:]) * square(a, k)[1],
    ),
    "z_0": (lambda z, log: z[:, 0], lambda a, k: (k - 1) / (k * k * a)),
    "z_0^2": (lambda z, log: z[:, 0] ** 2, lambda a, k: square(a, k)[0]),
    "log z_0": (
        lambda z, log: log()[:, 0],
        lambda a, k: special.polygamma(1, a) - special.polygamma(1, k * a),
    ),
}


def weights(k):
    """Component and weight, from 1 to 2, so that no component can be exchanged for another."""
    return list(enumerate(np.linspace(1, 2, k).tolist()))


def square(a, k):
    """d E[z_i^2] / d alpha_0, for i = 0 and for any other."""
    t = k * a
    common = a * (a + 1) * (2 * t + 1) / (t * (t + 1)) ** 2
    return (2 * a + 1) / (t * (t + 1)) - common, -common


STEP_SAMPLERS = {
    "jaxvae": jaxvae.sample_log_dirichlet,
    "jaxvae, gamma": lambda key, c, gradient: LOG_GAMMA(key, c),
    "tfp": lambda key, c, gradient: LOG_GAMMA(key, c, method="tfp"),
    "mean, no draw": lambda key, c, gradient: jnp.log(c / jnp.sum(c)),
}
PARTS = ("accuracy", "variance", "step", "speed")


def of_log(gradient):
    """z and its logarithm, of the library's draws in log space."""

    def draw(key, c):
        log_z = jaxvae.sample_log_dirichlet(key, c, gradient=gradient)
        return jnp.exp(log_z), lambda: log_z

    return draw


def of_z(key, c):
    """TFP's z, and the logarithm that its user would take."""
    z = SAMPLERS["tfp"](key, c)
    return z, lambda: jnp.log(z)


DRAWS = {"jaxvae": of_log("beta"), "jaxvae, gamma": of_log("gamma"), "tfp": of_z}


def variance(rows):
    """Standard deviation of the one-draw estimate of d E[f] / d alpha_0, in units of its mean."""
    result = []
    for k in (3, 10):
        for concentration in (0.1, 1.0, 10.0):
            c = np.full((rows, k), concentration, np.float32)
            for name, (function, exact) in FUNCTIONS.items():

                def value(c, draw, function=function):
                    return jnp.sum(function(*draw(jax.random.key(2), c)))

                estimates = {
                    name_: np.asarray(jax.grad(value)(jnp.asarray(c), draw))[:, 0]
                    for name_, draw in DRAWS.items()
                }
                if torch is not None:
                    # At the same draws, so that a ratio of variances is no ratio of two samples;
                    # kept above 0, as PyTorch's own sampler keeps them.
                    z = np.array(jaxvae.sample_dirichlet(jax.random.key(2), jnp.asarray(c)))
                    z = torch.tensor(z.clip(np.finfo(np.float32).tiny), requires_grad=True)
                    leaf = torch.tensor(c)
                    function(z, lambda z=z: torch.log(z)).sum().backward()
                    total = leaf.sum(-1, keepdim=True).expand_as(leaf)
                    slope = torch._dirichlet_grad(z.detach(), leaf, total)
                    along = z.grad - (z.detach() * z.grad).sum(-1, keepdim=True)
                    estimates["torch"] = (slope * along)[:, 0].numpy()
                mean = float(exact(concentration, k))
                row = {"k": k, "concentration": concentration, "function": name, "exact": mean}
                for sampler, estimate in estimates.items():
                    finite = estimate[np.isfinite(estimate)].astype(np.float64)
                    row[sampler] = {
                        "mean": float(finite.mean()),
                        "sd": float(finite.std()),
                        "not_finite": int(len(estimate) - len(finite)),
                    }
                result.append(row)
                print(row, flush=True)
    return result


def share_of_a_step(turns):
    """How much of the README workload's Dirichlet step is the draw with its gradient.

    The same epoch on random data of MNIST's shape, once as it is, once with z = the mean.
    """
    x = jax.random.uniform(jax.random.key(0), (64 * 300, 784))
    y = jax.random.randint(jax.random.key(1), (len(x),), 0, 10)
    optimizer, timers = optax.adam(1e-3), {}
    for name, sampler in STEP_SAMPLERS.items():
        jax.clear_caches()  # equal models share what was traced
        latents.sample_log_dirichlet = sampler  # looked up when the step is traced
        vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10))
        epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=64)
        state = jaxvae.init_state(jax.random.key(2), vae, optimizer, x)
        loop = epoch.lower(jax.random.key(3), state, x, y).compile()

        def timed(loop=loop, vae=vae):
            state = jaxvae.init_state(jax.random.key(2), vae, optimizer, x)
            jax.block_until_ready(state)
            started = time.perf_counter()
            jax.block_until_ready(loop(jax.random.key(3), state, x, y))
            return (time.perf_counter() - started) / 300 * 1e6

        timers[name] = timed
    latents.sample_log_dirichlet = jaxvae.sample_log_dirichlet
    jax.clear_caches()
    raw = {name: [] for name in timers}
    for turn in range(turns):
        for name in list(timers)[:: 1 if turn % 2 else -1]:
            raw[name].append(timers[name]())
    result = {name: float(np.median(values)) for name, values in raw.items()}
    result["share"] = 1 - result["mean, no draw"] / result["jaxvae"]
    print(result, flush=True)
    return result | {"raw": raw}


def plot_speed(rows):
    figure = Figure(figsize=(10, 4), layout="constrained")
    for ax, gradient in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        for name in rows[0]["microseconds"]:
            points = [
                (np.prod(r["shape"]), r["microseconds"][name])
                for r in rows
                if r["gradient"] == gradient and r["concentration"] == 1.0
            ]
            ax.loglog(*np.array(points).T, marker="o", label=name)
        ax.set(
            xlabel="components a call",
            title="draw and gradient" if gradient else "draw",
        )
        ax.grid(alpha=0.3)
        ax.legend()
    figure.axes[0].set_ylabel("microseconds a call (concentration 1)")
    figure.savefig(report.RESULTS / "samplers_speed.png", dpi=110)


def plot_accuracy(result):
    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.add_subplot(
        title="implicit derivative in the concentration, float32, against mpmath",
        xlabel="concentration",
        ylabel="largest relative error in the decade",
    )
    middle = 10.0 ** (np.arange(-6, 6) + 0.5)
    for place, (name, values) in enumerate(result.items()):
        error = np.array([np.nan if v is None else v for v in values["max_relative_error"]])
        (line,) = ax.loglog(middle, error, marker="o", label=name)
        bad = np.array(values["not_finite"]) > 0
        ax.plot(middle[bad], np.full(bad.sum(), 2.0 * 3.0**place), "x", color=line.get_color())
    ax.plot([], [], "x", color="black", label="some are not finite")
    ax.axhline(1e-5, color="0.6", linestyle="--", linewidth=1)
    ax.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4)
    figure.savefig(report.RESULTS / "samplers_accuracy.png", dpi=110)


def spread_cell(estimate, exact):
    lost = f" ({estimate['not_finite']} not finite)" if estimate["not_finite"] else ""
    return f"{estimate['sd'] / abs(exact):.2f}{lost}"


def tables(rows, spread, share):
    names = list(rows[0]["microseconds"])
    header = [
        "shape",
        "concentration",
        *(f"{n}, draw" for n in names),
        *(f"{n}, + gradient" for n in names),
    ]
    lines = []
    for plain, graded in zip(rows[::2], rows[1::2], strict=True):
        cells = [f"{r['microseconds'][n]:,.0f}" for r in (plain, graded) for n in names]
        lines.append([list(plain["shape"]), f"{plain['concentration']:g}", *cells])
    speed_table = report.markdown(header, lines)
    samplers = [n for n in ("jaxvae", "jaxvae, gamma", "tfp", "torch") if n in spread[0]]
    header = [
        "K",
        "concentration",
        "f",
        "d E[f] / d alpha_0",
        *(f"{n}, sd / mean" for n in samplers),
        *(f"variance, {n} / torch" for n in ("jaxvae", "jaxvae, gamma") if "torch" in samplers),
    ]
    lines = [
        [r["k"], f"{r['concentration']:g}", r["function"], f"{r['exact']:.4g}"]
        + [spread_cell(r[name], r["exact"]) for name in samplers]
        + [
            f"{(r[name]['sd'] / r['torch']['sd']) ** 2:.3f}"
            for name in ("jaxvae", "jaxvae, gamma")
            if "torch" in samplers
        ]
        for r in spread
    ]
    step = ", ".join(f"{name} {share[name]:,.0f}" for name in STEP_SAMPLERS)
    return (
        f"Microseconds a training step: {step}; the draw and its gradient are {share['share']:.1%} "
        "of it.\n\n"
        f"Microseconds a call, medians.\n\n{speed_table}\n\n"
        f"Spread of the gradient's one-draw estimate.\n\n{report.markdown(header, lines)}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, shorter loops")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS, help="measure these")
    options = parser.parse_args()
    quick, path = options.quick, report.RESULTS / "samplers.json"
    measure = {
        "accuracy": accuracy,
        "variance": lambda: variance(20_000 if quick else 1_000_000),
        "step": lambda: share_of_a_step(7 if quick else 15),
        "speed": lambda: speed(*((3, 0.05) if quick else (5, 0.2))),
    }
    results = json.loads(path.read_text()) if set(options.only) < set(PARTS) else {}
    results = {part: results[part] for part in PARTS if part in results}
    results |= {part: measure[part]() for part in PARTS if part in options.only}
    plot_speed(results["speed"])
    plot_accuracy(results["accuracy"])
    versions = {"versions": {"torch": None if torch is None else torch.__version__}}
    table = tables(*(results[part] for part in ("speed", "variance", "step")))
    report.write("samplers", versions | results, table)


if __name__ == "__main__":
    main()
