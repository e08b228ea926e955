"""What safety costs on MNIST, the original's workload: the guard against bad numbers, and saves.

`python benchmarks/safety.py` takes about eight minutes on two cores and writes
`results/safety.json` and `.md`. The guard: epochs as `fit` runs them, and as it runs them where an
optimizer hides what is not finite, against the same epochs with no guard at all. Saves: ten epochs
of `fit` with checkpoints and without, the call as a whole. Ratios are medians over alternated
rounds.
"""

import argparse
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import report
from scaling import alternate

import jaxvae
from jaxvae import datasets, steps
from jaxvae.model.values import Same
from jaxvae.training import epochs, programs

OPTIMIZER = optax.adam(1e-3)


def build(model):
    if model == "normal":
        network = jaxvae.dense_normal_network(784, 2)
        return jaxvae.normal_vae(network, prior_variance=3.0, objective="original")
    return jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10), objective="original")


def without_guard(vae, optimizer):
    """The step with nothing to look at what is not finite, not even at the loss."""

    def step(key, state, batch):
        (loss, terms), grads = jax.value_and_grad(vae.loss, has_aux=True)(
            state.params, jax.random.fold_in(key, state.step), batch
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        terms = terms.reconstruction, terms.kl
        means = [jaxvae.objectives.weighted_mean(term, batch.weight) for term in terms]
        metrics = steps.Metrics(loss, *means, jnp.sum(batch.weight), True)
        return steps.TrainState(state.step + 1, params, opt_state), metrics

    def train_epoch(key, state, x, y):
        number = epochs.steps_per_epoch(len(x), 64)
        order = epochs.epoch_order(key, state.step // number, len(x), 64)

        def body(state, batch):
            index, weight = batch
            return step(key, state, jaxvae.Batch(x[index], y[index], weight))

        return jax.lax.scan(body, state, order)

    return jax.jit(train_epoch, donate_argnums=1)


def guard(model, data, rows, rounds):
    vae, key = build(model), jax.random.key(0)
    x, y = data.x_train[:rows], data.y_train[:rows]

    def call(program):
        state = jaxvae.init_state(key, vae, OPTIMIZER, x)

        def run():
            nonlocal state
            state, _ = program(state)

        return run

    train_epoch = without_guard(vae, OPTIMIZER)

    on_device = jnp.asarray(x), jnp.asarray(y)

    def bare(state):
        state, metrics = train_epoch(key, state, *on_device)
        return state, jax.device_get(metrics)

    start = jaxvae.init_state(key, vae, OPTIMIZER, x)
    whole = jaxvae.Batch(*on_device)

    def compile_for(on_non_finite):
        train = programs.train_program(
            vae,
            Same(OPTIMIZER),
            on_non_finite,
            batch_size=64,
        )
        compiled = train.lower(key, start, {}, whole).compile()

        def program(state):
            state, *metrics = compiled(key, state, {}, whole)
            return state, programs.read_metrics(*metrics)

        return program

    return alternate(
        {
            "no guard": call(bare),
            "fit": call(programs.stopping(compile_for, trust=True)),
            "fit, an optimizer that hides": call(programs.stopping(compile_for, trust=False)),
        },
        rounds,
    )


def saves(model, data, rounds):
    vae, key = build(model), jax.random.key(0)
    options = {"batch_size": 64, "epochs": 10, "optimizer": OPTIMIZER}

    def without():
        jaxvae.fit(key, vae, data.x_train, data.y_train, **options)

    def with_saves(every):
        with tempfile.TemporaryDirectory() as folder:
            jaxvae.fit(
                key,
                vae,
                data.x_train,
                data.y_train,
                checkpoint_dir=Path(folder, "checkpoints"),
                checkpoint_every=every,
                **options,
            )

    return alternate(
        {
            "without": without,
            "as often as by default": lambda: with_saves(None),
            "after each epoch": lambda: with_saves(1),
        },
        rounds,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--rows", type=int, default=60_000)
    options = parser.parse_args()
    data = datasets.load_mnist()
    measured = {
        "guard, Dirichlet": guard("dirichlet", data, options.rows, options.rounds),
        "guard, Normal": guard("normal", data, options.rows, options.rounds),
        "ten epochs, Dirichlet": saves("dirichlet", data, max(3, options.rounds // 3)),
    }
    rows = [
        [what, name, f"{value['seconds']:.3f}", f"{value['ratio']:.3f}"]
        for what, each in measured.items()
        for name, value in each.items()
    ]
    table = report.markdown(["what", "case", "seconds", "ratio to the first"], rows)
    report.write("safety", {"measured": measured}, table)


if __name__ == "__main__":
    main()
