"""The original's README workload on MNIST: 4 layers of 128, ReLU, batch 64, 30 epochs.

Both models, both objectives, three seeds each. `python benchmarks/mnist.py` takes about 15 minutes
on two cores and writes `results/mnist.json` and `.md`. Where MNIST comes from: `load_mnist`.
"""

import argparse
import time

import jax
import numpy as np
import optax
import report

import jaxvae

CASES = {
    ("dirichlet", "original"): "mean squared error over pixels + KL (the original's units)",
    ("dirichlet", "elbo"): "nats",
    ("normal", "original"): "1/2 squared error + the original's term (its units)",
    ("normal", "elbo"): "nats",
}


def build(model, objective):
    # The original's objective brings a likelihood of its own.
    unit = {} if objective == "original" else {"likelihood": jaxvae.likelihoods.normal(1.0)}
    if model == "normal":
        network = jaxvae.dense_normal_network(784, 2)
        return jaxvae.normal_vae(network, prior_variance=3.0, objective=objective, **unit)
    network = jaxvae.dense_dirichlet_network(784, 10)
    return jaxvae.dirichlet_vae(network, objective=objective, **unit)


def run(model, objective, seed, epochs, data):
    vae, key = build(model, objective), jax.random.key(seed)
    started = time.perf_counter()
    state, history = jaxvae.fit(
        key,
        vae,
        data.x_train,
        data.y_train,
        batch_size=64,
        epochs=epochs,
        optimizer=optax.adam(1e-3, eps=1e-7),
    )
    test = jaxvae.evaluate(key, vae, state.params, data.x_test, data.y_test)
    result = {
        "model": model,
        "objective": objective,
        "seed": seed,
        "first_loss": history.epochs[0].loss,
        "final_loss": history.epochs[-1].loss,
        "final_reconstruction": history.epochs[-1].reconstruction,
        "final_kl": history.epochs[-1].kl,
        "test_loss": test.loss,
        "test_reconstruction": test.reconstruction,
        "test_kl": test.kl,
        "seconds_per_epoch": float(np.median([record.seconds for record in history.epochs])),
        "compile_seconds": history.compile_seconds,
        "seconds": time.perf_counter() - started,
    }
    if model == "dirichlet":
        result["test_accuracy"] = jaxvae.accuracy(vae, state.params, data.x_test, data.y_test)
    print(result, flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = jaxvae.datasets.load_mnist()
    runs = [
        run(model, objective, seed, options.epochs, data)
        for model, objective in CASES
        for seed in range(options.seeds)
    ]
    rows = []
    for (model, objective), unit in CASES.items():
        of_case = [r for r in runs if (r["model"], r["objective"]) == (model, objective)]

        def each(name, digits, of_case=of_case):
            return ", ".join(f"{r[name]:.{digits}f}" for r in of_case if name in r) or "-"

        digits = 2 if (model, objective) != ("dirichlet", "original") else 4
        rows.append(
            [
                model,
                objective,
                each("final_loss", digits),
                each("test_loss", digits),
                each("test_reconstruction", digits),
                each("test_kl", digits),
                each("test_accuracy", 4),
                f"{np.median([r['seconds_per_epoch'] for r in of_case]):.2f}",
                unit,
            ]
        )
    header = ["latent", "objective", "training loss", "test loss", "test reconstruction", "test KL"]
    header += ["test accuracy", "s / epoch", "unit"]
    report.write("mnist", {"epochs": options.epochs, "runs": runs}, report.markdown(header, rows))


if __name__ == "__main__":
    main()
