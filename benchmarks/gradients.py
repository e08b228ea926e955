"""Does the quieter Dirichlet gradient pay in training? The same runs by either estimator.

`python benchmarks/gradients.py` takes about six minutes on two cores and writes
`results/gradients.json` and `.md`. Every case trains the same eight seeds once with
`gradient="beta"` and once with `gradient="gamma"`, by `fit_many`; the held-out loss is paired by
seed. An epoch's time is that of `fit`, the two alternated; so the last column, the held-out loss
after equal time, reads beta's curve where gamma's last epoch ended.
"""

import argparse

import jax
import numpy as np
import optax
import report
import timing

import jaxvae

GRADIENTS = ("beta", "gamma")


def cases(quick):
    """Name, data, categories, prior, epochs."""
    digits, mnist = jaxvae.datasets.load_digits(), jaxvae.datasets.load_mnist()
    few = slice(0, 5000 if quick else 20_000)
    mnist = mnist.x_train[few], mnist.y_train[few], mnist.x_test[:2000], mnist.y_test[:2000]
    digits = digits.x_train, digits.y_train, digits.x_test, digits.y_test
    uniform, sparse = jaxvae.symmetric_prior(1.0), jaxvae.symmetric_prior(0.1)
    long, short = (5, 2) if quick else (60, 10)
    yield "digits, 3 categories, prior 1", digits, 3, uniform, long
    yield "digits, 10 categories, prior 0.1", digits, 10, sparse, long
    yield "digits, 10 categories, labels", digits, 10, jaxvae.label_prior(), long
    yield "MNIST, 10 categories, prior 1", mnist, 10, uniform, short
    yield "MNIST, 10 categories, labels", mnist, 10, jaxvae.label_prior(), short


def train(data, categories, prior, epochs, gradient, seeds):
    """The held-out loss of each seed after each epoch, [epochs, seeds]."""
    x, y, *test = data
    network = jaxvae.dense_dirichlet_network(x.shape[1], categories)
    vae = jaxvae.dirichlet_vae(network, prior=prior, likelihood="bernoulli", gradient=gradient)
    losses = []

    def held_out(records, states):
        each = (jax.tree.map(lambda leaf, i=i: leaf[i], states.params) for i in range(seeds))
        key = jax.random.key(1)
        losses.append([jaxvae.evaluate(key, vae, params, *test).loss for params in each])

    keys = jax.random.split(jax.random.key(0), seeds)
    jaxvae.fit_many(keys, vae, x, y, batch_size=64, epochs=epochs, on_epoch=held_out)
    return np.array(losses)


def epoch_time(data, categories, prior, rounds):
    """Of one epoch by beta over one by gamma, alternated."""
    x, y = data[0][:6400], data[1][:6400]
    timers = {}
    for gradient in GRADIENTS:
        network = jaxvae.dense_dirichlet_network(x.shape[1], categories)
        vae = jaxvae.dirichlet_vae(network, prior=prior, likelihood="bernoulli", gradient=gradient)
        epoch = jaxvae.make_train_epoch(vae, optax.adam(1e-3), batch_size=64)
        states = [jaxvae.init_state(jax.random.key(0), vae, optax.adam(1e-3), x)]

        def call(epoch=epoch, states=states):
            for _ in range(max(1, 6400 // len(x))):
                states[0], metrics = epoch(jax.random.key(0), states[0], x, y)
            jax.block_until_ready(metrics.loss)

        timers[gradient] = call
    seconds = timing.alternate(timers, rounds)
    return timing.ratio(seconds["beta"], seconds["gamma"])


def at(curve, epochs):
    """A curve's value after a number of epochs that need not be whole."""
    return float(np.interp(epochs, np.arange(1, len(curve) + 1), curve))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, a few epochs")
    options = parser.parse_args()
    seeds, rounds = (2, 3) if options.quick else (8, 11)
    results, rows = [], []
    for name, data, categories, prior, epochs in cases(options.quick):
        curves = {g: train(data, categories, prior, epochs, g, seeds) for g in GRADIENTS}
        slower = epoch_time(data, categories, prior, rounds)
        last = curves["beta"][-1] - curves["gamma"][-1]
        equal = [
            at(beta, epochs / slower) - gamma[-1]
            for beta, gamma in zip(curves["beta"].T, curves["gamma"].T, strict=True)
        ]
        results.append(
            {
                "case": name,
                "epochs": epochs,
                "epoch_time_ratio": slower,
                "held_out": {g: c.tolist() for g, c in curves.items()},
                "difference_after_equal_epochs": last.tolist(),
                "difference_after_equal_time": equal,
            }
        )
        error = seeds**-0.5

        def cell(values, error=error):
            return f"{np.mean(values):+.3f} ± {np.std(values, ddof=1) * error:.3f}"

        gamma = curves["gamma"][-1].mean()
        rows.append([name, epochs, f"{gamma:.3f}", f"{slower:.3f}", cell(last), cell(equal)])
        print(rows[-1], flush=True)
    header = [
        "case",
        "epochs",
        "held-out nats, gamma",
        "epoch time, beta / gamma",
        "beta - gamma, equal epochs",
        "beta - gamma, equal time",
    ]
    note = f"Held-out loss in nats, {seeds} seeds, paired; ± is the standard error of the mean."
    report.write("gradients", {"rows": results}, f"{report.markdown(header, rows)}\n\n{note}")


if __name__ == "__main__":
    main()
